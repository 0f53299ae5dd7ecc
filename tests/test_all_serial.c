/* examples/serial.c with a pty in place of the device. tests/interop tests its page. */
#define _XOPEN_SOURCE 600 /* posix_openpt */
#define AZCHAN_IMPLEMENTATION
#include "../azchan.h"
#include <stdio.h>
static FILE *printed; /* the example's stderr */
#undef stderr
#define stderr printed
#define RETRY_MS 20
#define main serial_main
#include "../examples/serial.c"
#undef main
#undef stderr
#include "test.h"
#include "client.h"

static char link_path[128]; /* the device's path: a symbolic link to the newest pty */

/* Plug in a device. Returns its side of the pty, which does not block. */
static int plug(void) {
    int device = posix_openpt(O_RDWR | O_NOCTTY);
    char name[64], next[sizeof link_path + 4];
    if (device < 0 || grantpt(device) < 0 || unlockpt(device) < 0) perror("pty"), abort();
    snprintf(name, sizeof name, "%s", ptsname(device));
    snprintf(next, sizeof next, "%s.new", link_path);
    CHECK(symlink(name, next) == 0 && rename(next, link_path) == 0);
    fcntl(device, F_SETFL, O_NONBLOCK);
    return device;
}

static void put(int device, const char *text) {
    CHECK_INT(write(device, text, strlen(text)), strlen(text));
}

/* A server with the bridge and one viewer, and nothing plugged in yet. */
static client *start(void) {
    azc_config config = quick();
    config.max_message = 512;
    memset(values, 0, sizeof values);
    unlink(link_path);
    port.path = link_path;
    port.failed = 0;
    rewind(printed);
    server = create(&config);
    add_bridge();
    listening(server);
    port_open(server, NULL);
    return join_channel(server, "/serial");
}

static void end(int device) {
    if (device >= 0) close(device);
    port_close();
    unlink(link_path);
    finish(server);
}

/* Read messages until one has this member; returns that member as text ("" if none comes). */
static const char *next_of(client *c, const char *name) {
    static char text[1024];
    frame f;
    azc_json m;
    while (client_read(c, &f)) {
        CHECK_INT(azc_json_read(&m, (char *)f.data, f.len), AZC_OK);
        azc_json found = azc_json_get(m, name);
        if (found.type == AZC_JSON_NONE) continue;
        snprintf(text, sizeof text, "%.*s", (int)found.len, found.text);
        return text;
    }
    return "";
}

static int is_plugged(client *c) { return strcmp(next_of(c, "plugged"), "true") == 0; }

/* Plug in, and send the line that the bridge ignores because it may be cut. */
static int plugged(client *c) {
    int device = plug();
    while (!is_plugged(c) && !c->eof && test.bad == 0) continue;
    put(device, "t 21.5 and its end\n");
    return device;
}

/* What the bridge wrote to the device by now. */
static const char *written(int device) {
    static char text[2 * MAX_QUEUED];
    size_t len = 0;
    for (int i = 0; i < 20; i++) {
        azc_poll(server, 1);
        ssize_t n = read(device, text + len, sizeof text - 1 - len);
        if (n > 0) len += (size_t)n;
    }
    text[len] = 0;
    return text;
}

static const char *refused(client *c, const char *command) {
    char message[512];
    snprintf(message, sizeof message, "{\"command\":\"%s\",\"ref\":[7]}", command);
    client_text(c, message);
    return next_of(c, "refused");
}

static void lines(void) {
    TEST("a line is a value, however it arrives; the first and malformed ones are ignored") {
        client *c = start();
        int device = plugged(c);
        put(device, "heat 21.5 C\r\n");
        CHECK_STR(next_of(c, "value"), "\"21.5 C\"");
        put(device, "he");
        pump(server, 5);
        put(device, "at 22\nhumidity 4");
        CHECK_STR(next_of(c, "value"), "\"22\"");
        pump(server, 5);
        put(device, "0\n");
        CHECK_STR(next_of(c, "value"), "\"40\"");
        put(device, "\n \nword\n\xff\xfe 1\na-name-of-more-than-thirty-one-bytes 1\n");
        for (int i = 0; i < 20; i++) put(device, "no end of ");
        put(device, "\nheat 23\n");
        CHECK_STR(next_of(c, "value"), "\"23\"");
        CHECK_INT(azc_stats(server)->opened, 1);
        CHECK_STR(values[1].name, "humidity");
        CHECK_STR(values[2].name, "");
        end(device);
    }
    TEST("a late viewer gets the port's state and the newest value of each name, with its age") {
        int device = plugged(start());
        put(device, "a 1\na 2\nb 3\n");
        pump(server, 20);
        client *late = join_channel(server, "/serial");
        CHECK(is_plugged(late));
        CHECK_STR(next_of(late, "value"), "\"2\"");
        CHECK(atoi(next_of(late, "age")) >= 10); /* of b */
        EXPECT_SILENCE(late);
        end(device);
    }
    TEST("more names than there are places are ignored") {
        client *c = start();
        int device = plugged(c);
        for (int i = 0; i < MAX_VALUES + 5; i++) {
            char line[32];
            snprintf(line, sizeof line, "n%d 1\n", i);
            put(device, line);
            pump(server, 1);
        }
        for (int i = 0; i < MAX_VALUES; i++) CHECK_STR(next_of(c, "value"), "\"1\"");
        pump(server, 5);
        EXPECT_SILENCE(c);
        end(device);
    }
}

static void commands(void) {
    TEST("a command reaches the device as a line, and its sender gets an answer with its ref") {
        client *c = start();
        int device = plugged(c);
        CHECK_STR(refused(c, "led on"), "null");
        CHECK_STR(written(device), "led on\n");
        client_text(c, "{\"command\":\"\",\"ref\":{\"a\":1}}");
        CHECK_STR(next_of(c, "ref"), "{\"a\":1}");
        CHECK_STR(written(device), "\n");
        end(device);
    }
    TEST("two lines, a long command and a command to an unplugged device are refused") {
        client *c = start();
        CHECK_STR(refused(c, "led on"), "\"the device is unplugged\"");
        int device = plugged(c);
        char longest[MAX_COMMAND + 1];
        memset(longest, 'x', MAX_COMMAND);
        longest[MAX_COMMAND] = 0;
        CHECK_STR(refused(c, longest), "\"a command has at most 127 bytes\"");
        longest[MAX_COMMAND - 1] = 0;
        CHECK_STR(refused(c, longest), "null");
        CHECK_INT(strlen(written(device)), MAX_COMMAND);
        CHECK_STR(refused(c, "led on\\nled off"), "\"a command is one line\"");
        CHECK_STR(written(device), "");
        end(device);
    }
    TEST("a device that does not read fills the queue: commands are refused until it reads on") {
        client *c = start();
        int device = plugged(c), taken = 0, bytes = 0;
        const char *why = "null";
        for (; taken < 2000 && strcmp(why, "null") == 0; taken++) {
            why = refused(c, "0123456789012345678901234567890123456789");
        }
        CHECK_STR(why, "\"the device is busy: try again later\"");
        CHECK(port.queued <= MAX_QUEUED);
        for (int n = 1; n > 0; bytes += n) n = (int)strlen(written(device));
        CHECK_INT(bytes, (taken - 1) * 41);
        CHECK_INT(port.queued, 0);
        CHECK_STR(refused(c, "led on"), "null");
        CHECK_STR(written(device), "led on\n");
        end(device);
    }
}

static void replugged(void) {
    TEST("unplugged and plugged in again, as another pty: the same viewer goes on") {
        client *c = start();
        CHECK(!is_plugged(c));
        for (int i = 0; i < 3; i++) {
            int device = plugged(c);
            put(device, "heat 1\n");
            CHECK_STR(next_of(c, "value"), "\"1\"");
            close(device);
            CHECK(!is_plugged(c));
            CHECK_INT(port.fd, -1);
        }
        int device = plugged(c);
        CHECK_STR(refused(c, "led on"), "null");
        CHECK_STR(written(device), "led on\n");
        end(device);
    }
    TEST("a device that is away is printed once, not at each attempt, and so is its return") {
        client *c = start();
        pump(server, 100);
        end(plugged(c));
        char text[512];
        long len = ftell(printed);
        rewind(printed);
        CHECK_INT(fread(text, 1, (size_t)len, printed), len);
        text[len] = 0;
        CHECK_INT(count_of(text, "\n"), 2);
        CHECK(strstr(text, ": No such file or directory; waiting for it\nserial: ") != NULL);
        CHECK(strstr(text, ": here\n") != NULL);
    }
    TEST("what was queued for an unplugged device is not sent to the next one") {
        client *c = start();
        int device = plugged(c);
        while (port.queued == 0 && test.bad == 0) CHECK_STR(refused(c, "led on"), "null");
        close(device);
        CHECK(!is_plugged(c));
        device = plugged(c);
        CHECK_STR(written(device), "");
        end(device);
    }
    TEST("a path that is no serial port is tried again, and costs no descriptor") {
        client *c = start();
        CHECK(symlink("/dev/null", link_path) == 0);
        pump(server, 100);
        CHECK_INT(port.fd, -1);
        end(plugged(c));
    }
    TEST("without commands the loop sleeps: the port is not watched for writing") {
        client *c = start();
        int device = plugged(c);
        CHECK_STR(refused(c, "led on"), "null");
        CHECK_STR(written(device), "led on\n");
        long long before = now_ms();
        azc_poll(server, 60);
        CHECK(now_ms() - before >= 50);
        end(device);
    }
}

int main(int argc, char **argv) {
    test_start(argc, argv);
    snprintf(link_path, sizeof link_path, "/tmp/azchan-serial-%ld", (long)getpid());
    printed = tmpfile();
    lines();
    commands();
    replugged();
    fclose(printed);
    return test_end();
}
