//! Names of files: which file belongs to which scan, what an output of a scan is called, and how it is found again.
//!
//! Every verb asks here. A name is split at `_` into parts. A part `key-value` is an entity, as in
//! [BIDS](https://bids-specification.readthedocs.io); any other part is a word. Whole parts are compared, never
//! prefixes of text: `P1` is not `P1-2`. Names without entities follow the same rules.
//!
//! - [`ScanName`]: parts of a name, and names of outputs.
//! - [`SidecarFiles`]: a folder with one file for each scan, such as its brain mask.
//! - [`list_scans`]: the scans of a folder, and the files that are passed over with the reason; [`find_scans`] and
//!   [`find_scans_below`]: all of its files.
//! - [`subject_of`]: whose scan a file is.
mod belonging;
mod listing;
mod scan_list;
mod scan_name;
mod sidecar_kind;
mod sidecars;
mod subject;

pub use listing::{find_scans, find_scans_below};
pub use scan_list::{PassedOver, PassedOverReason, ScanList, in_subfolders, list_scans};
pub use scan_name::{ScanName, path_text};
pub use sidecar_kind::SidecarKind;
pub use sidecars::{Assigned, SidecarFiles};
pub use subject::subject_of;
