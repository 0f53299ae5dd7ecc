/* examples/threads.c: what holds across its threads. It runs in a child process. */
#define AZCHAN_IMPLEMENTATION
#include "../azchan.h"
#include <stdio.h>
static size_t max_waiting = (size_t)64 << 20;
#define MAX_WAITING max_waiting
#define main threads_main
#define note thread_note /* client.h has another */
#include "../examples/threads.c"
#undef main
#undef note
#include "test.h"
#include "client.h"
#include <sys/wait.h>

enum { CLIENTS = 40, SENDERS = 10, THREADS = 3 };

static struct {
    pid_t pid;
    int port, errors; /* errors: its stderr */
} child;

/* Start the example in a child. */
static void start(void) {
    int out[2], err[2];
    char line[200] = "", program[] = "threads", port[] = "0", count[4];
    char *argv[] = {program, port, count, NULL};
    snprintf(count, sizeof count, "%d", THREADS);
    running.servers = 1, running.descriptors = descriptors(); /* for finish */
    if (pipe(out) != 0 || pipe(err) != 0) perror("pipe"), abort();
    fflush(stdout);
    child.pid = fork();
    if (child.pid == 0) {
        dup2(out[1], 1), dup2(err[1], 2);
        for (int i = 0; i < 2; i++) close(out[i]), close(err[i]);
        exit(threads_main(3, argv));
    }
    close(out[1]), close(err[1]);
    child.errors = err[0];
    for (size_t n = 0; n < sizeof line - 1 && !strchr(line, '\n'); n++)
        if (read(out[0], line + n, 1) <= 0) break;
    close(out[0]);
    child.port = 0;
    CHECK_INT(sscanf(line, "http://127.0.0.1:%d/", &child.port), 1);
}

/* End it with a signal; its peers go without a Close, or it would wait for theirs. Returns its
 * status; its stderr goes to `errors`, if that is not NULL. */
static int stop(int number, char *errors, size_t size) {
    int status = -1;
    kill(child.pid, number);
    while (clients) client_unlink(clients);
    waitpid(child.pid, &status, 0);
    ssize_t n = errors ? read(child.errors, errors, size - 1) : 0;
    if (errors) errors[n > 0 ? n : 0] = 0;
    close(child.errors);
    finish(NULL);
    return status;
}

/* A client in a room. Returns the number of its thread. */
static int enter(client **c, const char *room) {
    char target[64], hello[200] = "";
    frame f;
    int thread = -1;
    *c = client_open_to(NULL, "127.0.0.1", child.port, 0);
    snprintf(target, sizeof target, "/rooms/%s", room);
    if (!CHECK(*c != NULL)) abort();
    CHECK_INT(client_upgrade(*c, target, ""), 101);
    if (CHECK(client_read(*c, &f))) snprintf(hello, sizeof hello, "%.*s", (int)f.len, f.data);
    CHECK_INT(sscanf(hello, "/Thread %d of", &thread), 1);
    return thread - 1;
}

/* Every client reads all that the others sent, each sender's in order. */
static void read_all(client *c, int each) {
    int next[SENDERS] = {0}, sender = 0, number = 0;
    for (int i = 0; i < SENDERS * each; i++) {
        frame f;
        char line[32];
        if (!CHECK(client_read(c, &f))) return;
        snprintf(line, sizeof line, "%.*s", (int)f.len, f.data);
        if (!CHECK_INT(sscanf(line, "%d %d", &sender, &number), 2)) return;
        if (!CHECK_INT(number, next[sender]++)) return;
    }
}

int main(int argc, char **argv) {
    test_start(argc, argv);
    TEST("members in all threads get every message once, each sender's in order") {
        client *c[CLIENTS];
        int in[THREADS] = {0}, each = getenv("TEST_QUICK") ? 10 : 200;
        start();
        for (int i = 0; i < CLIENTS; i++) in[enter(&c[i], "r")]++;
        for (int i = 0; i < THREADS; i++) CHECK(in[i] > 0); /* not so in 1 run of 4 million */
        for (int n = 0; n < each; n++) {
            for (int i = 0; i < SENDERS; i++) {
                char text[32];
                snprintf(text, sizeof text, "%d %d", i, n);
                client_text(c[i], text);
            }
        }
        for (int i = 0; i < CLIENTS; i++) read_all(c[i], each);
        char errors[200];
        CHECK_INT(stop(SIGTERM, errors, sizeof errors), 0);
        CHECK_STR(errors, "");
    }
    TEST("each thread keeps the history of all") {
        client *first, *c;
        start();
        enter(&first, "lobby");
        for (int i = 0; i < 60; i++) {
            char text[16];
            snprintf(text, sizeof text, "%d", i);
            client_text(first, text);
        }
        for (int i = 0; i < 60; i++) {
            frame f;
            CHECK(client_read(first, &f));
        }
        for (int i = 0; i < 16; i++) {
            int newest = 0;
            long long end = now_ms() + WAIT_MS;
            do { /* the last notes may be on their way to this thread */
                frame f;
                int count = 0;
                c = client_open_to(NULL, "127.0.0.1", child.port, 0);
                CHECK_INT(client_upgrade(c, "/rooms/lobby", ""), 101);
                while (client_read(c, &f) && f.data[0] != '/') {
                    CHECK(count == 0 || atoi((char *)f.data) == newest + 1);
                    newest = atoi((char *)f.data);
                    count++;
                }
                if (newest == 59) CHECK_INT(count, MAX_HISTORY);
                client_close(c);
            } while (newest < 59 && now_ms() < end);
            CHECK_INT(newest, 59);
        }
        CHECK_INT(stop(SIGINT, NULL, 0), 0);
    }
    TEST("a message for which there is no room is lost for the other threads, and counted") {
        client *c[CLIENTS];
        int thread[CLIENTS];
        max_waiting = 0;
        start();
        for (int i = 0; i < CLIENTS; i++) thread[i] = enter(&c[i], "r");
        client_text(c[0], "hi");
        for (int i = 0; i < CLIENTS; i++) if (thread[i] == thread[0]) EXPECT_TEXT(c[i], "hi");
        for (int i = 0; i < CLIENTS; i++) EXPECT_SILENCE(c[i]);
        char errors[200];
        CHECK_INT(stop(SIGTERM, errors, sizeof errors), 0);
        CHECK_INT(count_of(errors, "is behind: 1 messages lost\n"), THREADS - 1);
        max_waiting = (size_t)64 << 20;
    }
    TEST("a thread takes AT_ONCE bytes of notes a turn, in their order") {
        static worker w;
        thread_note *taken[MOST], *n;
        enum { NOTES = 200, SIZE = 1000 };
        size_t at = 0, turns = 0;
        for (int i = 0; i < NOTES; i++) {
            n = (thread_note *)calloc(1, sizeof *n + SIZE);
            if (!n) abort();
            n->refs = 1, n->len = SIZE, n->binary = i;
            CHECK(note_add(&w, n));
        }
        for (size_t count, size; (count = notes_take(&w, taken)) > 0; turns++) {
            size = count * note_size(taken[0]);
            CHECK(size < AT_ONCE + note_size(taken[0]) && (size >= AT_ONCE || w.count == 0));
            for (size_t i = 0; i < count; i++, at++) {
                CHECK_INT(taken[i]->binary, at);
                note_release(taken[i]);
            }
        }
        CHECK_INT(at, NOTES);
        CHECK_INT(turns, 4);
        CHECK_INT(w.bytes, 0);
        free(w.notes);
    }
    TEST("a burst larger than max_backlog reaches members in all threads that read") {
        client *c[CLIENTS];
        start();
        for (int i = 0; i < CLIENTS; i++) enter(&c[i], "r");
        enum { FRAMES = 350 }; /* of 1004 bytes: over 256 KiB, and less than the kernel takes too */
        static char text[1000];
        memset(text, 'x', sizeof text);
        for (int n = 0; n < FRAMES; n++) {
            CHECK(client_frame(c[0], FIN | TEXT, text, sizeof text));
            for (int i = 0; i < CLIENTS; i++) client_fill(c[i]);
        }
        for (int i = 0; i < CLIENTS; i++) {
            if (!CHECK(client_await(c[i], 1004 * FRAMES))) break;
            client_take(c[i], 1004 * FRAMES);
        }
        CHECK_INT(stop(SIGTERM, NULL, 0), 0);
    }
    TEST("it stops cleanly while messages are on their way") {
        for (int round = 0; round < 10; round++) {
            client *c[8];
            start();
            for (int i = 0; i < 8; i++) enter(&c[i], "r");
            for (int n = 0; n < 200; n++)
                for (int i = 0; i < 8; i++) client_text(c[i], "on its way");
            CHECK_INT(stop(SIGTERM, NULL, 0), 0);
        }
    }
    TEST("SIGINT ends all threads: peers see 1001") {
        client *c[8];
        start();
        for (int i = 0; i < 8; i++) enter(&c[i], "r");
        kill(child.pid, SIGINT);
        for (int i = 0; i < 8; i++) {
            EXPECT_CLOSE(c[i], 1001, NULL);
            client_bye(c[i], 1001, "");
        }
        CHECK_INT(stop(SIGINT, NULL, 0), 0);
    }
    return test_end();
}
