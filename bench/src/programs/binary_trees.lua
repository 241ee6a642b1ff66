local function bottom_up(depth)
  if depth == 0 then return {} end
  return { bottom_up(depth - 1), bottom_up(depth - 1) }
end

local function check(tree)
  if tree[1] then return 1 + check(tree[1]) + check(tree[2]) end
  return 1
end

local long_lived = bottom_up(12)
for depth = 4, 12, 4 do
  local count = 1 << (12 - depth + 4)
  local total = 0
  for _ = 1, count do total = total + check(bottom_up(depth)) end
  assert(total == count * ((1 << (depth + 1)) - 1))
end
assert(check(long_lived) == (1 << 13) - 1)
