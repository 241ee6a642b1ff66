//! The client commands, as a person types them.

use std::{
    fs,
    io::Write as _,
    os::unix::fs::PermissionsExt as _,
    path::PathBuf,
    process::{Output, Stdio},
};

use serde_json::{Value, json};

use crate::server::{PRODUCTION, Server, restroy};

const PASSWORD: &str = "correct horse battery\n";

/// A person at a terminal, with a folder of their own.
pub(crate) struct Person {
    pub(crate) home: tempfile::TempDir,
}

/// What a command said.
pub(crate) struct Said {
    code: Option<i32>,
    pub(crate) out: String,
    pub(crate) err: String,
}

impl Said {
    #[track_caller]
    pub(crate) fn ok(self) -> String {
        assert_eq!(self.code, Some(0), "{}{}", self.out, self.err);
        self.out
    }

    #[track_caller]
    pub(crate) fn fails(self, code: i32) -> String {
        assert_eq!(self.code, Some(code), "{}{}", self.out, self.err);
        self.err
    }
}

impl Person {
    pub(crate) fn new() -> Self {
        Self { home: tempfile::tempdir().unwrap() }
    }

    pub(crate) fn types(&self, arguments: &[&str]) -> Said {
        self.types_with(arguments, "")
    }

    /// Types a command and hands it `input`.
    pub(crate) fn types_with(&self, arguments: &[&str], input: &str) -> Said {
        let mut child = restroy()
            .args(arguments)
            .current_dir(self.home.path())
            .env("RESTROY_CONFIG_DIR", self.home.path().join("config"))
            .env("XDG_CACHE_HOME", std::env::temp_dir().join("restroy-test-cache"))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        // A command that reads nothing may be gone now.
        let _ = child.stdin.take().unwrap().write_all(input.as_bytes());
        let Output { status, stdout, stderr } = child.wait_with_output().unwrap();
        let text = |bytes| String::from_utf8(bytes).unwrap();
        Said { code: status.code(), out: text(stdout), err: text(stderr) }
    }

    pub(crate) fn file(&self, path: &str, text: &str) -> PathBuf {
        let path = self.home.path().join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, text).unwrap();
        path
    }

    /// Signs up at a server.
    pub(crate) fn signs_up(&self, server: &Server) {
        self.signs_up_as(server, "ada@example.com");
    }

    fn signs_up_as(&self, server: &Server, email: &str) {
        let login = ["login", email, "--register", "--password-stdin", "--server", &server.url];
        if PRODUCTION {
            assert!(self.types_with(&login, PASSWORD).fails(3).contains("restroy verify-email TOKEN"));
            let token = server.mailed_token(email);
            let verify = ["verify-email", &token, "--password-stdin", "--server", &server.url];
            self.types_with(&verify, PASSWORD).ok();
        }
        self.types_with(&login, PASSWORD).ok();
    }

    /// A folder `hello` with a pipeline of that name.
    pub(crate) fn writes_hello(&self) {
        self.file(
            "hello/pipeline.yaml",
            "restroy: 1\nname: Hello\n\
             params: { type: object, properties: { names: { type: string }, fail: { type: boolean } }, required: [names] }\n\
             steps:\n  \
               split: { script: scripts/split.lua }\n  \
               greet: { script: scripts/greet.lua, needs: [split], for_each: inputs.split, secrets: [TOKEN] }\n  \
               keep: { script: scripts/keep.lua, needs: [greet], allow: { files: true } }\n",
        );
        self.file(
            "hello/scripts/split.lua",
            "if params.fail then error('as you like') end\nlocal names = json.array {}\n\
             for name in params.names:gmatch('[^,]+') do names[#names + 1] = name end\nreturn names\n",
        );
        self.file("hello/scripts/greet.lua", "print('hello, ' .. item)\nreturn #config.TOKEN\n");
        self.file("hello/scripts/keep.lua", "files.write('a.txt', 'kept')\nfiles.artifact('a.txt')\n");
    }
}

pub(crate) fn json_of(text: &str) -> Value {
    serde_json::from_str(text).unwrap_or_else(|error| panic!("{error}: {text}"))
}

#[test]
fn a_script_runs_on_the_spot() {
    let ada = Person::new();
    ada.file("lib.lua", "return { twice = function(n) return 2 * n end }");
    ada.file("a.lua", "print('n is', inputs.n)\nreturn { n = require('lib').twice(inputs.n), who = config.WHO }");
    let out = ada.types(&["exec", "a.lua", "--input", r#"{"n": 7}"#, "--config", "WHO=Ada"]).ok();
    assert!(out.starts_with("n is\t7\n=> {"), "{out}");
    let said = ada.types(&["exec", "a.lua", "--input", r#"{"n": 7}"#, "--json"]);
    assert_eq!(said.err, "n is\t7\n", "lines leave standard output to the JSON");
    let answer = json_of(&said.ok());
    assert_eq!(answer["output"], json!({ "n": 14 }));
    assert!(answer["usage"]["fuel"].as_u64().is_some_and(|fuel| fuel > 0));
}

#[test]
fn a_script_that_fails_says_where() {
    let ada = Person::new();
    ada.file("b.lua", "local function f(x)\n  error('no ' .. x)\nend\nf('luck')\n");
    let err = ada.types(&["exec", "b.lua"]).fails(1);
    assert!(err.contains("no luck") && err.contains("b.lua:2:") && err.contains("b.lua:4: in main chunk"), "{err}");
    let answer = ada.types(&["exec", "b.lua", "--json"]);
    assert_eq!(json_of(&answer.out)["error"]["code"], "script_error");
    answer.fails(1);
    ada.file("c.lua", "while true do end");
    let err = ada.types(&["exec", "c.lua", "--fuel", "100000"]).fails(1);
    assert!(err.contains("fuel_exhausted") && err.contains("100000"), "{err}");
    ada.file("d.lua", "return http.get('http://169.254.169.254/').status");
    assert!(ada.types(&["exec", "d.lua"]).fails(1).contains("--allow-http"));
    let err = ada.types(&["exec", "d.lua", "--allow-http", "http://169.254.169.254"]).fails(1);
    assert!(err.contains("not a public address"), "{err}");
    let deep = format!("{}{}", "[".repeat(128), "]".repeat(128));
    for no_json in ["{n", r#""\ud800""#, "1e999", &deep] {
        let err = ada.types(&["exec", "d.lua", "--input", no_json]).fails(2);
        assert!(err.contains("--input is not JSON"), "{err}");
    }
    ada.types(&["exec", "gone.lua"]).fails(1);
}

#[test]
fn a_folder_is_checked_like_a_compiler_would() {
    let ada = Person::new();
    ada.file("bad/pipeline.yaml", "restroy: 1\nsteps:\n  a:\n    script: scripts/b.lua\n    needs: [c]\n");
    ada.file("bad/scripts/a.lua", "local x = = 1\n");
    let err = ada.types(&["check", "bad"]).fails(1);
    let expected = "error: no file `scripts/b.lua`; did you mean `scripts/a.lua`?\n \
                    --> bad/pipeline.yaml:4:13\n  |\n4 |     script: scripts/b.lua\n  |             ^\n";
    assert!(err.starts_with(expected), "{err}");
    assert!(err.contains("bad/pipeline.yaml:5:13") && err.ends_with("error: 2 faults in bad\n"), "{err}");
    ada.file("bad/pipeline.yaml", "restroy: 1\nsteps:\n  a: { script: scripts/a.lua, if: 'x +' }\n");
    let err = ada.types(&["check", "bad"]).fails(1);
    assert!(err.contains("bad/scripts/a.lua:1:11") && err.contains("not a Lua expression"), "{err}");
    let answer = ada.types(&["check", "bad", "--json"]);
    assert_eq!(json_of(&answer.out)["errors"].as_array().map(Vec::len), Some(2));
    ada.writes_hello();
    assert!(ada.types(&["check", "hello"]).ok().contains("3 steps, 3 Lua files, no problems"));
    assert!(ada.types(&["check", "."]).fails(1).contains("no pipeline.yaml"));
}

#[test]
fn what_is_wrong_outside_has_its_own_exit_code() {
    let ada = Person::new();
    assert!(ada.types(&["whoami"]).fails(3).contains("restroy login"));
    let nobody = ["login", "a@example.com", "--password-stdin", "--server", "http://127.0.0.1:1"];
    assert!(ada.types_with(&nobody, "x\n").fails(3).contains("restroy dev"));
    let token = "-N0t-an-option";
    let verify = ["verify-email", token, "--password-stdin", "--server", "http://127.0.0.1:1"];
    ada.types_with(&verify, "x\n").fails(3);
    ada.types(&["whoami", "--server", "nonsense"]).fails(2);
    ada.types(&["no-such-command"]).fails(2);
    assert!(ada.types(&["completion", "bash"]).ok().contains("_restroy()"));
}

#[test]
fn from_login_to_artifact() {
    let server = Server::start(&[]);
    let ada = Person::new();
    ada.signs_up(&server);
    let file = ada.home.path().join("config/credentials.json");
    assert_eq!(fs::metadata(file).unwrap().permissions().mode() & 0o777, 0o600);
    assert!(ada.types(&["whoami"]).ok().contains("owner of Team of ada"), "the server is remembered");

    ada.writes_hello();
    let out = ada.types(&["push", "hello", "--message", "first"]).ok();
    assert!(out.starts_with("Hello: version 1 published on board Main (new pipeline)"), "{out}");
    ada.types_with(&["secret", "set", "hello", "greet", "TOKEN"], "0123456789\n").ok();
    ada.types(&["config", "set", "Hello", "scripts/greet.lua", "url", "https://example.com"]).ok();
    let out = ada.types(&["config", "list", "Hello"]).ok();
    assert!(out.contains("(secret)") && out.contains("https://example.com") && !out.contains("0123456789"), "{out}");
    ada.types(&["config", "unset", "Hello", "greet", "url"]).ok();

    let out = ada.types(&["run", "hello", "--param", "names=Ada,Grace", "--follow"]).ok();
    for line in ["greet[1] | hello, Ada", "greet[2] | hello, Grace", "greet: started, 2 items", "run: succeeded in"] {
        assert!(out.contains(line), "{line} in {out}");
    }
    let runs = json_of(&ada.types(&["runs", "Hello", "--json"]).ok());
    let run = runs[0]["id"].as_str().unwrap();
    assert!(ada.types(&["runs"]).ok().contains(run));
    assert!(ada.types(&["logs", run]).ok().contains("greet[2] | hello, Grace"));
    let last = ada.types(&["logs", run, "--follow", "--json"]).ok();
    let last = json_of(last.lines().last().unwrap());
    assert_eq!(last["type"], "run.finished");

    assert!(ada.types(&["artifacts", run]).ok().contains("a.txt"));
    ada.types(&["artifacts", run, "--download", "kept"]).ok();
    assert_eq!(fs::read_to_string(ada.home.path().join("kept/a.txt")).unwrap(), "kept");
    ada.types(&["artifacts", run, "--download", "kept"]).fails(1);
    assert!(ada.types(&["outbox"]).ok().contains("no e-mails"));

    ada.types(&["logout"]).ok();
    ada.types(&["runs"]).fails(3);
}

#[test]
fn schedules_are_listed_paused_and_resumed() {
    let server = Server::start(&[]);
    let ada = Person::new();
    ada.signs_up(&server);
    ada.file(
        "nightly/pipeline.yaml",
        "restroy: 1\nname: Nightly\nsteps:\n  a: { script: scripts/a.lua }\n\
         schedules:\n  early: { cron: '0 3 * * *', timezone: Europe/Kyiv }\n  rare: { cron: '0 0 29 2 *' }\n",
    );
    ada.file("nightly/scripts/a.lua", "return 1\n");
    ada.types(&["push", "nightly"]).ok();
    let out = ada.types(&["schedules", "list", "Nightly"]).ok();
    assert!(out.contains("early") && out.contains("0 3 * * *") && out.contains("Europe/Kyiv"), "{out}");
    assert_eq!(out.matches("enabled").count(), 2, "{out}");
    let next = ada.types(&["schedules", "next", "nightly", "-n", "3"]).ok();
    assert_eq!(next.matches("early").count(), 3, "{next}");
    let rare = json_of(&ada.types(&["schedules", "next", "Nightly", "rare", "--json"]).ok());
    assert_eq!(rare.as_array().unwrap().len(), 10);
    assert!(rare[0]["due_at"].as_str().unwrap().contains("-02-29T00:00:00"), "{rare}");

    assert!(ada.types(&["schedules", "pause", "Nightly", "early"]).ok().contains("schedule early is paused"));
    assert!(ada.types(&["schedules", "list", "Nightly"]).ok().contains("paused since"));
    assert!(ada.types(&["schedules", "next", "Nightly", "early"]).ok().contains("no run is due"));
    assert!(ada.types(&["schedules", "resume", "Nightly", "early"]).ok().contains("is enabled, next run"));
    let said = ada.types(&["schedules", "pause", "Nightly", "earyl"]).fails(1);
    assert!(said.contains("no schedule `earyl`") && said.contains("restroy schedules list"), "{said}");

    let run = json_of(&ada.types(&["run", "Nightly", "--json"]).ok());
    assert_eq!((&run["trigger"]["kind"], &run["trigger"]["by"]), (&"manual".into(), &"user".into()));
    let runs = ada.types(&["runs", "Nightly"]).ok();
    assert!(runs.contains("TRIGGER") && runs.contains("manual"), "{runs}");
}

#[test]
fn a_run_that_fails_or_cannot_start() {
    let server = Server::start(&[]);
    let ada = Person::new();
    ada.signs_up(&server);
    ada.writes_hello();
    assert!(ada.types(&["run", "hello"]).fails(1).contains("restroy push hello"));
    ada.types(&["push", "hello", "--draft"]).ok();
    assert!(ada.types(&["run", "Hello"]).fails(1).contains("no published version"));
    ada.types(&["push", "hello"]).ok();
    assert!(ada.types(&["run", "Hello"]).fails(1).contains("--param"));
    ada.types(&["run", "Hello", "-p", "names=x", "-p", "fail=perhaps"]).fails(2);
    assert!(ada.types(&["run", "Helo", "-p", "names=x"]).fails(1).contains("the pipelines are Hello"));

    ada.file("params.json", r#"{"names": "x", "fail": true}"#);
    let said = ada.types(&["run", "Hello", "--params-file", "params.json", "--follow"]);
    assert!(said.out.contains("split: failed") && said.out.contains("scripts/split.lua:1"), "{}", said.out);
    said.fails(1);
    let run = json_of(&ada.types(&["run", "Hello", "-p", "names=x", "--json"]).ok());
    assert_eq!(run["status"], "queued");
}

#[test]
fn what_the_server_refuses_is_shown_where_it_stands() {
    let server = Server::start(&[]);
    let ada = Person::new();
    ada.signs_up(&server);
    ada.writes_hello();
    ada.file("hello/scripts/greet.lua", "print('hello')\nlocal x = = 1\n");
    let err = ada.types(&["push", "hello"]).fails(1);
    let expected = "error: unexpected symbol near '='\n --> hello/scripts/greet.lua:2:11\n  |\n2 | local x = = 1\n";
    assert!(err.starts_with(expected), "{err}");
    assert!(err.ends_with("error: 1 fault in hello; nothing was pushed\n"), "{err}");
    assert!(
        ada.types(&["run", "Hello", "-p", "names=x"]).fails(1).contains("no pipeline `Hello`"),
        "nothing half-created"
    );
    let board = ["boards", "--create", "Other"];
    ada.types(&board).ok();
    assert!(ada.types(&["push", "hello"]).fails(2).contains("Main, Other"));
}

#[test]
fn people_are_invited_given_roles_and_removed() {
    let server = Server::start(&[]);
    let (ada, bob) = (Person::new(), Person::new());
    ada.signs_up(&server);
    bob.signs_up_as(&server, "bob@example.com");
    assert!(ada.types(&["teams", "--create", "Sales"]).ok().contains("team Sales made"));
    let of_sales = |rest: &[&'static str]| ada.types(&[&["members", "--team", "sales"], rest].concat());
    of_sales(&["--invite", "bob@example.com"]).fails(2);
    assert!(of_sales(&["--invite", "bob@example.com", "--role", "emperor"]).fails(1).contains("not a role"));
    let sent = json_of(&of_sales(&["--invite", "bob@example.com", "--role", "viewer", "--json"]).ok());
    let id = sent["id"].as_str().unwrap();
    assert!(bob.types(&["invitations"]).ok().contains("Sales"));
    assert!(bob.types(&["invitations", "--accept", "no-such-token"]).fails(1).contains("unknown"));
    assert_eq!(bob.types(&["invitations", "--accept", id]).ok().trim(), "you are now viewer of Sales");
    assert!(bob.types(&["invitations"]).ok().contains("no invitations"));
    assert!(ada.types(&["invitations", "--team", "Sales"]).ok().contains("accepted"));

    let make = ["roles", "--team", "Sales", "--create", "Runner", "--allow", "pipeline.run,run.read"];
    assert!(ada.types(&make).ok().contains("team.read, pipeline.run, run.read"));
    assert!(ada.types(&["roles", "--permissions"]).ok().contains("Start runs."));
    of_sales(&["--change", "bob@example.com", "--role", "Runner"]).ok();
    assert!(bob.types(&["members", "--team", "Sales"]).fails(1).contains("member.read"));
    assert!(ada.types(&["roles", "--team", "Sales", "--delete", "Runner"]).fails(1).contains("in use"));
    ada.types(&["boards", "--create", "Reports", "--team", "Sales"]).ok();
    let on_board = ["members", "--board", "Reports", "--change", "bob@example.com", "--role", "editor"];
    assert!(ada.types(&on_board).ok().contains("bob@example.com is now editor on Reports"));
    assert!(ada.types(&["members", "--board", "Reports"]).ok().contains("editor"));
    of_sales(&["--remove", "bob@example.com"]).ok();
    assert!(!of_sales(&[]).ok().contains("bob@example.com"));
    assert!(ada.types(&["roles", "--team", "Sales", "--delete", "Runner"]).ok().contains("deleted"));

    assert!(ada.types(&["teams", "--leave", "Sales"]).fails(1).contains("without an owner"));
    assert!(ada.types(&["teams", "--delete", "Sales"]).fails(2).contains("--yes"));
    ada.types(&["teams", "--delete", "Sales", "--yes"]).ok();
    assert!(!ada.types(&["teams"]).ok().contains("Sales"));
    assert!(ada.types(&["teams", "--deleted"]).ok().contains("Sales"));
    ada.types(&["teams", "--restore", "Sales"]).ok();
    ada.types(&["teams", "--rename", "Sales", "--to", "Trade"]).ok();
    assert!(ada.types(&["teams"]).ok().contains("Trade"));
}

#[test]
fn what_boards_and_teams_share() {
    let server = Server::start(&[]);
    let ada = Person::new();
    ada.signs_up(&server);
    ada.writes_hello();
    ada.file("hello/scripts/greet.lua", "print(config.greeting .. ', ' .. item .. ', ' .. #config.TOKEN)\n");
    let yaml = fs::read_to_string(ada.home.path().join("hello/pipeline.yaml")).unwrap();
    ada.file("hello/pipeline.yaml", &yaml.replace("secrets: [TOKEN]", "secrets: [TOKEN], config: { greeting: hi }"));
    ada.types(&["push", "hello"]).ok();
    let ran = || ada.types(&["run", "hello", "--param", "names=Ada", "--follow"]);

    assert!(ran().out.contains("restroy secrets set"));
    ada.types_with(&["secrets", "set", "--team", "Team of ada", "TOKEN"], "of-the-team-ada\n").ok();
    ada.types(&["config", "set", "--team", "Team of ada", "greeting", "salute"]).ok();
    assert!(ran().ok().contains("salute, Ada, 15"));
    ada.types_with(&["secrets", "set", "--board", "Main", "TOKEN"], "of-the-board\n").ok();
    ada.types(&["config", "set", "--board", "Main", "greeting", "hey"]).ok();
    assert!(ran().ok().contains("hey, Ada, 12"));
    let out = ada.types(&["secrets", "list", "--board", "Main"]).ok();
    assert!(out.contains("TOKEN") && out.contains("(secret)") && !out.contains("greeting"), "{out}");
    assert!(ada.types(&["config", "list", "--board", "Main"]).ok().contains("hey"));
    // Used only: the script that reads it finds nothing.
    ada.types_with(&["secrets", "set", "--board", "Main", "TOKEN", "--usable-only"], "of-the-board\n").ok();
    assert!(ada.types(&["secrets", "list", "--board", "Main"]).ok().contains("(secret, usable only)"));
    assert!(ran().out.contains("(field 'TOKEN')"));
    ada.types(&["secrets", "remove", "--board", "Main", "TOKEN"]).ok();
    assert!(ada.types(&["secrets", "remove", "--board", "Main", "TOKEN"]).fails(1).contains("is not set"));
    ada.types(&["config", "unset", "--board", "Main", "greeting"]).ok();
    assert!(ran().ok().contains("salute, Ada, 15"));
    ada.types(&["config", "set", "greeting", "x"]).fails(2);
    ada.types(&["config", "set", "--board", "Main", "hello", "greet", "greeting", "x"]).fails(2);
    ada.types(&["secrets", "list", "--board", "Main", "--team", "Team of ada"]).fails(2);

    let audit = ada.types(&["audit", "--action", "secret."]).ok();
    assert!(audit.contains("secret.read") && audit.contains("secret.remove") && audit.contains("127.0.0.1"), "{audit}");
    let export = ada.types(&["audit", "--export", "--from", "2020-01-01"]).ok();
    let lines: Vec<Value> = export.lines().map(json_of).collect();
    assert_eq!(lines.last().unwrap()["action"], "team.create");
    assert!(!export.contains("of-the-board") && !export.contains("of-the-team-ada"), "{export}");
    assert!(ada.types(&["audit", "--mine"]).ok().contains("session.login"));
    ada.types(&["audit", "--from", "yesterday"]).fails(2);
}

#[test]
fn master_keys_are_rotated() {
    let mut server = Server::start(&[]);
    let ada = Person::new();
    ada.signs_up(&server);
    ada.writes_hello();
    ada.types(&["push", "hello"]).ok();
    ada.types_with(&["secret", "set", "hello", "greet", "TOKEN"], "0123456789\n").ok();
    if !PRODUCTION {
        let refused = server.keys(&["list"]);
        assert!(String::from_utf8(refused.stderr).unwrap().contains("another restroy process uses"));
    }
    server.rotates_keys();
    assert!(ada.types(&["run", "hello", "--param", "names=Ada", "--follow"]).ok().contains("hello, Ada"));
    server.kill();
    let list = server.keys(&["list", "--json"]);
    let keys = json_of(&String::from_utf8(list.stdout).unwrap());
    assert_eq!((&keys[0]["newest"], &keys[0]["teams"]), (&json!(true), &json!(1)), "{keys}");
    assert!(keys.as_array().unwrap()[1..].iter().all(|key| key["teams"] == 0), "{keys}");
}

#[test]
fn data_keys_are_replaced_wherever_it_is_killed() {
    let mut server = Server::start(&[]);
    let ada = Person::new();
    ada.signs_up(&server);
    ada.writes_hello();
    ada.types(&["push", "hello"]).ok();
    ada.types_with(&["secret", "set", "hello", "greet", "TOKEN"], "0123456789\n").ok();
    if !PRODUCTION {
        server.kill(); // who has the folder to themselves
    }
    let killed = (1..50).take_while(|lines| server.breaks_off_keys(&["rotate", "--data-keys"], *lines)).count();
    assert!(killed > 0, "it was never killed");
    if !PRODUCTION {
        server.start_again();
    }
    assert!(ada.types(&["run", "hello", "--param", "names=Ada", "--follow"]).ok().contains("hello, Ada"));
    let told = ada.types(&["audit", "--action", "team.data_key"]).ok();
    assert!(told.contains("team.data_key_removed"), "{told}");
}
