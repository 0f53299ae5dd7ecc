/* lib.mjs: what the interop scripts share. A runner, servers in their own processes, clients. */

import { strict as assert } from 'node:assert';
import { spawn } from 'node:child_process';
import { existsSync } from 'node:fs';
import { createRequire } from 'node:module';
import http from 'node:http';
import net from 'node:net';
import path from 'node:path';
import { setTimeout as pause } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';

export const here = path.dirname(fileURLToPath(import.meta.url));
export const root = path.resolve(here, '../..');
export const build = path.resolve(process.env.BUILD || path.join(root, 'build'));
export { assert, pause };

export function give_up(word) {
    console.error(`check-interop: ${word}`);
    process.exit(2);
}

/* An npm package. Nothing is ever installed from here: say what is missing instead. */
export function need_package(name) {
    try {
        return createRequire(import.meta.url)(name);
    } catch (error) {
        if (error.code !== 'MODULE_NOT_FOUND') throw error;
        return give_up(`npm's ${name} is not here: run \`npm ci\` in tests/interop first`);
    }
}

export function need_binary(name) {
    const file = path.join(build, name);
    if (!existsSync(file)) give_up(`${file} is not here: run \`make\` first`);
    return file;
}

/* ---- Time: every wait has an end ------------------------------------------------------------ */

export function within(ms, what, promise) {
    let timer;
    const late = new Promise((_, reject) => {
        timer = setTimeout(() => reject(new Error(`${ms} ms without ${what}`)), ms);
    });
    return Promise.race([promise, late]).finally(() => clearTimeout(timer));
}

export async function until(what, check, ms = 10000) {
    for (const end = Date.now() + ms; Date.now() < end; await pause(20)) {
        if (await check()) return;
    }
    throw new Error(`${ms} ms without ${what}`);
}

/* ---- Runner: one line each, what a test opened is closed behind it -------------------------- */

const tests = [];

export function test(name, body, ms = 30000) {
    tests.push({ name, body, ms });
}

class Scope {
    #undo = [];
    servers = [];
    after(undo) { this.#undo.push(undo); }
    async server(name, ...args) {
        const server = await Server.start(need_binary(name), args);
        this.servers.push(server);
        this.after(() => server.stop());
        return server;
    }
    async client(url, options) {
        const client = new Client(url, options);
        this.after(() => client.ws.terminate());
        await client.opened;
        return client;
    }
    async end() {
        for (const undo of this.#undo.reverse()) await undo();
    }
}

/* In order, so many at a time. Arguments on the command line pick tests by a part of their name. */
export async function run(title, { end = async () => {}, lanes = 1 } = {}) {
    const picks = process.argv.slice(2);
    const chosen = tests.filter(({ name }) => !picks.length || picks.some((p) => name.includes(p)));
    const start = Date.now();
    let failed = 0;
    const run_one = async ({ name, body, ms }) => {
        const scope = new Scope();
        const begun = Date.now();
        let error = null;
        await within(ms, 'an end of the test', body(scope)).catch((e) => { error = e; });
        await within(20000, 'an end of the clean-up', scope.end()).catch((e) => { error ||= e; });
        console.log(`${error ? 'FAIL' : 'ok  '} ${name} (${Date.now() - begun} ms)`);
        if (error) {
            failed++;
            const said = scope.servers.map((server) => server.last_words());
            console.log([error.stack, ...said].join('\n').replace(/^/gm, '       '));
        }
    };
    const queue = [...chosen];
    const lane = async () => {
        for (let one; (one = queue.shift());) await run_one(one);
    };
    await Promise.all(Array.from({ length: lanes }, lane));
    await within(10000, 'an end', end()).catch((error) => { failed++; console.log(error.stack); });
    const seconds = ((Date.now() - start) / 1000).toFixed(1);
    console.log(`${title}: ${chosen.length - failed} passed, ${failed} failed, ${seconds} s`);
    process.exit(failed || !chosen.length ? 1 : 0);
}

/* ---- Servers -------------------------------------------------------------------------------- */

const living = new Set();
process.on('exit', () => { for (const child of living) child.kill('SIGKILL'); });
for (const signal of ['SIGINT', 'SIGTERM']) process.on(signal, () => process.exit(1));

/* One process of an example. It is told its port (0: any) and prints its address, the first line
   of its stdout. */
export class Server {
    static async start(file, args = ['0'], stdin = 'ignore') {
        const server = new Server();
        server.file = file;
        server.output = '';
        server.child = spawn(file, args, { stdio: [stdin, 'pipe', 'pipe'] });
        living.add(server.child);
        server.ended = new Promise((resolve) => {
            server.child.on('error', (error) => resolve({ code: null, signal: String(error) }));
            server.child.on('exit', (code, signal) => resolve({ code, signal }));
        }).then((end) => { living.delete(server.child); return end; });
        const address = new Promise((resolve, reject) => {
            let line = '';
            server.child.stdout.setEncoding('utf8').on('data', (text) => {
                server.output += text;
                const found = /^(?:http|ws):\/\/\S+:(\d+)\S*\n/.exec(line += text);
                if (found) resolve(Number(found[1]));
            });
            server.child.stderr.setEncoding('utf8').on('data', (text) => {
                server.output += text;
            });
            server.ended.then((end) => reject(new Error(
                `an end (${end.code ?? end.signal}) before an address. ${server.last_words()}`)));
        });
        server.port = await within(5000, `an address from ${file}`, address);
        server.host = `127.0.0.1:${server.port}`;
        server.http = `http://${server.host}`;
        server.ws = `ws://${server.host}`;
        return server;
    }

    /* SIGTERM, and a clean exit. Twice is once. */
    async stop() {
        if (this.killed) return;
        this.child.kill('SIGTERM');
        const end = await within(8000, `an exit of ${this.file} after SIGTERM`, this.ended);
        assert.deepEqual(end, { code: 0, signal: null }, `the exit of ${this.file}`);
    }

    last_words() { return `${this.file} said: ...${this.output.slice(-1500)}`; }

    async kill() {
        this.killed = true;
        this.child.kill('SIGKILL');
        await within(5000, `an end of ${this.file} after SIGKILL`, this.ended);
    }
}

/* A port that was free a moment ago, for programs whose port is in their source. */
export function free_port() {
    return new Promise((resolve, reject) => {
        const probe = net.createServer().on('error', reject);
        probe.listen(0, '127.0.0.1', () => {
            const { port } = probe.address();
            probe.close(() => resolve(port));
        });
    });
}

/* ---- Clients: npm's ws, its events as things to wait for ------------------------------------ */

export class Client {
    #waiting = [];
    #inbox = [];

    /* Extensions are offered unless perMessageDeflate is false; none may ever be granted. */
    constructor(url, { protocols = [], ...options } = {}) {
        const WebSocket = need_package('ws');
        const ws = new WebSocket(url, protocols, { handshakeTimeout: 5000, ...options });
        this.ws = ws;
        this.url = url;
        ws.on('message', (data, binary) => this.#take({ data, binary }));
        ws.on('error', (error) => { this.error = error; });
        this.closed = new Promise((resolve) => ws.on('close', (code, reason) => {
            resolve({ code, reason: String(reason) });
        }));
        this.opened = new Promise((resolve, reject) => {
            ws.on('open', () => {
                try {
                    assert.equal(ws.extensions, '', 'no extension is granted');
                    assert.equal(ws.protocol, '', 'no subprotocol is granted');
                    resolve(this);
                } catch (error) { reject(error); }
            });
            ws.on('error', reject);
        });
        this.opened.catch(() => {});
    }

    #take(message) {
        const waiter = this.#waiting.shift();
        if (waiter) waiter(message);
        else this.#inbox.push(message);
    }

    send(data, options) { this.ws.send(data, options); }
    say(object) { this.ws.send(JSON.stringify(object)); }

    async next(ms = 5000) {
        if (this.#inbox.length) return this.#inbox.shift();
        return within(ms, `a message on ${this.url}`, new Promise((resolve) => {
            this.#waiting.push(resolve);
        }));
    }
    async text(ms) {
        const { data, binary } = await this.next(ms);
        assert.equal(binary, false, 'a text message');
        return String(data);
    }
    async binary(ms) {
        const { data, binary } = await this.next(ms);
        assert.equal(binary, true, 'a binary message');
        return data;
    }
    async json(expected) {
        const value = JSON.parse(await this.text());
        if (expected) assert.deepEqual(value, expected);
        return value;
    }

    async pong(data = '') {
        const answer = new Promise((resolve) => this.ws.once('pong', resolve));
        this.ws.ping(data);
        return within(5000, `a pong on ${this.url}`, answer);
    }

    /* Nothing came: frames are in order, so what was sent before this pong would be here. */
    async quiet() {
        await this.pong('quiet?');
        assert.deepEqual(this.#inbox.map(({ data }) => String(data).slice(0, 200)), []);
    }

    async close(code, reason) {
        this.ws.close(code, reason);
        return this.gone();
    }
    gone(ms = 5000) { return within(ms, `a close of ${this.url}`, this.closed); }
}

/* The HTTP answer that a WebSocket handshake met instead of a 101. */
export function refused(url, { protocols = [], ...options } = {}) {
    const WebSocket = need_package('ws');
    const ws = new WebSocket(url, protocols, { handshakeTimeout: 5000, ...options });
    return within(6000, `an answer of ${url}`, new Promise((resolve, reject) => {
        ws.on('open', () => { ws.terminate(); reject(new Error(`${url} was let in`)); });
        ws.on('unexpected-response', (_, res) => resolve(answer(res)));
        ws.on('error', reject);
    }));
}

async function answer(res) {
    const parts = [];
    for await (const part of res) parts.push(part);
    return { status: res.statusCode, headers: res.headers, body: Buffer.concat(parts) };
}

/* A plain request. An upgrade that is granted answers 101 and is cut. */
export function request(url, { method = 'GET', headers = {}, agent = false } = {}) {
    return within(6000, `an answer to ${method} ${url}`, new Promise((resolve, reject) => {
        const req = http.request(url, { method, headers, agent }, (res) => {
            answer(res).then((a) => resolve({ ...a, reused: req.reusedSocket }), reject);
        });
        req.on('upgrade', (res, socket) => {
            socket.destroy();
            resolve({ status: res.statusCode, headers: res.headers });
        });
        req.on('error', reject);
        req.end();
    }));
}

/* ---- Links that break ----------------------------------------------------------------------- */

/* A TCP proxy that can stop forwarding without closing, as a phone's dead link; forward nothing to
 * its clients (mute); cut all its links; and be away. */
export async function proxy(t, port) {
    const sockets = new Set();
    const one = { away: false, mute: false, accepted: 0, port: 0 };
    const server = net.createServer((near) => {
        if (one.away) return near.destroy();
        const far = net.connect(port, '127.0.0.1');
        one.accepted++;
        for (const [from, to] of [[near, far], [far, near]]) {
            sockets.add(from);
            from.on('data', (data) => {
                if (!from.dead && !to.dead && !(one.mute && to === near)) to.write(data);
            });
            from.on('close', () => { sockets.delete(from); if (!from.dead) to.destroy(); });
            from.on('error', () => {});
        }
    });
    one.freeze = () => { for (const socket of sockets) socket.dead = true; };
    one.cut = () => { for (const socket of sockets) socket.destroy(); };
    await new Promise((resolve) => { server.listen(0, '127.0.0.1', resolve); });
    one.port = server.address().port;
    t.after(() => { for (const socket of sockets) socket.destroy(); server.close(); });
    return one;
}
