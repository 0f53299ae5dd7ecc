/* settings.mjs: the login, sessions and upload of examples/settings.c, with curl's cookie jar.
 *
 *     make check-settings, or: BUILD=... node tests/net/settings.mjs [part of a test's name ...] */

import {
    assert, Client, folder, fs, need_program, refused, run, spawn, test, until, within,
} from './lib.mjs';

const password = 'correct horse';
process.env.PASSWORD = password;
const curl = need_program('curl', 'curl');

/* curl's answer, with its head. */
function ask(...args) {
    return within(20000, `curl ${args.join(' ')}`, new Promise((resolve) => {
        const child = spawn(curl, ['-s', '-i', ...args]);
        let said = '';
        child.stdout.setEncoding('utf8').on('data', (text) => { said += text; });
        child.on('close', (code) => {
            const status = Number(/^HTTP\/1.1 ([2-5]\d\d)/m.exec(said)?.[1]);
            const cookie = /^Set-Cookie: (.*?)\r$/m.exec(said)?.[1];
            resolve({ code, status, said, cookie });
        });
    }));
}

/* A browser's jar, by curl. */
async function jar(t, server) {
    const file = `${folder(t)}/jar`;
    const one = {
        ask: (path, ...args) => ask('-b', file, '-c', file, ...args, `${server.http}${path}`),
        login: (password) => one.ask('/login', '--data-urlencode', `password=${password}`),
        token: () => /session\t(\S+)/.exec(fs.readFileSync(file, 'utf8'))?.[1],
        headers: () => ({ Cookie: `session=${one.token()}` }),
        live: () => t.client(`${server.ws}/live`, { headers: one.headers() }),
    };
    return one;
}

const server_of = (t, ...args) => t.server('settings', '0', ...args);
const login_page = /<body class="out">/, settings_page = /<body class="in">/;

test('before a login nothing else works, and no setting is shown', async (t) => {
    const server = await server_of(t);
    let got = await ask(`${server.http}/`);
    assert.equal(got.status, 200);
    assert.match(got.said, login_page);
    assert.doesNotMatch(got.said, /Lamp/);
    for (const args of [['-d', 'name=x&level=1', '/settings'], ['-X', 'POST', '/logout'],
        ['-T', '/dev/null', '/firmware'], ['/live'], ['/none'], ['-d', '', '/%6cive']]) {
        got = await ask(...args.slice(0, -1), `${server.http}${args.at(-1)}`);
        assert.equal(got.status, 403, args.join(' '));
        assert.match(got.said, /Please log in/);
        assert.doesNotMatch(got.said, /Lamp/);
    }
    assert.equal((await refused(`${server.ws}/live`)).status, 403);
});

test('a login gives the settings, and a cookie that no script and other site gets', async (t) => {
    const server = await server_of(t), ada = await jar(t, server);
    let got = await ada.login('wrong');
    assert.deepEqual([got.status, got.cookie], [403, undefined]);
    assert.match(got.said, /Wrong password/);
    got = await ada.ask('/login', '-d', 'x=y');
    assert.equal(got.status, 403);
    got = await ada.login(password);
    assert.equal(got.status, 303);
    assert.match(got.said, /^Location: \.\r$/m);
    assert.match(got.cookie,
        /^session=[\w-]{32}; Path=\/; Max-Age=3600; HttpOnly; SameSite=Lax$/);
    got = await ada.ask('/');
    assert.match(got.said, settings_page);
    assert.match(got.said, /value="Lamp"/);
    got = await ada.ask('/settings', '--data-urlencode', 'name=<b>&amp;"', '-d', 'level=500', '-L');
    assert.match(got.said, /value="&lt;b>&amp;amp;&quot;"[^]*value="100"/);
    for (const form of ['name=x', 'level=1', `name=${'x'.repeat(161)}&level=1`]) {
        assert.equal((await ada.ask('/settings', '-d', form)).status, 400, form);
    }
});

test('forged and ended sessions are refused, and a logout ends its channels', async (t) => {
    const server = await server_of(t), ada = await jar(t, server), bob = await jar(t, server);
    await ada.login(password);
    await bob.login(password);
    const mine = await ada.live(), other = await bob.live();
    await mine.json({ type: 'settings', name: 'Lamp', level: 50 });
    await mine.json({ type: 'firmware', state: 'none', got: 0, size: 0 });
    await other.json(), await other.json();
    assert.equal((await bob.ask('/settings', '-d', 'name=Desk&level=7')).status, 303);
    for (const one of [mine, other]) await one.json({ type: 'settings', name: 'Desk', level: 7 });

    const token = ada.token();
    for (const forged of ['', 'x', token.slice(1), `${token}x`, token.toLowerCase(),
        `${token.slice(0, -1)}${token.endsWith('A') ? 'B' : 'A'}`]) {
        const got = await ask('-H', `Cookie: session=${forged}`, `${server.http}/live`);
        assert.equal(got.status, 403, forged);
    }
    const got = await ada.ask('/logout', '-X', 'POST');
    assert.deepEqual([got.status, got.cookie],
        [303, 'session=; Path=/; Max-Age=0; HttpOnly; SameSite=Lax']);
    assert.equal((await mine.gone()).code, 1008);
    assert.equal(ada.token(), undefined);
    assert.equal((await ask('-H', `Cookie: session=${token}`, `${server.http}/live`)).status, 403);
    assert.equal((await bob.ask('/settings', '-d', 'name=Hall&level=8')).status, 303);
    await other.json({ type: 'settings', name: 'Hall', level: 8 });
});

test('a session ends in time, with its channels; a ninth login ends the first', async (t) => {
    const server = await server_of(t, '2'), ada = await jar(t, server);
    await ada.login(password);
    const channel = await ada.live(), headers = ada.headers();
    assert.equal((await channel.gone()).code, 1008);
    const old = new Client(`${server.ws}/live`, { headers });
    await assert.rejects(old.opened);
    const long = await server_of(t), jars = [];
    let first;
    for (let i = 0; i < 9; i++) {
        jars.push(await jar(t, long));
        await jars[i].login(password);
        first ??= await jars[i].live();
    }
    assert.equal((await first.gone()).code, 1008);
    for (let i = 0; i < 9; i++) {
        assert.equal((await jars[i].ask('/live')).status, i ? 426 : 403, String(i));
    }
});

test('a POST of another site is refused with any cookie; one without Origin is not', async (t) => {
    const server = await server_of(t), ada = await jar(t, server);
    const origin = (name) => ['-H', `Origin: ${name}`, '-d', 'name=x&level=1'];
    assert.equal((await ada.ask('/login', '-H', 'Origin: http://evil.example', '-d',
        `password=${password}`)).status, 403);
    await ada.login(password);
    for (const name of ['http://evil.example', 'null', `http://127.0.0.1:${server.port + 1}`,
        `https://${server.host}`.replace('127', '128')]) {
        assert.equal((await ada.ask('/settings', ...origin(name))).status, 403, name);
        assert.equal((await ada.ask('/firmware', '-T', curl, '-H', `Origin: ${name}`)).status, 403);
        assert.equal((await ada.ask('/logout', ...origin(name))).status, 403, name);
        const answer = await refused(`${server.ws}/live`,
            { headers: { ...ada.headers(), Origin: name } });
        assert.equal(answer.status, 403);
    }
    assert.equal((await ada.ask('/settings', ...origin(server.http))).status, 303);
    assert.equal((await ada.ask('/settings', '-d', 'name=x&level=1')).status, 303);
});

test('five wrong passwords are the last of a minute, for the right one too', async (t) => {
    const server = await server_of(t), ada = await jar(t, server), bob = await jar(t, server);
    await bob.login(password);
    for (let i = 0; i < 5; i++) assert.equal((await ada.login(`guess ${i}`)).status, 403);
    const got = await ada.login(password);
    assert.deepEqual([got.status, got.cookie], [429, undefined]);
    assert.match(got.said, /wait a minute/);
    assert.match((await bob.ask('/')).said, settings_page);
    const way = ['--interface', '127.0.0.2'];
    const other = await ask(...way, '-d', `password=${password}`, `${server.http}/login`);
    assert.equal(other.status, 303, 'another address may');
});

test('without PASSWORD the program makes another one each time', async (t) => {
    const made = [];
    for (let i = 0; i < 2; i++) {
        delete process.env.PASSWORD;
        const starts = server_of(t);
        process.env.PASSWORD = password;
        const server = await starts, ada = await jar(t, server);
        await until('a password', () => {
            made[i] = /password is ([\w-]{22}), because/.exec(server.output)?.[1];
            return made[i];
        });
        for (const wrong of ['', password]) assert.equal((await ada.login(wrong)).status, 403);
        assert.equal((await ada.login(made[i])).status, 303);
    }
    assert.notEqual(made[0], made[1]);
});

test('every page sees an upload go; a second one, huge ones and lost ones end well', async (t) => {
    const server = await server_of(t), ada = await jar(t, server), dir = folder(t);
    fs.writeFileSync(`${dir}/new`, Buffer.alloc(3 << 20));
    fs.writeFileSync(`${dir}/huge`, '');
    fs.truncateSync(`${dir}/huge`, (16 << 20) + 1);
    await ada.login(password);
    const page = await ada.live();
    await page.json(), await page.json();
    const slow = ada.ask('/firmware', '-T', `${dir}/new`, '--limit-rate', '2M');
    const first = await page.json();
    assert.deepEqual([first.state, first.size], ['going', 3 << 20]);
    assert.equal((await ada.ask('/firmware', '-T', `${dir}/new`)).status, 409);
    let now = first, seen = 0;
    for (; now.state === 'going'; now = await page.json()) seen += now.got > 0;
    assert.deepEqual(now, { type: 'firmware', state: 'done', got: 3 << 20, size: 3 << 20 });
    assert.equal((await slow).status, 204);
    assert(seen > 2 && seen < 40, `${seen} steps`);
    assert.equal((await ada.ask('/firmware', '-T', `${dir}/huge`)).status, 413);
    assert.equal((await ada.ask('/firmware', '-T', `${dir}/new`, '-H',
        'Transfer-Encoding: chunked')).status, 411);
    await ada.ask('/firmware', '-T', `${dir}/new`, '--limit-rate', '1M', '--max-time', '0.5');
    do now = await page.json(); while (now.state === 'going');
    assert.equal(now.state, 'lost');
    assert.equal((await ada.ask('/firmware', '-T', `${dir}/new`)).status, 204, 'again');
});

await run('settings.mjs', { lanes: 2 });
