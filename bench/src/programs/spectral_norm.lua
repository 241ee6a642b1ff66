local function element(i, j)
  local ij = i + j - 1
  return 1.0 / (ij * (ij - 1) * 0.5 + i)
end

local function times(n, x, y)
  for i = 1, n do
    local sum = 0
    for j = 1, n do sum = sum + x[j] * element(i, j) end
    y[i] = sum
  end
end

local function times_transposed(n, x, y)
  for i = 1, n do
    local sum = 0
    for j = 1, n do sum = sum + x[j] * element(j, i) end
    y[i] = sum
  end
end

local n = 200
local u, v, t = {}, {}, {}
for i = 1, n do u[i] = 1 end
for _ = 1, 10 do
  times(n, u, t)
  times_transposed(n, t, v)
  times(n, v, t)
  times_transposed(n, t, u)
end
local vbv, vv = 0, 0
for i = 1, n do
  vbv, vv = vbv + u[i] * v[i], vv + v[i] * v[i]
end
assert(string.format("%.6f", math.sqrt(vbv / vv)) == "1.274224")
