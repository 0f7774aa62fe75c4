//! Anomaly maps with their lesion and brain masks, from a list or from folders; `evaluate` measures them.

use std::path::{Path, PathBuf};

use disyre::volume::{ScanName, SidecarFiles, SidecarKind, VolumeError, find_scans, in_subfolders};
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
    /// The scan that the map was made from.
    #[serde(default)]
    pub(crate) scan: Option<PathBuf>,
    /// Whose scan it is, where its name does not say so.
    #[serde(default)]
    pub(crate) subject: Option<String>,
}

/// Maps with their labels, and files that lack their counterpart.
#[derive(Debug, Default)]
pub(crate) struct MatchedMaps {
    pub(crate) pairs: Vec<MapPair>,
    /// Maps without a label or mask, or with several, and labels without a map.
    pub(crate) failed: Vec<(PathBuf, CliError)>,
}

/// Reads a CSV file with the columns `score,label[,mask][,scan][,subject]`; paths are relative to it.
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
    let optional = |file: Option<PathBuf>| file.filter(|file| !file.as_os_str().is_empty());
    let resolve = |pair: MapPair| MapPair {
        score: beside(pair.score),
        label: beside(pair.label),
        mask: optional(pair.mask).map(beside),
        scan: optional(pair.scan).map(beside),
        subject: pair.subject.filter(|subject| !subject.is_empty()),
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

/// Pairs the anomaly maps of a folder with labels and masks by name. `elsewhere` are folders with another role.
///
/// # Errors
/// [`CliError::NoScores`], and [`VolumeError`](disyre::volume::VolumeError) for folders that cannot be read. Maps without
/// label or mask, or with several, labels without a map, files that only seem to be maps, and maps and labels in subfolders
/// are in [`MatchedMaps::failed`].
pub(crate) fn match_folders(
    scores: &Path,
    labels: &Path,
    masks: Option<&Path>,
    elsewhere: &[&Path],
) -> Result<MatchedMaps, CliError> {
    let (maps, not_maps) = find_maps(scores)?;
    let roles: Vec<&Path> = [Some(scores), Some(labels), masks]
        .into_iter()
        .flatten()
        .chain(elsewhere.iter().copied())
        .collect();
    let deeper = in_subfolders(scores, &roles).into_iter().filter(|path| seems_a_map(path));
    let deeper = deeper.map(|path| in_subfolder(scores, path));
    let deeper = deeper
        .chain(in_subfolders(labels, &roles).into_iter().map(|path| in_subfolder(labels, path)));
    let labels = SidecarFiles::list(labels, SidecarKind::LesionMask)?;
    let labels = labels.assign(&maps);
    let masks =
        masks.map(|folder| SidecarFiles::list(folder, SidecarKind::BrainMask)).transpose()?;
    let masks: Vec<_> = match &masks {
        Some(masks) => masks.assign(&maps).files.into_iter().map(Some).collect(),
        None => maps.iter().map(|_| None).collect(),
    };
    let mut matched = MatchedMaps::default();
    for ((score, label), mask) in maps.iter().zip(labels.files).zip(masks) {
        let both = label.and_then(|label| Ok((label, mask.transpose()?)));
        match both.map(|(label, mask)| (label.to_owned(), mask.map(Path::to_owned))) {
            Ok((label, mask)) => {
                let score = score.clone();
                matched.pairs.push(MapPair { score, label, mask, scan: None, subject: None });
            }
            Err(error) => matched.failed.push((score.clone(), error.into())),
        }
    }
    let not_map = |path: PathBuf| (path, CliError::NotNamedLikeAMap);
    matched.failed.extend(not_maps.into_iter().map(not_map).chain(deeper));
    for label in labels.unused {
        matched.failed.push((label.to_owned(), CliError::NoMap { scores: scores.to_owned() }));
    }
    Ok(matched)
}

/// Finds the scan of each map: in a folder by its name, else where the sidecar says that the map was made from.
///
/// # Errors
/// [`VolumeError`](disyre::volume::VolumeError) for a folder that cannot be read.
pub(crate) fn find_scans_of(pairs: &mut [MapPair], folder: Option<&Path>) -> Result<(), CliError> {
    let scans = folder.map(find_scans).transpose()?.unwrap_or_default();
    for pair in pairs.iter_mut().filter(|pair| pair.scan.is_none()) {
        let source = ScanName::of(&pair.score).source();
        let named = scans.iter().find(|scan| ScanName::of(scan) == source).cloned();
        pair.scan = named.or_else(|| source_in_sidecar(&pair.score));
    }
    Ok(())
}

/// The scan that a map's sidecar names, if it is there.
fn source_in_sidecar(map: &Path) -> Option<PathBuf> {
    let folder = map.parent().unwrap_or(Path::new(""));
    let text = std::fs::read(folder.join(ScanName::of(map).file("json"))).ok()?;
    let sidecar: serde_json::Value = serde_json::from_slice(&text).ok()?;
    // One volume of a series is another scan than its file.
    sidecar["volume_index"].is_null().then_some(())?;
    let source = PathBuf::from(sidecar["source"].as_str()?);
    [source.clone(), folder.join(source)].into_iter().find(|scan| scan.is_file())
}

/// The map of each case in another folder, found by the name of its scan or of the file.
///
/// # Errors
/// [`CliError::NotCompared`] listing the cases without one, [`CliError::SharedMap`] for a map that several would share.
pub(crate) fn maps_to_compare(pairs: &[MapPair], folder: &Path) -> Result<Vec<PathBuf>, CliError> {
    let files = find_scans(folder)?;
    let of_case = |pair: &MapPair| {
        let (name, source) = (pair.score.file_name(), ScanName::of(&pair.score).source());
        let same_name = files.iter().find(|file| file.file_name() == name);
        let same_scan = |file: &&PathBuf| {
            let name = ScanName::of(file);
            name.source() == source && (name.is_output_of("anomalyscore") || !name.is_output())
        };
        same_name
            .or_else(|| files.iter().find(same_scan))
            .cloned()
            .ok_or_else(|| pair.score.clone())
    };
    let (mut found, mut missing) = (Vec::new(), Vec::new());
    for pair in pairs {
        match of_case(pair) {
            Ok(map) => found.push(map),
            Err(map) => missing.push(map),
        }
    }
    if !missing.is_empty() {
        return Err(CliError::NotCompared { folder: folder.to_owned(), missing });
    }
    let shared = (1..found.len()).find(|&index| found[..index].contains(&found[index]));
    let Some(map) = shared.map(|index| found[index].clone()) else { return Ok(found) };
    let cases = pairs.iter().zip(&found).filter(|(_, other)| **other == map);
    Err(CliError::SharedMap { cases: cases.map(|(pair, _)| pair.score.clone()).collect(), map })
}

fn in_subfolder(folder: &Path, file: PathBuf) -> (PathBuf, CliError) {
    let (folder, files) = (folder.to_owned(), vec![file.clone()]);
    (file, VolumeError::InSubfolders { folder, files }.into())
}

fn seems_a_map(path: &Path) -> bool {
    ScanName::of(path).as_str().contains("anomalyscore")
}

/// The anomaly maps of a folder, and files that only seem to be some.
fn find_maps(folder: &Path) -> Result<(Vec<PathBuf>, Vec<PathBuf>), CliError> {
    let (maps, others): (Vec<PathBuf>, Vec<PathBuf>) = find_scans(folder)?
        .into_iter()
        .partition(|path| ScanName::of(path).is_output_of("anomalyscore"));
    match maps.is_empty() {
        true => Err(CliError::NoScores { folder: folder.to_owned() }),
        false => Ok((maps, others.into_iter().filter(|path| seems_a_map(path)).collect())),
    }
}

/// Names of the cases, in order: those of their scans, for maps of `disyre detect` without the suffix unless several
/// would share a name then. Equal names get the folders of their maps in front, as many as tell them apart.
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
    let mut names: Vec<String> = scans.iter().zip(&names).map(name).collect();
    add_folders(&mut names, pairs);
    names
}

fn add_folders(names: &mut [String], pairs: &[MapPair]) {
    let longest = pairs.iter().map(|pair| pair.score.components().count()).max().unwrap_or(0);
    for depth in 1..longest {
        let before = names.to_vec();
        let is_shared = |name: &String| before.iter().filter(|other| *other == name).count() > 1;
        for (name, pair) in names.iter_mut().zip(pairs).filter(|(name, _)| is_shared(name)) {
            let folder = pair.score.ancestors().nth(depth).and_then(Path::file_name);
            if let Some(folder) = folder {
                *name = format!("{}/{name}", folder.to_string_lossy());
            }
        }
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
        assert_eq!(
            pairs[0],
            MapPair {
                score: at("a.nii"),
                label: at("l/a.nii"),
                mask: None,
                scan: None,
                subject: None
            }
        );
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
            scan: mask.map(|_| folder.path().join("scan.nii")),
            subject: mask.map(|_| "sub-1".to_owned()),
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
            let mut matched = match_folders(scores.path(), labels.path(), None, &[]).unwrap();
            match matched.pairs.pop() {
                Some(pair) => Ok(pair.label.file_name().unwrap().to_str().unwrap().to_owned()),
                None => Err(matched.failed.swap_remove(0).1),
            }
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
        let matched = match_folders(scores.path(), labels.path(), Some(masks.path()), &[]).unwrap();
        assert!(matched.pairs.is_empty());
        let messages = matched.failed.iter().map(|(_, error)| error.to_string());
        for (message, start) in messages.zip(["no lesion", "no brain", "no lesion"]) {
            assert!(message.starts_with(&format!("{start} mask of ")), "{message}");
        }
        assert_eq!(matched.failed.len(), 3);
    }

    #[test]
    fn a_label_without_a_map_is_named() {
        let scores = folder_of(&["a_desc-anomalyscore.nii"]);
        let labels = folder_of(&["a_lesion.nii", "b_lesion.nii"]);
        let matched = match_folders(scores.path(), labels.path(), None, &[]).unwrap();
        assert_eq!(matched.pairs.len(), 1);
        let [(label, error)] = matched.failed.as_slice() else { panic!("{matched:?}") };
        assert!(label.ends_with("b_lesion.nii"));
        assert!(error.to_string().starts_with("no anomaly map in "), "{error}");
    }

    #[test]
    fn a_scan_is_found_by_name_and_by_the_sidecar_of_its_map() {
        let scans = folder_of(&["a_T1w.nii.gz", "b_T1w.nii.gz"]);
        let maps = folder_of(&["sub-c_desc-anomalyscore_T1w.nii.gz"]);
        let scan = scans.path().join("a_T1w.nii.gz");
        let sidecar = serde_json::json!({ "source": scan, "volume_index": null });
        let json = maps.path().join("sub-c_desc-anomalyscore_T1w.json");
        std::fs::write(json, sidecar.to_string()).unwrap();
        let pair = |score: PathBuf| MapPair {
            score,
            label: "l".into(),
            mask: None,
            scan: None,
            subject: None,
        };
        let mut pairs = [
            pair("x/b_T1w_desc-anomalyscore.nii".into()),
            pair(maps.path().join("sub-c_desc-anomalyscore_T1w.nii.gz")),
            pair("x/unknown.nii".into()),
        ];
        find_scans_of(&mut pairs, Some(scans.path())).unwrap();
        let found = pairs.map(|pair| pair.scan);
        assert_eq!(found, [Some(scans.path().join("b_T1w.nii.gz")), Some(scan), None]);
    }

    #[test]
    fn maps_to_compare_are_found_by_the_name_of_the_scan() {
        let other = folder_of(&["a.nii", "sub-b_desc-anomalyscore_T1w.nii.gz"]);
        let pair = |map: &str| MapPair {
            score: map.into(),
            label: "l".into(),
            mask: None,
            scan: None,
            subject: None,
        };
        let pairs =
            [pair("m/a_desc-anomalyscore.nii"), pair("m/sub-b_desc-anomalyscore_T1w.nii.gz")];
        let found = maps_to_compare(&pairs, other.path()).unwrap();
        assert_eq!(found[0], other.path().join("a.nii"));
        let error = maps_to_compare(&[pair("m/c.nii")], other.path()).unwrap_err().to_string();
        assert!(error.contains("m/c.nii"), "{error}");
        // The same file name in two folders is not the same case.
        let same = [pair("case1/a.nii"), pair("case2/a.nii")];
        let error = maps_to_compare(&same, other.path()).unwrap_err().to_string();
        assert!(error.contains("a.nii would be the map of 2 cases"), "{error}");
    }

    #[test]
    fn a_case_is_named_as_its_scan_and_two_contrasts_stay_apart() {
        let names = |maps: &[&str]| {
            let pair = |map: &&str| MapPair {
                score: map.into(),
                label: "l".into(),
                mask: None,
                scan: None,
                subject: None,
            };
            case_names(&maps.iter().map(pair).collect::<Vec<_>>())
        };
        let t1 = "s/sub-1_desc-anomalyscore_T1w.nii.gz";
        assert_eq!(names(&[t1, "s/ms07_t1_desc-anomalyscore.nii"]), ["sub-1", "ms07_t1"]);
        let flair = "s/sub-1_desc-anomalyscore_FLAIR.nii.gz";
        assert_eq!(names(&[t1, flair]), ["sub-1_T1w", "sub-1_FLAIR"]);
        assert_eq!(names(&["list/any.nii", "list/sub-1_T1w.nii"]), ["any", "sub-1_T1w"]);
        let same = ["x/1/a/score.nii", "x/2/a/score.nii", "x/1/b/score.nii"];
        assert_eq!(names(&same), ["1/a/score", "2/a/score", "b/score"]);
    }
}
