//! The five sentences of `docs/architecture.md` about who imports whom, read out of the Cargo.toml
//! files, so that an import that breaks one does not get in unnoticed.
//!
//! 1. The gateway never talks to a storage node: it hands bytes to `erasure`.
//! 2. `erasure` never talks to metadata: it is given a layout and drives, and gives back a receipt.
//! 3. Metadata never moves a byte above the inline threshold: it sees neither drives nor codecs.
//! 4. A storage node does not know what an object is: it keeps fragments.
//! 5. `replication` is the only other place that sees both metadata and bytes; the gateway does not
//!    import it. `src/` joins them all, and nothing imports it.

#![allow(
    clippy::unwrap_used,
    reason = "a manifest that is not as it must be fails the test"
)]

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

/// Which rooms a room may import, tests left aside.
const MAY_IMPORT: [(&str, &[&str]); 10] = [
    ("holdfast-types", &[]),
    ("holdfast-codec", &[]),
    ("holdfast-sealing", &[]),
    ("holdfast-outbound", &[]),
    ("holdfast-metadata", &["holdfast-types"]),
    ("holdfast-storage-node", &["holdfast-types"]),
    ("holdfast-erasure", &["holdfast-types", "holdfast-codec"]),
    (
        "holdfast-gateway",
        &[
            "holdfast-types",
            "holdfast-outbound",
            "holdfast-erasure",
            "holdfast-metadata",
            "holdfast-sealing",
        ],
    ),
    (
        "holdfast-replication",
        &[
            "holdfast-types",
            "holdfast-outbound",
            "holdfast-erasure",
            "holdfast-metadata",
            "holdfast-sealing",
        ],
    ),
    (
        "holdfast",
        &[
            "holdfast-types",
            "holdfast-codec",
            "holdfast-sealing",
            "holdfast-outbound",
            "holdfast-metadata",
            "holdfast-storage-node",
            "holdfast-erasure",
            "holdfast-gateway",
            "holdfast-replication",
        ],
    ),
];

fn manifest(folder: &Path) -> toml::Table {
    let file = folder.join("Cargo.toml");
    let text = std::fs::read_to_string(&file).unwrap();
    text.parse()
        .unwrap_or_else(|error| panic!("{}: {error}", file.display()))
}

/// Every package of the workspace by name, with its manifest.
fn packages() -> BTreeMap<String, toml::Table> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let workspace = manifest(root);
    let members = workspace["workspace"]["members"].as_array().unwrap();
    let folders = members
        .iter()
        .map(|member| root.join(member.as_str().unwrap()));
    folders
        .chain([root.to_owned()])
        .map(|folder| {
            let manifest = manifest(&folder);
            (
                manifest["package"]["name"].as_str().unwrap().to_owned(),
                manifest,
            )
        })
        .collect()
}

/// The rooms that a package is built with: its dependencies and build dependencies, for every
/// target, under whatever name they are imported.
fn imports(manifest: &toml::Table) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    collect(manifest, &mut found);
    if let Some(targets) = manifest.get("target").and_then(toml::Value::as_table) {
        for target in targets.values().filter_map(toml::Value::as_table) {
            collect(target, &mut found);
        }
    }
    found
}

fn collect(table: &toml::Table, found: &mut BTreeSet<String>) {
    for kind in ["dependencies", "build-dependencies"] {
        let Some(dependencies) = table.get(kind).and_then(toml::Value::as_table) else {
            continue;
        };
        for (name, how) in dependencies {
            let package = how
                .get("package")
                .and_then(toml::Value::as_str)
                .unwrap_or(name);
            if package.starts_with("holdfast") {
                found.insert(package.to_owned());
            }
        }
    }
}

#[test]
fn each_room_imports_only_what_it_may() {
    let packages = packages();
    let known: BTreeSet<&str> = MAY_IMPORT.iter().map(|(name, _)| *name).collect();
    let found: BTreeSet<&str> = packages.keys().map(String::as_str).collect();
    assert_eq!(found, known, "a new room needs a line in this test");
    for (name, may_import) in MAY_IMPORT {
        for imported in imports(&packages[name]) {
            assert!(
                may_import.contains(&imported.as_str()),
                "{name} imports {imported}, which docs/architecture.md forbids"
            );
        }
    }
}

#[test]
fn a_forbidden_import_would_be_noticed() {
    let hidden = r#"
        [target.'cfg(unix)'.dependencies]
        drives = { package = "holdfast-storage-node", path = "../storage-node" }
        [build-dependencies]
        holdfast-metadata.workspace = true
        [dev-dependencies]
        holdfast-gateway.workspace = true
    "#;
    let expected = ["holdfast-metadata", "holdfast-storage-node"].map(str::to_owned);
    assert_eq!(imports(&hidden.parse().unwrap()), BTreeSet::from(expected));
}

#[test]
fn only_the_codec_may_have_unsafe_code() {
    for (name, manifest) in packages() {
        let lints = manifest
            .get("lints")
            .unwrap_or_else(|| panic!("{name} has no lints"));
        let inherited = lints.get("workspace").and_then(toml::Value::as_bool) == Some(true);
        let own = lints.get("rust").and_then(|rust| rust.get("unsafe_code"));
        let forbidden = inherited || own.and_then(toml::Value::as_str) == Some("forbid");
        assert!(
            forbidden || name == "holdfast-codec",
            "{name} may have unsafe code"
        );
    }
}
