/* server.c: azchan.h under test, as a program would use it.
 *
 *     server [max_message]     prints "port N pid P", serves 127.0.0.1:N until it is killed
 *
 * /echo returns what it gets; what one peer of /room sends, all of them get. /page is short. */
#define AZCHAN_IMPLEMENTATION
#include "../../azchan.h"
#include <stdio.h>
#include <stdlib.h>

static int room_connect(azc_conn *conn) { return azc_join(conn, "lobby"); }

static int room_message(azc_conn *conn, const char *text, size_t len) {
    return azc_broadcast(azc_channel_of(conn), "lobby", text, len, NULL);
}

int main(int argc, char **argv) {
    azc_config config = {0};
    config.max_backlog = 64 << 20; /* as peer_bun.mjs: bench --fan has long bursts */
    if (argc > 1) config.max_message = (size_t)strtoul(argv[1], NULL, 10);
    azc_channel_desc echo = {0}, room = {0};
    echo.path = "/echo";
    echo.on_message = azc_send_text;
    room.path = "/room";
    room.on_connect = room_connect;
    room.on_message = room_message;

    azc_server *server = azc_create(&config);
    azc_add_channel(server, &echo);
    azc_add_channel(server, &room);
    azc_add_page(server, "/page", "text/plain", "page", 4);
    if (azc_listen(server) == AZC_OK) printf("port %d pid %d\n", azc_port(server), (int)getpid());
    fflush(stdout);
    if (azc_run(server) != AZC_OK) fprintf(stderr, "server: %s\n", azc_error(server));
    azc_destroy(server);
    return 1; /* it is killed, or it failed */
}
