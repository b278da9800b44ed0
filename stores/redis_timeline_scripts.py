"""The scripts over one feed set; `redis_timelines` says what its marks mean.

Marks share the score +inf, so they sort by their bytes and the highest floor is the last of them:
raising the floor is adding one and removing all floors but the last, with no comparison here
(Lua's would follow the server's locale). ARGV[1] and ARGV[2] are the cap and the trim slack.
"""

from stores.redis_commands import Script

_COMMON = """
local key, cap, slack = KEYS[1], tonumber(ARGV[1]), tonumber(ARGV[2])

local function marks()
  return redis.call('ZRANGEBYSCORE', key, '+inf', '+inf')
end

-- Whether somebody builds or has built it. These two marks sort before the others, which a writer
-- who was late for a feed that had just gone leaves, too.
local function is_feed()
  return string.sub(marks()[1] or '', 1, 2) == '!b'
end

local function remove_marks(prefix, upto)
  for i, mark in ipairs(marks()) do
    if i <= upto and string.sub(mark, 1, #prefix) == prefix then
      redis.call('ZREM', key, mark)
    end
  end
end

local function raise_floor(mark)
  redis.call('ZADD', key, '+inf', mark)
  remove_marks('!floor:', #marks() - 1)
end

local function trim()
  local size = redis.call('ZCARD', key)
  if size <= cap + slack then return end
  local extra = size - #marks() - cap
  if extra <= slack then return end
  local last = redis.call('ZRANGE', key, extra - 1, extra - 1, 'WITHSCORES')
  local post = string.sub(last[1], 1, 11)
  raise_floor(string.format('!floor:%013.0f:%s', tonumber(last[2]), post))
  redis.call('ZREMRANGEBYRANK', key, 0, extra - 1)
end
"""

PUSH = Script(
    _COMMON
    + """
-- ARGV: cap, slack, score, member. 1 when the feed exists, 0 when not.
if not is_feed() then
  redis.call('DEL', key)
  return 0
end
redis.call('ZADD', key, ARGV[3], ARGV[4])
trim()
return 1
"""
)

TRIM = Script(
    _COMMON
    + """
-- ARGV: cap, slack.
trim()
return 0
"""
)

MERGE = Script(
    _COMMON
    + """
-- ARGV: cap, slack, building mark or '', built mark, floor mark or '', then score, member, ...
local building, built, floor = ARGV[3], ARGV[4], ARGV[5]
if not is_feed() then return 0 end
if building ~= '' and not redis.call('ZSCORE', key, building) then return 0 end
for i = 6, #ARGV, 1000 do
  redis.call('ZADD', key, unpack(ARGV, i, math.min(i + 999, #ARGV)))
end
if floor ~= '' then raise_floor(floor) end
if building ~= '' then
  remove_marks('!building:', #marks())
  remove_marks('!built:', #marks())
  redis.call('ZADD', key, '+inf', built)
end
trim()
local all = marks()
local ms = string.match(all[#all] or '', '^!floor:(%d+):')
if ms then redis.call('ZREMRANGEBYSCORE', key, '-inf', '(' .. ms) end
return 1
"""
)

REMOVE_AUTHOR = Script("""
-- ARGV: the ten characters for the author in members, the author's mark.
local gone = {ARGV[2]}
for _, name in ipairs(redis.call('ZRANGE', KEYS[1], 0, -1)) do
  if #name == 21 and string.sub(name, 12) == ARGV[1] then gone[#gone + 1] = name end
end
for i = 1, #gone, 1000 do
  redis.call('ZREM', KEYS[1], unpack(gone, i, math.min(i + 999, #gone)))
end
return #gone
""")
