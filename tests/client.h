/* client.h: servers under test, and clients that talk to them over real sockets.
 *
 * All of it runs in one thread: a client that waits polls the server meanwhile, for at most
 * WAIT_MS, so a test reads as if its client blocked. Every server allocates through memory.h, which
 * fails when a test wants it to; finish() closes a server's clients, destroys the server, and
 * checks that no byte and no descriptor is left.
 *
 * Include azchan.h with AZCHAN_IMPLEMENTATION, then test.h, then this. */
#ifndef CLIENT_H
#define CLIENT_H

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdarg.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include "memory.h"
#include "sends.h"

#ifndef WAIT_MS
#define WAIT_MS 5000
#endif
#ifndef CLIENT_CLOCK /* scenario.h has its own */
#define CLIENT_CLOCK clock_gettime
#endif

#ifndef MSG_NOSIGNAL
#define MSG_NOSIGNAL 0
#endif

static inline long long now_ms(void) {
    struct timespec t;
    CLIENT_CLOCK(CLOCK_MONOTONIC, &t);
    return (long long)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

/* Poll until cond holds; it is a failed check when it does not within WAIT_MS. */
#define pump_until(server, cond)                                                                 \
    do {                                                                                         \
        long long pump_end = now_ms() + WAIT_MS;                                                 \
        while (!(cond) && now_ms() < pump_end) azc_poll(server, 1);                              \
        CHECK(cond);                                                                             \
    } while (0)

/* Poll for so long. */
static inline void pump(azc_server *server, int ms) {
    for (long long end = now_ms() + ms; now_ms() < end;) azc_poll(server, 1);
}

/* Poll as often as it takes to see what is in the sockets by now. */
static inline void settle(azc_server *server) {
    for (int i = 0; i < 5; i++) azc_poll(server, 0);
}

/* Servers made by create and not yet finished, and how many descriptors were open before them. */
static struct {
    int servers, descriptors;
} running;

static inline int descriptors(void) {
    int n = 0;
    for (int fd = 0; fd < 4096; fd++) n += fcntl(fd, F_GETFD) >= 0;
    return n;
}

/* ---- What happened: lines that tests compare ------------------------------------------------- */

typedef struct tape {
    char *text;
    size_t len, size;
} tape;

static tape events, log_lines;

static inline const char *tape_text(const tape *t) { return t->text ? t->text : ""; }
static inline void tape_clear(tape *t) { free(t->text), memset(t, 0, sizeof *t); }

static inline void tape_add(tape *t, const char *bytes, size_t len) {
    while (t->size < t->len + len + 1) {
        t->size = t->size ? t->size * 2 : 256;
        t->text = (char *)realloc(t->text, t->size);
        if (!t->text) abort();
    }
    memcpy(t->text + t->len, bytes, len);
    t->text[t->len += len] = 0;
}

/* Add to the events: printf, with a space after each line's end. */
static inline void note(const char *format, ...) {
    char line[1024];
    va_list args;
    va_start(args, format);
    vsnprintf(line, sizeof line, format, args);
    va_end(args);
    tape_add(&events, line, strlen(line));
    tape_add(&events, "; ", 2);
}

/* The events since the last look, compared and forgotten. */
#define EXPECT_EVENTS(want) expect_events(want, __FILE__, __LINE__)
static inline int expect_events(const char *want, const char *file, int line) {
    int ok = test_str(tape_text(&events), want, "what happened", file, line);
    tape_clear(&events);
    return ok;
}

/* A word of one letter, as the argument of callbacks that note it: letter(0) is "a". */
static inline void *letter(int n) {
    static char letters[26][2];
    letters[n][0] = (char)('a' + n);
    return letters[n];
}

static inline int count_of(const char *text, const char *word) {
    int n = 0;
    for (; (text = strstr(text, word)) != NULL; text += strlen(word)) n++;
    return n;
}

/* Bytes as a short readable word: themselves when short and plain, else length and checksum. */
static inline const char *word_of(const void *data, size_t len) {
    static char words[4][128];
    static int at;
    char *word = words[at++ % 4];
    const unsigned char *p = (const unsigned char *)data;
    unsigned long sum = 0;
    int plain = len < 100;
    for (size_t i = 0; i < len; i++) {
        sum = sum * 31 + p[i];
        if (p[i] < 32 || p[i] == 127) plain = 0;
    }
    if (plain) snprintf(word, sizeof words[0], "%.*s", (int)len, len ? (const char *)data : "");
    else snprintf(word, sizeof words[0], "<%lu bytes, sum %lu>", (unsigned long)len,
                  sum & 0xffffffff);
    return word;
}

/* A channel that notes every callback. With ?name=ada in the target each is prefixed "ada ". */
static inline const char *who(azc_conn *conn) {
    static char prefix[64];
    const char *name = azc_query(conn, "name");
    snprintf(prefix, sizeof prefix, "%s%s", name ? name : "", name ? " " : "");
    return prefix;
}
static inline int note_connect(azc_conn *conn) {
    note("%sconnect", who(conn));
    return AZC_OK;
}
static inline int note_text(azc_conn *conn, const char *text, size_t len) {
    CHECK(text[len] == 0);
    note("%stext %s", who(conn), word_of(text, len));
    return AZC_OK;
}
static inline int note_binary(azc_conn *conn, const void *data, size_t len) {
    note("%sbinary %s", who(conn), word_of(data, len));
    return AZC_OK;
}
static inline int note_ping(azc_conn *conn, const void *data, size_t len) {
    note("%sping %s", who(conn), word_of(data, len));
    return AZC_OK;
}
static inline int note_pong(azc_conn *conn, const void *data, size_t len) {
    note("%spong %s", who(conn), word_of(data, len));
    return AZC_OK;
}
static inline int note_drain(azc_conn *conn) {
    note("%sdrain", who(conn));
    return AZC_OK;
}
static inline void note_close(azc_conn *conn, int code, const char *reason) {
    if (!CHECK(reason != NULL)) reason = "";
    /* words of its own for the server's own verdicts are the server's business */
    int own = code == 1002 || code == 1007 || code == 1009 || code == 1013 || code == 1001;
    note("%sclose %d%s%s", who(conn), code, *reason && !own ? " " : "", own ? "" : reason);
}
static inline void note_error(azc_conn *conn, int error) { note("%serror %d", who(conn), error); }

static inline int echo_text(azc_conn *conn, const char *text, size_t len) {
    return azc_send_text(conn, text, len);
}
static inline int echo_binary(azc_conn *conn, const void *data, size_t len) {
    return azc_send_binary(conn, data, len);
}

static inline azc_channel_desc recorder(const char *path) {
    azc_channel_desc d;
    memset(&d, 0, sizeof d);
    d.path = path;
    d.on_connect = note_connect;
    d.on_message = note_text;
    d.on_binary = note_binary;
    d.on_ping = note_ping;
    d.on_pong = note_pong;
    d.on_drain = note_drain;
    d.on_close = note_close;
    d.on_error = note_error;
    return d;
}

static inline azc_channel_desc echoer(const char *path) {
    azc_channel_desc d;
    memset(&d, 0, sizeof d);
    d.path = path;
    d.on_message = echo_text;
    d.on_binary = echo_binary;
    d.on_close = note_close;
    return d;
}

/* ---- Servers --------------------------------------------------------------------------------- */

static inline void log_line(void *user, int level, const char *message) {
    CHECK(level >= AZC_LOG_ERROR && level <= AZC_LOG_WARNING);
    CHECK(user == (void *)&log_lines);
    CHECK(message && *message && !strchr(message, '\n'));
    tape_add(&log_lines, message, strlen(message));
    tape_add(&log_lines, "\n", 1);
}

/* Everything default but memory, log and the pause for peers that do not answer a close. */
static inline azc_config quick(void) {
    azc_config c;
    memset(&c, 0, sizeof c);
    c.alloc = memory_alloc;
    c.alloc_userdata = &memory;
    c.log = log_line;
    c.log_userdata = &log_lines;
    c.close_ms = 400;
    return c;
}

/* A server not yet listening. config NULL: quick(). */
/* The block that the next create puts its server in, once; NULL: the heap. */
static struct {
    void *memory;
    size_t size;
} create_block;

static inline azc_server *create(const azc_config *config) {
    azc_config c = config ? *config : quick();
    if (running.servers++ == 0) {
        tape_clear(&events), tape_clear(&log_lines);
        running.descriptors = descriptors();
        memory.peak = memory.bytes, memory.fail = memory.none = 0;
    }
    azc_server *server = create_block.memory == NULL ? azc_create(&c)
                         : azc_create_in(create_block.memory, create_block.size, &c);
    create_block.memory = NULL;
    if (!server) puts("azc_create: NULL"), abort();
    return server;
}

static inline int listening(azc_server *server) {
    int result = azc_listen(server);
    if (!CHECK_INT(result, AZC_OK)) printf("    azc_error: %s\n", azc_error(server));
    return result == AZC_OK;
}

/* A listening server with one channel, `served`. config NULL: quick(). */
static azc_channel *served;
/* The callbacks of optional parts that the next serve sets. */
static struct {
    azc_part_callback on_part;
    azc_presence_callback on_presence;
    azc_publish_callback on_publish;
    azc_room_callback on_room;
} serve_parts;

static inline azc_server *serve(const azc_config *config, azc_channel_desc desc) {
    azc_server *server = create(config);
    CHECK((served = azc_add_channel(server, &desc)) != NULL);
    if (serve_parts.on_part) CHECK_INT(azc_on_part(served, serve_parts.on_part), AZC_OK);
    if (serve_parts.on_presence)
        CHECK_INT(azc_on_presence(served, serve_parts.on_presence), AZC_OK);
    if (serve_parts.on_publish) CHECK_INT(azc_on_publish(served, serve_parts.on_publish), AZC_OK);
    if (serve_parts.on_room) CHECK_INT(azc_on_room(served, serve_parts.on_room), AZC_OK);
    memset(&serve_parts, 0, sizeof serve_parts);
    listening(server);
    return server;
}

/* Some connection of the channel, or NULL: for tests with one. */
static inline azc_conn *member_of(azc_channel *channel) {
    azc_cursor c = azc_members(channel, NULL);
    return azc_cursor_next(&c) ? c.conn : NULL;
}

/* ---- Clients --------------------------------------------------------------------------------- */

typedef struct client {
    azc_server *server;
    int fd;
    int eof;            /* 1: the peer ended the stream; 2: it was reset */
    unsigned char *in;  /* received, not yet looked at */
    size_t len, size;
    unsigned char *buffer; /* of size bytes; in is somewhere in it */
    struct client *next;
} client;

static client *clients;

static inline void client_unlink(client *c) {
    client **at = &clients;
    while (*at && *at != c) at = &(*at)->next;
    if (*at) *at = c->next;
    if (c->fd >= 0) close(c->fd);
    free(c->buffer), free(c);
}

/* Close without a word. */
static inline void client_close(client *c) { client_unlink(c); }

/* Close with a TCP reset. */
static inline void client_reset(client *c) {
    struct linger hard = {1, 0};
    setsockopt(c->fd, SOL_SOCKET, SO_LINGER, &hard, sizeof hard);
    client_unlink(c);
}

/* Destroy the server; nothing of it may be left. Its clients are closed before, or, when they
 * are to see the end, by the test after azc_destroy (then give NULL here). */
static inline void finish(azc_server *server) {
    for (client *c = clients, *next; c; c = next) {
        next = c->next;
        if (c->server == server || !server) client_unlink(c);
    }
    if (server) CHECK_INT(azc_destroy(server), AZC_OK);
    if (--running.servers > 0) return;
    CHECK_INT(memory.bytes, 0);
    CHECK_INT(memory.blocks, 0);
    CHECK_INT(descriptors(), running.descriptors);
}

static inline client *client_on(azc_server *server, int fd) {
    client *c = (client *)calloc(1, sizeof *c);
    if (!c) abort();
    c->server = server, c->fd = fd, c->next = clients, clients = c;
    return c;
}

/* address: numeric, or "unix:/path". small: a receive buffer as small as the kernel makes it.
 * Returns NULL when the connection is refused. */
static inline client *client_open_to(azc_server *server, const char *address, int port, int small) {
    union {
        struct sockaddr any;
        struct sockaddr_in v4;
        struct sockaddr_in6 v6;
        struct sockaddr_un un;
    } a;
    socklen_t len;
    memset(&a, 0, sizeof a);
    if (strncmp(address, "unix:", 5) == 0) {
        a.un.sun_family = AF_UNIX, len = sizeof a.un;
        snprintf(a.un.sun_path, sizeof a.un.sun_path, "%s", address + 5);
    } else if (strchr(address, ':')) {
        a.v6.sin6_family = AF_INET6, a.v6.sin6_port = htons((uint16_t)port), len = sizeof a.v6;
        inet_pton(AF_INET6, address, &a.v6.sin6_addr);
    } else {
        a.v4.sin_family = AF_INET, a.v4.sin_port = htons((uint16_t)port), len = sizeof a.v4;
        inet_pton(AF_INET, address, &a.v4.sin_addr);
    }
    int fd = socket(a.any.sa_family, SOCK_STREAM, 0), one = 1, tiny = 2048;
    if (fd < 0) return NULL;
    if (small) setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &tiny, sizeof tiny);
    if (connect(fd, &a.any, len) != 0) return close(fd), (client *)NULL;
    if (a.any.sa_family != AF_UNIX) setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    fcntl(fd, F_SETFL, O_NONBLOCK);
    return client_on(server, fd);
}

static inline client *client_open(azc_server *server) {
    client *c = client_open_to(server, "127.0.0.1", azc_port(server), 0);
    if (!c) printf("connect: %s\n", strerror(errno)), abort();
    return c;
}

/* What the socket takes at once: 0 when it is full, -1 when it is gone. */
static inline long client_send_some(client *c, const void *bytes, size_t len) {
    ssize_t n = send(c->fd, bytes, len, MSG_NOSIGNAL);
    if (n >= 0) return (long)n;
    return errno == EAGAIN || errno == EWOULDBLOCK || errno == EINTR ? 0 : -1;
}

/* Send all, polling while the socket is full. Returns 1 when all of it went. */
static inline int client_send(client *c, const void *bytes, size_t len) {
    long long end = now_ms() + WAIT_MS;
    for (size_t at = 0; at < len;) {
        long n = client_send_some(c, (const char *)bytes + at, len - at);
        if (n < 0 || (n == 0 && now_ms() > end)) return 0;
        at += (size_t)n;
        if (n == 0) azc_poll(c->server, 1);
    }
    return 1;
}

/* Send byte by byte, the server reading each before the next. */
static inline int client_drip(client *c, const void *bytes, size_t len) {
    for (size_t i = 0; i < len; i++) {
        if (!client_send(c, (const char *)bytes + i, 1)) return 0;
        azc_poll(c->server, 0);
    }
    return 1;
}

/* Receive what is there; never waits. */
static inline void client_fill(client *c) {
    while (!c->eof) {
        size_t used = (size_t)(c->in - c->buffer);
        if (c->size - used - c->len < 65536) {
            if (used <= c->size / 2) c->size = c->size ? c->size * 2 : 131072;
            unsigned char *buffer = (unsigned char *)malloc(c->size);
            if (!buffer) abort();
            if (c->len) memcpy(buffer, c->in, c->len);
            free(c->buffer);
            c->in = c->buffer = buffer, used = 0;
        }
        ssize_t n = recv(c->fd, c->in + c->len, c->size - used - c->len, 0);
        if (n > 0) c->len += (size_t)n;
        else if (n == 0) c->eof = 1;
        else if (errno == EAGAIN || errno == EWOULDBLOCK) return;
        else if (errno != EINTR) c->eof = 2;
    }
}

/* Wait for n bytes. Returns 1 when they are there, 0 at the stream's end or when time is up. */
static inline int client_await(client *c, size_t n) {
    long long end = now_ms() + WAIT_MS;
    for (client_fill(c); c->len < n; client_fill(c)) {
        if (c->eof || now_ms() > end) return 0;
        azc_poll(c->server, 1);
    }
    return 1;
}

static inline void client_take(client *c, size_t n) {
    c->in += n;
    c->len -= n;
}

/* The stream ends with a FIN, and has no more bytes. */
static inline int expect_eof(client *c, const char *file, int line) {
    client_await(c, c->len + 1);
    if (c->len == 0 && c->eof == 1) return 1;
    if (!test_fail(file, line)) return 0;
    printf("expected the end of the stream: %s, %lu bytes unread: %s\n",
           c->eof == 2 ? "it was reset" : c->eof ? "it ended" : "it lives on",
           (unsigned long)c->len, word_of(c->in, c->len));
    return 0;
}
#define EXPECT_EOF(c) expect_eof(c, __FILE__, __LINE__)

/* Nothing was received, and the stream is open. */
static inline int expect_silence(client *c, const char *file, int line) {
    settle(c->server);
    client_fill(c);
    if (c->len == 0 && !c->eof) return 1;
    if (!test_fail(file, line)) return 0;
    printf("expected silence: %s, %lu bytes: %s\n", c->eof ? "the stream ended" : "it lives on",
           (unsigned long)c->len, word_of(c->in, c->len));
    return 0;
}
#define EXPECT_SILENCE(c) expect_silence(c, __FILE__, __LINE__)

/* ---- HTTP ------------------------------------------------------------------------------------ */

typedef struct answer {
    int status;
    char head[16384]; /* with the empty line */
    char *body;       /* valid until the next answer of any client */
    size_t len;
} answer;

/* A field's value in the answer, or NULL. repeated: how many there are, or NULL. */
static inline const char *answer_field(const answer *a, const char *name, int *repeated) {
    static char values[4][1024];
    static int at;
    char *value = values[at++ % 4];
    int n = 0;
    size_t len = strlen(name);
    for (const char *line = strstr(a->head, "\r\n"); line && line[2] != '\r';) {
        line += 2;
        const char *end = strstr(line, "\r\n");
        if (!end) break;
        size_t i = 0;
        while (i < len && (line[i] | 32) == (name[i] | 32)) i++;
        if (i == len && line[i] == ':' && n++ == 0) {
            const char *v = line + i + 1;
            while (*v == ' ') v++;
            snprintf(value, sizeof values[0], "%.*s", (int)(end - v), v);
        }
        line = end;
    }
    if (repeated) *repeated = n;
    return n ? value : NULL;
}

static inline int answer_has(const answer *a, const char *name, const char *value) {
    const char *got = answer_field(a, name, NULL);
    return got && strcmp(got, value) == 0;
}

/* Read one answer. head_only: to a HEAD. Returns its status, 0 when none came whole. */
static inline int client_answer_to(client *c, answer *a, int head_only) {
    static char *last;
    size_t head = 0;
    memset(a, 0, sizeof *a);
    free(last), last = NULL;
    for (;;) {
        for (size_t i = 0; i + 4 <= c->len && !head; i++)
            if (memcmp(c->in + i, "\r\n\r\n", 4) == 0) head = i + 4;
        if (head || !client_await(c, c->len + 1)) break;
    }
    if (head == 0 || head >= sizeof a->head) return 0;
    memcpy(a->head, c->in, head);
    if (strncmp(a->head, "HTTP/1.1 ", 9) != 0 || a->head[12] != ' ') return 0;
    int status = atoi(a->head + 9);
    const char *length = answer_field(a, "Content-Length", NULL);
    size_t body = length && status >= 200 && status != 204 && status != 304 && !head_only
                      ? (size_t)strtoul(length, NULL, 10) : 0;
    if (!client_await(c, head + body)) return 0;
    a->body = last = (char *)malloc(body + 1);
    if (!last) abort();
    memcpy(a->body, c->in + head, body);
    a->body[a->len = body] = 0;
    client_take(c, head + body);
    return a->status = status;
}
static inline int client_answer(client *c, answer *a) { return client_answer_to(c, a, 0); }

/* Send printf-made text. */
static inline int client_print(client *c, const char *format, ...) {
    char text[16384];
    va_list args;
    va_start(args, format);
    int n = vsnprintf(text, sizeof text, format, args);
    va_end(args);
    if (n < 0 || (size_t)n >= sizeof text) abort();
    return client_send(c, text, (size_t)n);
}

/* RFC 6455 1.3's key, and what the server owes for it. */
#define KEY "dGhlIHNhbXBsZSBub25jZQ=="
#define ACCEPT "s3pPLMBiTxaQ9kYGzzhZRbK+xOo="
#define UPGRADE                                                                                  \
    "Host: a.example\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"                           \
    "Sec-WebSocket-Key: " KEY "\r\nSec-WebSocket-Version: 13\r\n"

/* Open and shake hands. fields: further header lines, each with its CRLF. Returns the status. */
static inline int client_upgrade(client *c, const char *target, const char *fields) {
    answer a;
    client_print(c, "GET %s HTTP/1.1\r\n" UPGRADE "%s\r\n", target, fields);
    return client_answer(c, &a);
}

/* A client in a channel. If its handshake fails, so does a check. */
static inline client *join_channel(azc_server *server, const char *target) {
    client *c = client_open(server);
    CHECK_INT(client_upgrade(c, target, ""), 101);
    return c;
}

/* ---- The result of azc_peer ------------------------------------------------------------------ */

#define FOR "X-Forwarded-For: "

/* Answers with azc_peer. */
static inline int peer_handler(azc_conn *conn, void *userdata) {
    (void)userdata;
    return azc_reply(conn, 200, "text/plain", azc_peer(conn), strlen(azc_peer(conn)));
}

/* azc_peer of a request with these fields, if peer_handler is at /peer. */
static inline const char *peer_of(client *c, const char *fields) {
    static answer a;
    client_print(c, "GET /peer HTTP/1.1\r\nHost: a.example\r\n%s\r\n", fields);
    CHECK_INT(client_answer(c, &a), 200);
    return a.body ? a.body : "(nothing)";
}

/* ---- Frames ---------------------------------------------------------------------------------- */

enum { CONTINUATION = 0, TEXT = 1, BINARY = 2, CLOSE = 8, PING = 9, PONG = 10, FIN = 0x80 };
enum { SHORTEST = 0, LENGTH16 = 1, LENGTH64 = 2 };

static const unsigned char some_mask[4] = {0x37, 0xfa, 0x21, 0x3d};

/* A frame's header: the first byte as it is (FIN and RSV bits and opcode), the length in a form,
 * masked, or not when mask is NULL. Returns its size, at most 14. */
static inline size_t put_header(unsigned char *out, int first, uint64_t len, int form,
                                const unsigned char *mask) {
    size_t n = 2;
    int bytes = form == LENGTH64 || len > 65535 ? 8 : form == LENGTH16 || len > 125 ? 2 : 0;
    out[0] = (unsigned char)first;
    out[1] = (unsigned char)((mask ? 0x80 : 0) | (bytes == 8 ? 127 : bytes == 2 ? 126 : (int)len));
    for (int i = bytes - 1; i >= 0; i--) out[n++] = (unsigned char)(len >> (8 * i));
    for (int i = 0; mask && i < 4; i++) out[n++] = mask[i];
    return n;
}

/* A whole frame into out, which holds len + 14. Returns its size. */
static inline size_t put_frame(unsigned char *out, int first, const void *data, size_t len,
                               int form, const unsigned char *mask) {
    size_t n = put_header(out, first, len, form, mask);
    for (size_t i = 0; i < len; i++)
        out[n++] = (unsigned char)(((const unsigned char *)data)[i] ^ (mask ? mask[i % 4] : 0));
    return n;
}

/* A request and frames that are sent in one segment. */
typedef struct batch {
    unsigned char bytes[1024];
    size_t len;
} batch;

static inline batch batch_of(const char *request) {
    batch b;
    b.len = strlen(request);
    if (b.len >= sizeof b.bytes) abort();
    memcpy(b.bytes, request, b.len);
    return b;
}
static inline void batch_add(batch *b, int first, const char *text) {
    if (b->len + strlen(text) + 14 > sizeof b->bytes) abort();
    b->len += put_frame(b->bytes + b->len, first, text, strlen(text), SHORTEST, some_mask);
}

/* Send one masked frame. */
static inline int client_frame(client *c, int first, const void *data, size_t len) {
    unsigned char *out = (unsigned char *)malloc(len + 14);
    if (!out) abort();
    int all = client_send(c, out, put_frame(out, first, data, len, SHORTEST, some_mask));
    free(out);
    return all;
}
static inline int client_text(client *c, const char *text) {
    return client_frame(c, FIN | TEXT, text, strlen(text));
}
/* code 0: an empty Close. */
static inline size_t put_close(unsigned char *payload, int code, const char *reason) {
    if (code == 0) return 0;
    payload[0] = (unsigned char)(code >> 8), payload[1] = (unsigned char)code;
    memcpy(payload + 2, reason, strlen(reason));
    return 2 + strlen(reason);
}
static inline int client_bye(client *c, int code, const char *reason) {
    unsigned char payload[125];
    return client_frame(c, FIN | CLOSE, payload, put_close(payload, code, reason));
}

typedef struct frame {
    int opcode, fin, code; /* code: a Close frame's, 0 for an empty one */
    unsigned char *data;   /* NUL behind; valid until the client's next frame */
    size_t len;
} frame;

/* Read one frame of the server. Its form is checked: not masked, no RSV bit, shortest length.
 * Returns 1; 0 when none came whole. */
static inline int client_read(client *c, frame *f) {
    static unsigned char *last;
    memset(f, 0, sizeof *f);
    free(last), last = NULL;
    if (!client_await(c, 2)) return 0;
    size_t head = 2;
    uint64_t len = c->in[1] & 127;
    int bytes = len == 127 ? 8 : len == 126 ? 2 : 0;
    if (bytes) {
        if (!client_await(c, head + (size_t)bytes)) return 0;
        for (len = 0; bytes > 0; bytes--) len = len << 8 | c->in[head++];
        CHECK(len > 65535 || (len > 125 && head == 4));
    }
    CHECK((c->in[1] & 0x80) == 0 && (c->in[0] & 0x70) == 0);
    f->opcode = c->in[0] & 15, f->fin = c->in[0] >> 7;
    if (!client_await(c, head + (size_t)len)) return 0;
    f->data = last = (unsigned char *)malloc((size_t)len + 1);
    if (!last) abort();
    memcpy(f->data, c->in + head, (size_t)len);
    f->data[f->len = (size_t)len] = 0;
    client_take(c, head + (size_t)len);
    if (f->opcode >= 8) CHECK(f->fin && len <= 125);
    if (f->opcode == CLOSE && len >= 2) f->code = f->data[0] << 8 | f->data[1];
    return 1;
}

static inline int expect_frame(client *c, int opcode, const void *want, size_t len,
                               const char *file, int line) {
    frame f;
    int came = client_read(c, &f);
    if (came && f.opcode == opcode && f.fin && f.len == len &&
        (len == 0 || memcmp(f.data, want, len) == 0))
        return 1;
    if (!test_fail(file, line)) return 0;
    if (came) printf("frame of opcode %d, close code %d: %s\n", f.opcode, f.code,
                     word_of(f.data, f.len));
    else printf("no frame%s\n", c->eof == 2 ? ", reset" : c->eof ? ", stream ended" : "");
    printf("    instead of opcode %d: %s\n", opcode, word_of(want, len));
    return 0;
}
#define EXPECT_FRAME(c, opcode, want, len) expect_frame(c, opcode, want, len, __FILE__, __LINE__)
#define EXPECT_TEXT(c, want) expect_frame(c, TEXT, want, strlen(want), __FILE__, __LINE__)

/* The next frame is a Close of that code; 0: an empty one. reason NULL: whatever it is. */
static inline int expect_close(client *c, int code, const char *reason, const char *file,
                               int line) {
    frame f;
    int came = client_read(c, &f);
    if (came && f.opcode == CLOSE && f.code == code && (code != 0 || f.len == 0) &&
        (!reason || code == 0 || strcmp((char *)f.data + 2, reason) == 0))
        return 1;
    if (!test_fail(file, line)) return 0;
    if (came) printf("frame of opcode %d, close code %d: %s\n", f.opcode, f.code,
                     word_of(f.data + (f.code ? 2 : 0), f.len - (f.code ? 2 : 0)));
    else printf("no frame%s\n", c->eof == 2 ? ", reset" : c->eof ? ", stream ended" : "");
    printf("    instead of Close %d %s\n", code, reason ? reason : "");
    return 0;
}
#define EXPECT_CLOSE(c, code, reason) expect_close(c, code, reason, __FILE__, __LINE__)

#endif
