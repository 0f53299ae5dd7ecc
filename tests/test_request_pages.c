/* REQUEST over real sockets: routes, pages and the handler chain (RFC 9110 and 9112). */
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

/* The same on a connection of its own. */
static int get_once(azc_server *server, const char *target) {
    client *c = client_open(server);
    int status = get(c, target);
    client_close(c);
    return status;
}

/* ---- Routes ---------------------------------------------------------------------------------- */

/* Replies with the route's name and what its parameters are. */
static int name_route(azc_conn *conn, void *user) {
    static const char *names[] = {"x", "y", "rest"};
    char text[256];
    int n = snprintf(text, sizeof text, "%s", (const char *)user);
    for (int i = 0; i < 3; i++)
        if (azc_param(conn, names[i]))
            n += snprintf(text + n, sizeof text - (size_t)n, " %s=%s", names[i],
                          azc_param(conn, names[i]));
    return azc_reply(conn, 200, "text/plain", text, (size_t)n);
}

static char routes[][16] = {"/", "/a", "/a/:x", "/a/b", "/a/:x/c", "/a/b/d", "/f/*rest", "/f/lit",
                            "/f/:x/end", "/:x", "/:x/:y/two", "/caf\xc3\xa9"};

static azc_server *serve_routes(void) {
    azc_server *server = create(NULL);
    for (size_t i = 0; i < sizeof routes / sizeof *routes; i++) {
        char path[16];
        strcpy(path, routes[i]);
        CHECK_INT(azc_add_handler(server, path, name_route, routes[i]), AZC_OK);
        memset(path, '!', sizeof path); /* it was copied */
    }
    listening(server);
    return server;
}

static void expect_routes(azc_server *server, const char *const *cases, size_t n) {
    client *c = client_open(server);
    for (size_t i = 0; i + 1 < n; i += 2)
        if (!CHECK_INT(get(c, cases[i]), 200) || !CHECK_STR(got.body, cases[i + 1])) {
            printf("    for %s\n", cases[i]);
            client_close(c);
            c = client_open(server);
        }
    client_close(c);
}

/* Whether a server refuses a pattern, as a channel and as a page, with that error. other: a
 * pattern registered before, or NULL. */
static void expect_pattern(const char *other, const char *path, int error) {
    for (int page = 0; page < 2; page++) {
        azc_server *server = create(NULL);
        azc_channel_desc d = recorder(other ? other : "/unrelated");
        int result;
        if (page) CHECK_INT(azc_add_page(server, d.path, "t/t", "x", 1), AZC_OK);
        else CHECK(azc_add_channel(server, &d) != NULL);
        d.path = path;
        if (page) {
            result = azc_add_page(server, path, "t/t", "x", 1);
            CHECK_INT(result, error);
        } else {
            azc_channel *channel = azc_add_channel(server, &d);
            CHECK((channel != NULL) == (error == AZC_OK));
        }
        result = azc_listen(server);
        CHECK_INT(result, error);
        if (result != error) printf("    for \"%s\" beside \"%s\"\n", path, other ? other : "");
        if (result != AZC_OK) CHECK(azc_error(server)[0] != 0);
        if (result != AZC_OK) CHECK_INT(azc_poll(server, 0), AZC_ERR_STATE);
        finish(server);
    }
}

static azc_server *serve_pages(azc_config *config);

static void routing(void) {
    TEST("a literal segment wins over a parameter, and that over the rest, at every depth") {
        static const char *const cases[] = {
            "/", "/",
            "/a", "/a",
            "/a/b", "/a/b",
            "/a/z", "/a/:x x=z",
            "/a/bb", "/a/:x x=bb",
            "/a/b/d", "/a/b/d",
            "/a/b/c", "/a/:x/c x=b",
            "/a/q/c", "/a/:x/c x=q",
            "/f/lit", "/f/lit",
            "/f/lit/end", "/f/:x/end x=lit",
            "/f/lit/else", "/f/*rest rest=lit/else",
            "/f/p/end", "/f/:x/end x=p",
            "/f/p/end/", "/f/*rest rest=p/end/",
            "/f/p", "/f/*rest rest=p",
            "/f/a/b/c/d", "/f/*rest rest=a/b/c/d",
            "/f/", "/f/*rest rest=",
            "/zzz", "/:x x=zzz",
            "/a/b/two", "/:x/:y/two x=a y=b",
        };
        azc_server *server = serve_routes();
        expect_routes(server, cases, sizeof cases / sizeof *cases);
        const char *nowhere[] = {"/a/q/d", "/b/c", "/a/b/c/d", "/z/z/z"};
        for (size_t i = 0; i < 4; i++) CHECK_INT(get_once(server, nowhere[i]), 404);
        finish(server);
    }
    TEST("segments are compared and returned decoded, and %2F does not separate them") {
        static const char *const cases[] = {
            "/%61", "/a",
            "/%61/%62", "/a/b",
            "/a/x%2Fy", "/a/:x x=x/y",
            "/a/b%2Fc", "/a/:x x=b/c",
            "/a/x%2fy/c", "/a/:x/c x=x/y",
            "/a/%C3%A9%e2%82%ac", "/a/:x x=\xc3\xa9\xe2\x82\xac",
            "/a/a+b", "/a/:x x=a+b",
            "/a/%25", "/a/:x x=%",
            "/a/%2541", "/a/:x x=%41",
            "/a/%3F%23", "/a/:x x=?#",
            "/a/%20", "/a/:x x= ",
            "/f/x%20y/z", "/f/*rest rest=x y/z",
            "/caf%C3%A9", "/caf\xc3\xa9",
            "/a/z?x=no&y=%41", "/a/:x x=z",
            "/a?/b", "/a",
        };
        azc_server *server = serve_routes();
        expect_routes(server, cases, sizeof cases / sizeof *cases);
        finish(server);
    }
    TEST("malformed escapes, encoded NULs and invalid UTF-8 in a path are a 400") {
        azc_server *server = serve_routes();
        const char *bad[] = {"/a/%", "/a/%4", "/a/%4x/c", "/a/%00", "/a/%FF", "/a/%C3", "/f/%c0%80",
                             "/%ed%a0%80", "/nowhere/at/all/%zz"};
        for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
            if (!CHECK_INT(get_once(server, bad[i]), 400)) printf("    %s\n", bad[i]);
        finish(server);
    }
    TEST("a bad pattern is an error that azc_listen returns and azc_error explains") {
        const char *bad[] = {"chat", "*rest", ":x", "/:", "/*", "/*rest/more", "/a/*rest/:x",
                             "/:x/:x", "/:x/*x"};
        for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
            expect_pattern(NULL, bad[i], AZC_ERR_PATTERN);
    }
    TEST("two routes that could never be told apart conflict") {
        static const char *const pairs[][2] = {
            {"/a", "/a"}, {"/", "/"}, {"/a/:x", "/a/:y"}, {"/:x/b", "/:y/b"}, {"/*x", "/*y"},
            {"/a/*x", "/a/*y"}, {"/a/:x/*r", "/a/:y/*s"}, {"/:x", "/:x"}};
        for (size_t i = 0; i < sizeof pairs / sizeof *pairs; i++)
            expect_pattern(pairs[i][0], pairs[i][1], AZC_ERR_CONFLICT);
        static const char *const fine[][2] = {
            {"/a", "/b"}, {"/a", "/:x"}, {"/:x", "/*r"}, {"/a/:x", "/:x/b"}, {"/a/b", "/a/:x"},
            {"/:x/b", "/:y/c"}, {"/a", "/A"}};
        for (size_t i = 0; i < sizeof fine / sizeof *fine; i++)
            expect_pattern(fine[i][0], fine[i][1], AZC_OK);
    }
    TEST("a bad description is AZC_ERR_ARGUMENT") {
        char many[3 * 256 + 1] = "";
        for (int i = 0; i < 256; i++)
            snprintf(many + 3 * i, 4, "%c%c ", "0123456789abcdef"[i / 16], "0123456789abcdef"[i % 16]);
        for (int i = 0; i < 256; i++) many[3 * i + 2] = ',';
        for (int i = 0; i < 8; i++) {
            azc_server *server = create(NULL);
            azc_channel_desc d = recorder("/t");
            if (i == 0) d.when_full = 2;
            if (i == 1) d.when_full = -1;
            if (i == 2) d.subprotocols = "fine, not fine";
            if (i == 3) d.subprotocols = "a\r\nb";
            if (i == 4) d.data_size = (size_t)-1;
            if (i == 5) d.data_size = ((size_t)1 << 30) + 1;
            if (i == 6) d.subprotocols = many; /* 255 can be told apart */
            if (i < 7) CHECK(azc_add_channel(server, &d) == NULL);
            else CHECK_INT(azc_add_page(server, "/", "a\r\nX: y", "x", 1), AZC_ERR_ARGUMENT);
            if (!CHECK_INT(azc_listen(server), AZC_ERR_ARGUMENT)) printf("    %d\n", i);
            finish(server);
        }
        many[3 * 255] = 0;
        azc_server *server = create(NULL);
        azc_channel_desc d = recorder("/t");
        d.subprotocols = many;
        azc_channel *channel = azc_add_channel(server, &d);
        CHECK(channel != NULL);
        listening(server);
        client *c = client_open(server);
        CHECK_INT(client_upgrade(c, "/t", "Sec-WebSocket-Protocol: none, fe\r\n"), 101);
        CHECK_STR(azc_subprotocol(member_of(channel)), "fe");
        finish(server);
    }
    TEST("azc_listen returns the first of many errors") {
        azc_server *server = create(NULL);
        azc_channel_desc d = recorder("nope");
        CHECK(azc_add_channel(server, &d) == NULL);
        CHECK_INT(azc_use(server, NULL, NULL), AZC_ERR_ARGUMENT);
        d.path = "/ok";
        azc_add_channel(server, &d);
        CHECK_INT(azc_listen(server), AZC_ERR_PATTERN);
        CHECK_INT(azc_run(server), AZC_ERR_PATTERN);
        CHECK(strstr(azc_error(server), "nope") != NULL);
        finish(server);
    }
    TEST("arguments of a query: decoded, the first of a name, and malformed ones a 400") {
        azc_server *server = serve_pages(NULL);
        CHECK_INT(get_once(server, "/do?do=reply&n=201&n=202"), 201);
        CHECK_INT(get_once(server, "/do?&&do=%72eply&%6E=2%301&"), 201);
        CHECK_INT(get_once(server, "/do?x=%C3%A9&do=reply&n=203"), 203);
        CHECK_INT(get_once(server, "/do?x=%"), 400);
        CHECK_INT(get_once(server, "/do?x=%0"), 400);
        CHECK_INT(get_once(server, "/do?%zz=1"), 400);
        CHECK_INT(get_once(server, "/do?x=%00"), 400);
        CHECK_INT(get_once(server, "/do?x=%FF"), 400);
        finish(server);
    }
    TEST("channels are routed by the same rules, each with its own parameters") {
        azc_server *server = create(NULL);
        const char *paths[] = {"/rooms/:x", "/rooms/lobby", "/rooms/*rest"};
        azc_channel *channels[3];
        for (int i = 0; i < 3; i++) {
            azc_channel_desc d = recorder(paths[i]);
            channels[i] = azc_add_channel(server, &d);
        }
        listening(server);
        join_channel(server, "/rooms/lobby?name=1");
        join_channel(server, "/rooms/a%2Fb?name=2");
        join_channel(server, "/rooms/a/b?name=3");
        join_channel(server, "/rooms/%6cobby?name=4");
        CHECK_INT(azc_count(channels[0], NULL), 1);
        CHECK_INT(azc_count(channels[1], NULL), 2);
        CHECK_INT(azc_count(channels[2], NULL), 1);
        CHECK_STR(azc_param(member_of(channels[0]), "x"), "a/b");
        CHECK_STR(azc_param(member_of(channels[2]), "rest"), "a/b");
        CHECK_STR(azc_param(member_of(channels[1]), "x"), NULL);
        CHECK_STR(azc_target(member_of(channels[0])), "/rooms/a%2Fb?name=2");
        finish(server);
    }
}

/* ---- Pages ----------------------------------------------------------------------------------- */

static char page_bytes[] = "<h1>page</h1>";
static char *large_page;
enum { LARGE = 1 << 20 };

static int reply_handler(azc_conn *conn, void *user) {
    const char *want = azc_query(conn, "do");
    (void)user;
    CHECK(azc_channel_of(conn) == NULL && azc_server_of(conn) != NULL);
    CHECK(azc_data(conn) == NULL);
    CHECK_INT(azc_send_text(conn, "x", 1), AZC_ERR_STATE);
    CHECK_INT(azc_send_binary(conn, "x", 1), AZC_ERR_STATE);
    CHECK_INT(azc_ping(conn, "x", 1), AZC_ERR_STATE);
    CHECK_INT(azc_join(conn, "x"), AZC_ERR_STATE);
    CHECK_INT(azc_leave(conn, "x"), AZC_ERR_STATE);
    if (!want) {
        note("%s %s", azc_method(conn), azc_target(conn));
        return azc_reply(conn, 200, "text/plain", azc_target(conn), strlen(azc_target(conn)));
    }
    if (strcmp(want, "status") == 0) return atoi(azc_query(conn, "n"));
    if (strcmp(want, "reply") == 0) {
        int status = atoi(azc_query(conn, "n"));
        return azc_reply(conn, status, NULL, "body", status == 204 || status == 304 ? 0 : 4);
    }
    if (strcmp(want, "redirect") == 0) {
        CHECK_INT(azc_reply_header(conn, "Location", "/elsewhere"), AZC_OK);
        CHECK_INT(azc_reply_header(conn, "Set-Cookie", "a=1; Path=/"), AZC_OK);
        CHECK_INT(azc_reply_header(conn, "Set-Cookie", "b=2"), AZC_OK);
        CHECK_INT(azc_reply(conn, 302, NULL, NULL, 0), AZC_OK);
        CHECK_INT(azc_reply(conn, 200, NULL, "x", 1), AZC_ERR_STATE);
        CHECK_INT(azc_reply_header(conn, "X", "y"), AZC_ERR_STATE);
        return 404;
    }
    if (strcmp(want, "bad") == 0) {
        CHECK_INT(azc_reply(conn, 199, NULL, "x", 1), AZC_ERR_ARGUMENT);
        CHECK_INT(azc_reply(conn, 600, NULL, "x", 1), AZC_ERR_ARGUMENT);
        CHECK_INT(azc_reply(conn, 0, NULL, "x", 1), AZC_ERR_ARGUMENT);
        CHECK_INT(azc_reply(conn, -200, NULL, "x", 1), AZC_ERR_ARGUMENT);
        CHECK_INT(azc_reply(conn, 200, NULL, NULL, 1), AZC_ERR_ARGUMENT);
        CHECK_INT(azc_reply(conn, 200, "a\r\nX: y", "x", 1), AZC_ERR_ARGUMENT);
        CHECK_INT(azc_reply_header(conn, "A\r\nB", "x"), AZC_ERR_ARGUMENT);
        CHECK_INT(azc_reply_header(conn, "A", "x\r\nB: y"), AZC_ERR_ARGUMENT);
        CHECK_INT(azc_reply_header(conn, "A", "x\ny"), AZC_ERR_ARGUMENT);
        CHECK_INT(azc_reply_header(conn, "A", "x\ry"), AZC_ERR_ARGUMENT);
        CHECK_INT(azc_reply_header(conn, "A:", "x"), AZC_ERR_ARGUMENT);
        CHECK_INT(azc_reply_header(conn, "A B", "x"), AZC_ERR_ARGUMENT);
        CHECK_INT(azc_reply_header(conn, "", "x"), AZC_ERR_ARGUMENT);
        CHECK_INT(azc_reply_header(conn, NULL, "x"), AZC_ERR_ARGUMENT);
        CHECK_INT(azc_reply_header(conn, "A", NULL), AZC_ERR_ARGUMENT);
        CHECK_INT(azc_reply(conn, 200, "text/plain", "good", 4), AZC_OK);
    }
    if (strcmp(want, "fields") == 0) { /* as many as fit, then an error, and still an answer */
        char value[101];
        int n = 0, result;
        memset(value, 'v', 100), value[100] = 0;
        while ((result = azc_reply_header(conn, "X-Filler", value)) == AZC_OK && n < 100000) n++;
        CHECK_INT(result, AZC_ERR_FULL);
        CHECK(n > 2);
        CHECK_INT(azc_reply(conn, 200, "text/plain", "filled", 6), AZC_OK);
    }
    if (strcmp(want, "full") == 0) {
        CHECK_INT(azc_reply(conn, 200, NULL, large_page, LARGE), AZC_ERR_FULL);
        CHECK_INT(azc_reply(conn, 200, NULL, "less", 4), AZC_OK);
    }
    if (strcmp(want, "100k") == 0) {
        char *body = (char *)malloc(100000); /* to be copied */
        memcpy(body, large_page, 100000);
        CHECK_INT(azc_reply(conn, 200, NULL, body, 100000), AZC_OK);
        memset(body, '!', 100000);
        free(body);
    }
    return AZC_OK;
}

static azc_server *serve_pages(azc_config *config) {
    azc_server *server = create(config);
    if (!large_page) {
        large_page = (char *)malloc(LARGE + 1);
        for (int i = 0; i < LARGE; i++) large_page[i] = (char)('a' + i % 25);
        large_page[LARGE] = 0;
    }
    char path[] = "/", type[] = "text/html; charset=utf-8";
    CHECK_INT(azc_add_page(server, path, type, page_bytes, sizeof page_bytes - 1), AZC_OK);
    memset(path, '!', 1), memset(type, '!', 9);
    CHECK_INT(azc_add_page(server, "/large", "text/plain", large_page, LARGE), AZC_OK);
    CHECK_INT(azc_add_page(server, "/empty", "text/plain", "", 0), AZC_OK);
    CHECK_INT(azc_add_page(server, "/both", "text/plain", "both", 4), AZC_OK);
    CHECK_INT(azc_add_handler(server, "/do", reply_handler, NULL), AZC_OK);
    azc_channel_desc d = recorder("/both");
    CHECK((served = azc_add_channel(server, &d)) != NULL);
    d.path = "/channel";
    CHECK(azc_add_channel(server, &d) != NULL);
    listening(server);
    return server;
}

static int closes(const answer *a) {
    const char *value = answer_field(a, "Connection", NULL);
    return value && (strcmp(value, "close") == 0 || strcmp(value, "Close") == 0);
}

static void pages(void) {
    TEST("GET and HEAD of static bytes, many on one connection") {
        azc_server *server = serve_pages(NULL);
        client *c = client_open(server);
        for (int i = 0; i < 5; i++) {
            CHECK_INT(get(c, i % 2 ? "/?query=ignored" : "/"), 200);
            CHECK_STR(got.body, page_bytes);
            CHECK(answer_has(&got, "Content-Type", "text/html; charset=utf-8"));
            CHECK(answer_has(&got, "Content-Length", "13"));
            CHECK(!closes(&got));
            client_print(c, "HEAD / HTTP/1.1\r\nHost: a\r\n\r\n");
            CHECK_INT(client_answer_to(c, &got, 1), 200);
            CHECK(answer_has(&got, "Content-Length", "13"));
            CHECK(answer_has(&got, "Content-Type", "text/html; charset=utf-8"));
            EXPECT_SILENCE(c);
            CHECK_INT(get(c, "/empty"), 200);
            CHECK(answer_has(&got, "Content-Length", "0"));
        }
        finish(server);
    }
    TEST("a static page's bytes are served from where they are") {
        azc_server *server = serve_pages(NULL);
        page_bytes[1] = 'H';
        CHECK_INT(get_once(server, "/"), 200);
        CHECK_STR(got.body, "<H1>page</h1>");
        page_bytes[1] = 'h';
        finish(server);
    }
    TEST("Connection: close is granted, in any letter case and any list") {
        azc_server *server = serve_pages(NULL);
        const char *fields[] = {"Connection: close", "connection: CLOSE", "Connection: x, close"};
        for (int i = 0; i < 3; i++) {
            client *c = client_open(server);
            client_print(c, "GET / HTTP/1.1\r\nHost: a\r\n%s\r\n\r\n", fields[i]);
            CHECK_INT(client_answer(c, &got), 200);
            CHECK_STR(got.body, page_bytes);
            CHECK(closes(&got));
            EXPECT_EOF(c);
            client_close(c);
        }
        client *c = client_open(server);
        client_print(c, "GET / HTTP/1.1\r\nHost: a\r\nConnection: keep-alive\r\n\r\n");
        CHECK_INT(client_answer(c, &got), 200);
        CHECK(!closes(&got));
        CHECK_INT(get(c, "/"), 200);
        finish(server);
    }
    TEST("a peer that announced its last request is not waited for, others are") {
        static const struct {
            const char *request, *rest; /* rest: after a pause */
            int waits;
        } cases[] = {
            {"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n", "", 0},
            {"GET / HTTP/1.1\r\nHost: a\r\nConn", "ection: close\r\n\r\n", 0},
            {"GET /none HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n", "", 0},
            {"GET / HTTP/1.0\r\n\r\n", "", 0},
            {"GET / HTTP/1.1\r\nHost: a\r\n\r\n",
             "GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n", 0},
            {"GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n", "", 1},
            {"GET /none HTTP/1.1\r\nHost: a\r\nX: 1\r\n\r\n", "", 1}, /* closed by us */
            {"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n\r\n", "", 1},
            {"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n"
             "Content-Length: 2\r\n\r\n", "", 1},
            {"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n"
             "Content-Length: x\r\n\r\n", "", 1},
            {"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n"
             "Transfer-Encoding: chunked\r\n\r\n", "", 1},
            {"GET /large HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n", "", 1},
        };
        for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
            azc_server *server = serve_pages(NULL);
            client *c = client_open(server);
            client_print(c, "%s", cases[i].request), settle(server);
            client_print(c, "%s", cases[i].rest);
            while (client_answer(c, &got) > 0 && !closes(&got)) continue;
            EXPECT_EOF(c);
            if (!CHECK_INT(server->conn_count, cases[i].waits)) printf("    %s\n", cases[i].request);
            client_close(c), settle(server);
            CHECK_INT(server->conn_count, 0);
            finish(server);
        }
    }
    TEST("pipelined requests are answered in their order, whole or cut at every byte") {
        static const char all[] =
            "GET /do?1 HTTP/1.1\r\nHost: a\r\n\r\nHEAD / HTTP/1.1\r\nHost: a\r\n\r\n"
            "GET /do?2 HTTP/1.1\r\nHost: a\r\n\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n"
            "GET /do?3 HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"
            "GET /do?4 HTTP/1.1\r\nHost: a\r\n\r\n";
        azc_server *server = serve_pages(NULL);
        for (size_t cut = 0; cut < sizeof all - 1; cut++) {
            client *c = client_open(server);
            client_send(c, all, cut), settle(server);
            client_send(c, all + cut, sizeof all - 1 - cut);
            CHECK_INT(client_answer(c, &got), 200);
            CHECK_STR(got.body, "/do?1");
            CHECK_INT(client_answer_to(c, &got, 1), 200);
            CHECK_INT(client_answer(c, &got), 200);
            CHECK_STR(got.body, "/do?2");
            CHECK_INT(client_answer(c, &got), 200);
            CHECK_STR(got.body, page_bytes);
            CHECK_INT(client_answer(c, &got), 200);
            CHECK_STR(got.body, "/do?3");
            EXPECT_EOF(c); /* and the one after the close is not answered */
            EXPECT_EVENTS("GET /do?1; GET /do?2; GET /do?3; ");
            client_close(c);
        }
        finish(server);
    }
    TEST("requests before a half-close are answered") {
        azc_server *server = serve_pages(NULL);
        client *c = client_open(server);
        client_print(c, "GET / HTTP/1.1\r\nHost: a\r\n\r\nGET /large HTTP/1.1\r\nHost: a\r\n\r\n");
        shutdown(c->fd, SHUT_WR);
        CHECK_INT(client_answer(c, &got), 200);
        CHECK_STR(got.body, page_bytes);
        CHECK_INT(client_answer(c, &got), 200);
        CHECK_INT(got.len, LARGE);
        EXPECT_EOF(c);
        finish(server);
    }
    TEST("a page larger than max_backlog arrives whole, and keeps the connection") {
        azc_config config = quick();
        config.max_backlog = 16384, config.max_message = 1024;
        azc_server *server = serve_pages(&config);
        client *c = client_open_to(server, "127.0.0.1", azc_port(server), 1);
        CHECK_INT(get(c, "/large"), 200);
        CHECK_INT(got.len, LARGE);
        CHECK_STR(got.body, large_page);
        CHECK_INT(get(c, "/"), 200);
        finish(server);
    }
    TEST("a peer that sends requests without reading takes no more memory than its backlog") {
        azc_server *server = serve_pages(NULL);
        client *c = client_open_to(server, "127.0.0.1", azc_port(server), 1);
        settle(server);
        size_t before = memory.peak = memory.bytes;
        static const char ask[] = "GET /do?do=100k HTTP/1.1\r\nHost: a\r\n\r\n";
        int asked = 0;
        for (; asked < 200; asked++) {
            client_send(c, ask, sizeof ask - 1);
            azc_poll(server, 0);
        }
        settle(server);
        if (!CHECK(memory.peak - before < 1000000))
            printf("    %lu bytes\n", (unsigned long)(memory.peak - before));
        /* answered in order, all of them, or up to one with Connection: close */
        int answered = 0, last = 0;
        for (; answered < asked && !last; answered++) {
            if (!CHECK_INT(client_answer(c, &got), 200)) break;
            CHECK(got.len == 100000 && memcmp(got.body, large_page, 100000) == 0);
            last = closes(&got);
        }
        CHECK(answered >= 2);
        if (last) EXPECT_EOF(c);
        else EXPECT_SILENCE(c);
        finish(server);
    }
    TEST("a page and a channel share a path, and a page's connection may become a channel") {
        azc_server *server = serve_pages(NULL);
        client *c = client_open(server);
        CHECK_INT(get(c, "/both"), 200);
        CHECK_STR(got.body, "both");
        CHECK_INT(client_upgrade(c, "/both", ""), 101);
        client_text(c, "hi"), settle(server);
        EXPECT_EVENTS("connect; text hi; ");
        CHECK_INT(azc_count(served, NULL), 1);
        c = client_open(server);
        CHECK_INT(get(c, "/channel"), 426);
        finish(server);
    }
    TEST("other methods are a 405 that allows GET and HEAD") {
        azc_server *server = serve_pages(NULL);
        const char *paths[] = {"/", "/do", "/both"};
        for (int i = 0; i < 3; i++) {
            client *c = client_open(server);
            client_print(c, "POST %s HTTP/1.1\r\nHost: a\r\n\r\n", paths[i]);
            CHECK_INT(client_answer(c, &got), 405);
            CHECK(answer_has(&got, "Allow", "GET, HEAD, OPTIONS"));
            CHECK(closes(&got));
            EXPECT_EOF(c);
            client_close(c);
        }
        finish(server);
    }
    TEST("pages have no origin rule, and no page is a 404 with its length") {
        azc_server *server = serve_pages(NULL);
        client *c = client_open(server);
        client_print(c, "GET / HTTP/1.1\r\nHost: a\r\nOrigin: http://evil.example\r\n\r\n");
        CHECK_INT(client_answer(c, &got), 200);
        CHECK_INT(get(c, "/nope"), 404);
        CHECK(answer_has(&got, "Content-Length", "14"));
        CHECK_STR(got.body, "404 Not Found\n");
        c = client_open(server);
        client_print(c, "HEAD /nope HTTP/1.1\r\nHost: a\r\n\r\n");
        CHECK_INT(client_answer_to(c, &got, 1), 404);
        EXPECT_EOF(c); /* without a body */
        finish(server);
    }
    TEST("a handler answers with azc_reply, fields and any status, once") {
        azc_server *server = serve_pages(NULL);
        client *c = client_open(server);
        CHECK_INT(get(c, "/do?do=redirect"), 302);
        int n;
        CHECK(answer_has(&got, "Location", "/elsewhere"));
        CHECK(answer_field(&got, "Set-Cookie", &n) != NULL && n == 2);
        CHECK(answer_field(&got, "Content-Type", NULL) == NULL);
        CHECK_INT(got.len, 0);
        client_close(c);
        int statuses[] = {200, 201, 204, 304, 307, 404, 418, 500, 599};
        for (size_t i = 0; i < sizeof statuses / sizeof *statuses; i++) {
            char target[64];
            snprintf(target, sizeof target, "/do?do=reply&n=%d", statuses[i]);
            c = client_open(server);
            CHECK_INT(get(c, target), statuses[i]);
            CHECK_STR(got.body, statuses[i] == 204 || statuses[i] == 304 ? "" : "body");
            if (!closes(&got)) CHECK_INT(get(c, "/"), 200);
            else EXPECT_EOF(c);
            client_close(c);
        }
        CHECK_INT(get_once(server, "/do?do=bad"), 200);
        CHECK_STR(got.body, "good");
        CHECK(answer_field(&got, "A", NULL) == NULL && answer_field(&got, "X", NULL) == NULL);
        CHECK_INT(get_once(server, "/do?do=full"), 200);
        CHECK_STR(got.body, "less");
        CHECK_INT(get_once(server, "/do?do=fields"), 200);
        CHECK_STR(got.body, "filled");
        CHECK(answer_field(&got, "X-Filler", &n) != NULL && n > 2);
        finish(server);
    }
    TEST("a handler's result is the status, a negative one a 500") {
        azc_server *server = serve_pages(NULL);
        CHECK_INT(get_once(server, "/do?do=status&n=403"), 403);
        CHECK_INT(get_once(server, "/do?do=status&n=404"), 404);
        CHECK_INT(get_once(server, "/do?do=status&n=503"), 503);
        CHECK_INT(get_once(server, "/do?do=status&n=-15"), 500);
        CHECK_INT(get_once(server, "/do?do=status&n=199"), 500); /* no status */
        CHECK_INT(get_once(server, "/do?do=status&n=600"), 500);
        CHECK(get_once(server, "/do?do=status&n=0") >= 200); /* some answer, not a hang */
        client *c = client_open(server);
        client_print(c, "HEAD /do?do=100k HTTP/1.1\r\nHost: a\r\n\r\n");
        CHECK_INT(client_answer_to(c, &got, 1), 200);
        CHECK(answer_has(&got, "Content-Length", "100000"));
        EXPECT_SILENCE(c);
        finish(server);
    }
    TEST("a kept connection that falls silent ends at handshake_ms, in a request with a 408") {
        azc_config config = quick();
        config.handshake_ms = 50;
        azc_server *server = serve_pages(&config);
        client *idle = client_open(server), *begun = client_open(server);
        CHECK_INT(get(idle, "/"), 200);
        CHECK_INT(get(begun, "/"), 200);
        client_print(begun, "GET /do HTT");
        CHECK_INT(client_answer(begun, &got), 408);
        EXPECT_EOF(begun);
        EXPECT_EOF(idle);
        finish(server);
    }
    TEST("a slow reader of a large page outlives the deadlines, a stalled one does not") {
        enum { HUGE = 24 << 20, ENDS = 3 }; /* more than the kernel takes */
        static const char *const fields[ENDS] = {"", "Connection: close\r\n", ""};
        static char piece[64000];
        char *page = (char *)calloc(1, HUGE);
        client *slow[ENDS], *stuck[ENDS];
        size_t got_of[ENDS] = {0}, least = 0;
        azc_config config = quick();
        const char *preload = getenv("LD_PRELOAD"); /* valgrind takes its time */
        int deadline = preload && strstr(preload, "vgpreload") ? 2500 : 1500;
        config.handshake_ms = config.close_ms = deadline;
        azc_server *server = create(&config);
        azc_add_page(server, "/huge", "text/plain", page, HUGE);
        listening(server);
        int base = descriptors();
        for (int i = 0; i < ENDS; i++) { /* kept, to be closed, and half-closed by the peer */
            slow[i] = client_open(server); /* stuck: with a buffer that does not grow */
            stuck[i] = client_open_to(server, "127.0.0.1", azc_port(server), 1);
            client_print(slow[i], "GET /huge HTTP/1.1\r\nHost: a\r\n%s\r\n", fields[i]);
            client_print(stuck[i], "GET /huge HTTP/1.1\r\nHost: a\r\n%s\r\n", fields[i]);
        }
        shutdown(slow[2]->fd, SHUT_WR), shutdown(stuck[2]->fd, SHUT_WR);
        settle(server);
        for (long long end = now_ms() + 3 * deadline;
             now_ms() < end && descriptors() > base + 3 * ENDS; pump(server, 5))
            for (int i = 0; i < ENDS; i++) { /* 3 MB a second at most */
                ssize_t n = recv(slow[i]->fd, piece, 16000, 0);
                if (n > 0) got_of[i] += (size_t)n;
                if (i < 2) client_send_some(stuck[i], "G", 1); /* no sign of life */
            }
        CHECK_INT(descriptors(), base + 3 * ENDS); /* the clients, and the server's slow ones */
        for (long long end = now_ms() + test_patience(); now_ms() < end && least <= HUGE;
             azc_poll(server, 1)) {
            least = SIZE_MAX;
            for (int i = 0; i < ENDS; i++) { /* in turns: none waits for another's end */
                ssize_t n = recv(slow[i]->fd, piece, sizeof piece, 0);
                if (n > 0) got_of[i] += (size_t)n;
                if (got_of[i] < least) least = got_of[i];
            }
        }
        CHECK(least > HUGE); /* with its head */
        finish(server);
        free(page);
    }
    TEST("a peer that does not read gains no time by sending the next head byte by byte") {
        static char page[60000];
        azc_config config = quick();
        config.handshake_ms = 250;
        azc_server *server = create(&config);
        azc_add_page(server, "/page", "text/plain", page, sizeof page);
        listening(server);
        client *c = client_open_to(server, "127.0.0.1", azc_port(server), 1);
        settle(server);
        const azc_conn *conn = server->slots[0];
        for (int i = 0; i < 500 && CHECK(conn != NULL) && azc_backlog(conn) == 0; i++) {
            client_print(c, "GET /page HTTP/1.1\r\nHost: a\r\n\r\n");
            settle(server);
        }
        CHECK(azc_backlog(conn) > 0 && azc_backlog(conn) <= server->pause); /* still read */
        long long start = now_ms();
        while (azc_stats(server)->connections > 0 && now_ms() < start + 2000) {
            client_send_some(c, "G", 1);
            pump(server, 20);
        }
        CHECK(now_ms() - start < 1000);
        finish(server);
    }
    TEST("a stop waits for no slow reader") {
        enum { HUGE = 64 << 20 };
        static char piece[100000];
        char *page = (char *)calloc(1, HUGE);
        azc_config config = quick();
        config.close_ms = 200;
        azc_server *server = create(&config);
        azc_add_page(server, "/huge", "text/plain", page, HUGE);
        listening(server);
        client *slow = client_open(server), *last = client_open(server);
        client_print(slow, "GET /huge HTTP/1.1\r\nHost: a\r\n\r\n");
        client_print(last, "GET /huge HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
        settle(server);
        azc_stop(server);
        long long start = now_ms(), end = start + WAIT_MS;
        int result = 1;
        while (result > 0 && now_ms() < end) {
            result = azc_poll(server, 5);
            recv(slow->fd, piece, sizeof piece, 0), recv(last->fd, piece, sizeof piece, 0);
            poll(NULL, 0, 2); /* 50 MB a second at most */
        }
        CHECK_INT(result, 0);
        CHECK(now_ms() - start < 200 + 1000);
        finish(server);
        free(page);
    }
    TEST("a request to upgrade to another protocol is served as a normal request") {
        azc_server *server = serve_pages(NULL);
        client *c = client_open(server);
        client_print(c, "GET / HTTP/1.1\r\nHost: a\r\nConnection: Upgrade, HTTP2-Settings\r\n"
                        "Upgrade: h2c\r\nHTTP2-Settings: AAMAAABkAAQAoAAA\r\n\r\n");
        CHECK_INT(client_answer(c, &got), 200);
        CHECK_STR(got.body, page_bytes);
        CHECK_INT(get(c, "/"), 200);
        finish(server);
    }
    TEST("a kept connection may serve for longer than handshake_ms in all") {
        azc_config config = quick();
        config.handshake_ms = 150;
        azc_server *server = serve_pages(&config);
        client *c = client_open(server);
        for (int i = 0; i < 10; i++) {
            CHECK_INT(get(c, "/"), 200);
            pump(server, 30);
        }
        finish(server);
    }
}

/* ---- Versions -------------------------------------------------------------------------------- */

/* GET or HEAD a target with further fields, on a kept connection. */
static int get_with(client *c, const char *method, const char *target, const char *fields) {
    client_print(c, "%s %s HTTP/1.1\r\nHost: a\r\n%s\r\n", method, target, fields);
    return client_answer_to(c, &got, strcmp(method, "HEAD") == 0);
}

static int with_cache_control(azc_conn *conn, void *user) {
    (void)user;
    if (azc_query(conn, "set") == NULL) return AZC_OK;
    azc_reply_header(conn, "X-Cache-Control", "first");
    return azc_reply_header(conn, "cache-control", "max-age=60");
}

static void versions(void) {
    TEST("a page has an ETag of its bytes, the same after a restart and in fixed memory") {
        static unsigned char block[2 << 20];
        char tags[3][100];
        for (int i = 0; i < 3; i++) {
            azc_config config = quick();
            if (i == 2) {
                config.max_connections = 4;
                config.read_buffer = config.max_message = 4 << 10, config.max_backlog = 32 << 10;
                create_block.memory = block, create_block.size = azc_memory_bound(&config);
            }
            azc_server *server = create(&config);
            CHECK_INT(azc_add_page(server, "/a", "text/plain", "one", 3), AZC_OK);
            CHECK_INT(azc_add_page(server, "/b", "text/plain", "two", 3), AZC_OK);
            CHECK_INT(azc_add_page(server, "/same", "text/html", "one", 3), AZC_OK);
            CHECK_INT(azc_add_page(server, "/none", "text/plain", NULL, 0), AZC_OK);
            CHECK_INT(azc_add_handler(server, "/do", reply_handler, NULL), AZC_OK);
            listening(server);
            client *c = client_open(server);
            CHECK_INT(get(c, "/a"), 200);
            int n;
            const char *tag = answer_field(&got, "ETag", &n);
            if (!CHECK(tag != NULL)) break;
            CHECK_INT(n, 1);
            CHECK(strlen(tag) == 18 && tag[0] == '"' && tag[17] == '"');
            strcpy(tags[i], tag);
            CHECK(answer_has(&got, "Cache-Control", "no-cache"));
            CHECK_INT(get(c, "/same"), 200);
            CHECK(answer_has(&got, "ETag", tags[i]));
            CHECK_INT(get(c, "/b"), 200);
            CHECK(!answer_has(&got, "ETag", tags[i]) && answer_field(&got, "ETag", NULL) != NULL);
            CHECK_INT(get(c, "/none"), 200);
            CHECK(!answer_has(&got, "ETag", tags[i]) && answer_field(&got, "ETag", NULL) != NULL);
            CHECK_INT(get(c, "/do"), 200);
            CHECK(answer_field(&got, "ETag", NULL) == NULL);
            CHECK(answer_field(&got, "Cache-Control", NULL) == NULL);
            CHECK_STR(tags[i], tags[0]);
            finish(server);
        }
    }
    TEST("a peer that has the page gets 304, with the fields of the 200 and without a body") {
        azc_server *server = create(NULL);
        CHECK_INT(azc_add_page(server, "/", "text/plain", "hello", 5), AZC_OK);
        listening(server);
        client *c = client_open(server);
        char tag[32], fields[400];
        CHECK_INT(get(c, "/"), 200);
        snprintf(tag, sizeof tag, "%s", answer_field(&got, "ETag", NULL));
        static const struct {
            const char *pattern; /* $: the tag */
            int status;
        } cases[] = {
            {"If-None-Match: $\r\n", 304}, {"if-none-match: W/$\r\n", 304},
            {"If-None-Match: *\r\n", 304}, {"If-None-Match:   $  \r\n", 304},
            {"If-None-Match: \"a\", \"b,c\" ,W/\"d\",\t$\r\n", 304},
            {"If-None-Match: $, \"a\"\r\n", 304}, {"If-None-Match: ,,$,,\r\n", 304},
            {"If-None-Match: \"a\"\r\nIf-None-Match: $\r\n", 304},
            {"If-None-Match: $\r\nIf-Modified-Since: Sun, 06 Nov 1994 08:49:37 GMT\r\n", 304},
            {"If-None-Match: \"a\"\r\n", 200}, {"If-None-Match:\r\n", 200},
            {"If-None-Match: w/$\r\n", 200}, {"If-None-Match: W/W/$\r\n", 200},
            {"If-None-Match: W/\r\n", 200}, {"If-None-Match: W\r\n", 200},
            {"If-None-Match: $x\r\n", 200}, {"If-None-Match: x$\r\n", 200},
            {"If-None-Match: $;$\r\n", 200}, {"If-None-Match: **\r\n", 200},
            {"If-None-Match: \"*\"\r\n", 200}, {"If-None-Match: '$'\r\n", 200},
            {"If-Match: $\r\n", 200}, {"Range: bytes=0-1\r\n", 200},
        };
        for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
            char *out = fields;
            for (const char *p = cases[i].pattern; *p; p++)
                out = *p == '$' ? stpcpy(out, tag) : (*out = *p, out + 1);
            *out = 0;
            for (int head = 0; head < 2; head++) {
                if (!CHECK_INT(get_with(c, head ? "HEAD" : "GET", "/", fields), cases[i].status))
                    printf("    %s", fields);
                int same = cases[i].status == 304;
                CHECK(answer_has(&got, "ETag", tag));
                CHECK(answer_has(&got, "Cache-Control", "no-cache"));
                CHECK((answer_field(&got, "Content-Length", NULL) == NULL) == same);
                CHECK((answer_field(&got, "Content-Type", NULL) == NULL) == same);
                CHECK_STR(got.body, same || head ? "" : "hello");
            }
        }
        EXPECT_SILENCE(c);
        finish(server);
    }
    TEST("a handler of azc_use may set another Cache-Control, for the 304 too") {
        azc_server *server = create(NULL);
        CHECK_INT(azc_use(server, with_cache_control, NULL), AZC_OK);
        CHECK_INT(azc_add_page(server, "/", "text/plain", "hello", 5), AZC_OK);
        listening(server);
        client *c = client_open(server);
        for (int i = 0; i < 4; i++) {
            int n;
            const char *all = i & 1 ? "If-None-Match: *\r\n" : "";
            CHECK_INT(get_with(c, "GET", i < 2 ? "/?set" : "/", all), i & 1 ? 304 : 200);
            CHECK_STR(answer_field(&got, "Cache-Control", &n), i < 2 ? "max-age=60" : "no-cache");
            CHECK_INT(n, 1);
        }
        finish(server);
    }
}

/* ---- The chain ------------------------------------------------------------------------------- */

static int pass(azc_conn *conn, void *user) {
    note("%s %s %s", (const char *)user, azc_method(conn), azc_target(conn));
    return AZC_OK;
}
static int guard(azc_conn *conn, void *user) {
    const char *token = azc_query(conn, "token");
    note("guard");
    CHECK_STR((const char *)user, "u");
    CHECK_STR(azc_peer(conn), "127.0.0.1");
    if (azc_header(conn, "X-Reply")) {
        azc_reply(conn, 402, "text/plain", "pay", 3);
        return AZC_OK;
    }
    if (azc_header(conn, "X-Fail")) return AZC_ERR_APP;
    return token && strcmp(token, "secret") == 0 ? AZC_OK : 401;
}
static int chain_upgrade(azc_conn *conn) {
    (void)conn;
    note("upgrade");
    return AZC_OK;
}

static void chain(void) {
    TEST("handlers run in the order added, before routing, until one answers") {
        azc_server *server = create(NULL);
        char a[] = "first", b[] = "last", u[] = "u";
        azc_channel_desc d = recorder("/t");
        d.on_upgrade = chain_upgrade;
        CHECK_INT(azc_use(server, pass, a), AZC_OK);
        CHECK_INT(azc_use(server, guard, u), AZC_OK);
        CHECK_INT(azc_use(server, pass, b), AZC_OK);
        CHECK(azc_add_channel(server, &d) != NULL);
        CHECK_INT(azc_add_page(server, "/", "text/plain", "x", 1), AZC_OK);
        listening(server);
        CHECK_INT(get_once(server, "/"), 401);
        CHECK(closes(&got));
        EXPECT_EVENTS("first GET /; guard; ");
        CHECK_INT(get_once(server, "/nowhere?token=secret"), 404);
        EXPECT_EVENTS("first GET /nowhere?token=secret; guard; last GET /nowhere?token=secret; ");
        CHECK_INT(get_once(server, "/?token=secret"), 200);
        EXPECT_EVENTS("first GET /?token=secret; guard; last GET /?token=secret; ");
        client *c = client_open(server);
        CHECK_INT(client_upgrade(c, "/t", ""), 401);
        EXPECT_EOF(c);
        EXPECT_EVENTS("first GET /t; guard; ");
        c = client_open(server);
        CHECK_INT(client_upgrade(c, "/t?token=secret", ""), 101);
        EXPECT_EVENTS("first GET /t?token=secret; guard; last GET /t?token=secret; upgrade; "
                      "connect; ");
        c = client_open(server);
        CHECK_INT(client_upgrade(c, "/t?token=secret", "X-Reply: 1\r\n"), 402);
        EXPECT_EOF(c);
        EXPECT_EVENTS("first GET /t?token=secret; guard; ");
        c = client_open(server);
        CHECK_INT(client_upgrade(c, "/t?token=secret", "X-Fail: 1\r\n"), 500);
        EXPECT_EVENTS("first GET /t?token=secret; guard; ");
        c = client_open(server); /* malformed: no handler sees it */
        client_print(c, "GET /t HTTP/1.1\r\nHost : x\r\n\r\n");
        CHECK_INT(client_answer(c, &got), 400);
        EXPECT_EVENTS("");
        c = client_open(server); /* each request of a kept connection passes */
        get(c, "/?token=secret"), get(c, "/?token=secret");
        CHECK_INT(count_of(tape_text(&events), "guard"), 2);
        CHECK_INT(count_of(tape_text(&events), "last"), 2);
        finish(server);
    }
    TEST("handlers, pages and channels cannot be added after azc_listen") {
        azc_server *server = serve_pages(NULL);
        azc_channel_desc d = recorder("/more");
        CHECK_INT(azc_use(server, pass, NULL), AZC_ERR_STATE);
        CHECK_INT(azc_add_page(server, "/more", "t/t", "x", 1), AZC_ERR_STATE);
        CHECK_INT(azc_add_handler(server, "/more", reply_handler, NULL), AZC_ERR_STATE);
        CHECK(azc_add_channel(server, &d) == NULL);
        CHECK_INT(get_once(server, "/more"), 404);
        finish(server);
    }
}

int main(int argc, char **argv) {
    test_start(argc, argv);
    routing();
    pages();
    versions();
    chain();
    free(large_page);
    tape_clear(&events), tape_clear(&log_lines);
    return test_end();
}
