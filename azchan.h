/* azchan.h: real-time WebSocket channels in one C header. Version 0.2.0. MIT license, at the end.

   ==== [0] MANUAL ==============================================================================

   A channel is a path and a few callbacks. When a browser opens `new WebSocket("ws://host/chat")`,
   your on_connect runs; when it sends, your on_message runs; when it leaves, your on_close runs.
   Connections join rooms, and a broadcast reaches a room. The header also reads and writes JSON and
   serves pages, so that one binary is a whole product. It needs libc and POSIX sockets. It uses one
   thread and no global state, and a program may run any number of servers.

   QUICK START

       #define AZCHAN_IMPLEMENTATION    // in exactly one .c or .cpp file, before other headers
       #include "azchan.h"
       #include <stdio.h>

       int main(void) {
           azc_config config = {0};     // zero means the default, here and below
           config.port = 4000;
           azc_channel_desc echo = {0};
           echo.path = "/echo";
           echo.on_message = azc_send_text;    // a send takes the arguments of on_message

           azc_server *server = azc_create(&config);
           azc_log_to(server, stderr, AZC_LOG_WARNING);
           azc_stop_on_signals(server);        // Ctrl-C
           azc_add_channel(server, &echo);
           if (azc_listen(server) == AZC_OK) puts(azc_url(server, "ws", "/echo"));
           int error = azc_run(server);
           azc_destroy(server);
           return error != AZC_OK;
       }

   With `echo.on_message = azc_send_all` it is a chat. In C++ write `azc_config config = {}`.

   Calls before azc_listen need no check: azc_listen and azc_run return the first error of
   azc_create, azc_use and azc_add_*, the log has a line for it, and azc_error has the same words.
   Every function accepts NULL: it returns AZC_ERR_ARGUMENT, or does nothing. If azc_stop was called
   before azc_run, azc_run returns at once.

   CALLBACKS return AZC_OK. Anything else is a failure, 1 included:

     - In a callback of an open connection, the result goes to on_error. Without on_error it is
       logged, and the peer receives {"type":"error","code":"INVALID_JSON"} for AZC_ERR_JSON and
       "INTERNAL_ERROR" for the rest. The connection stays open.
     - A callback that has a request at hand (azc_use and page handlers, on_upgrade) may return an
       HTTP status from 200 to 599, which answers the request. Any other value answers 500. So does
       a mistake such as `return 1`, and nobody is let in by accident. If the request is answered
       already, the result is ignored; if its answer has begun and is not whole, a failure drops
       the connection.

   Callbacks must not throw, nor leave by longjmp. In C++, if the implementation was compiled as C++
   too, after an exception azc_destroy still works, and no other call may follow. If it was compiled
   as C, the behaviour is undefined.

   The functions of this header return AZC_OK or a negative AZC_ERR_*, never a count that could be
   taken for a failure, so `return azc_send_all(conn, text, len);` is always right.

   NAMES. A function that does something starts with its verb: azc_send_text, azc_add_page,
   azc_set_user. A function that only answers is the noun of the answer: azc_peer, azc_count,
   azc_users. azc_after and azc_every say when. azc_on_x sets the callback on_x of an optional part.
   What works on a value starts with the value's kind: azc_json_*, azc_put_* (the writer),
   azc_html_*, azc_live_*, azc_cursor_next. Everything with azc__ or AZC__ is private.

   A BYTE'S WAY: what one azc_poll does, in this order

     1 wait      poll(), until the earliest deadline or the caller's timeout
     2 read      socket --recv--> the server's one read buffer
     3 decode    first  [HTTP] head -> azc_use handlers -> [ROUTE] -> on_upgrade -> 101 or 4xx
                 then   [FRAME] unmasked in place -> [UTF8] -> a whole message
                 (partial input is kept in its connection, at most max_message bytes)
     4 call      on_connect / on_message / on_binary / on_drain ...   <- your code
                 reads with [JSON]; azc_send_*, azc_broadcast, azc_close only append and mark;
                 then the timers that are due
     5 settle    on_close for every connection that ended in this turn, for whatever reason
     6 flush     each connection with output: one send
     7 free      ended connections are freed here and nowhere else

   LAWS

   - Sends append to the connection's output, and step 6 writes it. A message of 16 KiB or more with
     nothing queued before it is offered to the kernel at once, which saves a copy. Neither blocks,
     however slow the peer. If the send fails, the connection ends in step 5. No callback runs
     inside another, except that an azc_reply_begin that fails gives `more` its last call.
   - Closing sets a mark. No callback ever sees a freed connection. Once a connection is closed, by
     either side, its only further callback is on_close.
   - For each connection whose on_connect ran, on_close runs exactly once, in the turn in which it
     ended. An ended connection is in no room and in no count; during on_close, azc_rooms still
     lists its rooms.
   - Pointers passed to a callback are valid until it returns. Text is NUL-terminated; len excludes
     the NUL, and the text itself may contain NULs. The results of azc_param, azc_query, azc_peer,
     azc_target and azc_subprotocol are valid as long as the connection.
   - The configuration bounds the memory. A length that a peer only announced allocates nothing.
   - A deadline is judged only after everything that was ready has been read. So no peer is dropped
     because a callback took long or the program polls rarely. A slow peer that makes progress has
     more time: see SLOW PEERS.
   - Nothing here prints (except azc_log_to, to the FILE you give it), exits, or touches signals
     (except azc_stop_on_signals).

   LOG. azc_log_to(server, stderr, AZC_LOG_WARNING) says why: which rule a refused peer broke, what
   a callback returned, which call of the program was wrong and what is allowed, which callback took
   too long. AZC_LOG_NOTICE adds a line for each request and each closed channel. Builds without
   NDEBUG also assert that no other thread calls while azc_poll waits, and that no connection is
   used after its on_close, as far as that can be seen cheaply.

   OWNERSHIP

     you give                                    it is
     config, desc and the strings in them        copied
     the bytes of azc_add_page                   kept by address: leave them as they are
     text, bodies, room names                    copied before the call returns
     userdata pointers                           kept, never touched
     you get
     azc_server                                  yours: free it with azc_destroy
     azc_channel                                 the server's, until azc_destroy
     azc_conn                                    the server's, until its on_close returns. To keep
                                                 one, keep its azc_id and look it up with azc_find
     azc_live                                    the server's, until its on_unmount returns

   THREADS. A server belongs to the thread that calls azc_poll. Only azc_stop and azc_post may be
   called from other threads and from signal handlers. "Anywhere" below means: in any callback or
   task and between two polls, on the server's thread. Compilers without GCC's __atomic builtins
   (tcc, pcc) can only promise azc_stop: with them call azc_post on the server's thread alone.

   DESCRIPTORS. All descriptors of a server are 3 or above, also in a program that was started with
   0 to 2 closed, and are closed by exec.

   ---- Recipes ----

   ROOMS. A room is a name in its channel; it exists while it has members.

       static int room_connect(azc_conn *conn) { return azc_join(conn, azc_param(conn, "room")); }

       rooms.path = "/rooms/:room";
       rooms.on_connect = room_connect;
       rooms.on_message = azc_send_room;           // to the others in the room

   LOGIN. A session is a random token: in a cookie, and in a table of yours (here session_*, which
   examples/settings.c has). Redirect after each POST, so that a reload does not repeat it:

       static int login_post(azc_conn *conn, void *userdata) {
           if (!azc_equal(password, azc_form(conn, "password"))) return 403;
           session *s = session_new();                  // with each login a new token
           if (azc_token(azc_server_of(conn), s->token, sizeof s->token) != AZC_OK) return 503;
           azc_set_cookie(conn, "session", s->token, 3600, 0);
           return azc_redirect(conn, 303, "/");
       }

       static int logout_post(azc_conn *conn, void *userdata) {
           session_end(azc_cookie(conn, "session"));    // it closes the session's channels, too
           azc_set_cookie(conn, "session", NULL, 0, 0);
           return azc_redirect(conn, 303, "/");
       }

   Limit the attempts, and let sessions end after some time. A channel decides in on_upgrade, before
   there is a connection:

       static int private_upgrade(azc_conn *conn) {
           const char *user = user_of_session(azc_cookie(conn, "session"));
           return user == NULL ? 401 : azc_set_user(conn, user);
       }

   A guard of a part of the site is a handler of azc_use. It must compare azc_path, which routing
   uses too: azc_target is the bytes as sent, and /%61dmin in it is /admin.

       static int admin_guard(azc_conn *conn, void *userdata) {
           if (strncmp(azc_path(conn), "/admin", 6) != 0) return AZC_OK;
           return is_admin(azc_cookie(conn, "session")) ? AZC_OK : 403;
       }

   CROSS-SITE REQUESTS (CSRF). Pages of other sites can make a browser send requests to your server,
   with your cookie. Two rules stop them:

     - Endpoints and channels answer 403 to an Origin that is neither the server's own nor in
       config.origins. Browsers send one with each POST, PUT, PATCH, DELETE and handshake ("null",
       so 403, from a page with Referrer-Policy no-referrer). A request without Origin passes: it
       comes from curl, a script, or a browser older than 2020.
     - SameSite=Lax, which azc_set_cookie adds, keeps the cookie out of the requests of other sites,
       in such browsers too, except for links that the user follows. So a GET must change nothing:
       log out by POST.

   A page whose origin you allow may do whatever its user may: list only those that you trust. With
   origins "*" SameSite alone is left, for which all ports of a host and all hosts of a domain are
   one site. Then put a token of azc_token into a hidden field of each form, keep it in the session,
   and compare with azc_equal. Cookies ignore ports, too: another server on the host gets them.

   A *rest parameter is decoded as well. It may contain "..", empty segments, and slashes that were
   sent as %2F. Before you use it as the name of a file, refuse it if it begins with '/' or if one
   of its segments is "..".

   USERS AND PRESENCE. A user with several tabs or devices counts as one (azc_set_user, above).

       static void room_presence(azc_channel *channel, const char *room, const char *user,
                                 int present) {
           char buf[1024];
           azc_writer w = azc_put_begin(buf, sizeof buf);
           azc_put_string(&w, present ? "joined" : "left", user);
           azc_broadcast_json(channel, room, &w, NULL);
       }

       azc_on_presence(channel, room_presence);

   azc_users lists the users in a room, azc_send_user reaches all tabs of one.

   JSON is checked as a whole by azc_json_read. After that azc_json_get and the others walk it
   without allocation and without further errors: a missing member is a value of type NONE, and
   looking into NONE gives NONE.

   REPLIES. A client that expects an answer to one particular message adds a "ref" of its own, and
   the answer repeats it:

       azc_put_json(&w, "ref", azc_json_get(request, "ref"));  // any JSON; null if there is none

   In the page: socket.send(JSON.stringify({ref: ++last, ask: "time"})), and a Map from each ref to
   the code that waits for it.

   THE PAGE'S SCRIPT. azc_add_client(server, "/azchan.js") serves a script of 2.5 KB that
   reconnects, notices dead links, matches replies and reports its state:

       <script src="/azchan.js"></script>              or: import "/azchan.js";
       const chat = new AzChannel("/chat");
       chat.on("joined", (message) => ...);            // {"type":"joined",...}
       chat.on(":state", ({state, seconds}) => ...);   // connecting, open, waiting, offline, closed
       chat.send({type: "say", text: "hi"});
       chat.request({ask: "time"}, {timeout: 3000}).then((reply) => ...);

   examples/pages/azchan.js describes each call and option, azchan.d.ts has the types. `new
   WebSocket` works as before, and a peer that does not opt in receives what it always received.

   The convention, for clients of your own. Messages are JSON objects. Types and members whose names
   begin with ":" are reserved, and so are the query arguments `azchan` and `since`. A peer ignores
   what it does not know of these. A program that passes on unread what peers wrote (azc_send_all as
   on_message, say) lets each of them send such messages to the others. Where peers opt in, build
   the messages that they get, as examples/chat.c does.

       azchan=1 in the query      the peer opts in
       {"type":":hello","ping_ms":30000,"pong_ms":10000}
                                  the first message to such a peer, before on_connect runs. After
                                  ping_ms without a message it sends {"type":":ping"}, these bytes.
                                  Without a message within pong_ms the link is dead. The values are
                                  those of azc_config; ping_ms 0: send no :ping
       {"type":":pong"}           answers :ping; on_message does not see either
       "ref"                      in a request, a number or a string of at most 64 bytes. A reply
                                  repeats it. A reply of type "error" fails the request; "code" says
                                  why. The server's own INVALID_JSON and INTERNAL_ERROR have the ref
                                  of the message on which on_message failed
       {"type":":users","room":"tea","all":["ada"]}
                                  who is in the room; "add" and "remove" change the list. These come
                                  from azc_send_users and azc_send_presence, to every peer
       "token"                    in the query: what the script's token function returned
       {"type":":room","room":"tea","id":1,"epoch":"5eed","serial":41,"fresh":true}
                                  the peer has joined a room with a history, and has its messages up
                                  to this serial. fresh: it must forget what it has of the room
       {":at":[1,42,3]}           the next 3 messages are those of the room with the id 1 from the
                                  serial 42 on
       since=5eed,44              in the query: the epoch and the newest serial that the peer has
                                  of each room, all joined by commas
       {"type":":gap"}            a message of a room was refused: reconnect

   RECOVERY. A room with a history (azc_set_history) numbers what it keeps, for peers that opt in;
   azchan.js does its part by itself. After a reconnect such a peer gets the kept messages that it
   missed, each once, in order, and before anything newer. If some of them are no longer kept, or
   the history is another one (the server was restarted, another process or thread serves the peer),
   it is told to forget what it has, and gets all that is kept. A peer that was refused a message
   because of its backlog (AZC_FULL_DROP) gets no later one of any history, but a :gap once it reads
   again, and azchan.js then reconnects. A message that excepted its sender is not replayed to that
   sender's user. Outside of this, and lost if they are missed, are private messages, values with a
   key, and rooms without a history, which are all rooms in fixed memory: azc_set_history says so.

   SENDS THAT ARE SAFE TO REPEAT. A page whose connection ended does not know whether its last
   message arrived. Let it give each message an id, and keep the id where the effect is kept: in the
   row of the database, or in the message that goes to the room's history. In examples/chat.c each
   page sees its own messages come back with their ids. After a reconnect it sends a request. The
   reply comes behind all that it missed, so it then sends again what has not come back. The server
   keeps no list of ids of its own: a list in memory is gone after the very restart that it is for.

   LIVE COMPONENTS. The server renders a part of the page as HTML, and the page sends back what its
   user does. The state of a component is here, in C; the page has no code for it.

       typedef struct counter { long count; } counter;

       static int counter_event(azc_live *live, const char *event, azc_json value) {
           counter *c = (counter *)azc_live_data(live);
           if (strcmp(event, "add") != 0) return AZC_ERR_APP;
           c->count++;                             // then it is rendered again
           return AZC_OK;
       }

       static void counter_render(azc_live *live, azc_html *html) {
           const counter *c = (const counter *)azc_live_data(live);
           azc_html_format(html, "<button live-click=add>%ld</button>", c->count);
       }

       azc_live_desc desc = {0};
       desc.name = "counter";
       desc.data_size = sizeof(counter);
       desc.on_event = counter_event;
       desc.on_render = counter_render;
       azc_add_live(azc_add_channel(server, &channel), &desc);
       azc_add_client(server, "/azchan.js");
       azc_add_live_script(server, "/azlive.js");

   The page. A component's id is that of its element, or else its name; a page has each id once.

       <script src="/azchan.js"></script>
       <script src="/azlive.js"></script>
       <div live="counter"></div>
       <script>new AzLive(new AzChannel("/counter"));</script>

   Elements inside of it name the events to send:

       live-click="add"           value: that of the element
       live-input="name"          value: of the field; for a checkbox, true or false
       live-submit="save"         on a form; value: an object of its fields. Then the form is reset
       live-key="move Up Down"    keydown, of these keys or of any; value: the name of the key

   When HTML comes, the script changes only what differs, so the focus, the cursor, and the value of
   the field that has the focus stay. In lists give each item an id: it then keeps its element when
   others come and go. The inside of a component within a component belongs to the inner one.

   A component is mounted when its element appears on the page, and unmounted when that goes. If the
   connection ends, the component waits for its page for grace_ms, with its state; a reload of the
   page is a new page. azc_live_refresh renders a component after a change that is no event of its
   own, azc_live_refresh_all all of one name, for state that they share: call it in on_event, or
   from azc_every. HTML equal to what the page has is not sent, nor is HTML that newer one overtook
   while the page was slow.

   The convention, on top of that of the page's script. Strings have at most 64 bytes.

       {"type":":mount","id":"a","name":"counter","key":"5eed...","args":{"step":"2"}}
                                  the element is on the page; args: its data-* attributes. key: 16
                                  bytes or more that no other page can guess. If the server has a
                                  component of this key, id, name and user (azc_set_user), the page
                                  gets that one; also from a connection that is still open, because
                                  its link may be dead
       {"type":":unmount","id":"a"}
                                  the element has gone
       {"type":":event","id":"a","event":"add","value":null}
       {"type":":html","id":"a","html":"<button..."}
                                  from the server: what the element must contain

   HISTORY AND LATEST VALUES. A dashboard's room replays its last minute to new members, and a slow
   viewer gets the newest value instead of a growing queue:

       azc_set_history(channel, "load", 60, 16 << 10);         // once

       azc_message m = {0};                                    // each second
       m.room = "load";
       m.key = LOAD;
       m.text = text, m.len = AZC_NUL;
       azc_send(channel, &m);

   For values that change faster than anyone can read, m.period_ms sends the latest once per period,
   and m.batch sends all of them as one array.

   MESSAGES OF ANY SIZE. azc_on_part delivers messages as they arrive. An upload:

       static int file_part(azc_conn *conn, const void *data, size_t len, int flags) {
           upload *u = azc_data(conn);
           if (flags & AZC_PART_FIRST) u->got = 0;
           if ((u->got += len) > MOST) return azc_close(conn, 1009, "larger than 64 MiB");
           ...write len bytes of data...
           return flags & AZC_PART_LAST ? azc_send_text(conn, "stored", AZC_NUL) : AZC_OK;
       }

   To send a file, send messages of some KiB from on_connect, and continue from each on_drain. Stop
   at half of max_backlog (128 KiB by default): on_drain comes when the backlog falls below that.

       static int file_more(azc_conn *conn) {
           char chunk[8192];
           for (size_t n; azc_backlog(conn) <= 128 << 10;) {
               if ((n = fread(chunk, 1, sizeof chunk, file_of(conn))) == 0)
                   return azc_close(conn, 1000, "all");
               azc_send_binary(conn, chunk, n);
           }
           return AZC_OK;
       }

   64 MiB take 512 bytes above an idle connection to receive, and 130 KiB to send (measured).

   REQUESTS WITH A BODY. An endpoint is a method of a path. Its handler runs once the body is whole,
   at most max_body of it. This one takes `curl -d text=Lunch http://127.0.0.1:4000/notes`:

       static int note_post(azc_conn *conn, void *userdata) {
           const char *text = azc_form(conn, "text");          // or azc_body: raw bytes, JSON
           if (text == NULL) return 400;
           azc_broadcast((azc_channel *)userdata, NULL, text, AZC_NUL, NULL);
           return 204;
       }

       azc_add_endpoint(server, "POST", "/notes", note_post, notes);

   A body of any size comes in parts, with azc_add_upload. The first part has no bytes and comes
   with the head, so you may refuse before anything is sent. If the body breaks off, the last call
   has AZC_PART_LOST:

       static int firmware_part(azc_conn *conn, const void *data, size_t len, int flags) {
           upload *u = (upload *)azc_data(conn);
           if (flags & AZC_PART_FIRST) u->file = fopen("firmware.new", "wb");
           if (u->file == NULL) return 500;
           size_t written = fwrite(data, 1, len, u->file);
           if (!(flags & (AZC_PART_LAST | AZC_PART_LOST)) && written == len) return AZC_OK;
           int failed = fclose(u->file) != 0 || written < len || flags & AZC_PART_LOST;
           return failed ? 500 : 204;
       }

       azc_add_upload(server, "PUT", "/firmware", firmware_part, sizeof(upload), NULL);

   Handlers of azc_use run with the head, before the body is read: refuse unknown peers there. A
   browser lets any site send forms to your server, so a request with an Origin that may not open
   channels gets 403 here too. Not included: multipart (let the page send a file as the body of a
   fetch), content codings and CORS.

   ANSWERS THAT TAKE TIME. A handler that has no answer yet keeps the number of the request. Later a
   timer, another callback or a posted task finds the request by its number and answers it. If the
   peer has left, azc_find returns NULL, and azc_reply does nothing:

       static int report_get(azc_conn *conn, void *userdata) {
           return job_start(azc_reply_later(conn)) ? AZC_OK : 503;
       }

       static void report_ready(azc_server *server, void *arg) {
           job *j = (job *)arg;
           azc_reply(azc_find(server, j->request), 200, "application/json", j->text, AZC_NUL);
       }

   A long answer goes out in parts, in flat memory. log_more is called whenever there is room, and
   once with room 0 at the end, whatever the end is:

       static int log_more(azc_conn *conn, size_t room, void *userdata) {
           char part[4096];
           FILE *file = (FILE *)userdata;
           if (room == 0) return fclose(file);
           size_t n = fread(part, 1, room < sizeof part ? room : sizeof part, file);
           return n > 0 ? azc_reply_part(conn, part, n) : azc_reply_end(conn);
       }

       static int log_get(azc_conn *conn, void *userdata) {
           FILE *file = fopen("/var/log/messages", "r");
           if (file == NULL) return 404;
           return azc_reply_begin(conn, 200, "text/plain", AZC_CHUNKED, log_more, file);
       }

   Server-sent events, for networks that block WebSocket upgrades, are an answer without an end.
   Keep the number of each page that asks, and send each event to all of them. Send a comment
   (":\n\n") now and then: only what is sent shows that a peer is dead (examples/notify.c).

       azc_reply_begin(conn, 200, "text/event-stream", AZC_CHUNKED, NULL, NULL);
       pages[count++] = azc_id(conn);

       azc_reply_part(azc_find(server, pages[i]), "data: lunch\n\n", AZC_NUL);

   FILES. A folder is served with what a front-end build put into it:

       azc_add_folder(server, "/", "www");

   /app.js is www/app.js, and / is www/index.html. Pages and handlers go before a folder, an upgrade
   goes to its channel, and of several folders the one with the longest path answers.

   Files are opened for each request, so a new build needs no restart. Replace the files in the
   folder, not the folder itself. Move each file into place (rename): if a file is cut short while
   it is sent, the connection is dropped.

   Nothing outside of the folder can be reached: symbolic links are not followed. Names that begin
   with a dot, and everything but regular files, are 404. There are no listings.

   If the browser accepts gzip, app.js.gz is sent in the place of app.js, also where it is the only
   one of the two. The server itself compresses nothing.

   Browsers keep files, but ask each time whether they have changed (ETag, Last-Modified; 304). If
   your build puts a hash into the names of its assets, let browsers keep them without asking:

       static int assets_cache(azc_conn *conn, void *userdata) {
           if (strncmp(azc_path(conn), "/assets/", 8) != 0) return AZC_OK;
           return azc_reply_header(conn, "Cache-Control", "max-age=31536000, immutable");
       }

       azc_use(server, assets_cache, NULL);

   A guard that compares azc_path protects a part of a folder only where each file has one name. On
   FAT and on macOS it has many (letter case, a dot at the end): keep secret files elsewhere.

   SLOW WORK. Do it in your own thread: keep the asking connection's azc_id, then post the result:

       azc_post(server, finished, job);        // in your thread, any number of times

       static void finished(azc_server *server, void *arg) {   // on the server's thread
           job *done = (job *)arg;
           azc_conn *conn = azc_find(server, done->asker);     // NULL: it has ended
           azc_send_text(conn, done->text, AZC_NUL);
           free(done);
       }

   A post that returned AZC_OK runs exactly once: in a turn soon after, or in azc_destroy. The posts
   of one thread keep their order, and the task sees what the thread wrote before it posted. At most
   64 run in a turn, so that peers are not starved. 256 can be queued (64 with AZCHAN_SMALL); beyond
   that azc_post returns AZC_ERR_FULL without blocking. End your threads before azc_destroy.

   OTHER DESCRIPTORS AND OTHER LOOPS. azc_watch adds a serial port, a pipe or any other descriptor
   to the loop. A program with its own loop calls azc_poll(server, 0) in each frame; one that owns
   the call of poll() puts our descriptors among its own:

       for (int alive = 1; alive > 0;) {
           int wait = 1000;                    // the longest that the program itself would wait
           size_t n = azc_poll_begin(server, fds + 1, 64, &wait);       // fds[0] is its own
           if (n > 64) n = 64;                 // better use a longer array: the rest starve
           if (poll(fds, (nfds_t)(1 + n), wait) < 0) n = fds[0].revents = 0;
           if (fds[0].revents != 0) my_input(fds[0].fd);
           alive = azc_poll_end(server, fds + 1, n);
       }

   FIXED MEMORY. A program without malloc names a block, and the server uses nothing else:

       static unsigned char memory[400 << 10];       // at least azc_memory_bound(&config)
       config.max_connections = 16;                  // and the other limits
       azc_server *server = azc_create_in(memory, sizeof memory, &config);

   Within the limits no call can run out of memory, whatever the order of calls: azc_join beyond
   max_rooms or max_memberships, a send beyond max_backlog and azc_watch beyond max_watched return
   AZC_ERR_FULL, azc_after beyond max_timers and azc_reply_later beyond max_answers return 0, and
   azc_reply_begin beyond max_answers returns AZC_ERR_MEMORY. The reason: azc_listen divides the
   block into slots, for each kind of object as many as can exist at once. A slot serves its own
   kind only, so nothing fragments. The kinds: connections; what they keep of their request (2.5
   max_request and max_data); a partial message (max_message) each; with max_body, a body and
   what is kept with it each; what max_answers keep of their requests (3.5 max_request and 1 KiB
   each); rooms with the longest name; memberships; timers; watched descriptors; and 1 KiB pieces
   of output, enough for max_backlog even if each wastes the length of a control frame, and for
   the answers to one read full of pings. Arrays have their final size at once. Broadcasts are
   copied to each output, not shared. History, latest values, rates and components need the heap:
   azc_set_history, azc_add_live, and azc_send with key or period_ms, return AZC_ERR_STATE.

   BEHIND A PROXY. azc_peer is the proxy's address, and its X-Forwarded-* fields are believed only
   if azc_trust_proxies lists that address. Then azc_peer is the last address in X-Forwarded-For
   that is not a trusted proxy's (203.0.113.7, 203.0.113.7:4711, 2001:db8::1, [2001:db8::1],
   [2001:db8::1]:4711, or one of these in double quotes; the port is dropped), max_per_address
   counts visitors, and an origin is compared with the last X-Forwarded-Host (without one: Host)
   and, if there is an X-Forwarded-Proto, with its scheme. From any other peer these fields are
   ignored. The proxy must overwrite -Host and -Proto, not pass them on. examples/deploy has
   configurations for nginx, Caddy and HAProxy. The PROXY protocol of balancers that forward TCP is
   not supported, and its header gets 400: let the balancer forward HTTP.

   A proxy may ask for pages with HTTP/1.0, as nginx does by default. A WebSocket needs HTTP/1.1
   and the fields Connection and Upgrade: a channel answers 426 without them, and HTTP/1.0 is named
   in the log.

   OTHER PROCESSES. A room's members may be spread over processes and machines, joined by a broker
   with publish and subscribe. on_publish sees each local broadcast: publish it, prefixed with this
   process's id. on_room reports a room's first member here and the departure of the last:
   subscribe, unsubscribe. Give what the broker delivers to azc_deliver, except messages with your
   own id, which were delivered at once. The broker's socket is one more in the loop (azc_watch);
   its pauses are timers. examples/cluster.c is all of that for Redis.

   What can be promised then, and cluster.c keeps: each member receives a message at most once. In
   its own process a message always arrives, within max_backlog. What one process sends to one room
   arrives in that order. Other processes miss messages sent while the broker is down or too slow,
   and those in flight when it dies. A room receives from others only once its subscription is
   active. Nothing is resent, because delivery is not acknowledged: if you need every message,
   number them and request the gaps.

   Each process numbers its histories itself, so a peer that returns to another process starts
   afresh there (see RECOVERY). A history holds what reached its process: stay subscribed to a room
   that keeps one, also when it is empty; and when the broker was away, forget it (azc_set_history
   with 0 messages, then again), so that nobody who returns takes it for complete.

   NATS fits the same seam: CONNECT, then SUB azchan.<room> <n>, UNSUB <n> and PUB azchan.<room>
   <bytes>; messages arrive as MSG. "echo":false in CONNECT replaces the id before each message. So
   does MQTT: SUBSCRIBE, UNSUBSCRIBE and PUBLISH at QoS 0 with the topic azchan/<room>, in version 5
   with No Local set. Percent-encode rooms whose names contain the broker's wildcards (* > and . in
   NATS, + # / in MQTT). A client library with its own threads hands messages over with azc_post.

   ALL CORES. A server in each thread, all with reuse_port on one port, uses all cores in one
   process; the kernel spreads the connections over them. on_publish hands a broadcast to the other
   threads, azc_post runs a task there, and the task calls azc_deliver. Each thread keeps its own
   history of all messages; counts, users and rates are those of one thread. examples/threads.c is
   all of that, with shared notes and a bound for a thread that is behind.

   GRACEFUL RESTART. Start the new process, then call azc_shutdown in the old one. No peer is
   refused if both use one socket (listen_fd) that systemd or another parent keeps open: connections
   that the old process does not accept wait for the new one. With reuse_port each process has its
   own queue; azc_shutdown accepts what is in it, but the kernel resets a peer that arrives between
   that and the close. The old process finishes its requests and closes its peers with 1001, one by
   one over the given time, so that their reconnects are spread too.

   ---- Reference ----

   LIMITS. Fields, units, defaults and what a peer gets beyond them: see azc_config.

   SLOW PEERS are served as long as they make progress: within the time of a deadline, the peer
   sends and takes 500 bytes a second on average. The deadlines of a ping, of a response and of a
   close then begin anew, and that of a body (handshake_ms). So a message or a body may arrive, a
   page may be read, and what was queued before azc_close may be sent, at any steady rate above
   that and however long it takes. An answer that takes time (azc_reply_later, azc_reply_begin)
   has no deadline, but the peer must take within handshake_ms what was sent to it, or make
   progress. A peer that sends or takes a byte now and then is dropped, within twice the time. A
   request head has handshake_ms in all, however steadily it comes, and after azc_stop no
   connection has more than close_ms.

   A peer takes a byte when its kernel acknowledges it. Linux (SIOCOUTQ), FreeBSD and NetBSD
   (FIONWRITE) report that. Over a slow network the acknowledgements come steadily. If the program
   itself reads slowly, its kernel acknowledges in steps, on Linux of up to 128 KB, and one must
   come within each deadline: with the default ones, 4 KB a second are enough in a channel, and
   16 KB for a page (measured). Where our kernel reports nothing, the server counts what it takes
   after it was full; if it buffers megabytes, the peer's progress comes in steps of megabytes. A
   proxy hides its peers in the same way: nginx reads nothing until it has sent a third of its
   buffer of up to 4 MB. So its peers need 60 KB a second, or its `listen` a smaller sndbuf.

   The kernel takes at most 16 KiB in advance (TCP_NOTSENT_LOWAT, on Linux and macOS), because
   nothing in it can be replaced. A viewer that reads 20 KB a second gets latest values that are 2 s
   old (measured). What its own kernel and each proxy buffer comes on top: 128 KB on Linux are 6 s.

   SECURITY. The server defends against: requests and frames that break their RFC (refused as soon
   as the offending byte arrives, with the status or close code for it); floods of sockets, slow
   sockets, fragments, pings, announced lengths and headers (memory and time stay within
   azc_config); readers that stall; cross-site use of a browser's session (origins: same host by
   default); room names chosen to collide (a seeded HalfSipHash); response splitting
   (azc_reply_header).

   The defaults: 127.0.0.1, so that nothing is open by accident; pages of the same host, so that no
   other site acts for its visitors; 8 KiB for a request head, more than browsers send, and 10 s, so
   that slow peers do not occupy connections (if all are taken, the oldest unfinished request makes
   room: see max_connections); pings, so that dead peers do not occupy them either. A peer can hold
   one max_message (or max_body, while it posts) and two max_backlog of memory, 576 KiB; and two
   max_backlog more, 1088 KiB in all, if it can join several rooms with a history. max_connections
   times that is the most, so lower these on a small board. In a channel with azc_add_live a peer
   can also hold 64 components; of those that have lost their page, max_waiting of each name are
   kept.

   Your program decides: who a peer is (on_upgrade sees cookies and headers: refuse there); what it
   may send, and how often (the rate of well-formed messages is not limited here; azc_close with
   1008 when it is too high); escaping of what you put into pages; max_per_address; TLS, by a proxy
   on the same machine. Browsers send cookies for pages of any site: with origins "*" check a token
   of your own as well. The default origin check compares names, and the owner of a name may point
   it at your machine (DNS rebinding), at 127.0.0.1 too: if peers have no token, name your origins.
   An IPv6 host has many addresses: max_per_address counts each of them.

   COMPILE-TIME OPTIONS, to define before the #include

     AZCHAN_IMPLEMENTATION   in one translation unit: the code
     AZCHAN_STATIC           declare and define all functions static; the compiler then drops unused
                             ones. -ffunction-sections with -Wl,--gc-sections does the same for the
                             linker. Either way a program pays only for the parts that it calls
     AZCHAN_USE_EPOLL        Linux: epoll instead of poll, for thousands of mostly idle
                             connections; poll pays for each of them at every wake
     AZCHAN_SMALL            1: leave out code that exists only for speed: payloads are unmasked
                             byte by byte, a busy turn calls the allocator, and AZC_ASSERT is
                             empty by default. Default: 1 with -Os, else 0
     AZC_SYS(call)           names the function used for each system call. Define it as my_##call to
                             bring your own transport, or to make calls fail in tests. my_ioctl may
                             always return -1: what send took then counts as taken by the peer
     AZC_ASSERT(x)           default assert(x)

   VERSIONS. AZCHAN_VERSION_* and azc_version. Until 1.0 a minor version may change names. From 1.0
   on a minor version may only add: functions, options, errors, and fields at the end of structs.
   Zero stays the default of every field, and the values of constants stay. CHANGES, at the end,
   lists the versions.

   RFC COVERAGE. 6455, except the client's side; extensions are never negotiated, so RSV bits are an
   error (1002). 9112 and 9110: GET, HEAD and OPTIONS; keep-alive and pipelining; targets in origin-
   form, absolute-form and asterisk-form; bodies by Content-Length and chunked, for the methods of
   azc_add_endpoint, with Expect (trailers are dropped, extensions of chunks ignored); no Date field
   (9110 6.6.1 exempts servers without a clock, as many boards are). HTTP/1.0 gets pages with
   Connection: close, and needs no Host field; higher minor versions are read as 1.1, other major
   versions get 505. 8259, with two documented limits: depth 64, and a \u escape that is half of a
   surrogate pair is refused. 3629 for all text, in and out. Upgrades over HTTP/2 (8441) and TLS are
   a proxy's job.

   PLANNING. Measured by `make bench` and `make plan` on one core of a small cloud machine (Intel
   Xeon, Linux) over loopback, where a send includes the receiver's work; cluster.c under load on
   another (AMD EPYC). Nearly all of the time is the kernel's. Measure on your machine; the
   arithmetic stays the same.

       a connection   310 bytes here, 4,400 in the kernel; its handshake 23 us
       kept alive     7.4 us for a ping and its pong, after each 30 to 37 s of silence
       a room         155 bytes with its first member, 49 for each further one
       a message      5.4 us: one poll, one recv and one send; 0.2 us in bursts of 32
       a broadcast    4.5 us and one send for each member; 0.24 us with 16 under way, which share
                      one
       each wake      0.17 us for each open connection with poll; nothing with epoll
       cluster.c      a message sent: 4 us here; in Redis 2.1 us, and 0.45 us for each process that
                      receives it (measured with 1, 3 and 6); there 0.5 us, and its members' share

   A chat: every user sends 64 bytes a minute, in a room of 20. Per second, a user costs 0.09 us for
   sending, 20/60 * 4.5 = 1.5 us for receiving and 0.2 us to be kept alive: 1.8 us, and 4.8 KB of
   memory, of which rooms are 54 bytes. One core at 70 % load serves 390,000 users.

         1,000 users  5 MB, 0.2 % of a core, and 0.3 % for poll: 17 wakes a second, 0.17 ms each.
                      One process on any board.
       100,000 users  480 MB, 0.2 of a core: one process, with AZCHAN_USE_EPOLL (the first limit is
                      poll's 1,700 wakes of 17 ms) and a descriptor limit above 100,000. The second
                      limit is everyone reconnecting at once: 2.3 s of handshakes, and TLS before
                      them. azc_shutdown over 30 s makes that 8 % of a core.
        10 million    48 GB, 18 cores at full load: 26 processes of 385,000 users, 1.9 GB each.
                      167,000 messages a second; a room of 20 spread at random is in 14 of 26
                      processes, so each message takes Redis 2.1 + 14 * 0.45 = 8.4 us: 1.4 cores,
                      while a Redis has one. That is the first limit, at 5 million users (70 %
                      again). Two Redis servers are enough, with rooms assigned by the hash of
                      their names and each process connected to both. Receiving takes a process
                      90,000 * 0.5 us per second, 5 %. Or let the proxy send each room to one
                      process, by its path: then there is no broker.

   A million idle connections to 51 processes on one machine (`make plan CONNECTIONS=1000000`, which
   had 20,000 descriptors a process) took 258 bytes each here and 4,052 in the kernel: 4.3 GB, and
   0.5 of a core for a ping every 20 s. A broadcast reached all of them in 8 s.

   One room for everyone is different: a message to 385,000 members takes their process 1.7 s, so
   fan-out is the limit, whatever the broker. Send once a second for all, batched. With threads.c
   each of two cores has half of the members, and 0.5 to 0.6 of the work.
*/
#if defined(AZCHAN_IMPLEMENTATION) && !defined(_DEFAULT_SOURCE)
#define _DEFAULT_SOURCE 1 /* POSIX under strict -std=c99, also on GNU/Hurd; must come before any
                             system header. Systems that do not know it ignore it */
#endif

#ifndef AZCHAN_H
#define AZCHAN_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#if defined(__GNUC__)
#define AZC__FORMAT_2 __attribute__((format(printf, 2, 3))) /* the second argument is a format */
#else
#define AZC__FORMAT_2
#endif

#ifndef AZC_API
#ifdef AZCHAN_STATIC
#if defined(__GNUC__)
#define AZC_API static __attribute__((unused))
#else
#define AZC_API static
#endif
#else
#define AZC_API extern
#endif
#endif

/* ==== [1] API: everything a program calls ===================================================== */

#define AZCHAN_VERSION_MAJOR 0
#define AZCHAN_VERSION_MINOR 2
#define AZCHAN_VERSION_PATCH 0

/* The version of the implementation, "0.2.0": a static string. Any thread. */
AZC_API const char *azc_version(void);

/* Errors are negative, AZC_OK is zero. One list, without gaps, makes the enum and azc_strerror. */
#define AZC_ERRORS(X)                                                                            \
    X(ARGUMENT, -1, "an argument is NULL, empty or out of range")                                \
    X(MEMORY, -2, "out of memory")                                                               \
    X(CLOSED, -3, "the connection is closed")                                                    \
    X(FULL, -4, "no room: past max_backlog or a buffer's end")                                   \
    X(STATE, -5, "not allowed at this moment")                                                   \
    X(PATTERN, -6, "bad path pattern")                                                           \
    X(CONFLICT, -7, "such a route exists")                                                       \
    X(ADDRESS, -8, "bad or unavailable address")                                                 \
    X(IN_USE, -9, "the port or socket path is in use")                                           \
    X(SYSTEM, -10, "a system call failed")                                                       \
    X(JSON, -11, "not valid JSON")                                                               \
    X(TYPE, -12, "a JSON value of another type")                                                 \
    X(RANGE, -13, "a number out of range")                                                       \
    X(UTF8, -14, "not valid UTF-8")                                                              \
    X(APP, -15, "the program's own error")

#define AZC__ENUM(name, value, text) AZC_ERR_##name = value,
enum { AZC_OK = 0, AZC_ERRORS(AZC__ENUM) AZC__ERR_END = -16 };
#undef AZC__ENUM

/* What an error code means: a static string, never NULL. Anywhere, any thread. */
AZC_API const char *azc_strerror(int code);

typedef struct azc_server azc_server;
typedef struct azc_channel azc_channel; /* a registered path and its connections */
typedef struct azc_conn azc_conn;       /* one peer; while its request is handled, that request */

/* A length that stands for strlen: azc_send_text(conn, "hi", AZC_NUL). Every call that takes bytes
 * and their length accepts it. A larger length, such as a negative int, returns AZC_ERR_FULL. */
#define AZC_NUL (SIZE_MAX / 2 + 1)

/* ---- Log ------------------------------------------------------------------------------------ */

/* Levels of the log. Each request that is refused, and each connection that ends with a close code
 * other than 1000, 1001 and 1005, has one line: who, what, why, and the field or call that would
 * change it. A line has no newline. Paths have no query in it, which may hold secrets. What peers
 * sent is ASCII: other bytes are \xHH, and a \ comes before " and \. */
enum {
    AZC_LOG_ERROR = 1, /* the program or the system is at fault: azc_error has the same words */
    AZC_LOG_WARNING,   /* a peer was refused, or did not get what it should */
    AZC_LOG_NOTICE,    /* each answered request, and each closed channel:
                              127.0.0.1 GET /chat 101 129B 0ms
                              127.0.0.1 WS /chat 1001 81s */
    AZC_LOG_DEBUG      /* each accepted connection, each message that AZC_FULL_DROP dropped */
};

/* ---- Server --------------------------------------------------------------------------------- */

/* Zero is always the default. Milliseconds: negative means never. */
typedef struct azc_config {
    const char *host;     /* numeric IPv4 or IPv6 address, "localhost", or "unix:/path". Default:
                             127.0.0.1; "0.0.0.0" or "::" (both families; on OpenBSD, which keeps
                             them apart, only IPv6) accept other machines.
                             A port may follow or stand alone, and replaces the field port:
                             "0.0.0.0:4000", "[::]:4000", "4000" */
    int port;             /* 0: the kernel picks one, and azc_port returns it */
    const char *origins;  /* pages that may open channels from a browser: space-separated origins,
                             like "https://a.example http://b.example:8080", or "*". In
                             "https://" "*.example" the star stands for one or more labels: not for
                             example itself. Default: http and https pages of the same host and port
                             as Host. Others get 403. A request without Origin is not a browser's
                             and passes (RFC 6455 10.2). An entry that no browser sends is an error:
                             one without a scheme or with ws:, with a path, slash or comma behind
                             it, or with the port that its scheme implies */
    int max_connections;  /* default: the process's fd limit less 16. Beyond it a newcomer takes the
                             place of the oldest connection whose first request is not whole; if
                             there is none, of the one that has been idle longest between two
                             requests. Connections in channels, and those that still wait for a
                             response or send one or a body, are not dropped: then newcomers wait in
                             the kernel's queue */
    int max_per_address;  /* connections of one IP address; default: no limit. More are closed at
                             once. A trusted proxy's own connections are not counted: behind it, a
                             visitor counts from an upgrade until that connection ends, not if the
                             upgrade is refused or answered otherwise, and one more gets 429 */
    size_t max_request;   /* bytes of a request head, 8 KiB, and 64 fields. Beyond it: 431; 414 if
                             the target alone is longer */
    size_t max_message;   /* bytes of a message in all its fragments, 64 KiB. Beyond it: 1009 */
    size_t max_backlog;   /* bytes queued and unsent per connection, 256 KiB; raised to hold one
                             max_message and a read's worth more. Beyond it: see
                             azc_channel_desc.when_full. Above half of it, or sooner if a
                             max_message would not fit, the peer is not read until its backlog
                             drains: its own echoes never exceed it */
    size_t read_buffer;   /* bytes, one per server, 64 KiB */
    int max_rooms;        /* rooms in use, of all channels together; default: no limit. Beyond it
                             azc_join returns AZC_ERR_FULL. A room that was left counts until the
                             callback ends. These count as rooms too: a room without members that
                             keeps history; each user of azc_set_user, and with on_presence each
                             room that a user is in; each target and key of azc_send for which a
                             period runs */
    int max_memberships;  /* connections in rooms, counted per room; the same */
    int handshake_ms;     /* for a whole request head, 10 s. Beyond it: 408 if one was begun. Also
                             how long a connection may be idle between two requests, and the time
                             within which a peer that reads a response, or what was queued before a
                             close, must make progress: see SLOW PEERS */
    int ping_ms;          /* a peer that was silent for this long is pinged, 30 s. The ping may be
                             late by a quarter of it: by default no connection is without traffic
                             for more than 37.5 s, and proxies end it after 60 s or more */
    int pong_ms;          /* the peer is dropped (1006) if within this, 10 s, no message and no pong
                             arrives whole and it makes no progress */
    int close_ms;         /* for the peer's Close frame and FIN, 3 s. Then it is dropped, unless it
                             makes progress with reading what was queued before */
    void (*log)(void *log_userdata, int level, const char *line); /* NULL: silent; azc_log_to
                             sets one that writes to a FILE. It may run in the middle of any call
                             and must call no function here on the server or its connections: those
                             that change something return AZC_ERR_STATE then, and cause no further
                             line. See AZC_LOG_WARNING */
    void *log_userdata;
    int log_level;        /* AZC_LOG_ERROR to AZC_LOG_DEBUG: lines up to this one. 0:
                             AZC_LOG_WARNING */
    int slow_ms;          /* with a log: a callback or task that takes this long, 500 ms, gets a
                             line, because no other peer is served meanwhile. The clock is read
                             after each callback for it */
    void *(*alloc)(void *alloc_userdata, void *ptr, size_t old_size, size_t new_size);
                          /* NULL: malloc, realloc, free. new_size 0 frees, ptr NULL allocates.
                             Nothing else in here allocates */
    void *alloc_userdata;
    size_t max_data;      /* only with azc_create_in: bytes of the largest data_size, 64 */
    size_t max_setup;     /* only with azc_create_in: bytes for the program's channels, pages and
                             handlers with their paths, 4 KiB. Beyond either azc_listen returns
                             AZC_ERR_MEMORY */
    int max_watched;      /* only with azc_create_in: descriptors of azc_watch at once, 8. Beyond it
                             AZC_ERR_FULL */
    int max_timers;       /* only with azc_create_in: timers of azc_after and azc_every at once, 8.
                             Beyond it they return 0 */
    int reuse_port;       /* 1: other processes of this user may listen there too (SO_REUSEPORT),
                             and the kernel distributes new connections among them */
    int listen_fd;        /* a socket to use instead of host and port; it belongs to the server once
                             azc_listen has succeeded. 0: none (to use fd 0, pass a dup() of it). A
                             listening socket, as systemd passes it (3) or inetd with wait; or a
                             connected one, as inetd with nowait: then azc_run serves that one peer
                             and returns when it has gone */
    int unix_mode;        /* permissions of the file of a "unix:" host, such as 0660, so that a
                             proxy of another user or group can connect. 0: as the umask leaves
                             them */
    size_t max_body;      /* bytes of a body for azc_add_endpoint, 64 KiB. Beyond it: 413, before it
                             is read. With azc_create_in there is no default, and 0 means no
                             endpoints and no uploads */
    int max_answers;      /* only with azc_create_in: answers at once that come later or in parts.
                             Beyond it AZC_ERR_MEMORY. There is no default: 0 means none */
} azc_config;

/* Create a server. Opens nothing but a pipe for azc_stop and azc_post. The seeds of the hash are
 * random; if there is neither getrandom nor /dev/urandom, config.log gets a line.
 *   config    copied; NULL: all defaults
 *   returns   NULL only when out of memory. azc_listen returns the error of a bad config: a port
 *             over 65535, a count below 0, a size of 1 GiB (max_message, max_backlog: a quarter of
 *             the address space), a bad entry of origins, which azc_error names
 *   call      any thread; the server then belongs to the one that polls it */
AZC_API azc_server *azc_create(const azc_config *config);

/* Close everything and free it. Posted tasks run first, then on_close (1001) for every open
 * connection.
 *   returns   AZC_ERR_STATE inside a callback (nothing happens); else AZC_OK, for NULL too
 *   fork      a child process should leave its parent's server alone: with AZCHAN_USE_EPOLL they
 *             share the epoll set, and the peers are the same. The path of a Unix socket stays
 *   cost      linear in what the server has: connections, rooms, timers and so on
 *   call      not in callbacks */
AZC_API int azc_destroy(azc_server *server);

/* Create a server that uses these bytes and nothing else: see FIXED MEMORY. config.alloc does not
 * matter; max_rooms is max_connections by default, and max_memberships twice that.
 *   memory,size  yours; free or reuse it after azc_destroy
 *   returns   as azc_create. NULL also if size is too small to begin with; azc_listen returns
 *             AZC_ERR_MEMORY if it is less than azc_memory_bound
 *   call      as azc_create */
AZC_API azc_server *azc_create_in(void *memory, size_t size, const azc_config *config);

/* The size that azc_create_in needs so that, within the limits of the config, no call runs out of
 * memory. 0 for a bad config, SIZE_MAX for more than there can be. */
AZC_API size_t azc_memory_bound(const azc_config *config);

/* Bind to config.host and config.port, and listen. A Unix socket that refuses connections is left
 * from a process that ended, and is replaced; of servers that start at once on one path, one gets
 * AZC_OK. azc_destroy removes the path if it still is this server's, and this process bound it.
 *   returns   AZC_OK (again, too) | the first error of azc_create, azc_use, azc_add_* |
 *             AZC_ERR_ADDRESS | AZC_ERR_IN_USE | AZC_ERR_SYSTEM; azc_error has the words
 *   cost      with azc_create_in: linear in the memory, else constant */
AZC_API int azc_listen(azc_server *server);

/* The port listened on; 0 before azc_listen and for Unix sockets. Anywhere. */
AZC_API int azc_port(const azc_server *server);

/* Where the server listens, as a line that a user can open: azc_url(server, "http", "/") is
 * "http://127.0.0.1:4000/", and for a Unix socket it is config.host. 0.0.0.0 and ::, which stand
 * for all addresses of the machine, become 127.0.0.1 and ::1.
 *   returns   never NULL; "" for NULL; valid until the next azc_url; at most 199 bytes
 *   call      after azc_listen */
AZC_API const char *azc_url(azc_server *server, const char *scheme, const char *path);

/* Call azc_listen, then azc_poll until azc_stop was called and every peer has gone.
 *   returns   AZC_OK after a stop | an error of azc_listen or azc_poll
 *   call      not in callbacks */
AZC_API int azc_run(azc_server *server);

/* One turn of the loop: see A BYTE'S WAY. EINTR ends the wait early and is no error.
 *   timeout_ms  longest wait; 0 does not wait, negative waits for the next event
 *   returns   1 running | 0 stopped, and every peer has gone | AZC_ERR_STATE inside a callback or
 *             before azc_listen | AZC_ERR_SYSTEM (poll failed; or accept failed for good, because
 *             somebody shut the listening socket down: that is logged, the open connections are
 *             served to their end, and then this is returned)
 *   cost      linear in the events and in the connections that they change; with poll, and not
 *             epoll, in all connections too
 *   call      not in callbacks; one thread */
AZC_API int azc_poll(azc_server *server, int timeout_ms);

/* Stop: accept no more peers and send 1001 to each open one; azc_run returns within close_ms.
 *   call      any thread, any callback, any signal handler; errno is kept */
AZC_API void azc_stop(azc_server *server);

/* Call azc_stop on SIGINT (Ctrl-C) and SIGTERM. azc_destroy restores what was set for the signals
 * before. Several servers may ask for it: a signal stops all of them.
 *   returns   AZC_OK | AZC_ERR_ARGUMENT | AZC_ERR_SYSTEM | AZC_ERR_STATE (in azc_destroy)
 *   call      from one thread at a time, as the azc_destroy of such servers. This is the only
 *             function here that touches signals and global state */
AZC_API int azc_stop_on_signals(azc_server *server);

/* Shut down gracefully, to make way for a new process: accept no more peers, finish requests, and
 * close the open channels' peers with 1001, one by one, spread evenly over the time.
 *   ms        after this, azc_stop ends the rest; azc_poll returns 0 earlier, once all have gone
 *   returns   AZC_OK | AZC_ERR_ARGUMENT
 *   call      anywhere; from a signal handler through azc_post */
AZC_API int azc_shutdown(azc_server *server, int ms);

/* The last error in words: the call or field, the value, and what is allowed ("path "chat": must
 * begin with /"). Every call that fails and has a server, channel or connection sets it,
 * except azc_post, which other threads may call. Before azc_listen it keeps the first error, which
 * azc_listen returns.
 *   returns   never NULL; valid until the next call that fails. server may be NULL */
AZC_API const char *azc_error(const azc_server *server);

/* Write the log to a file, usually stderr, as lines with time (UTC) and level. Call it after
 * azc_create: it also writes the error of a bad config. A flood does not fill a disk: at once 100
 * lines of errors and warnings and 10 a second from then on, and ten times that for notices and
 * debug; the next line says how many were left out.
 *   file      a FILE*, which stays open until azc_destroy
 *   level     AZC_LOG_ERROR to AZC_LOG_DEBUG; 0: AZC_LOG_WARNING. AZC_LOG_NOTICE logs each request
 *   returns   AZC_OK | AZC_ERR_ARGUMENT (server NULL is a failed azc_create, and is written too)
 *   call      anywhere */
AZC_API int azc_log_to(azc_server *server, void *file, int level);

/* Counters of this server. All only grow, except the first two. */
typedef struct azc_statistics {
    uint64_t connections, open;       /* now: of any kind; in channels */
    uint64_t accepted, opened;        /* ever: of any kind; in channels */
    uint64_t requests;                /* answered, refusals included */
    uint64_t gave_way, over_address;  /* dropped for a newcomer; over max_per_address */
    uint64_t messages_in, messages_out, bytes_in, bytes_out; /* bytes: on the wire, with heads */
    uint64_t dropped;                 /* messages refused because of max_backlog */
    uint64_t pauses;                  /* times reading was paused because of the backlog */
    uint64_t peak_backlog;            /* bytes, the most of any one connection */
    uint64_t closed[16], closed_app;  /* [c - 1000]: on_close codes 1000 to 1015; 3000 and up */
    uint64_t refused[200];            /* [s - 400]: with status s */
} azc_statistics;

/* Valid until azc_destroy; read it on the server's thread. NULL for NULL. */
AZC_API const azc_statistics *azc_stats(const azc_server *server);

/* ---- Tasks ---------------------------------------------------------------------------------- */

/* Runs on the server's thread, like a callback, and may do anything that callbacks may. */
typedef void (*azc_task)(azc_server *server, void *arg);

/* Run fn once in ms, or every ms, by the monotonic clock. Timers due in one millisecond run in the
 * order in which they were set. A timer never runs in the turn that set it. If turns take longer
 * than ms, azc_every skips missed ticks and stays on schedule.
 *   ms        0 or more; for azc_every 1 or more
 *   arg       kept, never touched; free it yourself: azc_destroy drops the timers that are left
 *   returns   a number for azc_cancel, never 0, and never used again among the next 2^40 timers; 0:
 *             no memory, a bad argument, or (with azc_create_in) beyond max_timers
 *   cost      setting, cancelling and running cost the same among any number of timers
 *   call      anywhere */
AZC_API uint64_t azc_after(azc_server *server, int ms, azc_task fn, void *arg);
AZC_API uint64_t azc_every(azc_server *server, int ms, azc_task fn, void *arg);

/* Cancel a timer.
 *   returns   AZC_OK | AZC_ERR_ARGUMENT (it was cancelled before, or has run: an azc_after has run
 *             once its fn begins)
 *   call      anywhere, including an azc_every's own fn */
AZC_API int azc_cancel(azc_server *server, uint64_t id);

/* Run fn on the server's thread: see SLOW WORK.
 *   arg       if this returned AZC_OK, what it points to belongs to the task
 *   returns   AZC_OK | AZC_ERR_FULL (the queue is full: nothing was queued) | AZC_ERR_ARGUMENT |
 *             AZC_ERR_STATE (inside azc_destroy, whose posted tasks are running already)
 *   call      any thread, any callback, any signal handler, from azc_create until azc_destroy
 *             begins (see THREADS for compilers without atomic builtins); errno is kept */
AZC_API int azc_post(azc_server *server, azc_task fn, void *arg);

/* Watch a descriptor of yours in the loop: fn runs in each turn in which it is ready.
 *   fd        stays yours: it is neither read, changed nor closed. Stop watching before you close
 *             it
 *   events    AZC_READ, AZC_WRITE or both. Call again to replace events or fn; 0 stops watching (fn
 *             and userdata do not matter; AZC_OK if it was not watched). fn receives the events
 *             that are ready; errors and hang-ups are AZC_READ. After these it must stop watching,
 *             or it is called in every turn: that is logged once a second
 *   returns   AZC_OK | AZC_ERR_ARGUMENT | AZC_ERR_FULL (with azc_create_in: max_watched; nothing
 *             has changed) | AZC_ERR_MEMORY | AZC_ERR_SYSTEM (epoll refuses a plain
 *             file or a closed descriptor; poll accepts all and reports them ready). After the last
 *             two the descriptor may be watched as before, or not at all
 *   cost      linear in the descriptors that are watched
 *   call      anywhere, fn included: a stopped fd is never reported again, not even in this turn */
enum { AZC_READ = 1, AZC_WRITE = 4 };
typedef void (*azc_watcher)(azc_server *server, int fd, int events, void *userdata);
AZC_API int azc_watch(azc_server *server, int fd, int events, azc_watcher fn, void *userdata);

/* A turn that waits in the program's own poll: see OTHER DESCRIPTORS AND OTHER LOOPS.
 *   fds,max   begin fills in at most max; pass end the same with their revents, or 0 of them after
 *             a poll that failed
 *   timeout_ms  in: how long the program would wait, negative for ever; out: that or less
 *   returns   begin: how many descriptors there are (if more than max, call again with a longer
 *             array); 0 inside a callback or before azc_listen. end: as azc_poll
 *   cost      as azc_poll
 *   call      as azc_poll; begin, poll and end, without another wait between them. With epoll there
 *             is one descriptor, the epoll's */
struct pollfd;
AZC_API size_t azc_poll_begin(azc_server *server, struct pollfd *fds, size_t max, int *timeout_ms);
AZC_API int azc_poll_end(azc_server *server, const struct pollfd *fds, size_t count);

/* ---- Channels ------------------------------------------------------------------------------- */

enum { AZC_FULL_CLOSE = 0, AZC_FULL_DROP = 1 };

/* All callbacks are optional; all run on the server's thread. Those that return int return AZC_OK,
 * or an AZC_ERR_*: see CALLBACKS. */
typedef struct azc_channel_desc {
    const char *path;         /* "/chat", "/rooms/:room_id", "/files/" "*rest". Literal segments
                                 take precedence over :params (never empty), and these over a
                                 trailing *rest (may be empty). Compared after percent-decoding */
    const char *subprotocols; /* "v2.chat, v1.chat", best first; the first that the peer offered
                                 too is chosen, else none (RFC 6455 4.2.2) */
    size_t data_size;         /* bytes of azc_data per connection, zeroed */
    void *userdata;           /* for azc_userdata; kept, never touched */
    int when_full;            /* AZC_FULL_CLOSE: a send beyond max_backlog closes (1013);
                                 AZC_FULL_DROP: it only returns AZC_ERR_FULL, and the newest
                                 message of each key waits: see azc_message */
    int (*on_upgrade)(azc_conn *conn); /* before the 101. AZC_OK accepts; an HTTP status refuses
                                 (401, 403, ...), or azc_reply with your own; else: 500 */
    int (*on_connect)(azc_conn *conn);
    int (*on_message)(azc_conn *conn, const char *text, size_t len);  /* valid UTF-8 */
    int (*on_binary)(azc_conn *conn, const void *data, size_t len); /* a channel with one of these
                                 closes on a message for the other (1003); one with neither, nor
                                 azc_on_part, ignores messages. Both are logged */
    int (*on_ping)(azc_conn *conn, const void *data, size_t len);     /* answered already */
    int (*on_pong)(azc_conn *conn, const void *data, size_t len);
    int (*on_drain)(azc_conn *conn);   /* the backlog fell below half of max_backlog, after it was
                                 above it or refused a message that fits when empty: send more */
    void (*on_close)(azc_conn *conn, int code, const char *reason); /* code and reason of the side
                                 that closed first. 1005: none given; 1006: dropped. reason is ""
                                 if there is none, never NULL */
    void (*on_error)(azc_conn *conn, int error); /* a callback above returned this, and the
                                 connection is still open */
} azc_channel_desc;

/* Register a channel.
 *   desc      copied
 *   returns   the channel, or NULL: azc_listen returns the error (AZC_ERR_PATTERN,
 *             AZC_ERR_CONFLICT, AZC_ERR_ARGUMENT, AZC_ERR_MEMORY); NULL after azc_listen
 *   cost      linear in the routes; so is the routing of each request
 *   call      before azc_listen */
AZC_API azc_channel *azc_add_channel(azc_server *server, const azc_channel_desc *desc);

/* Queue one text or binary message; the flush step of azc_poll sends it.
 *   text,len  UTF-8; any bytes for binary. Copied before the call returns
 *   returns   AZC_OK | AZC_ERR_FULL (beyond max_backlog: nothing is queued, and when_full decides
 *             the rest) | AZC_ERR_CLOSED | AZC_ERR_UTF8 | AZC_ERR_MEMORY | AZC_ERR_STATE (a
 *             request)
 *   cost      one copy of len bytes; no allocation while the output has room
 *   call      anywhere between on_connect and on_close
 *   RFC       6455 5.6 */
AZC_API int azc_send_text(azc_conn *conn, const char *text, size_t len);
AZC_API int azc_send_binary(azc_conn *conn, const void *data, size_t len);

/* Queue a ping of at most 125 bytes; on_pong receives the answer. Returns and call as
 * azc_send_text, but AZC_ERR_FULL has no consequences. RFC 6455 5.5.2 */
AZC_API int azc_ping(azc_conn *conn, const void *data, size_t len);

/* Close: what is queued is sent, then a Close frame; on_close runs in this turn.
 *   code      1000-1003, 1007-1014, 3000-4999, or 0 for a Close without one (1005)
 *   reason    at most 123 bytes of UTF-8, or NULL; copied
 *   returns   AZC_OK | AZC_ERR_ARGUMENT | AZC_ERR_UTF8 | AZC_ERR_CLOSED (it is closed already)
 *   cost      linear in the rooms of the connection
 *   call      anywhere from on_connect on
 *   RFC       6455 7.1, 7.4 */
AZC_API int azc_close(azc_conn *conn, int code, const char *reason);

/* Queue one text message, in a callback of conn: to everyone in its channel; to everyone but conn;
 * to the others in its room (the one it joined last, if it is in several). They take the arguments
 * of on_message, so each can be an on_message.
 *   returns   as azc_broadcast; also AZC_ERR_STATE: azc_send_room, if conn is in no room; the other
 *             two in a page's handler, where conn has no channel
 *   cost      as azc_broadcast
 *   call      anywhere */
AZC_API int azc_send_all(azc_conn *conn, const char *text, size_t len);
AZC_API int azc_send_others(azc_conn *conn, const char *text, size_t len);
AZC_API int azc_send_room(azc_conn *conn, const char *text, size_t len);

/* Queue one message to everyone in a room or channel; its frame is encoded once. azc_send does the
 * same and more, and counts.
 *   room      NULL: the whole channel
 *   except    a connection to leave out, or NULL
 *   returns   AZC_OK, even if nobody is there or a backlog is full | AZC_ERR_ARGUMENT |
 *             AZC_ERR_UTF8 | AZC_ERR_FULL (an impossible len) | AZC_ERR_MEMORY
 *   cost      linear in the members, each a copy of len bytes; from 1 KiB on one copy for all
 *   call      anywhere */
AZC_API int azc_broadcast(azc_channel *channel, const char *room, const char *text, size_t len,
                          const azc_conn *except);
AZC_API int azc_broadcast_binary(azc_channel *channel, const char *room, const void *data,
                                 size_t len, const azc_conn *except);

/* azc_backlog: what counts against max_backlog. That is the bytes queued and not yet taken by the
 * kernel, and for each message with a key the memory that it takes besides, 80 bytes or more.
 * Replays of azc_join do not count: see azc_set_history.
 * azc_dropped: messages to this connection that were refused with AZC_ERR_FULL, broadcasts
 * included; it stops at UINT32_MAX. Anywhere. */
AZC_API size_t azc_backlog(const azc_conn *conn);
AZC_API uint32_t azc_dropped(const azc_conn *conn);

/* A connection's number: never 0, never used again in this server's first 2^40 connections. Each
 * answer of azc_reply_later and azc_reply_begin gives it a new one. Anywhere. */
AZC_API uint64_t azc_id(const azc_conn *conn);

/* The connection of that number, if it is open in a channel or waits for the rest of an answer (see
 * azc_reply_later); else NULL. Anywhere. */
AZC_API azc_conn *azc_find(azc_server *server, uint64_t id);

/* The connection's data_size bytes, from on_upgrade on (NULL if 0); the desc's userdata; its
 * channel and server. For a request outside channels NULL, except that azc_data and azc_userdata
 * return those of azc_add_upload in its callback, and azc_userdata that of azc_add_endpoint.
 * Anywhere. */
AZC_API void *azc_data(azc_conn *conn);
AZC_API void *azc_userdata(const azc_conn *conn);
AZC_API azc_channel *azc_channel_of(const azc_conn *conn);
AZC_API azc_server *azc_server_of(const azc_conn *conn);

/* ---- Rooms ---------------------------------------------------------------------------------- */

/* Join or leave a room: a name in its channel, 1 to 255 bytes. A room exists while it has members.
 *   azc_join  AZC_OK, also if already in it | AZC_ERR_CLOSED | AZC_ERR_ARGUMENT | AZC_ERR_FULL
 *             (max_rooms, max_memberships; replays: see azc_set_history) | AZC_ERR_MEMORY (not
 *             joined) | AZC_ERR_STATE (a request)
 *   azc_leave AZC_OK, also if not in it | AZC_ERR_ARGUMENT | AZC_ERR_STATE
 *   cost      azc_join and azc_leave: linear in the rooms of the connection, or in the members of
 *             the room if these are fewer; a join also in the messages of the history.
 *             azc_leave_all: linear in the rooms
 *   call      anywhere; a connection that ends leaves all its rooms */
AZC_API int azc_join(azc_conn *conn, const char *room);
AZC_API int azc_leave(azc_conn *conn, const char *room);
AZC_API int azc_leave_all(azc_conn *conn);

/* The number of connections in a room, or with room NULL in the channel. Anywhere. */
AZC_API size_t azc_count(azc_channel *channel, const char *room);

/* Walk the connections of a room (room NULL: of the channel), or the rooms of a connection:
 *
 *     for (azc_cursor c = azc_members(channel, "lobby"); azc_cursor_next(&c);) greet(c.conn);
 *     for (azc_cursor c = azc_rooms(conn); azc_cursor_next(&c);) puts(c.room);
 *
 * Inside the loop you may do anything: send, close, join, leave, walk again. Connections that join
 * during the loop may or may not be visited; closing ones are not. A cursor is valid until the
 * callback returns; between polls, until the next azc_poll.
 *   cost      a walk is linear in the members, or in the rooms */
typedef struct azc_cursor {
    azc_conn *conn;
    const char *room; /* NULL for azc_members(channel, NULL) and azc_users(channel, NULL) */
    const char *user; /* set by azc_users */
    void *azc__next;
    int azc__kind;
    uint32_t azc__walk;
} azc_cursor;

AZC_API azc_cursor azc_members(azc_channel *channel, const char *room);
AZC_API azc_cursor azc_rooms(azc_conn *conn);
AZC_API int azc_cursor_next(azc_cursor *cursor); /* 1: the fields are set; 0: there is no more */

/* ---- Any message ---------------------------------------------------------------------------- */

struct azc_writer;

/* What azc_send takes; zero-initialise it. Exactly one of text, binary and json, and at most one of
 * room, user and to (none: the whole channel). */
typedef struct azc_message {
    const char *text;        /* UTF-8 of len bytes; copied, as all of this is */
    const void *binary;      /* any len bytes */
    struct azc_writer *json; /* azc_send calls azc_put_finish; len does not matter */
    size_t len;
    const char *room;        /* to the connections in this room, */
    const char *user;        /* of this user (see azc_set_user), */
    azc_conn *to;            /* or to this one, which must be of the channel */
    const azc_conn *except;  /* a connection to leave out; not with to */
    uint64_t key;            /* not 0: only the latest value of this key matters. A queued message
                                of the same key that the kernel has taken no byte of is replaced
                                in place. With AZC_FULL_DROP, the newest message of each key that
                                finds the backlog full waits until it is below half, and is queued
                                before on_drain, or before a Close. So the last value of a key
                                always arrives, unless the connection breaks or those that wait
                                exceed half of max_backlog: then it is refused (azc_dropped) */
    int period_ms;           /* not 0: at most once in so many ms. The first message is sent at
                                once; those of the same target and key within the period are held,
                                and the last one is sent when it ends (with a full backlog: see
                                key; a batch is then refused). The period of the first
                                message counts. Needs key or batch; not with to */
    int batch;               /* 1: what is held is sent as one JSON array, [a,b,c], sooner if it
                                would pass max_message. Each message must be JSON. Needs
                                period_ms; not with key, binary or except */
    int local;               /* 1: on_publish does not see it. Local messages form a batch of
                                their own */
    size_t *queued;          /* not NULL: receives for how many connections it was queued now, or
                                waits; 0 if azc_send fails */
} azc_message;

/* Queue any message to a room, a user, a connection or the channel:
 *
 *     azc_message m = {0};
 *     m.room = "load", m.key = LOAD, m.text = text, m.len = AZC_NUL;
 *     azc_send(channel, &m);
 *
 *   returns   AZC_OK, also when nobody is there or it is held | AZC_ERR_ARGUMENT (fields that
 *             exclude each other) | AZC_ERR_UTF8 | AZC_ERR_JSON | AZC_ERR_MEMORY | AZC_ERR_FULL
 *             (with period_ms: max_rooms) | AZC_ERR_STATE (key or period_ms with azc_create_in);
 *             with to as azc_send_text; with json as azc_put_finish
 *   cost      as azc_broadcast. A key adds the same for each connection, however many messages wait
 *   call      anywhere; what is held when azc_destroy is called is not sent */
AZC_API int azc_send(azc_channel *channel, const azc_message *message);

/* ---- Users ---------------------------------------------------------------------------------- */

/* Name the user that a connection belongs to: several connections (tabs, devices) may be one user.
 *   user      the program's name for the user, 1 to 254 bytes, copied
 *   returns   AZC_OK | AZC_ERR_STATE (it has a user, or is in a room already; a request) |
 *             AZC_ERR_CLOSED | AZC_ERR_ARGUMENT | AZC_ERR_FULL (as azc_join) | AZC_ERR_MEMORY
 *   cost      constant
 *   call      once per connection: in on_upgrade, where you know who asks, or later anywhere
 * azc_user returns the name, NULL if there is none; in every callback of the connection, on_close
 * included. */
AZC_API int azc_set_user(azc_conn *conn, const char *user);
AZC_API const char *azc_user(const azc_conn *conn);

/* Queue one text message to every connection that a user has in the channel. Returns as
 * azc_broadcast. Anywhere.
 *   cost      as azc_broadcast, for the user's connections */
AZC_API int azc_send_user(azc_channel *channel, const char *user, const char *text, size_t len);

/* Walk the users in a room, or with NULL in the channel, each once:
 *
 *     for (azc_cursor c = azc_users(channel, "lobby"); azc_cursor_next(&c);) puts(c.user);
 *
 * c.conn is one of the user's connections. All else as azc_members.
 *   cost      a walk: linear in the members and in all memberships of their users' connections */
AZC_API azc_cursor azc_users(azc_channel *channel, const char *room);

/* Have on_presence called when a user's first connection joins a room (present 1) and when the last
 * one leaves it or ends (present 0). Further tabs cause no call; connections without a user cause
 * none.
 *   returns   AZC_OK | AZC_ERR_ARGUMENT | AZC_ERR_STATE (after azc_listen)
 *   called    after the callback that caused it, in order; for changes made between polls, first in
 *             the next azc_poll. A change undone before then is not reported. When a connection
 *             ends, this may come before its on_close or after it. Everything is allowed in it;
 *             room and user are valid until it returns */
typedef void (*azc_presence_callback)(azc_channel *channel, const char *room, const char *user,
                                      int present);
AZC_API int azc_on_presence(azc_channel *channel, azc_presence_callback on_presence);

/* ---- History -------------------------------------------------------------------------------- */

/* A room keeps its last broadcasts, text and binary, and azc_join queues them to each new member:
 * all that it keeps, in order, before anything newer, without gap or repeat.
 *   messages  at most so many; 0 keeps none from now on
 *   bytes     and so many, with 2 to 10 of framing each: at least 2, at most half of max_backlog. A
 *             message larger than that is not kept, and drops all that came before it
 *   returns   AZC_OK | AZC_ERR_ARGUMENT | AZC_ERR_MEMORY | AZC_ERR_STATE (with azc_create_in)
 *   cost      linear in messages
 *   call      anywhere, from azc_add_channel on; again for other numbers
 * Such a room stays when it is empty. A replay does not count against max_backlog. All replays that
 * a connection has queued take at most twice max_backlog of memory: azc_join then returns
 * AZC_ERR_FULL. A connection with none queued can always receive one. After AZC_ERR_FULL or
 * AZC_ERR_MEMORY it has not joined, nothing was queued, and it stays open. A broadcast without
 * memory to keep it reaches no one. */
AZC_API int azc_set_history(azc_channel *channel, const char *room, size_t messages, size_t bytes);

/* ---- Messages in parts ---------------------------------------------------------------------- */

/* Have on_part take the channel's messages as they arrive, instead of on_message and on_binary.
 * Whatever a message's size, it needs no memory but the read buffer.
 *   data,len  the next bytes of the message, in the read buffer. A part of text may end inside a
 *             character, but the whole is UTF-8. Parts are cut where the network, the peer's
 *             fragments and read_buffer cut them. An empty message is one part without bytes
 *   flags     AZC_PART_FIRST and AZC_PART_LAST, both if it is the only part; AZC_PART_TEXT if the
 *             message is text
 *   returns   AZC_OK | AZC_ERR_ARGUMENT | AZC_ERR_STATE (after azc_listen; with azc_add_live)
 * AZC_PART_LOST is for azc_add_upload alone.
 * max_message does not apply: count, and azc_close(conn, 1009, ...) when it is too much. No part
 * comes after that, nor after the peer is gone: on_close is called.
 *   RFC       6455 5.4 */
enum { AZC_PART_FIRST = 1, AZC_PART_LAST = 2, AZC_PART_TEXT = 4, AZC_PART_LOST = 8 };
typedef int (*azc_part_callback)(azc_conn *conn, const void *data, size_t len, int flags);
AZC_API int azc_on_part(azc_channel *channel, azc_part_callback on_part);

/* ---- Proxies -------------------------------------------------------------------------------- */

/* Believe the X-Forwarded-For, -Proto and -Host fields of these peers: see BEHIND A PROXY.
 *   proxies   space-separated addresses and networks, like "127.0.0.1 10.0.0.0/8 ::1 unix"; copied
 *   cost      for each request of theirs: linear in the addresses of trusted proxies at the end of
 *             X-Forwarded-For, times the networks listed here; what is before them is not read
 *   returns   AZC_OK | AZC_ERR_ARGUMENT (kept for azc_listen) | AZC_ERR_MEMORY | AZC_ERR_STATE
 *             (after azc_listen) */
AZC_API int azc_trust_proxies(azc_server *server, const char *proxies);

/* ---- The page's script ---------------------------------------------------------------------- */

/* Serve azchan.js at this path, and greet the peers that use it: see THE PAGE'S SCRIPT. It has an
 * ETag, so that browsers load it again only if it has changed. Channels with on_part take :ping as
 * any message, so they send ping_ms 0.
 *   returns   as azc_add_handler
 *   cost      nothing for channels to which no such peer has come */
AZC_API int azc_add_client(azc_server *server, const char *path);

/* Queue the users in a room (NULL: in the channel) as :users messages, as many as they need. Call
 * it after azc_join. azc_send_presence queues each change to the room:
 *
 *     azc_on_presence(channel, azc_send_presence);
 *
 * Both are about this process: on_publish does not see them.
 *   returns   as azc_send_json; azc_send_presence does nothing without memory, or if a name is not
 *             UTF-8
 *   cost      as a walk of azc_users; as azc_broadcast
 *   call      as azc_send_text; as on_presence */
AZC_API int azc_send_users(azc_conn *conn, const char *room);
AZC_API void azc_send_presence(azc_channel *channel, const char *room, const char *user,
                               int present);

/* azc_join for a peer that says where it was in this room: see RECOVERY. The peer keeps `since`, as
 * "epoch,serial", from the room's last :room and :at. NULL or "": it wants all that is kept.
 * Without azc_add_client, or if the peer did not opt in, it is azc_join. */
AZC_API int azc_join_since(azc_conn *conn, const char *room, const char *since);

/* ---- Other processes ------------------------------------------------------------------------ */

/* The seam to a message broker, over which a channel's rooms span several processes: see OTHER
 * PROCESSES.
 *   on_publish  called for each broadcast of this process to the channel (room NULL) or a room,
 *             even without members here, once it is queued here. It runs inside that call: only
 *             read and pass on. data is valid until it returns, without a NUL behind text
 *   on_room     called when the first member here joins a room (present 1) and when the last one
 *             left (present 0). Called as on_presence is, and everything is allowed in it
 *   returns     AZC_OK | AZC_ERR_ARGUMENT | AZC_ERR_STATE (after azc_listen)
 * azc_deliver queues what came from elsewhere to the members here, unseen by on_publish. Returns
 * and call as azc_broadcast; binary 0: text
 *   cost      azc_on_room: linear in the rooms; azc_deliver: as azc_broadcast */
typedef void (*azc_publish_callback)(azc_channel *channel, const char *room, const void *data,
                                     size_t len, int binary);
typedef void (*azc_room_callback)(azc_channel *channel, const char *room, int present);
AZC_API int azc_on_publish(azc_channel *channel, azc_publish_callback on_publish);
AZC_API int azc_on_room(azc_channel *channel, azc_room_callback on_room);
AZC_API int azc_deliver(azc_channel *channel, const char *room, const void *data, size_t len,
                        int binary);

/* ---- What the peer asked -------------------------------------------------------------------- */

/* Strings of the request, percent-decoded UTF-8, or NULL if there is none of that name. A malformed
 * escape, an encoded NUL or bad UTF-8 in path or query never gets here: 400.
 *   azc_param    a parameter of the path pattern: "room_id" in "/rooms/:room_id"
 *   azc_query    an argument of the query string, the first of that name; "" without a value; '+'
 *             is a space
 *   azc_peer     the peer's address without port, "unix" for a Unix socket; never NULL
 *   azc_target   path and query as sent
 *   azc_subprotocol  the one chosen
 *   cost      azc_param and azc_query: linear in the request; azc_subprotocol: in the list
 *   call         in every callback of the connection; valid as long as it */
AZC_API const char *azc_param(const azc_conn *conn, const char *name);
AZC_API const char *azc_query(const azc_conn *conn, const char *name);
AZC_API const char *azc_peer(const azc_conn *conn);
AZC_API const char *azc_target(const azc_conn *conn);
AZC_API const char *azc_subprotocol(const azc_conn *conn);

/* Only while a request is handled (azc_use and page handlers, endpoints, on_upgrade, on_connect);
 * NULL later.
 *   azc_method   "GET"
 *   azc_path     the path, decoded, as routing compares it: "/admin" for "/%61dmin?x" and for
 *                "http://host/admin". Slashes sent as %2F are slashes here, and "..", "." and empty
 *                segments stay. "*" for OPTIONS *
 *   azc_header   a field's value by name, in any letter case; the first, if it is repeated
 *   azc_cookie   a cookie's value as sent
 *   cost      azc_header and azc_cookie: linear in the request head
 *   call         in those callbacks; the strings are valid until they return. RFC 9110, 6265 */
AZC_API const char *azc_method(const azc_conn *conn);
AZC_API const char *azc_path(const azc_conn *conn);
AZC_API const char *azc_header(const azc_conn *conn, const char *name);
AZC_API const char *azc_cookie(const azc_conn *conn, const char *name);

/* ---- Requests and pages --------------------------------------------------------------------- */

/* Returns AZC_OK to pass the request on, or an HTTP status (200 to 599) that answers it, with the
 * lines of azc_reply_header; anything else answers 500. After azc_reply the result does not matter:
 * see CALLBACKS. */
typedef int (*azc_handler)(azc_conn *conn, void *userdata);

/* Add a handler to the chain that every well-formed request passes before routing, in the order of
 * the calls. Returns AZC_OK | AZC_ERR_ARGUMENT | AZC_ERR_MEMORY | AZC_ERR_STATE (after
 * azc_listen) */
AZC_API int azc_use(azc_server *server, azc_handler handler, void *userdata);

/* Serve bytes, or what a handler replies, at GET and HEAD of a path. Paths are as for channels; a
 * page and a channel may share one. If no handler of azc_use has answered it, OPTIONS gets 204 with
 * the Allow field, and other methods get 405. Bytes have an ETag, and a browser that has it gets
 * 304 without a body. Their Cache-Control is no-cache, so that the browser asks each time and never
 * shows an old page; a handler of azc_use may set another with azc_reply_header.
 *   bytes     kept by address: they must stay in place, unchanged, until azc_destroy
 *   cost      azc_add_page: linear in len, for the ETag
 *   returns   AZC_OK | AZC_ERR_PATTERN | AZC_ERR_CONFLICT | AZC_ERR_ARGUMENT | AZC_ERR_MEMORY |
 *             AZC_ERR_STATE (after azc_listen) */
AZC_API int azc_add_page(azc_server *server, const char *path, const char *type,
                         const void *bytes, size_t len);
AZC_API int azc_add_handler(azc_server *server, const char *path, azc_handler handler,
                            void *userdata);

/* Answer the current request.
 *   status    200 to 599; from 400 on the connection ends after the answer
 *   type      Content-Type of at most 200 bytes, or NULL for none
 *   body,len  copied. 204, 205 and 304 are sent without type and body
 *   name      a token; not Content-Length, Content-Type, Transfer-Encoding, Trailer, TE, Upgrade,
 *             Connection, Keep-Alive, Proxy-Connection or Sec-WebSocket-*: those are azchan.h's own
 *   value     no control characters but tabs
 *   returns   AZC_OK | AZC_ERR_STATE (no request, or already answered) | AZC_ERR_ARGUMENT |
 *             AZC_ERR_FULL (a body beyond max_backlog; azc_reply_header: all lines together, each
 *             with 4 bytes for ": " and its end, beyond 1 KiB) | AZC_ERR_MEMORY
 *   cost      linear in len; azc_reply_header: in its strings
 *   call      in handlers and on_upgrade, azc_reply_header before azc_reply; azc_reply also for a
 *             request that azc_reply_later has put off
 * Pipelined requests wait while more than half of max_backlog is unsent. Their bytes stay in the
 * kernel, except for one read's worth of max_request at most. */
AZC_API int azc_reply(azc_conn *conn, int status, const char *type, const void *body, size_t len);
AZC_API int azc_reply_header(azc_conn *conn, const char *name, const char *value);

/* ---- Answers that come later, or in parts ---------------------------------------------------- */

/* Answer the current request later, with azc_reply or azc_reply_begin: see ANSWERS THAT TAKE TIME.
 * The handler returns AZC_OK; any other result answers the request as if this had not been called.
 * Until the answer, further requests of this connection wait, and no deadline runs. Call
 * azc_reply_header in the handler, not later. azc_peer, azc_target, azc_param and azc_query work
 * until the answer is whole. What azc_header, azc_cookie and azc_body returned is not valid later.
 *   returns   the number for azc_find, which returns NULL once the peer has left or the answer is
 *             whole. No other request has this number, also not of the same connection. 0: no
 *             request is at hand, it is answered, or there is no memory; azc_error has the words
 *   cost      keeps about 120 bytes, and the strings of the request
 *   call      in handlers, on_upgrade and the callback of azc_add_upload */
AZC_API uint64_t azc_reply_later(azc_conn *conn);

/* Answer the current request, or one of azc_reply_later, in parts. Until the answer is whole,
 * azc_find finds it by what azc_id(conn) returns after azc_reply_begin.
 *   len       bytes of the body, or AZC_CHUNKED if that is not known: then it is sent in chunks, or
 *             to HTTP/1.0 until the connection ends
 *   more      called with room for the next part: the most bytes that azc_reply_part takes now. It
 *             returns AZC_OK; anything else drops the connection. If it adds no part, it is called
 *             again only after an azc_reply_part that returned AZC_ERR_FULL. The last call has
 *             room 0, and comes once in every case (the answer is whole; the peer has left;
 *             azc_reply_begin failed, and then before that returns). Free userdata there, and do
 *             not use conn. If more is NULL, call azc_reply_part from timers, posts and other
 *             callbacks
 *   data,len  copied. At most what is left of the promised len. If max_backlog has no room for all
 *             of it, nothing is sent. len 0 does nothing
 *   returns   AZC_OK | AZC_ERR_STATE (azc_reply_begin: no request, or it is answered; the others:
 *             not begun, whole, or the request was HEAD) | AZC_ERR_CLOSED (the peer has left) |
 *             AZC_ERR_FULL | AZC_ERR_ARGUMENT | AZC_ERR_MEMORY. After an error of azc_reply_begin
 *             the request may still be answered, after one of azc_reply_part the part may be
 *             repeated
 *   cost      azc_reply_begin: as azc_reply_later; azc_reply_part: linear in len
 *   call      azc_reply_begin where azc_reply_later is allowed, and for a request that azc_find
 *             finds; the others from then on, anywhere
 * An answer of known length is whole with its last byte, others with azc_reply_end. If bytes of the
 * promised length are missing (AZC_ERR_STATE), or without memory, azc_reply_end drops the
 * connection, so that the peer notices the loss. After the FIN of the peer an answer goes on as
 * long as more adds parts; one that waits is dropped. RFC 9112 7.1 */
#define AZC_CHUNKED UINT64_MAX
typedef int (*azc_more_callback)(azc_conn *conn, size_t room, void *userdata);
AZC_API int azc_reply_begin(azc_conn *conn, int status, const char *type, uint64_t len,
                            azc_more_callback more, void *userdata);
AZC_API int azc_reply_part(azc_conn *conn, const void *data, size_t len);
AZC_API int azc_reply_end(azc_conn *conn);

/* ---- Requests with a body ------------------------------------------------------------------- */

/* Serve a method of a path: see REQUESTS WITH A BODY. The handler is as for azc_add_handler, and
 * runs once the whole body is here.
 *   method    "POST", "PUT", "PATCH" or "DELETE"; "GET" is azc_add_handler, and answers HEAD too
 *   path      as for azc_add_page. Each method has paths of its own: a path may also be a page, a
 *             channel and endpoints of other methods. OPTIONS, and the 405 for a method that the
 *             path does not have, name those that it has
 *   returns   as azc_add_handler; also AZC_ERR_STATE with azc_create_in and max_body 0
 *   cost      a request with a body keeps its head and the body so far; about 3 KiB besides
 * Refused, each with one answer, behind which the connection ends: 403 an Origin that may not open
 * channels; 413 a body over max_body; 501 a Transfer-Encoding other than chunked; 408 a body that
 * makes no progress within handshake_ms (see SLOW PEERS); 400 framing that breaks RFC 9112 6 or
 * 7.1, and an upgrade. A request that is answered before its body is read ends the connection, too:
 * the rest of the body is never taken for a request. */
AZC_API int azc_add_endpoint(azc_server *server, const char *method, const char *path,
                             azc_handler handler, void *userdata);

/* The body of an endpoint's request, with a NUL behind it that *len does not count.
 *   len       may be NULL
 *   returns   "" if there is none; NULL if no request is at hand, and once azc_form was called,
 *             which decodes the body in place
 *   call      in the endpoint's handler; valid until it returns */
AZC_API const char *azc_body(azc_conn *conn, size_t *len);

/* A field of a form (application/x-www-form-urlencoded), decoded as azc_query: the first of that
 * name.
 *   returns   NULL if there is none; for every name, if the Content-Type is another, or the form
 *             has over 64 fields, a bad % escape, a NUL, or is not in UTF-8: then the log line of
 *             the 400 that you return names the rule
 *   cost      linear in the body
 *   call      as azc_body */
AZC_API const char *azc_form(azc_conn *conn, const char *name);

/* Serve a method of a path whose bodies come in parts, at any size: max_body does not apply.
 *   on_part   called with AZC_PART_FIRST and no bytes once the head is here (azc_header(conn,
 *             "Content-Length") is the announced length, NULL if chunked), then with bytes as they
 *             arrive, and at last with AZC_PART_LAST, which may have bytes. The byte behind data is
 *             NUL. It must answer (azc_reply, or a status) by AZC_PART_LAST, and returns AZC_OK
 *             before. If it answers sooner, no call follows, and the connection ends behind the
 *             answer. AZC_PART_LOST: the body broke off, because the peer left, was too slow or
 *             broke a rule, or the server stops; no answer is possible, and no call follows
 *   data_size  bytes of azc_data, zeroed at AZC_PART_FIRST; the same in each part
 *   userdata  for azc_userdata
 *   returns   as azc_add_endpoint, but "GET" is an error, too
 *   call      what handlers may call about their request, on_part may call in each part; lines of
 *             azc_reply_header and cookies belong to the part that answers */
AZC_API int azc_add_upload(azc_server *server, const char *method, const char *path,
                           azc_part_callback on_part, size_t data_size, void *userdata);

/* ---- Logins --------------------------------------------------------------------------------- */

/* Answer the current request with the place to go to.
 *   status    303 (a GET, whatever the request was), 301 or 302 (where a GET's page is now), 307 or
 *             308 (the same method and body); 0: 303
 *   location  a URI reference ("/", "list?page=2"). Only printable ASCII: percent-encode the rest.
 *             Do not take it from the peer unchecked: "//other.example/" is another site
 *   returns   as azc_reply and azc_reply_header
 *   cost      linear in location
 *   call      as azc_reply
 *   RFC       9110 15.4, 10.2.2 */
AZC_API int azc_redirect(azc_conn *conn, int status, const char *location);

/* Set a cookie with the answer to the current request: for all paths of this host alone, invisible
 * to scripts (HttpOnly) and to requests of other sites (SameSite=Lax), and only for https (Secure)
 * if a trusted proxy says that the request came by it.
 *   name      a token. One that begins with "__" gets Secure, which browsers demand for __Host- and
 *             __Secure-
 *   value     printable ASCII without spaces and ",;\ (RFC 6265 4.1.1). NULL deletes the cookie
 *   max_age   in seconds; 0: until the browser is closed
 *   flags     AZC_COOKIE_*, or 0
 *   returns   as azc_reply_header
 *   cost      as azc_reply_header
 *   call      as azc_reply_header; the last one of a name counts
 *   RFC       6265 4.1 */
enum {
    AZC_COOKIE_STRICT = 1, /* SameSite=Strict: not with links from other sites, either */
    AZC_COOKIE_SECURE = 2, /* Secure in any case: for a proxy that is not trusted */
    AZC_COOKIE_SCRIPT = 4  /* no HttpOnly: the page's scripts may read it */
};
AZC_API int azc_set_cookie(azc_conn *conn, const char *name, const char *value, int max_age,
                           int flags);

/* Make a token that nobody can guess: size - 1 characters of A-Z a-z 0-9 - _, 6 random bits each.
 *   out,size  size is 23 (132 bits) to 257, and counts the NUL
 *   returns   AZC_OK | AZC_ERR_ARGUMENT | AZC_ERR_SYSTEM (the kernel has no random bytes, or has
 *             none yet, early at boot). After an error out is "", which azc_equal never accepts
 *   cost      linear in size
 *   call      anywhere */
AZC_API int azc_token(azc_server *server, char *out, size_t size);

/* 1 if a peer gave the secret, else 0. The time depends on the length of `given` only. An empty
 * secret equals nothing, and neither does NULL: an unset password or an unused session lets nobody
 * in.
 *   cost      linear in given
 *   call      any thread */
AZC_API int azc_equal(const char *secret, const char *given);

/* ---- Files ---------------------------------------------------------------------------------- */

/* Serve the files of a folder at GET and HEAD: see FILES. One Range is answered with 206 or 416,
 * also with If-Range; several at once, and malformed ones, with 200. A folder is 301 to its path
 * with a slash, and so is `path` without one. Other methods get 405, OPTIONS 204.
 *   path      ends with a slash; the rest is as for azc_add_page. It takes the routes of the pages
 *             "/docs" and "/docs/" "*path": AZC_ERR_CONFLICT if one of them exists
 *   folder    opened here, and kept open. It may be a symbolic link
 *   returns   as azc_add_page; also AZC_ERR_SYSTEM (azc_error says why it cannot be opened), and
 *             AZC_ERR_STATE with azc_create_in and max_answers 0
 *   cost      an open file for each answer that is not sent yet; beyond the process's limit: 503.
 *             Files of up to 4 KiB are read at once. Of a larger one, at most read_buffer bytes are
 *             in memory; on Linux none (sendfile). A slow disk stops the server meanwhile
 *   call      before azc_listen
 * Where off_t has 32 bits, a file of 2 GiB or more is 404; compile with _FILE_OFFSET_BITS=64. */
AZC_API int azc_add_folder(azc_server *server, const char *path, const char *folder);

/* Name the type of files with this extension, "glb" for "model/gltf-binary". Known are css, html,
 * js, json, svg, png, woff2 and more of what a web page needs; any other is
 * application/octet-stream.
 *   extension  without a dot, in lower case; copied. A known one gets the new type
 *   type      at most 200 bytes; copied
 *   returns   AZC_OK | AZC_ERR_ARGUMENT | AZC_ERR_MEMORY | AZC_ERR_STATE (after azc_listen)
 *   cost      each file's type is searched in the list of these */
AZC_API int azc_add_type(azc_server *server, const char *extension, const char *type);

/* ---- JSON ----------------------------------------------------------------------------------- */

enum {
    AZC_JSON_NONE = 0, /* absent: a missing member, an index beyond the end */
    AZC_JSON_NULL,
    AZC_JSON_BOOL,
    AZC_JSON_NUMBER,
    AZC_JSON_STRING,
    AZC_JSON_ARRAY,
    AZC_JSON_OBJECT
};

/* A value: a view into the text that was read, which must outlive it. Pass it by value. */
typedef struct azc_json {
    const char *text; /* its raw bytes, with quotes and escapes */
    size_t len;
    int type;
} azc_json;

/* Check a whole document and view it.
 *   returns   AZC_OK | AZC_ERR_JSON: doc->type is NONE and doc->len the offset of the bad byte |
 *             AZC_ERR_ARGUMENT | AZC_ERR_FULL (an impossible len)
 *   cost      linear in len
 *   call      any thread, as all of JSON
 *   RFC       8259; depth at most 64, no lone surrogates */
AZC_API int azc_json_read(azc_json *doc, const char *text, size_t len);

/* A member of an object (the last of that name); an element of an array. NONE if there is none.
 *   cost      linear in the length of value, for each call: azc_json_at in a loop over the elements
 *             is quadratic in what a peer sent. To visit all of them use azc_json_each */
AZC_API azc_json azc_json_get(azc_json value, const char *name);
AZC_API azc_json azc_json_at(azc_json value, size_t index);

/* The number of elements of an array or members of an object (a repeated name counts each time); 0
 * for any other value.
 *   cost      linear in the length of value */
AZC_API size_t azc_json_count(azc_json value);

/* 1 if the value is the string s, after decoding.
 *   cost      linear in the length of value */
AZC_API int azc_json_equals(azc_json value, const char *s);

/* Decode a string into buf and terminate it with NUL.
 *   returns   its length without the NUL | AZC_ERR_TYPE (buf is "") | AZC_ERR_FULL (buf holds the
 *             whole characters that fit). With buf NULL: only the length
 *   cost      linear in the length of value */
AZC_API int azc_json_string(azc_json value, char *buf, size_t size);

/* Numbers and booleans. int and uint refuse fractions and numbers that do not fit (1e2 is 100).
 *   returns   AZC_OK | AZC_ERR_TYPE | AZC_ERR_RANGE; after an error *out is 0
 *   cost      linear in the length of value */
AZC_API int azc_json_double(azc_json value, double *out);
AZC_API int azc_json_int(azc_json value, int64_t *out);
AZC_API int azc_json_uint(azc_json value, uint64_t *out);
AZC_API int azc_json_bool(azc_json value, int *out);

/* Walk an object or array: for (azc_json_iter i = azc_json_each(v); azc_json_next(&i);) ...
 *   cost      the whole walk is linear in the length of value */
typedef struct azc_json_iter {
    azc_json name; /* a string in objects, NONE in arrays */
    azc_json value;
    const char *azc__at, *azc__stop;
    int azc__object;
} azc_json_iter;

AZC_API azc_json_iter azc_json_each(azc_json value);
AZC_API int azc_json_next(azc_json_iter *iter);

/* Write JSON into your buffer:
 *
 *     char buf[256];
 *     azc_writer w = azc_put_begin(buf, sizeof buf);
 *     azc_put_string(&w, "type", "users");
 *     azc_put_int(&w, "count", 3);
 *     azc_send_json(conn, &w);                    // {"type":"users","count":3}
 *
 * A first put with a name opens the outermost object, which closes by itself. In arrays name is
 * NULL. After an error the other puts do nothing, and azc_put_finish returns it.
 *   cost      of each put: linear in the bytes of its name and value */
typedef struct azc_writer {
    char *text;      /* the JSON, NUL-terminated after azc_put_finish */
    size_t len;
    size_t azc__size;
    uint64_t azc__arrays; /* bit n: the container at depth n is an array */
    int azc__depth, azc__state, azc__failed;
} azc_writer;

AZC_API azc_writer azc_put_begin(char *buf, size_t size);
AZC_API void azc_put_string(azc_writer *w, const char *name, const char *s); /* NULL s: null */
AZC_API void azc_put_text(azc_writer *w, const char *name, const char *s, size_t len);
AZC_API void azc_put_int(azc_writer *w, const char *name, int64_t value);
AZC_API void azc_put_uint(azc_writer *w, const char *name, uint64_t value);
AZC_API void azc_put_double(azc_writer *w, const char *name, double value); /* reads back equal */
AZC_API void azc_put_bool(azc_writer *w, const char *name, int value);
AZC_API void azc_put_null(azc_writer *w, const char *name);
AZC_API void azc_put_json(azc_writer *w, const char *name, azc_json value); /* NONE: null */
AZC_API void azc_put_object(azc_writer *w, const char *name);
AZC_API void azc_put_array(azc_writer *w, const char *name);
AZC_API void azc_put_end(azc_writer *w); /* of the innermost azc_put_object or azc_put_array */

/* Finish the document.
 *   returns   AZC_OK: w->text holds w->len bytes of valid JSON | AZC_ERR_FULL (it did not fit) |
 *             AZC_ERR_UTF8 | AZC_ERR_RANGE (NaN, infinity, a double that a small libc's printf
 *             cannot write, depth over 64, a made-up azc_json) |
 *             AZC_ERR_STATE (a name missing or where none may be, an end too many or too few) */
AZC_API int azc_put_finish(azc_writer *w);

/* azc_put_finish, then send or broadcast as text. Returns the error of either.
 *   cost      as azc_send_text and azc_broadcast */
AZC_API int azc_send_json(azc_conn *conn, azc_writer *w);
AZC_API int azc_broadcast_json(azc_channel *channel, const char *room, azc_writer *w,
                               const azc_conn *except);

/* ---- Live components ------------------------------------------------------------------------ */

typedef struct azc_live azc_live; /* a component on one page; valid until its on_unmount returns */
typedef struct azc_html azc_html; /* writes HTML; valid until on_render returns */

/* A kind of component: see LIVE COMPONENTS. Zero-initialise it. Only name and on_render are
 * needed. */
typedef struct azc_live_desc {
    const char *name;  /* <div live="name">; at most 64 bytes */
    size_t data_size;  /* bytes of azc_live_data per component, zeroed; at most 1 GiB */
    int grace_ms;      /* how long a component waits for its page when the connection has ended, 30
                          s; negative: it does not */
    int max_waiting;   /* components of this name that may wait; default: max_connections. Beyond
                          it, or without memory for a timer, the oldest one is unmounted */
    int (*on_mount)(azc_live *live, azc_json args); /* args: the element's data-* attributes, as
                          strings. They are the page's word: check them. An error: not mounted */
    int (*on_event)(azc_live *live, const char *event, azc_json value); /* then it is rendered */
    void (*on_render)(azc_live *live, azc_html *html); /* write the HTML inside of the element, at
                          most half of max_backlog, as JSON. Change nothing here: it may run at any
                          time after on_mount, and also never */
    void (*on_unmount)(azc_live *live); /* exactly once after an on_mount that returned AZC_OK */
} azc_live_desc;

/* Register a kind of component in a channel. Its pages may mount at most 64 components for each
 * connection. Errors of on_mount and on_event are handled as those of on_message. The channel's own
 * on_message gets the messages that are not about components.
 *   desc      copied
 *   returns   AZC_OK | AZC_ERR_ARGUMENT | AZC_ERR_CONFLICT (the channel has the name) |
 *             AZC_ERR_MEMORY | AZC_ERR_STATE (after azc_listen; with azc_create_in; with
 *             azc_on_part)
 *   cost      the channel's messages are parsed twice; a mount or event: linear in the message and
 *             in the components of its connection, and a rendering
 *   call      before azc_listen */
AZC_API int azc_add_live(azc_channel *channel, const azc_live_desc *desc);

/* Serve azlive.js at this path, as azc_add_client serves azchan.js, which it needs. */
AZC_API int azc_add_live_script(azc_server *server, const char *path);

/* The component's data_size bytes (NULL if 0); its channel; its connection, NULL while it waits.
 * Anywhere. */
AZC_API void *azc_live_data(azc_live *live);
AZC_API azc_channel *azc_live_channel(const azc_live *live);
AZC_API azc_conn *azc_live_conn(const azc_live *live);

/* Render a component, or all of this name in the channel, and send what has changed. One that waits
 * is rendered when its page is back. A page that reads slowly gets the newest HTML, not all of it.
 *   returns   AZC_OK, also if a backlog is full: then that connection is closed (1013), and the
 *             page comes back for fresh HTML | AZC_ERR_FULL (HTML over half of max_backlog) |
 *             AZC_ERR_UTF8 | AZC_ERR_MEMORY | AZC_ERR_STATE (in on_render) | AZC_ERR_ARGUMENT (no
 *             such name; a pattern of azc_html_format). The first error of azc_live_refresh_all:
 *             it goes on with the others
 *   cost      a rendering, and a hash of the HTML; azc_live_refresh_all: that for each component of
 *             the name, and linear in all components of the channel
 *   call      anywhere but in on_render */
AZC_API int azc_live_refresh(azc_live *live);
AZC_API int azc_live_refresh_all(azc_channel *channel, const char *name);

/* Write HTML, in on_render.
 *   azc_html_put     markup, as it is: never what a user has typed
 *   azc_html_format  a pattern of markup, in which values take the place of %s (text, escaped for
 *             use between tags and in quoted attributes; NULL is ""), of %d, %ld and %lld. %% is a
 *             percent sign. Compilers check the values as those of printf. Other numbers: snprintf
 *             them, and use %s
 * Both take UTF-8. An error is kept, and azc_live_refresh returns it. */
AZC_API void azc_html_put(azc_html *html, const char *markup);
AZC_API void azc_html_format(azc_html *html, const char *pattern, ...) AZC__FORMAT_2;

#ifdef __cplusplus
}
#endif
#endif /* AZCHAN_H */

#if defined(AZCHAN_IMPLEMENTATION) && !defined(AZCHAN_IMPLEMENTED)
#define AZCHAN_IMPLEMENTED

/* ==== [2] PLATFORM: system headers, and all that differs between systems ====================== */

#include <arpa/inet.h>
#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/ioctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>
#ifdef __linux__
#include <sys/sendfile.h>
#endif
#ifdef AZCHAN_USE_EPOLL
#include <sys/epoll.h>
#endif

#if !defined(CLOCK_MONOTONIC) || !defined(AF_UNIX) || !defined(O_CLOEXEC)
#error "azchan.h: POSIX is hidden: include azchan.h before system headers where it is implemented"
#endif

/* Every system call goes through AZC_SYS, so that tests can make it fail. */
#ifndef AZC_SYS
#define AZC_SYS(call) call
#endif

#ifndef SO_REUSEPORT
#define SO_REUSEPORT (-1) /* missing or hidden: setsockopt fails, and azc_listen reports it */
#endif
#ifndef IPV6_V6ONLY
#define IPV6_V6ONLY (-1) /* missing: setsockopt fails, and "::" means what it does by default */
#endif

/* AZC__CLOEXEC: accept4, pipe2 and SOCK_CLOEXEC set close-on-exec at once, so that no child that
 * another thread starts meanwhile inherits the descriptor. Without them fcntl sets it afterwards.
 * Linux libraries have both functions, but may hide them: then they are declared here. */
#if defined(SOCK_CLOEXEC) &&                                                                     \
    (defined(__linux__) || defined(__USE_GNU) || defined(_NETBSD_SOURCE) ||                      \
     (defined(__BSD_VISIBLE) && __BSD_VISIBLE))
#define AZC__CLOEXEC 1
#define AZC__SOCK_FLAGS SOCK_CLOEXEC
#if defined(__linux__) && !defined(__USE_GNU) && !defined(_GNU_SOURCE) && !defined(__cplusplus)
extern int accept4(int fd, struct sockaddr *address, socklen_t *len, int flags);
extern int pipe2(int fds[2], int flags);
#endif
#else
#define AZC__CLOEXEC 0
#define AZC__SOCK_FLAGS 0
#endif

/* AZC__GETRANDOM: there is getrandom, which needs no /dev/urandom. */
#if defined(__has_include) && (defined(__linux__) || defined(__FreeBSD__))
#if __has_include(<sys/random.h>)
#include <sys/random.h>
#define AZC__GETRANDOM 1
#endif
#endif

/* A send to a connection that the peer has reset must not raise SIGPIPE. Most systems have a flag
 * of send for that, macOS an option of the socket. */
#ifdef MSG_NOSIGNAL
#define AZC__MSG_FLAGS (MSG_DONTWAIT | MSG_NOSIGNAL)
#else
#define AZC__MSG_FLAGS MSG_DONTWAIT
#endif
#ifdef SO_NOSIGPIPE
#define AZC__NOSIGPIPE SO_NOSIGPIPE
#else
#define AZC__NOSIGPIPE 0
#endif

/* The ioctl that returns how many bytes of a socket's send buffer the peer has not acknowledged; 0
 * if there is none. */
#if defined(__linux__) && defined(TIOCOUTQ)
#define AZC__UNACKED TIOCOUTQ
#elif defined(FIONWRITE)
#define AZC__UNACKED FIONWRITE
#else
#define AZC__UNACKED 0
#endif

/* Nanoseconds of a file's last change, behind the second. */
#ifdef __APPLE__
#define AZC__MTIME_NS(st) ((st)->st_mtimespec.tv_nsec)
#else
#define AZC__MTIME_NS(st) ((st)->st_mtim.tv_nsec)
#endif

/* AZCHAN_SMALL leaves out the code that exists only for speed. The default follows -Os. */
#ifndef AZCHAN_SMALL
#ifdef __OPTIMIZE_SIZE__
#define AZCHAN_SMALL 1
#else
#define AZCHAN_SMALL 0
#endif
#endif
#define AZC__FAST (!AZCHAN_SMALL)

/* Hints for the compiler:
 *   AZC__HOT    runs for every message: inline it
 *   AZC__RARE   does not: keep it out of line, so that the hot path keeps its registers
 *   AZC__ASIDE  the same; with AZCHAN_SMALL it may be inlined in its only caller
 *   azc__lane   the widest integer by which to unmask payloads; AZC__LANE_OR joins its words */
#if defined(__GNUC__)
#define AZC__RARE __attribute__((noinline))
#define AZC__PRINTF_3 __attribute__((format(printf, 3, 4))) /* a function's third argument is one */
#define AZC__PRINTF_4 __attribute__((format(printf, 4, 5)))
#define AZC__PRINTF_LIST __attribute__((format(printf, 3, 0))) /* its values come in a va_list */
#else
#define AZC__RARE
#define AZC__PRINTF_3
#define AZC__PRINTF_4
#define AZC__PRINTF_LIST
#endif
#if defined(__ATOMIC_ACQUIRE) && !AZCHAN_SMALL /* pcc calls itself GNUC, without all of it */
#define AZC__HOT inline __attribute__((always_inline))
#define AZC__ASIDE __attribute__((noinline))
typedef uint64_t azc__lane __attribute__((vector_size(16)));
#define AZC__LANE_OR(lane) ((lane)[0] | (lane)[1])
#else
#define AZC__HOT inline
#define AZC__ASIDE
typedef uint64_t azc__lane;
#define AZC__LANE_OR(lane) (lane)
#endif

#if !defined(AZC_ASSERT) && !AZCHAN_SMALL
#define AZC_ASSERT(x) assert(x)
#elif !defined(AZC_ASSERT)
#define AZC_ASSERT(x) ((void)0)
#endif

/* For variables that any thread or signal handler may change. An int: set it to 1, read it, add to
 * it. A pointer: set it, read it. A uint32_t: store it, load it, set it and return its old value,
 * replace it if it still has its old value. Compilers without these builtins (tcc, pcc) get plain
 * accesses: see THREADS in the manual. */
#ifdef __ATOMIC_ACQUIRE
#define AZC__RAISE(flag) __atomic_store_n(&(flag), 1, __ATOMIC_RELEASE)
#define AZC__RAISED(flag) __atomic_load_n(&(flag), __ATOMIC_ACQUIRE)
#define AZC__ADD(count, n) __atomic_add_fetch(&(count), n, __ATOMIC_ACQ_REL)
#define AZC__LINK(pointer, to) __atomic_store_n(&(pointer), to, __ATOMIC_RELEASE)
#define AZC__LINKED(pointer) __atomic_load_n(&(pointer), __ATOMIC_ACQUIRE)
#define AZC__STORE(number, to) __atomic_store_n(&(number), to, __ATOMIC_RELEASE)
#define AZC__LOAD(number) __atomic_load_n(&(number), __ATOMIC_ACQUIRE)
#define AZC__SWAP(number, to) __atomic_exchange_n(&(number), to, __ATOMIC_ACQ_REL)
#define AZC__REPLACE(number, was, to)                                                            \
    __atomic_compare_exchange_n(&(number), was, to, 0, __ATOMIC_RELAXED, __ATOMIC_RELAXED)
#else
#define AZC__RAISE(flag) (*(volatile int *)&(flag) = 1)
#define AZC__RAISED(flag) (*(volatile int *)&(flag))
#define AZC__ADD(count, n) (*(volatile int *)&(count) += (n))
#define AZC__LINK(pointer, to) ((pointer) = (to))
#define AZC__LINKED(pointer) (pointer)
#define AZC__STORE(number, to) (*(volatile uint32_t *)&(number) = (to))
#define AZC__LOAD(number) (*(volatile uint32_t *)&(number))
#define AZC__SWAP(number, to) ((*(volatile uint32_t *)&(number) = (to)), 0u) /* was it 1? maybe */
#define AZC__REPLACE(number, was, to)                                                            \
    ((number) == *(was) && (*(volatile uint32_t *)&(number) = (to), 1))
#endif

/* ==== [3] TYPES: every struct, so that the rest is functions ================================== */

/* Ownership. Each object is freed in one place:
 *
 *   azc_server          one per azc_create, freed by azc_destroy after everything below
 *     azc__route        a path with its azc_channel, azc__page or azc__endpoint: registered before
 *                       azc_listen, freed by azc_destroy
 *     azc_conn          one socket: freed in step 7 of a turn, after on_close
 *       azc__out        its output, a queue of azc__piece: each is freed once the kernel took it
 *       azc__in         a partly received request head or message: exists only while there is one
 *         azc__body     a request whose body is arriving: freed with its azc__in
 *       tail            the azc_data bytes and the strings of its request: freed after on_close
 *     azc__room         a name and its members: freed when nothing refers to it any more
 *       azc__member     one connection in one room: freed once it has left and no cursor is at it
 *       azc__history, azc__rate    what a room keeps: freed by their parts
 *     azc__task_slot    a timer of azc_after or azc_every: kept for the next one, freed by
 *                       azc_destroy
 *     azc__lives        what a channel has of LIVE: freed by azc_destroy
 *       azc_live        a component on a page: freed after on_unmount
 *     azc__watched      a descriptor of azc_watch: freed after the turn in which it was stopped,
 *                       unless azc_watch used it again
 *   azc__block          the frame of a large broadcast: counts the pieces and histories that refer
 *                       to it, and is freed with the last one
 *
 * Exactly one request is at work at a time, so azc__request is part of the server. */

/* Rooms, and memberships, are counted up to this: so a room's references fit 32 bits. */
#define AZC__MOST ((uint32_t)1 << 31)

enum {
    AZC__MAX_FIELDS = 64,       /* fields of a request head */
    AZC__FORM = AZC__MAX_FIELDS + 4, /* bytes by which a form may grow when it is decoded */
    AZC__CHUNK_LINES = 1024,    /* bytes of a chunk-size line, and of all trailers together */
    AZC__MAX_EXTRA = 1024,      /* bytes of header lines that azc_reply_header may add */
    AZC__OWN_EXTRA = 640,       /* bytes of header lines that the header adds itself */
    AZC__MAX_SUBPROTOCOL = 100, /* bytes of a subprotocol's name */
    AZC__MAX_TYPE = 200,        /* bytes of a Content-Type */
    AZC__EXTENSION = 15,        /* bytes of a file name's extension */
    AZC__DATE = 30,             /* bytes of an HTTP date, and its NUL */
    AZC__FOLDER_PATH = 200,     /* bytes of the path of a folder */
    AZC__FILE_WHOLE = 4096,     /* a file of so many bytes is read at once */
    AZC__SENDFILE = 1 << 20,    /* bytes of one sendfile, so that other peers have their turn */
    AZC__TAG = 19,              /* bytes of an ETag of ours: 16 hex digits in quotes, and a NUL */
    AZC__MAX_ROOM = 255,        /* bytes of a room's name */
    AZC__ERROR = 300,           /* bytes of azc_error, and its NUL */
    AZC__CLASSES = 7,           /* sizes of transient memory: see azc__heap_classes */
    AZC__FIRST_PIECE = 1,       /* class of an output's first piece: most answers fit */
    AZC__PIECE = 4,             /* smallest class of the pieces behind it */
    AZC__ONE_PIECE = 440,       /* bytes that fit any piece, except one that refers to others */
    AZC__FIXED_PIECE = 1024,    /* bytes of every piece in fixed memory */
    AZC__POOL = 1 << 20,        /* bytes of free transient memory kept for the next need */
    AZC__COPY = 256,            /* a message of a replay that is shorter is copied */
    AZC__SHARE = 1024,          /* a broadcast of this many bytes or more is shared, not copied */
    AZC__SHEET = 16384,         /* bytes of a sheet's piece, its struct included */
    AZC__SHEET_CONNS = 3,       /* a broadcast to as many connections or more goes on a sheet */
    AZC__SHEET_MOST = 4096,     /* a broadcast of this many bytes or more goes on none */
    AZC__SHEET_PART = 4096,     /* bytes of an output's piece on a sheet, before another follows */
    AZC__KEEP = 2048,           /* a static page of this many bytes or more is not copied */
    AZC__LARGE = 16384,         /* a message of this many bytes or more is sent at once, if the
                                   output is empty */
    AZC__MEMBERS = 21,          /* memberships that are allocated together */
    AZC__MAX_IOV = 16,          /* pieces of one sendmsg */
    AZC__HEADS = 64,            /* bytes for frame heads in what one read may answer */
    AZC__SLACK = 512,           /* bytes of max_backlog beyond max_message: reads go on meanwhile */
    AZC__MAX_READY = 256,       /* events of one epoll_wait */
    AZC__LISTEN = 4096,         /* connections in the kernel's queue. The kernel lowers it to its
                                   own limit; musl's SOMAXCONN is only 128 */
    AZC__MAX_ACCEPTS = 64,      /* newcomers a turn, a power of 4: a flood must not starve peers */
    AZC__MAX_POSTS = 64,        /* posted tasks per turn, for the same reason */
    AZC__POSTS = AZCHAN_SMALL ? 64 : 256, /* posted tasks that can wait; a power of 2 */
    AZC__DIGIT = 5,             /* bits of a timer's time that choose its slot in a level */
    AZC__SLOT_LAST = 31,        /* last slot of a level */
    AZC__WHEEL_LEVELS = 7,      /* 35 bits: more than the milliseconds of an int */
    AZC__RETRY_MS = 100,        /* pause after EMFILE, ENOBUFS and the like */
    AZC__UNSENT = 16384,        /* bytes that the kernel may hold unsent: see azc__listen_options */
    AZC__MAX_VICTIMS = 8,       /* connections to look at for one that makes room */
    AZC__MAX_CONTROL = 125,     /* payload bytes of a control frame, RFC 6455 5.5 */
    AZC__MAX_HEAD = 14,         /* bytes of a frame head */
    AZC__MAX_DEPTH = 64,        /* nesting of JSON */
    AZC__MAX_LIVE = 64,         /* components of a connection, and bytes of their strings */
    AZC__SLOT_BITS = 24,        /* low bits of an id: the slot; above them a serial number */
    AZC__SLOT_MASK = (1 << AZC__SLOT_BITS) - 1
};

/* ---- Memory ---- */

/* A free piece of memory, in a list of its size. */
typedef struct azc__spare {
    struct azc__spare *next;
} azc__spare;

/* A whole frame that several outputs and histories refer to. Its len bytes follow the struct. */
typedef struct azc__block {
    size_t refs, len; /* len 0: of a sheet, see there */
    uint64_t key; /* of azc_message, or 0 */
} azc__block;

/* The allocator of config. pool: where transient memory comes from first. */
typedef struct azc__mem {
    void *(*alloc)(void *userdata, void *ptr, size_t old_size, size_t new_size);
    void *userdata;
    struct azc__pool *pool;
} azc__mem;

struct azc__out;
struct azc__piece;

/* Transient memory that is free at the moment: of outputs, inputs and held messages. The server has
 * one pool, so that a busy turn does not call the allocator. */
typedef struct azc__pool {
    size_t class_size[AZC__CLASSES + 1]; /* bytes; the last is SIZE_MAX */
    azc__spare *spare[AZC__CLASSES];
    size_t bytes;         /* free in all lists: at most max_bytes, 0 after an idle wait */
    size_t max_bytes;     /* AZC__POOL; 0 in fixed memory, whose slots are a pool already */
    size_t piece_max;     /* payload bytes of one piece */
    uint32_t array_first; /* elements of a new array; it doubles when it is full */
    azc__block copies;    /* HISTORY: stands for the block of pieces that hold copies */
    void (*uncount)(struct azc__out *out, const struct azc__piece *piece, size_t n);
    uint32_t keyed_count; /* RATES: pieces in its table */
    uint32_t keyed_cap;   /* buckets, a power of 2 */
    struct azc__keyed **keyed;
    void (*unkey)(const azc__mem *mem, struct azc__piece *piece); /* remove from the table */
} azc__pool;

/* Fixed memory: the slots of one size. */
typedef struct azc__slots {
    size_t size;
    azc__spare *free;
} azc__slots;

/* Stands at the start of the memory of azc_create_in. */
typedef struct azc__fixed {
    unsigned char *next, *end; /* the bytes that no slot has taken yet */
    int kinds;                 /* used elements of slots; 0 until azc_listen */
    azc__slots slots[16];
} azc__fixed;

/* A multiple of its size is an aligned offset for every type. */
typedef union azc__aligned {
    long long i;
    double d;
    void *p;
} azc__aligned;

/* ---- Output ---- */

/* A message to send; the bytes are the caller's. */
typedef struct azc__payload {
    int opcode;
    const char *data;
    size_t len;
    uint64_t key;     /* of azc_message, or 0 */
    const char *call; /* of the program, for an error's words */
} azc__payload;

/* A message on its way to several connections: as a block or on the sheet, or (both NULL) to be
 * copied. */
typedef struct azc__cast {
    const azc__payload *payload;
    azc__block *block;
    const unsigned char *frame; /* on the sheet */
    size_t size;                /* of the frame */
    size_t most;                /* on the sheet: a backlog above this has no room for it */
    int referred;               /* an output refers to it */
} azc__cast;

/* A stretch of a connection's output. Its bytes follow the struct, or they are a block's, or (block
 * NULL, room 0) the sheet's or the program's: a static page. */
typedef struct azc__piece {
    struct azc__piece *next;
    const unsigned char *data; /* first unsent byte */
    size_t len;                /* unsent bytes */
    size_t room;               /* free bytes behind data + len */
    size_t size;               /* allocated bytes, this struct included */
    azc__block *block;         /* a reference to give back, or NULL */
    uint32_t lost;             /* what it counts besides its bytes: see azc__out_uncount */
    uint32_t kind;             /* 0, or one of these: the first two only with a block, the last only
                                  without */
} azc__piece;
enum { AZC__KEYED = 1, AZC__REPLAY, AZC__ON_SHEET };

/* RATES: a piece of the kind AZC__KEYED. A table finds it by its connection and key. */
typedef struct azc__keyed {
    azc__piece piece;
    const azc_conn *conn;
    struct azc__keyed *chain; /* in the hash bucket */
    uint32_t hash;
    uint32_t late;            /* it is in conn.late, whose first piece also has: */
    struct azc__keyed *late_last;
    size_t late_held;         /* memory of all late pieces */
} azc__keyed;

/* Bytes to send, in order. */
typedef struct azc__out {
    azc__piece *head, *tail;
    size_t bytes;   /* unsent, in all pieces */
    size_t apart;   /* bytes less apart is the backlog: replays do not count, and messages with a
                       key count more than their bytes, so that it may wrap below 0 */
    size_t replays; /* memory of the replays that are queued */
} azc__out;

/* ---- Input ---- */

/* A decoded frame head. */
typedef struct azc__frame {
    uint64_t len; /* payload bytes */
    unsigned char mask[4];
    uint8_t opcode, fin;
} azc__frame;

/* Where the search for the end of a request head stands between two reads. */
typedef struct azc__scan {
    uint32_t total; /* bytes so far */
    uint16_t lines; /* complete ones */
    uint8_t at;     /* the state: AZC__AT_START and so on, see HTTP */
} azc__scan;

/* A partly received request head, frame or message of a connection. */
typedef struct azc__in {
    unsigned char *data;      /* the head or message so far */
    size_t len, cap;          /* bytes of it; PARTS: len is 1 once a part was delivered */
    uint8_t in_frame, opcode; /* in_frame: between a frame's head and its end. opcode: of the
                                 message that has begun, 0 if none */
    uint8_t raw_len;
    uint32_t since;           /* frames: when this began, or a control frame came within it; ms */
    azc__frame frame;         /* whose payload is arriving */
    uint64_t remaining;       /* payload bytes of it still to come */
    uint32_t utf8;            /* azc__utf8's state at the end of the message so far */
    azc__scan scan;
    struct azc__body *body;   /* BODIES: it is arriving; data is the head of its request */
    size_t known;             /* BODIES: so many bytes of it come before anything else */
    unsigned char raw[AZC__MAX_CONTROL + 1]; /* raw_len bytes of a frame head, or the payload of a
                                                control frame */
} azc__in;

/* PARTS: decode and deliver a message as it arrives; see azc_channel.parts. */
struct azc__event;
typedef struct azc__parts_join {
    void (*decode)(azc__in *in, unsigned char *p, size_t n, uint64_t offset,
                   struct azc__event *event);
    void (*deliver)(azc_conn *conn, const struct azc__event *event);
} azc__parts_join;

/* The result of azc__decode. kind: an opcode, whose payload is data; 0, more bytes are needed; or
 * the negative close code with which the connection fails. */
typedef struct azc__event {
    int kind;
    unsigned char *data;          /* in the read buffer or in azc__in; one byte behind it is
                                     writable */
    size_t len;
    int flags;                    /* of on_part */
    const azc__parts_join *parts; /* in: the channel's; NULL: deliver whole messages */
    const char *why;              /* kind is negative: the rule that the peer broke */
} azc__event;

enum { AZC__OP_MORE = 0, AZC__OP_TEXT = 1, AZC__OP_BINARY = 2, AZC__OP_CLOSE = 8, AZC__OP_PING = 9,
       AZC__OP_PONG = 10 };

/* ---- Requests ---- */

/* A header field: both strings are in the request head, NUL-terminated there. */
typedef struct azc__field {
    char *name, *value;
} azc__field;

/* A path pattern. Each segment in text begins with its kind, a letter that sorts by precedence;
 * then come the literal or the parameter's name. */
enum { AZC__LITERAL = 'a', AZC__PARAM = 'b', AZC__REST = 'c' };
typedef struct azc__route {
    struct azc__route *next; /* in order of precedence: the first match is the best */
    char *text;              /* segments, each NUL-terminated; an empty one ends them */
    size_t size;             /* allocated bytes, this struct included */
    void *target;            /* azc_channel, azc__page or azc__endpoint; owned */
    size_t target_size;      /* allocated bytes */
} azc__route;

/* An address in network order. family: AF_INET (4 bytes of raw), AF_INET6, or 0, a Unix socket. */
typedef struct azc__visitor {
    uint8_t family;
    unsigned char raw[16];
} azc__visitor;

/* The addresses that begin with the same bits. */
typedef struct azc__network {
    azc__visitor address;
    uint8_t bits;
} azc__network;

/* The request that is being answered. Its strings are in the request head, NUL-terminated there,
 * and valid until the answer is queued. */
typedef struct azc__request {
    char *method, *target;
    const char *host;     /* the authority: of Host, or of an absolute target */
    size_t host_len;
    uint8_t body;         /* Content-Length is over 0 */
    uint8_t chunked;      /* there is a Transfer-Encoding */
    uint8_t upgrade, keep_alive, head_only, answered;
    uint8_t http10;       /* the version is 1.0 */
    uint8_t last;         /* the peer will send no other: it has no body and asks for a close */
    char *path;           /* path_len bytes, still percent-encoded */
    char *query;          /* still percent-encoded; NULL if there is none */
    size_t path_len;
    const azc__route *route;
    const char *segments; /* count segments of the path, decoded, each NUL-terminated */
    int count;
    size_t extra_len;     /* bytes of azc_reply_header's lines in extra; if an answer does not fit,
                             the 503 in its place has these only */
    size_t all_len;       /* bytes in extra: extra_len, and the header's own lines */
    int field_count;
    int status;           /* of the answer */
    const char *why;      /* for the log: why it is refused; NULL: the program said so */
    const char *allow;    /* the Allow field of a 405 */
    char *cookies;        /* as pairs; NULL until azc_cookie is called */
    char *decoded;        /* the path; NULL until azc_path is called */
    size_t sent;          /* bytes of the answer */
    azc__visitor visitor; /* the peer, or the address that a trusted proxy forwards */
    struct azc__body *waits; /* BODIES: the answer waits for this body; NULL: it does not */
    uint8_t later;        /* ANSWERS: it is answered later: no log line yet */
    uint8_t parts;        /* ANSWERS: the body follows in parts, whose framing is in extra */
    uint8_t proxied;      /* the peer is a trusted proxy */
    char scheme;          /* forwarded: 's' for https, 'p' for http; 0: not forwarded */
    azc__field fields[AZC__MAX_FIELDS];
    char extra[AZC__MAX_EXTRA + AZC__OWN_EXTRA]; /* header lines of the answer */
} azc__request;

/* A page. With bytes of the program, the handler is azc__page_bytes. */
typedef struct azc__page {
    azc__route *route;
    azc_handler handler;
    void *userdata;
    const void *bytes;
    size_t len;
    const char *type;
    char tag[AZC__TAG]; /* the ETag of the bytes */
} azc__page;

/* BODIES: a method of a path. */
typedef struct azc__endpoint {
    azc__route *route;
    azc_handler handler; /* NULL: the body is delivered in parts, to: */
    azc_part_callback on_part;
    void *userdata;
    size_t data_size;    /* rounded up */
} azc__endpoint;

/* ANSWERS: an answer that is not whole. What azc__strings returns follows it; then the method and,
 * for an answer that comes later, the header lines with which it begins. */
typedef struct azc__answer {
    void (*more)(azc_conn *conn);   /* the output has room: go on. Called once for each time that
                                       conn->drain was set */
    void (*end)(azc_conn *conn);    /* it is over, or its connection is: free it */
    int (*reply)(azc_conn *conn, int status, const char *type, const void *body, size_t len);
                                    /* as azc_reply, for one that comes later; NULL: its head was
                                       sent */
    void (*failed)(azc_conn *conn, const char *name, int result);
                                    /* its handler has returned an error: nobody may wait */
    azc_more_callback callback;     /* of azc_reply_begin, with userdata; NULL: none, or it has got
                                       its last call */
    void *userdata;
    const azc__route *route;
    const char *method;
    uint64_t left;                  /* bytes of its body that were promised, or AZC_CHUNKED */
    uint64_t at;                    /* FILES: the offset of the next byte */
    int fd;                         /* FILES: of the file */
    size_t size;                    /* allocated bytes, this struct included */
    size_t extra_len;
    size_t owed;                    /* bytes that the peer had not taken at the last look */
    uint8_t keep_alive, head_only, http10, chunked;
    uint8_t whole;                  /* its last byte is queued; `end` comes when no callback runs */
} azc__answer;

/* FILES: a folder that is served. */
typedef struct azc__folder {
    struct azc__folder *next;
    int fd;
    int depth; /* segments of a path before those of a file */
} azc__folder;

/* FILES: a type of azc_add_type, which follows the struct. */
typedef struct azc__type {
    struct azc__type *next;
    size_t size; /* allocated bytes, this struct included */
} azc__type;

/* FILES: what a path names. */
typedef struct azc__found {
    const char *name;
    struct stat st; /* of name, or (packed) of name.gz */
    int packed;
} azc__found;

/* How much of a body has come. Pure, see azc__body_decode. */
typedef struct azc__framing {
    uint64_t left;  /* bytes of the body, or of this chunk; or of the chunk-size so far */
    uint32_t line;  /* bytes of this chunk-size line, or of the trailers */
    uint8_t state;  /* AZC__BODY_WHOLE and so on, see BODIES */
} azc__framing;

/* BODIES: a request whose body is arriving. azc_data follows, and then what its callbacks find in
 * the scratch: the strings and the decoded segments of the path. */
typedef struct azc__body {
    azc__request request; /* as the head left it, up to extra_len bytes of extra */
    azc_conn *conn;
    const azc__endpoint *endpoint;
    void (*end)(struct azc__body *body); /* azc__in_free calls it */
    unsigned char *data;  /* of a body that is kept whole */
    size_t len, cap;
    size_t max;           /* it will have at most so many bytes */
    size_t size;          /* allocated bytes, this struct included */
    size_t strings_len, segments_len;
    azc__framing framing;
    uint8_t lost;         /* call on_part with AZC_PART_LOST if the body ends now */
    char *form;           /* as pairs; NULL until azc_form is called */
    const char *why;      /* the form is refused for this reason, or NULL */
} azc__body;

/* A handler of azc_use; freed by azc_destroy. */
typedef struct azc__use_link {
    struct azc__use_link *next;
    azc_handler handler;
    void *userdata;
} azc__use_link;

/* ---- Rooms ---- */

/* One connection in one room, in a doubly linked list of each. After a leave conn is NULL and the
 * next pointers stay, so that a cursor that is at this member still finds its way. */
typedef struct azc__member {
    azc_conn *conn;
    struct azc__room *room;
    struct azc__member *next, *prev;           /* in the room's list */
    struct azc__member *next_room, *prev_room; /* in the connection's list */
} azc__member;

/* Members are allocated in groups; all groups are freed when no member is in use. */
typedef struct azc__member_group {
    struct azc__member_group *next;
    azc__member member[AZC__MEMBERS];
} azc__member_group;

/* An entry of the server's hash table. Most are rooms of the program. The others are found by names
 * that no program can give, since they begin with a NUL:
 *
 *   channel NULL    an address; count is its connections, for max_per_address
 *   "\0ada"         the user ada of azc_set_user; the members are ada's connections
 *   an azc__pair    USERS and RATES: something that belongs to a room and a user, or a room and
 *                   a key
 */
typedef struct azc__room {
    struct azc__room *chain; /* in the hash bucket */
    azc_channel *channel;
    azc__member *first;
    uint32_t hash;
    uint32_t count;   /* members */
    uint32_t refs;    /* from members (also those in limbo), pairs, a history, the list of news; the
                         room is freed when it is 0 */
    uint32_t len;     /* bytes of the name, which follows the struct, NUL-terminated */
    uint8_t pair;     /* the name is an azc__pair */
    uint8_t notify;   /* NEWS: call on_room or on_presence when it gets its first member or loses
                         the last one */
    uint8_t reported; /* NEWS: whether it had members at the last such call */
    uint8_t queued;   /* NEWS: it is in the server's list */
    uint32_t walk;    /* of a user: the newest azc_users that met it, and then: */
    union {
        struct azc__room *next_news;
        const azc_conn *visit; /* the connection at which that one stops; NULL once it has */
    } u;
    union {
        struct azc__history *history; /* of a room: NULL, it keeps none */
        struct azc__rate *rate;       /* of a pair of RATES */
    } keeps;
} azc__room;

/* The name of an entry that belongs to other rooms; it holds a reference to each.
 *
 *   AZC__SEAT         a user in a room: counts the user's connections there, so that on_presence
 *                     is called for the first and the last one only
 *   AZC__RATE         messages to a room, a user (both in `room`) or the channel (NULL), sent at a
 *                     rate: the messages of one key, or a batch (key 0)
 *   AZC__LOCAL_BATCH  a batch of messages that on_publish must not see
 */
enum { AZC__SEAT = 1, AZC__RATE, AZC__LOCAL_BATCH };
typedef struct azc__pair {
    unsigned char kind[8]; /* 0, 0, and one of the above */
    azc__room *room, *user;
    uint64_t key;
} azc__pair;

/* ---- The loop ---- */

/* A descriptor that the loop waits for; the first field of each struct that has one. */
typedef struct azc__source {
    int fd;
    int at;               /* index in the server's poll arrays; -1: not watched */
    uint8_t kind, events; /* one of the kinds below; the events that are waited for */
    uint8_t stuck;        /* the kernel took nothing although poll said it would: see azc__retry */
} azc__source;
enum { AZC__WAKE, AZC__LISTENER, AZC__CONN, AZC__WATCHED };
/* The bits of poll, or epoll. Errors and hang-ups are handled as READ: a read returns the cause. */
#ifdef AZCHAN_USE_EPOLL
enum { AZC__EVENT_READ = EPOLLIN, AZC__EVENT_WRITE = EPOLLOUT };
#else
enum { AZC__EVENT_READ = POLLIN, AZC__EVENT_WRITE = POLLOUT };
#endif

/* The classes of deadlines. All of a class have one length, so a list in order of arrival is sorted
 * by time. */
enum {
    AZC__DEADLINE_HANDSHAKE, /* the head of the first request is not whole */
    AZC__DEADLINE_KEPT,      /* the head of the next request is not whole */
    AZC__DEADLINE_BODY,      /* the body of a request is arriving */
    AZC__DEADLINE_OUTPUT,    /* the peer reads a response, or what was queued when it ended */
    AZC__DEADLINE_PING,      /* a channel: look whether it has been silent for ping_ms */
    AZC__DEADLINE_LOOK,      /* the same, a quarter of ping_ms after the last look */
    AZC__DEADLINE_PONG,      /* a ping is not answered */
    AZC__DEADLINE_CLOSE,     /* it ended */
    AZC__DEADLINE_COUNT,
    AZC__DEADLINE_NONE = 255
};

/* A timer, embedded in the struct that waits for it. Zero-initialise all but fn. */
typedef struct azc__timer {
    struct azc__timer *next, *prev; /* a ring, in the slot; next NULL: not in the wheel */
    int64_t due;                    /* ms of the server's clock */
    void (*fn)(azc_server *server, struct azc__timer *timer);
    uint8_t place;                  /* level and slot */
} azc__timer;

/* TIMERS explains levels and slots. */
typedef struct azc__wheel {
    int64_t at;  /* ms: slots are counted from here. Every timer due before it has run */
    int64_t due; /* ms: the wheel has nothing to do before this */
    uint32_t count[AZC__WHEEL_LEVELS]; /* timers of each level */
    azc__timer *slots[AZC__WHEEL_LEVELS << AZC__DIGIT];
} azc__wheel;

/* A place in the ring of posted tasks: see azc__post_claim. A lap is the position of the first task
 * of a round through the ring, so zeroed places are free for the first round. */
typedef struct azc__post_place {
    uint32_t lap; /* free for the task of this round; 1 more: the task is complete */
    azc_task fn;
    void *arg;
} azc__post_place;

/* ---- Structs of optional parts ---- */

/* HISTORY: a message, and (RECOVERY) whom it leaves out: a user, AZC__RETURNING, or 0: nobody. */
typedef struct azc__kept {
    azc__block *block;
    uint64_t except;
} azc__kept;
#define AZC__RETURNING UINT64_MAX /* who had other messages of the history: it is not numbered */

/* A ring of max_count messages, which follows the struct. */
typedef struct azc__history {
    size_t max_count, max_bytes; /* limits */
    size_t first;                /* index of the oldest message */
    size_t count, bytes;         /* of the messages it has; bytes with framing */
    uint64_t serial;             /* of the newest message, also if it was too large to be kept */
    uint64_t epoch;              /* RECOVERY: random, so that each history has another */
    uint32_t id;                 /* and a short name of it on a connection; 0: none yet */
} azc__history;

/* RATES: while a period runs, the messages to one target. It is freed at the end of a period in
 * which no message came. */
typedef struct azc__rate {
    azc__timer timer; /* the end of the period */
    azc_channel *channel;
    azc__room *room;  /* the target: a room or a user; NULL: the channel */
    azc__room *entry; /* the pair in the table; its keeps.rate is this */
    uint64_t key;     /* 0: a batch */
    uint64_t except;  /* azc_id of a connection to leave out, or 0 */
    int opcode;
    int ms;           /* length of the period */
    uint8_t held;     /* data is a message to send when the period ends */
    uint8_t publish;  /* on_publish sees it */
    unsigned char *data;
    size_t len, cap;
} azc__rate;

/* LIVE: components of a connection, or of a kind that wait, in a ring, the oldest first. */
typedef struct azc__live_ring {
    azc_live *first;
    int count;
} azc__live_ring;

/* LIVE: a kind of component, in a list of its channel. Its name follows the struct. */
typedef struct azc__live_kind {
    struct azc__live_kind *next;
    azc_live_desc desc; /* with defaults filled in */
    azc__live_ring waiting;
} azc__live_kind;

/* LIVE: one component. Its data follows the struct. */
struct azc_live {
    azc_live *chain;       /* in the hash bucket */
    azc_live *next, *prev; /* in the ring of its connection or kind */
    azc__live_kind *kind;
    azc_channel *channel;
    azc_conn *conn;        /* NULL: it waits */
    uint64_t timer;        /* of the wait, or 0 */
    uint64_t sent;         /* hash of the HTML that the page has; 0: none */
    uint64_t hash;         /* of names */
    char *names;           /* key, id and user, NUL-terminated each, behind the data */
    size_t names_len;
    size_t size;           /* allocated bytes */
};

/* LIVE: the message that on_render writes; its memory serves all renderings of the channel. */
struct azc_html {
    azc_writer writer;
    const azc__mem *mem;
    size_t max;     /* bytes */
    int rendering;  /* on_render runs */
};

/* LIVE: what a channel with azc_add_live has. */
typedef struct azc__lives {
    azc__live_kind *kinds;
    azc_live **buckets; /* all components, by the hash of their names */
    uint32_t cap, count;
    azc_html html;
    int (*on_message)(azc_conn *conn, const char *text, size_t len); /* of the channel's desc */
    void (*on_close)(azc_conn *conn, int code, const char *reason);
} azc__lives;

/* TIMERS: a task of azc_after or azc_every. The slot serves many tasks, one after the other, each
 * with a number of its own. */
typedef struct azc__task_slot {
    azc__timer timer;
    uint64_t id;
    azc_task fn;
    void *arg;
    struct azc__task_slot *next_free;
    int every; /* ms; 0: once */
} azc__task_slot;

/* WATCH: a descriptor of the program. fn NULL: stopped; used again, or freed when the turn ends. */
typedef struct azc__watched {
    azc__source source;
    struct azc__watched *next;
    azc_watcher fn;
    void *userdata;
    int stale; /* used again in this turn: what poll reported of its source is another's */
    int64_t hung; /* since when it has hung up, or when that was logged; 0: it has not */
} azc__watched;

/* ---- Where optional parts join ----
 * The sections from PARTS on are optional. Earlier sections never name a function of theirs: they
 * call through a pointer in the server (PARTS: in the channel), which is NULL until the part's
 * first public call sets it. So a program that makes no such call refers to nothing of the part.
 * The compiler (AZCHAN_STATIC) or the linker (--gc-sections) then drops the part's code, and all
 * that remains is the pointer and a test for NULL.
 *
 * To add a part: declare its functions below as a struct azc__PART_join, put a pointer to that into
 * azc_server, call through it where the part joins, and set it to the part's azc__PART_functions in
 * each public function that may be a program's first. A single function needs no struct. */

/* azc_create_in sets this one. */
typedef struct azc__fixed_join {
    void (*begin)(azc_server *s); /* sizes of pools, arrays and tables */
    int (*lay)(azc_server *s);    /* azc_listen: lay out the slots; 0: too little memory */
} azc__fixed_join;

typedef struct azc__timers_join {
    void (*run)(azc_server *s); /* when wheel.due has come */
    void (*free)(azc_server *s);
} azc__timers_join;

typedef struct azc__watch_join {
    void (*ready)(azc_server *s, azc__source *source, int events);
    void (*sweep)(azc_server *s); /* when the turn ends, if a watch was stopped in it */
    void (*free)(azc_server *s);
} azc__watch_join;

/* For rooms with `notify`. */
typedef struct azc__news_join {
    void (*changed)(azc_server *s, azc__room *room); /* a member joined or left; not queued yet */
    void (*report)(azc_server *s);                   /* call on_room and on_presence */
} azc__news_join;

/* The seats are for connections of a user in a channel with on_presence. */
typedef struct azc__users_join {
    int (*seat_missing)(const azc_conn *conn, azc__room *room); /* would an enter make a room? */
    int (*seat_enter)(azc_conn *conn, azc__room *room);         /* 0 without memory */
    void (*seat_leave)(const azc_conn *conn, azc__room *room);
    int (*first_of_user)(azc_cursor *cursor, const azc__room *room); /* for azc_users */
} azc__users_join;

/* For rooms with keeps.history. A join first prepares the replay, since that may fail, and then
 * appends or frees it. */
typedef struct azc__history_join {
    int (*prepare)(azc_conn *conn, const azc__room *room, azc__out *replay); /* messages, or < 0 */
    void (*finish)(azc_conn *conn, azc__out *replay, int messages, int joined);
    int (*keep)(azc_server *s, const azc__room *room, azc__block *block,
                const azc__payload *payload, const azc_conn *except); /* 0 without memory */
    void (*free)(azc_server *s);
} azc__history_join;

typedef struct azc__proxies_join {
    void (*forwarded)(const azc_server *s, azc__request *r); /* read X-Forwarded-* */
    int (*trusts)(const azc_server *s, const azc__visitor *visitor);
} azc__proxies_join;

/* serve: is the request for a method of these? get: the page or channel of its path, or NULL.
 * Returns as azc__request_serve, or -1: it is not. */
enum { AZC__METHODS = 4 };
typedef struct azc__bodies_join {
    int (*serve)(azc_conn *conn, const azc__route *get);
    void (*start)(azc_conn *conn, azc__in *in); /* the head is accepted: keep it, it is in `in` */
    size_t (*receive)(azc_conn *conn, unsigned char *p, size_t n); /* bytes taken */
    void (*late)(azc_conn *conn);
    void (*free)(azc_server *s);
} azc__bodies_join;

/* For peers with conn.client. */
typedef struct azc__client_join {
    void (*greet)(azc_conn *conn);                               /* before on_connect */
    void (*error)(azc_conn *conn, const char *name, const char *json); /* a callback failed */
    int (*replay)(azc_conn *conn, const azc__room *room, azc__out *replay); /* messages, or -1 */
    int (*broadcast)(azc_server *s, const azc__room *room, azc__cast *cast,
                     const azc_conn *except);                    /* one that a history has kept */
    uint64_t (*user)(const azc_conn *conn);                      /* as azc__kept.except */
    void (*drained)(azc_conn *conn);                             /* its backlog has room again */
} azc__client_join;

/* ---- Connections, channels, the server ---- */

/*      HTTP --101--> OPEN --azc_close--> CLOSING --peer's Close--> LINGER --its EOF--> DEAD
 *        |             |---- peer's Close, protocol error, EOF ------^                   ^
 *        '-- refusal --'------------------------> LINGER --------------------------------|
 *      any state ---- I/O error, deadline -----------------------------------------------'
 * LINGER sends what is queued, shuts down our direction, and reads until the peer's EOF: a close
 * with unread bytes would reset the connection and destroy our last bytes on their way. */
enum { AZC__HTTP, AZC__OPEN, AZC__CLOSING, AZC__LINGER, AZC__DEAD, AZC__FREED };

/* One peer. Made by accept, freed in step 7 of the turn in which it is DEAD. */
struct azc_conn {
    azc__source source;
    uint8_t state;
    uint8_t deadline;           /* its class, or AZC__DEADLINE_NONE */
    uint8_t touched;            /* in the server's list for the settle step */
    uint8_t eof;                /* the peer shut down its direction */
    uint8_t connected;          /* on_connect ran, and on_close has not */
    unsigned ready : 1;         /* poll said that the kernel takes more output */
    unsigned drain : 1;         /* when the backlog is low again: call on_drain; or without a
                                   channel, go on with the answer, or with the requests that
                                   azc__receive_hold kept */
    unsigned paused : 1;        /* not read, because of its backlog */
    unsigned untaken : 1;       /* logged that its channel takes no messages */
    unsigned shut : 1;          /* we shut down our direction */
    uint8_t gap;                /* RECOVERY: 1, a message of a history was refused; 2, and it was
                                   told */
    unsigned client : 1;        /* CLIENT: the peer opted in */
    unsigned answering : 1;     /* ANSWERS: the answer to its request is not whole: wait.answer */
    unsigned nonblocking : 1;   /* FILES: its socket is, because sendfile takes no MSG_DONTWAIT */
    unsigned arriving : 1;      /* and its on_connect has not returned */
    uint8_t reason_len;         /* the last bytes of the output are the Close reason */
    uint16_t close_code;        /* for on_close; 0 until it ends */
    uint8_t subprotocol;        /* 1 + its index in the channel's list; 0: none */
    uint8_t family;             /* of raw: AF_INET, AF_INET6; 0: a Unix socket */
    uint32_t due;               /* of the deadline: ms, the low bits of the server's clock */
    uint32_t heard;             /* when bytes last came, in the same ms */
    uint32_t moved;             /* bytes: see azc__conn_progress */
    uint32_t next_deadline;     /* in the class's list: 1 + slot, or 0 */
    azc_server *server;
    azc_channel *channel;       /* from on_upgrade until on_close has run, else NULL */
    azc__out out;
    azc_conn *next_touched;
    azc__in *in;                /* NULL: nothing is partly received */
    azc__member *rooms;         /* the user first, if it has one; then the newest room */
    unsigned char *tail;        /* data_size bytes, then strings: peer, target, the parameters in
                                   their order, name and value of each query argument, "" */
    union {
        unsigned char raw[16];  /* HTTP: the peer's address, in network order */
        struct {
            union {
                azc_conn **conn;    /* OPEN: the pointer to this connection */
                azc_conn *ended;    /* later: the next in the server's list of the ended */
            } prev;
            azc_conn *next;
        } link;                 /* from OPEN on: in the channel's list */
    } u;
    uint64_t id;
    azc__room *quota;           /* the address it counts for, or NULL */
    uint32_t tail_size;         /* allocated bytes */
    uint32_t dropped;           /* messages refused because of the backlog */
    union {
        azc__piece *late;            /* RATES: newest values that found the backlog full, oldest
                                        first */
        struct azc__answer *answer;  /* ANSWERS: while it is answering */
    } wait;
    uint32_t prev_deadline;     /* as next_deadline */
    uint32_t since;             /* start of the request, in ms as due; once open, in seconds */
};

/* Allocated with its route. */
struct azc_channel {
    azc__route *route;
    azc_server *server;
    azc_conn *first;            /* its open connections */
    size_t count;
    size_t data_size;           /* rounded up, so that the strings behind it are aligned */
    unsigned short_end;         /* shorter payloads take the fast path; 0, with on_part: none do */
    azc_channel_desc desc;
    const azc__parts_join *parts; /* NULL without on_part */
    int (*on_part)(azc_conn *conn, const void *data, size_t len, int flags);
    int (*on_text)(azc_conn *conn, const char *text, size_t len); /* CLIENT: the on_message, once
                                                                     the desc's is another */
    void (*on_presence)(azc_channel *channel, const char *room, const char *user, int present);
    void (*on_publish)(azc_channel *channel, const char *room, const void *data, size_t len,
                       int binary);
    void (*on_room)(azc_channel *channel, const char *room, int present);
    azc__lives *lives;          /* LIVE: NULL without azc_add_live */
    const char *subprotocols;   /* "v2\0v1\0\0", behind the struct */
};

/* azc_server.stopping. SHUTTING_DOWN: open connections are served, new ones are not accepted. */
enum { AZC__SHUTTING_DOWN = 1, AZC__STOPPING = 2 };

/* azc_server.busy: inside azc_poll or azc_destroy, so maybe in a callback; inside config.log; while
 * azc_poll waits, so that a call comes from another thread or from a signal handler. With one of
 * AZC__REFUSING calls that change something are refused. */
enum { AZC__BUSY = 1, AZC__LOGGING = 2, AZC__WAITING = 4,
       AZC__REFUSING = AZC__LOGGING | AZC__WAITING };

/* The fields that are used most come first: x86 encodes offsets below 128 in fewer bytes, as ARM
 * does for byte fields below 32. The large ones come last. */
struct azc_server {
    azc__mem mem;
    uint8_t listening, stopping;
    uint8_t busy;        /* AZC__BUSY and so on, see there */
    uint8_t cursors;     /* members that leave stay in limbo, since a cursor may be at them; or
                            there is news. azc__callback_done clears it */
    uint8_t timing;      /* callbacks are timed: there is a log, and config.slow_ms */
    uint8_t accept_paused, retrying;
    uint8_t accept_over; /* the listening socket failed for good */
    uint8_t accepts;     /* how many in the next turn, if there are newcomers */
    int failed;          /* the first error of configuration, or 0 */
    int conn_count;
    int64_t now;         /* ms: the clock at the turn's wake. Deadlines are judged by it, once
                             everything that was ready by then has been read */
    azc_conn **slots;    /* connections, by the slot of their id */
    uint32_t slot_cap;   /* allocated elements */
    uint32_t slot_hint;  /* where the search for a free one begins */
    uint32_t slot_count; /* initialised elements: those behind are not even zero */
    uint32_t room_cap;   /* buckets, a power of 2 */
    azc__room **rooms;
    azc__source listener;
    uint32_t room_count; /* entries of the table */
    uint32_t room_named; /* entries that count against max_rooms: all except addresses */
#ifdef AZCHAN_USE_EPOLL
    int epoll;
#else
    uint32_t source_count;
#endif
    azc_conn *touched_first;
    azc__member *free_members; /* linked by next */
    azc_conn *touched_last;
    azc_conn *ended_first, *ended_last; /* connections that ended and whose on_close has not run */
    azc__source wake;    /* the pipe's read end */
    int wake_write, port;
#ifndef AZCHAN_USE_EPOLL
    uint32_t source_cap;
    struct pollfd *polls;
    azc__source **sources;
#endif
    azc_config config;   /* with defaults filled in */
    size_t read_free;    /* backlog below which a whole read_buffer may be answered */
    size_t pause;        /* backlog beyond which a peer is not read: half of max_backlog, or less,
                            so that max_message and AZC__SLACK stay free */
    uint64_t serial;     /* of the newest connection's id */
    uint32_t deadline_first[AZC__DEADLINE_COUNT], deadline_last[AZC__DEADLINE_COUNT]; /* 1 + slot,
                            or 0 */
    int deadline_ms[AZC__DEADLINE_COUNT];
    int64_t clock;       /* as now, but whenever it was read last */
    int64_t retry;       /* if retrying: when to try accept and stuck connections again */
    int64_t due;         /* no deadline and no retry is due before */
    const char *checked; /* the text of the on_message that is running, known to be UTF-8 */
    size_t checked_len;

    azc__use_link *uses;
    azc__route *channel_routes, *page_routes;
    FILE *log_file;      /* of azc_log_to */
    int64_t log_due[2];  /* ms: when the next line of errors and warnings, of the others, is due at
                            the allowed rate */
    uint64_t log_left_out; /* lines, since the last one that was written */
    int64_t timed;       /* ms: the callback that runs began then, or later */

    uint32_t seed[2];    /* of the room hash */
    azc__member_group *members;
    uint32_t member_count; /* in use */
    azc__member *limbo;  /* members that left while a cursor may be at them; linked by prev */
    azc__room *news_first, *news_last; /* NEWS: rooms whose change is to be reported */

    unsigned char *read_buffer; /* config.read_buffer bytes, and one for a NUL */
    char *scratch;       /* the strings of the request, until the connection has its tail */
    char *strings_at;    /* where the next of them goes */
    char *strings;       /* one allocation: host and origins, copied, and the scratch */
    size_t strings_size;
    azc__room *room_latest; /* that azc__room_by_name has found, or NULL */
    uint32_t room_first; /* buckets of a new table */
    uint32_t histories;  /* RECOVERY: how many have an id */
    size_t tail_least, room_least; /* fixed memory: bytes of each tail and room */
    azc_conn *current;   /* whose request is being answered, or NULL */
    azc__out sheet;      /* frames of this turn for several outputs, see BUF */
    azc__pool pool;
    azc_statistics stats;
    azc__request request;
    char error[AZC__ERROR]; /* for azc_error */
    char words[500];     /* of request.why, if they are not constant */
    char url[200];       /* of azc_url */
    pid_t unix_owner;    /* the process that created config.host's path; 0: none did */
    dev_t unix_device;   /* of that path */
    ino_t unix_inode;
    int stop_asked;      /* azc_stop was called, by any thread */
    uint32_t woken;      /* 1: a byte is in the pipe, or will be at once */
    uint32_t post_first, post_end; /* positions of the first posted task and behind the last */

    const azc__fixed_join *fixed;
    const azc__timers_join *timers;
    const azc__watch_join *watch;
    const azc__news_join *news;
    const azc__users_join *users;
    const azc__history_join *history;
    const azc__proxies_join *proxies;
    const azc__client_join *client;
    const azc__bodies_join *bodies;
    azc__body *body;     /* BODIES: of the request that is at hand, or NULL */
    azc__route *method_routes[AZC__METHODS]; /* BODIES: their targets are azc__endpoint */
    char allow[64];      /* BODIES: of request.allow */
    azc__folder *folders; /* FILES */
    azc__type *types;    /* FILES: the newest first */
    void (*files_free)(azc_server *s); /* FILES */
    int (*queue_keyed)(azc_conn *conn, azc__block *block); /* RATES: a message with a key */
    void (*queue_late)(azc_conn *conn);                /* RATES: if conn.late is not NULL */
    void (*rates_free)(azc_server *s);                 /* RATES: before the rooms */
    void (*lives_free)(azc_server *s);                 /* LIVE: before what on_unmount may use */
    void (*pair_end)(azc_server *s, const azc__room *room); /* ROOM: before a pair is freed */
    void (*signals_end)(azc_server *s);                /* SIGNALS: as azc_destroy begins */
    void (*shutdown_accept)(azc_server *s);            /* SHUTDOWN: as the listener is closed */
    azc_server *next_signalled;                        /* SIGNALS: in its list */
    uint32_t user_walks; /* USERS: calls of azc_users; not 0 after the first */
    azc__network *trusted; /* PROXIES */
    size_t trusted_count;
    const char *asked;   /* CLIENT: the newest text message, if its peer opted in; valid only until
                            its callback has been handled */
    size_t asked_len;
    const char *since;   /* RECOVERY: of the azc_join_since that runs, or NULL */
    int64_t shutdown_start, shutdown_ms; /* SHUTDOWN: when it began, and its length */
    uint32_t shutdown_count;  /* connections that were open then */
    uint32_t shutdown_closed; /* connections it has closed so far */
    uint32_t shutdown_slot;   /* the slot to continue at */
    azc__timer shutdown_timer;
    uint32_t task_cap, task_count;
    azc__task_slot **tasks;   /* by the slot of their id */
    azc__task_slot *free_task;
    azc__watched *watched, *unwatched; /* unwatched: to be freed when the turn ends */
    uint32_t watched_count;   /* in both lists */
    uint32_t watch_stopped;   /* something was stopped in this turn */
    azc__wheel wheel;
    azc__post_place posts[AZC__POSTS];
#ifdef AZCHAN_USE_EPOLL
    struct epoll_event ready[AZC__MAX_READY];
#endif
};

/* Callbacks may run between AZC__BUSY_BEGIN and AZC__BUSY_END. If one of them throws in C++, the
 * server is no longer busy, so azc_destroy can free it. */
#ifdef __cplusplus
struct azc__busy {
    azc_server *server;
    uint8_t before;
    azc__busy(azc_server *s, int bit) : server(s), before(s->busy) {
        s->busy = (uint8_t)(before | bit);
    }
    ~azc__busy() {
        if (server != NULL) server->busy = before;
    }
};
#define AZC__BUSY_BEGIN(s, bit) azc__busy guard(s, bit)
#define AZC__BUSY_END(s, bit) ((void)0)
#define AZC__BUSY_OVER() ((void)(guard.server = NULL)) /* the server will be freed */
#else
#define AZC__BUSY_BEGIN(s, bit) ((s)->busy = (uint8_t)((s)->busy | (bit)))
#define AZC__BUSY_END(s, bit) ((s)->busy = (uint8_t)((s)->busy & ~(bit)))
#define AZC__BUSY_OVER() ((void)0)
#endif

/* ==== [4] BYTES: numbers, characters, strings and lists of strings; pure ====================== */

static size_t azc__min(size_t a, size_t b) { return a < b ? a : b; }

/* Sums and products of sizes that a program chooses: SIZE_MAX for more than there can be. */
static size_t azc__plus(size_t a, size_t b) { return a < SIZE_MAX - b ? a + b : SIZE_MAX; }
static size_t azc__times(size_t a, size_t b) {
    return b == 0 || a < SIZE_MAX / b ? a * b : SIZE_MAX;
}

/* Resolve a length of AZC_NUL or more: strlen for AZC_NUL, SIZE_MAX for an impossible length. NULL
 * data gets a length of 1, because callers return AZC_ERR_ARGUMENT for NULL with bytes. */
static AZC__RARE size_t azc__measure(const void *data, size_t len) {
    if (len > AZC_NUL) return SIZE_MAX;
    return data != NULL ? strlen((const char *)data) : 1;
}

static uint32_t azc__rotl(uint32_t x, int n) { return (x << n) | (x >> (32 - n)); }

static uint64_t azc__big_endian(const unsigned char *p, int n) {
    uint64_t v = 0;
    for (int i = 0; i < n; i++) v = v << 8 | p[i];
    return v;
}

/* ---- Characters; ctype.h depends on the locale ---- */

static int azc__digit(char c) { return c >= '0' && c <= '9'; }
static int azc__lower(int c) { return c >= 'A' && c <= 'Z' ? c + 32 : c; }

/* The value of n hex digits, or -1. */
static int azc__hex(const char *p, int n) {
    int v = 0;
    for (; n > 0; n--, p++) {
        int letter = (*p | 32) - 'a';
        if (!azc__digit(*p) && (letter < 0 || letter > 5)) return -1;
        v = v * 16 + (azc__digit(*p) ? *p - '0' : letter + 10);
    }
    return v;
}

/* One bit for each ASCII character: those of a token (RFC 9110 5.6.2: letters, digits,
 * !#$%&'*+-.^_`|~) and those of a host name (RFC 3986 3.2.2: letters, digits, !$%&'()*+,-.;=_~). */
enum { AZC__TOKEN, AZC__HOST };
static int azc__char_in(int set, char c) {
    static const uint32_t sets[2][4] = {{0, 0x03FF6CFA, 0xC7FFFFFE, 0x57FFFFFF},
                                        {0, 0x2BFF7FF2, 0x87FFFFFE, 0x47FFFFFE}};
    unsigned char code = (unsigned char)c;
    return code < 128 && sets[set][code / 32] >> code % 32 & 1;
}

/* ---- Strings ---- */

/* Are these equal, ignoring the case of ASCII letters? */
static int azc__equal_nocase(const char *a, size_t a_len, const char *b, size_t b_len) {
    if (a_len != b_len) return 0;
    for (; a_len > 0; a_len--) {
        if (azc__lower(*a++) != azc__lower(*b++)) return 0;
    }
    return 1;
}

static int azc__is_nocase(const char *a, size_t a_len, const char *word) {
    return azc__equal_nocase(a, a_len, word, strlen(word));
}

/* The length without trailing spaces and tabs. */
static AZC__RARE size_t azc__trim(const char *p, size_t n) {
    while (n > 0 && (p[n - 1] == ' ' || p[n - 1] == '\t')) n--;
    return n;
}

/* The next element of the comma-separated list at *list, trimmed; NULL at the end. */
static const char *azc__list_next(const char **list, size_t *len) {
    const char *item = *list + strspn(*list, " \t,");
    size_t n = strcspn(item, ",");
    *list = item + n;
    *len = azc__trim(item, n);
    return *len > 0 ? item : NULL;
}

static const char *azc__string_next(const char *text) { return text + strlen(text) + 1; }

/* The value of this name in "name\0value\0...", which ends with an empty name. */
static const char *azc__pairs_find(const char *p, const char *name) {
    while (*p && strcmp(p, name) != 0) p = azc__string_next(azc__string_next(p));
    return *p ? azc__string_next(p) : NULL;
}

AZC_API const char *azc_strerror(int code) {
#define AZC__TEXT(name, value, text) text "\0"
    const char *p = "ok\0" AZC_ERRORS(AZC__TEXT);
#undef AZC__TEXT
    if (code > AZC_OK || code <= AZC__ERR_END) return "an unknown error";
    for (; code < AZC_OK; code++) p = azc__string_next(p);
    return p;
}

#define AZC__QUOTE(n) #n
#define AZC__VERSION(major, minor, patch) \
    AZC__QUOTE(major) "." AZC__QUOTE(minor) "." AZC__QUOTE(patch)

AZC_API const char *azc_version(void) {
    return AZC__VERSION(AZCHAN_VERSION_MAJOR, AZCHAN_VERSION_MINOR, AZCHAN_VERSION_PATCH);
}

/* ==== [5] BUF: memory, and a connection's output as a queue of pieces ========================= */

static void *azc__alloc(const azc__mem *mem, size_t size) {
    return mem->alloc(mem->userdata, NULL, 0, size);
}

static void azc__free(const azc__mem *mem, void *ptr, size_t size) {
    if (ptr != NULL) mem->alloc(mem->userdata, ptr, size, 0);
}

static void *azc__zalloc(const azc__mem *mem, size_t size) {
    void *ptr = azc__alloc(mem, size);
    return ptr == NULL ? NULL : memset(ptr, 0, size);
}

/* Reallocate an array with twice as many elements. NULL without memory: the array stays valid. */
static void *azc__twice(const azc__mem *mem, void *array, uint32_t *cap, size_t each) {
    uint32_t more = *cap ? *cap * 2 : mem->pool->array_first;
    void *grown = mem->alloc(mem->userdata, array, *cap * each, more * each);
    if (grown != NULL) *cap = more;
    return grown;
}

/* ---- The pool ----
 * Transient memory, for outputs and half-received input, is rounded up to a few sizes and kept for
 * reuse, so that a busy turn allocates nothing. AZCHAN_SMALL keeps none. */

#define AZC__HEAP_CLASSES {sizeof(azc__piece), 512, 1024, 2048, 4096, 16384, 66560, SIZE_MAX}
static const size_t azc__heap_classes[AZC__CLASSES + 1] = AZC__HEAP_CLASSES;

/* The smallest class, from `first` on, that holds size bytes. */
static inline int azc__class(const azc__mem *mem, size_t size, int first) {
    int c = first;
    while (mem->pool->class_size[c] < size) c++;
    return c;
}

/* A size that no class holds is allocated exactly; so is one of which a large class would waste
 * more than a quarter, except in fixed memory, which has slots of the class sizes only. */
static inline int azc__pool_exact(const azc__pool *pool, size_t size, int c) {
    if (c <= AZC__PIECE) return 0;
    return c == AZC__CLASSES || (pool->class_size[c] - size > size / 4 && pool->max_bytes > 0);
}

/* Take at least *size bytes, of class `first` or larger; *size becomes the size taken. */
static inline void *azc__pool_take(azc__mem *mem, size_t *size, int first) {
    azc__pool *pool = mem->pool;
    int c = azc__class(mem, *size, first);
    if (azc__pool_exact(pool, *size, c)) return azc__alloc(mem, *size);
    *size = pool->class_size[c];
    azc__spare *spare = AZC__FAST ? pool->spare[c] : NULL;
    if (spare == NULL) return azc__alloc(mem, *size);
    pool->spare[c] = spare->next;
    pool->bytes -= *size;
    return spare;
}

/* size must be what azc__pool_take set. The first test saves the search for the commonest class. */
static inline void azc__pool_return(const azc__mem *mem, void *ptr, size_t size) {
    int c = size == mem->pool->class_size[AZC__FIRST_PIECE] ? AZC__FIRST_PIECE
                                                            : azc__class(mem, size, 0);
    if (!AZC__FAST || c == AZC__CLASSES || size != mem->pool->class_size[c] ||
        mem->pool->bytes + size > mem->pool->max_bytes) {
        azc__free(mem, ptr, size);
        return;
    }
    azc__spare *spare = (azc__spare *)ptr;
    spare->next = mem->pool->spare[c];
    mem->pool->spare[c] = spare;
    mem->pool->bytes += size;
}

static void azc__pool_free(azc__mem *mem) {
    if (!AZC__FAST) return;
    for (int c = 0; c < AZC__CLASSES; c++) {
        while (mem->pool->spare[c] != NULL) {
            azc__spare *spare = mem->pool->spare[c];
            mem->pool->spare[c] = spare->next;
            azc__free(mem, spare, mem->pool->class_size[c]);
        }
    }
    mem->pool->bytes = 0;
}

/* ---- Pieces and outputs ---- */

/* A piece with room for at least n bytes, which follow the struct. */
static inline azc__piece *azc__piece_make(azc__mem *mem, size_t n, int first_class) {
    size_t size = sizeof(azc__piece) + n;
    azc__piece *piece = (azc__piece *)azc__pool_take(mem, &size, first_class);
    if (piece == NULL) return NULL;
    piece->next = NULL;
    piece->data = (unsigned char *)(piece + 1);
    piece->len = 0;
    piece->room = size - sizeof *piece;
    piece->size = size;
    piece->block = NULL;
    piece->kind = 0;
    return piece;
}

static AZC__RARE void azc__block_release(const azc__mem *mem, azc__block *block) {
    if (block == NULL || --block->refs > 0) return;
    azc__piece *sheet = (azc__piece *)(void *)block - 1;
    if (AZC__FAST && block->len == 0) azc__pool_return(mem, sheet, sheet->size);
    else azc__free(mem, block, sizeof *block + block->len);
}

/* The piece refers to a block no more. */
static AZC__RARE void azc__piece_unrefer(const azc__mem *mem, azc__piece *piece) {
    if (piece->kind == AZC__KEYED) mem->pool->unkey(mem, piece);
    azc__block_release(mem, piece->block);
}

static inline void azc__piece_free(azc__mem *mem, azc__piece *piece) {
    if (piece->block != NULL) azc__piece_unrefer(mem, piece);
    azc__pool_return(mem, piece, piece->size);
}

/* The bytes that count against max_backlog. */
static inline size_t azc__out_backlog(const azc__out *out) { return out->bytes - out->apart; }

/* The memory of a piece, and of the block that it refers to. */
static size_t azc__piece_held(const azc__piece *piece) {
    return piece->size + sizeof *piece->block + piece->block->len + piece->lost;
}

/* azc__pool.uncount: n bytes of a piece of some kind were sent. `lost` is what it counts besides:
 * the structs of a message with a key, and the room behind the piece before it, which nothing fills
 * any more. HISTORY and RATES set the pointer: without them there are no such pieces. */
static void azc__out_uncount(azc__out *out, const azc__piece *piece, size_t n) {
    if (piece->kind == AZC__REPLAY) out->apart -= n;
    if (n < piece->len) return;
    if (piece->kind == AZC__KEYED) out->apart += piece->lost;
    else out->replays -= azc__piece_held(piece);
}

static void azc__out_append(azc__out *out, azc__piece *piece) {
    if (out->tail == NULL) out->head = piece;
    else out->tail->next = piece;
    out->tail = piece;
}

/* The class of the next piece. It is small in an empty output, because most answers fit, and after
 * a replay or a piece that refers, because these and small ones may alternate. */
static int azc__out_class(const azc__mem *mem, const azc__out *out) {
    int after_bytes = out->tail != NULL && out->tail->block == NULL &&
                      out->tail->size > mem->pool->class_size[0];
    return after_bytes ? AZC__PIECE : AZC__FIRST_PIECE;
}

/* Add the first piece to an empty output; returns its room, 0 without memory. */
static AZC__RARE size_t azc__out_first(azc__mem *mem, azc__out *out) {
    azc__piece *piece = azc__piece_make(mem, 1, AZC__FIRST_PIECE);
    if (piece == NULL) return 0;
    out->head = out->tail = piece;
    return piece->room;
}

static void azc__pieces_free(azc__mem *mem, azc__piece *piece) {
    while (piece != NULL) {
        azc__piece *next = piece->next;
        azc__piece_free(mem, piece);
        piece = next;
    }
}

/* Make room for n bytes: append empty pieces, which azc__out_write fills. out->tail stays at the
 * piece to fill first. Returns 0 without memory, with the output unchanged. */
static AZC__RARE int azc__out_reserve(azc__mem *mem, azc__out *out, size_t n) {
    azc__piece *tail = out->tail, **added = tail != NULL ? &tail->next : &out->head, **at = added;
    int first_class = azc__out_class(mem, out);
    size_t room = tail != NULL ? tail->room : 0;
    for (; room < n; at = &(*at)->next, first_class = AZC__PIECE) {
        *at = azc__piece_make(mem, azc__min(n - room, mem->pool->piece_max), first_class);
        if (*at == NULL) {
            azc__pieces_free(mem, *added);
            *added = NULL;
            return 0;
        }
        room += (*at)->room;
    }
    if (tail == NULL) out->tail = out->head;
    return 1;
}

/* Queue n bytes, which the caller must fill in; the last piece must have room for them. */
static AZC__HOT unsigned char *azc__out_take(azc__out *out, size_t n) {
    azc__piece *piece = out->tail;
    unsigned char *p = (unsigned char *)piece + piece->size - piece->room; /* NOLINT: not NULL */
    piece->len += n;
    piece->room -= n;
    out->bytes += n;
    return p;
}

/* Queue bytes for which azc__out_reserve made room. */
static void azc__out_write(azc__out *out, const void *bytes, size_t n) {
    const unsigned char *from = (const unsigned char *)bytes;
    while (n > 0) {
        size_t part = azc__min(n, out->tail->room); /* NOLINT: azc__out_reserve made room */
        memcpy(azc__out_take(out, part), from, part);
        from += part;
        n -= part;
        if (n > 0) out->tail = out->tail->next;
    }
}

/* Queue n bytes, at most AZC__ONE_PIECE, without a gap; the caller must fill them in. NULL without
 * memory. */
static unsigned char *azc__out_claim(azc__mem *mem, azc__out *out, size_t n) {
    if (out->tail == NULL || out->tail->room < n) {
        azc__piece *piece = azc__piece_make(mem, n, azc__out_class(mem, out));
        if (piece == NULL) return NULL;
        azc__out_append(out, piece);
    }
    return azc__out_take(out, n);
}

/* Queue bytes without copying them: a shared block's or, if block is NULL, the program's. Returns 0
 * without memory. */
static int azc__out_refer(azc__mem *mem, azc__out *out, const void *bytes, size_t n,
                          azc__block *block) {
    if (n == 0) return 1;
    azc__piece *piece = azc__piece_make(mem, 0, 0);
    if (piece == NULL) return 0;
    piece->data = (const unsigned char *)bytes;
    piece->len = n;
    piece->room = 0;
    piece->block = block;
    if (block != NULL) block->refs++;
    azc__out_append(out, piece);
    out->bytes += n;
    return 1;
}

/* ---- The sheet ----
 * A broadcast to several is written once, on a sheet, and their outputs refer to it: a member's
 * cost is a few words, whatever the size. Sheets last until outputs are flushed, at the end of the
 * turn. If the kernel leaves a little of an output then, that is copied. If it leaves more, the
 * output refers to the sheet as to any block: one begins each sheet's bytes, with len 0. Such a
 * sheet goes on in the next turn, so that slow peers share it. */

static azc__block *azc__sheet_block(azc__piece *sheet) { return (azc__block *)(void *)(sheet + 1); }

/* Does the frame follow the output's last bytes on the sheet? */
static inline int azc__out_continues(const azc__out *out, const unsigned char *frame) {
    return out->tail != NULL && out->tail->data + out->tail->len == frame;
}

/* May the output refer to a frame that does not follow? Only if it is empty or ends on a sheet. A
 * new piece begins, so the one before it must be worth its struct. */
static inline int azc__out_takes_sheet(const azc__out *out) {
    return out->tail == NULL ||
           (out->tail->kind == AZC__ON_SHEET && out->tail->len >= AZC__SHEET_PART);
}

/* Refer to the blocks of the sheets, which begin before the bytes and end behind them. */
static void azc__out_keep_sheet(azc__out *out, azc__piece *sheets) {
    for (azc__piece *p = out->head; p != NULL && p->kind == AZC__ON_SHEET; p = p->next) {
        uintptr_t at = (uintptr_t)p->data;
        azc__piece *sheet = sheets;
        while (at < (uintptr_t)sheet || at >= (uintptr_t)sheet + sheet->size) sheet = sheet->next;
        p->block = azc__sheet_block(sheet);
        p->block->refs++;
        p->kind = 0;
    }
}

/* The pieces on a sheet, which are the first of an output, are left by the kernel. Returns 0
 * without memory. */
static AZC__RARE int azc__out_leave_sheet(azc__mem *mem, azc__out *out, azc__piece *sheets) {
    azc__out copy;
    azc__piece *p = out->head, *next;
    size_t left = 0;
    memset(&copy, 0, sizeof copy);
    for (; p != NULL && p->kind == AZC__ON_SHEET; p = p->next) left += p->len;
    if (left >= AZC__SHARE) azc__out_keep_sheet(out, sheets);
    if (left == 0 || left >= AZC__SHARE) return 1;
    if (!azc__out_reserve(mem, &copy, left)) return 0;
    for (p = out->head; p != NULL && p->kind == AZC__ON_SHEET; p = next) {
        azc__out_write(&copy, p->data, p->len);
        next = p->next;
        azc__piece_free(mem, p);
    }
    copy.tail->next = p; /* NOLINT: not NULL */
    if (p == NULL) out->tail = copy.tail;
    out->head = copy.head;
    return 1;
}

/* A piece with a block was sent. */
static AZC__RARE void azc__out_release(azc__mem *mem, azc__out *out, azc__piece *piece) {
    if (piece->kind != 0) mem->pool->uncount(out, piece, piece->len);
    azc__piece_unrefer(mem, piece);
}

/* Remove the first n bytes, which were sent. */
static inline void azc__out_consume(azc__mem *mem, azc__out *out, size_t n) {
    azc__piece *piece = out->head, *next;
    out->bytes -= n;
    for (; piece != NULL && piece->len <= n; piece = next) {
        if (piece->block != NULL) azc__out_release(mem, out, piece);
        n -= piece->len;
        next = piece->next;
        azc__pool_return(mem, piece, piece->size);
    }
    out->head = piece;
    if (piece == NULL) {
        out->tail = NULL;
        return;
    }
    if (piece->block != NULL && piece->kind != 0) mem->pool->uncount(out, piece, n);
    piece->data += n;
    piece->len -= n;
}

/* Grow *data to at least need bytes. It doubles up to max, the size that the peer announced, so
 * that memory follows the bytes that arrived and not the announcement. Returns 0 without memory. */
static int azc__grow(azc__mem *mem, unsigned char **data, size_t *cap, size_t need, size_t max) {
    if (need <= *cap) return 1;
    size_t want = azc__min(*cap * 2, max);
    if (want < need) want = need;
    /* Memory larger than any class did not come from the pool, and realloc may grow it in place. */
    int large = AZC__FAST && *cap > mem->pool->class_size[AZC__CLASSES - 1];
    void *grown = large ? mem->alloc(mem->userdata, *data, *cap, want)
                        : azc__pool_take(mem, &want, 0);
    if (grown == NULL) return 0;
    if (!large && *cap > 0) {
        memcpy(grown, *data, *cap);
        azc__pool_return(mem, *data, *cap);
    }
    *data = (unsigned char *)grown;
    *cap = want;
    return 1;
}

/* ==== [6] FIXED: memory in slots of a few sizes; the manual says why it is enough ============= */

static size_t azc__align(size_t size) {
    const size_t to = sizeof(azc__aligned);
    return azc__plus(size, to - 1) / to * to;
}

/* Find the slots of this size, or start a list for it. NULL if there are too many sizes. */
static AZC__RARE azc__slots *azc__fixed_slots(azc__fixed *f, size_t size) {
    azc__slots *slots = f->slots;
    for (int i = 0; i < f->kinds; i++, slots++) {
        if (slots->size == size) return slots;
    }
    if (f->kinds == (int)(sizeof f->slots / sizeof *f->slots)) return NULL;
    f->kinds++;
    slots->size = size;
    return slots;
}

/* Take unused memory; NULL if too little is left. */
static void *azc__fixed_next(azc__fixed *f, size_t size) {
    if (size > (size_t)(f->end - f->next)) return NULL;
    f->next += size;
    return f->next - size;
}

static void azc__fixed_return(azc__slots *slots, void *ptr) {
    azc__spare *spare = (azc__spare *)ptr;
    spare->next = slots->free; /* NOLINT: azc__free passes no NULL */
    slots->free = spare;
}

static void *azc__fixed_take(azc__fixed *f, azc__slots *slots, size_t size) {
    azc__spare *spare = slots->free;
    if (spare == NULL) return azc__fixed_next(f, size);
    slots->free = spare->next;
    return spare;
}

/* The allocator of fixed memory. A freed slot is reused only for its own size, so that memory does
 * not fragment. Nothing grows: arrays have their final size at once. Until azc_listen lays out the
 * slots, what is freed is not reused. */
static void *azc__fixed_alloc(void *userdata, void *ptr, size_t old_size, size_t new_size) {
    azc__fixed *f = (azc__fixed *)userdata;
    size_t size = azc__align(new_size > 0 ? new_size : old_size);
    int laid_out = f->kinds > 0;
    azc__slots *slots = laid_out ? azc__fixed_slots(f, size) : NULL;
    if (new_size == 0) {
        if (slots != NULL) azc__fixed_return(slots, ptr);
        return NULL;
    }
    if (ptr != NULL) return NULL;
    if (!laid_out) return azc__fixed_next(f, size);
    return slots != NULL ? azc__fixed_take(f, slots, size) : NULL;
}

/* ---- Sizes; azc_memory_bound adds them up ----
 * azc__config_bad and the limit of max_connections keep the sums here within size_t. What many
 * objects take together need not fit it: such products saturate. */

/* The scratch holds the strings of the request at hand in four parts, each string with a NUL. The
 * head has at most n = max_request bytes, and at least 15 of them are not of the target.
 *   strings   the peer's address; the target, t bytes; the q bytes of its query as pairs, at most
 *             1.5 (q + 1), because "a&b" becomes "a", "", "b", ""; an empty name; the route's
 *             parameters, at most t - q. Without the address this is less than 2.5 n. Of a refused
 *             head the target is "-", for which 8 bytes are added.
 *   segments  of the decoded path: one NUL for each slash, so less than n
 *   cookies   as pairs: one NUL for each '=' and ';', and at most two more for each field, whose
 *             name takes more than that; so less than n
 *   path      of azc_path: the segments with their slashes, so less than n too */
static size_t azc__scratch_strings(const azc_config *c) {
    return INET6_ADDRSTRLEN + 8 + c->max_request * 5 / 2;
}

static size_t azc__scratch_cookies(const azc_config *c) { /* where they begin */
    return azc__scratch_strings(c) + c->max_request;
}

static size_t azc__scratch_path(const azc_config *c) {
    return azc__scratch_cookies(c) + c->max_request;
}

static size_t azc__scratch_size(const azc_config *c) {
    return azc__scratch_path(c) + c->max_request;
}

/* Elements of an array, which serves for the connections by slot, for timers, and for the sources
 * of poll: connections, watched descriptors, the listener and the pipe. */
static size_t azc__fixed_array(const azc_config *c) {
    return (size_t)c->max_connections + (size_t)c->max_connections / 8 + 18 +
           (size_t)c->max_watched + (size_t)c->max_timers;
}

static size_t azc__fixed_room(void) { return sizeof(azc__room) + AZC__MAX_ROOM + 1; }

/* The rooms' table also counts the connections of each address, for max_per_address. */
static size_t azc__fixed_rooms(const azc_config *c) {
    return (size_t)c->max_rooms + (c->max_per_address > 0 ? (size_t)c->max_connections : 0);
}

static size_t azc__fixed_table(const azc_config *c) {
    size_t table = 16;
    while (table < azc__fixed_rooms(c) && table < AZC__MOST) table *= 2;
    return table;
}

/* What a connection keeps: the program's data, then the strings of its request. */
static AZC__RARE size_t azc__fixed_tail(const azc_config *c) {
    return azc__align(c->max_data) + azc__scratch_strings(c);
}

/* The largest half-received input: a message with its NUL, a request head, or what a peer pipelined
 * behind its requests, of which no more than max_request is read. */
static size_t azc__fixed_data(const azc_config *c) {
    return c->max_message + 1 > c->max_request ? c->max_message + 1 : c->max_request;
}

/* A body with room to decode a form, in the slot in which azc__pool_take puts it. */
static size_t azc__fixed_body(const azc_config *c) {
    size_t size = azc__plus(c->max_body, AZC__FORM);
    return size <= AZC__FIXED_PIECE ? (size_t)AZC__FIXED_PIECE
           : size <= azc__fixed_data(c) ? azc__fixed_data(c) : size;
}

/* What is kept with it: see azc__body. */
static size_t azc__fixed_body_head(const azc_config *c) {
    return azc__align(sizeof(azc__body)) + azc__align(c->max_data) + azc__scratch_cookies(c);
}

/* An answer that is not whole, with its strings, method and header lines: see azc__answer. */
static size_t azc__fixed_answer(const azc_config *c) {
    return sizeof(azc__answer) + azc__scratch_cookies(c) + AZC__MAX_EXTRA;
}

/* The pieces that one connection's output can need. max_backlog may be exceeded by the pongs for
 * one read, our ping and our Close; or by an answer's head, 2 KiB, and by what half of
 * max_backlog does not hold of a short page. Each piece may waste the length of a control frame
 * at its end. */
static size_t azc__fixed_pieces(const azc_config *c) {
    size_t over = 2048 + AZC__KEEP - azc__min(AZC__KEEP, c->max_backlog / 2);
    size_t each = AZC__FIXED_PIECE - sizeof(azc__piece) - AZC__MAX_CONTROL - 3;
    if (over < c->read_buffer + 512) over = c->read_buffer + 512;
    return (c->max_backlog + over) / each + 2;
}

/* One kind of object: the size of one, and how many there can be at once. */
typedef struct azc__kind {
    size_t size, count;
} azc__kind;

/* The first kinds are allocated before azc_listen lays out slots for the others. */
enum { AZC__KINDS_FIRST = 6, AZC__KIND_ARRAY = 6, AZC__KIND_TIMER = 14, AZC__KIND_WATCHED,
       AZC__KINDS = 19 };

/* epoll keeps the list of sources in the kernel. */
#ifdef AZCHAN_USE_EPOLL
enum { AZC__SOURCE_SIZE = 0 };
#else
enum { AZC__SOURCE_SIZE = sizeof(struct pollfd) + sizeof(azc__source *) };
#endif

/* All that a server can take at once. c must be filled in. */
static void azc__fixed_kinds(const azc_config *c, azc__kind out[AZC__KINDS]) {
    size_t n = (size_t)c->max_connections, array = azc__fixed_array(c);
    size_t groups = ((size_t)c->max_memberships + AZC__MEMBERS - 1) / AZC__MEMBERS;
    size_t pieces = azc__fixed_pieces(c) + 2; /* and one for its azc__in, one for small input */
    size_t bodies = c->max_body > 0 ? n : 0;
    const azc__kind kinds[AZC__KINDS] = {
        {sizeof(azc__fixed) + sizeof(azc__aligned), 1},
        {sizeof(azc_server), 1},
        {c->read_buffer + 1, 1},
        {azc__scratch_size(c), 1},
        {c->max_setup, 1},
        {array * AZC__SOURCE_SIZE, 1},
        {array * sizeof(azc_conn *), 2},
        {azc__times(azc__fixed_table(c), sizeof(azc__room *)), 1},
        {sizeof(azc__member_group), groups},
        {azc__fixed_room(), azc__fixed_rooms(c)},
        {sizeof(azc_conn), n},
        {azc__fixed_tail(c), n},
        {AZC__FIXED_PIECE, azc__times(n, pieces)},
        {azc__fixed_data(c), n},
        {sizeof(azc__task_slot), (size_t)c->max_timers},
        {sizeof(azc__watched), (size_t)c->max_watched},
        {azc__fixed_body(c), bodies},
        {azc__fixed_body_head(c), bodies},
        {azc__fixed_answer(c), (size_t)c->max_answers},
    };
    memcpy(out, kinds, sizeof kinds);
}

/* Make the slots, when azc_listen begins: fewer for timers and watched descriptors, if the program
 * has some already. Returns 0 if the memory is too small. */
static int azc__fixed_lay(azc__fixed *f, const azc_server *s) {
    azc__kind kinds[AZC__KINDS];
    azc__fixed_kinds(&s->config, kinds);
    kinds[AZC__KIND_ARRAY].count -= s->tasks != NULL;
    kinds[AZC__KIND_TIMER].count -= s->task_count;
    kinds[AZC__KIND_WATCHED].count -= s->watched_count;
    for (int i = AZC__KINDS_FIRST; i < AZC__KINDS; i++) {
        size_t size = azc__align(kinds[i].size);
        azc__slots *slots = azc__fixed_slots(f, size);
        for (size_t j = 0; j < kinds[i].count; j++) {
            void *ptr = azc__fixed_next(f, size);
            if (ptr == NULL) return 0;
            azc__fixed_return(slots, ptr);
        }
    }
    return 1;
}

/* ==== [7] SHA1_BASE64: only for Sec-WebSocket-Accept; RFC 3174, 4648, 6455 4.2.2 ============== */

/* One of the 80 rounds, on the words a to e in v. The function and the constant change every 20. */
static void azc__sha1_round(uint32_t v[5], int i, uint32_t word) {
    uint32_t b = v[1], c = v[2], d = v[3];
    uint32_t f = b ^ c ^ d, k = i < 40 ? 0x6ED9EBA1 : 0xCA62C1D6;
    if (i < 20) f = d ^ (b & (c ^ d)), k = 0x5A827999;
    else if (i >= 40 && i < 60) f = (b & c) | (d & (b | c)), k = 0x8F1BBCDC;
    uint32_t sum = azc__rotl(v[0], 5) + f + v[4] + k + word;
    memmove(v + 1, v, 4 * sizeof *v);
    v[0] = sum, v[2] = azc__rotl(b, 30);
}

/* The message must be whole blocks of 64 bytes: padded by the caller, its length at the end. */
static void azc__sha1(const unsigned char *p, size_t len, unsigned char out[20]) {
    uint32_t h[5] = {0x67452301, 0xEFCDAB89, 0x98BADCFE, 0x10325476, 0xC3D2E1F0}, v[5], w[80];
    for (const unsigned char *end = p + len; p < end;) {
        memcpy(v, h, sizeof v);
        for (int i = 0; i < 80; i++) {
            if (i >= 16) {
                w[i] = azc__rotl(w[i - 3] ^ w[i - 8] ^ w[i - 14] ^ w[i - 16], 1);
            } else {
                w[i] = (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | p[3];
                p += 4;
            }
            azc__sha1_round(v, i, w[i]);
        }
        for (int i = 0; i < 5; i++) h[i] += v[i];
    }
    for (int i = 0; i < 20; i++) out[i] = (unsigned char)(h[i / 4] >> (24 - 8 * (i % 4)));
}

#define AZC__BASE64 "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"

/* out must hold 4 * ((len + 2) / 3) characters and a NUL. */
static void azc__base64(const unsigned char *p, size_t len, char *out) {
    size_t n = 0, bit = 0; /* of p: a digit's six bits lie in at most two bytes */
    for (; bit < len * 8 || n % 4 != 0; n++, bit += 6) {
        const unsigned char *at = p + bit / 8;
        out[n] = '=';
        if (bit >= len * 8) continue;
        unsigned two = (unsigned)at[0] << 8 | (bit + 8 < len * 8 ? at[1] : 0u);
        out[n] = AZC__BASE64[two >> (10 - bit % 8) & 63];
    }
    out[n] = 0;
}

/* A key is the base64 of 16 bytes: 22 digits, of which the last ends with four zero bits, then
 * "==". */
static int azc__key_valid(const char *key) {
    return strspn(key, AZC__BASE64) == 22 && strcmp(key + 22, "==") == 0 &&
           strchr("AQgw", key[21]) != NULL;
}

/* RFC 6455 4.2.2 step 5.4. The key has 24 characters, the result 28 and a NUL. The text, 60
 * bytes, is padded as SHA-1 requires: 0x80, zeros, its length in bits. */
static AZC__RARE void azc__accept_key(const char *key, char out[29]) {
    unsigned char text[128] = {0}, digest[20];
    snprintf((char *)text, 61, "%.24s258EAFA5-E914-47DA-95CA-C5AB0DC85B11", key);
    text[60] = 0x80;
    text[126] = 60 * 8 >> 8, text[127] = 60 * 8 & 255;
    azc__sha1(text, sizeof text, digest);
    azc__base64(digest, 20, out);
}

/* ==== [8] UTF8: RFC 3629, as bytes arrive ===================================================== */

/* The state between two bytes: 0 at the end of a character; after a bad byte AZC__UTF8_BAD, which
 * no byte leaves; else bytes missing << 16 | the lowest << 8 | the highest byte that may come
 * next. */
#define AZC__UTF8_BAD 0xFF00u

/* The state after a lead byte. Each entry is the first lead byte of a range << 24 | the state after
 * it, in descending order. Where the second byte is limited, the bytes left out would encode: */
static uint32_t azc__utf8_lead(unsigned c) {
    static const uint32_t ranges[] = {
        0xF500FF00, 0xF403808F, /* more than U+10FFFF */
        0xF10380BF, 0xF00390BF, /* less than U+10000, which takes three bytes */
        0xEE0280BF, 0xED02809F, /* a surrogate */
        0xE10280BF, 0xE002A0BF, /* less than U+0800, which takes two bytes */
        0xC20180BF, 0x0000FF00  /* less than U+0080; or it is a continuation byte */
    };
    const uint32_t *range = ranges;
    while (*range >> 24 > c) range++;
    return *range & 0xFFFFFF;
}

#define AZC__HIGH_BITS 0x8080808080808080u /* of each byte in a word: it is not ASCII */

/* The number of ASCII bytes at the start of p, counted 32, 8 and 1 at a time. */
static size_t azc__ascii_run(const unsigned char *p, size_t n) {
    size_t i = 0;
    uint64_t w[4];
    for (; AZC__FAST && n - i >= 32; i += 32) {
        memcpy(w, p + i, 32);
        if ((w[0] | w[1] | w[2] | w[3]) & AZC__HIGH_BITS) break;
    }
    for (; AZC__FAST && n - i >= 8; i += 8) {
        memcpy(w, p + i, 8);
        if (w[0] & AZC__HIGH_BITS) break;
    }
    while (i < n && p[i] < 0x80) i++;
    return i;
}

/* The state after n more bytes. */
static uint32_t azc__utf8(uint32_t state, const unsigned char *p, size_t n) {
    if (n == 0) return state; /* p may be NULL */
    for (const unsigned char *end = p + n;;) {
        if (state == 0) p += azc__ascii_run(p, (size_t)(end - p));
        if (p == end) return state;
        unsigned c = *p++;
        if (state == 0) state = azc__utf8_lead(c);
        else if (c < (state >> 8 & 0xFF) || c > (state & 0xFF)) return AZC__UTF8_BAD;
        else state = state < 0x20000 ? 0 : ((state - 0x10000) & 0x30000) | 0x80BF;
    }
}

static int azc__utf8_valid(const void *p, size_t n) {
    return n == 0 || azc__utf8(0, (const unsigned char *)p, n) == 0;
}

static size_t azc__utf8_write(char out[4], int c) {
    size_t n = 1u + (c > 0x7F) + (c > 0x7FF) + (c > 0xFFFF);
    for (size_t i = n - 1; i > 0; i--, c >>= 6) out[i] = (char)(0x80 | (c & 0x3F));
    out[0] = (char)(n > 1 ? c | 0xF00 >> n : c);
    return n;
}

/* ==== [9] FRAME: RFC 6455 section 5; pure ===================================================== */

enum { AZC__OP_CONTINUATION = 0 };

/* The opcodes that may come next, one bit each. RFC 6455 5.4, 5.5: only control frames may come
 * between the fragments of a message, and they must not be fragmented themselves. */
static inline unsigned azc__frame_allowed(int in_message, int fin) {
    const unsigned control = 1u << AZC__OP_CLOSE | 1u << AZC__OP_PING | 1u << AZC__OP_PONG;
    const unsigned begin = 1u << AZC__OP_TEXT | 1u << AZC__OP_BINARY;
    return (in_message ? 1u << AZC__OP_CONTINUATION : begin) | (fin ? control : 0);
}

/* Bytes of a head without a mask, for a payload of this length. */
static size_t azc__frame_overhead(uint64_t len) { return len < 126 ? 2 : len < 65536 ? 4 : 10; }

/* Note why something is refused. Returns code. */
static AZC__RARE int azc__why(const char **why, int code, const char *words) {
    *why = words;
    return code;
}

static AZC__RARE int azc__frame_bad(const char **why, const char *rule) {
    return azc__why(why, -1002, rule);
}

/* Which rule an opcode breaks that azc__frame_allowed does not allow. */
static AZC__RARE const char *azc__frame_misplaced(unsigned opcode, int fin) {
    if (opcode == AZC__OP_CONTINUATION) return "a continuation without a message, RFC 6455 5.4";
    if (opcode <= AZC__OP_BINARY) return "a message within another message, RFC 6455 5.4";
    if (opcode >= AZC__OP_CLOSE && opcode <= AZC__OP_PONG && !fin)
        return "a fragmented control frame, RFC 6455 5.5";
    return "an unknown opcode, RFC 6455 5.2";
}

/* Read the head of a client's frame. in_message: the fragments of a message have begun; room: bytes
 * that the message may still grow by. Each byte is checked as soon as it is there, so that the
 * result does not depend on how the peer's bytes are cut.
 * Returns the head's length, 0 if more bytes are needed, or a negative close code, and then *why is
 * the rule that was broken. */
static inline int azc__frame_head(const unsigned char *p, size_t n, int in_message, uint64_t room,
                                  azc__frame *f, const char **why) {
    if (n < 1) return 0;
    unsigned opcode = p[0] & 15u, control = opcode & 8;
    f->opcode = (uint8_t)opcode;
    f->fin = p[0] >> 7;
    if (p[0] & 0x70) return azc__frame_bad(why, "a reserved bit is set, RFC 6455 5.2");
    if (!(azc__frame_allowed(in_message, f->fin) >> opcode & 1))
        return azc__frame_bad(why, azc__frame_misplaced(opcode, f->fin));

    if (n < 2) return 0;
    unsigned len7 = p[1] & 127u;
    if (!(p[1] & 0x80)) return azc__frame_bad(why, "an unmasked frame, RFC 6455 5.1");
    if (control && len7 > AZC__MAX_CONTROL)
        return azc__frame_bad(why, "a control frame over 125 bytes, RFC 6455 5.5");
    if (opcode == AZC__OP_CLOSE && len7 == 1)
        return azc__frame_bad(why, "a Close frame with half a code, RFC 6455 5.5.1");

    size_t size = len7 < 126 ? 2 : len7 == 126 ? 4 : 10;
    if (size == 10 && n > 2 && p[2] & 0x80)
        return azc__frame_bad(why, "a length over 63 bits, RFC 6455 5.2");
    if (n < size) return 0;
    f->len = size == 2 ? len7 : azc__big_endian(p + 2, (int)size - 2);
    if (azc__frame_overhead(f->len) != size)
        return azc__frame_bad(why, "a length that is not in its shortest form, RFC 6455 5.2");
    if (!control && f->len > room) return azc__why(why, -1009, "a message over max_message");

    if (n < size + 4) return 0;
    memcpy(f->mask, p + size, 4);
    return (int)size + 4;
}

/* Write the head of a server's frame: unmasked and unfragmented. Returns its length. */
static inline size_t azc__frame_write(unsigned char *out, int opcode, size_t len) {
    size_t size = azc__frame_overhead(len);
    out[0] = (unsigned char)(0x80 | opcode);
    out[1] = (unsigned char)(size == 2 ? len : size == 4 ? 126 : 127);
    for (size_t i = size; i > 2; i--, len >>= 8) out[i - 1] = (unsigned char)len;
    return size;
}

/* The mask as a word whose first byte is the one for the payload's byte `offset`. */
static inline uint64_t azc__mask_word(const unsigned char mask[4], uint64_t offset) {
    unsigned char twice[8];
    uint32_t turned;
    memcpy(twice, mask, 4);
    memcpy(twice + 4, mask, 4);
    memcpy(&turned, twice + (offset & 3), 4);
    return (uint64_t)turned << 32 | turned;
}

/* Unmask in place (RFC 6455 5.3): pairs of lanes, then words, then bytes. p[0] is byte number
 * `offset` of the payload. Returns whether any byte may be over 127: if not, text needs no check
 * of its UTF-8. AZCHAN_SMALL always checks. */
static inline int azc__unmask(unsigned char *p, size_t n, const unsigned char mask[4],
                              uint64_t offset) {
    uint64_t key = azc__mask_word(mask, offset), word;
    azc__lane sum = {0}, a, b;
    for (; AZC__FAST && n >= 2 * sizeof a; n -= 2 * sizeof a, p += 2 * sizeof a) {
        memcpy(&a, p, sizeof a);
        memcpy(&b, p + sizeof a, sizeof b);
        a ^= key;
        b ^= key;
        memcpy(p, &a, sizeof a);
        memcpy(p + sizeof a, &b, sizeof b);
        sum |= a | b;
    }
    uint64_t seen = AZC__LANE_OR(sum);
    for (; AZC__FAST && n >= sizeof word; n -= sizeof word, p += sizeof word) {
        memcpy(&word, p, sizeof word);
        word ^= key;
        memcpy(p, &word, sizeof word);
        seen |= word;
    }
    for (size_t i = 0; i < n; i++) { /* the loops above did whole masks, so `offset` still fits */
        p[i] ^= mask[(offset + i) & 3];
        seen |= p[i];
    }
    return !AZC__FAST || (seen & AZC__HIGH_BITS) != 0;
}

static int azc__close_code_valid(unsigned code) {
    return (code >= 1000 && code <= 1003) || (code >= 1007 && code <= 1014) ||
           (code >= 3000 && code <= 4999);
}

/* 0, or the negative close code if this Close payload is malformed. RFC 6455 5.5.1, 7.4 */
static int azc__close_check(const unsigned char *p, size_t n, const char **why) {
    if (n == 0) return 0;
    if (!azc__close_code_valid((unsigned)azc__big_endian(p, 2)))
        return azc__frame_bad(why, "a Close code that must not be sent, RFC 6455 7.4");
    return azc__utf8_valid(p + 2, n - 2)
               ? 0 : azc__why(why, -1007, "a Close reason that is not UTF-8, RFC 6455 5.5.1");
}

static void azc__event_make(azc__event *event, int kind, unsigned char *data, size_t len) {
    event->kind = kind;
    event->data = data;
    event->len = len;
}

/* Text that is not UTF-8. RFC 6455 8.1 */
#define AZC__BAD_TEXT "text that is not UTF-8, RFC 6455 8.1"
static AZC__RARE void azc__event_bad_text(azc__event *event) {
    event->kind = azc__why(&event->why, -1007, AZC__BAD_TEXT);
}

static AZC__RARE void azc__event_no_memory(azc__event *event) {
    event->kind = azc__why(&event->why, -1011, "out of memory");
}

/* Values of max_message: skip messages, because the connection is closing; allow any size, because
 * the channel takes messages in parts. */
#define AZC__DISCARD UINT64_MAX
#define AZC__ANY_SIZE (UINT64_MAX - 1)

/* Make *in if there is none; NULL without memory. It has the size of a first piece, see BUF. */
static azc__in *azc__in_make(azc__mem *mem, azc__in **in) {
    size_t size = sizeof **in;
    if (*in != NULL) return *in;
    azc__in *made = *in = (azc__in *)azc__pool_take(mem, &size, AZC__FIRST_PIECE);
    if (made != NULL) memset(made, 0, offsetof(azc__in, raw));
    return made;
}

static void azc__in_free(azc__mem *mem, azc__in **in) {
    azc__in *gone = *in;
    if (gone == NULL) return;
    *in = NULL;
    if (gone->body != NULL) gone->body->end(gone->body);
    azc__pool_return(mem, gone->data, gone->cap);
    azc__pool_return(mem, gone, mem->pool->class_size[AZC__FIRST_PIECE]);
}

/* Parse a frame head of which in->raw may hold the first bytes. Returns as azc__frame_head does. */
static int azc__decode_gather(azc__in *in, uint64_t max_message, const unsigned char *p, size_t n,
                              azc__frame *f, const char **why) {
    if (in != NULL && in->raw_len > 0) {
        size_t all = azc__min(in->raw_len + n, AZC__MAX_HEAD);
        memcpy(in->raw + in->raw_len, p, all - in->raw_len);
        p = in->raw;
        n = all;
    }
    return azc__frame_head(p, n, in != NULL && in->opcode != 0,
                           in != NULL ? max_message - in->len : max_message, f, why);
}

/* Keep the first bytes of a head until the others arrive. */
static void azc__decode_wait(azc__in *in, const unsigned char *p, size_t n) {
    memcpy(in->raw + in->raw_len, p, n);
    in->raw_len = (uint8_t)(in->raw_len + n);
}

/* The whole of a message, or of a control frame, is at hand: an event, unmasked in place. */
static void azc__decode_whole(const azc__frame *f, uint64_t max_message, unsigned char *payload,
                              azc__event *event) {
    size_t len = (size_t)f->len;
    int high = azc__unmask(payload, len, f->mask, 0);
    int text = f->opcode == AZC__OP_TEXT && max_message != AZC__DISCARD;
    azc__event_make(event, f->opcode, payload, len);
    if (text && high && !azc__utf8_valid(payload, len)) azc__event_bad_text(event);
}

/* The payload of this frame follows in several reads, or its message in several frames. */
static void azc__decode_begin(azc__in *in, const azc__frame *f) {
    in->raw_len = 0;
    in->in_frame = 1;
    in->frame = *f;
    in->remaining = f->len;
    if (f->opcode == AZC__OP_TEXT || f->opcode == AZC__OP_BINARY) in->opcode = f->opcode;
}

/* Decode a frame's head, and its payload too if that is at hand and is a whole message or control
 * frame. Returns the bytes taken; event->kind is negative after an error. */
static size_t azc__decode_head(azc__mem *mem, azc__in **in, uint64_t max_message, unsigned char *p,
                               size_t n, azc__event *event) {
    azc__frame f;
    size_t kept = *in != NULL ? (*in)->raw_len : 0;
    int size = azc__decode_gather(*in, max_message, p, n, &f, &event->why);
    size_t taken = size > 0 ? (size_t)size - kept : n;
    if (size < 0) {
        event->kind = size;
    } else if (size > 0 && f.fin && f.opcode != AZC__OP_CONTINUATION && f.len <= n - taken) {
        if (*in != NULL) (*in)->raw_len = 0;
        azc__decode_whole(&f, max_message, p + taken, event);
        taken += (size_t)f.len;
    } else if (azc__in_make(mem, in) == NULL) {
        azc__event_no_memory(event);
    } else if (size == 0) {
        azc__decode_wait(*in, p, n);
    } else {
        azc__decode_begin(*in, &f);
    }
    return taken;
}

/* Append payload to the message, and leave room for a NUL. Returns 0 without memory. */
static int azc__message_append(azc__mem *mem, azc__in *in, uint64_t max_message,
                               const unsigned char *p, size_t n) {
    size_t need = in->len + n + 1;
    size_t max = in->frame.fin ? need + (size_t)in->remaining : (size_t)max_message + 1;
    if (!azc__grow(mem, &in->data, &in->cap, need, max)) return 0;
    memcpy(in->data + in->len, p, n);
    in->len += n;
    return 1;
}

/* Take payload of the current frame. Text fails at its first byte that is not UTF-8. Returns the
 * bytes taken. */
static size_t azc__decode_payload(azc__mem *mem, azc__in *in, uint64_t max_message,
                                  unsigned char *p, size_t n, azc__event *event) {
    size_t taken = in->remaining < n ? (size_t)in->remaining : n;
    uint64_t offset = in->frame.len - in->remaining;
    int control = in->frame.opcode >= AZC__OP_CLOSE;
    in->remaining -= taken;
    if (!control && max_message == AZC__DISCARD) {
        in->utf8 = 0;
        return taken;
    }
    if (!control && event->parts != NULL) {
        event->parts->decode(in, p, taken, offset, event);
        return taken;
    }
    int high = azc__unmask(p, taken, in->frame.mask, offset);
    if (control) {
        memcpy(in->raw + offset, p, taken);
    } else if (!azc__message_append(mem, in, max_message, p, taken)) {
        azc__event_no_memory(event);
    } else if (in->opcode == AZC__OP_TEXT && (high || in->utf8 != 0)) {
        in->utf8 = azc__utf8(in->utf8, p, taken);
        if (in->utf8 == AZC__UTF8_BAD) azc__event_bad_text(event);
    }
    return taken;
}

/* The current frame is complete: make an event, unless its message has more frames. */
static void azc__decode_frame_end(azc__in *in, azc__event *event) {
    in->in_frame = 0;
    if (in->frame.opcode >= AZC__OP_CLOSE) {
        azc__event_make(event, in->frame.opcode, in->raw, (size_t)in->frame.len);
    } else if (in->frame.fin) {
        azc__event_make(event, in->opcode, in->data, in->len);
        if (in->utf8 != 0) azc__event_bad_text(event);
        in->opcode = 0;
        in->len = 0;
    }
}

/* Decode up to one event from p; the caller must have set event->parts. Partial input is kept in
 * *in, which exists only while there is some. event->data is valid until azc__decode_done, and a
 * NUL may be written behind it.
 * Returns the bytes taken: all n if event->kind is 0 or negative. */
static size_t azc__decode(azc__mem *mem, azc__in **in, uint64_t max_message,
                          unsigned char *p, size_t n, azc__event *event) {
    size_t done = 0;
    azc__event_make(event, AZC__OP_MORE, p, 0);
    event->flags = AZC_PART_FIRST | AZC_PART_LAST;
    while (event->kind == AZC__OP_MORE && done < n) {
        if (*in == NULL || !(*in)->in_frame)
            done += azc__decode_head(mem, in, max_message, p + done, n - done, event);
        azc__in *i = *in;
        if (event->kind != AZC__OP_MORE || !i->in_frame) continue; /* NOLINT: not NULL */
        done += azc__decode_payload(mem, i, max_message, p + done, n - done, event);
        if (event->kind == AZC__OP_MORE && i->in_frame && i->remaining == 0)
            azc__decode_frame_end(i, event);
    }
    if (event->kind == AZC__OP_CLOSE) {
        int bad = azc__close_check(event->data, event->len, &event->why);
        if (bad < 0) event->kind = bad;
    }
    return event->kind < 0 ? n : done;
}

/* After the event: free *in, unless it keeps partial input. */
static AZC__RARE void azc__decode_done(azc__mem *mem, azc__in **in) {
    azc__in *i = *in;
    if (i != NULL && !i->in_frame && i->raw_len == 0 && i->opcode == 0) azc__in_free(mem, in);
}

/* ==== [10] HTTP: request heads, strictly; RFC 9112, 9110, 6455 4.2; pure ====================== */

/* May this byte be in a line? RFC 9110 5.5: of the control characters, only the tab. */
static inline int azc__http_text(int c) { return c >= 32 ? c != 127 : c == '\t'; }

/* azc__scan.at: where the next byte of the head is. */
enum {
    AZC__AT_START,    /* of a line */
    AZC__IN_LINE,
    AZC__AT_LINE_END, /* after the CR of a line */
    AZC__AT_EMPTY_END /* after the CR of an empty line */
};

/* Look for the end of a request head in its next n bytes. The result depends only on the bytes up
 * to where it is found, not on how the peer's bytes are cut.
 * Returns how many of the n belong to the head, 0 if more are needed, or a negative HTTP status. */
static AZC__ASIDE int azc__http_scan(azc__scan *scan, const unsigned char *p, size_t n,
                                     size_t max) {
    size_t end = azc__min(n, max - scan->total), i = 0;
    int lines = scan->lines, at = scan->at;
    while (i < end) {
        int c = p[i++];
        if (azc__http_text(c) && at <= AZC__IN_LINE) {
            at = AZC__IN_LINE;
            while (AZC__FAST && i < end && azc__http_text(p[i])) i++;
        } else if (c == '\r' && at <= AZC__IN_LINE) {
            at = at == AZC__IN_LINE ? AZC__AT_LINE_END : AZC__AT_EMPTY_END;
        } else if (c == '\n' && at == AZC__AT_LINE_END) {
            if (lines++ > AZC__MAX_FIELDS) return -431;
            at = AZC__AT_START;
        } else if (c == '\n' && at == AZC__AT_EMPTY_END) {
            if (lines > 0) return (int)i;
            if (scan->total + i > 2) return -400; /* 9112 2.2: one empty line may come first */
            at = AZC__AT_START;
        } else {
            return -400;
        }
    }
    scan->total += (uint32_t)end;
    scan->lines = (uint16_t)lines;
    scan->at = (uint8_t)at;
    return end == n ? 0 : lines == 0 ? -414 : -431;
}

/* The value of the next field of this name, from index *at on. */
static const char *azc__http_next(const azc__request *r, const char *name, int *at) {
    while (*at < r->field_count) {
        const azc__field *f = &r->fields[(*at)++];
        if (AZC__FAST && (*f->name | 32) != (*name | 32)) continue; /* most names */
        if (azc__is_nocase(f->name, strlen(f->name), name)) return f->value;
    }
    return NULL;
}

static AZC__RARE const char *azc__http_field(const azc__request *r, const char *name) {
    int at = 0;
    return azc__http_next(r, name, &at);
}

/* The value of a field that must not be repeated. If it is, "?", which is no valid value of any. */
static const char *azc__http_only(const azc__request *r, const char *name) {
    int at = 0;
    const char *value = azc__http_next(r, name, &at);
    return azc__http_next(r, name, &at) == NULL ? value : "?";
}

/* Is the token in the fields of this name, taken as one list (RFC 9110 5.3)? exact: case counts. */
static int azc__http_has(const azc__request *r, const char *name, const char *token, int exact) {
    const char *list;
    size_t len;
    for (int i = 0; (list = azc__http_next(r, name, &i)) != NULL;) {
        for (const char *item; (item = azc__list_next(&list, &len)) != NULL;) {
            if (!azc__is_nocase(item, len, token)) continue;
            if (!exact || memcmp(item, token, len) == 0) return 1;
        }
    }
    return 0;
}

/* Is this entity tag, which has no comma, in If-None-Match? Weakened by a proxy it is the same.
 * RFC 9110 13.1.2, 8.8.3.2 */
static int azc__http_knows(const azc__request *r, const char *tag) {
    const char *list, *item;
    size_t len, n = strlen(tag);
    for (int i = 0; (list = azc__http_next(r, "If-None-Match", &i)) != NULL;) {
        while ((item = azc__list_next(&list, &len)) != NULL) {
            size_t weak = item[0] == 'W' && item[1] == '/' ? 2 : 0;
            if (len == n + weak && memcmp(item + weak, tag, n) == 0) return 1;
            if (len == 1 && *item == '*') return 1;
        }
    }
    return 0;
}

/* Is this host[:port]? The host is a name, an IPv4 address, "[IPv6]" or empty; the port is digits
 * or empty. s[len] must be a byte that neither contains. */
static int azc__http_authority(const char *s, size_t len) {
    const char *p = s;
    if (*s == '[') {
        do p++;
        while (azc__hex(p, 1) >= 0 || *p == ':' || *p == '.');
        if (p == s + 1 || *p++ != ']') return 0;
    } else {
        while (azc__char_in(AZC__HOST, *p)) p++;
        if (p == s) return len == 0;
    }
    if (*p == ':') {
        do p++;
        while (azc__digit(*p));
    }
    return p == s + len;
}

/* Which scheme is this? 0: none of these; the even ones are secure. */
enum { AZC__HTTP_PLAIN = 1, AZC__HTTP_SECURE, AZC__WS_PLAIN, AZC__WS_SECURE };
static AZC__RARE int azc__http_scheme(const char *s, size_t len) {
    const char *name = "http\0https\0ws\0wss\0";
    int n = 1;
    for (; *name && !azc__is_nocase(s, len, name); n++) name = azc__string_next(name);
    return *name ? n : 0;
}

/* Take scheme and authority off a target in absolute-form; the authority replaces the Host field
 * (9112 3.2.2). Returns where the path starts, or NULL if the target is malformed. */
static char *azc__http_absolute(azc__request *r, char *target) {
    char *colon = strstr(target, "://");
    if (colon == NULL || !azc__http_scheme(target, (size_t)(colon - target))) return NULL;
    r->host = colon + 3;
    r->host_len = strcspn(r->host, "/?");
    return r->host_len > 0 ? colon + 3 + r->host_len : NULL;
}

static AZC__RARE int azc__http_bad(azc__request *r, const char *rule) {
    return azc__why(&r->why, -400, rule);
}

/* Split a target in any form; "*" is OPTIONS's alone (9112 3.2.4), and is the path then. */
static int azc__http_target(azc__request *r, int options) {
    for (const char *c = r->target; *c; c++) {
        if (*c < 33 || *c > 126 || *c == '#')
            return azc__http_bad(r, "a target with a byte that must be percent-encoded, RFC 3986");
    }
    int itself = *r->target == '/' || (options && strcmp(r->target, "*") == 0);
    char *p = itself ? r->target : azc__http_absolute(r, r->target);
    if (p == NULL) return azc__http_bad(r, "a target that is no path, RFC 9112 3.2");
    r->path = p;
    r->path_len = strcspn(p, "?");
    r->query = p[r->path_len] == '?' ? p + r->path_len + 1 : NULL;
    return 0;
}

/* End the text at p with a NUL. It must be a token (any: anything) of at least one byte, and this
 * byte must follow. Returns what comes after that, or NULL. */
static char *azc__http_cut(char *p, char after, int any) {
    char *end = p;
    while (any ? *end && *end != after : azc__char_in(AZC__TOKEN, *end)) end++;
    if (end == p || *end != after) return NULL;
    *end = 0;
    return end + 1;
}

/* method SP target SP HTTP/1.x. The line is NUL-terminated. A malformed one leaves method NULL. The
 * minor version makes no difference from 1 on; 505 is about the major one (9110 2.5, 15.6.6). */
static int azc__http_request_line(azc__request *r, char *line) {
    char *p = r->target = azc__http_cut(line, ' ', 0);
    if (p != NULL) p = azc__http_cut(p, ' ', 1);
    for (int i = 0; i < 9; i++) {
        if (p == NULL || (azc__digit(p[i]) ? '0' : p[i]) != "HTTP/0.0"[i])
            return azc__http_bad(r, "not \"method target HTTP/1.1\", RFC 9112 3");
    }
    int status = azc__http_target(r, strcmp(line, "OPTIONS") == 0);
    if (p[5] != '1') status = azc__why(&r->why, -505, "HTTP/1.0 and 1.1 are supported");
    if (status == -400) return status;
    r->method = line;
    r->http10 = p[7] == '0';
    return status;
}

/* name: value. The line is NUL-terminated. A space before the colon and a folded line are refused
 * (9112 5.1, 5.2), because proxies disagree about their meaning. */
static int azc__http_field_line(azc__request *r, char *line) {
    if (r->field_count == AZC__MAX_FIELDS) return -431;
    char *p = azc__http_cut(line, ':', 0);
    if (p == NULL) return azc__http_bad(r, "a field that is not \"name: value\", RFC 9112 5");
    p += strspn(p, " \t");
    p[azc__trim(p, strlen(p))] = 0;
    r->fields[r->field_count].name = line;
    r->fields[r->field_count++].value = p;
    return 0;
}

/* A body whose end is ambiguous is refused (9112 6): both fields, a bad or repeated length, or an
 * encoding that HTTP/1.0 does not have. */
static int azc__http_framing(azc__request *r) {
    const char *length = azc__http_only(r, "Content-Length");
    r->chunked = azc__http_field(r, "Transfer-Encoding") != NULL;
    char *end = NULL;
    int bad = r->chunked && r->http10;
    if (length != NULL) {
        errno = 0;
        r->body = strtoull(length, &end, 10) > 0;
        bad = r->chunked || !azc__digit(*length) || *end != 0 || errno != 0;
    }
    return bad ? azc__http_bad(r, "a body whose length is ambiguous, RFC 9112 6") : 0;
}

static int azc__http_lines(azc__request *r, char *head, size_t len) {
    char *line = head;
    for (char *end; line < head + len; line = end + 1) {
        end = strchr(line, '\n'); /* the head ends with one and contains no NUL */
        end[-1] = 0;              /* the CR; NOLINT: not NULL */
        if (*line == 0) continue; /* an empty line: the first, perhaps, and the last */
        int status = r->method == NULL ? azc__http_request_line(r, line)
                                       : azc__http_field_line(r, line);
        if (status < 0) return status;
    }
    return 0;
}

/* 9112 3.2: there must be exactly one Host field, even if the target has an authority. HTTP/1.0 may
 * have none. */
static int azc__http_host(azc__request *r) {
    const char *host = azc__http_only(r, "Host");
    if (host == NULL && r->http10) host = "";
    size_t len = host != NULL ? strlen(host) : 0;
    int bad = host == NULL || !azc__http_authority(host, len);
    if (r->host != NULL) {
        bad = bad || !azc__http_authority(r->host, r->host_len);
    } else {
        r->host = host;
        r->host_len = len;
    }
    return bad ? azc__http_bad(r, "not exactly one Host field with a valid host, RFC 9112 3.2") : 0;
}

/* Parse a whole head, as azc__http_scan found it, in place: its bytes become the request's strings.
 * Returns 0 or a negative HTTP status. */
static AZC__RARE int azc__http_parse(azc__request *r, char *head, size_t len) {
    memset(r, 0, offsetof(azc__request, extra));
    int status = azc__http_lines(r, head, len);
    if (status == 0) status = azc__http_host(r);
    if (status < 0) return status;
    int close = azc__http_has(r, "Connection", "close", 0);
    r->keep_alive = !r->http10 && !close;
    r->upgrade = !r->http10 && azc__http_has(r, "Connection", "Upgrade", 0) && /* 9110 7.8 */
                 azc__http_has(r, "Upgrade", "websocket", 0);
    r->head_only = strcmp(r->method, "HEAD") == 0;
    status = azc__http_framing(r);
    r->last = status == 0 && r->body == 0 && !r->chunked &&
              (close || (r->http10 && !azc__http_has(r, "Connection", "keep-alive", 0)));
    return status;
}

/* Decode n bytes to *out, add a NUL, and move *out past it.
 * Returns 0, or -400 for a malformed escape, a NUL, or a result that is not UTF-8. */
enum { AZC__AS_IS, AZC__PERCENT, AZC__PLUS }; /* no decoding; %41 is A; and + is a space */
static int azc__http_decode(char **out, const char *p, size_t n, int how) {
    char *to = *out;
    for (const char *end = p + n; p < end; p++) {
        int c = (unsigned char)*p;
        if (c == '+' && how == AZC__PLUS) c = ' ';
        if (c == '%' && how != AZC__AS_IS) {
            c = end - p < 3 ? -1 : azc__hex(p + 1, 2);
            p += 2;
        }
        if (c <= 0) return -400;
        *to++ = (char)c;
    }
    if (how != AZC__AS_IS && !azc__utf8_valid(*out, (size_t)(to - *out))) return -400;
    *to++ = 0;
    *out = to;
    return 0;
}

/* Write the pairs of a query, decoded, or of a Cookie field, as they are, as "name\0value\0...". A
 * pair without a name is dropped, and so is a cookie without '='. The caller must add an empty name
 * at the end.
 * WHATWG URL, application/x-www-form-urlencoded; RFC 6265 4.2.1 */
static int azc__http_pairs(char **out, const char *p, int cookies) {
    const char *ends = cookies ? "=;" : "=&";
    int how = cookies ? AZC__AS_IS : AZC__PLUS;
    for (; p != NULL && *p; p += *p != 0) {
        char *start = *out;
        if (cookies) p += strspn(p, " ");
        size_t n = strcspn(p, ends);
        if (azc__http_decode(out, p, n, how) < 0) return -400;
        p += n;
        int equals = *p == '=';
        p += equals;
        n = strcspn(p, ends + 1);
        if (azc__http_decode(out, p, n, how) < 0) return -400;
        p += n;
        if (*start == 0 || (cookies && !equals)) *out = start;
    }
    return 0;
}

/* The length without the port, if it is this one. */
static size_t azc__http_portless(const char *host, size_t len, const char *port) {
    size_t n = strlen(port);
    return len > n && memcmp(host + len - n, port, n) == 0 ? len - n : len;
}

/* ---- Origins: RFC 6454 ---- */

/* How many characters of a scheme or of a host's name there are. */
static size_t azc__origin_span(const char *s) {
    return strspn(s, "0123456789-._+abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ");
}

/* Can an entry of config.origins, which ends in a space or NUL, match what a browser sends? It is
 * "*", "null", or scheme://host with a port unless that is the scheme's own; the host may begin
 * with "*.". Pages have no ws: URL. Schemes of apps need no host: file:// */
static AZC__RARE int azc__origin_valid(const char *s, size_t len) {
    size_t n = azc__origin_span(s);
    int web = azc__http_scheme(s, n);
    if (azc__is_nocase(s, len, "*") || azc__is_nocase(s, len, "null")) return 1;
    if (n == 0 || strncmp(s + n, "://", 3) != 0 || web >= AZC__WS_PLAIN) return 0;
    char *p = (char *)(uintptr_t)s + n + 3;
    if (p[0] == '*' && p[1] == '.') p += 2;
    int v6 = *p == '[';
    n = v6 ? strspn(p + 1, ":.0123456789abcdefABCDEF") : azc__origin_span(p);
    if ((web || v6) && (n == 0 || *p == '.')) return 0;
    if (v6 && p[n + 1] != ']') return 0;
    p += v6 ? n + 2 : n;
    if (*p == ':') {
        if (!azc__digit(p[1]) || p[1] == '0') return 0;
        unsigned long port = strtoul(p + 1, &p, 10);
        if (port > 65535 || (web && port == (web == AZC__HTTP_SECURE ? 443 : 80))) return 0;
    }
    return p == s + len;
}

/* Is the origin this valid entry, or below its "*."? The star stands for one or more labels. */
static AZC__RARE int azc__origin_matches(const char *entry, size_t len, const char *origin) {
    const char *star = (const char *)memchr(entry, '*', len);
    if (star == NULL || star[1] != '.') return len == 1 ? star != NULL
                                                        : azc__is_nocase(entry, len, origin);
    size_t start = (size_t)(star - entry), rest = len - start - 1, n = strlen(origin);
    const char *p = origin + start, *end = origin + n - rest;
    if (n <= start + rest || !azc__equal_nocase(entry, start, origin, start) ||
        !azc__equal_nocase(star + 1, rest, end, rest) || *p == '.') return 0;
    if (azc__origin_span(p) < (size_t)(end - p)) return 0;
    for (; p < end; p++) {
        if (p[0] == '.' && p[1] == '.') return 0; /* *end is a dot too */
    }
    return 1;
}

/* Is the origin a page of the request's own host? Their schemes must agree if a trusted proxy named
 * ours. */
static int azc__origin_same(const azc__request *r, const char *origin) {
    const char *host = strstr(origin, "://");
    int web = host != NULL ? azc__http_scheme(origin, (size_t)(host - origin)) : 0;
    if (web != AZC__HTTP_PLAIN && web != AZC__HTTP_SECURE) return 0;
    if (r->scheme != 0 && (r->scheme == 's') != (web == AZC__HTTP_SECURE)) return 0;
    const char *port = web == AZC__HTTP_SECURE ? ":443" : ":80";
    host += 3;
    return azc__equal_nocase(host, azc__http_portless(host, strlen(host), port), r->host,
                             azc__http_portless(r->host, r->host_len, port));
}

/* May a page of this origin open a channel? RFC 6455 10.2, 6454 7. A peer that sends no origin is
 * no browser. allowed: the list of config.origins, or NULL for the same origin. */
static AZC__RARE int azc__http_origin(const azc__request *r, const char *allowed) {
    const char *origin = azc__http_only(r, "Origin");
    if (origin == NULL) return 1;
    if (*origin == '?') return 0; /* repeated */
    if (allowed == NULL) return azc__origin_same(r, origin);
    while (*(allowed += strspn(allowed, " "))) {
        size_t n = strcspn(allowed, " ");
        if (azc__origin_matches(allowed, n, origin)) return 1;
        allowed += n;
    }
    return 0;
}

/* Is this NULL, or text for a header field of at most max bytes, which cannot end its line? */
static int azc__field_valid(const char *s, size_t max) {
    size_t len = 0;
    for (; s != NULL && s[len]; len++) {
        if (!azc__http_text((unsigned char)s[len])) return 0;
    }
    return len <= max;
}

/* ==== [11] ROUTE: path patterns; pure ========================================================= */

/* The kind of a pattern's segment, or 0 if it is malformed. */
static char azc__route_kind(const char *p, size_t len, int last) {
    if (len == 0) return last ? (char)AZC__LITERAL : 0;
    for (size_t i = 0; i < len; i++) {
        unsigned char c = (unsigned char)p[i];
        if (c <= 32 || c == 127 || c == '?' || c == '#' || c == '%') return 0;
    }
    if (*p != ':' && *p != '*') return AZC__LITERAL;
    if (len == 1 || (*p == '*' && !last)) return 0;
    return *p == ':' ? (char)AZC__PARAM : (char)AZC__REST;
}

static AZC__RARE void azc__route_free(const azc__mem *mem, azc__route *route) {
    azc__free(mem, route, route->size);
}

/* The index of the route's parameter of this name, or -1. */
static int azc__route_param(const azc__route *route, const char *name) {
    int n = 0;
    for (const char *text = route->text; *text; text = azc__string_next(text)) {
        if (*text == AZC__LITERAL) continue;
        if (strcmp(text + 1, name) == 0) return n;
        n++;
    }
    return -1;
}

/* Split a pattern. Returns AZC_OK, AZC_ERR_PATTERN or AZC_ERR_MEMORY. */
static int azc__route_parse(const azc__mem *mem, const char *path, azc__route **out) {
    size_t len = strlen(path), size = sizeof(azc__route) + 2 * len + 2;
    if (*path != '/' || !azc__utf8_valid(path, len)) return AZC_ERR_PATTERN;
    azc__route *route = (azc__route *)azc__zalloc(mem, size);
    if (route == NULL) return AZC_ERR_MEMORY;
    route->size = size;
    route->text = (char *)(route + 1);
    int good = 1, params = 0;
    for (char *text = route->text; good && *path;) {
        const char *p = path + 1;
        size_t n = strcspn(p, "/");
        path = p + n;
        *text = azc__route_kind(p, n, *path == 0);
        good = *text != 0;
        if (*text++ > AZC__LITERAL) p++; /* past the ':' or '*' */
        if (good) memcpy(text, p, (size_t)(path - p));
        /* A name that is already used is found at a lower index. */
        if (text[-1] > AZC__LITERAL && azc__route_param(route, text) != params++) good = 0;
        text += path - p + 1;
    }
    if (!good) {
        azc__route_free(mem, route);
        return AZC_ERR_PATTERN;
    }
    *out = route;
    return AZC_OK;
}

/* The order of precedence: a literal segment before a parameter before a rest. The order of two
 * literals matters only to the search for equal patterns. 0: equal except for parameter names. */
static int azc__route_compare(const char *a, const char *b) {
    for (;; a = azc__string_next(a), b = azc__string_next(b)) {
        int order = *a == AZC__LITERAL ? strcmp(a, b) : *a - *b;
        if (order != 0 || *a == 0) return order;
    }
}

/* Insert in order of precedence, so that the first match is the best. Returns AZC_OK, or
 * AZC_ERR_CONFLICT without a change. */
static int azc__route_insert(azc__route **list, azc__route *route) {
    for (; *list != NULL; list = &(*list)->next) {
        int order = azc__route_compare((*list)->text, route->text);
        if (order == 0) return AZC_ERR_CONFLICT;
        if (order > 0) break;
    }
    route->next = *list;
    *list = route;
    return AZC_OK;
}

/* Split a path at its slashes. Write each segment, decoded and with a NUL, to *out.
 * Returns how many, or -400. */
static int azc__route_split(char **out, const char *path, size_t len) {
    int count = 0;
    const char *end = path + len;
    do {
        const char *p = path < end ? path + 1 : end;
        for (path = p; path < end && *path != '/';) path++;
        if (azc__http_decode(out, p, (size_t)(path - p), AZC__PERCENT) < 0) return -400;
        count++;
    } while (path < end);
    return count;
}

static AZC__RARE int azc__route_matches(const azc__route *route, const char *segments, int count) {
    const char *text = route->text;
    for (; count > 0 && *text; count--) {
        if (*text == AZC__REST) return 1;
        if (*text == AZC__LITERAL ? strcmp(text + 1, segments) != 0 : *segments == 0) return 0;
        text = azc__string_next(text);
        segments = azc__string_next(segments);
    }
    return count == 0 && *text == 0;
}

static const azc__route *azc__route_find(const azc__route *list, const char *segments, int count) {
    while (list != NULL && !azc__route_matches(list, segments, count)) list = list->next;
    return list;
}

/* Write the values of the route's parameters, in their order and each with a NUL, to *out. A rest
 * is all segments from its own on, joined by slashes. */
static void azc__route_values(const azc__route *route, const char *segments, int count,
                              char **out) {
    for (const char *text = route->text; *text; text = azc__string_next(text), count--) {
        if (*text != AZC__LITERAL) *out = stpcpy(*out, segments) + 1;
        for (; *text == AZC__REST && count > 1; count--) {
            segments = azc__string_next(segments);
            (*out)[-1] = '/';
            *out = stpcpy(*out, segments) + 1;
        }
        segments = azc__string_next(segments);
    }
}

/* ==== [12] JSON: RFC 8259, read without allocation, written into a buffer; pure =============== */

/* ---- Checking ---- */

/* The text that is still to be read. The azc__json_scan functions return 1 with p after what they
 * found, or 0 with p at the first wrong byte. */
typedef struct azc__text {
    const char *p, *end;
} azc__text;

/* Skip spaces; returns the next byte without taking it, 0 at the end. */
static int azc__json_peek(azc__text *t) {
    while (t->p < t->end && (*t->p == ' ' || *t->p == '\t' || *t->p == '\n' || *t->p == '\r'))
        t->p++;
    return t->p < t->end ? *t->p : 0;
}

/* Take this byte if it comes next. */
static int azc__json_take(azc__text *t, char c) {
    if (t->p == t->end || *t->p != c) return 0;
    t->p++;
    return 1;
}

/* Take this byte if it comes next after spaces. */
static int azc__json_mark(azc__text *t, char c) {
    azc__json_peek(t);
    return azc__json_take(t, c);
}

/* The UTF-16 code unit of the \uXXXX at p, or -1. */
static int azc__json_unit(const char *p, const char *end) {
    return end - p < 6 || p[0] != '\\' || p[1] != 'u' ? -1 : azc__hex(p + 2, 4);
}

/* Escapes of one letter: the characters, and the letters in the same order. */
static const char azc__json_chars[] = "\"\\/\b\f\n\r\t", azc__json_letters[] = "\"\\/bfnrt";

/* The byte of `to` where `from` has c, or 0. */
static int azc__json_map(int c, const char *from, const char *to) {
    const char *at = strchr(from, c);
    return at != NULL ? to[at - from] : 0;
}

/* Decode the escape at t->p, a backslash, to out. RFC 8259 7: a character over U+FFFF is a pair of
 * escapes, a high and a low surrogate. Returns the bytes written, 0 for a malformed escape. */
static size_t azc__json_escape(azc__text *t, char out[4]) {
    const char *p = t->p;
    int code = t->end - p > 1 ? azc__json_map(p[1], azc__json_letters, azc__json_chars) : 0;
    int len = 2;
    if (code == 0) {
        code = azc__json_unit(p, t->end);
        if (code < 0) return 0;
        len = 6;
    }
    if (code >= 0xD800 && code <= 0xDFFF) {
        int low = azc__json_unit(p + 6, t->end);
        if (code > 0xDBFF || low < 0xDC00 || low > 0xDFFF) return 0;
        code = 0x10000 + ((code - 0xD800) << 10) + (low - 0xDC00);
        len = 12;
    }
    t->p += len;
    return azc__utf8_write(out, code);
}

/* Decode the next character of a string to out. Returns the bytes written, 0 for a bad one. */
static size_t azc__json_char(azc__text *t, char out[4]) {
    if (*t->p == '\\') return azc__json_escape(t, out);
    size_t n = 0;
    uint32_t utf8 = (unsigned char)*t->p < 32 ? AZC__UTF8_BAD : 0;
    do {
        utf8 = azc__utf8(utf8, (const unsigned char *)t->p, 1);
        if (utf8 == AZC__UTF8_BAD) return 0;
        out[n++] = *t->p++;
    } while (utf8 != 0 && t->p < t->end);
    return utf8 == 0 ? n : 0;
}

static int azc__json_scan_string(azc__text *t) {
    char c[4];
    t->p++;
    while (t->p < t->end && *t->p != '"') {
        if (AZC__FAST && *t->p >= 32 && *t->p < 127 && *t->p != '\\') t->p++;
        else if (azc__json_char(t, c) == 0) return 0;
    }
    return azc__json_take(t, '"');
}

static int azc__json_scan_digits(azc__text *t) {
    const char *start = t->p;
    while (t->p < t->end && *t->p >= '0' && *t->p <= '9') t->p++;
    return t->p > start;
}

/* A number ends after a leading zero, so 01 fails at its second digit. */
static int azc__json_scan_number(azc__text *t) {
    azc__json_take(t, '-');
    if (!azc__json_take(t, '0') && !azc__json_scan_digits(t)) return 0;
    if (azc__json_take(t, '.') && !azc__json_scan_digits(t)) return 0;
    if (!azc__json_take(t, 'e') && !azc__json_take(t, 'E')) return 1;
    if (!azc__json_take(t, '-')) azc__json_take(t, '+');
    return azc__json_scan_digits(t);
}

static int azc__json_scan_word(azc__text *t) {
    const char *word = *t->p == 't' ? "true" : *t->p == 'f' ? "false" : "null";
    while (*word && azc__json_take(t, *word)) word++;
    return *word == 0;
}

static int azc__json_scan_scalar(azc__text *t, int first) {
    if (first == '"') return azc__json_scan_string(t);
    return first >= 'a' ? azc__json_scan_word(t) : azc__json_scan_number(t);
}

/* A member's name and colon. */
static int azc__json_scan_name(azc__text *t) {
    return azc__json_peek(t) == '"' && azc__json_scan_string(t) && azc__json_mark(t, ':');
}

/* Check the next value, with at most max_depth containers in each other. It does not recurse: close
 * holds the bytes that must close the open containers. */
static int azc__json_scan_value(azc__text *t, int max_depth) {
    char close[AZC__MAX_DEPTH + 1];
    for (int depth = 0;;) {
        int c = azc__json_peek(t), opened = c == '{' || c == '[';
        if (opened) {
            if (depth++ == max_depth) return 0;
            close[depth] = c == '{' ? '}' : ']';
            t->p++;
        } else if (!azc__json_scan_scalar(t, c)) {
            return 0;
        }
        for (; depth > 0 && azc__json_mark(t, close[depth]); depth--) opened = 0;
        if (depth == 0) return 1;
        if (!opened && !azc__json_take(t, ',')) return 0; /* no comma before the first element */
        if (close[depth] == '}' && !azc__json_scan_name(t)) return 0;
    }
}

/* ---- Reading ---- */

static int azc__json_type(char first) {
    switch (first) {
    case '{': return AZC_JSON_OBJECT;
    case '[': return AZC_JSON_ARRAY;
    case '"': return AZC_JSON_STRING;
    case 'n': return AZC_JSON_NULL;
    case 't':
    case 'f': return AZC_JSON_BOOL;
    default: return AZC_JSON_NUMBER;
    }
}

static void azc__json_set(azc_json *value, const char *text, const char *end) {
    value->text = text;
    value->len = (size_t)(end - text);
    value->type = azc__json_type(*text); /* NOLINT: a value was read there */
}

static AZC__RARE void azc__json_none(azc_json *value) {
    value->text = "";
    value->len = 0;
    value->type = AZC_JSON_NONE;
}

/* Set *value to the next value; 0 if there is none. */
static int azc__json_view(azc__text *t, azc_json *value) {
    azc__json_peek(t);
    const char *start = t->p;
    if (!azc__json_scan_value(t, AZC__MAX_DEPTH)) return 0;
    azc__json_set(value, start, t->p);
    return 1;
}

/* The text between the brackets or quotes of a value. If it has another type: empty, p NULL. */
static azc__text azc__json_inside(const azc_json *value, int type) {
    azc__text t = {NULL, NULL};
    if (value->type != type) return t;
    t.p = value->text + 1;
    t.end = value->text + value->len - 1;
    return t;
}

/* Read the next element of an array or, if name is not NULL, the next member of an object; 0 at the
 * end. */
static int azc__json_step(azc__text *t, azc_json *name, azc_json *value) {
    azc__json_mark(t, ',');
    if (name != NULL && azc__json_view(t, name)) azc__json_mark(t, ':');
    return azc__json_view(t, value);
}

AZC_API int azc_json_read(azc_json *doc, const char *text, size_t len) {
    if (doc == NULL) return AZC_ERR_ARGUMENT;
    azc__json_none(doc);
    if (text == NULL) return AZC_ERR_ARGUMENT;
    if (len >= AZC_NUL && (len = azc__measure(text, len)) >= AZC_NUL) return AZC_ERR_FULL;
    azc__text t = {text, text + len};
    if (azc__json_view(&t, doc)) {
        azc__json_peek(&t);
        if (t.p == t.end) return AZC_OK;
    }
    doc->text = text;
    doc->len = (size_t)(t.p - text);
    doc->type = AZC_JSON_NONE;
    return AZC_ERR_JSON;
}

AZC_API azc_json_iter azc_json_each(azc_json value) {
    azc_json_iter iter;
    azc__json_none(&iter.name);
    azc__json_none(&iter.value);
    iter.azc__object = value.type == AZC_JSON_OBJECT;
    azc__text t = azc__json_inside(&value, iter.azc__object ? AZC_JSON_OBJECT : AZC_JSON_ARRAY);
    iter.azc__at = t.p;
    iter.azc__stop = t.end;
    return iter;
}

AZC_API int azc_json_next(azc_json_iter *iter) {
    if (iter == NULL) return 0;
    azc__text t = {iter->azc__at, iter->azc__stop};
    int more = azc__json_step(&t, iter->azc__object ? &iter->name : NULL, &iter->value);
    iter->azc__at = t.p;
    return more;
}

AZC_API int azc_json_equals(azc_json value, const char *s) {
    azc__text t = azc__json_inside(&value, AZC_JSON_STRING);
    if (s == NULL || t.p == NULL) return 0;
    while (t.p < t.end) {
        char c[4] = "";
        size_t n = azc__json_char(&t, c);
        if (*c == 0 || strncmp(c, s, n) != 0) return 0;
        s += n;
    }
    return *s == 0;
}

AZC_API azc_json azc_json_get(azc_json value, const char *name) {
    azc__text t = azc__json_inside(&value, AZC_JSON_OBJECT);
    azc_json key, member;
    azc__json_none(&value);
    while (name != NULL && azc__json_step(&t, &key, &member)) {
        if (azc_json_equals(key, name)) value = member;
    }
    return value;
}

AZC_API azc_json azc_json_at(azc_json value, size_t index) {
    azc__text t = azc__json_inside(&value, AZC_JSON_ARRAY);
    do azc__json_none(&value);
    while (azc__json_step(&t, NULL, &value) && index-- > 0);
    return value;
}

AZC_API size_t azc_json_count(azc_json value) {
    azc_json_iter iter = azc_json_each(value);
    size_t count = 0;
    while (azc_json_next(&iter)) count++;
    return count;
}

AZC_API int azc_json_string(azc_json value, char *buf, size_t size) {
    azc__text t = azc__json_inside(&value, AZC_JSON_STRING);
    size_t len = 0;
    if (buf != NULL && size == 0) return AZC_ERR_FULL;
    if (buf != NULL) buf[0] = 0;
    if (t.p == NULL) return AZC_ERR_TYPE;
    while (t.p < t.end) {
        char c[4];
        size_t n = azc__json_char(&t, c);
        if (buf != NULL) {
            if (n >= size - len) return AZC_ERR_FULL;
            memcpy(buf + len, c, n);
            buf[len + n] = 0;
        }
        len += n;
    }
    return (int)len;
}

/* ---- Numbers ---- */

/* A number as digits * 10^exponent. It has no decimal point, because strtod expects the one of
 * the locale. At most 768 digits decide how a double is rounded; of those past the 770th it
 * matters only whether one is not 0, and then the 770th is made odd. */
enum { AZC__MAX_DIGITS = 770 };
typedef struct azc__decimal {
    int count, exponent; /* count: of the sign and the digits */
    char text[800];      /* the sign and the digits; then room for an exponent and a NUL */
} azc__decimal;

static void azc__decimal_digit(azc__decimal *d, char digit) {
    if (digit == '0' && d->count == 1) return; /* a leading zero */
    if (d->count <= AZC__MAX_DIGITS) {
        d->text[d->count++] = digit;
        return;
    }
    if (digit != '0') d->text[AZC__MAX_DIGITS] |= 1;
    d->exponent++;
}

/* p is at the 'e' or at the end. The limit keeps n from overflowing. */
static int azc__decimal_exponent(const char *p, const char *end) {
    int sign = 1, n = 0;
    while (++p < end) {
        if (*p == '-') sign = -1;
        else if (*p != '+' && n < 100000000) n = n * 10 + (*p - '0');
    }
    return sign * n;
}

/* Returns 0 if the value is not a number. */
static int azc__decimal_read(azc__decimal *d, const azc_json *value) {
    if (value->type != AZC_JSON_NUMBER) return 0;
    const char *p = value->text, *end = p + value->len;
    int fraction = 0;
    d->count = 1;
    d->exponent = 0;
    d->text[0] = '+';
    if (*p == '-') d->text[0] = *p++;
    for (; p < end && (*p | 32) != 'e'; p++) {
        if (*p == '.') {
            fraction = 1;
        } else {
            d->exponent -= fraction;
            azc__decimal_digit(d, *p);
        }
    }
    d->exponent += azc__decimal_exponent(p, end);
    for (; d->text[d->count - 1] == '0'; d->count--) d->exponent++;
    if (d->count == 1) {
        d->text[d->count++] = '0';
        d->exponent = 0;
    }
    return 1;
}

/* False for infinity and NaN, whose exponent is all ones. It looks at the bits, because -ffast-math
 * assumes that neither exists. If a double has another format, nothing is refused. */
static int azc__finite(double v) {
    uint64_t bits = 0;
    if (sizeof v == sizeof bits) memcpy(&bits, &v, sizeof v);
    return (bits >> 52 & 0x7FF) != 0x7FF;
}

/* Are both the same, bit by bit? */
static int azc__same(double a, double b) {
    return memcmp(&a, &b, sizeof a) == 0; /* NOLINT: the bits are what is asked for */
}

AZC_API int azc_json_double(azc_json value, double *out) {
    azc__decimal d;
    if (out == NULL) return AZC_ERR_ARGUMENT;
    *out = 0;
    if (!azc__decimal_read(&d, &value)) return AZC_ERR_TYPE;
    snprintf(d.text + d.count, sizeof d.text - (size_t)d.count, "e%d", d.exponent);
    double v = strtod(d.text, NULL);
    if (!azc__finite(v)) return AZC_ERR_RANGE;
    *out = v;
    return AZC_OK;
}

/* The integer, in two's complement if is_signed. Its sign and digits take at
 * most 21 characters. */
static int azc__json_integer(const azc_json *value, uint64_t *out, int is_signed) {
    azc__decimal d;
    if (out == NULL) return AZC_ERR_ARGUMENT;
    *out = 0;
    if (!azc__decimal_read(&d, value)) return AZC_ERR_TYPE;
    if (d.exponent < 0 || d.count + d.exponent > 21) return AZC_ERR_RANGE;
    memset(d.text + d.count, '0', (size_t)d.exponent);
    d.text[d.count + d.exponent] = 0;
    errno = 0;
    uint64_t v = is_signed ? (uint64_t)strtoll(d.text, NULL, 10) : strtoull(d.text, NULL, 10);
    if (errno != 0 || (v > 0 && !is_signed && d.text[0] == '-')) return AZC_ERR_RANGE;
    *out = v;
    return AZC_OK;
}

AZC_API int azc_json_uint(azc_json value, uint64_t *out) {
    return azc__json_integer(&value, out, 0);
}

AZC_API int azc_json_int(azc_json value, int64_t *out) {
    return azc__json_integer(&value, (uint64_t *)out, 1);
}

AZC_API int azc_json_bool(azc_json value, int *out) {
    if (out == NULL) return AZC_ERR_ARGUMENT;
    *out = value.type == AZC_JSON_BOOL && *value.text == 't';
    return value.type == AZC_JSON_BOOL ? AZC_OK : AZC_ERR_TYPE;
}

/* ---- Writing ---- */

/* Bits of azc__state. */
enum {
    AZC__W_IMPLICIT = 1, /* the first put had a name, which opened the outermost object */
    AZC__W_COMMA = 2,    /* the next value is not the first of its container */
    AZC__W_DONE = 4      /* the outermost value is complete */
};

/* Only the first error is reported. */
static AZC__RARE void azc__put_error(azc_writer *w, int error) {
    if (w->azc__failed == 0) w->azc__failed = error;
}

/* One byte is always left for the NUL. */
static void azc__put_raw(azc_writer *w, const char *bytes, size_t n) {
    if (w->azc__failed == 0 && w->azc__size - w->len <= n) /* NOLINT: azc__put_prefix saw w */
        w->azc__failed = AZC_ERR_FULL;
    if (w->azc__failed != 0) return;
    memcpy(w->text + w->len, bytes, n);
    w->len += n;
}

static AZC__RARE void azc__put_char(azc_writer *w, char c) { azc__put_raw(w, &c, 1); }

static void azc__put_escaped(azc_writer *w, unsigned char c) {
    char escape[8] = {'\\', (char)azc__json_map(c, azc__json_chars, azc__json_letters)};
    if (escape[1] == 0) snprintf(escape, sizeof escape, "\\u%04x", c);
    azc__put_raw(w, escape, strlen(escape));
}

/* The inside of a string, which is UTF-8. */
static void azc__put_inside(azc_writer *w, const char *s, size_t len) {
    for (const char *end = s + len, *run = s;; run = ++s) {
        while (s < end && (unsigned char)*s >= 32 && *s != '"' && *s != '\\') s++;
        azc__put_raw(w, run, (size_t)(s - run));
        if (s == end) break;
        azc__put_escaped(w, (unsigned char)*s);
    }
}

static void azc__put_quoted(azc_writer *w, const char *s, size_t len) {
    if (!azc__utf8_valid(s, len)) azc__put_error(w, AZC_ERR_UTF8);
    azc__put_char(w, '"');
    azc__put_inside(w, s, len);
    azc__put_char(w, '"');
}

static AZC__RARE void azc__put_enter(azc_writer *w, int array) {
    azc__put_char(w, array ? '[' : '{');
    w->azc__arrays = w->azc__arrays << 1 | (unsigned)array;
    w->azc__depth++;
    w->azc__state &= AZC__W_IMPLICIT;
}

static void azc__put_leave(azc_writer *w) {
    azc__put_char(w, (w->azc__arrays & 1) ? ']' : '}');
    w->azc__arrays >>= 1;
    w->azc__depth--;
    w->azc__state |= w->azc__depth > 0 ? AZC__W_COMMA : AZC__W_DONE;
}

/* Write what comes before a value: a comma, a name. Returns whether the value may follow. Names are
 * required in objects and an error elsewhere, at depth 0 too: azc__arrays begins as 1. */
static int azc__put_prefix(azc_writer *w, const char *name) {
    if (w == NULL || w->azc__failed != 0) return 0;
    if (w->azc__depth == 0 && name != NULL && w->azc__state == 0) {
        azc__put_enter(w, 0);
        w->azc__state = AZC__W_IMPLICIT;
    }
    if ((name == NULL) != (w->azc__arrays & 1) || w->azc__state & AZC__W_DONE)
        azc__put_error(w, AZC_ERR_STATE);
    if (w->azc__state & AZC__W_COMMA) azc__put_char(w, ',');
    if (name != NULL) {
        azc__put_quoted(w, name, strlen(name));
        azc__put_char(w, ':');
    }
    w->azc__state |= w->azc__depth > 0 ? AZC__W_COMMA : AZC__W_DONE;
    return w->azc__failed == 0;
}

static void azc__put_word(azc_writer *w, const char *name, const char *word) {
    if (azc__put_prefix(w, name)) azc__put_raw(w, word, strlen(word));
}

static AZC__RARE void azc__put_integer(azc_writer *w, const char *name, uint64_t value,
                                       int negative) {
    char digits[22], *p = digits + 21;
    *p = 0;
    do *--p = (char)('0' + value % 10);
    while ((value /= 10) > 0);
    if (negative) *--p = '-';
    azc__put_word(w, name, p);
}

static void azc__put_open(azc_writer *w, const char *name, int array) {
    if (!azc__put_prefix(w, name)) return;
    if (w->azc__depth == AZC__MAX_DEPTH) azc__put_error(w, AZC_ERR_RANGE);
    azc__put_enter(w, array);
}

AZC_API azc_writer azc_put_begin(char *buf, size_t size) {
    azc_writer w;
    memset(&w, 0, sizeof w);
    w.text = buf;
    if (buf != NULL) w.azc__size = size;
    w.azc__arrays = 1;
    if (w.azc__size > 0) buf[0] = 0;
    return w;
}

AZC_API void azc_put_null(azc_writer *w, const char *name) { azc__put_word(w, name, "null"); }

AZC_API void azc_put_text(azc_writer *w, const char *name, const char *s, size_t len) {
    if (len >= AZC_NUL) len = azc__measure(s, len);
    if (w != NULL && len >= AZC_NUL) azc__put_error(w, AZC_ERR_FULL);
    if (s == NULL) azc_put_null(w, name);
    else if (azc__put_prefix(w, name)) azc__put_quoted(w, s, len);
}

AZC_API void azc_put_string(azc_writer *w, const char *name, const char *s) {
    azc_put_text(w, name, s, AZC_NUL);
}

AZC_API void azc_put_bool(azc_writer *w, const char *name, int value) {
    azc__put_word(w, name, value ? "true" : "false");
}

AZC_API void azc_put_uint(azc_writer *w, const char *name, uint64_t value) {
    azc__put_integer(w, name, value, 0);
}

AZC_API void azc_put_int(azc_writer *w, const char *name, int64_t value) {
    azc__put_integer(w, name, value < 0 ? 0 - (uint64_t)value : (uint64_t)value, value < 0);
}

/* A small libc's printf may lack %g. */
static int azc__put_is_number(const char *text) {
    azc__text t = {text, text + strlen(text)};
    return azc__json_scan_number(&t) && t.p == t.end;
}

AZC_API void azc_put_double(azc_writer *w, const char *name, double value) {
    static const char plain[] = "0123456789+-e";
    char text[40] = "";
    int same = 0;
    if (w == NULL) return;
    if (!azc__finite(value)) azc__put_error(w, AZC_ERR_RANGE);
    for (int precision = 15; precision <= 17 && !same; precision++) {
        snprintf(text, sizeof text, "%.*g", precision, value);
        same = azc__same(strtod(text, NULL), value);
    }
    char *point = text + strspn(text, plain); /* of the locale: one or more bytes */
    if (*point) {
        char *rest = point + strcspn(point, plain);
        *point = '.';
        memmove(point + 1, rest, strlen(rest) + 1);
    }
    if (!same || !azc__put_is_number(text)) azc__put_error(w, AZC_ERR_RANGE);
    azc__put_word(w, name, text);
}

AZC_API void azc_put_json(azc_writer *w, const char *name, azc_json value) {
    if (value.type == AZC_JSON_NONE) {
        azc_put_null(w, name);
    } else if (azc__put_prefix(w, name)) {
        azc__text t = {value.text, value.text + value.len};
        if (azc__json_scan_value(&t, AZC__MAX_DEPTH - w->azc__depth) && t.p == t.end)
            azc__put_raw(w, value.text, value.len);
        else azc__put_error(w, AZC_ERR_RANGE);
    }
}

AZC_API void azc_put_object(azc_writer *w, const char *name) { azc__put_open(w, name, 0); }
AZC_API void azc_put_array(azc_writer *w, const char *name) { azc__put_open(w, name, 1); }

AZC_API void azc_put_end(azc_writer *w) {
    if (w == NULL) return;
    if (w->azc__depth <= (w->azc__state & AZC__W_IMPLICIT)) azc__put_error(w, AZC_ERR_STATE);
    else azc__put_leave(w);
}

AZC_API int azc_put_finish(azc_writer *w) {
    if (w == NULL || w->text == NULL) return AZC_ERR_ARGUMENT;
    if (w->azc__depth == 1 && w->azc__state & AZC__W_IMPLICIT) azc__put_leave(w);
    if (w->azc__depth > 0 || !(w->azc__state & AZC__W_DONE)) azc__put_error(w, AZC_ERR_STATE);
    if (w->azc__failed != 0) w->len = 0;
    if (w->azc__size > 0) w->text[w->len] = 0;
    return w->azc__failed;
}

/* ==== [13] SYSTEM: wrappers of system calls, and addresses ==================================== */

/* Did the last call fail only for now? */
static int azc__sys_transient(void) {
    return errno == EAGAIN || errno == EWOULDBLOCK || errno == EINTR || errno == ENOBUFS;
}

/* Milliseconds. If there is no clock, time stands still. */
static int64_t azc__sys_clock(azc_server *s) {
    struct timespec t;
    if (AZC_SYS(clock_gettime)(CLOCK_MONOTONIC, &t) == 0)
        s->clock = (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
    return s->clock;
}

/* The bytes that the kernel holds for this peer, unsent or not acknowledged; 0 if it does not
 * tell. */
static uint32_t azc__sys_unacked(const azc_conn *conn) {
    int n = 0;
    if (AZC__UNACKED == 0 || AZC_SYS(ioctl)(conn->source.fd, AZC__UNACKED, &n) < 0) return 0;
    return n > 0 ? (uint32_t)n : 0;
}

static AZC__RARE int azc__sys_option(int fd, int level, int name, int value) {
    return AZC_SYS(setsockopt)(fd, level, name, &value, sizeof value);
}

static AZC__RARE ssize_t azc__sys_send(const azc_conn *conn, struct iovec *iov, size_t count) {
    struct msghdr msg;
    memset(&msg, 0, sizeof msg);
    msg.msg_iov = iov;
    msg.msg_iovlen = (uint8_t)count; /* at most AZC__MAX_IOV; a size_t in some systems, or an int */
    return AZC_SYS(sendmsg)(conn->source.fd, &msg, AZC__MSG_FLAGS);
}

/* Move a new descriptor to 3 or above. If the program was started without 0 to 2, what it prints
 * must not reach a peer or our pipe. Returns the descriptor, or -1 with errno. */
static AZC__RARE int azc__fd_high(int fd) {
    if (fd < 0 || fd > 2) return fd;
    int high = AZC_SYS(fcntl)(fd, F_DUPFD_CLOEXEC, 3), cause = errno;
    AZC_SYS(close)(fd);
    errno = cause;
    return high;
}

static int azc__fd_socket(int family) {
    return azc__fd_high(AZC_SYS(socket)(family, SOCK_STREAM | AZC__SOCK_FLAGS, 0));
}

/* Close-on-exec, so that children of the program do not inherit sockets and keep ports open. */
static AZC__RARE void azc__fd_prepare(int fd) {
    AZC_SYS(fcntl)(fd, F_SETFD, FD_CLOEXEC);
    if (AZC__NOSIGPIPE != 0) azc__sys_option(fd, SOL_SOCKET, AZC__NOSIGPIPE, 1);
}

/* For descriptors that the loop reads until they are empty. Returns 0 on failure. Connections do
 * without it: their calls pass MSG_DONTWAIT. */
static int azc__fd_nonblocking(int fd) {
    azc__fd_prepare(fd);
    return AZC_SYS(fcntl)(fd, F_SETFL, O_NONBLOCK) >= 0;
}

typedef union azc__sockaddr {
    struct sockaddr any;
    struct sockaddr_in v4;
    struct sockaddr_in6 v6;
    struct sockaddr_un un;
} azc__sockaddr;

/* The path of a "unix:/path" host, or NULL. */
static AZC__RARE const char *azc__host_path(const char *host) {
    return strncmp(host, "unix:", 5) == 0 ? host + 5 : NULL;
}

/* visitor->raw holds an address of this family. An IPv4 address in IPv6 form becomes IPv4. */
static void azc__visitor_set_family(azc__visitor *visitor, int family) {
    static const unsigned char mapped[12] = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xFF, 0xFF};
    if (family == AF_INET6 && memcmp(visitor->raw, mapped, 12) == 0) {
        memcpy(visitor->raw, visitor->raw + 12, 4);
        family = AF_INET;
    }
    visitor->family = (uint8_t)(family == AF_INET || family == AF_INET6 ? family : 0);
}

static void azc__visitor_set(azc__visitor *visitor, const azc__sockaddr *address) {
    int family = address->any.sa_family;
    size_t at = family == AF_INET ? offsetof(struct sockaddr_in, sin_addr)
                                  : offsetof(struct sockaddr_in6, sin6_addr);
    memcpy(visitor->raw, (const char *)address + at, sizeof visitor->raw);
    azc__visitor_set_family(visitor, family);
}

/* ==== [14] LOG: errors and events in words; the only section that prints ====================== */

/* Four lists of NUL-terminated strings, one behind the other: peer, target, query arguments (ended
 * by ""), parameters. During a request they are in the scratch. */
static const char *azc__strings(const azc_conn *conn) {
    if (conn->tail != NULL)
        return (const char *)conn->tail + conn->channel->data_size; /* NOLINT: both or none */
    return conn->answering ? (const char *)(conn->wait.answer + 1) : conn->server->scratch;
}

AZC_API const char *azc_peer(const azc_conn *conn) {
    return conn == NULL ? "" : azc__strings(conn);
}

AZC_API const char *azc_target(const azc_conn *conn) {
    return conn == NULL ? NULL : azc__string_next(azc__strings(conn));
}

/* Write what a peer sent for a log line, so that it can neither end the line, nor look like other
 * parts of it, nor control a terminal: printable ASCII stays, a backslash comes before quotes and
 * backslashes, and every other byte is \xHH. What is too long for out ends in "...". */
enum { AZC__LOG_TEXT = 200 };
static const char *azc__log_text(char out[AZC__LOG_TEXT], const char *s, size_t len) {
    size_t n = 0;
    for (size_t i = 0; i < len; i++) {
        unsigned char c = (unsigned char)s[i];
        if (n > AZC__LOG_TEXT - 8) { /* the longest character, and the dots */
            memcpy(out + n, "...", 3);
            n += 3;
            break;
        }
        if (c < 32 || c > 126) n += (size_t)snprintf(out + n, 5, "\\x%02X", c);
        else {
            if (c == '"' || c == '\\') out[n++] = '\\';
            out[n++] = (char)c;
        }
    }
    out[n] = 0;
    return out;
}

/* The target without its query, which may hold secrets. */
static const char *azc__log_path(char out[AZC__LOG_TEXT], const azc_conn *conn) {
    const char *target = azc_target(conn);
    return azc__log_text(out, target, strcspn(target, "?"));
}

/* Callbacks are timed if a log can say which was slow. */
static void azc__log_timing(azc_server *s) {
    s->timing = s->config.log != NULL && s->config.slow_ms >= 0;
}

/* Is a line of this level wanted? */
static inline int azc__logs(const azc_server *s, int level) {
    return s->config.log != NULL && (level == AZC_LOG_ERROR || level <= s->config.log_level);
}

/* Call config.log with one line. A log that causes another line gets none for it, and calls on the
 * server are refused meanwhile: a loop over members may be at work. */
static void azc__log_call(azc_server *s, int level, const char *line) {
    if (s->busy & AZC__LOGGING) return;
    AZC__BUSY_BEGIN(s, AZC__LOGGING);
    s->config.log(s->config.log_userdata, level, line);
    AZC__BUSY_END(s, AZC__LOGGING);
}

enum { AZC__LOG_LINE = 4 * AZC__LOG_TEXT };

/* A line about a connection, or (conn NULL) about the server. What a peer sent must have passed
 * azc__log_text. */
static AZC__RARE AZC__PRINTF_4 void azc__log(azc_server *s, const azc_conn *conn, int level,
                                                const char *format, ...) {
    char line[AZC__LOG_LINE], path[AZC__LOG_TEXT];
    if (!azc__logs(s, level)) return;
    int n = conn == NULL ? 0 : snprintf(line, sizeof line, "%s %s: ", azc_peer(conn),
                                        azc__log_path(path, conn));
    va_list args;
    va_start(args, format);
    vsnprintf(line + n, sizeof line - (size_t)n, format, args);
    va_end(args);
    azc__log_call(s, level, line);
}

/* Count the request r that conn has answered. Its line has the reason of a refusal. */
static void azc__log_request(const azc_conn *conn, const azc__request *r) {
    azc_server *s = conn->server;
    int level = r->status >= 400 ? AZC_LOG_WARNING : AZC_LOG_NOTICE;
    s->stats.requests++;
    if (r->status >= 400) s->stats.refused[r->status - 400]++;
    if (!azc__logs(s, level)) return;
    char line[AZC__LOG_LINE], method[AZC__LOG_TEXT], path[AZC__LOG_TEXT];
    const char *verb = r->method != NULL ? r->method : "-";
    snprintf(line, sizeof line, "%s %s %s %d %lluB %ldms%s%s", azc_peer(conn),
             azc__log_text(method, verb, strlen(verb)), azc__log_path(path, conn), r->status,
             (unsigned long long)r->sent, (long)((uint32_t)s->now - conn->since),
             r->why != NULL ? ": " : "", r->why != NULL ? r->why : "");
    azc__log_call(s, level, line);
}

static void azc__log_close(const azc_conn *conn) {
    azc_server *s = conn->server;
    if (conn->close_code < 1016) s->stats.closed[conn->close_code - 1000]++;
    else s->stats.closed_app++;
    if (!azc__logs(s, AZC_LOG_NOTICE)) return;
    char line[AZC__LOG_LINE], path[AZC__LOG_TEXT];
    snprintf(line, sizeof line, "%s WS %s %d %lds%s", azc_peer(conn), azc__log_path(path, conn),
             conn->close_code, (long)((uint32_t)(s->now / 1000) - conn->since),
             conn->close_code == 1006 ? ": no Close frame came" : "");
    azc__log_call(s, AZC_LOG_NOTICE, line);
}

/* ---- Errors ---- */

/* Format the text for azc_error. Until azc_listen it keeps the first error, which azc_listen
 * returns. A path or list of the program may hold a newline, and a log line may not. */
static AZC__RARE AZC__PRINTF_LIST void azc__error_text(azc_server *s, char text[AZC__ERROR],
                                                       const char *format, va_list args) {
    vsnprintf(text, AZC__ERROR, format, args);
    for (char *p = text; *p; p++) {
        if (*p == '\n' || *p == '\r') *p = '?';
    }
    if (!s->failed || s->listening) memcpy(s->error, text, AZC__ERROR);
}

/* Set the text of azc_error. Returns code. s may be NULL. */
static AZC__RARE AZC__PRINTF_3 int azc__error(azc_server *s, int code, const char *format, ...) {
    char text[AZC__ERROR];
    va_list args;
    if (s == NULL) return code;
    va_start(args, format);
    azc__error_text(s, text, format, args);
    va_end(args);
    return code;
}

/* As azc__error, for what somebody should correct: the log has the text too. */
static AZC__RARE AZC__PRINTF_3 int azc__mistake(azc_server *s, int code, const char *format, ...) {
    char text[AZC__ERROR];
    va_list args;
    if (s == NULL) return code;
    va_start(args, format);
    azc__error_text(s, text, format, args);
    va_end(args);
    azc__log(s, NULL, AZC_LOG_ERROR, "%s", text);
    return code;
}

/* A system call failed. */
static AZC__RARE int azc__error_system(azc_server *s, const char *call) {
    return azc__mistake(s, AZC_ERR_SYSTEM, "%s: %s", call, strerror(errno));
}

static AZC__RARE int azc__error_memory(azc_server *s, const char *call) {
    return azc__mistake(s, AZC_ERR_MEMORY, "%s: out of memory", call);
}

/* Calls that need an open connection, made for a request or for a closed one;. */
static AZC__RARE int azc__error_request(azc_server *s, const char *call) {
    return azc__mistake(s, AZC_ERR_STATE, "%s: not for a request: allowed from on_connect on",
                        call);
}

static AZC__RARE int azc__error_closed(azc_server *s, const char *call) {
    return azc__error(s, AZC_ERR_CLOSED, "%s: the connection is closed", call);
}

/* The server is AZC__REFUSING. */
static AZC__RARE int azc__error_busy(azc_server *s, const char *call) {
    if (!(s->busy & AZC__WAITING))
        return azc__error(s, AZC_ERR_STATE, "%s: not allowed in config.log", call);
    azc__mistake(s, AZC_ERR_STATE, "%s from another thread, or from a signal handler: only "
                 "azc_post and azc_stop are allowed there", call);
    AZC_ASSERT(0 && "a call from another thread than the one that polls");
    return AZC_ERR_STATE;
}

static AZC__RARE int azc__error_null(azc_server *s, const char *call) {
    return azc__mistake(s, AZC_ERR_ARGUMENT, "%s: an argument is NULL", call);
}

static AZC__RARE int azc__error_fixed(azc_server *s, const char *call) {
    return azc__mistake(s, AZC_ERR_STATE, "%s: not with azc_create_in: it allocates", call);
}

/* A length that is neither AZC_NUL nor possible. */
static AZC__RARE int azc__error_length(azc_server *s, const char *call) {
    return azc__mistake(s, AZC_ERR_FULL, "%s: an impossible len, perhaps a negative int", call);
}

static AZC__RARE int azc__error_utf8(azc_server *s, const char *call) {
    return azc__error(s, AZC_ERR_UTF8, "%s: the text is not UTF-8; send bytes as binary", call);
}

AZC_API const char *azc_error(const azc_server *server) {
    return server == NULL ? azc_strerror(AZC_ERR_MEMORY) : server->error;
}

/* ---- A log in a file ---- */

/* Write a line with time and level, unless there were too many. */
static void azc__log_file(void *userdata, int level, const char *line) {
    static const char *const names[] = {"error", "warning", "notice", "debug"};
    azc_server *s = (azc_server *)userdata;
    int kind = level > AZC_LOG_WARNING, each = kind ? 10 : 100;
    int64_t now = azc__sys_clock(s), earliest = now - (int64_t)100 * each;
    if (s->log_due[kind] < earliest) s->log_due[kind] = earliest;
    if (s->log_due[kind] >= now) {
        s->log_left_out++;
        return;
    }
    s->log_due[kind] += each;
    char when[80] = "-"; /* as wide as gcc fears */
    struct timespec t;
    struct tm utc;
    if (AZC_SYS(clock_gettime)(CLOCK_REALTIME, &t) == 0 && gmtime_r(&t.tv_sec, &utc) != NULL)
        snprintf(when, sizeof when, "%04d-%02d-%02dT%02d:%02d:%02dZ", utc.tm_year + 1900,
                 utc.tm_mon + 1, utc.tm_mday, utc.tm_hour, utc.tm_min, utc.tm_sec);
    if (s->log_left_out > 0)
        fprintf(s->log_file, "%s warning %llu lines left out: too many\n", when,
                (unsigned long long)s->log_left_out);
    s->log_left_out = 0;
    fprintf(s->log_file, "%s %s %s\n", when, names[level - 1], line);
    fflush(s->log_file);
}

AZC_API int azc_log_to(azc_server *server, void *file, int level) {
    if (server == NULL && file != NULL) fputs("azc_create: out of memory\n", (FILE *)file);
    if (server == NULL) return AZC_ERR_ARGUMENT;
    if (file == NULL || level < 0 || level > AZC_LOG_DEBUG)
        return azc__mistake(server, AZC_ERR_ARGUMENT, "azc_log_to: file must not be NULL, and "
                            "level %d must be from AZC_LOG_ERROR to AZC_LOG_DEBUG", level);
    server->log_file = (FILE *)file;
    server->config.log = azc__log_file;
    server->config.log_userdata = server;
    server->config.log_level = level > 0 ? level : AZC_LOG_WARNING;
    server->log_due[0] = server->log_due[1] = 0;
    azc__log_timing(server);
    if (server->failed) azc__log(server, NULL, AZC_LOG_ERROR, "%s", server->error);
    return AZC_OK;
}

/* ==== [15] ROOM: rooms and their members; one hash table per server =========================== */

/* ---- Names ---- */

static void azc__sip_round(uint32_t v[4]) {
    v[0] += v[1], v[1] = azc__rotl(v[1], 5) ^ v[0], v[0] = azc__rotl(v[0], 16);
    v[2] += v[3], v[3] = azc__rotl(v[3], 8) ^ v[2];
    v[0] += v[3], v[3] = azc__rotl(v[3], 7) ^ v[0];
    v[2] += v[1], v[1] = azc__rotl(v[1], 13) ^ v[2], v[2] = azc__rotl(v[2], 16);
}

/* HalfSipHash-2-4 (Aumasson and Bernstein). Peers choose room names, and must not be able to put
 * many into one bucket. Words are read in native byte order: the hash never leaves the machine. */
static uint32_t azc__sip_hash(const uint32_t seed[2], const void *bytes, size_t len) {
    uint32_t v[4] = {seed[0], seed[1], seed[0] ^ 0x6c796765, seed[1] ^ 0x74656462}, word;
    const unsigned char *p = (const unsigned char *)bytes;
    for (size_t at = 0; at <= len; at += 4) {
        unsigned char four[4] = {0, 0, 0, (unsigned char)len}; /* the last word ends in len */
        memcpy(four, p + at, azc__min(len - at, 4));
        memcpy(&word, four, 4);
        v[3] ^= word;
        for (int i = 0; i < 2; i++) azc__sip_round(v);
        v[0] ^= word;
    }
    v[2] ^= 0xFF;
    for (int i = 0; i < 4; i++) azc__sip_round(v);
    return v[1] ^ v[3];
}

/* The same of 64 bits. */
static uint64_t azc__sip_wide(const uint32_t seed[2], const void *bytes, size_t len) {
    const uint32_t other[2] = {seed[1], seed[0]};
    return (uint64_t)azc__sip_hash(seed, bytes, len) << 32 | azc__sip_hash(other, bytes, len);
}

static const char *azc__room_name(const azc__room *room) { return (const char *)(room + 1); }

static int azc__room_valid(const char *name) {
    size_t len = strlen(name);
    return len > 0 && len <= AZC__MAX_ROOM;
}

/* ---- The table ---- */

static AZC__RARE uint32_t azc__room_hash(const azc_server *s, const azc_channel *channel,
                                        const void *name, size_t len) {
    uint32_t seed[2] = {s->seed[0] ^ (uint32_t)(uintptr_t)channel, s->seed[1]};
    return azc__sip_hash(seed, name, len);
}

static azc__room *azc__room_find(const azc_server *s, const azc_channel *channel,
                                 const void *name, size_t len) {
    if (s->room_count == 0) return NULL;
    uint32_t hash = azc__room_hash(s, channel, name, len);
    azc__room *room = s->rooms[hash & (s->room_cap - 1)];
    while (room != NULL && (room->hash != hash || room->channel != channel || room->len != len ||
                            memcmp(azc__room_name(room), name, len) != 0)) room = room->chain;
    return room;
}

/* A broadcast often goes to the same room as the one before. */
static azc__room *azc__room_by_name(const azc_channel *channel, const char *name) {
    azc_server *s = channel->server;
    azc__room *room = s->room_latest;
    size_t len = strlen(name);
    if (room != NULL && room->channel == channel && room->len == len &&
        memcmp(azc__room_name(room), name, len) == 0) return room;
    room = azc__room_find(s, channel, name, len);
    if (room != NULL) s->room_latest = room;
    return room;
}

static AZC__RARE void azc__room_link(azc_server *s, azc__room *room) {
    azc__room **bucket = &s->rooms[room->hash & (s->room_cap - 1)];
    room->chain = *bucket;
    *bucket = room;
}

/* Double the table when it is full. If memory is short, the chains grow instead. Returns 0 if there
 * is no table at all, or no room can be added. */
static int azc__room_table_grow(azc_server *s) {
    uint32_t old_cap = s->room_cap, cap = old_cap ? old_cap * 2 : s->room_first;
    azc__room **old = s->rooms;
    if (s->room_count >= AZC__MOST) return 0;
    if (s->room_count < old_cap) return 1;
    azc__room **rooms = (azc__room **)azc__zalloc(&s->mem, cap * sizeof *rooms);
    if (rooms == NULL) return old_cap > 0;
    s->rooms = rooms;
    s->room_cap = cap;
    for (size_t i = 0; i < old_cap; i++) {
        for (azc__room *room = old[i], *next; room != NULL; room = next) {
            next = room->chain;
            azc__room_link(s, room);
        }
    }
    azc__free(&s->mem, old, old_cap * sizeof *old);
    return 1;
}

/* A server without rooms has no table. */
static AZC__RARE void azc__room_table_trim(azc_server *s) {
    if (s->room_count > 0) return;
    azc__free(&s->mem, s->rooms, s->room_cap * sizeof(azc__room *));
    s->rooms = NULL;
    s->room_cap = 0;
}

static size_t azc__room_size(const azc_server *s, size_t len) {
    size_t size = sizeof(azc__room) + len + 1;
    return size < s->room_least ? s->room_least : size;
}

/* The new room has no references yet: azc__room_release frees it. Returns NULL without memory. */
static azc__room *azc__room_make(azc_server *s, azc_channel *channel, const void *name,
                                 size_t len) {
    if (!azc__room_table_grow(s)) return NULL;
    azc__room *room = (azc__room *)azc__zalloc(&s->mem, azc__room_size(s, len));
    if (room == NULL) {
        azc__room_table_trim(s);
        return NULL;
    }
    room->channel = channel;
    room->len = (uint32_t)len;
    room->notify = channel != NULL && channel->on_room != NULL && *(const char *)name != 0;
    room->hash = azc__room_hash(s, channel, name, len);
    memcpy(room + 1, name, len); /* the NUL behind it is there already */
    azc__room_link(s, room);
    s->room_count++;
    s->room_named += channel != NULL;
    return room;
}

/* Free the room, unless something still refers to it. */
static void azc__room_release(azc_server *s, azc__room *room) {
    if (room->refs > 0) return;
    if (room->pair) s->pair_end(s, room);
    if (s->room_latest == room) s->room_latest = NULL;
    azc__room **at = &s->rooms[room->hash & (s->room_cap - 1)];
    while (*at != room) at = &(*at)->chain; /* NOLINT: a room is in the table */
    *at = room->chain;
    s->room_count--;
    s->room_named -= room->channel != NULL;
    azc__free(&s->mem, room, azc__room_size(s, room->len));
    azc__room_table_trim(s);
}

/* Drop one reference. room may be NULL. */
static AZC__RARE void azc__room_unref(azc_server *s, azc__room *room) {
    if (room == NULL) return;
    room->refs--;
    azc__room_release(s, room);
}

/* ---- Pairs: rooms that stand for a room and something else ---- */

static azc__pair azc__pair_make(int kind, azc__room *room, azc__room *user, uint64_t key) {
    azc__pair pair;
    memset(&pair, 0, sizeof pair);
    pair.kind[2] = (unsigned char)kind;
    pair.room = room;
    pair.user = user;
    pair.key = key;
    return pair;
}

static azc__pair azc__pair_of(const azc__room *room) {
    azc__pair pair;
    memcpy(&pair, azc__room_name(room), sizeof pair);
    return pair;
}

/* azc_server.pair_end: a pair's room is being freed, so drop its references to both rooms. */
static void azc__pair_end(azc_server *s, const azc__room *room) {
    azc__pair pair = azc__pair_of(room);
    azc__room_unref(s, pair.room);
    azc__room_unref(s, pair.user);
}

/* Make the room of a pair. It holds a reference to each room of the pair. NULL without memory. */
static azc__room *azc__pair_room(azc_channel *channel, const azc__pair *pair) {
    azc__room *room = azc__room_make(channel->server, channel, pair, sizeof *pair);
    if (room == NULL) return NULL;
    room->pair = 1;
    channel->server->pair_end = azc__pair_end;
    if (pair->room != NULL) pair->room->refs++;
    if (pair->user != NULL) pair->user->refs++;
    return room;
}

/* ---- Members ---- */

/* Call this after each change of room->count. */
static inline void azc__room_changed(azc_server *s, azc__room *room) {
    if (room->notify && !room->queued) s->news->changed(s, room);
}

/* The room that stands for the connection's user, or NULL. Its membership is always the first in
 * conn->rooms: see azc__member_add. */
static azc__room *azc__user_of(const azc_conn *conn) {
    azc__member *m = conn->rooms;
    return m != NULL && *azc__room_name(m->room) == 0 ? m->room : NULL;
}

/* Is the presence of the connection's user counted, per room? */
static int azc__seat_wanted(const azc_conn *conn) {
    return conn->channel->on_presence != NULL && azc__user_of(conn) != NULL; /* NOLINT: open */
}

/* The first membership of a connection in a room that the program named. */
static azc__member *azc__member_first(const azc_conn *conn) {
    return azc__user_of(conn) != NULL ? conn->rooms->next_room : conn->rooms;
}

/* Search the lists of the connection and of the room side by side: the shorter ends the search. */
static azc__member *azc__member_find(const azc_conn *conn, const azc__room *room) {
    azc__member *by_conn = conn->rooms, *by_room = room->first;
    while (by_conn != NULL && by_room != NULL) {
        if (by_conn->room == room) return by_conn;
        if (by_room->conn == conn) return by_room;
        by_conn = by_conn->next_room;
        by_room = by_room->next;
    }
    return NULL;
}

/* Memberships are allocated in groups: a malloc header for each would add 25 %. All groups are
 * freed together, when no membership is in use. */
static azc__member *azc__member_take(azc_server *s) {
    if (s->member_count >= AZC__MOST) return NULL;
    if (s->free_members == NULL) {
        azc__member_group *group = (azc__member_group *)azc__alloc(&s->mem, sizeof *group);
        if (group == NULL) return NULL;
        group->next = s->members;
        s->members = group;
        for (int i = 0; i < AZC__MEMBERS; i++) {
            group->member[i].next = s->free_members;
            s->free_members = &group->member[i];
        }
    }
    azc__member *m = s->free_members;
    s->free_members = m->next;
    s->member_count++;
    memset(m, 0, sizeof *m);
    return m;
}

static void azc__member_return(azc_server *s, azc__member *m) {
    m->next = s->free_members;
    s->free_members = m;
    if (--s->member_count > 0) return;
    s->free_members = NULL;
    while (s->members != NULL) {
        azc__member_group *group = s->members;
        s->members = group->next;
        azc__free(&s->mem, group, sizeof *group);
    }
}

/* A new membership is the first of its room, and of its connection's rooms, behind the user's.
 * Returns 0 without memory. */
static int azc__member_add(azc_conn *conn, azc__room *room) {
    azc__member *m = azc__member_take(conn->server);
    if (m == NULL) return 0;
    if (azc__seat_wanted(conn) && !conn->server->users->seat_enter(conn, room)) {
        azc__member_return(conn->server, m);
        return 0;
    }
    m->conn = conn;
    m->room = room;
    m->next = room->first;
    m->next_room = azc__member_first(conn);
    m->prev_room = azc__user_of(conn) != NULL ? conn->rooms : NULL;
    if (m->next != NULL) m->next->prev = m;
    if (m->next_room != NULL) m->next_room->prev_room = m;
    *(m->prev_room != NULL ? &m->prev_room->next_room : &conn->rooms) = m;
    room->first = m;
    room->count++;
    room->refs++;
    azc__room_changed(conn->server, room);
    return 1;
}

static void azc__member_free(azc_server *s, azc__member *m) {
    azc__room *room = m->room;
    azc__member_return(s, m);
    azc__room_unref(s, room);
}

/* Leave the room's list and count. The connection's list still has the room, for on_close. */
static void azc__member_leave_room(azc__member *m) {
    if (m->prev != NULL) m->prev->next = m->next;
    else m->room->first = m->next;
    if (m->next != NULL) m->next->prev = m->prev;
    m->room->count--;
    if (azc__seat_wanted(m->conn)) m->conn->server->users->seat_leave(m->conn, m->room);
    azc__room_changed(m->conn->server, m->room); /* NOLINT: not left yet */
}

/* Leave both lists. A cursor may stand on the member, so azc__room_sweep frees it later. */
static void azc__member_remove(azc_server *s, azc__member *m) {
    azc__member_leave_room(m);
    if (m->prev_room != NULL) m->prev_room->next_room = m->next_room;
    else m->conn->rooms = m->next_room; /* NOLINT: not left yet, so conn is there */
    if (m->next_room != NULL) m->next_room->prev_room = m->prev_room;
    m->conn = NULL;
    m->prev = s->limbo;
    s->limbo = m;
}

/* Free removed members. Call this only when every cursor is void: after a callback, or as a poll
 * begins. */
static AZC__RARE void azc__room_sweep(azc_server *s) {
    while (s->limbo != NULL) {
        azc__member *m = s->limbo;
        s->limbo = m->prev;
        azc__member_free(s, m);
    }
    s->cursors = 0;
}

/* Would one more membership, in this many new rooms, exceed the limits? */
static AZC__RARE int azc__room_full(const azc_server *s, int new_rooms) {
    const azc_config *c = &s->config;
    return (c->max_memberships > 0 && s->member_count >= (size_t)c->max_memberships) ||
           (c->max_rooms > 0 && s->room_named + (size_t)new_rooms > (size_t)c->max_rooms);
}

/* ---- Join and leave ---- */

/* Make a connection a member of a room. On an error nothing has changed: the history is prepared
 * first, and is queued only once the connection is a member. */
static int azc__room_enter(azc_conn *conn, const char *name, size_t len) {
    azc_server *s = conn->server;
    azc__room *room = azc__room_find(s, conn->channel, name, len);
    if (room != NULL && azc__member_find(conn, room) != NULL) return AZC_OK;
    int new_rooms = room == NULL;
    if (azc__seat_wanted(conn)) new_rooms += s->users->seat_missing(conn, room);
    if (azc__room_full(s, new_rooms))
        return azc__error(s, AZC_ERR_FULL, "azc_join: max_rooms %d or max_memberships %d is "
                          "reached", s->config.max_rooms, s->config.max_memberships);
    azc__out replay = {NULL, NULL, 0, 0, 0};
    int replays = room != NULL && room->keeps.history != NULL;
    int messages = replays ? s->history->prepare(conn, room, &replay) : 0;
    if (messages == AZC_ERR_FULL)
        return azc__error(s, messages, "azc_join: the histories queued for this connection exceed "
                          "twice max_backlog");
    if (messages < 0) return azc__error_memory(s, "azc_join");
    if (room == NULL) room = azc__room_make(s, conn->channel, name, len);
    if (room == NULL) return azc__error_memory(s, "azc_join");
    int joined = azc__member_add(conn, room);
    if (replays) s->history->finish(conn, &replay, messages, joined);
    if (joined) return AZC_OK;
    azc__room_release(s, room);
    return azc__error_memory(s, "azc_join");
}

static int azc__room_check(const azc_conn *conn, const char *room, const char *call) {
    if (conn == NULL) return AZC_ERR_ARGUMENT;
    AZC_ASSERT(conn->state <= AZC__DEAD && "a connection is used after its on_close");
    azc_server *s = conn->server;
    if (room == NULL || !azc__room_valid(room))
        return azc__mistake(s, AZC_ERR_ARGUMENT, "%s: room must have 1 to %d bytes", call,
                            AZC__MAX_ROOM);
    if (conn->state == AZC__HTTP) return azc__error_request(s, call);
    return s->busy & AZC__REFUSING ? azc__error_busy(s, call) : AZC_OK;
}

AZC_API int azc_join(azc_conn *conn, const char *room) {
    int error = azc__room_check(conn, room, "azc_join");
    if (error != AZC_OK) return error;
    return conn->state == AZC__OPEN ? azc__room_enter(conn, room, strlen(room))
                                    : azc__error_closed(conn->server, "azc_join");
}

AZC_API int azc_leave(azc_conn *conn, const char *room) {
    int error = azc__room_check(conn, room, "azc_leave");
    if (error != AZC_OK || conn->state != AZC__OPEN) return error; /* closing has left all rooms */
    const azc__room *r = azc__room_by_name(conn->channel, room);
    azc__member *m = r != NULL ? azc__member_find(conn, r) : NULL;
    if (m != NULL) azc__member_remove(conn->server, m);
    if (!conn->server->cursors) azc__room_sweep(conn->server);
    return AZC_OK;
}

AZC_API int azc_leave_all(azc_conn *conn) {
    int error = azc__room_check(conn, "-", "azc_leave_all");
    if (error != AZC_OK) return error;
    for (azc__member *m; conn->state == AZC__OPEN && (m = azc__member_first(conn)) != NULL;)
        azc__member_remove(conn->server, m);
    if (!conn->server->cursors) azc__room_sweep(conn->server);
    return AZC_OK;
}

AZC_API size_t azc_count(azc_channel *channel, const char *room) {
    if (channel == NULL || room == NULL) return channel == NULL ? 0 : channel->count;
    const azc__room *r = azc__room_by_name(channel, room);
    return r == NULL ? 0 : r->count;
}

/* ---- Cursors ---- */

/* azc_cursor.azc__kind. AZC__C_USERS is a flag of the first two: stop once per user. */
enum { AZC__C_CHANNEL, AZC__C_ROOM, AZC__C_CONN, AZC__C_USERS = 4 };

/* Does the cursor stop at this connection? */
static int azc__cursor_stops(azc_cursor *cursor, const azc__room *room) {
    return !(cursor->azc__kind & AZC__C_USERS) ||
           cursor->conn->server->users->first_of_user(cursor, room);
}

static int azc__cursor_next_conn(azc_cursor *cursor) {
    while (cursor->azc__next != NULL) {
        cursor->conn = (azc_conn *)cursor->azc__next;
        cursor->azc__next = cursor->conn->u.link.next;
        if (cursor->conn->state == AZC__OPEN && azc__cursor_stops(cursor, NULL)) return 1;
    }
    return 0;
}

/* A removed member has no connection, but still leads to the next one. */
static int azc__cursor_next_member(azc_cursor *cursor, int of_conn) {
    while (cursor->azc__next != NULL) {
        const azc__member *m = (const azc__member *)cursor->azc__next;
        cursor->azc__next = of_conn ? m->next_room : m->next;
        if (m->conn == NULL || (!of_conn && m->conn->state != AZC__OPEN)) continue;
        cursor->conn = m->conn;
        cursor->room = azc__room_name(m->room);
        if (azc__cursor_stops(cursor, m->room)) return 1;
    }
    return 0;
}

AZC_API azc_cursor azc_members(azc_channel *channel, const char *room) {
    int kind = room == NULL ? AZC__C_CHANNEL : AZC__C_ROOM;
    azc_cursor cursor = {NULL, NULL, NULL, NULL, kind, 0};
    if (channel == NULL) return cursor;
    channel->server->cursors = 1;
    if (room == NULL) cursor.azc__next = channel->first;
    const azc__room *r = room != NULL ? azc__room_by_name(channel, room) : NULL;
    if (r != NULL) cursor.azc__next = r->first;
    return cursor;
}

AZC_API azc_cursor azc_rooms(azc_conn *conn) {
    azc_cursor cursor = {NULL, NULL, NULL, NULL, AZC__C_CONN, 0};
    if (conn == NULL) return cursor;
    conn->server->cursors = 1;
    cursor.azc__next = azc__member_first(conn);
    return cursor;
}

AZC_API int azc_cursor_next(azc_cursor *cursor) {
    if (cursor == NULL) return 0;
    int kind = cursor->azc__kind & ~AZC__C_USERS;
    if (kind == AZC__C_CHANNEL) return azc__cursor_next_conn(cursor);
    return azc__cursor_next_member(cursor, kind == AZC__C_CONN);
}

/* ==== [16] CONN: a connection's life, its messages, and broadcasts ============================ */

/* ---- Deadlines ---- */

/* Let the settle step look at the connection: in this turn, or between polls in the next. */
static void azc__conn_touch(azc_conn *conn) {
    azc_server *s = conn->server;
    if (conn->touched) return;
    conn->touched = 1;
    conn->next_touched = NULL;
    if (s->touched_first != NULL) s->touched_last->next_touched = conn;
    else s->touched_first = conn;
    s->touched_last = conn;
}

/* Lists of deadlines link by 1 + slot, which is half of a pointer; 0 is NULL. */
static azc_conn *azc__conn_at(const azc_server *s, uint32_t link) {
    return link != 0 ? s->slots[link - 1] : NULL;
}

static void azc__deadline_clear(azc_conn *conn) {
    azc_server *s = conn->server;
    int kind = conn->deadline;
    if (kind == AZC__DEADLINE_NONE) return;
    azc_conn *prev = azc__conn_at(s, conn->prev_deadline);
    azc_conn *next = azc__conn_at(s, conn->next_deadline);
    *(prev != NULL ? &prev->next_deadline : &s->deadline_first[kind]) = conn->next_deadline;
    *(next != NULL ? &next->prev_deadline : &s->deadline_last[kind]) = conn->prev_deadline;
    conn->deadline = AZC__DEADLINE_NONE;
}

/* The time runs from now: not from the last wait, which may be long ago when a callback was slow or
 * the program polls rarely. */
static void azc__deadline_set(azc_conn *conn, int kind) {
    azc_server *s = conn->server;
    uint32_t link = 1 + (uint32_t)(conn->id & AZC__SLOT_MASK);
    int64_t due = azc__sys_clock(s) + s->deadline_ms[kind];
    azc__deadline_clear(conn);
    if (s->deadline_ms[kind] >= 0 && due < s->due) s->due = due;
    conn->due = (uint32_t)due;
    conn->deadline = (uint8_t)kind;
    conn->prev_deadline = s->deadline_last[kind];
    conn->next_deadline = 0;
    azc_conn *prev = azc__conn_at(s, conn->prev_deadline);
    *(prev != NULL ? &prev->next_deadline : &s->deadline_first[kind]) = link;
    s->deadline_last[kind] = link;
}

/* The connection of this class with the earliest deadline, and the ms until then. NULL if there is
 * none, or if this class has no limit. */
static azc_conn *azc__deadline_next(const azc_server *s, int kind, int *ms) {
    azc_conn *conn = s->deadline_ms[kind] < 0 ? NULL : azc__conn_at(s, s->deadline_first[kind]);
    if (conn != NULL) *ms = (int32_t)(conn->due - (uint32_t)s->now);
    return conn;
}

/* ---- Begin, and max_per_address ---- */

/* Find a free slot; 0 without memory. At least one in nine is free, so the search is short. */
static int azc__slot_take(azc_server *s, uint32_t *slot) {
    uint32_t count = (uint32_t)s->conn_count;
    if (count + count / 8 + 1 >= s->slot_cap) {
        void *slots = azc__twice(&s->mem, s->slots, &s->slot_cap, sizeof *s->slots);
        if (slots == NULL) return 0;
        s->slots = (azc_conn **)slots;
        s->slot_hint = s->slot_count;
    }
    for (;; s->slot_hint++) {
        if (s->slot_hint == s->slot_cap) s->slot_hint = 0;
        if (s->slot_hint == s->slot_count) s->slots[s->slot_count++] = NULL;
        if (s->slots[s->slot_hint] == NULL) break;
    }
    *slot = s->slot_hint++;
    return 1;
}

/* A new id for the connection in this slot. No id is 0. */
static uint64_t azc__conn_name(azc_server *s, uint64_t slot) {
    if (++s->serial >> (64 - AZC__SLOT_BITS) != 0) s->serial = 1;
    return s->serial << AZC__SLOT_BITS | slot;
}

static azc_conn *azc__conn_make(azc_server *s, int fd, const azc__visitor *peer) {
    uint32_t slot;
    if (!azc__slot_take(s, &slot)) return NULL;
    azc_conn *conn = (azc_conn *)azc__zalloc(&s->mem, sizeof *conn);
    if (conn == NULL) return NULL;
    conn->source.fd = fd;
    conn->source.at = -1;
    conn->source.kind = AZC__CONN;
    conn->server = s;
    conn->family = peer->family;
    memcpy(conn->u.raw, peer->raw, sizeof peer->raw);
    conn->deadline = AZC__DEADLINE_NONE;
    conn->since = (uint32_t)s->now;
    conn->id = azc__conn_name(s, slot);
    s->slots[slot] = conn;
    s->conn_count++;
    s->stats.connections++;
    azc__deadline_set(conn, AZC__DEADLINE_HANDSHAKE);
    return conn;
}

/* An address is counted by a room without channel, whose name is the address. */
static void azc__quota_leave(azc_conn *conn) {
    azc__room *address = conn->quota;
    if (address == NULL) return;
    conn->quota = NULL;
    address->count--;
    azc__room_unref(conn->server, address);
}

/* Count the connection for this address. Returns 0, or the status to refuse it with: 429 past
 * max_per_address, 503 without memory. A trusted proxy is not counted. Its visitors are, when they
 * upgrade: one connection of the proxy may bring requests of many. */
static int azc__quota_enter(azc_conn *conn, const azc__visitor *visitor) {
    azc_server *s = conn->server;
    size_t len = visitor->family == AF_INET ? 4 : 16;
    azc__request *r = &s->request;
    if (s->config.max_per_address <= 0 || visitor->family == 0) return 0;
    if (s->proxies != NULL && s->proxies->trusts(s, visitor)) return 0;
    azc__room *address = azc__room_find(s, NULL, visitor->raw, len);
    if (address == NULL) address = azc__room_make(s, NULL, visitor->raw, len);
    if (address != NULL && address->count < (uint32_t)s->config.max_per_address) {
        address->count++;
        address->refs++;
        conn->quota = address;
        return 0;
    }
    s->stats.over_address += address != NULL;
    if (address == NULL) return azc__why(&r->why, 503, "out of memory");
    snprintf(s->words, sizeof s->words, "its address has max_per_address %d connections",
             s->config.max_per_address);
    return azc__why(&r->why, 429, s->words);
}

/* Allocate what outlives the request: zeroed data, and a copy of the request's strings. */
static int azc__tail_make(azc_conn *conn, azc_channel *channel) {
    azc_server *s = conn->server;
    size_t len = (size_t)(s->strings_at - s->scratch), size = channel->data_size + len;
    if (size < s->tail_least) size = s->tail_least;
    unsigned char *tail = (unsigned char *)azc__zalloc(&s->mem, size);
    if (tail == NULL) return 0;
    memcpy(tail + channel->data_size, s->scratch, len);
    conn->tail = tail;
    conn->tail_size = (uint32_t)size;
    conn->channel = channel;
    return 1;
}

static AZC__RARE void azc__tail_free(azc_conn *conn) {
    azc__free(&conn->server->mem, conn->tail, conn->tail_size);
    conn->tail = NULL;
    conn->channel = NULL;
}

static void azc__conn_open(azc_conn *conn) {
    azc_server *s = conn->server;
    azc_channel *channel = conn->channel;
    conn->state = AZC__OPEN;
    conn->connected = 1;
    conn->u.link.prev.conn = &channel->first;
    conn->u.link.next = channel->first;
    if (channel->first != NULL) channel->first->u.link.prev.conn = &conn->u.link.next;
    channel->first = conn;
    channel->count++;
    s->stats.open++;
    s->stats.opened++;
    conn->heard = (uint32_t)s->now;
    azc__deadline_set(conn, AZC__DEADLINE_PING);
}

/* ---- End ---- */

/* Leave the lists and counts of the channel and of all rooms. The next pointers stay valid, so that
 * loops over these lists may go on; conn->rooms stays for on_close. */
static void azc__conn_unlink(azc_conn *conn) {
    *conn->u.link.prev.conn = conn->u.link.next;
    if (conn->u.link.next != NULL) conn->u.link.next->u.link.prev.conn = conn->u.link.prev.conn;
    conn->channel->count--;
    conn->server->stats.open--;
    for (azc__member *m = conn->rooms; m != NULL; m = m->next_room) azc__member_leave_room(m);
}

/* on_close is to run. The list is separate from the touched one, so that the cost of a close does
 * not grow with the connections that were touched. */
static void azc__conn_ended(azc_conn *conn) {
    azc_server *s = conn->server;
    conn->u.link.prev.ended = NULL;
    if (s->ended_first != NULL) s->ended_last->u.link.prev.ended = conn;
    else s->ended_first = conn;
    s->ended_last = conn;
}

/* The only way out of HTTP and OPEN. The first code is kept: it is the cause. Received data is kept
 * until the connection lingers: the callback that ended it may still read them. After azc_stop,
 * close_ms is for the Close frame and the FIN together. */
static void azc__conn_end(azc_conn *conn, int state, int code) {
    if (conn->connected && conn->close_code == 0) conn->close_code = (uint16_t)code;
    if (conn->state == AZC__OPEN) {
        azc__conn_unlink(conn);
        azc__conn_ended(conn);
        if (conn->wait.late != NULL) conn->server->queue_late(conn); /* a Close comes behind it */
    }
    conn->state = (uint8_t)state;
    if (!conn->answering) conn->drain = 0;
    if (state == AZC__DEAD) azc__deadline_clear(conn);
    else if (conn->server->stopping != AZC__STOPPING || conn->deadline != AZC__DEADLINE_CLOSE)
        azc__deadline_set(conn, AZC__DEADLINE_CLOSE);
    if (state == AZC__LINGER) azc__in_free(&conn->server->mem, &conn->in);
    azc__conn_touch(conn);
}

/* Queue a control frame in one piece, with an unsent NUL behind it: azc__conn_report_close passes
 * the reason to on_close from there. Returns 0 without memory. */
static int azc__send_control(azc_conn *conn, int opcode, const void *payload, size_t len) {
    size_t n = 2 + len;
    unsigned char *p = azc__out_claim(&conn->server->mem, &conn->out, n + 1);
    if (p == NULL) return 0;
    azc__frame_write(p, opcode, len);
    if (len > 0) memcpy(p + 2, payload, len);
    p[n] = 0;
    conn->out.tail->len--;
    conn->out.tail->room++;
    conn->out.bytes--;
    azc__conn_touch(conn);
    return 1;
}

/* Queue a Close frame, if none was queued before. Code 1005 means an empty payload. Without memory
 * for the frame, the peer only gets a FIN, and on_close still gets the code. */
static void azc__conn_close(azc_conn *conn, int state, int code, const void *reason, size_t len) {
    unsigned char payload[AZC__MAX_CONTROL];
    int open = conn->state == AZC__OPEN;
    payload[0] = (unsigned char)(code >> 8);
    payload[1] = (unsigned char)code;
    if (len > 0) memcpy(payload + 2, reason, len);
    azc__conn_end(conn, state, code);
    if (open && azc__send_control(conn, AZC__OP_CLOSE, payload, code == 1005 ? 0 : len + 2))
        conn->reason_len = (uint8_t)len;
}

/* End a connection with a code of ours. A browser's console shows the reason; on_close gets none,
 * since the program knows the code. RFC 6455 7.1.7 */
static AZC__ASIDE void azc__conn_fail(azc_conn *conn, int state, int code, const char *reason) {
    int open = conn->state == AZC__OPEN;
    azc__conn_close(conn, state, code, reason, strlen(reason));
    if (open) conn->reason_len = 0;
}

/* Protocol error: send a Close with the code and stop reading. */
static AZC__RARE void azc__conn_break(azc_conn *conn, int code, const char *rule) {
    azc_server *s = conn->server;
    if (conn->state == AZC__OPEN && code != 1009)
        azc__log(s, conn, AZC_LOG_WARNING, "closed with %d: the peer sent %s", code, rule);
    else if (conn->state == AZC__OPEN)
        azc__log(s, conn, AZC_LOG_WARNING, "closed with 1009: the peer sent %s, which is %zu bytes",
                 rule, s->config.max_message);
    azc__conn_fail(conn, AZC__LINGER, code, rule);
}

static void azc__conn_drop(azc_conn *conn) { azc__conn_end(conn, AZC__DEAD, 1006); }

/* A callback or task has returned: was it slow? */
static AZC__RARE void azc__callback_time(azc_server *s, const azc_conn *conn, const char *name) {
    int64_t began = s->timed;
    s->timed = azc__sys_clock(s);
    if (s->timed - began >= s->config.slow_ms)
        azc__log(s, conn, AZC_LOG_WARNING, "%s took %lld ms (slow_ms %d): no other peer was served "
                 "meanwhile; do slow work in a thread, see azc_post", name,
                 (long long)(s->timed - began), s->config.slow_ms);
}

/* After a callback, and as a turn begins: every cursor is void; report the rooms that changed. */
static AZC__RARE void azc__callback_done(azc_server *s) {
    azc__room_sweep(s);
    if (s->news_first != NULL) s->news->report(s);
}

/* Free what only callbacks use. */
static AZC__RARE void azc__conn_forget(azc_conn *conn) {
    while (conn->rooms != NULL) {
        azc__member *m = conn->rooms;
        conn->rooms = m->next_room;
        azc__member_free(conn->server, m);
    }
    azc__tail_free(conn);
}

/* Call on_close, then free what only callbacks use. */
static AZC__RARE void azc__conn_report_close(azc_conn *conn) {
    azc_server *s = conn->server;
    azc_channel *channel = conn->channel;
    const azc__piece *tail = conn->out.tail;
    const char *reason = "";
    conn->connected = 0;
    azc__log_close(conn);
    if (conn->reason_len > 0) reason = (const char *)tail->data + tail->len - conn->reason_len;
    if (channel->desc.on_close != NULL) channel->desc.on_close(conn, conn->close_code, reason);
    azc__callback_done(s);
    if (s->timing) azc__callback_time(s, conn, "on_close");
    azc__conn_forget(conn);
}

static void azc__conn_free(azc_conn *conn) {
    azc_server *s = conn->server;
    if (conn->tail != NULL) azc__conn_forget(conn); /* a callback has thrown an exception */
    azc__deadline_clear(conn);
    azc__in_free(&s->mem, &conn->in);
    azc__out_consume(&s->mem, &conn->out, conn->out.bytes);
    s->slots[conn->id & AZC__SLOT_MASK] = NULL;
    s->conn_count--;
    s->stats.connections--;
    azc__quota_leave(conn);
    conn->state = AZC__FREED; /* for the asserts, as long as the memory is not used again */
    azc__free(&s->mem, conn, sizeof *conn);
}

/* ---- Progress ---- */

/* The definition of progress for every deadline: since the last look, within the length of the
 * deadline, the peer sent and took 500 bytes a second on average. *unread: it has not taken
 * everything yet; of an answer that goes on, everything that was queued at the last look.
 *
 * conn->moved counts what an open connection receives, bodies of requests, and what the kernel
 * takes for the peer. It begins with the bytes that the kernel held at the last look; what it holds
 * now has not moved. If the kernel does not tell, only what it takes after it was full is counted:
 * then the peer has made room for it. */
static AZC__RARE int azc__conn_progress(azc_conn *conn, int *unread) {
    uint32_t unacked = azc__sys_unacked(conn), moved = conn->moved;
    uint32_t taken = moved > unacked ? moved - unacked : 0; /* Unix sockets count their own overhead
                                                               in unacked */
    size_t owed = conn->out.bytes + unacked;
    conn->moved = unacked;
    *unread = owed > 0;
    if (conn->answering) { /* maybe for ever: nothing is late that was queued since the last look */
        *unread = taken < conn->wait.answer->owed;
        conn->wait.answer->owed = owed;
    }
    return taken > 0 && taken >= (uint32_t)conn->server->deadline_ms[conn->deadline] / 2;
}

/* ---- Send ---- */

/* Returns AZC_OK, or why this connection takes no message. */
static AZC__RARE int azc__send_refuse(const azc_conn *conn, const char *call) {
    if (conn == NULL) return AZC_ERR_ARGUMENT;
    AZC_ASSERT(conn->state <= AZC__DEAD && "a connection is used after its on_close");
    if (conn->state == AZC__OPEN) return azc__error_null(conn->server, call);
    return conn->state == AZC__HTTP ? azc__error_request(conn->server, call)
                                    : azc__error_closed(conn->server, call);
}

static inline int azc__send_check(const azc_conn *conn, const void *data, size_t len,
                                  const char *call) {
    if (conn != NULL && conn->state == AZC__OPEN && (data != NULL || len == 0)) return AZC_OK;
    return azc__send_refuse(conn, call);
}

/* Outgoing text must be UTF-8. The text that on_message has just now was checked on arrival. */
static int azc__text_valid(const azc_server *s, const char *text, size_t len) {
    return (AZC__FAST && text == s->checked && len == s->checked_len) || azc__utf8_valid(text, len);
}

/* A message of this size would exceed max_backlog: do what when_full says. */
static AZC__RARE int azc__backlog_overflow(azc_conn *conn, size_t size) {
    azc_server *s = conn->server;
    static const char full[] = "max_backlog: no room for the message; the peer reads too slowly";
    int drop = conn->channel->desc.when_full == AZC_FULL_DROP;
    if (size <= s->config.max_backlog) conn->drain = 1;
    conn->dropped += conn->dropped < UINT32_MAX;
    s->stats.dropped++;
    memcpy(s->error, full, sizeof full); /* not azc__error: a broadcast may come here often */
    azc__log(s, conn, drop ? AZC_LOG_DEBUG : AZC_LOG_WARNING, "%s: its backlog is %zu bytes, and "
             "max_backlog is %zu: it reads too slowly; see when_full",
             drop ? "a message is dropped" : "closed with 1013", azc__out_backlog(&conn->out),
             s->config.max_backlog);
    if (!drop) azc__conn_fail(conn, AZC__CLOSING, 1013, "the peer reads too slowly");
    else azc__conn_touch(conn);
    return AZC_ERR_FULL;
}

/* The backlog above which a peer is not read. In fixed memory a response begins with an empty
 * output, because it may take all of max_backlog. */
static size_t azc__backlog_limit(const azc_conn *conn) {
    const azc_server *s = conn->server;
    return conn->state == AZC__HTTP && s->fixed != NULL ? 0 : s->pause;
}

static inline int azc__backlog_full(const azc_conn *conn, size_t size) {
    size_t max = conn->server->config.max_backlog;
    return size > max || azc__out_backlog(&conn->out) > max - size;
}

static inline void azc__queue_done(azc_conn *conn) {
    conn->server->stats.messages_out++;
    azc__conn_touch(conn);
}

/* Write a message to p, where there is room for it. */
static AZC__HOT int azc__queue_into(azc_conn *conn, unsigned char *p, int opcode, const void *data,
                                    size_t len) {
    azc__queue_done(conn);
    p += azc__frame_write(p, opcode, len);
    if (len > 0) memcpy(p, data, len);
    return AZC_OK;
}

/* Offer a frame to the kernel. Returns the number of bytes sent: 0 also on an error, because the
 * flush step meets it again and handles it. */
static AZC__ASIDE size_t azc__queue_offer(azc_conn *conn, unsigned char *head, size_t head_len,
                                          const void *data, size_t len) {
    struct iovec iov[2];
    iov[0].iov_base = head;
    iov[0].iov_len = head_len;
    iov[1].iov_base = (void *)(uintptr_t)data;
    iov[1].iov_len = len;
    ssize_t sent = azc__sys_send(conn, iov, 2);
    if (sent <= 0) return 0;
    conn->server->stats.bytes_out += (size_t)sent;
    if (AZC__UNACKED != 0) conn->moved += (uint32_t)sent;
    return (size_t)sent;
}

/* Queue a message over several pieces. If it is large and nothing is queued before it, the kernel
 * is offered it first: what it takes need not be copied. */
static AZC__RARE int azc__queue_pieces(azc_conn *conn, int opcode, const void *data, size_t len) {
    azc__out *out = &conn->out;
    unsigned char head[AZC__MAX_HEAD];
    size_t head_len = azc__frame_write(head, opcode, len), sent = 0;
    if (len >= AZC__LARGE && out->bytes == 0)
        sent = azc__queue_offer(conn, head, head_len, data, len);
    size_t unsent = head_len + len - sent;
    if (unsent > 0 && !azc__out_reserve(&conn->server->mem, out, unsent)) {
        if (sent > 0) azc__conn_drop(conn); /* a part of a frame was sent */
        return azc__error_memory(conn->server, "a send");
    }
    azc__queue_done(conn);
    size_t sent_head = azc__min(sent, head_len), sent_data = sent - sent_head;
    azc__out_write(out, head + sent_head, head_len - sent_head);
    if (sent_data < len)
        azc__out_write(out, (const unsigned char *)data + sent_data, len - sent_data);
    return AZC_OK;
}

/* Queue a message for which the last piece, or the backlog, has no room. */
static AZC__RARE int azc__queue_slow(azc_conn *conn, int opcode, const void *data, size_t len) {
    azc_server *s = conn->server;
    size_t size = azc__frame_overhead(len) + len;
    if (azc__backlog_full(conn, size)) return azc__backlog_overflow(conn, size);
    if (!AZC__FAST || size > AZC__ONE_PIECE || s->fixed != NULL)
        return azc__queue_pieces(conn, opcode, data, len);
    unsigned char *p = azc__out_claim(&s->mem, &conn->out, size);
    return p == NULL ? azc__error_memory(s, "a send")
                     : azc__queue_into(conn, p, opcode, data, len);
}

/* Queue a message. conn has passed azc__send_check. */
static AZC__HOT int azc__queue(azc_conn *conn, int opcode, const void *data, size_t len) {
    if (!AZC__FAST) return azc__queue_slow(conn, opcode, data, len);
    size_t size = len + azc__frame_overhead(len), room = 0;
    azc__out *out = &conn->out;
    if (out->tail != NULL) room = out->tail->room;
    else if (size <= AZC__ONE_PIECE) room = azc__out_first(&conn->server->mem, out);
    if (size > room || azc__out_backlog(out) + size > conn->server->config.max_backlog)
        return azc__queue_slow(conn, opcode, data, len);
    return azc__queue_into(conn, azc__out_take(out, size), opcode, data, len);
}

/* Queue a whole frame, whose bytes other connections may send too. */
static int azc__queue_block(azc_conn *conn, azc__block *block) {
    if (block->key != 0) return conn->server->queue_keyed(conn, block);
    if (azc__backlog_full(conn, block->len)) return azc__backlog_overflow(conn, block->len);
    if (!azc__out_refer(&conn->server->mem, &conn->out, block + 1, block->len, block))
        return AZC_ERR_MEMORY;
    azc__queue_done(conn);
    return AZC_OK;
}

static AZC__HOT int azc__send(azc_conn *conn, int opcode, const void *data, size_t len,
                              const char *call) {
    if (len >= AZC_NUL && (len = azc__measure(data, len)) >= AZC_NUL)
        return azc__error_length(azc_server_of(conn), call);
    int error = azc__send_check(conn, data, len, call);
    if (error != AZC_OK) return error;
    if (conn->server->busy & AZC__REFUSING) return azc__error_busy(conn->server, call);
    if (opcode == AZC__OP_TEXT && !azc__text_valid(conn->server, (const char *)data, len))
        return azc__error_utf8(conn->server, call);
    return azc__queue(conn, opcode, data, len);
}

AZC_API int azc_send_text(azc_conn *conn, const char *text, size_t len) {
    return azc__send(conn, AZC__OP_TEXT, text, len, "azc_send_text");
}

AZC_API int azc_send_binary(azc_conn *conn, const void *data, size_t len) {
    return azc__send(conn, AZC__OP_BINARY, data, len, "azc_send_binary");
}

static int azc__writer_finish(azc_server *s, azc_writer *w, const char *call) {
    int error = azc_put_finish(w);
    if (error == AZC_OK) return AZC_OK;
    if (w == NULL || w->text == NULL) return azc__error_null(s, call);
    if (error == AZC_ERR_FULL)
        return azc__mistake(s, error, "%s: the writer's buffer of %zu bytes is too small", call,
                            w->azc__size);
    return azc__mistake(s, error, "%s: %s", call, error == AZC_ERR_STATE
                        ? "the JSON is not whole: a name or an azc_put_end is missing or too many"
                        : error == AZC_ERR_UTF8 ? "a string of the JSON is not UTF-8"
                        : "a number of the JSON is NaN or infinite, or it is deeper than 64");
}

AZC_API int azc_send_json(azc_conn *conn, azc_writer *w) {
    int error = azc__writer_finish(azc_server_of(conn), w, "azc_send_json");
    return error != AZC_OK ? error : azc_send_text(conn, w->text, w->len);
}

AZC_API int azc_ping(azc_conn *conn, const void *data, size_t len) {
    azc_server *s = azc_server_of(conn);
    if (len >= AZC_NUL && (len = azc__measure(data, len)) >= AZC_NUL)
        return azc__error_length(s, "azc_ping");
    int error = azc__send_check(conn, data, len, "azc_ping");
    if (error != AZC_OK) return error;
    if (len > AZC__MAX_CONTROL)
        return azc__mistake(s, AZC_ERR_ARGUMENT, "azc_ping: len %zu: at most 125 bytes, RFC 6455 "
                            "5.5", len);
    if (s->busy & AZC__REFUSING) return azc__error_busy(s, "azc_ping");
    if (azc__out_backlog(&conn->out) > s->config.max_backlog)
        return azc__error(s, AZC_ERR_FULL, "azc_ping: max_backlog is full");
    if (azc__send_control(conn, AZC__OP_PING, data, len)) return AZC_OK;
    return azc__error_memory(s, "azc_ping");
}

AZC_API int azc_close(azc_conn *conn, int code, const char *reason) {
    size_t len = reason != NULL ? strlen(reason) : 0;
    int valid = code == 0 ? len == 0 : code > 0 && azc__close_code_valid((unsigned)code);
    if (conn == NULL) return AZC_ERR_ARGUMENT;
    if (len > AZC__MAX_CONTROL - 2 || !valid)
        return azc__mistake(conn->server, AZC_ERR_ARGUMENT, "azc_close: code %d with a reason of "
                            "%zu bytes: a code is 1000-1003, 1007-1014, 3000-4999, or 0 without a "
                            "reason; a reason has at most 123 bytes, RFC 6455 7.4", code, len);
    int error = azc__send_check(conn, reason, len, "azc_close");
    if (error != AZC_OK) return error;
    if (!azc__utf8_valid(reason, len)) return azc__error_utf8(conn->server, "azc_close");
    if (conn->server->busy & AZC__REFUSING) return azc__error_busy(conn->server, "azc_close");
    azc__conn_close(conn, AZC__CLOSING, code ? code : 1005, reason, len);
    return AZC_OK;
}

/* ---- Broadcast ---- */

/* Make a whole frame that several outputs can refer to. The caller holds the first reference. */
static azc__block *azc__block_make(const azc__mem *mem, const azc__payload *p) {
    size_t head = azc__frame_overhead(p->len);
    azc__block *block = (azc__block *)azc__alloc(mem, sizeof *block + head + p->len);
    if (block == NULL) return NULL;
    unsigned char *to = (unsigned char *)(block + 1);
    block->refs = 1;
    block->len = head + p->len;
    block->key = p->key;
    azc__frame_write(to, p->opcode, p->len);
    if (p->len > 0) memcpy(to + head, p->data, p->len);
    return block;
}

/* Begin another sheet. Returns 0 without memory. */
static AZC__RARE int azc__sheet_begin(azc_server *s) {
    azc__piece *piece = azc__piece_make(&s->mem, AZC__SHEET - sizeof *piece, AZC__PIECE);
    if (piece == NULL) return 0;
    azc__out_append(&s->sheet, piece);
    azc__block *block = (azc__block *)(void *)azc__out_take(&s->sheet, sizeof *block);
    memset(block, 0, sizeof *block);
    block->refs = 1;
    return 1;
}

/* Write a frame on the sheet. NULL without memory. */
static unsigned char *azc__sheet_write(azc_server *s, const azc__payload *p, size_t size) {
    azc__out *sheet = &s->sheet;
    if ((sheet->tail == NULL || sheet->tail->room < size) && !azc__sheet_begin(s)) return NULL;
    unsigned char *frame = azc__out_take(sheet, size);
    size_t head = azc__frame_write(frame, p->opcode, p->len);
    if (p->len > 0) memcpy(frame + head, p->data, p->len);
    return frame;
}

/* Take the last frame back if no output refers to it. So the sheet never has more bytes than the
 * backlogs that refer to it. */
static AZC__RARE void azc__sheet_unwrite(azc_server *s, size_t size) {
    s->sheet.tail->len -= size; /* NOLINT: it was written */
    s->sheet.tail->room += size;
    s->sheet.bytes -= size;
}

/* Every output was flushed, or refers to the sheets as to blocks. The last sheet goes on if one of
 * them does. */
static AZC__RARE void azc__sheet_clear(azc_server *s) {
    azc__piece *p = s->sheet.head, *next;
    for (; p != NULL; p = next) {
        next = p->next;
        if (next == NULL && azc__sheet_block(p)->refs > 1 && p->room >= AZC__SHARE) break;
        azc__block_release(&s->mem, azc__sheet_block(p));
    }
    s->sheet.head = s->sheet.tail = p;
    s->sheet.bytes = p != NULL ? p->len : 0;
    if (s->conn_count == 0) azc__pool_free(&s->mem);
}

/* Does a broadcast to so many go on the sheet? */
static inline int azc__sheet_takes(const azc_server *s, size_t len, size_t conns) {
    return AZC__FAST && conns >= AZC__SHEET_CONNS && len < AZC__SHEET_MOST && s->fixed == NULL;
}

/* Is a block better than a copy for each connection? A key is kept in the block. */
static int azc__broadcast_shares(const azc_server *s, const azc__payload *p, size_t conns) {
    return p->key != 0 || (conns > 1 && p->len >= AZC__SHARE && s->fixed == NULL &&
                           !azc__sheet_takes(s, p->len, conns));
}

/* Queue a frame of the sheet: refer to it, or copy the payload. */
static AZC__HOT int azc__queue_sheet(azc_conn *conn, azc__cast *c) {
    const azc__payload *p = c->payload;
    azc_server *s = conn->server;
    azc__out *out = &conn->out;
    if (azc__out_backlog(out) > c->most) return azc__backlog_overflow(conn, c->size);
    if (azc__out_continues(out, c->frame)) {
        out->tail->len += c->size; /* NOLINT: not NULL */
        out->bytes += c->size;
    } else if (azc__out_takes_sheet(out)) {
        if (!azc__out_refer(&s->mem, out, c->frame, c->size, NULL))
            return azc__error_memory(s, p->call);
        out->tail->kind = AZC__ON_SHEET;
    } else if (p->len < AZC__SHARE) {
        return azc__queue(conn, p->opcode, p->data, p->len);
    } else if (!azc__out_refer(&s->mem, out, c->frame, c->size, azc__sheet_block(s->sheet.tail))) {
        return azc__error_memory(s, p->call);
    }
    c->referred = 1;
    azc__queue_done(conn);
    return AZC_OK;
}

/* Returns 1 if the message was queued. */
static AZC__HOT int azc__broadcast_one(azc_conn *conn, azc__cast *c) {
    const azc__payload *p = c->payload;
    if (conn->state != AZC__OPEN) return 0;
    return (c->frame != NULL ? azc__queue_sheet(conn, c)
            : c->block != NULL ? azc__queue_block(conn, c->block)
                               : azc__queue(conn, p->opcode, p->data, p->len)) == AZC_OK;
}

static inline azc__cast azc__cast_make(const azc_server *s, const azc__payload *p) {
    size_t size = azc__frame_overhead(p->len) + p->len;
    azc__cast cast = {p, NULL, NULL, size, s->config.max_backlog - size, 0};
    return cast;
}

/* Write it on the sheet, if that is better than copies. */
static inline void azc__cast_write(azc_server *s, azc__cast *c, size_t conns) {
    if (c->block == NULL && c->size <= s->config.max_backlog &&
        azc__sheet_takes(s, c->payload->len, conns))
        c->frame = azc__sheet_write(s, c->payload, c->size);
}

/* Every connection has it, or has refused it. */
static inline void azc__cast_end(azc_server *s, azc__cast *c) {
    if (c->frame != NULL && !c->referred && azc__out_continues(&s->sheet, c->frame + c->size))
        azc__sheet_unwrite(s, c->size);
    azc__block_release(&s->mem, c->block);
}

/* Queue a message to a room's members, or (room NULL) to the channel's connections. Returns the
 * number of connections, or an error. A full backlog may end a connection, which leaves its lists
 * but keeps its next pointers. */
static int azc__broadcast_queue(azc_channel *channel, const azc__room *room,
                                const azc__payload *payload, const azc_conn *except) {
    azc_server *s = channel->server;
    azc__cast cast = azc__cast_make(s, payload);
    int count = 0, keeps = room != NULL && room->keeps.history != NULL;
    size_t conns = room != NULL ? room->count : channel->count;
    if (azc__broadcast_shares(s, payload, conns)) {
        cast.block = azc__block_make(&s->mem, payload);
        if (cast.block == NULL) return azc__error_memory(s, payload->call);
    }
    if (keeps && !s->history->keep(s, room, cast.block, payload, except)) {
        azc__block_release(&s->mem, cast.block);
        return azc__error_memory(s, payload->call);
    }
    if (keeps && room->keeps.history->id != 0 && payload->key == 0)
        return s->client->broadcast(s, room, &cast, except);
    azc__cast_write(s, &cast, conns);
    if (room != NULL) {
        for (const azc__member *m = room->first; m != NULL; m = m->next)
            if (m->conn != except) count += azc__broadcast_one(m->conn, &cast);
    } else {
        for (azc_conn *conn = channel->first; conn != NULL; conn = conn->u.link.next)
            if (conn != except) count += azc__broadcast_one(conn, &cast);
    }
    azc__cast_end(s, &cast);
    return count;
}

/* Returns AZC_OK, or why this cannot be broadcast. Replaces AZC_NUL by the length. */
static int azc__payload_check(azc_server *s, const char *room, azc__payload *p) {
    if (room != NULL && !azc__room_valid(room))
        return azc__mistake(s, AZC_ERR_ARGUMENT, "%s: room must be NULL (the channel), or have 1 "
                            "to %d bytes", p->call, AZC__MAX_ROOM);
    if (s->busy & AZC__REFUSING) return azc__error_busy(s, p->call);
    if (p->len >= AZC_NUL && (p->len = azc__measure(p->data, p->len)) >= AZC_NUL)
        return azc__error_length(s, p->call);
    if (p->data == NULL && p->len > 0) return azc__error_null(s, p->call);
    if (p->opcode != AZC__OP_TEXT || azc__text_valid(s, p->data, p->len)) return AZC_OK;
    return azc__error_utf8(s, p->call);
}

/* Without on_publish. Returns as azc__broadcast_queue: 0 if there is no room of this name. */
static int azc__broadcast_local(azc_channel *channel, const char *room, azc__payload *p,
                                const azc_conn *except) {
    int error = azc__payload_check(channel->server, room, p);
    if (error != AZC_OK) return error;
    const azc__room *r = room != NULL ? azc__room_by_name(channel, room) : NULL;
    return room != NULL && r == NULL ? 0 : azc__broadcast_queue(channel, r, p, except);
}

/* Pass a local broadcast to on_publish, unless count is an error. Returns AZC_OK, or that error. */
static int azc__broadcast_publish(azc_channel *channel, const char *room, const azc__payload *p,
                                  int count) {
    if (count < 0) return count;
    if (channel->on_publish != NULL)
        channel->on_publish(channel, room, p->data, p->len, p->opcode == AZC__OP_BINARY);
    return AZC_OK;
}

/* A broadcast of this process. Returns AZC_OK, or an error. */
static int azc__broadcast(azc_channel *channel, const char *room, azc__payload *p,
                          const azc_conn *except) {
    if (channel == NULL) return AZC_ERR_ARGUMENT;
    return azc__broadcast_publish(channel, room, p,
                                  azc__broadcast_local(channel, room, p, except));
}

AZC_API int azc_broadcast(azc_channel *channel, const char *room, const char *text, size_t len,
                          const azc_conn *except) {
    azc__payload p = {AZC__OP_TEXT, text, len, 0, "azc_broadcast"};
    return azc__broadcast(channel, room, &p, except);
}

AZC_API int azc_broadcast_binary(azc_channel *channel, const char *room, const void *data,
                                 size_t len, const azc_conn *except) {
    azc__payload p = {AZC__OP_BINARY, (const char *)data, len, 0, "azc_broadcast_binary"};
    return azc__broadcast(channel, room, &p, except);
}

AZC_API int azc_broadcast_json(azc_channel *channel, const char *room, azc_writer *w,
                               const azc_conn *except) {
    azc_server *s = channel != NULL ? channel->server : NULL;
    int error = azc__writer_finish(s, w, "azc_broadcast_json");
    if (error != AZC_OK) return error;
    azc__payload p = {AZC__OP_TEXT, w->text, w->len, 0, "azc_broadcast_json"};
    return azc__broadcast(channel, room, &p, except);
}

/* In a page's handler conn has no channel. */
static int azc__broadcast_from(azc_conn *conn, azc__payload *p, const azc_conn *except) {
    if (conn != NULL && conn->channel == NULL)
        return azc__mistake(conn->server, AZC_ERR_STATE, "%s: allowed from on_upgrade on", p->call);
    return azc__broadcast(azc_channel_of(conn), NULL, p, except);
}

AZC_API int azc_send_all(azc_conn *conn, const char *text, size_t len) {
    azc__payload p = {AZC__OP_TEXT, text, len, 0, "azc_send_all"};
    return azc__broadcast_from(conn, &p, NULL);
}

AZC_API int azc_send_others(azc_conn *conn, const char *text, size_t len) {
    azc__payload p = {AZC__OP_TEXT, text, len, 0, "azc_send_others"};
    return azc__broadcast_from(conn, &p, conn);
}

AZC_API int azc_send_room(azc_conn *conn, const char *text, size_t len) {
    if (conn == NULL) return AZC_ERR_ARGUMENT;
    const azc__member *m = azc__member_first(conn);
    if (m == NULL)
        return azc__mistake(conn->server, AZC_ERR_STATE, "azc_send_room: the connection is in no "
                            "room; azc_join puts it into one");
    azc__payload p = {AZC__OP_TEXT, text, len, 0, "azc_send_room"};
    return azc__broadcast(conn->channel, azc__room_name(m->room), &p, conn);
}

/* ---- Receive ---- */

/* The answer to a callback's error in a channel without on_error. */
static void azc__callback_error(azc_conn *conn, const char *name, int result) {
    azc__log(conn->server, conn, AZC_LOG_WARNING, "%s returned %d (%s)%s", name, result,
             azc_strerror(result), result > 0 ? ": callbacks return AZC_OK or an AZC_ERR_*"
                                              : ": without on_error the peer gets INTERNAL_ERROR "
                                                "or INVALID_JSON");
    const char *json = result == AZC_ERR_JSON
                       ? "{\"type\":\"error\",\"code\":\"INVALID_JSON\"}"
                       : "{\"type\":\"error\",\"code\":\"INTERNAL_ERROR\"}";
    if (conn->client) conn->server->client->error(conn, name, json);
    else azc_send_text(conn, json, strlen(json));
}

/* A task or watcher has returned. */
static AZC__RARE void azc__task_end(azc_server *s, const char *name) {
    if (s->timing) azc__callback_time(s, NULL, name);
    azc__callback_done(s);
}

/* After a callback of a connection: report its error, if result is one. */
static AZC__RARE void azc__callback_result(azc_conn *conn, const char *name, int result) {
    const azc_channel_desc *desc = &conn->channel->desc;
    if (result != AZC_OK) {
        azc__room_sweep(conn->server);
        if (desc->on_error == NULL) azc__callback_error(conn, name, result);
        else if (conn->state == AZC__OPEN) desc->on_error(conn, result);
    }
    azc__callback_done(conn->server);
}

/* The channel has no callback for this message. If it has one for the other kind, the peer sends
 * what the channel cannot take (RFC 6455 7.4.1). If it has neither, it has no use for messages. */
static AZC__RARE void azc__conn_untaken(azc_conn *conn, int opcode) {
    const azc_channel_desc *desc = &conn->channel->desc;
    if (desc->on_message != NULL || desc->on_binary != NULL) {
        int text = opcode == AZC__OP_TEXT;
        azc__log(conn->server, conn, AZC_LOG_WARNING, "closed with 1003: the peer sent a %s "
                 "message, but the channel has no %s", text ? "text" : "binary",
                 text ? "on_message" : "on_binary");
        azc__conn_fail(conn, AZC__CLOSING, 1003, text ? "this channel takes binary messages only"
                                                      : "this channel takes text messages only");
    } else if (!conn->untaken) {
        conn->untaken = 1;
        azc__log(conn->server, conn, AZC_LOG_WARNING, "its messages are ignored: the channel has "
                 "neither on_message nor on_binary");
    }
}

/* After a callback of a connection. */
static AZC__RARE void azc__callback_end(azc_conn *conn, const char *name, int result) {
    if (conn->server->timing) azc__callback_time(conn->server, conn, name);
    azc__callback_result(conn, name, result);
}

/* After on_message, on_binary, on_ping or on_pong. */
static AZC__RARE void azc__callback_after(azc_conn *conn, int opcode, int result) {
    azc_server *s = conn->server;
    const char *name = opcode == AZC__OP_TEXT ? "on_message"
                       : opcode == AZC__OP_BINARY ? "on_binary"
                       : opcode == AZC__OP_PING ? "on_ping" : "on_pong";
    if (s->timing) azc__callback_time(s, conn, name);
    if (result != AZC_OK || s->cursors) azc__callback_result(conn, name, result);
}

/* Call on_message, on_binary, on_ping or on_pong. While it runs, a NUL replaces the byte behind the
 * data, which may belong to the next frame. */
static inline void azc__conn_deliver(azc_conn *conn, int opcode, unsigned char *data, size_t len) {
    azc_server *s = conn->server;
    const azc_channel_desc *desc = &conn->channel->desc;
    unsigned char behind = data[len];
    int result = AZC_OK;
    data[len] = 0;
    if (opcode == AZC__OP_TEXT) {
        const char *text = (const char *)data;
        if (AZC__FAST) s->checked = text, s->checked_len = len;
        if (desc->on_message != NULL) result = desc->on_message(conn, text, len);
        else azc__conn_untaken(conn, opcode);
        if (AZC__FAST) s->checked = NULL;
    } else {
        int (*callback)(azc_conn *, const void *, size_t) =
            opcode == AZC__OP_BINARY ? desc->on_binary
            : opcode == AZC__OP_PING ? desc->on_ping : desc->on_pong;
        if (callback != NULL) result = callback(conn, data, len);
        else if (opcode == AZC__OP_BINARY) azc__conn_untaken(conn, opcode);
    }
    data[len] = behind;
    if ((result | s->cursors | s->timing) != 0) azc__callback_after(conn, opcode, result);
}

/* A Close frame answers ours, or is echoed. RFC 6455 5.5.1 */
static void azc__receive_close(azc_conn *conn, const azc__event *e) {
    if (e->len < 2) azc__conn_close(conn, AZC__LINGER, 1005, NULL, 0);
    else azc__conn_close(conn, AZC__LINGER, (int)azc__big_endian(e->data, 2), e->data + 2,
                         e->len - 2);
}

static void azc__receive_event(azc_conn *conn, const azc__event *e) {
    if (e->kind == AZC__OP_CLOSE) azc__receive_close(conn, e);
    if (conn->state != AZC__OPEN) return;
    if (e->kind == AZC__OP_PING && !azc__send_control(conn, AZC__OP_PONG, e->data, e->len))
        azc__log(conn->server, conn, AZC_LOG_ERROR, "out of memory for a pong");
    if (e->kind == AZC__OP_PONG && conn->deadline == AZC__DEADLINE_PONG)
        azc__deadline_set(conn, AZC__DEADLINE_PING);
    if (e->parts != NULL && e->kind <= AZC__OP_BINARY) {
        e->parts->deliver(conn, e);
        return;
    }
    conn->server->stats.messages_in += e->kind <= AZC__OP_BINARY;
    azc__conn_deliver(conn, e->kind, e->data, e->len);
}

/* Take frame bytes of any kind. Returns the bytes taken, at least one. While we wait for the peer's
 * Close, its messages are discarded.
 *
 * The bytes of a message count as progress. A whole message is also a sign of life. Of a message
 * that is not whole, only its beginning is one, and each control frame within it. */
static AZC__RARE size_t azc__receive_frames(azc_conn *conn, unsigned char *p, size_t n) {
    azc_server *s = conn->server;
    azc__event e;
    uint64_t max_message = AZC__DISCARD;
    e.parts = NULL;
    if (conn->state == AZC__OPEN) {
        e.parts = conn->channel->parts;
        max_message = e.parts != NULL ? AZC__ANY_SIZE : s->config.max_message;
    }
    size_t used = azc__decode(&s->mem, &conn->in, max_message, p, n, &e);
    if (conn->state == AZC__OPEN) conn->moved += (uint32_t)used;
    if (conn->in != NULL && (conn->in->since == 0 || e.kind >= AZC__OP_CLOSE))
        conn->in->since = (uint32_t)s->now | 1;
    if (e.kind < 0) azc__conn_break(conn, -e.kind, e.why);
    if (e.kind <= 0) return used;
    azc__receive_event(conn, &e);
    azc__decode_done(&s->mem, &conn->in);
    return used;
}

/* Take bytes of an open connection; there is a writable byte behind them. Returns the bytes taken,
 * at least one. The hot path is for the most common input, a whole message in one short frame: its
 * head is 0x80 + opcode, 0x80 + length and a mask. Any other head takes the slow path. */
static inline size_t azc__receive_open(azc_conn *conn, unsigned char *p, size_t n) {
    unsigned opcode = n > 6 ? p[0] - 0x80u : 0, len = n > 6 ? p[1] - 0x80u : 0;
    if (!AZC__FAST || (opcode != AZC__OP_TEXT && opcode != AZC__OP_BINARY) ||
        len >= conn->channel->short_end || len > n - 6 || conn->in != NULL)
        return azc__receive_frames(conn, p, n);
    int high = azc__unmask(p + 6, len, p + 2, 0);
    if (high && opcode == AZC__OP_TEXT && !azc__utf8_valid(p + 6, len)) {
        azc__conn_break(conn, 1007, AZC__BAD_TEXT);
        return n;
    }
    conn->server->stats.messages_in++;
    /* Two calls, so that the compiler makes one for each opcode. */
    if (opcode == AZC__OP_TEXT) azc__conn_deliver(conn, AZC__OP_TEXT, p + 6, len);
    else azc__conn_deliver(conn, AZC__OP_BINARY, p + 6, len);
    return 6 + len;
}

/* ---- Properties ---- */

AZC_API size_t azc_backlog(const azc_conn *conn) {
    return conn == NULL ? 0 : azc__out_backlog(&conn->out);
}

AZC_API uint32_t azc_dropped(const azc_conn *conn) { return conn == NULL ? 0 : conn->dropped; }
AZC_API uint64_t azc_id(const azc_conn *conn) { return conn == NULL ? 0 : conn->id; }

AZC_API azc_conn *azc_find(azc_server *server, uint64_t id) {
    uint32_t slot = (uint32_t)(id & AZC__SLOT_MASK);
    if (server == NULL || slot >= server->slot_count) return NULL;
    azc_conn *conn = server->slots[slot];
    if (conn == NULL || conn->id != id) return NULL;
    return conn->state == AZC__OPEN || (conn->answering && conn->state != AZC__DEAD) ? conn : NULL;
}

/* The body of the request at hand; NULL if there is none, or another's request is at hand. */
static azc__body *azc__body_of(const azc_conn *conn) {
    return conn != NULL && conn->server->current == conn ? conn->server->body : NULL;
}

AZC_API void *azc_data(azc_conn *conn) {
    azc__body *b;
    if (conn != NULL && conn->channel != NULL)
        return conn->channel->desc.data_size == 0 ? NULL : conn->tail;
    b = azc__body_of(conn);
    return b == NULL || b->endpoint->data_size == 0
               ? NULL : (unsigned char *)b + azc__align(sizeof *b);
}

AZC_API void *azc_userdata(const azc_conn *conn) {
    if (conn != NULL && conn->channel != NULL) return conn->channel->desc.userdata;
    const azc__body *b = azc__body_of(conn);
    return b == NULL ? NULL : b->endpoint->userdata;
}

AZC_API azc_channel *azc_channel_of(const azc_conn *conn) {
    return conn == NULL ? NULL : conn->channel;
}

AZC_API azc_server *azc_server_of(const azc_conn *conn) {
    return conn == NULL ? NULL : conn->server;
}

AZC_API const char *azc_subprotocol(const azc_conn *conn) {
    if (conn == NULL || conn->channel == NULL || conn->subprotocol == 0) return NULL;
    const char *p = conn->channel->subprotocols;
    for (int i = 1; i < conn->subprotocol; i++) p = azc__string_next(p);
    return p;
}

/* ==== [17] REQUEST: from a head to an answer or an open channel; RFC 9110, 6455 4.2 =========== */

/* ---- Respond ---- */

/* Pairs of a status that is in use and its reason phrase. RFC 9110 15 */
static const char azc__reasons[] =
    "101\0Switching Protocols\0"
    "200\0OK\0"
    "204\0No Content\0"
    "206\0Partial Content\0"
    "301\0Moved Permanently\0"
    "302\0Found\0"
    "303\0See Other\0"
    "304\0Not Modified\0"
    "400\0Bad Request\0"
    "401\0Unauthorized\0"
    "403\0Forbidden\0"
    "404\0Not Found\0"
    "405\0Method Not Allowed\0"
    "408\0Request Timeout\0"
    "413\0Content Too Large\0"
    "414\0URI Too Long\0"
    "416\0Range Not Satisfiable\0"
    "426\0Upgrade Required\0"
    "429\0Too Many Requests\0"
    "431\0Request Header Fields Too Large\0"
    "500\0Internal Server Error\0"
    "501\0Not Implemented\0"
    "503\0Service Unavailable\0"
    "505\0HTTP Version Not Supported\0";

/* Write the status line, without its end: AZC__VERSION_LEN bytes, then "404 Not Found". Returns its
 * length. */
enum { AZC__VERSION_LEN = 9 };
static size_t azc__respond_status(int status, char out[64]) {
    int len = snprintf(out, 64, "HTTP/1.1 %d", status);
    const char *reason = azc__pairs_find(azc__reasons, out + AZC__VERSION_LEN);
    if (reason == NULL) reason = status < 300 ? "OK" : status < 400 ? "Redirect" : "Error";
    out[len] = ' ';
    return (size_t)(stpcpy(out + len + 1, reason) - out);
}

/* Add a field to the response. Each line begins with CRLF, because the line before has none yet.
 * AZC__OWN_EXTRA is enough for all fields of ours, with the longest type or subprotocol. */
static void azc__respond_field(azc__request *r, const char *name, const char *value) {
    AZC_ASSERT(strlen(name) + strlen(value) + 4 < sizeof r->extra - r->all_len);
    char *p = stpcpy(stpcpy(r->extra + r->all_len, "\r\n"), name);
    r->all_len = (size_t)(stpcpy(stpcpy(p, ": "), value) - r->extra);
}

/* Has the program added this field? Each line begins with CRLF. */
static int azc__respond_has(const azc__request *r, const char *name) {
    size_t n = strlen(name);
    for (const char *p = r->extra_len > 0 ? r->extra : ""; *p; p += strcspn(p, "\r")) {
        p += 2;
        if (azc__equal_nocase(p, n, name, n) && p[n] == ':') return 1;
    }
    return 0;
}

/* Name the version of what is answered. no-cache: the browser keeps it, but asks each time. */
static void azc__respond_tag(azc__request *r, const char *tag) {
    azc__respond_field(r, "ETag", tag);
    if (!azc__respond_has(r, "Cache-Control")) azc__respond_field(r, "Cache-Control", "no-cache");
}

/* No body, so no type. Only a 205 has a Content-Length. RFC 9110 6.4.1, 8.6 */
static AZC__RARE int azc__respond_bodyless(int status) {
    return status == 101 || status == 204 || status == 205 || status == 304;
}

static AZC__RARE void azc__respond_fields(azc__request *r, int status, const char *type,
                                          size_t len) {
    int bodyless = azc__respond_bodyless(status);
    if (type != NULL && !bodyless) azc__respond_field(r, "Content-Type", type);
    if ((!bodyless || status == 205) && !r->parts) {
        char number[24];
        snprintf(number, sizeof number, "%zu", len);
        azc__respond_field(r, "Content-Length", number);
    }
    const char *connection = status == 101 ? "Upgrade" : status == 426 ? "close, Upgrade"
                             : r->keep_alive ? NULL : "close";
    if (connection != NULL) azc__respond_field(r, "Connection", connection);
}

/* Queue a response to r, all or nothing. With `keep` a large body is not copied but sent from where
 * it is. Returns AZC_OK or AZC_ERR_MEMORY. */
static int azc__respond_to(azc__request *r, azc_conn *conn, int status, const char *type,
                           const void *body, size_t len, int keep) {
    azc_server *s = conn->server;
    char line[64];
    size_t line_len = azc__respond_status(status, line);
    if (azc__respond_bodyless(status)) len = 0;
    azc__respond_fields(r, status, type, len);
    if (r->head_only) len = 0;
    size_t head = line_len + r->all_len + 4, copied = keep && len >= AZC__KEEP ? 0 : len;
    if (!azc__out_reserve(&s->mem, &conn->out, head + copied)) {
        r->all_len = r->extra_len; /* the 503 that follows has other fields */
        return AZC_ERR_MEMORY;
    }
    azc__out_write(&conn->out, line, line_len);
    azc__out_write(&conn->out, r->extra, r->all_len);
    azc__out_write(&conn->out, "\r\n\r\n", 4);
    azc__out_write(&conn->out, body, copied);
    if (!azc__out_refer(&s->mem, &conn->out, body, len - copied, NULL)) azc__conn_drop(conn);
    r->answered = 1;
    r->status = status;
    r->sent = head + len;
    azc__conn_touch(conn);
    return AZC_OK;
}

static int azc__respond(azc_conn *conn, int status, const char *type, const void *body, size_t len,
                        int keep) {
    return azc__respond_to(&conn->server->request, conn, status, type, body, len, keep);
}

/* Answer with a status of ours. Its words are the body. After an error the connection ends. */
static void azc__respond_error(azc_conn *conn, int status) {
    azc__request *r = &conn->server->request;
    char line[64];
    size_t len = azc__respond_status(status, line);
    line[len++] = '\n';
    if (status >= 400) r->keep_alive = 0;
    if (status == 405) azc__respond_field(r, "Allow", r->allow);
    if (status == 426) {
        azc__respond_field(r, "Upgrade", "websocket");
        azc__respond_field(r, "Sec-WebSocket-Version", "13");
    }
    azc__respond(conn, status, "text/plain", line + AZC__VERSION_LEN, len - AZC__VERSION_LEN, 0);
}

/* RFC 9110 9.3.7. Returns as azc__request_serve. */
static int azc__respond_options(azc_conn *conn) {
    azc__request *r = &conn->server->request;
    azc__respond_field(r, "Allow", r->allow);
    return azc__respond(conn, 204, NULL, NULL, 0, 0) == AZC_OK ? 0 : 503;
}

/* ---- Pages ---- */

/* After a callback of a request. Returns 0 to go on, or the status to answer with. */
static int azc__handler_status(azc_conn *conn, const char *name, int result) {
    azc_server *s = conn->server;
    azc__request *r = &s->request;
    azc__callback_done(s);
    if (s->timing) azc__callback_time(s, conn, name);
    if (result != AZC_OK && conn->answering) conn->wait.answer->failed(conn, name, result);
    if (result == AZC_OK || r->answered) return 0;
    if (r->why != NULL) return result; /* a page or file has said why */
    int good = result >= 200 && result <= 599;
    if (s->config.log != NULL)
        snprintf(s->words, sizeof s->words, "%s returned %d%s%s", name, result,
                 good ? "" : result > 0 ? ": AZC_OK, a status from 200 to 599, or an AZC_ERR_*"
                                        : ": ", good || result > 0 ? "" : azc_strerror(result));
    return azc__why(&r->why, good ? result : 500, s->words);
}

static int azc__page_serve(azc_conn *conn, const azc__page *page) {
    int status = azc__handler_status(conn, "the page's handler",
                                     page->handler(conn, page->userdata));
    azc__request *r = &conn->server->request;
    if (status != 0 || r->answered) return status;
    return azc__why(&r->why, 500, "the page's handler returned AZC_OK without azc_reply");
}

/* ---- Upgrades ---- */

/* The first subprotocol of the channel's list that the peer offers. Returns 1 + its index, or 0. */
static uint8_t azc__upgrade_subprotocol(const azc_channel *channel, const azc__request *r) {
    uint8_t n = 1;
    for (const char *p = channel->subprotocols; *p; p = azc__string_next(p), n++) {
        if (azc__http_has(r, "Sec-WebSocket-Protocol", p, 1)) return n; /* case counts: 6455 4.1 */
    }
    return 0;
}

/* Refuse an origin, with both sides of what azc__http_origin compared. Returns 403. */
static AZC__RARE int azc__upgrade_refuse_origin(const azc_conn *conn) {
    azc_server *s = conn->server;
    azc__request *r = &s->request;
    char origin[AZC__LOG_TEXT], host[AZC__LOG_TEXT];
    const char *given = azc__http_field(r, "Origin"), *list = s->config.origins;
    azc__log_text(origin, given, strlen(given));
    if (list == NULL) list = azc__log_text(host, r->host, r->host_len);
    snprintf(s->words, sizeof s->words, "the origin \"%s\" is not %s \"%.200s\": add it to "
             "config.origins", origin, list != host ? "in origins" : r->scheme == 's'
             ? "of Host by https" : r->scheme == 'p' ? "of Host by http" : "of Host", list);
    return azc__why(&r->why, 403, s->words);
}

/* Returns 0, or the status that refuses the handshake. RFC 6455 4.2.1 */
static int azc__upgrade_check(azc_conn *conn, const char *key) {
    azc_server *s = conn->server;
    azc__request *r = &s->request;
    const char *version = azc__http_only(r, "Sec-WebSocket-Version");
    if (version == NULL || strcmp(version, "13") != 0)
        return azc__why(&r->why, 426, "not exactly one Sec-WebSocket-Version 13, RFC 6455 4.2.1");
    if (key == NULL || !azc__key_valid(key))
        return azc__why(&r->why, 400, "not exactly one Sec-WebSocket-Key of 16 bytes in base64, "
                        "RFC 6455 4.2.1");
    if (!azc__http_origin(r, s->config.origins)) return azc__upgrade_refuse_origin(conn);
    return r->proxied ? azc__quota_enter(conn, &r->visitor) : 0;
}

static int azc__upgrade_respond(azc_conn *conn, const char *key) {
    azc__request *r = &conn->server->request;
    char accept[29];
    const char *subprotocol = azc_subprotocol(conn);
    azc__accept_key(key, accept);
    azc__respond_field(r, "Upgrade", "websocket");
    azc__respond_field(r, "Sec-WebSocket-Accept", accept);
    if (subprotocol != NULL) azc__respond_field(r, "Sec-WebSocket-Protocol", subprotocol);
    return azc__respond(conn, 101, NULL, NULL, 0, 0) == AZC_OK ? 0 : 503;
}

/* The handshake is good: open the channel. Returns as azc__upgrade. */
static int azc__upgrade_open(azc_conn *conn, azc_channel *channel, const char *key) {
    azc__request *r = &conn->server->request;
    int status = 0;
    if (!azc__tail_make(conn, channel)) return 503;
    conn->subprotocol = azc__upgrade_subprotocol(channel, r);
    if (channel->desc.on_upgrade != NULL)
        status = azc__handler_status(conn, "on_upgrade", channel->desc.on_upgrade(conn));
    if (status == 0 && !r->answered) status = azc__upgrade_respond(conn, key);
    if (r->status == 101) {
        azc__conn_open(conn);
        return 0;
    }
    if (conn->rooms != NULL) azc__member_remove(conn->server, conn->rooms); /* azc_set_user's */
    azc__tail_free(conn);
    return status;
}

/* Returns 0 if the request was answered, with 101 or by on_upgrade; else the status that refuses
 * it. Without a 101 the connection belongs to no channel as before, and a proxy's visitor does not
 * count. RFC 6455 4.2.2 */
static int azc__upgrade(azc_conn *conn, azc_channel *channel) {
    const azc__request *r = &conn->server->request;
    const char *key = azc__http_only(r, "Sec-WebSocket-Key");
    int status = azc__upgrade_check(conn, key);
    if (status == 0) status = azc__upgrade_open(conn, channel, key);
    if (r->proxied && r->status != 101) azc__quota_leave(conn);
    return status;
}

/* ---- Requests ---- */

/* Returns 0, or the status that refuses the request for a channel or a page. */
static int azc__request_check(azc__request *r, int for_channel) {
    int get = strcmp(r->method, "GET") == 0;
    if (!get && (for_channel || !r->head_only))
        return azc__why(&r->why, 405, for_channel ? "a channel takes GET only"
                                                  : "a page takes GET and HEAD only");
    if (r->chunked || r->body > 0)
        return azc__why(&r->why, r->chunked ? 501 : 413, "a request with a body; azc_add_endpoint "
                        "takes POST, PUT, PATCH and DELETE");
    if (!for_channel || r->upgrade) return 0;
    return azc__why(&r->why, 426, r->http10
                    ? "a channel needs HTTP/1.1: nginx needs proxy_http_version 1.1"
                    : "a channel, not a page: open it with new WebSocket(); a proxy must pass "
                      "Upgrade and Connection on");
}

/* No channel and no page has the path. */
static AZC__RARE int azc__request_unknown(azc__request *r) {
    return azc__why(&r->why, 404, r->upgrade ? "no azc_add_channel has this path"
                    : "no azc_add_page, azc_add_handler or azc_add_channel has this path");
}

/* Call the handlers of azc_use, then serve the channel or page of the path. If both have the path,
 * an upgrade is for the channel. Returns 0 if the request was answered, else the status. */
static AZC__RARE int azc__request_serve(azc_conn *conn) {
    azc_server *s = conn->server;
    azc__request *r = &s->request;
    for (const azc__use_link *use = s->uses; use != NULL; use = use->next) {
        int status = azc__handler_status(conn, "a handler of azc_use",
                                         use->handler(conn, use->userdata));
        if (status != 0 || r->answered) return status;
    }
    int options = strcmp(r->method, "OPTIONS") == 0;
    if (options && *r->path == '*') return azc__respond_options(conn);
    const azc__route *route = azc__route_find(s->page_routes, r->segments, r->count);
    int for_channel = r->upgrade || route == NULL;
    if (for_channel) route = azc__route_find(s->channel_routes, r->segments, r->count);
    if (for_channel) r->allow = "GET, OPTIONS";
    int status = s->bodies != NULL ? s->bodies->serve(conn, route) : -1;
    if (status >= 0) return status;
    if (route == NULL) return azc__request_unknown(r);
    if (options) return azc__respond_options(conn);
    status = azc__request_check(r, for_channel);
    if (status != 0) return status;
    azc__route_values(route, r->segments, r->count, &s->strings_at);
    r->route = route;
    return for_channel ? azc__upgrade(conn, (azc_channel *)route->target)
                       : azc__page_serve(conn, (const azc__page *)route->target);
}

/* Fill the scratch with the strings of azc__strings; for a malformed request (status not 0), only
 * the peer and "-". Returns the status, or -400 for a bad path or query. */
static AZC__RARE int azc__request_strings(azc_conn *conn, azc__request *r, int status) {
    azc_server *s = conn->server;
    char *out = s->scratch, *segments = out + azc__scratch_strings(&s->config);
    const azc__visitor *visitor = &r->visitor; /* the peer, unless a proxy names another */
    r->visitor.family = conn->family;
    memcpy(r->visitor.raw, conn->u.raw, sizeof r->visitor.raw);
    if (status == 0 && s->proxies != NULL) s->proxies->forwarded(s, r);
    if (visitor->family != 0) inet_ntop(visitor->family, visitor->raw, out, INET6_ADDRSTRLEN);
    else memcpy(out, "unix", 5);
    out += strlen(out) + 1;
    out = stpcpy(out, status == 0 ? r->target : "-") + 1;
    char *query = out;
    r->segments = segments;
    if (status == 0) {
        r->count = azc__route_split(&segments, r->path, r->path_len);
        if (r->count < 0 || azc__http_pairs(&out, r->query, 0) < 0) {
            status = azc__http_bad(r, "a path or query with a bad % escape, a NUL, or not in "
                                      "UTF-8");
            out = query;
        }
    }
    *out++ = 0;
    s->strings_at = out;
    return status;
}

/* Why a request is refused that has not been parsed. */
static AZC__RARE const char *azc__request_fault(int status) {
    return status == 408 ? "no whole request head within handshake_ms"
           : status == 414 ? "a request line over max_request"
           : status == 431 ? "a request head over max_request, or over 64 fields"
           : status == 503 ? "out of memory"
           : "a control character, or a line end that is not CR LF, RFC 9112 2.2";
}

/* The request at hand was handled: if that has not answered it, answer with this status. */
static void azc__request_finish(azc_conn *conn, int status) {
    const azc__request *r = &conn->server->request;
    if (!r->answered) azc__respond_error(conn, status);
    if (!r->later) azc__log_request(conn, r);
}

/* Answer the request at hand. status is 0, or negative if the request is malformed. */
static void azc__request_respond(azc_conn *conn, int status) {
    azc_server *s = conn->server;
    azc__request *r = &s->request;
    s->current = conn;
    r->allow = "GET, HEAD, OPTIONS";
    if (r->body > 0 || r->chunked || s->stopping) r->keep_alive = 0;
    status = -azc__request_strings(conn, r, status);
    if (status == 0) status = azc__request_serve(conn);
    else if (r->why == NULL) r->why = azc__request_fault(status);
    if (r->waits == NULL) azc__request_finish(conn, status);
}

/* A request is answered: wait for the next one, or end. */
static void azc__request_next(azc_conn *conn) {
    if (conn->server->request.keep_alive) azc__deadline_set(conn, AZC__DEADLINE_OUTPUT);
    else azc__conn_end(conn, AZC__LINGER, 0);
}

/* Answer as azc__request_respond does. Then call on_connect, in which the request is still at hand,
 * wait for the next request or for this one's body, or end. */
static void azc__request_answer(azc_conn *conn, int status) {
    azc_server *s = conn->server;
    azc__request_respond(conn, status);
    if (conn->state == AZC__OPEN) {
        const azc_channel_desc *desc = &conn->channel->desc;
        conn->since = (uint32_t)(s->now / 1000);
        if (s->client != NULL) s->client->greet(conn);
        if (desc->on_connect != NULL) azc__callback_end(conn, "on_connect", desc->on_connect(conn));
        conn->arriving = 0;
    } else if (conn->state == AZC__HTTP && s->request.waits == NULL) {
        azc__request_next(conn);
    }
    s->current = NULL;
}

/* Answer a request whose head is unusable: too long, malformed or too late. */
static void azc__request_bad(azc_conn *conn, int status, const char *why) {
    memset(&conn->server->request, 0, offsetof(azc__request, extra));
    conn->server->request.why = why;
    azc__request_answer(conn, -status);
}

/* Keep the bytes of an incomplete head. Returns 0 without memory. */
static int azc__request_keep(azc_conn *conn, const azc__scan *scan, const unsigned char *p,
                             size_t n) {
    azc_server *s = conn->server;
    if (!azc__in_make(&s->mem, &conn->in)) return 0;
    azc__in *in = conn->in;
    if (!azc__grow(&s->mem, &in->data, &in->cap, in->len + n, s->config.max_request)) return 0;
    memcpy(in->data + in->len, p, n);
    in->len += n;
    in->scan = *scan;
    return 1;
}

/* ---- Receive ---- */

/* The answers to the peer's earlier requests are not read, or not whole: keep what it pipelined.
 * The connection is not read until azc__receive_held has taken that, so it is at most one read's
 * worth, and azc__read_max makes that max_request. */
static AZC__RARE size_t azc__receive_hold(azc_conn *conn, const unsigned char *p, size_t n) {
    azc__scan none;
    memset(&none, 0, sizeof none);
    int kept = azc__request_keep(conn, &none, p, n);
    if (!kept && conn->answering) azc__conn_drop(conn);
    else if (!kept) azc__request_bad(conn, 503, NULL);
    else if (conn->answering) conn->paused = 1; /* azc__answer_over sets drain */
    else conn->drain = 1;
    azc__conn_touch(conn);
    return n;
}

/* The peer has announced that nothing follows its request (RFC 9112 9.6), and nothing did. Then its
 * FIN is not awaited: our close discards nothing unread, so it cannot reset the answer. A long
 * answer does wait, so that a peer that does not read it still counts as a connection. */
static void azc__receive_last(azc_conn *conn) {
    if (conn->out.bytes <= (size_t)2 * AZC__LARGE && !conn->answering) conn->eof = 1;
}

/* Take bytes of a request head, or of its body. Returns the bytes taken, at least one. */
static AZC__RARE size_t azc__receive_head(azc_conn *conn, unsigned char *p, size_t n) {
    azc_server *s = conn->server;
    azc__scan scan;
    if (conn->in != NULL && conn->in->body != NULL) return s->bodies->receive(conn, p, n);
    if (conn->answering || azc__out_backlog(&conn->out) > azc__backlog_limit(conn))
        return azc__receive_hold(conn, p, n);
    memset(&scan, 0, sizeof scan);
    if (conn->in != NULL) scan = conn->in->scan;
    else conn->since = (uint32_t)s->now;
    int k = azc__http_scan(&scan, p, n, s->config.max_request);
    size_t used = k > 0 ? (size_t)k : n;
    int waits = s->bodies != NULL && *p != 'G'; /* not GET: the head may have to wait for a body */
    int keep = k == 0 || (k > 0 && (conn->in != NULL || waits));
    if (keep && !azc__request_keep(conn, &scan, p, used)) k = -503, used = n;
    int tls = k == -400 && conn->in == NULL && p[0] == 22 && n > 1 && p[1] == 3; /* RFC 8446 5.1 */
    if (k < 0) azc__request_bad(conn, -k, tls ? "this looks like TLS: there is none on this port; "
                                "use http:// and ws://, or a proxy that terminates TLS" : NULL);
    if (k <= 0) return used;
    azc__in *in = conn->in;
    conn->in = NULL;
    char *head = (char *)(in != NULL ? in->data : p);
    int status = azc__http_parse(&s->request, head, in != NULL ? in->len : used);
    azc__request_answer(conn, status);
    if (s->request.waits != NULL) s->bodies->start(conn, in);
    else azc__in_free(&s->mem, &in);
    if (s->request.last && used == n && conn->state == AZC__LINGER) azc__receive_last(conn);
    return used;
}

/* Take bytes from the peer, cut anywhere. There is a writable byte behind them. */
static inline void azc__receive(azc_conn *conn, unsigned char *p, size_t n) {
    for (size_t used; n > 0; p += used, n -= used) {
        if (conn->state == AZC__OPEN) used = azc__receive_open(conn, p, n);
        else if (conn->state == AZC__HTTP) used = azc__receive_head(conn, p, n);
        else if (conn->state == AZC__CLOSING) used = azc__receive_frames(conn, p, n);
        else return;
    }
}

/* The peer has read enough: go on with what azc__receive_hold kept. The read buffer is free now,
 * and has room for what one read gave. This does not call azc__receive, to keep it inlined
 * elsewhere. */
static AZC__RARE void azc__receive_held(azc_conn *conn) {
    azc_server *s = conn->server;
    unsigned char *p = s->read_buffer;
    size_t n = conn->in->len;
    memcpy(p, conn->in->data, n);
    azc__in_free(&s->mem, &conn->in);
    for (size_t used; n > 0 && conn->state < AZC__LINGER; p += used, n -= used)
        used = conn->state == AZC__HTTP ? azc__receive_head(conn, p, n)
                                        : azc__receive_frames(conn, p, n);
}

/* The peer sent its FIN. */
static void azc__receive_eof(azc_conn *conn) {
    conn->eof = 1;
    if (conn->state < AZC__LINGER) azc__conn_end(conn, AZC__LINGER, 1006);
    else azc__conn_touch(conn);
}

/* ---- Properties of a request ---- */

/* The name of the first query argument, or "". */
static const char *azc__strings_query(const azc_conn *conn) {
    return azc__string_next(azc__string_next(azc__strings(conn)));
}

AZC_API const char *azc_param(const azc_conn *conn, const char *name) {
    if (conn == NULL || name == NULL) return NULL;
    const azc__route *route = conn->channel != NULL ? conn->channel->route
                              : conn->server->current == conn ? conn->server->request.route
                              : conn->answering ? conn->wait.answer->route : NULL;
    int index = route != NULL ? azc__route_param(route, name) : -1;
    if (index < 0) return NULL;
    const char *p = azc__strings_query(conn);
    while (*p) p = azc__string_next(azc__string_next(p));
    for (p++; index > 0; index--) p = azc__string_next(p);
    return p;
}

AZC_API const char *azc_query(const azc_conn *conn, const char *name) {
    return conn == NULL || name == NULL ? NULL : azc__pairs_find(azc__strings_query(conn), name);
}

/* The request at hand, or NULL if it is not this connection's. */
static azc__request *azc__request_of(const azc_conn *conn) {
    return conn != NULL && conn->server->current == conn ? &conn->server->request : NULL;
}

AZC_API const char *azc_method(const azc_conn *conn) {
    const azc__request *r = azc__request_of(conn);
    return r == NULL ? NULL : r->method;
}

AZC_API const char *azc_header(const azc_conn *conn, const char *name) {
    const azc__request *r = azc__request_of(conn);
    return r == NULL || name == NULL ? NULL : azc__http_field(r, name);
}

AZC_API const char *azc_cookie(const azc_conn *conn, const char *name) {
    azc__request *r = azc__request_of(conn);
    if (r == NULL || name == NULL) return NULL;
    if (r->cookies == NULL) { /* the first call splits them */
        const azc_server *s = conn->server;
        char *out = r->cookies = s->scratch + azc__scratch_cookies(&s->config);
        const char *p;
        for (int i = 0; (p = azc__http_next(r, "Cookie", &i)) != NULL;) azc__http_pairs(&out, p, 1);
        *out = 0;
    }
    return azc__pairs_find(r->cookies, name);
}

AZC_API const char *azc_path(const azc_conn *conn) {
    azc__request *r = azc__request_of(conn);
    if (r == NULL || r->decoded != NULL) return r == NULL ? NULL : r->decoded;
    const azc_server *s = conn->server;
    const char *segment = r->segments;
    char *out = r->decoded = s->scratch + azc__scratch_path(&s->config);
    if (*r->path == '*') return (const char *)memcpy(out, "*", 2);
    for (int i = 0; i < r->count; i++, segment = azc__string_next(segment)) {
        *out++ = '/';
        out = stpcpy(out, segment);
    }
    return r->decoded;
}

/* Does azc_reply answer the request of conn that azc_reply_later has put off? */
static int azc__answer_later(const azc_conn *conn) {
    return conn->answering && conn->state != AZC__DEAD && conn->wait.answer->reply != NULL;
}

/* There is no request to answer. */
static AZC__RARE int azc__error_answered(azc_server *s, const azc__request *r, const char *call) {
    return azc__mistake(s, AZC_ERR_STATE, "%s: %s", call, r != NULL ? "the request is answered"
                        : "no request is at hand: allowed in page handlers, azc_use handlers and "
                        "on_upgrade");
}

static AZC__RARE int azc__error_type(azc_server *s, const char *call) {
    return azc__mistake(s, AZC_ERR_ARGUMENT, "%s: type must have at most %d bytes and no control "
                        "character", call, AZC__MAX_TYPE);
}

AZC_API int azc_reply(azc_conn *conn, int status, const char *type, const void *body, size_t len) {
    azc__request *r = azc__request_of(conn);
    azc_server *s = azc_server_of(conn);
    if (len >= AZC_NUL && (len = azc__measure(body, len)) >= AZC_NUL)
        return azc__error_length(s, "azc_reply");
    if (s == NULL) return AZC_ERR_ARGUMENT;
    if (status < 200 || status > 599)
        return azc__mistake(s, AZC_ERR_ARGUMENT, "azc_reply: status %d: must be from 200 to 599",
                            status);
    if (body == NULL && len > 0) return azc__error_null(s, "azc_reply");
    if (!azc__field_valid(type, AZC__MAX_TYPE)) return azc__error_type(s, "azc_reply");
    int later = azc__answer_later(conn);
    if (!later && (r == NULL || r->answered)) return azc__error_answered(s, r, "azc_reply");
    if (len > s->config.max_backlog) /* besides other responses */
        return azc__mistake(s, AZC_ERR_FULL, "azc_reply: len %zu: max_backlog is %zu", len,
                            s->config.max_backlog);
    if (!later && status >= 400) r->keep_alive = 0;
    int error = later ? conn->wait.answer->reply(conn, status, type, body, len)
                      : azc__respond(conn, status, type, body, len, 0);
    return error == AZC_OK ? AZC_OK : azc__error_memory(s, "azc_reply");
}

/* Is this field the header's own, because it frames the response or governs the connection? */
static int azc__reply_reserved(const char *name) {
    const char *own = "Connection\0" "Content-Length\0" "Content-Type\0" "Keep-Alive\0"
        "Proxy-Connection\0" "TE\0" "Trailer\0" "Transfer-Encoding\0" "Upgrade\0";
    if (azc__is_nocase(name, 14, "Sec-WebSocket-")) return 1;
    while (*own && !azc__is_nocase(name, strlen(name), own)) own = azc__string_next(own);
    return *own != 0;
}

static int azc__token_valid(const char *s) {
    const char *p = s;
    while (azc__char_in(AZC__TOKEN, *p)) p++;
    return p > s && *p == 0;
}

/* Add a valid field to the answer, for this call. */
static int azc__reply_add(azc_conn *conn, const char *call, const char *name, const char *value) {
    azc_server *s = conn->server;
    azc__request *r = azc__request_of(conn);
    if (r == NULL || r->answered) return azc__error_answered(s, r, call);
    size_t room = AZC__MAX_EXTRA - r->extra_len;
    if (strlen(name) + strlen(value) + 4 >= room)
        return azc__mistake(s, AZC_ERR_FULL, "%s: %.60s: all fields together have at most %d bytes",
                            call, name, AZC__MAX_EXTRA);
    azc__respond_field(r, name, value);
    r->extra_len = r->all_len;
    return AZC_OK;
}

AZC_API int azc_reply_header(azc_conn *conn, const char *name, const char *value) {
    if (conn == NULL) return AZC_ERR_ARGUMENT;
    azc_server *s = conn->server;
    if (name == NULL || value == NULL) return azc__error_null(s, "azc_reply_header");
    if (!azc__token_valid(name) || !azc__field_valid(value, SIZE_MAX))
        return azc__mistake(s, AZC_ERR_ARGUMENT, "azc_reply_header: name must be a token, and "
                            "value must have no control character, RFC 9110 5");
    if (azc__reply_reserved(name))
        return azc__mistake(s, AZC_ERR_ARGUMENT, "azc_reply_header: %.60s is set by the server",
                            name);
    return azc__reply_add(conn, "azc_reply_header", name, value);
}

/* ---- Registration ---- */

/* Keep the first error of azc_use, azc_add_* and the like for azc_listen; azc_error has its words.
 * Returns code. */
static int azc__setup_failed(azc_server *s, int code) {
    if (s != NULL && !s->failed && !s->listening) s->failed = code;
    return code;
}

/* The call came after azc_listen. */
static AZC__RARE int azc__setup_late(azc_server *s, const char *call) {
    return azc__mistake(s, AZC_ERR_STATE, "%s: not after azc_listen", call);
}

AZC_API int azc_use(azc_server *server, azc_handler handler, void *userdata) {
    if (server == NULL) return AZC_ERR_ARGUMENT;
    if (handler == NULL) return azc__setup_failed(server, azc__error_null(server, "azc_use"));
    if (server->listening) return azc__setup_late(server, "azc_use");
    azc__use_link *use = (azc__use_link *)azc__zalloc(&server->mem, sizeof *use);
    if (use == NULL) return azc__setup_failed(server, azc__error_memory(server, "azc_use"));
    use->handler = handler;
    use->userdata = userdata;
    azc__use_link **last = &server->uses;
    while (*last != NULL) last = &(*last)->next;
    *last = use;
    return AZC_OK;
}

/* Why a path cannot be added. Returns code. */
static AZC__RARE int azc__route_error(azc_server *s, int code, const char *path) {
    if (code == AZC_ERR_CONFLICT)
        return azc__mistake(s, code, "path \"%.100s\": another has the same pattern", path);
    if (code == AZC_ERR_MEMORY) return azc__error_memory(s, "a path");
    return azc__mistake(s, code, *path != '/' ? "path \"%.100s\": must begin with /"
                        : "path \"%.100s\": a segment is text, :name or, as the last, *name, in "
                          "UTF-8; each name once", path);
}

/* Add a route to a channel or page, which must begin with the address of its route. The route owns
 * the target; on an error the target is freed. */
static int azc__route_add(azc_server *s, azc__route **list, const char *path, void *target,
                          size_t size) {
    azc__route *route;
    int error = azc__route_parse(&s->mem, path, &route);
    if (error == AZC_OK) {
        route->target = target;
        route->target_size = size;
        *(azc__route **)target = route;
        error = azc__route_insert(list, route);
        if (error == AZC_OK) return AZC_OK;
        azc__route_free(&s->mem, route);
    }
    azc__free(&s->mem, target, size);
    return azc__route_error(s, error, path);
}

static void azc__tag_write(char out[AZC__TAG], uint64_t hash) {
    *out++ = '"';
    for (int shift = 60; shift >= 0; shift -= 4) *out++ = "0123456789abcdef"[hash >> shift & 15];
    memcpy(out, "\"", 2);
}

static int azc__page_make(azc_server *s, const char *path, const azc__page *from) {
    size_t type_size = from->type != NULL ? strlen(from->type) + 1 : 0;
    size_t size = sizeof(azc__page) + type_size;
    azc__page *page = (azc__page *)azc__alloc(&s->mem, size);
    if (page == NULL) return azc__error_memory(s, "azc_add_page");
    *page = *from;
    if (type_size > 0) page->type = (const char *)memcpy(page + 1, from->type, type_size);
    return azc__route_add(s, &s->page_routes, path, page, size);
}

static int azc__page_add(azc_server *s, const char *path, const azc__page *page, int valid,
                         const char *call) {
    if (s == NULL) return AZC_ERR_ARGUMENT;
    int error;
    if (s->listening) error = azc__setup_late(s, call);
    else if (!valid || path == NULL) error = azc__error_null(s, call);
    else if (!azc__field_valid(page->type, AZC__MAX_TYPE)) error = azc__error_type(s, call);
    else error = azc__page_make(s, path, page);
    return error == AZC_OK ? AZC_OK : azc__setup_failed(s, error);
}

/* The handler of a page that is bytes. */
static int azc__page_bytes(azc_conn *conn, void *userdata) {
    azc__request *r = &conn->server->request;
    const azc__page *page = (const azc__page *)r->route->target;
    (void)userdata;
    int status = azc__http_knows(r, page->tag) ? 304 : 200;
    azc__respond_tag(r, page->tag);
    if (azc__respond(conn, status, page->type, page->bytes, page->len, 1) == AZC_OK) return AZC_OK;
    return azc__why(&r->why, 503, "out of memory");
}

AZC_API int azc_add_page(azc_server *server, const char *path, const char *type,
                         const void *bytes, size_t len) {
    static const uint32_t seed[2] = {0, 1}; /* the ETag is the same after a restart */
    azc__page page;
    if (len >= AZC_NUL && (len = azc__measure(bytes, len)) >= AZC_NUL)
        return azc__setup_failed(server, azc__error_length(server, "azc_add_page"));
    memset(&page, 0, sizeof page);
    page.bytes = bytes;
    page.len = len;
    page.type = type;
    page.handler = azc__page_bytes;
    if (bytes != NULL || len == 0)
        azc__tag_write(page.tag, azc__sip_wide(seed, len > 0 ? bytes : "", len));
    return azc__page_add(server, path, &page, bytes != NULL || len == 0, "azc_add_page");
}

AZC_API int azc_add_handler(azc_server *server, const char *path, azc_handler handler,
                            void *userdata) {
    azc__page page;
    memset(&page, 0, sizeof page);
    page.handler = handler;
    page.userdata = userdata;
    return azc__page_add(server, path, &page, handler != NULL, "azc_add_handler");
}

/* Copy a list of tokens to zeroed memory, NUL-terminated each. Returns 0 for a malformed list. */
static int azc__channel_subprotocols(char *out, const char *list) {
    const char *item;
    size_t len;
    for (int n = 0; (item = azc__list_next(&list, &len)) != NULL; n++) {
        if (n == UINT8_MAX || len > AZC__MAX_SUBPROTOCOL) return 0;
        for (size_t i = 0; i < len; i++) {
            if (!azc__char_in(AZC__TOKEN, item[i])) return 0;
        }
        memcpy(out, item, len);
        out += len + 1;
    }
    return 1;
}

/* Payloads of fewer bytes may take the hot path of azc__receive_open. */
static unsigned azc__channel_short_end(const azc_server *s) {
    return (unsigned)azc__min(s->config.max_message, 125) + 1;
}

static int azc__channel_make(azc_server *s, const azc_channel_desc *desc, azc_channel **out) {
    const char *list = desc->subprotocols != NULL ? desc->subprotocols : "";
    size_t size = sizeof(azc_channel) + strlen(list) + 2;
    azc_channel *channel = (azc_channel *)azc__zalloc(&s->mem, size);
    if (channel == NULL) return azc__error_memory(s, "azc_add_channel");
    channel->server = s;
    channel->desc = *desc;
    channel->short_end = azc__channel_short_end(s);
    channel->data_size = azc__align(desc->data_size);
    channel->subprotocols = (const char *)(channel + 1);
    if (!azc__channel_subprotocols((char *)(channel + 1), list)) {
        azc__free(&s->mem, channel, size);
        return azc__mistake(s, AZC_ERR_ARGUMENT, "subprotocols \"%.100s\": must be tokens of at "
                            "most %d bytes with commas between them, RFC 6455 11.3.4", list,
                            AZC__MAX_SUBPROTOCOL);
    }
    *out = channel;
    return azc__route_add(s, &s->channel_routes, desc->path, channel, size);
}

/* Returns AZC_OK, or what is wrong with the desc. */
static int azc__channel_desc_check(azc_server *s, const azc_channel_desc *desc) {
    if (s->listening) return azc__setup_late(s, "azc_add_channel");
    if (desc == NULL || desc->path == NULL) return azc__error_null(s, "azc_add_channel or its "
                                                                      "path");
    if (desc->data_size > 1 << 30)
        return azc__mistake(s, AZC_ERR_ARGUMENT, "data_size %zu: at most 1 GiB", desc->data_size);
    if ((unsigned)desc->when_full <= AZC_FULL_DROP) return AZC_OK;
    return azc__mistake(s, AZC_ERR_ARGUMENT, "when_full %d: must be AZC_FULL_CLOSE or "
                        "AZC_FULL_DROP", desc->when_full);
}

AZC_API azc_channel *azc_add_channel(azc_server *server, const azc_channel_desc *desc) {
    azc_channel *channel = NULL;
    if (server == NULL) return NULL;
    int error = azc__channel_desc_check(server, desc);
    if (error == AZC_OK) error = azc__channel_make(server, desc, &channel);
    if (error == AZC_OK) return channel;
    azc__setup_failed(server, error);
    return NULL;
}

/* Returns AZC_OK, or why a callback cannot be set now. */
static int azc__channel_check(const azc_channel *channel, const char *call) {
    if (channel == NULL) return AZC_ERR_ARGUMENT;
    return channel->server->listening ? azc__setup_late(channel->server, call) : AZC_OK;
}

/* ==== [18] LOOP: waits, reads, flushes and turns ============================================== */

/* ---- Readiness: the same functions for epoll and for poll ---- */

#ifdef AZCHAN_USE_EPOLL

/* Watch a source for events (0: for none). Returns 0 on failure, which can happen only the first
 * time. */
static inline int azc__source_watch(azc_server *s, azc__source *source, int events) {
    if (source->events == events) return 1;
    struct epoll_event e;
    memset(&e, 0, sizeof e);
    e.events = (uint32_t)events;
    e.data.ptr = source;
    int op = source->at < 0 ? EPOLL_CTL_ADD : EPOLL_CTL_MOD;
    if (AZC_SYS(epoll_ctl)(s->epoll, op, source->fd, &e) < 0) return source->at >= 0;
    source->at = 0;
    source->events = (uint8_t)events;
    return 1;
}

/* Stop watching. Do not call it while ready sources are scanned. */
static void azc__source_unwatch(azc_server *s, azc__source *source) {
    struct epoll_event e; /* Linux before 2.6.9 fails without one */
    memset(&e, 0, sizeof e);
    if (source->at >= 0) AZC_SYS(epoll_ctl)(s->epoll, EPOLL_CTL_DEL, source->fd, &e);
    source->at = -1;
    source->events = 0;
}

/* Returns the number of ready sources; -1 with errno on failure. */
static int azc__wait(azc_server *s, int ms) {
    return AZC_SYS(epoll_wait)(s->epoll, s->ready, AZC__MAX_READY, ms);
}

/* May there be more ready sources than azc__wait returned? */
static inline int azc__wait_full(int ready) { return ready == AZC__MAX_READY; }

/* The next ready source and its events. Call it once for each that azc__wait counted; *at is 0 at
 * first. */
static azc__source *azc__source_next(azc_server *s, int *at, int *events) {
    const struct epoll_event *e = &s->ready[(*at)++];
    *events = (int)e->events;
    return (azc__source *)e->data.ptr;
}

enum { AZC__ERR_WATCH = AZC_ERR_SYSTEM };

/* Write up to max descriptors for the program's own poll. Returns how many there are. */
static size_t azc__wait_export(const azc_server *s, struct pollfd *fds, size_t max) {
    struct pollfd all = {s->epoll, POLLIN, 0};
    if (max > 0) *fds = all;
    return 1;
}

/* Take the results of the program's own poll. Returns as azc__wait. */
static int azc__wait_import(azc_server *s, const struct pollfd *fds, size_t count) {
    return count > 0 && fds[0].revents != 0 ? azc__wait(s, 0) : 0;
}

#else

/* Both arrays are in one allocation: the sources, then the pollfds. */
static int azc__source_grow(azc_server *s) {
    const size_t each = sizeof *s->sources + sizeof *s->polls;
    if (s->source_count < s->source_cap) return 1;
    void *grown = azc__twice(&s->mem, s->sources, &s->source_cap, each);
    if (grown == NULL) return 0;
    s->sources = (azc__source **)grown;
    s->polls = (struct pollfd *)(void *)(s->sources + s->source_cap);
    memmove(s->polls, s->sources + s->source_count, s->source_count * sizeof *s->polls);
    return 1;
}

static inline int azc__source_watch(azc_server *s, azc__source *source, int events) {
    if (source->events == events) return 1;
    if (source->at < 0) {
        if (!azc__source_grow(s)) return 0;
        source->at = (int)s->source_count++;
        s->sources[source->at] = source;
        s->polls[source->at].fd = source->fd;
        s->polls[source->at].revents = 0;
    }
    source->events = (uint8_t)events;
    s->polls[source->at].events = (short)events;
    return 1;
}

/* The last source moves into the gap. */
static void azc__source_unwatch(azc_server *s, azc__source *source) {
    if (source->at < 0) return;
    uint32_t last = --s->source_count;
    s->polls[source->at] = s->polls[last];
    s->sources[source->at] = s->sources[last];
    s->sources[source->at]->at = source->at;
    source->at = -1;
    source->events = 0;
}

static int azc__wait(azc_server *s, int ms) {
    return AZC_SYS(poll)(s->polls, (nfds_t)s->source_count, ms);
}

static inline int azc__wait_full(int ready) {
    (void)ready;
    return 0;
}

static azc__source *azc__source_next(azc_server *s, int *at, int *events) {
    while (s->polls[*at].revents == 0) ++*at;
    *events = s->polls[*at].revents;
    s->polls[*at].revents = 0;
    return s->sources[(*at)++];
}

enum { AZC__ERR_WATCH = AZC_ERR_MEMORY };

static size_t azc__wait_export(const azc_server *s, struct pollfd *fds, size_t max) {
    size_t count = azc__min(s->source_count, max);
    if (count > 0) memcpy(fds, s->polls, count * sizeof *fds);
    return s->source_count;
}

static int azc__wait_import(azc_server *s, const struct pollfd *fds, size_t count) {
    int ready = 0;
    for (size_t i = azc__min(count, s->source_count); i-- > 0;) {
        if (fds[i].fd == s->polls[i].fd) s->polls[i].revents = fds[i].revents;
        ready += s->polls[i].revents != 0;
    }
    return ready;
}

#endif

/* ---- Flush ---- */

/* Send several pieces in one call. Adds the bytes offered to *total. */
static AZC__ASIDE ssize_t azc__flush_pieces(const azc_conn *conn, size_t *total) {
    struct iovec iov[AZC__MAX_IOV];
    size_t n = 0;
    for (azc__piece *p = conn->out.head; p != NULL && n < AZC__MAX_IOV; p = p->next, n++) {
        iov[n].iov_base = (void *)(uintptr_t)p->data;
        iov[n].iov_len = p->len;
        *total += p->len;
    }
    return azc__sys_send(conn, iov, n);
}

/* Retry in AZC__RETRY_MS what failed for lack of kernel resources. poll cannot report that. */
static void azc__retry_later(azc_server *s) {
    if (!s->retrying) s->retry = s->now + AZC__RETRY_MS;
    if (s->retry < s->due) s->due = s->retry;
    s->retrying = 1;
}

/* A send took nothing. A full socket buffer is normal: poll reports when there is room. But if poll
 * has just reported room, it would do so again at once, so the connection is stuck until a retry;
 * the same if the kernel lacks buffers, or sent 0 bytes. Any other error ends the connection. */
static AZC__ASIDE void azc__flush_stopped(azc_conn *conn, ssize_t sent) {
    int full = sent < 0 && (errno == EAGAIN || errno == EWOULDBLOCK);
    if (full && !conn->ready) return;
    if (full || sent == 0 || errno == ENOBUFS) {
        conn->source.stuck = 1;
        azc__retry_later(conn->server);
    } else {
        azc__conn_drop(conn);
    }
}

/* Send the output: one call, and more only while each takes AZC__MAX_IOV whole pieces. */
static void azc__conn_flush(azc_server *s, azc_conn *conn) {
    azc__out *out = &conn->out;
    size_t backlog = azc__out_backlog(out);
    if (backlog > s->stats.peak_backlog) s->stats.peak_backlog = backlog;
    if (backlog > s->pause && conn->state == AZC__OPEN) conn->drain = 1;
    while (conn->state != AZC__DEAD) {
        const azc__piece *head = out->head;
        int one = AZC__FAST && head->next == NULL;
        size_t total = one ? head->len : 0;
        ssize_t sent = one ? AZC_SYS(send)(conn->source.fd, head->data, total, AZC__MSG_FLAGS)
                           : azc__flush_pieces(conn, &total);
        if (sent < 0 && errno == EINTR) continue;
        if (sent <= 0) {
            azc__flush_stopped(conn, sent);
            return;
        }
        azc__out_consume(&s->mem, out, (size_t)sent);
        s->stats.bytes_out += (size_t)sent;
        if (AZC__UNACKED != 0 || conn->ready) conn->moved += (uint32_t)sent;
        if (out->bytes == 0 || (size_t)sent < total) return;
        conn->ready = 0; /* all that was offered is sent, so a following EAGAIN is normal */
    }
}

/* Everything is sent: send our FIN. Once the peer's FIN is here too, the connection is dead. */
static AZC__ASIDE void azc__conn_linger(azc_conn *conn) {
    if (conn->answering && !(conn->eof && !conn->drain)) return; /* or the peer waits no more */
    if (conn->eof) azc__conn_end(conn, AZC__DEAD, 0);
    else if (!conn->shut) AZC_SYS(shutdown)(conn->source.fd, SHUT_WR);
    conn->shut = 1;
}

/* ---- Read ---- */

/* Read at most what the backlog has room to echo, besides a message that is partly received. So a
 * peer's own echoes never exceed max_backlog. Of requests, read what azc__receive_hold can keep; 0,
 * if it holds some already: azc__turn_judge reads again before the settle step pauses the peer. */
static AZC__ASIDE size_t azc__read_max(const azc_conn *conn) {
    const azc_config *c = &conn->server->config;
    if (conn->state == AZC__HTTP) {
        if (conn->in != NULL && (conn->drain || conn->answering)) return 0;
        size_t most = c->max_request;
        if (conn->in != NULL && conn->in->known > most) most = conn->in->known;
        return azc__min(most, c->read_buffer);
    }
    size_t used = azc__out_backlog(&conn->out) + c->max_message + AZC__HEADS;
    return azc__min(used < c->max_backlog ? c->max_backlog - used : 1, c->read_buffer);
}

static inline void azc__conn_read(azc_conn *conn) {
    azc_server *s = conn->server;
    size_t max = s->config.read_buffer;
    if (!AZC__FAST || azc__out_backlog(&conn->out) >= s->read_free || conn->state == AZC__HTTP)
        if ((max = azc__read_max(conn)) == 0) return;
    ssize_t n = AZC_SYS(recv)(conn->source.fd, s->read_buffer, max, MSG_DONTWAIT);
    if (n > 0) {
        conn->heard = (uint32_t)s->now;
        s->stats.bytes_in += (size_t)n;
        azc__receive(conn, s->read_buffer, (size_t)n);
    } else if (n == 0) {
        azc__receive_eof(conn);
    } else if (!azc__sys_transient()) {
        azc__conn_drop(conn);
    }
}

/* After a flush: a peer with a long backlog, or with requests that are held, is not read. */
static AZC__ASIDE void azc__conn_pause(azc_conn *conn) {
    conn->ready = 0;
    int full = conn->state < AZC__CLOSING &&
               azc__out_backlog(&conn->out) > azc__backlog_limit(conn);
    if (full && !conn->paused) conn->server->stats.pauses++;
    int holds = conn->drain || (conn->answering && conn->in != NULL);
    conn->paused = full || (holds && conn->state == AZC__HTTP);
}

/* The events to wait for. */
static int azc__conn_events(const azc_conn *conn) {
    int events = conn->eof || conn->paused ? 0 : AZC__EVENT_READ;
    if (conn->out.bytes > 0 ? !conn->source.stuck : conn->drain) events |= AZC__EVENT_WRITE;
    return events;
}

/* The hot path: azc__conn_pause would change nothing, and azc__conn_events be AZC__EVENT_READ. */
static inline int azc__conn_only_reads(const azc_conn *conn) {
    return AZC__FAST && conn->out.bytes == 0 && !conn->drain && !conn->eof && !conn->paused &&
           !conn->ready;
}

static void azc__conn_writable(azc_conn *conn) {
    conn->ready = conn->out.bytes > 0;
    azc__conn_touch(conn);
    if (!conn->drain || azc__out_backlog(&conn->out) > azc__backlog_limit(conn)) return;
    if (conn->answering) {
        conn->drain = 0;
        conn->wait.answer->more(conn);
        return;
    }
    if (conn->wait.late != NULL) {
        conn->server->queue_late(conn);
        if (azc__out_backlog(&conn->out) > conn->server->pause) return;
    }
    conn->drain = 0;
    if (conn->gap == 1) conn->server->client->drained(conn);
    if (conn->state == AZC__HTTP) azc__receive_held(conn);
    else if (conn->channel->desc.on_drain != NULL)
        azc__callback_end(conn, "on_drain", conn->channel->desc.on_drain(conn));
}

/* The connection is ready for something else than reading alone. Returns 1 if it is to be read. An
 * error of a connection that is not watched for reading ends it. */
static AZC__ASIDE int azc__conn_ready_other(azc_conn *conn, int events) {
    if (events & AZC__EVENT_WRITE && conn->state != AZC__DEAD) azc__conn_writable(conn);
    if (events == AZC__EVENT_WRITE) return 0;
    if (conn->source.events & AZC__EVENT_READ) return 1;
    if (conn->state != AZC__DEAD) azc__conn_drop(conn);
    return 0;
}

static inline void azc__conn_ready(azc_conn *conn, int events) {
    if (events != AZC__EVENT_READ && !azc__conn_ready_other(conn, events)) return;
    if (conn->state != AZC__DEAD) azc__conn_read(conn);
}

/* ---- Accept ---- */

static void azc__accept_resume(azc_server *s) {
    if (!s->accept_paused) return;
    s->accept_paused = 0;
    if (s->listening && !s->stopping) azc__source_watch(s, &s->listener, AZC__EVENT_READ);
}

static AZC__RARE void azc__accept_pause(azc_server *s) {
    s->accept_paused = 1;
    azc__source_watch(s, &s->listener, 0);
}

/* The connection that makes room for a newcomer: the oldest whose first request is not whole, else
 * the one that has waited longest for its next request. NULL: each has a response to read or is in
 * a channel. */
static azc_conn *azc__accept_victim(const azc_server *s) {
    for (int kind = AZC__DEADLINE_HANDSHAKE; kind <= AZC__DEADLINE_KEPT; kind++) {
        azc_conn *conn = azc__conn_at(s, s->deadline_first[kind]);
        for (int i = 0; conn != NULL && i < AZC__MAX_VICTIMS; i++) {
            if (azc__sys_unacked(conn) == 0) return conn;
            conn = azc__conn_at(s, conn->next_deadline);
        }
    }
    return NULL;
}

/* At max_connections: one makes room, so that the next turn can accept. If none can, newcomers wait
 * in the kernel's queue. */
static void azc__accept_full(azc_server *s) {
    azc_conn *victim = azc__accept_victim(s);
    azc__log(s, NULL, AZC_LOG_WARNING, "max_connections %d is reached: %s; raise it, and the limit "
             "of descriptors (ulimit -n)", s->config.max_connections,
             victim != NULL ? "the oldest request gives way" : "newcomers wait");
    if (victim != NULL) {
        s->stats.gave_way++;
        azc__conn_drop(victim);
    } else {
        azc__accept_pause(s);
        if (s->deadline_first[AZC__DEADLINE_KEPT] != 0) azc__retry_later(s);
    }
}

static AZC__RARE const char *azc__log_peer(const azc__visitor *peer, char out[INET6_ADDRSTRLEN]) {
    if (peer->family == 0) return "unix";
    return inet_ntop(peer->family, peer->raw, out, INET6_ADDRSTRLEN);
}

/* Make a connection of a socket that has a peer. The server owns fd from now on. */
static void azc__accept_conn(azc_server *s, int fd, const azc__sockaddr *address) {
    azc__visitor peer;
    char text[INET6_ADDRSTRLEN];
    azc__visitor_set(&peer, address);
    s->stats.accepted++;
    azc_conn *conn = azc__conn_make(s, fd, &peer);
    int refused = conn != NULL && azc__quota_enter(conn, &peer) != 0;
    if (conn != NULL && !refused && azc__source_watch(s, &conn->source, AZC__EVENT_READ)) {
        if (azc__logs(s, AZC_LOG_DEBUG))
            azc__log(s, NULL, AZC_LOG_DEBUG, "%s: accepted, %d connections",
                     azc__log_peer(&peer, text), s->conn_count);
        return;
    }
    if (refused)
        azc__log(s, NULL, AZC_LOG_WARNING, "%s: a newcomer is closed: %s",
                 azc__log_peer(&peer, text), s->request.why);
    else azc__log(s, NULL, AZC_LOG_ERROR, "out of memory for a newcomer: it is closed");
    if (conn != NULL) azc__conn_drop(conn);
    else AZC_SYS(close)(fd);
}

static int azc__accept_call(azc_server *s, azc__sockaddr *address) {
    socklen_t len = sizeof *address;
    memset(address, 0, sizeof *address);
#if AZC__CLOEXEC
    return azc__fd_high(AZC_SYS(accept4)(s->listener.fd, &address->any, &len, AZC__SOCK_FLAGS));
#else
    int fd = azc__fd_high(AZC_SYS(accept)(s->listener.fd, &address->any, &len));
    if (fd >= 0) azc__fd_prepare(fd);
    return fd;
#endif
}

/* The listening socket is none any more: another process shut it down, or the program closed it.
 * Serve the open connections to their end; then azc_poll returns AZC_ERR_SYSTEM. */
static AZC__RARE void azc__accept_over(azc_server *s) {
    s->accept_over = 1;
    if (!s->stopping) s->stopping = AZC__SHUTTING_DOWN;
    azc__mistake(s, AZC_ERR_SYSTEM, "accept: %s: the server accepts no more", strerror(errno));
}

/* accept failed. EAGAIN: there is no connection. Returns 1 if only the first connection of the
 * queue was at fault. Any other error pauses accepting, so that no error makes the loop spin. */
static AZC__RARE int azc__accept_failed(azc_server *s) {
    switch (errno) {
    case EAGAIN: return 0;
    case EINTR:
    case ECONNABORTED:
    case ECONNRESET:
    case EPROTO: return 1;
    case EBADF:
    case EINVAL:
    case ENOTSOCK:
        azc__accept_over(s);
        return 0;
    }
    if (errno == EWOULDBLOCK) return 0;
    azc__log(s, NULL, AZC_LOG_ERROR, "accept: %s: newcomers wait (max_connections %d)",
             strerror(errno), s->config.max_connections);
    azc__accept_pause(s);
    azc__retry_later(s);
    return 0;
}

/* Accept one connection. Returns 1 if there may be another. */
static int azc__accept(azc_server *s) {
    azc__sockaddr address;
    int fd = azc__accept_call(s, &address);
    if (fd < 0) return azc__accept_failed(s);
    azc__accept_conn(s, fd, &address);
    return 1;
}

/* Accept one newcomer, and four times as many in each turn that follows directly: so a lone one
 * costs one call, and a crowd is soon in. Returns how many to accept in the next turn. An event
 * besides READ means a broken socket: then accept is called in any case, for its error. */
static AZC__RARE int azc__listener_ready(azc_server *s, int events) {
    if (s->stopping) return 1;
    int broken = (events & ~AZC__EVENT_READ) != 0;
    if (s->conn_count >= s->config.max_connections && !broken) azc__accept_full(s);
    for (int i = 0; i < s->accepts; i++) {
        if (s->conn_count >= s->config.max_connections && !(broken && i == 0)) return 1;
        if (!azc__accept(s)) return 1;
    }
    return s->accepts < AZC__MAX_ACCEPTS ? 4 * s->accepts : AZC__MAX_ACCEPTS;
}

/* Close the listening socket, and unlink its path if this process created it and it still names
 * this socket. While the socket is open, no other file can have its inode number. */
static AZC__RARE void azc__listener_remove(azc_server *s, int fd) {
    const char *path = s->unix_owner != 0 ? azc__host_path(s->config.host) : NULL;
    struct stat st;
    if (path != NULL && s->unix_owner == AZC_SYS(getpid)() && AZC_SYS(stat)(path, &st) == 0 &&
        st.st_dev == s->unix_device && st.st_ino == s->unix_inode) AZC_SYS(unlink)(path);
    s->unix_owner = 0;
    AZC_SYS(close)(fd);
    s->listener.fd = -1;
}

static void azc__listener_close(azc_server *s) {
    if (!s->listening || s->listener.fd < 0) return;
    if (s->shutdown_accept != NULL) s->shutdown_accept(s);
    azc__source_unwatch(s, &s->listener);
    azc__listener_remove(s, s->listener.fd);
}

/* ---- Settle ---- */

/* The only place where a connection is freed. */
static AZC__ASIDE void azc__conn_reap(azc_conn *conn) {
    azc_server *s = conn->server;
    if (conn->answering) conn->wait.answer->end(conn);
    azc__source_unwatch(s, &conn->source);
    AZC_SYS(close)(conn->source.fd);
    azc__conn_free(conn);
    if (s->conn_count == 0) azc__pool_free(&s->mem);
    azc__accept_resume(s);
}

/* Call on_close for each connection that ended. An on_close may end others: they join the list. */
static AZC__RARE void azc__settle_closes(azc_server *s) {
    for (azc_conn *conn; (conn = s->ended_first) != NULL;) {
        s->ended_first = conn->u.link.prev.ended;
        azc__conn_report_close(conn);
    }
}

/* A connection that ended. Returns 1 if it must still be watched: not if it is freed, nor if an
 * on_close has touched it, because then it is settled once more. */
static AZC__ASIDE int azc__settle_ended(azc_conn *conn) {
    if (conn->state == AZC__LINGER && conn->out.bytes == 0) azc__conn_linger(conn);
    azc__settle_closes(conn->server);
    if (conn->touched || conn->state != AZC__DEAD) return !conn->touched;
    azc__conn_reap(conn);
    return 0;
}

/* A connection without a channel. Returns 1 if it must still be watched. A response that is sent
 * makes it one that waits for its next request, and may make room for a newcomer. */
static AZC__ASIDE int azc__settle_other(azc_conn *conn) {
    if (conn->state != AZC__HTTP) return azc__settle_ended(conn);
    if (conn->deadline == AZC__DEADLINE_OUTPUT && conn->out.bytes == 0 && !conn->drain &&
        !conn->answering) {
        azc__deadline_set(conn, AZC__DEADLINE_KEPT);
        azc__accept_resume(conn->server);
    }
    return 1;
}

/* Steps 5 to 7 of a turn, for each connection that was touched. A flush may end a connection, and
 * its on_close may touch others: they join the end of the list. */
static void azc__settle(azc_server *s) {
    azc_conn *conn;
    azc__settle_closes(s);
    while ((conn = s->touched_first) != NULL) {
        int events = AZC__EVENT_READ;
        s->touched_first = conn->next_touched;
        conn->touched = 0;
        if (conn->out.bytes > 0) azc__conn_flush(s, conn);
        if (AZC__FAST && conn->out.bytes > 0 && s->sheet.bytes > 0 && conn->state != AZC__DEAD &&
            !azc__out_leave_sheet(&s->mem, &conn->out, s->sheet.head)) azc__conn_drop(conn);
        if (conn->state != AZC__OPEN && !azc__settle_other(conn)) continue;
        if (!azc__conn_only_reads(conn)) {
            azc__conn_pause(conn);
            events = azc__conn_events(conn);
        }
        azc__source_watch(s, &conn->source, events);
    }
    if (s->sheet.head != NULL) azc__sheet_clear(s);
}

/* ---- Deadlines ---- */

/* Silent for ping_ms: ping the peer. Anything whole that it sends within pong_ms, and progress,
 * count as the answer. */
static void azc__conn_ping(azc_conn *conn) {
    int waits = conn->server->deadline_ms[AZC__DEADLINE_PONG] >= 0;
    azc__deadline_set(conn, waits ? AZC__DEADLINE_PONG : AZC__DEADLINE_PING);
    azc__send_control(conn, AZC__OP_PING, "", 0);
}

/* A deadline of an open connection passed. One that was heard within ping_ms is looked at again: in
 * ping_ms if that was just now, else in a quarter of it. So the ping comes after ping_ms of
 * silence, or up to a quarter more, and no message pays for it. */
static void azc__conn_expire_open(azc_conn *conn, int progress) {
    azc_server *s = conn->server;
    int kind = conn->deadline, ping_ms = s->deadline_ms[AZC__DEADLINE_PING];
    uint32_t heard = conn->in != NULL ? conn->in->since : conn->heard;
    uint32_t pinged = conn->due - (uint32_t)s->deadline_ms[kind];
    int silent = progress ? 0 : (int32_t)((uint32_t)s->now - heard);
    if (kind == AZC__DEADLINE_PONG && !progress && (int32_t)(heard - pinged) < 0) {
        azc__log(s, conn, AZC_LOG_WARNING, "dropped with 1006: nothing came within pong_ms %d "
                 "after a ping", s->config.pong_ms);
        azc__conn_drop(conn);
    } else if (silent >= ping_ms) {
        azc__conn_ping(conn);
    } else {
        azc__deadline_set(conn, silent < ping_ms / 4 ? AZC__DEADLINE_PING : AZC__DEADLINE_LOOK);
    }
}

/* A deadline passed. Except after azc_stop, a peer that makes progress may read on. */
static AZC__RARE void azc__conn_expire(azc_conn *conn) {
    int kind = conn->deadline, unread, progress = azc__conn_progress(conn, &unread);
    int reads = conn->server->deadline_ms[AZC__DEADLINE_OUTPUT] >= 0; /* else: for ever */
    if (conn->state == AZC__OPEN) azc__conn_expire_open(conn, progress);
    else if (conn->answering && !unread && conn->server->stopping != AZC__STOPPING)
        azc__deadline_set(conn, AZC__DEADLINE_OUTPUT); /* the program takes its time */
    else if (progress && (unread || kind == AZC__DEADLINE_BODY) &&
             conn->server->stopping != AZC__STOPPING)
        azc__deadline_set(conn, kind == AZC__DEADLINE_CLOSE && reads ? AZC__DEADLINE_OUTPUT : kind);
    else if (kind == AZC__DEADLINE_BODY)
        conn->server->bodies->late(conn);
    else if (conn->state == AZC__HTTP && conn->in != NULL && !conn->drain && !conn->answering &&
             conn->out.bytes == 0)
        azc__request_bad(conn, 408, NULL);
    else azc__conn_drop(conn);
}

/* Retry what failed for lack of kernel resources. */
static AZC__ASIDE void azc__retry(azc_server *s) {
    s->retrying = 0;
    azc__accept_resume(s);
    for (uint32_t i = 0; i < s->slot_count; i++) {
        azc_conn *conn = s->slots[i];
        if (conn == NULL || !conn->source.stuck) continue;
        conn->source.stuck = 0;
        conn->ready = 1; /* as if poll had reported room */
        azc__conn_touch(conn);
    }
}

/* The smaller of both, at least 0. */
static AZC__RARE int azc__ms_sooner(int ms, int64_t other) {
    return other < 0 ? 0 : other < ms ? (int)other : ms;
}

/* Milliseconds until the earliest deadline, at most timeout_ms. The clock is not read for it, so if
 * a callback took long, a deadline set before may be late by as much; timers are not. */
static int azc__wait_ms(azc_server *s, int timeout_ms) {
    int soonest = timeout_ms < 0 ? INT_MAX : timeout_ms;
    if (s->wheel.due < INT64_MAX)
        soonest = azc__ms_sooner(soonest, s->wheel.due - azc__sys_clock(s));
    soonest = azc__ms_sooner(soonest, s->due - s->clock);
    return soonest == INT_MAX ? timeout_ms : soonest;
}

static AZC__RARE void azc__conn_expire_all(azc_server *s) {
    int ms = 0;
    s->due = INT64_MAX;
    for (int i = 0; i < AZC__DEADLINE_COUNT; i++) {
        azc_conn *conn;
        while ((conn = azc__deadline_next(s, i, &ms)) != NULL && ms <= 0) azc__conn_expire(conn);
        if (conn != NULL && s->now + ms < s->due) s->due = s->now + ms;
    }
    if (s->retrying && s->retry <= s->now) azc__retry(s);
    if (s->retrying && s->retry < s->due) s->due = s->retry;
}

/* ---- Stop, and tasks of other threads ---- */

/* End every connection: channels send 1001 and requests finish; or (at once) all are dropped. */
static AZC__RARE void azc__conn_end_all(azc_server *s, int at_once) {
    for (uint32_t i = 0; i < s->slot_count; i++) {
        azc_conn *conn = s->slots[i];
        if (conn == NULL) continue;
        if (at_once) azc__conn_drop(conn);
        else if (conn->state == AZC__OPEN) azc__conn_close(conn, AZC__CLOSING, 1001, NULL, 0);
        else if (conn->state == AZC__HTTP) azc__conn_end(conn, AZC__LINGER, 0);
        else if (conn->deadline == AZC__DEADLINE_OUTPUT)
            azc__deadline_set(conn, AZC__DEADLINE_CLOSE);
    }
}

static void azc__stop_begin(azc_server *s) {
    if (s->stopping != AZC__STOPPING) azc__conn_end_all(s, 0);
    s->stopping = AZC__STOPPING;
}

/* Wake the loop. The pipe carries no data: one byte stands for any number of wakes. If the write
 * fails, the next call tries again. Any thread, any signal handler. */
static void azc__wake(azc_server *s) {
    int saved = errno;
    ssize_t n;
    if (AZC__SWAP(s->woken, 1) != 0) return;
    do n = AZC_SYS(write)(s->wake_write, "", 1);
    while (n < 0 && errno == EINTR);
    if (n != 1) AZC__STORE(s->woken, 0);
    errno = saved;
}

/* Run the posted tasks that are complete, at most AZC__MAX_POSTS. A task that is posted meanwhile
 * runs in a later turn. Returns how many ran. */
static int azc__posts_run(azc_server *s) {
    uint32_t end = AZC__LOAD(s->post_end);
    int count = 0;
    while (s->post_first != end && count < AZC__MAX_POSTS) {
        azc__post_place *place = &s->posts[s->post_first % AZC__POSTS];
        uint32_t lap = s->post_first - s->post_first % AZC__POSTS;
        if (AZC__LOAD(place->lap) != lap + 1) break; /* its thread still writes it, then wakes us */
        azc_task fn = place->fn;
        void *arg = place->arg;
        s->post_first++;
        AZC__STORE(place->lap, lap + AZC__POSTS);
        fn(s, arg);
        azc__task_end(s, "a task of azc_post");
        count++;
    }
    return count;
}

/* woken becomes 0 before the ring is looked at, so that a task posted after that wakes us again. */
static void azc__wake_ready(azc_server *s) {
    char bytes[64];
    ssize_t n = AZC_SYS(read)(s->wake.fd, bytes, sizeof bytes);
    if (n < 0 && errno == EINTR) return;
    (void)AZC__SWAP(s->woken, 0);
    if (azc__posts_run(s) > 0 && AZC__LOAD(s->post_end) != s->post_first) azc__wake(s);
    if (AZC__RAISED(s->stop_asked)) azc__stop_begin(s);
}

/* Refuse further posts; those that were accepted still run. */
static void azc__posts_refuse(azc_server *s) {
    if (s->wake_write < 0) return;
    AZC_SYS(close)(s->wake_write);
    s->wake_write = -1;
}

AZC_API void azc_stop(azc_server *server) {
    if (server == NULL) return;
    AZC__RAISE(server->stop_asked); /* before the wake, which looks for it */
    if (server->wake_write >= 0) azc__wake(server);
}

/* ---- A turn ---- */

/* Steps 5 to 7. A turn also begins with them, because the program may have sent or closed between
 * two polls. Returns 0 once the server has stopped and every connection is gone, or AZC_ERR_SYSTEM
 * if it was accept that ended it; else 1. */
static int azc__turn_settle(azc_server *s) {
    azc__callback_done(s);
    if (s->watch_stopped) s->watch->sweep(s);
    azc__settle(s);
    if (s->stopping) azc__listener_close(s);
    if (!s->stopping || s->conn_count > 0) return 1;
    return s->accept_over && s->stopping != AZC__STOPPING ? AZC_ERR_SYSTEM : 0;
}

/* Steps 2 to 4 for so many ready sources. Newcomers come last: what was ready before them may make
 * room. */
static void azc__turn_read(azc_server *s, int ready) {
    int at = 0, events = 0, newcomers = 0;
    for (; ready > 0; ready--) {
        azc__source *source = azc__source_next(s, &at, &events);
        if (source->kind == AZC__CONN) azc__conn_ready((azc_conn *)(void *)source, events);
        else if (source->kind == AZC__LISTENER) newcomers = events;
        else if (source->kind == AZC__WATCHED) s->watch->ready(s, source, events);
        else azc__wake_ready(s);
    }
    s->accepts = (uint8_t)(newcomers ? azc__listener_ready(s, newcomers) : 1);
}

/* Deadlines are due. Nothing is judged before all that was ready is read: more: there may be
 * sources that the wait did not return. Each round returns others, so that all had their turn at
 * the end. */
static AZC__RARE void azc__turn_judge(azc_server *s, int more) {
    for (int left = s->conn_count; more && left >= 0; left -= AZC__MAX_READY) {
        int ready = azc__wait(s, 0);
        azc__turn_read(s, ready);
        more = azc__wait_full(ready);
    }
    azc__conn_expire_all(s);
}

/* Steps 2 to 7 of A BYTE'S WAY. ready is the number of ready sources, or negative: then errno has
 * the error of the wait. own: the program's own poll waited, maybe long ago. */
static int azc__turn_run(azc_server *s, int ready, int own) {
    if (ready < 0 && !azc__sys_transient()) return azc__error_system(s, "poll");
    s->now = s->timed = azc__sys_clock(s);
    if (ready == 0) azc__pool_free(&s->mem);
    azc__turn_read(s, ready);
    if (s->due <= s->now) azc__turn_judge(s, own || azc__wait_full(ready));
    if (s->wheel.due <= s->now) s->timers->run(s);
    return azc__turn_settle(s);
}

/* Returns AZC_OK if a turn may begin. */
static int azc__turn_check(azc_server *s) {
    if (s == NULL) return AZC_ERR_ARGUMENT;
    if (s->busy) return azc__mistake(s, AZC_ERR_STATE, "azc_poll or azc_run inside a callback: "
                                    "return from it instead, or use azc_after");
    if (s->listening) return AZC_OK;
    return azc__mistake(s, AZC_ERR_STATE, "azc_poll before azc_listen: call that first");
}

AZC_API int azc_poll(azc_server *server, int timeout_ms) {
    int result = azc__turn_check(server);
    if (result != AZC_OK) return result;
    AZC__BUSY_BEGIN(server, AZC__BUSY);
    result = azc__turn_settle(server);
    if (result > 0) {
        server->busy |= AZC__WAITING;
        int ready = azc__wait(server, azc__wait_ms(server, timeout_ms));
        server->busy ^= AZC__WAITING;
        result = azc__turn_run(server, ready, 0);
    }
    AZC__BUSY_END(server, AZC__BUSY);
    return result;
}

AZC_API size_t azc_poll_begin(azc_server *server, struct pollfd *fds, size_t max,
                              int *timeout_ms) {
    if (timeout_ms == NULL || azc__turn_check(server) != AZC_OK) return 0;
    AZC__BUSY_BEGIN(server, AZC__BUSY);
    *timeout_ms = azc__turn_settle(server) > 0 ? azc__wait_ms(server, *timeout_ms) : 0;
    AZC__BUSY_END(server, AZC__BUSY);
    return azc__wait_export(server, fds, fds != NULL ? max : 0);
}

AZC_API int azc_poll_end(azc_server *server, const struct pollfd *fds, size_t count) {
    int result = azc__turn_check(server);
    if (result != AZC_OK) return result;
    AZC__BUSY_BEGIN(server, AZC__BUSY);
    result = azc__turn_run(server, azc__wait_import(server, fds, fds != NULL ? count : 0), 1);
    AZC__BUSY_END(server, AZC__BUSY);
    return result;
}

/* ==== [19] LISTEN: the listening socket ======================================================= */

/* ---- Addresses ---- */

/* Read a port. Returns 0 unless s is a decimal number up to 65535. */
static int azc__host_port(const char *s, int *port) {
    int value = 0;
    if (*s == 0) return 0;
    for (; *s; s++) {
        if (!azc__digit(*s) || (value = value * 10 + *s - '0') > 65535) return 0;
    }
    *port = value;
    return 1;
}

/* Split "host:port", "[host]:port", "host" or "port". A host with two colons is an IPv6 address. No
 * host and "localhost" mean 127.0.0.1. Without a port, *port is kept. Returns 0 for a bad text. */
static int azc__host_split(const char *text, char host[INET6_ADDRSTRLEN], int *port) {
    size_t len = strcspn(text, ":"), colons = 0;
    memcpy(host, "127.0.0.1", sizeof "127.0.0.1");
    if (text[strspn(text, "0123456789")] == 0) return azc__host_port(text, port);
    for (const char *p = text; *p; p++) colons += *p == ':';
    if (colons > 1) len = strlen(text);
    const char *rest = text + len; /* "" or ":port" */
    if (*text == '[') {
        len = strcspn(++text, "]");
        if (text[len] == 0) return 0;
        rest = text + len + 1;
    }
    if (len >= INET6_ADDRSTRLEN) return 0;
    if (len != 9 || memcmp(text, "localhost", 9) != 0) {
        memcpy(host, text, len);
        host[len] = 0;
    }
    return *rest == 0 || (*rest == ':' && azc__host_port(rest + 1, port));
}

/* Make the address of config.host. Returns its length, or 0 for a bad host. */
static socklen_t azc__listen_address(azc_server *s, azc__sockaddr *address) {
    char host[INET6_ADDRSTRLEN];
    const char *path = azc__host_path(s->config.host);
    memset(address, 0, sizeof *address);
    if (path != NULL) {
        size_t len = strlen(path);
        if (len == 0 || len >= sizeof address->un.sun_path) return 0;
        address->un.sun_family = AF_UNIX;
        memcpy(address->un.sun_path, path, len);
        return sizeof address->un;
    }
    if (!azc__host_split(s->config.host, host, &s->config.port)) return 0;
    address->v4.sin_port = htons((uint16_t)s->config.port); /* at the same place in sockaddr_in6 */
    if (inet_pton(AF_INET, host, &address->v4.sin_addr) == 1) {
        address->v4.sin_family = AF_INET;
        return sizeof address->v4;
    }
    if (inet_pton(AF_INET6, host, &address->v6.sin6_addr) != 1) return 0;
    address->v6.sin6_family = AF_INET6;
    return sizeof address->v6;
}

/* ---- Open ---- */

/* Servers that start at once on one path must not unlink each other's sockets, so each locks the
 * path's directory while it looks for a stale socket and binds. Another user who may read the
 * directory could keep it locked: after a second we go on without. Returns a descriptor, or -1. */
static int azc__listen_lock(const char *path) {
#ifdef LOCK_EX
    struct timespec nap = {0, 10000000};
    char directory[sizeof ((struct sockaddr_un *)0)->sun_path + 2];
    const char *slash = strrchr(path, '/');
    size_t len = slash == NULL ? 0 : (size_t)(slash - path) + 1;
    memcpy(directory, path, len);
    memcpy(directory + len, ".", 2);
    int fd = azc__fd_high(AZC_SYS(open)(directory, O_RDONLY | O_CLOEXEC));
    for (int tries = 100; fd >= 0 && tries > 0; tries--) {
        if (AZC_SYS(flock)(fd, LOCK_EX | LOCK_NB) == 0 || errno != EWOULDBLOCK) break;
        AZC_SYS(nanosleep)(&nap, NULL);
    }
    return fd;
#else
    (void)path;
    return -1;
#endif
}

/* A child of the program may have a copy of fd, so closing it is not enough. Keeps errno. */
static void azc__listen_unlock(int fd) {
    int cause = errno;
#ifdef LOCK_EX
    if (fd >= 0) AZC_SYS(flock)(fd, LOCK_UN);
#endif
    if (fd >= 0) AZC_SYS(close)(fd);
    errno = cause;
}

/* Unlink a socket path that refuses connections: its process was killed. If the owner's queue is
 * full, connect would block or fails with EAGAIN: it is alive. */
static void azc__listen_unlink_stale(const azc__sockaddr *address, socklen_t len) {
    struct stat st;
    if (AZC_SYS(stat)(address->un.sun_path, &st) != 0 || !S_ISSOCK(st.st_mode)) return;
    int fd = azc__fd_socket(AF_UNIX);
    if (fd < 0) return;
    if (azc__fd_nonblocking(fd) && AZC_SYS(connect)(fd, &address->any, len) < 0 &&
        errno == ECONNREFUSED)
        AZC_SYS(unlink)(address->un.sun_path);
    AZC_SYS(close)(fd);
}

/* Bound to a path: remember the file, and set its mode. Nobody can connect before listen. Returns 0
 * on failure, with errno. */
static int azc__listen_own(azc_server *s, const char *path) {
    struct stat st;
    s->unix_owner = AZC_SYS(getpid)();
    if (AZC_SYS(stat)(path, &st) != 0) return 0;
    s->unix_device = st.st_dev;
    s->unix_inode = st.st_ino;
    return s->config.unix_mode == 0 || AZC_SYS(chmod)(path, (mode_t)s->config.unix_mode) == 0;
}

/* Returns 0 on failure, with errno. */
static int azc__listen_bind(azc_server *s, int fd, const azc__sockaddr *address, socklen_t len) {
    const char *path = address->any.sa_family == AF_UNIX ? address->un.sun_path : NULL;
    if (path != NULL) azc__listen_unlink_stale(address, len);
    else azc__sys_option(fd, SOL_SOCKET, SO_REUSEADDR, 1);
    if (address->any.sa_family == AF_INET6) azc__sys_option(fd, IPPROTO_IPV6, IPV6_V6ONLY, 0);
    if (AZC_SYS(bind)(fd, &address->any, len) < 0) return 0;
    if ((path == NULL || azc__listen_own(s, path)) && AZC_SYS(listen)(fd, AZC__LISTEN) == 0)
        return 1;
    int cause = errno;
    if (path != NULL) AZC_SYS(unlink)(path);
    s->unix_owner = 0;
    errno = cause;
    return 0;
}

static int azc__listen_bind_locked(azc_server *s, int fd, const azc__sockaddr *address,
                                   socklen_t len) {
    if (address->any.sa_family != AF_UNIX) return azc__listen_bind(s, fd, address, len);
    int lock = azc__listen_lock(address->un.sun_path);
    int bound = azc__listen_bind(s, fd, address, len);
    azc__listen_unlock(lock);
    return bound;
}

static int azc__listen_error(azc_server *s) {
    int e = errno, code = AZC_ERR_SYSTEM;
    switch (e) {
    case EADDRINUSE:
        code = AZC_ERR_IN_USE;
        break;
    case EADDRNOTAVAIL:
    case EACCES:
    case EAFNOSUPPORT:
    case ENOENT:
    case ENOTDIR: code = AZC_ERR_ADDRESS;
    }
    const char *path = azc__host_path(s->config.host);
    if (path != NULL)
        return azc__mistake(s, code, "host \"%s\": %s: its folder must exist and be writable, and "
                            "no other server use the path", s->config.host, strerror(e));
    return azc__mistake(s, code, "port %d on %s: %s%s", s->config.port, s->config.host, strerror(e),
                        e == EADDRINUSE ? ": stop the other process or choose another port"
                        : e == EADDRNOTAVAIL ? ": it is no address of this machine" : "");
}

/* Open a listening socket on config.host. Returns it, or an error. */
static int azc__listen_open(azc_server *s) {
    azc__sockaddr address;
    socklen_t len = azc__listen_address(s, &address);
    if (len == 0)
        return azc__mistake(s, AZC_ERR_ADDRESS, "host \"%.100s\": must be an IPv4 or IPv6 address "
                            "or localhost, perhaps with a port up to 65535, or unix:/path",
                            s->config.host);
    int fd = azc__fd_socket(address.any.sa_family), bad = 0;
    if (fd < 0) return azc__listen_error(s);
    if (s->config.reuse_port && address.any.sa_family != AF_UNIX)
        bad = azc__sys_option(fd, SOL_SOCKET, SO_REUSEPORT, 1);
    if (bad == 0 && azc__fd_nonblocking(fd) && azc__listen_bind_locked(s, fd, &address, len))
        return fd;
    int error = azc__listen_error(s);
    AZC_SYS(close)(fd);
    return error;
}

/* Check config.listen_fd. Returns it, or an error. *listens becomes 0 for a connected socket. */
static int azc__listen_given(azc_server *s, int *listens) {
    int fd = s->config.listen_fd;
    socklen_t size = sizeof *listens;
    if (AZC_SYS(getsockopt)(fd, SOL_SOCKET, SO_ACCEPTCONN, listens, &size) < 0 ||
        !azc__fd_nonblocking(fd))
        return azc__mistake(s, AZC_ERR_ADDRESS, "listen_fd %d: must be a listening or a connected "
                            "socket", fd);
    return fd;
}

/* ---- Start ---- */

/* Options of connections. They inherit them from the listener, which saves calls for each. What the
 * kernel holds can no longer be replaced by a newer value, so let it take little in advance. */
static void azc__listen_options(int fd) {
    azc__sys_option(fd, IPPROTO_TCP, TCP_NODELAY, 1);
#ifdef TCP_NOTSENT_LOWAT
    azc__sys_option(fd, IPPROTO_TCP, TCP_NOTSENT_LOWAT, AZC__UNSENT);
#endif
}

/* Accept connections from this socket. */
static int azc__listen_all(azc_server *s, int fd) {
    azc__listen_options(fd);
    s->listener.fd = fd;
    if (azc__source_watch(s, &s->listener, AZC__EVENT_READ)) return AZC_OK;
    return azc__error_memory(s, "azc_listen");
}

/* Serve only the peer of this socket, then stop. */
static void azc__listen_one(azc_server *s, int fd) {
    azc__sockaddr address;
    socklen_t len = sizeof address;
    memset(&address, 0, sizeof address);
    AZC_SYS(getpeername)(fd, &address.any, &len);
    azc__listen_options(fd);
    azc__accept_conn(s, fd, &address);
    s->stopping = AZC__SHUTTING_DOWN;
}

static int azc__listen_start(azc_server *s) {
    azc__sockaddr address;
    socklen_t len = sizeof address;
    int listens = 1, error = AZC_OK, given = s->config.listen_fd > 0;
    int fd = given ? azc__listen_given(s, &listens) : azc__listen_open(s);
    if (fd < 0) return fd;
    memset(&address, 0, sizeof address);
    AZC_SYS(getsockname)(fd, &address.any, &len);
    s->port = address.any.sa_family == AF_UNIX ? 0 : ntohs(address.v4.sin_port);
    if (listens) error = azc__listen_all(s, fd);
    else azc__listen_one(s, fd);
    if (error == AZC_OK) s->listening = s->accepts = 1;
    else if (!given) azc__listener_remove(s, fd);
    return error;
}

AZC_API int azc_listen(azc_server *server) {
    if (server == NULL) return AZC_ERR_ARGUMENT;
    if (server->failed) return server->failed;
    if (server->fixed != NULL && !server->fixed->lay(server))
        return server->failed = azc__mistake(
            server, AZC_ERR_MEMORY, "azc_create_in: a data_size is over max_data %zu, or channels, "
            "pages and handlers need more than max_setup %zu", server->config.max_data,
            server->config.max_setup);
    return server->listening ? AZC_OK : azc__listen_start(server);
}

AZC_API int azc_port(const azc_server *server) { return server == NULL ? 0 : server->port; }

AZC_API const char *azc_url(azc_server *server, const char *scheme, const char *path) {
    char host[INET6_ADDRSTRLEN];
    int port;
    if (server == NULL || scheme == NULL || path == NULL) return "";
    if (azc__host_path(server->config.host) != NULL) return server->config.host;
    if (!azc__host_split(server->config.host, host, &port)) return "";
    int v6 = strchr(host, ':') != NULL;
    const char *name = strcmp(host, "0.0.0.0") == 0 ? "127.0.0.1"
                       : strcmp(host, "::") == 0 ? "::1" : host;
    snprintf(server->url, sizeof server->url, "%s://%s%s%s:%d%s", scheme, v6 ? "[" : "", name,
             v6 ? "]" : "", server->port, path);
    return server->url;
}

/* ==== [20] SERVER: configuration, begin and end =============================================== */

/* ---- Configuration ---- */

/* Descriptors that connections may use: the process's limit less 16, at least 16. */
static int azc__config_fds(void) {
    struct rlimit fds;
    int max = 1 << 20;
    if (AZC_SYS(getrlimit)(RLIMIT_NOFILE, &fds) < 0 || fds.rlim_cur >= (rlim_t)max + 16) return max;
    return fds.rlim_cur > 32 ? (int)fds.rlim_cur - 16 : 16;
}

/* Every default is here, except those of azc__fixed_fill. */
static AZC__RARE void azc__config_fill(azc_config *c) {
    int fds = azc__config_fds();
    if (c->host == NULL) c->host = "127.0.0.1";
    if (c->origins == NULL) c->origins = "";
    if (c->max_request == 0) c->max_request = 8 << 10;
    if (c->max_message == 0) c->max_message = 64 << 10;
    if (c->max_backlog == 0) c->max_backlog = 256 << 10;
    if (c->read_buffer == 0) c->read_buffer = 64 << 10;
    if (c->handshake_ms == 0) c->handshake_ms = 10000;
    if (c->ping_ms == 0) c->ping_ms = 30000;
    if (c->pong_ms == 0) c->pong_ms = 10000;
    if (c->close_ms == 0) c->close_ms = 3000;
    if (c->slow_ms == 0) c->slow_ms = 500;
    if (c->log_level == 0) c->log_level = AZC_LOG_WARNING;
    if (c->max_connections == 0 || c->max_connections > fds) c->max_connections = fds;
    size_t min_backlog = c->max_message + azc__min(c->max_message, c->read_buffer) + AZC__SLACK;
    if (c->max_backlog < min_backlog) c->max_backlog = min_backlog;
}

/* Each keeps the first error. */
static int azc__config_count(azc_server *s, const char *field, int value, int most) {
    if (value >= 0 && value <= most) return AZC_OK;
    int error = azc__mistake(s, AZC_ERR_ARGUMENT, "%s %d: must be from 0 to %d", field, value,
                             most);
    return s != NULL ? s->failed = error : error;
}

static int azc__config_size(azc_server *s, const char *field, size_t value, size_t most) {
    if (value <= most) return AZC_OK;
    int error = azc__mistake(s, AZC_ERR_ARGUMENT, "%s %zu: must be at most %zu", field, value,
                             most);
    return s != NULL ? s->failed = error : error;
}

/* Returns AZC_OK, or AZC_ERR_ARGUMENT with the words. These ranges keep what one connection needs
 * within size_t. s may be NULL. */
static int azc__config_check(azc_server *s, const azc_config *c) {
    const size_t gib = (size_t)1 << 30, quarter = SIZE_MAX / 4;
    int bad = azc__config_count(s, "port", c->port, 65535);
    bad |= azc__config_count(s, "max_connections", c->max_connections, INT_MAX);
    bad |= azc__config_count(s, "max_per_address", c->max_per_address, INT_MAX);
    bad |= azc__config_count(s, "max_rooms", c->max_rooms, INT_MAX);
    bad |= azc__config_count(s, "max_memberships", c->max_memberships, INT_MAX);
    bad |= azc__config_count(s, "max_watched", c->max_watched, AZC__SLOT_MASK);
    bad |= azc__config_count(s, "max_timers", c->max_timers, AZC__SLOT_MASK);
    bad |= azc__config_count(s, "max_answers", c->max_answers, INT_MAX);
    bad |= azc__config_count(s, "listen_fd", c->listen_fd, INT_MAX);
    bad |= azc__config_count(s, "unix_mode", c->unix_mode, 0777);
    bad |= azc__config_count(s, "log_level", c->log_level, AZC_LOG_DEBUG);
    bad |= azc__config_size(s, "read_buffer", c->read_buffer, gib - 1);
    bad |= azc__config_size(s, "max_data", c->max_data, gib - 1);
    bad |= azc__config_size(s, "max_setup", c->max_setup, gib - 1);
    bad |= azc__config_size(s, "max_request", c->max_request, ((size_t)1 << 26) - 1);
    bad |= azc__config_size(s, "max_message", c->max_message, quarter);
    bad |= azc__config_size(s, "max_backlog", c->max_backlog, quarter);
    return bad == 0 ? AZC_OK : AZC_ERR_ARGUMENT;
}

/* Check config.origins. Returns AZC_OK, or AZC_ERR_ARGUMENT with the bad entry in azc_error. */
static int azc__config_origins(azc_server *s) {
    size_t len;
    for (const char *at = s->config.origins; *(at += strspn(at, " ")) != 0; at += len) {
        len = strcspn(at, " ");
        if (azc__origin_valid(at, len)) continue;
        return azc__mistake(s, AZC_ERR_ARGUMENT, "origins \"%.*s\": must be scheme://host[:port], "
                            "as browsers send it, or *", (int)azc__min(len, 100), at);
    }
    return AZC_OK;
}

/* Copy host and origins, and allocate the scratch behind them. Returns 0 without memory. */
static int azc__config_strings(azc_server *s) {
    azc_config *c = &s->config;
    s->strings_size = azc__scratch_size(c) + strlen(c->host) + strlen(c->origins) + 2;
    s->strings = (char *)azc__alloc(&s->mem, s->strings_size);
    if (s->strings == NULL) return 0;
    char *origins = stpcpy(s->strings, c->host) + 1;
    s->scratch = stpcpy(origins, c->origins) + 1;
    c->host = s->strings;
    c->origins = *origins != 0 ? origins : NULL; /* NULL: pages of the same origin */
    return 1;
}

/* ---- Memory ---- */

static void *azc__default_alloc(void *userdata, void *ptr, size_t old_size, size_t new_size) {
    (void)userdata;
    (void)old_size;
    if (new_size > 0) return realloc(ptr, new_size);
    free(ptr);
    return NULL;
}

/* What the allocator's pool and the tables begin with. */
static void azc__server_pool(azc_server *s) {
    memcpy(s->pool.class_size, azc__heap_classes, sizeof azc__heap_classes);
    s->pool.max_bytes = AZC__POOL;
    s->pool.piece_max = SIZE_MAX;
    s->pool.array_first = s->room_first = 16;
}

/* ---- End ---- */

static void azc__server_free_routes(const azc__mem *mem, azc__route *route) {
    for (azc__route *next; route != NULL; route = next) {
        next = route->next;
        azc__free(mem, route->target, route->target_size);
        azc__route_free(mem, route);
    }
}

static void azc__server_free(azc_server *s) {
    azc__pool_free(&s->mem);
    azc__mem mem = s->mem;
    azc__server_free_routes(&mem, s->channel_routes);
    azc__server_free_routes(&mem, s->page_routes);
    if (s->files_free != NULL) s->files_free(s);
    while (s->uses != NULL) {
        azc__use_link *use = s->uses;
        s->uses = use->next;
        azc__free(&mem, use, sizeof *use);
    }
    if (s->bodies != NULL) s->bodies->free(s);
    if (s->timers != NULL) s->timers->free(s);
    if (s->watch != NULL) s->watch->free(s);
    azc__free(&mem, s->trusted, s->trusted_count * sizeof *s->trusted);
    azc__free(&mem, s->pool.keyed, s->pool.keyed_cap * sizeof *s->pool.keyed);
#ifdef AZCHAN_USE_EPOLL
    if (s->epoll >= 0) AZC_SYS(close)(s->epoll);
#else
    azc__free(&mem, s->sources, s->source_cap * (sizeof *s->sources + sizeof *s->polls));
#endif
    azc__free(&mem, s->slots, s->slot_cap * sizeof *s->slots);
    azc__free(&mem, s->read_buffer, s->config.read_buffer + 1);
    azc__free(&mem, s->strings, s->strings_size);
    if (s->wake.fd >= 0) AZC_SYS(close)(s->wake.fd);
    if (s->wake_write >= 0) AZC_SYS(close)(s->wake_write);
    azc__free(&mem, s, sizeof *s);
}

AZC_API int azc_destroy(azc_server *server) {
    if (server == NULL) return AZC_OK;
    if (server->busy)
        return azc__mistake(server, AZC_ERR_STATE, "azc_destroy inside a callback: call azc_stop");
    AZC__BUSY_BEGIN(server, AZC__BUSY);
    if (server->signals_end != NULL) server->signals_end(server);
    server->signals_end = NULL;
    azc__posts_refuse(server); /* from the first callback on */
    azc__callback_done(server);
    while (azc__posts_run(server) > 0) continue;
    azc__listener_close(server);
    azc__stop_begin(server);
    azc__settle(server);
    azc__conn_end_all(server, 1);
    azc__settle(server);
    if (server->lives_free != NULL) server->lives_free(server);
    if (server->rates_free != NULL) server->rates_free(server);
    if (server->history != NULL) server->history->free(server);
    AZC__BUSY_OVER();
    azc__server_free(server);
    return AZC_OK;
}

/* ---- Begin ---- */

/* Random bytes of the kernel, at most 256. Returns 0 if there are none. strict: nor early at boot,
 * when Linux can be asked whether it has random bytes yet, and /dev/urandom gives others. */
static int azc__server_random(void *to, size_t len, int strict) {
#ifdef AZC__GETRANDOM
    if (AZC_SYS(getrandom)(to, len, GRND_NONBLOCK) == (ssize_t)len) return 1;
    if (strict && errno == EAGAIN) return 0;
#else
    (void)strict;
#endif
    int fd = azc__fd_high(AZC_SYS(open)("/dev/urandom", O_RDONLY | O_CLOEXEC));
    if (fd < 0) return 0;
    ssize_t n = AZC_SYS(read)(fd, to, len);
    AZC_SYS(close)(fd);
    return n == (ssize_t)len;
}

/* Random seeds, so that peers cannot foresee the hashes of rooms. */
static void azc__server_seed(azc_server *s) {
    if (azc__server_random(s->seed, sizeof s->seed, 0)) return;
    s->seed[0] = (uint32_t)s->now;
    s->seed[1] = (uint32_t)(uintptr_t)s;
    azc__log(s, NULL, AZC_LOG_ERROR, "neither getrandom nor /dev/urandom: peers may guess the "
             "hashes of rooms");
}

/* Returns 0 on failure, with errno. Both ends are closed by azc__server_free. */
static int azc__server_pipe(azc_server *s) {
    int fds[2];
#if AZC__CLOEXEC
    if (AZC_SYS(pipe2)(fds, O_CLOEXEC | O_NONBLOCK) < 0) return 0;
    s->wake.fd = azc__fd_high(fds[0]);
    s->wake_write = azc__fd_high(fds[1]);
    return s->wake.fd >= 0 && s->wake_write >= 0;
#else
    if (AZC_SYS(pipe)(fds) < 0) return 0;
    s->wake.fd = azc__fd_high(fds[0]);
    s->wake_write = azc__fd_high(fds[1]);
    return s->wake.fd >= 0 && s->wake_write >= 0 && azc__fd_nonblocking(s->wake.fd) &&
           azc__fd_nonblocking(s->wake_write);
#endif
}

/* Open the pipe by which azc_stop and azc_post wake the loop, and epoll. */
static int azc__server_open(azc_server *s) {
    if (!azc__server_pipe(s)) return azc__error_system(s, "pipe");
#ifdef AZCHAN_USE_EPOLL
    s->epoll = azc__fd_high(AZC_SYS(epoll_create1)(EPOLL_CLOEXEC));
    if (s->epoll < 0) return azc__error_system(s, "epoll");
#endif
    if (azc__source_watch(s, &s->wake, AZC__EVENT_READ)) return AZC_OK;
    return azc__error_memory(s, "azc_create");
}

/* The fields whose initial value is not zero. */
static void azc__server_init(azc_server *s) {
    s->wake.fd = s->wake.at = s->wake_write = -1;
    s->wake.kind = AZC__WAKE;
    s->listener.fd = s->listener.at = -1;
    s->listener.kind = AZC__LISTENER;
    s->wheel.due = s->due = INT64_MAX;
#ifdef AZCHAN_USE_EPOLL
    s->epoll = -1;
#endif
}

/* Check the config and fill in its defaults, and what follows from it. A bad config is an error of
 * azc_listen; until then its sizes must not matter. */
static void azc__server_configure(azc_server *s) {
    azc_config *c = &s->config;
    int bad = azc__config_check(s, c);
    if (bad) c->max_request = c->read_buffer = 0;
    azc__config_fill(c);
    azc__log_timing(s);
    s->failed = bad ? bad : azc__config_origins(s);
    if (AZC__FAST)
        s->read_free = c->max_backlog -
                       azc__min(c->max_backlog, c->max_message + c->read_buffer + AZC__HEADS - 1);
    s->pause = azc__min(c->max_backlog / 2, c->max_backlog - c->max_message - AZC__SLACK);
    s->deadline_ms[AZC__DEADLINE_HANDSHAKE] = c->handshake_ms;
    s->deadline_ms[AZC__DEADLINE_OUTPUT] = c->handshake_ms;
    s->deadline_ms[AZC__DEADLINE_KEPT] = c->handshake_ms;
    s->deadline_ms[AZC__DEADLINE_BODY] = c->handshake_ms;
    s->deadline_ms[AZC__DEADLINE_PING] = c->ping_ms;
    s->deadline_ms[AZC__DEADLINE_LOOK] = c->ping_ms / 4 + 1;
    s->deadline_ms[AZC__DEADLINE_PONG] = c->pong_ms;
    s->deadline_ms[AZC__DEADLINE_CLOSE] = c->close_ms;
}

/* Allocate, configure and open a server. fixed may be NULL. NULL without memory. */
static azc_server *azc__server_make(const azc__mem *mem, const azc_config *config,
                                    const azc__fixed_join *fixed) {
    azc_server *s = (azc_server *)azc__zalloc(mem, sizeof *s);
    if (s == NULL) return NULL;
    s->mem = *mem;
    s->mem.pool = &s->pool;
    if (config != NULL) s->config = *config;
    azc__server_init(s);
    azc__server_configure(s);
    azc__server_pool(s);
    s->fixed = fixed;
    if (fixed != NULL) fixed->begin(s);
    s->read_buffer = (unsigned char *)azc__alloc(mem, s->config.read_buffer + 1);
    if (!azc__config_strings(s) || s->read_buffer == NULL) {
        azc__server_free(s);
        return NULL;
    }
    s->now = azc__sys_clock(s);
    azc__server_seed(s);
    int error = azc__server_open(s);
    if (s->failed == AZC_OK) s->failed = error;
    return s;
}

AZC_API azc_server *azc_create(const azc_config *config) {
    azc__mem mem = {azc__default_alloc, NULL, NULL};
    if (config != NULL && config->alloc != NULL) {
        mem.alloc = config->alloc;
        mem.userdata = config->alloc_userdata;
    }
    return azc__server_make(&mem, config, NULL);
}

/* ---- In fixed memory ---- */

static void azc__fixed_fill(azc_config *c) {
    if (c->max_rooms == 0) c->max_rooms = c->max_connections;
    if (c->max_memberships == 0) c->max_memberships = 2 * c->max_connections;
    if (c->max_data == 0) c->max_data = 64;
    if (c->max_setup == 0) c->max_setup = 4 << 10;
    if (c->max_watched == 0) c->max_watched = 8;
    if (c->max_timers == 0) c->max_timers = 8;
}

static void azc__fixed_begin(azc_server *s) {
    const azc_config *c = &s->config;
    azc__fixed_fill(&s->config);
    for (int i = 0; i < AZC__CLASSES; i++)
        s->pool.class_size[i] = i > AZC__PIECE ? azc__fixed_data(c) : (size_t)AZC__FIXED_PIECE;
    s->pool.max_bytes = 0;
    s->pool.piece_max = AZC__FIXED_PIECE - sizeof(azc__piece);
    s->pool.array_first = (uint32_t)azc__fixed_array(c);
    s->room_first = (uint32_t)azc__fixed_table(c);
    s->room_least = azc__fixed_room();
    s->tail_least = azc__fixed_tail(c);
}

/* All channels are known now: lay out the slots, once. Returns 0 if it is too small. */
static int azc__fixed_ready(azc_server *s) {
    azc__fixed *f = (azc__fixed *)s->mem.userdata;
    for (const azc__route *route = s->channel_routes; route != NULL; route = route->next) {
        if (((azc_channel *)route->target)->desc.data_size > s->config.max_data) return 0;
    }
    return f->kinds > 0 || azc__fixed_lay(f, s);
}

static const azc__fixed_join azc__fixed_server = {azc__fixed_begin, azc__fixed_ready};

AZC_API size_t azc_memory_bound(const azc_config *config) {
    azc_config c;
    azc__kind kinds[AZC__KINDS];
    size_t sum = sizeof(azc__aligned);
    memset(&c, 0, sizeof c);
    if (config != NULL) c = *config;
    if (azc__config_check(NULL, &c) != AZC_OK) return 0;
    azc__config_fill(&c);
    azc__fixed_fill(&c);
    azc__fixed_kinds(&c, kinds);
    for (int i = 0; i < AZC__KINDS; i++)
        sum = azc__plus(sum, azc__times(azc__align(kinds[i].size), kinds[i].count));
    return sum;
}

AZC_API azc_server *azc_create_in(void *memory, size_t size, const azc_config *config) {
    azc__mem mem = {azc__fixed_alloc, NULL, NULL};
    unsigned char *start = (unsigned char *)memory;
    size_t skip = (size_t)(0 - (uintptr_t)start) % sizeof(azc__aligned);
    size_t own = azc__align(sizeof(azc__fixed));
    if (start == NULL || size < skip + own) return NULL;
    azc__fixed *f = (azc__fixed *)memset(start + skip, 0, own);
    f->next = start + skip + own;
    f->end = start + size;
    mem.userdata = f;
    azc_server *s = azc__server_make(&mem, config, &azc__fixed_server);
    if (s != NULL && !s->failed && size < azc_memory_bound(config))
        s->failed = azc__mistake(s, AZC_ERR_MEMORY, "azc_create_in: size %zu: azc_memory_bound "
                                                    "says "
                                 "%zu", size, azc_memory_bound(config));
    return s;
}

/* ---- Running ---- */

AZC_API int azc_run(azc_server *server) {
    int result = azc_listen(server);
    if (result == AZC_OK) do result = azc_poll(server, -1);
    while (result > 0);
    return result;
}

AZC_API const azc_statistics *azc_stats(const azc_server *server) {
    return server == NULL ? NULL : &server->stats;
}

/* ==== [21] PARTS: messages of any size, delivered as they arrive ============================== */

/* Make an event of n payload bytes, unmasked in place. in->len is 1 once a part of this message was
 * delivered: no byte of the message is kept, so len has no other use here. */
static void azc__part_decode(azc__in *in, unsigned char *p, size_t n, uint64_t offset,
                             azc__event *event) {
    int last = in->remaining == 0 && in->frame.fin;
    int high = azc__unmask(p, n, in->frame.mask, offset);
    if (in->opcode == AZC__OP_TEXT && (high || in->utf8 != 0)) in->utf8 = azc__utf8(in->utf8, p, n);
    if (in->remaining == 0) in->in_frame = 0;
    if (in->utf8 == AZC__UTF8_BAD || (last && in->utf8 != 0)) azc__event_bad_text(event);
    if (event->kind < 0 || (n == 0 && !last)) return;
    event->kind = in->opcode;
    event->data = p;
    event->len = n;
    event->flags = (in->len == 0 ? AZC_PART_FIRST : 0) | (last ? AZC_PART_LAST : 0);
    in->len = 1;
    if (last) in->opcode = 0;
}

/* The byte behind the part may belong to the next frame, so it is restored after the callback. */
static void azc__part_deliver(azc_conn *conn, const azc__event *e) {
    unsigned char behind = e->data[e->len];
    int flags = e->flags | (e->kind == AZC__OP_TEXT ? AZC_PART_TEXT : 0);
    conn->server->stats.messages_in += (flags & AZC_PART_LAST) != 0;
    e->data[e->len] = 0;
    int result = conn->channel->on_part(conn, e->data, e->len, flags);
    e->data[e->len] = behind;
    azc__callback_end(conn, "on_part", result);
}

static const azc__parts_join azc__parts_functions = {azc__part_decode, azc__part_deliver};

AZC_API int azc_on_part(azc_channel *channel, azc_part_callback on_part) {
    int error = azc__channel_check(channel, "azc_on_part");
    if (error != AZC_OK) return error;
    if (channel->lives != NULL)
        return azc__setup_failed(channel->server,
                                 azc__mistake(channel->server, AZC_ERR_STATE, "azc_on_part: not "
                                              "for a channel with azc_add_live"));
    channel->on_part = on_part;
    channel->parts = on_part != NULL ? &azc__parts_functions : NULL;
    channel->short_end = on_part != NULL ? 0 : azc__channel_short_end(channel->server);
    return AZC_OK;
}

/* ==== [22] TIMERS: a hierarchical wheel, driven by the server's clock ========================= */

/* Level n has 32 slots of 32^n milliseconds. Write a timer's time and the wheel's in digits of 5
 * bits: the timer lies in the level of the highest digit in which the two differ, in the slot that
 * its own digit there names. When the wheel reaches the beginning of that slot, the slot's timers
 * move down a level or more, until they lie in level 0 and run. Timers of one millisecond always
 * share a slot and move in order, so they run in the order in which they were set. */
static void azc__wheel_put(azc__wheel *w, azc__timer *timer) {
    uint64_t differs = (uint64_t)(w->at ^ timer->due);
    int level = 0;
    while ((differs >>= AZC__DIGIT) != 0 && level < AZC__WHEEL_LEVELS - 1) level++;
    int64_t slot = timer->due >> level * AZC__DIGIT, begin = slot << level * AZC__DIGIT;
    if (begin < w->due) w->due = begin;
    timer->place = (uint8_t)(level << AZC__DIGIT | (slot & AZC__SLOT_LAST));
    w->count[level]++;
    azc__timer **at = &w->slots[timer->place];
    if (*at == NULL) *at = timer->prev = timer;
    timer->next = *at;
    timer->prev = timer->next->prev;
    timer->prev->next = timer->next->prev = timer;
}

static void azc__wheel_remove(azc__wheel *w, azc__timer *timer) {
    if (timer->next == NULL) return;
    azc__timer **at = &w->slots[timer->place];
    if (*at == timer) *at = timer->next == timer ? NULL : timer->next;
    w->count[timer->place >> AZC__DIGIT]--;
    timer->next->prev = timer->prev;
    timer->prev->next = timer->next;
    timer->next = NULL;
}

/* The next slot that holds a timer: in the lowest level that has one, since a slot there begins
 * before any of a higher level. Sets w->due to its beginning, INT64_MAX if there is no timer.
 * Returns the slot, and its level. */
static azc__timer **azc__wheel_next(azc__wheel *w, int *level) {
    int n = 0;
    w->due = INT64_MAX;
    while (n < AZC__WHEEL_LEVELS && w->count[n] == 0) n++;
    if (n == AZC__WHEEL_LEVELS) return NULL;
    int64_t slot = (w->at >> n * AZC__DIGIT) + (n > 0);
    azc__timer **slots = &w->slots[n << AZC__DIGIT];
    while (slots[slot & AZC__SLOT_LAST] == NULL) slot++;
    w->due = slot << n * AZC__DIGIT;
    *level = n;
    return &slots[slot & AZC__SLOT_LAST];
}

/* Step from one used slot to the next. The loop over a slot ends, because no timer is ever put into
 * the slot that is running: azc__wheel_add makes each due later than now. */
static AZC__RARE void azc__wheel_run(azc_server *s) {
    azc__wheel *w = &s->wheel;
    azc__timer **slot;
    int level;
    while ((slot = azc__wheel_next(w, &level)) != NULL && w->due <= s->now) {
        w->at = w->due;
        for (azc__timer *timer; (timer = *slot) != NULL;) {
            azc__wheel_remove(w, timer);
            if (level > 0) azc__wheel_put(w, timer);
            else timer->fn(s, timer);
        }
    }
}

static void azc__tasks_free(azc_server *s) {
    while (s->task_count > 0) azc__free(&s->mem, s->tasks[--s->task_count], sizeof(azc__task_slot));
    azc__free(&s->mem, s->tasks, s->task_cap * sizeof *s->tasks);
}

static const azc__timers_join azc__timers_functions = {azc__wheel_run, azc__tasks_free};

/* Run timer->fn in ms, but not in this turn. A timer that is in the wheel already is moved. */
static void azc__wheel_add(azc_server *s, azc__timer *timer, int ms) {
    int64_t due = azc__sys_clock(s) + ms;
    s->timers = &azc__timers_functions;
    azc__wheel_remove(&s->wheel, timer);
    timer->due = due > s->now ? due : s->now + 1;
    if (s->now < s->wheel.due) s->wheel.at = s->now; /* it passes the beginning of no used slot */
    azc__wheel_put(&s->wheel, timer);
}

/* Make the task's number void and its slot free for another task. */
static void azc__task_return(azc_server *s, azc__task_slot *task) {
    azc__wheel_remove(&s->wheel, &task->timer);
    task->id += (uint64_t)1 << AZC__SLOT_BITS;
    if (task->id <= AZC__SLOT_MASK) task->id |= (uint64_t)1 << AZC__SLOT_BITS; /* no id is 0 */
    task->next_free = s->free_task;
    s->free_task = task;
}

static void azc__task_due(azc_server *s, azc__timer *timer) {
    azc__task_slot *task = (azc__task_slot *)(void *)timer;
    azc_task fn = task->fn;
    void *arg = task->arg;
    if (task->every > 0) { /* skip missed ticks */
        timer->due += ((s->now - timer->due) / task->every + 1) * task->every;
        azc__wheel_put(&s->wheel, timer);
    } else {
        azc__task_return(s, task);
    }
    fn(s, arg);
    azc__task_end(s, "a timer's task");
}

static azc__task_slot *azc__task_take(azc_server *s) {
    azc__task_slot *task = s->free_task;
    if (task != NULL) {
        s->free_task = task->next_free;
        return task;
    }
    if (s->fixed != NULL && s->task_count >= (uint32_t)s->config.max_timers) return NULL;
    if (s->task_count == s->task_cap) {
        void *tasks = azc__twice(&s->mem, s->tasks, &s->task_cap, sizeof *s->tasks);
        if (tasks == NULL) return NULL;
        s->tasks = (azc__task_slot **)tasks;
    }
    if (s->task_count > AZC__SLOT_MASK) return NULL;
    task = (azc__task_slot *)azc__zalloc(&s->mem, sizeof *task);
    if (task == NULL) return NULL;
    task->timer.fn = azc__task_due;
    task->id = (uint64_t)1 << AZC__SLOT_BITS | s->task_count;
    return s->tasks[s->task_count++] = task;
}

static uint64_t azc__task_start(azc_server *s, int ms, int every, azc_task fn, void *arg) {
    if (s == NULL || (s->busy & AZC__REFUSING && azc__error_busy(s, "a timer") != 0)) return 0;
    if (fn == NULL || ms < 0 || every < 0) {
        azc__mistake(s, AZC_ERR_ARGUMENT, "a timer of %d ms: ms must not be negative (azc_every: "
                     "from 1 on), and fn not NULL", ms);
        return 0;
    }
    s->timers = &azc__timers_functions;
    azc__task_slot *task = azc__task_take(s);
    if (task == NULL) {
        azc__mistake(s, AZC_ERR_MEMORY, "a timer: max_timers %d is reached, or memory is out",
                     s->config.max_timers);
        return 0;
    }
    task->fn = fn;
    task->arg = arg;
    task->every = every;
    azc__wheel_add(s, &task->timer, ms);
    return task->id;
}

AZC_API uint64_t azc_after(azc_server *server, int ms, azc_task fn, void *arg) {
    return azc__task_start(server, ms, 0, fn, arg);
}

AZC_API uint64_t azc_every(azc_server *server, int ms, azc_task fn, void *arg) {
    return azc__task_start(server, ms, ms > 0 ? ms : -1, fn, arg);
}

AZC_API int azc_cancel(azc_server *server, uint64_t id) {
    uint64_t slot = id & AZC__SLOT_MASK;
    azc__task_slot *task = server != NULL && slot < server->task_count ? server->tasks[slot] : NULL;
    if (task == NULL || task->id != id || task->timer.next == NULL)
        return azc__error(server, AZC_ERR_ARGUMENT, "azc_cancel: it has run or was cancelled");
    azc__task_return(server, task);
    return AZC_OK;
}

/* ==== [23] POSTS: tasks from other threads and signal handlers ================================ */

/* Take a place in the ring, or NULL if none is free. Several threads, and signal handlers that
 * interrupt them here, may do this at once: each position is taken by one, in order, and none waits
 * for another. */
static azc__post_place *azc__post_claim(azc_server *s) {
    uint32_t at = AZC__LOAD(s->post_end), ahead;
    azc__post_place *place;
    do {
        place = &s->posts[at % AZC__POSTS];
        ahead = AZC__LOAD(place->lap) - (at - at % AZC__POSTS);
        if (ahead > UINT32_MAX / 2) return NULL; /* the task of the round before is still in it */
        if (ahead != 0) at = AZC__LOAD(s->post_end);
    } while (ahead != 0 || !AZC__REPLACE(s->post_end, &at, at + 1)); /* which updates `at` */
    return place;
}

AZC_API int azc_post(azc_server *server, azc_task fn, void *arg) {
    if (server == NULL || fn == NULL) return AZC_ERR_ARGUMENT;
    if (server->wake_write < 0) return AZC_ERR_STATE;
    azc__post_place *place = azc__post_claim(server);
    if (place == NULL) return AZC_ERR_FULL;
    place->fn = fn;
    place->arg = arg;
    AZC__STORE(place->lap, AZC__LOAD(place->lap) + 1); /* complete: the loop may run it */
    azc__wake(server);
    return AZC_OK;
}

/* ==== [24] SIGNALS: azc_stop on SIGINT and SIGTERM ============================================ */

/* A signal handler gets no argument, so its list of servers is global. The handler may run in any
 * thread while the loop's thread changes the list, hence the atomic loads and stores. */
static struct {
    azc_server *first;       /* linked by next_signalled */
    int running;             /* handlers at work, in all threads */
    struct sigaction old[2]; /* for SIGINT and SIGTERM, before the first server; the last server
                                restores them */
} azc__signals;

static void azc__signal_handler(int number) {
    (void)number;
    AZC__ADD(azc__signals.running, 1);
    for (azc_server *s = AZC__LINKED(azc__signals.first); s != NULL;
         s = AZC__LINKED(s->next_signalled)) azc_stop(s);
    AZC__ADD(azc__signals.running, -1);
}

/* Take the server out of the list, then wait for handlers in other threads that may have found it.
 * The wait adds 0, because a plain load might miss a handler that has just begun. */
static void azc__signals_end(azc_server *server) {
    azc_server **at = &azc__signals.first;
    while (*at != server) at = &(*at)->next_signalled; /* NOLINT: it is in the list */
    AZC__LINK(*at, server->next_signalled);
    if (azc__signals.first == NULL) {
        AZC_SYS(sigaction)(SIGINT, &azc__signals.old[0], NULL);
        AZC_SYS(sigaction)(SIGTERM, &azc__signals.old[1], NULL);
    }
    while (AZC__ADD(azc__signals.running, 0) > 0) continue;
}

/* Set the handler for both signals, or for none. Returns 0 on failure, with errno. */
static int azc__signals_begin(void) {
    struct sigaction action;
    memset(&action, 0, sizeof action);
    sigemptyset(&action.sa_mask);
    action.sa_handler = azc__signal_handler;
    action.sa_flags = SA_RESTART;
    if (AZC_SYS(sigaction)(SIGINT, &action, &azc__signals.old[0]) < 0) return 0;
    if (AZC_SYS(sigaction)(SIGTERM, &action, &azc__signals.old[1]) == 0) return 1;
    int cause = errno;
    AZC_SYS(sigaction)(SIGINT, &azc__signals.old[0], NULL);
    errno = cause;
    return 0;
}

AZC_API int azc_stop_on_signals(azc_server *server) {
    if (server == NULL) return AZC_ERR_ARGUMENT;
    if (server->busy && server->wake_write < 0) return AZC_ERR_STATE; /* in azc_destroy */
    if (server->signals_end != NULL) return AZC_OK;
    if (azc__signals.first == NULL && !azc__signals_begin())
        return azc__error_system(server, "sigaction");
    server->signals_end = azc__signals_end;
    server->next_signalled = azc__signals.first;
    AZC__LINK(azc__signals.first, server);
    return AZC_OK;
}

/* ==== [25] WATCH: the program's own descriptors in the loop =================================== */

/* A descriptor that has hung up, or has an error, is ready in every turn. A program that goes on
 * watching it spends all of its time so: say so, but not more than once a second. */
static AZC__RARE void azc__watch_hung(azc_server *s, azc__watched *w) {
    if (w->hung == 0) w->hung = s->now;
    if (s->now - w->hung < 1000) return;
    w->hung = s->now;
    azc__log(s, NULL, AZC_LOG_WARNING, "azc_watch: fd %d hung up, and is still watched: stop it "
             "with events 0", w->source.fd);
}

/* An earlier callback of this turn may have stopped the watch, and used the struct for another. */
static void azc__watch_ready(azc_server *s, azc__source *source, int events) {
    azc__watched *w = (azc__watched *)(void *)source;
    int writes = (events & AZC__EVENT_WRITE) != 0, reads = (events & ~AZC__EVENT_WRITE) != 0;
    if (w->fn == NULL || w->stale) return;
    w->fn(s, w->source.fd, (writes ? AZC_WRITE : 0) | (reads ? AZC_READ : 0), w->userdata);
    if ((events & ~(AZC__EVENT_READ | AZC__EVENT_WRITE)) == 0) w->hung = 0;
    else if (w->fn != NULL && !w->stale) azc__watch_hung(s, w);
    azc__task_end(s, "a watcher");
}

/* Must not run during a scan of ready sources: the scan may still reach them. */
static void azc__watch_free_list(azc_server *s, azc__watched **list) {
    for (azc__watched *w; (w = *list) != NULL; s->watched_count--) {
        *list = w->next;
        azc__source_unwatch(s, &w->source);
        azc__free(&s->mem, w, sizeof *w);
    }
}

static void azc__watch_sweep(azc_server *s) {
    azc__watch_free_list(s, &s->unwatched);
    for (azc__watched *w = s->watched; w != NULL; w = w->next) w->stale = 0;
    s->watch_stopped = 0;
}

static void azc__watch_free(azc_server *s) {
    azc__watch_free_list(s, &s->watched);
    azc__watch_free_list(s, &s->unwatched);
}

static const azc__watch_join azc__watch_functions = {azc__watch_ready, azc__watch_sweep,
                                                     azc__watch_free};

static void azc__watch_retire(azc_server *s, azc__watched *w) {
    w->fn = NULL;
    w->next = s->unwatched;
    s->unwatched = w;
    s->watch_stopped = 1;
}

/* Stop watching. The current scan may still reach the source, so it is freed later. epoll must
 * forget it at once: it knows the descriptor by its number, which may name another file soon. */
static void azc__watch_stop(azc_server *s, azc__watched **at) {
    azc__watched *w = *at;
#ifdef AZCHAN_USE_EPOLL
    azc__source_unwatch(s, &w->source);
#endif
    *at = w->next;
    azc__watch_retire(s, w);
}

/* A struct for another descriptor: one that was stopped in this turn, or a new one. So the number
 * of structs never exceeds the number of descriptors that were watched at once. */
static int azc__watch_take(azc_server *s, azc__watched **out) {
    azc__watched *w = s->unwatched;
    if (w != NULL) {
        s->unwatched = w->next;
        w->stale = 1;
        w->hung = 0;
    } else {
        const azc_config *c = &s->config;
        if (s->fixed != NULL && s->watched_count >= (uint32_t)c->max_watched)
            return azc__mistake(s, AZC_ERR_FULL, "azc_watch: max_watched %d is reached",
                                c->max_watched);
        w = (azc__watched *)azc__zalloc(&s->mem, sizeof *w);
        if (w == NULL) return azc__error_memory(s, "azc_watch");
        w->source.at = -1;
        w->source.kind = AZC__WATCHED;
        s->watched_count++;
    }
    *out = w;
    return AZC_OK;
}

static int azc__watch_start(azc_server *s, azc__watched *w, int fd, int events) {
    int wants = (events & AZC_READ ? AZC__EVENT_READ : 0) |
                (events & AZC_WRITE ? AZC__EVENT_WRITE : 0);
    w->source.fd = fd;
#ifndef AZCHAN_USE_EPOLL
    if (w->source.at >= 0) s->polls[w->source.at].fd = fd;
#endif
    if (!azc__source_watch(s, &w->source, wants)) {
        azc__watch_retire(s, w);
        int code = AZC__ERR_WATCH;
        return azc__mistake(s, code, "azc_watch: fd %d: %s", fd,
                            code == AZC_ERR_SYSTEM ? strerror(errno) : azc_strerror(code));
    }
    w->next = s->watched;
    s->watched = w;
    return AZC_OK;
}

AZC_API int azc_watch(azc_server *server, int fd, int events, azc_watcher fn, void *userdata) {
    if (server == NULL) return AZC_ERR_ARGUMENT;
    if (fd < 0 || (events & ~(AZC_READ | AZC_WRITE)) != 0 || (events != 0 && fn == NULL))
        return azc__mistake(server, AZC_ERR_ARGUMENT, "azc_watch: fd %d, events %d: fd must not be "
                            "negative, events must be of AZC_READ and AZC_WRITE, and fn not NULL "
                            "unless events is 0", fd, events);
    azc__watched *w = NULL, **at = &server->watched;
    server->watch = &azc__watch_functions;
    while (*at != NULL && (*at)->source.fd != fd) at = &(*at)->next;
    if (*at != NULL) azc__watch_stop(server, at);
    if (events == 0) return AZC_OK;
    int error = azc__watch_take(server, &w);
    if (w == NULL) return error;
    w->fn = fn;
    w->userdata = userdata;
    return azc__watch_start(server, w, fd, events);
}

/* ==== [26] SHUTDOWN: close the peers one by one, spread over time ============================= */

/* Accept the connections that wait in our own listening socket: the kernel resets them when it is
 * closed. With config.listen_fd they stay: another process goes on to accept from that socket. */
static void azc__shutdown_accept(azc_server *s) {
    if (s->stopping != AZC__SHUTTING_DOWN || s->config.listen_fd != 0) return;
    for (int i = 0; i < SOMAXCONN && s->conn_count < s->config.max_connections; i++) {
        if (!azc__accept(s)) return;
    }
}

/* When the next peer is to be closed; the end of the time, if no open one is left. */
static int64_t azc__shutdown_next(const azc_server *s) {
    if (s->shutdown_slot >= s->slot_count || s->shutdown_closed >= s->shutdown_count)
        return s->shutdown_start + s->shutdown_ms;
    return s->shutdown_start + (int64_t)s->shutdown_closed * s->shutdown_ms / s->shutdown_count + 1;
}

/* Close as large a share of the peers as the share of the time that has passed. */
static void azc__shutdown_due(azc_server *s, azc__timer *timer) {
    int64_t passed = s->now - s->shutdown_start;
    if (s->stopping == AZC__STOPPING) return;
    if (passed >= s->shutdown_ms) {
        azc__stop_begin(s);
        return;
    }
    while ((int64_t)s->shutdown_closed * s->shutdown_ms < passed * s->shutdown_count &&
           s->shutdown_slot < s->slot_count) {
        azc_conn *conn = s->slots[s->shutdown_slot++];
        if (conn == NULL || conn->state != AZC__OPEN) continue;
        azc__conn_close(conn, AZC__CLOSING, 1001, NULL, 0);
        s->shutdown_closed++;
    }
    azc__wheel_add(s, timer, (int)(azc__shutdown_next(s) - azc__sys_clock(s)));
}

/* The time begins now, not with the turn: the program may have done other things since that. */
AZC_API int azc_shutdown(azc_server *server, int ms) {
    if (server == NULL) return AZC_ERR_ARGUMENT;
    if (ms < 0)
        return azc__mistake(server, AZC_ERR_ARGUMENT, "azc_shutdown: ms %d: must not be negative",
                            ms);
    if (server->stopping == AZC__STOPPING) return AZC_OK;
    server->stopping = AZC__SHUTTING_DOWN;
    server->shutdown_accept = azc__shutdown_accept;
    server->shutdown_start = azc__sys_clock(server);
    server->shutdown_ms = ms;
    server->shutdown_count = (uint32_t)server->stats.open;
    server->shutdown_closed = server->shutdown_slot = 0;
    server->shutdown_timer.fn = azc__shutdown_due;
    azc__wheel_add(server, &server->shutdown_timer, 0);
    return AZC_OK;
}

/* ==== [27] NEWS: rooms that got their first member or lost the last; for USERS and PROCESSES == */

/* Put the room into the list of news, where it is at most once, however often it changes. Setting
 * s->cursors makes azc__callback_done run after the callback that caused this. */
static void azc__news_changed(azc_server *s, azc__room *room) {
    room->queued = 1;
    room->refs++;
    room->u.next_news = NULL;
    if (s->news_first != NULL) s->news_last->u.next_news = room;
    else s->news_first = room;
    s->news_last = room;
    s->cursors = 1;
}

static void azc__news_call(const azc__room *room) {
    azc_channel *channel = room->channel;
    if (!room->pair) {
        channel->on_room(channel, azc__room_name(room), room->reported);
        return;
    }
    const azc__pair pair = azc__pair_of(room);
    channel->on_presence(channel, azc__room_name(pair.room), azc__room_name(pair.user) + 1,
                         room->reported);
}

/* Call on_room and on_presence in the order of the changes. A change that was undone meanwhile is
 * not reported. The callbacks may change rooms, which adds to the end of the list. */
static void azc__news_report(azc_server *s) {
    for (azc__room *room; (room = s->news_first) != NULL; azc__room_unref(s, room)) {
        s->news_first = room->u.next_news;
        room->queued = 0;
        if ((room->count > 0) == room->reported) continue;
        room->reported = room->count > 0;
        azc__news_call(room);
        azc__room_sweep(s);
    }
}

static const azc__news_join azc__news_functions = {azc__news_changed, azc__news_report};

/* ==== [28] USERS: several connections of one person; presence ================================= */

/* The seat of a connection's user in a room; NULL if none of the user's connections is in it. */
static azc__room *azc__seat_find(const azc_conn *conn, azc__room *room) {
    azc__pair pair = azc__pair_make(AZC__SEAT, room, azc__user_of(conn), 0);
    return azc__room_find(conn->server, conn->channel, &pair, sizeof pair);
}

static int azc__seat_missing(const azc_conn *conn, azc__room *room) {
    return azc__seat_find(conn, room) == NULL;
}

static int azc__seat_enter(azc_conn *conn, azc__room *room) {
    azc_server *s = conn->server;
    azc__room *seat = azc__seat_find(conn, room);
    if (seat == NULL) {
        azc__pair pair = azc__pair_make(AZC__SEAT, room, azc__user_of(conn), 0);
        seat = azc__pair_room(conn->channel, &pair);
        if (seat == NULL) return 0;
        seat->notify = 1;
    }
    seat->count++;
    seat->refs++;
    azc__room_changed(s, seat);
    return 1;
}

static void azc__seat_leave(const azc_conn *conn, azc__room *room) {
    azc__room *seat = azc__seat_find(conn, room);
    if (seat == NULL) return; /* room is the user's own, which has no seats */
    seat->count--;
    azc__room_changed(conn->server, seat);
    azc__room_unref(conn->server, seat);
}

/* Is the connection open, and in the room (NULL: in the channel)? */
static int azc__user_in(const azc_conn *conn, const azc__room *room) {
    return conn->state == AZC__OPEN && (room == NULL || azc__member_find(conn, room) != NULL);
}

/* The user's oldest connection in the room (NULL: in the channel). */
static const azc_conn *azc__user_oldest(const azc__room *user, const azc__room *room) {
    const azc_conn *oldest = NULL;
    for (const azc__member *m = user->first; m != NULL; m = m->next) {
        if ((oldest == NULL || m->conn->id < oldest->id) && azc__user_in(m->conn, room))
            oldest = m->conn;
    }
    return oldest;
}

/* A user is visited at its oldest connection. Returns whether the cursor is at that one. The user
 * remembers it for the rest of the walk, so that its connections are searched once, and again only
 * if that one has left since, or another walk has come between. */
static int azc__first_of_user(azc_cursor *cursor, const azc__room *room) {
    azc__room *user = azc__user_of(cursor->conn);
    if (user == NULL) return 0;
    cursor->user = azc__room_name(user) + 1;
    int met = user->walk == cursor->azc__walk;
    if (met && user->u.visit == NULL) return 0;
    if (!met || !azc__user_in(user->u.visit, room)) user->u.visit = azc__user_oldest(user, room);
    user->walk = cursor->azc__walk;
    if (user->u.visit != cursor->conn) return 0;
    user->u.visit = NULL;
    return 1;
}

static const azc__users_join azc__users_functions = {azc__seat_missing, azc__seat_enter,
                                                     azc__seat_leave, azc__first_of_user};

/* Make the name of a user's room. Returns its length, 0 for a bad user. */
static size_t azc__user_name(char name[AZC__MAX_ROOM + 1], const char *user) {
    size_t len = user != NULL ? strlen(user) : 0;
    if (len == 0 || len >= AZC__MAX_ROOM) return 0;
    name[0] = 0;
    memcpy(name + 1, user, len);
    return len + 1;
}

AZC_API int azc_set_user(azc_conn *conn, const char *user) {
    char name[AZC__MAX_ROOM + 1];
    size_t len = azc__user_name(name, user);
    if (conn == NULL) return AZC_ERR_ARGUMENT;
    azc_server *s = conn->server;
    if (len == 0)
        return azc__mistake(s, AZC_ERR_ARGUMENT, "azc_set_user: user must have 1 to %d bytes",
                            AZC__MAX_ROOM - 1);
    if (conn->state > AZC__OPEN) return azc__error_closed(s, "azc_set_user");
    if (conn->channel == NULL || conn->rooms != NULL)
        return azc__mistake(s, AZC_ERR_STATE, "azc_set_user: %s", conn->channel == NULL ?
                            "allowed from on_upgrade on" : "it has a user or is in a room "
                            "already: set the user before azc_join");
    return azc__room_enter(conn, name, len);
}

AZC_API const char *azc_user(const azc_conn *conn) {
    const azc__room *user = conn != NULL ? azc__user_of(conn) : NULL;
    return user == NULL ? NULL : azc__room_name(user) + 1;
}

AZC_API azc_cursor azc_users(azc_channel *channel, const char *room) {
    azc_cursor cursor = azc_members(channel, room);
    cursor.azc__kind |= AZC__C_USERS;
    if (channel == NULL) return cursor;
    channel->server->users = &azc__users_functions;
    if (++channel->server->user_walks == 0) channel->server->user_walks = 1;
    cursor.azc__walk = channel->server->user_walks;
    return cursor;
}

AZC_API int azc_send_user(azc_channel *channel, const char *user, const char *text, size_t len) {
    char name[AZC__MAX_ROOM + 1];
    size_t name_len = azc__user_name(name, user);
    if (channel == NULL) return AZC_ERR_ARGUMENT;
    azc__payload payload = {AZC__OP_TEXT, text, len, 0, "azc_send_user"};
    if (name_len == 0)
        return azc__mistake(channel->server, AZC_ERR_ARGUMENT, "azc_send_user: user must have 1 "
                            "to %d bytes", AZC__MAX_ROOM - 1);
    int error = azc__payload_check(channel->server, NULL, &payload);
    if (error != AZC_OK) return error;
    const azc__room *room = azc__room_find(channel->server, channel, name, name_len);
    int count = room != NULL ? azc__broadcast_queue(channel, room, &payload, NULL) : 0;
    return count < 0 ? count : AZC_OK;
}

AZC_API int azc_on_presence(azc_channel *channel, azc_presence_callback on_presence) {
    int error = azc__channel_check(channel, "azc_on_presence");
    if (error != AZC_OK) return error;
    channel->server->users = &azc__users_functions;
    channel->server->news = &azc__news_functions;
    channel->on_presence = on_presence;
    return AZC_OK;
}

/* ==== [29] HISTORY: what a room sends to new members ========================================== */

/* Message i, counted from the oldest. */
static azc__kept *azc__history_at(azc__history *h, size_t i) {
    return (azc__kept *)(void *)(h + 1) + (h->first + i) % h->max_count;
}

/* Add a message; the oldest ones make room for it. A message larger than max_bytes removes all
 * others and is not kept itself: the replay must have no gap. */
static void azc__history_add(const azc__mem *mem, azc__history *h, azc__block *block,
                             uint64_t except) {
    h->serial++;
    while (h->count > 0 && (h->count == h->max_count || h->bytes + block->len > h->max_bytes)) {
        azc__block *old = azc__history_at(h, 0)->block;
        h->bytes -= old->len;
        h->count--;
        h->first = (h->first + 1) % h->max_count;
        azc__block_release(mem, old);
    }
    if (block->len > h->max_bytes) return;
    block->refs++;
    h->bytes += block->len;
    azc__kept *kept = azc__history_at(h, h->count++);
    kept->block = block;
    kept->except = except;
}

/* Make a history with the newest messages of `old` (which may be NULL) that fit. */
static azc__history *azc__history_make(const azc__mem *mem, size_t messages, size_t bytes,
                                       azc__history *old) {
    messages = azc__min(messages, bytes / 2); /* a frame has 2 bytes or more */
    azc__history *h =
        (azc__history *)azc__zalloc(mem, sizeof *h + messages * sizeof(azc__kept));
    if (h == NULL) return NULL;
    h->max_count = messages;
    h->max_bytes = bytes;
    if (old == NULL) return h;
    h->serial = old->serial - old->count;
    h->epoch = old->epoch;
    h->id = old->id;
    for (size_t i = 0; i < old->count; i++) {
        const azc__kept *kept = azc__history_at(old, i);
        azc__history_add(mem, h, kept->block, kept->except);
    }
    return h;
}

static void azc__history_free(const azc__mem *mem, azc__history *h) {
    if (h == NULL) return;
    for (size_t i = 0; i < h->count; i++) azc__block_release(mem, azc__history_at(h, i)->block);
    azc__free(mem, h, sizeof *h + h->max_count * sizeof(azc__kept));
}

/* Replace the room's history; NULL: none. A history holds a reference, so that its room stays when
 * it is empty; without one, the room may be freed here. */
static void azc__history_replace(azc_server *s, azc__room *room, azc__history *h) {
    azc__history *old = room->keeps.history;
    room->keeps.history = h;
    if (h != NULL) room->refs++;
    if (old == NULL) return;
    azc__history_free(&s->mem, old);
    azc__room_unref(s, room);
}

/* Queue a kept message. A short one is copied, since a reference would take more than that. */
static int azc__history_queue(azc__mem *mem, azc__out *replay, azc__block *block) {
    if (block->len >= AZC__COPY) return azc__out_refer(mem, replay, block + 1, block->len, block);
    unsigned char *p = azc__out_claim(mem, replay, block->len);
    return p != NULL && memcpy(p, block + 1, block->len) != NULL;
}

/* A piece with copies has a block, as all pieces of a replay do: only with one is its kind read. */
static azc__block *azc__history_copies(azc__pool *pool) {
    if (pool->copies.refs == 0) pool->copies.refs = 1;
    pool->copies.refs++;
    return &pool->copies;
}

/* Queue every kept message. Returns how many, or -1 without memory. */
static int azc__history_replay(azc_conn *conn, const azc__room *room, azc__out *replay) {
    azc__mem *mem = &conn->server->mem;
    azc__history *h = room->keeps.history;
    for (size_t i = 0; i < h->count; i++)
        if (!azc__history_queue(mem, replay, azc__history_at(h, i)->block)) return -1;
    return (int)h->count;
}

/* Queue the kept messages in an output of its own, so that a failure half way leaves nothing in the
 * connection's. A replay does not count against max_backlog; the memory of all that are queued is
 * at most twice that. A first one always fits: a history has at most half of max_backlog, and its
 * pieces take at most 3.5 times as much, if messages of 2 bytes and of 256 alternate. (RECOVERY
 * adds 30 bytes for each message that it leaves out.) Returns the messages, or an error. */
static int azc__history_prepare(azc_conn *conn, const azc__room *room, azc__out *replay) {
    azc_server *s = conn->server;
    size_t max = s->config.max_backlog * 2, queued = conn->out.replays;
    if (queued > 0 && queued + room->keeps.history->bytes > max) return AZC_ERR_FULL;
    int count = conn->client ? s->client->replay(conn, room, replay)
                             : azc__history_replay(conn, room, replay);
    for (azc__piece *p = replay->head; count >= 0 && p != NULL; p = p->next) {
        if (p->block == NULL) p->block = azc__history_copies(s->mem.pool);
        p->kind = AZC__REPLAY;
        p->lost = p == replay->head && conn->out.tail != NULL ? (uint32_t)conn->out.tail->room : 0;
        replay->replays += azc__piece_held(p);
    }
    if (count >= 0 && (queued == 0 || queued + replay->replays <= max)) return count;
    azc__out_consume(&s->mem, replay, replay->bytes);
    return count < 0 ? AZC_ERR_MEMORY : AZC_ERR_FULL;
}

/* Append the replay to the connection's output, or free it if the join failed. Its last piece has
 * no room for what is not a replay. */
static void azc__history_finish(azc_conn *conn, azc__out *replay, int messages, int joined) {
    azc__out *out = &conn->out;
    if (!joined) azc__out_consume(&conn->server->mem, replay, replay->bytes);
    if (!joined || replay->head == NULL) return;
    azc__out_append(out, replay->head);
    out->tail = replay->tail;
    out->tail->room = 0;
    out->bytes += replay->bytes;
    out->apart += replay->bytes;
    out->replays += replay->replays;
    conn->server->stats.messages_out += (uint64_t)messages;
    azc__conn_touch(conn);
}

/* Keep a broadcast; block is its frame, or NULL if none was made. A block with a key is copied: a
 * replay sends every value, so its messages must not replace each other. */
static int azc__history_keep(azc_server *s, const azc__room *room, azc__block *block,
                             const azc__payload *p, const azc_conn *except) {
    uint64_t user = s->client != NULL && except != NULL ? s->client->user(except) : 0;
    if (p->key != 0) user = AZC__RETURNING;
    azc__payload plain = {p->opcode, p->data, p->len, 0, p->call};
    if (block != NULL && block->key == 0) block->refs++;
    else block = azc__block_make(&s->mem, &plain);
    if (block == NULL) return 0;
    azc__history_add(&s->mem, room->keeps.history, block, user);
    azc__block_release(&s->mem, block);
    return 1;
}

/* Freeing one may free its room and thus change its bucket, which is searched again. */
static void azc__histories_free(azc_server *s) {
    for (size_t i = 0; i < s->room_cap;) {
        azc__room *room = s->rooms[i];
        while (room != NULL && (room->pair || room->keeps.history == NULL)) room = room->chain;
        if (room == NULL) i++;
        else azc__history_replace(s, room, NULL);
    }
}

static const azc__history_join azc__history_functions = {
    azc__history_prepare, azc__history_finish, azc__history_keep, azc__histories_free};

AZC_API int azc_set_history(azc_channel *channel, const char *room, size_t messages, size_t bytes) {
    if (channel == NULL) return AZC_ERR_ARGUMENT;
    azc_server *s = channel->server;
    size_t half = s->config.max_backlog / 2;
    if (room == NULL || !azc__room_valid(room))
        return azc__mistake(s, AZC_ERR_ARGUMENT, "azc_set_history: room must have 1 to %d bytes",
                            AZC__MAX_ROOM);
    if (messages > 0 && (bytes < 2 || bytes > half))
        return azc__mistake(s, AZC_ERR_ARGUMENT, "azc_set_history: bytes %zu: must be from 2 to "
                            "%zu, half of max_backlog", bytes, half);
    if (s->fixed != NULL) return azc__error_fixed(s, "azc_set_history");
    s->history = &azc__history_functions;
    s->pool.uncount = azc__out_uncount;
    azc__room *r = azc__room_by_name(channel, room);
    azc__history *h = NULL;
    if (messages > 0) {
        h = azc__history_make(&s->mem, messages, bytes, r != NULL ? r->keeps.history : NULL);
        if (h == NULL) return azc__error_memory(s, "azc_set_history");
        if (r == NULL) r = azc__room_make(s, channel, room, strlen(room));
        if (r == NULL) azc__history_free(&s->mem, h);
        if (r == NULL) return azc__error_memory(s, "azc_set_history");
    }
    if (r != NULL) azc__history_replace(s, r, h);
    return AZC_OK;
}

/* ==== [30] RATES: azc_send, with latest values, throttling and batches ======================== */

/* ---- Messages with a key ----
 * A table finds the pieces of a connection and a key, so that the cost of a message does not grow
 * with the number of those that wait. */

/* Multiply-shift (Dietzfelbinger et al.) with secret odd factors: peers may choose keys, and must
 * not be able to put many into one bucket. */
static uint32_t azc__keyed_hash(const azc_conn *conn, uint64_t key) {
    const uint64_t high = conn->server->seed[0], low = conn->server->seed[1];
    return (uint32_t)(((high << 32 | low | 1) * key + (low << 32 | high | 1) * conn->id) >> 32);
}

/* The high bits of the hash choose the bucket: the low ones do not depend on a key's high bits. */
static azc__keyed **azc__keyed_bucket(const azc__pool *pool, uint32_t hash) {
    return &pool->keyed[(uint64_t)hash * pool->keyed_cap >> 32];
}

static void azc__keyed_link(const azc__pool *pool, azc__keyed *keyed) {
    azc__keyed **bucket = azc__keyed_bucket(pool, keyed->hash);
    keyed->chain = *bucket;
    *bucket = keyed;
}

/* Double the table when it is full. If memory is short, the chains grow instead. Returns 0 if there
 * is no table at all. */
static int azc__keyed_grow(azc_server *s) {
    azc__pool *pool = &s->pool;
    uint32_t old_cap = pool->keyed_cap, cap = old_cap > 0 ? old_cap * 2 : 16;
    azc__keyed **old = pool->keyed;
    if (pool->keyed_count < old_cap || old_cap >= AZC__MOST) return 1;
    azc__keyed **table = (azc__keyed **)azc__zalloc(&s->mem, cap * sizeof *table);
    if (table == NULL) return old_cap > 0;
    pool->keyed = table;
    pool->keyed_cap = cap;
    for (size_t i = 0; i < old_cap; i++) {
        for (azc__keyed *keyed = old[i], *next; keyed != NULL; keyed = next) {
            azc__keyed **at = azc__keyed_bucket(pool, keyed->hash);
            while (*at != NULL) at = &(*at)->chain; /* newer pieces stay before older ones */
            next = keyed->chain;
            keyed->chain = NULL;
            *at = keyed;
        }
    }
    azc__free(&s->mem, old, old_cap * sizeof *old);
    return 1;
}

/* azc__pool.unkey: the piece is being freed. There is no table without pieces. */
static void azc__keyed_remove(const azc__mem *mem, azc__piece *piece) {
    azc__pool *pool = mem->pool;
    azc__keyed *keyed = (azc__keyed *)(void *)piece;
    azc__keyed **at = azc__keyed_bucket(pool, keyed->hash);
    while (*at != keyed) at = &(*at)->chain; /* NOLINT: it is in the table */
    *at = keyed->chain;
    if (--pool->keyed_count > 0) return;
    azc__free(mem, pool->keyed, pool->keyed_cap * sizeof *pool->keyed);
    pool->keyed = NULL;
    pool->keyed_cap = 0;
}

/* The late piece of this key; or the queued one that the kernel has taken no byte of; or NULL. */
static azc__keyed *azc__keyed_find(const azc_conn *conn, uint64_t key) {
    const azc__pool *pool = &conn->server->pool;
    azc__keyed *found = NULL;
    if (pool->keyed_count == 0 || (conn->out.bytes == 0 && conn->wait.late == NULL)) return NULL;
    uint32_t hash = azc__keyed_hash(conn, key);
    for (azc__keyed *k = *azc__keyed_bucket(pool, hash); k != NULL; k = k->chain) {
        const azc__piece *p = &k->piece;
        if (k->hash != hash || k->conn != conn || p->block->key != key) continue;
        if (k->late) return k;
        if (found == NULL && p->len == p->block->len) found = k; /* the newest */
    }
    return found;
}

/* Refer to another block of the same key. */
static void azc__piece_refer(const azc__mem *mem, azc__piece *p, azc__block *block) {
    azc__block_release(mem, p->block);
    block->refs++;
    p->block = block;
    p->data = (const unsigned char *)(block + 1);
    p->len = block->len;
}

/* Put a block in the place of a queued one of its key, if the backlog has room. Returns whether it
 * did. */
static int azc__replace(azc_conn *conn, azc__piece *p, azc__block *block) {
    if (block->len > p->len && azc__backlog_full(conn, block->len - p->len)) return 0;
    conn->out.bytes += block->len - p->len;
    azc__piece_refer(&conn->server->mem, p, block);
    if (!conn->paused && azc__out_backlog(&conn->out) > conn->server->pause) azc__conn_touch(conn);
    return 1;
}

/* What a message with a key counts in the backlog, besides its bytes. */
static size_t azc__keyed_lost(const azc__out *out) {
    return sizeof(azc__keyed) + sizeof(azc__block) + (out->tail != NULL ? out->tail->room : 0);
}

/* A piece in the table. NULL without memory. */
static azc__keyed *azc__keyed_make(azc_conn *conn, azc__block *block) {
    azc_server *s = conn->server;
    if (!azc__keyed_grow(s)) return NULL;
    azc__keyed *k = (azc__keyed *)azc__zalloc(&s->mem, sizeof *k);
    if (k == NULL) return NULL;
    k->piece.size = sizeof *k;
    k->piece.kind = AZC__KEYED;
    azc__piece_refer(&s->mem, &k->piece, block);
    k->conn = conn;
    k->hash = azc__keyed_hash(conn, block->key);
    azc__keyed_link(&s->pool, k);
    s->pool.keyed_count++;
    s->pool.unkey = azc__keyed_remove;
    return k;
}

static void azc__keyed_append(azc_conn *conn, azc__keyed *k) {
    azc__out *out = &conn->out;
    azc__piece *p = &k->piece;
    k->late = 0;
    p->lost = (uint32_t)azc__keyed_lost(out);
    p->next = NULL;
    out->bytes += p->len;
    out->apart -= p->lost;
    azc__out_append(out, p);
    azc__queue_done(conn);
}

static void azc__late_append(azc_conn *conn, azc__keyed *k) {
    azc__keyed *first = (azc__keyed *)(void *)conn->wait.late;
    k->late = 1;
    if (first == NULL) conn->wait.late = &k->piece;
    else first->late_last->piece.next = &k->piece;
    (first != NULL ? first : k)->late_last = k;
}

/* Keep the newest message of a key until on_drain, although the backlog is full: at most half of
 * max_backlog of memory for all keys, which is room that the backlog then has. k: the late piece of
 * this key, or NULL. */
static int azc__late_keep(azc_conn *conn, azc__keyed *k, azc__block *block) {
    const azc__keyed *first = (const azc__keyed *)(void *)conn->wait.late;
    size_t size = sizeof *k + sizeof *block + block->len;
    size_t held = first != NULL ? first->late_held : 0;
    if (k != NULL) held -= azc__piece_held(&k->piece);
    if (size + held > conn->server->config.max_backlog / 2)
        return azc__backlog_overflow(conn, size);
    if (k != NULL) {
        azc__piece_refer(&conn->server->mem, &k->piece, block);
    } else {
        k = azc__keyed_make(conn, block);
        if (k == NULL) return AZC_ERR_MEMORY;
        azc__late_append(conn, k);
    }
    ((azc__keyed *)(void *)conn->wait.late)->late_held = held + size; /* NOLINT: one is late */
    conn->drain = 1;
    azc__conn_touch(conn);
    return AZC_OK;
}

/* azc_server.queue_late */
static void azc__queue_late(azc_conn *conn) {
    azc__piece *p;
    while ((p = conn->wait.late) != NULL) {
        conn->wait.late = p->next;
        azc__keyed_append(conn, (azc__keyed *)(void *)p);
    }
}

/* azc_server.queue_keyed: queue a message in place of one of its key, behind the others, or late.
 * While a key has a late message, newer ones must not overtake it. */
static int azc__queue_keyed(azc_conn *conn, azc__block *block) {
    size_t size = block->len + azc__keyed_lost(&conn->out);
    int drop = conn->channel->desc.when_full == AZC_FULL_DROP;
    azc__keyed *k = azc__keyed_find(conn, block->key);
    if (k != NULL && k->late) return azc__late_keep(conn, k, block);
    if (k != NULL && azc__replace(conn, &k->piece, block)) return AZC_OK;
    if (azc__backlog_full(conn, size))
        return drop ? azc__late_keep(conn, NULL, block) : azc__backlog_overflow(conn, size);
    k = azc__keyed_make(conn, block);
    if (k == NULL) return AZC_ERR_MEMORY;
    azc__keyed_append(conn, k);
    return AZC_OK;
}

/* ---- Rates: a message now, the next one when the period ends ---- */

/* Hold a message until the period ends: the last one of a key, or all of a batch, as "[a,b".
 * Returns 0 without memory; an earlier message stays held. */
static int azc__rate_hold(azc__rate *r, const azc_message *m, const azc__payload *p) {
    size_t at = m->batch && r->held ? r->len : 0;
    if (!azc__grow(&r->channel->server->mem, &r->data, &r->cap, at + p->len + 2, SIZE_MAX))
        return 0;
    if (m->batch) r->data[at++] = r->held ? ',' : '['; /* NOLINT: azc__grow made room */
    if (p->len > 0) memcpy(r->data + at, p->data, p->len);
    r->len = at + p->len;
    r->opcode = p->opcode;
    r->held = 1;
    r->publish = !m->local && m->user == NULL;
    r->except = m->except != NULL && m->except->channel == r->channel ? m->except->id : 0;
    return 1;
}

/* Send what is held. Without memory it stays held, for the next period. on_publish may send at this
 * rate again, so the rate gives up its data first. Returns the number of connections. */
static int azc__rate_send(azc__rate *r) {
    azc_server *s = r->channel->server;
    unsigned char *data = r->data;
    size_t cap = r->cap;
    azc__payload payload = {r->opcode, (const char *)data, r->len, r->key, "azc_send"};
    if (r->key == 0) data[payload.len++] = ']';
    int count = azc__broadcast_queue(r->channel, r->room, &payload,
                                     r->except != 0 ? azc_find(s, r->except) : NULL);
    if (count < 0) return 0;
    r->held = 0;
    r->data = NULL;
    r->cap = 0;
    if (r->publish)
        azc__broadcast_publish(r->channel, r->room != NULL ? azc__room_name(r->room) : NULL,
                               &payload, count);
    azc__pool_return(&s->mem, data, cap);
    return count;
}

static void azc__rate_free(azc_server *s, azc__rate *r) {
    azc__wheel_remove(&s->wheel, &r->timer);
    azc__room_unref(s, r->entry);
    if (r->data != NULL) azc__pool_return(&s->mem, r->data, r->cap);
    azc__free(&s->mem, r, sizeof *r);
}

/* A period has ended. If a message was held, it is sent and another period begins; the timer is set
 * first, so that on_publish finds the period running. */
static void azc__rate_due(azc_server *s, azc__timer *timer) {
    azc__rate *r = (azc__rate *)(void *)timer;
    if (!r->held) {
        azc__rate_free(s, r);
        return;
    }
    azc__wheel_add(s, timer, r->ms);
    azc__rate_send(r);
}

/* Freeing one may free rooms and thus change its bucket, which is searched again. */
static void azc__rates_free(azc_server *s) {
    for (size_t i = 0; i < s->room_cap;) {
        azc__room *room = s->rooms[i];
        while (room != NULL && !(room->pair && azc__pair_of(room).kind[2] >= AZC__RATE))
            room = room->chain;
        if (room == NULL) i++;
        else azc__rate_free(s, room->keeps.rate);
    }
}

/* May so many more rooms be made? */
static int azc__rate_allowed(const azc_server *s, uint32_t rooms) {
    return s->config.max_rooms <= 0 || s->room_named + rooms <= (uint32_t)s->config.max_rooms;
}

static AZC__RARE int azc__rate_full(azc_server *s) {
    return azc__mistake(s, AZC_ERR_FULL, "azc_send: max_rooms %d is reached: a period counts as "
                        "one", s->config.max_rooms);
}

/* A new rate, found by the pair; its period has not begun. NULL without memory. */
static azc__rate *azc__rate_make(azc_channel *channel, const azc__pair *pair, int ms) {
    azc_server *s = channel->server;
    azc__rate *r = (azc__rate *)azc__zalloc(&s->mem, sizeof *r);
    azc__room *entry = r != NULL ? azc__pair_room(channel, pair) : NULL;
    if (entry == NULL) {
        azc__free(&s->mem, r, sizeof *r);
        return NULL;
    }
    entry->refs++;
    entry->keeps.rate = r;
    s->rates_free = azc__rates_free;
    r->timer.fn = azc__rate_due;
    r->channel = channel;
    r->room = pair->room;
    r->entry = entry;
    r->key = pair->key;
    r->ms = ms;
    return r;
}

/* The rate for a message to a room (NULL: the channel), a new one if there is none. NULL: *error
 * says why. */
static azc__rate *azc__rate_of(azc_channel *channel, azc__room *room, const azc_message *m,
                               int *error) {
    int kind = m->batch && m->local ? AZC__LOCAL_BATCH : AZC__RATE;
    azc__pair pair = azc__pair_make(kind, room, NULL, m->key);
    const azc__room *entry = azc__room_find(channel->server, channel, &pair, sizeof pair);
    if (entry != NULL) return entry->keeps.rate;
    int allowed = azc__rate_allowed(channel->server, 1);
    *error = allowed ? AZC_ERR_MEMORY : azc__rate_full(channel->server);
    return !allowed ? NULL : azc__rate_make(channel, &pair, m->period_ms);
}

/* Send a message now, if no period is running, else hold it until the period ends. A batch that
 * would pass max_message is sent before. Returns the number of connections it was queued for, or an
 * error. */
static int azc__rate_take(azc__rate *r, const azc_message *m, const azc__payload *p) {
    azc_server *s = r->channel->server;
    int first = r->timer.next == NULL, count = 0;
    if (m->batch && r->held && r->len + p->len + 2 > s->config.max_message)
        count = azc__rate_send(r);
    int held = azc__rate_hold(r, m, p);
    if (first && !held) azc__rate_free(s, r);
    if (!held) return AZC_ERR_MEMORY;
    if (!first) return count;
    azc__wheel_add(s, &r->timer, r->ms);
    return azc__rate_send(r);
}

/* ---- azc_send: check the fields, read the payload, find the target, then queue or hold ---- */

/* Does each field have a valid value, and none exclude another? Returns the rule that is broken, or
 * NULL. */
static const char *azc__message_bad(const azc_message *m) {
    char name[AZC__MAX_ROOM + 1];
    if ((m->text != NULL) + (m->binary != NULL) + (m->json != NULL) != 1)
        return "set exactly one of text, binary and json";
    if ((m->room != NULL) + (m->user != NULL) + (m->to != NULL) > 1)
        return "set at most one of room, user and to";
    if (m->period_ms < 0) return "period_ms must not be negative";
    if (m->user != NULL && azc__user_name(name, m->user) == 0)
        return "user must have 1 to 254 bytes";
    if (m->to != NULL && (m->except != NULL || m->period_ms > 0))
        return "to excludes except and period_ms";
    if (m->batch && (m->binary != NULL || m->except != NULL || m->key != 0 || m->period_ms == 0))
        return "batch needs period_ms and JSON, and excludes binary, except and key";
    return m->period_ms > 0 && m->key == 0 && !m->batch ? "period_ms needs key or batch" : NULL;
}

static int azc__message_check(azc_server *s, const azc_message *m) {
    const char *bad = azc__message_bad(m);
    return bad == NULL ? AZC_OK : azc__mistake(s, AZC_ERR_ARGUMENT, "azc_send: %s", bad);
}

static int azc__message_payload(const azc_channel *channel, const azc_message *m,
                                azc__payload *p) {
    azc_json value;
    p->opcode = m->binary != NULL ? AZC__OP_BINARY : AZC__OP_TEXT;
    p->data = m->binary != NULL ? (const char *)m->binary : m->text;
    p->len = m->len;
    p->key = m->key;
    p->call = "azc_send";
    if (m->json != NULL) {
        int error = azc__writer_finish(channel->server, m->json, "azc_send");
        if (error != AZC_OK) return error;
        p->data = m->json->text;
        p->len = m->json->len;
    }
    int error = azc__payload_check(channel->server, m->room, p);
    if (error != AZC_OK || !m->batch) return error;
    error = azc_json_read(&value, p->data, p->len);
    return error == AZC_OK ? AZC_OK : azc__mistake(channel->server, error, "azc_send: a batch "
                                                   "takes JSON: bad at byte %zu", value.len);
}

/* Queue to one connection of the channel. Returns 1, or an error. */
static int azc__message_to(const azc_channel *channel, azc_conn *conn, const azc__payload *p) {
    int error = azc__send_check(conn, p->data, p->len, "azc_send");
    if (error != AZC_OK) return error;
    if (conn->channel != channel)
        return azc__mistake(channel->server, AZC_ERR_ARGUMENT, "azc_send: to is a connection of "
                            "another channel");
    if (p->key == 0) {
        error = azc__queue(conn, p->opcode, p->data, p->len);
    } else {
        azc__block *block = azc__block_make(&conn->server->mem, p);
        error = block != NULL ? azc__queue_block(conn, block) : AZC_ERR_MEMORY;
        azc__block_release(&conn->server->mem, block);
    }
    return error == AZC_OK ? 1 : error;
}

/* The name of the target's room: a user has one too. Returns its length, 0: the whole channel. */
static size_t azc__message_room(const azc_message *m, char name[AZC__MAX_ROOM + 1]) {
    if (m->user != NULL) return azc__user_name(name, m->user);
    size_t len = m->room != NULL ? strlen(m->room) : 0;
    if (len > 0) memcpy(name, m->room, len);
    return len;
}

/* Queue to a room, a user or the channel. Returns the number of connections, or an error. */
static int azc__message_queue(azc_channel *channel, const azc_message *m, const azc__payload *p) {
    char name[AZC__MAX_ROOM + 1];
    size_t len = azc__message_room(m, name);
    const azc__room *room = len > 0 ? azc__room_find(channel->server, channel, name, len) : NULL;
    int count = 0;
    if (len == 0 || room != NULL) count = azc__broadcast_queue(channel, room, p, m->except);
    if (!m->local && m->user == NULL) azc__broadcast_publish(channel, m->room, p, count);
    return count;
}

/* As azc__message_queue, at a rate. The room is made if it is missing: its members may come before
 * the period ends. The reference keeps it, whatever fails here and whatever on_publish does. */
static int azc__message_rate(azc_channel *channel, const azc_message *m, const azc__payload *p) {
    azc_server *s = channel->server;
    char name[AZC__MAX_ROOM + 1];
    size_t len = azc__message_room(m, name);
    azc__room *room = len > 0 ? azc__room_find(s, channel, name, len) : NULL;
    if (len > 0 && room == NULL) {
        if (!azc__rate_allowed(s, 2)) return azc__rate_full(s); /* the room, and its rate */
        room = azc__room_make(s, channel, name, len);
        if (room == NULL) return AZC_ERR_MEMORY;
    }
    if (room != NULL) room->refs++;
    int result = AZC_OK;
    azc__rate *r = azc__rate_of(channel, room, m, &result);
    if (r != NULL) result = azc__rate_take(r, m, p);
    azc__room_unref(s, room);
    return result;
}

AZC_API int azc_send(azc_channel *channel, const azc_message *message) {
    azc__payload payload;
    if (message != NULL && message->queued != NULL) *message->queued = 0;
    if (channel == NULL) return AZC_ERR_ARGUMENT;
    if (message == NULL) return azc__error_null(channel->server, "azc_send");
    channel->server->queue_keyed = azc__queue_keyed;
    channel->server->queue_late = azc__queue_late;
    channel->server->pool.uncount = azc__out_uncount;
    azc_server *s = channel->server;
    int error = azc__message_check(s, message);
    if (error == AZC_OK && s->fixed != NULL &&
        (message->key != 0 || message->period_ms > 0))
        return azc__error_fixed(s, "azc_send with key or period_ms");
    if (error == AZC_OK) error = azc__message_payload(channel, message, &payload);
    if (error != AZC_OK) return error;
    int count = message->to != NULL ? azc__message_to(channel, message->to, &payload)
                : message->period_ms > 0 ? azc__message_rate(channel, message, &payload)
                                         : azc__message_queue(channel, message, &payload);
    if (count > 0 && message->queued != NULL) *message->queued = (size_t)count;
    if (count == AZC_ERR_MEMORY) azc__error_memory(s, "azc_send");
    return count < 0 ? count : AZC_OK;
}

/* ==== [31] PROXIES: the X-Forwarded-* fields of trusted proxies =============================== */

/* Read a numeric address, or "unix". Returns 0 for anything else. */
static int azc__proxies_address(const char *s, size_t len, azc__visitor *address) {
    char text[INET6_ADDRSTRLEN];
    if (len >= sizeof text) return 0;
    memcpy(text, s, len);
    text[len] = 0;
    azc__visitor_set_family(address, inet_pton(AF_INET, text, address->raw) == 1 ? AF_INET
                                     : inet_pton(AF_INET6, text, address->raw) == 1 ? AF_INET6 : 0);
    return address->family != 0 || strcmp(text, "unix") == 0;
}

/* The number behind an address's '/', max without one; -1 for a bad one. */
static int azc__proxies_prefix(const char *s, size_t len, int max) {
    int bits = 0;
    if (len == 0) return max;
    for (size_t i = 1; i < len; i++) {
        if (s[i] < '0' || s[i] > '9' || bits > max) return -1;
        bits = bits * 10 + s[i] - '0';
    }
    return len < 2 || max == 0 || bits > max ? -1 : bits;
}

/* Read the next network of a space-separated list. Returns 1, 0 at the end, or -1 if malformed. */
static int azc__proxies_network(const char **list, azc__network *out) {
    const char *s = *list + strspn(*list, " ");
    size_t len = strcspn(s, " "), name = strcspn(s, " /");
    *list = s; /* a malformed one stays there */
    if (len == 0) return 0;
    if (!azc__proxies_address(s, name, &out->address)) return -1;
    int family = out->address.family, max = family == AF_INET ? 32 : family == AF_INET6 ? 128 : 0;
    int bits = azc__proxies_prefix(s + name, len - name, max);
    out->bits = (uint8_t)bits;
    if (bits < 0) return -1;
    *list = s + len;
    return 1;
}

static int azc__proxies_trusts(const azc_server *s, const azc__visitor *v) {
    for (size_t i = 0; i < s->trusted_count; i++) {
        const azc__visitor *net = &s->trusted[i].address;
        size_t whole = s->trusted[i].bits / 8u, bits = s->trusted[i].bits % 8u;
        if (net->family == v->family && memcmp(net->raw, v->raw, whole) == 0 &&
            (bits == 0 || (net->raw[whole] ^ v->raw[whole]) >> (8 - bits) == 0)) return 1;
    }
    return 0;
}

/* The element before *end in the fields of this name, taken as one list; NULL before the first.
 * Begin with *field of field_count and *end of NULL; *end then points into fields[*field]. */
static const char *azc__proxies_before(const azc__request *r, const char *name, int *field,
                                       const char **end, size_t *len) {
    for (;;) {
        const char *start = *end != NULL ? r->fields[*field].value : NULL, *item;
        while (*end != start && strchr(" \t,", (*end)[-1]) != NULL) --*end;
        for (item = *end; item != start && item[-1] != ','; item--) continue;
        if (item != *end) {
            const char *last = *end;
            *end = item;
            item += strspn(item, " \t");
            *len = (size_t)(last - item);
            return item;
        }
        do if (--*field < 0) return NULL;
        while (!azc__is_nocase(name, strlen(name), r->fields[*field].name));
        *end = r->fields[*field].value + strlen(r->fields[*field].value);
    }
}

static const char *azc__proxies_last(const azc__request *r, const char *name, size_t *len) {
    int field = r->field_count;
    const char *end = NULL;
    return azc__proxies_before(r, name, &field, &end, len);
}

/* Is this a ':' and the digits of a port, or nothing? */
static int azc__proxies_port(const char *s, size_t len) {
    for (size_t i = 1; i < len; i++) {
        if (!azc__digit(s[i])) return 0;
    }
    return len == 0 || (*s == ':' && len > 1 && len < 7);
}

/* Read an element of X-Forwarded-For: an IP address; perhaps with a port, and then IPv6 must be in
 * brackets; perhaps all in quotes. Returns 0 for anything else. */
static int azc__proxies_node(const char *s, size_t len, azc__visitor *out) {
    if (len > 1 && *s == '"' && s[len - 1] == '"') s++, len -= 2;
    const char *close = len > 0 && *s == '[' ? (const char *)memchr(s, ']', len) : NULL;
    const char *colon = (const char *)memchr(s, ':', len);
    size_t name = len;
    if (close != NULL) {
        s++, len--;
        name = (size_t)(close - s);
        if (!azc__proxies_port(close + 1, len - name - 1)) return 0;
    } else if (colon != NULL && memchr(colon + 1, ':', len - (size_t)(colon + 1 - s)) == NULL) {
        name = (size_t)(colon - s);
        if (!azc__proxies_port(colon, len - name)) return 0;
    }
    if (close != NULL && memchr(s, ':', name) == NULL) return 0; /* IPv4 has no brackets */
    return azc__proxies_address(s, name, out) && out->family != 0;
}

/* Each proxy appends the address of its own peer to X-Forwarded-For. So the visitor is the last
 * address that is no trusted proxy's; if all are, the first. Elements before it may be forged, and
 * an element that is no address hides what is before it. */
static void azc__proxies_visitor(const azc_server *s, azc__request *r) {
    azc__visitor next;
    int field = r->field_count;
    const char *item, *end = NULL;
    size_t len;
    while ((item = azc__proxies_before(r, "X-Forwarded-For", &field, &end, &len)) != NULL) {
        if (!azc__proxies_node(item, len, &next)) return;
        r->visitor = next;
        if (!azc__proxies_trusts(s, &next)) return;
    }
}

/* Of host and scheme the last element counts. A malformed host matches no origin. */
static void azc__proxies_forwarded(const azc_server *s, azc__request *r) {
    size_t len;
    r->proxied = azc__proxies_trusts(s, &r->visitor) != 0;
    if (!r->proxied) return;
    azc__proxies_visitor(s, r);
    const char *host = azc__proxies_last(r, "X-Forwarded-Host", &len);
    if (host != NULL) {
        r->host = host;
        r->host_len = azc__http_authority(host, len) ? len : 0;
    }
    const char *name = azc__proxies_last(r, "X-Forwarded-Proto", &len);
    int scheme = name != NULL ? azc__http_scheme(name, len) : 0;
    if (scheme != 0) r->scheme = scheme % 2 == 0 ? 's' : 'p';
}

static const azc__proxies_join azc__proxies_functions = {azc__proxies_forwarded,
                                                         azc__proxies_trusts};

AZC_API int azc_trust_proxies(azc_server *server, const char *proxies) {
    azc__network net, *nets = NULL;
    size_t count = 0;
    const char *at = proxies;
    int more = -1;
    if (server == NULL) return AZC_ERR_ARGUMENT;
    while (at != NULL && (more = azc__proxies_network(&at, &net)) > 0) count++;
    if (more < 0)
        return azc__setup_failed(server, azc__mistake(
            server, AZC_ERR_ARGUMENT, "azc_trust_proxies: \"%.60s\": must be addresses or networks "
            "like 10.0.0.0/8, or unix, separated by spaces", at != NULL ? at : "NULL"));
    if (server->listening) return azc__setup_late(server, "azc_trust_proxies");
    if (count > 0) {
        nets = (azc__network *)azc__alloc(&server->mem, count * sizeof *nets);
        if (nets == NULL)
            return azc__setup_failed(server, azc__error_memory(server, "azc_trust_proxies"));
        for (size_t i = 0; i < count; i++) azc__proxies_network(&proxies, &nets[i]);
    }
    azc__free(&server->mem, server->trusted, server->trusted_count * sizeof *nets);
    server->trusted = nets;
    server->trusted_count = count;
    server->proxies = &azc__proxies_functions;
    return AZC_OK;
}

/* ==== [32] PROCESSES: the seam to a message broker ============================================ */

AZC_API int azc_on_publish(azc_channel *channel, azc_publish_callback on_publish) {
    int error = azc__channel_check(channel, "azc_on_publish");
    if (error == AZC_OK) channel->on_publish = on_publish;
    return error;
}

/* A room knows whether to notify from the moment it is made, and azc_set_history may have made some
 * before this. */
AZC_API int azc_on_room(azc_channel *channel, azc_room_callback on_room) {
    int error = azc__channel_check(channel, "azc_on_room");
    if (error != AZC_OK) return error;
    azc_server *s = channel->server;
    s->news = &azc__news_functions;
    channel->on_room = on_room;
    for (size_t i = 0; i < s->room_cap; i++) {
        for (azc__room *room = s->rooms[i]; room != NULL; room = room->chain)
            if (room->channel == channel && *azc__room_name(room) != 0)
                room->notify = on_room != NULL;
    }
    return AZC_OK;
}

AZC_API int azc_deliver(azc_channel *channel, const char *room, const void *data, size_t len,
                        int binary) {
    if (channel == NULL) return AZC_ERR_ARGUMENT;
    azc__payload payload = {binary ? AZC__OP_BINARY : AZC__OP_TEXT, (const char *)data, len, 0,
                            "azc_deliver"};
    int count = azc__broadcast_local(channel, room, &payload, NULL);
    return count < 0 ? count : AZC_OK;
}

/* ==== [33] CLIENT: the page's script, and the server's side of its convention ================= */

/* BEGIN azchan.js: made by `make pages` from examples/pages/azchan.js. Edit that, not this. */
#define AZC__CLIENT_TAG "\"58e39f06646eefa1\""
enum { AZC__CLIENT_LEN = 4556 };
static const char *const azc__client_script[] = {
    "globalThis.AzChannel = function AzChannel(path, options = {}) {\n"
    "const channel = this, page = globalThis;\n"
    "let { least = 1000, most = 30000, limit = 100, final = [] } = options;\n"
    "const handlers = new Map(), asked = new Map(), rooms = new Map(), places = new Map();\n"
    "const stop = new AbortController();\n"
    "let socket = 0;\n"
    "let timer;\n"
    "let waiting = [];\n"
    "let failures = 0, last = 0, opened, state, pingMs, pongMs;\n"
    "let from, at, left = 0;\n"
    "const after = (ms, fn) => {\n"
    "clearTimeout(timer);\n"
    "timer = ms && setTimeout(fn, ms);\n"
    "};\n"
    "const emit = (type, value) => {\n"
    "handlers.get(type)?.forEach((fn) => {\n"
    "try { fn(value); } catch (error) { console.error(error); }\n"
    "});\n"
    "};\n"
    "const become = (name, { code, reason } = {}, more) => {\n"
    "emit(':state', { state: channel.state = state = name, code, reason, ...more });\n"
    "};\n"
    "channel.send = (data, { queue } = {}) => {\n"
    "if (/ (Object|Array)]/.test({}.toString.call(data))) data = JSON.stringify(data);\n"
    "if (state === 'open') return socket.send(data), true;\n"
    "return queue && waiting.length < limit && waiting.push(data);\n"
    "};\n"
    "channel.request = (message, { timeout = 10000 } = {}) => new Promise((resolve, reject) => {\n"
    "const ref = ++last, settle = (code, reply) => {\n"
    "asked.delete(ref);\n"
    "clearTimeout(late);\n"
    "if (code) reject(Object.assign(new Error(code), { code }, reply));\n"
    "else resolve(reply);\n"
    "}, late = setTimeout(settle, timeout, 'TIMEOUT');\n"
    "asked.set(ref, settle);\n"
    "if (!channel.send({ ...message, ref })) settle('CLOSED');\n"
    "});\n"
    "const take = (message) => {\n"
    "const { type, ref, room, all, add = [], remove = [] } = message ?\? {};\n"
    "const settle = asked.get(ref);\n"
    "if (settle) return settle(type === 'error' && (message.code || type), message);\n"
    "if (type === ':hello') ({ ping_ms: pingMs, pong_ms: pongMs } = message);\n"
    "if (type === ':room') places.set(message.id, message);\n"
    "if (type === ':gap') return lost();\n"
    "if (type === ':users') {\n"
    "const list = new Set([...all || channel.users(room), ...add]);\n"
    "remove.forEach((user) => list.delete(user));\n"
    "rooms.set(room, list);\n"
    "}\n"
    "if (!/^:/.test(type)) emit(':message', message);\n"
    "emit(type, message);\n"
    "};\n"
    "const receive = (data) => {\n"
    "let message = data;\n"
    "try { message = JSON.parse(data); } catch { }\n"
    "if (message?.[':at']) return [from, at, left] = message[':at'];\n"
    "if (left-- > 0) places.get(from).serial = at++;\n"
    "if (typeof data !== 'string') return emit(':binary', data);\n"
    "[].concat(message).forEach(take);\n"
    "};\n"
    "const ping = () => {\n"
    "socket.send('{\"type\":\":ping\"}');\n"
    "after(pongMs, lost);\n"
    "};\n"
    "const end = (name, event, more) => {\n"
    "socket = 0;\n"
    "become(name, event, more);\n"
    "asked.forEach((settle) => settle('CLOSED'));\n"
    "};\n"
    "const finish = (event) => {\n"
    "after();\n"
    "stop.abort();\n"
    "waiting = [];\n"
    "limit = 0;\n"
    "end('closed', event);\n"
    "};\n"
    "const lost = (event = {}) => {\n"
    "socket.close?.();\n"
    "if (opened && Date.now() - opened > 5000) failures = 0;\n"
    "if ([1008, ...final].includes(event.code)) return finish(event);\n"
    "const bound = Math.min(most, least * 2 ** failures++), pause = Math.random() * bound;\n"
    "after(pause + 1, connect);\n"
    "end(page.navigator?.onLine === false ? 'offline' : 'waiting', event,\n"
    "{ seconds: Math.ceil(pause / 1000), longest: bound === most });\n"
    "};\n"
    "const connect = async () => {\n"
    "let mine = socket = {};\n"
    "opened = pingMs = 0;\n"
    "const current = (fn) => (event) => socket === mine && fn(event);\n"
    "after(15000, lost);\n"
    "become('connecting');\n"
    "try {\n"
    "const url = new URL(path, page.location), query = url.searchParams;\n"
    "const token = await options.token?.();\n"
    "if (socket !== mine) return;\n"
    "query.set('azchan', 1);\n"
    "query.set('since', [...places.values()].map((one) => [one.epoch, one.serial]));\n"
    "if (token) query.set('token', token);\n"
    "mine = socket = new (options.WebSocket || WebSocket)(\n"
    "`${url}`.replace(/^http/, 'ws'), options.protocols);\n"
    "mine.binaryType = 'arraybuffer';\n"
    "mine.onopen = current(() => {\n"
    "opened = Date.now();\n"
    "after();\n"
    "waiting.splice(0).forEach((data) => mine.send(data));\n"
    "become('open');\n"
    "});\n"
    "mine.onmessage = current(({ data }) => {\n"
    "receive(data);\n"
    "if (socket === mine) after(pingMs, ping);\n"
    "});\n"
    "mine.onclose = current(lost);\n"
    "mine.onerror = () => {};\n"
    "} catch (error) {\n",
    "current(lost)({ reason: `${error}` });\n"
    "}\n"
    "};\n"
    "const wake = () => {\n"
    "if (!socket) connect();\n"
    "else if (pingMs) ping();\n"
    "};\n"
    "page.addEventListener?.('online', wake, stop);\n"
    "page.document?.addEventListener('visibilitychange', () => document.hidden || wake(), stop);\n"
    "channel.on = (type, fn) => handlers.set(type, (handlers.get(type) || new Set()).add(fn));\n"
    "channel.off = (type, fn) => handlers.get(type)?.delete(fn);\n"
    "channel.users = (room) => [...rooms.get(room) || []];\n"
    "channel.close = (code, reason) => {\n"
    "socket.close?.(code, reason);\n"
    "finish({ code, reason });\n"
    "};\n"
    "after(1, connect);\n"
    "};\n"};
/* END azchan.js */

/* Answer with a script of so many parts, unless the browser has it. */
static int azc__script_serve(azc_conn *conn, const char *tag, const char *const *parts,
                             size_t count) {
    azc__request *r = &conn->server->request;
    char body[AZC__CLIENT_LEN + 1], *end = body; /* azlive.js is shorter */
    azc__respond_tag(r, tag);
    if (azc__http_knows(r, tag)) return azc_reply(conn, 304, NULL, NULL, 0);
    for (size_t i = 0; i < count; i++) end = stpcpy(end, parts[i]);
    return azc_reply(conn, 200, "text/javascript; charset=utf-8", body, (size_t)(end - body));
}

static int azc__client_serve(azc_conn *conn, void *userdata) {
    (void)userdata;
    return azc__script_serve(conn, AZC__CLIENT_TAG, azc__client_script,
                             sizeof azc__client_script / sizeof *azc__client_script);
}

/* Returns 1 if this is not for on_message. */
static int azc__client_take(azc_conn *conn, const char *text, size_t len) {
    static const char ping[] = "{\"type\":\":ping\"}";
    conn->server->asked = text;
    conn->server->asked_len = len;
    if (len != sizeof ping - 1 || memcmp(text, ping, len) != 0) return 0;
    azc_send_text(conn, "{\"type\":\":pong\"}", AZC_NUL);
    return 1;
}

/* The on_message of a channel to which a peer has come with conn.client. */
static int azc__client_message(azc_conn *conn, const char *text, size_t len) {
    const azc_channel *channel = conn->channel;
    if (conn->client && azc__client_take(conn, text, len)) return AZC_OK;
    if (channel->on_text != NULL) return channel->on_text(conn, text, len);
    azc__conn_untaken(conn, AZC__OP_TEXT);
    return AZC_OK;
}

static void azc__client_wrap(azc_channel *channel) {
    if (channel->desc.on_message == azc__client_message) return;
    channel->on_text = channel->desc.on_message;
    channel->desc.on_message = azc__client_message;
}

static void azc__client_greet(azc_conn *conn) {
    const azc_config *config = &conn->server->config;
    const char *version = azc_query(conn, "azchan");
    int beats = conn->channel->parts == NULL && config->ping_ms > 0 && config->pong_ms > 0;
    char buf[80];
    if (version == NULL || strcmp(version, "1") != 0) return;
    conn->client = conn->arriving = 1;
    azc__client_wrap(conn->channel);
    azc_writer w = azc_put_begin(buf, sizeof buf);
    azc_put_string(&w, "type", ":hello");
    azc_put_int(&w, "ping_ms", beats ? config->ping_ms : 0);
    azc_put_int(&w, "pong_ms", beats ? config->pong_ms : 0);
    azc_send_json(conn, &w);
}

/* Send the error; if on_message failed, with the ref of the message, which is the newest one. */
static void azc__client_error(azc_conn *conn, const char *name, const char *json) {
    const azc_server *s = conn->server;
    azc_json error, asked, ref;
    char buf[160];
    memset(&ref, 0, sizeof ref);
    if (strcmp(name, "on_message") == 0 && azc_json_read(&asked, s->asked, s->asked_len) == AZC_OK)
        ref = azc_json_get(asked, "ref");
    azc_json_read(&error, json, AZC_NUL);
    azc_writer w = azc_put_begin(buf, sizeof buf);
    azc_put_string(&w, "type", "error");
    azc_put_json(&w, "code", azc_json_get(error, "code"));
    if ((ref.type == AZC_JSON_NUMBER || ref.type == AZC_JSON_STRING) && ref.len <= 64)
        azc_put_json(&w, "ref", ref);
    azc_send_json(conn, &w);
}

/* ---- Presence ---- */

enum { AZC__USER_JSON = 6 * AZC__MAX_ROOM + 4 }; /* a name at most, all of it escaped */

static azc_writer azc__users_begin(char *buf, size_t size, const char *room, const char *change) {
    azc_writer w = azc_put_begin(buf, size);
    azc_put_string(&w, "type", ":users");
    azc_put_string(&w, "room", room);
    azc_put_array(&w, change);
    return w;
}

AZC_API int azc_send_users(azc_conn *conn, const char *room) {
    char buf[4 * AZC__USER_JSON];
    if (conn == NULL) return AZC_ERR_ARGUMENT;
    const char *change = "all";
    azc_cursor c = azc_users(conn->channel, room);
    int more = azc_cursor_next(&c), error;
    do {
        azc_writer w = azc__users_begin(buf, sizeof buf, room, change);
        for (; more && w.len + AZC__USER_JSON + 8 < sizeof buf; more = azc_cursor_next(&c))
            azc_put_string(&w, NULL, c.user);
        azc_put_end(&w);
        error = azc_send_json(conn, &w);
        change = "add";
    } while (more && error == AZC_OK);
    return error;
}

AZC_API void azc_send_presence(azc_channel *channel, const char *room, const char *user,
                               int present) {
    char buf[3 * AZC__USER_JSON];
    azc_writer w = azc__users_begin(buf, sizeof buf, room, present ? "add" : "remove");
    azc_put_string(&w, NULL, user);
    azc_put_end(&w);
    if (azc_put_finish(&w) != AZC_OK) return;
    azc_cursor c = azc_members(channel, room);
    while (azc_cursor_next(&c)) azc_send_text(c.conn, w.text, w.len);
}

/* ==== [34] RECOVERY: what a peer missed of a room with a history ============================== */

static uint64_t azc__recovery_user(const azc_conn *conn) {
    const char *name = azc_user(conn);
    return name == NULL ? 0 : azc__sip_wide(conn->server->seed, name, strlen(name)) | 1;
}

/* Find the serial that follows this epoch in "epoch,serial,epoch,serial". since may be NULL. */
static int azc__recovery_since(const char *since, uint64_t epoch, uint64_t *serial) {
    char *end;
    for (; since != NULL; since = *end == ',' ? end + 1 : NULL) {
        uint64_t each = strtoull(since, &end, 16);
        if (*end != ',') return 0;
        *serial = strtoull(end + 1, &end, 10);
        if (each == epoch) return 1;
    }
    return 0;
}

/* ---- Messages to the peer ---- */

/* count messages follow that are numbered from serial on. */
static size_t azc__recovery_mark(char out[80], const azc__history *h, uint64_t serial,
                                 size_t count) {
    return (size_t)snprintf(out, 80, "{\":at\":[%lu,%llu,%zu]}", (unsigned long)h->id,
                            (unsigned long long)serial, count);
}

static int azc__recovery_queue(azc__mem *mem, azc__out *out, const char *text, size_t len) {
    unsigned char head[AZC__MAX_HEAD];
    size_t head_len = azc__frame_write(head, AZC__OP_TEXT, len);
    if (!azc__out_reserve(mem, out, head_len + len)) return 0;
    azc__out_write(out, head, head_len);
    azc__out_write(out, text, len);
    return 1;
}

/* The peer has all up to serial, or (fresh) must forget what it has. */
static int azc__recovery_queue_room(azc__mem *mem, azc__out *out, const azc__room *room,
                                    uint64_t serial, int fresh) {
    const azc__history *h = room->keeps.history;
    char buf[6 * AZC__MAX_ROOM + 160], epoch[20];
    snprintf(epoch, sizeof epoch, "%llx", (unsigned long long)h->epoch);
    azc_writer w = azc_put_begin(buf, sizeof buf);
    azc_put_string(&w, "type", ":room");
    azc_put_string(&w, "room", azc__room_name(room));
    azc_put_uint(&w, "id", h->id);
    azc_put_string(&w, "epoch", epoch);
    azc_put_uint(&w, "serial", serial);
    azc_put_bool(&w, "fresh", fresh);
    azc_put_finish(&w);
    return azc__recovery_queue(mem, out, w.text, w.len);
}

/* Name the history, for its first peer with conn.client. The members that joined the room before it
 * had a history are told too. Returns 0 if the room cannot be named in JSON: then its messages are
 * not numbered. */
static int azc__recovery_begin(azc_server *s, const azc__room *room) {
    azc__history *h = room->keeps.history;
    if (!azc__utf8_valid(azc__room_name(room), room->len)) return 0;
    s->histories += s->histories < UINT32_MAX ? 1 : 2; /* 0 is no id */
    h->id = s->histories;
    h->epoch = (uint64_t)time(NULL) << 32 | s->seed[0]; /* if there are no random bytes */
    (void)azc__server_random(&h->epoch, sizeof h->epoch, 0);
    for (const azc__member *m = room->first; m != NULL; m = m->next) {
        if (!m->conn->client || m->conn->state != AZC__OPEN) continue;
        if (!azc__recovery_queue_room(&s->mem, &m->conn->out, room, h->serial, 0))
            azc__conn_drop(m->conn);
        azc__conn_touch(m->conn);
    }
    return 1;
}

static int azc__recovery_skips(const azc__kept *kept, uint64_t user, int fresh) {
    return kept->except == AZC__RETURNING ? !fresh : user != 0 && kept->except == user;
}

/* Queue a :room, and what the peer missed, or all that is kept: runs of messages, each behind its
 * mark, without those that excepted this user. Returns the messages, or -1 without memory. */
static int azc__recovery_replay(azc_conn *conn, const azc__room *room, azc__out *replay) {
    azc_server *s = conn->server;
    azc__history *h = room->keeps.history;
    const char *since = s->since == NULL && conn->arriving ? azc_query(conn, "since") : s->since;
    uint64_t serial = 0, user = azc__recovery_user(conn);
    if (h->id == 0 && !azc__recovery_begin(s, room)) return azc__history_replay(conn, room, replay);
    int fresh = !azc__recovery_since(since, h->epoch, &serial) ||
                h->serial - serial > h->count; /* or serial is of the future */
    size_t i = fresh ? 0 : h->count - (size_t)(h->serial - serial);
    int count = 0;
    serial = h->serial - (h->count - i);
    if (!azc__recovery_queue_room(&s->mem, replay, room, serial, fresh)) return -1;
    for (size_t end = i; i < h->count; serial += end + 1 - i, i = ++end) {
        char mark[80];
        while (end < h->count && !azc__recovery_skips(azc__history_at(h, end), user, fresh)) end++;
        size_t len = end > i ? azc__recovery_mark(mark, h, serial + 1, end - i) : 0;
        if (len > 0 && !azc__recovery_queue(&s->mem, replay, mark, len)) return -1;
        for (size_t k = i; k < end; k++, count++)
            if (!azc__history_queue(&s->mem, replay, azc__history_at(h, k)->block)) return -1;
    }
    return count;
}

/* Queue a message behind its mark. A peer that is refused one gets no later one: a :gap tells it to
 * come back for what it misses. */
static int azc__recovery_cast(azc_conn *conn, azc__cast *cast, azc__cast *mark) {
    size_t size = mark->size + (cast->block != NULL ? cast->block->len : cast->size);
    if (conn->state != AZC__OPEN) return 0;
    if (conn->gap || azc__backlog_full(conn, size)) {
        azc__backlog_overflow(conn, size);
        if (!conn->gap) conn->gap = conn->drain = 1;
        return 0;
    }
    if (azc__broadcast_one(conn, mark) && azc__broadcast_one(conn, cast)) return 1;
    azc__conn_drop(conn); /* without memory */
    return 0;
}

static int azc__recovery_broadcast(azc_server *s, const azc__room *room, azc__cast *cast,
                                   const azc_conn *except) {
    const azc__history *h = room->keeps.history;
    char text[80];
    azc__payload p = {AZC__OP_TEXT, text, azc__recovery_mark(text, h, h->serial, 1), 0,
                      cast->payload->call};
    azc__cast mark = azc__cast_make(s, &p);
    int count = 0;
    azc__cast_write(s, &mark, room->count);
    azc__cast_write(s, cast, room->count);
    for (const azc__member *m = room->first; m != NULL; m = m->next) {
        if (m->conn == except) continue;
        count += m->conn->client ? azc__recovery_cast(m->conn, cast, &mark)
                                 : azc__broadcast_one(m->conn, cast);
    }
    azc__cast_end(s, cast);
    azc__cast_end(s, &mark);
    return count;
}

static void azc__recovery_drained(azc_conn *conn) {
    conn->gap = 2;
    azc_send_text(conn, "{\"type\":\":gap\"}", AZC_NUL);
}

AZC_API int azc_join_since(azc_conn *conn, const char *room, const char *since) {
    if (conn == NULL) return AZC_ERR_ARGUMENT;
    conn->server->since = since != NULL ? since : "";
    int error = azc_join(conn, room);
    conn->server->since = NULL;
    return error;
}

/* ---- The client's functions ---- */

static const azc__client_join azc__client_functions = {
    azc__client_greet, azc__client_error,
    azc__recovery_replay, azc__recovery_broadcast, azc__recovery_user, azc__recovery_drained};

AZC_API int azc_add_client(azc_server *server, const char *path) {
    azc__page page;
    memset(&page, 0, sizeof page);
    page.handler = azc__client_serve;
    if (server != NULL && !server->listening) server->client = &azc__client_functions;
    return azc__page_add(server, path, &page, 1, "azc_add_client");
}

/* ==== [35] LIVE: components that the server renders, and their script ========================= */

/* BEGIN azlive.js: made by `make pages` from examples/pages/azlive.js. Edit that, not this. */
#define AZC__LIVE_TAG "\"d51125a37a2fba7\""
enum { AZC__LIVE_LEN = 3258 };
static const char *const azc__live_script[] = {
    "globalThis.AzLive = function AzLive(channel, root = document) {\n"
    "const key = crypto.getRandomValues(new Uint32Array(4)).join('-');\n"
    "const name_of = (one) => one.getAttribute('live'), id_of = (one) => one.id || name_of(one);\n"
    "const focused = () => document.activeElement;\n"
    "let mounted = new Map();\n"
    "const send = (type, id, more) => channel.send({ type, id, ...more });\n"
    "const scan = () => {\n"
    "if (channel.state !== 'open') return;\n"
    "const before = mounted;\n"
    "mounted = new Map([...root.querySelectorAll('[live]')].map((one) => [id_of(one), one]));\n"
    "before.forEach((one, id) => mounted.has(id) || send(':unmount', id));\n"
    "mounted.forEach((one, id) => before.get(id) === one ||\n"
    "send(':mount', id, { name: name_of(one), key, args: { ...one.dataset } }));\n"
    "};\n"
    "const listen = (name, value, type = name) => root.addEventListener(type, (event) => {\n"
    "const one = event.target.closest?.(`[live-${name}]`), home = one?.closest('[live]');\n"
    "if (!home) return;\n"
    "const [word, ...keys] = one.getAttribute(`live-${name}`).split(' ');\n"
    "if (name === 'key' && (event.isComposing || keys[0] && !keys.includes(event.key))) return;\n"
    "if (name === 'submit') event.preventDefault();\n"
    "const sent = send(':event', id_of(home), { event: word, value: value(one, event) });\n"
    "if (sent && name === 'submit') one.reset();\n"
    "});\n"
    "listen('click', (one) => one.value);\n"
    "listen('input', (one, { target }) => (\n"
    "target.type === 'checkbox' ? target.checked : target.value));\n"
    "listen('submit', (one) => Object.fromEntries(new FormData(one)));\n"
    "listen('key', (one, event) => event.key, 'keydown');\n"
    "const morph = (old, fresh) => {\n"
    "const copy = (name) => { if (old[name] !== fresh[name]) old[name] = fresh[name]; };\n"
    "if (old.nodeName !== fresh.nodeName) return old.replaceWith(fresh);\n"
    "if (!fresh.attributes) return copy('data');\n"
    "for (const { name } of [...old.attributes]) {\n"
    "if (!fresh.hasAttribute(name)) old.removeAttribute(name);\n"
    "}\n"
    "for (const { name, value } of fresh.attributes) {\n"
    "if (old.getAttribute(name) !== value) old.setAttribute(name, value);\n"
    "}\n"
    "if (name_of(old)) return;\n"
    "inside(old, fresh);\n"
    "copy('checked');\n"
    "if (old !== focused()) copy('value');\n"
    "};\n"
    "const inside = (old, fresh) => {\n"
    "const ids = by_id(old), kept = by_id(fresh);\n"
    "let at = old.firstChild;\n"
    "const pass = (keep) => {\n"
    "const one = at;\n"
    "at = at.nextSibling;\n"
    "if (keep) old.append(one);\n"
    "else one.remove();\n"
    "};\n"
    "for (const node of [...fresh.childNodes]) {\n"
    "const same = ids.get(node.id || 0);\n"
    "while (at && at !== same && (at.id ? !kept.has(at.id) : same)) pass();\n"
    "if (same?.contains(focused())) while (at && at !== same) pass(true);\n"
    "const match = node.id ? same : at && !at.id && at.nodeName === node.nodeName && at;\n"
    "if (match && match === at) at = at.nextSibling;\n"
    "else old.insertBefore(match || node, at);\n"
    "if (match) morph(match, node);\n"
    "}\n"
    "while (at) pass();\n"
    "};\n"
    "const by_id = ({ children }) => new Map([...children].map((one) => [one.id, one]));\n"
    "channel.on(':html', ({ id, html }) => {\n"
    "const one = mounted.get(id), box = document.createElement('template');\n"
    "const before = focused();\n"
    "box.innerHTML = html;\n"
    "if (!one) return;\n"
    "inside(one, box.content);\n"
    "if (!before.isConnected) one.querySelector('[autofocus]')?.focus();\n"
    "});\n"
    "channel.on(':state', () => {\n"
    "mounted = new Map();\n"
    "scan();\n"
    "});\n"
    "new MutationObserver(scan).observe(root, { childList: true, subtree: true });\n"
    "scan();\n"
    "};\n"};
/* END azlive.js */

/* It fits into the body of azc__script_serve. */
enum { AZC__LIVE_FITS = 1 / ((int)AZC__LIVE_LEN <= (int)AZC__CLIENT_LEN) };

static int azc__live_serve(azc_conn *conn, void *userdata) {
    (void)userdata;
    return azc__script_serve(conn, AZC__LIVE_TAG, azc__live_script,
                             sizeof azc__live_script / sizeof *azc__live_script);
}

AZC_API int azc_add_live_script(azc_server *server, const char *path) {
    azc__page page;
    memset(&page, 0, sizeof page);
    page.handler = azc__live_serve;
    return azc__page_add(server, path, &page, 1, "azc_add_live_script");
}

/* ---- HTML: the inside of a JSON string, in a buffer that grows ---- */

/* Returns 0 at the limit, and without memory. */
static int azc__html_grow(azc_html *html) {
    azc_writer *w = &html->writer;
    size_t size = w->azc__size, more = azc__min(size > 0 ? 2 * size : 4096, html->max);
    if (size == html->max) return 0;
    char *text = (char *)html->mem->alloc(html->mem->userdata, w->text, size, more);
    if (text == NULL) w->azc__failed = AZC_ERR_MEMORY;
    if (text == NULL) return 0;
    w->text = text;
    w->azc__size = more;
    return 1;
}

static void azc__html_add(azc_html *html, const char *s, size_t len) {
    azc_writer *w = &html->writer;
    size_t before = w->len;
    if (!azc__utf8_valid(s, len)) azc__put_error(w, AZC_ERR_UTF8);
    while (azc__put_inside(w, s, len), w->azc__failed == AZC_ERR_FULL && azc__html_grow(html)) {
        w->azc__failed = AZC_OK;
        w->len = before;
    }
}

static void azc__html_escape(azc_html *html, const char *s) {
    while (*s) {
        size_t plain = strcspn(s, "&<>\"'");
        const char *name = *s == '&' ? "&amp;" : *s == '<' ? "&lt;" : *s == '>' ? "&gt;"
                         : *s == '"' ? "&quot;" : "&#39;";
        azc__html_add(html, plain > 0 ? s : name, plain > 0 ? plain : strlen(name));
        s += plain > 0 ? plain : 1;
    }
}

static void azc__html_integer(azc_html *html, long long n) {
    char digits[24];
    azc__html_add(html, digits, (size_t)snprintf(digits, sizeof digits, "%lld", n));
}

AZC_API void azc_html_put(azc_html *html, const char *markup) {
    if (html != NULL && markup != NULL) azc__html_add(html, markup, strlen(markup));
}

AZC_API void azc_html_format(azc_html *html, const char *pattern, ...) {
    va_list values;
    const char *text;
    if (html == NULL || pattern == NULL) return;
    va_start(values, pattern);
    for (const char *at; (at = strchr(pattern, '%')) != NULL; pattern = at + 1) {
        azc__html_add(html, pattern, (size_t)(at - pattern));
        size_t longs = strspn(++at, "l");
        at += longs;
        if (*at == 'd' && longs <= 2) {
            azc__html_integer(html, longs == 0   ? va_arg(values, int)
                                    : longs == 1 ? va_arg(values, long)
                                                 : va_arg(values, long long));
        } else if (*at == '%' && longs == 0) {
            azc__html_add(html, at, 1);
        } else if (*at == 's' && longs == 0) {
            if ((text = va_arg(values, const char *)) != NULL) azc__html_escape(html, text);
        } else {
            azc__put_error(&html->writer, AZC_ERR_ARGUMENT);
            break;
        }
    }
    azc__html_add(html, pattern, strlen(pattern));
    va_end(values);
}

/* ---- Rendering ---- */

static int azc__live_error(azc_live *live, int error) {
    azc_server *s = live->channel->server;
    const azc__lives *lives = live->channel->lives;
    const char *name = live->kind->desc.name;
    if (error == AZC_ERR_FULL)
        return azc__mistake(s, error, "the HTML of live \"%s\" is over %zu bytes, half of "
                            "max_backlog: render less, or raise that", name, lives->html.max);
    return azc__mistake(s, error, "the HTML of live \"%s\": %s%s", name, azc_strerror(error),
                        error == AZC_ERR_ARGUMENT ? ": azc_html_format takes %s, %d, %ld, %lld "
                                                    "and %%" : "");
}

/* Make the message. Returns the error of the HTML. */
static int azc__live_render(azc_live *live, azc_html *html) {
    azc_writer *w = &html->writer;
    if (w->azc__size == 0 && !azc__html_grow(html)) return AZC_ERR_MEMORY;
    *w = azc_put_begin(w->text, w->azc__size);
    azc_put_string(w, "type", ":html");
    azc_put_string(w, "id", live->names + strlen(live->names) + 1);
    azc__put_raw(w, ",\"html\":\"", 9);
    html->rendering = 1;
    live->kind->desc.on_render(live, html);
    html->rendering = 0;
    if (w->azc__failed == 0 && w->azc__size - w->len < 3) azc__html_grow(html);
    azc__put_char(w, '"');
    return azc_put_finish(w);
}

AZC_API int azc_live_refresh(azc_live *live) {
    if (live == NULL) return AZC_ERR_ARGUMENT;
    azc_conn *conn = live->conn;
    azc_server *s = live->channel->server;
    azc_html *html = &live->channel->lives->html;
    if (html->rendering)
        return azc__mistake(s, AZC_ERR_STATE, "azc_live_refresh: not in on_render");
    if (conn == NULL || conn->state != AZC__OPEN) return AZC_OK;
    int error = azc__live_render(live, html);
    if (error != AZC_OK) return azc__live_error(live, error);
    uint64_t hash = azc__sip_wide(s->seed, html->writer.text, html->writer.len) | 1;
    if (hash == live->sent) return AZC_OK;
    azc_message m;
    memset(&m, 0, sizeof m);
    m.to = conn;
    m.key = live->hash | 1; /* of several that wait for the page, only the newest is sent */
    m.text = html->writer.text;
    m.len = html->writer.len;
    error = azc_send(live->channel, &m);
    if (error == AZC_OK) live->sent = hash;
    if (error != AZC_ERR_FULL) return error;
    azc_close(conn, 1013, "the page is too slow"); /* if when_full has not */
    return AZC_OK;
}

static azc__live_kind *azc__live_kind_of(const azc__lives *lives, const char *name) {
    azc__live_kind *kind = lives->kinds;
    while (kind != NULL && strcmp(kind->desc.name, name) != 0) kind = kind->next;
    return kind;
}

/* A rendering changes no list. */
AZC_API int azc_live_refresh_all(azc_channel *channel, const char *name) {
    if (channel == NULL) return AZC_ERR_ARGUMENT;
    const azc__lives *lives = channel->lives;
    const azc__live_kind *kind = NULL;
    if (lives != NULL && name != NULL) kind = azc__live_kind_of(lives, name);
    if (kind == NULL)
        return azc__mistake(channel->server, AZC_ERR_ARGUMENT, "azc_live_refresh_all: azc_add_live "
                            "has no \"%.100s\" in this channel", name != NULL ? name : "");
    int first = AZC_OK;
    for (uint32_t i = 0; i < lives->cap; i++) {
        for (azc_live *live = lives->buckets[i]; live != NULL; live = live->chain) {
            int error = live->kind == kind ? azc_live_refresh(live) : AZC_OK;
            if (first == AZC_OK) first = error;
        }
    }
    return first;
}

/* ---- Where components are ---- */

/* A connection's ring is behind its azc_data. */
static azc__live_ring *azc__live_ring_of(const azc_conn *conn) {
    return (azc__live_ring *)(void *)(conn->tail + conn->channel->data_size -
                                      azc__align(sizeof(azc__live_ring)));
}

static void azc__live_link(azc__live_ring *ring, azc_live *live) {
    if (ring->count++ == 0) ring->first = live->next = live->prev = live;
    live->next = ring->first;
    live->prev = ring->first->prev;
    live->prev->next = live->next->prev = live;
}

static void azc__live_unlink(azc_live *live) {
    azc__live_ring *ring =
        live->conn != NULL ? azc__live_ring_of(live->conn) : &live->kind->waiting;
    if (ring->first == live) ring->first = live->next;
    if (--ring->count == 0) ring->first = NULL;
    live->next->prev = live->prev;
    live->prev->next = live->next;
}

/* To a connection, or (NULL) to those that wait. Its page has no HTML of it then. */
static void azc__live_move(azc_live *live, azc_conn *conn) {
    azc__live_unlink(live);
    live->conn = conn;
    live->sent = 0;
    azc__live_link(conn != NULL ? azc__live_ring_of(conn) : &live->kind->waiting, live);
    if (live->timer != 0) azc_cancel(live->channel->server, live->timer);
    live->timer = 0;
}

static azc_live *azc__live_of(const azc_conn *conn, const char *id) {
    const azc__live_ring *ring = azc__live_ring_of(conn);
    azc_live *live = ring->first;
    for (int i = 0; i < ring->count; i++, live = live->next) {
        if (strcmp(live->names + strlen(live->names) + 1, id) == 0) return live;
    }
    return NULL;
}

static azc_live *azc__live_find(const azc__lives *lives, const char *names, size_t len,
                                uint64_t hash) {
    if (lives->cap == 0) return NULL;
    azc_live *live = lives->buckets[hash & (lives->cap - 1)];
    while (live != NULL && (live->names_len != len || memcmp(live->names, names, len) != 0))
        live = live->chain;
    return live;
}

/* Twice the buckets. Returns 0 without memory. */
static int azc__live_grow(azc_server *s, azc__lives *lives) {
    uint32_t cap = lives->cap > 0 ? 2 * lives->cap : 16;
    azc_live **buckets = (azc_live **)azc__zalloc(&s->mem, cap * sizeof(azc_live *));
    if (buckets == NULL) return 0;
    for (uint32_t i = 0; i < lives->cap; i++) {
        for (azc_live *live = lives->buckets[i], *next; live != NULL; live = next) {
            azc_live **at = &buckets[live->hash & (cap - 1)];
            next = live->chain;
            live->chain = *at;
            *at = live;
        }
    }
    azc__free(&s->mem, lives->buckets, lives->cap * sizeof(azc_live *));
    lives->buckets = buckets;
    lives->cap = cap;
    return 1;
}

/* ---- A component's life ---- */

static void azc__live_free(azc_live *live) {
    azc__live_unlink(live);
    azc__free(&live->channel->server->mem, live, live->size);
}

static void azc__live_end(azc_live *live) {
    azc__lives *lives = live->channel->lives;
    azc_live **at = &lives->buckets[live->hash & (lives->cap - 1)];
    while (*at != live) at = &(*at)->chain;
    *at = live->chain;
    lives->count--;
    if (live->timer != 0) azc_cancel(live->channel->server, live->timer);
    if (live->kind->desc.on_unmount != NULL) live->kind->desc.on_unmount(live);
    azc__live_free(live);
}

static void azc__live_late(azc_server *server, void *arg) {
    azc_live *live = (azc_live *)arg;
    (void)server;
    live->timer = 0;
    azc__live_end(live);
}

/* Its connection has ended. */
static void azc__live_wait(azc_live *live) {
    azc__live_kind *kind = live->kind;
    int ms = kind->desc.grace_ms;
    azc__live_move(live, NULL);
    if (ms >= 0) live->timer = azc_after(live->channel->server, ms, azc__live_late, live);
    if (live->timer == 0) azc__live_end(live);
    else if (kind->waiting.count > kind->desc.max_waiting) azc__live_end(kind->waiting.first);
}

/* Make a component of the connection. NULL without memory. */
static azc_live *azc__live_make(azc_conn *conn, azc__live_kind *kind, const char *names,
                                size_t len, uint64_t hash) {
    azc_server *s = conn->server;
    azc__lives *lives = conn->channel->lives;
    size_t data = azc__align(sizeof(azc_live)) + azc__align(kind->desc.data_size);
    if (lives->count >= lives->cap && !azc__live_grow(s, lives) && lives->cap == 0) return NULL;
    azc_live *live = (azc_live *)azc__zalloc(&s->mem, data + len);
    if (live == NULL) return NULL;
    live->kind = kind;
    live->channel = conn->channel;
    live->conn = conn;
    live->hash = hash;
    live->size = data + len;
    live->names = (char *)live + data;
    live->names_len = len;
    memcpy(live->names, names, len);
    azc__live_link(azc__live_ring_of(conn), live);
    return live;
}

/* It is in the table, and so for azc_live_refresh_all, once it is mounted. */
static int azc__live_begin(azc_live *live, azc_json args) {
    azc__lives *lives = live->channel->lives;
    int (*on_mount)(azc_live *, azc_json) = live->kind->desc.on_mount;
    int error = on_mount != NULL ? on_mount(live, args) : AZC_OK;
    if (error != AZC_OK) {
        azc__live_free(live);
        return error;
    }
    live->chain = lives->buckets[live->hash & (lives->cap - 1)];
    lives->buckets[live->hash & (lives->cap - 1)] = live;
    lives->count++;
    return azc_live_refresh(live);
}

/* ---- Messages of pages ---- */

static int azc__live_refuse(azc_conn *conn, const char *why) {
    azc__log(conn->server, conn, AZC_LOG_WARNING, "%s", why);
    return AZC_ERR_JSON;
}

/* A member of the message as a string of 1 to 64 bytes without a NUL; "" if it is no such. */
typedef char azc__live_string[AZC__MAX_LIVE + 1];
static size_t azc__live_get(azc_json in, const char *name, azc__live_string out) {
    int len = azc_json_string(azc_json_get(in, name), out, sizeof(azc__live_string));
    if (len < 0 || strlen(out) != (size_t)len) *out = 0;
    return strlen(out);
}

static int azc__live_mount(azc_conn *conn, azc_json in, const char *id) {
    char names[2 * sizeof(azc__live_string) + AZC__MAX_ROOM + 1];
    azc__live_string name, key;
    const azc__lives *lives = conn->channel->lives;
    const char *user = azc_user(conn);
    azc__live_get(in, "name", name);
    if (azc__live_get(in, "key", key) < 16)
        return azc__live_refuse(conn, "the key of a :mount must have from 16 to 64 bytes");
    azc__live_kind *kind = azc__live_kind_of(lives, name);
    if (kind == NULL)
        return azc__live_refuse(conn, "a :mount has a name that azc_add_live does not have");
    size_t len = (size_t)snprintf(names, sizeof names, "%s%c%s%c%s", key, 0, id, 0,
                                  user != NULL ? user : "") + 1;
    uint64_t hash = azc__sip_wide(conn->server->seed, names, len);
    azc_live *live = azc__live_find(lives, names, len, hash);
    if (live != NULL && live->kind != kind) {
        azc__live_end(live);
        live = NULL;
    }
    int here = live != NULL && live->conn == conn;
    if (!here && azc__live_ring_of(conn)->count >= AZC__MAX_LIVE)
        return azc__error(conn->server, AZC_ERR_FULL, "a :mount: the connection has %d components",
                          AZC__MAX_LIVE);
    if (live != NULL) {
        azc__live_move(live, conn);
        return azc_live_refresh(live);
    }
    live = azc__live_make(conn, kind, names, len, hash);
    if (live == NULL) return azc__error_memory(conn->server, "a :mount");
    return azc__live_begin(live, azc_json_get(in, "args"));
}

static int azc__live_event(azc_live *live, azc_json in) {
    azc__live_string event;
    int (*on_event)(azc_live *, const char *, azc_json) = live->kind->desc.on_event;
    if (azc__live_get(in, "event", event) == 0 || on_event == NULL)
        return azc__live_refuse(live->conn, "an :event has no name, or there is no on_event");
    int error = on_event(live, event, azc_json_get(in, "value"));
    return error == AZC_OK ? azc_live_refresh(live) : error;
}

/* The channel's on_message. */
static int azc__live_message(azc_conn *conn, const char *text, size_t len) {
    const azc__lives *lives = conn->channel->lives;
    azc__live_string type, id;
    azc_json in;
    int error = azc_json_read(&in, text, len);
    azc__live_get(in, "type", type);
    int mount = strcmp(type, ":mount") == 0, unmount = strcmp(type, ":unmount") == 0;
    if (!mount && !unmount && strcmp(type, ":event") != 0) {
        if (lives->on_message != NULL) return lives->on_message(conn, text, len);
        return error != AZC_OK ? error : azc__live_refuse(conn, "a message of an unknown type");
    }
    if (azc__live_get(in, "id", id) == 0)
        return azc__live_refuse(conn, "the id of a component must have from 1 to 64 bytes");
    if (mount) return azc__live_mount(conn, in, id);
    azc_live *live = azc__live_of(conn, id);
    if (live == NULL) return azc__live_refuse(conn, "no component of the connection has this id");
    if (!unmount) return azc__live_event(live, in);
    azc__live_end(live);
    return AZC_OK;
}

/* The channel's on_close. Other callbacks may run in here, but none that adds to the ring. */
static void azc__live_close(azc_conn *conn, int code, const char *reason) {
    azc__lives *lives = conn->channel->lives;
    azc__live_ring *ring = azc__live_ring_of(conn);
    while (ring->first != NULL) azc__live_wait(ring->first);
    if (lives->on_close != NULL) lives->on_close(conn, code, reason);
}

/* ---- Begin and end ---- */

static void azc__lives_free(azc_server *s) {
    for (const azc__route *route = s->channel_routes; route != NULL; route = route->next) {
        azc_channel *channel = (azc_channel *)route->target;
        azc__lives *lives = channel->lives;
        if (lives == NULL) continue;
        for (uint32_t i = 0; i < lives->cap; i++)
            while (lives->buckets[i] != NULL) azc__live_end(lives->buckets[i]);
        for (azc__live_kind *kind; (kind = lives->kinds) != NULL;) {
            lives->kinds = kind->next;
            azc__free(&s->mem, kind, sizeof *kind + strlen(kind->desc.name) + 1);
        }
        azc__free(&s->mem, lives->buckets, lives->cap * sizeof(azc_live *));
        azc__free(&s->mem, lives->html.writer.text, lives->html.writer.azc__size);
        azc__free(&s->mem, lives, sizeof *lives);
        channel->lives = NULL;
    }
}

/* Give the channel what it needs for components: the ring behind azc_data, and its callbacks. */
static int azc__lives_make(azc_channel *channel) {
    azc_server *s = channel->server;
    azc__lives *lives = (azc__lives *)azc__zalloc(&s->mem, sizeof *lives);
    if (lives == NULL) return 0;
    lives->html.mem = &s->mem;
    lives->html.max = s->config.max_backlog / 2;
    lives->on_message = channel->desc.on_message;
    lives->on_close = channel->desc.on_close;
    channel->desc.on_message = azc__live_message;
    channel->desc.on_close = azc__live_close;
    channel->data_size += azc__align(sizeof(azc__live_ring));
    channel->lives = lives;
    s->lives_free = azc__lives_free;
    return 1;
}

static int azc__live_kind_add(azc_channel *channel, const azc_live_desc *desc) {
    azc_server *s = channel->server;
    size_t name = strlen(desc->name) + 1;
    if (channel->lives == NULL && !azc__lives_make(channel))
        return azc__error_memory(s, "azc_add_live");
    if (azc__live_kind_of(channel->lives, desc->name) != NULL)
        return azc__mistake(s, AZC_ERR_CONFLICT, "azc_add_live: the channel has the name \"%s\"",
                            desc->name);
    azc__live_kind *kind = (azc__live_kind *)azc__zalloc(&s->mem, sizeof *kind + name);
    if (kind == NULL) return azc__error_memory(s, "azc_add_live");
    kind->desc = *desc;
    kind->desc.name = (const char *)memcpy(kind + 1, desc->name, name);
    if (desc->grace_ms == 0) kind->desc.grace_ms = 30000;
    if (desc->max_waiting == 0) kind->desc.max_waiting = s->config.max_connections;
    kind->next = channel->lives->kinds;
    channel->lives->kinds = kind;
    return AZC_OK;
}

static int azc__live_desc_check(azc_channel *channel, const azc_live_desc *desc) {
    azc_server *s = channel->server;
    if (s->listening) return azc__setup_late(s, "azc_add_live");
    if (s->fixed != NULL) return azc__error_fixed(s, "azc_add_live");
    if (channel->parts != NULL)
        return azc__mistake(s, AZC_ERR_STATE, "azc_add_live: not for a channel with azc_on_part");
    size_t len = desc != NULL && desc->name != NULL ? strlen(desc->name) : 0;
    if (len > 0 && len <= AZC__MAX_LIVE && desc->on_render != NULL && desc->max_waiting >= 0 &&
        desc->data_size <= 1 << 30) return AZC_OK;
    return azc__mistake(s, AZC_ERR_ARGUMENT, "azc_add_live: it needs a name of 1 to %d bytes and "
                        "on_render, data_size of at most 1 GiB, and max_waiting from 0 on",
                        AZC__MAX_LIVE);
}

AZC_API int azc_add_live(azc_channel *channel, const azc_live_desc *desc) {
    if (channel == NULL) return AZC_ERR_ARGUMENT;
    int error = azc__live_desc_check(channel, desc);
    if (error == AZC_OK) error = azc__live_kind_add(channel, desc);
    return error == AZC_OK ? AZC_OK : azc__setup_failed(channel->server, error);
}

AZC_API void *azc_live_data(azc_live *live) {
    if (live == NULL || live->kind->desc.data_size == 0) return NULL;
    return (unsigned char *)live + azc__align(sizeof *live);
}

AZC_API azc_channel *azc_live_channel(const azc_live *live) {
    return live == NULL ? NULL : live->channel;
}

AZC_API azc_conn *azc_live_conn(const azc_live *live) { return live == NULL ? NULL : live->conn; }


/* ==== [36] BODIES: requests with a body, whole or in parts; RFC 9112 6, 7.1, 9110 10.1.1 ====== */

/* ---- Framing; pure ---- */

/* azc__framing.state: what the next byte belongs to. */
enum {
    AZC__BODY_DONE,
    AZC__BODY_WHOLE,      /* `left` bytes of a body with a Content-Length */
    AZC__CHUNK_DATA,      /* `left` bytes of a chunk */
    AZC__CHUNK_SIZE,      /* its first digit; later ones; an extension; the LF of the line */
    AZC__CHUNK_DIGITS,
    AZC__CHUNK_EXTENSION,
    AZC__CHUNK_BEGINS,
    AZC__CHUNK_ENDS,      /* the CR behind the data; the LF */
    AZC__CHUNK_END_LF,
    AZC__TRAILER,         /* the first byte of a trailer, or the CR of the empty line at the end */
    AZC__TRAILER_NAME,
    AZC__TRAILER_VALUE,
    AZC__TRAILER_LF,
    AZC__CHUNKS_END_LF
};

/* A digit of a chunk-size, or what may follow the digits. */
static int azc__chunk_size(azc__framing *f, char c) {
    int digit = azc__hex(&c, 1);
    if (digit >= 0) {
        if (f->left >> 59 != 0) return -400;
        f->left = f->left << 4 | (unsigned)digit;
        return AZC__CHUNK_DIGITS;
    }
    if (f->state == AZC__CHUNK_SIZE) return -400;
    return c == ';' ? AZC__CHUNK_EXTENSION : c == '\r' ? AZC__CHUNK_BEGINS : -400;
}

/* Take a byte that is not data. Returns the next state, or -400: no line end but CR LF, no space
 * around a size, no folded trailer, because proxies disagree about the meaning of those. */
static int azc__chunk_byte(azc__framing *f, int c) {
    int text = azc__http_text(c), cr = c == '\r', lf = c == '\n';
    if (f->state == AZC__CHUNK_SIZE || f->state == AZC__CHUNK_ENDS) f->line = 0;
    if (f->line++ == AZC__CHUNK_LINES) return -400;
    switch (f->state) {
    case AZC__CHUNK_SIZE:
    case AZC__CHUNK_DIGITS: return azc__chunk_size(f, (char)c);
    case AZC__CHUNK_EXTENSION: return cr ? AZC__CHUNK_BEGINS : text ? AZC__CHUNK_EXTENSION : -400;
    case AZC__CHUNK_BEGINS: return !lf ? -400 : f->left > 0 ? AZC__CHUNK_DATA : AZC__TRAILER;
    case AZC__CHUNK_ENDS: return cr ? AZC__CHUNK_END_LF : -400;
    case AZC__CHUNK_END_LF: return lf ? AZC__CHUNK_SIZE : -400;
    case AZC__TRAILER:
    case AZC__TRAILER_NAME:
        if (azc__char_in(AZC__TOKEN, (char)c)) return AZC__TRAILER_NAME;
        if (f->state == AZC__TRAILER) return cr ? AZC__CHUNKS_END_LF : -400;
        return c == ':' ? AZC__TRAILER_VALUE : -400;
    case AZC__TRAILER_VALUE: return cr ? AZC__TRAILER_LF : text ? AZC__TRAILER_VALUE : -400;
    case AZC__TRAILER_LF: return lf ? AZC__TRAILER : -400;
    default: return lf ? AZC__BODY_DONE : -400;
    }
}

/* Take n bytes of a body, in place: its data come to the front of p, *len bytes of them.
 * Returns how many of the n belong to the body: all, unless it ends in them; or -400. */
static int azc__body_decode(azc__framing *f, unsigned char *p, size_t n, size_t *len) {
    size_t at = 0, out = 0;
    while (at < n && f->state != AZC__BODY_DONE) {
        if (f->state > AZC__CHUNK_DATA) {
            int state = azc__chunk_byte(f, p[at++]);
            if (state < 0) return state;
            f->state = (uint8_t)state;
            continue;
        }
        size_t part = f->left < n - at ? (size_t)f->left : n - at;
        if (out < at) memmove(p + out, p + at, part);
        at += part;
        out += part;
        f->left -= part;
        if (f->left > 0) continue;
        f->state = f->state == AZC__BODY_WHOLE ? (uint8_t)AZC__BODY_DONE
                                               : (uint8_t)AZC__CHUNK_ENDS;
    }
    *len = out;
    return (int)at;
}

/* ---- A body's life ---- */

/* What follows the struct and its azc_data: the strings and segments of the request. */
static char *azc__body_strings(azc__body *b) {
    return (char *)b + azc__align(sizeof *b) + b->endpoint->data_size;
}

/* The request is at hand again, and the same to its handlers as when its head came. */
static void azc__body_resume(azc__body *b) {
    azc_server *s = b->conn->server;
    const char *strings = azc__body_strings(b);
    memcpy(&s->request, &b->request, offsetof(azc__request, extra) + b->request.extra_len);
    memcpy(s->scratch, strings, b->strings_len);
    s->strings_at = s->scratch + b->strings_len;
    memcpy(s->scratch + azc__scratch_strings(&s->config), strings + b->strings_len,
           b->segments_len);
    s->current = b->conn;
    s->body = b;
}

static void azc__body_suspend(azc_server *s) {
    s->current = NULL;
    s->body = NULL;
}

/* azc__in_free calls it. The request is answered, or its peer has gone. */
static void azc__body_free(azc__body *b) {
    azc_server *s = b->conn->server;
    if (b->lost) {
        azc__body_resume(b);
        s->request.answered = 1; /* or cannot be */
        b->endpoint->on_part(b->conn, "", 0, AZC_PART_LOST);
        azc__callback_done(s);
        if (s->timing) azc__callback_time(s, b->conn, "on_part");
        azc__body_suspend(s);
    }
    azc__pool_return(&s->mem, b->data, b->cap);
    azc__free(&s->mem, b, b->size);
}

/* Keep the request until its body is here. NULL without memory. */
static azc__body *azc__body_make(azc_conn *conn, const azc__endpoint *endpoint) {
    azc_server *s = conn->server;
    azc__request *r = &s->request;
    const char *segments = r->segments;
    for (int i = 0; i < r->count; i++) segments = azc__string_next(segments);
    size_t strings_len = (size_t)(s->strings_at - s->scratch);
    size_t segments_len = (size_t)(segments - r->segments);
    size_t size = azc__align(sizeof(azc__body)) + endpoint->data_size + strings_len + segments_len;
    if (s->fixed != NULL) size = azc__fixed_body_head(&s->config);
    azc__body *b = (azc__body *)azc__zalloc(&s->mem, size);
    if (b == NULL) return NULL;
    r->cookies = r->decoded = NULL; /* their place is for every request */
    memcpy(&b->request, r, offsetof(azc__request, extra) + r->extra_len);
    b->conn = conn;
    b->endpoint = endpoint;
    b->end = azc__body_free;
    b->size = size;
    b->strings_len = strings_len;
    b->segments_len = segments_len;
    memcpy(azc__body_strings(b), s->scratch, strings_len);
    memcpy(azc__body_strings(b) + strings_len, r->segments, segments_len);
    return b;
}

/* The request at hand is answered, or else gets this status. Its body is over, or its connection.
 * Ends with s->current NULL. */
static void azc__body_end(azc_conn *conn, int status) {
    azc_server *s = conn->server;
    if (!s->request.answered) azc__respond_error(conn, status);
    if (s->request.status >= 400 && s->body->why != NULL) s->request.why = s->body->why;
    azc__request_finish(conn, status); /* the log has the form's reason, not "returned 400" */
    azc__body_suspend(s);
    azc__in_free(&s->mem, &conn->in);
    if (conn->state == AZC__HTTP) azc__request_next(conn);
}

/* The body is refused while it arrives. */
static AZC__RARE void azc__body_fail(azc__body *b, int status, const char *why) {
    azc__body_resume(b);
    b->conn->server->request.why = why;
    azc__body_end(b->conn, status);
}

/* Its deadline passed without progress. */
static void azc__body_late(azc_conn *conn) {
    azc__body_fail(conn->in->body, 408, "its body made no progress within handshake_ms");
}

/* What a callback of the body has returned. It must have answered if this is the last. */
static void azc__body_called(azc_conn *conn, const char *name, int result, int last) {
    azc_server *s = conn->server;
    azc__request *r = &s->request;
    int status = azc__handler_status(conn, name, result);
    if (status == 0 && !r->answered) {
        if (!last) {
            azc__body_suspend(s);
            return;
        }
        status = azc__why(&r->why, 500, "the endpoint returned AZC_OK without azc_reply");
    }
    s->body->lost = 0;
    azc__body_end(conn, status);
}

/* Does the connection go on behind the answer, now that the body was read? */
static int azc__body_keeps(const azc_server *s) {
    const azc__request *r = &s->request;
    return !s->stopping && !r->http10 && !azc__http_has(r, "Connection", "close", 0);
}

/* The body is whole: call the handler. */
static void azc__body_whole(azc__body *b) {
    azc_conn *conn = b->conn;
    if (b->data != NULL) b->data[b->len] = 0;
    azc__body_resume(b);
    conn->server->request.keep_alive = (uint8_t)azc__body_keeps(conn->server);
    azc__body_called(conn, "the endpoint's handler",
                     b->endpoint->handler(conn, b->endpoint->userdata), 1);
}

/* Deliver a part. The byte behind it is writable, and may belong to the next request. */
static void azc__body_part(azc__body *b, unsigned char *data, size_t len, int flags) {
    azc_conn *conn = b->conn;
    unsigned char behind = data[len];
    int last = (flags & AZC_PART_LAST) != 0;
    azc__body_resume(b);
    conn->server->request.keep_alive = (uint8_t)(last && azc__body_keeps(conn->server));
    b->lost = (uint8_t)!last;
    data[len] = 0;
    int result = b->endpoint->on_part(conn, data, len, flags);
    data[len] = behind;
    azc__body_called(conn, "on_part", result, last);
}

/* ---- Receive ---- */

/* Keep a piece of a body. Returns 0, or the status that refuses it. */
static int azc__body_keep(azc__body *b, const unsigned char *p, size_t n) {
    azc_server *s = b->conn->server;
    const azc__framing *f = &b->framing;
    size_t room = b->max - b->len;
    if (n > room || (f->state == AZC__CHUNK_DATA && f->left > room - n)) return 413;
    if (n == 0) return 0;
    size_t need = s->fixed != NULL ? s->config.max_body : b->len + n;
    if (!azc__grow(&s->mem, &b->data, &b->cap, need + AZC__FORM, b->max + AZC__FORM)) return 503;
    memcpy(b->data + b->len, p, n);
    b->len += n;
    return 0;
}

static size_t azc__body_receive(azc_conn *conn, unsigned char *p, size_t n) {
    azc__body *b = conn->in->body;
    size_t len;
    int used = azc__body_decode(&b->framing, p, n, &len);
    if (used < 0) {
        azc__body_fail(b, 400, "a malformed chunk or trailer, RFC 9112 7.1");
        return n;
    }
    int done = b->framing.state == AZC__BODY_DONE;
    conn->in->known = b->framing.left < SIZE_MAX ? (size_t)b->framing.left : SIZE_MAX;
    conn->moved += (uint32_t)used;
    if (b->endpoint->on_part != NULL) {
        if (len > 0 || done) azc__body_part(b, p, len, done ? AZC_PART_LAST : 0);
        return (size_t)used;
    }
    int status = azc__body_keep(b, p, len);
    if (status != 0)
        azc__body_fail(b, status, status == 413 ? "a body over max_body" : "out of memory");
    else if (done) azc__body_whole(b);
    return (size_t)used;
}

/* The peer waits for this before it sends the body: RFC 9110 10.1.1. Returns 0 without memory. */
static int azc__body_continue(azc_conn *conn, const azc__body *b) {
    static const char go_on[] = "HTTP/1.1 100 Continue\r\n\r\n";
    azc_server *s = conn->server;
    if (b->framing.state == AZC__BODY_DONE || b->request.http10) return 1;
    if (!azc__http_has(&b->request, "Expect", "100-continue", 0)) return 1;
    if (!azc__out_reserve(&s->mem, &conn->out, sizeof go_on - 1)) return 0;
    azc__out_write(&conn->out, go_on, sizeof go_on - 1);
    azc__conn_touch(conn);
    return 1;
}

/* The head is accepted: keep it, and wait for the body. */
static void azc__body_start(azc_conn *conn, azc__in *in) {
    unsigned char none[2] = {0, 0};
    azc__request *r = &conn->server->request;
    azc__body *b = r->waits;
    r->waits = b->request.waits = NULL;
    conn->in = in;
    in->body = b;
    azc__deadline_set(conn, AZC__DEADLINE_BODY);
    if (b->endpoint->on_part != NULL) azc__body_part(b, none, 0, AZC_PART_FIRST);
    if (conn->in == NULL) return;
    if (azc__body_continue(conn, b)) azc__body_receive(conn, none, 0);
    else azc__body_fail(b, 503, "out of memory");
}

/* ---- Requests ---- */

static const char azc__methods[AZC__METHODS][8] = {"POST", "PUT", "PATCH", "DELETE"};

/* Find the framing of the body; azc__http_framing has refused what is ambiguous. Returns 0, or the
 * status that refuses the request. RFC 9112 6 */
static int azc__body_framing(azc__request *r, azc__framing *f) {
    const char *length = azc__http_field(r, "Content-Length");
    const char *coding = azc__http_only(r, "Transfer-Encoding");
    memset(f, 0, sizeof *f);
    if (length != NULL) f->left = strtoull(length, NULL, 10);
    if (f->left > 0) f->state = AZC__BODY_WHOLE;
    if (coding == NULL) return 0;
    f->state = AZC__CHUNK_SIZE;
    if (azc__is_nocase(coding, strlen(coding), "chunked")) return 0;
    return azc__why(&r->why, 501, "a Transfer-Encoding other than chunked");
}

/* A request for an endpoint: refuse it by its head, or wait for its body. Returns as
 * azc__request_serve. */
static int azc__body_begin(azc_conn *conn, const azc__route *route) {
    azc_server *s = conn->server;
    azc__request *r = &s->request;
    const azc__endpoint *endpoint = (const azc__endpoint *)route->target;
    azc__framing framing;
    if (r->upgrade) return azc__why(&r->why, 400, "an upgrade that is not a GET, RFC 6455 4.1");
    if (!azc__http_origin(r, s->config.origins)) return azc__upgrade_refuse_origin(conn);
    int status = azc__body_framing(r, &framing);
    if (status != 0) return status;
    if (endpoint->on_part == NULL && framing.left > s->config.max_body)
        return azc__why(&r->why, 413, "a body over max_body");
    azc__route_values(route, r->segments, r->count, &s->strings_at);
    r->route = route;
    azc__body *b = r->waits = azc__body_make(conn, endpoint);
    if (b == NULL) return azc__why(&r->why, 503, "out of memory");
    b->framing = framing;
    b->max = framing.left > 0 && endpoint->on_part == NULL ? (size_t)framing.left
                                                           : s->config.max_body;
    return 0;
}

static int azc__body_serve(azc_conn *conn, const azc__route *get) {
    azc_server *s = conn->server;
    azc__request *r = &s->request;
    const azc__route *found = NULL;
    char *none = stpcpy(s->allow, get != NULL ? r->allow : "OPTIONS"), *p = none;
    for (int i = 0; i < AZC__METHODS; i++) {
        const azc__route *route = azc__route_find(s->method_routes[i], r->segments, r->count);
        if (route == NULL) continue;
        p = stpcpy(stpcpy(p, ", "), azc__methods[i]);
        if (strcmp(r->method, azc__methods[i]) == 0) found = route;
    }
    if (p == none) return -1;
    r->allow = s->allow;
    if (found != NULL) return azc__body_begin(conn, found);
    if (strcmp(r->method, "OPTIONS") == 0) return azc__respond_options(conn);
    return get != NULL ? -1 : azc__why(&r->why, 405, "azc_add_endpoint has the path with other "
                                       "methods only");
}

/* ---- What a handler reads ---- */

AZC_API const char *azc_body(azc_conn *conn, size_t *len) {
    const azc__body *b = azc__body_of(conn);
    const char *text = azc__request_of(conn) == NULL || (b != NULL && b->form != NULL) ? NULL : "";
    if (b != NULL && text != NULL && b->len > 0) text = (const char *)b->data;
    if (len != NULL) *len = b != NULL && text != NULL ? b->len : 0;
    return text;
}

/* Decode the form in place: its bytes are first moved to the end of the room for them, because a
 * field without '=' grows by one byte, and the last one by two. Returns NULL, or why it is
 * refused. */
static const char *azc__form_decode(azc__body *b) {
    const char *type = azc__http_only(&b->request, "Content-Type");
    if (type == NULL || !azc__is_nocase(type, strcspn(type, "; \t"),
                                        "application/x-www-form-urlencoded"))
        return "not a form: its Content-Type is not application/x-www-form-urlencoded";
    if (b->len == 0) return NULL;
    int fields = 1;
    for (size_t i = 0; i < b->len; i++) fields += b->data[i] == '&';
    if (fields > AZC__MAX_FIELDS) return "a form of over 64 fields";
    char *out = b->form = (char *)b->data, *from = out + AZC__FORM - 1;
    int bad = memchr(out, 0, b->len) != NULL;
    memmove(from, out, b->len);
    from[b->len] = 0; /* the last byte for which azc__body_keep has made room */
    bad = bad || azc__http_pairs(&out, from, 0) < 0;
    *out = 0;
    if (!bad) return NULL;
    *b->form = 0;
    return "a form with a bad % escape, a NUL, or not in UTF-8";
}

AZC_API const char *azc_form(azc_conn *conn, const char *name) {
    static char none[1];
    azc__body *b = azc__body_of(conn);
    if (b == NULL || name == NULL) return NULL;
    if (b->form == NULL) {
        b->why = azc__form_decode(b);
        if (b->form == NULL) b->form = none;
    }
    return azc__pairs_find(b->form, name);
}

/* ---- Registration ---- */

static void azc__bodies_free(azc_server *s) {
    for (int i = 0; i < AZC__METHODS; i++) azc__server_free_routes(&s->mem, s->method_routes[i]);
}

static const azc__bodies_join azc__bodies_functions = {azc__body_serve, azc__body_start,
                                                       azc__body_receive, azc__body_late,
                                                       azc__bodies_free};

/* The first endpoint of a server. Returns AZC_OK, or why there can be none. */
static int azc__bodies_attach(azc_server *s, const char *call) {
    if (s->fixed != NULL && s->config.max_body == 0)
        return azc__mistake(s, AZC_ERR_STATE, "%s: max_body 0: must be set with azc_create_in",
                            call);
    if (s->config.max_body == 0) s->config.max_body = 64 << 10;
    if (s->config.max_body >= (size_t)1 << 30)
        return azc__mistake(s, AZC_ERR_ARGUMENT, "%s: max_body %zu: must be less than %zu", call,
                            s->config.max_body, (size_t)1 << 30);
    s->bodies = &azc__bodies_functions;
    return AZC_OK;
}

static int azc__endpoint_make(azc_server *s, const char *call, int method, const char *path,
                              const azc__endpoint *from) {
    int error = azc__bodies_attach(s, call);
    if (error != AZC_OK) return error;
    size_t most = s->fixed != NULL ? s->config.max_data : (size_t)1 << 30;
    if (from->data_size > most)
        return azc__mistake(s, AZC_ERR_ARGUMENT, "%s: data_size %zu: at most %zu%s", call,
                            from->data_size, most, s->fixed != NULL ? ", max_data" : "");
    azc__endpoint *endpoint = (azc__endpoint *)azc__alloc(&s->mem, sizeof *endpoint);
    if (endpoint == NULL) return azc__error_memory(s, call);
    *endpoint = *from;
    endpoint->data_size = azc__align(from->data_size);
    return azc__route_add(s, &s->method_routes[method], path, endpoint, sizeof *endpoint);
}

static int azc__endpoint_add(azc_server *s, const char *call, const char *method, const char *path,
                             const azc__endpoint *from) {
    int error, i = 0;
    if (s == NULL) return AZC_ERR_ARGUMENT;
    while (method != NULL && i < AZC__METHODS && strcmp(method, azc__methods[i]) != 0) i++;
    if (s->listening) error = azc__setup_late(s, call);
    else if (method == NULL || path == NULL || (from->handler == NULL && from->on_part == NULL))
        error = azc__error_null(s, call);
    else if (i == AZC__METHODS)
        error = azc__mistake(s, AZC_ERR_ARGUMENT, "%s: method \"%.20s\": must be POST, PUT, PATCH "
                             "or DELETE%s", call, method,
                             from->handler != NULL ? ", or GET" : "");
    else error = azc__endpoint_make(s, call, i, path, from);
    return error == AZC_OK ? AZC_OK : azc__setup_failed(s, error);
}

AZC_API int azc_add_endpoint(azc_server *server, const char *method, const char *path,
                             azc_handler handler, void *userdata) {
    azc__endpoint endpoint;
    if (method != NULL && strcmp(method, "GET") == 0)
        return azc_add_handler(server, path, handler, userdata);
    memset(&endpoint, 0, sizeof endpoint);
    endpoint.handler = handler;
    endpoint.userdata = userdata;
    return azc__endpoint_add(server, "azc_add_endpoint", method, path, &endpoint);
}

AZC_API int azc_add_upload(azc_server *server, const char *method, const char *path,
                           azc_part_callback on_part, size_t data_size, void *userdata) {
    azc__endpoint endpoint;
    memset(&endpoint, 0, sizeof endpoint);
    endpoint.on_part = on_part;
    endpoint.data_size = data_size;
    endpoint.userdata = userdata;
    return azc__endpoint_add(server, "azc_add_upload", method, path, &endpoint);
}

/* ==== [37] ANSWERS: that come later, or in parts; RFC 9112 7.1 ================================ */

/* ---- Its life ---- */

/* azc__answer.end of the program's answers. The callback comes first, so that the log can name the
 * request; if it throws, it is not called again. */
static void azc__answer_free(azc_conn *conn) {
    azc_server *s = conn->server;
    azc__answer *a = conn->wait.answer;
    azc_more_callback more = a->callback;
    a->callback = NULL;
    if (more != NULL) {
        more(conn, 0, a->userdata);
        azc__callback_done(s);
        if (s->timing) azc__callback_time(s, conn, "more");
    }
    conn->id = azc__conn_name(s, conn->id & AZC__SLOT_MASK);
    conn->answering = 0;
    conn->wait.answer = NULL;
    azc__free(&s->mem, a, a->size);
}

/* The answer is over: free it, and go on with what the peer has pipelined, or end. While its
 * request is at hand, azc__request_next does that. */
static void azc__answer_over(azc_conn *conn) {
    azc_server *s = conn->server;
    int keep_alive = conn->wait.answer->keep_alive && !s->stopping;
    conn->wait.answer->end(conn);
    conn->drain = 0;
    if (s->current == conn) {
        s->request.keep_alive = (uint8_t)keep_alive;
        return;
    }
    if (conn->state == AZC__DEAD) return;
    if (!keep_alive || conn->state != AZC__HTTP) azc__conn_end(conn, AZC__LINGER, 0);
    else azc__deadline_set(conn, AZC__DEADLINE_OUTPUT);
    conn->drain = conn->in != NULL;
}

/* The last byte is queued. No callback runs inside another: `more` gets its last call later. */
static void azc__answer_whole(azc_conn *conn) {
    azc__answer *a = conn->wait.answer;
    if (a->callback == NULL) {
        azc__answer_over(conn);
        return;
    }
    a->whole = 1;
    conn->drain = 1;
    azc__conn_touch(conn);
}

/* Call `more` once. Returns 1 if it has added a part and is not at the end. */
static int azc__answer_call(azc_conn *conn) {
    azc_server *s = conn->server;
    azc__answer *a = conn->wait.answer;
    size_t before = conn->out.bytes, room = s->config.max_backlog - azc__out_backlog(&conn->out);
    if (a->left < room) room = (size_t)a->left;
    int result = a->callback(conn, room, a->userdata);
    azc__callback_done(s);
    if (s->timing) azc__callback_time(s, conn, "more");
    if (conn->state == AZC__DEAD) return 0;
    if (result != AZC_OK) {
        azc__log(s, conn, AZC_LOG_WARNING, "dropped: more returned %d", result);
        azc__conn_drop(conn);
        return 0;
    }
    return !a->whole && conn->out.bytes > before;
}

/* azc__answer.more: the program may go on, until it gives nothing or the output is full enough. */
static void azc__answer_more(azc_conn *conn) {
    const azc__answer *a = conn->wait.answer;
    while (!a->whole && azc__answer_call(conn)) {
        conn->drain = azc__out_backlog(&conn->out) > azc__backlog_limit(conn);
        if (conn->drain) break;
    }
    if (a->whole && conn->state != AZC__DEAD) azc__answer_over(conn);
}

/* azc__answer.failed: an answer that was put off is given by the result; one that has begun is cut
 * off. */
static void azc__answer_failed(azc_conn *conn, const char *name, int result) {
    azc_server *s = conn->server;
    if (azc__answer_later(conn)) {
        conn->wait.answer->end(conn);
        s->request.answered = s->request.later = 0;
    } else if (!conn->wait.answer->whole) {
        azc__log(s, conn, AZC_LOG_WARNING, "dropped: %s returned %d", name, result);
        azc__conn_drop(conn);
    }
}

/* Keep what an answer needs of the request at hand. NULL without memory. */
static azc__answer *azc__answer_make(azc_conn *conn) {
    azc_server *s = conn->server;
    const azc__request *r = &s->request;
    size_t strings_len = (size_t)(s->strings_at - s->scratch), method_size = strlen(r->method) + 1;
    size_t size = sizeof(azc__answer) + strings_len + method_size + r->extra_len;
    if (s->fixed != NULL) size = azc__fixed_answer(&s->config);
    azc__answer *a = (azc__answer *)azc__alloc(&s->mem, size);
    if (a == NULL) return NULL;
    memset(a, 0, sizeof *a);
    char *method = (char *)memcpy(a + 1, s->scratch, strings_len) + strings_len;
    a->method = (const char *)memcpy(method, r->method, method_size);
    memcpy(method + method_size, r->extra, r->extra_len);
    a->more = azc__answer_more;
    a->end = azc__answer_free;
    a->failed = azc__answer_failed;
    a->route = r->route;
    a->size = size;
    a->extra_len = r->extra_len;
    a->keep_alive = r->keep_alive;
    a->head_only = r->head_only;
    a->http10 = r->http10;
    return a;
}

/* The answer is conn's from now on, under an id of its own. */
static void azc__answer_attach(azc_conn *conn, azc__answer *a) {
    conn->id = azc__conn_name(conn->server, conn->id & AZC__SLOT_MASK);
    conn->wait.answer = a;
    conn->answering = 1;
}

/* ---- Later ---- */

/* The request as azc_reply_later has kept it. */
static void azc__answer_request(const azc_conn *conn, azc__request *r) {
    const azc__answer *a = conn->wait.answer;
    memset(r, 0, offsetof(azc__request, extra));
    r->method = (char *)(uintptr_t)a->method;
    memcpy(r->extra, a->method + strlen(a->method) + 1, a->extra_len);
    r->extra_len = r->all_len = a->extra_len;
    r->keep_alive = (uint8_t)(a->keep_alive && !conn->server->stopping);
    r->head_only = a->head_only;
    r->http10 = a->http10;
}

/* azc__answer.reply */
static int azc__answer_reply(azc_conn *conn, int status, const char *type, const void *body,
                             size_t len) {
    azc__request r;
    azc__answer_request(conn, &r);
    if (status >= 400) r.keep_alive = 0;
    int error = azc__respond_to(&r, conn, status, type, body, len, 0);
    if (error != AZC_OK) return error;
    conn->wait.answer->keep_alive = r.keep_alive;
    azc__log_request(conn, &r);
    azc__answer_over(conn);
    return AZC_OK;
}

AZC_API uint64_t azc_reply_later(azc_conn *conn) {
    azc__request *r = azc__request_of(conn);
    if (conn == NULL) return 0;
    if (r == NULL || r->answered) {
        azc__error_answered(conn->server, r, "azc_reply_later");
        return 0;
    }
    azc__answer *a = azc__answer_make(conn);
    if (a == NULL) {
        azc__error_memory(conn->server, "azc_reply_later");
        return 0;
    }
    a->reply = azc__answer_reply;
    r->answered = r->later = 1;
    azc__answer_attach(conn, a);
    return conn->id;
}

/* ---- In parts ---- */

/* Queue the head. a is not yet conn's, unless it comes later. */
static int azc__answer_head(azc__request *r, azc_conn *conn, azc__answer *a, int status,
                            const char *type, uint64_t len) {
    char number[24];
    snprintf(number, sizeof number, "%llu", (unsigned long long)len);
    a->left = len;
    a->chunked = len == AZC_CHUNKED && !r->http10;
    if (status >= 400) r->keep_alive = 0; /* as it is for HTTP/1.0 */
    if (len != AZC_CHUNKED) azc__respond_field(r, "Content-Length", number);
    else if (a->chunked) azc__respond_field(r, "Transfer-Encoding", "chunked");
    r->parts = 1;
    int error = azc__respond_to(r, conn, status, type, NULL, 0, 0);
    r->parts = 0;
    if (error != AZC_OK) return error;
    if (len != AZC_CHUNKED && !r->head_only) r->sent += (size_t)len;
    a->keep_alive = r->keep_alive;
    return AZC_OK;
}

/* Begin the answer to the request at hand. Returns AZC_OK or AZC_ERR_MEMORY. */
static int azc__answer_now(azc_conn *conn, int status, const char *type, uint64_t len) {
    azc_server *s = conn->server;
    azc__answer *a = azc__answer_make(conn);
    if (a == NULL) return azc__error_memory(s, "azc_reply_begin");
    int error = azc__answer_head(&s->request, conn, a, status, type, len);
    if (error == AZC_OK) azc__answer_attach(conn, a);
    else azc__free(&s->mem, a, a->size);
    return error;
}

/* Begin the answer that was put off. */
static int azc__answer_put_off(azc_conn *conn, int status, const char *type, uint64_t len) {
    azc__request r;
    azc__answer_request(conn, &r);
    int error = azc__answer_head(&r, conn, conn->wait.answer, status, type, len);
    if (error != AZC_OK) return error;
    conn->wait.answer->reply = NULL;
    azc__log_request(conn, &r);
    return AZC_OK;
}

/* Returns AZC_OK, or what is wrong with an answer that is to come in parts. */
static int azc__answer_check(azc_conn *conn, int status, const char *type) {
    const azc__request *r = azc__request_of(conn);
    if (conn == NULL) return AZC_ERR_ARGUMENT;
    azc_server *s = conn->server;
    if (status < 200 || status > 599 || azc__respond_bodyless(status))
        return azc__mistake(s, AZC_ERR_ARGUMENT, "azc_reply_begin: status %d: must be from 200 to "
                            "599, and not 204, 205 or 304, which have no body", status);
    if (!azc__field_valid(type, AZC__MAX_TYPE)) return azc__error_type(s, "azc_reply_begin");
    if (azc__answer_later(conn) || (r != NULL && !r->answered)) return AZC_OK;
    return azc__error_answered(s, r, "azc_reply_begin");
}

AZC_API int azc_reply_begin(azc_conn *conn, int status, const char *type, uint64_t len,
                            azc_more_callback more, void *userdata) {
    int error = azc__answer_check(conn, status, type);
    if (error == AZC_OK)
        error = azc__answer_later(conn) ? azc__answer_put_off(conn, status, type, len)
                                        : azc__answer_now(conn, status, type, len);
    if (error != AZC_OK) {
        if (more != NULL) more(conn, 0, userdata);
        return error;
    }
    azc__answer *a = conn->wait.answer;
    a->callback = more;
    a->userdata = userdata;
    conn->drain = more != NULL;
    if (a->head_only || len == 0) azc__answer_whole(conn);
    return AZC_OK;
}

/* The answer of conn that parts are added to; NULL: *error. */
static azc__answer *azc__answer_open(azc_conn *conn, const char *call, int *error) {
    *error = AZC_ERR_ARGUMENT;
    if (conn == NULL) return NULL;
    if (conn->answering && conn->state == AZC__DEAD) {
        *error = azc__error_closed(conn->server, call);
        return NULL;
    }
    if (conn->answering && conn->wait.answer->reply == NULL && !conn->wait.answer->whole)
        return conn->wait.answer;
    const azc__request *r = azc__request_of(conn);
    if (r != NULL && r->head_only) /* no mistake: the handler is the one for GET */
        *error = azc__error(conn->server, AZC_ERR_STATE, "%s: a HEAD gets no body", call);
    else
        *error = azc__mistake(conn->server, AZC_ERR_STATE, "%s: no answer is open: it is whole, "
                              "or azc_reply_begin was not called", call);
    return NULL;
}

/* Queue a part with its framing: RFC 9112 7.1. Returns 0 without memory. */
static int azc__answer_write(azc_conn *conn, const azc__answer *a, const void *data, size_t len) {
    azc_server *s = conn->server;
    char head[24];
    size_t head_len = a->chunked ? (size_t)snprintf(head, sizeof head, "%zx\r\n", len) : 0;
    size_t end = a->chunked ? 2 : 0;
    if (!azc__out_reserve(&s->mem, &conn->out, head_len + len + end)) return 0;
    azc__out_write(&conn->out, head, head_len);
    azc__out_write(&conn->out, data, len);
    azc__out_write(&conn->out, "\r\n", end);
    azc__conn_touch(conn);
    return 1;
}

AZC_API int azc_reply_part(azc_conn *conn, const void *data, size_t len) {
    int error;
    azc__answer *a = azc__answer_open(conn, "azc_reply_part", &error);
    if (a == NULL) return error;
    azc_server *s = conn->server;
    if (len >= AZC_NUL && (len = azc__measure(data, len)) >= AZC_NUL)
        return azc__error_length(s, "azc_reply_part");
    if (data == NULL && len > 0) return azc__error_null(s, "azc_reply_part");
    if (len > a->left)
        return azc__mistake(s, AZC_ERR_ARGUMENT, "azc_reply_part: len %zu: %llu bytes are left of "
                            "what azc_reply_begin has promised", len, (unsigned long long)a->left);
    if (len > s->config.max_backlog)
        return azc__mistake(s, AZC_ERR_FULL, "azc_reply_part: len %zu: max_backlog is %zu", len,
                            s->config.max_backlog);
    if (azc__backlog_full(conn, len)) {
        conn->drain = a->callback != NULL;
        return azc__error(s, AZC_ERR_FULL, "azc_reply_part: len %zu: no room in max_backlog", len);
    }
    if (len == 0) return AZC_OK; /* a chunk of 0 would end the body */
    if (!azc__answer_write(conn, a, data, len)) return azc__error_memory(s, "azc_reply_part");
    if (a->left != AZC_CHUNKED) a->left -= len;
    if (a->left == 0) azc__answer_whole(conn);
    return AZC_OK;
}

AZC_API int azc_reply_end(azc_conn *conn) {
    int error;
    const azc__answer *a = azc__answer_open(conn, "azc_reply_end", &error);
    if (a == NULL) return error;
    if (a->left != AZC_CHUNKED) {
        azc__conn_drop(conn);
        return azc__mistake(conn->server, AZC_ERR_STATE, "azc_reply_end: %llu bytes are missing of "
                            "what azc_reply_begin has promised: the connection is dropped",
                            (unsigned long long)a->left);
    }
    if (a->chunked && !azc__answer_write(conn, a, "", 0)) {
        azc__conn_drop(conn);
        return azc__error_memory(conn->server, "azc_reply_end");
    }
    azc__answer_whole(conn);
    return AZC_OK;
}

/* ==== [38] LOGIN: redirects, cookies, tokens and secrets; RFC 9110 15.4, 6265 4.1 ============= */

/* Is each character printable ASCII, and none of these? */
static int azc__login_printable(const char *s, const char *none) {
    while (*s > ' ' && *s < 127 && strchr(none, *s) == NULL) s++;
    return *s == 0;
}

AZC_API int azc_redirect(azc_conn *conn, int status, const char *location) {
    if (conn == NULL) return AZC_ERR_ARGUMENT;
    azc_server *s = conn->server;
    if (status == 0) status = 303;
    if (location == NULL) return azc__error_null(s, "azc_redirect");
    if (status < 301 || status > 308 || (status > 303 && status < 307))
        return azc__mistake(s, AZC_ERR_ARGUMENT, "azc_redirect: status %d: must be 301, 302, 303, "
                            "307 or 308", status);
    if (*location == 0 || !azc__login_printable(location, ""))
        return azc__mistake(s, AZC_ERR_ARGUMENT, "azc_redirect: location must be printable ASCII "
                            "without spaces, and not empty: percent-encode it");
    int error = azc__reply_add(conn, "azc_redirect", "Location", location);
    return error == AZC_OK ? azc_reply(conn, status, NULL, NULL, 0) : error;
}

AZC_API int azc_set_cookie(azc_conn *conn, const char *name, const char *value, int max_age,
                           int flags) {
    const azc__request *r = azc__request_of(conn);
    char text[AZC__MAX_EXTRA], age[32] = ""; /* a text that is cut is refused, too */
    if (conn == NULL) return AZC_ERR_ARGUMENT;
    azc_server *s = conn->server;
    if (name == NULL) return azc__error_null(s, "azc_set_cookie");
    if (!azc__token_valid(name) || (value != NULL && !azc__login_printable(value, "\",;\\")))
        return azc__mistake(s, AZC_ERR_ARGUMENT, "azc_set_cookie: name must be a token, and value "
                            "printable ASCII without spaces and \",;\\: encode it, RFC 6265 4.1.1");
    if (max_age < 0 || (flags & ~7) != 0)
        return azc__mistake(s, AZC_ERR_ARGUMENT, "azc_set_cookie: max_age %d, flags %d: must not "
                            "be negative, and of AZC_COOKIE_*", max_age, flags);
    if (value == NULL) max_age = 0;
    if (value == NULL || max_age > 0) snprintf(age, sizeof age, "; Max-Age=%d", max_age);
    int secure = flags & AZC_COOKIE_SECURE || strncmp(name, "__", 2) == 0 ||
                 (r != NULL && r->scheme == 's');
    snprintf(text, sizeof text, "%s=%s; Path=/%s%s%s; SameSite=%s", name, value ? value : "", age,
             flags & AZC_COOKIE_SCRIPT ? "" : "; HttpOnly", secure ? "; Secure" : "",
             flags & AZC_COOKIE_STRICT ? "Strict" : "Lax");
    return azc__reply_add(conn, "azc_set_cookie", "Set-Cookie", text);
}

AZC_API int azc_token(azc_server *server, char *out, size_t size) {
    if (out != NULL && size > 0) *out = 0;
    if (server == NULL) return AZC_ERR_ARGUMENT;
    if (out == NULL) return azc__error_null(server, "azc_token");
    if (size < 23 || size > 257)
        return azc__mistake(server, AZC_ERR_ARGUMENT, "azc_token: size %zu: must be from 23, for "
                            "132 random bits, to 257", size);
    if (!azc__server_random(out, --size, 1)) {
        *out = 0;
        return azc__mistake(server, AZC_ERR_SYSTEM, "azc_token: neither getrandom nor /dev/urandom "
                            "gives random bytes: try again later");
    }
    for (size_t i = 0; i < size; i++) { /* base64url, RFC 4648 5 */
        char c = AZC__BASE64[out[i] & 63];
        out[i] = c;
        if (c == '+') out[i] = '-';
        if (c == '/') out[i] = '_';
    }
    out[size] = 0;
    return AZC_OK;
}

/* Each step is the same, whether its characters are equal or not, and volatile keeps a compiler
 * from an earlier end. A secret that is too short stays at its NUL. */
AZC_API int azc_equal(const char *secret, const char *given) {
    volatile unsigned differences = 0;
    if (secret == NULL || given == NULL) return 0;
    const char *p = secret;
    for (; *given; given++) {
        differences = differences | (unsigned char)(*p ^ *given);
        p += *p != 0;
    }
    differences = differences | (unsigned char)*p;
    return differences == 0 && *secret != 0;
}

/* ==== [39] FILES: a folder's files, with types, versions and ranges; RFC 9110 8.8, 13, 14 ===== */

/* ---- Types ---- */

/* Pairs of an extension and a type. */
static const char azc__types[] =
    "html\0text/html; charset=utf-8\0"
    "css\0text/css; charset=utf-8\0"
    "js\0text/javascript; charset=utf-8\0"
    "mjs\0text/javascript; charset=utf-8\0"
    "json\0application/json\0"
    "map\0application/json\0"
    "svg\0image/svg+xml; charset=utf-8\0"
    "png\0image/png\0"
    "jpg\0image/jpeg\0"
    "jpeg\0image/jpeg\0"
    "gif\0image/gif\0"
    "webp\0image/webp\0"
    "avif\0image/avif\0"
    "ico\0image/x-icon\0"
    "woff\0font/woff\0"
    "woff2\0font/woff2\0"
    "ttf\0font/ttf\0"
    "wasm\0application/wasm\0"
    "txt\0text/plain; charset=utf-8\0"
    "xml\0text/xml; charset=utf-8\0"
    "pdf\0application/pdf\0"
    "mp4\0video/mp4\0"
    "webm\0video/webm\0"
    "mp3\0audio/mpeg\0"
    "wav\0audio/wav\0"
    "gz\0application/gzip\0"
    "zip\0application/zip\0"
    "webmanifest\0application/manifest+json\0";

/* Can it be found? */
static int azc__extension_valid(const char *extension) {
    size_t n = strspn(extension, "0123456789-_abcdefghijklmnopqrstuvwxyz");
    return n > 0 && n <= AZC__EXTENSION && extension[n] == 0;
}

/* The type of a file of this name. */
static const char *azc__file_type(const azc_server *s, const char *name) {
    static const char unknown[] = "application/octet-stream";
    char extension[AZC__EXTENSION + 1];
    const char *dot = strrchr(name, '.'), *type = NULL;
    size_t n = dot != NULL ? strlen(dot + 1) : 0;
    if (n == 0 || n > AZC__EXTENSION) return unknown;
    for (size_t i = 0; i <= n; i++) extension[i] = (char)azc__lower(dot[1 + i]);
    for (const azc__type *t = s->types; t != NULL && type == NULL; t = t->next)
        type = azc__pairs_find((const char *)(t + 1), extension);
    if (type == NULL) type = azc__pairs_find(azc__types, extension);
    return type != NULL ? type : unknown;
}

/* ---- Dates, ranges and codings; pure ---- */

static const char azc__months[] = "JanFebMarAprMayJunJulAugSepOctNovDec";

static void azc__date_digits(char *p, int n) {
    p[0] = (char)('0' + n / 10);
    p[1] = (char)('0' + n % 10);
}

/* Write a date, "Sun, 06 Nov 1994 08:49:37 GMT" (RFC 9110 5.6.7); "" if the year has not four
 * digits. */
static void azc__date_write(char out[AZC__DATE], time_t t) {
    static const char days[] = "SunMonTueWedThuFriSat";
    struct tm utc;
    *out = 0;
    if (gmtime_r(&t, &utc) == NULL || utc.tm_year < -1900 || utc.tm_year > 9999 - 1900) return;
    memcpy(out, "Ddd, dd Mmm yyyy hh:mm:ss GMT", AZC__DATE);
    memcpy(out, days + 3 * (size_t)utc.tm_wday, 3);
    azc__date_digits(out + 5, utc.tm_mday);
    memcpy(out + 8, azc__months + 3 * (size_t)utc.tm_mon, 3);
    azc__date_digits(out + 12, (utc.tm_year + 1900) / 100);
    azc__date_digits(out + 14, (utc.tm_year + 1900) % 100);
    azc__date_digits(out + 17, utc.tm_hour);
    azc__date_digits(out + 20, utc.tm_min);
    azc__date_digits(out + 23, utc.tm_sec);
}

/* A number that is larger for a later date; -1 for what is none. The two obsolete formats, which no
 * browser sends, are none. */
static int64_t azc__date_order(const char *date) {
    static const char like[] = "Aaa, 00 Aaa 0000 00:00:00 GMT";
    int64_t order = 0;
    size_t month = 0;
    for (size_t i = 0; i < sizeof like; i++) {
        int c = (unsigned char)date[i], letter = azc__lower(c) >= 'a' && azc__lower(c) <= 'z';
        if ((like[i] | 32) == 'a' ? !letter : like[i] == '0' ? !azc__digit((char)c)
                                                             : c != like[i]) return -1;
    }
    while (month < 12 && memcmp(azc__months + 3 * month, date + 8, 3) != 0) month++;
    if (month == 12) return -1;
    order = atoi(date + 12) * 12 + (int)month;            /* year and month, */
    order = order * 100 + atoi(date + 5);                 /* day, */
    order = order * 100 + atoi(date + 17);                /* and time */
    return (order * 100 + atoi(date + 20)) * 100 + atoi(date + 23);
}

/* Read a number; UINT64_MAX stands for larger ones. Returns where it ends. */
static const char *azc__range_number(const char *p, uint64_t *n) {
    for (*n = 0; azc__digit(*p); p++)
        *n = *n < UINT64_MAX / 10 ? *n * 10 + (unsigned)(*p - '0') : UINT64_MAX;
    return p;
}

/* What a Range field asks of a file: 206 with *first and *len, 416 if there is nothing of it, or
 * 200 if the field is malformed or asks for several ranges. RFC 9110 14.1.2, 14.2 */
static int azc__range_parse(const char *p, uint64_t size, uint64_t *first, uint64_t *len) {
    uint64_t from, to;
    if (!azc__equal_nocase(p, 6, "bytes=", 6)) return 200;
    p += 6;
    const char *dash = azc__range_number(p, &from);
    if (*dash != '-') return 200;
    const char *end = azc__range_number(dash + 1, &to);
    int suffix = dash == p, open = end == dash + 1;
    if (*end != 0 || (suffix && open) || (!suffix && !open && to < from)) return 200;
    if (suffix && to > 0 && size == 0) return 200; /* all of nothing */
    if (suffix ? to == 0 : from >= size) return 416;
    if (suffix) from = to < size ? size - to : 0;
    if (suffix || open || to >= size) to = size - 1;
    *first = from;
    *len = to - from + 1;
    return 206;
}

/* What the peer gets of a file: 200, 304, or as azc__range_parse. RFC 9110 13.2.2 */
static int azc__file_status(const azc__request *r, const char *tag, const char *date,
                            uint64_t size, uint64_t *first, uint64_t *len) {
    const char *since = azc__http_only(r, "If-Modified-Since");
    const char *range = azc__http_only(r, "Range"), *same = azc__http_only(r, "If-Range");
    if (azc__http_field(r, "If-None-Match") != NULL) since = NULL;
    if (azc__http_knows(r, tag)) return 304;
    if (since != NULL && *date && azc__date_order(since) >= azc__date_order(date)) return 304;
    if (range == NULL || r->head_only) return 200;
    if (same != NULL && strcmp(same, tag) != 0 && strcmp(same, date) != 0) return 200;
    return azc__range_parse(range, size, first, len);
}

/* Does the peer accept gzip? It does not if it says "gzip;q=0". RFC 9110 12.5.3 */
static int azc__file_gzip(const azc__request *r) {
    const char *list;
    size_t len;
    for (int i = 0; (list = azc__http_next(r, "Accept-Encoding", &i)) != NULL;) {
        for (const char *item; (item = azc__list_next(&list, &len)) != NULL;) {
            size_t name = azc__min(strcspn(item, "; \t"), len);
            if (!azc__is_nocase(item, name, "gzip")) continue;
            const char *q = (const char *)memchr(item, '=', len);
            return q == NULL || strcspn(q, "123456789") < (size_t)(item + len - q);
        }
    }
    return 0;
}

/* ---- Opening ---- */

/* May a segment of a path be a name in a folder? An empty one is not found. */
static int azc__file_named(const char *segment) {
    return *segment != '.' && strchr(segment, '/') == NULL;
}

/* Open a name in a folder. O_NONBLOCK: a FIFO must not stop the server. Returns the descriptor, or
 * -1 with errno. */
static int azc__file_openat(int dir, const char *name, int flags) {
    const int all = O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY | O_CLOEXEC | flags;
    int fd;
    do fd = AZC_SYS(openat)(dir, name, all);
    while (fd < 0 && errno == EINTR);
    return azc__fd_high(fd);
}

static void azc__file_close(int fd) {
    int cause = errno;
    AZC_SYS(close)(fd);
    errno = cause;
}

/* Open a file or folder, and look at it. Returns as azc__file_openat. */
static int azc__file_look(int dir, const char *name, struct stat *st) {
    int fd = azc__file_openat(dir, name, 0);
    if (fd < 0 || AZC_SYS(fstat)(fd, st) == 0) return fd;
    azc__file_close(fd);
    return -1;
}

/* Open name.gz. Returns the descriptor if it is a file, else -1. */
static int azc__file_packed(int dir, const char *name, struct stat *st) {
    char packed[256];
    if (strlen(name) + 4 > sizeof packed) return -1;
    stpcpy(stpcpy(packed, name), ".gz");
    int fd = azc__file_look(dir, packed, st);
    if (fd < 0 || S_ISREG(st->st_mode)) return fd;
    AZC_SYS(close)(fd);
    return -1;
}

/* Open the packed file, if the peer takes it, or else the file. Returns as azc__file_openat. */
static int azc__file_choose(int dir, const char *name, const azc__request *r,
                            azc__found *found) {
    found->name = name;
    int fd = azc__file_gzip(r) ? azc__file_packed(dir, name, &found->st) : -1;
    found->packed = fd >= 0;
    return found->packed ? fd : azc__file_look(dir, name, &found->st);
}

/* Open what the path names in the folder: its segments one after the other, so that none of them
 * can leave it. Returns as azc__file_openat. */
static int azc__file_find(const azc__folder *folder, const azc__request *r, azc__found *found) {
    const char *name = r->segments;
    int dir = folder->fd, fd = -1, last = 0;
    for (int i = 0; i < folder->depth; i++) name = azc__string_next(name);
    for (int i = folder->depth; !last; i++, name = azc__string_next(name)) {
        last = i == r->count - 1;
        errno = ENOENT;
        if (!azc__file_named(name)) fd = -1;
        else if (!last) fd = azc__file_openat(dir, name, O_DIRECTORY);
        else fd = azc__file_choose(dir, *name ? name : "index.html", r, found);
        if (dir != folder->fd) azc__file_close(dir);
        if (fd < 0) return -1;
        dir = fd;
    }
    return fd;
}

/* ---- Refusals ---- */

/* There is no such file, or it cannot be opened: errno. If a channel has the path, its own status
 * says more. */
static int azc__file_missing(azc_conn *conn) {
    azc_server *s = conn->server;
    azc__request *r = &s->request;
    int cause = errno, full = cause == EMFILE || cause == ENFILE || cause == ENOMEM;
    if (azc__route_find(s->channel_routes, r->segments, r->count) != NULL) {
        r->allow = "GET, OPTIONS";
        return azc__request_check(r, 1);
    }
    snprintf(s->words, sizeof s->words, "azc_add_folder: the file: %s", strerror(cause));
    return azc__why(&r->why, full ? 503 : 404, s->words);
}

/* A folder is asked for without the slash behind it, which the links of its page need. The place is
 * relative, because a proxy may serve us below another path. Returns the status. */
static int azc__file_redirect(azc__request *r) {
    const char *end = r->path + r->path_len, *name = end;
    char to[AZC__MAX_EXTRA];
    while (name[-1] != '/') name--;
    if (strlen(name) + 20 > AZC__MAX_EXTRA - r->extra_len)
        return azc__why(&r->why, 414, "a folder whose path and query do not fit a Location field");
    snprintf(to, sizeof to, "./%.*s/%s", (int)(end - name), name, end);
    azc__respond_field(r, "Location", to);
    return 301;
}

/* ---- Answers ---- */

/* azc__answer.end */
static void azc__file_end(azc_conn *conn) {
    AZC_SYS(close)(conn->wait.answer->fd);
    azc__answer_free(conn);
}

#ifdef __linux__
static void azc__file_sent(azc_conn *conn, size_t n) {
    conn->server->stats.bytes_out += n;
    conn->moved += (uint32_t)n;
}

/* sendfile has no flag against SIGPIPE: hold the signal back meanwhile, and discard it. Linux does
 * that for this thread alone. Returns as sendfile. */
static ssize_t azc__file_sendfile_quietly(int fd, int file, off_t at, size_t len) {
    const struct timespec now = {0, 0};
    sigset_t pipe_only, before;
    sigemptyset(&pipe_only);
    sigaddset(&pipe_only, SIGPIPE);
    if (AZC_SYS(sigprocmask)(SIG_BLOCK, &pipe_only, &before) < 0) return -1;
    ssize_t n = AZC_SYS(sendfile)(fd, file, &at, len);
    if (n < (ssize_t)len && !sigismember(&before, SIGPIPE)) { /* also behind a part that was sent */
        while (AZC_SYS(sigtimedwait)(&pipe_only, NULL, &now) < 0 && errno == EINTR) {}
    }
    AZC_SYS(sigprocmask)(SIG_SETMASK, &before, NULL);
    return n;
}

/* Let the kernel send a part of the file. Returns 0 if it does not. */
static int azc__file_sendfile(azc_conn *conn, azc__answer *a) {
    if (!conn->nonblocking)
        conn->nonblocking = AZC_SYS(fcntl)(conn->source.fd, F_SETFL, O_NONBLOCK) >= 0;
    if (!conn->nonblocking) return 0;
    size_t most = a->left < AZC__SENDFILE ? (size_t)a->left : (size_t)AZC__SENDFILE;
    ssize_t n = azc__file_sendfile_quietly(conn->source.fd, a->fd, (off_t)a->at, most);
    if (n <= 0) return 0; /* ends of files and errors are for pread and send */
    azc__file_sent(conn, (size_t)n);
    a->at += (size_t)n;
    a->left -= (size_t)n;
    return 1;
}

/* Nothing but the head is queued: send it and the begin of the file now, in the same segments. */
static void azc__file_push(azc_conn *conn, azc__answer *a) {
    const azc__piece *head = conn->out.head;
    if (head->next != NULL || head->len != conn->out.bytes) return;
    ssize_t n = AZC_SYS(send)(conn->source.fd, head->data, head->len, AZC__MSG_FLAGS | MSG_MORE);
    if (n <= 0) return; /* the flush sees it */
    azc__out_consume(&conn->server->mem, &conn->out, (size_t)n);
    azc__file_sent(conn, (size_t)n);
    if (conn->out.bytes == 0) azc__file_sendfile(conn, a);
}
#else
static int azc__file_sendfile(const azc_conn *conn, const azc__answer *a) {
    (void)conn;
    (void)a;
    return 0;
}

static void azc__file_push(const azc_conn *conn, const azc__answer *a) {
    (void)conn;
    (void)a;
}
#endif

/* Read a part of the file, and queue it. */
static void azc__file_read(azc_conn *conn, azc__answer *a) {
    azc_server *s = conn->server;
    size_t most = azc__min(s->config.read_buffer, s->pause);
    if (a->left < most) most = (size_t)a->left;
    ssize_t n = AZC_SYS(pread)(a->fd, s->read_buffer, most, (off_t)a->at);
    if (n < 0 && errno == EINTR) return;
    if (n <= 0) {
        azc__log(s, conn, AZC_LOG_WARNING, "dropped: the file that is sent: %s",
                 n == 0 ? "it was cut short" : strerror(errno));
        azc__conn_drop(conn);
        return;
    }
    a->at += (size_t)n;
    if (azc_reply_part(conn, s->read_buffer, (size_t)n) != AZC_OK) azc__conn_drop(conn);
}

/* azc__answer.more: the kernel takes more. It has taken all that was queued: sendfile must not
 * overtake the head. */
static void azc__file_more(azc_conn *conn) {
    azc__answer *a = conn->wait.answer;
    conn->drain = 1;
    if (conn->out.bytes > 0) return;
    if (!azc__file_sendfile(conn, a)) azc__file_read(conn, a);
    else if (a->left == 0) azc__answer_over(conn);
}

/* Begin an answer whose body goes on after the head. Returns as azc__request_serve; fd belongs to
 * the answer. */
static int azc__file_begin(azc_conn *conn, int fd, int status, const char *type, uint64_t first,
                           uint64_t len) {
    int empty = conn->out.bytes == 0;
    if (azc__answer_now(conn, status, type, len) != AZC_OK) {
        AZC_SYS(close)(fd);
        return 503;
    }
    azc__answer *a = conn->wait.answer;
    a->fd = fd;
    a->at = first;
    a->more = azc__file_more;
    a->end = azc__file_end;
    conn->drain = 1;
    if (empty && !a->head_only) azc__file_push(conn, a);
    if (a->head_only || a->left == 0) azc__answer_over(conn);
    return 0;
}

/* Answer with a file that goes into the output as a whole. */
static int azc__file_whole(azc_conn *conn, int fd, int status, const char *type, uint64_t first,
                           size_t len) {
    char bytes[AZC__FILE_WHOLE];
    azc__request *r = &conn->server->request;
    ssize_t n = (ssize_t)len;
    if (!r->head_only && !azc__respond_bodyless(status)) {
        do n = AZC_SYS(pread)(fd, bytes, len, (off_t)first);
        while (n < 0 && errno == EINTR);
    }
    AZC_SYS(close)(fd);
    if (n != (ssize_t)len)
        return azc__why(&r->why, 500, n < 0 ? strerror(errno) : "the file was cut short");
    return azc__respond(conn, status, type, bytes, len, 0) == AZC_OK ? 0 : 503;
}

/* The fields for a file of this version, and for this status. RFC 9110 15.3.7, 15.4.5, 15.5.17 */
static void azc__file_fields(azc__request *r, int status, const azc__found *found, const char *tag,
                             const char *date, uint64_t first, uint64_t len) {
    unsigned long long size = (unsigned long long)found->st.st_size, from = first;
    char range[80];
    if (status == 206)
        snprintf(range, sizeof range, "bytes %llu-%llu/%llu", from, from + len - 1, size);
    else if (status == 416) snprintf(range, sizeof range, "bytes */%llu", size);
    if (status == 206 || status == 416) azc__respond_field(r, "Content-Range", range);
    if (status == 416) return;
    azc__respond_tag(r, tag);
    azc__respond_field(r, "Vary", "Accept-Encoding");
    if (status == 304) return;
    azc__respond_field(r, "Accept-Ranges", "bytes");
    if (*date) azc__respond_field(r, "Last-Modified", date);
    if (found->packed) azc__respond_field(r, "Content-Encoding", "gzip");
}

/* A hash of what changes with a file's bytes. It does not show the number of the inode. */
static uint64_t azc__file_version(const struct stat *st) {
    const uint64_t state[] = {(uint64_t)st->st_mtime, (uint64_t)AZC__MTIME_NS(st),
                              (uint64_t)st->st_size, (uint64_t)st->st_ino};
    uint64_t hash = 0;
    for (size_t i = 0; i < sizeof state / sizeof *state; i++) {
        hash = (hash ^ state[i]) * 0x9E3779B97F4A7C15u;
        hash ^= hash >> 32;
    }
    return hash;
}

/* Answer with a file. Returns as azc__request_serve; closes fd. */
static int azc__file_serve(azc_conn *conn, int fd, const azc__found *found) {
    azc_server *s = conn->server;
    azc__request *r = &s->request;
    const struct stat *st = &found->st;
    const char *type = azc__file_type(s, found->name);
    char tag[AZC__TAG], date[AZC__DATE];
    uint64_t size = (uint64_t)st->st_size, first = 0, len = size;
    azc__tag_write(tag, azc__file_version(st));
    azc__date_write(date, st->st_mtime);
    int status = azc__file_status(r, tag, date, size, &first, &len);
    azc__file_fields(r, status, found, tag, date, first, len);
    if (status == 416) {
        AZC_SYS(close)(fd);
        return azc__why(&r->why, 416, "a Range beyond the end of the file");
    }
    if (status == 304) len = 0;
    status = len > AZC__FILE_WHOLE ? azc__file_begin(conn, fd, status, type, first, len)
             : azc__file_whole(conn, fd, status, type, first, (size_t)len);
    if (status != 0) r->all_len = r->extra_len; /* what refuses it is no version of the file */
    return status;
}

/* The handler of a folder's path. */
static int azc__folder_serve(azc_conn *conn, void *userdata) {
    const azc__folder *folder = (const azc__folder *)userdata;
    azc__request *r = &conn->server->request;
    azc__found found;
    if (r->count == folder->depth) return azc__file_redirect(r);
    int fd = azc__file_find(folder, r, &found);
    if (fd < 0) return azc__file_missing(conn);
    if (S_ISREG(found.st.st_mode)) return azc__file_serve(conn, fd, &found);
    AZC_SYS(close)(fd);
    if (S_ISDIR(found.st.st_mode) && r->path[r->path_len - 1] != '/') return azc__file_redirect(r);
    errno = ENOENT;
    return azc__file_missing(conn);
}

/* ---- Registration ---- */

/* azc_server.files_free */
static void azc__files_free(azc_server *s) {
    for (azc__folder *folder; (folder = s->folders) != NULL;) {
        s->folders = folder->next;
        AZC_SYS(close)(folder->fd);
        azc__free(&s->mem, folder, sizeof *folder);
    }
    for (azc__type *type; (type = s->types) != NULL;) {
        s->types = type->next;
        azc__free(&s->mem, type, type->size);
    }
}

/* Open the folder. NULL: *error. */
static azc__folder *azc__folder_open(azc_server *s, const char *path, int *error) {
    azc__folder *folder = (azc__folder *)azc__zalloc(&s->mem, sizeof *folder);
    *error = AZC_ERR_MEMORY;
    if (folder == NULL) return NULL;
    folder->fd = azc__fd_high(AZC_SYS(open)(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC));
    if (folder->fd < 0) {
        *error = azc__mistake(s, AZC_ERR_SYSTEM, "azc_add_folder: \"%.100s\": %s", path,
                              strerror(errno));
        azc__free(&s->mem, folder, sizeof *folder);
        return NULL;
    }
    folder->next = s->folders;
    s->folders = folder;
    s->files_free = azc__files_free;
    return folder;
}

/* Add the routes "/docs/" "*path" and "/docs", which redirects; for "/" only the first. */
static int azc__folder_routes(azc_server *s, const char *path, size_t len, azc__folder *folder) {
    char pattern[AZC__FOLDER_PATH + 8];
    azc__page page;
    memset(&page, 0, sizeof page);
    page.handler = azc__folder_serve;
    page.userdata = folder;
    stpcpy(stpcpy(pattern, path), "*path");
    int error = azc__page_make(s, pattern, &page);
    pattern[len - 1] = 0;
    for (size_t i = 0; i < len - 1; i++) folder->depth += pattern[i] == '/';
    return error == AZC_OK && len > 1 ? azc__page_make(s, pattern, &page) : error;
}

static int azc__folder_add(azc_server *s, const char *path, const char *from) {
    size_t len = strlen(path);
    int error;
    if (len == 0 || len > AZC__FOLDER_PATH || path[len - 1] != '/')
        return azc__mistake(s, AZC_ERR_PATTERN, "azc_add_folder: path \"%.100s\": must end with a "
                            "slash, and have at most %d bytes", path, AZC__FOLDER_PATH);
    if (s->fixed != NULL && s->config.max_answers == 0)
        return azc__mistake(s, AZC_ERR_STATE, "azc_add_folder: max_answers 0: must be set with "
                            "azc_create_in");
    azc__folder *folder = azc__folder_open(s, from, &error);
    if (folder == NULL && error == AZC_ERR_MEMORY) azc__error_memory(s, "azc_add_folder");
    return folder == NULL ? error : azc__folder_routes(s, path, len, folder);
}

AZC_API int azc_add_folder(azc_server *server, const char *path, const char *folder) {
    int error;
    if (server == NULL) return AZC_ERR_ARGUMENT;
    if (server->listening) error = azc__setup_late(server, "azc_add_folder");
    else if (path == NULL || folder == NULL) error = azc__error_null(server, "azc_add_folder");
    else error = azc__folder_add(server, path, folder);
    return error == AZC_OK ? AZC_OK : azc__setup_failed(server, error);
}

/* The strings of a type follow the struct: extension, type, and an empty one. */
static int azc__type_make(azc_server *s, const char *extension, const char *type) {
    size_t size = sizeof(azc__type) + strlen(extension) + strlen(type) + 3;
    azc__type *t = (azc__type *)azc__zalloc(&s->mem, size);
    if (t == NULL) return azc__error_memory(s, "azc_add_type");
    stpcpy(stpcpy((char *)(t + 1), extension) + 1, type);
    t->size = size;
    t->next = s->types;
    s->types = t;
    s->files_free = azc__files_free;
    return AZC_OK;
}

AZC_API int azc_add_type(azc_server *server, const char *extension, const char *type) {
    int error;
    if (server == NULL) return AZC_ERR_ARGUMENT;
    if (server->listening) error = azc__setup_late(server, "azc_add_type");
    else if (extension == NULL || type == NULL) error = azc__error_null(server, "azc_add_type");
    else if (!azc__field_valid(type, AZC__MAX_TYPE))
        error = azc__error_type(server, "azc_add_type");
    else if (!azc__extension_valid(extension))
        error = azc__mistake(server, AZC_ERR_ARGUMENT, "azc_add_type: extension \"%.20s\": must be "
                             "1 to %d letters in lower case, digits, - or _, without a dot",
                             extension, AZC__EXTENSION);
    else error = azc__type_make(server, extension, type);
    return error == AZC_OK ? AZC_OK : azc__setup_failed(server, error);
}

#endif /* AZCHAN_IMPLEMENTATION */

/* ==== [40] CHANGES ============================================================================

   0.2.0  Names for 1.0: azc_shutdown (was azc_drain), azc_set_user and azc_user (azc_identify,
          azc_identity), userdata and azc_userdata (user, azc_user), azc_json_int and azc_json_uint
          (azc_json_i64, azc_json_u64), azc_put_begin and azc_put_finish (azc_json_to,
          azc_json_finish), azc_cursor_next (azc_next), azc_set_history (azc_keep), AZC_PART_*.
          azc_send and azc_message replace azc_send_latest and azc_broadcast_latest, _throttled and
          _batched. New: azc_send_all, azc_send_others, azc_send_room, azc_json_count, AZC_NUL,
          azc_version, azc_stop_on_signals, azc_create_in (was config.memory); config.host takes a
          port.
          Broadcasts return AZC_OK, and every result of a callback other than AZC_OK is a failure.
          azc_create_in has max_watched and max_timers, and refuses messages with a key or a period.
          Replays of azc_join do not count against max_backlog. With AZC_FULL_DROP the newest
          message of each key waits for a full backlog.
          Optional parts attach themselves: on_part, on_presence, on_publish, on_room and trusted
          proxies are set by functions, and AZCHAN_CORE is gone.
          For peers: deadlines are judged by progress; HTTP/1.0 gets pages, OPTIONS 204, and every
          pipelined request its answer; a message of a kind that its channel does not take closes
          with 1003. For programs: azc_path for guards, azc_url, config.unix_mode; "https://"
          "*.example" in origins, whose entries are checked; azc_reply_header refuses the fields
          that frame a response; log lines have no queries, and config.log may not call back;
          azc_post holds 256 tasks. A transport behind AZC_SYS must also name accept4, pipe2,
          getrandom, flock, nanosleep, getpid, chmod, ioctl and sigaction.
          azc_log_to, with levels and a limit, replaces azc_logger, and config.log gets the level of
          each line. A refusal has one line with the rule, and the remedy; azc_error names the call
          or field, the value, and what is allowed. Close frames of the server carry a reason. New:
          config.log_level, config.slow_ms.
          azc_add_client serves azchan.js, the page's script; azc_send_users, azc_send_presence.
          azc_add_live: components that the server renders, and azlive.js for their pages.
          azc_add_endpoint and azc_add_upload take requests with a body; azc_body, azc_form,
          config.max_body. A status from 200 to 399 that a handler returns keeps the connection.
          azc_header, azc_cookie, azc_path and azc_method work in on_connect, too. azc_redirect,
          azc_set_cookie, azc_token and azc_equal, for logins.
          azc_add_folder and azc_add_type serve files; azc_add_page has an ETag. A transport behind
          AZC_SYS must also name openat, fstat, pread and, on Linux, sendfile, which may return -1,
          sigprocmask and sigtimedwait.
          azc_reply_later, azc_reply_begin, azc_reply_part and azc_reply_end: answers that come
          later or in parts, as server-sent events do; config.max_answers. azc_find also finds
          requests whose answer is not whole.
   0.1    The first version.
*/

/* ==== [41] LICENSE: MIT =======================================================================

   Copyright (c) 2026 The azchan.h authors

   Permission is hereby granted, free of charge, to any person obtaining a copy of this software
   and associated documentation files (the "Software"), to deal in the Software without
   restriction, including without limitation the rights to use, copy, modify, merge, publish,
   distribute, sublicense, and/or sell copies of the Software, and to permit persons to whom the
   Software is furnished to do so, subject to the following conditions:

   The above copyright notice and this permission notice shall be included in all copies or
   substantial portions of the Software.

   THE SOFTWARE IS PROVIDED "AS IS", WITHOUT WARRANTY OF ANY KIND, EXPRESS OR IMPLIED, INCLUDING
   BUT NOT LIMITED TO THE WARRANTIES OF MERCHANTABILITY, FITNESS FOR A PARTICULAR PURPOSE AND
   NONINFRINGEMENT. IN NO EVENT SHALL THE AUTHORS OR COPYRIGHT HOLDERS BE LIABLE FOR ANY CLAIM,
   DAMAGES OR OTHER LIABILITY, WHETHER IN AN ACTION OF CONTRACT, TORT OR OTHERWISE, ARISING FROM,
   OUT OF OR IN CONNECTION WITH THE SOFTWARE OR THE USE OR OTHER DEALINGS IN THE SOFTWARE. */
