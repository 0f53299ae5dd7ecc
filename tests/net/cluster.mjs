/* cluster.mjs: examples/cluster.c in several processes, and a real redis-server that is killed,
 * stopped and slow. Every message is counted at every member: none twice, none out of its
 * publisher's order, and none missing where nothing may be.
 *
 *     make check-cluster, or: BUILD=... node tests/net/cluster.mjs [part of a test's name ...] */

import { spawnSync } from 'node:child_process';
import {
    answers, assert, folder, free_port, need_binary, need_program, pause, run, start, start_browser,
    test, until,
} from './lib.mjs';

need_binary('cluster');
const redis_server = need_program('redis-server', 'redis-server');
const redis_cli = need_program('redis-cli', 'redis-tools');

/* ---- Redis, and processes of the chat ------------------------------------------------------- */

class Redis {
    static async start(t, { port, password } = {}) {
        const redis = new Redis();
        redis.port = port || await free_port();
        redis.password = password;
        redis.program = start(t, redis_server, ['--port', redis.port, '--bind', '127.0.0.1',
            '--save', '', '--appendonly', 'no', '--dir', folder(t),
            ...(password ? ['--requirepass', password] : [])]);
        await answers(redis.port);
        return redis;
    }
    ask(...words) {
        const auth = this.password ? ['--no-auth-warning', '-a', this.password] : [];
        const said = spawnSync(redis_cli, ['-p', this.port, ...auth, ...words],
            { encoding: 'utf8', timeout: 5000 });
        return said.stdout.trim();
    }
    /* How many processes hear a room. */
    hearers(room, database = 0) {
        return Number(this.ask('PUBSUB', 'NUMSUB', `azchan:${database}:${room}`).split('\n')[1]);
    }
    heard(room, n, database) {
        return until(`${n} processes in ${room}`, () => this.hearers(room, database) === n);
    }
    async kill() {
        this.program.child.kill('SIGKILL');
        await this.program.ended;
    }
}

async function nodes(t, redis, n, ...args) {
    return Promise.all(Array.from({ length: n }, async () => {
        const node = await t.server('cluster', '-p', String(redis.port), ...args, '0');
        await until('a greeting by redis', () => node.output.includes('redis is here'));
        return node;
    }));
}

/* ---- Members, who count ---------------------------------------------------------------------- */

/* Who said what in which room, each once: content is { from, n }, n from 0 on in each room. */
class Member {
    static count = 0;
    static async come(t, node, ...rooms) {
        const member = new Member();
        member.id = Member.count++;
        member.node = node;
        member.rooms = new Set(rooms);
        member.said = {};
        member.last = {};    /* "room from": the last n */
        member.got = 0;
        member.gaps = 0;     /* numbers that never came */
        member.bad = [];     /* what came twice, or out of order, or to the wrong room */
        member.client = await t.client(`${node.ws}/chat`);
        member.client.ws.removeAllListeners('message');
        member.client.ws.on('message', (data) => member.take(JSON.parse(data)));
        for (const room of rooms) member.client.say({ type: 'join', room });
        return member;
    }
    take({ type, room, content: { from, n } }) {
        const last = this.last[`${room} ${from}`] ?? -1;
        if (type !== 'message' || !this.rooms.has(room) || n <= last) {
            this.bad.push(`${room} ${from} ${n} after ${last}`);
        }
        this.gaps += n - last - 1;
        this.last[`${room} ${from}`] = n;
        this.got++;
    }
    speak(room, more = {}) {
        const n = this.said[room] = (this.said[room] ?? -1) + 1;
        this.client.say({ type: 'message', room, content: { from: this.id, n, ...more } });
    }
    has_all_of(others, room) {
        return others.every(({ id, said }) => this.last[`${room} ${id}`] === said[room]);
    }
    settled() { return this.client.pong('?'); }
}
const sum = (members, what) => members.reduce((total, member) => total + member[what], 0);
const sound = (members) => assert.deepEqual(members.flatMap(({ bad }) => bad), []);

/* ---- The tests ------------------------------------------------------------------------------- */

test('three processes, 300 clients, overlapping rooms: each message once, in order', async (t) => {
    const redis = await Redis.start(t), chat = await nodes(t, redis, 3);
    const rooms = (i) => [`r${i % 20}`, `r${(i * 7 + 3) % 20}`, `räum ${i % 3}`];
    const members = [];
    for (let i = 0; i < 300; i++) members.push(await Member.come(t, chat[i % 3], ...rooms(i)));
    await Promise.all(members.map((member) => member.settled()));
    const all = [...new Set(members.flatMap((member) => [...member.rooms]))];
    for (const room of all) {
        const where = new Set(members.filter((m) => m.rooms.has(room)).map((m) => m.node));
        await redis.heard(room, where.size);
    }
    const size = Object.fromEntries(all.map((room) =>
        [room, members.filter((m) => m.rooms.has(room)).length]));
    let sent = 0, due = 0;
    for (let round = 0; round < 3; round++) {
        for (const member of members) {
            for (const room of member.rooms) {
                member.speak(room);
                sent++;
                due += size[room];
            }
        }
        await pause(20);
    }
    await until(`${due} messages`, () => sum(members, 'got') >= due, 30000);
    await pause(300);
    console.log(`     ${sent} sent in ${all.length} rooms, ${sum(members, 'got')} received,`
        + ` ${due} due`);
    sound(members);
    assert.equal(sum(members, 'got'), due);
    assert.equal(sum(members, 'gaps'), 0);
}, 60000);

test('a room is subscribed to while it has members here, and only then', async (t) => {
    const redis = await Redis.start(t), [one, two] = await nodes(t, redis, 2);
    const a = await Member.come(t, one, 'x'), b = await Member.come(t, one, 'x');
    await redis.heard('x', 1);
    const c = await Member.come(t, two, 'x', 'y');
    await redis.heard('x', 2);
    await redis.heard('y', 1);
    a.client.say({ type: 'leave', room: 'x' });
    await a.settled();
    assert.equal(redis.hearers('x'), 2);
    await b.client.close();
    await redis.heard('x', 1);
    c.client.ws.terminate();
    await redis.heard('x', 0);
    assert.equal(redis.ask('PUBSUB', 'CHANNELS'), 'azchan:0:lobby', 'which keeps its messages');
});

test('password and database come from the command line, and databases do not mix', async (t) => {
    const redis = await Redis.start(t, { password: 's3cret word' });
    const wrong = await t.server('cluster', '-p', String(redis.port), '-a', 'other', '0');
    await until('a refusal in the log', () => wrong.output.includes('gone (WRONGPASS'));
    const none = await t.server('cluster', '-p', String(redis.port), '0');
    await until('a refusal in the log', () => none.output.includes('gone (NOAUTH'));
    const [zero] = await nodes(t, redis, 1, '-a', redis.password);
    const [one, also] = await nodes(t, redis, 2, '-a', redis.password, '-n', '1');
    const members = [];
    for (const node of [zero, one, also]) members.push(await Member.come(t, node, 'x'));
    await redis.heard('x', 1, 0);
    await redis.heard('x', 2, 1);
    members[1].speak('x');
    await until('a message', () => members[2].got === 1);
    await pause(100);
    assert.deepEqual(members.map(({ got }) => got), [0, 1, 1]);
    assert.match(redis.ask('CLIENT', 'LIST'), /db=1 .*resp=3/);
});

/* Everybody speaks all the time, until told to stop. */
function babble(members, room) {
    const timer = setInterval(() => members.forEach((member) => member.speak(room)), 20);
    return () => clearInterval(timer);
}

test('redis is killed and restarted: local rooms go on, nothing comes twice', async (t) => {
    const redis = await Redis.start(t), chat = await nodes(t, redis, 3), members = [];
    for (let i = 0; i < 30; i++) members.push(await Member.come(t, chat[i % 3], 'x'));
    await redis.heard('x', 3);
    const hush = babble(members, 'x');
    await pause(500);
    await redis.kill();
    await until('it in the logs', () => chat.every((n) => n.output.includes('redis is gone')));
    const before = members.map(({ got }) => got);
    await pause(1800);
    members.forEach((member, i) => assert(member.got - before[i] > 500, 'local rooms go on'));
    const again = await Redis.start(t, { port: redis.port });
    await until('it back in the logs', () => chat.every(({ output }) =>
        /gone[^]*here; [1-9]\d* messages/.test(output)), 15000);
    await again.heard('x', 3);
    hush();
    await Promise.all(members.map((member) => member.settled()));
    await pause(300);
    for (const member of members) { /* in its own process nothing is ever missed */
        const near = members.filter(({ node }) => node === member.node);
        assert(member.has_all_of(near, 'x'));
    }
    for (const member of members) member.speak('x'); /* and now all hear all again */
    await until('all of the last', () => members.every((m) => m.has_all_of(members, 'x')));
    sound(members);
    const missed = sum(members, 'gaps');
    const stayed = chat.map(({ output }) => Number(/gone[^]*here; (\d+)/.exec(output)[1]));
    const pauses = [...chat[0].output.matchAll(/attempt in (\d+) ms/g)].map((m) => Number(m[1]));
    console.log(`     ${sum(members, 'got')} received; ${stayed.join(' ')} stayed local, each at 20`
        + ` members elsewhere; ${missed} missed there; pauses ${pauses.join(' ')} ms`);
    assert(missed > 0 && pauses.length >= 4);
    for (let i = 1; i < pauses.length; i++) assert.equal(pauses[i], pauses[i - 1] * 2);
    const near = stayed.reduce((a, b) => a + b) * 20;
    assert(missed >= near, 'what stayed was missed elsewhere');
    assert(missed - near < 30 * 20 * 20, 'and little more: what was under way');
}, 60000);

test('a process is killed: the others miss nothing, and its peers go on elsewhere', async (t) => {
    const redis = await Redis.start(t), chat = await nodes(t, redis, 3), members = [];
    for (let i = 0; i < 30; i++) members.push(await Member.come(t, chat[i % 3], 'x'));
    await redis.heard('x', 3);
    const stay = members.filter(({ node }) => node !== chat[0]);
    const hush = babble(stay, 'x');
    await pause(300);
    await chat[0].kill();
    await redis.heard('x', 2);
    for (let i = 0; i < 10; i++) stay.push(await Member.come(t, chat[1 + i % 2], 'x'));
    await pause(300);
    hush();
    await until('all of the last', () => stay.every((m) => m.has_all_of(stay.slice(0, 20), 'x')));
    sound(members);
    sound(stay);
    assert.equal(sum(stay.slice(0, 20), 'gaps'), 0);
}, 30000);

test('a slow redis: local rooms do not wait, and nothing comes twice', async (t) => {
    const redis = await Redis.start(t), chat = await nodes(t, redis, 3), members = [];
    for (let i = 0; i < 6; i++) members.push(await Member.come(t, chat[i % 3], 'x'));
    await redis.heard('x', 3);
    redis.program.child.kill('SIGSTOP');
    const [loud, , , near] = members, filler = 'x'.repeat(50000);
    let slowest = 0;
    for (let i = 0; i < 300; i++) { /* 15 MB: more than the kernel and the queue take */
        const begin = performance.now();
        loud.speak('x', { filler });
        await until('it nearby', () => near.has_all_of([loud], 'x'));
        slowest = Math.max(slowest, performance.now() - begin);
    }
    await until('it in the log', () => chat[0].output.includes('redis is slow'));
    assert.equal(near.gaps, 0);
    assert.equal(members[1].got, 0, 'the others hear nothing yet');
    redis.program.child.kill('SIGCONT');
    await pause(500);
    await until('redis answers', () => redis.hearers('x') === 3);
    const before = members[1].got;
    for (const member of members) member.speak('x');
    await until('all of the last', () => members.every((m) => m.has_all_of(members, 'x')));
    sound(members);
    console.log(`     300 spoken, each heard nearby within ${slowest.toFixed(0)} ms, ${before}`
        + ' heard elsewhere afterwards');
    assert(before > 20 && before < 300);
    assert(chat.every(({ output }) => !output.includes('gone')), 'slow is not gone');
}, 60000);

test('what waited for a redis that died is not for the next one', async (t) => {
    const redis = await Redis.start(t), chat = await nodes(t, redis, 2), members = [];
    for (let i = 0; i < 4; i++) members.push(await Member.come(t, chat[i % 2], 'x'));
    await redis.heard('x', 2);
    redis.program.child.kill('SIGSTOP');
    const [loud, far, near] = members, filler = 'x'.repeat(50000);
    for (let i = 0; i < 200; i++) { /* 10 MB, so that some waits in the process itself */
        loud.speak('x', { filler });
        if (i % 4 === 3) await until('it nearby', () => near.has_all_of([loud], 'x'));
    }
    await until('it in the log', () => chat[0].output.includes('redis is slow'));
    await redis.kill();
    await Redis.start(t, { port: redis.port });
    await until('it back in the logs', () => chat.every(({ output }) =>
        /gone[^]*here/.test(output)), 15000);
    await redis.heard('x', 2);
    loud.speak('x');
    await until('the last', () => far.has_all_of([loud], 'x'));
    await pause(200);
    sound(members);
    assert.equal(far.got, 1);
    assert.equal(near.got, 201);
    assert.equal(chat[0].output.split('gone').length, 2, 'the next one understood all it was told');
}, 40000);

test('a redis that hangs is given up, and taken back when it lives again', async (t) => {
    const redis = await Redis.start(t), chat = await nodes(t, redis, 2), members = [];
    for (let i = 0; i < 4; i++) members.push(await Member.come(t, chat[i % 2], 'x'));
    await redis.heard('x', 2);
    redis.program.child.kill('SIGSTOP');
    members[0].speak('x');
    await until('it in the logs', () => chat.every(({ output }) =>
        output.includes('gone (silent)')), 20000);
    members[0].speak('x');
    redis.program.child.kill('SIGCONT');
    await until('it back in the logs', () => chat.every(({ output }) =>
        /gone[^]*here/.test(output)), 30000);
    await redis.heard('x', 2);
    await pause(200);
    for (const member of members) member.speak('x');
    await until('all of the last', () => members.every((m) => m.has_all_of(members, 'x')));
    sound(members);
}, 70000);

test('three processes at one port: whoever is where, all hear all', async (t) => {
    const redis = await Redis.start(t);
    const first = await t.server('cluster', '-p', String(redis.port), '-s', '0');
    const more = [first];
    for (let i = 0; i < 2; i++) {
        more.push(await t.server('cluster', '-p', String(redis.port), '-s', String(first.port)));
    }
    await until('redis at all', () => more.every(({ output }) => output.includes('is here')));
    const members = [];
    for (let i = 0; i < 60; i++) members.push(await Member.come(t, first, 'x'));
    await redis.heard('x', 3);
    for (const member of members) member.speak('x');
    await until('all of all', () => members.every((m) => m.has_all_of(members, 'x')));
    await pause(200);
    sound(members);
    assert.equal(sum(members, 'got'), 3600);
});

/* A peer that opts in, and counts as azchan.js does. */
class Returning {
    static async come(t, node, since) {
        const one = new Returning();
        one.list = [];
        one.rooms = []; /* each :room, as it came */
        one.client = await t.client(`${node.ws}/chat?azchan=1`);
        one.client.ws.removeAllListeners('message');
        one.client.ws.on('message', (data) => one.take(JSON.parse(data)));
        one.client.say({ type: 'join', room: 'lobby', since });
        await until('the room', () => one.rooms.length > 0);
        await one.client.pong('?');
        return one;
    }
    take(message) {
        if (message[':at']) [, this.at, this.left] = message[':at'];
        else if (message.type === ':room') {
            this.rooms.push(message);
            this.serial = message.serial;
        } else if (message.type === 'message') {
            assert.ok(this.left-- > 0);
            this.serial = this.at++;
            this.list.push(message.content);
        }
    }
    get since() { return `${this.rooms.at(-1).epoch},${this.serial}`; }
    get fresh() { return this.rooms.at(-1).fresh; }
    async leave() { await this.client.close(); }
}

test('what the lobby keeps is whole, or who returns is told', async (t) => {
    const redis = await Redis.start(t), [here, there] = await nodes(t, redis, 2);
    await redis.heard('lobby', 2);
    const speaker = await t.client(`${there.ws}/chat`), mine = await t.client(`${here.ws}/chat`);
    let n = 0;
    /* n numbers by turns from both processes; the last one is read where it is kept. */
    const say = async (times) => {
        const watch = await Returning.come(t, here);
        for (let i = 0; i < times; i++) {
            const from = ++n % 2 ? speaker : mine;
            from.say({ type: 'message', room: 'lobby', content: n });
            await until('its arrival', () => watch.list.at(-1) === n);
        }
        await watch.leave();
    };
    await say(6);
    let peer = await Returning.come(t, here);
    assert.deepEqual([peer.fresh, peer.list], [true, [1, 2, 3, 4, 5, 6]]);

    /* Away while others talk, and while no member at all is here: back with exactly the rest. */
    const { since } = peer;
    await peer.leave();
    await say(4);
    speaker.say({ type: 'message', room: 'lobby', content: ++n });
    await pause(200);
    peer = await Returning.come(t, here, since);
    assert.deepEqual([peer.fresh, peer.list], [false, [7, 8, 9, 10, 11]]);

    /* Another process numbers by itself: all that it keeps. */
    const other = await Returning.come(t, there, peer.since);
    assert.equal(other.fresh, true);
    assert.deepEqual(other.list, [1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11]);
    const before = peer.since;
    await peer.leave();
    await other.leave();

    /* Without redis for a time: what was said elsewhere is unknown, so nobody counts on it. */
    await redis.kill();
    await until('no redis', () => [here, there].every((node) => node.output.includes('is gone')));
    speaker.say({ type: 'message', room: 'lobby', content: 'unheard' });
    await speaker.pong('?');
    const [again] = [await Redis.start(t, { port: redis.port })];
    await again.heard('lobby', 2);
    await pause(100);
    peer = await Returning.come(t, here, before);
    assert.deepEqual([peer.fresh, peer.list], [true, []]);
    speaker.say({ type: 'message', room: 'lobby', content: 'heard' });
    await until('it', () => peer.list.at(-1) === 'heard');
}, 60000);

test('its page: what is typed at one process is read at the other', async (t) => {
    const redis = await Redis.start(t), chat = await nodes(t, redis, 2);
    const browser = await start_browser(t), pages = [];
    for (const node of chat) {
        const page = await browser.newPage();
        await page.goto(`${node.http}/`);
        pages.push(page);
    }
    await redis.heard('lobby', 2);
    const said = '<b>Grüße</b> "&"';
    await pages[0].fill('#text', said);
    await pages[0].click('button');
    for (const page of pages) {
        await until('it on the page', async () =>
            await page.textContent('#log') === `lobby: ${said}\n`);
    }
    await pages[1].fill('#room', 'other');
    await pages[1].fill('#text', 'alone');
    await pages[1].press('#text', 'Enter');
    await until('it on the page', async () =>
        (await pages[1].textContent('#log')).endsWith('other: alone\n'));
    assert.equal(await pages[0].textContent('#log'), `lobby: ${said}\n`);
}, 60000);

await run('cluster.mjs');
