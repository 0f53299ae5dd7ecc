/* axe.mjs: each example's page in headless Chromium, with axe-core and with the keyboard alone.
 *
 *     cd tests/interop && npm ci && node axe.mjs [part of a test's name ...]
 *
 * Each page is looked at in light and dark, at 320 to 1440 pixels: empty, in use, in error, with
 * its server gone, and while it connects again. axe-core must find nothing, and nothing may stick
 * out. BUILD names the folder of the binaries, ../../build without it; CHROMIUM the browser. With
 * PICTURES=1 each page is left as pictures in BUILD/screenshots. */

import fs from 'node:fs';
import net from 'node:net';
import path from 'node:path';
import { assert, build, need_binary, need_package, run, test, until } from './lib.mjs';
import { browser, home, picture, Tab } from './tab.mjs';

const axe = need_package('axe-core').source;
const widths = [320, 375, 768, 1440];

/* ---- The pages ------------------------------------------------------------------------------ */

/* What a user does on each, with the keyboard alone where possible: `first` before it is connected,
   `use` until it shows something, `error` until it shows a failure, `again` when the server is
   another one. `args` are the program's arguments before the port. */
process.env.PASSWORD = 'correct horse'; /* of settings */
const pages = {
    chat: {
        async first(page) {
            await page.fill('#name', 'Grace');
            await page.press('#name', 'Enter');
        },
        empty: (page) => page.waitForSelector('text=You are the only one here.'),
        async use(page, t, server) {
            const other = await t.client(`${server.ws}/talk?name=Ada&rooms=lobby,tea`);
            const said = { type: 'say', room: 'lobby', id: 'x', content: 'Hello, Grace!' };
            other.say({ ...said, room: 'tea' });
            other.say(said);
            await page.waitForSelector('.msg:not(.mine)');
            await page.fill('#input', 'Hello, Ada!');
            await page.press('#input', 'Enter');
            await page.waitForSelector('.msg.mine');
            other.say({ type: 'typing', room: 'lobby' });
            await page.waitForSelector('text=Ada is typing');
            assert.equal(await page.textContent('#hint'), '', 'not alone any more');
            await page.press('#count', 'Enter');
            await page.waitForSelector('#people li:text("Ada")');
        },
        async offline(page) {
            await page.fill('#input', 'Is anyone there?');
            await page.press('#input', 'Enter');
            await page.waitForSelector('.unsent .msg');
            const log = await page.textContent('#log');
            assert.doesNotMatch(log, /Welcome|lost/, 'the connection is no message');
        },
    },
    cluster: {
        args: ['-p', '1'], /* no Redis there: it serves this process alone */
        async use(page) {
            await page.fill('#text', 'Good morning');
            await page.press('#text', 'Enter');
            await page.waitForSelector('text=lobby: Good morning');
        },
    },
    counter: {
        empty: (page) => page.waitForSelector('[live=yours] output'),
        async use(page) {
            for (let i = 0; i < 3; i++) await page.press('[live=yours] [live-click=more]', 'Enter');
            await page.waitForSelector('[live=yours] output:text("3")');
        },
    },
    dashboard: {
        /* Its second sample has network rates */
        empty: (page) => page.waitForSelector('#network .value b:not(:empty)'),
        async offline(page) {
            await page.waitForSelector('text=/^Values from \\d+ s ago$/');
            const value = await page.textContent('#load .value b');
            assert.match(value, /^\d+\.\d\d$/, 'the last value stays');
        },
    },
    jobs: {
        async use(page) {
            await page.click('text=1 million');
            await page.press('#start', 'Enter');
            await page.waitForSelector('li.done');
            await page.click('text=20 million');
            for (let i = 0; i < 3; i++) await page.click('#start');
            await page.waitForSelector('li.waiting');
        },
        async error(page, t, server) {
            const other = await t.client(`${server.ws}/jobs?tab=other`);
            for (let i = 0; i < 70; i++) other.say({ count: 20000000 });
            while (!(await other.json()).busy);
            await page.click('#start');
            await page.waitForSelector('text=All places are taken');
        },
    },
    own_loop: {
        async use(page, t, server) {
            const client = await t.client(`${server.ws}/world`);
            const balls = async () => (await client.json()).balls.length;
            const before = await balls();
            await page.press('#world', 'Enter');
            await until('one more ball', async () => await balls() === before + 1);
        },
    },
    presence: {
        async first(page) {
            await page.fill('#name', 'Grace');
            await page.press('#name', 'Enter');
        },
        empty: (page) => page.waitForSelector('[data-room=kitchen] li'),
        async use(page, t, server) {
            await t.client(`${server.ws}/presence?name=Bartholomew-the-Second&room=garden`);
            await page.waitForSelector('[data-room=garden] li');
            await page.press('[data-room=studio] .go', 'Enter');
            await page.waitForSelector('[data-room=studio].here li');
            const cut = await page.$eval('#me', (me) => me.scrollWidth - me.clientWidth);
            assert.ok(cut <= 0, 'a name of five letters is not cut');
        },
    },
    settings: {
        async first(page) {
            await page.fill('[name=password]', 'wrong');
            await page.press('[name=password]', 'Enter');
            await page.waitForSelector('text=Wrong password.');
            await pages.settings.again(page);
        },
        async again(page) {
            await page.fill('[name=password]', process.env.PASSWORD);
            await page.press('[name=password]', 'Enter');
        },
        empty: (page) => page.waitForSelector('[name=name]:visible'),
        async use(page) {
            const small = path.join(home, 'firmware.bin');
            fs.writeFileSync(small, 'firmware');
            await page.fill('[name=name]', 'x'.repeat(40));
            await page.press('[name=name]', 'Enter');
            await page.setInputFiles('#file', small);
            await page.press('#upload', 'Enter');
            await page.waitForSelector('text=Installed: 8 bytes');
        },
        async error(page) {
            await page.setInputFiles('#file', []);
            await page.press('#upload', 'Enter');
            await page.waitForSelector('text=Choose a file first.');
        },
    },
    todo: {
        empty: (page) => page.waitForSelector('text=0 of 0 open'),
        async use(page) {
            for (const words of ['Milk', 'Bread, and the dark one if they have it', 'x'.repeat(80)]) {
                await page.fill('[live-submit=add] input', words);
                await page.press('[live-submit=add] input', 'Enter');
                await page.waitForSelector(`li span:text-is("${words}")`);
            }
            await page.press('li:nth-child(2) [type=checkbox]', 'Space');
            await page.waitForSelector('text=2 of 3 open');
            await page.press('li:nth-child(1) [live-click=edit]', 'Enter');
            await page.waitForSelector('li input:focus');
        },
    },
    upload: {
        empty: (page) => page.waitForSelector('text=No files yet.'),
        async use(page) {
            const small = path.join(home, 'small.txt');
            fs.writeFileSync(small, 'small');
            const asked = page.waitForEvent('filechooser');
            await page.press('#files', 'Enter');
            await (await asked).setFiles(small);
            await page.waitForSelector('[data-state=done]');
        },
        async error(page) {
            const huge = path.join(home, 'huge.bin');
            fs.writeFileSync(huge, '');
            fs.truncateSync(huge, 300 << 20);
            await page.setInputFiles('#files', huge);
            await page.waitForSelector('text=Too large: at most 256 MiB each.');
        },
    },
};

/* ---- What must hold ------------------------------------------------------------------------- */

async function check(tab, words) {
    if (await tab.page.evaluate(() => !globalThis.axe)) await tab.page.evaluate(axe);
    const found = await tab.page.evaluate(async () => {
        const { violations } = await axe.run({ resultTypes: ['violations'] });
        return violations.flatMap(({ id, nodes }) => nodes.map((node) => (
            `${id}: ${node.target} (${node.any[0]?.message ?? node.failureSummary})`)));
    });
    assert.deepEqual(found, [], `axe-core finds nothing: ${words}`);
}

/* At each width, narrowest last, so that what follows is done on a narrow screen. */
async function check_widths(tab, words, all = widths) {
    for (const width of all.toReversed()) {
        await tab.page.setViewportSize({ width, height: 800 });
        const wide = await tab.page.evaluate(() => document.documentElement.scrollWidth);
        assert.ok(wide <= width, `${wide} pixels at ${width}: ${words}`);
        await check(tab, `${words}, ${width} pixels`);
    }
}

/* Tab reaches each control, and each shows that it has the focus: it, or the element behind it,
   has an outline. Of the radio buttons of a group it reaches one. */
async function check_keys(tab) {
    const { page } = tab;
    const wanted = await page.evaluate(() => {
        document.activeElement.blur();
        const controls = 'a[href], button, input, textarea, [role=button], [tabindex]';
        const some = [...document.querySelectorAll(controls)].filter((one) => (
            one.checkVisibility() && !one.disabled && (one.type !== 'radio' || one.checked)));
        some.forEach((one, i) => { one.dataset.control = i; });
        return some.length;
    });
    assert.ok(wanted > 0 || await page.isHidden('button'), 'controls');
    const met = new Set();
    for (let i = 0; i < wanted + 2; i++) {
        await page.keyboard.press('Tab');
        const one = await page.evaluate(() => {
            const { activeElement: it } = document;
            const seen = [it, it.nextElementSibling].some((one) => {
                const { outlineStyle, outlineWidth } = one ? getComputedStyle(one) : {};
                return outlineStyle === 'solid' && parseFloat(outlineWidth) >= 2;
            });
            return { control: it.dataset.control, seen, what: it.outerHTML.slice(0, 80) };
        });
        if (one.control === undefined) continue;
        met.add(one.control);
        assert.ok(one.seen, `a visible focus on ${one.what}`);
    }
    assert.equal(met.size, wanted, 'controls that Tab reaches');
}

/* The button comes and goes with each attempt to connect, so this may take a few rounds. */
/* online: the page may have reconnected by itself meanwhile, and then the button is gone. */
const check_retry = (page, online) => until('Tab on "Retry now"', async () => {
    if (await online?.()) return true;
    await page.keyboard.press('Tab');
    return page.evaluate(() => document.activeElement.matches('#status button'));
});

/* In the server's place something that accepts and never answers. */
function silence(t, port) {
    const sockets = [];
    const server = net.createServer((socket) => {
        sockets.push(socket);
        socket.on('error', () => {});
    });
    const end = () => new Promise((resolve) => {
        for (const socket of sockets) socket.destroy();
        server.close(resolve);
    });
    t.after(() => server.listening && end());
    return new Promise((resolve, reject) => {
        server.on('error', reject).listen(port, '127.0.0.1', () => resolve(end));
    });
}

/* ---- The tests ------------------------------------------------------------------------------ */

async function look(t, name, scheme) {
    const { args = [], first, empty, use, error, offline, again } = pages[name];
    const server = await t.server(name, ...args, '0');
    const tab = await Tab.open(t, `${server.http}/`,
        { colorScheme: scheme, reducedMotion: 'reduce', viewport: { width: 320, height: 800 } });
    const { page } = tab;
    const shot = async (words) => {
        if (!process.env.PICTURES) return;
        for (const width of [1440, 320]) {
            await page.setViewportSize({ width, height: 800 });
            await picture(tab, `${name}-${scheme}-${width}-${words}`);
        }
    };
    if (first) {
        await check_widths(tab, 'before a name', [320]);
        assert.equal(await tab.state(), null, 'no state before a name');
        await shot('new');
        await first(page);
    }
    await tab.online();
    await empty?.(page);
    await check_widths(tab, 'empty');
    await shot('empty');
    await use?.(page, t, server);
    await check_widths(tab, 'in use');
    await shot('used');
    if (scheme === 'light') await check_keys(tab);
    await error?.(page, t, server);
    if (error) await check_widths(tab, 'in error', [320]);
    if (error) await shot('error');

    await server.kill();
    await until('offline', () => tab.lost());
    await offline?.(page);
    await check_widths(tab, 'offline');
    await shot('offline');
    const retry = page.locator('#status button');
    if (await retry.count()) await check_retry(page);
    const answer = await silence(t, server.port);
    await until('connecting', async () => await tab.state() === 'connecting', 20000);
    await check_widths(tab, 'connecting', [320]);
    await answer();
    await until('offline again', () => tab.lost());
    await t.server(name, ...args, String(server.port));
    await again?.(page);
    if (await retry.count()) {
        const online = async () => await tab.state() === 'open';
        await check_retry(page, online);
        if (!await online()) await page.keyboard.press('Enter');
    }
    await tab.online(20000);
    tab.check_but_lost();
}

for (const name of Object.keys(pages)) {
    need_binary(name);
    for (const scheme of ['light', 'dark']) {
        test(`${name}: ${scheme}`, (t) => look(t, name, scheme), 60000);
    }
}

await run('axe.mjs', { end: () => browser.close(), lanes: 2 });
