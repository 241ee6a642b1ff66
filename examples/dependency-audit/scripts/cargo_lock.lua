-- A reader for Cargo.lock: the part of TOML that Cargo writes there, a line at a time.

local cargo_lock = {}

local function fail(line, message)
  error { code = "bad_lock", message = ("Cargo.lock:%d: %s"):format(line, message), line = line, retryable = false }
end

-- The [[package]] tables as they stand, each with `line`, where it begins.
local function tables(text)
  local packages, package, list, number, known = {}, nil, nil, 0, false
  for line in (text .. "\n"):gmatch("(.-)\r?\n") do
    number = number + 1
    if list then
      local item = line:match('^%s*"([^"]+)",?%s*$')
      if item then
        list[#list + 1] = item
      elseif line:match("^%s*%]%s*$") then
        list = nil
      else
        fail(number, "not an item of a list: " .. line)
      end
    elseif line == "[[package]]" then
      package = { line = number, dependencies = {} }
      packages[#packages + 1] = package
    elseif line:match("^%[") then
      package = nil -- [metadata], [[patch.unused]]: nothing for us
    elseif package then
      local key, value = line:match("^([%w_-]+) = (.*)$")
      if key == "dependencies" then
        list = package.dependencies
        local inline = value:match("^%[(.*)%]$")
        if inline then
          for item in inline:gmatch('"([^"]+)"') do
            list[#list + 1] = item
          end
          list = nil
        elseif value ~= "[" then
          fail(number, "not a list: " .. value)
        end
      elseif key then
        package[key] = value:match('^"(.*)"$')
      elseif not line:match("^%s*$") and not line:match("^#") then
        fail(number, "not understood: " .. line)
      end
    elseif line:match("^version = %d+$") then
      known = true
    end
  end
  if list then
    fail(number, "the text ends within a list")
  end
  if not known or #packages == 0 then
    fail(1, "this is not a Cargo.lock of version 3 or 4")
  end
  return packages
end

-- A dependency is written "name", "name version" or "name version (source)": as much as it takes.
local function resolver(packages)
  local by_name = {}
  for number, package in ipairs(packages) do
    by_name[package.name] = by_name[package.name] or {}
    table.insert(by_name[package.name], number)
  end
  return function(text, line)
    local name, version, source = text:match("^(%S+) ?(%S*) ?%(?([^)]*)%)?$")
    local found
    for _, number in ipairs(by_name[name] or {}) do
      local package = packages[number]
      if (version == "" or package.version == version) and (source == "" or package.source == source) then
        found = found or number
      end
    end
    return found or fail(line, ("there is no package \"%s\""):format(text))
  end
end

-- Gives { { name, version, source, deps = { number, … } }, … } by name and version.
function cargo_lock.parse(text)
  local packages = tables(text)
  for _, package in ipairs(packages) do
    if not package.name or not package.version then
      fail(package.line, "a package without a name or version")
    end
  end
  table.sort(packages, function(a, b)
    if a.name ~= b.name then
      return a.name < b.name
    end
    if a.version ~= b.version then
      return a.version < b.version
    end
    return (a.source or "") < (b.source or "")
  end)

  local resolve, result = resolver(packages), {}
  for number, package in ipairs(packages) do
    local deps = json.array {}
    for position, dependency in ipairs(package.dependencies) do
      deps[position] = resolve(dependency, package.line)
    end
    result[number] = { name = package.name, version = package.version, source = package.source, deps = deps }
  end
  return result
end

return cargo_lock
