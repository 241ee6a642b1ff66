-- Says what came of it. Runs in any case (`when: always`), so what the steps before it returned may
-- be missing: `inputs.send` is no list where nothing was sent, and an e-mail that failed has no result.

local results = type(inputs.send) == "table" and inputs.send or {}
local sent = 0
for _, result in ipairs(results) do
  if type(result) == "table" and result.message_id then
    sent = sent + 1
  end
end

if sent == 0 then
  log.warn("issue %s: nothing was sent", params.issue)
else
  print(("issue %s: %d sent"):format(params.issue, sent))
end
return { issue = params.issue, sent = sent }
