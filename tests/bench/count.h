/* count.h: what can be counted exactly: instructions, by callgrind, and system calls, by strace.
 *
 * Each figure is the difference of two runs that differ in their number of messages alone, so
 * that start, handshakes and end cancel out. Load and server share a core: each batch is sent
 * before the server wakes, and so every run takes the same turns. */
#ifndef COUNT_H
#define COUNT_H
#include "load.h"

/* Is there such a program on PATH? */
static inline int have(const char *program) {
    char command[128];
    snprintf(command, sizeof command, "command -v %s >/dev/null 2>&1", program);
    return system(command) == 0;
}

/* The total of a profile: "totals: 1234". -1 if there is none. */
static inline double instructions_in(const char *file) {
    char line[512];
    double value = -1;
    FILE *f = fopen(file, "r");
    if (f == NULL) return -1;
    while (fgets(line, sizeof line, f) != NULL) sscanf(line, "totals: %lf", &value);
    fclose(f);
    return value;
}

/* The calls of strace -c's last line: "100.00  0.012345  5  2345  12 total". */
static inline double calls_in(const char *file) {
    char line[512];
    double calls = -1;
    FILE *f = fopen(file, "r");
    if (f == NULL) return -1;
    while (fgets(line, sizeof line, f) != NULL) {
        if (strstr(line, " total") != NULL) sscanf(line, "%*f %*f %*f %lf", &calls);
    }
    fclose(f);
    return calls;
}

/* What is counted: so many batches more of it, and how many units that is. */
typedef struct counted {
    double (*batch)(load *l);
    const char *path;
    int conns, depth;
    size_t size;
    int more;
} counted;

static const counted ECHO_ONE = {batch_echo, "/echo", 32, 1, 64, 300};
static const counted ECHO_BURST = {batch_echo, "/echo", 32, 32, 64, 30};
static const counted ECHO_LARGE = {batch_echo, "/echo", 8, 1, 65000, 20};
static const counted ROOM_ONE = {batch_room, "/room", 64, 1, 64, 50};
static const counted ROOM_BURST = {batch_room, "/room", 64, 16, 64, 20};
static const counted HANDSHAKES = {batch_handshake, "/echo", 0, 1, 64, 5};
static const counted PAGES = {batch_page, "/echo", 0, 1, 64, 5};

/* Run a server under a tool. Returns how many messages, deliveries and so on there were. */
static inline double run_under(char *const argv[], const counted *c, int batches) {
    double units = 0;
    server s = server_start(argv);
    load l = load_open(&s, c->path, c->conns, c->size, c->depth);
    for (int i = 0; i < batches; i++) units += c->batch(&l);
    load_close(&l);
    server_end(&s);
    return units;
}

/* The difference of two runs' totals, for one unit. */
static inline double count_under(char *const argv[], const counted *c,
                                 double (*total)(const char *), const char *file) {
    int shared = one_core, few = 10;
    use_cores(1);
    double units = run_under(argv, c, few), base = total(file);
    units = run_under(argv, c, few + c->more) - units;
    double all = total(file);
    use_cores(shared);
    if (base < 0 || all < 0) die("%s left no totals in %s", argv[0], file);
    return (all - base) / units;
}

/* Instructions in user space for one unit; the longer run's profile stays in file. */
static inline double count_instructions(const char *program, const counted *c,
                                        const char *file) {
    char option[640], tool[] = "valgrind", kind[] = "--tool=callgrind", quiet[] = "-q";
    char *argv[] = {tool, quiet, kind, option, (char *)(uintptr_t)program, NULL};
    snprintf(option, sizeof option, "--callgrind-out-file=%s", file);
    return count_under(argv, c, instructions_in, file);
}

/* System calls for one unit. */
static inline double count_calls(const char *program, const counted *c, const char *file) {
    char tool[] = "strace", follow[] = "-f", sum[] = "-c", to[] = "-o";
    char *argv[] = {tool, follow, sum, to, (char *)(uintptr_t)file,
                    (char *)(uintptr_t)program, NULL};
    return count_under(argv, c, calls_in, file);
}

/* Instructions of one of ops.c's operations among n. */
static inline double count_operation(const char *dir, const char *what, int n) {
    double totals[2];
    for (int i = 0; i < 2; i++) {
        char command[1200], file[600];
        snprintf(file, sizeof file, "%s/callgrind.ops", dir);
        snprintf(command, sizeof command,
                 "valgrind -q --tool=callgrind --callgrind-out-file='%s' '%s/ops' %s %d %d", file,
                 dir, what, n, i ? 3000 : 1000);
        if (system(command) != 0) die("%s failed", command);
        totals[i] = instructions_in(file);
    }
    return (totals[1] - totals[0]) / 2000;
}

/* strace is there, and this process may trace its children. */
static inline int can_trace(void) {
    return have("strace") && system("strace -f -c -o /dev/null true >/dev/null 2>&1") == 0;
}

#endif
