/* proxy.mjs: nginx, HAProxy and Caddy in front of a server, each run with its file of
 * examples/deploy and a certificate made here.
 *
 *     make check-proxy, or: BUILD=... node tests/net/proxy.mjs [part of a test's name ...] */

import https from 'node:https';
import {
    answers, assert, certificate, deploy_file, folder, free_port, fs, host, need_program, path,
    refused, request, root, run, start, start_browser, test, until, within,
} from './lib.mjs';

const nginx = need_program('nginx', 'nginx-light');

/* nginx in front of a server that got `args`. over: tcp or unix. */
async function front(t, over, ...args) {
    const dir = folder(t), cert = certificate(dir), socket = `${dir}/host.sock`;
    const server = await host(t, ...(over === 'unix' ? [`host=unix:${socket}`] : []), ...args);
    const port = await free_port(); /* last, or the server might be given it */
    const temp = ['client_body', 'proxy', 'fastcgi', 'uwsgi', 'scgi']
        .map((name) => `${name}_temp_path ${dir}/${name};`).join(' ');
    fs.writeFileSync(`${dir}/app.conf`, deploy_file('nginx.conf', [
        ['listen 443 ssl', `listen 127.0.0.1:${port} ssl`], ['app.example;', 'localhost;'],
        ['/etc/ssl/app.example.pem', cert.cert], ['/etc/ssl/app.example.key', cert.key],
        ['http://127.0.0.1:4000', over === 'unix' ? `http://unix:${socket}` : server.http]]));
    fs.writeFileSync(`${dir}/nginx.conf`, `
        daemon off; master_process off; pid ${dir}/pid; error_log ${dir}/error.log;
        events { worker_connections 512; }
        http { access_log off; ${temp} include ${dir}/app.conf; }`);
    const program = start(t, nginx,
        ['-p', dir, '-c', `${dir}/nginx.conf`, '-e', `${dir}/error.log`]);
    await Promise.race([answers(port), program.ended.then((end) => {
        throw new Error(`nginx ended: ${end} ${program.output}`);
    })]);
    return { server, port, ca: cert.ca, wss: `wss://localhost:${port}`,
        origin: `https://localhost:${port}` };
}

/* HAProxy or Caddy in front of a server. */
async function other_front(t, name, over) {
    const dir = folder(t), cert = certificate(dir), socket = `${dir}/host.sock`;
    const unix = over === 'unix', caddy = name === 'caddy';
    const server = await host(t, ...(unix ? [`host=unix:${socket}`] : []),
        `trusted=${unix ? 'unix' : '127.0.0.1'}`);
    const port = await free_port();
    fs.writeFileSync(`${dir}/both.pem`, cert.ca + fs.readFileSync(cert.key, 'utf8'));
    const upstream = caddy ? `unix/${socket}` : `unix@${socket}`;
    const place = ['127.0.0.1:4000', unix ? upstream : server.host];
    /* Caddy gets its certificate from a public authority; here it takes a file. */
    const text = caddy ? deploy_file('Caddyfile', [place,
        ['app.example {', `https://localhost:${port} {\ntls ${cert.cert} ${cert.key}`]])
        : deploy_file('haproxy.cfg', [place, [':443', `127.0.0.1:${port}`],
            ['/etc/ssl/app.example.pem', `${dir}/both.pem`]]);
    const global = caddy ? '{\nadmin off\nauto_https disable_redirects\n}\n' : '';
    const file = `${dir}/${caddy ? 'Caddyfile' : 'haproxy.cfg'}`;
    fs.writeFileSync(file, global + text);
    const program = start(t, need_program(name, name),
        caddy ? ['run', '--config', file] : ['-f', file, '-db'],
        { env: { ...process.env, HOME: dir, XDG_CONFIG_HOME: dir, XDG_DATA_HOME: dir } });
    await Promise.race([answers(port), program.ended.then((end) => {
        throw new Error(`${name} ended: ${end} ${program.output}`);
    })]);
    return { server, port, ca: cert.ca, wss: `wss://localhost:${port}`,
        origin: `https://localhost:${port}` };
}

/* An answer by https, from a visitor at 127.0.0.x. */
function get(f, target, { from = '127.0.0.2', headers = {} } = {}) {
    return within(5000, `an answer to ${target}`, new Promise((resolve, reject) => {
        https.get({ host: '127.0.0.1', servername: 'localhost', port: f.port, path: target,
            ca: f.ca, localAddress: from, headers: { Host: `localhost:${f.port}`, ...headers },
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
        assert.equal((await big.gone()).code, 1009, 'the Close of the server arrives');
    });

    test(`nginx over ${over}: no forged field changes azc_peer`, async (t) => {
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

    test(`nginx over ${over}: max_per_address counts each visitor, not the proxy`, async (t) => {
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

for (const name of ['haproxy', 'caddy']) {
    test(`${name}: wss://, azc_peer and the origin check see the visitor`, async (t) => {
        for (const over of ['tcp', 'unix']) {
            const f = await other_front(t, name, over);
            const forged = { 'X-Forwarded-For': '6.6.6.6', 'X-Forwarded-Host': 'evil.example' };
            const c = await t.client(`${f.wss}/peer`, { ...visitor(f, forged), origin: f.origin });
            assert.equal(await c.text(), '127.0.0.2');
            c.send('hello');
            assert.equal(await c.text(), 'hello');
            for (const origin of ['https://evil.example', f.origin.replace('https', 'http')]) {
                assert.equal((await refused(`${f.wss}/echo`, { ...visitor(f, forged), origin }))
                    .status, 403, origin);
            }
        }
    });
}

test('proxies wait longer than the server takes to drop a silent peer', () => {
    const header = fs.readFileSync(path.join(root, 'azchan.h'), 'utf8');
    const seconds = (field) => Number(new RegExp(`int ${field};[^;]*?(\\d+) s\\b`).exec(header)?.[1]);
    const dropped = 1.25 * seconds('ping_ms') + seconds('pong_ms');
    assert(dropped > 0, 'the comments of azc_config state ping_ms and pong_ms');
    for (const [name, count, timeout] of [['nginx.conf', 1, /proxy_read_timeout (\d+)s/g],
        ['haproxy.cfg', 3, /timeout (?:client|server|tunnel) (\d+)s/g]]) {
        const found = [...deploy_file(name).matchAll(timeout)];
        assert.equal(found.length, count, name);
        for (const [line, s] of found) assert(s > dropped, `${name}: ${line}, over ${dropped} s`);
    }
});

test('without azc_trust_proxies, or with another address, azc_peer is the proxy', async (t) => {
    for (const args of [[], ['trusted=10.0.0.0/8 unix']]) {
        const f = await front(t, 'tcp', ...args);
        const c = await t.client(`${f.wss}/peer`, visitor(f));
        assert.equal(await c.text(), '127.0.0.1');
    }
});

test('X-Forwarded-* of a direct connection are ignored', async (t) => {
    const f = await front(t, 'tcp', 'trusted=127.0.0.1');
    const headers = { 'X-Forwarded-For': '6.6.6.6', 'X-Forwarded-Host': 'evil.example',
        'X-Forwarded-Proto': 'https' };
    const from = { localAddress: '127.0.0.2', headers };
    const c = await t.client(`${f.server.ws}/peer`, from);
    assert.equal(await c.text(), '127.0.0.2');
    const evil = { ...from, origin: 'https://evil.example' };
    const answer = await refused(`${f.server.ws}/echo`, evil);
    assert.equal(answer.status, 403);
    assert.equal((await request(`${f.server.http}/peer`)).status, 200);
});

/* Proxies as they come: both speak HTTP/1.0 until their files say otherwise. */
test('nginx with a bare proxy_pass, and HAProxy with a bare httpchk, serve pages', async (t) => {
    const dir = folder(t), server = await host(t, 'trusted=127.0.0.1');
    const ports = [await free_port(), await free_port()];
    const temp = ['client_body', 'proxy', 'fastcgi', 'uwsgi', 'scgi']
        .map((name) => `${name}_temp_path ${dir}/${name};`).join(' ');
    fs.writeFileSync(`${dir}/nginx.conf`, `
        daemon off; master_process off; pid ${dir}/pid; error_log ${dir}/error.log;
        events { worker_connections 64; }
        http { access_log off; ${temp} server { listen 127.0.0.1:${ports[0]};
            location / { proxy_pass ${server.http}; } } }`);
    fs.writeFileSync(`${dir}/haproxy.cfg`, `
        defaults
            mode http
            timeout connect 5s
            timeout client 5s
            timeout server 5s
        listen all
            bind 127.0.0.1:${ports[1]}
            option httpchk
            server one ${server.host} check inter 50ms fall 1 rise 1\n`);
    start(t, nginx, ['-p', dir, '-c', `${dir}/nginx.conf`, '-e', `${dir}/error.log`]);
    start(t, need_program('haproxy', 'haproxy'), ['-f', `${dir}/haproxy.cfg`, '-db']);
    await Promise.all(ports.map(answers));
    await new Promise((resolve) => { setTimeout(resolve, 500); }); /* several checks */
    for (const port of ports) {
        const answer = await request(`http://127.0.0.1:${port}/`);
        assert.equal(answer.status, 200, `through port ${port}`);
        assert.equal((await request(`http://127.0.0.1:${port}/nowhere`)).status, 404);
    }
    assert.equal((await request(`http://127.0.0.1:${ports[0]}/echo`)).status, 426);
});

test('Chromium opens wss:// from a page behind nginx, by TCP and by Unix socket', async (t) => {
    const browser = await start_browser(t);
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
