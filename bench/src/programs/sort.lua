local seed = 42
local function random()
  seed = (seed * 1103515245 + 12345) & 0x7fffffff
  return seed
end
local list = {}
for i = 1, 100000 do list[i] = random() end
local copy = table.move(list, 1, #list, 1, {})
table.sort(list)
table.sort(copy, function(a, b) return a > b end)
for i = 2, #list do assert(list[i - 1] <= list[i] and copy[i - 1] >= copy[i]) end
