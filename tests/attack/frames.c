/* Frames as weapons: tiny, endless, announced and never sent, reserved, and floods of pings. */
#include "attack.h"

enum { MAX_MESSAGE = 64 << 10, SMALL = 4096,
       POOLED = 32 << 10 }; /* the smaller buffers that one of max_message grew out of */

/* Frames by the thousand, sent in pieces as large as the socket takes. */
static struct {
    unsigned char bytes[1 << 16];
    size_t len;
    client *to;
    int gone;
} pipe_;

static void flush_frames(void) {
    if (!pipe_.gone && !client_send(pipe_.to, pipe_.bytes, pipe_.len)) pipe_.gone = 1;
    pipe_.len = 0;
}
static void begin_frames(client *to) { pipe_.to = to, pipe_.len = 0, pipe_.gone = 0; }
static void add_frame(int first, const void *data, size_t len) {
    if (sizeof pipe_.bytes - pipe_.len < len + 14) flush_frames();
    pipe_.len += put_frame(pipe_.bytes + pipe_.len, first, data, len, SHORTEST, some_mask);
}

/* ---- Fragments ------------------------------------------------------------------------------- */

static void fragments(void) {
    TEST("a million one-byte and empty fragments are one message in max_message of memory") {
        enum { ALL = 1000000 };
        azc_config config = defaults();
        host h = host_start(&config, AZC_FULL_CLOSE);
        client *c = peer_in(&h, "/echo");
        report start = mark(&h), r;
        char *whole = (char *)malloc(MAX_MESSAGE);
        size_t len = 0;
        long long began = now_ms();
        begin_frames(c);
        add_frame(TEXT, "", 0);
        for (int i = 1; i < ALL - 1; i++) {
            if (i % 16 == 0 && len < MAX_MESSAGE - 2) {
                whole[len] = (char)('a' + i % 26);
                add_frame(CONTINUATION, whole + len++, 1);
            } else {
                add_frame(CONTINUATION, "", 0);
            }
            if (i == ALL / 2) add_frame(FIN | PING, "half", 4);
        }
        flush_frames();
        EVENTUALLY(&h, r, r.stats.bytes_in > start.stats.bytes_in + 6 * ALL - 100);
        CHECK_INT(r.stats.messages_in, 0);
        CHECK(r.bytes - start.bytes < MAX_MESSAGE + POOLED);
        CHECK(r.peak - start.bytes < 2 * MAX_MESSAGE + SMALL); /* as it grows: old and new */
        EXPECT_FRAME(c, PONG, "half", 4);
        whole[len] = '!';
        client_frame(c, FIN | CONTINUATION, "!", 1);
        EXPECT_FRAME(c, TEXT, whole, len + 1);
        r = look(&h);
        CHECK_INT(r.stats.messages_in, 1);
        CHECK(r.bytes <= start.bytes + AZC__POOL);
        printf("  a million fragments in %lld ms, peak %lu bytes\n", now_ms() - began,
               (unsigned long)(r.peak - start.bytes));
        free(whole);
        host_end(&h);
    }
    TEST("one byte more than max_message in one-byte fragments is a 1009, in as little memory") {
        azc_config config = defaults();
        host h = host_start(&config, AZC_FULL_CLOSE);
        client *c = peer_in(&h, "/sink");
        report start = mark(&h), r;
        begin_frames(c);
        add_frame(BINARY, "x", 1);
        for (int i = 1; i < MAX_MESSAGE; i++) add_frame(CONTINUATION, "x", 1);
        flush_frames();
        r = look(&h);
        CHECK_INT(r.stats.open, 1);
        CHECK(r.bytes - start.bytes < MAX_MESSAGE + POOLED);
        for (int i = 0; i < 1000; i++) add_frame(CONTINUATION, "x", 1);
        flush_frames();
        EXPECT_CLOSE(c, 1009, NULL);
        r = look(&h);
        CHECK_INT(r.stats.closed[9], 1);
        CHECK(r.peak - start.bytes < 2 * MAX_MESSAGE + SMALL);
        host_end(&h);
    }
    TEST("200 peers in the middle of empty fragments that never end cost their structs") {
        enum { PEERS = 200 };
        azc_config config = defaults();
        if (!descriptors_for(PEERS + 200)) return;
        host h = host_start(&config, AZC_FULL_CLOSE);
        for (int i = 0; i < PEERS; i++) peer_in(&h, i % 2 ? "/sink" : "/echo");
        report start = mark(&h), r;
        for (client *c = clients; c; c = c->next) {
            begin_frames(c);
            add_frame(TEXT, "", 0);
            for (int i = 0; i < 2000; i++) add_frame(CONTINUATION, "", 0);
            flush_frames();
        }
        EVENTUALLY(&h, r, r.stats.bytes_in >= start.stats.bytes_in + PEERS * 2001 * 6);
        CHECK(r.peak - start.bytes < PEERS * (sizeof(azc__in) + 512) + SMALL);
        CHECK_INT(r.stats.open, PEERS);
        CHECK(newcomer(&h, NULL) < 1000);
        host_end(&h);
    }
}

/* ---- Announced lengths ----------------------------------------------------------------------- */

/* A frame's head that announces len, then `sent` bytes of it. */
static client *announce(host *h, int first, uint64_t len, size_t sent) {
    unsigned char head[14];
    static const unsigned char payload[4096];
    client *c = peer_in(h, "/sink");
    client_send(c, head, put_header(head, first, len, LENGTH64, some_mask));
    client_send(c, payload, sent); /* fails when the head was refused: as it should */
    return c;
}

static void lengths(void) {
    static const uint64_t huge[] = {(uint64_t)1 << 31, (uint64_t)1 << 32, (uint64_t)1 << 62,
                                    (uint64_t)1 << 63, UINT64_MAX, MAX_MESSAGE + 1};
    TEST("announced lengths past max_message are refused at the head, and memory does not move") {
        azc_config config = defaults();
        host h = host_start(&config, AZC_FULL_CLOSE);
        client_close(announce(&h, FIN | BINARY, 1 << 16, 0));
        report start, r;
        EVENTUALLY(&h, start, start.stats.connections == 0);
        mark(&h);
        int n = 0;
        for (size_t i = 0; i < sizeof huge / sizeof *huge; i++)
            for (int form = 0; form < 4; form++, n++) {
                int first = (form & 1 ? FIN : 0) | (form & 2 ? TEXT : BINARY);
                client *c = announce(&h, first, huge[i], 100);
                EXPECT_CLOSE(c, huge[i] >> 63 ? 1002 : 1009, NULL);
                CHECK_INT(peer_ends(c), 1);
                client_close(c);
            }
        EVENTUALLY(&h, r, r.stats.connections == 0);
        CHECK(r.peak - start.bytes < SMALL);
        CHECK_INT(r.stats.closed[9], n - 8);
        CHECK_INT(r.stats.closed[2], 8);
        host_end(&h);
    }
    TEST("with max_message as large as it goes, memory follows the bytes that came, no more") {
        azc_config config = defaults();
        config.max_message = SIZE_MAX / 4;
        host h = host_start(&config, AZC_FULL_CLOSE);
        for (size_t i = 0; i < sizeof huge / sizeof *huge; i++)
            for (int form = 0; form < 2; form++) {
                report start = mark(&h), r;
                client *c = announce(&h, (form ? FIN : 0) | BINARY, huge[i], 100);
                if (huge[i] > config.max_message) {
                    EXPECT_CLOSE(c, huge[i] >> 63 ? 1002 : 1009, NULL);
                    r = look(&h);
                } else {
                    EVENTUALLY(&h, r, r.stats.bytes_in >= start.stats.bytes_in + 114);
                    CHECK_INT(r.stats.open, 1);
                    CHECK(r.peak - start.bytes < SMALL);
                    static const unsigned char more[65536];
                    client_send(c, more, sizeof more), client_send(c, more, sizeof more);
                    EVENTUALLY(&h, r, r.stats.bytes_in >= start.stats.bytes_in + 131072);
                    CHECK(r.peak - start.bytes < 2 * 131072 + SMALL); /* doubling */
                }
                if (huge[i] > config.max_message) CHECK(r.peak - start.bytes < SMALL);
                client_close(c);
                EVENTUALLY(&h, r, r.stats.connections == 0);
            }
        host_end(&h);
    }
    TEST("100 peers that announce max_message each and send a byte cost no more than peers do") {
        enum { PEERS = 100 };
        azc_config config = defaults();
        config.max_message = 64 << 20;
        host h = host_start(&config, AZC_FULL_CLOSE);
        report start = mark(&h), r;
        for (int i = 0; i < PEERS; i++) announce(&h, i & 1 ? TEXT : FIN | TEXT, 64 << 20, 1);
        EVENTUALLY(&h, r, r.stats.open == PEERS);
        CHECK(r.peak - start.bytes < PEERS * (size_t)(sizeof(azc_conn) + sizeof(azc__in) + 2048));
        host_end(&h);
    }
}

/* ---- Reserved, compressed -------------------------------------------------------------------- */

static void reserved(void) {
    TEST("reserved bits and opcodes are a 1002, compression is never granted") {
        azc_config config = defaults();
        host h = host_start(&config, AZC_FULL_CLOSE);
        report r;
        int n = 0;
        for (int rsv = 0x10; rsv <= 0x70; rsv += 0x10)
            for (int opcode = 0; opcode <= 15; opcode++, n++) {
                client *c = peer_in(&h, "/echo");
                client_frame(c, FIN | rsv | opcode, "\xf2\x48\xcd\xc9\xc9\x07\x00", 7);
                EXPECT_CLOSE(c, 1002, NULL);
                client_close(c);
            }
        for (int opcode = 3; opcode <= 15; opcode++) {
            if (opcode >= CLOSE && opcode <= PONG) continue;
            client *c = peer_in(&h, "/echo");
            client_frame(c, FIN | opcode, "", 0);
            EXPECT_CLOSE(c, 1002, NULL);
            client_close(c), n++;
        }
        r = look(&h);
        CHECK_INT(r.stats.closed[2], n);
        CHECK_INT(r.stats.messages_in, 0);
        client *c = peer_open(&h);
        answer a;
        client_print(c, "GET /echo HTTP/1.1\r\n" UPGRADE "Sec-WebSocket-Extensions: "
                     "permessage-deflate; client_max_window_bits\r\n\r\n");
        CHECK_INT(client_answer(c, &a), 101);
        CHECK(answer_field(&a, "Sec-WebSocket-Extensions", NULL) == NULL);
        client_frame(c, FIN | 0x40 | TEXT, "\xf2\x48\xcd\xc9\xc9\x07\x00", 7);
        EXPECT_CLOSE(c, 1002, NULL);
        host_end(&h);
    }
}

/* ---- Pings ----------------------------------------------------------------------------------- */

static void pings(void) {
    TEST("200,000 pings are 200,000 pongs in order, and the next peer is served meanwhile") {
        enum { ALL = 200000 };
        azc_config config = defaults();
        host h = host_start(&config, AZC_FULL_CLOSE);
        client *c = peer_in(&h, "/echo");
        report start = mark(&h), r;
        int got = 0;
        begin_frames(c);
        for (int i = 0; i < ALL && !pipe_.gone; i++) {
            unsigned char number[4] = {(unsigned char)(i >> 24), (unsigned char)(i >> 16),
                                       (unsigned char)(i >> 8), (unsigned char)i};
            add_frame(FIN | PING, number, 4);
            if (i % 5000 < 4999) continue;
            flush_frames();
            if (i == ALL / 2 - 1) CHECK(newcomer(&h, NULL) < 1000);
            for (; got <= i; got++) {
                unsigned char want[4] = {(unsigned char)(got >> 24), (unsigned char)(got >> 16),
                                         (unsigned char)(got >> 8), (unsigned char)got};
                if (!EXPECT_FRAME(c, PONG, want, 4)) i = got = ALL;
            }
        }
        CHECK_INT(got, ALL);
        r = look(&h);
        CHECK_INT(r.stats.messages_in, 1);
        CHECK(r.peak - start.bytes < 256 << 10);
        host_end(&h);
    }
}

int main(int argc, char **argv) {
    test_start(argc, argv);
    fragments();
    lengths();
    reserved();
    pings();
    return test_end();
}
