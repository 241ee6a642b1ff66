//! What every container may, and how long it is given.

use std::collections::BTreeSet;

use super::{EXECUTORS, ONE_SHOTS, own, seconds, set};
use crate::composition::{compose, environment, names, services};

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
fn services_are_watched_restarted_and_given_time_to_end() {
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
            // Requests, then services or an e-mail that is being handed over; or tasks; then ten seconds for the rest.
            let drain = seconds(drain);
            let needed = if EXECUTORS.contains(&name) { drain + 10 } else { drain + drain.max(23) + 10 };
            assert!(grace > needed, "{name} is killed after {grace} s, and needs {needed} s to end");
        }
    }
}
