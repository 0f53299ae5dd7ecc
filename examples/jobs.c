/* jobs.c: slow work in threads, with progress and result on the page that asked for it.

       cc -I. examples/jobs.c -o jobs -lpthread && ./jobs [[host:]port]

   Then open http://127.0.0.1:4000/ and count primes. Orders go to the threads through pipes, news
   comes back with azc_post. The threads share nothing else with the loop, so no lock is needed. A
   tab that reconnects gets its jobs again. The page is pages/jobs.html, which `make pages` turns
   into jobs_page.h. */
#define AZCHAN_IMPLEMENTATION
#include "azchan.h"
#include "jobs_page.h"
#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

static azc_server *server; /* the threads post to it */

typedef struct order { /* to a thread */
    long number, limit;
} order;
typedef struct news { /* from a thread */
    long number, done, primes, ms;
} news;

/* ==== The jobs, on the loop's thread ========================================================== */

enum { JOBS = 64, THREADS = 2, MIN_LIMIT = 1000, MAX_LIMIT = 20000000 };

typedef struct job {
    long number; /* 0: no job yet */
    long limit, done, primes, ms;
    char tab[64]; /* the tab that asked for it */
} job;

static job jobs[JOBS];      /* the latest jobs, each at its number modulo JOBS */
static int orders[THREADS]; /* the write ends of the pipes */
static azc_channel *channel;

/* Send the state of a job to its tab. If the tab is away, it gets the state when it reconnects. */
static void job_send(const job *j) {
    char buf[256];
    azc_writer w = azc_put_begin(buf, sizeof buf);
    azc_put_int(&w, "job", j->number);
    azc_put_int(&w, "limit", j->limit);
    azc_put_int(&w, "done", j->done);
    azc_put_int(&w, "primes", j->primes);
    azc_put_int(&w, "ms", j->ms);
    if (azc_put_finish(&w) == AZC_OK) azc_send_user(channel, j->tab, w.text, w.len);
}

/* A task that a thread posted: it runs on the loop's thread. */
static void job_news(azc_server *s, void *arg) {
    news *n = arg;
    job *j = &jobs[n->number % JOBS];
    (void)s;
    j->done = n->done;
    j->primes = n->primes;
    j->ms = n->ms;
    free(n);
    job_send(j);
}

/* Start a job. Returns 0 if the next place in turn is taken by an unfinished job. */
static int job_order(const char *tab, long limit) {
    static long number;
    job *j = &jobs[(number + 1) % JOBS];
    if (j->done < j->limit) return 0;
    memset(j, 0, sizeof *j);
    j->number = ++number;
    j->limit = limit;
    snprintf(j->tab, sizeof j->tab, "%s", tab);
    order o = {j->number, limit};
    job_send(j);
    /* This never blocks: a pipe holds more than JOBS orders. */
    return write(orders[number % THREADS], &o, sizeof o) == sizeof o;
}

/* ==== The threads ============================================================================= */

/* Returns 1 once the other end of the pipe is closed; with events 0, poll reports only that. */
static int must_end(int fd) {
    struct pollfd p = {fd, 0, 0};
    return poll(&p, 1, 0) > 0;
}

/* Post news. If too many posts are queued, progress is dropped, but the last news is retried. */
static void post_news(news what, int last) {
    news *n = malloc(sizeof *n);
    if (!n) abort();
    *n = what;
    while (azc_post(server, job_news, n) != AZC_OK) {
        if (!last) {
            free(n);
            return;
        }
        usleep(10000);
    }
}

static int is_prime(long n) {
    if (n % 2 == 0) return n == 2;
    for (long d = 3; d * d <= n; d += 2) {
        if (n % d == 0) return 0;
    }
    return n > 1;
}

static long clock_ms(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (long)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

/* Count the primes below the limit, the slow way. Returns 0 if the program ends first. */
static int count_primes(int fd, order o) {
    news n = {o.number, 0, 0, 0};
    long began = clock_ms();
    while (n.done < o.limit) {
        long until = n.done + o.limit / 200 + 1;
        if (until > o.limit) until = o.limit;
        for (; n.done < until; n.done++) n.primes += is_prime(n.done);
        if (must_end(fd)) return 0;
        n.ms = clock_ms() - began;
        post_news(n, n.done == o.limit);
    }
    return 1;
}

static void *work(void *end) {
    int fd = *(int *)end;
    order o;
    while (read(fd, &o, sizeof o) == sizeof o && count_primes(fd, o)) continue;
    return NULL;
}

/* ==== The channel ============================================================================= */

/* Each tab is a user, named by a random id that the page made up and keeps. */
static int jobs_connect(azc_conn *conn) {
    const char *tab = azc_query(conn, "tab");
    if (!tab || !*tab || strlen(tab) >= sizeof jobs->tab) return azc_close(conn, 1008, "no tab");
    int error = azc_set_user(conn, tab);
    for (int i = 0; i < JOBS; i++) {
        if (jobs[i].number && strcmp(jobs[i].tab, tab) == 0) job_send(&jobs[i]);
    }
    return error;
}

/* Pages send {"count":5000000}. */
static int jobs_message(azc_conn *conn, const char *text, size_t len) {
    azc_json in;
    int64_t limit;
    if (azc_json_read(&in, text, len) != AZC_OK) return AZC_ERR_JSON;
    int error = azc_json_int(azc_json_get(in, "count"), &limit);
    if (error != AZC_OK) return error;
    if (limit < MIN_LIMIT || limit > MAX_LIMIT) return AZC_ERR_RANGE;
    if (job_order(azc_user(conn), (long)limit)) return AZC_OK;
    return azc_send_text(conn, "{\"busy\":true}", AZC_NUL);
}

/* ==== The program ============================================================================= */

static void need(int ok, const char *what) {
    if (ok) return;
    perror(what);
    exit(1);
}

int main(int argc, char **argv) {
    azc_config config = {0};
    config.port = 4000;
    config.host = argc > 1 ? argv[1] : NULL;

    azc_channel_desc desc = {0};
    desc.path = "/jobs";
    desc.on_connect = jobs_connect;
    desc.on_message = jobs_message;

    server = azc_create(&config);
    azc_log_to(server, stderr, AZC_LOG_WARNING);
    azc_stop_on_signals(server);
    channel = azc_add_channel(server, &desc);
    azc_add_page(server, "/", "text/html; charset=utf-8", jobs_page, sizeof jobs_page);
    azc_add_client(server, "/azchan.js");

    pthread_t thread[THREADS];
    int fds[THREADS][2];
    for (int i = 0; i < THREADS; i++) {
        need(pipe(fds[i]) == 0, "pipe");
        need(pthread_create(&thread[i], NULL, work, &fds[i][0]) == 0, "pthread_create");
        orders[i] = fds[i][1];
    }
    if (azc_listen(server) == AZC_OK) puts(azc_url(server, "http", "/"));
    fflush(stdout);
    int error = azc_run(server);

    for (int i = 0; i < THREADS; i++) close(orders[i]); /* the threads end when they see it */
    for (int i = 0; i < THREADS; i++) pthread_join(thread[i], NULL);
    azc_destroy(server); /* runs the posts that are left */
    return error != AZC_OK;
}
