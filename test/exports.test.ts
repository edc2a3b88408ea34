/** The public surface, name by name, in exports.txt: a change to it is a change to that file, which a reader of the diff sees. */
import { existsSync } from 'node:fs'
import { join } from 'node:path'
import ts from 'typescript'
import { expect, test } from 'vitest'
import { read, root, subPaths } from './support/files.ts'

/** An index is only a list of names (house.test.ts sees to it), so the names can be read off it. */
function namesOf(index: string): string[] {
  const source = ts.createSourceFile(index, read(index), ts.ScriptTarget.ESNext)
  return source.statements.flatMap(statement => {
    if (!ts.isExportDeclaration(statement)) return []
    const clause = statement.exportClause
    if (clause === undefined || !ts.isNamedExports(clause)) return []
    return clause.elements.map(
      ({ name, isTypeOnly }) => `${statement.isTypeOnly || isTypeOnly ? 'type ' : ''}${name.text}`,
    )
  })
}

test('the exported names are the ones in exports.txt (npx vitest run test/exports -u rewrites it)', async () => {
  const text = Array.from(subPaths())
    .filter(([, index]) => existsSync(join(root, index)))
    .map(([name, index]) =>
      [
        name,
        ...namesOf(index)
          .toSorted()
          .map(line => `  ${line}`),
      ].join('\n'),
    )
  await expect(`${text.join('\n\n')}\n`).toMatchFileSnapshot('exports.txt')
})
