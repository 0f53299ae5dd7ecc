/* SHUTDOWN over real sockets: azc_shutdown. tests/net does the same with real processes. */
#define AZCHAN_IMPLEMENTATION
#include "../azchan.h"
#include "test.h"
#include "client.h"

/* ---- Making way ------------------------------------------------------------------------------ */

static long long told[64];
static int tellings;
static void tell_time(azc_conn *conn, int code, const char *reason) {
    CHECK(conn && reason);
    CHECK_INT(code, 1001);
    told[tellings++] = now_ms();
}

/* Poll until the server has ended; returns when, in ms from start. */
static int ends_after(azc_server *server, long long start) {
    int result;
    while ((result = azc_poll(server, 100)) == 1 && now_ms() < start + WAIT_MS) {
        for (client *c = clients; c; c = c->next) { /* a peer that got 1001 leaves */
            client_fill(c);
            if (c->len >= 4 && !c->eof && c->in[0] == (FIN | CLOSE)) {
                client_bye(c, 1001, "");
                shutdown(c->fd, SHUT_WR);
                client_take(c, c->len);
            }
        }
    }
    CHECK_INT(result, 0);
    return (int)(now_ms() - start);
}

static void drained(void) {
    TEST("azc_shutdown closes peers with 1001 evenly over the time, and ends after the last") {
        azc_channel_desc d = recorder("/t");
        d.on_connect = NULL, d.on_close = tell_time;
        azc_server *server = serve(NULL, d);
        client *gone[20];
        for (int i = 0; i < 20; i++) gone[i] = join_channel(server, "/t");
        for (int i = 0; i < 40; i++) join_channel(server, "/t");
        tellings = 0;
        d.on_close = NULL;
        served->desc.on_close = NULL;
        for (int i = 0; i < 20; i++) client_close(gone[i]); /* the first slots are free */
        pump_until(server, azc_count(served, NULL) == 40);
        served->desc.on_close = tell_time;
        long long start = now_ms();
        CHECK_INT(azc_shutdown(server, 800), AZC_OK);
        int ms = ends_after(server, start);
        CHECK_INT(tellings, 40);
        CHECK(ms >= 750 && ms < WAIT_MS); /* not before the last got 1001 */
        for (int i = 0; i < 40; i++) { /* the nth is due at 20 n; the machine may be late */
            int late = (int)(told[i] - start) - i * 20;
            if (!CHECK(late > -20 && late < 1000)) printf("    the %dth by %d ms\n", i, late);
        }
        finish(server);
    }
    TEST("the time of azc_shutdown begins with the call, however long ago the last turn was") {
        azc_server *server = serve(NULL, echoer("/t"));
        for (int i = 0; i < 10; i++) join_channel(server, "/t");
        usleep(300000);
        CHECK_INT(azc_shutdown(server, 250), AZC_OK);
        usleep(2000);
        azc_poll(server, 0);
        CHECK(azc_stats(server)->open >= 5);
        finish(server);
    }
    TEST("during azc_shutdown requests are answered, newcomers are not; it ends at the deadline") {
        azc_config config = quick();
        config.close_ms = 100;
        azc_server *server = serve(&config, recorder("/t"));
        azc_add_page(server, "/", "text/plain", "page", 4);
        int port = azc_port(server);
        client *stays = join_channel(server, "/t"), *asks = client_open(server);
        client *joins = client_open(server), *silent = client_open(server);
        settle(server);
        tape_clear(&events);
        long long start = now_ms();
        CHECK_INT(azc_shutdown(server, 1000), AZC_OK);
        azc_poll(server, 0);
        CHECK(client_open_to(server, "127.0.0.1", port, 0) == NULL);
        answer a;
        client_print(asks, "GET /t HTTP/1.1\r\nHost: a\r\n\r\n");
        CHECK_INT(client_answer(asks, &a), 426);
        EXPECT_CLOSE(stays, 1001, NULL);
        EXPECT_EVENTS("close 1001; ");
        CHECK_INT(client_upgrade(joins, "/t?name=late", ""), 101); /* it was here before */
        EXPECT_EVENTS("late connect; ");
        EXPECT_SILENCE(joins);
        CHECK(now_ms() - start < 950);
        int ms = ends_after(server, start);
        CHECK(ms >= 1000 && ms < WAIT_MS); /* the deadline, and close_ms for the silent peer */
        EXPECT_EVENTS("late close 1001; ");
        CHECK(silent != NULL);
        finish(server);
    }
    TEST("azc_shutdown serves connections that the kernel had already accepted") {
        azc_server *server = serve(NULL, echoer("/t"));
        client *c[100];
        for (int i = 0; i < 100; i++) c[i] = client_open(server);
        CHECK_INT(azc_shutdown(server, 300), AZC_OK);
        for (int i = 0; i < 100; i++) CHECK_INT(client_upgrade(c[i], "/t", ""), 101);
        CHECK_INT(azc_stats(server)->accepted, 100);
        ends_after(server, now_ms());
        finish(server);
    }
    TEST("a page's connection is not kept alive during azc_shutdown") {
        azc_server *server = create(NULL);
        azc_add_page(server, "/", "text/plain", "page", 4);
        listening(server);
        client *c = client_open(server);
        answer a;
        client_print(c, "GET / HTTP/1.1\r\nHost: a\r\n\r\n");
        CHECK_INT(client_answer(c, &a), 200);
        CHECK(!answer_field(&a, "Connection", NULL));
        azc_shutdown(server, 60000);
        client_print(c, "GET / HTTP/1.1\r\nHost: a\r\n\r\n");
        CHECK_INT(client_answer(c, &a), 200);
        CHECK(answer_has(&a, "Connection", "close"));
        EXPECT_EOF(c);
        client_close(c);
        CHECK_INT(azc_run(server), AZC_OK);
        finish(server);
    }
    TEST("azc_shutdown with 0 ms, twice, after azc_stop, before azc_listen, and without peers") {
        azc_server *server = serve(NULL, recorder("/t"));
        client *c = join_channel(server, "/t");
        CHECK_INT(azc_shutdown(NULL, 1), AZC_ERR_ARGUMENT);
        CHECK_INT(azc_shutdown(server, -1), AZC_ERR_ARGUMENT);
        CHECK_INT(azc_poll(server, 0), 1);
        CHECK_INT(azc_shutdown(server, 1000000), AZC_OK);
        settle(server);
        CHECK_INT(azc_shutdown(server, 0), AZC_OK); /* sooner, after all */
        EXPECT_CLOSE(c, 1001, NULL);
        azc_stop(server);
        settle(server);
        CHECK_INT(azc_shutdown(server, 1000000), AZC_OK); /* a stop stays one */
        client_bye(c, 1001, ""), client_await(c, 1), client_close(c);
        CHECK_INT(azc_run(server), AZC_OK);
        finish(server);
        for (int early = 0; early < 2; early++) {
            server = create(NULL);
            if (!early) listening(server);
            azc_shutdown(server, 1000000);
            CHECK_INT(azc_run(server), AZC_OK);
            finish(server);
        }
    }
}

int main(int argc, char **argv) {
    test_start(argc, argv);
    drained();
    return test_end();
}
