/* azchan.js: a channel that reconnects. azc_add_client(server, "/azchan.js") serves it, without its
 * comments; the manual of azchan.h (THE PAGE'S SCRIPT) describes the messages.
 *
 *     <script src="/azchan.js"></script>      or, in a module and in Node: import './azchan.js';
 *
 *     const chat = new AzChannel('/chat');
 *     chat.on('joined', (message) => ...);    a message of this type, parsed; off() undoes it
 *     chat.send({type: 'say', text: 'hi'});   falsy: not connected, nothing was sent
 *     chat.send('text', {queue: true});       or it waits for the next connection
 *     const reply = await chat.request({ask: 'time'}, {timeout: 3000});
 *     chat.users('tea');                      the users in a room, if the server sends them
 *     chat.close();                           for good
 *
 * An object or array is sent as JSON, anything else as it is. A request fails with an Error whose
 * `code` is the server's, TIMEOUT, or CLOSED: there is no connection, or it ended before the reply.
 * An attempt that takes more than 15 s has failed. After a reconnect the server sends what was
 * missed of rooms with a history, as if nothing had happened; if it cannot, ':room' says `fresh`.
 *
 * Options, all of them optional:
 *
 *     token()       is asked before each attempt, and may be async. Its result goes into the query,
 *                   as `token`. If it throws, the attempt has failed
 *     protocols     subprotocols, as for new WebSocket
 *     final         close codes that end the retrying, besides 1008: [4001, 4003]
 *     limit         messages that may wait for a connection: 100
 *     least, most   the pause after n failures is random, between 0 and least * 2^n ms, and at most
 *                   `most`: 1000 and 30000
 *     WebSocket     the constructor, where there is none: Node's ws
 *
 * Events of the script's own begin with a colon:
 *
 *     ':state'      {state, seconds, longest, code, reason}. state is 'connecting', 'open',
 *                   'waiting' (the next attempt is in so many seconds), 'offline' (the same, but
 *                   the browser has no network) or 'closed' (no attempt follows). longest: the
 *                   pauses grow no more, and the server may be refusing this page (a page cannot
 *                   see a 401). code and reason are those of the end, if it had a close
 *     ':room'       {room, fresh, epoch, serial}: messages of this room follow. fresh: not those
 *                   that were missed, but all that are kept, so a page that shows messages begins
 *                   anew. The serial is kept up to date: `${epoch},${serial}` is for azc_join_since
 *     ':message'    any message that answers no request: parsed, or text that is not JSON
 *     ':binary'     a binary message, as an ArrayBuffer
 *     ':users'      a list of users has changed */
globalThis.AzChannel = function AzChannel(path, options = {}) {
    const channel = this, page = globalThis;
    let { least = 1000, most = 30000, limit = 100, final = [] } = options;
    const handlers = new Map(), asked = new Map(), rooms = new Map(), places = new Map();
    const stop = new AbortController();
    let socket = 0;    // of this attempt; until the token is here, a plain object
    let timer;         // of the attempt, of the heartbeat, or of the pause: never two of them
    let waiting = [];  // messages for the next connection
    let failures = 0, last = 0, opened, state, pingMs, pongMs;
    let from, at, left = 0; // of the last :at: the room's id, the next serial, how many follow

    const after = (ms, fn) => {
        clearTimeout(timer);
        timer = ms && setTimeout(fn, ms);
    };

    /* An error in the page's code does not stop the script. */
    const emit = (type, value) => {
        handlers.get(type)?.forEach((fn) => {
            try { fn(value); } catch (error) { console.error(error); }
        });
    };

    const become = (name, { code, reason } = {}, more) => {
        emit(':state', { state: channel.state = state = name, code, reason, ...more });
    };

    /* ---- Requests ---- */

    channel.send = (data, { queue } = {}) => {
        if (/ (Object|Array)]/.test({}.toString.call(data))) data = JSON.stringify(data);
        if (state === 'open') return socket.send(data), true;
        return queue && waiting.length < limit && waiting.push(data);
    };

    channel.request = (message, { timeout = 10000 } = {}) => new Promise((resolve, reject) => {
        const ref = ++last, settle = (code, reply) => {
            asked.delete(ref);
            clearTimeout(late);
            if (code) reject(Object.assign(new Error(code), { code }, reply));
            else resolve(reply);
        }, late = setTimeout(settle, timeout, 'TIMEOUT');
        asked.set(ref, settle);
        if (!channel.send({ ...message, ref })) settle('CLOSED');
    });

    /* ---- Messages ---- */

    const take = (message) => {
        const { type, ref, room, all, add = [], remove = [] } = message ?? {};
        const settle = asked.get(ref);
        if (settle) return settle(type === 'error' && (message.code || type), message);
        if (type === ':hello') ({ ping_ms: pingMs, pong_ms: pongMs } = message);
        if (type === ':room') places.set(message.id, message);
        if (type === ':gap') return lost();
        if (type === ':users') {
            const list = new Set([...all || channel.users(room), ...add]);
            remove.forEach((user) => list.delete(user));
            rooms.set(room, list);
        }
        if (!/^:/.test(type)) emit(':message', message);
        emit(type, message);
    };

    const receive = (data) => {
        let message = data;
        try { message = JSON.parse(data); } catch { /* text, or binary */ }
        if (message?.[':at']) return [from, at, left] = message[':at'];
        if (left-- > 0) places.get(from).serial = at++;
        if (typeof data !== 'string') return emit(':binary', data);
        [].concat(message).forEach(take); // an array is a batch of azc_send
    };

    /* ---- The connection ---- */

    /* The link is dead if nothing follows a :ping. A close would wait for the peer; we do not. */
    const ping = () => {
        socket.send('{"type":":ping"}');
        after(pongMs, lost);
    };

    /* The replies to what was sent are lost. What waits may still be sent. */
    const end = (name, event, more) => {
        socket = 0;
        become(name, event, more);
        asked.forEach((settle) => settle('CLOSED'));
    };

    const finish = (event) => {
        after();
        stop.abort();
        waiting = [];
        limit = 0;
        end('closed', event);
    };

    const lost = (event = {}) => {
        socket.close?.();
        if (opened && Date.now() - opened > 5000) failures = 0; // else it has hardly worked
        if ([1008, ...final].includes(event.code)) return finish(event);
        const bound = Math.min(most, least * 2 ** failures++), pause = Math.random() * bound;
        after(pause + 1, connect);
        end(page.navigator?.onLine === false ? 'offline' : 'waiting', event,
            { seconds: Math.ceil(pause / 1000), longest: bound === most });
    };

    const connect = async () => {
        let mine = socket = {};
        opened = pingMs = 0; // until the open, and the :hello
        const current = (fn) => (event) => socket === mine && fn(event);
        after(15000, lost);
        become('connecting');
        try {
            const url = new URL(path, page.location), query = url.searchParams;
            const token = await options.token?.();
            if (socket !== mine) return;
            query.set('azchan', 1);
            query.set('since', [...places.values()].map((one) => [one.epoch, one.serial]));
            if (token) query.set('token', token);
            mine = socket = new (options.WebSocket || WebSocket)(
                `${url}`.replace(/^http/, 'ws'), options.protocols);
            mine.binaryType = 'arraybuffer';
            mine.onopen = current(() => {
                opened = Date.now();
                after();
                waiting.splice(0).forEach((data) => mine.send(data));
                become('open');
            });
            mine.onmessage = current(({ data }) => {
                receive(data);
                if (socket === mine) after(pingMs, ping);
            });
            mine.onclose = current(lost);
            mine.onerror = () => {}; // Node's ws wants one; a close follows
        } catch (error) {
            current(lost)({ reason: `${error}` });
        }
    };

    /* The network or the page is back: try at once, or see whether the link still works. The
     * controller has the signal that removes the listeners. */
    const wake = () => {
        if (!socket) connect();
        else if (pingMs) ping();
    };
    page.addEventListener?.('online', wake, stop);
    page.document?.addEventListener('visibilitychange', () => document.hidden || wake(), stop);

    /* ---- The rest of the calls ---- */

    channel.on = (type, fn) => handlers.set(type, (handlers.get(type) || new Set()).add(fn));
    channel.off = (type, fn) => handlers.get(type)?.delete(fn);
    channel.users = (room) => [...rooms.get(room) || []];
    channel.close = (code, reason) => {
        socket.close?.(code, reason);
        finish({ code, reason });
    };
    after(1, connect); // once the page's code has called on()
};
