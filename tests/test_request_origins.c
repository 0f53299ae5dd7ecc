/* REQUEST: which origins config.origins may name, which pass, and what the log shows. */
#define AZCHAN_IMPLEMENTATION
#include "../azchan.h"
#include "test.h"
#include "requests.h"

/* The status of an upgrade with this Origin at a server with these origins. */
static int origin_status(const char *origins, const char *origin) {
    azc_config config = quick();
    config.origins = origins;
    azc_server *server = serving_pages(&config);
    char request[512];
    snprintf(request, sizeof request, "GET /t HTTP/1.1\r\n" UPGRADE "Origin: %s\r\n\r\n", origin);
    int status = ask(server, request);
    finish(server);
    return status;
}

static void origins(void) {
    TEST("an origin that no browser sends is refused at start, and the error names it") {
        static const char *const bad[] = {
            "a.example", "a.example:8080", "//a.example", "://a.example", "http:a.example",
            "http:/a.example", "http://", "https://:443", "https://a.example/",
            "http://a.example/chat",
            "http://a.example?x", "http://a.example#x", "https://a.example,https://b.example",
            "https://a.example,", "http://a.example:80", "https://a.example:443",
            "HTTPS://a.example:443", "http://a.example:", "http://a.example:x",
            "http://a.example:99999",
            "http://a.example:080", "http://me@a.example", "http://me:pw@a.example", "https://*",
            "https://a.*.example", "https://*a.example", "https://a*", "https://**.example",
            "https://*.*.example", "https://*.", "*.example", "*://a.example", "**",
            "ws://a.example", "wss://a.example", "http://[::1", "http://::1", "http://[::1]x",
            "https://[[::1]", "http://[]", "http://[::1]]",
            "http://caf\xc3\xa9.example",
            "http://a.example.\t", "http://.example", "https://*.example:443"};
        for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
            char list[128];
            azc_config config = quick();
            snprintf(list, sizeof list, "https://good.example %s http://good.example:8080", bad[i]);
            config.origins = list;
            azc_server *server = create(&config);
            int error = azc_listen(server);
            if (!CHECK_INT(error, AZC_ERR_ARGUMENT)) printf("    %s\n", bad[i]);
            else if (!CHECK(strstr(azc_error(server), bad[i]) != NULL) ||
                     !CHECK(strstr(azc_error(server), "origins") != NULL)) puts(azc_error(server));
            finish(server);
        }
    }
    TEST("origins that browsers and apps send are taken") {
        static const char *const good[] = {
            "https://a.example", "http://a.example:8080", "HTTP://A.Example",
            "http://127.0.0.1:4000",
            "http://[::1]:4000", "https://*.example", "https://*.a-b.example:8443", "*", "null",
            "file://", "app://.", "capacitor://localhost", "moz-extension://board.local",
            "http://a.example:443", "https://a.example:80", "https://localhost",
            " https://a  http://b "};
        for (size_t i = 0; i < sizeof good / sizeof *good; i++) {
            azc_config config = quick();
            config.origins = good[i];
            azc_server *server = create(&config);
            if (!CHECK_INT(azc_listen(server), AZC_OK)) puts(azc_error(server));
            finish(server);
        }
    }
    TEST("https://*.example means every host below example, and not example itself") {
        static const struct {
            const char *origin;
            int status;
        } asked[] = {
            {"https://a.example", 101}, {"https://a.b.example", 101}, {"HTTPS://A.EXAMPLE", 101},
            {"https://a-1.b_2.example", 101},
            {"https://example", 403}, {"https://.example", 403}, {"https://a..example", 403},
            {"https://..example", 403}, {"http://a.example", 403}, {"https://a.example:8443", 403},
            {"https://aexample", 403}, {"https://a.example.evil", 403},
            {"https://evil/.example", 403},
            {"https://evil@a.example", 403}, {"https://evil:80.example", 403},
            {"https://evil?.example", 403}, {"https://evil#.example", 403},
            {"https://evil\\.example", 403}, {"https://a.b.board:8080", 101},
            {"https://board:8080", 403},
            {"https://a.board", 403}, {"null", 403}, {"*", 403}, {"https://*.example", 403},
        };
        for (size_t i = 0; i < sizeof asked / sizeof *asked; i++)
            if (!CHECK_INT(origin_status("https://*.example https://*.board:8080", asked[i].origin),
                           asked[i].status)) printf("    %s\n", asked[i].origin);
    }
    TEST("by default only http and https pages of the same host pass") {
        CHECK_INT(origin_status(NULL, "http://a.example"), 101);
        CHECK_INT(origin_status(NULL, "https://a.example"), 101);
        CHECK_INT(origin_status(NULL, "HTTPS://A.example:443"), 101);
        CHECK_INT(origin_status(NULL, "moz-extension://a.example"), 403);
        CHECK_INT(origin_status(NULL, "chrome-extension://a.example"), 403);
        CHECK_INT(origin_status(NULL, "ws://a.example"), 403);
        CHECK_INT(origin_status(NULL, "xhttp://a.example"), 403);
        CHECK_INT(origin_status(NULL, "ftp://a.example"), 403);
        CHECK_INT(origin_status(NULL, "://a.example"), 403);
        CHECK_INT(origin_status("moz-extension://a.example", "moz-extension://a.example"), 101);
    }
    TEST("the log line of a refused origin shows both sides") {
        azc_config config = quick();
        azc_server *server = serving_pages(&config);
        tape_clear(&log_lines);
        CHECK_INT(ask(server, "GET /t HTTP/1.1\r\n" UPGRADE
                              "Origin: https://evil.example\r\n\r\n"), 403);
        if (!CHECK_INT(logged("https://evil.example") * logged("\"a.example\""), 1) ||
            !CHECK_INT(logged("origins"), 1)) puts(tape_text(&log_lines));
        finish(server);
        config.origins = "https://b.example http://c.example:8080";
        server = serving_pages(&config);
        tape_clear(&log_lines);
        CHECK_INT(ask(server, "GET /t HTTP/1.1\r\n" UPGRADE
                              "Origin: https://evil.example\r\n\r\n"), 403);
        if (!CHECK_INT(logged("https://evil.example") * logged(config.origins), 1))
            puts(tape_text(&log_lines));
        finish(server);
        config.origins = NULL;
        server = create(&config);
        azc_channel_desc d = recorder("/t");
        azc_add_channel(server, &d);
        azc_trust_proxies(server, "127.0.0.1");
        listening(server);
        tape_clear(&log_lines);
        CHECK_INT(ask(server, "GET /t HTTP/1.1\r\n" UPGRADE "Origin: http://b.example\r\n"
                              "X-Forwarded-Host: b.example\r\n"
                              "X-Forwarded-Proto: https\r\n\r\n"), 403);
        if (!CHECK_INT(logged("\"http://b.example\"") * logged("by https \"b.example\""), 1))
            puts(tape_text(&log_lines));
        finish(server);
    }
}

int main(int argc, char **argv) {
    test_start(argc, argv);
    origins();
    tape_clear(&events), tape_clear(&log_lines);
    return test_end();
}
