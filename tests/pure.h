/* pure.h: what the tests of the sections without I/O share. Comes after azchan.h and test.h. */
#ifndef PURE_H
#define PURE_H

#include "memory.h"

/* ---- Numbers that only look random: every run is the same (xorshift64*, Vigna) --------------- */

static uint64_t random_state = 0x9E3779B97F4A7C15u;

static inline uint64_t random_bits(void) {
    random_state ^= random_state >> 12;
    random_state ^= random_state << 25;
    random_state ^= random_state >> 27;
    return random_state * 0x2545F4914F6CDD1Du;
}

static inline size_t random_below(size_t n) { return (size_t)((random_bits() >> 16) % n); }

/* ---- Input whose last byte lies against an unreadable page ----------------------------------- */

enum { WINDOW = 1 << 18 };

/* n bytes of one value, before an unreadable page; guarded_free gives them back. */
static inline void *guarded_fill(int byte, size_t n) {
    char *fill = (char *)malloc(n + 1);
    void *p = guarded(memset(fill, byte, n + 1), n);
    free(fill);
    return p;
}

/* Copy n bytes to the end of one standing window; the next call overwrites them. */
static inline void *placed(const void *bytes, size_t n) {
    static char *window;
    if (window == NULL) window = (char *)guarded_fill(0, WINDOW);
    if (n > WINDOW) abort();
    if (n > 0) memmove(window + WINDOW - n, bytes, n);
    return window + WINDOW - n;
}

/* ---- Memory: pure code takes pure_mem -------------------------------------------------------- */

static azc__pool pure_pool = {AZC__HEAP_CLASSES, {NULL}, 0, AZC__POOL, SIZE_MAX, 16,
                              {0, 0, 0}, NULL, 0, 0, NULL, NULL};
static azc__mem pure_mem = {memory_alloc, &memory, &pure_pool};

/* Bytes in use, what the pool keeps for the next need not counted. */
static inline size_t pure_bytes(void) {
    azc__pool_free(&pure_mem);
    return memory.bytes;
}

#endif
