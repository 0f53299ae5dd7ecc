/* LOG over real sockets: azc_log_to, and the lines that config.log receives. */
#define AZCHAN_IMPLEMENTATION
#include "../azchan.h"
#include "test.h"
#include "client.h"

/* GET a target on a kept connection, for the answer's status; the body is in got.body. */
static answer got;
static int get(client *c, const char *target) {
    client_print(c, "GET %s HTTP/1.1\r\nHost: a.example\r\n\r\n", target);
    return client_answer(c, &got);
}

/* ---- The logger ------------------------------------------------------------------------------ */

typedef struct log_entry {
    char peer[64], method[32], target[256];
    int code;
    long bytes, ms;
} log_entry;

/* Read the nth line; a form other than the manual's is a failed check. Returns 0 past the end. */
static int log_entry_at(FILE *file, int n, log_entry *e) {
    char text[1024], *line = text;
    int found = 0;
    memset(e, 0, sizeof *e);
    fflush(file), rewind(file);
    while (n >= 0 && (found = fgets(text, sizeof text, file) != NULL)) n--;
    fseek(file, 0, SEEK_END);
    if (!found) return 0;
    int end = 0, year = 0, skip = 0;
    char level[16] = "";
    CHECK(sscanf(text, "%d-%*d-%*dT%*d:%*d:%*dZ %15s %n", &year, level, &skip) == 2);
    CHECK(year >= 2024 && skip == 21 + (int)strlen(level) + 1);
    line += skip;
    int ok = sscanf(line, "%63s %31s %255s %d %ldB %ldms%n", e->peer, e->method, e->target,
                    &e->code, &e->bytes, &e->ms, &end) == 6;
    if (!ok) {
        ok = sscanf(line, "%63s %31s %255s %d %lds%n", e->peer, e->method, e->target, &e->code,
                    &e->ms, &end) == 5 && strcmp(e->method, "WS") == 0;
        e->bytes = 0, e->ms *= 1000;
    }
    if (e->code == 1006) {
        CHECK_STR(level, "notice");
        CHECK_STR(line + end, ": no Close frame came\n");
        end = (int)strlen(line) - 1;
    } else if (e->code >= 400 && e->code <= 599) {
        CHECK_STR(level, "warning");
        CHECK(strncmp(line + end, ": ", 2) == 0);
        end = (int)strlen(line) - 1;
    } else {
        CHECK_STR(level, "notice");
    }
    if (!CHECK(ok && line[end] == '\n')) printf("    %s\n", line);
    CHECK_STR(e->peer, "127.0.0.1");
    CHECK(e->bytes >= 0 && e->ms >= 0 && e->ms < 10000);
    return 1;
}

#define EXPECT_LOG(n, verb, path, number)                                                        \
    do {                                                                                         \
        if (CHECK(log_entry_at(file, n, &e))) {                                                  \
            CHECK_STR(e.method, verb);                                                           \
            CHECK_STR(e.target, path);                                                           \
            CHECK_INT(e.code, number);                                                           \
        }                                                                                        \
    } while (0)

static int refuse_all(azc_conn *conn, void *userdata) {
    (void)conn, (void)userdata;
    return 401;
}

static void logger(void) {
    TEST("the log writes a line for each request and each close, in the manual's form") {
        FILE *file = tmpfile();
        azc_server *server = create(NULL);
        log_entry e;
        CHECK_INT(azc_log_to(server, file, AZC_LOG_NOTICE), AZC_OK);
        azc_channel_desc d = recorder("/chat");
        served = azc_add_channel(server, &d);
        CHECK_INT(azc_add_page(server, "/", "text/plain", "hello", 5), AZC_OK);
        listening(server);
        client *c = client_open(server);
        CHECK_INT(get(c, "/"), 200);
        EXPECT_LOG(0, "GET", "/", 200);
        CHECK_INT(e.bytes, strlen(got.head) + got.len);
        client_print(c, "HEAD /?a=%%20b HTTP/1.1\r\nHost: a\r\n\r\n");
        client_answer_to(c, &got, 1);
        EXPECT_LOG(1, "HEAD", "/", 200); /* without the query */
        CHECK_INT(e.bytes, strlen(got.head));
        CHECK_INT(get(c, "/nope"), 404);
        EXPECT_LOG(2, "GET", "/nope", 404);
        client_close(c), settle(server);
        c = join_channel(server, "/chat");
        EXPECT_LOG(3, "GET", "/chat", 101);
        CHECK_INT(e.bytes, 129);
        pump(server, 1010);
        client_bye(c, 1000, ""), settle(server);
        EXPECT_LOG(4, "WS", "/chat", 1000);
        CHECK(e.ms == 1000 || e.ms == 2000);
        c = join_channel(server, "/chat?x=1");
        client_close(c), settle(server);
        EXPECT_LOG(5, "GET", "/chat", 101);
        EXPECT_LOG(6, "WS", "/chat", 1006);
        c = join_channel(server, "/chat");
        azc_close(member_of(served), 4001, "no"), settle(server);
        EXPECT_LOG(8, "WS", "/chat", 4001);
        c = join_channel(server, "/chat");
        client_bye(c, 0, ""), settle(server);
        EXPECT_LOG(10, "WS", "/chat", 1005);
        CHECK(!log_entry_at(file, 11, &e));
        finish(server);
        fclose(file);
    }
    TEST("the log has requests refused before any handler, and by later handlers") {
        azc_config config = quick();
        config.handshake_ms = 60, config.max_request = 1024;
        FILE *file = tmpfile();
        azc_server *server = create(&config);
        azc_log_to(server, file, AZC_LOG_NOTICE);
        azc_use(server, refuse_all, NULL);
        azc_channel_desc d = recorder("/t");
        azc_add_channel(server, &d);
        listening(server);
        char big[2048];
        memset(big, 'x', sizeof big - 1), big[sizeof big - 1] = 0;
        for (int i = 0; i < 7; i++) {
            static const int codes[] = {400, 505, 431, 414, 408, 401, 400};
            client *c = client_open(server);
            if (i == 0) client_print(c, "nonsense\r\n\r\n");
            if (i == 1) client_print(c, "GET /old HTTP/0.9\r\nHost: a\r\n\r\n");
            if (i == 2) client_print(c, "GET /big HTTP/1.1\r\nHost: a\r\nX: %s\r\n\r\n", big);
            if (i == 3) client_print(c, "GET /%s HTTP/1.1\r\nHost: a\r\n\r\n", big);
            if (i == 4) client_print(c, "GET /slow HTTP/1.1\r\nHo");
            if (i == 5) client_print(c, "GET /t HTTP/1.1\r\n" UPGRADE "\r\n");
            if (i == 6) client_print(c, "GET /bad HTTP/1.1\r\nHost: a\r\nX: \x01\x1b[31m\r\n\r\n");
            CHECK_INT(client_answer(c, &got), codes[i]);
            client_close(c), settle(server);
            char line[4096];
            int lines = 0;
            fflush(file), rewind(file);
            while (fgets(line, sizeof line, file)) lines++;
            fseek(file, 0, SEEK_END);
            char code[16];
            snprintf(code, sizeof code, " %d ", codes[i]);
            if (!CHECK_INT(lines, i + 1) || !CHECK(strstr(line, code) != NULL) ||
                !CHECK(strstr(line, "Z warning 127.0.0.1 ") != NULL) || !CHECK(strchr(line, 0x1b) == NULL))
                printf("    line: %s\n", line);
        }
        finish(server);
        fclose(file);
    }
    TEST("a logged duration is the request's, not the connection's") {
        FILE *file = tmpfile();
        azc_server *server = create(NULL);
        log_entry e;
        azc_log_to(server, file, AZC_LOG_NOTICE);
        azc_add_page(server, "/", "text/plain", "hello", 5);
        listening(server);
        client *c = client_open(server);
        CHECK_INT(get(c, "/"), 200);
        pump(server, 300);
        CHECK_INT(get(c, "/"), 200);
        EXPECT_LOG(1, "GET", "/", 200);
        CHECK(e.ms < 250);
        finish(server);
        fclose(file);
    }
    TEST("a connection without a request is not logged") {
        FILE *file = tmpfile();
        azc_server *server = create(NULL);
        azc_log_to(server, file, AZC_LOG_NOTICE);
        listening(server);
        client *c = client_open(server);
        settle(server);
        client_close(c), settle(server);
        CHECK_INT(ftell(file), 0);
        finish(server);
        fclose(file);
    }
    TEST("connections that azc_destroy closes are logged") {
        FILE *file = tmpfile();
        azc_server *server = create(NULL);
        log_entry e;
        azc_log_to(server, file, AZC_LOG_NOTICE);
        azc_channel_desc d = recorder("/t");
        azc_add_channel(server, &d);
        listening(server);
        join_channel(server, "/t");
        CHECK_INT(azc_destroy(server), AZC_OK);
        EXPECT_LOG(1, "WS", "/t", 1001);
        finish(NULL);
        fclose(file);
    }
}

/* ---- config.log ------------------------------------------------------------------------------ */

static void lines(void) {
    TEST("each limit that is reached is logged in one line, with the config field to change") {
        azc_config config = quick();
        config.max_message = 1024, config.max_backlog = 16384, config.read_buffer = 4096;
        config.handshake_ms = 30, config.max_connections = 3, config.max_request = 1024;
        azc_server *server = serve(&config, recorder("/t"));
        client *c = join_channel(server, "/t");
        client_send(c, "\x82\xfe\x04\x01\0\0\0\0", 8), settle(server);
        CHECK(strstr(tape_text(&log_lines), "max_message") != NULL);
        client_close(c), settle(server);
        c = join_channel(server, "/t");
        static char data[1000];
        while (azc_send_text(member_of(served), data, sizeof data) == AZC_OK) {}
        settle(server);
        CHECK(strstr(tape_text(&log_lines), "max_backlog") != NULL);
        client_close(c), settle(server);
        c = client_open(server);
        client_print(c, "GET /");
        pump(server, 60);
        CHECK(strstr(tape_text(&log_lines), "handshake_ms") != NULL);
        client_close(c), settle(server);
        c = client_open(server);
        client_print(c, "GET / HTTP/1.1\r\nHost: a\r\nX: %01100d\r\n\r\n", 1), settle(server);
        CHECK(strstr(tape_text(&log_lines), "max_request") != NULL);
        client_close(c), settle(server);
        for (int i = 0; i < 5; i++) client_open(server);
        settle(server);
        CHECK(strstr(tape_text(&log_lines), "max_connections") != NULL);
        if (test.bad) printf("    the log: %s\n", tape_text(&log_lines));
        finish(server);
    }
}

/* A config.log that does what the manual forbids. */
static struct {
    azc_conn *conn, *other;
    int lines, refused, calls;
} meddler;
static void meddle(void *userdata, int level, const char *line) {
    azc_message m;
    azc_server *s = azc_server_of(meddler.conn);
    (void)userdata, (void)level;
    if (strstr(line, "dropped") == NULL || meddler.lines++ > 100 || s == NULL) return;
    memset(&m, 0, sizeof m);
    m.room = "x", m.text = "?", m.len = 1;
    int results[] = {azc_broadcast(served, NULL, "?", 1, NULL), azc_send(served, &m),
                     azc_send_room(meddler.conn, "?", 1), azc_send_text(meddler.other, "?", 1),
                     azc_leave(meddler.other, "x"), azc_leave_all(meddler.other),
                     azc_join(meddler.other, "y"), azc_close(meddler.other, 1000, NULL),
                     azc_ping(meddler.other, NULL, 0), azc_poll(s, 0), azc_destroy(s)};
    meddler.calls += (int)(sizeof results / sizeof *results);
    for (size_t i = 0; i < sizeof results / sizeof *results; i++) {
        meddler.refused += results[i] == AZC_ERR_STATE;
        if (results[i] != AZC_ERR_STATE) printf("    call %d: %d\n", (int)i, results[i]);
    }
}

static void meddling(void) {
    TEST("a config.log that calls the server is refused, and does not recurse") {
        azc_config config = quick();
        config.log = meddle, config.log_level = AZC_LOG_DEBUG, config.max_message = 1024, config.max_backlog = 16384;
        config.read_buffer = 4096;
        azc_channel_desc d = recorder("/t");
        d.when_full = AZC_FULL_DROP;
        azc_server *server = serve(&config, d);
        memset(&meddler, 0, sizeof meddler);
        join_channel(server, "/t"), join_channel(server, "/t"), join_channel(server, "/t");
        azc_cursor at = azc_members(served, NULL);
        while (azc_cursor_next(&at)) {
            azc_join(at.conn, "x");
            meddler.other = meddler.conn, meddler.conn = at.conn;
        }
        static char data[8000];
        memset(data, 'a', sizeof data);
        for (int i = 0; i < 5; i++) azc_broadcast(served, "x", data, sizeof data, NULL);
        CHECK_INT(meddler.lines, 9); /* one for each message that was dropped */
        CHECK_INT(meddler.refused, meddler.calls);
        CHECK_INT(azc_count(served, "x"), 3);
        settle(server);
        CHECK_INT(azc_broadcast(served, "x", "end", 3, NULL), AZC_OK); /* allowed again */
        finish(server);
    }
}

int main(int argc, char **argv) {
    test_start(argc, argv);
    logger();
    lines();
    meddling();
    tape_clear(&events), tape_clear(&log_lines);
    return test_end();
}
