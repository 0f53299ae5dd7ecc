/* A server and a crowd of clients for as long as you like: they come, join rooms, send numbered
 * messages, stall, fall silent, die, half-close, break the protocol, and come back, at random.
 *
 *     soak [seconds, 600] [seed, 1]
 *
 * Whatever arrives is checked: that its content is the sender's, that it was sent to a room its
 * receiver is in, and that of each sender and room nothing is missing, doubled or out of order
 * (but where the server says so: it dropped it). Some times all leave, and then the server's
 * memory is to be where it was the first time. Exits with 1 after any violation. */
static void soak_channels(int);
#define IN_CHANNELS soak_channels
#include "../attack/attack.h"

enum { PEERS = 160, ROOMS = 6, SEEN = 2048, IN_SIZE = 1 << 18, OUT_SIZE = 1 << 17,
       LONGEST = 20000 };

/* ---- The server's side ----------------------------------------------------------------------- */

typedef struct talker {
    uint32_t last[ROOMS]; /* number of the last message to each room: none is lost on its way in */
} talker;

/* {"do":"join","room":"3"}, answered {"did":"join","room":"3"} when it is done. */
static int soak_do(azc_conn *conn, const char *text, size_t len) {
    char room[16], reply[64], what[8];
    azc_json doc;
    int error = azc_json_read(&doc, text, len);
    if (error != AZC_OK) return error;
    azc_json_string(azc_json_get(doc, "room"), room, sizeof room);
    azc_json_string(azc_json_get(doc, "do"), what, sizeof what);
    error = strcmp(what, "join") == 0 ? azc_join(conn, room) : azc_leave(conn, room);
    if (error != AZC_OK) return error;
    azc_writer w = azc_put_begin(reply, sizeof reply);
    azc_put_string(&w, "did", what);
    azc_put_string(&w, "room", room);
    error = azc_send_json(conn, &w);
    return error == AZC_ERR_FULL ? azc_close(conn, 4013, "no room for an answer"), AZC_OK : error;
}

/* "room sender number ...": to all in the room, the sender too if it is in. */
static int soak_relay(azc_conn *conn, const char *text, size_t len, int binary) {
    char room[16] = "";
    unsigned sender = 0, number = 0;
    CHECK(sscanf(text, "%15s %u %u ", room, &sender, &number) == 3);
    talker *t = (talker *)azc_data(conn);
    int r = atoi(room);
    if (CHECK(r >= 0 && r < ROOMS)) CHECK_INT(number, ++t->last[r]);
    azc_channel *channel = azc_channel_of(conn);
    int n = binary ? azc_broadcast_binary(channel, room, text, len, NULL)
                   : azc_broadcast(channel, room, text, len, NULL);
    CHECK(n >= 0);
    inside.report.broadcasts++;
    return n < 0 ? n : AZC_OK;
}
static int soak_text(azc_conn *conn, const char *text, size_t len) {
    return *text == '{' ? soak_do(conn, text, len) : soak_relay(conn, text, len, 0);
}
static int soak_binary(azc_conn *conn, const void *data, size_t len) {
    return soak_relay(conn, (const char *)data, len, 1);
}
/* What the server says of a peer, by the id in its path, for the other process to know too: that a
 * message to it was refused for its backlog. Only then may it miss one, or be closed. */
static unsigned char *overrun;
enum { IDS = 1 << 20 };
static void soak_log(void *user, int level, const char *message) {
    (void)level;
    const char *id = strstr(message, "/id=");
    (void)user;
    if (id && strstr(message, "max_backlog")) overrun[(unsigned)atol(id + 4) % IDS] = 1;
}

static int soak_connect(azc_conn *conn) {
    int small = 16384; /* so that what waits does it in the backlog, not in the kernel */
    inside.report.connects++;
    return setsockopt(conn->source.fd, SOL_SOCKET, SO_SNDBUF, &small, sizeof small) ? AZC_ERR_APP
                                                                                   : AZC_OK;
}

static void soak_channels(int when_full) {
    (void)when_full;
    for (int i = 0; i < 2; i++) {
        azc_channel_desc d;
        memset(&d, 0, sizeof d);
        d.path = i ? "/drop/:id" : "/close/:id", d.when_full = i ? AZC_FULL_DROP : AZC_FULL_CLOSE;
        d.data_size = sizeof(talker);
        d.on_connect = soak_connect, d.on_close = in_close, d.on_drain = in_drain;
        d.on_message = soak_text, d.on_binary = soak_binary;
        inside.channels[i] = azc_add_channel(inside.server, &d);
    }
    CHECK_INT(azc_add_page(inside.server, "/big", "text/plain", big_page, BIG), AZC_OK);
}

/* ---- A peer ---------------------------------------------------------------------------------- */

enum { GONE, SHAKING, TALKING, LEAVING, MUTE };
enum { OUT, JOINING, IN, PARTING };

typedef struct seen { /* the last message of a sender in a room */
    uint32_t sender, room_visit, number;
} seen;

typedef struct peer {
    int fd, state, drops;     /* drops: of the channel that drops */
    int may_end;              /* the end of its connection is no surprise */
    long long when;           /* GONE: comes back; MUTE: is closed; else: reads again */
    uint32_t id, visits;
    uint32_t number[ROOMS], visit[ROOMS];
    int room[ROOMS];
    uint32_t pings, pongs;
    size_t in_len, out_len, seen_count;
    unsigned char in[IN_SIZE], out[OUT_SIZE];
    seen last[SEEN];
} peer;

static peer *peers;
static host server;
static long long now;
static uint32_t next_id;
static int emptying; /* nobody comes back */
static struct {
    long long delivered, bytes, sent, came, stalls, resets, halves, mutes, broken, polite, full;
} did;

static void violation(const peer *p, const char *what, const char *detail) {
    if (test_fail(__FILE__, __LINE__))
        printf("peer %u of %s: %s: %.100s\n", p->id, p->drops ? "/drop" : "/close", what, detail);
}

/* Content follows from who sends it and its number. */
static size_t compose(char *out, int room, uint32_t sender, uint32_t number, size_t len) {
    size_t n = (size_t)sprintf(out, "%d %u %u %lu ", room, sender, number, (unsigned long)len);
    for (size_t i = 0; i < len; i++)
        out[n + i] = (char)('a' + (sender * 31 + number * 7 + i) % 26);
    return n + len;
}

static void put(peer *p, int first, const void *data, size_t len) {
    if (p->out_len + len + 14 > OUT_SIZE) return;
    unsigned char mask[4] = {1, 2, 3, (unsigned char)random_below(256)};
    p->out_len += put_frame(p->out + p->out_len, first, data, len, SHORTEST, mask);
}

static void go(peer *p, int hard) {
    if (hard) hard_close(p->fd);
    else close(p->fd);
    p->fd = -1, p->state = GONE, p->when = now + random_below(400);
}

static void come(peer *p) {
    static const char *const odd[] = {"GET /big HTTP/1.1\r\nHost: a\r\n\r\n", "", "GET /close HT",
                                      "nonsense\r\n\r\n", "GET /none HTTP/1.1\r\nHost: a\r\n\r\n"};
    memset(p, 0, offsetof(peer, in));
    memset(p->last, 0, sizeof p->last);
    p->id = ++next_id, p->drops = (int)random_below(2);
    p->fd = crowd_socket(&server, 0);
    did.came++;
    char request[400];
    int n = snprintf(request, sizeof request, "GET %s/id=%u HTTP/1.1\r\n" UPGRADE "\r\n",
                     p->drops ? "/drop" : "/close", p->id);
    p->state = SHAKING;
    if (random_below(20) == 0) { /* something else, and then nothing */
        n = snprintf(request, sizeof request, "%s", odd[random_below(5)]);
        p->state = MUTE, p->when = now + random_below(2000);
    }
    if (send(p->fd, request, (size_t)n, MSG_NOSIGNAL) != n) violation(p, "send", strerror(errno));
}

static void ask(peer *p, const char *what, int room) {
    char text[64];
    int n = snprintf(text, sizeof text, "{\"do\":\"%s\",\"room\":\"%d\"}", what, room);
    put(p, FIN | TEXT, text, (size_t)n);
}

/* One message to a room, whole or in fragments with pings between them. */
static void say(peer *p, int room) {
    static char text[LONGEST + 64];
    uint32_t kind = random_below(100);
    size_t len = random_below(kind < 70 ? 110 : kind < 96 ? 2000 : LONGEST);
    if (p->out_len + len + 1000 > OUT_SIZE) return;
    size_t n = compose(text, room, p->id, ++p->number[room], len), at = 0;
    int first = random_below(4) ? TEXT : BINARY;
    did.sent++;
    while (random_below(5) == 0 && at < n) {
        size_t piece = random_below((uint32_t)(n - at) + 1);
        put(p, first, text + at, piece);
        at += piece, first = CONTINUATION;
        if (random_below(3) == 0) put(p, FIN | PING, &p->pings, sizeof p->pings), p->pings++;
    }
    put(p, FIN | first, text + at, n - at);
}

/* What a peer that is in does of its own accord. */
static void act(peer *p) {
    uint32_t dice = random_below(10000);
    int room = (int)random_below(ROOMS);
    if (p->out_len > OUT_SIZE / 2) return;
    if (emptying) dice = 9000 + random_below(500);
    if (dice < 5000) {
        if (p->room[room] != OUT || dice < 200) say(p, room);
    } else if (dice < 6000) {
        if (p->room[room] == OUT) ask(p, "join", room), p->room[room] = JOINING;
    } else if (dice < 6600) {
        if (p->room[room] == IN) ask(p, "leave", room), p->room[room] = PARTING;
    } else if (dice < 7000) {
        put(p, FIN | PING, &p->pings, sizeof p->pings), p->pings++;
    } else if (dice < 7020 && p->when <= now) {
        did.stalls++, p->when = now + 200 + random_below(4000), p->may_end = 1;
    } else if (dice >= 9000 && dice < 9008) {
        did.resets++, go(p, 1);
    } else if (dice >= 9100 && dice < 9108) {
        did.halves++, shutdown(p->fd, SHUT_WR), p->state = LEAVING, p->out_len = 0, p->may_end = 1;
        p->when = 0;
    } else if (dice >= 9200 && dice < 9206) {
        did.mutes++, p->state = MUTE, p->when = now + 500 + random_below(6000);
    } else if (dice >= 9300 && dice < 9306) {
        did.broken++, put(p, FIN | 0x40 | 3, "bad", 3);
        p->state = LEAVING, p->may_end = 1, p->when = 0;
    } else if (dice >= 9400 && dice < 9412) {
        unsigned char payload[125];
        put(p, FIN | CLOSE, payload, put_close(payload, 1000 + (int)random_below(2), "bye"));
        did.polite++, p->state = LEAVING, p->may_end = 1, p->when = 0;
    }
}

/* Of each sender and room the numbers come one after the other. */
static void check_number(peer *p, uint32_t sender, int room, uint32_t number) {
    uint32_t at = (sender * 2654435761u ^ (uint32_t)room * 40503u) % SEEN;
    if (p->seen_count > SEEN / 2) memset(p->last, 0, sizeof p->last), p->seen_count = 0;
    while (p->last[at].number && (p->last[at].sender != sender ||
           p->last[at].room_visit != p->visit[room])) at = (at + 1) % SEEN;
    seen *s = &p->last[at];
    char detail[100];
    snprintf(detail, sizeof detail, "number %u of sender %u in room %d after %u", number, sender,
             room, s->number);
    if (s->number && number <= s->number) violation(p, "out of order", detail);
    else if (s->number && number != s->number + 1 && !(overrun[p->id % IDS] && p->drops))
        violation(p, "missing", detail);
    if (s->number == 0) p->seen_count++;
    s->sender = sender, s->room_visit = p->visit[room], s->number = number;
}

static void hear_message(peer *p, const char *text, size_t len) {
    static char want[LONGEST + 64];
    unsigned sender, number;
    unsigned long size;
    int room;
    if (sscanf(text, "%d %u %u %lu ", &room, &sender, &number, &size) != 4 || size > LONGEST ||
        room < 0 || room >= ROOMS) {
        violation(p, "not a message", text);
        return;
    }
    if (compose(want, room, sender, number, size) != len || memcmp(want, text, len) != 0)
        violation(p, "other content than was sent", text);
    if (p->room[room] != IN && p->room[room] != PARTING) violation(p, "not in that room", text);
    check_number(p, sender, room, number);
    did.delivered++;
}

static void hear_answer(peer *p, const char *text, size_t len) {
    azc_json doc;
    char name[16];
    if (azc_json_read(&doc, text, len) != AZC_OK) violation(p, "not JSON", text);
    azc_json_string(azc_json_get(doc, "room"), name, sizeof name);
    int room = atoi(name), joined = azc_json_equals(azc_json_get(doc, "did"), "join");
    if (room < 0 || room >= ROOMS || p->room[room] != (joined ? JOINING : PARTING))
        violation(p, "an answer to no question", text);
    else if (joined) p->room[room] = IN, p->visit[room] = ++p->visits << 4 | (uint32_t)room;
    else p->room[room] = OUT;
}

static void hear(peer *p, int opcode, char *data, size_t len) {
    uint32_t pong;
    switch (opcode) {
    case TEXT:
    case BINARY:
        if (*data == '{') hear_answer(p, data, len);
        else hear_message(p, data, len);
        break;
    case PING: if (p->state == TALKING) put(p, FIN | PONG, data, len); break;
    case PONG:
        memcpy(&pong, data, sizeof pong);
        if (len != sizeof pong || pong != p->pongs++) violation(p, "a pong out of order", "");
        break;
    case CLOSE: {
        int code = len >= 2 ? (unsigned char)data[0] << 8 | (unsigned char)data[1] : 0;
        int full = overrun[p->id % IDS] && (code == 1013 || code == 4013);
        did.full += full;
        if (p->state == TALKING && !full) violation(p, "closed", code == 1013 ? "1013" : "else");
        if (p->state == TALKING) put(p, FIN | CLOSE, data, len);
        p->state = LEAVING, p->may_end = 1;
        break;
    }
    default: violation(p, "an unknown opcode", "");
    }
}

/* Take whole frames (and before them the answer to the upgrade) from what came. */
static void digest(peer *p) {
    size_t at = 0;
    if (p->state == SHAKING) {
        for (at = 4; at <= p->in_len && memcmp(p->in + at - 4, "\r\n\r\n", 4) != 0;) at++;
        if (at > p->in_len) return;
        if (memcmp(p->in, "HTTP/1.1 101 ", 13) != 0) violation(p, "not let in", (char *)p->in);
        p->state = TALKING;
    }
    while (p->in_len - at >= 2) {
        unsigned char *f = p->in + at;
        size_t head = 2, len = f[1];
        int wide = len == 126 ? 2 : len == 127 ? 8 : 0;
        if (p->in_len - at < head + (size_t)wide) break;
        if (wide) for (len = 0; wide > 0; wide--) len = len << 8 | f[head++];
        if (f[0] >> 4 != 8 || len > LONGEST + 64) {
            violation(p, "not a frame", "");
            at = p->in_len;
            break;
        }
        if (p->in_len - at < head + len) break;
        unsigned char behind = f[head + len];
        f[head + len] = 0;
        hear(p, f[0] & 15, (char *)f + head, len);
        f[head + len] = behind;
        at += head + len;
    }
    memmove(p->in, p->in + at, p->in_len -= at);
}

static void receive(peer *p) {
    for (int i = 0; i < 4 && p->fd >= 0; i++) {
        ssize_t n = recv(p->fd, p->in + p->in_len, IN_SIZE - 1 - p->in_len, 0);
        if (n < 0 && (errno == EAGAIN || errno == EWOULDBLOCK || errno == EINTR)) return;
        if (n <= 0) {
            if (!p->may_end && !overrun[p->id % IDS])
                violation(p, n ? strerror(errno) : "end of stream", "unasked");
            go(p, 0);
            return;
        }
        did.bytes += n;
        p->in_len += (size_t)n;
        digest(p);
    }
}

static void transmit(peer *p) {
    if (p->out_len == 0 || p->state == MUTE) return;
    ssize_t n = send(p->fd, p->out, p->out_len, MSG_NOSIGNAL);
    if (n > 0) memmove(p->out, p->out + n, p->out_len -= (size_t)n);
    else if (n < 0 && errno != EAGAIN && errno != EWOULDBLOCK && !p->may_end &&
             !overrun[p->id % IDS])
        violation(p, "send", strerror(errno));
}

/* One round for everybody. */
static void round_of_all(void) {
    static struct pollfd polls[PEERS];
    for (int i = 0; i < PEERS; i++) {
        peer *p = &peers[i];
        polls[i].fd = p->fd, polls[i].events = 0;
        int reads = p->fd >= 0 && p->state != MUTE && p->when <= now;
        if (reads || p->state == LEAVING) polls[i].events = POLLIN;
        if (p->fd >= 0 && p->out_len > 0) polls[i].events |= POLLOUT;
        if (p->fd >= 0 && polls[i].events == 0) polls[i].fd = -1; /* no interest in its errors */
    }
    poll(polls, PEERS, 2);
    now = now_ms();
    for (int i = 0; i < PEERS; i++) {
        peer *p = &peers[i];
        if (p->state == GONE && !emptying && p->when <= now) come(p);
        if (p->state == MUTE && (p->when <= now || emptying)) go(p, (int)random_below(2));
        if (p->fd < 0 || p->state == MUTE) continue;
        if (polls[i].fd == p->fd && polls[i].revents & ~POLLOUT) receive(p);
        if (p->state == TALKING && random_below(emptying ? 1 : 4) == 0) act(p);
        if (p->fd >= 0) transmit(p);
    }
}

/* ---- The whole ------------------------------------------------------------------------------- */

static long long began;

static void figures(const report *r) {
    printf("%5llds: %lld of %lld came and went, %lld messages sent, %lld delivered, %lld MB; "
           "dropped %llu, pauses %llu, closed 1006: %llu, 1013: %llu; %d open, %lu KiB, "
           "RSS %ld KiB\n",
           (now - began) / 1000, (long long)r->closes, did.came, did.sent, did.delivered,
           did.bytes >> 20, (unsigned long long)r->stats.dropped,
           (unsigned long long)r->stats.pauses,
           (unsigned long long)r->stats.closed[6], (unsigned long long)r->stats.closed[13],
           (int)r->stats.open, (unsigned long)(r->bytes / 1024), r->rss);
}

/* Everybody leaves; what the server holds then. */
static report quiet(void) {
    report r;
    emptying = 1;
    for (long long end = now + 15000; now < end;) {
        int left = 0;
        round_of_all();
        for (int i = 0; i < PEERS; i++) left += peers[i].fd >= 0;
        if (left == 0) break;
        if (now > end - 5000) /* stalled, or not answered: it has been long enough */
            for (int i = 0; i < PEERS; i++) if (peers[i].fd >= 0) go(&peers[i], 0);
    }
    EVENTUALLY(&server, r, r.stats.connections == 0);
    CHECK_INT(r.connects, r.closes);
    CHECK_INT(r.stats.opened, r.connects);
    CHECK_INT(r.stats.open, 0);
    poll(NULL, 0, 300); /* idle for a while */
    r = look(&server);
    emptying = 0;
    now = now_ms();
    return r;
}

int main(int argc, char **argv) {
    long seconds = argc > 1 ? atol(argv[1]) : 600, seed = argc > 2 ? atol(argv[2]) : 1;
    setvbuf(stdout, NULL, _IOLBF, BUFSIZ);
    test.program = "soak", test.sentence = "soak";
    if (seconds < 3) seconds = 3;
    random_state ^= (uint64_t)seed * 0x9E3779B97F4A7C15u;
    if (random_state == 0) random_state = 1;
    peers = (peer *)calloc(PEERS, sizeof *peers);
    if (!peers || !descriptors_for(PEERS + 100)) return 1;
    for (int i = 0; i < PEERS; i++) peers[i].fd = -1;
    overrun = (unsigned char *)mmap(NULL, IDS, PROT_READ | PROT_WRITE,
                                    MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (overrun == (unsigned char *)MAP_FAILED) return 1;
    azc_config config = defaults();
    config.log = soak_log, config.log_level = AZC_LOG_DEBUG;
    config.handshake_ms = 1000, config.ping_ms = config.pong_ms = 2000, config.close_ms = 1500;
    server = host_start(&config, 0);
    long long settled = seconds >= 180 ? 60000 : seconds * 1000 / 3;
    long long step = settled, next_line = 0, next_quiet = settled, next_look = 0;
    report r, first;
    size_t most_before = 0, most_after = 0;
    double sums[2] = {0, 0}, looks[2] = {0, 0}; /* of bytes, in the halves of what follows */
    long rss_after = 0, quiets = 0;
    memset(&first, 0, sizeof first);
    printf("soak: %ld seconds, seed %ld, %d clients\n", seconds, seed, PEERS);
    began = now = now_ms();
    while (test.bad < 20) {
        round_of_all();
        long long at = now - began;
        if (at >= next_look) {
            r = look(&server);
            CHECK_INT(r.failed, 0);
            size_t *most = at < settled ? &most_before : &most_after;
            if (r.bytes > *most) *most = r.bytes;
            int half = 2 * (at - settled) > seconds * 1000 - settled;
            if (at >= settled) sums[half] += (double)r.bytes, looks[half]++;
            if (at >= next_line) figures(&r), next_line = at + (seconds > 60 ? 10000 : 2000);
            next_look = at + 250;
        }
        if (at < next_quiet) continue;
        next_quiet += step;
        r = quiet();
        if (quiets++ == 0) first = r;
        if (r.rss > rss_after) rss_after = r.rss;
        printf("%5llds: all left: %lu bytes in %lu blocks, RSS %ld KiB\n", (now - began) / 1000,
               (unsigned long)r.bytes, (unsigned long)r.blocks, r.rss);
        CHECK(r.bytes <= first.bytes + 16384); /* tables of ids and sockets may double once */
        CHECK(r.blocks <= first.blocks + 16);
        /* what the C library keeps of the busiest moment, and no more */
        size_t busiest = most_before > most_after ? most_before : most_after;
        if (!SANITIZED) CHECK(r.rss <= first.rss + (long)(busiest / 1024) + 4096);
        if (now - began >= seconds * 1000) break;
    }
    /* No peer has more than a backlog, a message half received, and its struct. */
    size_t most = most_before > most_after ? most_before : most_after;
    CHECK(most < PEERS * (size_t)(256 + 64 + 16) * 1024);
    if (looks[0] > 0 && looks[1] > 0)
        CHECK(sums[1] / looks[1] < 2 * sums[0] / looks[0] + (4 << 20));
    CHECK(did.delivered > seconds * 100 && did.resets && did.halves && did.mutes && did.broken);
    r = look(&server);
    host_end(&server);
    printf("soak: %s after %ld s, seed %ld: %lld came (%lld polite, %lld reset, %lld half-closed, "
           "%lld fell silent, %lld broke the protocol), %lld stalls, %lld closed for them\n"
           "soak: %lld messages sent, %lld delivered and checked, %lld MB; most memory %lu KiB "
           "before %lld s, %lu KiB after, %.0f KiB on average in the first half then and %.0f in "
           "the second; all left %ld times: %lu bytes at first, %lu at last, "
           "RSS %ld KiB and at most %ld\n", test.bad ? "FAILED" : "passed",
           (long)((now - began) / 1000), seed, did.came, did.polite, did.resets, did.halves,
           did.mutes, did.broken, did.stalls, did.full, did.sent, did.delivered, did.bytes >> 20,
           (unsigned long)(most_before / 1024), settled / 1000, (unsigned long)(most_after / 1024),
           looks[0] > 0 ? sums[0] / looks[0] / 1024 : 0,
           looks[1] > 0 ? sums[1] / looks[1] / 1024 : 0,
           quiets, (unsigned long)first.bytes, (unsigned long)r.bytes, first.rss, rss_after);
    free(peers);
    return test.bad > 0;
}
