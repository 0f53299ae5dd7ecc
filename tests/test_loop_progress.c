/* Deadlines and progress: slow but steady peers keep their connections, trickling and silent ones
 * lose them; nothing is judged before everything that was ready is read; which connection makes room
 * at max_connections. On real sockets with short deadlines; tests/net/slow.c has the default ones. */
#if defined(__linux__) && !defined(_GNU_SOURCE)
#define _GNU_SOURCE 1
#endif
#include <sys/ioctl.h>
static int kernel_hides; /* it does not tell what a peer has not acknowledged */
static inline int kernel_ioctl(int fd, unsigned long request, void *value) {
    return kernel_hides ? -1 : ioctl(fd, request, value);
}
#define ioctl(fd, request, value) kernel_ioctl(fd, request, value)
#define AZCHAN_IMPLEMENTATION
#include "../azchan.h"
#undef ioctl
#include "test.h"
#include "client.h"

static int slow_machine(void) { /* under valgrind or qemu, rates and times mean little */
    const char *preload = getenv("LD_PRELOAD");
    return getenv("TEST_QUICK") || (preload && strstr(preload, "vgpreload"));
}

enum { PAGE = 6000000 };
static char page[PAGE];

/* A server with the page at /page and the channel at /t, in fixed memory or not. */
static azc_server *pages(azc_config config, int fixed) {
    azc_channel_desc d = recorder("/t");
    void *memory_block = NULL;
    static void *last;
    free(last);
    if (fixed) {
        config.max_connections = 8;
        create_block.size = azc_memory_bound(&config);
        create_block.memory = memory_block = malloc(create_block.size);
    }
    last = memory_block;
    azc_server *server = create(&config);
    CHECK((served = azc_add_channel(server, &d)) != NULL);
    CHECK_INT(azc_add_page(server, "/page", "text/plain", page, PAGE), AZC_OK);
    CHECK_INT(azc_add_page(server, "/middle", "text/plain", page, 12000), AZC_OK);
    CHECK_INT(azc_add_page(server, "/small", "text/plain", "small", 5), AZC_OK);
    listening(server);
    return server;
}

/* Read at a rate of bytes a millisecond, answering pings if `frames`, until the stream ends, `most`
 * bytes came or ms are over. Returns the bytes: of frames, those of their payloads. */
static size_t read_slowly(client *c, size_t rate, size_t most, int ms, int frames, int *code) {
    static unsigned char data[1 << 20];
    size_t got = 0, raw = 0, len = 0;
    long long began = now_ms();
    while (got < most && now_ms() < began + ms && !c->eof) {
        size_t due = (size_t)(now_ms() - began) * rate;
        if (due > raw && len < sizeof data) {
            size_t want = due - raw < sizeof data - len ? due - raw : sizeof data - len;
            ssize_t n = recv(c->fd, data + len, want, 0);
            if (n > 0) raw += (size_t)n, len += (size_t)n;
            else if (n == 0) c->eof = 1;
            else if (errno != EAGAIN && errno != EINTR) c->eof = 2;
        }
        if (!frames) got = raw, len = 0;
        for (size_t head; frames && len >= 2; len -= head) {
            size_t bytes = data[1] < 126 ? 0 : data[1] == 126 ? 2 : 8, payload = data[1];
            if (len < 2 + bytes) break;
            for (size_t i = 0; i < bytes; i++) payload = (i ? payload << 8 : 0) | data[2 + i];
            if (len < (head = 2 + bytes + payload)) break;
            if ((data[0] & 15) == PING) client_frame(c, FIN | PONG, data + 2, payload);
            if ((data[0] & 15) == CLOSE) *code = data[2] << 8 | data[3];
            if ((data[0] & 15) == BINARY) got += payload;
            memmove(data, data + head, len - head);
        }
        if (frames && *code) break;
        azc_poll(c->server, 1);
    }
    return got;
}

/* ---- Readers ---------------------------------------------------------------------------------- */

static int file_more(azc_conn *conn) { /* the manual's recipe; azc_data: the bytes left */
    size_t *left = (size_t *)azc_data(conn);
    while (azc_backlog(conn) <= 128 << 10) {
        size_t n = *left < 8192 ? *left : 8192;
        if (n == 0) return azc_close(conn, 1000, "all");
        CHECK_INT(azc_send_binary(conn, page, n), AZC_OK);
        *left -= n;
    }
    return AZC_OK;
}
static int file_connect(azc_conn *conn) {
    *(size_t *)azc_data(conn) = PAGE;
    return file_more(conn);
}

/* The size of an answer to a GET of /page, head included. */
static size_t page_answer(const char *fields) {
    return PAGE + strlen("HTTP/1.1 200 OK\r\nETag: \"0123456789abcdef\"\r\n"
                         "Cache-Control: no-cache\r\nContent-Type: text/plain\r\n"
                         "Content-Length: 6000000\r\n\r\n") + (*fields ? 19 : 0);
}

static void readers(void) {
    for (int fixed = 0; fixed < 2; fixed++) {
        TEST("a last page that is read slowly but steadily arrives whole, in many times close_ms") {
            azc_config config = quick();
            config.close_ms = config.handshake_ms = 50;
            azc_server *server = pages(config, fixed);
            client *c = client_open(server);
            client_print(c, "GET /page HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
            CHECK_INT(read_slowly(c, 6000, SIZE_MAX, test_patience(), 0, NULL),
                      page_answer("close"));
            CHECK_INT(c->eof, 1);
            finish(server);
        }
        TEST("a page on keep-alive does too, and the next request is answered") {
            azc_config config = quick();
            config.handshake_ms = 100;
            azc_server *server = pages(config, fixed);
            client *c = client_open(server);
            client_print(c, "GET /page HTTP/1.1\r\nHost: a\r\n\r\n");
            CHECK_INT(read_slowly(c, 6000, page_answer(""), test_patience(), 0, NULL),
                      page_answer(""));
            client_print(c, "GET /small HTTP/1.1\r\nHost: a\r\n\r\n");
            answer a;
            CHECK_INT(client_answer(c, &a), 200);
            long long began = now_ms();
            EXPECT_EOF(c); /* idle: that lasts handshake_ms */
            CHECK(now_ms() - began >= 90 && now_ms() - began < 1000);
            finish(server);
        }
    }
    TEST("azc_stop waits close_ms for a reader, azc_shutdown until it has read its page") {
        azc_config config = quick();
        config.close_ms = config.handshake_ms = 50;
        for (int graceful = 0; graceful < 2; graceful++) {
            azc_server *server = pages(config, 0);
            client *c = client_open(server);
            client_print(c, "GET /page HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
            size_t got = read_slowly(c, 3000, 100000, 1000, 0, NULL);
            if (graceful) azc_shutdown(server, 60000);
            else azc_stop(server);
            long long began = now_ms();
            got += read_slowly(c, 6000, SIZE_MAX, test_patience(), 0, NULL);
            if (graceful) CHECK_INT(got, page_answer("close"));
            else CHECK(now_ms() - began < 5000);
            client_close(c);
            pump_until(server, azc_stats(server)->connections == 0);
            CHECK_INT(azc_poll(server, 0), 0);
            finish(server);
        }
    }
    TEST("a file sent by the manual's recipe arrives whole at a peer that reads steadily") {
        azc_config config = quick();
        config.ping_ms = 150, config.pong_ms = 50, config.close_ms = config.handshake_ms = 50;
        azc_channel_desc d = recorder("/t");
        d.data_size = sizeof(size_t), d.on_connect = file_connect, d.on_drain = file_more;
        azc_server *server = serve(&config, d);
        client *c = client_open(server);
        int code = 0;
        client_print(c, "GET /t HTTP/1.1\r\n" UPGRADE "\r\n");
        char head[129];
        for (size_t n = 0; n < sizeof head; azc_poll(server, 1)) {
            ssize_t k = recv(c->fd, head + n, sizeof head - n, 0);
            if (k > 0) n += (size_t)k;
        }
        CHECK_INT(read_slowly(c, 4000, SIZE_MAX, test_patience(), 1, &code), PAGE);
        CHECK_INT(code, 1000);
        client_bye(c, 1000, "all");
        EXPECT_EOF(c);
        EXPECT_EVENTS("close 1000 all; ");
        finish(server);
    }
    TEST("what is queued at azc_close is sent to a steady reader, in many times close_ms") {
        azc_config config = quick();
        config.close_ms = config.handshake_ms = 50, config.max_backlog = 2 * PAGE;
        azc_server *server = serve(&config, recorder("/t"));
        client *c = join_channel(server, "/t");
        int code = 0;
        for (int i = 0; i < PAGE / 10000; i++)
            CHECK_INT(azc_send_binary(member_of(served), page, 10000), AZC_OK);
        azc_close(member_of(served), 1000, "all");
        CHECK_INT(read_slowly(c, 6000, SIZE_MAX, test_patience(), 1, &code), PAGE);
        CHECK_INT(code, 1000);
        client_bye(c, 1000, "all");
        EXPECT_EOF(c);
        EXPECT_EVENTS("connect; close 1000 all; ");
        finish(server);
    }
    TEST("a peer that reads a byte now and then is dropped: from a page and from a closed channel") {
        azc_config config = quick();
        config.handshake_ms = config.close_ms = 200;
        config.ping_ms = 100, config.pong_ms = 100;
        azc_server *server = pages(config, 0);
        client *c[3];
        for (int i = 0; i < 3; i++) {
            int small = 16384;
            setsockopt(server->listener.fd, SOL_SOCKET, SO_SNDBUF, &small, sizeof small);
            c[i] = client_open_to(server, "127.0.0.1", azc_port(server), 1);
            if (i == 2) CHECK_INT(client_upgrade(c[i], "/t", ""), 101);
            else client_print(c[i], "GET /page HTTP/1.1\r\nHost: a\r\n%s\r\n",
                              i ? "Connection: close\r\n" : "");
        }
        for (int i = 0; i < 30; i++) azc_send_binary(member_of(served), page, 8000);
        azc_close(member_of(served), 1000, "");
        long long began = now_ms();
        while (server->conn_count > 0 && now_ms() < began + 5000) {
            char byte[20];
            for (int i = 0; i < 3; i++)
                if (recv(c[i]->fd, byte, sizeof byte, 0) < 0) byte[0] = 0;
            pump(server, 20);
        }
        CHECK(now_ms() - began < 3000);
        CHECK_INT(server->conn_count, 0);
        finish(server);
    }
}

static void kernel(void) {
#ifdef TCP_NOTSENT_LOWAT
    TEST("the kernel takes at most 16 KiB in advance") {
        azc_server *server = serve(NULL, recorder("/t"));
        int value = 0;
        socklen_t len = sizeof value;
        join_channel(server, "/t");
        CHECK(getsockopt(member_of(served)->source.fd, IPPROTO_TCP, TCP_NOTSENT_LOWAT, &value,
                         &len) == 0);
        CHECK_INT(value, 16384);
        finish(server);
    }
#endif
}

/* ---- Senders ---------------------------------------------------------------------------------- */

/* Send what there is at so many bytes a turn of 5 ms, for so many ms or until the peer goes. */
static void send_slowly(client *c, const unsigned char *bytes, size_t each, int every, int ms) {
    size_t at = 0;
    long long turn = 0;
    for (long long end = now_ms() + ms; now_ms() < end && azc_count(served, NULL) > 0; turn++) {
        if (turn % every == 0 && client_send_some(c, bytes + at, each) < 0) break;
        if (turn % every == 0) at += each;
        pump(c->server, 5);
    }
}

static int take_part(azc_conn *conn, const void *data, size_t len, int flags) {
    (void)conn, (void)data, (void)len, (void)flags;
    return AZC_OK;
}

static void senders(void) {
    static unsigned char bytes[70000];
    size_t all = put_header(bytes, FIN | BINARY, 60000, LENGTH16, some_mask) + 60000;
    for (int parts = 0; parts < 2; parts++) {
        TEST("a peer whose message arrives slowly but steadily is not silent, however long it takes") {
            azc_config config = quick();
            config.ping_ms = config.pong_ms = 100;
            serve_parts.on_part = parts ? take_part : NULL;
            azc_server *server = serve(&config, recorder("/t"));
            client *c = join_channel(server, "/t");
            send_slowly(c, bytes, 50, 1, 800);
            CHECK_INT(azc_count(served, NULL), 1);
            client_fill(c);
            CHECK_INT(c->len, 0); /* nor was it pinged: it could not answer within the frame */
            finish(server);
        }
        TEST("a peer that sends a byte of a message now and then is pinged, and dropped") {
            azc_config config = quick();
            config.ping_ms = config.pong_ms = 100;
            serve_parts.on_part = parts ? take_part : NULL;
            azc_server *server = serve(&config, recorder("/t"));
            client *c = join_channel(server, "/t");
            long long began = now_ms();
            send_slowly(c, bytes, 1, 4, 3000);
            CHECK_INT(azc_count(served, NULL), 0);
            CHECK(now_ms() - began < 1500);
            EXPECT_EVENTS("connect; close 1006; ");
            finish(server);
        }
    }
    TEST("short messages keep a connection, however short and rare, wherever they are cut") {
        azc_config config = quick();
        config.ping_ms = config.pong_ms = 150;
        azc_server *server = serve(&config, recorder("/t"));
        client *c = join_channel(server, "/t");
        for (size_t at = 0; at < sizeof bytes; at += 7)
            put_frame(bytes + at, FIN | TEXT, "x", 1, SHORTEST, some_mask);
        send_slowly(c, bytes, 1, 2, 2000); /* always within a message: 70 ms and more each */
        CHECK_INT(azc_count(served, NULL), 1);
        CHECK(count_of(tape_text(&events), "text x") > 5);
        finish(server);
        memset(bytes, 0, sizeof bytes);
        put_header(bytes, FIN | BINARY, 60000, LENGTH16, some_mask);
    }
    TEST("a request's head has handshake_ms in all, at whatever rate it comes") {
        azc_config config = quick();
        config.handshake_ms = 200;
        azc_server *server = pages(config, 0);
        client *c = client_open(server);
        client_print(c, "GET /small HTTP/1.1\r\nHost: a\r\n");
        long long began = now_ms();
        while (!c->eof && now_ms() < began + 3000) {
            client_print(c, "X: 0123456789\r\n");
            pump(server, 10), client_fill(c);
        }
        CHECK(now_ms() - began < 1500);
        CHECK_INT(azc_stats(server)->refused[8], 1);
        finish(server);
    }
    (void)all;
}

/* ---- Silence ---------------------------------------------------------------------------------- */

static void silence(void) {
    TEST("a silent peer is pinged after ping_ms to a quarter more, whenever it was last heard") {
        for (int at = 0; at < 4; at++) {
            azc_config config = quick();
            config.ping_ms = 300, config.pong_ms = 2000; /* the answer of 129 bytes is no progress */
            azc_server *server = serve(&config, recorder("/t"));
            client *c = join_channel(server, "/t");
            pump(server, 20 + at * 90);
            client_text(c, "x"), settle(server);
            for (int i = 0; i < 3; i++) { /* the first and what follows on pongs */
                long long heard = now_ms();
                EXPECT_FRAME(c, PING, "", 0);
                long long silent = now_ms() - heard;
                if (!CHECK(silent >= 290 && silent <= 480)) printf("    %lld ms\n", silent);
                client_frame(c, FIN | PONG, "", 0), settle(server);
            }
            finish(server);
        }
    }
    TEST("by default nothing is silent for 45 s") {
        azc_server *server = create(NULL);
        CHECK(server->config.ping_ms + server->config.ping_ms / 4 <= 45000);
        finish(server);
    }
}

/* ---- Stalls ------------------------------------------------------------------------------------ */

enum { CROWD = 600 };

static void stall(int ms) {
    for (long long end = now_ms() + ms; now_ms() < end;) poll(NULL, 0, (int)(end - now_ms()));
}
static void stall_task(azc_server *server, void *ms) {
    (void)server;
    stall(*(int *)ms);
}

static int stall_message(azc_conn *conn, const char *text, size_t len) {
    (void)conn, (void)len;
    stall(atoi(text));
    return AZC_OK;
}

static void stalls(void) {
    TEST("600 peers whose pongs wait while a callback stalls are all alive after it") {
        azc_config config = quick();
        config.ping_ms = 60000, config.pong_ms = 300; /* this test pings them itself */
        azc_server *server = serve(&config, echoer("/t"));
        static client *c[CROWD];
        for (int i = 0; i < CROWD; i++) {
            c[i] = client_open(server);
            client_print(c[i], "GET /t HTTP/1.1\r\n" UPGRADE "\r\n");
            if (i % 100 == 0) settle(server);
        }
        answer a;
        for (int i = 0; i < CROWD; i++) CHECK_INT(client_answer(c[i], &a), 101);
        for (azc_cursor m = azc_members(served, NULL); azc_cursor_next(&m);)
            azc__conn_ping(m.conn);
        for (int i = 0; i < CROWD; i++) /* straight into the socket: it is not polled */
            client_send_some(c[i], "\x8a\x80\0\0\0", 6);
        int ms = 700;
        azc_after(server, 0, stall_task, &ms);
        for (int i = 0; i < 20; i++) azc_poll(server, 0);
        CHECK_INT(azc_count(served, NULL), CROWD);
        for (int i = 0; i < CROWD; i++) EXPECT_FRAME(c[i], PING, "", 0);
        finish(server);
    }
    TEST("600 requests that wait while the program is busy are answered, not refused with 408") {
        azc_config config = quick();
        config.handshake_ms = 300;
        azc_server *server = serve(&config, echoer("/t"));
        static client *c[CROWD];
        for (int i = 0; i < CROWD; i++) c[i] = client_open(server);
        for (int i = 0; i < 20; i++) azc_poll(server, 0);
        CHECK_INT(azc_stats(server)->connections, CROWD);
        for (int i = 0; i < CROWD; i++)
            client_send_some(c[i], "GET /t HTTP/1.1\r\n" UPGRADE "\r\n",
                             strlen("GET /t HTTP/1.1\r\n" UPGRADE "\r\n"));
        stall(600);
        answer a;
        for (int i = 0; i < CROWD; i++)
            if (!CHECK_INT(client_answer(c[i], &a), 101)) break;
        CHECK_INT(azc_count(served, NULL), CROWD);
        finish(server);
    }
    TEST("a program that handles its own input between poll and azc_poll_end loses no peer") {
        azc_config config = quick();
        config.ping_ms = 100, config.pong_ms = 100;
        azc_server *server = serve(&config, recorder("/t"));
        client *c = join_channel(server, "/t");
        EXPECT_FRAME(c, PING, "", 0);
        struct pollfd fds[8];
        int wait = 0;
        size_t n = azc_poll_begin(server, fds, 8, &wait);
        poll(fds, (nfds_t)n, 0);
        client_send_some(c, "\x8a\x80\0\0\0", 6);
        stall(200); /* the program's own */
        CHECK_INT(azc_poll_end(server, fds, n), 1);
        CHECK_INT(azc_count(served, NULL), 1);
        finish(server);
    }
    TEST("a callback that stalls takes nothing from the time of a ping sent after it") {
        azc_config config = quick();
        config.ping_ms = config.pong_ms = 300;
        azc_channel_desc d = recorder("/t");
        d.on_message = stall_message;
        azc_server *server = serve(&config, d);
        client *c = join_channel(server, "/t"), *other = join_channel(server, "/t");
        client_text(other, "500");
        stall(310);
        azc_poll(server, 0); /* one stalls it, for the other the ping is due */
        azc_poll(server, 0), azc_poll(server, 0);
        EXPECT_FRAME(c, PING, "", 0);
        client_frame(c, FIN | PONG, "", 0), settle(server);
        CHECK_INT(azc_count(served, NULL), 2);
        finish(server);
    }
}

/* ---- Programs that poll seldom ------------------------------------------------------------------ */

static void seldom(void) {
    TEST("azc_close between polls gives the peer close_ms from then on") {
        azc_config config = quick();
        config.close_ms = 300;
        azc_server *server = serve(&config, recorder("/t"));
        join_channel(server, "/t");
        stall(290);
        azc_close(member_of(served), 1000, "");
        azc_poll(server, 0);
        stall(30);
        azc_poll(server, 0), azc_poll(server, 0);
        CHECK_INT(azc_stats(server)->connections, 1);
        pump(server, 400);
        CHECK_INT(azc_stats(server)->connections, 0);
        finish(server);
    }
    TEST("azc_shutdown between polls closes its peers one by one from then on") {
        azc_config config = quick();
        azc_server *server = serve(&config, recorder("/t"));
        for (int i = 0; i < 20; i++) join_channel(server, "/t");
        stall(600);
        azc_shutdown(server, 500);
        azc_poll(server, 0), azc_poll(server, 0);
        CHECK(azc_count(served, NULL) >= 18);
        long long began = now_ms();
        while (azc_count(served, NULL) > 10 && now_ms() < began + 2000) azc_poll(server, 1);
        if (!CHECK(now_ms() - began > 150 && now_ms() - began < 450))
            printf("    half after %lld ms\n", now_ms() - began);
        finish(server);
    }
    TEST("polled once in twice pong_ms, a peer that answers stays") {
        azc_config config = quick();
        config.ping_ms = 50, config.pong_ms = 50;
        azc_server *server = serve(&config, recorder("/t"));
        client *c = join_channel(server, "/t");
        for (int i = 0; i < 12; i++) {
            azc_poll(server, 0);
            client_fill(c);
            for (; c->len >= 2; client_take(c, 2)) client_send_some(c, "\x8a\x80\0\0\0", 6);
            stall(100);
        }
        CHECK_INT(azc_count(served, NULL), 1);
        finish(server);
    }
}

/* ---- Making room ------------------------------------------------------------------------------ */

/* Ask for a page and read only its first bytes. */
static client *reading(azc_server *server, const char *fields) {
    client *c = client_open_to(server, "127.0.0.1", azc_port(server), 1);
    client_print(c, "GET /page HTTP/1.1\r\nHost: a\r\n%s\r\n", fields);
    settle(server);
    char some[100];
    CHECK(recv(c->fd, some, sizeof some, 0) > 0);
    return c;
}
/* Ask for a page and read it: the connection is idle now. */
static client *idle(azc_server *server) {
    client *c = client_open(server);
    answer a;
    client_print(c, "GET /small HTTP/1.1\r\nHost: a\r\n\r\n");
    CHECK_INT(client_answer(c, &a), 200);
    return c;
}
static int lives(client *c) {
    char byte;
    settle(c->server);
    ssize_t n = recv(c->fd, &byte, 1, MSG_PEEK);
    return n > 0 || (n < 0 && errno == EAGAIN);
}

static azc_server *places(int n, int fixed) {
    azc_config config = quick();
    config.max_connections = n;
    return pages(config, fixed ? 1 : 0);
}

static void crowds(void) {
    TEST("at max_connections the oldest unfinished request makes room, though others are older") {
        azc_server *server = places(5, 0);
        client *open = join_channel(server, "/t"), *page1 = reading(server, "");
        client *kept = idle(server), *half = client_open(server);
        client_print(half, "GET /sm"), settle(server);
        client *silent = client_open(server);
        settle(server);
        join_channel(server, "/t");
        CHECK(!lives(half) && lives(open) && lives(page1) && lives(kept) && lives(silent));
        join_channel(server, "/t");
        CHECK(!lives(silent) && lives(open) && lives(page1) && lives(kept));
        CHECK_INT(azc_stats(server)->gave_way, 2);
        finish(server);
    }
    TEST("a response that only the kernel still holds is one to read, too") {
        azc_server *server = places(3, 0);
        client *kept = client_open_to(server, "127.0.0.1", azc_port(server), 1), *younger;
        client_print(kept, "GET /middle HTTP/1.1\r\nHost: a\r\n\r\n"), settle(server);
        pump(server, 30);
        CHECK_INT(server->slots[0]->out.bytes, 0);
        CHECK(azc__sys_unacked(server->slots[0]) > 0);
        younger = idle(server);
        join_channel(server, "/t");
        join_channel(server, "/t");
        CHECK(!lives(younger) && lives(kept));
        finish(server);
    }
    TEST("then the connection that has been idle longest between two requests makes room") {
        azc_server *server = places(5, 0);
        client *page1 = reading(server, ""), *first = idle(server), *second = idle(server);
        client *last = reading(server, "Connection: close\r\n"), *open = join_channel(server, "/t");
        answer a;
        client_print(first, "GET /small HTTP/1.1\r\nHost: a\r\n\r\n"); /* the younger one now */
        CHECK_INT(client_answer(first, &a), 200);
        join_channel(server, "/t");
        CHECK(!lives(second) && lives(first) && lives(page1) && lives(last) && lives(open));
        join_channel(server, "/t");
        CHECK(!lives(first) && lives(page1) && lives(last) && lives(open));
        finish(server);
    }
    for (int kind = 0; kind < 3; kind++) { /* 2: the kernel does not tell what was acknowledged */
        TEST("a connection in a channel or with a page to read makes no room: newcomers wait, nothing spins") {
            azc_server *server = places(4, kind == 1);
            kernel_hides = kind == 2;
            while (server->config.max_connections < server->conn_count) azc_poll(server, 0);
            client *held[8] = {reading(server, ""), reading(server, "Connection: close\r\n"),
                               join_channel(server, "/t"), reading(server, "")};
            for (int i = 4; i < server->config.max_connections; i++) held[i] = reading(server, "");
            client *late = client_open(server);
            client_print(late, "GET /small HTTP/1.1\r\nHost: a\r\n\r\n");
            int turns = 0;
            for (long long end = now_ms() + 300; now_ms() < end; turns++) azc_poll(server, 50);
            CHECK(turns < 40);
            CHECK_INT(azc_stats(server)->gave_way, 0);
            for (int i = 0; i < server->config.max_connections; i++) CHECK(lives(held[i]));
            client_fill(late);
            CHECK_INT(late->len, 0);
            /* one has read its page: it is idle, and makes room */
            answer a;
            for (long long end = now_ms() + 20000; now_ms() < end && late->len == 0;) {
                static char bytes[65536];
                while (recv(held[0]->fd, bytes, sizeof bytes, 0) > 0) azc_poll(server, 0);
                azc_poll(server, 1);
                client_fill(late);
            }
            CHECK_INT(client_answer(late, &a), 200);
            for (int i = 1; i < server->config.max_connections; i++) CHECK(lives(held[i]));
            kernel_hides = 0;
            finish(server);
        }
    }
}

/* ---- After a close ------------------------------------------------------------------------------- */

static int send_over(azc_conn *conn, const char *text, size_t len) {
    static char much[10000];
    (void)text, (void)len;
    int result = AZC_OK;
    while (result == AZC_OK) result = azc_send_binary(conn, much, sizeof much);
    CHECK_INT(result, AZC_ERR_FULL);
    return result;
}
static int close_and_fail(azc_conn *conn, const char *text, size_t len) {
    (void)text, (void)len;
    azc_close(conn, 4000, "enough");
    return AZC_ERR_APP;
}
static int fail_part(azc_conn *conn, const void *data, size_t len, int flags) {
    (void)flags;
    return send_over(conn, (const char *)data, len);
}
static int fail_connect(azc_conn *conn) { return send_over(conn, "", 0); }
static int fail_control(azc_conn *conn, const void *data, size_t len) {
    return send_over(conn, (const char *)data, len);
}

static void after_close(void) {
    TEST("returning the error of a send past max_backlog: on_close runs, on_error does not") {
        int (*const bad[2])(azc_conn *, const char *, size_t) = {send_over, close_and_fail};
        for (int i = 0; i < 2; i++) {
            azc_channel_desc d = recorder("/t");
            d.on_message = bad[i];
            azc_server *server = serve(NULL, d);
            client *c = join_channel(server, "/t");
            client_text(c, "x"), settle(server);
            EXPECT_EVENTS(i < 1 ? "connect; close 1013; " : "connect; close 4000 enough; ");
            finish(server);
        }
    }
    TEST("every other callback is the same") {
        for (int i = 0; i < 4; i++) {
            azc_channel_desc d = recorder("/t");
            if (i == 0) d.on_connect = fail_connect;
            if (i == 1) d.on_ping = fail_control;
            if (i == 2) d.on_pong = fail_control;
            if (i == 3) serve_parts.on_part = fail_part;
            azc_server *server = serve(NULL, d);
            client *c = join_channel(server, "/t");
            static const int opcodes[] = {TEXT, PING, PONG, TEXT};
            client_frame(c, FIN | opcodes[i], "x", 1), settle(server);
            EXPECT_EVENTS(i == 0 ? "close 1013; " : "connect; close 1013; ");
            finish(server);
        }
    }
}

int main(int argc, char **argv) {
    test_start(argc, argv);
    if (!slow_machine()) readers();
    if (!slow_machine()) senders();
    if (!slow_machine()) silence();
    kernel();
    stalls();
    seldom();
    crowds();
    after_close();
    tape_clear(&events), tape_clear(&log_lines);
    return test_end();
}
