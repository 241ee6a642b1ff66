-- json, base64, crypto, uuid.
local N, P = ...

local select, setmetatable, type = select, setmetatable, type
local format, byte = string.format, string.byte
local arg = P.arg

json = {
  null = N.null,
  -- Marks a table as an array: an empty one is written [] instead of {}.
  array = function(list)
    return setmetatable(arg("json.array", 1, list, "table", true) or {}, N.array_mark)
  end,
  encode = function(value)
    local ok, text = N.json_encode(value)
    if ok then return text end
    P.fail("json.encode: " .. text)
  end,
  decode = function(text)
    arg("json.decode", 1, text, "string")
    local ok, value = N.json_decode(text)
    if ok then return value end
    P.fail("json.decode: " .. value)
  end,
}

base64 = {
  encode = function(bytes) return N.base64_encode(arg("base64.encode", 1, bytes, "string"), false) end,
  -- The URL-safe alphabet, without padding.
  encode_url = function(bytes) return N.base64_encode(arg("base64.encode_url", 1, bytes, "string"), true) end,
  -- Takes both alphabets, with or without padding.
  decode = function(text)
    return N.base64_decode(arg("base64.decode", 1, text, "string")) or P.fail("base64.decode: not base64")
  end,
}

-- Digests are lower-case hexadecimal; with "raw" as last argument they are bytes.
local function out(bytes, form)
  if form == "raw" then return bytes end
  return N.hex_encode(bytes)
end

crypto = {
  hmac = function(algorithm, key, bytes, form)
    arg("crypto.hmac", 1, algorithm, "string")
    arg("crypto.hmac", 2, key, "string")
    arg("crypto.hmac", 3, bytes, "string")
    local mac = N.hmac(algorithm, key, bytes)
    if not mac then P.fail("crypto.hmac: no such algorithm: " .. algorithm) end
    return out(mac, form)
  end,
  hex = function(bytes) return N.hex_encode(arg("crypto.hex", 1, bytes, "string")) end,
  unhex = function(text)
    return N.hex_decode(arg("crypto.unhex", 1, text, "string")) or P.fail("crypto.unhex: not hexadecimal")
  end,
  random_bytes = function(count)
    arg("crypto.random_bytes", 1, count, "number")
    if count < 0 or count > 65536 or count % 1 ~= 0 then P.fail("crypto.random_bytes: 0 to 65536 bytes") end
    return N.random(count)
  end,
  -- Compares in a time that does not depend on where the strings differ.
  equal = function(left, right)
    arg("crypto.equal", 1, left, "string")
    arg("crypto.equal", 2, right, "string")
    if #left ~= #right then return false end
    local difference = 0
    for index = 1, #left do difference = difference | (byte(left, index) ~ byte(right, index)) end
    return difference == 0
  end,
}
for _, algorithm in ipairs { "md5", "sha1", "sha256", "sha384", "sha512" } do
  crypto[algorithm] = function(bytes, form)
    return out(N.digest(algorithm, arg("crypto." .. algorithm, 1, bytes, "string")), form)
  end
end

local function dashed(bytes)
  local hex = N.hex_encode(bytes)
  return format("%s-%s-%s-%s-%s", hex:sub(1, 8), hex:sub(9, 12), hex:sub(13, 16), hex:sub(17, 20), hex:sub(21))
end

-- 16 bytes with the version's and the variant's bits set.
local function marked(bytes, version)
  local seventh, ninth = byte(bytes, 7), byte(bytes, 9)
  return bytes:sub(1, 6)
    .. string.char(seventh & 0x0f | version << 4)
    .. bytes:sub(8, 8)
    .. string.char(ninth & 0x3f | 0x80)
    .. bytes:sub(10)
end

uuid = {
  v4 = function() return dashed(marked(N.random(16), 4)) end,
  v7 = function()
    return dashed(marked(string.pack(">I6", N.now() // 1000) .. N.random(10), 7))
  end,
}

-- Lua would seed from its clock and an address.
function math.randomseed(...)
  if select("#", ...) == 0 then
    return P.randomseed(string.unpack("<i8i8", N.random(16)))
  end
  return P.randomseed(...)
end
