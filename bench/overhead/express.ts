import autocannon from 'autocannon'
import {
  ask,
  type Comparison,
  type ComparisonOptions,
  compare,
  type Side,
  startServer,
  type Usage,
} from './throughput.ts'

/** Bare express against express behind `protect` with a deadline; the load comes from this process. */
export async function compareExpress(options: ComparisonOptions): Promise<Comparison> {
  return compare('express', { bare: await side('bare'), ours: await side('ours') }, options)
}

async function side(subject: 'bare' | 'ours'): Promise<Side> {
  const { child, port } = await startServer(new URL('./express-server.ts', import.meta.url), subject)
  return {
    async measure(blockMs) {
      await ask(child, 'from')
      await autocannon({ url: `http://127.0.0.1:${port}/`, connections: 40, duration: blockMs / 1_000 })
      const usage = await ask<Usage>(child, 'to')
      return usage.requests / (usage.cpuMs / 1_000)
    },
    stop: () => child.stop(),
  }
}
