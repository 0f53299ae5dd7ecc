/* REQUEST: versions of HTTP, OPTIONS, and answers without a body: RFC 9110 and 9112. */
#define AZCHAN_IMPLEMENTATION
#include "../azchan.h"
#include "test.h"
#include "requests.h"

static void versions(void) {
    TEST("HTTP/1.0 is served pages, with or without Host, and the connection ends") {
        static const char *const asked[] = {
            "GET / HTTP/1.0\r\nHost: a.example\r\n\r\n", "GET / HTTP/1.0\r\n\r\n",
            "GET / HTTP/1.0\r\nHost:\r\n\r\n", "GET http://a.example/ HTTP/1.0\r\n\r\n",
            "HEAD / HTTP/1.0\r\nHost: a.example\r\n\r\n",
            "GET / HTTP/1.0\r\nHost: a\r\nConnection: close\r\n\r\n", /* nginx */
            "GET / HTTP/1.0\r\nConnection: Keep-Alive\r\n\r\n", /* ab -k */
            "GET / HTTP/1.0\r\n\r\nGET / HTTP/1.0\r\n\r\n"};
        for (int fixed = 0; fixed < 2; fixed++) {
            azc_config config = limits(fixed);
            fix(&config, fixed);
            azc_server *server = serving_pages(&config);
            for (size_t i = 0; i < sizeof asked / sizeof *asked; i++) {
                if (!CHECK_INT(ask_last(server, asked[i]), 200)) printf("    %s", asked[i]);
                CHECK(answer_has(&got, "Connection", "close"));
                CHECK(answer_has(&got, "Content-Length", "5"));
                if (*asked[i] == 'G') CHECK_STR(got.body, "hello");
            }
            finish(server);
        }
    }
    TEST("HTTP/1.0 gets no upgrade: the page of the path, or 426 and a log line") {
        azc_server *server = serving_pages(NULL);
        CHECK_INT(ask_last(server, "GET /both HTTP/1.0\r\n" UPGRADE "\r\n"), 200);
        CHECK_STR(got.body, "both");
        CHECK_INT(ask_last(server, "GET /t HTTP/1.0\r\nHost: a\r\n\r\n"), 426);
        tape_clear(&log_lines);
        CHECK_INT(ask_last(server, "GET /t HTTP/1.0\r\n" UPGRADE "\r\n"), 426);
        CHECK(answer_has(&got, "Upgrade", "websocket"));
        if (!CHECK_INT(logged("426") * logged("HTTP/1.1"), 1)) puts(tape_text(&log_lines));
        EXPECT_EVENTS("");
        finish(server);
    }
    TEST("HTTP/1.0 with Transfer-Encoding is malformed (RFC 9112 6.1)") {
        azc_server *server = serving_pages(NULL);
        CHECK_INT(ask_last(server, "GET / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n"), 400);
        CHECK_INT(ask_last(server, "GET / HTTP/1.0\r\nHost: a\r\nHost: a\r\n\r\n"), 400);
        CHECK_INT(ask_last(server, "GET / HTTP/1.0\r\nHost: a b\r\n\r\n"), 400);
        finish(server);
    }
    TEST("higher minor versions are 1.1, other major versions are 505 (RFC 9110 2.5, 15.6.6)") {
        azc_server *server = serving_pages(NULL);
        CHECK_INT(ask(server, "GET / HTTP/1.2\r\nHost: a\r\n\r\n"), 200);
        CHECK(answer_field(&got, "Connection", NULL) == NULL);
        CHECK_INT(ask(server, "GET /t HTTP/1.9\r\n" UPGRADE "\r\n"), 101);
        CHECK_INT(ask(server, "GET / HTTP/1.2\r\n\r\n"), 400); /* no Host */
        CHECK_INT(ask_last(server, "GET / HTTP/2.0\r\nHost: a\r\n\r\n"), 505);
        CHECK_INT(ask_last(server, "GET / HTTP/0.9\r\n\r\n"), 505);
        CHECK_INT(ask_last(server, "PRI * HTTP/2.0\r\n\r\n"), 505);
        finish(server);
    }
    TEST("OPTIONS is answered 204 with what the path allows") {
        static const struct {
            const char *target, *version, *allow;
        } asked[] = {
            {"*", "1.1\r\nHost: a", "GET, HEAD, OPTIONS"},
            {"*", "1.0", "GET, HEAD, OPTIONS"}, /* HAProxy's httpchk: OPTIONS / HTTP/1.0 */
            {"/", "1.0", "GET, HEAD, OPTIONS"},
            {"/", "1.1\r\nHost: a", "GET, HEAD, OPTIONS"},
            {"/do?x=1", "1.1\r\nHost: a", "GET, HEAD, OPTIONS"},
            {"/both", "1.1\r\nHost: a", "GET, HEAD, OPTIONS"},
            {"/t", "1.1\r\nHost: a", "GET, OPTIONS"},
            {"http://a/%74", "1.1\r\nHost: a", "GET, OPTIONS"},
        };
        char request[256];
        azc_server *server = serving_pages(NULL);
        for (size_t i = 0; i < sizeof asked / sizeof *asked; i++) {
            snprintf(request, sizeof request, "OPTIONS %s HTTP/%s\r\n\r\n", asked[i].target,
                     asked[i].version);
            if (!CHECK_INT(ask(server, request), 204)) printf("    %s", request);
            CHECK_STR(answer_field(&got, "Allow", NULL), asked[i].allow);
            CHECK(answer_field(&got, "Content-Length", NULL) == NULL);
            CHECK(answer_field(&got, "Content-Type", NULL) == NULL);
        }
        client *c = client_open(server); /* and the connection is kept */
        client_print(c, "OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n");
        CHECK_INT(client_answer(c, &got), 204);
        CHECK_INT(client_answer(c, &got), 200);
        CHECK_INT(ask(server, "OPTIONS /nowhere HTTP/1.1\r\nHost: a\r\n\r\n"), 404);
        CHECK_INT(ask(server, "OPTIONS x HTTP/1.1\r\nHost: a\r\n\r\n"), 400);
        CHECK_INT(ask(server, "OPTIONS ** HTTP/1.1\r\nHost: a\r\n\r\n"), 400);
        CHECK_INT(ask(server, "GET * HTTP/1.1\r\nHost: a\r\n\r\n"), 400);
        CHECK_INT(ask(server, "OPTIONS * HTTP/1.1\r\n\r\n"), 400);
        CHECK_INT(ask(server, "POST / HTTP/1.1\r\nHost: a\r\n\r\n"), 405);
        CHECK_STR(answer_field(&got, "Allow", NULL), "GET, HEAD, OPTIONS");
        CHECK_INT(ask(server, "POST /t HTTP/1.1\r\nHost: a\r\n\r\n"), 405);
        CHECK_STR(answer_field(&got, "Allow", NULL), "GET, OPTIONS");
        EXPECT_EVENTS("");
        finish(server);
    }
    TEST("an OPTIONS with a body ends the connection; its bytes are no request") {
        azc_server *server = serving_pages(NULL);
        CHECK_INT(ask_last(server, "OPTIONS / HTTP/1.1\r\nHost: a\r\nContent-Length: 28\r\n\r\n"
                                   "GET / HTTP/1.1\r\nHost: a\r\n\r\n"), 204);
        finish(server);
    }
    TEST("204, 205 and 304 have neither body nor type, and 205 says Content-Length: 0") {
        azc_server *server = serving_pages(NULL);
        client *c = client_open(server);
        client_print(c, "GET /do?do=205 HTTP/1.1\r\nHost: a\r\n\r\n"
                        "GET / HTTP/1.1\r\nHost: a\r\n\r\n");
        CHECK_INT(client_answer(c, &got), 205);
        CHECK_INT(got.len, 0);
        CHECK(answer_has(&got, "Content-Length", "0"));
        CHECK(answer_field(&got, "Content-Type", NULL) == NULL);
        CHECK_INT(client_answer(c, &got), 200);
        CHECK_INT(ask(server, "GET /do?do=204 HTTP/1.1\r\nHost: a\r\n\r\n"), 204);
        CHECK(answer_field(&got, "Content-Type", NULL) == NULL);
        CHECK(answer_field(&got, "Content-Length", NULL) == NULL);
        CHECK_INT(ask(server, "GET /do?do=304 HTTP/1.1\r\nHost: a\r\n\r\n"), 304);
        CHECK(answer_field(&got, "Content-Type", NULL) == NULL);
        finish(server);
    }
}

int main(int argc, char **argv) {
    test_start(argc, argv);
    versions();
    tape_clear(&events), tape_clear(&log_lines);
    return test_end();
}
