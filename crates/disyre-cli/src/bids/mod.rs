//! Datasets in the layout of BIDS: what is in one, and the derivative that `disyre bids` writes.

mod brain_masks;
mod dataset;
mod derivative;
mod group;
mod participant;

pub(crate) use dataset::{BidsDataset, BidsSelection, BidsSubject, label};
pub(crate) use derivative::Derivative;
pub(crate) use group::write_group;
pub(crate) use participant::ParticipantRun;

use std::path::{Path, PathBuf};

/// Record of the scans of one suffix in a session, in the session's folder of the derivative.
fn manifest_file(suffix: &str) -> String {
    format!("manifest_{suffix}.jsonl")
}

/// Folder of the maps of a session in the derivative.
fn maps_folder(session_folder: &Path) -> PathBuf {
    session_folder.join("anat")
}
