/* size.mjs: fails if examples/pages/azchan.js, minified with npm's terser, has more than 2560 bytes, or
 * azlive.js more than 2048. */

import { readFileSync } from 'node:fs';
import path from 'node:path';
import { need_package, root } from './lib.mjs';

const { minify } = need_package('terser');
let failed = 0;
for (const [name, most] of [['azchan.js', 2560], ['azlive.js', 2048]]) {
    const text = readFileSync(path.join(root, 'examples/pages', name), 'utf8');
    const size = Buffer.byteLength((await minify(text)).code);
    console.log(`${name}: ${size} bytes minified, at most ${most}`);
    if (size > most) failed = 1;
}
process.exit(failed);
