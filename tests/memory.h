/* memory.h: an allocator that counts, checks old sizes, and fails when a test wants it to. Pass
 * memory_alloc and &memory to a server (client.h does) or to pure code (pure.h does). Comes after
 * test.h. */
#ifndef MEMORY_H
#define MEMORY_H

static struct {
    size_t bytes, peak, blocks; /* in use now; the most ever; allocations in use */
    long calls;                 /* allocations requested so far */
    long fail;                  /* n: the nth allocation from now fails; 0: none */
    int none;                   /* 1: every allocation fails */
} memory;

typedef union memory_block { /* before each allocation */
    size_t size;
    long double align;
    char space[16]; /* as malloc aligns: on i386 the types alone would take 12 */
} memory_block;

static inline void *memory_alloc(void *userdata, void *ptr, size_t old_size, size_t new_size) {
    memory_block *old = ptr ? (memory_block *)ptr - 1 : NULL, *fresh = NULL;
    CHECK(userdata == (void *)&memory);
    CHECK_INT(old_size, old ? old->size : 0);
    if (new_size > 0) {
        memory.calls++;
        if (memory.none || (memory.fail > 0 && --memory.fail == 0)) return NULL;
        fresh = (memory_block *)malloc(sizeof *fresh + new_size);
        if (!fresh) abort();
        fresh->size = new_size;
        memset(fresh + 1, 0xA5, new_size); /* so that no code can rely on zeros */
        if (old) memcpy(fresh + 1, ptr, old->size < new_size ? old->size : new_size);
        memory.bytes += new_size, memory.blocks++;
    }
    if (old) {
        memory.bytes -= old->size, memory.blocks--;
        memset(ptr, 0x5A, old->size); /* a block always moves, and its old place is unreadable */
        free(old);
    }
    if (memory.bytes > memory.peak) memory.peak = memory.bytes;
    return fresh ? fresh + 1 : NULL;
}

#endif
