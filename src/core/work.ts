const work: unique symbol = Symbol('spillway.work')

/**
 * What still goes on behind an answer that was given before its handler had come to an end. It stands on the answer
 * itself and goes with it; a WeakMap would hold both until the next full collection.
 */
interface Early {
  [work]?: Promise<unknown>
}

/** Notes that `answer` was given while `behind` still went on. */
export function answeredEarly(answer: Promise<unknown>, behind: Promise<unknown>): void {
  Object.defineProperty(answer, work, { value: workBehind(behind), configurable: true })
}

/** The work behind `answer`: a promise that is still open if the answer came early, else the answer itself. */
export function workBehind(answer: Promise<unknown>): Promise<unknown> {
  return (answer as Early)[work] ?? answer
}

/** Calls `done` when `answer` has come and nothing goes on behind it, though it may say so only when it comes. */
export function onceDone(answer: Promise<unknown>, done: () => void): void {
  const work = workBehind(answer)
  const ended = (): void => {
    if (workBehind(work) === work) done()
    else onceDone(work, done)
  }
  work.then(ended, ended)
}
