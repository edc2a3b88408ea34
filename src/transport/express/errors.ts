import type { ErrorRequestHandler } from 'express'
import { isRejection } from '../../core/rejection.ts'
import { exchangeOf } from '../http/exchange.ts'
import { problemOf } from '../http/problem.ts'
import { sendProblem } from '../http/send.ts'

/**
 * Answers the refusals that handlers fail with: a gRPC call that a breaker refused, a limit of their own. It
 * stands last, `app.use(errors())`, and passes every other error on. The gates of `protect` are told of both.
 */
export function errors(): ErrorRequestHandler {
  return (error, request, response, next) => {
    exchangeOf(request)?.note(error)
    // The client has gone, and with it whoever the cancellation was news to.
    if (response.destroyed && isRejection(error, 'cancelled')) return
    const problem = response.headersSent ? undefined : problemOf(error)
    if (problem === undefined) next(error)
    else sendProblem(response, problem)
  }
}
