/* POSTS: what other threads and signal handlers post runs once, in order, and at most 64 in a turn.
 * System calls are real: make check-sanitize runs this with ThreadSanitizer. */
#define AZCHAN_IMPLEMENTATION
#include "../azchan.h"
#include "test.h"
#include "client.h"
#include <pthread.h>

static azc_server *server;

static void say(azc_server *s, void *arg) {
    CHECK(s == server);
    note("%s", (const char *)arg);
}

/* ---- One thread ------------------------------------------------------------------------------ */

static void post_again(azc_server *s, void *arg) {
    int *left = (int *)arg;
    if (--*left > 0) CHECK_INT(azc_post(s, post_again, left), AZC_OK);
}
static int order_next;
static void in_order(azc_server *s, void *arg) {
    (void)s;
    CHECK_INT((int)(intptr_t)arg, order_next++);
}
static void refused_now(azc_server *s, void *arg) {
    say(s, arg);
    CHECK_INT(azc_post(s, say, arg), AZC_ERR_STATE);
    CHECK(azc_count(served, NULL) == 1); /* before the peers are closed */
}
static void post_in_close(azc_conn *conn, int code, const char *reason) {
    note_close(conn, code, reason);
    CHECK_INT(azc_post(azc_server_of(conn), say, letter(25)), AZC_ERR_STATE);
}
static int news;
static void post_in_presence(azc_channel *channel, const char *room, const char *user, int here) {
    (void)channel, (void)room, (void)user, (void)here;
    news++;
    CHECK_INT(azc_post(server, say, letter(25)), AZC_ERR_STATE);
}
static void post_letters(int count) {
    for (int i = 0; i < count; i++) CHECK_INT(azc_post(server, say, letter(i)), AZC_OK);
}

static azc_server *signalled;
static int signal_result;
static void on_signal(int number) {
    (void)number;
    errno = EDOM;
    signal_result = azc_post(signalled, say, letter(0));
    if (errno != EDOM) signal_result = -1000;
}

static void posting(void) {
    TEST("azc_post runs each task once, in order, in the next turn, also before azc_listen") {
        server = create(NULL);
        azc_channel_desc d = recorder("/t");
        served = azc_add_channel(server, &d);
        post_letters(2);
        listening(server);
        EXPECT_EVENTS("");
        azc_poll(server, -1);
        EXPECT_EVENTS("a; b; ");
        azc_poll(server, 0);
        EXPECT_EVENTS("");
        finish(server);
    }
    TEST("a full queue is AZC_ERR_FULL; tasks posted before run in order, and then there is room") {
        server = serve(NULL, recorder("/t"));
        for (int round = 0; round < 3; round++) {
            int posted = 0, result;
            order_next = 0;
            errno = EDOM;
            while ((result = azc_post(server, in_order, (void *)(intptr_t)posted)) == AZC_OK &&
                   posted < 10000000) posted++;
            CHECK_INT(result, AZC_ERR_FULL);
            CHECK_INT(errno, EDOM);
            CHECK_INT(posted, AZC__POSTS);
            int turns = 0;
            for (; order_next < posted && turns < posted; turns++) {
                int before = order_next;
                azc_poll(server, -1);
                CHECK(order_next > before && order_next <= before + 64); /* bounded */
            }
            CHECK_INT(order_next, posted);
            CHECK_INT(turns, (posted + 63) / 64);
        }
        finish(server);
    }
    TEST("a task that posts runs in a later turn, and a flood of posts starves no peer") {
        server = serve(NULL, recorder("/t"));
        int left = 5;
        azc_post(server, post_again, &left);
        for (int i = 4; i >= 0; i--) azc_poll(server, -1), CHECK_INT(left, i);
        static int flood[AZC__POSTS];
        for (int i = 0; i < AZC__POSTS - 1; i++)
            flood[i] = 1 << 30, CHECK_INT(azc_post(server, post_again, &flood[i]), AZC_OK);
        client *a = join_channel(server, "/t"); /* each turn runs 64 of them, with no end */
        tape_clear(&events);
        client_text(a, "hello");
        usleep(1000);
        azc_poll(server, 0);
        EXPECT_EVENTS("text hello; ");
        for (int i = 0; i < AZC__POSTS; i++) flood[i] = 1;
        finish(server);
    }
    TEST("bytes in the pipe are no tasks, whoever wrote them") {
        server = serve(NULL, recorder("/t"));
        char bytes[500];
        memset(bytes, 'A', sizeof bytes);
        CHECK(write(server->wake_write, bytes, sizeof bytes) == (ssize_t)sizeof bytes);
        for (int i = 0; i < 10; i++) azc_poll(server, 0);
        EXPECT_EVENTS("");
        post_letters(1), azc_poll(server, -1);
        EXPECT_EVENTS("a; ");
        finish(server);
    }
    TEST("posts that wait together cost one write, and the loop sleeps when all have run") {
        server = serve(NULL, recorder("/t"));
        post_letters(20);
        char bytes[8];
        CHECK(read(server->wake.fd, bytes, sizeof bytes) == 1);
        CHECK(write(server->wake_write, bytes, 1) == 1);
        settle(server);
        CHECK(read(server->wake.fd, bytes, sizeof bytes) < 0 && errno == EAGAIN);
        tape_clear(&events);
        finish(server);
    }
    TEST("posts keep their order when the positions in the queue wrap") {
        server = serve(NULL, recorder("/t"));
        uint32_t near_end = 0u - 3 * AZC__POSTS;
        server->post_first = server->post_end = near_end;
        for (int i = 0; i < AZC__POSTS; i++) server->posts[i].lap = near_end;
        for (int round = 0, wrapped = 0; round < 8; round++) {
            int posted = 0;
            order_next = 0;
            while (azc_post(server, in_order, (void *)(intptr_t)posted) == AZC_OK) posted++;
            CHECK_INT(posted, AZC__POSTS);
            settle(server);
            CHECK_INT(order_next, posted);
            wrapped |= server->post_end < near_end;
            CHECK_INT(wrapped, round >= 2);
        }
        finish(server);
    }
    TEST("azc_stop works when the queue is full of posts") {
        server = serve(NULL, recorder("/t"));
        int posted = 0;
        order_next = 0;
        while (azc_post(server, in_order, (void *)(intptr_t)posted) == AZC_OK) posted++;
        azc_stop(server);
        CHECK_INT(azc_run(server), AZC_OK);
        CHECK(order_next < posted || posted <= AZC__MAX_POSTS);
        finish(server); /* which runs the rest */
        CHECK_INT(order_next, posted);
    }
    TEST("azc_destroy runs posted tasks before it closes the peers, and refuses new ones") {
        server = serve(NULL, recorder("/t"));
        join_channel(server, "/t");
        tape_clear(&events);
        post_letters(2);
        azc_post(server, refused_now, letter(2));
        azc_post(server, say, letter(3));
        finish(server);
        EXPECT_EVENTS("a; b; c; d; close 1001; ");
        azc_channel_desc d = recorder("/t");
        d.on_close = post_in_close;
        server = serve(NULL, d);
        join_channel(server, "/t");
        finish(server);
        EXPECT_EVENTS("connect; close 1001; ");
    }
    TEST("azc_destroy refuses posts from the first news of presence that it reports") {
        serve_parts.on_presence = post_in_presence;
        server = serve(NULL, recorder("/t"));
        serve_parts.on_presence = NULL;
        join_channel(server, "/t");
        azc_conn *conn = member_of(served);
        CHECK_INT(azc_set_user(conn, "ada"), AZC_OK);
        CHECK_INT(azc_join(conn, "hall"), AZC_OK); /* outside callbacks: reported by the next turn */
        news = 0;
        finish(server);
        CHECK_INT(news, 2);
    }
    TEST("azc_post from a signal handler wakes azc_poll and keeps errno") {
        struct sigaction action, old;
        memset(&action, 0, sizeof action);
        action.sa_handler = on_signal;
        sigaction(SIGUSR1, &action, &old);
        server = signalled = serve(NULL, recorder("/t"));
        letter(0);
        for (int i = 0; i < 3; i++) {
            raise(SIGUSR1);
            CHECK_INT(signal_result, AZC_OK);
            CHECK_INT(azc_poll(server, -1), 1);
            EXPECT_EVENTS("a; ");
        }
        sigaction(SIGUSR1, &old, NULL);
        finish(server);
    }
}

/* ---- Many threads ---------------------------------------------------------------------------- */

enum { THREADS = 4, EACH = 2000 };
typedef struct packet {
    int thread, number;
    char text[32]; /* written there, read here */
} packet;
static int numbers[THREADS], packets;
static pthread_t loop_thread;

static void unpack(azc_server *s, void *arg) {
    packet *p = (packet *)arg;
    char want[32];
    (void)s;
    snprintf(want, sizeof want, "%d of %d", p->number, p->thread);
    CHECK_STR(p->text, want);
    CHECK_INT(p->number, numbers[p->thread]++); /* each thread's are in order */
    CHECK(pthread_equal(pthread_self(), loop_thread));
    packets++;
    free(p);
}
static void *post_many(void *arg) {
    for (int i = 0; i < EACH; i++) {
        packet *p = (packet *)malloc(sizeof *p);
        if (!p) abort();
        p->thread = (int)(intptr_t)arg, p->number = i;
        snprintf(p->text, sizeof p->text, "%d of %d", i, p->thread);
        int result;
        while ((result = azc_post(server, unpack, p)) == AZC_ERR_FULL) usleep(100);
        if (result != AZC_OK) abort();
    }
    return NULL;
}

/* A job done elsewhere for one connection, by its id. */
typedef struct job {
    uint64_t asker;
    int answer;
} job;
static int asker_gone;
static void job_done(azc_server *s, void *arg) {
    job *j = (job *)arg;
    char text[32];
    azc_conn *conn = azc_find(s, j->asker);
    if (!conn) asker_gone++;
    else azc_send_text(conn, text, (size_t)snprintf(text, sizeof text, "%d", j->answer));
    free(j);
}
static void *job_work(void *arg) {
    job *j = (job *)arg;
    usleep(20000);
    j->answer = 42;
    if (azc_post(server, job_done, j) != AZC_OK) abort();
    return NULL;
}
static pthread_t job_thread;
static int job_message(azc_conn *conn, const char *text, size_t len) {
    job *j = (job *)malloc(sizeof *j);
    (void)text, (void)len;
    if (!j) abort();
    j->asker = azc_id(conn);
    CHECK(pthread_create(&job_thread, NULL, job_work, j) == 0);
    return AZC_OK;
}
static void *signal_many(void *target) {
    for (int i = 0; i < 200; i++) pthread_kill(*(pthread_t *)target, SIGUSR1), usleep(50);
    return NULL;
}
static int signals_heard;
static void count_signal(azc_server *s, void *arg) {
    (void)s;
    ++*(int *)arg;
}
static void post_signal(int number) {
    (void)number;
    if (azc_post(signalled, count_signal, &signals_heard) != AZC_OK) abort();
}
static void *stop_in_flood(void *arg) {
    usleep(20000);
    azc_stop(server);
    return arg;
}
static void flood_more(azc_server *s, void *arg) {
    if (azc_post(s, flood_more, arg) != AZC_OK) ++*(int *)arg;
}

static void threads(void) {
    TEST("posts of many threads each run once, each thread's in order, and see its memory") {
        pthread_t thread[THREADS];
        server = serve(NULL, recorder("/t"));
        packets = 0, memset(numbers, 0, sizeof numbers), loop_thread = pthread_self();
        for (int i = 0; i < THREADS; i++)
            CHECK(pthread_create(&thread[i], NULL, post_many, (void *)(intptr_t)i) == 0);
        while (packets < THREADS * EACH) azc_poll(server, -1);
        for (int i = 0; i < THREADS; i++) pthread_join(thread[i], NULL);
        azc_poll(server, 0);
        CHECK_INT(packets, THREADS * EACH);
        finish(server);
    }
    TEST("a thread's result reaches the asking connection; a closed one is found to be NULL") {
        azc_channel_desc d = recorder("/t");
        d.on_message = job_message;
        server = serve(NULL, d);
        asker_gone = 0;
        client *a = join_channel(server, "/t");
        client_text(a, "work");
        EXPECT_TEXT(a, "42");
        pthread_join(job_thread, NULL);
        client_text(a, "work");
        settle(server);
        client_close(a);
        pump_until(server, asker_gone == 1);
        pthread_join(job_thread, NULL);
        finish(server);
    }
    TEST("no post of a signal handler that interrupts the loop is lost") {
        struct sigaction action, old;
        memset(&action, 0, sizeof action);
        action.sa_handler = post_signal;
        sigaction(SIGUSR1, &action, &old);
        server = signalled = serve(NULL, recorder("/t"));
        pthread_t thread, here = pthread_self();
        signals_heard = 0;
        CHECK(pthread_create(&thread, NULL, signal_many, &here) == 0);
        for (long long until = now_ms() + 100; now_ms() < until;) azc_poll(server, 1);
        pthread_join(thread, NULL);
        settle(server);
        CHECK(signals_heard > 0); /* signals of one kind merge while one waits */
        int heard = signals_heard;
        raise(SIGUSR1), settle(server);
        CHECK_INT(signals_heard, heard + 1);
        sigaction(SIGUSR1, &old, NULL);
        finish(server);
    }
    TEST("azc_stop from a thread ends azc_run under a flood of posts") {
        server = serve(NULL, recorder("/t"));
        int refused = 0;
        pthread_t thread;
        while (azc_post(server, flood_more, &refused) == AZC_OK) {}
        CHECK(pthread_create(&thread, NULL, stop_in_flood, NULL) == 0);
        CHECK_INT(azc_run(server), AZC_OK);
        pthread_join(thread, NULL);
        finish(server);
        CHECK(refused > 0);
    }
}

int main(int argc, char **argv) {
    test_start(argc, argv);
    posting();
    threads();
    return test_end();
}
