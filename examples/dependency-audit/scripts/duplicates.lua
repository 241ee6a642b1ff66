-- What the lock holds in several versions, and who asks for which.
--
-- Returns { { name, versions = { { version, wanted_by = { "name version", … } }, … } }, … }.

local packages = inputs.read.packages

local wanted_by = {}
for number in ipairs(packages) do
  wanted_by[number] = json.array {}
end
for _, package in ipairs(packages) do
  for _, dependency in ipairs(package.deps) do
    table.insert(wanted_by[dependency], package.name .. " " .. package.version)
  end
end

local duplicates, of_name = json.array {}, {}
for number, package in ipairs(packages) do
  local entry = of_name[package.name]
  if not entry then
    entry = { name = package.name, versions = {} }
    of_name[package.name] = entry
  elseif #entry.versions == 1 then
    table.insert(duplicates, entry)
  end
  table.insert(entry.versions, { version = package.version, wanted_by = wanted_by[number] })
  progress(number / #packages)
end

for _, entry in ipairs(duplicates) do
  local versions = {}
  for position, version in ipairs(entry.versions) do
    versions[position] = version.version
  end
  print(("%s: %s"):format(entry.name, table.concat(versions, ", ")))
end
return duplicates
