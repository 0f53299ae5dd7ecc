/* CONN over real sockets: joins, leaves, broadcasts and walks, in every callback. The table of
 * rooms alone: test_room.c. */
#define AZCHAN_IMPLEMENTATION
#include "../azchan.h"
#include "test.h"
#include "client.h"

/* The connection whose target has ?name=, or NULL. */
static azc_conn *named(azc_channel *channel, const char *name) {
    for (azc_cursor c = azc_members(channel, NULL); azc_cursor_next(&c);) {
        const char *its = azc_query(c.conn, "name");
        if (its && strcmp(its, name) == 0) return c.conn;
    }
    return NULL;
}

/* The names in a room (NULL: the channel), sorted, as one word. */
static const char *who_is_in(azc_channel *channel, const char *room) {
    static char names[1024];
    int seen[256] = {0};
    size_t n = 0;
    for (azc_cursor c = azc_members(channel, room); azc_cursor_next(&c);) {
        const char *name = azc_query(c.conn, "name");
        if (CHECK(name != NULL)) seen[(unsigned char)*name]++;
    }
    for (int i = 0; i < 256; i++)
        while (seen[i]-- > 0 && n + 1 < sizeof names) names[n++] = (char)i;
    names[n] = 0;
    CHECK_INT(azc_count(channel, room), n);
    return names;
}

/* A connection's rooms, sorted (insertion sort by length-one names), as one word. */
static const char *rooms_of(azc_conn *conn) {
    static char names[1024];
    int seen[256] = {0};
    size_t n = 0;
    for (azc_cursor c = azc_rooms(conn); azc_cursor_next(&c);)
        if (CHECK(c.room && *c.room)) seen[(unsigned char)*c.room]++;
    for (int i = 0; i < 256; i++)
        while (seen[i]-- > 0 && n + 1 < sizeof names) names[n++] = (char)i;
    names[n] = 0;
    return names;
}

/* A server with clients a, b, c... in /t. */
static client *party[26];
static azc_server *invite(azc_channel_desc d, int n) {
    azc_server *server = serve(NULL, d);
    for (int i = 0; i < n; i++) {
        char target[32];
        snprintf(target, sizeof target, "/t?name=%c", 'a' + i);
        party[i] = join_channel(server, target);
    }
    tape_clear(&events);
    return server;
}
static azc_channel_desc quiet(void) {
    azc_channel_desc d;
    memset(&d, 0, sizeof d);
    d.path = "/t";
    return d;
}

/* ---- In and out ------------------------------------------------------------------------------ */

static void membership(void) {
    TEST("joining twice counts once, and leaving a room that one is not in is AZC_OK") {
        azc_server *server = invite(quiet(), 3);
        azc_conn *a = named(served, "a"), *b = named(served, "b");
        CHECK_INT(azc_count(served, "x"), 0);
        CHECK_INT(azc_join(a, "x"), AZC_OK);
        CHECK_INT(azc_join(a, "x"), AZC_OK);
        CHECK_STR(who_is_in(served, "x"), "a");
        CHECK_INT(azc_join(b, "x"), AZC_OK);
        CHECK_INT(azc_join(a, "y"), AZC_OK);
        CHECK_STR(who_is_in(served, "x"), "ab");
        CHECK_STR(who_is_in(served, "y"), "a");
        CHECK_STR(rooms_of(a), "xy");
        CHECK_INT(azc_leave(a, "x"), AZC_OK);
        CHECK_INT(azc_leave(a, "x"), AZC_OK);
        CHECK_INT(azc_leave(a, "never"), AZC_OK);
        CHECK_STR(who_is_in(served, "x"), "b");
        CHECK_STR(rooms_of(a), "y");
        CHECK_INT(azc_join(a, "x"), AZC_OK);
        CHECK_INT(azc_leave_all(a), AZC_OK);
        CHECK_INT(azc_leave_all(a), AZC_OK);
        CHECK_STR(rooms_of(a), "");
        CHECK_STR(who_is_in(served, "x"), "b");
        CHECK_STR(who_is_in(served, "y"), "");
        CHECK_STR(who_is_in(served, NULL), "abc");
        finish(server);
    }
    TEST("a room's name is 1 to 255 bytes, any bytes, and copied") {
        azc_server *server = invite(quiet(), 1);
        azc_conn *a = named(served, "a");
        char name[257];
        memset(name, 'n', 256), name[256] = 0;
        CHECK_INT(azc_join(a, name), AZC_ERR_ARGUMENT);
        CHECK_INT(azc_join(a, ""), AZC_ERR_ARGUMENT);
        CHECK_INT(azc_join(a, NULL), AZC_ERR_ARGUMENT);
        CHECK_INT(azc_leave(a, ""), AZC_ERR_ARGUMENT);
        CHECK_INT(azc_leave(a, NULL), AZC_ERR_ARGUMENT);
        CHECK_INT(azc_leave(a, name), AZC_ERR_ARGUMENT);
        CHECK_INT(azc_broadcast(served, "", "x", 1, NULL), AZC_ERR_ARGUMENT);
        CHECK_INT(azc_broadcast(served, "nobody", "x", 1, NULL), 0);
        CHECK_INT(azc_count(served, ""), 0);
        CHECK_STR(rooms_of(a), "");
        CHECK_INT(azc_join(a, name + 1), AZC_OK);
        CHECK_INT(azc_join(a, "\xff\x01 /"), AZC_OK);
        memset(name, '!', 256);
        memset(name, 'n', 255), name[255] = 0;
        CHECK_INT(azc_count(served, name), 1);
        CHECK_INT(azc_count(served, "\xff\x01 /"), 1);
        CHECK_INT(azc_leave(a, name), AZC_OK);
        CHECK_INT(azc_count(served, name), 0);
        finish(server);
    }
    TEST("rooms of one name in two channels never mix") {
        azc_server *server = create(NULL);
        azc_channel_desc d = quiet();
        azc_channel *one = azc_add_channel(server, &d);
        d.path = "/u";
        azc_channel *two = azc_add_channel(server, &d);
        listening(server);
        client *a = join_channel(server, "/t?name=a"), *b = join_channel(server, "/u?name=b");
        CHECK_INT(azc_join(named(one, "a"), "x"), AZC_OK);
        CHECK_INT(azc_join(named(two, "b"), "x"), AZC_OK);
        CHECK_STR(who_is_in(one, "x"), "a");
        CHECK_STR(who_is_in(two, "x"), "b");
        CHECK_INT(sent_text(one, "x", "one", 3, NULL), 1);
        CHECK_INT(sent_text(two, "x", "two", 3, named(one, "a")), 1);
        EXPECT_TEXT(a, "one");
        EXPECT_TEXT(b, "two");
        EXPECT_SILENCE(a);
        EXPECT_SILENCE(b);
        CHECK_INT(azc_leave(named(one, "a"), "x"), AZC_OK);
        CHECK_STR(who_is_in(two, "x"), "b");
        finish(server);
    }
    TEST("azc_close leaves all rooms and counts at once") {
        azc_server *server = invite(quiet(), 3);
        for (int i = 0; i < 3; i++) {
            char name[2] = {(char)('a' + i), 0};
            azc_join(named(served, name), "x");
        }
        azc_conn *b = named(served, "b");
        CHECK_INT(azc_close(b, 1000, ""), AZC_OK);
        CHECK_STR(who_is_in(served, "x"), "ac"); /* a closing connection is not met */
        CHECK_STR(who_is_in(served, NULL), "ac");
        CHECK_INT(sent_text(served, "x", "hi", 2, NULL), 2);
        settle(server);
        client_reset(party[0]);
        settle(server);
        CHECK_STR(who_is_in(served, "x"), "c");
        CHECK_STR(who_is_in(served, NULL), "c");
        finish(server);
    }
}

/* ---- Broadcast ------------------------------------------------------------------------------- */

static void broadcasts(void) {
    TEST("a broadcast reaches the room or the channel, but not the exception") {
        azc_server *server = invite(quiet(), 4);
        azc_conn *a = named(served, "a"), *b = named(served, "b"), *d = named(served, "d");
        azc_join(a, "x"), azc_join(b, "x"), azc_join(d, "other");
        char text[] = "to x";
        CHECK_INT(sent_text(served, "x", text, 4, NULL), 2);
        memset(text, '!', 4); /* copied */
        CHECK_INT(sent_text(served, "x", "not a", 5, a), 1);
        CHECK_INT(sent_text(served, "x", "d is not in", 11, d), 2);
        CHECK_INT(sent_text(served, NULL, "all", 3, NULL), 4);
        CHECK_INT(sent_text(served, NULL, "not b", 5, b), 3);
        CHECK_INT(sent_binary(served, "x", "\xff\0", 2, b), 1);
        CHECK_INT(sent_text(served, NULL, "", 0, NULL), 4);
        EXPECT_TEXT(party[0], "to x");
        EXPECT_TEXT(party[0], "d is not in");
        EXPECT_TEXT(party[0], "all");
        EXPECT_TEXT(party[0], "not b");
        EXPECT_FRAME(party[0], BINARY, "\xff\0", 2);
        EXPECT_TEXT(party[0], "");
        EXPECT_TEXT(party[1], "to x");
        EXPECT_TEXT(party[1], "not a");
        EXPECT_TEXT(party[1], "d is not in");
        EXPECT_TEXT(party[1], "all");
        EXPECT_TEXT(party[1], "");
        for (int i = 2; i < 4; i++) {
            EXPECT_TEXT(party[i], "all");
            EXPECT_TEXT(party[i], "not b");
            EXPECT_TEXT(party[i], "");
        }
        for (int i = 0; i < 4; i++) EXPECT_SILENCE(party[i]);
        finish(server);
    }
    TEST("broadcasts of every size reach everyone in order, between their own messages") {
        azc_server *server = invite(quiet(), 5);
        static char data[60000];
        memset(data, 'z', sizeof data);
        size_t sizes[] = {0, 1, 125, 126, 1000, 4096, 5000, 16384, 60000};
        for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
            CHECK_INT(sent_text(served, NULL, data, sizes[i], NULL), 5);
            CHECK_INT(azc_send_text(named(served, "c"), "only c", 6), AZC_OK);
            CHECK_INT(sent_binary(served, NULL, data, sizes[i], named(served, "e")), 4);
        }
        for (int k = 0; k < 5; k++) {
            for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
                EXPECT_FRAME(party[k], TEXT, data, sizes[i]);
                if (k == 2) EXPECT_TEXT(party[k], "only c");
                if (k != 4) EXPECT_FRAME(party[k], BINARY, data, sizes[i]);
            }
            EXPECT_SILENCE(party[k]);
        }
        finish(server);
    }
    TEST("a member that closes or disconnects after a broadcast does not affect the others") {
        azc_server *server = invite(quiet(), 4);
        static char data[50000];
        memset(data, 'z', sizeof data);
        CHECK_INT(sent_text(served, NULL, data, sizeof data, NULL), 4);
        azc_close(named(served, "b"), 1000, "");
        client_reset(party[2]);
        CHECK_INT(sent_text(served, NULL, "end", 3, NULL), 3);
        EXPECT_FRAME(party[0], TEXT, data, sizeof data);
        EXPECT_TEXT(party[0], "end");
        EXPECT_FRAME(party[3], TEXT, data, sizeof data);
        EXPECT_TEXT(party[3], "end");
        EXPECT_FRAME(party[1], TEXT, data, sizeof data);
        EXPECT_CLOSE(party[1], 1000, "");
        settle(server);
        CHECK_STR(who_is_in(served, NULL), "ad");
        finish(server);
    }
}

/* ---- Walks ----------------------------------------------------------------------------------- */

static void walks(void) {
    TEST("a walk may close connections, leave and join; each member is visited at most once") {
        for (int act = 0; act < 6; act++) {
            azc_server *server = invite(quiet(), 9);
            for (azc_cursor c = azc_members(served, NULL); azc_cursor_next(&c);) {
                azc_join(c.conn, "x");
                azc_join(c.conn, "z");
            }
            int met[26] = {0}, n = 0;
            for (azc_cursor c = azc_members(served, "x"); azc_cursor_next(&c); n++) {
                met[azc_query(c.conn, "name")[0] - 'a']++;
                if (act == 0) azc_leave(c.conn, "x");
                if (act == 1) azc_close(c.conn, 4000, "");
                if (act == 2) azc_leave_all(c.conn), azc_join(c.conn, "y"), azc_join(c.conn, "x");
                if (act == 3) /* everyone else leaves */
                    for (azc_cursor k = azc_members(served, "x"); azc_cursor_next(&k);)
                        if (k.conn != c.conn) azc_leave(k.conn, "x");
                if (act == 4) /* everyone is closed, oneself too */
                    for (azc_cursor k = azc_members(served, NULL); azc_cursor_next(&k);)
                        azc_close(k.conn, 4000, "");
                if (act == 5) azc_join(c.conn, "new"), azc_broadcast(served, "x", "m", 1, c.conn);
                if (n > 100) break;
            }
            int want = act == 3 || act == 4 ? 1 : 9;
            if (act == 2) CHECK(n >= 9 && n <= 100);
            else CHECK_INT(n, want);
            for (int i = 0; i < 9; i++) CHECK(met[i] <= 1 || act == 2);
            if (act == 0) CHECK_STR(who_is_in(served, "x"), "");
            if (act == 2) CHECK_STR(who_is_in(served, "x"), "abcdefghi");
            if (act == 3) CHECK_INT(azc_count(served, "x"), 1);
            if (act == 5) CHECK_INT(azc_count(served, "new"), 9);
            settle(server);
            CHECK_INT(azc_count(served, NULL), act == 1 || act == 4 ? 0 : 9);
            if (test.bad) printf("    act %d\n", act);
            finish(server);
        }
    }
    TEST("a walk over the channel may do the same") {
        for (int act = 0; act < 2; act++) {
            azc_server *server = invite(quiet(), 9);
            int n = 0;
            azc_conn *first = NULL;
            for (azc_cursor c = azc_members(served, NULL); azc_cursor_next(&c); n++) {
                if (!first) first = c.conn;
                if (act == 0) azc_close(c.conn, 4000, "");
                if (act == 1 && c.conn == first) /* the ones to come */
                    for (azc_cursor k = azc_members(served, NULL); azc_cursor_next(&k);)
                        if (k.conn != first) azc_close(k.conn, 4000, "");
            }
            CHECK_INT(n, act == 0 ? 9 : 1);
            finish(server);
        }
    }
    TEST("a connection's rooms may be left and joined while they are walked, by c.room itself") {
        azc_server *server = invite(quiet(), 2);
        azc_conn *a = named(served, "a");
        for (int act = 0; act < 4; act++) {
            for (char room[2] = "a"; *room <= 'z'; ++*room) CHECK_INT(azc_join(a, room), AZC_OK);
            int n = 0, met[256] = {0};
            for (azc_cursor c = azc_rooms(a); azc_cursor_next(&c) && n < 100; n++) {
                met[(unsigned char)*c.room]++;
                CHECK(c.conn == a);
                if (act == 0) CHECK_INT(azc_leave(a, c.room), AZC_OK);
                if (act == 1) azc_leave_all(a);
                if (act == 2) azc_broadcast(served, c.room, c.room, 1, NULL);
                if (act == 3) azc_join(named(served, "b"), c.room);
            }
            CHECK_INT(n, act == 1 ? 1 : 26);
            for (int i = 0; i < 256; i++) CHECK(met[i] <= 1);
            if (act < 2) CHECK_STR(rooms_of(a), "");
            if (act == 3) CHECK_STR(rooms_of(named(served, "b")), "abcdefghijklmnopqrstuvwxyz");
        }
        finish(server);
    }
    TEST("walks over missing rooms and NULL end at once") {
        azc_server *server = invite(quiet(), 1);
        azc_cursor c = azc_members(served, "nobody");
        CHECK_INT(azc_cursor_next(&c), 0);
        CHECK_INT(azc_cursor_next(&c), 0);
        c = azc_rooms(named(served, "a"));
        CHECK_INT(azc_cursor_next(&c), 0);
        c = azc_members(served, NULL);
        CHECK_INT(azc_cursor_next(&c), 1);
        CHECK_INT(azc_cursor_next(&c), 0);
        CHECK_INT(azc_cursor_next(&c), 0);
        finish(server);
    }
}

/* ---- From every callback --------------------------------------------------------------------- */

static void bye(azc_conn *conn, int code, const char *reason) {
    (void)reason;
    azc_channel *channel = azc_channel_of(conn);
    char left[64];
    note("%s closed %d, was in %s", azc_query(conn, "name"), code, rooms_of(conn));
    CHECK_INT(sent_text(channel, "x", "gone", 4, NULL), azc_count(channel, "x"));
    CHECK_INT(sent_text(channel, NULL, "gone too", 8, conn), azc_count(channel, NULL));
    snprintf(left, sizeof left, "%s", who_is_in(channel, "x"));
    CHECK(strchr(left, azc_query(conn, "name")[0]) == NULL);
    note("left %s", left);
    CHECK_INT(azc_join(conn, "x"), AZC_ERR_CLOSED);
    azc_leave(conn, "x"), azc_leave_all(conn); /* harmless */
}

/* Join, leave, count, broadcast and walk, from wherever it is called. */
static int busy(azc_conn *conn, const char *where) {
    azc_channel *channel = azc_channel_of(conn);
    char room[32];
    snprintf(room, sizeof room, "room of %s", where);
    CHECK_INT(azc_join(conn, room), AZC_OK);
    CHECK_INT(azc_join(conn, "x"), AZC_OK);
    CHECK_INT(azc_count(channel, room), 1);
    CHECK_INT(sent_text(channel, room, where, strlen(where), NULL), 1);
    CHECK_INT(azc_broadcast(channel, room, "no", 2, conn), 0);
    int n = 0;
    for (azc_cursor c = azc_members(channel, room); azc_cursor_next(&c); n++) CHECK(c.conn == conn);
    CHECK_INT(n, 1);
    CHECK_INT(azc_leave(conn, room), AZC_OK);
    CHECK_INT(azc_count(channel, room), 0);
    note("%s", where);
    return AZC_ERR_APP; /* for on_error */
}
static int busy_connect(azc_conn *c) { return busy(c, "connect"); }
static int busy_message(azc_conn *c, const char *text, size_t len) {
    (void)text, (void)len;
    return busy(c, "message");
}
static int busy_binary(azc_conn *c, const void *data, size_t len) {
    (void)data, (void)len;
    return busy(c, "binary");
}
static int busy_ping(azc_conn *c, const void *data, size_t len) {
    (void)data, (void)len;
    return busy(c, "ping");
}
static int busy_pong(azc_conn *c, const void *data, size_t len) {
    (void)data, (void)len;
    return busy(c, "pong");
}
static int busy_drain(azc_conn *c) { return busy(c, "drain"); }
static void busy_error(azc_conn *c, int error) {
    CHECK_INT(error, AZC_ERR_APP);
    busy(c, "error");
}

/* A model: each connection's rooms as bits in its data, checked after every step. */
static unsigned torture_seed;
static int torture_rounds;
static unsigned pick(unsigned n) { return (torture_seed = torture_seed * 69069 + 1) / 65536 % n; }
static const char *torture_rooms[] = {"0", "1", "2", "3", "4", "5", "6", "7"};

static void torture_check(azc_channel *channel) {
    for (int r = 0; r < 8; r++) {
        size_t want = 0, met = 0;
        for (azc_cursor c = azc_members(channel, NULL); azc_cursor_next(&c);)
            want += *(unsigned *)azc_data(c.conn) >> r & 1;
        for (azc_cursor c = azc_members(channel, torture_rooms[r]); azc_cursor_next(&c); met++)
            CHECK(*(unsigned *)azc_data(c.conn) >> r & 1);
        CHECK_INT(met, want);
        CHECK_INT(azc_count(channel, torture_rooms[r]), want);
    }
}

static int torture(azc_conn *self) {
    azc_channel *channel = azc_channel_of(self);
    for (azc_cursor c = azc_members(channel, NULL); azc_cursor_next(&c);) {
        unsigned *bits = (unsigned *)azc_data(c.conn), r = pick(8);
        switch (pick(12)) {
        case 0: case 1: case 2: case 3:
            if (azc_join(c.conn, torture_rooms[r]) == AZC_OK) *bits |= 1u << r;
            break;
        case 4: case 5:
            if (azc_leave(c.conn, torture_rooms[r]) == AZC_OK) *bits &= ~(1u << r);
            break;
        case 6:
            if (azc_leave_all(c.conn) == AZC_OK) *bits = 0;
            break;
        case 7: case 8:
            azc_broadcast(channel, torture_rooms[r], "t", 1, pick(2) ? self : c.conn);
            break;
        case 9:
            azc_send_binary(c.conn, "b", 1);
            break;
        case 10:
            if (pick(40) == 0) azc_close(c.conn, 4000, "");
            break;
        default:
            for (azc_cursor k = azc_members(channel, torture_rooms[r]); azc_cursor_next(&k);)
                if (pick(3) == 0 && azc_leave(k.conn, torture_rooms[r]) == AZC_OK)
                    *(unsigned *)azc_data(k.conn) &= ~(1u << r);
        }
    }
    torture_check(channel);
    torture_rounds++;
    return AZC_OK;
}
static int t_message(azc_conn *c, const char *t, size_t n) { return (void)t, (void)n, torture(c); }
static int t_data(azc_conn *c, const void *d, size_t n) { return (void)d, (void)n, torture(c); }
static int t_connect(azc_conn *c) { return torture(c); }
static void t_close(azc_conn *c, int code, const char *reason) {
    (void)code, (void)reason;
    torture(c);
}

static void everywhere(void) {
    TEST("in on_close the connection is in no room and count; azc_rooms works; broadcasts work") {
        azc_channel_desc d = quiet();
        d.on_close = bye;
        azc_server *server = invite(d, 4);
        for (azc_cursor c = azc_members(served, NULL); azc_cursor_next(&c);) azc_join(c.conn, "x");
        azc_join(named(served, "b"), "y"), azc_join(named(served, "b"), "z");
        azc_close(named(served, "b"), 4000, "");
        settle(server);
        EXPECT_EVENTS("b closed 4000, was in xyz; left acd; ");
        client_bye(party[2], 1000, ""), settle(server);
        EXPECT_EVENTS("c closed 1000, was in x; left ad; ");
        client_reset(party[3]), settle(server);
        EXPECT_EVENTS("d closed 1006, was in x; left a; ");
        for (int i = 0; i < 3; i++) {
            EXPECT_TEXT(party[0], "gone");
            EXPECT_TEXT(party[0], "gone too");
        }
        CHECK_INT(azc_count(served, "y"), 0);
        CHECK_INT(azc_count(served, "z"), 0);
        CHECK_INT(azc_destroy(server), AZC_OK);
        EXPECT_EVENTS("a closed 1001, was in x; left ; ");
        finish(NULL);
    }
    TEST("when several end in one turn, no on_close finds any of them in a room") {
        azc_channel_desc d = quiet();
        d.on_close = bye;
        azc_server *server = invite(d, 6);
        for (azc_cursor c = azc_members(served, NULL); azc_cursor_next(&c);) azc_join(c.conn, "x");
        azc_close(named(served, "a"), 4000, ""), azc_close(named(served, "c"), 4000, "");
        azc_close(named(served, "e"), 4000, "");
        azc_poll(server, 0);
        CHECK_INT(count_of(tape_text(&events), "closed 4000, was in x; left bdf; "), 3);
        for (int i = 0; i < 3; i++) {
            EXPECT_TEXT(party[1], "gone");
            EXPECT_TEXT(party[1], "gone too");
        }
        EXPECT_SILENCE(party[1]);
        finish(server);
    }
    TEST("rooms change and broadcasts go from every callback") {
        azc_channel_desc d = quiet();
        d.on_connect = busy_connect, d.on_message = busy_message, d.on_binary = busy_binary;
        d.on_ping = busy_ping, d.on_pong = busy_pong, d.on_drain = busy_drain;
        d.on_error = busy_error, d.on_close = bye;
        azc_config config = quick();
        config.max_message = 1024, config.max_backlog = 4096;
        azc_server *server = serve(&config, d);
        client *c = join_channel(server, "/t?name=a");
        EXPECT_TEXT(c, "connect");
        EXPECT_TEXT(c, "error");
        client_text(c, "m"), client_frame(c, FIN | BINARY, "b", 1);
        client_frame(c, FIN | PING, "p", 1), client_frame(c, FIN | PONG, "q", 1);
        const char *told[] = {"message", "error", "binary", "error"};
        for (int i = 0; i < 4; i++) EXPECT_TEXT(c, told[i]);
        EXPECT_FRAME(c, PONG, "p", 1);
        const char *more[] = {"ping", "error", "pong", "error"};
        for (int i = 0; i < 4; i++) EXPECT_TEXT(c, more[i]);
        char fill[3000] = {0};
        CHECK_INT(azc_send_binary(named(served, "a"), fill, sizeof fill), AZC_OK);
        EXPECT_FRAME(c, BINARY, fill, sizeof fill);
        EXPECT_TEXT(c, "drain");
        EXPECT_TEXT(c, "error");
        tape_clear(&events);
        client_bye(c, 1000, "");
        EXPECT_CLOSE(c, 1000, "");
        EXPECT_EVENTS("a closed 1000, was in x; left ; ");
        finish(server);
    }
    TEST("ten thousand random joins, leaves, broadcasts and closes agree with a model") {
        azc_channel_desc d = quiet();
        d.data_size = sizeof(unsigned);
        d.on_connect = t_connect, d.on_message = t_message, d.on_binary = t_data;
        d.on_ping = t_data, d.on_close = t_close;
        azc_server *server = serve(NULL, d);
        client *c[12] = {0};
        torture_seed = 11, torture_rounds = 0;
        for (int round = 0; round < 1500 && test.bad == 0; round++) {
            int i = (int)pick(12);
            if (c[i]) {
                client_fill(c[i]);
                if (c[i]->eof || (c[i]->len > 3 && c[i]->in[c[i]->len - 4] == 0x88))
                    client_close(c[i]), c[i] = NULL;
                else c[i]->len = 0;
            }
            if (!c[i]) {
                c[i] = client_open(server);
                client_print(c[i], "GET /t HTTP/1.1\r\n" UPGRADE "\r\n");
                pump_until(server, (client_fill(c[i]), c[i]->len >= 100));
            } else {
                unsigned act = pick(20);
                if (act < 10) client_text(c[i], "m");
                else if (act < 15) client_frame(c[i], FIN | PING, "p", 1);
                else if (act < 18) client_frame(c[i], FIN | BINARY, "b", 1);
                else if (act < 19) client_bye(c[i], 1000, "");
                else client_reset(c[i]), c[i] = NULL;
            }
            settle(server);
            torture_check(served);
        }
        CHECK(torture_rounds > 1000);
        finish(server);
    }
}

/* ---- Memory ---------------------------------------------------------------------------------- */

static void memory_of_rooms(void) {
    TEST("ten thousand rooms: each is found, each vanishes, and their memory with them") {
        azc_server *server = invite(quiet(), 2);
        azc_conn *a = named(served, "a"), *b = named(served, "b");
        char room[32];
        settle(server);
        size_t empty = memory.bytes, blocks = memory.blocks, full = 0, after = 0;
        for (int round = 0; round < 2; round++) {
            for (int i = 0; i < 10000; i++) {
                snprintf(room, sizeof room, "room %d", i);
                if (!CHECK_INT(azc_join(a, room), AZC_OK)) break;
                if (i % 2) azc_join(b, room);
            }
            full = memory.bytes;
            size_t n = 0;
            for (azc_cursor c = azc_rooms(a); azc_cursor_next(&c);) n++;
            CHECK_INT(n, 10000);
            for (int i = 0; i < 10000; i += 7) {
                snprintf(room, sizeof room, "room %d", i);
                CHECK_INT(azc_count(served, room), 1 + i % 2);
            }
            CHECK_INT(sent_text(served, "room 7777", "m", 1, NULL), 2);
            if (round == 0) CHECK_INT(azc_leave_all(a), AZC_OK);
            for (int i = 0; i < 10000; i++) {
                snprintf(room, sizeof room, "room %d", i);
                if (round == 1) azc_leave(a, room);
                CHECK_INT(azc_count(served, room), i % 2);
            }
            azc_leave_all(b);
            settle(server); /* cursors may have stood on them until the next poll */
            if (round == 0) after = memory.bytes;
        }
        settle(server);
        CHECK(after - empty < (full - empty) / 4); /* an empty table may stay, the rooms may not */
        CHECK(memory.bytes <= after + 4096);
        CHECK(memory.blocks <= blocks + 8);
        if (test.bad) printf("    %lu empty, %lu full, %lu after, %lu at last\n",
                             (unsigned long)empty, (unsigned long)full, (unsigned long)after,
                             (unsigned long)memory.bytes);
        finish(server);
    }
    TEST("a hundred thousand rooms, one after the other, take the memory of one") {
        azc_server *server = invite(quiet(), 1);
        azc_conn *a = named(served, "a");
        azc_join(a, "first"), azc_leave(a, "first");
        settle(server);
        size_t before = memory.bytes;
        memory.peak = memory.bytes;
        for (int i = 0; i < 100000; i++) {
            char room[32];
            snprintf(room, sizeof room, "r%d", i);
            if (azc_join(a, room) != AZC_OK || azc_leave(a, room) != AZC_OK) {
                CHECK(!"join and leave");
                break;
            }
        }
        CHECK(memory.peak - before < 4096);
        finish(server);
    }
    TEST("a connection that closes gives back the memory of its rooms") {
        azc_server *server = invite(quiet(), 1);
        settle(server);
        size_t before = memory.bytes;
        for (int round = 0; round < 3; round++) {
            client *c = join_channel(server, "/t?name=z");
            azc_conn *z = named(served, "z");
            for (int i = 0; i < 2000; i++) {
                char room[32];
                snprintf(room, sizeof room, "%d", i);
                azc_join(z, room);
            }
            client_close(c), settle(server);
            CHECK_INT(azc_count(served, "77"), 0);
            if (round == 0) before = memory.bytes;
            CHECK(memory.bytes <= before + 4096);
        }
        finish(server);
    }
    TEST("when memory runs out, azc_join and broadcasts are AZC_ERR_MEMORY and change nothing") {
        azc_server *server = invite(quiet(), 2);
        azc_conn *a = named(served, "a");
        settle(server);
        int failed = 0;
        for (int n = 1; n < 20; n++) {
            memory.fail = n;
            int result = azc_join(a, "x");
            int unused = memory.fail > 0;
            memory.fail = 0;
            CHECK(result == AZC_OK || result == AZC_ERR_MEMORY);
            failed += result == AZC_ERR_MEMORY;
            CHECK_STR(who_is_in(served, "x"), result == AZC_OK ? "a" : "");
            CHECK_STR(rooms_of(a), result == AZC_OK ? "x" : "");
            CHECK_INT(azc_leave(a, "x"), AZC_OK);
            if (unused) break;
        }
        CHECK(failed > 0);
        static char big[60000];
        CHECK_INT(azc_send_text(a, "q", 1), AZC_OK); /* behind it nothing goes out at once */
        memory.none = 1;
        int result = sent_binary(served, NULL, big, sizeof big, NULL);
        CHECK(result == AZC_ERR_MEMORY || result == 0);
        result = azc_send_binary(a, big, sizeof big);
        CHECK_INT(result, AZC_ERR_MEMORY);
        CHECK_INT(azc_leave_all(a), AZC_OK);
        settle(server);
        memory.none = 0;
        CHECK_INT(sent_text(served, NULL, "on", 2, NULL), 2);
        EXPECT_TEXT(party[0], "q");
        EXPECT_TEXT(party[0], "on");
        EXPECT_TEXT(party[1], "on");
        finish(server);
    }
}

int main(int argc, char **argv) {
    test_start(argc, argv);
    membership();
    broadcasts();
    walks();
    everywhere();
    memory_of_rooms();
    tape_clear(&events), tape_clear(&log_lines);
    return test_end();
}
