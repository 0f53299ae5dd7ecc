/* CONN over real sockets: what happens when a peer does not read. */
#define AZCHAN_IMPLEMENTATION
#include "../azchan.h"
#include "test.h"
#include "client.h"

static azc_config small_backlog(void) { /* no smaller than what one message and one read need */
    azc_config c = quick();
    c.max_message = 1024, c.max_backlog = 16384, c.read_buffer = 4096;
    return c;
}

/* The nth of many messages of one length. */
static char nth[1000];
static void make_nth(int n) {
    memset(nth, '.', sizeof nth);
    nth[snprintf(nth, 32, "message %d", n)] = ' ';
}

/* A client that will not read: its socket takes as little as can be, the server's next to it. */
static client *stalled(azc_server *server, const char *target) {
    int some = 16384;
    setsockopt(server->listener.fd, SOL_SOCKET, SO_SNDBUF, &some, sizeof some);
    setsockopt(server->listener.fd, SOL_SOCKET, SO_RCVBUF, &some, sizeof some);
    client *c = client_open_to(server, "127.0.0.1", azc_port(server), 1);
    if (!c) abort();
    CHECK_INT(client_upgrade(c, target, ""), 101);
    return c;
}

/* ---- Backlogs -------------------------------------------------------------------------------- */

static void backlogs(void) {
    TEST("a send past max_backlog queues nothing, returns AZC_ERR_FULL and closes with 1013") {
        azc_config config = small_backlog();
        azc_server *server = serve(&config, recorder("/t"));
        client *c = join_channel(server, "/t");
        azc_conn *conn = member_of(served);
        static char data[1000];
        int sent = 0, result;
        while ((result = azc_send_text(conn, data, sizeof data)) == AZC_OK && sent < 100) {
            sent++;
            CHECK(azc_backlog(conn) <= 16384 && azc_backlog(conn) >= (size_t)sent * 1000);
        }
        CHECK_INT(result, AZC_ERR_FULL);
        CHECK_INT(sent, 16);
        CHECK_INT(azc_send_text(conn, data, 1), AZC_ERR_CLOSED);
        azc_poll(server, 0);
        EXPECT_EVENTS("connect; close 1013; ");
        for (int i = 0; i < sent; i++) EXPECT_FRAME(c, TEXT, data, sizeof data);
        EXPECT_CLOSE(c, 1013, NULL);
        client_bye(c, 1000, "");
        EXPECT_EOF(c);
        finish(server);
    }
    TEST("with AZC_FULL_DROP it returns AZC_ERR_FULL, and on_drain follows when there is room") {
        azc_config config = small_backlog();
        azc_channel_desc d = recorder("/t");
        d.when_full = AZC_FULL_DROP;
        azc_server *server = serve(&config, d);
        client *c = join_channel(server, "/t");
        azc_conn *conn = member_of(served);
        static char data[1000];
        int sent = 0;
        while (azc_send_binary(conn, data, sizeof data) == AZC_OK) sent++;
        CHECK_INT(sent, 16);
        CHECK_INT(azc_send_text(conn, data, sizeof data), AZC_ERR_FULL);
        CHECK_INT(azc_broadcast(served, NULL, data, sizeof data, NULL), 0);
        CHECK_INT(azc_ping(conn, "ping", 4), AZC_OK); /* control frames always go */
        EXPECT_EVENTS("connect; ");
        for (int i = 0; i < sent; i++) EXPECT_FRAME(c, BINARY, data, sizeof data);
        EXPECT_FRAME(c, PING, "ping", 4);
        settle(server);
        EXPECT_EVENTS("drain; ");
        CHECK_INT(azc_backlog(conn), 0);
        CHECK_INT(azc_send_text(conn, "again", 5), AZC_OK);
        EXPECT_TEXT(c, "again");
        EXPECT_EVENTS("");
        finish(server);
    }
    TEST("on_drain runs only if the backlog was above half") {
        azc_config config = small_backlog();
        azc_server *server = serve(&config, recorder("/t"));
        client *c = join_channel(server, "/t");
        azc_conn *conn = member_of(served);
        static char data[1000];
        for (int i = 0; i < 7; i++) azc_send_binary(conn, data, sizeof data);
        settle(server);
        EXPECT_EVENTS("connect; ");
        for (int i = 0; i < 10; i++) azc_send_binary(conn, data, sizeof data);
        settle(server);
        EXPECT_EVENTS("drain; ");
        for (int i = 0; i < 17; i++) EXPECT_FRAME(c, BINARY, data, sizeof data);
        finish(server);
    }
    TEST("on_drain also runs after a refused send, with the backlog below half") {
        azc_config config = quick();
        config.max_message = 4096, config.read_buffer = 4096, config.max_backlog = 16384;
        azc_channel_desc d = recorder("/t");
        d.when_full = AZC_FULL_DROP;
        azc_server *server = serve(&config, d);
        client *c = join_channel(server, "/t");
        static char data[10000];
        CHECK_INT(azc_send_binary(member_of(served), data, 7000), AZC_OK);
        CHECK_INT(azc_send_binary(member_of(served), data, 10000), AZC_ERR_FULL);
        EXPECT_FRAME(c, BINARY, data, 7000);
        settle(server);
        EXPECT_EVENTS("connect; drain; ");
        finish(server);
    }
    TEST("a paused peer that disconnects is 1006, and its unread messages are not delivered") {
        azc_config config = small_backlog();
        config.ping_ms = -1;
        azc_channel_desc d = recorder("/t");
        d.when_full = AZC_FULL_DROP, d.on_drain = NULL;
        azc_server *server = serve(&config, d);
        client *c = stalled(server, "/t");
        static char data[1000];
        for (int full = 0; full < 100;) { /* until the kernel has taken all that it ever will */
            full = azc_send_binary(member_of(served), data, sizeof data) == AZC_OK ? 0 : full + 1;
            azc_poll(server, full ? 1 : 0);
        }
        CHECK(azc_backlog(member_of(served)) > 8192);
        client_text(c, "unheard"), settle(server);
        EXPECT_EVENTS("connect; ");
        client_reset(c);
        pump_until(server, azc_count(served, NULL) == 0);
        EXPECT_EVENTS("close 1006; ");
        finish(server);
    }
    TEST("azc_ping ignores the backlog while it is within max_backlog") {
        azc_config config = small_backlog();
        azc_channel_desc d = recorder("/t");
        d.when_full = AZC_FULL_DROP;
        azc_server *server = serve(&config, d);
        join_channel(server, "/t");
        azc_conn *conn = member_of(served);
        static char data[1000];
        while (azc_send_binary(conn, data, sizeof data) == AZC_OK) {}
        int sent = 0, result;
        while ((result = azc_ping(conn, data, 125)) == AZC_OK && sent < 100000) sent++;
        CHECK(sent >= 1);
        if (sent < 100000) CHECK_INT(result, AZC_ERR_FULL);
        finish(server);
    }
    TEST("max_backlog is raised to hold one max_message") {
        azc_config config = quick();
        config.max_message = 100000, config.max_backlog = 1000;
        azc_server *server = serve(&config, echoer("/t"));
        char *data = (char *)calloc(1, 100000);
        client *c = join_channel(server, "/t");
        for (int i = 0; i < 3; i++) {
            client_frame(c, FIN | BINARY, data, 100000);
            EXPECT_FRAME(c, BINARY, data, 100000);
        }
        free(data);
        finish(server);
    }
    TEST("a stalled reader is closed with 1013; the others receive everything in order") {
        azc_config config = quick();
        config.max_backlog = 65536, config.max_message = 1024, config.read_buffer = 4096;
        config.close_ms = 30000; /* the slow one has time to read all that it was promised */
        azc_server *server = serve(&config, recorder("/t"));
        client *slow = stalled(server, "/t?name=slow");
        client *fast[4];
        for (int i = 0; i < 4; i++) fast[i] = join_channel(server, "/t?name=fast");
        int rounds = 0, reached = 5;
        memory.peak = memory.bytes;
        size_t before = memory.bytes;
        for (; rounds < 20000 && reached == 5; rounds++) {
            make_nth(rounds);
            reached = sent_text(served, NULL, nth, sizeof nth, NULL);
            azc_poll(server, 0);
            for (int i = 0; i < 4; i++) EXPECT_FRAME(fast[i], TEXT, nth, sizeof nth);
        }
        CHECK_INT(reached, 4);
        CHECK(memory.peak - before < 1000000);
        settle(server);
        CHECK_INT(count_of(tape_text(&events), "slow close 1013"), 1);
        CHECK_INT(count_of(tape_text(&events), "fast close"), 0);
        CHECK_INT(azc_count(served, NULL), 4);
        for (int i = 0; i < 50; i++) CHECK_INT(sent_text(served, NULL, "more", 4, NULL), 4);
        for (int k = 0; k < 4; k++)
            for (int i = 0; i < 50; i++) EXPECT_TEXT(fast[k], "more");
        /* the slow peer still gets all that was queued, and then its Close */
        for (int i = 0; i < rounds - 1 && test.bad == 0; i++) {
            make_nth(i);
            EXPECT_FRAME(slow, TEXT, nth, sizeof nth);
        }
        EXPECT_CLOSE(slow, 1013, NULL);
        finish(server);
    }
    TEST("with AZC_FULL_DROP a stalled reader misses only the newest, until on_drain") {
        azc_config config = quick();
        config.max_backlog = 65536, config.max_message = 1024, config.read_buffer = 4096;
        azc_channel_desc d = recorder("/t");
        d.when_full = AZC_FULL_DROP;
        azc_server *server = serve(&config, d);
        client *c = stalled(server, "/t");
        azc_conn *conn = member_of(served);
        int sent = 0, full = 0;
        for (int i = 0; i < 100000 && full < 50; i++) {
            make_nth(sent);
            int result = azc_send_text(conn, nth, sizeof nth);
            CHECK(azc_backlog(conn) <= 65536);
            if (result == AZC_OK) sent++;
            else CHECK_INT(result, AZC_ERR_FULL), full++;
            azc_poll(server, 0);
        }
        CHECK(full == 50);
        for (int i = 0; i < sent && test.bad == 0; i++) {
            make_nth(i);
            EXPECT_FRAME(c, TEXT, nth, sizeof nth);
        }
        EXPECT_SILENCE(c);
        CHECK_INT(count_of(tape_text(&events), "close"), 0);
        CHECK(count_of(tape_text(&events), "drain") >= 1);
        CHECK_INT(azc_send_text(conn, "on", 2), AZC_OK);
        EXPECT_TEXT(c, "on");
        finish(server);
    }
    TEST("past half of max_backlog that peer is not read, so its echoes cannot overrun it") {
        azc_config config = small_backlog();
        config.ping_ms = -1;
        azc_server *server = serve(&config, echoer("/t"));
        client *c = stalled(server, "/t"), *other = join_channel(server, "/t");
        static unsigned char frames[16 * 1100];
        unsigned char data[1000];
        size_t len = 0, at = 0, total = 0, before = memory.peak = memory.bytes;
        for (int i = 0; i < 16; i++) {
            memset(data, 'A' + i, sizeof data);
            len += put_frame(frames + len, FIN | TEXT, data, sizeof data, SHORTEST, some_mask);
        }
        /* push until neither the server nor the kernel takes more */
        for (int idle = 0; idle < 50 && total < 64u << 20;) {
            long n = client_send_some(c, frames + at, len - at);
            if (!CHECK(n >= 0)) break;
            at = (at + (size_t)n) % len, total += (size_t)n, idle = n ? 0 : idle + 1;
            azc_poll(server, n ? 0 : 1);
        }
        len /= 16;
        CHECK(total < 64u << 20); /* it did pause */
        CHECK(memory.peak - before < 8 * 16384);
        EXPECT_EVENTS("");
        client_text(other, "and you?"); /* is served meanwhile */
        EXPECT_TEXT(other, "and you?");
        for (size_t k = 0; k < total / len && test.bad == 0; k++) {
            memset(data, 'A' + (int)(k % 16), sizeof data);
            EXPECT_FRAME(c, TEXT, data, sizeof data);
        }
        EXPECT_EVENTS("");
        finish(server);
    }
    TEST("many small messages in one segment are all echoed, however small the backlog") {
        azc_config config = small_backlog();
        config.read_buffer = 262144;
        azc_server *server = serve(&config, echoer("/t"));
        client *c = join_channel(server, "/t");
        static unsigned char all[150000];
        size_t len = 0;
        for (int i = 0; i < 130; i++) {
            char data[1000];
            memset(data, 'a' + i % 26, sizeof data);
            len += put_frame(all + len, FIN | TEXT, data, sizeof data, SHORTEST, some_mask);
        }
        client_send(c, all, len);
        for (int i = 0; i < 130 && test.bad == 0; i++) {
            char data[1000];
            memset(data, 'a' + i % 26, sizeof data);
            EXPECT_FRAME(c, TEXT, data, sizeof data);
        }
        EXPECT_EVENTS("");
        finish(server);
    }
    TEST("pings from a peer that never reads cost no more than the backlog") {
        azc_config config = small_backlog();
        azc_server *server = serve(&config, echoer("/t"));
        client *c = stalled(server, "/t");
        static unsigned char pings[500 * 131];
        char data[125] = {0};
        size_t len = 0, at = 0, total = 0, before = memory.peak = memory.bytes;
        for (int i = 0; i < 500; i++)
            len += put_frame(pings + len, FIN | PING, data, 125, SHORTEST, some_mask);
        for (int idle = 0; idle < 20 && total < 32u << 20;) {
            long n = client_send_some(c, pings + at, len - at);
            if (!CHECK(n >= 0)) break;
            at = (at + (size_t)n) % len, total += (size_t)n, idle = n ? 0 : idle + 1;
            azc_poll(server, n ? 0 : 1);
        }
        len = 131;
        CHECK(memory.peak - before < 8 * 16384);
        for (size_t i = 0; i < total / len && test.bad == 0; i++) EXPECT_FRAME(c, PONG, data, 125);
        finish(server);
    }
}

int main(int argc, char **argv) {
    test_start(argc, argv);
    backlogs();
    tape_clear(&events), tape_clear(&log_lines);
    return test_end();
}
