/**
 * Takes tokens ahead.
 *
 *   KEYS   the bucket, the block
 *   ARGV   limit, emission, parts, need, want, nodes
 *   reply  granted, blocked for, debt after that, in the bucket's units
 *
 *   granted = min(want, room, max(need, floor(room / (2 nodes))))
 *
 * `need` is what calls wait for; the rest is for calls to come, and is never more than a fair part of what is left,
 * so that the end of a budget is not locked up in a process that has no use for it.
 */
import { type RedisScript, redisScript } from '../../internal/redis-script.ts'
import { BUCKET, SERVER_TIME } from './lua.ts'

const BODY = `
local limit, emission, parts = tonumber(ARGV[1]), tonumber(ARGV[2]), tonumber(ARGV[3])
local need, want, nodes = tonumber(ARGV[4]), tonumber(ARGV[5]), tonumber(ARGV[6])
local values = redis.call('MGET', KEYS[1], KEYS[2])
local debt = debt_of(values[1], emission, parts, limit)
if values[2] then
  local blocked = tonumber(values[2]) - now
  if blocked > 0 then return { 0, blocked, debt } end
end
local room = math.max(0, math.floor((limit * emission - debt) / emission))
local granted = math.min(want, room, math.max(need, math.floor(room / (2 * nodes))))
if granted > 0 then
  debt = debt + granted * emission
  put_debt(KEYS[1], debt, parts)
end
return { granted, 0, debt }
`

export function leaseScript(time: string = SERVER_TIME): RedisScript {
  return redisScript(time + BUCKET + BODY)
}
