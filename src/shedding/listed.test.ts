import { expect, test } from 'vitest'
import { inspect } from '../core/mechanism.ts'
import { adaptive, aimd, bbr, codel, fixed, gradient, vegas } from './index.ts'

test('shedders of every kind are listed, for metrics and for whoever wants to know', () => {
  const made = [
    adaptive({ name: 'a' }),
    aimd({ name: 'b' }),
    bbr({ name: 'c' }),
    codel({ name: 'd' }),
    fixed({ name: 'e', limit: 3 }),
    gradient({ name: 'f' }),
    vegas({ name: 'g' }),
  ]
  const listed = inspect().map(({ kind, name }) => `${kind} ${name}`)
  expect(listed).toEqual(['adaptive a', 'aimd b', 'bbr c', 'codel d', 'fixed e', 'gradient f', 'vegas g'])
  expect(inspect().map(({ snapshot }) => snapshot)).toEqual(made.map(shedder => shedder.snapshot()))
})
