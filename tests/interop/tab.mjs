/* tab.mjs: headless Chromium and its tabs, for the scripts that test pages. CHROMIUM names the
 * browser. */

import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { assert, build, give_up, need_package, until } from './lib.mjs';

/* Everything the browser writes goes into one folder, and that goes away. */
export const home = fs.mkdtempSync(path.join(os.tmpdir(), 'azchan-browser-'));
process.on('exit', () => fs.rmSync(home, { recursive: true, force: true, maxRetries: 5 }));
process.env.TMPDIR = home;
process.env.HOME = home;
for (const name of ['CONFIG', 'CACHE', 'DATA', 'STATE']) {
    process.env[`XDG_${name}_HOME`] = path.join(home, name.toLowerCase());
}

const { chromium } = need_package('playwright-core');
export const browser = await chromium.launch({
    executablePath: find_chromium(),
    args: ['--headless', '--no-sandbox', '--disable-gpu', '--disable-quic', '--no-first-run',
        '--disable-background-networking', '--disable-component-update', '--disable-sync'],
    timeout: 30000,
}).catch((error) => give_up(`the browser does not start: ${error.message}`));

function find_chromium() {
    const name = process.env.CHROMIUM || 'chromium';
    if (name.includes('/')) return name;
    for (const dir of (process.env.PATH || '').split(':')) {
        const file = path.join(dir, name);
        if (fs.existsSync(file)) return file;
    }
    return give_up(`no ${name} in PATH: install it, or name it in CHROMIUM`);
}

/* ---- Tabs ----------------------------------------------------------------------------------- */

export const desktop = { viewport: { width: 1280, height: 900 } };
export const phone = {
    viewport: { width: 390, height: 844 }, deviceScaleFactor: 2, isMobile: true, hasTouch: true,
};

/* A tab of a browser profile of its own, or of one that is there (another tab's page.context()).
   What it asks the network for, and what its console says, is kept: check() says that neither was
   out of place. */
export class Tab {
    static async open(t, url, view = desktop, profile = null) {
        const tab = new this();
        tab.name = 'the tab';
        tab.host = new URL(url).host;
        tab.console = [];
        tab.errors = [];
        tab.elsewhere = [];
        tab.sockets = [];
        const context = profile ?? await browser.newContext(view);
        context.setDefaultTimeout(10000);
        if (!profile) t.after(() => context.close());
        const page = await context.newPage();
        tab.page = page;
        /* Little jitter in the pauses of azchan.js (client.mjs tests it), so that tries can be
           counted: at about 0.7, 2.2, 5.1 and 11 s. */
        await page.addInitScript(() => {
            const { random } = Math;
            Math.random = () => 0.7 + 0.05 * random();
        });
        page.on('console', (message) => {
            tab.console.push(message.text());
            if (['error', 'warning'].includes(message.type())) tab.errors.push(message.text());
        });
        page.on('pageerror', (error) => tab.errors.push(String(error)));
        page.on('request', (request) => tab.#visit(request.url()));
        /* Not Playwright's own event: some versions skip sockets that find no server */
        tab.devtools = await context.newCDPSession(page);
        tab.devtools.on('Network.webSocketCreated', ({ requestId, url }) => {
            tab.#visit(url);
            tab.sockets.push({ requestId, url, at: Date.now(), frames: [] });
        });
        tab.devtools.on('Network.webSocketFrameReceived', ({ requestId, response }) => {
            const socket = tab.sockets.find((one) => one.requestId === requestId);
            if (response.opcode === 1) socket.frames.push(response.payloadData);
        });
        await tab.devtools.send('Network.enable');
        await page.goto(url);
        return tab;
    }

    #visit(url) {
        const { protocol, host } = new URL(url);
        if (!['data:', 'blob:', 'about:'].includes(protocol) && host !== this.host) {
            this.elsewhere.push(url);
        }
    }
    /* Chromium itself reports each try that found no server, or was refused: that is no fault of
       the page. */
    check_but_lost() {
        const theirs = /^(WebSocket connection to .* fail|Failed to load resource)/;
        this.errors = this.errors.filter((text) => !theirs.test(text));
        this.check();
    }
    check() {
        assert.deepEqual(this.errors, [], 'the console is clean');
        assert.deepEqual(this.elsewhere, [], 'nothing is asked of another host');
    }
    received() { return this.sockets.flatMap(({ frames }) => frames).join('\n'); }

    /* What all our pages have: a status that says how the connection is. */
    state() { return this.page.getAttribute('#status', 'data-state'); }
    online(ms) {
        return until(`${this.name} online`, async () => await this.state() === 'open', ms);
    }
    offline() {
        return until(`${this.name} seen offline`, async () => await this.state() !== 'open');
    }
    async lost() { return ['closed', 'waiting', 'offline'].includes(await this.state()); }
}

/* A picture in BUILD/screenshots. */
export function picture(tab, name) {
    return tab.page.screenshot({ path: path.join(build, 'screenshots', `${name}.png`) });
}
