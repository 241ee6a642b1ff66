//! Memory: what makes the processes that serve everybody allocate.

use serde_json::json;

use super::Neighbours;

/// Scripts that want more memory than they may have, or have others allocate it.
const GREEDY: &[(&str, &str)] = &[
    ("doubling", "local s = 'x' while true do s = s .. s end"),
    ("tables", "local t = {} while true do t[#t + 1] = {} end"),
    ("large result", "local t = json.array {} for i = 1, 120000 do t[i] = 1 end return t"),
    ("large error", "error(('a'):rep(65000))"),
    (
        "structured error",
        "local t = {} for i = 1, 50000 do t[i] = {} end error{code = 'x', message = 'y', details = t}",
    ),
    ("large lines", "for i = 1, 30 do print(('a'):rep(8000)) end"),
];

#[tokio::test]
async fn no_greedy_script_takes_another_teams_memory() {
    let mut neighbours = Neighbours::new(&[]).await;
    for (name, source) in GREEDY {
        neighbours.during(async |attacker| attacker.run_all(name, source, json!({}), 5).await).await;
    }
}
