/* own_loop.c: a program with a loop of its own, here a little world that moves 30 times a second,
   reads lines from its terminal, and shows both to whoever looks.

       cc examples/own_loop.c -o own_loop -lm && ./own_loop [port]

   then open http://127.0.0.1:4000/ twice, and tap; what is typed in the terminal appears there.
   The loop is in main, at the end. The page is own_loop_page.h. */
#define AZCHAN_IMPLEMENTATION
#include "../azchan.h"
#include "own_loop_page.h"
#include <math.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

/* ==== The world, which knows nothing of channels ============================================== */

enum { BALLS = 24, TICK_MS = 33, WIDE = 1000, HIGH = 1000 };

typedef struct ball {
    double x, y, dx, dy, radius; /* of a world that is WIDE and HIGH */
    int hue;
} ball;

static ball balls[BALLS];
static int ball_count, ball_next; /* the oldest makes room for the newest */

static void world_add(double x, double y) {
    static unsigned n = 0;
    n++;
    ball b = {x, y, n * 89 % 256 - 127.5, -200, 26 + n * 57 % 32, (int)(n * 137 % 360)};
    balls[ball_next] = b;
    ball_next = (ball_next + 1) % BALLS;
    if (ball_count < BALLS) ball_count++;
}

static void ball_wall(double *at, double *speed, double low, double high, double bounce) {
    if (*at >= low && *at <= high) return;
    *at = *at < low ? low : high;
    *speed *= -bounce;
}

/* Two that overlap are put side by side and swap what of their speeds is along the line. */
static void ball_meet(ball *a, ball *b) {
    double x = b->x - a->x, y = b->y - a->y, far = sqrt(x * x + y * y);
    double deep = a->radius + b->radius - far;
    if (deep <= 0 || far == 0) return;
    x /= far, y /= far;
    double closing = (a->dx - b->dx) * x + (a->dy - b->dy) * y;
    if (closing > 0) {
        a->dx -= closing * x, a->dy -= closing * y;
        b->dx += closing * x, b->dy += closing * y;
    }
    a->x -= x * deep / 2, a->y -= y * deep / 2;
    b->x += x * deep / 2, b->y += y * deep / 2;
}

static void world_tick(void) {
    const double seconds = TICK_MS / 1000.0;
    for (int i = 0; i < ball_count; i++) {
        ball *b = &balls[i];
        b->dy += 900 * seconds;
        b->x += b->dx * seconds;
        b->y += b->dy * seconds;
        ball_wall(&b->x, &b->dx, b->radius, WIDE - b->radius, 1);
        ball_wall(&b->y, &b->dy, b->radius, HIGH - b->radius, 0.97);
        for (int k = 0; k < i; k++) ball_meet(b, &balls[k]);
    }
}

/* ==== What is seen of it ====================================================================== */

static azc_channel *channel;
static char said[256]; /* the last line of the terminal */

/* {"balls":[[x,y,radius,hue],...]} to everyone; who is too slow misses some (AZC_FULL_DROP). */
static void show_world(void) {
    static char buf[BALLS * 32 + 64];
    if (azc_count(channel, NULL) == 0) return;
    azc_writer w = azc_put_begin(buf, sizeof buf);
    azc_put_array(&w, "balls");
    for (int i = 0; i < ball_count; i++) {
        const ball *b = &balls[i];
        azc_put_array(&w, NULL);
        azc_put_int(&w, NULL, lround(b->x));
        azc_put_int(&w, NULL, lround(b->y));
        azc_put_int(&w, NULL, lround(b->radius));
        azc_put_int(&w, NULL, b->hue);
        azc_put_end(&w);
    }
    azc_put_end(&w);
    azc_broadcast_json(channel, NULL, &w, NULL);
}

/* To one, or with conn NULL to all. A line that is not UTF-8 is not sent: azc_put_finish says. */
static int show_said(azc_conn *conn) {
    char buf[6 * sizeof said + 32];
    azc_writer w = azc_put_begin(buf, sizeof buf);
    azc_put_string(&w, "said", said);
    return conn ? azc_send_json(conn, &w) : azc_broadcast_json(channel, NULL, &w, NULL);
}

static int world_connect(azc_conn *conn) { return *said ? show_said(conn) : AZC_OK; }

/* {"tap":[x,y]} lets a ball go there. */
static int world_message(azc_conn *conn, const char *text, size_t len) {
    azc_json in;
    double x, y;
    (void)conn;
    if (azc_json_read(&in, text, len) != AZC_OK) return AZC_ERR_JSON;
    azc_json tap = azc_json_get(in, "tap");
    if (azc_json_double(azc_json_at(tap, 0), &x) != AZC_OK ||
        azc_json_double(azc_json_at(tap, 1), &y) != AZC_OK) return AZC_ERR_TYPE;
    if (x < 0 || x > WIDE || y < 0 || y > HIGH) return AZC_ERR_RANGE;
    world_add(x, y);
    return AZC_OK;
}

/* ==== The program ============================================================================= */

static azc_server *server; /* global for the signal handler only */

static void stop(int signum) {
    (void)signum;
    azc_stop(server);
}

static void print_log(void *file, const char *message) { fprintf(file, "own_loop: %s\n", message); }

/* The pieces of own_loop_page.h as one page. */
static void add_page(void) {
    static char page[16 * 1024];
    size_t len = 0;
    for (size_t i = 0; i < sizeof own_loop_page / sizeof *own_loop_page; i++) {
        size_t n = strlen(own_loop_page[i]);
        if (n > sizeof page - len) abort(); /* the page grew: make it larger */
        memcpy(page + len, own_loop_page[i], n);
        len += n;
    }
    azc_add_page(server, "/", "text/html; charset=utf-8", page, len);
}

static long long now_ms(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (long long)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

/* A line typed in the terminal. Returns 0 at its end. */
static int terminal_read(void) {
    ssize_t n = read(STDIN_FILENO, said, sizeof said - 1);
    if (n <= 0) return 0;
    said[n] = 0;
    said[strcspn(said, "\r\n")] = 0;
    show_said(NULL);
    return 1;
}

int main(int argc, char **argv) {
    enum { MOST = 128 };
    char *end = NULL;
    long port = argc > 1 ? strtol(argv[1], &end, 10) : 4000;
    if (argc > 2 || (end && (end == argv[1] || *end)) || port < 0 || port > 65535) {
        fprintf(stderr, "usage: own_loop [port], 0 (any free one) to 65535; 4000 when left out\n");
        return 2;
    }
    azc_config config = {0};
    config.port = (int)port;
    config.max_connections = MOST - 2; /* and the listener, and what azc_stop wakes us by */
    config.log = print_log;
    config.log_userdata = stderr;
    azc_channel_desc desc = {0};
    desc.path = "/world";
    desc.when_full = AZC_FULL_DROP;
    desc.on_connect = world_connect;
    desc.on_message = world_message;

    server = azc_create(&config);
    signal(SIGINT, stop);
    signal(SIGTERM, stop);
    channel = azc_add_channel(server, &desc);
    add_page();
    for (int i = 1; i <= 5; i++) world_add(i * WIDE / 6.0, HIGH / 3.0);
    int alive = azc_listen(server) == AZC_OK ? 1 : -1;
    if (alive > 0) printf("http://127.0.0.1:%d/\n", azc_port(server));
    fflush(stdout); /* it may be a pipe */

    /* The loop is ours: a tick when it is time, the terminal when there is a line, and the
       server's descriptors beside our own. */
    struct pollfd fds[1 + MOST] = {{STDIN_FILENO, POLLIN, 0}};
    for (long long tick = now_ms(); alive > 0;) {
        long long left = tick - now_ms();
        int wait = left > 0 ? (int)left : 0;
        size_t n = azc_poll_begin(server, fds + 1, MOST, &wait);
        if (poll(fds, (nfds_t)(1 + n), wait) < 0) n = 0, fds[0].revents = 0;
        alive = azc_poll_end(server, fds + 1, n);

        if (fds[0].revents && !terminal_read()) fds[0].fd = -1;
        if (now_ms() < tick) continue;
        tick += TICK_MS;
        if (tick < now_ms()) tick = now_ms(); /* it was late: no rush to catch up */
        world_tick();
        show_world();
    }
    if (alive < 0) fprintf(stderr, "own_loop: %s\n", azc_error(server));
    azc_destroy(server);
    return alive < 0 ? 1 : 0;
}
