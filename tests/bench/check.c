/* check.c: has azchan.h become slower? What can be counted exactly, against the figures kept.
 *
 *     check FOLDER limits            fails when a figure is more than 3 % over the one kept
 *     check FOLDER limits --write    keeps the figures of this run
 *
 * FOLDER holds server. Instructions depend on the compiler and its options, and a little on libc:
 * the first line of limits names the compiler that its figures are for. */
#include "count.h"

typedef struct measure {
    const char *name;
    const counted *what;
    int calls; /* else instructions */
} measure;

static const measure measures[] = {
    {"instructions-echo-one-at-a-time", &ECHO_ONE, 0},
    {"instructions-echo-in-bursts-of-32", &ECHO_BURST, 0},
    {"instructions-echo-of-65000-bytes", &ECHO_LARGE, 0},
    {"instructions-room-delivery", &ROOM_ONE, 0},
    {"instructions-room-delivery-16-in-flight", &ROOM_BURST, 0},
    {"instructions-handshake", &HANDSHAKES, 0},
    {"instructions-page-with-close", &PAGES, 0},
    {"system-calls-echo-one-at-a-time", &ECHO_ONE, 1},
    {"system-calls-echo-in-bursts-of-32", &ECHO_BURST, 1},
    {"system-calls-handshake", &HANDSHAKES, 1},
    {"system-calls-page-with-close", &PAGES, 1},
};
enum { MEASURES = sizeof measures / sizeof *measures };

static const double margin = 1.03;

#ifdef __VERSION__
static const char compiler[] = __VERSION__;
#else
static const char compiler[] = "unknown";
#endif

/* The figure kept under a name, -1 if there is none. */
static double kept(const char *file, const char *name) {
    char line[256];
    double value = -1;
    size_t len = strlen(name);
    FILE *f = fopen(file, "r");
    if (f == NULL) die("check-speed: cannot read %s", file);
    while (fgets(line, sizeof line, f) != NULL) {
        if (strncmp(line, name, len) == 0 && line[len] == ' ') value = strtod(line + len, NULL);
    }
    fclose(f);
    return value;
}

static int same_compiler(const char *file) {
    char line[256] = "";
    FILE *f = fopen(file, "r");
    if (f == NULL) die("check-speed: cannot read %s", file);
    int same = fgets(line, sizeof line, f) != NULL && strstr(line, compiler) != NULL;
    fclose(f);
    return same;
}

static void keep(const char *file, const double *figures) {
    FILE *f = fopen(file, "w");
    if (f == NULL) die("check-speed: cannot write %s", file);
    fprintf(f, "# compiler %s; kept by make limits, checked by make check-speed\n", compiler);
    for (int i = 0; i < MEASURES; i++) fprintf(f, "%s %.6g\n", measures[i].name, figures[i]);
    fclose(f);
}

static int judge(const char *limits, const measure *m, double figure) {
    double limit = kept(limits, m->name);
    int good = limit >= 0 && figure <= limit * margin;
    printf("%-40s %12.4f  kept %12.4f  %+6.1f %%  %s\n", m->name, figure, limit,
           (figure / limit - 1) * 100, good ? "ok" : limit < 0 ? "NOT KEPT" : "GREW");
    fflush(stdout);
    return good;
}

int main(int argc, char **argv) {
    int failed = 0, writing = argc > 3 && strcmp(argv[3], "--write") == 0;
    double figures[MEASURES];
    char program[512], file[512];
    if (argc < 3) die("usage: check FOLDER limits [--write]");
    if (!have("valgrind")) die("check-speed: valgrind is missing: install valgrind");
    if (!have("strace")) die("check-speed: strace is missing: install strace");
    if (!can_trace()) die("check-speed: strace may not trace here: see ptrace_scope, seccomp");
    if (!writing && !same_compiler(argv[2]))
        printf("check-speed: the kept figures are another compiler's, this one is %s\n", compiler);
    snprintf(program, sizeof program, "%s/server", argv[1]);
    load_begin(1);
    for (int i = 0; i < MEASURES; i++) {
        const measure *m = &measures[i];
        snprintf(file, sizeof file, "%s/%s.out", argv[1], m->name);
        figures[i] = m->calls ? count_calls(program, m->what, file)
                              : count_instructions(program, m->what, file);
        if (writing) printf("%-40s %12.4f\n", m->name, figures[i]);
        else failed += !judge(argv[2], m, figures[i]);
    }
    if (writing) keep(argv[2], figures);
    if (failed > 0) printf("check-speed: %d of %d failed: see the profiles %s/*.out with "
                           "callgrind_annotate; a figure that had to grow is kept by make limits\n",
                           failed, (int)MEASURES, argv[1]);
    return failed > 0;
}
