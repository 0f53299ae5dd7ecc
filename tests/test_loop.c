/* The loop over real sockets: limits, deadlines, full backlogs, stopping, addresses, and what the
 * API promises about bad use. */
#define AZCHAN_IMPLEMENTATION
#include "../azchan.h"
#include "test.h"
#include "client.h"
#include <pthread.h>
#include <sys/resource.h>
#include <sys/stat.h>

static azc_config small_backlog(void) { /* no smaller than what one message and one read need */
    azc_config c = quick();
    c.max_message = 1024, c.max_backlog = 16384, c.read_buffer = 4096;
    return c;
}

/* The nth of many messages of one length. */
static char nth[1000];
static void make_nth(int n) {
    memset(nth, '.', sizeof nth);
    nth[snprintf(nth, 32, "message %d", n)] = ' ';
}

/* A client that will not read: its socket takes as little as can be, the server's next to it. */
static client *stalled(azc_server *server, const char *target) {
    int some = 16384;
    setsockopt(server->listener.fd, SOL_SOCKET, SO_SNDBUF, &some, sizeof some);
    setsockopt(server->listener.fd, SOL_SOCKET, SO_RCVBUF, &some, sizeof some);
    client *c = client_open_to(server, "127.0.0.1", azc_port(server), 1);
    if (!c) abort();
    CHECK_INT(client_upgrade(c, target, ""), 101);
    return c;
}

/* ---- Backlogs -------------------------------------------------------------------------------- */

static void backlogs(void) {
    TEST("a send past max_backlog queues nothing, returns AZC_ERR_FULL and closes with 1013") {
        azc_config config = small_backlog();
        azc_server *server = serve(&config, recorder("/t"));
        client *c = join_channel(server, "/t");
        azc_conn *conn = member_of(served);
        static char data[1000];
        int sent = 0, result;
        while ((result = azc_send_text(conn, data, sizeof data)) == AZC_OK && sent < 100) {
            sent++;
            CHECK(azc_backlog(conn) <= 16384 && azc_backlog(conn) >= (size_t)sent * 1000);
        }
        CHECK_INT(result, AZC_ERR_FULL);
        CHECK_INT(sent, 16);
        CHECK_INT(azc_send_text(conn, data, 1), AZC_ERR_CLOSED);
        azc_poll(server, 0);
        EXPECT_EVENTS("connect; close 1013; ");
        for (int i = 0; i < sent; i++) EXPECT_FRAME(c, TEXT, data, sizeof data);
        EXPECT_CLOSE(c, 1013, NULL);
        client_bye(c, 1000, "");
        EXPECT_EOF(c);
        finish(server);
    }
    TEST("with AZC_FULL_DROP it returns AZC_ERR_FULL, and on_drain says when to go on") {
        azc_config config = small_backlog();
        azc_channel_desc d = recorder("/t");
        d.when_full = AZC_FULL_DROP;
        azc_server *server = serve(&config, d);
        client *c = join_channel(server, "/t");
        azc_conn *conn = member_of(served);
        static char data[1000];
        int sent = 0;
        while (azc_send_binary(conn, data, sizeof data) == AZC_OK) sent++;
        CHECK_INT(sent, 16);
        CHECK_INT(azc_send_text(conn, data, sizeof data), AZC_ERR_FULL);
        CHECK_INT(azc_broadcast(served, NULL, data, sizeof data, NULL), 0);
        CHECK_INT(azc_ping(conn, "ping", 4), AZC_OK); /* control frames always go */
        EXPECT_EVENTS("connect; ");
        for (int i = 0; i < sent; i++) EXPECT_FRAME(c, BINARY, data, sizeof data);
        EXPECT_FRAME(c, PING, "ping", 4);
        settle(server);
        EXPECT_EVENTS("drain; ");
        CHECK_INT(azc_backlog(conn), 0);
        CHECK_INT(azc_send_text(conn, "again", 5), AZC_OK);
        EXPECT_TEXT(c, "again");
        EXPECT_EVENTS("");
        finish(server);
    }
    TEST("on_drain comes after the backlog was past half, not when it stayed below") {
        azc_config config = small_backlog();
        azc_server *server = serve(&config, recorder("/t"));
        client *c = join_channel(server, "/t");
        azc_conn *conn = member_of(served);
        static char data[1000];
        for (int i = 0; i < 7; i++) azc_send_binary(conn, data, sizeof data);
        settle(server);
        EXPECT_EVENTS("connect; ");
        for (int i = 0; i < 10; i++) azc_send_binary(conn, data, sizeof data);
        settle(server);
        EXPECT_EVENTS("drain; ");
        for (int i = 0; i < 17; i++) EXPECT_FRAME(c, BINARY, data, sizeof data);
        finish(server);
    }
    TEST("on_drain also comes when a send was refused with the backlog below half") {
        azc_config config = quick();
        config.max_message = 4096, config.read_buffer = 4096, config.max_backlog = 16384;
        azc_channel_desc d = recorder("/t");
        d.when_full = AZC_FULL_DROP;
        azc_server *server = serve(&config, d);
        client *c = join_channel(server, "/t");
        static char data[10000];
        CHECK_INT(azc_send_binary(member_of(served), data, 7000), AZC_OK);
        CHECK_INT(azc_send_binary(member_of(served), data, 10000), AZC_ERR_FULL);
        EXPECT_FRAME(c, BINARY, data, 7000);
        settle(server);
        EXPECT_EVENTS("connect; drain; ");
        finish(server);
    }
    TEST("a paused peer that goes is 1006, what it had sent meanwhile is not delivered") {
        azc_config config = small_backlog();
        config.ping_ms = -1;
        azc_channel_desc d = recorder("/t");
        d.when_full = AZC_FULL_DROP, d.on_drain = NULL;
        azc_server *server = serve(&config, d);
        client *c = stalled(server, "/t");
        static char data[1000];
        for (int full = 0; full < 100;) { /* until the kernel has taken all that it ever will */
            full = azc_send_binary(member_of(served), data, sizeof data) == AZC_OK ? 0 : full + 1;
            azc_poll(server, full ? 1 : 0);
        }
        CHECK(azc_backlog(member_of(served)) > 8192);
        client_text(c, "unheard"), settle(server);
        EXPECT_EVENTS("connect; ");
        client_reset(c);
        pump_until(server, azc_count(served, NULL) == 0);
        EXPECT_EVENTS("close 1006; ");
        finish(server);
    }
    TEST("azc_ping ignores the backlog while it is within max_backlog") {
        azc_config config = small_backlog();
        azc_channel_desc d = recorder("/t");
        d.when_full = AZC_FULL_DROP;
        azc_server *server = serve(&config, d);
        join_channel(server, "/t");
        azc_conn *conn = member_of(served);
        static char data[1000];
        while (azc_send_binary(conn, data, sizeof data) == AZC_OK) {}
        int sent = 0, result;
        while ((result = azc_ping(conn, data, 125)) == AZC_OK && sent < 100000) sent++;
        CHECK(sent >= 1);
        if (sent < 100000) CHECK_INT(result, AZC_ERR_FULL);
        finish(server);
    }
    TEST("max_backlog is raised to hold one max_message") {
        azc_config config = quick();
        config.max_message = 100000, config.max_backlog = 1000;
        azc_server *server = serve(&config, echoer("/t"));
        char *data = (char *)calloc(1, 100000);
        client *c = join_channel(server, "/t");
        for (int i = 0; i < 3; i++) {
            client_frame(c, FIN | BINARY, data, 100000);
            EXPECT_FRAME(c, BINARY, data, 100000);
        }
        free(data);
        finish(server);
    }
    TEST("a reader that stalls is closed with 1013, the others miss nothing, in order") {
        azc_config config = quick();
        config.max_backlog = 65536, config.max_message = 1024, config.read_buffer = 4096;
        config.close_ms = 30000; /* the slow one has time to read all that it was promised */
        azc_server *server = serve(&config, recorder("/t"));
        client *slow = stalled(server, "/t?name=slow");
        client *fast[4];
        for (int i = 0; i < 4; i++) fast[i] = join_channel(server, "/t?name=fast");
        int rounds = 0, reached = 5;
        memory.peak = memory.bytes;
        size_t before = memory.bytes;
        for (; rounds < 20000 && reached == 5; rounds++) {
            make_nth(rounds);
            reached = sent_text(served, NULL, nth, sizeof nth, NULL);
            azc_poll(server, 0);
            for (int i = 0; i < 4; i++) EXPECT_FRAME(fast[i], TEXT, nth, sizeof nth);
        }
        CHECK_INT(reached, 4);
        CHECK(memory.peak - before < 1000000);
        settle(server);
        CHECK_INT(count_of(tape_text(&events), "slow close 1013"), 1);
        CHECK_INT(count_of(tape_text(&events), "fast close"), 0);
        CHECK_INT(azc_count(served, NULL), 4);
        for (int i = 0; i < 50; i++) CHECK_INT(sent_text(served, NULL, "more", 4, NULL), 4);
        for (int k = 0; k < 4; k++)
            for (int i = 0; i < 50; i++) EXPECT_TEXT(fast[k], "more");
        /* the slow one still gets all that it was said to take, and then its Close */
        for (int i = 0; i < rounds - 1 && test.bad == 0; i++) {
            make_nth(i);
            EXPECT_FRAME(slow, TEXT, nth, sizeof nth);
        }
        EXPECT_CLOSE(slow, 1013, NULL);
        finish(server);
    }
    TEST("a stalled reader that drops loses the newest only, and hears again after on_drain") {
        azc_config config = quick();
        config.max_backlog = 65536, config.max_message = 1024, config.read_buffer = 4096;
        azc_channel_desc d = recorder("/t");
        d.when_full = AZC_FULL_DROP;
        azc_server *server = serve(&config, d);
        client *c = stalled(server, "/t");
        azc_conn *conn = member_of(served);
        int sent = 0, full = 0;
        for (int i = 0; i < 100000 && full < 50; i++) {
            make_nth(sent);
            int result = azc_send_text(conn, nth, sizeof nth);
            CHECK(azc_backlog(conn) <= 65536);
            if (result == AZC_OK) sent++;
            else CHECK_INT(result, AZC_ERR_FULL), full++;
            azc_poll(server, 0);
        }
        CHECK(full == 50);
        for (int i = 0; i < sent && test.bad == 0; i++) {
            make_nth(i);
            EXPECT_FRAME(c, TEXT, nth, sizeof nth);
        }
        EXPECT_SILENCE(c);
        CHECK_INT(count_of(tape_text(&events), "close"), 0);
        CHECK(count_of(tape_text(&events), "drain") >= 1);
        CHECK_INT(azc_send_text(conn, "on", 2), AZC_OK);
        EXPECT_TEXT(c, "on");
        finish(server);
    }
    TEST("past half of max_backlog reading from that peer pauses: its echoes cannot overrun it") {
        azc_config config = small_backlog();
        config.ping_ms = -1;
        azc_server *server = serve(&config, echoer("/t"));
        client *c = stalled(server, "/t"), *other = join_channel(server, "/t");
        static unsigned char frames[16 * 1100];
        unsigned char data[1000];
        size_t len = 0, at = 0, total = 0, before = memory.peak = memory.bytes;
        for (int i = 0; i < 16; i++) {
            memset(data, 'A' + i, sizeof data);
            len += put_frame(frames + len, FIN | TEXT, data, sizeof data, SHORTEST, some_mask);
        }
        /* push until neither the server nor the kernel takes more */
        for (int idle = 0; idle < 50 && total < 64u << 20;) {
            long n = client_send_some(c, frames + at, len - at);
            if (!CHECK(n >= 0)) break;
            at = (at + (size_t)n) % len, total += (size_t)n, idle = n ? 0 : idle + 1;
            azc_poll(server, n ? 0 : 1);
        }
        len /= 16;
        CHECK(total < 64u << 20); /* it did pause */
        CHECK(memory.peak - before < 8 * 16384);
        EXPECT_EVENTS("");
        client_text(other, "and you?"); /* is served meanwhile */
        EXPECT_TEXT(other, "and you?");
        for (size_t k = 0; k < total / len && test.bad == 0; k++) {
            memset(data, 'A' + (int)(k % 16), sizeof data);
            EXPECT_FRAME(c, TEXT, data, sizeof data);
        }
        EXPECT_EVENTS("");
        finish(server);
    }
    TEST("many small messages in one segment are all echoed, however small the backlog") {
        azc_config config = small_backlog();
        config.read_buffer = 262144;
        azc_server *server = serve(&config, echoer("/t"));
        client *c = join_channel(server, "/t");
        static unsigned char all[150000];
        size_t len = 0;
        for (int i = 0; i < 130; i++) {
            char data[1000];
            memset(data, 'a' + i % 26, sizeof data);
            len += put_frame(all + len, FIN | TEXT, data, sizeof data, SHORTEST, some_mask);
        }
        client_send(c, all, len);
        for (int i = 0; i < 130 && test.bad == 0; i++) {
            char data[1000];
            memset(data, 'a' + i % 26, sizeof data);
            EXPECT_FRAME(c, TEXT, data, sizeof data);
        }
        EXPECT_EVENTS("");
        finish(server);
    }
    TEST("pings from a peer that never reads cost no more than the backlog") {
        azc_config config = small_backlog();
        azc_server *server = serve(&config, echoer("/t"));
        client *c = stalled(server, "/t");
        static unsigned char pings[500 * 131];
        char data[125] = {0};
        size_t len = 0, at = 0, total = 0, before = memory.peak = memory.bytes;
        for (int i = 0; i < 500; i++)
            len += put_frame(pings + len, FIN | PING, data, 125, SHORTEST, some_mask);
        for (int idle = 0; idle < 20 && total < 32u << 20;) {
            long n = client_send_some(c, pings + at, len - at);
            if (!CHECK(n >= 0)) break;
            at = (at + (size_t)n) % len, total += (size_t)n, idle = n ? 0 : idle + 1;
            azc_poll(server, n ? 0 : 1);
        }
        len = 131;
        CHECK(memory.peak - before < 8 * 16384);
        for (size_t i = 0; i < total / len && test.bad == 0; i++) EXPECT_FRAME(c, PONG, data, 125);
        finish(server);
    }
}

/* ---- Deadlines ------------------------------------------------------------------------------- */

static void deadlines(void) {
    TEST("a silent peer is pinged after ping_ms and dropped with 1006 pong_ms later") {
        azc_config config = quick();
        config.ping_ms = 60, config.pong_ms = 60;
        azc_server *server = serve(&config, recorder("/t"));
        long long began = now_ms();
        client *c = join_channel(server, "/t");
        frame f;
        CHECK(client_read(c, &f) && f.opcode == PING);
        CHECK(now_ms() - began >= 50);
        EXPECT_EVENTS("connect; ");
        pump_until(server, count_of(tape_text(&events), "close"));
        CHECK(now_ms() - began >= 110 && now_ms() - began < 2000);
        EXPECT_EVENTS("close 1006; ");
        CHECK_INT(azc_count(served, NULL), 0);
        client_await(c, 100);
        CHECK(c->eof != 0);
        CHECK_INT(c->len, 0); /* 1006 is never on the wire */
        finish(server);
    }
    TEST("a peer that answers its pings stays, and so does one that talks without answering") {
        azc_config config = quick();
        config.ping_ms = 50, config.pong_ms = 100;
        azc_server *server = serve(&config, recorder("/t"));
        client *polite = join_channel(server, "/t?name=p");
        client *rude = join_channel(server, "/t?name=r");
        int pings = 0;
        for (long long end = now_ms() + 500; now_ms() < end;) {
            client_fill(polite);
            frame f;
            if (polite->len && client_read(polite, &f) && f.opcode == PING) {
                pings++;
                client_frame(polite, FIN | PONG, f.data, f.len);
            }
            client_frame(rude, FIN | BINARY, "x", 1);
            pump(server, 10);
        }
        CHECK(pings >= 2);
        CHECK_INT(count_of(tape_text(&events), "close"), 0);
        client_fill(rude);
        CHECK_INT(rude->len, 0); /* it was never silent: never pinged */
        finish(server);
    }
    TEST("negative milliseconds mean never") {
        azc_config config = quick();
        config.ping_ms = -1, config.pong_ms = -1, config.handshake_ms = -1, config.close_ms = -1;
        azc_server *server = serve(&config, recorder("/t"));
        client *silent = client_open(server), *c = join_channel(server, "/t");
        pump(server, 150);
        EXPECT_SILENCE(c);
        EXPECT_SILENCE(silent);
        azc_close(member_of(served), 1000, "");
        EXPECT_CLOSE(c, 1000, "");
        client_bye(c, 1000, "");
        EXPECT_EOF(c);
        finish(server);
    }
    TEST("with a negative pong_ms a silent peer is pinged again and again, and stays") {
        azc_config config = quick();
        config.ping_ms = 30, config.pong_ms = -1;
        azc_server *server = serve(&config, recorder("/t"));
        client *c = join_channel(server, "/t");
        for (int i = 0; i < 4; i++) EXPECT_FRAME(c, PING, "", 0);
        finish(server);
    }
    TEST("who goes from among many takes nobody's deadline along") {
        azc_config config = quick();
        config.ping_ms = 150, config.handshake_ms = 150;
        azc_server *server = serve(&config, recorder("/t"));
        client *open[9], *silent[9];
        for (int i = 0; i < 9; i++) {
            open[i] = join_channel(server, "/t");
            silent[i] = client_open(server);
            settle(server);
        }
        static const int leave[] = {4, 0, 8, 3, 5}; /* the middle, the ends, the neighbours */
        for (int i = 0; i < 5; i++) {
            client_close(open[leave[i]]), client_close(silent[leave[i]]);
            settle(server);
        }
        static const int stay[] = {1, 2, 6, 7};
        for (int i = 0; i < 4; i++) {
            frame f;
            CHECK(client_read(open[stay[i]], &f) && f.opcode == PING);
            EXPECT_EOF(silent[stay[i]]);
        }
        CHECK_INT(azc_count(served, NULL), 4);
        finish(server);
    }
    TEST("azc_poll with a negative timeout wakes for the server's own deadlines") {
        azc_config config = quick();
        config.handshake_ms = 40, config.ping_ms = 40, config.pong_ms = 40, config.close_ms = 40;
        azc_server *server = serve(&config, recorder("/t"));
        client *silent = client_open(server);
        while (!silent->eof) {
            CHECK_INT(azc_poll(server, -1), 1);
            client_fill(silent);
        }
        client *c = join_channel(server, "/t");
        while (!strstr(tape_text(&events), "close")) CHECK_INT(azc_poll(server, -1), 1);
        EXPECT_EVENTS("connect; close 1006; ");
        c = join_channel(server, "/t");
        azc_close(member_of(served), 1000, "");
        while (!c->eof) azc_poll(server, -1), client_fill(c);
        finish(server);
    }
    TEST("azc_poll waits as long as it is told when nothing happens, and 0 does not wait") {
        azc_server *server = serve(NULL, recorder("/t"));
        join_channel(server, "/t");
        settle(server);
        long long began = now_ms();
        CHECK_INT(azc_poll(server, 60), 1);
        CHECK(now_ms() - began >= 55 && now_ms() - began < 1500);
        began = now_ms();
        for (int i = 0; i < 20; i++) CHECK_INT(azc_poll(server, 0), 1);
        CHECK(now_ms() - began < 500);
        finish(server);
    }
}

/* ---- Connections at their limit -------------------------------------------------------------- */

/* How many turns of 10 ms pass in so many ms: a spinning loop makes far more. */
static int turns_in(azc_server *server, int ms) {
    int n = 0;
    for (long long end = now_ms() + ms; now_ms() < end; n++) azc_poll(server, 10);
    return n;
}

static void crowds(void) {
    TEST("past max_connections the oldest unfinished handshake gives way to a newcomer") {
        azc_config config = quick();
        config.max_connections = 4;
        azc_server *server = serve(&config, recorder("/t"));
        client *open = join_channel(server, "/t?name=open");
        client *silent[3];
        for (int i = 0; i < 3; i++) silent[i] = client_open(server), settle(server);
        client_print(silent[0], "GET /t HT"), settle(server); /* talking does not make it younger */
        client *fresh = join_channel(server, "/t?name=fresh");
        client_await(silent[0], 1);
        CHECK(silent[0]->eof != 0);
        EXPECT_SILENCE(silent[1]);
        EXPECT_SILENCE(silent[2]);
        client *next = join_channel(server, "/t?name=next");
        client_await(silent[1], 1);
        CHECK(silent[1]->eof != 0);
        EXPECT_SILENCE(silent[2]);
        EXPECT_SILENCE(open), EXPECT_SILENCE(fresh), EXPECT_SILENCE(next);
        EXPECT_EVENTS("open connect; fresh connect; next connect; ");
        finish(server);
    }
    TEST("when all are open newcomers wait, nothing spins, and the next place is theirs") {
        azc_config config = quick();
        config.max_connections = 3;
        azc_server *server = serve(&config, echoer("/t"));
        client *c[3];
        for (int i = 0; i < 3; i++) c[i] = join_channel(server, "/t");
        client *waiting = client_open(server);
        client_print(waiting, "GET /t HTTP/1.1\r\n" UPGRADE "\r\n");
        int turns = turns_in(server, 200);
        if (!CHECK(turns < 60)) printf("    %d turns\n", turns);
        EXPECT_SILENCE(waiting);
        for (int i = 0; i < 3; i++) { /* the others are served meanwhile */
            client_text(c[i], "still");
            EXPECT_TEXT(c[i], "still");
        }
        CHECK_INT(azc_count(served, NULL), 3);
        client_close(c[1]);
        answer a;
        CHECK_INT(client_answer(waiting, &a), 101);
        CHECK_INT(azc_count(served, NULL), 3);
        client_close(c[0]), client_close(c[2]), client_close(waiting);
        settle(server);
        for (int i = 0; i < 3; i++) join_channel(server, "/t");
        CHECK_INT(azc_count(served, NULL), 3);
        finish(server);
    }
    TEST("five hundred connections come, talk and go, and their memory goes with them") {
        azc_server *server = serve(NULL, echoer("/t"));
        size_t first = 0;
        for (int round = 0; round < 3; round++) {
            client *c[500];
            for (int i = 0; i < 500; i++) {
                c[i] = client_open(server);
                client_print(c[i], "GET /t HTTP/1.1\r\n" UPGRADE "\r\n");
                if (i % 200 == 0) settle(server);
            }
            answer a;
            for (int i = 0; i < 500; i++) CHECK_INT(client_answer(c[i], &a), 101);
            CHECK_INT(azc_count(served, NULL), 500);
            for (int i = 0; i < 500; i++) client_text(c[i], "hello");
            for (int i = 0; i < 500; i++) EXPECT_TEXT(c[i], "hello");
            CHECK_INT(sent_text(served, NULL, "all", 3, NULL), 500);
            for (int i = 0; i < 500; i++) EXPECT_TEXT(c[i], "all");
            for (int i = 0; i < 500; i++) client_close(c[i]);
            pump_until(server, azc_count(served, NULL) == 0);
            settle(server);
            if (round == 0) first = memory.bytes;
            CHECK(memory.bytes <= first + 4096);
        }
        CHECK(first < 400000);
        finish(server);
    }
    TEST("when descriptors run out accept pauses without spinning, and resumes") {
        const char *preload = getenv("LD_PRELOAD");
        if (preload && strstr(preload, "vgpreload")) { /* has limits of its own */
            puts("note: not tried under valgrind");
            return;
        }
        azc_server *server = serve(NULL, echoer("/t"));
        client *c = join_channel(server, "/t");
        client *extra = client_open(server); /* connected by the kernel, not yet accepted */
        struct rlimit limit, low;
        getrlimit(RLIMIT_NOFILE, &limit);
        low = limit;
        int spare = open("/dev/null", O_RDONLY); /* the lowest free number */
        close(spare);
        low.rlim_cur = (rlim_t)spare;
        setrlimit(RLIMIT_NOFILE, &low);
        int turns = turns_in(server, 200);
        if (!CHECK(turns < 60)) printf("    %d turns\n", turns);
        client_text(c, "still");
        EXPECT_TEXT(c, "still");
        setrlimit(RLIMIT_NOFILE, &limit);
        CHECK_INT(client_upgrade(extra, "/t", ""), 101);
        CHECK(azc_count(served, NULL) == 2);
        finish(server);
    }
}

/* ---- Stopping -------------------------------------------------------------------------------- */

static int stop_message(azc_conn *conn, const char *text, size_t len) {
    note_text(conn, text, len);
    errno = EDOM;
    azc_stop(azc_server_of(conn));
    CHECK_INT(errno, EDOM);
    return AZC_OK;
}
static int states_message(azc_conn *conn, const char *text, size_t len) {
    azc_server *server = azc_server_of(conn);
    (void)text, (void)len;
    CHECK_INT(azc_poll(server, 0), AZC_ERR_STATE);
    CHECK_INT(azc_run(server), AZC_ERR_STATE);
    CHECK_INT(azc_destroy(server), AZC_ERR_STATE);
    note("states");
    return AZC_OK;
}
static void states_close(azc_conn *conn, int code, const char *reason) {
    states_message(conn, reason, 0);
    note_close(conn, code, reason);
}
static int states_page(azc_conn *conn, void *user) {
    (void)user;
    states_message(conn, "", 0);
    return azc_reply(conn, 200, NULL, "x", 1);
}

static azc_server *signalled;
static void on_signal(int number) {
    (void)number;
    azc_stop(signalled);
}
static pthread_t waiting_thread;
static void *signal_soon(void *unused) {
    usleep(30000);
    pthread_kill(waiting_thread, SIGUSR1);
    return unused;
}
static void *stop_soon(void *server) {
    usleep(30000);
    azc_stop((azc_server *)server);
    return NULL;
}
/* azc_run in this thread needs clients in another. */
typedef struct visitor {
    azc_server *server;
    int port, closed, done;
} visitor;
static int raw_client(int port) {
    struct sockaddr_in a;
    memset(&a, 0, sizeof a);
    a.sin_family = AF_INET, a.sin_port = htons((uint16_t)port);
    a.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    if (connect(fd, (struct sockaddr *)&a, sizeof a) != 0) return -1;
    return fd;
}
static void *visit(void *arg) {
    visitor *v = (visitor *)arg;
    static const char hello[] = "GET /t HTTP/1.1\r\n" UPGRADE "\r\n";
    char in[512];
    int fd = raw_client(v->port), got = 0;
    if (fd < 0 || send(fd, hello, sizeof hello - 1, MSG_NOSIGNAL) < 0) return NULL;
    while (got < 129) {
        ssize_t n = recv(fd, in + got, sizeof in - (size_t)got, 0);
        if (n <= 0) return NULL;
        got += (int)n;
    }
    azc_stop(v->server); /* from this thread */
    got = 0;
    while (got < 4) {
        ssize_t n = recv(fd, in + got, sizeof in - (size_t)got, 0);
        if (n <= 0) break;
        got += (int)n;
    }
    v->closed = got >= 4 && memcmp(in, "\x88", 1) == 0 && memcmp(in + 2, "\x03\xe9", 2) == 0;
    unsigned char bye[8];
    send(fd, bye, put_frame(bye, FIN | CLOSE, "\x03\xe9", 2, SHORTEST, some_mask), MSG_NOSIGNAL);
    v->done = recv(fd, in, sizeof in, 0) == 0;
    close(fd);
    return NULL;
}

static void stopping(void) {
    TEST("azc_stop from a callback: 1001 to every peer, azc_poll is 0 when all are gone") {
        azc_channel_desc d = recorder("/t");
        d.on_message = stop_message;
        azc_server *server = serve(NULL, d);
        client *c[3], *silent = client_open(server);
        for (int i = 0; i < 3; i++) c[i] = join_channel(server, "/t");
        tape_clear(&events);
        client_text(c[1], "stop");
        for (int i = 0; i < 3; i++) EXPECT_CLOSE(c[i], 1001, NULL);
        EXPECT_EVENTS("text stop; close 1001; close 1001; close 1001; ");
        CHECK_INT(azc_count(served, NULL), 0);
        for (int i = 0; i < 2; i++) {
            client_bye(c[i], 1001, "");
            client_await(c[i], 1), client_close(c[i]);
        }
        settle(server);
        CHECK_INT(azc_poll(server, 0), 1); /* one is still there */
        client_bye(c[2], 1001, "");
        EXPECT_EOF(c[2]);
        client_close(c[2]);
        client_await(silent, 1);
        CHECK(silent->eof != 0);
        long long end = now_ms() + WAIT_MS;
        int result;
        while ((result = azc_poll(server, 1)) == 1 && now_ms() < end) {}
        CHECK_INT(result, 0);
        CHECK_INT(azc_poll(server, 0), 0);
        CHECK_INT(azc_poll(server, -1), 0); /* does not wait for ever */
        EXPECT_EVENTS("");
        finish(server);
    }
    TEST("after azc_stop nobody new gets in") {
        azc_server *server = serve(NULL, recorder("/t"));
        int port = azc_port(server);
        client *c = join_channel(server, "/t");
        azc_stop(server), azc_stop(server);
        settle(server);
        client *late = client_open_to(server, "127.0.0.1", port, 0);
        if (late) {
            client_print(late, "GET /t HTTP/1.1\r\n" UPGRADE "\r\n");
            pump(server, 30);
            client_fill(late);
            CHECK_INT(late->len, 0);
        }
        EXPECT_CLOSE(c, 1001, NULL);
        CHECK_INT(azc_count(served, NULL), 0);
        finish(server);
    }
    TEST("a stopped server waits for those who do not answer no longer than close_ms") {
        azc_config config = quick();
        config.close_ms = 60;
        azc_server *server = serve(&config, recorder("/t"));
        join_channel(server, "/t"), client_open(server);
        client *page = client_open(server);
        client_print(page, "GET /no");
        settle(server);
        azc_stop(server);
        long long began = now_ms();
        CHECK_INT(azc_run(server), AZC_OK);
        CHECK(now_ms() - began < 2000);
        EXPECT_EVENTS("connect; close 1001; ");
        finish(server);
    }
    TEST("azc_stop a hundred thousand times neither blocks nor sets errno") {
        azc_server *server = serve(NULL, recorder("/t"));
        errno = 0;
        for (int i = 0; i < 100000; i++) azc_stop(server);
        CHECK_INT(errno, 0);
        CHECK_INT(azc_run(server), AZC_OK);
        CHECK_INT(azc_run(server), AZC_OK); /* and stopped it stays */
        finish(server);
    }
    TEST("azc_run without peers returns as soon as it is stopped, before it began too") {
        azc_server *server = serve(NULL, recorder("/t"));
        azc_stop(server);
        CHECK_INT(azc_run(server), AZC_OK);
        finish(server);
    }
    TEST("azc_stop from a signal handler ends azc_run, and any other signal does not") {
        azc_server *server = serve(NULL, recorder("/t"));
        struct sigaction action, old;
        memset(&action, 0, sizeof action);
        action.sa_handler = on_signal;
        sigaction(SIGUSR1, &action, &old);
        signalled = server;
        pthread_t thread;
        waiting_thread = pthread_self();
        CHECK(pthread_create(&thread, NULL, signal_soon, NULL) == 0);
        CHECK_INT(azc_run(server), AZC_OK);
        pthread_join(thread, NULL);
        sigaction(SIGUSR1, &old, NULL);
        finish(server);
    }
    TEST("a signal that stops nothing is no error: azc_poll returns early and lives on") {
        azc_server *server = serve(NULL, recorder("/t"));
        struct sigaction action, old;
        memset(&action, 0, sizeof action);
        action.sa_handler = on_signal;
        sigaction(SIGUSR1, &action, &old);
        signalled = NULL; /* azc_stop(NULL) */
        pthread_t thread;
        waiting_thread = pthread_self();
        CHECK(pthread_create(&thread, NULL, signal_soon, NULL) == 0);
        long long began = now_ms();
        CHECK_INT(azc_poll(server, 10000), 1);
        CHECK(now_ms() - began < 9000);
        pthread_join(thread, NULL);
        sigaction(SIGUSR1, &old, NULL);
        client_close(join_channel(server, "/t"));
        finish(server);
    }
    TEST("azc_stop from another thread wakes azc_run and azc_poll") {
        azc_server *server = serve(NULL, recorder("/t"));
        pthread_t thread;
        CHECK(pthread_create(&thread, NULL, stop_soon, server) == 0);
        CHECK_INT(azc_run(server), AZC_OK);
        pthread_join(thread, NULL);
        finish(server);
        server = serve(NULL, recorder("/t"));
        CHECK(pthread_create(&thread, NULL, stop_soon, server) == 0);
        int result;
        while ((result = azc_poll(server, -1)) == 1) {}
        CHECK_INT(result, 0);
        pthread_join(thread, NULL);
        finish(server);
    }
    TEST("azc_run serves, and stopped by a client's thread says 1001 and returns") {
        azc_server *server = serve(NULL, recorder("/t"));
        visitor v = {server, azc_port(server), 0, 0};
        pthread_t thread;
        CHECK(pthread_create(&thread, NULL, visit, &v) == 0);
        CHECK_INT(azc_run(server), AZC_OK);
        pthread_join(thread, NULL);
        CHECK(v.closed && v.done);
        EXPECT_EVENTS("connect; close 1001; ");
        finish(server);
    }
    TEST("azc_poll, azc_run and azc_destroy inside callbacks are AZC_ERR_STATE, and harm nothing") {
        azc_server *server = create(NULL);
        azc_channel_desc d = recorder("/t");
        d.on_message = states_message, d.on_close = states_close;
        azc_add_channel(server, &d);
        azc_add_handler(server, "/", states_page, NULL);
        CHECK_INT(azc_poll(server, 0), AZC_ERR_STATE); /* before azc_listen */
        listening(server);
        CHECK_INT(azc_listen(server), AZC_OK); /* again, too */
        client *c = join_channel(server, "/t");
        client_text(c, "x"), settle(server);
        client_bye(c, 1000, ""), settle(server);
        EXPECT_EVENTS("connect; states; states; close 1000; ");
        c = client_open(server);
        client_print(c, "GET / HTTP/1.1\r\nHost: a\r\n\r\n");
        answer a;
        CHECK_INT(client_answer(c, &a), 200);
        EXPECT_EVENTS("states; ");
        finish(server);
    }
    TEST("azc_destroy runs on_close with 1001 once for whoever is connected, in any state") {
        azc_server *server = serve(NULL, recorder("/t"));
        join_channel(server, "/t?name=idle");
        client *half = join_channel(server, "/t?name=half");
        client_frame(half, TEXT, "half", 4);
        join_channel(server, "/t?name=full");
        static char data[60000];
        for (int i = 0; i < 4; i++) azc_send_binary(member_of(served), data, sizeof data);
        client_print(client_open(server), "GET /");
        client_open(server);
        client *bad = client_open(server);
        client_print(bad, "BAD\r\n\r\n");
        client *gone = join_channel(server, "/t?name=gone");
        client_bye(gone, 1000, "");
        settle(server);
        client *closed = join_channel(server, "/t?name=told");
        (void)closed;
        tape_clear(&events);
        for (azc_cursor c = azc_members(served, NULL); azc_cursor_next(&c);)
            if (strcmp(azc_query(c.conn, "name"), "told") == 0) azc_close(c.conn, 4000, "");
        CHECK_INT(azc_destroy(server), AZC_OK);
        CHECK_INT(count_of(tape_text(&events), "idle close 1001"), 1);
        CHECK_INT(count_of(tape_text(&events), "half close 1001"), 1);
        CHECK_INT(count_of(tape_text(&events), "full close 1001"), 1);
        CHECK_INT(count_of(tape_text(&events), "told close 4000"), 1);
        CHECK_INT(count_of(tape_text(&events), "close"), 4);
        finish(NULL);
    }
}

/* ---- Addresses ------------------------------------------------------------------------------- */

static int peer_upgrade(azc_conn *conn) {
    note("%s", azc_peer(conn));
    return AZC_OK;
}
static azc_server *serve_at(const char *host, int port) {
    azc_config config = quick();
    azc_channel_desc d;
    memset(&d, 0, sizeof d);
    d.path = "/t", d.on_upgrade = peer_upgrade, d.on_message = echo_text;
    char copy[128];
    snprintf(copy, sizeof copy, "%s", host);
    config.host = copy, config.port = port;
    azc_server *server = create(&config);
    served = azc_add_channel(server, &d);
    memset(copy, '!', sizeof copy - 1); /* it was copied */
    return server;
}
static void visit_at(azc_server *server, const char *address, const char *peer) {
    client *c = client_open_to(server, address, azc_port(server), 0);
    if (!CHECK(c != NULL)) return;
    CHECK_INT(client_upgrade(c, "/t", ""), 101);
    client_text(c, "hi");
    EXPECT_TEXT(c, "hi");
    char want[64];
    snprintf(want, sizeof want, "%s; ", peer);
    EXPECT_EVENTS(want);
    client_close(c);
}
static int has_ipv6(void) {
    struct sockaddr_in6 a;
    memset(&a, 0, sizeof a);
    a.sin6_family = AF_INET6, a.sin6_addr.s6_addr[15] = 1;
    int fd = socket(AF_INET6, SOCK_STREAM, 0);
    int ok = fd >= 0 && bind(fd, (struct sockaddr *)&a, sizeof a) == 0;
    if (fd >= 0) close(fd);
    return ok;
}
static const char *temporary(const char *name) {
    static char paths[4][100];
    static int at;
    char *path = paths[at++ % 4];
    snprintf(path, sizeof paths[0], "/tmp/azchan-test-%ld-%s", (long)getpid(), name);
    return path;
}

static void addresses(void) {
    TEST("port 0 lets the kernel pick one, and azc_port tells which") {
        azc_server *server = serve_at("127.0.0.1", 0);
        CHECK_INT(azc_port(server), 0);
        listening(server);
        int port = azc_port(server);
        CHECK(port > 0 && port < 65536);
        CHECK_INT(azc_listen(server), AZC_OK);
        CHECK_INT(azc_port(server), port);
        visit_at(server, "127.0.0.1", "127.0.0.1");
        finish(server);
    }
    TEST("the default is 127.0.0.1 alone; localhost and 0.0.0.0 are understood") {
        azc_server *server = serve(NULL, recorder("/t"));
        CHECK(client_open_to(server, "127.0.0.2", azc_port(server), 0) == NULL);
        finish(server);
        server = serve_at("localhost", 0);
        listening(server);
        visit_at(server, "127.0.0.1", "127.0.0.1");
        finish(server);
        server = serve_at("0.0.0.0", 0);
        listening(server);
        visit_at(server, "127.0.0.1", "127.0.0.1");
        finish(server);
    }
    TEST("a port in use is AZC_ERR_IN_USE, with the port and the host in words") {
        azc_server *one = serve_at("127.0.0.1", 0);
        listening(one);
        azc_server *two = serve_at("127.0.0.1", azc_port(one));
        char port[16];
        snprintf(port, sizeof port, "%d", azc_port(one));
        CHECK_INT(azc_listen(two), AZC_ERR_IN_USE);
        CHECK(strstr(azc_error(two), port) != NULL);
        CHECK(strstr(azc_error(two), "127.0.0.1") != NULL);
        CHECK_INT(azc_run(two), AZC_ERR_IN_USE);
        visit_at(one, "127.0.0.1", "127.0.0.1");
        finish(one);
        listening(two); /* it was no lasting error */
        visit_at(two, "127.0.0.1", "127.0.0.1");
        finish(two);
    }
    TEST("a port is free again right after azc_destroy") {
        azc_server *server = serve_at("127.0.0.1", 0);
        listening(server);
        int port = azc_port(server);
        client *c = client_open(server);
        CHECK_INT(client_upgrade(c, "/t", ""), 101);
        azc_close(member_of(served), 1000, ""), settle(server);
        finish(server);
        server = serve_at("127.0.0.1", port);
        listening(server);
        CHECK_INT(azc_port(server), port);
        finish(server);
    }
    TEST("IPv6, alone and with IPv4 beside it") {
        if (!has_ipv6()) {
            puts("note: this host has no IPv6, its tests are skipped");
        } else {
            azc_server *server = serve_at("::1", 0);
            listening(server);
            CHECK(azc_port(server) > 0);
            visit_at(server, "::1", "::1");
            finish(server);
            server = serve_at("::", 0);
            listening(server);
            visit_at(server, "::1", "::1");
            visit_at(server, "127.0.0.1", "127.0.0.1");
            finish(server);
        }
    }
    TEST("a Unix socket: its peers are \"unix\", it has no port, and it goes with the server") {
        const char *path = temporary("sock");
        char host[128];
        snprintf(host, sizeof host, "unix:%s", path);
        unlink(path);
        azc_server *server = serve_at(host, 0);
        listening(server);
        CHECK_INT(azc_port(server), 0);
        visit_at(server, host, "unix");
        finish(server);
        CHECK(access(path, F_OK) != 0);
        unlink(path);
    }
    TEST("a stale Unix socket is replaced, a live one is in use, another file is left alone") {
        const char *path = temporary("stale");
        char host[128];
        struct sockaddr_un a;
        snprintf(host, sizeof host, "unix:%s", path);
        unlink(path);
        memset(&a, 0, sizeof a);
        a.sun_family = AF_UNIX, strcpy(a.sun_path, path);
        int fd = socket(AF_UNIX, SOCK_STREAM, 0);
        CHECK(bind(fd, (struct sockaddr *)&a, sizeof a) == 0);
        close(fd); /* as after a crash: the file is there, nobody listens */
        azc_server *server = serve_at(host, 0);
        listening(server);
        visit_at(server, host, "unix");
        azc_server *second = serve_at(host, 0);
        CHECK_INT(azc_listen(second), AZC_ERR_IN_USE);
        CHECK(strstr(azc_error(second), path) != NULL);
        visit_at(server, host, "unix"); /* unharmed */
        finish(second);
        visit_at(server, host, "unix");
        finish(server);
        unlink(path);
        FILE *file = fopen(path, "w");
        fputs("precious", file), fclose(file);
        server = serve_at(host, 0);
        int result = azc_listen(server);
        CHECK(result == AZC_ERR_ADDRESS || result == AZC_ERR_IN_USE || result == AZC_ERR_SYSTEM);
        finish(server);
        struct stat st;
        CHECK(stat(path, &st) == 0 && S_ISREG(st.st_mode) && st.st_size == 8);
        unlink(path);
    }
    TEST("addresses that are none are AZC_ERR_ADDRESS, named in words") {
        static const char *const bad[] = {"not an address", "1.2.3", "256.1.1.1", "1.2.3.4.5",
                                          ":::", "unix:", "203.0.113.77" /* nobody's here */,
                                          "unix:/nonexistent/dir/socket"};
        for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
            azc_server *server = serve_at(bad[i], 0);
            if (!CHECK_INT(azc_listen(server), AZC_ERR_ADDRESS)) printf("    %s\n", bad[i]);
            CHECK(azc_error(server)[0] != 0);
            if (i == 0) CHECK(strstr(azc_error(server), bad[i]) != NULL);
            CHECK_INT(azc_port(server), 0);
            CHECK_INT(azc_poll(server, 0), AZC_ERR_STATE);
            finish(server);
        }
        char host[300] = "unix:/tmp/";
        memset(host + 10, 'x', 200), host[210] = 0;
        azc_server *server = create(NULL);
        finish(server);
        azc_config config = quick();
        config.host = host;
        server = create(&config);
        CHECK_INT(azc_listen(server), AZC_ERR_ADDRESS);
        finish(server);
    }
    TEST("a bad config is kept for azc_listen to return") {
        for (int i = 0; i < 10; i++) {
            azc_config config = quick();
            if (i == 0) config.port = 65536;
            if (i == 1) config.port = -1;
            if (i == 2) config.max_connections = -5;
            if (i == 3) config.max_request = (size_t)1 << 27; /* six times that is no size_t */
            if (i == 4) config.read_buffer = SIZE_MAX;
            if (i == 5) config.max_message = SIZE_MAX;
            if (i == 6) config.max_backlog = SIZE_MAX;
            if (i == 7) config.max_per_address = -1;
            if (i == 8) config.max_rooms = -1;
            if (i == 9) config.max_memberships = -1;
            azc_server *server = create(&config);
            azc_channel_desc d = recorder("/t");
            azc_add_channel(server, &d);
            int result = azc_listen(server);
            if (!CHECK(result == AZC_ERR_ARGUMENT || result == AZC_ERR_ADDRESS))
                printf("    %d\n", i);
            CHECK(azc_error(server)[0] != 0);
            finish(server);
        }
    }
    TEST("two servers in one process do not meet") {
        azc_server *one = create(NULL), *two = create(NULL);
        azc_channel_desc d = recorder("/t");
        azc_channel *c1 = azc_add_channel(one, &d), *c2 = azc_add_channel(two, &d);
        listening(one), listening(two);
        CHECK(azc_port(one) != azc_port(two));
        client *a = join_channel(one, "/t?name=a"), *b = join_channel(two, "/t?name=b");
        CHECK_INT(sent_text(c1, NULL, "one", 3, NULL), 1);
        CHECK_INT(sent_text(c2, NULL, "two", 3, member_of(c1)), 1);
        EXPECT_TEXT(a, "one");
        EXPECT_TEXT(b, "two");
        azc_stop(one);
        EXPECT_CLOSE(a, 1001, NULL);
        client_text(b, "on"), settle(two);
        EXPECT_SILENCE(b);
        EXPECT_EVENTS("a connect; b connect; a close 1001; b text on; ");
        finish(one);
        azc_broadcast(c2, NULL, "still", 5, NULL);
        EXPECT_TEXT(b, "still");
        finish(two);
    }
}

/* ---- Bad use --------------------------------------------------------------------------------- */

static int null_handler(azc_conn *conn, void *user) { return (void)conn, (void)user, AZC_OK; }

static void bad_use(void) {
    TEST("NULL to every function is a returned error, or nothing, and never a crash") {
        azc_config config = quick();
        azc_server *server = serve(&config, recorder("/t"));
        client *c = join_channel(server, "/t");
        azc_conn *conn = member_of(served);
        azc_server *other = create(NULL);
        azc_channel_desc d = recorder("/t");
        azc_server *none = NULL;
        azc_conn *nobody = NULL;
        azc_channel *nowhere = NULL;
        CHECK_INT(azc_destroy(none), AZC_OK);
        CHECK_INT(azc_listen(none), AZC_ERR_ARGUMENT);
        CHECK_INT(azc_port(none), 0);
        CHECK_INT(azc_run(none), AZC_ERR_ARGUMENT);
        CHECK_INT(azc_poll(none, 0), AZC_ERR_ARGUMENT);
        azc_stop(none);
        CHECK(azc_error(none) != NULL);
        CHECK(azc_error(server) != NULL);
        CHECK(azc_add_channel(none, &d) == NULL);
        CHECK(azc_add_channel(other, NULL) == NULL);
        d.path = NULL;
        CHECK(azc_add_channel(other, &d) == NULL);
        CHECK_INT(azc_use(none, null_handler, NULL), AZC_ERR_ARGUMENT);
        CHECK_INT(azc_use(other, NULL, NULL), AZC_ERR_ARGUMENT);
        CHECK_INT(azc_add_page(none, "/", "t/t", "x", 1), AZC_ERR_ARGUMENT);
        CHECK_INT(azc_add_page(other, NULL, "t/t", "x", 1), AZC_ERR_ARGUMENT);
        CHECK_INT(azc_add_page(other, "/p", "t/t", NULL, 1), AZC_ERR_ARGUMENT);
        CHECK_INT(azc_add_handler(none, "/", null_handler, NULL), AZC_ERR_ARGUMENT);
        CHECK_INT(azc_add_handler(other, NULL, null_handler, NULL), AZC_ERR_ARGUMENT);
        CHECK_INT(azc_add_handler(other, "/h", NULL, NULL), AZC_ERR_ARGUMENT);
        CHECK_INT(azc_listen(other), AZC_ERR_ARGUMENT); /* the first of these was kept */
        CHECK_INT(azc_send_text(nobody, "x", 1), AZC_ERR_ARGUMENT);
        CHECK_INT(azc_send_text(conn, NULL, 1), AZC_ERR_ARGUMENT);
        CHECK_INT(azc_send_binary(nobody, "x", 1), AZC_ERR_ARGUMENT);
        CHECK_INT(azc_send_binary(conn, NULL, 1), AZC_ERR_ARGUMENT);
        CHECK_INT(azc_ping(nobody, "x", 1), AZC_ERR_ARGUMENT);
        CHECK_INT(azc_ping(conn, NULL, 1), AZC_ERR_ARGUMENT);
        CHECK_INT(azc_close(nobody, 1000, ""), AZC_ERR_ARGUMENT);
        CHECK_INT(azc_broadcast(nowhere, NULL, "x", 1, NULL), AZC_ERR_ARGUMENT);
        CHECK_INT(azc_broadcast(served, NULL, NULL, 1, NULL), AZC_ERR_ARGUMENT);
        CHECK_INT(azc_broadcast_binary(nowhere, NULL, "x", 1, NULL), AZC_ERR_ARGUMENT);
        CHECK_INT(azc_broadcast_binary(served, NULL, NULL, 1, NULL), AZC_ERR_ARGUMENT);
        CHECK_INT(azc_backlog(nobody), 0);
        CHECK_INT(azc_id(nobody), 0);
        CHECK(azc_find(none, 1) == NULL);
        CHECK(azc_data(nobody) == NULL && azc_userdata(nobody) == NULL);
        CHECK(azc_channel_of(nobody) == NULL && azc_server_of(nobody) == NULL);
        CHECK_INT(azc_join(nobody, "x"), AZC_ERR_ARGUMENT);
        CHECK_INT(azc_leave(nobody, "x"), AZC_ERR_ARGUMENT);
        CHECK_INT(azc_leave_all(nobody), AZC_ERR_ARGUMENT);
        CHECK_INT(azc_count(nowhere, NULL), 0);
        CHECK_INT(azc_count(nowhere, "x"), 0);
        azc_cursor walk = azc_members(nowhere, NULL);
        CHECK_INT(azc_cursor_next(&walk), 0);
        walk = azc_rooms(nobody);
        CHECK_INT(azc_cursor_next(&walk), 0);
        CHECK_INT(azc_cursor_next(NULL), 0);
        CHECK(azc_param(nobody, "x") == NULL && azc_param(conn, NULL) == NULL);
        CHECK(azc_query(nobody, "x") == NULL && azc_query(conn, NULL) == NULL);
        CHECK(azc_peer(nobody) != NULL);
        CHECK(azc_target(nobody) == NULL && azc_subprotocol(nobody) == NULL);
        CHECK(azc_method(nobody) == NULL);
        CHECK(azc_header(nobody, "x") == NULL && azc_header(conn, NULL) == NULL);
        CHECK(azc_cookie(nobody, "x") == NULL && azc_cookie(conn, NULL) == NULL);
        CHECK(azc_logger(nobody, NULL) <= 0);
        CHECK_INT(azc_reply(nobody, 200, NULL, "x", 1), AZC_ERR_ARGUMENT);
        CHECK_INT(azc_reply_header(nobody, "a", "b"), AZC_ERR_ARGUMENT);
        settle(server);
        EXPECT_SILENCE(c);
        EXPECT_EVENTS("connect; ");
        finish(other);
        finish(server);
    }
    TEST("NULL to every function of JSON is an error, NONE, or nothing") {
        azc_json doc, none;
        memset(&none, 0, sizeof none);
        char buf[64];
        double d;
        int64_t i;
        uint64_t u;
        int b;
        azc_writer w = azc_put_begin(buf, sizeof buf);
        CHECK_INT(azc_json_read(NULL, "1", 1), AZC_ERR_ARGUMENT);
        CHECK(azc_json_read(&doc, NULL, 1) < 0);
        CHECK_INT(doc.type, AZC_JSON_NONE);
        CHECK_INT(azc_json_read(&doc, "{\"a\":\"x\"}", 9), AZC_OK);
        CHECK_INT(azc_json_get(doc, NULL).type, AZC_JSON_NONE);
        CHECK_INT(azc_json_get(none, "a").type, AZC_JSON_NONE);
        CHECK_INT(azc_json_get(azc_json_get(none, "a"), NULL).type, AZC_JSON_NONE);
        CHECK_INT(azc_json_at(none, 0).type, AZC_JSON_NONE);
        CHECK_INT(azc_json_equals(none, "a"), 0);
        CHECK_INT(azc_json_equals(azc_json_get(doc, "a"), NULL), 0);
        CHECK_INT(azc_json_string(none, buf, sizeof buf), AZC_ERR_TYPE);
        CHECK_STR(buf, "");
        CHECK_INT(azc_json_string(azc_json_get(doc, "a"), NULL, 0), 1);
        CHECK_INT(azc_json_double(none, &d), AZC_ERR_TYPE);
        CHECK_INT(azc_json_int(none, &i), AZC_ERR_TYPE);
        CHECK_INT(azc_json_uint(none, &u), AZC_ERR_TYPE);
        CHECK_INT(azc_json_bool(none, &b), AZC_ERR_TYPE);
        CHECK(d == 0 && i == 0 && u == 0 && b == 0);
        CHECK(azc_json_double(none, NULL) < 0);
        CHECK(azc_json_int(none, NULL) < 0);
        CHECK(azc_json_uint(none, NULL) < 0);
        CHECK(azc_json_bool(none, NULL) < 0);
        azc_json_iter walk = azc_json_each(none);
        CHECK_INT(azc_json_next(&walk), 0);
        CHECK_INT(azc_json_next(NULL), 0);
        azc_put_string(NULL, "a", "b"), azc_put_text(NULL, "a", "b", 1);
        azc_put_int(NULL, "a", 1), azc_put_uint(NULL, "a", 1), azc_put_double(NULL, "a", 1);
        azc_put_bool(NULL, "a", 1), azc_put_null(NULL, "a"), azc_put_json(NULL, "a", doc);
        azc_put_object(NULL, "a"), azc_put_array(NULL, "a"), azc_put_end(NULL);
        CHECK_INT(azc_put_finish(NULL), AZC_ERR_ARGUMENT);
        CHECK(azc_send_json(NULL, &w) < 0);
        CHECK(azc_send_json(NULL, NULL) < 0);
        CHECK(azc_broadcast_json(NULL, NULL, &w, NULL) < 0);
        CHECK(azc_broadcast_json(NULL, NULL, NULL, NULL) < 0);
        w = azc_put_begin(NULL, 0);
        azc_put_int(&w, "a", 1);
        CHECK(azc_put_finish(&w) < 0);
        w = azc_put_begin(buf, sizeof buf);
        azc_put_string(&w, "s", NULL);
        azc_put_json(&w, "n", none);
        CHECK_INT(azc_put_finish(&w), AZC_OK);
        CHECK_STR(w.text, "{\"s\":null,\"n\":null}");
    }
    TEST("azc_strerror names every code, each differently, and every other number too") {
        for (int code = 10; code >= -40; code--) {
            const char *text = azc_strerror(code);
            if (!CHECK(text != NULL && *text)) printf("    %d\n", code);
            for (int k = -1; code < 0 && code >= -15 && k > code; k--)
                CHECK(strcmp(text, azc_strerror(k)) != 0);
        }
        CHECK_STR(azc_strerror(AZC_ERR_FULL),
                  "no room: past max_backlog or a buffer's end");
        CHECK_STR(azc_strerror(AZC_ERR_IN_USE), "the port or socket path is in use");
        CHECK(azc_strerror(-2147483647 - 1) != NULL && azc_strerror(2147483647) != NULL);
    }
    TEST("azc_create with NULL takes all defaults; without memory it is NULL, and nothing leaks") {
        azc_server *server = azc_create(NULL);
        CHECK(server != NULL);
        CHECK_INT(azc_listen(server), AZC_OK);
        CHECK(azc_port(server) > 0);
        CHECK_INT(azc_poll(server, 0), 1);
        CHECK_INT(azc_destroy(server), AZC_OK);
        int base = descriptors();
        size_t before = memory.bytes;
        for (int n = 1; n < 50; n++) {
            azc_config config = quick();
            config.host = "127.0.0.1", config.origins = "https://a.example";
            memory.fail = n;
            server = azc_create(&config);
            int unused = memory.fail > 0;
            int result = server ? azc_listen(server) : AZC_ERR_MEMORY;
            unused |= memory.fail > 0;
            memory.fail = 0;
            CHECK(result == AZC_OK || result == AZC_ERR_MEMORY);
            if (server) CHECK_INT(azc_destroy(server), AZC_OK);
            CHECK_INT(descriptors(), base);
            CHECK_INT(memory.bytes, before);
            if (unused) break;
        }
    }
    TEST("adding without memory is an error that is kept, and nothing leaks") {
        int failures = 0;
        for (int n = 1; n < 50; n++) {
            azc_server *server = create(NULL);
            azc_channel_desc d = recorder("/a/:b/*c");
            d.subprotocols = "x, y";
            memory.fail = n;
            int ok = azc_use(server, null_handler, NULL) == AZC_OK;
            ok &= azc_add_channel(server, &d) != NULL;
            ok &= azc_add_page(server, "/p", "t/t", "x", 1) == AZC_OK;
            ok &= azc_add_handler(server, "/h", null_handler, NULL) == AZC_OK;
            int unused = memory.fail > 0;
            memory.fail = 0;
            CHECK_INT(azc_listen(server), ok ? AZC_OK : AZC_ERR_MEMORY);
            failures += !ok;
            finish(server);
            if (unused) break;
        }
        CHECK(failures > 0);
    }
    TEST("the log says in one line what limit was met, and names the field to change") {
        azc_config config = small_backlog();
        config.handshake_ms = 30, config.max_connections = 3, config.max_request = 1024;
        azc_server *server = serve(&config, recorder("/t"));
        client *c = join_channel(server, "/t");
        client_send(c, "\x82\xfe\x04\x01\0\0\0\0", 8), settle(server);
        CHECK(strstr(tape_text(&log_lines), "max_message") != NULL);
        client_close(c), settle(server);
        c = join_channel(server, "/t");
        static char data[1000];
        while (azc_send_text(member_of(served), data, sizeof data) == AZC_OK) {}
        settle(server);
        CHECK(strstr(tape_text(&log_lines), "max_backlog") != NULL);
        client_close(c), settle(server);
        c = client_open(server);
        client_print(c, "GET /");
        pump(server, 60);
        CHECK(strstr(tape_text(&log_lines), "handshake_ms") != NULL);
        client_close(c), settle(server);
        c = client_open(server);
        client_print(c, "GET / HTTP/1.1\r\nHost: a\r\nX: %01100d\r\n\r\n", 1), settle(server);
        CHECK(strstr(tape_text(&log_lines), "max_request") != NULL);
        client_close(c), settle(server);
        for (int i = 0; i < 5; i++) client_open(server);
        settle(server);
        CHECK(strstr(tape_text(&log_lines), "max_connections") != NULL);
        if (test.bad) printf("    the log: %s\n", tape_text(&log_lines));
        finish(server);
    }
}

int main(int argc, char **argv) {
    test_start(argc, argv);
    backlogs();
    deadlines();
    crowds();
    stopping();
    addresses();
    bad_use();
    tape_clear(&events), tape_clear(&log_lines);
    return test_end();
}
