import { getEventListeners } from 'node:events'
import fc from 'fast-check'
import { expect, test } from 'vitest'
import { type ManualClock, manualClock } from '../testing/manual-clock.ts'
import { Scope, type Watcher } from './scope.ts'

type Step =
  | { readonly does: 'open'; readonly on: number; readonly deadline: number; readonly sourced: boolean }
  | { readonly does: 'watch' | 'unwatch' | 'read' | 'close' | 'end' | 'abort' | 'ask'; readonly on: number }
  | { readonly does: 'wait'; readonly ms: number }

const on = fc.nat({ max: 7 })
const step: fc.Arbitrary<Step> = fc.oneof(
  {
    weight: 4,
    arbitrary: fc.record({
      does: fc.constant('open' as const),
      on,
      deadline: fc.oneof(fc.constant(Infinity), fc.integer({ min: 1, max: 60 })),
      sourced: fc.boolean(),
    }),
  },
  { weight: 4, arbitrary: fc.record({ does: fc.constant('watch' as const), on }) },
  {
    weight: 5,
    arbitrary: fc.record({
      does: fc.constantFrom('unwatch', 'read', 'close', 'end', 'abort', 'ask'),
      on,
    }),
  },
  {
    weight: 2,
    arbitrary: fc.record({ does: fc.constant('wait' as const), ms: fc.integer({ min: 0, max: 30 }) }),
  },
)

let arrivals = 0

/** A scope and all that is known of it without looking inside. */
class Node {
  readonly came = arrivals++
  readonly scope: Scope
  readonly parent: Node | undefined
  readonly source: AbortController | undefined
  readonly watchers: Told[] = []
  signal: AbortSignal | undefined
  closed = false
  /** All that should have ended the scope. Which came first can only be known where somebody was told. */
  causes: unknown[] = []
  constructor(scope: Scope, parent: Node | undefined, source: AbortController | undefined) {
    this.scope = scope
    this.parent = parent
    this.source = source
  }
  get lineage(): readonly Node[] {
    return [this, ...(this.parent?.lineage ?? [])]
  }
  /** Holds what the signal says by itself, and then what the scope says when it is asked, to what is known. */
  compare(now: number): void {
    const { scope, signal, causes } = this
    const late = scope.deadline <= now
    if (signal !== undefined && !this.closed) {
      expect(signal.aborted).toBe(causes.length > 0 || late)
    }
    // A deadline that passed while nobody watched has been noticed by nobody: who asks for it looks at the clock.
    const { ending, reason } = scope
    if (causes.length > 0) expect(ending).toBeDefined()
    else if (scope.deadline > now) expect(ending).toBeUndefined()
    if (ending === undefined) return
    expect(ending === 'timeout' ? this.lineage : causes).toContain(reason)
    if (signal?.aborted) expect(signal.reason).toBe(reason)
  }
  /** When the branch that this scope stands on left `outer`; never, if it does not stand on one. */
  branch(outer: Node): number {
    const { lineage } = this
    if (outer === this) return Infinity
    return lineage[lineage.indexOf(outer) - 1]?.came ?? -1
  }
}

class Told implements Watcher {
  readonly came = arrivals++
  nextWatcher: Watcher | undefined
  previousWatcher: Watcher | undefined
  reasons: unknown[] = []
  gone = false
  readonly node: Node
  private readonly log: Told[]
  constructor(node: Node, log: Told[]) {
    this.node = node
    this.log = log
  }
  scopeEnded(_: unknown, reason: unknown): void {
    this.reasons.push(reason)
    this.log.push(this)
  }
}

class Forest {
  readonly clock: ManualClock = manualClock({ startMs: 0 })
  readonly log: Told[] = []
  readonly nodes: Node[] = [
    new Node(new Scope(this.clock, undefined, Infinity, undefined, undefined), undefined, undefined),
  ]

  async take(step: Step): Promise<void> {
    if (step.does === 'wait') {
      return this.clock.advance(step.ms)
    }
    const node = this.nodes[step.on % this.nodes.length]!
    switch (step.does) {
      case 'open': {
        const deadline = Math.min(node.scope.deadline, this.clock.now() + step.deadline)
        const source = step.sourced ? new AbortController() : undefined
        const made: Node = new Node(
          new Scope(this.clock, node.scope, deadline, () => made, source?.signal),
          node,
          source,
        )
        made.causes = [...node.causes]
        this.nodes.push(made)
        return
      }
      case 'watch': {
        if (node.scope.ending !== undefined) return
        const told = new Told(node, this.log)
        node.watchers.push(told)
        return node.scope.watch(told)
      }
      case 'unwatch': {
        const told = node.watchers.find(one => !one.gone)
        if (told === undefined) return
        told.gone = true
        return node.scope.unwatch(told)
      }
      case 'read':
        node.signal ??= node.scope.signal
        return
      case 'close':
        node.closed = true
        return node.scope.close()
      case 'end':
        this.end(node, `${step.on} ended`)
        return node.scope.end('cancelled', `${step.on} ended`)
      case 'abort':
        if (node.source === undefined || node.source.signal.aborted) return
        this.end(node, `${step.on} aborted`)
        return node.source.abort(`${step.on} aborted`)
      default:
        node.compare(this.clock.now())
    }
  }

  /** The naive model: ending a scope ends every scope below it that has not ended yet. */
  private end(node: Node, reason: unknown): void {
    for (const other of this.nodes) if (other.lineage.includes(node)) other.causes.push(reason)
  }
}

const steps = fc.array(step, { minLength: 1, maxLength: 40, size: 'max' })

test('ending a scope tells every watcher below it once, those that came within others first, and nobody else', async () => {
  await fc.assert(
    fc.asyncProperty(steps, fc.nat({ max: 7 }), async (steps, last) => {
      const forest = new Forest()
      for (const step of steps) await forest.take(step)
      const root = forest.nodes[last % forest.nodes.length]!
      const before = forest.log.length
      const open = forest.nodes
        .filter(node => node.lineage.includes(root) && node.scope.ending === undefined)
        .flatMap(node => node.watchers.filter(one => !one.gone))
      await forest.take({ does: 'end', on: last % forest.nodes.length })

      const told = forest.log.slice(before)
      expect(new Set(told)).toEqual(new Set(open))
      for (const [i, one] of told.entries()) {
        expect(one.reasons).toHaveLength(1)
        for (const later of told.slice(i + 1)) {
          expect(one.came < later.came && later.node.branch(one.node) > one.came).toBe(false)
        }
      }
      for (const node of forest.nodes) {
        for (const one of node.watchers) expect(one.reasons.length).toBeLessThanOrEqual(1)
      }
    }),
    { numRuns: 600 },
  )
})

test('a scope has ended exactly when it, its source or something further out has', async () => {
  await fc.assert(
    fc.asyncProperty(steps, async steps => {
      const forest = new Forest()
      for (const step of steps) await forest.take(step)
      await forest.clock.advance(0)
      for (const node of forest.nodes) {
        node.compare(forest.clock.now())
      }
    }),
    { numRuns: 600 },
  )
})

test('a scope that nobody watches and nobody holds a signal of is hooked up nowhere', async () => {
  await fc.assert(
    fc.asyncProperty(steps, async steps => {
      const forest = new Forest()
      for (const step of steps) await forest.take(step)
      for (const node of forest.nodes) {
        for (const one of node.watchers) node.scope.unwatch(one)
        if (node.signal !== undefined) node.scope.close()
      }
      expect(forest.clock.armed).toBe(0)
      for (const { source } of forest.nodes) {
        if (source !== undefined) expect(getEventListeners(source.signal, 'abort')).toHaveLength(0)
      }
    }),
    { numRuns: 300 },
  )
})
