/* azlive.js: components whose HTML the server renders. azc_add_live_script(server, "/azlive.js")
 * serves it, without its comments; the manual of azchan.h (LIVE COMPONENTS) describes the elements
 * and the messages.
 *
 *     <script src="/azchan.js"></script>
 *     <script src="/azlive.js"></script>       or, in a module: import './azlive.js';
 *
 *     <div live="counter"></div>
 *
 *     new AzLive(new AzChannel('/counter'));
 *     new AzLive(channel, element);            only the components within the element
 *
 * A component is an element with the attribute `live`, the name of its kind. It is mounted when it
 * appears on the page, with its data-* attributes as arguments, and unmounted when it goes. In it,
 * the first word of live-click, live-input, live-submit or live-key is the event that is sent. What
 * is done while there is no connection is not sent, and a form keeps its fields.
 *
 * What the page itself changes within a component is undone by the next HTML, except the value of
 * the field that has the focus. If the element that has the focus goes, the focus moves to the
 * first one with `autofocus`. */
globalThis.AzLive = function AzLive(channel, root = document) {
    const key = crypto.getRandomValues(new Uint32Array(4)).join('-'); // of this page
    const name_of = (one) => one.getAttribute('live'), id_of = (one) => one.id || name_of(one);
    const focused = () => document.activeElement;
    let mounted = new Map(); // ids and elements, as the server knows them

    const send = (type, id, more) => channel.send({ type, id, ...more });

    const scan = () => {
        if (channel.state !== 'open') return;
        const before = mounted;
        mounted = new Map([...root.querySelectorAll('[live]')].map((one) => [id_of(one), one]));
        before.forEach((one, id) => mounted.has(id) || send(':unmount', id));
        mounted.forEach((one, id) => before.get(id) === one ||
            send(':mount', id, { name: name_of(one), key, args: { ...one.dataset } }));
    };

    /* ---- Events ---- */

    const listen = (name, value, type = name) => root.addEventListener(type, (event) => {
        const one = event.target.closest?.(`[live-${name}]`), home = one?.closest('[live]');
        if (!home) return;
        const [word, ...keys] = one.getAttribute(`live-${name}`).split(' ');
        if (name === 'key' && (event.isComposing || keys[0] && !keys.includes(event.key))) return;
        if (name === 'submit') event.preventDefault();
        const sent = send(':event', id_of(home), { event: word, value: value(one, event) });
        if (sent && name === 'submit') one.reset();
    });
    listen('click', (one) => one.value);
    listen('input', (one, { target }) => (
        target.type === 'checkbox' ? target.checked : target.value));
    listen('submit', (one) => Object.fromEntries(new FormData(one)));
    listen('key', (one, event) => event.key, 'keydown');

    /* ---- HTML ---- */

    /* Change only what differs: a replaced button would lose a click, a replaced field its cursor.
     * The focused field keeps its value, because what the user types is newer. */
    const morph = (old, fresh) => {
        const copy = (name) => { if (old[name] !== fresh[name]) old[name] = fresh[name]; };
        if (old.nodeName !== fresh.nodeName) return old.replaceWith(fresh);
        if (!fresh.attributes) return copy('data');
        for (const { name } of [...old.attributes]) {
            if (!fresh.hasAttribute(name)) old.removeAttribute(name);
        }
        for (const { name, value } of fresh.attributes) {
            if (old.getAttribute(name) !== value) old.setAttribute(name, value);
        }
        if (name_of(old)) return; // the inside is another component's
        inside(old, fresh);
        copy('checked');
        if (old !== focused()) copy('value');
    };

    /* Elements with an id stay what they are, among others that come and go. The one with the focus
     * never moves, because that would lose the focus and the cursor: the others move behind it. */
    const inside = (old, fresh) => {
        const ids = by_id(old), kept = by_id(fresh);
        let at = old.firstChild;
        const pass = (keep) => {
            const one = at;
            at = at.nextSibling;
            if (keep) old.append(one);
            else one.remove();
        };
        for (const node of [...fresh.childNodes]) {
            const same = ids.get(node.id || 0);
            while (at && at !== same && (at.id ? !kept.has(at.id) : same)) pass();
            if (same?.contains(focused())) while (at && at !== same) pass(true);
            const match = node.id ? same : at && !at.id && at.nodeName === node.nodeName && at;
            if (match && match === at) at = at.nextSibling;
            else old.insertBefore(match || node, at);
            if (match) morph(match, node);
        }
        while (at) pass();
    };
    const by_id = ({ children }) => new Map([...children].map((one) => [one.id, one]));

    channel.on(':html', ({ id, html }) => {
        const one = mounted.get(id), box = document.createElement('template');
        const before = focused();
        box.innerHTML = html;
        if (!one) return;
        inside(one, box.content);
        if (!before.isConnected) one.querySelector('[autofocus]')?.focus();
    });
    channel.on(':state', () => {
        mounted = new Map(); // a new connection knows none
        scan();
    });
    new MutationObserver(scan).observe(root, { childList: true, subtree: true });
    scan();
};
