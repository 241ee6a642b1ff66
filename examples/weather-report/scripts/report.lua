-- Writes the report, mails it, and returns the figures it was made of.

local calendar = require("calendar")
local chart = require("chart")

local WIDTH = 24

local figures = inputs.summary
local place = params.place or config.place
local lines = {}

local function line(format, ...)
  lines[#lines + 1] = select("#", ...) > 0 and format:format(...) or format or ""
end

local title = ("Weather in %s, %s to %s"):format(place, figures.from, figures.to)
line(title)
line(("="):rep(utf8.len(title)))
line()
line("%d days of observations.", figures.days)
line()

line("By year        mean max  mean min      rain    wet days  longest dry spell")
for _, year in ipairs(figures.years) do
  line(
    "  %d      %8.1f °C %6.1f °C %6.1f mm  %10d  %s",
    year.year,
    year.temp_max,
    year.temp_min,
    year.precipitation,
    year.wet_days,
    year.dry_spell and ("%d days from %s"):format(year.dry_spell.days, year.dry_spell.from) or "none"
  )
end
line()

local warmest, rainiest = 0, 0
for _, month in ipairs(figures.normals) do
  warmest = math.max(warmest, month.temp_max)
  rainiest = math.max(rainiest, month.precipitation)
end
line("An average year: mean min … max (°C)             rain (mm)")
for _, month in ipairs(figures.normals) do
  line(
    "  %s   %5.1f … %4.1f  %s  %5.0f  %s",
    calendar.MONTHS[month.month],
    month.temp_min,
    month.temp_max,
    chart.pad(chart.bar(month.temp_max, warmest, WIDTH), WIDTH),
    month.precipitation,
    chart.bar(month.precipitation, rainiest, WIDTH)
  )
end
line()

local extremes = figures.extremes
line("Hottest   %5.1f °C on %s", extremes.hottest.value, extremes.hottest.date)
line("Coldest   %5.1f °C on %s", extremes.coldest.value, extremes.coldest.date)
line("Wettest   %5.1f mm on %s", extremes.wettest.value, extremes.wettest.date)
if figures.dry_spell then
  line("Driest    %d days without rain, %s to %s", figures.dry_spell.days, figures.dry_spell.from, figures.dry_spell.to)
end

local text = table.concat(lines, "\n") .. "\n"
local to = params.to or config.to
email.send { to = to, subject = title, text = text }
print(("%d lines to %s"):format(#lines, to))

return figures
