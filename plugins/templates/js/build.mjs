// Makes plugin-name.wasm out of src/plugin.js, with exactly the exports of wit/world.wit.
import { writeFile } from 'node:fs/promises';
import { fileURLToPath } from 'node:url';

import { componentize } from '@bytecodealliance/componentize-js';

const here = (path) => fileURLToPath(new URL(path, import.meta.url));

const { component } = await componentize({
  sourcePath: here('src/plugin.js'),
  witPath: here('wit'),
  worldName: 'plugin',
  // Not there in the gateway; what is there are the imports of the world. Standard output stays:
  // it becomes the plugin's log, and so does what was thrown and not caught.
  disableFeatures: ['random', 'clocks', 'http', 'fetch-event'],
});
await writeFile(here('plugin-name.wasm'), component);
