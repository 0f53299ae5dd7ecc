/* What stands around a server: proxies in front, other processes on its port, supervisors that
 * hand it a socket, and the way in which it makes way for its successor. The same with the real
 * programs is in tests/net. */
#define AZCHAN_IMPLEMENTATION
#include "../azchan.h"
#include "test.h"
#include "client.h"

/* ---- Proxies --------------------------------------------------------------------------------- */

static int tell_peer(azc_conn *conn, void *user) {
    (void)user;
    return azc_reply(conn, 200, "text/plain", azc_peer(conn), strlen(azc_peer(conn)));
}

static azc_server *behind(const char *trusted, int max_per_address) {
    azc_config config = quick();
    config.max_per_address = max_per_address;
    azc_server *server = create(&config);
    if (trusted) CHECK_INT(azc_trust_proxies(server, trusted), AZC_OK);
    azc_channel_desc d = recorder("/t");
    served = azc_add_channel(server, &d);
    azc_add_handler(server, "/peer", tell_peer, NULL);
    listening(server);
    return server;
}

/* A client whose own address is 127.0.0.x. */
static client *client_from(azc_server *server, int x) {
    struct sockaddr_in a;
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    memset(&a, 0, sizeof a);
    a.sin_family = AF_INET, a.sin_addr.s_addr = htonl(0x7F000000u + (unsigned)x);
    if (fd < 0 || bind(fd, (struct sockaddr *)&a, sizeof a) != 0) abort();
    a.sin_addr.s_addr = htonl(INADDR_LOOPBACK), a.sin_port = htons((uint16_t)azc_port(server));
    if (connect(fd, (struct sockaddr *)&a, sizeof a) != 0) abort();
    fcntl(fd, F_SETFL, O_NONBLOCK);
    return client_on(server, fd);
}

/* What azc_peer says of a request from 127.0.0.x with these fields, in the same connection. */
static const char *peer_of(client *c, const char *fields) {
    static answer a;
    client_print(c, "GET /peer HTTP/1.1\r\nHost: a.example\r\n%s\r\n", fields);
    CHECK_INT(client_answer(c, &a), 200);
    return a.body ? a.body : "(nothing)";
}

#define FOR "X-Forwarded-For: "

static void visitors(void) {
    TEST("the visitor is the last address in X-Forwarded-For that is no trusted proxy's") {
        static const char *const seen[][2] = {
            {"", "127.0.0.1"},
            {FOR "203.0.113.9\r\n", "203.0.113.9"},
            {FOR "2001:db8::9\r\n", "2001:db8::9"},
            {FOR "::ffff:203.0.113.9\r\n", "203.0.113.9"},
            {FOR "6.6.6.6, 203.0.113.9\r\n", "203.0.113.9"},        /* the first is a forgery */
            {FOR "6.6.6.6\r\n" FOR "203.0.113.9\r\n", "203.0.113.9"},
            {FOR "203.0.113.9, 10.1.2.3, 10.255.0.1\r\n", "203.0.113.9"},
            {FOR "6.6.6.6,203.0.113.9 ,\t10.1.2.3\r\nx-forwarded-for:10.9.9.9\r\n", "203.0.113.9"},
            {FOR "10.1.2.3, 10.4.5.6\r\n", "10.1.2.3"},             /* one of the house */
            {FOR "6.6.6.6, 172.16.0.255\r\n", "6.6.6.6"},           /* 172.16.0.0/25 ends before, */
            {FOR "6.6.6.6, 172.16.0.128\r\n", "6.6.6.6"},           /* but 172.16.0.128/25 not */
            {FOR "6.6.6.6, 172.16.0.127\r\n", "172.16.0.127"},
            {FOR "6.6.6.6, fd00:1:2:3::9\r\n", "6.6.6.6"},
            {FOR "6.6.6.6, fd00:1:2:4::9\r\n", "fd00:1:2:4::9"},
            {FOR "\r\n", "127.0.0.1"},
            {FOR "unknown\r\n", "127.0.0.1"},                       /* nothing is known then */
            {FOR "6.6.6.6, unknown\r\n", "127.0.0.1"},
            {FOR "6.6.6.6, unix\r\n", "127.0.0.1"},
            {FOR "6.6.6.6, unknown, 203.0.113.9\r\n", "203.0.113.9"},
            {FOR "6.6.6.6, 10.1.2.3:80\r\n", "127.0.0.1"},
            {FOR "6.6.6.6, _x, 10.1.2.3\r\n", "10.1.2.3"},
            {FOR "1.2.3\r\n", "127.0.0.1"},
            {FOR "0000:0000:0000:0000:0000:0000:0000:0000:0000:0000:0000\r\n", "127.0.0.1"},
            {"X-Forwarded: for=6.6.6.6\r\nX-Forwarded-Fo: 6.6.6.6\r\n", "127.0.0.1"},
        };
        azc_server *server =
            behind(" 127.0.0.1 10.0.0.0/8  ::1 172.16.0.128/25 fd00:1:2:3::/64 ", 0);
        client *c = client_open(server); /* visitors share it, as a proxy's pool does */
        for (size_t i = 0; i < sizeof seen / sizeof *seen; i++)
            if (!CHECK_STR(peer_of(c, seen[i][0]), seen[i][1])) printf("    %s", seen[i][0]);
        finish(server);
    }
    TEST("what anybody else says of others is ignored, and without trusted_proxies all is") {
        azc_server *server = behind("127.0.0.1", 0);
        CHECK_STR(peer_of(client_from(server, 2), FOR "6.6.6.6\r\n"), "127.0.0.2");
        CHECK_STR(peer_of(client_from(server, 1), FOR "6.6.6.6\r\n"), "6.6.6.6");
        finish(server);
        for (int i = 0; i < 3; i++) {
            server = behind(i == 0 ? NULL : i == 1 ? "" : "unix ::1 127.0.0.0/31", 0);
            CHECK_STR(peer_of(client_from(server, 2), FOR "6.6.6.6\r\n"), "127.0.0.2");
            finish(server);
        }
        server = behind("0.0.0.0/0", 0);
        CHECK_STR(peer_of(client_from(server, 2), FOR "6.6.6.6\r\n"), "6.6.6.6");
        finish(server);
    }
    TEST("azc_peer is the visitor's for as long as the connection lives") {
        azc_server *server = behind("127.0.0.0/8", 0);
        client *c = client_open(server);
        CHECK_INT(client_upgrade(c, "/t", FOR "203.0.113.9\r\n"), 101);
        CHECK_STR(azc_peer(member_of(served)), "203.0.113.9");
        finish(server);
    }
    TEST("a malformed list of proxies is a bad config, named in words") {
        static const char *const bad[] = {
            "127.0.0.1,::1", "10.0.0.0/33", "::1/129", "10.0.0.0/", "10.0.0.0/-1", "10.0.0.0/8x",
            "10.0.0/8", "localhost", "unix/8", "*", "/", "10.0.0.0 /8", "unix:/tmp/x", "127.0.0.1\t",
            "10.0.0.0/8/8", "10.0.0.0/4294967304", "::ffff:10.0.0.0/104"};
        for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
            azc_server *server = create(NULL);
            CHECK_INT(azc_trust_proxies(server, bad[i]), AZC_ERR_ARGUMENT);
            if (!CHECK_INT(azc_listen(server), AZC_ERR_ARGUMENT)) printf("    %s\n", bad[i]);
            CHECK(strstr(azc_error(server), "azc_trust_proxies") != NULL);
            finish(server);
        }
    }
}

/* The status of an upgrade with these fields, from 127.0.0.x. */
static int upgrade_from(azc_server *server, int x, const char *fields) {
    client *c = client_from(server, x);
    int status = client_upgrade(c, "/t", fields);
    client_close(c);
    return status;
}

static void origins(void) {
    TEST("a trusted proxy's X-Forwarded-Host and -Proto are what an origin is held against") {
        static const struct {
            const char *fields;
            int status;
        } asked[] = {
            {"Origin: http://a.example\r\n", 101},
            {"Origin: https://a.example\r\n", 101},
            {"Origin: https://b.example\r\n", 403},
            {"Origin: https://b.example\r\nX-Forwarded-Host: b.example\r\n", 101},
            {"Origin: https://b.example:8443\r\nX-Forwarded-Host: b.example:8443\r\n", 101},
            {"Origin: https://b.example:8443\r\nX-Forwarded-Host: b.example\r\n", 403},
            {"Origin: https://a.example\r\nX-Forwarded-Host: b.example\r\n", 403},
            {"Origin: https://e.example\r\nX-Forwarded-Host: e.example, b.example\r\n", 403},
            {"Origin: https://b.example\r\nX-Forwarded-Host: e.example, b.example\r\n", 101},
            {"Origin: https://e.example\r\nX-Forwarded-Host: e.example\r\n"
             "X-Forwarded-Host: b.example\r\n", 403},
            {"Origin: https://a b\r\nX-Forwarded-Host: a b\r\n", 403},
            {"Origin: https://\r\nX-Forwarded-Host: a b\r\n", 101}, /* no browser sends it */
            {"Origin: https://a.example\r\nX-Forwarded-Proto: https\r\n", 101},
            {"Origin: https://a.example\r\nX-Forwarded-Proto: wss\r\n", 101},
            {"Origin: http://a.example\r\nX-Forwarded-Proto: https\r\n", 403},
            {"Origin: https://a.example\r\nX-Forwarded-Proto: http\r\n", 403},
            {"Origin: http://a.example\r\nX-Forwarded-Proto: ws\r\n", 101},
            {"Origin: http://a.example\r\nX-Forwarded-Proto: HTTPS, http\r\n", 101},
            {"Origin: http://a.example\r\nX-Forwarded-Proto: http, HTTPS\r\n", 403},
            {"Origin: http://a.example\r\nX-Forwarded-Proto: gopher\r\n", 101}, /* unknown */
        };
        azc_server *server = behind("127.0.0.1", 0);
        for (size_t i = 0; i < sizeof asked / sizeof *asked; i++)
            if (!CHECK_INT(upgrade_from(server, 1, asked[i].fields), asked[i].status))
                printf("    %s", asked[i].fields);
        finish(server);
    }
    TEST("nobody else's are") {
        azc_server *server = behind("127.0.0.1", 0);
        CHECK_INT(upgrade_from(server, 2, "Origin: https://evil.example\r\n"
                                          "X-Forwarded-Host: evil.example\r\n"), 403);
        CHECK_INT(upgrade_from(server, 2, "Origin: http://a.example\r\n"
                                          "X-Forwarded-Proto: https\r\n"), 101);
        finish(server);
    }
    TEST("max_per_address counts a proxy's visitors, not the proxy; one too many gets 429") {
        azc_server *server = behind("127.0.0.1", 2);
        client *a[3];
        for (int i = 0; i < 3; i++) a[i] = client_open(server);
        for (int i = 0; i < 2; i++) CHECK_INT(client_upgrade(a[i], "/t", FOR "6.6.6.6\r\n"), 101);
        CHECK_INT(client_upgrade(a[2], "/t", FOR "6.6.6.6\r\n"), 429);
        CHECK_INT(azc_stats(server)->over_address, 1);
        client *b = client_open(server);
        CHECK_INT(client_upgrade(b, "/t", FOR "7.7.7.7\r\n"), 101);
        client_close(a[0]);
        pump_until(server, azc_count(served, NULL) == 2);
        b = client_open(server);
        CHECK_INT(client_upgrade(b, "/t", FOR "6.6.6.6\r\n"), 101);
        CHECK_INT(upgrade_from(server, 1, FOR "6.6.6.6\r\n"), 429);
        for (int i = 0; i < 3; i++) /* the proxy's own health checks, say */
            CHECK_INT(client_upgrade(client_open(server), "/t", ""), 101);
        CHECK_INT(upgrade_from(server, 2, FOR "9.9.9.9\r\n"), 101);
        finish(server);
    }
    TEST("an upgrade that is refused gives its visitor's place back") {
        azc_config config = quick();
        config.max_per_address = 1;
        azc_channel_desc d = recorder("/t");
        azc_server *server = create(&config);
        CHECK_INT(azc_trust_proxies(server, "127.0.0.1"), AZC_OK);
        served = azc_add_channel(server, &d);
        listening(server);
        for (int i = 0; i < 3; i++)
            CHECK_INT(upgrade_from(server, 1, FOR "6.6.6.6\r\nOrigin: https://b.example\r\n"), 403);
        client *c = client_open(server);
        CHECK_INT(client_upgrade(c, "/t", FOR "6.6.6.6\r\n"), 101);
        CHECK_INT(upgrade_from(server, 1, FOR "6.6.6.6\r\n"), 429);
        finish(server);
    }
}

/* ---- Sockets from elsewhere ------------------------------------------------------------------ */

static int listener(int type) {
    struct sockaddr_in a;
    int fd = socket(AF_INET, type, 0);
    memset(&a, 0, sizeof a);
    a.sin_family = AF_INET, a.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    if (fd < 0 || bind(fd, (struct sockaddr *)&a, sizeof a) != 0) abort();
    if (type == SOCK_STREAM && listen(fd, 100) != 0) abort();
    return fd;
}

static azc_server *adopt(int fd) {
    azc_config config = quick();
    config.listen_fd = fd, config.host = "203.0.113.77" /* not looked at */;
    azc_server *server = create(&config);
    azc_channel_desc d = echoer("/t");
    served = azc_add_channel(server, &d);
    azc_add_handler(server, "/peer", tell_peer, NULL);
    return server;
}

/* adopt, of a copy that goes with the server, while the original stays. */
static azc_server *adopt_copy(int fd) {
    azc_server *server = adopt(dup(fd));
    if (memory.servers == 1) memory.descriptors--;
    return server;
}

static void adopted(void) {
    TEST("a listening socket is adopted, from one server to the next, and those in it wait") {
        int fd = listener(SOCK_STREAM);
        azc_server *one = adopt_copy(fd);
        listening(one);
        CHECK(azc_port(one) > 0);
        client *first = join_channel(one, "/t");
        azc_server *two = adopt_copy(fd);
        listening(two);
        CHECK_INT(azc_port(two), azc_port(one));
        azc_stop(one);
        settle(one);
        EXPECT_CLOSE(first, 1001, NULL);
        client *second = client_open(two); /* nobody polls two yet */
        finish(one);
        CHECK_INT(client_upgrade(second, "/t", ""), 101);
        client_text(second, "hello"), EXPECT_TEXT(second, "hello");
        int one_more = 0; /* as for sockets of our own: small messages do not wait */
        socklen_t len = sizeof one_more;
        getsockopt(member_of(served)->source.fd, IPPROTO_TCP, TCP_NODELAY, &one_more, &len);
        CHECK(one_more != 0);
        finish(two);
        close(fd);
    }
    TEST("an adopted Unix socket's file stays where it is: it is its owner's") {
        struct sockaddr_un a;
        memset(&a, 0, sizeof a);
        a.sun_family = AF_UNIX;
        snprintf(a.sun_path, sizeof a.sun_path, "/tmp/azchan-net-%ld", (long)getpid());
        int fd = socket(AF_UNIX, SOCK_STREAM, 0);
        CHECK(bind(fd, (struct sockaddr *)&a, sizeof a) == 0 && listen(fd, 10) == 0);
        azc_config config = quick();
        char host[128];
        snprintf(host, sizeof host, "unix:%s", a.sun_path);
        config.host = host, config.listen_fd = dup(fd);
        azc_server *server = create(&config);
        CHECK_INT(azc_trust_proxies(server, "unix"), AZC_OK);
        memory.descriptors--;
        azc_add_handler(server, "/peer", tell_peer, NULL);
        listening(server);
        CHECK_INT(azc_port(server), 0);
        CHECK_STR(peer_of(client_open_to(server, host, 0, 0), ""), "unix");
        CHECK_STR(peer_of(client_open_to(server, host, 0, 0), FOR "6.6.6.6\r\n"), "6.6.6.6");
        finish(server);
        CHECK(access(a.sun_path, F_OK) == 0);
        unlink(a.sun_path), close(fd);
    }
    TEST("what is no socket is AZC_ERR_ADDRESS, and stays its owner's") {
        int fd = dup(2);
        azc_server *server = adopt(fd);
        CHECK_INT(azc_listen(server), AZC_ERR_ADDRESS);
        CHECK(strstr(azc_error(server), "listen_fd") != NULL);
        finish(server);
        server = adopt(4000); /* nothing at all */
        CHECK_INT(azc_listen(server), AZC_ERR_ADDRESS);
        finish(server);
        server = adopt(-2);
        CHECK_INT(azc_listen(server), AZC_ERR_ARGUMENT);
        finish(server);
        CHECK_INT(close(fd), 0);
    }
    TEST("as inetd passes it, a peer's socket is served, and azc_run ends with it") {
        for (int page = 0; page < 2; page++) {
            int fd = listener(SOCK_STREAM), pair[2];
            struct sockaddr_in a;
            socklen_t len = sizeof a;
            getsockname(fd, (struct sockaddr *)&a, &len);
            pair[0] = socket(AF_INET, SOCK_STREAM, 0);
            CHECK(connect(pair[0], (struct sockaddr *)&a, len) == 0);
            pair[1] = accept(fd, NULL, NULL);
            fcntl(pair[0], F_SETFL, O_NONBLOCK);
            azc_server *server = adopt(pair[1]); /* a blocking one */
            memory.descriptors -= 2; /* both ends are whose they should be */
            listening(server);
            CHECK_INT(azc_port(server), ntohs(a.sin_port));
            client *c = client_on(server, pair[0]);
            if (page) {
                CHECK_STR(peer_of(c, ""), "127.0.0.1");
                EXPECT_EOF(c); /* it is not kept for another request */
                client_close(c);
            } else {
                CHECK_INT(client_upgrade(c, "/t", ""), 101);
                client_text(c, "hello"), EXPECT_TEXT(c, "hello");
                CHECK_INT(azc_poll(server, 0), 1);
                client_bye(c, 1000, ""), EXPECT_CLOSE(c, 1000, NULL), client_close(c);
            }
            CHECK_INT(azc_run(server), AZC_OK);
            finish(server);
            close(fd);
        }
    }
    TEST("with reuse_port several listen on one port, and without it there is only one") {
        azc_config config = quick();
        config.reuse_port = 1;
        azc_server *one = serve(&config, echoer("/t"));
        config.port = azc_port(one);
        azc_server *two = serve(&config, echoer("/t"));
        CHECK_INT(azc_port(two), azc_port(one));
        config.reuse_port = 0;
        azc_server *three = create(&config);
        CHECK_INT(azc_listen(three), AZC_ERR_IN_USE);
        finish(three);
        for (int i = 0; i < 64; i++) client_open(one);
        for (long long end = now_ms() + WAIT_MS; now_ms() < end;) {
            azc_poll(one, 1), azc_poll(two, 1);
            if (azc_stats(one)->accepted + azc_stats(two)->accepted == 64) break;
        }
        CHECK_INT(azc_stats(one)->accepted + azc_stats(two)->accepted, 64);
        CHECK(azc_stats(one)->accepted > 8 && azc_stats(two)->accepted > 8); /* 1 in 10^9 fails */
        for (client *c = clients; c; c = c->next) c->server = one;
        finish(one), finish(two);
    }
}

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
        for (client *c = clients; c; c = c->next) { /* who is told goes */
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
    TEST("azc_shutdown tells its peers 1001 one by one, evenly over the time, and ends with the last") {
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
        CHECK(ms >= 750 && ms < WAIT_MS); /* not before the last was told */
        for (int i = 0; i < 40; i++) { /* the nth is due at 20 n; the machine may be late */
            int late = (int)(told[i] - start) - i * 20;
            if (!CHECK(late > -20 && late < 1000)) printf("    the %dth by %d ms\n", i, late);
        }
        finish(server);
    }
    TEST("a draining server takes no newcomers, answers requests, and closes at the deadline") {
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
        CHECK(ms >= 1000 && ms < WAIT_MS); /* the deadline, and close_ms for him who is silent */
        EXPECT_EVENTS("late close 1001; ");
        CHECK(silent != NULL);
        finish(server);
    }
    TEST("azc_shutdown takes in whom the kernel has let in already, and refuses none of them") {
        azc_server *server = serve(NULL, echoer("/t"));
        client *c[100];
        for (int i = 0; i < 100; i++) c[i] = client_open(server);
        CHECK_INT(azc_shutdown(server, 300), AZC_OK);
        for (int i = 0; i < 100; i++) CHECK_INT(client_upgrade(c[i], "/t", ""), 101);
        CHECK_INT(azc_stats(server)->accepted, 100);
        ends_after(server, now_ms());
        finish(server);
    }
    TEST("a page's connection is not kept while draining") {
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
    TEST("azc_shutdown at once, again, after azc_stop, before azc_listen, and with nobody there") {
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

/* ---- Other processes ------------------------------------------------------------------------- */

static void note_publish(azc_channel *channel, const char *room, const void *data, size_t len,
                         int binary) {
    CHECK(channel == served);
    note("%s %s in %s", binary ? "binary" : "text", word_of(data, len), room ? room : "all");
}
static void note_room(azc_channel *channel, const char *room, int there) {
    CHECK_INT(azc_count(channel, room) > 0, there);
    note("%s %s", there ? "first in" : "last out of", room);
}

/* Words, obeyed one after the other in one callback: +a joins a, -a leaves it, !a speaks in it, ?
 * walks all the rooms, x closes. */
static int obey(azc_conn *conn, const char *text, size_t len) {
    char line[64], *rest = line;
    CHECK(len < sizeof line);
    memcpy(line, text, len + 1);
    for (char *word; (word = strtok(rest, " ")) != NULL; rest = NULL) {
        if (*word == '+') CHECK_INT(azc_join(conn, word + 1), AZC_OK);
        if (*word == '-') CHECK_INT(azc_leave(conn, word + 1), AZC_OK);
        if (*word == '!')
            CHECK(azc_broadcast(azc_channel_of(conn), word + 1, word, strlen(word), conn) >= 0);
        if (*word == '?') for (azc_cursor c = azc_rooms(conn); azc_cursor_next(&c);) note("in %s", c.room);
        if (*word == 'x') azc_close(conn, 1000, NULL);
    }
    return AZC_OK;
}

static azc_server *joined(void (*on_room)(azc_channel *, const char *, int)) {
    azc_channel_desc d;
    memset(&d, 0, sizeof d);
    d.path = "/t", d.on_message = obey;
    serve_parts.on_publish = note_publish, serve_parts.on_room = on_room;
    return serve(NULL, d);
}

/* In on_room everything is allowed: whoever is first in "a" goes on to "b", and all hear of it. */
static void move_on(azc_channel *channel, const char *room, int there) {
    note_room(channel, room, there);
    CHECK(azc_broadcast(channel, NULL, room, strlen(room), NULL) >= 0);
    azc_cursor c = azc_members(channel, room);
    if (strcmp(room, "a") != 0 || !azc_cursor_next(&c)) return;
    CHECK_INT(azc_join(c.conn, "b"), AZC_OK);
    CHECK_INT(azc_leave(c.conn, "a"), AZC_OK);
}

static void seam(void) {
    TEST("on_publish sees each broadcast of this process, azc_deliver's none") {
        azc_server *server = joined(NULL);
        client *a = join_channel(server, "/t"), *b = join_channel(server, "/t");
        client_text(a, "+r"), settle(server), client_text(b, "+r !r !nobody");
        EXPECT_TEXT(a, "!r");
        EXPECT_SILENCE(b);
        EXPECT_EVENTS("text !r in r; text !nobody in nobody; ");
        CHECK_INT(sent_binary(served, NULL, "\x00\x01", 2, NULL), 2);
        EXPECT_EVENTS("binary <2 bytes, sum 1> in all; ");
        char buf[32];
        azc_writer w = azc_put_begin(buf, sizeof buf);
        azc_put_int(&w, "n", 1);
        CHECK_INT(sent_json(served, "r", &w, NULL), 2);
        EXPECT_EVENTS("text {\"n\":1} in r; ");
        CHECK_INT(azc_broadcast(served, "r", "\xff", 1, NULL), AZC_ERR_UTF8);
        CHECK_INT(azc_broadcast(served, "", "x", 1, NULL), AZC_ERR_ARGUMENT);
        CHECK_INT(sent_local(served, "r", "from afar", 9, 0), 2);
        CHECK_INT(sent_local(served, NULL, "\xff", 1, 1), 2);
        CHECK_INT(azc_deliver(served, "nobody", "x", 1, 0), 0);
        CHECK_INT(azc_deliver(served, "r", "\xff", 1, 0), AZC_ERR_UTF8);
        CHECK_INT(azc_deliver(NULL, "r", "x", 1, 0), AZC_ERR_ARGUMENT);
        EXPECT_EVENTS("");
        for (int i = 0; i < 2; i++) {
            client *c = i ? b : a;
            EXPECT_FRAME(c, BINARY, "\x00\x01", 2);
            EXPECT_TEXT(c, "{\"n\":1}"), EXPECT_TEXT(c, "from afar");
            EXPECT_FRAME(c, BINARY, "\xff", 1);
        }
        finish(server);
    }
    TEST("on_room tells of the first member that came, the last that left, and nothing between") {
        azc_server *server = joined(note_room);
        client *a = join_channel(server, "/t"), *b = join_channel(server, "/t");
        client_text(a, "+r"), settle(server);
        EXPECT_EVENTS("first in r; ");
        client_text(b, "+r +s"), settle(server);
        EXPECT_EVENTS("first in s; ");
        client_text(a, "-r"), settle(server);
        EXPECT_EVENTS("");
        client_text(b, "-s -r"), settle(server);
        EXPECT_EVENTS("last out of s; last out of r; ");
        client_text(a, "+x +y -x"), settle(server); /* what was undone is not told */
        EXPECT_EVENTS("first in y; ");
        client_text(a, "-y +y"), settle(server);
        EXPECT_EVENTS("");
        client_text(a, "? -y ?"), settle(server); /* with a cursor on it, too */
        EXPECT_EVENTS("in y; last out of y; ");
        finish(server);
    }
    TEST("and of those who close, or are dropped, or whom the server's end closes") {
        azc_server *server = joined(note_room);
        client *a = join_channel(server, "/t"), *b = join_channel(server, "/t");
        client *c = join_channel(server, "/t");
        client_text(a, "+a"), settle(server), client_text(b, "+a +b"), settle(server);
        client_text(c, "+c +a"), settle(server);
        EXPECT_EVENTS("first in a; first in b; first in c; ");
        client_text(a, "x"), settle(server);
        EXPECT_EVENTS("");
        client_reset(b), settle(server);
        EXPECT_EVENTS("last out of b; ");
        finish(server);
        char *text = events.text; /* in the order in which it left them, whichever that is */
        CHECK_INT(count_of(text, "last out of"), 2);
        CHECK(strstr(text, "out of a; ") && strstr(text, "out of c; "));
        tape_clear(&events);
    }
    TEST("on_room may join, leave and broadcast; what it causes is told in turn") {
        azc_server *server = joined(move_on);
        client *a = join_channel(server, "/t");
        client_text(a, "+a");
        EXPECT_TEXT(a, "a"), EXPECT_TEXT(a, "b"), EXPECT_TEXT(a, "a");
        EXPECT_EVENTS("first in a; text a in all; first in b; text b in all; "
                      "last out of a; text a in all; ");
        CHECK_INT(azc_count(served, "b"), 1);
        finish(server);
        tape_clear(&events);
    }
    TEST("what is joined and left between polls is told in the next one") {
        azc_server *server = joined(note_room);
        join_channel(server, "/t");
        azc_conn *conn = member_of(served);
        CHECK_INT(azc_join(conn, "r"), AZC_OK);
        CHECK_INT(azc_join(conn, "s"), AZC_OK);
        CHECK_INT(azc_leave(conn, "s"), AZC_OK);
        EXPECT_EVENTS("");
        azc_poll(server, 0);
        EXPECT_EVENTS("first in r; ");
        finish(server);
        tape_clear(&events);
    }
}

int main(int argc, char **argv) {
    test_start(argc, argv);
    visitors();
    origins();
    adopted();
    drained();
    seam();
    return test_end();
}
