import fc from 'fast-check'
import { expect, test } from 'vitest'
import { type InLine, Line } from './line.ts'

class Member implements InLine<Member> {
  readonly id: number
  line: Line<Member> | undefined
  ahead: Member | undefined
  behind: Member | undefined

  constructor(id: number) {
    this.id = id
    this.line = undefined
    this.ahead = undefined
    this.behind = undefined
  }
}

function idsOf(line: Line<Member>): { forward: number[]; backward: number[] } {
  const forward: number[] = []
  const backward: number[] = []
  for (let at = line.first; at !== undefined; at = at.behind) forward.push(at.id)
  for (let at = line.last; at !== undefined; at = at.ahead) backward.push(at.id)
  return { forward, backward }
}

test('two lines are two arrays, whoever joins, leaves, leaves twice or joins again', () => {
  const step = fc.record({ do: fc.constantFrom('push', 'remove'), which: fc.nat(9), to: fc.nat(1) })
  fc.assert(
    fc.property(fc.array(step, { maxLength: 60, size: 'max' }), steps => {
      const members = Array.from({ length: 10 }, (_, id) => new Member(id))
      const lines = [new Line<Member>(), new Line<Member>()]
      const model: number[][] = [[], []]
      for (const { do: what, which, to } of steps) {
        const member = members[which]!
        const stands = model.some(ids => ids.includes(which))
        if (what === 'push') {
          if (stands) continue
          lines[to]!.push(member)
          model[to]!.push(which)
        } else {
          expect(lines[to]!.remove(member)).toBe(model[to]!.includes(which))
          model[to] = model[to]!.filter(id => id !== which)
        }
        for (const [i, line] of lines.entries()) {
          expect(idsOf(line)).toEqual({ forward: model[i], backward: model[i]!.toReversed() })
          expect(line.length).toBe(model[i]!.length)
        }
      }
    }),
  )
})
