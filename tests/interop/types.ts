/* types.ts: what a page may and may not write against examples/pages/azchan.d.ts. check-script has
 * TypeScript's compiler check it; nothing runs it. */
/// <reference path="../../examples/pages/azchan.d.ts" />

const chat = new AzChannel('/chat', {
    token: async () => 'secret', protocols: ['v2', 'v1'], final: [4001], limit: 10, least: 500,
    most: 10000,
});
new AzChannel(new URL('chat', location.href), { token: () => null });

chat.on(':state', ({ state, seconds, longest, code, reason }) => {
    const text: string = state === 'waiting' ? `${seconds} s` : reason ?? '';
    const end: boolean = state === 'closed' && code === 1008 || longest === true;
    console.log(text, end);
});
chat.on(':binary', (data) => data.byteLength.toFixed());
chat.on(':room', ({ room, fresh, epoch, serial }) => console.log(room, fresh, `${epoch},${serial}`));
chat.on(':users', ({ room }) => chat.users(room).sort());
chat.on('joined', (message) => console.log(message.user));
chat.off('joined', console.log);
if (chat.send({ type: 'say' }, { queue: true })) chat.send(new Uint8Array(3));
chat.request({ ask: 'time' }, { timeout: 3000 }).then((reply) => console.log(reply.time))
    .catch((error: AzChannelError) => console.log(error.code, error.message));
chat.close(1000, 'done');

// @ts-expect-error: a state that there is not
if (chat.state === 'broken') chat.close();
// @ts-expect-error: an option that there is not
new AzChannel('/chat', { retries: 3 });
// @ts-expect-error: a request is an object
chat.request('time');
// @ts-expect-error: seconds is a number
chat.on(':state', ({ seconds }) => seconds?.trim());
// @ts-expect-error: the script keeps it
chat.on(':room', (room) => { room.serial = 1; });
