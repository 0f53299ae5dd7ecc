/* LOG: what peers do wrong, over real sockets, with the exact line of the log: who, what, why and
 * what would change it. Close frames carry the rule. */
#define AZCHAN_IMPLEMENTATION
#include "../azchan.h"
#include "test.h"
#include "requests.h"

/* Each line of config.log behind its level. */
static void level_line(void *user, int level, const char *line) {
    char start[16];
    (void)user;
    tape_add(&log_lines, start, (size_t)snprintf(start, sizeof start, "%d ", level));
    tape_add(&log_lines, line, strlen(line));
    tape_add(&log_lines, "\n", 1);
}

static azc_config logging(void) {
    azc_config c = quick();
    c.log = level_line;
    return c;
}

/* The log since the last look, with " 404 129B 3ms" cut to " 404". */
static const char *log_since(void) {
    static char out[8192];
    size_t n = 0;
    for (const char *p = tape_text(&log_lines); *p && n < sizeof out - 1;) {
        int skip = 0;
        char unit[3] = "";
        if (*p == ' ' && sscanf(p, " %*uB %*u%2[ms]%n", unit, &skip) == 1 &&
            strcmp(unit, "ms") == 0) p += skip;
        else out[n++] = *p++;
    }
    out[n] = 0;
    tape_clear(&log_lines);
    return out;
}

/* ---- Requests -------------------------------------------------------------------------------- */

#define FIELDS "Host: a.example\r\n"
#define ASKS_UPGRADE FIELDS "Upgrade: websocket\r\nConnection: Upgrade\r\n"
#define KEY_LINE "Sec-WebSocket-Key: " KEY "\r\n"
#define VERSION "Sec-WebSocket-Version: 13\r\n"

#define UNKNOWN_PAGE "no azc_add_page, azc_add_handler or azc_add_channel has this path"
#define NO_PAGE                                                                                  \
    "a channel, not a page: open it with new WebSocket(); a proxy must pass Upgrade and "        \
    "Connection on"
#define OLD_PROXY "a channel needs HTTP/1.1: nginx needs proxy_http_version 1.1"
#define BAD_VERSION "not exactly one Sec-WebSocket-Version 13, RFC 6455 4.2.1"
#define BAD_KEY "not exactly one Sec-WebSocket-Key of 16 bytes in base64, RFC 6455 4.2.1"
#define TLS_HERE                                                                                 \
    "this looks like TLS: there is none on this port; use http:// and ws://, or a proxy that "   \
    "terminates TLS"
#define BAD_LINE "not \"method target HTTP/1.1\", RFC 9112 3"
#define BAD_FIELD "a field that is not \"name: value\", RFC 9112 5"
#define BAD_HOSTS "not exactly one Host field with a valid host, RFC 9112 3.2"
#define BAD_BYTES "a control character, or a line end that is not CR LF, RFC 9112 2.2"
#define BAD_TARGET "a target with a byte that must be percent-encoded, RFC 3986"
#define BAD_BODY "a body whose length is ambiguous, RFC 9112 6"
#define NO_BODIES "a request with a body; azc_add_endpoint takes POST, PUT, PATCH and DELETE"
#define HANDLER_CODES ": AZC_OK, a status from 200 to 599, or an AZC_ERR_*"

static const struct {
    const char *request;
    int status;
    const char *what, *why; /* method and path in the line; the reason */
} refusals[] = {
    {"GET /nope HTTP/1.1\r\n" FIELDS "\r\n", 404, "GET /nope", UNKNOWN_PAGE},
    {"GET /nope?token=secret HTTP/1.1\r\n" FIELDS "\r\n", 404, "GET /nope", UNKNOWN_PAGE},
    {"GET /nope HTTP/1.1\r\n" UPGRADE "\r\n", 404, "GET /nope",
     "no azc_add_channel has this path"},
    {"POST /page HTTP/1.1\r\n" FIELDS "\r\n", 405, "POST /page", "a page takes GET and HEAD only"},
    {"POST /t HTTP/1.1\r\n" FIELDS "\r\n", 405, "POST /t", "a channel takes GET only"},
    {"GET /t HTTP/1.1\r\n" FIELDS "\r\n", 426, "GET /t", NO_PAGE},
    {"GET /t HTTP/1.0\r\n" ASKS_UPGRADE KEY_LINE VERSION "\r\n", 426, "GET /t", OLD_PROXY},
    {"GET /t HTTP/1.1\r\n" ASKS_UPGRADE KEY_LINE "Sec-WebSocket-Version: 12\r\n\r\n", 426, "GET /t",
     BAD_VERSION},
    {"GET /t HTTP/1.1\r\n" ASKS_UPGRADE KEY_LINE "\r\n", 426, "GET /t", BAD_VERSION},
    {"GET /t HTTP/1.1\r\n" ASKS_UPGRADE VERSION "\r\n", 400, "GET /t", BAD_KEY},
    {"GET /t HTTP/1.1\r\n" ASKS_UPGRADE VERSION "Sec-WebSocket-Key: short\r\n\r\n", 400, "GET /t",
     BAD_KEY},
    {"GET /t HTTP/1.1\r\n" ASKS_UPGRADE VERSION KEY_LINE KEY_LINE "\r\n", 400, "GET /t", BAD_KEY},
    {"\x16\x03\x01\x02\x03\x01", 400, "- -", TLS_HERE},
    {"nonsense\r\n\r\n", 400, "- -", BAD_LINE},
    {"GET / HTTP/1.1 \r\n\r\n", 400, "- -", BAD_LINE},
    {"GET /#top HTTP/1.1\r\n" FIELDS "\r\n", 400, "- -", BAD_TARGET},
    {"GET page HTTP/1.1\r\n" FIELDS "\r\n", 400, "- -", "a target that is no path, RFC 9112 3.2"},
    {"GET / HTTP/1.1\r\nHost : a\r\n\r\n", 400, "GET -", BAD_FIELD},
    {"GET / HTTP/1.1\r\n" FIELDS " folded\r\n\r\n", 400, "GET -", BAD_FIELD},
    {"GET / HTTP/1.1\r\n\r\n", 400, "GET -", BAD_HOSTS},
    {"GET / HTTP/1.1\r\n" FIELDS FIELDS "\r\n", 400, "GET -", BAD_HOSTS},
    {"GET / HTTP/1.1\r\nX: \x01\r\n" FIELDS "\r\n", 400, "- -", BAD_BYTES},
    {"GET / HTTP/1.1\n\n", 400, "- -", BAD_BYTES},
    {"GET / HTTP/1.1\r\n" FIELDS "Content-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n", 400,
     "GET -", BAD_BODY},
    {"GET /%zz HTTP/1.1\r\n" FIELDS "\r\n", 400, "GET /%zz",
     "a path or query with a bad % escape, a NUL, or not in UTF-8"},
    {"GET /page HTTP/1.1\r\n" FIELDS "Content-Length: 1\r\n\r\nx", 413, "GET /page", NO_BODIES},
    {"GET /page HTTP/1.1\r\n" FIELDS "Transfer-Encoding: chunked\r\n\r\n", 501, "GET /page",
     NO_BODIES},
    {"GET /page HTTP/2.0\r\n" FIELDS "\r\n", 505, "GET -", "HTTP/1.0 and 1.1 are supported"},
    {"GET /do?do=401 HTTP/1.1\r\n" FIELDS "\r\n", 401, "GET /do",
     "the page's handler returned 401"},
    {"GET /do?do=0 HTTP/1.1\r\n" FIELDS "\r\n", 500, "GET /do",
     "the page's handler returned AZC_OK without azc_reply"},
    {"GET /do?do=-15 HTTP/1.1\r\n" FIELDS "\r\n", 500, "GET /do",
     "the page's handler returned -15: the program's own error"},
    {"GET /do?do=1 HTTP/1.1\r\n" FIELDS "\r\n", 500, "GET /do",
     "the page's handler returned 1" HANDLER_CODES},
    {"GET /t HTTP/1.1\r\n" UPGRADE "Origin: http://b.example\r\n\r\n", 403, "GET /t",
     "the origin \"http://b.example\" is not of Host \"a.example\": add it to config.origins"},
    {"GET /t?do=401 HTTP/1.1\r\n" UPGRADE "\r\n", 401, "GET /t", "on_upgrade returned 401"},
    {"GET /t?do=-15 HTTP/1.1\r\n" UPGRADE "\r\n", 500, "GET /t",
     "on_upgrade returned -15: the program's own error"},
    {"GET /t?do=1 HTTP/1.1\r\n" UPGRADE "\r\n", 500, "GET /t",
     "on_upgrade returned 1" HANDLER_CODES},
};
enum { REFUSALS = sizeof refusals / sizeof *refusals };

static int as_asked(azc_conn *conn) {
    const char *what = azc_query(conn, "do");
    return what != NULL ? atoi(what) : AZC_OK;
}

static void expect_refused(const char *what, int status, const char *why) {
    char want[1024];
    snprintf(want, sizeof want, "2 127.0.0.1 %s %d: %s\n", what, status, why);
    CHECK_STR(log_since(), want);
}

static int refuse_use(azc_conn *conn, void *user) {
    (void)conn;
    return *(int *)user;
}

static void requests(void) {
    TEST("each refused request has one line: peer, method, path, status, why") {
        azc_config config = logging();
        azc_channel_desc d = recorder("/t");
        d.on_upgrade = as_asked;
        azc_server *server = serving(&config, d);
        for (int i = 0; i < REFUSALS; i++) {
            int bad = test.bad;
            tape_clear(&log_lines);
            CHECK_INT(ask(server, refusals[i].request), refusals[i].status);
            settle(server);
            expect_refused(refusals[i].what, refusals[i].status, refusals[i].why);
            if (test.bad > bad) printf("    in row %d: %s\n", i, refusals[i].request);
        }
        finish(server);
    }
    TEST("a head that is too long or too late has a line with the config field") {
        azc_config config = logging();
        config.max_request = 1024, config.handshake_ms = 40;
        azc_server *server = serving_pages(&config);
        char request[3000], many[3000] = "GET / HTTP/1.1\r\n" FIELDS;
        snprintf(request, sizeof request, "GET / HTTP/1.1\r\nX: %01100d\r\n\r\n", 1);
        CHECK_INT(ask(server, request), 431);
        expect_refused("- -", 431, "a request head over max_request, or over 64 fields");
        for (int i = 0; i < 70; i++) strcat(many, "a: b\r\n");
        CHECK_INT(ask(server, strcat(many, "\r\n")), 431);
        expect_refused("- -", 431, "a request head over max_request, or over 64 fields");
        snprintf(request, sizeof request, "GET /%01100d HTTP/1.1\r\n\r\n", 1);
        CHECK_INT(ask(server, request), 414);
        expect_refused("- -", 414, "a request line over max_request");
        CHECK_INT(ask(server, "GET / HTTP/1.1\r\n"), 408);
        expect_refused("- -", 408, "no whole request head within handshake_ms");
        finish(server);
    }
    TEST("a handler of azc_use that refuses is in the line") {
        int answers[] = {401, -15, 7};
        const char *const why[] = {"a handler of azc_use returned 401",
                                   "a handler of azc_use returned -15: the program's own error",
                                   "a handler of azc_use returned 7" HANDLER_CODES};
        azc_config config = logging();
        int answer = 0;
        azc_server *server = create(&config);
        azc_use(server, refuse_use, &answer);
        listening(server);
        for (int i = 0; i < 3; i++) {
            answer = answers[i];
            CHECK_INT(ask(server, "GET /x HTTP/1.1\r\n" FIELDS "\r\n"), i == 0 ? 401 : 500);
            expect_refused("GET /x", i == 0 ? 401 : 500, why[i]);
        }
        finish(server);
    }
    TEST("a refused origin is logged beside the list that it is not in") {
        azc_config config = logging();
        config.origins = "https://a.example https://*.b.example";
        azc_server *server = serving_pages(&config);
        CHECK_INT(ask(server, "GET /t HTTP/1.1\r\n" UPGRADE "Origin: https://b.example\r\n\r\n"),
                  403);
        expect_refused("GET /t", 403, "the origin \"https://b.example\" is not in origins "
                       "\"https://a.example https://*.b.example\": add it to config.origins");
        finish(server);
    }
    TEST("a visitor over max_per_address is logged by its own address") {
        azc_config config = logging();
        config.max_per_address = 1;
        azc_server *server = create(&config);
        azc_channel_desc d = recorder("/t");
        azc_add_channel(server, &d);
        CHECK_INT(azc_trust_proxies(server, "127.0.0.1"), AZC_OK);
        listening(server);
        client *c = client_open(server);
        CHECK_INT(client_upgrade(c, "/t", FOR "192.0.2.7\r\n"), 101);
        tape_clear(&log_lines);
        client *second = client_open(server);
        CHECK_INT(client_upgrade(second, "/t", FOR "192.0.2.7\r\n"), 429);
        CHECK_STR(log_since(), "2 192.0.2.7 GET /t 429: its address has max_per_address 1 "
                  "connections\n");
        finish(server);
    }
    TEST("a newcomer over max_per_address and one over max_connections have a line") {
        azc_config config = logging();
        config.max_per_address = 1;
        azc_server *server = serving_pages(&config);
        client_open(server), settle(server);
        client_open(server), settle(server);
        if (!CHECK_INT(logged("max_per_address 1"), 1)) puts(tape_text(&log_lines));
        finish(server);
        config.max_per_address = 0, config.max_connections = 1;
        server = serving_pages(&config);
        client_open(server), settle(server);
        client_open(server), settle(server);
        if (!CHECK(logged("max_connections 1 is reached: ") >= 1)) puts(tape_text(&log_lines));
        finish(server);
    }
}

/* ---- Frames ---------------------------------------------------------------------------------- */

static int closed_code;
static char closed_reason[128];
static void keep_close(azc_conn *conn, int code, const char *reason) {
    (void)conn;
    closed_code = code;
    snprintf(closed_reason, sizeof closed_reason, "%s", reason);
}

#define BYTES(text) text, sizeof text - 1
#define NO_MASK "\0\0\0\0"

static const struct {
    const char *bytes;
    size_t len;
    int code;
    const char *rule;
} broken[] = {
    {BYTES("\x81\x02hi"), 1002, "an unmasked frame, RFC 6455 5.1"},
    {BYTES("\xc1\x80" NO_MASK), 1002, "a reserved bit is set, RFC 6455 5.2"},
    {BYTES("\x83\x80" NO_MASK), 1002, "an unknown opcode, RFC 6455 5.2"},
    {BYTES("\x8b\x80" NO_MASK), 1002, "an unknown opcode, RFC 6455 5.2"},
    {BYTES("\x80\x80" NO_MASK), 1002, "a continuation without a message, RFC 6455 5.4"},
    {BYTES("\x01\x80" NO_MASK "\x81\x80" NO_MASK), 1002,
     "a message within another message, RFC 6455 5.4"},
    {BYTES("\x09\x80" NO_MASK), 1002, "a fragmented control frame, RFC 6455 5.5"},
    {BYTES("\x89\xfe\0\x7e"), 1002, "a control frame over 125 bytes, RFC 6455 5.5"},
    {BYTES("\x88\x81"), 1002, "a Close frame with half a code, RFC 6455 5.5.1"},
    {BYTES("\x88\x82" NO_MASK "\x03\xed"), 1002,
     "a Close code that must not be sent, RFC 6455 7.4"},
    {BYTES("\x88\x83" NO_MASK "\x03\xe8\xff"), 1007,
     "a Close reason that is not UTF-8, RFC 6455 5.5.1"},
    {BYTES("\x82\xff\x80"), 1002, "a length over 63 bits, RFC 6455 5.2"},
    {BYTES("\x82\xfe\0\x05" NO_MASK), 1002,
     "a length that is not in its shortest form, RFC 6455 5.2"},
    {BYTES("\x82\xff\0\0\0\0\0\0\x01\0" NO_MASK), 1002,
     "a length that is not in its shortest form, RFC 6455 5.2"},
    {BYTES("\x81\x81" NO_MASK "\xff"), 1007, "text that is not UTF-8, RFC 6455 8.1"},
    {BYTES("\x01\x81" NO_MASK "\xc3\x80\x81" NO_MASK "("), 1007,
     "text that is not UTF-8, RFC 6455 8.1"},
    {BYTES("\x81\x81" NO_MASK "\xc3"), 1007, "text that is not UTF-8, RFC 6455 8.1"},
    {BYTES("\x82\xff\0\0\0\0\0\x01\0\x01" NO_MASK), 1009, "a message over max_message"},
};
enum { BROKEN = sizeof broken / sizeof *broken };

/* The channel closed with this code and reason, and on_close got the code. */
static void expect_closed(client *c, int code, const char *reason) {
    EXPECT_CLOSE(c, code, reason);
    CHECK(strlen(reason) <= 123);
    CHECK_INT(closed_code, code);
    CHECK_STR(closed_reason, "");
}

static azc_server *listen_to(const azc_config *config, azc_channel_desc d) {
    d.on_close = keep_close;
    closed_code = 0;
    return serve(config, d);
}

static void frames(void) {
    TEST("each broken rule is in the Close frame and in one line of the log") {
        azc_config config = logging();
        azc_server *server = listen_to(&config, recorder("/t"));
        for (int i = 0; i < BROKEN; i++) {
            char want[512];
            int bad = test.bad;
            client *c = join_channel(server, "/t?token=secret");
            tape_clear(&log_lines);
            closed_code = 0, strcpy(closed_reason, "none");
            client_send(c, broken[i].bytes, broken[i].len), settle(server);
            expect_closed(c, broken[i].code, broken[i].rule);
            snprintf(want, sizeof want, "2 127.0.0.1 /t: closed with %d: the peer sent %s%s\n",
                     broken[i].code, broken[i].rule,
                     broken[i].code == 1009 ? ", which is 65536 bytes" : "");
            CHECK_STR(log_since(), want);
            client_close(c), settle(server);
            if (test.bad > bad) printf("    in row %d\n", i);
        }
        finish(server);
    }
    TEST("a message for a callback that the channel has not is 1003, with the callback's name") {
        azc_config config = logging();
        azc_channel_desc d = recorder("/t");
        d.on_binary = NULL;
        azc_server *server = listen_to(&config, d);
        client *c = join_channel(server, "/t");
        client_frame(c, FIN | BINARY, "a", 1), settle(server);
        expect_closed(c, 1003, "this channel takes text messages only");
        CHECK_STR(log_since(), "2 127.0.0.1 /t: closed with 1003: the peer sent a binary message, "
                  "but the channel has no on_binary\n");
        finish(server);
        d = recorder("/t"), d.on_message = NULL;
        server = listen_to(&config, d);
        c = join_channel(server, "/t");
        client_text(c, "a"), settle(server);
        expect_closed(c, 1003, "this channel takes binary messages only");
        CHECK_STR(log_since(), "2 127.0.0.1 /t: closed with 1003: the peer sent a text message, "
                  "but the channel has no on_message\n");
        finish(server);
        d.on_binary = NULL;
        server = listen_to(&config, d);
        c = join_channel(server, "/t");
        client_text(c, "a"), client_text(c, "b"), settle(server);
        CHECK_STR(log_since(), "2 127.0.0.1 /t: its messages are ignored: the channel has neither "
                  "on_message nor on_binary\n");
        finish(server);
    }
    TEST("a slow reader gets 1013, and the line has its backlog and max_backlog") {
        azc_config config = logging();
        config.max_message = 1024, config.max_backlog = 16384, config.read_buffer = 4096;
        azc_server *server = listen_to(&config, recorder("/t"));
        client *c = join_channel(server, "/t");
        static char data[1000];
        memset(data, 'x', sizeof data);
        azc_conn *conn = member_of(served);
        int sent = 0, end = 0;
        unsigned backlog = 0;
        while (azc_send_text(conn, data, sizeof data) == AZC_OK) sent++;
        const char *line = log_since();
        CHECK(sscanf(line, "2 127.0.0.1 /t: closed with 1013: its backlog is %u bytes, and "
                     "max_backlog is 16384: it reads too slowly; see when_full\n%n", &backlog,
                     &end) == 1);
        if (!CHECK(line[end] == 0) || !CHECK(backlog > 15384 && backlog <= 16384)) puts(line);
        for (int i = 0; i < sent; i++) {
            if (!EXPECT_FRAME(c, TEXT, data, sizeof data)) break;
        }
        expect_closed(c, 1013, "the peer reads too slowly");
        finish(server);
    }
    TEST("AZC_FULL_DROP logs each dropped message, as a matter of AZC_LOG_DEBUG") {
        azc_config config = logging();
        config.max_message = 1024, config.max_backlog = 16384, config.read_buffer = 4096;
        for (int level = AZC_LOG_NOTICE; level <= AZC_LOG_DEBUG; level++) {
            config.log_level = level;
            azc_channel_desc d = recorder("/t");
            d.when_full = AZC_FULL_DROP;
            azc_server *server = listen_to(&config, d);
            join_channel(server, "/t");
            static char data[1000];
            memset(data, 'x', sizeof data);
            while (azc_send_text(member_of(served), data, sizeof data) == AZC_OK) {}
            CHECK_INT(logged("4 127.0.0.1 /t: a message is dropped: its backlog is "),
                      level == AZC_LOG_DEBUG);
            finish(server);
        }
    }
    TEST("a peer without pongs is dropped with 1006, and the line names pong_ms") {
        azc_config config = logging();
        config.ping_ms = 30, config.pong_ms = 30;
        azc_server *server = listen_to(&config, recorder("/t"));
        join_channel(server, "/t");
        tape_clear(&log_lines);
        pump_until(server, closed_code != 0);
        CHECK_INT(closed_code, 1006);
        CHECK_STR(log_since(), "2 127.0.0.1 /t: dropped with 1006: nothing came within pong_ms 30 "
                  "after a ping\n");
        finish(server);
    }
    TEST("closes with 1000, 1001 and 1005 cause no warning") {
        azc_config config = logging();
        azc_server *server = listen_to(&config, recorder("/t"));
        static const int codes[] = {1000, 1001, 0};
        for (int i = 0; i < 3; i++) {
            client *c = join_channel(server, "/t");
            client_bye(c, codes[i], ""), settle(server);
            CHECK_INT(closed_code, codes[i] ? codes[i] : 1005);
            client_close(c), settle(server);
        }
        client *c = join_channel(server, "/t");
        azc_close(member_of(served), 1000, "bye"), settle(server);
        EXPECT_CLOSE(c, 1000, "bye");
        join_channel(server, "/t");
        azc_stop(server), settle(server);
        CHECK_INT(closed_code, 1001);
        CHECK_STR(log_since(), "");
        finish(server);
    }
}

/* ---- Callbacks ------------------------------------------------------------------------------- */

static int returns_app(azc_conn *conn, const char *text, size_t len) {
    (void)conn, (void)len;
    return *text == '1' ? 1 : AZC_ERR_APP;
}
static int takes_time(azc_conn *conn, const char *text, size_t len) {
    struct timespec t = {0, 40000000};
    (void)conn, (void)text, (void)len;
    nanosleep(&t, NULL);
    return AZC_OK;
}
static void slow_task(azc_server *server, void *arg) {
    (void)server;
    *(int *)arg = takes_time(NULL, NULL, 0) + 1;
}

static void callbacks(void) {
    TEST("a callback's error without on_error is logged with the callback's name and result") {
        azc_config config = logging();
        azc_channel_desc d = recorder("/t");
        d.on_message = returns_app, d.on_error = NULL;
        azc_server *server = listen_to(&config, d);
        client *c = join_channel(server, "/t");
        client_text(c, "a"), settle(server);
        CHECK_STR(log_since(), "2 127.0.0.1 /t: on_message returned -15 (the program's own error): "
                  "without on_error the peer gets INTERNAL_ERROR or INVALID_JSON\n");
        client_text(c, "1"), settle(server);
        const char *line = log_since();
        CHECK(strncmp(line, "2 127.0.0.1 /t: on_message returned 1 (", 39) == 0);
        CHECK(strstr(line, ": callbacks return AZC_OK or an AZC_ERR_*\n") != NULL);
        finish(server);
    }
    TEST("a callback that takes longer than slow_ms is logged with its name and path") {
        azc_config config = logging();
        config.slow_ms = 30;
        azc_channel_desc d = recorder("/t");
        d.on_message = takes_time;
        azc_server *server = listen_to(&config, d);
        client *c = join_channel(server, "/t");
        tape_clear(&log_lines);
        client_text(c, "a"), settle(server);
        int ms = 0, end = 0;
        const char *line = log_since();
        CHECK(sscanf(line, "2 127.0.0.1 /t: on_message took %d ms (slow_ms 30): no other peer was "
                     "served meanwhile; do slow work in a thread, see azc_post\n%n", &ms,
                     &end) == 1);
        if (!CHECK(end > 0 && line[end] == 0) || !CHECK(ms >= 39 && ms < 5000)) puts(line);
        int ran = 0;
        azc_post(server, slow_task, &ran);
        pump_until(server, ran);
        line = log_since();
        if (!CHECK(strstr(line, " took ") != NULL) || !CHECK(strstr(line, "slow_ms 30") != NULL))
            puts(line);
        finish(server);
        config.slow_ms = -1;
        server = listen_to(&config, d);
        c = join_channel(server, "/t");
        tape_clear(&log_lines);
        client_text(c, "a"), settle(server);
        CHECK_STR(log_since(), "");
        finish(server);
    }
}

/* ---- Levels, and the file -------------------------------------------------------------------- */

static void levels(void) {
    TEST("each level has its own lines and those of the levels above it") {
        for (int level = 0; level <= AZC_LOG_DEBUG; level++) {
            azc_config config = logging();
            config.log_level = level;
            azc_server *server = serving_pages(&config);
            CHECK_INT(ask(server, "GET / HTTP/1.1\r\n" FIELDS "\r\n"), 200);
            CHECK_INT(ask(server, "GET /nope HTTP/1.1\r\n" FIELDS "\r\n"), 404);
            client *c = join_channel(server, "/t");
            CHECK_INT(azc_join(member_of(served), ""), AZC_ERR_ARGUMENT);
            client_bye(c, 1000, ""), settle(server);
            char lines[4096];
            snprintf(lines, sizeof lines, "\n%s", log_since());
            int effective = level ? level : AZC_LOG_WARNING;
            CHECK_INT(count_of(lines, "\n1 "), 1);
            CHECK_INT(count_of(lines, "\n2 "), effective >= AZC_LOG_WARNING);
            CHECK_INT(count_of(lines, "\n3 "), effective >= AZC_LOG_NOTICE ? 3 : 0);
            CHECK_INT(count_of(lines, ": accepted, "), effective >= AZC_LOG_DEBUG ? 3 : 0);
            CHECK_INT(count_of(lines, "\n3 127.0.0.1 GET / 200\n"), effective >= AZC_LOG_NOTICE);
            CHECK_INT(count_of(lines, "\n3 127.0.0.1 GET /t 101\n"), effective >= AZC_LOG_NOTICE);
            CHECK_INT(count_of(lines, "\n3 127.0.0.1 WS /t 1000 "), effective >= AZC_LOG_NOTICE);
            if (test.bad) printf("    level %d: %s", level, lines);
            finish(server);
        }
    }
    TEST("a flood of refused requests leaves about a hundred lines, and the number of the rest") {
        enum { FLOOD = 5000 };
        int flood = getenv("TEST_QUICK") ? 1000 : FLOOD;
        FILE *file = tmpfile();
        azc_config config = quick();
        azc_server *server = serving_pages(&config);
        CHECK_INT(azc_log_to(server, file, 0), AZC_OK);
        long long began = now_ms();
        for (int i = 0; i < flood; i++) {
            if (!CHECK_INT(ask(server, "GET /nope HTTP/1.1\r\n" FIELDS "\r\n"), 404)) break;
        }
        long long took = now_ms() - began;
        pump(server, 250);
        CHECK_INT(ask(server, "GET /last HTTP/1.1\r\n" FIELDS "\r\n"), 404);
        char text[1024];
        int lines = 0, reports = 0, year, end;
        unsigned long long left = 0, n;
        rewind(file);
        while (fgets(text, sizeof text, file)) {
            end = 0;
            CHECK(sscanf(text, "%4d-%*2d-%*2dT%*2d:%*2d:%*2dZ warning %n", &year, &end) == 1 &&
                  end == 29 && year >= 2024);
            if (strstr(text, " lines left out: too many\n") != NULL &&
                CHECK(sscanf(text + end, "%llu ", &n) == 1)) left += n, reports++;
            else lines++;
        }
        CHECK(strstr(text, "127.0.0.1 GET /last 404 ") != NULL);
        CHECK_INT((long long)left + lines, flood + 1);
        CHECK(reports >= 1 && lines >= 100);
        CHECK(lines <= 104 + (took + 250) / 100);
        finish(server);
        fclose(file);
    }
}

int main(int argc, char **argv) {
    test_start(argc, argv);
    requests();
    frames();
    callbacks();
    levels();
    tape_clear(&events), tape_clear(&log_lines);
    return test_end();
}
