//! [`BidsDataset`]: the subjects, sessions and scans of a dataset.

use std::collections::BTreeSet;
use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf, absolute};

use disyre::volume::ScanName;
use serde_json::Value;

use crate::error::CliError;

/// A folder in the layout of BIDS.
#[derive(Debug)]
pub(crate) struct BidsDataset {
    /// Absolute.
    pub(crate) folder: PathBuf,
    /// `dataset_description.json`; null where there is none.
    pub(crate) description: Value,
}

/// A subject and its sessions.
#[derive(Debug)]
pub(crate) struct BidsSubject {
    /// Label without `sub-`.
    pub(crate) label: String,
    /// All with a folder, and one for scans in no session where there are such.
    pub(crate) sessions: Vec<BidsSession>,
}

/// The scans of a session, or those of a subject that lie in none.
#[derive(Debug)]
pub(crate) struct BidsSession {
    /// Label of the subject, without `sub-`.
    pub(crate) subject: String,
    /// Label without `ses-`.
    pub(crate) session: Option<String>,
    /// Scans of one suffix, all runs, sorted by name. What can't be read is among them.
    pub(crate) scans: Vec<PathBuf>,
    /// Why its folders can't be listed; it has no scans then.
    pub(crate) unlisted: Option<CliError>,
}

/// A part of a dataset.
#[derive(Debug, Clone, Copy)]
pub(crate) struct BidsSelection<'a> {
    /// Labels without `sub-`; none: all subjects.
    pub(crate) participants: &'a [String],
    /// Labels without `ses-`; none: all sessions, and scans in no session.
    pub(crate) sessions: &'a [String],
    /// Last part of the scans' names, as `T1w`.
    pub(crate) suffix: &'a str,
}

impl BidsDataset {
    /// Opens a dataset.
    ///
    /// # Errors
    /// [`CliError::NotBids`] for a folder without subjects; [`CliError::File`] for one that can't be listed, and for a
    /// description that is no JSON.
    pub(crate) fn open(folder: &Path) -> Result<Self, CliError> {
        let folder = absolute(folder).map_err(CliError::file("find", folder))?;
        if labels(&folder, "sub-")?.is_empty() {
            return Err(CliError::NotBids { folder });
        }
        let path = folder.join("dataset_description.json");
        let description = match fs::read(&path) {
            Err(error) if error.kind() == ErrorKind::NotFound => {
                note!("warning: {} is missing; BIDS asks for it", path.display());
                Value::Null
            }
            text => serde_json::from_slice(&text.map_err(CliError::file("read", &path))?)
                .map_err(|error| CliError::file("read", &path)(error.into()))?,
        };
        Ok(Self { folder, description })
    }

    /// Name in the description, else that of the folder.
    pub(crate) fn name(&self) -> String {
        let folder = || self.folder.file_name().unwrap_or_default().to_string_lossy().into_owned();
        self.description["Name"].as_str().map_or_else(folder, str::to_owned)
    }

    /// Subjects of a selection, sorted by label: those with a folder, and those that `participants.tsv` alone knows.
    ///
    /// # Errors
    /// [`CliError::NoParticipant`] naming labels that the dataset does not have; [`CliError::File`] for the dataset's own
    /// folder and table. Folders of a subject that can't be listed are among its sessions.
    pub(crate) fn subjects(
        &self,
        selection: &BidsSelection<'_>,
    ) -> Result<Vec<BidsSubject>, CliError> {
        let mut there = labels(&self.folder, "sub-")?;
        there.extend(self.listed_participants()?);
        let asked: BTreeSet<String> = match selection.participants {
            [] => there.clone(),
            asked => asked.iter().cloned().collect(),
        };
        let unknown: Vec<String> = asked.difference(&there).cloned().collect();
        if !unknown.is_empty() {
            return Err(CliError::NoParticipant { dataset: self.folder.clone(), labels: unknown });
        }
        Ok(asked.into_iter().map(|label| self.subject(label, selection)).collect())
    }

    fn subject(&self, label: String, selection: &BidsSelection<'_>) -> BidsSubject {
        let folder = self.folder.join(format!("sub-{label}"));
        let of_session = |session: Option<String>| {
            let mut of_session = BidsSession::new(&label, session);
            let anat = self.folder.join(of_session.folder()).join("anat");
            match scans(&anat, selection) {
                Ok(scans) => of_session.scans = scans,
                Err(error) => of_session.unlisted = Some(error),
            }
            of_session
        };
        let sessions = match selected_sessions(&folder, selection) {
            Ok(sessions) => sessions
                .into_iter()
                .map(of_session)
                .filter(|session| session.session.is_some() || session.has_work())
                .collect(),
            Err(error) => {
                vec![BidsSession { unlisted: Some(error), ..BidsSession::new(&label, None) }]
            }
        };
        BidsSubject { label, sessions }
    }

    /// Labels in the table of participants, which need not be there.
    fn listed_participants(&self) -> Result<BTreeSet<String>, CliError> {
        let path = self.folder.join("participants.tsv");
        let text = match fs::read(&path) {
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(BTreeSet::new()),
            text => text.map_err(CliError::file("read", &path))?,
        };
        let text = String::from_utf8_lossy(&text);
        let mut lines = text.trim_start_matches('\u{feff}').lines().map(|line| line.split('\t'));
        let column =
            lines.next().and_then(|mut head| head.position(|name| name.trim() == "participant_id"));
        let Some(column) = column else { return Ok(BTreeSet::new()) };
        let cells = lines.filter_map(|mut line| line.nth(column)).map(str::trim);
        Ok(cells
            .filter(|cell| is_safe(cell))
            .map(label)
            .filter(|label| !label.is_empty())
            .collect())
    }
}

impl BidsSubject {
    /// The scans of all sessions.
    pub(crate) fn scans(&self) -> impl Iterator<Item = &Path> {
        self.sessions.iter().flat_map(|session| session.scans.iter().map(PathBuf::as_path))
    }

    /// Whether there is anything to map, or that can't be listed.
    pub(crate) fn has_work(&self) -> bool {
        self.sessions.iter().any(BidsSession::has_work)
    }
}

impl BidsSession {
    fn new(subject: &str, session: Option<String>) -> Self {
        Self { subject: subject.to_owned(), session, scans: Vec::new(), unlisted: None }
    }

    /// Whether there is a scan, or a folder that can't be listed.
    pub(crate) fn has_work(&self) -> bool {
        !self.scans.is_empty() || self.unlisted.is_some()
    }

    /// Folder below that of a dataset: `sub-01/ses-2`, or `sub-01`.
    pub(crate) fn folder(&self) -> PathBuf {
        let subject = PathBuf::from(format!("sub-{}", self.subject));
        match &self.session {
            Some(session) => subject.join(format!("ses-{session}")),
            None => subject,
        }
    }

    /// Checks that the name of a scan says the subject and the session that it lies in.
    ///
    /// # Errors
    /// [`CliError::Misplaced`].
    pub(crate) fn ensure_own(&self, scan: &Path) -> Result<(), CliError> {
        let name = ScanName::of(scan);
        let own = name.entity("sub") == Some(&self.subject)
            && name.entity("ses") == self.session.as_deref();
        match own {
            true => Ok(()),
            false => Err(CliError::Misplaced { folder: self.folder() }),
        }
    }
}

/// A label without the key that it may come with, as `01` for `sub-01`.
pub(crate) fn label(text: &str) -> String {
    let key = ["sub-", "ses-"].into_iter().find_map(|key| text.strip_prefix(key));
    key.unwrap_or(text).to_owned()
}

/// Whether a label of a table can be a folder's name.
fn is_safe(label: &str) -> bool {
    !label.contains(['/', '\\', '\0'])
}

/// Labels of the subfolders `KEYLABEL` of a folder, which need not be there. A link that leads nowhere counts as one.
fn labels(folder: &Path, key: &str) -> Result<BTreeSet<String>, CliError> {
    let mut labels = BTreeSet::new();
    for entry in entries(folder)? {
        let name = entry.file_name().unwrap_or_default();
        if !name.as_encoded_bytes().starts_with(key.as_bytes()) || entry.is_file() {
            continue;
        }
        match name.to_str().and_then(|name| name.strip_prefix(key)) {
            Some(label) if !label.is_empty() => drop(labels.insert(label.to_owned())),
            _ => note!("warning: {} has no label and is passed over", entry.display()),
        }
    }
    Ok(labels)
}

/// The sessions of a subject's folder that were asked for; `None`, for scans in no session, comes first.
fn selected_sessions(
    folder: &Path,
    selection: &BidsSelection<'_>,
) -> Result<Vec<Option<String>>, CliError> {
    let there = labels(folder, "ses-")?.into_iter();
    Ok(match selection.sessions {
        [] => [None].into_iter().chain(there.map(Some)).collect(),
        asked => there.filter(|label| asked.contains(label)).map(Some).collect(),
    })
}

/// The scans of a suffix in a folder, which need not be there.
fn scans(folder: &Path, selection: &BidsSelection<'_>) -> Result<Vec<PathBuf>, CliError> {
    let is_scan = |path: &PathBuf| {
        let file = path.file_name().unwrap_or_default().to_string_lossy();
        let name = ScanName::of(path);
        let nifti = [".nii", ".nii.gz"].iter().any(|end| file.to_ascii_lowercase().ends_with(end));
        nifti && name.suffix() == Some(selection.suffix) && !name.is_output()
    };
    let mut scans: Vec<PathBuf> = entries(folder)?.into_iter().filter(is_scan).collect();
    scans.sort();
    Ok(scans)
}

/// Entries that are not hidden, of a folder that need not be there.
pub(super) fn entries(folder: &Path) -> Result<Vec<PathBuf>, CliError> {
    let listed = match fs::read_dir(folder) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Vec::new()),
        listed => listed.and_then(Iterator::collect::<Result<Vec<_>, _>>),
    };
    let listed = listed.map_err(CliError::file("list", folder))?;
    let shown =
        |path: &PathBuf| !path.file_name().unwrap_or_default().as_encoded_bytes().starts_with(b".");
    Ok(listed.into_iter().map(|entry| entry.path()).filter(shown).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A dataset with these files, all empty, and a table of participants.
    fn dataset(files: &[&str], participants: &str) -> (tempfile::TempDir, BidsDataset) {
        let folder = tempfile::tempdir().unwrap();
        for name in files {
            let path = folder.path().join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, []).unwrap();
        }
        fs::write(folder.path().join("participants.tsv"), participants).unwrap();
        fs::write(folder.path().join("dataset_description.json"), r#"{"Name": "a"}"#).unwrap();
        let dataset = BidsDataset::open(folder.path()).unwrap();
        (folder, dataset)
    }

    fn select<'a>(participants: &'a [String], sessions: &'a [String]) -> BidsSelection<'a> {
        BidsSelection { participants, sessions, suffix: "T1w" }
    }

    fn text(path: &Path) -> String {
        path.to_string_lossy().into_owned()
    }

    /// Label, session and names of the scans of each session.
    fn listed(dataset: &BidsDataset, selection: &BidsSelection<'_>) -> Vec<String> {
        let subjects = dataset.subjects(selection).unwrap();
        let line = |session: &BidsSession| {
            let names = session.scans.iter().map(|scan| ScanName::of(scan).to_string());
            format!("{}: {}", session.folder().display(), names.collect::<Vec<_>>().join(" "))
        };
        subjects.iter().flat_map(|subject| subject.sessions.iter().map(line)).collect()
    }

    const FILES: [&str; 11] = [
        "sub-02/anat/sub-02_run-2_T1w.nii.gz",
        "sub-02/anat/sub-02_run-1_T1w.nii",
        "sub-02/anat/sub-02_T2w.nii.gz",
        "sub-02/anat/sub-02_T1w.json",
        "sub-02/anat/._sub-02_T1w.nii.gz",
        "sub-02/anat/sub-02_desc-anomalyscore_T1w.nii.gz",
        "sub-01/ses-b/anat/sub-01_ses-b_T1w.nii.gz",
        "sub-01/ses-a/anat/sub-01_ses-a_T1w.nii.gz",
        "sub-03/func/sub-03_bold.nii.gz",
        "sub-notes.txt",
        "derivatives/x/sub-04/anat/sub-04_T1w.nii.gz",
    ];

    #[test]
    fn scans_are_found_by_subject_session_and_suffix() {
        let (_folder, dataset) = dataset(&FILES, "");
        let expected = [
            "sub-01/ses-a: sub-01_ses-a_T1w",
            "sub-01/ses-b: sub-01_ses-b_T1w",
            "sub-02: sub-02_run-1_T1w sub-02_run-2_T1w",
        ];
        assert_eq!(listed(&dataset, &select(&[], &[])), expected);
        let (one, session) = (["01".to_owned()], ["b".to_owned()]);
        assert_eq!(listed(&dataset, &select(&one, &session)), expected[1..2]);
        assert_eq!(listed(&dataset, &select(&[], &session)), expected[1..2]);
    }

    #[test]
    fn the_table_of_participants_knows_subjects_without_a_folder() {
        let (_folder, dataset) = dataset(&FILES, "age\tparticipant_id\n3\tsub-01\n4\tsub-09\n5\n");
        let subjects = dataset.subjects(&select(&[], &[])).unwrap();
        let labels: Vec<&str> = subjects.iter().map(|subject| subject.label.as_str()).collect();
        assert_eq!(labels, ["01", "02", "03", "09"]);
        let asked = ["08".to_owned(), "01".to_owned(), "../x".to_owned()];
        let error = dataset.subjects(&select(&asked, &[])).unwrap_err();
        let CliError::NoParticipant { labels, .. } = error else { panic!("{error}") };
        assert_eq!(labels, ["../x", "08"]);
    }

    #[test]
    fn a_scan_in_the_folder_of_another_is_refused() {
        let session = |session: Option<&str>| BidsSession::new("01", session.map(str::to_owned));
        let own = |of: BidsSession, name: &str| of.ensure_own(Path::new(name)).is_ok();
        assert!(own(session(None), "sub-01_T1w.nii"));
        assert!(own(session(Some("2")), "sub-01_ses-2_T1w.nii"));
        for name in ["sub-02_T1w.nii", "sub-1_T1w.nii", "sub-01_ses-1_T1w.nii"] {
            assert!(!own(session(None), name), "{name}");
        }
    }

    #[test]
    fn a_folder_that_cannot_be_listed_is_a_session_of_its_subject_alone() {
        let files = ["sub-01/anat/sub-01_T1w.nii", "sub-02/anat", "sub-03/ses-a/anat"];
        let (_folder, dataset) = dataset(&files, "");
        let subjects = dataset.subjects(&select(&[], &[])).unwrap();
        let unlisted = |subject: &BidsSubject| {
            let sessions = subject.sessions.iter().filter(|session| session.unlisted.is_some());
            sessions.map(|session| text(&session.folder())).collect::<Vec<_>>()
        };
        let found: Vec<_> = subjects.iter().map(unlisted).collect();
        assert_eq!(found, [vec![], vec!["sub-02".to_owned()], vec!["sub-03/ses-a".to_owned()]]);
        assert!(subjects.iter().all(BidsSubject::has_work));
    }

    #[test]
    fn a_session_without_a_scan_is_kept() {
        let files = ["sub-01/ses-a/anat/sub-01_ses-a_T1w.nii", "sub-01/ses-b/anat/x.txt"];
        let (_folder, dataset) = dataset(&files, "");
        let all = ["sub-01/ses-a: sub-01_ses-a_T1w", "sub-01/ses-b: "];
        assert_eq!(listed(&dataset, &select(&[], &[])), all);
        let session = ["b".to_owned()];
        let subjects = dataset.subjects(&select(&[], &session)).unwrap();
        assert!(subjects[0].sessions.len() == 1 && !subjects[0].has_work());
    }

    #[test]
    fn a_folder_without_subjects_is_no_dataset() {
        let folder = tempfile::tempdir().unwrap();
        let open = |folder: &Path| BidsDataset::open(folder);
        assert!(matches!(open(folder.path()), Err(CliError::NotBids { .. })));
        assert!(matches!(open(&folder.path().join("x")), Err(CliError::NotBids { .. })));
    }
}
