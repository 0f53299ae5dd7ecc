/* proxy.mjs: a real nginx in front, with the README's own lines and a certificate made here.
 *
 *     make check-proxy, or: BUILD=... node tests/net/proxy.mjs [part of a test's name ...] */

import https from 'node:https';
import {
    answers, assert, certificate, Client, folder, free_port, fs, give_up, host, need_package,
    need_program, path, refused, request, root, run, start, test, until, within,
} from './lib.mjs';

const nginx = need_program('nginx', 'nginx-light');
const { chromium } = need_package('playwright-core');
need_program(process.env.CHROMIUM || 'chromium', 'chromium');

/* The README's block for nginx, at a port, with a certificate and a server behind it. */
function readme_block(port, cert, upstream) {
    const readme = fs.readFileSync(path.join(root, 'README.md'), 'utf8');
    const block = /```nginx\n([\s\S]*?)```/.exec(readme)?.[1];
    if (!block) give_up('README.md has no block for nginx');
    const made = block.replace('listen 443 ssl', `listen 127.0.0.1:${port} ssl`)
        .replace(/ssl_certificate .*;/, `ssl_certificate ${cert.cert};`)
        .replace(/ssl_certificate_key .*;/, `ssl_certificate_key ${cert.key};`)
        .replace(/server_name .*;/, '').replace(/proxy_pass .*?;/, `proxy_pass ${upstream};`);
    for (const word of [cert.cert, cert.key, upstream, `:${port} `]) assert(made.includes(word));
    return made;
}

/* nginx in front of a server that was told `args`. over: tcp or unix. */
async function front(t, over, ...args) {
    const dir = folder(t), cert = certificate(dir), port = await free_port();
    const socket = `${dir}/host.sock`;
    const server = await host(t, ...(over === 'unix' ? [`host=unix:${socket}`] : []), ...args);
    const temp = ['client_body', 'proxy', 'fastcgi', 'uwsgi', 'scgi']
        .map((name) => `${name}_temp_path ${dir}/${name};`).join(' ');
    fs.writeFileSync(`${dir}/nginx.conf`, `
        daemon off; master_process off; pid ${dir}/pid; error_log ${dir}/error.log;
        events { worker_connections 512; }
        http { access_log off; ${temp}
        ${readme_block(port, cert, over === 'unix' ? `http://unix:${socket}` : server.http)} }`);
    const program = start(t, nginx, ['-p', dir, '-c', `${dir}/nginx.conf`, '-e', `${dir}/error.log`]);
    await Promise.race([answers(port), program.ended.then((end) => {
        throw new Error(`nginx ended: ${end} ${program.output}`);
    })]);
    return { server, port, ca: cert.ca, wss: `wss://localhost:${port}`,
        origin: `https://localhost:${port}` };
}

/* An answer by https, from a visitor at 127.0.0.x. */
function get(f, target, { from = '127.0.0.2', headers = {} } = {}) {
    return within(5000, `an answer to ${target}`, new Promise((resolve, reject) => {
        https.get({ host: '127.0.0.1', servername: 'localhost', port: f.port, path: target, ca: f.ca,
            localAddress: from, headers: { Host: `localhost:${f.port}`, ...headers },
            agent: false }, (res) => {
            let body = '';
            res.setEncoding('utf8').on('data', (text) => { body += text; })
                .on('end', () => resolve({ status: res.statusCode, body }));
        }).on('error', reject);
    }));
}

const visitor = (f, headers = {}, from = '127.0.0.2') => ({
    ca: f.ca, localAddress: from, family: 4, headers,
});

for (const [over, trusted] of [['tcp', '127.0.0.1'], ['unix', 'unix']]) {
    test(`nginx over ${over}: wss:// from ws, messages of every size, a clean end`, async (t) => {
        const f = await front(t, over, `trusted=${trusted}`);
        const c = await t.client(`${f.wss}/echo`, { ...visitor(f), origin: f.origin });
        for (const size of [0, 1, 125, 126, 5000, 65536]) {
            const text = 'ü'.repeat(size / 2) + 'x'.repeat(size % 2);
            c.send(text);
            assert.equal(await c.text(), text);
        }
        c.send(Buffer.from([0, 255, 1]));
        assert.deepEqual(await c.binary(), Buffer.from([0, 255, 1]));
        assert.deepEqual(await c.close(4001, 'done'), { code: 4001, reason: 'done' });
        const big = await t.client(`${f.wss}/echo`, visitor(f));
        big.send('x'.repeat(65537));
        assert.equal((await big.gone()).code, 1009, 'what the server says gets through');
    });

    test(`nginx over ${over}: azc_peer is the visitor's, whatever he forges`, async (t) => {
        const f = await front(t, over, `trusted=${trusted}`);
        for (const headers of [{}, { 'X-Forwarded-For': '6.6.6.6' },
            { 'X-Forwarded-For': '6.6.6.6, 127.0.0.1' }, { 'X-Forwarded-For': 'unix, ,"' },
            { Forwarded: 'for=6.6.6.6', 'X-Real-IP': '6.6.6.6' }]) {
            const c = await t.client(`${f.wss}/peer`, visitor(f, headers));
            assert.equal(await c.text(), '127.0.0.2');
            assert.equal((await get(f, '/peer', { headers, from: '127.0.0.3' })).body, '127.0.0.3');
        }
    });

    test(`nginx over ${over}: the origin check sees the visitor's host and scheme`, async (t) => {
        const f = await front(t, over, `trusted=${trusted}`);
        const evil = 'https://evil.example';
        for (const [origin, headers] of [[evil, {}], [f.origin.replace('https', 'http'), {}],
            [evil, { 'X-Forwarded-Host': 'evil.example' }],
            [f.origin.replace('https', 'http'), { 'X-Forwarded-Proto': 'http' }]]) {
            const answer = await refused(`${f.wss}/echo`, { ...visitor(f, headers), origin });
            assert.equal(answer.status, 403, `${origin} ${JSON.stringify(headers)}`);
        }
        const c = await t.client(`${f.wss}/echo`, { ...visitor(f), origin: f.origin });
        c.send('in');
        assert.equal(await c.text(), 'in');
    });

    test(`nginx over ${over}: visitors are counted, not the proxy`, async (t) => {
        const f = await front(t, over, `trusted=${trusted}`, 'per_address=2');
        for (const x of [2, 3, 4]) {
            for (const n of [1, 2]) {
                const c = await t.client(`${f.wss}/peer`, visitor(f, {}, `127.0.0.${x}`));
                assert.equal(await c.text(), `127.0.0.${x}`, `the ${n}th`);
            }
            const answer = await refused(`${f.wss}/peer`, visitor(f, {}, `127.0.0.${x}`));
            assert.equal(answer.status, 429);
        }
    });
}

test('a server that trusts no proxy, or another one, sees the proxy alone', async (t) => {
    for (const args of [[], ['trusted=10.0.0.0/8 unix']]) {
        const f = await front(t, 'tcp', ...args);
        const c = await t.client(`${f.wss}/peer`, visitor(f));
        assert.equal(await c.text(), '127.0.0.1');
    }
});

test('past the proxy, straight to the server, nobody\'s word counts', async (t) => {
    const f = await front(t, 'tcp', 'trusted=127.0.0.1');
    const headers = { 'X-Forwarded-For': '6.6.6.6', 'X-Forwarded-Host': 'evil.example',
        'X-Forwarded-Proto': 'https' };
    const from = { localAddress: '127.0.0.2', headers };
    const c = await t.client(`${f.server.ws}/peer`, from);
    assert.equal(await c.text(), '127.0.0.2');
    const answer = await refused(`${f.server.ws}/echo`, { ...from, origin: 'https://evil.example' });
    assert.equal(answer.status, 403);
    assert.equal((await request(`${f.server.http}/peer`)).status, 200);
});

test('Chromium opens wss:// from a page behind nginx, over TCP and over a Unix socket', async (t) => {
    const profile = folder(t); /* what the browser writes goes there, and that goes away */
    const browser = await chromium.launch({
        executablePath: need_program(process.env.CHROMIUM || 'chromium', 'chromium'),
        args: ['--headless', '--no-sandbox', '--disable-gpu', '--no-first-run',
            '--disable-background-networking', '--disable-component-update', '--disable-sync'],
        env: { ...process.env, HOME: profile, TMPDIR: profile, XDG_CONFIG_HOME: profile,
            XDG_CACHE_HOME: profile },
        timeout: 30000,
    });
    t.after(() => browser.close());
    for (const [over, trusted] of [['tcp', '127.0.0.1'], ['unix', 'unix']]) {
        const f = await front(t, over, `trusted=${trusted}`);
        const context = await browser.newContext({ ignoreHTTPSErrors: true });
        const page = await context.newPage();
        await page.goto(`${f.origin}/`);
        await until('an echo in the page', async () => await page.textContent('#said') === 'hello');
        const elsewhere = await page.evaluate(async (url) => {
            const socket = new WebSocket(url);
            return new Promise((resolve) => {
                socket.onopen = () => resolve('open');
                socket.onclose = (event) => resolve(event.code);
            });
        }, `wss://127.0.0.1:${f.port}/echo`);
        assert.equal(elsewhere, 1006, 'another host is another origin');
        await context.close();
    }
}, 60000);

await run('proxy.mjs');
