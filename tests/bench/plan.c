/* plan.c: what the manual's PLANNING needs beside make bench: memory of rooms and memberships, the
 * kernel's memory of a connection, and the CPU time of keeping one alive, in one process over the
 * loopback. Only azc_poll is timed, but on the loopback a send does the receiver's work in the
 * kernel too. `make plan` prints it; Linux. */
#define AZCHAN_IMPLEMENTATION
#include "../../azchan.h"
#include <malloc.h>

enum { ROOMS = 100000, PEERS = 4000, ROUNDS = 10 };

static azc_server *server;
static azc_channel *channel;
static size_t pongs;

static double cpu_us(void) {
    struct timespec t;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
    return (double)t.tv_sec * 1e6 + (double)t.tv_nsec / 1e3;
}

/* KiB of a line of a file of /proc. */
static double kib(const char *file, const char *name) {
    char line[200];
    double found = 0;
    FILE *f = fopen(file, "r");
    while (f && fgets(line, sizeof line, f))
        if (strncmp(line, name, strlen(name)) == 0) found = atof(line + strlen(name));
    if (f) fclose(f);
    return found;
}
static double resident(void) { return kib("/proc/self/status", "VmRSS:") * 1024; }
static double kernel(void) {
    return (kib("/proc/meminfo", "Slab:") + kib("/proc/meminfo", "Percpu:")) * 1024;
}

static int on_pong(azc_conn *conn, const void *data, size_t len) {
    (void)conn, (void)data, (void)len;
    pongs++;
    return AZC_OK;
}

static void need(int ok, const char *what) {
    if (!ok) printf("plan: %s: %s\n", what, strerror(errno)), exit(1);
}

static int visit(void) {
    static const char request[] =
        "GET /plan HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
        "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";
    struct sockaddr_in a;
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    memset(&a, 0, sizeof a);
    a.sin_family = AF_INET, a.sin_port = htons((uint16_t)azc_port(server));
    a.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    need(fd >= 0 && connect(fd, (struct sockaddr *)&a, sizeof a) == 0, "connect");
    need(send(fd, request, sizeof request - 1, 0) == sizeof request - 1, "send");
    return fd;
}

static double polled(int times) {
    double start = cpu_us();
    while (times-- > 0) azc_poll(server, 0);
    return cpu_us() - start;
}

static void rooms(void) {
    char name[16];
    azc_cursor c = azc_members(channel, NULL);
    need(azc_cursor_next(&c), "a member");
    malloc_trim(0);
    double before = resident();
    for (int i = 0; i < ROOMS; i++) {
        snprintf(name, sizeof name, "room-%06d", i);
        need(azc_join(c.conn, name) == AZC_OK, "azc_join");
    }
    printf("a room of one member, 11 letters  %.0f bytes\n", (resident() - before) / ROOMS);
    before = resident();
    int count = 0;
    for (azc_cursor m = azc_members(channel, NULL); azc_cursor_next(&m);)
        for (int i = 0; i < 50; i++, count++) {
            snprintf(name, sizeof name, "room-%06d", i);
            need(azc_join(m.conn, name) == AZC_OK, "azc_join");
        }
    printf("a membership more                 %.0f bytes\n", (resident() - before) / count);
}

int main(void) {
    static int fds[PEERS];
    char bytes[4096];
    azc_config config = {0};
    azc_channel_desc desc = {0};
    struct rlimit files;
    getrlimit(RLIMIT_NOFILE, &files);
    files.rlim_cur = files.rlim_max;
    setrlimit(RLIMIT_NOFILE, &files);
    server = azc_create(&config);
    desc.path = "/plan", desc.on_pong = on_pong;
    channel = azc_add_channel(server, &desc);
    need(azc_listen(server) == AZC_OK, "azc_listen");
    double memory = resident(), slab = kernel();
    for (int i = 0; i < PEERS; i++) {
        fds[i] = visit();
        if (i % 50 == 49) polled(4);
    }
    polled(50);
    need(azc_count(channel, NULL) == PEERS, "all in");
    printf("a connection, in the process      %.0f bytes\n", (resident() - memory) / PEERS);
    printf("a connection, in the kernel       %.0f bytes\n", (kernel() - slab) / PEERS / 2);
    double us = 0;
    for (int i = 0; i < PEERS; i++) while (recv(fds[i], bytes, sizeof bytes, MSG_DONTWAIT) > 0) {}
    for (int round = 0; round < ROUNDS; round++) {
        double start = cpu_us();
        for (azc_cursor c = azc_members(channel, NULL); azc_cursor_next(&c);) azc_ping(c.conn, "", 0);
        azc_poll(server, 0);
        us += cpu_us() - start;
        for (int i = 0; i < PEERS; i++) {
            need(recv(fds[i], bytes, sizeof bytes, 0) == 2, "a ping");
            need(send(fds[i], "\x8a\x80\1\2\3\4", 6, 0) == 6, "a pong");
        }
        for (size_t all = (size_t)PEERS * (size_t)(round + 1); pongs < all;) us += polled(1);
    }
    need(pongs == PEERS * ROUNDS, "all pongs");
    printf("a ping and its pong               %.1f us of CPU\n", us / PEERS / ROUNDS);
    us = 0;
    for (int round = 0; round < ROUNDS; round++) {
        double start = cpu_us();
        azc_broadcast(channel, NULL, bytes, 0, NULL);
        azc_poll(server, 0);
        us += cpu_us() - start;
    }
    printf("a broadcast, for each member      %.1f us of CPU\n", us / PEERS / ROUNDS);
    double start = cpu_us();
    for (int i = 0; i < 1000; i++) azc_poll(server, 0);
    printf("a wait among %d, idle           %.1f us of CPU\n", PEERS, (cpu_us() - start) / 1000);
    rooms();
    for (int i = 0; i < PEERS; i++) close(fds[i]);
    return azc_destroy(server) == AZC_OK ? 0 : 1;
}
