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
 * An attempt that takes more than 15 s has failed.
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
 *     ':state'      {state, seconds, failures, longest, code, reason}. state is 'connecting',
 *                   'open', 'waiting' (the next attempt is in so many seconds), 'offline' (the
 *                   same, but the browser has no network) or 'closed' (no attempt follows).
 *                   failures counts attempts since the last connection that lasted 5 s.
 *                   longest: the pauses grow no more, and the server may be refusing this page (a
 *                   page cannot see a 401)
 *     ':message'    any message that answers no request: parsed, or text that is not JSON
 *     ':binary'     a binary message, as an ArrayBuffer
 *     ':users'      a list of users has changed */
globalThis.AzChannel = function AzChannel(path, options = {}) {
    const channel = this, page = globalThis;
    const { least = 1000, most = 30000, limit = 100, final = [] } = options;
    const handlers = new Map(), asked = new Map(), rooms = new Map();
    const stop = new AbortController();
    let socket = 0;    // of this attempt; until the token is here, a plain object
    let timer;         // of the attempt, of the heartbeat, or of the pause: never two of them
    let waiting = [];  // messages for the next connection: [data, ref]
    let failures = 0, opened = NaN, last = 0, state, pingMs, pongMs;

    const after = (ms, fn) => {
        clearTimeout(timer);
        timer = ms && setTimeout(fn, ms);
    };

    /* An error in the page's code does not stop the script. */
    const emit = (type, value) => {
        for (const fn of handlers.get(type) || []) {
            try { fn(value); } catch (error) { console.error(error); }
        }
    };

    const become = (name, more) => {
        channel.state = state = name;
        emit(':state', { state, failures, ...more });
    };

    /* ---- Requests ---- */

    const settle = (ref, code, reply) => {
        const [resolve, reject, timeout] = asked.get(ref);
        asked.delete(ref);
        clearTimeout(timeout);
        waiting = waiting.filter((one) => one[1] !== ref);
        if (code) reject(Object.assign(new Error(code), { code }, reply));
        else resolve(reply);
    };

    channel.send = (data, { queue, ref } = {}) => {
        if (/ (Object|Array)]/.test({}.toString.call(data))) data = JSON.stringify(data);
        if (state === 'open') return socket.send(data), true;
        return queue && state !== 'closed' && waiting.length < limit && waiting.push([data, ref]);
    };

    channel.request = (message, { timeout = 10000, queue } = {}) => new Promise((yes, no) => {
        const ref = ++last;
        asked.set(ref, [yes, no, setTimeout(settle, timeout, ref, 'TIMEOUT')]);
        if (!channel.send({ ...message, ref }, { queue, ref })) settle(ref, 'CLOSED');
    });

    /* ---- Messages ---- */

    const take = (message) => {
        const { type, ref, room, all, add = [], remove = [] } = message ?? {};
        if (asked.has(ref))
            return settle(ref, type === 'error' && (message.code || type), message);
        if (type === ':hello') ({ ping_ms: pingMs, pong_ms: pongMs } = message);
        if (type === ':users') {
            const list = new Set([...all || channel.users(room), ...add]);
            for (const user of remove) list.delete(user);
            rooms.set(room, list);
        }
        if (!/^:/.test(type)) emit(':message', message);
        emit(type, message);
    };

    const receive = (data) => {
        if (typeof data !== 'string') return emit(':binary', data);
        try { data = JSON.parse(data); } catch { /* text */ }
        [].concat(data).forEach(take); // an array is a batch of azc_send
    };

    /* ---- The connection ---- */

    /* The link is dead if nothing follows a :ping. A close would wait for the peer; we do not. */
    const ping = () => {
        socket.send('{"type":":ping"}');
        after(pongMs, lost);
    };

    /* The replies to what was sent are lost. What waits may still be sent. */
    const end = (name, more) => {
        socket = 0;
        become(name, more);
        for (const ref of asked.keys())
            if (!waiting.some((one) => one[1] === ref)) settle(ref, 'CLOSED');
    };

    const finish = (code, reason) => {
        after();
        stop.abort();
        waiting = [];
        end('closed', { code, reason });
    };

    const lost = ({ code = 1006, reason } = {}) => {
        socket.close?.();
        if (Date.now() - opened > 5000) failures = 0; // else it has hardly worked
        opened = NaN;
        if ([1008, ...final].includes(code)) return finish(code, reason);
        const bound = Math.min(most, least * 2 ** failures++), pause = Math.random() * bound;
        after(pause + 1, connect);
        end(page.navigator?.onLine === false ? 'offline' : 'waiting',
            { seconds: Math.ceil(pause / 1000), longest: bound === most, code, reason });
    };

    const connect = async () => {
        let mine = socket = {};
        pingMs = 0; // until the :hello
        const current = (fn) => (event) => socket === mine && fn(event);
        after(15000, lost);
        become('connecting');
        try {
            const url = new URL(path, page.location), query = url.searchParams;
            const token = await options.token?.();
            if (socket !== mine) return;
            url.protocol = url.protocol.replace('http', 'ws');
            query.set('azchan', 1);
            if (token) query.set('token', token);
            mine = socket = new (options.WebSocket || WebSocket)(url, options.protocols || []);
            mine.binaryType = 'arraybuffer';
            mine.onopen = current(() => {
                opened = Date.now();
                after();
                for (const [data] of waiting.splice(0)) mine.send(data);
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
        if (state === 'closed') return;
        socket.close?.(code, reason);
        finish(code, reason);
    };
    after(1, connect); // once the page's code has called on()
};
