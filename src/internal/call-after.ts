import { answeredEarly, workBehind } from '../core/work.ts'

/**
 * Makes a call once `before` has come. Whoever waits outside for the work of a call, and not only for its answer,
 * learns through the promise that this returns whether work still goes on.
 */
export function callAfter<B, T>(before: Promise<B>, call: (value: B) => Promise<T>): Promise<T> {
  const passed: Promise<T> = before.then(value => {
    const answer = call(value)
    answer.catch(() => {
      const work = workBehind(answer)
      if (work !== answer) answeredEarly(passed, work)
    })
    return answer
  })
  return passed
}
