-- The planets of the n-body benchmark.
local sqrt, PI = math.sqrt, math.pi
local SOLAR_MASS, YEAR = 4 * PI * PI, 365.24
local bodies = {
  { x = 0, y = 0, z = 0, vx = 0, vy = 0, vz = 0, mass = SOLAR_MASS },
  { x = 4.84143144246472090, y = -1.16032004402742839, z = -0.103622044471123109,
    vx = 0.00166007664274403694 * YEAR, vy = 0.00769901118419740425 * YEAR, vz = -0.0000690460016972063023 * YEAR,
    mass = 0.000954791938424326609 * SOLAR_MASS },
  { x = 8.34336671824457987, y = 4.12479856412430479, z = -0.403523417114321381,
    vx = -0.00276742510726411151 * YEAR, vy = 0.00499852801234917238 * YEAR, vz = 0.0000230417297573763929 * YEAR,
    mass = 0.000285885980666130812 * SOLAR_MASS },
  { x = 12.8943695621391310, y = -15.1111514016986312, z = -0.223307578892655734,
    vx = 0.00296460137564761618 * YEAR, vy = 0.00237847173959480950 * YEAR, vz = -0.0000296589568540237556 * YEAR,
    mass = 0.0000436624404335156298 * SOLAR_MASS },
  { x = 15.3796971148509165, y = -25.9193146099879641, z = 0.179258772950371181,
    vx = 0.00268067772490389322 * YEAR, vy = 0.00162824170038242295 * YEAR, vz = -0.0000951592254519715870 * YEAR,
    mass = 0.0000515138902046611451 * SOLAR_MASS },
}

local function advance(dt)
  for i = 1, #bodies do
    local a = bodies[i]
    for j = i + 1, #bodies do
      local b = bodies[j]
      local dx, dy, dz = a.x - b.x, a.y - b.y, a.z - b.z
      local square = dx * dx + dy * dy + dz * dz
      local magnitude = dt / (square * sqrt(square))
      local of_b, of_a = b.mass * magnitude, a.mass * magnitude
      a.vx, a.vy, a.vz = a.vx - dx * of_b, a.vy - dy * of_b, a.vz - dz * of_b
      b.vx, b.vy, b.vz = b.vx + dx * of_a, b.vy + dy * of_a, b.vz + dz * of_a
    end
  end
  for i = 1, #bodies do
    local a = bodies[i]
    a.x, a.y, a.z = a.x + dt * a.vx, a.y + dt * a.vy, a.z + dt * a.vz
  end
end

for _ = 1, 60000 do advance(0.01) end
