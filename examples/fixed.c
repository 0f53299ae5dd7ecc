/* fixed.c: 16 connections to the channel /relay, in one static block: the server never calls
 * malloc, and nothing in it can fail for memory. cc examples/fixed.c -o fixed && ./fixed [port] */
#define AZCHAN_IMPLEMENTATION
#include "../azchan.h"
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>

static unsigned char memory[328 << 10];
static azc_server *server; /* global for the signal handler only */

static void stop(int signum) {
    (void)signum;
    azc_stop(server);
}

static int relay(azc_conn *conn, const char *text, size_t len) {
    return azc_broadcast(azc_channel_of(conn), NULL, text, len, NULL);
}

int main(int argc, char **argv) {
    char *end = NULL;
    long port = argc > 1 ? strtol(argv[1], &end, 10) : 4000;
    if (argc > 2 || (end && (end == argv[1] || *end)) || port < 0 || port > 65535) {
        fprintf(stderr, "usage: fixed [port], 0 (any free one) to 65535; 4000 when left out\n");
        return 2;
    }
    azc_config config = {0};
    config.port = (int)port;
    config.max_connections = 16;
    config.max_request = 2048; /* a browser's request with a cookie or two */
    config.max_message = 1024;
    config.max_backlog = 4096;
    config.read_buffer = 2048;
    config.memory = memory;
    config.memory_size = sizeof memory;
    azc_channel_desc desc = {0};
    desc.path = "/relay";
    desc.on_message = relay;
    server = azc_create(&config);
    signal(SIGINT, stop);
    signal(SIGTERM, stop);
    azc_add_channel(server, &desc);
    if (azc_listen(server) == AZC_OK)
        printf("ws://127.0.0.1:%d/relay, 16 connections in %lu of %lu bytes\n", azc_port(server),
               (unsigned long)azc_memory_bound(&config), (unsigned long)sizeof memory);
    fflush(stdout); /* it may be a pipe */
    int error = azc_run(server);
    if (error != AZC_OK) fprintf(stderr, "fixed: %s\n", azc_error(server));
    azc_destroy(server);
    return error == AZC_OK ? 0 : 1;
}
