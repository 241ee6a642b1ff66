local words = {}
for i = 1, 20000 do words[i] = "word" .. i % 977 end
local text = table.concat(words, " ")
for _ = 1, 5 do
  local counts = {}
  for word in text:gmatch("%w+") do counts[word] = (counts[word] or 0) + 1 end
  local lines = {}
  for word, count in pairs(counts) do lines[#lines + 1] = string.format("%-10s %5d", word, count) end
  assert(#lines == 977)
  local replaced = text:gsub("word(%d)", "w%1"):upper():reverse()
  assert(#replaced < #text)
  local built = ""
  for i = 1, 1000 do built = built .. i .. "," end
  assert(#built == 3893)
end
