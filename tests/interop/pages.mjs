/* pages.mjs: the pages of the examples that have one, in headless Chromium; the chat's is in
 * browser.mjs.
 *
 *     cd tests/interop && npm ci && node pages.mjs [part of a test's name ...]
 *
 * BUILD names the folder of the binaries, ../../build without it; CHROMIUM the browser. What each
 * looks like is left as pictures in BUILD/screenshots. */

import { createHash, randomBytes } from 'node:crypto';
import fs from 'node:fs';
import path from 'node:path';
import {
    assert, need_binary, pause, refused, run, test, until,
} from './lib.mjs';
import { browser, desktop, home, phone, picture, Tab } from './tab.mjs';

for (const name of ['counter', 'presence', 'upload']) need_binary(name);

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

/* ---- upload --------------------------------------------------------------------------------- */

/* A file with nothing special in it; sparse where only its size matters. */
function file(name, size, sparse = false) {
    const where = path.join(home, name);
    if (sparse) {
        fs.writeFileSync(where, '');
        fs.truncateSync(where, size);
    } else {
        fs.writeFileSync(where, randomBytes(size));
    }
    return where;
}

const sum = (where) => createHash('sha256').update(fs.readFileSync(where)).digest('hex');
const row = (tab, where) => tab.page.locator('#list li', { hasText: path.basename(where) });
const ends = async (tab, where, state) => {
    const there = row(tab, where).and(tab.page.locator(`[data-state=${state}]`));
    await there.waitFor({ timeout: 60000 });
    return there.innerText();
};

test('upload: every length around a block has the right sum on both sides', async (t) => {
    const server = await t.server('upload', '0');
    const tab = await page_of(t, server);
    const lengths = [0, 1, 55, 56, 57, 63, 64, 65, 119, 120, 128, 1 << 20, (1 << 20) + 1, 3333333];
    const files = lengths.map((n) => file(`of-${n}-bytes`, n));
    await tab.page.setInputFiles('#files', files);
    for (const one of files) {
        const text = await ends(tab, one, 'done');
        assert.equal(text.split(sum(one)).length, 3, `${one} has its sum twice: ${text}`);
    }
    tab.check();
}, 60000);

test('upload: 64 MiB pass through a server whose memory stays as it is', async (t) => {
    const server = await t.server('upload', '0');
    const tab = await page_of(t, server);
    const peak = () => Number(/VmHWM:\s+(\d+)/.exec(
        fs.readFileSync(`/proc/${server.child.pid}/status`, 'utf8'))[1]);
    const small = file('small', 100000), big = file('big', 64 << 20, true);
    await tab.page.setInputFiles('#files', small);
    await ends(tab, small, 'done');
    const before = peak();
    await tab.page.setInputFiles('#files', big);
    await until('progress', async () => {
        const value = await row(tab, big).locator('progress').evaluate((bar) => bar.value);
        return value > .1 && value < .9;
    }, 30000);
    assert.match(await row(tab, big).innerText(), /\d+ %, [\d.]+ MiB\/s/);
    await picture(tab, 'upload-desktop');
    const text = await ends(tab, big, 'done');
    assert.equal(text.split(sum(big)).length, 3);
    assert.ok(peak() - before <= 256, `${peak() - before} KiB more than before`);
    tab.check();
}, 120000);

test('upload: too large is said clearly, and the next file goes up all the same', async (t) => {
    const server = await t.server('upload', '0');
    const tab = await page_of(t, server, dark);
    const huge = file('holiday-film.mov', 300 << 20, true);
    const small = file('boat.jpg', 345678), most = file('firmware.bin', 1 << 20);
    await tab.page.setInputFiles('#files', [most, huge, small]);
    assert.match(await ends(tab, huge, 'refused'), /Too large: at most 256 MiB each/);
    const text = await ends(tab, small, 'done');
    assert.equal(text.split(sum(small)).length, 3);
    assert.equal(tab.sockets.length, 1, 'over one connection');
    await fits(tab);
    await picture(tab, 'upload-phone');
    tab.check();
}, 60000);

test('upload: who sends more than announced, or nothing announced, is closed', async (t) => {
    const server = await t.server('upload', '0');
    for (const size of [null, 100, 0]) {
        const client = await t.client(`${server.ws}/upload`);
        if (size !== null) {
            client.say({ ref: 5, size });
            assert.equal((await client.json()).got, 0);
        }
        client.send(Buffer.alloc(101));
        assert.equal((await client.gone()).code, 1009);
    }
    const client = await t.client(`${server.ws}/upload`);
    client.send('x'.repeat(129));
    assert.equal((await client.gone()).code, 1009);
    const wrong = await t.client(`${server.ws}/upload`);
    for (const text of ['{', '{}', '{"ref":1,"size":-1}', '{"ref":1,"size":1e99}']) {
        wrong.send(text);
        assert.equal((await wrong.json()).type, 'error');
    }
    wrong.say({ ref: 6, size: 3 });
    await wrong.json({ ref: 6, got: 0 });
    wrong.send(Buffer.from('abc'));
    await wrong.json({ ref: 6, got: 3, sha256: createHash('sha256').update('abc').digest('hex') });
});

test('upload: stopped files stop, lost ones begin again by themselves', async (t) => {
    const server = await t.server('upload', '0');
    const tab = await page_of(t, server);
    const one = file('one', 64 << 20, true), two = file('two', 32 << 20, true);
    await tab.page.setInputFiles('#files', [one, two]);
    await until('progress', () => row(tab, one).locator('progress').evaluate((bar) => bar.value));
    await row(tab, one).locator('.stop').click();
    assert.match(await ends(tab, one, 'refused'), /Stopped/);
    await until('progress', () => row(tab, two).locator('progress').evaluate((bar) => bar.value));
    await server.kill();
    await ends(tab, two, 'waiting');
    await t.server('upload', String(server.port));
    await tab.online(20000);
    const text = await ends(tab, two, 'done');
    assert.equal(text.split(sum(two)).length, 3);
    tab.check_but_lost();
}, 120000);

/* ---- presence ------------------------------------------------------------------------------- */

async function person(t, server, name, room, view = desktop, profile = null) {
    const tab = await Tab.open(t, `${server.http}/#${room}`, view, profile);
    if (!profile) {
        await tab.page.fill('#name', name);
        await tab.page.press('#name', 'Enter');
    }
    await tab.online();
    tab.name = name;
    return tab;
}

const inside = (tab, room) => tab.page.$$eval(`[data-room=${room}] li span`,
    (all) => all.map((one) => one.textContent.replace(' (you)', '')).sort().join(' '));
const sees = (tab, room, names) => until(`${tab.name} seeing ${names || 'nobody'} in ${room}`,
    async () => await inside(tab, room) === names);
const go = (tab, room) => tab.page.click(`[data-room=${room}] .go`);
const news = (tab, words) => until(`${tab.name} reading ${words}`,
    async () => await tab.page.textContent('#news') === words);

test('presence: who comes and goes is seen by all, and told to who comes later', async (t) => {
    const server = await t.server('presence', '0');
    const ada = await person(t, server, 'Ada', 'kitchen');
    const bob = await person(t, server, 'Bob', 'garden');
    for (const tab of [ada, bob]) {
        await sees(tab, 'kitchen', 'Ada');
        await sees(tab, 'garden', 'Bob');
    }
    await news(ada, 'Bob came to the garden');
    await go(bob, 'kitchen');
    for (const tab of [ada, bob]) {
        await sees(tab, 'kitchen', 'Ada Bob');
        await sees(tab, 'garden', '');
    }
    const cyd = await person(t, server, '<b>Cyd</b>', 'kitchen');
    for (const tab of [ada, bob, cyd]) await sees(tab, 'kitchen', '<b>Cyd</b> Ada Bob');
    await bob.page.close();
    for (const tab of [ada, cyd]) await sees(tab, 'kitchen', '<b>Cyd</b> Ada');
    await news(ada, 'Bob left the kitchen');
    for (const tab of [ada, cyd]) tab.check();
});

test('presence: two tabs are one person, who leaves with the last', async (t) => {
    const server = await t.server('presence', '0');
    const ada = await person(t, server, 'Ada', 'studio');
    const bob = await person(t, server, 'Bob', 'studio');
    const second = await person(t, server, 'Ada', 'studio', desktop, ada.page.context());
    for (const tab of [ada, bob, second]) await sees(tab, 'studio', 'Ada Bob');
    const heard = () => bob.received().split('\n').filter((text) => text.includes('"Ada"')).length;
    const before = heard();
    await second.page.close();
    await ada.page.waitForTimeout(300);
    await sees(bob, 'studio', 'Ada Bob');
    assert.equal(heard(), before, 'a second tab makes no news');

    const third = await person(t, server, 'Ada', 'studio', desktop, ada.page.context());
    await go(third, 'garden');
    for (const tab of [ada, bob, third]) {
        await sees(tab, 'studio', 'Ada Bob');
        await sees(tab, 'garden', 'Ada');
    }
    await go(ada, 'garden');
    for (const tab of [ada, bob, third]) await sees(tab, 'studio', 'Bob');
    await ada.page.close();
    await third.page.close();
    await sees(bob, 'garden', '');
    bob.check();
});

test('presence: a wave reaches every tab of a person, and no one else\'s', async (t) => {
    const server = await t.server('presence', '0');
    const ada = await person(t, server, 'Ada', 'studio');
    const second = await person(t, server, 'Ada', 'garden', desktop, ada.page.context());
    const bob = await person(t, server, 'Bob', 'library');
    const cyd = await person(t, server, 'Cyd', 'library');
    await sees(bob, 'garden', 'Ada');
    await bob.page.click('[data-room=garden] li button');
    for (const tab of [ada, second]) await news(tab, 'Bob waves at you');
    assert.ok(!cyd.received().includes('wave'));
    assert.ok(!bob.received().includes('wave'));
});

test('presence: without a name nobody is let in, and only real rooms are entered', async (t) => {
    const server = await t.server('presence', '0');
    for (const query of ['', '?name=', `?name=${'x'.repeat(97)}`]) {
        assert.equal((await refused(`${server.ws}/presence${query}`)).status, 400);
    }
    const client = await t.client(`${server.ws}/presence?name=Eve&room=attic`);
    assert.equal((await client.json()).room, 'kitchen');
    await client.json({ type: 'presence', room: 'kitchen', user: 'Eve', here: true });
    for (const message of [{ enter: 'attic' }, { wave: 7 }, {}]) {
        client.say(message);
        await client.json({ type: 'error', code: 'INTERNAL_ERROR' });
    }
    client.say({ enter: 'garden' });
    await client.json({ type: 'entered', room: 'garden' });
    await client.json({ type: 'presence', room: 'kitchen', user: 'Eve', here: false });
    await client.json({ type: 'presence', room: 'garden', user: 'Eve', here: true });
});

test('presence: reconnects to the room it was in, fits a phone and a desktop', async (t) => {
    const server = await t.server('presence', '0');
    const mei = await person(t, server, 'Mei', 'kitchen');
    const omar = await person(t, server, 'Omar', 'garden', dark);
    for (const [name, room] of [['Noor', 'kitchen'], ['Ada', 'studio'], ['Grace', 'studio'],
        ['Björn', 'kitchen']]) await t.client(`${server.ws}/presence?${new URLSearchParams(
        { name, room })}`);
    await person(t, server, 'Mei', 'garden', desktop, mei.page.context());
    for (const tab of [mei, omar]) {
        await sees(tab, 'kitchen', 'Björn Mei Noor');
        await sees(tab, 'garden', 'Mei Omar');
        await fits(tab);
        await tab.page.waitForTimeout(300);
    }
    await picture(mei, 'presence-desktop');
    await picture(omar, 'presence-phone');
    await comes_back(t, server, omar, 'presence');
    await sees(omar, 'garden', 'Mei Omar');
    omar.check_but_lost();
}, 60000);

await run('pages.mjs', () => browser.close());
