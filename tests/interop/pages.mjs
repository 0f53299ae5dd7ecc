/* pages.mjs: the pages of the examples that have one, in headless Chromium; the chat's is in
 * browser.mjs.
 *
 *     cd tests/interop && npm ci && node pages.mjs [part of a test's name ...]
 *
 * BUILD names the folder of the binaries, ../../build without it; CHROMIUM the browser. What each
 * looks like is left as pictures in BUILD/screenshots. */

import {
    assert, need_binary, pause, run, test, until,
} from './lib.mjs';
import { browser, desktop, phone, picture, Tab } from './tab.mjs';

for (const name of ['counter']) need_binary(name);

const dark = { ...phone, colorScheme: 'dark' };

async function page_of(t, server, view, profile) {
    const tab = await Tab.open(t, `${server.http}/`, view, profile);
    await tab.online();
    return tab;
}

/* The server dies; the page says so, tries again with growing pauses, and goes on. */
async function comes_back(t, server, tab, name) {
    await server.kill();
    await tab.offline();
    const killed = Date.now();
    await pause(6000);
    const tries = tab.sockets.map(({ at }) => at).filter((at) => at >= killed - 500);
    assert.ok(tries.length >= 3 && tries.length <= 7, `${tries.length} tries in 6 s`);
    const again = await t.server(name, String(server.port));
    await tab.online(20000);
    return again;
}

async function fits(tab) {
    const wide = await tab.page.evaluate(() => document.documentElement.scrollWidth - innerWidth);
    assert.ok(wide <= 0, `${wide} pixels stick out`);
}

/* ---- counter -------------------------------------------------------------------------------- */

const number = (tab, id) => tab.page.textContent(`#${id} output`);
const shows = (tab, id, n) => until(`#${id} at ${n}`, async () => await number(tab, id) === n);

test('counter: one number is everyone\'s, one each tab\'s own', async (t) => {
    const server = await t.server('counter', '0');
    const ada = await page_of(t, server);
    const bob = await page_of(t, server);
    for (let i = 0; i < 3; i++) await ada.page.click('[data-click=shared-more]');
    for (const tab of [ada, bob]) await shows(tab, 'shared', '3');
    await bob.page.click('[data-click=shared-less]');
    for (const tab of [ada, bob]) await shows(tab, 'shared', '2');
    await ada.page.fill('[data-input=yours-step]', '5');
    await until('a step of 5', async () => {
        return (await ada.page.textContent('[data-click=yours-more]')).includes('5');
    });
    await ada.page.click('[data-click=yours-more]');
    await ada.page.click('[data-click=yours-more]');
    await shows(ada, 'yours', '10');
    await bob.page.click('[data-click=yours-less]');
    await shows(bob, 'yours', '-1');
    await shows(ada, 'yours', '10');
    for (const tab of [ada, bob]) tab.check();
});

test('counter: typed text reaches all as text, and leaves the cursor alone', async (t) => {
    const server = await t.server('counter', '0');
    const ada = await page_of(t, server);
    const bob = await page_of(t, server);
    const bad = `<img src=x onerror=alert(1)>'"&amp;~`;
    await ada.page.fill('[data-input=shared-what]', '');
    await ada.page.focus('[data-input=shared-what]');
    await ada.page.keyboard.type(bad, { delay: 5 });
    for (const tab of [ada, bob]) {
        await until('the text', async () => {
            return await tab.page.textContent('#shared h2') === `Everyone's ${bad}`;
        });
        assert.equal(await tab.page.inputValue('[data-input=shared-what]'), bad);
        assert.equal(await tab.page.$$eval('#live img', (all) => all.length), 0);
    }
    /* In the middle of the field, while another counts */
    await ada.page.keyboard.press('Home');
    await ada.page.keyboard.type('ab');
    await bob.page.click('[data-click=shared-more]');
    await shows(ada, 'shared', '1');
    await ada.page.keyboard.type('cd');
    await until('abcd', async () => {
        return (await bob.page.inputValue('[data-input=shared-what]')).startsWith('abcd<img');
    });
    for (const tab of [ada, bob]) tab.check();
});

test('counter: a click is not lost when the number changes under it', async (t) => {
    const server = await t.server('counter', '0');
    const ada = await page_of(t, server);
    const bob = await page_of(t, server);
    await ada.page.hover('[data-click=shared-more]');
    await ada.page.mouse.down();
    await bob.page.click('[data-click=shared-more]');
    await shows(ada, 'shared', '1');
    await ada.page.mouse.up();
    for (const tab of [ada, bob]) await shows(tab, 'shared', '2');
    for (const tab of [ada, bob]) tab.check();
});

test('counter: reconnects, keeps what is one\'s own, fits a phone', async (t) => {
    const server = await t.server('counter', '0');
    const tab = await page_of(t, server, dark);
    const wide = await page_of(t, server, desktop);
    for (let i = 0; i < 7; i++) await tab.page.tap('[data-click=yours-more]');
    for (let i = 0; i < 42; i++) await wide.page.click('[data-click=shared-more]');
    await shows(tab, 'shared', '42');
    await shows(tab, 'yours', '7');
    await fits(tab);
    await picture(tab, 'counter-phone');
    await picture(wide, 'counter-desktop');
    await comes_back(t, server, tab, 'counter');
    await shows(tab, 'yours', '7');
    await shows(tab, 'shared', '0');
    tab.check_but_lost();
}, 60000);

await run('pages.mjs', () => browser.close());
