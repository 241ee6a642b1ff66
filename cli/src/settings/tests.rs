use std::path::PathBuf;

use super::{
    Environment, GivenFlags, ResolvedSettings, Service, SettingsError,
    tables::{Admin, ControlPlane, Dev, Executor, Migrate},
};

const KEY: &str = "k1:0000000000000000000000000000000000000000000000000000000000000001";
const TOKEN_KEY: &str = "0123456789abcdef0123456789abcdef";

fn variables(pairs: &[(&str, &str)]) -> Environment {
    pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
}

/// What a control-plane needs at least.
fn control_plane() -> Environment {
    variables(&[
        ("RESTROY_PUBLIC_URL", "https://restroy.example.com/"),
        ("RESTROY_DATABASE_URL", "postgres://service:hunter2@db/restroy"),
        ("RESTROY_REDIS_URL", "redis://:hunter2@redis"),
        ("RESTROY_MASTER_KEYS", KEY),
        ("RESTROY_TOKEN_KEY", TOKEN_KEY),
        ("PATH", "/usr/bin"),
    ])
}

fn executor() -> Environment {
    variables(&[
        ("RESTROY_RUN_API_URL", "https://run-api:9000"),
        ("RESTROY_CREDENTIAL", "hunter2"),
        ("RESTROY_REDIS_URL", "redis://:hunter2@redis"),
        ("RESTROY_SCRATCH_DIR", "/scratch"),
    ])
}

fn with(mut environment: Environment, pairs: &[(&str, &str)]) -> Environment {
    environment.extend(variables(pairs));
    environment
}

fn resolve<S: Service>(environment: &Environment) -> Result<ResolvedSettings<S>, SettingsError> {
    ResolvedSettings::resolve(&GivenFlags::default(), environment)
}

fn refused<S: Service>(environment: &Environment) -> String {
    match resolve::<S>(environment) {
        Ok(_) => panic!("these settings are taken"),
        Err(error) => error.to_string(),
    }
}

/// A folder with a file in it.
fn file(name: &str, text: &str) -> (tempfile::TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join(name);
    std::fs::write(&path, text).unwrap();
    (folder, path)
}

fn dev(text: &str, flags: &[(&'static str, &str)], environment: &Environment) -> Result<Dev, SettingsError> {
    let (_folder, path) = file("restroy.toml", text);
    ResolvedSettings::resolve(&GivenFlags::of(Some(path), flags), environment).map(|in_force| in_force.settings)
}

#[test]
fn flags_come_before_variables_those_before_the_file_and_that_before_defaults() {
    let text = "slots = 2\nlisten = \"127.0.0.1:9\"\nallow_loopback_http = true";
    let environment = variables(&[("RESTROY_SLOTS", "3"), ("RESTROY_LISTEN", "127.0.0.1:10")]);
    let settings = dev(text, &[("slots", "7")], &environment).unwrap();
    assert_eq!((settings.slots.0, settings.listen.port()), (7, 10));
    assert!(settings.allow_loopback_http);
    assert_eq!(settings.data_dir, PathBuf::from("./.restroy"));
    let empty = dev(text, &[], &variables(&[("RESTROY_SLOTS", "")])).unwrap();
    assert_eq!(empty.slots.0, 2, "an empty variable is none");
}

#[test]
fn the_file_may_be_named_by_a_variable() {
    let (_folder, path) = file("other.toml", "slots = 9");
    let environment = variables(&[("RESTROY_CONFIG", path.to_str().unwrap())]);
    assert_eq!(resolve::<Dev>(&environment).unwrap().settings.slots.0, 9);
    let absent = variables(&[("RESTROY_CONFIG", "/nowhere/restroy.toml")]);
    assert!(refused::<Dev>(&absent).contains("/nowhere/restroy.toml"));
}

#[test]
fn unknown_keys_and_variables_are_errors_that_name_them() {
    let error = dev("slotz = 2\nfoo = 1", &[], &variables(&[("RESTROY_SLOTZ", "1")])).unwrap_err().to_string();
    for name in ["slotz", "foo", "RESTROY_SLOTZ", "allow_remote"] {
        assert!(error.contains(name), "{name}: {error}");
    }
    assert!(dev("slots = ", &[], &Environment::new()).unwrap_err().to_string().contains("restroy.toml"));
    assert!(dev("slots = { a = 1 }", &[], &Environment::new()).unwrap_err().to_string().contains("slots"));
    let fine = variables(&[("RESTROY_SERVER", "x"), ("RESTROY_LOG", "debug"), ("RESTROYED", "1")]);
    resolve::<Dev>(&fine).unwrap();
}

#[test]
fn values_out_of_bounds_name_their_place() {
    let error = refused::<Dev>(&variables(&[("RESTROY_SLOTS", "0"), ("RESTROY_LISTEN", "here")]));
    assert!(error.contains("RESTROY_SLOTS: ") && error.contains("1 to 64"), "{error}");
    assert!(error.contains("RESTROY_LISTEN: "), "{error}");
    for (name, value) in
        [("DRAIN", "2h"), ("DRAIN", "5"), ("DRAIN", "61m"), ("LOG_FORMAT", "xml"), ("PUBLIC_URL", "restroy")]
    {
        let name = format!("RESTROY_{name}");
        let error = refused::<ControlPlane>(&with(control_plane(), &[(&name, value)]));
        assert!(error.contains(&name), "{error}");
    }
}

#[test]
fn an_address_that_others_reach_needs_consent() {
    let open = ("listen", "0.0.0.0:80");
    assert!(dev("", &[open], &Environment::new()).unwrap_err().to_string().contains("--allow-remote"));
    dev("allow_remote = true", &[open], &Environment::new()).unwrap();
}

#[test]
fn all_missing_settings_are_reported_together() {
    let error = refused::<ControlPlane>(&Environment::new());
    for name in ["PUBLIC_URL", "DATABASE_URL", "REDIS_URL", "MASTER_KEYS", "TOKEN_KEY"] {
        assert!(error.contains(&format!("RESTROY_{name} or ")), "{name}: {error}");
    }
    assert!(error.contains("RESTROY_MASTER_KEYS_FILE"), "{error}");
    let error = refused::<Executor>(&Environment::new());
    for name in ["RUN_API_URL", "CREDENTIAL", "REDIS_URL", "SCRATCH_DIR"] {
        assert!(error.contains(&format!("RESTROY_{name} or ")), "{name}: {error}");
    }
    // A misspelt name and what is missing for it are informed together.
    let mut misspelt = executor();
    misspelt.remove("RESTROY_CREDENTIAL");
    let error = refused::<Executor>(&with(misspelt, &[("RESTROY_CREDENTAIL", "x")]));
    assert!(error.contains("RESTROY_CREDENTAIL") && error.contains("RESTROY_CREDENTIAL_FILE"), "{error}");
}

#[test]
fn an_executor_is_given_nothing_of_the_control_plane() {
    resolve::<Executor>(&executor()).unwrap();
    for (name, value) in [
        ("RESTROY_DATABASE_URL", "postgres://hunter2@db"),
        ("RESTROY_DATABASE_URL_FILE", "/run/secrets/url"),
        ("RESTROY_DATABASE_OWNER_URL", "postgres://hunter2@db"),
        ("RESTROY_MASTER_KEYS", KEY),
        ("RESTROY_TOKEN_KEY_FILE", "/run/secrets/key"),
        ("RESTROY_SMTP_URL", "smtps://hunter2@mail"),
    ] {
        let error = refused::<Executor>(&with(executor(), &[(name, value)]));
        assert!(error.contains(name) && error.contains("take it out"), "{error}");
        assert!(!error.contains(value), "{error}");
    }
    let (_folder, path) = file("executor.toml", "database_url = \"postgres://hunter2@db\"");
    let error = refused::<Executor>(&with(executor(), &[("RESTROY_CONFIG", path.to_str().unwrap())]));
    assert!(error.contains("database_url") && error.contains("strangers"), "{error}");
}

#[test]
fn what_belongs_to_others_is_refused_by_the_services_and_passed_over_by_the_tools() {
    let error = refused::<ControlPlane>(&with(control_plane(), &[("RESTROY_CREDENTIAL", "x")]));
    assert!(error.contains("`restroy executor`"), "{error}");
    let error = refused::<Dev>(&variables(&[("RESTROY_DATABASE_URL", "x")]));
    assert!(error.contains("`restroy control-plane`"), "{error}");
    assert!(resolve::<Admin>(&control_plane()).is_ok());
    let owner = [("RESTROY_DATABASE_OWNER_URL", "postgres://owner@db/restroy")];
    assert!(resolve::<Migrate>(&with(control_plane(), &owner)).is_ok());
    assert!(refused::<Migrate>(&control_plane()).contains("RESTROY_DATABASE_OWNER_URL"));
    assert!(refused::<Migrate>(&variables(&[("RESTROY_DATABSE_URL", "x")])).contains("RESTROY_DATABSE_URL"));
}

#[test]
fn secrets_come_from_files_too_and_from_one_place() {
    let (_folder, path) = file("master-keys", &format!("{KEY}\n"));
    let mut environment = control_plane();
    environment.remove("RESTROY_MASTER_KEYS");
    let from_file = with(environment.clone(), &[("RESTROY_MASTER_KEYS_FILE", path.to_str().unwrap())]);
    assert_eq!(resolve::<ControlPlane>(&from_file).unwrap().settings.master_keys.ring().unwrap().newest(), "k1");
    let both = with(from_file, &[("RESTROY_MASTER_KEYS", KEY)]);
    assert!(refused::<ControlPlane>(&both).contains("both set"));
    let absent = with(environment.clone(), &[("RESTROY_MASTER_KEYS_FILE", "/nowhere/keys")]);
    assert!(refused::<ControlPlane>(&absent).contains("/nowhere/keys"));
    let (_folder, empty) = file("empty", "\n");
    let empty = with(environment.clone(), &[("RESTROY_MASTER_KEYS_FILE", empty.to_str().unwrap())]);
    assert!(refused::<ControlPlane>(&empty).contains("is empty"));
    let (_folder, large) = file("large", &"x".repeat(64 * 1024 + 1));
    let large = with(environment, &[("RESTROY_MASTER_KEYS_FILE", large.to_str().unwrap())]);
    assert!(refused::<ControlPlane>(&large).contains("more than"));
}

#[test]
fn keys_are_a_ring_the_newest_first() {
    let other = KEY.replace("k1:", "k0:");
    let ring = |keys: &str| resolve::<ControlPlane>(&with(control_plane(), &[("RESTROY_MASTER_KEYS", keys)]));
    assert_eq!(ring(&format!("{other},{KEY}")).unwrap().settings.master_keys.ring().unwrap().newest(), "k0");
    assert!(ring(&format!("{other}\n{KEY}")).is_ok());
    for wrong in [format!("{KEY},{KEY}"), "k1:0011".to_owned(), "nonsense".to_owned(), ",".to_owned()] {
        let error = ring(&wrong).unwrap_err().to_string();
        assert!(
            error.contains("RESTROY_MASTER_KEYS: ") && !error.contains("0011") && !error.contains(&KEY[3..]),
            "{error}"
        );
    }
    let short = refused::<ControlPlane>(&with(control_plane(), &[("RESTROY_TOKEN_KEY", "hunter2")]));
    assert!(short.contains("32") && !short.contains("hunter2"), "{short}");
}

#[test]
fn the_run_api_is_encrypted_or_loopback() {
    let listen = ("RESTROY_RUN_API_LISTEN", "0.0.0.0:9000");
    let error = refused::<ControlPlane>(&with(control_plane(), &[listen]));
    assert!(error.contains("RESTROY_RUN_API_TLS_CERT") && error.contains("127.0.0.1"), "{error}");
    let half = [listen, ("RESTROY_RUN_API_TLS_CERT", "/cert.pem")];
    assert!(refused::<ControlPlane>(&with(control_plane(), &half)).contains("RESTROY_RUN_API_TLS_KEY"));
    let whole = [listen, half[1], ("RESTROY_RUN_API_TLS_KEY", "/key.pem")];
    assert!(resolve::<ControlPlane>(&with(control_plane(), &whole)).is_ok());
}

#[test]
fn what_is_in_force_is_shown_without_its_secrets() {
    let more = [
        ("RESTROY_ALLOWED_ORIGINS", "https://a.example, https://b.example/"),
        ("RESTROY_SMTP_URL", "smtp://ann:hunter2@mail:587?tls=required"),
        ("RESTROY_SMTP_FROM", "Restroy <restroy@example.com>"),
        ("RESTROY_DRAIN", "1500ms"),
    ];
    let in_force = resolve::<ControlPlane>(&with(control_plane(), &more)).unwrap();
    let debug = format!("{:?}", in_force.settings);
    for shown in [in_force.to_string(), in_force.json().to_string(), debug] {
        for secret in ["hunter2", &KEY[3..], TOKEN_KEY] {
            assert!(!shown.contains(secret), "{shown}");
        }
        assert!(shown.contains("postgres://service:********@db/restroy"), "{shown}");
        assert!(shown.contains("smtp://ann:********@mail:587?tls=required"), "{shown}");
    }
    let text = in_force.to_string();
    assert!(text.contains("public_url = \"https://restroy.example.com\""), "{text}");
    assert!(text.contains("allowed_origins = [\"https://a.example\", \"https://b.example\"]"), "{text}");
    assert!(text.contains("drain = \"1500ms\""), "{text}");
    assert!(text.contains("# run_api_tls_cert is not set"), "{text}");
    // What is shown can be read again, but for the secrets.
    let table: toml::Table = text.parse().unwrap();
    assert_eq!(table["master_keys"].as_str(), Some("********"));
    let in_parameter = with(control_plane(), &[("RESTROY_DATABASE_URL", "postgres://db/restroy?password=hunter2")]);
    assert!(!resolve::<ControlPlane>(&in_parameter).unwrap().to_string().contains("hunter2"));
}

#[test]
fn no_secret_has_a_flag() {
    use clap::Args as _;
    let command = GivenFlags::<ControlPlane>::augment_args(clap::Command::new("test"));
    let flags: Vec<_> = command.get_arguments().filter_map(clap::Arg::get_long).collect();
    for flag in ["database-url-file", "master-keys-file", "run-api-listen", "config"] {
        assert!(flags.contains(&flag), "{flags:?}");
    }
    for secret in ["database-url", "master-keys", "token-key", "redis-url", "smtp-url"] {
        assert!(!flags.contains(&secret), "{secret}");
    }
}
