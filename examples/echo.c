/* echo.c: the channel /echo sends every message back.

       cc -I. examples/echo.c -o echo && ./echo [[host:]port] */
#define AZCHAN_IMPLEMENTATION /* in exactly one .c file, before other headers */
#include "azchan.h"
#include <stdio.h>

int main(int argc, char **argv) {
    azc_config config = {0};         /* zero means the default, here and below */
    config.port = 4000;
    config.host = argc > 1 ? argv[1] : NULL;
    config.max_message = 16 << 20;
    azc_channel_desc echo = {0};
    echo.path = "/echo";
    echo.on_message = azc_send_text; /* a send takes the arguments of on_message */
    echo.on_binary = azc_send_binary;

    azc_server *server = azc_create(&config);
    azc_log_to(server, stderr, AZC_LOG_WARNING);
    azc_stop_on_signals(server);     /* Ctrl-C */
    azc_add_channel(server, &echo);
    if (azc_listen(server) == AZC_OK) puts(azc_url(server, "ws", "/echo"));
    fflush(stdout);
    int error = azc_run(server);
    azc_destroy(server);
    return error != AZC_OK;
}
