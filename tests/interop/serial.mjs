/* serial.mjs: the page of examples/serial.c in headless Chromium, with a pty as the device.
 *
 *     cd tests/interop && npm ci && node serial.mjs [part of a test's name ...]
 *
 * BUILD and CHROMIUM as for pages.mjs; `script` of util-linux makes the pty. Pictures of the page
 * are left in BUILD/screenshots. */

import { spawn } from 'node:child_process';
import fs from 'node:fs';
import path from 'node:path';
import { assert, need_binary, run, test, until } from './lib.mjs';
import { browser, home, phone, picture, Tab } from './tab.mjs';

need_binary('serial');
const small = { ...phone, viewport: { width: 320, height: 640 } };
let count = 0;

/* A path, and a device at it once it is plugged in. */
class Device {
    constructor(t) {
        this.path = path.join(home, `device-${count++}`);
        t.after(() => this.unplug());
    }
    async plug() {
        this.got = '';
        const command = `ln -sf "$(tty)" '${this.path}'; exec sleep 100`;
        this.child = spawn('script', ['-qfec', command, '/dev/null'], { stdio: 'pipe' });
        this.child.stdin.on('error', () => {});
        this.child.stdout.on('data', (bytes) => { this.got += bytes; });
        this.child.on('exit', () => fs.rmSync(this.path, { force: true }));
        await until('a pty', () => fs.existsSync(this.path));
    }
    unplug() { this.child?.kill('SIGKILL'); }
    say(line) { this.child.stdin.write(`${line}\n`); }
}

const text = (tab, selector) => tab.page.textContent(selector);
const shows = (tab, selector, words) => until(`${words} in ${selector}`, async () => {
    return (await text(tab, selector)).includes(words);
});
const send = async (tab, command) => {
    await tab.page.fill('#command', command);
    await tab.page.press('#command', 'Enter');
};
async function fits(tab) {
    const wide = await tab.page.evaluate(() => document.documentElement.scrollWidth - innerWidth);
    assert.ok(wide <= 0, `${wide} pixels stick out`);
}

async function page_of(t, server, view) {
    const tab = await Tab.open(t, `${server.http}/`, view);
    await tab.online();
    return tab;
}

test('serial: values come, commands go, and the device comes back', async (t) => {
    const device = new Device(t);
    const server = await t.server('serial', '0', device.path);
    const tab = await page_of(t, server);
    await shows(tab, '#device', 'unplugged');
    assert.ok(await tab.page.isDisabled('#send'));
    await picture(tab, 'serial-empty');
    for (let round = 0; round < 2; round++) {
        await device.plug();
        await until('the button', () => tab.page.isEnabled('#send'));
        device.say('half a line');
        device.say(`heat ${round} <b>C</b>`);
        await shows(tab, '#values li .value', `${round} <b>C</b>`);
        await send(tab, 'led on');
        await shows(tab, '#note', 'Sent: led on');
        await until('the command', () => device.got.includes('led on\n'));
        device.unplug();
        await shows(tab, '#device', 'unplugged');
        await shows(tab, '#values li .value', `${round} <b>C</b>`);
        assert.ok(await tab.page.isDisabled('#send'));
    }
    assert.equal(await tab.page.locator('#values li').count(), 1);
    await shows(tab, '#values li .age', 's ago');
    tab.check();
});

test('serial: the page reconnects, and shows the last values meanwhile', async (t) => {
    const device = new Device(t);
    await device.plug();
    const server = await t.server('serial', '0', device.path);
    const tab = await page_of(t, server);
    device.say('');
    device.say('heat 21.5 C');
    await shows(tab, '#values li .value', '21.5 C');
    await server.kill();
    await tab.offline();
    await shows(tab, '#values li .value', '21.5 C');
    assert.ok(await tab.page.isDisabled('#send'));
    await picture(tab, 'serial-offline');
    await t.server('serial', String(server.port), device.path);
    await tab.online(20000);
    device.say('');
    device.say('heat 22 C');
    await shows(tab, '#values li .value', '22 C');
    await shows(tab, '#values li .age', 'now');
    tab.check_but_lost();
});

test('serial: at 320 pixels, in light and dark, nothing sticks out', async (t) => {
    const device = new Device(t);
    await device.plug();
    const server = await t.server('serial', '0', device.path);
    for (const colorScheme of ['light', 'dark']) {
        const tab = await page_of(t, server, { ...small, colorScheme });
        device.say('');
        device.say('heat 21.5 C');
        device.say('humidity 40 %');
        device.say(`a-name-of-thirty-one-characters ${'x'.repeat(60)}`);
        await shows(tab, '#values', 'xxxx');
        await send(tab, 'w'.repeat(127));
        await shows(tab, '#note', 'Sent: www');
        await fits(tab);
        await picture(tab, `serial-${colorScheme}`);
        tab.check();
    }
});

await run('serial', { end: () => browser.close() });
