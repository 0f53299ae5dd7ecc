/* crowd.c: as many idle connections as asked for, with pings, and one broadcast to all of them.
 *
 *     crowd CONNECTIONS        run by make plan CONNECTIONS=200000; Linux
 *
 * A server, built with epoll, holds as many as the limit of descriptors allows (ulimit -Hn); if
 * that is fewer, there are several servers. Each has a child that is its peers: it connects from
 * addresses of 127.0.0.0/8, answers pings, and counts the messages. Printed are the servers' memory
 * and the kernel's for one connection's end; on loopback the peers' ends are on the same machine
 * and cost the kernel as much again. */
#define _GNU_SOURCE
#define AZCHAN_USE_EPOLL
#define AZCHAN_IMPLEMENTATION
#include "../../azchan.h"
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>

enum { PER_ADDRESS = 2000, WAVE = 100, EVENTS = 1024, PING_MS = 20000, SPARE = 100,
       MAX_PARTIES = 256 };

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
static double kernel(void) {
    return proc("/proc/meminfo", "Slab:") + proc("/proc/meminfo", "Percpu:");
}

/* Raise the limit of descriptors for so many connections, or as far as it goes. Returns how many
 * connections it allows. */
static int limit_descriptors(int count) {
    struct rlimit r = {(rlim_t)count + SPARE, (rlim_t)count + SPARE}, old;
    need(getrlimit(RLIMIT_NOFILE, &old) == 0, "getrlimit");
    if (old.rlim_max >= r.rlim_max || setrlimit(RLIMIT_NOFILE, &r) != 0) r.rlim_max = old.rlim_max;
    r.rlim_cur = r.rlim_max;
    need(setrlimit(RLIMIT_NOFILE, &r) == 0, "setrlimit");
    return r.rlim_max < (rlim_t)count + SPARE ? (int)r.rlim_max - SPARE : count;
}

/* One server and its peers. Shared by all processes. */
typedef struct party {
    int count;                    /* connections that it is to have */
    int opened, messages, pings;  /* of the peers */
    int joined, spoke;            /* of the server */
    double resident, grown;       /* bytes: by its connections, by the broadcast */
    double cpu, sent;             /* seconds of the server: since the start, of the broadcast */
} party;

enum { OPENING, PINGING, SPEAKING, ENDING };
static volatile struct {
    int phase;
    party parties[MAX_PARTIES];
} *shared;
static volatile party *mine;

/* ---- The peers ------------------------------------------------------------------------------- */

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
            mine->opened++;
            at = (unsigned char *)memmem(in, (size_t)got, "\r\n\r\n", 4) + 4 - in;
        }
        for (; at < got; at += 2 + in[at + 1]) {
            if (in[at] != 0x89) mine->messages++;
            else mine->pings += send(fd, "\x8a\x80\1\2\3\4", 6, 0) == 6;
        }
    }
}

static void peers(int port) {
    int epoll = epoll_create1(0);
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    for (int i = 0; i < mine->count; i++) {
        struct epoll_event event = {.events = EPOLLIN, .data = {.fd = visit(port, i)}};
        need(epoll_ctl(epoll, EPOLL_CTL_ADD, event.data.fd, &event) == 0, "epoll_ctl");
        while (i % WAVE == WAVE - 1 && mine->opened < i + 1) hear(epoll, 100);
    }
    for (;;) hear(epoll, 1000);
}

/* ---- The server ------------------------------------------------------------------------------ */

static void serve(void) {
    azc_config config = {0};
    config.ping_ms = PING_MS;
    config.max_connections = mine->count + 10;
    azc_channel_desc desc = {0};
    desc.path = "/crowd";
    azc_server *server = azc_create(&config);
    azc_log_to(server, stderr, AZC_LOG_WARNING);
    azc_channel *channel = azc_add_channel(server, &desc);
    need(azc_listen(server) == AZC_OK, "azc_listen");
    double memory = resident(), before = 0;
    int phase = OPENING;
    pid_t child = fork();
    need(child >= 0, "fork");
    if (child == 0) peers(azc_port(server));
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    while (shared->phase != ENDING) {
        azc_poll(server, 100);
        need(waitpid(child, NULL, WNOHANG) == 0, "the peers");
        mine->joined = (int)azc_count(channel, NULL);
        mine->cpu = clock_of(CLOCK_PROCESS_CPUTIME_ID);
        if (phase == OPENING) mine->resident = resident() - memory;
        if (phase == SPEAKING) mine->grown = resident() - before;
        if (shared->phase != SPEAKING || phase == SPEAKING) continue;
        phase = SPEAKING;
        before = resident();
        need(azc_broadcast(channel, NULL, "hello, all of you", AZC_NUL, NULL) == AZC_OK,
             "azc_broadcast");
        azc_poll(server, 0);
        mine->sent = clock_of(CLOCK_PROCESS_CPUTIME_ID) - mine->cpu;
        mine->spoke = 1;
    }
    kill(child, SIGKILL);
    exit(0);
}

/* ---- All of them ----------------------------------------------------------------------------- */

static int parties;

/* The sum of a member of all parties. */
#define SUM(member) sum(offsetof(party, member), sizeof shared->parties[0].member == sizeof(int))
static double sum(size_t offset, int is_int) {
    double total = 0;
    for (int i = 0; i < parties; i++) {
        const volatile char *p = (const volatile char *)&shared->parties[i] + offset;
        total += is_int ? *(const volatile int *)(const volatile void *)p
                        : *(const volatile double *)(const volatile void *)p;
    }
    return total;
}

static void look(void) {
    usleep(50000);
    need(waitpid(-1, NULL, WNOHANG) == 0, "a server");
}

int main(int argc, char **argv) {
    int count = argc > 1 ? atoi(argv[1]) : 200000, most = limit_descriptors(count);
    void *map = mmap(NULL, sizeof *shared, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1,
                     0);
    need(map != MAP_FAILED, "mmap");
    shared = map;
    parties = (count + most - 1) / most;
    need(parties <= MAX_PARTIES, "the limit of descriptors");
    int each = count / parties / WAVE * WAVE;
    count = each * parties;
    double slab = kernel(), began = clock_of(CLOCK_MONOTONIC);
    for (int i = 0; i < parties; i++) {
        mine = &shared->parties[i];
        mine->count = each;
        pid_t child = fork();
        need(child >= 0, "fork");
        if (child == 0) serve();
    }
    while (SUM(joined) < count || SUM(opened) < count) look();
    printf("%d connections to %d servers are open after %.0f s\n", count, parties,
           clock_of(CLOCK_MONOTONIC) - began);
    printf("a connection, in its process      %.0f bytes; all %.2f GB\n", SUM(resident) / count,
           SUM(resident) / 1e9);
    printf("its end, in the kernel            %.0f bytes; all %.2f GB, and the peers' as much\n",
           (kernel() - slab) / count / 2, (kernel() - slab) / 2e9);
    fflush(stdout);

    double seconds = 2.5 * PING_MS / 1e3, until = clock_of(CLOCK_MONOTONIC) + seconds;
    double cpu = SUM(cpu), pings = SUM(pings);
    shared->phase = PINGING;
    while (clock_of(CLOCK_MONOTONIC) < until) look();
    pings = SUM(pings) - pings;
    printf("%.0f s with pings                  %.0f answered, %.1f %% of a core\n", seconds, pings,
           (SUM(cpu) - cpu) / seconds * 100);
    need(pings >= count, "pings");

    began = clock_of(CLOCK_MONOTONIC);
    shared->phase = SPEAKING;
    while ((SUM(messages) < count || SUM(spoke) < parties) &&
           clock_of(CLOCK_MONOTONIC) < began + 120) look();
    printf("a broadcast to all                %.1f us of CPU each; all have it after %.2f s; "
           "memory grew by %.0f bytes each\n", SUM(sent) / count * 1e6,
           clock_of(CLOCK_MONOTONIC) - began, SUM(grown) / count);
    need((int)SUM(messages) == count, "messages");
    need((int)SUM(joined) == count, "all are still here");
    shared->phase = ENDING;
    while (waitpid(-1, NULL, 0) > 0) continue;
    return 0;
}
