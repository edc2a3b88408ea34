import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { type Deferred, defer } from '../internal/deferred.ts'
import { bulkhead } from './bulkhead.ts'
import { lanes } from './lanes.ts'

type Lane = 'a' | 'b'
type Call = (request: Lane) => Promise<unknown>

const flush = () => new Promise(resolve => setImmediate(resolve))
const places = fc.record({ limit: fc.integer({ min: 1, max: 3 }), queue: fc.nat(3) })
const step = fc.oneof(
  fc.record({ do: fc.constant('call' as const), lane: fc.constantFrom<Lane>('a', 'b') }),
  fc.record({ do: fc.constant('finish' as const), which: fc.nat(9) }),
)

/** Runs the steps and tells, call by call, what became of it. */
async function run(
  steps: readonly ({ do: 'call'; lane: Lane } | { do: 'finish'; which: number })[],
  protect: (handler: Call) => Call,
): Promise<string[]> {
  const outcomes: string[] = []
  const running: Deferred<void>[] = []
  const call = protect(() => {
    const work = defer<void>()
    running.push(work)
    return work.promise
  })
  for (const next of steps) {
    if (next.do === 'call') {
      const id = outcomes.push('open') - 1
      call(next.lane).then(
        () => {
          outcomes[id] = 'done'
        },
        (error: { reason: string }) => {
          outcomes[id] = error.reason
        },
      )
    } else {
      running.splice(next.which, 1)[0]?.resolve()
    }
    await flush()
    outcomes.push(`${running.length} running`)
  }
  return outcomes
}

describe('lanes', () => {
  it('are as many bulkheads that know nothing of each other', async () => {
    await fc.assert(
      fc.asyncProperty(
        places,
        places,
        fc.array(step, { maxLength: 40, size: 'max' }),
        async (a, b, steps) => {
          const divided = lanes({ lanes: { a, b }, classify: (lane: Lane) => lane })
          const together = await run(steps, handler => divided(handler) as Call)
          const apart = await run(steps, handler => {
            const calls = { a: bulkhead(a)(handler), b: bulkhead(b)(handler) }
            return lane => calls[lane](lane)
          })
          expect(together).toEqual(apart)
        },
      ),
      { numRuns: 60 },
    )
  })
})
