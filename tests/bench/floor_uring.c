/* floor_uring.c: the floor of floor.c over io_uring: would it cost less than epoll?
 *
 *     floor_uring              prints "port N pid P", serves 127.0.0.1:N until it is killed
 *
 * One io_uring_enter a turn submits all sends and waits. Accept and recv are multishot: asked for
 * once, they complete for each connection and each piece of data, in buffers that the kernel picks
 * from a ring. Completions run in the server's own context, so their CPU time counts. Linux 6.1.
 *
 * Measured by make bench-uring on Linux 6.18, CPU time beside the floor with epoll: 0.93 (echoes of
 * 64 bytes, 32 connections), 1.01 (in bursts of 32), 1.01 (500 connections), 0.88 (4,000), 0.96 (a
 * room of 500), 0.95 (16 messages in flight). What a message costs is TCP, and not the system calls
 * around it. A third would have been worth a second set of readiness functions; this is not. */
#define main floor_main
#include "floor.c"
#undef main
#include <linux/io_uring.h>
#include <sys/mman.h>
#include <sys/syscall.h>

enum { ENTRIES = 4096, BUFFERS = 1024, BUFFER = 4096, GROUP = 1 };
enum { ON_ACCEPT, ON_RECV, ON_SEND };

static struct {
    int fd;
    unsigned *sq_tail, *sq_mask, *sq_array, *cq_head, *cq_tail, *cq_mask, queued;
    struct io_uring_sqe *sqes;
    struct io_uring_cqe *cqes;
    struct io_uring_buf_ring *buffers;
    char *bytes;
    unsigned short buffer_tail;
} ring;

static void ring_enter(unsigned wait) {
    long n = syscall(SYS_io_uring_enter, ring.fd, ring.queued, wait,
                     wait ? IORING_ENTER_GETEVENTS : 0, NULL, 0);
    if (n < 0 && errno != EINTR) fail("io_uring_enter");
    if (n > 0) ring.queued -= (unsigned)n;
}

static struct io_uring_sqe *ring_ask(int op, int fd, int what) {
    if (ring.queued == ENTRIES) ring_enter(0);
    unsigned tail = *ring.sq_tail, at = tail & *ring.sq_mask;
    struct io_uring_sqe *sqe = &ring.sqes[at];
    memset(sqe, 0, sizeof *sqe);
    sqe->opcode = (uint8_t)op;
    sqe->fd = fd;
    sqe->user_data = (uint64_t)fd << 2 | (unsigned)what;
    ring.sq_array[at] = at;
    __atomic_store_n(ring.sq_tail, tail + 1, __ATOMIC_RELEASE);
    ring.queued++;
    return sqe;
}

static void ask_accept(void) {
    ring_ask(IORING_OP_ACCEPT, listener, ON_ACCEPT)->ioprio = IORING_ACCEPT_MULTISHOT;
}

static void ask_recv(int fd) {
    struct io_uring_sqe *sqe = ring_ask(IORING_OP_RECV, fd, ON_RECV);
    sqe->ioprio = IORING_RECV_MULTISHOT;
    sqe->flags = IOSQE_BUFFER_SELECT;
    sqe->buf_group = GROUP;
}

/* At most one send is under way for a connection; what is owed meanwhile follows it. */
static void ask_send(int fd) {
    conn *c = &conns[fd];
    size_t n = c->room || c->owed < canned_len - c->at ? c->owed : canned_len - c->at;
    if (c->writing || n == 0) return;
    c->writing = 1;
    struct io_uring_sqe *sqe = ring_ask(IORING_OP_SEND, fd, ON_SEND);
    sqe->addr = (uint64_t)(uintptr_t)((c->room ? c->queue : canned) + c->at);
    sqe->len = (uint32_t)n;
    sqe->msg_flags = MSG_NOSIGNAL;
}

static void give_buffer(unsigned short id) {
    struct io_uring_buf *buf = &ring.buffers->bufs[ring.buffer_tail++ & (BUFFERS - 1)];
    buf->addr = (uint64_t)(uintptr_t)(ring.bytes + (size_t)id * BUFFER);
    buf->len = BUFFER;
    buf->bid = id;
    __atomic_store_n(&ring.buffers->tail, ring.buffer_tail, __ATOMIC_RELEASE);
}

static void *map(size_t n, int fd, off_t at) {
    void *p = mmap(NULL, n, PROT_READ | PROT_WRITE,
                   fd < 0 ? MAP_PRIVATE | MAP_ANONYMOUS : MAP_SHARED | MAP_POPULATE, fd, at);
    if (p == MAP_FAILED) fail("mmap");
    return p;
}

static void ring_make(void) {
    struct io_uring_params p;
    struct io_uring_buf_reg reg;
    memset(&p, 0, sizeof p);
    memset(&reg, 0, sizeof reg);
    p.flags = IORING_SETUP_SINGLE_ISSUER | IORING_SETUP_DEFER_TASKRUN | IORING_SETUP_CQSIZE;
    p.cq_entries = 4 * ENTRIES;
    ring.fd = (int)syscall(SYS_io_uring_setup, ENTRIES, &p);
    if (ring.fd < 0) fail("io_uring_setup");
    char *sq = map(p.sq_off.array + p.sq_entries * sizeof(unsigned), ring.fd, IORING_OFF_SQ_RING);
    char *cq = map(p.cq_off.cqes + p.cq_entries * sizeof(struct io_uring_cqe), ring.fd,
                   IORING_OFF_CQ_RING);
    ring.sqes = map(p.sq_entries * sizeof(struct io_uring_sqe), ring.fd, IORING_OFF_SQES);
    ring.sq_tail = (unsigned *)(void *)(sq + p.sq_off.tail);
    ring.sq_mask = (unsigned *)(void *)(sq + p.sq_off.ring_mask);
    ring.sq_array = (unsigned *)(void *)(sq + p.sq_off.array);
    ring.cq_head = (unsigned *)(void *)(cq + p.cq_off.head);
    ring.cq_tail = (unsigned *)(void *)(cq + p.cq_off.tail);
    ring.cq_mask = (unsigned *)(void *)(cq + p.cq_off.ring_mask);
    ring.cqes = (struct io_uring_cqe *)(void *)(cq + p.cq_off.cqes);
    ring.buffers = map(BUFFERS * sizeof(struct io_uring_buf), -1, 0);
    ring.bytes = map((size_t)BUFFERS * BUFFER, -1, 0);
    reg.ring_addr = (uint64_t)(uintptr_t)ring.buffers;
    reg.ring_entries = BUFFERS;
    reg.bgid = GROUP;
    if (syscall(SYS_io_uring_register, ring.fd, IORING_REGISTER_PBUF_RING, &reg, 1) != 0)
        fail("io_uring_register");
    for (int i = 0; i < BUFFERS; i++) give_buffer((unsigned short)i);
}

static void gone(int fd) {
    watch(fd); /* as drop wants it */
    drop(fd);
}

static void received(int fd, const char *bytes, size_t n) {
    conn *c = &conns[fd];
    if (!c->open) {
        memcpy(read_buffer, bytes, n);
        read_buffer[n] = 0;
        handshake(fd);
        return;
    }
    if (frame_in == 0) learn((const unsigned char *)bytes);
    c->in += n;
    size_t messages = c->in / frame_in;
    c->in -= messages * frame_in;
    for (; c->room && messages > 0; messages--) speak();
    c->owed += messages * frame_out;
    if (!c->room) ask_send(fd);
}

static void sent(int fd, size_t n) {
    conn *c = &conns[fd];
    c->writing = 0;
    c->owed -= n;
    c->at = !c->room ? (c->at + n) % frame_out : c->owed > 0 ? c->at + n : 0;
    ask_send(fd);
}

static void completed(const struct io_uring_cqe *cqe) {
    int fd = (int)(cqe->user_data >> 2), what = (int)(cqe->user_data & 3), res = cqe->res;
    int more = (cqe->flags & IORING_CQE_F_MORE) != 0;
    if (what == ON_ACCEPT) {
        if (res >= MAX_FDS) close(res);
        else if (res >= 0) ask_recv(res);
        if (!more) ask_accept();
    } else if (what == ON_SEND) {
        if (res >= 0) sent(fd, (size_t)res);
    } else {
        if (res > 0) {
            unsigned short id = (unsigned short)(cqe->flags >> IORING_CQE_BUFFER_SHIFT);
            received(fd, ring.bytes + (size_t)id * BUFFER, (size_t)res);
            give_buffer(id);
        }
        if (res == 0 || (res < 0 && res != -ENOBUFS)) gone(fd);
        else if (!more) ask_recv(fd);
    }
}

int main(void) {
    struct sockaddr_in address;
    socklen_t len = sizeof address;
    int on = 1;
    memset(&address, 0, sizeof address);
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    listener = socket(AF_INET, SOCK_STREAM, 0);
    setsockopt(listener, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    if (bind(listener, (struct sockaddr *)&address, sizeof address) != 0 ||
        listen(listener, SOMAXCONN) != 0 ||
        getsockname(listener, (struct sockaddr *)&address, &len) != 0) fail("listen");
    ring_make();
    ask_accept();
    printf("port %d pid %d\n", ntohs(address.sin_port), (int)getpid());
    fflush(stdout);
    for (;;) {
        ring_enter(1);
        unsigned head = *ring.cq_head, tail = __atomic_load_n(ring.cq_tail, __ATOMIC_ACQUIRE);
        for (; head != tail; head++) completed(&ring.cqes[head & *ring.cq_mask]);
        __atomic_store_n(ring.cq_head, head, __ATOMIC_RELEASE);
        for (int i = 0; spoken && i < room_count; i++) ask_send(room_fds[i]);
        spoken = 0;
    }
}
