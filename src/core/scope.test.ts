import { getEventListeners } from 'node:events'
import { describe, expect, it } from 'vitest'
import { manualClock } from '../testing/manual-clock.ts'
import { type Context, createContext, openContext, rootContext } from './context.ts'
import { Scope, type Watcher } from './scope.ts'

const clock = manualClock()

function watcher(told: (reason: unknown) => void): Watcher {
  return {
    nextWatcher: undefined,
    previousWatcher: undefined,
    scopeEnded: (_ending, reason) => told(reason),
  }
}

function open(parent?: Scope): Scope {
  return new Scope(clock, parent, Infinity, undefined, undefined)
}

describe('a scope', () => {
  it('finds out that its parent was cancelled while nobody watched', () => {
    const parent = openContext({ clock })
    const child = createContext({ parent: parent.context, timeoutMs: 1_000 })
    parent.cancel('gone')
    expect(child.ended).toBe(true)
    expect(child.scope.reason).toBe('gone')
    expect(child.signal.aborted).toBe(true)
    expect(child.signal.reason).toBe('gone')
  })

  it('finds out that its source aborted while nobody watched', () => {
    const source = new AbortController()
    const context = createContext({ clock, signal: source.signal, timeoutMs: 1_000 })
    expect(context.ended).toBe(false)
    source.abort('gone')
    expect(context.ended).toBe(true)
    expect(context.scope.reason).toBe('gone')
    expect(getEventListeners(source.signal, 'abort')).toHaveLength(0)
  })

  it('has a signal that aborts when its owner cancels, though it came with a source', () => {
    const source = new AbortController()
    const { context, cancel } = openContext({ clock, signal: source.signal })
    const { signal } = context
    cancel('by its owner')
    expect(signal.aborted).toBe(true)
    expect(signal.reason).toBe('by its owner')
    expect(source.signal.aborted).toBe(false)
  })

  it('hands out its source where that is all that can end it', () => {
    const { signal } = new AbortController()
    const context = createContext({ clock, signal })
    expect(context.signal).toBe(signal)
    expect(getEventListeners(signal, 'abort')).toHaveLength(0)
  })

  it('hands out a fresh signal where nothing can end it, so that nothing collects on one', () => {
    expect(rootContext.signal).not.toBe(rootContext.signal)
    expect(rootContext.signal.aborted).toBe(false)
  })

  it('cannot be ended when it is the root of everything', () => {
    rootContext.scope.end('cancelled', 'by a stray hand')
    expect(rootContext.ended).toBe(false)
  })

  it('never aborts its signal once it is closed', async () => {
    const source = new AbortController()
    const parent = openContext({ clock, signal: source.signal })
    const { context, cancel, close } = openContext({ parent: parent.context, timeoutMs: 10 })
    const { signal } = context
    close()
    await clock.advance(20)
    source.abort()
    cancel()
    expect(signal.aborted).toBe(false)
    expect(context.ended).toBe(true)
    parent.close()
    expect(clock.armed).toBe(0)
  })

  it('still bounds, once it is closed, the calls below it that go on', async () => {
    const parent = openContext({ clock })
    const { context, close } = openContext({ parent: parent.context, timeoutMs: 10 })
    const below = openContext({ parent: context })
    const { signal } = below.context
    close()
    await clock.advance(10)
    expect(signal.aborted).toBe(true)
    expect(clock.armed).toBe(0)
  })

  it('keeps a signal alive that somebody holds while calls come and go', () => {
    const parent = openContext({ clock })
    const { context } = openContext({ parent: parent.context })
    const { signal } = context
    const call = watcher(() => {})
    context.scope.watch(call)
    context.scope.unwatch(call)
    parent.cancel('gone')
    expect(signal.reason).toBe('gone')
  })

  it('has a signal that is aborted from the start when it is read after the deadline', () => {
    const parent = openContext({ clock, timeoutMs: 10 })
    const { context } = openContext({ parent: parent.context })
    clock.jump(10)
    expect(context.signal.aborted).toBe(true)
    expect(context.signal.reason).toMatchObject({ reason: 'deadline-exceeded' })
    expect(clock.armed).toBe(0)
  })

  it('knows by the clock that its time is up, though the event loop has not turned', () => {
    const { context, close } = openContext({ clock, timeoutMs: 10 })
    context.signal
    expect(context.ended).toBe(false)
    clock.jump(10)
    expect(context.ended).toBe(true)
    close()
  })
})

describe('ending', () => {
  it('reaches 100,000 contexts nested one in the other without running out of stack', () => {
    const root = openContext({ clock })
    let context: Context = root.context
    for (let i = 0; i < 100_000; i++) context = openContext({ parent: context }).context
    let told = 0
    context.scope.watch(watcher(() => told++))
    root.cancel('all of you')
    expect(told).toBe(1)
    expect(context.scope.reason).toBe('all of you')
  })

  it('lets go of 100,000 nested contexts, and looks through them, without running out of stack', () => {
    const root = openContext({ clock, timeoutMs: 1_000 })
    let context: Context = root.context
    for (let i = 0; i < 100_000; i++) context = openContext({ parent: context }).context
    const one = watcher(() => {})
    context.scope.watch(one)
    expect(clock.armed).toBe(1)
    context.scope.unwatch(one)
    expect(clock.armed).toBe(0)
    expect(context.ended).toBe(false)
    root.cancel('all of you')
    expect(context.ended).toBe(true)
  })

  it('takes time in proportion to the children, of which there may be 100,000', () => {
    const root = open()
    let told = 0
    const children = Array.from({ length: 100_000 }, () => open(root))
    for (const child of children) child.watch(watcher(() => told++))
    root.end('cancelled', 'all of you')
    expect(told).toBe(100_000)
    expect(children[50_000]!.ending).toBe('cancelled')
  })

  it('tells the rest in order when somebody who is told ends a scope further out', () => {
    const log: string[] = []
    const outer = open()
    outer.watch(watcher(() => log.push('outer')))
    const middle = open(outer)
    middle.signal.addEventListener('abort', () => log.push('signal of middle'))
    middle.watch(watcher(() => log.push('middle')))
    const inner = open(middle)
    inner.watch(
      watcher(() => {
        log.push('inner')
        outer.end('cancelled', 'second')
        log.push('inner is done')
      }),
    )
    middle.end('cancelled', 'first')
    expect(log).toEqual(['inner', 'middle', 'signal of middle', 'outer', 'inner is done'])
    expect([middle.reason, inner.reason, outer.reason]).toEqual(['first', 'first', 'second'])
  })

  it('tells nobody who leaves while others are being told', () => {
    const scope = open()
    const log: string[] = []
    const first = watcher(() => log.push('first'))
    scope.watch(first)
    scope.watch(
      watcher(() => {
        log.push('last')
        scope.unwatch(first)
      }),
    )
    scope.end('cancelled', 'gone')
    expect(log).toEqual(['last'])
  })

  it('tells a child that came while its parent was ending', () => {
    const scope = open()
    let late: Scope | undefined
    scope.watch(
      watcher(() => {
        late = open(scope)
      }),
    )
    scope.end('cancelled', 'gone')
    expect(late?.ending).toBe('cancelled')
    expect(late?.signal.aborted).toBe(true)
  })

  it('leaves nothing hooked up further out when it was the last to need it', async () => {
    const source = new AbortController()
    const outer = openContext({ clock, signal: source.signal, timeoutMs: 60_000 })
    const middle = openContext({ parent: outer.context, timeoutMs: 50_000 })
    const inner = openContext({ parent: middle.context, timeoutMs: 10 })
    inner.context.signal
    expect(clock.armed).toBe(3)
    await clock.advance(10)
    expect(inner.context.ended).toBe(true)
    expect(clock.armed).toBe(0)
    expect(getEventListeners(source.signal, 'abort')).toHaveLength(0)
  })

  it('counts once, however often it comes', () => {
    const parent = open()
    const child = open(parent)
    const reasons: unknown[] = []
    child.watch(watcher(reason => reasons.push(reason)))
    child.end('cancelled', 'first')
    child.end('timeout', 'second')
    parent.end('cancelled', 'third')
    expect(reasons).toEqual(['first'])
    expect([child.ending, child.reason]).toEqual(['cancelled', 'first'])
  })
})
