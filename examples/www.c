/* www.c: serves a folder, such as the output of a front-end build.

       cc -I. examples/www.c -o www && ./www [[host:]port] [folder]

   Without a folder it serves the current one. The links of the page at / are files in the folder:
   index.html, app.js, and so on. azc_add_folder says what else it does. */
#define AZCHAN_IMPLEMENTATION
#include "azchan.h"
#include <stdio.h>

int main(int argc, char **argv) {
    azc_config config = {0};
    config.host = argc > 1 ? argv[1] : "4000";

    azc_server *server = azc_create(&config);
    azc_log_to(server, stderr, AZC_LOG_WARNING);
    azc_stop_on_signals(server);
    azc_add_folder(server, "/", argc > 2 ? argv[2] : ".");
    if (azc_listen(server) == AZC_OK) puts(azc_url(server, "http", "/"));
    fflush(stdout);
    int error = azc_run(server);
    azc_destroy(server);
    return error != AZC_OK;
}
