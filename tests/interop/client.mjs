/* client.mjs: examples/pages/azchan.js in Node, with npm's ws, against client_server.c.
 *
 *     cd tests/interop && npm ci && node client.mjs [part of a test's name ...] */

import { mkdtempSync, readFileSync, rmSync, statSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { pathToFileURL } from 'node:url';
import {
    assert, free_port, need_binary, need_package, pause, proxy, request, root, run, test, until,
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

test('the server is killed and started again: the channel comes back', async (t) => {
    const port = String(await free_port());
    const first = await start(t, port);
    const one = channel(t, url(first));
    await opened(one);
    for (let round = 0; round < 3; round++) {
        await t.servers.at(-1).kill();
        await until('a lost connection', () => one.state !== 'open');
        assert.ok(!one.send({ n: 1 }), 'nothing is queued unless it is asked for');
        await assert.rejects(one.request({ n: 1 }), { code: 'CLOSED' });
        await pause(150);
        await start(t, port);
        await opened(one);
        assert.equal((await one.request({ n: round })).n, round);
    }
    const states = one.states.map(({ state }) => state);
    assert.equal(states.filter((state) => state === 'open').length, 4);
    assert.ok(!states.includes('closed'));
});

test('pauses: a random part of a bound that doubles, the longest is said', async (t) => {
    const random = Math.random;
    const times = [];
    const one = channel(t, `http://127.0.0.1:${await free_port()}/t`, { least: 8, most: 64 });
    one.on(':state', ({ state }) => times.push([state, performance.now()]));
    Math.random = () => 0.5;
    t.after(() => { Math.random = random; });
    const waits = () => one.states.filter(({ state }) => state === 'waiting');
    await until('10 attempts', () => waits().length >= 10, 20000);
    waits().slice(0, 10).forEach(({ longest, code }, i) => {
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
    await assert.rejects(one.request({ n: 9 }), { code: 'CLOSED' });
    await start(t, port);
    await until('what waited', () => got.length === 5);
    assert.deepEqual(got, [0, 1, 2, 3, 4]);
    assert.ok(one.send({ n: 10 }));
    await until('one more', () => got.length === 6);
});

test('the token is asked before each attempt; without one it has failed', async (t) => {
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
        const opens = () => one.states.filter(({ state }) => state === 'open').length;
        await until('a return', () => opens() === 2);
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
    await until('a lost link', () => one.state !== 'open' || way.accepted > 1);
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

/* ---- Recovery ---- */

/* A page that shows the news, which are numbers: it begins anew when it is told to. */
function reader(t, url, options) {
    const one = channel(t, url, { least: 10, most: 50, ...options });
    Object.assign(one, { list: [], fresh: 0, errors: [] });
    one.on(':room', ({ room, fresh }) => {
        assert.equal(room, 'news');
        if (!fresh) return;
        one.list = [];
        one.fresh++;
    });
    one.on('news', ({ n }) => {
        const last = one.list.at(-1);
        if (last !== undefined && n !== last + 1) one.errors.push(`${n} after ${last}`);
        one.list.push(n);
    });
    return one;
}

test('recovery: links that break all the time miss nothing and repeat nothing', async (t) => {
    const server = await start(t, '0', 'news');
    const way = await proxy(t, server.port);
    const all = Array.from({ length: 5 }, (_, i) => reader(t,
        `http://127.0.0.1:${way.port}/news?user=u${i}`));
    await Promise.all(all.map(opened));
    for (let i = 0; i < 50; i++) {
        await pause(40);
        way.cut();
    }
    await Promise.all(all.map(opened));
    const newest = all[0].list.at(-1);
    await until('the news of now', () => all.every(({ list }) => list.at(-1) > newest + 20));
    for (const { list, fresh, errors, states } of all) {
        assert.deepEqual(errors, []);
        assert.equal(fresh, 1, 'only the first time');
        assert.ok(list.at(-1) - list[0] + 1 === list.length && list.length > 200);
        assert.ok(states.filter(({ state }) => state === 'open').length > 20);
    }
}, 60000);

test('recovery: a server that is killed 50 times, and reads its news from a file', async (t) => {
    const port = String(await free_port()), folder = mkdtempSync(path.join(os.tmpdir(), 'azchan-'));
    const file = path.join(folder, 'news');
    t.after(() => rmSync(folder, { recursive: true }));
    let server = await start(t, port, 'news', file);
    const all = Array.from({ length: 3 }, () => reader(t, `http://127.0.0.1:${port}/news`));
    await Promise.all(all.map(opened));
    for (let i = 0; i < 50; i++) {
        await pause(60);
        await server.kill();
        server = await start(t, port, 'news', file);
        if (i % 10 === 9) await Promise.all(all.map(opened));
    }
    await Promise.all(all.map(opened));
    const newest = statSync(file).size;
    await until('the news of now', () => all.every(({ list }) => list.at(-1) > newest + 20));
    for (const { list, fresh, errors } of all) {
        assert.deepEqual(errors, []);
        assert.ok(fresh > 5, 'each server has another epoch');
        assert.equal(list.at(-1) - list[0] + 1, list.length);
        assert.ok(list[0] <= Math.max(1, newest - 400), `${list[0]} of ${newest}`);
    }
}, 60000);

test('recovery: after more than is kept, a page begins anew with what is', async (t) => {
    const server = await start(t, '0', 'news');
    const way = await proxy(t, server.port);
    const one = reader(t, `http://127.0.0.1:${way.port}/news`, { least: 9000, most: 9000 });
    const random = Math.random;
    Math.random = () => 0.9;
    t.after(() => { Math.random = random; });
    await opened(one);
    await until('news', () => one.list.length > 5);
    way.cut();
    await until('a return', () => one.fresh === 2, 20000);
    await until('news', () => one.list.length > 1000);
    assert.deepEqual(one.errors, []);
});

test('10,000 reconnects leave no memory behind', async (t) => {
    const server = await start(t, '0');
    const one = channel(t, url(server), { least: 1, most: 1 });
    one.on(':state', () => { one.states = []; });
    let opens = 0, before = 0;
    one.on(':state', ({ state }) => {
        if (state !== 'open') return;
        if (++opens % 1000 === 0) one.request({ n: opens });
        setImmediate(() => one.send({ ask: 'close', code: 1012 }));
    });
    await until('1000', () => opens >= 1000, 60000);
    globalThis.gc();
    before = process.memoryUsage().heapUsed;
    await until('10,000', () => opens >= 10000, 60000);
    globalThis.gc();
    const grown = process.memoryUsage().heapUsed - before;
    assert.ok(grown < 2e6, `${grown} bytes more`); // the server's log here, and no socket at all
}, 90000);

setFlagsFromString('--expose-gc');
globalThis.gc = runInNewContext('gc');
await run('client.mjs');
