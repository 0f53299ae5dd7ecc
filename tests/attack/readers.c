/* Peers that send and never read, and members of a room that stall. */
#include "attack.h"

enum { MAX_BACKLOG = 256 << 10, MAX_MESSAGE = 64 << 10, PIECE_ROOM = 16 << 10,
       PIECE = 4096 }; /* of an output, at most, for small frames */

/* Push the same bytes, from where they stood, until neither the server nor the kernels take more,
 * or `most` were taken. Returns how many more were. */
static size_t push_on(client *c, const unsigned char *bytes, size_t len, size_t from, size_t most) {
    size_t total = from;
    for (int idle = 0; idle < 25 && total < most;) {
        size_t at = total % len;
        long n = client_send_some(c, bytes + at, len - at);
        if (n < 0) break;
        total += (size_t)n, idle = n ? 0 : idle + 1;
        if (n == 0) poll(NULL, 0, 2);
    }
    return total - from;
}
static size_t push(client *c, const unsigned char *bytes, size_t len, size_t most) {
    return push_on(c, bytes, len, 0, most);
}

/* Read `most` bytes, which are copies of a frame, and send the rest of one of ours once the socket
 * takes it. Returns how many came as they should. */
static size_t pull(client *c, size_t most, const unsigned char *frame, size_t len,
                   const unsigned char *rest, size_t rest_len) {
    static unsigned char bytes[65536];
    size_t total = 0;
    for (long long end = now_ms() + WAIT_MS; total < most && now_ms() < end;) {
        long sent = rest_len ? client_send_some(c, rest, rest_len) : 0;
        ssize_t n = recv(c->fd, bytes, sizeof bytes, 0);
        if (sent > 0) rest += sent, rest_len -= (size_t)sent;
        if (n <= 0) poll(NULL, 0, 1);
        for (ssize_t i = 0; i < n; i++, total++)
            if (bytes[i] != frame[total % len]) return total;
    }
    return total;
}

/* PEERS flood the server with copies of one frame and read nothing; then they read. `answer` is
 * what each frame is answered with. */
static void flood(int opcode, size_t len, int answer, size_t read_buffer) {
    enum { PEERS = 6, MOST = 64 << 20 };
    static unsigned char frames[1 << 18], data[MAX_MESSAGE], answers[MAX_MESSAGE + 14];
    size_t total[PEERS], unit, all = 0;
    memset(data, 'x', sizeof data);
    size_t answer_len = put_frame(answers, FIN | answer, data, len, SHORTEST, NULL);
    unit = put_frame(frames, FIN | opcode, data, len, SHORTEST, some_mask);
    for (all = unit; all + unit <= sizeof frames; all += unit) memcpy(frames + all, frames, unit);
    azc_config config = defaults();
    config.ping_ms = -1, config.read_buffer = read_buffer;
    host h = host_start(&config, AZC_FULL_CLOSE);
    client *peers[PEERS];
    for (int i = 0; i < PEERS; i++) peers[i] = peer_in(&h, "/echo");
    report start = mark(&h), r, still;
    kill(h.pid, SIGSTOP); /* its first read finds all that the kernel holds */
    for (int i = 0; i < PEERS; i++) total[i] = push(peers[i], frames, all, MOST);
    kill(h.pid, SIGCONT);
    for (int i = 0; i < PEERS; i++) {
        total[i] += push_on(peers[i], frames, all, total[i], MOST);
        CHECK(total[i] < MOST); /* reading did pause */
    }
    EVENTUALLY(&h, r, r.stats.pauses >= PEERS);
    for (long long end = now_ms() + WAIT_MS; now_ms() < end; r = still) { /* it has read its fill */
        poll(NULL, 0, 50);
        if ((still = look(&h)).stats.bytes_in == r.stats.bytes_in) break;
    }
    r = look(&h);
    CHECK(r.stats.peak_backlog <= MAX_BACKLOG);
    CHECK(r.stats.peak_backlog >= MAX_BACKLOG / 2);
    CHECK(r.backlog > MAX_BACKLOG / 2 && r.backlog <= MAX_BACKLOG);
    CHECK(r.peak - start.bytes < PEERS * (size_t)(MAX_BACKLOG + MAX_MESSAGE + PIECE_ROOM));
    CHECK_INT(r.stats.dropped, 0);
    poll(NULL, 0, 200);
    still = look(&h);
    CHECK_INT(still.stats.bytes_in, r.stats.bytes_in); /* and stays paused */
    CHECK(still.turns - r.turns < 80);                 /* without spinning */
    CHECK(newcomer(&h, NULL) < 1000);
    for (int i = 0; i < PEERS; i++) { /* every whole frame that the server took is answered */
        size_t rest = (unit - total[i] % unit) % unit, count = (total[i] + rest) / unit;
        const unsigned char *rest_of_it = frames + unit - rest;
        CHECK_INT(pull(peers[i], count * answer_len, answers, answer_len, rest_of_it, rest),
                  count * answer_len);
    }
    EVENTUALLY(&h, r, r.backlog == 0);
    CHECK_INT(r.stats.open, PEERS);
    CHECK_INT(r.stats.dropped, 0);
    CHECK(r.drains > 0 || answer == PONG);
    CHECK(r.bytes <= start.bytes + AZC__POOL);
    host_end(&h);
}

static void floods(void) {
    TEST("six peers flood an echo and never read: reading pauses, and goes on when they drain") {
        flood(TEXT, 1000, TEXT, 0);
        flood(TEXT, 1000, TEXT, 1 << 20);
        flood(BINARY, 20, BINARY, 0);
        flood(TEXT, MAX_MESSAGE, TEXT, 0);
    }
    TEST("six peers flood with pings and never read: the pongs wait within the backlog") {
        flood(PING, 125, PONG, 0);
        flood(PING, 0, PONG, 1 << 20);
    }
    TEST("a peer that never reads again is dropped by pings, whatever it still sends") {
        static unsigned char frames[1 << 16], data[1000];
        size_t all = 0;
        while (all + 1100 <= sizeof frames)
            all += put_frame(frames + all, FIN | BINARY, data, sizeof data, SHORTEST, some_mask);
        azc_config config = defaults();
        config.ping_ms = config.pong_ms = 300;
        host h = host_start(&config, AZC_FULL_CLOSE);
        client *c = peer_in(&h, "/echo");
        report r;
        CHECK(push(c, frames, all, 64 << 20) < 64 << 20);
        for (long long end = now_ms() + WAIT_MS; now_ms() < end; poll(NULL, 0, 20)) {
            if (client_send_some(c, frames, all) < 0) break;
            if ((r = look(&h)).stats.open == 0) break;
        }
        EVENTUALLY(&h, r, r.stats.connections == 0);
        CHECK_INT(r.stats.closed[6], 1);
        host_end(&h);
    }
}

/* ---- A room ---------------------------------------------------------------------------------- */

enum { MEMBERS = 200, STALLED = 20, ROUNDS = 1000 };
static const size_t sizes[] = {100, 900, 3000, 26000}; /* in all more than the kernels take */
enum { SIZES = sizeof sizes / sizeof *sizes, CYCLE = 30000 + 4 * 4 };

/* Read messages until `count` are read or none comes; each must be the one wanted, or, with gaps
 * allowed, a later one. Returns how many were read; *next is the number after the last. */
static long read_numbered(client *c, long *next, int gaps) {
    static char want[65536];
    static long made = -1; /* what want holds: the members are mostly abreast */
    long n = 0;
    for (frame f; *next < ROUNDS; n++) {
        size_t buffered = c->len;
        client_fill(c);
        if (c->len == 0 && buffered == 0) break;
        if (!client_read(c, &f)) break;
        if (f.opcode == CLOSE) {
            CHECK_INT(f.code, 1013);
            break;
        }
        long number = atol((char *)f.data);
        if (f.opcode == PING) continue;
        size_t len = sizes[*next % SIZES];
        if (gaps && number > *next) *next = number, len = sizes[number % SIZES];
        if (*next != made) numbered(want, len, made = *next);
        if (!CHECK_INT(number, *next) || !CHECK_INT(f.len, len)) return -1;
        if (!CHECK(memcmp(f.data, want, len) == 0)) return -1;
        ++*next;
    }
    return n;
}

static void room(int when_full) {
    azc_config config = defaults();
    config.ping_ms = -1;
    config.close_ms = 60000; /* so that those closed with 1013 can be asked what they got */
    if (!descriptors_for(MEMBERS + 200)) return;
    host h = host_start(&config, when_full);
    client *members[MEMBERS];
    long next[MEMBERS] = {0};
    for (int i = 0; i < MEMBERS; i++) {
        int stalls = i % (MEMBERS / STALLED) == 0;
        members[i] = stalls ? peer_in(&h, "/room?stalled=1") : peer_in(&h, "/room");
    }
    report start = mark(&h), r = start;
    broadcasts(&h, ROUNDS, sizes, SIZES);
    long long end = now_ms() + 40000, began = now_ms();
    for (int left = MEMBERS - STALLED; left > 0 && now_ms() < end && test.bad == 0;) {
        left = MEMBERS - STALLED;
        long got = 0;
        for (int i = 0; i < MEMBERS; i++) {
            if (i % (MEMBERS / STALLED) == 0) continue;
            got += read_numbered(members[i], &next[i], 0);
            left -= next[i] == ROUNDS;
        }
        if (got == 0) poll(NULL, 0, 1);
    }
    for (int i = 0; i < MEMBERS; i++)
        if (i % (MEMBERS / STALLED) != 0 && !CHECK_INT(next[i], ROUNDS)) break;
    r = look(&h);
    CHECK_INT(r.broadcasts, ROUNDS);
    CHECK(r.stats.peak_backlog <= MAX_BACKLOG + 4); /* a Close frame may go beyond */
    CHECK(r.stats.peak_backlog > MAX_BACKLOG / 2);
    /* Each stalled member holds max_backlog; of small messages in pieces of its own, of large ones,
     * which all share, a reference each. The readers hold one message. */
    size_t cycles = MAX_BACKLOG / CYCLE + 1, references = 2 * sizeof(azc__piece) + 2 * PIECE;
    size_t cap = STALLED * cycles * references + MAX_BACKLOG + CYCLE +
                 (MEMBERS - STALLED) * references + AZC__POOL;
    CHECK(r.peak - start.bytes <= cap);
    CHECK(cap < (STALLED + 1) * (size_t)MAX_BACKLOG);
    if (when_full == AZC_FULL_CLOSE) {
        CHECK_INT(r.stats.closed[13], STALLED);
        CHECK_INT(r.stats.dropped, STALLED); /* one each: the one that closed it */
        CHECK_INT(r.stats.open, MEMBERS - STALLED);
    } else {
        CHECK_INT(r.stats.open, MEMBERS);
        CHECK(r.stats.dropped > STALLED);
    }
    printf("  1,000 broadcasts to 200: %lld ms, peak %lu KiB of at most %lu, %lld dropped\n",
           now_ms() - began, (unsigned long)((r.peak - start.bytes) / 1024),
           (unsigned long)(cap / 1024), (long long)r.stats.dropped);
    /* The stalled read at last: what they were promised, in order, and no more. */
    long promised = 0;
    for (int pass = 0; pass < 2; pass++)
        for (int i = 0; i < MEMBERS; i += MEMBERS / STALLED) {
            long n;
            for (int idle = 0; idle < 100; idle = n ? 0 : idle + 1) {
                promised += n = read_numbered(members[i], &next[i], when_full == AZC_FULL_DROP);
                if (n < 0 || pass || (when_full == AZC_FULL_CLOSE && members[i]->eof)) break;
                if (n == 0) poll(NULL, 0, 1);
            }
            CHECK(next[i] > 0);
        }
    EVENTUALLY(&h, r, r.backlog == 0);
    if (when_full == AZC_FULL_DROP) {
        CHECK_INT(promised + (long)r.stats.dropped, STALLED * ROUNDS);
        CHECK(r.drains >= STALLED);
    }
    CHECK_INT(r.stats.messages_out, promised + (MEMBERS - STALLED) * (long)ROUNDS);
    host_end(&h);
}

static void rooms(void) {
    TEST("a room of 200 with 20 that stall: they are closed with 1013, 180 miss nothing") {
        room(AZC_FULL_CLOSE);
    }
    TEST("a room of 200 with 20 that stall and drop: they miss the newest, 180 miss nothing") {
        room(AZC_FULL_DROP);
    }
    TEST("whatever the mix of sizes, stalled members' memory is at most twice their backlogs") {
        /* the worst for an output made of pieces: small frames between large ones that are shared;
         * and, for one member alone, whose messages are copied, what leaves a piece half empty */
        static const struct {
            size_t sizes[2];
            int members;
        } mixes[] = {{{1, 1024}, 8}, {{100, 1100}, 8}, {{1, 4096}, 8}, {{500, 500}, 8},
                     {{1, 1024}, 1}, {{2030, 2030}, 1}, {{1, 4000}, 1}, {{12300, 12300}, 1},
                     {{50000, 1}, 1}};
        azc_config config = defaults();
        config.ping_ms = -1;
        for (size_t m = 0; m < sizeof mixes / sizeof *mixes; m++) {
            const size_t *two = mixes[m].sizes;
            size_t most = (size_t)mixes[m].members * 2 * MAX_BACKLOG + AZC__POOL;
            if (mixes[m].members == 1) most = 2 * MAX_BACKLOG + 4 * MAX_MESSAGE;
            host h = host_start(&config, AZC_FULL_DROP);
            for (int i = 0; i < mixes[m].members; i++) peer_in(&h, "/room?stalled=1");
            report start = mark(&h), r = start;
            int rounds = (int)(32000000 / (two[0] + two[1]));
            broadcasts(&h, rounds, two, 2);
            for (long long end = now_ms() + 20000; now_ms() < end; poll(NULL, 0, 5))
                if ((r = look(&h)).stats.dropped > 300 * (uint64_t)mixes[m].members ||
                    r.broadcasts == (uint64_t)rounds) break;
            CHECK(r.stats.dropped > 100);
            if (!CHECK(r.peak - start.bytes <= most))
                printf("    sizes %lu and %lu: %lu bytes for %d backlogs of at most %d\n",
                       (unsigned long)two[0], (unsigned long)two[1],
                       (unsigned long)(r.peak - start.bytes), mixes[m].members, MAX_BACKLOG);
            host_end(&h);
        }
    }
}

int main(int argc, char **argv) {
    test_start(argc, argv);
    floods();
    rooms();
    return test_end();
}
