//! What must hold of a document, and what is said when it does not.

use std::collections::BTreeMap;

use restroy_document::{check, order, read_yaml};

fn files(paths: &[&str]) -> BTreeMap<String, String> {
    paths.iter().map(|path| ((*path).to_owned(), "return 1".to_owned())).collect()
}

/// The errors of a document whose files are `a.lua` and `b.lua`, as `pointer: detail`: those of its form, or else those
/// beyond it.
fn faults(text: &str) -> Vec<String> {
    let faults = match read_yaml(text) {
        Ok(document) => check(&document, &files(&["a.lua", "b.lua"])),
        Err(faults) => faults,
    };
    faults.into_iter().map(|fault| format!("{}: {}", fault.pointer, fault.detail)).collect()
}

fn steps(text: &str) -> Vec<String> {
    faults(&format!("restroy: 1\nsteps:\n{text}"))
}

#[track_caller]
fn says(found: &[String], wanted: &[&str]) {
    assert_eq!(found.len(), wanted.len(), "{found:#?}");
    for (found, wanted) in found.iter().zip(wanted) {
        assert!(found.starts_with(wanted), "found  {found}\nwanted {wanted}");
    }
}

#[test]
fn takes_a_right_document() {
    says(
        &steps(
            "  a: { script: a.lua, secrets: [KEY], config: { url: x }, allow: { http: ['https://*.example.com'] } }\n  \
             b: { script: b.lua, needs: [a], for_each: inputs.a, max_parallel: 50, retry: {}, timeout: 15m }\n",
        ),
        &[],
    );
}

#[test]
fn refuses_wrong_needs() {
    says(
        &steps("  fetch: { script: a.lua }\n  send: { script: b.lua, needs: [fetsh, send, fetch, fetch] }\n"),
        &[
            "/steps/send/needs/0: unknown step `fetsh`; did you mean `fetch`?",
            "/steps/send/needs/1: a step cannot need itself",
            "/steps/send/needs/3: `fetch` is named twice",
        ],
    );
}

#[test]
fn names_the_whole_cycle() {
    let text = "  a: { script: a.lua, needs: [c] }\n  b: { script: a.lua, needs: [a] }\n  \
                c: { script: a.lua, needs: [b] }\n  d: { script: a.lua, needs: [c] }\n";
    says(&steps(text), &["/steps/a/needs/0: a cycle: `a` needs `c` needs `b` needs `a`; remove one of"]);
    let text = "  a: { script: a.lua, needs: [b] }\n  b: { script: a.lua, needs: [a] }\n  \
                x: { script: a.lua, needs: [a, y] }\n  y: { script: a.lua, needs: [x] }\n";
    says(&steps(text), &["/steps/a/needs/0: a cycle: `a`", "/steps/x/needs/1: a cycle: `x` needs `y` needs `x`"]);
}

#[test]
fn a_step_is_exactly_one_available_thing() {
    says(
        &steps("  a: { when: always }\n  b: { script: a.lua, sleep: 5s }\n  c: { approval: {} }\n"),
        &[
            "/steps/a: the step does nothing; name its `script`, or how long it is to `sleep`",
            "/steps/b: a step is one thing only; this has `script` and `sleep`; keep one of them",
            "/steps/c/approval: not available in this version yet",
        ],
    );
}

#[test]
fn a_sleep_has_bounds_and_nothing_of_a_script() {
    says(&steps("  a: { sleep: 1ms }\n  b: { sleep: 365d, needs: [a], if: params.x, when: always }\n"), &[]);
    says(
        &steps("  a: { sleep: 0s }\n  b: { sleep: 366d }\n"),
        &["/steps/a/sleep: `0ms` must be between 1ms and 365d", "/steps/b/sleep: `366d` must be between 1ms and 365d"],
    );
    says(
        &steps("  a: { sleep: 10 }\n  b: { sleep: tomorrow }\n"),
        &["/steps/a/sleep: a duration needs a unit: write `10s`", "/steps/b/sleep: `tomorrow` is not a duration"],
    );
    says(
        &steps("  a: { sleep: 1m, allow: { kv: true }, for_each: '{1}', retry: {}, secrets: [] }\n"),
        &[
            "/steps/a/for_each: only allowed with `script`; this step has `sleep`",
            "/steps/a/secrets: only allowed with `script`",
            "/steps/a/allow: only allowed with `script`",
            "/steps/a/retry: only allowed with `script`",
        ],
    );
}

#[test]
fn a_script_must_be_among_the_files() {
    says(
        &steps("  a: { script: aa.lua }\n  b: { script: scripts/other.lua }\n  c: { script: ../a.lua }\n"),
        &[
            "/steps/a/script: no file `aa.lua`; did you mean `a.lua`?",
            "/steps/b/script: no file `scripts/other.lua`; the files are `a.lua` and `b.lua`",
            "/steps/c/script: `../a.lua` leaves",
        ],
    );
}

#[test]
fn names_and_numbers_lie_within_bounds() {
    says(
        &steps(
            "  1a: { script: a.lua }\n  b: { script: a.lua, for_each: ' ', max_parallel: 51 }\n  \
             c: { script: a.lua, max_parallel: 2, timeout: 16m }\n  \
             d: { script: a.lua, retry: { max_attempts: 11, initial: 2s, max: 1s } }\n  \
             e: { script: a.lua, timeout: 0s, retry: { max_attempts: 0, initial: 2h, max: 2h } }\n",
        ),
        &[
            "/steps/1a: `1a` is not a step's name",
            "/steps/b/for_each: the expression is empty",
            "/steps/b/max_parallel: 51 must be between 1 and 50",
            "/steps/c/max_parallel: only allowed with `for_each`",
            "/steps/c/timeout: `16m` must be between",
            "/steps/d/retry/max_attempts: 11 must be between 1 and 10",
            "/steps/d/retry/max: `1s` is shorter than the first pause, `2s`",
            "/steps/e/timeout: `0ms` must be between",
            "/steps/e/retry/max_attempts: 0 must be between",
            "/steps/e/retry/initial: `2h` is longer than 1h",
            "/steps/e/retry/max: `2h` is longer than 1h",
        ],
    );
}

#[test]
fn a_key_is_plain_or_secret() {
    says(
        &steps("  a: { script: a.lua, config: { KEY: x, 'a b': y }, secrets: [KEY, K-2, T, T] }\n"),
        &[
            "/steps/a/config/a b: `a b` is not a key",
            "/steps/a/secrets/0: `KEY` is also a key of `config`",
            "/steps/a/secrets/1: `K-2` is not a key",
            "/steps/a/secrets/3: `T` is named twice",
        ],
    );
}

#[test]
fn origins_are_origins() {
    says(
        &steps("  a: { script: a.lua, allow: { http: ['https://a.example', 'a.example', '*'] } }\n"),
        &["/steps/a/allow/http/1: `a.example` is not an origin", "/steps/a/allow/http/2: `*` is not"],
    );
}

#[test]
fn the_head_is_checked() {
    says(
        &faults(
            "restroy: 2\nname: ' x'\nparams: { type: array }\nsteps: {}\nconcurrency: { limit: 0, key: params.x }\n",
        ),
        &[
            "/restroy: unknown format version 2",
            "/name: a name is not empty",
            "/params/type: a run's parameters are an object",
            "/steps: a pipeline has at least one step",
            "/concurrency/limit: 0 must be between 1 and 50",
            "/concurrency/key: not available in this version yet",
        ],
    );
    says(&faults("restroy: 1\nparams: [1]\nsteps: { a: { script: a.lua } }\n"), &["/params: expected a JSON Schema"]);
    let many: Vec<_> = (0..101).map(|n| format!("  s{n}: {{ script: a.lua }}")).collect();
    says(&steps(&many.join("\n")), &["/steps: 101 steps; a pipeline has at most 100"]);
}

#[test]
fn schedules_have_a_cron_and_a_zone() {
    let schedules = "schedules:\n  ok: { cron: '*/5 8-17 * * MON-FRI', timezone: Europe/Kyiv }\n  \
                     six: { cron: '0 0 8 * * MON' }\n  bad: { cron: '61 * * * *' }\n  \
                     lost: { cron: '0 8 * * 1', timezone: Europe/Kiyv }\n";
    says(
        &faults(&format!("restroy: 1\nsteps: {{ a: {{ script: a.lua }} }}\n{schedules}")),
        &[
            "/schedules/six/cron: `0 0 8 * * MON` has 6 fields; write five",
            "/schedules/bad/cron: `61 * * * *` is not a cron expression",
            "/schedules/lost/timezone: unknown time zone `Europe/Kiyv`; did you mean `Europe/K",
        ],
    );
}

#[test]
fn files_lie_within_bounds() {
    let document = read_yaml("restroy: 1\nsteps: { a: { script: a.lua } }\n").expect("readable");
    let mut files = files(&["a.lua", "scripts/unused.lua", "../evil.lua", "data.csv"]);
    files.insert("big.lua".into(), " ".repeat(256 * 1024 + 1));
    let found: Vec<_> = check(&document, &files).into_iter().map(|f| format!("{}: {}", f.pointer, f.detail)).collect();
    says(
        &found,
        &[
            "/files/..~1evil.lua: the path leaves",
            "/files/data.csv: the path does not end in `.lua`",
            "/files/big.lua: the file has 262145 bytes; at most 262144",
        ],
    );
    let large = (0..65).map(|n| (format!("scripts/{n}.lua"), " ".repeat(256 * 1024)));
    let files: BTreeMap<_, _> = large.chain([("a.lua".to_owned(), String::new())]).collect();
    let found = check(&document, &files);
    assert!(found.iter().any(|fault| fault.pointer.is_empty() && fault.detail.contains("at most 16777216")));
}

#[test]
fn the_order_keeps_the_authors_where_it_can() {
    let text =
        "restroy: 1\nsteps:\n  z: { script: a.lua, needs: [m] }\n  m: { script: a.lua }\n  a: { script: a.lua }\n";
    assert_eq!(order(&read_yaml(text).expect("readable")), ["m", "z", "a"]);
}
