//! Self-contained HTML pages that a person reads: the maps, findings and facts of one scan, and the table of a cohort.
//!
//! Use this crate to make such pages of maps that another program made. Use `disyre` to make them of the files of a detection.
//!
//! ```
//! use disyre_report::{CaseRow, CaseState, CohortPage};
//!
//! let failed = CaseState::Failed { error: "no voxel inside the brain".to_owned() };
//! let rows = vec![CaseRow::new("sub-01_T1w", failed)];
//! let page = CohortPage { title: "pilot".to_owned(), rows }.render()?;
//! assert!(page.contains("sub-01_T1w") && page.contains("no voxel inside the brain"));
//! # Ok::<(), disyre_report::ReportError>(())
//! ```
//!
//! Main types: [`ScanPage`] and [`CohortPage`], plain data that `render` turns into HTML; [`Layer`] and [`ByteVolume`], a map in
//! 8 bits; [`PngImage`] and [`Pixels`]; [`ColourMap`].
//!
//! No features. It reads and writes no file, knows no scan format, and its pages ask for nothing from a network.
#![forbid(unsafe_code)]

mod byte_volume;
mod chart;
mod cohort_page;
mod colours;
mod error;
mod layer;
mod planes;
mod png_image;
mod policy;
mod scan_page;
mod words;

pub use byte_volume::ByteVolume;
pub use chart::{Histogram, IntensityChart, rounded};
pub use cohort_page::{CaseResult, CaseRow, CaseState, CohortPage};
pub use colours::{ColourMap, Rgb};
pub use error::ReportError;
pub use layer::{Layer, LayerKind, PageGrid};
pub use planes::Plane;
pub use png_image::{Pixels, PngImage, Rectangle};
pub use scan_page::{FactGroup, LabelledPicture, PictureGroup, ScanPage};
pub use words::{Alarm, Brightness, FindingRow, Marking, ThresholdBasis};
