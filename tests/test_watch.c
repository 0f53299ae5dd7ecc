/* WATCH: descriptors of the program in the server's loop. */
#define AZCHAN_IMPLEMENTATION
#include "../azchan.h"
#include "test.h"
#include "client.h"
#include "watching.h"
#include <limits.h>

static int get_byte(int fd) {
    char byte;
    return read(fd, &byte, 1) == 1;
}

static void tell_other(azc_server *s, int fd, int events, void *user) {
    (void)s, (void)fd;
    note("other %s %s", (const char *)user, events_of(events));
}
static void poll_now(void) { azc_poll(server, 0); }

/* ---- Descriptors of the program -------------------------------------------------------------- */

static int victim;
static void stop_victim(azc_server *s, int fd, int events, void *user) {
    tell(s, fd, events, user);
    CHECK_INT(azc_watch(s, victim, 0, NULL, NULL), AZC_OK);
}
/* Stop, close, and watch another that got the same number, all at once. */
static int reborn[2];
static void begin_anew(azc_server *s, int fd, int events, void *user) {
    tell(s, fd, events, user);
    CHECK_INT(azc_watch(s, fd, 0, NULL, NULL), AZC_OK);
    close(fd);
    pair(reborn);
    if (reborn[1] == fd) reborn[1] = reborn[0], reborn[0] = fd;
    CHECK_INT(reborn[0], fd);
    CHECK_INT(azc_watch(s, fd, AZC_READ, tell_other, user), AZC_OK);
}
static void say_to_all(azc_server *s, int fd, int events, void *user) {
    char text[64];
    ssize_t n = read(fd, text, sizeof text);
    (void)s, (void)events, (void)user;
    CHECK(azc_poll(s, 0) == AZC_ERR_STATE && azc_destroy(s) == AZC_ERR_STATE);
    if (n > 0) azc_broadcast(served, NULL, text, (size_t)n, NULL);
}

static void stop_and_start(azc_server *s, int fd, int events, void *user) {
    (void)fd, (void)events, (void)user;
    for (int i = 0; i < 3000; i++) {
        CHECK_INT(azc_watch(s, victim, 0, NULL, NULL), AZC_OK);
        CHECK_INT(azc_watch(s, victim, AZC_READ, tell, letter(1)), AZC_OK);
    }
}

static void watching(void) {
    TEST("fn runs in exactly the turns in which its descriptor is ready") {
        int fds[2];
        server = serve(NULL, recorder("/t"));
        pair(fds);
        CHECK_INT(azc_watch(server, fds[0], AZC_READ, tell, letter(0)), AZC_OK);
        poll_now();
        EXPECT_EVENTS("");
        put_byte(fds[1]);
        poll_now(), poll_now();
        EXPECT_EVENTS("a read; a read; ");
        CHECK(get_byte(fds[0]));
        poll_now();
        EXPECT_EVENTS("");
        put_byte(fds[1]);
        azc_poll(server, -1); /* it ends a wait */
        EXPECT_EVENTS("a read; ");
        end(2);
        CHECK(get_byte(fds[0])); /* it stayed ours */
        close_both(fds);
    }
    TEST("another azc_watch changes events, fn and userdata; 0 stops") {
        int fds[2];
        server = serve(NULL, recorder("/t"));
        pair(fds);
        CHECK_INT(azc_watch(server, fds[0], AZC_READ, tell, letter(0)), AZC_OK);
        CHECK_INT(azc_watch(server, fds[0], AZC_READ | AZC_WRITE, tell, letter(1)), AZC_OK);
        poll_now();
        EXPECT_EVENTS("b write; ");
        put_byte(fds[1]);
        poll_now();
        EXPECT_EVENTS("b read write; ");
        CHECK_INT(azc_watch(server, fds[0], AZC_WRITE, tell_other, letter(2)), AZC_OK);
        poll_now();
        EXPECT_EVENTS("other c write; ");
        CHECK_INT(azc_watch(server, fds[0], AZC_READ, tell, letter(0)), AZC_OK);
        poll_now();
        EXPECT_EVENTS("a read; ");
        CHECK_INT(azc_watch(server, fds[0], 0, NULL, NULL), AZC_OK);
        poll_now(), poll_now();
        EXPECT_EVENTS("");
        CHECK_INT(azc_watch(server, fds[0], 0, NULL, NULL), AZC_OK); /* not watched: fine too */
        CHECK_INT(azc_watch(server, fds[0], AZC_READ, tell, letter(3)), AZC_OK);
        poll_now();
        EXPECT_EVENTS("d read; ");
        end(2);
        close_both(fds);
    }
    TEST("errors and hang-ups are AZC_READ, requested or not") {
        int fds[2], other[2];
        server = serve(NULL, recorder("/t"));
        CHECK(pipe(fds) == 0);
        CHECK_INT(azc_watch(server, fds[0], AZC_READ, tell, letter(0)), AZC_OK);
        close(fds[1]);
        poll_now();
        EXPECT_EVENTS("a read; ");
        CHECK_INT(azc_watch(server, fds[0], 0, NULL, NULL), AZC_OK);
        CHECK(pipe(other) == 0);
        CHECK_INT(azc_watch(server, other[1], AZC_WRITE, tell, letter(1)), AZC_OK);
        close(other[0]);
        poll_now();
        EXPECT_EVENTS("b read write; ");
        end(2);
        close(fds[0]), close(other[1]);
    }
    TEST("a stopped descriptor is not reported again, not even in the same turn") {
        int fds[3][2];
        server = serve(NULL, recorder("/t"));
        for (int i = 0; i < 3; i++) {
            pair(fds[i]);
            CHECK_INT(azc_watch(server, fds[i][0], AZC_READ, stop_victim, letter(i)), AZC_OK);
            put_byte(fds[i][1]);
        }
        victim = fds[1][0];
        poll_now();
        const char *seen = tape_text(&events); /* the victim at most first: order is the kernel's */
        CHECK(count_of(seen, "a read") == 1 && count_of(seen, "c read") == 1);
        CHECK(count_of(seen, "b read") == 0 || strncmp(seen, "b read", 6) == 0);
        tape_clear(&events);
        poll_now();
        EXPECT_EVENTS("a read; c read; ");
        victim = fds[0][0]; /* its own */
        poll_now(), tape_clear(&events), poll_now();
        EXPECT_EVENTS("c read; ");
        end(6);
        for (int i = 0; i < 3; i++) close_both(fds[i]);
    }
    TEST("stop, close, and watch the same number anew, all in its own callback") {
        int fds[2];
        server = serve(NULL, recorder("/t"));
        pair(fds);
        CHECK_INT(azc_watch(server, fds[0], AZC_READ, begin_anew, letter(0)), AZC_OK);
        put_byte(fds[1]);
        poll_now();
        EXPECT_EVENTS("a read; ");
        poll_now();
        EXPECT_EVENTS("");
        put_byte(reborn[1]);
        poll_now(), poll_now();
        EXPECT_EVENTS("other a read; other a read; ");
        end(3);
        close(fds[1]), close_both(reborn);
    }
    TEST("two hundred descriptors are watched and stopped while peers connect and close") {
        enum { MANY = 200 };
        static int fds[MANY][2];
        server = serve(NULL, echoer("/t"));
        client *peers[10];
        for (int i = 0; i < 10; i++) peers[i] = join_channel(server, "/t");
        for (int i = 0; i < MANY; i++) {
            pair(fds[i]);
            CHECK_INT(azc_watch(server, fds[i][0], AZC_READ, tell, letter(0)), AZC_OK);
            if (i % 20 != 0) continue;
            client_close(peers[i / 20]);
            peers[i / 20] = join_channel(server, "/t");
        }
        for (int i = 0; i < MANY; i += 3) CHECK_INT(azc_watch(server, fds[i][0], 0, NULL, NULL), 0);
        settle(server), tape_clear(&events);
        for (int i = 0; i < MANY; i++) {
            put_byte(fds[i][1]);
            poll_now();
            CHECK_INT(count_of(tape_text(&events), "a read; "), i % 3 != 0);
            tape_clear(&events);
            CHECK(get_byte(fds[i][0]));
        }
        for (int i = 0; i < 10; i++) client_text(peers[i], "still"), EXPECT_TEXT(peers[i], "still");
        end(400);
        for (int i = 0; i < MANY; i++) close_both(fds[i]);
    }
    TEST("a pipe's bytes go to every peer, one that stalls or not") {
        int fds[2];
        azc_config config = quick();
        config.max_message = 1024, config.read_buffer = 4096, config.max_backlog = 16384;
        azc_channel_desc d = recorder("/t");
        d.when_full = AZC_FULL_DROP, d.on_drain = NULL;
        server = serve(&config, d);
        client *stalled = client_open_to(server, "127.0.0.1", azc_port(server), 1);
        CHECK_INT(client_upgrade(stalled, "/t", ""), 101);
        static char data[1000];
        for (int full = 0; full < 100; azc_poll(server, full ? 1 : 0))
            full = azc_send_binary(member_of(served), data, 1000) == AZC_OK ? 0 : full + 1;
        client *a = join_channel(server, "/t");
        CHECK(pipe(fds) == 0);
        CHECK_INT(azc_watch(server, fds[0], AZC_READ, say_to_all, NULL), AZC_OK);
        for (int i = 0; i < 20; i++) {
            CHECK(write(fds[1], "measured", 8) == 8);
            EXPECT_TEXT(a, "measured");
        }
        end(2);
        close_both(fds);
    }
    TEST("stopped and watched anew thousands of times in a turn, it is still one, and exact") {
        int fds[3][2];
        server = serve(NULL, recorder("/t"));
        for (int i = 0; i < 3; i++) pair(fds[i]), put_byte(fds[i][1]);
        CHECK_INT(azc_watch(server, fds[0][0], AZC_READ, stop_and_start, NULL), AZC_OK);
        CHECK_INT(azc_watch(server, fds[1][0], AZC_READ, tell, letter(1)), AZC_OK);
        victim = fds[1][0];
        poll_now();
        size_t held = memory.bytes;
        tape_clear(&events);
        for (int i = 0; i < 3; i++) {
            poll_now();
            CHECK_INT(memory.bytes, held);
            CHECK_INT(server->watched_count, 2);
            CHECK_INT(count_of(tape_text(&events), "b read; ") <= 1, 1);
            tape_clear(&events);
        }
        /* the struct of a stopped descriptor serves another, whose events are not the first's */
        CHECK_INT(azc_watch(server, victim, 0, NULL, NULL), AZC_OK);
        CHECK_INT(azc_watch(server, fds[0][0], 0, NULL, NULL), AZC_OK);
        CHECK_INT(azc_watch(server, fds[2][0], AZC_WRITE, tell, letter(2)), AZC_OK);
        poll_now();
        EXPECT_EVENTS("c write; ");
        end(6);
        for (int i = 0; i < 3; i++) close_both(fds[i]);
    }
    TEST("bad arguments are refused, and so are descriptors that epoll refuses") {
        int fds[2];
        server = serve(NULL, recorder("/t"));
        pair(fds);
        CHECK_INT(azc_watch(NULL, fds[0], AZC_READ, tell, NULL), AZC_ERR_ARGUMENT);
        CHECK_INT(azc_watch(server, -1, AZC_READ, tell, NULL), AZC_ERR_ARGUMENT);
        CHECK_INT(azc_watch(server, fds[0], AZC_READ, NULL, NULL), AZC_ERR_ARGUMENT);
        CHECK_INT(azc_watch(server, fds[0], 2, tell, NULL), AZC_ERR_ARGUMENT);
        CHECK_INT(azc_watch(server, fds[0], -1, tell, NULL), AZC_ERR_ARGUMENT);
        FILE *plain = tmpfile();
        int result = azc_watch(server, fileno(plain), AZC_READ, tell, letter(0));
        poll_now();
#ifdef AZCHAN_USE_EPOLL
        CHECK_INT(result, AZC_ERR_SYSTEM);
        EXPECT_EVENTS("");
#else
        CHECK_INT(result, AZC_OK);
        EXPECT_EVENTS("a read; "); /* always ready */
#endif
        end(3);
        fclose(plain);
        close_both(fds);
    }
    TEST("without memory azc_watch is AZC_ERR_MEMORY and the descriptor is not watched") {
        int fds[40][2];
        server = serve(NULL, recorder("/t"));
        for (int i = 0; i < 40; i++) {
            pair(fds[i]);
            memory.none = 1; /* whether for the struct or for the array that grows */
            CHECK_INT(azc_watch(server, fds[i][0], AZC_READ, tell, letter(0)), AZC_ERR_MEMORY);
            memory.none = 0, memory.fail = 2;
            int second = azc_watch(server, fds[i][0], AZC_READ, tell, letter(0));
            CHECK(second == AZC_OK || (second == AZC_ERR_MEMORY && memory.fail == 0));
            memory.fail = 0;
            CHECK_INT(azc_watch(server, fds[i][0], AZC_READ, tell, letter(0)), AZC_OK);
            put_byte(fds[i][1]);
        }
        poll_now();
        CHECK_INT(count_of(tape_text(&events), "a read; "), 40);
        end(80);
        for (int i = 0; i < 40; i++) close_both(fds[i]);
    }
    TEST("without memory azc_listen is AZC_ERR_MEMORY, and may be called again") {
        enum { FIRST = 15 }; /* and azc_stop's pipe: the array is full */
        int fds[FIRST][2];
        char host[100];
        azc_config config = quick();
        snprintf(host, sizeof host, "unix:/tmp/azchan-watch-%ld", (long)getpid());
        config.host = host;
        server = create(&config);
        for (int i = 0; i < FIRST; i++) {
            pair(fds[i]);
            CHECK_INT(azc_watch(server, fds[i][0], AZC_READ, tell, letter(0)), AZC_OK);
        }
#ifndef AZCHAN_USE_EPOLL
        int open = descriptors();
        memory.none = 1;
        CHECK_INT(azc_listen(server), AZC_ERR_MEMORY);
        memory.none = 0;
        CHECK_INT(descriptors(), open);
        CHECK(access(host + 5, F_OK) != 0);
        CHECK_INT(azc_poll(server, 0), AZC_ERR_STATE);
#endif
        listening(server);
        put_byte(fds[FIRST - 1][1]);
        poll_now();
        EXPECT_EVENTS("a read; ");
        end(2 * FIRST);
        for (int i = 0; i < FIRST; i++) close_both(fds[i]);
    }
}

/* ---- Hang-ups ---- */

static int hung_calls;
/* With user it stops at the first event. */
static void tell_hung(azc_server *server, int fd, int ready, void *user) {
    hung_calls++;
    if (ready & AZC_READ && user) azc_watch(server, fd, 0, NULL, NULL);
}

static void hang_ups(void) {
    TEST("a watcher that ignores a hang-up is logged, at most once a second") {
        azc_server *server = create(NULL);
        listening(server);
        for (int writes = 0; writes < 2; writes++) {
            int fds[2];
            if (pipe(fds) != 0) abort();
            close(fds[1 - writes]); /* 0: the writer is gone; 1: the reader */
            tape_clear(&log_lines), hung_calls = 0;
            int fd = fds[writes];
            int events = writes ? AZC_WRITE : AZC_READ;
            CHECK_INT(azc_watch(server, fd, events, tell_hung, NULL), AZC_OK);
            pump(server, 2400);
            CHECK(hung_calls > 10);
            char word[32];
            snprintf(word, sizeof word, "azc_watch: fd %d hung up", fd);
            int lines = count_of(tape_text(&log_lines), word);
            if (!CHECK(lines >= 1 && lines <= 3)) puts(tape_text(&log_lines));
            CHECK_INT(azc_watch(server, fd, 0, NULL, NULL), AZC_OK);
            close(fd);
        }
        finish(server);
    }
    TEST("a watcher that stops at a hang-up is not logged") {
        azc_server *server = create(NULL);
        listening(server);
        int fds[2], one = 1;
        if (pipe(fds) != 0) abort();
        close(fds[1]);
        tape_clear(&log_lines), hung_calls = 0;
        azc_watch(server, fds[0], AZC_READ, tell_hung, &one);
        pump(server, 50);
        CHECK_INT(hung_calls, 1);
        CHECK_STR(tape_text(&log_lines), "");
        close(fds[0]);
        finish(server);
    }
}

int main(int argc, char **argv) {
    test_start(argc, argv);
    watching();
    hang_ups();
    tape_clear(&log_lines);
    return test_end();
}
