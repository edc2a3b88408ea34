/**
 * Pieces that the scripts share.
 *
 *   now    microseconds of the server's clock since 2024: below 2^53, so exact in Lua's only kind of number
 *   debt   what is taken of a bucket and has not come back, in `1 / parts` microseconds, a whole number
 *
 * The state of a bucket is the time at which it will be full again, `us` or `us:part`. A time that is further away
 * than a bucket could ever be, because the server's clock jumped or the limit was lowered, counts as that furthest.
 */

/** Sets `now`. The tests give another one, since nobody can move a server's clock. */
export const SERVER_TIME = `
local time = redis.call('TIME')
local now = (time[1] - 1704067200) * 1000000 + time[2]
`

export const BUCKET = `
local function debt_of(value, emission, parts, burst)
  if not value then return 0 end
  local us, part = tonumber(value), 0
  if not us then
    local first, second = string.match(value, '^(%d+):(%d+)$')
    if not first then return 0 end
    us, part = tonumber(first), math.min(tonumber(second), parts - 1)
  end
  return math.max(0, math.min((us - now) * parts + part, 2 * burst * emission))
end

local function put_debt(key, debt, parts)
  if debt <= 0 then
    redis.call('DEL', key)
    return
  end
  local part = debt % parts
  local us = now + (debt - part) / parts
  local text = string.format('%.0f', us)
  if part > 0 then text = text .. string.format(':%.0f', part) end
  redis.call('SET', key, text, 'PX', math.max(1, math.ceil(debt / parts / 1000)))
end
`
