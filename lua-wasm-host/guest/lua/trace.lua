-- Tracebacks that name the script's own files and lines only.
local _, P = ...

local getinfo, type, tostring = P.getinfo, type, tostring
local concat, format = table.concat, string.format

local MAX_FRAMES = 40

local function what(info)
  if info.what == "main" then return "main chunk" end
  if info.namewhat ~= "" then return format("%s '%.80s'", info.namewhat, info.name) end
  return format("function <%s:%d>", info.short_src, info.linedefined)
end

-- Lines, innermost frame first. Level 1 is the function that called the one that calls this.
local function frames(thread, level)
  local lines = {}
  while #lines < MAX_FRAMES do
    local info
    if thread then info = getinfo(thread, level, "Sln") else info = getinfo(level + 2, "Sln") end
    if not info then break end
    if info.what ~= "C" and info.source ~= "=restroy" then
      lines[#lines + 1] = format("%s:%d: in %s", info.short_src, info.currentline, what(info))
    end
    level = level + 1
  end
  return lines
end

-- For an error that nobody caught.
function P.traceback()
  return concat(frames(nil, 1), "\n")
end

debug = {
  traceback = function(thread, message, level)
    if type(thread) ~= "thread" then thread, message, level = nil, thread, message end
    if message ~= nil and type(message) ~= "string" and type(message) ~= "number" then return message end
    local lines = frames(thread, level or (thread and 0 or 1))
    lines[0] = "stack traceback:"
    local text = concat(lines, "\n\t", 0)
    return message and tostring(message) .. "\n" .. text or text
  end,
}
