/* serial.c: a device on a serial port in the browser: its newest values there, commands back. The
   device may be unplugged and plugged in again at any time.

       cc -I. examples/serial.c -o serial && ./serial [[host:]port] [/dev/ttyUSB0]

   Then open http://127.0.0.1:4000/. The device writes lines of a name and a value ("heat 21.5 C"),
   at 115200 baud, and reads commands, one per line. Every viewer may send commands, so add a
   login (on_upgrade) before you accept other machines. Without a device, try a pty:

       socat pty,link=/tmp/device,raw pty,link=/tmp/sensor,raw & ./serial 4000 /tmp/device
       while sleep 1; do echo "heat $RANDOM"; done >/tmp/sensor

   The page is pages/serial.html, which `make pages` turns into serial_page.h. */
#define AZCHAN_IMPLEMENTATION
#include "azchan.h"
#include "serial_page.h"
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <termios.h>
#include <time.h>
#include <unistd.h>

#ifndef RETRY_MS
#define RETRY_MS 1000 /* between two attempts to open the port */
#endif
enum { MAX_VALUES = 32, MAX_COMMAND = 128, MAX_QUEUED = 512 };

static azc_server *server;
static azc_channel *channel;

/* ==== The newest value of each name =========================================================== */

typedef struct value {
    char name[32], text[64];
    int64_t at; /* when it came */
} value;

static value values[MAX_VALUES]; /* in the order of their first line; further names are ignored */

static int64_t clock_ms(void) {
    struct timespec ts;
    clock_gettime(CLOCK_MONOTONIC, &ts);
    return (int64_t)ts.tv_sec * 1000 + ts.tv_nsec / 1000000;
}

/* Send to one connection, or with conn NULL to all. The key makes a slow viewer skip values: a
   queued message with the same key is replaced by the newer one. */
static int send_newest(azc_conn *conn, azc_writer *w, uint64_t key) {
    azc_message m = {0};
    m.json = w;
    m.key = key;
    m.to = conn;
    return azc_send(channel, &m);
}

static int send_value(azc_conn *conn, const value *v, int i) {
    char buf[6 * sizeof *v + 64]; /* each byte may become \u00XX */
    azc_writer w = azc_put_begin(buf, sizeof buf);
    azc_put_string(&w, "name", v->name);
    azc_put_string(&w, "value", v->text);
    azc_put_int(&w, "age", clock_ms() - v->at);
    return send_newest(conn, &w, (uint64_t)i + 1);
}

/* A line of the device. Lines of another form are ignored, and so is noise (not UTF-8). */
static void take_line(const char *line) {
    value v = {"", "", clock_ms()};
    char space;
    if (sscanf(line, "%31s%c%63[^\r]", v.name, &space, v.text) != 3 || space != ' ') return;
    int i = 0;
    while (i < MAX_VALUES && *values[i].name && strcmp(values[i].name, v.name) != 0) i++;
    if (i < MAX_VALUES && send_value(NULL, &v, i) == AZC_OK) values[i] = v;
}

/* ==== The port ================================================================================ */

static struct {
    const char *path;
    int fd, failed;       /* fd -1: unplugged; failed: the last attempt to open it failed */
    size_t got, queued;   /* bytes in `in` and `out` */
    char in[128];         /* the line that is being received; full: it is too long */
    char out[MAX_QUEUED]; /* commands for the device */
} port = {.path = "/dev/ttyUSB0", .fd = -1};

static void port_open(azc_server *s, void *arg);
static void port_ready(azc_server *s, int fd, int events, void *arg);

static int send_port(azc_conn *conn) {
    char buf[1024];
    azc_writer w = azc_put_begin(buf, sizeof buf);
    azc_put_string(&w, "device", port.path);
    azc_put_bool(&w, "plugged", port.fd >= 0);
    return send_newest(conn, &w, MAX_VALUES + 1);
}

static void port_close(void) {
    if (port.fd < 0) return;
    azc_watch(server, port.fd, 0, NULL, NULL);
    close(port.fd);
    port.fd = -1;
    port.queued = 0; /* a command must not run much later, when the device is back */
}

static void port_down(const char *why) {
    port_close();
    if (!port.failed) {
        fprintf(stderr, "serial: %s: %s; waiting for it\n", port.path, why);
        send_port(NULL);
    }
    port.failed = 1;
    azc_after(server, RETRY_MS, port_open, NULL);
}

/* Read interest always; write interest only while commands are queued, for a port is nearly always
   writable. */
static int port_watch(void) {
    return azc_watch(server, port.fd, AZC_READ | (port.queued ? AZC_WRITE : 0), port_ready, NULL);
}

/* Raw bytes at 115200 baud, without modem control. */
static int port_setup(int fd) {
    struct termios t;
    if (tcgetattr(fd, &t) < 0) return -1;
    cfmakeraw(&t);
    cfsetispeed(&t, B115200);
    cfsetospeed(&t, B115200);
    t.c_cflag |= CLOCAL | CREAD;
    return tcsetattr(fd, TCSANOW, &t);
}

static void port_open(azc_server *s, void *arg) {
    (void)s;
    (void)arg;
    port.fd = open(port.path, O_RDWR | O_NOCTTY | O_NONBLOCK | O_CLOEXEC);
    if (port.fd < 0 || port_setup(port.fd) < 0 || port_watch() != AZC_OK) {
        port_down(strerror(errno));
        return;
    }
    if (port.failed) fprintf(stderr, "serial: %s: here\n", port.path);
    port.failed = 0;
    port.got = sizeof port.in; /* the first line may lack its beginning: ignore it */
    send_port(NULL);
}

/* An unplugged device ends the file, or reads fail with EIO, ENODEV or ENXIO. */
static int port_failed(ssize_t n) {
    if (n > 0 || (n < 0 && (errno == EAGAIN || errno == EINTR))) return 0;
    port_down(n == 0 ? "unplugged" : strerror(errno));
    return 1;
}

static void port_read(void) {
    char bytes[512];
    ssize_t n = read(port.fd, bytes, sizeof bytes);
    if (port_failed(n)) return;
    for (ssize_t i = 0; i < n; i++) {
        if (port.got < sizeof port.in) port.in[port.got++] = bytes[i];
        if (bytes[i] != '\n') continue;
        if (port.in[port.got - 1] == '\n') {
            port.in[port.got - 1] = 0;
            take_line(port.in);
        }
        port.got = 0;
    }
}

static void port_write(void) {
    ssize_t n = write(port.fd, port.out, port.queued);
    if (port_failed(n)) return;
    if (n > 0) memmove(port.out, port.out + n, port.queued -= (size_t)n);
    port_watch();
}

static void port_ready(azc_server *s, int fd, int events, void *arg) {
    (void)s;
    (void)arg;
    if (events & AZC_READ) port_read();
    if (events & AZC_WRITE && port.fd == fd && port.queued) port_write();
}

/* Queue a command. Returns the reason if it is refused, else NULL. */
static const char *port_command(const char *command, size_t len) {
    for (size_t i = 0; i < len; i++) {
        if ((unsigned char)command[i] < ' ') return "a command is one line";
    }
    if (port.fd < 0) return "the device is unplugged";
    if (len >= sizeof port.out - port.queued) return "the device is busy: try again later";
    memcpy(port.out + port.queued, command, len);
    port.queued += len;
    port.out[port.queued++] = '\n';
    return port_watch() == AZC_OK ? NULL : "out of memory";
}

/* ==== The channel ============================================================================= */

static int serial_connect(azc_conn *conn) {
    int error = send_port(conn);
    for (int i = 0; error == AZC_OK && i < MAX_VALUES && *values[i].name; i++) {
        error = send_value(conn, &values[i], i);
    }
    return error;
}

/* Pages send {"command":"led on","ref":1} and receive {"ref":1,"refused":null}, or the reason. */
static int serial_message(azc_conn *conn, const char *text, size_t len) {
    azc_json in;
    char command[MAX_COMMAND], buf[1024]; /* buf holds a ref of max_message */
    if (azc_json_read(&in, text, len) != AZC_OK) return AZC_ERR_JSON;
    int n = azc_json_string(azc_json_get(in, "command"), command, sizeof command);
    if (n == AZC_ERR_TYPE) return n;
    azc_writer w = azc_put_begin(buf, sizeof buf);
    azc_put_json(&w, "ref", azc_json_get(in, "ref"));
    azc_put_string(&w, "refused",
                   n < 0 ? "a command has at most 127 bytes" : port_command(command, (size_t)n));
    return azc_send_json(conn, &w);
}

/* ==== The program ============================================================================= */

static void add_bridge(void) {
    azc_channel_desc desc = {0};
    desc.path = "/serial";
    desc.on_connect = serial_connect;
    desc.on_message = serial_message;
    channel = azc_add_channel(server, &desc);
}

int main(int argc, char **argv) {
    azc_config config = {0};
    config.port = 4000;
    config.host = argc > 1 ? argv[1] : NULL;
    config.max_message = 512;
    if (argc > 2) port.path = argv[2];

    server = azc_create(&config);
    azc_log_to(server, stderr, AZC_LOG_WARNING);
    azc_stop_on_signals(server);
    add_bridge();
    azc_add_page(server, "/", "text/html; charset=utf-8", serial_page, sizeof serial_page);
    azc_add_client(server, "/azchan.js");
    if (azc_listen(server) == AZC_OK) {
        puts(azc_url(server, "http", "/"));
        fflush(stdout);
        port_open(server, NULL);
    }
    int error = azc_run(server);
    port_close();
    azc_destroy(server);
    return error != AZC_OK;
}
