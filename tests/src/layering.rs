//! Who may touch whom, read from `cargo metadata`: the table of the rooms is held, not hoped for.

use std::collections::{BTreeMap, BTreeSet};

use cargo_metadata::{DependencyKind, Metadata, MetadataCommand};

/// Every room, the rooms that it may touch, and whether it is pure.
const ROOMS: &[(&str, &[&str], Purity)] = &[
    ("events", &[], Purity::Pure),
    ("audio", &[], Purity::Pure),
    ("turns", &[], Purity::Pure),
    ("platform", &["events"], Purity::Edge),
    ("webhook", &["events", "platform"], Purity::Edge),
    ("host", &["platform"], Purity::Edge),
    // It makes lost webhooks up and hands them to the function that would have received them.
    ("sweep", &["events", "platform", "webhook"], Purity::Edge),
    ("access", &["events", "platform"], Purity::Edge),
    ("token", &["access", "events", "platform"], Purity::Edge),
    ("health", &["access", "events", "platform"], Purity::Edge),
    ("calls", &["access", "events", "platform"], Purity::Edge),
    ("recordings", &["access", "events", "platform"], Purity::Edge),
    ("ingress", &["access", "platform"], Purity::Edge),
    // The one that knows the other functions: it puts them behind one router.
    (
        "api",
        &[
            "access",
            "calls",
            "events",
            "health",
            "ingress",
            "platform",
            "recordings",
            "token",
        ],
        Purity::Edge,
    ),
    // The other host of the functions, beside `cli`.
    (
        "lambda",
        &["api", "events", "platform", "sweep", "webhook"],
        Purity::Edge,
    ),
    ("libwebrtc", &["audio"], Purity::Edge),
    ("providers", &["audio"], Purity::Edge),
    ("pipeline", &["audio", "turns", "providers"], Purity::Edge),
    (
        "worker",
        &[
            "audio",
            "events",
            "platform",
            "pipeline",
            "providers",
            "libwebrtc",
        ],
        Purity::Edge,
    ),
    ("bus", &[], Purity::Edge),
    ("sip", &[], Purity::Edge),
    ("media", &["audio"], Purity::Edge),
    (
        "service",
        &["audio", "bus", "events", "media", "platform", "sip", "libwebrtc"],
        Purity::Edge,
    ),
    ("caller", &["audio", "media"], Purity::Edge),
    ("dev", &[], Purity::Edge),
    (
        "cli",
        &[
            "api",
            "audio",
            "bus",
            "caller",
            "dev",
            "events",
            "health",
            "host",
            "pipeline",
            "platform",
            "providers",
            "service",
            "sweep",
            "webhook",
            "worker",
        ],
        Purity::Edge,
    ),
    ("tests", &[], Purity::Edge),
];

/// What must not be reachable from a pure room, through any number of steps.
const IMPURE: &[&str] = &[
    "tokio",
    "async-std",
    "hyper",
    "reqwest",
    "axum",
    "aws-config",
    "metrics",
    "rand",
    "getrandom",
    "chrono",
];

#[derive(PartialEq)]
enum Purity {
    Pure,
    Edge,
}

fn metadata() -> Metadata {
    // What is compiled on this platform: for others, cargo would have to download crates that nothing here uses.
    let host = format!("{}-unknown-linux-gnu", std::env::consts::ARCH);
    MetadataCommand::new()
        .manifest_path(concat!(env!("CARGO_MANIFEST_DIR"), "/../Cargo.toml"))
        .other_options(vec!["--locked".to_owned(), "--filter-platform".to_owned(), host])
        .exec()
        .expect("cargo metadata reads the workspace")
}

/// All that a room is built from when nothing else is: what others want of a crate that both use is not its own.
fn reached_by(room: &str) -> BTreeSet<String> {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let tree = std::process::Command::new(cargo)
        .args([
            "tree",
            "--locked",
            "--offline",
            "--edges",
            "normal",
            "--prefix",
            "none",
        ])
        .args(["--format", "{p}", "--package", room])
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .output()
        .expect("cargo runs");
    assert!(tree.status.success(), "{}", String::from_utf8_lossy(&tree.stderr));
    let lines = String::from_utf8(tree.stdout).expect("names are UTF-8");
    let names = lines.lines().filter_map(|line| line.split_whitespace().next());
    names.map(str::to_owned).collect()
}

#[test]
fn every_room_touches_only_the_rooms_it_may() {
    let metadata = metadata();
    let rooms: BTreeMap<&str, &[&str]> = ROOMS.iter().map(|(name, may, _)| (*name, *may)).collect();
    let members = metadata.workspace_packages();
    let names: BTreeSet<&str> = members.iter().map(|p| p.name.as_str()).collect();
    assert_eq!(
        names,
        rooms.keys().copied().collect(),
        "a room is missing from the table, or gone from the house"
    );

    let mut broken = Vec::new();
    for package in &members {
        for dependency in package
            .dependencies
            .iter()
            .filter(|d| d.kind == DependencyKind::Normal)
        {
            let target = dependency.name.as_str();
            if names.contains(target) && !rooms[package.name.as_str()].contains(&target) {
                broken.push(format!("{} must not touch {target}", package.name));
            }
        }
    }
    assert!(broken.is_empty(), "{broken:#?}");
}

#[test]
fn pure_rooms_reach_no_clock_network_or_randomness() {
    let mut broken = Vec::new();
    for (room, _, _) in ROOMS.iter().filter(|(_, _, purity)| *purity == Purity::Pure) {
        let reached = reached_by(room);
        assert!(reached.contains(*room), "{room}: {reached:?}");
        let impure = IMPURE.iter().filter(|name| reached.contains(**name));
        broken.extend(impure.map(|name| format!("{room} reaches {name}")));
    }
    assert!(broken.is_empty(), "{broken:#?}");
}

#[test]
fn every_room_takes_the_lints_of_the_workspace() {
    for (room, manifest) in metadata()
        .workspace_packages()
        .iter()
        .map(|p| (&p.name, &p.manifest_path))
    {
        let text = std::fs::read_to_string(manifest).expect("the manifest is there");
        assert!(
            text.contains("[lints]\nworkspace = true"),
            "{room} has its own lints"
        );
    }
}

/// A library without unit tests builds no test program, which takes as long as one with a hundred. It must not gain any unseen.
#[test]
fn unit_tests_stand_only_where_they_run() {
    let metadata = metadata();
    let mut broken = Vec::new();
    for package in metadata.workspace_packages() {
        let untested = package
            .targets
            .iter()
            .filter(|target| target.is_lib() && !target.test);
        for target in untested {
            let root = target.src_path.parent().expect("a file lies in a folder");
            for file in rust_files(root.as_std_path()) {
                let text = std::fs::read_to_string(&file).expect("the file can be read");
                if text.contains("#[test]") || text.contains("#[tokio::test") {
                    broken.push(format!("{}: `test = false` in its Cargo.toml", file.display()));
                }
            }
        }
    }
    assert!(broken.is_empty(), "{broken:#?}");
}

fn rust_files(folder: &std::path::Path) -> Vec<std::path::PathBuf> {
    let entries = std::fs::read_dir(folder).expect("the folder can be read");
    let paths = entries.map(|entry| entry.expect("an entry of the folder").path());
    let files = paths.flat_map(|path| {
        if path.is_dir() {
            rust_files(&path)
        } else {
            vec![path]
        }
    });
    files
        .filter(|file| file.extension().is_some_and(|ext| ext == "rs"))
        .collect()
}
