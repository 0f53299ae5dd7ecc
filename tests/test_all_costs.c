/* The costs that azchan.h promises: work that may grow with something grows linearly. Each test
 * compares its processor time with that of a simple linear loop over as many connections, keys or
 * elements. Linear work takes a few times as long as that; quadratic work takes thousands of times.
 *
 * The connections are made without sockets: AZC_SYS serves descriptors from FAKE on here. */
#define _DEFAULT_SOURCE 1
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/types.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>
#ifdef AZCHAN_USE_EPOLL
#include <sys/epoll.h>
#endif

enum { FAKE = 1 << 28 };
static int fake_send; /* 0: the kernel takes everything; else the errno of each send */

static ssize_t fake_sent(size_t len) {
    errno = fake_send;
    return fake_send != 0 ? -1 : (ssize_t)len;
}
static int costs_close(int fd) { return fd < FAKE ? close(fd) : 0; }
static ssize_t costs_send(int fd, const void *from, size_t len, int flags) {
    return fd < FAKE ? send(fd, from, len, flags) : fake_sent(len);
}
static ssize_t costs_sendmsg(int fd, const struct msghdr *message, int flags) {
    size_t len = 0;
    for (size_t i = 0; i < (size_t)message->msg_iovlen; i++) len += message->msg_iov[i].iov_len;
    return fd < FAKE ? sendmsg(fd, message, flags) : fake_sent(len);
}
#define costs_accept accept
#define costs_accept4 accept4
#define costs_bind bind
#define costs_chmod chmod
#define costs_clock_gettime clock_gettime
#define costs_connect connect
#define costs_epoll_create1 epoll_create1
#define costs_epoll_ctl epoll_ctl
#define costs_epoll_wait epoll_wait
#define costs_fcntl fcntl
#define costs_flock flock
#define costs_fstat fstat
#define costs_getpeername getpeername
#define costs_getpid getpid
#define costs_getrandom getrandom
#define costs_getrlimit getrlimit
#define costs_getsockname getsockname
#define costs_getsockopt getsockopt
#define costs_ioctl ioctl
#define costs_listen listen
#define costs_nanosleep nanosleep
#define costs_open open
#define costs_openat openat
#define costs_pipe pipe
#define costs_pipe2 pipe2
#define costs_poll poll
#define costs_pread pread
#define costs_read read
#define costs_recv recv
#define costs_sendfile sendfile
#define costs_sigprocmask sigprocmask
#define costs_sigtimedwait sigtimedwait
#define costs_setsockopt setsockopt
#define costs_shutdown shutdown
#define costs_sigaction sigaction
#define costs_socket socket
#define costs_stat stat
#define costs_unlink unlink
#define costs_write write
#define AZC_SYS(call) costs_##call
#define AZCHAN_IMPLEMENTATION
#include "../azchan.h"
#include "test.h"

/* ---- Connections without sockets ------------------------------------------------------------- */

static azc_server *server;
static azc_channel *channel;
static int closes;

static void on_close(azc_conn *conn, int code, const char *reason) {
    (void)conn, (void)reason;
    closes += code == 1006;
}

static void begin(void) {
    azc_config config;
    azc_channel_desc desc;
    memset(&config, 0, sizeof config);
    memset(&desc, 0, sizeof desc);
    config.max_connections = 1 << 20;
    config.max_backlog = 8 << 20;
    desc.path = "/t";
    desc.when_full = AZC_FULL_DROP;
    desc.on_close = on_close;
    server = azc_create(&config);
    channel = azc_add_channel(server, &desc);
    CHECK_INT(azc_listen(server), AZC_OK);
    closes = 0;
}

static void end(void) {
    fake_send = EPIPE;
    CHECK_INT(azc_destroy(server), AZC_OK);
}

static azc_conn *connection(void) {
    azc__visitor peer;
    memset(&peer, 0, sizeof peer);
    azc_conn *conn = azc__conn_make(server, FAKE + server->conn_count, &peer);
    server->strings_at = server->scratch + 1;
    if (conn == NULL || !azc__tail_make(conn, channel)) abort();
    azc__conn_open(conn);
    return conn;
}

static double seconds(void) {
    struct timespec t;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

/* The seconds of some work and of the linear loop: the least of a few runs, since that is the one
 * with the fewest interruptions. */
typedef struct costs {
    double work, loop;
} costs;

static void check_linear(costs (*measure)(int n), int n) {
    costs least = measure(n);
    for (int i = 0; i < 4; i++) {
        costs again = measure(n);
        if (again.work < least.work) least.work = again.work;
        if (again.loop < least.loop) least.loop = again.loop;
    }
    if (test.verbose) printf("  %.2f ms, loop %.2f ms\n", least.work * 1e3, least.loop * 1e3);
    CHECK(least.work < 30 * least.loop);
}

/* ---- Connections that end -------------------------------------------------------------------- */

/* Each has output, and its first send fails. The loop makes the connections. */
static costs deaths(int n) {
    costs c;
    begin();
    c.loop = seconds();
    for (int i = 0; i < n; i++) CHECK_INT(azc_send_text(connection(), "hello", 5), AZC_OK);
    c.work = seconds(), c.loop = c.work - c.loop;
    fake_send = EPIPE;
    CHECK_INT(azc_poll(server, 0), 1);
    c.work = seconds() - c.work;
    CHECK_INT(closes, n);
    CHECK_INT(azc_stats(server)->connections, 0);
    end();
    return c;
}

/* ---- Messages with a key --------------------------------------------------------------------- */

/* Send n messages of so many keys. */
static double keys_sent(int n, uint64_t keys) {
    azc_message m;
    size_t queued = 0;
    memset(&m, 0, sizeof m);
    m.text = "value", m.len = 5, m.queued = &queued;
    double start = seconds();
    for (int i = 0; i < n; i++) {
        m.key = 1 + (uint64_t)i % keys;
        CHECK_INT(azc_send(channel, &m), AZC_OK);
        CHECK_INT(queued, channel->count);
    }
    return seconds() - start;
}

static int keys_late; /* the backlog is full, so that the newest message of each key waits */

/* The loop sends as many messages, of 4 keys. */
static costs keys(int n) {
    costs c;
    azc_conn *peers[4];
    static char fill[(8 << 20) - 64];
    size_t held = (7 + sizeof(azc__keyed) + sizeof(azc__block)) * (size_t)n;
    begin();
    fake_send = EAGAIN;
    for (int i = 0; i < 4; i++) {
        peers[i] = connection();
        if (keys_late) CHECK_INT(azc_send_binary(peers[i], fill, sizeof fill), AZC_OK);
    }
    c.loop = keys_sent(n, 4);
    c.work = keys_sent(n, (uint64_t)n);
    c.work += keys_sent(n, (uint64_t)n);
    for (int i = 0; i < 4; i++) {
        CHECK_INT(azc_backlog(peers[i]), keys_late ? sizeof fill + 10 : held);
        if (keys_late) CHECK_INT(((azc__keyed *)(void *)peers[i]->wait.late)->late_held, held);
    }
    CHECK_INT(server->pool.keyed_count, 4 * n);
    end();
    return c;
}

/* ---- The connections of one user ------------------------------------------------------------- */

static const char *users_room;

static int walk(azc_cursor cursor, const azc_conn **last) {
    int met = 0;
    for (; azc_cursor_next(&cursor); met++) *last = cursor.conn;
    return met;
}

/* The loop walks the connections. */
static costs users(int n) {
    costs c;
    azc_conn *first = NULL;
    const azc_conn *last = NULL;
    begin();
    for (int i = 0; i < n; i++) {
        azc_conn *conn = connection();
        if (i == 0) first = conn;
        CHECK_INT(azc_set_user(conn, "ada"), AZC_OK);
        CHECK_INT(azc_join(conn, "hall"), AZC_OK);
    }
    c.loop = seconds();
    CHECK_INT(walk(azc_members(channel, users_room), &last), n);
    c.work = seconds(), c.loop = c.work - c.loop;
    CHECK_INT(walk(azc_users(channel, users_room), &last), 1);
    c.work = seconds() - c.work;
    CHECK(last == first);
    end();
    return c;
}

/* ---- JSON ------------------------------------------------------------------------------------ */

/* The loop checks the text. */
static costs elements(int n) {
    costs c;
    size_t len = (size_t)n * 2 + 1, at = 0;
    char *text = (char *)malloc(len);
    azc_json doc;
    uint64_t number, sum = 0;
    if (text == NULL) abort();
    for (int i = 0; i < n; i++) text[at++] = ',', text[at++] = (char)('0' + i % 10);
    text[0] = '[', text[at] = ']';
    c.loop = seconds();
    CHECK_INT(azc_json_read(&doc, text, len), AZC_OK);
    c.work = seconds(), c.loop = c.work - c.loop;
    CHECK_INT(azc_json_count(doc), n);
    for (azc_json_iter i = azc_json_each(doc); azc_json_next(&i);) {
        if (azc_json_uint(i.value, &number) == AZC_OK) sum += number;
    }
    c.work = seconds() - c.work;
    CHECK_INT(sum, (long long)n / 10 * 45);
    free(text);
    return c;
}

int main(int argc, char **argv) {
    test_start(argc, argv);
    TEST("the cost of connections that end in one turn grows linearly") {
        check_linear(deaths, 16000);
    }
    TEST("the cost of a message with a key does not grow with the keys that are queued") {
        keys_late = 0;
        check_linear(keys, 10000);
    }
    TEST("nor with the keys that wait because the backlog is full") {
        keys_late = 1;
        check_linear(keys, 10000);
    }
    TEST("the cost of azc_users grows linearly with the connections of one user") {
        users_room = NULL;
        check_linear(users, 10000);
        users_room = "hall";
        check_linear(users, 10000);
    }
    TEST("the cost of counting and visiting the elements of an array grows linearly") {
        check_linear(elements, 20000);
    }
    return test_end();
}
