//! The image.

use std::collections::BTreeSet;

use crate::composition::file;

#[test]
fn the_image_has_the_one_binary_a_user_of_its_own_and_no_shell() {
    let dockerfile = file("Dockerfile");
    let lines: Vec<&str> = dockerfile.lines().filter(|line| !line.starts_with('#') && !line.is_empty()).collect();
    let from: Vec<_> = lines.iter().filter_map(|line| line.strip_prefix("FROM ")).collect();
    let toolchain: toml::Table = file("rust-toolchain.toml").parse().unwrap();
    let channel = toolchain["toolchain"]["channel"].as_str().unwrap();
    assert_eq!(from, ["${BUILD_IMAGE} AS build", "${RUNTIME_IMAGE}"]);
    for default in [
        format!("ARG BUILD_IMAGE=rust:{channel}-bookworm"),
        "ARG RUNTIME_IMAGE=gcr.io/distroless/cc-debian12:nonroot".into(),
    ] {
        assert!(lines.contains(&default.as_str()), "not in Dockerfile: {default}");
    }
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
