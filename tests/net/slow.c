/* slow.c: slow peers on a real kernel, with the default limits. A peer that reads or sends steadily
 * keeps its connection; one that trickles or stalls loses it. Each scenario takes up to two minutes.
 * All run at the same time, each in a process with its own server, and each prints what it measured.
 * Run it with `make check-slow`; it needs nginx. */
#define AZCHAN_IMPLEMENTATION
#include "../../azchan.h"
#include "../test.h"
#include <pthread.h>
#include <stdarg.h>
#include <sys/wait.h>

enum { PAGE = 6000000, CHUNK = 8192, VALUE = 10000, VALUE_MS = 100 };
static char page[PAGE];

static long long now_ms(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (long long)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

/* Add to what the parent prints. */
static void say(const char *format, ...) __attribute__((format(printf, 1, 2)));
static char said[512];
static void say(const char *format, ...) {
    size_t len = strlen(said);
    va_list args;
    va_start(args, format);
    vsnprintf(said + len, sizeof said - len, format, args);
    va_end(args);
}

/* ---- The server ------------------------------------------------------------------------------ */

static struct {
    azc_server *server;
    azc_channel *values;
    int code; /* of the last on_close */
    int through_nginx;
} host;

typedef struct transfer {
    size_t sent, size;
} transfer;

static int file_more(azc_conn *conn) { /* the manual's recipe */
    transfer *t = (transfer *)azc_data(conn);
    while (azc_backlog(conn) <= 128 << 10) {
        size_t n = t->size - t->sent < CHUNK ? t->size - t->sent : CHUNK;
        if (n == 0) return azc_close(conn, 1000, "all");
        if (azc_send_binary(conn, page, n) != AZC_OK) return AZC_OK;
        t->sent += n;
    }
    return AZC_OK;
}
static int file_connect(azc_conn *conn) {
    ((transfer *)azc_data(conn))->size = (size_t)atol(azc_query(conn, "size"));
    return file_more(conn);
}
static int blob_connect(azc_conn *conn) { /* all at once, and azc_close */
    for (size_t left = PAGE, n; left > 0; left -= n) {
        n = left < CHUNK ? left : CHUNK;
        if (azc_send_binary(conn, page, n) != AZC_OK) return AZC_ERR_FULL;
    }
    return azc_close(conn, 1000, "all");
}
static void closed(azc_conn *conn, int code, const char *reason) {
    (void)conn, (void)reason;
    host.code = code;
}
static void next_value(azc_server *server, void *unused) {
    static char text[VALUE + 1];
    (void)unused, (void)server;
    memset(text, ' ', VALUE);
    text[snprintf(text, 32, "%lld", now_ms())] = ' ';
    azc_message m;
    memset(&m, 0, sizeof m);
    m.text = text, m.len = VALUE, m.key = 1;
    azc_send(host.values, &m);
}

static void host_open(size_t backlog) {
    azc_channel_desc d;
    azc_config config;
    memset(&config, 0, sizeof config);
    config.max_backlog = backlog;
    host.server = azc_create(&config);
    memset(&d, 0, sizeof d);
    d.path = "/file", d.data_size = sizeof(transfer);
    d.on_connect = file_connect, d.on_drain = file_more, d.on_close = closed;
    azc_add_channel(host.server, &d);
    memset(&d, 0, sizeof d);
    d.path = "/blob", d.on_connect = blob_connect, d.on_close = closed;
    azc_add_channel(host.server, &d);
    memset(&d, 0, sizeof d);
    d.path = "/values", d.on_close = closed, d.when_full = AZC_FULL_DROP;
    host.values = azc_add_channel(host.server, &d);
    memset(&d, 0, sizeof d);
    d.path = "/echo", d.on_close = closed, d.on_message = azc_send_text;
    azc_add_channel(host.server, &d);
    azc_add_page(host.server, "/page", "text/plain", page, PAGE);
    if (azc_listen(host.server) != AZC_OK) puts(azc_error(host.server)), _exit(1);
    azc_every(host.server, VALUE_MS, next_value, NULL);
}

/* ---- A client, in its own thread -------------------------------------------------------------- */

typedef struct peer {
    int fd;
    long long began, pause; /* pause: read nothing until then */
    size_t got, rate;       /* bytes so far, and a second */
    int ended;              /* 1: in order, 2: reset */
} peer;

static int nginx_port;     /* 0: none */
static int receive_buffer; /* bytes; 0: the kernel's choice */

static peer enter(const char *request, size_t rate) {
    peer p = {-1, now_ms(), 0, 0, rate, 0};
    struct sockaddr_in a;
    struct timeval never = {200, 0};
    int port = nginx_port ? nginx_port : azc_port(host.server);
    memset(&a, 0, sizeof a);
    a.sin_family = AF_INET, a.sin_port = htons((uint16_t)port);
    a.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    p.fd = socket(AF_INET, SOCK_STREAM, 0);
    setsockopt(p.fd, SOL_SOCKET, SO_RCVTIMEO, &never, sizeof never);
    if (receive_buffer)
        setsockopt(p.fd, SOL_SOCKET, SO_RCVBUF, &receive_buffer, sizeof receive_buffer);
    if (connect(p.fd, (struct sockaddr *)&a, sizeof a) != 0) perror("connect"), _exit(1);
    if (send(p.fd, request, strlen(request), MSG_NOSIGNAL) < 0) p.ended = 2;
    return p;
}

#define UPGRADE                                                                                  \
    " HTTP/1.1\r\nHost: a.example\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"               \
    "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n"

/* Read at most n bytes at the peer's rate: as many as it is behind, or wait until it is. */
static size_t take(peer *p, void *to, size_t n) {
    while (!p->ended) {
        size_t due = (size_t)(now_ms() - p->began) * p->rate / 1000 + 1;
        if (due <= p->got) {
            poll(NULL, 0, 20);
            continue;
        }
        ssize_t k = recv(p->fd, to, n < due - p->got ? n : due - p->got, 0);
        if (k <= 0) p->ended = k == 0 ? 1 : 2;
        else return p->got += (size_t)k, (size_t)k;
    }
    return 0;
}

static int take_all(peer *p, void *to, size_t n) {
    for (size_t at = 0, k; at < n; at += k)
        if ((k = take(p, (char *)to + at, n - at)) == 0) return 0;
    return 1;
}

/* Skip a head, to its empty line. */
static int take_head(peer *p) {
    char last[4] = "";
    while (memcmp(last, "\r\n\r\n", 4) != 0) {
        memmove(last, last + 1, 3);
        if (!take_all(p, last + 3, 1)) return 0;
    }
    p->got = 0, p->began = now_ms();
    return 1;
}

static void control(peer *p, int opcode, const void *data, size_t len) {
    unsigned char frame[6 + 125] = {(unsigned char)(0x80 | opcode), (unsigned char)(0x80 | len)};
    memcpy(frame + 6, data, len); /* a mask of zeros */
    if (send(p->fd, frame, 6 + len, MSG_NOSIGNAL) < 0) p->ended = 2;
}

/* Read a frame into data (the first `size` bytes of it). Returns its opcode, 0 at the end. */
static int take_frame(peer *p, char *data, size_t size, size_t *len) {
    unsigned char head[10];
    static char rest[65536];
    if (!take_all(p, head, 2)) return 0;
    *len = head[1];
    if (head[1] >= 126) {
        size_t more = head[1] == 126 ? 2 : 8;
        if (!take_all(p, head + 2, more)) return 0;
        for (size_t i = *len = 0; i < more; i++) *len = *len << 8 | head[2 + i];
    }
    size_t keep = *len < size ? *len : size;
    if (!take_all(p, data, keep) || !take_all(p, rest, *len - keep)) return 0;
    return head[0] & 15;
}

/* ---- Scenarios -------------------------------------------------------------------------------- */

static double seconds(const peer *p) { return (double)(now_ms() - p->began) / 1000; }

static void download(const char *request, size_t rate) {
    static char bytes[65536];
    peer p = enter(request, rate);
    size_t body = 0, k;
    CHECK(take_head(&p));
    while (body < PAGE && (k = take(&p, bytes, sizeof bytes)) > 0) body += k;
    say("%lu of %d bytes in %.1f s at %lu bytes/s", (unsigned long)body, PAGE, seconds(&p),
        (unsigned long)rate);
    CHECK(body == PAGE);
}
static void page_last(void) {
    download("GET /page HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n", 200000);
}
static void page_kept(void) { download("GET /page HTTP/1.1\r\nHost: a\r\n\r\n", 60000); }

static void file(const char *path, size_t size, size_t rate) {
    static char data[CHUNK], request[512];
    size_t body = 0, len = 0;
    int opcode, code = 1006, pings = 0;
    snprintf(request, sizeof request, "GET %s?size=%lu" UPGRADE, path,
             (unsigned long)size);
    peer p = enter(request, rate);
    CHECK(take_head(&p));
    while ((opcode = take_frame(&p, data, sizeof data, &len)) != 0 && opcode != 8) {
        if (opcode == 2) body += len;
        if (opcode == 9) control(&p, 10, data, len), pings++;
    }
    if (opcode == 8) code = (unsigned char)data[0] << 8 | (unsigned char)data[1];
    say("%lu of %lu bytes in %.1f s at %lu bytes/s, close %d, on_close %d, %d pings",
        (unsigned long)body, (unsigned long)size, seconds(&p), (unsigned long)rate, code,
        host.code, pings);
    control(&p, 8, "\x03\xe8", 2);
    CHECK(body == size);
    CHECK_INT(code, 1000);
}
/* For two minutes. */
static void file_at(size_t rate) {
    static char data[CHUNK];
    size_t body = 0, len = 0;
    int opcode = 0, pings = 0;
    peer p = enter("GET /file?size=400000000" UPGRADE, rate);
    CHECK(take_head(&p));
    while (seconds(&p) < 120 && (opcode = take_frame(&p, data, sizeof data, &len)) != 0) {
        if (opcode == 2) body += len;
        if (opcode == 9) control(&p, 10, data, len), pings++;
    }
    say("%lu bytes in %.1f s at %lu bytes/s, %s, on_close %d, %d pings", (unsigned long)body,
        seconds(&p), (unsigned long)rate, opcode ? "and on" : "then dropped", host.code, pings);
    CHECK(opcode != 0 && host.code == 0 && body + CHUNK > 115 * rate);
}
/* At this rate, a kernel that buffers 4 MB makes room for more only once in 45 s. */
static void file_slow(void) { file_at(30000); }
/* The kernel of a program that reads slowly may acknowledge 128 KB at once. */
static void file_slowest(void) { file_at(4000); }
static void page_slowest(void) {
    static char bytes[1000];
    peer p = enter("GET /page HTTP/1.1\r\nHost: a\r\n\r\n", 16000);
    CHECK(take_head(&p));
    while (seconds(&p) < 120 && take(&p, bytes, sizeof bytes) > 0) continue;
    say("%lu bytes in %.1f s, %lld open", (unsigned long)p.got, seconds(&p),
        (long long)azc_stats(host.server)->connections);
    CHECK(!p.ended && azc_stats(host.server)->connections == 1);
}
static void file_closed(void) { file("/blob", PAGE, 200000); }

static void latest_of(int buffer, int most) {
    receive_buffer = buffer;
    static char data[64];
    size_t len;
    int opcode, values = 0;
    long long worst = 0, sum = 0;
    peer p = enter("GET /values" UPGRADE, 20000);
    CHECK(take_head(&p));
    while (seconds(&p) < 45 && (opcode = take_frame(&p, data, sizeof data - 1, &len)) != 0) {
        if (opcode == 9) control(&p, 10, data, len);
        if (opcode != 1 || seconds(&p) < 20) continue;
        long long age = now_ms() - atoll(data);
        if (age > worst) worst = age;
        sum += age, values++;
    }
    say("after 20 s: %d values, on average %.1f s old, at most %.1f s", values,
        values ? (double)(sum / values) / 1000 : 0.0, (double)worst / 1000);
    CHECK(values > 20 && worst < most);
}
static void latest(void) { latest_of(0, 10000); }
static void latest_small(void) { latest_of(16384, 3500); }

/* A message at 0.1 s, then only pongs. A proxy sees no traffic until the ping. */
static void silence(void) {
    char data[125];
    size_t len;
    peer p = enter("GET /echo" UPGRADE, 1000000);
    double at[2] = {0, 0};
    CHECK(take_head(&p));
    poll(NULL, 0, 100);
    control(&p, 1, "x", 1);
    take_frame(&p, data, sizeof data, &len);
    for (int i = 0; i < 2; i++) {
        double from = seconds(&p);
        if (!CHECK_INT(take_frame(&p, data, sizeof data, &len), 9)) return;
        at[i] = seconds(&p) - from;
        control(&p, 10, data, len);
    }
    say("pinged after %.1f s of silence, again after %.1f s", at[0], at[1]);
    CHECK(at[0] > 20 && at[0] < 45 && at[1] > 20 && at[1] < 45);
}

/* A byte now and then. Returns the seconds until the connection ended; 130: it has not. */
static double trickle(const char *request, const char *bytes, int reads) {
    peer p = enter(request, 1000000);
    char in[200];
    struct timeval wait = {1, 0};
    double end;
    CHECK(take_head(&p));
    setsockopt(p.fd, SOL_SOCKET, SO_RCVTIMEO, &wait, sizeof wait);
    while ((end = seconds(&p)) < 130) {
        if (*bytes && send(p.fd, bytes++, 1, MSG_NOSIGNAL) < 0) break;
        if (reads && recv(p.fd, in, sizeof in, 0) <= 0 && errno != EAGAIN) break;
        if (azc_stats(host.server)->connections == 0) break;
        if (reads) poll(NULL, 0, 1000);
        else poll(NULL, 0, 3000);
    }
    close(p.fd);
    return end;
}
static void trickle_reader(void) {
    double end = trickle("GET /page HTTP/1.1\r\nHost: a\r\n\r\n", "", 1);
    say("a page read at 200 bytes a second: dropped after %.0f s", end);
    CHECK(end < 60);
}
static void trickle_sender(void) {
    static char bytes[100] = "\x82\xfe\x10\x01....";
    memset(bytes + 4, 'x', 90);
    double end = trickle("GET /echo" UPGRADE, bytes, 0);
    say("a message sent at a byte in 3 s: dropped after %.0f s, on_close %d", end, host.code);
    CHECK(end < 100 && host.code == 1006);
}
static void stalled_reader(void) {
    double end = trickle("GET /file?size=400000000" UPGRADE, "", 0);
    say("a file that is not read: dropped after %.0f s, on_close %d", end, host.code);
    CHECK(end < 100 && host.code == 1006);
}

static const struct {
    const char *sentence;
    void (*run)(void);
    int nginx;
    size_t backlog; /* max_backlog */
} scenarios[] = {
    {"a last page at 200 KB/s arrives whole", page_last, 0, 0},
    {"a page at 60 KB/s on keep-alive arrives whole", page_kept, 0, 0},
    {"a file by the manual's recipe is read at 30 KB/s for two minutes", file_slow, 0, 0},
    {"the same through nginx", file_slow, 1, 0},
    {"the same at 4 KB/s", file_slowest, 0, 0},
    {"a page on keep-alive is read at 16 KB/s for two minutes", page_slowest, 0, 0},
    {"what is queued at azc_close is sent, however long that takes", file_closed, 0, 2 * PAGE},
    {"latest values at 20 KB/s are new though 100 KB/s are sent", latest, 0, 0},
    {"latest values are new for a peer whose kernel buffers little", latest_small, 0, 0},
    {"a silent peer is pinged well before proxies cut at 60 s", silence, 0, 0},
    {"a peer that reads a page too slowly is dropped", trickle_reader, 0, 0},
    {"a peer that sends a message too slowly is dropped", trickle_sender, 0, 0},
    {"a peer that does not read is dropped", stalled_reader, 0, 0},
};
enum { SCENARIOS = sizeof scenarios / sizeof *scenarios };

/* ---- Running them ----------------------------------------------------------------------------- */

static int free_port(void) {
    struct sockaddr_in a;
    socklen_t len = sizeof a;
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    memset(&a, 0, sizeof a);
    a.sin_family = AF_INET, a.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    if (bind(fd, (struct sockaddr *)&a, sizeof a) != 0) abort();
    getsockname(fd, (struct sockaddr *)&a, &len);
    close(fd);
    return ntohs(a.sin_port);
}

/* nginx in front of the server, with its defaults. */
static pid_t nginx_start(const char *dir) {
    char conf[600], temp[600];
    int port = free_port();
    static const char *const kinds[] = {"client_body", "proxy", "fastcgi", "uwsgi", "scgi"};
    snprintf(conf, sizeof conf, "%s/nginx.conf", dir);
    FILE *f = fopen(conf, "w");
    if (f == NULL) perror(conf), _exit(1);
    fprintf(f, "daemon off; master_process off; pid %s/pid; error_log %s/error;\n"
            "events { worker_connections 64; }\nhttp { access_log off;\n", dir, dir);
    for (int i = 0; i < 5; i++) fprintf(f, "%s_temp_path %s/%s;\n", kinds[i], dir, kinds[i]);
    fprintf(f, "server { listen 127.0.0.1:%d; location / { proxy_pass http://127.0.0.1:%d;\n"
            "proxy_http_version 1.1; proxy_set_header Upgrade $http_upgrade;\n"
            "proxy_set_header Connection upgrade; proxy_set_header Host $host; } } }\n", port,
            azc_port(host.server));
    fclose(f);
    snprintf(temp, sizeof temp, "%s/error", dir);
    pid_t pid = fork();
    if (pid == 0) {
        execlp("nginx", "nginx", "-p", dir, "-c", conf, "-e", temp, (char *)NULL);
        execl("/usr/sbin/nginx", "nginx", "-p", dir, "-c", conf, "-e", temp, (char *)NULL);
        perror("nginx");
        _exit(1);
    }
    for (int i = 0; i < 100; i++) {
        struct sockaddr_in a;
        memset(&a, 0, sizeof a);
        a.sin_family = AF_INET, a.sin_port = htons((uint16_t)port);
        a.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
        int fd = socket(AF_INET, SOCK_STREAM, 0);
        int ok = connect(fd, (struct sockaddr *)&a, sizeof a) == 0;
        close(fd);
        if (ok) break;
        poll(NULL, 0, 50);
    }
    nginx_port = port;
    return pid;
}

static void *client_thread(void *run) {
    void (*const *scenario)(void) = (void (*const *)(void))run;
    (*scenario)();
    azc_stop(host.server);
    return NULL;
}

/* In a process of its own: serve one client, and write what it found. */
static void scene(int i, int out) {
    char dir[] = "/tmp/azchan-slow-XXXXXX", command[64];
    pthread_t thread;
    pid_t proxy = 0;
    test.bad = 0, test.sentence = scenarios[i].sentence;
    alarm(200);
    host_open(scenarios[i].backlog);
    if (scenarios[i].nginx) {
        if (mkdtemp(dir) == NULL) _exit(1);
        proxy = nginx_start(dir);
    }
    pthread_create(&thread, NULL, client_thread, (void *)&scenarios[i].run);
    azc_run(host.server);
    pthread_join(thread, NULL);
    azc_destroy(host.server);
    if (proxy > 0) {
        kill(proxy, SIGTERM);
        waitpid(proxy, NULL, 0);
        snprintf(command, sizeof command, "rm -r %s", dir);
        if (system(command) != 0) test.bad++;
    }
    if (write(out, said, strlen(said)) < 0) _exit(1);
    fflush(stdout);
    _exit(test.bad > 0);
}

int main(int argc, char **argv) {
    pid_t pids[SCENARIOS];
    int outs[SCENARIOS];
    test_start(argc, argv);
    signal(SIGPIPE, SIG_IGN);
    for (int i = 0; i < SCENARIOS; i++) {
        int fds[2];
        if (test.only && !strstr(scenarios[i].sentence, test.only)) continue;
        if (pipe(fds) != 0 || (pids[i] = fork()) < 0) abort();
        if (pids[i] == 0) scene(i, fds[1]);
        close(fds[1]);
        outs[i] = fds[0];
    }
    for (int i = 0; i < SCENARIOS; i++)
        TEST(scenarios[i].sentence) {
            int status = -1;
            char figures[sizeof said] = "";
            alarm(220);
            if (read(outs[i], figures, sizeof figures - 1) < 0) abort();
            waitpid(pids[i], &status, 0);
            printf("  %s: %s\n", scenarios[i].sentence, figures);
            CHECK(WIFEXITED(status) && WEXITSTATUS(status) == 0);
        }
    return test_end();
}
