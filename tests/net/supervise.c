/* supervise.c: keeps a port open and starts a program on it, again at each line of its stdin, as
 * systemd does: descriptor 3, LISTEN_FDS and LISTEN_PID. Tells its port, then each process.
 *
 *     supervise program [argument ...]
 *
 * It ends with its stdin, and leaves the processes to whoever asked for them. */
#define _DEFAULT_SOURCE 1
#include <netinet/in.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

static void become(int fd, char **argv) {
    char pid[24];
    snprintf(pid, sizeof pid, "%ld", (long)getpid());
    setenv("LISTEN_FDS", "1", 1), setenv("LISTEN_PID", pid, 1);
    if (fd != 3 && (dup2(fd, 3) < 0 || close(fd) < 0)) _exit(1);
    signal(SIGCHLD, SIG_DFL);
    execv(argv[0], argv);
    _exit(1);
}

int main(int argc, char **argv) {
    struct sockaddr_in a;
    socklen_t len = sizeof a;
    char line[16];
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    memset(&a, 0, sizeof a);
    a.sin_family = AF_INET, a.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    if (argc < 2 || fd < 0 || bind(fd, (struct sockaddr *)&a, len) != 0 || listen(fd, 1000) != 0)
        return 1;
    getsockname(fd, (struct sockaddr *)&a, &len);
    signal(SIGCHLD, SIG_IGN); /* nobody waits for them */
    printf("port %d\n", ntohs(a.sin_port));
    fflush(stdout);
    while (fgets(line, sizeof line, stdin)) {
        pid_t pid = fork();
        if (pid == 0) become(fd, argv + 1);
        printf("pid %ld\n", (long)pid);
        fflush(stdout);
    }
    return 0;
}
