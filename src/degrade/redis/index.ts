export type { RedisStore, RedisStoreOptions, RedisStoreSnapshot } from './redis-store.ts'
export { redisStore } from './redis-store.ts'
export type { RedisSwitches, RedisSwitchesOptions, RedisSwitchesSnapshot } from './redis-switches.ts'
export { redisSwitches } from './redis-switches.ts'
