/* peer_bun.mjs: the servers of server.c with npm's bun, whose server is uWebSockets.
 *
 *     bun peer_bun.mjs         prints "port N pid P", serves 127.0.0.1:N until it is killed */
const server = Bun.serve({
    hostname: '127.0.0.1',
    port: 0,
    fetch(request, server) {
        const path = new URL(request.url).pathname;
        if (server.upgrade(request, { data: { room: path === '/room' } })) return;
        return new Response('not a WebSocket', { status: 426 });
    },
    websocket: {
        perMessageDeflate: false,
        backpressureLimit: 64 << 20,
        maxPayloadLength: 64 << 20,
        open(peer) {
            if (peer.data.room) peer.subscribe('room');
        },
        message(peer, message) {
            if (peer.data.room) server.publish('room', message);
            else peer.send(message);
        },
    },
});
console.log(`port ${server.port} pid ${process.pid}`);
