/* client.mjs: examples/pages/azchan.js in Node, with npm's ws, against tests/interop/client_server.c.
 *
 *     cd tests/interop && npm ci && node client.mjs [part of a test's name ...] */

import net from 'node:net';
import { readFileSync } from 'node:fs';
import path from 'node:path';
import { pathToFileURL } from 'node:url';
import {
    assert, free_port, here, need_binary, need_package, pause, request, root, run, test, until,
} from './lib.mjs';

const script = path.join(root, 'examples/pages/azchan.js');
const WebSocket = need_package('ws');
need_binary('client_server');
await import(pathToFileURL(script));
const { AzChannel } = globalThis;

/* A channel that is closed behind the test. It notes its states, and messages by `each`. */
function channel(t, url, options) {
    const one = new AzChannel(`${url}`, { WebSocket, least: 50, most: 400, ...options });
    one.states = [];
    one.on(':state', (state) => one.states.push(state));
    t.after(() => one.close());
    return one;
}
const opened = (one) => until('an open channel', () => one.state === 'open');
const start = (t, ...args) => t.server('client_server', ...args);
const url = (server, query = '') => `http://${server.host}/t${query}`;

/* A TCP proxy that can stop forwarding without closing: what a phone's dead link looks like. */
async function proxy(t, port) {
    const sockets = new Set();
    const one = { frozen: false, accepted: 0, port: 0 };
    const server = net.createServer((near) => {
        const far = net.connect(port, '127.0.0.1');
        one.accepted++;
        for (const [from, to] of [[near, far], [far, near]]) {
            sockets.add(from);
            from.on('data', (data) => { if (!from.dead && !to.dead) to.write(data); });
            from.on('close', () => { sockets.delete(from); if (!from.dead) to.destroy(); });
            from.on('error', () => {});
        }
    });
    one.freeze = () => { for (const socket of sockets) socket.dead = true; };
    await new Promise((resolve) => { server.listen(0, '127.0.0.1', resolve); });
    one.port = server.address().port;
    t.after(() => { for (const socket of sockets) socket.destroy(); server.close(); });
    return one;
}

test('the served script is the file without comments, and runs', async (t) => {
    const server = await start(t, '0');
    const { body, status, headers } = await request(`http://${server.host}/azchan.js`);
    assert.equal(status, 200);
    const again = await request(`http://${server.host}/azchan.js`,
        { headers: { 'If-None-Match': headers.etag } });
    assert.equal(again.status, 304);
    assert.ok(body.length < readFileSync(script).length);
    const before = globalThis.AzChannel;
    (0, eval)(String(body)); // as a classic script
    const one = new globalThis.AzChannel(url(server), { WebSocket });
    assert.notEqual(globalThis.AzChannel, before);
    globalThis.AzChannel = before;
    t.after(() => one.close());
    await opened(one);
    assert.deepEqual((await one.request({ n: 1 })).n, 1);
});

test('on and off: messages by type, all of them, batches, text and binary', async (t) => {
    const server = await start(t, '0');
    const one = channel(t, url(server));
    const got = [], all = [], binary = [];
    const note = (message) => got.push(message.n);
    one.on('n', note);
    one.on(':message', (message) => all.push(message));
    one.on(':binary', (data) => binary.push([...new Uint8Array(data)]));
    await opened(one);
    one.send({ ask: 'batch' });
    await until('a batch', () => got.length === 2);
    assert.deepEqual(got, [1, 2]);
    assert.deepEqual(all, [{ type: 'n', n: 1 }, { type: 'n', n: 2 }]);
    one.off('n', note);
    one.send({ ask: 'batch' });
    one.send(new Uint8Array([1, 2, 3]));
    one.send(new Uint8Array([4, 5]).buffer);
    await until('binary messages', () => binary.length === 2);
    assert.deepEqual(binary, [[1, 2, 3], [4, 5]]);
    assert.deepEqual(got, [1, 2]);
});

test('an error in the page\'s code stops neither the script nor the other functions', async (t) => {
    const server = await start(t, '0');
    const one = channel(t, url(server));
    const error = console.error, printed = [];
    console.error = (what) => printed.push(what.message);
    t.after(() => { console.error = error; });
    one.on('got', () => { throw new Error('the page\'s'); });
    let n = 0;
    one.on('got', () => n++);
    await opened(one);
    one.send({ n: 1 });
    await until('the other function', () => n === 1);
    assert.deepEqual(printed, ['the page\'s']);
});

test('requests: replies by ref, the server\'s error, a timeout, not connected', async (t) => {
    const server = await start(t, '0');
    const one = channel(t, url(server));
    await assert.rejects(one.request({ n: 0 }), { code: 'CLOSED' });
    await opened(one);
    const replies = await Promise.all([1, 2, 3].map((n) => one.request({ n })));
    assert.deepEqual(replies.map(({ n }) => n), [1, 2, 3]);
    await assert.rejects(one.request({ ask: 'refuse' }), { code: 'REFUSED', message: 'REFUSED' });
    await assert.rejects(one.request({ ask: 'fail' }), { code: 'INTERNAL_ERROR' });
    const begun = Date.now();
    await assert.rejects(one.request({ ask: 'nothing' }, { timeout: 200 }), { code: 'TIMEOUT' });
    assert.ok(Date.now() - begun >= 195);
    const lost = assert.rejects(one.request({ ask: 'nothing' }), { code: 'CLOSED' });
    one.send({ ask: 'close', code: 1001 });
    await lost;
});

test('the server is killed and started again: the channel comes back, with its requests', async (t) => {
    const port = String(await free_port());
    const first = await start(t, port);
    const one = channel(t, url(first));
    await opened(one);
    for (let round = 0; round < 3; round++) {
        await t.servers.at(-1).kill();
        await until('a lost connection', () => one.state !== 'open');
        assert.ok(!one.send({ n: 1 }), 'nothing is queued unless it is asked for');
        const reply = one.request({ n: round }, { queue: true, timeout: 20000 });
        await pause(150);
        await start(t, port);
        assert.equal((await reply).n, round);
        assert.equal(one.state, 'open');
    }
    const states = one.states.map(({ state }) => state);
    assert.equal(states.filter((state) => state === 'open').length, 4);
    assert.ok(!states.includes('closed'));
});

test('pauses: a random part of a bound that doubles, never given up, the longest is said', async (t) => {
    const random = Math.random;
    const times = [];
    const one = channel(t, `http://127.0.0.1:${await free_port()}/t`, { least: 8, most: 64 });
    one.on(':state', ({ state }) => times.push([state, performance.now()]));
    Math.random = () => 0.5;
    t.after(() => { Math.random = random; });
    const waits = () => one.states.filter(({ state }) => state === 'waiting');
    await until('10 attempts', () => waits().length >= 10, 20000);
    waits().slice(0, 10).forEach(({ failures, longest, code }, i) => {
        assert.equal(failures, i + 1);
        assert.equal(longest, i >= 3, `attempt ${i}: 8, 16, 32, then 64 ms`);
        assert.equal(code, 1006);
    });
    let n = 0;
    times.forEach(([state, begun], i) => {
        if (state !== 'waiting' || i + 1 === times.length) return;
        const took = times[i + 1][1] - begun, bound = Math.min(64, 8 * 2 ** n++);
        assert.ok(took >= bound / 2 - 1 && took < bound / 2 + 500, `${took} ms of ${bound}`);
    });
});

test('pauses: 500 channels that lose their server are spread over the first pause', async (t) => {
    const port = await free_port();
    const seconds = [];
    for (let i = 0; i < 500; i++) {
        const one = channel(t, `http://127.0.0.1:${port}/t`, {
            least: 100000, most: 100000,
            WebSocket: class { constructor() { throw new Error('no server'); } },
        });
        one.on(':state', (state) => { if (state.seconds) seconds.push(state.seconds); });
    }
    await until('all pauses', () => seconds.length === 500);
    assert.ok(Math.min(...seconds) >= 0 && Math.max(...seconds) <= 100);
    for (let tenth = 0; tenth < 10; tenth++) { // 50 expected, standard deviation 6.7
        const n = seconds.filter((s) => s > tenth * 10 && s <= tenth * 10 + 10).length;
        assert.ok(n > 10 && n < 90, `${n} in tenth ${tenth}`);
    }
});

test('the queue: opt-in, in order, bounded', async (t) => {
    const port = String(await free_port());
    const one = channel(t, `http://127.0.0.1:${port}/t`, { limit: 5 });
    const got = [];
    one.on('got', ({ n }) => got.push(n));
    const taken = [];
    for (let n = 0; n < 8; n++) taken.push(!!one.send({ n }, { queue: true }));
    assert.deepEqual(taken, [true, true, true, true, true, false, false, false]);
    await assert.rejects(one.request({ n: 9 }, { queue: true }), { code: 'CLOSED' });
    await start(t, port);
    await until('what waited', () => got.length === 5);
    assert.deepEqual(got, [0, 1, 2, 3, 4]);
    assert.ok(one.send({ n: 10 }));
    await until('one more', () => got.length === 6);
});

test('the queue: a request that timed out is not sent any more', async (t) => {
    const port = String(await free_port());
    const one = channel(t, `http://127.0.0.1:${port}/t`);
    const got = [];
    one.on('got', ({ n }) => got.push(n));
    await assert.rejects(one.request({ n: 1 }, { queue: true, timeout: 100 }), { code: 'TIMEOUT' });
    one.send({ n: 2 }, { queue: true });
    await start(t, port);
    await until('what waited', () => got.length >= 1);
    assert.deepEqual(got, [2]);
});

test('the token is asked before each attempt; one that fails is an attempt that failed', async (t) => {
    const server = await start(t, '0');
    const tokens = ['old', 'old', null, 'good'];
    let asked = 0;
    const one = channel(t, url(server, '?a=b'), {
        token: async () => {
            const token = tokens[Math.min(asked++, tokens.length - 1)];
            if (token === null) throw new Error('no token');
            return token;
        },
    });
    await opened(one);
    assert.equal(asked, 4);
    assert.equal(one.states.filter(({ state }) => state === 'waiting').length, 3);
    assert.match(one.states.findLast(({ state }) => state === 'waiting').reason, /no token/);
    one.send({ ask: 'close', code: 1012 });
    await until('another token', () => asked === 5);
    await opened(one);
});

test('close codes: 1008 and those of the program end the retrying, others do not', async (t) => {
    const server = await start(t, '0');
    for (const code of [1008, 4001]) {
        const one = channel(t, url(server), { final: [4001] });
        await opened(one);
        const request = assert.rejects(one.request({ ask: 'nothing' }), { code: 'CLOSED' });
        one.send({ ask: 'close', code });
        await until('an end', () => one.state === 'closed');
        await request;
        const { code: last, reason } = one.states.at(-1);
        assert.deepEqual([last, reason], [code, 'asked']);
        await pause(600);
        assert.equal(one.state, 'closed');
        assert.ok(!one.send({ n: 1 }, { queue: true }));
    }
    for (const code of [1001, 1012, 1013, 4002]) {
        const one = channel(t, url(server), { final: [4001] });
        await opened(one);
        one.send({ ask: 'close', code });
        await until('a return', () => one.states.filter(({ state }) => state === 'open').length === 2);
        one.close();
        assert.equal(one.state, 'closed');
    }
});

test('several channels side by side; closing one leaves the others', async (t) => {
    const server = await start(t, '0');
    const all = Array.from({ length: 20 }, () => channel(t, url(server)));
    await Promise.all(all.map(opened));
    const replies = await Promise.all(all.map((one, n) => one.request({ n })));
    assert.deepEqual(replies.map(({ n }) => n), all.map((_, n) => n));
    all[0].close(4000, 'enough');
    assert.equal((await all[1].request({ n: 7 })).n, 7);
    await assert.rejects(all[0].request({ n: 7 }), { code: 'CLOSED' });
});

test('heartbeat: a dead link is noticed, and the channel connects again', async (t) => {
    const server = await start(t, '0', '400', '2000');
    const way = await proxy(t, server.port);
    const one = channel(t, `http://127.0.0.1:${way.port}/t`);
    await opened(one);
    await pause(2000); // several heartbeats
    assert.equal(way.accepted, 1, 'a live link that is silent is kept');
    way.freeze();
    const begun = Date.now();
    await until('a lost link', () => one.state !== 'open');
    const took = Date.now() - begun;
    assert.ok(took >= 1500 && took < 6000, `${took} ms, of 400 + 2000`);
    await opened(one);
    assert.equal(way.accepted, 2);
    assert.equal((await one.request({ n: 5 })).n, 5);
});

test('subprotocols are offered', async (t) => {
    const server = await start(t, '0');
    const offered = [];
    const one = channel(t, url(server), {
        protocols: ['v1', 'v3'],
        WebSocket: class extends WebSocket {
            constructor(to, protocols) {
                super(to, protocols);
                this.on('open', () => offered.push(this.protocol));
            }
        },
    });
    await opened(one);
    assert.deepEqual(offered, ['v1']);
});

test('presence: a list for each room, kept through changes', async (t) => {
    const server = await start(t, '0');
    const ada = channel(t, url(server, '?user=ada'));
    await opened(ada);
    const bob = channel(t, url(server, '?user=bob'));
    const list = (one) => one.users('tea').sort().join();
    await until('both lists', () => list(ada) === 'ada,bob' && list(bob) === 'ada,bob');
    assert.deepEqual(ada.users('none'), []);
    bob.close();
    await until('a shorter list', () => list(ada) === 'ada');
});

test('`online` and a page that becomes visible: at once, or a look at the link', async (t) => {
    const port = String(await free_port());
    globalThis.document = new EventTarget();
    const page = new EventTarget();
    globalThis.addEventListener = page.addEventListener.bind(page);
    t.after(() => { delete globalThis.document; delete globalThis.addEventListener; });
    const one = channel(t, `http://127.0.0.1:${port}/t`, { least: 1e6, most: 1e6 });
    await until('a pause', () => one.state === 'waiting');
    await start(t, port);
    globalThis.document.hidden = true;
    globalThis.document.dispatchEvent(new Event('visibilitychange'));
    await pause(100);
    assert.equal(one.state, 'waiting');
    page.dispatchEvent(new Event('online'));
    await opened(one);
    one.send({ ask: 'close', code: 1001 });
    await until('a pause', () => one.state === 'waiting');
    globalThis.document.hidden = false;
    globalThis.document.dispatchEvent(new Event('visibilitychange'));
    await opened(one);
    one.close();
    page.dispatchEvent(new Event('online'));
    await pause(50);
    assert.equal(one.state, 'closed');
});

await run('client.mjs');
