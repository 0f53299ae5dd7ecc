/* http.mjs: a page and files from azchan.h beside nginx, with one worker and its defaults of Debian:
 * the CPU time that each takes for a request, or for a megabyte of a large file. Rounds alternate
 * the order; the figures are medians. The servers are on one core and the load is on another, because
 * the kernel does a part of a receiver's work in the time of a sender on the same core.
 *
 *     make bench-http, or: BUILD=... node tests/bench/http.mjs [rounds] */

import { spawn, spawnSync } from 'node:child_process';
import fs from 'node:fs';
import net from 'node:net';
import path from 'node:path';

const build = process.env.BUILD || 'build', rounds = Number(process.argv[2] || 7);
const dir = fs.mkdtempSync(path.join(build, 'http-')), www = path.join(dir, 'www');
const LARGE = 100_000_000;

function program(name, from) {
    const dirs = `${process.env.PATH}:/usr/sbin`.split(':');
    const file = dirs.map((d) => path.join(d, name)).find((f) => fs.existsSync(f));
    if (!file) throw new Error(`${name} is missing: install ${from}`);
    return file;
}
const freePort = () => new Promise((resolve) => {
    const server = net.createServer().listen(0, '127.0.0.1', () => {
        const { port } = server.address();
        server.close(() => resolve(port));
    });
});
const pause = (ms) => new Promise((resolve) => { setTimeout(resolve, ms); });
const answers = async (port) => {
    for (let i = 0; i < 100; i++) {
        const up = await new Promise((resolve) => {
            const socket = net.connect(port, '127.0.0.1');
            socket.on('connect', () => { socket.destroy(); resolve(true); });
            socket.on('error', () => resolve(false));
        });
        if (up) return;
        await pause(50);
    }
    throw new Error(`nobody answers at port ${port}`);
};
const cpu = (pid) => Number(fs.readFileSync(`/proc/${pid}/schedstat`, 'utf8').split(' ')[0]) / 1000;
const median = (list) => list.sort((a, b) => a - b)[list.length >> 1];

function load(command, args, pattern) {
    const { stdout, stderr, status } = spawnSync('taskset', ['-c', '1', command, ...args],
        { encoding: 'utf8' });
    const found = pattern.exec(stdout);
    if (status !== 0 || !found || /Non-2xx|Socket errors/.test(stdout)) {
        throw new Error(`${command} ${args.join(' ')}: ${stdout}${stderr}`);
    }
    return Number(found[1]);
}
const wrk = (url) => load('wrk', ['-t1', '-c16', '-d1', url], /(\d+) requests in/);
const ab = (url) => load('ab', ['-q', '-n', '10000', '-c', '16', url],
    /Complete requests: +(\d+)\n(?=[^]*Failed requests: +0\n)/);
const large = (url) => {
    load('curl', ['-s', '-o', '/dev/null', '-w', '%{size_download}', url], /^100000000()$/);
    return LARGE / 1e6;
};

const rows = [
    ['1 KiB from memory, kept', '/memory/1k.html', wrk],
    ['16 KiB from memory, kept', '/memory/16k.html', wrk],
    ['1 KiB from a folder, kept', '/1k.html', wrk],
    ['16 KiB from a folder, kept', '/16k.html', wrk],
    ['1 KiB from memory, closed', '/memory/1k.html', ab],
    ['16 KiB from memory, closed', '/memory/16k.html', ab],
    ['1 KiB from a folder, closed', '/1k.html', ab],
    ['16 KiB from a folder, closed', '/16k.html', ab],
    ['100 MB from a folder, a MB', '/large.bin', large],
];

fs.chmodSync(dir, 0o755); // nginx's worker is another user
fs.mkdirSync(path.join(www, 'memory'), { recursive: true });
for (const [name, size] of [['1k.html', 1024], ['16k.html', 16384], ['large.bin', LARGE]]) {
    fs.writeFileSync(path.join(www, name), Buffer.alloc(size, 'p'));
    if (size < LARGE) fs.writeFileSync(path.join(www, 'memory', name), Buffer.alloc(size, 'p'));
}
const ports = [await freePort(), await freePort()];
fs.writeFileSync(path.join(dir, 'nginx.conf'), `
    daemon off; worker_processes 1; pid ${path.resolve(dir)}/pid;
    events { worker_connections 768; }
    http { sendfile on; tcp_nopush on; types_hash_max_size 2048; access_log off;
        types { text/html html; } default_type application/octet-stream;
        keepalive_requests 1000000000;
        server { listen 127.0.0.1:${ports[1]}; root ${path.resolve(www)}; } }`);
const children = [
    spawn('taskset', ['-c', '0', path.join(build, 'bench/http'), String(ports[0]), www],
        { stdio: 'inherit' }),
    spawn('taskset', ['-c', '0', program('nginx', 'nginx-light'), '-p', path.resolve(dir), '-c',
        path.resolve(dir, 'nginx.conf'), '-e', path.resolve(dir, 'error.log')]),
];
try {
    for (const name of ['wrk', 'ab', 'curl']) program(name, name === 'ab' ? 'apache2-utils' : name);
    await Promise.all(ports.map(answers));
    const worker = spawnSync('pgrep', ['-P', String(children[1].pid)], { encoding: 'utf8' });
    const servers = [['azchan.h', children[0].pid, ports[0]],
        ['nginx', Number(worker.stdout.split('\n')[0]), ports[1]]];
    console.log('CPU, us a request'.padEnd(34), 'azchan.h    nginx');
    for (const [name, target, generate] of rows) {
        const times = [[], []];
        for (let round = 0; round < rounds; round++) {
            for (let i = 0; i < 2; i++) {
                const at = (round + i) % 2, [, pid, port] = servers[at];
                const before = cpu(pid), count = generate(`http://127.0.0.1:${port}${target}`);
                times[at].push((cpu(pid) - before) / count);
            }
        }
        const [ours, theirs] = times.map(median);
        console.log(name.padEnd(33), ours.toFixed(1).padStart(9), theirs.toFixed(1).padStart(8),
            `  ${(100 * ours / theirs).toFixed(0)} %`);
    }
} finally {
    for (const child of children) child.kill();
    await pause(300);
    fs.rmSync(dir, { recursive: true, force: true });
}
