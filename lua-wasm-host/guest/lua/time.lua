-- time and os: the clock comes through the door, the calendar is computed here, zones come through
-- the door.
local N, P = ...

local arg, type = P.arg, type
local format, floor = string.format, math.floor

-- Days since 1970-01-01 of a day of the Gregorian calendar, and the reverse (H. Hinnant's
-- algorithms).
local function days(year, month, day)
  if month <= 2 then year = year - 1 end
  local era = year // 400
  local of_era = year - era * 400
  local of_year = (153 * (month + (month > 2 and -3 or 9)) + 2) // 5 + day - 1
  return era * 146097 + of_era * 365 + of_era // 4 - of_era // 100 + of_year - 719468
end

local function civil(count)
  count = count + 719468
  local era = count // 146097
  local of_era = count - era * 146097
  local year_of_era = (of_era - of_era // 1460 + of_era // 36524 - of_era // 146096) // 365
  local of_year = of_era - (365 * year_of_era + year_of_era // 4 - year_of_era // 100)
  local shifted = (5 * of_year + 2) // 153
  local month = shifted + (shifted < 10 and 3 or -9)
  local year = year_of_era + era * 400 + (month <= 2 and 1 or 0)
  return year, month, of_year - (153 * shifted + 2) // 5 + 1
end

local function offset_of(zone, seconds)
  if zone == nil or zone == "UTC" or zone == "Z" then return 0, "UTC" end
  local answer = P.call(N.op.zone, { zone = zone, seconds = seconds })
  return answer.offset, answer.name
end

-- The calendar's view of a time (seconds since 1970) in a zone.
local function parts(seconds, zone)
  local whole = floor(seconds)
  local offset, name = offset_of(zone, whole)
  local local_seconds = whole + offset
  local count = local_seconds // 86400
  local rest = local_seconds - count * 86400
  local year, month, day = civil(count)
  return {
    year = year, month = month, day = day,
    hour = rest // 3600, min = rest % 3600 // 60, sec = rest % 60,
    fraction = seconds - whole,
    weekday = (count + 3) % 7 + 1, -- Monday is 1
    yday = count - days(year, 1, 1) + 1,
    offset = offset, zone = name,
  }
end

local units = { ms = 0.001, s = 1, m = 60, h = 3600, d = 86400, w = 604800 }

time = {
  -- Seconds since 1970 in UTC, to the microsecond.
  now = function() return N.now() / 1e6 end,
  -- The same as integers.
  unix = function() return N.now() // 1000000 end,
  unix_ms = function() return N.now() // 1000 end,
  minute = 60, hour = 3600, day = 86400, week = 604800,
  parts = function(seconds, zone)
    arg("time.parts", 1, seconds, "number")
    arg("time.parts", 2, zone, "string", true)
    return parts(seconds, zone)
  end,
  -- The reverse of parts: a local time of a zone as seconds since 1970.
  from = function(p, zone)
    arg("time.from", 1, p, "table")
    arg("time.from", 2, zone, "string", true)
    local hour, min, sec = p.hour or 0, p.min or 0, p.sec or 0
    if zone == nil or zone == "UTC" or zone == "Z" then
      return days(p.year, p.month or 1, p.day or 1) * 86400 + hour * 3600 + min * 60 + sec
    end
    local answer = P.call(N.op.zone, { zone = zone, ["local"] = { p.year, p.month or 1, p.day or 1, hour, min, sec } })
    return answer.seconds
  end,
  -- RFC 3339. Options: zone, digits (of the fraction of a second; default 0).
  format = function(seconds, options)
    arg("time.format", 1, seconds, "number")
    if type(options) == "string" then options = { zone = options } end
    arg("time.format", 2, options, "table", true)
    options = options or {}
    local digits = options.digits or 0
    if digits < 0 or digits > 9 then P.fail("time.format: 0 to 9 digits") end
    -- A number of seconds is exact to about a microsecond.
    local micros = floor(seconds * 1000000 + 0.5)
    local p = parts(micros // 1000000, options.zone)
    local text = format("%04d-%02d-%02dT%02d:%02d:%02d", p.year, p.month, p.day, p.hour, p.min, p.sec)
    if digits > 0 then text = text .. "." .. (format("%06d", micros % 1000000) .. "000"):sub(1, digits) end
    if p.offset == 0 then return text .. "Z" end
    local minutes = (p.offset < 0 and -p.offset or p.offset) // 60
    return text .. format("%s%02d:%02d", p.offset < 0 and "-" or "+", minutes // 60, minutes % 60)
  end,
  -- RFC 3339 (a date alone is its midnight in UTC). Gives nil and a message if it is not.
  parse = function(text)
    arg("time.parse", 1, text, "string")
    local year, month, day, rest = text:match("^(%d%d%d%d)%-(%d%d)%-(%d%d)(.*)$")
    if not year then return nil, "not an RFC 3339 time: " .. text end
    year, month, day = tonumber(year), tonumber(month), tonumber(day)
    local seconds = days(year, month, day) * 86400
    local y, m, d = civil(seconds // 86400)
    if y ~= year or m ~= month or d ~= day then return nil, "no such day: " .. text end
    if rest == "" then return seconds end
    local hour, min, sec, fraction, zone = rest:match("^[Tt ](%d%d):(%d%d):(%d%d)(%.?%d*)(.*)$")
    if not hour or fraction == "." then return nil, "not an RFC 3339 time: " .. text end
    hour, min, sec = tonumber(hour), tonumber(min), tonumber(sec)
    if hour > 23 or min > 59 or sec > 60 then return nil, "no such time: " .. text end
    seconds = seconds + hour * 3600 + min * 60 + sec
    if zone ~= "Z" and zone ~= "z" then
      local sign, zone_hour, zone_min = zone:match("^([+-])(%d%d):(%d%d)$")
      if not sign then return nil, "not an RFC 3339 time: " .. text end
      local offset = tonumber(zone_hour) * 3600 + tonumber(zone_min) * 60
      seconds = seconds - (sign == "-" and -offset or offset)
    end
    if fraction ~= "" then return seconds + tonumber("0" .. fraction) end
    return seconds
  end,
  -- "1h30m", "500ms", "2d": seconds. Gives nil and a message if it is not a duration.
  duration = function(text)
    if type(text) == "number" then return text end
    arg("time.duration", 1, text, "string")
    local total, rest = 0, text
    repeat
      local number, unit, after = rest:match("^(%d+%.?%d*)(%a+)(.*)$")
      if not number or not units[unit] then return nil, "not a duration: " .. text end
      total, rest = total + tonumber(number) * units[unit], after
    until rest == ""
    return total
  end,
}

os = {
  time = function(t)
    if t == nil then return N.now() // 1000000 end
    return P.os.time(t)
  end,
  date = function(form, t)
    return P.os.date(form or "%c", t or N.now() // 1000000)
  end,
  -- Processor time as fuel has it: 1e9 units are a second.
  clock = function() return N.fuel() / 1e9 end,
  difftime = P.os.difftime,
}

-- Makes the C library set up its time zone (UTC) now, before the snapshot.
P.os.date("%c", 0)
P.os.time { year = 2000, month = 1, day = 1 }
