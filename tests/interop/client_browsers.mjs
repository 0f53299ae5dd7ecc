/* client_browsers.mjs: azchan.js in Chromium and Firefox, against client_server.c: links, proxies
 * and servers that die, with every message numbered. With LONG=1 the long waits are as long as they
 * would be: 30 s in a tunnel, a minute in a bag.
 *
 *     cd tests/interop && npm ci && node client_browsers.mjs [part of a test's name ...] */

import { spawn } from 'node:child_process';
import fs from 'node:fs';
import net from 'node:net';
import path from 'node:path';
import {
    assert, free_port, give_up, need_binary, need_package, pause, proxy, run, test, until,
} from './lib.mjs';
import { browser as chromium, home, Tab } from './tab.mjs';

need_binary('client_server');
const firefox_file = process.env.FIREFOX || (process.env.PATH || '').split(':')
    .map((dir) => path.join(dir, 'firefox-esr')).find((file) => fs.existsSync(file));
const firefox = await need_package('puppeteer-core').launch({
    browser: 'firefox', executablePath: firefox_file, headless: true, timeout: 60000,
}).catch((error) => give_up(`Firefox does not start: ${error.message}`));

const [tunnel, bag] = process.env.LONG ? [30000, 60000] : [3000, 3000];

/* What the page of client_server.c has noted. */
const noted = (page) => page.evaluate(() => globalThis.noted);
const is_open = (page) => until('a connection', () => page.evaluate(
    () => globalThis.chat.state === 'open'), 20000);

/* Nothing missed, nothing twice, in order; all that is kept after a fresh start. */
async function check(page, newest) {
    await until('the news of now', async () => (await noted(page)).list.at(-1) > newest, 20000);
    const { list, errors } = await noted(page);
    assert.deepEqual(errors, []);
    assert.equal(list.at(-1) - list[0] + 1, list.length);
    assert.ok(list[0] <= Math.max(1, newest - 400));
    return list;
}

async function kills(t, open, times) {
    const port = String(await free_port()), file = path.join(home, `news-${port}`);
    let server = await t.server('client_server', port, 'news', file);
    const page = await open(`${server.http}/`);
    await is_open(page);
    for (let i = 0; i < times; i++) {
        await pause(60);
        await server.kill();
        server = await t.server('client_server', port, 'news', file);
        if (i % 5 === 4) await is_open(page);
    }
    await is_open(page);
    await check(page, fs.statSync(file).size + 20);
    assert.ok((await noted(page)).fresh > times / 10);
}

/* A process and its descendants, as /proc knows them. */
function family(pid) {
    const parents = new Map(fs.readdirSync('/proc').filter((name) => /^\d+$/.test(name))
        .flatMap((name) => {
            try {
                const stat = fs.readFileSync(`/proc/${name}/stat`, 'utf8');
                return [[Number(name), Number(stat.slice(stat.lastIndexOf(')')).split(' ')[2])]];
            } catch { return []; /* it has ended */ }
        }));
    const all = [pid];
    for (const one of all) all.push(...[...parents.keys()].filter((k) => parents.get(k) === one));
    return all;
}

/* nginx in front of a server, as examples/deploy/nginx.conf forwards. */
async function nginx(t, port) {
    const dir = fs.mkdtempSync(path.join(home, 'nginx-'));
    const one = { port: await free_port() };
    fs.writeFileSync(`${dir}/nginx.conf`, `daemon off; master_process off; error_log stderr;
        pid ${dir}/pid;
        events { }
        http {
            access_log off;
            client_body_temp_path ${dir}; proxy_temp_path ${dir}; fastcgi_temp_path ${dir};
            uwsgi_temp_path ${dir}; scgi_temp_path ${dir};
            server {
                listen 127.0.0.1:${one.port} reuseport;
                location / {
                    proxy_pass http://127.0.0.1:${port};
                    proxy_http_version 1.1;
                    proxy_set_header Host $http_host;
                    proxy_set_header Upgrade $http_upgrade;
                    proxy_set_header Connection upgrade;
                }
            }
        }`);
    one.start = async () => {
        one.child = spawn('nginx', ['-p', dir, '-c', `${dir}/nginx.conf`, '-e', `${dir}/error.log`],
            { stdio: 'ignore' });
        one.ended = new Promise((resolve) => {
            one.child.on('exit', resolve);
            one.child.on('error', () => give_up('no nginx: install nginx-light'));
        });
        await until('nginx', () => new Promise((resolve) => {
            const probe = net.connect(one.port, '127.0.0.1');
            probe.on('connect', () => resolve(true)).on('error', () => resolve(false));
            probe.on('connect', () => probe.destroy());
        }));
    };
    one.stop = async (signal) => {
        one.child.kill(signal);
        await one.ended;
    };
    t.after(() => one.stop('SIGKILL'));
    await one.start();
    return one;
}

const in_chromium = (t) => async (url) => (await Tab.open(t, url)).page;
const in_firefox = (t) => async (url) => {
    const context = await firefox.createBrowserContext();
    t.after(() => context.close());
    const page = await context.newPage();
    await page.goto(url);
    return page;
};

/* ---- Servers that die ----------------------------------------------------------------------- */

for (const [name, visit] of [['Chromium', in_chromium], ['Firefox', in_firefox]]) {
    test(`${name}: a server that is killed 50 times under traffic`,
        (t) => kills(t, visit(t), 50), 90000);

    test(`${name}: nginx in between, which is restarted 20 times under traffic`, async (t) => {
        const server = await t.server('client_server', '0', 'news');
        const way = await nginx(t, server.port);
        const page = await visit(t)(`http://127.0.0.1:${way.port}/`);
        await is_open(page);
        for (let i = 0; i < 20; i++) {
            await pause(60);
            await way.stop(i % 2 ? 'SIGTERM' : 'SIGKILL');
            await way.start();
            if (i % 5 === 4) await is_open(page);
        }
        await is_open(page);
        await check(page, (await noted(page)).list.at(-1) + 20);
        assert.equal((await noted(page)).fresh, 1);
    }, 90000);

    test(`${name}: a new token for each attempt`, async (t) => {
        let server = await t.server('client_server', '0');
        const port = String(server.port);
        await server.stop();
        server = await t.server('client_server', port, 'news');
        const page = await visit(t)(`${server.http}/`);
        await page.evaluate(() => {
            const tokens = globalThis.tokens = ['old', 'old', 'good'], states = [];
            const token = async () => {
                if (tokens.length > 1) return tokens.shift();
                throw new Error('the login has ended');
            };
            globalThis.mine = new AzChannel('t', { token, least: 20, most: 100 });
            mine.on(':state', ({ state, longest }) => states.push(longest ? 'longest' : state));
            globalThis.states = states;
        });
        const state = () => page.evaluate(() => mine.state);
        await until('no way in without a token', async () => (await page.evaluate(() => states))
            .includes('longest'));
        assert.equal((await page.evaluate(() => states)).includes('open'), false);
        await page.evaluate(() => { tokens.push('stays'); });
        await until('a connection', async () => await state() === 'open');
        await server.kill();
        await page.evaluate(() => { tokens.unshift('old', 'good'); });
        await t.server('client_server', port, 'news');
        await until('a connection with a new token', async () => await state() === 'open');
        assert.deepEqual(await page.evaluate(() => tokens), ['stays']);
        await page.evaluate(() => mine.close());
    }, 60000);
}

/* ---- Networks and pages that are away ------------------------------------------------------- */

test('Chromium: a network that is away, at last for longer than is kept', async (t) => {
    const server = await t.server('client_server', '0', 'news');
    const way = await proxy(t, server.port);
    const page = await in_chromium(t)(`http://127.0.0.1:${way.port}/`), network = page.context();
    await is_open(page);
    for (const [ms, fresh] of [[1000, 1], [1000, 1], [8000, 2]]) {
        way.away = true;
        way.cut();
        await until('an end', () => page.evaluate(() => globalThis.chat.state !== 'open'));
        await network.setOffline(true); /* WebSockets do not mind, but the page is told */
        await pause(ms);
        const { states } = await noted(page);
        assert.ok(states.at(-1) !== 'open' && states.includes('offline'), states.join());
        way.away = false;
        await network.setOffline(false);
        await is_open(page);
        await until('its start', async () => (await noted(page)).fresh === fresh);
        const list = await check(page, (await noted(page)).list.at(-1) + 20);
        assert.ok(list.length > 20);
        assert.equal((await noted(page)).fresh, fresh);
    }
}, 60000);

test(`Chromium: a network that is away for ${tunnel / 1000} s`, async (t) => {
    const server = await t.server('client_server', '0', 'news', '/dev/null', '40000');
    const way = await proxy(t, server.port);
    const page = await in_chromium(t)(`http://127.0.0.1:${way.port}/`);
    await is_open(page);
    way.freeze(); /* nobody is told */
    way.away = true;
    await pause(tunnel);
    way.cut();
    way.away = false;
    await is_open(page);
    await check(page, (await noted(page)).list.at(-1) + 20);
    assert.equal((await noted(page)).fresh, 1);
}, 120000);

test(`Firefox: stopped for ${bag / 1000} s, with all of its processes`, async (t) => {
    const server = await t.server('client_server', '0', 'news', '/dev/null', '40000');
    const page = await in_firefox(t)(`${server.http}/`);
    await is_open(page);
    const all = family(firefox.process().pid), before = (await noted(page)).list.at(-1);
    assert.ok(all.length > 2);
    for (const pid of all) process.kill(pid, 'SIGSTOP');
    await pause(bag).finally(() => { for (const pid of all) process.kill(pid, 'SIGCONT'); });
    await is_open(page);
    await check(page, before + bag / 10);
    assert.equal((await noted(page)).fresh, 1);
}, 120000);

test('Chromium: a page that sleeps goes on where it was', async (t) => {
    const server = await t.server('client_server', '0', 'news');
    const page = await in_chromium(t)(`${server.http}/`);
    const devtools = await page.context().newCDPSession(page);
    await is_open(page);
    await devtools.send('Page.enable');
    await devtools.send('Page.setWebLifecycleState', { state: 'frozen' });
    await pause(1500);
    await devtools.send('Page.setWebLifecycleState', { state: 'active' });
    await is_open(page);
    await check(page, (await noted(page)).list.at(-1) + 20);
}, 60000);

/* Two minutes. */
if (process.env.LONG) {
    test('Chromium: 10,000 reconnects leave no memory behind in the page', async (t) => {
        const server = await t.server('client_server', '0', 'news');
        const page = await in_chromium(t)(`${server.http}/`);
        const devtools = await page.context().newCDPSession(page);
        await is_open(page);
        await page.evaluate(() => {
            chat.close();
            globalThis.opens = 0;
            globalThis.again = new AzChannel('t?user=ada', { least: 1, most: 1 });
            again.on(':state', ({ state }) => {
                if (state !== 'open') return;
                opens++;
                again.request({ ask: 'nothing' }).catch(() => {});
                again.send({ ask: 'close', code: 1001 });
            });
        });
        const used = async (n) => {
            await until(`${n} connections`, () => page.evaluate((n) => opens >= n, n), 200000);
            await devtools.send('HeapProfiler.collectGarbage');
            return (await devtools.send('Runtime.getHeapUsage')).usedSize;
        };
        const before = await used(2000), after = await used(10000);
        assert.ok(after - before < 300000, `${before} bytes, then ${after}`);
    }, 240000);
}

await run('client_browsers.mjs', {
    end: async () => { await firefox.close(); await chromium.close(); },
});
