/* ws.mjs: npm's ws against every channel of examples/echo.c and examples/chat.c.
 *
 *     cd tests/interop && npm ci && node ws.mjs [part of a test's name ...]
 *
 * BUILD names the folder of the binaries, ../../build without it. */

import { randomBytes } from 'node:crypto';
import http from 'node:http';
import net from 'node:net';
import { assert, need_binary, need_package, refused, request, run, test, within } from './lib.mjs';

need_package('ws');
need_binary('echo');
need_binary('chat');

const KiB = 1024;
const MiB = 1024 * KiB;
const upgrade = {
    Connection: 'keep-alive, Upgrade',
    Upgrade: 'websocket',
    'Sec-WebSocket-Version': '13',
    'Sec-WebSocket-Key': 'dGhlIHNhbXBsZSBub25jZQ==',
};

/* Text whose characters have one, two, three and four bytes, so that cuts fall inside them. */
const letters = Buffer.from('aé€😀');
function words(size) {
    const text = Buffer.alloc(size, '.');
    for (let at = 0; at + letters.length <= size; at += letters.length) letters.copy(text, at);
    return text;
}

function send_in_parts(client, data, part, binary) {
    for (let at = 0; at < data.length; at += part) {
        client.send(data.subarray(at, at + part), { binary, fin: at + part >= data.length });
    }
}

function same(got, sent) {
    assert.equal(got.length, sent.length, 'as long as it was sent');
    assert.ok(Buffer.compare(got, sent) === 0, 'the same bytes');
}

async function echoes(client, data, binary) {
    client.send(data, { binary });
    const got = await client.next(15000);
    assert.equal(got.binary, binary, 'the same kind');
    same(got.data, data);
}

/* ---- echo ----------------------------------------------------------------------------------- */

for (const perMessageDeflate of [false, true]) {
    const how = perMessageDeflate ? 'with compression offered' : 'without extensions';

    test(`echo: every length form, ${how}`, async (t) => {
        const { ws } = await t.server('echo', '0');
        const client = await t.client(`${ws}/echo`, { perMessageDeflate });
        for (const size of [0, 1, 124, 125, 126, 127, 65535, 65536, 65537, MiB]) {
            await echoes(client, words(size), false);
            await echoes(client, randomBytes(size), true);
        }
        assert.deepEqual(await client.close(1000, 'done'), { code: 1000, reason: 'done' });
    });

    test(`echo: 16 MiB whole and in 4 KiB fragments, ${how}`, async (t) => {
        const { ws } = await t.server('echo', '0');
        const client = await t.client(`${ws}/echo`, { perMessageDeflate });
        await echoes(client, words(16 * MiB), false);
        const data = randomBytes(16 * MiB);
        await echoes(client, data, true);
        send_in_parts(client, data, 4 * KiB, true);
        same(await client.binary(15000), data);
        const text = words(16 * MiB);
        send_in_parts(client, text, 4 * KiB - 1, false);
        same((await client.next(15000)).data, text);
        await client.close();
    }, 60000);
}

test('echo: 20,000 fragments of one byte', async (t) => {
    const { ws } = await t.server('echo', '0');
    const client = await t.client(`${ws}/echo`);
    const text = words(20000);
    send_in_parts(client, text, 1, false);
    same((await client.next(15000)).data, text);
});

test('echo: a ping between fragments is answered, the message stays whole', async (t) => {
    const { ws } = await t.server('echo', '0');
    const client = await t.client(`${ws}/echo`);
    client.send('one ', { fin: false });
    assert.equal(String(await client.pong('between')), 'between');
    client.send('', { fin: false });
    client.send('two', { fin: true });
    assert.equal(await client.text(), 'one two');
});

test('echo: pings of 0 and 125 bytes come back as pongs, an unasked pong is fine', async (t) => {
    const { ws } = await t.server('echo', '0');
    const client = await t.client(`${ws}/echo`);
    assert.equal((await client.pong()).length, 0);
    const data = randomBytes(125);
    same(await client.pong(data), data);
    client.ws.pong('unasked');
    await echoes(client, Buffer.from('still here'), false);
});

test('echo: 200 messages at once come back in order', async (t) => {
    const { ws } = await t.server('echo', '0');
    const client = await t.client(`${ws}/echo`);
    for (let i = 0; i < 200; i++) client.send(`${i} ${'x'.repeat(i * 7)}`);
    for (let i = 0; i < 200; i++) assert.equal(await client.text(), `${i} ${'x'.repeat(i * 7)}`);
});

test('echo: 100 connections, each gets its own', async (t) => {
    const { ws } = await t.server('echo', '0');
    const all = await Promise.all(Array.from({ length: 100 }, () => t.client(`${ws}/echo`)));
    all.forEach((client, i) => client.send(`mine is ${i}`));
    for (const [i, client] of all.entries()) assert.equal(await client.text(), `mine is ${i}`);
});

test('echo: the peer\'s close codes and reasons come back', async (t) => {
    const { ws } = await t.server('echo', '0');
    const given = [[1000, ''], [1000, 'bye'], [1001, 'leaving'], [1011, 'ouch'],
        [3000, 'registered'], [4999, 'mine: ü€😀'], [4000, 'x'.repeat(123)]];
    for (const [code, reason] of given) {
        const client = await t.client(`${ws}/echo`);
        const start = Date.now();
        assert.deepEqual(await client.close(code, reason), { code, reason });
        assert.ok(Date.now() - start < 1500, 'at once, not at a deadline');
    }
    const client = await t.client(`${ws}/echo`);
    assert.equal((await client.close()).code, 1005);
});

test('echo: what was sent before a close is answered before it', async (t) => {
    const { ws } = await t.server('echo', '0');
    const client = await t.client(`${ws}/echo`);
    for (let i = 0; i < 20; i++) client.send(`last ${i}`);
    const gone = client.close(1000, 'that was all');
    for (let i = 0; i < 20; i++) assert.equal(await client.text(), `last ${i}`);
    assert.deepEqual(await gone, { code: 1000, reason: 'that was all' });
});

test('echo: over 16 MiB closes with 1009, in one frame or in fragments', async (t) => {
    const { ws } = await t.server('echo', '0');
    const data = Buffer.alloc(16 * MiB + 1, 'x');
    for (const part of [data.length, 64 * KiB]) {
        const client = await t.client(`${ws}/echo`);
        send_in_parts(client, data, part, true);
        assert.equal((await client.gone(10000)).code, 1009);
        const next = await t.client(`${ws}/echo`);
        await echoes(next, Buffer.from('the server lives on'), false);
    }
}, 60000);

test('echo: text that is not UTF-8 closes with 1007, a frame with RSV1 with 1002', async (t) => {
    const { ws } = await t.server('echo', '0');
    const bad_text = await t.client(`${ws}/echo`);
    bad_text.send(Buffer.from([0x61, 0xc3, 0x28]), { binary: false });
    assert.equal((await bad_text.gone()).code, 1007);
    const bad_bit = await t.client(`${ws}/echo`);
    bad_bit.ws._socket.write(Buffer.from([0xc1, 0x81, 0, 0, 0, 0, 0x61]));
    assert.equal((await bad_bit.gone()).code, 1002);
    const not_masked = await t.client(`${ws}/echo`);
    not_masked.ws._socket.write(Buffer.from([0x81, 0x01, 0x61]));
    assert.equal((await not_masked.gone()).code, 1002);
});

test('echo: a cut connection does not disturb the others', async (t) => {
    const { ws } = await t.server('echo', '0');
    const stays = await t.client(`${ws}/echo`);
    for (let i = 0; i < 10; i++) {
        const cut = await t.client(`${ws}/echo`);
        cut.send(randomBytes(MiB), { fin: false });
        cut.ws._socket.resetAndDestroy();
        assert.equal((await cut.gone()).code, 1006);
    }
    await echoes(stays, Buffer.from('still here'), false);
});

test('echo: SIGTERM closes every client with 1001', async (t) => {
    const server = await t.server('echo', '0');
    const all = await Promise.all(
        Array.from({ length: 20 }, () => t.client(`${server.ws}/echo`)));
    const start = Date.now();
    await server.stop();
    for (const client of all) assert.equal((await client.gone()).code, 1001);
    assert.ok(Date.now() - start < 2500, 'well-behaved peers do not hold up the exit');
});

/* ---- The handshake -------------------------------------------------------------------------- */

test('handshake: the answer of RFC 6455 1.3; subprotocols and extensions stay out', async (t) => {
    for (const [name, path] of [['echo', '/echo'], ['chat', '/chat']]) {
        const server = await t.server(name, '0');
        const { status, headers } = await request(server.http + path, {
            headers: {
                ...upgrade,
                'Sec-WebSocket-Protocol': 'v2.chat, v1.chat',
                'Sec-WebSocket-Extensions': 'permessage-deflate; client_max_window_bits',
            },
        });
        assert.equal(status, 101);
        assert.equal(headers['sec-websocket-accept'], 's3pPLMBiTxaQ9kYGzzhZRbK+xOo=');
        assert.equal(headers.upgrade.toLowerCase(), 'websocket');
        assert.equal(headers.connection.toLowerCase(), 'upgrade');
        assert.equal(headers['sec-websocket-protocol'], undefined);
        assert.equal(headers['sec-websocket-extensions'], undefined);
        /* ws itself, as browsers do, will not live without the subprotocol it asked for */
        const picky = t.client(server.ws + path, { protocols: ['v2.chat'] });
        await assert.rejects(picky, /Server sent no subprotocol/);
        await t.client(server.ws + path);
    }
});

test('handshake: a page of another site is refused with 403', async (t) => {
    const { ws, port } = await t.server('chat', '0');
    const strangers = ['http://evil.example', `http://evil.example:${port}`, 'null',
        `http://localhost:${port}`, 'http://127.0.0.1', `http://127.0.0.1:${port + 1}`,
        `http://127.0.0.1:${port}.evil.example`];
    for (const path of ['/chat', '/secure?token=secret', '/private?token=secret', '/rooms/tea']) {
        for (const origin of strangers) {
            const { status } = await refused(ws + path, { origin });
            assert.equal(status, 403, `${origin} at ${path}`);
        }
    }
    await t.client(`${ws}/chat`, { origin: `http://127.0.0.1:${port}` });
    await t.client(`ws://localhost:${port}/chat`, {
        origin: `http://localhost:${port}`, family: 4,
    });
});

test('handshake: what is not there is 404, what is malformed 400', async (t) => {
    for (const name of ['echo', 'chat']) {
        const server = await t.server(name, '0');
        for (const path of ['/nothing', '/chat/', '/echo/', '/Chat', '/rooms', '/rooms/a/b']) {
            const { status, body } = await refused(server.ws + path);
            assert.equal(status, 404, `upgrade of ${path}`);
            assert.equal((await request(server.http + path)).status, 404, `GET of ${path}`);
            assert.ok(body.length < 512);
        }
        for (const path of ['/%zz', '/%00', '/%ff']) {
            assert.equal((await refused(server.ws + path)).status, 400, `upgrade of ${path}`);
        }
    }
});

test('handshake: another version is 426 and names 13', async (t) => {
    const { http } = await t.server('chat', '0');
    for (const version of ['8', '12', '14']) {
        const { status, headers } = await request(`${http}/chat`, {
            headers: { ...upgrade, 'Sec-WebSocket-Version': version },
        });
        assert.equal(status, 426);
        assert.equal(headers['sec-websocket-version'], '13');
    }
});

test('handshake: written byte by byte, with the first frame behind it', async (t) => {
    const { port, host } = await t.server('echo', '0');
    const socket = net.connect(port, '127.0.0.1').setNoDelay();
    t.after(() => socket.destroy());
    const lines = Object.entries({ Host: host, ...upgrade }).map(([k, v]) => `${k}: ${v}\r\n`);
    const head = Buffer.from(`GET /echo HTTP/1.1\r\n${lines.join('')}\r\n`);
    const hello = Buffer.from([0x81, 0x85, 0x37, 0xfa, 0x21, 0x3d, 0x7f, 0x9f, 0x4d, 0x51, 0x58]);
    for (const byte of Buffer.concat([head, hello])) {
        await new Promise((resolve) => socket.write(Buffer.of(byte), resolve));
    }
    let got = Buffer.alloc(0);
    await within(5000, 'the echo of a masked Hello (RFC 6455 5.7)', (async () => {
        for await (const data of socket) {
            got = Buffer.concat([got, data]);
            if (got.includes('\x81\x05Hello', 0, 'latin1')) return;
        }
    })());
    assert.match(String(got), /^HTTP\/1\.1 101 /);
});

/* ---- chat: pages ---------------------------------------------------------------------------- */

test('chat: / is an HTML page, two requests use one socket', async (t) => {
    const server = await t.server('chat', '0');
    const agent = new http.Agent({ keepAlive: true, maxSockets: 1 });
    t.after(() => agent.destroy());
    const first = await request(`${server.http}/`, { agent });
    assert.equal(first.status, 200);
    assert.match(first.headers['content-type'], /^text\/html; *charset=utf-8$/i);
    assert.equal(Number(first.headers['content-length']), first.body.length);
    assert.ok(/^<!doctype html>[^]*<\/(html|script)>\s*$/i.test(first.body), 'all of the page');
    assert.equal(first.reused, false);
    const second = await request(`${server.http}/`, { agent });
    same(second.body, first.body);
    assert.equal(second.reused, true);
    const head = await request(`${server.http}/`, { agent, method: 'HEAD' });
    assert.equal(head.status, 200);
    assert.equal(head.headers['content-length'], first.headers['content-length']);
    assert.equal(head.headers['content-type'], first.headers['content-type']);
    assert.equal(head.body.length, 0);
    assert.equal(head.reused, true);
    const third = await request(`${server.http}/?from=a%20link`, { agent });
    assert.equal(third.status, 200);
    assert.equal(third.reused, true);
});

test('chat: the page names no other host', async (t) => {
    const server = await t.server('chat', '0');
    const page = String((await request(`${server.http}/`)).body);
    const elsewhere = page.match(/(?:https?:)?\/\/[\w-]+(?:\.[\w-]+)+/g) || [];
    assert.deepEqual(elsewhere.filter((url) => !url.endsWith('//www.w3.org')), []);
});

test('chat: a plain GET of a channel is 426 and names 13', async (t) => {
    const server = await t.server('chat', '0');
    for (const path of ['/chat', '/secure', '/private?token=secret', '/rooms/tea']) {
        const { status, headers } = await request(server.http + path);
        assert.equal(status, 426, path);
        assert.equal(headers['sec-websocket-version'], '13');
        assert.match(headers.upgrade || '', /websocket/i, 'RFC 9110 15.5.22 asks for Upgrade');
    }
});

test('chat: POST is 405 and says what is allowed', async (t) => {
    const server = await t.server('chat', '0');
    for (const method of ['POST', 'PUT', 'DELETE']) {
        const page = await request(`${server.http}/`, { method });
        assert.equal(page.status, 405);
        assert.deepEqual(page.headers.allow.split(/, */).sort(), ['GET', 'HEAD', 'OPTIONS']);
        const channel = await request(`${server.http}/chat`, { method });
        assert.equal(channel.status, 405);
        assert.ok(channel.headers.allow.split(/, */).includes('GET'));
    }
});

/* ---- chat: /chat ---------------------------------------------------------------------------- */

const welcome = { type: 'connected', message: 'Welcome!' };
const pong = { type: 'pong' };
const unknown = { type: 'error', message: 'Unknown message type' };
const invalid = { type: 'error', code: 'INVALID_JSON', message: 'Invalid JSON' };

/* A guest past its welcome and count, and everyone who is there past that count. */
async function enter(t, server, query, others = []) {
    const client = await t.client(`${server.ws}/chat${query}`);
    await client.json(welcome);
    for (const one of [client, ...others]) {
        await one.json({ type: 'users', count: others.length + 1 });
    }
    return client;
}

test('chat: a welcome for the newcomer, at each coming and going the count for all', async (t) => {
    const server = await t.server('chat', '0');
    const ada = await enter(t, server, '?name=ada');
    const bob = await enter(t, server, '?name=bob', [ada]);
    const cyd = await enter(t, server, '?name=cyd', [ada, bob]);
    await bob.close(1000);
    for (const one of [ada, cyd]) await one.json({ type: 'users', count: 2 });
    cyd.ws._socket.resetAndDestroy();
    await ada.json({ type: 'users', count: 1 });
    await enter(t, server, '', [ada]);
    await ada.quiet();
});

test('chat: the guide\'s message types', async (t) => {
    const server = await t.server('chat', '0');
    const ada = await enter(t, server, '?name=ada');
    const bob = await enter(t, server, '?name=bob', [ada]);
    ada.say({ type: 'message', content: 'Hello!' });
    for (const one of [ada, bob]) {
        await one.json({ type: 'message', from: 'ada', content: 'Hello!' });
    }
    bob.say({ type: 'typing' });
    const typing = await ada.json();
    assert.equal(typing.type, 'typing');
    assert.equal(typing.from, 'bob');
    await bob.quiet();
    ada.say({ type: 'ping' });
    await ada.json(pong);
    await bob.quiet();
    await ada.quiet();
});

test('chat: whatever comes, an answer, and the connection lives on', async (t) => {
    const server = await t.server('chat', '0');
    const ada = await enter(t, server, '?name=ada');
    const bob = await enter(t, server, '?name=bob', [ada]);
    const strange = ['{"type":"dance"}', '{}', '[]', '[{"type":"ping"}]', 'null', 'true', '42',
        '"ping"', '{"type":null}', '{"type":7}', '{"type":["ping"]}', '{"type":"PING"}',
        '{"type":"pin"}', '{"type":"ping\\u0000"}', '{"kind":"ping"}', '{"a":{"type":"ping"}}'];
    for (const text of strange) {
        ada.send(text);
        await ada.json(unknown);
        ada.say({ type: 'ping' });
        await ada.json(pong);
    }
    const broken = ['', ' ', '{', '}', '{"type":"ping"', '{"type":"ping"}}', '{"type":"ping",}',
        "{'type':'ping'}", '{type:"ping"}', '{"type":"ping"} x', 'ping', '[1,]', '01', '+1', '.5',
        'NaN', '"\\x41"', '"\\ud800"', '"\t"', '{"type":"ping"}\0', '\ufeff{"type":"ping"}',
        '['.repeat(10000), `${'['.repeat(1000)}${']'.repeat(1000)}`];
    for (const text of broken) {
        ada.send(text);
        await ada.json(invalid);
        ada.say({ type: 'ping' });
        await ada.json(pong);
    }
    /* JSON in other clothes is JSON */
    for (const text of [' \t\r\n{ "type" : "ping" } ', '{"\\u0074ype":"p\\u0069ng"}',
        '{"type":"typing","type":"ping"}', '{"x":[{"y":1e400}],"type":"ping"}']) {
        ada.send(text);
        await ada.json(pong);
    }
    await bob.quiet();
});

test('chat: no content and content of another type hurt nobody; binary closes its sender', async (t) => {
    const server = await t.server('chat', '0');
    const bob = await enter(t, server, '?name=bob');
    const ada = await enter(t, server, '?name=ada', [bob]);
    for (const content of [undefined, null, 7, -1.5e300, true, [], {}, { a: [1, 'two'] }]) {
        ada.say({ type: 'message', content });
        const got = await ada.json();
        /* refused, empty, or passed on as it is */
        if (got.type === 'error' || got.content === '') continue;
        assert.deepEqual(got, { type: 'message', from: 'ada', content });
    }
    ada.send(randomBytes(100), { binary: true });
    assert.equal((await ada.gone()).code, 1003);
    bob.say({ type: 'ping' });
    for (let got; (got = await bob.json()).type !== 'pong';) assert.notEqual(got.type, 'error');
});

test('chat: content arrives as it was, whatever it holds', async (t) => {
    const server = await t.server('chat', '0');
    const ada = await enter(t, server, '?name=ada');
    const bob = await enter(t, server, '?name=bob', [ada]);
    const contents = ['', ' ', 'Grüße, 你好, नमस्ते, שלום', '👩‍👧 🇺🇦 e\u0301',
        '\u2028\u2029\ufeff\uffff',
        '<script>alert(1)</script>', '"},{"type":"users","count":999}', '\\" \\\\ \\u0041 \\',
        '","from":"root","x":"', 'a\nb\r\nc\td\be\ff', 'nul:\0:nul', '\x01\x1f\x7f', '%s%n%d',
        "'; DROP TABLE users; --", '${7*7} {{7*7}}', '🙂'.repeat(1000), 'x'.repeat(4000)];
    for (const content of contents) {
        ada.say({ type: 'message', content });
        for (const one of [ada, bob]) await one.json({ type: 'message', from: 'ada', content });
    }
    ada.send('{"type":"message","content":"\\ud83d\\ude00\\u00e9\\/"}');
    for (const one of [ada, bob]) {
        await one.json({ type: 'message', from: 'ada', content: '😀é/' });
    }
});

test('chat: the biggest message that the channel takes is relayed, past it 1009', async (t) => {
    const server = await t.server('chat', '0');
    const ada = await enter(t, server, '?name=ada');
    const frame = (size) => `{"type":"message","content":"${'x'.repeat(size - 31)}"}`;
    assert.equal(frame(100).length, 100);
    let taken = 0;
    for (const size of [1000, 8 * KiB, 32 * KiB, 64 * KiB]) {
        ada.send(frame(size));
        const got = await ada.json();
        if (got.type === 'message') assert.equal(got.content.length, taken = size - 31);
        else assert.equal(got.type, 'error');
    }
    assert.ok(taken > 900);
    ada.send(frame(MiB));
    assert.equal((await ada.gone()).code, 1009);
});

test('chat: names from ?name=, guests get numbers', async (t) => {
    const server = await t.server('chat', '0');
    const names = [['ada', 'ada'], ['Ada%20L', 'Ada L'], ['Ada+L', 'Ada L'], ['%C3%9Cnal', 'Ünal'],
        ['%F0%9F%A6%8A', '🦊'], ['%3Cb%3Ebold%3C%2Fb%3E', '<b>bold</b>'],
        ['%22%2C%22from%22%3A%22root', '","from":"root'], ['a%5Cb', 'a\\b']];
    for (const [sent, name] of names) {
        const client = await enter(t, server, `?name=${sent}`);
        client.say({ type: 'message', content: 'I am' });
        await client.json({ type: 'message', from: name, content: 'I am' });
        await client.close();
    }
    const guests = new Set();
    for (const query of ['', '?', '?other=x', '?name=']) {
        const client = await enter(t, server, query);
        client.say({ type: 'message', content: 'I am' });
        const { from } = await client.json();
        assert.match(from, /^guest-\d+$/, query);
        guests.add(from);
        await client.close();
    }
    assert.equal(guests.size, 4, 'no two guests share a number');
});

/* ---- chat: /secure, /private ---------------------------------------------------------------- */

test('secure: the token authenticates', async (t) => {
    const server = await t.server('chat', '0');
    const client = await t.client(`${server.ws}/secure?token=secret`);
    await client.json({ type: 'authenticated', user: 'ada' });
    await client.quiet();
    assert.deepEqual(await client.close(1000, 'bye'), { code: 1000, reason: 'bye' });
});

test('secure: without it an error, then 4001', async (t) => {
    const server = await t.server('chat', '0');
    for (const query of ['', '?token=', '?token=wrong', '?token=secre', '?token=secrets',
        '?token=SECRET', '?Token=secret', '?x=token=secret', '?token=wrong&token=secret',
        '?token=secret%00']) {
        const url = `${server.ws}/secure${query}`;
        if (query.endsWith('%00')) {
            /* a NUL in a query is refused, or is no part of the token: never let in */
            if ((await request(url.replace('ws:', 'http:'), { headers: upgrade })).status !== 101) {
                continue;
            }
        }
        const start = Date.now();
        const client = await t.client(url);
        await client.json({ type: 'error', message: 'Unauthorized' });
        assert.equal((await client.gone()).code, 4001, query);
        assert.ok(Date.now() - start < 1500, 'at once, not at a deadline');
    }
});

test('private: 401 before any 101, with the token in', async (t) => {
    const server = await t.server('chat', '0');
    for (const query of ['', '?token=', '?token=wrong', '?token=secrets', '?Token=secret']) {
        const { status, headers, body } = await refused(`${server.ws}/private${query}`);
        assert.equal(status, 401, query);
        assert.equal(headers.connection, 'close');
        assert.equal(Number(headers['content-length']), body.length);
    }
    const client = await t.client(`${server.ws}/private?token=secret`);
    await client.pong('in');
    await client.close();
});

/* ---- chat: /rooms/:room_id ------------------------------------------------------------------ */

test('rooms: joined, text and binary go to the others of the room alone', async (t) => {
    const server = await t.server('chat', '0');
    const tea1 = await t.client(`${server.ws}/rooms/tea`);
    const dev1 = await t.client(`${server.ws}/rooms/dev`);
    const chat = await enter(t, server, '');
    const tea2 = await t.client(`${server.ws}/rooms/tea`);
    await tea1.json({ type: 'joined', room: 'tea' });
    const tea3 = await t.client(`${server.ws}/rooms/tea?name=cyd`);
    for (const one of [tea1, tea2]) await one.json({ type: 'joined', room: 'tea' });
    for (const one of [tea1, tea2, tea3, dev1, chat]) await one.quiet();

    for (const text of ['not even JSON', '', '{"type":"message","content":"Grüße"}', 'a\0b🫖']) {
        tea2.send(text);
        for (const one of [tea1, tea3]) assert.equal(await one.text(), text);
    }
    for (const size of [0, 1, 125, 126, 50000]) {
        const data = randomBytes(size);
        tea1.send(data, { binary: true });
        for (const one of [tea2, tea3]) same(await one.binary(), data);
    }
    send_in_parts(tea3, words(1000), 7, false);
    for (const one of [tea1, tea2]) assert.equal(await one.text(), String(words(1000)));
    for (const one of [tea1, tea2, tea3, dev1, chat]) await one.quiet();

    await tea3.close();
    tea1.send('who is left?');
    assert.equal(await tea2.text(), 'who is left?');
    dev1.send('nobody here');
    for (const one of [tea1, tea2, dev1, chat]) await one.quiet();
});

test('rooms: a room\'s name is its decoded segment', async (t) => {
    const server = await t.server('chat', '0');
    const pairs = [['t%65a', 'tea'], ['caf%C3%A9', 'café'], ['a%2Fb', 'a/b'], ['a+b', 'a+b'],
        ['a%20b', 'a b'], ['%22%3C%5C', '"<\\'], ['%F0%9F%AB%96', '🫖'], ['lobby', 'lobby'],
        ['x'.repeat(255), 'x'.repeat(255)]];
    const early = await Promise.all(pairs.map(([sent]) => t.client(`${server.ws}/rooms/${sent}`)));
    for (const [i, [sent, room]] of pairs.entries()) {
        const late = await t.client(`${server.ws}/rooms/${sent}`);
        await early[i].json({ type: 'joined', room });
        late.send(`to ${room}`);
        assert.equal(await early[i].text(), `to ${room}`);
    }
    const plain = await t.client(`${server.ws}/rooms/tea`);
    await early[0].json({ type: 'joined', room: 'tea' });
    await plain.quiet();
    for (const one of early) await one.quiet();
});

test('rooms: a name over 255 bytes is no room', async (t) => {
    const server = await t.server('chat', '0');
    const client = await t.client(`${server.ws}/rooms/${'x'.repeat(256)}`);
    assert.equal((await client.gone()).code, 1008);
});

test('rooms: 1,000 comings and goings leave nothing behind', async (t) => {
    const server = await t.server('chat', '0');
    const stays = await t.client(`${server.ws}/rooms/busy`);
    for (let i = 0; i < 10; i++) {
        const wave = await Promise.all(
            Array.from({ length: 100 }, () => t.client(`${server.ws}/rooms/busy`)));
        for (let k = 0; k < 100; k++) await stays.json({ type: 'joined', room: 'busy' });
        await Promise.all(wave.map((client) => client.close()));
    }
    await stays.quiet();
});

test('chat: SIGTERM closes every client of every channel with 1001', async (t) => {
    const server = await t.server('chat', '0');
    const paths = ['/chat', '/chat?name=ada', '/secure?token=secret', '/private?token=secret',
        '/rooms/tea', '/rooms/dev'];
    const all = await Promise.all(
        [...paths, ...paths].map((path) => t.client(server.ws + path)));
    const start = Date.now();
    await server.stop();
    for (const client of all) assert.equal((await client.gone()).code, 1001, client.url);
    assert.ok(Date.now() - start < 2500, 'well-behaved peers do not hold up the exit');
    await assert.rejects(request(`${server.http}/`), /ECONNREFUSED/);
});

await run('ws.mjs');
