/* watching.h: what test_watch.c and test_loop_poll.c share: descriptors of the program. */
#ifndef WATCHING_H
#define WATCHING_H

static azc_server *server;

static inline void put_byte(int fd) { CHECK(write(fd, "x", 1) == 1); }
static inline void pair(int fds[2]) { CHECK(socketpair(AF_UNIX, SOCK_STREAM, 0, fds) == 0); }
static inline void close_both(const int fds[2]) { close(fds[0]), close(fds[1]); }
static inline const char *events_of(int events) {
    return events == AZC_READ ? "read" : events == AZC_WRITE ? "write"
           : events == (AZC_READ | AZC_WRITE) ? "read write" : "?";
}
static inline void tell(azc_server *s, int fd, int events, void *user) {
    CHECK(s == server && fd >= 0);
    note("%s %s", (const char *)user, events_of(events));
}

/* finish, after a test that keeps `own` more descriptors open than before. */
static inline void end(int own) {
    running.descriptors += own;
    finish(server);
}

#endif
