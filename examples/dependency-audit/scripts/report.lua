-- Compares with the last audit, says what changed, and writes this one into the history.

local HISTORY = 50

local project = params.project or "default"
local last = inputs.history
local first_audit = type(last) ~= "table" -- nil, or null where a step returned nothing

local now, is_there = {}, {}
for number, package in ipairs(inputs.read.packages) do
  now[number] = package.name .. " " .. package.version
  is_there[now[number]] = true
end

local added, removed = json.array {}, json.array {}
if not first_audit then
  local was_there = {}
  for _, package in ipairs(last.packages) do
    was_there[package] = true
    if not is_there[package] then
      table.insert(removed, package)
    end
  end
  for _, package in ipairs(now) do
    if not was_there[package] then
      table.insert(added, package)
    end
  end
end

-- One version of a package gone and one come is an update.
local updated = json.array {}
do
  local gone, rest_added = {}, json.array {}
  for _, package in ipairs(removed) do
    local name = package:match("^%S+")
    gone[name] = gone[name] or {}
    table.insert(gone[name], package)
  end
  local taken = {}
  for _, package in ipairs(added) do
    local name, version = package:match("^(%S+) (%S+)$")
    local old = gone[name] and table.remove(gone[name], 1)
    if old then
      taken[old] = true
      table.insert(updated, { name = name, from = old:match("%S+$"), to = version })
    else
      table.insert(rest_added, package)
    end
  end
  local rest_removed = json.array {}
  for _, package in ipairs(removed) do
    if not taken[package] then
      table.insert(rest_removed, package)
    end
  end
  added, removed = rest_added, rest_removed
end

local lines = {}
local function line(format, ...)
  lines[#lines + 1] = format:format(...)
end

line("%s: %d packages, %d of them in several versions", project, #now, #inputs.duplicates)
if first_audit then
  line("The first audit: nothing to compare with.")
elseif #added + #removed + #updated == 0 then
  line("Nothing changed since the last audit.")
else
  line("Since the last audit: %d added, %d removed, %d updated", #added, #removed, #updated)
  for _, package in ipairs(added) do
    line("  + %s", package)
  end
  for _, package in ipairs(removed) do
    line("  - %s", package)
  end
  for _, package in ipairs(updated) do
    line("  ~ %s %s → %s", package.name, package.from, package.to)
  end
end
line("Most depended on (directly, altogether):")
for _, package in ipairs(inputs.fan_in) do
  line("  %4d %4d  %s %s", package.direct, package.all, package.name, package.version)
end
for _, text in ipairs(lines) do
  print(text)
end

local audits = json.array {}
for _, audit in ipairs(first_audit and {} or last.audits) do
  audits[#audits + 1] = audit
end
audits[#audits + 1] = {
  run = run.id,
  at = run.started_at,
  packages = #now,
  duplicates = #inputs.duplicates,
  added = #added,
  removed = #removed,
  updated = #updated,
}
while #audits > HISTORY do
  table.remove(audits, 1)
end
-- A kv value may have 64 KiB: room for some 2,000 packages.
kv.set("dependency-audit/" .. project, { packages = now, audits = audits })

if params.to then
  email.send { to = params.to, subject = "Dependencies of " .. project, text = table.concat(lines, "\n") .. "\n" }
  log.info("report sent to %s", params.to)
end

return {
  project = project,
  first = first_audit,
  packages = #now,
  duplicates = inputs.duplicates,
  fan_in = inputs.fan_in,
  added = added,
  removed = removed,
  updated = updated,
  audits = #audits,
}
