/* PROCESSES over real sockets: on_publish, on_room and azc_deliver. tests/net does the same with a
 * real Redis. */
#define AZCHAN_IMPLEMENTATION
#include "../azchan.h"
#include "test.h"
#include "client.h"

/* ---- Other processes ------------------------------------------------------------------------- */

static void note_publish(azc_channel *channel, const char *room, const void *data, size_t len,
                         int binary) {
    CHECK(channel == served);
    note("%s %s in %s", binary ? "binary" : "text", word_of(data, len), room ? room : "all");
}
static void note_room(azc_channel *channel, const char *room, int there) {
    CHECK_INT(azc_count(channel, room) > 0, there);
    note("%s %s", there ? "first in" : "last out of", room);
}

/* Words, obeyed one after the other in one callback: +a joins a, -a leaves it, !a speaks in it, ?
 * walks all the rooms, x closes. */
static int obey(azc_conn *conn, const char *text, size_t len) {
    char line[64], *rest = line;
    CHECK(len < sizeof line);
    memcpy(line, text, len + 1);
    for (char *word; (word = strtok(rest, " ")) != NULL; rest = NULL) {
        if (*word == '+') CHECK_INT(azc_join(conn, word + 1), AZC_OK);
        if (*word == '-') CHECK_INT(azc_leave(conn, word + 1), AZC_OK);
        if (*word == '!')
            CHECK(azc_broadcast(azc_channel_of(conn), word + 1, word, strlen(word), conn) >= 0);
        if (*word == '?') for (azc_cursor c = azc_rooms(conn); azc_cursor_next(&c);) note("in %s", c.room);
        if (*word == 'x') azc_close(conn, 1000, NULL);
    }
    return AZC_OK;
}

static azc_server *joined(void (*on_room)(azc_channel *, const char *, int)) {
    azc_channel_desc d;
    memset(&d, 0, sizeof d);
    d.path = "/t", d.on_message = obey;
    serve_parts.on_publish = note_publish, serve_parts.on_room = on_room;
    return serve(NULL, d);
}

/* Everything is allowed in on_room: the first member of "a" moves to "b", and all are informed. */
static void move_on(azc_channel *channel, const char *room, int there) {
    note_room(channel, room, there);
    CHECK(azc_broadcast(channel, NULL, room, strlen(room), NULL) >= 0);
    azc_cursor c = azc_members(channel, room);
    if (strcmp(room, "a") != 0 || !azc_cursor_next(&c)) return;
    CHECK_INT(azc_join(c.conn, "b"), AZC_OK);
    CHECK_INT(azc_leave(c.conn, "a"), AZC_OK);
}

static void seam(void) {
    TEST("on_publish is called for each broadcast of this process, not for azc_deliver") {
        azc_server *server = joined(NULL);
        client *a = join_channel(server, "/t"), *b = join_channel(server, "/t");
        client_text(a, "+r"), settle(server), client_text(b, "+r !r !nobody");
        EXPECT_TEXT(a, "!r");
        EXPECT_SILENCE(b);
        EXPECT_EVENTS("text !r in r; text !nobody in nobody; ");
        CHECK_INT(sent_binary(served, NULL, "\x00\x01", 2, NULL), 2);
        EXPECT_EVENTS("binary <2 bytes, sum 1> in all; ");
        char buf[32];
        azc_writer w = azc_put_begin(buf, sizeof buf);
        azc_put_int(&w, "n", 1);
        CHECK_INT(sent_json(served, "r", &w, NULL), 2);
        EXPECT_EVENTS("text {\"n\":1} in r; ");
        CHECK_INT(azc_broadcast(served, "r", "\xff", 1, NULL), AZC_ERR_UTF8);
        CHECK_INT(azc_broadcast(served, "", "x", 1, NULL), AZC_ERR_ARGUMENT);
        CHECK_INT(sent_local(served, "r", "from afar", 9, 0), 2);
        CHECK_INT(sent_local(served, NULL, "\xff", 1, 1), 2);
        CHECK_INT(azc_deliver(served, "nobody", "x", 1, 0), 0);
        CHECK_INT(azc_deliver(served, "r", "\xff", 1, 0), AZC_ERR_UTF8);
        CHECK_INT(azc_deliver(NULL, "r", "x", 1, 0), AZC_ERR_ARGUMENT);
        EXPECT_EVENTS("");
        for (int i = 0; i < 2; i++) {
            client *c = i ? b : a;
            EXPECT_FRAME(c, BINARY, "\x00\x01", 2);
            EXPECT_TEXT(c, "{\"n\":1}"), EXPECT_TEXT(c, "from afar");
            EXPECT_FRAME(c, BINARY, "\xff", 1);
        }
        finish(server);
    }
    TEST("on_room is called for a room's first member and its last one only") {
        azc_server *server = joined(note_room);
        client *a = join_channel(server, "/t"), *b = join_channel(server, "/t");
        client_text(a, "+r"), settle(server);
        EXPECT_EVENTS("first in r; ");
        client_text(b, "+r +s"), settle(server);
        EXPECT_EVENTS("first in s; ");
        client_text(a, "-r"), settle(server);
        EXPECT_EVENTS("");
        client_text(b, "-s -r"), settle(server);
        EXPECT_EVENTS("last out of s; last out of r; ");
        client_text(a, "+x +y -x"), settle(server); /* a change undone is not reported */
        EXPECT_EVENTS("first in y; ");
        client_text(a, "-y +y"), settle(server);
        EXPECT_EVENTS("");
        client_text(a, "? -y ?"), settle(server); /* with a cursor on it, too */
        EXPECT_EVENTS("in y; last out of y; ");
        finish(server);
    }
    TEST("on_room is also called when a member closes, is dropped, or is closed by azc_destroy") {
        azc_server *server = joined(note_room);
        client *a = join_channel(server, "/t"), *b = join_channel(server, "/t");
        client *c = join_channel(server, "/t");
        client_text(a, "+a"), settle(server), client_text(b, "+a +b"), settle(server);
        client_text(c, "+c +a"), settle(server);
        EXPECT_EVENTS("first in a; first in b; first in c; ");
        client_text(a, "x"), settle(server);
        EXPECT_EVENTS("");
        client_reset(b), settle(server);
        EXPECT_EVENTS("last out of b; ");
        finish(server);
        char *text = events.text; /* in the order in which it left them, whichever that is */
        CHECK_INT(count_of(text, "last out of"), 2);
        CHECK(strstr(text, "out of a; ") && strstr(text, "out of c; "));
        tape_clear(&events);
    }
    TEST("on_room reports rooms that azc_set_history made before it, in its own channel only") {
        azc_server *server = create(NULL);
        azc_channel_desc d = recorder("/t");
        d.on_connect = NULL, d.on_close = NULL;
        served = azc_add_channel(server, &d);
        d.path = "/u";
        azc_channel *other = azc_add_channel(server, &d);
        CHECK_INT(azc_set_history(served, "before", 3, 100), AZC_OK);
        CHECK_INT(azc_set_history(other, "other", 3, 100), AZC_OK);
        CHECK_INT(azc_on_room(served, note_room), AZC_OK);
        CHECK_INT(azc_set_history(served, "behind", 3, 100), AZC_OK);
        listening(server);
        client *c = join_channel(server, "/t");
        azc_join(member_of(served), "before"), azc_join(member_of(served), "behind");
        join_channel(server, "/u");
        azc_join(member_of(other), "other");
        settle(server);
        EXPECT_EVENTS("first in before; first in behind; ");
        client_close(c);
        pump_until(server, azc_count(served, NULL) == 0);
        EXPECT_EVENTS("last out of behind; last out of before; ");
        finish(server);
    }
    TEST("on_room that is NULL again is not called, for rooms made before neither") {
        azc_server *server = create(NULL);
        azc_channel_desc d = recorder("/t");
        d.on_connect = NULL, d.on_close = NULL;
        served = azc_add_channel(server, &d);
        CHECK_INT(azc_on_room(served, note_room), AZC_OK);
        CHECK_INT(azc_set_history(served, "r", 3, 100), AZC_OK);
        CHECK_INT(azc_on_room(served, NULL), AZC_OK);
        listening(server);
        join_channel(server, "/t");
        azc_join(member_of(served), "r");
        settle(server);
        EXPECT_EVENTS("");
        finish(server);
    }
    TEST("on_room may join, leave and broadcast, and is called for those changes after it") {
        azc_server *server = joined(move_on);
        client *a = join_channel(server, "/t");
        client_text(a, "+a");
        EXPECT_TEXT(a, "a"), EXPECT_TEXT(a, "b"), EXPECT_TEXT(a, "a");
        EXPECT_EVENTS("first in a; text a in all; first in b; text b in all; "
                      "last out of a; text a in all; ");
        CHECK_INT(azc_count(served, "b"), 1);
        finish(server);
        tape_clear(&events);
    }
    TEST("joins and leaves between polls are reported in the next poll") {
        azc_server *server = joined(note_room);
        join_channel(server, "/t");
        azc_conn *conn = member_of(served);
        CHECK_INT(azc_join(conn, "r"), AZC_OK);
        CHECK_INT(azc_join(conn, "s"), AZC_OK);
        CHECK_INT(azc_leave(conn, "s"), AZC_OK);
        EXPECT_EVENTS("");
        azc_poll(server, 0);
        EXPECT_EVENTS("first in r; ");
        finish(server);
        tape_clear(&events);
    }
}

int main(int argc, char **argv) {
    test_start(argc, argv);
    seam();
    return test_end();
}
