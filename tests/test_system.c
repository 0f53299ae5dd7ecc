/* SYSTEM and the descriptors of LISTEN, LOOP and SERVER, on a kernel in which a few calls fail in ways
 * that real ones do: accept for good, no source of random bytes, descriptors 0 to 2 closed. */
#if defined(__linux__) && !defined(_GNU_SOURCE)
#define _GNU_SOURCE 1
#endif
#include <errno.h>
#include <fcntl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

static struct {
    int accept_error;  /* of every accept; 0: none */
    int accepts;       /* calls */
    int flags;         /* of all accept4 together */
    int random_error, open_error; /* of getrandom and open */
    int opens;
} kernel;

static inline int kernel_accept(int fd, struct sockaddr *address, socklen_t *len) {
    kernel.accepts++;
    if (kernel.accept_error == 0) return accept(fd, address, len);
    errno = kernel.accept_error;
    return -1;
}
static inline ssize_t kernel_getrandom(void *to, size_t len, unsigned flags) {
    if (kernel.random_error == 0) {
        for (size_t i = 0; i < len; i++) ((unsigned char *)to)[i] = (unsigned char)(i + flags);
        return (ssize_t)len;
    }
    errno = kernel.random_error;
    return -1;
}
static inline int kernel_open(const char *path, int flags) {
    kernel.opens++;
    if (kernel.open_error == 0) return open(path, flags);
    errno = kernel.open_error;
    return -1;
}
#ifdef __linux__
static inline int kernel_accept4(int fd, struct sockaddr *address, socklen_t *len, int flags) {
    kernel.accepts++;
    kernel.flags |= flags;
    if (kernel.accept_error == 0) return accept4(fd, address, len, flags);
    errno = kernel.accept_error;
    return -1;
}
#define accept4(fd, address, len, flags) kernel_accept4(fd, address, len, flags)
#include <sys/random.h>
#define getrandom(to, len, flags) kernel_getrandom(to, len, flags)
#endif
#define accept(fd, address, len) kernel_accept(fd, address, len)
#define open(path, flags) kernel_open(path, flags)
#define AZCHAN_IMPLEMENTATION
#include "../azchan.h"
#undef accept
#undef accept4
#undef open
#undef getrandom
#include "test.h"
#include "client.h"

static int lines_with(const char *word) {
    int n = 0;
    for (const char *p = tape_text(&log_lines); (p = strstr(p, word)) != NULL; p++) n++;
    return n;
}

/* ---- Descriptors ----------------------------------------------------------------------------- */

static int is_low(int fd) { return fd >= 0 && fd <= 2; }

/* In a child without the descriptors of mask: a server with one peer, and a program that prints.
 * Returns 0, or what was wrong. */
static int without(int mask) {
    struct sockaddr_in a;
    for (int fd = 0; fd <= 2; fd++) if (mask >> fd & 1) close(fd);
    azc_server *server = azc_create(NULL);
    azc_channel_desc d;
    memset(&d, 0, sizeof d);
    d.path = "/t";
    azc_add_channel(server, &d);
    if (azc_listen(server) != AZC_OK) return 2;
    int peer = fcntl(socket(AF_INET, SOCK_STREAM, 0), F_DUPFD, 10);
    for (int fd = 0; fd <= 2; fd++) if (mask >> fd & 1) close(fd); /* accept gets the lowest */
    memset(&a, 0, sizeof a);
    a.sin_family = AF_INET, a.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    a.sin_port = htons((uint16_t)azc_port(server));
    if (connect(peer, (struct sockaddr *)&a, sizeof a) != 0) return 3;
    for (int i = 0; i < 5; i++) azc_poll(server, 1);
    if (azc_stats(server)->connections != 1) return 4;
    if (is_low(server->wake.fd) || is_low(server->wake_write) || is_low(server->listener.fd) ||
        is_low(server->slots[0]->source.fd)) return 5;
#ifdef AZCHAN_USE_EPOLL
    if (is_low(server->epoll)) return 6;
#endif
    for (int fd = 0; fd <= 2; fd++) if (mask >> fd & 1 && fcntl(fd, F_GETFD) >= 0) return 7;
    char text[400];
    memset(text, 'A', sizeof text);
    for (int fd = 0; fd <= 2; fd++)
        if (mask >> fd & 1 && write(fd, text, sizeof text) >= 0) return 8;
    for (int i = 0; i < 5; i++) azc_poll(server, 1);
    return azc_destroy(server) == AZC_OK ? 0 : 9;
}

static void descriptors_high(void) {
    TEST("a program started without descriptors 0 to 2 may print: none of ours is below 3")
        for (int mask = 1; mask < 8; mask++) {
            int status = 0;
            fflush(NULL);
            pid_t child = fork();
            if (child == 0) exit(without(mask)); /* not _exit: make coverage counts its lines */
            CHECK(waitpid(child, &status, 0) == child);
            if (!CHECK(WIFEXITED(status))) printf("    signal %d\n", WTERMSIG(status));
            else if (!CHECK_INT(WEXITSTATUS(status), 0)) printf("    closed: mask %d\n", mask);
        }
    TEST("each descriptor is closed by exec") {
        memset(&kernel, 0, sizeof kernel);
        azc_server *server = serve(NULL, recorder("/t"));
        client *c = join_channel(server, "/t");
        int all[] = {server->wake.fd, server->wake_write, server->listener.fd,
                     member_of(served)->source.fd};
        for (size_t i = 0; i < sizeof all / sizeof *all; i++)
            CHECK(fcntl(all[i], F_GETFD) & FD_CLOEXEC);
#ifdef __linux__
        CHECK_INT(kernel.flags, SOCK_CLOEXEC); /* at once, not by a later call */
#endif
        client_close(c);
        finish(server);
    }
}

/* ---- Accept ---------------------------------------------------------------------------------- */

/* The listening socket is broken: the open peer is served, nothing spins, and one line is logged. */
static void expect_over(azc_server *server, client *c, int error) {
    int accepts = kernel.accepts, polls = 0;
    for (long long end = now_ms() + 60; now_ms() < end; polls++) CHECK_INT(azc_poll(server, 20), 1);
    CHECK(polls <= 8);
    CHECK(kernel.accepts - accepts <= 2);
    CHECK_INT(lines_with("accepts no more"), 1);
    CHECK_INT(lines_with(strerror(error)), 1);
    client_text(c, "hello"), settle(server);
    EXPECT_EVENTS("connect; text hello; ");
    client_bye(c, 1000, ""), client_close(c);
    CHECK_INT(azc_run(server), AZC_ERR_SYSTEM);
    CHECK_INT(azc_poll(server, -1), AZC_ERR_SYSTEM);
    CHECK(strstr(azc_error(server), "accept") != NULL);
}

static void accepting(void) {
    static const int final[] = {EINVAL, EBADF, ENOTSOCK};
    TEST("when accept fails for good, open peers are served, then azc_run is AZC_ERR_SYSTEM")
        for (size_t i = 0; i < sizeof final / sizeof *final; i++) {
            memset(&kernel, 0, sizeof kernel);
            azc_server *server = serve(NULL, recorder("/t"));
            client *c = join_channel(server, "/t");
            kernel.accept_error = final[i];
            client_open(server);
            expect_over(server, c, final[i]);
            finish(server);
        }
    TEST("a listening socket that somebody shut down does not spin, at max_connections neither")
        for (int full = 0; full < 2; full++) {
            memset(&kernel, 0, sizeof kernel);
            azc_config config = quick();
            config.max_connections = full ? 1 : 16;
            azc_server *server = serve(&config, recorder("/t"));
            client *c = join_channel(server, "/t");
            CHECK(shutdown(server->listener.fd, SHUT_RDWR) == 0);
            expect_over(server, c, EINVAL);
            finish(server);
        }
    TEST("a stop of a server whose accept failed is a stop: azc_run is AZC_OK") {
        memset(&kernel, 0, sizeof kernel);
        azc_server *server = serve(NULL, recorder("/t"));
        client *c = join_channel(server, "/t");
        CHECK(shutdown(server->listener.fd, SHUT_RDWR) == 0);
        settle(server);
        azc_stop(server), settle(server);
        client_bye(c, 1000, ""), client_close(c);
        CHECK_INT(azc_run(server), AZC_OK);
        finish(server);
    }
    static const int odd[] = {EPERM, ENETDOWN, EOPNOTSUPP, ENOSYS, EMFILE};
    TEST("any other error of accept pauses it: the loop does not spin, and peers come in later")
        for (size_t i = 0; i < sizeof odd / sizeof *odd; i++) {
            memset(&kernel, 0, sizeof kernel);
            azc_server *server = serve(NULL, recorder("/t"));
            kernel.accept_error = odd[i];
            client *c = client_open(server);
            int polls = 0;
            long long start = now_ms();
            for (; now_ms() < start + 150; polls++) CHECK_INT(azc_poll(server, 20), 1);
            CHECK(kernel.accepts <= (now_ms() - start) / 100 + 2);
            CHECK(polls <= (now_ms() - start) / 20 + 6);
            kernel.accept_error = 0;
            CHECK_INT(client_upgrade(c, "/t", ""), 101);
            finish(server);
        }
    TEST("a newcomer costs one accept, and 100 at once are in after five turns") {
        memset(&kernel, 0, sizeof kernel);
        azc_server *server = serve(NULL, recorder("/t"));
        for (int i = 1; i <= 10; i++) {
            join_channel(server, "/t"), settle(server);
            CHECK_INT(kernel.accepts, i);
        }
        for (int i = 0; i < 100; i++) client_open(server);
        for (int i = 0; i < 5; i++) azc_poll(server, 0);
        CHECK_INT(server->conn_count, 110);
        CHECK_INT(kernel.accepts, 10 + 1 + 4 + 16 + 64 + 15 + 1);
        finish(server);
    }
}

/* ---- Random bytes ---------------------------------------------------------------------------- */

static void randomness(void) {
    TEST("the seeds are the kernel's; without getrandom /dev/urandom's; without both a line says so")
        for (int fails = 0; fails < 4; fails++) {
            memset(&kernel, 0, sizeof kernel);
            kernel.random_error = fails & 1 ? ENOSYS : 0;
            kernel.open_error = fails & 2 ? ENOENT : 0;
            azc_server *server = serve(NULL, recorder("/t"));
            CHECK_INT(lines_with("urandom"), fails == 3);
#ifdef __linux__
            CHECK_INT(kernel.opens, fails & 1);
#endif
            join_channel(server, "/t");
            finish(server);
        }
}

int main(int argc, char **argv) {
    test_start(argc, argv);
    descriptors_high();
    accepting();
    randomness();
    tape_clear(&events), tape_clear(&log_lines);
    return test_end();
}
