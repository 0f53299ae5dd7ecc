/* LOOP in a loop of the program: azc_poll_begin, azc_poll_end, and azc_poll(server, 0). */
#define AZCHAN_IMPLEMENTATION
#include "../azchan.h"
#include "test.h"
#include "client.h"
#include "watching.h"

/* ---- Our descriptors in the program's loop --------------------------------------------------- */

static int own_fd = -1, own_ready;

/* One turn as the manual has it, with a descriptor of the program's own at first. */
static int own_turn(int wait) {
    struct pollfd fds[1 + 64];
    memset(fds, 0, sizeof fds);
    fds[0].fd = own_fd, fds[0].events = POLLIN;
    size_t n = azc_poll_begin(server, fds + 1, 64, &wait);
    CHECK(n >= 1 && n <= 64);
    if (poll(fds, (nfds_t)(1 + n), wait) < 0) n = 0;
    own_ready += fds[0].revents != 0;
    return azc_poll_end(server, fds + 1, n);
}
#define own_until(cond)                                                                          \
    do {                                                                                         \
        for (long long end_ = now_ms() + WAIT_MS; !(cond) && now_ms() < end_;) own_turn(5);      \
        CHECK(cond);                                                                             \
    } while (0)

static int begin_inside(azc_conn *conn, const char *text, size_t len) {
    struct pollfd fds[4];
    int wait = 7;
    CHECK_INT(azc_poll_begin(azc_server_of(conn), fds, 4, &wait), 0);
    CHECK_INT(wait, 7);
    CHECK_INT(azc_poll_end(azc_server_of(conn), fds, 0), AZC_ERR_STATE);
    return azc_send_text(conn, text, len);
}
static void note_task(azc_server *s, void *arg) {
    (void)s;
    note("%s", (const char *)arg);
}

static void lending(void) {
    TEST("the program's own poll serves peers, and the program's descriptors") {
        int fds[2];
        server = serve(NULL, echoer("/t"));
        pair(fds);
        own_fd = fds[0], own_ready = 0;
        client *c[20];
        for (int i = 0; i < 20; i++) {
            c[i] = client_open(server);
            client_print(c[i], "GET /t HTTP/1.1\r\n" UPGRADE "\r\n");
        }
        own_until(azc_count(served, NULL) == 20);
        for (int i = 0; i < 20; i++) client_text(c[i], "hello");
        for (int i = 0; i < 20; i++) {
            own_until((client_fill(c[i]), c[i]->len >= 129 + 7));
            client_take(c[i], 129);
            EXPECT_TEXT(c[i], "hello");
        }
        CHECK_INT(own_ready, 0);
        put_byte(fds[1]);
        own_turn(-1);
        CHECK_INT(own_ready, 1);
        end(2);
        own_fd = -1;
        close_both(fds);
    }
    TEST("azc_poll_begin lowers the timeout exactly to the next timer or deadline") {
        azc_config config = quick();
        config.handshake_ms = 5000;
        struct pollfd fds[64];
        server = serve(&config, echoer("/t"));
        int wait = -1;
        CHECK(azc_poll_begin(server, fds, 64, &wait) >= 1);
        CHECK_INT(wait, -1);
        wait = 123456;
        azc_poll_begin(server, fds, 64, &wait);
        CHECK_INT(wait, 123456);
        azc_poll_end(server, fds, 0);
        client_open(server);
        own_turn(5), own_turn(5);
        wait = -1;
        azc_poll_begin(server, fds, 64, &wait);
        CHECK(wait > 0 && wait <= 5000);
        azc_poll_end(server, fds, 0);
        azc_after(server, 200, note_task, letter(0));
        wait = -1;
        azc_poll_begin(server, fds, 64, &wait);
        CHECK(wait >= 0 && wait <= 200);
        wait = 0;
        azc_poll_begin(server, fds, 64, &wait);
        CHECK_INT(wait, 0);
        azc_poll_end(server, fds, 0);
        long long began = now_ms();
        int turns = 0;
        while (events.len == 0 && now_ms() < began + WAIT_MS) own_turn(-1), turns++;
        CHECK(turns <= 4);
        EXPECT_EVENTS("a; ");
        end(0);
    }
    TEST("azc_poll_begin sends what was queued between turns") {
        server = serve(NULL, recorder("/t"));
        client *c = join_channel(server, "/t");
        struct pollfd fds[8];
        int wait = 0;
        azc_broadcast(served, NULL, "now", 3, NULL);
        azc_poll_begin(server, fds, 8, &wait);
        client_fill(c);
        CHECK_INT(c->len, 5);
        EXPECT_TEXT(c, "now");
        end(0);
    }
    TEST("with a too short array azc_poll_begin returns how many there are, and writes no more") {
        server = serve(NULL, echoer("/t"));
        client *c[5];
        for (int i = 0; i < 5; i++) c[i] = join_channel(server, "/t");
        struct pollfd fds[16];
        int wait = 0;
        memset(fds, 0x55, sizeof fds);
        size_t n = azc_poll_begin(server, fds, 3, &wait);
#ifdef AZCHAN_USE_EPOLL
        CHECK_INT(n, 1);
        CHECK(fds[1].fd == 0x55555555);
        CHECK_INT(azc_poll_begin(server, NULL, 0, &wait), 1);
#else
        CHECK_INT(n, 7); /* the listener, the wake pipe, and five */
        CHECK(fds[2].fd != 0x55555555 && fds[3].fd == 0x55555555);
        CHECK_INT(azc_poll_begin(server, NULL, 0, &wait), 7);
        CHECK_INT(azc_poll_begin(server, NULL, 64, &wait), 7); /* no array, whatever its length */
        CHECK_INT(azc_poll_end(server, NULL, 64), 1);
#endif
        azc_poll_end(server, NULL, 0);
        azc_poll_end(server, NULL, 3);
        for (int i = 0; i < 5; i++) client_text(c[i], "x"), EXPECT_TEXT(c[i], "x");
        end(0);
    }
    TEST("azc_poll, closing peers and stale results between begin and end do no harm") {
        struct pollfd fds[64];
        server = serve(NULL, echoer("/t"));
        client *c[6];
        int wait = 0;
        for (int i = 0; i < 6; i++) c[i] = join_channel(server, "/t");
        size_t n = azc_poll_begin(server, fds, 64, &wait);
        for (int i = 0; i < 3; i++) client_close(c[i]);
        settle(server);
        for (size_t i = 0; i < n; i++) fds[i].revents = POLLIN | POLLOUT; /* lies, too */
        CHECK_INT(azc_poll_end(server, fds, n), 1);
        CHECK_INT(azc_poll_end(server, fds, n), 1);
        for (int i = 3; i < 6; i++) client_text(c[i], "x"), EXPECT_TEXT(c[i], "x");
        CHECK_INT(azc_count(served, NULL), 3);
        end(0);
    }
    TEST("the events of a descriptor are not taken for those of the next with its number") {
        struct pollfd fds[64];
        int own[2], wait = 0;
        server = serve(NULL, echoer("/t"));
        client *c = join_channel(server, "/t");
        pair(own);
        CHECK_INT(azc_watch(server, own[0], AZC_READ, tell, letter(0)), AZC_OK);
        size_t n = azc_poll_begin(server, fds, 64, &wait);
        client_close(c);
        settle(server); /* own[0] has its place now */
        tape_clear(&events);
        for (size_t i = 0; i < n; i++)
            fds[i].revents = fds[i].fd == own[0] ? 0 : POLLIN;
        CHECK_INT(azc_poll_end(server, fds, n), 1);
        EXPECT_EVENTS("");
        end(2);
        close_both(own);
    }
    TEST("azc_stop and azc_post wake the program's own poll") {
        server = serve(NULL, recorder("/t"));
        client *c = join_channel(server, "/t");
        tape_clear(&events);
        azc_post(server, note_task, letter(0));
        CHECK_INT(own_turn(-1), 1);
        EXPECT_EVENTS("a; ");
        azc_stop(server);
        CHECK_INT(own_turn(-1), 1);
        client_fill(c);
        EXPECT_CLOSE(c, 1001, NULL);
        client_close(c);
        int result = 1;
        for (long long end = now_ms() + WAIT_MS; result == 1 && now_ms() < end;)
            result = own_turn(5);
        CHECK_INT(result, 0);
        CHECK_INT(own_turn(-1), 0); /* does not wait for ever */
        end(0);
    }
    TEST("azc_poll_begin and azc_poll_end in callbacks, before azc_listen and with NULL") {
        struct pollfd fds[4];
        int wait = 3;
        azc_channel_desc d = echoer("/t");
        d.on_message = begin_inside;
        server = create(NULL);
        served = azc_add_channel(server, &d);
        CHECK_INT(azc_poll_begin(server, fds, 4, &wait), 0);
        CHECK_INT(azc_poll_end(server, fds, 0), AZC_ERR_STATE);
        CHECK_INT(azc_poll_begin(NULL, fds, 4, &wait), 0);
        CHECK_INT(azc_poll_end(NULL, fds, 0), AZC_ERR_ARGUMENT);
        listening(server);
        CHECK_INT(azc_poll_begin(server, fds, 4, NULL), 0);
        CHECK_INT(wait, 3);
        client *c = join_channel(server, "/t");
        client_text(c, "inside"), EXPECT_TEXT(c, "inside");
        end(0);
    }
    TEST("azc_poll(server, 0) in each frame serves peers and never waits") {
        server = serve(NULL, echoer("/t"));
        client *c = join_channel(server, "/t");
        long long began = now_ms();
        for (int frame = 0; frame < 1000; frame++) azc_poll(server, 0);
        CHECK(now_ms() - began < 1000);
        client_text(c, "frame");
        for (int frame = 0; frame < 100 && c->len < 7; frame++) azc_poll(server, 0), client_fill(c);
        EXPECT_TEXT(c, "frame");
        end(0);
    }
}

int main(int argc, char **argv) {
    test_start(argc, argv);
    lending();
    return test_end();
}
