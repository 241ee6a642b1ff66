-- Compiles sources, and finds line and column of what does not compile.
local _, P = ...

local load = P.load

-- The place of the byte at `position`: line and column, from 1.
local function place(text, position)
  local line, start = 1, 1
  while true do
    local at = text:find("\n", start, true)
    if not at or at >= position then return line, position - start + 1 end
    line, start = line + 1, at + 1
  end
end

-- Where the compiler stopped. It reads one byte ahead, so, fed byte by byte, the token it names
-- ends where it stopped reading.
local function stopped(text, message)
  local near = message:match(" near '(.*)'$")
  if message:find(" near <eof>$") then
    return place(text, #text + 1)
  end
  if not near then return nil end
  local count = 0
  load(function()
    count = count + 1
    if count <= #text then return text:sub(count, count) end
  end, "=position", "t")
  local read = text:sub(1, count)
  local at = read:reverse():find(near:reverse(), 1, true)
  if not at then return nil end
  return place(text, #read - at + 1 - #near + 1)
end

-- Compiles `before .. text .. after`. The place of an error is within `text`.
local function attempt(name, before, text, after)
  local whole = before .. text .. after
  local compiled, problem = load(whole, "@" .. name, "t")
  if compiled then return compiled end
  local said_line, message = problem:match("^.-:(%d+): (.*)$")
  message = message or problem
  local line, column = stopped(whole, message)
  line, column = line or tonumber(said_line) or 1, column or 1
  if line == 1 then column = math.max(1, column - #before) end
  local last_line, last_column = place(text, #text + 1)
  if line > last_line or (line == last_line and column > last_column) then
    line, column = last_line, last_column
  end
  return nil, { kind = "syntax_error", message = message, details = { file = name, line = line, column = column } }
end

-- The function, or nil and a failure of kind syntax_error. An expression is the function that
-- returns it: first as it stands, for errors that say what its author wrote; then in parentheses,
-- so that it is one expression and nothing else.
function P.compile(name, text, expression)
  if not expression then return attempt(name, "", text, "") end
  local _, failure = attempt(name, "return ", text, "\n")
  if failure then return nil, failure end
  return attempt(name, "return (", text, "\n)")
end
