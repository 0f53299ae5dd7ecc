/* browser.mjs: headless Chromium with tabs of the chat's real page, the guide's browser snippet,
 * and the README's chat, built and used as the README says.
 *
 *     cd tests/interop && npm ci && node browser.mjs [part of a test's name ...]
 *
 * BUILD names the folder of the binaries, ../../build without it; CHROMIUM the browser. The chat
 * is left as pictures in BUILD/screenshots. */

import { spawnSync } from 'node:child_process';
import fs from 'node:fs';
import path from 'node:path';
import {
    assert, free_port, need_binary, pause, proxy, refused, root, run, Server, test, until,
} from './lib.mjs';
import { browser, desktop, home, phone, picture, Tab } from './tab.mjs';

need_binary('chat');

/* What a person does and sees on the chat's page. It asks for a name first. */
class Chat extends Tab {
    static async come(t, server, name, view, hash = '') {
        const tab = await Chat.open(t, `${server.http}/${hash}`, view);
        await tab.call_me(name);
        return tab;
    }
    async call_me(name) {
        this.name = name;
        if (!await this.page.isVisible('#name')) await this.page.click('#me');
        await this.page.fill('#name', name);
        await this.page.press('#name', 'Enter');
        await this.page.waitForSelector('#name', { state: 'hidden' });
        await this.online();
    }
    async say(text) {
        await this.page.fill('#input', text);
        await this.page.press('#input', 'Enter');
        await until('an emptied input', async () => await this.page.inputValue('#input') === '');
    }
    messages() {
        return this.page.$$eval('#log .msg', (all) => all.map((one) => ({
            from: one.querySelector('.from').textContent.trim(),
            text: one.querySelector('.text').textContent,
        })));
    }
    sees(from, text) {
        return until(`${this.name} seeing ${from}: ${text}`, async () => (await this.messages())
            .some((one) => one.from === from && one.text === text));
    }
    async never_saw(text) {
        const found = (await this.messages()).filter((one) => one.text === text);
        assert.deepEqual(found, [], `${this.name} does not see ${text}`);
    }
    counts(n) {
        return until(`${this.name} counting ${n}`, async () => {
            return Number(/\d+/.exec(await this.page.textContent('#count'))?.[0]) === n;
        });
    }
    typed(name, yes = true, ms = 10000) {
        return until(`${this.name} seeing ${name} ${yes ? 'type' : 'rest'}`, async () => {
            return (await this.page.textContent('#typing')).includes(name) === yes;
        }, ms);
    }
    notes(text) {
        return until(`${this.name} reading ${text}`, async () => {
            return (await this.page.textContent('#log')).includes(text);
        });
    }
    people() {
        return this.page.$$eval('#people li', (all) => all.map((one) => one.textContent));
    }
    unread(room, n) {
        return until(`${this.name} with ${n} unread in ${room}`, async () => n === Number(
            await this.page.getAttribute(`#rooms [data-room="${room}"]`, 'data-unread')));
    }
    async enter(room) {
        await this.page.click(`#rooms [data-room="${room}"]`);
        await this.inside(room);
    }
    async inside(room) {
        await this.page.waitForSelector(`#rooms [data-room="${room}"][aria-current="true"]`);
        await this.online();
    }
}

async function two_tabs(t) {
    const server = await t.server('chat', '0');
    const ada = await Chat.come(t, server, 'Ada');
    const bob = await Chat.come(t, server, 'Bob');
    for (const tab of [ada, bob]) await tab.counts(2);
    return { server, ada, bob };
}

/* ---- The chat's page ------------------------------------------------------------------------ */

test('page: two tabs see each other\'s messages, names and count', async (t) => {
    const { server, ada, bob } = await two_tabs(t);
    await ada.say('Hello, Bob!');
    for (const tab of [ada, bob]) await tab.sees('Ada', 'Hello, Bob!');
    await bob.say('Grüße, Ada 👋');
    for (const tab of [ada, bob]) await tab.sees('Bob', 'Grüße, Ada 👋');
    for (const tab of [ada, bob]) assert.equal((await tab.messages()).length, 2, 'each once');
    for (const tab of [ada, bob]) assert.deepEqual(await tab.people(), ['Ada', 'Bob']);

    const cyd = await Chat.come(t, server, 'Cyd');
    for (const tab of [ada, bob, cyd]) await tab.counts(3);
    await cyd.page.close();
    for (const tab of [ada, bob]) await tab.counts(2);
    for (const tab of [ada, bob]) tab.check();
});

test('page: typing shows at the other tab, and goes', async (t) => {
    const { ada, bob } = await two_tabs(t);
    await ada.page.focus('#input');
    await ada.page.keyboard.type('Hm', { delay: 50 });
    await bob.typed('Ada');
    await ada.typed('Ada', false);
    await ada.page.keyboard.press('Enter');
    await bob.sees('Ada', 'Hm');
    await bob.typed('Ada', false, 1000);
    await bob.page.focus('#input');
    await bob.page.keyboard.type('I was about to say', { delay: 20 });
    await ada.typed('Bob');
    await ada.typed('Bob', false);
    for (const tab of [ada, bob]) tab.check();
});

test('page: a name stays through a reload, a new one is used at once', async (t) => {
    const { ada, bob } = await two_tabs(t);
    await ada.page.reload();
    await ada.online();
    assert.equal(await ada.page.textContent('#me'), 'Ada');
    await bob.counts(2);
    await ada.say('me again');
    await bob.sees('Ada', 'me again');
    await ada.call_me('Ada L. <b>');
    await bob.counts(2);
    await ada.say('and renamed');
    for (const tab of [ada, bob]) await tab.sees('Ada L. <b>', 'and renamed');
    for (const tab of [ada, bob]) tab.check();
});

test('page: empty input sends nothing', async (t) => {
    const { ada, bob } = await two_tabs(t);
    for (const nothing of ['', '   ']) {
        await ada.page.fill('#input', nothing);
        await ada.page.press('#input', 'Enter');
    }
    await ada.page.fill('#input', '');
    await ada.say('something');
    await bob.sees('Ada', 'something');
    assert.deepEqual(await bob.messages(), [{ from: 'Ada', text: 'something' }]);
    for (const tab of [ada, bob]) tab.check();
});

test('page: HTML in messages and names is text', async (t) => {
    const { ada, bob } = await two_tabs(t);
    const bad = ['<img src=x onerror="document.title=\'owned\'">', '<script>alert(1)</script>',
        '&lt;b&gt; &amp; <b>bold</b>', '"><svg onload=alert(1)>', '{"type":"users","count":99}'];
    await ada.call_me('<i>Ada</i>');
    const elements = await bob.page.$$eval('*', (all) => all.length);
    const title = await bob.page.title();
    for (const text of bad) {
        await ada.say(text);
        for (const tab of [ada, bob]) await tab.sees('<i>Ada</i>', text);
    }
    for (const tab of [ada, bob]) {
        assert.equal(await tab.page.$$eval('#log img, #log script, #log b, #log svg, #log i',
            (all) => all.length), 0);
        assert.equal(await tab.page.title(), title);
        await tab.counts(2);
        tab.check();
    }
    assert.ok(elements > 0);
});

test('page: a room keeps to itself', async (t) => {
    const { ada, bob } = await two_tabs(t);
    await ada.say('in the lobby');
    await bob.sees('Ada', 'in the lobby');

    await ada.enter('tea');
    await ada.never_saw('in the lobby');
    await ada.say('alone with my tea');
    await ada.sees('Ada', 'alone with my tea');
    await bob.say('anyone in the lobby?');
    await bob.sees('Bob', 'anyone in the lobby?');

    await bob.enter('tea');
    await ada.notes('Bob joined');
    await bob.sees('Ada', 'alone with my tea'); /* the room keeps it */
    await ada.unread('lobby', 1);
    await bob.page.focus('#input');
    await bob.page.keyboard.type('I bring biscuits', { delay: 10 });
    await ada.typed('Bob');
    await bob.page.keyboard.press('Enter');
    for (const tab of [ada, bob]) await tab.sees('Bob', 'I bring biscuits');
    await ada.never_saw('anyone in the lobby?');

    await bob.enter('dev');
    await bob.say('make check-interop');
    await bob.sees('Bob', 'make check-interop');
    await ada.page.focus('#input');
    await ada.page.keyboard.type('nobody here?', { delay: 10 });
    await ada.page.keyboard.press('Enter');
    await ada.sees('Ada', 'nobody here?');
    await bob.typed('Ada', false);
    await bob.never_saw('nobody here?');
    await ada.never_saw('make check-interop');

    await ada.enter('dev');
    await bob.notes('Ada joined');
    await ada.say('passes');
    for (const tab of [ada, bob]) await tab.sees('Ada', 'passes');
    for (const tab of [ada, bob]) await tab.enter('lobby');
    for (const tab of [ada, bob]) await tab.counts(2);
    await ada.sees('Bob', 'anyone in the lobby?');
    await ada.unread('lobby', 0);
    await bob.say('back');
    await ada.sees('Bob', 'back');
    for (const tab of [ada, bob]) tab.check();
});

test('page: the address leads to a room, and any room can be named', async (t) => {
    const server = await t.server('chat', '0');
    const ada = await Chat.come(t, server, 'Ada', desktop, '#tea');
    await ada.inside('tea');
    const bob = await Chat.come(t, server, 'Bob');
    await bob.page.fill('#room', 'Café Nr. 5');
    await bob.page.press('#room', 'Enter');
    await bob.inside('café-nr-5');
    await ada.page.goto(bob.page.url());
    await ada.inside('café-nr-5');
    await bob.notes('Ada joined');
    await ada.say('found it');
    await bob.sees('Ada', 'found it');
    await ada.page.reload();
    await ada.inside('café-nr-5');
    await bob.say('and again');
    await ada.sees('Bob', 'and again');
    for (const tab of [ada, bob]) tab.check();
});

test('page: Shift+Enter makes lines, long messages stay whole', async (t) => {
    const { ada, bob } = await two_tabs(t);
    await ada.page.focus('#input');
    await ada.page.keyboard.type('one');
    await ada.page.keyboard.press('Shift+Enter');
    await ada.page.keyboard.type('two');
    await ada.page.keyboard.press('Enter');
    for (const tab of [ada, bob]) await tab.sees('Ada', 'one\ntwo');
    const long = 'wörds '.repeat(600).trim();
    await ada.say(long);
    for (const tab of [ada, bob]) await tab.sees('Ada', long);
    await ada.say('x'.repeat(4000));
    for (const tab of [ada, bob]) {
        await tab.sees('Ada', 'x'.repeat(4000));
        assert.ok(await tab.page.evaluate(
            () => document.documentElement.scrollWidth <= innerWidth), 'nothing sticks out');
        tab.check();
    }
});

test('page: a killed and restarted server is reconnected to, with growing pauses', async (t) => {
    const { server, ada, bob } = await two_tabs(t);
    await ada.say('before');
    await bob.sees('Ada', 'before');

    const killed = Date.now();
    await server.kill();
    for (const tab of [ada, bob]) await tab.offline();
    await pause(8000);
    for (const tab of [ada, bob]) {
        const tries = tab.sockets.map(({ at }) => at).filter((at) => at >= killed);
        assert.equal(tries.length, 3, `${tries.length} tries in 8 s`);
        const first = tries[1] - tries[0];
        const last = tries.at(-1) - tries.at(-2);
        assert.ok(last > 1.5 * first, `pauses grow: ${first} ms, then ${last} ms`);
    }
    const again = await t.server('chat', String(server.port));
    assert.equal(again.port, server.port);
    for (const tab of [ada, bob]) await tab.online(20000);
    for (const tab of [ada, bob]) await tab.counts(2);
    for (const tab of [ada, bob]) await tab.sees('Ada', 'before');
    await bob.say('after');
    for (const tab of [ada, bob]) await tab.sees('Bob', 'after');
    await ada.say('as if nothing had been');
    for (const tab of [ada, bob]) await tab.sees('Ada', 'as if nothing had been');

    for (const tab of [ada, bob]) tab.check_but_lost();
}, 60000);

test('page: a server that stops in order and comes back, with a tab in a room', async (t) => {
    const { server, ada, bob } = await two_tabs(t);
    for (const tab of [ada, bob]) await tab.enter('dev');
    await server.stop();
    for (const tab of [ada, bob]) await tab.offline();
    await t.server('chat', String(server.port));
    await until('a word of when', () => ada.lost());
    await ada.page.click('#status button'); /* says when it tries again, and tries at once */
    for (const tab of [ada, bob]) await tab.online(20000);
    await bob.say('still in dev');
    for (const tab of [ada, bob]) await tab.sees('Bob', 'still in dev');
    for (const tab of [ada, bob]) tab.check_but_lost();
}, 60000);

test('page: the connection is a status, not a message; a lone user gets a hint', async (t) => {
    const server = await t.server('chat', '0');
    const hint = (tab, words) => until(`${tab.name} reading ${words || 'no hint'}`,
        async () => await tab.page.textContent('#hint') === words);
    const status = (tab) => tab.page.textContent('#status [role=status]');
    const ada = await Chat.open(t, `${server.http}/`);
    assert.equal(await ada.state(), null);
    assert.equal(await status(ada), '', 'no state before a name');
    await ada.call_me('Ada');
    assert.equal(await status(ada), 'Connected');
    await hint(ada, 'You are the only one here. Open this page in another tab.');
    const bob = await Chat.come(t, server, 'Bob');
    for (const tab of [ada, bob]) await hint(tab, '');
    await bob.enter('tea');
    await hint(bob, 'You are the only one here. Open this page in another tab.');
    await ada.enter('tea');
    await bob.notes('Ada joined');
    await hint(bob, '');
    await ada.enter('lobby');
    await server.kill();
    await ada.offline();
    await until('the word Offline', async () => await status(ada) === 'Offline');
    await hint(ada, '');
    assert.equal(await ada.page.textContent('#log'), 'Bob joined', 'no line about the connection');
    ada.check_but_lost();
});

test('page: what is said while the server is away is sent once it is back, each once', async (t) => {
    const { server, ada, bob } = await two_tabs(t);
    await ada.say('before');
    await bob.sees('Ada', 'before');
    await server.kill();
    for (const tab of [ada, bob]) await tab.offline();
    for (const text of ['one', 'two']) await ada.say(text);
    assert.equal(await ada.page.$$eval('#log .unsent .msg', (all) => all.length), 2);
    await bob.never_saw('one');
    await t.server('chat', String(server.port));
    for (const tab of [ada, bob]) await tab.online(20000);
    for (const tab of [ada, bob]) await tab.sees('Ada', 'two');
    const all = ['before', 'one', 'two'];
    for (const tab of [ada, bob]) {
        assert.deepEqual((await tab.messages()).map(({ text }) => text), all);
        await tab.notes('messages may be missing');
        tab.check_but_lost();
    }
    assert.equal(await ada.page.$$eval('#log .unsent .msg', (all) => all.length), 0);
}, 60000);

test('page: what was missed comes after a reload, and after a cut of the network', async (t) => {
    const server = await t.server('chat', '0');
    const way = await proxy(t, server.port);
    const ada = await Chat.come(t, server, 'Ada');
    const bob = await Chat.come(t, { http: `http://127.0.0.1:${way.port}` }, 'Bob');
    for (const text of ['one', 'two', 'https://a.example/x?y=1. three']) await ada.say(text);
    await bob.sees('Ada', 'https://a.example/x?y=1. three');
    const link = await bob.page.$$eval('#log a', (all) => all.map((one) => one.href));
    assert.deepEqual(link, ['https://a.example/x?y=1']);
    await bob.page.reload();
    await bob.sees('Ada', 'one');
    way.away = true;
    way.cut();
    await bob.offline();
    await ada.say('four');
    await bob.say('five');
    await ada.sees('Ada', 'four');
    await bob.never_saw('four');
    way.away = false;
    for (const tab of [ada, bob]) await tab.sees('Bob', 'five');
    await bob.online();

    /* The server has it, but the answer is lost with the connection. */
    way.mute = true;
    await bob.say('six');
    await ada.sees('Bob', 'six');
    assert.equal(await bob.page.$$eval('#log .unsent .msg', (all) => all.length), 1);
    way.cut();
    way.mute = false;
    await until('its arrival', () => bob.page.$$eval('#log .unsent .msg', (all) => !all.length));
    await bob.say('seven');
    for (const tab of [ada, bob]) await tab.sees('Bob', 'seven');
    const all = ['one', 'two', 'https://a.example/x?y=1. three', 'four', 'five', 'six', 'seven'];
    for (const tab of [ada, bob]) {
        assert.deepEqual((await tab.messages()).map(({ text }) => text), all);
    }
    for (const tab of [ada, bob]) tab.check_but_lost();
}, 60000);

test('page: the guide\'s peers and the page talk to each other', async (t) => {
    const { server, ada } = await two_tabs(t);
    const chat = await t.client(`${server.ws}/chat?name=Eve`);
    const room = await t.client(`${server.ws}/rooms/tea`);
    await chat.json({ type: 'connected', message: 'Welcome!' });
    await chat.json({ type: 'users', count: 1 });
    chat.send('{"type":"message","content":"from a script"}');
    await ada.sees('Eve', 'from a script');
    await ada.say('to a script');
    await chat.json({ type: 'message', from: 'Eve', content: 'from a script' });
    await chat.json({ type: 'message', from: 'Ada', content: 'to a script' });
    await ada.enter('tea');
    room.send('{"type":"message","from":"Cyd","content":"tea?"}');
    room.send('{"type":"hello","from":"Cyd"}');
    room.send('as plain text');
    room.send('{":at":[1,1,9]}');
    room.send('{"type":":gap"}');
    await ada.sees('Cyd', 'tea?');
    await ada.sees('someone', 'as plain text');
    await ada.say('please');
    await room.json({ type: 'message', from: 'Ada', content: 'please' });
    assert.deepEqual((await ada.messages()).map(({ text }) => text),
        ['tea?', 'as plain text', 'please'], 'nothing else is a message');
    assert.equal((await refused(`${server.ws}/rooms/tea?azchan=1`)).status, 400);
    ada.check();
});

/* ---- Pictures ------------------------------------------------------------------------------- */

test('page: fits a phone and a desktop, and is worth a picture', async (t) => {
    const server = await t.server('chat', '0');
    const mei = await Chat.come(t, server, 'Mei', desktop);
    const omar = await Chat.come(t, server, 'Omar', phone);
    const noor = await Chat.come(t, server, 'Noor', desktop);
    const talk = [
        [mei, 'Morning! The new build runs on the board.'],
        [noor, 'The router, or the little box in the greenhouse?'],
        [mei, 'Both. It is one file.'],
        [mei, 'And it serves this very page.'],
        [omar, 'Reading along on the train. We had a tunnel just now, and it came back by itself.'],
        [noor, 'What did you have to install for it?'],
        [mei, 'Nothing. cc was there already.'],
        [omar, 'Then I have an idea for the heating at home…'],
        [noor, 'Tell us in tea, I am putting the kettle on.'],
        [omar, 'On my way!'],
    ];
    for (const [tab, text] of talk) {
        await tab.say(text);
        for (const other of [mei, omar, noor]) await other.sees(tab.name, text);
    }
    for (const tab of [mei, omar]) {
        const fits = await tab.page.evaluate(() => {
            const box = document.querySelector('#input').getBoundingClientRect();
            return {
                wide: document.documentElement.scrollWidth <= innerWidth,
                input: box.top >= 0 && box.bottom <= innerHeight && box.right <= innerWidth,
            };
        });
        assert.deepEqual(fits, { wide: true, input: true }, `${tab.name} sees all of it`);
        const last = await tab.page.$$eval('#log .msg', (all) => {
            const box = all.at(-1).getBoundingClientRect();
            return box.top >= 0 && box.bottom <= innerHeight;
        });
        assert.ok(last, `${tab.name} sees the newest message`);
    }
    await noor.page.focus('#input');
    await noor.page.keyboard.type('And b', { delay: 30 });
    for (const tab of [mei, omar]) await tab.typed('Noor');
    await pause(300); /* for what moves to come to rest */
    await noor.page.keyboard.type('i', { delay: 30 });
    await picture(mei, 'chat-desktop');
    await picture(omar, 'chat-phone');
    for (const tab of [mei, omar, noor]) tab.check();
});

/* ---- Snippets, as pasted into the console --------------------------------------------------- */

async function paste(tab, expression) {
    const { exceptionDetails: thrown } = await tab.devtools.send('Runtime.evaluate', {
        expression, replMode: true, awaitPromise: true, userGesture: true,
    });
    assert.equal(thrown?.exception?.description, undefined, expression);
}

/* The guide's "Client Connection", up to where it sends, and from there. */
const guide_connect = `
const socket = new WebSocket('ws://localhost:4000/chat');

socket.onopen = () => {
  console.log('Connected');
};

socket.onmessage = (event) => {
  const data = JSON.parse(event.data);
  console.log('Received:', data);
};

socket.onclose = () => {
  console.log('Disconnected');
};
`;
const guide_send = `
// Send a message
socket.send(JSON.stringify({
  type: 'message',
  content: 'Hello!'
}));
`;

test('guide: its browser snippet connects, sends, receives and is told of the end', async (t) => {
    const server = await t.server('chat', '0');
    const tab = await Tab.open(t, `http://localhost:${server.port}/`);
    await paste(tab, guide_connect.replace('4000', server.port));
    await until('Connected', () => tab.console.includes('Connected'));
    await paste(tab, guide_send);
    const frames = () => tab.received().split('\n');
    await until('Hello!', () => frames().some((text) => text.includes('Hello!')));
    assert.deepEqual(JSON.parse(frames()[0]), { type: 'connected', message: 'Welcome!' });
    const { from, ...hello } = JSON.parse(frames().find((text) => text.includes('Hello!')));
    assert.deepEqual(hello, { type: 'message', content: 'Hello!' });
    assert.match(from, /^guest-\d+$/);
    assert.ok(tab.console.filter((text) => text.startsWith('Received:')).length >= 3);
    tab.check();
    await server.stop();
    await until('Disconnected', () => tab.console.includes('Disconnected'));
});

test('README: the chat, its page and the console snippet work, across a restart', async (t) => {
    const readme = path.join(root, 'README.md');
    const awk = spawnSync('awk', ['-v', 'changed=1', '-f',
        path.join(root, 'tests/build/readme.awk'), readme], { encoding: 'utf8' });
    assert.equal(awk.status, 0, awk.stderr);
    const snippet = /^```js\n([^]*?)^```$/m.exec(fs.readFileSync(readme, 'utf8'))[1];
    const port = await free_port(), folder = fs.mkdtempSync(path.join(home, 'readme-'));
    fs.copyFileSync(path.join(root, 'azchan.h'), path.join(folder, 'azchan.h'));
    fs.writeFileSync(path.join(folder, 'app.c'), awk.stdout.replaceAll('4000', port));
    const cc = spawnSync('cc', ['-Wall', '-Wextra', '-pedantic', 'app.c', '-o', 'app'],
        { cwd: folder, encoding: 'utf8', timeout: 60000 });
    assert.equal(cc.status, 0);
    assert.equal(cc.stdout + cc.stderr, '', 'cc is silent');
    const start = async () => {
        const app = await Server.start('stdbuf', ['-oL', path.join(folder, 'app')]);
        t.servers.push(app);
        t.after(() => app.stop());
        return app;
    };
    const app = await start();
    const tabs = [await Tab.open(t, `http://127.0.0.1:${port}/`),
        await Tab.open(t, `http://127.0.0.1:${port}/`)];
    await tabs[0].page.type('input', 'Good morning');
    await tabs[0].page.press('input', 'Enter');
    for (const tab of tabs) {
        await until('a line of the chat', async () => {
            return await tab.page.textContent('pre') === 'Good morning\n';
        });
    }
    const hellos = (tab) => tab.console.filter((text) => text === 'Received: Hello!').length;
    for (const tab of tabs) await paste(tab, snippet);
    await until('both Hello!', () => hellos(tabs[0]) === 2 && hellos(tabs[1]) >= 1);
    for (const tab of tabs) tab.check();
    await app.stop();
    await start();
    const before = hellos(tabs[1]);
    await until('a Hello! after the restart', () => hellos(tabs[1]) > before);
}, 120000);

await run('browser.mjs', { end: () => browser.close(), lanes: 2 });
