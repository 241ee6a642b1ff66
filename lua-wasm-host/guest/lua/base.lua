-- What scripts find as base library: Lua's own, less what a sandbox must not have, and with output
-- that goes through the door. Every library file is called with the native functions (N) and a
-- table that the files share (P).
local N, P = ...

local error, select, setmetatable, tostring, type = error, select, setmetatable, tostring, type
local concat, format = table.concat, string.format

-- Taken from scripts, kept for the libraries.
P.getinfo = debug.getinfo
P.getmetatable = debug.getmetatable
P.os = { time = os.time, date = os.date, difftime = os.difftime }
P.randomseed = math.randomseed
debug.setmetatable(N.null, { __name = "null", __tostring = function() return "null" end })
dofile, loadfile, debug, os = nil, nil, nil, nil
string.dump = nil

-- Raises a message with the place in the script that called the library, however it did.
local getinfo = P.getinfo
local function fail(message)
  local level = 2
  while true do
    local info = getinfo(level, "Sl")
    if not info then error(message, 0) end
    if info.what ~= "C" and info.source ~= "=restroy" then
      error(format("%s:%d: %s", info.short_src, info.currentline, message), 0)
    end
    level = level + 1
  end
end
P.fail = fail

-- An argument of the wrong type.
function P.arg(where, position, value, wanted, optional)
  local got = type(value)
  if got == wanted or (optional and value == nil) then return value end
  fail(format("bad argument #%d to '%s' (%s expected, got %s)", position, where, wanted, got == "nil" and "no value" or got))
end

-- A call through the door. A failure raises {code, message, retryable}.
local host_error = {
  __name = "host error",
  __tostring = function(self) return tostring(self.code) .. ": " .. tostring(self.message) end,
}

function P.call(op, head, body)
  local ok, answer, rest = N.call(op, head, body)
  if ok then return answer, rest end
  if ok == nil then fail(answer) end
  error(setmetatable(answer, host_error), 0)
end

-- Compiles, or gives nil and the message. `load` alone would hand a compiler's error to the message handler of the
-- xpcall around it, which makes something else of it.
local load, pcall = load, pcall
local function loaded(ok, chunk, problem)
  if ok then return chunk, problem end
  return nil, chunk
end
function P.load(...)
  return loaded(pcall(load, ...))
end

-- Text only, whatever mode is asked for. The environment is passed on only if it was given.
function _G.load(chunk, name, _, ...)
  local kind = type(chunk)
  if kind ~= "string" and kind ~= "function" and kind ~= "number" then P.arg("load", 1, chunk, "function") end
  if name ~= nil and type(name) ~= "number" then P.arg("load", 2, name, "string") end
  return P.load(chunk, name, "t", ...)
end

local collect = collectgarbage
local collect_options = { collect = true, count = true, step = true, isrunning = true }
function collectgarbage(option, ...)
  option = option or "collect"
  if not collect_options[option] then
    fail(format("collectgarbage: the option '%s' is not available", tostring(option)))
  end
  return collect(option, ...)
end

-- Lines. io.write keeps an unfinished line until it is finished or the run ends.
local DEBUG, INFO, WARN, ERROR = 0, 1, 2, 3
local unfinished = ""

function P.flush()
  if unfinished ~= "" then
    local line = unfinished
    unfinished = ""
    N.log(INFO, line)
  end
end

function P.write(...)
  local text = unfinished .. concat({ ... })
  local last = text:find("\n[^\n]*$")
  if last then
    unfinished = text:sub(last + 1)
    N.log(INFO, text:sub(1, last))
  else
    unfinished = text
    if #text > 65536 then P.flush() end
  end
end

function print(...)
  local count = select("#", ...)
  if count == 1 then
    N.log(INFO, tostring((...)))
    return
  end
  local parts = { ... }
  for index = 1, count do parts[index] = tostring(parts[index]) end
  N.log(INFO, concat(parts, "\t"))
end

-- What log shows of a value: a table as JSON where it has one.
local function shown(value)
  if type(value) == "table" and not (getmetatable(value) or {}).__tostring then
    local ok, json = N.json_encode(value)
    if ok then return json end
  end
  return tostring(value)
end

local function logger(level, name)
  return function(text, ...)
    if select("#", ...) > 0 then
      P.arg("log." .. name, 1, text, "string")
      text = format(text, ...)
    else
      text = shown(text)
    end
    N.log(level, text)
  end
end

log = {
  debug = logger(DEBUG, "debug"),
  info = logger(INFO, "info"),
  warn = logger(WARN, "warn"),
  error = logger(ERROR, "error"),
}

function warn(...)
  N.log(WARN, concat({ ... }))
end

function progress(fraction, message)
  P.arg("progress", 1, fraction, "number")
  if message ~= nil then message = tostring(message) end
  P.call(N.op.progress, { fraction = fraction, message = message })
end

function sleep(seconds)
  P.arg("sleep", 1, seconds, "number")
  P.call(N.op.sleep, { seconds = seconds })
end
