import fc from 'fast-check'
import { expect, test } from 'vitest'
import { Heap } from './heap.ts'

const operation = fc.oneof(
  fc.record({ push: fc.integer({ min: -50, max: 50 }) }),
  fc.constant('pop' as const),
)

test('comes out in the order of a list that is sorted before each look', () => {
  fc.assert(
    fc.property(fc.array(operation), operations => {
      const heap = new Heap<number>((a, b) => a < b)
      let model: number[] = []
      for (const step of operations) {
        if (step === 'pop') expect(heap.pop()).toBe(model.shift())
        else {
          heap.push(step.push)
          model = [...model, step.push].toSorted((a, b) => a - b)
        }
        expect(heap.peek()).toBe(model[0])
        expect(heap.size).toBe(model.length)
      }
      heap.clear()
      expect(heap.pop()).toBeUndefined()
    }),
  )
})
