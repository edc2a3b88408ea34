import fc from 'fast-check'
import { expect, test } from 'vitest'
import { routeOf } from './route-of.ts'

test.each([
  ['/', 'GET /'],
  ['/users', 'GET /users'],
  ['/users/', 'GET /users/'],
  ['/users/17', 'GET /users'],
  ['/users/17/orders', 'GET /users'],
  ['/users?page=2', 'GET /users'],
  ['/v1/users/17', 'GET /v1/users'],
  ['/v12/users', 'GET /v12/users'],
  ['/api/v2/shop/cart/items', 'GET /api/v2/shop'],
  ['/files/3f2a9c', 'GET /files'],
  ['/files/a-very-long-name-that-is-one-of-many', 'GET /files'],
  ['/17', 'GET '],
  ['*', 'GET *'],
  ['', 'GET '],
])('%s is %s', (url, route) => {
  expect(routeOf('GET', url)).toBe(route)
})

test('whatever is asked for, it is a beginning of it, and short', () => {
  fc.assert(
    fc.property(fc.string({ maxLength: 200 }), path => {
      const route = routeOf('GET', `/${path}`)
      expect(`GET /${path}`.startsWith(route)).toBe(true)
      expect(route.length).toBeLessThanOrEqual(4 + 3 * 25)
    }),
  )
})
