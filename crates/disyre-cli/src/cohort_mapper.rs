//! [`CohortMapper`]: the scans of a folder, mapped one after another and recorded in a [`Manifest`].

use std::path::{Path, PathBuf};

use disyre::DetectionFiles;
use disyre::core::{sha256_of_bytes, sha256_of_file};
use disyre::volume::path_text;

use crate::error::CliError;
use crate::manifest::{Case, Manifest};
use crate::scan_mapper::ScanMapper;

/// Maps scans, and passes over those that an earlier run has mapped.
#[derive(Debug)]
pub(crate) struct CohortMapper<'a> {
    pub(crate) mapper: ScanMapper<'a>,
    /// Folder of the scans, or the scan.
    pub(crate) input: &'a Path,
    /// None: nothing is recorded.
    pub(crate) manifest: Option<Manifest>,
    /// Of settings and model.
    settings_sha256: String,
}

impl<'a> CohortMapper<'a> {
    /// # Errors
    /// Those of [`Model::detection_sha256`](disyre::Model::detection_sha256).
    pub(crate) fn new(
        mapper: ScanMapper<'a>,
        input: &'a Path,
        manifest: Option<Manifest>,
    ) -> Result<Self, CliError> {
        let ScanMapper { model, options, operating_point, volume_index, skull, portable, .. } =
            &mapper;
        let settings = [
            model.detection_sha256(options)?,
            format!("{operating_point:?} {volume_index:?} {skull:?} {portable}"),
        ];
        let settings_sha256 = sha256_of_bytes(settings.join("\n").as_bytes());
        Ok(Self { mapper, input, manifest, settings_sha256 })
    }

    /// Maps a scan, with its brain mask if it has one, unless it is done.
    ///
    /// # Errors
    /// Those of the mask, of [`ScanMapper::run`] and of [`Manifest::add`].
    pub(crate) fn run(
        &mut self,
        scan: &Path,
        mask: Result<Option<PathBuf>, CliError>,
    ) -> Result<(), CliError> {
        let case = self.case(scan, mask.as_ref().ok().and_then(Option::as_deref));
        if self.manifest.as_mut().is_some_and(|manifest| manifest.is_done(&case)) {
            return Ok(());
        }
        let ended = mask.and_then(|mask| self.mapper.run(scan, mask.as_deref(), None).map(|_| ()));
        match &mut self.manifest {
            Some(manifest) => manifest.add(case, ended),
            None => ended,
        }
    }

    fn case(&self, scan: &Path, mask: Option<&Path>) -> Case {
        let name = path_text(scan.strip_prefix(self.input).unwrap_or(scan));
        let files = DetectionFiles::all(scan, self.mapper.output);
        let files = files.paths().map(Path::to_owned).collect();
        // Nothing is compared where nothing is recorded.
        let made_from_sha256 = self.manifest.as_ref().and_then(|_| self.made_from(scan, mask));
        Case { name, made_from_sha256, files }
    }

    /// Hash of settings, model, and scan and mask with their paths, which the sidecar holds.
    fn made_from(&self, scan: &Path, mask: Option<&Path>) -> Option<String> {
        let mut text = self.settings_sha256.clone();
        for file in [Some(scan), mask].into_iter().flatten() {
            text += &format!("\n{} {}", sha256_of_file(file).ok()?, path_text(file));
        }
        Some(sha256_of_bytes(text.as_bytes()))
    }
}
