/* ANSWERS over real sockets: answers that come later or in parts, how long they may take, and what
 * comes behind them on their connection. */
#if defined(__linux__) && !defined(_GNU_SOURCE)
#define _GNU_SOURCE 1
#endif
#include <sys/ioctl.h>
static int kernel_hides;     /* it does not tell what a peer has not acknowledged */
static int kernel_holds;     /* it always has so many bytes on the way */
static const unsigned long long *kernel_sent; /* the peer acknowledges nothing more */
static unsigned long long kernel_acked;
static inline int kernel_ioctl(int fd, unsigned long request, int *value) {
    if (kernel_hides || ioctl(fd, request, value) < 0) return -1;
    *value = kernel_sent ? (int)(*kernel_sent - kernel_acked) : *value + kernel_holds;
    return 0;
}
#define ioctl(fd, request, value) kernel_ioctl(fd, request, value)
#define AZCHAN_IMPLEMENTATION
#include "../azchan.h"
#undef ioctl
#include "test.h"
#include "requests.h"

#define HOST " HTTP/1.1\r\nHost: a\r\n"
#define GET(target) "GET " target HOST "\r\n"

/* ---- A server whose answers take time -------------------------------------------------------- */

/* Requests that wait for azc_reply, oldest first. */
enum { MOST = 64 };
static struct {
    uint64_t ids[MOST];
    int count;
} waiting;

static uint64_t newest(void) { return waiting.count ? waiting.ids[waiting.count - 1] : 0; }
static azc_conn *late(azc_server *server) { return azc_find(server, newest()); }

/* A long answer's source. Its bytes can be told from each other: see byte_at. */
typedef struct feed {
    unsigned long long at, total;
    size_t part;            /* the most bytes of a part */
    int calls, lasts;       /* of more; with room 0 */
    int stop, fail, twice;  /* the call of this number adds nothing; fails; all: end twice */
    int greedy;             /* add parts until there is no room */
    int known, freed;       /* freed: it is on the heap, and its last call frees it */
    size_t largest;         /* room */
    azc_server *server;
} feed;

static unsigned char byte_at(unsigned long long at) {
    return (unsigned char)(at % 251 ^ at / 251 % 13);
}

static feed source;   /* of /parts */
static int in_callback; /* no callback runs inside another */
static int freed;

static int feed_part(azc_conn *conn, feed *f, size_t room) {
    static unsigned char bytes[300 << 10];
    size_t n = f->part < room ? f->part : room;
    if (n > f->total - f->at) n = (size_t)(f->total - f->at);
    for (size_t i = 0; i < n; i++) bytes[i] = byte_at(f->at + i);
    int result = azc_reply_part(conn, bytes, n);
    if (result == AZC_OK) f->at += n; /* f lives until its last call */
    return result;
}

static int feed_more(azc_conn *conn, size_t room, void *userdata) {
    feed *f = (feed *)userdata;
    CHECK_INT(in_callback++, 0);
    f->calls++;
    if (room > f->largest) f->largest = room;
    if (f->known) CHECK(room <= f->total - f->at);
    int result = AZC_OK;
    if (room == 0 && f->at < f->total) {
        f->lasts++;
    } else if (room == 0) {
        f->lasts++;
        CHECK_INT(azc_reply_part(conn, "x", 1) < 0, 1);
    } else if (f->calls == f->fail) {
        result = AZC_ERR_APP;
    } else if (f->calls != f->stop) {
        CHECK_STR(azc_peer(conn), "127.0.0.1");
        do result = feed_part(conn, f, room);
        while (result == AZC_OK && f->greedy && f->at < f->total);
        if (result == AZC_ERR_FULL && f->greedy) result = AZC_OK;
        if (f->at == f->total && !f->known) result = azc_reply_end(conn);
        if (f->at == f->total && f->twice) {
            CHECK_INT(azc_reply_end(conn), AZC_ERR_STATE);
            CHECK_INT(azc_reply_part(conn, "x", 1), AZC_ERR_STATE);
        }
    }
    in_callback--;
    if (room == 0 && f->freed) freed++, free(f);
    return result;
}

/* GET /parts?len=1000: with a Content-Length, or without &known chunked. &part: bytes of a part. */
static int parts(azc_conn *conn, void *user) {
    const char *len = azc_query(conn, "len"), *part = azc_query(conn, "part");
    const char *status = azc_query(conn, "status");
    (void)user;
    memset(&source, 0, sizeof source);
    source.total = len ? strtoull(len, NULL, 10) : 0;
    source.part = part ? (size_t)atoi(part) : 4096;
    source.known = azc_query(conn, "known") != NULL;
    source.stop = azc_query(conn, "stop") ? atoi(azc_query(conn, "stop")) : 0;
    source.fail = azc_query(conn, "fail") ? atoi(azc_query(conn, "fail")) : 0;
    source.greedy = azc_query(conn, "greedy") != NULL;
    source.twice = azc_query(conn, "twice") != NULL;
    feed *f = &source;
    if (azc_query(conn, "heap")) {
        if (!(f = (feed *)malloc(sizeof *f))) abort();
        *f = source, f->freed = 1;
    }
    azc_reply_header(conn, "X-Early", "yes");
    int error = azc_reply_begin(conn, status ? atoi(status) : 200, "text/plain",
                                f->known ? f->total : AZC_CHUNKED, feed_more, f);
    if (error == AZC_OK && azc_find(azc_server_of(conn), azc_id(conn)) == conn)
        waiting.ids[waiting.count++ % MOST] = azc_id(conn);
    if (azc_query(conn, "then")) return atoi(azc_query(conn, "then"));
    return error;
}

static int in_parts; /* answer_later begins an answer in parts */
static int hungry;   /* allocations fail */
static void answer_later(azc_server *server, void *arg) {
    uint64_t *id = (uint64_t *)arg;
    azc_conn *conn = azc_find(server, *id);
    char text[600];
    if (conn == NULL) {
        note("gone");
    } else if (in_parts) {
        CHECK_INT(azc_reply_begin(conn, 200, "text/plain", 3, NULL, NULL), AZC_OK);
        CHECK_INT(azc_reply_part(conn, "on", 2), AZC_OK);
        CHECK_INT(azc_reply_part(conn, "e", 1), AZC_OK);
    } else {
        const char *name = azc_param(conn, "name"), *q = azc_query(conn, "q");
        snprintf(text, sizeof text, "%s %.400s %s %s", azc_peer(conn), azc_target(conn),
                 name ? name : "-", q ? q : "-");
        CHECK(azc_reply(conn, 200, "text/plain", text, AZC_NUL) == AZC_OK || hungry);
    }
    free(id);
}

/* GET /later/:name: answered by the test; with ?soon by a timer. ?then: what the handler
 * returns. */
static int later(azc_conn *conn, void *user) {
    uint64_t id = azc_reply_later(conn), *soon;
    const char *then = azc_query(conn, "then");
    (void)user;
    if (id == 0) return 503;
    CHECK_INT(azc_id(conn), id);
    CHECK(azc_find(azc_server_of(conn), id) == conn);
    CHECK_INT(azc_reply_header(conn, "X-Late", "no"), AZC_ERR_STATE);
    CHECK_INT(azc_reply_later(conn), 0);
    waiting.ids[waiting.count++ % MOST] = id;
    if (azc_query(conn, "soon")) {
        if (!(soon = (uint64_t *)malloc(sizeof *soon))) abort();
        *soon = id;
        if (azc_after(azc_server_of(conn), 0, answer_later, soon) == 0) free(soon), CHECK(hungry);
    }
    return then ? atoi(then) : AZC_OK;
}
static int later_get(azc_conn *conn, void *user) {
    azc_reply_header(conn, "X-Early", "yes");
    return later(conn, user);
}

/* GET /open: parts are added by the test. ?len, else chunked. */
static int open_get(azc_conn *conn, void *user) {
    const char *len = azc_query(conn, "len"), *then = azc_query(conn, "then");
    (void)user;
    int error = azc_reply_begin(conn, 200, "text/event-stream",
                                len ? strtoull(len, NULL, 10) : AZC_CHUNKED, NULL, NULL);
    if (error != AZC_OK) return error;
    waiting.ids[waiting.count++ % MOST] = azc_id(conn);
    return then ? atoi(then) : AZC_OK;
}

/* GET and POST /now: put off, and answered at once. */
static int now_get(azc_conn *conn, void *user) {
    const char *status = azc_query(conn, "status");
    (void)user;
    waiting.ids[waiting.count++ % MOST] = azc_reply_later(conn);
    if (!azc_query(conn, "parts"))
        return azc_reply(conn, status ? atoi(status) : 200, NULL, "now", 3);
    CHECK_INT(azc_reply_begin(conn, 200, NULL, 3, NULL, NULL), AZC_OK);
    return azc_reply_part(conn, "now", 3);
}

/* An upload that is put off in the part that ?at names. */
static int late_part(azc_conn *conn, const void *data, size_t len, int flags) {
    const char *at = azc_query(conn, "at");
    int here = atoi(at ? at : "2"); /* AZC_PART_LAST */
    (void)data;
    if (flags & AZC_PART_LOST) return note("lost"), AZC_OK;
    if (here == 0 ? flags == 0 && len > 0 : flags & here)
        return azc_query(conn, "parts") ? parts(conn, NULL) : later(conn, NULL);
    return AZC_OK;
}

static uint64_t seen; /* azc_id in the latest request, before it is answered */
static int guard(azc_conn *conn, void *user) {
    (void)user;
    seen = azc_id(conn);
    azc_reply_header(conn, "X-Guard", "yes");
    if (azc_query(conn, "guard") != NULL) return later(conn, NULL);
    return azc_query(conn, "guard-parts") != NULL ? parts(conn, NULL) : AZC_OK;
}
static int late_upgrade(azc_conn *conn) {
    if (azc_query(conn, "let")) return AZC_OK;
    azc_set_user(conn, "ada");
    return azc_query(conn, "parts") ? parts(conn, NULL) : later(conn, NULL);
}

static azc_config small(int fixed) {
    azc_config c = limits(fixed);
    c.max_body = 3000;
    if (fixed) c.max_answers = 12, c.max_timers = 20;
    fix(&c, fixed);
    return c;
}

static azc_server *answers(const azc_config *config) {
    azc_server *server = create(config);
    azc_channel_desc d = recorder("/t");
    CHECK((served = azc_add_channel(server, &d)) != NULL);
    d.path = "/late/:name", d.on_upgrade = late_upgrade;
    CHECK(azc_add_channel(server, &d) != NULL);
    azc_use(server, guard, NULL);
    memset(big_bytes, 'b', BIG);
    CHECK_INT(azc_add_page(server, "/", "text/plain", "hello", 5), AZC_OK);
    CHECK_INT(azc_add_page(server, "/big", "text/plain", big_bytes, BIG), AZC_OK);
    CHECK_INT(azc_add_handler(server, "/do", answering, NULL), AZC_OK);
    CHECK_INT(azc_add_handler(server, "/parts", parts, NULL), AZC_OK);
    CHECK_INT(azc_add_handler(server, "/open", open_get, NULL), AZC_OK);
    CHECK_INT(azc_add_handler(server, "/later/:name", later_get, NULL), AZC_OK);
    CHECK_INT(azc_add_handler(server, "/now", now_get, NULL), AZC_OK);
    if (config == NULL || config->max_body > 0 || config->max_answers == 0) {
        CHECK_INT(azc_add_endpoint(server, "POST", "/later/:name", later_get, NULL), AZC_OK);
        CHECK_INT(azc_add_endpoint(server, "POST", "/parts", parts, NULL), AZC_OK);
        CHECK_INT(azc_add_endpoint(server, "POST", "/now", now_get, NULL), AZC_OK);
        CHECK_INT(azc_add_upload(server, "PUT", "/up/:name", late_part, 0, NULL), AZC_OK);
    }
    memset(&waiting, 0, sizeof waiting);
    memset(&source, 0, sizeof source);
    in_callback = in_parts = freed = 0;
    listening(server);
    return server;
}

/* ---- Reading answers in parts ---------------------------------------------------------------- */

/* An answer whose body may be chunked, or end with the connection: then its bytes are in `body`.
 * Returns its status, 0 when none came whole. */
static char body[4 << 20];
static size_t body_len;
static int chunks; /* of the latest answer */

static int take_line(client *c, char *line, size_t size) {
    for (size_t n = 0;;) {
        for (; n + 1 < c->len; n++) {
            if (c->in[n] != '\r') continue;
            if (!CHECK(c->in[n + 1] == '\n' && n < size)) return 0;
            memcpy(line, c->in, n), line[n] = 0;
            client_take(c, n + 2);
            return 1;
        }
        if (!client_await(c, c->len + 1)) return 0;
    }
}

static int take_body(client *c, size_t n) {
    if (!client_await(c, n) || !CHECK(body_len + n <= sizeof body)) return 0;
    memcpy(body + body_len, c->in, n);
    body_len += n;
    client_take(c, n);
    return 1;
}

/* A chunk. Returns its length, -1 if none comes. */
static long take_chunk(client *c) {
    char line[32];
    if (!take_line(c, line, sizeof line)) return -1;
    size_t n = (size_t)strtoul(line, NULL, 16);
    CHECK(line[0] != 0 && line[0] != '0' ? n > 0 : strcmp(line, "0") == 0);
    if (n > 0) chunks++;
    return take_body(c, n) && take_line(c, line, sizeof line) && CHECK(line[0] == 0) ? (long)n : -1;
}

static int take_answer_to(client *c, answer *a, int head_only) {
    int status = client_answer_to(c, a, head_only);
    body_len = 0, chunks = 0;
    if (status == 0 || head_only || status == 204) return status;
    if (answer_has(a, "Transfer-Encoding", "chunked")) {
        long n;
        CHECK(answer_field(a, "Content-Length", NULL) == NULL);
        while ((n = take_chunk(c)) > 0) continue;
        return n == 0 ? status : 0;
    }
    if (answer_field(a, "Content-Length", NULL)) {
        memcpy(body, a->body, a->len), body_len = a->len;
        return status;
    }
    while (client_await(c, 1)) take_body(c, c->len);
    return c->eof == 1 ? status : 0;
}
static int take_answer(client *c, answer *a) { return take_answer_to(c, a, 0); }

/* The body is the first len bytes of a feed. */
static int is_feed(unsigned long long len) {
    if (!CHECK_INT(body_len, len)) return 0;
    for (size_t i = 0; i < body_len; i++) {
        if ((unsigned char)body[i] == byte_at(i)) continue;
        return CHECK_INT(i, len);
    }
    return 1;
}

static int ask_on(client *c, const char *text) {
    client_send(c, text, strlen(text));
    return take_answer(c, &got);
}

/* ---- Later ----------------------------------------------------------------------------------- */

static void laters(void) {
    TEST("an answer comes later, from a timer, another request, a message or a post") {
        for (int fixed = 0; fixed < 2; fixed++) {
            azc_config config = small(fixed);
            azc_server *server = answers(&config);
            client *c = client_open(server);
            CHECK_INT(ask_on(c, GET("/later/x%20y?soon&q=1%2B1")), 200);
            CHECK_STR(got.body, "127.0.0.1 /later/x%20y?soon&q=1%2B1 x y 1+1");
            CHECK(answer_has(&got, "X-Early", "yes") && answer_has(&got, "X-Guard", "yes"));
            CHECK(answer_has(&got, "Content-Type", "text/plain"));
            CHECK(answer_field(&got, "Connection", NULL) == NULL);
            CHECK(azc_find(server, newest()) == NULL);
            client_print(c, GET("/later/y"));
            settle(server);
            CHECK_STR(azc_param(late(server), "name"), "y");
            CHECK(azc_method(late(server)) == NULL && azc_header(late(server), "Host") == NULL);
            CHECK(azc_channel_of(late(server)) == NULL && azc_data(late(server)) == NULL);
            EXPECT_SILENCE(c);
            CHECK_INT(azc_reply(late(server), 202, NULL, "done", 4), AZC_OK);
            CHECK(late(server) == NULL);
            CHECK_INT(take_answer(c, &got), 202);
            CHECK_STR(got.body, "done");
            in_parts = 1;
            CHECK_INT(ask_on(c, GET("/later/z?soon")), 200);
            CHECK_STR(got.body, "one");
            CHECK(answer_has(&got, "X-Early", "yes"));
            EXPECT_SILENCE(c);
            finish(server);
        }
    }
    TEST("a number finds one request, and no other of its connection") {
        azc_server *server = answers(NULL);
        client *c = client_open(server);
        CHECK_INT(ask_on(c, GET("/")), 200);
        uint64_t ids[6], first = seen; /* of an answer that was given at once */
        for (int i = 0; i < 3; i++) {
            client_print(c, GET("/later/x"));
            pump_until(server, waiting.count == i + 1);
            ids[i] = newest();
            for (int j = 0; j < i; j++) CHECK(ids[j] != ids[i] && !azc_find(server, ids[j]));
            CHECK(azc_find(server, first) == NULL && azc_find(server, seen) == NULL);
            CHECK_INT(azc_reply(late(server), 200, NULL, "", 0), AZC_OK);
            CHECK_INT(take_answer(c, &got), 200);
        }
        client_print(c, GET("/open"));
        pump_until(server, waiting.count == 4);
        ids[3] = newest();
        CHECK_INT(azc_reply_end(late(server)), AZC_OK);
        CHECK_INT(take_answer(c, &got), 200);
        CHECK_INT(client_upgrade(c, "/t", ""), 101); /* of another visitor, if this is a proxy's */
        for (int i = 0; i < 4; i++) CHECK(azc_find(server, ids[i]) == NULL);
        CHECK(azc_find(server, azc_id(member_of(served))) == member_of(served));
        finish(server);
    }
    TEST("a handler that fails after azc_reply_later is answered with its status") {
        azc_server *server = answers(NULL);
        client *c = client_open(server);
        CHECK_INT(ask_on(c, GET("/later/x?then=204")), 204);
        CHECK(answer_has(&got, "X-Early", "yes"));
        CHECK(late(server) == NULL);
        CHECK_INT(ask_on(c, GET("/later/x?then=503")), 503);
        CHECK(late(server) == NULL);
        EXPECT_EOF(c);
        CHECK_INT(azc_stats(server)->requests, 2);
        CHECK_INT(azc_stats(server)->refused[103], 1);
        CHECK_INT(ask_last(server, GET("/later/x?then=1")), 500);
        CHECK_INT(ask_last(server, "POST /later/x?then=409" HOST "Content-Length: 1\r\n\r\nx"),
                  409);
        CHECK_INT(ask_last(server, "PUT /up/x?then=409" HOST "Content-Length: 1\r\n\r\nx"), 409);
        CHECK_INT(ask_last(server, GET("/?guard&then=402")), 402);
        CHECK_INT(ask_last(server, "GET /late/x?then=403 HTTP/1.1\r\n" UPGRADE "\r\n"), 403);
        CHECK_INT(azc_stats(server)->requests, 7);
        EXPECT_EVENTS("");
        finish(server);
    }
    TEST("a handler that fails after it has begun drops the connection") {
        azc_server *server = answers(NULL);
        client *c = client_open(server);
        client_print(c, GET("/open?then=500"));
        pump_until(server, waiting.count == 1);
        pump_until(server, azc_stats(server)->connections == 0);
        client_fill(c);
        CHECK(c->eof == 1 && late(server) == NULL);
        CHECK(logged("dropped: the page's handler returned 500"));
        c = client_open(server); /* whole: the result is ignored, as after azc_reply */
        CHECK_INT(ask_on(c, GET("/open?len=0&then=500")), 200);
        CHECK_INT(ask_on(c, GET("/parts?len=0&known&then=500")), 200);
        client_print(c, "HEAD /parts?len=9&then=500" HOST "\r\n");
        CHECK_INT(take_answer_to(c, &got, 1), 200);
        CHECK_INT(ask_on(c, GET("/")), 200);
        finish(server);
    }
    TEST("azc_reply in the handler that has called azc_reply_later is the answer") {
        azc_server *server = answers(NULL);
        client *c = client_open(server);
        CHECK_INT(ask_on(c, GET("/now")), 200);
        CHECK_INT(ask_on(c, GET("/now?parts")), 200);
        CHECK_STR(got.body, "now");
        CHECK_INT(ask_on(c, "POST /now" HOST "Content-Length: 3\r\n\r\nabc"), 200);
        CHECK_INT(azc_stats(server)->requests, 3);
        CHECK_INT(ask_on(c, GET("/now?status=404")), 404);
        EXPECT_EOF(c);
        CHECK_INT(azc_stats(server)->requests, 4);
        CHECK_INT(azc_stats(server)->refused[4], 1);
        CHECK(late(server) == NULL);
        finish(server);
    }
    TEST("an error of azc_reply leaves the request open") {
        azc_config config = small(0);
        azc_server *server = answers(&config);
        client *c = client_open(server);
        client_print(c, GET("/later/x"));
        settle(server);
        azc_conn *conn = late(server);
        static char big[1 << 20];
        CHECK_INT(azc_reply(conn, 200, NULL, big, sizeof big), AZC_ERR_FULL);
        CHECK_INT(azc_reply(conn, 199, NULL, "", 0), AZC_ERR_ARGUMENT);
        CHECK_INT(azc_reply(conn, 200, "a\nb", "", 0), AZC_ERR_ARGUMENT);
        CHECK_INT(azc_reply(conn, 200, NULL, NULL, 1), AZC_ERR_ARGUMENT);
        CHECK_INT(azc_reply_begin(conn, 204, NULL, AZC_CHUNKED, NULL, NULL), AZC_ERR_ARGUMENT);
        CHECK_INT(azc_reply_begin(conn, 600, NULL, AZC_CHUNKED, NULL, NULL), AZC_ERR_ARGUMENT);
        CHECK_INT(azc_reply_begin(conn, 200, "a\nb", AZC_CHUNKED, NULL, NULL), AZC_ERR_ARGUMENT);
        CHECK_INT(azc_reply_part(conn, "x", 1), AZC_ERR_STATE);
        CHECK_STR(azc_error(server), "azc_reply_part: no answer is open: it is whole, or "
                                     "azc_reply_begin was not called");
        CHECK_INT(azc_reply_end(conn), AZC_ERR_STATE);
        CHECK_INT(azc_reply_header(conn, "a", "b"), AZC_ERR_STATE);
        int error = AZC_ERR_MEMORY;
        for (long nth = 1; error == AZC_ERR_MEMORY && nth < 1000; nth++) {
            memory.fail = nth;
            error = azc_reply(conn, 500, "a/b", big, 200 << 10);
            CHECK(nth > 1 || error == AZC_ERR_MEMORY);
            memory.fail = 0;
            if (error != AZC_OK) CHECK(late(server) == conn);
        }
        CHECK_INT(error, AZC_OK);
        CHECK(late(server) == NULL);
        CHECK_INT(take_answer(c, &got), 500);
        CHECK_INT(body_len, 200 << 10);
        CHECK(answer_has(&got, "Content-Type", "a/b") && answer_has(&got, "X-Early", "yes"));
        CHECK(answer_has(&got, "Connection", "close"));
        EXPECT_EOF(c);
        CHECK_INT(azc_stats(server)->requests, 1);
        CHECK_INT(azc_stats(server)->refused[100], 1);
        finish(server);
    }
    TEST("a late answer is logged when it comes, with its request") {
        azc_config config = quick();
        config.log_level = AZC_LOG_WARNING;
        azc_server *server = answers(&config);
        client *c = client_open(server);
        client_print(c, "HEAD /later/x?secret" HOST "\r\n");
        settle(server);
        CHECK_INT(azc_stats(server)->requests, 0);
        tape_clear(&log_lines); /* of mistakes of the handler */
        CHECK_INT(azc_reply(late(server), 404, NULL, "four", 4), AZC_OK);
        CHECK(logged("127.0.0.1 HEAD /later/x 404 ") == 1 && logged("\n") == 1);
        CHECK_INT(client_answer_to(c, &got, 1), 404);
        CHECK(answer_has(&got, "Content-Length", "4"));
        EXPECT_EOF(c);
        c = client_open(server);
        client_print(c, GET("/later/x"));
        settle(server);
        tape_clear(&log_lines);
        CHECK_INT(azc_reply_begin(late(server), 404, NULL, 1000, NULL, NULL), AZC_OK);
        CHECK(logged("127.0.0.1 GET /later/x 404 1") == 1 && logged("\n") == 1);
        CHECK_INT(azc_stats(server)->refused[4], 2);
        CHECK_INT(azc_reply(late(server), 200, NULL, "", 0), AZC_ERR_STATE);
        CHECK_INT(azc_reply_begin(late(server), 200, NULL, 0, NULL, NULL), AZC_ERR_STATE);
        CHECK_INT(azc_reply_end(late(server)), AZC_ERR_STATE);
        CHECK(strstr(azc_error(server), "1000 bytes are missing") != NULL);
        CHECK(late(server) == NULL);
        finish(server);
    }
    TEST("HEAD, HTTP/1.0 and Connection: close get the answers that GET gets") {
        azc_server *server = answers(NULL);
        for (int i = 0; i < 2; i++) { /* HTTP/1.0 needs no Host; 1: in parts */
            in_parts = i;
            CHECK_INT(ask_last(server, "GET /later/x?soon HTTP/1.0\r\n\r\n"), 200);
            CHECK_STR(got.body, i ? "one" : "127.0.0.1 /later/x?soon x -");
            CHECK(answer_has(&got, "Connection", "close"));
            CHECK_INT(ask_last(server, "GET /later/x?soon" HOST "Connection: close\r\n\r\n"), 200);
            CHECK_STR(got.body, i ? "one" : "127.0.0.1 /later/x?soon x -");
            CHECK(answer_has(&got, "Connection", "close"));
        }
        in_parts = 0;
        CHECK_INT(ask(server, "HEAD /later/x?soon" HOST "\r\n"), 200);
        CHECK(answer_has(&got, "Content-Length", "27"));
        for (int i = 0; i < 2; i++) { /* put off, then in parts of unknown length */
            client *c = client_open(server);
            client_print(c, "GET /later/x %s\r\n\r\n", i ? "HTTP/1.1\r\nHost: a" : "HTTP/1.0");
            settle(server);
            CHECK_INT(azc_reply_begin(late(server), 200, NULL, AZC_CHUNKED, NULL, NULL), AZC_OK);
            CHECK_INT(azc_reply_part(late(server), "abc", 3), AZC_OK);
            CHECK_INT(azc_reply_end(late(server)), AZC_OK);
            CHECK_INT(take_answer(c, &got), 200);
            CHECK(body_len == 3 && memcmp(body, "abc", 3) == 0);
            CHECK_INT(answer_has(&got, "Transfer-Encoding", "chunked"), i);
            if (i == 0) EXPECT_EOF(c);
        }
        client *c = client_open(server);
        client_print(c, "HEAD /later/x" HOST "\r\n");
        settle(server);
        CHECK_INT(azc_reply_begin(late(server), 200, NULL, 5, NULL, NULL), AZC_OK);
        CHECK(late(server) == NULL);
        CHECK_INT(take_answer_to(c, &got, 1), 200);
        CHECK(answer_has(&got, "Content-Length", "5"));
        CHECK_INT(ask_on(c, GET("/")), 200);
        client_print(c, GET("/later/x"));
        settle(server);
        CHECK_INT(azc_reply_begin(late(server), 404, NULL, 1, NULL, NULL), AZC_OK);
        CHECK_INT(azc_reply_part(late(server), "x", 1), AZC_OK);
        CHECK_INT(take_answer(c, &got), 404);
        CHECK(answer_has(&got, "Connection", "close"));
        EXPECT_EOF(c);
        finish(server);
    }
    TEST("azc_use, on_upgrade, endpoints and uploads may answer later") {
        static const char *const requests[] = {
            GET("/?guard&soon"), GET("/nowhere?guard&soon"),
            "PURGE /x?guard&soon" HOST "\r\n",
            "POST /later/x?soon" HOST "Content-Length: 3\r\n\r\nabc",
            "POST /later/x?soon" HOST "Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n",
            "POST /later/x?soon" HOST "\r\n",
            "PUT /up/x?soon&at=2" HOST "Content-Length: 3\r\n\r\nabc",
            "PUT /up/x?soon&at=1" HOST "\r\n",
        };
        for (int fixed = 0; fixed < 2; fixed++) {
            azc_config config = small(fixed);
            config.max_data = 0, fix(&config, fixed);
            azc_server *server = answers(&config);
            for (size_t i = 0; i < sizeof requests / sizeof *requests; i++) {
                client *c = client_open(server);
                CHECK_INT(ask_on(c, requests[i]), 200);
                if (i < 7) CHECK_INT(ask_on(c, requests[i]), 200);
                else EXPECT_EOF(c);
                if (i > 2) CHECK(strstr(got.body, " x -") != NULL);
                client_close(c);
            }
            client *c = client_open(server);
            client_print(c, "GET /late/x?soon HTTP/1.1\r\n" UPGRADE "\r\n");
            CHECK_INT(take_answer(c, &got), 200);
            CHECK_STR(got.body, "127.0.0.1 /late/x?soon x -");
            CHECK(azc_count(served, NULL) == 0);
            CHECK_INT(client_upgrade(c, "/late/x?let", ""), 101);
            EXPECT_EVENTS("connect; ");
            CHECK_INT(ask(server, "POST /?guard&soon" HOST "Content-Length: 3\r\n\r\nabc"), 200);
            CHECK(answer_has(&got, "Connection", "close"));
            finish(server);
        }
    }
    TEST("an endpoint that answers later has its own strings, whatever came with its body") {
        azc_server *server = answers(NULL);
        client *a = client_open(server), *b = client_open(server);
        client_print(a, "POST /later/a-long-name?q=and-a-query" HOST "Content-Length: 2\r\n\r\nx");
        settle(server);
        CHECK_INT(ask_on(b, GET("/")), 200);
        client_print(a, "y");
        settle(server);
        CHECK_STR(azc_target(late(server)), "/later/a-long-name?q=and-a-query");
        CHECK_STR(azc_param(late(server), "name"), "a-long-name");
        CHECK_STR(azc_query(late(server), "q"), "and-a-query");
        CHECK_INT(azc_reply(late(server), 200, NULL, "", 0), AZC_OK);
        CHECK_INT(take_answer(a, &got), 200);
        client_print(a, "POST /later/s" HOST "Content-Length: 2\r\n\r\nx");
        settle(server);
        CHECK_INT(ask_on(b, GET("/do?a-target-that-is-much-longer-than-the-others-are=1")), 200);
        size_t before = memory.bytes;
        client_print(a, "y");
        settle(server);
        CHECK(memory.bytes < before); /* the head and the body are freed, and that is more */
        CHECK_STR(azc_param(late(server), "name"), "s");
        finish(server);
    }
    TEST("an upload that is answered before its end ends its connection, and the rest is skipped") {
        azc_server *server = answers(NULL);
        for (int at = 0; at < 2; at++) {
            client *c = client_open(server);
            client_print(c, "PUT /up/x?at=%d" HOST "Content-Length: 100000\r\n\r\nabc", at);
            settle(server);
            CHECK(late(server) != NULL);
            for (int i = 0; i < 50; i++) client_print(c, "%01000d", 0), azc_poll(server, 0);
            EXPECT_SILENCE(c);
            CHECK_INT(azc_reply(late(server), 200, NULL, "enough", 6), AZC_OK);
            CHECK_INT(take_answer(c, &got), 200);
            CHECK(answer_has(&got, "Connection", "close"));
            EXPECT_EOF(c);
            client_close(c);
        }
        EXPECT_EVENTS("");
        finish(server);
    }
}

/* ---- Parts ----------------------------------------------------------------------------------- */

static void in_pieces(void) {
    TEST("an answer in parts has every byte, chunked or of known length, in parts of any size") {
        static const int lens[] = {0, 1, 2, 15, 16, 17, 4095, 4096, 4097, 70000, 1000000};
        static const int sizes[] = {1, 2, 15, 16, 17, 255, 256, 4096, 100000, 300000};
        for (int fixed = 0; fixed < 2; fixed++) {
            azc_config config = small(fixed);
            azc_server *server = answers(&config);
            client *c = client_open(server);
            for (size_t i = 0; i < sizeof lens / sizeof *lens; i++)
                for (size_t j = 0; j < sizeof sizes / sizeof *sizes; j++)
                    for (int known = 0; known < 2; known++) {
                        if (lens[i] > 2000 * sizes[j]) continue;
                        client_print(c, "GET /parts?len=%d&part=%d%s%s" HOST "\r\n", lens[i],
                                     sizes[j], known ? "&known" : "", i % 2 ? "&twice" : "");
                        CHECK_INT(take_answer(c, &got), 200);
                        is_feed((unsigned long long)lens[i]);
                        CHECK(answer_has(&got, "X-Early", "yes"));
                        CHECK(answer_field(&got, "Connection", NULL) == NULL);
                        if (!known && sizes[j] < 200) {
                            CHECK_INT(chunks, (lens[i] + sizes[j] - 1) / sizes[j]);
                        }
                        settle(server);
                        CHECK_INT(source.lasts, 1);
                        CHECK(source.largest <= config.max_backlog || !fixed);
                    }
            EXPECT_SILENCE(c);
            CHECK_INT(ask_on(c, GET("/")), 200);
            finish(server);
        }
    }
    TEST("more is called with room for what azc_reply_part takes, and more than that is refused") {
        for (int fixed = 0; fixed < 2; fixed++) {
            azc_config config = small(fixed);
            azc_server *server = answers(&config);
            client *c = client_open_to(server, "127.0.0.1", azc_port(server), 1);
            client_print(c, GET("/parts?len=2000000&part=1000&greedy"));
            for (int i = 0; i < 200; i++) azc_poll(server, 0);
            size_t most = config.max_backlog ? config.max_backlog : 256 << 10;
            CHECK(azc_backlog(late(server)) <= most + 20);
            CHECK(azc_backlog(late(server)) > (fixed ? 0 : most / 2));
            int calls = source.calls;
            for (int i = 0; i < 20; i++) azc_poll(server, 0);
            CHECK_INT(source.calls, calls); /* it waits */
            CHECK_INT(azc_reply_part(late(server), body, most), AZC_ERR_FULL);
            CHECK_INT(azc_reply_part(late(server), body, most + 1), AZC_ERR_FULL);
            CHECK_INT(take_answer(c, &got), 200);
            is_feed(2000000);
            finish(server);
        }
    }
    TEST("if more adds nothing it is called again after a part that was refused, not before") {
        azc_server *server = answers(NULL);
        client *c = client_open(server);
        client_print(c, GET("/parts?len=6000&part=1000&stop=3"));
        pump(server, 20);
        CHECK_INT(source.calls, 3);
        CHECK_INT(source.at, 2000);
        CHECK(late(server) != NULL);
        CHECK_INT(feed_part(late(server), &source, 1000), AZC_OK); /* from elsewhere */
        pump(server, 20);
        CHECK_INT(source.calls, 3);
        static char big[256 << 10];
        CHECK_INT(azc_reply_part(late(server), "", 0), AZC_OK);
        CHECK_INT(feed_part(late(server), &source, 1000), AZC_OK);
        CHECK_INT(azc_reply_part(late(server), big, sizeof big), AZC_ERR_FULL);
        CHECK_INT(take_answer(c, &got), 200);
        is_feed(6000);
        client_print(c, GET("/parts?len=6000&part=1000&stop=1"));
        pump(server, 20);
        CHECK_INT(source.calls, 1);
        CHECK_INT(azc_reply_part(late(server), body, (256 << 10) + 1), AZC_ERR_FULL); /* never */
        pump(server, 20);
        CHECK_INT(source.calls, 1);
        finish(server);
    }
    TEST("without more, parts come from anywhere; the last byte of a known length is the end") {
        for (int fixed = 0; fixed < 2; fixed++) {
            azc_config config = small(fixed);
            azc_server *server = answers(&config);
            client *c = client_open(server);
            client_print(c, GET("/open?len=10"));
            settle(server);
            CHECK_INT(azc_reply_part(late(server), "12345678901", AZC_NUL), AZC_ERR_ARGUMENT);
            CHECK(strstr(azc_error(server), "len 11: 10 bytes are left") != NULL);
            CHECK_INT(azc_reply_part(late(server), "1", (size_t)-100), AZC_ERR_FULL);
            CHECK_INT(azc_reply_part(late(server), NULL, 1), AZC_ERR_ARGUMENT);
            CHECK_INT(azc_reply_part(NULL, "1", 1), AZC_ERR_ARGUMENT);
            CHECK_INT(azc_reply_end(NULL), AZC_ERR_ARGUMENT);
            CHECK_INT(azc_reply_part(late(server), "12345", AZC_NUL), AZC_OK);
            settle(server);
            CHECK_INT(azc_reply_part(late(server), NULL, 0), AZC_OK);
            CHECK_INT(azc_reply_part(late(server), "123456", 6), AZC_ERR_ARGUMENT);
            CHECK_INT(azc_reply_part(late(server), "67890", 5), AZC_OK);
            CHECK(late(server) == NULL);
            CHECK_INT(take_answer(c, &got), 200);
            CHECK_STR(got.body, "1234567890");
            client_print(c, GET("/open"));
            CHECK_INT(client_answer(c, &got), 200);
            CHECK(answer_has(&got, "Content-Type", "text/event-stream"));
            for (int i = 0; i < 3; i++) {
                body_len = 0;
                CHECK_INT(azc_reply_part(late(server), "data: x\n\n", AZC_NUL), AZC_OK);
                CHECK_INT(take_chunk(c), 9);
                CHECK(memcmp(body, "data: x\n\n", 9) == 0);
                EXPECT_SILENCE(c);
            }
            CHECK_INT(azc_reply_end(late(server)), AZC_OK);
            CHECK_INT(take_chunk(c), 0);
            CHECK_INT(ask_on(c, GET("/")), 200);
            finish(server);
        }
    }
    TEST("HEAD gets the head, and HTTP/1.0 a body that ends with the connection") {
        azc_server *server = answers(NULL);
        client *c = client_open(server);
        for (int known = 0; known < 2; known++) {
            client_print(c, "HEAD /parts?len=900&heap%s" HOST "\r\n", known ? "&known" : "");
            CHECK_INT(take_answer_to(c, &got, 1), 200);
            if (known) CHECK(answer_has(&got, "Content-Length", "900"));
            else CHECK(answer_has(&got, "Transfer-Encoding", "chunked"));
            CHECK_INT(ask_on(c, GET("/")), 200);
            CHECK_INT(freed, known + 1);
        }
        client_print(c, "HEAD /open" HOST "\r\n");
        CHECK_INT(take_answer_to(c, &got, 1), 200);
        CHECK(late(server) == NULL);
        CHECK_INT(ask_on(c, GET("/")), 200);
        c = client_open(server);
        CHECK_INT(ask_on(c, "GET /parts?len=90000 HTTP/1.0\r\n\r\n"), 200);
        is_feed(90000);
        CHECK(answer_has(&got, "Connection", "close"));
        CHECK(answer_field(&got, "Transfer-Encoding", NULL) == NULL);
        CHECK_INT(source.lasts, 1);
        c = client_open(server);
        CHECK_INT(ask_on(c, "GET /parts?len=90000&known HTTP/1.0\r\n\r\n"), 200);
        is_feed(90000);
        CHECK(answer_has(&got, "Content-Length", "90000"));
        EXPECT_EOF(c);
        c = client_open(server);
        CHECK_INT(ask_on(c, "GET /parts?len=90000" HOST "Connection: close\r\n\r\n"), 200);
        is_feed(90000);
        EXPECT_EOF(c);
        c = client_open(server);
        CHECK_INT(ask_on(c, GET("/parts?len=90000&status=404")), 404);
        is_feed(90000);
        CHECK(answer_has(&got, "Connection", "close"));
        EXPECT_EOF(c);
        finish(server);
    }
    TEST("a more that fails drops the connection, and gets its last call") {
        azc_server *server = answers(NULL);
        for (int fail = 1; fail < 4; fail++) {
            client *c = client_open(server);
            client_print(c, "GET /parts?len=9000&part=1000&fail=%d" HOST "\r\n", fail);
            CHECK_INT(take_answer(c, &got), 0);
            CHECK(c->eof == 1);
            CHECK_INT(source.lasts, 1);
            CHECK_INT(logged("127.0.0.1 /parts: dropped: more returned -"), fail);
            client_close(c);
        }
        finish(server);
    }
    TEST("an answer that is ended too early is cut off, so that the peer sees the loss") {
        azc_server *server = answers(NULL);
        client *c = client_open(server);
        client_print(c, GET("/open?len=10"));
        settle(server);
        CHECK_INT(azc_reply_part(late(server), "1234", AZC_NUL), AZC_OK);
        CHECK_INT(azc_reply_end(late(server)), AZC_ERR_STATE);
        CHECK_STR(azc_error(server), "azc_reply_end: 6 bytes are missing of what azc_reply_begin "
                                     "has promised: the connection is dropped");
        CHECK(late(server) == NULL);
        CHECK_INT(take_answer(c, &got), 0);
        CHECK(c->eof);
        c = client_open(server);
        client_print(c, GET("/open"));
        pump(server, 5);
        memory.none = 1;
        CHECK_INT(azc_reply_part(late(server), "1234", 4), AZC_ERR_MEMORY);
        CHECK(late(server) != NULL);
        CHECK_INT(azc_reply_end(late(server)), AZC_ERR_MEMORY);
        memory.none = 0;
        CHECK(late(server) == NULL);
        CHECK_INT(take_answer(c, &got), 0);
        CHECK(c->eof);
        finish(server);
    }
    TEST("the last call of more comes when no other callback runs, and may free its data") {
        azc_server *server = answers(NULL);
        client *c = client_open(server);
        for (int known = 0; known < 2; known++) {
            client_print(c, "GET /parts?heap&len=9000&part=1000%s" HOST "\r\n",
                         known ? "&known" : "");
            CHECK_INT(take_answer(c, &got), 200);
            is_feed(9000);
            pump_until(server, freed == 1 + known);
        }
        client_print(c, GET("/parts?len=2000&part=1000&stop=2"));
        pump(server, 10);
        azc_conn *conn = late(server);
        feed_part(conn, &source, 1000);
        CHECK_INT(azc_reply_end(conn), AZC_OK);
        CHECK_INT(source.lasts, 0); /* not inside of this */
        CHECK(azc_find(server, azc_id(conn)) == conn);
        CHECK_INT(azc_reply_end(conn), AZC_ERR_STATE);
        CHECK_INT(azc_reply_part(conn, "x", 1), AZC_ERR_STATE);
        pump(server, 5);
        CHECK_INT(source.lasts, 1);
        CHECK_INT(take_answer(c, &got), 200);
        client_print(c, "GET /parts?len=2000&part=1000&stop=2 HTTP/1.0\r\n\r\n");
        pump(server, 10);
        source.total = 1000;
        CHECK_INT(azc_reply_end(late(server)), AZC_OK); /* which sends nothing */
        CHECK_INT(take_answer(c, &got), 200);
        is_feed(1000);
        CHECK_INT(source.lasts, 1);
        finish(server);
    }
    TEST("an azc_reply_begin that fails gives more its last call before it returns") {
        azc_server *server = answers(NULL);
        client *c = client_open(server);
        client_print(c, GET("/later/x"));
        settle(server);
        feed f;
        memset(&f, 0, sizeof f);
        f.total = 1;
        CHECK_INT(azc_reply_begin(NULL, 200, NULL, 0, NULL, NULL), AZC_ERR_ARGUMENT);
        CHECK_INT(azc_reply_begin(NULL, 200, NULL, 0, feed_more, &f), AZC_ERR_ARGUMENT);
        CHECK_INT(azc_reply_begin(late(server), 205, NULL, 0, feed_more, &f), AZC_ERR_ARGUMENT);
        memory.fail = 1;
        CHECK_INT(azc_reply_begin(late(server), 200, NULL, 0, feed_more, &f), AZC_ERR_MEMORY);
        CHECK_INT(f.lasts, 3);
        CHECK(late(server) != NULL);
        f.known = 1, f.part = 1;
        CHECK_INT(azc_reply_begin(late(server), 200, NULL, 1, feed_more, &f), AZC_OK);
        CHECK_INT(take_answer(c, &got), 200);
        is_feed(1);
        settle(server);
        CHECK_INT(f.lasts, 4);
        client *ws = join_channel(server, "/t");
        (void)ws;
        CHECK_INT(azc_reply_begin(member_of(served), 200, NULL, 0, feed_more, &f), AZC_ERR_STATE);
        CHECK_INT(f.lasts, 5);
        CHECK_INT(azc_reply_later(member_of(served)), 0);
        CHECK_INT(azc_reply_later(NULL), 0);
        finish(server);
    }
    TEST("azc_use, on_upgrade, endpoints and uploads may answer in parts") {
        static const char *const requests[] = {
            GET("/?guard-parts&len=5000"), "POST /parts?len=5000" HOST "\r\n",
            "POST /parts?len=5000" HOST "Content-Length: 3\r\n\r\nabc",
            "PUT /up/x?parts&len=5000" HOST "Content-Length: 3\r\n\r\nabc",
            "PUT /up/x?parts&len=5000&at=1" HOST "\r\n",
            "PUT /up/x?parts&len=5000&at=0" HOST "Content-Length: 9\r\n\r\nabc",
            "POST /?guard-parts&len=5000" HOST "Content-Length: 9\r\n\r\nabc",
        };
        azc_server *server = answers(NULL);
        for (int known = 0; known < 2; known++)
            for (size_t i = 0; i < sizeof requests / sizeof *requests; i++) {
                client *c = client_open(server);
                CHECK_INT(ask_on(c, requests[i]), 200);
                is_feed(5000);
                if (i < 4) CHECK_INT(ask_on(c, GET("/")), 200);
                else EXPECT_EOF(c);
                client_close(c);
            }
        client *c = client_open(server);
        client_print(c, "GET /late/x?parts&len=5000 HTTP/1.1\r\n" UPGRADE "\r\n");
        CHECK_INT(take_answer(c, &got), 200);
        is_feed(5000);
        finish(server);
    }
}

/* ---- Pipelines ------------------------------------------------------------------------------- */

/* Sent on one connection; each answer is given by a timer, or comes in parts. */
static const char pipeline[] =
    GET("/later/a?soon") GET("/parts?len=700&part=100")
    "POST /later/b?soon" HOST "Content-Length: 3\r\n\r\nabc"
    "HEAD /later/c?soon" HOST "\r\n" "HEAD /parts?len=5&known&heap" HOST "\r\n"
    GET("/now") "PUT /up/d?soon&at=2" HOST "Transfer-Encoding: chunked\r\n\r\n"
    "3\r\nabc\r\n0\r\n\r\n" GET("/parts?len=300&known&part=299")
    "GET /later/e?soon" HOST "Connection: close\r\n\r\n";

static int pipeline_answers(client *c) {
    static const struct { int head, feed; const char *text; } want[] = {
        {0, 0, "127.0.0.1 /later/a?soon a -"}, {0, 700, ""}, {0, 0, "127.0.0.1 /later/b?soon b -"},
        {1, 0, ""}, {1, 0, ""}, {0, 0, "now"}, {0, 0, "127.0.0.1 /up/d?soon&at=2 d -"},
        {0, 300, ""}, {0, 0, "127.0.0.1 /later/e?soon e -"},
    };
    int good = 1;
    for (size_t i = 0; i < sizeof want / sizeof *want && good; i++) {
        good = CHECK_INT(take_answer_to(c, &got, want[i].head), 200);
        if (want[i].feed) good = good && is_feed((unsigned long long)want[i].feed);
        else if (good && !want[i].head) good = CHECK_STR(got.body, want[i].text);
    }
    return good && EXPECT_EOF(c);
}

static void pipelines(void) {
    TEST("pipelined requests wait for an answer that takes time, however they are cut") {
        size_t n = sizeof pipeline - 1;
        for (int fixed = 0; fixed < 2; fixed++) {
            azc_config config = small(fixed);
            if (fixed) config.max_request = 512, fix(&config, fixed);
            azc_server *server = answers(&config);
            client *c = client_open(server);
            client_send(c, pipeline, n);
            int good = pipeline_answers(c);
            client_close(c);
            c = client_open(server);
            client_drip(c, pipeline, n);
            good = good && pipeline_answers(c);
            client_close(c);
            for (size_t cut = 1; cut < n && good; cut += quick_run() ? 9 : 1) {
                c = client_open(server);
                client_send(c, pipeline, cut);
                if (cut % 2) settle(server);
                else azc_poll(server, 0);
                client_send(c, pipeline + cut, n - cut);
                good = pipeline_answers(c);
                client_close(c);
            }
            EXPECT_EVENTS("");
            finish(server);
        }
    }
    TEST("what is pipelined stays in the kernel, but for one max_request") {
        for (int fixed = 0; fixed < 2; fixed++) {
            azc_config config = small(fixed);
            config.max_request = 512, fix(&config, fixed);
            azc_server *server = answers(&config);
            client *c = client_open(server);
            client_print(c, GET("/later/x"));
            settle(server);
            unsigned long long before = azc_stats(server)->bytes_in;
            static char all[40000];
            int n = 0;
            for (int i = 0; i < 500; i++) n += sprintf(all + n, "GET /do?%d" HOST "\r\n", i);
            client_send(c, all, (size_t)n);
            pump(server, 20);
            CHECK(azc_stats(server)->bytes_in - before <= 512);
            CHECK(azc_stats(server)->bytes_in - before > 400);
            EXPECT_SILENCE(c);
            CHECK_INT(azc_reply(late(server), 200, NULL, "x", 1), AZC_OK);
            CHECK_INT(take_answer(c, &got), 200);
            for (int i = 0; i < 500; i++) {
                char want[20];
                sprintf(want, "/do?%d", i);
                if (!CHECK_INT(take_answer(c, &got), 200) || !CHECK_STR(got.body, want)) break;
            }
            EXPECT_SILENCE(c);
            finish(server);
        }
    }
    TEST("a turn of the program's own loop that judges deadlines holds no more either") {
        for (int fixed = 0; fixed < 2; fixed++) {
            azc_config config = small(fixed);
            config.max_request = config.read_buffer = 512, config.max_message = 500;
            config.handshake_ms = 60, fix(&config, fixed);
            azc_server *server = answers(&config);
            client *c = client_open(server);
            client_print(c, GET("/later/x"));
            settle(server);
            client *silent = client_open(server); /* its deadline passes in the turn below */
            (void)silent;
            settle(server);
            for (int i = 0; i < 40; i++) client_print(c, GET("/do?0123456789"));
            struct timespec t = {0, 80 * 1000000};
            nanosleep(&t, NULL);
            struct pollfd fds[16];
            int wait = 0;
            size_t count = azc_poll_begin(server, fds, 16, &wait);
            poll(fds, (nfds_t)count, 0);
            azc_poll_end(server, fds, count);
            CHECK(late(server) != NULL);
            CHECK_INT(azc_reply(late(server), 200, NULL, "x", 1), AZC_OK);
            for (int i = 0; i < 41; i++) CHECK_INT(take_answer(c, &got), 200);
            EXPECT_SILENCE(c);
            finish(server);
        }
    }
    TEST("without memory for what is pipelined, the connection is dropped") {
        azc_server *server = answers(NULL);
        for (int nth = 1; nth < 3; nth++) {
            client *c = client_open(server);
            client_print(c, GET("/later/x"));
            settle(server);
            memory.fail = nth;
            client_print(c, GET("/"));
            settle(server);
            CHECK_INT(memory.fail, 0);
            client_fill(c);
            CHECK(c->eof && c->len == 0 && late(server) == NULL);
            client_close(c);
        }
        CHECK_INT(azc_stats(server)->connections, 0);
        finish(server);
    }
    TEST("part of a head that waits behind an answer has its time when the answer is whole") {
        azc_config config = quick();
        config.handshake_ms = 100;
        azc_server *server = answers(&config);
        client *c = client_open(server);
        client_print(c, GET("/later/x") "GET /");
        pump(server, 250);
        CHECK(late(server) != NULL);
        CHECK_INT(azc_reply(late(server), 200, NULL, "x", 1), AZC_OK);
        CHECK_INT(take_answer(c, &got), 200);
        pump(server, 30);
        CHECK_INT(ask_on(c, " HTTP/1.1\r\nHost: a\r\n\r\nGET"), 200);
        CHECK_INT(take_answer(c, &got), 408);
        EXPECT_EOF(c);
        finish(server);
    }
}

/* ---- How long it may take -------------------------------------------------------------------- */

static void deadlines(void) {
    TEST("no deadline runs while the program takes its time") {
        static const char *const requests[] = {
            GET("/later/x"), GET("/open"), GET("/later/x?keep"),
            "GET /later/x" HOST "Connection: close\r\n\r\n",
            "GET /open" HOST "Connection: close\r\n\r\n", "GET /open HTTP/1.0\r\n\r\n",
            "POST /later/x" HOST "Content-Length: 1\r\n\r\nx",
            "PUT /up/x?at=1" HOST "Content-Length: 10\r\n\r\nx",
        };
        enum { COUNT = sizeof requests / sizeof *requests };
        azc_config config = quick();
        config.handshake_ms = 60, config.close_ms = 40;
        azc_server *server = answers(&config);
        client *c[COUNT];
        for (int i = 0; i < COUNT; i++) {
            c[i] = client_open(server);
            client_print(c[i], "%s", requests[i]);
            pump_until(server, waiting.count == i + 1);
        }
        client_print(c[2], GET("/")); /* is held */
        pump(server, 400);
        CHECK_INT(azc_stats(server)->connections, COUNT);
        for (int i = 0; i < COUNT; i++) {
            azc_conn *conn = azc_find(server, waiting.ids[i]);
            CHECK(conn != NULL);
            if (strstr(requests[i], "/open")) {
                CHECK_INT(azc_reply_part(conn, "x", 1), AZC_OK);
                CHECK_INT(azc_reply_end(conn), AZC_OK);
            } else {
                CHECK_INT(azc_reply(conn, 200, NULL, "x", 1), AZC_OK);
            }
        }
        for (int i = 0; i < COUNT; i++) {
            CHECK_INT(take_answer(c[i], &got), 200);
            CHECK_INT(body_len, 1);
        }
        CHECK_INT(take_answer(c[2], &got), 200);
        pump_until(server, azc_stats(server)->connections == 0);
        finish(server);
    }
    TEST("a peer that reads nothing is dropped, within twice the time, and one that reads is not") {
        for (int closes = 0; closes < 2; closes++) {
            azc_config config = quick();
            config.handshake_ms = 150, config.close_ms = 150;
            azc_server *server = answers(&config);
            client *c = client_open_to(server, "127.0.0.1", azc_port(server), 1);
            client_print(c, "GET /parts?len=3000000" HOST "%s\r\n",
                         closes ? "Connection: close\r\n" : "");
            settle(server);
            long long began = now_ms();
            pump_until(server, azc_stats(server)->connections == 0);
            CHECK(now_ms() - began < 1500 && now_ms() - began >= 140);
            CHECK_INT(source.lasts, 1);
            CHECK(late(server) == NULL);
            client_close(c);
            c = client_open_to(server, "127.0.0.1", azc_port(server), 1);
            client_print(c, "GET /parts?len=3000000" HOST "%s\r\n",
                         closes ? "Connection: close\r\n" : "");
            unsigned char some[3000];
            for (began = now_ms(); now_ms() - began < 900;) {
                long long wait = now_ms();
                while (now_ms() - wait < 5) azc_poll(server, 1);
                ssize_t n = recv(c->fd, some, sizeof some, MSG_PEEK);
                if (n > 0) CHECK(client_await(c, 1));
            }
            CHECK(late(server) != NULL || source.lasts == 1);
            CHECK_INT(take_answer(c, &got), 200);
            is_feed(3000000);
            finish(server);
        }
    }
    TEST("after a late last byte the peer has the whole time to read it") {
        azc_config config = quick();
        config.handshake_ms = 5000, config.close_ms = 400;
        azc_server *server = answers(&config);
        client *c = client_open(server);
        client_print(c, "GET /later/x" HOST "Connection: close\r\n\r\n");
        pump(server, 300);
        kernel_sent = (const unsigned long long *)&azc_stats(server)->bytes_out;
        kernel_acked = *kernel_sent; /* it acknowledges nothing */
        CHECK_INT(azc_reply(late(server), 200, NULL, "x", 1), AZC_OK);
        pump(server, 250); /* 550 ms after the request */
        CHECK_INT(azc_stats(server)->connections, 1);
        kernel_sent = NULL;
        CHECK_INT(take_answer(c, &got), 200);
        EXPECT_EOF(c);
        finish(server);
    }
    TEST("small events to a peer that takes them go on, though the newest is always on its way") {
        for (kernel_hides = 0; kernel_hides < 2; kernel_hides++) {
            azc_config config = quick();
            config.handshake_ms = 100;
            azc_server *server = answers(&config);
            client *c = client_open(server);
            client_print(c, GET("/open"));
            settle(server);
            kernel_holds = 6;
            for (int i = 0; i < 40 && late(server); i++) {
                CHECK_INT(azc_reply_part(late(server), "x", 1), AZC_OK);
                pump(server, 20); /* 30 bytes in 100 ms: that is no progress */
            }
            CHECK(late(server) != NULL);
            if (!kernel_hides && AZC__UNACKED != 0) {
                kernel_sent = (const unsigned long long *)&azc_stats(server)->bytes_out;
                kernel_acked = *kernel_sent; /* from now on it acknowledges nothing */
                pump(server, 150);
                CHECK(late(server) != NULL); /* it owes nothing */
                CHECK_INT(azc_reply_part(late(server), "x", 1), AZC_OK);
                client_print(c, GET("/")); /* which waits */
                long long began = now_ms();
                pump_until(server, late(server) == NULL);
                CHECK(now_ms() - began < 1000);
                client_fill(c);
                CHECK(c->eof && c->len > 6 && memcmp(c->in + c->len - 6, "1\r\nx\r\n", 6) == 0);
            }
            kernel_sent = NULL, kernel_holds = 0;
            finish(server);
        }
        kernel_hides = 0;
    }
}

/* ---- The peer leaves, or the server ---------------------------------------------------------- */

static void ends(void) {
    TEST("a peer that leaves is noticed at once, and its answer gets its last call") {
        static const char *const requests[] = {
            GET("/later/x"), GET("/open"), GET("/parts?len=90000&part=1000&stop=3"),
            "GET /later/x" HOST "Connection: close\r\n\r\n",
            "GET /open" HOST "Connection: close\r\n\r\n",
            "GET /parts?len=90000&part=1000&stop=3" HOST "Connection: close\r\n\r\n",
            "PUT /up/x?at=1" HOST "Content-Length: 9\r\n\r\nabc",
        };
        for (int how = 0; how < 3; how++) { /* FIN, reset, or FIN of one direction */
            azc_server *server = answers(NULL);
            for (size_t i = 0; i < sizeof requests / sizeof *requests; i++) {
                client *c = client_open(server);
                client_send(c, requests[i], strlen(requests[i]));
                settle(server);
                client_fill(c);
                azc_conn *conn = late(server);
                CHECK(conn != NULL);
                CHECK_INT(source.calls, strstr(requests[i], "parts") ? 3 : 0);
                if (how == 0) client_close(c);
                else if (how == 1) client_reset(c);
                else shutdown(c->fd, SHUT_WR);
                pump_until(server, late(server) == NULL);
                pump_until(server, azc_stats(server)->connections == 0);
                CHECK_INT(source.lasts, strstr(requests[i], "parts") ? 1 : 0);
                memset(&source, 0, sizeof source);
            }
            EXPECT_EVENTS("");
            finish(server);
        }
    }
    TEST("after the FIN of the peer an answer goes on while more adds parts") {
        static const char *const requests[] = {
            GET("/parts?len=900000"), GET("/parts?len=900000&known"),
            "GET /parts?len=900000" HOST "Connection: close\r\n\r\n",
            "GET /parts?len=900000 HTTP/1.0\r\n\r\n",
        };
        for (int fixed = 0; fixed < 2; fixed++) {
            azc_config config = small(fixed);
            azc_server *server = answers(&config);
            for (size_t i = 0; i < 4; i++) {
                client *c = client_open(server);
                client_send(c, requests[i], strlen(requests[i]));
                if (fixed) settle(server);
                shutdown(c->fd, SHUT_WR);
                CHECK_INT(take_answer(c, &got), 200);
                is_feed(900000);
                EXPECT_EOF(c);
                client_close(c);
                pump_until(server, source.lasts == 1);
            }
            client *c = client_open(server); /* what it has pipelined is answered, too */
            client_print(c, GET("/parts?len=900000") GET("/parts?len=1000"));
            shutdown(c->fd, SHUT_WR);
            CHECK_INT(take_answer(c, &got), 200);
            is_feed(900000);
            CHECK_INT(take_answer(c, &got), 200);
            is_feed(1000);
            EXPECT_EOF(c);
            finish(server);
        }
    }
    TEST("a call on an answer whose peer has left returns AZC_ERR_CLOSED until the turn ends") {
        azc_server *server = answers(NULL);
        client *c = client_open(server);
        client_print(c, GET("/open?len=100"));
        settle(server);
        azc_conn *conn = late(server);
        CHECK_INT(azc_reply_end(conn), AZC_ERR_STATE);
        CHECK_INT(azc_reply_part(conn, "x", 1), AZC_ERR_CLOSED);
        CHECK_INT(azc_reply_end(conn), AZC_ERR_CLOSED);
        CHECK_INT(azc_reply(conn, 200, NULL, "", 0), AZC_ERR_STATE);
        CHECK_INT(azc_reply_begin(conn, 200, NULL, 0, NULL, NULL), AZC_ERR_STATE);
        finish(server);
    }
    TEST("azc_stop gives answers close_ms; then they are dropped with their last call") {
        azc_config config = quick();
        config.close_ms = 200;
        azc_server *server = answers(&config);
        client *c[4];
        static const char *const requests[] = {
            GET("/later/x"), GET("/open"), GET("/parts?len=500000&stop=2"),
            "GET /later/x" HOST "Connection: close\r\n\r\n",
        };
        for (int i = 0; i < 4; i++) {
            c[i] = client_open(server);
            client_send(c[i], requests[i], strlen(requests[i]));
            pump_until(server, waiting.count == i + 1);
        }
        pump_until(server, source.calls == 2);
        long long began = now_ms();
        azc_stop(server);
        settle(server);
        CHECK_INT(azc_reply(azc_find(server, waiting.ids[0]), 200, NULL, "x", 1), AZC_OK);
        CHECK_INT(take_answer(c[0], &got), 200);
        CHECK(answer_has(&got, "Connection", "close"));
        EXPECT_EOF(c[0]);
        client_close(c[0]);
        for (int i = 1; i < 4; i++) CHECK(azc_find(server, waiting.ids[i]) != NULL);
        while (azc_poll(server, 5) > 0 && now_ms() - began < 3000) continue;
        CHECK(now_ms() - began < 1500);
        CHECK_INT(azc_stats(server)->connections, 0);
        CHECK_INT(source.lasts, 1);
        finish(server);
    }
    TEST("azc_shutdown lets an answer finish, and then ends its connection") {
        azc_server *server = answers(NULL);
        client *c = client_open(server), *d = client_open(server);
        client_print(c, GET("/open"));
        settle(server);
        client_print(d, GET("/later/x"));
        settle(server);
        CHECK_INT(azc_shutdown(server, 60000), AZC_OK);
        pump(server, 30);
        CHECK_INT(azc_reply_part(azc_find(server, waiting.ids[0]), "x", 1), AZC_OK);
        CHECK_INT(azc_reply_end(azc_find(server, waiting.ids[0])), AZC_OK);
        CHECK_INT(take_answer(c, &got), 200);
        EXPECT_EOF(c);
        CHECK_INT(azc_reply(azc_find(server, waiting.ids[1]), 200, NULL, "", 0), AZC_OK);
        CHECK_INT(take_answer(d, &got), 200);
        CHECK(answer_has(&got, "Connection", "close"));
        EXPECT_EOF(d);
        client_close(c), client_close(d);
        pump_until(server, azc_poll(server, 0) == 0);
        finish(server);
    }
    TEST("azc_destroy gives every answer its last call") {
        azc_server *server = answers(NULL);
        for (int i = 0; i < 3; i++) {
            client *c = client_open(server);
            client_print(c, "%s", i == 0 ? GET("/later/x") : i == 1 ? GET("/open")
                                  : GET("/parts?heap&len=900000&stop=2") GET("/"));
            settle(server);
        }
        finish(server);
        CHECK_INT(freed, 1);
    }
    TEST("connections with an answer under way do not make room for newcomers") {
        azc_config config = quick();
        config.max_connections = 3;
        azc_server *server = answers(&config);
        client *c[3];
        for (int i = 0; i < 3; i++) {
            c[i] = client_open(server);
            client_print(c[i], "%s", i == 0 ? GET("/later/x") : i == 1 ? GET("/open")
                                     : "GET /later/x" HOST "Connection: close\r\n\r\n");
            settle(server);
        }
        client *d = client_open(server);
        client_print(d, GET("/"));
        pump(server, 50);
        EXPECT_SILENCE(d);
        for (int i = 0; i < 3; i++) CHECK(azc_find(server, waiting.ids[i]) != NULL);
        CHECK_INT(azc_reply(azc_find(server, waiting.ids[0]), 200, NULL, "x", 1), AZC_OK);
        CHECK_INT(take_answer(c[0], &got), 200);
        CHECK_INT(take_answer(d, &got), 200); /* the other is idle now, and gives way */
        EXPECT_EOF(c[0]);
        finish(server);
    }
}

/* ---- Memory ---------------------------------------------------------------------------------- */

static void memories(void) {
    TEST("in fixed memory max_answers can wait at once, of the largest requests") {
        azc_config config = limits(1);
        config.max_request = 1024;
        fix(&config, 1);
        azc_server *server = create(&config); /* max_answers 0 */
        CHECK_INT(azc_add_handler(server, "/open", open_get, NULL), AZC_OK);
        CHECK_INT(azc_add_handler(server, "/later/:name", later_get, NULL), AZC_OK);
        listening(server);
        CHECK_INT(ask(server, GET("/later/x")), 503);
        CHECK_STR(azc_error(server), "azc_reply_later: out of memory");
        CHECK_INT(ask(server, GET("/open")), 500);
        finish(server);
        size_t without = azc_memory_bound(&config);
        config.max_answers = 5;
        CHECK(azc_memory_bound(&config) > without + 5 * 3 * 1024);
        fix(&config, 1);
        server = answers(&config);
        client *c[12];
        char target[2100], filler[1000], name[1000];
        for (int i = 0; i < 12; i++) {
            memset(name, 'n', sizeof name), name[i < 6 ? 900 : 10] = 0;
            memset(filler, 'q', sizeof filler), filler[i < 6 ? 1 : 880] = 0;
            snprintf(target, sizeof target, "/later/%s?%s&x&y", name, filler);
            c[i] = client_open(server);
            client_print(c[i], "GET %s" HOST "\r\n", target);
            settle(server);
            CHECK_INT(waiting.count, i < 5 ? i + 1 : 5);
            if (i >= 5) {
                CHECK_INT(take_answer(c[i], &got), 503);
                continue;
            }
            CHECK_STR(azc_target(late(server)), target);
            CHECK_STR(azc_param(late(server), "name"), name);
            CHECK(azc_query(late(server), "y") != NULL);
        }
        for (int i = 0; i < 5; i++) {
            CHECK_INT(azc_reply(azc_find(server, waiting.ids[i]), 200, NULL, big_bytes, 32 << 10),
                      AZC_OK);
            CHECK_INT(take_answer(c[i], &got), 200);
        }
        for (int i = 0; i < 5; i++) {
            client_print(c[i], "GET /?guard&%0900d" HOST "\r\n", i);
            settle(server);
            CHECK_INT(waiting.count, 6 + i);
        }
        finish(server);
        config.max_answers = -1;
        CHECK_INT(azc_memory_bound(&config), 0);
    }
    TEST("a method may be as long as a request") {
        azc_config config = limits(1);
        config.max_request = 1024, config.max_answers = 2;
        fix(&config, 1);
        azc_server *server = answers(&config);
        client *c = client_open(server);
        char method[901];
        memset(method, 'M', 900), method[900] = 0;
        client_print(c, "%s /?guard" HOST "\r\n", method);
        settle(server);
        CHECK_INT(waiting.count, 1);
        CHECK_INT(azc_reply(late(server), 200, NULL, "x", 1), AZC_OK);
        CHECK_INT(take_answer(c, &got), 200);
        finish(server);
    }
    TEST("each failed allocation is a 503, a 500 of the program, or a dropped connection") {
        hungry = 1;
        static const char *const requests[] = {
            GET("/later/x?soon"), GET("/parts?len=20000&part=3000"),
            GET("/parts?len=20000&part=3000&known"),
            "POST /later/x?soon" HOST "Content-Length: 3\r\n\r\nabc",
        };
        for (int i = 0; i < 4; i++) {
            int failed = 0, unused = 0;
            for (long nth = 1; nth < 100 && !unused; nth++) {
                azc_server *server = answers(NULL);
                client *c = client_open(server);
                settle(server);
                memory.fail = nth;
                client_send(c, requests[i], strlen(requests[i]));
                pump(server, 3);
                unused = memory.fail > 0;
                memory.fail = 0;
                if (strstr(requests[i], "/later") && late(server)) /* the timer's has failed */
                    CHECK_INT(azc_reply(late(server), 200, NULL, "x", 1), AZC_OK);
                int status = take_answer(c, &got);
                CHECK(status == 200 || status >= 500 || status == 0);
                failed += status != 200;
                if (source.calls > 0) CHECK_INT(source.lasts, 1);
                CHECK_INT(ask(server, GET("/")), 200);
                finish(server);
            }
            CHECK(unused && failed > 0);
        }
        hungry = 0;
    }
    TEST("a long answer takes flat memory") {
        azc_server *server = answers(NULL);
        client *c = client_open_to(server, "127.0.0.1", azc_port(server), 1);
        settle(server);
        size_t before = memory.bytes;
        client_print(c, GET("/parts?len=3000000"));
        settle(server);
        memory.peak = memory.bytes;
        CHECK_INT(take_answer(c, &got), 200);
        is_feed(3000000);
        CHECK(memory.peak - before < 150 << 10);
        settle(server);
        CHECK(memory.bytes <= before);
        finish(server);
    }
}

/* ---- Anything ------------------------------------------------------------------------------- */

static unsigned long long seed = 17;
static unsigned below(unsigned n) {
    seed = seed * 6364136223846793005ULL + 1442695040888963407ULL;
    return (unsigned)(seed >> 33) % n;
}

/* What may happen to a waiting request; each answer's more gets its last call once. */
enum { PEERS = 6 };
static int begun, over;
static int chaos_more(azc_conn *conn, size_t room, void *user) {
    static char bytes[300 << 10];
    CHECK_INT(in_callback++, 0);
    int result = AZC_OK;
    if (room == 0) over++, free(user);
    else if (below(12) == 0) result = below(2) ? azc_reply_end(conn) : AZC_ERR_APP;
    else if (below(6)) azc_reply_part(conn, bytes, below(2) ? room : 1 + below(4999));
    else if (below(2)) azc_reply_part(conn, bytes, below(300 << 10));
    in_callback--;
    return result;
}
static int chaos_begin(azc_conn *conn) {
    void *data = malloc(1);
    azc_more_callback more = below(4) ? chaos_more : NULL;
    if (more) begun++;
    else free(data);
    return azc_reply_begin(conn, below(9) ? 200 : 404, NULL, below(2) ? AZC_CHUNKED : below(30000),
                           more, data);
}
static int chaos_act(azc_conn *conn) {
    switch (below(7)) {
    case 0: return azc_reply(conn, below(9) ? 200 : 500, NULL, "x", 1);
    case 1: return chaos_begin(conn);
    case 2: return azc_reply_part(conn, big_bytes, 1 + below(3000));
    case 3: return azc_reply_end(conn);
    case 4: waiting.ids[waiting.count++ % MOST] = azc_reply_later(conn); return AZC_OK;
    case 5: waiting.ids[waiting.count++ % MOST] = azc_id(conn); return AZC_OK;
    default: return (int)below(600);
    }
}
static int chaos_handler(azc_conn *conn, void *user) {
    (void)user;
    int result = 0;
    for (unsigned i = 0; i < 1 + below(3); i++) result = chaos_act(conn);
    if (below(3) == 0) chaos_act(azc_find(azc_server_of(conn), waiting.ids[below(MOST)]));
    return below(3) ? AZC_OK : result;
}
static int chaos_part(azc_conn *conn, const void *data, size_t len, int flags) {
    (void)data, (void)len;
    return flags & AZC_PART_LAST || below(3) == 0 ? chaos_handler(conn, NULL) : AZC_OK;
}

/* What more does: in its first call, or in its last. */
enum { ACTIONS = 9 };
static struct {
    int action, last, ran, lasts;
} torture;
static void act(azc_server *server) {
    torture.ran++;
    switch (torture.action) {
    case 0: CHECK_INT(azc_destroy(server), AZC_ERR_STATE); break;
    case 1: CHECK_INT(azc_poll(server, 0), AZC_ERR_STATE); break;
    case 2: azc_stop(server); break;
    case 3: CHECK_INT(azc_shutdown(server, 0), AZC_OK); break;
    case 4: CHECK_INT(azc_broadcast(served, NULL, "to all", AZC_NUL, NULL), AZC_OK); break;
    case 5:
        for (azc_cursor c = azc_members(served, NULL); azc_cursor_next(&c);)
            azc_close(c.conn, 1000, "more");
        break;
    case 6: CHECK_INT(azc_reply(late(server), 200, NULL, "x", 1), AZC_OK); break;
    case 7: CHECK_INT(azc_reply_begin(late(server), 200, NULL, 1, NULL, NULL), AZC_OK); break;
    default:
        CHECK_INT(azc_reply_begin(late(server), 200, NULL, 1, NULL, NULL), AZC_OK);
        CHECK_INT(azc_reply_end(late(server)), AZC_ERR_STATE);
    }
}
static int torture_more(azc_conn *conn, size_t room, void *user) {
    azc_server *server = (azc_server *)user;
    CHECK_INT(in_callback++, 0);
    torture.lasts += room == 0;
    if (torture.last == (room == 0)) act(server);
    in_callback--;
    return room == 0 ? AZC_OK : azc_reply_end(conn);
}
static int torture_get(azc_conn *conn, void *user) {
    (void)user;
    return azc_reply_begin(conn, 200, NULL, AZC_CHUNKED, torture_more, azc_server_of(conn));
}

static void tortures(void) {
    TEST("whatever more does, also in its last call, every answer and the server end once") {
        for (int n = 0; n < ACTIONS * 2 * 2; n++) {
            memset(&torture, 0, sizeof torture), memset(&waiting, 0, sizeof waiting);
            torture.action = n / 4, torture.last = n / 2 % 2, in_callback = 0;
            azc_server *server = create(NULL);
            azc_channel_desc d = recorder("/t");
            served = azc_add_channel(server, &d);
            azc_add_handler(server, "/more", torture_get, NULL);
            azc_add_handler(server, "/later", later_get, NULL);
            listening(server);
            client *member = join_channel(server, "/t"), *c = client_open(server);
            client_print(c, GET("/later"));
            settle(server);
            client *e = client_open(server);
            client_print(e, GET("/more"));
            if (n % 2) settle(server), client_close(e);
            for (int i = 0; i < 10; i++) azc_poll(server, 1);
            CHECK_INT(torture.ran, 1);
            CHECK_INT(torture.lasts, 1);
            (void)member;
            finish(server);
            CHECK_INT(torture.lasts, 1);
        }
        tape_clear(&events), tape_clear(&log_lines);
    }
}

static void chaos(void) {
    TEST("whatever a program does with its requests, each answer gets one last call") {
        static const char *const requests[] = {
            GET("/c"), GET("/c"), "HEAD /c" HOST "\r\n", "GET /c HTTP/1.0\r\n\r\n",
            "POST /c" HOST "Content-Length: 3\r\n\r\nabc",
            "GET /c" HOST "Connection: close\r\n\r\n",
            "PUT /c" HOST "Content-Length: 3\r\n\r\nabc",
            "GET /t HTTP/1.1\r\n" UPGRADE "\r\n", "G",
        };
        for (int round = 0; round < 200; round++) {
            azc_config config = small(round % 2);
            config.handshake_ms = config.close_ms = 20;
            config.max_connections = 5;
            fix(&config, round % 2);
            azc_server *server = create(&config);
            azc_channel_desc d;
            memset(&d, 0, sizeof d);
            d.path = "/t";
            CHECK((served = azc_add_channel(server, &d)) != NULL);
            azc_add_handler(server, "/c", chaos_handler, NULL);
            azc_add_endpoint(server, "POST", "/c", chaos_handler, NULL);
            azc_add_upload(server, "PUT", "/c", chaos_part, 0, NULL);
            memset(&waiting, 0, sizeof waiting);
            in_callback = begun = over = 0;
            listening(server);
            client *c[PEERS] = {NULL};
            for (int i = 0; i < 400; i++) {
                client **at = &c[below(PEERS)];
                if (!*at || (*at)->eof) {
                    if (*at) client_close(*at);
                    *at = client_open_to(server, "127.0.0.1", azc_port(server), 0);
                    if (!*at) break; /* it has stopped */
                }
                switch (below(8)) {
                case 0:
                case 1:
                case 2: {
                    const char *request = requests[below(sizeof requests / sizeof *requests)];
                    client_send_some(*at, request, strlen(request));
                    break;
                }
                case 3: client_fill(*at); break;
                case 4: shutdown((*at)->fd, SHUT_WR); break;
                case 5: chaos_act(azc_find(server, waiting.ids[below(MOST)])); break;
                case 6:
                    if (below(4)) break;
                    if (below(2)) client_reset(*at);
                    else client_close(*at);
                    *at = NULL;
                    break;
                default: azc_poll(server, below(20) ? 0 : 3); break;
                }
                if (below(400) == 0) azc_stop(server);
                if (azc_poll(server, 0) <= 0) break;
            }
            finish(server);
            CHECK_INT(begun, over);
        }
        tape_clear(&log_lines);
    }
}

int main(int argc, char **argv) {
    test_start(argc, argv);
    laters();
    in_pieces();
    pipelines();
    deadlines();
    ends();
    memories();
    tortures();
    chaos();
    tape_clear(&events), tape_clear(&log_lines);
    return test_end();
}
