/* restart.mjs: one process makes way for the next, and several share a port. Every attempt to
 * connect is counted.
 *
 *     make check-restart, or: BUILD=... node tests/net/restart.mjs [part of a test's name ...] */

import { spawnSync } from 'node:child_process';
import {
    answers, assert, Client, deploy_file, folder, free_port, fs, host, need_binary, need_package,
    need_program, pause, request, run, start, test, until, within,
} from './lib.mjs';

const WebSocket = need_package('ws');

/* Peers that stay, and come back at once when they are told to go; newcomers that come, ask for an
 * echo and go. What fails is counted, and why. */
class Crowd {
    attempts = 0; served = 0; echoes = 0; failed = []; codes = {}; told = [];
    staying = 0; /* those of the first kind that are connected now */
    #left = false;
    constructor(t, url, { stay = 0, come = 0 }) {
        this.url = url;
        t.after(() => this.leave());
        this.sockets = new Set();
        this.started = Array.from({ length: stay }, () => this.#stay());
        this.comers = Array.from({ length: come }, () => this.#come());
    }
    #open() {
        this.attempts++;
        const ws = new WebSocket(`${this.url}/echo`, { handshakeTimeout: 5000 });
        this.sockets.add(ws);
        ws.on('close', () => this.sockets.delete(ws));
        return new Promise((resolve) => {
            ws.on('error', (error) => {
                if (!this.#left) this.failed.push(error.code || error.message);
                resolve(null);
            });
            ws.on('open', () => { this.served++; resolve(ws); });
        });
    }
    async #stay() {
        const ws = await this.#open();
        if (!ws) return;
        this.staying++;
        ws.on('close', (code) => {
            this.staying--;
            if (this.#left) return;
            this.codes[code] = (this.codes[code] || 0) + 1;
            this.told.push(Date.now());
            this.#stay();
        });
    }
    async #come() {
        while (!this.#left) {
            const ws = await this.#open();
            if (!ws) continue;
            const echo = new Promise((resolve) => {
                ws.on('message', () => { this.echoes++; resolve(); });
                ws.on('close', resolve);
            });
            ws.send('hello');
            await echo;
            ws.close();
        }
    }
    async leave() {
        this.#left = true;
        for (const ws of this.sockets) ws.terminate();
        await Promise.all(this.comers);
    }
}

/* supervise.c, and what it started. */
async function supervisor(t, ...args) {
    const program = start(t, need_binary('net_supervise'), [need_binary('net_host'),
        'listen_fd=systemd', ...args], { stdio: ['pipe', 'pipe', 'inherit'] });
    const pids = [];
    t.after(() => { for (const pid of pids) try { process.kill(pid, 'SIGKILL'); } catch {} });
    const port = await word(program, /port (\d+)\n/);
    const next = async () => {
        program.output = '';
        program.child.stdin.write('\n');
        const pid = await word(program, /pid (\d+)\n/);
        pids.push(pid);
        await word(program, /(http:)/); /* it listens */
        return pid;
    };
    return { port, url: `ws://127.0.0.1:${port}`, next };
}
async function word(program, pattern) {
    await until(`${pattern}`, () => pattern.test(program.output));
    const found = pattern.exec(program.output)[1];
    return Number(found) || found;
}
const lives = (pid) => { try { return process.kill(pid, 0); } catch { return false; } };
const gone = (pid, ms) => until(`an end of ${pid}`, () => !lives(pid), ms);

test('three restarts under load on one socket: no connection is refused', async (t) => {
    const s = await supervisor(t, 'drain=1000');
    let pid = await s.next();
    const crowd = new Crowd(t, s.url, { stay: 150, come: 4 });
    for (let i = 0; i < 3; i++) {
        const old = pid;
        await until('150 peers', () => crowd.staying === 150);
        pid = await s.next(); /* both take newcomers now */
        process.kill(old, 'SIGTERM');
        await gone(old, 5000);
        await until('all of its peers', () => crowd.told.length >= 150 * (i + 1));
    }
    await until('all are served', () => crowd.served + crowd.failed.length >= crowd.attempts - 4);
    await crowd.leave();
    console.log(`     ${crowd.attempts} attempts in 3 restarts, ${crowd.failed.length} failed;`
        + ` ${crowd.told.length} told to go: ${JSON.stringify(crowd.codes)}`);
    assert.deepEqual(crowd.failed, []);
    assert.deepEqual(Object.keys(crowd.codes), ['1001']);
    assert.equal(crowd.told.length, 450);
}, 40000);

test('after a kill the socket stays open: connections wait for the next process', async (t) => {
    const s = await supervisor(t);
    const pid = await s.next();
    const c = await t.client(`${s.url}/pid`);
    assert.equal(await c.text(), String(pid));
    process.kill(pid, 'SIGKILL');
    await gone(pid, 3000);
    assert.equal((await c.gone()).code, 1006);
    const waiting = new Client(`${s.url}/pid`); /* the kernel lets it in */
    t.after(() => waiting.ws.terminate());
    await pause(100);
    const next = await s.next();
    await within(5000, 'an open', waiting.opened);
    assert.equal(await waiting.text(), String(next));
});

test('azc_shutdown over 2 s closes 200 peers at an even rate', async (t) => {
    const s = await supervisor(t, 'drain=2000');
    const pid = await s.next();
    const crowd = new Crowd(t, s.url, { stay: 200 });
    await until('200 peers', () => crowd.staying === 200);
    await s.next();
    const begin = Date.now();
    process.kill(pid, 'SIGTERM');
    await gone(pid, 6000);
    const parts = Array(8).fill(0), took = Date.now() - begin;
    await until('all of its peers', () => crowd.told.length === 200);
    for (const at of crowd.told) parts[Math.min(7, Math.floor((at - begin) / 250))]++;
    console.log(`     told by quarters of a second: ${parts.join(' ')}; ended after ${took} ms`);
    for (const n of parts) assert(n >= 5 && n <= 60, 'each has 25, but for what the machine does');
    assert(took >= 1900 && took < 5000);
    await until('200 peers again', () => crowd.staying === 200);
    assert.deepEqual(crowd.failed, []);
}, 30000);

test('three processes share a port by SO_REUSEPORT, a third of connections each', async (t) => {
    const first = await host(t, 'reuse_port=1'), { port } = first;
    const all = [first, await host(t, 'reuse_port=1', `port=${port}`),
        await host(t, 'reuse_port=1', `port=${port}`)];
    const shares = Object.fromEntries(all.map(({ child }) => [child.pid, 0]));
    for (let i = 0; i < 30; i++) {
        const some = Array.from({ length: 50 }, () => new Client(`${first.ws}/pid`));
        for (const c of some) shares[await c.text()]++;
        for (const c of some) c.ws.terminate();
    }
    const counts = Object.values(shares);
    console.log(`     1500 connections: ${counts.join(' ')}`);
    assert.equal(counts.reduce((a, b) => a + b), 1500);
    for (const n of counts) assert(n > 400 && n < 600, 'a third each: 500, and 5.5 sigma are 100');
});

test('SO_REUSEPORT alone resets no more than the handshakes under way', async (t) => {
    let server = await host(t, 'reuse_port=1', 'drain=300');
    const { port } = server, crowd = new Crowd(t, server.ws, { come: 8 });
    for (let i = 0; i < 5; i++) {
        const next = await host(t, 'reuse_port=1', 'drain=300', `port=${port}`);
        const before = crowd.attempts;
        await until('newcomers', () => crowd.attempts > before + 200);
        await server.stop();
        server.killed = true;
        server = next;
    }
    await crowd.leave();
    console.log(`     ${crowd.attempts} attempts in 5 restarts, ${crowd.failed.length} reset`);
    assert(crowd.attempts >= 1000 && crowd.failed.length <= 5 * 8);
});

/* ---- sockets from systemd and inetd ---------------------------------------------------------- */

const activate = need_program('systemd-socket-activate', 'systemd');

test('app.socket and app.service: the first peer starts the server', async (t) => {
    const port = await free_port();
    const socket = deploy_file('app.socket', [[':4000', `:${port}`]]);
    const service = deploy_file('app.service', [['/usr/local/bin/app', need_binary('net_host')]]);
    const [, listen] = /^ListenStream=(.+)$/m.exec(socket);
    const [, command] = /^ExecStart=(.+)$/m.exec(service);
    start(t, activate, ['-l', listen, command, 'listen_fd=systemd']);
    await answers(port);
    for (let i = 0; i < 3; i++) {
        const c = await t.client(`ws://127.0.0.1:${port}/echo`);
        c.send('hello');
        assert.equal(await c.text(), 'hello');
    }
});

test('app.socket and app.service pass systemd-analyze verify and security', async (t) => {
    const dir = folder(t), files = ['app.socket', 'app.service'].map((name) => `${dir}/${name}`);
    fs.writeFileSync(files[0], deploy_file('app.socket'));
    fs.writeFileSync(files[1], deploy_file('app.service', [['/usr/local/bin/app', '/bin/true']]));
    const analyze = (...args) => {
        const said = spawnSync(need_program('systemd-analyze', 'systemd'), args, {
            encoding: 'utf8', env: { ...process.env, SYSTEMD_UNIT_PATH: `${dir}:` } });
        return { status: said.status, text: said.stdout + said.stderr };
    };
    const verified = analyze('verify', '--man=no', '--recursive-errors=no', ...files);
    assert.deepEqual(verified, { status: 0, text: '' });
    const security = analyze('security', '--offline=true', '--threshold=20', files[1]);
    const level = /exposure level for app.service: ([\d.]+) (\w+)/.exec(security.text);
    console.log(`     systemd-analyze security: ${level?.[1]} of 10, ${level?.[2]}`);
    assert.equal(security.status, 0, security.text);
});

test('inetd nowait: one process per peer, with the socket as stdin', async (t) => {
    const port = await free_port(), url = `127.0.0.1:${port}`;
    start(t, activate, ['-a', '--inetd', '-l', url, need_binary('net_host'), 'listen_fd=inetd']);
    await answers(port);
    const a = await t.client(`ws://${url}/pid`), b = await t.client(`ws://${url}/pid`);
    const pids = [Number(await a.text()), Number(await b.text())];
    assert.notEqual(pids[0], pids[1]);
    a.send('hello');
    assert.equal(await a.text(), 'hello');
    assert.equal((await request(`http://${url}/peer`)).body.toString(), '127.0.0.1');
    assert.deepEqual(await a.close(1000, ''), { code: 1000, reason: '' });
    await until('an end of its process', () => !lives(pids[0]));
    assert(lives(pids[1]));
    b.ws.terminate();
    await until('an end of the other', () => !lives(pids[1]));
});

await run('restart.mjs');
