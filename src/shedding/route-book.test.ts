import { describe, expect, test } from 'vitest'
import { RouteBook } from './route-book.ts'

test('costs: the first is believed, later ones are averaged, none is nothing', () => {
  const route = new RouteBook().get('/')
  expect(route.costMs).toBe(0.1)
  route.learnCost(20)
  expect(route.costMs).toBe(20)
  route.learnCost(10)
  expect(route.costMs).toBe(15)
  for (let i = 0; i < 1_000; i++) route.learnCost(0)
  expect(route.costMs).toBe(0.01)
})

test('a process that had to wait in the middle of a call does not make all calls look expensive', () => {
  const route = new RouteBook().get('/')
  for (let i = 0; i < 100; i++) route.learnCost(0.5)
  route.learnCost(500)
  expect(route.costMs).toBeLessThan(0.6)
})

test('one call in ten that costs thirty times as much counts in full', () => {
  const route = new RouteBook().get('/')
  for (let i = 0; i < 1_000; i++) route.learnCost(i % 10 === 9 ? 15 : 0.5)
  expect(route.costMs).toBeGreaterThan(1.6)
  expect(route.costMs).toBeLessThan(2.3)
})

describe('the time of an undisturbed call', () => {
  const known = () => {
    const route = new RouteBook().get('/')
    for (let i = 0; i < 10; i++) route.learnTime(20, 1, true, 0)
    return route
  }

  test('is the mean of the first ten', () => {
    const route = new RouteBook().get('/')
    for (let i = 0; i < 9; i++) route.learnTime(20, 1, true, 0)
    route.closeWindow(100, false)
    expect(route.baseMs).toBeNaN()
    route.learnTime(30, 1, true, 0)
    expect(route.baseMs).toBe(21)
  })

  test('is that of the first to begin, not of the first to end, which are the quickest', () => {
    const route = new RouteBook().get('/')
    for (let i = 0; i < 10; i++) expect(route.begin(0)).toBe(true)
    expect(route.begin(0)).toBe(false)
    for (let i = 0; i < 50; i++) route.learnTime(5, 30, false, 5)
    expect(route.baseMs).toBeNaN()
    for (let i = 0; i < 10; i++) route.learnTime(i < 5 ? 10 : 30, 1, true, 30)
    expect(route.baseMs).toBe(20)
  })

  test('of one that fails the next to begin takes the place', () => {
    const route = new RouteBook().get('/')
    for (let i = 0; i < 10; i++) route.begin(0)
    route.missed()
    expect(route.begin(0)).toBe(true)
    expect(route.begin(0)).toBe(false)
  })

  test('does not wait for those that never end', () => {
    const [some, none] = [new RouteBook().get('/'), new RouteBook().get('/')]
    for (const route of [some, none]) for (let i = 0; i < 10; i++) route.begin(0)
    for (let i = 0; i < 5; i++) some.learnTime(20, 1, true, 20)
    for (let now = 50; now <= 1_000; now += 50) {
      for (const route of [some, none]) {
        route.learnTime(40, 20, false, now)
        expect(route.baseMs).toBeNaN()
      }
    }
    for (const route of [some, none]) route.learnTime(40, 20, false, 1_001)
    expect([some.baseMs, none.baseMs]).toEqual([20, 40])
  })

  test('follows calls that got faster', () => {
    const route = known()
    for (let window = 0; window < 20; window++) {
      route.learnTime(5, 1, true, 0)
      route.closeWindow(100, true)
    }
    expect(route.baseMs).toBeLessThan(5.1)
  })

  test('follows calls that got slower by 2 % a second at most, and not at all while they are held', () => {
    const route = known()
    for (let window = 0; window < 10; window++) {
      route.learnTime(1_000, 1, true, 0)
      route.closeWindow(100, false)
    }
    expect(route.baseMs).toBeGreaterThan(20.3)
    expect(route.baseMs).toBeLessThan(20.5)
    const { baseMs } = route
    route.learnTime(1_000, 1, true, 0)
    route.closeWindow(100, true)
    expect(route.baseMs).toBe(baseMs)
  })

  test('a window without calls changes nothing', () => {
    const route = known()
    route.closeWindow(100, false)
    const { baseMs } = route
    route.closeWindow(100, false)
    expect(route.baseMs).toBe(baseMs)
  })
})

test('past 256 routes all others are one', () => {
  const book = new RouteBook()
  for (let i = 0; i < 5_000; i++) book.get(`/${i}`).learnCost(i)
  expect(book.size).toBeLessThanOrEqual(257)
  expect(book.get('/9999')).toBe(book.get('/8888'))
  expect(book.get('/5')).not.toBe(book.get('/9999'))
  expect(book.get('/5').costMs).toBe(5)
  expect(book.snapshot()['/5']).toMatchObject({ costMs: 5 })
  book.reset()
  expect(book.size).toBe(0)
  expect(book.get('/9999').costMs).toBe(0.1)
})
