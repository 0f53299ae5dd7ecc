/* url.h: print the address of a server as one line that a user can open. The examples share it. */
#include <stdio.h>
#include <string.h>

/* host is config.host: "http://127.0.0.1:4000/" for NULL and "4000", "unix:/path" as it is. The
   addresses that stand for all of the machine's (0.0.0.0 and ::) are printed as its own. */
static void print_url(const azc_server *server, const char *host, const char *scheme,
                      const char *path) {
    if (!host || !host[strspn(host, "0123456789")]) host = "127.0.0.1";
    int ipv6 = strchr(host, ':') != strrchr(host, ':');
    char name[64];
    snprintf(name, sizeof name, "%s", host + (*host == '['));
    name[strcspn(name, ipv6 ? "]" : ":")] = 0;
    if (strcmp(name, "0.0.0.0") == 0) strcpy(name, "127.0.0.1");
    if (strcmp(name, "::") == 0) strcpy(name, "::1");

    if (strncmp(host, "unix:", 5) == 0) puts(host);
    else if (ipv6) printf("%s://[%s]:%d%s\n", scheme, name, azc_port(server), path);
    else printf("%s://%s:%d%s\n", scheme, name, azc_port(server), path);
    fflush(stdout); /* it may be a pipe */
}
