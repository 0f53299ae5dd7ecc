/* model.c: random scripts against a real server on loopback, checked by a small model.
 *
 *     model SEED STEPS [FROM]     FROM: print what happens from this step on
 *
 * One process holds the server, its peers and the model. A step is one call of the API, one thing
 * that a peer does, or one turn of the loop. The model predicts the exact bytes that each peer
 * receives, each callback with its arguments, and the result of each call. It stops at the first
 * difference with the seed and the step, so that the same command shows it again.
 *
 * Four hooks make the predictions exact:
 *   clock_gettime  returns the model's clock, so timers and deadlines are due when a script says so
 *   send, sendmsg  count the bytes that the kernel took: the rest is the peer's backlog, and a
 *                  queued latest value may be replaced only while none of its bytes was taken
 *   recv           counts the bytes that the server has read, so the model knows which of the
 *                  peer's frames it has seen; both also cut reads and writes short
 *   poll           separates the parts of a turn
 *
 * Some events cause no callback: a peer's Close, a reset, a ping by the server, a shutdown. The
 * model finds them when it next runs (see agree), and checks that there was a reason for them. */
#define _DEFAULT_SOURCE 1
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <poll.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>
#ifdef AZCHAN_USE_EPOLL
#include <sys/epoll.h>
#endif

/* AZC_SYS(call) is HOOK_call if that is defined below, else the call itself. */
#define PICK(...) PICK_(__VA_ARGS__, 0)
#define PICK_(a, b, ...) b
#define AZC_SYS(call) PICK(HOOK_##call, call)
#define HOOK_clock_gettime 0, hook_clock
#define HOOK_poll 0, hook_poll
#define HOOK_epoll_wait 0, hook_epoll_wait
#define HOOK_accept 0, hook_accept
#define HOOK_accept4 0, hook_accept4
#define HOOK_recv 0, hook_recv
#define HOOK_send 0, hook_send
#define HOOK_sendmsg 0, hook_sendmsg
#define HOOK_close 0, hook_close
static int hook_clock(clockid_t, struct timespec *);
static int hook_poll(struct pollfd *, nfds_t, int);
#ifdef AZCHAN_USE_EPOLL
static int hook_epoll_wait(int, struct epoll_event *, int, int);
#endif
static int hook_accept(int, struct sockaddr *, socklen_t *);
static int hook_accept4(int, struct sockaddr *, socklen_t *, int);
static ssize_t hook_recv(int, void *, size_t, int);
static ssize_t hook_send(int, const void *, size_t, int);
static ssize_t hook_sendmsg(int, const struct msghdr *, int);
static int hook_close(int);

#define AZCHAN_IMPLEMENTATION
#include "../../azchan.h"

/* Faults of azchan.h that are known: 1 accepts them. */
enum { KNOWN_ERROR_AFTER_CLOSE = 1, KNOWN_DEADLINE_OF_LAST_TURN = 1 };

/* ---- Scripts and failures -------------------------------------------------------------------- */

enum { PEERS = 10, CHANNELS = 3, ROOMS = 4, USERS = 3, KEYS = 3, TASKS = 24, EVENTS = 24, FDS = 256 };
enum { TEXT = 1, BINARY = 2, CLOSE = 8, PING = 9, PONG = 10, BAD = 16 }; /* opcodes; BAD: none */

static struct {
    unsigned long long seed, random, from;
    unsigned long long step, steps, serial;
    long episodes, peers, frames, replaced, refused, closed[8];
} run;

static void fail(const char *format, ...) {
    va_list args;
    va_start(args, format);
    fflush(stdout);
    fprintf(stderr, "model %llu %llu: step %llu: ", run.seed, run.steps, run.step);
    vfprintf(stderr, format, args);
    fprintf(stderr, "\n");
    va_end(args);
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

/* 0 to n - 1. */
static unsigned chance(unsigned n) {
    run.random ^= run.random >> 12, run.random ^= run.random << 25, run.random ^= run.random >> 27;
    return (unsigned)((run.random * 0x2545F4914F6CDD1Dull >> 33) % n);
}

/* ---- The model's state ----------------------------------------------------------------------- */

/* A room's or a user's presence: what was reported last. `order` is when the change was queued;
 * `clean` is 1 while the change has never been undone since. */
typedef struct news {
    int reported, queued, clean;
    unsigned long order;
} news;

typedef struct message {
    int opcode;
    size_t len;
    unsigned char *data;
} message;

typedef struct history {
    size_t most, most_bytes, count, bytes;
    message kept[8];
} history;

/* What a peer sent, in order. start and end count the bytes of its connection. */
typedef struct event {
    int kind, code, inside; /* inside: a ping between two fragments of the next message */
    uint64_t start, end;
    size_t len;
    unsigned char *data;
} event;

/* A queued message with a key: where it lies in the peer's stream. */
typedef struct keyed {
    uint64_t start, key;
    size_t size;
} keyed;

enum { FREE, CONNECTING, OPEN, ENDED, REPORTED };

typedef struct peer {
    /* the client */
    int fd, generation, refused, stalled, mute, reset; /* mute: answers neither pings nor closes */
    unsigned char out[1 << 15];   /* written, not yet sent */
    size_t out_len;
    uint64_t said;                /* bytes ever written */
    int said_close, gone;         /* gone: it closed or reset its socket, or half of it */
    char head[400];               /* the answer to its request */
    size_t head_len;
    event events[EVENTS];         /* not yet delivered to the program */
    int event_count;
    size_t part_at;
    /* its connection */
    int state, channel, user, rooms[ROOMS], room_count; /* newest room first */
    azc_conn *conn;
    uint64_t id;
    int sfd, lost, hard;          /* hard: dropped, with what was queued */
    uint64_t read, taken;         /* bytes: read by the server, taken by the kernel */
    int64_t heard, pinged, ended;
    int code, other;              /* other: this code would be right too */
    char reason[124];
    uint32_t dropped;
    int may_drain, owes_drain;
    unsigned long left;           /* when it last left a room */
    /* what it receives: stream[0] is byte number base; before `start` lies the answer's head */
    unsigned char *stream;
    size_t stream_size;
    uint64_t base, start, total, got, walked;
    keyed keys[64];
    int key_count;
} peer;

typedef struct rate {
    int on, ms, waits, opcode, spread;
    int64_t due;
    unsigned long order;
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

enum { OUTSIDE, SETTLE, READS, AFTER };

static struct {
    azc_server *server;
    azc_channel *channels[CHANNELS];
    azc_config config;
    int fixed, unix_socket, phase, calling, ending, drain_ms, result, depth, sentinel, unrated;
    int64_t now, turn, drain_from; /* turn: the clock of the last turn */
    int drain_count, drain_closed;
    unsigned long tick;            /* one more for each change */
    peer *by_fd[FDS];
    uint64_t early[FDS];           /* bytes read before the connection was known */
    int last_read;
    news rooms[CHANNELS][ROOMS], seats[CHANNELS][ROOMS][USERS];
    int news_due;
    size_t loose_members, loose_rooms; /* left in this turn, and perhaps still counted */
    history histories[CHANNELS][ROOMS];
    rate rates[CHANNELS][1 + ROOMS + USERS][KEYS + 1];
    task tasks[TASKS];
    uintptr_t posted, post_done;
    struct { int channel, room, binary; size_t len; uint64_t hash; } published;
    int publishes;                 /* 1: published waits for its callback */
    int error_due;                 /* the result that on_error must report */
    peer *error_peer;
    size_t held;                   /* bytes allocated */
} w;
static peer peers[PEERS];
static const char *const room_names[ROOMS] = {"r0", "r1", "r2", "r3"};
static const char *const user_names[USERS] = {"u0", "u1", "u2"};
static const struct { int drop, presence, errors, parts; } traits[CHANNELS] = {
    {0, 1, 0, 0}, {1, 1, 1, 0}, {1, 0, 0, 1}};

static int number(const char *name) { return name == NULL ? -1 : name[1] - '0'; }
static int index_of(const peer *p) { return (int)(p - peers); }

static peer *peer_of(azc_conn *conn) {
    peer *p = &peers[*(int *)azc_data(conn)];
    EXPECT(p->conn == conn, "a callback for a connection that the model does not know");
    return p;
}

/* Some open peer, or NULL. */
static peer *pick(void) {
    for (unsigned i = 0, from = chance(PEERS); i < PEERS; i++) {
        peer *p = &peers[(from + i) % PEERS];
        if (p->state == OPEN) return p;
    }
    return NULL;
}

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

static int seated(int channel, int room, int user) {
    int n = 0;
    for (peer *p = peers; p < peers + PEERS; p++)
        n += p->state == OPEN && p->channel == channel && p->user == user && in_room(p, room);
    return n;
}

/* ---- What a peer receives -------------------------------------------------------------------- */

static size_t head_size(size_t len) { return len < 126 ? 2 : len < 65536 ? 4 : 10; }
static size_t backlog(const peer *p) { return (size_t)(p->total - p->taken); }

/* Make room for n bytes at the end of the stream; forget what the peer has looked at. */
static void stream_room(peer *p, size_t n) {
    size_t used = (size_t)(p->total - p->base), gone = (size_t)(p->walked - p->base);
    if (used + n <= p->stream_size) return;
    memmove(p->stream, p->stream + gone, used - gone);
    p->base += gone, used -= gone;
    if (used + n <= p->stream_size / 2) return;
    p->stream_size = 2 * (used + n) + 4096;
    p->stream = (unsigned char *)realloc(p->stream, p->stream_size);
    if (p->stream == NULL) abort();
}

static size_t encode(unsigned char *to, int opcode, const void *data, size_t len) {
    size_t head = head_size(len);
    to[0] = (unsigned char)(128 | opcode);
    to[1] = (unsigned char)(head == 2 ? len : head == 4 ? 126 : 127);
    for (size_t i = 2; i < head; i++)
        to[i] = (unsigned char)((uint64_t)len >> 8 * (head - 1 - i));
    if (len > 0) memcpy(to + head, data, len);
    return head + len;
}

/* The backlog is high enough for an on_drain: reading pauses at half of max_backlog, or sooner. */
static void check_drain_due(peer *p) {
    size_t most = w.config.max_backlog;
    if (backlog(p) > most / 2 || backlog(p) > most - w.config.max_message - 1024) p->may_drain = 1;
}

static void append(peer *p, int opcode, const void *data, size_t len, uint64_t key) {
    size_t size = head_size(len) + len;
    stream_room(p, size);
    encode(p->stream + (p->total - p->base), opcode, data, len);
    if (key != 0) {
        keyed k = {p->total, key, size};
        EXPECT(p->key_count < 64, "the model keeps too many keys");
        p->keys[p->key_count++] = k;
    }
    p->total += size;
    run.frames++;
    check_drain_due(p);
}

/* The queued message of this key, if the kernel has taken none of its bytes. */
static keyed *key_waiting(peer *p, uint64_t key) {
    int kept = 0;
    keyed *found = NULL;
    for (int i = 0; i < p->key_count; i++)
        if (p->keys[i].start >= p->taken) p->keys[kept++] = p->keys[i];
    p->key_count = kept;
    for (int i = kept; i-- > 0;) if (p->keys[i].key == key) found = &p->keys[i];
    return found;
}

/* Replace it where it stands; what lies behind it moves. */
static void replace(peer *p, keyed *k, int opcode, const void *data, size_t len) {
    size_t size = head_size(len) + len, old = k->size;
    stream_room(p, size);
    unsigned char *at = p->stream + (k->start - p->base);
    memmove(at + size, at + old, (size_t)(p->total - k->start) - old);
    encode(at, opcode, data, len);
    p->total += size, p->total -= old;
    for (keyed *j = p->keys; j < p->keys + p->key_count; j++)
        if (j->start > k->start) j->start += size, j->start -= old;
    k->size = size;
    run.replaced++;
    check_drain_due(p);
}

/* ---- News ------------------------------------------------------------------------------------ */

static void changed(news *n, int present) {
    if (!n->queued) n->queued = n->clean = 1, n->order = w.tick;
    if (present == n->reported) n->clean = 0;
}

/* The peer's membership of a room began or ended. */
static void room_changed(const peer *p, int room) {
    if (!traits[p->channel].presence) return;
    if (p->user >= 0)
        changed(&w.seats[p->channel][room][p->user], seated(p->channel, room, p->user) > 0);
    changed(&w.rooms[p->channel][room], count_of(p->channel, ROOM, room) > 0);
}

static news *news_at(int i, int *present) {
    int channel = i / (ROOMS * (USERS + 1)), room = i / (USERS + 1) % ROOMS, user = i % (USERS + 1);
    if (channel >= CHANNELS) return NULL;
    *present = user == USERS ? count_of(channel, ROOM, room) > 0 : seated(channel, room, user) > 0;
    return user == USERS ? &w.rooms[channel][room] : &w.seats[channel][room][user];
}

/* A report: it is news, it is true now, and nothing older waits. */
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
    w.news_due = 0;
    for (int i = 0; (n = news_at(i, &present)) != NULL; i++) {
        if (!n->queued) continue;
        EXPECT(n->reported == present, "a change of presence was not reported (number %d)", i);
        n->queued = 0;
    }
}

/* ---- What a call does to one peer ------------------------------------------------------------ */

/* The connection has ended. close: a Close frame is queued. */
static void end_peer(peer *p, int code, const char *reason, size_t len, int close) {
    unsigned char payload[125];
    payload[0] = (unsigned char)(code >> 8), payload[1] = (unsigned char)code;
    memcpy(payload + 2, reason, len);
    if (close) append(p, CLOSE, payload, code == 1005 ? 0 : len + 2, 0);
    p->state = ENDED, p->ended = KNOWN_DEADLINE_OF_LAST_TURN ? w.turn : w.now, p->code = code, p->left = w.tick;
    memcpy(p->reason, reason, len), p->reason[len] = 0;
    w.loose_members += (size_t)p->room_count + 1;
    w.loose_rooms += 2 * (size_t)p->room_count + 1;
    for (int i = 0; i < p->room_count; i++) room_changed(p, p->rooms[i]);
    trace("peer %d ends: %d %s", index_of(p), code, p->reason);
}

static int full(peer *p, size_t size) {
    p->dropped++;
    run.refused++;
    if (size <= w.config.max_backlog) p->may_drain = p->owes_drain = 1;
    if (!traits[p->channel].drop) end_peer(p, 1013, "", 0, 1);
    return AZC_ERR_FULL;
}

static int fits(const peer *p, size_t size) {
    return size <= w.config.max_backlog && backlog(p) <= w.config.max_backlog - size;
}

static int send_to(peer *p, int opcode, const void *data, size_t len, uint64_t key) {
    size_t size = head_size(len) + len;
    if (p->state != OPEN) return AZC_ERR_CLOSED;
    keyed *k = key != 0 ? key_waiting(p, key) : NULL;
    if (k != NULL && (size <= k->size || fits(p, size - k->size)))
        return replace(p, k, opcode, data, len), AZC_OK;
    if (!fits(p, size)) return full(p, size);
    append(p, opcode, data, len, key);
    return AZC_OK;
}

/* ---- Broadcasts, histories, rates ------------------------------------------------------------ */

static void history_keep(history *h, int opcode, const void *data, size_t len) {
    size_t size = head_size(len) + len;
    if (h->most == 0) return;
    while (h->count > 0 && (h->count == h->most || h->bytes + size > h->most_bytes)) {
        h->bytes -= head_size(h->kept[0].len) + h->kept[0].len;
        free(h->kept[0].data);
        memmove(h->kept, h->kept + 1, --h->count * sizeof *h->kept);
    }
    if (size > h->most_bytes) return;
    message m = {opcode, len, (unsigned char *)malloc(len + 1)};
    memcpy(m.data, data, len);
    h->kept[h->count++] = m;
    h->bytes += size;
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

/* Returns to how many it is queued. */
static size_t publish(target t, int opcode, const void *data, size_t len, uint64_t key,
                      const peer *except) {
    size_t n = 0;
    int to[PEERS];
    if (t.kind == ROOM) history_keep(&w.histories[t.channel][t.index], opcode, data, len);
    for (int i = 0; i < PEERS; i++) to[i] = is_target(&peers[i], t) && &peers[i] != except;
    for (int i = 0; i < PEERS; i++)
        if (to[i]) n += send_to(&peers[i], opcode, data, len, key) == AZC_OK;
    return n;
}

static uint64_t hash_of(const void *data, size_t len) {
    uint64_t hash = 14695981039346656037ull;
    for (size_t i = 0; i < len; i++)
        hash = (hash ^ ((const unsigned char *)data)[i]) * 1099511628211ull;
    return hash;
}

/* on_publish must be called for this. */
static void spread(target t, int opcode, const void *data, size_t len) {
    if (!traits[t.channel].presence) return;
    EXPECT(!w.publishes, "on_publish was not called for a broadcast");
    w.publishes = 1;
    w.published.channel = t.channel, w.published.room = t.kind == ROOM ? t.index : -1;
    w.published.binary = opcode == BINARY;
    w.published.len = len, w.published.hash = hash_of(data, len);
}

static rate *rate_of(target t, uint64_t key) {
    int at = t.kind == ALL ? 0 : 1 + (t.kind == USER ? ROOMS : 0) + t.index;
    return &w.rates[t.channel][at][key];
}

static target target_of(const rate *r, uint64_t *key) {
    int i = (int)(r - &w.rates[0][0][0]), at = i / (KEYS + 1) % (1 + ROOMS + USERS);
    target t = {i / (KEYS + 1) / (1 + ROOMS + USERS), at == 0 ? ALL : at <= ROOMS ? ROOM : USER,
                at == 0 ? 0 : (at - 1) % ROOMS};
    *key = (uint64_t)(i % (KEYS + 1));
    return t;
}

static size_t rate_send(rate *r) {
    uint64_t key;
    const peer *except = NULL;
    target t = target_of(r, &key);
    if (key == 0) r->data[r->len++] = ']';
    for (int i = 0; i < PEERS; i++)
        if (peers[i].state == OPEN && peers[i].id == r->except) except = &peers[i];
    size_t n = publish(t, r->opcode, r->data, r->len, key, except);
    if (r->spread) spread(t, r->opcode, r->data, r->len);
    r->waits = 0;
    return n;
}

/* Send now, or hold it until the period ends. */
static size_t rate_take(target t, const azc_message *m, int opcode, const void *data, size_t len) {
    rate *r = rate_of(t, m->key);
    size_t n = 0, at;
    if (m->batch && r->waits && r->len + len + 2 > w.config.max_message) n = rate_send(r);
    if (r->size < r->len + len + 2) r->data = (unsigned char *)realloc(r->data, r->size = 2 * (r->len + len + 2));
    at = m->batch && r->waits ? r->len : 0;
    if (m->batch) r->data[at++] = r->waits ? ',' : '[';
    if (len > 0) memcpy(r->data + at, data, len);
    r->len = at + len, r->opcode = opcode, r->waits = 1;
    r->except = m->except != NULL ? azc_id(m->except) : 0;
    r->spread = !m->local && t.kind != USER;
    if (r->on) return n;
    r->on = 1, r->ms = m->period_ms, r->due = w.now + r->ms, r->order = ++w.tick;
    return rate_send(r);
}

/* The rate whose period ended first, before this moment; NULL if there is none. */
static rate *rate_due(int64_t due, unsigned long order) {
    rate *first = NULL, *r = &w.rates[0][0][0];
    for (size_t i = 0; i < sizeof w.rates / sizeof *r; i++, r++) {
        if (!r->on || r->due > due || (r->due == due && r->order >= order)) continue;
        if (!first || r->due < first->due || (r->due == first->due && r->order < first->order))
            first = r;
    }
    return first;
}

/* A period is over. If something waited, another begins. */
static void rate_end(rate *r) {
    if (w.news_due) news_check();
    w.tick++;
    r->on = r->waits;
    if (!r->on) return;
    rate_send(r);
    r->due = w.now + r->ms, r->order = ++w.tick;
}

/* All periods that end before this moment. */
static void rates_run(int64_t due, unsigned long order) {
    for (rate *r; (r = rate_due(due, order)) != NULL;) {
        rate_end(r);
        EXPECT(!w.publishes, "on_publish was not called for a held message");
    }
}

/* ---- The model meets the server -------------------------------------------------------------- */

/* A connection has ended without a call of the program: find the reason. */
static void find_end(peer *p) {
    event *e = p->events;
    int silent = w.config.pong_ms > 0 && p->pinged >= p->heard &&
                 w.now - p->heard >= w.config.pong_ms;
    int bad = p->event_count > 0 && e->kind == BAD && e->start < p->read &&
              w.last_read == p->sfd && !p->lost;
    if (p->event_count > 0 && e->kind == CLOSE && e->end <= p->read) {
        end_peer(p, e->code, (const char *)e->data, e->len, 1);
    } else if (bad) {
        end_peer(p, e->code, "", 0, 1);
        p->other = w.ending && p->read < p->said ? 1001 : 0;
    } else if (p->lost) {
        end_peer(p, 1006, "", 0, 0);
        p->hard = p->lost == 2;
    } else if (w.ending) {
        end_peer(p, 1001, "", 0, 1);
        p->other = silent || p->gone ? 1006 : 0, w.drain_closed++;
    } else {
        EXPECT(silent || p->gone, "peer %d was ended without a reason: heard %ld ms ago, pinged %ld",
               index_of(p), (long)(w.now - p->heard), (long)(w.now - p->pinged));
        end_peer(p, 1006, "", 0, 0);
        p->hard = 1;
    }
}

static const unsigned char empty_ping[1];

/* Compare the server's state with the model's; take over what happened without a callback. */
static void agree(void) {
    w.tick++;
    for (peer *p = peers; p < peers + PEERS; p++) {
        if (p->state != OPEN) continue;
        if (azc_find(w.server, p->id) == NULL) {
            find_end(p);
            continue;
        }
        EXPECT(!p->lost, "peer %d is open after its end", index_of(p));
        size_t queued = azc_backlog(p->conn);
        if (queued == backlog(p) + 2 && w.config.ping_ms > 0 && w.phase >= READS) {
            EXPECT(w.now - p->heard >= w.config.ping_ms, "peer %d is pinged too soon", index_of(p));
            append(p, PING, empty_ping, 0, 0);
            p->pinged = w.now;
        }
        EXPECT(queued == backlog(p), "peer %d has %lu bytes queued, not %lu", index_of(p),
               (unsigned long)queued, (unsigned long)backlog(p));
        EXPECT(azc_dropped(p->conn) == p->dropped, "peer %d: azc_dropped is %lu, not %lu",
               index_of(p), (unsigned long)azc_dropped(p->conn), (unsigned long)p->dropped);
    }
}

/* The timers of this turn have run. */
static void after_timers(void) {
    w.phase = AFTER;
    rates_run(w.now + 1, 0);
    for (task *t = w.tasks; t < w.tasks + TASKS; t++)
        EXPECT(!t->used || t->due > w.now, "a timer due at %lld did not run", (long long)t->due);
}

enum { CALLBACK, NEWS, ON_ERROR, FLUSH, READ };

/* The server calls us. */
static void enter(int what) {
    EXPECT(!w.calling, "a callback runs inside a call");
    EXPECT(what == ON_ERROR || w.error_due == AZC_OK, "on_error was not called");
    if (what != NEWS && what != ON_ERROR && w.news_due) news_check();
    if (what == FLUSH && w.phase == READS) after_timers();
    agree();
}

/* A callback returns. */
static int leave(peer *p, int result) {
    static const char words[] = "{\"type\":\"error\",\"code\":\"INTERNAL_ERROR\"}";
    w.news_due = 1;
    if (result == AZC_OK || p->state != OPEN) return result;
    if (traits[p->channel].errors) w.error_due = result, w.error_peer = p;
    else send_to(p, TEXT, words, sizeof words - 1, 0);
    return result;
}

/* ---- Hooks ----------------------------------------------------------------------------------- */

static int hook_clock(clockid_t clock, struct timespec *t) {
    (void)clock;
    t->tv_sec = (time_t)(w.now / 1000), t->tv_nsec = (long)(w.now % 1000) * 1000000;
    return 0;
}

/* A turn's first half is over. Now and then the wait is interrupted. */
static int wait_begins(void) {
    enter(FLUSH);
    for (int i = 0; i < PEERS; i++)
        EXPECT(peers[i].state != ENDED, "on_close of peer %d did not come in its turn", i);
    w.phase = READS, w.turn = w.now, w.last_read = -1;
    if (chance(200) > 0) return 0;
    errno = EINTR;
    return -1;
}

static int hook_poll(struct pollfd *fds, nfds_t count, int timeout) {
    EXPECT(timeout == 0, "azc_poll(server, 0) waits");
    return wait_begins() < 0 ? -1 : poll(fds, count, 0);
}

#ifdef AZCHAN_USE_EPOLL
static int hook_epoll_wait(int fd, struct epoll_event *events, int most, int timeout) {
    EXPECT(timeout == 0, "azc_poll(server, 0) waits");
    return wait_begins() < 0 ? -1 : epoll_wait(fd, events, most, 0);
}
#endif

/* A small buffer in the kernel, so that a peer that does not read is soon a slow one. */
static int small_buffer(int fd) {
    int size = chance(4) == 0 ? 65536 : 4608;
    EXPECT(fd < FDS, "too many descriptors");
    if (fd >= 0) setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &size, sizeof size);
    return fd;
}

static int hook_accept(int fd, struct sockaddr *address, socklen_t *len) {
    return small_buffer(accept(fd, address, len));
}

#ifdef SOCK_CLOEXEC
int accept4(int, struct sockaddr *, socklen_t *, int); /* hidden without _GNU_SOURCE */
__attribute__((unused))
static int hook_accept4(int fd, struct sockaddr *address, socklen_t *len, int flags) {
    return small_buffer(accept4(fd, address, len, flags));
}
#endif

static ssize_t hook_recv(int fd, void *to, size_t len, int flags) {
    peer *p = w.by_fd[fd];
    enter(READ);
    ssize_t n = recv(fd, to, chance(3) == 0 && len > 1 ? 1 + chance((unsigned)len - 1) : len, flags);
    w.last_read = fd;
    if (p == NULL) {
        if (n > 0) w.early[fd] += (uint64_t)n;
        return n;
    }
    if (n > 0) p->read += (uint64_t)n, p->heard = w.now;
    else if (n == 0) p->lost = 1;
    else if (errno != EAGAIN && errno != EINTR) p->lost = 2;
    return n;
}

/* A flush, or a large message that is sent in its call. */
static void send_begins(peer *p) {
    if (w.calling) return;
    enter(FLUSH);
    if (p != NULL && p->state == OPEN && backlog(p) > w.config.max_backlog / 2) p->owes_drain = 1;
}

static ssize_t sent(peer *p, ssize_t n) {
    if (p == NULL) return n;
    if (n > 0) p->taken += (uint64_t)n;
    else if (n < 0 && errno != EAGAIN && !w.calling && p->state == OPEN && !p->lost) p->lost = 2;
    return n;
}

static ssize_t hook_send(int fd, const void *from, size_t len, int flags) {
    peer *p = w.by_fd[fd];
    send_begins(p);
    return sent(p, send(fd, from, chance(8) == 0 ? 1 + chance((unsigned)len) : len, flags));
}

static ssize_t hook_sendmsg(int fd, const struct msghdr *message, int flags) {
    peer *p = w.by_fd[fd];
    struct msghdr some = *message;
    send_begins(p);
    if (chance(8) == 0) some.msg_iovlen = 1;
    return sent(p, sendmsg(fd, &some, flags));
}

static int hook_close(int fd) {
    peer *p = fd < FDS ? w.by_fd[fd] : NULL;
    if (p != NULL) {
        EXPECT(p->state == REPORTED, "peer %d: closed before on_close", index_of(p));
        EXPECT(p->taken == p->total || p->hard || p->gone || w.ending == 3 ||
               w.now - p->ended >= w.config.close_ms,
               "peer %d: closed with %lu bytes unsent", index_of(p), (unsigned long)backlog(p));
        if (p->taken < p->total) p->hard = 1;
        p->sfd = -1;
    }
    if (fd < FDS) w.by_fd[fd] = NULL, w.early[fd] = 0;
    return close(fd);
}

/* Memory that never stays where it was, and counts. */
static void *counted(void *user, void *ptr, size_t old_size, size_t new_size) {
    void *fresh = new_size > 0 ? malloc(new_size) : NULL;
    (void)user;
    if (fresh != NULL && ptr != NULL) memcpy(fresh, ptr, old_size < new_size ? old_size : new_size);
    free(ptr);
    w.held += new_size, w.held -= old_size;
    return fresh;
}

/* ---- Calls ----------------------------------------------------------------------------------- */

static int called(int result) { return w.calling--, result; }
#define CALL(x) (w.calling++, called(x))
#define EXPECT_RESULT(got, want, what) do { \
    int got_ = (got), want_ = (want); \
    EXPECT(got_ == want_, "%s returned %d, not %d", what, got_, want_); \
    EXPECT(!w.publishes, "%s: on_publish was not called", what); } while (0)

static char text[1 << 16];
static char pattern[1 << 15]; /* of units of 4 bytes: a letter and a character of 3 bytes */

/* A message that no other equals. Returns its length. json: as JSON. most: of the filler. */
static size_t compose(int json, unsigned most) {
    unsigned kind = chance(100), fill = kind < 70 ? 0 : kind < 90 ? 60 : kind < 98 ? 700 : 5000;
    size_t n = (size_t)sprintf(text, "%s%llu", json && fill ? "\"" : "", ++run.serial);
    fill = 4 * chance((fill < most / 4 ? fill : most / 4) + 1);
    if (kind < 70) return n;
    memcpy(text + n, pattern + 4 * chance(1024), fill);
    n += fill;
    if (json) text[n++] = '"';
    text[n] = 0;
    return n;
}

static size_t shown(size_t len) { return chance(4) == 0 ? AZC_NUL : len; }

static target some_target(void) {
    target t = {(int)chance(CHANNELS), ALL, 0};
    if (chance(4) > 0) t.kind = ROOM, t.index = (int)chance(ROOMS);
    return t;
}

/* azc_send: any target, any kind. */
static void act_send(void) {
    azc_message m;
    azc_writer writer;
    char json[64];
    size_t queued = 99, want = 0;
    target t = some_target();
    peer *to = chance(5) == 0 ? pick() : NULL, *except = chance(4) == 0 ? pick() : NULL;
    int rated = !w.fixed && !w.unrated && chance(2) == 0, opcode = TEXT, result = AZC_OK;
    memset(&m, 0, sizeof m);
    if (to == NULL && chance(4) == 0) t.kind = USER, t.index = (int)chance(USERS);
    if (!w.fixed && chance(2) == 0) m.key = 1 + chance(KEYS);
    if (rated && to == NULL) m.period_ms = 2 + 2 * (int)chance(20), m.batch = m.key == 0;
    m.len = compose(m.batch, m.batch ? 1000 : m.period_ms ? 10000 : 20000);
    if (m.key == 0 && chance(5) == 0) {
        m.len = (size_t)sprintf(text, "{\"n\":%llu}", ++run.serial);
        writer = azc_put_begin(json, sizeof json);
        azc_put_uint(&writer, "n", run.serial);
        m.json = &writer;
    } else if (!m.batch && chance(4) == 0) {
        m.binary = text, opcode = BINARY;
    } else {
        m.text = text;
    }
    if (except != NULL && except->channel == t.channel && !m.batch && to == NULL) m.except = except->conn;
    else except = NULL;
    m.local = chance(4) == 0;
    m.queued = chance(2) ? &queued : NULL;
    if (to != NULL) {
        t.channel = to->channel, m.to = to->conn;
        result = send_to(to, opcode, text, m.len, m.key);
        want = result == AZC_OK;
    } else {
        m.room = t.kind == ROOM ? room_names[t.index] : NULL;
        m.user = t.kind == USER ? user_names[t.index] : NULL;
        if (m.period_ms > 0) want = rate_take(t, &m, opcode, text, m.len);
        else want = publish(t, opcode, text, m.len, m.key, except);
        if (m.period_ms == 0 && !m.local && t.kind != USER) spread(t, opcode, text, m.len);
    }
    trace("azc_send: channel %d, kind %d of %d, to %d, key %d, period %d, %lu bytes: %lu", t.channel,
          t.kind, t.index, to ? index_of(to) : -1, (int)m.key, m.period_ms, (unsigned long)m.len,
          (unsigned long)want);
    if (m.json == NULL && m.binary == NULL) m.len = shown(m.len);
    EXPECT_RESULT(CALL(azc_send(w.channels[t.channel], &m)), result, "azc_send");
    EXPECT(m.queued == NULL || queued == want, "azc_send queued for %lu, not %lu",
           (unsigned long)queued, (unsigned long)want);
}

static void act_broadcast(void) {
    target t = some_target();
    peer *except = chance(4) == 0 ? pick() : NULL;
    azc_channel *channel = w.channels[t.channel];
    const char *room = t.kind == ROOM ? room_names[t.index] : NULL;
    size_t len = compose(0, 20000);
    int kind = (int)chance(4), opcode = kind == 1 ? BINARY : TEXT;
    if (kind >= 2 || (except != NULL && except->channel != t.channel)) except = NULL;
    if (kind == 3) t.kind = USER, t.index = (int)chance(USERS);
    publish(t, opcode, text, len, 0, except);
    if (kind < 2) spread(t, opcode, text, len);
    trace("broadcast %d: channel %d, kind %d of %d", kind, t.channel, t.kind, t.index);
    const azc_conn *but = except != NULL ? except->conn : NULL;
    int got = kind == 0 ? CALL(azc_broadcast(channel, room, text, shown(len), but))
              : kind == 1 ? CALL(azc_broadcast_binary(channel, room, text, len, but))
              : kind == 2 ? CALL(azc_deliver(channel, room, text, len, 0))
                          : CALL(azc_send_user(channel, user_names[t.index], text, len));
    EXPECT_RESULT(got, AZC_OK, "a broadcast");
}

/* The sends of one connection. It may have ended: then only on_close may do this. */
static void act_own(peer *p) {
    size_t len = compose(0, 20000);
    target t = {p->channel, ALL, 0};
    int kind = (int)chance(5), got, want = AZC_OK;
    trace("send %d of peer %d", kind, index_of(p));
    if (kind < 2) {
        want = send_to(p, kind == 0 ? TEXT : BINARY, text, len, 0);
        got = kind == 0 ? CALL(azc_send_text(p->conn, text, shown(len)))
                        : CALL(azc_send_binary(p->conn, text, len));
    } else {
        if (kind == 4 && p->room_count > 0) t.kind = ROOM, t.index = p->rooms[0];
        if (kind == 4 && p->room_count == 0) want = AZC_ERR_STATE;
        if (want == AZC_OK) publish(t, TEXT, text, len, 0, kind == 2 ? NULL : p);
        if (want == AZC_OK) spread(t, TEXT, text, len);
        got = kind == 2 ? CALL(azc_send_all(p->conn, text, len))
              : kind == 3 ? CALL(azc_send_others(p->conn, text, len))
                          : CALL(azc_send_room(p->conn, text, shown(len)));
    }
    EXPECT_RESULT(got, want, "a send");
}

/* Memberships and rooms in use; with config.memory both are limited. */
static size_t members_used(void) {
    size_t n = 0;
    for (peer *p = peers; p < peers + PEERS; p++)
        if (p->state == OPEN) n += (size_t)p->room_count + (p->user >= 0);
    return n;
}

static size_t rooms_used(void) {
    size_t n = 0;
    for (int c = 0; c < CHANNELS; c++) {
        for (int u = 0; u < USERS; u++) n += count_of(c, USER, u) > 0;
        for (int r = 0; r < ROOMS; r++) {
            n += count_of(c, ROOM, r) > 0;
            for (int u = 0; u < USERS && traits[c].presence; u++) n += seated(c, r, u) > 0;
        }
    }
    return n;
}

/* A join was refused, or not: were the limits reached? more: the rooms that it adds. */
static void check_limits(int result, size_t more) {
    size_t members = members_used(), rooms = rooms_used() + more;
    size_t most_members = (size_t)w.config.max_memberships, most_rooms = (size_t)w.config.max_rooms;
    if (result == AZC_OK)
        EXPECT(members < most_members && rooms <= most_rooms, "a join beyond the limits");
    else
        EXPECT(result == AZC_ERR_FULL && (members + w.loose_members >= most_members ||
               rooms + w.loose_rooms > most_rooms), "a join within the limits returned %d", result);
}

static void act_join(peer *p) {
    int room = (int)chance(ROOMS), want = AZC_OK;
    history *h = &w.histories[p->channel][room];
    int adds = p->state == OPEN && !in_room(p, room);
    int got = CALL(azc_join(p->conn, room_names[room]));
    trace("peer %d joins %d: %d", index_of(p), room, got);
    if (adds && w.fixed) {
        check_limits(got, (count_of(p->channel, ROOM, room) == 0) +
                     (size_t)(traits[p->channel].presence && p->user >= 0 &&
                              seated(p->channel, room, p->user) == 0));
        adds = got == AZC_OK, want = got;
    } else if (p->state != OPEN) {
        want = AZC_ERR_CLOSED;
    } else if (adds && h->most > 0 && !fits(p, h->bytes)) {
        want = full(p, h->bytes);
    }
    EXPECT_RESULT(got, want, "azc_join");
    if (!adds || want != AZC_OK) return;
    for (size_t i = 0; i < h->count && h->most > 0; i++)
        append(p, h->kept[i].opcode, h->kept[i].data, h->kept[i].len, 0);
    memmove(p->rooms + 1, p->rooms, (size_t)p->room_count++ * sizeof *p->rooms);
    p->rooms[0] = room;
    room_changed(p, room);
}

static void left(peer *p, int i) {
    int room = p->rooms[i];
    memmove(p->rooms + i, p->rooms + i + 1, (size_t)(--p->room_count - i) * sizeof *p->rooms);
    w.loose_members++, w.loose_rooms += 2;
    p->left = w.tick;
    room_changed(p, room);
}

static void act_leave(peer *p, int all) {
    int room = (int)chance(ROOMS), open = p->state == OPEN;
    trace("peer %d leaves %s", index_of(p), all ? "all" : room_names[room]);
    EXPECT_RESULT(CALL(all ? azc_leave_all(p->conn) : azc_leave(p->conn, room_names[room])), AZC_OK,
                  "azc_leave");
    for (int i = p->room_count; open && i-- > 0;) if (all || p->rooms[i] == room) left(p, i);
}

static void act_user(peer *p) {
    int user = (int)chance(USERS);
    int want = p->state != OPEN ? AZC_ERR_CLOSED
               : p->user >= 0 || p->room_count > 0 ? AZC_ERR_STATE : AZC_OK;
    int got = CALL(azc_set_user(p->conn, user_names[user]));
    if (want == AZC_OK && w.fixed) check_limits(got, count_of(p->channel, USER, user) == 0), want = got;
    EXPECT_RESULT(got, want, "azc_set_user");
    if (want == AZC_OK) p->user = user;
    trace("peer %d is user %d: %d", index_of(p), user, want);
}

static void act_close(peer *p) {
    static const int codes[] = {0, 1000, 1001, 1011, 3000, 4999};
    int code = codes[chance(6)], want = p->state == OPEN ? AZC_OK : AZC_ERR_CLOSED;
    char reason[32] = "";
    if (code && chance(2)) sprintf(reason, "because %llu", ++run.serial);
    if (want == AZC_OK) end_peer(p, code ? code : 1005, reason, strlen(reason), 1);
    EXPECT_RESULT(CALL(azc_close(p->conn, code, chance(2) || *reason ? reason : NULL)), want,
                  "azc_close");
}

static void act_ping(peer *p) {
    size_t len = chance(3) ? compose(0, 0) : 0;
    int want = p->state != OPEN ? AZC_ERR_CLOSED
               : backlog(p) > w.config.max_backlog ? AZC_ERR_FULL : AZC_OK;
    if (want == AZC_OK) append(p, PING, text, len, 0);
    trace("ping to peer %d", index_of(p));
    EXPECT_RESULT(CALL(azc_ping(p->conn, text, len)), want, "azc_ping");
}

static void act_history(void) {
    int channel = (int)chance(CHANNELS), room = (int)chance(ROOMS);
    size_t most = chance(9), bytes = 2 + chance((unsigned)w.config.max_backlog / 2 - 1);
    if (chance(2)) bytes = 2 + chance(200);
    int want = w.fixed ? AZC_ERR_STATE : AZC_OK;
    trace("history of %d in channel %d: %lu, %lu", room, channel, (unsigned long)most, (unsigned long)bytes);
    EXPECT_RESULT(CALL(azc_set_history(w.channels[channel], room_names[room], most, bytes)), want,
                  "azc_set_history");
    if (!w.fixed) history_set(&w.histories[channel][room], most, bytes);
}

/* ---- Timers and posts ------------------------------------------------------------------------ */

static void acts(peer *self, unsigned most);

static void task_ran(azc_server *server, void *arg) {
    task *t = (task *)arg;
    EXPECT(server == w.server && t->used && t->due <= w.now, "a timer runs too soon, or once more");
    EXPECT(w.phase == READS, "a timer runs outside its part of the turn");
    rates_run(t->due, t->order);
    enter(CALLBACK);
    for (task *o = w.tasks; o < w.tasks + TASKS; o++)
        EXPECT(!o->used || o->due > t->due || (o->due == t->due && o->order >= t->order),
               "a timer runs before an older one");
    trace("timer due at %lld", (long long)t->due);
    if (t->every > 0) t->due += ((w.now - t->due) / t->every + 1) * t->every, t->order = ++w.tick;
    else t->used = 0;
    if (!t->sentinel) acts(NULL, 3);
    w.news_due = 1;
}

static task *task_add(int ms, int every) {
    task *t = w.tasks;
    while (t < w.tasks + TASKS && t->used) t++;
    if (t == w.tasks + TASKS) return NULL;
    t->id = every ? azc_every(w.server, ms, task_ran, t) : azc_after(w.server, ms, task_ran, t);
    EXPECT(t->id != 0 || w.fixed, "no timer");
    if (t->id == 0) return NULL;
    t->used = 1, t->every = every ? ms : 0, t->sentinel = 0, t->order = ++w.tick;
    t->due = w.now + ms > w.turn ? w.now + ms : w.turn + 1;
    return t;
}

static void act_timer(void) {
    int ms = (int)chance(chance(4) ? 30 : 3000), i = (int)chance(TASKS - 4);
    task *t = &w.tasks[i];
    if (chance(2) && !t->sentinel) {
        EXPECT_RESULT(azc_cancel(w.server, t->id), t->used ? AZC_OK : AZC_ERR_ARGUMENT, "azc_cancel");
        trace("cancel timer %d", i);
        t->used = 0;
    } else if (!w.tasks[TASKS - 4].used) { /* the last are for sentinels */
        t = task_add(ms + 1, (int)chance(2));
        trace("a timer in %d", ms + 1);
    }
}

static void post_ran(azc_server *server, void *arg) {
    enter(CALLBACK);
    EXPECT(server == w.server && (uintptr_t)arg == w.post_done + 1 && w.post_done < w.posted,
           "post %lu runs after %lu", (unsigned long)(uintptr_t)arg, (unsigned long)w.post_done);
    w.post_done++;
    acts(NULL, 2);
    w.news_due = 1;
}

static void act_post(void) {
    if (w.posted - w.post_done > 500 || w.ending == 3) return;
    for (unsigned n = chance(20) ? 1 : 100; n > 0; n--)
        EXPECT_RESULT(azc_post(w.server, post_ran, (void *)++w.posted), AZC_OK, "azc_post");
}

/* ---- What the program may ask ---------------------------------------------------------------- */

static void act(peer *self);

/* Walk a room or channel. In the loop anything may happen. */
static void act_walk(void) {
    target t = some_target();
    unsigned long from = ++w.tick;
    const char *room = t.kind == ROOM ? room_names[t.index] : NULL;
    int before[PEERS], visited[PEERS] = {0};
    for (int i = 0; i < PEERS; i++) before[i] = is_target(&peers[i], t);
    EXPECT(azc_count(w.channels[t.channel], room) == (size_t)count_of(t.channel, t.kind, t.index),
           "azc_count is wrong");
    for (azc_cursor c = azc_members(w.channels[t.channel], room); azc_cursor_next(&c);) {
        peer *p = peer_of(c.conn);
        EXPECT(is_target(p, t) && !visited[index_of(p)], "peer %d is walked", index_of(p));
        visited[index_of(p)] = 1;
        if (w.depth < 2 && chance(3) == 0) act(p);
    }
    for (int i = 0; i < PEERS; i++)
        EXPECT(!before[i] || visited[i] || !is_target(&peers[i], t) || peers[i].left >= from,
               "peer %d is not walked", i);
}

static void act_look(peer *p) {
    target t = some_target();
    int users[USERS] = {0}, rooms[ROOMS] = {0};
    for (azc_cursor c = azc_users(w.channels[t.channel], t.kind == ROOM ? room_names[t.index] : NULL);
         azc_cursor_next(&c);) {
        const peer *of = peer_of(c.conn);
        EXPECT(is_target(of, t) && of->user == number(c.user), "azc_users shows a stranger");
        users[of->user]++;
    }
    for (int u = 0; u < USERS; u++) {
        int there = t.kind == ROOM ? seated(t.channel, t.index, u) : count_of(t.channel, USER, u);
        EXPECT(users[u] == (there > 0), "azc_users shows user %d %d times", u, users[u]);
    }
    if (p == NULL) return;
    for (azc_cursor c = azc_rooms(p->conn); azc_cursor_next(&c);) rooms[number(c.room)]++;
    for (int r = 0; r < ROOMS; r++) EXPECT(rooms[r] == in_room(p, r), "azc_rooms is wrong");
    EXPECT(number(azc_user(p->conn)) == p->user, "azc_user is wrong");
    EXPECT(azc_send_text(p->conn, "\xff", 1) == (p->state == OPEN ? AZC_ERR_UTF8 : AZC_ERR_CLOSED),
           "bad UTF-8 was sent");
}

/* One call. self: the connection of the callback that makes it, or NULL. */
static void act(peer *self) {
    peer *p = self != NULL && chance(2) ? self : pick();
    run.step++, w.tick++, w.depth++;
    if (p == NULL) p = self;
    switch (p == NULL ? 10 + chance(6) : chance(24)) {
    case 0: case 1: case 2: case 3: act_own(p); break;
    case 4: case 5: case 6: act_join(p); break;
    case 7: act_leave(p, chance(4) == 0); break;
    case 8: act_user(p); break;
    case 9: act_ping(p); break;
    case 10: act_timer(); break;
    case 11: act_post(); break;
    case 12: if (chance(4) == 0) act_history(); break;
    case 13: act_walk(); break;
    case 14: act_look(p); break;
    case 15: if (p != NULL && chance(8) == 0) act_close(p); break;
    case 16: case 17: case 18: act_broadcast(); break;
    default: act_send(); break;
    }
    w.depth--;
}

static void acts(peer *self, unsigned most) {
    for (unsigned n = chance(most + 1); n > 0; n--) act(self);
}

/* ---- Callbacks ------------------------------------------------------------------------------- */

static int some_result(void) { return chance(20) == 0 ? AZC_ERR_APP : AZC_OK; }

static int on_upgrade(azc_conn *conn) {
    const char *user = azc_query(conn, "u");
    peer *p = &peers[atoi(azc_query(conn, "p"))];
    enter(CALLBACK);
    if (p->state != CONNECTING || p->generation != atoi(azc_query(conn, "g"))) return 403;
    if (p->refused) return 403;
    if (user != NULL) {
        int result = azc_set_user(conn, user);
        if (w.fixed) check_limits(result, count_of(p->channel, USER, number(user)) == 0);
        if (w.fixed && result != AZC_OK) return p->refused = 1, 403;
        EXPECT(result == AZC_OK, "azc_set_user returned %d", result);
        p->user = number(user);
    }
    EXPECT_RESULT(azc_send_text(conn, "x", 1), AZC_ERR_STATE, "azc_send_text to a request");
    *(int *)azc_data(conn) = index_of(p);
    p->conn = conn, p->id = azc_id(conn), p->sfd = w.last_read;
    p->read = w.early[p->sfd], p->heard = w.now;
    w.by_fd[p->sfd] = p;
    return AZC_OK;
}

static int on_connect(azc_conn *conn) {
    peer *p = peer_of(conn);
    enter(CALLBACK);
    EXPECT(p->state == CONNECTING, "on_connect of peer %d comes again", index_of(p));
    p->state = OPEN, p->start = p->total = p->base = p->walked = azc_backlog(conn);
    trace("peer %d is open in channel %d", index_of(p), p->channel);
    run.peers++;
    acts(p, 3);
    return leave(p, some_result());
}

/* The next thing that the peer sent is this. It is forgotten. */
static void take_event(peer *p, int kind, const void *data, size_t len) {
    event *e = p->events;
    EXPECT(p->state == OPEN, "peer %d: a callback after its end", index_of(p));
    EXPECT(p->event_count > 0 && e->kind == kind && e->end <= p->read,
           "peer %d: opcode %d was not sent next", index_of(p), kind);
    EXPECT(e->len == len && memcmp(e->data, data, len) == 0 && ((const char *)data)[len] == 0,
           "peer %d: %lu bytes differ from the %lu sent", index_of(p), (unsigned long)len,
           (unsigned long)e->len);
    trace("peer %d: opcode %d, %lu bytes", index_of(p), kind, (unsigned long)len);
    free(e->data);
    memmove(e, e + 1, (size_t)--p->event_count * sizeof *e);
}

static int took(azc_conn *conn, int kind, const void *data, size_t len) {
    peer *p = peer_of(conn);
    if (kind == PING && p->state == OPEN) append(p, PONG, data, len, 0);
    enter(CALLBACK);
    take_event(p, kind, data, len);
    acts(p, 3);
    return leave(p, some_result());
}
static int on_message(azc_conn *conn, const char *data, size_t len) { return took(conn, TEXT, data, len); }
static int on_binary(azc_conn *conn, const void *data, size_t len) { return took(conn, BINARY, data, len); }
static int on_ping(azc_conn *conn, const void *data, size_t len) { return took(conn, PING, data, len); }
static int on_pong(azc_conn *conn, const void *data, size_t len) { return took(conn, PONG, data, len); }

static int on_part(azc_conn *conn, const void *data, size_t len, int flags) {
    peer *p = peer_of(conn);
    int i = 0;
    enter(CALLBACK);
    while (i < p->event_count && p->events[i].inside) i++;
    event *e = &p->events[i];
    EXPECT(p->state == OPEN && i < p->event_count && (e->kind == TEXT || e->kind == BINARY) &&
           e->start < p->read && p->part_at + len <= e->len &&
           memcmp(e->data + p->part_at, data, len) == 0, "peer %d: a wrong part", index_of(p));
    int first = p->part_at == 0, last = p->part_at + len == e->len && (flags & AZC_PART_LAST);
    p->part_at += len;
    EXPECT(len > 0 || last, "peer %d: an empty part", index_of(p));
    EXPECT(flags == ((first ? AZC_PART_FIRST : 0) | (last ? AZC_PART_LAST : 0) |
                     (e->kind == TEXT ? AZC_PART_TEXT : 0)), "peer %d: part flags %d", index_of(p), flags);
    if (last) {
        EXPECT(i == 0 && e->end <= p->read, "peer %d: the last part too soon", index_of(p));
        p->part_at = 0;
        free(e->data);
        memmove(e, e + 1, (size_t)--p->event_count * sizeof *e);
    }
    acts(p, 2);
    return leave(p, some_result());
}

static int on_drain(azc_conn *conn) {
    peer *p = peer_of(conn);
    enter(CALLBACK);
    EXPECT(p->state == OPEN && p->may_drain && backlog(p) <= w.config.max_backlog / 2,
           "peer %d: on_drain with %lu bytes queued", index_of(p), (unsigned long)backlog(p));
    p->may_drain = p->owes_drain = 0;
    acts(p, 3);
    return leave(p, some_result());
}

/* The connection ended for the other of two reasons that the model could not tell apart. */
static void take_other(peer *p) {
    unsigned char *at = p->stream + (p->total - p->base) - 2;
    if (p->other == 1006) p->hard = 1;
    else at[0] = (unsigned char)(p->other >> 8), at[1] = (unsigned char)p->other;
}

static void on_close(azc_conn *conn, int code, const char *reason) {
    peer *p = peer_of(conn);
    enter(FLUSH);
    EXPECT(p->state == ENDED, "on_close of peer %d, which has not ended or was closed", index_of(p));
    EXPECT((code == p->code && strcmp(reason, p->reason) == 0) || code == p->other,
           "on_close of peer %d: %d \"%s\", not %d \"%s\"", index_of(p), code, reason, p->code, p->reason);
    EXPECT(azc_find(w.server, p->id) == NULL, "a closed connection is found");
    if (code != p->code) take_other(p);
    run.closed[code == 1006 ? 0 : code == 1013 ? 1 : code == 1001 ? 2 : code >= 3000 ? 3 :
               code == 1002 || code == 1007 || code == 1009 ? 4 : 5]++;
    act_look(p);
    for (unsigned n = chance(3); n > 0; n--) act(p);
    p->state = REPORTED, p->conn = NULL, p->room_count = 0, p->user = -1;
    for (int i = 0; i < p->event_count; i++) free(p->events[i].data);
    p->event_count = 0;
    w.news_due = 1;
}

static void on_error(azc_conn *conn, int error) {
    peer *p = peer_of(conn);
    enter(ON_ERROR);
    if (KNOWN_ERROR_AFTER_CLOSE && p->state == ENDED && w.error_due == AZC_OK) return;
    EXPECT(error == w.error_due && p == w.error_peer && p->state == OPEN,
           "on_error %d of peer %d; %d is due", error, index_of(p), w.error_due);
    w.error_due = AZC_OK;
    acts(p, 2);
}

static int channel_number(azc_channel *channel) {
    int i = 0;
    while (w.channels[i] != channel) i++;
    return i;
}

static void on_presence(azc_channel *channel, const char *room, const char *user, int present) {
    int c = channel_number(channel), r = number(room), u = number(user);
    enter(NEWS);
    trace("presence %d of user %d in room %d of channel %d", present, u, r, c);
    news_reported(&w.seats[c][r][u], seated(c, r, u) > 0, present);
    if (chance(5) == 0) acts(NULL, 2);
}

static void on_room(azc_channel *channel, const char *room, int present) {
    int c = channel_number(channel), r = number(room);
    enter(NEWS);
    trace("room %d of channel %d: %d", r, c, present);
    news_reported(&w.rooms[c][r], count_of(c, ROOM, r) > 0, present);
    if (chance(5) == 0) acts(NULL, 2);
}

/* In a call of ours, or, in the timers' part of a turn, for a held message. */
static void on_publish(azc_channel *channel, const char *room, const void *data, size_t len,
                       int binary) {
    EXPECT(w.calling || w.phase == READS, "on_publish outside a call");
    while (!w.calling && !w.publishes) {
        rate *r = rate_due(w.now + 1, 0);
        EXPECT(r != NULL, "on_publish, but nothing is held");
        rate_end(r);
    }
    EXPECT(w.publishes && channel == w.channels[w.published.channel] &&
           number(room) == w.published.room && len == w.published.len &&
           (binary != 0) == w.published.binary && hash_of(data, len) == w.published.hash,
           "on_publish shows another message");
    w.publishes = 0;
}

/* ---- Peers ----------------------------------------------------------------------------------- */

/* Write one masked frame. first: its first byte. */
static void frame(peer *p, int first, const void *data, size_t len) {
    unsigned char *to = p->out + p->out_len, mask[4];
    size_t head = encode(to, 0, NULL, 0) * 0 + head_size(len);
    EXPECT(p->out_len + len + 14 < sizeof p->out, "the model's peer writes too much");
    to[0] = (unsigned char)first;
    to[1] = (unsigned char)(128 | (head == 2 ? len : 126));
    if (head == 4) to[2] = (unsigned char)(len >> 8), to[3] = (unsigned char)len;
    for (int i = 0; i < 4; i++) to[head + (size_t)i] = mask[i] = (unsigned char)chance(256);
    for (size_t i = 0; i < len; i++)
        to[head + 4 + i] = ((const unsigned char *)data)[i] ^ mask[i % 4];
    p->out_len += head + 4 + len, p->said += head + 4 + len;
}

static event *event_add(peer *p, int kind, int code, const void *data, size_t len) {
    event e = {kind, code, 0, p->said, 0, len, (unsigned char *)malloc(len + 1)};
    memcpy(e.data, data, len);
    e.data[len] = 0;
    p->events[p->event_count] = e;
    return &p->events[p->event_count++];
}

static int may_say(const peer *p) {
    return p->fd >= 0 && !p->gone && !p->said_close && p->state <= OPEN && p->state != FREE &&
           p->event_count < EVENTS - 6 && p->out_len < sizeof p->out - 12000;
}

/* A control frame of its own, as any peer may send. */
static void say_control(peer *p, int kind, const void *data, size_t len) {
    event *e = event_add(p, kind, 0, data, len);
    frame(p, 128 | kind, data, len);
    e->end = p->said;
}

static void say_message(peer *p) {
    size_t len = compose(0, (unsigned)w.config.max_message - 30), at = 0;
    int kind = chance(4) ? TEXT : BINARY, first = kind, pings = 0;
    uint64_t start = p->said;
    if (chance(10) == 0) len = 0;
    char *copy = (char *)malloc(len + 1);
    memcpy(copy, text, len);
    while (chance(3) == 0) { /* fragments */
        size_t n = chance((unsigned)(len - at) + 1);
        frame(p, first, copy + at, n);
        at += n, first = 0;
        if (chance(3) > 0 || ++pings > 3) continue;
        say_control(p, PING, text, compose(0, 0));
        p->events[p->event_count - 1].inside = 1;
    }
    event *e = event_add(p, kind, 0, copy, len);
    frame(p, 128 | first, copy + at, len - at);
    e->start = start, e->end = p->said;
    free(copy);
}

/* Break the protocol: the connection fails with this code. */
static void say_bad(peer *p) {
    static const int codes[] = {1002, 1002, 1007, 1009};
    int kind = (int)chance(4);
    if (kind == 3 && traits[p->channel].parts) kind = 0;
    event_add(p, BAD, codes[kind], "", 0);
    memset(text, 'x', w.config.max_message + 1);
    if (kind == 0) frame(p, 128 | 64 | TEXT, "reserved bit", 12);
    if (kind == 1) frame(p, 128 | 3, "unknown opcode", 14);
    if (kind == 2) frame(p, 128 | TEXT, "\xC0\x80 bad", 6);
    if (kind == 3) frame(p, 128 | TEXT, text, w.config.max_message + 1);
    p->said_close = 1;
}

static void say_close(peer *p) {
    static const int codes[] = {1005, 1000, 1001, 3000, 4321};
    unsigned char payload[64];
    int code = codes[chance(5)];
    size_t len = 0;
    payload[0] = (unsigned char)(code >> 8), payload[1] = (unsigned char)code;
    if (code != 1005 && chance(2)) len = (size_t)sprintf((char *)payload + 2, "bye %llu", ++run.serial);
    event *e = event_add(p, CLOSE, code, payload + 2, len);
    frame(p, 128 | CLOSE, payload, code == 1005 ? 0 : 2 + len);
    e->end = p->said;
    p->said_close = 1;
    trace("peer %d says close %d", index_of(p), code);
}

static void peer_write(peer *p, int all) {
    if (p->fd < 0 || p->out_len == 0 || p->gone) return;
    size_t len = all || chance(3) ? p->out_len : 1 + chance((unsigned)p->out_len);
    ssize_t n = send(p->fd, p->out, len, MSG_NOSIGNAL | MSG_DONTWAIT);
    if (n < 0 && errno != EAGAIN) p->reset = 1;
    if (n <= 0) return;
    memmove(p->out, p->out + n, p->out_len - (size_t)n);
    p->out_len -= (size_t)n;
}

static void peer_close(peer *p) {
    if (p->fd >= 0) close(p->fd);
    p->fd = -1, p->gone = 1, p->out_len = 0;
    if (p->state == CONNECTING) { /* if its request is read later, on_upgrade refuses it */
        p->state = REPORTED;
        for (int i = 0; i < p->event_count; i++) free(p->events[i].data);
        p->event_count = 0;
    }
}

/* Look at each whole frame that the peer received: it answers pings and a Close. */
static void peer_walk(peer *p) {
    while (p->walked + 2 <= p->got) {
        const unsigned char *at = p->stream + (p->walked - p->base);
        size_t head = at[1] < 126 ? 2 : at[1] == 126 ? 4 : 10, len = at[1];
        if (p->walked + head > p->got) return;
        if (head > 2) for (size_t i = len = 0; i < head - 2; i++) len = len << 8 | at[2 + i];
        if (p->walked + head + len > p->got) return;
        p->walked += head + len;
        int opcode = at[0] & 15;
        if (p->mute) continue;
        if (opcode == PING && may_say(p)) say_control(p, PONG, at + head, len);
        if (opcode == CLOSE && !p->said_close && !p->gone && p->out_len < sizeof p->out - 200)
            frame(p, 128 | CLOSE, at + head, len), p->said_close = 1;
    }
}

/* The end of what the peer receives. */
static void peer_eof(peer *p, int reset) {
    if (p->state == OPEN || p->state == ENDED)
        EXPECT(w.ending == 3, "peer %d receives the end, but is open", index_of(p));
    if (p->state == REPORTED && !reset && p->start > 0)
        EXPECT(p->got == p->taken && (p->got == p->total || p->hard),
               "peer %d received %lu of %lu bytes", index_of(p), (unsigned long)p->got,
               (unsigned long)p->total);
    if (p->state == CONNECTING && !reset)
        EXPECT((p->refused || p->said_close) && strstr(p->head, "403") != NULL,
               "peer %d was refused: %s", index_of(p), p->head);
    trace("peer %d receives the end", index_of(p));
    peer_close(p);
}

/* Receive at most so many bytes; each must be what the model expects. */
static size_t peer_read(peer *p, size_t most) {
    static char bytes[1 << 16];
    if (p->fd < 0) return 0;
    ssize_t n = recv(p->fd, bytes, most < sizeof bytes ? most : sizeof bytes, MSG_DONTWAIT);
    if (n < 0 && (errno == EAGAIN || errno == EINTR)) return 0;
    if (n <= 0) return peer_eof(p, n < 0 || p->reset), 1;
    size_t skip = 0;
    for (; skip < (size_t)n && (p->start == 0 || p->got + skip < p->start); skip++)
        if (p->head_len + 1 < sizeof p->head) p->head[p->head_len++] = bytes[skip];
    EXPECT(p->start == 0 || p->got + (size_t)n <= p->taken, "peer %d received too much", index_of(p));
    if (skip < (size_t)n) {
        if (p->got < p->start || skip > 0)
            EXPECT(strncmp(p->head, "HTTP/1.1 101 ", 13) == 0 &&
                   strstr(p->head, "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n") != NULL &&
                   memcmp(p->head + p->head_len - 4, "\r\n\r\n", 4) == 0,
                   "peer %d: a wrong answer: %s", index_of(p), p->head);
        const unsigned char *want = p->stream + (p->got + skip - p->base);
        for (size_t i = 0; i < (size_t)n - skip; i++)
            EXPECT(want[i] == (unsigned char)bytes[skip + i],
                   "peer %d: byte %lu of its stream is %d, not %d: \"%.40s\", not \"%.40s\"", index_of(p),
                   (unsigned long)(p->got + skip + i), bytes[skip + i] & 255, want[i],
                   bytes + skip + (i < 20 ? 0 : i - 20), (const char *)want + (i < 20 ? 0 : i - 20));
    }
    p->got += (size_t)n;
    if (p->start > 0) peer_walk(p);
    return (size_t)n;
}

static int connected_socket(void) {
    int fd = socket(w.unix_socket ? AF_UNIX : AF_INET, SOCK_STREAM, 0), size = 2304 << chance(4), error;
    if (chance(2)) setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &size, sizeof size);
    if (w.unix_socket) {
        struct sockaddr_un un = {AF_UNIX, ""};
        strcpy(un.sun_path, w.config.host + 5);
        error = connect(fd, (struct sockaddr *)&un, sizeof un);
    } else {
        struct sockaddr_in in = {0};
        in.sin_family = AF_INET, in.sin_port = htons((uint16_t)azc_port(w.server));
        in.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
        error = connect(fd, (struct sockaddr *)&in, sizeof in);
    }
    EXPECT(fd >= 0 && error == 0, "connect: %s", strerror(errno));
    return fd;
}

/* A new peer in a free place, with its request. */
static void peer_open(void) {
    peer *p = peers;
    while (p < peers + PEERS && !(p->state == FREE || (p->state == REPORTED && p->fd < 0))) p++;
    if (p == peers + PEERS || w.ending) return;
    if (azc_stats(w.server)->connections + 4 > (uint64_t)w.config.max_connections) return;
    if (p->sfd > 0) w.by_fd[p->sfd] = NULL; /* its last connection may linger */
    int generation = p->generation + 1;
    unsigned char *stream = p->stream;
    size_t size = p->stream_size;
    memset(p, 0, sizeof *p);
    p->stream = stream, p->stream_size = size, p->generation = generation;
    p->state = CONNECTING, p->fd = connected_socket(), p->channel = (int)chance(CHANNELS);
    p->user = p->sfd = -1, p->refused = chance(20) == 0, p->mute = chance(6) == 0;
    char user[8] = "";
    if (chance(2)) sprintf(user, "&u=u%d", (int)chance(USERS));
    p->out_len = (size_t)sprintf((char *)p->out, "GET /c%d?p=%d&g=%d%s HTTP/1.1\r\nHost: h\r\n"
        "Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
        "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n", p->channel, index_of(p), generation, user);
    p->said = p->out_len;
    trace("peer %d connects", index_of(p));
}

/* The peer goes without a Close: a reset, an end, or half an end. */
static void peer_vanish(peer *p) {
    struct linger reset = {1, 0};
    unsigned kind = chance(3);
    if (p->fd < 0 || p->gone) return;
    trace("peer %d vanishes: %u", index_of(p), kind);
    if (kind == 0 && !w.unix_socket) setsockopt(p->fd, SOL_SOCKET, SO_LINGER, &reset, sizeof reset);
    if (kind < 2 || p->state == CONNECTING) {
        peer_close(p);
    } else {
        shutdown(p->fd, SHUT_WR);
        p->gone = 1, p->out_len = 0;
    }
}

/* ---- Turns and time -------------------------------------------------------------------------- */

/* All periods are even, and the clock moves by even amounts. So a timer set just before it moves,
 * for the next millisecond, comes before each rate: it shows which pings came before them. */
static void advance(int ms) {
    if (!w.sentinel && !w.ending) {
        task *t = task_add(1, 0);
        if (t != NULL) t->sentinel = w.sentinel = 1;
    }
    w.now += ms;
}

/* The shutdown closes no more peers than its share of the time. */
static void check_drain(void) {
    if (w.drain_ms == 0 || w.now - w.drain_from >= w.drain_ms) return;
    int64_t most = ((w.now - w.drain_from) * w.drain_count + w.drain_ms - 1) / w.drain_ms;
    EXPECT(w.drain_closed <= most, "azc_shutdown closed %d after %d ms", w.drain_closed,
           (int)(w.now - w.drain_from));
}

static void turn(void) {
    struct pollfd fds[64];
    int open = 0, wait = 5;
    run.step++;
    w.news_due = 1, w.phase = SETTLE, w.sentinel = 0;
    if (chance(4) > 0) {
        w.result = azc_poll(w.server, 0);
    } else {
        size_t n = azc_poll_begin(w.server, fds, 64, &wait);
        if (poll(fds, n, 0) < 0) n = 0;
        wait_begins();
        w.result = azc_poll_end(w.server, fds, n);
    }
    EXPECT(w.result >= 0, "azc_poll returned %d: %s", w.result, azc_error(w.server));
    if (w.phase == READS) after_timers();
    enter(CALLBACK);
    news_check();
    for (peer *p = peers; p < peers + PEERS; p++) {
        EXPECT(p->state != ENDED, "on_close of peer %d did not come in its turn", index_of(p));
        open += p->state == OPEN;
    }
    EXPECT(azc_stats(w.server)->open == (uint64_t)open, "azc_stats: %d are open, not %d",
           (int)azc_stats(w.server)->open, open);
    EXPECT(w.result == 1 || open == 0, "azc_poll returned 0 with open peers");
    w.phase = OUTSIDE, w.loose_members = w.loose_rooms = 0;
    check_drain();
}

/* What is not yet as it must be when all have read all, or NULL. */
static const char *unsettled(const peer *p) {
    if (w.post_done < w.posted) return "waits for posts";
    if (p->fd < 0 || p->state == FREE || p->state == REPORTED) return NULL;
    if (p->state == CONNECTING && !p->gone) return "waits for its answer";
    if (p->state != OPEN) return NULL;
    if (p->gone) return "is not closed after its end";
    if (p->out_len > 0) return "could not send all";
    if (p->event_count > 0) return "sent what was not delivered";
    if (p->got < p->total) return "waits for bytes";
    return p->owes_drain ? "waits for on_drain" : NULL;
}

/* All peers read and write until nothing is under way. */
static void quiesce(void) {
    const char *why = "";
    const peer *p = NULL;
    for (int round = 0; why != NULL && w.result > 0; round++) {
        size_t moved = 0;
        for (peer *q = peers; q < peers + PEERS; q++) {
            moved += q->out_len;
            peer_write(q, 1);
            moved += peer_read(q, 1 << 16);
        }
        turn();
        if (moved == 0 && round > 4) advance(w.ending ? 1 : 2);
        if (moved == 0 && round > 200) poll(NULL, 0, 1);
        for (why = NULL, p = peers; p < peers + PEERS && !(why = unsettled(p)); p++) continue;
        EXPECT(round < 5000, "peer %d %s", index_of(p), why);
    }
}

/* ---- Episodes -------------------------------------------------------------------------------- */

static void server_make(void) {
    static const int64_t clocks[] = {1000000, 0x7FFFF000, 0xFFFFF000}; /* 32-bit moments wrap */
    static char host[64];
    azc_config *c = &w.config;
    memset(&w, 0, sizeof w);
    w.result = 1;
    w.now = w.turn = clocks[chance(3)];
    w.fixed = chance(3) == 0, w.unix_socket = run.seed % 2 == 0;
    sprintf(host, w.unix_socket ? "unix:/tmp/azchan-model-%ld" : "127.0.0.1", (long)getpid());
    c->host = host, c->alloc = counted;
    c->max_connections = 3 * PEERS, c->max_request = 1024;
    c->max_message = 2000 + chance(2000), c->read_buffer = 512 << chance(4);
    c->max_backlog = 9000 + chance(2) * 16384 + chance(3000);
    c->handshake_ms = -1, c->ping_ms = chance(2) ? 2000 : -1, c->pong_ms = 1000, c->close_ms = 300;
    if (w.fixed) {
        c->max_rooms = 12 + (int)chance(60), c->max_memberships = 20 + (int)chance(30);
        c->max_data = sizeof(int);
        c->memory_size = azc_memory_bound(c) + 8192;
        c->memory = malloc(c->memory_size);
    }
    w.server = azc_create(c);
    EXPECT(w.server != NULL, "azc_create");
    for (int i = 0; i < CHANNELS; i++) {
        char path[4] = {'/', 'c', (char)('0' + i), 0};
        azc_channel_desc d;
        memset(&d, 0, sizeof d);
        d.path = path, d.data_size = sizeof(int);
        d.when_full = traits[i].drop ? AZC_FULL_DROP : AZC_FULL_CLOSE;
        d.on_upgrade = on_upgrade, d.on_connect = on_connect, d.on_drain = on_drain;
        d.on_message = on_message, d.on_binary = on_binary, d.on_ping = on_ping, d.on_pong = on_pong;
        d.on_close = on_close, d.on_error = traits[i].errors ? on_error : NULL;
        w.channels[i] = azc_add_channel(w.server, &d);
        if (traits[i].parts) azc_on_part(w.channels[i], on_part);
        if (!traits[i].presence) continue;
        azc_on_presence(w.channels[i], on_presence);
        azc_on_room(w.channels[i], on_room);
        azc_on_publish(w.channels[i], on_publish);
    }
    EXPECT(azc_listen(w.server) == AZC_OK, "azc_listen: %s", azc_error(w.server));
    trace("a server: fixed %d, unix %d, backlog %lu, ping %d", w.fixed, w.unix_socket,
          (unsigned long)c->max_backlog, c->ping_ms);
    run.episodes++;
}

static void step(void) {
    peer *p = &peers[chance(PEERS)];
    run.step++;
    switch (chance(32)) {
    case 0: case 1: case 2: case 3: if (may_say(p)) say_message(p); peer_write(p, 0); break;
    case 4: if (may_say(p)) say_control(p, chance(2) ? PING : PONG, text, compose(0, 0)); break;
    case 5: case 6: peer_write(p, 0); break;
    case 7: case 8: case 9: case 10: case 11: if (!p->stalled) peer_read(p, chance(3) ? 65536 : 1 + chance(3000)); break;
    case 12: p->stalled = chance(3) == 0; break;
    case 13: peer_open(); break;
    case 14: if (may_say(p) && chance(40) == 0) say_close(p); break;
    case 15: if (may_say(p) && chance(80) == 0) say_bad(p); break;
    case 16: if (chance(60) == 0) peer_vanish(p); break;
    case 17: advance(2 * (int)chance(chance(30) ? 8 : 400)); break;
    case 18: if (chance(30) == 0) quiesce(); break;
    case 19: case 20: case 21: case 22: case 23: turn(); break;
    default: act(NULL); break;
    }
}

/* End the server in one of three ways, and look at what its peers have left to read. */
static void server_end(void) {
    int how = (int)chance(3);
    trace("the end: %d", how);
    if (how > 0) {
        w.unrated = 1;
        quiesce();
        for (int i = 0; i < 3; i++) advance(3000), turn(); /* no message is held any more */
        w.ending = how;
        w.drain_ms = how == 2 ? 20 + (int)chance(300) : 0, w.drain_from = w.now;
        w.drain_count = (int)azc_stats(w.server)->open;
        if (how == 1) azc_stop(w.server);
        else EXPECT_RESULT(azc_shutdown(w.server, w.drain_ms), AZC_OK, "azc_shutdown");
        for (int round = 0; w.result > 0; round++) {
            for (int i = 0; i < 5 && round < 500; i++) step();
            quiesce();
            w.now++;
            if (w.result > 0) turn();
            EXPECT(round < 5000, "the server does not end");
        }
    }
    w.ending = 3, w.news_due = 1, w.phase = SETTLE;
    EXPECT(azc_destroy(w.server) == AZC_OK, "azc_destroy");
    EXPECT(w.held == 0, "azc_destroy left %lu bytes", (unsigned long)w.held);
    EXPECT(w.post_done == w.posted, "azc_destroy left posts");
    for (peer *p = peers; p < peers + PEERS; p++) {
        EXPECT(p->state != OPEN && p->state != ENDED, "peer %d has had no on_close", index_of(p));
        if (p->state == CONNECTING) p->state = REPORTED, p->start = 0;
        while (p->fd >= 0) peer_read(p, 1 << 16);
    }
    news_check();
    for (rate *r = &w.rates[0][0][0]; r < &w.rates[CHANNELS][0][0]; r++) free(r->data);
    for (history *h = &w.histories[0][0]; h < &w.histories[CHANNELS][0]; h++) history_set(h, 0, 2);
    free(w.config.memory);
}

int main(int argc, char **argv) {
    run.seed = argc > 1 ? strtoull(argv[1], NULL, 10) : 1;
    run.steps = argc > 2 ? strtoull(argv[2], NULL, 10) : 20000;
    run.from = argc > 3 ? strtoull(argv[3], NULL, 10) : ~0ull;
    run.random = (run.seed + 1) * 0x9E3779B97F4A7C15ull;
    setvbuf(stdout, NULL, _IOFBF, 1 << 16);
    for (size_t i = 0; i < sizeof pattern; i += 4) {
        pattern[i] = (char)('a' + chance(26));
        memcpy(pattern + i + 1, "\xE2\x82\xAC", 3);
    }
    for (int i = 0; i < PEERS; i++) peers[i].fd = peers[i].sfd = -1;
    while (run.step < run.steps) {
        server_make();
        for (unsigned long long end = run.step + 2000 + chance(20000); run.step < end;) step();
        server_end();
    }
    printf("model: seed %llu: %llu steps, %ld servers, %ld peers, %ld frames, %ld replaced, "
           "%ld refused; closed: %ld dropped, %ld full, %ld going away, %ld bad, %ld other\n",
           run.seed, run.step, run.episodes, run.peers, run.frames, run.replaced, run.refused,
           run.closed[0], run.closed[1], run.closed[2], run.closed[4], run.closed[3] + run.closed[5]);
    return 0;
}
