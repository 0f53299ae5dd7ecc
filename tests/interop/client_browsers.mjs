/* client_browsers.mjs: azchan.js in Chromium and Firefox, against client_server.c: links and
 * servers that die, with every message numbered.
 *
 *     cd tests/interop && npm ci && node client_browsers.mjs [part of a test's name ...] */

import fs from 'node:fs';
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

const in_chromium = (t) => async (url) => (await Tab.open(t, url)).page;
const in_firefox = (t) => async (url) => {
    const context = await firefox.createBrowserContext();
    t.after(() => context.close());
    const page = await context.newPage();
    await page.goto(url);
    return page;
};

test('Chromium: a server that is killed 50 times under traffic',
    (t) => kills(t, in_chromium(t), 50), 90000);

test('Firefox: a server that is killed 50 times under traffic',
    (t) => kills(t, in_firefox(t), 50), 90000);

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
        const list = await check(page, (await noted(page)).list.at(-1) + 20);
        assert.ok(list.length > 20);
        assert.equal((await noted(page)).fresh, fresh);
    }
}, 60000);

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

await run('client_browsers.mjs', {
    end: async () => { await firefox.close(); await chromium.close(); },
});
