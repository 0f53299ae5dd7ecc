/* HISTORY over real sockets: what a room sends to new members. */
#define AZCHAN_IMPLEMENTATION
#include "../azchan.h"
#include "test.h"
#include "client.h"
#include "feeds.h"

static int joined; /* numbers broadcast so far */
static int join_and_tell(azc_conn *conn) {
    azc_channel *channel = azc_channel_of(conn);
    char text[16];
    for (int i = 0; i < 3; i++) {
        if (i == 1) CHECK_INT(azc_join(conn, "r"), AZC_OK);
        int n = snprintf(text, sizeof text, "%d", ++joined);
        azc_broadcast(channel, "r", text, (size_t)n, NULL);
    }
    return AZC_OK;
}

static void history(void) {
    TEST("a new member receives the last n messages in order, then the new ones, each once") {
        azc_server *server = serve(NULL, quiet());
        CHECK_INT(azc_set_history(served, "r", 3, 1000), AZC_OK);
        client *a = listener(server, "r");
        say_numbers("r", 1, 5);
        client *b = listener(server, "r");
        CHECK_INT(azc_join(newest(), "r"), AZC_OK); /* is in already: not again */
        say_numbers("r", 6, 6);
        expect_numbers(a, 1, 6), expect_numbers(b, 3, 6);
        CHECK_INT(sent_binary(served, "r", "\1\2", 2, newest()), 1);
        CHECK_INT(sent_text(served, NULL, "to all", 6, NULL), 2); /* is no room's */
        EXPECT_TEXT(b, "to all");
        client *c = listener(server, "r"), *d = listener(server, "other");
        expect_numbers(c, 5, 6);
        EXPECT_FRAME(c, BINARY, "\1\2", 2);
        azc_conn *conn = newest();
        CHECK_INT(azc_join(conn, "r"), AZC_OK);
        azc_leave(conn, "r");
        say("r", "7");
        CHECK_INT(azc_join(conn, "r"), AZC_OK);
        expect_numbers(d, 5, 6), EXPECT_FRAME(d, BINARY, "\1\2", 2);
        expect_numbers(d, 6, 6), EXPECT_FRAME(d, BINARY, "\1\2", 2), expect_numbers(d, 7, 7);
        expect_numbers(b, 7, 7), EXPECT_SILENCE(d), EXPECT_SILENCE(b);
        finish(server);
    }
    TEST("no member misses or repeats a message while every new member broadcasts") {
        azc_channel_desc d = quiet();
        d.on_connect = join_and_tell;
        azc_server *server = serve(NULL, d);
        client *all[40];
        joined = 0;
        CHECK_INT(azc_set_history(served, "r", 10, 1000), AZC_OK);
        for (int i = 0; i < 40; i++) {
            all[i] = client_open(server);
            client_print(all[i], "GET /t HTTP/1.1\r\n" UPGRADE "\r\n");
            if (i % 5 == 4) settle(server); /* five at a time in one turn */
        }
        for (int i = 0; i < 40; i++) {
            answer a;
            frame f;
            CHECK_INT(client_answer(all[i], &a), 101);
            if (!client_read(all[i], &f)) continue;
            int first = atoi((char *)f.data);
            CHECK(first == (i < 4 ? 1 : 3 * i - 8)); /* ten before it came in */
            expect_numbers(all[i], first + 1, 120);
            EXPECT_SILENCE(all[i]);
        }
        finish(server);
    }
    TEST("an empty room keeps its history, until azc_set_history with 0") {
        azc_server *server = serve(NULL, quiet());
        CHECK_INT(azc_set_history(served, "r", 5, 1000), AZC_OK);
        CHECK_INT(say("r", "1"), 0); /* no member, but kept */
        client *a = listener(server, "r");
        expect_numbers(a, 1, 1);
        client_close(a), settle(server);
        CHECK_INT(azc_count(served, "r"), 0);
        a = listener(server, "r"), expect_numbers(a, 1, 1);
        CHECK_INT(azc_set_history(served, "r", 0, 0), AZC_OK);
        say_numbers("r", 2, 2), expect_numbers(a, 2, 2);
        client *b = listener(server, "r");
        EXPECT_SILENCE(b);
        CHECK_INT(azc_set_history(served, "r", 5, 1000), AZC_OK); /* of a room that is there */
        say_numbers("r", 3, 3), expect_numbers(b, 3, 3);
        client_close(a), client_close(b), settle(server);
        CHECK_INT(server->room_count, 1);
        CHECK_INT(azc_set_history(served, "r", 0, 0), AZC_OK);
        CHECK_INT(azc_set_history(served, "r", 0, 0), AZC_OK);
        CHECK_INT(azc_set_history(served, "never", 0, 0), AZC_OK);
        CHECK_INT(server->room_count, 0);
        finish(server);
    }
    TEST("history is limited in messages and bytes, with framing; a too large message clears it") {
        azc_server *server = serve(NULL, quiet());
        static char ten[11] = "0123456789", big[200];
        memset(big, 'B', sizeof big);
        azc_set_history(served, "r", 100, 36); /* three of 12 */
        for (int i = 0; i < 9; i++) ten[0] = (char)('0' + i), say("r", ten);
        client *a = listener(server, "r");
        for (int i = 6; i < 9; i++) ten[0] = (char)('0' + i), EXPECT_TEXT(a, ten);
        say("r", "1"), EXPECT_TEXT(a, "1"); /* one old message is dropped for it, not two */
        client *b = listener(server, "r");
        for (int i = 7; i < 9; i++) ten[0] = (char)('0' + i), EXPECT_TEXT(b, ten);
        expect_numbers(b, 1, 1);
        azc_broadcast(served, "r", big, 34, NULL); /* fits exactly, alone */
        client *c = listener(server, "r");
        EXPECT_FRAME(c, TEXT, big, 34);
        azc_broadcast(served, "r", big, 35, NULL);
        client *d = listener(server, "r");
        EXPECT_SILENCE(d);
        say_numbers("r", 5, 6);
        client *e = listener(server, "r");
        expect_numbers(e, 5, 6);
        finish(server);
    }
    TEST("new limits keep the newest messages that fit") {
        azc_server *server = serve(NULL, quiet());
        azc_set_history(served, "r", 5, 1000);
        say_numbers("r", 1, 9);
        CHECK_INT(azc_set_history(served, "r", 2, 1000), AZC_OK);
        client *a = listener(server, "r");
        expect_numbers(a, 8, 9), EXPECT_SILENCE(a);
        CHECK_INT(azc_set_history(served, "r", 4, 1000), AZC_OK);
        say_numbers("r", 10, 11);
        client *b = listener(server, "r");
        expect_numbers(b, 8, 11);
        CHECK_INT(azc_set_history(served, "r", 4, 8), AZC_OK); /* two of 4 */
        client *c = listener(server, "r");
        expect_numbers(c, 10, 11);
        finish(server);
    }
    TEST("the ring goes on when its first index reaches the largest size_t") {
        azc_server *server = serve(NULL, quiet());
        CHECK_INT(azc_set_history(served, "r", 3, 1000), AZC_OK);
        azc__history *h = azc__room_by_name(served, "r")->keeps.history;
        h->first = SIZE_MAX / 3 * 3 - 3; /* if it only grew: on 32 bits that is after some days */
        say_numbers("r", 1, 10);
        client *a = listener(server, "r");
        expect_numbers(a, 8, 10), EXPECT_SILENCE(a);
        finish(server);
    }
    TEST("bad arguments of azc_set_history are refused, and change nothing") {
        azc_server *server = serve(NULL, quiet());
        CHECK_INT(azc_set_history(NULL, "r", 1, 100), AZC_ERR_ARGUMENT);
        CHECK_INT(azc_set_history(served, NULL, 1, 100), AZC_ERR_ARGUMENT);
        CHECK_INT(azc_set_history(served, "", 1, 100), AZC_ERR_ARGUMENT);
        CHECK_INT(azc_set_history(served, "r", 1, 1), AZC_ERR_ARGUMENT);
        CHECK_INT(azc_set_history(served, "r", 1, (128 << 10) + 1), AZC_ERR_ARGUMENT);
        CHECK_INT(azc_set_history(served, "r", SIZE_MAX, SIZE_MAX), AZC_ERR_ARGUMENT);
        CHECK_INT(server->room_count, 0);
        CHECK_INT(azc_set_history(served, "r", SIZE_MAX, 128 << 10), AZC_OK);
        CHECK_INT(azc__room_by_name(served, "r")->keeps.history->max_count, 64 << 10); /* of 2 bytes */
        finish(server);
    }
}

static int join_four(azc_conn *conn) {
    const char *rooms[] = {"r", "s", "t", "u"};
    int result = AZC_OK;
    for (int i = 0; i < 4 && result == AZC_OK; i++) result = azc_join(conn, rooms[i]);
    CHECK_INT(result, AZC_OK);
    return result;
}

static void history_limits(void) {
    static char kib[1025];
    memset(kib, 'k', 1024);
    for (int drop = 0; drop < 2; drop++) {
        TEST("a full backlog takes no replay's place: replays have a limit of their own") {
            azc_config config = quick();
            azc_channel_desc d = quiet();
            config.max_message = config.read_buffer = 1024, config.max_backlog = 20000;
            d.when_full = drop ? AZC_FULL_DROP : AZC_FULL_CLOSE;
            azc_server *server = serve(&config, d);
            const char *rooms[] = {"r", "s", "t", "u", "v"};
            for (int i = 0; i < 5; i++) {
                CHECK_INT(azc_set_history(served, rooms[i], 100, 10000), AZC_OK);
                for (int j = 0; j < 20; j++) say(rooms[i], kib);
            }
            client *c = join_channel(server, "/t");
            azc_conn *conn = newest();
            for (int i = 0; i < 19; i++) CHECK_INT(azc_send_text(conn, kib, 1024), AZC_OK);
            size_t backlog = azc_backlog(conn);
            for (int i = 0; i < 3; i++) CHECK_INT(azc_join(conn, rooms[i]), AZC_OK);
            CHECK_INT(azc_backlog(conn), backlog);
            size_t queued = conn->out.bytes;
            CHECK_INT(azc_join(conn, "u"), AZC_ERR_FULL); /* four would pass 40,000 bytes */
            CHECK_INT(azc_count(served, "u"), 0);
            CHECK_INT(conn->out.bytes, queued);
            CHECK_INT(azc_dropped(conn), 0);
            CHECK_INT(azc_join(conn, "without history"), AZC_OK);
            CHECK_INT(azc_send_text(conn, "fits", 4), AZC_OK); /* open, and not full of replays */
            for (int i = 0; i < 19 + 3 * 9; i++) EXPECT_TEXT(c, kib);
            EXPECT_TEXT(c, "fits");
            EXPECT_SILENCE(c);
            CHECK_INT(azc_backlog(conn), 0);
            CHECK_INT(conn->out.replays, 0);
            CHECK_INT(azc_join(conn, "u"), AZC_OK); /* now it does */
            for (int i = 0; i < 9; i++) EXPECT_TEXT(c, kib);
            EXPECT_SILENCE(c);
            EXPECT_EVENTS("");
            finish(server);
            tape_clear(&events);
        }
    }
    TEST("control frames that took the backlog over its limit do not refuse a join") {
        azc_config config = quick();
        config.max_message = config.read_buffer = 1024, config.max_backlog = 4096;
        azc_server *server = serve(&config, quiet());
        azc_set_history(served, "empty", 100, 2000);
        azc_set_history(served, "r", 100, 2000);
        say_numbers("r", 1, 9);
        client *c = join_channel(server, "/t");
        azc_conn *conn = newest();
        CHECK_INT(azc_send_text(conn, kib, 1024), AZC_OK);
        CHECK_INT(azc_send_text(conn, kib, 1024), AZC_OK);
        CHECK_INT(azc_send_text(conn, kib, 1024), AZC_OK);
        while (azc_backlog(conn) <= 4096) CHECK_INT(azc_ping(conn, "", 0), AZC_OK);
        CHECK_INT(azc_join(conn, "empty"), AZC_OK);
        CHECK_INT(azc_join(conn, "r"), AZC_OK);
        for (int i = 0; i < 3; i++) EXPECT_TEXT(c, kib);
        for (frame f; client_read(c, &f) && f.opcode == AZC__OP_PING;)
            if (c->len > 1 && c->in[0] == (0x80 | AZC__OP_TEXT)) break;
        expect_numbers(c, 1, 9);
        finish(server);
    }
    TEST("four rooms with 100 KiB of history each, joined in on_connect, open every connection") {
        azc_channel_desc d = quiet();
        d.on_connect = join_four;
        azc_server *server = serve(NULL, d);
        const char *rooms[] = {"r", "s", "t", "u"};
        for (int i = 0; i < 4; i++) {
            CHECK_INT(azc_set_history(served, rooms[i], 100000, 100 << 10), AZC_OK);
            for (int j = 0; j < 120; j++) say(rooms[i], kib);
        }
        for (int round = 0; round < 3; round++) {
            client *c = join_channel(server, "/t");
            for (int i = 0; i < 4 * 99; i++) EXPECT_TEXT(c, kib);
            client_text(c, "on"), settle(server);
            CHECK_INT(azc_stats(server)->open, round + 1);
        }
        EXPECT_EVENTS("");
        finish(server);
    }
    for (int kind = 0; kind < 6; kind++) {
        TEST("a stalled peer holds at most one max_message and four max_backlog") {
            const size_t backlog = 256 << 10;
            azc_channel_desc d = quiet();
            d.when_full = AZC_FULL_DROP;
            azc_server *server = serve(NULL, d);
            char room[16];
            int rooms = kind == 5 ? 3000 : 8;
            for (int i = 0; i < rooms; i++) { /* bytes: half of max_backlog, or few */
                snprintf(room, sizeof room, "r%d", i);
                azc_set_history(served, room, kind == 5 ? 1 : 1 << 20, backlog / 2);
            }
            client *slow = stalled(server);
            azc_conn *conn = newest();
            for (int full = 0; full < 50; azc_poll(server, 0)) /* the kernel is full */
                full = azc_backlog(conn) == 0 ? 0 : full + 1, azc_send_text(conn, kib, 900);
            size_t most = 0;
            for (int i = 0; i < rooms; i++) {
                snprintf(room, sizeof room, "r%d", i);
                azc__history *h = azc__room_by_name(served, room)->keeps.history;
                for (int n = 0; n < (kind == 5 ? 1 : 70000); n++) {
                    size_t len = kind == 0 ? 0 : kind == 1 ? 253 : kind == 2 ? (size_t)n % 2 * 252
                                 : kind == 3 ? (size_t)n % 600 : kind == 4 ? 1020 : 20;
                    azc_broadcast(served, room, kib, len, NULL);
                    if (h->bytes + 1100 > backlog / 2) break;
                }
            }
            size_t before = memory.bytes - azc_backlog(conn), joins = 0;
            for (int i = 0; i < rooms; i++) {
                snprintf(room, sizeof room, "r%d", i);
                if (azc_join(conn, room) != AZC_OK) continue;
                joins++;
                azc_leave(conn, room); /* and again */
                if (kind == 5) azc_send_text(conn, "!", 1);
                azc_broadcast(served, room, kib, 0, NULL); /* kept in place of older ones */
                most = memory.bytes - before > most ? memory.bytes - before : most;
            }
            CHECK(joins >= 1 && (kind == 5 || joins < (size_t)rooms));
            CHECK(most <= 4 * backlog + sizeof(azc__member_group));
            CHECK_INT(azc_join(conn, "another"), AZC_OK);
            CHECK_INT(azc_stats(server)->open, 1);
            client_close(slow);
            finish(server);
            tape_clear(&events);
        }
    }
    TEST("a hundred new members share the history: it is not copied") {
        azc_server *server = serve(NULL, quiet());
        azc_set_history(served, "r", 100, 100 << 10);
        for (int i = 0; i < 99; i++) say("r", kib);
        client *all[100];
        for (int i = 0; i < 100; i++) all[i] = join_channel(server, "/t");
        size_t before = memory.bytes;
        memory.peak = before;
        for (azc_cursor c = azc_members(served, NULL); azc_cursor_next(&c);)
            CHECK_INT(azc_join(c.conn, "r"), AZC_OK);
        CHECK(memory.bytes - before < 100 * 99 * 128); /* 10 MB would be the copies */
        for (int i = 0; i < 99; i++) EXPECT_TEXT(all[99], kib), EXPECT_TEXT(all[0], kib);
        finish(server);
    }
    TEST("without memory a join sends no history and fails, and a broadcast reaches no one") {
        azc_server *server = serve(NULL, quiet());
        azc_set_history(served, "r", 5, 1000);
        azc_set_history(served, "long", 5, 10000);
        say_numbers("r", 1, 5);
        for (int i = 0; i < 5; i++) say("long", kib);
        client *a = join_channel(server, "/t");
        azc_conn *conn = newest();
        int failed = 0;
        for (long i = 1; i < 20; i++) {
            azc__pool_free(&server->mem);
            memory.fail = i;
            int result = azc_join(conn, "r");
            memory.fail = 0;
            if (result == AZC_OK) break;
            CHECK_INT(result, AZC_ERR_MEMORY);
            CHECK_INT(azc_count(served, "r"), 0);
            CHECK_INT(azc_backlog(conn), 0);
            failed++;
        }
        CHECK_INT(failed, 2); /* a piece with five copies, a membership */
        expect_numbers(a, 1, 5);
        for (long i = 1; i <= 5; i++) {
            azc__pool_free(&server->mem);
            memory.fail = i;
            CHECK_INT(azc_join(conn, "long"), AZC_ERR_MEMORY); /* five references */
            CHECK_INT(memory.fail, 0);
            CHECK_INT(conn->out.bytes, 0);
        }
        memory.none = 1;
        CHECK_INT(say("r", "lost"), AZC_ERR_MEMORY);
        CHECK_INT(azc_set_history(served, "r", 9, 1000), AZC_ERR_MEMORY);
        CHECK_INT(azc_set_history(served, "new", 9, 1000), AZC_ERR_MEMORY);
        memory.none = 0, memory.fail = 2;
        CHECK_INT(azc_set_history(served, "new", 9, 1000), AZC_ERR_MEMORY);
        memory.fail = 0;
        say_numbers("r", 6, 6), expect_numbers(a, 6, 6);
        client *b = listener(server, "r");
        expect_numbers(b, 2, 6);
        finish(server);
    }
    TEST("in fixed memory azc_set_history is AZC_ERR_STATE") {
        static union {
            long double align;
            char bytes[1 << 20];
        } fixed;
        azc_config config = quick();
        config.max_connections = 4;
        config.max_message = config.read_buffer = 1024, config.max_backlog = 4096;
        create_block.memory = &fixed, create_block.size = sizeof fixed;
        azc_server *server = serve(&config, quiet());
        CHECK_INT(azc_set_history(served, "r", 5, 1000), AZC_ERR_STATE);
        client *a = listener(server, "r");
        CHECK_INT(say("r", "1"), 1);
        expect_numbers(a, 1, 1);
        finish(server);
    }
}

int main(int argc, char **argv) {
    test_start(argc, argv);
    history();
    history_limits();
    return test_end();
}
