---@meta restroy
-- The Lua API of Restroy, for editors: the Lua language server (LuaLS) uses it to complete and check scripts.
-- Put a `.luarc.json` beside the pipeline:
--   {
--     "runtime.version": "Lua 5.4",
--     "runtime.builtin": { "ffi": "disable", "jit": "disable", "package": "disable" },
--     "workspace.library": ["path/to/sdk/lua"]
--   }
-- The reference with all limits is docs/lua-api.md.

---------------------------------------------------------------------------------------------------
-- Globals of a run
---------------------------------------------------------------------------------------------------

---The run's parameters; valid against the document's `params` schema.
---@type table<string, any>
params = {}

---The outputs of the needed steps, by step name (`json.null` if a step returned nothing). Nil for a step that was
---skipped or failed. For a `for_each` step a list with one result per item, starting at 1, and `json.null` for a
---failed item.
---@type table<string, any>
inputs = {}

---In a `for_each` step: the item. Nil elsewhere.
---@type any
item = nil

---In a `for_each` step: the item's number, starting at 1. Nil elsewhere.
---@type integer?
index = nil

---Configuration by key: the document's `config` with its overrides, and the `secrets` that the step declares.
---@type table<string, string>
config = {}

---@class restroy.Run
---@field id string The run's id (a UUID).
---@field retry integer Number of earlier attempts at this step: 0 for the first.
---@field pipeline string The pipeline's name.
---@field step string The step's name.
---@field started_at string When the run started, RFC 3339 in UTC.

---The run that the script is part of.
---@type restroy.Run
run = {}

---------------------------------------------------------------------------------------------------
-- Output
---------------------------------------------------------------------------------------------------

---Moves the step's progress bar.
---@param fraction number From 0 to 1.
---@param message? string A status message.
function progress(fraction, message) end

---Writes a line. `print` does too.
---With one argument the line is that value (a table as JSON); with more it is
---`string.format(text, …)`.
---@class restroy.log
log = {}

---@param text any
---@param ... any
function log.debug(text, ...) end

---@param text any
---@param ... any
function log.info(text, ...) end

---@param text any
---@param ... any
function log.warn(text, ...) end

---@param text any
---@param ... any
function log.error(text, ...) end

---Waits. Not durable: it counts towards the step's wall time, and a step that is executed again waits again.
---@param seconds number
function sleep(seconds) end

---------------------------------------------------------------------------------------------------
-- Errors
---------------------------------------------------------------------------------------------------

---Raised by a failed host call, and by scripts with `error { … }`.
---@class restroy.Error
---@field code string A stable name in snake_case, such as `http_timeout` or `not_granted`.
---@field message string Human-readable description.
---@field retryable? boolean Whether a retry may help. `false` ends the step without another attempt.

---------------------------------------------------------------------------------------------------
-- json, base64, crypto, uuid, url
---------------------------------------------------------------------------------------------------

---@class restroy.json
---@field null lightuserdata JSON's null. Not nil: a table can hold it. It is truthy.
json = {}

---Encodes a value as JSON. Keys of objects are sorted; an empty table is `{}` unless it is a
---`json.array`.
---@param value any
---@return string
---@nodiscard
function json.encode(value) end

---Parses JSON. Raises an error for invalid JSON.
---@param text string
---@return any
---@nodiscard
function json.decode(text) end

---Marks a table as a list, so that an empty one is written `[]`.
---@generic T
---@param list? T[]
---@return T[]
---@nodiscard
function json.array(list) end

---@class restroy.base64
base64 = {}

---@param bytes string
---@return string
---@nodiscard
function base64.encode(bytes) end

---With the URL-safe alphabet, without padding.
---@param bytes string
---@return string
---@nodiscard
function base64.encode_url(bytes) end

---Accepts both alphabets, with or without padding.
---@param text string
---@return string bytes
---@nodiscard
function base64.decode(text) end

---Digests are lower-case hexadecimal, or bytes with `"raw"`.
---@class restroy.crypto
crypto = {}

---@param bytes string
---@param form? "raw"
---@return string
---@nodiscard
function crypto.md5(bytes, form) end

---@param bytes string
---@param form? "raw"
---@return string
---@nodiscard
function crypto.sha1(bytes, form) end

---@param bytes string
---@param form? "raw"
---@return string
---@nodiscard
function crypto.sha256(bytes, form) end

---@param bytes string
---@param form? "raw"
---@return string
---@nodiscard
function crypto.sha384(bytes, form) end

---@param bytes string
---@param form? "raw"
---@return string
---@nodiscard
function crypto.sha512(bytes, form) end

---@param algorithm "sha1"|"sha256"|"sha384"|"sha512"
---@param key string|restroy.Secret
---@param bytes string
---@param form? "raw"
---@return string
---@nodiscard
function crypto.hmac(algorithm, key, bytes, form) end

---@class restroy.Secret a reference to a secret; shown as `secret:KEY`

---@class restroy.secrets
secrets = {}

---A reference to a secret that the step declares: a header, a value of `query` or `form`, or a field of `json` has the
---secret's value there, after the prefix. `crypto.hmac` takes one as its key.
---@param key string
---@param prefix? string
---@return restroy.Secret
function secrets.ref(key, prefix) end

---The value of a secret that the step declares; fails with `secret_usable_only` where the script may only use it.
---@param key string
---@return string
function secrets.get(key) end

---@param bytes string
---@return string
---@nodiscard
function crypto.hex(bytes) end

---@param text string
---@return string bytes
---@nodiscard
function crypto.unhex(text) end

---@param count integer 0–65,536.
---@return string bytes
---@nodiscard
function crypto.random_bytes(count) end

---Compares two strings in constant time.
---@param left string
---@param right string
---@return boolean
---@nodiscard
function crypto.equal(left, right) end

---@class restroy.uuid
uuid = {}

---A random UUID.
---@return string
---@nodiscard
function uuid.v4() end

---A UUID that sorts by creation time.
---@return string
---@nodiscard
function uuid.v7() end

---@class restroy.Url
---@field scheme? string
---@field user? string
---@field password? string
---@field host? string
---@field port? integer
---@field path? string
---@field query? string|table<string, any>
---@field fragment? string

---@class restroy.url
url = {}

---Percent-encodes everything except letters, digits and `-._~`.
---@param text any
---@return string
---@nodiscard
function url.encode(text) end

---@param text string
---@return string
---@nodiscard
function url.decode(text) end

---`a=1&b=2`, sorted by name; a list repeats its name for each element.
---@param values table<string, any>
---@return string
---@nodiscard
function url.query(values) end

---@param text string
---@return table<string, string|string[]>
---@nodiscard
function url.parse_query(text) end

---@param text string
---@return restroy.Url
---@nodiscard
function url.parse(text) end

---@param parts restroy.Url
---@return string
---@nodiscard
function url.build(parts) end

---------------------------------------------------------------------------------------------------
-- time
---------------------------------------------------------------------------------------------------

---@class restroy.TimeParts
---@field year integer
---@field month integer
---@field day integer
---@field hour integer
---@field min integer
---@field sec integer
---@field fraction number Of the second.
---@field weekday integer Monday is 1, Sunday 7.
---@field yday integer The day of the year, from 1.
---@field offset integer Seconds east of UTC.
---@field zone string The zone's abbreviation.

---@class restroy.TimeFormat
---@field zone? string An IANA zone; default UTC.
---@field digits? integer Digits of the second's fraction, 0–9; default 0.

---Times are seconds since 1970-01-01T00:00:00Z; zones are IANA names, default UTC.
---@class restroy.time
---@field minute integer 60
---@field hour integer 3,600
---@field day integer 86,400
---@field week integer 604,800
time = {}

---The time, to the microsecond.
---@return number seconds
---@nodiscard
function time.now() end

---@return integer seconds
---@nodiscard
function time.unix() end

---@return integer milliseconds
---@nodiscard
function time.unix_ms() end

---@param seconds number
---@param zone? string
---@return restroy.TimeParts
---@nodiscard
function time.parts(seconds, zone) end

---The reverse of `time.parts`.
---@param parts { year: integer, month?: integer, day?: integer, hour?: integer, min?: integer, sec?: number }
---@param zone? string
---@return number seconds
---@nodiscard
function time.from(parts, zone) end

---RFC 3339.
---@param seconds number
---@param options? restroy.TimeFormat|string Options, or the zone.
---@return string
---@nodiscard
function time.format(seconds, options) end

---Parses RFC 3339; a date alone is its midnight in UTC.
---@param text string
---@return number? seconds
---@return string? problem
---@nodiscard
function time.parse(text) end

---Parses `1h30m`, `500ms`, `2d`.
---@param text string|number
---@return number? seconds
---@return string? problem
---@nodiscard
function time.duration(text) end

---------------------------------------------------------------------------------------------------
-- http (allow: http)
---------------------------------------------------------------------------------------------------

---@class restroy.HttpOptions
---@field headers? table<string, string|number|restroy.Secret>
---@field query? table<string, any> Appended to the URL.
---@field body? string
---@field json? any Sent as JSON. Give one of `body`, `json` and `form`.
---@field form? table<string, any> Sent as a form.
---@field timeout? number Seconds for the whole exchange; default: the limit.
---@field idempotency_key? string Replaces the generated key; 1–255 visible ASCII characters.

---@class restroy.HttpRequest: restroy.HttpOptions
---@field method? string Default `GET`.
---@field url string

---@class restroy.HttpResponse
---@field status integer
---@field ok boolean Whether the status is 200 to 299.
---@field headers table<string, string> By name in lower case.
---@field body string Decompressed.
---@field json fun(): any The body parsed as JSON; raises an error if it is not JSON.

---Requests to the origins in the step's `allow.http`. A response of any status is returned; a request without a
---response raises an error.
---@class restroy.http
http = {}

---@param method string
---@param address string
---@param options? restroy.HttpOptions
---@return restroy.HttpResponse
---@overload fun(request: restroy.HttpRequest): restroy.HttpResponse
function http.request(method, address, options) end

---@param address string
---@param options? restroy.HttpOptions
---@return restroy.HttpResponse
function http.get(address, options) end

---@param address string
---@param options? restroy.HttpOptions
---@return restroy.HttpResponse
function http.head(address, options) end

---@param address string
---@param options? restroy.HttpOptions
---@return restroy.HttpResponse
function http.post(address, options) end

---@param address string
---@param options? restroy.HttpOptions
---@return restroy.HttpResponse
function http.put(address, options) end

---@param address string
---@param options? restroy.HttpOptions
---@return restroy.HttpResponse
function http.patch(address, options) end

---@param address string
---@param options? restroy.HttpOptions
---@return restroy.HttpResponse
function http.delete(address, options) end

---------------------------------------------------------------------------------------------------
-- email (allow: email)
---------------------------------------------------------------------------------------------------

---@class restroy.Email
---@field to string|string[] 1–50 addresses.
---@field subject string One line, up to 998 bytes.
---@field text string
---@field html? string An alternative to the text; left out unless the operator allows HTML.
---@field reply_to? string Not an address of the installation itself.
---@field idempotency_key? string Replaces the generated key.

---@class restroy.email
email = {}

---Sends an e-mail from `Team NAME via Restroy`, with a last line that names team and pipeline. It is queued once
---under its idempotency key, even if the step is executed again.
---@param message restroy.Email
---@return string id The Message-ID.
function email.send(message) end

---------------------------------------------------------------------------------------------------
-- kv (allow: kv)
---------------------------------------------------------------------------------------------------

---@class restroy.KvEntry
---@field key string
---@field value any

---The board's key-value store: keys of 1 to 512 bytes, values of up to 64 KiB of JSON. Each key is
---linearizable. `ttl` is in seconds.
---@class restroy.kv
kv = {}

---@param key string
---@return any value Nil if the key does not exist.
---@nodiscard
function kv.get(key) end

---@param key string
---@param value any Not nil.
---@param options? { ttl?: number }
function kv.set(key, value, options) end

---@param key string
---@return boolean existed
function kv.delete(key) end

---Adds to an integer; an absent one is 0.
---@param key string
---@param by? integer Default 1.
---@param options? { ttl?: number } Applies if the key is new.
---@return integer sum
function kv.incr(key, by, options) end

---Compare and set: stores `value` (nil removes the key) if the current value equals `expected` (nil: no value).
---@param key string
---@param expected any
---@param value any
---@param options? { ttl?: number }
---@return boolean swapped
function kv.cas(key, expected, value, options) end

---Entries whose key begins with `prefix`, by key.
---@param prefix? string
---@param options? { after?: string, limit?: integer } `limit`: default 100, at most 1,000.
---@return restroy.KvEntry[]
---@nodiscard
function kv.list(prefix, options) end

---------------------------------------------------------------------------------------------------
-- files and io (allow: files)
---------------------------------------------------------------------------------------------------

---@class restroy.FileEntry
---@field path string
---@field size integer

---The scratch folder of the run. Paths are relative, with `/`, without `.` and `..`. `io.open` and
---`io.lines` work on it, too; `io.write` prints.
---@class restroy.files
files = {}

---@param path string
---@param mode? "r"|"w"|"a"|"r+"|"w+"|"a+"
---@return file*
---@nodiscard
function files.open(path, mode) end

---@param path string
---@return string bytes
---@nodiscard
function files.read(path) end

---@param path string
---@param bytes string
function files.write(path, bytes) end

---@param path string
---@param bytes string
function files.append(path, bytes) end

---@param prefix? string
---@return restroy.FileEntry[]
---@nodiscard
function files.list(prefix) end

---@param path string
---@return boolean existed
function files.remove(path) end

---@param path string
---@return integer? bytes Nil if the file does not exist.
---@nodiscard
function files.size(path) end

---Stores a file as an artifact of the run, for download.
---@param path string
---@param options? { name?: string, content_type?: string }
function files.artifact(path, options) end
