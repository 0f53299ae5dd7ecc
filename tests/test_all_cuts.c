/* The whole server without sockets: however a conversation's bytes are cut, the same callbacks
 * receive the same bytes, and the same bytes are sent. Each piece lies against an unreadable page,
 * except for the one writable byte that azc__receive requires after it. */
#define AZCHAN_IMPLEMENTATION
#include "../azchan.h"
#include "test.h"
#include "pure.h"
#include "client.h"

static azc_server *server;
static long ways, conversations; /* of cutting; cut */

/* ---- What a conversation comes to ------------------------------------------------------------ */

typedef struct outcome {
    tape calls, output;
    int state; /* before the peer's end of TCP */
    uint64_t requests, in, out;
} outcome;

static outcome *now; /* being recorded */

static void record(const char *what, const void *data, size_t len) {
    char head[64];
    int n = snprintf(head, sizeof head, "%s %lu ", what, (unsigned long)len);
    tape_add(&now->calls, head, (size_t)n);
    if (len) tape_add(&now->calls, (const char *)data, len);
    tape_add(&now->calls, "\n", 1);
}
static void record_text(const char *what, const char *text) {
    record(what, text ? text : "(NULL)", text ? strlen(text) : 6);
}

/* ---- A server that records ------------------------------------------------------------------- */

static int cut_use(azc_conn *conn, void *user) {
    static const char *const names[] = {"Host", "User-Agent", "Connection", "Origin", "Accept"};
    (void)user;
    record_text("method", azc_method(conn));
    record_text("target", azc_target(conn));
    for (int i = 0; i < 5; i++) record_text(names[i], azc_header(conn, names[i]));
    record_text("cookie", azc_cookie(conn, "session"));
    record_text("query", azc_query(conn, "q"));
    return azc_query(conn, "forbidden") ? 403 : AZC_OK;
}
static int cut_page(azc_conn *conn, void *user) {
    const char *name = azc_param(conn, "name");
    (void)user;
    azc_reply_header(conn, "X-Name", "a page");
    return azc_reply(conn, 200, "text/plain", name, strlen(name));
}
static int cut_connect(azc_conn *conn) {
    record_text("connect", azc_subprotocol(conn));
    return azc_query(conn, "greet") ? azc_send_text(conn, "welcome", 7) : AZC_OK;
}
static int cut_message(azc_conn *conn, const char *text, size_t len) {
    record("text", text, len + 1); /* with its NUL */
    if (len == 3 && memcmp(text, "bye", 3) == 0) return azc_close(conn, 4001, "bye");
    if (len == 4 && memcmp(text, "fail", 4) == 0) return AZC_ERR_APP;
    if (len == 4 && memcmp(text, "json", 4) == 0) return AZC_ERR_JSON;
    return azc_send_text(conn, text, len);
}
static int cut_binary(azc_conn *conn, const void *data, size_t len) {
    record("binary", data, len);
    return azc_send_binary(conn, data, len);
}
static int cut_ping(azc_conn *conn, const void *data, size_t len) {
    record("ping", data, len);
    if (len == 3 && memcmp(data, "bye", 3) == 0) return azc_close(conn, 0, NULL);
    return AZC_OK;
}
static int cut_pong(azc_conn *conn, const void *data, size_t len) {
    (void)conn;
    record("pong", data, len);
    return AZC_OK;
}
static void cut_close(azc_conn *conn, int code, const char *reason) {
    char line[200];
    (void)conn;
    snprintf(line, sizeof line, "%d %s", code, reason);
    record_text("close", line);
}

static void make_server(void) {
    static const char page[] = "<!doctype html><p>A page";
    azc_config config;
    azc_channel_desc d;
    memset(&config, 0, sizeof config);
    memset(&d, 0, sizeof d);
    config.alloc = memory_alloc, config.alloc_userdata = &memory;
    config.max_message = 300, config.max_request = 700;
    server = azc_create(&config);
    d.path = "/echo/:room", d.subprotocols = "v2, v1", d.data_size = 8;
    d.on_connect = cut_connect, d.on_message = cut_message, d.on_binary = cut_binary;
    d.on_ping = cut_ping, d.on_pong = cut_pong, d.on_close = cut_close;
    CHECK(azc_use(server, cut_use, NULL) == AZC_OK);
    CHECK(azc_add_channel(server, &d) != NULL);
    CHECK(azc_add_page(server, "/", "text/html", page, sizeof page - 1) == AZC_OK);
    CHECK(azc_add_handler(server, "/page/:name", cut_page, NULL) == AZC_OK);
}

/* What the settle and flush steps would do, without their system calls. */
static void settled(azc_conn *conn) {
    if (conn->connected && conn->state > AZC__OPEN) azc__conn_report_close(conn);
    for (azc__piece *p = conn->out.head; p; p = p->next)
        tape_add(&now->output, (const char *)p->data, p->len);
    azc__out_consume(&server->mem, &conn->out, conn->out.bytes);
}

static void tape_rewind(tape *t) { t->len = 0; }

/* Hold the conversation in pieces, which end at the cuts. */
static void converse(outcome *o, const unsigned char *bytes, size_t n, const size_t *cuts,
                     size_t count) {
    static const azc__visitor address = {AF_INET, {127, 0, 0, 1}};
    static unsigned char behind;
    azc_statistics before = *azc_stats(server);
    now = o;
    tape_rewind(&o->calls), tape_rewind(&o->output);
    azc_conn *conn = azc__conn_make(server, -1, &address);
    if (!conn) abort();
    for (size_t i = 0, at = 0; i <= count; i++) {
        size_t end = i < count ? cuts[i] : n;
        unsigned char *p = (unsigned char *)placed(bytes + at, end - at + 1);
        p[end - at] = behind += 0x55; /* it may be anything */
        if (end > at) azc__receive(conn, p, end - at);
        settled(conn);
        at = end;
    }
    o->state = conn->state;
    azc__receive_eof(conn);
    settled(conn);
    server->touched_first = server->touched_last = NULL;
    server->ended_first = server->ended_last = NULL;
    azc__conn_free(conn);
    o->requests = azc_stats(server)->requests - before.requests;
    o->in = azc_stats(server)->messages_in - before.messages_in;
    o->out = azc_stats(server)->messages_out - before.messages_out;
}

static int tapes_same(const tape *a, const tape *b) {
    return a->len == b->len && (a->len == 0 || memcmp(a->text, b->text, a->len) == 0);
}

/* ---- Cutting --------------------------------------------------------------------------------- */

static outcome whole, cut;
static const char *title;

static void try_cuts(const unsigned char *bytes, size_t n, const size_t *cuts, size_t count) {
    if (test.bad > 5) return;
    converse(&cut, bytes, n, cuts, count);
    ways++;
    int same = tapes_same(&whole.calls, &cut.calls) && tapes_same(&whole.output, &cut.output) &&
               whole.state == cut.state && whole.requests == cut.requests && whole.in == cut.in &&
               whole.out == cut.out;
    if (CHECK(same)) return;
    printf("    %s, %lu bytes, cut at", title, (unsigned long)n);
    for (size_t i = 0; i < count && i < 5; i++) printf(" %lu", (unsigned long)cuts[i]);
    printf("%s\n    state %d, not %d\n    calls  %s\n       not %s\n", count > 5 ? " ..." : "",
           cut.state, whole.state, word_of(cut.calls.text, cut.calls.len),
           word_of(whole.calls.text, whole.calls.len));
    for (size_t i = 0; i < cut.calls.len && i < whole.calls.len; i++)
        if (cut.calls.text[i] != whole.calls.text[i] || i + 1 == cut.calls.len) {
            printf("    calls differ at %lu: %.60s\n", (unsigned long)i, cut.calls.text + i);
            break;
        }
    printf("    output %s\n       not %s\n", word_of(cut.output.text, cut.output.len),
           word_of(whole.output.text, whole.output.len));
}

static int few(void) {
    const char *preload = getenv("LD_PRELOAD");
    return getenv("TEST_QUICK") || (preload && strstr(preload, "vgpreload"));
}

/* Except for memory that depends on the load. */
static size_t bytes_held(void) {
    return memory.bytes - server->mem.pool->bytes - server->slot_cap * sizeof *server->slots;
}

enum { LONGEST = 8192, PAIRS = 200, TRIPLES = 40 };

/* Every cut, every byte alone, pieces of one size, some random ways; every pair of cuts if there
 * are not too many, and every triple. The first `fixed` bytes come in one piece. */
static void cut_up(const char *name, const unsigned char *bytes, size_t n, size_t fixed) {
    static size_t cuts[LONGEST];
    size_t count, rest = n - fixed, step = few() && n > 60 ? 29 : 1;
    size_t base = bytes_held();
    if (n >= LONGEST) abort();
    title = name, conversations++;
    converse(&whole, bytes, n, &fixed, fixed > 0);
    CHECK(fixed == 0 || whole.calls.len + whole.output.len > 0);
    try_cuts(bytes, n, cuts, 0);
    for (size_t a = fixed + 1; a < n; a += step) {
        cuts[0] = fixed, cuts[1] = a;
        try_cuts(bytes, n, cuts + (fixed == 0), 1 + (fixed > 0));
    }
    for (size_t size = 1; size < 10 && size < rest; size++) {
        count = 0;
        for (size_t at = fixed ? fixed : size; at < n; at += size) cuts[count++] = at;
        try_cuts(bytes, n, cuts, count);
    }
    for (int i = 0; i < (few() ? 3 : 100) && rest > 1; i++) {
        size_t most = 1 + random_below(rest < 300 ? rest : 300) * 2;
        count = 0;
        size_t at = fixed ? fixed : 1 + random_below(most);
        for (; at < n; at += 1 + random_below(most)) cuts[count++] = at;
        try_cuts(bytes, n, cuts, count);
    }
    for (size_t a = fixed + 1; rest <= PAIRS && a + 1 < n; a += step)
        for (size_t b = a + 1; b < n; b += few() ? 7 : 1) {
            cuts[0] = fixed, cuts[1] = a, cuts[2] = b;
            try_cuts(bytes, n, cuts, 3);
            for (size_t c = b + 1; rest <= TRIPLES && c < n && !few(); c++) {
                cuts[3] = c;
                try_cuts(bytes, n, cuts, 4);
            }
        }
    CHECK_INT(server->conn_count, 0);
    CHECK_INT(bytes_held(), base);
}

/* ---- Building conversations ------------------------------------------------------------------ */

typedef struct script {
    unsigned char bytes[LONGEST + 1];
    size_t len;
} script;

static void add(script *s, const void *bytes, size_t n) {
    if (s->len + n > LONGEST) abort();
    if (n) memcpy(s->bytes + s->len, bytes, n);
    s->len += n;
}
static void add_text(script *s, const char *text) { add(s, text, strlen(text)); }
static void add_frame(script *s, int first, const void *data, size_t len) {
    unsigned char out[1100], mask[4];
    uint64_t bits = random_bits();
    for (int i = 0; i < 4; i++) mask[i] = (unsigned char)(bits >> (8 * i));
    add(s, out, put_frame(out, first, data, len, SHORTEST, mask));
}
static void add_words(script *s, int first, const char *text) {
    add_frame(s, first, text, strlen(text));
}
static void add_close(script *s, int code, const char *reason) {
    unsigned char payload[125];
    add_frame(s, FIN | CLOSE, payload, put_close(payload, code, reason));
}

#define HANDSHAKE(target) "GET " target " HTTP/1.1\r\n" UPGRADE

/* ---- Conversations as they are, from browsers and tools -------------------------------------- */

static const char chromium[] =
    "GET /echo/lobby?q=caf%C3%A9 HTTP/1.1\r\nHost: 127.0.0.1:4000\r\nConnection: Upgrade\r\n"
    "Pragma: no-cache\r\nCache-Control: no-cache\r\nUser-Agent: Mozilla/5.0 (X11; Linux x86_64) "
    "AppleWebKit/537.36 (KHTML, like Gecko) Chrome/120.0.0.0 Safari/537.36\r\n"
    "Upgrade: websocket\r\nOrigin: http://127.0.0.1:4000\r\nSec-WebSocket-Version: 13\r\n"
    "Accept-Encoding: gzip, deflate, br\r\nAccept-Language: en-US,en;q=0.9\r\n"
    "Cookie: theme=dark; session=31d4d96e407aad42\r\nSec-WebSocket-Key: " KEY "\r\n"
    "Sec-WebSocket-Extensions: permessage-deflate; client_max_window_bits\r\n\r\n";
static const char firefox[] =
    "GET /echo/x HTTP/1.1\r\nHost: localhost:4000\r\nUser-Agent: Mozilla/5.0 (X11; Linux x86_64; "
    "rv:109.0) Gecko/20100101 Firefox/115.0\r\nAccept: */*\r\nAccept-Language: en-US,en;q=0.5\r\n"
    "Accept-Encoding: gzip, deflate, br\r\nSec-WebSocket-Version: 13\r\n"
    "Origin: http://localhost:4000\r\nSec-WebSocket-Protocol: v1, v2\r\n"
    "Sec-WebSocket-Extensions: permessage-deflate\r\nSec-WebSocket-Key: " KEY "\r\n"
    "Connection: keep-alive, Upgrade\r\nUpgrade: websocket\r\n\r\n";
static const char curl[] =
    "GET /?q=1 HTTP/1.1\r\nHost: localhost:4000\r\nUser-Agent: curl/7.88.1\r\nAccept: */*\r\n\r\n";

static void as_recorded(void) {
    script *s = (script *)calloc(1, sizeof *s);
    TEST("a browser's handshake, RFC 6455 5.7's frames, and a Close") {
        s->len = 0;
        add_text(s, chromium);
        add(s, "\x81\x85\x37\xfa\x21\x3d\x7f\x9f\x4d\x51\x58", 11);
        add(s, "\x01\x83\x37\xfa\x21\x3d\x7f\x9f\x4d", 9);
        add(s, "\x89\x85\x37\xfa\x21\x3d\x7f\x9f\x4d\x51\x58", 11);
        add(s, "\x80\x82\x37\xfa\x21\x3d\x5b\x95", 8);
        add_close(s, 1000, "done");
        cut_up("chromium", s->bytes, s->len, 0);
        s->len = 0;
        add_text(s, firefox), add_words(s, FIN | TEXT, "caf\xc3\xa9"), add_close(s, 1001, "");
        cut_up("firefox", s->bytes, s->len, 0);
    }
    TEST("pages, kept alive and pipelined, then a channel on the same connection") {
        s->len = 0;
        add_text(s, curl), add_text(s, "HEAD / HTTP/1.1\r\nHost: a\r\n\r\n");
        add_text(s, "\r\nGET http://a.example/page/ada HTTP/1.1\r\nHost: a\r\n\r\n");
        add_text(s, curl), add_text(s, HANDSHAKE("/echo/1?greet=1") "\r\n");
        add_words(s, FIN | TEXT, "at last");
        cut_up("keep-alive", s->bytes, s->len, 0);
        s->len = 0;
        add_text(s, curl), add_text(s, "GET /page/%41?q=%zz HTTP/1.1\r\nHost: a\r\n\r\n");
        add_text(s, curl); /* not read any more */
        cut_up("pipelined behind a refusal", s->bytes, s->len, 0);
        s->len = 0;
        add_text(s, "GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\nGET / HTTP/1.1\r\n");
        cut_up("Connection: close", s->bytes, s->len, 0);
    }
    TEST("heads that are refused") {
        static const char *const heads[] = {
            "\r\n\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n", "GET / HTTP/1.1\nHost: a\r\n\r\n",
            "GET / HTTP/1.1\r\n Host: a\r\n\r\n", "GET / HTTP/1.1\r\nHost : a\r\n\r\n",
            "GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n", "GET / HTTP/1.0\r\n\r\nGET /",
            "GET  / HTTP/1.1\r\nHost: a\r\n\r\n", "G@T / HTTP/1.1\r\nHost: a\r\n\r\n",
            "GET / HTTP/1.1\r\nHost: a\r\nX: a\rb\r\n\r\n", "POST / HTTP/1.1\r\nHost: a\r\n\r\n",
            "GET / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhello",
            "GET / HTTP/1.1\r\nHost: a\r\nContent-Length: 5, 5\r\n\r\n",
            "PUT /x HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n",
            "GET /?forbidden=1 HTTP/1.1\r\nHost: a\r\n\r\n", "GET /no HTTP/1.1\r\nHost: a\r\n\r\n",
            "GET /echo/x HTTP/1.1\r\nHost: a\r\n\r\n", "\x16\x03\x01\x02\x01\x01", "\r\nG\x7f",
            "GET / HTTP/1.1\r\nHost: a\r\nX\r\n\r\n", "GET /\x80 HTTP/1.1\r\nHost: a\r\n\r\n",
            "GET /page/%ff HTTP/1.1\r\nHost: a\r\n\r\n", "CONNECT a:1 HTTP/1.1\r\nHost: a\r\n\r\n",
            "GET / HTTP/1.1\r\nHost: a\r\n", "GET / HTTP/1.1\r\nHost: a\r\n\r"};
        for (size_t i = 0; i < sizeof heads / sizeof heads[0]; i++)
            cut_up(heads[i], (const unsigned char *)heads[i], strlen(heads[i]), 0);
        static const char nul[] = "GET / HTTP/1.1\r\nHost: a\r\nX: \0\r\n\r\n";
        cut_up("a NUL", (const unsigned char *)nul, sizeof nul - 1, 0);
    }
    TEST("heads that are too long, by one byte and by many, and heads that just fit") {
        for (size_t total = 699; total <= 702; total++) {
            s->len = 0;
            add_text(s, "GET / HTTP/1.1\r\nHost: a\r\nX: ");
            while (s->len < total - 4) add(s, "x", 1);
            add_text(s, "\r\n\r\n"), add_text(s, curl);
            cut_up("field", s->bytes, s->len, 0);
            s->len = 0;
            add_text(s, "GET /page/");
            while (s->len < total - 4) add(s, "x", 1);
            add_text(s, "\r\n\r\n");
            cut_up("target", s->bytes, s->len, 0);
        }
        for (int fields = 64; fields <= 66; fields++) {
            s->len = 0;
            add_text(s, "GET / HTTP/1.1\r\nHost:a\r\n");
            for (int i = 1; i < fields; i++) add_text(s, "a:b\r\n");
            add_text(s, "\r\n");
            cut_up("fields", s->bytes, s->len, 0);
        }
    }
    free(s);
}

/* ---- Frames behind a handshake that came whole: short enough for every pair and triple ------- */

static size_t begin_channel(script *s) {
    s->len = 0;
    add_text(s, HANDSHAKE("/echo/room") "\r\n");
    return s->len;
}

static void frames(void) {
    static char text[400];
    script *s = (script *)calloc(1, sizeof *s);
    memset(text, 'x', sizeof text);
    TEST("messages, fragments and control frames between them, in every pair and triple of cuts") {
        size_t fixed = begin_channel(s);
        add_words(s, FIN | TEXT, "\xe2\x82\xac"), add_frame(s, FIN | BINARY, "\0\xff", 2);
        add_frame(s, FIN | TEXT, "", 0), add_words(s, FIN | PING, "p");
        cut_up("small", s->bytes, s->len, fixed);
        fixed = begin_channel(s);
        add_words(s, TEXT, "\xe2"), add_words(s, FIN | PING, "1");
        add_words(s, CONTINUATION, "\x82");
        add_frame(s, CONTINUATION, "", 0), add_words(s, FIN | CONTINUATION, "\xac");
        cut_up("a character in fragments", s->bytes, s->len, fixed);
        fixed = begin_channel(s);
        add_frame(s, BINARY, "", 0), add_frame(s, FIN | PONG, "", 0);
        add_frame(s, FIN | CONTINUATION, "", 0), add_close(s, 0, "");
        cut_up("empty fragments", s->bytes, s->len, fixed);
        fixed = begin_channel(s);
        add_words(s, FIN | TEXT, "json"), add_words(s, FIN | TEXT, "fail");
        add_close(s, 3000, "\xc3\xa9"), add_words(s, FIN | TEXT, "late");
        cut_up("errors of the program", s->bytes, s->len, fixed);
    }
    TEST("bytes that arrive after the program has closed, also broken frames") {
        static const char *const last[] = {"ok", "\xff", "\xe2\x82"};
        for (int i = 0; i < 3; i++)
            for (int ping = 0; ping < 2; ping++) {
                size_t fixed = begin_channel(s);
                if (ping) add_words(s, TEXT, "be"), add_words(s, FIN | PING, "bye");
                else add_words(s, FIN | TEXT, "bye");
                if (ping) add_words(s, FIN | CONTINUATION, last[i]);
                else add_words(s, FIN | TEXT, last[i]);
                if (i == 1) add_words(s, TEXT, last[i]), add_words(s, FIN | CONTINUATION, "\xff");
                cut_up("after the end", s->bytes, s->len, fixed);
                add_close(s, 4001, "");
                cut_up("after the end, and its own", s->bytes, s->len, fixed);
                fixed = begin_channel(s);
                add_words(s, FIN | TEXT, "bye");
                add_frame(s, FIN | TEXT, text, 301), add_frame(s, i ? 0xf1 : FIN | TEXT, "x", 1);
                add_words(s, FIN | PONG, "");
                cut_up("too long after the end", s->bytes, s->len, fixed);
            }
    }
    TEST("frames that break the protocol: the same verdict in any cut") {
        static const struct {
            const char *name, *bytes;
            size_t len;
        } bad[] = {
            {"unmasked", "\x81\x01x", 3}, {"RSV1", "\xc1\x80\0\0\0\0", 6},
            {"RSV2 in a control frame", "\xa9\x80\0\0\0\0", 6}, {"opcode 3", "\x83\x80\0\0\0\0", 6},
            {"opcode 15", "\x8f\x80\0\0\0\0", 6}, {"orphan", "\x80\x81\0\0\0\0x", 7},
            {"fragmented ping", "\x09\x80\0\0\0\0", 6},
            {"ping of 126", "\x89\xfe\x00\x7e\0\0\0\0", 8},
            {"not minimal, 16", "\x81\xfe\x00\x05\0\0\0\0hello", 13},
            {"not minimal, 64", "\x82\xff\0\0\0\0\0\0\x01\x00\0\0\0\0", 14},
            {"2^63", "\x82\xff\x80\0\0\0\0\0\0\0\0\0\0\0", 14},
            {"2^62", "\x82\xff\x40\0\0\0\0\0\0\0\0\0\0\0", 14},
            {"301", "\x82\xfe\x01\x2d\0\0\0\0xxxx", 12},
            {"text in a message", "\x01\x81\0\0\0\0x\x81\x81\0\0\0\0y", 14},
            {"close of 1", "\x88\x81\0\0\0\0\x03", 7},
            {"close 1005", "\x88\x82\0\0\0\0\x03\xed", 8},
            {"close 0", "\x88\x82\0\0\0\0\0\0", 8},
            {"bad reason", "\x88\x83\0\0\0\0\x03\xe8\xff", 9},
            {"bad text", "\x81\x84\0\0\0\0ab\xff""c", 10},
            {"surrogate", "\x81\x83\0\0\0\0\xed\xa0\x80", 9},
            {"half a character", "\x81\x82\0\0\0\0\xe2\x82", 8},
            {"half, in fragments", "\x01\x82\0\0\0\0\xe2\x82\x80\x81\0\0\0\0x", 15},
            {"half, at the end", "\x01\x82\0\0\0\0\xe2\x82\x80\x80\0\0\0\0", 14}};
        for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
            for (int before = 0; before < 3; before++) {
                size_t fixed = begin_channel(s);
                if (before == 1) add_words(s, FIN | TEXT, "ok");
                if (before == 2) add_words(s, BINARY, "open");
                add(s, bad[i].bytes, bad[i].len);
                add_words(s, FIN | TEXT, "n");
                cut_up(bad[i].name, s->bytes, s->len, fixed);
            }
    }
    TEST("messages of max_message and one more, in one frame and in fragments") {
        for (size_t len = 299; len <= 301; len++) {
            size_t fixed = begin_channel(s);
            add_frame(s, FIN | TEXT, text, len), add_words(s, FIN | TEXT, "next");
            cut_up("whole", s->bytes, s->len, fixed);
            fixed = begin_channel(s);
            add_frame(s, BINARY, text, len - 100), add_words(s, FIN | PING, "between");
            add_frame(s, FIN | CONTINUATION, text, 100), add_words(s, FIN | TEXT, "next");
            cut_up("in fragments", s->bytes, s->len, fixed);
        }
    }
    free(s);
}

/* ---- Generated conversations ----------------------------------------------------------------- */

static size_t random_text(char *out, size_t most) {
    static const char *const letters[] = {"a", "Z", " ", "\xc3\xa4", "\xe2\x82\xac",
                                          "\xf0\x9f\x98\x80", "\n", "\"", "\xef\xbf\xbf", "0"};
    size_t n = 0;
    for (;;) {
        const char *c = letters[random_below(10)];
        if (n + strlen(c) > most || random_below(40) == 0) return n;
        memcpy(out + n, c, strlen(c)), n += strlen(c);
        if (random_below(30) == 0 && n < most) out[n++] = 0;
    }
}

static void random_request(script *s) {
    static const char *const methods[] = {"GET", "GET", "GET", "HEAD", "POST", "get"};
    static const char *const targets[] = {"/", "/page/ada", "/page/%C3%A4?q=a+b", "/none",
                                          "/?q=%20", "http://h/page/x", "/echo/x", "/page/",
                                          "/?forbidden", "*"};
    static const char *const fields[] = {"Accept: */*\r\n", "Connection: close\r\n", "X-Empty:\r\n",
                                         "Cookie: a=b; session=c\r\n", "User-Agent:\t x \t\r\n",
                                         "Origin: http://a.example\r\n", "Host: again\r\n"};
    char line[200];
    int odd = random_below(5) == 0; /* else one that is served */
    snprintf(line, sizeof line, "%s %s HTTP/1.1\r\nHost: a.example\r\n",
             methods[random_below(odd ? 6 : 4)], targets[random_below(odd ? 10 : 3)]);
    add_text(s, line);
    while (random_below(2)) add_text(s, fields[random_below(odd ? 7 : 1)]);
    add_text(s, "\r\n");
}

static void random_frames(script *s, int count, int break_one) {
    static const char *const words[] = {"bye", "fail", "json", "hello", ""};
    char text[400];
    unsigned char junk[40];
    int open = 0;
    while (count-- > 0) {
        size_t len = random_text(text, random_below(6) ? 20 : 280);
        switch (random_below(open ? 4 : 8)) {
        case 0: add_frame(s, FIN | PING, text, len > 125 ? 125 : len); break;
        case 1: add_frame(s, FIN | PONG, text, len > 125 ? 125 : len); break;
        case 2: case 3: case 4:
            add_frame(s, open ? CONTINUATION : random_below(2) ? TEXT : BINARY, text, len / 2);
            open = 1;
            if (random_below(2)) add_frame(s, FIN | CONTINUATION, text, len), open = 0;
            break;
        case 5: add_frame(s, FIN | BINARY, text, len); break;
        case 6: add_words(s, FIN | TEXT, words[random_below(random_below(4) ? 5 : 1)]); break;
        default: add_frame(s, FIN | TEXT, text, len);
        }
    }
    if (break_one == 1) add_frame(s, (int)random_below(256), text, random_below(140));
    if (break_one == 2) add_close(s, (int)(1000 + random_below(20)), "why");
    for (size_t i = 0; i < sizeof junk; i++) junk[i] = (unsigned char)random_bits();
    if (break_one == 3) add(s, junk, 1 + random_below(sizeof junk));
    if (break_one) add_words(s, FIN | TEXT, "after");
}

static void generated(void) {
    script *s = (script *)calloc(1, sizeof *s);
    int many = few() ? 3 : getenv("TEST_FULL") ? 1000 : 50;
    TEST("generated requests, in any cut") {
        for (int i = 0; i < many; i++) {
            char name[32];
            snprintf(name, sizeof name, "requests %d", i);
            random_state = 0x1234567u + (uint64_t)i * 7919;
            s->len = 0;
            for (size_t n = 1 + random_below(4); n > 0; n--) random_request(s);
            if (random_below(3) == 0)
                add_text(s, HANDSHAKE("/echo/x") "\r\n"), random_frames(s, 2, 0);
            cut_up(name, s->bytes, s->len, 0);
        }
    }
    TEST("generated frames, in any cut") {
        for (int i = 0; i < 2 * many; i++) {
            char name[32];
            snprintf(name, sizeof name, "frames %d", i);
            random_state = 0x7654321u + (uint64_t)i * 104729;
            size_t fixed = begin_channel(s);
            random_frames(s, 1 + (int)random_below(12), (int)random_below(6));
            cut_up(name, s->bytes, s->len, fixed);
        }
    }
    free(s);
}

int main(int argc, char **argv) {
    test_start(argc, argv);
    TEST("a server can be made without sockets") make_server();
    if (!server) return test_end();
    as_recorded();
    frames();
    generated();
    TEST("no memory is left") {
        CHECK_INT(azc_destroy(server), AZC_OK);
        CHECK_INT(memory.bytes, 0);
        CHECK_INT(memory.blocks, 0);
    }
    tape_clear(&whole.calls), tape_clear(&whole.output);
    tape_clear(&cut.calls), tape_clear(&cut.output);
    printf("test_all_cuts: %ld cuts of %ld conversations\n", ways, conversations);
    return test_end();
}
