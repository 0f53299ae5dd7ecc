/* ROOM: the hash, the table, members in their two lists, and cursors over lists that change. The
 * connections here have no sockets: a room needs only their channel, their state and their lists.
 * */
#define AZCHAN_IMPLEMENTATION
#include "../azchan.h"
#include "test.h"
#include "pure.h"

/* ---- The hash -------------------------------------------------------------------------------- */

/* HalfSipHash-2-4 with its words put together from bytes, in the names of the paper. */
static uint32_t turn(uint32_t x, int n) { return x << n | x >> (32 - n); }

static void rounds(uint32_t *a, uint32_t *b, uint32_t *c, uint32_t *d, int n) {
    while (n-- > 0) {
        *a += *b, *c += *d;
        *b = turn(*b, 5) ^ *a, *d = turn(*d, 8) ^ *c;
        *a = turn(*a, 16);
        *c += *b, *a += *d;
        *b = turn(*b, 13) ^ *c, *d = turn(*d, 7) ^ *a;
        *c = turn(*c, 16);
    }
}

/* Byte k of word i counts as much as it does on this machine: there azc__sip_hash reads words. */
static uint32_t hash_wanted(const uint32_t key[2], const unsigned char *p, size_t len) {
    static const union { uint32_t word; unsigned char first; } one = {1};
    uint32_t a = key[0], b = key[1], c = key[0] ^ 0x6c796765, d = key[1] ^ 0x74656462;
    for (size_t at = 0; at <= len; at += 4) {
        uint32_t m = 0;
        unsigned char word[4] = {0};
        size_t n = len - at < 4 ? len - at : 4;
        for (size_t k = 0; k < n; k++) word[k] = p[at + k];
        if (n < 4) word[3] = (unsigned char)len;
        for (int k = 0; k < 4; k++) m |= (uint32_t)word[k] << 8 * (one.first ? k : 3 - k);
        d ^= m;
        rounds(&a, &b, &c, &d, 2);
        a ^= m;
    }
    c ^= 0xFF;
    rounds(&a, &b, &c, &d, 4);
    return b ^ d;
}

static void hashing(void) {
    static const union { uint32_t word; unsigned char first; } one = {1};
    const uint32_t key[2] = {0x03020100, 0x07060504};
    unsigned char bytes[64];
    for (int i = 0; i < 64; i++) bytes[i] = (unsigned char)i;
    TEST("the reference vectors of HalfSipHash-2-4, for key and bytes 00 01 02...") {
        static const uint32_t vectors[] = { /* the authors', for 0 to 15 bytes */
            0x5b9f35a9, 0xb85a4727, 0x03a662fa, 0x04e7fe8a, 0x89466e2a, 0x69b6fac5, 0x23fc6358,
            0xc563cf8b, 0x8f84b8d0, 0x79e706f8, 0x3479b094, 0x50300808, 0x2f87f057, 0xff63e677,
            0x7cf8ffd6, 0x972bfe74};
        for (size_t n = 0; n < 16 && one.first; n++) { /* on little-endian machines */
            CHECK(azc__sip_hash(key, placed(bytes, n), n) == vectors[n]);
            CHECK(hash_wanted(key, bytes, n) == vectors[n]);
        }
    }
    TEST("every length to 64, at every alignment, and names longer than 255") {
        static unsigned char shifted[400];
        for (size_t shift = 0; shift < 8; shift++) {
            for (size_t n = 0; n <= 64; n++) {
                memcpy(shifted + shift, bytes, n);
                CHECK(azc__sip_hash(key, shifted + shift, n) == hash_wanted(key, bytes, n));
            }
        }
        for (size_t n = 250; n < 400; n++)
            CHECK(azc__sip_hash(key, placed(shifted, n), n) == hash_wanted(key, shifted, n));
    }
    TEST("the hash depends on both halves of the seed, and on the length") {
        const uint32_t other[2] = {key[0] ^ 1, key[1]}, another[2] = {key[0], key[1] ^ 1};
        CHECK(azc__sip_hash(key, bytes, 5) != azc__sip_hash(other, bytes, 5));
        CHECK(azc__sip_hash(key, bytes, 5) != azc__sip_hash(another, bytes, 5));
        CHECK(azc__sip_hash(key, "\0\0", 1) != azc__sip_hash(key, "\0\0", 2));
        static azc_server seeded;
        uint32_t none = azc__room_hash(&seeded, NULL, "x", 1);
        seeded.seed[0] = 1;
        CHECK(azc__room_hash(&seeded, NULL, "x", 1) != none);
        seeded.seed[0] = 0, seeded.seed[1] = 1;
        CHECK(azc__room_hash(&seeded, NULL, "x", 1) != none);
    }
}

/* ---- A server without sockets ---------------------------------------------------------------- */

enum { CONNS = 12, NAMES = 40 };
static azc_server server;
static azc_channel channels[2];
static azc_conn conns[2][CONNS];

static void begin(void) {
    memset(&server, 0, sizeof server);
    memset(channels, 0, sizeof channels);
    memset(conns, 0, sizeof conns);
    server.mem = pure_mem;
    server.room_first = 16;
    server.seed[0] = 11, server.seed[1] = 12;
    for (int k = 0; k < 2; k++) {
        channels[k].server = &server;
        for (int i = 0; i < CONNS; i++) {
            conns[k][i].server = &server;
            conns[k][i].channel = &channels[k];
            conns[k][i].state = AZC__OPEN;
            conns[k][i].connected = 1;
            conns[k][i].id = (uint64_t)(i + 1);
        }
    }
}

/* Everyone leaves; nothing remains. */
static void end(void) {
    for (int k = 0; k < 2; k++)
        for (int i = 0; i < CONNS; i++) {
            conns[k][i].state = AZC__OPEN; /* the closed cannot leave, they have left */
            azc_leave_all(&conns[k][i]);
        }
    azc__room_sweep(&server);
    CHECK(server.limbo == NULL && server.rooms == NULL);
    CHECK_INT(server.room_count, 0);
    CHECK_INT(server.room_cap, 0);
    CHECK_INT(memory.blocks, 0);
}

static azc__room *named(const azc_channel *channel, const char *name) {
    return azc__room_find(&server, channel, name, strlen(name));
}

static const char *name_of(int i) {
    static char names[NAMES][16];
    snprintf(names[i], sizeof *names, "room-%d", i);
    return names[i];
}

/* The members of a room by number: 0 is 'a'. Each once, and as many as are counted. */
static const char *in(azc_channel *channel, const char *room) {
    static char found[CONNS + 1];
    int seen[CONNS] = {0};
    size_t n = 0;
    for (azc_cursor c = azc_members(channel, room); azc_cursor_next(&c);) {
        CHECK(c.conn->channel == channel);
        CHECK_STR(c.room, room);
        seen[c.conn - conns[channel - channels]]++;
    }
    for (int i = 0; i < CONNS; i++) {
        CHECK(seen[i] <= 1);
        if (seen[i]) found[n++] = (char)('a' + i);
    }
    found[n] = 0;
    CHECK_INT(azc_count(channel, room), n);
    return found;
}

static void table(void) {
    azc_conn *a = &conns[0][0], *b = &conns[0][1], *other = &conns[1][0];
    TEST("a room is created with its first member and freed with its last") {
        begin();
        CHECK(named(&channels[0], "x") == NULL);
        CHECK_INT(azc_count(&channels[0], "x"), 0);
        CHECK_INT(azc_join(a, "x"), AZC_OK);
        CHECK_INT(azc_join(a, "x"), AZC_OK);
        CHECK_INT(azc_join(b, "x"), AZC_OK);
        CHECK_INT(server.room_count, 1);
        CHECK_STR(in(&channels[0], "x"), "ab");
        azc__room_sweep(&server);
        CHECK_INT(azc_leave(a, "x"), AZC_OK);
        CHECK_STR(in(&channels[0], "x"), "b");
        azc__room_sweep(&server);
        CHECK_INT(azc_leave(b, "x"), AZC_OK);
        CHECK(named(&channels[0], "x") == NULL);
        CHECK_INT(memory.bytes, 0);
        end();
    }
    TEST("a name belongs to its channel; names that begin alike are distinct") {
        begin();
        azc_join(a, "x"), azc_join(other, "x"), azc_join(b, "xx"), azc_join(b, "xy");
        CHECK_STR(in(&channels[0], "x"), "a");
        CHECK_STR(in(&channels[1], "x"), "a");
        CHECK_STR(in(&channels[0], "xx"), "b");
        CHECK_STR(in(&channels[1], "xx"), "");
        CHECK_INT(server.room_count, 4);
        CHECK(named(&channels[0], "x")->hash != named(&channels[1], "x")->hash);
        azc_leave(a, "x");
        CHECK_STR(in(&channels[0], "x"), "");
        CHECK_STR(in(&channels[1], "x"), "a");
        end();
    }
    TEST("names are looked up without a byte behind their NUL, and copied") {
        begin();
        char *name = (char *)guarded("lobby", 6);
        CHECK_INT(azc_join(a, name), AZC_OK);
        CHECK_INT(azc_count(&channels[0], name), 1);
        memset(name, 'z', 5);
        CHECK_INT(azc_count(&channels[0], "lobby"), 1);
        CHECK_INT(azc_count(&channels[0], name), 0);
        guarded_free(name, 6);
        end();
    }
    TEST("names are their bytes and their length, NUL or not, with a channel or none") {
        static const char *const bytes[] = {"\0\0\0\0", "\0\0\0\1", "\0\1\0\0"};
        begin();
        for (int i = 0; i < 3; i++)
            for (size_t n = 1; n <= 4; n++)
                if (!azc__room_find(&server, NULL, bytes[i], n))
                    CHECK(azc__room_make(&server, NULL, placed(bytes[i], n), n) != NULL);
        CHECK_INT(server.room_count, 8);
        for (int i = 0; i < 3; i++) {
            for (size_t n = 1; n <= 4; n++) {
                azc__room *room = azc__room_find(&server, NULL, placed(bytes[i], n), n);
                if (!CHECK(room != NULL)) continue;
                CHECK(room->len == n && memcmp(azc__room_name(room), bytes[i], n) == 0);
                CHECK_INT(azc__room_name(room)[n], 0);
                CHECK(azc__room_find(&server, &channels[0], bytes[i], n) == NULL);
            }
        }
        for (int i = 0; i < 3; i++) {
            for (size_t n = 1; n <= 4; n++) {
                azc__room *room = azc__room_find(&server, NULL, bytes[i], n);
                if (room != NULL) azc__room_release(&server, room);
            }
        }
        end();
    }
    TEST("rooms with equal hashes are still distinct") {
        begin();
        static const char *const names[] = {"x", "xy", "y", "x"};
        azc__room *rooms[4];
        for (int i = 0; i < 4; i++) {
            azc_join(i < 3 ? a : other, names[i]);
            rooms[i] = named(&channels[i / 3], names[i]);
        }
        for (int first = 0; first < 4; first++) { /* the first linked is the last in the chain */
            uint32_t hash = azc__room_hash(&server, rooms[first]->channel, names[first],
                                           rooms[first]->len);
            memset(server.rooms, 0, server.room_cap * sizeof *server.rooms);
            for (int i = 0; i < 4; i++) {
                rooms[(first + i) % 4]->hash = hash;
                azc__room_link(&server, rooms[(first + i) % 4]);
            }
            CHECK(named(&channels[first / 3], names[first]) == rooms[first]);
        }
        azc_leave_all(a), azc_leave_all(other);
        end();
    }
    TEST("two thousand rooms are found at every size of the table, and their memory returns") {
        begin();
        char name[16];
        for (int i = 0; i < 2000; i++) {
            snprintf(name, sizeof name, "%d", i);
            if (!CHECK_INT(azc_join(i % 3 ? a : b, name), AZC_OK)) break;
            CHECK((server.room_cap & (server.room_cap - 1)) == 0);
            CHECK(server.room_count <= server.room_cap);
        }
        CHECK_INT(server.room_count, 2000);
        CHECK_INT(server.room_cap, 2048);
        int wrong = 0, longest = 0;
        for (int i = 0; i < 2000; i++) {
            snprintf(name, sizeof name, "%d", i);
            const azc__room *room = named(&channels[0], name);
            wrong += room == NULL || strcmp(azc__room_name(room), name) != 0 || room->count != 1;
        }
        CHECK_INT(wrong, 0);
        for (size_t i = 0; i < server.room_cap; i++) {
            int chain = 0;
            for (const azc__room *room = server.rooms[i]; room; room = room->chain) chain++;
            if (chain > longest) longest = chain;
        }
        CHECK(longest <= 10); /* of a good hash 6 or 7; of a bad one hundreds */
        for (int i = 0; i < 2000; i += 2) {
            snprintf(name, sizeof name, "%d", i);
            CHECK_INT(azc_leave(i % 3 ? a : b, name), AZC_OK);
        }
        for (int i = 0; i < 2000; i++) {
            snprintf(name, sizeof name, "%d", i);
            wrong += azc_count(&channels[0], name) != (size_t)(i & 1);
        }
        CHECK_INT(wrong, 0);
        end();
    }
}

static void memory_fails(void) {
    azc_conn *a = &conns[0][0], *b = &conns[0][1];
    TEST("each allocation of a join that fails leaves all as it was, and the next one works") {
        for (long nth = 1; nth < 10; nth++) {
            begin();
            memory.fail = nth;
            int error = azc_join(a, "x");
            if (memory.fail > 0) {
                memory.fail = 0;
                CHECK_INT(error, AZC_OK);
                CHECK(nth == 4); /* the table, the room, the member */
                end();
                break;
            }
            CHECK_INT(error, AZC_ERR_MEMORY);
            CHECK_INT(azc_count(&channels[0], "x"), 0);
            CHECK(a->rooms == NULL);
            CHECK_INT(server.room_count, 0);
            CHECK_INT(azc_join(a, "x"), AZC_OK);
            CHECK_STR(in(&channels[0], "x"), "a");
            end();
        }
    }
    TEST("a join that failed for lack of memory keeps no memory") {
        for (long nth = 1; nth <= 3; nth++) {
            begin();
            memory.fail = nth;
            CHECK_INT(azc_join(a, "x"), AZC_ERR_MEMORY);
            CHECK_INT(server.room_count, 0);
            CHECK_INT(memory.blocks, 0);
            CHECK_INT(azc_join(a, "x"), AZC_OK); /* so that end() finds nothing */
            end();
        }
    }
    TEST("a member that cannot be added does not change the room") {
        begin();
        char name[] = "a";
        azc_join(a, "x");
        for (int i = 1; i < AZC__MEMBERS; i++, ++*name) azc_join(a, name); /* all that there are */
        memory.none = 1;
        CHECK_INT(azc_join(b, "x"), AZC_ERR_MEMORY);
        CHECK_INT(azc_join(a, "x"), AZC_OK);
        CHECK_INT(azc_leave(b, "x"), AZC_OK);
        memory.none = 0;
        CHECK_STR(in(&channels[0], "x"), "a");
        CHECK(b->rooms == NULL);
        end();
    }
    TEST("counts of rooms, members and references end at 2^31: beyond it, a join fails") {
        begin();
        CHECK_INT(azc_join(a, "x"), AZC_OK);
        server.member_count += ((uint32_t)1 << 31) - 1;
        CHECK_INT(azc_join(b, "x"), AZC_ERR_MEMORY);
        server.member_count -= ((uint32_t)1 << 31) - 1;
        server.room_count += ((uint32_t)1 << 31) - 1;
        CHECK_INT(azc_join(b, "y"), AZC_ERR_MEMORY);
        server.room_count -= ((uint32_t)1 << 31) - 1;
        CHECK_INT(azc_join(b, "x"), AZC_OK);
        CHECK_STR(in(&channels[0], "x"), "ab");
        end();
    }
    TEST("a table that cannot double still works, with longer chains") {
        begin();
        char name[16];
        for (int i = 0; i < 16; i++) {
            snprintf(name, sizeof name, "%d", i);
            azc_join(a, name);
        }
        for (int i = 16; i < 60; i++) {
            snprintf(name, sizeof name, "%d", i);
            memory.fail = 1; /* the doubling comes first */
            CHECK_INT(azc_join(a, name), AZC_OK);
            CHECK_INT(memory.fail, 0);
        }
        CHECK_INT(server.room_cap, 16);
        CHECK_INT(server.room_count, 60);
        for (int i = 0; i < 60; i++) {
            snprintf(name, sizeof name, "%d", i);
            CHECK_INT(azc_count(&channels[0], name), 1);
        }
        azc_join(a, "one more");
        CHECK_INT(server.room_cap, 32);
        CHECK_INT(azc_count(&channels[0], "59"), 1);
        end();
    }
}

/* ---- Cursors over what changes --------------------------------------------------------------- */

static void cursors(void) {
    azc_conn *c = conns[0];
    TEST("a member that leaves while the cursor is at it does not stop the cursor") {
        for (int stand = 0; stand < 6; stand++) {
            for (int set = 0; set < 1 << 6; set++) { /* the members that leave while it is there */
                begin();
                for (int i = 0; i < 6; i++) azc_join(&c[i], "x");
                int met[6] = {0}, at = 0, wrong = 0, gone = 0;
                for (int i = 0; i < 6; i++) gone += set >> i & 1;
                for (azc_cursor k = azc_members(&channels[0], "x"); azc_cursor_next(&k); at++) {
                    int who = (int)(k.conn - c);
                    wrong += met[who]++;
                    if (at == stand)
                        for (int i = 0; i < 6; i++)
                            if (set >> i & 1) azc_leave(&c[i], "x");
                    wrong += at > stand && (set >> who & 1);
                }
                for (int i = 0; i < 6; i++) wrong += !met[i] && !(set >> i & 1);
                CHECK_INT(wrong, 0);
                CHECK_INT(azc_count(&channels[0], "x"), 6 - gone);
                end();
            }
        }
    }
    TEST("all members leave one by one, each while the cursor is at it") {
        begin();
        int met = 0;
        for (int i = 0; i < 6; i++) azc_join(&c[i], "x");
        for (azc_cursor k = azc_members(&channels[0], "x"); azc_cursor_next(&k); met++)
            CHECK_INT(azc_leave(k.conn, "x"), AZC_OK);
        CHECK_INT(met, 6);
        CHECK_INT(azc_count(&channels[0], "x"), 0);
        CHECK_INT(server.room_count, 1); /* for the departed in limbo */
        CHECK_INT(azc_join(&c[2], "x"), AZC_OK);
        CHECK_STR(in(&channels[0], "x"), "c");
        azc__room_sweep(&server);
        CHECK_STR(in(&channels[0], "x"), "c");
        end();
    }
    TEST("a cursor visits only members, also if they leave and join again meanwhile") {
        begin();
        for (int i = 0; i < 6; i++) azc_join(&c[i], "x");
        int at = 0;
        for (azc_cursor k = azc_members(&channels[0], "x"); azc_cursor_next(&k) && at < 100; at++) {
            azc_leave(k.conn, "x");
            azc_join(k.conn, "x");
            CHECK_INT(azc_count(&channels[0], "x"), 6);
        }
        CHECK(at >= 6 && at < 100);
        CHECK_STR(in(&channels[0], "x"), "abcdef");
        end();
    }
    TEST("a connection's rooms are walked while it leaves them, and joins others") {
        begin();
        for (int i = 0; i < 6; i++) azc_join(&c[0], name_of(i));
        int met = 0;
        for (azc_cursor k = azc_rooms(&c[0]); azc_cursor_next(&k); met++) {
            char room[16];
            CHECK(k.conn == &c[0]);
            snprintf(room, sizeof room, "%s", k.room);
            if (met == 0) azc_join(&c[0], "new");
            if (met == 1) azc_leave_all(&c[0]);
            else azc_leave(&c[0], room);
        }
        CHECK_INT(met, 2);
        CHECK(c[0].rooms == NULL);
        end();
    }
    TEST("two cursors at once, one inside the other, each complete") {
        begin();
        for (int i = 0; i < 5; i++) azc_join(&c[i], "x"), azc_join(&c[i], "y");
        int pairs = 0;
        for (azc_cursor k = azc_members(&channels[0], "x"); azc_cursor_next(&k);)
            for (azc_cursor l = azc_members(&channels[0], "y"); azc_cursor_next(&l);) pairs++;
        CHECK_INT(pairs, 25);
        end();
    }
    TEST("a closing member is not visited in its room, but its own rooms can be walked") {
        begin();
        azc_join(&c[0], "x"), azc_join(&c[1], "x");
        c[0].state = AZC__CLOSING;
        azc_cursor k = azc_members(&channels[0], "x");
        CHECK(azc_cursor_next(&k) && k.conn == &c[1] && !azc_cursor_next(&k));
        k = azc_rooms(&c[0]);
        CHECK(azc_cursor_next(&k));
        CHECK_STR(k.room, "x");
        CHECK(!azc_cursor_next(&k) && !azc_cursor_next(&k));
        CHECK_INT(azc_join(&c[0], "y"), AZC_ERR_CLOSED);
        end();
    }
    TEST("a walk of the channel skips closing connections") {
        begin();
        for (int i = 0; i < 4; i++) {
            c[i].u.link.next = channels[0].first;
            channels[0].first = &c[i];
        }
        c[1].state = AZC__LINGER;
        int met = 0;
        for (azc_cursor k = azc_members(&channels[0], NULL); azc_cursor_next(&k); met++)
            CHECK(k.conn != &c[1] && k.room == NULL);
        CHECK_INT(met, 3);
        end();
    }
    TEST("cursors over missing rooms and NULL end at once") {
        begin();
        azc_cursor k = azc_members(NULL, "x");
        CHECK(!azc_cursor_next(&k));
        k = azc_members(&channels[0], "x");
        CHECK(!azc_cursor_next(&k));
        k = azc_rooms(NULL);
        CHECK(!azc_cursor_next(&k));
        k = azc_rooms(&c[0]);
        CHECK(!azc_cursor_next(&k));
        CHECK(!azc_cursor_next(NULL));
        end();
    }
    TEST("without a cursor a membership is freed at once; with one, at the sweep") {
        begin();
        azc_join(&c[0], "x"), azc_join(&c[1], "x");
        azc_leave(&c[0], "x");
        CHECK(server.limbo == NULL);
        azc_cursor k = azc_members(&channels[0], "x");
        azc_leave(&c[1], "x");
        CHECK(server.limbo != NULL);
        CHECK(!azc_cursor_next(&k));
        azc__room_sweep(&server);
        CHECK(server.limbo == NULL && !server.cursors);
        CHECK_INT(memory.blocks, 0);
        end();
    }
}

/* ---- Against a table of yes and no ----------------------------------------------------------- */

static unsigned char is_in[2][CONNS][NAMES];

static void compare_all(void) {
    for (int k = 0; k < 2; k++) {
        for (int r = 0; r < NAMES; r++) {
            char want[CONNS + 1];
            size_t n = 0;
            for (int i = 0; i < CONNS; i++)
                if (is_in[k][i][r]) want[n++] = (char)('a' + i);
            want[n] = 0;
            CHECK_STR(in(&channels[k], name_of(r)), want);
        }
        for (int i = 0; i < CONNS; i++) {
            int seen = 0, want = 0;
            for (azc_cursor c = azc_rooms(&conns[k][i]); azc_cursor_next(&c); seen++)
                CHECK(is_in[k][i][atoi(c.room + 5)]);
            for (int r = 0; r < NAMES; r++) want += is_in[k][i][r];
            CHECK_INT(seen, want);
        }
    }
}

static void anything(int under_cursor) {
    int k = (int)random_below(2), i = (int)random_below(CONNS), r = (int)random_below(NAMES);
    azc_conn *conn = &conns[k][i];
    switch (random_below(under_cursor ? 9 : 10)) {
    case 0: case 1: case 2: case 3: case 4:
        memory.fail = random_below(8) == 0;
        if (azc_join(conn, name_of(r)) == AZC_OK) is_in[k][i][r] = 1;
        else CHECK(!is_in[k][i][r]);
        memory.fail = 0;
        break;
    case 5: case 6: case 7:
        azc_leave(conn, name_of(r));
        is_in[k][i][r] = 0;
        break;
    case 8:
        if (random_below(8)) break;
        azc_leave_all(conn);
        memset(is_in[k][i], 0, NAMES);
        break;
    default: azc__room_sweep(&server); /* never while a cursor is in use */
    }
}

static void random_rooms(void) {
    TEST("random joins and leaves agree with a table of yes and no") {
        begin();
        memset(is_in, 0, sizeof is_in);
        for (int i = 0; i < 20000; i++) {
            anything(0);
            if (i % 250 == 0) compare_all();
        }
        end();
    }
    TEST("random changes under a cursor: members that stay are visited once, others never") {
        begin();
        memset(is_in, 0, sizeof is_in);
        for (int i = 0; i < 400; i++) anything(0);
        for (int round = 0; round < 3000; round++) {
            int k = (int)random_below(2), r = (int)random_below(NAMES), wrong = 0, steps = 0;
            int stayed[CONNS], met[CONNS] = {0};
            for (int i = 0; i < CONNS; i++) stayed[i] = is_in[k][i][r];
            azc_cursor c = azc_members(&channels[k], name_of(r));
            while (azc_cursor_next(&c) && steps++ < 200) {
                int who = (int)(c.conn - conns[k]);
                wrong += !is_in[k][who][r];
                met[who]++;
                for (size_t n = random_below(6); n > 0; n--) {
                    anything(1);
                    for (int i = 0; i < CONNS; i++) stayed[i] &= is_in[k][i][r];
                }
            }
            for (int i = 0; i < CONNS; i++) wrong += stayed[i] && met[i] != 1;
            if (!CHECK_INT(wrong, 0)) break;
            azc__room_sweep(&server);
            if (round % 100 == 0) compare_all();
        }
        end();
    }
}

int main(int argc, char **argv) {
    test_start(argc, argv);
    hashing();
    table();
    memory_fails();
    cursors();
    random_rooms();
    return test_end();
}
