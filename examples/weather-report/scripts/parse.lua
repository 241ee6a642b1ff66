-- Reads the CSV text and cuts it into years.
--
-- Returns { years = { { year = 2012, days = { { "2012-01-01", 0.0, 12.8, 5.0 }, … } }, … } }:
-- of each day the date, precipitation in mm, highest and lowest temperature in °C.

local calendar = require("calendar")

local COLUMNS = { "date", "precipitation", "temp_max", "temp_min" }

local function fail(line, message)
  error { code = "bad_csv", message = ("line %d: %s"):format(line, message), line = line }
end

local function split(line)
  local fields = {}
  for field in (line .. ","):gmatch("(.-),") do
    fields[#fields + 1] = field
  end
  return fields
end

-- Where the columns are that we need, by the names in the header.
local function positions(header)
  local found = {}
  for position, name in ipairs(split(header)) do
    found[name] = position
  end
  for _, name in ipairs(COLUMNS) do
    if not found[name] then
      fail(1, ("there is no column \"%s\""):format(name))
    end
  end
  return found
end

local function read_number(fields, position, name, line)
  local number = tonumber(fields[position])
  if not number then
    fail(line, ("%s is \"%s\", not a number"):format(name, fields[position] or ""))
  end
  return number
end

local total = 0
for _ in params.csv:gmatch("[^\r\n]+") do
  total = total + 1
end

local years, column, last_day, number = {}, nil, nil, 0
for line in params.csv:gmatch("[^\r\n]+") do
  number = number + 1
  if not column then
    column = positions(line)
  else
    local fields = split(line)
    local year, month, day = (fields[column.date] or ""):match("^(%d%d%d%d)[/-](%d%d)[/-](%d%d)$")
    if not year then
      fail(number, ("\"%s\" is not a date such as 2012/01/31"):format(fields[column.date] or ""))
    end
    local date = ("%s-%s-%s"):format(year, month, day)
    local count = calendar.day_number(date)
    if calendar.date(count) ~= date then
      fail(number, ("there is no day %s"):format(date))
    end
    if last_day and count <= last_day then
      fail(number, ("%s does not come after the day before it"):format(date))
    end
    last_day = count

    local current = years[#years]
    if not current or current.year ~= tonumber(year) then
      current = { year = tonumber(year), days = {} }
      years[#years + 1] = current
      print(("reading %d …"):format(current.year))
    end
    current.days[#current.days + 1] = {
      date,
      read_number(fields, column.precipitation, "precipitation", number),
      read_number(fields, column.temp_max, "temp_max", number),
      read_number(fields, column.temp_min, "temp_min", number),
    }
    if number % 100 == 0 then
      progress(number / total, ("%d of %d lines"):format(number, total))
    end
  end
end

if #years == 0 then
  error { code = "bad_csv", message = "there are no observations in the file" }
end
progress(1, ("%d days"):format(total - 1))
log.info("%d days of %d years, %d to %d", total - 1, #years, years[1].year, years[#years].year)

return { years = years }
