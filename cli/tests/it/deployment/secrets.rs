//! Who knows what.

use serde_json::Value;

use super::{CONTROL_PLANES, EXECUTORS, ONE_SHOTS, own, set};
use crate::{
    composition::{compose, environment, init, interpolate, interpolated, names, services, succeed},
    process::restroy,
};

#[test]
fn each_container_gets_its_own_secrets_and_no_others() {
    let compose = compose();
    let services = services(&compose);
    let secrets = |name: &str| names(&services[name]["secrets"]);
    for executor in EXECUTORS {
        let own = format!("{executor}-credential");
        assert_eq!(secrets(executor), set(&[&own, "executor-redis-url", "run-api-ca.pem"]), "{executor}");
    }
    for control_plane in CONTROL_PLANES {
        let known = [
            "database-url",
            "redis-url",
            "master-keys",
            "token-key",
            "smtp-url",
            "run-api-cert.pem",
            "run-api-key.pem",
        ];
        assert_eq!(secrets(control_plane), set(&known), "{control_plane}");
    }
    assert_eq!(secrets("migrate"), set(&["database-owner-url", "database-url"]));
    assert_eq!(secrets("register-executors"), set(&["database-url", "executor-hashes"]));
    assert_eq!(secrets("postgres"), set(&["postgres-password"]));
    assert_eq!(secrets("redis"), set(&["redis.conf"]));
    assert!(secrets("proxy").is_empty() && secrets("mail").is_empty());

    for (name, service) in &services {
        // What belongs to the owner of this machine is not mounted by other ways either.
        for volume in names(&service["volumes"]) {
            let named = !volume.starts_with(['.', '/']);
            assert!(named || volume == "./deploy/Caddyfile:/etc/caddy/Caddyfile:ro", "{name} mounts {volume}");
        }
        for (key, value) in environment(service) {
            if let Some(secret) = value.strip_prefix("/run/secrets/") {
                assert!(secrets(name).contains(secret), "{name}: {key} names {secret}, which it does not get");
                continue;
            }
            let secret =
                ["PASSWORD", "CREDENTIAL", "_KEY", "_KEYS", "DATABASE_URL", "OWNER_URL", "REDIS_URL", "SMTP_URL"];
            assert!(!secret.iter().any(|end| key.ends_with(end)), "{name} has {key} in its environment");
        }
    }
}

#[test]
fn the_settings_in_the_composition_are_known_and_accepted() {
    let compose = compose();
    let folder = init(&[]).folder;
    let variables = interpolated(&folder.path().join(".env"));
    for (name, service) in services(&compose).into_iter().filter(|(name, _)| own(name)) {
        let command = service["command"][0].as_str().unwrap();
        assert!(names(&service["command"]).contains(command));
        if ONE_SHOTS.contains(&name) {
            continue; // `restroy config` describes services; these are run by the test in production mode
        }
        let mut config = restroy();
        config.args(["config", command, "--json"]).current_dir(folder.path());
        for (key, value) in environment(service) {
            let value = value.replace("/run/secrets/", &format!("{}/secrets/", folder.path().display()));
            config.env(&key, interpolate(&value, &variables));
        }
        let answer = succeed(&mut config);
        let in_force: Value = serde_json::from_str(&answer).unwrap();
        let user = if EXECUTORS.contains(&name) { "executor" } else { "" };
        assert_eq!(in_force["redis_url"].as_str().unwrap(), format!("redis://{user}:********@redis:6379/0"), "{name}");
        assert_eq!(in_force["database_url"].is_null(), EXECUTORS.contains(&name), "{name}");
    }
}

/// An executor that is given what only a control-plane may have does not start with it.
#[test]
fn an_executor_refuses_what_it_must_not_have() {
    let folder = init(&[]).folder;
    let output = restroy()
        .args(["config", "executor"])
        .current_dir(folder.path())
        .env("RESTROY_MASTER_KEYS_FILE", folder.path().join("secrets/master-keys"))
        .output()
        .unwrap();
    assert!(!output.status.success());
    let told = String::from_utf8(output.stderr).unwrap();
    assert!(told.contains("RESTROY_MASTER_KEYS_FILE"), "{told}");
}
