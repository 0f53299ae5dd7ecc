/* Bombs made of request heads: too long, too many fields, lines without end, and never whole. */
#include "attack.h"

enum { MAX_REQUEST = 8 << 10, BOMBS = 300 };

static const char line_and_host[] = "GET /small HTTP/1.1\r\nHost: a.example\r\n";

/* A field so long that fewer than 64 fill max_request. */
static const char filler[] =
    "X-Filler: 0123456789 0123456789 0123456789 0123456789 0123456789 0123456789 0123456789 "
    "0123456789 0123456789 0123456789 0123456789 0123456789 0123456789 0123456789 0123456789\r\n";

/* What an unfinished head may cost beside its bytes: see sockets.c. */
enum { HEAD_BYTES = MAX_REQUEST + sizeof(azc_conn) + sizeof(azc__in) + 64 };

/* Fill out with head's text, then `unit` again and again. */
static void repeat(char *out, size_t len, const char *head, const char *unit) {
    size_t n = strlen(head), k = strlen(unit);
    memcpy(out, head, n);
    for (size_t i = n; i < len; i++) out[i] = unit[(i - n) % k];
}

/* BOMBS peers at once send a bomb of len bytes; each is told `status`. Memory stays low. */
static void explode(const char *bomb, size_t len, int status) {
    azc_config config = defaults();
    host h = host_start(&config, AZC_FULL_CLOSE);
    report start = mark(&h), r;
    for (int i = 0; i < BOMBS; i++) client_send(peer_open(&h), bomb, len);
    for (client *c = clients; c; c = c->next) {
        answer a;
        if (!CHECK_INT(client_answer(c, &a), status)) break;
        CHECK_INT(peer_ends(c), 1); /* in order: the answer was not destroyed by a reset */
    }
    while (clients) client_unlink(clients);
    EVENTUALLY(&h, r, r.stats.connections == 0);
    CHECK_INT(r.stats.refused[status - 400], BOMBS);
    CHECK_INT(r.stats.requests, BOMBS);
    CHECK_INT(r.stats.accepted, BOMBS);
    CHECK(r.peak - start.bytes < BOMBS * (size_t)HEAD_BYTES + AZC__POOL);
    CHECK(newcomer(&h, NULL) < 1000);
    host_end(&h);
}

static void bombs(void) {
    static char bomb[100000];
    TEST("a head longer than max_request is a 431, however much more comes") {
        repeat(bomb, sizeof bomb, line_and_host, filler);
        explode(bomb, sizeof bomb, 431);
        explode(bomb, MAX_REQUEST + 1, 431); /* at once, not when more comes */
    }
    TEST("one line without an end is a 431, and a target without an end a 414") {
        repeat(bomb, sizeof bomb, "GET /small HTTP/1.1\r\nHost: a.example\r\nX: ", "x");
        explode(bomb, sizeof bomb, 431);
        repeat(bomb, sizeof bomb, "GET /", "a");
        explode(bomb, sizeof bomb, 414);
    }
    TEST("65 fields are a 431, 64 are not") {
        size_t n = sizeof line_and_host - 1;
        memcpy(bomb, line_and_host, n);
        for (int i = 0; i < 64; i++) n += (size_t)snprintf(bomb + n, 16, "F%d: %d\r\n", i, i);
        memcpy(bomb + n, "\r\n", 2);
        explode(bomb, n + 2, 431);
        memcpy(bomb + n - 9, "\r\n", 2); /* without "F63: 63\r\n" */
        azc_config config = defaults();
        host h = host_start(&config, AZC_FULL_CLOSE);
        client *c = peer_open(&h);
        answer a;
        client_send(c, bomb, n - 9 + 2);
        CHECK_INT(client_answer(c, &a), 200);
        host_end(&h);
    }
    TEST("empty lines without an end are a 400 at the second") {
        repeat(bomb, sizeof bomb, "", "\r\n");
        explode(bomb, sizeof bomb, 400);
        explode(bomb, 4, 400);
    }
}

static void streams(void) {
    TEST("a head that goes on for 64 MB costs its answer, and is cut off at close_ms") {
        static const char *const endless[][2] = {
            {"GET /small HTTP/1.1\r\nX: ", "x"}, {"GET /", "a"}, {"", "\r\n"},
            {"GET /small HTTP/1.1\r\n", "a: b\r\n"}, {"", "x"}, {"GET /small HTTP/1.1\r\nX", "\t"}};
        static char piece[65536];
        azc_config config = defaults();
        host h = host_start(&config, AZC_FULL_CLOSE);
        report start = mark(&h), r;
        for (size_t i = 0; i < sizeof endless / sizeof *endless; i++) {
            client *c = peer_open(&h);
            repeat(piece, sizeof piece, endless[i][0], endless[i][1]);
            size_t total = 0;
            long n = 1;
            long long end = now_ms() + WAIT_MS;
            while (n >= 0 && total < 64u << 20 && now_ms() < end) {
                n = client_send_some(c, piece, sizeof piece);
                if (n > 0) total += (size_t)n;
                else poll(NULL, 0, 1);
            }
            CHECK(n < 0 || total >= 64u << 20);
            CHECK(peer_ends(c) != 0);
        }
        EVENTUALLY(&h, r, r.stats.connections == 0);
        CHECK(r.peak - start.bytes < 2 * HEAD_BYTES + 2048);
        CHECK_INT(r.stats.requests, sizeof endless / sizeof *endless);
        CHECK_INT(r.stats.refused[0] + r.stats.refused[14] + r.stats.refused[31], r.stats.requests);
        host_end(&h);
    }
    TEST("500 heads that stop short of their end cost max_request each, until handshake_ms") {
        enum { PEERS = 500 };
        static char head[MAX_REQUEST];
        azc_config config = defaults();
        config.handshake_ms = 1500;
        if (!descriptors_for(PEERS + 200)) return;
        host h = host_start(&config, AZC_FULL_CLOSE);
        report start = mark(&h), r;
        repeat(head, sizeof head, line_and_host, filler);
        for (int i = 0; i < PEERS; i++) {
            client *c = peer_open(&h);
            for (size_t at = 0, left; (left = sizeof head - 1 - at) > 0; at += left) {
                if (left > 1000) left = 1000;
                client_send(c, head + at, left);
            }
        }
        uint64_t sent = (uint64_t)PEERS * (sizeof head - 1);
        EVENTUALLY(&h, r, r.stats.bytes_in == sent);
        CHECK_INT(r.stats.connections, PEERS);
        CHECK(r.peak - start.bytes > PEERS * (size_t)MAX_REQUEST * 9 / 10); /* it does hold them */
        CHECK(r.peak - start.bytes < PEERS * (size_t)HEAD_BYTES + AZC__POOL);
        for (client *c = clients; c; c = c->next) {
            answer a;
            if (!CHECK_INT(client_answer(c, &a), 408)) break;
        }
        while (clients) client_unlink(clients);
        EVENTUALLY(&h, r, r.stats.connections == 0);
        CHECK_INT(r.stats.refused[8], PEERS);
        host_end(&h);
    }
    TEST("peers that ask for pages by the thousand and read none cost their backlog, no more") {
        enum { PEERS = 20, ASKED = 4 << 20 };
        static char many[65536];
        static const char *const asked[] = {"GET /small HTTP/1.1\r\nHost: a\r\n\r\n",
                                            "GET /big HTTP/1.1\r\nHost: a\r\n\r\n",
                                            "HEAD /big HTTP/1.1\r\nHost: a\r\n\r\n"};
        for (int kind = 0; kind < 3; kind++) {
            azc_config config = defaults();
            config.handshake_ms = config.close_ms = 60000;
            host h = host_start(&config, AZC_FULL_CLOSE);
            report start = mark(&h), r;
            size_t unit = strlen(asked[kind]), len = sizeof many / unit * unit;
            repeat(many, len, "", asked[kind]);
            for (int i = 0; i < PEERS; i++) peer_open(&h);
            EVENTUALLY(&h, r, r.stats.connections == PEERS);
            kill(h.pid, SIGSTOP); /* so that it meets all of it in one turn */
            for (client *c = clients; c; c = c->next) {
                size_t total = 0, at = 0;
                for (int idle = 0; idle < 20 && total < ASKED;) {
                    long n = client_send_some(c, many + at, len - at);
                    if (n < 0) break; /* closed with a page that it has to read first */
                    total += (size_t)n, at = (at + (size_t)n) % len, idle = n ? 0 : idle + 1;
                    if (n == 0) poll(NULL, 0, 1);
                }
            }
            kill(h.pid, SIGCONT);
            r = look(&h);
            CHECK(r.peak - start.bytes < PEERS * (size_t)(2 * (256 << 10)) + AZC__POOL);
            CHECK(newcomer(&h, NULL) < 1000);
            host_end(&h);
        }
    }
}

int main(int argc, char **argv) {
    test_start(argc, argv);
    bombs();
    streams();
    return test_end();
}
