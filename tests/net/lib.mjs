/* lib.mjs: the real programs that the tests of this folder stand around a server: each started and
 * stopped by its test, with a port that was free and a folder that goes when the test ends. */

import { spawn, spawnSync } from 'node:child_process';
import fs from 'node:fs';
import net from 'node:net';
import path from 'node:path';
import {
    assert, build, free_port, give_up, need_package, root, Server, until, within,
} from '../interop/lib.mjs';

export * from '../interop/lib.mjs';

/* A folder of the test's own, under BUILD. */
export function folder(t) {
    fs.mkdirSync(path.join(build, 'net'), { recursive: true });
    const dir = fs.mkdtempSync(path.join(build, 'net', 'run-'));
    t.after(() => fs.rmSync(dir, { recursive: true, force: true }));
    return dir;
}

export function need_program(name, from) {
    const dirs = `${process.env.PATH}:/usr/sbin:/usr/local/sbin`.split(':');
    const file = dirs.map((dir) => path.join(dir, name)).find((f) => fs.existsSync(f));
    return file || give_up(`${name} is missing: install ${from}`);
}

/* A program that runs until it is stopped, SIGKILL at the latest. */
const running = new Set();
process.on('exit', () => { for (const child of running) child.kill('SIGKILL'); });
export function start(t, file, args, options = {}) {
    const child = spawn(file, args, { stdio: ['ignore', 'pipe', 'pipe'], ...options });
    const program = { child, output: '' };
    running.add(child);
    for (const pipe of [child.stdout, child.stderr]) {
        pipe?.setEncoding('utf8').on('data', (text) => { program.output += text; });
    }
    program.ended = new Promise((resolve) => {
        child.on('error', (error) => resolve(String(error)));
        child.on('exit', (code, signal) => resolve(code ?? signal));
    }).then((end) => { running.delete(child); return end; });
    program.stop = async (signal = 'SIGTERM') => {
        child.kill(signal);
        child.kill('SIGCONT');
        const late = setTimeout(() => child.kill('SIGKILL'), 3000);
        const end = await program.ended;
        clearTimeout(late);
        return end;
    };
    t.after(() => program.stop());
    return program;
}

/* A server of this folder's host.c, which is stopped with the test. */
export function host(t, ...args) {
    return t.server('net_host', ...args);
}

/* A file of examples/deploy as it is, except for the ports, names and paths of this machine. */
export function deploy_file(name, changes = []) {
    let text = fs.readFileSync(path.join(root, 'examples/deploy', name), 'utf8');
    for (const [from, to] of changes) {
        assert(text.includes(from), `examples/deploy/${name} contains "${from}"`);
        text = text.replaceAll(from, to);
    }
    return text;
}

export function answers(port) {
    return until(`an answer at port ${port}`, () => new Promise((resolve) => {
        const socket = net.connect(port, '127.0.0.1');
        socket.on('connect', () => { socket.destroy(); resolve(true); });
        socket.on('error', () => resolve(false));
    }));
}

/* A certificate for localhost, its own authority. */
export function certificate(dir) {
    const made = spawnSync(need_program('openssl', 'openssl'), ['req', '-x509', '-newkey', 'ec',
        '-pkeyopt', 'ec_paramgen_curve:prime256v1', '-nodes', '-days', '1', '-subj',
        '/CN=localhost', '-addext', 'subjectAltName=DNS:localhost,IP:127.0.0.1',
        '-keyout', `${dir}/key.pem`, '-out', `${dir}/cert.pem`], { encoding: 'utf8' });
    if (made.status !== 0) throw new Error(`openssl: ${made.stderr}`);
    const cert = `${dir}/cert.pem`;
    return { key: `${dir}/key.pem`, cert, ca: fs.readFileSync(cert) };
}

/* Headless Chromium; what it writes goes into a folder that goes. */
export async function start_browser(t) {
    const home = folder(t), { chromium } = need_package('playwright-core');
    const browser = await chromium.launch({
        executablePath: need_program(process.env.CHROMIUM || 'chromium', 'chromium'),
        args: ['--headless', '--no-sandbox', '--disable-gpu', '--no-first-run',
            '--disable-background-networking', '--disable-component-update', '--disable-sync'],
        env: { ...process.env, HOME: home, TMPDIR: home, XDG_CONFIG_HOME: home,
            XDG_CACHE_HOME: home },
        timeout: 30000,
    });
    t.after(() => browser.close());
    return browser;
}

/* curl's output and status. */
export function ask(...args) {
    return within(20000, `curl ${args.join(' ')}`, new Promise((resolve) => {
        const child = spawn(need_program('curl', 'curl'), ['-s', '-w', '\n%{http_code}', ...args]);
        let said = '', words = '';
        child.stdout.setEncoding('utf8').on('data', (text) => { said += text; });
        child.stderr.setEncoding('utf8').on('data', (text) => { words += text; });
        child.on('close', (code) => {
            const at = said.lastIndexOf('\n');
            resolve({ code, body: said.slice(0, at), status: Number(said.slice(at + 1)), words });
        });
    }));
}

/* Ways to a server, by default host.c: itself, and proxies that keep connections and pass bodies on
 * as they come. */
export async function ways(t, given = host(t)) {
    const dir = folder(t), server = await given;
    const ports = [await free_port(), await free_port()];
    const temp = ['client_body', 'proxy', 'fastcgi', 'uwsgi', 'scgi']
        .map((name) => `${name}_temp_path ${dir}/${name};`).join(' ');
    fs.writeFileSync(`${dir}/nginx.conf`, `
        daemon off; master_process off; pid ${dir}/pid; error_log ${dir}/error.log;
        events { worker_connections 64; }
        http { access_log off; ${temp} client_max_body_size 0;
            upstream app { server ${server.host}; keepalive 4; }
            server { listen 127.0.0.1:${ports[0]};
                location / { proxy_pass http://app; proxy_http_version 1.1;
                    proxy_set_header Connection ""; proxy_request_buffering off; } } }`);
    fs.writeFileSync(`${dir}/haproxy.cfg`, `
        defaults
            mode http
            timeout connect 5s
            timeout client 5s
            timeout server 5s
            http-reuse always
        listen all
            bind 127.0.0.1:${ports[1]}
            server one ${server.host}\n`);
    start(t, need_program('nginx', 'nginx-light'),
        ['-p', dir, '-c', `${dir}/nginx.conf`, '-e', `${dir}/error.log`]);
    start(t, need_program('haproxy', 'haproxy'), ['-f', `${dir}/haproxy.cfg`, '-db']);
    await Promise.all(ports.map(answers));
    return { dir, server, list: [['itself', server.port], ['nginx', ports[0]],
        ['HAProxy', ports[1]]] };
}

export { fs, net, path, Server, spawn, spawnSync, within };
