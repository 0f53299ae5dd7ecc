/* scenario.h: everything that a server does, in acts that are repeated while something fails: an
 * allocation (test_all_memory.c) or a system call (test_all_system.c).
 *
 * Include it instead of azchan.h, test.h and client.h. It routes azchan.h's system calls through
 * `sys`, which counts them, makes the nth of a kind fail, shortens reads and writes, and adds
 * skip()'s milliseconds to the clock, so that no act waits for a deadline.
 *
 *     scene.strict = 1, perform(act, 0);    // nothing fails, and every step is asserted
 *     memory_fault.nth = 7, perform(act, 0) // the 7th allocation fails: steps may fail, but
 *                                           // the demands in perform() are still asserted
 *
 * An act is short and has its own server, because it runs once for each call that fails. */
#ifndef SCENARIO_H
#define SCENARIO_H

#define _DEFAULT_SOURCE 1
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <poll.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#ifdef AZCHAN_USE_EPOLL
#include <sys/epoll.h>
#endif
#include <sys/ioctl.h>
#include <sys/resource.h>
#ifdef __linux__
#include <sys/sendfile.h>
#endif
#include <sys/file.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

/* ---- System calls that count and fail -------------------------------------------------------- */

#define SYS_CALLS(X)                                                                             \
    X(accept) X(bind) X(chmod) X(clock_gettime) X(close) X(connect) X(fcntl) X(flock) X(fstat)   \
    X(getpeername) X(getrandom) X(getrlimit) X(getsockname) X(getsockopt) X(ioctl) X(listen)     \
    X(open) X(openat) X(pipe) X(poll) X(pread) X(read) X(recv) X(send) X(sendfile) X(sendmsg)    \
    X(setsockopt) X(shutdown) X(sigaction) X(sigprocmask) X(socket) X(stat) X(unlink) X(write)   \
    SYS_CALLS_EPOLL(X)
#ifdef AZCHAN_USE_EPOLL
#define SYS_CALLS_EPOLL(X) X(epoll_create1) X(epoll_ctl) X(epoll_wait)
#else
#define SYS_CALLS_EPOLL(X)
#endif

#define SYS_ENUM(call) SYS_##call,
enum { SYS_CALLS(SYS_ENUM) SYS_COUNT };
#define SYS_NAME(call) #call,
static const char *const sys_names[] = {SYS_CALLS(SYS_NAME) ""};

static struct {
    long calls[SYS_COUNT]; /* made so far */
    int call;              /* the kind that fails, with `error`, the nth time */
    long nth;              /* 0: never */
    int error;             /* 0: the call does nothing and returns 0 */
    int from;              /* from the nth on, for good */
    long hits;             /* calls that failed */
    size_t most_in, most_out; /* bytes a recv or send moves, 0: no limit */
    long long skew;        /* ms */
    long long clock;       /* ms, and nothing moves it but the test; 0: the real one */
    int wrong; /* calls that could have blocked the loop, closes of what was not open */
    int files;             /* sockets bound to a path */
    int port;              /* of the last listener, whatever the server knows of it */
    int hasty;             /* polls do not wait: the idle ones are the clients' milliseconds */
    long idle, looks;
    void (*before_wait)(void);
} sys = {.call = -1};

static int sys_fails(int call) {
    long n = ++sys.calls[call];
    if (sys.call != call || sys.nth == 0 || n < sys.nth || (n > sys.nth && !sys.from)) return 0;
    sys.hits++;
    errno = sys.error;
    return 1;
}
#define SYS_FAIL(call) do { if (sys_fails(SYS_##call)) return sys.error ? -1 : 0; } while (0)

static int sys_may_block(int fd) {
    struct pollfd p = {fd, POLLIN, 0};
    int flags = fcntl(fd, F_GETFL);
    if (flags >= 0 && flags & O_NONBLOCK) return 0;
    return poll(&p, 1, 0) == 0; /* it would have */
}

static inline int test_sys_accept(int fd, struct sockaddr *address, socklen_t *len) {
    SYS_FAIL(accept);
    if (sys_may_block(fd)) return sys.wrong++, errno = EAGAIN, -1;
    return accept(fd, address, len);
}
/* accept4 counts as accept, and pipe2 as pipe. */
static inline int test_sys_accept4(int fd, struct sockaddr *address, socklen_t *len, int flags) {
    int got = test_sys_accept(fd, address, len);
    if (got >= 0 && flags) fcntl(got, F_SETFD, FD_CLOEXEC);
    return got;
}
static int test_sys_bind(int fd, const struct sockaddr *address, socklen_t len) {
    SYS_FAIL(bind);
    int result = bind(fd, address, len);
    sys.files += result == 0 && address->sa_family == AF_UNIX;
    return result;
}
static int test_sys_chmod(const char *path, mode_t mode) {
    SYS_FAIL(chmod);
    return chmod(path, mode);
}
static int test_sys_clock_gettime(clockid_t clock, struct timespec *t) {
    SYS_FAIL(clock_gettime);
    int result = clock_gettime(clock, t);
    if (sys.clock) t->tv_sec = sys.clock / 1000, t->tv_nsec = (long)(sys.clock % 1000) * 1000000;
    t->tv_sec += (time_t)(sys.skew / 1000);
    t->tv_nsec += (long)(sys.skew % 1000) * 1000000;
    if (t->tv_nsec >= 1000000000) t->tv_sec++, t->tv_nsec -= 1000000000;
    return result;
}
static int test_sys_close(int fd) { /* gone even when it fails, as on Linux */
    int fails = sys_fails(SYS_close), result = close(fd);
    if (result < 0 && errno == EBADF) sys.wrong++; /* it was not ours */
    if (fails) errno = sys.error;
    return fails ? -1 : result;
}
static int test_sys_connect(int fd, const struct sockaddr *address, socklen_t len) {
    SYS_FAIL(connect);
    return connect(fd, address, len);
}
static int test_sys_fcntl(int fd, int command, int value) {
    SYS_FAIL(fcntl);
    return fcntl(fd, command, value);
}
static int test_sys_flock(int fd, int what) {
    SYS_FAIL(flock);
    return flock(fd, what);
}
static int test_sys_nanosleep(const struct timespec *time, struct timespec *left) {
    return nanosleep(time, left);
}
static pid_t test_sys_getpid(void) { return getpid(); }
static inline ssize_t test_sys_getrandom(void *to, size_t len, unsigned flags) {
    SYS_FAIL(getrandom);
    memset(to, (int)flags + 7, len);
    return (ssize_t)len;
}
static int test_sys_getpeername(int fd, struct sockaddr *address, socklen_t *len) {
    SYS_FAIL(getpeername);
    return getpeername(fd, address, len);
}
static int test_sys_getrlimit(int which, struct rlimit *limit) {
    SYS_FAIL(getrlimit);
    return getrlimit(which, limit);
}
static int test_sys_getsockname(int fd, struct sockaddr *address, socklen_t *len) {
    SYS_FAIL(getsockname);
    return getsockname(fd, address, len);
}
static int test_sys_getsockopt(int fd, int level, int name, void *value, socklen_t *len) {
    SYS_FAIL(getsockopt);
    return getsockopt(fd, level, name, value, len);
}
static int test_sys_ioctl(int fd, unsigned long request, int *value) {
    SYS_FAIL(ioctl);
    return ioctl(fd, request, value);
}
static int test_sys_listen(int fd, int backlog) {
    SYS_FAIL(listen);
    struct sockaddr_in a;
    socklen_t len = sizeof a;
    int result = listen(fd, backlog);
    sys.port = getsockname(fd, (struct sockaddr *)&a, &len) == 0 ? ntohs(a.sin_port) : 0;
    return result;
}
static int test_sys_open(const char *path, int flags) {
    SYS_FAIL(open);
    return open(path, flags);
}
static int test_sys_openat(int dir, const char *path, int flags) {
    SYS_FAIL(openat);
    return openat(dir, path, flags);
}
static int test_sys_fstat(int fd, struct stat *to) {
    SYS_FAIL(fstat);
    return fstat(fd, to);
}
static ssize_t test_sys_pread(int fd, void *to, size_t len, off_t at) {
    SYS_FAIL(pread);
    return pread(fd, to, len, at);
}
#ifdef __linux__
static ssize_t test_sys_sendfile(int fd, int from, off_t *at, size_t len) {
    SYS_FAIL(sendfile);
    if (!(fcntl(fd, F_GETFL) & O_NONBLOCK)) sys.wrong++;
    return sendfile(fd, from, at, sys.most_out && len > sys.most_out ? sys.most_out : len);
}
static int test_sys_sigprocmask(int how, const sigset_t *set, sigset_t *before) {
    if (how == SIG_BLOCK) SYS_FAIL(sigprocmask); /* what it blocked can be unblocked */
    return sigprocmask(how, set, before);
}
#define test_sys_sigtimedwait sigtimedwait /* it does not fail for a signal that is there */
#endif
static inline int test_sys_pipe(int fds[2]) {
    SYS_FAIL(pipe);
    return pipe(fds);
}
static inline int test_sys_pipe2(int fds[2], int flags) {
    if (test_sys_pipe(fds) < 0) return -1;
    for (int i = 0; i < 2; i++) {
        fcntl(fds[i], F_SETFD, flags & O_CLOEXEC ? FD_CLOEXEC : 0);
        fcntl(fds[i], F_SETFL, flags & O_NONBLOCK);
    }
    return 0;
}
#ifdef AZCHAN_USE_EPOLL
static int test_sys_epoll_create1(int flags) {
    SYS_FAIL(epoll_create1);
    return epoll_create1(flags);
}
static int test_sys_epoll_ctl(int fd, int what, int source, struct epoll_event *event) {
    SYS_FAIL(epoll_ctl);
    return epoll_ctl(fd, what, source, event);
}
static int test_sys_epoll_wait(int fd, struct epoll_event *events, int most, int timeout) {
    if (sys.before_wait) sys.before_wait();
    SYS_FAIL(epoll_wait);
    int ready = epoll_wait(fd, events, most, sys.hasty ? 0 : timeout);
    sys.idle += ready == 0;
    return ready;
}
#else
static int test_sys_poll(struct pollfd *fds, nfds_t count, int timeout) {
    if (sys.before_wait) sys.before_wait();
    SYS_FAIL(poll);
    int ready = poll(fds, count, sys.hasty ? 0 : timeout);
    sys.idle += ready == 0;
    return ready;
}
#endif
static ssize_t test_sys_read(int fd, void *to, size_t len) {
    SYS_FAIL(read);
    return read(fd, to, sys.most_in && len > sys.most_in ? sys.most_in : len);
}
static ssize_t test_sys_recv(int fd, void *to, size_t len, int flags) {
    SYS_FAIL(recv);
    if (!(flags & MSG_DONTWAIT)) sys.wrong++;
    return recv(fd, to, sys.most_in && len > sys.most_in ? sys.most_in : len, flags);
}
static ssize_t test_sys_send(int fd, const void *from, size_t len, int flags) {
    SYS_FAIL(send);
    if (!(flags & MSG_DONTWAIT)) sys.wrong++;
    return send(fd, from, sys.most_out && len > sys.most_out ? sys.most_out : len, flags);
}
static ssize_t test_sys_sendmsg(int fd, const struct msghdr *message, int flags) {
    SYS_FAIL(sendmsg);
    if (!(flags & MSG_DONTWAIT)) sys.wrong++;
    if (!sys.most_out || message->msg_iov[0].iov_len < sys.most_out)
        return sendmsg(fd, message, flags);
    return send(fd, message->msg_iov[0].iov_base, sys.most_out, flags);
}
static int test_sys_setsockopt(int fd, int level, int name, const void *value, socklen_t len) {
    SYS_FAIL(setsockopt);
    return setsockopt(fd, level, name, value, len);
}
static int test_sys_shutdown(int fd, int how) {
    SYS_FAIL(shutdown);
    return shutdown(fd, how);
}
static int test_sys_sigaction(int number, const struct sigaction *action, struct sigaction *old) {
    SYS_FAIL(sigaction);
    return sigaction(number, action, old);
}
static int test_sys_socket(int family, int type, int protocol) {
    SYS_FAIL(socket);
    return socket(family, type, protocol);
}
static int test_sys_stat(const char *path, struct stat *to) {
    SYS_FAIL(stat);
    return stat(path, to);
}
static int test_sys_unlink(const char *path) {
    SYS_FAIL(unlink);
    return unlink(path);
}
static ssize_t test_sys_write(int fd, const void *from, size_t len) {
    SYS_FAIL(write);
    return write(fd, from, len);
}

#define AZC_SYS(call) test_sys_##call
#define AZCHAN_IMPLEMENTATION
#include "../azchan.h"
#include "test.h"

/* How long clients wait for what may never come. In haste three idle turns are enough: bytes on
 * the loopback are there at once. */
static int patience = 5000;
static int client_clock(clockid_t clock, struct timespec *t) {
    if (!sys.hasty) return clock_gettime(clock, t);
    long now = sys.idle + ++sys.looks / 64; /* looks, in case that nothing is ever idle */
    t->tv_sec = now / 1000, t->tv_nsec = now % 1000 * 1000000;
    return 0;
}
#define WAIT_MS patience
#define CLIENT_CLOCK client_clock
#include "client.h"

static inline int waiting(void) { return quick_run() ? 50000 : 5000; }
static inline int full_run(void) { return getenv("TEST_FULL") != NULL; }

/* ---- Memory that fails the nth time, or from then on ----------------------------------------- */

static struct {
    long calls, nth, hits;
    int from;
} memory_fault;

static void *faulty_alloc(void *user, void *ptr, size_t old_size, size_t new_size) {
    if (new_size > 0) {
        long n = ++memory_fault.calls;
        if (memory_fault.nth > 0 &&
            (n == memory_fault.nth || (n > memory_fault.nth && memory_fault.from))) {
            memory_fault.hits++;
            return NULL;
        }
    }
    return memory_alloc(user, ptr, old_size, new_size);
}

/* ---- The stage ------------------------------------------------------------------------------- */

static struct {
    int strict;         /* nothing fails (or nothing that may be noticed): assert each step */
    azc_server *server; /* the act's, NULL when it could not be made */
    azc_channel *room, *drop;
    int listening, stopped;
    int opened, closed, code; /* callbacks; the last on_close's */
    int drained;
    int present; /* users in rooms, by on_presence */
} scene;

/* A step's outcome, asserted only when nothing fails. */
#define TELL (scene.strict && test.bad <= 10)
#define WANT(x) wanted(!!(x), #x, __FILE__, __LINE__)
static int wanted(int ok, const char *text, const char *file, int line) {
    return scene.strict ? test_check(ok, text, file, line) : ok;
}

static void heal(void) {
    memory_fault.nth = 0;
    sys.nth = 0, sys.from = 0, sys.most_in = sys.most_out = 0;
}

static int open_descriptors(void) {
    int n = 0;
    for (int fd = 0; fd < 128; fd++) n += fcntl(fd, F_GETFD) >= 0;
    return n;
}

/* ---- Callbacks: a member does what its client sends ------------------------------------------ */

enum { SEATED = 0x5EA7, LEFT = 0x1EF7 };
typedef struct seat {
    int state; /* 0 before on_connect */
} seat;

static void seated(azc_conn *conn) {
    seat *s = (seat *)azc_data(conn);
    if (CHECK(s != NULL)) CHECK_INT(s->state, SEATED);
}

static int act_upgrade(azc_conn *conn) {
    const char *refuse = azc_query(conn, "refuse");
    CHECK(azc_data(conn) && ((seat *)azc_data(conn))->state == 0);
    CHECK(azc_method(conn) && azc_header(conn, "host"));
    int error = azc_query(conn, "user") ? azc_set_user(conn, azc_query(conn, "user")) : AZC_OK;
    if (error != AZC_OK || !refuse) return error;
    if (strcmp(refuse, "reply") == 0) {
        azc_reply_header(conn, "X-Why", "because");
        return azc_reply(conn, 403, "text/plain", "no", 2);
    }
    return atoi(refuse);
}

static int act_connect(azc_conn *conn) {
    seat *s = (seat *)azc_data(conn);
    if (CHECK(s != NULL)) CHECK_INT(s->state, 0), s->state = SEATED;
    scene.opened++;
    if (azc_query(conn, "room")) azc_join(conn, azc_query(conn, "room"));
    if (azc_query(conn, "greet")) azc_send_text(conn, "welcome", 7);
    return AZC_OK;
}

static void act_close(azc_conn *conn, int code, const char *reason) {
    seat *s = (seat *)azc_data(conn);
    seated(conn);
    CHECK(code >= 1000 && code < 5000 && reason != NULL);
    CHECK(azc_find(azc_server_of(conn), azc_id(conn)) == NULL);
    CHECK(azc_peer(conn) && azc_target(conn));
    for (azc_cursor c = azc_rooms(conn); azc_cursor_next(&c);) CHECK(c.room[0] != 0);
    if (s) s->state = LEFT;
    scene.closed++, scene.code = code;
}

static int act_json(azc_conn *conn, const char *text, size_t len) {
    azc_json doc;
    char buf[256], name[64];
    int error = azc_json_read(&doc, text, len);
    if (error != AZC_OK) return error;
    azc_json_string(azc_json_get(doc, "name"), name, sizeof name);
    azc_writer w = azc_put_begin(buf, sizeof buf);
    azc_put_string(&w, "hello", name);
    azc_put_uint(&w, "members", azc_count(azc_channel_of(conn), NULL));
    if (azc_json_equals(azc_json_get(doc, "to"), "all"))
        return azc_broadcast_json(azc_channel_of(conn), NULL, &w, NULL);
    return azc_send_json(conn, &w);
}

/* Walk the room, let every second member leave meanwhile, and send how many were visited. */
static int act_thin(azc_conn *conn, const char *room) {
    char buf[32];
    int n = 0;
    for (azc_cursor c = azc_members(azc_channel_of(conn), room); azc_cursor_next(&c);) {
        if (n++ % 2 == 1) azc_leave(c.conn, room);
        for (azc_cursor r = azc_rooms(c.conn); azc_cursor_next(&r);) CHECK(r.conn == c.conn);
    }
    return azc_send_text(conn, buf, (size_t)snprintf(buf, sizeof buf, "met %d", n));
}

static char bulk[6000]; /* letters, for long messages of */
static size_t bulk_len; /* bytes, fewer when writes are tiny */

static int act_message(azc_conn *conn, const char *text, size_t len) {
    azc_channel *channel = azc_channel_of(conn);
    char word[32] = "", rest[64] = "";
    seated(conn);
    CHECK_INT(text[len], 0);
    if (*text == '{') return act_json(conn, text, len);
    if (len > 90) return azc_send_text(conn, text, len);
    sscanf(text, "%31s %63s", word, rest);
    if (strcmp(word, "join") == 0) return azc_join(conn, rest);
    if (strcmp(word, "leave") == 0) return azc_leave(conn, rest);
    if (strcmp(word, "user") == 0) return azc_send_user(channel, rest, text, len);
    if (strcmp(word, "leave-all") == 0) return azc_leave_all(conn);
    if (strcmp(word, "say") == 0) return azc_broadcast(channel, rest, text, len, conn);
    if (strcmp(word, "shout") == 0) return azc_broadcast(channel, NULL, bulk, bulk_len, NULL);
    if (strcmp(word, "thin") == 0) return act_thin(conn, rest);
    if (strcmp(word, "close") == 0) {
        CHECK_INT(azc_close(conn, atoi(rest), "as told"), AZC_OK); /* with or without memory */
        CHECK(azc_find(azc_server_of(conn), azc_id(conn)) == NULL);
        return AZC_OK;
    }
    if (strcmp(word, "ping") == 0) return azc_ping(conn, rest, strlen(rest));
    if (strcmp(word, "stop") == 0) return azc_stop(azc_server_of(conn)), AZC_OK;
    if (strcmp(word, "fail") == 0) return AZC_ERR_APP;
    return azc_send_text(conn, text, len);
}

/* What it was given stays as it is until it returns, even when the connection breaks meanwhile. */
static int act_binary(azc_conn *conn, const void *data, size_t len) {
    const char *at = (const char *)data;
    char first = len ? *at : 0, last = len ? at[len - 1] : 0;
    seated(conn);
    int result = azc_send_binary(conn, data, len);
    if (len) CHECK(at[0] == first && at[len - 1] == last);
    return result;
}
static int act_control(azc_conn *conn, const void *data, size_t len) {
    seated(conn);
    CHECK(len <= 125 && (data || len == 0));
    return AZC_OK;
}
/* A user joined a room or left it: inform the room. */
static void act_presence(azc_channel *channel, const char *room, const char *user, int here) {
    char text[64];
    scene.present += here ? 1 : -1;
    CHECK(scene.present >= 0 && here >= 0 && here <= 1);
    snprintf(text, sizeof text, "%s %s", here ? "came" : "left", user);
    azc_broadcast(channel, room, text, strlen(text), NULL);
}

static int act_part(azc_conn *conn, const void *data, size_t len, int flags) {
    seated(conn);
    CHECK(((const char *)data)[len] == 0 && (flags & ~7) == 0);
    return flags & AZC_PART_LAST ? azc_send_text(conn, "got it", 6) : AZC_OK;
}

static int act_drain(azc_conn *conn) {
    seated(conn);
    scene.drained++;
    return AZC_OK;
}
static void act_error(azc_conn *conn, int error) {
    seated(conn);
    CHECK(error < 0);
    azc_send_text(conn, "sorry", 5);
}

static void act_publish(azc_channel *channel, const char *room, const void *data, size_t len,
                        int binary) {
    CHECK(channel && (!room || *room) && (data || len == 0) && binary >= 0);
}
static void act_room(azc_channel *channel, const char *room, int there) {
    CHECK_INT(azc_count(channel, room) > 0, there);
}

static azc_channel_desc act_desc(const char *path) {
    azc_channel_desc d;
    memset(&d, 0, sizeof d);
    d.path = path;
    d.subprotocols = "v2.act, v1.act";
    d.data_size = sizeof(seat);
    d.on_upgrade = act_upgrade;
    d.on_connect = act_connect;
    d.on_message = act_message;
    d.on_binary = act_binary;
    d.on_ping = d.on_pong = act_control;
    d.on_drain = act_drain;
    d.on_close = act_close;
    return d;
}

/* The channel, with all that parts add. */
static azc_channel *act_channel(azc_server *s, const azc_channel_desc *d) {
    azc_channel *channel = azc_add_channel(s, d);
    WANT(azc_on_presence(channel, act_presence) == AZC_OK);
    WANT(azc_on_publish(channel, act_publish) == AZC_OK);
    WANT(azc_on_room(channel, act_room) == AZC_OK);
    return channel;
}

static int act_guard(azc_conn *conn, void *user) {
    (void)user;
    azc_cookie(conn, "session");
    if (azc_query(conn, "guard")) return 429;
    return AZC_OK;
}
static int act_page(azc_conn *conn, void *user) {
    const char *name = azc_param(conn, "name");
    char token[23];
    (void)user;
    if (name && strcmp(name, "login") == 0) {
        int error = azc_token(azc_server_of(conn), token, sizeof token);
        CHECK_INT(strlen(token), error == AZC_OK ? sizeof token - 1 : 0);
        CHECK_INT(azc_equal(token, token), error == AZC_OK);
        CHECK_INT(azc_set_cookie(conn, "session", token, 60, 0), AZC_OK);
        return error == AZC_OK ? azc_redirect(conn, 303, "/") : 503;
    }
    if (name && strcmp(name, "nothing") == 0) return AZC_OK;
    if (name && strcmp(name, "broken") == 0) return AZC_ERR_APP;
    azc_reply_header(conn, "X-Name", name ? name : "?");
    if (name && strcmp(name, "big") == 0)
        return azc_reply(conn, 200, "text/plain", bulk, sizeof bulk);
    return azc_reply(conn, 200, "text/plain", name ? name : "?", name ? strlen(name) : 1);
}

/* Endpoints: a whole body or a form; and an upload, of which each that began must end once. */
static int act_note(azc_conn *conn, void *user) {
    size_t len;
    const char *body = azc_body(conn, &len), *name;
    (void)user;
    CHECK(body != NULL && body[len] == 0 && azc_header(conn, "host") != NULL);
    if (strcmp(azc_path(conn), "/form") != 0) return azc_reply(conn, 200, "text/plain", body, len);
    name = azc_form(conn, "name");
    return name != NULL ? azc_reply(conn, 200, "text/plain", name, AZC_NUL) : 400;
}

static struct {
    int begun, ended;
} files;
static int act_file(azc_conn *conn, const void *data, size_t len, int flags) {
    seat *s = (seat *)azc_data(conn);
    CHECK(((const char *)data)[len] == 0 && azc_method(conn) != NULL);
    CHECK(s != NULL && s->state == (flags & AZC_PART_FIRST ? 0 : SEATED));
    if (s != NULL) s->state = flags & (AZC_PART_LAST | AZC_PART_LOST) ? LEFT : SEATED;
    files.begun += (flags & AZC_PART_FIRST) != 0;
    files.ended += (flags & (AZC_PART_LAST | AZC_PART_LOST)) != 0;
    return flags & AZC_PART_LAST ? 204 : AZC_OK;
}

/* Answers that a timer gives, and long ones in parts; each that has begun must end once. */
enum { LONG = 20000 };
static struct {
    uint64_t id;
    size_t sent;
    int begun, ended;
} slow_work;
static void act_late_done(azc_server *server, void *arg) {
    azc_conn *conn = azc_find(server, slow_work.id);
    (void)arg;
    if (conn == NULL) return;
    CHECK(azc_param(conn, "name") && azc_peer(conn) && azc_channel_of(conn) == NULL);
    if (azc_reply(conn, 200, "text/plain", azc_target(conn), AZC_NUL) == AZC_OK) {
        CHECK(azc_find(server, slow_work.id) == NULL);
    } else {
        CHECK(azc_find(server, slow_work.id) == conn);
        azc_reply(conn, 503, NULL, "", 0); /* which may fail as well: then it waits */
    }
}
static int act_late(azc_conn *conn, void *user) {
    (void)user;
    azc_reply_header(conn, "X-Late", "yes");
    if ((slow_work.id = azc_reply_later(conn)) == 0) return 503;
    return azc_after(azc_server_of(conn), 500, act_late_done, NULL) ? AZC_OK : 503;
}
static int act_long_more(azc_conn *conn, size_t room, void *user) {
    CHECK(user == (void *)&slow_work);
    slow_work.ended += room == 0;
    if (room == 0) return AZC_OK;
    if (slow_work.sent == LONG) return azc_reply_end(conn);
    size_t n = room < 3000 ? room : 3000;
    if (n > LONG - slow_work.sent) n = LONG - slow_work.sent;
    int error = azc_reply_part(conn, bulk, n);
    if (error == AZC_OK) slow_work.sent += n;
    return error;
}
static int act_long(azc_conn *conn, void *user) {
    (void)user;
    slow_work.begun++, slow_work.sent = 0;
    return azc_reply_begin(conn, 200, "text/plain", azc_query(conn, "known") ? LONG : AZC_CHUNKED,
                           act_long_more, &slow_work);
}
static int act_events(azc_conn *conn, void *user) {
    (void)user;
    int error = azc_reply_begin(conn, 200, "text/event-stream", AZC_CHUNKED, NULL, NULL);
    slow_work.id = azc_id(conn);
    return error == AZC_OK ? azc_reply_part(conn, "data: 1\n\n", AZC_NUL) : error;
}

/* ---- Making a server ------------------------------------------------------------------------- */

static int act_port; /* one for all runs: that the kernel picks a port anew is slow */

static void choose_port(void) {
    struct sockaddr_in a;
    socklen_t len = sizeof a;
    int fd = socket(AF_INET, SOCK_STREAM, 0), on = 1;
    memset(&a, 0, sizeof a);
    a.sin_family = AF_INET;
    a.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    a.sin_port = htons((uint16_t)act_port);
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    if (bind(fd, (struct sockaddr *)&a, sizeof a) != 0) {
        a.sin_port = 0;
        CHECK(bind(fd, (struct sockaddr *)&a, sizeof a) == 0);
    }
    getsockname(fd, (struct sockaddr *)&a, &len);
    act_port = ntohs(a.sin_port);
    close(fd);
}

static azc_config act_config(void) {
    azc_config c;
    memset(&c, 0, sizeof c);
    c.port = act_port;
    c.alloc = faulty_alloc;
    c.alloc_userdata = &memory;
    c.log = log_line;
    c.log_userdata = &log_lines;
    c.origins = "https://a.example";
    c.max_message = 8192, c.read_buffer = 8192, c.max_request = 2048;
    c.handshake_ms = 10000, c.ping_ms = 30000, c.pong_ms = 10000, c.close_ms = 3000;
    return c;
}

static FILE *nowhere; /* for azc_log_to */

static const char *scene_trusted; /* for azc_trust_proxies, once */
static int scene_bodies;          /* with endpoints, once */
static int scene_answers;         /* with answers that take time, once */
static const char *scene_folder;  /* with this folder, once */

static void stage(azc_config config) {
    static const char page[] = "<!doctype html><title>A page</title>";
    azc_channel_desc d = act_desc("/act/:name");
    scene.listening = scene.stopped = 0;
    azc_server *s = scene.server = azc_create(&config);
    WANT(s != NULL);
    if (scene_trusted) azc_trust_proxies(s, scene_trusted);
    scene_trusted = NULL;
    azc_log_to(s, nowhere, AZC_LOG_DEBUG);
    azc_use(s, act_guard, NULL);
    azc_add_page(s, "/", "text/html", page, sizeof page - 1);
    azc_add_page(s, "/bulk", "text/plain", bulk, sizeof bulk);
    azc_add_handler(s, "/page/:name", act_page, NULL);
    if (scene_bodies) {
        azc_add_endpoint(s, "POST", "/note", act_note, NULL);
        azc_add_endpoint(s, "POST", "/form", act_note, NULL);
        azc_add_upload(s, "PUT", "/file", act_file, sizeof(seat), NULL);
    }
    if (scene_answers) {
        azc_add_handler(s, "/late/:name", act_late, NULL);
        azc_add_handler(s, "/long", act_long, NULL);
        azc_add_handler(s, "/events", act_events, NULL);
    }
    scene_bodies = scene_answers = 0;
    if (scene_folder) {
        azc_add_folder(s, "/www/", scene_folder);
        azc_add_type(s, "txt", "text/act");
    }
    scene_folder = NULL;
    scene.room = act_channel(s, &d);
    d.path = "/part";
    azc_on_part(act_channel(s, &d), act_part);
    d.path = "/drop", d.when_full = AZC_FULL_DROP, d.on_error = act_error;
    scene.drop = act_channel(s, &d);
    int result = azc_listen(s);
    if (!WANT(result == AZC_OK)) CHECK(result < 0 && *azc_error(s));
    scene.listening = result == AZC_OK;
}

/* Deadlines pass. */
static void skip(int ms) {
    sys.skew += ms;
    if (scene.server) azc_poll(scene.server, 0), azc_poll(scene.server, 0);
}

static void unstage(void) {
    for (client *c = clients, *next; c; c = next) next = c->next, client_unlink(c);
    CHECK_INT(azc_destroy(scene.server), AZC_OK);
    scene.server = NULL, scene.listening = 0;
}

/* ---- What clients do: steps, each of which does nothing for a NULL client -------------------- */

static client *arrive_small(int small) {
    if (!scene.listening) return NULL;
    client *c = client_open_to(scene.server, "127.0.0.1", sys.port, small);
    WANT(c != NULL);
    return c;
}
static client *arrive(void) { return arrive_small(0); }

static void leave(client *c) { if (c) client_close(c); }

/* Only a 101 has the marks of one. */
static int answered(client *c, answer *a, int head_only) {
    int status = client_answer_to(c, a, head_only);
    if (status != 101) CHECK(!answer_field(a, "Sec-WebSocket-Accept", NULL));
    if (status == 200 || status >= 400)
        CHECK(answer_field(a, "Content-Length", NULL) != NULL ||
              answer_field(a, "Transfer-Encoding", NULL) != NULL);
    return status;
}

/* Shake hands; on a status other than 101 the client leaves. */
static client *shake(client *c, const char *target, const char *fields) {
    answer a;
    if (!c) return NULL;
    client_print(c, "GET %s HTTP/1.1\r\n" UPGRADE "%s\r\n", target, fields);
    if (WANT(answered(c, &a, 0) == 101)) return c;
    return client_close(c), (client *)NULL;
}
static client *enter(const char *target) { return shake(arrive(), target, ""); }

/* Send a request; its answer is of that status. */
static void ask(client *c, const char *request, int status, int head_only) {
    answer a;
    if (!c) return;
    client_send(c, request, strlen(request));
    int got = answered(c, &a, head_only);
    if (!WANT(got == status) && TELL)
        printf("    %d, not %d, to %.60s\n", got, status, request);
}
/* The same, and the connection ends with it. */
static void ask_last(const char *request, int status) {
    client *c = arrive();
    ask(c, request, status, 0);
    if (c && scene.strict) EXPECT_EOF(c);
    leave(c);
}

static void put(client *c, int first, const void *data, size_t len) {
    if (c) client_frame(c, first, data, len);
}
static void put_text(client *c, const char *text) { put(c, FIN | TEXT, text, strlen(text)); }

static void get(client *c, int opcode, const void *want, size_t len) {
    frame f;
    if (!c) return;
    int came = client_read(c, &f);
    if (!WANT(came && f.opcode == opcode && f.fin && (!want ||
              (f.len == len && (len == 0 || memcmp(f.data, want, len) == 0)))) && TELL)
        printf("    got opcode %d: %s, not %d: %s\n", came ? f.opcode : -1,
               word_of(f.data, f.len), opcode, want ? word_of(want, len) : "(anything)");
}
static void get_text(client *c, const char *want) { get(c, TEXT, want, strlen(want)); }
static void get_close(client *c, int code) {
    frame f;
    if (!c) return;
    int came = client_read(c, &f);
    if (!WANT(came && f.opcode == CLOSE && f.code == code) && TELL)
        printf("    got opcode %d, code %d, not Close %d\n", came ? f.opcode : -1, f.code, code);
}
static void get_end(client *c) {
    if (!c) return;
    client_await(c, c->len + 1);
    WANT(c->eof && c->len == 0);
}
static void bye(client *c, int code) {
    if (!c) return;
    client_bye(c, code, code ? "bye" : "");
    get_close(c, code);
    get_end(c);
    client_close(c);
}

#define SOON(cond)                                                                               \
    do {                                                                                         \
        long long soon_end = now_ms() + patience;                                                \
        while (!(cond) && scene.server && now_ms() < soon_end) azc_poll(scene.server, 1);        \
        WANT(cond);                                                                              \
    } while (0)

#define GET(path) "GET " path " HTTP/1.1\r\nHost: a.example\r\n"

/* ---- The acts -------------------------------------------------------------------------------- */

static void act_of_pages(void) {
    char line[4000];
    stage(act_config());
    client *c = arrive();
    ask(c, GET("/") "\r\n", 200, 0);
    ask(c, "HEAD / HTTP/1.1\r\nHost: a.example\r\n\r\n", 200, 1);
    ask(c, GET("/page/ada?x=1") "Cookie: session=1; a=b\r\n\r\n", 200, 0);
    ask(c, GET("/page/login") "\r\n", 303, 0);
    ask(c, GET("/page/big") "\r\n", 200, 0);
    ask(c, GET("/bulk") "\r\n", 200, 0);
    ask(c, GET("/") "\r\n" GET("/page/two") "\r\n" GET("/bulk"), 200, 0); /* pipelined */
    ask(c, "\r\n", 200, 0);
    ask(c, "", 200, 0);
    ask(c, "OPTIONS * HTTP/1.1\r\nHost: a.example\r\n\r\n", 204, 0);
    if (bulk_len == sizeof bulk) { /* so many that some must wait until the others are sent */
        char many[30 * 48] = "";
        for (int i = 0; i < 30; i++) strcat(many, GET("/bulk") "\r\n");
        ask(c, many, 200, 0);
        for (int i = 1; i < 30; i++) ask(c, "", 200, 0);
    }
    if (c && client_print(c, "GET / HTTP/1.1\r\nHo")) { /* a head in parts */
        if (scene.server) settle(scene.server);
        ask(c, "st: a.example\r\nConnection: close\r\n\r\n", 200, 0);
        if (scene.strict) EXPECT_EOF(c);
    }
    leave(c);
    ask_last(GET("/nowhere") "\r\n", 404);
    ask_last("PUT / HTTP/1.1\r\nHost: a.example\r\n\r\n", 405);
    ask_last(GET("/act/x") "\r\n", 426);
    ask_last(GET("/?guard=1") "\r\n", 429);
    ask_last(GET("/page/broken") "\r\n", 500);
    ask_last(GET("/page/nothing") "\r\n", 500);
    ask_last(GET("/") "Content-Length: 3\r\n\r\nabc", 413);
    ask_last(GET("/") "Transfer-Encoding: chunked\r\n\r\n", 501);
    ask_last("GET / HTTP/1.0\r\n\r\n", 200);
    ask_last("GET / HTTP/2.0\r\nHost: a.example\r\n\r\n", 505);
    ask_last("GET / HTTP/1.1\r\n\r\n", 400);
    ask_last("nonsense\r\n\r\n", 400);
    memset(line, 'a', sizeof line);
    memcpy(line, "GET /", 5), line[sizeof line - 1] = 0;
    ask_last(line, 414);
    memcpy(line, GET("/"), sizeof GET("/") - 1);
    ask_last(line, 431);
    ask_last(GET("/%zz") "\r\n", 400);
}

static void stopping(void);

#define POST(path, fields) "POST " path " HTTP/1.1\r\nHost: a.example\r\n" fields "\r\n"
#define PUT(fields) "PUT /file HTTP/1.1\r\nHost: a.example\r\n" fields "\r\n"
#define CHUNKED "Transfer-Encoding: chunked\r\n"

static void more(client *c, const char *text) {
    if (c) client_send(c, text, strlen(text));
    if (scene.server) settle(scene.server);
}

static void act_of_bodies(void) {
    azc_config config = act_config();
    config.max_body = 3000;
    memset(&files, 0, sizeof files);
    scene_bodies = 1;
    stage(config);
    client *c = arrive(), *d = arrive();
    ask(c, POST("/note", "Content-Length: 5\r\n") "hello", 200, 0);
    ask(c, POST("/note", CHUNKED) "5\r\nhello\r\n0\r\nX: y\r\n\r\n" GET("/") "\r\n", 200, 0);
    ask(c, "", 200, 0);
    ask(c, POST("/form", "Content-Type: application/x-www-form-urlencoded\r\n"
                         "Content-Length: 10\r\n") "name=ada&x", 200, 0);
    ask(c, PUT("Expect: 100-continue\r\nContent-Length: 3000\r\n"), 100, 0);
    ask(d, POST("/note", "Expect: 100-continue\r\n" CHUNKED), 100, 0);
    char piece[1001];
    memset(piece, 'p', 1000), piece[1000] = 0;
    for (int i = 0; i < 2; i++) more(c, piece), more(d, "3e8\r\n"), more(d, piece), more(d, "\r\n");
    ask(c, piece, 204, 0);
    ask(d, "0\r\n\r\n", 200, 0);
    leave(c);
    more(d, PUT(CHUNKED) "5\r\nhel"), leave(d); /* lost: left, broken, too slow, stopped */
    ask_last(PUT(CHUNKED) "5\r\nhelloX", 400);
    ask_last(POST("/note", "Content-Length: 3001\r\n"), 413);
    ask_last("PATCH /note HTTP/1.1\r\nHost: a.example\r\n\r\n", 405);
    c = arrive(), more(c, PUT("Content-Length: 9\r\n") "slow");
    skip(10001), ask(c, "", 408, 0), leave(c);
    c = arrive(), more(c, PUT("Content-Length: 9\r\n") "stop");
    azc_stop(scene.server), scene.stopped = 1;
    skip(1), skip(3001); /* which the peer does not end itself */
    stopping();
    leave(c);
    unstage();
    CHECK_INT(files.begun, files.ended);
    if (scene.strict) CHECK(files.begun >= 3); /* 5, unless reads are short */
}

/* A chunk of this text. */
static void get_chunk(client *c, const char *text) {
    char want[64];
    size_t n = (size_t)snprintf(want, sizeof want, "%x\r\n%s\r\n", (unsigned)strlen(text), text);
    if (!c || !WANT(client_await(c, n))) return;
    WANT(memcmp(c->in, want, n) == 0);
    client_take(c, n);
}
/* An answer of act_long in chunks, of any sizes; it is the last of its client. */
static void get_long(client *c) {
    size_t got = 0, head = 0, n = 1;
    answer a;
    if (!c) return;
    WANT(answered(c, &a, 0) == 200);
    while (n > 0) {
        for (head = 0; client_await(c, head + 2) && memcmp(c->in + head, "\r\n", 2) != 0;) head++;
        if (c->len < head + 2) break;
        n = (size_t)strtoul((char *)c->in, NULL, 16);
        if (!client_await(c, head + n + 4)) break;
        client_take(c, head + n + 4);
        got += n;
    }
    WANT(got == LONG && n == 0);
}

static void act_of_answers(void) {
    azc_config config = act_config();
    config.max_message = config.read_buffer = 2048, config.max_backlog = 8192;
    memset(&slow_work, 0, sizeof slow_work);
    scene_answers = 1;
    stage(config);
    client *c = arrive(), *d = arrive();
    more(c, GET("/late/x") "\r\n" GET("/") "\r\n");
    if (c) SOON(slow_work.id != 0);
    skip(501), ask(c, "", 200, 0), ask(c, "", 200, 0);
    ask(d, GET("/long?known") "\r\n", 200, 0);
    ask(d, "HEAD /long HTTP/1.1\r\nHost: a.example\r\n\r\n", 200, 1);
    more(d, GET("/long") "\r\n"), get_long(d);
    leave(d), leave(c);
    c = arrive(), ask(c, GET("/events") "\r\n", 200, 0), get_chunk(c, "data: 1\n\n");
    skip(10001), skip(10001); /* no deadline */
    azc_conn *conn = azc_find(scene.server, slow_work.id);
    if (conn) WANT(azc_reply_part(conn, "data: 2\n\n", AZC_NUL) == AZC_OK);
    get_chunk(c, "data: 2\n\n"), leave(c);
    if (scene.server) SOON(azc_find(scene.server, slow_work.id) == NULL);
    slow_work.id = 0;
    c = arrive(), more(c, GET("/late/left") "\r\n");
    if (c) SOON(slow_work.id != 0);
    leave(c), skip(501);
    c = arrive_small(1), more(c, GET("/long") "\r\n"), leave(c);
    slow_work.id = 0;
    c = arrive(), more(c, GET("/late/stop") "\r\n");
    if (c) SOON(slow_work.id != 0);
    azc_stop(scene.server), scene.stopped = 1;
    skip(501), ask(c, "", 200, 0), get_end(c), leave(c);
    stopping();
    unstage();
    CHECK_INT(slow_work.begun, slow_work.ended);
}

static void folder_write(const char *folder, const char *name, const char *bytes, size_t len) {
    char path[200];
    snprintf(path, sizeof path, "%s/%s", folder, name);
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0600);
    CHECK(fd >= 0 && write(fd, bytes, len) == (ssize_t)len);
    close(fd);
}

static void folders_remove(void) {
    char path[200];
    static const char *const names[] = {"small.txt", "small.txt.gz", "large", "sub/index.html"};
    snprintf(path, sizeof path, "/tmp/azchan-scenario-www-%ld/", (long)getpid());
    size_t len = strlen(path);
    for (size_t i = 0; i < 4; i++) strcpy(path + len, names[i]), unlink(path);
    strcpy(path + len, "sub"), rmdir(path);
    path[len] = 0, rmdir(path);
}

static void act_of_folders(void) {
    enum { LARGE = 40000 };
    static char folder[100], large[LARGE];
    if (!folder[0]) {
        char sub[120];
        snprintf(folder, sizeof folder, "/tmp/azchan-scenario-www-%ld", (long)getpid());
        snprintf(sub, sizeof sub, "%s/sub", folder);
        CHECK(mkdir(folder, 0700) == 0 && mkdir(sub, 0700) == 0);
        atexit(folders_remove);
        folder_write(folder, "small.txt", "small", 5);
        folder_write(folder, "small.txt.gz", "packed", 6);
        folder_write(folder, "large", large, LARGE);
        folder_write(folder, "sub/index.html", "index", 5);
    }
    scene_folder = folder;
    stage(act_config());
    client *c = arrive();
    ask(c, GET("/www/small.txt") "\r\n", 200, 0);
    ask(c, GET("/www/small.txt") "Accept-Encoding: gzip\r\n\r\n", 200, 0);
    ask(c, GET("/www/small.txt") "If-None-Match: *\r\n\r\n", 304, 0);
    ask(c, GET("/www/sub") "\r\n", 301, 0);
    ask(c, GET("/www/sub/") "Range: bytes=1-2\r\n\r\n", 206, 0);
    ask(c, GET("/www/large") "\r\n" GET("/www/large") "Range: bytes=-30000\r\n\r\n", 200, 0);
    ask(c, "", 206, 0);
    ask(c, "HEAD /www/large HTTP/1.1\r\nHost: a\r\n\r\n", 200, 1);
    ask(c, GET("/www/large") "\r\n", 200, 0);
    leave(c);
    ask_last(GET("/www/large") "Connection: close\r\n\r\n", 200);
    ask_last(GET("/www/none") "\r\n", 404);
    ask_last(GET("/www/small.txt") "Range: bytes=5-\r\n\r\n", 416);
    unstage();
}

static void act_of_handshakes(void) {
    stage(act_config());
    ask_last("GET /act/x?refuse=401 HTTP/1.1\r\n" UPGRADE "\r\n", 401);
    ask_last("GET /act/x?refuse=reply HTTP/1.1\r\n" UPGRADE "\r\n", 403);
    ask_last("GET /act/x?refuse=-15 HTTP/1.1\r\n" UPGRADE "\r\n", 500);
    ask_last("GET /act/x HTTP/1.1\r\n" UPGRADE "Origin: https://evil.example\r\n\r\n", 403);
    ask_last(GET("/act/x") "Upgrade: websocket\r\nConnection: Upgrade\r\n"
             "Sec-WebSocket-Key: short\r\nSec-WebSocket-Version: 13\r\n\r\n", 400);
    ask_last(GET("/act/x") "Upgrade: websocket\r\nConnection: Upgrade\r\n"
             "Sec-WebSocket-Key: " KEY "\r\nSec-WebSocket-Version: 8\r\n\r\n", 426);
    client *a = shake(arrive(), "/act/%C3%A4da?greet=1&q=a+b%21",
                      "Origin: https://a.example\r\nSec-WebSocket-Protocol: v1.act, v3\r\n");
    get_text(a, "welcome");
    client *b = arrive(); /* a frame in the handshake's segment */
    if (b) {
        unsigned char bytes[1000];
        int n = snprintf((char *)bytes, sizeof bytes, "GET /drop HTTP/1.1\r\n" UPGRADE "\r\n");
        n += (int)put_frame(bytes + n, FIN | TEXT, "early", 5, SHORTEST, some_mask);
        answer ans;
        client_send(b, bytes, (size_t)n);
        if (WANT(answered(b, &ans, 0) == 101)) get_text(b, "early");
        else leave(b), b = NULL;
    }
    client *c = arrive(); /* byte by byte */
    if (c) {
        client_drip(c, "GET /act/slow HTTP/1.1\r\n" UPGRADE "\r\n",
                    sizeof "GET /act/slow HTTP/1.1\r\n" UPGRADE "\r\n" - 1);
        answer ans;
        if (WANT(answered(c, &ans, 0) == 101)) put_text(c, "slow"), get_text(c, "slow");
    }
    bye(a, 1000);
    bye(b, 0);
}

static void act_of_messages(void) {
    unsigned char out[300];
    stage(act_config());
    client *c = enter("/act/ada");
    put_text(c, "hello"), get_text(c, "hello");
    put(c, FIN | BINARY, "\0\1\2\377", 4), get(c, BINARY, "\0\1\2\377", 4);
    put(c, TEXT, "one, ", 5); /* fragments, and control frames between them */
    put(c, FIN | PING, "are you there", 13), get(c, PONG, "are you there", 13);
    put(c, CONTINUATION, "two, ", 5), put(c, CONTINUATION, "", 0);
    put(c, FIN | PONG, "unasked", 7);
    put(c, FIN | CONTINUATION, "three", 5), get_text(c, "one, two, three");
    put(c, BINARY, bulk, 3000), put(c, CONTINUATION, bulk + 3000, 2000);
    put(c, FIN | CONTINUATION, bulk + 5000, 1000), get(c, BINARY, bulk, sizeof bulk);
    if (c) { /* a long message in segments */
        unsigned char *whole = (unsigned char *)malloc(sizeof bulk + 14);
        size_t n = put_frame(whole, FIN | TEXT, bulk, sizeof bulk, SHORTEST, some_mask);
        for (size_t at = 0; at < n; at += 1500) {
            client_send(c, whole + at, n - at < 1500 ? n - at : 1500);
            azc_poll(scene.server, 0);
        }
        free(whole);
        get(c, TEXT, bulk, sizeof bulk);
        n = put_frame(out, FIN | TEXT, "dripping", 8, SHORTEST, some_mask);
        n += put_frame(out + n, FIN | PING, "drop", 4, SHORTEST, some_mask);
        client_drip(c, out, n);
        get_text(c, "dripping"), get(c, PONG, "drop", 4);
    }
    put_text(c, "{\"name\":\"Ad\\u00e4\"}");
    get_text(c, "{\"hello\":\"Ad\xc3\xa4\",\"members\":1}");
    put_text(c, "{not json"), get_text(c, "{\"type\":\"error\",\"code\":\"INVALID_JSON\"}");
    put_text(c, "fail"), get_text(c, "{\"type\":\"error\",\"code\":\"INTERNAL_ERROR\"}");
    put_text(c, "ping x"), get(c, PING, "x", 1);
    put_text(c, "close 4007"), get_close(c, 4007); /* the program closes */
    put(c, FIN | TEXT, "late", 4);
    put(c, FIN | CLOSE, "\x0f\xa7", 2), get_end(c), leave(c);
    client *d = enter("/drop");
    put_text(d, "fail"), get_text(d, "sorry");
    put(d, FIN | TEXT, "\xff", 1), get_close(d, 1007), get_end(d), leave(d);
    d = enter("/act/x"), put(d, FIN | 3, "", 0), get_close(d, 1002), get_end(d), leave(d);
    d = enter("/act/x");
    put(d, BINARY, bulk, sizeof bulk), put(d, CONTINUATION, bulk, sizeof bulk);
    get_close(d, 1009), leave(d);
    bye(enter("/act/x"), 4999);
    bye(enter("/act/x"), 0);
    d = enter("/act/x"), leave(d); /* gone without a word */
    d = enter("/act/x"), put(d, TEXT, "half", 4);
    if (scene.server) settle(scene.server);
    if (d) client_reset(d);
    if (scene.server) settle(scene.server);
}

static void act_of_rooms(void) {
    stage(act_config());
    client *a = enter("/act/a?room=lobby"), *b = enter("/act/b?room=lobby"), *c = enter("/act/c");
    put_text(a, "say lobby"), get_text(b, "say lobby");
    put_text(c, "join lobby"), put_text(c, "join lobby"), put_text(c, "join attic");
    put_text(c, "say lobby"), get_text(a, "say lobby"), get_text(b, "say lobby");
    put_text(c, "say attic"), put_text(c, "say nowhere");
    put_text(a, "shout");
    get(a, TEXT, bulk, bulk_len), get(b, TEXT, bulk, bulk_len);
    get(c, TEXT, bulk, bulk_len);
    put_text(b, "{\"name\":\"B\",\"to\":\"all\"}");
    get_text(a, "{\"hello\":\"B\",\"members\":3}"), get_text(b, "{\"hello\":\"B\",\"members\":3}");
    get_text(c, "{\"hello\":\"B\",\"members\":3}");
    put_text(a, "thin lobby"), get_text(a, "met 3");
    put_text(a, "thin lobby"), get_text(a, "met 2");
    put_text(a, "leave lobby"), put_text(a, "leave lobby"), put_text(c, "leave-all");
    put_text(b, "join cellar"), put_text(b, "end of it"), get_text(b, "end of it");
    for (int i = 0; i < 20; i++) { /* the table of rooms grows */
        char text[32];
        snprintf(text, sizeof text, "join room-%d", i);
        put_text(a, text);
    }
    put_text(a, "done"), get_text(a, "done");
    if (scene.room && a) WANT(azc_count(scene.room, "room-19") == 1);
    bye(b, 1000), leave(a);
    put_text(c, "{\"name\":\"C\",\"to\":\"all\"}");
    if (scene.room) SOON(azc_count(scene.room, NULL) == 1);
    if (scene.room && scene.listening) WANT(azc_count(scene.room, "lobby") == 0);
}

static void act_of_users(void) {
    stage(act_config());
    client *a1 = enter("/act/a?user=ada&room=lobby"), *b = enter("/act/b?user=bob&room=lobby");
    get_text(a1, "came ada"), get_text(a1, "came bob"), get_text(b, "came bob");
    client *a2 = enter("/act/a?user=ada&room=lobby");
    put_text(b, "user ada"), get_text(a1, "user ada"), get_text(a2, "user ada");
    ask_last("GET /act/x?user=eve&refuse=401 HTTP/1.1\r\n" UPGRADE "\r\n", 401);
    put_text(a1, "leave lobby"), put_text(a2, "join attic"), get_text(a2, "came ada");
    put_text(a1, "join attic"), put_text(a1, "here"), get_text(a1, "here");
    if (scene.server) WANT(scene.present == 3);
    if (a2) client_reset(a2);
    get_text(b, "left ada");
    put_text(b, "leave-all"), put_text(b, "user ada"), get_text(a1, "user ada");
    if (scene.server) WANT(scene.present == 1);
    bye(b, 1000), leave(a1);
    if (scene.room) SOON(azc_count(scene.room, NULL) == 0);
    if (scene.server) WANT(scene.present == 0);
}

/* A room that keeps, values at a rate and the latest only, parts, and a reader that stalls. */
static void act_of_feeds(void) {
    char value[32];
    stage(act_config());
    azc_channel *channel = scene.room;
    if (channel) WANT(azc_set_history(channel, "feed", 3, 600) == AZC_OK);
    for (int i = 1; channel && i <= 5; i++)
        azc_broadcast(channel, "feed", value, (size_t)snprintf(value, 32, "value %d", i), NULL);
    client *a = enter("/act/a?room=feed");
    get_text(a, "value 3"), get_text(a, "value 4"), get_text(a, "value 5");
    for (int i = 6; channel && i <= 9; i++)
        sent_latest(channel, "feed", 1, value,
                             (size_t)snprintf(value, 32, "value %d", i), NULL);
    get_text(a, "value 9");
    if (channel) WANT(azc_set_history(channel, "feed", 2, 700) == AZC_OK);
    client *b = enter("/act/b?room=feed");
    get_text(b, "value 8"), get_text(b, "value 9");
    azc_conn *conn = a && channel ? member_of(channel) : NULL;
    if (conn) send_latest(conn, 2, bulk, 2000), send_latest(conn, 2, "newest", 6);
    get_text(b, "newest");
    for (int i = 0; channel && i < 3; i++) {
        sent_throttled(channel, "feed", 3, 1000, i < 2 ? "first" : "final", 5);
        sent_batched(channel, "feed", 1000, i < 2 ? "1" : "2", 1);
    }
    get_text(a, "first"), get_text(a, "[1]"), get_text(b, "first"), get_text(b, "[1]");
    skip(1001);
    get_text(a, "final"), get_text(a, "[1,2]"), get_text(b, "final"), get_text(b, "[1,2]");
    skip(1001);
    if (channel) sent_throttled(channel, "void", 3, 1000, "unheard", 7);
    client *p = enter("/part");
    put(p, BINARY, bulk, sizeof bulk), put(p, FIN | CONTINUATION, bulk, sizeof bulk);
    get_text(p, "got it"), put_text(p, ""), get_text(p, "got it");
    put(p, TEXT, "half", 4), leave(p);
    bye(a, 1000), leave(b);
    if (channel) SOON(azc_count(channel, NULL) == 0);
    if (channel) WANT(azc_set_history(channel, "feed", 0, 0) == AZC_OK);
}

/* Fill a member's backlog from here until it is full. */
static void fill(azc_conn *conn) {
    for (int i = 0; conn && i < 2000; i++)
        if (azc_send_binary(conn, bulk, 1000) != AZC_OK) return;
}

static void act_of_backlogs(void) {
    azc_config config = act_config();
    config.max_message = config.read_buffer = 2048, config.max_backlog = 8192;
    stage(config);
    client *a = shake(arrive_small(1), "/drop", "");
    client *b = shake(arrive_small(1), "/act/b", "");
    azc_conn *slow = a && scene.drop ? member_of(scene.drop) : NULL;
    azc_conn *full = b && scene.room ? member_of(scene.room) : NULL;
    fill(slow), fill(full); /* past max_backlog: dropped; closed */
    if (slow) WANT(azc_dropped(slow) == 1 && azc_backlog(slow) > 7000);
    client *c = enter("/act/c"); /* the others do not mind */
    put_text(c, "shout");
    for (frame f; b && !b->eof && client_read(b, &f) && f.opcode == BINARY;) continue;
    for (int i = 0; i < 8; i++) get(a, BINARY, bulk, 1000);
    if (slow) SOON(scene.drained >= 1);
    get(c, TEXT, bulk, bulk_len);
    put_text(a, "awake"), get_text(a, "awake");
    int echoes = sys.most_out ? 5 : 20;
    for (int i = 0; a && i < echoes; i++) put(a, FIN | BINARY, bulk, 1500);
    for (int i = 0; a && i < echoes; i++) get(a, BINARY, bulk, 1500);
    bye(c, 1001);
}

/* Large messages go to the kernel at once, until it is full, in the middle of one; once as the
 * answer to one that came in fragments. */
static void act_of_large_messages(void) {
    static char large[20000];
    azc_config config = act_config();
    config.max_message = sizeof large;
    stage(config);
    memset(large, 'L', sizeof large);
    client *a = shake(arrive_small(1), "/act/a", "");
    azc_conn *conn = a && scene.room ? member_of(scene.room) : NULL;
    int count = 0;
    for (int more = 2; conn && more > 0 && count < 2000; count++) {
        if (!WANT(azc_send_binary(conn, large, sizeof large) == AZC_OK)) break;
        if (azc_backlog(conn) > 0) more -= sys.most_out ? 2 : 1; /* one behind, where it may wait */
    }
    for (int i = 0; i < count; i++) get(a, BINARY, large, sizeof large);
    put_text(a, "done"), get_text(a, "done");
    bye(a, 1000);
    client *b = enter("/act/b");
    size_t most = sys.most_out;
    if (!most) sys.most_out = 3; /* the kernel is as good as full */
    put(b, BINARY, large, 12000), put(b, FIN | CONTINUATION, large + 12000, 8000);
    if (scene.server) settle(scene.server), settle(scene.server);
    sys.most_out = most;
    get(b, BINARY, large, sizeof large), put_text(b, "done"), get_text(b, "done");
}

static void act_of_deadlines(void) {
    azc_config config = act_config();
    config.handshake_ms = 100000, config.ping_ms = 200000, config.pong_ms = 100000;
    config.close_ms = 50000;
    stage(config);
    client *silent = arrive(), *half = arrive(), *idle = arrive();
    if (half) client_print(half, "GET / HT");
    ask(idle, GET("/") "\r\n", 200, 0);
    if (scene.server) settle(scene.server);
    skip(100001);
    get_end(silent), leave(silent);
    ask(half, "", 408, 0), leave(half);
    get_end(idle), leave(idle);
    client *a = enter("/act/a");
    skip(200001), get(a, PING, "", 0);
    put(a, FIN | PONG, "", 0);
    if (scene.server) settle(scene.server);
    skip(100001), put_text(a, "alive"), get_text(a, "alive");
    skip(200001), get(a, PING, "", 0);
    skip(100001);
    if (!sys.most_out && !sys.hits) get_end(a); /* but a ping that is sent late is a sign of life */
    leave(a);
    client *b = enter("/act/b"); /* does not answer a Close */
    put_text(b, "close 1000"), get_close(b, 1000);
    skip(50001), get_end(b), leave(b);
    client *c = enter("/act/c"); /* does not end its TCP */
    if (c) client_bye(c, 1000, ""), get_close(c, 1000), skip(50001), get_end(c), leave(c);
}

static void act_of_crowds(void) {
    client *crowd[40];
    stage(act_config());
    for (int i = 0; i < 40; i++) crowd[i] = arrive();
    for (int i = 0; i < 40; i++) crowd[i] = shake(crowd[i], "/act/x?room=all", "");
    put_text(crowd[0], "say all");
    for (int i = 1; i < 40; i++) get_text(crowd[i], "say all");
    put_text(crowd[1], "shout");
    for (int i = 0; i < 40; i++) get(crowd[i], TEXT, bulk, bulk_len);
    if (scene.room) WANT(azc_count(scene.room, "all") == 40);
    for (int i = 0; i < 40; i++) {
        if (!crowd[i]) continue;
        if (i % 3 == 0) bye(crowd[i], 1000);
        else if (i % 3 == 1) client_reset(crowd[i]);
        else leave(crowd[i]);
    }
    if (scene.room) SOON(azc_count(scene.room, NULL) == 0);
}

static void act_of_limits(void) {
    azc_config config = act_config();
    config.max_connections = 3;
    stage(config);
    client *a = enter("/act/a"), *b = enter("/act/b"), *waiting = arrive();
    if (scene.server) settle(scene.server);
    client *c = enter("/act/c"); /* an unfinished handshake gives way */
    get_end(waiting), leave(waiting);
    client *d = arrive(); /* none left to give way: it waits */
    if (d) client_print(d, "GET /act/d HTTP/1.1\r\n" UPGRADE "\r\n");
    if (scene.server) settle(scene.server);
    if (d) WANT(d->len == 0);
    bye(a, 1000);
    answer ans;
    if (d && WANT(answered(d, &ans, 0) == 101)) put_text(d, "in"), get_text(d, "in");
    bye(b, 1000), leave(c);
    unstage();
    config.max_connections = 0, config.max_per_address = 2;
    stage(config);
    a = enter("/act/a"), b = arrive();
    if (scene.server) settle(scene.server);
    c = arrive();
    get_end(c), leave(c);
    leave(b);
    if (scene.server) settle(scene.server);
    b = enter("/act/b");
    put_text(b, "in"), get_text(b, "in");
}

/* Continue until the server has stopped. */
static void stopping(void) {
    int result = 1;
    long long end = now_ms() + patience;
    azc_stop(scene.server);
    scene.stopped = 1;
    while (result != 0 && scene.listening && now_ms() < end) result = azc_poll(scene.server, 1);
    if (scene.listening) WANT(result == 0);
}

static void act_of_ends(void) {
    stage(act_config());
    client *a = enter("/act/a"), *b = enter("/act/b"), *c = arrive();
    ask(c, GET("/") "\r\n", 200, 0);
    put_text(a, "stop"), get_close(a, 1001), get_close(b, 1001);
    put(a, FIN | CLOSE, "\x03\xe9", 2), get_end(a), leave(a);
    get_end(c), leave(c);
    skip(3001), get_end(b), leave(b); /* which does not answer */
    stopping();
    unstage();
    stage(act_config()); /* destroyed with all on board */
    a = enter("/act/a?room=x"), b = enter("/act/b?room=x"), c = arrive();
    put_text(a, "say x"), put(b, TEXT, "half", 4);
    if (scene.server) azc_poll(scene.server, 0);
    if (c) client_print(c, "GET / H");
    if (scene.server) azc_poll(scene.server, 0);
    CHECK_INT(azc_destroy(scene.server), AZC_OK);
    CHECK_INT(scene.opened, scene.closed);
    scene.server = NULL, scene.listening = 0;
    for (client *e = clients; e; e = e->next) e->server = NULL;
    if (!sys.hits && !sys.most_in && !sys.most_out) /* it sends only once */
        get_text(b, "say x"), get_close(b, 1001);
}

static void act_of_addresses(void) {
    char host[100];
    azc_config config = act_config();
    snprintf(host, sizeof host, "unix:/tmp/azchan-scenario-%ld", (long)getpid());
    config.host = host, config.unix_mode = 0600;
    struct sockaddr_un un; /* left over from a process that was killed */
    memset(&un, 0, sizeof un);
    un.sun_family = AF_UNIX;
    snprintf(un.sun_path, sizeof un.sun_path, "%s", host + 5);
    int fd = socket(AF_UNIX, SOCK_STREAM, 0);
    CHECK(bind(fd, (struct sockaddr *)&un, sizeof un) == 0);
    close(fd);
    stage(config);
    client *c = scene.listening ? client_open_to(scene.server, host, 0, 0) : NULL;
    c = shake(c, "/act/x", ""), put_text(c, "hello"), get_text(c, "hello");
    if (scene.listening) { /* in use */
        azc_server *second = azc_create(&config);
        int result = azc_listen(second);
        if (!second || !WANT(result == AZC_ERR_IN_USE)) CHECK(result <= 0);
        CHECK_INT(azc_destroy(second), AZC_OK);
    }
    bye(c, 1000);
    stopping();
    unstage();
    if (sys.files && sys.call != SYS_unlink && sys.call != SYS_stat)
        CHECK(access(un.sun_path, F_OK) != 0);
    unlink(un.sun_path);
    config.host = "::1";
    int strict = scene.strict; /* not every machine has it */
    scene.strict = 0, stage(config), scene.strict = strict && scene.listening;
    c = scene.listening ? client_open_to(scene.server, "::1", sys.port, 0) : NULL;
    c = shake(c, "/act/x", ""), put_text(c, "hello"), get_text(c, "hello");
    bye(c, 1000);
    scene.strict = strict;
    stopping();
    unstage();
    config.host = "192.0.2.1"; /* no address of ours */
    azc_server *server = azc_create(&config);
    CHECK(azc_listen(server) < 0);
    CHECK_INT(azc_destroy(server), AZC_OK);
    config.host = "nonsense";
    server = azc_create(&config);
    CHECK(azc_listen(server) < 0);
    CHECK_INT(azc_destroy(server), AZC_OK);
}

/* What timers and posts did; each of those taken runs once, whatever fails. */
static struct {
    int set, timers, every, posted, posts, bytes;
    uint64_t beat;
} tasks;

static void task_timer(azc_server *server, void *arg) {
    CHECK(server == scene.server && arg == (void *)&tasks);
    tasks.timers++;
    if (scene.room) azc_broadcast(scene.room, NULL, "tick", 4, NULL);
}
static void task_beat(azc_server *server, void *arg) {
    CHECK(server == scene.server && arg == (void *)&tasks);
    if (++tasks.every == 3) CHECK_INT(azc_cancel(server, tasks.beat), AZC_OK);
}
static void task_post(azc_server *server, void *arg) {
    CHECK(server == scene.server && arg == (void *)&tasks);
    tasks.posts++;
}
static void task_ready(azc_server *server, int fd, int events, void *user) {
    char byte;
    CHECK(server == scene.server && user == (void *)&tasks && events == AZC_READ);
    CHECK(read(fd, &byte, 1) == 1);
    tasks.bytes++;
}
/* A turn, with the program's own poll. */
static void own_turn(void) {
    struct pollfd fds[64];
    int wait = 1;
    size_t n = azc_poll_begin(scene.server, fds, 64, &wait);
    CHECK(n <= 64 && wait <= 1);
    if (poll(fds, (nfds_t)n, sys.hasty ? 0 : wait) < 0) n = 0;
    azc_poll_end(scene.server, fds, n);
}
static void post_some(int n) {
    for (; scene.server && n > 0; n--)
        tasks.posted += azc_post(scene.server, task_post, &tasks) == AZC_OK;
}

/* More than run in a turn, if so many can wait. */
enum { POSTS = AZC__POSTS < 100 ? AZC__POSTS : 100 };

static void act_of_tasks(void) {
    memset(&tasks, 0, sizeof tasks);
    stage(act_config());
    client *a = enter("/act/a");
    for (int i = 0; i < 20; i++) { /* the table of timers grows */
        uint64_t id = azc_after(scene.server, 1000 + i, task_timer, &tasks);
        tasks.set += WANT(id != 0);
        if (id && i % 4 == 0) CHECK_INT(azc_cancel(scene.server, id), AZC_OK), tasks.set--;
    }
    WANT((tasks.beat = azc_every(scene.server, 700, task_beat, &tasks)) != 0);
    post_some(POSTS);
    put_text(a, "first"), get_text(a, "first");
    if (scene.listening && scene.server) SOON(tasks.posts == tasks.posted);
    WANT(tasks.posted == POSTS);
    skip(1200);
    for (int i = 0; i < 15; i++) get_text(a, "tick");
    if (scene.listening) WANT(tasks.timers == tasks.set && tasks.timers == 15);
    skip(700), skip(700), skip(700);
    if (scene.listening) WANT(tasks.every == 3);
    int fds[2];
    CHECK(pipe(fds) == 0);
    int watched = azc_watch(scene.server, fds[0], AZC_READ, task_ready, &tasks);
    WANT(watched == AZC_OK);
    CHECK(write(fds[1], "12", 2) == 2);
    put_text(a, "own"); /* served by turns of our own poll */
    for (int i = 0; scene.listening && i < 20; i++) own_turn();
    if (scene.listening) WANT(tasks.bytes == 2);
    get_text(a, "own");
    CHECK_INT(azc_watch(scene.server, fds[0], 0, NULL, NULL),
              scene.server ? AZC_OK : AZC_ERR_ARGUMENT);
    CHECK(write(fds[1], "3", 1) == 1);
    put_text(a, "last"), get_text(a, "last");
    CHECK(tasks.bytes <= 2);
    WANT(azc_watch(scene.server, fds[0], AZC_READ | AZC_WRITE, task_ready, &tasks) == AZC_OK);
    azc_after(scene.server, 1000, task_timer, &tasks); /* never to be */
    post_some(5);
    unstage(); /* which runs them */
    close(fds[0]), close(fds[1]);
    WANT(tasks.posted == POSTS + 5);
    if (sys.call != SYS_read) CHECK_INT(tasks.posts, tasks.posted);
    CHECK(tasks.posts <= tasks.posted && tasks.timers <= tasks.set);
}

/* A socket that listens, as a supervisor has it, and a peer's, as inetd's nowait has it. */
static int given_socket(int *peer) {
    struct sockaddr_in a;
    socklen_t len = sizeof a;
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    memset(&a, 0, sizeof a);
    a.sin_family = AF_INET, a.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    if (bind(fd, (struct sockaddr *)&a, len) != 0 || listen(fd, 50) != 0) abort();
    getsockname(fd, (struct sockaddr *)&a, &len);
    sys.port = ntohs(a.sin_port);
    if (!peer) return fd;
    *peer = socket(AF_INET, SOCK_STREAM, 0);
    if (connect(*peer, (struct sockaddr *)&a, len) != 0) abort();
    int accepted = accept(fd, NULL, NULL);
    fcntl(*peer, F_SETFL, O_NONBLOCK);
    return close(fd), accepted;
}

/* Proxies in front, sockets from elsewhere, and making way. */
static void act_of_neighbours(void) {
    azc_config config = act_config();
    config.max_per_address = 1, config.reuse_port = 1;
    scene_trusted = "127.0.0.1 10.0.0.0/8";
    stage(config);
    static const char visitor[] = "X-Forwarded-For: 1.1.1.1, 6.6.6.6, 10.1.1.1\r\n";
    client *a = shake(arrive(), "/act/a", visitor), *b = arrive();
    if (a && scene.room && member_of(scene.room))
        WANT(strcmp(azc_peer(member_of(scene.room)), "6.6.6.6") == 0);
    if (b) client_print(b, "GET /act/b HTTP/1.1\r\n" UPGRADE "%s\r\n", visitor);
    ask(b, "", 429, 0), leave(b);
    put_text(a, "in"), get_text(a, "in");
    leave(a);
    unstage();
    config = act_config();
    int fd = config.listen_fd = given_socket(NULL);
    stage(config);
    if (!scene.listening) CHECK_INT(close(fd), 0); /* still ours */
    a = enter("/act/a"), b = enter("/act/b");
    put_text(a, "in"), get_text(a, "in");
    if (scene.server) CHECK_INT(azc_shutdown(scene.server, 1000), AZC_OK);
    skip(1), get_close(a, 1001), put(a, FIN | CLOSE, "\x03\xe9", 2), get_end(a), leave(a);
    skip(501), get_close(b, 1001), put(b, FIN | CLOSE, "\x03\xe9", 2), get_end(b), leave(b);
    stopping();
    unstage();
    int peer;
    fd = config.listen_fd = given_socket(&peer);
    stage(config);
    if (!scene.listening) CHECK_INT(close(fd), 0);
    a = shake(client_on(scene.server, peer), "/act/a", "");
    put_text(a, "in"), get_text(a, "in");
    bye(a, 1000);
    stopping();
    unstage();
}

/* A server that SIGTERM stops, and the signal's own action after it. */
static void act_of_signals(void) {
    struct sigaction old, now;
    sigaction(SIGTERM, NULL, &old);
    stage(act_config());
    int result = azc_stop_on_signals(scene.server);
    if (scene.server) WANT(result == AZC_OK);
    if (scene.server && result != AZC_OK) /* AZC_ERR_STATE: it has no pipe */
        CHECK_INT(result, sys.call == SYS_sigaction ? AZC_ERR_SYSTEM : AZC_ERR_STATE);
    client *a = enter("/act/a");
    put_text(a, "in"), get_text(a, "in");
    if (scene.server && result == AZC_OK) raise(SIGTERM);
    else if (scene.server) azc_stop(scene.server);
    get_close(a, 1001), put(a, FIN | CLOSE, "\x03\xe9", 2), get_end(a), leave(a);
    stopping();
    unstage();
    sigaction(SIGTERM, NULL, &now);
    if (sys.call != SYS_sigaction || result != AZC_OK) CHECK(now.sa_handler == old.sa_handler);
    sigaction(SIGTERM, &old, NULL);
}

typedef struct act {
    const char *name;
    void (*play)(void);
} act;

static const act acts[] = {
    {"pages", act_of_pages},         {"bodies", act_of_bodies},
    {"answers", act_of_answers},     {"folders", act_of_folders},
    {"handshakes", act_of_handshakes},
    {"messages", act_of_messages},   {"rooms", act_of_rooms},
    {"backlogs", act_of_backlogs},   {"deadlines", act_of_deadlines},
    {"crowds", act_of_crowds},       {"limits", act_of_limits},
    {"ends", act_of_ends},           {"addresses", act_of_addresses},
    {"large messages", act_of_large_messages}, {"tasks", act_of_tasks},
    {"neighbours", act_of_neighbours}, {"users", act_of_users}, {"feeds", act_of_feeds},
    {"signals", act_of_signals},
};
enum { ACTS = sizeof acts / sizeof acts[0] };

/* ---- The demands, whatever failed ------------------------------------------------------------ */

/* Memory and system calls are well again: the next peer is served. */
static void serves_the_next(void) {
    int strict = scene.strict, kept = patience;
    scene.strict = 1, patience = waiting(), sys.hasty = 0;
    if (scene.listening && !scene.stopped) {
        pump_until(scene.server, azc_stats(scene.server)->connections == 0);
    } else {
        unstage();
        stage(act_config());
    }
    client *c = enter("/act/next");
    put_text(c, "next"), get_text(c, "next");
    bye(c, 1000);
    scene.strict = strict, patience = kept;
}

/* Play an act, with what is to fail set up, then demand. to_the_end: it goes on failing through
 * azc_destroy, and another server serves the next; else this one does. */
static inline void perform(const act *a, int to_the_end) {
    if (!nowhere) nowhere = fopen("/dev/null", "w");
    choose_port();
    int before = open_descriptors();
    scene.server = NULL, scene.opened = scene.closed = scene.drained = scene.present = 0;
    memory_fault.calls = memory_fault.hits = 0;
    memset(sys.calls, 0, sizeof sys.calls);
    sys.hits = 0, sys.wrong = 0, sys.files = 0;
    sys.hasty = !scene.strict, patience = scene.strict ? waiting() : 3;
    bulk_len = sys.most_out ? 1500 : sizeof bulk;
    for (size_t i = 0; i < sizeof bulk; i++) bulk[i] = (char)('a' + i % 26);
    a->play();
    if (scene.strict && scene.server && strncmp(azc_error(scene.server), "max_backlog", 11) != 0)
        CHECK_STR(azc_error(scene.server), ""); /* an act fills the backlog */
    if (to_the_end) unstage(), CHECK_INT(scene.opened, scene.closed);
    heal();
    for (client *c = clients, *next; c; c = next) next = c->next, client_unlink(c);
    skip(1000);
    serves_the_next();
    unstage();
    tape_clear(&log_lines), tape_clear(&events);
    CHECK_INT(scene.opened, scene.closed);
    CHECK_INT(scene.present, 0);
    CHECK_INT(memory.bytes, 0);
    CHECK_INT(memory.blocks, 0);
    CHECK_INT(open_descriptors(), before);
    CHECK_INT(sys.wrong, 0);
    if (memory.blocks) memory.bytes = memory.blocks = 0; /* reported once */
}

#endif
