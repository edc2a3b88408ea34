import { describe, expect, it } from 'vitest'
import {
  addAnswerField,
  collectAnswerFields,
  degradedParts,
  markDegraded,
  passAnswerFields,
} from './answer-fields.ts'
import { createContext } from './context.ts'

describe('answer fields', () => {
  it('join values under one name, whatever its case', () => {
    const { context, fields } = collectAnswerFields(createContext())
    addAnswerField(context, 'RateLimit', 'a')
    addAnswerField(context.with({ tenant: 't' }), 'ratelimit', 'b')
    expect([...fields]).toEqual([['ratelimit', 'a, b']])
  })

  it('are dropped where nobody collects them', () => {
    const context = createContext()
    markDegraded(context, 'reviews')
    addAnswerField(context, 'x', 'y')
    expect(degradedParts(context)).toEqual([])
  })

  it('name each degraded part once, with what stands in its place', () => {
    const { context, fields } = collectAnswerFields(createContext())
    markDegraded(context, 'reviews', { source: 'stale', ageMs: 12 })
    markDegraded(context, 'ads')
    markDegraded(context, 'reviews')
    expect(degradedParts(context)).toEqual([
      { part: 'reviews', source: 'stale', ageMs: 12 },
      { part: 'ads', source: 'missing' },
    ])
    expect(fields.get('x-degraded')).toBe('reviews, ads')
  })

  it('never put into a header what it cannot carry', () => {
    const { context, fields } = collectAnswerFields(createContext())
    markDegraded(context, 'reviews\r\nset-cookie: a, ümlaut')
    expect(fields.get('x-degraded')).toMatch(/^[\w.:/-]+$/)
  })

  it('go from the call that made an answer to every call that gets it', () => {
    const shared = collectAnswerFields(createContext())
    addAnswerField(shared.context, 'age', '3')
    markDegraded(shared.context, 'reviews', { source: 'default' })
    const waiter = collectAnswerFields(createContext())
    passAnswerFields(shared.context, waiter.context)
    passAnswerFields(createContext(), waiter.context)
    expect([...waiter.fields]).toEqual([
      ['x-degraded', 'reviews'],
      ['age', '3'],
    ])
    expect(degradedParts(waiter.context)).toEqual([{ part: 'reviews', source: 'default' }])
  })
})
