/* main.c: azchan.h's entry for HttpArena's echo-ws and echo-ws-pipeline: port 8080, path /ws, a
 * server in each thread. make bench compiles it; copy azchan.h beside it for the entry. */
#define AZCHAN_USE_EPOLL
#define AZCHAN_IMPLEMENTATION
#include "azchan.h"
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>

static void *serve(void *unused) {
    azc_config config = {0};
    config.host = "0.0.0.0";
    config.port = 8080;
    config.reuse_port = 1;
    azc_channel_desc echo = {0};
    echo.path = "/ws";
    echo.on_message = azc_send_text;
    echo.on_binary = azc_send_binary;

    azc_server *server = azc_create(&config);
    azc_log_to(server, stderr, AZC_LOG_ERROR);
    azc_add_channel(server, &echo);
    azc_run(server);
    azc_destroy(server);
    (void)unused;
    exit(1); /* it is killed, or it failed */
}

int main(void) {
    long count = sysconf(_SC_NPROCESSORS_ONLN);
    pthread_t thread;
    for (long i = 1; i < count; i++)
        if (pthread_create(&thread, NULL, serve, NULL) != 0) return 1;
    serve(NULL);
}
