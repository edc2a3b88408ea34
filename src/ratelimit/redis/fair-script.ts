/**
 * Who has which share of one limit. Shares are millionths of the limit, and so are tokens of its burst.
 *
 *   KEYS   the members, a hash of `sequence expires held claims`; the block
 *   ARGV   own id, sequence, has, asks, safe, lease and window in microseconds, own claims, 'stay' | 'leave'
 *   reply  share, blocked for, tokens that come with it, then the claims of the others;   -1 for a message overtaken
 *
 * The shares in use never add up to more than the limit: whoever asks gets at most what is left beside what the
 * others hold. A member that gets less than it has goes on with what it has until the reply is there, so it counts
 * as holding the greater of both until it reports the smaller one itself. A member that reports no more is counted
 * until its lease is over, which by its own clock, counted from when it sent its last message, was before.
 *
 * The burst belongs to the shares. What belongs to the share that nobody holds fills like any bucket, and goes with
 * that share to whoever gets it, so that no part of a burst is spent twice.
 *
 * A hash that has just been made may be a Redis that lost its memory. For one lease it hands out what members say
 * that they have, and to others a safe share.
 */
import { type RedisScript, redisScript } from '../../internal/redis-script.ts'
import { SERVER_TIME } from './lua.ts'

const BODY = `
local WHOLE = 1000000
local id, sequence, has, asks, safe = ARGV[1], tonumber(ARGV[2]), tonumber(ARGV[3]), tonumber(ARGV[4]), tonumber(ARGV[5])
local lease, window, claims, stays = tonumber(ARGV[6]), tonumber(ARGV[7]), ARGV[8], ARGV[9] == 'stay'

local born, spare_at, spare, unheld = now, now, WHOLE, WHOLE
local known, others, held, reply = false, 0, 0, { 0, 0, 0 }
local all = redis.call('HGETALL', KEYS[1])
for i = 1, #all, 2 do
  local field, value = all[i], all[i + 1]
  if field == '#born' then
    -- A birth in the future: the clock went back.
    if tonumber(value) <= now then born, known = tonumber(value), true end
  elseif field == '#spare' then
    local at, level, free = string.match(value, '^(%d+) (%d+) (%d+)$')
    spare_at, spare, unheld = math.min(now, tonumber(at)), tonumber(level), tonumber(free)
  else
    local last, expires, holds, rest = string.match(value, '^(%d+) (%d+) (%d+) (.*)$')
    if tonumber(expires) <= now then
      redis.call('HDEL', KEYS[1], field)
    elseif field == id then
      if sequence <= tonumber(last) then return { -1 } end
      held = tonumber(holds)
    else
      -- The clock went back.
      if tonumber(expires) > now + lease then
        redis.call('HSET', KEYS[1], field, string.format('%s %.0f %s %s', last, now + lease, holds, rest))
      end
      others = others + tonumber(holds)
      reply[#reply + 1] = rest
    end
  end
end

if not stays then
  redis.call('HDEL', KEYS[1], id)
  return reply
end

local learning = not known or now < born + lease
local share = math.min(math.max(0, WHOLE - others), learning and math.max(has, safe) or asks)
spare = math.min(unheld, math.floor(spare + unheld * (now - spare_at) / window))
local tokens = math.min(spare, math.max(0, share - math.max(has, held)))
held = math.max(has, share)
unheld = math.max(0, WHOLE - others - held)
spare = math.min(unheld, spare - tokens)

if not known then redis.call('HSET', KEYS[1], '#born', string.format('%.0f', now)) end
redis.call('HSET', KEYS[1],
  '#spare', string.format('%.0f %.0f %.0f', now, spare, unheld),
  id, string.format('%.0f %.0f %.0f %s', sequence, now + lease, held, claims))
redis.call('PEXPIRE', KEYS[1], math.max(1, math.ceil(math.max(2 * lease, window) / 1000)))

local blocked = redis.call('GET', KEYS[2])
reply[1], reply[3] = share, tokens
if blocked then reply[2] = math.max(0, tonumber(blocked) - now) end
return reply
`

export function fairScript(time: string = SERVER_TIME): RedisScript {
  return redisScript(time + BODY)
}
