/* FIXED: a server in a block of exactly azc_memory_bound bytes, with malloc made to abort, and a
 * random program that fills every limit, empties it and fills it again. */
#define AZCHAN_IMPLEMENTATION
#include "../azchan.h"
#include "test.h"
#include "pure.h"
#include <netinet/in.h>

/* ---- malloc aborts while `armed` ------------------------------------------------------------- */

static int armed;

#if defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
#define SANITIZED 1
#endif
#endif
/* A static libc brings its malloc along with __libc_malloc: -DTEST_STATIC, in check-machines. */
#if defined(__GLIBC__) && !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__) &&      \
    !defined(SANITIZED) && !defined(TEST_STATIC)
extern void *__libc_malloc(size_t size);
extern void *__libc_calloc(size_t count, size_t size);
extern void *__libc_realloc(void *ptr, size_t size);
extern void __libc_free(void *ptr);
void *malloc(size_t size) { return armed ? abort(), NULL : __libc_malloc(size); }
void *calloc(size_t n, size_t size) { return armed ? abort(), NULL : __libc_calloc(n, size); }
void *realloc(void *ptr, size_t size) { return armed ? abort(), NULL : __libc_realloc(ptr, size); }
void free(void *ptr) {
    if (armed) abort();
    __libc_free(ptr);
}
#define MALLOC_ABORTS 1
#else
#define MALLOC_ABORTS 0
#endif

/* ---- The server ------------------------------------------------------------------------------ */

enum { MOST = 12, ROOMS = 17, MEMBERSHIPS = 30, DATA = 100, WATCHED = 5, TIMERS = 9,
       BLOCK = 1 << 20 };

static union {
    long double align;
    unsigned char bytes[BLOCK];
} block;
static azc_server *server;
static azc_channel *channel, *in_parts;
static char page[9000], short_page[3000], bytes[20000];
static long memory_errors, operations;

static azc_config config_make(void) {
    azc_config c;
    memset(&c, 0, sizeof c);
    c.max_connections = MOST;
    c.max_per_address = MOST;
    c.max_request = 700;
    c.max_message = 3000;
    c.max_backlog = 9000;
    c.read_buffer = 1500;
    c.max_rooms = ROOMS;
    c.max_memberships = MEMBERSHIPS;
    c.max_data = DATA;
    c.max_setup = 2048;
    c.max_watched = WATCHED;
    c.max_timers = TIMERS;
    c.ping_ms = c.pong_ms = c.close_ms = 50; /* deadlines take part */
    return c;
}

static int counted(int result) {
    operations++;
    memory_errors += result == AZC_ERR_MEMORY;
    return result;
}

static void logged(void *user, int level, const char *message) {
    (void)level;
    (void)user;
    if (strstr(message, "out of memory") != NULL) {
        memory_errors++;
        armed = 0;
        printf("  logged: %s\n", message);
        armed = MALLOC_ABORTS;
    }
}

/* ---- Timers and watched descriptors, always as many as there may be ---- */

static int pipes[WATCHED + 2][2]; /* always readable */
static int watches[WATCHED + 2], watch_count; /* 1: it is watched */
static uint64_t timers[TIMERS];
static int timer_count;

static void watched(azc_server *s, int fd, int events, void *user) {
    (void)user;
    CHECK(s == server && events != 0 && fd >= 0);
    if (random_below(2)) azc_stats(s);
}

/* Stop, start or change one. Beyond max_watched it is AZC_ERR_FULL; within, it never fails. */
static void watch_anything(void) {
    int i = (int)random_below(WATCHED + 2), events = (int)random_below(2) ? AZC_READ : 0;
    int full = events != 0 && !watches[i] && watch_count == WATCHED;
    CHECK_INT(counted(azc_watch(server, pipes[i][0], events, watched, NULL)),
              full ? AZC_ERR_FULL : AZC_OK);
    if (full) return;
    watch_count += (events != 0) - watches[i];
    watches[i] = events != 0;
}

static void timer_done(azc_server *s, void *arg) {
    (void)arg;
    CHECK(s == server);
    operations++;
}

static void timer_anything(void) {
    if (random_below(3) && timer_count > 0) {
        CHECK_INT(azc_cancel(server, timers[--timer_count]), AZC_OK);
        return;
    }
    int ms = 1 + (int)random_below(random_below(2) ? 10 : 100000);
    uint64_t id = azc_every(server, ms, timer_done, NULL);
    operations++;
    CHECK((id == 0) == (timer_count == TIMERS));
    if (id != 0) timers[timer_count++] = id;
}

static void posted(azc_server *s, void *arg) {
    (void)arg;
    CHECK(s == server);
}

/* azc_send, without key and period_ms, which need the heap. */
static void send_anything(azc_conn *conn, const char *room, size_t len) {
    char json[200];
    azc_message m;
    memset(&m, 0, sizeof m);
    m.text = bytes;
    m.len = len % 1400;
    switch (random_below(6)) {
    case 0: m.room = room; break;
    case 1: m.user = "ada"; break;
    case 2: if (m.len <= 9000 - azc_backlog(conn) - 10) m.to = conn; break;
    case 3: m.text = NULL, m.binary = bytes, m.except = conn; break;
    case 4: m.local = 1; break;
    default: m.room = room; break;
    }
    azc_writer w = azc_put_begin(json, sizeof json);
    if (random_below(4) == 0 && m.text != NULL) {
        azc_put_string(&w, "name", "value");
        m.text = NULL, m.json = &w;
    }
    counted(azc_send(channel, &m));
    m.json = NULL, m.binary = NULL, m.text = bytes;
    m.key = 7;
    CHECK_INT(azc_send(channel, &m), AZC_ERR_STATE);
    m.key = 0, m.to = NULL, m.except = NULL, m.batch = 1, m.period_ms = 1;
    CHECK_INT(azc_send(channel, &m), AZC_ERR_STATE);
    CHECK_INT(azc_set_history(channel, room, 1, 100), AZC_ERR_STATE);
}

/* What a program may do to a connection, at any time. */
static void anything(azc_conn *conn) {
    char name[300];
    int kind = (int)random_below(24);
    size_t len = random_below(random_below(3) ? 300 : 9000);
    memset(name, 'r', sizeof name);
    name[random_below(2) ? 1 : 254] = 0; /* a long or a short one of each */
    name[0] = (char)('a' + random_below(ROOMS));
    switch (kind) {
    case 0: case 1: case 2: counted(azc_join(conn, name)); break;
    case 3: counted(azc_leave(conn, name)); break;
    case 4: if (random_below(4) == 0) counted(azc_leave_all(conn)); break;
    case 5: case 6: if (len <= 9000 - azc_backlog(conn) - 10) counted(azc_send_binary(conn, bytes, len)); break;
    case 7: case 8: counted(azc_broadcast(channel, name, bytes, len % 1400, conn)); break;
    case 9: counted(azc_broadcast_binary(channel, NULL, bytes, len % 3000, NULL)); break;
    case 10: counted(azc_ping(conn, bytes, len % 126)); break;
    case 11: if (random_below(20) == 0) counted(azc_close(conn, 1000, "that was enough of it")); break;
    case 12: for (azc_cursor c = azc_rooms(conn); azc_cursor_next(&c);) counted(azc_leave(conn, c.room)); break;
    case 13: case 14: /* to the brim */
        while (azc_backlog(conn) + 200 < 9000)
            if (counted(azc_send_binary(conn, bytes, random_below(130))) != AZC_OK) break;
        break;
    case 15: for (int i = 0; i < 20; i++) watch_anything(); break; /* many in one turn */
    case 16: for (int i = 0; i < 20; i++) timer_anything(); break;
    case 17: case 18: send_anything(conn, name, len); break;
    case 19:
        name[0] = (char)('A' + random_below(3)); /* users with long names, and short ones */
        name[random_below(2) ? 1 : 254] = 0;
        counted(azc_set_user(conn, random_below(2) ? "ada" : name));
        break;
    case 20: counted(azc_post(server, posted, NULL)); break;
    case 21: counted(azc_deliver(channel, name, bytes, len % 1400, len % 2)); break;
    case 22: for (azc_cursor c = azc_users(channel, name); azc_cursor_next(&c);) operations++; break;
    default: break;
    }
}

static int filling; /* worst() is at work */
static size_t left; /* pieces, at the least */
static void fill(azc_conn *conn);
static size_t slots_free(size_t size);

static int on_any(azc_conn *conn, const void *data, size_t len) {
    (void)data;
    (void)len;
    if (!filling) anything(conn);
    else if (azc_backlog(conn) < 200) fill(conn);
    size_t now = filling ? slots_free(AZC__FIXED_PIECE) : left;
    if (now < left) left = now;
    return AZC_OK;
}

static int on_text(azc_conn *conn, const char *text, size_t len) {
    counted(azc_send_text(conn, text, len));
    return on_any(conn, text, len);
}

static long parts_seen, visitors_seen;

static int on_part(azc_conn *conn, const void *data, size_t len, int flags) {
    parts_seen++;
    visitors_seen += conn->quota != NULL;
    counted(azc_send_binary(conn, data, len));
    return flags & AZC_PART_LAST ? on_any(conn, data, len) : AZC_OK;
}

static void on_presence(azc_channel *c, const char *room, const char *user, int present) {
    CHECK(c == channel && *room && *user && present >= 0);
    counted(azc_broadcast(c, room, user, AZC_NUL, NULL));
}
static void on_room(azc_channel *c, const char *room, int present) {
    CHECK(c == channel && *room && present >= 0);
}
static void on_publish(azc_channel *c, const char *room, const void *data, size_t len, int binary) {
    (void)room, (void)binary;
    CHECK(c == channel && (data != NULL || len == 0));
}

static int on_open(azc_conn *conn) { return filling ? AZC_OK : on_any(conn, NULL, 0); }

static int replying(azc_conn *conn, void *user) {
    (void)user;
    azc_reply_header(conn, "X-Long", bytes + sizeof bytes - 500);
    size_t len = random_below(random_below(2) ? 4000 : 9001);
    int result = azc_reply(conn, 200, "text/plain", bytes, len);
    memory_errors += result == AZC_ERR_FULL; /* whatever was queued before it */
    return counted(result);
}

static size_t block_size; /* what the server got of block */

static int begin(size_t less) {
    azc_config c = config_make();
    c.log = logged;
    void *memory = block.bytes + random_below(16); /* any alignment */
    block_size = azc_memory_bound(&c) - less;
    if (!CHECK(block_size + 16 < sizeof block)) return 0;
    memset(block.bytes, 0xA5, sizeof block);
    armed = MALLOC_ABORTS;
    server = azc_create_in(memory, block_size, &c);
    azc_channel_desc desc;
    memset(&desc, 0, sizeof desc);
    desc.path = "/:any/x";
    desc.data_size = DATA;
    desc.when_full = AZC_FULL_DROP;
    desc.on_connect = on_open;
    desc.on_message = on_text;
    desc.on_binary = desc.on_ping = desc.on_pong = on_any;
    channel = azc_add_channel(server, &desc);
    desc.path = "/:any/y";
    in_parts = azc_add_channel(server, &desc);
    azc_on_part(in_parts, on_part);
    azc_trust_proxies(server, "127.0.0.1");
    azc_on_presence(channel, on_presence);
    azc_on_room(channel, on_room);
    azc_on_publish(channel, on_publish);
    timer_count = watch_count = 0;
    memset(watches, 0, sizeof watches);
    for (int i = 0; i < 30; i++) timer_anything(), watch_anything(); /* before azc_listen, too */
    azc_add_page(server, "/page", "text/plain", page, sizeof page);
    azc_add_page(server, "/short", "text/plain", short_page, sizeof short_page);
    azc_add_handler(server, "/reply", replying, NULL);
    if (azc_listen(server) != AZC_OK) return 0;
    int small = 4608; /* accepted sockets inherit it: what peers do not read stays with us */
    setsockopt(server->listener.fd, SOL_SOCKET, SO_SNDBUF, &small, sizeof small);
    return 1;
}

static void end(void) {
    azc_destroy(server);
    armed = 0;
}

/* ---- Peers, without memory of their own ------------------------------------------------------ */

static int peers[MOST];
static int upgraded[MOST]; /* how many message bytes are begun, -1: a request's time */

static void peer_open(int i) {
    struct sockaddr_in to;
    int small = 2304;
    memset(&to, 0, sizeof to);
    to.sin_family = AF_INET;
    to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    to.sin_port = htons((uint16_t)azc_port(server));
    peers[i] = socket(AF_INET, SOCK_STREAM, 0);
    setsockopt(peers[i], SOL_SOCKET, SO_RCVBUF, &small, sizeof small);
    if (connect(peers[i], (struct sockaddr *)(void *)&to, sizeof to) != 0) abort();
    fcntl(peers[i], F_SETFL, O_NONBLOCK);
    upgraded[i] = -1;
}

static void peer_close(int i) {
    struct linger reset = {1, 0};
    if (random_below(2)) setsockopt(peers[i], SOL_SOCKET, SO_LINGER, &reset, sizeof reset);
    close(peers[i]);
    peers[i] = -1;
}

static void peer_send(int i, const void *data, size_t len) {
    if (send(peers[i], data, len, MSG_NOSIGNAL | MSG_DONTWAIT) != (ssize_t)len) peer_close(i);
}

/* A handshake with the longest strings possible. */
static void peer_upgrade(int i) {
    static const char rest[] = " HTTP/1.1\r\nHost:a\r\nUpgrade:websocket\r\nConnection:Upgrade\r\n"
        "Sec-WebSocket-Key:dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version:13\r\n"
        "X-Forwarded-For:10.0.0.%d\r\n\r\n";
    int visitor = 10 + (int)random_below(90), parts = !filling && random_below(4) == 0;
    char head[800], target[700];
    size_t n = 0, name = random_below(2) ? 1 : random_below(2) ? 60 : 500;
    size_t room = 700 - (sizeof rest - 1) - 8 - name; /* max_request is met to the byte */
    if (name > 500 || random_below(2) == 0) room = random_below(30);
    for (; n + 2 <= room; n += 2) memcpy(target + n, "a&", 2);
    target[n] = 0;
    int len = snprintf(head, sizeof head, "GET /%.*s/%c?%s", (int)name, bytes, parts ? 'y' : 'x',
                       target);
    len += snprintf(head + len, sizeof head - (size_t)len, rest, visitor);
    size_t cut = random_below(4) ? (size_t)len : random_below((size_t)len);
    upgraded[i] = cut == (size_t)len ? 0 : -2;
    peer_send(i, head, cut);
}

/* Requests in one write, more than one read takes, or in as many; perhaps the last is cut. */
static void peer_request(int i) {
    static const char *const paths[] = {"page", "short", "reply", "reply", "none"};
    char heads[40 * 48];
    size_t n = 0;
    int together = random_below(2);
    for (int more = (int)random_below(together ? 40 : 5); more >= 0 && peers[i] >= 0; more--) {
        n += (size_t)snprintf(heads + n, sizeof heads - n, "GET /%s HTTP/1.1\r\nHost: a\r\n\r\n",
                              paths[random_below(more ? 4 : 5)]);
        if (together && more > 0) continue;
        peer_send(i, heads, n - (random_below(8) ? 0 : 9));
        n = 0;
    }
}

/* Frames: more of a message that never ends below max_message, whole ones, pings. */
static void peer_frames(int i) {
    unsigned char frame[1600];
    memset(frame, 0, sizeof frame);
    size_t len = random_below(random_below(3) ? 120 : 1400);
    int more = upgraded[i] + (int)len < 2990 && random_below(2);
    if (!more && upgraded[i] > 0 && random_below(3) == 0) {
        frame[0] = 0x80, frame[1] = 0x80; /* the message's end */
        upgraded[i] = 0;
        peer_send(i, frame, 6);
        return;
    }
    frame[0] = (unsigned char)(more ? (upgraded[i] > 0 ? 0 : 2) : upgraded[i] > 0 ? 0x89 : 0x81);
    if (frame[0] == 0x89) len %= 126;
    size_t head = len < 126 ? 6 : 8;
    frame[1] = (unsigned char)(0x80 | (len < 126 ? len : 126));
    if (len >= 126) frame[2] = (unsigned char)(len >> 8), frame[3] = (unsigned char)len;
    if (more) upgraded[i] += (int)len;
    peer_send(i, frame, head + len);
}

/* A turn, sometimes with a poll of the program's own. */
static void turn(void) {
    struct pollfd fds[MOST + WATCHED + 2];
    int ms = 0;
    if (random_below(4)) {
        azc_poll(server, 0);
        return;
    }
    size_t n = azc_poll_begin(server, fds, sizeof fds / sizeof *fds, &ms);
    CHECK(n <= sizeof fds / sizeof *fds);
    poll(fds, (nfds_t)n, 0);
    azc_poll_end(server, fds, n);
}

static void peer_read(int i, int all) {
    char sink[4096];
    while (recv(peers[i], sink, sizeof sink, MSG_DONTWAIT) > 0 && all) continue;
}

static int reading; /* half of the time no client reads */

static void peer_anything(int i) {
    if (peers[i] < 0) peer_open(i);
    if (upgraded[i] == -1) {
        if (random_below(3)) peer_upgrade(i);
        else peer_request(i);
        return;
    }
    switch (random_below(12)) {
    case 0: if (reading) peer_read(i, 1); break;
    case 1: if (reading) peer_read(i, 0); break;
    case 2: if (random_below(10) == 0) peer_close(i); break;
    default: if (upgraded[i] >= 0) peer_frames(i); else if (random_below(20) == 0) peer_close(i);
    }
}

/* ---- Tests ----------------------------------------------------------------------------------- */

static size_t slots_free(size_t size) {
    size_t n = 0;
    const azc__fixed *f = (const azc__fixed *)server->mem.userdata;
    for (int i = 0; i < f->kinds; i++)
        if (f->slots[i].size == azc__align(size))
            for (const azc__spare *s = f->slots[i].free; s != NULL; s = s->next) n++;
    return n;
}

static size_t all_free(void) {
    size_t n = 0;
    const azc__fixed *f = (const azc__fixed *)server->mem.userdata;
    for (int i = 0; i < f->kinds; i++)
        for (const azc__spare *s = f->slots[i].free; s != NULL; s = s->next) n++;
    return n;
}

/* Everybody leaves: each slot is back. */
static void empty(size_t laid) {
    for (int i = 0; i < MOST; i++)
        if (peers[i] >= 0) peer_close(i);
    struct timespec t;
    long until;
    clock_gettime(CLOCK_MONOTONIC, &t);
    int quiet = 0; /* turns: closed connections may still be in the kernel's queue */
    for (until = (long)t.tv_sec + 10; quiet < 4;) {
        azc_poll(server, 5);
        quiet = azc_stats(server)->connections > 0 ? 0 : quiet + 1;
        clock_gettime(CLOCK_MONOTONIC, &t);
        if ((long)t.tv_sec > until) break;
    }
    CHECK_INT(azc_stats(server)->connections, 0);
    /* The array of ids and the room table may stay; timers and watched descriptors do, and all of
     * them are still there to be had. */
    CHECK(laid - all_free() <= 2 + 1 + TIMERS + WATCHED);
    azc_poll(server, 0);
    while (timer_count > 0) azc_cancel(server, timers[--timer_count]);
    for (int i = 0; i < WATCHED + 2; i++)
        if (watches[i]) azc_watch(server, pipes[i][0], watches[i] = 0, NULL, NULL);
    watch_count = 0;
    for (int i = 0; i < TIMERS; i++)
        CHECK((timers[timer_count++] = azc_after(server, 1 << 30, timer_done, NULL)) != 0);
    for (int i = 0; i < WATCHED; i++, watch_count++)
        CHECK_INT(azc_watch(server, pipes[i][0], watches[i] = AZC_READ, watched, NULL), AZC_OK);
}

/* Shut down while peers go on; those that stay are closed too. */
static void shut_down(void) {
    long polls = 0;
    int running = 1;
    for (int i = 0; i < MOST; i++) peer_anything(i), turn();
    CHECK_INT(azc_shutdown(server, 60), AZC_OK);
    for (; running > 0 && polls < 100000; polls++) {
        int i = (int)random_below(MOST);
        if (peers[i] >= 0) peer_anything(i);
        azc_cursor c = azc_members(channel, NULL);
        if (azc_cursor_next(&c)) anything(c.conn);
        running = azc_poll(server, 1);
    }
    CHECK_INT(running, 0);
    for (int i = 0; i < MOST; i++)
        if (peers[i] >= 0) peer_close(i);
}

static void adversary(double seconds) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    alarm((unsigned)seconds + test_seconds());
    double until = (double)t.tv_sec + (double)t.tv_nsec / 1e9 + seconds, now = 0;
    size_t laid = all_free(), pieces = slots_free(AZC__FIXED_PIECE), least = pieces;
    long rounds = 0;
    for (; now < until && memory_errors == 0; rounds++) {
        for (int step = 0; step < 3000; step++) {
            reading = step % 1500 < 700;
            peer_anything((int)random_below(MOST));
            if (random_below(3) == 0) turn();
            azc_cursor c = azc_members(channel, NULL);
            for (size_t n = random_below(MOST); azc_cursor_next(&c);)
                if (n-- == 0) anything(c.conn);
            size_t left = slots_free(AZC__FIXED_PIECE);
            if (left < least) least = left;
        }
        empty(laid);
        clock_gettime(CLOCK_MONOTONIC, &t);
        now = (double)t.tv_sec + (double)t.tv_nsec / 1e9;
    }
    armed = 0;
    printf("%s: %ld operations in %ld rounds within %lu bytes; %lu of %lu pieces used at most\n",
           test.program, operations, rounds, (unsigned long)block_size,
           (unsigned long)(pieces - least), (unsigned long)pieces);
    armed = MALLOC_ABORTS;
}

/* A connection whose every piece ends with no room for the control frame that comes next. */
static void fill(azc_conn *conn) {
    size_t piece = AZC__FIXED_PIECE - sizeof(azc__piece), most = server->config.max_backlog;
    size_t first = piece - 127 - 4, next = piece - 127 - 127 - 4;
    for (size_t len = first; azc_backlog(conn) + len + 131 <= most; len = next) {
        CHECK_INT(azc_send_binary(conn, bytes, len), AZC_OK);
        CHECK_INT(azc_ping(conn, bytes, 125), AZC_OK);
    }
    size_t rest = most - azc_backlog(conn);
    if (rest > 125) CHECK_INT(azc_send_binary(conn, bytes, rest - 4), AZC_OK);
    else if (rest > 2) CHECK_INT(azc_send_binary(conn, bytes, rest - 2), AZC_OK);
    CHECK_INT(azc_ping(conn, bytes, 125), AZC_OK); /* control frames always go */
}

/* All limits met at once: strings, half a message, rooms, memberships, output; and the answers to a
 * read full of pings, which always go. */
static void worst(void) {
    static unsigned char half[8 + 2899] = {0x01, 0xFE, 2900 >> 8, 2900 & 255};
    static unsigned char pings[1 + 11 * 131];
    for (int i = 0; i < 11; i++) memcpy(pings + 1 + i * 131, "\x89\xFD", 2);
    filling = 1;
    for (int i = 0; i < MOST; i++) {
        do {
            peer_open(i);
            peer_upgrade(i);
            if (upgraded[i] != 0) peer_close(i);
        } while (peers[i] < 0);
        peer_send(i, half, sizeof half);
        for (int n = 0; n < 20; n++) azc_poll(server, 0);
    }
    CHECK_INT(azc_stats(server)->open, MOST);
    int n = 0;
    for (azc_cursor c = azc_members(channel, NULL); azc_cursor_next(&c); n++) {
        char name[256];
        memset(name, 'n', 255);
        name[255] = 0;
        for (int i = 0; i < 3; i++) {
            name[0] = (char)('a' + (n + i) % ROOMS);
            CHECK_INT(azc_join(c.conn, name), n * 3 + i < MEMBERSHIPS ? AZC_OK : AZC_ERR_FULL);
        }
        CHECK(c.conn->in != NULL && c.conn->in->len == 2899);
    }
    CHECK_INT(n, MOST);
    left = SIZE_MAX;
    for (int i = 0; i < MOST; i++) peer_send(i, pings, sizeof pings);
    for (n = 0; n < 20; n++) azc_poll(server, 0);
    CHECK(azc_stats(server)->peak_backlog > server->config.max_backlog + 1300);
    if (!CHECK(left <= (size_t)MOST * 4)) printf("    %lu are left\n", (unsigned long)left);
    filling = 0;
}

static void fixed(void) {
    for (size_t i = 0; i < sizeof bytes; i++) bytes[i] = 'x';
    bytes[sizeof bytes - 1] = 0;
    memset(page, 'p', sizeof page);
    memset(peers, -1, sizeof peers);
    for (int i = 0; i < WATCHED + 2; i++) {
        CHECK(pipe(pipes[i]) == 0);
        CHECK(write(pipes[i][1], "x", 1) == 1);
    }
    TEST("less memory than azc_memory_bound, or data over max_data, is an error of azc_listen") {
        CHECK(!begin(2048)); /* of max_setup something was left */
        CHECK_INT(azc_listen(server), AZC_ERR_MEMORY);
        CHECK(strstr(azc_error(server), "azc_memory_bound") != NULL);
        end();
        azc_config c = config_make();
        CHECK_INT(azc_memory_bound(NULL) > 0, 1);
        c.max_rooms = -1;
        CHECK_INT(azc_memory_bound(&c), 0);
        c.max_rooms = 0;
        CHECK(azc_create_in(NULL, sizeof block, &c) == NULL);
        for (size_t n = 0; n < 6000; n += 7) { /* less than a server */
            azc_server *small = azc_create_in(block.bytes, n, &c);
            if (small != NULL) CHECK_INT(azc_listen(small), AZC_ERR_MEMORY);
            azc_destroy(small);
        }
        azc_channel_desc desc;
        memset(&desc, 0, sizeof desc);
        desc.path = "/";
        desc.data_size = DATA + 1;
        azc_server *large = azc_create_in(block.bytes, azc_memory_bound(&c), &c);
        azc_add_channel(large, &desc);
        CHECK_INT(azc_listen(large), AZC_ERR_MEMORY);
        azc_destroy(large);
    }
    TEST("memory suffices with every limit reached at once, and again after all have left") {
        if (CHECK(begin(0))) {
            size_t laid = all_free();
            for (int round = 0; round < 3; round++) {
                worst();
                empty(laid);
            }
        }
        CHECK_INT(memory_errors, 0);
        end();
    }
    const char *seconds = getenv("FIXED_SECONDS");
    TEST("with max_watched 200 and 2 connections, 200 descriptors can be watched, and no more") {
        static int fds[200][2];
        azc_config c = config_make();
        c.max_watched = 200, c.max_connections = 2;
        armed = 0;
        azc_server *s = azc_create_in(block.bytes, azc_memory_bound(&c), &c);
        int ok = 0, full = 0;
        azc_channel_desc d;
        memset(&d, 0, sizeof d);
        d.path = "/";
        azc_add_channel(s, &d);
        CHECK_INT(azc_listen(s), AZC_OK);
        for (int i = 0; i < 200; i++) {
            if (pipe(fds[i]) != 0) break;
            ok += azc_watch(s, fds[i][0], AZC_READ, watched, NULL) == AZC_OK;
        }
        CHECK_INT(ok, 200);
        full = azc_watch(s, fds[0][1], AZC_WRITE, watched, NULL);
        CHECK_INT(full, AZC_ERR_FULL);
        azc_destroy(s);
        for (int i = 0; i < 200; i++) close(fds[i][0]), close(fds[i][1]);
    }
    TEST("within the limits no call fails for memory, whatever the order of calls") {
        if (CHECK(begin(0))) adversary(seconds != NULL ? atof(seconds) : 2);
        CHECK_INT(memory_errors, 0);
        CHECK(operations > 1000);
        CHECK_INT(azc_stats(server)->closed[11], 0); /* 1011 */
        CHECK(azc_stats(server)->opened > 20);
        CHECK(azc_stats(server)->peak_backlog >= 8800);
        CHECK(parts_seen > 20 && visitors_seen > 20);
        if (server->listening) shut_down();
        CHECK_INT(memory_errors, 0);
        end();
    }
}

int main(int argc, char **argv) {
    static char buffer[4096];
    setvbuf(stdout, buffer, _IOLBF, sizeof buffer); /* or a failure would end in malloc */
    test_start(argc, argv);
    fixed();
    return test_end();
}
