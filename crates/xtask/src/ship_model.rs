//! `cargo xtask ship-model`: puts a trained model into `crates/disyre-weights`.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::Failure;
use crate::workspace::{Workspace, read};

/// Most bytes of all files together: a package of crates.io may have 10 MB.
const MOST_BYTES: usize = 8_000_000;
/// Stands before the hash of the weights, in what `disyre pack` prints and in the model card.
const HASH: &str = "weights SHA-256";

/// A file of the model: path below its folder, with slashes, and contents.
type ModelFile = (String, Vec<u8>);

/// Packs a model with `disyre pack`, checks the copy, and puts it in place of the model that ships: its files, the list
/// of them in `src/files.rs`, and the hash in the model card. `program` is a `disyre` that is built already.
pub(crate) fn run(
    workspace: &Workspace,
    model: &str,
    program: Option<&str>,
) -> Result<(), Failure> {
    let packed = workspace.root().join("target/ship-model");
    remove(&packed)?;
    let said =
        read(pack(workspace, program).arg("-m").arg(absolute(model)?).arg("-o").arg(&packed))?;
    let hash = hash_in(&said).ok_or_else(|| problem("`disyre pack` printed no SHA-256"))?;
    let mut files = Vec::new();
    collect(&packed, "", &mut files)?;
    files.sort();
    ensure_fit(&files)?;
    let home = workspace.root().join("crates/disyre-weights");
    let card = home.join("model_card.md");
    let text = fs::read_to_string(&card).map_err(path(&card))?;
    let text = with_hash(&text, hash).ok_or_else(|| problem(NO_HASH))?;
    place(&files, &home.join("model"))?;
    write(&home.join("src/files.rs"), list(&files).as_bytes())?;
    write(&card, text.as_bytes())?;
    let bytes: usize = files.iter().map(|(_, contents)| contents.len()).sum();
    println!("{}: {} files, {bytes} bytes, {HASH} {hash}", home.display(), files.len());
    println!("now bring model_card.md up to date: data, training, figures; then test and commit");
    Ok(())
}

const NO_HASH: &str = "model_card.md has no \"weights SHA-256 `…`\" to replace";

fn pack(workspace: &Workspace, program: Option<&str>) -> Command {
    match program {
        Some(program) => {
            let mut command = Command::new(program);
            command.arg("pack");
            command
        }
        None => workspace.cargo("run --release --quiet -p disyre-cli -- pack"),
    }
}

/// The hash after the words that announce it.
fn hash_in(text: &str) -> Option<&str> {
    let after = text.split(HASH).nth(1)?;
    let hash = after.trim_start_matches(['`', ' ', '\n']).get(..64)?;
    hash.bytes().all(|byte| byte.is_ascii_hexdigit()).then_some(hash)
}

/// The model card with another hash of the weights.
fn with_hash(card: &str, hash: &str) -> Option<String> {
    hash_in(card).map(|old| card.replace(old, hash))
}

/// Checks what leaves this computer: size, and no path of it.
fn ensure_fit(files: &[ModelFile]) -> Result<(), Failure> {
    let bytes: usize = files.iter().map(|(_, contents)| contents.len()).sum();
    if bytes > MOST_BYTES {
        return Err(problem(&format!(
            "the model has {bytes} bytes, at most {MOST_BYTES} may ship"
        )));
    }
    let holds_path = |(_, contents): &&ModelFile| {
        std::str::from_utf8(contents).is_ok_and(|text| text.contains("\"/") || text.contains("'/"))
    };
    match files.iter().find(holds_path) {
        Some((name, _)) => Err(problem(&format!("{name} holds a path of this computer"))),
        None => Ok(()),
    }
}

/// Replaces the folder by the files.
fn place(files: &[ModelFile], folder: &Path) -> Result<(), Failure> {
    remove(folder)?;
    for (name, contents) in files {
        let file = folder.join(name);
        let above = file.parent().unwrap_or(folder);
        fs::create_dir_all(above).map_err(path(above))?;
        write(&file, contents)?;
    }
    Ok(())
}

/// The source that embeds the files.
fn list(files: &[ModelFile]) -> String {
    let entry = |(name, _): &ModelFile| {
        let line = format!("    ({name:?}, include_bytes!(\"../model/{name}\")),\n");
        if line.len() <= 101 {
            return line;
        }
        // As rustfmt breaks it.
        format!("    (\n        {name:?},\n        include_bytes!(\"../model/{name}\"),\n    ),\n")
    };
    let entries: String = files.iter().map(entry).collect();
    format!(
        "//! The files of the model, as `cargo xtask ship-model` lists them.\n\n\
         /// Files of the model: path below its folder, and contents; sorted by path.\n\
         pub const FILES: &[(&str, &[u8])] = &[\n{entries}];\n"
    )
}

fn collect(folder: &Path, before: &str, files: &mut Vec<ModelFile>) -> Result<(), Failure> {
    for entry in fs::read_dir(folder).map_err(path(folder))? {
        let entry = entry.map_err(path(folder))?;
        let name = format!("{before}{}", entry.file_name().to_string_lossy());
        let file = entry.path();
        match file.is_dir() {
            true => collect(&file, &format!("{name}/"), files)?,
            false => files.push((name, fs::read(&file).map_err(path(&file))?)),
        }
    }
    Ok(())
}

fn absolute(folder: &str) -> Result<PathBuf, Failure> {
    std::path::absolute(folder).map_err(path(Path::new(folder)))
}

fn remove(folder: &Path) -> Result<(), Failure> {
    if folder.exists() { fs::remove_dir_all(folder).map_err(path(folder)) } else { Ok(()) }
}

fn write(file: &Path, contents: &[u8]) -> Result<(), Failure> {
    fs::write(file, contents).map_err(path(file))
}

fn path(path: &Path) -> impl FnOnce(std::io::Error) -> Failure + use<> {
    let path = path.to_owned();
    move |source| Failure::Path { path, source }
}

fn problem(problem: &str) -> Failure {
    Failure::Model { problem: problem.to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(name: &str, contents: &str) -> ModelFile {
        (name.to_owned(), contents.as_bytes().to_vec())
    }

    #[test]
    fn the_hash_of_the_card_is_replaced() {
        let [old, new] = ["a".repeat(64), "1".repeat(64)];
        let card = format!("Weights: 3 MB, weights SHA-256 `{old}`.\n");
        assert_eq!(
            with_hash(&card, &new),
            Some(format!("Weights: 3 MB, weights SHA-256 `{new}`.\n"))
        );
        assert_eq!(hash_in(&format!("out: weights SHA-256\n  {old}\n")), Some(old.as_str()));
        for without in ["", "weights SHA-256 `abc`", &"weights SHA-256 z".repeat(9)] {
            assert_eq!(with_hash(without, &new), None);
        }
    }

    #[test]
    fn large_models_and_paths_of_the_computer_do_not_ship() {
        assert!(ensure_fit(&[file("run.toml", "a = \"b/c\"")]).is_ok());
        let error = ensure_fit(&[file("run.toml", "a = \"/home\"")]).unwrap_err().to_string();
        assert!(error.contains("run.toml holds a path"), "{error}");
        let large = file("ema.safetensors", &"x".repeat(MOST_BYTES));
        assert!(ensure_fit(std::slice::from_ref(&large)).is_ok());
        assert!(ensure_fit(&[large, file("run.json", "{}")]).is_err());
    }

    #[test]
    fn the_list_is_that_of_the_repository() {
        let home = Workspace::find().root().join("crates/disyre-weights");
        let mut files = Vec::new();
        collect(&home.join("model"), "", &mut files).unwrap();
        files.sort();
        ensure_fit(&files).unwrap();
        assert_eq!(list(&files), fs::read_to_string(home.join("src/files.rs")).unwrap());
    }
}
