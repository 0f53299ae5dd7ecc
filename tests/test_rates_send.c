/* RATES over real sockets: azc_send and each field of azc_message. */
#define AZCHAN_IMPLEMENTATION
#include "../azchan.h"
#include "test.h"
#include "client.h"

static azc_message text_message(const char *text) { return message_of(NULL, text, AZC_NUL); }

static int name_user(azc_conn *conn) {
    return azc_query(conn, "user") != NULL ? azc_set_user(conn, azc_query(conn, "user")) : AZC_OK;
}
static int join_room(azc_conn *conn) {
    return azc_query(conn, "room") != NULL ? azc_join(conn, azc_query(conn, "room")) : AZC_OK;
}
static void note_publish(azc_channel *channel, const char *room, const void *data, size_t len,
                         int binary) {
    CHECK(channel == served);
    note("%s %s to %s", binary ? "binary" : "text", word_of(data, len), room ? room : "all");
}

static azc_server *publishing(void) {
    azc_channel_desc d;
    memset(&d, 0, sizeof d);
    d.path = "/t", d.on_upgrade = name_user, d.on_connect = join_room;
    serve_parts.on_publish = note_publish;
    return serve(NULL, d);
}

/* The connection with ?user= in its target. */
static azc_conn *conn_of(const char *user) {
    for (azc_cursor c = azc_members(served, NULL); azc_cursor_next(&c);)
        if (azc_user(c.conn) && strcmp(azc_user(c.conn), user) == 0) return c.conn;
    return NULL;
}

/* Which set bits make a message? One for each field. */
enum { F_TEXT = 1, F_BINARY = 2, F_JSON = 4, F_ROOM = 8, F_USER = 16, F_TO = 32, F_EXCEPT = 64,
       F_KEY = 128, F_PERIOD = 256, F_BATCH = 512, F_LOCAL = 1024, F_ALL = 2048 };

/* The manual's rules, one by one. */
static int allowed(int f) {
    int kinds = !!(f & F_TEXT) + !!(f & F_BINARY) + !!(f & F_JSON);
    int targets = !!(f & F_ROOM) + !!(f & F_USER) + !!(f & F_TO);
    if (kinds != 1 || targets > 1) return 0;
    if (f & F_PERIOD && !(f & (F_KEY | F_BATCH))) return 0;
    if (f & F_TO && f & (F_PERIOD | F_EXCEPT)) return 0;
    if (f & F_BATCH && !(f & F_PERIOD)) return 0;
    return !(f & F_BATCH && f & (F_KEY | F_BINARY | F_EXCEPT));
}

static void combinations(void) {
    TEST("all 2048 combinations of fields are sent or refused as the manual says") {
        azc_server *server = publishing();
        client *a = join_channel(server, "/t?user=ada&room=r");
        client *b = join_channel(server, "/t?user=bob&room=r");
        settle(server);
        azc_conn *ada = conn_of("ada"), *bob = conn_of("bob");
        int sent_count = 0, batches[2] = {0, 0}; /* local or not: each is a batch of its own */
        for (int f = 0; f < F_ALL; f++) {
            char buf[64], room[16], user[16];
            size_t queued = 77;
            azc_message m;
            memset(&m, 0, sizeof m);
            azc_writer w = azc_put_begin(buf, sizeof buf);
            azc_put_int(&w, "n", f);
            snprintf(room, sizeof room, f & F_PERIOD ? "r%d" : "r", f); /* a period of its own */
            snprintf(user, sizeof user, f & F_PERIOD ? "u%d" : "ada", f);
            m.len = 1, m.queued = &queued;
            if (f & F_TEXT) m.text = "1";
            if (f & F_BINARY) m.binary = "2";
            if (f & F_JSON) m.json = &w, m.len = 99;
            if (f & F_ROOM) m.room = room;
            if (f & F_USER) m.user = user;
            if (f & F_TO) m.to = ada;
            if (f & F_EXCEPT) m.except = ada;
            if (f & F_KEY) m.key = 5000 + (uint64_t)f;
            if (f & F_PERIOD) m.period_ms = 60000;
            m.batch = !!(f & F_BATCH), m.local = !!(f & F_LOCAL);
            tape_clear(&events);
            int result = azc_send(served, &m), to_all = !(f & (F_ROOM | F_USER | F_TO));
            if (!CHECK_INT(result, allowed(f) ? AZC_OK : AZC_ERR_ARGUMENT)) printf("    %d\n", f);
            int published = count_of(tape_text(&events), "; ");
            int want = f & F_TO ? 1 : f & F_PERIOD && !to_all ? 0 : f & F_USER ? 1 : 2;
            if (f & F_EXCEPT && want && !(f & F_TO)) want--;
            /* the channel's batches share one period: the first is sent, the others are held */
            int held = f & F_BATCH && to_all && result == AZC_OK && batches[m.local]++ > 0;
            if (result != AZC_OK || held) want = 0;
            if (!CHECK_INT(queued, want)) printf("    queued, of %d\n", f);
            int spreads = result == AZC_OK && !(f & (F_LOCAL | F_USER | F_TO)) && !held;
            if (!CHECK_INT(published, spreads)) printf("    published, of %d\n", f);
            sent_count += result == AZC_OK;
        }
        CHECK(bob != NULL && sent_count > 100);
        int count = 0;
        for (int f = 0; f < F_ALL; f++) count += allowed(f);
        CHECK_INT(sent_count, count);
        (void)a, (void)b;
        finish(server);
        tape_clear(&events);
    }
    TEST("NULL, a negative period, bad names and bad JSON are refused, and nothing is queued") {
        azc_server *server = publishing();
        client *c = join_channel(server, "/t?user=ada&room=r");
        size_t queued = 7;
        azc_message m = text_message("x");
        CHECK_INT(azc_send(NULL, &m), AZC_ERR_ARGUMENT);
        CHECK_INT(azc_send(served, NULL), AZC_ERR_ARGUMENT);
        m.queued = &queued;
        azc_message empty;
        memset(&empty, 0, sizeof empty);
        CHECK_INT(azc_send(served, &empty), AZC_ERR_ARGUMENT); /* not an empty text */
        m.key = 1, m.period_ms = -1;
        CHECK_INT(azc_send(served, &m), AZC_ERR_ARGUMENT);
        CHECK_INT(queued, 0);
        char longest[257];
        memset(longest, 'r', 256), longest[256] = 0;
        m = text_message("x"), m.room = "";
        CHECK_INT(azc_send(served, &m), AZC_ERR_ARGUMENT);
        m.room = longest;
        CHECK_INT(azc_send(served, &m), AZC_ERR_ARGUMENT);
        m = text_message("x"), m.user = "";
        CHECK_INT(azc_send(served, &m), AZC_ERR_ARGUMENT);
        m.user = longest + 1; /* 255 bytes: a user has at most 254 */
        CHECK_INT(azc_send(served, &m), AZC_ERR_ARGUMENT);
        m = text_message("\xff");
        CHECK_INT(azc_send(served, &m), AZC_ERR_UTF8);
        m.to = member_of(served);
        CHECK_INT(azc_send(served, &m), AZC_ERR_UTF8);
        m = text_message("[1,"), m.batch = 1, m.period_ms = 1000;
        CHECK_INT(azc_send(served, &m), AZC_ERR_JSON);
        char small[4];
        azc_writer w = azc_put_begin(small, sizeof small);
        azc_put_string(&w, "too", "long");
        memset(&m, 0, sizeof m), m.json = &w;
        CHECK_INT(azc_send(served, &m), AZC_ERR_FULL);
        w = azc_put_begin(small, sizeof small);
        CHECK_INT(azc_send(served, &m), AZC_ERR_STATE); /* nothing was put */
        EXPECT_EVENTS("");
        EXPECT_SILENCE(c);
        finish(server);
    }
}

static void fields(void) {
    TEST("text, binary and json arrive as such, at a room, a user, a connection and the channel") {
        azc_server *server = publishing();
        client *a = join_channel(server, "/t?user=ada&room=r");
        client *b = join_channel(server, "/t?user=bob&room=r");
        client *c = join_channel(server, "/t?user=ada");
        settle(server);
        char buf[64];
        size_t queued;
        azc_message m = text_message("to all");
        m.queued = &queued;
        CHECK_INT(azc_send(served, &m), AZC_OK);
        CHECK_INT(queued, 3);
        memset(&m, 0, sizeof m);
        m.binary = "\0\1", m.len = 2, m.room = "r", m.queued = &queued;
        CHECK_INT(azc_send(served, &m), AZC_OK);
        CHECK_INT(queued, 2);
        azc_writer w = azc_put_begin(buf, sizeof buf);
        azc_put_bool(&w, "user", 1);
        memset(&m, 0, sizeof m);
        m.json = &w, m.user = "ada", m.queued = &queued;
        CHECK_INT(azc_send(served, &m), AZC_OK);
        CHECK_INT(queued, 2);
        memset(&m, 0, sizeof m);
        m.binary = "b", m.len = 1, m.to = conn_of("bob"), m.queued = &queued;
        CHECK_INT(azc_send(served, &m), AZC_OK);
        CHECK_INT(queued, 1);
        m = message_of("nobody", "x", 1), m.queued = &queued;
        CHECK_INT(azc_send(served, &m), AZC_OK);
        CHECK_INT(queued, 0);
        m = text_message("x"), m.user = "nobody", m.queued = &queued;
        CHECK_INT(azc_send(served, &m), AZC_OK);
        CHECK_INT(queued, 0);
        EXPECT_TEXT(a, "to all"), EXPECT_TEXT(b, "to all"), EXPECT_TEXT(c, "to all");
        EXPECT_FRAME(a, BINARY, "\0\1", 2), EXPECT_FRAME(b, BINARY, "\0\1", 2);
        EXPECT_TEXT(a, "{\"user\":true}"), EXPECT_TEXT(c, "{\"user\":true}");
        EXPECT_FRAME(b, BINARY, "b", 1);
        EXPECT_SILENCE(a), EXPECT_SILENCE(b), EXPECT_SILENCE(c);
        EXPECT_EVENTS("text to all to all; binary <2 bytes, sum 1> to r; text x to nobody; ");
        finish(server);
    }
    TEST("except leaves one connection out, of a room, a user and the channel") {
        azc_server *server = publishing();
        client *a = join_channel(server, "/t?user=ada&room=r");
        client *b = join_channel(server, "/t?user=bob&room=r");
        settle(server);
        azc_message m = text_message("all");
        m.except = conn_of("ada");
        CHECK_INT(sent(served, &m), 1);
        m = message_of("r", "room", AZC_NUL), m.except = conn_of("ada");
        CHECK_INT(sent(served, &m), 1);
        m = text_message("user"), m.user = "ada", m.except = conn_of("ada");
        CHECK_INT(sent(served, &m), 0);
        EXPECT_TEXT(b, "all"), EXPECT_TEXT(b, "room");
        EXPECT_SILENCE(a), EXPECT_SILENCE(b);
        finish(server);
        tape_clear(&events);
    }
    TEST("to answers as azc_send_text: closed, full, a request; queued is 0 then") {
        azc_config config = quick();
        config.max_message = 1024, config.read_buffer = 4096, config.max_backlog = 8192;
        azc_channel_desc d = recorder("/t");
        d.when_full = AZC_FULL_DROP;
        azc_server *server = serve(&config, d);
        join_channel(server, "/t");
        azc_conn *conn = member_of(served);
        static char kib[1024];
        memset(kib, 'k', sizeof kib);
        size_t queued = 7;
        azc_message m = message_of(NULL, kib, sizeof kib);
        m.to = conn, m.queued = &queued;
        int result;
        while ((result = azc_send(served, &m)) == AZC_OK) CHECK_INT(queued, 1);
        CHECK_INT(result, AZC_ERR_FULL);
        CHECK_INT(queued, 0);
        CHECK_INT(azc_dropped(conn), 1);
        m.key = 1; /* it waits, as the next two do; then half of max_backlog is used up */
        for (; m.key < 4; m.key++) {
            CHECK_INT(azc_send(served, &m), AZC_OK);
            CHECK_INT(queued, 1);
        }
        CHECK_INT(azc_send(served, &m), AZC_ERR_FULL);
        CHECK_INT(queued, 0);
        CHECK_INT(azc_dropped(conn), 2);
        azc_close(conn, 1000, NULL);
        CHECK_INT(azc_send(served, &m), AZC_ERR_CLOSED);
        finish(server);
        tape_clear(&events);
    }
    TEST("local messages are not published; those of a user and a connection never are") {
        azc_server *server = publishing();
        client *a = join_channel(server, "/t?user=ada&room=r");
        settle(server);
        azc_message m = message_of("r", "local", AZC_NUL);
        m.local = 1;
        CHECK_INT(sent(served, &m), 1);
        m.key = 3, m.period_ms = 60000;
        CHECK_INT(sent(served, &m), 1);
        m = text_message("user"), m.user = "ada";
        CHECK_INT(sent(served, &m), 1);
        m = text_message("conn"), m.to = conn_of("ada");
        CHECK_INT(sent(served, &m), 1);
        EXPECT_EVENTS("");
        m = message_of("r", "spread", AZC_NUL);
        CHECK_INT(sent(served, &m), 1);
        EXPECT_EVENTS("text spread to r; ");
        EXPECT_TEXT(a, "local"), EXPECT_TEXT(a, "local"), EXPECT_TEXT(a, "user");
        EXPECT_TEXT(a, "conn"), EXPECT_TEXT(a, "spread");
        finish(server);
    }
    TEST("a period holds binary and json values too, for a user and without a callback") {
        azc_server *server = publishing();
        client *a = join_channel(server, "/t?user=ada&room=r");
        settle(server);
        for (int i = 0; i < 3; i++) {
            char buf[32], byte[1] = {(char)('0' + i)};
            azc_writer w = azc_put_begin(buf, sizeof buf);
            azc_put_int(&w, "i", i);
            azc_message m;
            memset(&m, 0, sizeof m);
            m.binary = byte, m.len = 1, m.user = "ada", m.key = 1, m.period_ms = 50;
            CHECK_INT(sent(served, &m), i == 0);
            memset(&m, 0, sizeof m);
            m.json = &w, m.user = "ada", m.batch = 1, m.period_ms = 50;
            CHECK_INT(sent(served, &m), i == 0);
        }
        EXPECT_FRAME(a, BINARY, "0", 1), EXPECT_TEXT(a, "[{\"i\":0}]");
        EXPECT_FRAME(a, BINARY, "2", 1), EXPECT_TEXT(a, "[{\"i\":1},{\"i\":2}]");
        EXPECT_SILENCE(a);
        EXPECT_EVENTS("");
        finish(server);
    }
}

int main(int argc, char **argv) {
    test_start(argc, argv);
    combinations();
    fields();
    return test_end();
}
