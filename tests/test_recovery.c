/* RECOVERY: a peer that comes back gets what it missed, once and in order, or is told to forget. */
#define AZCHAN_IMPLEMENTATION
#include "../azchan.h"
#include "test.h"
#include "client.h"

enum { PAGES = 6, ROOMS = 2, KEPT = 20, MOST = 4000 };

/* What azchan.js keeps: where it is in each room, and the messages that it was given. */
typedef struct page {
    client *c;
    char target[64];
    struct {
        unsigned id;
        char epoch[20];
        unsigned long long serial;
    } places[ROOMS];
    int count;                 /* of places */
    unsigned id, left;         /* of the last :at */
    unsigned long long at;
    int fresh, gaps, marks;    /* how often it was told */
    tape got;                  /* the other messages, a line each */
} page;

static page pages[PAGES];

static void page_take(page *p, const char *text, size_t len) {
    azc_json in, at, x;
    if (azc_json_read(&in, text, len) != AZC_OK) in.type = AZC_JSON_NONE;
    at = azc_json_get(in, ":at");
    if (at.type == AZC_JSON_ARRAY) {
        char copy[80];
        snprintf(copy, sizeof copy, "%.*s", (int)at.len, at.text);
        CHECK_INT(sscanf(copy, "[%u,%llu,%u]", &p->id, &p->at, &p->left), 3);
        p->marks++;
        return;
    }
    if (p->left > 0) {
        int i = 0;
        while (i < p->count && p->places[i].id != p->id) i++;
        if (CHECK(i < p->count)) p->places[i].serial = p->at++;
        p->left--;
    }
    x = azc_json_get(in, "type");
    if (azc_json_equals(x, ":hello")) return;
    if (azc_json_equals(x, ":gap")) {
        p->gaps++;
        return;
    }
    if (azc_json_equals(x, ":room")) {
        int64_t id = 0, serial = -1;
        int i = 0, fresh = -1;
        CHECK_INT(azc_json_int(azc_json_get(in, "id"), &id), AZC_OK);
        CHECK_INT(azc_json_int(azc_json_get(in, "serial"), &serial), AZC_OK);
        CHECK_INT(azc_json_bool(azc_json_get(in, "fresh"), &fresh), AZC_OK);
        while (i < p->count && p->places[i].id != id) i++;
        if (!CHECK(i < ROOMS)) return;
        p->count += i == p->count;
        p->places[i].id = (unsigned)id;
        x = azc_json_get(in, "epoch");
        snprintf(p->places[i].epoch, sizeof p->places[i].epoch, "%.*s", (int)x.len - 2, x.text + 1);
        p->places[i].serial = (unsigned long long)serial;
        if (!fresh) return;
        p->fresh++;
        tape_clear(&p->got); /* of one room */
        return;
    }
    tape_add(&p->got, text, len < 8 ? len : 8), tape_add(&p->got, "\n", 1);
}

/* Read what is here. */
static void page_read(page *p) {
    frame f;
    settle(p->c->server);
    for (client_fill(p->c); p->c->len >= 2 && client_read(p->c, &f); client_fill(p->c))
        if (f.opcode == TEXT) page_take(p, (char *)f.data, f.len);
}

static void page_open(page *p, azc_server *server) {
    char target[400];
    int n = snprintf(target, sizeof target, "%s%sazchan=1&since=", p->target,
                     strchr(p->target, '?') ? "&" : "?");
    for (int i = 0; i < p->count; i++)
        n += snprintf(target + n, sizeof target - (size_t)n, "%s%s,%llu", i ? "," : "",
                      p->places[i].epoch, p->places[i].serial);
    p->left = 0;
    p->c = client_open(server);
    CHECK_INT(client_upgrade(p->c, target, ""), 101);
    page_read(p);
}

static void page_lose(page *p) {
    azc_server *server = p->c->server;
    client_close(p->c);
    p->c = NULL;
    settle(server);
}

static void pages_end(azc_server *server) {
    finish(server);
    for (int i = 0; i < PAGES; i++) tape_clear(&pages[i].got);
    memset(pages, 0, sizeof pages);
}

/* ---- The server ---- */

static const char *const rooms[ROOMS] = {"a", "b"};
static int two_rooms; /* 2: b is joined anew */

static int enter_upgrade(azc_conn *conn) {
    const char *user = azc_query(conn, "user");
    return user ? azc_set_user(conn, user) : AZC_OK;
}

static int enter(azc_conn *conn) {
    int error = azc_join(conn, "a");
    if (error == AZC_OK && two_rooms == 2) return azc_join_since(conn, "b", NULL);
    return error == AZC_OK && two_rooms ? azc_join(conn, "b") : error;
}

/* "join SINCE" joins b, "again" a. */
static int enter_later(azc_conn *conn, const char *text, size_t len) {
    if (strcmp(text, "again") == 0) return azc_leave(conn, "a"), azc_join(conn, "a");
    if (len < 5 || strncmp(text, "join ", 5) != 0) return azc_send_text(conn, text, len);
    azc_leave(conn, "b");
    return azc_join_since(conn, "b", len == 5 ? NULL : text + 5);
}

static azc_server *begin(azc_config *config) {
    azc_server *server = create(config);
    azc_channel_desc d;
    memset(&d, 0, sizeof d);
    d.path = "/t", d.on_upgrade = enter_upgrade, d.on_connect = enter, d.on_message = enter_later;
    d.on_close = note_close;
    CHECK((served = azc_add_channel(server, &d)) != NULL);
    CHECK_INT(azc_add_client(server, "/azchan.js"), AZC_OK);
    for (int i = 0; i < ROOMS; i++)
        CHECK_INT(azc_set_history(served, rooms[i], KEPT, 125000), AZC_OK);
    listening(server);
    for (int i = 0; i < PAGES; i++) snprintf(pages[i].target, sizeof pages[i].target, "/t");
    return server;
}

/* Broadcast numbers to a room, as texts of so many bytes. */
static void say(const char *room, int from, int count, size_t len, const azc_conn *except) {
    static char text[20000];
    for (int i = from; i < from + count; i++) {
        memset(text, '.', len);
        text[snprintf(text, sizeof text, "%s%d", room, i)] = '.';
        CHECK_INT(azc_broadcast(served, room, text, len, except), AZC_OK);
    }
}

static azc_conn *conn_of(azc_server *server, const char *user) {
    for (uint32_t i = 0; i < server->slot_count; i++)
        if (server->slots[i] && azc_user(server->slots[i]) &&
            strcmp(azc_user(server->slots[i]), user) == 0) return server->slots[i];
    return NULL;
}

/* The lines of numbers, as say writes them and page_take cuts them. */
static const char *numbers(const char *room, int from, int count) {
    static char lines[MOST * 10];
    int n = 0;
    for (int i = from; i < from + count; i++) {
        char text[9] = "........";
        text[snprintf(text, sizeof text, "%s%d", room, i)] = '.';
        n += snprintf(lines + n, sizeof lines - (size_t)n, "%s\n", text);
    }
    lines[n] = 0;
    return lines;
}

/* ---- Tests ---- */

static void missed(void) {
    static const size_t sizes[] = {8, 100, 1500, 6000};
    static const int crowds[] = {1, 2, 5};
    for (size_t k = 0; k < 12; k++) {
        size_t len = sizes[k % 4];
        int crowd = crowds[k / 4];
        char sentence[100];
        snprintf(sentence, sizeof sentence, "%d pages, %zu bytes: what was missed comes first, "
                 "once", crowd, len);
        TEST(sentence) {
            azc_server *server = begin(NULL);
            client *plain = join_channel(server, "/t");
            for (int i = 0; i < crowd; i++) page_open(&pages[i], server);
            CHECK_INT(pages[0].fresh, 1);
            say("a", 0, 5, len, NULL);
            page_read(&pages[0]);
            CHECK_STR(tape_text(&pages[0].got), numbers("a", 0, 5));
            page_lose(&pages[0]);
            say("a", 5, 7, len, NULL);
            page_open(&pages[0], server);
            say("a", 12, 3, len, NULL);
            for (int i = 0; i < crowd; i++) {
                page_read(&pages[i]);
                CHECK_STR(tape_text(&pages[i].got), numbers("a", 0, 15));
                CHECK_INT(pages[i].fresh, 1);
            }
            CHECK_INT(pages[0].marks, 5 + 1 + 3);
            for (int i = 0; i < 15; i++) { /* a peer that did not opt in: these alone */
                frame f;
                if (!CHECK(client_read(plain, &f)) || !CHECK_INT(f.len, len)) break;
                CHECK(strncmp((char *)f.data, numbers("a", i, 1), 8) == 0);
            }
            EXPECT_SILENCE(plain);
            page_lose(&pages[0]);
            page_open(&pages[0], server); /* nothing was missed */
            CHECK_INT(pages[0].fresh, 1);
            CHECK_STR(tape_text(&pages[0].got), numbers("a", 0, 15));
            pages_end(server);
        }
    }
    TEST("two rooms, each with its own place; private messages are not counted") {
        two_rooms = 1;
        azc_server *server = begin(NULL);
        page *p = &pages[0];
        page_open(p, server);
        say("a", 0, 2, 8, NULL), say("b", 0, 3, 8, NULL);
        client_text(p->c, "private!"), settle(server);
        say("a", 2, 1, 8, NULL);
        page_read(p);
        page_lose(p);
        tape_clear(&p->got);
        say("b", 3, 2, 8, NULL), say("a", 3, 1, 8, NULL);
        page_open(p, server);
        CHECK_STR(tape_text(&p->got), "a3......\nb3......\nb4......\n");
        CHECK_INT(p->fresh, 2);
        CHECK_INT(p->places[0].serial, 4);
        CHECK_INT(p->places[1].serial, 5);
        pages_end(server);
        two_rooms = 0;
    }
    TEST("a room that is joined later recovers from the place that its join names") {
        azc_server *server = begin(NULL);
        page *p = &pages[0];
        char join[100];
        page_open(p, server);
        client_text(p->c, "join "), say("b", 0, 0, 8, NULL);
        page_read(p);
        CHECK_INT(p->fresh, 2);
        say("b", 0, 3, 8, NULL);
        page_read(p);
        snprintf(join, sizeof join, "join %s,%llu", p->places[1].epoch, p->places[1].serial - 1);
        tape_clear(&p->got);
        client_text(p->c, join);
        page_read(p);
        CHECK_STR(tape_text(&p->got), "b2......\n");
        client_text(p->c, "join ");
        page_read(p);
        CHECK_STR(tape_text(&p->got), numbers("b", 0, 3));
        CHECK_INT(p->fresh, 3);
        CHECK_INT(azc_join_since(NULL, "b", "1,1"), AZC_ERR_ARGUMENT);
        pages_end(server);
    }
    TEST("the query's place is for on_connect, and not for a join that names another, or later") {
        azc_server *server = begin(NULL);
        page *p = &pages[0];
        two_rooms = 1;
        page_open(p, server);
        say("a", 0, 3, 8, NULL), say("b", 0, 3, 8, NULL);
        page_read(p), page_lose(p);
        CHECK_INT(p->fresh, 2);
        two_rooms = 2;
        page_open(p, server);
        CHECK_INT(p->fresh, 3);
        CHECK_STR(tape_text(&p->got), numbers("b", 0, 3));
        client_text(p->c, "again");
        page_read(p);
        CHECK_INT(p->fresh, 4);
        CHECK_STR(tape_text(&p->got), numbers("a", 0, 3));
        two_rooms = 0;
        pages_end(server);
    }
}

static void lost(void) {
    TEST("what is no longer kept, or of another epoch, makes a page fresh, with all that is kept") {
        azc_server *server = begin(NULL);
        page *p = &pages[0];
        page_open(p, server);
        say("a", 0, 3, 8, NULL);
        page_read(p);
        page_lose(p);
        say("a", 3, KEPT, 8, NULL); /* message 3 is the oldest: all that was missed is kept */
        page_open(p, server);
        CHECK_INT(p->fresh, 1);
        CHECK_STR(tape_text(&p->got), numbers("a", 0, 3 + KEPT));
        page_lose(p);
        say("a", 3 + KEPT, KEPT + 1, 8, NULL);
        page_open(p, server);
        CHECK_INT(p->fresh, 2);
        CHECK_STR(tape_text(&p->got), numbers("a", 4 + KEPT, KEPT));
        p->places[0].serial += 1; /* not yet said */
        page_lose(p);
        page_open(p, server);
        CHECK_INT(p->fresh, 3);
        page_lose(p);
        p->places[0].epoch[0] = p->places[0].epoch[0] == '1' ? '2' : '1';
        page_open(p, server);
        CHECK_INT(p->fresh, 4);
        CHECK_STR(tape_text(&p->got), numbers("a", 4 + KEPT, KEPT));
        pages_end(server);
    }
    TEST("a bad `since` is none") {
        static const char *const bad[] = {"", "x", ",", "1", "1,", "1,,2", "zz,1", "%00", "-1,-1",
                                          "99999999999999999999999,1", "1,1,", "1,1,1,1,1"};
        azc_server *server = begin(NULL);
        say("a", 0, 0, 8, NULL);
        for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
            char target[100];
            snprintf(target, sizeof target, "/t?azchan=1&since=%s", bad[i]);
            client *c = client_open(server);
            int status = client_upgrade(c, target, "");
            CHECK_INT(status, strcmp(bad[i], "%00") == 0 ? 400 : 101);
            frame f;
            if (status == 101 && CHECK(client_read(c, &f)) && CHECK(client_read(c, &f)))
                CHECK(strstr((char *)f.data, "\"fresh\":true") != NULL);
            client_close(c);
        }
        pages_end(server);
    }
    TEST("a message too large to be kept is live, and no gap for who has it") {
        azc_server *server = begin(NULL);
        CHECK_INT(azc_set_history(served, "a", KEPT, 1000), AZC_OK);
        page_open(&pages[0], server), page_open(&pages[1], server);
        say("a", 0, 1, 8, NULL);
        page_read(&pages[1]);
        page_lose(&pages[1]);
        say("a", 1, 1, 2000, NULL);
        page_read(&pages[0]);
        page_lose(&pages[0]);
        say("a", 2, 1, 8, NULL);
        page_open(&pages[0], server), page_open(&pages[1], server);
        CHECK_STR(tape_text(&pages[0].got), numbers("a", 0, 3));
        CHECK_INT(pages[0].fresh, 1);
        CHECK_STR(tape_text(&pages[1].got), numbers("a", 2, 1));
        CHECK_INT(pages[1].fresh, 2);
        pages_end(server);
    }
    TEST("who joined before the room had a history is told where it begins") {
        azc_server *server = begin(NULL);
        CHECK_INT(azc_set_history(served, "a", 0, 0), AZC_OK);
        page_open(&pages[0], server);
        say("a", 0, 2, 8, NULL);
        CHECK_INT(azc_set_history(served, "a", KEPT, 1000), AZC_OK);
        say("a", 2, 2, 8, NULL);
        page_read(&pages[0]);
        CHECK_INT(pages[0].count, 0);
        page_open(&pages[1], server);
        say("a", 4, 2, 8, NULL);
        page_read(&pages[0]), page_lose(&pages[0]);
        say("a", 6, 2, 8, NULL);
        page_open(&pages[0], server);
        CHECK_STR(tape_text(&pages[0].got), numbers("a", 0, 8));
        CHECK_INT(pages[0].fresh, 0);
        page_read(&pages[1]);
        CHECK_STR(tape_text(&pages[1].got), numbers("a", 2, 6));
        CHECK_INT(azc_set_history(served, "a", 0, 0), AZC_OK); /* and another one */
        CHECK_INT(azc_set_history(served, "a", KEPT, 1000), AZC_OK);
        server->histories = UINT32_MAX;
        page_open(&pages[2], server);
        say("a", 8, 2, 8, NULL);
        for (int i = 0; i < 2; i++) {
            page_read(&pages[i]);
            CHECK_INT(pages[i].places[0].id, 1); /* the next after UINT32_MAX */
            CHECK_INT(pages[i].places[0].serial, 2);
            page_lose(&pages[i]);
        }
        say("a", 10, 1, 8, NULL);
        page_open(&pages[0], server);
        CHECK_STR(tape_text(&pages[0].got), numbers("a", 0, 11));
        pages_end(server);
    }
    TEST("without memory for that the peer is dropped, so that it comes back") {
        azc_server *server = begin(NULL);
        snprintf(pages[1].target, sizeof pages[1].target, "/t?user=bob");
        CHECK_INT(azc_set_history(served, "a", 0, 0), AZC_OK);
        page_open(&pages[0], server), page_open(&pages[1], server);
        CHECK_INT(azc_leave(conn_of(server, "bob"), "a"), AZC_OK);
        CHECK_INT(azc_set_history(served, "a", KEPT, 1000), AZC_OK);
        settle(server), settle(server); /* an idle wait: the pool is empty */
        memory.fail = 1;
        CHECK_INT(azc_join(conn_of(server, "bob"), "a"), AZC_OK);
        CHECK_INT(memory.fail, 0);
        page_read(&pages[0]), page_read(&pages[1]);
        CHECK(pages[0].c->eof);
        CHECK_INT(pages[1].count, 1);
        page_lose(&pages[0]), page_open(&pages[0], server);
        CHECK_INT(pages[0].count, 1);
        pages_end(server);
    }
    TEST("a history of another length goes on with the same numbers") {
        azc_server *server = begin(NULL);
        page_open(&pages[0], server);
        say("a", 0, KEPT + 10, 8, NULL);
        page_read(&pages[0]);
        page_lose(&pages[0]);
        say("a", KEPT + 10, 4, 8, NULL);
        CHECK_INT(azc_set_history(served, "a", 6, 1000), AZC_OK);
        page_open(&pages[0], server);
        CHECK_STR(tape_text(&pages[0].got), numbers("a", 0, KEPT + 14));
        CHECK_INT(pages[0].fresh, 1);
        pages_end(server);
    }
}

static void others(void) {
    TEST("a message that excepted its sender is not replayed to that user") {
        azc_server *server = begin(NULL);
        snprintf(pages[0].target, sizeof pages[0].target, "/t?user=ada");
        snprintf(pages[1].target, sizeof pages[1].target, "/t?user=bob");
        page_open(&pages[0], server), page_open(&pages[1], server);
        say("a", 0, 1, 8, NULL);
        say("a", 1, 1, 8, conn_of(server, "ada"));
        page_read(&pages[0]), page_lose(&pages[0]);
        say("a", 2, 1, 8, conn_of(server, "bob")); /* ada misses it */
        page_open(&pages[0], server);
        CHECK_STR(tape_text(&pages[0].got), "a0......\na2......\n");
        CHECK_INT(pages[0].places[0].serial, 3);
        say("a", 3, 1, 8, conn_of(server, "ada"));
        say("a", 4, 1, 8, NULL);
        page_read(&pages[0]), page_read(&pages[1]);
        CHECK_STR(tape_text(&pages[1].got), "a0......\na1......\na3......\na4......\n");
        page_lose(&pages[1]), page_lose(&pages[0]);
        pages[0].count = pages[1].count = 0; /* as new pages: from the first message on */
        page_open(&pages[0], server), page_open(&pages[1], server);
        CHECK_STR(tape_text(&pages[0].got), "a0......\na2......\na4......\n");
        CHECK_STR(tape_text(&pages[1].got), "a0......\na1......\na3......\na4......\n");
        CHECK_INT(pages[0].places[0].serial, 5);
        pages_end(server);
    }
    TEST("values with a key are not numbered") {
        azc_server *server = begin(NULL);
        page_open(&pages[0], server);
        azc_message m;
        memset(&m, 0, sizeof m);
        m.text = "latest!!", m.len = 8, m.room = "a", m.key = 1;
        CHECK_INT(azc_send(served, &m), AZC_OK);
        say("a", 0, 1, 8, NULL);
        page_read(&pages[0]);
        CHECK_STR(tape_text(&pages[0].got), "latest!!\na0......\n");
        CHECK_INT(pages[0].marks, 1);
        CHECK_INT(pages[0].places[0].serial, 2);
        CHECK_INT(azc_send(served, &m), AZC_OK);
        page_read(&pages[0]), page_lose(&pages[0]);
        CHECK_INT(azc_send(served, &m), AZC_OK);
        say("a", 1, 1, 8, NULL);
        page_open(&pages[0], server), page_open(&pages[1], server);
        CHECK_STR(tape_text(&pages[0].got), "latest!!\na0......\nlatest!!\na1......\n");
        CHECK_STR(tape_text(&pages[1].got), "latest!!\na0......\nlatest!!\nlatest!!\na1......\n");
        CHECK_INT(pages[0].places[0].serial, 5);
        pages_end(server);
    }
    TEST("a slow peer that is refused a message gets no later one, a :gap, and then comes back") {
        azc_config config = quick();
        config.max_backlog = 400000;
        azc_server *server = begin(&config);
        served->desc.when_full = AZC_FULL_DROP;
        CHECK_INT(azc_set_history(served, "a", 1000, 200000), AZC_OK);
        page *p = &pages[0];
        page_open(p, server);
        p->c->server = server;
        int n = 0;
        while (azc_stats(server)->dropped == 0 && n < MOST - 10) {
            say("a", n++, 1, 15000, NULL);
            azc_poll(server, 0);
        }
        say("a", n, 3, 8, NULL); /* there would be room for these */
        n += 3;
        CHECK(azc_stats(server)->dropped >= 4);
        for (int i = 0; i < 200 && p->gaps == 0; i++) page_read(p);
        CHECK_INT(p->gaps, 1);
        CHECK_INT(p->fresh, 1);
        say("a", n++, 1, 8, NULL);
        page_read(p);
        CHECK_INT(p->gaps, 1);
        CHECK_STR(tape_text(&p->got), numbers("a", 0, n - 5));
        page_lose(p);
        page_open(p, server);
        CHECK_INT(p->fresh, 1);
        CHECK_STR(tape_text(&p->got), numbers("a", 0, n));
        pages_end(server);
    }
    TEST("a mark and its message are queued both, or neither") {
        for (int i = 0; i < 30; i++) {
            azc_config config = quick();
            config.max_message = 1000, config.max_backlog = 4000 + (size_t)i;
            azc_server *server = create(&config);
            azc_channel_desc d;
            memset(&d, 0, sizeof d);
            d.path = "/t", d.on_connect = enter, d.when_full = AZC_FULL_DROP;
            CHECK((served = azc_add_channel(server, &d)) != NULL);
            CHECK_INT(azc_add_client(server, "/azchan.js"), AZC_OK);
            CHECK_INT(azc_set_history(served, "a", KEPT, 1000), AZC_OK);
            listening(server);
            snprintf(pages[0].target, sizeof pages[0].target, "/t");
            page_open(&pages[0], server);
            say("a", 0, 300, 8, NULL);
            CHECK(azc_stats(server)->dropped > 100);
            page_read(&pages[0]);
            CHECK_INT(pages[0].gaps, 1);
            CHECK_INT(pages[0].c->eof, 0);
            CHECK_STR(tape_text(&pages[0].got), numbers("a", 0, pages[0].marks));
            pages_end(server);
        }
    }
    TEST("peers that did not opt in get each message whole once the last that did has left") {
        azc_server *server = begin(NULL);
        client *plain[4];
        for (int i = 0; i < 4; i++) plain[i] = join_channel(server, "/t");
        page_open(&pages[0], server);
        page_lose(&pages[0]);
        say("a", 0, 20, 8, NULL);
        for (int i = 0; i < 4; i++) {
            for (int n = 0; n < 20; n++) {
                char text[9];
                snprintf(text, sizeof text, "%.8s", numbers("a", n, 1));
                EXPECT_TEXT(plain[i], text);
            }
            EXPECT_SILENCE(plain[i]);
        }
        pages_end(server);
    }
    TEST("without memory nothing is lost silently") {
        azc_server *server = begin(NULL);
        client *plain[3];
        for (int i = 0; i < 3; i++) plain[i] = join_channel(server, "/t");
        int open = 0;
        page_open(&pages[0], server);
        for (int n = 0; n < 200; n++) {
            static const size_t sizes[] = {8, 300, 1500, 6000};
            memory.fail = 1 + n % 7;
            static char bytes[6000];
            memset(bytes, '.', sizeof bytes);
            memcpy(bytes, numbers("a", n, 1), 8);
            if (azc_broadcast(served, "a", bytes, sizes[n % 4], NULL) != AZC_OK) {
                memory.fail = 0;
                CHECK_INT(azc_broadcast(served, "a", bytes, sizes[n % 4], NULL), AZC_OK);
            }
            azc_poll(server, 0);
            memory.fail = 0;
            page_read(&pages[0]);
            if (!pages[0].c->eof) continue;
            page_lose(&pages[0]);
            page_open(&pages[0], server);
            open++;
        }
        page_read(&pages[0]);
        CHECK_STR(tape_text(&pages[0].got), numbers("a", 0, 200));
        CHECK_INT(pages[0].fresh, 1);
        CHECK(open > 0);
        (void)plain;
        pages_end(server);
    }
}

/* ---- A random crowd against a model ---- */

static unsigned dice(unsigned sides) {
    static uint32_t state = 11;
    state = state * 1664525 + 1013904223;
    return (state >> 8) % sides;
}

static void crowd(void) {
    TEST("pages that come and go at random have every message once, in order, or were told") {
        azc_server *server = begin(NULL);
        static int said[MOST]; /* whom it excepted, or -1 */
        int n = 0, first[PAGES] = {0}, fresh[PAGES] = {0};
        for (int i = 0; i < PAGES; i++)
            snprintf(pages[i].target, sizeof pages[i].target, "/t?user=u%d", i);
        for (int step = 0; step < 3000 && n < MOST - 50; step++) {
            page *p = &pages[dice(PAGES)];
            if (dice(3) == 0) {
                if (p->c && dice(2)) page_read(p);
                if (p->c) page_lose(p);
                else page_open(p, server);
            } else if (dice(3) == 0 && p->c) {
                page_read(p);
            } else {
                char user[8];
                int except = dice(3) ? -1 : (int)dice(PAGES);
                snprintf(user, sizeof user, "u%d", except);
                azc_conn *conn = except < 0 ? NULL : conn_of(server, user);
                static const size_t sizes[] = {8, 8, 200, 1500, 5000};
                said[n] = conn ? except : -1;
                say("a", n++, 1, sizes[dice(5)], conn);
                if (dice(2)) azc_poll(server, 0);
            }
        }
        for (int i = 0; i < PAGES; i++) {
            page *p = &pages[i];
            if (!p->c) page_open(p, server);
            page_read(p);
            /* All of the model's from the first that it has on, and at least what is kept. */
            char wanted[9 * MOST + 1], *end = wanted;
            first[i] = tape_text(&p->got)[0] ? atoi(tape_text(&p->got) + 1) : n;
            fresh[i] = p->fresh;
            for (int k = first[i]; k < n; k++)
                if (said[k] != i) end += snprintf(end, 10, "%s", numbers("a", k, 1));
            *end = 0;
            CHECK_STR(tape_text(&p->got), wanted);
            CHECK(first[i] <= n - KEPT / 2);
            CHECK(fresh[i] >= 1 && fresh[i] < 200);
            CHECK_INT(p->places[0].serial, n);
        }
        pages_end(server);
    }
}

int main(int argc, char **argv) {
    test_start(argc, argv);
    missed();
    lost();
    others();
    crowd();
    tape_clear(&events), tape_clear(&log_lines);
    return test_end();
}
