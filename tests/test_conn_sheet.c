/* CONN: broadcasts of a turn are written once, on a sheet, and what is not sent is copied, or keeps
 * the sheet. */
#define AZCHAN_IMPLEMENTATION
#include "../azchan.h"
#include "test.h"
#include "client.h"

enum { PEERS = 12 };

static struct {
    azc_server *server;
    client *peers[PEERS];
    azc_conn *conns[PEERS];
    tape wanted[PEERS]; /* the frames that each peer must receive */
    int count;
} all;

/* Every peer is in "all", those with an even number in "even". */
static int enter(azc_conn *conn) {
    int n = all.count++;
    if (n < PEERS) all.conns[n] = conn;
    int error = azc_join(conn, "all");
    return error == AZC_OK && n % 2 == 0 ? azc_join(conn, "even") : error;
}

/* small: every small-th peer has a small receive buffer; 0: none has. */
static void begin(const azc_config *config, int small) {
    azc_channel_desc d;
    memset(&d, 0, sizeof d);
    d.path = "/t", d.on_connect = enter;
    d.on_close = note_close;
    memset(&all, 0, sizeof all);
    all.server = serve(config, d);
    for (int i = 0; i < PEERS; i++) {
        all.peers[i] = small > 0 && i % small == 0 ? client_open_to(all.server, "127.0.0.1",
                                                       azc_port(all.server), 1)
                                      : client_open(all.server);
        CHECK_INT(client_upgrade(all.peers[i], "/t", ""), 101);
    }
    settle(all.server);
}

static void end(void) {
    finish(all.server);
    for (int i = 0; i < PEERS; i++) tape_clear(&all.wanted[i]);
}

static void want(int peer, int first, const char *data, size_t len) {
    unsigned char frame[70000];
    tape_add(&all.wanted[peer], (char *)frame, put_frame(frame, first, data, len, 0, NULL));
}

/* A broadcast to a room, "" for the channel. except: a peer's number, or -1. */
static void cast(const char *room, int binary, const char *data, size_t len, int except) {
    const azc_conn *conn = except < 0 ? NULL : all.conns[except];
    const char *name = *room ? room : NULL;
    CHECK_INT(binary ? azc_broadcast_binary(served, name, data, len, conn)
                     : azc_broadcast(served, name, data, len, conn), AZC_OK);
    for (int i = 0; i < PEERS; i++)
        if (i != except && (*room != 'e' || i % 2 == 0))
            want(i, FIN | (binary ? BINARY : TEXT), data, len);
}

static void expect_all(void) {
    for (int i = 0; i < PEERS; i++) {
        client *c = all.peers[i];
        const tape *t = &all.wanted[i];
        if (!CHECK(client_await(c, t->len)) || !CHECK_INT(c->len, t->len) ||
            !CHECK(memcmp(c->in, t->text, t->len) == 0)) printf("    peer %d\n", i);
    }
}

static unsigned dice(unsigned sides) {
    static uint32_t state = 7;
    state = state * 1664525 + 1013904223;
    return (state >> 8) % sides;
}

static char text[70000];

/* One of the things that queue messages. */
static void deed(size_t most) {
    size_t len = dice(8) == 0 ? dice((unsigned)most) : dice(100);
    int except = dice(3) == 0 ? (int)dice(PEERS) : -1;
    const char *at = text + dice(26);
    switch (dice(10)) {
    case 0: {
        int to = (int)dice(PEERS);
        CHECK_INT(azc_send_text(all.conns[to], at, len), AZC_OK);
        want(to, FIN | TEXT, at, len);
        return;
    }
    case 1: cast("", 1, at, len, except); return;
    case 2: case 3: cast("even", 0, at, len, except); return;
    default: cast("all", 0, at, len, except);
    }
}

static void order(void) {
    TEST("broadcasts, exceptions and private messages arrive whole and in order") {
        begin(NULL, 0);
        for (int turn = 0; turn < 300; turn++) {
            for (unsigned n = dice(2) ? dice(4) : dice(40); n > 0; n--) deed(3000);
            if (dice(3)) azc_poll(all.server, 0);
            for (int i = 0; i < PEERS; i++) client_fill(all.peers[i]);
        }
        expect_all();
        end();
    }
    TEST("so they do when peers read late: what is not sent is copied, or keeps its sheet") {
        azc_config config = quick();
        config.max_backlog = 16 << 20;
        begin(&config, 3);
        for (int turn = 0; turn < 200; turn++) {
            for (unsigned n = dice(60); n > 0; n--) deed(6000);
            azc_poll(all.server, 0);
            for (int i = 0; i < PEERS; i++) if (i % 3 || turn % 50 == 49) client_fill(all.peers[i]);
        }
        expect_all();
        end();
    }
    TEST("more than a sheet's piece in one turn, and every size up to a shared frame's") {
        begin(NULL, 0);
        for (size_t len = 0; len < 1030; len += 7) cast("all", 0, text, len, -1);
        for (int i = 0; i < 400; i++) cast("all", 0, text, 60, i % 5 == 0 ? i % PEERS : -1);
        expect_all();
        end();
    }
    TEST("a Close, a ping or a latest value behind broadcasts of the same turn comes after them") {
        begin(NULL, 0);
        cast("all", 0, "one", 3, -1);
        CHECK_INT(azc_ping(all.conns[0], "p", 1), AZC_OK);
        want(0, FIN | PING, "p", 1);
        cast("all", 0, "two", 3, -1);
        azc_message m;
        memset(&m, 0, sizeof m);
        m.text = "latest", m.len = 6, m.room = "all", m.key = 1;
        CHECK_INT(azc_send(served, &m), AZC_OK);
        for (int i = 0; i < PEERS; i++) want(i, FIN | TEXT, "latest", 6);
        cast("all", 0, "three", 5, -1);
        CHECK_INT(azc_close(all.conns[1], 1000, "bye"), AZC_OK);
        want(1, FIN | CLOSE, "\x03\xe8" "bye", 5);
        expect_all();
        end();
    }
}

static void limits(void) {
#if !AZCHAN_SMALL
    TEST("without memory for the copies the connections end, and the server goes on") {
        azc_config config = quick();
        begin(&config, 1);
        for (int i = 0; i < 40000 && azc_stats(all.server)->open > 0; i++) {
            azc_broadcast(served, "all", text, 500, NULL);
            memory.none = 1; /* there was some for the sheet, and there is none for copies */
            azc_poll(all.server, 0);
            memory.none = 0;
        }
        settle(all.server);
        CHECK_INT(azc_stats(all.server)->open, 0);
        CHECK_INT(count_of(tape_text(&events), "close 1006"), PEERS);
        CHECK_INT(client_upgrade(client_open(all.server), "/t", ""), 101);
        end();
    }
    TEST("a frame that every member refuses takes no memory") {
        azc_config config = quick();
        config.max_message = 1000, config.max_backlog = 4000;
        begin(&config, 0);
        served->desc.when_full = AZC_FULL_DROP;
        for (int i = 0; i < 5; i++) azc_broadcast(served, "all", text, 1000, NULL);
        size_t before = memory.bytes;
        for (int i = 0; i < 10000; i++) azc_broadcast(served, "all", text, 1000, NULL);
        CHECK_INT(memory.bytes, before);
        for (int i = 0; i < PEERS; i++)
            for (int n = 0; n < 3; n++) want(i, FIN | TEXT, text, 1000);
        expect_all();
        end();
    }
#endif
    TEST("a backlog of broadcasts is limited and counted as one of copies") {
        azc_config config = quick();
        config.max_message = 1000, config.max_backlog = 4000;
        begin(&config, 0);
        for (int i = 0; i < 80; i++) cast("all", 0, text, 48, -1); /* 50 bytes each */
        for (int i = 0; i < PEERS; i++) CHECK_INT(azc_backlog(all.conns[i]), 4000);
        CHECK_INT(azc_broadcast(served, "all", "x", 1, all.conns[0]), AZC_OK);
        CHECK_INT(azc_stats(all.server)->dropped, PEERS - 1);
        EXPECT_EVENTS("");
        settle(all.server);
        CHECK_INT(client_await(all.peers[0], 4000), 1);
        EXPECT_FRAME(all.peers[0], TEXT, text, 48);
        end();
    }
#if !AZCHAN_SMALL
    TEST("in a busy room a turn does not call the allocator, however many messages it has") {
        azc_config config = quick();
        config.max_backlog = 16 << 20; /* a turn's 128 frames find some of the last turn's */
        begin(&config, 0);
        int loud = 0; /* turns that called it: on a loaded machine loopback itself may fall behind */
        for (int turn = 0; turn < 40; turn++) {
            long calls = memory.calls;
            size_t len = turn < 20 ? 64 : 2000;
            for (int i = 0; i < 1 << turn % 8; i++) cast("all", 0, text, len, -1);
            client_text(all.peers[0], ""); /* an idle wait would return the pool */
            azc_poll(all.server, WAIT_MS);
            for (int i = 0; i < PEERS; i++) client_fill(all.peers[i]);
            loud += turn % 20 > 8 && memory.calls != calls;
        }
        CHECK(loud <= 4);
        expect_all();
        end();
    }
    TEST("large broadcasts cost one frame for all who stall, and memory returns once they read") {
        azc_config config = quick();
        config.ping_ms = config.pong_ms = 600000; /* who stalls stays, however slow the machine */
        config.max_backlog = 16 << 20;
        begin(&config, 2);
        for (int i = 0; i < 400 && azc_backlog(all.conns[0]) < 100000; i++) { /* they are full */
            cast("all", 1, text, 20000, -1);
            azc_poll(all.server, 0);
            for (int j = 0; j < PEERS; j++) if (j % 2) client_fill(all.peers[j]);
        }
        settle(all.server);
        size_t before = memory.bytes;
        for (int i = 0; i < 500; i++) {
            cast("all", 0, text, 2000, -1);
            azc_poll(all.server, 0);
            for (int j = 0; j < PEERS; j++) if (j % 2) client_fill(all.peers[j]);
        }
        /* 8 frames of 2004 bytes on a sheet of 16,384, to which each of the stalled has a piece */
        CHECK(memory.bytes - before >= 500 * 2004);
        CHECK(memory.bytes - before < (500 / 8 + 3) * (16384 + PEERS / 2 * 64) + 20000);
        CHECK_INT(azc_send_text(all.conns[0], "private", 7), AZC_OK); /* no sheet follows this */
        want(0, FIN | TEXT, "private", 7);
        azc_poll(all.server, 0), azc_poll(all.server, 0); /* an idle wait: the pool is empty */
        memory.none = 1;
        uint64_t out = azc_stats(all.server)->messages_out;
        CHECK_INT(azc_broadcast(served, "even", text, 2000, NULL), AZC_OK);
        memory.none = 0;
        CHECK_INT(azc_stats(all.server)->messages_out - out, PEERS / 2 - 1);
        CHECK(strstr(azc_error(all.server), "out of memory") != NULL);
        for (int i = 2; i < PEERS; i += 2) want(i, FIN | TEXT, text, 2000);
        expect_all();
        settle(all.server);
        CHECK(memory.bytes < before);
        end();
    }
    TEST("a member costs a busy room a few words a turn, and a stalled one only its own copies") {
        azc_config config = quick();
        config.ping_ms = config.pong_ms = 600000; /* who stalls stays, however slow the machine */
        config.max_backlog = 16 << 20;
        begin(&config, 2);
        for (int i = 0; i < 400 && azc_backlog(all.conns[0]) < 100000; i++) { /* they are full */
            cast("all", 1, text, 20000, -1);
            azc_poll(all.server, 0);
            for (int j = 0; j < PEERS; j++) if (j % 2) client_fill(all.peers[j]);
        }
        settle(all.server);
        size_t before = memory.bytes;
        for (int i = 0; i < 1000; i++) cast("all", 0, text, 100, -1);
        /* 102,000 bytes of frames: on the sheet, and one copy for each of the stalled */
        CHECK(memory.bytes - before < 102000 + PEERS / 2 * 115000 + PEERS * 500);
        CHECK(memory.bytes - before > PEERS / 2 * 102000);
        end();
    }
#endif
}

int main(int argc, char **argv) {
    for (size_t i = 0; i < sizeof text; i++) text[i] = (char)('a' + (i + i / 26) % 26);
    test_start(argc, argv);
    order();
    limits();
    tape_clear(&events), tape_clear(&log_lines);
    return test_end();
}
