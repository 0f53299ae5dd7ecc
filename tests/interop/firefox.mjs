/* firefox.mjs: each example's page in headless Firefox, over WebDriver BiDi.
 *
 *     cd tests/interop && npm ci && node firefox.mjs [part of a test's name ...]
 *
 * Each page loads, connects, does what it is for, and comes back after its server was gone. BUILD
 * names the folder of the binaries, ../../build without it; FIREFOX the browser. */

import { createHash } from 'node:crypto';
import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { assert, need_binary, need_package, run, test, until } from './lib.mjs';

/* ---- The browser ---------------------------------------------------------------------------- */

/* Everything it writes goes into one folder, and that goes away. */
const home = fs.mkdtempSync(path.join(os.tmpdir(), 'azchan-firefox-'));
process.on('exit', () => fs.rmSync(home, { recursive: true, force: true, maxRetries: 5 }));
process.env.TMPDIR = home;
process.env.HOME = home;

function find_firefox() {
    const name = process.env.FIREFOX || 'firefox-esr';
    const dirs = name.includes('/') ? [''] : (process.env.PATH || '').split(':');
    const file = dirs.map((dir) => path.join(dir, name)).find((one) => fs.existsSync(one));
    if (file) return file;
    console.error(`firefox.mjs: ${name} is missing: install it, or name Firefox in FIREFOX`);
    process.exit(1);
}

const puppeteer = need_package('puppeteer-core');
const browser = await puppeteer.launch({
    browser: 'firefox',
    executablePath: find_firefox(),
    headless: true,
    timeout: 60000,
    extraPrefsFirefox: { 'app.normandy.enabled': false, 'app.update.disabledForTesting': true },
});

/* ---- The pages ------------------------------------------------------------------------------ */

const shows = (page, text) => until(text, () => page.evaluate(
    (text) => document.body.innerText.includes(text), text));

async function call_me(page, name) {
    await page.type('#name', name);
    await page.keyboard.press('Enter');
}

process.env.PASSWORD = 'correct horse'; /* of settings */

async function log_in(page) {
    await page.waitForSelector('[name=password]', { visible: true });
    await page.type('[name=password]', process.env.PASSWORD);
    await Promise.all([page.waitForNavigation(), page.keyboard.press('Enter')]);
}

/* `first`: before it is connected; `use`: what the page is for; `again`: when the server is another
   one. */
const pages = {
    chat: {
        first: (page) => call_me(page, 'Grace'),
        async use(page) {
            await shows(page, 'You are the only one here.');
            await page.type('#input', 'Good morning');
            await page.keyboard.press('Enter');
            await page.waitForSelector('.msg.mine');
            await shows(page, 'Good morning');
        },
    },
    cluster: {
        args: ['-p', '1'], /* no Redis there: it serves this process alone */
        async use(page) {
            await page.type('#text', 'Good morning');
            await page.keyboard.press('Enter');
            await shows(page, 'lobby: Good morning');
        },
    },
    counter: {
        async use(page) {
            await page.waitForSelector('[live=shared] output');
            await page.click('[live=shared] [live-click=more]');
            await until('1', () => page.$eval('[live=shared] output',
                (it) => it.textContent === '1'));
        },
    },
    dashboard: {
        async use(page) {
            await until('a load', () => page.evaluate(() => (
                /^\d+\.\d\d$/.test(document.querySelector('#load .value b').textContent))));
        },
    },
    jobs: {
        async use(page) {
            await page.click('input[value="1000000"] + span');
            await page.click('#start');
            await shows(page, '78,498');
        },
    },
    own_loop: {
        async use(page, t, server) {
            const client = await t.client(`${server.ws}/world`);
            const balls = async () => (await client.json()).balls.length;
            const before = await balls();
            await page.click('#world');
            await until('one more ball', async () => await balls() === before + 1);
        },
    },
    presence: {
        first: (page) => call_me(page, 'Grace'),
        async use(page) {
            await page.waitForSelector('[data-room=kitchen] li');
            await page.click('[data-room=garden] .go');
            await page.waitForSelector('[data-room=garden] li');
        },
    },
    settings: {
        first: log_in,
        async use(page) {
            const file = path.join(home, 'firmware.bin');
            fs.writeFileSync(file, Buffer.alloc(345678));
            await page.click('[name=name]', { count: 3 });
            await page.type('[name=name]', 'Desk');
            await page.keyboard.press('Enter');
            await (await page.$('#file')).uploadFile(file);
            await page.click('#upload');
            await shows(page, 'Installed: 345678 bytes');
            await page.reload();
            assert.equal(await page.$eval('[name=name]', (one) => one.value), 'Desk');
            await Promise.all([page.waitForNavigation(), page.click('.plain button')]);
            await log_in(page);
            await until('open', () => page.$eval('#status', (one) => one.dataset.state === 'open'));
        },
        again: log_in,
    },
    todo: {
        async use(page) {
            await page.waitForSelector('[live-submit=add] input');
            await page.type('[live-submit=add] input', 'Milk');
            await page.keyboard.press('Enter');
            await shows(page, '1 of 1 open');
            await page.click('[live-click=edit]');
            await page.waitForSelector('li input:focus');
            await page.keyboard.type('y');
            await page.keyboard.press('Enter');
            await page.waitForSelector('li [type=checkbox]');
            await shows(page, 'y');
        },
    },
    upload: {
        async use(page) {
            const file = path.join(home, 'boat.jpg');
            fs.writeFileSync(file, Buffer.alloc(345678, 'boat'));
            const sum = createHash('sha256').update(fs.readFileSync(file)).digest('hex');
            await (await page.$('#files')).uploadFile(file);
            await page.waitForSelector('[data-state=done]');
            const sums = await page.$$eval('dd', (all) => all.map((one) => one.textContent));
            assert.deepEqual(sums, [sum, sum], 'the hashes of both sides');
        },
    },
};

/* ---- The tests ------------------------------------------------------------------------------ */

async function visit(t, name) {
    const { args = [], first, use, again } = pages[name];
    const server = await t.server(name, ...args, '0');
    const context = await browser.createBrowserContext();
    t.after(() => context.close());
    const page = await context.newPage();
    const errors = [], elsewhere = [];
    let gone = false;
    page.on('console', (message) => {
        if (!gone && ['error', 'warn'].includes(message.type())) errors.push(message.text());
    });
    page.on('pageerror', (error) => { if (!gone) errors.push(String(error)); });
    page.on('request', (request) => {
        const { protocol, host } = new URL(request.url());
        if (protocol !== 'data:' && host !== server.host) elsewhere.push(request.url());
    });
    const state = () => page.$eval('#status', (one) => one.dataset.state);
    const is = (...wanted) => until(wanted, async () => wanted.includes(await state()), 20000);

    await page.setViewport({ width: 375, height: 800 });
    await page.goto(`${server.http}/`);
    await first?.(page);
    await is('open');
    await use(page, t, server);
    const wide = await page.evaluate(() => document.documentElement.scrollWidth);
    assert.ok(wide <= 375, `${wide} pixels at 375`);
    gone = true; /* Firefox itself reports each try that finds no server */
    await server.kill();
    await is('closed', 'waiting', 'offline');
    await t.server(name, ...args, String(server.port));
    await again?.(page);
    await is('open');
    assert.deepEqual(errors, [], 'the console is clean');
    assert.deepEqual(elsewhere, [], 'nothing is asked of another host');
}

for (const name of Object.keys(pages)) {
    need_binary(name);
    test(`${name}: Firefox`, (t) => visit(t, name), 60000);
}

await run('firefox.mjs', { end: () => browser.close() });
