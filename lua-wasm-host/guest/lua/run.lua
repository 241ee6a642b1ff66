-- One run: sets up the globals, runs the entry, turns its end into a result.
local N, P = ...

local error, pcall, rawequal, rawget = error, pcall, rawequal, rawget
local tostring, type, xpcall = tostring, type, xpcall
-- Kept: scripts may replace them, and this file runs when no script is there to blame any more.
local format, match, sub = string.format, string.match, string.sub
local setmetatable = setmetatable

-- More than an embedder shows, and known to it (StepError::MESSAGE_BYTES): what is cut here may end within a secret.
local MAX_MESSAGE = 65536
local MAX_DETAILS = 65536

local libraries = {}
for _, name in ipairs {
  "base64", "coroutine", "crypto", "debug", "email", "files", "http", "io", "json", "kv", "log", "math", "os",
  "secrets", "string", "table", "time", "url", "utf8", "uuid",
} do
  libraries[name] = assert(_G[name])
end

-- require: modules answer to their path, with and without `.lua`, with dots for slashes, and
-- without their first folder. Libraries, which are there anyway, answer to their names.
local function install_require(modules)
  local names = {}
  for name in pairs(modules) do names[#names + 1] = name end
  table.sort(names)
  local aliases = {}
  local function answer_to(alias, name)
    aliases[alias] = aliases[alias] or name
  end
  for _, name in ipairs(names) do
    local bare = name:gsub("%.lua$", "")
    for _, alias in ipairs { name, bare, (bare:gsub("/", ".")) } do answer_to(alias, name) end
  end
  for _, name in ipairs(names) do
    local inner = name:gsub("%.lua$", ""):match("^[^/]+/(.+)$")
    if inner then
      answer_to(inner, name)
      answer_to((inner:gsub("/", ".")), name)
    end
  end
  local loaded, loading = {}, {}
  function require(wanted)
    P.arg("require", 1, wanted, "string")
    local name = aliases[wanted]
    if not name and libraries[wanted] then return libraries[wanted] end
    if not name then P.fail("module '" .. wanted .. "' not found") end
    if loaded[name] ~= nil then return loaded[name] end
    if loading[name] then P.fail("module '" .. wanted .. "' requires itself, directly or through others") end
    -- However the module ends: one that failed can be tried again.
    local _ <close> = setmetatable({}, { __close = function() loading[name] = nil end })
    loading[name] = true
    local chunk, failure = P.compile(name, N.module(name))
    if not chunk then
      local place = failure.details
      error(format("%s:%d:%d: %s", place.file, place.line, place.column, failure.message), 0)
    end
    local result = chunk(name)
    if result == nil then result = true end
    loaded[name] = result
    return result
  end
end

local function cut(text)
  if #text <= MAX_MESSAGE then return text end
  return sub(text, 1, MAX_MESSAGE) .. "… (cut)"
end

-- Metamethods of the script run here, so what they raise is caught.
local function shown(value)
  local ok, text = pcall(tostring, value)
  if ok and type(text) == "string" then return text end
  return "(error object is a " .. type(value) .. " value)"
end

local function failure_of(value, traceback)
  local failure = { kind = "script_error", traceback = traceback ~= "" and traceback or nil }
  if type(value) == "table" then
    local message, code = rawget(value, "message"), rawget(value, "code")
    if type(message) == "string" then
      failure.message = message
    elseif type(code) == "string" then
      failure.message = code
    else
      failure.message = shown(value)
    end
    local ok, json = N.json_encode(value)
    if ok and #json <= MAX_DETAILS then failure.details = json end
    local retryable = rawget(value, "retryable")
    if type(retryable) == "boolean" then failure.retryable = retryable end
  elseif type(value) == "userdata" then
    -- A native function's complaint about its arguments carries a traceback of its own.
    failure.message = match(shown(value), "^[^\n]*")
  else
    failure.message = shown(value)
  end
  failure.message = cut(failure.message)
  return failure
end

-- What an uncaught error becomes. Its own table, so that no error value can be mistaken for it.
local caught
local function handler(value)
  caught = { value = value, traceback = P.traceback() }
  return caught
end

local function finish(ok, value)
  P.flush()
  if not ok then
    -- Where the handler itself could not run (no stack was left), Lua gives a message.
    if caught == nil or not rawequal(value, caught) then return false, failure_of(value, "") end
    return false, failure_of(value.value, value.traceback)
  end
  if value == nil then return true, "null" end
  local encodes, json = N.json_encode(value)
  if encodes then return true, json end
  return false, { kind = "result_not_json", message = cut("the returned value has no JSON form: " .. json) }
end

function P.main(records)
  P.randomseed(records.seed_low, records.seed_high)
  local entry, failure = P.compile(records.name, records.text, records.expression)
  if not entry then
    failure.message = cut(failure.message)
    local _, json = N.json_encode(failure.details)
    failure.details = json
    return false, failure
  end
  if records.check then return true, "null" end
  for name, text in pairs(records.globals) do
    local ok, value = N.json_decode(text)
    if not ok then
      return false, { kind = "input_not_json", message = cut("the global `" .. name .. "` cannot be read as JSON: " .. value) }
    end
    if value ~= N.null then _G[name] = value end
  end
  install_require(records.modules)
  -- One value, whatever the script returns: a hundred thousand of them have no room beside themselves.
  local ok, value = xpcall(function()
    local result = entry()
    return result
  end, handler)
  return finish(ok, value)
end
