/* live.mjs: azlive.js in Chromium and Firefox, against live_server.c.
 *
 *     cd tests/interop && npm ci && node live.mjs [part of a test's name ...] */

import fs from 'node:fs';
import path from 'node:path';
import {
    assert, give_up, need_binary, need_package, pause, proxy, run, test, until,
} from './lib.mjs';
import { browser as chromium, Tab } from './tab.mjs';

need_binary('live_server');
const firefox_file = process.env.FIREFOX || (process.env.PATH || '').split(':')
    .map((dir) => path.join(dir, 'firefox-esr')).find((file) => fs.existsSync(file));
const firefox = await need_package('puppeteer-core').launch({
    browser: 'firefox', executablePath: firefox_file, headless: true, timeout: 60000,
}).catch((error) => give_up(`Firefox does not start: ${error.message}`));

/* ---- A page of either browser --------------------------------------------------------------- */

const browsers = {
    async Chromium(t, url) { return (await Tab.open(t, url)).page; },
    async Firefox(t, url) {
        const context = await firefox.createBrowserContext();
        t.after(() => context.close());
        const page = await context.newPage();
        await page.goto(url);
        return page;
    },
};

const text = (page, selector) => page.evaluate(
    (selector) => document.querySelector(selector)?.textContent, selector);
const is = (page, selector, wanted) => until(`${selector} being ${wanted}`,
    async () => await text(page, selector) === wanted);
const said = (page, id, wanted) => is(page, `#${id} pre`, wanted);
const value = (page, selector) => page.$eval(selector, (one) => one.value);
const focus = (page) => page.evaluate(() => {
    const { className, selectionStart: from, selectionEnd: to } = document.activeElement;
    return { className, from, to };
});
const is_open = (page) => until('a connection', () => page.evaluate(
    () => globalThis.channel.state === 'open'));

async function begin(t, open, ...args) {
    const server = await t.server('live_server', '0', ...args);
    const page = await open(t, `${server.http}/`);
    await is(page, '#one h2', 'Ada');
    await is(page, '[live=life]', '2 0');
    return { server, page };
}

async function order(page, letters) {
    await page.evaluate((letters) => {
        const field = document.querySelector('.order');
        field.value = letters;
        field.dispatchEvent(new Event('input', { bubbles: true }));
    }, letters);
    await until(letters, async () => (
        await text(page, '[live=list] ul')).replace(/ of \w+|\s/g, '') === ''
        && (await page.$$eval('li', (all) => all.map((one) => one.id.at(-1)).join(''))) === letters);
}

/* ---- The tests ------------------------------------------------------------------------------ */

const cases = {
    async 'each sort of event arrives with its value, at its own component'(t, open) {
        const { page } = await begin(t, open);
        await page.click('#one .add');
        await said(page, 'one', 'add "\\"2\\""');
        await page.type('#two .name', 'x<b>');
        await said(page, 'two', 'name "x<b>"');
        await is(page, '#two h2', 'x<b>');
        await page.click('#two .check');
        await said(page, 'two', 'check true');
        await page.click('#two .check');
        await said(page, 'two', 'check false');
        await page.focus('#one .name');
        await page.keyboard.press('ArrowDown');
        await page.keyboard.press('PageUp');
        await said(page, 'one', 'up "PageUp"');
        await page.focus('#one .any');
        await page.keyboard.press('ArrowDown');
        await said(page, 'one', 'any "ArrowDown"');
        await page.type('#one [name=a]', '1');
        await page.type('#one [name=b]', '2');
        await page.keyboard.press('Enter');
        await said(page, 'one', 'save {"a":"1","b":"2"}');
        await until('an empty form', async () => !await value(page, '#one [name=a]'));
        assert.equal(await value(page, '#one [name=b]'), '');
        assert.equal(await text(page, '#one .add'), '1');
        assert.equal(await text(page, '#two .add'), '0');
    },

    async 'the focus, the cursor and the typed text survive HTML'(t, open) {
        const { page } = await begin(t, open);
        await page.focus('#one .any');
        await page.keyboard.type('hello');
        await said(page, 'one', 'any "o"');
        await page.evaluate(() => document.activeElement.setSelectionRange(1, 3));
        await page.evaluate(() => document.querySelector('#one .add').click());
        await is(page, '#one .add', '1');
        assert.deepEqual(await focus(page), { className: 'any', from: 1, to: 3 });
        assert.equal(await value(page, '#one .any'), 'hello');
        /* Without the focus, a field shows what the server says */
        await page.evaluate(() => document.activeElement.blur());
        await page.evaluate(() => document.querySelector('#one .add').click());
        await until('the server\'s value', async () => await value(page, '#one .any') === '');
        /* Nothing is replaced that stays the same */
        await page.$eval('#one .add', (one) => { one.mark = 7; });
        await page.click('#one .add');
        await is(page, '#one .add', '3');
        assert.equal(await page.$eval('#one .add', (one) => one.mark), 7);
    },

    async 'items with ids keep their elements in any order, and the focus'(t, open) {
        const { page } = await begin(t, open);
        await order(page, 'abcde');
        await page.$$eval('li input', (all) => all.forEach((one) => { one.mark = one.className; }));
        await page.focus('.c');
        await page.keyboard.type('words');
        await page.evaluate(() => document.activeElement.setSelectionRange(2, 4));
        for (const letters of ['bcde', 'xbcye', 'cbxe', 'ecx', 'acb', 'c', 'zyxwvc', 'abcde']) {
            await order(page, letters);
            assert.deepEqual(await focus(page), { className: 'c', from: 2, to: 4 }, letters);
            assert.equal(await value(page, '.c'), 'words', letters);
            assert.equal(await page.$eval('.c', (one) => one.mark), 'c', letters);
            assert.ok(await page.$$eval('li input', (all) => all.every(
                (one) => !one.mark || one.mark === one.className)), letters);
        }
        await order(page, 'abf'); /* the focused one goes: it moves to the one with autofocus */
        assert.equal((await focus(page)).className, 'f');
        await order(page, '');
        await order(page, 'ab');
    },

    async 'a shared list is the same on two pages'(t, open) {
        const { server, page } = await begin(t, open);
        const other = await open(t, `${server.http}/`);
        await is(other, '#one h2', 'Ada');
        await order(page, 'cab');
        await until('the same list', async () => (
            await text(page, '[live=list]') === await text(other, '[live=list]')));
        await order(other, 'bz');
        await until('the same list', async () => (
            await text(page, '[live=list]') === await text(other, '[live=list]')));
    },

    async 'elements that come and go are mounted and unmounted'(t, open) {
        const { page } = await begin(t, open);
        await page.evaluate(() => document.querySelector('main').insertAdjacentHTML('beforeend',
            '<div><div live=box id=late data-name=Late></div></div>'));
        await is(page, '#late h2', 'Late');
        await is(page, '[live=life]', '3 0');
        await page.evaluate(() => document.querySelector('#late').parentNode.remove());
        await is(page, '[live=life]', '3 1');
        /* moved, or made again: the same component */
        await page.click('#two .add');
        await page.evaluate(() => document.querySelector('main').append(
            document.querySelector('#one')));
        await page.evaluate(() => { document.querySelector('#two').outerHTML =
            '<div live=box id=two></div>'; });
        await is(page, '#two .add', '1');
        await page.click('#one .add');
        await is(page, '#one .add', '1');
        assert.equal(await text(page, '[live=life]'), '3 1');
    },

    async 'a component within a component is its own'(t, open) {
        const { page } = await begin(t, open);
        await page.click('#one .toggle');
        await is(page, '#inner h2', 'inside');
        await page.click('#inner .add');
        await is(page, '#inner .add', '1');
        await page.click('#one .add');
        await is(page, '#one .add', '1');
        assert.equal(await text(page, '#inner .add'), '1');
        await page.click('#one .toggle');
        await is(page, '[live=life]', '3 1');
        assert.equal(await text(page, '#inner'), undefined);
    },

    async 'within the grace time a reconnect changes nothing'(t, open) {
        const server = await t.server('live_server', '0');
        const way = await proxy(t, server.port);
        const page = await open(t, `http://127.0.0.1:${way.port}/`);
        await is(page, '#one h2', 'Ada');
        await page.click('#one .add');
        await is(page, '#one .add', '1');
        await page.focus('#one .any');
        await page.keyboard.type('hello');
        await said(page, 'one', 'any "o"');
        for (let i = 2; i < 5; i++) {
            way.away = true;
            way.cut();
            await until('an end', () => page.evaluate(() => globalThis.channel.state !== 'open'));
            await pause(200);
            way.away = false;
            await is_open(page);
            await page.evaluate(() => document.querySelector('#one .add').click());
            await is(page, '#one .add', String(i));
            assert.equal(await text(page, '[live=life]'), '2 0');
            assert.equal(await value(page, '#one .any'), 'hello');
            assert.deepEqual(await focus(page), { className: 'any', from: 5, to: 5 });
        }
    },

    async 'after the grace time the page begins anew'(t, open) {
        const server = await t.server('live_server', '0', '200');
        const way = await proxy(t, server.port);
        const page = await open(t, `http://127.0.0.1:${way.port}/`);
        await is(page, '#one h2', 'Ada');
        await page.click('#one .add');
        await is(page, '#one .add', '1');
        way.away = true;
        way.cut();
        await pause(1000);
        way.away = false;
        await is(page, '[live=life]', '4 2');
        await is(page, '#one .add', '0');
        await page.click('#one .add');
        await is(page, '#one .add', '1');
    },

    async 'a server that begins anew gets its components again'(t, open) {
        const { server, page } = await begin(t, open);
        await page.click('#one .add');
        await is(page, '#one .add', '1');
        await page.type('#one [name=a]', 'kept');
        await server.kill();
        await until('an end', () => page.evaluate(() => globalThis.channel.state !== 'open'));
        await page.keyboard.press('Enter'); /* not sent: the form keeps it */
        assert.equal(await value(page, '#one [name=a]'), 'kept');
        await t.server('live_server', String(server.port));
        await is(page, '[live=life]', '2 0');
        await is(page, '#one .add', '0');
        await page.keyboard.press('Enter');
        await said(page, 'one', 'save {"a":"kept","b":""}');
    },
};

for (const [name, body] of Object.entries(cases)) {
    for (const [browser, open] of Object.entries(browsers)) {
        test(`${browser}: ${name}`, (t) => body(t, open), 60000);
    }
}

await run('live.mjs', { end: async () => { await firefox.close(); await chromium.close(); } });
