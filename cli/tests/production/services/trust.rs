//! What executors and Redis get to know, and what a credential is good for.

use std::fs;

use restroy_client::Paging;
use restroy_sdk::api::script::PutConfiguration;
use serde_json::json;

use super::{
    cluster::{Cluster, http},
    member::{Member, outputs},
    proxy::Proxy,
    servers::Redis,
};

/// Uses a secret, and leaves traces of every kind.
const SOURCE: &str = "
    -- the-source
    assert(#config.API_KEY == 20)
    print('the-' .. 'line')
    kv.set('the-' .. 'key', 'the-' .. 'value')
    return 'the-' .. 'output'
";
const SECRET: &str = "swordfish-0123456789";

#[tokio::test]
async fn executors_hold_no_keys_and_redis_sees_ids_only() {
    let redis = Redis::start();
    let cluster = Cluster::with_redis(&redis);
    let commands = redis.monitor().await;
    let (first, _second) = cluster.two_control_planes();
    let proxy = Proxy::start(&first.run_api).await;
    let executor = cluster.executor("executor-1", &proxy.url);
    let ada = Member::new(&cluster, &first.url, "wilhelmina").await;
    let step = json!({"script": "scripts/only.lua", "secrets": ["API_KEY"], "allow": {"kv": true}});
    let definition = json!({"restroy": 1, "steps": {"only": step}});
    let pipeline = ada.push("the-pipeline", definition, &[("scripts/only.lua", SOURCE)]).await;
    let script = ada.client.scripts(pipeline, &Paging::longest()).await.unwrap().items.remove(0).id;
    let secret = PutConfiguration { value: SECRET.into(), secret: true, usable_only: false };
    ada.client.put_configuration(script, "API_KEY", &secret).await.unwrap();
    let run = ada.start(pipeline).await;
    assert_eq!(outputs(&ada.succeeded(run).await), [json!("the-output")]);

    let installation = &cluster.installation;
    let keys = [&installation.at.database, &installation.at.owner, &installation.token_key, &installation.master_keys];
    // A URL may be deleted piece by piece, a key ring is `id:HEX`: what counts is the password, and the key.
    let password = installation.at.database.split(['@', ':']).nth(2).unwrap();
    let master_key = installation.master_keys.split(':').next_back().unwrap();
    let keys: Vec<&str> = keys.iter().map(|key| key.as_str()).chain([password, master_key, "postgres:"]).collect();
    let people = ["wilhelmina", "Team of"];
    let contents = [SECRET, "the-source", "the-line", "the-key", "the-value", "the-output", "the-pipeline"];

    // What the process is given.
    let given: String = ["environ", "cmdline"]
        .iter()
        .map(|file| fs::read(format!("/proc/{}/{file}", executor.service.pid())).unwrap())
        .map(|bytes| String::from_utf8_lossy(&bytes).into_owned())
        .collect();
    assert!(given.contains(&executor.credential), "this is where its settings are");
    assert_absent(&given, &keys);
    // What it receives: the plans of its runs.
    let told = proxy.passed();
    assert!([SECRET, "the-source", "the-output"].iter().all(|text| told.contains(text)), "this is the way of plans");
    assert_absent(&told, &keys);
    assert_absent(&told, &people);
    // What Redis sees, from all of them.
    let commands = commands.lock().unwrap().clone();
    let task = cluster.sql("SELECT id::text FROM tasks").await.remove(0);
    assert!(commands.contains(&task) && commands.contains(&run.to_string()), "{commands}");
    for texts in [&keys[..], &people, &contents] {
        assert_absent(&commands, texts);
    }
}

fn assert_absent(text: &str, unwanted: &[&str]) {
    for word in unwanted {
        let found = text.find(word).map(|at| text[at.saturating_sub(80)..].chars().take(200).collect::<String>());
        assert_eq!(found, None, "`{word}` has no business there");
    }
}

#[tokio::test]
async fn a_credential_is_good_for_the_run_api_and_until_it_is_revoked() {
    let cluster = Cluster::new();
    let first = cluster.control_plane("control-plane-1");
    let ada = Member::new(&cluster, &first.url, "ada").await;
    let pipeline = ada.push_counter().await;
    let mut runs = vec![ada.start(pipeline).await];
    cluster.until_sql("SELECT state FROM tasks", &["admitted"]).await;
    let task = cluster.sql("SELECT id::text FROM tasks").await.remove(0);

    let one = cluster.credential("one").1;
    let claim = json!({"protocol": 1, "engine_id": "e"});
    let beat = json!({"protocol": 1, "engine_id": "e", "slots": 1});
    let ask = async |route: &str, token: &str, body: &serde_json::Value| {
        let request = http().post(format!("{}/run/v1/{route}", first.run_api)).bearer_auth(token).json(body);
        request.send().await.unwrap().status().as_u16()
    };
    for token in [&ada.token, "", "made-up"] {
        assert_eq!(ask("executors/heartbeat", token, &beat).await, 401);
        assert_eq!(ask(&format!("tasks/{task}/claim"), token, &claim).await, 401);
    }
    for route in ["renew", "events", "calls", "release"] {
        let empty = json!({"n": 1, "engine_id": "e", "events": []});
        let status = ask(&format!("tasks/{task}/{route}"), &one, &empty).await;
        assert!((400..500).contains(&status), "{route}: {status}: a credential is no task's token");
    }
    for path in ["me", "teams"] {
        let answer = http().get(format!("{}/v1/{path}", first.url)).bearer_auth(&one).send().await.unwrap();
        assert_eq!(answer.status(), 401, "nor is it anybody's at the API for people");
    }
    cluster.until_sql("SELECT state FROM tasks", &["admitted"]).await;

    // One that works, until its credential is taken away while it stands by.
    let revoked = cluster.executor("revoked", &first.run_api);
    ada.succeeded(runs[0]).await;
    cluster.installation.admin(&["executor", "revoke", &revoked.id]);
    let other = cluster.executor("other", &first.run_api);
    for _ in 0..5 {
        runs.push(ada.start(pipeline).await);
    }
    for run in &runs[1..] {
        ada.succeeded(*run).await;
        assert_eq!(cluster.owner(run, [&revoked, &other]).await.id, other.id, "the revoked one gets nothing more");
    }
    assert_eq!(ask("executors/heartbeat", &revoked.credential, &beat).await, 401);
    assert_eq!(ask(&format!("tasks/{task}/claim"), &revoked.credential, &claim).await, 401);
}

/// The operator's limits reach the executor: it takes as many tasks as it may, and shows the certificate that its
/// credential is bound to.
#[tokio::test]
async fn a_bound_credential_is_good_with_its_certificate_alone() {
    let cluster = Cluster::new();
    let written = |name: &str, text: String| {
        let path = cluster.installation.work().join(name);
        fs::write(&path, text).unwrap();
        path.to_str().unwrap().to_owned()
    };
    let server = rcgen::generate_simple_self_signed(vec!["127.0.0.1".to_owned()]).unwrap();
    let client = rcgen::generate_simple_self_signed(vec!["executor".to_owned()]).unwrap();
    let [ca, key] = [written("ca.pem", server.cert.pem()), written("key.pem", server.signing_key.serialize_pem())];
    let mine = [written("mine.pem", client.cert.pem()), written("mine-key.pem", client.signing_key.serialize_pem())];
    let mut command = cluster.control_plane_command();
    command.env("RESTROY_RUN_API_TLS_CERT", &ca).env("RESTROY_RUN_API_TLS_KEY", &key);
    let first = cluster.start_control_plane("control-plane-1", command);
    let settings = [
        ("RESTROY_RUN_API_CA", ca.as_str()),
        ("RESTROY_RUN_API_CLIENT_CERT", &mine[0]),
        ("RESTROY_RUN_API_CLIENT_KEY", &mine[1]),
    ];
    let executor = cluster.executor_with("bound", &first.run_api, &settings);
    let set =
        ["executor", "set", &executor.id, "--slots", "1", "--expires", "90d", "--certificate", &mine[0], "--json"];
    let said: serde_json::Value = serde_json::from_str(&cluster.installation.admin(&set)).unwrap();
    assert_eq!((&said["slots"], said["certificate"].is_string()), (&json!(1), true), "{said}");

    let ada = Member::new(&cluster, &first.url, "ada").await;
    let pipeline = ada.push_counter().await;
    let run = ada.start(pipeline).await;
    ada.succeeded(run).await;

    // Whoever has the credential alone has nothing.
    let mut roots = rustls::RootCertStore::empty();
    roots.add(server.cert.der().clone()).unwrap();
    let tls = rustls::ClientConfig::builder_with_provider(rustls::crypto::ring::default_provider().into())
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    let thief = reqwest::Client::builder().tls_backend_preconfigured(tls).no_proxy().build().unwrap();
    let beat = json!({"protocol": 1, "engine_id": "e", "slots": 1});
    let asked = thief.post(format!("{}/run/v1/executors/heartbeat", first.run_api)).bearer_auth(&executor.credential);
    assert_eq!(asked.json(&beat).send().await.unwrap().status(), 401);
}

#[test]
fn an_executor_refuses_what_it_must_not_have() {
    let cluster = Cluster::new();
    let installation = &cluster.installation;
    for (name, value, reason) in [
        ("RESTROY_DATABASE_URL", installation.at.database.as_str(), "RESTROY_DATABASE_URL"),
        ("RESTROY_MASTER_KEYS", &installation.master_keys, "RESTROY_MASTER_KEYS"),
        ("RESTROY_TOKEN_KEY", &installation.token_key, "RESTROY_TOKEN_KEY"),
        // TEST-NET-1 of RFC 5737: nobody is there.
        ("RESTROY_RUN_API_URL", "http://192.0.2.1:9000", "use https"),
    ] {
        let mut command = installation.executor_command("http://127.0.0.1:9", "a-credential");
        let output = command.env(name, value).output().unwrap();
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(!output.status.success() && said.contains(reason), "{name}: {said}");
        assert!(name == "RESTROY_RUN_API_URL" || !said.contains(value), "{said}");
    }
}
