/* pages.mjs: the pages of the examples that have one, in headless Chromium; the chat's is in
 * browser.mjs.
 *
 *     cd tests/interop && npm ci && node pages.mjs [part of a test's name ...]
 *
 * BUILD names the folder of the binaries, ../../build without it; CHROMIUM the browser. What each
 * looks like is left as pictures in BUILD/screenshots. */

import { createHash, randomBytes } from 'node:crypto';
import fs from 'node:fs';
import http from 'node:http';
import os from 'node:os';
import path from 'node:path';
import {
    assert, need_binary, pause, proxy, refused, run, Server, test, until,
} from './lib.mjs';
import { browser, desktop, home, phone, picture, Tab } from './tab.mjs';

const named = ['counter', 'dashboard', 'jobs', 'notify', 'own_loop', 'presence', 'settings', 'todo',
    'upload'];
for (const name of named) {
    need_binary(name);
}

const dark = { ...phone, colorScheme: 'dark' };

async function page_of(t, server, view, profile) {
    const tab = await Tab.open(t, `${server.http}/`, view, profile);
    await tab.online();
    return tab;
}

/* The server dies; the page says so, tries again with growing pauses, and goes on. */
async function comes_back(t, server, tab, name) {
    const killed = Date.now();
    await server.kill();
    await tab.offline();
    await pause(7000);
    const tries = tab.sockets.map(({ at }) => at).filter((at) => at >= killed);
    assert.equal(tries.length, 3, `${tries.length} tries in 7 s`);
    const again = await t.server(name, String(server.port));
    await tab.online(20000);
    return again;
}

async function fits(tab) {
    const wide = await tab.page.evaluate(() => document.documentElement.scrollWidth - innerWidth);
    assert.ok(wide <= 0, `${wide} pixels stick out`);
}

/* ---- counter -------------------------------------------------------------------------------- */

const number = (tab, name) => tab.page.textContent(`[live=${name}] output`);
const shows = (tab, name, n) => until(`${name} at ${n}`, async () => await number(tab, name) === n);
const press = (tab, name, event) => tab.page.click(`[live=${name}] [live-click=${event}]`);

test('counter: one number is everyone\'s, one each tab\'s own', async (t) => {
    const server = await t.server('counter', '0');
    const ada = await page_of(t, server);
    const bob = await page_of(t, server);
    for (let i = 0; i < 3; i++) await press(ada, 'shared', 'more');
    for (const tab of [ada, bob]) await shows(tab, 'shared', '3');
    await press(bob, 'shared', 'less');
    for (const tab of [ada, bob]) await shows(tab, 'shared', '2');
    await ada.page.fill('[live-input=step]', '5');
    await until('a step of 5', async () => {
        return (await ada.page.textContent('[live=yours] [live-click=more]')).includes('5');
    });
    await press(ada, 'yours', 'more');
    await press(ada, 'yours', 'more');
    await shows(ada, 'yours', '10');
    await press(bob, 'yours', 'less');
    await shows(bob, 'yours', '-1');
    await shows(ada, 'yours', '10');
    for (const tab of [ada, bob]) tab.check();
});

test('counter: typed text reaches all as text, and leaves the cursor alone', async (t) => {
    const server = await t.server('counter', '0');
    const ada = await page_of(t, server);
    const bob = await page_of(t, server);
    const bad = `<img src=x onerror=alert(1)>'"&amp;~`;
    await ada.page.fill('[live-input=what]', '');
    await ada.page.focus('[live-input=what]');
    await ada.page.keyboard.type(bad, { delay: 5 });
    for (const tab of [ada, bob]) {
        await until('the text', async () => {
            return await tab.page.textContent('[live=shared] h2') === `Everyone's ${bad}`;
        });
        assert.equal(await tab.page.inputValue('[live-input=what]'), bad);
        assert.equal(await tab.page.$$eval('main img', (all) => all.length), 0);
    }
    /* In the middle of the field, while another counts */
    await ada.page.keyboard.press('Home');
    await ada.page.keyboard.type('ab');
    await press(bob, 'shared', 'more');
    await shows(ada, 'shared', '1');
    await ada.page.keyboard.type('cd');
    await until('abcd', async () => {
        return (await bob.page.inputValue('[live-input=what]')).startsWith('abcd<img');
    });
    for (const tab of [ada, bob]) tab.check();
});

test('counter: a click is not lost when the number changes under it', async (t) => {
    const server = await t.server('counter', '0');
    const ada = await page_of(t, server);
    const bob = await page_of(t, server);
    await ada.page.hover('[live=shared] [live-click=more]');
    await ada.page.mouse.down();
    await press(bob, 'shared', 'more');
    await shows(ada, 'shared', '1');
    await ada.page.mouse.up();
    for (const tab of [ada, bob]) await shows(tab, 'shared', '2');
    for (const tab of [ada, bob]) tab.check();
});

test('counter: a break of the network changes nothing; fits a phone', async (t) => {
    const server = await t.server('counter', '0');
    const way = await proxy(t, server.port);
    const tab = await page_of(t, { http: `http://127.0.0.1:${way.port}` }, dark);
    const wide = await page_of(t, server, desktop);
    for (let i = 0; i < 7; i++) await tab.page.tap('[live=yours] [live-click=more]');
    for (let i = 0; i < 42; i++) await press(wide, 'shared', 'more');
    await shows(tab, 'shared', '42');
    await shows(tab, 'yours', '7');
    await fits(tab);
    await picture(tab, 'counter-phone');
    await picture(wide, 'counter-desktop');
    way.cut();
    await tab.offline();
    await press(wide, 'shared', 'more');
    await tab.online();
    await shows(tab, 'shared', '43');
    await shows(tab, 'yours', '7');
    wide.check();
    await server.kill();
    await wide.offline();
    await t.server('counter', String(server.port));
    await wide.online(20000);
    await shows(wide, 'shared', '0');
    await press(wide, 'yours', 'more');
    await shows(wide, 'yours', '1');
    for (const one of [tab, wide]) one.check_but_lost();
}, 60000);

/* ---- todo ----------------------------------------------------------------------------------- */

const items = (tab) => tab.page.$$eval('li', (all) => all.map((one) => (
    `${one.querySelector(':checked') ? '+' : '-'}${one.textContent.replace(/Edit×$/, '').trim()}`)));
const lists = (tab, ...wanted) => until(wanted.join(),
    async () => (await items(tab)).join() === wanted.join());

async function add(tab, ...all) {
    for (const text of all) {
        await tab.page.fill('[live-submit=add] input', text);
        await tab.page.press('[live-submit=add] input', 'Enter');
        await until('an empty field', async () => (
            await tab.page.inputValue('[live-submit=add] input') === ''));
    }
}
const of = (tab, text) => tab.page.locator('li', { hasText: text });

test('todo: two pages have one list, each with its own filter', async (t) => {
    const server = await t.server('todo', '0');
    const ada = await page_of(t, server), bob = await page_of(t, server, dark);
    await add(ada, 'Milk', 'Bread');
    await add(bob, '<b>Tea</b>', '   ');
    for (const tab of [ada, bob]) await lists(tab, '-Milk', '-Bread', '-<b>Tea</b>');
    await of(bob, 'Bread').locator('[type=checkbox]').tap();
    for (const tab of [ada, bob]) await lists(tab, '-Milk', '+Bread', '-<b>Tea</b>');
    await ada.page.click('text="Open"');
    await lists(ada, '-Milk', '-<b>Tea</b>');
    await lists(bob, '-Milk', '+Bread', '-<b>Tea</b>');
    await bob.page.tap('text="Done"');
    await lists(bob, '+Bread');
    await of(bob, 'Bread').locator('[type=checkbox]').tap();
    await lists(bob);
    await lists(ada, '-Milk', '-Bread', '-<b>Tea</b>');
    await bob.page.tap('text="All"');
    await of(ada, 'Milk').locator('text="×"').click();
    for (const tab of [ada, bob]) await lists(tab, '-Bread', '-<b>Tea</b>');
    await fits(bob);
    await picture(bob, 'todo-phone');
    await picture(ada, 'todo-desktop');
    for (const tab of [ada, bob]) tab.check();
});

test('todo: an item is edited while others come and go, also over a break', async (t) => {
    const server = await t.server('todo', '0');
    const way = await proxy(t, server.port);
    const ada = await page_of(t, { http: `http://127.0.0.1:${way.port}` });
    const bob = await page_of(t, server);
    await add(ada, 'One', 'Two', 'Three');
    await of(ada, 'Two').locator('text="Edit"').click();
    await ada.page.waitForSelector('li input[name]:focus');
    await ada.page.keyboard.press('Home');
    await ada.page.keyboard.type('ab');
    await of(bob, 'One').locator('text="×"').click();
    await lists(ada, '-SaveCancel', '-Three');
    way.cut();
    await ada.offline();
    await add(bob, 'Four');
    await ada.online();
    await lists(ada, '-SaveCancel', '-Three', '-Four');
    await ada.page.keyboard.type('cd');
    await ada.page.keyboard.press('Enter');
    for (const tab of [ada, bob]) await lists(tab, '-abcdTwo', '-Three', '-Four');
    await of(ada, 'Three').locator('text="Edit"').click();
    await ada.page.waitForSelector('li input[name]:focus');
    await ada.page.keyboard.type('lost');
    await ada.page.keyboard.press('Escape');
    await lists(ada, '-abcdTwo', '-Three', '-Four');
    await of(ada, 'Three').locator('text="Edit"').click();
    await ada.page.waitForSelector('li input[name]:focus');
    await of(bob, 'Three').locator('text="×"').click(); /* while it is edited */
    await lists(ada, '-abcdTwo', '-Four');
    for (const tab of [ada, bob]) tab.check_but_lost();
});

test('todo: the list has an end', async (t) => {
    const server = await t.server('todo', '0');
    const tab = await page_of(t, server);
    await tab.page.waitForSelector('[live-submit=add]');
    await tab.page.evaluate(() => {
        const form = document.querySelector('[live-submit=add]');
        for (let i = 0; i < 101; i++) {
            form.text.value = `Item ${i}`;
            form.requestSubmit();
        }
    });
    await tab.page.waitForSelector('text=100 of 100 open, and no room for more');
    assert.ok(await tab.page.isDisabled('[live-submit=add] input'));
    await of(tab, 'Item 50').locator('text="×"').click();
    await tab.page.waitForSelector('text="99 of 99 open"');
    assert.ok(await tab.page.isEnabled('[live-submit=add] input'));
    tab.check();
});

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
    const change = (room, user, here, news = true) => (
        { type: 'presence', room, user, here, news });
    await client.json(change('kitchen', 'Eve', true));
    for (const message of [{ enter: 'attic' }, { wave: 7 }, {}]) {
        client.say(message);
        await client.json({ type: 'error', code: 'INTERNAL_ERROR' });
    }
    client.say({ enter: 'garden' });
    await client.json({ type: 'entered', room: 'garden' });
    await client.json(change('kitchen', 'Eve', false));
    await client.json(change('garden', 'Eve', true));

    const later = await t.client(`${server.ws}/presence?name=Kim`);
    assert.equal((await later.json()).room, 'kitchen');
    await later.json(change('garden', 'Eve', true, false));
    for (const one of [client, later]) await one.json(change('kitchen', 'Kim', true));
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

/* ---- notify --------------------------------------------------------------------------------- */

const notes = (tab) => tab.page.$$eval('#list li', (all) =>
    all.map((one) => `${one.className}:${one.firstChild.textContent}`));
const post = (server, body, type = 'application/x-www-form-urlencoded') =>
    fetch(`${server.http}/notify`, { method: 'POST', body, headers: { 'Content-Type': type } });

test('notify: what is posted appears on every page, as text', async (t) => {
    const server = await t.server('notify', '0');
    const ada = await page_of(t, server);
    const bob = await page_of(t, server, phone);
    assert.equal((await post(server, 'text=The+build+is+done')).status, 204);
    assert.equal((await post(server, 'text=%3Cb%3E&level=alarm')).status, 204);
    assert.equal((await post(server, '{"text":"21.5 °"}', 'application/json')).status, 204);
    for (const [body, type] of [['x=1'], ['text='], ['text=%zz'], [`text=${'x'.repeat(501)}`],
        ['{"text":1}', 'application/json'], ['{', 'application/json'], ['text=a', 'text/plain']]) {
        assert.equal((await post(server, body, type)).status, 400, body);
    }
    const all = [':21.5 °', 'alarm:<b>', ':The build is done'];
    for (const tab of [ada, bob]) {
        await until('three notes', async () => (await notes(tab)).length === 3);
        assert.deepEqual(await notes(tab), all);
        await fits(tab);
        tab.check();
    }
    await picture(bob, 'notify-phone');
    const late = await page_of(t, server);
    await until('the notes before it', async () => (await notes(late)).length === 3);
});

test('notify: the form of the page posts, with and without JavaScript', async (t) => {
    const server = await t.server('notify', '0');
    const tab = await page_of(t, server);
    await tab.page.fill('input[name=text]', 'from ü & me');
    await tab.page.click('form button');
    await until('the note', async () => (await notes(tab))[0] === ':from ü & me');
    assert.equal(await tab.page.inputValue('input[name=text]'), '');
    const plain = await browser.newContext({ ...desktop, javaScriptEnabled: false });
    t.after(() => plain.close());
    const page = await plain.newPage();
    await page.goto(`${server.http}/`);
    await page.fill('input[name=text]', 'without a script');
    await page.click('form button');
    await until('the note of the plain page', async () =>
        (await notes(tab))[0] === ':without a script');
    assert.equal(page.url(), `${server.http}/`, 'back on the page');
    tab.check();
});

/* ---- settings ------------------------------------------------------------------------------- */

process.env.PASSWORD = 'correct horse';

async function log_in(page, password = process.env.PASSWORD) {
    await page.fill('[name=password]', password);
    await page.click('text="Log in"');
}

async function logged_in(t, server, view) {
    const tab = await Tab.open(t, `${server.http}/`, view);
    await log_in(tab.page);
    await tab.online();
    return tab;
}

const field = (tab, name, value) => until(`${name} ${value}`, async () =>
    await tab.page.inputValue(`[name=${name}]`) === value);

test('settings: a change of one session shows on the page of another, as text', async (t) => {
    const server = await t.server('settings', '0');
    const ada = await logged_in(t, server), bob = await logged_in(t, server, dark);
    const name = `<b>"ü' &amp; {{x}}`;
    await ada.page.fill('[name=name]', name);
    await ada.page.fill('[name=level]', '81');
    await ada.page.click('text=Save');
    await field(bob, 'name', name);
    await field(bob, 'level', '81');
    await bob.page.reload();
    await bob.online();
    await field(bob, 'name', name);
    await fits(bob);
    await picture(bob, 'settings-phone');
    await picture(ada, 'settings-desktop');
    for (const tab of [ada, bob]) tab.check();
});

test('settings: an upload shows its progress on all pages, and what is refused', async (t) => {
    const server = await t.server('settings', '0');
    const ada = await logged_in(t, server), bob = await logged_in(t, server);
    const small = path.join(home, 'firmware.bin'), huge = path.join(home, 'firmware-huge.bin');
    fs.writeFileSync(small, randomBytes(15 << 20));
    fs.writeFileSync(huge, '');
    fs.truncateSync(huge, (16 << 20) + 1);
    const note = (text) => until(text, async () =>
        (await ada.page.textContent('#note')).startsWith(text));
    await ada.page.click('#upload');
    await note('Choose a file first.');
    await ada.page.setInputFiles('#file', small);
    await ada.devtools.send('Network.emulateNetworkConditions', { offline: false, latency: 0,
        downloadThroughput: -1, uploadThroughput: 10 << 20 });
    await ada.page.click('#upload');
    for (const tab of [ada, bob]) {
        await until('all of it', async () =>
            await tab.page.textContent('#progress') === `Installed: ${15 << 20} bytes`);
        assert.equal(await tab.page.$eval('#bar', (bar) => bar.value), 1);
        assert.match(tab.received(), /"state":"going","got":[1-9]/);
    }
    assert.equal(await ada.page.textContent('#note'), '');
    await ada.page.setInputFiles('#file', huge);
    await ada.page.click('#upload');
    await until('a refusal', async () => await ada.page.textContent('#note') !== '');
    const late = await logged_in(t, server);
    await until('what was before it', async () =>
        (await late.page.textContent('#progress')).startsWith('Installed'));
    for (const tab of [bob, late]) tab.check();
    ada.check_but_lost();
});

test('settings: a logout closes the pages of that session alone', async (t) => {
    const server = await t.server('settings', '0');
    const ada = await logged_in(t, server), bob = await logged_in(t, server);
    const second = await Tab.open(t, `${server.http}/`, desktop, ada.page.context());
    await second.online();
    await ada.page.click('text="Log out"');
    for (const tab of [ada, second]) await tab.page.waitForSelector('[name=password]');
    assert.doesNotMatch(await second.page.content(), /Lamp/);
    await pause(300);
    assert.equal(await bob.state(), 'open');
    await log_in(second.page, 'wrong');
    await second.page.waitForSelector('text=Wrong password.');
    await log_in(second.page);
    await second.online();
    for (const tab of [ada, bob]) tab.check();
    second.check_but_lost(); /* Chromium reports the 403 */
});

test('settings: a session that ends by itself, or with the server, shows the login', async (t) => {
    const server = await t.server('settings', '0', '2');
    const ada = await logged_in(t, server);
    await ada.page.waitForSelector('[name=password]:visible');
    ada.check();
    const other = await t.server('settings', '0');
    const bob = await logged_in(t, other);
    await other.kill();
    await bob.offline();
    await t.server('settings', String(other.port));
    await bob.page.waitForSelector('[name=password]:visible');
    await log_in(bob.page);
    await bob.online();
    bob.check_but_lost();
});

test('settings: without JavaScript all but the upload works', async (t) => {
    const server = await t.server('settings', '0');
    const ada = await logged_in(t, server);
    const plain = await browser.newContext({ ...phone, javaScriptEnabled: false });
    t.after(() => plain.close());
    const page = await plain.newPage();
    await page.goto(`${server.http}/`);
    await log_in(page, 'wrong');
    await page.waitForSelector('text=Wrong password.');
    await log_in(page);
    await page.waitForSelector('[name=name]:visible');
    assert.equal(page.url(), `${server.http}/`, 'back on the page');
    assert.equal(await page.isVisible('#firmware'), false);
    await page.fill('[name=name]', 'without a script');
    await page.click('text=Save');
    await field(ada, 'name', 'without a script');
    await page.waitForURL(`${server.http}/`);
    assert.equal(await page.inputValue('[name=name]'), 'without a script');
    await page.click('text="Log out"');
    await page.waitForSelector('[name=password]:visible');
    assert.deepEqual(await plain.cookies(), []);
    assert.equal(await ada.state(), 'open');
    ada.check();
});

test('settings: a page of another origin can change nothing', async (t) => {
    const server = await t.server('settings', '0');
    const ada = await logged_in(t, server);
    const other = http.createServer((_, answer) => { answer.end('<!doctype html>'); });
    await new Promise((resolve) => { other.listen(0, '127.0.0.1', resolve); });
    t.after(() => { other.close(); other.closeAllConnections(); });
    const page = await ada.page.context().newPage();
    /* Another port is the same site, so that the cookie is sent. */
    await page.goto(`http://127.0.0.1:${other.address().port}/`);
    const socket = await page.evaluate(async (url) => {
        const body = new URLSearchParams({ name: 'stolen', level: '1' });
        await fetch(`${url}/settings`, { method: 'POST', mode: 'no-cors', credentials: 'include',
            body }).catch(() => {});
        const socket = new WebSocket(`${url.replace('http', 'ws')}/live`);
        return new Promise((resolve) => {
            socket.onopen = () => resolve('open');
            socket.onclose = () => resolve('refused');
        });
    }, server.http);
    assert.equal(socket, 'refused');
    assert.match(server.output, /POST \/settings 403 .* the origin /, 'the cookie was sent');
    await ada.page.reload();
    await ada.online();
    assert.equal(await ada.page.inputValue('[name=name]'), 'Lamp');
});

test('notify: a page that cannot open a WebSocket gets the notes as events', async (t) => {
    let server = await t.server('notify', '0');
    await post(server, 'text=before');
    const profile = await browser.newContext(desktop);
    t.after(() => profile.close());
    await profile.addInitScript(() => { delete window.WebSocket; });
    const tab = await page_of(t, server, desktop, profile);
    const other = await page_of(t, server);
    await until('the note before it', async () => (await notes(tab))[0] === ':before');
    await post(server, 'text=%3Cb%3E+%22%0a&level=alarm');
    for (const one of [tab, other]) {
        await until('both notes', async () => (await notes(one)).length === 2);
        assert.deepEqual(await notes(one), ['alarm:<b> "\n', ':before']);
    }
    tab.check();
    await server.kill();
    await tab.offline();
    server = await t.server('notify', String(server.port));
    await post(server, 'text=again'); /* to a server that knows nothing of the others */
    await tab.online(20000);
    await until('only the new note', async () => (await notes(tab)).join() === ':again');
    const answers = Array.from({ length: 70 }, () => fetch(`${server.http}/events`));
    const statuses = (await Promise.all(answers)).map(({ status }) => status);
    assert.equal(statuses.filter((status) => status === 503).length, 7, 'beyond 64 streams');
    assert.equal((await fetch(`${server.http}/events`, { method: 'HEAD' })).status, 503);
}, 60000);

/* ---- jobs ----------------------------------------------------------------------------------- */

const order = async (tab, words, n = 1) => {
    await tab.page.click(`text="${words}"`);
    for (; n > 0; n--) await tab.page.click('#start');
};
const jobs = (tab) => tab.page.$$eval('#list li', (all) => all.map((one) => ({
    state: one.className,
    count: one.querySelector('.count').textContent,
    what: one.querySelector('.what').textContent,
    share: one.querySelector('progress').value,
})));
const job = (tab, state, count) => until(`a ${state} job at ${count ?? 'any count'}`, async () => {
    return (await jobs(tab)).some((one) => one.state === state && (!count || one.count === count));
}, 20000);

test('jobs: threads count, the page follows, and the result is right', async (t) => {
    const server = await t.server('jobs', '0');
    const tab = await page_of(t, server);
    await order(tab, '5 million', 2);
    await order(tab, '1 million');
    const shares = new Set();
    await until('three results', async () => {
        const all = await jobs(tab);
        for (const { share } of all) shares.add(share);
        return all.length === 3 && all.every(({ state }) => state === 'done');
    }, 60000);
    assert.deepEqual((await jobs(tab)).map(({ count, what }) => [count, what]), [
        ['78,498', 'primes below 1,000,000'],
        ['348,513', 'primes below 5,000,000'],
        ['348,513', 'primes below 5,000,000'],
    ]);
    assert.ok(shares.size >= 5, `progress came in ${shares.size} steps`);
    tab.check();
}, 90000);

test('jobs: a tab that reloads finds its job again, another one does not see it', async (t) => {
    const server = await t.server('jobs', '0');
    const ada = await page_of(t, server);
    const bob = await page_of(t, server);
    await order(ada, '5 million');
    await job(ada, 'running');
    await ada.page.reload();
    await ada.online();
    await job(ada, 'running');
    await job(ada, 'done', '348,513');
    assert.equal((await jobs(ada)).length, 1);
    assert.deepEqual(await jobs(bob), []);
    await bob.page.reload();
    await bob.online();
    assert.deepEqual(await jobs(bob), []);
    for (const tab of [ada, bob]) tab.check();
}, 60000);

test('jobs: who asked is gone, all places are taken, and an end comes at once', async (t) => {
    const server = await t.server('jobs', '0');
    const gone = await t.client(`${server.ws}/jobs?tab=gone`);
    gone.say({ count: 1000 });
    gone.ws.terminate();
    const client = await t.client(`${server.ws}/jobs?tab=some`);
    for (const wrong of [{ count: 999 }, { count: 20000001 }, { count: 'x' }, {}]) {
        client.say(wrong);
        await client.json({ type: 'error', code: 'INTERNAL_ERROR' });
    }
    client.ws.send('{');
    await client.json({ type: 'error', code: 'INVALID_JSON' });
    for (let i = 0; i < 80; i++) client.say({ count: 20000000 });
    let busy = 0, heard = 0;
    while (heard + busy < 80) {
        const news = await client.json();
        busy += news.busy ? 1 : 0;
        heard += news.done === 0 ? 1 : 0;
    }
    assert.ok(heard >= 60 && busy >= 10, `${heard} orders taken, ${busy} refused`);
    const tab = await page_of(t, server);
    await order(tab, '1 million');
    await until('a word that all is taken', async () => {
        return (await tab.page.textContent('#note')).includes('taken');
    });
    const nobody = await t.client(`${server.ws}/jobs`);
    assert.equal((await nobody.gone()).code, 1008);
    const began = Date.now();
    await server.stop();
    assert.ok(Date.now() - began < 6000, 'the threads end in the middle of their work');
    tab.check_but_lost();
}, 60000);

test('jobs: pictures, and a server that comes back', async (t) => {
    const server = await t.server('jobs', '0');
    for (const [name, view] of Object.entries({ desktop, phone, dark })) {
        const tab = await page_of(t, server, view);
        await order(tab, '1 million');
        await job(tab, 'done', '78,498');
        await order(tab, '5 million', 3);
        await job(tab, 'running');
        await pause(500);
        await fits(tab);
        await picture(tab, `jobs-${name}`);
        await until('all done', async () => {
            return (await jobs(tab)).every(({ state }) => state === 'done');
        }, 60000);
        tab.check();
    }
    const tab = await page_of(t, server);
    await order(tab, '1 million');
    await job(tab, 'done');
    const again = await comes_back(t, server, tab, 'jobs');
    assert.deepEqual(await jobs(tab), [], 'the new one knows nothing of it');
    await order(tab, '1 million');
    await job(tab, 'done', '78,498');
    await again.stop();
    tab.check_but_lost();
}, 180000);

/* ---- own_loop ------------------------------------------------------------------------------- */

const worlds = (tab) => tab.received().split('\n').filter((text) => text.startsWith('{"balls"'));
const balls = (tab) => JSON.parse(worlds(tab).at(-1) ?? '{"balls":[]}').balls;
const said = (tab, words) => until(`${words} on the page`, async () => {
    return await tab.page.textContent('#said') === words;
});

test('own_loop: the world moves, a tap is seen by everyone', async (t) => {
    const server = await t.server('own_loop', '0');
    const ada = await page_of(t, server);
    const bob = await page_of(t, server, phone);
    await until('a world', () => balls(ada).length === 5 && balls(bob).length === 5);
    const start = balls(ada);
    const client = await t.client(`${server.ws}/world`);
    const began = Date.now();
    for (let frame = 0; frame < 30; frame++) await client.text();
    const took = Date.now() - began;
    assert.ok(took >= 500, `30 frames in ${took} ms, not about a second`);
    await until('it moved', () => JSON.stringify(balls(ada)) !== JSON.stringify(start));
    await ada.page.click('#world', { position: { x: 100, y: 100 } });
    for (const tab of [ada, bob]) await until('a sixth ball', () => balls(tab).length === 6);
    await bob.page.tap('#world');
    for (const tab of [ada, bob]) await until('a seventh ball', () => balls(tab).length === 7);
    const drawn = await ada.page.evaluate(() => {
        const { data } = document.getElementById('world').getContext('2d')
            .getImageData(0, 0, 700, 700);
        return data.filter((byte, i) => i % 4 === 3 && byte > 0).length;
    });
    assert.ok(drawn > 5000, `${drawn} pixels of balls are drawn`);
    for (const tab of [ada, bob]) tab.check();
});

test('own_loop: what is typed in the terminal is on every page, its end ends nothing', async (t) => {
    const server = await Server.start(need_binary('own_loop'), ['0'], 'pipe');
    t.servers.push(server);
    t.after(() => server.stop());
    const ada = await page_of(t, server);
    server.child.stdin.write('Hello <b>out</b> there\n');
    await said(ada, 'Hello <b>out</b> there');
    const bob = await page_of(t, server);
    await said(bob, 'Hello <b>out</b> there');
    server.child.stdin.write(Buffer.from([0xff, 0xfe, 10]));
    await pause(200);
    server.child.stdin.end('Grüße\n');
    for (const tab of [ada, bob]) await said(tab, 'Grüße');
    const count = worlds(ada).length;
    await until('a world that still moves', () => worlds(ada).length > count + 5);
    const client = await t.client(`${server.ws}/world`);
    for (const wrong of ['{"tap":[1]}', '{"tap":[-1,5]}', '{"tap":[5,1001]}', '{}']) {
        client.send(wrong);
    }
    await until('a refusal', async () => (await client.text()).includes('INTERNAL_ERROR'));
    assert.equal(balls(ada).length, 5);
    for (const tab of [ada, bob]) tab.check();
});

test('own_loop: pictures, and a program that comes back', async (t) => {
    const server = await t.server('own_loop', '0');
    for (const [name, view] of Object.entries({ desktop, phone, dark })) {
        const tab = await page_of(t, server, view);
        for (const [x, y] of [[60, 60], [150, 100], [240, 50], [300, 200]]) {
            await tab.page.click('#world', { position: { x, y } });
        }
        await pause(400);
        await fits(tab);
        await picture(tab, `own_loop-${name}`);
        tab.check();
        await tab.page.context().close();
    }
    const tab = await page_of(t, server);
    const again = await comes_back(t, server, tab, 'own_loop');
    await until('a new world', () => balls(tab).length === 5);
    await again.stop();
    tab.check_but_lost();
}, 90000);

/* ---- dashboard ------------------------------------------------------------------------------ */

const reading = (tab, id) => tab.page.textContent(`#${id} .value b`);
const samples = (tab) => tab.received().split('\n').filter(Boolean)
    .map((text) => JSON.parse(text)).filter(({ t }) => t !== undefined);

/* How many pixels of a chart have a line's colour: its hue stands out of the grid's grey. */
const coloured = (tab, id) => tab.page.$eval(`#${id} canvas`, (canvas) => {
    const copy = new OffscreenCanvas(canvas.width, canvas.height).getContext('2d');
    copy.drawImage(canvas, 0, 0);
    const { data } = copy.getImageData(0, 0, canvas.width, canvas.height);
    let n = 0;
    for (let i = 0; i < data.length; i += 4) {
        const [r, g, b, a] = data.subarray(i, i + 4);
        if (a > 200 && Math.max(r, g, b) - Math.min(r, g, b) > 40) n++;
    }
    return n;
});

test('dashboard: what /proc says is on the page, and its charts move', async (t) => {
    const server = await t.server('dashboard', '0');
    const tab = await Tab.open(t, `${server.http}/`);
    await tab.online();
    await until('five samples', () => samples(tab).length >= 5);
    await until('the load', async () => {
        const near = Number(fs.readFileSync('/proc/loadavg', 'utf8').split(' ')[0]);
        return Math.abs(Number(await reading(tab, 'load')) - near) < .5;
    });
    const cpu = Number(await reading(tab, 'cpu'));
    assert.ok(cpu >= 0 && cpu <= 100, `${cpu} %`);
    const all = Number(/MemTotal:\s+(\d+)/.exec(fs.readFileSync('/proc/meminfo'))[1]) * 1024;
    for (const { memory, cores, t: at, up } of samples(tab)) {
        assert.ok(memory > 0 && memory < all, `${memory} of ${all} bytes`);
        assert.equal(cores.length, Math.min(os.cpus().length, 16));
        assert.ok(at > 0 && Math.abs(up - os.uptime()) < 60);
    }
    assert.ok(samples(tab).some(({ net }) => net?.length === 2), 'network rates');
    assert.equal(await tab.page.textContent('h1'), os.hostname());
    const heat = samples(tab).some((one) => one.heat !== undefined);
    assert.equal(await tab.page.isVisible('#heat'), heat, 'no instrument without a sensor');
    const before = await coloured(tab, 'load');
    await until('a longer line', async () => await coloured(tab, 'load') > before + 2);
    tab.check();
});

test('dashboard: who comes later has the same history, in order, each sample once', async (t) => {
    const server = await t.server('dashboard', '0');
    const early = await Tab.open(t, `${server.http}/`);
    await until('five samples', () => samples(early).length >= 5);
    const late = await Tab.open(t, `${server.http}/`, dark);
    await late.online();
    const count = samples(late).length;
    await until('two new ones', () => samples(late).length >= count + 2);
    const times = samples(late).map((one) => one.t);
    assert.deepEqual(times, [...new Set(times)].sort((a, b) => a - b));
    await until('the early one to be as far', () => samples(early).at(-1).t >= times.at(-1));
    const last = samples(early).filter((one) => one.t <= times.at(-1));
    assert.deepEqual(samples(late).slice(-last.length), last, 'as the early one saw them');
    for (const tab of [early, late]) tab.check();
});

test('dashboard: reconnects, fits a phone, a pointer reads the past', async (t) => {
    const server = await t.server('dashboard', '0');
    const tab = await Tab.open(t, `${server.http}/`, dark);
    const wide = await Tab.open(t, `${server.http}/`);
    await until('samples', () => samples(tab).length >= 6 && samples(wide).length >= 6);
    const box = await wide.page.locator('#load canvas').boundingBox();
    const past = samples(wide)[0];
    await wide.page.mouse.move(box.x + 5, box.y + box.height / 2);
    await until('the first reading', async () => {
        return await reading(wide, 'load') === past.load[0].toFixed(2);
    });
    await wide.page.mouse.move(0, 0);
    for (const one of [tab, wide]) await fits(one);
    await picture(wide, 'dashboard-desktop');
    await picture(tab, 'dashboard-phone');
    await comes_back(t, server, tab, 'dashboard');
    const count = samples(tab).length;
    await until('news', () => samples(tab).length >= count + 3);
    tab.check_but_lost();
}, 60000);

await run('pages.mjs', { end: () => browser.close(), lanes: 2 });
