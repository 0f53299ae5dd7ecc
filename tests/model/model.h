/* model.h: what each peer must receive, and which callbacks must come.
 *
 * A peer's stream holds the exact bytes that its connection sends. The model appends to it, or
 * replaces a message in it that the kernel has not begun to take, and the peer compares. Where the
 * manual leaves it open whether a message fits, the model looks at what the server did, and checks
 * that it was allowed: with a key a message counts "80 bytes or more" besides its own. */

enum { PEERS = 10, CHANNELS = 3, ROOMS = 4, USERS = 3, KEYS = 3, TASKS = 24, EVENTS = 24,
       MARKS = 96, FDS = 256 };
enum { TEXT = 1, BINARY = 2, CLOSE = 8, PING = 9, PONG = 10, BAD = 16 }; /* opcodes; BAD: none */
enum { BESIDES_LEAST = 40, BESIDES_MOST = 4400 }; /* what a key costs in max_backlog */

/* ---- Scripts and failures -------------------------------------------------------------------- */

static struct {
    unsigned long long seed, random, from, step, steps, serial;
    char path[64]; /* of the Unix socket */
    long servers, peers, frames, replaced, waited, refused;
} run;

/* Report the first difference, with the command that shows it again. */
static void fail(const char *format, ...) {
    va_list args;
    va_start(args, format);
    fflush(stdout);
    fprintf(stderr, "model %llu %llu: step %llu: ", run.seed, run.steps, run.step);
    vfprintf(stderr, format, args);
    fprintf(stderr, "\n");
    va_end(args);
    unlink(run.path);
    exit(1);
}
#define EXPECT(cond, ...) do { if (!(cond)) fail(__VA_ARGS__); } while (0)

static void trace(const char *format, ...) {
    if (run.step < run.from) return;
    va_list args;
    va_start(args, format);
    printf("%llu ", run.step);
    vprintf(format, args);
    puts("");
    va_end(args);
}

/* 0 to n - 1: xorshift64*. */
static unsigned chance(unsigned n) {
    run.random ^= run.random >> 12, run.random ^= run.random << 25, run.random ^= run.random >> 27;
    return (unsigned)((run.random * 0x2545F4914F6CDD1Dull >> 33) % n);
}

/* ---- State ----------------------------------------------------------------------------------- */

/* The presence of a user in a room, or of anybody. order: when the change was queued; clean: the
 * change has not been undone since. */
typedef struct news {
    int reported, queued, clean;
    unsigned long order;
} news;

typedef struct message {
    int opcode;
    size_t len;
    unsigned char *data; /* of its own */
} message;

static message message_copy(int opcode, const void *data, size_t len) {
    message m = {opcode, len, (unsigned char *)malloc(len + 1)};
    memcpy(m.data, data, len);
    return m;
}

typedef struct history {
    size_t most, most_bytes, count, bytes;
    message kept[8];
} history;

/* What a peer sent. start and end count the bytes of its connection; inside: a ping between two
 * fragments of the next message. */
typedef struct event {
    int kind, code, inside;
    uint64_t start, end;
    size_t len;
    unsigned char *data;
} event;

/* Where a message with a key, or a replay (key 0), lies in the stream. */
typedef struct mark {
    uint64_t start, key;
    size_t size;
} mark;

enum { FREE, CONNECTING, OPEN, ENDED, REPORTED }; /* REPORTED: on_close has run */

typedef struct peer {
    /* the client */
    int fd, generation, refused, stalled, mute; /* mute: it answers neither pings nor closes */
    int said_close, gone, reset;  /* gone: it closed its socket, or half of it */
    unsigned char out[1 << 15];   /* written, not yet sent */
    size_t out_len, head_len, part_at;
    uint64_t said;                /* bytes ever written */
    char head[400];               /* the answer to its request */
    event events[EVENTS];         /* sent, not yet delivered to the program */
    int event_count;
    /* its connection */
    int state, channel, user, rooms[ROOMS], room_count; /* the room joined last comes first */
    azc_conn *conn;
    uint64_t id;
    int sfd, lost, hard;          /* lost: 1 its end was read, 2 an error; hard: bytes are lost */
    uint64_t read, taken;         /* bytes that the server read, that the kernel took */
    int64_t heard, pinged, ended; /* moments; heard: when a message, ping or pong was whole */
    int code, other;              /* other: this close code would be right too */
    int words;                    /* bytes of the server's reason in its Close frame */
    char reason[124];
    size_t counted;               /* azc_backlog when the model last looked, */
    uint64_t looked;              /* and total then */
    uint32_t dropped;
    int may_drain, owes_drain, turns_read; /* turns_read: turns since it has received all */
    unsigned long left;           /* when it last left a room */
    /* what it receives: stream[0] is byte number base; before start lies the answer's head */
    unsigned char *stream;
    size_t stream_size;
    uint64_t base, start, total, got, walked;
    mark marks[MARKS];
    int mark_count;
    message late[KEYS];           /* with a key, and waiting for the backlog; oldest first */
    uint64_t late_keys[KEYS];
    int late_count;
} peer;

/* A period of azc_send, and what is held until it ends. */
typedef struct rate {
    int on, ms, holds, opcode, publish;
    int64_t due, seen_due;
    unsigned long order, seen_order;
    uint64_t except;
    size_t len, size;
    unsigned char *data;
} rate;

typedef struct task {
    int used, every, sentinel;
    int64_t due;
    unsigned long order;
    uint64_t id;
} task;

enum { ALL, ROOM, USER };
typedef struct target { int channel, kind, index; } target;

enum { OUTSIDE, SETTLE, READS, AFTER };   /* a turn's parts; timers run at the end of READS */
enum { STOP = 1, SHUTDOWN, DESTROY };     /* how a server ends */

static struct {
    azc_server *server;
    azc_channel *channels[CHANNELS];
    azc_config config;
    void *memory;                         /* of azc_create_in */
    size_t held;                          /* bytes allocated */
    int unix_socket, phase, calling, depth, result, ending, unrated, sentinel;
    int64_t now, turn;                    /* the clock, and what it was in the last turn */
    unsigned long tick;                   /* one more for each change: orders them */
    int64_t drain_from;
    int drain_ms, drain_count, drain_closed;
    int64_t end; /* the server ends by then; INT64_MAX: before the turn that begins to stop */
    peer *by_fd[FDS];
    uint64_t early[FDS];                  /* bytes read before the connection was known */
    int last_read;                        /* whose bytes the server reads in this turn, by fd */
    news rooms[CHANNELS][ROOMS], seats[CHANNELS][ROOMS][USERS];
    int news_due;                         /* a callback has returned: all news must come now */
    history histories[CHANNELS][ROOMS];
    rate rates[CHANNELS][1 + ROOMS + USERS][KEYS + 2]; /* batches, each key, local batches */
    task tasks[TASKS];
    uintptr_t posted, posts_run;
    int shown;                            /* on_publish was called, with */
    struct { int channel, room, opcode; size_t len; uint64_t hash; } publish;
    peer *error_peer;                     /* on_error must be called with */
    int error_due;
} w;

static peer peers[PEERS];
static const char *const room_names[ROOMS] = {"r0", "r1", "r2", "r3"};
static const char *const user_names[USERS] = {"u0", "u1", "u2"};
static const struct { int drops, presence, errors, parts; } traits[CHANNELS] = {
    {0, 1, 0, 0}, {1, 1, 1, 0}, {1, 0, 0, 1}};

static int number(const char *name) { return name == NULL ? -1 : name[1] - '0'; }
static int index_of(const peer *p) { return (int)(p - peers); }

static int in_room(const peer *p, int room) {
    for (int i = 0; i < p->room_count; i++) if (p->rooms[i] == room) return 1;
    return 0;
}

static int is_target(const peer *p, target t) {
    return p->state == OPEN && p->channel == t.channel &&
           (t.kind == ALL || (t.kind == ROOM ? in_room(p, t.index) : p->user == t.index));
}

static int count_of(int channel, int kind, int index) {
    target t = {channel, kind, index};
    int n = 0;
    for (peer *p = peers; p < peers + PEERS; p++) n += is_target(p, t);
    return n;
}

/* The connections of a user in a room. */
static int seated(int channel, int room, int user) {
    target t = {channel, ROOM, room};
    int n = 0;
    for (peer *p = peers; p < peers + PEERS; p++) n += p->user == user && is_target(p, t);
    return n;
}

/* ---- Streams --------------------------------------------------------------------------------- */

static size_t head_size(size_t len) { return len < 126 ? 2 : len < 65536 ? 4 : 10; }
static size_t frame_size(size_t len) { return head_size(len) + len; }
static size_t unsent(const peer *p) { return (size_t)(p->total - p->taken); }

/* Does the backlog have room for so many bytes more? */
static int fits(const peer *p, size_t size) {
    return size <= w.config.max_backlog && p->counted <= w.config.max_backlog - size;
}

static void encode(unsigned char *to, int opcode, const void *data, size_t len) {
    size_t head = head_size(len);
    to[0] = (unsigned char)(128 | opcode);
    to[1] = (unsigned char)(head == 2 ? len : head == 4 ? 126 : 127);
    for (size_t i = 2; i < head; i++) to[i] = (unsigned char)((uint64_t)len >> 8 * (head - 1 - i));
    if (len > 0) memcpy(to + head, data, len);
}

/* Make room for n bytes at the end of the stream; forget what the peer has looked at. */
static void stream_room(peer *p, size_t n) {
    size_t used = (size_t)(p->total - p->base), done = (size_t)(p->walked - p->base);
    if (used + n <= p->stream_size) return;
    if (used > done) memmove(p->stream, p->stream + done, used - done);
    p->base += done, used -= done;
    if (used + n <= p->stream_size / 2) return;
    p->stream_size = 2 * (used + n) + 4096;
    p->stream = (unsigned char *)realloc(p->stream, p->stream_size);
}

static void append(peer *p, int opcode, const void *data, size_t len) {
    stream_room(p, frame_size(len));
    encode(p->stream + (p->total - p->base), opcode, data, len);
    p->total += frame_size(len);
    run.frames++;
}

static void mark_add(peer *p, uint64_t start, size_t size, uint64_t key) {
    mark m = {start, key, size};
    int kept = 0;
    for (int i = 0; i < p->mark_count; i++)
        if (p->marks[i].start + p->marks[i].size > p->taken) p->marks[kept++] = p->marks[i];
    EXPECT(kept < MARKS, "the model has too few marks");
    p->marks[kept] = m;
    p->mark_count = kept + 1;
}

/* The newest queued message of this key of which the kernel has taken no byte. */
static mark *key_queued(peer *p, uint64_t key) {
    for (mark *m = p->marks + p->mark_count; m-- > p->marks;)
        if (m->key == key && m->start >= p->taken) return m;
    return NULL;
}

/* Replace a message where it stands; what lies behind it moves. */
static void replace(peer *p, mark *m, int opcode, const void *data, size_t len) {
    size_t size = frame_size(len), old = m->size;
    stream_room(p, size);
    unsigned char *at = p->stream + (m->start - p->base);
    memmove(at + size, at + old, (size_t)(p->total - m->start) - old);
    encode(at, opcode, data, len);
    p->total += size, p->total -= old;
    for (mark *o = p->marks; o < p->marks + p->mark_count; o++)
        if (o->start > m->start) o->start += size, o->start -= old;
    m->size = size;
    run.replaced++;
}

/* Of the unsent bytes, those of replays; and how many messages with a key are among them. */
static size_t replays_unsent(const peer *p, size_t *keyed) {
    size_t n = 0;
    *keyed = 0;
    for (const mark *m = p->marks; m < p->marks + p->mark_count; m++) {
        uint64_t end = m->start + m->size, from = m->start > p->taken ? m->start : p->taken;
        if (end <= p->taken) continue;
        if (m->key != 0) ++*keyed;
        else n += (size_t)(end - from);
    }
    return n;
}

/* Compare the connection's counts with the model's. */
static void look(peer *p) {
    size_t keyed, backlog = azc_backlog(p->conn), most = w.config.max_backlog;
    size_t bytes = unsent(p) - replays_unsent(p, &keyed);
    EXPECT(backlog >= bytes + keyed * BESIDES_LEAST && backlog <= bytes + keyed * BESIDES_MOST,
           "peer %d has %lu bytes queued, not %lu and %lu keys", index_of(p),
           (unsigned long)backlog, (unsigned long)bytes, (unsigned long)keyed);
    EXPECT(azc_dropped(p->conn) == p->dropped, "azc_dropped of peer %d is %lu, not %lu",
           index_of(p), (unsigned long)azc_dropped(p->conn), (unsigned long)p->dropped);
    if (backlog > most / 2 || backlog > most - w.config.max_message - 1024) p->may_drain = 1;
    p->counted = backlog, p->looked = p->total;
}

static void look_all(void) {
    for (peer *p = peers; p < peers + PEERS; p++)
        if (p->state == OPEN && azc_find(w.server, p->id) != NULL) look(p);
}

/* Messages that waited are queued. */
static void late_append(peer *p) {
    for (int i = 0; i < p->late_count; i++) {
        mark_add(p, p->total, frame_size(p->late[i].len), p->late_keys[i]);
        append(p, p->late[i].opcode, p->late[i].data, p->late[i].len);
        free(p->late[i].data);
    }
    p->late_count = 0;
}

/* ---- Presence -------------------------------------------------------------------------------- */

static void news_changed(news *n, int present) {
    if (!n->queued) n->queued = n->clean = 1, n->order = w.tick;
    if (present == n->reported) n->clean = 0;
}

/* The peer has joined or left a room. */
static void room_changed(const peer *p, int room) {
    int c = p->channel;
    if (!traits[c].presence) return;
    if (p->user >= 0) news_changed(&w.seats[c][room][p->user], seated(c, room, p->user) > 0);
    news_changed(&w.rooms[c][room], count_of(c, ROOM, room) > 0);
}

/* All of it by number; NULL behind the last. */
static news *news_at(int i, int *present) {
    int c = i / (ROOMS * (USERS + 1)), room = i / (USERS + 1) % ROOMS, user = i % (USERS + 1);
    if (c >= CHANNELS) return NULL;
    *present = user == USERS ? count_of(c, ROOM, room) > 0 : seated(c, room, user) > 0;
    return user == USERS ? &w.rooms[c][room] : &w.seats[c][room][user];
}

/* A report must be news, be true now, and not come before an older one. */
static void news_reported(news *n, int present, int told) {
    news *other;
    int unused;
    EXPECT(n->queued && told == present && told != n->reported,
           "presence %d was reported, but it is %d and was %d", told, present, n->reported);
    for (int i = 0; n->clean && (other = news_at(i, &unused)) != NULL; i++)
        EXPECT(!other->queued || !other->clean || other->order >= n->order,
               "presence was reported before an older change");
    n->reported = told, n->queued = 0;
}

/* Everything that changed must have been reported by now. */
static void news_check(void) {
    news *n;
    int present;
    for (int i = 0; (n = news_at(i, &present)) != NULL; i++) {
        EXPECT(!n->queued || n->reported == present, "a change of presence was not reported");
        n->queued = 0;
    }
    w.news_due = 0;
}

/* ---- What a call does to one peer ------------------------------------------------------------ */

/* The connection ends. close: a Close frame is queued. */
static void end_peer(peer *p, int code, const char *reason, size_t len, int close);

/* The server ends it, with a reason that on_close does not get. */
static void end_fault(peer *p, int code, const char *reason) {
    end_peer(p, code, reason, strlen(reason), 1);
    p->reason[0] = 0, p->words = (int)strlen(reason);
}

static void end_peer(peer *p, int code, const char *reason, size_t len, int close) {
    unsigned char payload[125];
    payload[0] = (unsigned char)(code >> 8), payload[1] = (unsigned char)code;
    memcpy(payload + 2, reason, len);
    late_append(p);
    if (close) append(p, CLOSE, payload, code == 1005 ? 0 : len + 2);
    p->state = ENDED, p->ended = w.now, p->code = code, p->left = w.tick;
    memcpy(p->reason, reason, len), p->reason[len] = 0;
    for (int i = 0; i < p->room_count; i++) room_changed(p, p->rooms[i]);
    trace("peer %d ends: %d %s", index_of(p), code, p->reason);
}

/* A message is refused. on_drain follows if it fits an empty backlog, whatever it costs besides. */
static int refuse(peer *p, size_t size, size_t besides) {
    p->dropped++;
    run.refused++;
    p->may_drain = 1;
    if (size + besides <= w.config.max_backlog) p->owes_drain = 1;
    if (!traits[p->channel].drops) end_fault(p, 1013, "the peer reads too slowly");
    return AZC_ERR_FULL;
}

/* Keep a message with a key until the backlog has room. All that wait take at most half of it. */
static int send_late(peer *p, int i, int opcode, const void *data, size_t len, uint64_t key) {
    size_t held = frame_size(len);
    for (int j = 0; j < p->late_count; j++) if (j != i) held += frame_size(p->late[j].len);
    if (azc_dropped(p->conn) != p->dropped) {
        EXPECT(held + KEYS * 200 > w.config.max_backlog / 2, "peer %d: a last value was refused",
               index_of(p));
        return refuse(p, frame_size(len), BESIDES_MOST);
    }
    EXPECT(held <= w.config.max_backlog / 2, "peer %d: too much waits", index_of(p));
    if (i < p->late_count) free(p->late[i].data);
    else p->late_keys[p->late_count++] = key;
    p->late[i] = message_copy(opcode, data, len);
    p->may_drain = p->owes_drain = 1;
    run.waited++;
    return AZC_OK;
}

/* With a key: what the server did shows whether the message was queued. */
static int send_keyed(peer *p, int opcode, const void *data, size_t len, uint64_t key) {
    size_t size = frame_size(len);
    int i = 0, open = azc_find(w.server, p->id) != NULL;
    mark *m = key_queued(p, key);
    while (i < p->late_count && p->late_keys[i] != key) i++;
    if (i < p->late_count) return send_late(p, i, opcode, data, len, key);
    if (m != NULL && (size <= m->size || fits(p, size - m->size)))
        return replace(p, m, opcode, data, len), AZC_OK;
    if (open && azc_backlog(p->conn) != p->counted) {
        EXPECT(fits(p, size + BESIDES_LEAST), "peer %d: a message beyond max_backlog", index_of(p));
        mark_add(p, p->total, size, key);
        append(p, opcode, data, len);
        return AZC_OK;
    }
    EXPECT(!fits(p, size + BESIDES_MOST), "peer %d: a last value is not queued", index_of(p));
    if (!traits[p->channel].drops) return refuse(p, size, BESIDES_MOST);
    return send_late(p, i, opcode, data, len, key);
}

/* The server has sent this; returns what the call must return. */
static int send_to(peer *p, int opcode, const void *data, size_t len, uint64_t key) {
    if (p->state != OPEN) return AZC_ERR_CLOSED;
    if (key != 0) return send_keyed(p, opcode, data, len, key);
    if (!fits(p, frame_size(len))) return refuse(p, frame_size(len), 0);
    append(p, opcode, data, len);
    return AZC_OK;
}

/* A peer has joined a room. The replay does not count, but only one is sure to fit. */
static int join(peer *p, int room, int result) {
    const history *h = &w.histories[p->channel][room];
    size_t keyed, queued = replays_unsent(p, &keyed);
    if (p->state != OPEN) return AZC_ERR_CLOSED;
    if (in_room(p, room)) return AZC_OK;
    if (result == AZC_ERR_FULL && h->count > 0 && queued > 0) return AZC_ERR_FULL;
    EXPECT(h->count == 0 || queued == 0 || queued + h->bytes <= 2 * w.config.max_backlog,
           "peer %d: too many replays", index_of(p));
    if (h->count > 0) mark_add(p, p->total, h->bytes, 0);
    for (const message *m = h->kept; m < h->kept + h->count; m++)
        append(p, m->opcode, m->data, m->len);
    memmove(p->rooms + 1, p->rooms, (size_t)p->room_count++ * sizeof *p->rooms);
    p->rooms[0] = room;
    room_changed(p, room);
    return AZC_OK;
}

/* Leave the room number i of the peer's list. */
static void leave_room(peer *p, int i) {
    int room = p->rooms[i];
    memmove(p->rooms + i, p->rooms + i + 1, (size_t)(--p->room_count - i) * sizeof *p->rooms);
    p->left = w.tick;
    room_changed(p, room);
}

/* ---- Broadcasts ------------------------------------------------------------------------------ */

static void history_keep(history *h, int opcode, const void *data, size_t len) {
    if (h->most == 0) return;
    while (h->count > 0 && (h->count == h->most || h->bytes + frame_size(len) > h->most_bytes)) {
        h->bytes -= frame_size(h->kept[0].len);
        free(h->kept[0].data);
        memmove(h->kept, h->kept + 1, --h->count * sizeof *h->kept);
    }
    if (frame_size(len) > h->most_bytes) return;
    h->kept[h->count++] = message_copy(opcode, data, len);
    h->bytes += frame_size(len);
}

static void history_set(history *h, size_t most, size_t bytes) {
    history old = *h;
    memset(h, 0, sizeof *h);
    h->most = most < bytes / 2 ? most : bytes / 2, h->most_bytes = bytes;
    for (size_t i = 0; i < old.count; i++) {
        history_keep(h, old.kept[i].opcode, old.kept[i].data, old.kept[i].len);
        free(old.kept[i].data);
    }
}

/* Returns for how many it is queued. */
static size_t broadcast(target t, int opcode, const void *data, size_t len, uint64_t key,
                        const peer *except) {
    size_t n = 0;
    if (t.kind == ROOM) history_keep(&w.histories[t.channel][t.index], opcode, data, len);
    for (peer *p = peers; p < peers + PEERS; p++)
        if (p != except && is_target(p, t)) n += send_to(p, opcode, data, len, key) == AZC_OK;
    return n;
}

static uint64_t hash_of(const void *data, size_t len) {
    uint64_t hash = 14695981039346656037ull;
    for (const unsigned char *at = (const unsigned char *)data; len-- > 0; at++)
        hash = (hash ^ *at) * 1099511628211ull;
    return hash;
}

/* on_publish must have been called for this. */
static void publish(target t, int opcode, const void *data, size_t len) {
    if (!traits[t.channel].presence || t.kind == USER) return;
    EXPECT(w.shown && w.publish.channel == t.channel && w.publish.opcode == opcode &&
           w.publish.room == (t.kind == ROOM ? t.index : -1) && w.publish.len == len &&
           w.publish.hash == hash_of(data, len), "on_publish did not show a broadcast");
    w.shown = 0;
}

/* ---- Rates ----------------------------------------------------------------------------------- */

static rate *rate_of(target t, const azc_message *m) {
    int at = t.kind == ALL ? 0 : 1 + (t.kind == USER ? ROOMS : 0) + t.index;
    return &w.rates[t.channel][at][m->batch && m->local ? KEYS + 1 : m->key];
}

static target target_of(const rate *r, uint64_t *key) {
    int i = (int)(r - &w.rates[0][0][0]), at = i / (KEYS + 2) % (1 + ROOMS + USERS);
    target t = {i / (KEYS + 2) / (1 + ROOMS + USERS), at == 0 ? ALL : at <= ROOMS ? ROOM : USER,
                at == 0 ? 0 : (at - 1) % ROOMS};
    *key = (uint64_t)(i % (KEYS + 2) % (KEYS + 1));
    return t;
}

/* Send what is held. */
static size_t rate_send(rate *r) {
    uint64_t key;
    target t = target_of(r, &key);
    const peer *except = NULL;
    if (key == 0) r->data[r->len++] = ']';
    for (peer *p = peers; p < peers + PEERS; p++)
        if (p->state == OPEN && p->id == r->except) except = p;
    size_t n = broadcast(t, r->opcode, r->data, r->len, key, except);
    if (r->publish) publish(t, r->opcode, r->data, r->len);
    r->holds = 0;
    return n;
}

static void rate_seen(azc_server *server, void *arg);

static void rate_begin(rate *r) {
    r->on = 1, r->due = w.now + r->ms, r->order = ++w.tick;
}

/* Set a timer right behind the rate's own, for the model to see what the period's end did. */
static void rate_watch(rate *r) {
    EXPECT(azc_after(w.server, r->ms, rate_seen, r) != 0, "azc_after returned 0");
    r->seen_due = r->due, r->seen_order = ++w.tick;
}

/* Send now, or hold it until the period ends. Returns for how many it is queued now. */
static size_t rate_take(target t, const azc_message *m, int opcode, const void *data, size_t len) {
    rate *r = rate_of(t, m);
    size_t n = 0, need = r->len + len + 2;
    if (m->batch && r->holds && need > w.config.max_message) n = rate_send(r);
    if (need > r->size) r->data = (unsigned char *)realloc(r->data, r->size = 2 * need);
    if (!m->batch || !r->holds) r->len = 0;
    if (m->batch) r->data[r->len++] = r->holds ? ',' : '[';
    memcpy(r->data + r->len, data, len);
    r->len += len, r->opcode = opcode, r->holds = 1, r->publish = !m->local;
    r->except = m->except != NULL ? azc_id(m->except) : 0;
    if (r->on) return n;
    r->ms = m->period_ms;
    rate_begin(r);
    rate_watch(r);
    return rate_send(r);
}

/* The rate whose period ended first, before the timer of this moment and order; or NULL. */
static rate *rate_due(int64_t due, unsigned long order) {
    rate *first = NULL;
    for (rate *r = w.rates[0][0]; r < w.rates[CHANNELS - 1][ROOMS + USERS] + KEYS + 2; r++) {
        if (!r->on || r->due > due || (r->due == due && r->order >= order)) continue;
        if (!first || r->due < first->due || (r->due == first->due && r->order < first->order))
            first = r;
    }
    return first;
}

/* A period is over. If something is held, it is sent and another begins. */
static void rate_end(rate *r) {
    if (w.news_due) news_check();
    w.tick++;
    r->on = 0;
    if (!r->holds) return;
    rate_begin(r);
    rate_send(r);
    look_all();
}

/* All periods end that end before the timer of this moment and order. */
static void rates_run(int64_t due, unsigned long order) {
    for (rate *r; (r = rate_due(due, order)) != NULL;) rate_end(r);
}
