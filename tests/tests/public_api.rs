//! The public items of the crates that others build on are those of a list, so that none changes unnoticed.
//!
//! The compiler holds that what is `pub` can be reached from outside (the lint `unreachable_pub`), and the format is rustfmt's:
//! so the lines that begin with `pub` are the interface. `DISYRE_WRITE_API=1 cargo test --workspace --test public_api` writes
//! the lists anew.
#![allow(clippy::unwrap_used, reason = "the helpers of tests are tests too")]

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().to_owned()
}

/// The public items of all sources below a folder.
fn items_below(folder: &Path, items: &mut BTreeSet<String>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            items_below(&path, items);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            items.extend(items_of(&fs::read_to_string(&path).unwrap()));
        }
    }
}

/// The public items of a source, each a line: those of blocks, traits and types behind the head of their block.
fn items_of(text: &str) -> Vec<String> {
    let code = text.lines().take_while(|line| !line.starts_with("mod tests"));
    let mut lines = code.filter(|line| !line.trim_start().starts_with("//")).peekable();
    let (mut items, mut block, mut derived) = (Vec::new(), String::new(), String::new());
    while let Some(line) = lines.next() {
        let (indent, start) = (line.len() - line.trim_start().len(), line.trim_start());
        let is_attribute =
            ["#[derive", "#[non_exhaustive", "#[must_use"].iter().any(|a| start.starts_with(a));
        let open = indent == 4 && (block.starts_with("pub enum") || block.starts_with("pub trait"));
        let is_item = start.starts_with("pub ")
            || (indent == 0 && start.starts_with("impl"))
            || (open && start.starts_with(|c: char| c.is_alphabetic()));
        if !(is_item || is_attribute && indent == 0) {
            if indent == 0 && !line.is_empty() && !line.starts_with('#') {
                // The end of a block, or a private item, to which the attributes before belong.
                (block, derived) = (String::new(), String::new());
            }
            continue;
        }
        let mut item = start.to_owned();
        while !ends(&item) {
            let Some(more) = lines.next() else { break };
            item = format!("{item} {}", more.trim_start());
        }
        if is_attribute {
            derived += &(item + " ");
            continue;
        }
        // A variant with fields of its own belongs to the head with all of them.
        if open && block.starts_with("pub enum") && item.ends_with('{') {
            while let Some(more) = lines.next_if(|line| line.trim_start() != "},") {
                item = format!("{item} {}", more.trim_start());
            }
        }
        let signature = without_body(&item);
        if indent == 0 {
            block = if item.ends_with('{') { signature.clone() } else { String::new() };
            let attributes = std::mem::take(&mut derived);
            items.push(format!("{signature} {attributes}").trim_end().to_owned());
        } else {
            items.push(format!("{block} :: {signature}"));
        }
    }
    items
}

/// Without the heads of blocks whose items are listed by themselves, and without traits of private types.
fn without_private_impls(items: &BTreeSet<String>) -> BTreeSet<String> {
    let name_of = |text: &str| {
        let end = |c: char| !(c.is_alphanumeric() || c == '_');
        text.trim_start_matches(['&', '(']).split(end).next().unwrap_or_default().to_owned()
    };
    let types = items.iter().filter_map(|item| {
        let words = ["pub struct ", "pub enum ", "pub type "];
        words.iter().find_map(|word| item.strip_prefix(word)).map(name_of)
    });
    let types: BTreeSet<String> = types.collect();
    let kept = items.iter().filter(|item| {
        let is_head = item.starts_with("impl") && !item.contains(" :: ");
        !is_head || item.split_once(" for ").is_some_and(|(_, of)| types.contains(&name_of(of)))
    });
    kept.cloned().collect()
}

/// Whether a statement is complete, as far as its interface goes.
fn ends(item: &str) -> bool {
    let is_function = item.contains("fn ");
    let stops: &[&str] = if is_function || item.starts_with("impl") {
        &["{", ";", "{}"]
    } else {
        &["{", ";", "}", ",", ")]", "]"]
    };
    let is_list = item.starts_with("pub use") || item.starts_with("#[");
    match is_list {
        true => item.ends_with(';') || item.ends_with(']'),
        false => stops.iter().any(|stop| item.ends_with(stop)) || item.contains(" = "),
    }
}

/// A statement without body or value.
fn without_body(item: &str) -> String {
    let head = if item.starts_with("pub use") || item.starts_with("impl") || item.contains("fn ") {
        item
    } else {
        item.split(" = ").next().unwrap()
    };
    head.trim_end_matches([' ', '{', '}', ';', ',']).to_owned()
}

#[test]
fn the_interfaces_of_the_crates_that_others_build_on_are_as_listed() {
    for name in ["disyre-dag", "disyre-score"] {
        let mut items = BTreeSet::new();
        items_below(&root().join("crates").join(name).join("src"), &mut items);
        let items = without_private_impls(&items);
        let path = root().join("tests/public-api").join(format!("{name}.txt"));
        if std::env::var_os("DISYRE_WRITE_API").is_some() {
            let lines: String = items.iter().map(|item| format!("{item}\n")).collect();
            fs::write(&path, lines).unwrap();
        }
        let listed: BTreeSet<String> =
            fs::read_to_string(&path).unwrap().lines().map(str::to_owned).collect();
        let gone: Vec<_> = listed.difference(&items).map(|item| format!("- {item}")).collect();
        let new: Vec<_> = items.difference(&listed).map(|item| format!("+ {item}")).collect();
        assert!(
            gone.is_empty() && new.is_empty(),
            "the interface of {name} is not that of {}; if that is meant, write it anew (see the head of this file):\n{}",
            path.display(),
            [gone, new].concat().join("\n")
        );
    }
}

#[test]
fn items_are_found_with_the_block_that_they_are_in() {
    let source = "\
/// A thing.
#[derive(Debug, Clone)]
pub struct Thing<T> {
    /// A field.
    pub field: T,
    hidden: u8,
}

impl<T> Thing<T>
where
    T: Copy,
{
    /// Makes.
    pub fn new(
        field: T,
        count: usize,
    ) -> Self {
        let pub_is_no_word = 1;
        Self { field, hidden: 0 }
    }

    pub(crate) fn inner(&self) {}

    pub const LEN: usize = 1;
}

impl Default for Thing<u8> {
    fn default() -> Self {}
}

#[derive(Clone)]
struct Private;

impl Drop for Private {}

#[non_exhaustive]
pub enum Kind {
    One,
    Two(u8),
    Three {
        size: usize,
    },
}

pub const MOST: usize = 3;
pub use other::{A, B};
fn private() {}
mod tests {
    pub fn no() {}
}
";
    let expected = [
        "impl Default for Thing<u8>",
        "impl<T> Thing<T> where T: Copy :: pub const LEN: usize",
        "impl<T> Thing<T> where T: Copy :: pub fn new( field: T, count: usize, ) -> Self",
        "pub const MOST: usize",
        "pub enum Kind #[non_exhaustive]",
        "pub enum Kind :: One",
        "pub enum Kind :: Three { size: usize",
        "pub enum Kind :: Two(u8)",
        "pub struct Thing<T> #[derive(Debug, Clone)]",
        "pub struct Thing<T> :: pub field: T",
        "pub use other::{A, B",
    ];
    let found = without_private_impls(&items_of(source).into_iter().collect());
    assert!(found.iter().eq(expected.iter()), "{found:#?}");
}
