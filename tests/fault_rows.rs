//! The fault matrix (`docs/faults.md`) is true: each row names tests, and each test that it names
//! is there.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

/// The rows of one machine; those of clusters and regions come with them.
const ROWS: [&str; 29] = [
    "F1", "F2", "F3", "F4", "F5", "F6", "F7", "F8", "F9", "F10", "F11", "F12", "F13", "F14", "F15",
    "F16", "F17", "F18", "F19", "F20", "F21", "F22", "F23", "F24", "F25", "F26", "F27", "F42",
    "F43",
];

/// What there is nothing to show of yet.
const NOT_YET: [&str; 1] = ["F19"];

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// Each row by its name, with what it says of its tests.
fn rows() -> BTreeMap<String, String> {
    let text = fs::read_to_string(root().join("docs/faults.md")).unwrap();
    text.lines()
        .filter_map(|line| {
            let cells: Vec<&str> = line.strip_prefix("| F")?.splitn(3, '|').collect();
            let [name, _, tests] = cells[..] else {
                return None;
            };
            Some((format!("F{}", name.trim()), tests.to_owned()))
        })
        .collect()
}

/// What stands between backticks.
fn quoted(text: &str) -> Vec<String> {
    text.split('`')
        .skip(1)
        .step_by(2)
        .map(str::to_owned)
        .collect()
}

/// All Rust files below a folder.
fn sources(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            sources(&path, found);
        } else if path.extension().is_some_and(|ending| ending == "rs") {
            found.push(path);
        }
    }
}

/// The text of a story's module, whether it is a file or a folder; a module in it, too.
fn story(modules: &[&str]) -> Option<String> {
    let stories = root().join("tests/e2e/stories");
    let inner = modules.iter().fold(stories, |path, name| path.join(name));
    let mut files = Vec::new();
    if inner.is_dir() {
        sources(&inner, &mut files);
    }
    let file = inner.with_extension("rs");
    files.extend(file.is_file().then_some(file));
    let texts = files.iter().map(|file| fs::read_to_string(file).unwrap());
    (!files.is_empty()).then(|| texts.collect())
}

/// Whether a text has a test of this name, or of one that begins so where it ends with `…`.
fn has_test(text: &str, name: &str) -> bool {
    let wanted = match name.strip_suffix('…') {
        Some(begin) => format!("fn {begin}"),
        None => format!("fn {name}("),
    };
    text.contains(&wanted)
}

/// What is wrong with a row, with all of the project's tests at hand.
fn wrong(tests: &str, everything: &str) -> Vec<String> {
    let mut wrong = Vec::new();
    let mut named = 0;
    for name in quoted(tests) {
        let is_there = if let Some(path) = name.strip_prefix("stories::") {
            let words: Vec<&str> = path.split("::").collect();
            // The last word is a test, or all of them are a module.
            let (last, modules) = words.split_last().unwrap();
            let in_module = story(modules).filter(|_| !modules.is_empty());
            in_module.is_some_and(|text| has_test(&text, last)) || story(&words).is_some()
        } else if name.contains('/') {
            root().join(&name).exists()
        } else if name.contains('_') {
            has_test(everything, &name)
        } else {
            // A command, an option, the name of a mutant.
            continue;
        };
        named += 1;
        if !is_there {
            wrong.push(format!("there is no {name}"));
        }
    }
    if named == 0 && !tests.contains("seeds") {
        wrong.push("it names no test".to_owned());
    }
    wrong
}

fn everything() -> String {
    let mut files = Vec::new();
    for room in fs::read_dir(root()).unwrap() {
        let room = room.unwrap().path();
        let name = room.file_name().unwrap().to_string_lossy().into_owned();
        if room.is_dir() && name != "target" && !name.starts_with('.') {
            sources(&room, &mut files);
        }
    }
    let texts = files.iter().map(|file| fs::read_to_string(file).unwrap());
    texts.collect()
}

#[test]
fn every_row_names_tests_that_are_there() {
    let (rows, everything) = (rows(), everything());
    for row in ROWS {
        let tests = rows.get(row).unwrap_or_else(|| panic!("{row} is missing"));
        if !NOT_YET.contains(&row) {
            let wrong = wrong(tests, &everything);
            assert!(wrong.is_empty(), "{row}: {wrong:#?}");
        }
    }
}

#[test]
fn a_test_that_is_not_there_would_be_noticed() {
    let text = everything();
    for named in [
        "`stories::faults::f99_nothing`",
        "`stories::nothing`",
        "`storage-node/tests/nothing.rs`",
        "`storage-node/tests/crash.rs`: `no_such_story_…`",
        "in words only",
    ] {
        assert_eq!(wrong(named, &text).len(), 1, "{named}");
    }
    let named = "`stories::faults`, `storage-node/tests/crash.rs`: `opening_after_a_crash_…`";
    assert!(wrong(named, &text).is_empty());
}
