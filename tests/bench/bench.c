/* bench.c: what azchan.h costs over the floor, and what others cost.
 *
 *     bench --dir FOLDER --peers FOLDER [--quick] [--one-core] [--only WORD] [--fan | --uring]
 *
 * --dir: holds floor, server, ops and, where they could be built, server_epoll and peer_lws; the
 * results go there too, for draw.c. --peers: holds peer_ws.mjs, peer_bun.mjs and what package.json
 * names, if it is installed. --fan: rooms of all sizes instead, see fan_work; --uring: io_uring's
 * floor beside epoll's. Each work is measured in rounds: in every round each server has a slice, in
 * turn, so that whatever the machine does meanwhile happens to all of them. A slice's figure is the
 * server's own CPU time over the messages in it; a round's ratio is that to the floor's slice of
 * the same round. Printed are the least and the median of each. */
#include "count.h"

enum { FLOOR, AZCHAN, FLOOR_EPOLL, AZCHAN_EPOLL, FLOOR_URING, BUN, LWS, WS, KINDS,
       MAX_SAMPLES = 64 };
enum { ALL_POLL = 1 << FLOOR | 1 << AZCHAN | 1 << BUN | 1 << LWS | 1 << WS,
       ALL_EPOLL = 1 << FLOOR_EPOLL | 1 << AZCHAN_EPOLL, OURS = 1 << FLOOR | 1 << AZCHAN };

static const char *const kind_names[KINDS] = {"floor", "azchan", "floor epoll", "azchan epoll",
                                              "floor io_uring", "bun", "libwebsockets", "ws"};
static const int floor_of[KINDS] = {FLOOR, FLOOR, FLOOR_EPOLL, FLOOR_EPOLL, FLOOR_EPOLL, FLOOR,
                                    FLOOR, FLOOR};

static char programs[KINDS][512]; /* "": not installed */
static char ws_script[512], bun_script[512], peers[400], folder[400];
static const char *only;
static int quick, fan, uring;
static double deadline;
static FILE *results;

/* ---- Candidates ------------------------------------------------------------------------------ */

static server start(int kind, const char *max_message) {
    char node[] = "node", epoll[] = "epoll", limit[32] = "";
    char *argv[4] = {programs[kind], NULL, NULL, NULL};
    if (kind == WS) argv[0] = node, argv[1] = ws_script;
    if (kind == BUN) argv[1] = bun_script;
    if (kind == FLOOR_EPOLL) argv[1] = epoll;
    if (max_message != NULL && (kind == AZCHAN || kind == AZCHAN_EPOLL)) {
        snprintf(limit, sizeof limit, "%s", max_message);
        argv[1] = limit;
    }
    return server_start(argv);
}

static void find_program(int kind, const char *name) {
    snprintf(programs[kind], sizeof programs[kind], "%s/%s", folder, name);
    if (access(programs[kind], X_OK) != 0) programs[kind][0] = 0;
}

/* node is there, and the package. */
static void find_ws(void) {
    char command[1200];
    snprintf(ws_script, sizeof ws_script, "%s/peer_ws.mjs", peers);
    snprintf(command, sizeof command, "command -v node >/dev/null && test -d '%s/../interop/"
             "node_modules/ws'", peers);
    if (system(command) == 0) snprintf(programs[WS], sizeof programs[WS], "node");
}

static void find_bun(void) {
    char command[1200];
    snprintf(bun_script, sizeof bun_script, "%s/peer_bun.mjs", peers);
    snprintf(programs[BUN], sizeof programs[BUN], "%s/node_modules/.bin/bun", peers);
    snprintf(command, sizeof command, "'%s' --version >/dev/null 2>&1", programs[BUN]);
    if (system(command) != 0) programs[BUN][0] = 0;
}

static int present(int kinds, int kind) { return kinds >> kind & 1 && programs[kind][0] != 0; }

/* ---- Figures --------------------------------------------------------------------------------- */

typedef struct samples {
    double values[MAX_SAMPLES];
    int count;
} samples;

static int ascending(const void *a, const void *b) {
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static double least(const samples *s) {
    double best = s->values[0];
    for (int i = 1; i < s->count; i++) best = s->values[i] < best ? s->values[i] : best;
    return best;
}

static double median(const samples *s) {
    samples sorted = *s;
    qsort(sorted.values, (size_t)s->count, sizeof(double), ascending);
    int half = s->count / 2;
    return s->count % 2 ? sorted.values[half]
                        : (sorted.values[half - 1] + sorted.values[half]) / 2;
}

static void sample(samples *s, double value) {
    if (s->count < MAX_SAMPLES) s->values[s->count++] = value;
}

/* For draw.c: what, who, figure, goal (0: none), label; tabs between. */
static void result(const char *key, const char *who, double figure, double goal,
                   const char *label) {
    fprintf(results, "%s\t%s\t%.6g\t%.6g\t%s\n", key, who, figure, goal, label);
    fflush(results); /* an alarm may end it all */
}

static const char *verdict(double figure, double goal) {
    return goal <= 0 ? "" : figure <= goal ? "  met" : "  missed";
}

/* One line for each figure that has no floor. */
static void figure(const char *key, const char *who, const char *label, double value, double goal,
                   const char *unit) {
    char wanted[32] = "";
    if (goal > 0) snprintf(wanted, sizeof wanted, "goal %.4g", goal);
    printf("  %-46s %-13s %12.4g %-12s %-12s%s\n", label, who, value, unit, wanted,
           verdict(value, goal));
    result(key, who, value, goal, label);
    fflush(stdout);
}

/* The last resort on a machine too busy to bench on: what there is must do. */
static void on_alarm(int signum) {
    static const char words[] = "  the rest: skipped, out of time\n";
    (void)signum;
    for (int i = 0; i < MAX_SERVERS; i++)
        if (children[i] > 0) kill(children[i], SIGKILL);
    _exit(write(1, words, sizeof words - 1) < 0);
}

static int wanted(const char *key) {
    if (only != NULL && strstr(key, only) == NULL) return 0;
    if (now_seconds() < deadline) return 1;
    printf("  %s: skipped, out of time\n", key);
    return 0;
}

/* ---- Work whose measure is CPU time ---------------------------------------------------------- */

typedef enum shape { ECHO, ROOM, HANDSHAKE } shape;

typedef struct work {
    const char *key, *label, *per; /* per: what is counted */
    shape kind;
    int conns, depth, idle;        /* idle: silent members of a room beside them */
    size_t size;
    double goal;
    int kinds;
    int solo; /* too many connections for all servers at once: one after the other */
} work;

typedef struct run {
    server server;
    load load, idle;
} run;

static double one_batch(const work *w, run *r) {
    return w->kind == ECHO ? batch_echo(&r->load)
           : w->kind == ROOM ? batch_room(&r->load) : batch_handshake(&r->load);
}

/* Work for so long; returns the server's microseconds for one message. */
static double slice(const work *w, run *r, double seconds) {
    double begun = now_seconds(), cpu = server_cpu(&r->server), done = 0;
    do done += one_batch(w, r);
    while (now_seconds() < begun + seconds);
    return (server_cpu(&r->server) - cpu) / done * 1e6;
}

static void run_begin(run *r, int kind, const work *w) {
    r->server = start(kind, NULL);
    memset(&r->idle, 0, sizeof r->idle);
    if (w->idle > 0) r->idle = load_open(&r->server, "/room", w->idle, 1, 1);
    r->load = load_open(&r->server, w->kind == ROOM ? "/room" : "/echo",
                        w->kind == HANDSHAKE ? 0 : w->conns, w->size, w->depth);
    int compiled = kind != WS && kind != BUN;
    slice(w, r, compiled ? 0.03 : quick ? 0.2 : 0.4); /* a just-in-time compiler needs its time */
}

static void run_end(run *r) {
    load_close(&r->load);
    load_close(&r->idle);
    server_end(&r->server);
}

/* generations: each starts the servers anew, for the luck of their layout in memory. */
static void measure(const work *w, int generations, int rounds, double seconds, samples *cpu) {
    run runs[KINDS];
    for (int g = 0; g < generations && (g == 0 || now_seconds() < deadline); g++) {
        for (int k = 0; k < KINDS && !w->solo; k++)
            if (present(w->kinds, k)) run_begin(&runs[k], k, w);
        for (int i = 0; i < (w->solo ? KINDS : rounds * KINDS); i++) {
            int k = (i + i / KINDS) % KINDS; /* each round begins with another */
            if (!present(w->kinds, k)) continue;
            if (w->solo) run_begin(&runs[k], k, w);
            for (int j = 0; j < (w->solo ? rounds : 1); j++)
                sample(&cpu[k], slice(w, &runs[k], seconds));
            if (w->solo) run_end(&runs[k]);
        }
        for (int k = 0; k < KINDS && !w->solo; k++)
            if (present(w->kinds, k)) run_end(&runs[k]);
    }
}

static void ratios(const samples *mine, const samples *floor, samples *out) {
    out->count = 0;
    for (int i = 0; i < mine->count && i < floor->count; i++)
        sample(out, mine->values[i] / floor->values[i]);
}

static void cpu_work(const work *w) {
    samples cpu[KINDS], ratio;
    if (!wanted(w->key)) return;
    memset(cpu, 0, sizeof cpu);
    measure(w, quick ? 2 : 7, quick ? 2 : 3, quick ? 0.03 : 0.06, cpu);
    printf("%s\n", w->label);
    for (int k = 0; k < KINDS; k++) {
        int base = floor_of[k];
        if (cpu[k].count == 0) continue;
        double goal = k == AZCHAN || k == AZCHAN_EPOLL ? w->goal : 0;
        ratios(&cpu[k], &cpu[base], &ratio);
        double low = least(&cpu[k]) / least(&cpu[base]), mid = median(&ratio);
        printf("  %-14s %9.3f us %9.3f us a %-10s", kind_names[k], least(&cpu[k]),
               median(&cpu[k]), w->per);
        if (k != base) printf(" %7.2f %7.2f of the floor", low, mid);
        if (goal > 0) printf("  goal %.2f%s", goal, verdict(mid, goal));
        putchar('\n');
        result(w->key, kind_names[k], k == base ? median(&cpu[k]) : mid, goal, w->label);
    }
    fflush(stdout);
}

/* Rooms of all sizes, one line each: ns of CPU time a delivery, and the ratio to the floor of the
 * same kind. */
static void fan_work(void) {
    static const int conns[] = {10, 500, 10000}, depths[] = {1, 4, 16, 64, 256};
    static const size_t sizes[] = {16, 64, 300, 2000};
    int most = most_connections() - 100, worst = 0, rows = 0;
    printf("ns of CPU time a delivery, and the median of the rounds' ratios to the floor\n"
           "  room  bytes  in flight");
    for (int k = 0; k < KINDS; k++)
        if (programs[k][0] != 0 && k <= BUN && k != FLOOR_URING) printf("  %16s", kind_names[k]);
    putchar('\n');
    for (int i = 0; i < 60 && now_seconds() < deadline; i++) {
        work w = {"fan", "", "delivery", ROOM, conns[i / 20], depths[i % 5], 0, sizes[i / 5 % 4],
                  1.15, 1 << FLOOR | 1 << AZCHAN | 1 << BUN | ALL_EPOLL, 0};
        samples cpu[KINDS], ratio;
        double all = (double)w.conns * w.depth * (double)w.size / 1e6;
        if (w.conns > most || all > 1300) {
            printf("%6d %6zu %10d  skipped: needs %d descriptors, and up to %.0f MB in the kernel\n",
                   w.conns, w.size, w.depth, w.conns, all);
            continue;
        }
        w.solo = w.conns * 5 > most;
        memset(cpu, 0, sizeof cpu);
        measure(&w, quick ? 1 : w.solo ? 3 : 2, quick || w.solo ? 3 : 5,
                w.conns > 1000 ? 0.15 : 0.05, cpu);
        printf("%6d %6zu %10d", w.conns, w.size, w.depth);
        for (int k = 0; k < KINDS; k++) {
            if (!present(w.kinds, k)) continue;
            ratios(&cpu[k], &cpu[floor_of[k]], &ratio);
            printf("  %8.0f (%5.2f)", median(&cpu[k]) * 1e3, median(&ratio));
            if (k != AZCHAN && k != AZCHAN_EPOLL) continue;
            rows++;
            worst += median(&ratio) > w.goal;
        }
        putchar('\n');
        fflush(stdout);
    }
    printf("%d of %d rows of azchan over 1.15 of the floor\n", worst, rows);
}

/* What io_uring could save: its floor beside that of epoll. */
static void uring_work(void) {
    enum { WHO = 1 << FLOOR_URING | ALL_EPOLL };
    static const work list[] = {
        {"uring", "echo 64 bytes, 32 connections, one at a time", "message", ECHO, 32, 1, 0, 64,
         0, WHO, 0},
        {"uring", "echo 64 bytes, 32 connections, bursts of 32", "message", ECHO, 32, 32, 0, 64, 0,
         WHO, 0},
        {"uring", "echo 64 bytes, 500 connections, one at a time", "message", ECHO, 500, 1, 0, 64,
         0, WHO, 0},
        {"uring", "echo 64 bytes, 4,000 connections, one at a time", "message", ECHO, 4000, 1, 0,
         64, 0, WHO, 0},
        {"uring", "room of 500, 64 bytes, one message at a time", "delivery", ROOM, 500, 1, 0, 64,
         0, WHO, 0},
        {"uring", "room of 500, 64 bytes, 16 messages in flight", "delivery", ROOM, 500, 16, 0, 64,
         0, WHO, 0},
    };
    for (size_t i = 0; i < sizeof list / sizeof *list; i++) cpu_work(&list[i]);
}

/* The cost of a message as connections grow, all of them active. */
static void active_work(void) {
    static const int counts[] = {1, 10, 100, 1000, 10000};
    double us[2] = {0, 0}, first[2] = {0, 0}, last[2] = {0, 0};
    int most = most_connections(), used = 0;
    if (!wanted("active")) return;
    printf("echo 64 bytes, all connections active (median us a message)\n");
    for (int i = 0; i < (quick ? 4 : 5) && now_seconds() < deadline; i++) {
        work w = {"active", "", "message", ECHO, 0, 1, 0, 64, 0, OURS, 0};
        samples cpu[KINDS];
        char key[32];
        memset(cpu, 0, sizeof cpu);
        used = w.conns = counts[i] < most ? counts[i] : most;
        w.solo = 2 * used > most;
        measure(&w, quick ? 1 : 3, 3, quick ? 0.03 : 0.07, cpu);
        for (int k = FLOOR; k <= AZCHAN; k++) {
            us[k] = last[k] = median(&cpu[k]);
            if (i == 0) first[k] = us[k];
        }
        printf("  %6d connections  floor %7.3f  azchan %7.3f  %5.2f of the floor\n", used,
               us[FLOOR], us[AZCHAN], us[AZCHAN] / us[FLOOR]);
        snprintf(key, sizeof key, "active %d", used);
        result(key, "floor", us[FLOOR], 0, "us a message");
        result(key, "azchan", us[AZCHAN], 0, "us a message");
    }
    double growth = last[AZCHAN] / first[AZCHAN];
    printf("  %d over 1: floor %.2f, azchan %.2f  goal 1.30%s\n", used,
           last[FLOOR] / first[FLOOR], growth, verdict(growth, 1.3));
    result("active growth", "floor", last[FLOOR] / first[FLOOR], 0, "last over first");
    result("active growth", "azchan", growth, 1.3, "last over first");
}

/* ---- Work whose measure is memory ------------------------------------------------------------ */

/* Resident bytes of a connection that is in a room and silent. The first hundred are not counted:
 * they touch the code. */
static void idle_memory(int kind, int count) {
    server s = start(kind, NULL);
    load warm = load_open(&s, "/room", 100, 1, 1);
    load_close(&warm);
    usleep(200000);
    double before = server_resident(&s);
    load l = load_open(&s, "/room", count, 1, 1);
    usleep(200000);
    double each = (server_resident(&s) - before) / count;
    char label[64];
    snprintf(label, sizeof label, "one of %d idle connections, in a room", count);
    figure("idle memory", kind_names[kind], label, each, kind == AZCHAN ? 256 : 0, "bytes");
    load_close(&l);
    server_end(&s);
}

/* One 16 MiB message there and back: by how much did the process grow at most? */
static void large_memory(int kind) {
    server s = start(kind, "16777216");
    load small = load_open(&s, "/echo", 1, 64, 1);
    batch_echo(&small);
    load l = load_open(&s, "/echo", 1, 16 << 20, 1);
    double before = server_resident(&s);
    server_peak_reset(&s);
    batch_echo(&l);
    figure("large memory", kind_names[kind], "peak of a 16 MiB echo", (server_peak(&s) - before) /
           (1 << 20), kind == AZCHAN ? 33 : 0, "MiB");
    load_close(&l);
    load_close(&small);
    server_end(&s);
}

/* A 64 KiB broadcast to members of whom half do not read. */
static void stalled_memory(int kind, int count) {
    server s = start(kind, NULL);
    load l = load_open(&s, "/room", count / 2, 64, 1);
    load_add(&l, count / 2, 1);
    l.count = count / 2; /* the others never read */
    batch_room(&l);
    free(l.batch);
    free(l.answer);
    l.batch = (char *)malloc((64 << 10) + 14);
    l.answer = (char *)malloc((64 << 10) + 14);
    if (l.batch == NULL || l.answer == NULL) die("out of memory");
    l.batch_len = frame(l.batch, 64 << 10, 1);
    l.answer_len = frame(l.answer, 64 << 10, 0);
    double before = server_resident(&s);
    server_peak_reset(&s);
    batch_room(&l);
    double grown = (server_peak(&s) - before) / 1024;
    char label[64];
    snprintf(label, sizeof label, "64 KiB to %d, half of them stalled: peak", count);
    /* The frame, the message it came from, and for each of the stalled where it stands. */
    figure("stalled memory", kind_names[kind], label, grown, kind == AZCHAN ? 128 + count / 8 : 0,
           "KiB");
    l.count = count;
    load_close(&l);
    server_end(&s);
}

static void memory_work(void) {
    static const int who[] = {AZCHAN, LWS, WS, AZCHAN_EPOLL};
    int most = most_connections() - 100, idle = quick ? 2000 : 5000;
    printf("memory\n");
    for (int i = 0; i < 4 && wanted("idle memory"); i++)
        if (programs[who[i]][0] != 0) idle_memory(who[i], idle < most ? idle : most);
    for (int i = 0; i < 3 && wanted("large memory"); i++)
        if (programs[who[i]][0] != 0) large_memory(who[i]);
    for (int i = 0; i < 3 && wanted("stalled memory"); i++)
        if (programs[who[i]][0] != 0) stalled_memory(who[i], 1000 < most ? 1000 : most);
}

/* ---- Work that is counted -------------------------------------------------------------------- */

static void instruction_work(void) {
    char file[512];
    const int few = 10, many = quick ? 1000 : 10000;
    static const char *const ops[] = {"deadlines", "rooms", "ids", "timers", "beats"};
    snprintf(file, sizeof file, "%s/callgrind.out", folder);
    figure("instructions 1", "azchan", "instructions of an echo, one at a time",
           count_instructions(programs[AZCHAN], &ECHO_ONE, file), 400, "");
    figure("instructions 32", "azchan", "instructions of an echo, in bursts of 32",
           count_instructions(programs[AZCHAN], &ECHO_BURST, file), 200, "");
    for (int i = 0; i < 5 && now_seconds() < deadline; i++) {
        char label[80];
        double first = count_operation(folder, ops[i], few);
        double last = count_operation(folder, ops[i], many);
        snprintf(label, sizeof label, "%s: %.0f instructions, %d or %d of them", ops[i], first,
                 few, many);
        figure(ops[i], "azchan", label, last / first, 1.1, "times");
    }
}

static void call_work(int kind, double goal_one, double goal_burst) {
    char file[512];
    if (programs[kind][0] == 0) return;
    snprintf(file, sizeof file, "%s/strace.out", folder);
    figure("calls 1", kind_names[kind], "system calls of an echo, one at a time",
           count_calls(programs[kind], &ECHO_ONE, file), goal_one, "");
    figure("calls 32", kind_names[kind], "system calls of an echo, in bursts of 32",
           count_calls(programs[kind], &ECHO_BURST, file), goal_burst, "");
}

static void count_work(void) {
    printf("counted, the same in every run\n");
    if (!have("valgrind")) printf("  instructions: skipped, valgrind is missing\n");
    else if (wanted("instructions")) instruction_work();
    if (!can_trace()) printf("  system calls: skipped, strace is missing or may not trace\n");
    else if (wanted("calls")) {
        call_work(AZCHAN, 2.1, 0.07);
        call_work(AZCHAN_EPOLL, 2.1, 0.07);
        if (!quick) call_work(LWS, 0, 0);
    }
}

/* ---------------------------------------------------------------------------------------------- */

static void options(int argc, char **argv, int *share_core) {
    for (int i = 1; i < argc; i++) {
        const char *value = i + 1 < argc ? argv[i + 1] : "";
        if (strcmp(argv[i], "--quick") == 0) quick = 1;
        else if (strcmp(argv[i], "--one-core") == 0) *share_core = 1;
        else if (strcmp(argv[i], "--dir") == 0 && ++i) snprintf(folder, sizeof folder, "%s", value);
        else if (strcmp(argv[i], "--peers") == 0 && ++i)
            snprintf(peers, sizeof peers, "%s", value);
        else if (strcmp(argv[i], "--fan") == 0) fan = 1;
        else if (strcmp(argv[i], "--uring") == 0) uring = 1;
        else if (strcmp(argv[i], "--only") == 0 && ++i) only = value;
        else die("usage: bench --dir FOLDER --peers FOLDER [--quick] [--one-core] [--only WORD] "
                 "[--fan | --uring]");
    }
    if (folder[0] == 0) die("bench: --dir is needed");
}

static void begin(int share_core) {
    char path[512];
    find_program(FLOOR, "floor");
    find_program(AZCHAN, "server");
    find_program(AZCHAN_EPOLL, "server_epoll");
    if (uring) find_program(FLOOR_URING, "floor_uring");
    find_program(LWS, "peer_lws");
    find_ws();
    find_bun();
    if (programs[AZCHAN_EPOLL][0] != 0) find_program(FLOOR_EPOLL, "floor");
    if (programs[FLOOR][0] == 0 || programs[AZCHAN][0] == 0) die("no servers in %s", folder);
    snprintf(path, sizeof path, "%s/results", folder);
    results = fopen(path, "w");
    if (results == NULL) die("cannot write %s", path);
    load_begin(share_core);
    int seconds = fan || uring ? 3600 : quick ? 38 : 240;
    deadline = now_seconds() + seconds;
    signal(SIGALRM, on_alarm);
    alarm((unsigned)seconds + 45);
    printf("load and server %s\n", one_core ? "share one core" : "have a core each");
    for (int k = BUN; k < KINDS; k++)
        if (programs[k][0] == 0) printf("%s is not installed\n", kind_names[k]);
    printf("CPU time: least, median; ratios: of the leasts, median of the rounds'\n\n");
}

int main(int argc, char **argv) {
    int share_core = 0, idle, most;
    options(argc, argv, &share_core);
    begin(share_core);
    if (fan || uring) {
        if (fan) fan_work();
        else uring_work();
        return 0;
    }
    most = most_connections() - 100;
    idle = quick ? 2000 : 5000;
    if (idle > most / 2) idle = most / 2;
    char poll_label[64], epoll_label[80];
    snprintf(poll_label, sizeof poll_label, "echo 64 bytes, 1 active beside %d idle", idle);
    snprintf(epoll_label, sizeof epoll_label, "%s, epoll builds", poll_label);
    const work list[] = {
        {"echo", "echo 64 bytes, 32 connections, one at a time", "message", ECHO, 32, 1, 0, 64,
         1.05, ALL_POLL, 0},
        {"burst", "echo 64 bytes, 32 connections, bursts of 32", "message", ECHO, 32, 32, 0, 64,
         1.15, ALL_POLL, 0},
        {"large", "echo 65,000 bytes, 8 connections", "message", ECHO, 8, 1, 0, 65000, 1.05,
         ALL_POLL, 0},
        {"room 1", "room of 500, 64 bytes, one message at a time", "delivery", ROOM, 500, 1, 0, 64,
         1.15, ALL_POLL, 0},
        {"room 4", "room of 500, 64 bytes, 4 messages in flight", "delivery", ROOM, 500, 4, 0, 64,
         1.15, ALL_POLL, 0},
        {"room 16", "room of 500, 64 bytes, 16 messages in flight", "delivery", ROOM, 500, 16, 0,
         64, 1.15, ALL_POLL, 0},
        {"room 64", "room of 500, 64 bytes, 64 messages in flight", "delivery", ROOM, 500, 64, 0,
         64, 1.15, ALL_POLL, 0},
        {"arena 1", "echo-ws of HttpArena: 5 bytes, 512 connections", "message", ECHO, 512, 1, 0, 5,
         1.05, ALL_POLL | ALL_EPOLL, 0},
        {"arena 16", "echo-ws-pipeline of HttpArena: the same in bursts of 16", "message", ECHO, 512,
         16, 0, 5, 1.15, ALL_POLL | ALL_EPOLL, 0},
        {"handshake", "handshakes", "handshake", HANDSHAKE, 32, 1, 0, 64, 1.10, ALL_POLL, 0},
        {"idle", poll_label, "message", ECHO, 1, 1, idle, 64, 1.02, OURS, 0},
        {"idle epoll", epoll_label, "message", ECHO, 1, 1, idle, 64, 1.05, ALL_EPOLL, 0},
    };
    count_work();
    for (size_t i = 0; i < sizeof list / sizeof *list; i++) cpu_work(&list[i]);
    memory_work();
    active_work();
    fclose(results);
    return 0;
}
