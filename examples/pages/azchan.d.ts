/* Types of azchan.js and azlive.js, which describe each of them. In TypeScript:
 * /// <reference path="azchan.d.ts" /> */
interface AzChannelOptions {
    token?: () => string | null | undefined | Promise<string | null | undefined>;
    protocols?: string | string[];
    final?: number[];
    limit?: number;
    least?: number;
    most?: number;
    WebSocket?: unknown;
}

type AzChannelStateName = "connecting" | "open" | "waiting" | "offline" | "closed";

interface AzChannelState {
    state: AzChannelStateName;
    seconds?: number;
    longest?: boolean;
    code?: number;
    reason?: string;
}

interface AzChannelUsers {
    type: ":users";
    room: string | null;
    all?: string[];
    add?: string[];
    remove?: string[];
}

/* Kept up to date: [epoch, serial] is where the page is in the room, for azc_join_since. */
interface AzChannelRoom {
    type: ":room";
    room: string;
    epoch: string;
    readonly serial: number;
    fresh: boolean;
}

/* What a request is rejected with: the members of the server's reply, if there was one. */
interface AzChannelError extends Error {
    code: string;
    [member: string]: unknown;
}

interface AzChannelEvents {
    ":state": AzChannelState;
    ":message": any;
    ":binary": ArrayBuffer;
    ":room": AzChannelRoom;
    ":users": AzChannelUsers;
}

declare class AzChannel {
    constructor(path: string | URL, options?: AzChannelOptions);
    readonly state?: AzChannelStateName;
    on<T extends keyof AzChannelEvents>(type: T, fn: (value: AzChannelEvents[T]) => void): unknown;
    on(type: string, fn: (message: any) => void): unknown;
    off(type: string, fn: (message: any) => void): unknown;
    /* Truthy: it was sent, or waits for the next connection. */
    send(message: unknown, options?: { queue?: boolean }): unknown;
    request(message: object, options?: { timeout?: number }): Promise<any>;
    users(room: string | null): string[];
    close(code?: number, reason?: string): void;
}

declare class AzLive {
    constructor(channel: AzChannel, root?: Document | Element);
}
