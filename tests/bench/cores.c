/* cores.c: what a second thread takes off the first: examples/threads.c with 1, 2 ... threads.
 *
 *     cores PROGRAM            run by make bench-threads; Linux
 *
 * A room of 500; one member sends, and all get it. What bounds the deliveries is the busiest thread,
 * so its CPU time is what counts: with n threads, 1/n of it would be perfect. Load and threads share
 * the machine's cores, which does not matter for CPU time. */
#include "load.h"
#include <dirent.h>

enum { MEMBERS = 500, ROUNDS = 7 };

static const char *program;

static server threads_start(int threads) {
    server s = {0};
    char count[12], line[128] = "", any[] = "0";
    int fds[2];
    snprintf(count, sizeof count, "%d", threads);
    if (pipe(fds) != 0 || (s.child = s.pid = children[0] = fork()) < 0) die("cannot start");
    if (s.child == 0) {
        char *argv[] = {(char *)(uintptr_t)program, any, count, NULL};
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        dup2(fds[1], 1);
        closefrom(3);
        execv(program, argv);
        _exit(127);
    }
    close(fds[1]);
    FILE *out = fdopen(fds[0], "r");
    if (out == NULL || fgets(line, sizeof line, out) == NULL ||
        sscanf(line, "http://127.0.0.1:%d/", &s.port) != 1) die("%s did not start", program);
    fclose(out);
    return s;
}

/* Read the hello that greets a member, which may have come with the 101. */
static void enter(load *l, int fd) {
    char head[2048];
    size_t n = 0;
    ssize_t got;
    int len = request(head, sizeof head, l->path, l->port);
    send_all(fd, head, (size_t)len);
    do {
        got = recv(fd, head + n, sizeof head - 1 - n, 0);
        if (got <= 0) die("no answer to a handshake");
        head[n += (size_t)got] = 0;
        char *end = strstr(head, "\r\n\r\n");
        size_t begin = end ? (size_t)(end + 4 - head) : n;
        if (n >= begin + 2 && n == begin + 2 + (unsigned char)head[begin + 1]) return;
    } while (n < sizeof head - 1);
    die("not a hello");
}

/* Nanoseconds of CPU of each thread, in the order of their numbers. Returns how many there are. */
static int thread_cpu(const server *s, double *ns, int most) {
    char path[300];
    int count = 0;
    snprintf(path, sizeof path, "/proc/%d/task", (int)s->pid);
    DIR *dir = opendir(path);
    for (struct dirent *e; dir != NULL && (e = readdir(dir)) != NULL && count < most;) {
        snprintf(path, sizeof path, "/proc/%d/task/%s/schedstat", (int)s->pid, e->d_name);
        FILE *f = e->d_name[0] != '.' ? fopen(path, "r") : NULL;
        if (f != NULL && fscanf(f, "%lf", &ns[count]) == 1) count++;
        if (f != NULL) fclose(f);
    }
    if (dir != NULL) closedir(dir);
    return count;
}

/* ns of the busiest thread and of all, for one delivery. */
static void measure(int threads, int depth, double *busiest, double *all) {
    double before[80], after[80], deliveries = 0, end = now_seconds() + 0.5;
    server s = threads_start(threads);
    load l = load_open(&s, "/rooms/r", 0, 64, depth);
    l.count = MEMBERS;
    l.fds = (int *)malloc(MEMBERS * sizeof *l.fds);
    for (int i = 0; i < MEMBERS; i++) enter(&l, l.fds[i] = dial(l.port, 0));
    for (int i = 0; i < 20; i++) batch_room(&l);
    int count = thread_cpu(&s, before, 80);
    while (now_seconds() < end) deliveries += batch_room(&l);
    *busiest = *all = 0;
    if (thread_cpu(&s, after, 80) != count) die("threads came or went");
    for (int i = 0; i < count; i++) {
        double ns = (after[i] - before[i]) / deliveries;
        *all += ns;
        if (ns > *busiest) *busiest = ns;
    }
    load_close(&l);
    server_end(&s);
}

int main(int argc, char **argv) {
    int cores = (int)sysconf(_SC_NPROCESSORS_ONLN);
    if (argc < 2) die("usage: cores PROGRAM");
    program = argv[1];
    load_begin(0);
    place(-1);
    printf("a room of %d, 64 bytes; ns of CPU time a delivery, least of %d runs\n", MEMBERS,
           ROUNDS);
    for (int depth = 1; depth <= 64; depth *= 4) {
        double one = 0;
        for (int threads = 1; threads <= cores; threads *= 2) {
            double busiest = 1e18, all = 1e18;
            for (int i = 0; i < ROUNDS; i++) {
                double b, a;
                measure(threads, depth, &b, &a);
                if (b < busiest) busiest = b;
                if (a < all) all = a;
            }
            if (threads == 1) one = busiest;
            printf("  %2d in flight, %d threads: busiest %7.1f, all %7.1f; %.2f of one thread's\n",
                   depth, threads, busiest, all, busiest / one);
            fflush(stdout);
        }
    }
    return 0;
}
