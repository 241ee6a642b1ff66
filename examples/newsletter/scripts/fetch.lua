-- Gets the issue and its subscribers from the customer database.
--
-- Returns { issue = { subject, text }, subscribers = { { email, name }, … } }.

local function get(path)
  local response = http.get(config.api_url .. path, {
    headers = { Authorization = "Bearer " .. config.API_KEY },
  })
  if response.status == 404 then
    error { code = "not_found", message = path .. " does not exist", retryable = false }
  end
  if not response.ok then
    error {
      code = "crm_unavailable",
      message = ("%s answered %d"):format(path, response.status),
      -- A refusal stays one; anything else may go away: the step's `retry` takes it from here.
      retryable = response.status >= 500 or response.status == 429,
    }
  end
  return response.json()
end

local issue = get("/issues/" .. url.encode(params.issue))
print(("issue %s: %s"):format(params.issue, issue.subject))
progress(0.5, "issue")

local subscribers = json.array {}
for _, subscriber in ipairs(get("/subscribers").items) do
  if subscriber.active then
    subscribers[#subscribers + 1] = { email = subscriber.email, name = subscriber.name }
  end
end
log.info("%d subscribers", #subscribers)
progress(1, "subscribers")

return { issue = { subject = issue.subject, text = issue.text }, subscribers = subscribers }
