/**
 * Every limit of a key, asked and charged in one step.
 *
 *   KEYS   one for each limit, then the one that says until when the key is blocked
 *   ARGV   operation, cost, age of what is refunded in microseconds;
 *          then four for each limit:  limit, emission, parts, 'gcra'   or   limit, bucket, buckets, 'whole' | 'weighted'
 *          A take from a single bucket with an emission of whole microseconds says it shorter, since each argument
 *          costs time on both sides:  limit, emission, cost (1 where it is left out)
 *   reply  granted (1 or 0), blocked for, then three for each limit:  wait, remaining, reset
 *
 * Times are microseconds; a wait of -1 is for ever. All limits are asked before any is charged, and a call that is
 * denied writes nothing. A window is kept as `bucket:newest:counts`, newest first; see ../sliding-window.ts for its
 * rule and ../gcra.ts for that of a bucket.
 */
import { type RedisScript, redisScript } from '../../internal/redis-script.ts'
import { BUCKET, SERVER_TIME } from './lua.ts'

/**
 * The call that nearly all calls are, by itself: it makes no functions and no tables, which halves what it costs.
 * What it cannot answer goes on in words that the rest understands.
 */
const SINGLE = `
local args = ARGV
if not ARGV[4] then
  local limit, emission, cost = tonumber(ARGV[1]), tonumber(ARGV[2]), tonumber(ARGV[3] or 1)
  local values = redis.call('MGET', KEYS[1], KEYS[2])
  local full_at = tonumber(values[1] or now)
  if full_at and not values[2] and cost > 0 and cost <= limit then
    local debt = math.max(0, math.min(full_at - now, 2 * limit * emission))
    local left = limit * emission - debt - cost * emission
    if left < 0 then
      return { 0, 0, -left, math.floor(math.max(0, left + cost * emission) / emission), debt }
    end
    debt = debt + cost * emission
    redis.call('SET', KEYS[1], now + debt, 'PX', math.ceil(debt / 1000))
    return { 1, 0, 0, math.floor(left / emission), debt }
  end
  args = { 'take', cost, 0, ARGV[1], ARGV[2], 1, 'gcra' }
end
`

const WINDOW = `
local function ring_of(value, bucket, buckets)
  local index = math.floor(now / bucket)
  local ring = { index = index, sum = 0 }
  for j = 0, buckets do ring[j] = 0 end
  if not value then return ring end
  local width, newest, counts = string.match(value, '^(%d+):(%d+):(.*)$')
  if not width then return ring end
  -- Where the buckets had another length, or the clock went back, what was counted counts as taken now.
  local same = tonumber(width) == bucket
  local j = same and math.max(0, index - tonumber(newest)) or 0
  for count in string.gmatch(counts, '%d+') do
    if j > buckets then break end
    ring[j] = ring[j] + tonumber(count)
    ring.sum = ring.sum + tonumber(count)
    if same then j = j + 1 end
  end
  return ring
end

local function ring_used(ring, bucket, buckets, weighted)
  local used = ring.sum * bucket
  if weighted then used = used - ring[buckets] * (now - ring.index * bucket) end
  return used
end

local function ring_wait(ring, cost, limit, bucket, buckets, weighted)
  if ring_used(ring, bucket, buckets, weighted) + cost * bucket <= limit * bucket then return 0 end
  local later = ring.sum
  for j = buckets, 0, -1 do
    local count = ring[j]
    later = later - count
    local spare = limit - cost - later
    if spare >= 0 and count > 0 then
      local into = 0
      if weighted then
        into = math.max(0, bucket - math.floor(spare * bucket / count))
      elseif spare < count then
        into = bucket
      end
      return (ring.index - j + buckets) * bucket + into - now
    end
  end
end

local function ring_reset(ring, bucket, buckets)
  for j = 0, buckets do
    if ring[j] > 0 then return (ring.index - j + buckets + 1) * bucket - now end
  end
  return 0
end

local function put_ring(key, ring, bucket, buckets)
  local last = buckets
  while last >= 0 and ring[last] == 0 do last = last - 1 end
  if last < 0 then
    redis.call('DEL', key)
    return
  end
  local counts = {}
  for j = 0, last do counts[j + 1] = string.format('%.0f', ring[j]) end
  local text = string.format('%.0f:%.0f:', bucket, ring.index) .. table.concat(counts, ',')
  redis.call('SET', key, text, 'PX', math.max(1, math.ceil(ring_reset(ring, bucket, buckets) / 1000)))
end
`

const BODY = `
local operation, cost = args[1], tonumber(args[2])
local count = #KEYS - 1
local values = redis.call('MGET', unpack(KEYS))
local blocked = 0
if values[count + 1] then blocked = math.max(0, tonumber(values[count + 1]) - now) end

if operation == 'block' then
  local until_us = now + cost
  if cost == 0 then
    redis.call('DEL', KEYS[count + 1])
  elseif cost >= 2 ^ 51 then
    redis.call('SET', KEYS[count + 1], string.format('%.0f', until_us))
  else
    redis.call('SET', KEYS[count + 1], string.format('%.0f', until_us), 'PX', math.max(1, math.ceil(cost / 1000)))
  end
  return { 1, cost }
end

local states, reply = {}, { 1, blocked }
if blocked > 0 then reply[1] = 0 end
for i = 1, count do
  local limit, x, y, kind = tonumber(args[4 * i]), tonumber(args[4 * i + 1]), tonumber(args[4 * i + 2]), args[4 * i + 3]
  local wait = 0
  if kind == 'gcra' then
    states[i] = debt_of(values[i], x, y, limit)
    if cost > 0 then wait = math.max(0, math.ceil((states[i] + (cost - limit) * x) / y)) end
  else
    states[i] = ring_of(values[i], x, y)
    if cost > 0 and cost <= limit then wait = ring_wait(states[i], cost, limit, x, y, kind == 'weighted') end
  end
  if cost > limit or limit == 0 then wait = -1 end
  if wait ~= 0 then reply[1] = 0 end
  reply[3 * i] = wait
end

local takes = operation == 'take' and reply[1] == 1
local writes = cost > 0 and (takes or operation == 'charge' or operation == 'refund')
for i = 1, count do
  local limit, x, y, kind = tonumber(args[4 * i]), tonumber(args[4 * i + 1]), tonumber(args[4 * i + 2]), args[4 * i + 3]
  local state = states[i]
  if kind == 'gcra' then
    if writes then
      if operation == 'refund' then
        local debt = math.max(0, state - cost * x)
        if debt ~= state then put_debt(KEYS[i], debt, y) end
        state = debt
      else
        state = math.min(state + cost * x, 2 * limit * x)
        put_debt(KEYS[i], state, y)
      end
    end
    reply[3 * i + 1] = math.max(0, math.floor((limit * x - state) / x))
    reply[3 * i + 2] = math.ceil(state / y)
  else
    if writes then
      local j, change = 0, math.min(cost, math.max(0, 2 * limit - state.sum))
      if operation == 'refund' then
        j = state.index - math.floor((now - tonumber(args[3])) / x)
        change = -math.min(cost, state[j] or 0)
      end
      if change ~= 0 then
        state[j] = state[j] + change
        state.sum = state.sum + change
        put_ring(KEYS[i], state, x, y)
      end
    end
    local used = ring_used(state, x, y, kind == 'weighted')
    reply[3 * i + 1] = math.max(0, math.floor((limit * x - used) / x))
    reply[3 * i + 2] = ring_reset(state, x, y)
  end
  if blocked > 0 then reply[3 * i + 1] = 0 end
end
return reply
`

export function exactScript(time: string = SERVER_TIME): RedisScript {
  return redisScript(time + SINGLE + BUCKET + WINDOW + BODY)
}
