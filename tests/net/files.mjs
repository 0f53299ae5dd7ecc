/* files.mjs: examples/www.c with a folder such as a front-end build leaves, for curl, wget, h2load,
 * wrk, ab and Chromium, and behind nginx and HAProxy.
 *
 *     make check-files, or: BUILD=... node tests/net/files.mjs [part of a test's name ...] */

import zlib from 'node:zlib';
import {
    ask, assert, folder, fs, need_program, path, run, spawnSync, start_browser, test, until, ways,
} from './lib.mjs';

const big = Buffer.from(Array.from({ length: 3_000_000 }, (_, i) => (i * i >> 4) & 255));
const script = `document.title = 'loaded';\n${'// a comment\n'.repeat(2000)}`;

/* A minute of a tone: seconds of silence would be one second to a browser that seeks. */
function wav(seconds) {
    const rate = 8000, bytes = rate * seconds, file = Buffer.alloc(44 + bytes);
    file.write('RIFF', 0), file.writeUInt32LE(36 + bytes, 4), file.write('WAVEfmt ', 8);
    file.writeUInt32LE(16, 16), file.writeUInt16LE(1, 20), file.writeUInt16LE(1, 22);
    file.writeUInt32LE(rate, 24), file.writeUInt32LE(rate, 28), file.writeUInt16LE(1, 32);
    file.writeUInt16LE(8, 34), file.write('data', 36), file.writeUInt32LE(bytes, 40);
    for (let i = 0; i < bytes; i++) file[44 + i] = 128 + 100 * Math.sin(i * (1 + i / bytes) / 5);
    return file;
}

/* A build's folder, and the ways to a server of it. */
async function served(t) {
    const www = folder(t);
    fs.mkdirSync(`${www}/assets`);
    fs.writeFileSync(`${www}/index.html`, `<!doctype html><link rel=icon href=data:,>
        <link rel=stylesheet href=assets/a.css><title>www</title><script src=assets/a.js></script>
        <img src=assets/dot.svg><audio src=assets/tone.wav preload=metadata></audio>`);
    fs.writeFileSync(`${www}/assets/a.css`, 'body { color: rgb(1, 2, 3) }');
    fs.writeFileSync(`${www}/assets/a.js`, script);
    fs.writeFileSync(`${www}/assets/a.js.gz`, zlib.gzipSync(script));
    fs.writeFileSync(`${www}/assets/dot.svg`,
        '<svg xmlns="http://www.w3.org/2000/svg" width="7" height="7"/>');
    fs.writeFileSync(`${www}/assets/tone.wav`, wav(600));
    fs.writeFileSync(`${www}/big.bin`, big);
    fs.writeFileSync(`${www}/1k.html`, big.subarray(0, 1024));
    fs.writeFileSync(`${www}/16k.html`, big.subarray(0, 16384));
    const around = await ways(t, t.server('www', '0', www));
    return { www, ...around };
}

test('curl: whole files, ranges, resume, conditions, HEAD, gzip and folders', async (t) => {
    const { dir, www, list } = await served(t);
    for (const [name, port] of list) {
        const url = `http://127.0.0.1:${port}`, out = `${dir}/out`;
        let got = await ask('-o', out, `${url}/big.bin`);
        assert.equal(got.status, 200, name);
        assert(fs.readFileSync(out).equals(big), name);
        got = await ask('-r', '1000-200999', '-o', out, `${url}/big.bin`);
        assert.equal(got.status, 206, name);
        assert(fs.readFileSync(out).equals(big.subarray(1000, 201000)), name);
        got = await ask('-r', '-5', '-o', out, `${url}/big.bin`);
        assert(fs.readFileSync(out).equals(big.subarray(-5)), name);
        got = await ask('-r', '3000000-', `${url}/big.bin`);
        assert.equal(got.status, 416, name);
        fs.writeFileSync(out, big.subarray(0, 1234567));
        got = await ask('-C', '-', '-o', out, `${url}/big.bin`);
        assert.deepEqual([got.code, got.status], [0, 206], name);
        assert(fs.readFileSync(out).equals(big), `${name}: resumed`);
        got = await ask('-I', `${url}/big.bin`);
        assert.match(got.body, /^content-length: 3000000\r$/im, name);
        got = await ask('-z', `${www}/big.bin`, '-o', out, `${url}/big.bin`);
        assert.equal(got.status, 304, name);
        got = await ask('-z', '1 Jan 2020', '-o', out, `${url}/big.bin`);
        assert.equal(got.status, 200, name);
        got = await ask('--etag-save', `${dir}/etag`, '-o', out, `${url}/big.bin`);
        got = await ask('--etag-compare', `${dir}/etag`, '-o', out, `${url}/big.bin`);
        assert.equal(got.status, 304, name);
        got = await ask('--compressed', '-D', `${dir}/head`, `${url}/assets/a.js`);
        assert.equal(got.body, script, name);
        assert.match(fs.readFileSync(`${dir}/head`, 'utf8'), /^content-encoding: gzip\r$/im, name);
        got = await ask('-D', `${dir}/head`, `${url}/assets/a.js`);
        assert.equal(got.body, script, name);
        assert.doesNotMatch(fs.readFileSync(`${dir}/head`, 'utf8'), /content-encoding/i, name);
        got = await ask('-L', `${url}/assets?x`);
        assert.equal(got.status, 404, `${name}: no listing`);
        got = await ask('--path-as-is', `${url}/assets/../../../etc/passwd`);
        assert(got.status === 404 || got.status === 400, name);
        got = await ask(`${url}/1k.html`, `${url}/16k.html`, '-o', out, '-o', out);
        assert.equal(got.status, 200, name);
    }
}, 120000);

test('wget resumes, and takes a page with what it needs', async (t) => {
    const { dir, list } = await served(t), wget = need_program('wget', 'wget');
    for (const [name, port] of list) {
        const to = `${dir}/${name}`;
        fs.mkdirSync(to);
        fs.writeFileSync(`${to}/big.bin`, big.subarray(0, 999));
        let got = spawnSync(wget, ['-c', '-nv', '-P', to, `http://127.0.0.1:${port}/big.bin`]);
        assert.equal(got.status, 0, `${name}: ${got.stderr}`);
        assert(fs.readFileSync(`${to}/big.bin`).equals(big), name);
        got = spawnSync(wget, ['-p', '-nv', '-nH', '-P', to, `http://127.0.0.1:${port}/`]);
        assert.equal(got.status, 0, `${name}: ${got.stderr}`);
        assert.equal(fs.readFileSync(`${to}/assets/a.js`, 'utf8'), script, name);
        const before = fs.statSync(`${to}/big.bin`).mtimeMs;
        got = spawnSync(wget, ['-N', '-nv', '-P', to, `http://127.0.0.1:${port}/big.bin`]);
        assert.equal(fs.statSync(`${to}/big.bin`).mtimeMs, before, `${name}: -N loads it again`);
    }
}, 120000);

const loads = [
    ['h2load', 'nghttp2-client', (url) => ['--h1', '-n', '1000', '-c', '20', url],
        /status codes: 1000 2xx, 0 3xx, 0 4xx, 0 5xx/, /1000 succeeded, 0 failed, 0 errored/],
    ['wrk', 'wrk', (url) => ['-t1', '-c20', '-d1', url], /[1-9]\d* requests in/,
        /^(?![^]*(Socket errors|Non-2xx))/],
    ['ab', 'apache2-utils', (url) => ['-q', '-n', '500', '-c', '20', url],
        /Complete requests: +500/, /Failed requests: +0\n(?![^]*Non-2xx)/],
    ['ab', 'apache2-utils', (url) => ['-q', '-k', '-n', '500', '-c', '20', url],
        /Complete requests: +500/, /Failed requests: +0\n(?![^]*Non-2xx)/],
];

test('h2load, wrk and ab: no request fails, no file stays open', async (t) => {
    const { server, list } = await served(t);
    const open = () => fs.readdirSync(`/proc/${server.child.pid}/fd`).length, before = open();
    for (const [command, from, args, ...wanted] of loads) {
        const file = need_program(command, from);
        for (const name of ['1k.html', '16k.html', 'assets/a.js']) {
            const url = `http://127.0.0.1:${server.port}/${name}`;
            const got = spawnSync(file, args(url), { encoding: 'utf8' });
            assert.equal(got.status, 0, `${command}: ${got.stdout}${got.stderr}`);
            for (const pattern of wanted) assert.match(got.stdout, pattern, command);
        }
    }
    const wrk = need_program('wrk', 'wrk');
    for (const [name, port] of list) {
        const got = spawnSync(wrk, ['-t1', '-c8', '-d1', `http://127.0.0.1:${port}/big.bin`],
            { encoding: 'utf8' });
        assert.doesNotMatch(got.stdout, /Socket errors|Non-2xx/, name);
    }
    await until('the files to be closed', () => open() <= before + 4);
}, 120000);

test('Chromium: a page with assets, 304 at a reload, and a new version at once', async (t) => {
    const { www, server, list } = await served(t), browser = await start_browser(t);
    for (const [name, port] of list) {
        const page = await (await browser.newContext()).newPage(), seen = [];
        page.on('response', (response) => seen.push([path.basename(response.url()),
            response.status(), response.headers()['content-type']]));
        await page.goto(`http://127.0.0.1:${port}/`, { waitUntil: 'load' });
        assert.equal(await page.title(), 'loaded', name);
        assert.equal(await page.evaluate(() => getComputedStyle(document.body).color),
            'rgb(1, 2, 3)', name);
        assert.equal(await page.evaluate(() => document.querySelector('img').naturalWidth), 7);
        const types = Object.fromEntries(seen.map(([file, , type]) => [file, type]));
        assert.equal(types['a.js'], 'text/javascript; charset=utf-8', name);
        assert.equal(types['a.css'], 'text/css; charset=utf-8', name);
        await page.reload({ waitUntil: 'load' });
        assert.equal(await page.title(), 'loaded', name);
        const before = fs.readFileSync(`${www}/assets/a.css`, 'utf8');
        fs.writeFileSync(`${www}/assets/b.css`, 'body { color: rgb(4, 5, 6) }');
        fs.renameSync(`${www}/assets/b.css`, `${www}/assets/a.css`);
        await page.goto(`http://127.0.0.1:${port}/?again`, { waitUntil: 'load' });
        assert.equal(await page.evaluate(() => getComputedStyle(document.body).color),
            'rgb(4, 5, 6)', name);
        fs.writeFileSync(`${www}/assets/a.css`, before);
    }
    /* Playwright shows the browser's 304 as the 200 of its cache: ask the server's log of bytes. */
    const page = await (await browser.newContext()).newPage(), statuses = [];
    const session = await page.context().newCDPSession(page);
    await session.send('Network.enable');
    session.on('Network.responseReceivedExtraInfo', ({ statusCode }) => statuses.push(statusCode));
    await page.goto(`${server.http}/`, { waitUntil: 'load' });
    statuses.length = 0;
    await page.reload({ waitUntil: 'load' });
    await until('three answers 304', () => statuses.filter((s) => s === 304).length >= 3);
    assert(!statuses.includes(200), `${statuses}`);
}, 120000);

test('Chromium seeks in a recording by Range', async (t) => {
    const { list } = await served(t), browser = await start_browser(t);
    for (const [name, port] of list) {
        const page = await (await browser.newContext()).newPage(), ranges = [];
        page.on('response', (response) => {
            if (response.url().endsWith('.wav'))
                ranges.push([response.status(), response.headers()['content-range']]);
        });
        await page.goto(`http://127.0.0.1:${port}/`, { waitUntil: 'load' });
        for (const to of [500, 30, 590]) {
            const at = await page.evaluate((seconds) => new Promise((resolve, reject) => {
                const audio = document.querySelector('audio');
                audio.onseeked = () => resolve(audio.currentTime);
                audio.onerror = () => reject(new Error(audio.error.message));
                audio.currentTime = seconds;
            }), to);
            assert.equal(at, to, name);
        }
        assert(ranges.some(([status, range]) => status === 206 && !/^bytes 0-/.test(range)),
            `${name}: ${JSON.stringify(ranges)}`);
    }
}, 120000);

await run('files.mjs');
