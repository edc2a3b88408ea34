import { advise } from '../../core/advice.ts'
import { adviceIn } from '../wire/advice.ts'

/**
 * A response that says by its status that the work failed. The parts of a chain see it as a failure, with whatever
 * the server said about trying again; whoever called `fetch` gets the response itself.
 */
export class HttpFailure extends Error {
  readonly response: Response
  readonly status: number

  constructor(response: Response) {
    super(`Answered with status ${response.status}`)
    this.name = 'HttpFailure'
    this.response = response
    this.status = response.status
    const advice = adviceIn(name => response.headers.get(name))
    if (advice !== undefined) advise(this, advice)
  }
}
