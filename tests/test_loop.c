/* LOOP over real sockets: deadlines, connections at their limit, stopping. */
#define AZCHAN_IMPLEMENTATION
#include "../azchan.h"
#include "test.h"
#include "client.h"
#include <pthread.h>
#include <sys/resource.h>
#include <sys/stat.h>

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
    TEST("a peer that answers pings stays, and so does one that only sends messages") {
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
    TEST("a connection that closes does not change the deadlines of the others") {
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
    TEST("azc_poll waits for its timeout when there are no events, and 0 does not wait") {
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
    TEST("when all connections are in channels, newcomers wait, and the loop does not spin") {
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
    TEST("five hundred connections open, talk and close, and their memory is freed") {
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
    TEST("azc_stop from a callback: 1001 to every peer, and azc_poll is 0 when all have closed") {
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
    TEST("after azc_stop no new connection is accepted") {
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
    TEST("a stopped server waits for silent peers no longer than close_ms") {
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
    TEST("a peer that answers 1001 late and stays gets what is left of close_ms, not as much again") {
        azc_config config = quick();
        config.close_ms = 400;
        azc_server *server = serve(&config, recorder("/t"));
        client *c = join_channel(server, "/t");
        azc_stop(server), pump(server, 250);
        client_bye(c, 1001, ""), pump(server, 20);
        CHECK_INT(azc_stats(server)->connections, 1); /* waits for its FIN */
        long long began = now_ms();
        CHECK_INT(azc_run(server), AZC_OK);
        CHECK(now_ms() - began < 300);
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
    TEST("azc_run without peers returns when it is stopped, also if that was before azc_run") {
        azc_server *server = serve(NULL, recorder("/t"));
        azc_stop(server);
        CHECK_INT(azc_run(server), AZC_OK);
        finish(server);
    }
    TEST("azc_stop in a signal handler ends azc_run") {
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
    TEST("a signal without azc_stop is no error: azc_poll returns 1 early") {
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
    TEST("azc_run serves; stopped by a client's thread, it closes with 1001 and returns") {
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
    TEST("azc_poll, azc_run and azc_destroy are AZC_ERR_STATE in callbacks, and do nothing") {
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
    TEST("azc_destroy runs on_close once for each open channel, in any state, with 1001") {
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

int main(int argc, char **argv) {
    test_start(argc, argv);
    deadlines();
    crowds();
    stopping();
    tape_clear(&events), tape_clear(&log_lines);
    return test_end();
}
