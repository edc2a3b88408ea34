import { writeFileSync } from 'node:fs'
import { availableParallelism } from 'node:os'
import type { ViteUserConfig } from 'vitest/config'
import type { Reporter } from 'vitest/node'

/** Ends the run with one line that people and machines can read; `npm test` asks for the counts in a file instead. */
const tally: Reporter = {
  onTestRunEnd(modules, unhandledErrors) {
    const counts = { passed: 0, failed: unhandledErrors.length, skipped: 0 }
    for (const module of modules) {
      // What goes wrong outside a test, in an import or a hook, belongs to no test and would count as nothing.
      for (const suite of [module, ...module.children.allSuites()]) {
        if (suite.errors().length > 0) counts.failed++
      }
      for (const test of module.children.allTests()) {
        const { state } = test.result()
        if (state !== 'pending') counts[state]++
      }
    }
    const file = process.env.SPILLWAY_TALLY
    if (file !== undefined) writeFileSync(file, JSON.stringify(counts))
    else console.log(`\n${counts.passed} passed, ${counts.failed} failed, ${counts.skipped} skipped`)
  },
}

const config: ViteUserConfig = {
  // `spillway/...` means src/ here, as tsconfig.json says, so that no test ever runs against a stale build.
  resolve: { tsconfigPaths: true },
  test: {
    setupFiles: ['test/support/seed.ts'],
    include: ['src/**/*.test.ts', 'test/**/*.test.ts'],
    // The checks that a chain makes outside production are part of what is tested.
    env: { NODE_ENV: 'test' },
    pool: 'forks',
    maxWorkers: Math.max(2, availableParallelism() - 1),
    // Far above what any test takes: a busy machine must not fail one.
    testTimeout: 60_000,
    hookTimeout: 120_000,
    reporters: ['default', tally],
  },
}

export default config
