/* REQUEST over real sockets: the opening handshake (RFC 6455 section 4) and the requests of RFC
 * 9112. */
#define AZCHAN_IMPLEMENTATION
#include "../azchan.h"
#include "test.h"
#include "client.h"

#define SIZED(text) text, sizeof text - 1

typedef struct request {
    const char *what, *bytes;
    size_t len;
} request;

static int has_token(const answer *a, const char *name, const char *token) {
    const char *value = answer_field(a, name, NULL);
    size_t len = strlen(token);
    for (; value && *value; value++) {
        size_t i = 0;
        while (i < len && (value[i] | 32) == (token[i] | 32)) i++;
        if (i == len && (value[i] == 0 || value[i] == ',' || value[i] == ' ')) return 1;
    }
    return 0;
}

/* A refusal is a whole answer with its length and Connection: close, after which TCP ends.
 * want 0: any status from 400 to 599. */
static int refused(client *c, int want, const char *what, answer *a, int line) {
    int before = test.bad, n = 0;
    answer own;
    if (!a) a = &own;
    client_answer(c, a);
    if (want) CHECK_INT(a->status, want);
    else CHECK(a->status >= 400 && a->status <= 599);
    CHECK(answer_field(a, "Content-Length", &n) != NULL && n == 1);
    CHECK(has_token(a, "Connection", "close"));
    CHECK(answer_field(a, "Sec-WebSocket-Accept", NULL) == NULL);
    EXPECT_EOF(c);
    if (test.bad > before) printf("    that was line %d: %s\n", line, what);
    return test.bad == before;
}
#define REFUSED(c, want, what) refused(c, want, what, NULL, __LINE__)

/* Send bytes whole, then byte by byte, on a connection of their own each; both are refused. */
static void refuses(azc_server *server, const char *what, const void *bytes, size_t len, int want,
                    int line) {
    for (int drip = 0; drip < 2; drip++) {
        client *c = client_open(server);
        drip ? client_drip(c, bytes, len) : client_send(c, bytes, len);
        refused(c, want, what, NULL, line);
        client_close(c);
    }
}
#define REFUSES(server, text, want) refuses(server, text, text, strlen(text), want, __LINE__)

static void well(azc_server *server) { /* it still serves */
    client *c = join_channel(server, "/t");
    client_close(c);
    settle(server);
}

/* ---- Let in ---------------------------------------------------------------------------------- */

static int upgrade_101(azc_server *server, const char *text) {
    client *c = client_open(server);
    answer a;
    client_send(c, text, strlen(text));
    int status = client_answer(c, &a);
    if (status == 101) CHECK(answer_has(&a, "Sec-WebSocket-Accept", ACCEPT));
    client_close(c);
    return status;
}

/* A client that offers this is answered 101 without the field. */
static void expect_not_granted(const char *field, const char *offer) {
    azc_server *server = serve(NULL, recorder("/t"));
    client *c = client_open(server);
    answer a;
    client_print(c, "GET /t HTTP/1.1\r\n" UPGRADE "%s: %s\r\n\r\n", field, offer);
    CHECK_INT(client_answer(c, &a), 101);
    CHECK(answer_field(&a, field, NULL) == NULL);
    finish(server);
}

static void let_in(void) {
    TEST("the handshake of RFC 6455 1.3 is answered with the accept key of RFC 6455 1.3") {
        azc_server *server = serve(NULL, recorder("/chat"));
        client *c = client_open(server);
        answer a;
        client_print(c, "GET /chat HTTP/1.1\r\nHost: server.example.com\r\n"
                        "Upgrade: websocket\r\nConnection: Upgrade\r\n"
                        "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
                        "Sec-WebSocket-Version: 13\r\n\r\n");
        CHECK_INT(client_answer(c, &a), 101);
        CHECK(strncmp(a.head, "HTTP/1.1 101 Switching Protocols\r\n", 34) == 0);
        int n = 0;
        const char *upgrade = answer_field(&a, "Upgrade", &n);
        CHECK(upgrade && strcmp(upgrade, "websocket") == 0 && n == 1);
        CHECK(has_token(&a, "Connection", "Upgrade"));
        CHECK_STR(answer_field(&a, "Sec-WebSocket-Accept", &n), "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=");
        CHECK_INT(n, 1);
        CHECK(answer_field(&a, "Sec-WebSocket-Protocol", NULL) == NULL);
        CHECK(answer_field(&a, "Sec-WebSocket-Extensions", NULL) == NULL);
        CHECK(answer_field(&a, "Content-Length", NULL) == NULL);
        CHECK(answer_field(&a, "Transfer-Encoding", NULL) == NULL);
        EXPECT_EVENTS("connect; ");
        finish(server);
    }
    TEST("names, tokens and lists are read in any letter case and any valid spacing") {
        azc_server *server = serve(NULL, recorder("/t"));
        const char *good[] = {
            "host: a\r\nUPGRADE: WebSocket\r\ncOnNeCtIoN: UPGRADE\r\n"
            "sec-websocket-key: " KEY "\r\nSEC-WEBSOCKET-VERSION: 13\r\n",
            "Host:a\r\nUpgrade:websocket\r\nConnection:Upgrade\r\n"
            "Sec-WebSocket-Key:" KEY "\r\nSec-WebSocket-Version:13\r\n",
            "Host: \t a \t\r\nUpgrade:  websocket\t\r\nConnection:\tUpgrade \r\n"
            "Sec-WebSocket-Key:\t " KEY " \t\r\nSec-WebSocket-Version:  13 \r\n",
            "Host: a\r\nUpgrade: websocket\r\nConnection: keep-alive, Upgrade\r\n"
            "Sec-WebSocket-Key: " KEY "\r\nSec-WebSocket-Version: 13\r\n",
            "Host: a\r\nUpgrade: h2c, websocket\r\nConnection: Upgrade , HTTP2-Settings\r\n"
            "Sec-WebSocket-Key: " KEY "\r\nSec-WebSocket-Version: 13\r\n",
            "Host: a\r\nUpgrade: h2c,websocket,x/1\r\nConnection: a,upgrade,b\r\n"
            "Sec-WebSocket-Key: " KEY "\r\nSec-WebSocket-Version: 13\r\n",
            "Host: a\r\nUpgrade: , websocket ,\r\nConnection: ,,Upgrade,\r\n"
            "Sec-WebSocket-Key: " KEY "\r\nSec-WebSocket-Version: 13\r\n",
            "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: " KEY "\r\nUpgrade: h2c\r\n"
            "Connection: keep-alive\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nHost: a\r\n",
        };
        for (size_t i = 0; i < sizeof good / sizeof *good; i++) {
            char text[1024];
            snprintf(text, sizeof text, "GET /t HTTP/1.1\r\n%s\r\n", good[i]);
            if (!CHECK_INT(upgrade_101(server, text), 101)) printf("%s", text);
        }
        finish(server);
    }
    TEST("an empty line before the request is skipped (RFC 9112 2.2)") {
        azc_server *server = serve(NULL, recorder("/t"));
        CHECK_INT(upgrade_101(server, "\r\nGET /t HTTP/1.1\r\n" UPGRADE "\r\n"), 101);
        client *c = client_open(server);
        answer a;
        client_drip(c, SIZED("\r\nGET /t HTTP/1.1\r\n" UPGRADE "\r\n"));
        CHECK_INT(client_answer(c, &a), 101);
        finish(server);
    }
    TEST("field values may hold tabs, quotes and bytes over 127") {
        azc_server *server = serve(NULL, recorder("/t"));
        CHECK_INT(upgrade_101(server, "GET /t HTTP/1.1\r\n" UPGRADE "X: a\tb \"\xc3\xa9\" \xff\r\n"
                                      "Empty:\r\nEmpty2: \t\r\n!#$%&'*+-.^_`|~09aZ: odd\r\n\r\n"),
                  101);
        finish(server);
    }
    TEST("the Host may be a name, an address, or an IPv6 literal, each with or without a port") {
        azc_server *server = serve(NULL, recorder("/t"));
        const char *hosts[] = {"a.example", "a.example:4000", "127.0.0.1:80", "[::1]", "[::1]:4000",
                               "x_y-z.example"};
        for (size_t i = 0; i < sizeof hosts / sizeof *hosts; i++) {
            char text[1024];
            snprintf(text, sizeof text, "GET /t HTTP/1.1\r\nHost: %s\r\nUpgrade: websocket\r\n"
                     "Connection: Upgrade\r\nSec-WebSocket-Key: " KEY "\r\n"
                     "Sec-WebSocket-Version: 13\r\n\r\n", hosts[i]);
            if (!CHECK_INT(upgrade_101(server, text), 101)) printf("%s", text);
        }
        finish(server);
    }
    TEST("a first frame in the request's own segment is delivered") {
        azc_channel_desc d = recorder("/t");
        azc_server *server = serve(NULL, d);
        client *c = client_open(server);
        batch b = batch_of("GET /t HTTP/1.1\r\n" UPGRADE "\r\n");
        batch_add(&b, FIN | TEXT, "early"), batch_add(&b, FIN | BINARY, "bird");
        b.len += put_header(b.bytes + b.len, FIN | TEXT, 3, SHORTEST, some_mask); /* a part */
        client_send(c, b.bytes, b.len);
        answer a;
        CHECK_INT(client_answer(c, &a), 101);
        settle(server);
        EXPECT_EVENTS("connect; text early; binary bird; ");
        unsigned char rest[3] = {'x' ^ 0x37, 'y' ^ 0xfa, 'z' ^ 0x21};
        client_send(c, rest, 3);
        settle(server);
        EXPECT_EVENTS("text xyz; ");
        finish(server);
    }
    TEST("a request and its first frames give the same result when cut at every byte") {
        unsigned char all[1024];
        static const char head[] = "GET /t?name=cut HTTP/1.1\r\n" UPGRADE "Cookie: a=b\r\n\r\n";
        size_t n = sizeof head - 1;
        memcpy(all, head, n);
        n += put_frame(all + n, FIN | TEXT, "hi", 2, SHORTEST, some_mask);
        n += put_close(all + n, 0, "");
        n += put_frame(all + n, FIN | CLOSE, "\x03\xe8", 2, SHORTEST, some_mask);
        azc_channel_desc d = recorder("/t");
        azc_server *server = serve(NULL, d);
        unsigned char *want = NULL;
        size_t want_len = 0;
        for (size_t cut = 0; cut <= n; cut++) { /* n: byte by byte */
            client *c = client_open(server);
            if (cut == n) {
                client_drip(c, all, n);
            } else {
                client_send(c, all, cut), settle(server);
                client_send(c, all + cut, n - cut);
            }
            client_await(c, 4096); /* to the end */
            CHECK_INT(c->eof, 1);
            EXPECT_EVENTS("cut connect; cut text hi; cut close 1000; ");
            if (cut == 0) {
                want = (unsigned char *)malloc(want_len = c->len);
                memcpy(want, c->in, want_len);
            }
            CHECK(c->len == want_len && memcmp(c->in, want, want_len) == 0);
            client_close(c);
        }
        free(want);
        finish(server);
    }
    TEST("extensions are never granted") {
        expect_not_granted("Sec-WebSocket-Extensions", "permessage-deflate; client_max_window_bits, "
                                                       "x-webkit-deflate-frame");
    }
    TEST("an absolute-form target is served by its path and query (RFC 9112 3.2.2)") {
        azc_channel_desc d = recorder("/t");
        azc_server *server = serve(NULL, d);
        CHECK_INT(upgrade_101(server, "GET http://a.example/t?name=abs HTTP/1.1\r\n" UPGRADE
                                      "\r\n"), 101);
#define ABSOLUTE(target) upgrade_101(server, "GET " target " HTTP/1.1\r\n" UPGRADE "\r\n")
        CHECK_INT(ABSOLUTE("HTTP://a.example:80/t"), 101);
        CHECK_INT(ABSOLUTE("https://a.example/t"), 101);
        CHECK_INT(ABSOLUTE("http://a.example"), 404);
        CHECK_INT(ABSOLUTE("http://a.example?t"), 404);
        settle(server);
        CHECK_INT(count_of(tape_text(&events), "abs connect"), 1);
        CHECK_INT(count_of(tape_text(&events), "connect"), 3);
        finish(server);
    }
    TEST("a body of no bytes is allowed, and unknown fields are ignored") {
        azc_server *server = serve(NULL, recorder("/t"));
        CHECK_INT(upgrade_101(server, "GET /t HTTP/1.1\r\n" UPGRADE "Content-Length: 0\r\n"
                              "Expect: x\r\nHTTP2-Settings: AAA\r\nContent-Type: x/y\r\n\r\n"),
                  101);
        finish(server);
    }
}

/* ---- Refused --------------------------------------------------------------------------------- */

#define BAD(what, text) {what, text, sizeof text - 1}

static const request malformed[] = {
    BAD("two spaces before the target", "GET  /t HTTP/1.1\r\n" UPGRADE "\r\n"),
    BAD("two spaces after the target", "GET /t  HTTP/1.1\r\n" UPGRADE "\r\n"),
    BAD("a tab after the method", "GET\t/t HTTP/1.1\r\n" UPGRADE "\r\n"),
    BAD("a space before the method", " GET /t HTTP/1.1\r\n" UPGRADE "\r\n"),
    BAD("a space after the version", "GET /t HTTP/1.1 \r\n" UPGRADE "\r\n"),
    BAD("no version", "GET /t\r\n" UPGRADE "\r\n"),
    BAD("no target", "GET HTTP/1.1\r\n" UPGRADE "\r\n"),
    BAD("a method alone", "GET\r\n" UPGRADE "\r\n"),
    BAD("no method", "/t HTTP/1.1\r\n" UPGRADE "\r\n"),
    BAD("a method that is no token", "G(T /t HTTP/1.1\r\n" UPGRADE "\r\n"),
    BAD("a target without its slash", "GET t HTTP/1.1\r\n" UPGRADE "\r\n"),
    BAD("GET of *", "GET * HTTP/1.1\r\n" UPGRADE "\r\n"),
    BAD("a fragment in the target", "GET /t#x HTTP/1.1\r\n" UPGRADE "\r\n"),
    BAD("a control byte in the target", "GET /t\x01 HTTP/1.1\r\n" UPGRADE "\r\n"),
    BAD("a DEL in the target", "GET /t\x7f HTTP/1.1\r\n" UPGRADE "\r\n"),
    BAD("a NUL in the target", "GET /t\0 HTTP/1.1\r\n" UPGRADE "\r\n"),
    BAD("a raw byte over 127 in the target", "GET /t\xc3\xa9 HTTP/1.1\r\n" UPGRADE "\r\n"),
    BAD("a version in small letters", "GET /t http/1.1\r\n" UPGRADE "\r\n"),
    BAD("a version without its dot", "GET /t HTTP/11\r\n" UPGRADE "\r\n"),
    BAD("a version with a letter", "GET /t HTTP/1.x\r\n" UPGRADE "\r\n"),
    BAD("a version with a third digit", "GET /t HTTP/1.11\r\n" UPGRADE "\r\n"),
    BAD("another protocol's version", "GET /t HTTQ/1.1\r\n" UPGRADE "\r\n"),
    BAD("a bare CR in the request line", "GET /t\rx HTTP/1.1\r\n" UPGRADE "\r\n"),
    BAD("a bare CR in a field", "GET /t HTTP/1.1\r\n" UPGRADE "X: a\rb\r\n\r\n"),
    BAD("a bare CR ending a field", "GET /t HTTP/1.1\r\n" UPGRADE "X: a\rY: b\r\n\r\n"),
    BAD("two CRs before a LF", "GET /t HTTP/1.1\r\n" UPGRADE "X: a\r\r\n\r\n"),
    BAD("a NUL in a field", "GET /t HTTP/1.1\r\n" UPGRADE "X: a\0b\r\n\r\n"),
    BAD("a NUL in a name", "GET /t HTTP/1.1\r\n" UPGRADE "X\0Y: b\r\n\r\n"),
    BAD("a control byte in a field", "GET /t HTTP/1.1\r\n" UPGRADE "X: a\x01\r\n\r\n"),
    BAD("a DEL in a field", "GET /t HTTP/1.1\r\n" UPGRADE "X: a\x7f\r\n\r\n"),
    BAD("a field without a colon", "GET /t HTTP/1.1\r\n" UPGRADE "Nonsense\r\n\r\n"),
    BAD("a field without a name", "GET /t HTTP/1.1\r\n" UPGRADE ": x\r\n\r\n"),
    BAD("a space before the colon", "GET /t HTTP/1.1\r\n" UPGRADE "X : a\r\n\r\n"),
    BAD("a tab before the colon", "GET /t HTTP/1.1\r\n" UPGRADE "X\t: a\r\n\r\n"),
    BAD("a space in a name", "GET /t HTTP/1.1\r\n" UPGRADE "X Y: a\r\n\r\n"),
    BAD("a separator in a name", "GET /t HTTP/1.1\r\n" UPGRADE "X(Y): a\r\n\r\n"),
    BAD("a byte over 127 in a name", "GET /t HTTP/1.1\r\n" UPGRADE "X\xc3\xa9: a\r\n\r\n"),
    BAD("a folded field", "GET /t HTTP/1.1\r\n" UPGRADE "X: a\r\n b\r\n\r\n"),
    BAD("a field folded with a tab", "GET /t HTTP/1.1\r\n" UPGRADE "X: a\r\n\tb\r\n\r\n"),
    BAD("a first field that begins with a space", "GET /t HTTP/1.1\r\n X: a\r\n" UPGRADE "\r\n"),
    BAD("no Host", "GET /t HTTP/1.1\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        "Sec-WebSocket-Key: " KEY "\r\nSec-WebSocket-Version: 13\r\n\r\n"),
    BAD("two Hosts", "GET /t HTTP/1.1\r\nHost: b.example\r\n" UPGRADE "\r\n"),
    BAD("the same Host twice", "GET /t HTTP/1.1\r\nHost: a.example\r\n" UPGRADE "\r\n"),
    BAD("a space in the Host", "GET / HTTP/1.1\r\nHost: a b\r\n\r\n"),
    BAD("a slash in the Host", "GET / HTTP/1.1\r\nHost: a/b\r\n\r\n"),
    BAD("a user in the Host", "GET / HTTP/1.1\r\nHost: u@b\r\n\r\n"),
    BAD("a bad port in the Host", "GET / HTTP/1.1\r\nHost: a:x\r\n\r\n"),
    BAD("an IPv6 Host without its end", "GET / HTTP/1.1\r\nHost: [::1\r\n\r\n"),
    BAD("an IPv6 Host with more behind it", "GET / HTTP/1.1\r\nHost: [::1]x\r\n\r\n"),
    BAD("a Host that is a list", "GET / HTTP/1.1\r\nHost: \"a\"\r\n\r\n"),
    BAD("a target of another scheme", "GET ftp://a.example/t HTTP/1.1\r\n" UPGRADE "\r\n"),
    BAD("an absolute target without a host", "GET http:///t HTTP/1.1\r\n" UPGRADE "\r\n"),
    BAD("an absolute target with a user", "GET http://u@a.example/t HTTP/1.1\r\n" UPGRADE "\r\n"),
    BAD("two lengths", "GET /t HTTP/1.1\r\n" UPGRADE
        "Content-Length: 0\r\nContent-Length: 0\r\n\r\n"),
    BAD("a length that is no number", "GET /t HTTP/1.1\r\n" UPGRADE "Content-Length: 0x\r\n\r\n"),
    BAD("a negative length", "GET /t HTTP/1.1\r\n" UPGRADE "Content-Length: -1\r\n\r\n"),
    BAD("an empty length", "GET /t HTTP/1.1\r\n" UPGRADE "Content-Length:\r\n\r\n"),
    BAD("a length over 2^64", "GET /t HTTP/1.1\r\n" UPGRADE
        "Content-Length: 18446744073709551616\r\n\r\n"),
    BAD("a length and a transfer coding", "GET /t HTTP/1.1\r\n" UPGRADE
        "Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"),
    BAD("a TLS hello", "\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n"),
    BAD("noise", "\xff\xfe\x00\x01 \r\n\r\n"),
    BAD("no key", "GET /t HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        "Sec-WebSocket-Version: 13\r\n\r\n"),
    BAD("two keys", "GET /t HTTP/1.1\r\n" UPGRADE "Sec-WebSocket-Key: " KEY "\r\n\r\n"),
#define KEYED(key)                                                                               \
    "GET /t HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"                \
    "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: " key "\r\n\r\n"
    BAD("an empty key", KEYED("")),
    BAD("a key of 15 bytes", KEYED("AAAAAAAAAAAAAAAAAAAA")),
    BAD("a key of 17 bytes", KEYED("AAAAAAAAAAAAAAAAAAAAAAA=")),
    BAD("a key of 18 bytes", KEYED("AAAAAAAAAAAAAAAAAAAAAAAA")),
    BAD("a key without its padding", KEYED("dGhlIHNhbXBsZSBub25jZQ")),
    BAD("a key with a foreign letter", KEYED("dGhlIHNhbXBs*SBub25jZQ==")),
    BAD("a key of the URL alphabet", KEYED("dGhlIHNhbXBs-SBub25jZQ==")),
    BAD("a key with a space inside", KEYED("dGhlIHNhbXBsZ SBub25jZQ==")),
    BAD("padding inside the key", KEYED("dGhlIHNhbXBsZ=Bub25jZQ==")),
};

static const char *unclear[] = { /* refused, with 400 or a more telling status */
    "GET /t HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    "Sec-WebSocket-Key: " KEY "\r\n\r\n",
    "GET /t HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\nConnection: keep-alive\r\n"
    "Sec-WebSocket-Key: " KEY "\r\nSec-WebSocket-Version: 13\r\n\r\n",
    "GET /t HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\n"
    "Sec-WebSocket-Key: " KEY "\r\nSec-WebSocket-Version: 13\r\n\r\n",
    "GET /t HTTP/1.1\r\nHost: a\r\nUpgrade: xwebsocket\r\nConnection: Upgrade\r\n"
    "Sec-WebSocket-Key: " KEY "\r\nSec-WebSocket-Version: 13\r\n\r\n",
    "GET /t HTTP/1.1\r\nHost: a\r\nUpgrade: web socket\r\nConnection: Upgrade\r\n"
    "Sec-WebSocket-Key: " KEY "\r\nSec-WebSocket-Version: 13\r\n\r\n",
    "GET /t HTTP/1.1\r\nHost: a\r\n\r\n",
    "GET /t HTTP/1.1\r\n" UPGRADE "Sec-WebSocket-Version: 8\r\n\r\n",
    "GET /t HTTP/1.1\r\n" UPGRADE "Content-Length: x\r\n\r\n",
    "GET /t HTTP/1.1\r\n" UPGRADE "Content-Length: 5\r\n\r\nhello",
    "GET /t HTTP/1.1\r\n" UPGRADE "Content-Length: 1\r\n\r\n\x81",
    "GET /t HTTP/1.1\r\n" UPGRADE "Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "GET http:/// HTTP/1.1\r\n" UPGRADE "\r\n",
};

static int upgraded;
static int count_upgrade(azc_conn *conn) {
    (void)conn;
    upgraded++;
    return AZC_OK;
}

static void malformed_requests(void) {
    TEST("each malformed request is a 400, whole and byte by byte, and none reaches the program") {
        azc_channel_desc d = recorder("/t");
        d.on_upgrade = count_upgrade;
        upgraded = 0;
        azc_server *server = serve(NULL, d);
        for (size_t i = 0; i < sizeof malformed / sizeof *malformed; i++) {
            const request *r = &malformed[i];
            refuses(server, r->what, r->bytes, r->len, 400, (int)i);
        }
        for (size_t i = 0; i < sizeof unclear / sizeof *unclear; i++)
            refuses(server, unclear[i], unclear[i], strlen(unclear[i]), 0, (int)i);
        CHECK_INT(upgraded, 0);
        EXPECT_EVENTS("");
        well(server);
        CHECK_INT(upgraded, 1);
        finish(server);
    }
    TEST("line feeds alone do not end lines: the request is a 400 or incomplete") {
        azc_config config = quick();
        config.handshake_ms = 50;
        azc_server *server = serve(&config, recorder("/t"));
        client *c = client_open(server);
        client_print(c, "GET /t HTTP/1.1\nHost: a\nUpgrade: websocket\nConnection: Upgrade\n"
                        "Sec-WebSocket-Key: " KEY "\nSec-WebSocket-Version: 13\n\n");
        REFUSED(c, 400, "bare LF");
        finish(server);
    }
    TEST("any other version of the protocol is a 426 that names 13 and websocket") {
        azc_server *server = serve(NULL, recorder("/t"));
        const char *versions[] = {"0", "7", "8", "12", "14", "113", "130"};
        for (size_t i = 0; i < sizeof versions / sizeof *versions; i++) {
            client *c = client_open(server);
            answer a;
            client_print(c, "GET /t HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\n"
                            "Connection: Upgrade\r\nSec-WebSocket-Key: " KEY "\r\n"
                            "Sec-WebSocket-Version: %s\r\n\r\n", versions[i]);
            refused(c, 426, versions[i], &a, __LINE__);
            CHECK(answer_has(&a, "Sec-WebSocket-Version", "13"));
            CHECK(answer_has(&a, "Upgrade", "websocket")); /* RFC 9110 15.5.22 */
            client_close(c);
        }
        well(server);
        finish(server);
    }
    TEST("other major versions of HTTP are a 505, and HTTP/1.0 cannot upgrade") {
        azc_server *server = serve(NULL, recorder("/t"));
        REFUSES(server, "GET /t HTTP/1.0\r\n" UPGRADE "\r\n", 426);
        REFUSES(server, "GET /t HTTP/0.9\r\n\r\n", 505);
        REFUSES(server, "GET /t HTTP/2.0\r\n" UPGRADE "\r\n", 505);
        REFUSES(server, "GET /t HTTP/3.7\r\n" UPGRADE "\r\n", 505);
        well(server);
        finish(server);
    }
    TEST("any method but GET and OPTIONS is a 405 that allows these, and methods have one case") {
        azc_server *server = serve(NULL, recorder("/t"));
        const char *methods[] = {"POST", "PUT", "DELETE", "options", "PATCH", "TRACE", "get", "X!"};
        for (size_t i = 0; i < sizeof methods / sizeof *methods; i++) {
            client *c = client_open(server);
            answer a;
            client_print(c, "%s /t HTTP/1.1\r\n" UPGRADE "\r\n", methods[i]);
            refused(c, 405, methods[i], &a, __LINE__);
            CHECK(has_token(&a, "Allow", "GET"));
            client_close(c);
        }
        client *c = client_open(server); /* its body is never taken for a request */
        client_print(c, "POST /t HTTP/1.1\r\nHost: a\r\nContent-Length: 40\r\n\r\n"
                        "GET /t HTTP/1.1\r\n" UPGRADE "\r\n");
        REFUSED(c, 0, "POST with a body");
        EXPECT_EVENTS("");
        finish(server);
    }
    TEST("a path without a channel is a 404, and paths differ by case and by a final slash") {
        azc_server *server = serve(NULL, recorder("/t"));
        const char *paths[] = {"/", "/T", "/t2", "/t/x", "/x/t", "/%74%74", "/t%2F"};
        for (size_t i = 0; i < sizeof paths / sizeof *paths; i++) {
            client *c = client_open(server);
            client_print(c, "GET %s HTTP/1.1\r\n" UPGRADE "\r\n", paths[i]);
            REFUSED(c, 404, paths[i]);
            client_close(c);
        }
        finish(server);
    }
    TEST("malformed escapes, an encoded NUL and invalid UTF-8 in a path are a 400") {
        azc_server *server = serve(NULL, recorder("/t/:x"));
        const char *paths[] = {"/t/%", "/t/%4", "/t/%zz", "/t/a%4", "/t/%g0", "/t/%0g", "/t/%%",
                               "/t/%00", "/t/a%00b", "/t/%ff", "/t/%c3", "/t/%c0%af",
                               "/t/%ed%a0%80", "/t/%f4%90%80%80", "/%ff/x", "/t/%c3/%a9", "/%"};
        for (size_t i = 0; i < sizeof paths / sizeof *paths; i++) {
            char text[1024];
            snprintf(text, sizeof text, "GET %s HTTP/1.1\r\n" UPGRADE "\r\n", paths[i]);
            refuses(server, text, text, strlen(text), 400, __LINE__);
        }
        finish(server);
    }
}

/* ---- Limits of a request --------------------------------------------------------------------- */

static char *filled(const char *before, size_t fill, const char *after, size_t *len) {
    *len = strlen(before) + fill + strlen(after);
    char *text = (char *)malloc(*len + 1);
    strcpy(text, before);
    memset(text + strlen(before), 'x', fill);
    strcpy(text + strlen(before) + fill, after);
    return text;
}

static void too_much(void) {
    TEST("a head of max_request bytes passes; one more byte is a 431") {
        azc_config config = quick();
        config.max_request = 1024;
        azc_server *server = serve(&config, recorder("/t"));
        const char *head = "GET /t HTTP/1.1\r\n" UPGRADE "X: ";
        size_t fill = 1024 - strlen(head) - 4, len;
        for (int drip = 0; drip < 2; drip++) {
            for (size_t more = 0; more < 2; more++) {
                char *text = filled(head, fill + more, "\r\n\r\n", &len);
                client *c = client_open(server);
                answer a;
                drip ? client_drip(c, text, len) : client_send(c, text, len);
                if (more == 0) CHECK_INT(client_answer(c, &a), 101);
                else REFUSED(c, 431, "one byte too many");
                client_close(c);
                free(text);
            }
        }
        finish(server);
    }
    TEST("the default takes 8 KiB, and a cookie of 5 KiB in it") {
        azc_server *server = serve(NULL, recorder("/t"));
        size_t len;
        char *text = filled("GET /t HTTP/1.1\r\n" UPGRADE "Cookie: a=", 5000, "\r\n\r\n", &len);
        client *c = client_open(server);
        answer a;
        client_send(c, text, len);
        CHECK_INT(client_answer(c, &a), 101);
        free(text);
        text = filled("GET /t HTTP/1.1\r\n" UPGRADE "Cookie: a=", 9000, "\r\n\r\n", &len);
        c = client_open(server);
        client_send(c, text, len);
        REFUSED(c, 431, "over 8 KiB");
        free(text);
        finish(server);
    }
    TEST("a head that never ends is a 431 as soon as it is too long, without its empty line") {
        azc_config config = quick();
        config.max_request = 1024;
        azc_server *server = serve(&config, recorder("/t"));
        size_t len;
        char *text = filled("GET /t HTTP/1.1\r\nHost: a\r\nX: ", 200000, "", &len);
        for (size_t cut = 1; cut < len; cut = cut * 5 + 1) {
            client *c = client_open(server);
            client_send(c, text, cut), settle(server);
            client_send(c, text + cut, len - cut);
            REFUSED(c, 431, "endless field");
            client_close(c);
        }
        free(text);
        well(server);
        finish(server);
    }
    TEST("a target alone longer than max_request is a 414, whole, cut, and endless") {
        azc_config config = quick();
        config.max_request = 1024;
        azc_server *server = serve(&config, recorder("/t"));
        const char *ends[] = {" HTTP/1.1\r\n" UPGRADE "\r\n", ""};
        for (int i = 0; i < 2; i++) {
            size_t len;
            char *text = filled("GET /t?", 1100, ends[i], &len);
            client *c = client_open(server);
            client_send(c, text, len);
            REFUSED(c, 414, "long target");
            client_close(c);
            c = client_open(server);
            client_drip(c, text, len);
            REFUSED(c, 414, "long target, byte by byte");
            client_close(c);
            free(text);
        }
        well(server);
        finish(server);
    }
    TEST("64 fields pass, 65 are a 431, however short") {
        azc_server *server = serve(NULL, recorder("/t"));
        for (int fields = 64; fields <= 65; fields++) {
            for (int drip = 0; drip < 2; drip++) {
                char text[2048] = "GET /t HTTP/1.1\r\n" UPGRADE;
                for (int i = 5; i < fields; i++) strcat(text, "X:\r\n");
                strcat(text, "\r\n");
                client *c = client_open(server);
                answer a;
                drip ? client_drip(c, text, strlen(text)) : client_send(c, text, strlen(text));
                if (fields == 64) CHECK_INT(client_answer(c, &a), 101);
                else REFUSED(c, 431, "65 fields");
                client_close(c);
            }
        }
        finish(server);
    }
    TEST("a head unfinished at handshake_ms is a 408, an empty one just ends") {
        azc_config config = quick();
        config.handshake_ms = 40;
        azc_server *server = serve(&config, recorder("/t"));
        client *begun = client_open(server), *silent = client_open(server);
        client_print(begun, "GET /t HTTP/1.1\r\nHo");
        pump(server, 20);
        client_fill(begun), client_fill(silent);
        CHECK(!begun->eof && !silent->eof && begun->len == 0);
        REFUSED(begun, 408, "half a head");
        EXPECT_EOF(silent);
        well(server);
        finish(server);
    }
    TEST("handshake_ms is for the whole head: a byte now and then does not stretch it") {
        azc_config config = quick();
        config.handshake_ms = 60;
        azc_server *server = serve(&config, recorder("/t"));
        client *c = client_open(server);
        const char *head = "GET /t HTTP/1.1\r\n" UPGRADE "X: ";
        long long began = now_ms();
        size_t at = 0;
        while (c->len == 0 && !c->eof && now_ms() < began + WAIT_MS) {
            client_send(c, at < strlen(head) ? head + at++ : "x", 1);
            pump(server, 5);
            client_fill(c);
        }
        CHECK(now_ms() - began >= 50 && now_ms() - began < 2000);
        REFUSED(c, 408, "drip");
        finish(server);
    }
    TEST("once a channel is open handshake_ms is over") {
        azc_config config = quick();
        config.handshake_ms = 30;
        azc_server *server = serve(&config, recorder("/t"));
        client *c = join_channel(server, "/t");
        pump(server, 100);
        EXPECT_SILENCE(c);
        EXPECT_EVENTS("connect; ");
        finish(server);
    }
    TEST("requests and messages give the same result with any size of the read buffer") {
        azc_config config = quick();
        config.read_buffer = 1;
        azc_channel_desc d = recorder("/t");
        d.on_message = echo_text;
        azc_server *server = serve(&config, d);
        client *c = client_open(server);
        answer a;
        client_print(c, "GET /t HTTP/1.1\r\n" UPGRADE "\r\n");
        CHECK_INT(client_answer(c, &a), 101);
        client_text(c, "one by one");
        EXPECT_TEXT(c, "one by one");
        client_bye(c, 1000, "done");
        EXPECT_CLOSE(c, 1000, "done");
        EXPECT_EOF(c);
        client_close(c);
        c = client_open(server);
        client_print(c, "NONSENSE\r\n\r\n");
        REFUSED(c, 400, "nonsense");
        EXPECT_EVENTS("connect; close 1000 done; ");
        finish(server);
    }
    TEST("a peer that keeps sending after its bad request still receives the answer") {
        azc_server *server = serve(NULL, recorder("/t"));
        size_t len;
        char *text = filled("BAD\r\n\r\n", 2000000, "", &len);
        client *c = client_open(server);
        client_send(c, text, len);
        REFUSED(c, 400, "two megabytes too many");
        free(text);
        finish(server);
    }
    TEST("when an allocation fails the answer is a 503 or a close, and the next peer is served") {
        int statuses[600] = {0};
        for (int n = 1; n < 40; n++) {
            azc_channel_desc d = recorder("/t/:x");
            d.data_size = 100;
            azc_server *server = serve(NULL, d);
            client *c = client_open(server);
            settle(server);
            answer a;
            memory.fail = n;
            client_print(c, "GET /t/y?name=n HTTP/1.1\r\n" UPGRADE "\r\n");
            int status = client_answer(c, &a);
            int unused = memory.fail > 0;
            memory.fail = 0;
            CHECK(status == 101 || status == 503 || (status == 0 && c->eof));
            statuses[status]++;
            if (status == 503) {
                CHECK(answer_has(&a, "Connection", "close"));
                CHECK(answer_field(&a, "Content-Length", NULL) != NULL);
                EXPECT_EOF(c);
                EXPECT_EVENTS("");
            }
            client_close(c);
            CHECK_INT(client_upgrade(client_open(server), "/t/z", ""), 101);
            finish(server);
            if (unused) break;
        }
        CHECK(statuses[503] > 0);
        CHECK(statuses[101] > 0);
    }
}

/* ---- What the program answers ---------------------------------------------------------------- */

static int program_status, program_reply;
static int refuse_upgrade(azc_conn *conn) {
    if (program_reply) {
        CHECK_INT(azc_reply_header(conn, "WWW-Authenticate", "Basic realm=\"x\""), AZC_OK);
        CHECK_INT(azc_reply(conn, program_reply, "text/html", "<b>no</b>", 9), AZC_OK);
        CHECK_INT(azc_reply(conn, 200, NULL, "", 0), AZC_ERR_STATE);
        CHECK_INT(azc_reply_header(conn, "X", "y"), AZC_ERR_STATE);
    }
    return program_status;
}

static int look_upgrade(azc_conn *conn) {
    CHECK_STR(azc_method(conn), "GET");
    CHECK_STR(azc_target(conn), "/look/a%20b?x=1&y=%C3%A9+z&x=2&empty=&bare&=n&%78%78=q");
    CHECK_STR(azc_param(conn, "id"), "a b");
    CHECK_STR(azc_param(conn, "nope"), NULL);
    CHECK_STR(azc_query(conn, "x"), "1");
    CHECK_STR(azc_query(conn, "y"), "\xc3\xa9 z");
    CHECK_STR(azc_query(conn, "empty"), "");
    CHECK_STR(azc_query(conn, "bare"), "");
    CHECK_STR(azc_query(conn, "xx"), "q");
    CHECK_STR(azc_query(conn, "nope"), NULL);
    CHECK_STR(azc_query(conn, "X"), NULL);
    CHECK_STR(azc_peer(conn), "127.0.0.1");
    CHECK_STR(azc_header(conn, "x-thing"), "first  one");
    CHECK_STR(azc_header(conn, "X-THING"), "first  one");
    CHECK_STR(azc_header(conn, "X-Empty"), "");
    CHECK_STR(azc_header(conn, "X-Thin"), NULL);
    CHECK_STR(azc_header(conn, "Host"), "a.example");
    CHECK_STR(azc_cookie(conn, "a"), "1");
    CHECK_STR(azc_cookie(conn, "b"), "two=2");
    CHECK_STR(azc_cookie(conn, "q"), "\"quoted\"");
    CHECK_STR(azc_cookie(conn, "e"), "");
    CHECK_STR(azc_cookie(conn, "pct"), "%20");
    CHECK_STR(azc_cookie(conn, "A"), NULL);
    CHECK_STR(azc_cookie(conn, "ab"), "3");
    CHECK_STR(azc_cookie(conn, "nope"), NULL);
    CHECK_STR(azc_cookie(conn, "bare"), NULL); /* without a = it is none */
    CHECK_STR(azc_subprotocol(conn), NULL);
    CHECK_STR((const char *)azc_userdata(conn), "user");
    CHECK(azc_channel_of(conn) != NULL && azc_server_of(conn) != NULL);
    CHECK_INT(azc_count(azc_channel_of(conn), NULL), 0);
    const char *data = (const char *)azc_data(conn);
    if (CHECK(data != NULL))
        for (int i = 0; i < 77; i++) CHECK(data[i] == 0);
    strcpy((char *)azc_data(conn), "kept");
    CHECK_INT(azc_send_text(conn, "x", 1), AZC_ERR_STATE);
    CHECK_INT(azc_send_binary(conn, "x", 1), AZC_ERR_STATE);
    CHECK_INT(azc_ping(conn, "x", 1), AZC_ERR_STATE);
    CHECK_INT(azc_join(conn, "r"), AZC_ERR_STATE);
    CHECK_INT(azc_leave(conn, "r"), AZC_ERR_STATE);
    CHECK_INT(azc_leave_all(conn), AZC_ERR_STATE);
    CHECK_INT(azc_close(conn, 1000, ""), AZC_ERR_STATE);
    CHECK_STR(azc_header(conn, NULL), NULL);
    CHECK_STR(azc_cookie(conn, NULL), NULL);
    CHECK_STR(azc_cookie(conn, ""), NULL);
    CHECK(azc_find(azc_server_of(conn), azc_id(conn)) == NULL); /* not a connection yet */
    note("upgrade");
    return AZC_OK;
}

static int look_connect(azc_conn *conn) {
    CHECK_STR(azc_method(conn), "GET");
    CHECK_STR(azc_header(conn, "Host"), "a.example");
    CHECK_STR(azc_cookie(conn, "a"), "1");
    CHECK_STR((const char *)azc_data(conn), "kept");
    CHECK_STR(azc_param(conn, "id"), "a b");
    CHECK_STR(azc_query(conn, "y"), "\xc3\xa9 z");
    CHECK_STR(azc_peer(conn), "127.0.0.1");
    CHECK_INT(azc_reply(conn, 200, NULL, "", 0), AZC_ERR_STATE);
    CHECK_INT(azc_reply_header(conn, "A", "b"), AZC_ERR_STATE);
    CHECK_INT(azc_count(azc_channel_of(conn), NULL), 1);
    note("connect");
    return azc_send_text(conn, "welcome", 7);
}

static void look_close(azc_conn *conn, int code, const char *reason) {
    CHECK_STR((const char *)azc_data(conn), "kept");
    CHECK_STR(azc_param(conn, "id"), "a b");
    CHECK_STR(azc_query(conn, "x"), "1");
    CHECK_STR(azc_peer(conn), "127.0.0.1");
    CHECK_STR((const char *)azc_userdata(conn), "user");
    CHECK_STR(azc_header(conn, "Host"), NULL);
    CHECK_INT(azc_count(azc_channel_of(conn), NULL), 0);
    note("close %d %s", code, reason);
}

static const char *chosen;
static int note_subprotocol(azc_conn *conn) {
    chosen = azc_subprotocol(conn);
    note("[%s]", chosen ? chosen : "none");
    return AZC_OK;
}

static void program_says(void) {
    TEST("on_upgrade refuses with the status it returns, before any 101") {
        int statuses[] = {400, 401, 402, 403, 404, 410, 418, 429, 451, 500, 503, 599};
        azc_channel_desc d = recorder("/t");
        d.on_upgrade = refuse_upgrade;
        azc_server *server = serve(NULL, d);
        program_reply = 0;
        for (size_t i = 0; i < sizeof statuses / sizeof *statuses; i++) {
            program_status = statuses[i];
            REFUSES(server, "GET /t HTTP/1.1\r\n" UPGRADE "\r\n", statuses[i]);
        }
        program_status = AZC_ERR_APP;
        REFUSES(server, "GET /t HTTP/1.1\r\n" UPGRADE "\r\n", 500);
        program_status = AZC_OK;
        well(server);
        EXPECT_EVENTS("connect; close 1006; ");
        finish(server);
    }
    TEST("on_upgrade answers with azc_reply, and then its result does not matter") {
        int results[] = {AZC_OK, 404, AZC_ERR_APP};
        azc_channel_desc d = recorder("/t");
        d.on_upgrade = refuse_upgrade;
        azc_server *server = serve(NULL, d);
        for (int i = 0; i < 3; i++) {
            program_reply = 401, program_status = results[i];
            client *c = client_open(server);
            answer a;
            client_print(c, "GET /t HTTP/1.1\r\n" UPGRADE "\r\n");
            CHECK_INT(client_answer(c, &a), 401);
            CHECK_STR(a.body, "<b>no</b>");
            CHECK(answer_has(&a, "WWW-Authenticate", "Basic realm=\"x\""));
            CHECK(answer_has(&a, "Content-Type", "text/html"));
            CHECK(has_token(&a, "Connection", "close"));
            EXPECT_EOF(c);
            client_close(c);
        }
        EXPECT_EVENTS("");
        finish(server);
    }
    TEST("on_upgrade and later callbacks can read the parts of the request that the manual lists") {
        azc_channel_desc d;
        memset(&d, 0, sizeof d);
        d.path = "/look/:id", d.data_size = 77;
        char user[] = "user";
        d.userdata = user;
        d.on_upgrade = look_upgrade, d.on_connect = look_connect, d.on_close = look_close;
        azc_server *server = serve(NULL, d);
        client *c = client_open(server);
        answer a;
        client_print(c, "GET /look/a%%20b?x=1&y=%%C3%%A9+z&x=2&empty=&bare&=n&%%78%%78=q "
                        "HTTP/1.1\r\n" UPGRADE "X-Thing: \t first  one \t\r\n"
                        "X-Thing: second\r\nX-Empty:\r\n"
                        "Cookie: ab=3; bare; =x; a=1; b=two=2; q=\"quoted\"; a=9; e=; "
                        "pct=%%20\r\n\r\n");
        CHECK_INT(client_answer(c, &a), 101);
        EXPECT_TEXT(c, "welcome");
        EXPECT_EVENTS("upgrade; connect; ");
        client_bye(c, 1000, "so long");
        EXPECT_CLOSE(c, 1000, "so long");
        EXPECT_EOF(c);
        EXPECT_EVENTS("close 1000 so long; ");
        finish(server);
    }
    TEST("the server's first subprotocol that the peer offers is chosen, exactly one or none") {
        static const struct { const char *offer, *want; } cases[] = {
            {"", NULL},
            {"Sec-WebSocket-Protocol: v1.chat\r\n", "v1.chat"},
            {"Sec-WebSocket-Protocol: v2.chat\r\n", "v2.chat"},
            {"Sec-WebSocket-Protocol: v1.chat, v2.chat\r\n", "v2.chat"},
            {"Sec-WebSocket-Protocol: v1.chat,v2.chat,v3.chat\r\n", "v2.chat"},
            {"Sec-WebSocket-Protocol: x,  v1.chat\t, y\r\n", "v1.chat"},
            {"Sec-WebSocket-Protocol: x\r\nSec-WebSocket-Protocol: v2.chat\r\n", "v2.chat"},
            {"sec-websocket-protocol: v1.chat\r\nSec-WebSocket-Protocol: v2.chat\r\n", "v2.chat"},
            {"Sec-WebSocket-Protocol: v3.chat\r\n", NULL},
            {"Sec-WebSocket-Protocol: V2.CHAT\r\n", NULL},
            {"Sec-WebSocket-Protocol: v2.cha\r\n", NULL},
            {"Sec-WebSocket-Protocol: v2.chatter\r\n", NULL},
        };
        azc_channel_desc d;
        memset(&d, 0, sizeof d);
        d.path = "/t", d.subprotocols = "v2.chat, v1.chat";
        d.on_upgrade = note_subprotocol, d.on_connect = note_subprotocol;
        azc_server *server = serve(NULL, d);
        for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
            client *c = client_open(server);
            answer a;
            int n;
            char want[64];
            client_print(c, "GET /t HTTP/1.1\r\n" UPGRADE "%s\r\n", cases[i].offer);
            CHECK_INT(client_answer(c, &a), 101);
            const char *got = answer_field(&a, "Sec-WebSocket-Protocol", &n);
            if (!CHECK_STR(got, cases[i].want) || !CHECK_INT(n, cases[i].want ? 1 : 0))
                printf("    offered %s", cases[i].offer);
            const char *name = cases[i].want ? cases[i].want : "none";
            snprintf(want, sizeof want, "[%s]; [%s]; ", name, name);
            EXPECT_EVENTS(want);
            client_close(c);
        }
        finish(server);
    }
    TEST("a channel without subprotocols grants none") {
        expect_not_granted("Sec-WebSocket-Protocol", "chat");
    }
}

/* ---- Origins --------------------------------------------------------------------------------- */

static int origin_status(const char *origins, const char *target, const char *host,
                         const char *origin) {
    azc_config config = quick();
    char copy[64] = "";
    if (origins) config.origins = strcpy(copy, origins);
    azc_server *server = serve(&config, recorder("/t"));
    memset(copy, '*', sizeof copy - 1); /* it was copied */
    client *c = client_open(server);
    answer a;
    client_print(c, "GET %s HTTP/1.1\r\nHost: %s\r\nUpgrade: websocket\r\n"
                    "Connection: Upgrade\r\nSec-WebSocket-Key: " KEY "\r\n"
                    "Sec-WebSocket-Version: 13\r\n%s%s%s\r\n", target, host,
                 origin ? "Origin: " : "", origin ? origin : "", origin ? "\r\n" : "");
    int status = client_answer(c, &a);
    if (status != 101) {
        CHECK(has_token(&a, "Connection", "close"));
        EXPECT_EOF(c);
        EXPECT_EVENTS("");
    }
    finish(server);
    return status;
}

static void origins(void) {
    TEST("by default pages of the same host and port may open channels, others are a 403") {
        static const struct { const char *host, *origin; int status; } cases[] = {
            {"a.example", NULL, 101},
            {"a.example", "http://a.example", 101},
            {"a.example", "https://a.example", 101}, /* TLS ended at a proxy */
            {"a.example:4000", "http://a.example:4000", 101},
            {"A.Example:4000", "http://a.example:4000", 101},
            {"127.0.0.1:4000", "http://127.0.0.1:4000", 101},
            {"[::1]:4000", "http://[::1]:4000", 101},
            {"a.example", "http://a.example:80", 101}, /* the default port */
            {"a.example:80", "http://a.example", 101},
            {"a.example:443", "https://a.example", 101},
            {"a.example", "https://a.example:443", 101},
            {"a.example", "http://a.example:443", 403},
            {"a.example", "http://a.example:8", 403},
            {"a.example", "http://a.example:8080", 403},
            {"a.example", "http://b.example", 403},
            {"a.example:4000", "http://a.example", 403},
            {"a.example:4000", "http://a.example:4001", 403},
            {"a.example", "http://a.example:4000", 403},
            {"a.example", "http://a.example.evil", 403},
            {"a.example", "http://evil-a.example", 403},
            {"a.example", "http://a.exampl", 403},
            {"a.example", "http://evil.example/a.example", 403},
            {"a.example", "http://evil@a.example", 403},
            {"a.example", "null", 403},
            {"a.example", "a.example", 403},
            {"a.example", "", 403},
            {"[::1]:4000", "http://[::2]:4000", 403},
        };
        for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
            if (!CHECK_INT(origin_status(NULL, "/t", cases[i].host, cases[i].origin),
                           cases[i].status))
                printf("    Host %s, Origin %s\n", cases[i].host,
                       cases[i].origin ? cases[i].origin : "(none)");
    }
    TEST("a list of origins allows exactly these, by scheme, host and port") {
        static const struct { const char *origin; int status; } cases[] = {
            {NULL, 101},
            {"https://b.example", 101},
            {"http://c.example:8080", 101},
            {"HTTPS://B.EXAMPLE", 101},
            {"http://b.example", 403},
            {"https://b.example:8080", 403},
            {"http://c.example", 403},
            {"http://c.example:808", 403},
            {"http://c.example:80800", 403},
            {"https://b.example.evil", 403},
            {"https://b.exampl", 403},
            {"https://d.example", 403},
            {"null", 403},
            {"https://b.example http://c.example:8080", 403},
        };
        for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
            if (!CHECK_INT(origin_status("https://b.example http://c.example:8080", "/t",
                                         "a.example", cases[i].origin), cases[i].status))
                printf("    Origin %s\n", cases[i].origin ? cases[i].origin : "(none)");
    }
    TEST("two Origin fields are a 403") {
        CHECK_INT(origin_status(NULL, "/t", "a.example",
                                "http://a.example\r\nOrigin: http://a.example"), 403);
        CHECK_INT(origin_status(NULL, "/t", "a.example",
                                "http://b.example\r\nOrigin: http://a.example"), 403);
        CHECK_INT(origin_status("https://b.example", "/t", "a.example",
                                "https://b.example\r\nOrigin: http://x.example"), 403);
    }
    TEST("with * every origin is allowed") {
        CHECK_INT(origin_status("*", "/t", "a.example", "http://b.example"), 101);
        CHECK_INT(origin_status("*", "/t", "a.example", "null"), 101);
        CHECK_INT(origin_status("*", "/t", "a.example", NULL), 101);
    }
    TEST("an absolute-form target's host counts, not the Host field (RFC 9112 3.2.2)") {
        CHECK_INT(origin_status(NULL, "http://b.example/t", "a.example", "http://b.example"), 101);
        CHECK_INT(origin_status(NULL, "http://b.example/t", "a.example", "http://a.example"), 403);
    }
}

int main(int argc, char **argv) {
    test_start(argc, argv);
    let_in();
    malformed_requests();
    too_much();
    program_says();
    origins();
    tape_clear(&events), tape_clear(&log_lines);
    return test_end();
}
