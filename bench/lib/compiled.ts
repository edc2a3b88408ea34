import { mkdirSync } from 'node:fs'
import { basename } from 'node:path'
import { fileURLToPath } from 'node:url'
import { buildSync } from 'esbuild'

const folder = new URL('../node_modules/.cache/spillway-bench/', import.meta.url)

/**
 * A file of the bench, with those that it imports from the bench, as one of JavaScript: a process that loads no compiler
 * starts in a third of the time, and no function is given its name anew each time when it is made, as by tsx. All
 * packages, spillway among them, are loaded as they are.
 */
export function compiled(file: URL): URL {
  const path = fileURLToPath(file)
  const outfile = new URL(`${basename(path, '.ts')}.mjs`, folder)
  mkdirSync(folder, { recursive: true })
  buildSync({
    entryPoints: [path],
    outfile: fileURLToPath(outfile),
    bundle: true,
    packages: 'external',
    platform: 'node',
    format: 'esm',
    target: 'node20',
    logLevel: 'error',
  })
  return outfile
}
