import { describe, expect, it } from 'vitest'
import { advise } from '../../core/advice.ts'
import { type Reason, Rejection, type RetryAdvice } from '../../core/rejection.ts'
import { brokenProblem, problemOf } from './problem.ts'

const secret = 'the-policy-of-the-inner-database'

function rejection(reason: Reason, retry: RetryAdvice, retryAfterMs?: number, begun = false): Rejection {
  return new Rejection({
    reason,
    policy: secret,
    retry,
    retryAfterMs,
    begun,
    detail: secret,
    cause: new Error(secret),
  })
}

describe('a refusal as an HTTP answer', () => {
  it.each<[Reason, number]>([
    ['rate-limited', 429],
    ['shed', 503],
    ['throttled', 503],
    ['breaker-open', 503],
    ['bulkhead-full', 503],
    ['no-endpoint', 503],
    ['retries-exhausted', 503],
    ['fault-injected', 503],
    ['cancelled', 503],
    ['deadline-exceeded', 504],
  ])('%s is %i, as a problem document that says nothing of what is inside', (reason, status) => {
    const problem = problemOf(rejection(reason, 'later', 1_500))!
    expect(problem.status).toBe(status)
    expect(problem.headers['content-type']).toBe('application/problem+json')
    expect(problem.headers['content-length']).toBe(String(Buffer.byteLength(problem.body)))
    const type =
      reason === 'rate-limited'
        ? 'https://iana.org/assignments/http-problem-types#quota-exceeded'
        : `urn:spillway:${reason}`
    expect(JSON.parse(problem.body)).toMatchObject({ type, status })
    expect(JSON.stringify(problem)).not.toContain(secret)
  })

  it('says when to come back: in whole seconds, rounded up, and exactly', () => {
    expect(problemOf(rejection('rate-limited', 'later', 1_001))!.headers).toMatchObject({
      'retry-after': '2',
      'retry-after-ms': '1001',
    })
    expect(problemOf(rejection('rate-limited', 'later', 0.2))!.headers).toMatchObject({
      'retry-after': '1',
      'retry-after-ms': '1',
    })
  })

  it('never asks for a wait that fits into no timer', () => {
    const { headers } = problemOf(rejection('rate-limited', 'later', Infinity))!
    expect(Number(headers['retry-after-ms'])).toBe(2 ** 31 - 1)
  })

  it('says that nobody may try again, and then names no time', () => {
    const { headers } = problemOf(rejection('breaker-open', 'never', 500))!
    expect(headers['x-should-retry']).toBe('false')
    expect(headers).not.toHaveProperty('retry-after')
  })

  it('says that nothing was done only where nothing was', () => {
    const refused = rejection('shed', 'elsewhere')
    expect(problemOf(refused, { begun: false })!.headers['x-rejected']).toBe('shed')
    expect(problemOf(refused, { begun: true })!.headers).not.toHaveProperty('x-rejected')
    expect(problemOf(refused)!.headers).not.toHaveProperty('x-rejected')
    const late = rejection('shed', 'elsewhere', undefined, true)
    expect(problemOf(late, { begun: false })!.headers).not.toHaveProperty('x-rejected')
  })

  it('is 503 for an error of somebody else that carries advice, and nothing for one that does not', () => {
    const error = new Error(secret)
    expect(problemOf(error)).toBeUndefined()
    advise(error, { retry: 'never' })
    const problem = problemOf(error)!
    expect(problem.status).toBe(503)
    expect(problem.headers['x-should-retry']).toBe('false')
    expect(problem.body).not.toContain(secret)
  })

  it('is a bare 500 for what nobody has an answer for', () => {
    expect(brokenProblem()).toMatchObject({ status: 500 })
    expect(JSON.parse(brokenProblem().body)).toEqual({
      type: 'about:blank',
      title: 'Internal Server Error',
      status: 500,
    })
  })
})
