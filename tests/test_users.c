/* USERS over real sockets: azc_set_user, messages to a user, presence. */
#define AZCHAN_IMPLEMENTATION
#include "../azchan.h"
#include "test.h"
#include "client.h"

/* ---- A program that does what its clients send ----------------------------------------------- */

/* ?user= is the identity, ?as= is given to it on connecting, ?room= is joined then. A text of
 * several commands does them one after the other, in one callback. */

static int inside; /* callbacks that run now */
static void begin(void) { CHECK_INT(inside++, 0); }
static int end(int result) { return inside--, result; }

static azc_channel *halls;

static azc_conn *tab(const char *name) { /* by ?name= */
    for (azc_cursor c = azc_members(halls, NULL); azc_cursor_next(&c);) {
        const char *its = azc_query(c.conn, "name");
        if (its && strcmp(its, name) == 0) return c.conn;
    }
    return NULL;
}

static int on_upgrade(azc_conn *conn) {
    const char *user = azc_query(conn, "user");
    begin();
    CHECK(azc_user(conn) == NULL);
    CHECK_INT(azc_join(conn, "early"), AZC_ERR_STATE);
    if (user) CHECK_INT(azc_set_user(conn, user), AZC_OK);
    if (user) CHECK_STR(azc_user(conn), user);
    return end(azc_query(conn, "refuse") ? atoi(azc_query(conn, "refuse")) : AZC_OK);
}
static int on_connect(azc_conn *conn) {
    begin();
    if (azc_query(conn, "as")) CHECK_INT(azc_set_user(conn, azc_query(conn, "as")), AZC_OK);
    return end(azc_query(conn, "room") ? azc_join(conn, azc_query(conn, "room")) : AZC_OK);
}
static int command(azc_conn *conn, char what, const char *rest) {
    switch (what) {
    case '+': return azc_join(conn, rest);
    case '-': return azc_leave(conn, rest);
    case '0': return azc_leave_all(conn);
    case 'x': return azc_close(conn, 4000, rest);
    case 'X': return azc_close(tab(rest), 4000, NULL);
    case 'k': return azc_leave(tab(rest), "hall");
    case '!': return AZC_ERR_APP;
    case 'n': return note("%s", rest), AZC_OK;
    default: return azc_broadcast(azc_channel_of(conn), "hall", rest, strlen(rest), NULL);
    }
}
static int on_message(azc_conn *conn, const char *text, size_t len) {
    char words[256], *word = words;
    int result = AZC_OK;
    begin();
    snprintf(words, sizeof words, "%s", len < sizeof words ? text : "");
    for (word = strtok(words, " "); word && result >= 0; word = strtok(NULL, " "))
        result = command(conn, *word, word + 1);
    return end(result);
}
static void on_close(azc_conn *conn, int code, const char *reason) {
    (void)reason;
    begin();
    note("close %s %d", azc_user(conn) ? azc_user(conn) : "nobody", code);
    end(0);
}
static void on_error(azc_conn *conn, int error) {
    (void)conn;
    begin();
    note("error %d", error);
    end(0);
}

static const char *then; /* what on_presence does: a command, once */
static const char *then_by;
static void on_presence(azc_channel *channel, const char *room, const char *user, int here) {
    begin();
    CHECK(channel == halls);
    note("%s %s %s", user, here ? "in" : "not in", room);
    if (then) {
        const char *now = then;
        then = NULL;
        command(tab(then_by), *now, now + 1);
    }
    end(0);
}

static azc_channel_desc hall_desc(void) {
    azc_channel_desc d;
    memset(&d, 0, sizeof d);
    d.path = "/t";
    d.on_upgrade = on_upgrade, d.on_connect = on_connect, d.on_message = on_message;
    d.on_close = on_close, d.on_error = on_error;
    serve_parts.on_presence = on_presence;
    return d;
}
static azc_server *open_house(void) {
    azc_server *server = serve(NULL, hall_desc());
    halls = served, inside = 0, then = NULL;
    return server;
}

/* Send it, and wait until it is done. */
static void say(client *c, const char *text) {
    client_text(c, text);
    settle(c->server);
}

/* The users in a room, in the order met; each must have come once. */
static const char *users(const char *room) {
    static char all[512];
    size_t n = 0;
    all[0] = 0;
    for (azc_cursor c = azc_users(halls, room); azc_cursor_next(&c) && n < 400;) {
        CHECK_STR(azc_user(c.conn), c.user);
        n += (size_t)snprintf(all + n, sizeof all - n, "%s ", c.user);
    }
    return all;
}

/* When a connection ends its news may come before its on_close, or after it. */
static void expect_either(const char *one, const char *other) {
    char both[256];
    const char *at = strstr(tape_text(&events), other);
    snprintf(both, sizeof both, "%s%s", at == tape_text(&events) ? other : one,
             at == tape_text(&events) ? one : other);
    EXPECT_EVENTS(both);
}

/* ---- Identities ------------------------------------------------------------------------------ */

static void identities(void) {
    TEST("a user's name is 1 to 254 bytes, set once, before any room") {
        azc_server *server = open_house();
        char name[256];
        memset(name, 'u', 255), name[255] = 0;
        join_channel(server, "/t?name=a"), join_channel(server, "/t?name=b");
        azc_conn *a = tab("a"), *b = tab("b");
        CHECK(azc_user(a) == NULL);
        CHECK(azc_user(NULL) == NULL);
        CHECK_INT(azc_set_user(NULL, "x"), AZC_ERR_ARGUMENT);
        CHECK_INT(azc_set_user(a, NULL), AZC_ERR_ARGUMENT);
        CHECK_INT(azc_set_user(a, ""), AZC_ERR_ARGUMENT);
        CHECK_INT(azc_set_user(a, name), AZC_ERR_ARGUMENT);
        CHECK_INT(azc_set_user(a, name + 1), AZC_OK);
        CHECK_STR(azc_user(a), name + 1);
        CHECK_INT(azc_set_user(a, "again"), AZC_ERR_STATE);
        CHECK_INT(azc_join(b, "room"), AZC_OK);
        CHECK_INT(azc_set_user(b, "late"), AZC_ERR_STATE);
        CHECK_INT(azc_leave_all(b), AZC_OK);
        CHECK_INT(azc_set_user(b, "late"), AZC_OK);
        CHECK_INT(azc_close(b, 1000, NULL), AZC_OK);
        CHECK_STR(azc_user(b), "late");
        settle(server);
        EXPECT_EVENTS("close late 1000; ");
        finish(server);
    }
    TEST("a user is not a room: it is not listed, counted, left or joined") {
        azc_server *server = open_house();
        join_channel(server, "/t?name=a&user=ada");
        azc_conn *a = tab("a");
        CHECK_INT(azc_count(halls, "ada"), 0);
        CHECK_INT(azc_broadcast(halls, "ada", "x", 1, NULL), 0);
        azc_cursor c = azc_rooms(a);
        CHECK(!azc_cursor_next(&c));
        azc_join(a, "x"), azc_join(a, "ada"), azc_join(a, "y"), azc_leave(a, "x");
        int n = 0;
        for (c = azc_rooms(a); azc_cursor_next(&c); n++) {
            CHECK(strcmp(c.room, n ? "ada" : "y") == 0);
            CHECK_INT(azc_leave(a, c.room), AZC_OK);
        }
        CHECK_INT(n, 2);
        azc_join(a, "x"), azc_join(a, "y");
        CHECK_INT(azc_leave_all(a), AZC_OK);
        c = azc_rooms(a);
        CHECK(!azc_cursor_next(&c));
        CHECK_STR(azc_user(a), "ada");
        finish(server);
    }
    TEST("a refused upgrade leaves no user") {
        azc_server *server = open_house();
        for (int i = 0; i < 3; i++) {
            client *c = client_open(server);
            const char *target = i ? "/t?user=ada&refuse=-15" : "/t?user=ada&refuse=401";
            CHECK_INT(client_upgrade(c, target, ""), i ? 500 : 401);
            client_close(c);
        }
        settle(server);
        CHECK_INT(server->room_count, 0);
        CHECK_STR(users(NULL), "");
        CHECK_INT(azc_send_user(halls, "ada", "x", 1), 0);
        EXPECT_EVENTS("");
        finish(server);
    }
    TEST("azc_set_user is AZC_ERR_STATE for pages") {
        azc_server *server = open_house();
        client *c = client_open(server);
        pump_until(server, server->conn_count == 1);
        CHECK_INT(azc_set_user(server->slots[0], "ada"), AZC_ERR_STATE);
        client_close(c);
        finish(server);
    }
}

static void messages(void) {
    TEST("a message to a user reaches exactly the user's connections in the channel") {
        azc_channel_desc d = hall_desc();
        azc_server *server = create(NULL);
        halls = azc_add_channel(server, &d), d.path = "/other";
        CHECK_INT(azc_on_presence(halls, on_presence), AZC_OK);
        serve_parts.on_presence = NULL;
        azc_channel *other = azc_add_channel(server, &d);
        listening(server);
        client *a1 = join_channel(server, "/t?user=ada"), *b = join_channel(server, "/t?user=bob");
        client *a2 = join_channel(server, "/t?as=ada"), *n = join_channel(server, "/t");
        client *o = join_channel(server, "/other?user=ada");
        CHECK_INT(sent_user(halls, "ada", "hi", 2), 2);
        CHECK_INT(sent_user(other, "ada", "there", 5), 1);
        CHECK_INT(azc_send_user(halls, "eve", "no", 2), 0);
        CHECK_INT(azc_send_user(halls, "ad", "no", 2), 0);
        CHECK_INT(azc_send_user(NULL, "ada", "no", 2), AZC_ERR_ARGUMENT);
        CHECK_INT(azc_send_user(halls, NULL, "no", 2), AZC_ERR_ARGUMENT);
        CHECK_INT(azc_send_user(halls, "", "no", 2), AZC_ERR_ARGUMENT);
        CHECK_INT(azc_send_user(halls, "ada", NULL, 2), AZC_ERR_ARGUMENT);
        CHECK_INT(azc_send_user(halls, "ada", "\xff", 1), AZC_ERR_UTF8);
        CHECK_INT(azc_send_user(halls, "ada", NULL, 0), AZC_OK);
        EXPECT_TEXT(a1, "hi"), EXPECT_TEXT(a2, "hi"), EXPECT_TEXT(o, "there");
        EXPECT_TEXT(a1, ""), EXPECT_TEXT(a2, "");
        client_close(a1);
        settle(server);
        CHECK_INT(sent_user(halls, "ada", "still", 5), 1);
        EXPECT_TEXT(a2, "still");
        EXPECT_SILENCE(a2), EXPECT_SILENCE(b), EXPECT_SILENCE(n), EXPECT_SILENCE(o);
        finish(server);
    }
    TEST("a large message is shared, and a tab that does not read does not delay the others") {
        static char big[60000];
        memset(big, 'B', sizeof big);
        azc_server *server = open_house();
        client *slow = client_open_to(server, "127.0.0.1", azc_port(server), 1);
        CHECK_INT(client_upgrade(slow, "/t?user=ada", ""), 101);
        client *quick_one = join_channel(server, "/t?user=ada");
        int both = 0;
        for (int i = 0; i < 200; i++) {
            both += sent_user(halls, "ada", big, sizeof big) == 2;
            EXPECT_FRAME(quick_one, TEXT, big, sizeof big);
        }
        CHECK(both > 0 && both < 200); /* the slow one was closed for its backlog */
        EXPECT_EVENTS("close ada 1013; ");
        finish(server);
    }
}

/* ---- Presence -------------------------------------------------------------------------------- */

static void tabs(void) {
    TEST("on_presence is called for a user's first tab and the last one only") {
        azc_server *server = open_house();
        client *a1 = join_channel(server, "/t?user=ada&room=hall");
        EXPECT_EVENTS("ada in hall; ");
        client *a2 = join_channel(server, "/t?user=ada&room=hall");
        client *a3 = join_channel(server, "/t?user=ada&room=hall");
        EXPECT_EVENTS("");
        client *b = join_channel(server, "/t?user=bob&room=hall");
        EXPECT_EVENTS("bob in hall; ");
        client *n = join_channel(server, "/t?room=hall");
        CHECK_STR(users("hall"), "bob ada ");
        CHECK_INT(azc_count(halls, "hall"), 5);
        say(a1, "-hall"), say(a1, "-hall"), say(n, "-hall");
        client_reset(a3);
        settle(server);
        EXPECT_EVENTS("close ada 1006; ");
        say(a1, "+hall +hall"), say(a1, "-hall");
        EXPECT_EVENTS("");
        client_close(a2);
        settle(server);
        expect_either("close ada 1006; ", "ada not in hall; ");
        CHECK_STR(users("hall"), "bob ");
        client_bye(b, 1000, "");
        settle(server);
        expect_either("close bob 1000; ", "bob not in hall; ");
        say(a1, "+hall");
        EXPECT_EVENTS("ada in hall; ");
        finish(server);
    }
    TEST("on_presence is called after the callback, in order; undone changes are not reported") {
        azc_server *server = open_house();
        client *a = join_channel(server, "/t?name=a&user=ada&room=hall");
        client *b = join_channel(server, "/t?name=b&user=bob&room=hall");
        tape_clear(&events);
        say(a, "+one +two -hall +three");
        EXPECT_EVENTS("ada in one; ada in two; ada not in hall; ada in three; ");
        say(a, "+hall -hall -one +one"); /* no change in the end */
        EXPECT_EVENTS("");
        say(a, "-two +two -two +hall");
        EXPECT_EVENTS("ada not in two; ada in hall; ");
        say(b, "ka Xa -hall !"); /* errors come before changes by others */
        EXPECT_EVENTS("error -15; ada not in hall; ada not in one; ada not in three; "
                      "bob not in hall; close ada 4000; ");
        (void)a;
        finish(server);
    }
    TEST("on_presence is called before the next callback, also of the same read") {
        azc_server *server = open_house();
        client *a = join_channel(server, "/t?user=ada");
        unsigned char out[64];
        size_t n = put_frame(out, FIN | TEXT, "+hall", 5, SHORTEST, some_mask);
        n += put_frame(out + n, FIN | TEXT, "nnext", 5, SHORTEST, some_mask);
        client_send(a, out, n), settle(server);
        EXPECT_EVENTS("ada in hall; next; ");
        finish(server);
    }
    TEST("presence is separate for each channel, room and user") {
        azc_server *server = open_house();
        client *a1 = join_channel(server, "/t?user=ada&room=hall");
        client *a2 = join_channel(server, "/t?user=ada&room=attic");
        EXPECT_EVENTS("ada in hall; ada in attic; ");
        CHECK_STR(users(NULL), "ada ");
        CHECK_STR(users("attic"), "ada ");
        CHECK_STR(users("cellar"), "");
        say(a1, "+attic"), say(a2, "0");
        EXPECT_EVENTS("");
        say(a1, "0");
        EXPECT_EVENTS("ada not in attic; ada not in hall; ");
        CHECK_STR(users("attic"), "");
        CHECK_STR(users(NULL), "ada ");
        finish(server);
    }
    TEST("changes between polls are reported first in the next poll") {
        azc_server *server = open_house();
        join_channel(server, "/t?name=a&user=ada");
        CHECK_INT(azc_join(tab("a"), "hall"), AZC_OK);
        EXPECT_EVENTS("");
        azc_poll(server, 0);
        EXPECT_EVENTS("ada in hall; ");
        CHECK_INT(azc_leave(tab("a"), "hall"), AZC_OK);
        CHECK_INT(azc_join(tab("a"), "hall"), AZC_OK);
        azc_poll(server, 0);
        EXPECT_EVENTS("");
        CHECK_INT(azc_join(tab("a"), "attic"), AZC_OK);
        for (client *c = clients; c; c = c->next) c->server = NULL;
        CHECK_INT(azc_destroy(server), AZC_OK); /* counts as one; then all leave */
        EXPECT_EVENTS("ada in attic; close ada 1001; ada not in attic; ada not in hall; ");
        finish(NULL);
    }
}

static void inside_news(void) {
    static const struct {
        const char *then, *by, *events;
    } deeds[] = {
        {"x", "b", "ada in hall; bob not in hall; close bob 4000; "},    /* others close */
        {"x", "a", "ada in hall; ada not in hall; close ada 4000; "},    /* the user reported */
        {"Xa", "b", "ada in hall; ada not in hall; close ada 4000; "},
        {"-hall", "a", "ada in hall; ada not in hall; "},
        {"-hall", "b", "ada in hall; bob not in hall; "},
        {"+attic", "b", "ada in hall; bob in attic; "},
        {"0", "b", "ada in hall; bob not in hall; "},
    };
    for (size_t i = 0; i < sizeof deeds / sizeof *deeds; i++) {
        TEST("in on_presence everything is allowed; changes made in it are reported after it") {
            azc_server *server = open_house();
            client *a = join_channel(server, "/t?name=a&user=ada");
            join_channel(server, "/t?name=b&user=bob&room=hall");
            tape_clear(&events);
            then = deeds[i].then, then_by = deeds[i].by;
            say(a, "+hall");
            EXPECT_EVENTS(deeds[i].events);
            finish(server);
        }
    }
    TEST("a broadcast from on_presence reaches the new member too, after earlier messages") {
        azc_server *server = open_house();
        client *a = join_channel(server, "/t?name=a&user=ada");
        then = ".came", then_by = "a";
        say(a, "+hall .first");
        EXPECT_TEXT(a, "first");
        EXPECT_TEXT(a, "came");
        finish(server);
    }
    TEST("users, members and rooms may close during a walk") {
        azc_server *server = open_house();
        static const char *const who[] = {"ada", "bob", "ada", "cid", "bob", "dan"};
        for (int i = 0; i < 6; i++) {
            char target[64];
            snprintf(target, sizeof target, "/t?user=%s&room=hall", who[i]);
            join_channel(server, target);
        }
        CHECK_STR(users("hall"), "dan cid bob ada ");
        tape_clear(&events);
        int n = 0;
        for (azc_cursor c = azc_users(halls, "hall"); azc_cursor_next(&c); n++)
            if (strcmp(c.user, "cid") == 0) azc_close(c.conn, 4000, NULL);
        CHECK_INT(n, 4);
        CHECK_STR(users("hall"), "dan bob ada ");
        for (azc_cursor c = azc_users(halls, "hall"); azc_cursor_next(&c);) azc_leave_all(c.conn);
        CHECK_STR(users("hall"), "bob ada "); /* their second tabs */
        CHECK_STR(users(NULL), "dan bob ada ");
        azc_poll(server, 0);
        EXPECT_EVENTS("cid not in hall; dan not in hall; close cid 4000; ");
        azc_cursor none = azc_users(NULL, "hall");
        CHECK(!azc_cursor_next(&none));
        finish(server);
    }
}

static void walks(void) {
    static const char *const who[] = {"ada", "ada", "bob", "ada", "bob"};
    TEST("a walk inside a walk visits each user once, and so does the walk around it") {
        azc_server *server = open_house();
        for (int i = 0; i < 5; i++) {
            char target[64];
            snprintf(target, sizeof target, "/t?user=%s&room=hall", who[i]);
            join_channel(server, target);
        }
        int outer = 0, pairs = 0;
        for (azc_cursor a = azc_users(halls, "hall"); azc_cursor_next(&a); outer++)
            for (azc_cursor b = azc_users(halls, "hall"); azc_cursor_next(&b);) pairs++;
        CHECK_INT(outer, 2);
        CHECK_INT(pairs, 4);
        outer = pairs = 0;
        for (azc_cursor a = azc_users(halls, NULL); azc_cursor_next(&a); outer++)
            for (azc_cursor b = azc_users(halls, "hall"); azc_cursor_next(&b);) pairs++;
        CHECK_INT(outer, 2);
        CHECK_INT(pairs, 4);
        azc_cursor a = azc_users(halls, "hall"), b = azc_users(halls, NULL);
        int of_a = 0, of_b = 0;
        for (int more = 1; more;) { /* in turns */
            int next_a = azc_cursor_next(&a), next_b = azc_cursor_next(&b);
            of_a += next_a, of_b += next_b;
            more = next_a || next_b;
        }
        CHECK_INT(of_a, 2);
        CHECK_INT(of_b, 2);
        finish(server);
    }
    TEST("a user whose oldest connection leaves during the walk is visited at the next oldest") {
        azc_server *server = open_house();
        for (int i = 0; i < 4; i++) { /* ada, ada, bob, ada; the walk begins at the newest */
            char target[64];
            snprintf(target, sizeof target, "/t?user=%s&name=%d&room=hall", who[i], i);
            join_channel(server, target);
        }
        azc_conn *oldest = tab("0"), *next = tab("1"), *met = NULL;
        azc_cursor c = azc_users(halls, "hall");
        CHECK(azc_cursor_next(&c));
        CHECK_STR(c.user, "bob");
        CHECK_INT(azc_leave(oldest, "hall"), AZC_OK);
        CHECK(azc_cursor_next(&c));
        CHECK_STR(c.user, "ada");
        met = c.conn;
        CHECK(met == next);
        CHECK(!azc_cursor_next(&c));
        finish(server);
    }
    TEST("a user is visited once, even if it leaves with the connection that was visited") {
        azc_server *server = open_house();
        client *old = join_channel(server, "/t?user=ada");
        join_channel(server, "/t?user=ada&room=hall");
        say(old, "+hall"); /* the oldest joins last */
        int n = 0;
        for (azc_cursor c = azc_users(halls, "hall"); azc_cursor_next(&c); n++)
            CHECK_INT(azc_leave(c.conn, "hall"), AZC_OK);
        CHECK_INT(n, 1);
        CHECK_INT(azc_count(halls, "hall"), 1);
        finish(server);
    }
}

static void crowds(void) {
    TEST("a hundred users with three tabs each make a hundred arrivals and as many departures") {
        azc_server *server = open_house();
        client *all[300];
        for (int i = 0; i < 300; i++) {
            char target[64];
            snprintf(target, sizeof target, "/t?user=u%d&room=hall", i % 100);
            all[i] = join_channel(server, target);
        }
        CHECK_INT(count_of(tape_text(&events), " in hall"), 100);
        int n = 0;
        for (azc_cursor c = azc_users(halls, "hall"); azc_cursor_next(&c);) n++;
        CHECK_INT(n, 100);
        for (int i = 0; i < 200; i++) client_reset(all[i]);
        pump_until(server, azc_count(halls, NULL) == 100);
        CHECK_INT(count_of(tape_text(&events), "not in"), 0);
        for (int i = 200; i < 300; i++) client_close(all[i]);
        pump_until(server, azc_count(halls, NULL) == 0);
        CHECK_INT(count_of(tape_text(&events), "not in"), 100);
        CHECK_INT(server->room_count, 0);
        finish(server);
    }
    TEST("azc_stop reports every user as leaving") {
        azc_server *server = open_house();
        client *a1 = join_channel(server, "/t?user=ada&room=hall");
        client *a2 = join_channel(server, "/t?user=ada&room=hall");
        tape_clear(&events);
        azc_stop(server);
        EXPECT_CLOSE(a1, 1001, NULL);
        EXPECT_CLOSE(a2, 1001, NULL);
        CHECK_INT(count_of(tape_text(&events), "ada not in hall; "), 1);
        CHECK_INT(count_of(tape_text(&events), "close ada 1001; "), 2);
        finish(server);
    }
}

static void without_memory(void) {
    TEST("azc_set_user and azc_join without memory change nothing and are not reported") {
        azc_server *server = open_house();
        join_channel(server, "/t?name=a"), join_channel(server, "/t?name=b&user=bob");
        azc_conn *a = tab("a"), *b = tab("b");
        for (int i = 1; i <= 4; i++) {
            memory.fail = i;
            if (azc_set_user(a, "ada") == AZC_OK) break;
            CHECK(azc_user(a) == NULL);
        }
        memory.fail = 0;
        CHECK_STR(azc_user(a), "ada");
        size_t rooms = server->room_count;
        int failed = 0;
        for (int i = 1; i < 9; i++) {
            memory.fail = i;
            int result = azc_join(b, "hall");
            if (result == AZC_OK) break;
            CHECK_INT(result, AZC_ERR_MEMORY);
            CHECK_INT(azc_count(halls, "hall"), 0);
            CHECK_INT(server->room_count, rooms);
            failed++;
        }
        memory.fail = 0;
        CHECK_INT(failed, 2); /* the room, the seat */
        azc_poll(server, 0);
        EXPECT_EVENTS("bob in hall; ");
        finish(server);
    }
    TEST("users and their places count as rooms: past max_rooms it is AZC_ERR_FULL") {
        azc_config config = quick();
        config.max_rooms = 4;
        azc_server *server = serve(&config, hall_desc());
        halls = served;
        join_channel(server, "/t?name=a&user=ada&room=hall"); /* three */
        join_channel(server, "/t?name=b"), join_channel(server, "/t?name=c");
        CHECK_INT(azc_join(tab("a"), "attic"), AZC_ERR_FULL); /* would be five */
        CHECK_INT(azc_count(halls, "attic"), 0);
        CHECK_INT(azc_set_user(tab("b"), "bob"), AZC_OK);
        CHECK_INT(azc_set_user(tab("c"), "cid"), AZC_ERR_FULL);
        CHECK_INT(azc_set_user(tab("c"), "ada"), AZC_OK);
        CHECK_INT(azc_join(tab("b"), "hall"), AZC_ERR_FULL);
        CHECK_INT(azc_join(tab("c"), "hall"), AZC_OK);
        settle(server);
        EXPECT_EVENTS("ada in hall; ");
        finish(server);
    }
    TEST("in fixed memory users never fail for memory within the limits") {
        static union {
            long double align;
            char bytes[1 << 20];
        } fixed;
        azc_config config = quick();
        config.max_connections = 8, config.max_rooms = 8 + 8 + 1, config.max_memberships = 16;
        config.max_message = config.read_buffer = 1024, config.max_backlog = 4096;
        CHECK(azc_memory_bound(&config) < sizeof fixed);
        for (int round = 0; round < 3; round++) {
            create_block.memory = &fixed, create_block.size = azc_memory_bound(&config);
            azc_server *server = serve(&config, hall_desc());
            halls = served;
            client *all[8];
            for (int i = 0; i < 8; i++) {
                char target[64];
                snprintf(target, sizeof target, "/t?user=u%d&room=hall", i);
                all[i] = join_channel(server, target);
            }
            CHECK_INT(azc_count(halls, "hall"), 8);
            CHECK_INT(count_of(tape_text(&events), " in hall"), 8);
            for (int i = 0; i < 8; i++) client_reset(all[i]);
            settle(server);
            CHECK_INT(count_of(tape_text(&events), "not in hall"), 8);
            finish(server);
        }
    }
    TEST("leaving needs no memory: it is always reported") {
        azc_server *server = open_house();
        client *a = join_channel(server, "/t?user=ada&room=hall");
        say(a, "+attic"), tape_clear(&events);
        azc__pool_free(&server->mem);
        memory.none = 1;
        say(a, "-attic");
        EXPECT_EVENTS("ada not in attic; ");
        client_reset(a);
        settle(server);
        memory.none = 0;
        expect_either("close ada 1006; ", "ada not in hall; ");
        finish(server);
    }
}

int main(int argc, char **argv) {
    test_start(argc, argv);
    signal(SIGPIPE, SIG_DFL);
    identities();
    messages();
    tabs();
    inside_news();
    walks();
    crowds();
    without_memory();
    return test_end();
}
