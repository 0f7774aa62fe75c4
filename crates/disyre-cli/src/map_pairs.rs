//! Anomaly maps with their lesion and brain masks, from a list or from folders; `evaluate` measures them.

use std::path::{Path, PathBuf};

use disyre::volume::{ScanName, SidecarFiles, SidecarKind, find_scans};
use serde::{Deserialize, Serialize};

use crate::error::CliError;
use crate::output_files::write_whole;

/// An anomaly map, the lesion mask it is judged by, and the brain mask that says which voxels count.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct MapPair {
    pub(crate) score: PathBuf,
    pub(crate) label: PathBuf,
    #[serde(default)]
    pub(crate) mask: Option<PathBuf>,
}

/// Reads a CSV file with the columns `score,label[,mask]`; paths are relative to it.
///
/// # Errors
/// [`CliError::Pairs`] naming the file and the line, [`CliError::NoPairs`].
pub(crate) fn read_pairs(path: &Path) -> Result<Vec<MapPair>, CliError> {
    let fail = |source| CliError::Pairs { path: path.to_owned(), source };
    let text = std::fs::read(path).map_err(CliError::file("read", path))?;
    let mut reader = csv::ReaderBuilder::new().trim(csv::Trim::All).from_reader(text.as_slice());
    let pairs = reader.deserialize().collect::<Result<Vec<MapPair>, _>>().map_err(fail)?;
    if pairs.is_empty() {
        return Err(CliError::NoPairs { path: path.to_owned() });
    }
    let beside = |file: PathBuf| path.parent().unwrap_or(Path::new("")).join(file);
    let resolve = |pair: MapPair| MapPair {
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
pub(crate) fn write_pairs(path: &Path, pairs: &[MapPair]) -> Result<(), CliError> {
    let fail = |source| CliError::Pairs { path: path.to_owned(), source };
    let mut writer = csv::Writer::from_writer(Vec::new());
    pairs.iter().try_for_each(|pair| writer.serialize(pair)).map_err(fail)?;
    let bytes = writer.into_inner().map_err(|error| fail(error.into_error().into()))?;
    write_whole(path, &bytes)
}

/// Pairs the anomaly maps of a folder with labels and masks by name. Labels without a map, and files that only seem to
/// be maps, are warned about.
///
/// # Errors
/// [`CliError::NoScores`]; for maps without label or mask, or with several,
/// [`VolumeError`](disyre::volume::VolumeError) listing what was found, in [`CliError::Unmatched`] if it is several maps.
pub(crate) fn match_folders(
    scores: &Path,
    labels: &Path,
    masks: Option<&Path>,
) -> Result<Vec<MapPair>, CliError> {
    let maps = find_maps(scores)?;
    let labels = SidecarFiles::list(labels, SidecarKind::LesionMask)?;
    let labels = labels.assign(&maps);
    for path in labels.unused {
        eprintln!("warning: {} belongs to no anomaly map, so it is not measured", path.display());
    }
    let masks =
        masks.map(|folder| SidecarFiles::list(folder, SidecarKind::BrainMask)).transpose()?;
    let masks: Vec<_> = match &masks {
        Some(masks) => masks.assign(&maps).files.into_iter().map(Some).collect(),
        None => maps.iter().map(|_| None).collect(),
    };
    let (mut pairs, mut failed) = (Vec::new(), Vec::new());
    for ((score, label), mask) in maps.iter().zip(labels.files).zip(masks) {
        let both = label.and_then(|label| Ok((label, mask.transpose()?)));
        match both.map(|(label, mask)| (label.to_owned(), mask.map(Path::to_owned))) {
            Ok((label, mask)) => pairs.push(MapPair { score: score.clone(), label, mask }),
            Err(error) => failed.push(error),
        }
    }
    match failed.len() {
        0 => Ok(pairs),
        1 => Err(failed.remove(0).into()),
        _ => Err(CliError::Unmatched { total: maps.len(), failed }),
    }
}

/// The anomaly maps of a folder; warns of files that only seem to be some.
fn find_maps(folder: &Path) -> Result<Vec<PathBuf>, CliError> {
    let (maps, others): (Vec<PathBuf>, Vec<PathBuf>) = find_scans(folder)?
        .into_iter()
        .partition(|path| ScanName::of(path).is_output_of("anomalyscore"));
    for path in others.iter().filter(|path| ScanName::of(path).as_str().contains("anomalyscore")) {
        eprintln!(
            "warning: {} is not named like a map, NAME_desc-anomalyscore…, so it is not measured",
            path.display()
        );
    }
    match maps.is_empty() {
        true => Err(CliError::NoScores { folder: folder.to_owned() }),
        false => Ok(maps),
    }
}

/// Names of the cases, in order: those of their scans, for maps of `disyre detect` without the suffix unless several
/// would share a name then.
pub(crate) fn case_names(pairs: &[MapPair]) -> Vec<String> {
    let maps = || pairs.iter().map(|pair| ScanName::of(&pair.score));
    let scans: Vec<String> = maps().map(|map| map.source().to_string()).collect();
    let short = |map: ScanName| {
        let scan = map.source();
        let end = scan.suffix().filter(|_| map.is_output_of("anomalyscore"));
        let end = end.map_or(String::new(), |suffix| format!("_{suffix}"));
        scan.as_str().strip_suffix(end.as_str()).unwrap_or(scan.as_str()).to_owned()
    };
    let names: Vec<String> = maps().map(short).collect();
    let shared = |name: &String| names.iter().filter(|other| *other == name).count() > 1;
    let name = |(scan, name): (&String, &String)| if shared(name) { scan } else { name }.clone();
    scans.iter().zip(&names).map(name).collect()
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
        assert_eq!(pairs[0], MapPair { score: at("a.nii"), label: at("l/a.nii"), mask: None });
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
        let pair = |mask: Option<&str>| MapPair {
            score: folder.path().join("a, b.nii"),
            label: folder.path().join("c.nii"),
            mask: mask.map(|name| folder.path().join(name)),
        };
        let pairs = [pair(None), pair(Some("m.nii"))];
        write_pairs(&path, &pairs).unwrap();
        assert_eq!(read_pairs(&path).unwrap(), pairs);
    }

    /// A folder with empty files of these names.
    fn folder_of(names: &[impl AsRef<Path>]) -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        names.iter().for_each(|name| std::fs::write(folder.path().join(name), []).unwrap());
        folder
    }

    #[test]
    fn a_label_is_matched_by_the_whole_name_of_the_case() {
        let scores = folder_of(&["sub-1_desc-anomalyscore_T1w.nii.gz", "sub-1_T1w_overlay.png"]);
        let label = |names: &[&str]| {
            let labels = folder_of(names);
            match_folders(scores.path(), labels.path(), None)
                .map(|pairs| pairs[0].label.file_name().unwrap().to_str().unwrap().to_owned())
        };
        let found = label(&["sub-10_lesion.nii", "sub-1_lesion.nii"]).unwrap();
        assert_eq!(found, "sub-1_lesion.nii");
        let found = label(&["sub-1_lesion.nii", "sub-1_brain.nii"]).unwrap();
        assert_eq!(found, "sub-1_lesion.nii", "a brain is no lesion");
        let message = label(&["sub-1_lesion.nii", "sub-1_mask.nii"]).unwrap_err().to_string();
        assert!(message.starts_with("2 lesion masks of "), "{message}");
        let message = label(&["sub-2_lesion.nii"]).unwrap_err().to_string();
        assert!(message.starts_with("no lesion mask of "), "{message}");
    }

    #[test]
    fn all_maps_without_a_label_or_mask_are_named_the_label_first() {
        let scores =
            folder_of(&["a", "b", "c"].map(|name| format!("{name}_desc-anomalyscore.nii")));
        let (labels, masks) = (folder_of(&["b_lesion.nii"]), folder_of(&["c_mask.nii"]));
        let error = match_folders(scores.path(), labels.path(), Some(masks.path())).unwrap_err();
        let message = error.to_string();
        let lines: Vec<&str> = message.lines().collect();
        assert_eq!(lines[0], "3 of 3 maps cannot be measured:");
        for (line, start) in lines[1..].iter().zip(["no lesion", "no brain", "no lesion"]) {
            assert!(line.starts_with(&format!("- {start} mask of ")), "{message}");
        }
        assert_eq!(lines.len(), 4, "{message}");
    }

    #[test]
    fn a_case_is_named_as_its_scan_and_two_contrasts_stay_apart() {
        let names = |maps: &[&str]| {
            let pair = |map: &&str| MapPair { score: map.into(), label: "l".into(), mask: None };
            case_names(&maps.iter().map(pair).collect::<Vec<_>>())
        };
        let t1 = "s/sub-1_desc-anomalyscore_T1w.nii.gz";
        assert_eq!(names(&[t1, "s/ms07_t1_desc-anomalyscore.nii"]), ["sub-1", "ms07_t1"]);
        let flair = "s/sub-1_desc-anomalyscore_FLAIR.nii.gz";
        assert_eq!(names(&[t1, flair]), ["sub-1_T1w", "sub-1_FLAIR"]);
        assert_eq!(names(&["list/any.nii", "list/sub-1_T1w.nii"]), ["any", "sub-1_T1w"]);
    }
}
