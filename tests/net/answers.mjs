/* answers.mjs: answers that come later or in parts, to curl and Chromium, from a server itself and
 * through nginx and HAProxy that keep their connections to it: downloads in flat memory, slow
 * readers, and server-sent events.
 *
 *     make check-answers, or: BUILD=... node tests/net/answers.mjs [part of a test's name ...] */

import {
    ask, assert, fs, net, need_program, run, spawn, start_browser, test, until, ways,
} from './lib.mjs';

/* The most memory that a process has had, in KB. */
const peak = (server) =>
    Number(/VmHWM:\s*(\d+)/.exec(fs.readFileSync(`/proc/${server.child.pid}/status`))[1]);
const MB = 1 << 20;
const is_long = (bytes, mb) => bytes.length === mb * MB &&
    bytes.every((byte, i) => byte === (mb * MB - i) % 251);

test('curl downloads 50 MB, chunked and of known length, in flat memory', async (t) => {
    const { dir, server, list } = await ways(t);
    await ask(`${server.http}/long?mb=1`);
    const before = peak(server);
    for (const [name, port] of list) {
        for (const known of ['', '&known']) {
            const got = await ask('-o', `${dir}/long`, '-D', `${dir}/head`,
                `http://127.0.0.1:${port}/long?mb=50${known}`);
            assert.equal(got.status, 200, name);
            assert(is_long(fs.readFileSync(`${dir}/long`), 50), `${name}${known}`);
            const head = fs.readFileSync(`${dir}/head`, 'utf8');
            assert.match(head, known ? /^content-length: 52428800\r/im
                : /^transfer-encoding: chunked\r/im, name);
        }
        const got = await ask('-I', `http://127.0.0.1:${port}/long?mb=50&known`);
        assert.match(got.body, /content-length: 52428800\r/i, name);
    }
    const grown = peak(server) - before;
    assert(grown < 1024, `300 MB took ${grown} KB`);
}, 60000);

test('late answers keep the connections of proxies, and each visitor gets its own', async (t) => {
    const { server, list } = await ways(t);
    const accepted = async () => Number((await ask(`${server.http}/counts`)).body.split(' ')[1]);
    for (const [name, port] of list) {
        const urls = Array.from({ length: 10 }, (_, i) => `http://127.0.0.1:${port}/late?${i}`);
        const all = await Promise.all(urls.map((url) => ask(url, url)));
        all.forEach(({ body }, i) => assert.equal(body, `/late?${i}\n200/late?${i}`, name));
    }
    const before = await accepted();
    for (let i = 0; i < 5; i++)
        for (const [, port] of list.slice(1)) await ask(`http://127.0.0.1:${port}/late`);
    const more = await accepted() - before;
    assert(more < 6, `10 requests through proxies took ${more} connections`);
});

/* Read from a download, not at all for a while, and then the rest. */
function slowly(port, mb, ms) {
    return new Promise((resolve, reject) => {
        const socket = net.connect(port, '127.0.0.1'), all = [];
        let paused = false;
        socket.write(`GET /long?mb=${mb}&known HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n`);
        socket.on('error', reject).on('end', () => {
            const bytes = Buffer.concat(all);
            resolve(bytes.subarray(bytes.indexOf('\r\n\r\n') + 4));
        }).on('data', (data) => {
            all.push(data);
            if (paused) return;
            paused = true;
            socket.pause();
            setTimeout(() => socket.resume(), ms);
        });
    });
}

test('a reader that pauses gets the rest', async (t) => {
    const { server, list } = await ways(t);
    await ask(`${server.http}/long?mb=1`);
    const before = peak(server);
    const all = await Promise.all(list.map(([, port]) => slowly(port, 30, 4000)));
    all.forEach((bytes, i) => assert(is_long(bytes, 30), `${list[i][0]}: ${bytes.length} bytes`));
    assert(peak(server) - before < 3 * 1024, `${peak(server) - before} KB`);
}, 60000);

test('curl -N gets each event at once, also through nginx, which buffers by default', async (t) => {
    const { server, list } = await ways(t);
    for (const [name, port] of list) {
        const child = spawn(need_program('curl', 'curl'),
            ['-sN', `http://127.0.0.1:${port}/events`]);
        const times = [];
        child.stdout.setEncoding('utf8').on('data', (text) => {
            for (const _ of text.matchAll(/^data: \d+$/gm)) times.push(Date.now());
        });
        t.after(() => child.kill());
        await until(`ten events from ${name}`, () => times.length >= 10, 8000);
        const most = Math.max(...times.slice(1).map((time, i) => time - times[i]));
        assert(most < 1000, `${name}: ${most} ms between two events`);
        child.kill();
    }
    await until('the end of all streams', async () =>
        Number((await ask(`${server.http}/counts`)).body.split(' ')[2]) <= 6, 8000);
}, 60000);

test('Chromium reads a download as it comes, and events', async (t) => {
    const { list } = await ways(t);
    const page = await (await start_browser(t)).newPage();
    for (const [name, port] of list) {
        await page.goto(`http://127.0.0.1:${port}/peer`);
        const got = await page.evaluate(async () => {
            const reader = (await fetch('/long?mb=20')).body.getReader();
            let parts = 0, bytes = 0;
            for (let next; !(next = await reader.read()).done; parts++) bytes += next.value.length;
            const source = new EventSource('/events'), data = [];
            await new Promise((resolve) => {
                source.onmessage = (event) => data.push(event.data) === 3 && resolve();
            });
            source.close();
            return { parts, bytes, data };
        });
        assert.equal(got.bytes, 20 * MB, name);
        assert(got.parts > 10, `${name}: ${got.parts} parts`);
        assert.equal(Number(got.data[2]) - Number(got.data[0]), 2, name);
    }
}, 60000);

await run('answers.mjs');
