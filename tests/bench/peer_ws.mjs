/* peer_ws.mjs: the servers of server.c with npm's ws, from tests/interop/node_modules.
 *
 *     node peer_ws.mjs         prints "port N pid P", serves 127.0.0.1:N until it is killed */
import { createRequire } from 'node:module';

const require = createRequire(new URL('../interop/package.json', import.meta.url));
const { WebSocketServer } = require('ws');

const server = new WebSocketServer({ host: '127.0.0.1', port: 0, backlog: 4096 });
const room = new Set();

server.on('connection', (peer, request) => {
    peer.on('error', () => {});
    if (request.url === '/room') {
        room.add(peer);
        peer.on('close', () => room.delete(peer));
        peer.on('message', (data) => {
            for (const member of room) member.send(data, { binary: false });
        });
    } else {
        peer.on('message', (data) => peer.send(data, { binary: false }));
    }
});
server.on('listening', () => console.log(`port ${server.address().port} pid ${process.pid}`));
