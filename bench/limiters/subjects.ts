/** Each limiter behind one function: may this key go on? Limits are so high that everything is granted. */
import type { MemoryStore } from 'express-rate-limit'
import type { RateLimiter } from 'limiter'
import type { Limiter } from 'spillway/ratelimit'

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

type Make = (keys: number) => Subject

/** Makes limiters for so many keys, where that can be said. Only the package that is asked for is loaded. */
export const subjects: Readonly<Record<string, () => Promise<Make>>> = {
  'spillway tokenBucket': async () => {
    const { tokenBucket } = await import('spillway/ratelimit')
    return maxKeys => ours(tokenBucket({ ratePerSecond: 1000, burst: 1_000_000, maxKeys }))
  },
  'spillway fixedWindow': async () => {
    const { fixedWindow } = await import('spillway/ratelimit')
    return maxKeys => ours(fixedWindow({ limit: PLENTY, windowMs: WINDOW_MS, maxKeys }))
  },
  'spillway slidingWindow': async () => {
    const { slidingWindow } = await import('spillway/ratelimit')
    return maxKeys => ours(slidingWindow({ limit: 1_000_000, windowMs: WINDOW_MS, maxKeys }))
  },
  'rate-limiter-flexible': async () => {
    const { RateLimiterMemory } = await import('rate-limiter-flexible')
    return () => {
      const limiter = new RateLimiterMemory({ points: PLENTY, duration: WINDOW_MS / 1000 })
      return { askLater: key => limiter.consume(key) }
    }
  },
  'express-rate-limit store': async () => {
    const { MemoryStore } = await import('express-rate-limit')
    return () => {
      const store = new MemoryStore()
      store.init({ windowMs: WINDOW_MS } as Parameters<MemoryStore['init']>[0])
      return { askLater: key => store.increment(key) }
    }
  },
  limiter: async () => {
    const { RateLimiter } = await import('limiter')
    return () => {
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
    }
  },
  bottleneck: async () => {
    const { default: Bottleneck } = await import('bottleneck')
    return () => {
      const group = new Bottleneck.Group({ reservoir: PLENTY })
      const nothing = async (): Promise<void> => {}
      return { askLater: key => group.key(key).schedule(nothing), together: true }
    }
  },
}
