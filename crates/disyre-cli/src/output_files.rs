//! Writing files, and checks that outputs neither collide nor replace inputs.

use std::collections::HashMap;
use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};

use disyre::core::{StagedFiles, TemporaryFolder, sweep};
use serde::Serialize;

use crate::error::CliError;

/// Writes a file so that its final name never holds half of it.
pub(crate) fn write_whole(path: &Path, bytes: &[u8]) -> Result<(), CliError> {
    disyre::core::write_whole(path, |file| file.write_all(bytes))
        .map_err(CliError::file("write", path))
}

/// Paths to write files to that belong to `paths`, until all are whole; the last one is the record of the others.
pub(crate) fn stage<const N: usize>(
    staged: &mut StagedFiles,
    paths: &[PathBuf; N],
) -> Result<[PathBuf; N], CliError> {
    let mut aside = [(); N].map(|()| PathBuf::new());
    for (aside, path) in aside.iter_mut().zip(paths) {
        *aside = staged.stage(path).map_err(CliError::file("write", path))?;
    }
    Ok(aside)
}

/// Puts staged files in place; `record` is the last of them.
pub(crate) fn commit(staged: StagedFiles, record: &Path) -> Result<(), CliError> {
    staged.commit(&[]).map_err(CliError::file("replace", record))
}

/// Writes a value as indented JSON.
pub(crate) fn write_json(path: &Path, value: &impl Serialize) -> Result<(), CliError> {
    write_whole(path, (to_json(value)? + "\n").as_bytes())
}

/// A value as indented JSON.
pub(crate) fn to_json(value: &impl Serialize) -> Result<String, CliError> {
    serde_json::to_string_pretty(value).map_err(CliError::Json)
}

/// Checks, before any work, that files can be written to a folder, which need not be there yet. Removes temporaries of programs
/// that were killed.
pub(crate) fn ensure_writable(folder: &Path) -> Result<(), CliError> {
    let mut above = folder.ancestors().map(|above| match above.as_os_str().is_empty() {
        true => Path::new("."),
        false => above,
    });
    let there = above.find(|above| fs::symlink_metadata(above).is_ok()).unwrap_or(folder);
    TemporaryFolder::new_in(there).map_err(CliError::file("write to", folder))?;
    sweep(folder);
    Ok(())
}

/// The folder that a file is in.
pub(crate) fn folder_of(file: &Path) -> &Path {
    let folder = file.parent().filter(|folder| !folder.as_os_str().is_empty());
    folder.unwrap_or(Path::new("."))
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
    let beside = || Some(fs::canonicalize(folder_of(path)).ok()?.join(path.file_name()?));
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
    fn a_folder_that_cannot_be_written_to_is_found_before_it_is_made() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        ensure_writable(&at("deep/er")).unwrap();
        ensure_writable(Path::new("not-there-yet")).unwrap();
        fs::write(at("file"), "").unwrap();
        fs::write(at(".disyre-aBc123"), "of a program that was killed").unwrap();
        let error = ensure_writable(&at("file/deeper")).unwrap_err();
        assert!(error.to_string().starts_with("cannot write to "), "{error}");
        ensure_writable(folder.path()).unwrap();
        assert_eq!(fs::read_dir(&folder).unwrap().count(), 1);
        assert!(!Path::new("not-there-yet").exists());
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
