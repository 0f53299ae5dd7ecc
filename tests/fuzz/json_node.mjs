// The JSON reader against Node's JSON.parse: what one accepts the other does, and the values are
// the same, but for the limits that azchan.h documents: depth 64, no lone surrogates, UTF-8 only.
//
//     node json_node.mjs JSON_ACCEPT [how many] [seed]
//
// JSON_ACCEPT is json_accept.c, built. The documents: the seeds, the corpus, and as many more made
// and mutated from these; the same seed makes the same ones.
import { spawnSync } from "node:child_process";
import fs from "node:fs";
import path from "node:path";
import { fileURLToPath } from "node:url";

const here = path.dirname(fileURLToPath(import.meta.url));
const [accept, count = "200000", seed = "1"] = process.argv.slice(2);
if (!accept) throw new Error("usage: node json_node.mjs JSON_ACCEPT [how many] [seed]");

// ---- Numbers that only look random (mulberry32) -------------------------------------------------
let state = Number(seed) >>> 0;
function below(n) {
    state = (state + 0x6d2b79f5) >>> 0;
    let t = Math.imul(state ^ (state >>> 15), state | 1);
    t ^= t + Math.imul(t ^ (t >>> 7), t | 61);
    return ((t ^ (t >>> 14)) >>> 0) % n;
}
const pick = (list) => list[below(list.length)];

// ---- Documents ----------------------------------------------------------------------------------
function kept() {
    const found = [];
    const seeds = path.join(here, "seeds/json");
    for (const name of fs.readdirSync(seeds).sort())
        found.push(fs.readFileSync(path.join(seeds, name)));
    const pack = fs.readFileSync(path.join(here, "corpus/json.pack"));
    for (let at = 0, n; at < pack.length; at += 2 + n) {
        n = pack.readUInt16LE(at);
        found.push(pack.subarray(at + 2, at + 2 + n));
    }
    return found;
}

const digits = (n) => Array.from({ length: 1 + below(n) }, () => below(10)).join("");
function number() {
    const edge = ["0", "-0", "9007199254740993", "9223372036854775807", "-9223372036854775809",
        "18446744073709551616", "1.7976931348623157e308", "1.7976931348623159e308", "5e-324",
        "2.4703282292062327e-324", "2.2250738585072011e-308", "1e23", "8.41e21", "1e400", "0.1"];
    if (below(4) === 0) return pick(edge);
    const whole = String(1 + below(9)) + (below(2) ? digits(pick([2, 25])) : "");
    return pick(["", "-"]) + pick(["0", whole]) +
        (below(2) ? "." + digits(pick([3, 20])) : "") +
        (below(3) ? "" : pick(["e", "E"]) + pick(["", "+", "-"]) + digits(pick([2, 3])));
}
const hex = (n) => n.toString(16).padStart(4, "0");
function string() {
    let text = "";
    for (let n = below(6); n > 0; n--) {
        text += pick([() => String.fromCharCode(32 + below(95)).replace(/["\\]/, "x"),
            () => "\\" + pick([..."\"\\/bfnrt"]),
            () => "\\u" + hex(below(0x10000)),
            () => "\\u" + hex(0xd800 + below(0x400)) + "\\u" + hex(0xdc00 + below(0x400)),
            () => String.fromCodePoint(pick([0x80, 0x7ff, 0x800, 0xffff, 0x10000, 0x10ffff, 0x7f])),
            () => String.fromCharCode(97 + below(3))])();
    }
    return `"${text}"`;
}
const space = () => (below(5) ? "" : pick([" ", "\t", "\n", "\r", "  "]));
function value(depth) {
    const kind = below(depth > 0 ? 8 : 5);
    if (kind < 2) return number();
    if (kind < 4) return string();
    if (kind === 4) return pick(["true", "false", "null"]);
    const name = () => (kind === 5 ? "" : string() + space() + ":" + space());
    const items = Array.from({ length: below(4) },
        () => space() + name() + value(depth - 1) + space());
    return kind === 5 ? `[${items.join(",") || space()}]` : `{${items.join(",") || space()}}`;
}
function document() {
    let text = space() + value(below(5)) + space();
    if (below(50) === 0) {
        for (let n = 55 + below(15); n > 0; n--) text = pick([`[${text}]`, `{"a":${text}}`]);
    }
    return Buffer.from(text);
}
function mutate(bytes, others) {
    let b = Buffer.from(bytes);
    for (let n = 1 + below(3); n > 0; n--) {
        const at = below(b.length + 1), rest = b.subarray(at);
        const byte = Buffer.from([pick([below(256), ...Buffer.from("{}[]\",:\\u-+.eE019 \t")])]);
        b = pick([() => Buffer.concat([b.subarray(0, at), byte, rest]),
            () => Buffer.concat([b.subarray(0, at), byte, rest.subarray(1)]),
            () => Buffer.concat([b.subarray(0, at), rest.subarray(1 + below(4))]),
            () => Buffer.concat([b.subarray(0, at), rest.subarray(0, below(9)), rest]),
            () => b.subarray(0, at),
            () => Buffer.concat([b.subarray(0, at), pick(others).subarray(below(20))])])();
    }
    return b.subarray(0, 4000);
}

// ---- What should be -----------------------------------------------------------------------------
// How deep, and is there half of a surrogate pair? Of a text that JSON.parse took.
function limits(text) {
    let depth = 0, deepest = 0;
    for (const [token] of text.matchAll(/"(?:[^"\\]|\\.)*"|[[\]{}]/g)) {
        if (token === "[" || token === "{") deepest = Math.max(deepest, ++depth);
        else if (token === "]" || token === "}") depth--;
        else if (!JSON.parse(token).isWellFormed()) return "lone surrogate";
    }
    return deepest > 64 ? "depth" : null;
}
const decoder = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });
function wanted(bytes) {
    let text, parsed;
    try {
        text = decoder.decode(bytes);
    } catch {
        return { reason: "UTF-8" };
    }
    try {
        parsed = JSON.parse(text);
    } catch {
        return { reason: "JSON.parse" };
    }
    const reason = limits(text);
    return reason ? { reason } : { parsed };
}

// ---- Ask in batches and compare -----------------------------------------------------------------
const tally = { accepted: 0, "UTF-8": 0, "JSON.parse": 0, "lone surrogate": 0, depth: 0 };
function compare(documents) {
    const framed = documents.flatMap((d) => {
        const head = Buffer.alloc(4);
        head.writeUInt32LE(d.length);
        return [head, d];
    });
    const child = spawnSync(accept, [], { input: Buffer.concat(framed), maxBuffer: 1 << 30 });
    if (child.status !== 0) throw new Error(`${accept}: ${child.stderr} ${child.error ?? ""}`);
    let at = 0;
    for (const document of documents) {
        const verdict = child.stdout[at], n = child.stdout.readUInt32LE(at + 1);
        const written = verdict ? child.stdout.toString("utf8", at + 5, at + 5 + n) : "";
        at += verdict ? 5 + n : 5;
        const want = wanted(document), good = !want.reason;
        tally[want.reason ?? "accepted"]++;
        const same = () => JSON.stringify(JSON.parse(written)) === JSON.stringify(want.parsed);
        let wrong = null;
        if (good !== verdict > 0)
            wrong = good ? `refused at ${n}` : `accepted, but should not be: ${want.reason}`;
        else if (verdict === 1 && !same()) wrong = `another value: ${written}`;
        else if (verdict === 0 && n > document.length) wrong = `the bad byte's offset is ${n}`;
        if (!wrong) continue;
        console.log(`FAIL seed ${seed}: ${wrong}`);
        console.log("  " + JSON.stringify(document.toString("latin1")));
        process.exit(1);
    }
}

const known = kept();
compare(known);
for (let made = 0, batch = []; made < Number(count); made++) {
    const base = below(2) ? document() : pick(known);
    batch.push(below(3) ? mutate(base, known) : base);
    if (batch.length < 20000 && made + 1 < Number(count)) continue;
    compare(batch);
    batch = [];
}
const told = Object.entries(tally)
    .map(([what, n]) => `${n} ${what === "accepted" ? what : `refused (${what})`}`);
const start = `json_node: ${known.length} kept and ${count} made documents, as JSON.parse: `;
console.log(start + told.join(", "));
