/* BUF: a connection's output as a queue of pieces, compared with one flat array of bytes; the pool.
 * */
#define AZCHAN_IMPLEMENTATION
#include "../azchan.h"
#include "test.h"
#include "pure.h"

/* ---- The model: what is queued, in order ----------------------------------------------------- */

static unsigned char queued[WINDOW], source[WINDOW];
static size_t first, last; /* queued[first..last) is unsent */

static void model_clear(void) {
    first = last = 0;
    for (size_t i = 0; i < sizeof source; i++) source[i] = (unsigned char)(i * 131 + (i >> 8));
}

/* The pieces hold exactly what the model does; returns how many there are. */
static int same(const azc__out *out) {
    size_t at = first;
    int pieces = 0, ok = out->bytes == last - first && (out->head == NULL) == (out->tail == NULL);
    for (const azc__piece *p = out->head; p != NULL; p = p->next, pieces++) {
        const unsigned char *own = (const unsigned char *)p;
        ok &= p->len <= last - at && memcmp(p->data, queued + at, p->len) == 0;
        at += p->len;
        if (p->data >= own && p->data <= own + p->size)
            ok &= p->data + p->len + p->room == own + p->size;
        else ok &= p->room == 0;
        ok &= (p->next == NULL) == (p == out->tail);
    }
    CHECK(ok && at == last);
    return pieces;
}

static void consume(azc__out *out, size_t n) {
    azc__out_consume(&pure_mem, out, n);
    first += n;
}

static void put(azc__out *out, const void *bytes, size_t n) {
    if (!azc__out_reserve(&pure_mem, out, n)) {
        CHECK(memory.none);
        return;
    }
    azc__out_write(out, bytes, n);
    if (n > 0) memcpy(queued + last, bytes, n);
    last += n;
}

static void claim(azc__out *out, const void *bytes, size_t n) {
    unsigned char *p = azc__out_claim(&pure_mem, out, n);
    if (p == NULL) {
        CHECK(memory.none);
        return;
    }
    if (n > 0) memcpy(p, bytes, n);
    memcpy(queued + last, bytes, n);
    last += n;
    if (n > 0) CHECK(out->tail->data + out->tail->len == p + n);
}

static void refer(azc__out *out, const void *bytes, size_t n, azc__block *block) {
    CHECK(azc__out_refer(&pure_mem, out, bytes, n, block));
    if (n > 0) memcpy(queued + last, bytes, n);
    last += n;
}

static azc__block *block_make(size_t n) {
    azc__block *block = (azc__block *)azc__alloc(&pure_mem, sizeof *block + n);
    if (block == NULL) abort();
    block->refs = 1;
    block->len = n;
    block->key = 0;
    memcpy(block + 1, source, n);
    return block;
}

static void gone(const azc__out *out) {
    CHECK(out->head == NULL && out->tail == NULL && out->bytes == 0);
    CHECK_INT(pure_bytes(), 0);
    CHECK_INT(pure_mem.pool->bytes, 0);
}

static void queue(void) {
    azc__out out;
    memset(&out, 0, sizeof out);
    TEST("bytes are sent in the order queued, however many the kernel takes at a time") {
        for (size_t take = 1; take < 40; take++) {
            model_clear();
            put(&out, "hello ", 6);
            put(&out, "", 0);
            put(&out, "world", 5);
            CHECK_INT(same(&out), 1);
            while (out.bytes > 0) {
                consume(&out, take < out.bytes ? take : out.bytes);
                same(&out);
            }
            gone(&out);
        }
    }
    TEST("when memory runs out after some of many pieces, the output is as before") {
        size_t most = pure_pool.piece_max;
        int failures = 0;
        pure_pool.piece_max = 1000;
        for (int n = 0; n < 12; n++) {
            model_clear();
            if (n % 2) put(&out, source, 100);
            size_t bytes = pure_bytes();
            memory.fail = 1 + n / 2;
            int there = azc__out_reserve(&pure_mem, &out, 12000);
            CHECK_INT(there, memory.fail > 0);
            memory.fail = 0, failures += !there;
            if (!there) CHECK_INT(pure_bytes(), bytes), same(&out), put(&out, source, 12000);
            else azc__out_write(&out, memcpy(queued + last, source, 12000), 12000), last += 12000;
            same(&out);
            consume(&out, out.bytes);
            gone(&out);
        }
        CHECK(failures >= 4);
        pure_pool.piece_max = most;
    }
    TEST("a little output uses a small piece, more uses larger ones, and all are freed") {
        model_clear();
        put(&out, source, 10);
        size_t small = azc__heap_classes[AZC__FIRST_PIECE], large = azc__heap_classes[AZC__PIECE];
        CHECK_INT(memory.bytes, small);
        put(&out, source, small - sizeof(azc__piece) - 10);
        CHECK_INT(memory.bytes, small);
        put(&out, source, 1);
        CHECK_INT(memory.bytes, small + large);
        put(&out, source, large - sizeof(azc__piece) - 1);
        CHECK_INT(memory.bytes, small + large);
        CHECK_INT(same(&out), 2);
        consume(&out, out.bytes);
        gone(&out);
    }
    TEST("claimed bytes are contiguous") {
        model_clear();
        claim(&out, source, 400);
        claim(&out, source, 127);
        CHECK_INT(same(&out), 2);
        CHECK_INT(out.tail->len, 127);
        claim(&out, source, 3); /* there is room in the same piece now */
        CHECK_INT(same(&out), 2);
        size_t room = out.tail->room;
        put(&out, source, 100000); /* what need not be in one stretch fills it first */
        CHECK_INT(out.tail->len, 100000 - room);
        CHECK_INT(same(&out), 3);
        put(&out, source, 5);
        CHECK_INT(same(&out), 4);
        consume(&out, out.bytes);
        gone(&out);
    }
    TEST("a piece that was partly sent is filled after its unsent bytes") {
        model_clear();
        put(&out, source, 100);
        consume(&out, 60);
        put(&out, source + 100, 100);
        CHECK_INT(same(&out), 1);
        consume(&out, 140);
        gone(&out);
    }
    TEST("bytes that are referred to are sent from where they are") {
        model_clear();
        put(&out, "head", 4);
        refer(&out, source, 100, NULL);
        CHECK(out.tail->data == source);
        put(&out, "foot", 4);
        CHECK_INT(same(&out), 3);
        refer(&out, NULL, 0, NULL);
        CHECK_INT(same(&out), 3);
        consume(&out, 4 + 50);
        CHECK(out.head->data == source + 50);
        same(&out);
        consume(&out, 51);
        CHECK_INT(same(&out), 1);
        consume(&out, 3);
        gone(&out);
    }
    TEST("a shared block is freed with the last output that refers to it") {
        azc__out others[3];
        memset(others, 0, sizeof others);
        model_clear();
        azc__block *block = block_make(2000);
        for (int i = 0; i < 3; i++)
            CHECK(azc__out_refer(&pure_mem, &others[i], block + 1, 2000, block));
        CHECK_INT(block->refs, 4);
        azc__block_release(&pure_mem, block);
        azc__out_consume(&pure_mem, &others[1], 2000);
        azc__out_consume(&pure_mem, &others[0], 1999);
        CHECK_INT(block->refs, 2);
        azc__out_consume(&pure_mem, &others[0], 1);
        CHECK_INT(block->refs, 1);
        CHECK(memcmp(others[2].head->data, source, 2000) == 0);
        azc__out_consume(&pure_mem, &others[2], 2000);
        gone(&others[2]);
        azc__block_release(&pure_mem, NULL);
    }
    TEST("when memory runs out, the output is as before") {
        model_clear();
        azc__block *block = block_make(10);
        memory.none = 1;
        CHECK(azc__out_claim(&pure_mem, &out, 1) == NULL);
        CHECK(!azc__out_refer(&pure_mem, &out, source, 5, NULL));
        CHECK(out.head == NULL && out.tail == NULL && out.bytes == 0);
        memory.none = 0;
        put(&out, source, 300);
        memory.none = 1;
        size_t room = out.tail->room;
        CHECK(azc__out_claim(&pure_mem, &out, room + 1) == NULL);
        CHECK(!azc__out_refer(&pure_mem, &out, block + 1, 10, block));
        CHECK(block->refs == 1 && out.tail->room == room);
        CHECK_INT(same(&out), 1);
        put(&out, source, room); /* what is there still takes bytes */
        memory.none = 0;
        CHECK_INT(same(&out), 1);
        consume(&out, out.bytes);
        azc__block_release(&pure_mem, block);
        gone(&out);
    }
    TEST("random puts, references, failures and sends keep every byte in order") {
        for (int round = 0; round < 300; round++) {
            model_clear();
            azc__block *block = block_make(1500);
            while (last < 60000) {
                size_t n = random_below(random_below(4) ? 200 : 6000);
                size_t from = random_below(1000);
                switch (random_below(8)) {
                case 0: refer(&out, source + from, n, NULL); break;
                case 1: refer(&out, block + 1, 1500, block); break;
                case 2: case 3: consume(&out, random_below(out.bytes + 1)); break;
                default:
                    memory.none = random_below(5) == 0;
                    if (n < 128) claim(&out, source + from, n);
                    else put(&out, source + from, n);
                    memory.none = 0;
                }
                same(&out);
                if (random_below(40) == 0) consume(&out, out.bytes);
                if (random_below(40) == 0) azc__pool_free(&pure_mem);
            }
            consume(&out, out.bytes);
            CHECK_INT(block->refs, 1);
            azc__block_release(&pure_mem, block);
            gone(&out);
            if (test.bad) return;
        }
    }
}

static void pool(void) {
    TEST("freed memory is reused for the same size without calling the allocator") {
        for (int c = 0; AZC__FAST && c < AZC__CLASSES; c++) {
            size_t size = azc__heap_classes[c], less = size - size / 8;
            void *p = azc__pool_take(&pure_mem, &less, 0);
            CHECK_INT(less, size);
            CHECK_INT(memory.bytes, size);
            memset(p, 1, less);
            azc__pool_return(&pure_mem, p, less);
            CHECK_INT(pure_mem.pool->bytes, size);
            long calls = memory.calls;
            CHECK(azc__pool_take(&pure_mem, &size, 0) == p);
            CHECK_INT(memory.calls, calls);
            CHECK_INT(pure_mem.pool->bytes, 0);
            azc__pool_return(&pure_mem, p, size);
            size_t other = azc__heap_classes[(c + 1) % AZC__CLASSES];
            void *q = azc__pool_take(&pure_mem, &other, 0);
            CHECK(q != p);
            azc__pool_return(&pure_mem, q, other);
            CHECK_INT(pure_bytes(), 0);
        }
    }
    TEST("every size up to the largest class is held, large ones without wasting over a quarter") {
        for (size_t asked = 1; asked < 70000; asked += 1 + asked / 50) {
            size_t size = asked;
            void *p = azc__pool_take(&pure_mem, &size, 0);
            CHECK_INT(memory.bytes, size);
            CHECK(size >= asked);
            if (asked > azc__heap_classes[AZC__PIECE]) CHECK(size - asked <= asked / 4);
            else CHECK(size == azc__heap_classes[azc__class(&pure_mem, asked, 0)]);
            memset(p, 1, size);
            azc__pool_return(&pure_mem, p, size);
            CHECK_INT(pure_bytes(), 0);
        }
    }
    TEST("a size larger than every class comes from the allocator and returns to it") {
        size_t size = azc__heap_classes[AZC__CLASSES - 1] + 1, asked = size;
        void *p = azc__pool_take(&pure_mem, &size, 0);
        CHECK_INT(size, asked);
        CHECK_INT(memory.bytes, asked);
        azc__pool_return(&pure_mem, p, size);
        CHECK_INT(memory.bytes, 0);
        CHECK_INT(pure_mem.pool->bytes, 0);
    }
    TEST("no class below the least is used, and freeing NULL does nothing") {
        size_t size = 1;
        void *p = azc__pool_take(&pure_mem, &size, 2);
        CHECK_INT(size, azc__heap_classes[2]);
        azc__pool_return(&pure_mem, p, size);
        azc__pool_return(&pure_mem, NULL, 0);
        CHECK_INT(pure_mem.pool->bytes, AZC__FAST ? size : 0);
        CHECK_INT(pure_bytes(), 0);
    }
    TEST("the pool keeps AZC__POOL bytes and not one more") {
        enum { MANY = AZC__POOL / 4032 + 10 };
        static void *taken[MANY];
        size_t size = 4032;
        for (int i = 0; i < MANY; i++) taken[i] = azc__pool_take(&pure_mem, &size, 0);
        for (int i = 0; i < MANY; i++) azc__pool_return(&pure_mem, taken[i], size);
        CHECK(pure_mem.pool->bytes <= AZC__POOL);
        CHECK(!AZC__FAST || pure_mem.pool->bytes > AZC__POOL - 4032);
        CHECK_INT(memory.bytes, pure_mem.pool->bytes);
        CHECK_INT(pure_bytes(), 0);
    }
}

static void growing(void) {
    unsigned char *data;
    size_t cap, at;
    TEST("a buffer that grows keeps its bytes, through every size") {
        data = NULL, cap = 0, at = 0;
        for (size_t need = 1; need < 300000; need += 1 + need / 7) {
            if (!CHECK(azc__grow(&pure_mem, &data, &cap, need, 300000))) break;
            CHECK(cap >= need);
            for (size_t i = 0; i < at; i += 97)
                if (!CHECK(data[i] == source[i % WINDOW])) break;
            for (; at < need; at++) data[at] = source[at % WINDOW];
        }
        azc__pool_return(&pure_mem, data, cap);
        CHECK_INT(pure_bytes(), 0);
    }
    TEST("a large buffer grows by doubling, but not past the announced length") {
        data = NULL, cap = 0;
        CHECK(azc__grow(&pure_mem, &data, &cap, 70000, 1000000));
        CHECK_INT(cap, 70000);
        CHECK(azc__grow(&pure_mem, &data, &cap, 70000, 1000000));
        CHECK_INT(cap, 70000);
        CHECK(azc__grow(&pure_mem, &data, &cap, 70001, 1000000));
        CHECK_INT(cap, 140000);
        CHECK(azc__grow(&pure_mem, &data, &cap, 140001, 150000));
        CHECK_INT(cap, 150000);
        CHECK(azc__grow(&pure_mem, &data, &cap, 150001, 150000)); /* need goes before most */
        CHECK_INT(cap, 150001);
        azc__pool_return(&pure_mem, data, cap);
        CHECK_INT(memory.bytes, 0);
    }
    TEST("a buffer that cannot grow is unchanged") {
        static const size_t sizes[] = {60, 600, 70000};
        for (int i = 0; i < 3; i++) {
            data = NULL, cap = 0;
            CHECK(azc__grow(&pure_mem, &data, &cap, sizes[i], 1000000));
            unsigned char *before = data;
            size_t size = cap;
            memset(data, 'g', cap);
            memory.none = 1;
            CHECK(!azc__grow(&pure_mem, &data, &cap, size + 1, 1000000));
            CHECK(data == before && cap == size && data[0] == 'g' && data[size - 1] == 'g');
            CHECK(azc__grow(&pure_mem, &data, &cap, size, 1000000));
            memory.none = 0;
            azc__pool_return(&pure_mem, data, cap);
            CHECK_INT(pure_bytes(), 0);
        }
    }
    TEST("zeroed memory is zeroed") {
        unsigned char *zeros = (unsigned char *)azc__zalloc(&pure_mem, 100);
        for (int i = 0; i < 100; i++) CHECK_INT(zeros[i], 0);
        azc__free(&pure_mem, zeros, 100);
        azc__free(&pure_mem, NULL, 0);
        memory.none = 1;
        CHECK(azc__zalloc(&pure_mem, 1) == NULL);
        memory.none = 0;
    }
}

int main(int argc, char **argv) {
    test_start(argc, argv);
    model_clear();
    queue();
    pool();
    growing();
    return test_end();
}
