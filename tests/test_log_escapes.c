/* LOG: what peers send cannot forge, break or hide a log line, and queries stay out of it. */
#define AZCHAN_IMPLEMENTATION
#include "../azchan.h"
#include "test.h"
#include "requests.h"

/* What azc_log_to wrote since the last look. */
static const char *log_file_text(FILE *file) {
    static char text[16384];
    static long at;
    fflush(file);
    if (ftell(file) < at) at = 0;
    fseek(file, at, SEEK_SET);
    size_t n = fread(text, 1, sizeof text - 1, file);
    text[n] = 0;
    at += (long)n;
    fseek(file, 0, SEEK_END);
    return text;
}

static int plain(const char *text) {
    for (; *text; text++)
        if ((*text < 32 && *text != '\n') || (unsigned char)*text > 126) return 0;
    return 1;
}

static void log_texts(void) {
    TEST("azc_log_to leaves the query out, and prints no first word of a malformed line") {
        static const struct {
            const char *request, *start;
        } asked[] = {
            {"GET /?token=secret HTTP/1.1\r\nHost: a\r\n\r\n", "127.0.0.1 GET / 200 "},
            {"GET / HTTP/1.1\r\nHost: a\r\n\r\n", "127.0.0.1 GET / 200 "},
            {"127.0.0.1 GET /forged 200 5B 0ms\r\n\r\n", "127.0.0.1 - - 400 "},
            {"GET\r\n\r\n", "127.0.0.1 - - 400 "},
            {"GET /a b HTTP/1.1\r\n\r\n", "127.0.0.1 - - 400 "},
            {"GET /\xc2\x9b HTTP/1.1\r\nHost: a\r\n\r\n", "127.0.0.1 - - 400 "},
            {"\xc2\x9b""31mGET / HTTP/1.1\r\nHost: a\r\n\r\n", "127.0.0.1 - - 400 "},
            {"GET /\\\" HTTP/1.1\r\nHost: a\r\n\r\n", "127.0.0.1 GET /\\\\\\\" 404 "},
        };
        FILE *file = tmpfile();
        azc_server *server = create(NULL);
        azc_log_to(server, file, AZC_LOG_NOTICE);
        azc_channel_desc d = recorder("/t");
        served = azc_add_channel(server, &d);
        azc_add_page(server, "/", "text/plain", "hello", 5);
        listening(server);
        for (size_t i = 0; i < sizeof asked / sizeof *asked; i++) {
            CHECK(ask(server, asked[i].request) >= 200);
            const char *text = strstr(log_file_text(file), "127.");
            if (!CHECK(text != NULL)) continue;
            if (!CHECK(strncmp(text, asked[i].start, strlen(asked[i].start)) == 0) ||
                !CHECK(plain(text)) || !CHECK_INT(count_of(text, "\n"), 1))
                printf("    %s    for %s", text, asked[i].request);
        }
        client *c = join_channel(server, "/t?token=secret");
        client_bye(c, 1000, ""), settle(server);
        const char *text = log_file_text(file);
        CHECK(strstr(text, "127.0.0.1 GET /t 101 ") != NULL);
        CHECK(strstr(text, "127.0.0.1 WS /t 1000 ") != NULL);
        CHECK(strstr(text, "secret") == NULL);
        finish(server);
        fclose(file);
    }
    TEST("config.log escapes what peers sent, leaves the query out, and keeps the reason") {
        azc_config config = quick();
        azc_server *server = serving_pages(&config);
        char request[9000], path[3000];
        tape_clear(&log_lines);
        CHECK_INT(ask(server, "GET /t?token=secret HTTP/1.1\r\n" UPGRADE
                              "Origin: http://e\xc2\x9b\x80\xff\t\"\\.example\r\n\r\n"), 403);
        const char *text = tape_text(&log_lines);
        if (!CHECK(plain(text)) || !CHECK(strstr(text, "secret") == NULL) ||
            !CHECK(strstr(text, "e\\xC2\\x9B\\x80\\xFF\\x09\\\"\\\\.example") != NULL)) puts(text);
        memset(path, 'x', sizeof path - 1), path[sizeof path - 1] = 0;
        tape_clear(&log_lines);
        snprintf(request, sizeof request, "GET /t?%s HTTP/1.1\r\n" UPGRADE
                 "Origin: http://%s.example\r\n\r\n", path, path);
        CHECK_INT(ask(server, request), 403);
        if (!CHECK_INT(logged("403"), 1) || !CHECK_INT(logged("a.example"), 1))
            puts(tape_text(&log_lines)); /* the other side of it */
        finish(server);
    }
    TEST("a long path hides no reason") {
        azc_config config = quick();
        azc_server *server = create(&config);
        azc_channel_desc d = recorder("/:x");
        azc_add_channel(server, &d);
        listening(server);
        char request[9000], path[4096];
        memset(path, 'x', sizeof path - 1), path[sizeof path - 1] = 0;
        tape_clear(&log_lines);
        snprintf(request, sizeof request, "GET /%s HTTP/1.1\r\n" UPGRADE
                 "Origin: http://evil.example\r\n\r\n", path);
        CHECK_INT(ask(server, request), 403);
        if (!CHECK_INT(logged("403"), 1) || !CHECK_INT(logged("evil.example"), 1))
            puts(tape_text(&log_lines));
        finish(server);
    }
}

int main(int argc, char **argv) {
    test_start(argc, argv);
    log_texts();
    tape_clear(&events), tape_clear(&log_lines);
    return test_end();
}
