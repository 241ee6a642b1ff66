//! `docker-compose.yml`, `Dockerfile` and what `restroy init` makes for them: what they promise is read
//! out of them, so that no change takes it away unseen.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    os::unix::fs::PermissionsExt as _,
    path::Path,
    process::{Command, Output},
    sync::Arc,
};

use rustls::{
    ClientConfig, ClientConnection, RootCertStore, ServerConfig, ServerConnection,
    pki_types::{CertificateDer, PrivateKeyDer, ServerName, pem::PemObject as _},
};
use serde_json::Value;

use crate::{
    composition::{
        Made, compose, environment, file, init, init_in, interpolate, interpolated, names, references, services,
        succeed,
    },
    process::restroy,
};

/// The services of ours that go on, and those that end.
const CONTROL_PLANES: [&str; 2] = ["control-plane-1", "control-plane-2"];
const EXECUTORS: [&str; 2] = ["executor-1", "executor-2"];
const ONE_SHOTS: [&str; 2] = ["migrate", "register-executors"];

fn own(name: &str) -> bool {
    CONTROL_PLANES.iter().chain(&EXECUTORS).chain(&ONE_SHOTS).any(|own| *own == name)
}

fn set(items: &[&str]) -> BTreeSet<String> {
    items.iter().map(ToString::to_string).collect()
}

/// Seconds of `20s` or `500ms`.
fn seconds(text: &str) -> u64 {
    match text.strip_suffix("ms") {
        Some(millis) => millis.parse::<u64>().unwrap() / 1_000,
        None => text.strip_suffix('s').unwrap().parse().unwrap(),
    }
}

// --- what every container may ----------------------------------------------------------------------

#[test]
fn no_container_may_more_than_it_needs() {
    let compose = compose();
    for (name, service) in services(&compose) {
        assert_eq!(service["read_only"], true, "{name}");
        assert_eq!(names(&service["cap_drop"]), set(&["ALL"]), "{name}");
        assert_eq!(names(&service["security_opt"]), set(&["no-new-privileges:true"]), "{name}");
        assert!(service["mem_limit"].is_string() && service["pids_limit"].is_u64(), "{name} has no limits");
        let added = if name == "proxy" { set(&["NET_BIND_SERVICE"]) } else { BTreeSet::new() };
        assert_eq!(names(&service["cap_add"]), added, "{name}");
        for refused in
            ["privileged", "network_mode", "pid", "ipc", "userns_mode", "devices", "env_file", "volumes_from"]
        {
            assert!(service[refused].is_null(), "{name} has {refused}");
        }
        assert!(!service.to_string().contains("docker.sock"), "{name} reaches the engine");
        for tmpfs in names(&service["tmpfs"]) {
            for option in ["size=", "noexec", "nosuid", "nodev"] {
                assert!(tmpfs.contains(option), "{name}: {tmpfs} lacks {option}");
            }
        }
        let user = service["user"].as_str();
        if name == "proxy" {
            assert_eq!(user, None, "its image's folders belong to root, of whose rights it keeps one");
        } else {
            let (uid, gid) = user.unwrap().split_once(':').unwrap();
            assert!(uid.parse::<u32>().unwrap() > 0 && gid.parse::<u32>().unwrap() > 0, "{name} runs as root");
        }
        if !own(name) {
            let image = service["image"].as_str().unwrap();
            let version = image.split_once(':').unwrap().1.trim_start_matches('v').split('-').next().unwrap();
            assert!(
                version.split('.').count() >= 2 && version.split('.').all(|part| part.parse::<u32>().is_ok()),
                "{image}"
            );
        }
    }
}

#[test]
fn what_goes_on_is_watched_restarted_and_given_time_to_end() {
    let compose = compose();
    for (name, service) in services(&compose) {
        if ONE_SHOTS.contains(&name) {
            assert_eq!(service["restart"], "no", "{name} ends, and is not to start again");
            continue;
        }
        assert_eq!(service["restart"], "unless-stopped", "{name}");
        assert!(service["healthcheck"]["test"].is_array(), "{name} is not watched");
        let grace = seconds(service["stop_grace_period"].as_str().unwrap());
        if let Some(drain) = environment(service).get("RESTROY_DRAIN") {
            // Requests, then services; or tasks, then ten seconds for handing back.
            let needed = if EXECUTORS.contains(&name) { seconds(drain) + 10 } else { 2 * seconds(drain) };
            assert!(grace > needed, "{name} is killed after {grace} s, and needs {needed} s to end");
        }
    }
}

// --- who reaches whom ------------------------------------------------------------------------------

#[test]
fn executors_reach_neither_the_database_nor_the_proxy() {
    let compose = compose();
    let networks = |name: &str| names(&services(&compose)[name]["networks"]);
    for executor in EXECUTORS {
        assert_eq!(networks(executor), set(&["run-api", "queue", "egress"]));
        for other in ["postgres", "proxy", "mail", "migrate", "register-executors"] {
            assert!(networks(executor).is_disjoint(&networks(other)), "{executor} reaches {other}");
        }
    }
    for control_plane in CONTROL_PLANES {
        assert_eq!(networks(control_plane), set(&["edge", "data", "queue", "mail", "run-api"]));
        let aliases = &services(&compose)[control_plane]["networks"]["run-api"]["aliases"];
        assert_eq!(names(aliases), set(&["run-api"]), "executors find it by this name");
    }
    assert_eq!(networks("postgres"), set(&["data"]));
    assert_eq!(networks("redis"), set(&["queue"]));
    assert_eq!(networks("proxy"), set(&["public", "edge"]));
    for inner in ["edge", "data", "queue", "run-api"] {
        assert_eq!(compose["networks"][inner]["internal"], true, "{inner} leads outside");
    }
    let icc = "com.docker.network.bridge.enable_icc";
    assert_eq!(compose["networks"]["egress"]["driver_opts"][icc], "false", "executors reach one another");
}

#[test]
fn only_the_proxy_and_the_catcher_of_mail_are_published() {
    let compose = compose();
    for (name, service) in services(&compose) {
        let ports = names(&service["ports"]);
        match name {
            "proxy" => assert!(ports.iter().all(|port| port.ends_with("}:80") || port.ends_with("}:443")), "{ports:?}"),
            "mail" => assert_eq!(ports, set(&["${RESTROY_MAIL_PAGE:-127.0.0.1:8025}:8025"])),
            _ => assert!(ports.is_empty(), "{name} is published: {ports:?}"),
        }
        for port in &ports {
            assert!(port.contains(":-127.0.0.1:"), "{name}: without .env {port} is published to everybody");
        }
    }
}

#[test]
fn the_proxy_says_who_calls_and_repeats_only_what_may_be_repeated() {
    let caddyfile = file("deploy/Caddyfile");
    for line in ["health_uri /readyz", "method GET HEAD", "reverse_proxy control-plane-1:8080 control-plane-2:8080"] {
        assert!(caddyfile.contains(line), "the Caddyfile lacks `{line}`");
    }
    let settings = caddyfile.lines().filter(|line| !line.trim_start().starts_with('#')).collect::<String>();
    assert!(!settings.contains("trusted_proxies"), "X-Forwarded-For would be what a caller writes");
    let compose = compose();
    for control_plane in CONTROL_PLANES {
        let environment = environment(services(&compose)[control_plane]);
        assert_eq!(environment["RESTROY_TRUSTED_PROXIES"], "1", "{control_plane}");
        assert!(environment["RESTROY_LISTEN"].ends_with(":8080"), "{control_plane} is elsewhere than the proxy thinks");
    }
}

// --- who knows what --------------------------------------------------------------------------------

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
            continue; // `restroy config` tells of services; these are run by the test in production mode
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

// --- `restroy init` --------------------------------------------------------------------------------

fn refused(command: &mut Command) -> String {
    let Output { status, stdout, stderr } = command.output().unwrap();
    assert!(!status.success(), "{command:?}: {}", String::from_utf8_lossy(&stdout));
    String::from_utf8(stderr).unwrap()
}

/// Every file below a folder, by its path within it.
fn contents(folder: &Path) -> BTreeMap<String, String> {
    let mut found = BTreeMap::new();
    for entry in fs::read_dir(folder).unwrap().map(Result::unwrap) {
        let name = entry.file_name().into_string().unwrap();
        if entry.file_type().unwrap().is_dir() {
            let inner = contents(&entry.path());
            found.extend(inner.into_iter().map(|(inner, text)| (format!("{name}/{inner}"), text)));
        } else {
            found.insert(name, fs::read_to_string(entry.path()).unwrap());
        }
    }
    found
}

#[test]
fn init_makes_what_the_composition_names_and_nothing_is_left_over() {
    let Made { folder, told } = init(&[]);
    let made = contents(folder.path());
    let compose = compose();
    let named = compose["secrets"].as_object().unwrap();
    let mut used = BTreeSet::new();
    for (name, secret) in named {
        let path = secret["file"].as_str().unwrap().strip_prefix("./").unwrap();
        assert_eq!(path, format!("secrets/{name}"));
        assert!(!made.get(path).unwrap_or_else(|| panic!("`restroy init` makes no {path}")).trim().is_empty());
        assert!(
            services(&compose).values().any(|service| names(&service["secrets"]).contains(name)),
            "nobody uses {name}"
        );
        used.insert(path.to_owned());
    }
    let left: Vec<_> = made.keys().filter(|path| !used.contains(*path)).collect();
    assert_eq!(left, [".env", "secrets/run-api-ca-key.pem"], "the authority's key is in no container");
    for path in made.keys() {
        assert!(told.contains(path), "{path} is not told of");
    }

    let variables = interpolated(&folder.path().join(".env"));
    let text = file("docker-compose.yml");
    for (name, rest) in references(&text) {
        assert!(variables.contains_key(&name) || rest.starts_with(":-"), "{name} has neither a value nor a default");
    }
    for name in variables.keys() {
        assert!(references(&text).iter().any(|(named, _)| named == name), "nothing reads {name} of .env");
    }
}

#[test]
fn what_init_makes_is_for_its_owner_and_the_containers_only() {
    let Made { folder, told } = init(&[]);
    let mode = |path: &str| fs::symlink_metadata(folder.path().join(path)).unwrap().permissions().mode() & 0o7777;
    assert_eq!(mode("secrets"), 0o700, "nobody else gets as far as the files");
    assert_eq!(mode(".env"), 0o600);
    assert_eq!(mode("secrets/run-api-ca-key.pem"), 0o600, "no container reads it");
    assert_eq!(mode("secrets/master-keys"), 0o444, "a container's user is not this one");

    // Nothing secret is printed, nor in the file that people copy about.
    let made = contents(folder.path());
    let secrets = [
        "postgres-password",
        "master-keys",
        "token-key",
        "executor-1-credential",
        "redis-url",
        "executor-redis-url",
        "database-url",
    ];
    for secret in secrets {
        let text = made[&format!("secrets/{secret}")].trim();
        assert!(!told.contains(text) && !made[".env"].contains(text), "{secret} is shown");
    }
    // The database gets hashes; of what, only the executor knows.
    for executor in EXECUTORS {
        let credential = made[&format!("secrets/{executor}-credential")].trim();
        assert!(made["secrets/executor-hashes"].contains(&format!("{executor} ")));
        assert!(!made["secrets/executor-hashes"].contains(credential));
    }
}

#[test]
fn init_overwrites_nothing() {
    let Made { folder, .. } = init(&[]);
    let first = contents(folder.path());
    let told = refused(&mut init_in(folder.path(), &[]));
    assert!(told.contains(".env is there already") && told.contains("--force"), "{told}");
    assert_eq!(contents(folder.path()), first, "a refusal changes nothing");

    fs::remove_file(folder.path().join(".env")).unwrap();
    assert!(refused(&mut init_in(folder.path(), &[])).contains("secrets is there already"));

    let told = succeed(&mut init_in(folder.path(), &["--force"]));
    let second = contents(folder.path());
    assert_ne!(second["secrets/master-keys"], first["secrets/master-keys"]);
    let kept = second.iter().find(|(path, _)| path.starts_with("secrets.backup-") && path.ends_with("/master-keys"));
    let (path, keys) = kept.expect("the old keys are kept");
    assert_eq!(keys, &first["secrets/master-keys"]);
    assert!(told.contains(path.split('/').next().unwrap()), "where they are kept is told: {told}");
    let backup = folder.path().join(path).parent().unwrap().to_owned();
    assert_eq!(fs::metadata(backup).unwrap().permissions().mode() & 0o7777, 0o700);
    let other =
        second.keys().filter(|path| !path.contains("backup") && !path.starts_with("secrets/")).collect::<Vec<_>>();
    assert_eq!(other, [".env"], "nothing half-made is left");
}

#[test]
fn init_refuses_addresses_that_make_no_sense() {
    let folder = tempfile::tempdir().unwrap();
    let told = refused(&mut init_in(folder.path(), &["--public-url", "http://restroy.example.com"]));
    assert!(told.contains("plain http"), "{told}");
    let told = refused(&mut init_in(folder.path(), &["--run-api-name", "not a name"]));
    assert!(told.contains("not a name"), "{told}");
    let told = refused(&mut init_in(&folder.path().join("missing"), &[]));
    assert!(told.contains("is no folder"), "{told}");
    assert!(contents(folder.path()).is_empty(), "a refusal makes nothing");
}

// --- certificates ----------------------------------------------------------------------------------

/// Whether a TLS handshake with the run API's certificate, as a client who knows the authority and
/// calls it by this name, comes to its end.
fn handshake(folder: &Path, name: &str) -> Result<(), String> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let secrets = folder.join("secrets");
    let chain = CertificateDer::pem_file_iter(secrets.join("run-api-cert.pem")).unwrap().map(Result::unwrap).collect();
    let key = PrivateKeyDer::from_pem_file(secrets.join("run-api-key.pem")).unwrap();
    let server = ServerConfig::builder_with_provider(Arc::clone(&provider))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(chain, key)
        .unwrap();
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_file(secrets.join("run-api-ca.pem")).unwrap()).unwrap();
    let client = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    let mut server = ServerConnection::new(Arc::new(server)).unwrap();
    let mut client = ClientConnection::new(Arc::new(client), ServerName::try_from(name.to_owned()).unwrap()).unwrap();
    while client.is_handshaking() || server.is_handshaking() {
        let mut flight = Vec::new();
        client.write_tls(&mut flight).unwrap();
        server.read_tls(&mut flight.as_slice()).unwrap();
        server.process_new_packets().map_err(|error| error.to_string())?;
        let mut flight = Vec::new();
        while server.wants_write() {
            server.write_tls(&mut flight).unwrap();
        }
        let mut rest = flight.as_slice();
        while !rest.is_empty() {
            client.read_tls(&mut rest).unwrap();
            client.process_new_packets().map_err(|error| error.to_string())?;
        }
    }
    Ok(())
}

#[test]
fn the_certificate_holds_for_every_name_of_the_run_api_and_no_other() {
    let Made { folder, .. } = init(&["--run-api-name", "restroy-1.internal", "--run-api-name", "192.0.2.7"]);
    for name in
        ["run-api", "control-plane-1", "control-plane-2", "localhost", "127.0.0.1", "restroy-1.internal", "192.0.2.7"]
    {
        handshake(folder.path(), name).unwrap_or_else(|error| panic!("{name}: {error}"));
    }
    assert!(handshake(folder.path(), "postgres").unwrap_err().contains("certificate"), "it is for no other name");
    // What another installation's authority signed is worth nothing here.
    let other = init(&[]).folder;
    fs::copy(other.path().join("secrets/run-api-ca.pem"), folder.path().join("secrets/other")).unwrap();
    fs::rename(folder.path().join("secrets/other"), folder.path().join("secrets/run-api-ca.pem")).unwrap();
    assert!(handshake(folder.path(), "run-api").is_err());
}

#[test]
fn certificates_are_renewed_and_nothing_else_is() {
    let Made { folder, .. } = init(&[]);
    let before = contents(folder.path());
    let told = succeed(&mut init_in(folder.path(), &["--renew-certificates"]));
    let after = contents(folder.path());
    handshake(folder.path(), "run-api").unwrap();
    let changed: Vec<_> =
        before.iter().filter(|(path, text)| after.get(*path) != Some(*text)).map(|(path, _)| path).collect();
    assert_eq!(changed, ["secrets/run-api-cert.pem", "secrets/run-api-key.pem"], "executors need not know: {told}");

    // Where the authority's key is kept elsewhere, a new authority takes its place.
    fs::remove_file(folder.path().join("secrets/run-api-ca-key.pem")).unwrap();
    let told = succeed(&mut init_in(folder.path(), &["--renew-certificates"]));
    assert!(told.contains("new authority"), "{told}");
    assert_ne!(contents(folder.path())["secrets/run-api-ca.pem"], before["secrets/run-api-ca.pem"]);
    handshake(folder.path(), "run-api").unwrap();

    let told = refused(&mut init_in(tempfile::tempdir().unwrap().path(), &["--renew-certificates"]));
    assert!(told.contains("is not there"), "{told}");
}

// --- the image -------------------------------------------------------------------------------------

#[test]
fn the_image_has_the_one_binary_a_user_of_its_own_and_no_shell() {
    let dockerfile = file("Dockerfile");
    let lines: Vec<&str> = dockerfile.lines().filter(|line| !line.starts_with('#') && !line.is_empty()).collect();
    let from: Vec<_> = lines.iter().filter_map(|line| line.strip_prefix("FROM ")).collect();
    let toolchain: toml::Table = file("rust-toolchain.toml").parse().unwrap();
    let channel = toolchain["toolchain"]["channel"].as_str().unwrap();
    assert_eq!(from, [format!("rust:{channel}-bookworm AS build").as_str(), "gcr.io/distroless/cc-debian12:nonroot"]);
    assert!(dockerfile.contains(&format!("RUSTUP_TOOLCHAIN={channel} ")), "the image's own compiler is used");
    assert!(dockerfile.contains("cargo build --locked --release --package restroy --bin restroy "));

    let last = lines.iter().rposition(|line| line.starts_with("FROM ")).unwrap();
    let image = &lines[last..];
    let one = |word: &str| {
        let found: Vec<_> = image.iter().filter_map(|line| line.strip_prefix(word)).collect();
        assert_eq!(found.len(), 1, "{word}: {found:?}");
        found[0]
    };
    assert_eq!(one("USER "), "65532:65532");
    assert_eq!(one("COPY "), "--from=build /out/restroy /usr/local/bin/restroy");
    assert_eq!(one("ENTRYPOINT "), r#"["/usr/local/bin/restroy"]"#, "no shell in between: signals reach it");
    assert!(!image.iter().any(|line| line.starts_with("RUN ") || line.starts_with("ADD ")));
    // The version of the label is the program's.
    assert_eq!(one("ARG "), format!("VERSION={}", env!("CARGO_PKG_VERSION")));
}

#[test]
fn the_images_context_has_no_secrets() {
    let ignored = file(".dockerignore");
    let patterns: Vec<&str> = ignored.lines().filter(|line| !line.starts_with('#') && !line.is_empty()).collect();
    assert_eq!(patterns[0], "*", "what is not named stays outside");
    let members: BTreeSet<_> = patterns.iter().filter_map(|pattern| pattern.strip_prefix('!')).collect();
    for outside in [".git", ".env", "secrets", "deploy", "target", "docs"] {
        assert!(!members.contains(outside), "{outside} enters the context");
    }
    let manifest: toml::Table = file("Cargo.toml").parse().unwrap();
    for member in manifest["workspace"]["members"].as_array().unwrap() {
        let folder = member.as_str().unwrap().split('/').next().unwrap();
        assert!(members.contains(folder), "cargo needs {folder} in the context");
    }
    // A pattern more than these would have to be looked through for folders of sources of that name.
    let last = patterns.iter().rposition(|pattern| pattern.starts_with('!')).unwrap();
    let taken_out = ["bench/peers", "**/target", "**/node_modules", "**/.restroy", "**/.env*", "**/*.pem"];
    assert_eq!(patterns[last + 1..], taken_out);
    let kept_out = file(".gitignore");
    for pattern in ["/.env", "/secrets/", "/secrets.backup-*/"] {
        assert!(kept_out.lines().any(|line| line == pattern), "{pattern} could be committed");
    }
}

// --- the settings' reference -----------------------------------------------------------------------

/// The table of settings in docs/operations.md: variable and default.
fn documented(service: &str) -> BTreeMap<String, String> {
    let text = file("docs/operations.md");
    let section = text.split(&format!("### `restroy {service}`\n")).nth(1).unwrap().split("\n#").next().unwrap();
    let rows = section.lines().filter_map(|line| line.strip_prefix("| `")).map(|row| row.split_once("` |").unwrap());
    let default = |rest: &str| rest.split('|').next().unwrap().trim().trim_matches('`').to_owned();
    rows.map(|(name, rest)| (name.to_owned(), default(rest))).collect()
}

#[test]
fn the_reference_of_settings_is_what_the_services_read() {
    for service in ["control-plane", "executor", "migrate"] {
        let help = succeed(restroy().args([service, "--help"]));
        // One setting a paragraph, however its lines are broken.
        let paragraphs = help.split("\n\n").map(|text| text.split_whitespace().collect::<Vec<_>>().join(" "));
        let read: BTreeMap<String, String> = paragraphs
            .filter_map(|text| {
                let name = text.split_once("[env: ")?.1.split([']', '=']).next()?.to_owned();
                let default =
                    text.split_once("[default: ").map_or("", |(_, rest)| rest.split(']').next().unwrap_or(""));
                let (secret, switch) = (text.contains("A file that holds:"), text.contains("[<BOOL>]"));
                (!matches!(name.as_str(), "RESTROY_CONFIG" | "RESTROY_SERVER")).then(|| {
                    let default = if switch { "false" } else { default };
                    (name, (if secret { "*file*" } else { default }).to_owned())
                })
            })
            .collect();
        let told = documented(service);
        assert_eq!(told.keys().collect::<Vec<_>>(), read.keys().collect::<Vec<_>>(), "{service}");
        for (name, default) in &read {
            let told = &told[name];
            let fits = told.trim_start_matches("required").trim_start_matches(", ") == default;
            assert!(fits, "{service}: {name} is `{default}`, the reference says `{told}`");
        }
    }
}
