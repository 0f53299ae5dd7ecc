/* [4] BUF: a connection's output as a queue of pieces, against one flat array of bytes. */
#define AZCHAN_IMPLEMENTATION
#include "../azchan.h"
#include "test.h"
#include "pure.h"

/* ---- The model: what is queued, in order ------------------------------------------------------ */

static unsigned char queued[WINDOW], source[WINDOW];
static size_t first, last; /* queued[first..last) is unsent */

static void model_clear(void) {
    first = last = 0;
    for (size_t i = 0; i < sizeof source; i++) source[i] = (unsigned char)(i * 131 + (i >> 8));
}

static void model_put(const void *bytes, size_t n) {
    memcpy(queued + last, bytes, n);
    last += n;
}

/* The pieces hold exactly what the model does; returns how many there are. */
static int same(const azc__out *out) {
    size_t at = first;
    int pieces = 0, ok = out->bytes == last - first && (out->head == NULL) == (out->tail == NULL);
    for (const azc__piece *p = out->head; p != NULL; p = p->next, pieces++) {
        ok &= p->len <= last - at && memcmp(p->data, queued + at, p->len) == 0;
        at += p->len;
        if (p->block == NULL && p->size > sizeof *p)
            ok &= p->data + p->len + p->room <= (const unsigned char *)p + p->size;
    }
    CHECK(ok && at == last);
    return pieces;
}

static void consume(azc__out *out, size_t n) {
    azc__out_consume(&pure_mem, out, n);
    first += n;
}

static void put(azc__out *out, const void *bytes, size_t n, int contiguous) {
    if (!CHECK(azc__out_reserve(&pure_mem, out, n, contiguous))) return;
    long calls = pure_memory.calls;
    azc__out_put(out, bytes, n);
    CHECK_INT(pure_memory.calls, calls); /* it must not fail, so it must not allocate */
    model_put(bytes, n);
    if (contiguous && n > 0) {
        CHECK(out->tail->len >= n);
        CHECK(memcmp(out->tail->data + out->tail->len - n, bytes, n) == 0);
    }
}

static azc__block *block_make(size_t n) {
    azc__block *block = (azc__block *)azc__alloc(&pure_mem, sizeof *block + n);
    if (block == NULL) abort();
    block->refs = 1;
    block->len = n;
    memcpy(block + 1, source, n);
    return block;
}

static void queue(void) {
    azc__out out;
    memset(&out, 0, sizeof out);
    TEST("bytes come out as they went in, however much is taken at a time") {
        for (size_t take = 1; take < 40; take++) {
            model_clear();
            put(&out, "hello ", 6, 0);
            put(&out, "", 0, 0);
            put(&out, "world", 5, 0);
            CHECK_INT(same(&out), 1);
            while (out.bytes > 0) {
                consume(&out, take < out.bytes ? take : out.bytes);
                same(&out);
            }
            CHECK(out.head == NULL && out.tail == NULL);
            CHECK_INT(pure_memory.bytes, 0);
        }
    }
    TEST("a little output takes one small piece, more comes in large ones, all is given back") {
        model_clear();
        put(&out, source, 10, 0);
        CHECK_INT(pure_memory.bytes, AZC__SMALL_PIECE);
        size_t room = AZC__SMALL_PIECE - sizeof(azc__piece) - 10;
        put(&out, source, room, 0);
        CHECK_INT(pure_memory.bytes, AZC__SMALL_PIECE);
        put(&out, source, 1, 0);
        CHECK_INT(pure_memory.bytes, AZC__SMALL_PIECE + AZC__PIECE);
        put(&out, source, AZC__PIECE - sizeof(azc__piece) - 1, 0);
        CHECK_INT(pure_memory.bytes, AZC__SMALL_PIECE + AZC__PIECE);
        CHECK_INT(same(&out), 2);
        consume(&out, 10 + room);
        CHECK_INT(pure_memory.bytes, AZC__PIECE);
        consume(&out, out.bytes);
        CHECK_INT(pure_memory.bytes, 0);
    }
    TEST("what does not fit into the piece at hand fills it and goes on in the next") {
        model_clear();
        put(&out, source, 100, 0);
        put(&out, source, 9000, 0);
        CHECK_INT(same(&out), 2);
        CHECK_INT(out.head->room, 0);
        CHECK_INT(pure_memory.bytes, AZC__SMALL_PIECE + sizeof(azc__piece) + 9000 -
                                     (AZC__SMALL_PIECE - sizeof(azc__piece) - 100));
        consume(&out, 9100);
    }
    TEST("in one stretch, when asked") {
        model_clear();
        put(&out, source, 400, 0);
        put(&out, source, 127, 1);
        CHECK_INT(same(&out), 2);
        CHECK_INT(out.tail->len, 127);
        put(&out, source, 3, 1); /* there is room in the same piece now */
        CHECK_INT(same(&out), 2);
        put(&out, source, 2 * AZC__PIECE, 1);
        put(&out, source, 5, 0);
        CHECK_INT(same(&out), 4);
        consume(&out, out.bytes);
        CHECK_INT(pure_memory.bytes, 0);
    }
    TEST("a reserve that needs no memory asks for none") {
        model_clear();
        CHECK(azc__out_reserve(&pure_mem, &out, 0, 0));
        CHECK(out.head == NULL);
        put(&out, source, 100, 0);
        long calls = pure_memory.calls;
        CHECK(azc__out_reserve(&pure_mem, &out, out.tail->room, 0));
        CHECK(azc__out_reserve(&pure_mem, &out, out.tail->room, 1));
        CHECK_INT(pure_memory.calls, calls);
        consume(&out, 100);
    }
    TEST("bytes that are referred to are sent from where they are") {
        model_clear();
        put(&out, "head", 4, 0);
        CHECK(azc__out_refer(&pure_mem, &out, source, 100, NULL));
        model_put(source, 100);
        CHECK(out.tail->data == source);
        put(&out, "foot", 4, 0);
        CHECK_INT(same(&out), 3);
        CHECK(azc__out_refer(&pure_mem, &out, NULL, 0, NULL));
        CHECK_INT(same(&out), 3);
        consume(&out, 4 + 50);
        CHECK(out.head->data == source + 50);
        same(&out);
        consume(&out, 51);
        CHECK_INT(same(&out), 1);
        consume(&out, 3);
        CHECK_INT(pure_memory.bytes, 0);
    }
    TEST("a shared block goes with the last output that refers to it") {
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
        CHECK_INT(pure_memory.bytes, 0);
        azc__block_release(&pure_mem, NULL);
    }
    TEST("without memory nothing changes") {
        model_clear();
        azc__block *block = block_make(10);
        pure_memory.none = 1;
        CHECK(!azc__out_reserve(&pure_mem, &out, 1, 0));
        CHECK(!azc__out_refer(&pure_mem, &out, source, 5, NULL));
        CHECK(out.head == NULL && out.tail == NULL && out.bytes == 0);
        pure_memory.none = 0;
        put(&out, source, 300, 0);
        pure_memory.none = 1;
        size_t room = out.tail->room;
        CHECK(!azc__out_reserve(&pure_mem, &out, room + 1, 0));
        CHECK(!azc__out_reserve(&pure_mem, &out, room + 1, 1));
        CHECK(!azc__out_refer(&pure_mem, &out, block + 1, 10, block));
        CHECK(block->refs == 1 && out.tail->room == room);
        CHECK_INT(same(&out), 1);
        put(&out, source, room, 0); /* what is there still takes bytes */
        pure_memory.none = 0;
        CHECK_INT(same(&out), 1);
        consume(&out, out.bytes);
        azc__block_release(&pure_mem, block);
        CHECK_INT(pure_memory.bytes, 0);
    }
    TEST("random puts, references, failures and sends lose nothing and mix nothing up") {
        for (int round = 0; round < 300; round++) {
            model_clear();
            azc__block *block = block_make(1500);
            while (last < 60000) {
                size_t n = random_below(random_below(4) ? 200 : 6000);
                size_t from = random_below(1000);
                switch (random_below(8)) {
                case 0:
                    CHECK(azc__out_refer(&pure_mem, &out, source + from, n, NULL));
                    model_put(source + from, n);
                    break;
                case 1:
                    CHECK(azc__out_refer(&pure_mem, &out, block + 1, 1500, block));
                    model_put(source, 1500);
                    break;
                case 2: case 3:
                    consume(&out, random_below(out.bytes + 1));
                    break;
                case 4:
                    pure_memory.none = 1;
                    if (azc__out_reserve(&pure_mem, &out, n, n & 1)) {
                        azc__out_put(&out, source + from, n);
                        model_put(source + from, n);
                    }
                    pure_memory.none = 0;
                    break;
                default: put(&out, source + from, n, random_below(3) == 0);
                }
                same(&out);
                if (random_below(40) == 0) consume(&out, out.bytes);
            }
            consume(&out, out.bytes);
            CHECK(out.head == NULL && out.tail == NULL);
            CHECK_INT(block->refs, 1);
            azc__block_release(&pure_mem, block);
            if (!CHECK_INT(pure_memory.bytes, 0)) return;
        }
    }
}

static void growing(void) {
    unsigned char *data;
    size_t cap;
    TEST("a buffer grows by doubling, keeps its bytes, and stops at what was announced") {
        data = NULL, cap = 0;
        CHECK(azc__grow(&pure_mem, &data, &cap, 1, 100000));
        CHECK_INT(cap, 512);
        memset(data, 'g', 512);
        CHECK(azc__grow(&pure_mem, &data, &cap, 512, 100000));
        CHECK_INT(cap, 512);
        CHECK(azc__grow(&pure_mem, &data, &cap, 513, 100000));
        CHECK_INT(cap, 1024);
        CHECK(data[0] == 'g' && data[511] == 'g');
        CHECK(azc__grow(&pure_mem, &data, &cap, 5000, 100000));
        CHECK_INT(cap, 5000);
        CHECK(azc__grow(&pure_mem, &data, &cap, 5001, 6000));
        CHECK_INT(cap, 6000);
        CHECK(azc__grow(&pure_mem, &data, &cap, 6001, 6000)); /* need goes before most */
        CHECK_INT(cap, 6001);
        CHECK(data[0] == 'g' && data[511] == 'g');
        azc__free(&pure_mem, data, cap);
        CHECK_INT(pure_memory.bytes, 0);
    }
    TEST("a buffer that cannot grow stays as it was") {
        data = NULL, cap = 0;
        CHECK(azc__grow(&pure_mem, &data, &cap, 600, 1000));
        unsigned char *before = data;
        memset(data, 'g', 600);
        pure_memory.none = 1;
        CHECK(!azc__grow(&pure_mem, &data, &cap, 700, 100000));
        CHECK(data == before && cap == 600 && data[599] == 'g');
        CHECK(azc__grow(&pure_mem, &data, &cap, 600, 100000));
        pure_memory.none = 0;
        azc__free(&pure_mem, data, cap);
        CHECK_INT(pure_memory.bytes, 0);
    }
    TEST("a small announcement takes a small buffer") {
        data = NULL, cap = 0;
        CHECK(azc__grow(&pure_mem, &data, &cap, 1, 3));
        CHECK_INT(cap, 3);
        azc__free(&pure_mem, data, cap);
        azc__free(&pure_mem, NULL, 0);
        CHECK_INT(pure_memory.bytes, 0);
    }
    TEST("zeroed memory is zeroed") {
        unsigned char *zeros = (unsigned char *)azc__zalloc(&pure_mem, 100);
        for (int i = 0; i < 100; i++) CHECK_INT(zeros[i], 0);
        azc__free(&pure_mem, zeros, 100);
        pure_memory.none = 1;
        CHECK(azc__zalloc(&pure_mem, 1) == NULL);
        pure_memory.none = 0;
    }
}

int main(int argc, char **argv) {
    test_start(argc, argv);
    queue();
    growing();
    return test_end();
}
