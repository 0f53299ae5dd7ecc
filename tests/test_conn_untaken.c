/* CONN: messages that a channel has no callback for. */
#define AZCHAN_IMPLEMENTATION
#include "../azchan.h"
#include "test.h"
#include "requests.h"

static int note_part(azc_conn *conn, const void *data, size_t len, int flags) {
    (void)conn;
    note("part %s%s", word_of(data, len), flags & AZC_PART_TEXT ? " text" : "");
    return AZC_OK;
}

static void kinds(void) {
    TEST("a channel closes with 1003 on a message of the kind that it does not take, and logs it") {
        for (int fixed = 0; fixed < 2; fixed++) {
            for (int binary = 0; binary < 2; binary++) {
                azc_config config = limits(fixed);
                fix(&config, fixed);
                azc_channel_desc d = recorder("/t");
                if (binary) d.on_binary = NULL;
                else d.on_message = NULL;
                azc_server *server = serving(&config, d);
                for (int large = 0; large < 2; large++) {
                    client *c = join_channel(server, "/t");
                    tape_clear(&log_lines);
                    client_frame(c, FIN | (binary ? TEXT : BINARY), "yes", 3);
                    client_frame(c, FIN | (binary ? BINARY : TEXT), page_bytes, large ? 3000 : 2);
                    client_frame(c, FIN | TEXT, "late", 4);
                    EXPECT_CLOSE(c, 1003, NULL);
                    settle(server);
                    EXPECT_EVENTS(binary ? "connect; text yes; close 1003; "
                                         : "connect; binary yes; close 1003; ");
                    if (!CHECK_INT(logged("1003") * logged(binary ? "on_binary" : "on_message"), 1))
                        puts(tape_text(&log_lines));
                    client_close(c), settle(server);
                }
                finish(server);
            }
        }
    }
    TEST("a channel that takes no messages stays silent, with one log line per connection") {
        azc_channel_desc d = recorder("/t");
        d.on_message = NULL, d.on_binary = NULL;
        azc_server *server = serving(NULL, d);
        for (int i = 0; i < 2; i++) {
            client *c = join_channel(server, "/t");
            tape_clear(&log_lines);
            for (int j = 0; j < 5; j++) client_text(c, "x"), client_frame(c, FIN | BINARY, "y", 1);
            settle(server);
            EXPECT_SILENCE(c);
            if (!CHECK_INT(logged("on_message"), 1) || !CHECK_INT(logged("\n"), 1))
                puts(tape_text(&log_lines));
            client_frame(c, FIN | PING, "z", 1);
            EXPECT_FRAME(c, PONG, "z", 1);
            client_bye(c, 1000, "");
            EXPECT_CLOSE(c, 1000, NULL);
            settle(server);
            EXPECT_EVENTS("connect; ping z; close 1000; ");
        }
        finish(server);
    }
    TEST("azc_on_part takes messages of both kinds") {
        azc_channel_desc d = recorder("/t");
        d.on_message = NULL, d.on_binary = NULL;
        serve_parts.on_part = note_part;
        azc_server *server = serve(NULL, d);
        client *c = join_channel(server, "/t");
        tape_clear(&log_lines);
        client_text(c, "a"), client_frame(c, FIN | BINARY, "b", 1);
        settle(server);
        EXPECT_EVENTS("connect; part a text; part b; ");
        CHECK_STR(tape_text(&log_lines), "");
        finish(server);
    }
}

int main(int argc, char **argv) {
    test_start(argc, argv);
    kinds();
    tape_clear(&events), tape_clear(&log_lines);
    return test_end();
}
