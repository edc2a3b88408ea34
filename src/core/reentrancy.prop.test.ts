import { getEventListeners } from 'node:events'
import fc from 'fast-check'
import { expect, test } from 'vitest'
import { manualClock } from '../testing/manual-clock.ts'
import { settled } from '../testing/settled.ts'
import { deadline } from '../timeout/deadline.ts'
import { chain, gate } from './chain.ts'
import { type Context, createContext, type OpenContext, openContext } from './context.ts'
import type { Gate } from './gate.ts'

/** Something done to the calls of a process by whatever code happens to run. */
type Deed =
  | { readonly does: 'cancel' | 'close' | 'read' | 'call'; readonly on: number }
  | { readonly does: 'open'; readonly on: number; readonly timeoutMs: number | undefined }
  | { readonly does: 'abort' }

/** Where in a call's life a deed is done. */
const moments = ['admit', 'narrow', 'settle', 'handler', 'abort', 'answer'] as const
type Moment = (typeof moments)[number]

const on = fc.nat({ max: 9 })
const deed: fc.Arbitrary<Deed> = fc.oneof(
  {
    weight: 6,
    arbitrary: fc.record({ does: fc.constantFrom('cancel', 'close', 'read', 'call', 'call'), on }),
  },
  {
    weight: 3,
    arbitrary: fc.record({
      does: fc.constant('open' as const),
      on,
      timeoutMs: fc.option(fc.integer({ min: 1, max: 40 }), { nil: undefined }),
    }),
  },
  { weight: 1, arbitrary: fc.record({ does: fc.constant('abort' as const) }) },
)

interface World {
  /** Done one after the other, with time passing between them. */
  readonly script: readonly { readonly deed: Deed; readonly thenMs: number }[]
  /** Done when the n-th call comes to that moment, in the middle of whatever goes on. */
  readonly ambushes: readonly { readonly moment: Moment; readonly call: number; readonly deed: Deed }[]
  readonly workMs: readonly number[]
}

const world: fc.Arbitrary<World> = fc.record({
  script: fc.array(fc.record({ deed, thenMs: fc.nat({ max: 15 }) }), { minLength: 2, maxLength: 12 }),
  ambushes: fc.array(fc.record({ moment: fc.constantFrom(...moments), call: fc.nat({ max: 8 }), deed }), {
    maxLength: 10,
  }),
  workMs: fc.array(fc.integer({ min: -1, max: 30 }), { minLength: 1, maxLength: 5 }),
})

/** So many that a world in which calls beget calls comes to an end. */
const MAX_CALLS = 30

class Life {
  readonly clock = manualClock({ startMs: 0 })
  readonly source = new AbortController()
  readonly contexts: { readonly context: Context; readonly owner: OpenContext | undefined }[] = []
  readonly answers: Promise<unknown>[] = []
  /** By call: gates let in minus gates settled; never below 0, and 0 when the call is over. */
  readonly open: number[] = []
  readonly faults: string[] = []
  private readonly world: World
  private readonly ambushes: Map<string, Deed[]> = new Map()

  constructor(world: World) {
    this.world = world
    for (const { moment, call, deed } of world.ambushes) {
      const at = `${moment} of ${call}`
      this.ambushes.set(at, [...(this.ambushes.get(at) ?? []), deed])
    }
    const owner = openContext({ clock: this.clock, signal: this.source.signal })
    this.contexts.push({ context: owner.context, owner })
  }

  async live(): Promise<void> {
    for (const { deed, thenMs } of this.world.script) {
      this.commit(deed)
      await this.clock.advance(thenMs)
    }
    // The end of the world: everything is cancelled, and everybody lets go.
    this.source.abort('the end')
    await this.clock.advance(100)
    for (const { owner } of this.contexts) owner?.close()
  }

  private commit(deed: Deed): void {
    if (deed.does === 'abort') {
      this.source.abort('aborted')
      return
    }
    const { context, owner } = this.contexts[deed.on % this.contexts.length]!
    if (deed.does === 'cancel') owner?.cancel(`${deed.on} cancelled`)
    else if (deed.does === 'close') owner?.close()
    else if (deed.does === 'read') context.signal
    else if (deed.does === 'call') this.call(context)
    else if (deed.does === 'open' && this.contexts.length < MAX_CALLS) {
      const options = { parent: context, timeoutMs: deed.timeoutMs }
      const made = deed.on % 2 === 0 ? openContext(options) : undefined
      this.contexts.push({ context: made?.context ?? createContext(options), owner: made })
    }
  }

  private meet(moment: Moment, call: number): void {
    const deeds = this.ambushes.get(`${moment} of ${call}`) ?? []
    this.ambushes.delete(`${moment} of ${call}`)
    for (const deed of deeds) this.commit(deed)
  }

  private call(context: Context): void {
    const id = this.answers.length
    if (id >= MAX_CALLS) return
    this.open[id] = 0
    // Reserved before the call, which may make others.
    this.answers.push(Promise.resolve())
    const call = chain(this.gate(id, 'answer'), deadline({ totalMs: 25 }), this.gate(id, 'work'))
    this.answers[id] = call((_request: unknown, inner: Context) => this.work(id, inner))(undefined, context)
      .then(
        () => 'answer',
        error => {
          if (error === undefined || error instanceof TypeError) this.faults.push(`call ${id}: ${error}`)
        },
      )
      .then(() => this.meet('answer', id))
  }

  private gate(id: number, until: 'answer' | 'work') {
    const definition: Gate<unknown, { settled: boolean }> = {
      kind: 'other',
      name: `${until} of ${id}`,
      until,
      admit: () => {
        this.meet('admit', id)
        this.open[id]!++
        return { settled: false }
      },
      narrow: context => {
        this.meet('narrow', id)
        return context
      },
      settle: ticket => {
        if (ticket.settled) this.faults.push(`call ${id} was settled twice`)
        ticket.settled = true
        this.open[id]!--
        this.meet('settle', id)
      },
    }
    return gate(definition)
  }

  private work(id: number, context: Context): Promise<string> {
    if (id % 2 === 0) context.signal.addEventListener('abort', () => this.meet('abort', id))
    this.meet('handler', id)
    const ms = this.world.workMs[id % this.world.workMs.length]!
    if (ms < 0) return Promise.resolve('at once')
    return new Promise(resolve => {
      const alarm = { keepAlive: false, next: undefined, previous: undefined, ring: () => resolve('later') }
      this.clock.arm({ at: 0, ...alarm }, this.clock.now() + ms)
    })
  }
}

test('whatever is done to calls from within calls, each ends once and leaves nothing behind', async () => {
  await fc.assert(
    fc.asyncProperty(world, async world => {
      const life = new Life(world)
      await life.live()
      await Promise.all(life.answers)
      expect(life.faults).toEqual([])
      expect(life.open.filter(count => count !== 0)).toEqual([])
      await settled({
        clock: life.clock,
        signals: [life.source.signal],
        contexts: life.contexts.map(({ context }) => context),
      })
      expect(getEventListeners(life.source.signal, 'abort')).toEqual([])
    }),
    { numRuns: 400 },
  )
})
