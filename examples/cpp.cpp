/* cpp.cpp: a guest book in C++17. Each entry goes to everyone, and newcomers get the latest ones.

       c++ -std=c++17 -I. examples/cpp.cpp -o cpp && ./cpp [[host:]port]

   In the console (F12) of any page of http://127.0.0.1, say of ./counter:

       const socket = new WebSocket('ws://127.0.0.1:4000/guests');
       socket.onmessage = (event) => console.log(event.data);
       socket.onopen = () => socket.send('{"name":"Ada","text":"Hello!"}');

   To keep the implementation in C, compile a file with the first two lines below as C, and leave
   out the first line here. */
#define AZCHAN_IMPLEMENTATION
#include "azchan.h"
#include <cstdio>
#include <deque>
#include <exception>
#include <memory>
#include <new>
#include <string>
#include <string_view>

namespace {

/* Call body. No exception may leave a callback, because azchan.h is C and would not clean up, so
   every callback that can throw goes through here. */
template <typename Body>
int guarded(Body body) {
    try {
        return body();
    } catch (const std::bad_alloc &) {
        return AZC_ERR_MEMORY;
    } catch (const std::exception &problem) {
        fprintf(stderr, "cpp: %s\n", problem.what());
        return AZC_ERR_APP;
    }
}

/* A JSON string, "" if the value is none. */
std::string string_of(azc_json value) {
    const int len = azc_json_string(value, nullptr, 0);
    if (len <= 0) return {};
    std::string text(static_cast<size_t>(len), '\0');
    azc_json_string(value, text.data(), text.size() + 1);
    return text;
}

class Guestbook {
public:
    /* Everything that the channel needs. The book must outlive the server. */
    azc_channel_desc channel(const char *path) {
        azc_channel_desc desc = {}; /* {} means the defaults; {0} is its C form */
        desc.path = path;
        desc.userdata = this;
        desc.on_connect = [](azc_conn *conn) { /* a lambda without captures is a C callback */
            return guarded([&] { return of(conn).welcome(conn); });
        };
        desc.on_message = [](azc_conn *conn, const char *text, size_t len) {
            return guarded([&] { return of(conn).receive(conn, {text, len}); });
        };
        return desc;
    }

private:
    static constexpr size_t most = 100, longest = 1000; /* entries; bytes of text in one */
    std::deque<std::string> entries; /* as JSON */

    static Guestbook &of(azc_conn *conn) { return *static_cast<Guestbook *>(azc_userdata(conn)); }

    int welcome(azc_conn *conn) const {
        for (const std::string &entry : entries) {
            if (int error = azc_send_text(conn, entry.data(), entry.size())) return error;
        }
        return AZC_OK;
    }

    /* Peers send {"name":"...","text":"..."}. The view is valid until the callback returns. */
    int receive(azc_conn *conn, std::string_view message) {
        azc_json in;
        if (azc_json_read(&in, message.data(), message.size()) != AZC_OK) return AZC_ERR_JSON;
        const std::string name = string_of(azc_json_get(in, "name"));
        const std::string text = string_of(azc_json_get(in, "text"));
        if (name.empty() || text.empty() || name.size() + text.size() > longest) {
            return azc_send_text(conn, "{\"error\":\"name and text, 1000 bytes at most\"}", AZC_NUL);
        }
        std::string entry(6 * longest + 64, '\0'); /* each byte may become \u00XX */
        azc_writer w = azc_put_begin(entry.data(), entry.size());
        azc_put_text(&w, "name", name.data(), name.size());
        azc_put_text(&w, "text", text.data(), text.size());
        if (int error = azc_put_finish(&w)) return error;
        entry.resize(w.len);

        entries.push_back(entry);
        if (entries.size() > most) entries.pop_front();
        return azc_send_all(conn, entry.data(), entry.size());
    }
};

struct Destroy {
    void operator()(azc_server *server) const { azc_destroy(server); }
};

} // namespace

int main(int argc, char **argv) {
    azc_config config = {};
    config.port = 4000;
    config.host = argc > 1 ? argv[1] : nullptr;

    Guestbook book; /* before the server, so that it is destroyed after it */
    const std::unique_ptr<azc_server, Destroy> owner(azc_create(&config));
    azc_server *server = owner.get();
    azc_log_to(server, stderr, AZC_LOG_WARNING);
    azc_stop_on_signals(server);
    const azc_channel_desc guests = book.channel("/guests");
    azc_add_channel(server, &guests);
    if (azc_listen(server) == AZC_OK) puts(azc_url(server, "ws", "/guests"));
    fflush(stdout);
    const int error = azc_run(server);
    return error != AZC_OK;
}
