//! Processor time: scripts that never wait, whatever they call, and in whose callbacks they hide.

use restroy_sdk::status::RunStatus;
use serde_json::json;

use super::Neighbours;

/// One loop for each item: each ends at its fuel, and not before.
const LOOPS: &str = r"
local function forever(f) while true do f() end end
local loops = {
    function() while true do end end,
    function() forever(os.clock) end,
    function() while true do for i = 1, 20000 do end os.clock() end end,
    function() forever(os.time) end,
    function() forever(time.now) end,
    function() forever(function() time.parts(1e9, 'Europe/Berlin') end) end,
    function() forever(uuid.v4) end,
    function() forever(function() crypto.random_bytes(65536) end) end,
    function() forever(function() pcall(error) end) end,
    function() forever(function() xpcall(error, error) end) end,
    function() forever(function() pcall(progress, 2) end) end,
    function() forever(function() pcall(load, 'x x') end) end,
    function() table.sort({3, 1, 2, 5, 4}, function() forever(os.clock) end) end,
    function() (('x'):rep(9)):gsub('.', function() forever(os.time) end) end,
    function() setmetatable({}, {__gc = function() forever(os.clock) end}) collectgarbage() end,
    function() local x <close> = setmetatable({}, {__close = function() forever(os.clock) end}) end,
    function() (('a'):rep(30)):find(('a*'):rep(30) .. 'b') end,
    function() coroutine.wrap(function() forever(function() coroutine.wrap(os.clock)() end) end)() end,
}
loops[index]()
";

#[tokio::test]
async fn no_endless_script_takes_another_teams_processor() {
    let mut neighbours = Neighbours::new(&[]).await;
    let status = neighbours.during(async |attacker| attacker.fan_out("loops", LOOPS, 18).await).await;
    assert_eq!(status, RunStatus::Failed);
}

/// Those that wait a little, over and over, or do little, many times at once.
const STORMS: &[(&str, &str)] = &[
    ("short sleeps", "for i = 1, 1000 do pcall(sleep, 0) end"),
    ("lines", "for i = 1, 5000 do print('') end"),
    ("progress", "for i = 1, 5000 do progress(0.5, '') end"),
    ("refused calls", "for i = 1, 3000 do pcall(kv.get, 'a') end"),
];

#[tokio::test]
async fn no_storm_of_calls_holds_up_another_team() {
    let mut neighbours = Neighbours::new(&[]).await;
    for (name, source) in STORMS {
        neighbours.during(async |attacker| attacker.run_all(name, source, json!({}), 3).await).await;
    }
}

#[tokio::test]
async fn a_team_with_many_busy_sandboxes_leaves_another_its_share() {
    let mut neighbours = Neighbours::new(&[]).await;
    neighbours
        .during(async |attacker| attacker.run_all("busy", "for i = 1, 30000000 do end", json!({}), 5).await)
        .await;
}
