//! Scripts that mean harm: each ends with a clear error, and the executor continues.

use restroy_sdk::status::{RunStatus, StepStatus};
use serde_json::json;

use crate::support::run;

#[tokio::test(flavor = "multi_thread")]
async fn hostile_scripts_end_with_a_clear_error_and_nothing_else() {
    let scripts = [
        ("loop", "while true do end", "fuel_exhausted"),
        ("caught", "while true do pcall(function() while true do end end) end", "fuel_exhausted"),
        ("memory", "local s = 'x' while true do s = s .. s end", "memory_limit"),
        ("flood", "while true do print(('x'):rep(1000)) end", "log_limit"),
        ("long", "return ('x'):rep(300 * 1024)", "output_limit"),
        ("recursion", "local function f() return 1 + f() end return f()", "script_error"),
        ("bytecode", "return load('\\27Lua')()", "script_error"),
        ("shout", "error(('x'):rep(5 * 1024 * 1024))", "script_error"),
        ("details", "error{ message = 'm', text = ('x'):rep(5 * 1024 * 1024) }", "script_error"),
        ("progress", "while true do progress(0.5, ('x'):rep(8000)) end", "log_limit"),
    ];
    let mut steps = serde_json::Map::new();
    let mut files = Vec::new();
    for (name, script, _) in &scripts {
        steps.insert((*name).to_owned(), json!({"script": format!("{name}.lua")}));
        files.push((format!("{name}.lua"), *script));
    }
    steps.insert("good".to_owned(), json!({"script": "good.lua"}));
    files.push(("good.lua".to_owned(), "return 'well'"));
    let files: Vec<(&str, &str)> = files.iter().map(|(path, text)| (path.as_str(), *text)).collect();
    let report = run(json!({"restroy": 1, "steps": steps}), &files).await;
    assert_eq!(report.status(), RunStatus::Failed);
    assert_eq!(report.output("good"), json!("well"));
    for (name, _, code) in scripts {
        let (status, _, error) = report.step(name);
        let error = error.unwrap();
        assert_eq!((status, error.code.as_str()), (StepStatus::Failed, code), "{name}: {}", error.message);
        assert!(serde_json::to_string(&error).unwrap().len() < 100 * 1024, "{name}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn no_path_leads_out_of_the_scratch_folder() {
    let report = run(
        json!({"restroy": 1, "steps": {"a": {"script": "a.lua", "allow": {"files": true}}}}),
        &[(
            "a.lua",
            "local refused = 0
             for _, path in ipairs { '../x', '/etc/passwd', 'a/../../x', './../x', '..', '' } do
                 if not pcall(files.read, path) and not pcall(files.write, path, 'x') then refused = refused + 1 end
             end
             local block = ('x'):rep(1024 * 1024)
             local written, problem = 0, nil
             for i = 1, 60 do
                 local ok, raised = pcall(files.write, 'f' .. i, block)
                 if ok then written = written + 1 else problem = raised break end
             end
             return { refused, written, problem.code }",
        )],
    )
    .await;
    assert_eq!(report.output("a"), json!([6, 50, "scratch_limit"]));
}
