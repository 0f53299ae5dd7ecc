/* azchan.h on a TLS library, through AZC_SYS alone: what a program does that wants its own
 * transport. OpenSSL sits between the header and the kernel, and this is all that it takes:
 *
 *     accept           makes a session, recv and send become SSL_read and SSL_write
 *     want-read/write  a call that the library cannot finish is EAGAIN to the header; which way
 *                      the library waits, poll is told instead of what the header asked for
 *     pending          what it has decrypted and not handed out makes poll answer at once
 *     send             takes what the library has begun to write: its bytes are fixed then
 *
 * The clients are client.h's, with OpenSSL under them too, and check the server's certificate. */
#define _DEFAULT_SOURCE 1
#include <errno.h>
#include <fcntl.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

/* ---- The transport --------------------------------------------------------------------------- */

enum { MOST = 1024, RECORD = 16384 };
static struct session {
    SSL *ssl;                  /* NULL: no session of ours */
    int read_wants_write;      /* the last SSL_read waits for that */
    int write_wants_read;
    int shut;                  /* shutdown, once all is written */
    unsigned char held[RECORD]; /* what SSL_write has begun, and not finished */
    size_t held_len;
} sessions[MOST];
static SSL_CTX *server_context;
static int small_buffers; /* of the sockets accepted, so that they fill up */
static struct {
    long read_wants_write, write_wants_read, write_wants_write, pending, polls;
} seen;

static void session_make(int fd, SSL_CTX *context) {
    struct session *s = &sessions[fd];
    memset(s, 0, sizeof *s);
    fcntl(fd, F_SETFL, O_NONBLOCK);
    s->ssl = SSL_new(context);
    if (!s->ssl || SSL_set_fd(s->ssl, fd) != 1) abort();
}

/* The library's way to say what happened, as a socket's. Returns 0 for an end, or -1. */
static int session_error(struct session *s, int result, int *other, int other_way) {
    int error = SSL_get_error(s->ssl, result);
    *other = error == other_way;
    if (error == SSL_ERROR_ZERO_RETURN) return 0;
    if (error == SSL_ERROR_SYSCALL && errno == 0) return 0; /* EOF without a close_notify */
    if (error == SSL_ERROR_WANT_READ || error == SSL_ERROR_WANT_WRITE) errno = EAGAIN;
    else errno = ECONNRESET;
    return -1;
}

static ssize_t session_read(struct session *s, void *to, size_t len) {
    ERR_clear_error();
    errno = 0;
    int n = SSL_read(s->ssl, to, (int)len);
    s->read_wants_write = 0;
    if (n > 0) return n;
    n = session_error(s, n, &s->read_wants_write, SSL_ERROR_WANT_WRITE);
    return n;
}

/* Write what is held. Returns 1 when nothing is any more, else -1 with errno. */
static int session_write(struct session *s) {
    if (s->held_len == 0) return 1;
    ERR_clear_error();
    errno = 0;
    int n = SSL_write(s->ssl, s->held, (int)s->held_len);
    s->write_wants_read = 0;
    if (n > 0) return s->held_len = 0, 1;
    n = session_error(s, n, &s->write_wants_read, SSL_ERROR_WANT_READ);
    return n < 0 ? n : (errno = EPIPE, -1);
}

static int tls_accept(int fd, struct sockaddr *address, socklen_t *len) {
    int peer = accept(fd, address, len), small = 1;
    if (peer < 0) return -1;
    if (peer >= MOST) abort();
    if (small_buffers) setsockopt(peer, SOL_SOCKET, SO_SNDBUF, &small, sizeof small);
    session_make(peer, server_context);
    SSL_set_accept_state(sessions[peer].ssl);
    return peer;
}

static ssize_t tls_recv(int fd, void *to, size_t len, int flags) {
    struct session *s = &sessions[fd];
    if (!s->ssl) return recv(fd, to, len, flags);
    ssize_t n = session_read(s, to, len);
    seen.read_wants_write += s->read_wants_write;
    return n;
}

/* Bytes that are taken here are gone for the header, which may change what is behind them. */
static ssize_t tls_sendmsg(int fd, const struct msghdr *message, int flags) {
    struct session *s = &sessions[fd];
    if (!s->ssl) return sendmsg(fd, message, flags);
    if (session_write(s) < 0) return -1;
    for (size_t i = 0; i < message->msg_iovlen && s->held_len < RECORD; i++) {
        size_t n = message->msg_iov[i].iov_len, room = RECORD - s->held_len;
        if (n > room) n = room;
        memcpy(s->held + s->held_len, message->msg_iov[i].iov_base, n);
        s->held_len += n;
    }
    ssize_t taken = (ssize_t)s->held_len;
    if (session_write(s) < 0 && errno != EAGAIN) return -1;
    seen.write_wants_read += s->write_wants_read;
    seen.write_wants_write += s->held_len > 0 && !s->write_wants_read;
    return taken;
}

static ssize_t tls_send(int fd, const void *from, size_t len, int flags) {
    struct iovec piece = {(void *)(uintptr_t)from, len};
    struct msghdr message;
    memset(&message, 0, sizeof message);
    message.msg_iov = &piece, message.msg_iovlen = 1;
    return tls_sendmsg(fd, &message, flags);
}

static int tls_shutdown(int fd, int how) {
    struct session *s = &sessions[fd];
    if (!s->ssl) return shutdown(fd, how);
    s->shut = 1;
    if (s->held_len > 0) return 0;
    SSL_shutdown(s->ssl);
    return shutdown(fd, how);
}

static int tls_close(int fd) {
    if (fd >= 0 && fd < MOST) SSL_free(sessions[fd].ssl), sessions[fd].ssl = NULL;
    return close(fd);
}

/* What the library waits for instead of what the header does, and back. */
static int tls_poll(struct pollfd *fds, nfds_t count, int timeout) {
    static short asked[MOST];
    int ready = 0;
    if (count > MOST) abort();
    for (nfds_t i = 0; i < count; i++) {
        struct session *s = &sessions[fds[i].fd];
        asked[i] = fds[i].events;
        if (!s->ssl) continue;
        int write = (fds[i].events & POLLOUT) || s->held_len > 0;
        int read = (fds[i].events & POLLIN) != 0;
        if (read && SSL_pending(s->ssl) > 0) seen.pending++, timeout = 0;
        fds[i].events = (short)((read ? s->read_wants_write ? POLLOUT : POLLIN : 0) |
                                (write ? s->write_wants_read ? POLLIN : POLLOUT : 0));
    }
    seen.polls++;
    int result = poll(fds, count, timeout), kept = errno;
    for (nfds_t i = 0; i < count; i++) {
        struct session *s = &sessions[fds[i].fd];
        short got = fds[i].revents;
        fds[i].events = asked[i];
        if (s->ssl) {
            if (got && s->held_len > 0 && session_write(s) == 1 && s->shut)
                tls_shutdown(fds[i].fd, SHUT_WR);
            int read = got & (s->read_wants_write ? POLLOUT : POLLIN) ||
                       (SSL_pending(s->ssl) > 0 && result >= 0);
            int write = got & (s->write_wants_read ? POLLIN : POLLOUT) && s->held_len == 0;
            fds[i].revents = (short)((got & ~(POLLIN | POLLOUT)) |
                                     (asked[i] & ((read ? POLLIN : 0) | (write ? POLLOUT : 0))));
        }
        ready += fds[i].revents != 0;
    }
    errno = kept;
    return result < 0 ? result : ready;
}

/* The rest is the system's own. */
static inline int tls_accept4(int fd, struct sockaddr *address, socklen_t *len, int flags) {
    int peer = tls_accept(fd, address, len);
    if (peer >= 0 && flags) fcntl(peer, F_SETFD, FD_CLOEXEC);
    return peer;
}
#define tls_bind bind
#define tls_chmod chmod
#define tls_clock_gettime clock_gettime
#define tls_connect connect
#define tls_fcntl fcntl
#define tls_flock flock
#define tls_fstat fstat
#define tls_getpeername getpeername
#define tls_getpid getpid
#define tls_getrandom getrandom
#define tls_getrlimit getrlimit
#define tls_getsockname getsockname
#define tls_getsockopt getsockopt
#define tls_ioctl ioctl
#define tls_listen listen
#define tls_nanosleep nanosleep
#define tls_open open
#define tls_openat openat
#define tls_pipe pipe
#define tls_pipe2 pipe2
#define tls_pread pread
#define tls_read read
#define tls_sendfile(...) (-1) /* it would go around TLS */
#define tls_sigprocmask sigprocmask
#define tls_sigtimedwait sigtimedwait
#define tls_setsockopt setsockopt
#define tls_socket socket
#define tls_sigaction sigaction
#define tls_stat stat
#define tls_unlink unlink
#define tls_write write
#define AZC_SYS(call) tls_##call
#define AZCHAN_IMPLEMENTATION
#include "../../azchan.h"
#include "../test.h"

/* ---- Clients: client.h's calls, through a session too ---------------------------------------- */

static ssize_t client_recv(int fd, void *to, size_t len, int flags) {
    return sessions[fd].ssl ? session_read(&sessions[fd], to, len) : recv(fd, to, len, flags);
}
static ssize_t client_tls_send(int fd, const void *from, size_t len, int flags) {
    struct session *s = &sessions[fd];
    if (!s->ssl) return send(fd, from, len, flags);
    if (s->held_len == 0) memcpy(s->held, from, len = len < RECORD ? len : RECORD),
                          s->held_len = len; /* it comes again with the same */
    ssize_t taken = (ssize_t)s->held_len;
    return session_write(s) == 1 ? taken : -1;
}
#define recv client_recv
#define send client_tls_send
#define close tls_close
#include "../client.h"
#undef recv
#undef send
#undef close

static SSL_CTX *client_context;

/* A key, and a certificate for localhost that is its own authority; names: how many more names it
 * has, so that it is large. */
static SSL_CTX *make_server(int names, X509 **certificate) {
    SSL_CTX *context = SSL_CTX_new(TLS_server_method());
    EVP_PKEY *key = EVP_EC_gen("P-256");
    X509 *x = *certificate = X509_new();
    size_t size = 64 + (size_t)names * 24, at = 0;
    char *text = (char *)malloc(size);
    if (!context || !key || !x || !text) abort();
    at = (size_t)snprintf(text, size, "DNS:localhost");
    for (int i = 0; i < names; i++)
        at += (size_t)snprintf(text + at, size - at, ",DNS:n%d.example", i);
    X509_set_version(x, 2);
    ASN1_INTEGER_set(X509_get_serialNumber(x), 1);
    X509_gmtime_adj(X509_getm_notBefore(x), -60);
    X509_gmtime_adj(X509_getm_notAfter(x), 3600);
    X509_NAME_add_entry_by_txt(X509_get_subject_name(x), "CN", MBSTRING_ASC,
                               (const unsigned char *)"localhost", -1, -1, 0);
    X509_set_issuer_name(x, X509_get_subject_name(x));
    X509_EXTENSION *extension = X509V3_EXT_conf_nid(NULL, NULL, NID_subject_alt_name, text);
    X509_add_ext(x, extension, -1);
    X509_EXTENSION_free(extension);
    X509_set_pubkey(x, key);
    if (!X509_sign(x, key, EVP_sha256())) abort();
    if (SSL_CTX_use_certificate(context, x) != 1 || SSL_CTX_use_PrivateKey(context, key) != 1)
        abort();
    SSL_CTX_set_options(context, SSL_OP_ALLOW_CLIENT_RENEGOTIATION);
    SSL_CTX_set_mode(context, SSL_MODE_RELEASE_BUFFERS);
    EVP_PKEY_free(key), free(text);
    return context;
}

static void contexts(int names) {
    X509 *certificate;
    SSL_CTX_free(server_context), SSL_CTX_free(client_context);
    server_context = make_server(names, &certificate);
    client_context = SSL_CTX_new(TLS_client_method());
    X509_STORE_add_cert(SSL_CTX_get_cert_store(client_context), certificate);
    SSL_CTX_set_verify(client_context, SSL_VERIFY_PEER, NULL);
    X509_free(certificate);
    memset(&seen, 0, sizeof seen);
}

/* Connected, and the handshake not begun. version: of TLS, at most; 0: the newest. */
static client *tls_open_client(azc_server *server, int version, int small) {
    client *c = client_open_to(server, "127.0.0.1", azc_port(server), small);
    if (!c) abort();
    session_make(c->fd, client_context);
    SSL *ssl = sessions[c->fd].ssl;
    SSL_set_connect_state(ssl);
    SSL_set1_host(ssl, "localhost");
    if (version) SSL_set_max_proto_version(ssl, version);
    return c;
}

/* Drive the client's handshake, the first or a further one. */
static int shake_hands(client *c) {
    SSL *ssl = sessions[c->fd].ssl;
    for (long long end = now_ms() + WAIT_MS; now_ms() < end; azc_poll(c->server, 1)) {
        ERR_clear_error();
        int result = SSL_do_handshake(ssl), error = SSL_get_error(ssl, result);
        if (result == 1) return 1;
        if (error != SSL_ERROR_WANT_READ && error != SSL_ERROR_WANT_WRITE) return 0;
    }
    return 0;
}

static azc_channel *channel;
static azc_server *start(size_t read_buffer, size_t max_backlog) {
    azc_config config = quick();
    config.read_buffer = read_buffer, config.max_backlog = max_backlog;
    azc_server *server = serve(&config, echoer("/t"));
    channel = served;
    return server;
}

static void transport(void) {
    static char large[60000];
    for (size_t i = 0; i < sizeof large; i++) large[i] = (char)('a' + i % 26);

    TEST("messages go both ways over TLS 1.3 and 1.2, and the ends are orderly") {
        static const int versions[] = {0, TLS1_2_VERSION};
        contexts(0);
        for (int i = 0; i < 2; i++) {
            azc_server *server = start(0, 0);
            client *c = tls_open_client(server, versions[i], 0);
            CHECK(shake_hands(c));
            CHECK_STR(SSL_get_version(sessions[c->fd].ssl), i ? "TLSv1.2" : "TLSv1.3");
            CHECK_INT(client_upgrade(c, "/t", ""), 101);
            client_text(c, "hello"), EXPECT_TEXT(c, "hello");
            client_frame(c, FIN | TEXT, large, sizeof large);
            EXPECT_FRAME(c, TEXT, large, sizeof large);
            client_bye(c, 1000, "bye"), EXPECT_CLOSE(c, 1000, "bye"), EXPECT_EOF(c);
            EXPECT_EVENTS("close 1000 bye; ");
            CHECK(SSL_get_shutdown(sessions[c->fd].ssl) & SSL_RECEIVED_SHUTDOWN);
            c = tls_open_client(server, versions[i], 0); /* the server closes first */
            CHECK_INT(client_upgrade(c, "/t", ""), 101); /* which shakes hands on the way */
            CHECK_INT(azc_close(member_of(channel), 4000, "go"), AZC_OK);
            EXPECT_CLOSE(c, 4000, "go");
            client_bye(c, 4000, "go"), EXPECT_EOF(c);
            finish(server);
        }
    }
    TEST("many messages in one record, larger than the read buffer: what is pending is read on") {
        contexts(0);
        azc_server *server = start(256, 0);
        client *c = tls_open_client(server, 0, 0);
        CHECK_INT(client_upgrade(c, "/t", ""), 101);
        unsigned char record[RECORD];
        size_t len = 0;
        int count = 0;
        for (; len + 120 < sizeof record; count++)
            len += put_frame(record + len, FIN | TEXT, large, 100, SHORTEST, some_mask);
        CHECK(client_send(c, record, len));
        for (int i = 0; i < count; i++) EXPECT_FRAME(c, TEXT, large, 100);
        CHECK(seen.pending > 10);
        finish(server);
    }
    TEST("a read that wants to write: a certificate larger than the socket takes") {
        contexts(3000);
        small_buffers = 1;
        azc_server *server = start(0, 0);
        client *c = tls_open_client(server, 0, 1);
        ERR_clear_error();
        CHECK(SSL_do_handshake(sessions[c->fd].ssl) != 1); /* the first flight, then silence */
        pump(server, 50);
        CHECK(seen.read_wants_write > 0);
        long before = seen.read_wants_write;
        pump(server, 50);
        CHECK(seen.read_wants_write - before <= 2); /* it waits, and does not spin */
        CHECK(shake_hands(c));
        CHECK_INT(client_upgrade(c, "/t", ""), 101);
        client_text(c, "hello"), EXPECT_TEXT(c, "hello");
        finish(server);
        small_buffers = 0;
    }
    TEST("a write that wants to write: a reader that stalls, and then gets all in order") {
        contexts(0);
        small_buffers = 1;
        azc_server *server = start(0, 1 << 20);
        client *c = tls_open_client(server, 0, 1);
        CHECK_INT(client_upgrade(c, "/t", ""), 101);
        azc_conn *conn = member_of(channel);
        int count = 0;
        for (; count < 12; count++, azc_poll(server, 0)) {
            large[0] = (char)('A' + count);
            CHECK_INT(azc_send_text(conn, large, sizeof large), AZC_OK);
        }
        pump(server, 30);
        CHECK(azc_backlog(conn) > 100000 && seen.write_wants_write > 0);
        for (int i = 0; i < count; i++) {
            large[0] = (char)('A' + i);
            EXPECT_FRAME(c, TEXT, large, sizeof large);
        }
        large[0] = 'a';
        client_text(c, "still here"), EXPECT_TEXT(c, "still here");
        finish(server);
        small_buffers = 0;
    }
    TEST("a write that wants to read: the peer negotiates anew in between") {
        contexts(0);
        azc_server *server = start(0, 0);
        client *c = tls_open_client(server, TLS1_2_VERSION, 0);
        CHECK_INT(client_upgrade(c, "/t", ""), 101);
        SSL *ssl = sessions[c->fd].ssl;
        CHECK_INT(SSL_renegotiate(ssl), 1);
        ERR_clear_error();
        SSL_do_handshake(ssl); /* its hello is on the way */
        pump(server, 20);      /* and has been answered: the server waits for more */
        for (int i = 0; i < 3; i++) CHECK_INT(sent_text(channel, NULL, "news", 4, NULL), 1);
        pump(server, 20);
        CHECK(seen.write_wants_read > 0);
        long before = seen.polls;
        pump(server, 50);
        CHECK(seen.polls - before <= 200); /* it waits, a ms at a time, and does not spin */
        CHECK(shake_hands(c));
        for (int i = 0; i < 3; i++) EXPECT_TEXT(c, "news");
        client_text(c, "hello"), EXPECT_TEXT(c, "hello");
        finish(server);
    }
    TEST("who speaks no TLS, or goes in the middle of it, is gone, and the others stay") {
        contexts(0);
        azc_server *server = start(0, 0);
        client *stays = tls_open_client(server, 0, 0), *plain = client_open(server);
        CHECK_INT(client_upgrade(stays, "/t", ""), 101);
        client_print(plain, "GET / HTTP/1.1\r\nHost: a\r\n\r\n");
        pump_until(server, azc_stats(server)->connections == 1);
        for (int i = 0; i < 20; i++) {
            client *c = tls_open_client(server, 0, 0);
            ERR_clear_error();
            SSL_do_handshake(sessions[c->fd].ssl);
            if (i % 2) azc_poll(server, 0);
            if (i % 3) client_close(c);
            else client_reset(c);
        }
        pump_until(server, azc_stats(server)->connections == 1);
        client_text(stays, "hello"), EXPECT_TEXT(stays, "hello");
        finish(server);
    }
}

int main(int argc, char **argv) {
    signal(SIGPIPE, SIG_IGN); /* the library writes without MSG_NOSIGNAL */
    test_start(argc, argv);
    transport();
    SSL_CTX_free(server_context), SSL_CTX_free(client_context);
    return test_end();
}
