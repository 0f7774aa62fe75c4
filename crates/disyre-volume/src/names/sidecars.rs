//! Folders with one file for each scan; `detect`, `evaluate`, `train` and `synth` look for files here.
use std::fs;
use std::path::{Path, PathBuf};

use super::belonging::{Belonging, belonging, is_same_session};
use super::listing::find_scans;
use super::scan_name::ScanName;
use super::sidecar_kind::SidecarKind;
use crate::VolumeError;

/// A folder in which each scan has a file: its brain mask, say.
///
/// Outputs of `disyre detect` are never such files.
///
/// ```
/// use disyre_volume::{SidecarFiles, SidecarKind};
/// # use std::path::Path;
/// # let folder = tempfile::tempdir()?;
/// # let folder = folder.path();
/// # for name in ["sub-01_desc-brain_mask.nii.gz", "sub-01_dseg.nii.gz", "sub-10_desc-brain_mask.nii.gz"] {
/// #     std::fs::write(folder.join(name), [])?;
/// # }
/// // The folder holds sub-01_desc-brain_mask.nii.gz, sub-01_dseg.nii.gz and sub-10_desc-brain_mask.nii.gz.
/// let masks = SidecarFiles::list(folder, SidecarKind::BrainMask)?;
/// let mask = masks.find(Path::new("scans/sub-01_desc-preproc_T1w.nii.gz"))?;
/// assert_eq!(mask, folder.join("sub-01_desc-brain_mask.nii.gz"));
/// assert!(masks.find(Path::new("scans/sub-02_T1w.nii.gz")).is_err());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[doc(alias = "Companions")]
#[derive(Debug, Clone)]
pub struct SidecarFiles {
    kind: SidecarKind,
    folder: PathBuf,
    files: Vec<(ScanName, PathBuf)>,
    /// Files named like outputs of `disyre detect`, which are never given to a scan.
    outputs: Vec<(ScanName, PathBuf)>,
}

/// Files of several scans, from [`SidecarFiles::assign`].
#[derive(Debug)]
pub struct Assigned<'a> {
    /// The file of each scan, in the order of the scans.
    pub files: Vec<Result<&'a Path, VolumeError>>,
    /// Files that belong to no scan, or that the kind does not look for; of those named like outputs of `disyre detect`,
    /// those that none of the scans would give. Sorted.
    pub unused: Vec<&'a Path>,
}

/// Scans that one file may belong to, by position.
struct Claims {
    /// Those whose names are closest to the file's.
    owners: Vec<usize>,
    /// Other contrasts and descriptions of the owners' sessions.
    sharers: Vec<usize>,
}

impl SidecarFiles {
    /// Lists a folder.
    ///
    /// # Errors
    /// [`VolumeError::Read`], and [`VolumeError::NoScans`] for a folder without NIfTI files.
    pub fn list(folder: &Path, kind: SidecarKind) -> Result<Self, VolumeError> {
        Ok(Self::new(folder, kind, find_scans(folder)?))
    }

    fn new(folder: &Path, kind: SidecarKind, files: Vec<PathBuf>) -> Self {
        let named = files.into_iter().map(|path| (ScanName::of(&path), path));
        let (outputs, files) = named.partition(|(name, _)| name.is_output());
        Self { kind, folder: folder.to_owned(), files, outputs }
    }

    /// The file of a scan, or of the scan that an output of `disyre detect` was made from.
    ///
    /// # Errors
    /// [`VolumeError::NoSidecar`] and [`VolumeError::SeveralSidecars`].
    pub fn find(&self, scan: &Path) -> Result<&Path, VolumeError> {
        let name = ScanName::of(scan).source();
        let found = self.files.iter().filter(|(file, _)| self.accepts(&name, file).is_some());
        self.only(scan, found.map(|(_, path)| path.as_path()).collect())
    }

    /// The files of several scans, and those that are left over.
    ///
    /// A file that [`find`](Self::find) would give to several scans goes to the one whose name is closest to its own:
    /// of the scans `P1` and `P1_mask`, the file `P1_mask_lesion` belongs to the latter alone. Scans that differ in
    /// contrast and description only share a file where one of them has none of its own.
    pub fn assign(&self, scans: &[impl AsRef<Path>]) -> Assigned<'_> {
        let names: Vec<ScanName> =
            scans.iter().map(|scan| ScanName::of(scan.as_ref()).source()).collect();
        let claims: Vec<Claims> =
            self.files.iter().map(|(file, _)| self.claims(&names, file)).collect();
        let files = scans.iter().enumerate().map(|(scan, path)| {
            let select = |claimed: &dyn Fn(&Claims) -> bool| {
                let found = claims.iter().zip(&self.files).filter(|(claims, _)| claimed(claims));
                found.map(|(_, (_, path))| path.as_path()).collect::<Vec<_>>()
            };
            let own = select(&|claims| claims.owners.contains(&scan));
            let found =
                if own.is_empty() { select(&|claims| claims.sharers.contains(&scan)) } else { own };
            self.only(path.as_ref(), found)
        });
        let unused = claims.iter().zip(&self.files).filter(|(claims, _)| claims.owners.is_empty());
        let unused = unused.map(|(_, (_, path))| path.as_path());
        let foreign = self.outputs.iter().filter(|(output, _)| !names.contains(&output.source()));
        let mut unused: Vec<&Path> =
            unused.chain(foreign.map(|(_, path)| path.as_path())).collect();
        unused.sort();
        Assigned { files: files.collect(), unused }
    }

    /// The scans that a file may belong to.
    fn claims(&self, scans: &[ScanName], file: &ScanName) -> Claims {
        let closeness = |scan| self.accepts(scan, file).map(|belonging| belonging.closeness);
        let closeness: Vec<_> = scans.iter().map(closeness).collect();
        let closest = closeness.iter().max().copied().flatten();
        let accepted = (0..scans.len()).filter(|&scan| closeness[scan].is_some());
        let (owners, others): (Vec<usize>, Vec<usize>) =
            accepted.partition(|&scan| closeness[scan] == closest);
        let shares = |scan: &usize| {
            owners.iter().all(|&owner| is_same_session(&scans[owner], &scans[*scan]))
        };
        let sharers = others.into_iter().filter(shares).collect();
        Claims { owners, sharers }
    }

    /// How a file belongs to a scan, if it does and is of this kind.
    fn accepts<'a>(&self, scan: &ScanName, file: &'a ScanName) -> Option<Belonging<'a>> {
        belonging(scan, file).filter(|belonging| self.kind.accepts(belonging))
    }

    /// The one file among those found; a scan is not its own mask.
    fn only<'a>(&'a self, scan: &Path, mut found: Vec<&'a Path>) -> Result<&'a Path, VolumeError> {
        found.retain(|file| !is_same_file(file, scan));
        match found.as_slice() {
            [file] => Ok(file),
            [] => Err(VolumeError::NoSidecar {
                kind: self.kind,
                scan: scan.to_owned(),
                folder: self.folder.clone(),
                expected: self.kind.examples(&ScanName::of(scan).source()),
            }),
            several => Err(VolumeError::SeveralSidecars {
                kind: self.kind,
                scan: scan.to_owned(),
                folder: self.folder.clone(),
                found: several.iter().map(|&path| path.to_owned()).collect(),
            }),
        }
    }
}

/// Whether a file is a file of this kind of a scan with another name, by their names.
pub(super) fn is_sidecar_of(kind: SidecarKind, scan: &ScanName, file: &ScanName) -> bool {
    let found = belonging(scan, file).filter(|belonging| kind.accepts(belonging));
    found.is_some_and(|belonging| !belonging.added.is_empty())
}

/// Whether two paths lead to one file, however they are written.
fn is_same_file(a: &Path, b: &Path) -> bool {
    let real = |path| fs::canonicalize(path).ok();
    a == b || (a.file_name() == b.file_name() && real(a).is_some_and(|a| real(b) == Some(a)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn files(kind: SidecarKind, files: &[&str]) -> SidecarFiles {
        SidecarFiles::new(Path::new("m"), kind, files.iter().map(PathBuf::from).collect())
    }

    fn found(kind: SidecarKind, scan: &str, among: &[&str]) -> String {
        match files(kind, among).find(Path::new(scan)) {
            Ok(path) => path.display().to_string(),
            Err(error) => error.to_string(),
        }
    }

    #[test]
    fn a_brain_mask_is_found_by_the_name_of_its_scan() {
        let find = |scan, among: &[&str]| found(SidecarKind::BrainMask, scan, among);
        for mask in ["m/a.nii", "m/a_mask.nii.gz", "m/a_brain.nii.gz", "m/a_desc-brain_mask.nii"] {
            assert_eq!(find("s/a.nii.gz", &["m/b.nii.gz", mask]), mask);
        }
        let bids = "m/sub-01_desc-brain_mask.nii.gz";
        for scan in ["s/sub-01_T1w.nii.gz", "m/sub-01_desc-preproc_T1w.nii.gz"] {
            let beside =
                ["m/sub-01_desc-preproc_T1w.nii.gz", "m/sub-01_dseg.nii.gz", "m/sub-01_mask.nii"];
            assert_eq!(find(scan, &[&beside[..], &[bids]].concat()), bids);
        }
        assert_eq!(
            find("m/ms07_t1.nii", &["m/ms07_mask.nii", "m/ms07_brain.nii"]),
            "m/ms07_brain.nii"
        );
    }

    #[test]
    fn a_scan_is_not_its_own_mask() {
        let files = ["s/a.nii.gz", "s/a_brain.nii.gz"];
        assert_eq!(found(SidecarKind::BrainMask, "s/a.nii.gz", &files), files[1]);
        let folder = tempfile::tempdir().unwrap();
        let scan = folder.path().join("a.nii");
        fs::write(&scan, []).unwrap();
        fs::create_dir(folder.path().join("b")).unwrap();
        let masks = SidecarFiles::list(folder.path(), SidecarKind::BrainMask).unwrap();
        let detour = folder.path().join("b/../a.nii");
        assert!(matches!(masks.find(&detour), Err(VolumeError::NoSidecar { .. })));
    }

    #[test]
    fn other_files_are_found_by_the_name_of_their_scan() {
        let find = |scan, among: &[&str]| found(SidecarKind::Segmentation, scan, among);
        for file in ["s/a.nii", "s/a_seg.nii.gz", "s/a_dseg.nii.gz"] {
            assert_eq!(find("t1/a.nii.gz", &["s/b.nii", file]), file);
        }
        assert_eq!(find("t1/sub-01_T1w.nii.gz", &["s/sub-01_dseg.nii"]), "s/sub-01_dseg.nii");
        let among = ["s/IXI01-HH-122_DLMUSE.nii.gz", "s/IXI01-HH-12_DLMUSE.nii.gz"];
        assert_eq!(find("t1/IXI01-HH-12_T1.nii.gz", &among), among[1]);
    }

    #[test]
    fn a_map_finds_the_label_of_its_scan() {
        let find = |map, among: &[&str]| found(SidecarKind::LesionMask, map, among);
        let labels =
            ["l/sub-10_lesion.nii", "l/sub-1_lesion.nii", "l/sub-1_desc-anomalyscore_T1w.nii"];
        assert_eq!(find("s/sub-1_desc-anomalyscore_T1w.nii.gz", &labels), labels[1]);
        let labels = ["l/sub-01_label-lesion_mask.nii", "l/sub-02_label-lesion_mask.nii"];
        assert_eq!(find("s/sub-01_desc-preprocanomalyscore_T1w.nii", &labels), labels[0]);
        assert!(
            find("s/P1_desc-anomalyscore.nii", &["l/P1-2_lesion.nii"])
                .starts_with("no lesion mask")
        );
    }

    fn is_found(kind: SidecarKind, scan: &str, file: &str) -> bool {
        let file = format!("l/{file}.nii.gz");
        files(kind, &[&file]).find(Path::new(&format!("s/{scan}.nii"))).is_ok()
    }

    #[test]
    fn the_only_file_of_a_folder_is_not_taken_from_another_scan() {
        use SidecarKind::{BrainMask, LesionMask, LocationMap, Segmentation};
        let others = ["P1_post", "P1_visitA", "P1_flair", "P1_T1w", "P1_2", "P1-2"];
        for other in others {
            for end in ["", "_lesion", "_mask", "_seg", "_location", "_desc-brain_mask"] {
                for kind in [BrainMask, LesionMask, Segmentation, LocationMap] {
                    let file = format!("{other}{end}");
                    assert!(!is_found(kind, "P1", &file), "{kind}: {file}");
                }
            }
        }
        for file in ["sub-01_FLAIR", "sub-01_FLAIR_lesion", "sub-01_desc-lesion_FLAIR"] {
            assert!(!is_found(LesionMask, "sub-01_T1w", file), "{file}");
        }
        assert!(!is_found(LesionMask, "ms07_t1", "ms07_flair"));
        assert!(!is_found(LesionMask, "sub-01_T1w", "sub-01_desc-preproc_T1w"), "a scan, no mask");
        assert!(!is_found(LesionMask, "sub-01_T1w", "sub-01_desc-brain_mask"));
    }

    #[test]
    fn each_kind_is_known_by_its_endings() {
        let lesions = [
            "lesion",
            "Lesion",
            "lesion_mask",
            "mask",
            "lesion1",
            "seg4",
            "wmh",
            "roi",
            "tumour",
            "label-lesion_mask",
            "label-L_desc-T1lesion_mask",
            "desc-lesion",
        ];
        let segmentations =
            ["seg", "dseg", "aseg", "DLMUSE", "aparc+aseg", "label-GM_dseg", "seg4"];
        let locations = ["location", "places", "prior", "probseg", "mask", "label-stroke_probseg"];
        for (kind, ends) in [
            (SidecarKind::LesionMask, &lesions[..]),
            (SidecarKind::Segmentation, &segmentations),
            (SidecarKind::LocationMap, &locations),
        ] {
            for scan in ["P1", "sub-01_T1w", "ms07_t1"] {
                for end in ends {
                    assert!(
                        is_found(kind, scan, &format!("{scan}_{end}")),
                        "{kind} {end} of {scan}"
                    );
                }
            }
        }
        assert!(is_found(SidecarKind::LesionMask, "sub-01_T1w", "sub-01_lesion_T1w"));
        assert!(is_found(SidecarKind::LesionMask, "ms07_t1", "ms07_lesion_t1"));
        assert!(!is_found(SidecarKind::LesionMask, "P1", "P1_lesion1_mask_2"));
    }

    #[test]
    fn every_name_that_an_error_suggests_is_found() {
        for scan in ["P1", "sub-1_T1w", "sub-1_desc-preproc_T1w", "sub-1_ses-2", "ms07_t1"] {
            for (kind, form) in [
                (SidecarKind::BrainMask, "_desc-brain_mask"),
                (SidecarKind::LesionMask, "_lesion"),
                (SidecarKind::Segmentation, "_dseg"),
                (SidecarKind::LocationMap, "_location"),
            ] {
                let examples = kind.examples(&ScanName::of(Path::new(scan)));
                for example in examples.split(", ") {
                    let example = example.strip_suffix(".nii[.gz]").unwrap();
                    assert!(is_found(kind, scan, example), "{kind} {example} of {scan}");
                }
                assert!(examples.contains(form), "{examples}");
            }
        }
        let message = found(SidecarKind::BrainMask, "s/sub-1_T1w.nii", &["m/b.nii"]);
        assert!(message.contains("sub-1_desc-brain_mask.nii[.gz]"), "{message}");
    }

    #[test]
    fn a_file_named_like_an_output_of_no_scan_is_left_over() {
        let labels =
            ["l/P1_desc-anomalyscore.nii", "l/P1_desc-lesionrestored_mask.nii", "l/P1_lesion.nii"];
        let labels = files(SidecarKind::LesionMask, &labels);
        let Assigned { files, unused } = labels.assign(&["P1.nii"]);
        assert_eq!(*files[0].as_ref().unwrap(), Path::new("l/P1_lesion.nii"));
        assert_eq!(unused, [Path::new("l/P1_desc-lesionrestored_mask.nii")]);
    }

    #[test]
    fn none_or_several_are_errors_that_list_names() {
        let none = found(SidecarKind::BrainMask, "s/a.nii.gz", &["m/ab.nii.gz"]);
        assert!(none.contains("s/a.nii.gz in m") && none.contains("a_mask.nii[.gz]"), "{none}");
        let several = found(SidecarKind::BrainMask, "s/a.nii", &["m/a_mask.nii", "m/a_brain.nii"]);
        assert!(several.contains("m/a_mask.nii, m/a_brain.nii"), "{several}");
        let several = found(SidecarKind::Segmentation, "t1/a.nii", &["s/a.nii", "s/a_seg.nii"]);
        assert!(several.starts_with("2 segmentations of t1/a.nii in m"), "{several}");
    }

    #[test]
    fn of_several_scans_the_closest_gets_a_file_and_the_rest_is_named() {
        let labels = ["l/P1_mask_lesion.nii", "l/P2_lesion.nii"];
        let labels = files(SidecarKind::LesionMask, &labels);
        let Assigned { files, unused } = labels.assign(&["P1.nii", "P1_mask.nii"]);
        assert!(matches!(files[0], Err(VolumeError::NoSidecar { .. })));
        assert_eq!(files[1].as_ref().unwrap(), &Path::new("l/P1_mask_lesion.nii"));
        assert_eq!(unused, [Path::new("l/P2_lesion.nii")]);
    }

    #[test]
    fn contrasts_and_descriptions_of_one_session_share_a_file() {
        let scans =
            ["sub-1_T1w.nii", "sub-1_FLAIR.nii", "sub-1_desc-preproc_T1w.nii", "sub-2_T1w.nii"];
        let labels = ["l/sub-1_lesion.nii", "l/sub-2_lesion.nii"];
        let labels = files(SidecarKind::LesionMask, &labels);
        let found = labels.assign(&scans).files;
        let found: Vec<&str> =
            found.iter().map(|file| file.as_ref().unwrap().to_str().unwrap()).collect();
        assert_eq!(found[..3], ["l/sub-1_lesion.nii"; 3]);
        assert_eq!(found[3], "l/sub-2_lesion.nii");
        let labels =
            files(SidecarKind::LesionMask, &["l/sub-1_FLAIR_lesion.nii", "l/sub-1_T1w_lesion.nii"]);
        let found = labels.assign(&scans[..2]).files;
        assert_eq!(*found[0].as_ref().unwrap(), Path::new("l/sub-1_T1w_lesion.nii"));
        assert_eq!(*found[1].as_ref().unwrap(), Path::new("l/sub-1_FLAIR_lesion.nii"));
    }

    proptest! {
        /// Names of people, sessions and contrasts that are prefixes of each other, in every form that is accepted.
        #[test]
        fn no_two_scans_share_a_file_by_accident(
            scans in proptest::collection::btree_set("(P|sub-|P-)[12]{1,2}([-_][12])?(_ses-[12]{1,2})?(_desc-pre)?(_T1w|_FLAIR)", 1..8),
            ending in "_lesion|_label-lesion_mask|",
            kind in prop_oneof![Just(SidecarKind::LesionMask), Just(SidecarKind::BrainMask)],
        ) {
            let paths: Vec<PathBuf> = scans.iter().map(|scan| format!("l/{scan}{ending}.nii").into()).collect();
            let labels = SidecarFiles::new(Path::new("l"), kind, paths.clone());
            let assigned = labels.assign(&scans.iter().map(|scan| format!("s/{scan}.nii")).collect::<Vec<_>>());
            for (label, path) in assigned.files.iter().zip(&paths) {
                match label {
                    Ok(label) => prop_assert_eq!(*label, path.as_path()),
                    // Never another's: rather none.
                    Err(VolumeError::NoSidecar { .. }) => prop_assert!(kind == SidecarKind::BrainMask && !ending.is_empty()),
                    Err(error) => prop_assert!(false, "{error}"),
                }
            }
        }
    }
}
