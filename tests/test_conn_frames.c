/* CONN over real sockets: frames (RFC 6455 section 5) and the errors of 7.4 and 8.1. */
#define AZCHAN_IMPLEMENTATION
#include "../azchan.h"
#include "test.h"
#include "client.h"

/* Bytes on their way to a server. */
typedef struct bytes {
    unsigned char data[200000];
    size_t len;
} bytes;

static bytes out;

static void put(int first, const void *data, size_t len, int form, const unsigned char *mask) {
    out.len += put_frame(out.data + out.len, first, data, len, form, mask);
}
static unsigned char next_byte(void) { /* of a fixed sequence that looks like noise */
    static unsigned seed = 1;
    return (unsigned char)((seed = seed * 69069 + 1) >> 24);
}
static void put_text(const char *text) {
    put(FIN | TEXT, text, strlen(text), SHORTEST, some_mask);
}

static int echo_note(azc_conn *conn, const char *text, size_t len) {
    note_text(conn, text, len);
    return azc_send_text(conn, text, len);
}
static int echo_note_binary(azc_conn *conn, const void *data, size_t len) {
    note_binary(conn, data, len);
    return azc_send_binary(conn, data, len);
}
static azc_channel_desc echo_recorder(void) {
    azc_channel_desc d = recorder("/t");
    d.on_message = echo_note, d.on_binary = echo_note_binary;
    return d;
}

/* Answer the server's Close and see the stream end. */
static void end_of(client *c) {
    client_bye(c, 1000, "");
    EXPECT_EOF(c);
    client_close(c);
}

/* ---- Frames ---------------------------------------------------------------------------------- */

static void frames(void) {
    TEST("the examples of RFC 6455 5.7 are understood and answered, byte for byte") {
        azc_server *server = serve(NULL, echo_recorder());
        client *c = join_channel(server, "/t");
        client_send(c, "\x81\x85\x37\xfa\x21\x3d\x7f\x9f\x4d\x51\x58", 11);
        CHECK(client_await(c, 7) && memcmp(c->in, "\x81\x05Hello", 7) == 0);
        EXPECT_TEXT(c, "Hello");
        client_send(c, "\x01\x83\0\0\0\0Hel\x80\x82\0\0\0\0lo", 17);
        EXPECT_TEXT(c, "Hello");
        client_send(c, "\x89\x85\x37\xfa\x21\x3d\x7f\x9f\x4d\x51\x58", 11);
        CHECK(client_await(c, 7) && memcmp(c->in, "\x8a\x05Hello", 7) == 0);
        EXPECT_FRAME(c, PONG, "Hello", 5);
        client_send(c, "\x8a\x85\x37\xfa\x21\x3d\x7f\x9f\x4d\x51\x58", 11);
        EXPECT_SILENCE(c);
        EXPECT_EVENTS("connect; text Hello; text Hello; ping Hello; pong Hello; ");
        finish(server);
    }
    TEST("256 bytes and 64 KiB take the headers of RFC 6455 5.7") {
        azc_server *server = serve(NULL, echoer("/t"));
        client *c = join_channel(server, "/t");
        static unsigned char data[65536];
        for (size_t i = 0; i < sizeof data; i++) data[i] = (unsigned char)(i * 7 + i / 251);
        client_send(c, "\x82\xfe\x01\x00\0\0\0\0", 8), client_send(c, data, 256);
        CHECK(client_await(c, 4) && memcmp(c->in, "\x82\x7e\x01\x00", 4) == 0);
        EXPECT_FRAME(c, BINARY, data, 256);
        client_send(c, "\x82\xff\0\0\0\0\0\x01\0\0\0\0\0\0", 14), client_send(c, data, 65536);
        CHECK(client_await(c, 10) && memcmp(c->in, "\x82\x7f\0\0\0\0\0\x01\0\0", 10) == 0);
        EXPECT_FRAME(c, BINARY, data, 65536);
        finish(server);
    }
    TEST("every form of length, at its limits, text and binary, is echoed whole") {
        azc_config config = quick();
        config.max_message = 200000;
        azc_server *server = serve(&config, echoer("/t"));
        client *c = join_channel(server, "/t");
        size_t sizes[] = {0, 1, 2, 124, 125, 126, 127, 128, 255, 256, 65534, 65535, 65536, 65537,
                          131072, 200000};
        unsigned char *data = (unsigned char *)malloc(200000);
        for (size_t i = 0; i < 200000; i++) data[i] = (unsigned char)('a' + i % 23);
        for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
            client_frame(c, FIN | TEXT, data, sizes[i]);
            EXPECT_FRAME(c, TEXT, data, sizes[i]);
            client_frame(c, FIN | BINARY, data, sizes[i]);
            EXPECT_FRAME(c, BINARY, data, sizes[i]);
        }
        free(data);
        finish(server);
    }
    TEST("every byte of the mask counts, at every offset and length") {
        azc_server *server = serve(NULL, echoer("/t"));
        client *c = join_channel(server, "/t");
        unsigned char data[80], mask[4];
        for (size_t len = 0; len <= 70; len++) {
            for (size_t i = 0; i < len; i++) data[i] = next_byte();
            for (int i = 0; i < 4; i++) mask[i] = next_byte();
            if (len % 5 == 0) memset(mask, 0, 4);
            out.len = 0;
            put(FIN | BINARY, data, len, SHORTEST, mask);
            /* in two pieces, so that unmasking resumes at every position of the mask */
            size_t cut = len < 2 ? 1 : out.len - len + len / 3;
            client_send(c, out.data, cut), azc_poll(server, 0);
            client_send(c, out.data + cut, out.len - cut);
            EXPECT_FRAME(c, BINARY, data, len);
        }
        finish(server);
    }
    TEST("control frames between fragments are answered at once and do not change the message") {
        azc_server *server = serve(NULL, echo_recorder());
        client *c = join_channel(server, "/t");
        client_frame(c, TEXT, "one ", 4);
        client_frame(c, FIN | PING, "p1", 2);
        EXPECT_FRAME(c, PONG, "p1", 2);
        client_frame(c, CONTINUATION, "two ", 4);
        client_frame(c, FIN | PONG, "unasked", 7);
        client_frame(c, FIN | PING, "", 0);
        EXPECT_FRAME(c, PONG, "", 0);
        EXPECT_EVENTS("connect; ping p1; pong unasked; ping ; ");
        client_frame(c, FIN | CONTINUATION, "three", 5);
        EXPECT_TEXT(c, "one two three");
        EXPECT_EVENTS("text one two three; ");
        /* all in one segment, and binary */
        out.len = 0;
        put(BINARY, "\x01", 1, SHORTEST, some_mask);
        put(FIN | PING, "in", 2, SHORTEST, some_mask);
        put(FIN | CONTINUATION, "\xff", 1, SHORTEST, some_mask);
        client_send(c, out.data, out.len);
        EXPECT_FRAME(c, PONG, "in", 2);
        EXPECT_FRAME(c, BINARY, "\x01\xff", 2);
        finish(server);
    }
    TEST("a Close between fragments ends the connection; the partial message is not delivered") {
        azc_server *server = serve(NULL, echo_recorder());
        client *c = join_channel(server, "/t");
        client_frame(c, TEXT, "half", 4);
        client_bye(c, 1000, "enough");
        EXPECT_CLOSE(c, 1000, "enough");
        EXPECT_EOF(c);
        EXPECT_EVENTS("connect; close 1000 enough; ");
        finish(server);
    }
    TEST("fragments may be empty, and a whole message may be") {
        azc_server *server = serve(NULL, echo_recorder());
        client *c = join_channel(server, "/t");
        client_frame(c, TEXT, "", 0);
        client_frame(c, CONTINUATION, "", 0);
        client_frame(c, CONTINUATION, "x", 1);
        client_frame(c, CONTINUATION, "", 0);
        client_frame(c, FIN | CONTINUATION, "", 0);
        EXPECT_TEXT(c, "x");
        client_frame(c, BINARY, "", 0);
        client_frame(c, FIN | CONTINUATION, "", 0);
        EXPECT_FRAME(c, BINARY, "", 0);
        client_text(c, "");
        EXPECT_TEXT(c, "");
        EXPECT_EVENTS("connect; text x; binary ; text ; ");
        finish(server);
    }
    TEST("a text may hold NULs, and has one behind it") {
        azc_server *server = serve(NULL, echo_recorder()); /* note_text checks the one behind */
        client *c = join_channel(server, "/t");
        client_frame(c, FIN | TEXT, "a\0b\0", 4);
        EXPECT_FRAME(c, TEXT, "a\0b\0", 4);
        out.len = 0; /* two in a segment: the NUL must not eat the next frame's first byte */
        put_text("first"), put_text("second"), put_text("");
        put(TEXT, "thi", 3, SHORTEST, some_mask);
        put(FIN | CONTINUATION, "rd", 2, SHORTEST, some_mask);
        put_text("fourth");
        client_send(c, out.data, out.len);
        EXPECT_TEXT(c, "first");
        EXPECT_TEXT(c, "second");
        EXPECT_TEXT(c, "");
        EXPECT_TEXT(c, "third");
        EXPECT_TEXT(c, "fourth");
        finish(server);
    }
    TEST("pings and pongs carry up to 125 bytes") {
        azc_server *server = serve(NULL, recorder("/t"));
        client *c = join_channel(server, "/t");
        unsigned char data[125];
        memset(data, 0xee, sizeof data);
        client_frame(c, FIN | PING, data, 125);
        EXPECT_FRAME(c, PONG, data, 125);
        client_frame(c, FIN | PONG, data, 125);
        EXPECT_SILENCE(c);
        finish(server);
    }
    TEST("azc_ping sends a ping, and the pong goes to on_pong") {
        azc_server *server = serve(NULL, recorder("/t"));
        client *c = join_channel(server, "/t");
        char big[126] = {0};
        CHECK_INT(azc_ping(member_of(served), "you?", 4), AZC_OK);
        CHECK_INT(azc_ping(member_of(served), "", 0), AZC_OK);
        CHECK_INT(azc_ping(member_of(served), big, 125), AZC_OK);
        CHECK_INT(azc_ping(member_of(served), big, 126), AZC_ERR_ARGUMENT);
        EXPECT_FRAME(c, PING, "you?", 4);
        EXPECT_FRAME(c, PING, "", 0);
        EXPECT_FRAME(c, PING, big, 125);
        client_frame(c, FIN | PONG, "you?", 4);
        settle(server);
        EXPECT_EVENTS("connect; pong you?; ");
        finish(server);
    }
    TEST("a hundred thousand one-byte and empty fragments cost one message of memory") {
        azc_config config = quick();
        config.max_message = 65536;
        azc_server *server = serve(&config, recorder("/t"));
        client *c = join_channel(server, "/t");
        settle(server);
        size_t before = memory.peak = memory.bytes;
        client_frame(c, TEXT, "x", 1);
        for (int round = 0; round < 50; round++) {
            out.len = 0;
            for (int i = 0; i < 1000; i++) {
                put(CONTINUATION, "y", 1, SHORTEST, some_mask);
                put(CONTINUATION, "", 0, SHORTEST, some_mask);
            }
            client_send(c, out.data, out.len);
            azc_poll(server, 0);
        }
        client_frame(c, FIN | CONTINUATION, "z", 1);
        pump_until(server, count_of(tape_text(&events), "text"));
        CHECK(count_of(tape_text(&events), "<50002 bytes") == 1);
        /* a buffer that doubles holds old and new for a moment while it moves */
        CHECK(memory.peak - before <= 4 * 65536);
        finish(server);
    }
}

/* ---- Errors of the peer ---------------------------------------------------------------------- */

typedef struct violation {
    int code;
    const char *what, *bytes;
    size_t len;
} violation;

#define BAD(code, what, text) {code, what, text, sizeof text - 1}
#define M "\0\0\0\0" /* a mask that shows the payload */

static const violation violations[] = {
    BAD(1002, "an unmasked text", "\x81\x05Hello"),
    BAD(1002, "an unmasked empty text", "\x81\x00"),
    BAD(1002, "an unmasked binary", "\x82\x01x"),
    BAD(1002, "an unmasked ping", "\x89\x00"),
    BAD(1002, "an unmasked Close", "\x88\x02\x03\xe8"),
    BAD(1002, "an unmasked long text, by its header", "\x81\x7e\x01\x00"),
    BAD(1002, "RSV1", "\xc1\x81" M "x"),
    BAD(1002, "RSV2", "\xa1\x81" M "x"),
    BAD(1002, "RSV3", "\x91\x81" M "x"),
    BAD(1002, "all RSV bits", "\xf1\x81" M "x"),
    BAD(1002, "RSV1 on a ping", "\xc9\x80" M),
    BAD(1002, "RSV2 on a Close", "\xa8\x80" M),
    BAD(1002, "RSV1 on a continuation", "\x01\x81" M "x" "\xc0\x81" M "x"),
    BAD(1002, "opcode 3", "\x83\x81" M "x"),
    BAD(1002, "opcode 4", "\x84\x81" M "x"),
    BAD(1002, "opcode 5", "\x85\x81" M "x"),
    BAD(1002, "opcode 6", "\x86\x81" M "x"),
    BAD(1002, "opcode 7", "\x87\x81" M "x"),
    BAD(1002, "opcode 11", "\x8b\x80" M),
    BAD(1002, "opcode 12", "\x8c\x80" M),
    BAD(1002, "opcode 13", "\x8d\x80" M),
    BAD(1002, "opcode 14", "\x8e\x80" M),
    BAD(1002, "opcode 15", "\x8f\x80" M),
    BAD(1002, "an unfinished opcode 3", "\x03\x80" M),
    BAD(1002, "a fragmented ping", "\x09\x80" M),
    BAD(1002, "a fragmented pong", "\x0a\x80" M),
    BAD(1002, "a fragmented Close", "\x08\x80" M),
    BAD(1002, "a ping of 126 bytes, by its header", "\x89\xfe\x00\x7e" M),
    BAD(1002, "a pong of 126 bytes, by its header", "\x8a\xfe\x00\x7e" M),
    BAD(1002, "a Close of 126 bytes, by its header", "\x88\xfe\x00\x7e" M),
    BAD(1002, "a ping of 65536 bytes, by its header", "\x89\xff\0\0\0\0\0\x01\0\0" M),
    BAD(1002, "a ping in a longer form than it needs", "\x89\xfe\x00\x05" M "Hello"),
    BAD(1002, "an orphan continuation", "\x80\x81" M "x"),
    BAD(1002, "an empty orphan continuation", "\x80\x80" M),
    BAD(1002, "an unfinished orphan continuation", "\x00\x81" M "x"),
    BAD(1002, "a text inside a text", "\x01\x81" M "x" "\x81\x81" M "y"),
    BAD(1002, "a binary inside a text", "\x01\x81" M "x" "\x82\x81" M "y"),
    BAD(1002, "a text inside a binary", "\x02\x81" M "x" "\x81\x81" M "y"),
    BAD(1002, "an unfinished text inside a text", "\x01\x81" M "x" "\x01\x81" M "y"),
    BAD(1002, "a text inside an empty fragment's message", "\x01\x80" M "\x81\x81" M "y"),
    BAD(1002, "125 bytes in the 16-bit form", "\x81\xfe\x00\x7d" M),
    BAD(1002, "0 bytes in the 16-bit form", "\x81\xfe\x00\x00" M),
    BAD(1002, "65535 bytes in the 64-bit form", "\x82\xff\0\0\0\0\0\0\xff\xff" M),
    BAD(1002, "1 byte in the 64-bit form", "\x82\xff\0\0\0\0\0\0\0\x01" M "x"),
    BAD(1002, "0 bytes in the 64-bit form", "\x82\xff\0\0\0\0\0\0\0\0" M),
    BAD(1002, "a length with its first bit set", "\x82\xff\x80\0\0\0\0\0\0\0" M),
    BAD(1002, "a length with all bits set", "\x82\xff\xff\xff\xff\xff\xff\xff\xff\xff" M),
    BAD(1002, "a Close of 1 byte", "\x88\x81" M "\x03"),
    BAD(1002, "Close 0", "\x88\x82" M "\0\0"),
    BAD(1002, "Close 999", "\x88\x82" M "\x03\xe7"),
    BAD(1002, "Close 1004", "\x88\x82" M "\x03\xec"),
    BAD(1002, "Close 1005", "\x88\x82" M "\x03\xed"),
    BAD(1002, "Close 1006", "\x88\x82" M "\x03\xee"),
    BAD(1002, "Close 1015", "\x88\x82" M "\x03\xf7"),
    BAD(1002, "Close 1016", "\x88\x82" M "\x03\xf8"),
    BAD(1002, "Close 2000", "\x88\x82" M "\x07\xd0"),
    BAD(1002, "Close 2999", "\x88\x82" M "\x0b\xb7"),
    BAD(1002, "Close 5000", "\x88\x82" M "\x13\x88"),
    BAD(1002, "Close 65535", "\x88\x82" M "\xff\xff"),
    BAD(1007, "a Close with a bad reason", "\x88\x83" M "\x03\xe8\xff"),
    BAD(1007, "a Close with half a character", "\x88\x84" M "\x03\xe8\xe2\x82"),
    BAD(1007, "a Close with a surrogate", "\x88\x85" M "\x03\xe8\xed\xa0\x80"),
    BAD(1009, "a text of 1001 bytes, by its header", "\x81\xfe\x03\xe9" M),
    BAD(1009, "a binary of 1001 bytes, by its header", "\x82\xfe\x03\xe9" M),
    BAD(1009, "a fragment of 1001 bytes, by its header", "\x01\xfe\x03\xe9" M),
    BAD(1009, "a fragment past 1000 in all, by its header", "\x02\x81" M "x" "\x00\xfe\x03\xe8" M),
    BAD(1009, "a last fragment past 1000 in all", "\x02\x81" M "x" "\x80\xfe\x03\xe8" M),
    BAD(1009, "2^31 bytes", "\x82\xff\0\0\0\0\x80\0\0\0" M),
    BAD(1009, "2^32 - 1 bytes", "\x82\xff\0\0\0\0\xff\xff\xff\xff" M),
    BAD(1009, "2^32 bytes", "\x82\xff\0\0\0\x01\0\0\0\0" M),
    BAD(1009, "2^32 + 5 bytes", "\x82\xff\0\0\0\x01\0\0\0\x05" M "Hello"),
    BAD(1009, "2^62 bytes", "\x82\xff\x40\0\0\0\0\0\0\0" M),
    BAD(1009, "2^63 - 1 bytes", "\x82\xff\x7f\xff\xff\xff\xff\xff\xff\xff" M),
    BAD(1009, "2^63 - 1 bytes more", "\x02\x81" M "x" "\x80\xff\x7f\xff\xff\xff\xff\xff\xff\xff" M),
    BAD(1009, "2^63 - 1 bytes of text", "\x81\xff\x7f\xff\xff\xff\xff\xff\xff\xff" M),
};

static void peer_errors(void) {
    TEST("each violation has its close code, and messages before it are delivered and echoed") {
        azc_config config = quick();
        config.max_message = 1000;
        azc_server *server = serve(&config, echo_recorder());
        for (size_t i = 0; i < sizeof violations / sizeof *violations; i++) {
            const violation *v = &violations[i];
            char want[100];
            snprintf(want, sizeof want, "connect; text before; binary it; close %d; ", v->code);
            for (int drip = 0; drip < 2; drip++) {
                int bad = test.bad;
                client *c = join_channel(server, "/t");
                size_t before = memory.bytes;
                out.len = 0;
                put_text("before");
                put(FIN | BINARY, "it", 2, SHORTEST, some_mask);
                memcpy(out.data + out.len, v->bytes, v->len), out.len += v->len;
                memory.peak = memory.bytes;
                drip ? client_drip(c, out.data, out.len) : client_send(c, out.data, out.len);
                EXPECT_TEXT(c, "before");
                EXPECT_FRAME(c, BINARY, "it", 2);
                EXPECT_CLOSE(c, v->code, NULL);
                CHECK(memory.peak < before + 32768); /* nothing for a length merely announced */
                EXPECT_EVENTS(want);
                end_of(c);
                EXPECT_EVENTS("");
                if (test.bad > bad)
                    printf("    that was: %s%s\n", v->what, drip ? ", dripped" : "");
            }
        }
        CHECK_INT(azc_count(served, NULL), 0);
        finish(server);
    }
    TEST("after a violation no further message is delivered") {
        azc_server *server = serve(NULL, echo_recorder());
        client *c = join_channel(server, "/t");
        out.len = 0;
        put_text("one");
        put(0xc1, "rsv", 3, SHORTEST, some_mask);
        put_text("two");
        put(FIN | PING, "three", 5, SHORTEST, some_mask);
        client_send(c, out.data, out.len);
        EXPECT_TEXT(c, "one");
        EXPECT_CLOSE(c, 1002, NULL);
        client_text(c, "four");
        settle(server);
        EXPECT_EVENTS("connect; text one; close 1002; ");
        end_of(c);
        EXPECT_EVENTS("");
        finish(server);
    }
    TEST("a continuation after a message's last fragment is an error, the message was delivered") {
        azc_server *server = serve(NULL, recorder("/t"));
        client *c = join_channel(server, "/t");
        client_send(c, "\x01\x81" M "a" "\x80\x81" M "b" "\x80\x81" M "c", 21);
        EXPECT_CLOSE(c, 1002, NULL);
        EXPECT_EVENTS("connect; text ab; close 1002; ");
        end_of(c);
        finish(server);
    }
    TEST("the codes a peer may close with are echoed with their reasons") {
        azc_server *server = serve(NULL, recorder("/t"));
        int codes[] = {1000, 1001, 1002, 1003, 1007, 1008, 1009, 1010, 1011, 1012, 1013, 1014,
                       3000, 3999, 4000, 4999};
        for (size_t i = 0; i < sizeof codes / sizeof *codes; i++) {
            client *c = join_channel(server, "/t");
            client_bye(c, codes[i], "gr\xc3\xbc\xc3\x9f");
            EXPECT_CLOSE(c, codes[i], "gr\xc3\xbc\xc3\x9f");
            EXPECT_EOF(c);
            char want[100];
            snprintf(want, sizeof want, "connect; close %d", codes[i]);
            CHECK(strncmp(tape_text(&events), want, strlen(want)) == 0);
            tape_clear(&events);
            client_close(c);
        }
        finish(server);
    }
    TEST("max_message is met exactly, in one frame and in many") {
        azc_config config = quick();
        config.max_message = 1000;
        azc_server *server = serve(&config, echoer("/t"));
        client *c = join_channel(server, "/t");
        char data[1000];
        memset(data, 'm', sizeof data);
        client_frame(c, FIN | TEXT, data, 1000);
        EXPECT_FRAME(c, TEXT, data, 1000);
        client_frame(c, TEXT, data, 999);
        client_frame(c, CONTINUATION, data, 1);
        client_frame(c, CONTINUATION, data, 0);
        client_frame(c, FIN | CONTINUATION, data, 0);
        EXPECT_FRAME(c, TEXT, data, 1000);
        client_frame(c, BINARY, data, 1000);
        client_frame(c, FIN | CONTINUATION, data, 1);
        EXPECT_CLOSE(c, 1009, NULL);
        end_of(c);
        finish(server);
    }
    TEST("the default max_message is 64 KiB") {
        azc_server *server = serve(NULL, echoer("/t"));
        char *data = (char *)calloc(1, 65537);
        client *c = join_channel(server, "/t");
        client_frame(c, FIN | TEXT, data, 65536);
        EXPECT_FRAME(c, TEXT, data, 65536);
        client_frame(c, FIN | TEXT, data, 65537);
        EXPECT_CLOSE(c, 1009, NULL);
        free(data);
        finish(server);
    }
}

/* ---- UTF-8 ----------------------------------------------------------------------------------- */

static const char *hopeless[] = { /* bad from the last byte shown on */
    "\x80", "\xbf", "\xc0", "\xc1", "\xf5", "\xf8", "\xfe", "\xff", "ok\xff", "\xc3\x28",
    "\xc3\xc3", "\xe2\x28", "\xe2\x82\x28", "\xe2\x82\xff", "\xe0\x80", "\xe0\x9f", "\xed\xa0",
    "\xed\xbf", "\xf0\x80", "\xf0\x8f", "\xf0\x9f\x28", "\xf0\x9f\x98\x28", "\xf4\x90", "\xf4\xbf",
    "\xce\xba\xe1\xbd\xb9\xcf\x83\xce\xbc\xce\xb5\xed\xa0"};
static const char *halves[] = {"\xc3", "\xe2", "\xe2\x82", "\xf0", "\xf0\x9f", "\xf0\x9f\x98",
                               "fine until \xf4\x8f\xbf"};

static void utf8(void) {
    TEST("a bad byte ends the connection at once with 1007, inside an unfinished frame too") {
        azc_server *server = serve(NULL, recorder("/t"));
        for (size_t i = 0; i < sizeof hopeless / sizeof *hopeless; i++) {
            for (int way = 0; way < 4; way++) {
                int bad = test.bad;
                const char *text = hopeless[i];
                size_t len = strlen(text);
                client *c = join_channel(server, "/t");
                out.len = 0;
                if (way == 0) { /* a whole message */
                    put(FIN | TEXT, text, len, SHORTEST, some_mask);
                } else if (way == 1) { /* a first fragment, no more of it yet */
                    put(TEXT, text, len, SHORTEST, some_mask);
                } else if (way == 2) { /* the begin of a longer frame */
                    put(FIN | TEXT, text, len, SHORTEST, some_mask);
                    out.data[1] = 0x80 | 100;
                } else { /* one byte a fragment */
                    for (size_t k = 0; k < len; k++)
                        put(k ? CONTINUATION : TEXT, text + k, 1, SHORTEST, some_mask);
                }
                client_send(c, out.data, out.len);
                EXPECT_CLOSE(c, 1007, NULL);
                EXPECT_EVENTS("connect; close 1007; ");
                end_of(c);
                if (test.bad > bad) printf("    that was sequence %d, way %d\n", (int)i, way);
            }
        }
        finish(server);
    }
    TEST("half a character is no error until its message ends there") {
        azc_server *server = serve(NULL, recorder("/t"));
        for (size_t i = 0; i < sizeof halves / sizeof *halves; i++) {
            client *c = join_channel(server, "/t");
            client_frame(c, TEXT, halves[i], strlen(halves[i]));
            EXPECT_SILENCE(c);
            client_frame(c, FIN | CONTINUATION, "", 0);
            EXPECT_CLOSE(c, 1007, NULL);
            end_of(c);
            c = join_channel(server, "/t");
            client_frame(c, FIN | TEXT, halves[i], strlen(halves[i]));
            EXPECT_CLOSE(c, 1007, NULL);
            end_of(c);
            EXPECT_EVENTS("connect; close 1007; connect; close 1007; ");
        }
        finish(server);
    }
    TEST("characters may be cut by fragments, frames and segments anywhere") {
        azc_server *server = serve(NULL, echoer("/t"));
        const char *text = "\xce\xba\xe1\xbd\xb9 \xf0\x9f\x98\x80 \xed\x9f\xbf\xee\x80\x80 "
                           "\xf4\x8f\xbf\xbf \xef\xbf\xbf \xc2\x80 \xe0\xa0\x80 \xf0\x90\x80\x80";
        size_t len = strlen(text);
        client *c = join_channel(server, "/t");
        for (size_t cut = 0; cut <= len; cut++) {
            client_frame(c, TEXT, text, cut);
            client_frame(c, FIN | PING, "", 0); /* control frames do not disturb it */
            client_frame(c, FIN | CONTINUATION, text + cut, len - cut);
            EXPECT_FRAME(c, PONG, "", 0);
            EXPECT_TEXT(c, text);
        }
        for (size_t k = 0; k < len; k++)
            client_frame(c, (k ? CONTINUATION : TEXT) | (k == len - 1 ? FIN : 0), text + k, 1);
        EXPECT_TEXT(c, text);
        finish(server);
    }
    TEST("binary is any bytes, and so are pings") {
        azc_server *server = serve(NULL, echoer("/t"));
        client *c = join_channel(server, "/t");
        client_frame(c, FIN | BINARY, "\xff\xfe\x80\x00", 4);
        EXPECT_FRAME(c, BINARY, "\xff\xfe\x80\x00", 4);
        client_frame(c, FIN | PING, "\xff", 1);
        EXPECT_FRAME(c, PONG, "\xff", 1);
        finish(server);
    }
    TEST("text that the program sends is checked, and invalid text is not sent") {
        azc_server *server = serve(NULL, recorder("/t"));
        client *c = join_channel(server, "/t");
        azc_conn *conn = member_of(served);
        CHECK_INT(azc_send_text(conn, "\xff", 1), AZC_ERR_UTF8);
        CHECK_INT(azc_send_text(conn, "\xe2\x82", 2), AZC_ERR_UTF8);
        CHECK_INT(azc_send_text(conn, "\xed\xa0\x80", 3), AZC_ERR_UTF8);
        CHECK_INT(azc_broadcast(served, NULL, "a\xff", 2, NULL), AZC_ERR_UTF8);
        CHECK_INT(azc_close(conn, 1000, "\xff"), AZC_ERR_UTF8);
        CHECK_INT(azc_backlog(conn), 0);
        CHECK_INT(azc_send_text(conn, "\xe2\x82\xac", 3), AZC_OK);
        CHECK_INT(azc_send_binary(conn, "\xff", 1), AZC_OK);
        EXPECT_TEXT(c, "\xe2\x82\xac");
        EXPECT_FRAME(c, BINARY, "\xff", 1);
        EXPECT_SILENCE(c);
        finish(server);
    }
}

/* ---- The same conversation, cut anywhere ----------------------------------------------------- */

static void conversation(int ending) {
    out.len = 0;
    put_text("hello");
    put(FIN | PING, "p", 1, SHORTEST, some_mask);
    put(TEXT, "\xe2\x82", 2, SHORTEST, some_mask);
    put(FIN | PING, "", 0, SHORTEST, some_mask);
    put(CONTINUATION, "\xac and", 5, SHORTEST, some_mask);
    put(CONTINUATION, "", 0, SHORTEST, some_mask);
    put(FIN | CONTINUATION, " on", 3, SHORTEST, some_mask);
    put(FIN | BINARY, "\0\xff", 2, SHORTEST, some_mask);
    char longer[130];
    memset(longer, 'L', sizeof longer);
    put(FIN | TEXT, longer, sizeof longer, SHORTEST, some_mask);
    put(FIN | TEXT, "", 0, SHORTEST, some_mask);
    if (ending == 0) put(FIN | CLOSE, "\x0f\xa1tired", 7, SHORTEST, some_mask);
    if (ending == 1) put(FIN | TEXT, "fine\xff, not", 10, SHORTEST, some_mask);
    if (ending == 2) put(0xa2, "rsv", 3, SHORTEST, some_mask);
    if (ending == 3) put(FIN | CLOSE, "", 0, SHORTEST, some_mask);
}

static void cuts(void) {
    TEST("a conversation cut at any byte gives the same callbacks and the same bytes") {
        azc_server *server = serve(NULL, echo_recorder());
        for (int ending = 0; ending < 4; ending++) {
            conversation(ending);
            char *want_events = NULL;
            unsigned char *want = NULL;
            size_t want_len = 0;
            for (size_t cut = 0; cut <= out.len && test.bad == 0; cut++) {
                client *c = join_channel(server, "/t");
                if (cut == out.len) {
                    client_drip(c, out.data, out.len);
                } else {
                    client_send(c, out.data, cut), settle(server);
                    client_send(c, out.data + cut, out.len - cut);
                }
                pump_until(server, count_of(tape_text(&events), "close"));
                shutdown(c->fd, SHUT_WR);
                client_await(c, 100000);
                CHECK_INT(c->eof, 1);
                if (cut == 0) {
                    want_events = strdup(tape_text(&events));
                    want = (unsigned char *)malloc(c->len);
                    memcpy(want, c->in, want_len = c->len);
                    CHECK(strstr(want_events, "connect; text hello; ping p; ping ; "
                                              "text \xe2\x82\xac and on; binary <2 bytes"));
                }
                EXPECT_EVENTS(want_events);
                CHECK(c->len == want_len && memcmp(c->in, want, want_len) == 0);
                if (test.bad) printf("    ending %d, cut at %d\n", ending, (int)cut);
                client_close(c);
            }
            free(want_events), free(want);
        }
        finish(server);
    }
    TEST("a conversation cut at random into any pieces gives the same callbacks and bytes") {
        azc_server *server = serve(NULL, echo_recorder());
        unsigned seed = 7;
        char *want_events = NULL;
        for (int round = 0; round < 200 && test.bad == 0; round++) {
            conversation(0);
            client *c = join_channel(server, "/t");
            for (size_t at = 0, n; at < out.len; at += n) {
                n = (seed = seed * 69069 + 1) >> 28;
                n = round == 0 || n > out.len - at ? out.len - at : n;
                client_send(c, out.data + at, n), azc_poll(server, 0);
            }
            client_await(c, 100000);
            if (round == 0) want_events = strdup(tape_text(&events));
            EXPECT_EVENTS(want_events);
        }
        free(want_events);
        finish(server);
    }
}

int main(int argc, char **argv) {
    test_start(argc, argv);
    frames();
    peer_errors();
    utf8();
    cuts();
    tape_clear(&events), tape_clear(&log_lines);
    return test_end();
}
