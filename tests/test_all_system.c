/* Every system call fails once, with each error it can have and some it cannot; reads and writes
 * move one byte; descriptors run out. The demands are those of test_all_memory.c, and an error that
 * a server must not notice (EINTR, a short write) may not change any step. */
#include "scenario.h"

/* What one piece is sent with. */
enum { SENDS = AZC__FAST ? SYS_send : SYS_sendmsg };

static const int errors[] = {EINTR, EAGAIN, ECONNRESET, EPIPE, EMFILE, ENFILE, ENOBUFS, 0};
enum { ERRORS = sizeof errors / sizeof errors[0] };
static const char *const error_names[] = {"EINTR", "EAGAIN", "ECONNRESET", "EPIPE", "EMFILE",
                                          "ENFILE", "ENOBUFS", "nothing done"};

static long hits[SYS_COUNT], runs, counts[ACTS][SYS_COUNT];

/* Does it make no difference when this call fails like that? */
static int unnoticed(int call, int error) {
    switch (call) {
    case SYS_recv: return error == EINTR || error == EAGAIN;
    case SYS_send: case SYS_sendmsg:
        return error == EINTR || error == EAGAIN || error == ENOBUFS || error == 0;
    case SYS_accept: return error == EINTR || error == EAGAIN || error == ECONNRESET;
#ifdef AZCHAN_USE_EPOLL
    case SYS_epoll_wait: return error == EINTR || error == EAGAIN || error == 0;
#else
    case SYS_poll: return error == EINTR || error == EAGAIN || error == 0;
#endif
    case SYS_write: case SYS_openat: case SYS_pread: return error == EINTR;
    case SYS_read: case SYS_close: case SYS_sendfile: case SYS_sigprocmask: case SYS_getrlimit:
    case SYS_getsockname: case SYS_clock_gettime: return error != 0;
    default: return 0;
    }
}

/* "Nothing done" is an answer only of these. */
static int possible(int call, int error) {
    return error != 0 || call == SYS_recv || call == SYS_send || call == SYS_sendmsg ||
#ifdef AZCHAN_USE_EPOLL
           call == SYS_epoll_wait ||
#else
           call == SYS_poll ||
#endif
           call == SYS_write || call == SYS_read;
}

static void fail(int a, int call, long n, int error) {
    int bad = test.bad;
    sys.call = call, sys.nth = n, sys.error = errors[error], sys.from = 0;
    scene.strict = unnoticed(call, errors[error]);
    perform(&acts[a], n % 2 && !scene.strict);
    hits[call] += sys.hits;
    runs++;
    if (test.bad > bad)
        printf("    %s, with %s number %ld of %ld failing: %s\n", acts[a].name, sys_names[call], n,
               counts[a][call], error_names[error]);
}

/* Calls of a kind fail in an act, one a run, with one error after the other. What is made often is
 * sampled, so that all of it takes seconds; with TEST_FULL each call fails with each error. */
static void fail_each(int a, int call) {
    int often = call == SYS_recv || call == SYS_send || call == SYS_sendmsg || call == SYS_accept;
    long count = counts[a][call], most = quick_run() ? 1 : often ? 40 : 12;
    long step = full_run() || count <= most ? 1 : (count + most - 1) / most, turn = a + call;
    int all = full_run() || call == SYS_write || call == SYS_connect || call == SYS_unlink;
    for (long n = 1 + (a + call) % step; n <= count; n += step) {
        for (int e = 0; all && e < ERRORS; e++)
            if (possible(call, errors[e])) fail(a, call, n, e);
        while (!possible(call, errors[turn % ERRORS])) turn++;
        if (!all) fail(a, call, n, (int)(turn++ % ERRORS));
    }
}

static void once_each(void) {
    for (int a = 0; a < ACTS; a++) {
        char sentence[100];
        sys.nth = 0, scene.strict = 1;
        snprintf(sentence, sizeof sentence, "%s: without failures", acts[a].name);
        test_begin(sentence); /* whether it is asked for or not: the others need the counts */
        perform(&acts[a], 0);
        memcpy(counts[a], sys.calls, sizeof counts[a]);
    }
    for (int call = 0; call < SYS_COUNT; call++) {
        char sentence[100];
        snprintf(sentence, sizeof sentence, "each %s fails once", sys_names[call]);
        TEST(sentence) for (int a = 0; a < ACTS; a++) fail_each(a, call);
    }
}

static void in_pieces(void) {
    static const struct {
        const char *sentence;
        size_t in, out;
    } sizes[] = {{"every read brings one byte", 1, 0}, {"every write takes one byte", 0, 1},
                 {"reads and writes move one byte", 1, 1},
                 {"reads bring 7 bytes, writes take 13", 7, 13}};
    for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++)
        TEST(sizes[i].sentence) for (int a = 0; a < ACTS; a++) {
            int bad = test.bad;
            int heavy = acts[a].play == act_of_crowds || acts[a].play == act_of_pages ||
                        acts[a].play == act_of_backlogs;
            if (heavy && (i == 2 || quick_run())) continue;
            sys.nth = 0, scene.strict = 1;
            size_t times = quick_run() ? 16 : 1;
            sys.most_in = sizes[i].in * times, sys.most_out = sizes[i].out * times;
            perform(&acts[a], 0);
            runs++;
            if (test.bad > bad) printf("    %s\n", acts[a].name);
        }
}

/* ---- Running out of descriptors -------------------------------------------------------------- */

static void begin(azc_config config) {
    heal();
    choose_port();
    scene.strict = 1, patience = waiting(), sys.hasty = 0;
    memset(sys.calls, 0, sizeof sys.calls);
    config.port = act_port;
    stage(config);
}

static long waits(void) {
#ifdef AZCHAN_USE_EPOLL
    return sys.calls[SYS_epoll_wait];
#else
    return sys.calls[SYS_poll];
#endif
}

static void end(void) {
    unstage();
    CHECK_INT(memory.bytes, 0);
    CHECK_INT(memory.blocks, 0);
}

/* Let time pass, as azc_run would. Returns how many ms it was. */
static long run_for(int ms) {
    long long start = now_ms();
    for (long long left; (left = start + ms - now_ms()) > 0;) azc_poll(scene.server, (int)left);
    return (long)(now_ms() - start);
}

static void out_of_descriptors(void) {
    static const int full[] = {EMFILE, ENFILE, ENOBUFS, ENOMEM};
    for (size_t i = 0; i < sizeof full / sizeof full[0]; i++) {
        char sentence[100];
        snprintf(sentence, sizeof sentence, "accept pauses, and resumes: %s", strerror(full[i]));
        TEST(sentence) {
            begin(act_config());
            client *old = enter("/act/old");
            sys.call = SYS_accept, sys.nth = sys.calls[SYS_accept] + 1, sys.error = full[i];
            sys.from = 1;
            client *c = arrive(), *d = arrive();
            long polls = waits(), accepts = sys.calls[SYS_accept];
            long ms = run_for(450);
            accepts = sys.calls[SYS_accept] - accepts, polls = waits() - polls;
            CHECK(accepts >= 2 && accepts <= ms / 100 + 2); /* every 100 ms */
            CHECK(polls <= 2 * accepts + 4);
            put_text(old, "served"), get_text(old, "served"); /* meanwhile */
            heal();
            long long before = now_ms();
            c = shake(c, "/act/c", ""), put_text(c, "hello"), get_text(c, "hello");
            CHECK(now_ms() - before < 1000);
            d = shake(d, "/act/d", ""), put_text(d, "hello"), get_text(d, "hello");
            end();
        }
    }
    TEST("when a connection closes while accept pauses, the next peer is served at once") {
        begin(act_config());
        client *old = enter("/act/old");
        sys.call = SYS_accept, sys.nth = sys.calls[SYS_accept] + 1, sys.error = EMFILE;
        client *c = arrive();
        azc_poll(scene.server, 0);
        CHECK_INT(sys.hits > 0 && scene.server->accept_paused, 1);
        client_close(old);
        settle(scene.server);
        CHECK_INT(azc_stats(scene.server)->connections, 1);
        CHECK(!scene.server->accept_paused);
        c = shake(c, "/act/c", ""), put_text(c, "hello"), get_text(c, "hello");
        end();
    }
    if (quick_run()) return; /* valgrind has descriptors of its own */
    TEST("a real EMFILE: newcomers wait, the loop does not spin, then they are served") {
        struct rlimit limit, less;
        begin(act_config());
        client *old = enter("/act/old"), *c[3];
        for (int i = 0; i < 3; i++) c[i] = arrive();
        int next = dup(0);
        close(next);
        getrlimit(RLIMIT_NOFILE, &limit);
        less = limit, less.rlim_cur = (rlim_t)next;
        CHECK(setrlimit(RLIMIT_NOFILE, &less) == 0);
        long polls = waits();
        long ms = run_for(250);
        CHECK(waits() - polls <= ms / 50 + 6);
        put_text(old, "served"), get_text(old, "served");
        CHECK_INT(azc_stats(scene.server)->connections, 1);
        setrlimit(RLIMIT_NOFILE, &limit);
        for (int i = 0; i < 3; i++)
            c[i] = shake(c[i], "/act/c", ""), put_text(c[i], "hello"), get_text(c[i], "hello");
        end();
    }
}

/* ---- A server that cannot listen ------------------------------------------------------------ */

static void deaf(void) {
    static const struct { int error, code; } cases[] = {
        {EADDRINUSE, AZC_ERR_IN_USE}, {EADDRNOTAVAIL, AZC_ERR_ADDRESS}, {EACCES, AZC_ERR_ADDRESS},
        {EAFNOSUPPORT, AZC_ERR_ADDRESS}, {ENOENT, AZC_ERR_ADDRESS}, {ENOTDIR, AZC_ERR_ADDRESS},
        {ENOBUFS, AZC_ERR_SYSTEM}};
    static const int calls[] = {SYS_socket, SYS_bind, SYS_listen};
    char host[100];
    snprintf(host, sizeof host, "unix:/tmp/azchan-deaf-%ld", (long)getpid());
    TEST("each reason why listening fails has its own error, and leaves nothing behind")
        for (size_t i = 0; i < sizeof cases / sizeof cases[0] * 3; i++) {
            azc_config config;
            memset(&config, 0, sizeof config);
            config.host = host;
            heal();
            azc_server *server = azc_create(&config);
            sys.call = calls[i % 3], sys.nth = sys.calls[sys.call] + 1,
            sys.error = cases[i / 3].error;
            CHECK_INT(azc_listen(server), cases[i / 3].code);
            CHECK(strstr(azc_error(server), strerror(cases[i / 3].error)) != NULL);
            CHECK(access(host + 5, F_OK) < 0);
            azc_destroy(server);
        }
    heal();
}

/* ---- A connection that breaks ---------------------------------------------------------------- */

static void broken(void) {
    static const int calls[] = {SYS_recv, SENDS};
    static const int fatal[] = {ECONNRESET, EPIPE, ETIMEDOUT, EHOSTUNREACH, EBADF};
    for (int i = 0; i < 2; i++) {
        char sentence[100];
        snprintf(sentence, sizeof sentence, "a %s with a fatal error ends its connection with 1006",
                 sys_names[calls[i]]);
        TEST(sentence) for (size_t e = 0; e < sizeof fatal / sizeof fatal[0]; e++) {
            begin(act_config());
            client *a = enter("/act/a"), *b = enter("/act/b");
            scene.closed = 0;
            sys.call = calls[i], sys.nth = sys.calls[calls[i]] + 1, sys.error = fatal[e];
            put_text(a, "hello");
            settle(scene.server);
            CHECK_INT(scene.closed, 1);
            CHECK_INT(scene.code, 1006);
            CHECK_INT(azc_stats(scene.server)->connections, 1);
            put_text(b, "hello"), get_text(b, "hello");
            get_end(a);
            end();
        }
    }
}

/* ---- Sends that do nothing: poll reports room, but the kernel has no buffers ----------------- */

static void stuck(void) {
    static const int nothing[] = {ENOBUFS, EAGAIN, 0}; /* EAGAIN although poll reports room */
    for (size_t i = 0; i < sizeof nothing / sizeof nothing[0]; i++) {
        char sentence[100];
        snprintf(sentence, sizeof sentence, "sends that do nothing are retried, not at once: %s",
                 nothing[i] ? strerror(nothing[i]) : "0 bytes");
        TEST(sentence) {
            begin(act_config());
            client *a = enter("/act/a"), *b = enter("/act/b"), *c = arrive();
            sys.call = SENDS, sys.nth = sys.calls[SENDS] + 1, sys.error = nothing[i];
            sys.from = 1;
            put_text(a, "hello"), put_text(b, "hello");
            if (c) client_print(c, GET("/") "Connection: close\r\n\r\n");
            settle(scene.server);
            long polls = waits(), sends = sys.calls[SENDS];
            long ms = run_for(450);
            polls = waits() - polls, sends = sys.calls[SENDS] - sends;
            CHECK(sends >= 6 && sends <= 3 * (ms / 100 + 2)); /* every 100 ms */
            CHECK(polls <= ms / 100 + 8);
            heal();
            long long before = now_ms();
            get_text(a, "hello"), get_text(b, "hello"), ask(c, "", 200, 0);
            put_text(b, "on it goes"), get_text(b, "on it goes");
            CHECK(now_ms() - before < 1000);
            end();
        }
        snprintf(sentence, sizeof sentence, "sends that never do anything meet a deadline: %s",
                 nothing[i] ? strerror(nothing[i]) : "0 bytes");
        TEST(sentence) {
            begin(act_config());
            scene.opened = scene.closed = 0;
            client *a = enter("/act/a"), *b = enter("/act/b"), *c = arrive(), *d = arrive();
            sys.call = SENDS, sys.nth = sys.calls[SENDS] + 1, sys.error = nothing[i];
            sys.from = 1;
            put_text(a, "hello"), put_text(b, "close 1000");
            if (c) client_print(c, GET("/") "\r\n");
            if (d) client_print(d, GET("/") "Connection: close\r\n\r\n");
            settle(scene.server);
            CHECK_INT(azc_stats(scene.server)->connections, 4);
            skip(3001); /* close_ms: b and d */
            CHECK_INT(azc_stats(scene.server)->connections, 2);
            skip(10001), skip(10001); /* handshake_ms, once more for the request that came: c */
            CHECK_INT(azc_stats(scene.server)->connections, 1);
            skip(30001), skip(30001), skip(10001); /* ping_ms, pong_ms: a */
            CHECK_INT(azc_stats(scene.server)->connections, 0);
            CHECK_INT(scene.closed, scene.opened);
            end();
        }
    }
}

/* ---- A kernel that takes much, and then no more ---------------------------------------------- */

static void second_send(void) { sys.nth = sys.calls[SYS_sendmsg] + 2; }

static void full_kernel(void) {
    TEST("EAGAIN after all of many pieces were sent means a full kernel: the loop polls") {
        azc_config config = act_config();
        config.max_backlog = 128 << 10, config.max_message = config.read_buffer = 2048;
        begin(config);
        client *a = enter("/act/a");
        azc_conn *conn = scene.room ? member_of(scene.room) : NULL;
        for (int i = 0; i < 120; i++) azc_send_binary(conn, bulk, 1000);
        int pieces = 0;
        for (azc__piece *p = conn ? conn->out.head : NULL; p; p = p->next) pieces++;
        CHECK(pieces > AZC__MAX_IOV + 1);
        long hits = sys.hits;
        sys.call = SYS_sendmsg, sys.nth = sys.calls[SYS_sendmsg] + 1, sys.error = EAGAIN;
        sys.before_wait = second_send; /* poll reports room, and one send succeeds */
        azc_poll(scene.server, 0);
        sys.before_wait = NULL;
        CHECK_INT(sys.hits - hits, 2);
        CHECK(azc_backlog(conn) > 0 && azc_backlog(conn) < 120 * 1004);
        CHECK(!scene.server->retrying);
        azc_poll(scene.server, 0);
        CHECK_INT(azc_backlog(conn), 0);
        for (int i = 0; i < 120; i++) get(a, BINARY, bulk, 1000);
        end();
    }
}

/* ---- Nothing spins: a server whose peers do nothing sleeps ----------------------------------- */

static void sleeps_well(void) {
    TEST("the loop sleeps while peers owe only a Close, the end of TCP or a head") {
        azc_config config = act_config();
        config.max_message = config.read_buffer = 2048, config.max_backlog = 8192;
        begin(config);
        client *a = enter("/drop"), *b = enter("/act/b"), *c = enter("/act/c"), *d = arrive();
        azc_conn *owes = member_of(scene.drop);
        fill(owes); /* it owes an on_drain now */
        azc_close(owes, 1000, "");
        put_text(b, "close 1000"), get_close(b, 1000);
        client_bye(c, 1000, ""), get_close(c, 1000), get_end(c);
        if (d) client_print(d, "GET / HT");
        for (frame f; client_read(a, &f) && f.opcode == BINARY;) continue;
        settle(scene.server);
        long polls = waits();
        run_for(200);
        CHECK(waits() - polls <= 4);
        end();
    }
    TEST("no act makes the loop spin") {
        for (int a = 0; a < ACTS; a++) {
            sys.nth = 0, scene.strict = 1;
            perform(&acts[a], 0);
            long moved = sys.calls[SYS_recv] + sys.calls[SYS_send] + sys.calls[SYS_sendmsg] +
                         sys.calls[SYS_accept] + sys.calls[SYS_clock_gettime];
            CHECK(moved < 6000);
        }
    }
}

int main(int argc, char **argv) {
    test_start(argc, argv);
    signal(SIGPIPE, SIG_DFL); /* one that comes kills the test, as it should */
    once_each();
    in_pieces();
    deaf();
    broken();
    stuck();
    full_kernel();
    out_of_descriptors();
    sleeps_well();
    long all = 0;
    for (int call = 0; call < SYS_COUNT; call++) all += hits[call];
    printf("test_all_system: %ld calls failed in %ld runs:", all, runs);
    for (int call = 0; call < SYS_COUNT; call++) printf(" %s %ld", sys_names[call], hits[call]);
    printf("\n");
    return test_end();
}
