import type { Context } from '../core/context.ts'
import type { Handler } from '../core/handler.ts'
import { endedAlready } from '../internal/ended.ts'

/** Which calls have the same answer; `undefined` for a call that is to be made as it is. */
export type KeyOf<Req> = (request: Req, context: Context) => string | undefined

/** Answers the calls that have a key by `answer`, and makes the others as they are. */
export function underKey<Req, Res>(
  keyOf: KeyOf<Req>,
  next: Handler<Req, Res>,
  answer: (key: string, request: Req, context: Context) => Promise<Res>,
): Handler<Req, Res> {
  return (request, context) => {
    const ended = endedAlready(context)
    if (ended !== undefined) return ended
    let key: string | undefined
    try {
      key = keyOf(request, context)
    } catch (error) {
      return Promise.reject(error)
    }
    return key === undefined ? next(request, context) : answer(key, request, context)
  }
}
