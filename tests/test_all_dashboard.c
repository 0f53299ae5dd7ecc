/* examples/dashboard.c with viewers of its channel: what a slow viewer skips and a late one
 * receives. tests/interop tests its page. */
#define PERIOD_MS 3600000 /* here samples are made by the tests alone */
#define main dashboard_main
#include "../examples/dashboard.c"
#undef main
#include "test.h"
#include "client.h"

static azc_server *server;

/* The time of the next sample, 0 if there is none. Descriptions of the board are skipped. */
static int64_t next_sample(client *c) {
    frame f;
    while (client_read(c, &f)) {
        azc_json m;
        int64_t t;
        CHECK_INT(azc_json_read(&m, (char *)f.data, f.len), AZC_OK);
        if (azc_json_int(azc_json_get(m, "t"), &t) == AZC_OK) return t;
    }
    return 0;
}

/* A viewer whose socket buffers are as small as the kernel allows. */
static client *slow_viewer(azc_channel *channel) {
    client *c = client_open_to(server, "127.0.0.1", azc_port(server), 1);
    CHECK_INT(client_upgrade(c, "/board", ""), 101);
    int tiny = 2048;
    setsockopt(member_of(channel)->source.fd, SOL_SOCKET, SO_SNDBUF, &tiny, sizeof tiny);
    return c;
}

/* Make samples until one has stayed in the backlog for 50 ms. Returns the time then. */
static int64_t stall(azc_channel *channel, const azc_conn *conn) {
    int64_t now = clock_ms(), taken = now;
    for (; now < taken + 50; now = clock_ms()) {
        sample(server, channel);
        azc_poll(server, 0);
        if (azc_backlog(conn) == 0) taken = clock_ms();
    }
    return now;
}

static void slow(void) {
    TEST("a viewer that stopped reading gets the newest sample next, however many it missed") {
        server = create(NULL);
        azc_channel *channel = add_board(server);
        listening(server);
        client *c = slow_viewer(channel);
        const azc_conn *conn = member_of(channel);
        int64_t stalled = stall(channel, conn);
        uint64_t bytes = azc_stats(server)->bytes_out;
        CHECK(azc_backlog(conn) < 2048); /* the rest of a started sample, and the newest */

        pump(server, 5);
        for (int i = 0; i < 1000; i++) {
            sample(server, channel);
            azc_poll(server, 0);
        }
        CHECK(azc_backlog(conn) < 2048);
        CHECK_INT(azc_dropped(conn), 0);
        pump(server, 5);
        int64_t last = clock_ms();
        sample(server, channel);
        bytes = azc_stats(server)->bytes_out - bytes; /* 0 unless the kernel took more */

        uint64_t newer = 0;
        int64_t t = next_sample(c);
        for (; t > 0 && t < last; t = next_sample(c)) newer += t > stalled;
        CHECK(t >= last);
        CHECK(newer * 100 <= bytes);
        finish(server);
    }
    TEST("a stalled viewer does not slow the others down") {
        server = create(NULL);
        azc_channel *channel = add_board(server);
        listening(server);
        slow_viewer(channel);
        const azc_conn *conn = member_of(channel);
        client *quick_one = join_channel(server, "/board");
        stall(channel, conn);
        for (int i = 0; i < 50; i++) {
            int64_t now = clock_ms(), t = 1;
            sample(server, channel);
            while (t > 0 && t < now) t = next_sample(quick_one);
            CHECK(t >= now);
        }
        finish(server);
    }
}

static void late(void) {
    TEST("a late viewer gets each kept sample once and in order, then the new ones") {
        server = create(NULL);
        azc_channel *channel = add_board(server);
        listening(server);
        for (int i = 0; i < HISTORY + 20; i++) {
            sample(server, channel);
            pump(server, 2); /* so that all times differ */
        }
        client *c = join_channel(server, "/board");
        int64_t before = 0, t = 1;
        for (int i = 0; i < HISTORY && t > 0; i++, before = t) {
            t = next_sample(c);
            CHECK(t > before);
        }
        EXPECT_SILENCE(c);
        sample(server, channel);
        CHECK(next_sample(c) > before);
        finish(server);
    }
}

int main(int argc, char **argv) {
    test_start(argc, argv);
    slow();
    late();
    return test_end();
}
