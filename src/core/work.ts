/** What still goes on behind an answer that was given before its handler had come to an end. */
const works = new WeakMap<Promise<unknown>, Promise<unknown>>()

/** Notes that `answer` was given while `work` still went on. */
export function answeredEarly(answer: Promise<unknown>, work: Promise<unknown>): void {
  works.set(answer, works.get(work) ?? work)
}

/** The work behind `answer`: a promise that is still open if the answer came early, else the answer itself. */
export function workBehind(answer: Promise<unknown>): Promise<unknown> {
  return works.get(answer) ?? answer
}
