-- http and email.
local N, P = ...

local arg, pairs, tostring, type = P.arg, pairs, tostring, type

-- What an answer is given: `ok`, headers by lower-case name, and json().
local function response(head, body)
  local headers = {}
  for _, pair in ipairs(head.headers) do
    local name = pair[1]:lower()
    local had = headers[name]
    headers[name] = had and had .. ", " .. pair[2] or pair[2]
  end
  return {
    status = head.status,
    ok = head.status >= 200 and head.status < 300,
    headers = headers,
    body = body,
    -- Works as response.json() and as response:json().
    json = function()
      local ok, value = N.json_decode(body)
      if ok then return value end
      P.fail("the answer's body is not JSON: " .. value)
    end,
  }
end

local function send(where, method, address, options)
  if type(address) ~= "string" then P.fail("bad argument to '" .. where .. "' (the URL must be a string)") end
  if options ~= nil and type(options) ~= "table" then P.fail("bad argument to '" .. where .. "' (options must be a table)") end
  options = options or {}
  local tokens = P.tokens()
  local headers, named = {}, {}
  for name, value in pairs(options.headers or {}) do
    if P.is_reference(value) then value = tokens.header(value) end
    headers[tostring(name)] = tostring(value)
    named[tostring(name):lower()] = true
  end
  local body = options.body
  local function content(kind, text)
    if body ~= nil then P.fail(where .. ": give one of body, json and form") end
    body = text
    if not named["content-type"] then headers["Content-Type"] = kind end
  end
  if options.json ~= nil then
    local ok, text = N.json_encode(options.json, tokens.json)
    if not ok then P.fail(where .. ": " .. text) end
    content("application/json", text)
  end
  if options.form ~= nil then content("application/x-www-form-urlencoded", P.form(options.form, tokens.url)) end
  if body ~= nil and type(body) ~= "string" then
    P.fail(where .. ": body must be a string (a table goes as json)")
  end
  if options.query then address = P.with_query(address, options.query, tokens.url) end
  local head, answer = P.call(N.op.http, {
    method = method:upper(),
    url = address,
    headers = headers,
    timeout = options.timeout,
    idempotency_key = options.idempotency_key,
    secrets = tokens.list[1] and tokens.list,
  }, body)
  return response(head, answer)
end

http = {
  -- http.request(method, url, options) or http.request{method, url, …options}
  request = function(method, address, options)
    if type(method) == "table" then
      options = method
      return send("http.request", options.method or "GET", options.url, options)
    end
    if type(method) ~= "string" then P.fail("bad argument #1 to 'http.request' (string expected)") end
    return send("http.request", method, address, options)
  end,
}
for _, method in ipairs { "get", "head", "post", "put", "patch", "delete" } do
  http[method] = function(address, options)
    return send("http." .. method, method, address, options)
  end
end

email = {
  -- {to, subject, text, html?, reply_to?, idempotency_key?}; gives the message's id.
  send = function(message)
    arg("email.send", 1, message, "table")
    local to = message.to
    if type(to) == "string" then to = { to } end
    return P.call(N.op.email, {
      to = to,
      subject = message.subject,
      text = message.text,
      html = message.html,
      reply_to = message.reply_to,
      idempotency_key = message.idempotency_key,
    }).id
  end,
}
