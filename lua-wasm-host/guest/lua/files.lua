-- files and io: the scratch folder of the run.
local N, P = ...

local arg, select, setmetatable, tostring, type = P.arg, select, setmetatable, tostring, type
local op = N.op
local CHUNK = 65536

-- An open file: `handle` is the host's, `offset` where the next read from the host begins, `buffer`
-- what was read and not yet given.
local File = { __name = "file" }
File.__index = File

local function open(path, mode)
  mode = (mode or "r"):gsub("b", "")
  local answer = P.call(op.file_open, { path = path, mode = mode })
  return setmetatable({ handle = answer.handle, offset = 0, buffer = "", append = mode:sub(1, 1) == "a" }, File)
end

local function alive(file)
  if not file.handle then P.fail("attempt to use a closed file") end
end

-- Reads on; false at the end of the file.
local function fill(file)
  local _, bytes = P.call(op.file_read, { handle = file.handle, offset = file.offset, max = CHUNK })
  if #bytes == 0 then return false end
  file.offset = file.offset + #bytes
  file.buffer = file.buffer .. bytes
  return true
end

local function read_line(file, keep)
  local from = 1
  while true do
    local at = file.buffer:find("\n", from, true)
    if at then
      local line = file.buffer:sub(1, keep and at or at - 1)
      file.buffer = file.buffer:sub(at + 1)
      return line
    end
    from = #file.buffer + 1
    if not fill(file) then break end
  end
  if file.buffer == "" then return nil end
  local line = file.buffer
  file.buffer = ""
  return line
end

local function read_all(file)
  local pieces = { file.buffer }
  file.buffer = ""
  while fill(file) do
    pieces[#pieces + 1] = file.buffer
    file.buffer = ""
  end
  return table.concat(pieces)
end

local function read_count(file, count)
  while #file.buffer < count and fill(file) do end
  if file.buffer == "" and (count > 0 or not fill(file)) then return nil end
  local bytes = file.buffer:sub(1, count)
  file.buffer = file.buffer:sub(count + 1)
  return bytes
end

local function read_number(file)
  while true do
    local at = file.buffer:find("%S")
    if at then file.buffer = file.buffer:sub(at) break end
    file.buffer = ""
    if not fill(file) then return nil end
  end
  while #file.buffer < 200 and fill(file) do end
  local text = file.buffer:match("^[+-]?[%w.]+[+-]?%w*")
  while text and #text > 0 do
    local number = tonumber(text)
    if number then
      file.buffer = file.buffer:sub(#text + 1)
      return number
    end
    text = text:sub(1, -2)
  end
  return nil
end

local function read(file, form)
  if type(form) == "number" then return read_count(file, form) end
  form = tostring(form):gsub("^%*", "")
  if form == "l" then return read_line(file, false) end
  if form == "L" then return read_line(file, true) end
  if form == "a" then return read_all(file) end
  if form == "n" then return read_number(file) end
  P.fail("bad argument to 'read' (invalid format)")
end

function File:read(...)
  alive(self)
  if select("#", ...) == 0 then return (read_line(self, false)) end
  local results = {}
  local count = select("#", ...)
  for index = 1, count do
    results[index] = read(self, (select(index, ...)))
    if results[index] == nil then return table.unpack(results, 1, index) end
  end
  return table.unpack(results, 1, count)
end

function File:lines(...)
  alive(self)
  local forms = table.pack(...)
  return function()
    if forms.n == 0 then return (self:read("l")) end
    return self:read(table.unpack(forms, 1, forms.n))
  end
end

function File:write(...)
  alive(self)
  local text = table.concat({ ... })
  local at = self.offset - #self.buffer
  self.buffer = ""
  -- In pieces: a call carries a limited number of bytes.
  for from = 1, #text, CHUNK do
    local piece = text:sub(from, from + CHUNK - 1)
    local answer = P.call(op.file_write, { handle = self.handle, offset = not self.append and at or nil }, piece)
    at = answer.position
  end
  self.offset = at
  return self
end

function File:seek(whence, offset)
  alive(self)
  if type(whence) == "number" then whence, offset = "cur", whence end
  whence, offset = whence or "cur", offset or 0
  local base
  if whence == "set" then
    base = 0
  elseif whence == "cur" then
    base = self.offset - #self.buffer
  elseif whence == "end" then
    base = P.call(op.file_handle_size, { handle = self.handle }).size
  else
    P.fail("bad argument #1 to 'seek' (invalid option '" .. tostring(whence) .. "')")
  end
  local position = base + offset
  if position < 0 then return nil, "invalid position" end
  self.offset, self.buffer = position, ""
  return position
end

function File:flush() alive(self) return self end
function File:setvbuf() return true end

function File:close()
  alive(self)
  local handle = self.handle
  self.handle = nil
  P.call(op.file_close, { handle = handle })
  return true
end

local function close_if_open(file)
  if file.handle then file:close() end
end
File.__close = close_if_open
File.__gc = close_if_open
File.__tostring = function(file) return file.handle and "file (open)" or "file (closed)" end

files = {
  open = function(path, mode)
    arg("files.open", 1, path, "string")
    arg("files.open", 2, mode, "string", true)
    return open(path, mode)
  end,
  read = function(path)
    local file <close> = open(arg("files.read", 1, path, "string"), "r")
    return read_all(file)
  end,
  write = function(path, bytes)
    arg("files.write", 1, path, "string")
    arg("files.write", 2, bytes, "string")
    local file <close> = open(path, "w")
    file:write(bytes)
  end,
  append = function(path, bytes)
    arg("files.append", 1, path, "string")
    arg("files.append", 2, bytes, "string")
    local file <close> = open(path, "a")
    file:write(bytes)
  end,
  -- Files {path, size} by path.
  list = function(prefix)
    return P.call(op.file_list, { prefix = arg("files.list", 1, prefix, "string", true) or "" }).files
  end,
  -- Whether it was there.
  remove = function(path)
    return P.call(op.file_remove, { path = arg("files.remove", 1, path, "string") }).existed
  end,
  -- Bytes, or nil if there is no such file.
  size = function(path)
    return P.call(op.file_size, { path = arg("files.size", 1, path, "string") }).size
  end,
  -- Keeps a file of the scratch folder. Options: name, content_type.
  artifact = function(path, options)
    arg("files.artifact", 1, path, "string")
    arg("files.artifact", 2, options, "table", true)
    options = options or {}
    P.call(op.artifact, { path = path, name = options.name or "", content_type = options.content_type })
  end,
}

local stream = { __name = "file", __index = {
  write = function(self, ...) P.write(...) return self end,
  flush = function(self) return self end,
  setvbuf = function() return true end,
} }

io = {
  -- As in Lua: nil and a message instead of an error.
  open = function(path, mode)
    arg("io.open", 1, path, "string")
    arg("io.open", 2, mode, "string", true)
    local ok, file = pcall(open, path, mode)
    if ok then return file end
    if type(file) == "table" then return nil, tostring(file.message), 2 end
    P.fail(file)
  end,
  lines = function(path, ...)
    local file = open(arg("io.lines", 1, path, "string"), "r")
    local forms = table.pack(...)
    return function()
      if not file.handle then return nil end
      local line
      if forms.n == 0 then line = file:read("l") else line = file:read(table.unpack(forms, 1, forms.n)) end
      if line == nil then file:close() end
      return line
    end, nil, nil, file
  end,
  write = function(...) P.write(...) return io.stdout end,
  type = function(value)
    if getmetatable(value) ~= File then return nil end
    return value.handle and "file" or "closed file"
  end,
  stdout = setmetatable({}, stream),
  stderr = setmetatable({}, stream),
}
