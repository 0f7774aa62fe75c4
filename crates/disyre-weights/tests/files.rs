//! The files of the crate are those of its folder `model`, small enough, and without paths of a computer.
#![allow(clippy::unwrap_used, reason = "the helpers of tests are tests too")]

use std::fs;
use std::path::Path;

use disyre_weights::{CARD, FILES};

/// Names of the files below a folder, with slashes.
fn names(folder: &Path, before: &str) -> Vec<String> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).unwrap() {
        let entry = entry.unwrap();
        let name = format!("{before}{}", entry.file_name().into_string().unwrap());
        match entry.path().is_dir() {
            true => found.extend(names(&entry.path(), &format!("{name}/"))),
            false => found.push(name),
        }
    }
    found.sort();
    found
}

#[test]
fn every_file_of_the_folder_is_listed_once_with_its_contents() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("model");
    assert!(FILES.iter().map(|(name, _)| *name).eq(names(&folder, "")));
    for (name, contents) in FILES {
        assert!(fs::read(folder.join(name)).unwrap() == *contents, "{name}");
    }
}

#[test]
fn all_files_together_have_no_more_than_8_megabytes() {
    let bytes: usize = FILES.iter().map(|(_, contents)| contents.len()).sum();
    assert!(bytes <= 8_000_000, "{bytes} bytes");
}

#[test]
fn texts_hold_no_path_of_a_computer() {
    for (name, contents) in FILES {
        let Ok(text) = std::str::from_utf8(contents) else { continue };
        for path in ["\"/", "'/", "\\\\", ":\\"] {
            assert!(!text.contains(path), "{name} holds {path}");
        }
    }
}

#[test]
fn the_card_ends_no_section_empty() {
    let mut lines = CARD.lines().filter(|line| !line.is_empty()).peekable();
    while let Some(line) = lines.next() {
        let next_is_heading = lines.peek().is_none_or(|next| next.starts_with('#'));
        let title = line.starts_with("# ");
        assert!(!line.starts_with('#') || title || !next_is_heading, "{line}");
    }
    assert!(!CARD.contains("TODO") && !CARD.contains("TBD"));
}
