-- The fan-in: joins the years' figures into those of the whole time.
--
-- Returns, with temperatures in °C and precipitation in mm:
--   from, to, days
--   years    by year:  { year, days, temp_max, temp_min, precipitation, wet_days, dry_spell }
--   months   by month of each year: { year, month, days, temp_max, temp_min, precipitation, wet_days }
--   normals  by month, over all years: { month, days, temp_max, temp_min, precipitation, wet_days };
--            here precipitation is the mean of the month's totals
--   extremes { hottest, coldest, wettest }, each { date, value }
--   dry_spell the longest, also across a year's end: { days, from, to }
-- temp_max and temp_min are means of the daily values, dry spells are nil where it rained every day.

local calendar = require("calendar")
local dry = require("dry")

local function new_sums()
  return { days = 0, temp_max = 0, temp_min = 0, precipitation = 0, wet_days = 0 }
end

local function add(sums, more)
  for key in pairs(new_sums()) do
    sums[key] = sums[key] + more[key]
  end
end

-- Sums of tenths → means and totals.
local function figures(sums, into)
  into.days = sums.days
  into.wet_days = sums.wet_days
  into.temp_max = sums.temp_max / sums.days / 10
  into.temp_min = sums.temp_min / sums.days / 10
  into.precipitation = sums.precipitation / 10
  return into
end

local function spell(stretch)
  local longest = stretch.longest
  if longest.days == 0 then
    return nil
  end
  return {
    days = longest.days,
    from = calendar.date(longest.first),
    to = calendar.date(longest.first + longest.days - 1),
  }
end

local function beyond(best, candidate, sign)
  if not best or (candidate.value - best.value) * sign > 0 then
    return candidate
  end
  return best
end

local result = { years = {}, months = {}, normals = {}, extremes = {}, days = 0 }
local by_month, stretch = {}, nil

for number, year in ipairs(inputs.year) do
  local of_year = new_sums()
  for _, month in ipairs(year.months) do
    result.months[#result.months + 1] = figures(month, { year = year.year, month = month.month })
    add(of_year, month)
    local normal = by_month[month.month] or { sums = new_sums(), years = 0 }
    add(normal.sums, month)
    normal.years = normal.years + 1
    by_month[month.month] = normal
  end
  result.years[number] = figures(of_year, { year = year.year, dry_spell = spell(year.dry) })
  result.days = result.days + year.days

  local extremes = result.extremes
  extremes.hottest = beyond(extremes.hottest, year.hottest, 1)
  extremes.coldest = beyond(extremes.coldest, year.coldest, -1)
  extremes.wettest = beyond(extremes.wettest, year.wettest, 1)

  stretch = stretch and dry.join(stretch, year.dry) or year.dry
  progress(number / #inputs.year)
end

for month = 1, 12 do
  local normal = by_month[month]
  if normal then
    local entry = figures(normal.sums, { month = month })
    entry.precipitation = entry.precipitation / normal.years
    result.normals[#result.normals + 1] = entry
  end
end

result.from = calendar.date(stretch.first)
result.to = calendar.date(stretch.last)
result.dry_spell = spell(stretch)

local extremes = result.extremes
print(("hottest %.1f °C on %s"):format(extremes.hottest.value, extremes.hottest.date))
print(("coldest %.1f °C on %s"):format(extremes.coldest.value, extremes.coldest.date))
print(("wettest %.1f mm on %s"):format(extremes.wettest.value, extremes.wettest.date))
if result.dry_spell then
  print(("driest %d days from %s to %s"):format(result.dry_spell.days, result.dry_spell.from, result.dry_spell.to))
end
return result
