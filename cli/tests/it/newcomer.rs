//! The command line in a newcomer's hands: every word it says leads to the next one.

use std::{fs, path::Path, process::Output};

use serde_json::Value;

use crate::server::{PRODUCTION, Server, restroy};

/// Somebody with a server, a folder for the command line's settings and one to work in.
struct Newcomer {
    server: Server,
}

struct Answer {
    code: i32,
    out: String,
    err: String,
}

impl Newcomer {
    fn new() -> Self {
        Self { server: Server::start(&[]) }
    }

    fn folder(&self) -> &Path {
        self.server.work()
    }

    fn types(&self, arguments: &[&str]) -> Answer {
        let output: Output = restroy()
            .args(arguments)
            .current_dir(self.folder())
            .env("RESTROY_CONFIG_DIR", self.folder().join("config"))
            .env("RESTROY_PASSWORD", "correct horse battery staple")
            .output()
            .unwrap();
        Answer {
            code: output.status.code().unwrap(),
            out: String::from_utf8(output.stdout).unwrap(),
            err: String::from_utf8(output.stderr).unwrap(),
        }
    }

    fn succeeds(&self, arguments: &[&str]) -> String {
        let answer = self.types(arguments);
        assert_eq!(answer.code, 0, "{arguments:?}: {}{}", answer.out, answer.err);
        answer.out
    }

    fn fails(&self, arguments: &[&str], code: i32) -> String {
        let answer = self.types(arguments);
        assert_eq!(answer.code, code, "{arguments:?}: {}{}", answer.out, answer.err);
        answer.err
    }

    /// Registers and signs in; gives what was said in the end.
    fn signs_up(&self, arguments: &[&str]) -> String {
        let login = ["login", "ada@example.com", "--register", "--server", &self.server.url];
        let login = [&login, arguments].concat();
        if PRODUCTION {
            assert!(self.fails(&login, 3).contains("restroy verify-email TOKEN"));
            self.succeeds(&[
                "verify-email",
                &self.server.mailed_token("ada@example.com"),
                "--server",
                &self.server.url,
            ]);
        }
        self.succeeds(&login)
    }

    fn writes(&self, path: &str, text: &str) {
        let path = self.folder().join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }
}

const PIPELINE: &str = "restroy: 1
name: Hello
params: { type: object, properties: { who: { type: string } }, required: [who] }
steps:
  greet:
    script: scripts/greet.lua
    secrets: [KEY]
    allow: { files: true }
  after:
    script: scripts/after.lua
    needs: [greet]
";

#[test]
fn from_nothing_to_a_run_and_its_output() {
    let newcomer = Newcomer::new();
    assert!(newcomer.fails(&["runs"], 3).contains("sign"), "it says that one must sign in");
    newcomer.signs_up(&[]);
    assert!(newcomer.succeeds(&["whoami"]).contains("ada@example.com"));

    newcomer.writes("hello/pipeline.yaml", &PIPELINE.replace("needs:", "neds:"));
    newcomer.writes("hello/scripts/greet.lua", "print('hello ' .. params.who .. ' ' .. config.KEY)\nreturn = 1");
    newcomer.writes("hello/scripts/after.lua", "return inputs.greet .. '!'");
    let faults = newcomer.fails(&["push", "hello"], 1);
    assert!(faults.contains("hello/pipeline.yaml:11:5") && faults.contains("did you mean `needs`"), "{faults}");
    newcomer.writes("hello/pipeline.yaml", PIPELINE);
    let faults = newcomer.fails(&["check", "hello"], 1);
    assert!(faults.contains("hello/scripts/greet.lua:2:8"), "{faults}");
    newcomer.writes(
        "hello/scripts/greet.lua",
        "print('hello ' .. params.who .. ' ' .. config.KEY)\nfiles.write('note.txt', 'kept')\nfiles.artifact('note.txt')\nreturn params.who",
    );
    newcomer.succeeds(&["check", "hello"]);
    assert!(newcomer.succeeds(&["push", "hello"]).contains("version 1"));

    assert!(newcomer.fails(&["run", "Helo"], 1).contains("Hello"), "a slip of the pen gets the right name");
    assert!(newcomer.fails(&["run", "Hello"], 1).contains("who"), "a missing parameter is named");
    let missing = newcomer.types(&["run", "Hello", "-p", "who=Ada", "--follow"]);
    assert_eq!(missing.code, 1);
    assert!(missing.out.contains("restroy secrets set"), "the remedy is named: {}", missing.out);

    newcomer.writes("key.txt", "a key of mine");
    let set = restroy()
        .args(["secret", "set", "Hello", "greet", "KEY"])
        .env("RESTROY_CONFIG_DIR", newcomer.folder().join("config"))
        .stdin(fs::File::open(newcomer.folder().join("key.txt")).unwrap())
        .output()
        .unwrap();
    assert!(set.status.success(), "{}", String::from_utf8_lossy(&set.stderr));
    assert!(!newcomer.succeeds(&["config", "list", "Hello"]).contains("a key of mine"));

    let out = newcomer.succeeds(&["run", "Hello", "-p", "who=Ada", "--follow"]);
    assert!(out.contains("hello Ada ") && !out.contains("a key of mine"), "{out}");
    let runs: Value = serde_json::from_str(&newcomer.succeeds(&["runs", "Hello", "--json"])).unwrap();
    let newest = runs.as_array().or_else(|| runs["items"].as_array()).unwrap()[0].clone();
    assert_eq!(newest["status"], "succeeded");
    let run = newest["id"].as_str().unwrap();
    assert!(newcomer.succeeds(&["logs", run]).contains("hello Ada"));
    newcomer.succeeds(&["artifacts", run, "--download", "kept"]);
    assert_eq!(fs::read_to_string(newcomer.folder().join("kept/note.txt")).unwrap(), "kept");
    assert!(newcomer.fails(&["cancel", run], 1).contains("succeeded"), "a finished run cannot be cancelled");

    newcomer.succeeds(&["logout"]);
    newcomer.fails(&["runs"], 3);
}

#[test]
fn exec_runs_a_script_on_the_spot() {
    let folder = tempfile::tempdir().unwrap();
    let script = folder.path().join("twice.lua");
    fs::write(&script, "print('doubling') return inputs.n * 2").unwrap();
    let run = |arguments: &[&str]| restroy().arg("exec").arg(&script).args(arguments).output().unwrap();
    let good = run(&["--input", "{\"n\": 21}"]);
    assert!(good.status.success());
    let (out, err) = (String::from_utf8_lossy(&good.stdout), String::from_utf8_lossy(&good.stderr));
    assert!(out.contains("doubling") && out.contains("42") && err.contains("fuel"), "{out}{err}");
    let bad = run(&["--input", "{}"]);
    assert_eq!(bad.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&bad.stderr).contains("twice.lua:1"), "{}", String::from_utf8_lossy(&bad.stderr));
}

#[test]
fn json_is_json_and_settings_too() {
    let newcomer = Newcomer::new();
    let url = newcomer.server.url.as_str();
    let json = |arguments: &[&str]| -> Value { serde_json::from_str(&newcomer.succeeds(arguments)).unwrap() };
    let signed_in: Value = serde_json::from_str(&newcomer.signs_up(&["--json"])).unwrap();
    assert_eq!(signed_in["email"], "ada@example.com");
    assert_eq!(json(&["config", "--json"])["slots"], 4);
    newcomer.writes("hello/pipeline.yaml", PIPELINE);
    newcomer.writes("hello/scripts/greet.lua", "return 1");
    newcomer.writes("hello/scripts/after.lua", "return 1");
    assert!(newcomer.succeeds(&["push", "hello"]).contains("restroy run Hello --param who=… --follow"));
    json(&["config", "set", "Hello", "greet", "a", "b", "--json"]);
    assert_eq!(json(&["config", "unset", "Hello", "greet", "a", "--json"])["key"], "a");
    assert!(
        newcomer.fails(&["config", "unset", "Hello", "greet", "a"], 1).contains("`a` of scripts/greet.lua is not set")
    );
    assert!(newcomer.fails(&["config", "set", "Hello", "greet", "KEY", "plain"], 2).contains("restroy secrets set"));
    assert_eq!(json(&["logout", "--json"])["server"], url);
    assert!(newcomer.fails(&["runs"], 3).contains(&format!("restroy login --server {url}")));
}
