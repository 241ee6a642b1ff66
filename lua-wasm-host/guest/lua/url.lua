-- url: parts of addresses, percent-encoding, query strings.
local _, P = ...

local arg, ipairs, pairs, tostring, type = P.arg, ipairs, pairs, tostring, type
local concat, sort = table.concat, table.sort
local byte, char, format = string.byte, string.char, string.format

local function encode(text)
  return (text:gsub("[^%w%-%._~]", function(c) return format("%%%02X", byte(c)) end))
end

local function decode(text)
  return (text:gsub("%%(%x%x)", function(hex) return char(tonumber(hex, 16)) end))
end

-- name=value pairs, sorted by name; a list gives its name once for each element. `tokens` stand for references to
-- secrets; without them a reference is its text.
local function query(values, tokens)
  local names = {}
  for name in pairs(values) do names[#names + 1] = tostring(name) end
  sort(names)
  local pairs_ = {}
  for _, name in ipairs(names) do
    local value = values[name]
    if type(value) ~= "table" or P.is_reference(value) then value = { value } end
    for _, one in ipairs(value) do
      if tokens and P.is_reference(one) then one = tokens(one) end
      pairs_[#pairs_ + 1] = encode(name) .. "=" .. encode(tostring(one))
    end
  end
  return concat(pairs_, "&")
end

-- The reverse: a name that comes once has a string, one that comes again a list.
local function parse_query(text)
  local values = {}
  for pair in text:gmatch("[^&]+") do
    local name, value = pair:match("^([^=]*)=?(.*)$")
    name, value = decode(name:gsub("%+", " ")), decode(value:gsub("%+", " "))
    local had = values[name]
    if had == nil then
      values[name] = value
    elseif type(had) == "table" then
      had[#had + 1] = value
    else
      values[name] = { had, value }
    end
  end
  return values
end

url = {
  encode = function(text) return encode(tostring(text)) end,
  decode = function(text) return decode(arg("url.decode", 1, text, "string")) end,
  query = function(values) return query(arg("url.query", 1, values, "table")) end,
  parse_query = function(text) return parse_query(arg("url.parse_query", 1, text, "string")) end,
  -- scheme, user, password, host, port, path, query, fragment; what is not there is nil.
  parse = function(text)
    arg("url.parse", 1, text, "string")
    local parts = {}
    local rest = text:gsub("#(.*)$", function(fragment) parts.fragment = fragment return "" end)
    rest = rest:gsub("%?(.*)$", function(q) parts.query = q return "" end)
    rest = rest:gsub("^(%a[%w+.-]*):", function(scheme) parts.scheme = scheme:lower() return "" end)
    local authority, path = rest:match("^//([^/]*)(.*)$")
    parts.path = path or rest
    if authority then
      local user, host = authority:match("^(.*)@(.*)$")
      if user then
        parts.user, parts.password = user:match("^([^:]*):?(.*)$")
        if parts.password == "" then parts.password = nil end
      end
      host = host or authority
      local name, port = host:match("^(.-):(%d+)$")
      parts.host, parts.port = (name or host):lower(), port and tonumber(port)
    end
    return parts
  end,
  build = function(parts)
    arg("url.build", 1, parts, "table")
    local out = {}
    if parts.scheme then out[#out + 1] = parts.scheme .. ":" end
    if parts.host then
      out[#out + 1] = "//"
      if parts.user then
        out[#out + 1] = parts.user .. (parts.password and ":" .. parts.password or "") .. "@"
      end
      out[#out + 1] = parts.host .. (parts.port and ":" .. tostring(parts.port) or "")
    end
    out[#out + 1] = parts.path or ""
    local q = parts.query
    if type(q) == "table" then q = query(q) end
    if q and q ~= "" then out[#out + 1] = "?" .. q end
    if parts.fragment then out[#out + 1] = "#" .. parts.fragment end
    return concat(out)
  end,
}

-- Appends a query to an address that may already have one.
function P.with_query(address, values, tokens)
  local added = query(values, tokens)
  if added == "" then return address end
  local before, fragment = address:match("^(.-)(#.*)$")
  before = before or address
  local joint = before:find("?", 1, true) and "&" or "?"
  return before .. joint .. added .. (fragment or "")
end
P.form = query
