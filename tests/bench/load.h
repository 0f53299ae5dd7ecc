/* load.h: servers as child processes, and the load that measures them.
 *
 * One thread, blocking sockets, 127.0.0.1 only. Work goes in batches: the load sends on all its
 * connections, then waits for all the answers; so every server meets the same work in the same
 * order, and what it takes is counted on the server's own CPU clock, whatever else the machine
 * does. The load waits by the clock, not on a socket: waking it would be the server's work, more
 * or less of it as the two happen to overtake each other. Whatever goes wrong ends the program,
 * and with it every server that it started. */
#ifndef LOAD_H
#define LOAD_H

#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum { MAX_SERVERS = 16, START_MS = 20000, STALL_MS = 20000, WAVE = 64 };

static inline double now_seconds(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

/* ---- Servers --------------------------------------------------------------------------------- */

typedef struct server {
    pid_t child;  /* what was started, */
    pid_t pid;    /* and the server itself, when a tool runs it */
    int port;
    clockid_t clock;
} server;

static pid_t children[MAX_SERVERS]; /* 0: free */
static int first_core = -1, last_core = -1; /* the load's and the servers'; -1: unknown */
static int one_core;                        /* or both on the last */

static inline void end_child(pid_t child, pid_t signalled) {
    double end = now_seconds() + 10;
    kill(signalled, SIGTERM);
    while (waitpid(child, NULL, WNOHANG) == 0) {
        if (now_seconds() > end) kill(child, SIGKILL);
        usleep(1000);
    }
}

static void die(const char *format, ...) __attribute__((format(printf, 1, 2), noreturn));
static void die(const char *format, ...) {
    va_list args;
    va_start(args, format);
    fflush(stdout);
    vfprintf(stderr, format, args);
    fputc('\n', stderr);
    va_end(args);
    for (int i = 0; i < MAX_SERVERS; i++) {
        if (children[i] > 0) kill(children[i], SIGKILL);
    }
    exit(1);
}

static inline void on_signal(int signum) {
    for (int i = 0; i < MAX_SERVERS; i++) {
        if (children[i] > 0) kill(children[i], SIGKILL);
    }
    _exit(128 + signum);
}

/* Batch scheduling keeps a woken task from cutting in: with load and server on one core, a whole
 * batch is sent before the server sees it. */
static inline void place(int core) {
    cpu_set_t set;
    struct sched_param param = {0};
    CPU_ZERO(&set);
    if (core >= 0) {
        CPU_SET(core, &set);
        sched_setaffinity(0, sizeof set, &set);
    }
    sched_setscheduler(0, one_core ? SCHED_BATCH : SCHED_OTHER, &param);
}

static inline void use_cores(int share_one) {
    one_core = share_one || first_core == last_core;
    place(one_core ? last_core : first_core);
}

/* Choose the cores, raise the descriptor limit, leave no server behind. */
static inline void load_begin(int share_core) {
    cpu_set_t set;
    struct rlimit fds;
    if (sched_getaffinity(0, sizeof set, &set) == 0) {
        for (int i = 0; i < CPU_SETSIZE; i++) {
            if (!CPU_ISSET(i, &set)) continue;
            if (first_core < 0) first_core = i;
            last_core = i;
        }
    }
    use_cores(share_core);
    if (getrlimit(RLIMIT_NOFILE, &fds) == 0) {
        struct rlimit more = {200000, 200000};
        if (fds.rlim_max < more.rlim_max && setrlimit(RLIMIT_NOFILE, &more) == 0) fds = more; /* root */
        fds.rlim_cur = fds.rlim_max;
        setrlimit(RLIMIT_NOFILE, &fds);
    }
    prctl(PR_SET_TIMERSLACK, 1000); /* ns: short sleeps are short */
    signal(SIGPIPE, SIG_IGN);
    signal(SIGINT, on_signal);
    signal(SIGTERM, on_signal);
}

/* The most connections that this process, and so a server too, can hold. */
static inline int most_connections(void) {
    struct rlimit fds;
    if (getrlimit(RLIMIT_NOFILE, &fds) != 0) return 200;
    return fds.rlim_cur > 1000000 ? 1000000 : (int)fds.rlim_cur - 100;
}

/* Read "port N pid P", the only line that a server writes. */
static inline void server_greeting(server *s, int fd, const char *name) {
    char line[128];
    size_t n = 0;
    double end = now_seconds() + START_MS / 1000.0;
    while (n == 0 || line[n - 1] != '\n') {
        struct pollfd p = {.fd = fd, .events = POLLIN};
        int left = (int)((end - now_seconds()) * 1000);
        if (left <= 0 || poll(&p, 1, left) <= 0) die("%s did not start in time", name);
        ssize_t got = read(fd, line + n, sizeof line - 1 - n);
        if (got <= 0) die("%s did not start", name);
        n += (size_t)got;
    }
    line[n] = 0;
    int pid = 0;
    if (sscanf(line, "port %d pid %d", &s->port, &pid) != 2) die("%s said: %s", name, line);
    s->pid = pid;
}

static inline server server_start(char *const argv[]) {
    server s;
    int fds[2], slot = 0;
    while (slot < MAX_SERVERS && children[slot] > 0) slot++;
    if (slot == MAX_SERVERS || pipe(fds) != 0) die("cannot start %s", argv[0]);
    s.child = fork();
    if (s.child < 0) die("fork: %s", strerror(errno));
    if (s.child == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        place(last_core);
        dup2(fds[1], 1);
        closefrom(3);
        execvp(argv[0], argv);
        _exit(127);
    }
    children[slot] = s.child;
    close(fds[1]);
    server_greeting(&s, fds[0], argv[0]);
    close(fds[0]);
    if (clock_getcpuclockid(s.pid, &s.clock) != 0) die("no CPU clock of %s", argv[0]);
    return s;
}

static inline void server_end(server *s) {
    if (s->child <= 0) return;
    end_child(s->child, s->pid);
    for (int i = 0; i < MAX_SERVERS; i++) {
        if (children[i] == s->child) children[i] = 0;
    }
    s->child = 0;
}

/* Seconds of CPU that the server's threads have used, in user space and in the kernel. */
static inline double server_cpu(const server *s) {
    struct timespec t;
    if (clock_gettime(s->clock, &t) != 0) die("a server is gone");
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

/* A line "key   123 kB" of a file in the server's /proc directory, in bytes. */
static inline double server_proc(const server *s, const char *file, const char *key) {
    char path[64], line[256];
    double value = -1;
    snprintf(path, sizeof path, "/proc/%d/%s", (int)s->pid, file);
    FILE *f = fopen(path, "r");
    if (f == NULL) return -1;
    while (value < 0 && fgets(line, sizeof line, f) != NULL) {
        if (strncmp(line, key, strlen(key)) == 0) value = strtod(line + strlen(key), NULL) * 1024;
    }
    fclose(f);
    return value;
}

static inline double server_resident(const server *s) {
    return server_proc(s, "smaps_rollup", "Rss:");
}

static inline double server_peak(const server *s) { return server_proc(s, "status", "VmHWM:"); }

/* The peak counts from here on. */
static inline void server_peak_reset(const server *s) {
    char path[64];
    snprintf(path, sizeof path, "/proc/%d/clear_refs", (int)s->pid);
    FILE *f = fopen(path, "w");
    if (f == NULL) return;
    fputs("5", f);
    fclose(f);
}

/* ---- Connections ----------------------------------------------------------------------------- */

typedef struct load {
    int *fds, count;
    int port;
    const char *path;
    char *batch, *answer; /* one connection's frames of a batch, and what comes back */
    size_t batch_len, answer_len;
    int depth;   /* messages of a batch on one connection */
    int checked; /* the first answers were as they should */
} load;

static char in_buffer[1 << 20];

static inline void send_all(int fd, const char *p, size_t n) {
    while (n > 0) {
        ssize_t sent = send(fd, p, n, 0);
        if (sent < 0 && errno == EINTR) continue;
        if (sent <= 0) die("send: %s", strerror(errno));
        p += sent;
        n -= (size_t)sent;
    }
}

static inline size_t receive_some(int fd, size_t n) {
    for (;;) {
        ssize_t got = recv(fd, in_buffer, n < sizeof in_buffer ? n : sizeof in_buffer, 0);
        if (got > 0) return (size_t)got;
        if (got == 0) die("the server closed a connection");
        if (errno != EINTR) die("no answer: %s", strerror(errno));
    }
}

/* What a browser sends, give or take. */
static inline int request(char *out, size_t size, const char *path, int port) {
    return snprintf(out, size,
        "GET %s HTTP/1.1\r\nHost: 127.0.0.1:%d\r\nConnection: Upgrade\r\nPragma: no-cache\r\n"
        "Cache-Control: no-cache\r\nUser-Agent: Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 "
        "(KHTML, like Gecko) Chrome/126.0.0.0 Safari/537.36\r\nUpgrade: websocket\r\n"
        "Origin: http://127.0.0.1:%d\r\nSec-WebSocket-Version: 13\r\n"
        "Accept-Encoding: gzip, deflate\r\nAccept-Language: en-US,en;q=0.9\r\n"
        "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
        "Sec-WebSocket-Extensions: permessage-deflate; client_max_window_bits\r\n\r\n",
        path, port, port);
}

/* stalled: a peer that takes very little before it must read, and never will. */
static inline int dial(int port, int stalled) {
    struct sockaddr_in address;
    struct linger reset = {1, 0}; /* no port waits for the end of TIME_WAIT */
    struct timeval patience = {STALL_MS / 1000, 0};
    int on = 1, small = 4096, segment = 536;
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    memset(&address, 0, sizeof address);
    address.sin_family = AF_INET;
    address.sin_port = htons((uint16_t)port);
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    if (fd < 0) die("socket: %s", strerror(errno));
    setsockopt(fd, SOL_SOCKET, SO_LINGER, &reset, sizeof reset);
    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
    setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof patience);
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    if (stalled) {
        setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &small, sizeof small);
        setsockopt(fd, IPPROTO_TCP, TCP_MAXSEG, &segment, sizeof segment);
    }
    if (connect(fd, (struct sockaddr *)&address, sizeof address) != 0)
        die("connect: %s", strerror(errno));
    return fd;
}

/* The answer to our request: its key is RFC 6455's own example. */
static inline void expect_101(int fd) {
    char head[2048];
    size_t n = 0;
    do {
        ssize_t got = recv(fd, head + n, sizeof head - 1 - n, 0);
        if (got <= 0) die("no answer to a handshake: %s", got < 0 ? strerror(errno) : "closed");
        n += (size_t)got;
        head[n] = 0;
    } while (strstr(head, "\r\n\r\n") == NULL);
    if (strncmp(head, "HTTP/1.1 101", 12) != 0 ||
        strstr(head, "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=") == NULL) die("not a handshake:\n%s", head);
}

/* n handshakes, all requests before the first answer is read. */
static inline void open_wave(const load *l, int *fds, int n, int stalled) {
    char head[1024];
    int len = request(head, sizeof head, l->path, l->port);
    for (int i = 0; i < n; i++) {
        fds[i] = dial(l->port, stalled);
        send_all(fds[i], head, (size_t)len);
    }
    for (int i = 0; i < n; i++) expect_101(fds[i]);
}

static inline void load_add(load *l, int n, int stalled) {
    l->fds = (int *)realloc(l->fds, (size_t)(l->count + n) * sizeof *l->fds);
    if (l->fds == NULL) die("out of memory");
    for (int done = 0; done < n;) {
        int wave = n - done < WAVE ? n - done : WAVE;
        open_wave(l, l->fds + l->count, wave, stalled);
        done += wave;
        l->count += wave;
    }
}

/* A frame: head, mask (the client's alone), payload. Returns its length. */
static inline size_t frame(char *out, size_t len, int masked) {
    static const unsigned char mask[4] = {0x37, 0xFA, 0x21, 0x3D};
    size_t n = 0;
    int wide = len < 126 ? 0 : len < 65536 ? 2 : 8;
    out[n++] = (char)0x81;
    out[n++] = (char)((masked ? 0x80 : 0) | (wide == 0 ? (int)len : wide == 2 ? 126 : 127));
    for (int i = wide - 1; i >= 0; i--) out[n++] = (char)((uint64_t)len >> (8 * i));
    if (masked) memcpy(out + n, mask, 4);
    n += masked ? 4 : 0;
    for (size_t i = 0; i < len; i++)
        out[n++] = (char)(('a' + (int)(i % 26)) ^ (masked ? mask[i & 3] : 0));
    return n;
}

/* count connections to path, and batches of depth text messages of size bytes for each. */
static inline load load_open(const server *s, const char *path, int count, size_t size,
                             int depth) {
    load l;
    memset(&l, 0, sizeof l);
    l.port = s->port;
    l.path = path;
    l.depth = depth;
    l.batch = (char *)malloc((size + 14) * (size_t)depth);
    l.answer = (char *)malloc((size + 10) * (size_t)depth);
    if (l.batch == NULL || l.answer == NULL) die("out of memory");
    for (int i = 0; i < depth; i++) {
        l.batch_len += frame(l.batch + l.batch_len, size, 1);
        l.answer_len += frame(l.answer + l.answer_len, size, 0);
    }
    load_add(&l, count, 0);
    return l;
}

static inline void load_close(load *l) {
    for (int i = 0; i < l->count; i++) close(l->fds[i]);
    free(l->fds);
    free(l->batch);
    free(l->answer);
    memset(l, 0, sizeof *l);
}

/* Wait for a connection's answer; the load's first ones are looked at, later ones are counted. */
static inline void expect_answer(load *l, int fd) {
    for (size_t at = 0, n; at < l->answer_len; at += n) {
        n = receive_some(fd, l->answer_len - at);
        if (!l->checked && memcmp(in_buffer, l->answer + at, n) != 0) die("a wrong answer");
    }
}

/* Sleep until the server got to the first and the last connection. A long answer has begun. */
static inline void await_answers(const load *l) {
    struct timespec nap = {0, 10000};
    double end = now_seconds() + STALL_MS / 1000.0;
    int ends[2] = {l->fds[l->count - 1], l->fds[0]};
    int enough = l->answer_len < 16384 ? (int)l->answer_len : 16384;
    for (int i = 0, held = 0; i < 2; held = 0) {
        if (ioctl(ends[i], FIONREAD, &held) != 0 || held >= enough) i++;
        else if (now_seconds() > end) die("no answer in %d ms", STALL_MS);
        else nanosleep(&nap, NULL);
    }
}

/* One batch of echoes on all connections. Returns how many messages that was. */
static inline double batch_echo(load *l) {
    for (int i = 0; i < l->count; i++) send_all(l->fds[i], l->batch, l->batch_len);
    await_answers(l);
    for (int i = 0; i < l->count; i++) expect_answer(l, l->fds[i]);
    l->checked = 1;
    return (double)l->count * l->depth;
}

/* One peer speaks, all hear it. Returns how many deliveries that was. */
static inline double batch_room(load *l) {
    send_all(l->fds[0], l->batch, l->batch_len);
    await_answers(l);
    for (int i = 0; i < l->count; i++) expect_answer(l, l->fds[i]);
    l->checked = 1;
    return (double)l->count * l->depth;
}

/* Connections come, are answered, and go. */
static inline double batch_handshake(load *l) {
    int fds[WAVE];
    open_wave(l, fds, 32, 0);
    for (int i = 0; i < 32; i++) close(fds[i]);
    return 32;
}

/* Connections come one after the other, get a page, and go. */
static inline double batch_page(load *l) {
    static const char get[] = "GET /page HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n";
    for (int i = 0; i < 32; i++) {
        char head[2048];
        ssize_t got, n = 0;
        int fd = dial(l->port, 0);
        send_all(fd, get, sizeof get - 1);
        while ((got = recv(fd, head + n, sizeof head - (size_t)n, 0)) > 0) n += got;
        if (got < 0 || n < 12 || memcmp(head, "HTTP/1.1 200", 12) != 0) die("not a page");
        close(fd);
    }
    return 32;
}

#endif
