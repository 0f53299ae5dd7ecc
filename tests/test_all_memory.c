/* Every allocation fails once, and from each one on all fail: nothing crashes, nothing leaks, no
 * on_close is lost, and the next peer is served once memory is back. */
#include "scenario.h"

static long failed, runs;

/* What is pooled cannot fail: so that more of the allocations do, the pool is emptied each turn. */
static void empty_the_pool(void) {
    if (scene.server) azc__pool_free(&scene.server->mem);
}

/* The act with the nth allocation failing. Returns whether there was one. */
static int fail(const act *a, long n, int from, int to_the_end) {
    int bad = test.bad;
    memory_fault.nth = n, memory_fault.from = from;
    sys.before_wait = to_the_end ? NULL : empty_the_pool;
    perform(a, to_the_end);
    failed += memory_fault.hits;
    runs++;
    if (test.bad > bad)
        printf("    %s, with allocation %ld failing%s%s\n", a->name, n, from ? " for good" : "",
               to_the_end ? ", to the end" : "");
    return memory_fault.hits > 0;
}

int main(int argc, char **argv) {
    test_start(argc, argv);
    signal(SIGPIPE, SIG_DFL); /* one that comes kills the test, as it should */
    long step = quick_run() ? 11 : 1;
    for (int i = 0; i < ACTS; i++) {
        char sentence[4][100];
        snprintf(sentence[0], 100, "%s: without failures", acts[i].name);
        snprintf(sentence[1], 100, "%s: each allocation fails once", acts[i].name);
        snprintf(sentence[2], 100, "%s: all fail from each one on, then memory is back", acts[i].name);
        snprintf(sentence[3], 100, "%s: all fail from each one on, to the end", acts[i].name);
        scene.strict = 1;
        TEST(sentence[0]) perform(&acts[i], 0), perform(&acts[i], 1);
        scene.strict = 0;
        TEST(sentence[1]) for (long n = 1; fail(&acts[i], n, 0, 0);) n += step;
        TEST(sentence[2]) for (long n = 1; fail(&acts[i], n, 1, 0);) n += step;
        TEST(sentence[3]) for (long n = 1; fail(&acts[i], n, 1, 1);) n += full_run() ? 1 : 2 * step;
    }
    printf("test_all_memory: %ld allocations failed in %ld runs\n", failed, runs);
    return test_end();
}
