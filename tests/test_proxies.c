/* PROXIES over real sockets: X-Forwarded-* of trusted and other peers. tests/net does the same with
 * a real nginx. */
#define AZCHAN_IMPLEMENTATION
#include "../azchan.h"
#include "test.h"
#include "client.h"

/* ---- Proxies --------------------------------------------------------------------------------- */

static azc_server *behind(const char *trusted, int max_per_address) {
    azc_config config = quick();
    config.max_per_address = max_per_address;
    azc_server *server = create(&config);
    if (trusted) CHECK_INT(azc_trust_proxies(server, trusted), AZC_OK);
    azc_channel_desc d = recorder("/t");
    served = azc_add_channel(server, &d);
    azc_add_handler(server, "/peer", peer_handler, NULL);
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

static void visitors(void) {
    TEST("the visitor is the last address in X-Forwarded-For that is not a trusted proxy") {
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
            {FOR "6.6.6.6, 10.1.2.3:80\r\n", "6.6.6.6"},
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
    TEST("X-Forwarded-For of other peers is ignored, and of all without azc_trust_proxies") {
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
    TEST("azc_peer is the visitor for as long as the connection is open") {
        azc_server *server = behind("127.0.0.0/8", 0);
        client *c = client_open(server);
        CHECK_INT(client_upgrade(c, "/t", FOR "203.0.113.9\r\n"), 101);
        CHECK_STR(azc_peer(member_of(served)), "203.0.113.9");
        finish(server);
    }
    TEST("a malformed list of proxies is AZC_ERR_ARGUMENT, and azc_error names the function") {
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
    TEST("an origin is compared with a trusted proxy's X-Forwarded-Host and -Proto") {
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
    TEST("X-Forwarded-Host and -Proto of other peers are ignored") {
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
        for (int i = 0; i < 3; i++) /* such as the proxy's own health checks */
            CHECK_INT(client_upgrade(client_open(server), "/t", ""), 101);
        CHECK_INT(upgrade_from(server, 2, FOR "9.9.9.9\r\n"), 101);
        finish(server);
    }
    TEST("a refused upgrade does not count in max_per_address") {
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

int main(int argc, char **argv) {
    test_start(argc, argv);
    visitors();
    origins();
    return test_end();
}
