/* fixed.c: the channel /relay for 16 connections, in one static block of memory. The server never
   calls malloc, and within its limits no call can run out of memory.

       cc -I. examples/fixed.c -o fixed && ./fixed [[host:]port] */
#define AZCHAN_IMPLEMENTATION
#include "azchan.h"
#include <stdio.h>

static unsigned char memory[352 << 10];

int main(int argc, char **argv) {
    azc_config config = {0};
    config.port = 4000;
    config.host = argc > 1 ? argv[1] : NULL;
    config.max_connections = 16;
    config.max_request = 2048; /* enough for a browser with a cookie or two */
    config.max_message = 1024;
    config.max_backlog = 4096;
    config.read_buffer = 2048;

    azc_channel_desc relay = {0};
    relay.path = "/relay";
    relay.on_message = azc_send_all;

    azc_server *server = azc_create_in(memory, sizeof memory, &config);
    azc_log_to(server, stderr, AZC_LOG_WARNING);
    azc_stop_on_signals(server);
    azc_add_channel(server, &relay);
    if (azc_listen(server) == AZC_OK) puts(azc_url(server, "ws", "/relay"));
    fflush(stdout);
    int error = azc_run(server);
    azc_destroy(server);
    return error != AZC_OK;
}
