/* CONN over real sockets: how channels end (RFC 6455 section 7). */
#define AZCHAN_IMPLEMENTATION
#include "../azchan.h"
#include "test.h"
#include "client.h"

#define M "\0\0\0\0" /* a mask that shows the payload */

/* Answer the server's Close and see the stream end. */
static void end_of(client *c) {
    client_bye(c, 1000, "");
    EXPECT_EOF(c);
    client_close(c);
}

/* ---- Closing --------------------------------------------------------------------------------- */

static int close_code;
static const char *close_reason;
static int close_message(azc_conn *conn, const char *text, size_t len) {
    note_text(conn, text, len);
    int result = azc_close(conn, close_code, close_reason);
    CHECK_INT(azc_close(conn, 1000, "again"), AZC_ERR_CLOSED);
    CHECK_INT(azc_send_text(conn, "x", 1), AZC_ERR_CLOSED);
    CHECK_INT(azc_send_binary(conn, "x", 1), AZC_ERR_CLOSED);
    CHECK_INT(azc_ping(conn, "x", 1), AZC_ERR_CLOSED);
    CHECK_INT(azc_join(conn, "r"), AZC_ERR_CLOSED);
    CHECK_INT(azc_broadcast(served, NULL, "x", 1, NULL), 0);
    note("closed");
    return result;
}
static int close_connect(azc_conn *conn) {
    note("connect");
    azc_send_text(conn, "Unauthorized", 12);
    return azc_close(conn, 4001, "go away");
}
static void send_in_close(azc_conn *conn, int code, const char *reason) {
    note_close(conn, code, reason);
    CHECK_INT(azc_send_text(conn, "x", 1), AZC_ERR_CLOSED);
    CHECK_INT(azc_ping(conn, "x", 1), AZC_ERR_CLOSED);
    CHECK_INT(azc_close(conn, 1000, "x"), AZC_ERR_CLOSED);
    CHECK_INT(azc_join(conn, "r"), AZC_ERR_CLOSED);
    CHECK(azc_find(azc_server_of(conn), azc_id(conn)) == NULL);
    CHECK(azc_id(conn) != 0);
}
static int close_others(azc_conn *conn, const char *text, size_t len) {
    note("text %s", word_of(text, len));
    for (azc_cursor c = azc_members(azc_channel_of(conn), NULL); azc_cursor_next(&c);)
        if (c.conn != conn) CHECK_INT(azc_close(c.conn, 4000, ""), AZC_OK);
    return AZC_OK;
}

static void closing(void) {
    TEST("a peer's Close is echoed with its code and reason, and the server ends the stream") {
        static char reason[124];
        memset(reason, 'r', 123);
        const char *reasons[] = {"", "bye", "\xe2\x82\xac", reason};
        azc_channel_desc d = recorder("/t");
        d.on_close = send_in_close;
        azc_server *server = serve(NULL, d);
        for (size_t i = 0; i < 4; i++) {
            client *c = join_channel(server, "/t");
            client_bye(c, 4321, reasons[i]);
            EXPECT_CLOSE(c, 4321, reasons[i]);
            EXPECT_EOF(c);
            char want[300];
            snprintf(want, sizeof want, "connect; close 4321%s%s; ", i ? " " : "", reasons[i]);
            EXPECT_EVENTS(want);
            client_close(c);
        }
        finish(server);
    }
    TEST("an empty Close is answered by an empty one, and is 1005 to on_close") {
        azc_server *server = serve(NULL, recorder("/t"));
        client *c = join_channel(server, "/t");
        client_bye(c, 0, "");
        EXPECT_CLOSE(c, 0, NULL);
        EXPECT_EOF(c);
        EXPECT_EVENTS("connect; close 1005; ");
        finish(server);
    }
    TEST("a peer that ends TCP without a Close is 1006, and frames after a Close are not read") {
        azc_server *server = serve(NULL, recorder("/t"));
        client *c = join_channel(server, "/t");
        client_close(c);
        settle(server);
        EXPECT_EVENTS("connect; close 1006; ");
        c = join_channel(server, "/t");
        batch b = batch_of("");
        batch_add(&b, FIN | CLOSE, "\x03\xe8"), batch_add(&b, FIN | TEXT, "late");
        batch_add(&b, FIN | PING, "later"), batch_add(&b, 0xff, "bad");
        client_send(c, b.bytes, b.len);
        EXPECT_CLOSE(c, 1000, "");
        EXPECT_EOF(c);
        EXPECT_EVENTS("connect; close 1000; ");
        finish(server);
    }
    TEST("azc_close in on_message takes effect in that turn: no message is delivered after it") {
        azc_channel_desc d = recorder("/t");
        d.on_message = close_message;
        azc_server *server = serve(NULL, d);
        client *c = join_channel(server, "/t");
        close_code = 4001, close_reason = "expired";
        batch b = batch_of("");
        batch_add(&b, FIN | TEXT, "one"), batch_add(&b, FIN | TEXT, "two");
        batch_add(&b, FIN | PING, "three"), batch_add(&b, FIN | BINARY, "four");
        client_send(c, b.bytes, b.len);
        for (int i = 0; i < 100 && !strstr(tape_text(&events), "text"); i++) azc_poll(server, 1);
        EXPECT_EVENTS("connect; text one; closed; close 4001 expired; ");
        EXPECT_CLOSE(c, 4001, "expired");
        client_text(c, "five");
        client_bye(c, 1000, "other words");
        EXPECT_EOF(c);
        EXPECT_EVENTS("");
        finish(server);
    }
    TEST("azc_close in on_connect: a message before it is sent, and no frame is delivered") {
        azc_channel_desc d = recorder("/t");
        d.on_connect = close_connect;
        azc_server *server = serve(NULL, d);
        for (int eager = 0; eager < 2; eager++) {
            batch b = batch_of("GET /t HTTP/1.1\r\n" UPGRADE "\r\n");
            if (eager) batch_add(&b, FIN | TEXT, "eager"), batch_add(&b, FIN | PING, "eager");
            client *c = client_open(server);
            client_send(c, b.bytes, b.len);
            answer a;
            CHECK_INT(client_answer(c, &a), 101);
            EXPECT_TEXT(c, "Unauthorized");
            EXPECT_CLOSE(c, 4001, "go away");
            end_of(c);
            EXPECT_EVENTS("connect; close 4001 go away; ");
        }
        finish(server);
    }
    TEST("azc_close between polls: queued messages are sent first, on_close runs next turn") {
        azc_server *server = serve(NULL, recorder("/t"));
        client *c = join_channel(server, "/t");
        azc_conn *conn = member_of(served);
        uint64_t id = azc_id(conn);
        EXPECT_EVENTS("connect; ");
        for (int i = 0; i < 3; i++) CHECK_INT(azc_send_text(conn, "queued", 6), AZC_OK);
        CHECK_INT(azc_close(conn, 1000, "done"), AZC_OK);
        CHECK_INT(azc_close(conn, 1000, "done"), AZC_ERR_CLOSED);
        CHECK_INT(azc_send_text(conn, "late", 4), AZC_ERR_CLOSED);
        EXPECT_EVENTS("");
        azc_poll(server, 0);
        EXPECT_EVENTS("close 1000 done; ");
        CHECK(azc_find(server, id) == NULL);
        for (int i = 0; i < 3; i++) EXPECT_TEXT(c, "queued");
        EXPECT_CLOSE(c, 1000, "done");
        end_of(c);
        EXPECT_EVENTS("");
        finish(server);
    }
    TEST("azc_close takes the codes of the manual and 0, and refuses all others") {
        azc_server *server = serve(NULL, recorder("/t"));
        int good[] = {1000, 1001, 1002, 1003, 1007, 1008, 1009, 1010, 1011, 1012, 1013, 1014,
                      3000, 3999, 4000, 4999};
        int bad[] = {-1, 1, 999, 1004, 1005, 1006, 1015, 1016, 1999, 2000, 2999, 5000, 65535,
                     65536, 66536};
        char reason[125];
        memset(reason, 'r', 124), reason[124] = 0;
        client *c = join_channel(server, "/t");
        azc_conn *conn = member_of(served);
        for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
            if (!CHECK_INT(azc_close(conn, bad[i], ""), AZC_ERR_ARGUMENT)) printf("%d\n", bad[i]);
        CHECK_INT(azc_close(conn, 1000, reason), AZC_ERR_ARGUMENT);
        CHECK_INT(azc_close(conn, 0, "r"), AZC_ERR_ARGUMENT); /* a reason needs a code */
        settle(server);
        EXPECT_EVENTS("connect; ");
        EXPECT_SILENCE(c);
        CHECK_INT(azc_close(conn, 4000, reason + 1), AZC_OK);
        EXPECT_CLOSE(c, 4000, reason + 1);
        end_of(c);
        for (size_t i = 0; i < sizeof good / sizeof *good; i++) {
            c = join_channel(server, "/t");
            CHECK_INT(azc_close(member_of(served), good[i], i % 2 ? NULL : "why"), AZC_OK);
            EXPECT_CLOSE(c, good[i], i % 2 ? "" : "why");
            end_of(c);
        }
        tape_clear(&events);
        c = join_channel(server, "/t");
        CHECK_INT(azc_close(member_of(served), 0, NULL), AZC_OK);
        EXPECT_CLOSE(c, 0, NULL);
        end_of(c);
        EXPECT_EVENTS("connect; close 1005; ");
        finish(server);
    }
    TEST("when both sides close at once, on_close runs once, with the program's code and reason") {
        azc_server *server = serve(NULL, recorder("/t"));
        client *c = join_channel(server, "/t");
        CHECK_INT(azc_close(member_of(served), 4000, "mine"), AZC_OK);
        client_bye(c, 4999, "theirs");
        EXPECT_CLOSE(c, 4000, "mine");
        EXPECT_EOF(c);
        EXPECT_EVENTS("connect; close 4000 mine; ");
        finish(server);
    }
    TEST("a connection closed by another's callback gets no message, not even in that turn") {
        azc_channel_desc d = recorder("/t");
        d.on_message = close_others;
        azc_server *server = serve(NULL, d);
        client *c[8];
        for (int i = 0; i < 8; i++) c[i] = join_channel(server, "/t");
        for (int i = 0; i < 8; i++) client_text(c[i], "me");
        settle(server);
        CHECK_INT(count_of(tape_text(&events), "text me"), 1);
        CHECK_INT(count_of(tape_text(&events), "close 4000"), 7);
        CHECK_INT(azc_count(served, NULL), 1);
        finish(server);
    }
    TEST("a peer that never answers a Close is dropped after close_ms, and on_close ran before") {
        azc_config config = quick();
        config.close_ms = 60;
        azc_server *server = serve(&config, recorder("/t"));
        int base = descriptors();
        client *c = join_channel(server, "/t");
        azc_close(member_of(served), 1000, "");
        azc_poll(server, 0);
        long long began = now_ms();
        EXPECT_EVENTS("connect; close 1000; ");
        EXPECT_CLOSE(c, 1000, "");
        CHECK_INT(descriptors(), base + 2);
        pump_until(server, descriptors() == base + 1);
        CHECK(now_ms() - began >= 50 && now_ms() - began < 2000);
        EXPECT_EOF(c);
        EXPECT_EVENTS("");
        finish(server);
    }
    TEST("a peer that answers a Close but keeps its TCP open is dropped after close_ms") {
        azc_config config = quick();
        config.close_ms = 60;
        azc_server *server = serve(&config, recorder("/t"));
        int base = descriptors();
        client *c = join_channel(server, "/t");
        client_bye(c, 1000, "");
        EXPECT_CLOSE(c, 1000, "");
        EXPECT_EOF(c);
        pump_until(server, descriptors() == base + 1);
        finish(server);
    }
    TEST("a peer that steadily reads the data before a Close gets all of it; one that stops does not") {
        enum { MUCH = 24 << 20, EACH = 1 << 20 }; /* more than the kernel takes */
        static char message[EACH], piece[100000];
        azc_config config = quick();
        config.max_backlog = MUCH + EACH, config.close_ms = config.handshake_ms = 250;
        for (int stops = 0; stops < 2; stops++) {
            azc_server *server = serve(&config, recorder("/ws"));
            client *c = join_channel(server, "/ws");
            azc_conn *conn = member_of(served);
            for (int i = 0; i < MUCH / EACH; i++)
                CHECK_INT(azc_send_binary(conn, message, EACH), AZC_OK);
            CHECK_INT(azc_close(conn, 1000, "enough"), AZC_OK);
            long long start = now_ms();
            size_t got = 0, want = MUCH + MUCH / EACH * 10 + 10;
            unsigned char last[10];
            while (got < want && now_ms() < start + test_patience() &&
                   (!stops || azc_stats(server)->connections > 0)) {
                ssize_t n = stops && now_ms() > start + 500
                                ? 0 : recv(c->fd, piece, sizeof piece, 0);
                if (n > 0) got += (size_t)n;
                if (n >= 10) memcpy(last, piece + n - 10, 10);
                pump(server, 5);
            }
            if (!stops) CHECK_INT(got, want);
            if (!stops) CHECK(memcmp(last, "\x88\x08\x03\xe8" "enough", 10) == 0);
            if (!stops) CHECK(now_ms() - start > 2 * config.close_ms);
            if (stops) CHECK_INT(azc_stats(server)->connections, 0);
            if (stops) CHECK(now_ms() - start < 500 + 3 * config.close_ms + 500);
            EXPECT_EVENTS("connect; close 1000 enough; ");
            finish(server);
        }
    }
    TEST("a peer that ends its TCP after a Close frees the connection at once") {
        azc_config config = quick();
        config.close_ms = 60000;
        azc_server *server = serve(&config, recorder("/t"));
        int base = descriptors();
        for (int i = 0; i < 3; i++) {
            client *c = join_channel(server, "/t");
            if (i == 0) client_bye(c, 1000, "");
            if (i == 1) azc_close(member_of(served), 1000, "");
            if (i == 2) client_send(c, "\xff\x80" M, 6);
            EXPECT_CLOSE(c, i == 2 ? 1002 : 1000, NULL);
            if (i) client_bye(c, 1000, "");
            EXPECT_EOF(c);
            client_close(c);
            pump_until(server, descriptors() == base);
        }
        finish(server);
    }
    TEST("a peer that sends a lot before it reads still receives the Close: no reset") {
        azc_channel_desc d = recorder("/t");
        d.on_message = close_message;
        azc_config config = quick();
        config.close_ms = 3000;
        azc_server *server = serve(&config, d);
        for (int way = 0; way < 3; way++) {
            client *c = join_channel(server, "/t");
            close_code = 4000, close_reason = "stop";
            azc_send_text(member_of(served), "last words", 10);
            if (way == 0) client_text(c, "go");
            if (way == 1) client_send(c, "\xff\x80" M, 6);
            if (way == 2) client_bye(c, 4000, "stop");
            char *data = (char *)calloc(1, 60000);
            for (int i = 0; i < 50; i++) CHECK(client_frame(c, FIN | BINARY, data, 60000));
            free(data);
            EXPECT_TEXT(c, "last words");
            EXPECT_CLOSE(c, way == 1 ? 1002 : 4000, way == 1 ? NULL : "stop");
            if (way != 2) client_bye(c, 1000, "");
            EXPECT_EOF(c);
            client_close(c);
        }
        finish(server);
    }
    TEST("a peer that never stops sending after a Close is dropped after close_ms all the same") {
        azc_config config = quick();
        config.close_ms = 60;
        azc_server *server = serve(&config, recorder("/t"));
        int base = descriptors();
        client *c = join_channel(server, "/t");
        azc_close(member_of(served), 1000, "");
        char *data = (char *)calloc(1, 60000);
        long long end = now_ms() + WAIT_MS;
        while (descriptors() == base + 2 && now_ms() < end) {
            client_send_some(c, data, 60000);
            azc_poll(server, 1);
        }
        CHECK_INT(descriptors(), base + 1);
        free(data);
        finish(server);
    }
}

/* ---- Dropped in every state ------------------------------------------------------------------ */

enum { STATES = 11 };
/* Bring a client into a state; returns whether on_connect ran and on_close did not yet. */
static int into_state(client *c, int state, const char **name) {
    static const char *names[STATES] = {
        "connected", "half a request", "open", "half a frame header", "half a frame",
        "between fragments", "the server closed", "the peer closed", "the server failed it",
        "backlog", "refused"};
    *name = names[state];
    static char big[60000];
    memset(big, 'b', sizeof big);
    if (state == 1) client_print(c, "GET /t HT");
    if (state == 10) client_print(c, "BAD\r\n\r\n");
    if (state >= 2 && state <= 9) CHECK_INT(client_upgrade(c, "/t", ""), 101);
    azc_conn *conn = state >= 2 && state <= 9 ? member_of(served) : NULL;
    if (state == 3) client_send(c, "\x81", 1);
    if (state == 4) client_send(c, "\x81\x85" M "Hel", 9);
    if (state == 5) client_frame(c, TEXT, "Hel", 3);
    if (state == 6) azc_close(conn, 1000, "");
    if (state == 7) client_bye(c, 1000, "");
    if (state == 8) client_send(c, "\xff\x80" M, 6);
    for (int i = 0; i < 4 && state == 9; i++) CHECK_INT(azc_send_binary(conn, big, 60000), AZC_OK);
    settle(c->server);
    return state >= 2 && state <= 5;
}

static void dropped(void) {
    TEST("a reset in any state is one 1006 if the channel was open, and no callback otherwise") {
        azc_channel_desc d = recorder("/t");
        d.on_drain = NULL; /* the kernel may take it all */
        azc_server *server = serve(NULL, d);
        int base = descriptors();
        for (int state = 0; state < STATES; state++) {
            const char *name;
            client *c = state == 9 ? client_open_to(server, "127.0.0.1", azc_port(server), 1)
                                   : client_open(server);
            int open = into_state(c, state, &name);
            client_reset(c);
            pump_until(server, descriptors() == base);
            const char *want = open || state == 9           ? "connect; close 1006; "
                               : state == 6 || state == 7   ? "connect; close 1000; "
                               : state == 8                 ? "connect; close 1002; " : "";
            if (!EXPECT_EVENTS(want)) printf("    in state: %s\n", name);
            CHECK_INT(azc_count(served, NULL), 0);
        }
        finish(server);
    }
    TEST("a peer that half-closes in any state is closed, and no descriptor stays open") {
        azc_config config = quick();
        config.handshake_ms = 200, config.close_ms = 200;
        azc_channel_desc d = recorder("/t");
        d.on_drain = NULL;
        azc_server *server = serve(&config, d);
        int base = descriptors();
        for (int state = 0; state < STATES; state++) {
            const char *name;
            client *c = client_open(server);
            into_state(c, state, &name);
            shutdown(c->fd, SHUT_WR);
            client_await(c, 10000000); /* reads on until the end */
            int ended = CHECK(c->eof != 0);
            ended &= CHECK_INT(c->eof, 1);
            client_close(c);
            pump_until(server, descriptors() == base);
            const char *want = state == 0 || state == 1 || state == 10 ? ""
                               : state == 6 || state == 7              ? "connect; close 1000; "
                               : state == 8                            ? "connect; close 1002; "
                                                                       : "connect; close 1006; ";
            EXPECT_EVENTS(want);
            if (!ended) printf("    in state: %s\n", name);
        }
        finish(server);
    }
    TEST("messages that a peer sent before it half-closed or disconnected are delivered") {
        azc_server *server = serve(NULL, recorder("/t"));
        client *c = join_channel(server, "/t");
        client_text(c, "last"), client_frame(c, FIN | BINARY, "words", 5);
        shutdown(c->fd, SHUT_WR);
        settle(server);
        EXPECT_EVENTS("connect; text last; binary words; close 1006; ");
        c = join_channel(server, "/t");
        client_text(c, "bye");
        client_close(c);
        settle(server);
        EXPECT_EVENTS("connect; text bye; close 1006; ");
        finish(server);
    }
}

int main(int argc, char **argv) {
    test_start(argc, argv);
    closing();
    dropped();
    tape_clear(&events), tape_clear(&log_lines);
    return test_end();
}
