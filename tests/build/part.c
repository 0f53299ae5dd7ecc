/* A program of two translation units that include the header twice, as C and as C++: -DPART=1 has the
 * implementation and main, -DPART=2 a function that main calls. With AZCHAN_STATIC each unit has its
 * own copy. */
#if PART == 1 || defined(AZCHAN_STATIC)
#define AZCHAN_IMPLEMENTATION
#endif
#include "../../azchan.h"
#include "../../azchan.h"
#include <stdio.h>
#include <string.h>

#ifdef __cplusplus
extern "C" {
#endif
int part_two(azc_server *server);
#ifdef __cplusplus
}
#endif

#if PART == 1

int main(void) {
    azc_config config;
    memset(&config, 0, sizeof config);
    azc_server *server = azc_create(&config);
    int error = part_two(server);
    if (error == AZC_OK) error = azc_listen(server);
    if (error == AZC_OK && azc_poll(server, 0) != 1) error = AZC_ERR_STATE;
    if (error != AZC_OK) fprintf(stderr, "%s: %s\n", azc_strerror(error), azc_error(server));
    azc_destroy(server);
    return error != AZC_OK;
}

#else

int part_two(azc_server *server) {
    azc_channel_desc echo;
    memset(&echo, 0, sizeof echo);
    echo.path = "/echo";
    echo.on_message = azc_send_text;
    return azc_add_channel(server, &echo) ? AZC_OK : AZC_ERR_ARGUMENT;
}

#endif
