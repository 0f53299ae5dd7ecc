/* jobs.c: slow work in threads of its own, its progress and result on the page of who asked.

       cc examples/jobs.c -o jobs -lpthread && ./jobs [port]

   then open http://127.0.0.1:4000/ and count primes. Orders go to the threads through pipes, news
   comes back by azc_post; the threads share nothing else with the loop, so there is no lock. A tab
   that was away finds its jobs again. The page is jobs_page.h. */
#define AZCHAN_IMPLEMENTATION
#include "../azchan.h"
#include "jobs_page.h"
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

static azc_server *server; /* global for the threads, and for the signal handler */

/* What a thread is told, and what it tells. */
typedef struct order {
    long number, limit;
} order;
typedef struct news {
    long number, done, primes, ms;
} news;

/* ==== The jobs, on the loop's thread ========================================================== */

enum { JOBS = 64, THREADS = 2, LEAST = 1000, MOST = 20000000 };

typedef struct job {
    long number; /* 0: none yet */
    long limit, done, primes, ms;
    char tab[64]; /* who asked */
} job;

static job jobs[JOBS]; /* the last ones, each at its number modulo JOBS */
static int orders[THREADS]; /* the pipes' ends to write to */
static azc_channel *channel;

/* Nobody there is a clean answer, too: the job keeps its news for the tab to come back. */
static void job_tell(const job *j) {
    char buf[256];
    azc_writer w = azc_put_begin(buf, sizeof buf);
    azc_put_int(&w, "job", j->number);
    azc_put_int(&w, "limit", j->limit);
    azc_put_int(&w, "done", j->done);
    azc_put_int(&w, "primes", j->primes);
    azc_put_int(&w, "ms", j->ms);
    if (azc_put_finish(&w) == AZC_OK) azc_send_user(channel, j->tab, w.text, w.len);
}

/* Posted by a thread, run here. */
static void job_news(azc_server *s, void *arg) {
    news *n = arg;
    job *j = &jobs[n->number % JOBS];
    (void)s;
    j->done = n->done;
    j->primes = n->primes;
    j->ms = n->ms;
    free(n);
    job_tell(j);
}

/* Returns 0 when the place that is next in turn has a job that is not done. */
static int job_order(const char *tab, long limit) {
    static long number;
    job *j = &jobs[(number + 1) % JOBS];
    if (j->done < j->limit) return 0;
    memset(j, 0, sizeof *j);
    j->number = ++number;
    j->limit = limit;
    snprintf(j->tab, sizeof j->tab, "%s", tab);
    order o = {j->number, limit};
    job_tell(j);
    /* It never blocks: there is room for more than JOBS in a pipe. */
    return write(orders[number % THREADS], &o, sizeof o) == sizeof o;
}

/* ==== The threads ============================================================================= */

/* The pipe's other end was closed. */
static int must_end(int fd) {
    struct pollfd p = {fd, 0, 0};
    return poll(&p, 1, 0) > 0;
}

/* Progress may be left out when too much is waiting, the last word may not. */
static void tell(news what, int last) {
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

/* Count the primes below the limit, the slow way. Returns 0 if it is to end before. */
static int count_primes(int fd, order o) {
    news n = {o.number, 0, 0, 0};
    long began = clock_ms();
    while (n.done < o.limit) {
        long until = n.done + o.limit / 200 + 1;
        if (until > o.limit) until = o.limit;
        for (; n.done < until; n.done++) n.primes += is_prime(n.done);
        if (must_end(fd)) return 0;
        n.ms = clock_ms() - began;
        tell(n, n.done == o.limit);
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

/* A tab's name is a random one that it made up and keeps. */
static int jobs_connect(azc_conn *conn) {
    const char *tab = azc_query(conn, "tab");
    if (!tab || !*tab || strlen(tab) >= sizeof jobs->tab) return azc_close(conn, 1008, "no tab");
    int error = azc_set_user(conn, tab);
    for (int i = 0; i < JOBS; i++) {
        if (jobs[i].number && strcmp(jobs[i].tab, tab) == 0) job_tell(&jobs[i]);
    }
    return error;
}

/* What a page sends is {"count":5000000}. */
static int jobs_message(azc_conn *conn, const char *text, size_t len) {
    azc_json in;
    int64_t limit;
    if (azc_json_read(&in, text, len) != AZC_OK) return AZC_ERR_JSON;
    int error = azc_json_int(azc_json_get(in, "count"), &limit);
    if (error != AZC_OK) return error;
    if (limit < LEAST || limit > MOST) return AZC_ERR_RANGE;
    if (job_order(azc_user(conn), (long)limit)) return AZC_OK;
    static const char busy[] = "{\"busy\":true}";
    return azc_send_text(conn, busy, sizeof busy - 1);
}

/* ==== The program ============================================================================= */

static void stop(int signum) {
    (void)signum;
    azc_stop(server);
}

static void print_log(void *file, const char *message) { fprintf(file, "jobs: %s\n", message); }

/* The pieces of jobs_page.h as one page. */
static void add_page(void) {
    static char page[16 * 1024];
    size_t len = 0;
    for (size_t i = 0; i < sizeof jobs_page / sizeof *jobs_page; i++) {
        size_t n = strlen(jobs_page[i]);
        if (n > sizeof page - len) abort(); /* the page grew: make it larger */
        memcpy(page + len, jobs_page[i], n);
        len += n;
    }
    azc_add_page(server, "/", "text/html; charset=utf-8", page, len);
}

static void need(int ok, const char *what) {
    if (ok) return;
    perror(what);
    exit(1);
}

int main(int argc, char **argv) {
    char *end = NULL;
    long port = argc > 1 ? strtol(argv[1], &end, 10) : 4000;
    if (argc > 2 || (end && (end == argv[1] || *end)) || port < 0 || port > 65535) {
        fprintf(stderr, "usage: jobs [port], 0 (any free one) to 65535; 4000 when left out\n");
        return 2;
    }
    azc_config config = {0};
    config.port = (int)port;
    config.log = print_log;
    config.log_userdata = stderr;
    azc_channel_desc desc = {0};
    desc.path = "/jobs";
    desc.on_connect = jobs_connect;
    desc.on_message = jobs_message;

    server = azc_create(&config);
    signal(SIGINT, stop);
    signal(SIGTERM, stop);
    channel = azc_add_channel(server, &desc);
    add_page();

    pthread_t thread[THREADS];
    int fds[THREADS][2];
    for (int i = 0; i < THREADS; i++) {
        need(pipe(fds[i]) == 0, "pipe");
        need(pthread_create(&thread[i], NULL, work, &fds[i][0]) == 0, "pthread_create");
        orders[i] = fds[i][1];
    }
    if (azc_listen(server) == AZC_OK) printf("http://127.0.0.1:%d/\n", azc_port(server));
    fflush(stdout); /* it may be a pipe */
    int error = azc_run(server);
    if (error != AZC_OK) fprintf(stderr, "jobs: %s\n", azc_error(server));

    for (int i = 0; i < THREADS; i++) close(orders[i]); /* which the threads see */
    for (int i = 0; i < THREADS; i++) pthread_join(thread[i], NULL);
    azc_destroy(server); /* runs the news that are left */
    return error == AZC_OK ? 0 : 1;
}
