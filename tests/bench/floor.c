/* floor.c: the floor under every WebSocket server: what the kernel alone costs.
 *
 *     floor [epoll]            prints "port N pid P", serves 127.0.0.1:N until it is killed
 *
 * Per turn one wait (poll, or epoll when asked), per ready connection one recv and one send. It
 * checks nothing and reads nothing: the first frame's head tells how long all frames are, bytes
 * are counted, and for each frame's worth one frame prepared beforehand goes back. The handshake
 * alone is answered truly (any client insists). A message from a connection to /room is copied into
 * a buffer of each of them, and each has one send a turn: the floor of a broadcast. */
#define _GNU_SOURCE
#define AZCHAN_IMPLEMENTATION
#include "../../azchan.h" /* for azc__accept_key, and the system's headers */
#include <sys/epoll.h>

enum { MAX_FDS = 1 << 16, READ = 64 << 10, CANNED = 128 << 10, EVENTS = 1024 };

typedef struct conn {
    size_t in;   /* bytes of frames not yet whole */
    size_t owed; /* bytes to send */
    size_t at;   /* of the prepared frame, where those begin */
    char *queue; /* of a member of the room: the owed bytes begin at `at` */
    size_t cap;
    int slot;    /* in polls */
    char open, room, writing;
} conn;

static conn conns[MAX_FDS]; /* by descriptor */
static struct pollfd polls[MAX_FDS];
static int poll_count, room_fds[MAX_FDS], room_count, listener, epoll = -1;
static char read_buffer[READ + 1], *canned;
static size_t frame_in, frame_out, canned_len; /* a frame from the client, one to it */
static int spoken; /* the room was spoken to in this turn */

static void fail(const char *what) {
    perror(what);
    exit(1);
}

/* ---- Readiness ------------------------------------------------------------------------------- */

static void watch(int fd) {
    struct epoll_event event = {.events = EPOLLIN, .data = {.fd = fd}};
    if (epoll >= 0 && epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &event) != 0) fail("epoll_ctl");
    conns[fd].slot = poll_count;
    polls[poll_count].fd = fd;
    polls[poll_count++].events = POLLIN;
}

static void want_write(int fd, int write) {
    struct epoll_event event = {.events = EPOLLIN | (write ? (unsigned)EPOLLOUT : 0),
                                .data = {.fd = fd}};
    if (conns[fd].writing == write) return;
    conns[fd].writing = (char)write;
    polls[conns[fd].slot].events = (short)(POLLIN | (write ? POLLOUT : 0));
    if (epoll >= 0 && epoll_ctl(epoll, EPOLL_CTL_MOD, fd, &event) != 0) fail("epoll_ctl");
}

static void drop(int fd) {
    int slot = conns[fd].slot;
    polls[slot] = polls[--poll_count];
    conns[polls[slot].fd].slot = slot;
    for (int i = 0; conns[fd].room && i < room_count; i++) {
        if (room_fds[i] == fd) room_fds[i] = room_fds[--room_count];
    }
    free(conns[fd].queue);
    memset(&conns[fd], 0, sizeof conns[fd]);
    close(fd);
}

/* ---- A connection ---------------------------------------------------------------------------- */

/* One send of at most n of the bytes owed. */
static void send_some(int fd, size_t n) {
    conn *c = &conns[fd];
    if (n > c->owed) n = c->owed;
    if (n > canned_len - c->at) n = canned_len - c->at;
    if (n == 0) return;
    ssize_t sent = send(fd, canned + c->at, n, MSG_DONTWAIT | MSG_NOSIGNAL);
    if (sent > 0) {
        c->owed -= (size_t)sent;
        c->at = (c->at + (size_t)sent) % frame_out;
    }
    want_write(fd, c->owed > 0);
}

/* Learn the length of all frames from the first one's head, and prepare as many answers as one
 * send may take. The payload is the load generator's, so that it can tell a whole echo. */
static void learn(const unsigned char *p) {
    uint64_t len = p[1] & 127;
    unsigned char head[10];
    if (len == 126) len = azc__big_endian(p + 2, 2);
    else if (len == 127) len = azc__big_endian(p + 2, 8);
    size_t size = azc__frame_write(head, AZC__OP_TEXT, (size_t)len);
    frame_in = size + 4 + (size_t)len;
    frame_out = size + (size_t)len;
    size_t count = CANNED / frame_out + 1;
    canned_len = count * frame_out;
    canned = malloc(canned_len);
    if (canned == NULL) fail("malloc");
    for (size_t i = 0; i < canned_len; i++) {
        size_t k = i % frame_out;
        canned[i] = (char)(k < size ? head[k] : 'a' + (k - size) % 26);
    }
}

/* Copy a frame to each member's buffer. */
static void speak(void) {
    for (int i = 0; i < room_count; i++) {
        conn *c = &conns[room_fds[i]];
        if (c->at + c->owed + frame_out > c->cap) {
            c->cap = 2 * (c->at + c->owed + frame_out);
            c->queue = realloc(c->queue, c->cap);
            if (c->queue == NULL) fail("realloc");
        }
        memcpy(c->queue + c->at + c->owed, canned, frame_out);
        c->owed += frame_out;
    }
    spoken = 1;
}

static void send_queue(int fd) {
    conn *c = &conns[fd];
    ssize_t sent = send(fd, c->queue + c->at, c->owed, MSG_DONTWAIT | MSG_NOSIGNAL);
    if (sent > 0) {
        c->owed -= (size_t)sent;
        c->at = c->owed > 0 ? c->at + (size_t)sent : 0;
    }
    want_write(fd, c->owed > 0);
}

static void end_turn(void) {
    for (int i = 0; spoken && i < room_count; i++) {
        const conn *c = &conns[room_fds[i]];
        if (c->owed > 0 && !c->writing) send_queue(room_fds[i]);
    }
    spoken = 0;
}

static void answer(int fd, size_t messages) {
    for (; conns[fd].room && messages > 0; messages--) speak();
    if (conns[fd].room) return;
    conns[fd].owed += messages * frame_out;
    send_some(fd, conns[fd].owed);
}

static void handshake(int fd) {
    char reply[160], accept[29];
    const char *key = strstr(read_buffer, "Sec-WebSocket-Key: ");
    if (key == NULL) {
        drop(fd);
        return;
    }
    azc__accept_key(key + 19, accept);
    int n = snprintf(reply, sizeof reply,
                     "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n"
                     "Connection: Upgrade\r\nSec-WebSocket-Accept: %s\r\n\r\n", accept);
    send(fd, reply, (size_t)n, MSG_DONTWAIT | MSG_NOSIGNAL);
    conns[fd].open = 1;
    conns[fd].room = strncmp(read_buffer, "GET /room", 9) == 0;
    if (conns[fd].room) room_fds[room_count++] = fd;
}

static void readable(int fd) {
    conn *c = &conns[fd];
    ssize_t n = recv(fd, read_buffer, READ, MSG_DONTWAIT);
    if (n < 0 && errno == EAGAIN) return;
    if (n <= 0) {
        drop(fd);
        return;
    }
    if (!c->open) {
        read_buffer[n] = 0;
        handshake(fd);
        return;
    }
    if (frame_in == 0) learn((const unsigned char *)read_buffer);
    c->in += (size_t)n;
    size_t messages = c->in / frame_in;
    c->in -= messages * frame_in;
    if (messages > 0) answer(fd, messages);
}

static void accept_all(void) {
    for (int fd; (fd = accept(listener, NULL, NULL)) >= 0;) {
        if (fd >= MAX_FDS) close(fd);
        else watch(fd);
    }
}

static void ready(int fd, int reads, int writes) {
    if (fd == listener) accept_all();
    else if (writes && conns[fd].room) send_queue(fd);
    else if (writes) send_some(fd, conns[fd].owed);
    else if (reads) readable(fd);
}

/* ---- The loop -------------------------------------------------------------------------------- */

static void turn_poll(void) {
    int left = poll(polls, (nfds_t)poll_count, -1);
    for (int i = 0; left > 0 && i < poll_count;) {
        short got = polls[i].revents;
        int fd = polls[i].fd;
        polls[i].revents = 0;
        left -= got != 0;
        if (got != 0) ready(fd, got & ~POLLOUT, got & POLLOUT);
        if (i < poll_count && polls[i].fd == fd) i++; /* else another took the place of a dropped */
    }
}

static void turn_epoll(void) {
    static struct epoll_event events[EVENTS];
    int n = epoll_wait(epoll, events, EVENTS, -1);
    for (int i = 0; i < n; i++) {
        ready(events[i].data.fd, (events[i].events & ~(unsigned)EPOLLOUT) != 0,
              (events[i].events & EPOLLOUT) != 0);
    }
}

int main(int argc, char **argv) {
    struct sockaddr_in address;
    socklen_t len = sizeof address;
    int on = 1;
    memset(&address, 0, sizeof address);
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    listener = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
    setsockopt(listener, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    if (bind(listener, (struct sockaddr *)&address, sizeof address) != 0 ||
        listen(listener, SOMAXCONN) != 0 ||
        getsockname(listener, (struct sockaddr *)&address, &len) != 0) fail("listen");
    int use_epoll = argc > 1 && strcmp(argv[1], "epoll") == 0;
    if (use_epoll && (epoll = epoll_create1(0)) < 0) fail("epoll_create1");
    watch(listener);
    printf("port %d pid %d\n", ntohs(address.sin_port), (int)getpid());
    fflush(stdout);
    for (;;) {
        if (use_epoll) turn_epoll();
        else turn_poll();
        end_turn();
    }
}
