-- secrets: values, and references to values that only the host sees.
local N, P = ...

local arg, getmetatable, rawget, setmetatable, type = P.arg, P.getmetatable, rawget, setmetatable, type

-- What a reference shows of itself, wherever it is not used as one.
local reference = N.secret_mark
local function shown(self) return (rawget(self, "prefix") or "") .. "secret:" .. rawget(self, "key") end
reference.__name = "secret"
reference.__metatable = "secret"
reference.__tostring = shown
reference.__concat = function(left, right)
  return (P.is_reference(left) and shown(left) or left) .. (P.is_reference(right) and shown(right) or right)
end
reference.__newindex = function() P.fail("a reference to a secret cannot be changed") end

function P.is_reference(value)
  return type(value) == "table" and getmetatable(value) == reference
end

secrets = {
  -- The value of a secret that the step declares.
  get = function(key)
    arg("secrets.get", 1, key, "string")
    local _, value = P.call(N.op.secret, { key = key })
    return value
  end,
  -- A reference to it: the host puts the value in where a request has the reference, after the prefix.
  ref = function(key, prefix)
    arg("secrets.ref", 1, key, "string")
    arg("secrets.ref", 2, prefix, "string", true)
    P.call(N.op.secret, { key = key, reference = true })
    return setmetatable({ key = key, prefix = prefix }, reference)
  end,
}

-- What stands for the references of one request: `tokens.FORM(reference)` is a text that occurs nowhere else, which the
-- host replaces by the value as that form needs it; `list` has all of them.
function P.tokens()
  local list = {}
  local function of(form)
    local known = {}
    return function(value)
      local key = rawget(value, "key")
      if not known[key] then
        known[key] = "restroy-secret-" .. N.hex_encode(N.random(16))
        list[#list + 1] = { token = known[key], key = key, form = form }
      end
      return (rawget(value, "prefix") or "") .. known[key]
    end
  end
  return { header = of "header", url = of "url", json = of "json", list = list }
end

local native = crypto.hmac
function crypto.hmac(algorithm, key, bytes, form)
  if not P.is_reference(key) then return native(algorithm, key, bytes, form) end
  arg("crypto.hmac", 1, algorithm, "string")
  arg("crypto.hmac", 3, bytes, "string")
  if rawget(key, "prefix") then P.fail("crypto.hmac: the reference to the key must not have a prefix") end
  local _, mac = P.call(N.op.secret_hmac, { key = rawget(key, "key"), algorithm = algorithm }, bytes)
  if form == "raw" then return mac end
  return N.hex_encode(mac)
end
