/* fuzz.h: what the fuzz targets share.
 *
 * A target is one property function over bytes. libFuzzer calls it LLVMFuzzerTestOneInput (see
 * fuzz.mk); tests/test_all_fuzz.c includes all targets, each under its own name, and replays the
 * seeds and the corpus. A property that does not hold aborts. */
#ifndef FUZZ_H
#define FUZZ_H

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#ifndef FUZZ_TARGET
#define FUZZ_TARGET LLVMFuzzerTestOneInput
#endif

static const char *fuzz_case = ""; /* the file replayed, for the report */

#define FUZZ_CHECK(x) ((x) ? (void)0 : fuzz_fail(__FILE__, __LINE__, #x))

static inline void fuzz_fail(const char *file, int line, const char *text) {
    fflush(stdout);
    fprintf(stderr, "%s:%d: %s%s%s\n", file, line, text, *fuzz_case ? "\n  input: " : "",
            fuzz_case);
    abort();
}

/* ---- The input: numbers first, then what is left --------------------------------------------- */

typedef struct fuzz_input {
    const uint8_t *p, *end;
} fuzz_input;

static inline size_t fuzz_left(const fuzz_input *in) { return (size_t)(in->end - in->p); }

static inline unsigned fuzz_byte(fuzz_input *in) { return in->p < in->end ? *in->p++ : 0u; }

/* Up to n bytes of it. */
static inline const uint8_t *fuzz_take(fuzz_input *in, size_t *n) {
    const uint8_t *p = in->p;
    if (*n > fuzz_left(in)) *n = fuzz_left(in);
    in->p += *n;
    return p;
}

/* A copy with exactly the bytes that may be touched, and `spare` writable ones behind. */
static inline void *fuzz_copy(const void *bytes, size_t n, size_t spare) {
    char *copy = (char *)malloc(n + spare + (n + spare == 0));
    if (copy == NULL) abort();
    if (n > 0) memcpy(copy, bytes, n);
    if (spare > 0) memset(copy + n, 0x7E, spare);
    return copy;
}

/* ---- Numbers that only look random, and cuts ------------------------------------------------- */

static inline uint64_t fuzz_random(uint64_t *state) { /* splitmix64, Vigna */
    uint64_t z = *state += 0x9E3779B97F4A7C15u;
    z = (z ^ z >> 30) * 0xBF58476D1CE4E5B9u;
    z = (z ^ z >> 27) * 0x94D049BB133111EBu;
    return z ^ z >> 31;
}

typedef struct fuzz_cuts {
    uint64_t state;
    size_t most;
} fuzz_cuts;

/* Seeds 0 to 3 cut byte by byte; the others into pieces of up to 4, 16, 64 or 1024 bytes. */
static inline fuzz_cuts fuzz_cuts_from(unsigned seed) {
    static const size_t most[] = {4, 16, 64, 1024};
    fuzz_cuts cuts;
    cuts.state = seed;
    cuts.most = seed < 4 ? 1 : most[seed & 3];
    return cuts;
}

/* The size of the next piece of `left` bytes, at least 1. */
static inline size_t fuzz_cut(fuzz_cuts *cuts, size_t left) {
    size_t n = 1 + (cuts->most > 1 ? (size_t)(fuzz_random(&cuts->state) >> 8) % cuts->most : 0);
    return n < left ? n : left;
}

/* ---- Memory that counts, checks old sizes, and fails on demand ------------------------------- */

typedef struct fuzz_memory {
    size_t bytes, blocks;
    unsigned calls, fail; /* every fail-th call fails; 0: none */
} fuzz_memory;

static inline void *fuzz_alloc(void *user, void *ptr, size_t old_size, size_t new_size) {
    fuzz_memory *m = (fuzz_memory *)user;
    size_t *old = ptr != NULL ? (size_t *)ptr - 2 : NULL, *fresh = NULL;
    FUZZ_CHECK((old != NULL ? *old : 0) == old_size);
    if (new_size > 0) {
        if (m->fail > 0 && ++m->calls % m->fail == 0) return NULL;
        fresh = (size_t *)malloc(2 * sizeof *fresh + new_size);
        if (fresh == NULL) abort();
        *fresh = new_size;
        memset(fresh + 2, 0xA5, new_size < 256 ? new_size : 256); /* not zeros */
        if (old != NULL) memcpy(fresh + 2, ptr, old_size < new_size ? old_size : new_size);
        m->bytes += new_size;
        m->blocks++;
    }
    if (old != NULL) {
        m->bytes -= old_size;
        m->blocks--;
        free(old);
    }
    return fresh != NULL ? fresh + 2 : NULL;
}

/* ---- UTF-8 by its definition, without a table of bytes --------------------------------------- */

/* The character at p: its bytes (1 to 4), 0 when n bytes are too few to know, -1 when no bytes
 * that follow can make it one. A start that was cut stands for all the characters it may become. */
static inline int fuzz_utf8_char(const uint8_t *p, size_t n, uint32_t *code) {
    int size = 0;
    while (size < 8 && (p[0] << size & 0x80)) size++;
    if (size == 1 || size > 4) return -1;
    if (size == 0) size = 1;
    uint32_t low = size == 1 ? p[0] : p[0] & ((1u << (7 - size)) - 1), high = low;
    for (int i = 1; i < size; i++) {
        int here = (size_t)i < n;
        if (here && p[i] >> 6 != 2) return -1;
        low = low << 6 | (here ? p[i] & 63u : 0u);
        high = high << 6 | (here ? p[i] & 63u : 63u);
    }
    uint32_t least = size == 1 ? 0 : size == 2 ? 0x80 : size == 3 ? 0x800 : 0x10000;
    if (high < least || low > 0x10FFFF || (low >= 0xD800 && high <= 0xDFFF)) return -1;
    *code = low;
    return (size_t)size <= n ? size : 0;
}

/* 1 valid, 0 cut short, -1 bad; *good: the bytes of whole characters in front. */
static inline int fuzz_text(const void *bytes, size_t n, size_t *good) {
    const uint8_t *p = (const uint8_t *)bytes;
    size_t i = 0;
    int k = 1;
    uint32_t code;
    while (i < n && (k = fuzz_utf8_char(p + i, n - i, &code)) > 0) i += (size_t)k;
    if (good != NULL) *good = i;
    return k > 0 ? 1 : k;
}

#endif
