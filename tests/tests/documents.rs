//! The documents name only what exists: tests, public items and linked files. Renaming one without the documents fails here.
#![allow(clippy::unwrap_used, reason = "the helpers of tests are tests too")]

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

/// Documents whose names must exist; the changelog may speak of the past.
fn documents() -> Vec<PathBuf> {
    let root = root();
    let docs = fs::read_dir(root.join("docs")).unwrap().map(|entry| entry.unwrap().path());
    let mut found: Vec<_> =
        docs.filter(|path| path.extension().is_some_and(|e| e == "md")).collect();
    found.push(root.join("README.md"));
    found.sort();
    found
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().to_owned()
}

/// The texts between single backticks, without fenced blocks.
fn code_spans(text: &str) -> Vec<&str> {
    let prose = text.split("```").step_by(2);
    prose.flat_map(|part| part.split('`').skip(1).step_by(2)).collect()
}

/// All sources below a folder, as one text.
fn sources(folder: &Path) -> String {
    let mut text = String::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            text += &sources(&path);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            text += &fs::read_to_string(&path).unwrap();
        }
    }
    text
}

/// Whether sources define something of this name: an item, a method, a field or a variant.
fn defines(sources: &str, name: &str) -> bool {
    let keywords = ["struct", "enum", "trait", "type", "fn", "const", "mod", "macro_rules!"];
    let starts = |text: &str, name: &str| {
        let rest = text.strip_prefix(name);
        rest.is_some_and(|rest| !rest.starts_with(|c: char| c.is_alphanumeric() || c == '_'))
    };
    let defines = |line: &str| {
        let line = line.trim_start();
        let line = line.strip_prefix("pub ").unwrap_or(line);
        let words = line.split_once(' ');
        starts(line, name)
            || words.is_some_and(|(word, rest)| keywords.contains(&word) && starts(rest, name))
            || keywords.iter().any(|word| {
                let item = line.split_once(&format!(" {word} "));
                item.is_some_and(|(_, rest)| starts(rest, name))
            })
    };
    sources.lines().any(defines)
}

#[test]
fn every_test_that_a_document_names_exists() {
    let mut missing = Vec::new();
    let mut named = 0;
    for document in documents() {
        let text = fs::read_to_string(&document).unwrap();
        for span in code_spans(&text) {
            let Some((file, test)) = span.split_once(".rs::") else { continue };
            let path = root().join("crates").join(format!("{file}.rs"));
            let path = if path.exists() { path } else { root().join(format!("{file}.rs")) };
            let found =
                fs::read_to_string(&path).is_ok_and(|text| text.contains(&format!("fn {test}(")));
            named += 1;
            if !found {
                missing.push(format!("{}: {span}", document.display()));
            }
        }
    }
    assert!(named > 50, "only {named} tests are named: did the form of PAPER_MAP.md change?");
    assert!(missing.is_empty(), "documents name tests that do not exist:\n{}", missing.join("\n"));
}

#[test]
fn every_item_that_a_document_names_exists() {
    let crates = root().join("crates");
    let mut known = BTreeMap::new();
    let mut missing = Vec::new();
    for document in documents() {
        let text = fs::read_to_string(&document).unwrap();
        for (krate, item) in code_spans(&text).iter().filter_map(|span| span.split_once("::")) {
            let folder = crates.join(krate.replace('_', "-")).join("src");
            if !folder.is_dir() {
                continue;
            }
            // What the façade re-exports is defined elsewhere.
            let folder = if krate == "disyre" { crates.clone() } else { folder };
            let sources = known.entry(folder.clone()).or_insert_with(|| sources(&folder));
            let names =
                item.split("::").map(|part| part.split(['(', '{', '<', ' ']).next().unwrap());
            for name in names.filter(|name| !name.is_empty() && !defines(sources, name)) {
                missing.push(format!("{}: {krate}::{item} ({name})", document.display()));
            }
        }
    }
    assert!(missing.is_empty(), "documents name items that do not exist:\n{}", missing.join("\n"));
}

#[test]
fn every_file_that_a_document_links_to_exists() {
    let mut missing = Vec::new();
    for document in documents() {
        let text = fs::read_to_string(&document).unwrap();
        let links = text.split("](").skip(1).filter_map(|rest| rest.split(')').next());
        for link in links.filter(|link| !link.contains("://") && !link.starts_with('#')) {
            let path = document.parent().unwrap().join(link.split('#').next().unwrap());
            if !path.exists() {
                missing.push(format!("{}: {link}", document.display()));
            }
        }
    }
    assert!(
        missing.is_empty(),
        "documents link to files that do not exist:\n{}",
        missing.join("\n")
    );
}
