/* RATES: the fields of azc_send, memory that fails between its steps, and calls from on_publish.
 * test_rates.c has the rates themselves. */
#define AZCHAN_IMPLEMENTATION
#include "../azchan.h"
#include "test.h"
#include "client.h"
#include "feeds.h"

static azc_message text_of(const char *text) { return message_of(NULL, text, strlen(text)); }

/* ---- Fields ---------------------------------------------------------------------------------- */

enum { TO_ALL, TO_ROOM, TO_USER, TO_CONN, TARGETS };
enum { KIND_TEXT, KIND_BINARY, KIND_JSON, KINDS };
enum { PLAIN, LATEST, THROTTLED, BATCHED, RATES };

/* One of all combinations; w is for JSON. */
static azc_message combined(int target, int kind, int rate, azc_conn *conn, azc_writer *w) {
    azc_message m;
    memset(&m, 0, sizeof m);
    if (target == TO_ROOM) m.room = "r";
    if (target == TO_USER) m.user = "ada";
    if (target == TO_CONN) m.to = conn;
    if (kind == KIND_TEXT) m.text = "17", m.len = 2;
    if (kind == KIND_BINARY) m.binary = "17", m.len = 2;
    if (kind == KIND_JSON) {
        azc_put_int(w, NULL, 17);
        m.json = w;
    }
    if (rate == LATEST || rate == THROTTLED) m.key = 1;
    if (rate == BATCHED) m.batch = 1;
    if (rate == THROTTLED || rate == BATCHED) m.period_ms = 60000;
    return m;
}

static void combinations(void) {
    TEST("azc_send takes every target, kind and rate, except rates to a connection and binary batches") {
        for (int i = 0; i < TARGETS * KINDS * RATES; i++) {
            int target = i % TARGETS, kind = i / TARGETS % KINDS, rate = i / TARGETS / KINDS;
            int bad = (target == TO_CONN && rate >= THROTTLED) ||
                      (kind == KIND_BINARY && rate == BATCHED);
            char buf[16];
            azc_writer w = azc_put_begin(buf, sizeof buf);
            azc_server *server = serve(NULL, quiet());
            client *c = join_channel(server, "/t");
            CHECK_INT(azc_set_user(newest(), "ada"), AZC_OK);
            CHECK_INT(azc_join(newest(), "r"), AZC_OK);
            azc_message m = combined(target, kind, rate, newest(), &w);
            if (!CHECK_INT(sent(served, &m), bad ? AZC_ERR_ARGUMENT : 1))
                printf("    target %d, kind %d, rate %d\n", target, kind, rate);
            const char *want = rate == BATCHED ? "[17]" : "17";
            if (!bad)
                EXPECT_FRAME(c, kind == KIND_BINARY ? BINARY : TEXT, want, strlen(want));
            EXPECT_SILENCE(c);
            finish(server);
        }
    }
    TEST("fields that exclude each other are AZC_ERR_ARGUMENT, and queued is 0") {
        azc_server *server = serve(NULL, quiet());
        client *c = join_channel(server, "/t");
        azc_conn *conn = newest();
        char buf[16];
        azc_writer w = azc_put_begin(buf, sizeof buf);
        azc_message none, m[14];
        memset(&none, 0, sizeof none);
        for (int i = 0; i < 14; i++) m[i] = text_of("1");
        m[0] = none;
        m[1].binary = "1";
        m[2].json = &w;
        m[3].room = m[3].user = "r";
        m[4].room = "r", m[4].to = conn;
        m[5].user = "r", m[5].to = conn;
        m[6].period_ms = 10;
        m[7].period_ms = -1, m[7].key = 1;
        m[8].batch = 1;
        m[9].batch = 1, m[9].period_ms = 10, m[9].key = 1;
        m[10].batch = 1, m[10].period_ms = 10, m[10].except = conn;
        m[11].to = conn, m[11].except = conn;
        m[12].room = "";
        m[13].user = "";
        for (int i = 0; i < 14; i++) {
            size_t queued = 77;
            m[i].queued = &queued;
            if (!CHECK_INT(azc_send(served, &m[i]), AZC_ERR_ARGUMENT)) printf("    m[%d]\n", i);
            CHECK_INT(queued, 0);
            queued = 77;
            CHECK_INT(azc_send(NULL, &m[i]), AZC_ERR_ARGUMENT);
            CHECK_INT(queued, 0);
        }
        CHECK_INT(azc_send(served, NULL), AZC_ERR_ARGUMENT);
        CHECK_INT(server->room_count, 0);
        EXPECT_SILENCE(c);
        finish(server);
    }
    TEST("bad text, JSON and lengths have the errors of azc_send_text and azc_put_finish") {
        azc_server *server = serve(NULL, quiet());
        join_channel(server, "/t");
        azc_conn *conn = newest();
        for (int to = 0; to < 2; to++) {
            char buf[4];
            azc_writer w = azc_put_begin(buf, sizeof buf);
            azc_message m = text_of("\xff");
            m.to = to ? conn : NULL;
            CHECK_INT(sent(served, &m), AZC_ERR_UTF8);
            m.len = SIZE_MAX;
            CHECK_INT(sent(served, &m), AZC_ERR_FULL);
            m.text = "\xc3\xa4", m.len = AZC_NUL;
            CHECK_INT(sent(served, &m), 1);
            m.text = NULL, m.json = &w;
            azc_put_string(&w, "key", "longer than the buffer");
            CHECK_INT(sent(served, &m), AZC_ERR_FULL);
        }
        azc_message m = text_of("x");
        azc_close(conn, 1000, "");
        m.to = conn;
        CHECK_INT(sent(served, &m), AZC_ERR_CLOSED);
        finish(server);
    }
    TEST("`to` is a connection of the channel: one of another channel or server is refused") {
        azc_server *server = create(NULL);
        azc_channel_desc d = quiet();
        azc_channel *here = azc_add_channel(server, &d);
        d.path = "/u";
        azc_channel *there = azc_add_channel(server, &d);
        listening(server);
        join_channel(server, "/t");
        azc_server *second = serve(NULL, quiet());
        client *c = join_channel(second, "/t");
        azc_message m = text_of("x");
        for (m.key = 0; m.key < 2; m.key++) {
            m.to = member_of(here);
            CHECK_INT(sent(there, &m), AZC_ERR_ARGUMENT);
            CHECK_INT(sent(here, &m), 1);
            m.to = newest();
            CHECK_INT(sent(here, &m), AZC_ERR_ARGUMENT);
        }
        EXPECT_SILENCE(c);
        finish(second), finish(server);
    }
}

/* ---- Memory ---------------------------------------------------------------------------------- */

static void memory_fails(void) {
    for (int target = TO_ALL; target <= TO_USER; target++) {
        for (int rate = THROTTLED; rate <= BATCHED; rate++) {
            TEST("wherever memory fails, a message with a rate leaves no room behind") {
                azc_server *server = serve(NULL, quiet());
                join_channel(server, "/t");
                long failed = 0, result = AZC_ERR_MEMORY;
                azc_message m = combined(target, KIND_TEXT, rate, NULL, NULL);
                for (; result == AZC_ERR_MEMORY && failed < 20; failed++) {
                    azc__pool_free(&server->mem);
                    memory.fail = failed + 1;
                    result = azc_send(served, &m);
                    memory.fail = 0;
                    if (result != AZC_OK) CHECK_INT(server->room_count, 0);
                }
                CHECK_INT(result, AZC_OK);
                CHECK(failed > 3);
                finish(server);
            }
        }
    }
    TEST("a room that only a rate holds counts against max_rooms: beyond it azc_send is AZC_ERR_FULL") {
        azc_config config = quick();
        config.max_rooms = 3;
        azc_server *server = serve(&config, quiet());
        client *c = join_channel(server, "/t");
        azc_message m = combined(TO_ROOM, KIND_TEXT, THROTTLED, NULL, NULL);
        CHECK_INT(sent(served, &m), 0); /* the room, and the rate */
        m.room = "s";
        CHECK_INT(sent(served, &m), AZC_ERR_FULL);
        m.room = "r", m.key = 2;
        CHECK_INT(sent(served, &m), 0);
        m.key = 3;
        CHECK_INT(sent(served, &m), AZC_ERR_FULL);
        m.key = 2;
        CHECK_INT(sent(served, &m), 0); /* an old one still takes messages */
        CHECK_INT(server->room_count, 3);
        CHECK(c != NULL);
        finish(server);
    }
}

/* ---- on_publish ------------------------------------------------------------------------------ */

static azc_message again; /* what on_publish sends, */
static int times;         /* so many times */

static void send_again(azc_channel *channel, const char *room, const void *data, size_t len,
                       int binary) {
    char before[64], after[64];
    CHECK(!binary);
    snprintf(before, sizeof before, "%.*s", (int)len, (const char *)data);
    note("%s in %s", before, room ? room : "all");
    if (times-- <= 0) return;
    CHECK_INT(azc_send(channel, &again), AZC_OK);
    snprintf(after, sizeof after, "%.*s", (int)len, (const char *)data);
    CHECK_STR(after, before); /* data is valid until on_publish returns */
}

static azc_server *published(void) {
    serve_parts.on_publish = send_again;
    return serve(NULL, quiet());
}

static void publishing(void) {
    TEST("a message that on_publish sends at the same rate is held, not lost") {
        azc_server *server = published();
        client *c = join_channel(server, "/t");
        again = combined(TO_ALL, KIND_TEXT, THROTTLED, NULL, NULL);
        again.text = "again, and longer than before", again.len = AZC_NUL;
        again.period_ms = 40;
        azc_message m = again;
        m.text = "1";
        times = 2;
        CHECK_INT(sent(served, &m), 1);
        EXPECT_TEXT(c, "1");
        EXPECT_SILENCE(c);
        EXPECT_TEXT(c, again.text), EXPECT_TEXT(c, again.text);
        EXPECT_EVENTS("1 in all; again, and longer than before in all; "
                      "again, and longer than before in all; ");
        pump_until(server, server->room_count == 0);
        EXPECT_SILENCE(c);
        finish(server);
    }
    TEST("a batch that on_publish adds to begins anew") {
        azc_server *server = published();
        client *c = join_channel(server, "/t");
        again = combined(TO_ALL, KIND_TEXT, BATCHED, NULL, NULL);
        again.text = "\"again\"", again.len = AZC_NUL;
        again.period_ms = 40;
        azc_message m = again;
        m.text = "1";
        times = 2;
        CHECK_INT(sent(served, &m), 1);
        m.text = "2";
        CHECK_INT(sent(served, &m), 0);
        EXPECT_TEXT(c, "[1]"), EXPECT_TEXT(c, "[\"again\",2]"), EXPECT_TEXT(c, "[\"again\"]");
        EXPECT_EVENTS("[1] in all; [\"again\",2] in all; [\"again\"] in all; ");
        pump_until(server, server->room_count == 0);
        finish(server);
    }
    TEST("without memory in on_publish the rate lives on") {
        azc_server *server = published();
        client *c = join_channel(server, "/t");
        azc_message m = combined(TO_ALL, KIND_TEXT, THROTTLED, NULL, NULL);
        m.period_ms = 40;
        times = 0;
        CHECK_INT(sent(served, &m), 1);
        CHECK_INT(sent(served, &m), 0);
        EXPECT_TEXT(c, "17"), EXPECT_TEXT(c, "17");
        pump_until(server, server->room_count == 0);
        tape_clear(&events);
        finish(server);
    }
    TEST("local messages of a batch are never published, and the others always are") {
        azc_server *server = published();
        client *c = join_channel(server, "/t");
        azc_message m = combined(TO_ALL, KIND_TEXT, BATCHED, NULL, NULL);
        m.period_ms = 60;
        times = 0;
        for (int i = 0; i < 6; i++) {
            static const char *const texts[] = {"0", "1", "2", "3", "4", "5"};
            m.text = texts[i], m.len = 1;
            m.local = i % 2;
            CHECK(sent(served, &m) >= 0);
        }
        pump_until(server, server->room_count == 0);
        EXPECT_EVENTS("[0] in all; [2,4] in all; ");
        EXPECT_TEXT(c, "[0]"), EXPECT_TEXT(c, "[1]"), EXPECT_TEXT(c, "[2,4]"), EXPECT_TEXT(c, "[3,5]");
        finish(server);
    }
}

/* ---- Exceptions ------------------------------------------------------------------------------ */

static void exceptions(void) {
    TEST("an excepted connection that closed before a held message is sent excepts no other") {
        azc_server *server = serve(NULL, quiet());
        client *a = join_channel(server, "/t");
        azc_conn *first = newest();
        client *b = join_channel(server, "/t");
        azc_message m = combined(TO_ALL, KIND_TEXT, THROTTLED, NULL, NULL);
        m.period_ms = 100, m.except = first;
        CHECK_INT(sent(served, &m), 1);
        m.text = "18";
        CHECK_INT(sent(served, &m), 0);
        EXPECT_TEXT(b, "17");
        client_close(a);
        pump_until(server, azc_count(served, NULL) == 1);
        client *c = join_channel(server, "/t");
        EXPECT_TEXT(b, "18"), EXPECT_TEXT(c, "18");
        finish(server);
    }
    TEST("a held message that excepts a connection of another server excepts none of this one") {
        azc_server *server = serve(NULL, quiet()), *second;
        azc_channel *here = served;
        client *a = join_channel(server, "/t");
        second = serve(NULL, quiet());
        join_channel(second, "/t");
        CHECK(azc_id(member_of(here)) == azc_id(newest())); /* ids are each server's own */
        azc_message m = combined(TO_ALL, KIND_TEXT, THROTTLED, NULL, NULL);
        m.period_ms = 20, m.except = newest();
        CHECK_INT(sent(here, &m), 1);
        m.text = "18";
        CHECK_INT(sent(here, &m), 0);
        EXPECT_TEXT(a, "17"), EXPECT_TEXT(a, "18");
        finish(second), finish(server);
    }
}

int main(int argc, char **argv) {
    test_start(argc, argv);
    signal(SIGPIPE, SIG_DFL);
    combinations();
    memory_fails();
    publishing();
    exceptions();
    return test_end();
}
