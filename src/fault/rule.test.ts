import { describe, expect, it } from 'vitest'
import { createContext } from '../core/context.ts'
import { checkRule, concerns } from './rule.ts'

describe('a rule', () => {
  it('is completed', () => {
    expect(checkRule({ percent: 5, latencyMs: 20 }, 3)).toMatchObject({
      name: '3',
      at: 'before',
      latency: { minMs: 20, maxMs: 20 },
    })
    expect(checkRule({ percent: 5, hang: false, abort: 'never' }, 0)).toMatchObject({ abort: 'never' })
  })

  it('concerns the calls for which every one of its conditions holds', () => {
    const rule = checkRule(
      { percent: 5, hang: true, callers: ['a'], tenants: ['t'], when: request => request === 1 },
      0,
    )
    expect(concerns(rule, 1, createContext({ caller: 'a', tenant: 't' }))).toBe(true)
    expect(concerns(rule, 2, createContext({ caller: 'a', tenant: 't' }))).toBe(false)
    expect(concerns(rule, 1, createContext({ caller: 'b', tenant: 't' }))).toBe(false)
    expect(concerns(rule, 1, createContext({ caller: 'a' }))).toBe(false)
  })
})
