/* metrics.mjs: the page of examples/metrics.c, read by Prometheus's own promtool, and its numbers
 * after a known visit.
 *
 *     make check-metrics, or: BUILD=... node tests/net/metrics.mjs */

import { spawnSync } from 'node:child_process';
import { assert, need_program, refused, request, run, test, until } from './lib.mjs';

const promtool = need_program('promtool', 'prometheus');

/* What the page says: promtool finds no fault in it, not even of style. */
async function scrape(server) {
    const { status, headers, body } = await request(`${server.http}/metrics`);
    assert.equal(status, 200);
    assert.equal(headers['content-type'], 'text/plain; version=0.0.4; charset=utf-8');
    const found = spawnSync(promtool, ['check', 'metrics'], { input: body, encoding: 'utf8' });
    assert.equal(found.stdout + found.stderr, '');
    assert.equal(found.status, 0);
    const lines = String(body).split('\n').filter((line) => line && !line.startsWith('#'));
    return Object.fromEntries(lines.map((line) => {
        const [name, value] = line.split(' ');
        return [name.replace('azchan_', ''), Number(value)];
    }));
}

test('promtool reads the page of a server that did nothing, and of one that did all', async (t) => {
    const server = await t.server('metrics', '0');
    const fresh = await scrape(server);
    assert.equal(fresh.opened_total, 0);
    assert.equal(fresh.connections, 1, 'the one that asks');

    const a = await t.client(`${server.ws}/echo`), b = await t.client(`${server.ws}/echo`);
    for (let i = 0; i < 5; i++) {
        a.send('12345678');
        assert.equal(await a.text(), '12345678');
    }
    await b.close(4001, 'app');
    for (let i = 0; i < 3; i++) assert.equal((await request(`${server.http}/no`)).status, 404);
    assert.equal((await refused(`${server.ws}/echo`, { origin: 'https://b.example' })).status, 403);
    const now = await scrape(server);
    assert.equal(now.open, 1);
    assert.equal(now.opened_total, 2);
    assert.equal(now['messages_total{direction="in"}'], 5);
    assert.equal(now['messages_total{direction="out"}'], 5);
    assert.equal(now['refused_total{status="404"}'], 3);
    assert.equal(now['refused_total{status="403"}'], 1);
    assert.equal(now['closed_total{code="app"}'], 1);
    assert.equal(now['closed_total{code="1000"}'], undefined);
    assert(now.requests_total === 7 && now.accepted_total === 8, JSON.stringify(now));
    assert(now['bytes_total{direction="in"}'] > 5 * 14 && now.peak_backlog_bytes > 100);
    await a.close(1000, '');
    await until('it in the numbers', async () =>
        (await scrape(server))['closed_total{code="1000"}'] === 1);
});

await run('metrics.mjs');
