/* pure.h: what the tests of the sections without I/O share. Comes after azchan.h and test.h. */
#ifndef PURE_H
#define PURE_H

/* ---- Numbers that only look random: every run is the same (xorshift64*, Vigna) --------------- */

static uint64_t random_state = 0x9E3779B97F4A7C15u;

static inline uint64_t random_bits(void) {
    random_state ^= random_state >> 12;
    random_state ^= random_state << 25;
    random_state ^= random_state >> 27;
    return random_state * 0x2545F4914F6CDD1Du;
}

static inline size_t random_below(size_t n) { return (size_t)((random_bits() >> 16) % n); }

/* ---- Input whose last byte lies against an unreadable page, again and again ------------------ */

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

/* ---- Memory that counts, checks old sizes, and fails on demand ------------------------------- */

static struct {
    size_t bytes, peak, blocks;
    long calls;
    long fail; /* n: the nth from now fails; 0: none */
    int none;  /* every one fails */
} pure_memory;

static inline void *pure_alloc(void *user, void *ptr, size_t old_size, size_t new_size) {
    size_t *old = ptr ? (size_t *)ptr - 2 : NULL, *fresh = NULL;
    CHECK(user == (void *)&pure_memory);
    CHECK_INT(old ? *old : 0, old_size);
    if (new_size > 0) {
        pure_memory.calls++;
        if (pure_memory.none || (pure_memory.fail > 0 && --pure_memory.fail == 0)) return NULL;
        fresh = (size_t *)malloc(2 * sizeof(size_t) + new_size);
        if (!fresh) abort();
        *fresh = new_size;
        memset(fresh + 2, 0xA5, new_size); /* whoever counts on zeros is found out */
        if (old) memcpy(fresh + 2, ptr, *old < new_size ? *old : new_size);
        pure_memory.bytes += new_size;
        pure_memory.blocks++;
    }
    if (old) {
        pure_memory.bytes -= *old;
        pure_memory.blocks--;
        memset(old, 0x5A, *old);
        free(old);
    }
    if (pure_memory.bytes > pure_memory.peak) pure_memory.peak = pure_memory.bytes;
    return fresh ? fresh + 2 : NULL;
}

static azc__pool pure_pool = {AZC__HEAP_CLASSES, {NULL}, 0, AZC__POOL, SIZE_MAX, 16};
static azc__mem pure_mem = {pure_alloc, &pure_memory, &pure_pool};

/* Bytes in use, what the pool keeps for the next need not counted. */
static inline size_t pure_bytes(void) {
    azc__pool_free(&pure_mem);
    return pure_memory.bytes;
}

#endif
