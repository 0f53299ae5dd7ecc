/* RATES: memory that fails between the steps of azc_send, calls from on_publish, and connections of
 * other channels and servers. */
#define AZCHAN_IMPLEMENTATION
#include "../azchan.h"
#include "test.h"
#include "client.h"
#include "feeds.h"

static azc_message rated(const char *room, const char *text, int batch, int ms) {
    azc_message m = message_of(room, text, AZC_NUL);
    m.key = batch ? 0 : 1, m.batch = batch, m.period_ms = ms;
    return m;
}

/* ---- Memory ---------------------------------------------------------------------------------- */

static void memory_fails(void) {
    static const char *const rooms[3] = {NULL, "r", NULL}, *const users[3] = {NULL, NULL, "ada"};
    for (int i = 0; i < 6; i++) {
        TEST("wherever memory fails, a message with a rate leaves no room behind") {
            azc_server *server = serve(NULL, quiet());
            join_channel(server, "/t");
            long failed = 0, result = AZC_ERR_MEMORY;
            azc_message m = rated(rooms[i % 3], "17", i / 3, 60000);
            m.user = users[i % 3];
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
    TEST("a room that only a rate holds counts against max_rooms: beyond it azc_send is AZC_ERR_FULL") {
        azc_config config = quick();
        config.max_rooms = 3;
        azc_server *server = serve(&config, quiet());
        client *c = join_channel(server, "/t");
        azc_message m = rated("r", "17", 0, 60000);
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
static int times;         /* so many times, */
static int starved;       /* without memory */

static void send_again(azc_channel *channel, const char *room, const void *data, size_t len,
                       int binary) {
    char before[64], after[64];
    CHECK(!binary);
    snprintf(before, sizeof before, "%.*s", (int)len, (const char *)data);
    note("%s in %s", before, room ? room : "all");
    if (times-- <= 0) return;
    azc__pool_free(&channel->server->mem);
    memory.none = starved;
    CHECK_INT(azc_send(channel, &again), starved ? AZC_ERR_MEMORY : AZC_OK);
    memory.none = 0;
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
        again = rated(NULL, "again, and longer than before", 0, 40);
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
        again = rated(NULL, "\"again\"", 1, 40);
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
    TEST("if on_publish sends at the same rate without memory, the rate lives on") {
        azc_server *server = published();
        client *c = join_channel(server, "/t");
        again = rated(NULL, "much longer than what was held", 0, 40);
        azc_message m = rated(NULL, "1", 0, 40);
        times = 0;
        CHECK_INT(sent(served, &m), 1);
        CHECK_INT(sent(served, &m), 0);
        starved = times = 1; /* when the period ends */
        EXPECT_TEXT(c, "1"), EXPECT_TEXT(c, "1");
        CHECK_INT(times, 0);
        CHECK_INT(sent(served, &m), 0); /* a period is running */
        EXPECT_TEXT(c, "1");
        pump_until(server, server->room_count == 0);
        tape_clear(&events), starved = 0;
        finish(server);
    }
    TEST("local messages of a batch are never published, and the others always are") {
        azc_server *server = published();
        client *c = join_channel(server, "/t");
        azc_message m = rated(NULL, "17", 1, 60);
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

/* ---- Connections of others ------------------------------------------------------------------- */

static void others(void) {
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
        azc_message m = message_of(NULL, "x", 1);
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
    TEST("an excepted connection that closed before a held message is sent excepts no other") {
        azc_server *server = serve(NULL, quiet());
        client *a = join_channel(server, "/t");
        azc_conn *first = newest();
        client *b = join_channel(server, "/t");
        azc_message m = rated(NULL, "17", 0, 100);
        m.except = first;
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
        azc_message m = rated(NULL, "17", 0, 20);
        m.except = newest();
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
    memory_fails();
    publishing();
    others();
    return test_end();
}
