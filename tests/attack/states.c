/* A reset, a half-close and silence in every state that a connection can be in. */
#include "attack.h"

enum { CONNECTED, PARTIAL_HEAD, KEPT, OPEN, MID_HEAD, MID_FRAME, MID_MESSAGE, CLOSING, BACKLOGGED,
       HALF_PAGE, HALF_LAST_PAGE, STATES };
enum { RESET, HALF_CLOSE, SILENCE, ENDS };
enum { PEERS = 8 };

static const char *const state_names[STATES] = {
    "connected", "in its head", "kept after a page", "open", "in a frame's head", "in a frame",
    "between fragments", "not answering a Close", "backlogged", "in a page", "in its last page"};
static const char *const end_names[ENDS] = {"reset", "half-closed", "silent"};

/* A peer in that state. */
static client *peer_at(host *h, int state) {
    static unsigned char frames[1 << 16], data[1000];
    unsigned char head[14];
    size_t all = 0;
    answer a;
    client *c = peer_open(h);
    if (state == PARTIAL_HEAD) client_print(c, "GET /echo HTTP/1.1\r\nHost: a.exam");
    if (state == KEPT) {
        client_print(c, "GET /small HTTP/1.1\r\nHost: a\r\n\r\n");
        CHECK_INT(client_answer(c, &a), 200);
    }
    if (state == HALF_PAGE || state == HALF_LAST_PAGE) {
        client_print(c, "GET /big HTTP/1.1\r\nHost: a\r\n%s\r\n",
                     state == HALF_PAGE ? "" : "Connection: close\r\n");
        char bytes[4096];
        struct pollfd one = {0, POLLIN, 0};
        one.fd = c->fd;
        poll(&one, 1, WAIT_MS);
        CHECK(recv(c->fd, bytes, sizeof bytes, 0) > 0);
    }
    if (state < OPEN || state >= HALF_PAGE) return c;
    CHECK_INT(client_upgrade(c, state == CLOSING ? "/bye" : "/echo", ""), 101);
    if (state == MID_HEAD)
        client_send(c, head, put_header(head, FIN | TEXT, 1000, SHORTEST, some_mask) - 5);
    if (state == MID_FRAME) {
        client_send(c, head, put_header(head, FIN | BINARY, 1000, SHORTEST, some_mask));
        client_send(c, data, 500);
    }
    if (state == MID_MESSAGE) client_frame(c, TEXT, "begun", 5);
    if (state == CLOSING) {
        client_text(c, "go");
        EXPECT_CLOSE(c, 4000, "bye");
    }
    if (state == BACKLOGGED) {
        while (all + 1100 <= sizeof frames)
            all += put_frame(frames + all, FIN | BINARY, data, sizeof data, SHORTEST, some_mask);
        size_t at = 0;
        for (int idle = 0; idle < 20;) {
            long n = client_send_some(c, frames + at, all - at);
            if (!CHECK(n >= 0)) break;
            at = (at + (size_t)n) % all, idle = n ? 0 : idle + 1;
            if (n == 0) poll(NULL, 0, 2);
        }
    }
    return c;
}

/* Try it on PEERS peers at once. Who was open gets one on_close, of the right code. */
static void end_at(int state, int end) {
    azc_config config = defaults();
    config.handshake_ms = 500, config.ping_ms = 300, config.pong_ms = 200, config.close_ms = 200;
    if (state == BACKLOGGED && end == RESET) config.ping_ms = -1; /* it is not how this ends */
    host h = host_start(&config, AZC_FULL_CLOSE);
    newcomer(&h, NULL);
    report start, r;
    EVENTUALLY(&h, start, start.stats.connections == 0);
    for (int i = 0; i < PEERS; i++) peer_at(&h, state);
    r = look(&h);
    int open = state >= OPEN && state <= BACKLOGGED, gone = 0;
    CHECK_INT(r.connects - start.connects, open ? PEERS : 0);
    if (state == CLOSING) CHECK_INT(r.closes - start.closes, PEERS);
    if (state == BACKLOGGED && end == RESET) CHECK(r.stats.pauses >= PEERS);
    long long began = now_ms();
    if (end == RESET) while (clients) client_reset(clients);
    for (client *c = clients; c && end == HALF_CLOSE; c = c->next) shutdown(c->fd, SHUT_WR);
    for (client *c = clients; c; c = c->next) {
        if (state == PARTIAL_HEAD && end == SILENCE) {
            answer a;
            CHECK_INT(client_answer(c, &a), 408);
        }
        if (state < HALF_PAGE && state != BACKLOGGED) gone += peer_ends(c) != 0;
        else gone++; /* it does not read, so it cannot know */
    }
    CHECK_INT(gone, end == RESET ? 0 : PEERS);
    EVENTUALLY(&h, r, r.stats.connections == 0);
    long long took = now_ms() - began;
    CHECK(took < 3000);
    if (end == RESET) CHECK(took < 1000);
    CHECK_INT(r.closes - start.closes, open ? PEERS : 0);
    CHECK_INT(r.stats.closed[6] - start.stats.closed[6], open && state != CLOSING ? PEERS : 0);
    CHECK_INT(r.stats.closed_app, state == CLOSING ? PEERS : 0);
    CHECK_INT(r.stats.refused[8], state == PARTIAL_HEAD && end == SILENCE ? PEERS : 0);
    CHECK_INT(r.stats.open, 0);
    CHECK_INT(r.blocks, start.blocks);
    CHECK(r.bytes - start.bytes < 16384); /* tables */
    CHECK(newcomer(&h, NULL) < 1000);
    host_end(&h);
    if (test.bad) printf("  %s, then %s\n", state_names[state], end_names[end]);
}

int main(int argc, char **argv) {
    test_start(argc, argv);
    for (int end = 0; end < ENDS; end++)
        for (int state = 0; state < STATES; state++) {
            char sentence[128];
            snprintf(sentence, sizeof sentence, "%s, then %s: it ends once and leaves nothing",
                     state_names[state], end_names[end]);
            TEST(sentence) end_at(state, end);
            test_close(); /* the sentence is ours */
        }
    return test_end();
}
