//! [`Derivative`]: the dataset that `disyre bids` writes, and the files that describe it.

use std::fs;
use std::path::{Component, Path, PathBuf};

use serde_json::{Value, json};

use super::BidsDataset;
use crate::error::CliError;
use crate::output_files::{create_folder, ensure_writable, to_json, write_whole};

const DESCRIPTION: &str = "dataset_description.json";

/// Edition of BIDS that the names follow.
const BIDS_VERSION: &str = "1.10.0";

/// Files that BIDS has no name for, in the syntax of gitignore.
const BIDSIGNORE: &str = "*.csv\n*.html\n*.jsonl\n*.png\n*findings_*.tsv\n";

const README: &str = "\
# Anomaly maps

Made by disyre from the scans of the same names in the source dataset (see `dataset_description.json`). Research use only,
not for diagnosis.

- `desc-anomalyscore`: anomaly score on the grid of the scan, 0 outside the brain. Its JSON file has all settings, versions
  and the SHA-256 of the weights.
- `desc-restored`: the scan as the model believes it to be without anomaly.
- `desc-signed`: the calibrated score with its sign; below 0 is darker than healthy.
- `desc-findings`: mask of the findings, 1 inside, and their table.
- `desc-uncertainty`: standard deviation of the restorations over severities, where it was asked for.
- `manifest_SUFFIX.jsonl` of each subject or session: a line a scan with its state and the SHA-256 of its files.
- `group_SUFFIX.csv`: a row a scan of the whole dataset (`disyre bids BIDS_DIR OUT group`).
";

const MAPS: &str = "Made by disyre on the grid of the scan of the same name, 0 outside the brain. desc-anomalyscore: \
     anomaly score; desc-restored: the scan without anomaly; desc-signed: calibrated score with its sign; \
     desc-findings: mask of the findings; desc-uncertainty: standard deviation of the restorations over severities.";

/// The folder of the outputs, a derivative of a dataset.
#[derive(Debug)]
pub(crate) struct Derivative<'a> {
    /// Absolute.
    pub(crate) folder: &'a Path,
}

impl<'a> Derivative<'a> {
    /// Makes the folder if it is not there, and the files that describe it. Runs at the same time write the same bytes.
    ///
    /// # Errors
    /// Those of [`ensure_apart`](Self::ensure_apart); [`CliError::File`].
    pub(crate) fn open(folder: &'a Path, source: &BidsDataset) -> Result<Self, CliError> {
        Self::ensure_apart(folder, source)?;
        let path = folder.join(DESCRIPTION);
        ensure_writable(folder)?;
        create_folder(folder)?;
        write_if_other(&path, &(to_json(&description(source))? + "\n"))?;
        for (name, text) in [(".bidsignore", BIDSIGNORE), ("README.md", README)] {
            // Somebody may have added to them.
            if !folder.join(name).exists() {
                write_whole(&folder.join(name), text.as_bytes())?;
            }
        }
        Ok(Self { folder })
    }

    /// Checks that results in a folder, which need not be there, are not mixed with those of another dataset.
    ///
    /// # Errors
    /// [`CliError::ForeignDataset`] for a folder that holds another dataset, the source for instance;
    /// [`CliError::InsideDataset`] for one within the source, but for `derivatives/NAME`, and for one in a subject's folder of
    /// any dataset.
    pub(crate) fn ensure_apart(folder: &Path, source: &BidsDataset) -> Result<(), CliError> {
        let (real, source) = (real_path(folder), real_path(&source.folder));
        let path = real.join(DESCRIPTION);
        if real == source || is_there(&path) && !is_own(&path) {
            return Err(CliError::ForeignDataset { folder: folder.to_owned() });
        }
        for dataset in real.ancestors().skip(1) {
            let below: Vec<_> = real.strip_prefix(dataset).unwrap_or(&real).iter().collect();
            let apart = match dataset == source {
                true => below.len() > 1 && below[0] == "derivatives",
                false => {
                    let in_subject = below[0].as_encoded_bytes().starts_with(b"sub-");
                    !(in_subject && is_there(&dataset.join(DESCRIPTION)))
                }
            };
            if !apart {
                let (folder, dataset) = (folder.to_owned(), dataset.to_owned());
                return Err(CliError::InsideDataset { folder, dataset });
            }
        }
        Ok(())
    }

    /// Writes the facts that BIDS asks for of every map of a suffix, once for all: those in the folders inherit them.
    ///
    /// # Errors
    /// [`CliError::File`].
    pub(crate) fn describe_maps(&self, suffix: &str) -> Result<(), CliError> {
        let facts = json!({ "Description": MAPS, "SkullStripped": true });
        write_if_other(&self.folder.join(format!("{suffix}.json")), &(to_json(&facts)? + "\n"))
    }
}

/// Whether there is a file, or a link that leads nowhere.
fn is_there(path: &Path) -> bool {
    fs::symlink_metadata(path).is_ok()
}

/// A path without links and `..`; its last parts need not be there.
fn real_path(path: &Path) -> PathBuf {
    let mut real = PathBuf::new();
    for part in path.components() {
        match part {
            Component::ParentDir => drop(real.pop()),
            part => real.push(part),
        }
        real = fs::canonicalize(&real).unwrap_or(real);
    }
    real
}

/// Whether a description is one of this program's.
fn is_own(path: &Path) -> bool {
    let text = fs::read(path).unwrap_or_default();
    let description: Value = serde_json::from_slice(&text).unwrap_or_default();
    description["GeneratedBy"][0]["Name"] == "disyre"
}

fn description(source: &BidsDataset) -> Value {
    let mut from = json!({ "URL": file_url(&source.folder) });
    for (key, field) in [("DOI", "DatasetDOI"), ("Version", "DatasetVersion")] {
        if let Some(value) = source.description[field].as_str() {
            from[key] = json!(value);
        }
    }
    let mut description = json!({
        "Name": format!("Anomaly maps of {}", source.name()),
        "BIDSVersion": BIDS_VERSION,
        "DatasetType": "derivative",
        "GeneratedBy": [{
            "Name": "disyre",
            "Version": env!("CARGO_PKG_VERSION"),
            "CodeURL": env!("CARGO_PKG_REPOSITORY"),
        }],
        "SourceDatasets": [from],
    });
    if let Some(licence) = source.description["License"].as_str() {
        description["License"] = json!(licence);
    }
    description
}

/// The address of a file, with all but letters, digits and a few signs as `%` and two hexadecimal digits.
fn file_url(path: &Path) -> String {
    let plain = |byte: &u8| byte.is_ascii_alphanumeric() || b"/-._~".contains(byte);
    let byte = |byte: &u8| match plain(byte) {
        true => char::from(*byte).to_string(),
        false => format!("%{byte:02X}"),
    };
    format!("file://{}", path.as_os_str().as_encoded_bytes().iter().map(byte).collect::<String>())
}

/// Leaves a file alone that holds these bytes: others may be reading it.
fn write_if_other(path: &Path, text: &str) -> Result<(), CliError> {
    match fs::read(path) {
        Ok(there) if there == text.as_bytes() => Ok(()),
        _ => write_whole(path, text.as_bytes()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_has_no_letters_that_addresses_lack() {
        assert_eq!(file_url(Path::new("/a b/ü%.nii")), "file:///a%20b/%C3%BC%25.nii");
    }
}
