/* LISTEN over real sockets: config.host, port, listen_fd and reuse_port. */
#define AZCHAN_IMPLEMENTATION
#include "../azchan.h"
#include "test.h"
#include "client.h"
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/wait.h>

/* ---- Addresses ------------------------------------------------------------------------------- */

static int peer_upgrade(azc_conn *conn) {
    note("%s", azc_peer(conn));
    return AZC_OK;
}
static azc_server *serve_at(const char *host, int port) {
    azc_config config = quick();
    azc_channel_desc d;
    memset(&d, 0, sizeof d);
    d.path = "/t", d.on_upgrade = peer_upgrade, d.on_message = echo_text;
    char copy[128];
    snprintf(copy, sizeof copy, "%s", host);
    config.host = copy, config.port = port;
    azc_server *server = create(&config);
    served = azc_add_channel(server, &d);
    memset(copy, '!', sizeof copy - 1); /* it was copied */
    return server;
}
static void visit_at(azc_server *server, const char *address, const char *peer) {
    client *c = client_open_to(server, address, azc_port(server), 0);
    if (!CHECK(c != NULL)) return;
    CHECK_INT(client_upgrade(c, "/t", ""), 101);
    client_text(c, "hi");
    EXPECT_TEXT(c, "hi");
    char want[64];
    snprintf(want, sizeof want, "%s; ", peer);
    EXPECT_EVENTS(want);
    client_close(c);
}
static int has_ipv6(void) {
    struct sockaddr_in6 a;
    memset(&a, 0, sizeof a);
    a.sin6_family = AF_INET6, a.sin6_addr.s6_addr[15] = 1;
    int fd = socket(AF_INET6, SOCK_STREAM, 0);
    int ok = fd >= 0 && bind(fd, (struct sockaddr *)&a, sizeof a) == 0;
    if (fd >= 0) close(fd);
    return ok;
}
/* A port that was free a moment ago. */
static int free_port(void) {
    azc_server *server = serve_at("127.0.0.1", 0);
    listening(server);
    int port = azc_port(server);
    finish(server);
    return port;
}
static const char *temporary(const char *name) {
    static char paths[4][100];
    static int at;
    char *path = paths[at++ % 4];
    snprintf(path, sizeof paths[0], "/tmp/azchan-test-%ld-%s", (long)getpid(), name);
    return path;
}

static void urls(void) {
    TEST("azc_url is where the server listens, for each form of config.host") {
        static const struct {
            const char *host, *start, *end;
        } hosts[] = {
            {"127.0.0.1", "http://127.0.0.1:", "/x"}, {"0", "http://127.0.0.1:", "/x"},
            {"0.0.0.0:0", "http://127.0.0.1:", "/x"}, {"127.0.0.2", "http://127.0.0.2:", "/x"},
            {"localhost:0", "http://127.0.0.1:", "/x"}, {"[::]:0", "http://[::1]:", "/x"},
            {"::1", "http://[::1]:", "/x"},
        };
        for (size_t i = 0; i < sizeof hosts / sizeof *hosts; i++) {
            char want[80];
            if (strstr(hosts[i].start, "::") && !has_ipv6()) continue;
            azc_server *server = serve_at(hosts[i].host, 0);
            listening(server);
            snprintf(want, sizeof want, "%s%d%s", hosts[i].start, azc_port(server), hosts[i].end);
            CHECK_STR(azc_url(server, "http", "/x"), want);
            finish(server);
        }
        char host[120], path[300];
        snprintf(host, sizeof host, "unix:%s", temporary("url"));
        azc_server *server = serve_at(host, 0);
        listening(server);
        CHECK_STR(azc_url(server, "ws", "/x"), host);
        finish(server);
        server = serve_at("127.0.0.1", 0);
        listening(server);
        memset(path, 'x', sizeof path - 1), path[sizeof path - 1] = 0;
        CHECK_INT(strlen(azc_url(server, "ws", path)), 199);
        CHECK_STR(azc_url(server, NULL, "/"), "");
        CHECK_STR(azc_url(server, "ws", NULL), "");
        CHECK_STR(azc_url(NULL, "ws", "/"), "");
        finish(server);
        server = serve_at("[::1", 0);
        CHECK_STR(azc_url(server, "ws", "/"), "");
        finish(server);
    }
}

static void addresses(void) {
    TEST("port 0 lets the kernel pick a port, and azc_port returns it") {
        azc_server *server = serve_at("127.0.0.1", 0);
        CHECK_INT(azc_port(server), 0);
        listening(server);
        int port = azc_port(server);
        CHECK(port > 0 && port < 65536);
        CHECK_INT(azc_listen(server), AZC_OK);
        CHECK_INT(azc_port(server), port);
        visit_at(server, "127.0.0.1", "127.0.0.1");
        finish(server);
    }
    TEST("the default is 127.0.0.1 alone; localhost and 0.0.0.0 are understood") {
        azc_server *server = serve(NULL, recorder("/t"));
        CHECK(client_open_to(server, "127.0.0.2", azc_port(server), 0) == NULL);
        finish(server);
        server = serve_at("localhost", 0);
        listening(server);
        visit_at(server, "127.0.0.1", "127.0.0.1");
        finish(server);
        server = serve_at("0.0.0.0", 0);
        listening(server);
        visit_at(server, "127.0.0.1", "127.0.0.1");
        finish(server);
    }
    TEST("a port in use is AZC_ERR_IN_USE, with the port and the host in words") {
        azc_server *one = serve_at("127.0.0.1", 0);
        listening(one);
        azc_server *two = serve_at("127.0.0.1", azc_port(one));
        char port[16];
        snprintf(port, sizeof port, "%d", azc_port(one));
        CHECK_INT(azc_listen(two), AZC_ERR_IN_USE);
        CHECK(strstr(azc_error(two), port) != NULL);
        CHECK(strstr(azc_error(two), "127.0.0.1") != NULL);
        CHECK_INT(azc_run(two), AZC_ERR_IN_USE);
        visit_at(one, "127.0.0.1", "127.0.0.1");
        finish(one);
        listening(two); /* it was no lasting error */
        visit_at(two, "127.0.0.1", "127.0.0.1");
        finish(two);
    }
    TEST("a port is free again right after azc_destroy") {
        azc_server *server = serve_at("127.0.0.1", 0);
        listening(server);
        int port = azc_port(server);
        client *c = client_open(server);
        CHECK_INT(client_upgrade(c, "/t", ""), 101);
        azc_close(member_of(served), 1000, ""), settle(server);
        finish(server);
        server = serve_at("127.0.0.1", port);
        listening(server);
        CHECK_INT(azc_port(server), port);
        finish(server);
    }
    TEST("IPv6, alone and with IPv4 beside it") {
        if (!has_ipv6()) {
            puts("note: this host has no IPv6, its tests are skipped");
        } else {
            azc_server *server = serve_at("::1", 0);
            listening(server);
            CHECK(azc_port(server) > 0);
            visit_at(server, "::1", "::1");
            finish(server);
            server = serve_at("::", 0);
            listening(server);
            visit_at(server, "::1", "::1");
            visit_at(server, "127.0.0.1", "127.0.0.1");
            finish(server);
        }
    }
    TEST("a Unix socket has no port, its peers are \"unix\", and its file is removed") {
        const char *path = temporary("sock");
        char host[128];
        snprintf(host, sizeof host, "unix:%s", path);
        unlink(path);
        azc_server *server = serve_at(host, 0);
        listening(server);
        CHECK_INT(azc_port(server), 0);
        visit_at(server, host, "unix");
        finish(server);
        CHECK(access(path, F_OK) != 0);
        unlink(path);
    }
    TEST("a stale Unix socket is replaced, a live one is in use, another file is left alone") {
        const char *path = temporary("stale");
        char host[128];
        struct sockaddr_un a;
        snprintf(host, sizeof host, "unix:%s", path);
        unlink(path);
        memset(&a, 0, sizeof a);
        a.sun_family = AF_UNIX, strcpy(a.sun_path, path);
        int fd = socket(AF_UNIX, SOCK_STREAM, 0);
        CHECK(bind(fd, (struct sockaddr *)&a, sizeof a) == 0);
        close(fd); /* as after a crash: the file exists, and no process listens */
        azc_server *server = serve_at(host, 0);
        listening(server);
        visit_at(server, host, "unix");
        azc_server *second = serve_at(host, 0);
        CHECK_INT(azc_listen(second), AZC_ERR_IN_USE);
        CHECK(strstr(azc_error(second), path) != NULL);
        visit_at(server, host, "unix"); /* unharmed */
        finish(second);
        visit_at(server, host, "unix");
        finish(server);
        unlink(path);
        FILE *file = fopen(path, "w");
        fputs("precious", file), fclose(file);
        server = serve_at(host, 0);
        int result = azc_listen(server);
        CHECK(result == AZC_ERR_ADDRESS || result == AZC_ERR_IN_USE || result == AZC_ERR_SYSTEM);
        finish(server);
        struct stat st;
        CHECK(stat(path, &st) == 0 && S_ISREG(st.st_mode) && st.st_size == 8);
        unlink(path);
    }
    TEST("config.host may end with a port or be one, which replaces config.port") {
        static const struct {
            const char *host; /* %d: the port */
            const char *address;
        } forms[] = {
            {"%d", "127.0.0.1"}, {"127.0.0.1:%d", "127.0.0.1"}, {"0.0.0.0:%d", "127.0.0.1"},
            {"localhost:%d", "127.0.0.1"}, {"[127.0.0.1]:%d", "127.0.0.1"}, {"[::1]:%d", "::1"},
            {"[::]:%d", "::1"},
        };
        for (size_t i = 0; i < sizeof forms / sizeof *forms; i++) {
            if (forms[i].address[0] == ':' && !has_ipv6()) continue;
            int port = free_port();
            char host[64];
            snprintf(host, sizeof host, forms[i].host, port);
            azc_server *server = serve_at(host, 1); /* a port that needs privileges */
            if (!listening(server)) printf("    %s\n", host);
            CHECK_INT(azc_port(server), port);
            visit_at(server, forms[i].address, forms[i].address);
            if (i == 0) CHECK(client_open_to(server, "127.0.0.2", port, 0) == NULL);
            finish(server);
        }
        azc_server *server = serve_at("127.0.0.1:0", 1);
        listening(server);
        CHECK(azc_port(server) > 1);
        finish(server);
        server = serve_at("[::1]", 0); /* brackets alone keep config.port */
        if (has_ipv6()) listening(server), visit_at(server, "::1", "::1");
        finish(server);
    }
    TEST("a bad port in config.host is AZC_ERR_ADDRESS, and azc_error has the host") {
        static const char *const bad[] = {
            "65536", "99999999999999999999", "4001x", "127.0.0.1:", "127.0.0.1:65536",
            "127.0.0.1:-1", "127.0.0.1:40x", "127.0.0.1: 40", "localhost:", "localhos:4000",
            "localhost4:4000", ":4000", "[::1", "[::1]4000", "[::1]:", "[::1]:x", "[]:4000", "[",
            "0.0.0.0:40:00", "1111:2222:3333:4444:5555:6666:7777:8888:9999:aaaa:bbbb:cccc"};
        for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
            azc_server *server = serve_at(bad[i], 0);
            if (!CHECK_INT(azc_listen(server), AZC_ERR_ADDRESS)) printf("    %s\n", bad[i]);
            CHECK(strstr(azc_error(server), bad[i]) != NULL);
            finish(server);
        }
    }
    TEST("a colon in the path of a Unix socket belongs to the path") {
        char host[128];
        snprintf(host, sizeof host, "unix:%s", temporary("sock:4000"));
        azc_server *server = serve_at(host, 0);
        listening(server);
        CHECK_INT(azc_port(server), 0);
        visit_at(server, host, "unix");
        finish(server);
        CHECK(access(host + 5, F_OK) != 0);
    }
    TEST("bad and unavailable addresses are AZC_ERR_ADDRESS, and azc_error names them") {
        static const char *const bad[] = {"not an address", "1.2.3", "256.1.1.1", "1.2.3.4.5",
                                          ":::", "unix:", "203.0.113.77" /* no address of ours */,
                                          "unix:/nonexistent/dir/socket"};
        for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
            azc_server *server = serve_at(bad[i], 0);
            if (!CHECK_INT(azc_listen(server), AZC_ERR_ADDRESS)) printf("    %s\n", bad[i]);
            CHECK(azc_error(server)[0] != 0);
            if (i == 0) CHECK(strstr(azc_error(server), bad[i]) != NULL);
            CHECK_INT(azc_port(server), 0);
            CHECK_INT(azc_poll(server, 0), AZC_ERR_STATE);
            finish(server);
        }
        char host[300] = "unix:/tmp/";
        memset(host + 10, 'x', 200), host[210] = 0;
        azc_server *server = create(NULL);
        finish(server);
        azc_config config = quick();
        config.host = host;
        server = create(&config);
        CHECK_INT(azc_listen(server), AZC_ERR_ADDRESS);
        finish(server);
    }
}

/* ---- The path of a Unix socket --------------------------------------------------------------- */

static struct sockaddr_un unix_address(const char *path) {
    struct sockaddr_un a;
    memset(&a, 0, sizeof a);
    a.sun_family = AF_UNIX, strcpy(a.sun_path, path);
    return a;
}
static int unix_listener(const char *path, int backlog) {
    struct sockaddr_un a = unix_address(path);
    int fd = socket(AF_UNIX, SOCK_STREAM, 0);
    if (bind(fd, (struct sockaddr *)&a, sizeof a) != 0 || listen(fd, backlog) != 0) abort();
    return fd;
}

/* Start a server on the path as `go` becomes readable; report its result, and serve until `stop` is
 * closed. */
static void start_at_once(const char *host, int go, int report, int stop) {
    char byte = 0;
    azc_config config;
    memset(&config, 0, sizeof config);
    config.host = host;
    azc_server *server = azc_create(&config);
    if (read(go, &byte, 1) < 0) _exit(1);
    byte = (char)(azc_listen(server) == AZC_OK);
    if (write(report, &byte, 1) != 1) _exit(1);
    fcntl(stop, F_SETFL, O_NONBLOCK);
    while (read(stop, &byte, 1) < 0) azc_poll(server, 1);
    azc_destroy(server);
    _exit(0);
}

/* Three processes start on a stale path at once. Returns how many got AZC_OK; *reached: somebody
 * answers there. */
static int race(const char *path, int *reached) {
    enum { STARTS = 3 };
    char host[128], byte;
    int go[2], report[2], stop[2], ok = 0;
    struct sockaddr_un a = unix_address(path);
    snprintf(host, sizeof host, "unix:%s", path);
    close(unix_listener(path, 1));
    if (pipe(go) || pipe(report) || pipe(stop)) abort();
    for (int i = 0; i < STARTS; i++)
        if (fork() == 0) {
            close(go[1]), close(stop[1]);
            start_at_once(host, go[0], report[1], stop[0]);
        }
    usleep(2000);
    close(go[1]);
    for (int i = 0; i < STARTS; i++) ok += read(report[0], &byte, 1) == 1 && byte;
    int fd = socket(AF_UNIX, SOCK_STREAM, 0);
    *reached = connect(fd, (struct sockaddr *)&a, sizeof a) == 0;
    close(fd), close(stop[1]);
    for (int i = 0; i < STARTS; i++) wait(NULL);
    close(go[0]), close(report[0]), close(report[1]), close(stop[0]);
    return ok;
}

static void unix_paths(void) {
    TEST("a live owner whose queue is full is in use, and azc_listen does not wait for it") {
        const char *path = temporary("full");
        char host[128];
        int waiting[4];
        struct sockaddr_un a = unix_address(path);
        snprintf(host, sizeof host, "unix:%s", path);
        unlink(path);
        int fd = unix_listener(path, 0);
        for (int i = 0; i < 4; i++) {
            waiting[i] = socket(AF_UNIX, SOCK_STREAM, 0);
            fcntl(waiting[i], F_SETFL, O_NONBLOCK);
            if (connect(waiting[i], (struct sockaddr *)&a, sizeof a) != 0) CHECK_INT(errno, EAGAIN);
        }
        long long before = now_ms();
        azc_server *server = serve_at(host, 0);
        alarm(3); /* instead of the test's minutes */
        CHECK_INT(azc_listen(server), AZC_ERR_IN_USE);
        alarm(0);
        CHECK(now_ms() - before < 1000);
        finish(server);
        CHECK(access(path, F_OK) == 0);
        for (int i = 0; i < 4; i++) close(waiting[i]);
        close(fd), unlink(path);
    }
    TEST("of servers that start at once on a stale path exactly one is AZC_OK, and is reached")
        for (int i = 0, rounds = getenv("TEST_QUICK") ? 20 : 200; i < rounds; i++) {
            const char *path = temporary("race");
            int reached = 0;
            unlink(path);
            int ok = race(path, &reached);
            if (!CHECK_INT(ok, 1) || !CHECK(reached)) break;
            CHECK(access(path, F_OK) != 0);
            unlink(path);
        }
    TEST("a server without the path's lock waits a second for it, no longer") {
        char folder[] = "/tmp/azchan-lock-XXXXXX", host[64];
        CHECK(mkdtemp(folder) != NULL);
        snprintf(host, sizeof host, "unix:%s/s", folder);
        int lock = open(folder, O_RDONLY);
        CHECK(flock(lock, LOCK_EX) == 0);
        long long before = now_ms();
        azc_server *server = serve_at(host, 0);
        listening(server);
        CHECK(now_ms() - before >= 900);
        visit_at(server, host, "unix");
        finish(server);
        close(lock), rmdir(folder);
    }
    TEST("a path without a slash is in the current folder") {
        char folder[] = "/tmp/azchan-here-XXXXXX", here[256];
        CHECK(mkdtemp(folder) != NULL && getcwd(here, sizeof here) && chdir(folder) == 0);
        azc_server *server = serve_at("unix:sock", 0);
        listening(server);
        visit_at(server, "unix:sock", "unix");
        finish(server);
        CHECK(chdir(here) == 0 && rmdir(folder) == 0);
    }
    TEST("a path that belongs to another server by then stays, as does a forked child's parent's") {
        const char *path = temporary("mine");
        char host[128];
        snprintf(host, sizeof host, "unix:%s", path);
        unlink(path);
        azc_server *server = serve_at(host, 0);
        listening(server);
        pid_t child = fork();
        int status = 0;
        if (child == 0) azc_destroy(server), _exit(0);
        CHECK(waitpid(child, &status, 0) == child && WIFEXITED(status));
        CHECK(access(path, F_OK) == 0);
#ifndef AZCHAN_USE_EPOLL /* a child shares its parent's epoll set, and has changed it */
        visit_at(server, host, "unix");
#endif
        unlink(path);
        int other = unix_listener(path, 1);
        running.descriptors++;
        finish(server);
        CHECK(access(path, F_OK) == 0);
        close(other), unlink(path);
    }
    TEST("unix_mode sets the file's permissions, whatever the umask; by default the umask does") {
        static const struct { int mode; unsigned mask, want; } cases[] = {
            {0660, 077, 0660}, {0666, 077, 0666}, {0600, 0, 0600}, {0, 077, 0700}, {0, 022, 0755}};
        for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
            const char *path = temporary("mode");
            char host[128];
            struct stat st;
            azc_config config = quick();
            snprintf(host, sizeof host, "unix:%s", path);
            config.host = host, config.unix_mode = cases[i].mode;
            mode_t old = umask((mode_t)cases[i].mask);
            azc_server *server = create(&config);
            listening(server);
            umask(old);
            CHECK(stat(path, &st) == 0);
            CHECK_INT(st.st_mode & 0777, cases[i].want);
            finish(server);
        }
        for (int i = 0; i < 2; i++) {
            azc_config config = quick();
            config.unix_mode = i ? -1 : 01000;
            azc_server *server = create(&config);
            CHECK_INT(azc_listen(server), AZC_ERR_ARGUMENT);
            CHECK(strstr(azc_error(server), "unix_mode") != NULL);
            finish(server);
        }
    }
}

/* ---- Sockets from elsewhere ------------------------------------------------------------------ */

static int listener(int type) {
    struct sockaddr_in a;
    int fd = socket(AF_INET, type, 0);
    memset(&a, 0, sizeof a);
    a.sin_family = AF_INET, a.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    if (fd < 0 || bind(fd, (struct sockaddr *)&a, sizeof a) != 0) abort();
    if (type == SOCK_STREAM && listen(fd, 100) != 0) abort();
    return fd;
}

static azc_server *adopt(int fd) {
    azc_config config = quick();
    config.listen_fd = fd, config.host = "203.0.113.77" /* not looked at */;
    azc_server *server = create(&config);
    azc_channel_desc d = echoer("/t");
    served = azc_add_channel(server, &d);
    azc_add_handler(server, "/peer", peer_handler, NULL);
    return server;
}

/* adopt, of a copy that goes with the server, while the original stays. */
static azc_server *adopt_copy(int fd) {
    azc_server *server = adopt(dup(fd));
    if (running.servers == 1) running.descriptors--;
    return server;
}

static void adopted(void) {
    TEST("a listening socket passes from one server to the next, and connections in it wait") {
        int fd = listener(SOCK_STREAM);
        azc_server *one = adopt_copy(fd);
        listening(one);
        CHECK(azc_port(one) > 0);
        client *first = join_channel(one, "/t");
        azc_server *two = adopt_copy(fd);
        listening(two);
        CHECK_INT(azc_port(two), azc_port(one));
        azc_stop(one);
        settle(one);
        EXPECT_CLOSE(first, 1001, NULL);
        client *second = client_open(two); /* `two` is not polled yet */
        finish(one);
        CHECK_INT(client_upgrade(second, "/t", ""), 101);
        client_text(second, "hello"), EXPECT_TEXT(second, "hello");
        int one_more = 0; /* as for sockets of our own: small messages do not wait */
        socklen_t len = sizeof one_more;
        getsockopt(member_of(served)->source.fd, IPPROTO_TCP, TCP_NODELAY, &one_more, &len);
        CHECK(one_more != 0);
        finish(two);
        close(fd);
    }
    TEST("the file of an adopted Unix socket is not removed") {
        struct sockaddr_un a;
        memset(&a, 0, sizeof a);
        a.sun_family = AF_UNIX;
        snprintf(a.sun_path, sizeof a.sun_path, "/tmp/azchan-net-%ld", (long)getpid());
        int fd = socket(AF_UNIX, SOCK_STREAM, 0);
        CHECK(bind(fd, (struct sockaddr *)&a, sizeof a) == 0 && listen(fd, 10) == 0);
        azc_config config = quick();
        char host[128];
        snprintf(host, sizeof host, "unix:%s", a.sun_path);
        config.host = host, config.listen_fd = dup(fd);
        azc_server *server = create(&config);
        CHECK_INT(azc_trust_proxies(server, "unix"), AZC_OK);
        running.descriptors--;
        azc_add_handler(server, "/peer", peer_handler, NULL);
        listening(server);
        CHECK_INT(azc_port(server), 0);
        CHECK_STR(peer_of(client_open_to(server, host, 0, 0), ""), "unix");
        CHECK_STR(peer_of(client_open_to(server, host, 0, 0), FOR "6.6.6.6\r\n"), "6.6.6.6");
        finish(server);
        CHECK(access(a.sun_path, F_OK) == 0);
        unlink(a.sun_path), close(fd);
    }
    TEST("a listen_fd that is not a socket is AZC_ERR_ADDRESS, and stays open") {
        int fd = dup(2);
        azc_server *server = adopt(fd);
        CHECK_INT(azc_listen(server), AZC_ERR_ADDRESS);
        CHECK(strstr(azc_error(server), "listen_fd") != NULL);
        finish(server);
        server = adopt(4000); /* nothing at all */
        CHECK_INT(azc_listen(server), AZC_ERR_ADDRESS);
        finish(server);
        server = adopt(-2);
        CHECK_INT(azc_listen(server), AZC_ERR_ARGUMENT);
        finish(server);
        CHECK_INT(close(fd), 0);
    }
    TEST("a listen_fd that is a connected peer (inetd) is served, and azc_run ends with it") {
        for (int page = 0; page < 2; page++) {
            int fd = listener(SOCK_STREAM), pair[2];
            struct sockaddr_in a;
            socklen_t len = sizeof a;
            getsockname(fd, (struct sockaddr *)&a, &len);
            pair[0] = socket(AF_INET, SOCK_STREAM, 0);
            CHECK(connect(pair[0], (struct sockaddr *)&a, len) == 0);
            pair[1] = accept(fd, NULL, NULL);
            fcntl(pair[0], F_SETFL, O_NONBLOCK);
            azc_server *server = adopt(pair[1]); /* a blocking one */
            running.descriptors -= 2; /* the server closes one end, the client the other */
            listening(server);
            CHECK_INT(azc_port(server), ntohs(a.sin_port));
            client *c = client_on(server, pair[0]);
            if (page) {
                CHECK_STR(peer_of(c, ""), "127.0.0.1");
                EXPECT_EOF(c); /* it is not kept for another request */
                client_close(c);
            } else {
                CHECK_INT(client_upgrade(c, "/t", ""), 101);
                client_text(c, "hello"), EXPECT_TEXT(c, "hello");
                CHECK_INT(azc_poll(server, 0), 1);
                client_bye(c, 1000, ""), EXPECT_CLOSE(c, 1000, NULL), client_close(c);
            }
            CHECK_INT(azc_run(server), AZC_OK);
            finish(server);
            close(fd);
        }
    }
    TEST("with reuse_port several servers listen on one port, without it only one") {
        azc_config config = quick();
        config.reuse_port = 1;
        azc_server *one = serve(&config, echoer("/t"));
        config.port = azc_port(one);
        azc_server *two = serve(&config, echoer("/t"));
        CHECK_INT(azc_port(two), azc_port(one));
        config.reuse_port = 0;
        azc_server *three = create(&config);
        CHECK_INT(azc_listen(three), AZC_ERR_IN_USE);
        finish(three);
        for (int i = 0; i < 64; i++) client_open(one);
        for (long long end = now_ms() + WAIT_MS; now_ms() < end;) {
            azc_poll(one, 1), azc_poll(two, 1);
            if (azc_stats(one)->accepted + azc_stats(two)->accepted == 64) break;
        }
        CHECK_INT(azc_stats(one)->accepted + azc_stats(two)->accepted, 64);
        CHECK(azc_stats(one)->accepted > 8 && azc_stats(two)->accepted > 8); /* 1 in 10^9 fails */
        for (client *c = clients; c; c = c->next) c->server = one;
        finish(one), finish(two);
    }
}

int main(int argc, char **argv) {
    test_start(argc, argv);
    urls();
    addresses();
    unix_paths();
    adopted();
    tape_clear(&events), tape_clear(&log_lines);
    return test_end();
}
