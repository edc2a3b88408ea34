import { AsyncLocalStorage } from 'node:async_hooks'
import { Metadata, type ServerInterceptingCallInterface, status } from '@grpc/grpc-js'
import { describe, expect, it } from 'vitest'
import { fixed, type Result, type ShedCall } from '../../shedding/index.ts'
import { ShedEntry } from '../wire/shed-entry.ts'
import { methodOf } from './method.ts'
import type { ArrivingCall } from './shed-interceptor.ts'
import { ShedStatuses } from './shed-statuses.ts'
import { SheddableCall } from './sheddable-call.ts'

type Listener = Parameters<ServerInterceptingCallInterface['start']>[0]

/** A server with a shedder that has decided nothing until the test does. */
function shop(exempt = false) {
  const shedder = fixed({ limit: 1 })
  const results: Result[] = []
  shedder.settle = (call, result) => {
    results.push(result)
    call.shedder = undefined
  }
  shedder.pressure = () => 0.5
  const entry = new ShedEntry<ArrivingCall>('test', shedder, {}, { route: () => 'r', exempt: () => exempt })
  let submitted: ShedCall | undefined
  /** What the shedder does as soon as it is asked. */
  let decide: (call: ShedCall) => void = () => {}
  entry.submit = call => {
    submitted = call
    decide(call)
    return true
  }
  const admit = (given = submitted!): void => {
    given.shedder = shedder
    given.task.run(given)
  }
  const arrive = (deadline = Infinity) => {
    const heard: string[] = []
    const sent: unknown[] = []
    let wire!: Listener
    const below = {
      start: (listener: Listener) => {
        wire = listener
      },
      getPeer: () => '10.0.0.1:5',
      getDeadline: () => deadline,
      sendMetadata: () => sent.push('metadata'),
      sendMessage: () => sent.push('message'),
      sendStatus: (given: unknown) => sent.push(given),
    } as unknown as ServerInterceptingCallInterface
    const call = new SheddableCall(entry, new ShedStatuses('fixed'), methodOf('/s/M'), below)
    let place: unknown
    call.start({
      onReceiveMetadata: metadata => {
        heard.push(`metadata ${metadata.get('k')}`)
        place = trace.getStore()
      },
      onReceiveMessage: message => heard.push(`message ${message}`),
      onReceiveHalfClose: () => heard.push('half close'),
      onCancel: () => heard.push('cancel'),
    })
    const metadata = new Metadata()
    metadata.set('k', 'v')
    trace.run('the call', () => wire.onReceiveMetadata(metadata))
    return { call, heard, sent, wire, place: () => place }
  }
  return {
    arrive,
    admit,
    results,
    entry,
    submitted: () => submitted,
    deciding(given: typeof decide) {
      decide = given
    },
  }
}

const trace = new AsyncLocalStorage<string>()

describe('SheddableCall', () => {
  it('lets others hear of a call when it is admitted, in the async context that it came in', () => {
    const { arrive, admit, submitted } = shop()
    const { heard, wire, call, place } = arrive()
    expect(heard).toEqual([])
    expect(call.peer).toBe('10.0.0.1:5')
    expect(submitted()).toMatchObject({ route: 'r', deadline: Infinity })
    trace.run('another call', () => admit())
    expect(place()).toBe('the call')
    wire.onReceiveMessage(1)
    wire.onReceiveHalfClose()
    wire.onCancel()
    expect(heard).toEqual(['metadata v', 'message 1', 'half close', 'cancel'])
    expect(call.gone).toBe(true)
  })

  it('begins at once a call that is exempt, or that nobody can decide on, and settles nothing', () => {
    for (const exempt of [true, false]) {
      const { arrive, entry, submitted, results } = shop(exempt)
      if (!exempt) entry.submit = () => false
      const { heard, call } = arrive()
      expect(heard).toEqual(['metadata v'])
      expect(submitted()).toBeUndefined()
      call.sendStatus({ code: status.OK, details: '' })
      expect(results).toEqual([])
    }
  })

  it('answers a refusal by itself, and not at all when the caller has gone', () => {
    const { arrive, submitted } = shop()
    const { heard, sent, call } = arrive()
    submitted()!.task.refuse(submitted()!, 'gone')
    expect(sent).toEqual([])
    submitted()!.task.refuse(submitted()!, 'limit')
    expect(sent).toMatchObject([{ code: status.UNAVAILABLE, details: 'Overloaded' }])
    expect((sent[0] as { metadata: Metadata }).metadata.get('x-pressure')).toEqual(['0.50'])
    expect(call.told).toBe(true)
    call.onCancel()
    expect(heard).toEqual([])
  })

  it.each<[string, Result, (call: SheddableCall) => void]>([
    ['metadata', 'success', call => call.sendMetadata(new Metadata())],
    ['a message', 'success', call => call.sendMessage('m', () => {})],
    ['OK', 'success', call => call.sendStatus({ code: status.OK, details: '' })],
    ['NOT_FOUND', 'ignore', call => call.sendStatus({ code: status.NOT_FOUND, details: '' })],
    ['UNAVAILABLE', 'dropped', call => call.sendStatus({ code: status.UNAVAILABLE, details: '' })],
    [
      'DEADLINE_EXCEEDED',
      'dropped',
      call => call.sendStatus({ code: status.DEADLINE_EXCEEDED, details: '' }),
    ],
    [
      'RESOURCE_EXHAUSTED',
      'dropped',
      call => call.sendStatus({ code: status.RESOURCE_EXHAUSTED, details: '' }),
    ],
    ['a cancellation', 'ignore', call => call.onCancel()],
  ])('is settled once, by the first that it answers: %s is %s', (_what, result, answer) => {
    const { arrive, deciding, admit, results } = shop()
    deciding(admit)
    const { call, sent } = arrive()
    answer(call)
    expect(results).toEqual([result])
    call.sendStatus({ code: status.UNAVAILABLE, details: 'last' })
    expect(results).toEqual([result])
    const last = sent.at(-1) as { details: string; metadata: Metadata }
    expect(last.details).toBe('last')
    expect(last.metadata.get('x-pressure')).toEqual(['0.50'])
  })

  it('counts a call as dropped that is cancelled when its time is up', () => {
    const { arrive, deciding, admit, results } = shop()
    deciding(admit)
    arrive(0).wire.onCancel()
    expect(results).toEqual(['dropped'])
  })
})
