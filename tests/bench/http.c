/* http.c: pages from memory and a folder, for http.mjs to measure beside nginx.
 *     http <port> <folder with 1k.html and 16k.html> */
#define AZCHAN_IMPLEMENTATION
#include "../../azchan.h"

static char page[16384];

int main(int argc, char **argv) {
    azc_config config = {0};
    config.host = argc > 1 ? argv[1] : "4000";
    memset(page, 'p', sizeof page);
    azc_server *server = azc_create(&config);
    azc_log_to(server, stderr, AZC_LOG_WARNING);
    azc_stop_on_signals(server);
    azc_add_page(server, "/memory/1k.html", "text/html", page, 1024);
    azc_add_page(server, "/memory/16k.html", "text/html", page, sizeof page);
    azc_add_folder(server, "/", argc > 2 ? argv[2] : ".");
    int error = azc_run(server);
    azc_destroy(server);
    return error != AZC_OK;
}
