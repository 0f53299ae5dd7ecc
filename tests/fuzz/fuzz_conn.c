/* Whole connections through the real loop, on a kernel made of arrays: requests, frames, ends of
 * TCP, stalled readers, time; and a program whose callbacks do what the peers send.
 *
 * Input: four bytes (n: the same whole and in cuts, w: everything may go wrong, once; a digit that
 * picks the limits, or a letter, with which memory is pooled; a seed for the cuts; w: which
 * allocations fail, 0 for none), then steps of a letter, a digit for the socket, and what belongs
 * to it: see conn_step. */
#ifndef _DEFAULT_SOURCE
#define _DEFAULT_SOURCE 1 /* as azchan.h would, but its system calls have to be known before */
#endif
#include <errno.h>
#include <netinet/in.h>
#include <poll.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <time.h>
#ifdef AZCHAN_USE_EPOLL
#include <sys/epoll.h>
#endif
#include "fuzz.h"

int FUZZ_TARGET(const uint8_t *data, size_t size);

#ifdef __clang__ /* libFuzzer shall look at azchan.h alone: twice the speed */
#pragma clang attribute push(__attribute__((no_sanitize("coverage"))), apply_to = function)
#endif

/* ---- A kernel of arrays ---------------------------------------------------------------------- */

enum { CONN_MOST = 6, CONN_LISTENER = 3, CONN_WAKE, CONN_WAKE_WRITE, CONN_RANDOM, CONN_EPOLL,
       CONN_FIRST = 10, CONN_HEADS = 1024 };

typedef struct conn_bytes {
    uint8_t *p;
    size_t len, cap;
} conn_bytes;

static void conn_append(conn_bytes *to, const void *bytes, size_t n) {
    if (to->cap - to->len < n) {
        to->cap = (to->cap + n) * 2;
        to->p = (uint8_t *)realloc(to->p, to->cap);
        if (to->p == NULL) abort();
    }
    if (n > 0) memcpy(to->p + to->len, bytes, n);
    to->len += n;
}

typedef struct conn_socket {
    const uint8_t *in; /* what recv gives next */
    size_t in_len, window;
    int accepted, eof, reset, shut, closed;
    conn_bytes sent, out; /* by the peer; to the peer */
    conn_bytes log, heard; /* of callbacks and calls, all; the messages and the close alone */
    uint64_t id;
    int opened, ended, requests; /* callbacks */
    int code, told, excused; /* on_close; Close sent; closed by program or deadline */
    int deaf;                /* no on_message */
    int texts;               /* no on_binary: such a message ends it with 1003 */
    int parted;              /* on_part, which joins a message in: */
    conn_bytes parts;
    uint8_t head_only[CONN_HEADS];
} conn_socket;

/* All that a run leaves behind is in here, so that two runs may be compared. */
typedef struct conn_world {
    conn_socket sockets[CONN_MOST];
    int count, taken, wild, stopped, unpooled;
    int pending;              /* answers that are not over */
    size_t wake;              /* bytes in the pipe, at most */
    unsigned char pipe[4096];
    int64_t now;
    struct azc_server *server;
    struct azc_channel *channels[5];
    fuzz_memory memory;
    uint64_t mask;
    char words[64]; /* what on_close does, in a wild run */
#ifdef AZCHAN_USE_EPOLL
    struct epoll_event watched[CONN_FIRST + CONN_MOST];
#endif
} conn_world;

static conn_world conn_worlds[2], *conn_now = conn_worlds;

static conn_socket *conn_socket_of(int fd) {
    FUZZ_CHECK(fd >= CONN_FIRST && fd < CONN_FIRST + conn_now->taken);
    FUZZ_CHECK(!conn_now->sockets[fd - CONN_FIRST].closed);
    return &conn_now->sockets[fd - CONN_FIRST];
}

static int conn_ready(int fd, int events) {
    if (fd == CONN_WAKE) return conn_now->wake > 0 ? POLLIN : 0;
    if (fd == CONN_LISTENER) return conn_now->taken < conn_now->count ? events & POLLIN : 0;
    const conn_socket *k = conn_socket_of(fd);
    int got = (k->in_len > 0 || k->eof ? POLLIN : 0) | (k->window > 0 ? POLLOUT : 0);
    return (got & events) | (k->reset ? POLLERR | POLLHUP : k->eof && k->shut ? POLLHUP : 0);
}

#ifdef AZCHAN_USE_EPOLL
static int conn_sys_epoll_create1(int flags) { return flags ? CONN_EPOLL : CONN_EPOLL; }
static int conn_sys_epoll_ctl(int epoll, int op, int fd, struct epoll_event *e) {
    struct epoll_event *watched = &conn_now->watched[fd];
    FUZZ_CHECK(epoll == CONN_EPOLL && (op == EPOLL_CTL_ADD) != (watched->data.ptr != NULL));
    if (op == EPOLL_CTL_DEL) memset(watched, 0, sizeof *watched);
    else *watched = *e;
    return 0;
}
static int conn_sys_epoll_wait(int epoll, struct epoll_event *ready, int most, int ms) {
    int n = 0;
    FUZZ_CHECK(epoll == CONN_EPOLL && ms == 0);
    for (int fd = 0; fd < CONN_FIRST + CONN_MOST && n < most; fd++) {
        struct epoll_event *e = &conn_now->watched[fd];
        if (e->data.ptr == NULL) continue;
        int got = conn_ready(fd, (e->events & (uint32_t)EPOLLIN ? POLLIN : 0) |
                                 (e->events & (uint32_t)EPOLLOUT ? POLLOUT : 0));
        if (got == 0) continue;
        ready[n] = *e;
        ready[n++].events = (got & POLLIN ? (uint32_t)EPOLLIN : 0u) |
                            (got & POLLOUT ? (uint32_t)EPOLLOUT : 0u) |
                            (got & POLLERR ? (uint32_t)EPOLLERR : 0u) |
                            (got & POLLHUP ? (uint32_t)EPOLLHUP : 0u);
    }
    return n;
}
#else
static int conn_sys_poll(struct pollfd *polls, nfds_t n, int ms) {
    int ready = 0;
    FUZZ_CHECK(ms == 0);
    for (nfds_t i = 0; i < n; i++) {
        polls[i].revents = (short)conn_ready(polls[i].fd, polls[i].events);
        ready += polls[i].revents != 0;
    }
    return ready;
}
#endif

static inline int conn_sys_accept(int fd, struct sockaddr *address, socklen_t *len) {
    struct sockaddr_in v4;
    FUZZ_CHECK(fd == CONN_LISTENER && *len >= sizeof v4);
    if (conn_now->taken == conn_now->count) {
        errno = EAGAIN;
        return -1;
    }
    memset(&v4, 0, sizeof v4);
    v4.sin_family = AF_INET;
    v4.sin_addr.s_addr = htonl(0x7F000001u + (unsigned)(conn_now->taken & 1));
    memcpy(address, &v4, sizeof v4);
    *len = sizeof v4;
    conn_now->sockets[conn_now->taken].accepted = 1;
    return CONN_FIRST + conn_now->taken++;
}
static inline int conn_sys_accept4(int fd, struct sockaddr *address, socklen_t *len, int flags) {
    return flags == 0 ? -1 : conn_sys_accept(fd, address, len);
}

static ssize_t conn_sys_recv(int fd, void *to, size_t n, int flags) {
    conn_socket *k = conn_socket_of(fd);
    FUZZ_CHECK(flags == MSG_DONTWAIT && n > 0);
    if (k->reset) errno = ECONNRESET;
    else errno = EAGAIN;
    if (k->reset || (k->in_len == 0 && !k->eof)) return -1;
    if (n > k->in_len) n = k->in_len;
    if (n == 0) return 0;
    memcpy(to, k->in, n);
    k->in += n;
    k->in_len -= n;
    return (ssize_t)n;
}

static ssize_t conn_sys_sendmsg(int fd, const struct msghdr *msg, int flags) {
    conn_socket *k = conn_socket_of(fd);
    size_t sent = 0;
    FUZZ_CHECK(flags & MSG_NOSIGNAL && !k->shut);
    errno = k->reset ? EPIPE : EAGAIN;
    if (k->reset || k->window == 0) return -1;
    for (size_t i = 0; i < (size_t)msg->msg_iovlen && k->window > 0; i++) {
        size_t n = msg->msg_iov[i].iov_len < k->window ? msg->msg_iov[i].iov_len : k->window;
        conn_append(&k->out, msg->msg_iov[i].iov_base, n);
        if (k->window != SIZE_MAX) k->window -= n;
        sent += n;
    }
    FUZZ_CHECK(sent > 0);
    return (ssize_t)sent;
}

static ssize_t conn_sys_send(int fd, const void *bytes, size_t n, int flags) {
    struct iovec iov = {(void *)(uintptr_t)bytes, n};
    struct msghdr msg;
    memset(&msg, 0, sizeof msg);
    msg.msg_iov = &iov;
    msg.msg_iovlen = 1;
    return conn_sys_sendmsg(fd, &msg, flags);
}

static int conn_sys_shutdown(int fd, int how) {
    FUZZ_CHECK(how == SHUT_WR && !conn_socket_of(fd)->shut);
    return conn_socket_of(fd)->shut = 1, 0;
}
static int conn_sys_close(int fd) {
    if (fd >= CONN_FIRST) conn_socket_of(fd)->closed = 1;
#ifdef AZCHAN_USE_EPOLL
    memset(&conn_now->watched[fd], 0, sizeof *conn_now->watched);
#endif
    return 0;
}
static ssize_t conn_sys_read(int fd, void *to, size_t n) {
    memset(to, 0x5A, n);
    if (fd == CONN_RANDOM) return (ssize_t)n;
    FUZZ_CHECK(fd == CONN_WAKE);
    if (n > conn_now->wake) n = conn_now->wake;
    conn_now->wake -= n;
    memcpy(to, conn_now->pipe, n);
    memmove(conn_now->pipe, conn_now->pipe + n, conn_now->wake);
    errno = EAGAIN;
    return n > 0 ? (ssize_t)n : -1;
}
static ssize_t conn_sys_write(int fd, const void *bytes, size_t n) {
    FUZZ_CHECK(fd == CONN_WAKE_WRITE && bytes != NULL && n > 0 && n <= 2 * sizeof(void *));
    errno = EAGAIN;
    if (conn_now->wake + n > sizeof conn_now->pipe) return -1;
    memcpy(conn_now->pipe + conn_now->wake, bytes, n);
    conn_now->wake += n;
    return (ssize_t)n;
}
static int conn_sys_clock_gettime(clockid_t clock, struct timespec *t) {
    t->tv_sec = (time_t)(conn_now->now / 1000);
    t->tv_nsec = (long)(conn_now->now % 1000) * 1000000;
    return clock == CLOCK_MONOTONIC ? 0 : -1;
}
static inline int conn_sys_pipe(int fds[2]) { return fds[0] = CONN_WAKE, fds[1] = CONN_WAKE_WRITE, 0; }
static inline int conn_sys_pipe2(int fds[2], int flags) {
    return flags == 0 ? -1 : conn_sys_pipe(fds);
}
static inline ssize_t conn_sys_getrandom(void *to, size_t n, unsigned flags) {
    memset(to, 0x5A, flags != 0 ? n : 0);
    return (ssize_t)n;
}
static int conn_sys_open(const char *path, int flags) {
    return strcmp(path, "/dev/urandom") == 0 && flags >= 0 ? CONN_RANDOM : -1;
}
static int conn_sys_getrlimit(int what, struct rlimit *limit) {
    limit->rlim_cur = limit->rlim_max = 1024;
    return what == (int)RLIMIT_NOFILE ? 0 : -1;
}
static int conn_sys_socket(int family, int type, int protocol) {
    return family == AF_INET && (type & SOCK_STREAM) && protocol == 0 ? CONN_LISTENER : -1;
}
static int conn_sys_fcntl(int fd, int command, int flags) { return fd + command + flags < 0; }
static int conn_sys_setsockopt(int fd, int level, int name, const void *value, socklen_t len) {
    return fd + level + name + (int)len < 0 && value != NULL;
}
static int conn_sys_ioctl(int fd, unsigned long request, int *unacked) { /* it holds nothing back */
    return *unacked = 0, fd >= CONN_FIRST && request != 0 ? 0 : -1;
}
static int conn_sys_getsockname(int fd, struct sockaddr *address, socklen_t *len) {
    return fd == CONN_LISTENER && address->sa_family == AF_INET && *len > 0 ? 0 : -1;
}
static int conn_sys_bind(int fd, const struct sockaddr *address, socklen_t len) {
    return fd == CONN_LISTENER && address->sa_family == AF_INET && len > 0 ? 0 : -1;
}
static int conn_sys_listen(int fd, int backlog) {
    return fd == CONN_LISTENER && backlog > 0 ? 0 : -1;
}
/* Never called here: only Unix sockets, listen_fd and signals need these. */
static int conn_sys_sigaction(int number, const struct sigaction *action, struct sigaction *old) {
    return number == 0 && action == old;
}
static int conn_sys_getpeername(int fd, struct sockaddr *address, socklen_t *len) {
    return fd == (int)*len && address == NULL;
}
static int conn_sys_getsockopt(int fd, int level, int name, void *value, socklen_t *len) {
    return fd + level + name == (int)*len && value == NULL;
}
static int conn_sys_stat(const char *path, struct stat *st) {
    memset(st, 0, sizeof *st);
    return path == NULL;
}
static int conn_sys_fstat(int fd, struct stat *st) { return conn_sys_stat("", st) - fd; }
static int conn_sys_openat(int dir, const char *path, int flags) {
    return dir + flags > 0 && path != NULL ? -1 : 0;
}
static ssize_t conn_sys_pread(int fd, void *to, size_t n, off_t at) {
    return to == NULL ? (ssize_t)n : (ssize_t)(fd + at);
}
#ifdef __linux__
static ssize_t conn_sys_sendfile(int to, int from, off_t *at, size_t n) {
    return at == NULL ? (ssize_t)n : to + from;
}
static int conn_sys_sigprocmask(int how, const sigset_t *set, sigset_t *before) {
    return how == 0 && set == NULL && before == NULL;
}
static int conn_sys_sigtimedwait(const sigset_t *set, siginfo_t *info, const struct timespec *t) {
    return set == NULL && info == NULL && t == NULL;
}
#endif
static int conn_sys_chmod(const char *path, mode_t mode) { return path == NULL && mode == 0; }
static int conn_sys_flock(int fd, int what) { return fd == what; }
static int conn_sys_nanosleep(const struct timespec *time, struct timespec *left) {
    return time == left;
}
static pid_t conn_sys_getpid(void) { return 1; }
static int conn_sys_unlink(const char *path) { return path == NULL; }
static int conn_sys_connect(int fd, const struct sockaddr *address, socklen_t len) {
    return fd == (int)len && address == NULL;
}

#ifdef __clang__
#pragma clang attribute pop
#endif
#define AZC_SYS(call) conn_sys_##call
#define AZCHAN_IMPLEMENTATION
#include "../../azchan.h"
#include "../sends.h"
#ifdef __clang__
#pragma clang attribute push(__attribute__((no_sanitize("coverage"))), apply_to = function)
#endif

/* ---- The program ----------------------------------------------------------------------------- */

static int conn_index(const azc_conn *conn) {
    FUZZ_CHECK(conn->source.fd >= CONN_FIRST && conn->source.fd < CONN_FIRST + CONN_MOST);
    return conn->source.fd - CONN_FIRST;
}
static conn_socket *conn_of(const azc_conn *conn) { return &conn_now->sockets[conn_index(conn)]; }

static void conn_note(azc_conn *conn, char what, const void *bytes, size_t n) {
    char start[2] = {'\n', what};
    conn_append(&conn_of(conn)->log, start, 2);
    conn_append(&conn_of(conn)->log, bytes, n);
}
static void conn_note_number(azc_conn *conn, char what, long long number) {
    char text[24];
    conn_note(conn, what, text, (size_t)snprintf(text, sizeof text, "%lld", number));
}
static void conn_note_string(azc_conn *conn, char what, const char *s) {
    conn_note(conn, what, s != NULL ? s : "-", s != NULL ? strlen(s) : 1);
}

/* Lists, counts and lookups agree. */
static void conn_check_lists(void) {
    static const char *const rooms[] = {NULL, "a", "b"};
    uint64_t open = 0;
    int most = conn_now->server->room_count > 0 ? 3 : 1;
    for (int i = 0; i < 5; i++) {
        for (int j = 0; j < most; j++) {
            size_t n = 0;
            for (azc_cursor c = azc_members(conn_now->channels[i], rooms[j]); azc_cursor_next(&c); n++) {
                int in = j == 0;
                FUZZ_CHECK(azc_find(conn_now->server, azc_id(c.conn)) == c.conn);
                for (azc_cursor r = azc_rooms(c.conn); azc_cursor_next(&r);)
                    in |= j > 0 && strcmp(r.room, rooms[j]) == 0;
                FUZZ_CHECK(in && azc_channel_of(c.conn) == conn_now->channels[i]);
            }
            FUZZ_CHECK(n == azc_count(conn_now->channels[i], rooms[j]));
            for (azc_cursor c = azc_users(conn_now->channels[i], rooms[j]); azc_cursor_next(&c); n--)
                FUZZ_CHECK(strcmp(azc_user(c.conn), c.user) == 0);
            FUZZ_CHECK(n <= azc_count(conn_now->channels[i], rooms[j])); /* none twice */
            n = azc_count(conn_now->channels[i], rooms[j]);
            if (j == 0) open += n;
        }
    }
    FUZZ_CHECK(open == azc_stats(conn_now->server)->open);
}

static int conn_obey_line(azc_conn *self, const char *line, size_t n);

/* Walk a room, and do the rest of the line to each who is in it, or at each to the one whose digit
 * it has; then walk one's rooms, and leave them one by one (!) or all at the first (?). */
static void conn_walk(azc_conn *self, const char *rest, size_t n) {
    char line[32], room[2] = {n > 0 ? *rest : (char)0, 0};
    if (n > 1 && n < sizeof line && rest[1] != 'v') {
        azc_channel *channel = azc_channel_of(self);
        for (azc_cursor c = azc_members(channel, *room == '*' ? NULL : room); azc_cursor_next(&c);) {
            memcpy(line, rest + 1, n - 1);
            if (n > 2 && !(line[1] >= '0' && line[1] <= '9'))
                line[1] = (char)('0' + conn_index(c.conn));
            conn_obey_line(self, line, n - 1);
        }
    }
    for (azc_cursor c = azc_rooms(self); azc_cursor_next(&c);) {
        conn_note_string(self, 'v', c.room);
        if (n > 1 && rest[n - 1] == '!') azc_leave(self, c.room);
        if (n > 1 && rest[n - 1] == '?') azc_leave_all(self);
    }
}

static void conn_big(azc_conn *to, const char *rest, size_t n) {
    static char big[4000];
    size_t len = 0;
    memset(big, 'x', sizeof big);
    for (size_t i = 0; i < n && rest[i] >= '0' && rest[i] <= '9'; i++)
        len = (len * 10 + (size_t)(rest[i] - '0')) % sizeof big;
    azc_send_text(to, big, len);
    if (n > 4) azc_broadcast_binary(azc_channel_of(to), NULL, big, len, NULL);
}

static int conn_json(azc_conn *conn, const char *text, size_t n) {
    azc_json doc;
    char buf[300];
    int error = azc_json_read(&doc, text, n);
    if (error != AZC_OK) return error;
    azc_writer w = azc_put_begin(buf, sizeof buf);
    azc_put_json(&w, "got", doc);
    return azc_send_json(conn, &w);
}

static const azc_conn *conn_connecting; /* its on_connect runs */

/* Read all of the request, which is NULL after it. */
static void conn_ask(azc_conn *conn, int in_request) {
    FUZZ_CHECK((azc_method(conn) != NULL) == in_request);
    FUZZ_CHECK(in_request || (azc_header(conn, "Host") == NULL && azc_cookie(conn, "a") == NULL));
    conn_note_string(conn, 'p', azc_peer(conn));
    conn_note_string(conn, 't', azc_target(conn));
    conn_note_string(conn, 'a', azc_path(conn));
    FUZZ_CHECK((azc_path(conn) != NULL) == in_request);
    conn_note_string(conn, 'i', azc_param(conn, "id"));
    conn_note_string(conn, 's', azc_param(conn, "rest"));
    conn_note_string(conn, 'd', azc_query(conn, "do"));
    conn_note_string(conn, 'c', azc_subprotocol(conn));
    conn_note_string(conn, 'h', azc_header(conn, "X-Answer"));
    conn_note_string(conn, 'k', azc_cookie(conn, "a"));
}

/* One line: a verb, the digit of a socket (or anything for oneself), and the rest. The result is
 * the callback's. Every argument is allowed, also when the connection is closed already. */
static int conn_obey_line(azc_conn *self, const char *line, size_t n) {
    char rest[300];
    azc_conn *to = self;
    int result = 0;
    if (n == 0) return AZC_OK;
    if (n > 1 && line[1] >= '0' && line[1] < '0' + conn_now->taken) {
        const conn_socket *k = &conn_now->sockets[line[1] - '0'];
        to = k->id != 0 ? azc_find(conn_now->server, k->id) : NULL;
    }
    size_t len = n > 2 ? n - 2 : 0;
    if (len >= sizeof rest) len = sizeof rest - 1;
    memcpy(rest, len > 0 ? line + 2 : "", len);
    rest[len] = 0;
    azc_channel *channel = azc_channel_of(to);
    switch (*line) {
    case 'e': result = azc_send_text(to, rest, len); break;
    case 'E': result = azc_send_binary(to, rest, len); break;
    case 'g': result = azc_ping(to, rest, len); break;
    case 'b': result = azc_broadcast(channel, NULL, rest, len, self); break;
    case 'B': result = azc_broadcast_binary(channel, NULL, rest, len, NULL); break;
    case 'r': result = azc_broadcast(channel, "a", rest, len, NULL); break;
    case 'j': result = azc_join(to, rest); break;
    case 'l': result = azc_leave(to, rest); break;
    case 'L': result = azc_leave_all(to); break;
    case 'c':
        result = azc_close(to, atoi(rest), len > 5 ? rest + 5 : NULL);
        if (result == AZC_OK) conn_of(to)->excused = 1;
        break;
    case 'n': conn_big(to, rest, len); break;
    case 'I': result = azc_set_user(to, rest); break;
    case 'u': result = azc_send_user(channel, rest, rest, len); break;
    case 'k': result = azc_set_history(channel, "a", (size_t)(rest[0] & 7), 60); break;
    case 't': case 'T': case 'z': case 'Z':
        if (!conn_now->wild) break; /* what replaces what is a matter of cuts */
        if (*line == 't') send_latest(to, (uint64_t)(rest[0] & 3), rest, len);
        if (*line == 'T') sent_latest(channel, "a", rest[0] & 3, rest, len, self);
        if (*line == 'z') sent_throttled(channel, "a", rest[0] & 3, 40, rest, len);
        if (*line == 'Z') sent_batched(channel, len & 1 ? "b" : NULL, 40, rest, len);
        break;
    case 'v': if (to != NULL) conn_walk(to, rest, len); break;
    case 'q': conn_ask(self, self == conn_connecting); break;
    case 'J': return conn_json(self, rest, len);
    case 'x': return -(rest[0] & 31);
    case 'd':
        if (azc_data(self) != NULL) result = ++*(unsigned char *)azc_data(self);
        break;
    case 'C': memcpy(conn_now->words, rest, sizeof conn_now->words - 1); break;
    case 'S':
        if (conn_now->wild) azc_stop(conn_now->server), conn_now->stopped = 1;
        break;
    default:
        FUZZ_CHECK(azc_reply(self, 200, NULL, NULL, 0) == AZC_ERR_STATE);
        FUZZ_CHECK(azc_reply_header(self, "a", "b") == AZC_ERR_STATE);
        FUZZ_CHECK(azc_reply_later(self) == 0 && azc_reply_end(self) < 0);
        FUZZ_CHECK(azc_reply_part(to, rest, len) < 0);
    }
    if (*line != 'n' && *line != 'v') conn_note_number(self, *line, result);
    return AZC_OK;
}

static int conn_obey(azc_conn *conn, const char *text, size_t n) {
    int result = AZC_OK;
    while (n > 0) {
        const char *stop = (const char *)memchr(text, '\n', n);
        size_t len = stop != NULL ? (size_t)(stop - text) : n;
        int one = conn_obey_line(conn, text, len);
        if (result == AZC_OK) result = one;
        len += stop != NULL;
        text += len;
        n -= len;
    }
    return result;
}

/* A kind, two bytes of length, and the payload: see conn_check_heard. */
static void conn_hear(conn_socket *k, int opcode, const void *payload, size_t n) {
    uint8_t head[3] = {(uint8_t)opcode, (uint8_t)n, (uint8_t)(n >> 8)};
    conn_append(&k->heard, head, sizeof head);
    conn_append(&k->heard, payload, n);
}

static void conn_check_callback(azc_conn *conn, int opcode, const void *data, size_t n,
                                size_t most) {
    conn_socket *k = conn_of(conn);
    if (opcode != 0) conn_hear(k, opcode, data, n);
    FUZZ_CHECK(k->opened == 1 && k->ended == 0 && k->id == azc_id(conn));
    FUZZ_CHECK(azc_find(conn_now->server, k->id) == conn);
    FUZZ_CHECK(n <= most && ((const char *)data)[n] == 0);
    FUZZ_CHECK(azc_server_of(conn) == conn_now->server && azc_userdata(conn) == conn_worlds);
}

static int conn_take_time(azc_conn *conn, const char *how);
static int conn_on_upgrade(azc_conn *conn) {
    const char *up = azc_query(conn, "up");
    conn_ask(conn, 1);
    FUZZ_CHECK(azc_send_text(conn, "x", 1) == AZC_ERR_STATE);
    FUZZ_CHECK(azc_join(conn, "a") == AZC_ERR_STATE && azc_leave_all(conn) == AZC_ERR_STATE);
    FUZZ_CHECK(azc_close(conn, 1000, NULL) == AZC_ERR_STATE);
    if (azc_data(conn) != NULL) memset(azc_data(conn), 1, 24);
    if (up != NULL && *up == 'r') azc_reply(conn, atoi(up + 1), "text/x", "no", 2);
    if (up != NULL && *up == 'h') azc_reply_header(conn, "X-Up", up);
    if (up != NULL && *up == 'l') return conn_take_time(conn, up + 1);
    return up != NULL && *up != 'r' && *up != 'h' ? atoi(up) : AZC_OK;
}
static int conn_on_connect(azc_conn *conn) {
    conn_socket *k = conn_of(conn);
    const char *script = azc_query(conn, "do");
    FUZZ_CHECK(k->opened++ == 0 && k->ended == 0);
    k->id = azc_id(conn);
    k->parted = conn->channel->on_part != NULL;
    k->deaf = conn->channel->desc.on_message == NULL && !k->parted;
    k->texts = !k->deaf && !k->parted && conn->channel->desc.on_binary == NULL;
    conn_note_string(conn, 'O', azc_target(conn));
    conn_connecting = conn;
    int result = script != NULL ? conn_obey(conn, script, strlen(script)) : AZC_OK;
    conn_connecting = NULL;
    return result;
}
/* Pass the message on as it came (=), without its last byte (<) or its first (>). */
static void conn_relay(azc_conn *conn, const char *text, size_t len) {
    size_t from = *text == '>', n = len - (*text != '=');
    int valid = fuzz_text(text + from, n, NULL) == 1;
    int result = azc_broadcast(azc_channel_of(conn), NULL, text + from, n, NULL);
    FUZZ_CHECK((result == AZC_ERR_UTF8) == !valid);
    result = azc_send_text(conn, text + from, n);
    FUZZ_CHECK(result == AZC_ERR_CLOSED || (result == AZC_ERR_UTF8) == !valid);
}
static int conn_on_message(azc_conn *conn, const char *text, size_t len) {
    conn_check_callback(conn, 1, text, len, conn_now->server->config.max_message);
    FUZZ_CHECK(fuzz_text(text, len, NULL) == 1);
    if (len > 0 && strchr("=<>", *text) != NULL && *text != 0) conn_relay(conn, text, len);
    return conn_obey(conn, text, len);
}
static int conn_on_binary(azc_conn *conn, const void *data, size_t len) {
    conn_check_callback(conn, 2, data, len, conn_now->server->config.max_message);
    if (conn_now->wild) {
        FUZZ_CHECK(azc_poll(conn_now->server, 0) == AZC_ERR_STATE);
        FUZZ_CHECK(azc_run(conn_now->server) == AZC_ERR_STATE);
        FUZZ_CHECK(azc_destroy(conn_now->server) == AZC_ERR_STATE);
    }
    int result = azc_send_binary(conn, data, len);
    return result == AZC_OK || len % 3 > 0 ? AZC_OK : result;
}
/* The parts of a message are it, whatever their cuts. */
static int conn_on_part(azc_conn *conn, const void *data, size_t len, int flags) {
    conn_socket *k = conn_of(conn);
    conn_check_callback(conn, 0, data, len, conn_now->server->config.read_buffer);
    FUZZ_CHECK(len > 0 || flags & AZC_PART_LAST);
    FUZZ_CHECK(!(flags & AZC_PART_FIRST) == (k->parted > 1));
    if (flags & AZC_PART_FIRST) k->parts.len = 0;
    k->parted = flags & AZC_PART_LAST ? 1 : 2;
    conn_append(&k->parts, data, len);
    if (!(flags & AZC_PART_LAST)) return AZC_OK;
    size_t n = k->parts.len;
    conn_append(&k->parts, "", 1);
    if (!(flags & AZC_PART_TEXT)) {
        conn_check_callback(conn, 2, k->parts.p, n, SIZE_MAX);
        return AZC_OK;
    }
    conn_check_callback(conn, 1, k->parts.p, n, SIZE_MAX);
    FUZZ_CHECK(fuzz_text(k->parts.p, n, NULL) == 1);
    return conn_obey(conn, (const char *)k->parts.p, n);
}
/* A user came or left, and so it is. */
static void conn_on_presence(azc_channel *channel, const char *room, const char *user, int here) {
    int found = 0;
    for (azc_cursor c = azc_users(channel, room); azc_cursor_next(&c);)
        found += strcmp(c.user, user) == 0;
    FUZZ_CHECK(found == here);
    if (conn_now->wild) azc_broadcast(channel, room, user, strlen(user), NULL);
}
static int conn_on_ping(azc_conn *conn, const void *data, size_t len) {
    conn_check_callback(conn, 9, data, len, AZC__MAX_CONTROL);
    return conn_obey(conn, (const char *)data, len);
}
static int conn_on_pong(azc_conn *conn, const void *data, size_t len) {
    conn_check_callback(conn, 10, data, len, AZC__MAX_CONTROL);
    return conn_obey(conn, (const char *)data, len);
}
static int conn_on_drain(azc_conn *conn) {
    conn_check_callback(conn, 0, "", 0, 0);
    FUZZ_CHECK(conn_now->wild && azc_backlog(conn) <= conn_now->server->config.max_backlog / 2);
    return azc_send_text(conn, "drained", 7);
}
static void conn_on_close(azc_conn *conn, int code, const char *reason) {
    conn_socket *k = conn_of(conn);
    FUZZ_CHECK(k->opened == 1 && k->ended++ == 0);
    FUZZ_CHECK(code == 1005 || code == 1006 || azc__close_code_valid((uint64_t)code));
    FUZZ_CHECK(strlen(reason) <= 123 && fuzz_text(reason, strlen(reason), NULL) == 1);
    FUZZ_CHECK(azc_find(conn_now->server, k->id) == NULL);
    FUZZ_CHECK(azc_send_text(conn, "x", 1) == AZC_ERR_CLOSED);
    FUZZ_CHECK(azc_join(conn, "a") == AZC_ERR_CLOSED);
    k->code = code;
    conn_note_number(conn, 'X', code);
    conn_note_string(conn, 'X', reason);
    conn_walk(conn, "", 0);
    if (conn_now->wild) conn_obey(conn, conn_now->words, strlen(conn_now->words));
}
static void conn_on_error(azc_conn *conn, int error) {
    conn_note_number(conn, 'E', error);
    if (error == AZC_ERR_APP) conn_obey(conn, conn_now->words, strlen(conn_now->words));
}

/* ---- Answers that take time: what handler and callbacks share ends once ---- */

typedef struct conn_later {
    uint64_t id;
    int how;     /* 1: in parts, 2: chunked; 0: whole */
    size_t left; /* bytes */
} conn_later;

static void conn_later_end(conn_later *l) {
    FUZZ_CHECK(--conn_now->pending >= 0);
    free(l);
}
static int conn_feed(azc_conn *conn, size_t room, void *user) {
    static const char bytes[64] = "0123456789012345678901234567890123456789012345678901234567890";
    conn_later *l = (conn_later *)user;
    size_t n = l->left < 7 ? l->left : 7;
    if (room == 0) return conn_later_end(l), AZC_OK;
    FUZZ_CHECK(azc_find(conn_now->server, azc_id(conn)) == conn && azc_peer(conn) != NULL);
    if (l->left == 0) return azc_reply_end(conn);
    int result = azc_reply_part(conn, bytes, n); /* max_backlog may be 1 */
    if (result == AZC_ERR_FULL) result = azc_reply_part(conn, bytes, n = 1);
    if (result == AZC_OK) l->left -= n;
    if (result == AZC_OK && l->left == 0 && l->how == 2) return azc_reply_end(conn);
    return result == AZC_ERR_FULL ? AZC_OK : result;
}
static int conn_feed_begin(azc_conn *conn, conn_later *l) {
    return azc_reply_begin(conn, 200, "text/x", l->how == 2 ? AZC_CHUNKED : l->left, conn_feed, l);
}

/* The task that answers. */
static void conn_later_now(azc_server *s, void *arg) {
    conn_later *l = (conn_later *)arg;
    azc_conn *conn = azc_find(s, l->id);
    if (conn != NULL && l->how > 0) {
        conn_feed_begin(conn, l);
        return;
    }
    if (conn != NULL) {
        conn_note_string(conn, 'w', azc_target(conn));
        conn_note_string(conn, 'w', azc_param(conn, "how"));
        if (azc_reply(conn, 200, "text/x", azc_target(conn), AZC_NUL) != AZC_OK)
            azc_reply(conn, 204, NULL, NULL, 0);
    }
    conn_later_end(l);
}

/* how: 0 to 2, as above, at once if parts are to come; 3 to 5: from a task. */
static int conn_take_time(azc_conn *conn, const char *how) {
    int n = *how - '0';
    if (n < 0 || n > 5) return 404;
    conn_later *l = (conn_later *)malloc(sizeof *l);
    if (l == NULL) abort();
    l->how = n % 3;
    l->left = strlen(azc_target(conn));
    conn_now->pending++;
    if (n == 1 || n == 2) return conn_feed_begin(conn, l);
    l->id = azc_reply_later(conn);
    if (l->id != 0 && azc_post(conn_now->server, conn_later_now, l) == AZC_OK) return AZC_OK;
    FUZZ_CHECK(conn_now->wild);
    conn_later_end(l);
    return 503;
}
static int conn_slow(azc_conn *conn, void *user) {
    size_t len = 0;
    const char *body = azc_body(conn, &len);
    FUZZ_CHECK(user == conn_worlds && body != NULL && body[len] == 0);
    conn_note(conn, 'B', body, len);
    return conn_take_time(conn, azc_param(conn, "how"));
}
static int conn_slow_part(azc_conn *conn, const void *data, size_t len, int flags) {
    FUZZ_CHECK(((const char *)data)[len] == 0);
    if (flags & AZC_PART_LOST) return AZC_OK;
    const char *early = azc_query(conn, "early");
    return flags & (early ? AZC_PART_FIRST : AZC_PART_LAST)
               ? conn_take_time(conn, azc_param(conn, "how")) : AZC_OK;
}

/* The chain: sees every request that is sound, and answers some. */
static int conn_use(azc_conn *conn, void *user) {
    conn_socket *k = conn_of(conn);
    const char *answer = azc_header(conn, "X-Answer");
    FUZZ_CHECK(user == conn_worlds);
    if (k->requests < CONN_HEADS)
        k->head_only[k->requests] = (uint8_t)(strcmp(azc_method(conn), "HEAD") == 0);
    k->requests++;
    conn_ask(conn, 1);
    if (answer == NULL) return AZC_OK;
    if (*answer == 'L') return conn_take_time(conn, answer + 1);
    if (*answer == 'r') return azc_reply(conn, atoi(answer + 1), "text/x", answer, strlen(answer));
    azc_reply_header(conn, "X-Answered", answer);
    return atoi(answer);
}
static int conn_page(azc_conn *conn, void *user) {
    const char *rest = azc_param(conn, "rest");
    FUZZ_CHECK(user == conn_worlds && rest != NULL);
    if (azc_query(conn, "fail") != NULL) return AZC_ERR_APP;
    return azc_reply(conn, azc_query(conn, "gone") != NULL ? 204 : 200, "text/x", rest,
                     strlen(rest));
}
static void conn_log(void *user, int level, const char *message) {
    (void)level;
    FUZZ_CHECK(user == conn_worlds && strchr(message, '\n') == NULL && *message != 0);
}

static void conn_config(azc_config *config, unsigned limits) {
    static const size_t few[] = {64, 1, 300, 0}, messages[] = {300, 125, 40, 2000};
    memset(config, 0, sizeof *config);
    config->max_request = 700;
    config->read_buffer = 4096;
    config->max_message = messages[limits & 3];
    config->max_body = 200;
    config->max_backlog = 64 << 20; /* never full, unless the run is wild */
    config->handshake_ms = 1000;
    config->ping_ms = conn_now->wild ? 2000 : -1; /* a read counts as progress, and so may delay a
                                                     ping: cuts would make a difference */
    config->pong_ms = 500;
    config->close_ms = 300;
    config->origins = limits & 4 ? "*" : NULL;
    config->log = conn_log;
    config->log_userdata = conn_worlds;
    config->alloc = fuzz_alloc;
    config->alloc_userdata = &conn_now->memory;
    if (!conn_now->wild) return;
    config->max_backlog = few[limits & 3];
    config->read_buffer = limits & 4 ? 64 : 4096;
    config->max_connections = limits & 8 ? 2 : 0;
    config->max_per_address = limits & 16 ? 1 : 0;
}

static void conn_serve(unsigned limits) {
    static const char *const paths[] = {"/chat", "/rooms/:id", "/quiet", "/parts", "/texts"};
    static const char page[] = "<p>hello</p>";
    azc_config config;
    azc_channel_desc desc;
    conn_config(&config, limits);
    azc_server *s = conn_now->server = azc_create(&config);
    azc_use(s, conn_use, conn_worlds);
    for (int i = 0; i < 5; i++) {
        memset(&desc, 0, sizeof desc);
        desc.path = paths[i];
        desc.userdata = conn_worlds;
        desc.on_connect = conn_on_connect;
        desc.on_close = conn_on_close;
        if (i >= 3) desc.on_ping = conn_on_ping, desc.on_pong = conn_on_pong;
        if (i == 4) desc.on_message = conn_on_message;
        if (i < 2) {
            desc.subprotocols = "v2.chat, v1.chat";
            desc.data_size = 24;
            desc.when_full = i == 1 ? AZC_FULL_DROP : AZC_FULL_CLOSE;
            desc.on_upgrade = conn_on_upgrade;
            desc.on_message = conn_on_message;
            desc.on_binary = conn_on_binary;
            desc.on_ping = conn_on_ping;
            desc.on_pong = conn_on_pong;
            desc.on_drain = conn_on_drain;
            desc.on_error = i == 1 ? conn_on_error : NULL;
        }
        azc_channel *channel = conn_now->channels[i] = azc_add_channel(s, &desc);
        if (i < 2) azc_on_presence(channel, conn_on_presence);
        if (i == 3) azc_on_part(channel, conn_on_part);
    }
    azc_add_page(s, "/", "text/html", page, sizeof page - 1);
    azc_add_page(s, "/chat", NULL, page, sizeof page - 1);
    azc_add_handler(s, "/page/*rest", conn_page, conn_worlds);
    azc_add_handler(s, "/slow/:how", conn_slow, conn_worlds);
    azc_add_endpoint(s, "POST", "/slow/:how", conn_slow, conn_worlds);
    azc_add_upload(s, "PUT", "/slow/:how", conn_slow_part, 0, NULL);
    FUZZ_CHECK(azc_listen(s) == AZC_OK);
}

/* ---- What a peer may be sent ----------------------------------------------------------------- */

static const uint8_t *conn_line_end(const uint8_t *p, const uint8_t *end) {
    while (end - p >= 2 && (p[0] != '\r' || p[1] != '\n')) p++;
    return end - p >= 2 ? p : NULL;
}
static int conn_line_is(const uint8_t *p, const uint8_t *end, const char *start) {
    size_t n = strlen(start);
    return (size_t)(end - p) >= n && memcmp(p, start, n) == 0;
}

/* ---- The messages that the program must receive ---------------------------------------------- */

typedef struct conn_hearing {
    const conn_socket *socket;
    const uint8_t *p, *end; /* of its heard */
    size_t max_message;
    int deaf; /* the program stopped to listen: it closed */
} conn_hearing;

/* This is its next message, unless it had closed by then. */
static void conn_expect(conn_hearing *h, int opcode, const uint8_t *payload, size_t n) {
    if (h->socket->deaf || h->deaf) return;
    if (h->p == h->end) {
        FUZZ_CHECK(h->socket->excused);
        h->deaf = 1;
        return;
    }
    FUZZ_CHECK(h->p[0] == opcode && (h->p[1] | h->p[2] << 8) == (int)n);
    if (n > 0) FUZZ_CHECK(memcmp(h->p + 3, payload, n) == 0);
    h->p += 3 + n;
}

/* Nothing more, but on_close with this code. */
static void conn_expect_end(conn_hearing *h, int code) {
    FUZZ_CHECK(h->p == h->end);
    FUZZ_CHECK(h->socket->ended && (h->socket->code == code || h->socket->excused));
    FUZZ_CHECK(h->socket->told == h->socket->code || h->socket->excused);
}

/* A client's frames, and the code with which they end: 1006 when they just end. RFC 6455 5, 7.4 */
static int conn_frames_wanted(conn_hearing *h, const uint8_t *p, const uint8_t *end) {
    static uint8_t message[4096], control[125];
    size_t have = 0, good = 0;
    int open = 0;
    while (p < end) {
        size_t n = (size_t)(end - p), head = 2, len;
        int opcode = p[0] & 15, fin = p[0] >> 7;
        if (p[0] & 0x70 || (opcode > 2 && opcode < 8) || opcode > 10) return 1002;
        if (opcode >= 8 && !fin) return 1002;
        if (opcode == 0 ? !open : opcode < 8 && open) return 1002;
        if (n < 2) break;
        len = p[1] & 127;
        if (!(p[1] & 0x80) || (opcode >= 8 && len > 125) || (opcode == 8 && len == 1)) return 1002;
        if (len == 127 && n > 2 && p[2] & 0x80) return 1002;
        if (len > 125) head = len == 126 ? 4 : 10;
        if (n < head) break;
        if (head > 2) {
            uint64_t wide = 0;
            for (size_t i = 2; i < head; i++) wide = wide << 8 | p[i];
            if (wide <= (head == 4 ? 125 : 65535)) return 1002;
            if (wide > h->max_message) return 1009;
            len = (size_t)wide;
        }
        if (opcode < 8 && len > h->max_message - have) return 1009;
        if (n < head + 4) break;
        const uint8_t *mask = p + head;
        p += head + 4;
        n = (size_t)(end - p) < len ? (size_t)(end - p) : len;
        uint8_t *to = opcode < 8 ? message + have : control;
        for (size_t i = 0; i < n; i++) to[i] = p[i] ^ mask[i & 3];
        p += n;
        if (opcode == 1 || opcode == 2) open = opcode;
        if (opcode < 8) have += n;
        if (opcode < 8 && open == 1 && fuzz_text(message, have, &good) < 0) return 1007;
        if (n < len) break;
        if (opcode == 9 || opcode == 10) conn_expect(h, opcode, control, len);
        if (opcode == 8 && len == 0) return 1005;
        if (opcode == 8) {
            unsigned code = (unsigned)control[0] << 8 | control[1];
            if (code < 1000 || code >= 5000 || (code > 1003 && code < 1007) ||
                (code > 1014 && code < 3000)) return 1002;
            return fuzz_text(control + 2, len - 2, &good) == 1 ? (int)code : 1007;
        }
        if (opcode >= 8 || !fin) continue;
        if (open == 1 && good < have) return 1007;
        if (open == 2 && h->socket->texts) return 1003;
        conn_expect(h, open, message, have);
        have = 0;
        open = 0;
    }
    return 1006;
}

/* All that the peer sent behind its upgrade, and nothing else, reached the program. */
static void conn_check_heard(const conn_socket *k, size_t max_message) {
    if (!k->opened) return;
    const uint8_t *p = k->sent.p, *end = p + k->sent.len, *heard = k->heard.p;
    conn_hearing h = {k, heard, k->heard.len > 0 ? heard + k->heard.len : heard, max_message, 0};
    for (int i = 0; i < k->requests; i++) { /* the last one is it */
        p += memcmp(p, "\r\n", 2) == 0 ? 2 : 0;
        while (memcmp(p, "\r\n\r\n", 4) != 0) p++;
        p += 4;
    }
    conn_expect_end(&h, conn_frames_wanted(&h, p, end));
}

/* Server's frames (RFC 6455 5.2): unmasked, whole, in the shortest form; nothing after Close. */
static void conn_check_frames(conn_socket *k, const uint8_t *p, const uint8_t *end, int whole) {
    const uint8_t *heard = k->heard.p, *last = k->heard.len > 0 ? heard + k->heard.len : heard;
    while (p < end) {
        size_t n = (size_t)(end - p), head = 2, len;
        int opcode = *p & 15;
        FUZZ_CHECK((*p & 0xF0) == 0x80);
        FUZZ_CHECK(opcode == 1 || opcode == 2 || (opcode >= 8 && opcode <= 10));
        if (n < 2) break;
        FUZZ_CHECK(p[1] < 127 && (opcode < 8 || p[1] < 126)); /* none here is as long as that */
        len = p[1];
        if (len == 126) {
            head = 4;
            if (n < 4) break;
            len = (size_t)p[2] << 8 | p[3];
            FUZZ_CHECK(len > 125);
        }
        if (n < head + len) break;
        const uint8_t *payload = p + head;
        if (opcode == 1) FUZZ_CHECK(fuzz_text(payload, len, NULL) == 1);
        if (opcode == 10 && !k->deaf && whole) { /* a pong, for the next ping that was received */
            while (heard < last && *heard != 9) heard += 3 + (heard[1] | heard[2] << 8);
            FUZZ_CHECK(heard < last && heard[1] == len && memcmp(heard + 3, payload, len) == 0);
            heard += 3 + len;
        }
        p = payload + len;
        if (opcode != 8) continue;
        FUZZ_CHECK(p == end && len != 1);
        k->told = len == 0 ? 1005 : payload[0] << 8 | payload[1];
        if (len == 0) return;
        FUZZ_CHECK(azc__close_code_valid((uint64_t)k->told));
        FUZZ_CHECK(fuzz_text(payload + 2, len - 2, NULL) == 1);
    }
    FUZZ_CHECK(p == end || !whole);
}

/* The end of a chunked body; NULL if that is cut off. */
static const uint8_t *conn_check_chunks(const uint8_t *p, const uint8_t *end, int whole) {
    for (;;) {
        const uint8_t *stop = conn_line_end(p, end);
        FUZZ_CHECK(stop != NULL || !whole);
        if (stop == NULL) return NULL;
        size_t n = 0;
        FUZZ_CHECK(stop > p && stop - p < 8 && (*p != '0' || stop - p == 1));
        for (; p < stop; p++) n = n * 16 + (size_t)azc__hex((const char *)p, 1);
        p += 2;
        FUZZ_CHECK((size_t)(end - p) >= n + 2 || !whole);
        if ((size_t)(end - p) < n + 2) return NULL;
        FUZZ_CHECK(p[n] == '\r' && p[n + 1] == '\n');
        p += n + 2;
        if (n == 0) return p;
    }
}

/* Answers, each to a request in its turn, then frames. whole: nothing may be cut off. */
static void conn_check_output(conn_socket *k, int whole) {
    const uint8_t *p = k->out.p, *end = k->out.len > 0 ? p + k->out.len : p;
    for (int i = 0; p < end; i++) {
        size_t length = 0;
        int close = 0, sized = 0, upgrade = 0, accept = 0, chunked = 0;
        const uint8_t *line = p, *stop = conn_line_end(p, end);
        FUZZ_CHECK(stop != NULL || !whole);
        if (stop == NULL) return;
        FUZZ_CHECK(stop - p > 13 && conn_line_is(p, stop, "HTTP/1.1 ") && p[12] == ' ');
        int status = (p[9] - '0') * 100 + (p[10] - '0') * 10 + p[11] - '0';
        FUZZ_CHECK(status == 101 || status == 100 || (status >= 200 && status <= 599));
        for (line = stop + 2; (stop = conn_line_end(line, end)) != NULL && stop > line;
             line = stop + 2) {
            FUZZ_CHECK(memchr(line, ':', (size_t)(stop - line)) != NULL);
            for (const uint8_t *c = line; c < stop; c++) FUZZ_CHECK(*c >= 32 || *c == '\t');
            close |= conn_line_is(line, stop, "Connection: close");
            upgrade |= conn_line_is(line, stop, "Connection: Upgrade");
            accept |= conn_line_is(line, stop, "Sec-WebSocket-Accept: ") && stop - line == 22 + 28;
            chunked += conn_line_is(line, stop, "Transfer-Encoding: chunked");
            if (!conn_line_is(line, stop, "Content-Length: ")) continue;
            FUZZ_CHECK(!sized);
            sized = 1;
            for (const uint8_t *c = line + 16; c < stop; c++) length = length * 10 + (*c - '0');
        }
        FUZZ_CHECK(stop != NULL || !whole);
        if (stop == NULL) return;
        p = stop + 2;
        if (status == 100) {
            i--;
            continue;
        }
        FUZZ_CHECK(sized + chunked <= 1);
        int http10 = !sized && !chunked && close && status == 200; /* its end is the body's */
        FUZZ_CHECK((sized || chunked || http10) ==
                   (status != 101 && status != 204 && status != 304));
        FUZZ_CHECK((status == 101) == upgrade && upgrade == accept);
        if (status == 101) {
            FUZZ_CHECK(k->opened == 1);
            k->told = 1006; /* unless there is a Close */
            conn_check_frames(k, p, end, whole);
            return;
        }
        int head_only = i < k->requests && i < CONN_HEADS && k->head_only[i];
        if (chunked && !head_only && (p = conn_check_chunks(p, end, whole)) == NULL) return;
        if (http10) p = end;
        if (head_only) length = 0;
        else if (i >= k->requests && p == end) length = 0; /* a HEAD that was refused early */
        FUZZ_CHECK((size_t)(end - p) >= length || !whole);
        if ((size_t)(end - p) < length) return;
        p += length;
        FUZZ_CHECK(close || status < 400);
        FUZZ_CHECK(!close || p == end);
    }
}

/* ---- A run ----------------------------------------------------------------------------------- */

static void conn_poll(void) {
    azc_server *s = conn_now->server;
    if (conn_now->unpooled) s->mem.pool->bytes = AZC__POOL; /* full: ASan sees each free */
    int result = azc_poll(s, 0);
    FUZZ_CHECK(result == 1 || (result == 0 && conn_now->stopped));
    for (int i = 0; i < conn_now->taken; i++) {
        if (conn_now->sockets[i].closed || conn_now->sockets[i].id == 0) continue;
        const azc_conn *conn = azc_find(s, conn_now->sockets[i].id);
        if (conn == NULL) continue;
        size_t queued = 0, bytes = 0; /* a replay does not count in the backlog, a key's structs do */
        for (const azc__piece *p = conn->out.head; p != NULL; p = p->next) {
            uint32_t kind = p->block != NULL ? p->kind : 0;
            queued += p->len;
            bytes += kind == AZC__REPLAY ? 0 : kind == AZC__KEYED ? p->len + p->lost : p->len;
        }
        FUZZ_CHECK(queued == conn->out.bytes && bytes == azc_backlog(conn));
        FUZZ_CHECK(bytes <= s->pause || !(conn->source.events & AZC__EVENT_READ));
        FUZZ_CHECK(bytes <= s->config.max_backlog + 2 * (AZC__MAX_CONTROL + 4) + AZC__SLACK);
    }
}

/* Bytes from a peer, in one piece or in cuts: seldom byte by byte, mostly one or two. */
static void conn_deliver(conn_socket *k, const uint8_t *p, size_t n, fuzz_cuts *cuts) {
    static const size_t most[] = {1, 3, 10, 40, 100, 100, 300, 1000};
    if (cuts != NULL) cuts->most = most[fuzz_random(&cuts->state) >> 5 & 7];
    if (cuts != NULL && cuts->most * 8 < n) cuts->most = most[fuzz_random(&cuts->state) >> 5 & 7];
    while (n > 0) {
        size_t piece = cuts != NULL ? fuzz_cut(cuts, n) : n;
        k->in = p;
        k->in_len = piece;
        conn_append(&k->sent, p, piece);
        for (int i = 0; i < 500 && k->in_len > 0 && !k->closed; i++) conn_poll();
        k->in_len = 0; /* not read: it is closed, or stalled for good */
        p += piece;
        n -= piece;
    }
    for (int i = 0; i < 500 && conn_now->pending > 0; i++) conn_poll();
    for (int i = 0; i < 5; i++) conn_poll();
}

static void conn_frame(conn_socket *k, int first, const uint8_t *payload, size_t n,
                       fuzz_cuts *cuts) {
    static uint8_t frame[8 + 1024];
    uint64_t mask = fuzz_random(&conn_now->mask);
    size_t head = n < 126 ? 2 : 4;
    if (n > 1024) n = 1024;
    frame[0] = (uint8_t)first;
    frame[1] = (uint8_t)(0x80 | (n < 126 ? n : 126));
    if (head == 4) frame[2] = (uint8_t)(n >> 8), frame[3] = (uint8_t)n;
    memcpy(frame + head, &mask, 4);
    for (size_t i = 0; i < n; i++) frame[head + 4 + i] = payload[i] ^ frame[head + (i & 3)];
    conn_deliver(k, frame, head + 4 + n, cuts);
}

/* A request for one of the known targets, or for one that the input spells out. */
static void conn_request(conn_socket *k, fuzz_input *in, const char *method, int upgrade,
                         fuzz_cuts *cuts) {
    static const char *const targets[] = {
        "/chat", "/rooms/7", "/quiet", "/", "/page/a/b?x=1", "/rooms/8?up=403", "/nowhere",
        "/chat?do=j-a", "/rooms/a%20b?do=ja%0Aj-b", "/rooms/9?up=h2&do=qa", "/rooms/9?up=r200",
        "/parts", "/chat?do=I-ada%0Aj-a", "/texts", "/slow/1", "/slow/2?x=1", "/slow/3",
        "/slow/4", "/slow/5?and-more", "/rooms/9?up=l4"};
    char head[600];
    size_t n = 0;
    unsigned which = fuzz_byte(in) & 31, known = sizeof targets / sizeof *targets;
    const char *own = (const char *)in->p;
    if (which >= known) n = fuzz_byte(in), own = (const char *)fuzz_take(in, &n);
    if (n > 200) n = 200;
    int len = snprintf(head, sizeof head, "%s %.*s HTTP/1.1\r\nHost: h\r\n%s\r\n", method,
                       which < known ? 100 : (int)n, which < known ? targets[which] : own,
                       upgrade ? "Upgrade: websocket\r\nConnection: Upgrade\r\n"
                                 "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Protocol: v1.chat\r\n"
                                 "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n" : "");
    conn_deliver(k, (const uint8_t *)head, (size_t)len, cuts);
}

/* Bytes that belong to a step: a length (255: two more bytes of it), then so many. */
static const uint8_t *conn_argument(fuzz_input *in, size_t *n) {
    *n = fuzz_byte(in);
    if (*n == 255) *n = fuzz_byte(in) | (size_t)fuzz_byte(in) << 8;
    return fuzz_take(in, n);
}

static void conn_step(fuzz_input *in, fuzz_cuts *cuts) {
    unsigned step = fuzz_byte(in) & 15, who = fuzz_byte(in) & 7;
    size_t n = 0;
    if (conn_now->count < CONN_MOST && (int)who >= conn_now->count) {
        who = (unsigned)conn_now->count++;
        conn_now->sockets[who].window = SIZE_MAX;
        conn_poll();
    }
    conn_socket *k = &conn_now->sockets[who % CONN_MOST];
    azc_conn *conn = k->id != 0 ? azc_find(conn_now->server, k->id) : NULL;
    const uint8_t *p = step == 1 || (step >= 4 && step <= 11) || step == 0 ? conn_argument(in, &n)
                                                                           : NULL;
    if (k->eof && step != 0 && step < 13) return;
    switch (step) {
    case 1: conn_deliver(k, p, n, cuts); break;                        /* a: any bytes */
    case 2: conn_request(k, in, "GET", 1, cuts); break;                /* b: an upgrade */
    case 3:                                                            /* c: a page */
        conn_request(k, in, who & 1 ? "HEAD" : "GET", 0, cuts);
        break;
    case 4: conn_frame(k, 0x81, p, n, cuts); break;                    /* d: a text message */
    case 5: conn_frame(k, 0x01, p, n, cuts); break;                    /* e: its first fragment, */
    case 6: conn_frame(k, 0x00, p, n, cuts); break;                    /* f: the next, */
    case 7: conn_frame(k, 0x80, p, n, cuts); break;                    /* g: the last */
    case 8: conn_frame(k, 0x82, p, n, cuts); break;                    /* h: a binary message */
    case 9: conn_frame(k, 0x89, p, n, cuts); break;                    /* i: a ping */
    case 10: conn_frame(k, 0x8A, p, n, cuts); break;                   /* j: a pong */
    case 11: conn_frame(k, 0x88, p, n, cuts); break;                   /* k: a Close */
    case 12: k->eof = 1, conn_poll(); break;                           /* l: the end of TCP */
    case 13:                                                           /* m: a reset */
        k->reset |= conn_now->wild;
        conn_poll();
        break;
    case 14:                                                           /* n: reads so much, then */
        n = fuzz_byte(in);                                             /*    stalls; z: all */
        if (conn_now->wild) k->window = n == 'z' ? SIZE_MAX : n * n;
        conn_poll();
        break;
    case 15:                                                           /* o: time passes */
        conn_now->now += 1 + 20 * (int64_t)fuzz_byte(in);
        conn_poll();
        for (int i = 0; i < conn_now->count; i++)
            conn_now->sockets[i].excused |= conn_now->sockets[i].ended;
        break;
    default:                                                           /* p: between two polls */
        if (conn != NULL) conn_obey(conn, (const char *)p, n);
        conn_poll();
    }
}

/* Everybody goes; then all is as before. */
static void conn_end(int at_once) {
    azc_server *s = conn_now->server;
    size_t max_message = s->config.max_message;
    conn_now->memory.fail = 0;
    for (int i = 0; i < conn_now->taken && !at_once; i++) {
        conn_now->sockets[i].eof = 1;
        conn_now->sockets[i].window = SIZE_MAX;
        conn_poll();
    }
    if (!at_once) azc_stop(s), conn_now->stopped = 1;
    for (int i = 0; i < 20 && !at_once && azc_poll(s, 0) != 0; i++) conn_now->now += 100;
    if (!at_once) FUZZ_CHECK(azc_poll(s, 0) == 0 && s->conn_count == 0);
    FUZZ_CHECK(azc_destroy(s) == AZC_OK);
    FUZZ_CHECK(conn_now->memory.bytes == 0 && conn_now->memory.blocks == 0);
    FUZZ_CHECK(conn_now->pending == 0);
    for (int i = 0; i < conn_now->count; i++) {
        conn_socket *k = &conn_now->sockets[i];
        FUZZ_CHECK(k->opened == k->ended && k->accepted == k->closed);
        conn_check_output(k, !conn_now->wild);
        if (!conn_now->wild) conn_check_heard(k, k->parted ? SIZE_MAX : max_message);
    }
}

static void conn_run(conn_world *world, fuzz_input in, unsigned wild, unsigned limits,
                     unsigned seed, int cut, unsigned fail, azc_statistics *stats) {
    fuzz_cuts cuts = fuzz_cuts_from(seed);
    conn_now = world;
    for (int i = 0; i < CONN_MOST; i++) { /* the buffers stay */
        conn_socket *k = &world->sockets[i];
        conn_bytes *all[] = {&k->sent, &k->out, &k->log, &k->heard, &k->parts}, kept[5];
        for (int j = 0; j < 5; j++) kept[j] = *all[j];
        memset(k, 0, sizeof *k);
        for (int j = 0; j < 5; j++) {
            *all[j] = kept[j];
            all[j]->len = 0;
        }
    }
    world->count = world->taken = world->stopped = world->pending = 0;
    world->wake = 0;
    world->now = 100000;
    world->mask = seed;
    world->wild = (int)wild;
    world->unpooled = !(limits & 64);
    memset(world->words, 0, sizeof world->words);
    memset(&world->memory, 0, sizeof world->memory);
    conn_serve(limits);
    world->memory.fail = fail;
    while (in.p < in.end && !world->stopped) {
        conn_step(&in, cut ? &cuts : NULL);
        conn_check_lists();
    }
    *stats = *azc_stats(world->server);
    conn_end(wild && limits & 32);
}

static int conn_same(const conn_bytes *a, const conn_bytes *b) {
    return a->len == b->len && (a->len == 0 || memcmp(a->p, b->p, a->len) == 0);
}
static void conn_compare(const conn_socket *a, const conn_socket *b) {
    FUZZ_CHECK(a->opened == b->opened && a->ended == b->ended && a->requests == b->requests);
    FUZZ_CHECK(conn_same(&a->log, &b->log) && conn_same(&a->heard, &b->heard));
    FUZZ_CHECK(conn_same(&a->out, &b->out));
}

int FUZZ_TARGET(const uint8_t *data, size_t size) {
    azc_statistics whole, cut;
    fuzz_input in = {data, data + (size > 2048 ? 2048 : size)};
    unsigned wild = fuzz_byte(&in) & 1, limits = fuzz_byte(&in), seed = fuzz_byte(&in);
    unsigned fail = fuzz_byte(&in) & 15;
    if (wild) {
        conn_run(&conn_worlds[0], in, 1, limits, seed, 1, fail > 0 ? 2 * fail + 3 : 0, &cut);
        return 0;
    }
    conn_run(&conn_worlds[0], in, 0, limits, seed, 0, 0, &whole);
    conn_run(&conn_worlds[1], in, 0, limits, seed, 1, 0, &cut);
    for (int i = 0; i < CONN_MOST; i++) {
        const conn_socket *a = &conn_worlds[0].sockets[i], *b = &conn_worlds[1].sockets[i];
        conn_compare(a, b);
        if (a->shut == b->shut) continue;
        /* The peer announced its last request, and sent more. In pieces, nothing of that had come
         * yet, and the connection was closed at once, without a shutdown. */
        FUZZ_CHECK(a->shut && !b->shut);
        whole.connections = cut.connections;
        whole.bytes_in = cut.bytes_in;
    }
    FUZZ_CHECK(whole.pauses == 0 && cut.pauses == 0);
    whole.peak_backlog = cut.peak_backlog = 0;
    FUZZ_CHECK(memcmp(&whole, &cut, sizeof whole) == 0);
    return 0;
}

#ifdef __clang__
#pragma clang attribute pop
#endif
