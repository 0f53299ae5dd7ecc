/* RATES over real sockets: latest values, throttling and batches. The other fields of azc_message:
 * test_rates_send.c. */
#define AZCHAN_IMPLEMENTATION
#include "../azchan.h"
#include "test.h"
#include "client.h"
#include "feeds.h"

/* ---- Latest ---------------------------------------------------------------------------------- */

static azc_server *small_backlog(int when_full) {
    azc_config config = quick();
    azc_channel_desc d = quiet();
    config.max_message = config.read_buffer = 1024, config.max_backlog = 4096;
    d.when_full = when_full;
    return serve(&config, d);
}

static int drained;
static int drain_value(azc_conn *conn) {
    if (drained++ > 0) return AZC_OK;
    CHECK(conn->wait.late == NULL);
    return azc_send_text(conn, "drained", 7);
}

static void latest(void) {
    TEST("an unsent message is replaced in place by the next with its key") {
        azc_server *server = serve(NULL, quiet());
        client *a = join_channel(server, "/t");
        azc_conn *conn = newest();
        azc_send_text(conn, "before", 6);
        CHECK_INT(send_latest(conn, 7, "old", 3), AZC_OK);
        CHECK_INT(send_latest(conn, 8, "eight", 5), AZC_OK);
        azc_send_text(conn, "between", 7);
        CHECK_INT(send_latest(conn, 7, "a newer one", 11), AZC_OK);
        CHECK_INT(send_latest(conn, 7, "new", 3), AZC_OK);
        azc_send_text(conn, "after", 5);
        EXPECT_TEXT(a, "before"), EXPECT_TEXT(a, "new"), EXPECT_TEXT(a, "eight");
        EXPECT_TEXT(a, "between"), EXPECT_TEXT(a, "after");
        EXPECT_SILENCE(a);
        CHECK_INT(azc_backlog(conn), 0);
        CHECK_INT(send_latest(conn, 7, "", 0), AZC_OK); /* sent is sent */
        EXPECT_TEXT(a, "");
        finish(server);
    }
    TEST("a broadcast with a key replaces the queued message of that key in each connection") {
        azc_server *server = serve(NULL, quiet());
        client *a = listener(server, "r");
        azc_conn *first = newest();
        client *b = listener(server, "r"), *c = join_channel(server, "/t");
        CHECK_INT(send_latest(first, 1, "own", 3), AZC_OK);
        CHECK_INT(sent_latest(served, "r", 1, "x", 1, NULL), 2);
        CHECK_INT(sent_latest(served, "r", 1, "y", 1, first), 1);
        CHECK_INT(sent_latest(served, NULL, 2, "all", 3, NULL), 3);
        CHECK_INT(sent_latest(served, "nobody", 2, "z", 1, NULL), 0);
        EXPECT_TEXT(a, "x"), EXPECT_TEXT(a, "all");
        EXPECT_TEXT(b, "y"), EXPECT_TEXT(b, "all");
        EXPECT_TEXT(c, "all");
        EXPECT_SILENCE(a), EXPECT_SILENCE(b), EXPECT_SILENCE(c);
        finish(server);
    }
    TEST("bad arguments are refused as by azc_send_text and azc_broadcast") {
        azc_server *server = serve(NULL, quiet());
        join_channel(server, "/t");
        azc_conn *conn = newest();
        CHECK_INT(send_latest(NULL, 1, "x", 1), AZC_ERR_ARGUMENT);
        CHECK_INT(send_latest(conn, 1, NULL, 1), AZC_ERR_ARGUMENT);
        CHECK_INT(send_latest(conn, 1, "\xff", 1), AZC_ERR_UTF8);
        CHECK_INT(sent_latest(NULL, "r", 1, "x", 1, NULL), AZC_ERR_ARGUMENT);
        CHECK_INT(sent_latest(served, "", 1, "x", 1, NULL), AZC_ERR_ARGUMENT);
        CHECK_INT(sent_latest(served, NULL, 1, "\xff", 1, NULL), AZC_ERR_UTF8);
        memory.none = 1;
        CHECK_INT(send_latest(conn, 1, "x", 1), AZC_ERR_MEMORY);
        CHECK_INT(sent_latest(served, NULL, 1, "x", 1, NULL), AZC_ERR_MEMORY);
        memory.none = 0;
        azc_close(conn, 1000, NULL);
        CHECK_INT(send_latest(conn, 1, "x", 1), AZC_ERR_CLOSED);
        finish(server);
    }
    TEST("a stalled reader has one message of each key queued, and receives the newest") {
        azc_server *server = serve(NULL, quiet());
        static char value[2000];
        client *slow = stalled(server);
        azc_conn *conn = newest();
        int key, last[4] = {0}, n = 0;
        memset(value, '.', sizeof value);
        for (int i = 0; i < 3000; i++) send_latest(conn, 1, value, sizeof value),
            azc_poll(server, 0); /* until the kernel is full */
        size_t held = memory.bytes, backlog = azc_backlog(conn);
        memory.peak = held;
        for (int i = 1; i <= 20000; i++) {
            snprintf(value, 20, "%d %06d", 1 + i % 3, i);
            CHECK_INT(send_latest(conn, 1 + (uint64_t)i % 3, value, sizeof value), AZC_OK);
            if (i % 100 == 0) azc_poll(server, 0);
        }
        CHECK(azc_backlog(conn) <= backlog + 3 * 2104);
        CHECK(memory.peak - held < 4 * 2400);
        for (frame f; last[1] < 19998 || last[2] < 19998 || last[3] < 19998; n++) {
            if (!client_read(slow, &f) || !CHECK_INT(f.len, sizeof value)) break;
            if (f.data[0] == '.') continue;
            int number = 0;
            sscanf((char *)f.data, "%d %d", &key, &number);
            CHECK(number > last[key]);
            last[key] = number;
        }
        CHECK_INT(last[1] + last[2] + last[3], 19998 + 19999 + 20000);
        EXPECT_SILENCE(slow);
        finish(server);
    }
    TEST("a message that the kernel has begun to take is sent whole, and the newer one after it") {
        azc_server *server = serve(NULL, quiet());
        static char large[60001], newer[60001];
        memset(large, 'o', 60000), memset(newer, 'n', 60000);
        client *slow = stalled(server);
        azc_conn *conn = newest();
        int sent = 0;
        while (sent < 500 && azc_backlog(conn) == 0) {
            send_latest(conn, 1, large, 60000), azc_poll(server, 0);
            sent++;
        }
        CHECK(azc_backlog(conn) > 0 && azc_backlog(conn) < 60004); /* in the middle of one */
        for (int i = 0; i < 5; i++) send_latest(conn, 1, i < 4 ? "between" : newer,
                                                    i < 4 ? 7 : 60000);
        for (int i = 0; i < sent; i++) EXPECT_FRAME(slow, TEXT, large, 60000);
        EXPECT_FRAME(slow, TEXT, newer, 60000);
        EXPECT_SILENCE(slow);
        finish(server);
    }
    TEST("a larger value that does not fit the backlog waits, and arrives behind the rest") {
        static char bytes[3000];
        memset(bytes, 'b', sizeof bytes);
        azc_server *server = small_backlog(AZC_FULL_DROP);
        client *c = join_channel(server, "/t");
        azc_conn *conn = newest();
        CHECK_INT(send_latest(conn, 1, bytes, 1000), AZC_OK);
        CHECK_INT(azc_send_text(conn, bytes, 2500), AZC_OK);
        size_t structs = sizeof(azc__keyed) + sizeof(azc__block), backlog = azc_backlog(conn);
        CHECK_INT(backlog, 1004 + 2504 + structs);
        CHECK_INT(send_latest(conn, 1, bytes, 1700), AZC_OK); /* waits */
        CHECK_INT(send_latest(conn, 2, bytes, 700), AZC_ERR_FULL); /* they exceed the half */
        CHECK_INT(send_latest(conn, 1, bytes, 3000), AZC_ERR_FULL);
        CHECK_INT(azc_dropped(conn), 2);
        CHECK_INT(send_latest(conn, 1, "small", 5), AZC_OK); /* not before what waits */
        CHECK_INT(send_latest(conn, 2, bytes, 700), AZC_OK);
        CHECK_INT(azc_backlog(conn), backlog);
        EXPECT_FRAME(c, TEXT, bytes, 1000), EXPECT_FRAME(c, TEXT, bytes, 2500);
        EXPECT_TEXT(c, "small"), EXPECT_FRAME(c, TEXT, bytes, 700);
        EXPECT_SILENCE(c);
        CHECK_INT(azc_backlog(conn), 0);
        CHECK_INT(azc_stats(server)->messages_out, 4);
        finish(server);
    }
    TEST("with AZC_FULL_DROP the last value of each key always arrives, before on_drain") {
        azc_channel_desc d = quiet();
        azc_config config = quick();
        config.max_message = config.read_buffer = 1024, config.max_backlog = 8192;
        d.when_full = AZC_FULL_DROP;
        d.on_drain = drain_value;
        azc_server *server = serve(&config, d);
        for (int round = 0; round < 2; round++) { /* azc_send to one, and a broadcast at a rate */
            client *slow = stalled(server);
            azc_conn *conn = newest();
            azc_join(conn, "r");
            static char value[500];
            memset(value, '.', sizeof value);
            int n = 0;
            for (int full = 0; full < 50; azc_poll(server, 0)) /* kernel and backlog are full */
                full = azc_send_binary(conn, value, sizeof value) == AZC_OK ? 0 : full + 1;
            uint32_t dropped = azc_dropped(conn);
            for (n = 1; n <= 500; n++) {
                snprintf(value, 20, "%06d", n);
                for (int key = 1; key <= 5; key++) {
                    if (round == 0) CHECK_INT(send_latest(conn, key, value, 450 + (size_t)key), 0);
                    else CHECK(sent_throttled(served, "r", key, 2, value, 450 + (size_t)key) >= 0);
                }
                if (n % 10 == 0) azc_poll(server, 1);
            }
            if (round == 1) pump(server, 20); /* the last period ends */
            CHECK_INT(azc_dropped(conn), dropped);
            drained = 0;
            int last[6] = {0}, after = 0;
            for (frame f; !after && client_read(slow, &f);) {
                if (f.len == sizeof value) continue; /* of the full backlog */
                after = f.len == 7 && memcmp(f.data, "drained", 7) == 0;
                if (!after && CHECK(f.len > 450 && f.len < 456))
                    last[f.len - 450] = atoi((char *)f.data);
            }
            CHECK(after && drained >= 1);
            for (int key = 1; key <= 5; key++) CHECK_INT(last[key], 500);
            CHECK_INT(conn->wait.late == NULL, 1);
            client_close(slow), settle(server);
            tape_clear(&events);
        }
        finish(server);
    }
    TEST("values that waited and fill the backlog anew delay on_drain") {
        static char bytes[1500];
        azc_config config = quick();
        azc_channel_desc d = quiet();
        config.max_message = config.read_buffer = 1024, config.max_backlog = 4096;
        d.when_full = AZC_FULL_DROP;
        d.on_drain = drain_value;
        azc_server *server = serve(&config, d);
        client *c = join_channel(server, "/t");
        azc_conn *conn = newest();
        memset(bytes, 'b', sizeof bytes);
        drained = 0;
        CHECK_INT(azc_send_text(conn, bytes, 1500), AZC_OK);
        CHECK_INT(azc_send_text(conn, bytes, 1500), AZC_OK);
        CHECK_INT(send_latest(conn, 1, bytes, 1500), AZC_OK); /* waits */
        azc__out_consume(&server->mem, &conn->out, 1504);     /* as if the kernel took one */
        azc__conn_writable(conn);
        CHECK(conn->wait.late == NULL && azc_backlog(conn) > server->pause);
        CHECK_INT(drained, 0);
        EXPECT_FRAME(c, TEXT, bytes, 1500), EXPECT_FRAME(c, TEXT, bytes, 1500);
        EXPECT_TEXT(c, "drained");
        finish(server);
    }
    TEST("values that wait are sent before a Close, and freed if the peer is gone") {
        for (int gone = 0; gone < 2; gone++) {
            static char bytes[3000];
            azc_server *server = small_backlog(AZC_FULL_DROP);
            client *c = join_channel(server, "/t");
            azc_conn *conn = newest();
            memset(bytes, 'b', sizeof bytes);
            CHECK_INT(azc_send_text(conn, bytes, 3000), AZC_OK);
            CHECK_INT(azc_send_text(conn, bytes, 1000), AZC_OK);
            CHECK_INT(send_latest(conn, 1, "first", 5), AZC_OK);
            CHECK_INT(send_latest(conn, 2, "second", 6), AZC_OK);
            CHECK_INT(send_latest(conn, 1, "newest", 6), AZC_OK);
            if (gone) {
                client_reset(c);
                pump_until(server, server->conn_count == 0);
            } else {
                azc_close(conn, 1000, "done");
                EXPECT_FRAME(c, TEXT, bytes, 3000), EXPECT_FRAME(c, TEXT, bytes, 1000);
                EXPECT_TEXT(c, "newest"), EXPECT_TEXT(c, "second"), EXPECT_CLOSE(c, 1000, "done");
            }
            finish(server);
            tape_clear(&events);
        }
    }
    TEST("without memory a value that finds the backlog full is AZC_ERR_MEMORY") {
        static char bytes[3000];
        azc_server *server = small_backlog(AZC_FULL_DROP);
        client *c = join_channel(server, "/t");
        azc_conn *conn = newest();
        CHECK_INT(azc_send_text(conn, bytes, 3000), AZC_OK);
        CHECK_INT(azc_send_text(conn, bytes, 1000), AZC_OK);
        azc__pool_free(&server->mem);
        memory.fail = 2;
        CHECK_INT(send_latest(conn, 1, "lost", 4), AZC_ERR_MEMORY);
        CHECK_INT(memory.fail, 0);
        CHECK_INT(send_latest(conn, 1, "kept", 4), AZC_OK);
        EXPECT_FRAME(c, TEXT, bytes, 3000), EXPECT_FRAME(c, TEXT, bytes, 1000);
        EXPECT_TEXT(c, "kept");
        finish(server);
    }
    TEST("with AZC_FULL_CLOSE a value that does not fit closes with 1013") {
        static char bytes[3000];
        azc_server *server = small_backlog(AZC_FULL_CLOSE);
        client *c = join_channel(server, "/t");
        azc_conn *conn = newest();
        memset(bytes, 'b', sizeof bytes);
        CHECK_INT(azc_send_text(conn, bytes, 3000), AZC_OK);
        CHECK_INT(send_latest(conn, 1, bytes, 1087), AZC_ERR_FULL); /* fits without its structs */
        EXPECT_FRAME(c, TEXT, bytes, 3000), EXPECT_CLOSE(c, 1013, NULL);
        finish(server);
        tape_clear(&events);
    }
    TEST("a stalled peer with values of many keys holds two max_backlog, their structs included") {
        for (int plain = 0; plain < 3; plain++) {
            azc_channel_desc d = quiet();
            d.when_full = AZC_FULL_DROP;
            azc_server *server = serve(NULL, d);
            client *slow = stalled(server);
            azc_conn *conn = newest();
            static char value[16 << 10];
            memset(value, 'v', sizeof value);
            for (int full = 0; full < 50; azc_poll(server, 0)) /* the kernel is full */
                full = azc_backlog(conn) == 0 ? 0 : full + 1, azc_send_text(conn, value, 900);
            size_t before = memory.bytes - azc_backlog(conn);
            int result = AZC_OK, n = 0;
            for (; result == AZC_OK && n < 100000; n++) {
                result = send_latest(conn, 1 + (uint64_t)n, value, (size_t)n % 2);
                if (plain > 0) azc_send_text(conn, value, plain == 1 ? 1 : 1 + (size_t)n % 500);
            }
            CHECK_INT(result, AZC_ERR_FULL);
            CHECK(n > 300);
            CHECK(memory.bytes - before <= 2 * (256 << 10));
            client_close(slow);
            finish(server);
            tape_clear(&events);
        }
    }
    TEST("a room with history keeps every value of a key, and sends each") {
        azc_server *server = serve(NULL, quiet());
        azc_set_history(served, "r", 5, 1000);
        client *a = listener(server, "r");
        for (int i = 1; i <= 7; i++) {
            char text[2] = {(char)('0' + i), 0};
            sent_latest(served, "r", 1, text, 1, NULL);
        }
        expect_numbers(a, 7, 7);
        client *b = listener(server, "r");
        sent_latest(served, "r", 1, "8", 1, NULL);
        expect_numbers(b, 3, 8), expect_numbers(a, 8, 8);
        EXPECT_SILENCE(b);
        finish(server);
    }
}

/* ---- Rates ----------------------------------------------------------------------------------- */

static int throttled(const char *room, uint64_t key, int ms, const char *text) {
    return sent_throttled(served, room, key, ms, text, strlen(text));
}
static int batched(const char *room, int ms, const char *text) {
    return sent_batched(served, room, ms, text, strlen(text));
}

static void rates(void) {
    TEST("latest values and rates are AZC_ERR_STATE in fixed memory, and take nothing of it") {
        static union {
            long double align;
            char bytes[1 << 20];
        } block;
        azc_config config;
        memset(&config, 0, sizeof config);
        config.max_connections = 4;
        config.max_message = config.read_buffer = 1024, config.max_backlog = 4096;
        azc_channel_desc d = quiet();
        azc_server *server = azc_create_in(block.bytes, azc_memory_bound(&config), &config);
        azc_channel *channel = azc_add_channel(server, &d);
        CHECK_INT(azc_listen(server), AZC_OK);
        for (int i = 1; i < 100; i++) {
            CHECK_INT(sent_latest(channel, "r", (uint64_t)i, "x", 1, NULL), AZC_ERR_STATE);
            CHECK_INT(sent_throttled(channel, "r", (uint64_t)i, 10, "x", 1), AZC_ERR_STATE);
            CHECK_INT(sent_batched(channel, NULL, 10, "1", 1), AZC_ERR_STATE);
        }
        CHECK_INT(server->room_count, 0);
        CHECK_INT(sent_text(channel, NULL, "x", 1, NULL), 0);
        azc_destroy(server);
    }
    TEST("throttled: the first value is sent at once, the last at the end of the period") {
        azc_server *server = serve(NULL, quiet());
        client *a = listener(server, "r");
        long long start = now_ms();
        CHECK_INT(throttled("r", 1, 400, "1"), 1);
        for (int i = 2; i < 6; i++) CHECK_INT(throttled("r", 1, 400, i < 5 ? "lost" : "2"), 0);
        EXPECT_TEXT(a, "1");
        EXPECT_TEXT(a, "2");
        CHECK(now_ms() - start >= 395);
        CHECK_INT(throttled("r", 1, 400, "3"), 0); /* the next period has begun */
        EXPECT_TEXT(a, "3");
        CHECK(now_ms() - start >= 790);
        pump_until(server, server->room_count == 1); /* nothing of it is left but the room */
        start = now_ms();
        CHECK_INT(throttled("r", 1, 400, "4"), 1);
        EXPECT_TEXT(a, "4");
        CHECK(now_ms() - start < 395);
        finish(server);
    }
    TEST("however many values are sent, at most one a period arrives, and the last always") {
        azc_server *server = serve(NULL, quiet());
        client *a = listener(server, "r");
        char text[16] = "";
        int n = 0, got = 0;
        frame f;
        long long start = now_ms();
        while (now_ms() - start < 400) {
            snprintf(text, sizeof text, "%d", ++n);
            throttled("r", 1, 50, text), azc_poll(server, 1);
        }
        do got += client_read(a, &f);
        while (f.data && strcmp((char *)f.data, text) != 0);
        CHECK_STR((char *)f.data, text);
        long long most = 2 + (now_ms() - start) / 50;
        CHECK(got >= 2 && got <= most);
        pump(server, 120);
        EXPECT_SILENCE(a);
        finish(server);
    }
    TEST("keys, rooms and the channel have periods of their own") {
        azc_server *server = serve(NULL, quiet());
        client *a = listener(server, "r");
        CHECK_INT(azc_join(newest(), "s"), AZC_OK);
        CHECK_INT(throttled("r", 1, 60000, "r1"), 1);
        CHECK_INT(throttled("r", 2, 60000, "r2"), 1);
        CHECK_INT(throttled("s", 1, 60000, "s1"), 0 + 1);
        CHECK_INT(throttled(NULL, 3, 60000, "c3"), 1);
        CHECK_INT(batched("r", 60000, "\"batch\""), 1);
        CHECK_INT(throttled("r", 1, 1, "waits"), 0); /* the first call's ms count */
        EXPECT_TEXT(a, "s1"), EXPECT_TEXT(a, "r2"); /* s1 replaced r1, of the same key */
        EXPECT_TEXT(a, "c3"), EXPECT_TEXT(a, "[\"batch\"]");
        pump(server, 20);
        EXPECT_SILENCE(a);
        finish(server); /* with what waits */
    }
    TEST("held values and history are freed with the server, in any order") {
        for (int round = 0; round < 10; round++) {
            azc_server *server = serve(NULL, quiet());
            char room[2] = "a";
            listener(server, "a");
            for (; *room < 'q'; room[0]++) {
                azc_set_history(served, room, 3, 100);
                throttled(room, 1, 60000, "1"), throttled(room, 1, 60000, "2");
                batched(room, 60000, "3"), batched(room, 60000, "4");
            }
            finish(server);
        }
    }
    TEST("batched: the first value at once, then all of a period in one array") {
        azc_server *server = serve(NULL, quiet());
        client *a = listener(server, "r");
        CHECK_INT(batched("r", 400, "{\"n\":1}"), 1);
        CHECK_INT(batched("r", 400, "2"), 0), CHECK_INT(batched("r", 400, " [3] "), 0);
        CHECK_INT(batched("r", 400, "\"vier\""), 0);
        EXPECT_TEXT(a, "[{\"n\":1}]");
        EXPECT_TEXT(a, "[2, [3] ,\"vier\"]");
        CHECK_INT(batched("r", 400, "5"), 0);
        EXPECT_TEXT(a, "[5]");
        pump_until(server, server->room_count == 1);
        EXPECT_SILENCE(a);
        finish(server);
    }
    TEST("a batch is sent sooner if it would pass max_message; a value past it is sent alone") {
        azc_config config = quick();
        config.max_message = 20;
        azc_server *server = serve(&config, quiet());
        client *a = listener(server, "r");
        batched("r", 60000, "0");
        for (int i = 0; i < 5; i++) CHECK_INT(batched("r", 60000, "1234567"), i == 2 || i == 4);
        EXPECT_TEXT(a, "[0]");
        EXPECT_TEXT(a, "[1234567,1234567]"), EXPECT_TEXT(a, "[1234567,1234567]");
        CHECK_INT(batched("r", 60000, "\"this is longer than twenty\""), 1);
        EXPECT_TEXT(a, "[1234567]");
        CHECK_INT(batched("r", 60000, "9"), 1);
        EXPECT_TEXT(a, "[\"this is longer than twenty\"]");
        EXPECT_SILENCE(a);
        finish(server);
    }
    TEST("bad arguments, text and JSON are refused, and begin no period") {
        azc_server *server = serve(NULL, quiet());
        client *a = listener(server, "r");
        CHECK_INT(throttled("r", 0, 10, "x"), AZC_ERR_ARGUMENT);
        CHECK_INT(throttled("r", 1, -1, "x"), AZC_ERR_ARGUMENT);
        CHECK_INT(throttled("", 1, 10, "x"), AZC_ERR_ARGUMENT);
        CHECK_INT(throttled("r", 1, 10, "\xff"), AZC_ERR_UTF8);
        CHECK_INT(sent_throttled(NULL, "r", 1, 10, "x", 1), AZC_ERR_ARGUMENT);
        CHECK_INT(sent_throttled(served, "r", 1, 10, NULL, 1), AZC_ERR_ARGUMENT);
        CHECK_INT(batched("r", 0, "1"), AZC_ERR_ARGUMENT);
        CHECK_INT(batched("r", -1, "1"), AZC_ERR_ARGUMENT);
        CHECK_INT(batched("r", 10, "nonsense"), AZC_ERR_JSON);
        CHECK_INT(batched("r", 10, ""), AZC_ERR_JSON);
        CHECK_INT(sent_batched(NULL, "r", 10, "1", 1), AZC_ERR_ARGUMENT);
        CHECK_INT(server->room_count, 1);
        EXPECT_SILENCE(a);
        CHECK_INT(sent_throttled(served, "r", 1, 10, "", 0), 1); /* an empty text */
        EXPECT_TEXT(a, "");
        finish(server);
    }
    TEST("a held value goes to the members that a room has at the end of the period") {
        azc_server *server = serve(NULL, quiet());
        CHECK_INT(throttled("r", 1, 300, "nobody hears"), 0);
        CHECK_INT(throttled("r", 1, 300, "later"), 0);
        client *a = listener(server, "r");
        EXPECT_TEXT(a, "later");
        throttled("r", 1, 300, "gone");
        client_close(a);
        pump_until(server, server->room_count == 0);
        finish(server);
    }
    TEST("a stalled reader has one throttled value queued, not one of each period") {
        azc_server *server = serve(NULL, quiet());
        static char value[2001];
        client *slow = stalled(server);
        azc_conn *conn = newest();
        memset(value, '.', 2000);
        for (int i = 0; i < 3000; i++)
            send_latest(conn, 1, value, 2000), azc_poll(server, 0);
        size_t backlog = azc_backlog(conn);
        for (int i = 0; i < 60; i++) {
            value[0] = (char)('A' + i % 26);
            throttled(NULL, 1, 1, value), pump(server, 2);
        }
        CHECK(azc_backlog(conn) <= backlog + 2104);
        char last = 0;
        for (frame f; last != value[0] && client_read(slow, &f);) last = (char)f.data[0];
        CHECK_INT(last, value[0]);
        EXPECT_SILENCE(slow);
        finish(server);
    }
    TEST("without memory a rate is AZC_ERR_MEMORY, and a held value stays held") {
        azc_server *server = serve(NULL, quiet());
        client *a = listener(server, "r");
        azc__pool_free(&server->mem);
        memory.none = 1;
        CHECK_INT(throttled("r", 1, 400, "x"), AZC_ERR_MEMORY);
        CHECK_INT(batched("r", 400, "1"), AZC_ERR_MEMORY);
        CHECK_INT(throttled("new", 1, 400, "x"), AZC_ERR_MEMORY);
        memory.none = 0;
        CHECK_INT(server->room_count, 1);
        memory.fail = 2; /* the room comes, what would wait for it does not */
        CHECK_INT(throttled("new", 1, 400, "x"), AZC_ERR_MEMORY);
        CHECK_INT(server->room_count, 1);
        for (long i = 1; i <= 3; i++) { /* the state, its entry, the value */
            azc__pool_free(&server->mem);
            memory.fail = i;
            CHECK_INT(throttled("r", 1, 400, "x"), AZC_ERR_MEMORY);
            memory.fail = 0;
            CHECK_INT(server->room_count, 1);
        }
        CHECK_INT(batched("r", 400, "1"), 1), CHECK_INT(throttled("r", 1, 400, "one"), 1);
        EXPECT_TEXT(a, "[1]"), EXPECT_TEXT(a, "one");
        CHECK_INT(throttled("r", 1, 400, "two"), 0);
        azc__pool_free(&server->mem);
        memory.none = 1;
        long long end = now_ms() + 900;
        while (now_ms() < end) azc_poll(server, 1);
        memory.none = 0;
        EXPECT_TEXT(a, "two");
        finish(server);
    }
}

int main(int argc, char **argv) {
    test_start(argc, argv);
    latest();
    rates();
    return test_end();
}
