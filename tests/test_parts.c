/* PARTS over real sockets: on_part in every cut, and files of any size sent from on_drain, in
 * constant memory. */
#define AZCHAN_IMPLEMENTATION
#include "../azchan.h"
#include "test.h"
#include "client.h"

/* ---- The parts that the program received ----------------------------------------------------- */

/* Join the parts of a message, check their flags, and note the whole message. */
static struct {
    tape text;
    int open, kind, parts, most; /* most: parts that are taken before the program closes */
    unsigned long long bytes, sum;
    int keep; /* in text; else only bytes and sum */
} heard;

static int part(azc_conn *conn, const void *data, size_t len, int flags) {
    const unsigned char *p = (const unsigned char *)data;
    CHECK_INT(p[len], 0);
    CHECK_INT((flags & AZC_PART_FIRST) != 0, !heard.open);
    CHECK((flags & ~(AZC_PART_FIRST | AZC_PART_LAST | AZC_PART_TEXT)) == 0);
    CHECK(len > 0 || (flags & AZC_PART_LAST));
    if (flags & AZC_PART_FIRST) tape_clear(&heard.text), heard.parts = 0, heard.kind = flags & AZC_PART_TEXT;
    CHECK_INT(flags & AZC_PART_TEXT, heard.kind);
    heard.open = !(flags & AZC_PART_LAST);
    heard.parts++, heard.bytes += len;
    for (size_t i = 0; i < len; i += 4093) heard.sum += p[i] * (heard.bytes + i);
    if (heard.keep) tape_add(&heard.text, (const char *)data, len);
    if (heard.most && heard.parts == heard.most) return azc_close(conn, 1009, "too much");
    if (heard.keep && flags & AZC_PART_LAST)
        note("%s %s", flags & AZC_PART_TEXT ? "text" : "binary",
             word_of(tape_text(&heard.text), heard.text.len));
    return AZC_OK;
}

static int never_text(azc_conn *conn, const char *text, size_t len) {
    (void)conn, (void)text, (void)len;
    note("on_message");
    return AZC_OK;
}
static int never_binary(azc_conn *conn, const void *data, size_t len) {
    (void)conn, (void)data, (void)len;
    note("on_binary");
    return AZC_OK;
}

static azc_channel_desc parted(void) {
    azc_channel_desc d = recorder("/t");
    tape_clear(&heard.text);
    memset(&heard, 0, sizeof heard);
    heard.keep = 1;
    d.on_connect = NULL;
    d.on_message = never_text, d.on_binary = never_binary;
    serve_parts.on_part = part;
    return d;
}

static void end_of(client *c) {
    client_bye(c, 1000, "");
    EXPECT_EOF(c);
    client_close(c);
}

/* ---- In -------------------------------------------------------------------------------------- */

static void messages(void) {
    TEST("a message that arrives whole is one part, first and last; an empty one too") {
        azc_server *server = serve(NULL, parted());
        client *c = join_channel(server, "/t");
        client_text(c, "hello"), client_frame(c, FIN | BINARY, "\1\2", 2);
        pump_until(server, count_of(tape_text(&events), ";") == 2);
        CHECK_INT(heard.parts, 1);
        client_text(c, ""), client_frame(c, FIN | BINARY, "", 0);
        pump_until(server, count_of(tape_text(&events), ";") == 4);
        EXPECT_EVENTS("text hello; binary <2 bytes, sum 33>; text ; binary ; ");
        CHECK_INT(heard.parts, 1);
        CHECK_INT(azc_stats(server)->messages_in, 4);
        finish(server);
    }
    TEST("fragments are parts; an empty fragment is a part only if it is the last") {
        azc_server *server = serve(NULL, parted());
        client *c = join_channel(server, "/t");
        client_frame(c, TEXT, "", 0), client_frame(c, CONTINUATION, "one, ", 5);
        settle(server);
        CHECK_INT(heard.parts, 1);
        client_frame(c, CONTINUATION, "", 0), client_frame(c, FIN | PING, "p", 1);
        client_frame(c, CONTINUATION, "two", 3), client_frame(c, FIN | PONG, "q", 1);
        EXPECT_FRAME(c, PONG, "p", 1);
        settle(server);
        CHECK_INT(heard.parts, 2);
        client_frame(c, FIN | CONTINUATION, "", 0);
        settle(server);
        CHECK_INT(heard.parts, 3);
        client_frame(c, BINARY, "", 0), client_frame(c, FIN | CONTINUATION, "", 0);
        settle(server);
        CHECK_INT(heard.parts, 1);
        EXPECT_EVENTS("ping p; pong q; text one, two; binary ; ");
        CHECK_INT(azc_stats(server)->messages_in, 2);
        finish(server);
    }
    TEST("byte by byte and in every cut the parts make the same messages") {
        azc_server *server = serve(NULL, parted());
        unsigned char out[600], long_text[300];
        char want[200];
        memset(long_text, 'L', sizeof long_text);
        snprintf(want, sizeof want, "text K\xc3\xa4se; ping in; binary %s; text %s; ",
                 word_of(long_text, sizeof long_text), "\xe2\x82\xac\xf0\x9f\x98\x80");
        size_t n = put_frame(out, TEXT, "K\xc3", 2, SHORTEST, some_mask);
        n += put_frame(out + n, CONTINUATION, "\xa4", 1, SHORTEST, some_mask);
        n += put_frame(out + n, FIN | CONTINUATION, "se", 2, SHORTEST, some_mask);
        n += put_frame(out + n, BINARY, long_text, 200, SHORTEST, some_mask);
        n += put_frame(out + n, FIN | PING, "in", 2, SHORTEST, some_mask);
        n += put_frame(out + n, FIN | CONTINUATION, long_text, 100, SHORTEST, some_mask);
        n += put_frame(out + n, FIN | TEXT, "\xe2\x82\xac\xf0\x9f\x98\x80", 7, SHORTEST, some_mask);
        for (size_t cut = 0; cut <= n; cut++) {
            client *c = join_channel(server, "/t");
            if (cut == 0) client_drip(c, out, n);
            else client_send(c, out, cut), settle(server), client_send(c, out + cut, n - cut);
            EXPECT_FRAME(c, PONG, "in", 2);
            settle(server);
            EXPECT_EVENTS(want);
            CHECK(member_of(served)->in == NULL); /* nothing is half received */
            client_bye(c, 1000, "");
            EXPECT_CLOSE(c, 1000, NULL);
            EXPECT_EOF(c);
            client_close(c);
            settle(server);
            EXPECT_EVENTS("close 1000; ");
        }
        finish(server);
    }
    TEST("text is checked across parts: a bad byte is 1007, and so is a cut character at the end") {
        static const struct {
            const char *first, *last;
            int told; /* parts before the end */
        } bad[] = {{"K\xc3", "x", 1}, {"\xff", "", 0}, {"ok", "\xc3", 1}, {"", "\xed\xa0\x80", 0},
                   {"\xf0\x9f\x98", "", 1}};
        azc_server *server = serve(NULL, parted());
        for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
            client *c = join_channel(server, "/t");
            heard.open = heard.parts = 0;
            client_frame(c, TEXT, bad[i].first, strlen(bad[i].first));
            client_frame(c, FIN | CONTINUATION, bad[i].last, strlen(bad[i].last));
            client_text(c, "late");
            EXPECT_CLOSE(c, 1007, NULL);
            CHECK_INT(heard.parts, bad[i].told);
            end_of(c);
            settle(server);
            EXPECT_EVENTS("close 1007; ");
        }
        heard.open = 0;
        client *c = join_channel(server, "/t");
        client_frame(c, FIN | BINARY, "\xff\xc3", 2); /* of binary nothing is asked */
        settle(server);
        EXPECT_EVENTS("binary \xff\xc3; ");
        finish(server);
    }
    TEST("a violation of RFC 6455 5.4 between parts is 1002") {
        azc_server *server = serve(NULL, parted());
        static const int after[] = {TEXT, FIN | BINARY, FIN | CONTINUATION | 0x40, 3, PING};
        for (size_t i = 0; i < sizeof after / sizeof *after; i++) {
            client *c = join_channel(server, "/t");
            heard.open = 0;
            client_frame(c, TEXT, "begun", 5), client_frame(c, after[i], "x", 1);
            EXPECT_CLOSE(c, 1002, NULL);
            end_of(c);
            settle(server);
            EXPECT_EVENTS("close 1002; ");
        }
        client *c = join_channel(server, "/t"); /* nothing to continue */
        heard.open = 0;
        client_frame(c, FIN | TEXT, "whole", 5), client_frame(c, FIN | CONTINUATION, "x", 1);
        EXPECT_CLOSE(c, 1002, NULL);
        finish(server);
    }
    TEST("max_message does not apply to parts, but still to other channels") {
        azc_config config = quick();
        azc_server *server = create((config.max_message = 100, &config));
        azc_channel_desc d = parted(), e = recorder("/whole");
        static char long_text[5000];
        memset(long_text, 'x', sizeof long_text);
        CHECK_INT(azc_on_part(azc_add_channel(server, &d), part), AZC_OK);
        memset(&serve_parts, 0, sizeof serve_parts);
        azc_add_channel(server, &e);
        listening(server);
        client *c = join_channel(server, "/t"), *w = join_channel(server, "/whole");
        client_frame(c, FIN | TEXT, long_text, sizeof long_text);
        client_frame(w, TEXT, "in ", 3), client_frame(w, FIN | CONTINUATION, "one", 3);
        settle(server);
        client_frame(w, FIN | TEXT, long_text, 101);
        EXPECT_CLOSE(w, 1009, NULL);
        CHECK(strstr(tape_text(&events), "text in one; ") != NULL);
        CHECK(strstr(tape_text(&events), "text <5000 bytes") != NULL);
        finish(server);
    }
}

static void ends(void) {
    TEST("after azc_close no part is delivered, wherever in the message it was") {
        azc_server *server = serve(NULL, parted());
        static char big[300000];
        for (int most = 1; most <= 3; most++) {
            client *c = join_channel(server, "/t");
            heard.open = 0, heard.most = most, heard.parts = 0;
            client_frame(c, BINARY, big, sizeof big), client_frame(c, CONTINUATION, big, 5000);
            client_frame(c, FIN | CONTINUATION, "end", 3), client_text(c, "late");
            EXPECT_CLOSE(c, 1009, "too much");
            CHECK_INT(heard.parts, most);
            client_text(c, "later");
            end_of(c);
            settle(server);
            EXPECT_EVENTS("close 1009; ");
            CHECK_INT(heard.parts, most);
        }
        finish(server);
    }
    TEST("a peer that disconnects in a message causes only on_close") {
        azc_server *server = serve(NULL, parted());
        client *c = join_channel(server, "/t"), *d = join_channel(server, "/t");
        size_t idle = memory.bytes;
        client_frame(c, TEXT, "begun", 5);
        settle(server);
        client_reset(c);
        settle(server);
        EXPECT_EVENTS("close 1006; ");
        heard.open = 0;
        client_frame(d, BINARY, "begun", 5), client_bye(d, 1000, "");
        EXPECT_CLOSE(d, 1000, NULL);
        settle(server);
        CHECK(memory.bytes < idle);
        finish(server);
    }
    TEST("without memory for a partial frame the peer gets 1011; whole frames need none") {
        azc_server *server = serve(NULL, parted());
        client *c = join_channel(server, "/t");
        unsigned char out[64];
        size_t n = put_frame(out, FIN | TEXT, "0123456789", 10, SHORTEST, some_mask);
        azc__pool_free(&server->mem);
        memory.none = 1;
        client_send(c, out, n), settle(server);
        EXPECT_EVENTS("text 0123456789; ");
        client_send(c, out, n - 3), azc_poll(server, 0);
        memory.none = 0;
        settle(server);
        EXPECT_EVENTS("close 1011; ");
        finish(server);
    }
}

static int refuse(azc_conn *conn, const void *data, size_t len, int flags) {
    (void)flags;
    if (len == 1 && *(const char *)data == 'b') azc_close(conn, 4000, "inside");
    return AZC_ERR_APP;
}
static int echo_part(azc_conn *conn, const void *data, size_t len, int flags) {
    (void)flags;
    return azc_send_binary(conn, data, len);
}

static void results(void) {
    TEST("an error that on_part returns goes to on_error, and the message continues") {
        azc_channel_desc d = parted();
        serve_parts.on_part = refuse;
        azc_server *server = serve(NULL, d);
        client *c = join_channel(server, "/t");
        client_frame(c, TEXT, "a", 1), settle(server);
        EXPECT_EVENTS("error -15; ");
        client_frame(c, FIN | CONTINUATION, "b", 1);
        EXPECT_CLOSE(c, 4000, "inside");
        settle(server);
        EXPECT_EVENTS("close 4000 inside; "); /* after azc_close no on_error */
        finish(server);
    }
    TEST("a peer whose parts are echoed never overruns its backlog, however slow it is") {
        enum { TOTAL = 8 << 20 };
        azc_channel_desc d = parted();
        serve_parts.on_part = echo_part;
        azc_server *server = serve(NULL, d);
        client *c = join_channel(server, "/t");
        unsigned char *all = (unsigned char *)malloc(TOTAL + 14);
        if (!all) abort();
        for (int i = 0; i < TOTAL; i++) all[14 + i] = (unsigned char)(i * 7 >> 3);
        size_t size = put_frame(all, FIN | BINARY, all + 14, TOTAL, SHORTEST, some_mask);
        size_t sent = 0, got = 0, wrong = 0;
        long long end = now_ms() + 4 * WAIT_MS;
        while (got < TOTAL && now_ms() < end) {
            long n = client_send_some(c, all + sent, size - sent);
            if (n > 0) sent += (size_t)n;
            azc_poll(server, 0);
            if (n == 0 || sent == size) {
                frame f;
                if (!client_read(c, &f) || !CHECK_INT(f.opcode, BINARY)) break;
                for (size_t i = 0; i < f.len; i++)
                    wrong += f.data[i] != (unsigned char)((got + i) * 7 >> 3);
                got += f.len;
            }
        }
        CHECK_INT(got, TOTAL);
        CHECK_INT(wrong, 0);
        CHECK(azc_stats(server)->peak_backlog <= 256 << 10);
        CHECK_INT(azc_stats(server)->dropped, 0);
        free(all);
        finish(server);
    }
}

/* ---- Any size -------------------------------------------------------------------------------- */

enum { FIRMWARE = 64 << 20 };

static unsigned char firmware(size_t at) { return (unsigned char)(at * 2654435761u >> 11); }

static void uploads(void) {
    TEST("64 MiB arrive in parts through the read buffer; memory grows by less than a kilobyte") {
        azc_server *server = serve(NULL, parted());
        client *c = join_channel(server, "/t");
        static unsigned char chunk[1 << 16], head[14];
        settle(server);
        heard.keep = 0;
        memory.peak = memory.bytes;
        size_t idle = memory.bytes;
        client_send(c, head, put_header(head, FIN | BINARY, FIRMWARE, SHORTEST, some_mask));
        for (size_t at = 0; at < FIRMWARE; at += sizeof chunk) {
            for (size_t i = 0; i < sizeof chunk; i++)
                chunk[i] = (unsigned char)(firmware(at + i) ^ some_mask[i % 4]);
            if (!client_send(c, chunk, sizeof chunk)) break;
        }
        pump_until(server, heard.bytes == FIRMWARE);
        CHECK(!heard.open);
        CHECK(memory.peak - idle < 1024);
        printf("test_parts: 64 MiB in: %lu bytes over idle at the peak, %d parts\n",
               (unsigned long)(memory.peak - idle), heard.parts);
        EXPECT_EVENTS("");
        finish(server);
    }
}

/* A file on its way out: the program as the manual has it. */
typedef struct transfer {
    FILE *file;
} transfer;

static int file_more(azc_conn *conn) {
    transfer *t = (transfer *)azc_data(conn);
    char chunk[8192];
    for (size_t n; azc_backlog(conn) <= 128 << 10;) {
        if ((n = fread(chunk, 1, sizeof chunk, t->file)) == 0)
            return azc_close(conn, 1000, "all");
        azc_send_binary(conn, chunk, n);
    }
    return AZC_OK;
}
static FILE *shelf; /* what is fetched */
static int file_begin(azc_conn *conn) {
    transfer *t = (transfer *)azc_data(conn);
    int fd = dup(fileno(shelf));
    t->file = fd >= 0 ? fdopen(fd, "rb") : NULL;
    if (t->file == NULL) return AZC_ERR_SYSTEM;
    rewind(t->file);
    return file_more(conn);
}
static void file_end(azc_conn *conn, int code, const char *reason) {
    transfer *t = (transfer *)azc_data(conn);
    if (t->file != NULL) fclose(t->file);
    note("close %d %s", code, reason);
}

static azc_channel_desc library(void) {
    azc_channel_desc d;
    memset(&d, 0, sizeof d);
    d.path = "/t", d.data_size = sizeof(transfer);
    d.on_connect = file_begin, d.on_drain = file_more, d.on_close = file_end;
    return d;
}

static void downloads(void) {
    shelf = tmpfile();
    if (!shelf) abort();
    for (size_t at = 0; at < FIRMWARE; at++) putc(firmware(at), shelf);
    fflush(shelf);
    TEST("64 MiB of a file are sent from on_drain; memory stays under one max_backlog") {
        azc_server *server = serve(NULL, library());
        size_t idle = memory.bytes, got = 0, wrong = 0;
        memory.peak = memory.bytes;
        client *c = join_channel(server, "/t");
        frame f;
        while (client_read(c, &f) && f.opcode == BINARY) {
            for (size_t i = 0; i < f.len; i++) wrong += f.data[i] != firmware(got + i);
            got += f.len;
        }
        CHECK_INT(f.opcode, CLOSE);
        CHECK_INT(got, FIRMWARE);
        CHECK_INT(wrong, 0);
        CHECK(memory.peak - idle <= 256 << 10);
        printf("test_parts: 64 MiB out: %lu bytes over idle at the peak\n",
               (unsigned long)(memory.peak - idle));
        settle(server);
        EXPECT_EVENTS("close 1000 all; ");
        finish(server);
    }
    TEST("a peer that stalls in a file keeps only its backlog, and others are served") {
        azc_server *server = serve(NULL, library());
        client *slow = client_open_to(server, "127.0.0.1", azc_port(server), 1);
        CHECK_INT(client_upgrade(slow, "/t", ""), 101);
        size_t held = 0, got = 0;
        for (int i = 0; i < 40 && memory.bytes != held; i++) held = memory.bytes, pump(server, 50);
        CHECK_INT(memory.bytes, held);
        client *c = join_channel(server, "/t");
        for (frame f; got < 4 << 20 && client_read(c, &f);) got += f.len;
        CHECK(got >= 4 << 20);
        client_close(c);
        settle(server);
        CHECK(azc_count(served, NULL) == 1);
        client_reset(slow);
        settle(server);
        EXPECT_EVENTS("close 1006 ; close 1006 ; ");
        finish(server);
    }
    fclose(shelf);
}

int main(int argc, char **argv) {
    test_start(argc, argv);
    signal(SIGPIPE, SIG_DFL);
    messages();
    ends();
    results();
    uploads();
    downloads();
    return test_end();
}
