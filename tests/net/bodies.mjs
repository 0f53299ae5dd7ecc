/* bodies.mjs: requests with a body from curl, to a server itself and through nginx and HAProxy that
 * keep their connections to it; and pairs of requests that one of them might take for more.
 *
 *     make check-bodies, or: BUILD=... node tests/net/bodies.mjs [part of a test's name ...] */

import { ask, assert, fs, net, run, test, ways } from './lib.mjs';

const counts = async (server) => (await ask(`${server.http}/counts`)).body.split(' ');

test('curl posts forms, JSON and bytes; the server and proxies keep the connection', async (t) => {
    const { dir, server, list } = await ways(t);
    const bytes = Buffer.from(Array.from({ length: 60000 }, (_, i) => (i * i) & 255));
    fs.writeFileSync(`${dir}/bytes`, bytes);
    for (const [name, port] of list) {
        const url = `http://127.0.0.1:${port}`;
        let got = await ask('-d', 'a=x+y&b=%26', `${url}/form`);
        assert.deepEqual([got.status, got.body], [200, 'x y|&'], name);
        got = await ask('--data-urlencode', 'a=ü & =+%', '-d', 'b=2', `${url}/form`);
        assert.deepEqual([got.status, got.body], [200, 'ü & =+%|2'], name);
        got = await ask('-F', 'a=multipart', `${url}/form`);
        assert.equal(got.status, 400, name);
        got = await ask('-H', 'Content-Type: application/json', '-d', '{"a":[1]}', `${url}/whole`);
        assert.equal(got.body, '{"a":[1]}', name);
        got = await ask('-X', 'POST', `${url}/whole`);
        assert.deepEqual([got.status, got.body], [200, ''], name);
        got = await ask('--data-binary', `@${dir}/bytes`, '-o', `${dir}/back`, `${url}/whole`);
        assert(fs.readFileSync(`${dir}/back`).equals(bytes), name);
        got = await ask('-H', 'Transfer-Encoding: chunked', '--data-binary', `@${dir}/bytes`,
            '-o', `${dir}/back`, `${url}/whole`);
        assert(fs.readFileSync(`${dir}/back`).equals(bytes), `${name}, chunked`);
        got = await ask('-d', 'a=1', `${url}/form`, `${url}/form`);
        assert.equal(got.body, '1|-\n2001|-', `${name}, twice on one connection`);
    }
    const before = Number((await counts(server))[1]);
    for (let i = 0; i < 20; i++)
        for (const [, port] of list.slice(1))
            await ask('-d', `a=${i}`, `http://127.0.0.1:${port}/form`);
    const more = Number((await counts(server))[1]) - before;
    assert(more < 6, `40 requests through proxies took ${more} connections`);
});

test('curl uploads 20 MB by length and chunked, with and without Expect', async (t) => {
    const { dir, list } = await ways(t);
    const big = Buffer.alloc(20 << 20, 'upload');
    const sum = `${big.length} ${big.reduce((a, b) => a + b, 0)}`;
    fs.writeFileSync(`${dir}/big`, big);
    for (const [name, port] of list) {
        const url = `http://127.0.0.1:${port}/sum`;
        let got = await ask('-v', '-T', `${dir}/big`, url);
        assert.deepEqual([got.status, got.body], [200, sum], name);
        assert.match(got.words, /> Expect: 100-continue/, name);
        assert.match(got.words, /< HTTP\/1\.1 100 Continue/i, name);
        got = await ask('-H', 'Expect:', '--data-binary', `@${dir}/big`, url);
        assert.deepEqual([got.status, got.body], [200, sum], name);
        got = await ask('-H', 'Transfer-Encoding: chunked', '-T', `${dir}/big`, url);
        assert.deepEqual([got.status, got.body], [200, sum], `${name}, chunked`);
        got = await ask('-v', '--data-binary', `@${dir}/big`,
            `http://127.0.0.1:${port}/whole`);
        assert.equal(got.status, 413, `${name}, too large`);
        if (name === 'itself') assert.doesNotMatch(got.words, /100 Continue/i, name);
    }
});

/* Bytes on a socket, and all that comes back until it ends or is silent for a while. */
function raw(port, bytes) {
    return new Promise((resolve) => {
        const socket = net.connect(port, '127.0.0.1', () => socket.write(bytes, 'latin1'));
        let said = '';
        const end = () => { socket.destroy(); resolve(said); };
        socket.setTimeout(700, end);
        socket.on('data', (data) => { said += data.toString('latin1'); });
        socket.on('end', end).on('error', end);
    });
}

const hidden = 'GET /smuggled HTTP/1.1\r\nHost: a\r\n\r\n';
const post = (fields, body, target = '/whole') =>
    `POST ${target} HTTP/1.1\r\nHost: a\r\n${fields}\r\n${body}`;
const TE = 'Transfer-Encoding: chunked\r\n';
const pairs = [
    post(`Content-Length: ${hidden.length + 5}\r\n${TE}`, `0\r\n\r\n${hidden}`),
    post(`${TE}Content-Length: 4\r\n`, `24\r\n${hidden}\r\n0\r\n\r\n`),
    post(`Content-Length: 0\r\nContent-Length: ${hidden.length}\r\n`, hidden),
    post(`Content-Length: ${hidden.length}\r\nContent-Length: 0\r\n`, hidden),
    post(`Content-Length: +${hidden.length}\r\n`, hidden),
    post(`Content-Length: 0, ${hidden.length}\r\n`, hidden),
    post(`Transfer-Encoding : chunked\r\nContent-Length: ${hidden.length + 5}\r\n`,
        `0\r\n\r\n${hidden}`),
    post(`Transfer-Encoding: xchunked\r\n`, `0\r\n\r\n${hidden}`),
    post(`Transfer-Encoding: chunked, identity\r\n`, `0\r\n\r\n${hidden}`),
    post(`Transfer-Encoding:\r\n chunked\r\nContent-Length: ${hidden.length + 5}\r\n`,
        `0\r\n\r\n${hidden}`),
    post(`Transfer-Encoding: \x0bchunked\r\n`, `0\r\n\r\n${hidden}`),
    post(`X: y\rTransfer-Encoding: chunked\r\nContent-Length: ${hidden.length + 5}\r\n`,
        `0\r\n\r\n${hidden}`),
    post(TE, `0;a\nb\r\n\r\n${hidden}`),
    post(TE, `1;a\nxx\r\n${hidden.length.toString(16)}\r\n0\r\n\r\n${hidden}`),
    post(TE, `2\r\nabc\r\n0\r\n\r\n${hidden}`),
    post(TE, `+2\r\nab\r\n0\r\n\r\n${hidden}`),
    post(TE, `2\nab\n0\n\n${hidden}`),
    post(TE, `10000000000000002\r\nab\r\n0\r\n\r\n${hidden}`),
    post(TE, `0\r\nX\r\n\r\n${hidden}`),
    post('Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n'
        + `Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nContent-Length: ${hidden.length}\r\n`,
    hidden),
    `GET /peer HTTP/1.1\r\nHost: a\r\nContent-Length: ${hidden.length}\r\n\r\n${hidden}`,
    post(`Content-Length: ${hidden.length}\r\n`, hidden, '/peer'),
    post(`Content-Length: ${hidden.length}\r\n`, hidden, '/nowhere'),
    post(`Expect: 100-continue\r\nContent-Length: ${hidden.length}\r\n`, hidden, '/nowhere'),
    post(`Content-Length: ${70000 + hidden.length}\r\n`, 'x'.repeat(70000) + hidden),
];

test('nothing is taken for a request that was a body, and no answer goes astray', async (t) => {
    const { server, list } = await ways(t);
    for (const [name, port] of list) {
        for (const bytes of pairs) {
            await raw(port, bytes);
            /* A proxy's connection that is out of step would answer the next visitor wrongly. */
            for (let i = 0; i < 2; i++) {
                const next = await ask('-d', 'a=next', `http://127.0.0.1:${port}/form`);
                assert.deepEqual([next.status, next.body], [200, 'next|-'], `${name}: ${bytes}`);
            }
        }
        /* A proxy may itself take the hidden request for one, and forward it. */
        if (name === 'itself') assert.equal((await counts(server))[0], '0');
    }
    for (const bytes of pairs) {
        const said = await raw(server.port, bytes);
        assert.equal(said.split('HTTP/1.1 ').length, 2, `one answer to ${bytes}, not ${said}`);
        assert.match(said, /^HTTP\/1\.1 4\d\d |^HTTP\/1\.1 501 /);
    }
});

await run('bodies.mjs');
