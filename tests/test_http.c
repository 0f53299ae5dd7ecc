/* HTTP: request heads by RFC 9112 and 9110, targets by RFC 3986, origins by RFC 6454. */
#define AZCHAN_IMPLEMENTATION
#include "../azchan.h"
#include "test.h"
#include "pure.h"

enum { MAX = 8192 };

/* ---- Where a head ends ----------------------------------------------------------------------- */

/* Scan in pieces, each against an unreadable page. Returns how many bytes in all belong to the
 * head, 0 for more needed, or the status. */
static int scan(const char *bytes, size_t n, size_t max, size_t first, size_t step) {
    azc__scan state;
    memset(&state, 0, sizeof state);
    for (size_t at = 0, piece = first; at < n; at += piece, piece = step) {
        if (piece == 0) piece = step;
        if (piece > n - at) piece = n - at;
        int k = azc__http_scan(&state, (unsigned char *)placed(bytes + at, piece), piece, max);
        CHECK(k <= (int)piece);
        if (k != 0) return k < 0 ? k : (int)at + k;
    }
    return 0;
}

/* The same answer whole, byte by byte, and in every single cut; and none before its byte. */
static void expect_scan(const char *bytes, size_t n, size_t max, int want) {
    if (!CHECK_INT(scan(bytes, n, max, n, n), want)) printf("    for %.60s\n", bytes);
    CHECK_INT(scan(bytes, n, max, 1, 1), want);
    for (size_t cut = 0; cut < n && cut < 2000; cut++) {
        if (!CHECK_INT(scan(bytes, n, max, cut, n), want)) return;
        if (want > 0 && cut < (size_t)want && !CHECK_INT(scan(bytes, cut, max, cut, 1), 0)) return;
    }
}

static void expect_text(const char *head, int want) {
    expect_scan(head, strlen(head), MAX, want);
}

static void ends(void) {
    TEST("a head ends with an empty line, and the bytes after it do not belong to it") {
        expect_text("GET / HTTP/1.1\r\n\r\n", 18);
        expect_text("GET / HTTP/1.1\r\nHost: a\r\n\r\n", 27);
        expect_text("GET / HTTP/1.1\r\nHost: a\r\n\r\nGET", 27);
        expect_text("GET / HTTP/1.1\r\nHost: a\r\n\r\n\x01\x02\r\n\r\n", 27);
        expect_scan("GET / HTTP/1.1\r\n\r\n\0\0", 20, MAX, 18);
        expect_text("GET / HTTP/1.1\r\nHost: a\r\n\r", 0);
        expect_text("GET / HTTP/1.1\r\nHost: a\r\n", 0);
        expect_text("", 0);
    }
    TEST("one empty line before the request is ignored (RFC 9112 2.2), two are not") {
        expect_text("\r\nGET / HTTP/1.1\r\n\r\n", 20);
        expect_text("\r\n", 0);
        expect_text("\r\n\r\n", -400);
        expect_text("\r\n\r\nGET / HTTP/1.1\r\n\r\n", -400);
    }
    TEST("a line ends with CR LF; either alone is refused (2.2)") {
        expect_text("GET / HTTP/1.1\n\n", -400);
        expect_text("GET / HTTP/1.1\r\nHost: a\n\r\n", -400);
        expect_text("GET / HTTP/1.1\r\n\n", -400);
        expect_text("GET / HTTP/1.1\r\r\n\r\n", -400);
        expect_text("GET / HTTP/1.1\rHost: a\r\n\r\n", -400);
        expect_text("GET / HTTP/1.1\r\nA: b\rc\r\n\r\n", -400);
        expect_text("GET / HTTP/1.1\r\nA: b\r\n\rX", -400);
        expect_text("\n", -400);
        expect_text("\rG", -400);
        expect_text("\n\r\n", -400);
    }
    TEST("control characters except tab are refused anywhere; bytes over 127 pass (5.5)") {
        for (int c = 0; c < 256; c++) {
            char head[] = "GET / HTTP/1.1\r\nA: x?x\r\n\r\n";
            head[20] = (char)c;
            int bad = (c < 32 && c != '\t') || c == 127;
            expect_scan(head, sizeof head - 1, MAX, bad ? -400 : (int)sizeof head - 1);
            char first[] = "?ET / HTTP/1.1\r\n\r\n";
            first[0] = (char)c;
            expect_scan(first, sizeof first - 1, MAX, bad ? -400 : (int)sizeof first - 1);
        }
    }
    TEST("a head may have max_request bytes, its empty line included, and not one more") {
        static char head[300];
        for (size_t n = 40; n < 44; n++) {
            memset(head, 'x', sizeof head);
            memcpy(head, "GET / HTTP/1.1\r\nA: ", 19);
            memcpy(head + n - 4, "\r\n\r\n", 4);
            expect_scan(head, n, 42, n <= 42 ? (int)n : -431);
            expect_scan(head, sizeof head, 42, n <= 42 ? (int)n : -431);
        }
        memset(head, 'x', sizeof head);
        memcpy(head, "GET /", 5);
        expect_scan(head, 100, 100, 0);
        expect_scan(head, 101, 100, -414); /* the line with the target never ended */
        memcpy(head + 80, "\r\n", 2);
        expect_scan(head, 100, 100, 0);
        expect_scan(head, 101, 100, -431);
    }
    TEST("a head may have 64 fields and not one more") {
        static char head[1000];
        for (int fields = 63; fields <= 66; fields++) {
            size_t n = (size_t)snprintf(head, sizeof head, "GET / HTTP/1.1\r\n");
            for (int i = 0; i < fields; i++) {
                memcpy(head + n, "a: b\r\n", 6);
                n += 6;
            }
            memcpy(head + n, "\r\n", 2);
            n += 2;
            expect_scan(head, n, MAX, fields <= 64 ? (int)n : -431);
        }
        for (int i = 0; i < 66; i++) memcpy(head + 3 * i, "x\r\n", 3); /* lines of any length */
        expect_scan(head, 65 * 3, MAX, 0);
        expect_scan(head, 66 * 3, MAX, -431);
    }
    TEST("random heads, most of them damaged, have the same result in every cut") {
        static const char *const bits[] = {"GET / HTTP/1.1", "\r\n", "\r\n", "\r\n", "A: b",
                                           "Host: x", "\r", "\n", "\t", " ", "\x7F", "\xC3", "\0"};
        for (int round = 0; round < 3000; round++) {
            char head[300];
            size_t n = 0;
            for (int i = 0; i < 10; i++) {
                size_t pick = random_below(random_below(4) ? 6 : 13), len = strlen(bits[pick]);
                if (pick == 12) len = 1;
                memcpy(head + n, bits[pick], len);
                n += len;
            }
            int want = scan(head, n, 60, n, n);
            CHECK_INT(scan(head, n, 60, 1, 1), want);
            for (size_t cut = 0; cut < n; cut++)
                if (!CHECK_INT(scan(head, n, 60, cut, n), want)) return;
        }
    }
}

/* ---- The contents of a head ------------------------------------------------------------------ */

static azc__request request; /* its strings are in parsed's copy of the head */

/* Parse a head that ends against an unreadable page, as azc__http_scan would hand it over. */
static int parse(const char *head) {
    size_t n = strlen(head);
    if (scan(head, n, MAX, n, n) != (int)n) return -1;
    char *copy = (char *)placed(head, n);
    memset(&request, 0xA5, sizeof request);
    return azc__http_parse(&request, copy, n);
}

static int parse_first(const char *line) {
    static char head[20000];
    snprintf(head, sizeof head, "%s\r\nHost: h\r\n\r\n", line);
    return parse(head);
}

static int parse_fields(const char *fields) {
    static char head[20000];
    snprintf(head, sizeof head, "GET / HTTP/1.1\r\nHost: h\r\n%s\r\n", fields);
    return parse(head);
}

static int parse_target(const char *target) {
    static char line[10000];
    snprintf(line, sizeof line, "GET %s HTTP/1.1", target);
    return parse_first(line);
}

static void request_lines(void) {
    TEST("the request line is method, target and version, one space between (RFC 9112 3)") {
        CHECK_INT(parse_first("GET /chat?a=b HTTP/1.1"), 0);
        CHECK_STR(request.method, "GET");
        CHECK_STR(request.target, "/chat?a=b");
        CHECK_INT(request.path_len, 5);
        CHECK(memcmp(request.path, "/chat", 5) == 0);
        CHECK_STR(request.query, "a=b");
        CHECK(request.keep_alive && !request.upgrade && !request.head_only && !request.chunked);
        CHECK(request.field_count == 1 && request.body == 0 && !request.answered);
        CHECK_INT(request.status, 0);
        CHECK(request.route == NULL && request.cookies == NULL);
        CHECK_INT(request.extra_len, 0);
        CHECK_INT(parse_first("\r\nGET / HTTP/1.1"), 0);
        static const char *const bad[] = {"GET", "GET ", "GET /", "GET / ", " GET / HTTP/1.1",
            "GET  / HTTP/1.1", "GET /  HTTP/1.1", "GET / HTTP/1.1 ", "GET / x HTTP/1.1",
            "GET\t/ HTTP/1.1", "GET /\tHTTP/1.1", " / HTTP/1.1", "GET HTTP/1.1", "/ HTTP/1.1",
            "G(T / HTTP/1.1", "G\xC3T / HTTP/1.1", "GET / http/1.1", "GET / HTTP/1",
            "GET / HTTP/11",
            "GET / HTTP/1.", "GET / HTTP/1.1.", "GET / HTTP/1.11", "GET / HTTP/01.1",
            "GET / HTTP/1,1", "GET / HTTP/a.1", "GET / HTTP/1.a", "GET / HTTPS/1.1",
            "GET / XTTP/1.1", "GET / HTTP/:.1", "GET / HTTP//.1",
            "GET / HTTP/1.:", "GET / HTTP/1./", "GET / HTTP 1.1", "Host: h", "GET / HTTP/-1.1"};
        for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
            if (!CHECK_INT(parse_first(bad[i]), -400)) printf("    %s\n", bad[i]);
    }
    TEST("methods keep their case; HEAD alone has no body") {
        CHECK_INT(parse_first("get / HTTP/1.1"), 0);
        CHECK_STR(request.method, "get");
        CHECK_INT(parse_first("HEAD / HTTP/1.1"), 0);
        CHECK(request.head_only);
        CHECK_INT(parse_first("head / HTTP/1.1"), 0);
        CHECK(!request.head_only);
        CHECK_INT(parse_first("HEADS / HTTP/1.1"), 0);
        CHECK(!request.head_only);
    }
    TEST("all minor versions of HTTP/1 are understood, other versions are 505 (RFC 9110 2.5)") {
        CHECK_INT(parse_first("GET / HTTP/1.1"), 0);
        CHECK_INT(parse_first("GET / HTTP/1.2"), 0);
        CHECK(!request.http10);
        CHECK_INT(parse_first("GET / HTTP/1.0"), 0);
        CHECK(request.http10 && !request.keep_alive);
        CHECK_INT(parse_first("GET / HTTP/0.9"), -505);
        CHECK_INT(parse_first("GET / HTTP/2.0"), -505);
        CHECK_INT(parse_first("GET / HTTP/3.1"), -505);
    }
}

static void targets(void) {
    TEST("origin-form: path and query as sent (RFC 9112 3.2.1)") {
        static const struct { const char *target, *path, *query; } good[] = {
            {"/", "/", NULL}, {"/?", "/", ""}, {"/a/b", "/a/b", NULL}, {"/a?b?c", "/a", "b?c"},
            {"/a?/b", "/a", "/b"}, {"//a", "//a", NULL}, {"/a//", "/a//", NULL},
            {"/%2F%00", "/%2F%00", NULL}, {"/a://b", "/a://b", NULL},
            {"/?http://x", "/", "http://x"},
            {"/!$&'()*+,;=:@-._~", "/!$&'()*+,;=:@-._~", NULL}};
        for (size_t i = 0; i < sizeof good / sizeof *good; i++) {
            CHECK_INT(parse_target(good[i].target), 0);
            CHECK_INT(request.path_len, strlen(good[i].path));
            CHECK(strncmp(request.path, good[i].path, request.path_len) == 0);
            CHECK_STR(request.query, good[i].query);
            CHECK_INT(request.host_len, 1);
            CHECK(*request.host == 'h');
        }
    }
    TEST("absolute-form: its authority is the host, and Host is ignored (3.2.2)") {
        static const struct { const char *target, *host, *path, *query; } good[] = {
            {"http://a.example/b?c", "a.example", "/b", "c"}, {"http://a", "a", "", NULL},
            {"http://a?b", "a", "", "b"}, {"HTTPS://A:8080/", "A:8080", "/", NULL},
            {"ws://a/b", "a", "/b", NULL}, {"wss://[::1]:80/b", "[::1]:80", "/b", NULL},
            {"http://a/b://c", "a", "/b://c", NULL}, {"http://a?/b", "a", "", "/b"}};
        for (size_t i = 0; i < sizeof good / sizeof *good; i++) {
            if (!CHECK_INT(parse_target(good[i].target), 0)) continue;
            CHECK_INT(request.host_len, strlen(good[i].host));
            CHECK(strncmp(request.host, good[i].host, request.host_len) == 0);
            CHECK_INT(request.path_len, strlen(good[i].path));
            CHECK(strncmp(request.path, good[i].path, request.path_len) == 0);
            CHECK_STR(request.query, good[i].query);
            CHECK_STR(request.target, good[i].target);
        }
        CHECK_INT(parse("GET http://a/ HTTP/1.1\r\nHost: h\r\nHost: i\r\n\r\n"), -400);
        CHECK_INT(parse("GET http://a/ HTTP/1.1\r\n\r\n"), -400); /* 3.2: still needed */
    }
    TEST("other forms and bad characters of a target are 400") {
        static const char *const bad[] = {"*", "a", "a/b", "h:80", "?a", "http:/a", "http//a",
            "ftp://a/", "://a/", "http://", "http:///a", "http://?a", "http://u@a/",
            "http://u:p@a/",
            "http://a b/", "/a#b", "/#", "http://a#b", "http://a\"/", "http://a\\b/", "http://<a>/",
            "httpx://a/", "htt://a/", "/a\xC3\xA4", "/\x80", "/\xFF", "http://\xC3/", "http://a^b/",
            "http://a`b/", "http://a|b/", "http://a{b/", "http://:80/", "http://[::1/",
            "http://[]/", "http://[::1]x/", "http://a:b/", "http://a:80:90/"};
        for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
            if (!CHECK_INT(parse_target(bad[i]), -400)) printf("    %s\n", bad[i]);
    }
}

static void hosts(void) {
    TEST("exactly one Host, in any letter case (RFC 9112 3.2)") {
        CHECK_INT(parse("GET / HTTP/1.1\r\n\r\n"), -400);
        CHECK_INT(parse("GET / HTTP/1.1\r\nHOST: a\r\n\r\n"), 0);
        CHECK_INT(parse("GET / HTTP/1.1\r\nhost:a\r\n\r\n"), 0);
        CHECK_INT(parse("GET / HTTP/1.1\r\nHost: a\r\nhost: a\r\n\r\n"), -400);
        CHECK_INT(parse("GET / HTTP/1.1\r\nHosts: a\r\n\r\n"), -400);
        CHECK_INT(parse("GET / HTTP/1.1\r\nHos: a\r\n\r\n"), -400);
    }
    TEST("a Host is uri-host and port, of RFC 3986's characters") {
        static const char *const good[] = {"a", "a.example:80", "127.0.0.1:4000", "[::1]:4000",
            "[::1]", "a-b_c~d", "a%20b", "a!$&'()*+,;=b", "a:", "[2001:db8::10]:80",
            "[::ffff:10.0.0.1]", "[ABCD:ef01:2345::6789]"};
        static const char *const bad[] = {"a b", "a/b", "u@a", "a?b", "a#b", "a\\b", "a\"b", "<a>",
            "a^b", "a`b", "a|b", "{a}", "a, b", "\xC3\xA4", "a\tb", "a:8x",
            "a:-1", "a:80:80", "[::1", "[::1]80", "::1", "[::g]", "[x::1]", "a[::1]", "[[::1]]",
            "[::1]:x", "a]", "@", "[]", "a\x80", ":80", ":"};
        char head[100];
        for (size_t i = 0; i < sizeof good / sizeof *good; i++) {
            snprintf(head, sizeof head, "GET / HTTP/1.1\r\nHost: %s\r\n\r\n", good[i]);
            if (!CHECK_INT(parse(head), 0)) printf("    %s\n", good[i]);
            CHECK_INT(request.host_len, strlen(good[i]));
        }
        for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
            snprintf(head, sizeof head, "GET / HTTP/1.1\r\nHost: %s\r\n\r\n", bad[i]);
            if (!CHECK_INT(parse(head), -400)) printf("    %s\n", bad[i]);
        }
        CHECK(azc__http_authority("a\0b", 3) == 0);
        CHECK(azc__http_authority((const char *)placed("a:80/", 5), 4));
        CHECK(azc__http_authority((const char *)placed("[::1]?", 6), 5));
        CHECK(!azc__http_authority((const char *)placed("[::1/", 5), 4));
        CHECK(azc__http_authority((const char *)placed("abc/", 4), 3));
    }
}

static void field_lines(void) {
    TEST("a field is name, colon, value without the space around it (RFC 9112 5)") {
        CHECK_INT(parse_fields("A:b\r\nC: d\r\nE:\t f g\t \r\nEmpty:\r\nBlank: \t \r\nK: a:b\r\n"),
            0);
        CHECK_INT(request.field_count, 7);
        CHECK_STR(request.fields[1].name, "A");
        CHECK_STR(request.fields[1].value, "b");
        CHECK_STR(azc__http_field(&request, "c"), "d");
        CHECK_STR(azc__http_field(&request, "E"), "f g");
        CHECK_STR(azc__http_field(&request, "EMPTY"), "");
        CHECK_STR(azc__http_field(&request, "blank"), "");
        CHECK_STR(azc__http_field(&request, "k"), "a:b");
        CHECK_STR(azc__http_field(&request, "kk"), NULL);
        CHECK_STR(azc__http_field(&request, ""), NULL);
    }
    TEST("folded lines, a space before the colon, lines that are no fields: 400 (5.1, 5.2)") {
        static const char *const bad[] = {"A : b\r\n", "A\t: b\r\n", " A: b\r\n", "\tA: b\r\n",
            "A: b\r\n c\r\n", "A: b\r\n\tc\r\n", "A: b\r\n \r\n", "A\r\n", ": b\r\n", ":\r\n",
            "A(: b\r\n", "A b: c\r\n", "\xC3\xA4: b\r\n", "A@: b\r\n", "\"A\": b\r\n",
            "A/B: c\r\n"};
        for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
            if (!CHECK_INT(parse_fields(bad[i]), -400)) printf("    %s", bad[i]);
        CHECK_INT(parse("GET / HTTP/1.1\r\n Host: h\r\n\r\n"), -400);
    }
    TEST("sixty-four fields, and no sixty-fifth") {
        static char fields[1000];
        size_t n = 0;
        for (int i = 1; i < 64; i++) n += (size_t)snprintf(fields + n, 20, "n%d: v%d\r\n", i, i);
        CHECK_INT(parse_fields(fields), 0);
        CHECK_INT(request.field_count, 64);
        CHECK_STR(azc__http_field(&request, "n63"), "v63");
        memcpy(fields + n, "o: p\r\n", 7);
        static char head[2000];
        n = (size_t)snprintf(head, sizeof head, "GET / HTTP/1.1\r\nHost: h\r\n%s\r\n", fields);
        CHECK_INT(azc__http_parse(&request, (char *)placed(head, n), n), -431);
    }
    TEST("repeated fields: the first value, the only one, or all as one list (RFC 9110 5.3)") {
        CHECK_INT(parse_fields("A: x, y\r\nB: n\r\na:z\r\n"), 0);
        CHECK_STR(azc__http_field(&request, "A"), "x, y");
        CHECK_STR(azc__http_only(&request, "a"), "?");
        CHECK_STR(azc__http_only(&request, "b"), "n");
        CHECK_STR(azc__http_only(&request, "c"), NULL);
        CHECK(azc__http_has(&request, "A", "x", 0) && azc__http_has(&request, "a", "Y", 0));
        CHECK(azc__http_has(&request, "A", "Z", 0));
        CHECK(!azc__http_has(&request, "A", "n", 0) && !azc__http_has(&request, "B", "x", 0));
        CHECK(azc__http_has(&request, "a", "x", 1) && !azc__http_has(&request, "A", "X", 1));
        CHECK(!azc__http_has(&request, "a", "xx", 1) && !azc__http_has(&request, "A", "", 1));
        CHECK(!azc__http_has(&request, "A", "x, y", 0) && !azc__http_has(&request, "A", "", 0));
    }
    TEST("Upgrade and Connection are lists of tokens in any letter case (RFC 6455 4.2.1)") {
        static const struct { const char *fields; int upgrade; } cases[] = {
            {"Connection: Upgrade\r\nUpgrade: websocket\r\n", 1},
            {"Connection: keep-alive, Upgrade\r\nUpgrade: websocket\r\n", 1},
            {"Connection: upgrade\r\nUpgrade: WebSocket\r\n", 1},
            {"Connection:,,UPGRADE,,\r\nUpgrade: h2c, websocket\r\n", 1},
            {"Connection: keep-alive\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n", 1},
            {"Connection: Upgrade \t,x\r\nUpgrade:\twebsocket\t\r\n", 1},
            {"Upgrade: websocket\r\n", 0},
            {"Connection: Upgrade\r\n", 0},
            {"Connection: Upgrade\r\nUpgrade: websockets\r\n", 0},
            {"Connection: Upgrade\r\nUpgrade: web, socket\r\n", 0},
            {"Connection: Upgrade\r\nUpgrade: h2c\r\n", 0},
            {"Connection: Upgrades\r\nUpgrade: websocket\r\n", 0},
            {"Connection: Upgrad\r\nUpgrade: websocket\r\n", 0},
            {"Connection: Up grade\r\nUpgrade: websocket\r\n", 0}};
        for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
            CHECK_INT(parse_fields(cases[i].fields), 0);
            if (!CHECK_INT(request.upgrade, cases[i].upgrade)) printf("    %s", cases[i].fields);
        }
    }
    TEST("a connection is kept alive unless Connection has the token close (RFC 9112 9.3)") {
        CHECK_INT(parse_fields(""), 0);
        CHECK(request.keep_alive);
        CHECK_INT(parse_fields("Connection: close\r\n"), 0);
        CHECK(!request.keep_alive);
        CHECK_INT(parse_fields("Connection: x, Close\r\n"), 0);
        CHECK(!request.keep_alive);
        CHECK_INT(parse_fields("Connection: closed\r\n"), 0);
        CHECK(request.keep_alive);
    }
}

static void framing(void) {
    TEST("Content-Length is digits, once, and not beside Transfer-Encoding (RFC 9112 6)") {
        static const struct { const char *value; uint64_t body; } good[] = {
            {"0", 0}, {"00", 0}, {"1", 1}, {"0012", 12}, {"65536", 65536},
            {"4294967296", 4294967296u}, {"1000000000000000000", 1000000000000000000u}};
        char fields[200];
        for (size_t i = 0; i < sizeof good / sizeof *good; i++) {
            snprintf(fields, sizeof fields, "Content-Length: %s\r\n", good[i].value);
            CHECK_INT(parse_fields(fields), 0);
            CHECK(request.body == (good[i].body > 0) && !request.chunked);
        }
        static const char *const bad[] = {"", "-1", "+1", "1,1", "1, 1", "0x1", "1 1", "a", "1.0",
            "18446744073709551616", "18446744073709551617", "99999999999999999999",
            "1000000000000000000000000000000000000000", "\xB2"};
        for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
            snprintf(fields, sizeof fields, "Content-Length: %s\r\n", bad[i]);
            if (!CHECK_INT(parse_fields(fields), -400)) printf("    %s\n", bad[i]);
        }
        CHECK_INT(parse_fields("Content-Length: 1\r\nContent-Length: 1\r\n"), -400);
        CHECK_INT(parse_fields("content-length: 1\r\nContent-Length: 2\r\n"), -400);
        CHECK_INT(parse_fields("Content-Length: 1\r\nTransfer-Encoding: chunked\r\n"), -400);
        CHECK_INT(parse_fields("Transfer-Encoding: chunked\r\nContent-Length: 0\r\n"), -400);
        CHECK_INT(parse_fields("Transfer-Encoding: chunked\r\n"), 0);
        CHECK(request.chunked && request.body == 0);
        CHECK_INT(parse_fields("transfer-encoding:\r\n"), 0);
        CHECK(request.chunked);
    }
}

/* Decode, the input against an unreadable page, the output before one with just the room that is
 * promised: n bytes and a NUL. NULL when refused. */
static const char *decoded(const char *text, size_t n, int plus) {
    static char copy[1000];
    char *out = (char *)guarded_fill('?', n + 1), *end = out;
    int status = azc__http_decode(&end, (const char *)placed(text, n), n,
                                  plus ? AZC__PLUS : AZC__PERCENT);
    if (status == 0) {
        CHECK(end[-1] == 0 && end <= out + n + 1);
        memcpy(copy, out, (size_t)(end - out));
    } else {
        CHECK_INT(status, -400);
        CHECK(end == out);
    }
    guarded_free(out, n + 1);
    return status == 0 ? copy : NULL;
}

static const char *query_of(const char *query) {
    static char shown[1000];
    size_t n = 0, room = strlen(query) * 2 + 3;
    char *out = (char *)guarded_fill('?', room), *end = out;
    int status = azc__http_pairs(&end, (const char *)placed(query, strlen(query) + 1), 0);
    if (status == 0) *end++ = 0;
    for (const char *p = out; status == 0 && *p;) {
        const char *value = p + strlen(p) + 1;
        n += (size_t)snprintf(shown + n, sizeof shown - n, "[%s=%s]", p, value);
        p = value + strlen(value) + 1;
        CHECK(p < end);
    }
    shown[n] = 0;
    if (status == 0) CHECK(end[-1] == 0);
    guarded_free(out, room);
    return status == 0 ? shown : status == -400 ? NULL : "?";
}

static void escapes(void) {
    TEST("every percent escape is decoded, in either letter case (RFC 3986 2.1)") {
        for (int c = 1; c < 128; c++) {
            char text[8], want[2] = {(char)c, 0};
            snprintf(text, sizeof text, "%%%02x", (unsigned)c);
            CHECK_STR(decoded(text, 3, 0), want);
            snprintf(text, sizeof text, "%%%02X", (unsigned)c);
            CHECK_STR(decoded(text, 3, 1), want);
        }
        CHECK_STR(decoded("a%2Fb%2fc", 9, 0), "a/b/c");
        CHECK_STR(decoded("%25%32%30", 9, 0), "%20");
        CHECK_STR(decoded("%E2%82%AC%f0%9f%98%80", 21, 0), "\xE2\x82\xAC\xF0\x9F\x98\x80");
        CHECK_STR(decoded("", 0, 0), "");
    }
    TEST("a plus is a space in queries only") {
        CHECK_STR(decoded("a+b%2B", 6, 1), "a b+");
        CHECK_STR(decoded("a+b%2B", 6, 0), "a+b+");
    }
    TEST("malformed escapes, an encoded NUL and invalid UTF-8 are refused") {
        static const char *const bad[] = {"%", "%2", "a%", "a%2", "%2G", "%G2", "%%20", "%-1",
            "% 2", "%G2%80%80%80", "%g3%80", "%00", "a%00b", "%80", "%C3", "%C3(", "%C0%AF",
            "%ED%A0%80", "%FF", "%F4%90%80%80",
            "%E2%82", "\xC3", "\xFF", "%2\x80"};
        for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
            if (!CHECK(!decoded(bad[i], strlen(bad[i]), 0))) printf("    %s\n", bad[i]);
        CHECK(!decoded("a\0b", 3, 0));
    }
    TEST("the arguments of a query (WHATWG URL, application/x-www-form-urlencoded)") {
        CHECK_STR(query_of(""), "");
        CHECK_STR(query_of("a=b"), "[a=b]");
        CHECK_STR(query_of("a=b&c=d"), "[a=b][c=d]");
        CHECK_STR(query_of("a"), "[a=]");
        CHECK_STR(query_of("a="), "[a=]");
        CHECK_STR(query_of("a&b"), "[a=][b=]");
        CHECK_STR(query_of("a=b=c"), "[a=b=c]");
        CHECK_STR(query_of("a==b"), "[a==b]");
        CHECK_STR(query_of("=b&c"), "[c=]");
        CHECK_STR(query_of("="), "");
        CHECK_STR(query_of("&"), "");
        CHECK_STR(query_of("&&a=b&&"), "[a=b]");
        CHECK_STR(query_of("a+b=c+d%26%3D"), "[a b=c d&=]");
        CHECK_STR(query_of("a%3Db=c"), "[a=b=c]");
        CHECK_STR(query_of("a=1&a=2"), "[a=1][a=2]");
        CHECK_STR(query_of("a=?/:@"), "[a=?/:@]");
        CHECK_STR(query_of("%C3%A4=%E2%82%AC"), "[\xC3\xA4=\xE2\x82\xAC]");
        char none[4], *end = none;
        CHECK_INT(azc__http_pairs(&end, NULL, 0), 0);
        CHECK(end == none);
    }
    TEST("a malformed argument refuses the query, even one without a name") {
        CHECK_STR(query_of("a=%"), NULL);
        CHECK_STR(query_of("%=a"), NULL);
        CHECK_STR(query_of("a=b&c=%00"), NULL);
        CHECK_STR(query_of("=%FF"), NULL);
        CHECK_STR(query_of("a=%C3&b=%A4"), NULL);
    }
}

/* ---- The scratch: a write past one of its parts meets an unreadable page --------------------- */

/* The start, then the rest again and again, n bytes in all. */
static char *repeated(char *out, size_t n, const char *start, const char *rest) {
    size_t len = strlen(start);
    for (size_t i = 0; i < n; i++) out[i] = i < len ? start[i] : rest[(i - len) % strlen(rest)];
    out[n] = 0;
    return out;
}

static void fill_strings(const azc_config *c, const char *target) {
    size_t size = azc__scratch_strings(c), path_len = strcspn(target, "?");
    char *part = (char *)guarded_fill('?', size), *out = part;
    out = (char *)memset(out, 'f', INET6_ADDRSTRLEN) + INET6_ADDRSTRLEN;
    out = stpcpy(out, target) + 1;
    if (target[path_len] == '?') CHECK_INT(azc__http_pairs(&out, target + path_len + 1, 0), 0);
    memset(out, 0, 1 + path_len + 1); /* an empty name; the path as a parameter */
    guarded_free(part, size);
    out = part = (char *)guarded_fill('?', azc__scratch_cookies(c) - size);
    CHECK(azc__route_split(&out, target, path_len) > 0);
    guarded_free(part, azc__scratch_cookies(c) - size);
}

static void fill_cookies(const azc_config *c, const char *value, size_t fields) {
    size_t size = azc__scratch_size(c) - azc__scratch_cookies(c);
    char *part = (char *)guarded_fill('?', size), *out = part;
    for (size_t i = 0; i < fields; i++) CHECK_INT(azc__http_pairs(&out, value, 1), 0);
    *out = 0;
    guarded_free(part, size);
}

static void scratch(void) {
    TEST("the strings of the longest request fit the scratch, whatever its limit") {
        static const char *const targets[][2] = {{"/?", "a&"}, {"/?", "a=&"}, {"/?", "&"},
            {"/?", "=&"}, {"/?a=", "b"}, {"/", "/"}, {"/", "x"}, {"/", "/?"}, {"/x/y?", "a&"}};
        static const char *const cookies[] = {"a=;", "a=", ";", "=;", "a;", "a=b; "};
        char text[400];
        azc_config c;
        memset(&c, 0, sizeof c);
        for (c.max_request = 60; c.max_request < sizeof text; c.max_request++) {
            size_t target = c.max_request - strlen("GET  HTTP/1.1\r\n\r\n");
            size_t fields = c.max_request - strlen("GET / HTTP/1.1\r\n\r\n");
            for (size_t i = 0; i < sizeof targets / sizeof *targets; i++)
                fill_strings(&c, repeated(text, target, targets[i][0], targets[i][1]));
            for (size_t i = 0; i < sizeof cookies / sizeof *cookies; i++) {
                fill_cookies(&c, cookies[i], fields / strlen("Cookie:\r\na="));
                fill_cookies(&c, repeated(text, fields - strlen("Cookie:\r\n"), "", cookies[i]), 1);
            }
        }
    }
}

/* ---- Origins --------------------------------------------------------------------------------- */

static int lets_in(const char *host, const char *origin, const char *allowed) {
    char head[400];
    snprintf(head, sizeof head, "GET / HTTP/1.1\r\nHost: %s\r\n%s%s%s\r\n", host,
             origin ? "Origin: " : "", origin ? origin : "", origin ? "\r\n" : "");
    if (!CHECK_INT(parse(head), 0)) return -1;
    return azc__http_origin(&request, allowed);
}

static void origins(void) {
    TEST("without a list, only pages of the same host and port (RFC 6455 10.2)") {
        CHECK(lets_in("a.example", NULL, NULL));
        CHECK(lets_in("a.example", "http://a.example", NULL));
        CHECK(lets_in("a.example", "https://a.example", NULL));
        CHECK(lets_in("A.example", "http://a.EXAMPLE", NULL));
        CHECK(lets_in("a.example:4000", "http://a.example:4000", NULL));
        CHECK(lets_in("a.example:80", "http://a.example", NULL));
        CHECK(lets_in("a.example", "http://a.example:80", NULL));
        CHECK(lets_in("a.example:443", "https://a.example", NULL));
        CHECK(lets_in("[::1]:4000", "http://[::1]:4000", NULL));
        CHECK(!lets_in("a.example:443", "http://a.example", NULL));
        CHECK(!lets_in("a.example:80", "https://a.example", NULL));
        CHECK(!lets_in("a.example:4000", "http://a.example", NULL));
        CHECK(!lets_in("a.example", "http://a.example:4000", NULL));
        CHECK(!lets_in("a.example:4000", "http://a.example:4001", NULL));
        CHECK(!lets_in("a.example", "http://b.example", NULL));
        CHECK(!lets_in("a.example", "http://a.example.evil", NULL));
        CHECK(!lets_in("a.example", "http://evil.a.example", NULL));
        CHECK(!lets_in("a.example", "http://xa.example", NULL));
        CHECK(!lets_in("a.example", "http://a.exampl", NULL));
        CHECK(!lets_in("a.example", "null", NULL));
        CHECK(!lets_in("a.example", "", NULL));
        CHECK(!lets_in("a.example", "http://", NULL));
        CHECK(!lets_in("a.example", "a.example", NULL));
        CHECK(!lets_in("a.example", "http://a.example/", NULL));
        CHECK(!lets_in("a.example", "http://a.example http://b.example", NULL));
    }
    TEST("with a list, exactly the origins in it are allowed; a star allows all") {
        static const char list[] = "https://a.example  http://b.example:8080";
        CHECK(lets_in("h", NULL, list));
        CHECK(lets_in("h", "https://a.example", list));
        CHECK(lets_in("h", "HTTPS://A.example", list));
        CHECK(lets_in("h", "http://b.example:8080", list));
        CHECK(!lets_in("h", "http://a.example", list));
        CHECK(!lets_in("h", "http://b.example", list));
        CHECK(!lets_in("h", "https://a.exampl", list));
        CHECK(!lets_in("h", "https://a.example.evil", list));
        CHECK(!lets_in("h", "http://h", list)); /* a list replaces the default */
        CHECK(!lets_in("h", "null", list) && !lets_in("h", "", list));
        CHECK(!lets_in("h", "*", list));
        CHECK(lets_in("h", "null", "*") && lets_in("h", "http://any", "*"));
        CHECK(lets_in("h", "http://any", "http://b *"));
        CHECK(lets_in("h", "null", "null"));
        CHECK(!lets_in("h", "http://any", "http://*"));
        CHECK(!lets_in("h", "", " http://b.example ") && !lets_in("h", "", " "));
    }
    TEST("two Origin fields match no origin") {
        CHECK_INT(parse_fields("Origin: http://h\r\nOrigin: http://h\r\n"), 0);
        CHECK(!azc__http_origin(&request, NULL));
        CHECK(!azc__http_origin(&request, "http://h"));
    }
}

int main(int argc, char **argv) {
    test_start(argc, argv);
    ends();
    request_lines();
    targets();
    hosts();
    field_lines();
    framing();
    escapes();
    scratch();
    origins();
    return test_end();
}
