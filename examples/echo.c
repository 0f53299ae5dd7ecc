/* echo.c: the channel /echo returns what it gets. cc examples/echo.c -o echo && ./echo [port] */
#define AZCHAN_IMPLEMENTATION
#include "../azchan.h"
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>

static azc_server *server; /* global for the signal handler only */

static void stop(int signum) {
    (void)signum;
    azc_stop(server);
}

int main(int argc, char **argv) {
    char *end = NULL;
    long port = argc > 1 ? strtol(argv[1], &end, 10) : 4000;
    if (argc > 2 || (end && (end == argv[1] || *end)) || port < 0 || port > 65535) {
        fprintf(stderr, "usage: echo [port], 0 (any free one) to 65535; 4000 when left out\n");
        return 2;
    }
    azc_config config = {0};
    config.port = (int)port;
    config.max_message = 16 << 20;
    azc_channel_desc echo = {0};
    echo.path = "/echo";
    echo.on_message = azc_send_text; /* a callback and a send take the same arguments */
    echo.on_binary = azc_send_binary;
    server = azc_create(&config);
    signal(SIGINT, stop);
    signal(SIGTERM, stop);
    azc_add_channel(server, &echo);
    if (azc_listen(server) == AZC_OK) printf("ws://127.0.0.1:%d/echo\n", azc_port(server));
    fflush(stdout); /* it may be a pipe */
    int error = azc_run(server);
    if (error != AZC_OK) fprintf(stderr, "echo: %s\n", azc_error(server));
    azc_destroy(server);
    return error == AZC_OK ? 0 : 1;
}
