/* azc_statistics, field by field, and full backlogs: refused, paused, drained and counted. */
#ifndef _DEFAULT_SOURCE
#define _DEFAULT_SOURCE 1
#endif
#include <errno.h>
#include <sys/socket.h>

/* The server's kernel, whose buffers are full while kernel_full is set. */
static int kernel_full;
static ssize_t kernel_send(int fd, const void *data, size_t len, int flags) {
    if (kernel_full) errno = EAGAIN;
    return kernel_full ? -1 : send(fd, data, len, flags);
}
static ssize_t kernel_sendmsg(int fd, const struct msghdr *msg, int flags) {
    if (kernel_full) errno = EAGAIN;
    return kernel_full ? -1 : sendmsg(fd, msg, flags);
}

#define send kernel_send
#define sendmsg kernel_sendmsg
#define AZCHAN_IMPLEMENTATION
#include "../azchan.h"
#undef send
#undef sendmsg
#include "test.h"
#include "client.h"

static const azc_statistics *stats;

static azc_server *counted(const azc_config *config, azc_channel_desc desc) {
    azc_server *server = serve(config, desc);
    stats = azc_stats(server);
    return server;
}

static azc_config small_backlog(void) { /* no smaller than one message and one read need */
    azc_config c = quick();
    c.max_message = 1024, c.max_backlog = 16384, c.read_buffer = 4096;
    return c;
}

/* All counters but those named (by offset) are as in before. */
static int only(const azc_statistics *before, const uint64_t *const *fields, int count) {
    const uint64_t *a = (const uint64_t *)(const void *)before;
    const uint64_t *b = (const uint64_t *)(const void *)stats;
    int others = 0;
    for (size_t i = 0; i < sizeof *stats / sizeof *a; i++) {
        int named = 0;
        for (int k = 0; k < count; k++) named |= fields[k] == b + i;
        if (!named && a[i] != b[i]) others++, printf("    counter %d moved too\n", (int)i);
    }
    return others == 0;
}

static uint64_t sum_closed(void) {
    uint64_t n = stats->closed_app;
    for (int i = 0; i < 16; i++) n += stats->closed[i];
    return n;
}

/* ---- Connections ----------------------------------------------------------------------------- */

static void connections(void) {
    TEST("a new server's counts are 0, and azc_stats(NULL) is NULL") {
        azc_server *server = counted(NULL, echoer("/t"));
        azc_statistics zero;
        memset(&zero, 0, sizeof zero);
        CHECK(memcmp(stats, &zero, sizeof zero) == 0);
        CHECK(azc_stats(NULL) == NULL);
        CHECK(azc_stats(server) == stats); /* live: the same for good */
        finish(server);
    }
    TEST("connections and accepted count all sockets, open and opened only channels") {
        azc_server *server = counted(NULL, echoer("/t"));
        client *silent = client_open(server);
        settle(server);
        azc_statistics before;
        memset(&before, 0, sizeof before);
        const uint64_t *const moved[] = {&stats->connections, &stats->accepted};
        CHECK(only(&before, moved, 2));
        CHECK_INT(stats->connections, 1);
        CHECK_INT(stats->accepted, 1);
        client *in = join_channel(server, "/t");
        CHECK_INT(stats->connections, 2);
        CHECK_INT(stats->accepted, 2);
        CHECK_INT(stats->open, 1);
        CHECK_INT(stats->opened, 1);
        client_close(silent), settle(server);
        CHECK_INT(stats->connections, 1);
        CHECK_INT(stats->open, 1);
        client_bye(in, 1000, "");
        EXPECT_CLOSE(in, 1000, "");
        CHECK_INT(stats->open, 0);
        CHECK_INT(stats->connections, 1); /* until the peer ends TCP too */
        client_close(in), settle(server);
        CHECK_INT(stats->connections, 0);
        CHECK_INT(stats->accepted, 2);
        CHECK_INT(stats->opened, 1);
        finish(server);
    }
    TEST("open falls when the program closes, not when the peer has answered") {
        azc_server *server = counted(NULL, echoer("/t"));
        join_channel(server, "/t");
        azc_close(member_of(served), 1000, "");
        CHECK_INT(stats->open, 0);
        CHECK_INT(stats->connections, 1);
        CHECK_INT(sum_closed(), 0); /* on_close runs in the next turn */
        settle(server);
        CHECK_INT(sum_closed(), 1);
        finish(server);
    }
    TEST("requests counts every answer, refused[] the refusals by status") {
        static const struct {
            const char *request;
            int status;
        } cases[] = {
            {"GET /t HTTP/1.1\r\nHost: a\r\nOrigin: http://b\r\n", 426},
            {"GET /nothing HTTP/1.1\r\nHost: a\r\n\r\n", 404},
            {"POST /t HTTP/1.1\r\nHost: a\r\n\r\n", 405},
            {"GET /t HTTP/1.1\r\n\r\n", 400},
            {"nonsense\r\n\r\n", 400},
            {"GET /t HTTP/1.0\r\nHost: a\r\n\r\n", 426},
            {"GET /t HTTP/2.0\r\nHost: a\r\n\r\n", 505},
            {"GET /t HTTP/1.1\r\n" UPGRADE "Origin: http://b.example\r\n\r\n", 403},
            {"GET /teapot HTTP/1.1\r\nHost: a\r\n\r\n", 418},
            {"GET /page HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\n", 413},
            {"GET /page HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n", 501},
        };
        azc_server *server = create(NULL);
        azc_channel_desc d = echoer("/t");
        stats = azc_stats(server);
        CHECK(azc_add_channel(server, &d) != NULL);
        CHECK_INT(azc_add_page(server, "/page", NULL, "page", 4), AZC_OK);
        listening(server);
        int n = 0;
        for (size_t i = 0; i < sizeof cases / sizeof *cases; i++, n++) {
            client *c = client_open(server);
            answer a;
            uint64_t was = 0;
            int status = cases[i].status == 418 ? 404 : cases[i].status;
            was = stats->refused[status - 400];
            client_print(c, "%s%s", cases[i].request, i == 0 ? "\r\n" : "");
            CHECK_INT(client_answer(c, &a), status);
            CHECK_INT(stats->refused[status - 400], was + 1);
            CHECK_INT(stats->requests, n + 1);
            client_close(c), settle(server);
        }
        uint64_t refused = 0;
        for (int i = 0; i < 200; i++) refused += stats->refused[i];
        CHECK_INT(refused, n);
        client *c = client_open(server); /* three on one connection, none refused */
        for (int i = 0; i < 2; i++) {
            answer a;
            client_print(c, "GET /page HTTP/1.1\r\nHost: a\r\n\r\n");
            CHECK_INT(client_answer(c, &a), 200);
            CHECK_INT(stats->requests, ++n);
        }
        CHECK_INT(client_upgrade(c, "/t", ""), 101);
        CHECK_INT(stats->requests, ++n);
        CHECK_INT(stats->accepted, stats->requests - 2);
        CHECK_INT(stats->opened, 1);
        refused = 0;
        for (int i = 0; i < 200; i++) refused += stats->refused[i];
        CHECK_INT(refused, n - 3);
        finish(server);
    }
}

static int teapot(azc_conn *conn, void *user) {
    return user ? 418 : azc_reply(conn, 599, NULL, "", 0);
}
static int slam(azc_conn *conn) { return conn ? 599 : 0; }

static void refusals(void) {
    TEST("refused[] holds statuses up to 599, the server's and the program's") {
        azc_server *server = create(NULL);
        azc_channel_desc d = echoer("/t");
        d.on_upgrade = slam;
        stats = azc_stats(server);
        CHECK(azc_add_channel(server, &d) != NULL);
        azc_add_handler(server, "/teapot", teapot, &stats);
        azc_add_handler(server, "/own", teapot, NULL);
        listening(server);
        answer a;
        client *c = client_open(server);
        client_print(c, "GET /teapot HTTP/1.1\r\nHost: a\r\n\r\n");
        CHECK_INT(client_answer(c, &a), 418);
        CHECK_INT(stats->refused[18], 1);
        client_print(c = client_open(server), "GET /own HTTP/1.1\r\nHost: a\r\n\r\n");
        CHECK_INT(client_answer(c, &a), 599);
        CHECK_INT(stats->refused[199], 1);
        CHECK_INT(client_upgrade(client_open(server), "/t", ""), 599);
        CHECK_INT(stats->refused[199], 2);
        CHECK_INT(stats->requests, 3);
        CHECK_INT(stats->opened, 0);
        finish(server);
    }
    TEST("a head that is late is a request refused with 408, silence is none") {
        azc_config config = quick();
        config.handshake_ms = 30;
        azc_server *server = counted(&config, echoer("/t"));
        client *silent = client_open(server), *late = client_open(server);
        client_print(late, "GET /t HT");
        answer a;
        CHECK_INT(client_answer(late, &a), 408);
        EXPECT_EOF(silent);
        CHECK_INT(stats->refused[8], 1);
        CHECK_INT(stats->requests, 1);
        CHECK_INT(stats->gave_way, 0);
        finish(server);
    }
    TEST("gave_way counts only connections that were closed to admit a newcomer") {
        azc_config config = quick();
        config.max_connections = 3;
        azc_server *server = counted(&config, echoer("/t"));
        client *first = client_open(server), *second = client_open(server);
        join_channel(server, "/t");
        settle(server);
        CHECK_INT(stats->gave_way, 0);
        join_channel(server, "/t");
        CHECK_INT(stats->gave_way, 1);
        EXPECT_EOF(first);
        EXPECT_SILENCE(second);
        CHECK_INT(stats->connections, 3);
        CHECK_INT(stats->accepted, 4);
        join_channel(server, "/t");
        EXPECT_EOF(second);
        CHECK_INT(stats->gave_way, 2);
        client *waits = client_open(server);
        settle(server); /* all three are open: none gives way */
        CHECK_INT(stats->gave_way, 2);
        CHECK_INT(stats->accepted, 5);
        CHECK_INT(stats->connections, 3);
        CHECK_INT(sum_closed(), 0);
        client_close(waits);
        finish(server);
    }
    TEST("over_address counts connections past max_per_address, which holds for each address") {
        azc_config config = quick();
        config.max_per_address = 2, config.host = "::";
        azc_server *server = counted(&config, echoer("/t"));
        client *a = join_channel(server, "/t"), *b = client_open(server);
        settle(server);
        CHECK_INT(stats->over_address, 0);
        client *c = client_open(server), *d = client_open(server);
        EXPECT_EOF(c);
        EXPECT_EOF(d);
        CHECK_INT(stats->over_address, 2);
        CHECK_INT(stats->accepted, 4);
        CHECK_INT(stats->connections, 2);
        CHECK_INT(stats->requests, 1);
        client *six = client_open_to(server, "::1", azc_port(server), 0);
        if (CHECK(six != NULL)) CHECK_INT(client_upgrade(six, "/t", ""), 101);
        CHECK_INT(stats->over_address, 2);
        client_close(b), settle(server); /* frees a place */
        client *again = join_channel(server, "/t");
        CHECK_INT(stats->over_address, 2);
        CHECK(a && again);
        finish(server);
    }
}

/* ---- Closes ---------------------------------------------------------------------------------- */

static void closes(void) {
    TEST("closed[] counts each on_close by its code, codes from 3000 on in closed_app") {
        static const int codes[] = {1000, 1001, 1002, 1003, 1007, 1008, 1009, 1010, 1011, 1012,
                                    1013, 1014, 3000, 3999, 4000, 4999};
        azc_server *server = counted(NULL, echoer("/t"));
        int app = 0;
        for (size_t i = 0; i < sizeof codes / sizeof *codes; i++)
            for (int by_peer = 0; by_peer < 2; by_peer++) {
                client *c = join_channel(server, "/t");
                if (by_peer) client_bye(c, codes[i], "");
                else CHECK_INT(azc_close(member_of(served), codes[i], NULL), AZC_OK);
                EXPECT_CLOSE(c, codes[i], NULL);
                app += codes[i] >= 3000;
                if (codes[i] < 3000) CHECK_INT(stats->closed[codes[i] - 1000], by_peer + 1);
                CHECK_INT(stats->closed_app, app);
                client_close(c), settle(server);
            }
        client *none = join_channel(server, "/t"); /* 1005: none given */
        client_bye(none, 0, "");
        EXPECT_CLOSE(none, 0, NULL);
        CHECK_INT(stats->closed[5], 1);
        client_reset(join_channel(server, "/t")), settle(server); /* 1006: dropped */
        CHECK_INT(stats->closed[6], 1);
        CHECK_INT(stats->closed[4], 0);
        CHECK_INT(stats->closed[15], 0);
        CHECK_INT(sum_closed(), stats->opened);
        finish(server);
    }
    TEST("closed[] counts the server's own verdicts: 1002, 1007, 1009, 1013") {
        azc_config config = small_backlog();
        azc_server *server = counted(&config, echoer("/t"));
        static char data[2000];
        client_frame(join_channel(server, "/t"), FIN | 3, "", 0), settle(server);
        CHECK_INT(stats->closed[2], 1);
        client_frame(join_channel(server, "/t"), FIN | TEXT, "\xff", 1), settle(server);
        CHECK_INT(stats->closed[7], 1);
        client_frame(join_channel(server, "/t"), FIN | BINARY, data, 1025), settle(server);
        CHECK_INT(stats->closed[9], 1);
        join_channel(server, "/t");
        while (azc_send_binary(member_of(served), data, sizeof data) == AZC_OK) {}
        settle(server);
        CHECK_INT(stats->closed[13], 1);
        CHECK_INT(sum_closed(), 4);
        finish(server);
    }
}

/* ---- Messages and bytes ---------------------------------------------------------------------- */

static void traffic(void) {
    TEST("messages_in counts whole messages, not frames and not control frames") {
        azc_server *server = counted(NULL, recorder("/t"));
        client *c = join_channel(server, "/t");
        client_text(c, "one"), settle(server);
        CHECK_INT(stats->messages_in, 1);
        client_frame(c, FIN | BINARY, "two", 3), settle(server);
        CHECK_INT(stats->messages_in, 2);
        client_frame(c, TEXT, "th", 2), client_frame(c, FIN | PING, "", 0), settle(server);
        client_frame(c, CONTINUATION, "re", 2), client_frame(c, FIN | PONG, "", 0), settle(server);
        CHECK_INT(stats->messages_in, 2);
        client_frame(c, FIN | CONTINUATION, "e", 1), settle(server);
        CHECK_INT(stats->messages_in, 3);
        client_frame(c, BINARY, "fo", 2), client_frame(c, FIN | CONTINUATION, "ur", 2);
        settle(server);
        CHECK_INT(stats->messages_in, 4);
        CHECK_INT(stats->messages_out, 0);
        client_bye(c, 1000, ""), settle(server);
        CHECK_INT(stats->messages_in, 4);
        finish(server);
    }
    TEST("messages_in does not count messages that are not delivered, nor invalid ones") {
        azc_server *server = counted(NULL, recorder("/t"));
        client *c = join_channel(server, "/t");
        client_frame(c, FIN | TEXT, "\xff", 1), settle(server);
        client *d = join_channel(server, "/t");
        azc_close(member_of(served), 1000, NULL), settle(server);
        client_text(d, "too late"), settle(server);
        CHECK_INT(stats->messages_in, 0);
        finish(server);
    }
    TEST("messages_out counts each message queued, a broadcast once for each recipient") {
        azc_server *server = counted(NULL, recorder("/t"));
        for (int i = 0; i < 3; i++) join_channel(server, "/t");
        azc_conn *conn = member_of(served);
        CHECK_INT(azc_send_text(conn, "a", 1), AZC_OK);
        CHECK_INT(stats->messages_out, 1);
        CHECK_INT(azc_send_binary(conn, "b", 1), AZC_OK);
        CHECK_INT(stats->messages_out, 2);
        CHECK_INT(azc_ping(conn, "", 0), AZC_OK);
        CHECK_INT(stats->messages_out, 2);
        CHECK_INT(azc_send_text(conn, "\xff", 1), AZC_ERR_UTF8);
        CHECK_INT(stats->messages_out, 2);
        CHECK_INT(sent_text(served, NULL, "c", 1, NULL), 3);
        CHECK_INT(stats->messages_out, 5);
        CHECK_INT(sent_text(served, NULL, "d", 1, conn), 2);
        CHECK_INT(stats->messages_out, 7);
        azc_close(conn, 1000, NULL);
        CHECK_INT(azc_send_text(conn, "e", 1), AZC_ERR_CLOSED);
        CHECK_INT(sent_text(served, NULL, "f", 1, NULL), 2);
        CHECK_INT(stats->messages_out, 9);
        finish(server);
    }
    TEST("bytes_in and bytes_out count the bytes on the wire, with heads and control frames") {
        azc_server *server = counted(NULL, echoer("/t"));
        client *c = client_open(server);
        static const char request[] = "GET /t HTTP/1.1\r\n" UPGRADE "\r\n";
        client_send(c, request, 10), settle(server);
        CHECK_INT(stats->bytes_in, 10); /* as they come */
        CHECK_INT(stats->bytes_out, 0);
        client_send(c, request + 10, sizeof request - 11);
        client_await(c, 1), settle(server), client_fill(c);
        uint64_t in = sizeof request - 1, out = c->len;
        CHECK_INT(stats->bytes_in, in);
        CHECK_INT(stats->bytes_out, out);
        client_take(c, c->len);
        static char data[70000];
        static const size_t sizes[] = {0, 1, 125, 126, 65535, 65536};
        for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
            size_t n = sizes[i], head = n < 126 ? 2 : n < 65536 ? 4 : 10;
            client_frame(c, FIN | BINARY, data, n);
            EXPECT_FRAME(c, BINARY, data, n);
            CHECK_INT(stats->bytes_in, in += n + head + 4);
            CHECK_INT(stats->bytes_out, out += n + head);
        }
        client_frame(c, FIN | PING, "ping", 4);
        EXPECT_FRAME(c, PONG, "ping", 4);
        CHECK_INT(stats->bytes_in, in += 10);
        CHECK_INT(stats->bytes_out, out += 6);
        client_bye(c, 1000, "bye");
        EXPECT_CLOSE(c, 1000, "bye");
        CHECK_INT(stats->bytes_in, in += 11);
        CHECK_INT(stats->bytes_out, out += 7);
        finish(server);
    }
    TEST("bytes_out counts bytes that the kernel took, not queued ones") {
        azc_server *server = counted(NULL, echoer("/t"));
        client *c = join_channel(server, "/t");
        uint64_t before = stats->bytes_out;
        azc_send_text(member_of(served), "hello", 5);
        CHECK_INT(stats->bytes_out, before);
        EXPECT_TEXT(c, "hello");
        CHECK_INT(stats->bytes_out, before + 7);
        finish(server);
    }
    TEST("bytes count pages and refusals too") {
        azc_server *server = create(NULL);
        azc_channel_desc d = echoer("/t");
        stats = azc_stats(server);
        CHECK(azc_add_channel(server, &d) != NULL);
        azc_add_page(server, "/page", "text/plain", "page", 4);
        listening(server);
        client *c = client_open(server);
        uint64_t all = 0;
        client_print(c, "GET /page HTTP/1.1\r\nHost: a\r\n\r\nGET /no HTTP/1.1\r\nHost: a\r\n\r\n");
        client_await(c, 1), settle(server), client_fill(c);
        all += c->len;
        CHECK_INT(stats->bytes_out, all);
        CHECK_INT(stats->bytes_in, 60);
        finish(server);
    }
}

/* ---- Backlogs -------------------------------------------------------------------------------- */

static char data[4096];

/* Fill the one connection's backlog until a message of len is refused. Returns how many went. */
static int fill(azc_conn *conn, size_t len) {
    int n = 0;
    while (azc_send_binary(conn, data, len) == AZC_OK && n < 100000) n++;
    return n;
}

/* A channel that drops, its one client not reading. */
static azc_server *dropping(client **c) {
    azc_config config = small_backlog();
    azc_channel_desc d = recorder("/t");
    d.when_full = AZC_FULL_DROP;
    azc_server *server = counted(&config, d);
    *c = join_channel(server, "/t");
    tape_clear(&events);
    return server;
}

static int closes_other(azc_conn *conn) {
    note("drain %d", (int)azc_dropped(conn));
    return AZC_OK;
}

static void backlogs(void) {
    TEST("azc_backlog is exactly the bytes queued and unsent, with the heads of frames") {
        azc_server *server = counted(NULL, echoer("/t"));
        client *c = join_channel(server, "/t");
        azc_conn *conn = member_of(served);
        settle(server);
        CHECK_INT(azc_backlog(conn), 0);
        azc_send_text(conn, "12345", 5);
        CHECK_INT(azc_backlog(conn), 7);
        azc_send_binary(conn, data, 126);
        CHECK_INT(azc_backlog(conn), 7 + 130);
        azc_ping(conn, "x", 1);
        CHECK_INT(azc_backlog(conn), 7 + 130 + 3);
        azc_broadcast(served, NULL, "y", 1, NULL);
        CHECK_INT(azc_backlog(conn), 7 + 130 + 3 + 3);
        azc_poll(server, 0);
        CHECK_INT(azc_backlog(conn), 0);
        EXPECT_TEXT(c, "12345");
        finish(server);
    }
    TEST("dropped and azc_dropped count each message refused, of a broadcast too; controls never") {
        client *c;
        azc_server *server = dropping(&c);
        azc_conn *conn = member_of(served);
        CHECK_INT(azc_dropped(conn), 0);
        int sent = fill(conn, 1000);
        CHECK_INT(sent, 16384 / 1004);
        CHECK_INT(azc_dropped(conn), 1);
        CHECK_INT(stats->dropped, 1);
        uint64_t out = stats->messages_out;
        size_t backlog = azc_backlog(conn);
        CHECK_INT(azc_send_text(conn, data, 1000), AZC_ERR_FULL);
        CHECK_INT(azc_dropped(conn), 2);
        CHECK_INT(azc_broadcast(served, NULL, data, 1000, NULL), 0);
        CHECK_INT(azc_broadcast_binary(served, NULL, data, 4000, NULL), 0);
        CHECK_INT(azc_dropped(conn), 4);
        CHECK_INT(stats->dropped, 4);
        CHECK_INT(stats->messages_out, out);
        CHECK_INT(azc_backlog(conn), backlog); /* nothing was queued */
        CHECK_INT(azc_ping(conn, "p", 1), AZC_OK);
        CHECK_INT(sent_text(served, NULL, "small", 5, NULL), 1); /* what fits goes */
        CHECK_INT(azc_dropped(conn), 4);
        CHECK_INT(azc_send_text(conn, "\xff", 1), AZC_ERR_UTF8);
        CHECK_INT(stats->dropped, 4);
        for (int i = 0; i < sent; i++) EXPECT_FRAME(c, BINARY, data, 1000);
        EXPECT_FRAME(c, PING, "p", 1);
        EXPECT_TEXT(c, "small");
        client *other = join_channel(server, "/t");
        CHECK_INT(azc_dropped(member_of(served)), 0); /* each its own */
        CHECK_INT(azc_dropped(conn), 4);
        CHECK_INT(azc_dropped(NULL), 0);
        CHECK(other != NULL);
        finish(server);
    }
    TEST("by default a message past max_backlog closes with 1013, counted once") {
        azc_config config = small_backlog();
        azc_server *server = counted(&config, recorder("/t"));
        client *full = join_channel(server, "/t");
        azc_conn *conn = member_of(served);
        client *other = join_channel(server, "/t");
        tape_clear(&events);
        int sent = 0;
        while (azc_backlog(conn) + 1004 <= 16384) sent++, azc_send_binary(conn, data, 1000);
        CHECK_INT(stats->dropped, 0);
        CHECK_INT(sent_binary(served, NULL, data, 1000, NULL), 1);
        CHECK_INT(stats->dropped, 1);
        CHECK_INT(sent_binary(served, NULL, data, 1000, NULL), 1); /* no longer asked */
        CHECK_INT(stats->dropped, 1);
        CHECK_INT(azc_send_text(conn, "", 0), AZC_ERR_CLOSED);
        CHECK_INT(azc_ping(conn, "", 0), AZC_ERR_CLOSED);
        CHECK_INT(stats->dropped, 1);
        settle(server);
        EXPECT_EVENTS("close 1013; ");
        CHECK_INT(stats->closed[13], 1);
        for (int i = 0; i < sent; i++) EXPECT_FRAME(full, BINARY, data, 1000);
        EXPECT_CLOSE(full, 1013, NULL); /* a control frame: it goes though the backlog is full */
        for (int i = 0; i < 2; i++) EXPECT_FRAME(other, BINARY, data, 1000);
        finish(server);
    }
    TEST("pongs go into a full backlog, and so does a Close") {
        client *c;
        azc_server *server = dropping(&c);
        azc_conn *conn = member_of(served);
        client_frame(c, FIN | PING, "before", 6);
        usleep(1000);
        int sent = fill(conn, 1000); /* unsent when the ping is read: same turn */
        while (azc_send_binary(conn, data, 1) == AZC_OK) {}
        CHECK_INT(azc_close(conn, 4000, "enough"), AZC_OK);
        settle(server);
        for (int i = 0; i < sent; i++) EXPECT_FRAME(c, BINARY, data, 1000);
        frame f;
        int closed = 0;
        while (!closed && client_read(c, &f)) closed = f.opcode == CLOSE;
        CHECK_INT(closed && f.code == 4000, 1);
        finish(server);
        server = dropping(&c);
        conn = member_of(served);
        client_frame(c, FIN | TEXT, "x", 1), settle(server);
        client_frame(c, FIN | PING, data, 125);
        azc_statistics before = *stats;
        while (azc_backlog(conn) + 4 <= 16384) azc_send_binary(conn, data, 1);
        azc_poll(server, 0);
        CHECK_INT(stats->dropped, before.dropped);
        do CHECK_INT(client_read(c, &f), 1);
        while (f.opcode == BINARY && test.bad == 0);
        CHECK_INT(f.opcode, PONG);
        finish(server);
    }
    TEST("azc_ping fits a full backlog; past it, it is AZC_ERR_FULL without consequences") {
        client *c;
        azc_server *server = dropping(&c);
        azc_conn *conn = member_of(served);
        int sent = fill(conn, 1000), pings = 0, result;
        uint64_t dropped = stats->dropped;
        while ((result = azc_ping(conn, data, 125)) == AZC_OK && pings < 1000) pings++;
        CHECK_INT(result, AZC_ERR_FULL);
        CHECK(pings > 0);
        CHECK(azc_backlog(conn) <= 16384 + 127);
        CHECK_INT(stats->dropped, dropped);
        CHECK_INT(azc_count(served, NULL), 1);
        for (int i = 0; i < sent; i++) EXPECT_FRAME(c, BINARY, data, 1000);
        for (int i = 0; i < pings; i++) EXPECT_FRAME(c, PING, data, 125);
        finish(server);
    }
    TEST("on_drain runs once each time that a full backlog has room again") {
        azc_config config = small_backlog();
        azc_channel_desc d = recorder("/t");
        d.when_full = AZC_FULL_DROP, d.on_drain = closes_other;
        azc_server *server = counted(&config, d);
        client *c = join_channel(server, "/t");
        azc_conn *conn = member_of(served);
        tape_clear(&events);
        for (int round = 1; round <= 3; round++) {
            int sent = fill(conn, 1000);
            EXPECT_EVENTS("");
            for (int i = 0; i < sent; i++) EXPECT_FRAME(c, BINARY, data, 1000);
            settle(server);
            char want[32];
            snprintf(want, sizeof want, "drain %d; ", round);
            EXPECT_EVENTS(want);
        }
        azc_send_text(conn, "below half", 10), settle(server);
        EXPECT_EVENTS("");
        finish(server);
    }
    TEST("on_drain also follows a refusal below half") {
        client *c;
        azc_server *server = dropping(&c);
        static char large[10000];
        CHECK_INT(azc_send_binary(member_of(served), large, 7000), AZC_OK);
        CHECK_INT(azc_send_binary(member_of(served), large, 10000), AZC_ERR_FULL);
        settle(server);
        EXPECT_EVENTS("drain; ");
        EXPECT_FRAME(c, BINARY, large, 7000);
        finish(server);
    }
    TEST("a message larger than max_backlog is refused, and no on_drain follows") {
        client *c;
        azc_server *server = dropping(&c);
        static char huge[20000];
        CHECK_INT(azc_send_binary(member_of(served), huge, sizeof huge), AZC_ERR_FULL);
        CHECK_INT(stats->dropped, 1);
        pump(server, 20);
        EXPECT_EVENTS("");
        EXPECT_SILENCE(c);
        finish(server);
    }
    TEST("a closed peer causes no turns while its Close is awaited") {
        azc_config config = small_backlog();
        azc_server *server = counted(&config, recorder("/t"));
        client *c = join_channel(server, "/t");
        fill(member_of(served), 1000); /* closes: 1013, and an on_drain that is owed no more */
        settle(server), client_fill(c), settle(server);
        int turns = 0;
        for (long long end = now_ms() + 200; now_ms() < end; turns++) azc_poll(server, 50);
        CHECK(turns < 20);
        finish(server);
    }
}

static void pauses(void) {
    TEST("pauses counts how often reading a peer is paused, not the turns that it lasts") {
        azc_config config = small_backlog();
        config.ping_ms = -1;
        azc_channel_desc d = recorder("/t");
        d.when_full = AZC_FULL_DROP;
        azc_server *server = counted(&config, d);
        client *c = join_channel(server, "/t");
        azc_conn *conn = member_of(served);
        tape_clear(&events);
        for (int round = 1; round <= 3; round++) {
            kernel_full = 1;
            while (azc_backlog(conn) <= 8192) azc_send_binary(conn, data, 1000);
            settle(server);
            CHECK(azc_backlog(conn) > 8192);
            CHECK_INT(stats->pauses, round);
            client_text(c, "unheard");
            settle(server), settle(server);
            CHECK_INT(stats->pauses, round);
            EXPECT_EVENTS("");
            kernel_full = 0; /* poll reported room: the send is retried a little later */
            pump_until(server, count_of(tape_text(&events), "text unheard") == 1);
            client_fill(c), client_take(c, c->len);
            CHECK_INT(count_of(tape_text(&events), "drain"), 1);
            CHECK_INT(count_of(tape_text(&events), "text unheard"), 1);
            tape_clear(&events);
            CHECK_INT(stats->pauses, round);
        }
        CHECK_INT(stats->dropped, 0);
        finish(server);
    }
    TEST("a backlog of half does not pause, one byte more does") {
        azc_config config = small_backlog();
        for (int more = 0; more < 2; more++) {
            azc_server *server = counted(&config, recorder("/t"));
            client *c = join_channel(server, "/t");
            azc_conn *conn = member_of(served);
            settle(server);
            kernel_full = 1;
            while (8192 + (size_t)more - azc_backlog(conn) > 1100)
                azc_send_binary(conn, data, 1000);
            size_t rest = 8192 + (size_t)more - azc_backlog(conn), head = rest < 128 ? 2 : 4;
            azc_send_binary(conn, data, rest - head);
            CHECK_INT(azc_backlog(conn), 8192 + more);
            client_text(c, "heard?");
            azc_poll(server, 5), azc_poll(server, 5);
            CHECK_INT(azc_backlog(conn), 8192 + more);
            CHECK_INT(stats->pauses, more);
            CHECK_INT(stats->messages_in, 1 - more);
            kernel_full = 0;
            pump_until(server, stats->messages_in == 1);
            CHECK_INT(stats->pauses, more);
            finish(server);
        }
    }
    TEST("a latest value that grows past half of the backlog pauses, as any message does") {
        azc_config config = small_backlog();
        static char large[9000];
        memset(large, 'l', sizeof large);
        azc_server *server = counted(&config, recorder("/t"));
        client *c = join_channel(server, "/t");
        azc_conn *conn = member_of(served);
        settle(server);
        kernel_full = 1;
        CHECK_INT(send_latest(conn, 1, "small", 5), AZC_OK);
        azc_poll(server, 0);
        CHECK_INT(send_latest(conn, 1, large, 9000), AZC_OK);
        CHECK_INT(azc_backlog(conn), 9004 + sizeof(azc__keyed) + sizeof(azc__block));
        client_text(c, "heard?");
        azc_poll(server, 5), azc_poll(server, 5);
        CHECK_INT(stats->pauses, 1);
        CHECK_INT(stats->messages_in, 0);
        kernel_full = 0;
        pump_until(server, stats->messages_in == 1);
        CHECK_INT(stats->messages_in, 1);
        finish(server);
    }
    TEST("peak_backlog is the most that any one connection had when it was flushed") {
        azc_config config = small_backlog();
        azc_server *server = counted(&config, recorder("/t"));
        client *c = join_channel(server, "/t");
        azc_conn *conn = member_of(served);
        settle(server);
        uint64_t head = stats->peak_backlog; /* of the upgrade's answer */
        CHECK(head > 100 && head < 400);
        azc_send_binary(conn, data, 1000), azc_send_binary(conn, data, 1000);
        settle(server);
        CHECK_INT(stats->peak_backlog, 2008);
        azc_send_binary(conn, data, 1000), settle(server);
        CHECK_INT(stats->peak_backlog, 2008);
        for (int i = 0; i < 8; i++) azc_send_binary(conn, data, 1000);
        settle(server);
        CHECK_INT(stats->peak_backlog, 8032);
        join_channel(server, "/t");
        azc_conn *other = member_of(served);
        azc_send_binary(other, data, 4000), azc_send_binary(conn, data, 4000), settle(server);
        CHECK_INT(stats->peak_backlog, 8032); /* of one, not of all */
        for (int i = 0; i < 11; i++) EXPECT_FRAME(c, BINARY, data, 1000);
        finish(server);
    }
    TEST("only the first two counts ever fall") {
        azc_config config = small_backlog();
        azc_server *server = counted(&config, echoer("/t"));
        azc_statistics last = *stats;
        unsigned seed = 7;
        for (int i = 0; i < 400; i++) {
            seed = seed * 1103515245u + 12345u;
            client *c = clients && seed >> 16 & 3 ? clients : join_channel(server, "/t");
            switch (seed >> 20 & 7) {
            case 0: client_close(c); break;
            case 1: client_reset(c); break;
            case 2: client_bye(c, 1000 + (int)(seed >> 24 & 3), ""); break;
            case 3: client_frame(c, FIN | PING, data, 125); break;
            case 4: client_frame(c, FIN | 7, data, 5); break;
            default: client_frame(c, FIN | BINARY, data, seed >> 22 & 1023);
            }
            azc_poll(server, 0);
            if (c == clients && (c->eof || azc_count(served, NULL) == 0)) client_close(c);
            const uint64_t *a = (const uint64_t *)(const void *)&last;
            const uint64_t *b = (const uint64_t *)(const void *)stats;
            for (size_t k = 2; k < sizeof last / sizeof *a; k++) CHECK(b[k] >= a[k]);
            last = *stats;
        }
        CHECK_INT(sum_closed() + stats->open, stats->opened);
        CHECK(stats->opened > 50);
        finish(server);
    }
}

int main(int argc, char **argv) {
    test_start(argc, argv);
    connections();
    refusals();
    closes();
    traffic();
    backlogs();
    pauses();
    return test_end();
}
