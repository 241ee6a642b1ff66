-- Sends the issue to one subscriber: `item` is one of fetch.lua's, `index` its number.
--
-- Should the executor be lost right after the e-mail left, this is executed again, and the same
-- call under the same idempotency key gets the stored answer: nobody gets two.

local issue = inputs.fetch.issue

local message_id = email.send {
  to = item.email,
  subject = issue.subject,
  text = ("Dear %s,\n\n%s\n"):format(item.name, issue.text),
}
print(("%d: %s"):format(index, item.email))

return { email = item.email, message_id = message_id }
