/* crowd.c: as many idle connections as asked for, with pings, and one broadcast to all of them.
 *
 *     crowd CONNECTIONS        run by make plan CONNECTIONS=200000; Linux, root for the limits
 *
 * The server is this process, built with epoll. A child is all the peers: it connects from several
 * addresses of 127.0.0.0/8, answers pings, and counts the messages. Printed are the server's memory
 * and the kernel's for one connection's end; on loopback the peers' ends are on the same machine
 * and cost the kernel as much again. */
#define _GNU_SOURCE
#define AZCHAN_USE_EPOLL
#define AZCHAN_IMPLEMENTATION
#include "../../azchan.h"
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/wait.h>

enum { PER_ADDRESS = 20000, WAVE = 100, EVENTS = 1024, PING_MS = 20000 };

static void need(int ok, const char *what) {
    if (!ok) printf("crowd: %s: %s\n", what, strerror(errno)), exit(1);
}

static double clock_of(clockid_t id) {
    struct timespec t;
    clock_gettime(id, &t);
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

/* Bytes of a line of a file of /proc that counts KiB. */
static double proc(const char *file, const char *name) {
    char line[200];
    double found = 0;
    FILE *f = fopen(file, "r");
    while (f && fgets(line, sizeof line, f))
        if (strncmp(line, name, strlen(name)) == 0) found = atof(line + strlen(name)) * 1024;
    if (f) fclose(f);
    return found;
}
static double resident(void) { return proc("/proc/self/status", "VmRSS:"); }
static double kernel(void) { return proc("/proc/meminfo", "Slab:") + proc("/proc/meminfo", "Percpu:"); }

static void limit_descriptors(int count) {
    struct rlimit r = {(rlim_t)count + 100, (rlim_t)count + 100};
    struct rlimit old;
    getrlimit(RLIMIT_NOFILE, &old);
    if (old.rlim_max > r.rlim_max) r.rlim_max = old.rlim_max;
    need(setrlimit(RLIMIT_NOFILE, &r) == 0, "setrlimit: needs root");
}

/* ---- The peers ------------------------------------------------------------------------------- */

/* Shared with the child. */
static volatile struct {
    int opened, messages, pings;
} *seen;

static int visit(int port, int number) {
    static const char request[] =
        "GET /crowd HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
        "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";
    struct sockaddr_in a;
    struct linger reset = {1, 0};
    int fd = socket(AF_INET, SOCK_STREAM, 0), on = 1;
    memset(&a, 0, sizeof a);
    a.sin_family = AF_INET;
    a.sin_addr.s_addr = htonl(0x7F000002u + (unsigned)(number / PER_ADDRESS));
    need(fd >= 0, "socket");
    setsockopt(fd, IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, &on, sizeof on);
    setsockopt(fd, SOL_SOCKET, SO_LINGER, &reset, sizeof reset);
    need(bind(fd, (struct sockaddr *)&a, sizeof a) == 0, "bind");
    a.sin_port = htons((uint16_t)port), a.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    need(connect(fd, (struct sockaddr *)&a, sizeof a) == 0, "connect");
    need(send(fd, request, sizeof request - 1, 0) == sizeof request - 1, "send");
    return fd;
}

/* Read 101s, pings and messages; a read ends between frames, because they are short. */
static void hear(int epoll, int timeout) {
    static struct epoll_event events[EVENTS];
    unsigned char in[512];
    int n = epoll_wait(epoll, events, EVENTS, timeout);
    for (int i = 0; i < n; i++) {
        int fd = events[i].data.fd;
        ssize_t got = recv(fd, in, sizeof in, MSG_DONTWAIT), at = 0;
        need(got > 0, "a peer lost its connection");
        if (memcmp(in, "HTTP", 4) == 0) {
            seen->opened++;
            at = (unsigned char *)memmem(in, (size_t)got, "\r\n\r\n", 4) + 4 - in;
        }
        for (; at < got; at += 2 + in[at + 1]) {
            if (in[at] != 0x89) seen->messages++;
            else seen->pings += send(fd, "\x8a\x80\1\2\3\4", 6, 0) == 6;
        }
    }
}

static void peers(int port, int count) {
    int epoll = epoll_create1(0);
    limit_descriptors(count);
    for (int i = 0; i < count; i++) {
        struct epoll_event event = {.events = EPOLLIN, .data = {.fd = visit(port, i)}};
        need(epoll_ctl(epoll, EPOLL_CTL_ADD, event.data.fd, &event) == 0, "epoll_ctl");
        while (i % WAVE == WAVE - 1 && seen->opened < i + 1) hear(epoll, 100);
    }
    for (;;) hear(epoll, 1000);
}

/* ---- The server ------------------------------------------------------------------------------ */

int main(int argc, char **argv) {
    int count = argc > 1 ? atoi(argv[1]) : 200000;
    count -= count % WAVE;
    limit_descriptors(count);
    void *shared = mmap(NULL, sizeof *seen, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    need(shared != MAP_FAILED, "mmap");
    seen = shared;

    azc_config config = {0};
    config.ping_ms = PING_MS;
    config.max_connections = count + 10;
    azc_channel_desc desc = {0};
    desc.path = "/crowd";
    azc_server *server = azc_create(&config);
    azc_log_to(server, stderr, AZC_LOG_WARNING);
    azc_channel *channel = azc_add_channel(server, &desc);
    need(azc_listen(server) == AZC_OK, "azc_listen");
    double memory = resident(), slab = kernel(), began = clock_of(CLOCK_MONOTONIC);
    pid_t child = fork();
    if (child == 0) peers(azc_port(server), count);
    while ((int)azc_count(channel, NULL) < count || seen->opened < count) {
        azc_poll(server, 100);
        need(waitpid(child, NULL, WNOHANG) == 0, "the peers");
    }
    printf("%d connections are open after %.0f s\n", count, clock_of(CLOCK_MONOTONIC) - began);
    printf("a connection, in the process      %.0f bytes; all %.2f GB\n",
           (resident() - memory) / count, (resident() - memory) / 1e9);
    printf("its end, in the kernel            %.0f bytes; all %.2f GB, and the peers' as much\n",
           (kernel() - slab) / count / 2, (kernel() - slab) / 2e9);
    fflush(stdout);

    double until = clock_of(CLOCK_MONOTONIC) + 2.5 * PING_MS / 1e3;
    double cpu = clock_of(CLOCK_PROCESS_CPUTIME_ID);
    int pings = seen->pings;
    while (clock_of(CLOCK_MONOTONIC) < until) azc_poll(server, 100);
    pings = seen->pings - pings;
    printf("%.0f s with pings                   %d answered, %.1f %% of a core\n",
           2.5 * PING_MS / 1e3, pings,
           (clock_of(CLOCK_PROCESS_CPUTIME_ID) - cpu) / (2.5 * PING_MS / 1e3) * 100);
    need(pings >= count, "pings");

    double before = resident();
    began = clock_of(CLOCK_MONOTONIC), cpu = clock_of(CLOCK_PROCESS_CPUTIME_ID);
    need(azc_broadcast(channel, NULL, "hello, all of you", AZC_NUL, NULL) == AZC_OK, "azc_broadcast");
    azc_poll(server, 0);
    double sent = clock_of(CLOCK_PROCESS_CPUTIME_ID) - cpu, grown = resident() - before;
    while (seen->messages < count && clock_of(CLOCK_MONOTONIC) < began + 120) azc_poll(server, 10);
    printf("a broadcast to all                %.2f s, %.1f us of CPU each; all have it after %.2f s; "
           "memory grew by %.0f bytes each\n", sent, sent / count * 1e6,
           clock_of(CLOCK_MONOTONIC) - began, grown / count);
    need(seen->messages == count, "messages");
    need((int)azc_count(channel, NULL) == count, "all are still here");
    kill(child, SIGKILL);
    waitpid(child, NULL, 0);
    return 0;
}
