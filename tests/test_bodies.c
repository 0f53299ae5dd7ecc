/* BODIES over real sockets: bodies whole and in parts, forms, methods, and what is refused. */
#define AZCHAN_IMPLEMENTATION
#include "../azchan.h"
#include "test.h"
#include "requests.h"

/* ---- A server with endpoints ----------------------------------------------------------------- */

#define HOST " HTTP/1.1\r\nHost: a\r\n"
#define TE "Transfer-Encoding: chunked\r\n"
#define FORM "Content-Type: application/x-www-form-urlencoded\r\n"

/* Notes what it got, and answers with the body, or as ?do= asks. */
static int echo(azc_conn *conn, void *user) {
    size_t len = 77;
    const char *body = azc_body(conn, &len), *what = azc_query(conn, "do");
    if (!CHECK(body != NULL)) return 500;
    CHECK_INT(body[len], 0);
    CHECK(azc_body(conn, NULL) == body);
    CHECK(azc_userdata(conn) == user && azc_data(conn) == NULL && azc_channel_of(conn) == NULL);
    note("%s%s %s %s", user != NULL ? (char *)user : "", azc_method(conn), azc_target(conn),
         word_of(body, len));
    if (what != NULL) return atoi(what);
    return azc_reply(conn, 200, "text/plain", body, len);
}

/* Answers with the fields a, b and c of a form. */
static int form(azc_conn *conn, void *user) {
    (void)user;
    const char *a = azc_form(conn, "a"), *b = azc_form(conn, "b"), *c = azc_form(conn, "c");
    char text[1024];
    size_t len = 7;
    CHECK(azc_body(conn, &len) == NULL && len == 0);
    CHECK(azc_form(conn, NULL) == NULL);
    if (a == NULL && b == NULL && c == NULL) return 400;
    snprintf(text, sizeof text, "%s|%s|%s", a ? a : "-", b ? b : "-", c ? c : "-");
    return azc_reply(conn, 200, "text/plain", text, AZC_NUL);
}

/* What the request says of itself; the same in every part. */
static int request_text(azc_conn *conn, char out[512]) {
    const char *cookie = azc_cookie(conn, "id"), *name = azc_param(conn, "name");
    return snprintf(out, 512, "%s %s %s %s %s %s %s", azc_method(conn), azc_path(conn),
                    azc_target(conn), name ? name : "-", azc_peer(conn),
                    azc_header(conn, "Host"), cookie ? cookie : "-");
}

typedef struct upload {
    int parts;
    unsigned long long bytes, sum;
    char request[512];
} upload;

/* What the last upload was. */
static struct {
    int first, last, lost, parts, answer_at; /* answer_at: the part that answers early; 0: none */
    int tries; /* the lost part tries to answer */
    unsigned long long bytes, sum;
    int reply; /* what the last part returns, 0: azc_reply */
} up;

static azc_conn *latest; /* the connection of the latest part */

static int upload_part(azc_conn *conn, const void *data, size_t len, int flags) {
    const unsigned char *p = (const unsigned char *)data;
    upload *u = (upload *)azc_data(conn);
    char now[512];
    CHECK_STR((const char *)azc_userdata(conn), "up");
    CHECK(azc_channel_of(conn) == NULL);
    CHECK_INT(p[len], 0);
    CHECK((flags & ~(AZC_PART_FIRST | AZC_PART_LAST | AZC_PART_LOST)) == 0);
    request_text(conn, now);
    latest = conn;
    if (flags & AZC_PART_FIRST) {
        CHECK_INT(flags, AZC_PART_FIRST);
        CHECK(len == 0 && u->parts == 0 && u->bytes == 0);
        request_text(conn, u->request);
        up.first++;
    } else {
        CHECK(len > 0 || flags & (AZC_PART_LAST | AZC_PART_LOST));
    }
    CHECK_STR(now, u->request);
    u->parts++, u->bytes += len, up.parts++, up.bytes += len;
    for (size_t i = 0; i < len; i++) u->sum = u->sum * 31 + p[i];
    up.sum = u->sum;
    up.last += (flags & AZC_PART_LAST) != 0;
    if (flags & AZC_PART_LOST) {
        up.lost++;
        CHECK_INT(len, 0);
        if (up.tries) CHECK_INT(azc_reply(conn, 200, NULL, "", 0), AZC_ERR_STATE);
        return 500;
    }
    if (u->parts == up.answer_at) return azc_reply(conn, 202, "text/plain", "early", 5);
    if (!(flags & AZC_PART_LAST)) return AZC_OK;
    if (up.reply) return up.reply < 0 ? AZC_OK : up.reply;
    snprintf(now, sizeof now, "%llu %llu", u->bytes, u->sum);
    return azc_reply(conn, 200, "text/plain", now, AZC_NUL);
}

static int guard(azc_conn *conn, void *user) {
    note("guard");
    (void)user;
    CHECK(azc_path(conn) != NULL);
    azc_cookie(conn, "id");
    azc_reply_header(conn, "X-Guard", "seen");
    return azc_query(conn, "let") != NULL ? 401 : AZC_OK;
}

static int guarding;

/* The server of requests.h, with endpoints. */
static azc_server *bodies(const azc_config *config) {
    azc_server *server = create(config);
    azc_channel_desc d = recorder("/t");
    CHECK((served = azc_add_channel(server, &d)) != NULL);
    d.path = "/both";
    CHECK(azc_add_channel(server, &d) != NULL);
    if (guarding) azc_use(server, guard, NULL);
    CHECK_INT(azc_add_page(server, "/", "text/plain", "hello", 5), AZC_OK);
    CHECK_INT(azc_add_page(server, "/both", "text/plain", "both", 4), AZC_OK);
    CHECK_INT(azc_add_endpoint(server, "GET", "/do", answering, NULL), AZC_OK);
    CHECK_INT(azc_add_endpoint(server, "POST", "/do", echo, NULL), AZC_OK);
    CHECK_INT(azc_add_endpoint(server, "PATCH", "/do", echo, letter(0)), AZC_OK);
    CHECK_INT(azc_add_endpoint(server, "PUT", "/only", echo, letter(1)), AZC_OK);
    CHECK_INT(azc_add_endpoint(server, "DELETE", "/only", echo, letter(2)), AZC_OK);
    CHECK_INT(azc_add_endpoint(server, "POST", "/both", echo, NULL), AZC_OK);
    CHECK_INT(azc_add_endpoint(server, "POST", "/form", form, NULL), AZC_OK);
    CHECK_INT(azc_add_upload(server, "PUT", "/up/:name", upload_part, sizeof(upload), (void *)"up"),
              AZC_OK);
    CHECK_INT(azc_add_upload(server, "POST", "/up/:name", upload_part, sizeof(upload),
                             (void *)"up"), AZC_OK);
    memset(&up, 0, sizeof up);
    listening(server);
    return server;
}

static azc_config small(int fixed) {
    azc_config c = limits(fixed);
    c.max_body = 3000, c.max_data = sizeof(upload);
    fix(&c, fixed);
    return c;
}

/* Send a request; its answer is in got. Returns the status. */
static int ask_on(client *c, const char *request) {
    client_send(c, request, strlen(request));
    return client_answer(c, &got);
}

/* ---- Whole bodies ---------------------------------------------------------------------------- */

static void whole(void) {
    TEST("a body by its length, chunked, or none, reaches the handler; the connection goes on") {
        for (int fixed = 0; fixed < 2; fixed++) {
            azc_config config = small(fixed);
            azc_server *server = bodies(&config);
            client *c = client_open(server);
            CHECK_INT(ask_on(c, "POST /do" HOST "Content-Length: 5\r\n\r\nhello"), 200);
            CHECK_STR(got.body, "hello");
            CHECK_INT(ask_on(c, "PATCH /do?x" HOST "Transfer-Encoding: Chunked\r\n\r\n"
                                "5\r\nhello\r\n1;x=y\r\n!\r\n0\r\nX: y\r\n\r\n"), 200);
            CHECK_STR(got.body, "hello!");
            CHECK_INT(ask_on(c, "PUT /only" HOST "Content-Length: 0\r\n\r\n"), 200);
            CHECK_INT(got.len, 0);
            CHECK_INT(ask_on(c, "DELETE /only" HOST "\r\n"), 200);
            CHECK_INT(ask_on(c, "POST /both" HOST TE "\r\n0\r\n\r\n"), 200);
            CHECK_INT(ask_on(c, "GET /do" HOST "\r\n"), 200);
            CHECK_STR(got.body, "/do");
            EXPECT_EVENTS("POST /do hello; aPATCH /do?x hello!; bPUT /only ; cDELETE /only ; "
                          "POST /both ; GET /do; ");
            EXPECT_SILENCE(c);
            finish(server);
        }
    }
    TEST("a status of the handler is the answer; errors and Connection: close end the connection") {
        azc_server *server = bodies(NULL);
        client *c = client_open(server);
        CHECK_INT(ask_on(c, "POST /do?do=204" HOST "Content-Length: 2\r\n\r\nok"), 204);
        CHECK_INT(ask_on(c, "POST /do?do=201" HOST "Content-Length: 2\r\n\r\nok"), 201);
        CHECK_INT(ask_on(c, "POST /do?do=409" HOST "Content-Length: 2\r\n\r\nokGET / HTTP/1.1"),
                  409);
        EXPECT_EOF(c);
        CHECK_INT(ask_last(server, "POST /do" HOST "Connection: close\r\nContent-Length: 2\r\n\r\n"
                                   "ok"), 200);
        CHECK_INT(ask_last(server, "POST /do HTTP/1.0\r\nContent-Length: 2\r\n\r\nok"), 200);
        tape_clear(&log_lines);
        CHECK_INT(ask_last(server, "POST /do?do=0" HOST "Content-Length: 2\r\n\r\nok"), 500);
        CHECK_INT(logged("the endpoint returned AZC_OK without azc_reply"), 1);
        CHECK_INT(ask_last(server, "POST /do?do=-11" HOST "\r\n"), 500);
        CHECK_INT(logged("the endpoint's handler returned -11: not valid JSON"), 1);
        finish(server);
    }
    TEST("in every cut and byte by byte, pipelined between other requests, a body is the same") {
        static const char all[] =
            "\r\nPOST /do?1" HOST "Content-Length: 5\r\n\r\nhello"
            "GET /do?2" HOST "\r\n"
            "POST /do?3" HOST TE "\r\n3\r\nabc\r\n02;x\r\nde\r\n0\r\nA:b\r\n\r\n"
            "PUT /up/n" HOST "Transfer-Encoding: chunked\r\n\r\n1\r\nx\r\n2\r\nyz\r\n0\r\n\r\n"
            "POST /up/m" HOST "Content-Length: 3\r\n\r\nxyz"
            "DELETE /only" HOST "\r\n";
        for (int fixed = 0; fixed < 2; fixed++) {
            azc_config config = small(fixed);
            azc_server *server = bodies(&config);
            size_t n = sizeof all - 1;
            for (size_t cut = 0; cut < n; cut += fixed ? 7 : 1) {
                client *c = client_open(server);
                if (cut == 0) client_drip(c, all, n);
                else client_send(c, all, cut), settle(server), client_send(c, all + cut, n - cut);
                CHECK_INT(client_answer(c, &got), 200);
                CHECK_STR(got.body, "hello");
                CHECK_INT(client_answer(c, &got), 200);
                CHECK_INT(client_answer(c, &got), 200);
                CHECK_STR(got.body, "abcde");
                for (int i = 0; i < 2; i++) {
                    CHECK_INT(client_answer(c, &got), 200);
                    CHECK_STR(got.body, "3 119193");
                }
                CHECK_INT(client_answer(c, &got), 200);
                EXPECT_EVENTS("POST /do?1 hello; GET /do?2; POST /do?3 abcde; cDELETE /only ; ");
                EXPECT_SILENCE(c);
                client_close(c);
            }
            CHECK_INT(up.lost, 0);
            CHECK_INT(up.first, up.last);
            finish(server);
        }
    }
    TEST("max_body is what a handler gets; beyond it 413, before the body is read") {
        for (int fixed = 0; fixed < 2; fixed++) {
            azc_config config = small(fixed);
            azc_server *server = bodies(&config);
            char text[8192];
            memset(text, 'x', sizeof text);
            for (int chunks = 0; chunks < 2; chunks++) {
                client *c = client_open(server);
                client_print(c, chunks ? "POST /do" HOST "Transfer-Encoding: chunked\r\n\r\nbb8\r\n"
                                       : "POST /do" HOST "Content-Length: 3000\r\n\r\n");
                client_send(c, text, 3000);
                if (chunks) client_print(c, "\r\n0\r\n\r\n");
                CHECK_INT(client_answer(c, &got), 200);
                CHECK_INT(got.len, 3000);
                client_close(c);
                c = client_open(server);
                client_print(c, chunks ? "POST /do" HOST "Transfer-Encoding: chunked\r\n\r\nbb9\r\n"
                                       : "POST /do" HOST "Content-Length: 3001\r\n\r\n");
                CHECK_INT(client_answer(c, &got), 413);
                EXPECT_EOF(c);
                client_close(c);
            }
            tape_clear(&events);
            client *c = client_open(server);
            client_print(c, "POST /do" HOST "Transfer-Encoding: chunked\r\n\r\n");
            for (int i = 0; i < 30; i++) client_print(c, "64\r\n%.100s\r\n", text);
            EXPECT_SILENCE(c);
            client_print(c, "1\r\nx");
            CHECK_INT(client_answer(c, &got), 413);
            EXPECT_EOF(c);
            CHECK_INT(logged("a body over max_body"), 3);
            EXPECT_EVENTS("");
            finish(server);
        }
    }
    TEST("an announced body allocates nothing; memory follows the bytes") {
        azc_config config = quick();
        config.max_body = 100 << 20;
        azc_server *server = bodies(&config);
        client *c = client_open(server);
        client_print(c, "GET / HTTP/1.1\r\nHost: a\r\n\r\n");
        client_answer(c, &got);
        size_t before = memory.peak = memory.bytes;
        client_print(c, "POST /do" HOST "Content-Length: 99999999\r\n\r\nabc");
        settle(server);
        client *d = client_open(server);
        client_print(d, "POST /do" HOST "Transfer-Encoding: chunked\r\n\r\nfffff\r\nabc");
        settle(server);
        CHECK(memory.peak - before < 16 << 10);
        finish(server);
    }
    TEST("the default of max_body is 64 KiB, and 1 MB of max_body arrives whole") {
        static char big[1 << 20];
        memset(big, 'm', sizeof big);
        for (int large = 0; large < 2; large++) {
            azc_config config = quick();
            if (large) config.max_body = sizeof big;
            config.max_backlog = 4 << 20;
            size_t n = large ? sizeof big : 64 << 10;
            azc_server *server = bodies(&config);
            client *c = client_open(server);
            client_print(c, "POST /do" HOST "Content-Length: %lu\r\n\r\n", (unsigned long)n);
            client_send(c, big, n);
            CHECK_INT(client_answer(c, &got), 200);
            CHECK(got.len == n && memcmp(got.body, big, n) == 0);
            client_print(c, "POST /do" HOST "Content-Length: %lu\r\n\r\n", (unsigned long)n + 1);
            CHECK_INT(client_answer(c, &got), 413);
            finish(server);
        }
    }
    TEST("requests of two connections do not mix, whose bodies come at once") {
        guarding = 1; /* it splits the cookies */
        azc_server *server = bodies(NULL);
        client *c[8];
        for (int i = 0; i < 8; i++) {
            c[i] = client_open(server);
            client_print(c[i], "PUT /up/n%d%%20x?y=%d" HOST "Cookie: id=%d\r\nX: %d\r\n"
                               "Content-Length: 6\r\n\r\n", i, i, i, i);
            settle(server);
        }
        for (int byte = 0; byte < 6; byte++) {
            for (int i = 0; i < 8; i++) client_send(c[i], &"abcdef"[byte], 1), settle(server);
            if (byte < 5) CHECK(azc_method(latest) == NULL && azc_data(latest) == NULL);
            CHECK_INT(ask(server, "GET /do?other=query" HOST "Cookie: id=other; b=c\r\n\r\n"), 200);
        }
        for (int i = 0; i < 8; i++) {
            CHECK_INT(client_answer(c[i], &got), 200);
            CHECK(strncmp(got.body, "6 ", 2) == 0);
        }
        guarding = 0;
        finish(server);
    }
}

/* ---- Random conversations -------------------------------------------------------------------- */

static unsigned random_state = 1;
static size_t below(size_t n) {
    random_state = random_state * 1103515245 + 12345;
    return (random_state >> 8) % n;
}

/* What the answer to a request must be. */
typedef struct want {
    char body[2100];
    size_t len;
    int upload;
} want;

/* A random request, written to p; returns its length. */
static size_t random_request(char *p, want *w) {
    char *at = p;
    int kind = (int)below(5), chunks = (int)below(2);
    memset(w, 0, sizeof *w);
    if (kind == 0) {
        w->len = (size_t)sprintf(w->body, "/do?%u", (unsigned)below(9999));
        return (size_t)sprintf(p, "GET %s" HOST "\r\n", w->body);
    }
    w->upload = kind > 2;
    w->len = below(3) == 0 ? below(2000) : below(20);
    for (size_t i = 0; i < w->len; i++) w->body[i] = "\r\n0;:G1 "[below(8)];
    at += sprintf(at, "%s" HOST, w->upload ? "PUT /up/x" : "POST /do");
    if (!chunks) {
        at += sprintf(at, "Content-Length: %lu\r\n\r\n", (unsigned long)w->len);
        memcpy(at, w->body, w->len);
        return (size_t)(at - p) + w->len;
    }
    at += sprintf(at, TE "\r\n");
    for (size_t i = 0, n; i < w->len; i += n) {
        n = 1 + below(w->len - i < 500 ? w->len - i : 500);
        at += sprintf(at, below(2) ? "%lx\r\n" : "0%lX;x=y\r\n", (unsigned long)n);
        memcpy(at, w->body + i, n), at += n;
        at += sprintf(at, "\r\n");
    }
    return (size_t)(at - p) + (size_t)sprintf(at, below(2) ? "0\r\n\r\n" : "00\r\nA: b\r\n\r\n");
}

static void conversations(void) {
    TEST("random requests in random pieces get their answers, in order, and nothing else") {
        static char all[200000], text[64];
        static want wants[12];
        for (int fixed = 0; fixed < 2; fixed++) {
            azc_config config = small(fixed);
            if (fixed) config.max_request = 512, fix(&config, fixed);
            azc_server *server = bodies(&config);
            for (int round = 0; round < 150; round++) {
                size_t n = 0, count = 1 + below(12), most = 1 + below(round % 3 ? 6000 : 30);
                for (size_t i = 0; i < count; i++) n += random_request(all + n, &wants[i]);
                client *c = client_open(server);
                for (size_t at = 0, piece; at < n; at += piece) {
                    piece = 1 + below(most);
                    if (piece > n - at) piece = n - at;
                    client_send(c, all + at, piece);
                    if (below(2)) azc_poll(server, 0);
                }
                int good = 1;
                for (size_t i = 0; i < count && good; i++) {
                    good = CHECK_INT(client_answer(c, &got), 200);
                    unsigned long long sum = 0;
                    for (size_t j = 0; j < wants[i].len; j++)
                        sum = sum * 31 + (unsigned char)wants[i].body[j];
                    sprintf(text, "%lu %llu", (unsigned long)wants[i].len, sum);
                    if (!good) continue;
                    if (wants[i].upload) good = CHECK_STR(got.body, text);
                    else good = CHECK(got.len == wants[i].len &&
                                      memcmp(got.body, wants[i].body, got.len) == 0);
                }
                if (!EXPECT_SILENCE(c) || !good) break;
                client_close(c);
                tape_clear(&events);
            }
            CHECK(up.first == up.last && up.lost == 0 && up.first > 50);
            finish(server);
        }
    }
}

/* ---- Expect ---------------------------------------------------------------------------------- */

#define EXPECTS "Expect: 100-continue\r\n"

static void expect(void) {
    TEST("Expect: 100-continue gets a 100 once the head is accepted, and then the answer") {
        for (int fixed = 0; fixed < 2; fixed++) {
            azc_config config = small(fixed);
            azc_server *server = bodies(&config);
            for (int i = 0; i < 2; i++) {
                client *c = client_open(server);
                client_print(c, "%s" HOST "expect: 100-Continue\r\nContent-Length: 5\r\n\r\n",
                             i ? "PUT /up/x" : "POST /do");
                CHECK_INT(client_answer(c, &got), 100);
                CHECK_STR(got.head, "HTTP/1.1 100 Continue\r\n\r\n");
                EXPECT_SILENCE(c);
                CHECK_INT(ask_on(c, "hello"), 200);
                CHECK_INT(ask_on(c, "GET /" HOST "\r\n"), 200);
                client_print(c, "%s" HOST EXPECTS "Content-Length: 5\r\n\r\nhelloGET /" HOST
                             "\r\n", i ? "PUT /up/x" : "POST /do"); /* it does not wait */
                CHECK_INT(client_answer(c, &got), 100);
                CHECK_INT(client_answer(c, &got), 200);
                if (i == 0) CHECK_STR(got.body, "hello");
                CHECK_INT(client_answer(c, &got), 200);
                client_close(c);
            }
            finish(server);
        }
    }
    TEST("there is no 100 without a body, for HTTP/1.0, or before a refusal") {
        static const struct { const char *request; int status; } none[] = {
            {"POST /do" HOST EXPECTS "\r\n", 200},
            {"POST /do" HOST EXPECTS "Content-Length: 0\r\n\r\n", 200},
            {"POST /do" HOST EXPECTS "Content-Length: 3001\r\n\r\n", 413},
            {"POST /nope" HOST EXPECTS "Content-Length: 3\r\n\r\n", 404},
            {"POST /" HOST EXPECTS "Content-Length: 3\r\n\r\n", 405},
            {"POST /do?let=no" HOST EXPECTS "Content-Length: 3\r\n\r\n", 401},
            {"POST /do" HOST EXPECTS "Origin: http://b\r\nContent-Length: 3\r\n\r\n", 403},
            {"GET /" HOST EXPECTS "Content-Length: 3\r\n\r\n", 413},
        };
        guarding = 1;
        azc_config config = small(0);
        azc_server *server = bodies(&config);
        for (size_t i = 0; i < sizeof none / sizeof *none; i++)
            CHECK_INT(ask(server, none[i].request), none[i].status);
        client *c = client_open(server);
        client_print(c, "POST /do HTTP/1.0\r\n" EXPECTS "Content-Length: 3\r\n\r\n");
        EXPECT_SILENCE(c);
        CHECK_INT(ask_on(c, "abc"), 200);
        up.answer_at = 1;
        CHECK_INT(ask_last(server, "PUT /up/x" HOST EXPECTS "Content-Length: 3\r\n\r\n"), 202);
        guarding = 0;
        finish(server);
    }
    TEST("handlers of azc_use run once, before the body is read, and their fields are kept") {
        guarding = 1;
        azc_server *server = bodies(NULL);
        client *c = client_open(server);
        client_print(c, "POST /do" HOST "Content-Length: 3\r\n\r\n");
        settle(server);
        EXPECT_EVENTS("guard; ");
        CHECK_INT(ask(server, "GET /" HOST "\r\n"), 200);
        CHECK_INT(ask_on(c, "abc"), 200);
        CHECK(answer_has(&got, "X-Guard", "seen"));
        EXPECT_EVENTS("guard; POST /do abc; ");
        CHECK_INT(ask_last(server, "POST /do?let=no" HOST "Content-Length: 30\r\n\r\n"
                                   "GET / HTTP/1.1\r\nHost: a\r\n\r\n"), 401);
        EXPECT_EVENTS("guard; ");
        guarding = 0;
        finish(server);
    }
}

/* ---- Refusals -------------------------------------------------------------------------------- */

#define SMUGGLED "GET /do?smuggled HTTP/1.1\r\nHost: a\r\n\r\n"

static const struct {
    const char *request;
    int status;
    const char *why;
} refused[] = {
    {"POST /do" HOST TE "Content-Length: 3\r\n\r\n0\r\n\r\n", 400, "whose length is ambiguous"},
    {"POST /do" HOST "Content-Length: 3\r\n" TE "\r\nabc", 400, "whose length is ambiguous"},
    {"POST /do" HOST "Content-Length: 3\r\nContent-Length: 3\r\n\r\nabc", 400, "ambiguous"},
    {"POST /do" HOST "Content-Length: 3, 3\r\n\r\nabc", 400, "ambiguous"},
    {"POST /do" HOST "Content-Length: +3\r\n\r\nabc", 400, "ambiguous"},
    {"POST /do" HOST "Content-Length: -3\r\n\r\nabc", 400, "ambiguous"},
    {"POST /do" HOST "Content-Length: 0x3\r\n\r\nabc", 400, "ambiguous"},
    {"POST /do" HOST "Content-Length: 3 3\r\n\r\nabc", 400, "ambiguous"},
    {"POST /do" HOST "Content-Length:\r\n\r\nabc", 400, "ambiguous"},
    {"POST /do" HOST "Content-Length: 99999999999999999999\r\n\r\nabc", 400, "ambiguous"},
    {"POST /do" HOST "Content-Length : 3\r\n\r\nabc", 400, "not \"name: value\""},
    {"POST /do" HOST "Content-Length:\r\n 3\r\n\r\nabc", 400, "not \"name: value\""},
    {"POST /do" HOST "X: a\rContent-Length: 3\r\n\r\nabc", 400, "line end that is not CR LF"},
    {"POST /do" HOST "X: a\nContent-Length: 3\r\n\r\nabc", 400, "line end that is not CR LF"},
    {"POST /do HTTP/1.0\r\n" TE "\r\n0\r\n\r\n", 400, "ambiguous"},
    {"POST /do" HOST "Transfer-Encoding: gzip, chunked\r\n\r\n", 501, "other than chunked"},
    {"POST /do" HOST "Transfer-Encoding: chunked, chunked\r\n\r\n", 501, "other than chunked"},
    {"POST /do" HOST "Transfer-Encoding: identity\r\n\r\n", 501, "other than chunked"},
    {"POST /do" HOST "Transfer-Encoding: xchunked\r\n\r\n", 501, "other than chunked"},
    {"POST /do" HOST "Transfer-Encoding: \"chunked\"\r\n\r\n", 501, "other than chunked"},
    {"POST /do" HOST "Transfer-Encoding:\r\n\r\n", 501, "other than chunked"},
    {"POST /do" HOST TE TE "\r\n0\r\n\r\n", 501, "other than chunked"},
    {"POST /do" HOST TE "\r\n+5\r\nhello\r\n0\r\n\r\n", 400, "RFC 9112 7.1"},
    {"POST /do" HOST TE "\r\n5 \r\nhello\r\n0\r\n\r\n", 400, "RFC 9112 7.1"},
    {"POST /do" HOST TE "\r\n5\nhello\r\n0\r\n\r\n", 400, "RFC 9112 7.1"},
    {"POST /do" HOST TE "\r\n5;a\nb\r\nhello\r\n0\r\n\r\n", 400, "RFC 9112 7.1"},
    {"POST /do" HOST TE "\r\n5\r\nhelloX", 400, "RFC 9112 7.1"},
    {"PUT /up/x" HOST TE "\r\n5\r\nhello\r\n0\r\n folded\r\n\r\n", 400, "RFC 9112 7.1"},
    {"POST /both HTTP/1.1\r\n" UPGRADE "Content-Length: 3\r\n\r\nabc", 400, "not a GET"},
    {"POST /do HTTP/1.1\r\n" UPGRADE "\r\n", 400, "not a GET"},
    {"GET /both HTTP/1.1\r\n" UPGRADE "Content-Length: 3\r\n\r\nabc", 413, "with a body"},
    {"GET /do" HOST "Content-Length: 3\r\n\r\nabc", 413, "with a body"},
    {"GET /do" HOST TE "\r\n0\r\n\r\n", 501, "with a body"},
    {"POST /nope" HOST "Content-Length: 3\r\n\r\nabc", 404, "has this path"},
    {"POST /" HOST "Content-Length: 3\r\n\r\nabc", 405, "a page takes GET and HEAD only"},
    {"PUT /do" HOST "Content-Length: 3\r\n\r\nabc", 405, "a page takes GET and HEAD only"},
    {"GET /only" HOST "\r\n", 405, "with other methods only"},
    {"POST /do?%zz" HOST "Content-Length: 3\r\n\r\nabc", 400, "bad % escape"},
    {"POST /do" HOST "Origin: http://b.example\r\nContent-Length: 3\r\n\r\nabc", 403,
     "the origin \"http://b.example\" is not of Host \"a\": add it to config.origins"},
    {"POST /do" HOST "Origin: null\r\nContent-Length: 3\r\n\r\nabc", 403,
     "add it to config.origins"},
};

static void refusals(void) {
    TEST("what is refused has one answer, one line with the rule, and then the end") {
        for (size_t i = 0; i < sizeof refused / sizeof *refused; i++) {
            for (int drip = 0; drip < 2; drip++) {
                azc_server *server = bodies(NULL);
                client *c = client_open(server);
                char all[1024];
                snprintf(all, sizeof all, "%s" SMUGGLED, refused[i].request);
                if (drip) for (size_t j = 0; j < strlen(all) && client_send(c, all + j, 1); j++)
                    azc_poll(server, 0);
                else client_send(c, all, strlen(all));
                int good = CHECK_INT(client_answer(c, &got), refused[i].status);
                good &= CHECK_INT(count_of(tape_text(&log_lines), "\n"), 1);
                good &= CHECK_INT(logged(refused[i].why), 1);
                good &= EXPECT_EOF(c);
                good &= EXPECT_EVENTS("");
                CHECK_INT(up.lost, up.first);
                if (!good) printf("    number %lu: %s\n%s\n", (unsigned long)i, refused[i].request,
                                  tape_text(&log_lines));
                finish(server);
            }
        }
    }
    TEST("a page of the same origin, or a listed one, may post") {
        azc_config config = quick();
        azc_server *server = bodies(&config);
        CHECK_INT(ask(server, "POST /do" HOST "Origin: http://a\r\n\r\n"), 200);
        finish(server);
        config.origins = "https://b.example";
        server = bodies(&config);
        CHECK_INT(ask(server, "POST /do" HOST "Origin: https://b.example\r\n\r\n"), 200);
        CHECK_INT(ask(server, "POST /do" HOST "Origin: http://a\r\n\r\n"), 403);
        finish(server);
    }
    TEST("405 and OPTIONS list the methods that a path has") {
        static const struct { const char *request; int status; const char *allow; } allowed[] = {
            {"OPTIONS /do" HOST "\r\n", 204, "GET, HEAD, OPTIONS, POST, PATCH"},
            {"PUT /do" HOST "\r\n", 405, "GET, HEAD, OPTIONS, POST, PATCH"},
            {"OPTIONS /only" HOST "\r\n", 204, "OPTIONS, PUT, DELETE"},
            {"HEAD /only" HOST "\r\n", 405, "OPTIONS, PUT, DELETE"},
            {"BREW /only" HOST "\r\n", 405, "OPTIONS, PUT, DELETE"},
            {"OPTIONS /both" HOST "\r\n", 204, "GET, HEAD, OPTIONS, POST"},
            {"DELETE /both" HOST "\r\n", 405, "GET, HEAD, OPTIONS, POST"},
            {"OPTIONS /up/x" HOST "\r\n", 204, "OPTIONS, POST, PUT"},
            {"OPTIONS /" HOST "\r\n", 204, "GET, HEAD, OPTIONS"},
            {"POST /" HOST "\r\n", 405, "GET, HEAD, OPTIONS"},
            {"POST /t" HOST "\r\n", 405, "GET, OPTIONS"},
            {"post /do" HOST "\r\n", 405, "GET, HEAD, OPTIONS, POST, PATCH"},
        };
        azc_server *server = bodies(NULL);
        for (size_t i = 0; i < sizeof allowed / sizeof *allowed; i++) {
            CHECK_INT(ask(server, allowed[i].request), allowed[i].status);
            CHECK_STR(answer_field(&got, "Allow", NULL), allowed[i].allow);
        }
        CHECK_INT(ask(server, "HEAD /do" HOST "\r\n"), 200);
        CHECK(answer_has(&got, "Content-Length", "3"));
        CHECK_INT(ask(server, "GET /both" HOST "\r\n"), 200);
        CHECK_INT(ask(server, "GET /both HTTP/1.1\r\n" UPGRADE "\r\n"), 101);
        finish(server);
    }
}

/* ---- Forms ----------------------------------------------------------------------------------- */

static int ask_form(azc_server *server, const char *type, const char *text, size_t len) {
    client *c = client_open(server);
    client_print(c, "POST /form" HOST "%sContent-Length: %lu\r\n\r\n", type, (unsigned long)len);
    client_send(c, text, len);
    int status = client_answer(c, &got);
    client_close(c);
    return status;
}

static void forms(void) {
    TEST("a form is decoded as a query is; the first of a name counts") {
        static const struct { const char *text, *want; } forms[] = {
            {"a=1&b=2&c=3", "1|2|3"}, {"a=1&a=2", "1|-|-"},
            {"a=x+y%20z&b=%26%3d%2B", "x y z|&=+|-"},
            {"a", "|-|-"}, {"a&b&c", "|||"}, {"&&a=1&&", "1|-|-"}, {"=x&b=1", "-|1|-"},
            {"%61=%C3%A9", "\xc3\xa9|-|-"}, {"x=1&b=a=b", "-|a=b|-"}, {"c=", "-|-|"},
        };
        azc_server *server = bodies(NULL);
        for (size_t i = 0; i < sizeof forms / sizeof *forms; i++) {
            char want[64];
            int n = snprintf(want, sizeof want, "%s", forms[i].want);
            if (strcmp(forms[i].text, "a&b&c") == 0) want[n - 1] = 0; /* "||" */
            CHECK_INT(ask_form(server, FORM, forms[i].text, strlen(forms[i].text)), 200);
            CHECK_STR(got.body, want);
        }
        CHECK_INT(ask_form(server, "Content-Type: Application/X-WWW-form-urlencoded; charset=utf-8"
                                   "\r\n", "b=1", 3), 200);
        CHECK_INT(ask_form(server, FORM, "", 0), 400);
        finish(server);
    }
    TEST("64 fields without a value fit where the body was, and no more are taken") {
        for (int fixed = 0; fixed < 2; fixed++) {
            azc_config config = small(fixed);
            config.max_body = 130;
            fix(&config, fixed);
            azc_server *server = bodies(&config);
            char text[300] = "";
            for (int i = 0; i < 63; i++) strcat(text, "x&");
            strcat(text, "a");
            CHECK_INT(ask_form(server, FORM, text, strlen(text)), 200);
            CHECK_STR(got.body, "|-|-");
            strcat(text, "=123");
            text[0] = '&'; /* an empty one is dropped, and counts */
            CHECK_INT(ask_form(server, FORM, text + 1, strlen(text + 1)), 200);
            CHECK_STR(got.body, "123|-|-");
            memmove(text + 1, text, strlen(text) + 1);
            text[strlen(text) - 4] = 0;
            CHECK_INT(ask_form(server, FORM, text, strlen(text)), 400);
            CHECK_INT(logged("a form of over 64 fields"), 1);
            finish(server);
        }
    }
    TEST("a malformed form, or another type, has no fields, and the log says why") {
        static const struct { const char *type, *text; size_t len; const char *why; } forms[] = {
            {FORM, "a=%zz", 5, "a bad % escape"}, {FORM, "a=%4", 4, "a bad % escape"},
            {FORM, "a=1&b=%", 7, "a bad % escape"}, {FORM, "a=%00", 5, "a NUL"},
            {FORM, "a=1\0&b=2", 8, "a NUL"}, {FORM, "a=\xff", 3, "not in UTF-8"},
            {FORM, "a=1&b=%C3", 9, "not in UTF-8"},
            {"", "a=1", 3, "its Content-Type is not"},
            {"Content-Type: text/plain\r\n", "a=1", 3, "its Content-Type is not"},
            {FORM FORM, "a=1", 3, "its Content-Type is not"},
        };
        for (size_t i = 0; i < sizeof forms / sizeof *forms; i++) {
            azc_server *server = bodies(NULL);
            CHECK_INT(ask_form(server, forms[i].type, forms[i].text, forms[i].len), 400);
            CHECK_INT(logged(forms[i].why), 1);
            finish(server);
        }
    }
    TEST("a form keeps its bytes while it is decoded where it lies, whatever they are") {
        azc_config config = quick();
        azc_server *server = bodies(&config);
        for (int n = 1; n < 400; n += 13) {
            char text[3000] = "", want[1024];
            for (int i = 0; i < n; i++) strcat(text, i % 3 ? "%41" : "+");
            int len = snprintf(want, sizeof want, "-|");
            for (int i = 0; i < n; i++) want[len++] = i % 3 ? 'A' : ' ';
            snprintf(want + len, sizeof want - (size_t)len, "|");
            memmove(text + 4, text, strlen(text) + 1), memcpy(text, "c&b=", 4);
            CHECK_INT(ask_form(server, FORM, text, strlen(text)), 200);
            CHECK_STR(got.body, want);
        }
        finish(server);
    }
}

/* ---- Uploads --------------------------------------------------------------------------------- */

static void uploads(void) {
    TEST("a large upload arrives in parts, in flat memory, by length and chunked") {
        for (int fixed = 0; fixed < 2; fixed++) {
            for (int chunks = 0; chunks < 2; chunks++) {
                static char piece[10000];
                azc_config config = small(fixed);
                azc_server *server = bodies(&config);
                client *c = client_open(server);
                for (size_t i = 0; i < sizeof piece; i++) piece[i] = (char)(i * i >> 3);
                unsigned long long sum = 0;
                client_print(c, chunks ? "PUT /up/big" HOST TE "\r\n"
                                       : "PUT /up/big" HOST "Content-Length: 8000000\r\n\r\n");
                settle(server);
                size_t before = memory.peak = memory.bytes;
                for (int i = 0; i < 800; i++) {
                    if (chunks) client_print(c, "%x\r\n", (unsigned)sizeof piece);
                    client_send(c, piece, sizeof piece);
                    if (chunks) client_print(c, "\r\n");
                    for (size_t j = 0; j < sizeof piece; j++)
                        sum = sum * 31 + (unsigned char)piece[j];
                }
                if (chunks) client_print(c, "0\r\n\r\n");
                CHECK_INT(client_answer(c, &got), 200);
                CHECK(memory.peak - before <= 1024); /* the answer */
                CHECK(up.bytes == 8000000 && up.sum == sum);
                CHECK(up.first == 1 && up.last == 1 && up.lost == 0 && up.parts > 100);
                CHECK_INT(ask_on(c, "GET /" HOST "\r\n"), 200);
                finish(server);
            }
        }
    }
    TEST("many small chunks of one read are one part") {
        azc_server *server = bodies(NULL);
        client *c = client_open(server);
        char all[8000] = "PUT /up/x" HOST TE "\r\n";
        for (int i = 0; i < 1000; i++) strcat(all, "1\r\nx\r\n");
        strcat(all, "0\r\n\r\n");
        CHECK_INT(ask_on(c, all), 200);
        CHECK(up.bytes == 1000 && up.last == 1 && up.parts < 10);
        finish(server);
    }
    TEST("an empty body is a first and a last part") {
        azc_server *server = bodies(NULL);
        client *c = client_open(server);
        CHECK_INT(ask_on(c, "PUT /up/x" HOST "\r\n"), 200);
        CHECK_INT(ask_on(c, "POST /up/x" HOST TE "\r\n0\r\n\r\n"), 200);
        CHECK(up.first == 2 && up.last == 2 && up.parts == 4 && up.lost == 0);
        finish(server);
    }
    TEST("a part may answer: then no other comes, and the connection ends behind the answer") {
        for (int at = 1; at < 4; at++) {
            for (int reply = 0; reply < 2; reply++) {
                azc_server *server = bodies(NULL);
                client *c = client_open(server);
                up.answer_at = at;
                client_print(c, "PUT /up/x" HOST "Content-Length: 100\r\n\r\n");
                for (int i = 1; i < at; i++) {
                    settle(server);
                    client_print(c, "%d", i);
                }
                settle(server);
                client_print(c, SMUGGLED);
                CHECK_INT(client_answer(c, &got), 202);
                CHECK(answer_has(&got, "Connection", "close"));
                EXPECT_EOF(c);
                CHECK(up.parts == at && up.lost == 0 && up.last == 0);
                EXPECT_EVENTS("");
                finish(server);
            }
        }
    }
    TEST("the last part must answer, with a status or azc_reply") {
        azc_server *server = bodies(NULL);
        up.reply = 204;
        client *c = client_open(server);
        CHECK_INT(ask_on(c, "PUT /up/x" HOST "Content-Length: 3\r\n\r\nabc"), 204);
        up.reply = 507;
        CHECK_INT(ask_on(c, "PUT /up/x" HOST "Content-Length: 3\r\n\r\nabc"), 507);
        EXPECT_EOF(c);
        CHECK_INT(logged("on_part returned 507"), 1);
        up.reply = -1;
        CHECK_INT(ask_last(server, "PUT /up/x" HOST "Content-Length: 3\r\n\r\nabc"), 500);
        CHECK_INT(logged("the endpoint returned AZC_OK without azc_reply"), 1);
        CHECK(up.last == 3 && up.lost == 0);
        finish(server);
    }
    TEST("an upload that breaks off is lost once: the peer leaves, breaks a rule, or we stop") {
        for (int how = 0; how < 6; how++) {
            azc_server *server = bodies(NULL);
            client *c = client_open(server);
            client_print(c, "PUT /up/x" HOST TE "\r\n5\r\nhe");
            up.tries = 1;
            settle(server);
            CHECK(up.first == 1 && up.parts == 2 && up.lost == 0);
            if (how == 0) client_close(c);
            if (how == 1) client_reset(c);
            if (how == 2) shutdown(c->fd, SHUT_WR);
            if (how == 3) client_print(c, "lloX");
            if (how == 4) azc_stop(server);
            if (how == 5) azc_destroy(server);
            else pump_until(server, up.lost > 0);
            CHECK(up.lost == 1 && up.last == 0 && up.first == 1);
            if (how != 5) finish(server);
            else client_close(c), finish(NULL);
            CHECK_INT(up.lost, 1);
        }
    }
}

/* ---- Life ------------------------------------------------------------------------------------ */

static int look_connect(azc_conn *conn) {
    note("%s %s %s %s", azc_method(conn), azc_path(conn), azc_header(conn, "Host"),
         azc_cookie(conn, "id"));
    CHECK_INT(azc_reply_header(conn, "X", "y"), AZC_ERR_STATE);
    CHECK(azc_body(conn, NULL) != NULL && azc_form(conn, "a") == NULL);
    return AZC_OK;
}
static int look_message(azc_conn *conn, const char *text, size_t len) {
    (void)text, (void)len;
    CHECK(azc_header(conn, "Host") == NULL && azc_body(conn, NULL) == NULL);
    note("message");
    return AZC_OK;
}

static void life(void) {
    TEST("a body that trickles gets 408, a steady one arrives in many times handshake_ms") {
        for (int whole = 0; whole < 2; whole++) {
            azc_config config = quick();
            config.handshake_ms = 100;
            azc_server *server = bodies(&config);
            client *c = client_open(server);
            const char *target = whole ? "POST /do" : "PUT /up/x";
            client_print(c, "%s" HOST "Content-Length: 4000\r\n\r\n", target);
            for (long long end = now_ms() + 1000, next = 0; now_ms() < end; azc_poll(server, 1)) {
                if (now_ms() < next) continue;
                client_print(c, "12345678901234567890"); /* 2000 bytes a second */
                next = now_ms() + 10;
            }
            EXPECT_SILENCE(c);
            CHECK_INT(azc_stats(server)->connections, 1);
            long long began = now_ms();
            while (c->len == 0 && !c->eof && now_ms() < began + 2000) {
                client_print(c, "x");
                pump(server, 10);
                client_fill(c);
            }
            CHECK(now_ms() - began < 1000);
            CHECK_INT(client_answer(c, &got), 408);
            EXPECT_EOF(c);
            CHECK_INT(logged("its body made no progress within handshake_ms"), 1);
            CHECK_INT(up.lost, !whole);
            finish(server);
        }
    }
    TEST("an upload keeps its place when newcomers come to a full server") {
        azc_config config = quick();
        config.max_connections = 2;
        azc_server *server = bodies(&config);
        client *c = client_open(server);
        client_print(c, "PUT /up/x" HOST "Content-Length: 6\r\n\r\nabc");
        settle(server);
        for (int i = 0; i < 5; i++) CHECK_INT(ask(server, "GET /" HOST "\r\n"), 200);
        CHECK_INT(up.lost, 0);
        CHECK_INT(ask_on(c, "def"), 200);
        finish(server);
    }
    TEST("azc_shutdown waits for a body, and the connection ends behind the answer") {
        azc_server *server = bodies(NULL);
        client *c = client_open(server);
        client_print(c, "POST /do" HOST "Content-Length: 6\r\n\r\nabc");
        settle(server);
        azc_shutdown(server, 60000);
        pump(server, 20);
        CHECK_INT(ask_on(c, "def"), 200);
        CHECK(answer_has(&got, "Connection", "close"));
        EXPECT_EOF(c);
        finish(server);
    }
    TEST("a peer that posts and reads nothing holds what it may, and is answered later") {
        for (int fixed = 0; fixed < 2; fixed++) {
            azc_config config = small(fixed);
            azc_server *server = bodies(&config);
            client *c = client_open_to(server, "127.0.0.1", azc_port(server), 1);
            static char one[4096];
            size_t n = (size_t)sprintf(one, "POST /do" HOST "Content-Length: 3000\r\n\r\n");
            memset(one + n, 'x', 3000), n += 3000;
            settle(server);
            size_t before = memory.peak = memory.bytes;
            int asked = 0;
            for (int i = 0; i < 2000; i++, asked++) {
                long sent = client_send_some(c, one, n);
                if (sent < (long)n) {
                    if (sent > 0) client_send(c, one + sent, n - (size_t)sent), asked++;
                    break;
                }
                azc_poll(server, 0);
            }
            settle(server);
            CHECK(asked > 50);
            CHECK(memory.peak - before < 400 << 10);
            int answered = 0;
            while (answered < asked && client_answer(c, &got) == 200 && got.len == 3000) answered++;
            CHECK_INT(answered, asked);
            EXPECT_SILENCE(c);
            finish(server);
        }
    }
    TEST("behind a long body no more is read than can be kept") {
        azc_config config = small(1);
        config.max_request = 512, config.max_message = 500, config.read_buffer = 16 << 10;
        fix(&config, 1);
        azc_server *server = bodies(&config);
        client *c = client_open(server);
        char all[16000];
        int n = sprintf(all, "POST /do" HOST "Content-Length: 2500\r\n\r\n");
        memset(all + n, 'x', 2500), n += 2500;
        for (int i = 0; i < 200; i++) n += sprintf(all + n, "GET /do?%d" HOST "\r\n", i);
        client_send(c, all, (size_t)n);
        CHECK_INT(client_answer(c, &got), 200);
        int answered = 0;
        while (answered < 200 && client_answer(c, &got) == 200) answered++;
        CHECK_INT(answered, 200);
        EXPECT_SILENCE(c);
        finish(server);
    }
    TEST("in fixed memory every connection may have a body and a form at once") {
        for (size_t max_body = 1; max_body < 20000; max_body = max_body * 3 + 1) {
            azc_config config = small(1);
            config.max_body = max_body;
            fix(&config, 1);
            azc_server *server = bodies(&config);
            client *c[12];
            static char text[20000];
            memset(text, 'x', sizeof text), text[0] = 'a', text[1] = '=';
            for (int i = 0; i < 12; i++) {
                c[i] = client_open(server);
                client_print(c[i], "POST /form?%0*d" HOST FORM "Content-Length: %lu\r\n\r\n",
                             i * 600, i, (unsigned long)max_body);
                client_send(c[i], text, max_body - 1);
                settle(server);
            }
            for (int i = 0; i < 12; i++) {
                client_send(c[i], text, 1);
                CHECK_INT(client_answer(c[i], &got), 200);
            }
            finish(server);
        }
    }
    TEST("each failed allocation is a 503, a 500 of the program, or nothing that a peer sees") {
        static const char *const requests[] = {
            "POST /do" HOST EXPECTS "Content-Length: 2000\r\n\r\n",
            "PUT /up/x" HOST EXPECTS "Content-Length: 2000\r\n\r\n",
        };
        char text[2000];
        memset(text, 'x', sizeof text);
        for (int i = 0; i < 4; i++) {
            const char *request = requests[i % 2];
            int failed = 0, done = 0, cut = i < 2; /* else the head comes in one piece */
            for (long nth = 1; nth < 100 && !done; nth++) {
                azc_server *server = bodies(NULL);
                client *c = client_open(server);
                settle(server);
                memory.fail = nth;
                client_send(c, request, strlen(request) - (size_t)cut);
                settle(server);
                if (cut) client_send(c, "\n", 1);
                settle(server);
                for (int j = 0; j < 20; j++) client_send(c, text + 100 * j, 100), settle(server);
                done = memory.fail > 0;
                memory.fail = 0;
                int status = client_answer(c, &got);
                if (status == 100) status = client_answer(c, &got);
                if (!CHECK(status == 200 || status >= 500 || (status == 0 && c->eof)))
                    printf("    %s: %d for allocation %ld, log %s\n", request, status, nth,
                           tape_text(&log_lines));
                failed += status != 200;
                CHECK_INT(up.first, up.last + up.lost);
                if (i % 2 && status == 200) CHECK_INT(up.last, 1);
                CHECK_INT(ask(server, "GET /" HOST "\r\n"), 200);
                finish(server);
            }
            CHECK(done && failed >= 3);
        }
    }
    TEST("behind a trusted proxy the handler sees the visitor, in each part") {
        azc_server *server = create(NULL);
        azc_trust_proxies(server, "127.0.0.1");
        azc_add_upload(server, "PUT", "/up/:name", upload_part, sizeof(upload), (void *)"up");
        azc_add_endpoint(server, "POST", "/peer", peer_handler, NULL);
        memset(&up, 0, sizeof up);
        listening(server);
        client *c = client_open(server);
        client_print(c, "POST /peer" HOST FOR "203.0.113.7\r\nContent-Length: 3\r\n\r\na");
        settle(server);
        CHECK_INT(ask_on(c, "bc"), 200);
        CHECK_STR(got.body, "203.0.113.7");
        client_print(c, "PUT /up/x" HOST FOR "203.0.113.8\r\nContent-Length: 3\r\n\r\na");
        settle(server);
        CHECK_INT(ask_on(c, "bc"), 200);
        CHECK_INT(ask_on(c, "POST /peer" HOST FOR "203.0.113.9\r\n\r\n"), 200);
        CHECK_STR(got.body, "203.0.113.9");
        finish(server);
    }
    TEST("the request can be read in on_connect, and not later") {
        azc_channel_desc d = recorder("/t");
        d.on_connect = look_connect, d.on_message = look_message;
        azc_server *server = serve(NULL, d);
        client *c = client_open(server);
        CHECK_INT(client_upgrade(c, "/t?x", "Cookie: id=7\r\n"), 101);
        client_text(c, "x");
        pump_until(server, count_of(tape_text(&events), ";") == 2);
        EXPECT_EVENTS("GET /t a.example 7; message; ");
        finish(server);
    }
    TEST("an endpoint may broadcast what it got") {
        azc_server *server = bodies(NULL);
        client *c = join_channel(server, "/t");
        EXPECT_EVENTS("connect; ");
        CHECK_INT(ask(server, "POST /do" HOST "Content-Length: 2\r\n\r\nhi"), 200);
        azc_broadcast(served, NULL, "posted", AZC_NUL, NULL);
        EXPECT_TEXT(c, "posted");
        finish(server);
    }
}

/* ---- Whatever a callback does ---------------------------------------------------------------- */

enum { ACTIONS = 13 };
static struct {
    int action, when, ran; /* when: flags of the part, AZC_PART_TEXT for one in the middle */
} torture;

static void post_nothing(azc_server *server, void *arg) { (void)server, (void)arg; }

static void act(azc_conn *conn) {
    azc_server *server = azc_server_of(conn);
    azc_message m;
    memset(&m, 0, sizeof m);
    torture.ran++;
    switch (torture.action) {
    case 0: CHECK_INT(azc_destroy(server), AZC_ERR_STATE); break;
    case 1: CHECK_INT(azc_poll(server, 0), AZC_ERR_STATE); break;
    case 2: azc_stop(server); break;
    case 3: CHECK_INT(azc_shutdown(server, 0), AZC_OK); break;
    case 4: CHECK(azc_send_text(conn, "x", 1) < 0 && azc_send_all(conn, "x", 1) < 0); break;
    case 5: CHECK(azc_join(conn, "r") < 0 && azc_set_user(conn, "u") < 0); break;
    case 6: CHECK(azc_close(conn, 1000, NULL) < 0); break;
    case 7: CHECK_INT(azc_broadcast(served, NULL, "to all", AZC_NUL, NULL), AZC_OK); break;
    case 8: CHECK_INT(azc_post(server, post_nothing, NULL), AZC_OK); break;
    case 9: CHECK(azc_after(server, 0, post_nothing, NULL) != 0); break;
    case 10: CHECK(azc_form(conn, "a") == NULL); break;
    case 11: azc_reply_header(conn, "X", "y"); break;
    case 12:
        for (azc_cursor c = azc_members(served, NULL); azc_cursor_next(&c);)
            azc_close(c.conn, 1000, "posted");
        break;
    }
}

static int act_part(azc_conn *conn, const void *data, size_t len, int flags) {
    (void)data, (void)len;
    if ((flags == 0 && torture.when == AZC_PART_TEXT) || flags & torture.when) act(conn);
    up.first += (flags & AZC_PART_FIRST) != 0;
    up.last += (flags & (AZC_PART_LAST | AZC_PART_LOST)) != 0;
    return flags & AZC_PART_LAST ? 204 : AZC_OK;
}
static int act_handler(azc_conn *conn, void *user) {
    (void)user;
    act(conn);
    return 204;
}

static void tortures(void) {
    static const int when[] = {0, AZC_PART_FIRST, AZC_PART_TEXT, AZC_PART_LAST, AZC_PART_LOST};
    TEST("whatever a handler or a part calls, every upload ends once, and so does the server") {
        for (int n = 0; n < ACTIONS * 5 * 2; n++) {
            int w = n / 2 % 5, leaves = n % 2 || when[w] == AZC_PART_LOST;
            torture.action = n / 10, torture.when = when[w], torture.ran = 0;
            azc_server *server = create(NULL);
            azc_channel_desc d = recorder("/t");
            served = azc_add_channel(server, &d);
            azc_add_endpoint(server, "POST", "/do", act_handler, NULL);
            azc_add_upload(server, "PUT", "/up", act_part, 8, NULL);
            memset(&up, 0, sizeof up);
            listening(server);
            client *member = join_channel(server, "/t"), *c = client_open(server);
            client_print(c, "%s" HOST "Content-Length: 6\r\n\r\nabc", w ? "PUT /up" : "POST /do");
            settle(server);
            if (leaves && when[w] != AZC_PART_LAST && w) {
                client_close(c), c = NULL;
                pump_until(server, up.last == 1);
            } else {
                client_print(c, "def");
                settle(server);
            }
            CHECK(torture.ran <= 1);
            if (torture.action > 3) CHECK_INT(torture.ran, 1);
            for (int i = 0; i < 5; i++) azc_poll(server, 0);
            (void)member;
            finish(server);
            CHECK_INT(up.first, up.last);
        }
        tape_clear(&events);
    }
}

/* ---- Mistakes -------------------------------------------------------------------------------- */

static void mistakes(void) {
    TEST("mistakes of the program are named") {
        static const struct { const char *method, *path; int code; const char *text; } wrong[] = {
            {"post", "/x", AZC_ERR_ARGUMENT, "azc_add_endpoint: method \"post\": must be POST, "
             "PUT, PATCH or DELETE, or GET"},
            {"HEAD", "/x", AZC_ERR_ARGUMENT, "azc_add_endpoint: method \"HEAD\": must be POST, "
             "PUT, PATCH or DELETE, or GET"},
            {"POST", "x", AZC_ERR_PATTERN, "path \"x\": must begin with /"},
            {"POST", "/y", AZC_ERR_CONFLICT, "path \"/y\": another has the same pattern"},
        };
        for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
            azc_server *server = create(NULL);
            CHECK_INT(azc_add_endpoint(server, "POST", "/y", echo, NULL), AZC_OK);
            CHECK_INT(azc_add_endpoint(server, "PUT", "/y", echo, NULL), AZC_OK);
            CHECK_INT(azc_add_endpoint(server, wrong[i].method, wrong[i].path, echo, NULL),
                      wrong[i].code);
            CHECK_STR(azc_error(server), wrong[i].text);
            CHECK_INT(azc_listen(server), wrong[i].code);
            finish(server);
        }
        azc_server *server = create(NULL);
        CHECK_INT(azc_add_endpoint(NULL, "POST", "/y", echo, NULL), AZC_ERR_ARGUMENT);
        CHECK_INT(azc_add_endpoint(NULL, "GET", "/y", echo, NULL), AZC_ERR_ARGUMENT);
        CHECK_INT(azc_add_upload(NULL, "POST", "/y", upload_part, 0, NULL), AZC_ERR_ARGUMENT);
        CHECK_INT(azc_add_endpoint(server, NULL, "/y", echo, NULL), AZC_ERR_ARGUMENT);
        CHECK_INT(azc_add_endpoint(server, "POST", NULL, echo, NULL), AZC_ERR_ARGUMENT);
        CHECK_INT(azc_add_endpoint(server, "POST", "/y", NULL, NULL), AZC_ERR_ARGUMENT);
        CHECK_INT(azc_add_upload(server, "POST", "/y", NULL, 0, NULL), AZC_ERR_ARGUMENT);
        finish(server);
        server = create(NULL);
        CHECK_INT(azc_add_upload(server, "GET", "/y", upload_part, 0, NULL), AZC_ERR_ARGUMENT);
        CHECK_STR(azc_error(server), "azc_add_upload: method \"GET\": must be POST, PUT, PATCH or "
                                     "DELETE");
        CHECK_INT(azc_add_upload(server, "PUT", "/y", upload_part, SIZE_MAX, NULL),
                  AZC_ERR_ARGUMENT);
        CHECK(azc_body(NULL, NULL) == NULL && azc_form(NULL, "a") == NULL);
        finish(server);
        server = bodies(NULL);
        CHECK_INT(azc_add_endpoint(server, "POST", "/late", echo, NULL), AZC_ERR_STATE);
        CHECK_STR(azc_error(server), "azc_add_endpoint: not after azc_listen");
        finish(server);
        azc_config config = quick();
        config.max_body = (size_t)1 << 30;
        server = create(&config);
        CHECK_INT(azc_add_endpoint(server, "POST", "/y", echo, NULL), AZC_ERR_ARGUMENT);
        CHECK_INT(azc_listen(server), AZC_ERR_ARGUMENT);
        CHECK_STR(azc_error(server), "azc_add_endpoint: max_body 1073741824: must be less than "
                                     "1073741824");
        finish(server);
    }
    TEST("in fixed memory max_body and max_data must be set") {
        azc_config config = limits(1);
        fix(&config, 1);
        azc_server *server = create(&config);
        CHECK_INT(azc_add_endpoint(server, "POST", "/y", echo, NULL), AZC_ERR_STATE);
        CHECK_STR(azc_error(server), "azc_add_endpoint: max_body 0: must be set with "
                                     "azc_create_in");
        finish(server);
        size_t without = azc_memory_bound(&config);
        config.max_body = 1000;
        CHECK(azc_memory_bound(&config) > without + 12 * 1000);
        fix(&config, 1);
        server = create(&config);
        CHECK_INT(azc_add_upload(server, "PUT", "/y", upload_part, 65, NULL), AZC_ERR_ARGUMENT);
        CHECK_STR(azc_error(server), "azc_add_upload: data_size 65: at most 64, max_data");
        finish(server);
    }
}

int main(int argc, char **argv) {
    test_start(argc, argv);
    whole();
    conversations();
    expect();
    refusals();
    forms();
    uploads();
    life();
    tortures();
    mistakes();
    tape_clear(&events), tape_clear(&log_lines);
    return test_end();
}
