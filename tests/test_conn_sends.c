/* CONN over real sockets: the short sends, and the lengths that every call takes. */
#define AZCHAN_IMPLEMENTATION
#include "../azchan.h"
#include "test.h"
#include "client.h"

static int join_rooms(azc_conn *conn) {
    const char *names[] = {"first", "last"};
    int error = AZC_OK;
    for (int i = 0; i < 2 && error == AZC_OK; i++)
        if (azc_query(conn, names[i])) error = azc_join(conn, azc_query(conn, names[i]));
    return error;
}

/* A server whose on_message is one of the short sends. */
static azc_server *sending(int (*on_message)(azc_conn *, const char *, size_t)) {
    azc_channel_desc d;
    memset(&d, 0, sizeof d);
    d.path = "/t", d.on_connect = join_rooms, d.on_message = on_message, d.on_error = note_error;
    return serve(NULL, d);
}

static void short_forms(void) {
    TEST("azc_send_all reaches everyone in the channel, azc_send_others all but the sender") {
        for (int others = 0; others < 2; others++) {
            azc_server *server = sending(others ? azc_send_others : azc_send_all);
            client *a = join_channel(server, "/t"), *b = join_channel(server, "/t?first=r");
            client_text(a, "hi");
            EXPECT_TEXT(b, "hi");
            if (!others) EXPECT_TEXT(a, "hi");
            EXPECT_SILENCE(a), EXPECT_SILENCE(b);
            EXPECT_EVENTS("");
            finish(server);
        }
    }
    TEST("azc_send_room reaches the others in the room joined last, or is AZC_ERR_STATE") {
        azc_server *server = sending(azc_send_room);
        client *both = join_channel(server, "/t?first=r&last=s");
        client *r = join_channel(server, "/t?first=r"), *s = join_channel(server, "/t?first=s");
        client *none = join_channel(server, "/t");
        client_text(both, "to s"), EXPECT_TEXT(s, "to s");
        client_text(r, "to r"), EXPECT_TEXT(both, "to r");
        EXPECT_EVENTS("");
        client_text(none, "to no one"), settle(server);
        char want[32];
        snprintf(want, sizeof want, "error %d; ", AZC_ERR_STATE);
        EXPECT_EVENTS(want);
        EXPECT_SILENCE(both), EXPECT_SILENCE(r), EXPECT_SILENCE(s), EXPECT_SILENCE(none);
        finish(server);
    }
    TEST("the short sends refuse NULL and bad UTF-8, and work between polls") {
        azc_server *server = sending(NULL);
        client *a = join_channel(server, "/t?first=r"), *b = join_channel(server, "/t?first=r");
        azc_conn *conn = member_of(served); /* b's */
        int (*const sends[])(azc_conn *, const char *, size_t) = {azc_send_all, azc_send_others,
                                                                  azc_send_room};
        for (int i = 0; i < 3; i++) {
            CHECK_INT(sends[i](NULL, "x", 1), AZC_ERR_ARGUMENT);
            CHECK_INT(sends[i](conn, NULL, 1), AZC_ERR_ARGUMENT);
            CHECK_INT(sends[i](conn, "\xff", 1), AZC_ERR_UTF8);
            CHECK_INT(sends[i](conn, "x", 1), AZC_OK);
        }
        for (int i = 0; i < 3; i++) EXPECT_TEXT(a, "x");
        EXPECT_TEXT(b, "x");
        EXPECT_SILENCE(a), EXPECT_SILENCE(b);
        finish(server);
    }
}

/* ---- Lengths --------------------------------------------------------------------------------- */

/* Every call that takes bytes and a length, with "hello" and that length. */
enum { SEND_TEXT, SEND_BINARY, SEND_PING, BROADCAST, BROADCAST_BINARY, SEND_ALL, SEND_OTHERS,
       SEND_ROOM, SEND_USER, DELIVER, DELIVER_BINARY, MESSAGE_TEXT, MESSAGE_BINARY, MESSAGE_TO,
       MESSAGE_LATEST, MESSAGE_HELD, CALLS };
static int call(int which, azc_conn *conn, const char *bytes, size_t len) {
    azc_message m;
    memset(&m, 0, sizeof m);
    m.text = which == MESSAGE_BINARY ? NULL : bytes, m.len = len;
    switch (which) {
    case SEND_TEXT: return azc_send_text(conn, bytes, len);
    case SEND_BINARY: return azc_send_binary(conn, bytes, len);
    case SEND_PING: return azc_ping(conn, bytes, len);
    case BROADCAST: return azc_broadcast(served, NULL, bytes, len, NULL);
    case BROADCAST_BINARY: return azc_broadcast_binary(served, "r", bytes, len, NULL);
    case SEND_ALL: return azc_send_all(conn, bytes, len);
    case SEND_OTHERS: return azc_send_others(conn, bytes, len);
    case SEND_ROOM: return azc_send_room(conn, bytes, len);
    case SEND_USER: return azc_send_user(served, "ada", bytes, len);
    case DELIVER: return azc_deliver(served, NULL, bytes, len, 0);
    case DELIVER_BINARY: return azc_deliver(served, NULL, bytes, len, 1);
    case MESSAGE_BINARY: m.binary = bytes; break;
    case MESSAGE_TO: m.to = conn; break;
    case MESSAGE_LATEST: m.to = conn, m.key = 1; break;
    case MESSAGE_HELD: m.key = 2, m.period_ms = 1; break;
    default: break;
    }
    return azc_send(served, &m);
}
static int opcode_of(int which) {
    return which == SEND_PING ? PING
           : which == SEND_BINARY || which == BROADCAST_BINARY || which == DELIVER_BINARY ||
             which == MESSAGE_BINARY ? BINARY : TEXT;
}
static int name_ada(azc_conn *conn) { return azc_set_user(conn, "ada"); }

static size_t page_len;
static int page_error;
static int page_reply(azc_conn *conn, void *userdata) {
    (void)userdata;
    page_error = azc_reply(conn, 200, "text/plain", "hello", page_len);
    return page_error == AZC_OK ? AZC_OK : 599;
}

static void lengths(void) {
    static const size_t bad[] = {AZC_NUL + 1, (size_t)-1, (size_t)-100};
    TEST("AZC_NUL is strlen in every send, and a larger length is AZC_ERR_FULL") {
        azc_channel_desc d;
        memset(&d, 0, sizeof d);
        d.path = "/t", d.on_upgrade = name_ada, d.on_connect = join_rooms;
        azc_server *server = serve(NULL, d);
        client *a = join_channel(server, "/t?first=r"), *b = join_channel(server, "/t?first=r");
        azc_conn *conn = member_of(served); /* b's */
        for (int which = 0; which < CALLS; which++) {
            int ok = 1;
            for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
                ok &= CHECK_INT(call(which, conn, "hello", bad[i]), AZC_ERR_FULL);
            ok &= CHECK_INT(azc_backlog(conn), 0);
            ok &= CHECK_INT(call(which, conn, NULL, AZC_NUL), AZC_ERR_ARGUMENT);
            ok &= CHECK_INT(call(which, conn, "hello", AZC_NUL), AZC_OK);
            client *to = which == SEND_OTHERS || which == SEND_ROOM ? a : b;
            ok &= EXPECT_FRAME(to, opcode_of(which), "hello", 5);
            ok &= CHECK_INT(call(which, conn, "", AZC_NUL), AZC_OK);
            ok &= EXPECT_FRAME(to, opcode_of(which), "", 0);
            ok &= CHECK_INT(call(which, conn, "hello", 4), AZC_OK);
            ok &= EXPECT_FRAME(to, opcode_of(which), "hell", 4);
            if (!ok) printf("    call %d\n", which);
            settle(server), client_fill(a), client_take(a, a->len);
        }
        CHECK_INT(azc_dropped(conn), 0);
        finish(server);
    }
    TEST("AZC_NUL is strlen in pages and replies, and a larger length is AZC_ERR_FULL") {
        azc_server *server = create(NULL);
        for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
            CHECK_INT(azc_add_page(server, "/bad", "text/plain", "hello", bad[i]), AZC_ERR_FULL);
        CHECK_INT(azc_listen(server), AZC_ERR_FULL);
        azc_destroy(server);
        server = create(NULL);
        CHECK_INT(azc_add_page(server, "/page", "text/plain", "hello", AZC_NUL), AZC_OK);
        CHECK_INT(azc_add_handler(server, "/reply", page_reply, NULL), AZC_OK);
        listening(server);
        client *c = client_open(server);
        answer a;
        client_print(c, "GET /page HTTP/1.1\r\nHost: a\r\n\r\n");
        CHECK_INT(client_answer(c, &a), 200);
        CHECK_STR(a.body, "hello");
        page_len = AZC_NUL;
        client_print(c, "GET /reply HTTP/1.1\r\nHost: a\r\n\r\n");
        CHECK_INT(client_answer(c, &a), 200);
        CHECK_STR(a.body, "hello");
        for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
            page_len = bad[i];
            c = client_open(server);
            client_print(c, "GET /reply HTTP/1.1\r\nHost: a\r\n\r\n");
            CHECK_INT(client_answer(c, &a), 599);
            CHECK_INT(page_error, AZC_ERR_FULL);
        }
        finish(server);
    }
    TEST("AZC_NUL is strlen in JSON, and a larger length is AZC_ERR_FULL") {
        azc_json doc;
        CHECK_INT(azc_json_read(&doc, "{\"a\":1}", AZC_NUL), AZC_OK);
        CHECK_INT(doc.len, 7);
        CHECK_INT(azc_json_read(&doc, NULL, AZC_NUL), AZC_ERR_ARGUMENT);
        char buf[64];
        azc_writer w = azc_put_begin(buf, sizeof buf);
        azc_put_text(&w, "a", "hello", AZC_NUL);
        azc_put_text(&w, "b", NULL, AZC_NUL);
        CHECK_INT(azc_put_finish(&w), AZC_OK);
        CHECK_STR(buf, "{\"a\":\"hello\",\"b\":null}");
        for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
            CHECK_INT(azc_json_read(&doc, "{\"a\":1}", bad[i]), AZC_ERR_FULL);
            CHECK_INT(doc.type, AZC_JSON_NONE);
            w = azc_put_begin(buf, sizeof buf);
            azc_put_text(&w, "a", "hello", bad[i]);
            CHECK_INT(azc_put_finish(&w), AZC_ERR_FULL);
        }
    }
}

int main(int argc, char **argv) {
    test_start(argc, argv);
    short_forms();
    lengths();
    tape_clear(&events);
    return test_end();
}
