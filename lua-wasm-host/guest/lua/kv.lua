-- kv: the board's key-value store. Values are whatever has a JSON form.
local N, P = ...

local arg = P.arg
local op = N.op

local function encoded(where, value)
  local ok, text = N.json_encode(value)
  if ok then return text end
  P.fail(where .. ": " .. text)
end

local function decoded(text)
  if text == nil then return nil end
  local ok, value = N.json_decode(text)
  if ok then return value end
  P.fail("kv: the stored value is not JSON: " .. value)
end

local function ttl(where, options)
  arg(where, 3, options, "table", true)
  return options and options.ttl
end

kv = {
  -- The value, or nil.
  get = function(key)
    return decoded(P.call(op.kv_get, { key = arg("kv.get", 1, key, "string") }).value)
  end,
  -- Options: ttl (seconds).
  set = function(key, value, options)
    arg("kv.set", 1, key, "string")
    if value == nil then P.fail("kv.set: the value is nil (kv.delete removes a key)") end
    P.call(op.kv_set, { key = key, value = encoded("kv.set", value), ttl = ttl("kv.set", options) })
  end,
  -- Whether it was there.
  delete = function(key)
    return P.call(op.kv_delete, { key = arg("kv.delete", 1, key, "string") }).existed
  end,
  -- Adds to an integer (an absent one is 0) and gives the sum.
  incr = function(key, by, options)
    arg("kv.incr", 1, key, "string")
    if by ~= nil and math.type(by) ~= "integer" then P.fail("kv.incr: the second argument must be an integer") end
    return P.call(op.kv_incr, { key = key, by = by, ttl = ttl("kv.incr", options) }).value
  end,
  -- Compare and set: stores value (nil removes) if what is there equals expected (nil: nothing).
  cas = function(key, expected, value, options)
    arg("kv.cas", 1, key, "string")
    return P.call(op.kv_cas, {
      key = key,
      expected = expected ~= nil and encoded("kv.cas", expected) or nil,
      value = value ~= nil and encoded("kv.cas", value) or nil,
      ttl = options and options.ttl,
    }).swapped
  end,
  -- Entries {key, value} by key. Options: after (a key), limit (default 100, at most 1000).
  list = function(prefix, options)
    arg("kv.list", 1, prefix, "string", true)
    arg("kv.list", 2, options, "table", true)
    options = options or {}
    local entries = P.call(op.kv_list, { prefix = prefix or "", after = options.after, limit = options.limit }).entries
    for _, entry in ipairs(entries) do entry.value = decoded(entry.value) end
    return entries
  end,
}
