//! Processor time: scripts that never pause, in every way that a script can be busy.

use restroy_sdk::status::RunStatus;
use serde_json::json;

use super::Neighbours;

/// Scripts that are busy for as long as they may be. Each calls the host as often as it can, or never.
const BUSY: &[(&str, &str)] = &[
    ("spin", "while true do end"),
    ("clock", "local c = os.clock while true do for i = 1, 20000 do end c() end"),
    ("time", "while true do os.time() end"),
    ("random", "while true do crypto.random_bytes(65536) end"),
    ("uuid", "while true do uuid.v4() end"),
    ("zones", "while true do time.parts(1e9, 'Europe/Berlin') end"),
    ("throws", "while true do pcall(error) end"),
    ("handlers", "while true do xpcall(error, error) end"),
    ("progress", "while true do progress(0.5) end"),
    ("empty lines", "while true do log.info('') end"),
    ("sort", "local t = {} for i = 1, 1e5 do t[i] = i end while true do table.sort(t, function(a, b) return (a * 7919) % 10007 < (b * 7919) % 10007 end) end"),
    ("gsub", "local s = ('a'):rep(1e5) while true do s:gsub('a', function() os.clock() end) end"),
    ("gc", "setmetatable({}, {__gc = function() while true do os.clock() end end}) collectgarbage() collectgarbage()"),
    ("copies", "local s = ('x'):rep(4 * 1024 * 1024) while true do local t = s:reverse() end"),
    ("pattern", "return (('a'):rep(40)):find(('a?'):rep(40) .. ('a'):rep(40) .. 'b')"),
    ("coroutines", "while true do coroutine.wrap(function() os.clock() end)() end"),
];

#[tokio::test]
async fn no_busy_script_takes_another_teams_processor() {
    let mut neighbours = Neighbours::new(&[]).await;
    for (name, source) in BUSY {
        neighbours.during(async |attacker| attacker.run_all(name, source, json!({}), 2).await).await;
    }
}

#[tokio::test]
async fn one_run_of_many_busy_items_takes_no_lease_from_anybody() {
    let mut neighbours = Neighbours::new(&[]).await;
    let source = "local c = os.clock while true do for i = 1, 20000 do end c() end";
    let status = neighbours.during(async |attacker| attacker.fan_out("hogs", source, 24).await).await;
    assert_eq!(status, RunStatus::Failed);
}
