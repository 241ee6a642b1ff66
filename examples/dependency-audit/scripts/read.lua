-- Reads a Cargo.lock (format versions 3 and 4).
--
-- Returns { packages = { { name, version, deps = { number, … } }, … } }: the packages by name and
-- version, and of each which ones it depends on, by their number in this list.

local cargo_lock = require("cargo_lock")

local packages = cargo_lock.parse(params.lock)
local outside = 0
for _, package in ipairs(packages) do
  outside = outside + (package.source and 1 or 0)
  package.source = nil
end
print(("%d packages, %d of them from outside"):format(#packages, outside))
progress(1)

return { packages = packages, outside = outside }
