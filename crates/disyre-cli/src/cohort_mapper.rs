//! [`CohortMapper`]: the scans of a folder, mapped one after another and recorded in a [`Manifest`].

use std::path::{Path, PathBuf};

use disyre::DetectionFiles;
use disyre::core::{sha256_of_bytes, sha256_of_file};
use disyre::volume::path_text;

use crate::error::{CliError, with_causes};
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
    /// Scans whose maps are saved and whose pages could not be made.
    without_page: Vec<(PathBuf, CliError)>,
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
        Ok(Self { record: record.transpose()?, mapper, input, without_page: Vec::new() })
    }

    /// Maps a scan, with its brain mask if it has one, unless it is done. A page that fails is warned of, and makes
    /// [`finish`](Self::finish) fail: the maps are done all the same.
    ///
    /// # Errors
    /// Those of the mask, of [`ScanMapper::run`] and of [`Manifest::add`]; a page that fails is none of them.
    pub(crate) fn run(
        &mut self,
        scan: &Path,
        mask: Result<Option<PathBuf>, CliError>,
    ) -> Result<(), CliError> {
        let Self { mapper, record, without_page, .. } = self;
        // The maps are dropped before the page reads its files.
        let map = |mask: Option<PathBuf>| mapper.run(scan, mask.as_deref(), None).map(drop);
        let Some(record) = record else {
            mask.and_then(map)?;
            without_page.extend(write_page(mapper, scan));
            return Ok(());
        };
        let name = path_text(scan.strip_prefix(self.input).unwrap_or(scan));
        let mut files = DetectionFiles::all(scan, mapper.output);
        // A page that is not asked for is nobody's output: `disyre report` may have made it.
        files.page = files.page.filter(|_| mapper.page);
        let page = files.page.clone();
        let files = files.paths().map(Path::to_owned).collect();
        let made_from_sha256 =
            record.made_from(scan, mask.as_ref().ok().and_then(Option::as_deref));
        let mut case = Case { name, made_from_sha256, files };
        // A page that failed is in no record, and missing all the same.
        let has_page = page.as_ref().is_none_or(|page| page.is_file());
        if has_page && record.manifest.is_done(&case) {
            return Ok(());
        }
        let maps_are_done =
            page.as_ref().is_some_and(|page| record.manifest.is_done_but_for(&case, page));
        let mapped = if maps_are_done { Ok(()) } else { mask.and_then(map) };
        if mapped.is_ok()
            && let Some(failed) = write_page(mapper, scan)
        {
            without_page.push(failed);
            case.files.retain(|file| Some(file) != page.as_ref());
        }
        record.manifest.add(case, mapped)
    }

    /// Ends the record, if one is kept.
    ///
    /// # Errors
    /// Those of [`Manifest::finish`]; [`CliError::Pages`] for pages that could not be made.
    pub(crate) fn finish(self) -> Result<(), CliError> {
        if let Some(Record { manifest, .. }) = self.record {
            if manifest.skipped() > 0 {
                note!("{} scans were done before and are passed over", manifest.skipped());
            }
            manifest.finish()?;
        }
        match self.without_page {
            failed if failed.is_empty() => Ok(()),
            failed => Err(CliError::Pages { folder: self.mapper.output.to_owned(), failed }),
        }
    }
}

/// Makes the page of a scan whose maps are saved. One that fails is warned of and returned.
fn write_page(mapper: &ScanMapper<'_>, scan: &Path) -> Option<(PathBuf, CliError)> {
    let error = mapper.write_page(scan).err()?;
    let (name, causes) = (scan.display(), with_causes(&error));
    note!("warning: {name}: its maps are saved, but its page is not made: {causes}");
    Some((scan.to_owned(), error))
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
