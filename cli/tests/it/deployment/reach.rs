//! Who reaches whom.

use super::{CONTROL_PLANES, EXECUTORS, set};
use crate::composition::{compose, environment, file, names, services};

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
    for line in [
        "health_uri /readyz",
        "method GET HEAD",
        "reverse_proxy control-plane-1:8080 control-plane-2:8080",
        "read_body 15m",
        "max_size 24MiB",
        "respond @inside 404",
    ] {
        assert!(caddyfile.contains(line), "the Caddyfile lacks `{line}`");
    }
    let settings = caddyfile.lines().filter(|line| !line.trim_start().starts_with('#')).collect::<String>();
    assert!(!settings.contains("trusted_proxies"), "X-Forwarded-For would be what a caller writes");
    let compose = compose();
    for control_plane in CONTROL_PLANES {
        let environment = environment(services(&compose)[control_plane]);
        let subnet =
            |network: &str| compose["networks"][network]["ipam"]["config"][0]["subnet"].as_str().unwrap().to_owned();
        // What listens where, and whose word counts, goes by the networks: nothing listens on all of them.
        let others = "${RESTROY_OTHER_PROXIES:-}";
        assert_eq!(environment["RESTROY_TRUSTED_PROXIES"], format!("{},{others}", subnet("edge")), "{control_plane}");
        assert_eq!(environment["RESTROY_LISTEN"], format!("{}:8080", subnet("edge")), "{control_plane}");
        assert_eq!(environment["RESTROY_RUN_API_LISTEN"], format!("{}:9000", subnet("run-api")), "{control_plane}");
    }
}
