/* peers.h: the peers, each a small WebSocket client on a non-blocking socket. They say valid and
 * invalid things in pieces of any size, read or do not read, answer or do not answer, and vanish.
 * What one says goes into its list of events; what it receives is compared with its stream. */

#ifndef MSG_NOSIGNAL
#define MSG_NOSIGNAL 0
#endif

static char text[1 << 16];    /* what compose wrote */
static char pattern[1 << 15]; /* of units of 4 bytes: a letter and a character of 3 bytes */

static void pattern_make(void) {
    for (size_t i = 0; i < sizeof pattern; i += 4) {
        pattern[i] = (char)('a' + chance(26));
        memcpy(pattern + i + 1, "\xE2\x82\xAC", 3);
    }
}

/* Write a message that no other equals, as JSON or not, with at most so many bytes of filling.
 * Returns its length. */
static size_t compose(int json, unsigned most) {
    unsigned kind = chance(100), fill = kind < 60 ? 0 : kind < 85 ? 240 : kind < 98 ? 3000 : 20000;
    fill = 4 * chance((fill < most ? fill : most) / 4 + 1);
    int quote = json && fill > 0;
    size_t n = (size_t)sprintf(text, "%s%llu", quote ? "\"" : "", ++run.serial);
    memcpy(text + n, pattern + 4 * chance(1024), fill);
    n += fill;
    if (quote) text[n++] = '"';
    text[n] = 0;
    return n;
}

/* ---- Saying ---------------------------------------------------------------------------------- */

/* Write one masked frame. first: its first byte. */
static void frame(peer *p, int first, const void *data, size_t len) {
    unsigned char *to = p->out + p->out_len, mask[4];
    size_t head = head_size(len);
    EXPECT(p->out_len + len + 8 < sizeof p->out, "a peer of the model says too much");
    to[0] = (unsigned char)first;
    to[1] = (unsigned char)(128 | (head == 2 ? len : 126));
    if (head == 4) to[2] = (unsigned char)(len >> 8), to[3] = (unsigned char)len;
    for (size_t i = 0; i < 4; i++) to[head + i] = mask[i] = (unsigned char)chance(256);
    for (size_t i = 0; i < len; i++)
        to[head + 4 + i] = ((const unsigned char *)data)[i] ^ mask[i % 4];
    p->out_len += head + 4 + len, p->said += head + 4 + len;
}

static event *event_add(peer *p, int kind, int code, const void *data, size_t len) {
    event e = {kind, code, 0, p->said, 0, len, (unsigned char *)malloc(len + 1)};
    memcpy(e.data, data, len);
    e.data[len] = 0;
    p->events[p->event_count] = e;
    return &p->events[p->event_count++];
}

static void event_drop(peer *p, int i) {
    free(p->events[i].data);
    memmove(p->events + i, p->events + i + 1, (size_t)(--p->event_count - i) * sizeof(event));
}

static int may_say(const peer *p) {
    return p->fd >= 0 && !p->gone && !p->said_close &&
           (p->state == CONNECTING || p->state == OPEN) && p->event_count < EVENTS - 6 &&
           p->out_len < sizeof p->out - 12000;
}

static void say_control(peer *p, int kind, const void *data, size_t len) {
    event *e = event_add(p, kind, 0, data, len);
    frame(p, 128 | kind, data, len);
    e->end = p->said;
}

/* A message, perhaps in fragments with pings between them. */
static void say_message(peer *p) {
    static char copy[1 << 15];
    size_t len = chance(10) ? compose(0, (unsigned)w.config.max_message - 30) : 0, at = 0;
    int kind = chance(4) ? TEXT : BINARY, first = kind, pings = 0;
    uint64_t start = p->said;
    memcpy(copy, text, len);
    while (chance(3) == 0) {
        size_t n = chance((unsigned)(len - at) + 1);
        frame(p, first, copy + at, n);
        at += n, first = 0;
        if (chance(3) > 0 || ++pings > 3) continue;
        say_control(p, PING, text, compose(0, 0));
        p->events[p->event_count - 1].inside = 1;
    }
    event *e = event_add(p, kind, 0, copy, len);
    frame(p, 128 | first, copy + at, len - at);
    e->start = start, e->end = p->said;
}

/* Break the protocol: the connection fails with this code. Nothing follows. */
static void say_bad(peer *p) {
    static const int codes[] = {1002, 1002, 1007, 1009};
    static const char *const rules[] = {
        "a reserved bit is set, RFC 6455 5.2", "an unknown opcode, RFC 6455 5.2",
        "text that is not UTF-8, RFC 6455 8.1", "a message over max_message"};
    int kind = (int)chance(traits[p->channel].parts ? 3 : 4); /* parts may have any size */
    event_add(p, BAD, codes[kind], rules[kind], strlen(rules[kind]));
    memset(text, 'x', w.config.max_message + 1);
    if (kind == 0) frame(p, 128 | 64 | TEXT, "reserved bit", 12);
    if (kind == 1) frame(p, 128 | 3, "unknown opcode", 14);
    if (kind == 2) frame(p, 128 | TEXT, "\xC0\x80 is not UTF-8", 15);
    if (kind == 3) frame(p, 128 | TEXT, text, w.config.max_message + 1);
    p->said_close = 1;
}

static void say_close(peer *p) {
    static const int codes[] = {1005, 1000, 1001, 3000, 4321};
    unsigned char payload[64];
    int code = codes[chance(5)];
    size_t len = 0;
    payload[0] = (unsigned char)(code >> 8), payload[1] = (unsigned char)code;
    if (code != 1005 && chance(2))
        len = (size_t)sprintf((char *)payload + 2, "bye %llu", ++run.serial);
    event *e = event_add(p, CLOSE, code, payload + 2, len);
    frame(p, 128 | CLOSE, payload, code == 1005 ? 0 : 2 + len);
    e->end = p->said;
    p->said_close = 1;
    trace("peer %d says close %d", index_of(p), code);
}

/* Send all of what was said, or the next bytes. Returns how many. */
static size_t peer_write(peer *p, int all) {
    if (p->fd < 0 || p->out_len == 0 || p->gone) return 0;
    size_t len = all || chance(3) ? p->out_len : 1 + chance((unsigned)p->out_len);
    ssize_t n = send(p->fd, p->out, len, MSG_NOSIGNAL | MSG_DONTWAIT);
    if (n < 0 && errno != EAGAIN) p->reset = 1;
    if (n <= 0) return 0;
    memmove(p->out, p->out + n, p->out_len - (size_t)n);
    p->out_len -= (size_t)n;
    return (size_t)n;
}

/* ---- Coming and going ------------------------------------------------------------------------ */

static int connected_socket(void) {
    int fd = socket(w.unix_socket ? AF_UNIX : AF_INET, SOCK_STREAM, 0), error;
    int size = 2304 << chance(4);
    if (chance(2)) setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &size, sizeof size);
    if (w.unix_socket) {
        struct sockaddr_un un = {AF_UNIX, ""};
        strcpy(un.sun_path, w.config.host + 5);
        error = connect(fd, (struct sockaddr *)&un, sizeof un);
    } else {
        struct sockaddr_in in = {0};
        in.sin_family = AF_INET, in.sin_port = htons((uint16_t)azc_port(w.server));
        in.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
        error = connect(fd, (struct sockaddr *)&in, sizeof in);
    }
    EXPECT(fd >= 0 && error == 0, "connect: %s", strerror(errno));
    return fd;
}

/* A new peer in a free place, with its request. Returns 0 if there is none. */
static int peer_open(void) {
    peer *p = peers;
    char user[8] = "";
    while (p < peers + PEERS && p->state != FREE && (p->state != REPORTED || p->fd >= 0)) p++;
    if (p == peers + PEERS || w.ending) return 0;
    if (azc_stats(w.server)->connections + 4 > (uint64_t)w.config.max_connections) return 0;
    if (p->sfd >= 0) w.by_fd[p->sfd] = NULL; /* its last connection may linger */
    unsigned char *stream = p->stream;
    size_t size = p->stream_size;
    int generation = p->generation + 1;
    memset(p, 0, sizeof *p);
    p->stream = stream, p->stream_size = size, p->generation = generation;
    p->state = CONNECTING, p->fd = connected_socket(), p->channel = (int)chance(CHANNELS);
    p->user = p->sfd = -1, p->refused = chance(20) == 0, p->mute = chance(6) == 0;
    if (chance(2)) sprintf(user, "&u=u%d", (int)chance(USERS));
    p->said = p->out_len = (size_t)sprintf((char *)p->out, "GET /c%d?p=%d&g=%d%s HTTP/1.1\r\n"
        "Host: h\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
        "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n",
        p->channel, index_of(p), generation, user);
    trace("peer %d connects", index_of(p));
    return 1;
}

static void peer_close(peer *p) {
    if (p->fd >= 0) close(p->fd);
    p->fd = -1, p->gone = 1, p->out_len = 0;
    if (p->state != CONNECTING) return;
    p->state = REPORTED; /* if its request is read later, on_upgrade refuses it */
    while (p->event_count > 0) event_drop(p, 0);
}

/* Go without a Close: with a reset, an end, or half an end. */
static void peer_vanish(peer *p) {
    struct linger reset = {1, 0};
    unsigned kind = chance(3);
    if (p->fd < 0 || p->gone) return;
    trace("peer %d vanishes: %u", index_of(p), kind);
    if (kind == 0 && !w.unix_socket) setsockopt(p->fd, SOL_SOCKET, SO_LINGER, &reset, sizeof reset);
    if (kind < 2 || p->state == CONNECTING) {
        peer_close(p);
    } else {
        shutdown(p->fd, SHUT_WR);
        p->gone = 1, p->out_len = 0;
    }
}

/* ---- Receiving ------------------------------------------------------------------------------- */

/* Look at each whole frame received: answer pings and a Close. */
static void peer_walk(peer *p) {
    while (p->walked + 2 <= p->got) {
        const unsigned char *at = p->stream + (p->walked - p->base);
        size_t head = at[1] < 126 ? 2 : at[1] == 126 ? 4 : 10, len = at[1];
        if (p->walked + head > p->got) return;
        if (head > 2) for (size_t i = len = 0; i < head - 2; i++) len = len << 8 | at[2 + i];
        if (p->walked + head + len > p->got) return;
        p->walked += head + len;
        int opcode = at[0] & 15;
        if (p->mute) continue;
        if (opcode == PING && may_say(p)) say_control(p, PONG, at + head, len);
        if (opcode == CLOSE && !p->said_close && !p->gone && p->out_len < sizeof p->out - 200)
            frame(p, 128 | CLOSE, at + head, len), p->said_close = 1;
    }
}

/* The stream ends: all of it must have come, unless the connection was dropped. */
static void peer_eof(peer *p, int reset) {
    if (p->state == OPEN || p->state == ENDED)
        EXPECT(w.ending == DESTROY, "peer %d receives the end, but is open", index_of(p));
    if (p->state == REPORTED && !reset && p->start > 0)
        EXPECT(p->got == p->taken && (p->got == p->total || p->hard),
               "peer %d received %lu of %lu bytes", index_of(p), (unsigned long)p->got,
               (unsigned long)p->total);
    static const char refusal[] = "HTTP/1.1 403";
    size_t whole = sizeof refusal - 1, len = strlen(p->head);
    int late = p->ended > 0 && w.now - p->ended >= w.config.close_ms; /* it may be a part */
    if (p->state == CONNECTING && !reset)
        EXPECT((p->refused || p->said_close) && (late || len > whole) &&
               strncmp(p->head, refusal, len < whole ? len : whole) == 0,
               "peer %d was refused: %s", index_of(p), p->head);
    trace("peer %d receives the end", index_of(p));
    peer_close(p);
}

static void check_head(const peer *p) {
    EXPECT(strncmp(p->head, "HTTP/1.1 101 ", 13) == 0 &&
           strstr(p->head, "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n") != NULL &&
           memcmp(p->head + p->head_len - 4, "\r\n\r\n", 4) == 0,
           "peer %d: a wrong answer: %s", index_of(p), p->head);
}

/* Receive at most so many bytes, up to 64 KiB; each must be the stream's next. Returns how many; 1
 * for the end. */
static size_t peer_read(peer *p, size_t most) {
    static char bytes[(1 << 16) + 64];
    if (p->fd < 0) return 0;
    ssize_t n = recv(p->fd, bytes, most, MSG_DONTWAIT);
    if (n < 0 && (errno == EAGAIN || errno == EINTR)) return 0;
    if (n <= 0) return peer_eof(p, n < 0 || p->reset), 1;
    size_t skip = 0, len = (size_t)n;
    for (; skip < len && (p->start == 0 || p->got + skip < p->start); skip++)
        if (p->head_len + 1 < sizeof p->head) p->head[p->head_len++] = bytes[skip];
    EXPECT(p->start == 0 || p->got + len <= p->taken, "peer %d received too much", index_of(p));
    if (skip > 0 && p->got + skip == p->start) check_head(p);
    for (size_t i = skip; i < len; i++) {
        const unsigned char *want = p->stream + (p->got + i - p->base);
        EXPECT(*want == (unsigned char)bytes[i], "peer %d: byte %lu of its stream is %d, not %d: "
               "\"%.40s\", not \"%.40s\"", index_of(p), (unsigned long)(p->got + i), bytes[i] & 255,
               *want, bytes + i, (const char *)want);
    }
    p->got += len;
    if (p->start > 0) peer_walk(p);
    return len;
}
