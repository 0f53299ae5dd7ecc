/* REQUEST: pipelined requests, whose answers the peer reads more slowly than it asks. */
#define AZCHAN_IMPLEMENTATION
#include "../azchan.h"
#include "test.h"
#include "requests.h"

/* So many requests in one write, then their answers in order. */
static void pipeline(azc_server *server, const char *target, int times, size_t len, int small) {
    static char all[64 << 10];
    size_t n = 0;
    for (int i = 0; i < times; i++)
        n += (size_t)snprintf(all + n, sizeof all - n, "GET %s HTTP/1.1\r\nHost: a\r\n\r\n",
                              target);
    client *c = client_open_to(server, "127.0.0.1", azc_port(server), small);
    client_send(c, all, n);
    int answers = 0;
    while (answers < times && client_answer(c, &got) == 200 && got.len == len) answers++;
    if (!CHECK_INT(answers, times)) printf("    for %d times %s\n", times, target);
    EXPECT_SILENCE(c);
    CHECK_INT(c->eof, 0);
    client_close(c);
}

static void pipelines(void) {
    TEST("16 pipelined requests for a 14 KB page in one write get 16 answers") {
        for (int fixed = 0; fixed < 2; fixed++) {
            azc_config config = limits(fixed);
            fix(&config, fixed);
            azc_server *server = serving_pages(&config);
            pipeline(server, "/page", 16, PAGE, 0);
            pipeline(server, "/page", 16, PAGE, 1);
            pipeline(server, "/page", 64, PAGE, 0);
            pipeline(server, "/do", 400, 3, 0);
            finish(server);
        }
    }
    TEST("pipelined replies up to max_backlog each are all whole") {
        azc_server *server = serving_pages(NULL);
        pipeline(server, "/do?do=big", 9, BIG, 0);
        pipeline(server, "/do?do=half", 30, 24 << 10, 0);
        finish(server);
        azc_config config = limits(1);
        fix(&config, 1);
        server = serving_pages(&config);
        pipeline(server, "/do?do=half", 30, 24 << 10, 0);
        finish(server);
    }
    TEST("a pipeline is answered in order, whatever its cuts, and also before a half-close") {
        azc_config config = limits(0);
        config.max_message = 1024, config.max_backlog = 8 << 10, config.max_request = 512;
        char all[4096];
        for (size_t piece = 1; piece < 700; piece += piece < 8 ? 1 : 97) {
            azc_server *server = serving_pages(&config);
            client *c = client_open(server);
            size_t n = 0;
            for (int i = 0; i < 24; i++)
                n += (size_t)snprintf(all + n, sizeof all - n,
                                      "GET %s%d HTTP/1.1\r\nHost: a\r\n\r\n",
                                      i % 3 ? "/do?" : "/page?", i);
            for (size_t at = 0; at < n; at += piece) {
                client_send(c, all + at, n - at < piece ? n - at : piece);
                if (piece > 8) azc_poll(server, 0);
            }
            shutdown(c->fd, SHUT_WR);
            for (int i = 0; i < 24; i++) {
                char want[16];
                snprintf(want, sizeof want, "/do?%d", i);
                if (!CHECK_INT(client_answer(c, &got), 200)) break;
                if (i % 3 == 0) CHECK_INT(got.len, PAGE);
                else CHECK_STR(got.body, want);
            }
            EXPECT_EOF(c);
            finish(server);
        }
    }
    TEST("an upgrade and messages behind a long pipeline still arrive") {
        for (int fixed = 0; fixed < 2; fixed++) {
            azc_config config = limits(fixed);
            fix(&config, fixed);
            azc_server *server = serving_pages(&config);
            client *c = client_open(server);
            unsigned char all[8192];
            size_t n = 0;
            for (int i = 0; i < 32; i++)
                n += (size_t)sprintf((char *)all + n, "GET /page HTTP/1.1\r\nHost: a\r\n\r\n");
            n += (size_t)sprintf((char *)all + n, "GET /t HTTP/1.1\r\n" UPGRADE "\r\n");
            for (int i = 0; i < 9; i++)
                n += put_frame(all + n, FIN | TEXT, "hi", 2, SHORTEST, some_mask);
            client_send(c, all, n);
            int pages = 0;
            while (pages < 32 && client_answer(c, &got) == 200 && got.len == PAGE) pages++;
            CHECK_INT(pages, 32);
            CHECK_INT(client_answer(c, &got), 101);
            settle(server);
            EXPECT_EVENTS("connect; text hi; text hi; text hi; text hi; text hi; text hi; text hi; "
                          "text hi; text hi; ");
            finish(server);
        }
    }
    TEST("a peer that pipelines and reads nothing holds what it may, and is answered later") {
        azc_server *server = serving_pages(NULL);
        client *c = client_open_to(server, "127.0.0.1", azc_port(server), 1);
        settle(server);
        size_t before = memory.peak = memory.bytes;
        static const char one[] = "GET /do?do=half HTTP/1.1\r\nHost: a\r\n\r\n";
        int asked = 0;
        for (int i = 0; i < 3000; i++, asked++) {
            long sent = client_send_some(c, one, sizeof one - 1);
            if (sent < (long)sizeof one - 1) {
                if (sent > 0) client_send(c, one + sent, sizeof one - 1 - (size_t)sent), asked++;
                break;
            }
            azc_poll(server, 0);
        }
        settle(server);
        if (!CHECK(memory.peak - before < 400 << 10))
            printf("    %lu bytes\n", (unsigned long)(memory.peak - before));
        int answered = 0;
        while (answered < asked && client_answer(c, &got) == 200 && got.len == 24 << 10) answered++;
        CHECK_INT(answered, asked);
        EXPECT_SILENCE(c);
        finish(server);
    }
    TEST("the last answer of a pipeline ends it: a refusal, or Connection: close") {
        azc_server *server = serving_pages(NULL);
        for (int i = 0; i < 2; i++) {
            client *c = client_open(server);
            for (int j = 0; j < 20; j++) client_print(c, "GET /page HTTP/1.1\r\nHost: a\r\n\r\n");
            client_print(c, i ? "GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"
                              : "GET /nowhere HTTP/1.1\r\nHost: a\r\n\r\n");
            for (int j = 0; j < 20; j++) client_print(c, "GET /do HTTP/1.1\r\nHost: a\r\n\r\n");
            for (int j = 0; j < 20; j++)
                if (!CHECK_INT(client_answer(c, &got), 200)) break;
            CHECK_INT(client_answer(c, &got), i ? 200 : 404);
            EXPECT_EOF(c);
            EXPECT_EVENTS("");
            client_close(c);
        }
        finish(server);
    }
    TEST("a stop in the middle of a pipeline ends it in order") {
        azc_server *server = serving_pages(NULL);
        client *c = client_open_to(server, "127.0.0.1", azc_port(server), 1);
        for (int j = 0; j < 64; j++) client_print(c, "GET /page HTTP/1.1\r\nHost: a\r\n\r\n");
        settle(server);
        azc_stop(server);
        int answered = 0;
        while (client_answer(c, &got) == 200 && got.len == PAGE) answered++;
        CHECK(answered > 0 && answered < 64);
        CHECK(c->len == 0 && c->eof == 1);
        finish(server);
    }
}

int main(int argc, char **argv) {
    test_start(argc, argv);
    pipelines();
    tape_clear(&events), tape_clear(&log_lines);
    return test_end();
}
