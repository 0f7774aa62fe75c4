use std::path::{Path, PathBuf};

use disyre::Case;
use disyre::volume::{Scan, find_scans, read_mask, scan_name};
use serde::{Deserialize, Serialize};

use crate::error::CliError;
use crate::output::write_whole;

/// What marks an anomaly map in a file's name.
const MARK: &str = "_desc-anomalyscore";

/// An anomaly map, the lesion mask it is judged by, and the brain mask that says which voxels count.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Pair {
    pub(crate) score: PathBuf,
    pub(crate) label: PathBuf,
    #[serde(default)]
    pub(crate) mask: Option<PathBuf>,
}

/// Reads a CSV file with the columns `score,label[,mask]`; paths are relative to it.
///
/// # Errors
/// [`CliError::Pairs`] naming the file and the line, [`CliError::NoPairs`].
pub(crate) fn read_pairs(path: &Path) -> Result<Vec<Pair>, CliError> {
    let fail = |source| CliError::Pairs { path: path.to_owned(), source };
    let text = std::fs::read(path).map_err(CliError::file("read", path))?;
    let mut reader = csv::ReaderBuilder::new().trim(csv::Trim::All).from_reader(text.as_slice());
    let pairs = reader.deserialize().collect::<Result<Vec<Pair>, _>>().map_err(fail)?;
    if pairs.is_empty() {
        return Err(CliError::NoPairs { path: path.to_owned() });
    }
    let beside = |file: PathBuf| path.parent().unwrap_or(Path::new("")).join(file);
    let resolve = |pair: Pair| Pair {
        score: beside(pair.score),
        label: beside(pair.label),
        mask: pair.mask.filter(|mask| !mask.as_os_str().is_empty()).map(beside),
    };
    Ok(pairs.into_iter().map(resolve).collect())
}

/// Writes such a file.
///
/// # Errors
/// [`CliError::Pairs`] and [`CliError::File`].
pub(crate) fn write_pairs(path: &Path, pairs: &[Pair]) -> Result<(), CliError> {
    let fail = |source| CliError::Pairs { path: path.to_owned(), source };
    let mut writer = csv::Writer::from_writer(Vec::new());
    pairs.iter().try_for_each(|pair| writer.serialize(pair)).map_err(fail)?;
    let bytes = writer.into_inner().map_err(|error| fail(error.into_error().into()))?;
    write_whole(path, &bytes)
}

/// Pairs the anomaly maps of a folder with labels and masks by name.
///
/// # Errors
/// [`CliError::NoScores`], [`CliError::Match`] listing what was found.
pub(crate) fn match_folders(
    scores: &Path,
    labels: &Path,
    masks: Option<&Path>,
) -> Result<Vec<Pair>, CliError> {
    let maps = find_scans(scores)?.into_iter().filter(|path| scan_name(path).contains(MARK));
    let maps: Vec<PathBuf> = maps.collect();
    if maps.is_empty() {
        return Err(CliError::NoScores { folder: scores.to_owned() });
    }
    let candidates: Vec<PathBuf> = find_scans(labels)?;
    let masks = masks.map(|folder| Ok::<_, CliError>((folder, find_scans(folder)?))).transpose()?;
    let pair = |score: PathBuf| {
        let label = match_one(&score, labels, &candidates)?;
        let mask =
            masks.as_ref().map(|(folder, files)| match_one(&score, folder, files)).transpose()?;
        Ok(Pair { score, label, mask })
    };
    maps.into_iter().map(pair).collect()
}

/// The one file of a folder that goes with an anomaly map: its name starts with the map's, up to [`MARK`].
fn match_one(score: &Path, folder: &Path, files: &[PathBuf]) -> Result<PathBuf, CliError> {
    let name = case_name(score);
    let fits = |file: &&PathBuf| {
        let candidate = scan_name(file);
        // `sub-1` goes with `sub-1_lesion`, not with `sub-10_lesion`.
        let rest = candidate.strip_prefix(&name);
        rest.is_some_and(|rest| !rest.starts_with(char::is_alphanumeric))
            && !candidate.contains(MARK)
    };
    let found: Vec<&PathBuf> = files.iter().filter(fits).collect();
    match found.as_slice() {
        [file] => Ok((*file).clone()),
        several => Err(CliError::Match {
            score: score.to_owned(),
            folder: folder.to_owned(),
            name,
            count: several.len(),
            found: list(several),
        }),
    }
}

fn list(files: &[&PathBuf]) -> String {
    match files {
        [] => "none".to_owned(),
        files => files.iter().map(|file| file.display().to_string()).collect::<Vec<_>>().join(", "),
    }
}

/// Name of the scan that an anomaly map was made of.
fn case_name(score: &Path) -> String {
    let name = scan_name(score);
    name.split_once(MARK).map_or(name.as_str(), |(before, _)| before).to_owned()
}

/// Reads the voxels of a pair that count: those inside the brain mask, or all.
///
/// # Errors
/// Those of reading; a label or mask on another grid than the map, naming both files; [`CliError::EmptyMask`].
pub(crate) fn read_case(pair: &Pair) -> Result<Case, CliError> {
    let score = Scan::read(&pair.score)?;
    let label = read_mask(&pair.label, &score)?;
    let voxels = score.volume.data.iter().copied().zip(label.iter().copied());
    let (scores, labels): (Vec<f32>, Vec<u8>) = match &pair.mask {
        None => voxels.unzip(),
        Some(path) => {
            let mask = read_mask(path, &score)?;
            voxels.zip(&mask).filter(|(_, inside)| **inside != 0).map(|(voxel, _)| voxel).unzip()
        }
    };
    match &pair.mask {
        Some(path) if scores.is_empty() => Err(CliError::EmptyMask { path: path.clone() }),
        _ => Ok(Case { name: case_name(&pair.score), scores, labels }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_relative_to_the_list_and_the_mask_may_be_missing() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("pairs.csv");
        std::fs::write(&path, "score,label,mask\na.nii, l/a.nii,\nb.nii,l/b.nii,m/b.nii\n")
            .unwrap();
        let pairs = read_pairs(&path).unwrap();
        let at = |name: &str| folder.path().join(name);
        assert_eq!(pairs[0], Pair { score: at("a.nii"), label: at("l/a.nii"), mask: None });
        assert_eq!(pairs[1].mask, Some(at("m/b.nii")));
        std::fs::write(&path, "score,label\na.nii,b.nii\n").unwrap();
        assert_eq!(read_pairs(&path).unwrap()[0].mask, None);
    }

    #[test]
    fn a_list_without_the_columns_or_without_lines_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("pairs.csv");
        std::fs::write(&path, "map,label\na.nii,b.nii\n").unwrap();
        assert!(matches!(read_pairs(&path), Err(CliError::Pairs { .. })));
        std::fs::write(&path, "score,label\n").unwrap();
        assert!(matches!(read_pairs(&path), Err(CliError::NoPairs { .. })));
    }

    #[test]
    fn what_was_written_is_read_again() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("pairs.csv");
        let pair = |mask: Option<&str>| Pair {
            score: folder.path().join("a, b.nii"),
            label: folder.path().join("c.nii"),
            mask: mask.map(|name| folder.path().join(name)),
        };
        let pairs = [pair(None), pair(Some("m.nii"))];
        write_pairs(&path, &pairs).unwrap();
        assert_eq!(read_pairs(&path).unwrap(), pairs);
    }

    #[test]
    fn a_label_is_matched_by_the_whole_name_of_the_case() {
        let files = ["l/sub-10_lesion.nii", "l/sub-1_lesion.nii"].map(PathBuf::from);
        let score = Path::new("s/sub-1_desc-anomalyscore_T1w.nii.gz");
        assert_eq!(match_one(score, Path::new("l"), &files).unwrap(), files[1]);
        let both = ["l/sub-1_lesion.nii", "l/sub-1_brain.nii"].map(PathBuf::from);
        let message = match_one(score, Path::new("l"), &both).unwrap_err().to_string();
        assert!(message.contains("l/sub-1_lesion.nii, l/sub-1_brain.nii"), "{message}");
        let message = match_one(score, Path::new("l"), &[]).unwrap_err().to_string();
        assert!(message.starts_with("0 files in l go with"), "{message}");
    }
}
