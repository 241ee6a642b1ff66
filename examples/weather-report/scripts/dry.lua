-- Dry spells: consecutive days without precipitation. A missing day ends a spell.
--
-- A stretch of days is described so that two neighbours can be joined without looking at their days
-- again:
--   first, last   its first and last day, as day numbers
--   leading       how many dry days it begins with
--   trailing      how many dry days it ends with
--   longest       { first, days } of its longest spell, the earliest if several are as long

local dry = {}

local function longer(a, b)
  if b.days > a.days or (b.days == a.days and b.days > 0 and b.first < a.first) then
    return b
  end
  return a
end

function dry.of_day(number, is_dry)
  local days = is_dry and 1 or 0
  return { first = number, last = number, leading = days, trailing = days, longest = { first = number, days = days } }
end

-- `right` lies after `left`.
function dry.join(left, right)
  local adjacent = left.last + 1 == right.first
  local longest = longer(left.longest, right.longest)
  local leading, trailing = left.leading, right.trailing
  if adjacent then
    longest = longer(longest, { first = left.last - left.trailing + 1, days = left.trailing + right.leading })
    if left.leading == left.last - left.first + 1 then
      leading = left.leading + right.leading
    end
    if right.trailing == right.last - right.first + 1 then
      trailing = right.trailing + left.trailing
    end
  end
  return { first = left.first, last = right.last, leading = leading, trailing = trailing, longest = longest }
end

return dry
