/* CONN over real sockets: the laws of callbacks and sends. */
#define AZCHAN_IMPLEMENTATION
#include "../azchan.h"
#include "test.h"
#include "client.h"

static int fail_with, fail_where;
static int f_connect(azc_conn *c) { return note_connect(c), fail_where == 1 ? fail_with : 0; }
static int f_message(azc_conn *c, const char *t, size_t n) {
    return note_text(c, t, n), fail_where == 2 ? fail_with : 0;
}
static int f_binary(azc_conn *c, const void *d, size_t n) {
    return note_binary(c, d, n), fail_where == 3 ? fail_with : 0;
}
static int f_ping(azc_conn *c, const void *d, size_t n) {
    return note_ping(c, d, n), fail_where == 4 ? fail_with : 0;
}
static int f_pong(azc_conn *c, const void *d, size_t n) {
    return note_pong(c, d, n), fail_where == 5 ? fail_with : 0;
}
static azc_channel_desc failer(int with_on_error) {
    azc_channel_desc d = recorder("/t");
    d.on_connect = f_connect, d.on_message = f_message, d.on_binary = f_binary;
    d.on_ping = f_ping, d.on_pong = f_pong;
    if (!with_on_error) d.on_error = NULL;
    return d;
}
static void provoke(client *c, int where) {
    if (where == 2) client_text(c, "t");
    if (where == 3) client_frame(c, FIN | BINARY, "b", 1);
    if (where == 4) client_frame(c, FIN | PING, "p", 1);
    if (where == 5) client_frame(c, FIN | PONG, "q", 1);
    if (where == 4) EXPECT_FRAME(c, PONG, "p", 1);
}
static const char *provoked[] = {"", "connect; ", "connect; text t; ", "connect; binary b; ",
                                 "connect; ping p; ", "connect; pong q; "};

static int json_message(azc_conn *conn, const char *text, size_t len) {
    azc_json doc;
    int result = azc_json_read(&doc, text, len);
    return result != AZC_OK ? result : azc_send_text(conn, "good", 4);
}

static int depth;
static int nest_message(azc_conn *conn, const char *text, size_t len) {
    (void)text, (void)len;
    CHECK_INT(depth++, 0);
    azc_send_text(conn, "x", 1);
    azc_broadcast(azc_channel_of(conn), NULL, "y", 1, NULL);
    azc_close(conn, 1000, "");
    CHECK_INT(azc_poll(azc_server_of(conn), 0), AZC_ERR_STATE);
    depth--;
    return AZC_OK;
}
static void nest_close(azc_conn *conn, int code, const char *reason) {
    CHECK_INT(depth++, 0);
    note_close(conn, code, reason);
    for (azc_cursor c = azc_members(azc_channel_of(conn), NULL); azc_cursor_next(&c);)
        azc_close(c.conn, 4000, "");
    depth--;
}

static int write_json(azc_conn *conn, const char *text, size_t len) {
    char buf[64], small[8];
    azc_writer w = azc_put_begin(buf, sizeof buf);
    azc_put_string(&w, "type", "users");
    azc_put_int(&w, "count", 3);
    CHECK_INT(azc_send_json(conn, &w), AZC_OK);
    w = azc_put_begin(buf, sizeof buf);
    azc_put_text(&w, "echo", text, len);
    CHECK_INT(sent_json(azc_channel_of(conn), NULL, &w, NULL), 1);
    w = azc_put_begin(buf, sizeof buf);
    azc_put_null(&w, "x");
    CHECK_INT(azc_broadcast_json(azc_channel_of(conn), NULL, &w, conn), 0);
    w = azc_put_begin(small, sizeof small);
    azc_put_string(&w, "type", "too long for it");
    CHECK_INT(azc_send_json(conn, &w), AZC_ERR_FULL);
    CHECK_INT(azc_broadcast_json(azc_channel_of(conn), NULL, &w, NULL), AZC_ERR_FULL);
    w = azc_put_begin(buf, sizeof buf);
    azc_put_string(&w, "type", "\xff");
    CHECK_INT(azc_send_json(conn, &w), AZC_ERR_UTF8);
    return AZC_OK;
}

static void callbacks(void) {
    TEST("an error of a callback goes to on_error; nothing is sent, and nothing is closed") {
        azc_server *server = serve(NULL, failer(1));
        int errors[] = {AZC_ERR_JSON, AZC_ERR_APP, AZC_ERR_FULL};
        for (fail_where = 1; fail_where <= 5; fail_where++) {
            for (int i = 0; i < 3; i++) {
                char want[100];
                fail_with = errors[i];
                client *c = join_channel(server, "/t");
                provoke(c, fail_where);
                settle(server);
                snprintf(want, sizeof want, "%serror %d; ", provoked[fail_where], fail_with);
                EXPECT_EVENTS(want);
                EXPECT_SILENCE(c);
                CHECK_STR(tape_text(&log_lines), "");
                client_close(c), settle(server);
                EXPECT_EVENTS("close 1006; ");
            }
        }
        finish(server);
    }
    TEST("without on_error it is logged, and sent to the peer as the manual's JSON") {
        azc_server *server = serve(NULL, failer(0));
        for (fail_where = 1; fail_where <= 5; fail_where++) {
            for (int i = 0; i < 2; i++) {
                fail_with = i ? AZC_ERR_APP : AZC_ERR_JSON;
                client *c = join_channel(server, "/t");
                provoke(c, fail_where);
                EXPECT_TEXT(c, i ? "{\"type\":\"error\",\"code\":\"INTERNAL_ERROR\"}"
                                 : "{\"type\":\"error\",\"code\":\"INVALID_JSON\"}");
                EXPECT_EVENTS(provoked[fail_where]);
                CHECK_INT(count_of(tape_text(&log_lines), "\n"), 1);
                tape_clear(&log_lines);
                fail_with = AZC_OK;
                client_text(c, "alive"), settle(server);
                EXPECT_EVENTS("text alive; ");
                client_close(c), settle(server);
                tape_clear(&events);
            }
        }
        finish(server);
    }
    TEST("AZC_OK alone is success: a positive result reaches on_error as it is") {
        static const char *const ended[] = {
            "", "connect; error 1; ", "connect; text t; error 1; ", "connect; binary b; error 1; ",
            "connect; ping p; error 1; ", "connect; pong q; error 1; "};
        azc_server *server = serve(NULL, failer(1));
        fail_with = 1;
        for (fail_where = 1; fail_where <= 5; fail_where++) {
            client *c = join_channel(server, "/t");
            provoke(c, fail_where), settle(server);
            EXPECT_EVENTS(ended[fail_where]);
            client_close(c), settle(server), tape_clear(&events);
        }
        finish(server);
    }
    TEST("a callback may return the error of azc_json_read as it is") {
        azc_channel_desc d;
        memset(&d, 0, sizeof d);
        d.path = "/t", d.on_message = json_message;
        azc_server *server = serve(NULL, d);
        client *c = join_channel(server, "/t");
        client_text(c, "{\"a\":");
        EXPECT_TEXT(c, "{\"type\":\"error\",\"code\":\"INVALID_JSON\"}");
        client_text(c, "{\"a\":1}");
        EXPECT_TEXT(c, "good");
        finish(server);
    }
    TEST("a channel with no callbacks at all connects, answers pings and closes") {
        azc_channel_desc d;
        memset(&d, 0, sizeof d);
        d.path = "/t";
        azc_server *server = serve(NULL, d);
        client *c = join_channel(server, "/t");
        CHECK_INT(azc_count(served, NULL), 1);
        CHECK(azc_data(member_of(served)) == NULL);
        client_text(c, "x");
        client_frame(c, FIN | BINARY, "x", 1);
        client_frame(c, FIN | PONG, "", 0);
        client_frame(c, FIN | PING, "?", 1);
        EXPECT_FRAME(c, PONG, "?", 1);
        client_bye(c, 1000, "");
        EXPECT_CLOSE(c, 1000, "");
        EXPECT_EOF(c);
        CHECK_INT(azc_count(served, NULL), 0);
        finish(server);
    }
    TEST("no callback runs inside another, whatever it does") {
        azc_channel_desc d = recorder("/t");
        d.on_message = nest_message, d.on_close = nest_close;
        azc_server *server = serve(NULL, d);
        client *c[4];
        for (int i = 0; i < 4; i++) c[i] = join_channel(server, "/t");
        tape_clear(&events);
        depth = 0;
        client_text(c[1], "go");
        settle(server);
        CHECK_INT(count_of(tape_text(&events), "close 1000"), 1);
        CHECK_INT(count_of(tape_text(&events), "close 4000"), 3);
        CHECK_INT(azc_count(served, NULL), 0);
        finish(server);
    }
    TEST("messages queued between polls are sent by the next poll, in order") {
        azc_server *server = serve(NULL, recorder("/t"));
        client *c = join_channel(server, "/t");
        azc_conn *conn = member_of(served);
        char copied[] = "first";
        CHECK_INT(azc_send_text(conn, copied, 5), AZC_OK);
        CHECK(azc_backlog(conn) >= 7);
        memset(copied, '!', 5); /* copied before return */
        CHECK_INT(azc_send_binary(conn, "second", 6), AZC_OK);
        CHECK_INT(azc_ping(conn, "third", 5), AZC_OK);
        CHECK_INT(sent_text(served, NULL, "fourth", 6, NULL), 1);
        usleep(2000);
        client_fill(c);
        CHECK_INT(c->len, 0);
        azc_poll(server, 0);
        CHECK_INT(azc_backlog(conn), 0);
        EXPECT_TEXT(c, "first");
        EXPECT_FRAME(c, BINARY, "second", 6);
        EXPECT_FRAME(c, PING, "third", 5);
        EXPECT_TEXT(c, "fourth");
        finish(server);
    }
    TEST("each connection has its own id, which is never used again") {
        azc_server *server = serve(NULL, recorder("/t"));
        uint64_t seen[40];
        for (int i = 0; i < 40; i++) {
            client *c = join_channel(server, "/t");
            azc_conn *conn = member_of(served);
            seen[i] = azc_id(conn);
            CHECK(seen[i] != 0 && azc_find(server, seen[i]) == conn);
            for (int k = 0; k < i; k++) {
                CHECK(seen[k] != seen[i]);
                CHECK(azc_find(server, seen[k]) == NULL);
            }
            client_close(c), settle(server);
            CHECK(azc_find(server, seen[i]) == NULL);
        }
        CHECK(azc_find(server, 0) == NULL);
        CHECK(azc_find(server, ~(uint64_t)0) == NULL);
        finish(server);
    }
    TEST("an id is never 0, even when its serial number begins anew") {
        azc_server *server = serve(NULL, recorder("/t"));
        client *all[4];
        server->serial = ((uint64_t)1 << 40) - 3;
        uint64_t ids[4];
        for (int i = 0; i < 4; i++) {
            all[i] = join_channel(server, "/t");
            ids[i] = azc_id(member_of(served));
            CHECK(ids[i] >> AZC__SLOT_BITS != 0); /* in slot 0 the id would be 0 */
            CHECK(azc_find(server, ids[i]) == member_of(served));
            for (int j = 0; j < i; j++) CHECK(ids[i] != ids[j]);
            client_text(all[i], "hi");
        }
        CHECK(ids[1] > ids[3]);
        finish(server);
    }
    TEST("the number of refused messages stops at the largest") {
        azc_config config = quick();
        azc_channel_desc d = recorder("/t");
        d.when_full = AZC_FULL_DROP;
        config.log = NULL;
        azc_server *server = serve(&config, d);
        client *c = join_channel(server, "/t");
        azc_conn *conn = member_of(served);
        static char large[300 << 10];
        conn->dropped = UINT32_MAX - 1;
        for (int i = 0; i < 3; i++)
            CHECK_INT(azc_send_binary(conn, large, sizeof large), AZC_ERR_FULL);
        CHECK(azc_dropped(conn) == UINT32_MAX);
        CHECK_INT(azc_stats(server)->dropped, 3);
        client_close(c);
        finish(server);
    }
    TEST("data_size bytes are zero, aligned, and each connection's own") {
        azc_channel_desc d = recorder("/t");
        d.data_size = 24;
        azc_server *server = serve(NULL, d);
        for (int i = 0; i < 20; i++) {
            client *c = join_channel(server, "/t");
            for (azc_cursor m = azc_members(served, NULL); azc_cursor_next(&m);) {
                unsigned char *data = (unsigned char *)azc_data(m.conn);
                CHECK(((uintptr_t)data & (sizeof(double) - 1)) == 0);
                if (data[0]) continue;
                for (int k = 0; k < 24; k++) CHECK(data[k] == 0);
                memset(data, i + 1, 24);
            }
            if (i % 3 == 0) client_close(c), settle(server);
        }
        int sum = 0;
        for (azc_cursor m = azc_members(served, NULL); azc_cursor_next(&m);)
            sum += ((unsigned char *)azc_data(m.conn))[23];
        CHECK_INT(sum, 210 - (1 + 4 + 7 + 10 + 13 + 16 + 19));
        finish(server);
    }
    TEST("a message larger than max_backlog is AZC_ERR_FULL, even with an empty backlog") {
        azc_config config = quick();
        config.max_backlog = 200000;
        azc_channel_desc d = recorder("/t");
        d.when_full = AZC_FULL_DROP;
        azc_server *server = serve(&config, d);
        char *data = (char *)calloc(1, 200000);
        client *c = join_channel(server, "/t");
        CHECK_INT(azc_send_binary(member_of(served), data, 200000), AZC_ERR_FULL);
        CHECK_INT(azc_broadcast_binary(served, NULL, data, 200000, NULL), 0);
        CHECK_INT(azc_send_binary(member_of(served), data, 150000), AZC_OK);
        EXPECT_FRAME(c, BINARY, data, 150000);
        EXPECT_SILENCE(c);
        CHECK_INT(count_of(tape_text(&events), "close"), 0);
        free(data);
        finish(server);
    }
    TEST("azc_send_json and azc_broadcast_json send the writer's JSON, or return its error") {
        azc_channel_desc d = recorder("/t");
        d.on_message = write_json;
        azc_server *server = serve(NULL, d);
        client *c = join_channel(server, "/t");
        client_text(c, "a\"b\n");
        EXPECT_TEXT(c, "{\"type\":\"users\",\"count\":3}");
        EXPECT_TEXT(c, "{\"echo\":\"a\\\"b\\n\"}");
        EXPECT_SILENCE(c);
        finish(server);
    }
}

/* ---- Replies --------------------------------------------------------------------------------- */

static int reply(azc_conn *conn, const char *text, size_t len) {
    azc_json in;
    char buf[256];
    int error = azc_json_read(&in, text, len);
    if (error != AZC_OK) return error;
    azc_writer w = azc_put_begin(buf, sizeof buf);
    azc_put_json(&w, "ref", azc_json_get(in, "ref"));
    azc_put_string(&w, "pong", "here");
    return azc_send_json(conn, &w);
}

static void replies(void) {
    TEST("an answer can copy the request's ref unchanged, whatever JSON it is") {
        azc_channel_desc d = recorder("/t");
        d.on_message = reply;
        azc_server *server = serve(NULL, d);
        client *a = join_channel(server, "/t");
        client_text(a, "{\"ref\":17,\"ask\":\"ping\"}"), client_text(a, "{\"ref\": \"a\\u00e4\"}");
        client_text(a, "{\"ref\":{\"n\":[1, 2]}}"), client_text(a, "{}");
        EXPECT_TEXT(a, "{\"ref\":17,\"pong\":\"here\"}");
        EXPECT_TEXT(a, "{\"ref\":\"a\\u00e4\",\"pong\":\"here\"}");
        EXPECT_TEXT(a, "{\"ref\":{\"n\":[1, 2]},\"pong\":\"here\"}");
        EXPECT_TEXT(a, "{\"ref\":null,\"pong\":\"here\"}");
        finish(server);
    }
}

int main(int argc, char **argv) {
    test_start(argc, argv);
    callbacks();
    replies();
    tape_clear(&events), tape_clear(&log_lines);
    return test_end();
}
