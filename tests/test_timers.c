/* TIMERS: when they run, in which order, cancelling, and running out of memory. The clock is mostly
 * the test's: it stands still until a test moves it. */
#include "scenario.h"

static azc_server *server;

/* A server whose clock stands at a moment, ms. */
static void begin_at(long long clock) {
    sys.clock = clock, sys.skew = 0;
    server = serve(NULL, recorder("/t"));
}
static void begin(void) { begin_at(1000000); }
static void end(void) {
    finish(server);
    sys.clock = 0, sys.skew = 0;
}

/* Time passes, and one turn is made. */
static void pass(long long ms) {
    sys.clock += ms;
    azc_poll(server, 0);
}

static void say(azc_server *s, void *arg) {
    CHECK(s == server);
    note("%s", (const char *)arg);
}

/* ---- When ------------------------------------------------------------------------------------ */

static uint64_t self;
static int self_result, again;
static void cancel_self(azc_server *s, void *arg) {
    say(s, arg);
    self_result = azc_cancel(s, self);
}
static void set_another(azc_server *s, void *arg) {
    say(s, arg);
    if (again-- > 0) CHECK(azc_after(s, 0, set_another, arg) != 0);
}
static void cancel_all(azc_server *s, void *ids) {
    for (uint64_t *id = (uint64_t *)ids; *id; id++) CHECK_INT(azc_cancel(s, *id), AZC_OK);
    note("cancelled");
}

static void moments(void) {
    TEST("azc_after runs once, not before its time") {
        begin();
        CHECK(azc_after(server, 250, say, letter(0)) != 0);
        pass(0), pass(249);
        EXPECT_EVENTS("");
        pass(1);
        EXPECT_EVENTS("a; ");
        pass(10000), pass(1 << 30);
        EXPECT_EVENTS("");
        end();
    }
    TEST("the time counts from the call, however long ago the last turn was") {
        begin();
        pass(0);
        sys.clock += 500;
        azc_after(server, 250, say, letter(0));
        pass(249);
        EXPECT_EVENTS("");
        pass(1);
        EXPECT_EVENTS("a; ");
        end();
    }
    TEST("0 ms is the next turn in which the clock has moved") {
        begin();
        pass(0);
        azc_after(server, 0, say, letter(0));
        pass(1);
        EXPECT_EVENTS("a; ");
        end();
    }
    TEST("timers of one millisecond run in the order set, however long before") {
        begin();
        int n = 0;
        static const int ahead[] = {2000000, 999999, 40000, 31744, 1025, 1024, 1023, 33, 32, 31, 5,
                                    1};
        long long due = sys.clock + 2000001;
        for (size_t i = 0; i < sizeof ahead / sizeof ahead[0]; i++) {
            while (sys.clock < due - ahead[i]) pass(due - ahead[i] - sys.clock);
            azc_after(server, ahead[i], say, letter(n++));
            azc_after(server, ahead[i], say, letter(n++));
        }
        EXPECT_EVENTS("");
        pass(1);
        EXPECT_EVENTS("a; b; c; d; e; f; g; h; i; j; k; l; m; n; o; p; q; r; s; t; u; v; w; x; ");
        end();
    }
    TEST("a late turn runs all due timers, in the order of their times") {
        begin();
        azc_after(server, 5000, say, letter(3));
        azc_after(server, 40, say, letter(1));
        azc_after(server, 1, say, letter(0));
        azc_after(server, 4999, say, letter(2));
        azc_after(server, 5001, say, letter(4));
        pass(5000);
        EXPECT_EVENTS("a; b; c; d; ");
        pass(1);
        EXPECT_EVENTS("e; ");
        end();
    }
    TEST("azc_every stays on schedule, and skips ticks that a late turn missed") {
        begin();
        uint64_t id = azc_every(server, 100, say, letter(0));
        pass(99);
        EXPECT_EVENTS("");
        pass(1);
        EXPECT_EVENTS("a; ");
        pass(130); /* 30 late */
        EXPECT_EVENTS("a; ");
        pass(69);
        EXPECT_EVENTS("");
        pass(1);
        EXPECT_EVENTS("a; ");
        pass(1050); /* ten beats and a half: one run */
        EXPECT_EVENTS("a; ");
        pass(49);
        EXPECT_EVENTS("");
        pass(1);
        EXPECT_EVENTS("a; ");
        CHECK_INT(azc_cancel(server, id), AZC_OK);
        pass(1000);
        EXPECT_EVENTS("");
        end();
    }
    TEST("a timer that a timer sets runs in a later turn, and timers cannot hold the loop") {
        begin();
        again = 1000000;
        azc_after(server, 1, set_another, letter(0));
        for (int i = 0; i < 3; i++) {
            pass(1000);
            EXPECT_EVENTS("a; ");
        }
        end();
    }
    TEST("azc_poll waits for a timer no longer and no shorter, on the real clock") {
        server = serve(NULL, recorder("/t"));
        long long began = now_ms();
        azc_after(server, 60, say, letter(0));
        long waits = 0;
        while (events.len == 0 && now_ms() < began + WAIT_MS) azc_poll(server, -1), waits++;
        long long took = now_ms() - began;
        CHECK(took >= 59 && took < 1000);
        CHECK(waits <= 4); /* a level of the wheel is a wake at most */
        EXPECT_EVENTS("a; ");
        began = now_ms();
        azc_after(server, 10000, say, letter(0));
        azc_poll(server, 20);
        CHECK(now_ms() - began < 1000);
        end();
    }
    TEST("a timer set long after the last turn is waited for from then on") {
        server = serve(NULL, recorder("/t"));
        azc_poll(server, 0);
        usleep(60000); /* the program is busy elsewhere */
        azc_after(server, 30, say, letter(0));
        usleep(20000);
        long long began = now_ms();
        while (events.len == 0 && now_ms() < began + WAIT_MS) azc_poll(server, -1);
        CHECK(now_ms() - began <= 30);
        EXPECT_EVENTS("a; ");
        end();
    }
}

/* ---- Cancelling ------------------------------------------------------------------------------ */

static void cancelling(void) {
    TEST("azc_cancel: AZC_OK once, then AZC_ERR_ARGUMENT") {
        begin();
        uint64_t a = azc_after(server, 10, say, letter(0));
        uint64_t b = azc_after(server, 10, say, letter(1));
        CHECK(a != 0 && b != 0 && a != b);
        CHECK_INT(azc_cancel(server, a), AZC_OK);
        CHECK_INT(azc_cancel(server, a), AZC_ERR_ARGUMENT);
        pass(10);
        EXPECT_EVENTS("b; ");
        CHECK_INT(azc_cancel(server, b), AZC_ERR_ARGUMENT);
        end();
    }
    TEST("ids are never used again, and made-up ids cancel nothing") {
        begin();
        uint64_t seen[64], next;
        for (int i = 0; i < 64; i++) {
            seen[i] = azc_after(server, 10, say, letter(0));
            CHECK_INT(azc_cancel(server, seen[i]), AZC_OK);
        }
        next = azc_after(server, 10, say, letter(1));
        for (int i = 0; i < 64; i++) {
            CHECK(seen[i] != next);
            for (int k = 0; k < i; k++) CHECK(seen[i] != seen[k]);
            CHECK_INT(azc_cancel(server, seen[i]), AZC_ERR_ARGUMENT);
        }
        for (uint64_t made_up = 0; made_up < 100; made_up++) {
            CHECK_INT(azc_cancel(server, made_up), AZC_ERR_ARGUMENT);
            CHECK_INT(azc_cancel(server, next + 1 + made_up), AZC_ERR_ARGUMENT);
            CHECK_INT(azc_cancel(server, next + (made_up + 1) * ((uint64_t)1 << 24)),
                      AZC_ERR_ARGUMENT);
        }
        CHECK_INT(azc_cancel(server, UINT64_MAX), AZC_ERR_ARGUMENT);
        uint64_t given = next + ((uint64_t)1 << 24); /* which it will have next */
        CHECK_INT(azc_cancel(server, next), AZC_OK);
        CHECK_INT(azc_cancel(server, given), AZC_ERR_ARGUMENT);
        end();
    }
    TEST("the number of a timer is never 0, even when its serial number begins anew") {
        begin();
        CHECK_INT(azc_cancel(server, azc_after(server, 1, say, letter(0))), AZC_OK);
        server->tasks[0]->id = UINT64_MAX - AZC__SLOT_MASK; /* the last number of slot 0 */
        uint64_t last = azc_after(server, 1, say, letter(0));
        CHECK(last == UINT64_MAX - AZC__SLOT_MASK);
        CHECK_INT(azc_cancel(server, last), AZC_OK);
        uint64_t first = azc_after(server, 1, say, letter(1));
        CHECK(first != 0);
        CHECK_INT(azc_cancel(server, last), AZC_ERR_ARGUMENT);
        pass(2);
        EXPECT_EVENTS("b; ");
        end();
    }
    TEST("peers' deadlines go on when the low 32 bits of the clock begin anew") {
        for (int early = 0; early < 60000; early += 3000) {
            begin_at((1LL << 32) * 7 - early);
            client *c = join_channel(server, "/t"), *idle = client_open(server);
            settle(server);
            pass(9900);
            CHECK_INT(server->conn_count, 2);
            pass(200); /* handshake_ms */
            CHECK_INT(server->conn_count, 1);
            client_close(idle);
            CHECK_INT(azc_backlog(member_of(served)), 0);
            pass(37501); /* ping_ms, at most a quarter late */
            EXPECT_FRAME(c, PING, "", 0);
            EXPECT_EVENTS("connect; ");
            pass(10001); /* pong_ms */
            EXPECT_EVENTS("close 1006; ");
            end();
        }
    }
    TEST("an azc_every may cancel itself; an azc_after cannot be cancelled once it runs") {
        begin();
        self = azc_every(server, 10, cancel_self, letter(0));
        pass(10);
        CHECK_INT(self_result, AZC_OK);
        pass(10), pass(100);
        EXPECT_EVENTS("a; ");
        self = azc_after(server, 10, cancel_self, letter(1));
        pass(10);
        CHECK_INT(self_result, AZC_ERR_ARGUMENT);
        EXPECT_EVENTS("b; ");
        end();
    }
    TEST("a timer may cancel timers due in the same millisecond, and later ones") {
        begin();
        uint64_t ids[4] = {0, 0, 0, 0};
        azc_after(server, 10, cancel_all, ids);
        ids[0] = azc_after(server, 10, say, letter(0));
        azc_after(server, 10, say, letter(1));
        ids[1] = azc_after(server, 11, say, letter(2));
        ids[2] = azc_every(server, 5000, say, letter(3));
        pass(9);
        EXPECT_EVENTS("");
        pass(1), pass(10000);
        EXPECT_EVENTS("cancelled; b; ");
        end();
    }
    TEST("bad arguments: 0, or AZC_ERR_ARGUMENT") {
        begin();
        CHECK(azc_after(NULL, 1, say, NULL) == 0 && azc_every(NULL, 1, say, NULL) == 0);
        CHECK(azc_after(server, 1, NULL, NULL) == 0 && azc_every(server, 1, NULL, NULL) == 0);
        CHECK(azc_after(server, -1, say, NULL) == 0 && azc_every(server, -1, say, NULL) == 0);
        CHECK(azc_every(server, 0, say, NULL) == 0);
        CHECK_INT(azc_cancel(NULL, 1), AZC_ERR_ARGUMENT);
        CHECK_INT(azc_post(NULL, say, NULL), AZC_ERR_ARGUMENT);
        CHECK_INT(azc_post(server, NULL, NULL), AZC_ERR_ARGUMENT);
        pass(1 << 30);
        EXPECT_EVENTS("");
        end();
    }
    TEST("azc_destroy frees timers without running them") {
        begin();
        for (int i = 0; i < 100; i++) azc_after(server, i * i * i, say, letter(0));
        azc_every(server, 1, say, letter(1));
        sys.clock += 1000;
        end();
        EXPECT_EVENTS("");
    }
}

/* ---- Against a list that is sorted by hand --------------------------------------------------- */

typedef struct planned {
    uint64_t id;
    long long due;
    int number, every; /* number: in the order set; -1: gone */
} planned;

enum { PLANS = 200 };
static planned plans[PLANS];
static int plan_number, ran[4 * PLANS], ran_count;

static uint32_t random_below(uint32_t n) {
    static uint64_t state = 1;
    state = state * 6364136223846793005u + 1442695040888963407u;
    return (uint32_t)((state >> 32) * n >> 32);
}

static void it_runs(azc_server *s, void *arg) {
    (void)s;
    if (ran_count < 4 * PLANS) ran[ran_count++] = (int)((planned *)arg - plans);
}

/* The plan that is to run next among those due; -1: none is. */
static int plan_due(long long now) {
    int best = -1;
    for (int i = 0; i < PLANS; i++) {
        const planned *p = &plans[i], *b = &plans[best < 0 ? 0 : best];
        if (p->number < 0 || p->due > now) continue;
        if (best < 0 || p->due < b->due || (p->due == b->due && p->number < b->number)) best = i;
    }
    return best;
}

static int some_ms(void) { /* any number of digits, and often the end of a slot */
    int ms = (int)random_below((uint32_t)1 << (1 + random_below(31)));
    return random_below(4) == 0 ? (ms | 31) : random_below(4) == 0 ? (ms & ~1023) : ms;
}

static void plan(planned *p) {
    int ms = some_ms();
    p->every = random_below(4) == 0 && ms > 0 ? ms : 0;
    p->id = p->every ? azc_every(server, ms, it_runs, p) : azc_after(server, ms, it_runs, p);
    CHECK(p->id != 0);
    p->due = sys.clock + (ms > 0 ? ms : 1);
    p->number = plan_number++;
}

static void by_hand(void) {
    static const struct {
        const char *sentence;
        long long clock;
    } starts[] = {{"random timers run as a list sorted by hand says", 1},
                  {"the same where the milliseconds pass 2 to the 31st", (1LL << 31) - 50000},
                  {"the same where they pass 2 to the 32nd, after 50 days", (1LL << 32) - 50000},
                  {"the same where they pass 2 to the 35th, the wheel's span", (1LL << 35) - 50000},
                  {"the same after 100 years", 3155760000000LL}};
    for (size_t k = 0; k < sizeof starts / sizeof starts[0]; k++) TEST(starts[k].sentence) {
        begin_at(starts[k].clock);
        long runs = 0;
        plan_number = 0;
        for (int i = 0; i < PLANS; i++) plans[i].number = -1;
        for (int turn = 0; turn < (quick_run() ? 300 : 3000) && test.bad == 0; turn++) {
            for (int n = (int)random_below(8); n > 0; n--) {
                planned *p = &plans[random_below(PLANS)];
                if (p->number < 0) plan(p);
                else if (random_below(2)) {
                    CHECK_INT(azc_cancel(server, p->id), AZC_OK);
                    p->number = -1;
                }
            }
            ran_count = 0;
            pass(random_below(3) ? (int)random_below(40) : some_ms());
            for (int i = 0; i < ran_count && test.bad == 0; i++, runs++) {
                int due = plan_due(sys.clock);
                CHECK_INT(ran[i], due);
                planned *p = &plans[due < 0 ? 0 : due];
                if (p->every == 0) p->number = -1;
                else p->due += ((sys.clock - p->due) / p->every + 1) * p->every,
                     p->number = plan_number++;
            }
            CHECK_INT(plan_due(sys.clock), -1);
        }
        CHECK(runs > (quick_run() ? 100 : 1000));
        end();
    }
    TEST("azc_after's longest: 24 days and 20 hours to the millisecond, 60 times in a row") {
        begin_at(77);
        for (int i = 0; i < 60; i++) {
            azc_after(server, INT_MAX, say, letter(0));
            pass(INT_MAX - 1);
            EXPECT_EVENTS("");
            pass(1);
            EXPECT_EVENTS("a; ");
        }
        end();
    }
    TEST("azc_every hour for 60 days, turns at odd moments: 1440 times") {
        begin();
        long long start = sys.clock;
        int count = 0;
        azc_every(server, 3600000, say, letter(0));
        while (sys.clock < start + 60LL * 86400000) {
            long long rest = start + 60LL * 86400000 - sys.clock, step = 1 + random_below(700000);
            pass(step < rest ? step : rest);
            count += count_of(tape_text(&events), "a; ");
            tape_clear(&events);
        }
        CHECK_INT(count, 1440);
        end();
    }
    TEST("timers work after the process was stopped for 50 days") {
        begin();
        azc_every(server, 1000, say, letter(0));
        azc_after(server, 10, say, letter(1));
        pass(50LL * 86400000 + 500);
        EXPECT_EVENTS("b; a; ");
        pass(499);
        EXPECT_EVENTS("");
        pass(1);
        EXPECT_EVENTS("a; ");
        end();
    }
    TEST("a clock that fails stands still, and timers set then run when it is back") {
        begin();
        pass(0);
        sys.call = SYS_clock_gettime, sys.nth = sys.calls[SYS_clock_gettime] + 1;
        sys.error = EINVAL, sys.from = 1;
        CHECK(azc_after(server, 10, say, letter(0)) != 0);
        pass(100);
        EXPECT_EVENTS("");
        heal();
        pass(1);
        EXPECT_EVENTS("a; ");
        end();
    }
}

/* ---- What timers may do ---------------------------------------------------------------------- */

static void greet_all(azc_server *s, void *text) {
    (void)s;
    azc_broadcast(served, NULL, (const char *)text, strlen((const char *)text), NULL);
}
static void close_all(azc_server *s, void *arg) {
    say(s, arg);
    for (azc_cursor c = azc_members(served, NULL); azc_cursor_next(&c);) azc_close(c.conn, 4000, "time");
}
static void empty_rooms(azc_server *s, void *arg) {
    say(s, arg);
    for (azc_cursor c = azc_members(served, "room"); azc_cursor_next(&c);) azc_leave(c.conn, "room");
}
static void enter_room(azc_server *s, void *arg) {
    say(s, arg);
    CHECK_INT(azc_join(member_of(served), "room"), AZC_OK);
}
static void note_presence(azc_channel *channel, const char *room, const char *user, int here) {
    CHECK(channel == served && strcmp(room, "room") == 0);
    note("%s %d", user, here);
}
static void bad_calls(azc_server *s, void *arg) {
    say(s, arg);
    CHECK_INT(azc_poll(s, 0), AZC_ERR_STATE);
    CHECK_INT(azc_run(s), AZC_ERR_STATE);
    CHECK_INT(azc_destroy(s), AZC_ERR_STATE);
}

static void callbacks(void) {
    TEST("a timer may send, close, and walk rooms; azc_poll and azc_destroy are AZC_ERR_STATE") {
        begin();
        client *a = join_channel(server, "/t"), *b = join_channel(server, "/t");
        for (azc_cursor c = azc_members(served, NULL); azc_cursor_next(&c);) azc_join(c.conn, "room");
        tape_clear(&events);
        size_t held = server->room_count;
        CHECK(held == 1);
        azc_after(server, 1, greet_all, (void *)(uintptr_t)"tick");
        azc_after(server, 2, empty_rooms, letter(0));
        azc_after(server, 3, bad_calls, letter(1));
        azc_after(server, 4, close_all, letter(2));
        pass(1), EXPECT_TEXT(a, "tick"), EXPECT_TEXT(b, "tick");
        pass(1), CHECK_INT(server->room_count, 0); /* in the turn itself */
        pass(1);
        pass(1), EXPECT_CLOSE(a, 4000, "time"), EXPECT_CLOSE(b, 4000, "time");
        EXPECT_EVENTS("a; b; c; close 4000 time; close 4000 time; ");
        end();
    }
    TEST("the callbacks that a timer causes run before the next timer") {
        azc_channel_desc d = recorder("/t");
        serve_parts.on_presence = note_presence;
        sys.clock = 1000000;
        server = serve(NULL, d);
        join_channel(server, "/t");
        CHECK_INT(azc_set_user(member_of(served), "ada"), AZC_OK);
        tape_clear(&events);
        azc_after(server, 5, enter_room, letter(0));
        azc_after(server, 5, say, letter(1));
        pass(5);
        EXPECT_EVENTS("a; ada 1; b; ");
        azc_post(server, empty_rooms, letter(2));
        azc_post(server, say, letter(3));
        pass(0);
        EXPECT_EVENTS("c; ada 0; d; ");
        end();
    }
    TEST("timers run after the turn's messages, and what they send is sent in that turn") {
        begin();
        client *a = join_channel(server, "/t");
        tape_clear(&events);
        azc_after(server, 5, say, letter(0));
        azc_after(server, 5, greet_all, (void *)(uintptr_t)"after");
        client_text(a, "hello");
        usleep(1000);
        pass(5);
        EXPECT_EVENTS("text hello; a; ");
        client_fill(a); /* without another turn */
        CHECK(a->len > 0);
        EXPECT_TEXT(a, "after");
        end();
    }
    TEST("a stalled peer delays neither timers nor posts nor other peers") {
        azc_config config = quick();
        config.max_message = 1024, config.read_buffer = 4096, config.max_backlog = 16384;
        azc_channel_desc d = recorder("/t");
        d.when_full = AZC_FULL_DROP, d.on_drain = NULL;
        sys.clock = 1000000;
        server = serve(&config, d);
        client *stalled = client_open_to(server, "127.0.0.1", azc_port(server), 1);
        CHECK_INT(client_upgrade(stalled, "/t", ""), 101);
        azc_conn *slow = member_of(served);
        static char data[1000];
        for (int full = 0; full < 100;) {
            full = azc_send_binary(slow, data, sizeof data) == AZC_OK ? 0 : full + 1;
            azc_poll(server, full ? 1 : 0);
        }
        client *well = join_channel(server, "/t");
        tape_clear(&events);
        uint64_t id = azc_every(server, 10, greet_all, (void *)(uintptr_t)"beat");
        for (int i = 0; i < 50; i++) {
            pass(10);
            EXPECT_TEXT(well, "beat");
            CHECK_INT(azc_post(server, say, letter(0)), AZC_OK);
            pass(0);
            EXPECT_EVENTS("a; ");
        }
        CHECK_INT(azc_cancel(server, id), AZC_OK);
        end();
    }
    TEST("without memory azc_after is 0 and changes nothing") {
        begin();
        CHECK(azc_after(server, 10, say, letter(0)) != 0);
        memory.none = 1;
        int set = 0;
        while (azc_after(server, 10, say, letter(1)) != 0 && set < 100) set++;
        CHECK_INT(set, 0);
        memory.none = 0;
        long calls = memory.calls;
        for (int i = 0; i < 100; i++) /* each allocation fails in turn */
            memory.fail = 1, CHECK(azc_after(server, 10, say, letter(1)) == 0 || memory.fail == 1);
        memory.fail = 0;
        CHECK(memory.calls > calls);
        CHECK(azc_after(server, 10, say, letter(2)) != 0);
        pass(10);
        EXPECT_EVENTS("a; c; ");
        end();
    }
    TEST("setting and cancelling again and again takes no more memory") {
        begin();
        azc_cancel(server, azc_after(server, 10, say, NULL));
        size_t before = memory.bytes;
        for (int i = 0; i < 10000; i++) azc_cancel(server, azc_after(server, i, say, NULL));
        CHECK_INT(memory.bytes, before);
        pass(100000);
        EXPECT_EVENTS("");
        end();
    }
}

int main(int argc, char **argv) {
    test_start(argc, argv);
    scene.strict = 1;
    moments();
    cancelling();
    by_hand();
    callbacks();
    return test_end();
}
