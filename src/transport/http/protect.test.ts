import { once } from 'node:events'
import type { IncomingMessage } from 'node:http'
import { afterEach, describe, expect, it } from 'vitest'
import { RawConnection, type Running, running } from '../../../test/support/http.ts'
import { noting } from '../../../test/support/protection.ts'
import { addAnswerField } from '../../core/answer-fields.ts'
import { chain, layer } from '../../core/chain.ts'
import { type Context, rootContext } from '../../core/context.ts'
import { contextOf, guardWith } from './protect.ts'

let server: Running | undefined
let connection: RawConnection | undefined
afterEach(async () => {
  connection?.close()
  await server?.stop()
})

async function ask(listener: Parameters<typeof running>[0], fields: Record<string, string> = {}) {
  server = await running(listener)
  connection = await RawConnection.open(server.port)
  return connection.ask('GET', '/', fields).answer()
}

const fail = (error: unknown): never => {
  throw error
}

/** A middleware that hands the context of each call to `look`. */
const looking = (look: (context: Context) => void) =>
  layer({ kind: 'observe', name: 'looking' }, next => (request, context) => {
    look(context)
    return next(request, context)
  })

describe('guardWith', () => {
  it('refuses what makes no sense, in the name of its owner', () => {
    const address = (): string => 'a'
    expect(() => guardWith('owner', 1 as never, {}, address)).toThrow(
      'Expected `middleware` to be a function',
    )
    expect(() => guardWith('owner', chain(), { trust: 1 } as never, address)).toThrow(
      /owner.*has no option `trust`/,
    )
    expect(() => guardWith('owner', chain(), { timeoutMs: 0 }, address)).toThrow('Expected `timeoutMs`')
    expect(() => guardWith('owner', chain(), { caller: 1 as never }, address)).toThrow('Expected `caller`')
  })

  it('asks once who is calling; a chain further in asks only whom it was told to', async () => {
    const callers: unknown[] = []
    const note = looking(({ caller }) => callers.push(caller))
    let asked = 0
    const address = (): string => `address ${++asked}`
    const outer = guardWith('outer', note, {}, address)
    const middle = guardWith('middle', note, {}, address)
    const inner = guardWith(
      'inner',
      note,
      { caller: ({ url }: IncomingMessage) => `user of ${url}` },
      address,
    )
    await ask((request, response) =>
      outer(request, response, {
        begin: () =>
          middle(request, response, {
            begin: () => inner(request, response, { begin: () => response.end(), fail }),
            fail,
          }),
        fail,
      }),
    )
    expect(callers).toEqual(['address 1', 'address 1', 'user of /'])
  })

  it('leaves a caller that cannot be told to the framework, before the chain', async () => {
    const guard = guardWith('owner', looking(fail), { caller: () => fail('unknown') }, () => 'a')
    const { body } = await ask((request, response) =>
      guard(request, response, {
        begin: () => response.end('begun'),
        fail: error => response.end(`${error}`),
      }),
    )
    expect(body).toContain('unknown')
  })

  it('writes what is said of the answer, in characters that Node takes, until the head is sent', async () => {
    let context!: Context
    const say = looking(given => {
      context = given
      addAnswerField(context, 'x-said', 'a\nb')
    })
    const outer = guardWith('outer', say, {}, () => 'a')
    const inner = guardWith('inner', say, {}, () => 'a')
    const answer = await ask((request, response) =>
      outer(request, response, {
        begin: () =>
          inner(request, response, {
            begin() {
              addAnswerField(context, 'x-said', 'c\u20acd')
              response.flushHeaders()
              addAnswerField(context, 'x-late', 'e')
              response.end('whole')
            },
            fail,
          }),
        fail,
      }),
    )
    // One answer for both chains.
    expect(answer.headers['x-said']).toBe('a?b, a?b, c?d')
    expect(answer.headers['x-late']).toBeUndefined()
    expect(answer.body).toContain('whole')
  })
})

describe('a request that has waited elsewhere before it comes to its chain', () => {
  it('is not begun when its client has gone meanwhile: nobody would hear of its end', async () => {
    const { gate, outcomes } = noting()
    const guard = guardWith('owner', gate, {}, () => 'a')
    const unwanted = (): never => expect.unreachable()
    const gone = new Promise<void>((resolve, reject) => {
      void ask((request, response) => {
        request.socket.on('close', () => {
          try {
            guard(request, response, { begin: unwanted, fail: unwanted })
            resolve()
          } catch (error) {
            reject(error)
          }
        })
        connection!.close()
      }).catch(() => {})
    })
    await gone
    expect(outcomes).toEqual([])
  })

  it('is over as soon as it has begun when it has been answered meanwhile', async () => {
    const { gate, outcomes } = noting()
    const guard = guardWith('owner', gate, {}, () => 'a')
    const begun = new Promise<void>(begin => {
      void ask((request, response) => {
        response.on('finish', () => setImmediate(guard, request, response, { begin, fail }))
        response.end('early')
      })
    })
    await begun
    await new Promise(setImmediate)
    expect(connection!.open).toBe(true)
    expect(outcomes).toEqual(['success'])
  })
})

describe('contextOf', () => {
  it('takes a request that was made up for a test', () => {
    expect(contextOf({} as never)).toBe(rootContext)
  })

  it('is the context of the request with what its headers say, and none once it has been answered', async () => {
    const guard = guardWith('owner', chain(), { trustPeers: true, timeoutMs: 60_000 }, () => 'a')
    const seen: Context[] = []
    let asked!: IncomingMessage
    let answered!: Promise<unknown>
    await ask(
      (request, response) => {
        asked = request
        answered = once(response, 'close')
        seen.push(contextOf(request))
        const begin = (): void => {
          seen.push(contextOf(request))
          response.end()
        }
        guard(request, response, { begin, fail })
      },
      { baggage: 'tenant=blue' },
    )
    expect(seen[0]).toBe(rootContext)
    expect(seen[1]).toMatchObject({ tenant: 'blue', caller: 'a' })
    expect(seen[1]!.deadline).toBeLessThan(Infinity)
    await answered
    expect(contextOf(asked)).toBe(rootContext)
  })
})
