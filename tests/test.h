/* test.h: the whole test harness; cc and POSIX, nothing else.
 *
 *     #define AZCHAN_IMPLEMENTATION
 *     #include "../azchan.h"
 *     #include "test.h"
 *
 *     static void sums(void) {
 *         TEST("one and one is two") {
 *             CHECK(1 + 1 == 2);
 *             CHECK_INT(1 + 1, 2);               // prints both sides when they differ
 *             CHECK_STR("ab", "ab");
 *         }
 *     }
 *
 *     int main(int argc, char **argv) {
 *         test_start(argc, argv);
 *         sums();
 *         return test_end();                     // prints "test_sums: 1 passed, 0 failed"
 *     }
 *
 * A failing CHECK prints its place and text, and the test goes on; CHECK is also an expression, 1 or
 * 0. `./test_sums two` runs only the tests with "two" in their sentence, and fails if there is none;
 * `-v` prints each sentence before its test runs. A test that crashes, or runs for longer than a
 * minute (or the environment's TEST_SECONDS), is named and counted as failed. */
#ifndef TEST_H
#define TEST_H

#ifndef _DEFAULT_SOURCE
#define _DEFAULT_SOURCE 1 /* in case azchan.h does not come first */
#endif
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#ifndef MAP_ANONYMOUS
#define MAP_ANONYMOUS MAP_ANON
#endif

static struct {
    const char *program, *only, *sentence;
    int verbose, passed, failed, bad; /* bad: failed checks of the running test */
} test;

/* Fewer of everything: under valgrind, or when TEST_QUICK is set. TEST_FULL: all of it. */
static inline int quick_run(void) {
    const char *preload = getenv("LD_PRELOAD");
    return getenv("TEST_QUICK") || (preload && strstr(preload, "vgpreload"));
}

#define TEST(sentence) if (test_begin(sentence))
#define CHECK(x) test_check(!!(x), #x, __FILE__, __LINE__)
#define CHECK_INT(got, want) test_int((long long)(got), (long long)(want), #got, __FILE__, __LINE__)
#define CHECK_STR(got, want) test_str(got, want, #got, __FILE__, __LINE__)

/* Begin the report of a failed check. Returns whether to print it: at most ten for a test. */
static inline int test_fail(const char *file, int line) {
    if (test.bad++ == 0) printf("FAIL %s\n", test.sentence ? test.sentence : "(outside a test)");
    if (test.bad <= 10) printf("  %s:%d: ", file, line);
    if (test.bad == 11) printf("  ... and more\n");
    return test.bad <= 10;
}

static inline int test_check(int ok, const char *text, const char *file, int line) {
    if (!ok && test_fail(file, line)) printf("%s\n", text);
    return ok;
}

static inline int test_int(long long got, long long want, const char *text, const char *file,
                           int line) {
    if (got != want && test_fail(file, line))
        printf("%s is %lld, not %lld\n", text, got, want);
    return got == want;
}

static inline int test_str(const char *got, const char *want, const char *text, const char *file,
                           int line) {
    int ok = got && want ? strcmp(got, want) == 0 : got == want;
    if (!ok && test_fail(file, line))
        printf("%s is\n    \"%s\", not\n    \"%s\"\n", text, got ? got : "(NULL)",
               want ? want : "(NULL)");
    return ok;
}

static inline void test_close(void) {
    if (test.sentence) ++*(test.bad ? &test.failed : &test.passed);
    test.sentence = NULL, test.bad = 0;
}

static inline unsigned test_seconds(void) {
    const char *text = getenv("TEST_SECONDS");
    return text ? (unsigned)atoi(text) : 60;
}
/* Half of that in ms, for a loop that must end before the alarm. */
static inline int test_patience(void) { return 500 * (int)test_seconds(); }

static inline int test_begin(const char *sentence) {
    test_close();
    if (test.only && !strstr(sentence, test.only)) return 0;
    if (test.verbose) printf("%s\n", sentence);
    test.sentence = sentence;
    alarm(test_seconds());
    return 1;
}

static inline int test_end(void) {
    test_close();
    if (test.only && test.passed + test.failed == 0) {
        printf("FAIL no sentence contains \"%s\"\n", test.only);
        test.failed = 1;
    }
    printf("%s: %d passed, %d failed\n", test.program, test.passed, test.failed);
    return test.failed > 0 || fflush(stdout) != 0;
}

/* A test hangs or crashed: print its sentence, and the line of counts that run.sh reads. */
static inline void test_signal(int number) {
    char line[512];
    int n = snprintf(line, sizeof line, "FAIL %s\n  signal %d%s\n%s: %d passed, %d failed\n",
                     test.sentence ? test.sentence : "(outside a test)", number,
                     number == SIGALRM ? ", it took too long" : "", test.program, test.passed,
                     test.failed + 1);
    if (write(1, line, (size_t)n) < 0 || number == SIGALRM) _exit(1);
    raise(number); /* SA_RESETHAND: the default action, for a debugger or a core file */
}

static inline void test_start(int argc, char **argv) {
    const char *slash = strrchr(argv[0], '/');
    test.program = slash ? slash + 1 : argv[0];
    for (int i = 1; i < argc; i++) {
        if (strcmp(argv[i], "-v") == 0) test.verbose = 1;
        else test.only = argv[i];
    }
    setvbuf(stdout, NULL, _IOLBF, BUFSIZ);
    struct sigaction action;
    memset(&action, 0, sizeof action);
    action.sa_handler = test_signal;
    action.sa_flags = (int)(SA_RESETHAND | SA_NODEFER);
    sigaction(SIGALRM, &action, NULL);
    sigaction(SIGABRT, &action, NULL);
#ifndef __SANITIZE_ADDRESS__ /* its own report has more details */
    sigaction(SIGSEGV, &action, NULL);
    sigaction(SIGBUS, &action, NULL);
#endif
}

/* Copy bytes to just before an unreadable page, so that reading past their end traps. */
static inline void *guarded(const void *bytes, size_t len) {
    size_t page = (size_t)sysconf(_SC_PAGESIZE), room = (len + page - 1) / page * page;
    char *map = (char *)mmap(NULL, room + page, PROT_READ | PROT_WRITE,
                             MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (map == (char *)MAP_FAILED || mprotect(map + room, page, PROT_NONE) != 0) abort();
    if (len) memcpy(map + room - len, bytes, len);
    return map + room - len;
}

static inline void guarded_free(void *memory, size_t len) {
    size_t page = (size_t)sysconf(_SC_PAGESIZE), room = (len + page - 1) / page * page;
    munmap((char *)memory + len - room, room + page);
}

#endif
