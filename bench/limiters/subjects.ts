/** Each limiter behind one function: may this key go on? Limits are so high that everything is granted. */
import Bottleneck from 'bottleneck'
import { MemoryStore } from 'express-rate-limit'
import { RateLimiter } from 'limiter'
import { RateLimiterMemory } from 'rate-limiter-flexible'
import { fixedWindow, type Limiter, slidingWindow, tokenBucket } from 'spillway/ratelimit'

/**
 * A limiter that answers at once, one that has to be awaited, or one that starts a timer for each job, which would
 * be measured if its jobs were not given to it many at a time.
 */
export type Subject =
  | { readonly ask: (key: string) => boolean }
  | { readonly askLater: (key: string) => Promise<unknown>; readonly together?: true }

const WINDOW_MS = 60_000
const PLENTY = 1_000_000_000

function ours(limiter: Limiter): Subject {
  return { ask: key => limiter.take(key).allowed }
}

/** Made for `keys` keys, where that can be said. */
export const subjects: Readonly<Record<string, (keys: number) => Subject>> = {
  'spillway tokenBucket': maxKeys => ours(tokenBucket({ ratePerSecond: 1000, burst: 1_000_000, maxKeys })),
  'spillway fixedWindow': maxKeys => ours(fixedWindow({ limit: PLENTY, windowMs: WINDOW_MS, maxKeys })),
  'spillway slidingWindow': maxKeys =>
    ours(slidingWindow({ limit: 1_000_000, windowMs: WINDOW_MS, maxKeys })),
  'rate-limiter-flexible': () => {
    const limiter = new RateLimiterMemory({ points: PLENTY, duration: WINDOW_MS / 1000 })
    return { askLater: key => limiter.consume(key) }
  },
  'express-rate-limit store': () => {
    const store = new MemoryStore()
    store.init({ windowMs: WINDOW_MS } as Parameters<MemoryStore['init']>[0])
    return { askLater: key => store.increment(key) }
  },
  limiter: () => {
    const limiters = new Map<string, RateLimiter>()
    return {
      ask: key => {
        let limiter = limiters.get(key)
        if (limiter === undefined) {
          limiter = new RateLimiter({ tokensPerInterval: PLENTY, interval: WINDOW_MS })
          limiters.set(key, limiter)
        }
        return limiter.tryRemoveTokens(1)
      },
    }
  },
  bottleneck: () => {
    const group = new Bottleneck.Group({ reservoir: PLENTY })
    const nothing = async (): Promise<void> => {}
    return { askLater: key => group.key(key).schedule(nothing), together: true }
  },
}
