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
    record: Option<Record>,
}

/// The record of a run, and what its cases are compared by.
#[derive(Debug)]
struct Record {
    manifest: Manifest,
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
        let record = manifest.map(|manifest| {
            settings_sha256(&mapper).map(|settings_sha256| Record { manifest, settings_sha256 })
        });
        Ok(Self { record: record.transpose()?, mapper, input })
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
        let map = |mask: Option<PathBuf>| {
            // The maps are dropped before the page reads its files.
            drop(self.mapper.run(scan, mask.as_deref(), None)?);
            self.mapper.write_page(scan)
        };
        let Some(record) = &mut self.record else { return mask.and_then(map) };
        let name = path_text(scan.strip_prefix(self.input).unwrap_or(scan));
        let mut files = DetectionFiles::all(scan, self.mapper.output);
        // A page that is not asked for is nobody's output: `disyre report` may have made it.
        files.page = files.page.filter(|_| self.mapper.page);
        let files = files.paths().map(Path::to_owned).collect();
        let made_from_sha256 =
            record.made_from(scan, mask.as_ref().ok().and_then(Option::as_deref));
        let case = Case { name, made_from_sha256, files };
        match record.manifest.is_done(&case) {
            true => Ok(()),
            false => record.manifest.add(case, mask.and_then(map)),
        }
    }

    /// Ends the record, if one is kept.
    ///
    /// # Errors
    /// Those of [`Manifest::finish`].
    pub(crate) fn finish(self) -> Result<(), CliError> {
        let Some(Record { manifest, .. }) = self.record else { return Ok(()) };
        if manifest.skipped() > 0 {
            note!("{} scans were done before and are passed over", manifest.skipped());
        }
        manifest.finish()
    }
}

/// Hash of all settings that the files of a scan depend on, and of the model.
fn settings_sha256(mapper: &ScanMapper<'_>) -> Result<String, CliError> {
    let ScanMapper { model, options, operating_point, .. } = mapper;
    let ScanMapper { volume_index, skull, portable, page, .. } = mapper;
    let settings = [
        model.detection_sha256(options)?,
        format!("{operating_point:?} {volume_index:?} {skull:?} {portable} {page}"),
    ];
    Ok(sha256_of_bytes(settings.join("\n").as_bytes()))
}

impl Record {
    /// Hash of settings, model, and scan and mask with their paths, which the sidecar holds.
    fn made_from(&self, scan: &Path, mask: Option<&Path>) -> Option<String> {
        let mut text = self.settings_sha256.clone();
        for file in [Some(scan), mask].into_iter().flatten() {
            text += &format!("\n{} {}", sha256_of_file(file).ok()?, path_text(file));
        }
        Some(sha256_of_bytes(text.as_bytes()))
    }
}
