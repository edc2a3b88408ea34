import { expect, test } from 'vitest'
import { adaptive } from './adaptive.ts'
import { fixed } from './fixed.ts'
import { type Refusal, refusals, type Verdict } from './shedder.ts'

/** The compiler sees to it that none is missing here and none is too many. */
const counts: Record<Refusal, 0> = {
  limit: 0,
  share: 0,
  delay: 0,
  wait: 0,
  expired: 0,
  full: 0,
  late: 0,
  gone: 0,
}

test('every reason for a refusal is listed, once', () => {
  expect(refusals.toSorted()).toEqual(Object.keys(counts).toSorted())
})

test('no reason for a refusal reads like a verdict that lets a call in', () => {
  const letIn: Exclude<Verdict, Refusal>[] = ['run', 'queued']
  expect(letIn.filter(verdict => (refusals as readonly string[]).includes(verdict))).toEqual([])
})

test.each([fixed({ limit: 1 }), adaptive()])(
  '$kind counts refusals under these names and no others',
  shedder => {
    expect(shedder.snapshot().refused).toEqual(counts)
  },
)
