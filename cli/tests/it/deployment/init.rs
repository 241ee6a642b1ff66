//! `restroy init`.

use std::{collections::BTreeSet, fs, os::unix::fs::PermissionsExt as _};

use super::{EXECUTORS, contents, refused};
use crate::composition::{Made, compose, file, init, init_in, interpolated, names, references, services, succeed};

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
    assert!(told.contains("is not a directory"), "{told}");
    assert!(contents(folder.path()).is_empty(), "a refusal makes nothing");
}
