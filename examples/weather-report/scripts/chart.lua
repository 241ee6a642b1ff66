-- Text charts.

local chart = {}

-- A bar of at most `width` characters; what is above nothing is never drawn as nothing.
function chart.bar(value, largest, width)
  if value <= 0 or largest <= 0 then
    return ""
  end
  return ("█"):rep(math.max(1, math.floor(value / largest * width + 0.5)))
end

-- Like string.rep(" ", …) up to `width`, counted in characters rather than bytes.
function chart.pad(text, width)
  return text .. (" "):rep(width - utf8.len(text))
end

return chart
