/* SIGNALS: azc_stop_on_signals, with real signals. make check-sanitize runs this with
 * ThreadSanitizer. */
#ifndef _DEFAULT_SOURCE
#define _DEFAULT_SOURCE 1
#endif
#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

/* A kernel in which the nth call of sigaction from now on fails; 0: none. */
static int kernel_fails, kernel_calls;
static int kernel_sigaction(int number, const struct sigaction *action, struct sigaction *old) {
    kernel_calls++;
    if (kernel_fails > 0 && --kernel_fails == 0) return errno = EPERM, -1;
    return sigaction(number, action, old);
}

#define sigaction(number, action, old) kernel_sigaction(number, action, old)
#define AZCHAN_IMPLEMENTATION
#include "../azchan.h"
#undef sigaction
#include "test.h"
#include "client.h"

static const int numbers[2] = {SIGINT, SIGTERM};

/* The program's own handler, which azc_destroy must restore. */
static volatile sig_atomic_t own_calls;
static void own_handler(int number) {
    (void)number;
    own_calls++;
}
static void own_handlers(void) {
    struct sigaction action;
    memset(&action, 0, sizeof action);
    action.sa_handler = own_handler;
    for (int i = 0; i < 2; i++) sigaction(numbers[i], &action, NULL);
    own_calls = 0;
}
/* Each signal reaches own_handler, and no server's. */
static void expect_own(void) {
    own_calls = 0;
    for (int i = 0; i < 2; i++) raise(numbers[i]);
    CHECK_INT(own_calls, 2);
    for (int i = 0; i < 2; i++) signal(numbers[i], SIG_DFL);
}

static azc_server *stoppable(void) {
    azc_server *server = serve(NULL, recorder("/t"));
    CHECK_INT(azc_stop_on_signals(server), AZC_OK);
    return server;
}

static pthread_t loop_thread;
static void *signal_soon(void *number) {
    usleep(30000);
    pthread_kill(loop_thread, *(const int *)number);
    return NULL;
}
static int thread_stop;
static void *signal_itself_often(void *unused) {
    while (!AZC__RAISED(thread_stop)) pthread_kill(pthread_self(), SIGTERM), usleep(10);
    return unused;
}

static int asked;
static void ask_late(azc_conn *conn, int code, const char *reason) {
    (void)code, (void)reason;
    asked = azc_stop_on_signals(azc_server_of(conn));
}

static void signals(void) {
    TEST("SIGINT and SIGTERM each end azc_run, and its peers get 1001") {
        own_handlers();
        for (int i = 0; i < 2; i++) {
            azc_server *server = stoppable();
            client *c = join_channel(server, "/t");
            raise(numbers[i]);
            CHECK_INT(own_calls, 0);
            EXPECT_CLOSE(c, 1001, NULL);
            client_bye(c, 1001, ""), settle(server), client_close(c);
            CHECK_INT(azc_run(server), AZC_OK);
            EXPECT_EVENTS("connect; close 1001; ");
            finish(server);
        }
        expect_own();
    }
    TEST("a signal wakes an azc_run that waits, and one before azc_run ends it at once") {
        own_handlers();
        loop_thread = pthread_self();
        for (int i = 0; i < 2; i++) {
            azc_server *server = stoppable();
            pthread_t thread;
            CHECK(pthread_create(&thread, NULL, signal_soon, (void *)(uintptr_t)&numbers[i]) == 0);
            CHECK_INT(azc_run(server), AZC_OK);
            pthread_join(thread, NULL);
            finish(server);
            server = create(NULL);
            CHECK_INT(azc_stop_on_signals(server), AZC_OK); /* before azc_listen, too */
            raise(numbers[i]);
            CHECK_INT(azc_run(server), AZC_OK);
            finish(server);
        }
        expect_own();
    }
    TEST("a process that only runs a server exits normally when it is killed") {
        for (int i = 0; i < 2; i++) {
            int ready[2], status = 0;
            char byte;
            CHECK(pipe(ready) == 0);
            pid_t child = fork();
            if (child == 0) {
                azc_server *server = azc_create(NULL);
                int result = azc_stop_on_signals(server);
                if (result == AZC_OK) result = azc_listen(server);
                if (write(ready[1], "x", 1) != 1) _exit(2);
                if (result == AZC_OK) result = azc_run(server);
                azc_destroy(server);
                _exit(result == AZC_OK ? 0 : 1);
            }
            CHECK(read(ready[0], &byte, 1) == 1);
            kill(child, numbers[i]);
            CHECK(waitpid(child, &status, 0) == child);
            CHECK(WIFEXITED(status) && WEXITSTATUS(status) == 0);
            close(ready[0]), close(ready[1]);
        }
    }
    TEST("two servers stop at one signal, and the last azc_destroy restores the old handlers") {
        for (int first = 0; first < 2; first++) {
            own_handlers();
            azc_server *s[3] = {stoppable(), stoppable(), serve(NULL, recorder("/t"))};
            raise(SIGINT);
            CHECK_INT(azc_run(s[0]), AZC_OK);
            CHECK_INT(azc_run(s[1]), AZC_OK);
            CHECK_INT(azc_poll(s[2], 0), 1); /* it did not ask for it */
            finish(s[first]);
            s[first] = stoppable(); /* the handlers are still ours */
            finish(s[1 - first]);
            raise(SIGTERM);
            CHECK_INT(own_calls, 0);
            CHECK_INT(azc_run(s[first]), AZC_OK);
            finish(s[first]);
            expect_own();
            CHECK_INT(azc_poll(s[2], 0), 1);
            finish(s[2]);
        }
    }
    TEST("a second call is AZC_OK and changes nothing; NULL is AZC_ERR_ARGUMENT") {
        own_handlers();
        azc_server *server = stoppable();
        int calls = kernel_calls;
        CHECK_INT(azc_stop_on_signals(server), AZC_OK);
        CHECK_INT(kernel_calls, calls);
        CHECK_INT(azc_stop_on_signals(NULL), AZC_ERR_ARGUMENT);
        raise(SIGINT);
        CHECK_INT(azc_run(server), AZC_OK);
        finish(server);
        expect_own();
    }
    TEST("if sigaction fails the call is AZC_ERR_SYSTEM, and no handler has changed") {
        for (int fails = 1; fails <= 2; fails++) {
            own_handlers();
            azc_server *server = serve(NULL, recorder("/t"));
            kernel_fails = fails;
            CHECK_INT(azc_stop_on_signals(server), AZC_ERR_SYSTEM);
            CHECK_INT(kernel_fails, 0);
            CHECK(strstr(azc_error(server), "sigaction") != NULL);
            CHECK(strstr(azc_error(server), strerror(EPERM)) != NULL);
            for (int i = 0; i < 2; i++) raise(numbers[i]);
            CHECK_INT(own_calls, 2);
            CHECK_INT(azc_poll(server, 0), 1);
            CHECK_INT(azc_stop_on_signals(server), AZC_OK); /* and may be called again */
            raise(SIGTERM);
            CHECK_INT(own_calls, 2);
            CHECK_INT(azc_run(server), AZC_OK);
            finish(server);
            expect_own();
        }
    }
    TEST("a server that is being destroyed asks in vain: AZC_ERR_STATE, and no handler stays") {
        own_handlers();
        azc_channel_desc d = recorder("/t");
        d.on_connect = NULL, d.on_close = ask_late;
        azc_server *server = serve(NULL, d);
        join_channel(server, "/t");
        asked = 1;
        finish(server);
        CHECK_INT(asked, AZC_ERR_STATE);
        CHECK(azc__signals.first == NULL);
        azc__signals.first = NULL;
        expect_own();
    }
    TEST("a second Ctrl-C, after azc_destroy, ends the process and touches no freed memory") {
        for (int i = 0; i < 2; i++) {
            int status = 0;
            pid_t child = fork();
            if (child == 0) {
                signal(numbers[i], SIG_DFL);
                azc_server *server = azc_create(NULL);
                if (azc_stop_on_signals(server) != AZC_OK || azc_listen(server) != AZC_OK) _exit(2);
                raise(numbers[i]);
                if (azc_run(server) != AZC_OK || azc_destroy(server) != AZC_OK) _exit(3);
                raise(numbers[i]);
                _exit(4);
            }
            CHECK(waitpid(child, &status, 0) == child);
            CHECK(WIFSIGNALED(status) && WTERMSIG(status) == numbers[i]);
        }
    }
    TEST("signals that arrive in another thread while servers end do no harm") {
        own_handlers();
        azc_server *keep = stoppable();
        pthread_t thread;
        CHECK(pthread_create(&thread, NULL, signal_itself_often, NULL) == 0);
        for (int i = 0; i < 200; i++) {
            azc_server *server = stoppable();
            azc_poll(server, 0);
            finish(server);
        }
        AZC__RAISE(thread_stop);
        pthread_join(thread, NULL);
        raise(SIGTERM); /* on a busy machine the thread may have sent none */
        CHECK_INT(azc_run(keep), AZC_OK);
        finish(keep);
        expect_own();
    }
}

int main(int argc, char **argv) {
    test_start(argc, argv);
    signals();
    return test_end();
}
