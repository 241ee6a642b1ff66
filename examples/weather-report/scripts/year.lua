-- The figures of one year: `item` is { year, days } of parse.lua.
--
-- The observations have one decimal. They are summed as whole tenths, so that sums are exact and do
-- not depend on the order of addition.

local calendar = require("calendar")
local dry = require("dry")

local function tenths(value)
  return math.floor(value * 10 + 0.5)
end

local months, stretch = {}, nil
local hottest, coldest, wettest

for number, day in ipairs(item.days) do
  local date, precipitation, temp_max, temp_min = day[1], day[2], day[3], day[4]

  local index_of_month = tonumber(date:sub(6, 7))
  local month = months[#months]
  if not month or month.month ~= index_of_month then
    month = { month = index_of_month, days = 0, wet_days = 0, precipitation = 0, temp_max = 0, temp_min = 0 }
    months[#months + 1] = month
  end
  month.days = month.days + 1
  month.wet_days = month.wet_days + (precipitation > 0 and 1 or 0)
  month.precipitation = month.precipitation + tenths(precipitation)
  month.temp_max = month.temp_max + tenths(temp_max)
  month.temp_min = month.temp_min + tenths(temp_min)

  -- The first day wins a tie.
  if not hottest or temp_max > hottest.value then
    hottest = { date = date, value = temp_max }
  end
  if not coldest or temp_min < coldest.value then
    coldest = { date = date, value = temp_min }
  end
  if not wettest or precipitation > wettest.value then
    wettest = { date = date, value = precipitation }
  end

  local today = dry.of_day(calendar.day_number(date), precipitation == 0)
  stretch = stretch and dry.join(stretch, today) or today

  if number % 31 == 0 then
    progress(number / #item.days, calendar.MONTHS[index_of_month])
  end
end

-- A line per quarter, for those who watch.
for quarter = 1, 4 do
  local days, temp_max, temp_min, precipitation = 0, 0, 0, 0
  for _, month in ipairs(months) do
    if (month.month + 2) // 3 == quarter then
      days = days + month.days
      temp_max = temp_max + month.temp_max
      temp_min = temp_min + month.temp_min
      precipitation = precipitation + month.precipitation
    end
  end
  if days > 0 then
    print(("%d Q%d  max %5.1f °C  min %5.1f °C  rain %6.1f mm"):format(
      item.year,
      quarter,
      temp_max / days / 10,
      temp_min / days / 10,
      precipitation / 10
    ))
  end
end
progress(1, "done")

-- Sums in tenths: summary.lua makes means and totals of them.
return {
  year = item.year,
  days = #item.days,
  months = months,
  hottest = hottest,
  coldest = coldest,
  wettest = wettest,
  dry = stretch,
}
