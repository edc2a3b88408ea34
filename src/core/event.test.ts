import { channel } from 'node:diagnostics_channel'
import { afterEach, describe, expect, it, vi } from 'vitest'
import { createEvent } from './event.ts'

interface Opened {
  readonly name: string
}

let count = 0
/** A name of its own for each test: channels are one for the whole process. */
const fresh = (): string => `test-${count++}`

afterEach(() => {
  vi.restoreAllMocks()
})

describe('an event', () => {
  it('costs no payload while nobody listens', () => {
    const event = createEvent<Opened>(fresh())
    expect(event.active).toBe(false)
    const stop = event.on(() => {})
    expect(event.active).toBe(true)
    stop()
    expect(event.active).toBe(false)
    expect(() => event.emit({ name: 'nobody hears it' })).not.toThrow()
  })

  it('reaches every listener, in order, until it stops listening', () => {
    const event = createEvent<Opened>(fresh())
    const heard: string[] = []
    const stop = event.on(({ name }) => heard.push(`first ${name}`))
    event.on(({ name }) => heard.push(`second ${name}`))
    event.emit({ name: 'a' })
    stop()
    stop()
    event.emit({ name: 'b' })
    expect(heard).toEqual(['first a', 'second a', 'second b'])
  })

  it('may be listened to twice by the same function, each time for itself', () => {
    const event = createEvent<Opened>(fresh())
    const listener = vi.fn()
    const stop = event.on(listener)
    event.on(listener)
    event.emit({ name: 'a' })
    stop()
    event.emit({ name: 'b' })
    expect(listener).toHaveBeenCalledTimes(3)
  })

  it('passes nobody over when a listener leaves, or another comes, while it is told', () => {
    const event = createEvent<Opened>(fresh())
    const heard: string[] = []
    const stop = event.on(() => {
      heard.push('leaves')
      stop()
      event.on(() => heard.push('came'))
    })
    event.on(() => heard.push('stays'))
    event.emit({ name: 'a' })
    expect(heard).toEqual(['leaves', 'stays'])
    event.emit({ name: 'b' })
    expect(heard).toEqual(['leaves', 'stays', 'stays', 'came'])
  })

  it('is published on a channel for tools that do not know the kit', () => {
    const name = fresh()
    const event = createEvent<Opened>(name)
    const heard: unknown[] = []
    const subscriber = (payload: unknown): void => {
      heard.push(payload)
    }
    channel(`spillway:${name}`).subscribe(subscriber)
    event.emit({ name: 'a' })
    expect(heard).toEqual([{ name: 'a' }])
    channel(`spillway:${name}`).unsubscribe(subscriber)
    expect(event.active).toBe(false)
  })

  it('is the same for the same name', () => {
    const name = fresh()
    const listener = vi.fn()
    createEvent<Opened>(name).on(listener)
    createEvent<Opened>(name).emit({ name: 'a' })
    expect(listener).toHaveBeenCalledWith({ name: 'a' })
  })

  it('outlives a listener that throws: the others hear it, and a warning says so', () => {
    const warned = vi.spyOn(process, 'emitWarning').mockImplementation(() => {})
    const event = createEvent<Opened>(fresh())
    const listener = vi.fn()
    event.on(() => {
      throw new Error('a bug')
    })
    event.on(listener)
    event.emit({ name: 'a' })
    event.emit({ name: 'b' })
    expect(listener).toHaveBeenCalledTimes(2)
    expect(warned).toHaveBeenCalledOnce()
    expect(warned).toHaveBeenCalledWith(
      `A listener of ${event.name} threw: Error: a bug`,
      expect.objectContaining({ code: 'SPILLWAY_LISTENER_FAILED' }),
    )
  })
})
