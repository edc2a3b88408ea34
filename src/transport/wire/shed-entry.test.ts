import { afterEach, beforeEach, expect, test, vi } from 'vitest'
import { systemClock } from '../../core/clock.ts'
import { fixed, type ShedTask } from '../../shedding/index.ts'
import { ShedEntry, type ShedEntryOptions, shedderArgument } from './shed-entry.ts'

const now = 1_000_000
const warned: unknown[] = []

beforeEach(() => {
  warned.length = 0
  vi.spyOn(systemClock, 'now').mockReturnValue(now)
  vi.spyOn(process, 'emitWarning').mockImplementation(message => void warned.push(message))
})

afterEach(() => {
  vi.restoreAllMocks()
})

const peer = {
  baggage: 'criticality=sheddable,tenant=acme',
  'x-retry-attempt': '2',
  'x-envoy-expected-rq-timeout-ms': '300',
}

function entry(options: ShedEntryOptions<string> = {}, headers: Record<string, string> = peer) {
  const shedder = fixed({ limit: 1, name: 'front' })
  const told: string[] = []
  const task = {
    gone: false,
    told: false as boolean,
    run: () => void told.push('run'),
    refuse: (_call, refusal) => void told.push(refusal),
  } satisfies ShedTask & { told: boolean }
  const it = new ShedEntry<string>('shedServer', shedder, options, {
    route: path => `default ${path}`,
    exempt: path => path === '/healthz',
  })
  const callFor = (path: string, leftMs = Infinity) => it.callFor(path, name => headers[name], leftMs, task)
  return { entry: it, shedder, task, told, callFor }
}

test('a stranger says how long a call may take, and nothing else; a peer says the rest, and options have the last word', () => {
  const stranger = entry().callFor('/a')!
  expect(stranger).toMatchObject({ importance: 1, again: false, tenant: undefined, route: 'default /a' })
  expect(stranger.deadline).toBe(now + 300)
  const { callFor, task } = entry({ trustPeers: true })
  expect(callFor('/a')).toMatchObject({ importance: 3, again: true, tenant: 'acme' })
  expect(callFor('/a')!.task).toBe(task)
  const named = entry({
    trustPeers: true,
    route: path => path,
    tenant: () => undefined,
    criticality: path => (path === '/a' ? 'critical-plus' : undefined),
  })
  expect(named.callFor('/a')).toMatchObject({ importance: 0, tenant: undefined, route: '/a' })
  expect(named.callFor('/b')).toMatchObject({ importance: 3 })
})

test('a call has the shortest of the times that it is given', () => {
  expect(entry().callFor('/a', 200)!.deadline).toBe(now + 200)
  expect(entry({ timeoutMs: 100 }).callFor('/a', 200)!.deadline).toBe(now + 100)
  expect(entry({}, {}).callFor('/a')!.deadline).toBe(Infinity)
})

test('there is no call to ask about where one is exempt, which is counted, or makes no sense, which is not', () => {
  const { callFor, shedder } = entry()
  expect(callFor('/healthz')).toBeUndefined()
  expect(shedder.snapshot().exempt).toBe(1)
  const route = (): never => {
    throw new Error('no route')
  }
  const odd = entry({ route, exempt: path => path === '/metrics' })
  expect(warned).toEqual([])
  expect(odd.callFor('/healthz')).toBeUndefined()
  expect(odd.shedder.snapshot().exempt).toBe(0)
  expect(warned).toEqual(['front let a call through because it could not decide: Error: no route'])
  expect(odd.callFor('/metrics')).toBeUndefined()
  expect(odd.shedder.snapshot().exempt).toBe(1)
})

test('the task hears the verdict; what goes wrong before it does is ours, what goes wrong after is not', () => {
  const { entry: it, callFor, shedder, task, told } = entry()
  expect([it.submit(callFor('/a')!, task), it.submit(callFor('/a')!, task)]).toEqual([true, true])
  expect(told).toEqual(['run', 'limit'])
  shedder.offer = () => {
    throw new Error('broken')
  }
  expect(it.submit(callFor('/a')!, task)).toBe(false)
  expect(warned).toEqual(['front let a call through because it could not decide: Error: broken'])
  task.told = true
  expect(() => it.submit(callFor('/a')!, task)).toThrow('broken')
})

test('the pressure is that of when a call began, or of now for one that does not count; none is told with headers off', () => {
  const pressed = (headers: boolean) => {
    const { entry: it, callFor, shedder } = entry({ headers })
    shedder.pressure = at => (at === now ? 0.25 : 0.75)
    const call = callFor('/a')!
    const texts = [it.pressureFor(call)]
    shedder.offer(call, now - 5)
    return [...texts, it.pressureFor(call), it.pressureAt(now)]
  }
  expect(pressed(true)).toEqual(['0.25', '0.75', 0.25])
  expect(pressed(false)).toEqual([undefined, undefined, 0])
})

test('a shedder that cannot tell how hard it is pressed is taken to be calm', () => {
  const { entry: it, callFor, shedder } = entry()
  shedder.pressure = () => {
    throw new Error('no pressure')
  }
  expect([it.pressureFor(callFor('/a')!), it.pressureAt(now)]).toEqual([undefined, 0])
  expect(warned).toEqual(['front could not tell how hard it is pressed: Error: no pressure'])
})

test('what is no option or no shedder is named', () => {
  expect(() => entry({ limit: 5 } as object)).toThrow('shedServer has no option `limit`')
  expect(() => entry({ route: 5 } as object)).toThrow('Expected `route` to be a function, got 5')
  expect(() => entry({ timeoutMs: 0 })).toThrow('`timeoutMs`')
  const shedder = fixed({ limit: 1 })
  expect(shedderArgument('shedServer', 'second', shedder)).toBe(shedder)
  expect(() => shedderArgument('shedServer', 'second', undefined as never)).toThrow(
    'Expected the second argument of shedServer() to be a shedder, such as adaptive()',
  )
})
