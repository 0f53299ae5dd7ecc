/* size.mjs: fails if examples/pages/azchan.js, minified with npm's terser, has more than 2560 bytes. */

import { readFileSync } from 'node:fs';
import path from 'node:path';
import { need_package, root } from './lib.mjs';

const { minify } = need_package('terser');
const text = readFileSync(path.join(root, 'examples/pages/azchan.js'), 'utf8');
const size = Buffer.byteLength((await minify(text)).code);
console.log(`azchan.js: ${size} bytes minified, at most 2560`);
process.exit(size > 2560 ? 1 : 0);
