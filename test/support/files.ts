import { existsSync, readdirSync, readFileSync } from 'node:fs'
import { join, posix } from 'node:path'

export const root: string = join(import.meta.dirname, '..', '..')

const generated = new Set(['node_modules', 'dist', 'gen', 'results'])

/** The files below a folder of the project, without what is installed or generated. */
export function filesBelow(folder: string, ending: string): readonly string[] {
  if (!existsSync(join(root, folder))) return []
  return readdirSync(join(root, folder), { withFileTypes: true }).flatMap(entry => {
    const path = posix.join(folder, entry.name)
    if (entry.isDirectory()) return generated.has(entry.name) ? [] : filesBelow(path, ending)
    return entry.name.endsWith(ending) ? [path] : []
  })
}

export function read(file: string): string {
  return readFileSync(join(root, file), 'utf8')
}

/** The public sub-paths by specifier, each with its source: `spillway/grpc` is src/transport/grpc/index.ts. */
export function subPaths(): ReadonlyMap<string, string> {
  const exports: Record<string, string> = JSON.parse(read('package.json')).exports
  const modules = Object.entries(exports).filter(([, target]) => target.endsWith('.js'))
  return new Map(
    modules.map(([path, target]) => [
      path.replace('.', 'spillway'),
      target.replace('./dist/', 'src/').replace('.js', '.ts'),
    ]),
  )
}
