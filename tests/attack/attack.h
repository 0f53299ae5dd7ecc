/* attack.h: a server in a process of its own, and the hostile side of the wire in this one.
 *
 * The server answers orders on a private line: `look` gives its azc_statistics, what its counting
 * allocator holds, and how it lived meanwhile, so an attack is judged by what its peers see and by
 * these. It has the channels
 *
 *     /echo  gives back          /sink  only counts          /bye  closes with 4000 when spoken to
 *     /room  joins the room "r", in which `broadcasts` sends numbered messages
 *
 * and the pages /small and /big, the latter larger than what two kernels' buffers take.
 *
 * Its clients are those of client.h, made without a server to poll: they wait instead. */
#ifndef ATTACK_H
#define ATTACK_H

#define AZCHAN_IMPLEMENTATION
#include "../../azchan.h"
#include "../test.h"
#include <sys/resource.h>
#include <sys/wait.h>

/* client.h polls the server under test while it waits; ours polls itself. */
static inline int wait_instead(azc_server *server, int ms) {
    return server ? azc_poll(server, ms) : poll(NULL, 0, ms);
}
#define azc_poll wait_instead
#include "../client.h"
#undef azc_poll

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define SANITIZED 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(memory_sanitizer)
#define SANITIZED 1
#endif
#endif
#ifndef SANITIZED
#define SANITIZED 0
#endif

enum { BIG = 24 << 20 };
static char big_page[BIG];

/* ---- The server's process -------------------------------------------------------------------- */

typedef struct report {
    azc_statistics stats;
    size_t bytes, peak, blocks;          /* allocated; peak since the last `mark` */
    size_t backlog;                      /* of whom it is the largest, now */
    uint64_t connects, closes, drains;   /* callbacks */
    uint64_t broadcasts;                 /* made */
    uint64_t missed;                     /* sum of azc_dropped at on_close */
    long turns, rss;                     /* azc_poll calls; KiB resident */
    int failed;                          /* checks on that side */
} report;

typedef struct order {
    int what, count;
    const size_t *sizes; /* good in both processes: the server's is a copy of this one */
    int size_count;
} order;
enum { LOOK, MARK, BROADCAST, END };

typedef struct host {
    pid_t pid;
    int line, port;
} host;

static struct {
    report report;
    azc_server *server;
    azc_channel *channels[4];
    order broadcast;
} inside;

static inline int in_connect(azc_conn *conn) {
    inside.report.connects++;
    return azc_channel_of(conn) == inside.channels[3] ? azc_join(conn, "r") : AZC_OK;
}
static inline int in_sink(azc_conn *conn, const char *text, size_t len) {
    CHECK(text[len] == 0);
    return conn ? AZC_OK : AZC_ERR_APP;
}
static inline int in_sink_binary(azc_conn *conn, const void *data, size_t len) {
    return in_sink(conn, (const char *)data, len);
}
static inline int in_bye(azc_conn *conn, const char *text, size_t len) {
    (void)text, (void)len;
    return azc_close(conn, 4000, "bye");
}
static inline int in_drain(azc_conn *conn) {
    inside.report.drains++;
    return conn ? AZC_OK : AZC_ERR_APP;
}
static inline void in_close(azc_conn *conn, int code, const char *reason) {
    CHECK(code >= 1000 && reason != NULL);
    inside.report.closes++;
    inside.report.missed += azc_dropped(conn);
}

/* The nth message of a room: its number, then a text that follows from it. */
static inline void numbered(char *out, size_t len, long n) {
    memset(out, 'a' + (int)(n % 26), len);
    char number[24];
    int k = snprintf(number, sizeof number, "%ld ", n);
    memcpy(out, number, len < (size_t)k ? len : (size_t)k);
}

/* One broadcast a turn, once those members that read (no ?stalled in their targets) have all. */
static inline void in_broadcast(void) {
    static char text[65536];
    order *o = &inside.broadcast;
    if (o->count == 0) return;
    for (azc_cursor c = azc_members(inside.channels[3], "r"); azc_cursor_next(&c);)
        if (!azc_query(c.conn, "stalled") && azc_backlog(c.conn) > 0) return;
    size_t len = o->sizes[inside.report.broadcasts % (size_t)o->size_count];
    numbered(text, len, (long)inside.report.broadcasts++);
    CHECK(azc_broadcast(inside.channels[3], "r", text, len, NULL) >= 0);
    o->count--;
}

static inline void in_answer(int line, const order *o) {
    report *r = &inside.report;
    for (int i = 0; i < 4; i++) azc_poll(inside.server, 0); /* what was sent before is seen */
    if (o->what == BROADCAST) inside.broadcast = *o;
    if (o->what == MARK) memory.peak = memory.bytes;
    r->backlog = 0;
    for (int i = 0; i < 4; i++)
        for (azc_cursor c = azc_members(inside.channels[i], NULL); azc_cursor_next(&c);)
            if (azc_backlog(c.conn) > r->backlog) r->backlog = azc_backlog(c.conn);
    r->stats = *azc_stats(inside.server);
    if (o->what == END) {
        CHECK_INT(azc_destroy(inside.server), AZC_OK);
        CHECK_INT(r->connects, r->closes);
    }
    r->bytes = memory.bytes, r->peak = memory.peak, r->blocks = memory.blocks;
    r->failed = test.bad;
    FILE *f = fopen("/proc/self/statm", "r");
    long pages = 0;
    if (f && fscanf(f, "%*s %ld", &pages) == 1) r->rss = pages * sysconf(_SC_PAGESIZE) / 1024;
    if (f) fclose(f);
    if (write(line, r, sizeof *r) != (ssize_t)sizeof *r) _exit(1);
    if (o->what == END) _exit(0);
}

static inline void in_run(int line) {
    for (;; inside.report.turns++) {
        order o;
        azc_poll(inside.server, inside.broadcast.count ? 0 : 5);
        in_broadcast();
        ssize_t n = recv(line, &o, sizeof o, MSG_DONTWAIT);
        if (n == (ssize_t)sizeof o) in_answer(line, &o);
        else if (n == 0) _exit(0); /* whoever attacks is gone */
    }
}

/* The channels and pages of the server; a program may have its own. */
static inline void in_channels(int when_full) {
    static const char *const paths[4] = {"/echo", "/sink", "/bye", "/room"};
    for (int i = 0; i < 4; i++) {
        azc_channel_desc d;
        memset(&d, 0, sizeof d);
        d.path = paths[i], d.when_full = when_full;
        d.on_connect = in_connect, d.on_close = in_close, d.on_drain = in_drain;
        d.on_message = i == 0 ? echo_text : i == 2 ? in_bye : in_sink;
        d.on_binary = i == 0 ? echo_binary : in_sink_binary;
        inside.channels[i] = azc_add_channel(inside.server, &d);
    }
    CHECK_INT(azc_add_page(inside.server, "/small", "text/plain", "small", 5), AZC_OK);
    CHECK_INT(azc_add_page(inside.server, "/big", "text/plain", big_page, BIG), AZC_OK);
}
#ifndef IN_CHANNELS
#define IN_CHANNELS in_channels
#endif

static inline void in_open(const azc_config *config, int when_full) {
    inside.server = azc_create(config);
    IN_CHANNELS(when_full);
    if (azc_listen(inside.server) != AZC_OK) puts(azc_error(inside.server)), _exit(1);
}

/* ---- This process ---------------------------------------------------------------------------- */

/* As many descriptors as are allowed; 0 and a failed check when that is too few. */
static inline int descriptors_for(int wanted) {
    struct rlimit fds;
    getrlimit(RLIMIT_NOFILE, &fds);
    if (fds.rlim_cur < (rlim_t)wanted) {
        fds.rlim_cur = fds.rlim_max < (rlim_t)wanted ? fds.rlim_max : (rlim_t)wanted;
        setrlimit(RLIMIT_NOFILE, &fds);
        getrlimit(RLIMIT_NOFILE, &fds);
    }
    if (fds.rlim_cur >= (rlim_t)wanted) return 1;
    CHECK(!"enough descriptors: raise the hard limit of ulimit -n");
    printf("    %d are wanted, %ld allowed\n", wanted, (long)fds.rlim_cur);
    return 0;
}

static inline azc_config defaults(void) { /* but for memory, which counts */
    azc_config c;
    memset(&c, 0, sizeof c);
    c.alloc = memory_alloc, c.alloc_userdata = &memory;
    c.close_ms = 500;
    return c;
}

static inline host host_start(const azc_config *config, int when_full) {
    host h;
    int pair[2];
    fflush(stdout);
    if (socketpair(AF_UNIX, SOCK_STREAM, 0, pair) != 0 || (h.pid = fork()) < 0) abort();
    if (h.pid == 0) {
        signal(SIGABRT, SIG_DFL), signal(SIGSEGV, SIG_DFL), signal(SIGBUS, SIG_DFL);
        close(pair[0]);
        test.bad = 0;
        in_open(config, when_full);
        int port = azc_port(inside.server);
        if (write(pair[1], &port, sizeof port) != (ssize_t)sizeof port) _exit(1);
        in_run(pair[1]);
    }
    close(pair[1]);
    h.line = pair[0];
    if (read(h.line, &h.port, sizeof h.port) != (ssize_t)sizeof h.port) abort();
    return h;
}

/* What a server that died leaves is zeros, and a failed check. */
static inline report host_order(host *h, order o) {
    report r;
    size_t at = 0;
    memset(&r, 0, sizeof r);
    if (send(h->line, &o, sizeof o, MSG_NOSIGNAL) == (ssize_t)sizeof o)
        while (at < sizeof r) {
            ssize_t n = read(h->line, (char *)&r + at, sizeof r - at);
            if (n <= 0) break;
            at += (size_t)n;
        }
    if (!CHECK(at == sizeof r)) memset(&r, 0, sizeof r);
    return r;
}

static inline report look(host *h) {
    order o = {LOOK, 0, NULL, 0};
    return host_order(h, o);
}
static inline report mark(host *h) {
    order o = {MARK, 0, NULL, 0};
    return host_order(h, o);
}
static inline void broadcasts(host *h, int count, const size_t *sizes, int size_count) {
    order o = {BROADCAST, 0, NULL, 0};
    o.count = count, o.sizes = sizes, o.size_count = size_count;
    host_order(h, o);
}

/* Look until it is so. */
#define EVENTUALLY(h, r, cond)                                                                   \
    do {                                                                                         \
        long long end_ = now_ms() + 2 * WAIT_MS;                                                 \
        while ((r) = look(h), !(cond) && now_ms() < end_) poll(NULL, 0, 5);                      \
        CHECK(cond);                                                                             \
    } while (0)

/* All its clients close; the server must have lived well and leave nothing behind. */
static inline void host_end(host *h) {
    order o = {END, 0, NULL, 0};
    report r = host_order(h, o);
    int status = -1;
    while (clients) client_unlink(clients);
    close(h->line);
    waitpid(h->pid, &status, 0);
    if (!CHECK(WIFEXITED(status) && WEXITSTATUS(status) == 0))
        printf("    the server ended with %s %d\n", WIFSIGNALED(status) ? "signal" : "exit code",
               WIFSIGNALED(status) ? WTERMSIG(status) : WEXITSTATUS(status));
    CHECK_INT(r.failed, 0);
    CHECK_INT(r.bytes, 0);
    CHECK_INT(r.blocks, 0);
    CHECK_INT(r.connects, r.stats.opened);
    uint64_t closed = r.stats.closed_app + r.stats.open;
    for (int i = 0; i < 16; i++) closed += r.stats.closed[i];
    CHECK_INT(closed, r.stats.opened);
    CHECK_INT(r.missed, r.stats.dropped);
}

/* ---- Peers ----------------------------------------------------------------------------------- */

static inline client *peer_open(host *h) {
    client *c = client_open_to(NULL, "127.0.0.1", h->port, 0);
    if (!c) printf("connect: %s\n", strerror(errno)), abort();
    return c;
}
static inline client *peer_in(host *h, const char *target) {
    client *c = peer_open(h);
    CHECK_INT(client_upgrade(c, target, ""), 101);
    return c;
}
/* A bare socket, for crowds; a source of 127.0.0.x when x > 0. */
static inline int crowd_socket(host *h, int x) {
    struct sockaddr_in a;
    int fd = socket(AF_INET, SOCK_STREAM, 0), one = 1;
    memset(&a, 0, sizeof a);
    a.sin_family = AF_INET;
    a.sin_addr.s_addr = htonl(0x7F000000u + (unsigned)x);
    if (fd < 0) printf("socket: %s\n", strerror(errno)), abort();
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
#ifdef IP_BIND_ADDRESS_NO_PORT
    setsockopt(fd, IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, &one, sizeof one);
#endif
    if (x > 0 && bind(fd, (struct sockaddr *)&a, sizeof a) != 0) abort();
    a.sin_addr.s_addr = htonl(0x7F000001u), a.sin_port = htons((uint16_t)h->port);
    while (connect(fd, (struct sockaddr *)&a, sizeof a) != 0)
        if (errno != EINTR) printf("connect: %s\n", strerror(errno)), abort();
    fcntl(fd, F_SETFL, O_NONBLOCK);
    return fd;
}
static inline void hard_close(int fd) {
    struct linger hard = {1, 0};
    setsockopt(fd, SOL_SOCKET, SO_LINGER, &hard, sizeof hard);
    close(fd);
}

/* The stream as it stands: 0 open and silent, else bytes; -1 ended, -2 reset. */
static inline long peek(int fd) {
    char byte[1];
    ssize_t n = recv(fd, byte, 1, MSG_PEEK | MSG_DONTWAIT);
    return n > 0 ? (long)n : n == 0 ? -1 : errno == EAGAIN || errno == EWOULDBLOCK ? 0 : -2;
}

/* Wait for the stream's end, whatever comes before; 1: in order, 2: reset, 0: it lives on. */
static inline int peer_ends(client *c) {
    for (long long end = now_ms() + WAIT_MS; !c->eof && now_ms() < end; poll(NULL, 0, 1)) {
        client_fill(c);
        c->len = 0;
    }
    return c->eof;
}

/* A whole visit, in milliseconds: open, talk, and stay. */
static inline long long newcomer(host *h, client **stays) {
    long long start = now_ms();
    client *c = peer_in(h, "/echo");
    client_text(c, "hello");
    EXPECT_TEXT(c, "hello");
    if (stays) *stays = c;
    else client_close(c);
    return now_ms() - start;
}

/* xorshift64*: the same attacks on every run. */
static uint64_t random_state = 88172645463325252u;
static inline uint32_t random_below(uint32_t n) {
    random_state ^= random_state >> 12, random_state ^= random_state << 25;
    random_state ^= random_state >> 27;
    return (uint32_t)((random_state * 2685821657736338717u >> 32) % n);
}

#endif
