-- Gets what the last audit of this project left behind: { packages, audits }, or nil before the first.
--
-- `packages` are all packages of then, as "name version"; `audits` the audits so far, newest last.

local project = params.project or "default"
local last = kv.get("dependency-audit/" .. project)

if last then
  local audit = last.audits[#last.audits]
  print(("last audit of %s: %s, %d packages"):format(project, audit.at, audit.packages))
else
  print(("the first audit of %s"):format(project))
end
return last
