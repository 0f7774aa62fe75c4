//! Writing files, and checks that outputs neither collide nor replace inputs.

use std::collections::HashMap;
use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};

use serde::Serialize;

use crate::error::CliError;

/// Writes a file so that its final name never holds half of it.
pub(crate) fn write_whole(path: &Path, bytes: &[u8]) -> Result<(), CliError> {
    disyre::core::write_whole(path, |file| file.write_all(bytes))
        .map_err(CliError::file("write", path))
}

/// Removes a file; one that is not there is no error.
pub(crate) fn remove_if_there(path: &Path) -> Result<(), CliError> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            Err(CliError::file("remove", path)(error))
        }
        _ => Ok(()),
    }
}

/// Writes a value as indented JSON.
pub(crate) fn write_json(path: &Path, value: &impl Serialize) -> Result<(), CliError> {
    write_whole(path, (to_json(value) + "\n").as_bytes())
}

/// A value as indented JSON.
///
/// # Panics
/// Never for the plain values that this program prints: numbers, texts, lists, and maps with text keys.
pub(crate) fn to_json(value: &impl Serialize) -> String {
    #[expect(clippy::expect_used, reason = "see the function's documentation")]
    serde_json::to_string_pretty(value).expect("plain values always have a JSON form")
}

/// Creates a folder and those above it.
pub(crate) fn create_folder(path: &Path) -> Result<(), CliError> {
    fs::create_dir_all(path).map_err(CliError::file("create", path))
}

/// True if there is a folder with something in it.
pub(crate) fn holds_files(folder: &Path) -> bool {
    fs::read_dir(folder).is_ok_and(|mut entries| entries.next().is_some())
}

/// Checks, before any work, that every output has one source and that none is an input.
///
/// # Errors
/// [`CliError::SameOutput`] and [`CliError::Overwrites`].
pub(crate) fn ensure_distinct<'a>(
    outputs: impl Iterator<Item = (&'a Path, PathBuf)>,
    inputs: &[PathBuf],
) -> Result<(), CliError> {
    let inputs: Vec<PathBuf> = inputs.iter().map(|path| resolved(path)).collect();
    let mut seen: HashMap<PathBuf, &Path> = HashMap::new();
    for (source, output) in outputs {
        if inputs.contains(&resolved(&output)) {
            return Err(CliError::Overwrites { output });
        }
        if let Some(first) = seen.insert(output.clone(), source) {
            return Err(CliError::SameOutput {
                first: first.into(),
                second: source.into(),
                output,
            });
        }
    }
    Ok(())
}

/// The file a path leads to; a path to a file that is not there yet, with its folder resolved.
fn resolved(path: &Path) -> PathBuf {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
    let beside = || {
        let folder = fs::canonicalize(folder.unwrap_or(Path::new("."))).ok()?;
        Some(folder.join(path.file_name()?))
    };
    fs::canonicalize(path).ok().or_else(beside).unwrap_or_else(|| path.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_sources_of_one_output_are_refused() {
        let output = PathBuf::from("out/a.png");
        let pairs = [("a.nii", output.clone()), ("a.nii.gz", output)];
        let pairs = pairs.iter().map(|(source, output)| (Path::new(*source), output.clone()));
        let error = ensure_distinct(pairs, &[]).unwrap_err();
        let expected = "a.nii and a.nii.gz would both write out/a.png; rename one of them";
        assert_eq!(error.to_string(), expected);
    }

    #[test]
    fn an_input_is_not_overwritten_under_another_spelling_of_its_path() {
        let folder = tempfile::tempdir().unwrap();
        let input = folder.path().join("a.nii");
        write_whole(&input, b"scan").unwrap();
        let output = folder.path().join(".").join("a.nii");
        let outputs = [(Path::new("b.nii"), output)].into_iter();
        assert!(matches!(ensure_distinct(outputs, &[input]), Err(CliError::Overwrites { .. })));
    }
}
