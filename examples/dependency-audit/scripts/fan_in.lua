-- The packages that most others depend on.
--
-- Returns { { name, version, direct, all }, … }, the heaviest first: how many packages name it as a
-- dependency, and how many need it, however many steps away.

local packages = inputs.read.packages
local top = math.tointeger(tonumber(config.top)) or 10

local dependants = {}
for number in ipairs(packages) do
  dependants[number] = {}
end
for number, package in ipairs(packages) do
  for _, dependency in ipairs(package.deps) do
    table.insert(dependants[dependency], number)
  end
end

-- How many packages lead to this one.
local function reach(start)
  local seen, queue, count = { [start] = true }, { start }, 0
  while #queue > 0 do
    for _, number in ipairs(dependants[table.remove(queue)]) do
      if not seen[number] then
        seen[number] = true
        count = count + 1
        queue[#queue + 1] = number
      end
    end
  end
  return count
end

local order = {}
for number in ipairs(packages) do
  order[number] = number
end
table.sort(order, function(a, b)
  if #dependants[a] ~= #dependants[b] then
    return #dependants[a] > #dependants[b]
  end
  return a < b -- by name, then version
end)

local heaviest = {}
for position = 1, math.min(top, #order) do
  local number = order[position]
  local package = packages[number]
  heaviest[position] = {
    name = package.name,
    version = package.version,
    direct = #dependants[number],
    all = reach(number),
  }
  progress(position / top, package.name)
end
return heaviest
