/* PROXIES: forms and cost of X-Forwarded-For, and the visitors that max_per_address counts. */
#ifndef _DEFAULT_SOURCE
#define _DEFAULT_SOURCE 1 /* as azchan.h would, but inet_pton must be declared before */
#endif
#include <arpa/inet.h>

static unsigned long parsed_addresses;
static int count_pton(int family, const char *text, void *to) {
    parsed_addresses++;
    return inet_pton(family, text, to);
}
#define inet_pton count_pton
#define AZCHAN_IMPLEMENTATION
#include "../azchan.h"
#undef inet_pton
#include "test.h"
#include "requests.h"

#define FOR "X-Forwarded-For: "

static int tell_peer(azc_conn *conn, void *user) {
    (void)user;
    return azc_reply(conn, 200, "text/plain", azc_peer(conn), AZC_NUL);
}

static int elsewhere(azc_conn *conn) {
    const char *what = azc_query(conn, "do");
    if (what == NULL) return AZC_OK;
    if (strcmp(what, "302") == 0) {
        azc_reply_header(conn, "Location", "/login");
        return azc_reply(conn, 302, NULL, NULL, 0);
    }
    return atoi(what);
}

static void visitors(void) {
    TEST("behind a proxy an upgrade that opens nothing gives its visitor's place back at once") {
        for (int fixed = 0; fixed < 2; fixed++) {
            azc_config config = limits(fixed);
            config.max_per_address = 2;
            fix(&config, fixed);
            azc_server *server = create(&config);
            CHECK_INT(azc_trust_proxies(server, "127.0.0.1"), AZC_OK);
            azc_channel_desc d = recorder("/t");
            d.on_upgrade = elsewhere;
            served = azc_add_channel(server, &d);
            listening(server);
            client *c[5];
            for (int i = 0; i < 5; i++) { /* each kept alive */
                c[i] = client_open(server);
                CHECK_INT(client_upgrade(c[i], "/t?do=302", FOR "6.6.6.6\r\n"), 302);
                CHECK_INT(client_upgrade(c[i], "/t?do=302", FOR "6.6.6.6\r\n"), 302);
            }
            static const int status[] = {401, 500, 204};
            for (int i = 0; i < 3; i++) {
                char target[32];
                client *last = client_open(server); /* kept open behind its answer */
                snprintf(target, sizeof target, "/t?do=%d", status[i]);
                CHECK_INT(client_upgrade(last, target, FOR "6.6.6.6\r\n"), status[i]);
            }
            for (int i = 0; i < 2; i++)
                CHECK_INT(client_upgrade(c[i], "/t", FOR "6.6.6.6\r\n"), 101);
            CHECK_INT(client_upgrade(c[2], "/t", FOR "6.6.6.6\r\n"), 429);
            CHECK_INT(client_upgrade(c[3], "/t?do=302", FOR "7.7.7.7\r\n"), 302);
            CHECK_INT(client_upgrade(c[3], "/t", FOR "8.8.8.8\r\n"), 101);
            client_close(c[0]);
            pump_until(server, azc_count(served, NULL) == 2);
            CHECK_INT(client_upgrade(c[4], "/t", FOR "6.6.6.6\r\n"), 101);
            finish(server);
        }
    }
    TEST("without memory for its upgrade a visitor holds no place") {
        azc_config config = quick();
        config.max_per_address = 1;
        azc_server *server = create(&config);
        azc_trust_proxies(server, "127.0.0.1");
        azc_channel_desc d = recorder("/t");
        d.data_size = 5000;
        served = azc_add_channel(server, &d);
        listening(server);
        for (int i = 1; i < 12; i++) {
            client *c = client_open(server);
            client_print(c, "GET /t HTTP/1.1\r\n" UPGRADE FOR "6.6.6.6\r\n\r\n");
            settle(server);
            client_close(c), settle(server);
            c = client_open(server);
            settle(server);
            memory.fail = i;
            client_print(c, "GET /t HTTP/1.1\r\n" UPGRADE FOR "6.6.6.6\r\n\r\n");
            settle(server);
            memory.fail = 0;
            if (client_answer(c, &got) != 101) {
                client *next = client_open(server);
                CHECK_INT(client_upgrade(next, "/t", FOR "6.6.6.6\r\n"), 101);
                client_close(next), settle(server);
            }
            client_close(c), settle(server);
        }
        finish(server);
    }
    TEST("a direct peer's place is its connection's, whatever its requests came to") {
        azc_config config = quick();
        config.max_per_address = 1;
        azc_channel_desc d = recorder("/t");
        d.on_upgrade = elsewhere;
        azc_server *server = serving(&config, d);
        client *c = client_open(server);
        CHECK_INT(client_upgrade(c, "/t?do=302", ""), 302);
        client *other = client_open(server);
        EXPECT_EOF(other);
        CHECK_INT(client_upgrade(c, "/t", ""), 101);
        finish(server);
    }
    TEST("max_rooms counts users, rates, and rooms without members that keep history") {
        azc_config config = quick();
        config.max_rooms = 3;
        azc_server *server = serve(&config, recorder("/t"));
        azc_message m;
        memset(&m, 0, sizeof m);
        m.text = "x", m.len = 1, m.key = 1, m.period_ms = 60000;
        join_channel(server, "/t");
        azc_conn *conn = member_of(served);
        CHECK_INT(azc_set_history(served, "kept", 2, 100), AZC_OK);
        CHECK_INT(azc_send(served, &m), AZC_OK);
        CHECK_INT(azc_set_user(conn, "ada"), AZC_OK);
        CHECK_INT(azc_join(conn, "one more"), AZC_ERR_FULL);
        CHECK_INT(azc_set_history(served, "kept", 0, 100), AZC_OK);
        CHECK_INT(azc_join(conn, "one more"), AZC_OK);
        finish(server);
    }
    TEST("X-Forwarded-For may have ports, brackets and quotes") {
        static const char *const seen[][2] = {
            {FOR "203.0.113.7:4711\r\n", "203.0.113.7"}, /* Azure */
            {FOR "[2001:db8::1]:4711\r\n", "2001:db8::1"},
            {FOR "\"[2001:db8::1]:4711\"\r\n", "2001:db8::1"},
            {FOR "\"203.0.113.7:4711\"\r\n", "203.0.113.7"},
            {FOR "[2001:db8::1]\r\n", "2001:db8::1"},
            {FOR "\"[2001:db8::1]\"\r\n", "2001:db8::1"},
            {FOR "\"203.0.113.7\"\r\n", "203.0.113.7"},
            {FOR "[::ffff:203.0.113.7]:80\r\n", "203.0.113.7"},
            {FOR "6.6.6.6, 203.0.113.7:1, 10.1.2.3:80\r\n", "203.0.113.7"},
            {FOR "203.0.113.7, [fd00:1:2:3::9]:80\r\n", "203.0.113.7"},
            {FOR "6.6.6.6, 203.0.113.7:\r\n", "127.0.0.1"},     /* none of these is an address */
            {FOR "6.6.6.6, 203.0.113.7:80x\r\n", "127.0.0.1"},
            {FOR "6.6.6.6, 203.0.113.7:123456\r\n", "127.0.0.1"},
            {FOR "6.6.6.6, [203.0.113.7]:80\r\n", "127.0.0.1"},
            {FOR "6.6.6.6, [2001:db8::1\r\n", "127.0.0.1"},
            {FOR "6.6.6.6, 2001:db8::1]\r\n", "127.0.0.1"},
            {FOR "6.6.6.6, [2001:db8::1]80\r\n", "127.0.0.1"},
            {FOR "6.6.6.6, [2001:db8::1]:\r\n", "127.0.0.1"},
            {FOR "6.6.6.6, []:80\r\n", "127.0.0.1"},
            {FOR "6.6.6.6, \"203.0.113.7\r\n", "127.0.0.1"},
            {FOR "6.6.6.6, \"\r\n", "127.0.0.1"},
            {FOR "6.6.6.6, \"\"\r\n", "127.0.0.1"},
            {FOR "6.6.6.6, :80\r\n", "127.0.0.1"},
        };
        azc_server *server = create(NULL);
        CHECK_INT(azc_trust_proxies(server, "127.0.0.1 10.0.0.0/8 fd00:1:2:3::/64"), AZC_OK);
        azc_add_handler(server, "/peer", tell_peer, NULL);
        listening(server);
        for (size_t i = 0; i < sizeof seen / sizeof *seen; i++) {
            client *c = client_open(server);
            client_print(c, "GET /peer HTTP/1.1\r\nHost: a\r\n%s\r\n", seen[i][0]);
            CHECK_INT(client_answer(c, &got), 200);
            if (!CHECK_STR(got.body, seen[i][1])) printf("    %s", seen[i][0]);
            client_close(c);
        }
        finish(server);
        static const char *const bad[] = {"127.0.0.1:80", "[::1]", "\"127.0.0.1\""};
        for (int i = 0; i < 3; i++) {
            server = create(NULL);
            CHECK_INT(azc_trust_proxies(server, bad[i]), AZC_ERR_ARGUMENT);
            finish(server);
        }
    }
    TEST("a long X-Forwarded-For costs no more than the proxies in it") {
        char networks[512] = "", request[9000], list[8000] = "";
        for (int i = 0; i < 24; i++) {
            size_t n = strlen(networks);
            snprintf(networks + n, sizeof networks - n, " 10.%d.0.0/16", i);
        }
        strcat(networks, " 127.0.0.1");
        for (int i = 0; i < 700; i++) strcat(list, "10.0.0.1, ");
        azc_server *server = create(NULL);
        CHECK_INT(azc_trust_proxies(server, networks), AZC_OK);
        azc_add_handler(server, "/peer", tell_peer, NULL);
        listening(server);
        static const struct {
            const char *last, *peer;
            unsigned long most;
        } asked[] = {{"203.0.113.9", "203.0.113.9", 4},
                     {"203.0.113.9, 10.3.0.1, 10.4.0.1", "203.0.113.9", 8},
                     {"unknown", "127.0.0.1", 4},
                     {"10.1.0.1", "10.0.0.1", 1500}};
        for (size_t i = 0; i < sizeof asked / sizeof *asked; i++) {
            snprintf(request, sizeof request, "GET /peer HTTP/1.1\r\nHost: a\r\n%s%s%s\r\n\r\n",
                     FOR, list, asked[i].last);
            parsed_addresses = 0;
            CHECK_INT(ask(server, request), 200);
            CHECK_STR(got.body, asked[i].peer);
            if (!CHECK(parsed_addresses <= asked[i].most))
                printf("    %lu addresses parsed\n", parsed_addresses);
        }
        finish(server);
    }
}

int main(int argc, char **argv) {
    test_start(argc, argv);
    visitors();
    tape_clear(&events), tape_clear(&log_lines);
    return test_end();
}
