/** How many segments of a path make a route. */
const MAX_SEGMENTS = 3
/** What is longer than this is hardly a name. */
const MAX_SEGMENT = 24

const slash = 47
const question = 63
const zero = 48
const nine = 57

/**
 * What a request asks for, without knowing how the application routes: the method and the beginning of the path,
 * up to where an identifier begins. `GET /users/17?full` and `GET /users/18` are both `GET /users`;
 * `GET /v1/users/17` is `GET /v1/users`. At most three segments count.
 */
export function routeOf(method: string, url: string): string {
  let end = 0
  let start = 1
  let digits = false
  for (let segments = 0, i = 1; segments < MAX_SEGMENTS; i++) {
    const code = i < url.length ? url.charCodeAt(i) : question
    if (code === slash || code === question) {
      // A version is part of the name: v and a digit or two.
      const version = i - start <= 3 && url.charCodeAt(start) === 118
      if ((digits && !version) || i - start > MAX_SEGMENT) break
      end = i
      segments++
      if (code === question) break
      start = i + 1
      digits = false
    } else if (code >= zero && code <= nine) digits = true
  }
  return `${method} ${url.slice(0, end)}`
}

const probes: ReadonlySet<string> = new Set(['/health', '/healthz', '/livez', '/readyz', '/metrics'])
const SHORTEST_PROBE = 6
const LONGEST_PROBE = 8
/** The first letters of all of them, a bit for each. */
const initials = [...probes].reduce((bits, path) => bits | initial(path), 0)

/** Whether somebody asks how the service is, and not for the service. */
export function isProbe(url: string): boolean {
  if (url.length < SHORTEST_PROBE || (initials & initial(url)) === 0) return false
  if (url.length <= LONGEST_PROBE) return probes.has(url)
  const end = url.indexOf('?')
  return end > 0 && end <= LONGEST_PROBE && probes.has(url.slice(0, end))
}

function initial(path: string): number {
  return 1 << (path.charCodeAt(1) & 31)
}
