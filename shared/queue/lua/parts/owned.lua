-- 1: this generation holds the claim; 0: another does; -1: nobody.
local function owned(claim, generation)
  local raw = redis.call('GET', claim)
  if not raw then return -1 end
  local ok, held = pcall(cmsgpack.unpack, raw)
  if not ok or type(held) ~= 'table' then return -1 end -- what nobody can read, nobody holds
  if held.generation ~= tonumber(generation) then return 0 end
  return 1
end
