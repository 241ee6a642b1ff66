//! What only `restroy dev` has: its data folder, and settings with defaults.

use crate::server::{Server, data, restroy};

#[test]
fn the_settings_in_force_can_be_seen_and_a_second_server_is_refused() {
    let server = Server::start(&[]);
    let second =
        restroy().args(["dev", "--listen", "127.0.0.1:0", "--data-dir"]).arg(data(server.work())).output().unwrap();
    assert!(!second.status.success());
    assert!(String::from_utf8_lossy(&second.stderr).contains("another restroy works on"));
    let config = restroy().args(["config"]).env("RESTROY_SLOTS", "9").current_dir(server.work()).output().unwrap();
    assert!(String::from_utf8_lossy(&config.stdout).contains("slots = 9"));
    let remote = restroy().args(["dev", "--listen", "0.0.0.0:0"]).current_dir(server.work()).output().unwrap();
    assert!(String::from_utf8_lossy(&remote.stderr).contains("--allow-remote"));
}
