/* Crowds of sockets: silent, slow, too many of one address, returning, and speaking nonsense. */
#include "attack.h"

/* What an unfinished handshake may cost: its struct, what it sent (less than 512 bytes here), and
 * its places in the server's tables, which double as they grow. */
enum { CROWD_BYTES = sizeof(azc_conn) + sizeof(azc__in) + 512 + 64 };

enum { SILENT = 2000, SLOW = 2000 };
static int crowd[SILENT + SLOW];

static const char request_head[] = "GET /echo HTTP/1.1\r\n" UPGRADE "X: 0123456789\r\n\r\n";

/* Each sends its next byte. Returns how many could. */
static int drip(const int *fds, int count, int at) {
    int n = 0;
    for (int i = 0; i < count; i++)
        n += fds[i] >= 0 && send(fds[i], request_head + at, 1, MSG_NOSIGNAL) == 1;
    return n;
}

static void leave(int *fds, int count) {
    for (int i = 0; i < count; i++) {
        if (fds[i] >= 0) close(fds[i]);
        fds[i] = -1;
    }
}

static void silent_and_slow(void) {
    TEST("among 2,000 silent sockets and 2,000 that send a byte a second a newcomer gets in") {
        azc_config config = defaults();
        config.max_connections = SILENT + SLOW;
        config.handshake_ms = 60000;
        if (!descriptors_for(SILENT + SLOW + 200)) return;
        host h = host_start(&config, AZC_FULL_CLOSE);
        report start = mark(&h), r;
        for (int i = 0; i < SILENT + SLOW; i++) crowd[i] = crowd_socket(&h, 0);
        EVENTUALLY(&h, r, r.stats.connections == SILENT + SLOW);
        CHECK_INT(r.stats.gave_way, 0);
        enum { SECONDS = 3, PER_SECOND = 20 };
        long long worst = 0;
        for (int second = 0; second < SECONDS; second++) {
            long long begin = now_ms();
            CHECK_INT(drip(crowd + SILENT, SLOW, second), SLOW);
            for (int i = 0; i < PER_SECOND; i++) {
                client *c;
                long long took = newcomer(&h, &c);
                if (took > worst) worst = took;
            }
            while (now_ms() < begin + 1000) poll(NULL, 0, 5);
        }
        CHECK(worst < 1000);
        r = look(&h);
        CHECK_INT(r.stats.connections, SILENT + SLOW);
        CHECK_INT(r.stats.open, SECONDS * PER_SECOND);
        CHECK_INT(r.stats.gave_way, SECONDS * PER_SECOND);
        for (int i = 0; i < SILENT + SLOW; i++) /* the oldest, and nobody else */
            if (!CHECK((peek(crowd[i]) < 0) == (i < SECONDS * PER_SECOND))) break;
        CHECK(r.peak - start.bytes < (size_t)(SILENT + SLOW) * CROWD_BYTES + 100000);
        long turns = r.turns;
        poll(NULL, 0, 500);
        r = look(&h);
        CHECK(r.turns - turns < 150); /* nothing spins: it wakes every 5 ms for our orders */
        printf("  4,000 sockets: worst newcomer %lld ms, %lu KiB allocated, RSS %ld KiB\n", worst,
               (unsigned long)((r.peak - start.bytes) / 1024), r.rss);
        leave(crowd, SILENT + SLOW);
        EVENTUALLY(&h, r, r.stats.connections == SECONDS * PER_SECOND);
        host_end(&h);
    }
    TEST("silent and slow sockets are gone after handshake_ms, whoever began with a 408") {
        azc_config config = defaults();
        config.handshake_ms = 1000;
        if (!descriptors_for(SILENT + 200)) return;
        host h = host_start(&config, AZC_FULL_CLOSE);
        report start = mark(&h), r;
        for (int i = 0; i < SILENT; i++) crowd[i] = crowd_socket(&h, 0);
        for (int at = 0; at < 12; at++) {
            long long begin = now_ms();
            drip(crowd + SILENT / 2, SILENT / 2, at);
            while (now_ms() < begin + 100) poll(NULL, 0, 5);
        }
        char head[16];
        for (int i = 0; i < SILENT; i++) {
            struct pollfd one = {0, POLLIN, 0};
            one.fd = crowd[i];
            poll(&one, 1, WAIT_MS);
            ssize_t n = recv(crowd[i], head, 12, 0);
            if (!CHECK(i < SILENT / 2 ? n == 0 : n == 12 && memcmp(head, "HTTP/1.1 408", 12) == 0))
                break;
        }
        leave(crowd, SILENT);
        EVENTUALLY(&h, r, r.stats.connections == 0);
        CHECK_INT(r.stats.refused[8], SILENT / 2);
        CHECK_INT(r.stats.requests, SILENT / 2);
        CHECK_INT(r.stats.accepted, SILENT);
        CHECK_INT(r.blocks, start.blocks + 1); /* the table of ids, once there was one */
        host_end(&h);
    }
    TEST("attackers that come back whenever they are thrown out keep no newcomer out") {
        enum { MOST = 1000, ATTACKERS = 1500, NEWCOMERS = 20 };
        azc_config config = defaults();
        config.max_connections = MOST;
        config.handshake_ms = 60000;
        if (!descriptors_for(ATTACKERS + 200)) return;
        host h = host_start(&config, AZC_FULL_CLOSE);
        fflush(stdout);
        pid_t pid = fork(); /* the attackers: on and on until killed */
        if (pid == 0) {
            static struct pollfd polls[ATTACKERS];
            alarm(30);
            for (int i = 0; i < ATTACKERS; i++)
                polls[i].fd = crowd_socket(&h, 0), polls[i].events = POLLIN;
            for (;;) {
                poll(polls, ATTACKERS, -1);
                for (int i = 0; i < ATTACKERS; i++)
                    if (polls[i].revents) close(polls[i].fd), polls[i].fd = crowd_socket(&h, 0);
            }
        }
        report r;
        EVENTUALLY(&h, r, r.stats.connections >= MOST - 1 && r.stats.gave_way > 500);
        long long worst = 0;
        for (int i = 0; i < NEWCOMERS; i++) {
            client *c;
            long long took = newcomer(&h, &c);
            if (took > worst) worst = took;
        }
        r = look(&h);
        CHECK(worst < WAIT_MS);
        CHECK_INT(r.stats.open, NEWCOMERS);
        CHECK(r.stats.connections <= MOST);
        printf("  1,500 that return: worst newcomer %lld ms, %lld gave way\n", worst,
               (long long)r.stats.gave_way);
        kill(pid, SIGKILL);
        waitpid(pid, NULL, 0);
        EVENTUALLY(&h, r, r.stats.connections == NEWCOMERS);
        host_end(&h);
    }
}

static void of_one_address(void) {
    TEST("past max_per_address an address gets no further, and others are not its victims") {
        enum { MOST = 50, MORE = 2000 };
        azc_config config = defaults();
        config.max_per_address = MOST;
        if (!descriptors_for(MORE + 200)) return;
        host h = host_start(&config, AZC_FULL_CLOSE);
        report r, full;
        for (int i = 0; i < MOST; i++) crowd[i] = crowd_socket(&h, 7);
        EVENTUALLY(&h, full, full.stats.connections == MOST);
        mark(&h);
        for (int i = MOST; i < MOST + MORE; i++) crowd[i] = crowd_socket(&h, 7);
        EVENTUALLY(&h, r, r.stats.over_address == MORE);
        CHECK_INT(r.stats.connections, MOST);
        CHECK_INT(r.stats.accepted, MOST + MORE);
        CHECK_INT(r.bytes, full.bytes + (r.bytes - full.bytes) % 65536); /* tables at most */
        for (int i = 0; i < MOST + MORE; i++)
            if (!CHECK((peek(crowd[i]) < 0) == (i >= MOST))) break;
        CHECK(newcomer(&h, NULL) < 1000); /* from 127.0.0.1 */
        leave(crowd, MOST / 2); /* makes room for as many */
        EVENTUALLY(&h, r, r.stats.connections == MOST / 2);
        for (int i = 0; i < MOST; i++) crowd[i] = crowd_socket(&h, 7);
        EVENTUALLY(&h, r, r.stats.over_address == MORE + MOST / 2);
        CHECK_INT(r.stats.connections, MOST);
        leave(crowd, MOST + MORE);
        EVENTUALLY(&h, r, r.stats.connections == 0);
        host_end(&h);
    }
}

/* ---- Nonsense -------------------------------------------------------------------------------- */

/* A frame: a sane one, or one mostly well-formed, its length field perhaps a lie. */
static size_t random_frame(unsigned char *out, int sane) {
    unsigned char data[300], mask[4];
    size_t len = random_below(4) ? random_below(20) : random_below(300);
    int first = (int)random_below(8) ? (int)(random_below(2) << 7 | random_below(11))
                                     : (int)random_below(256);
    for (size_t i = 0; i < len; i++)
        data[i] = (unsigned char)random_below(random_below(2) ? 256 : 128);
    for (int i = 0; i < 4; i++) mask[i] = (unsigned char)random_below(256);
    size_t n = put_frame(out, first, data, len, (int)random_below(16) ? SHORTEST : LENGTH16,
                         random_below(16) ? mask : NULL);
    if (sane) {
        static const int firsts[4] = {FIN | TEXT, FIN | BINARY, FIN | PING, FIN | PONG};
        for (size_t i = 0; i < len; i++) data[i] &= 127;
        return put_frame(out, firsts[random_below(4)], data, len % 126, SHORTEST, mask);
    }
    if (random_below(20) == 0) out[1] = (unsigned char)random_below(256);
    return random_below(20) ? n : random_below((uint32_t)n + 1);
}

/* Nonsense of a kind: 0 noise, 1 a request with noise in it, 2 noise after a handshake, 3 frames
 * after one, 4 sane frames. part 1 comes after part 0. */
static size_t nonsense(unsigned char *out, size_t size, int kind, int part) {
    size_t n = 0, noise = random_below(400);
    if (kind > 0 && part == 0) {
        n = sizeof request_head - 1;
        memcpy(out, request_head, n);
    }
    if (kind == 1 && part == 0)
        for (uint32_t i = random_below(4) + 1; i > 0; i--)
            out[random_below((uint32_t)n)] = (unsigned char)random_below(256);
    if (kind <= 2)
        for (size_t i = 0; i < noise; i++) out[n++] = (unsigned char)random_below(256);
    else
        for (uint32_t i = random_below(12); i > 0 && n + 400 < size; i--)
            n += random_frame(out + n, kind == 4);
    return n;
}

static void garbage(void) {
    TEST("10,000 connections of random garbage, ending in every way, do no harm") {
        enum { ALL = 10000, WAVE = 1000 };
        azc_config config = defaults();
        config.close_ms = 200, config.handshake_ms = 300;
        config.ping_ms = config.pong_ms = 150;
        config.max_message = 4096;
        if (!descriptors_for(WAVE + 200)) return;
        host h = host_start(&config, AZC_FULL_CLOSE);
        report r, first;
        memset(&first, 0, sizeof first);
        for (int wave = 0; wave < ALL / WAVE; wave++) {
            for (int i = 0; i < WAVE; i++) crowd[i] = crowd_socket(&h, 0);
            for (int part = 0; part < 2; part++)
                for (int i = 0; i < WAVE; i++) {
                    unsigned char bytes[8192];
                    size_t n = nonsense(bytes, sizeof bytes, i % 5, part);
                    send(crowd[i], bytes, n, MSG_NOSIGNAL);
                }
            for (int i = 0; i < WAVE; i++) {
                uint32_t end = random_below(4);
                char bytes[4096];
                while (recv(crowd[i], bytes, sizeof bytes, 0) > 0) {}
                if (end == 0) hard_close(crowd[i]);
                else if (end == 1) close(crowd[i]);
                else if (end == 2) shutdown(crowd[i], SHUT_WR);
                if (end < 2) crowd[i] = -1;
            }
            EVENTUALLY(&h, r, r.stats.connections == 0); /* the silent ones by deadlines */
            leave(crowd, WAVE);
            if (wave == 0) first = r;
            if (!CHECK(r.bytes <= first.bytes + AZC__POOL)) break;
        }
        CHECK_INT(r.stats.accepted, ALL);
        CHECK(r.stats.opened > ALL / 4);
        CHECK(r.stats.closed[2] > ALL / 10 && r.stats.closed[6] > ALL / 10);
        CHECK(r.stats.refused[0] > ALL / 5);
        CHECK_INT(r.connects, r.closes);
        CHECK(r.peak < 2000000);
        CHECK(newcomer(&h, NULL) < 1000);
        printf("  10,000 of garbage: %lld got in, %lld failed with 1002, %lld were dropped, "
               "%lld requests were bad\n", (long long)r.stats.opened,
               (long long)r.stats.closed[2], (long long)r.stats.closed[6],
               (long long)r.stats.refused[0]);
        host_end(&h);
    }
}

/* ---- A day's work ---------------------------------------------------------------------------- */

static void waves(void) {
    TEST("10,000 connections, 2,000 at once, all talk and go, and memory is where it was") {
        enum { ALL = 10000, WAVE = 2000, TALK = 3 };
        azc_config config = defaults();
        if (!descriptors_for(WAVE + 200)) return;
        host h = host_start(&config, AZC_FULL_CLOSE);
        newcomer(&h, NULL);
        report start, r, first;
        EVENTUALLY(&h, start, start.stats.connections == 0);
        first = start;
        for (int wave = 0; wave < ALL / WAVE; wave++) {
            for (int i = 0; i < WAVE; i++) crowd[i] = crowd_socket(&h, 0);
            for (int i = 0; i < WAVE; i++)
                send(crowd[i], request_head, sizeof request_head - 1, MSG_NOSIGNAL);
            for (int i = 0; i < WAVE; i++) client_on(NULL, crowd[i]);
            int bad = 0;
            for (client *c = clients; c; c = c->next) {
                answer a;
                bad += client_answer(c, &a) != 101;
            }
            r = look(&h);
            CHECK_INT(r.stats.open, WAVE);
            for (int k = 0; k < TALK; k++) {
                int n = 0;
                for (client *c = clients; c; c = c->next) {
                    char text[64];
                    snprintf(text, sizeof text, "%d of wave %d, word %d", n++, wave, k);
                    client_text(c, text);
                }
                n = 0;
                for (client *c = clients; c; c = c->next) {
                    char text[64];
                    snprintf(text, sizeof text, "%d of wave %d, word %d", n++, wave, k);
                    bad += !EXPECT_TEXT(c, text);
                }
            }
            CHECK_INT(bad, 0);
            for (client *c = clients; c; c = c->next) client_bye(c, 1000, "");
            for (client *c = clients; c; c = c->next) EXPECT_CLOSE(c, 1000, "");
            while (clients) client_unlink(clients);
            EVENTUALLY(&h, r, r.stats.connections == 0);
            if (wave == 0) first = r;
            CHECK_INT(r.bytes, first.bytes);
            CHECK_INT(r.blocks, start.blocks);
        }
        /* What stays is room in the tables: of ids, at most half full, and of poll's entries. */
        CHECK(first.bytes - start.bytes <= 4 * 2048 * sizeof(void *) + 2 * 2048 * 16);
        CHECK_INT(r.stats.opened, ALL + 1);
        CHECK_INT(r.stats.closed[0], ALL);
        CHECK_INT(r.stats.messages_in, ALL * TALK + 1);
        CHECK_INT(r.stats.messages_out, ALL * TALK + 1);
        if (!SANITIZED) CHECK(r.rss < first.rss + 1024);
        printf("  10,000 in waves: %ld bytes more than at the start, RSS %ld, %ld, %ld KiB\n",
               (long)(r.bytes - start.bytes), start.rss, first.rss, r.rss);
        host_end(&h);
    }
}

int main(int argc, char **argv) {
    test_start(argc, argv);
    silent_and_slow();
    of_one_address();
    garbage();
    waves();
    return test_end();
}
