//! [`ParticipantRun`]: the scans of one subject after another mapped into a derivative, with a record for each session.

use std::path::{Path, PathBuf};

use disyre::{DetectOptions, DetectionFiles, MaskThreshold, Model, SkullPolicy};

use super::brain_masks::brain_mask;
use super::dataset::{BidsDataset, BidsSession, BidsSubject};
use super::{Derivative, manifest_file, maps_folder};
use crate::cohort_mapper::CohortMapper;
use crate::error::{CliError, with_causes};
use crate::manifest::Manifest;
use crate::output_files::{ensure_distinct, ensure_writable};
use crate::scan_mapper::ScanMapper;

/// All that is the same for the subjects of a run.
#[derive(Debug)]
pub(crate) struct ParticipantRun<'a> {
    pub(crate) dataset: &'a BidsDataset,
    pub(crate) derivative: &'a Derivative<'a>,
    pub(crate) model: &'a Model,
    pub(crate) options: &'a DetectOptions,
    pub(crate) operating_point: MaskThreshold,
    /// Treatment of skulls where there is no mask.
    pub(crate) skull: SkullPolicy,
    pub(crate) suffix: &'a str,
    /// Whether scans that an earlier run mapped are passed over.
    pub(crate) go_on: bool,
    /// Whether each scan gets a page for a reader.
    pub(crate) page: bool,
}

/// How the work on some scans ended.
#[derive(Debug, Default)]
struct Ended {
    done: usize,
    total: usize,
    /// A scan, or a folder that failed as a whole.
    failed: Vec<(PathBuf, CliError)>,
}

impl Ended {
    fn add(&mut self, other: Self) {
        self.done += other.done;
        self.total += other.total;
        self.failed.extend(other.failed);
    }

    /// Exit status of a run on these scans alone.
    fn exit(&self) -> u8 {
        match (self.failed.is_empty(), self.total) {
            (true, _) => 0,
            (false, 1) => 1,
            (false, _) => 3,
        }
    }
}

impl ParticipantRun<'_> {
    /// Maps subjects, and prints of each how it ended. One that fails does not stop the others.
    ///
    /// # Errors
    /// With a single scan, its own error; with several, [`CliError::Cases`] listing those that failed.
    pub(crate) fn run(&self, subjects: Vec<BidsSubject>) -> Result<(), CliError> {
        let mut all = Ended::default();
        for subject in subjects {
            let label = subject.label.clone();
            let ended = self.subject(subject);
            let (exit, Ended { done, total, .. }) = (ended.exit(), &ended);
            print_line!("sub-{label}: exit {exit}, {done} of {total} scans done");
            all.add(ended);
        }
        let Ended { total, mut failed, .. } = all;
        if total == 1
            && let Some((_, error)) = failed.pop()
        {
            return Err(error);
        }
        if failed.is_empty() { Ok(()) } else { Err(CliError::Cases { total, failed }) }
    }

    fn subject(&self, subject: BidsSubject) -> Ended {
        let mut ended = Ended::default();
        if !subject.has_work() {
            let folder = self.dataset.folder.join(format!("sub-{}", subject.label));
            let error = CliError::NoBidsScan { suffix: self.suffix.to_owned() };
            ended.add(Ended { done: 0, total: 1, failed: vec![(folder, error)] });
        }
        for mut session in subject.sessions.into_iter().filter(BidsSession::has_work) {
            let unlisted = session.unlisted.take();
            let total = session.scans.len() + usize::from(unlisted.is_some());
            let mut of_session = Ended { total, ..Ended::default() };
            let mapped = match unlisted {
                Some(error) => Err(error),
                None => self.session(&session, &mut of_session),
            };
            if let Err(error) = mapped {
                let folder = self.dataset.folder.join(session.folder());
                of_session.failed.push((folder, error));
            }
            ended.add(of_session);
        }
        for (path, error) in &ended.failed {
            note!("failed: {}: {}", path.display(), with_causes(error));
        }
        ended
    }

    /// Maps the scans of a session.
    ///
    /// # Errors
    /// Those of the folder and of the record; those of scans are put into `ended`.
    fn session(&self, session: &BidsSession, ended: &mut Ended) -> Result<(), CliError> {
        let folder = self.derivative.folder.join(session.folder());
        let output = maps_folder(&folder);
        ensure_writable(&output)?;
        let manifest = Manifest::begin_file(&folder.join(manifest_file(self.suffix)), self.go_on)?;
        let mapper = ScanMapper {
            model: self.model,
            options: self.options.clone(),
            operating_point: self.operating_point,
            volume_index: None,
            skull: self.skull,
            output: &output,
            portable: true,
            page: self.page,
        };
        let mut mapper = CohortMapper::new(mapper, &self.dataset.folder, Some(manifest))?;
        for scan in &session.scans {
            let mask = self.mask(session, scan, &output);
            match mapper.run(scan, mask) {
                Ok(()) => ended.done += 1,
                Err(error) => ended.failed.push((scan.clone(), error)),
            }
        }
        if ended.done > 0 {
            self.derivative.describe_maps(self.suffix)?;
        }
        mapper.finish()
    }

    /// The brain mask of a scan, if there is one and the scan is where it belongs.
    fn mask(
        &self,
        session: &BidsSession,
        scan: &Path,
        output: &Path,
    ) -> Result<Option<PathBuf>, CliError> {
        session.ensure_own(scan)?;
        let outputs = session.scans.iter().flat_map(|other| {
            let files = DetectionFiles::of(other, output);
            let same = files == DetectionFiles::of(scan, output);
            same.then_some((other.as_path(), files.score))
        });
        ensure_distinct(outputs, &session.scans)?;
        brain_mask(self.dataset, session, scan, self.derivative.folder)
    }
}
