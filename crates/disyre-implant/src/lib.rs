//! Semi-synthetic lesions: the shapes of real lesions in healthy brain scans, with the intensities of real lesions.
//!
//! Use this crate to make test cases with labels for any method that looks for lesions. `disyre implant` does it from the
//! command line. It shares no code with the synthetic anomalies that models are trained on (`disyre-dag`): a model must
//! not be tested with what it was taught.
//!
//! ```
//! # use disyre_core::{Grid, ndarray::Array3};
//! # use disyre_register::Template;
//! # let folder = tempfile::tempdir()?;
//! # let [scan, masks] = ["sub-01_T1w.nii.gz", "masks"].map(|name| folder.path().join(name));
//! # std::fs::create_dir(&masks)?;
//! # let mut template = Template::mni152()?;
//! # template.volume.data.zip_mut_with(&template.mask, |value, &inside| *value *= f32::from(inside));
//! # disyre_volume::write_volume(&scan, &template.volume)?;
//! # let mut grid = Grid::from_spacing([12; 3], [2.0; 3]);
//! # (0..3).for_each(|axis| grid.affine[axis][3] = [20.0, -30.0, 20.0][axis]);
//! # disyre_volume::write_labels(&masks.join("a.nii"), Array3::ones([12; 3]).view(), &grid)?;
//! use disyre_core::Key;
//! use disyre_implant::{Host, ImplantConfig, Implanter, LesionStatistics, ShapeLibrary};
//!
//! let table = LesionStatistics::stored()?; // or LesionStatistics::measure(folder of cases, …)
//! let host = Host::read(&scan, &table.measure.n4)?;
//! assert!(host.verdict().is_good()); // lesions will come to their places
//! let strokes = ImplantConfig { weights: [1.0, 0.0, 0.0, 0.0], ..ImplantConfig::default() };
//! let implanter = strokes.build(table, ShapeLibrary::read(&masks)?)?;
//! let lesions = implanter.draw(&host, Key::new(1).child("implant").child("sub-01"))?;
//! let case = Implanter::apply(&host, &lesions, implanter.shapes())?; // as often as wanted
//! assert!(case.lesions[0].volume_ml > 5.0 && case.lesions[0].mean_log_change < 0.0);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! Main types: [`LesionStatistics`] and its rows, [`LesionMeasurement`]; [`Host`], [`ShapeLibrary`], [`ImplantConfig`],
//! [`Implanter`]; [`LesionParams`] (all that is drawn), [`Implanted`], [`Recipe`].
//!
//! No features. It moves no tissue (no mass effect, no atrophy), draws no lesion into fluid, and knows T1-weighted scans
//! alone. What it assumes and how it compares with real lesions: `docs/IMPLANT.md`.
#![forbid(unsafe_code)]

mod appearance;
mod brain;
mod config;
mod distance;
mod edge;
mod error;
mod host;
mod implanter;
mod kind;
mod measure;
mod paint;
mod params;
mod placement;
mod recipe;
mod samples;
mod shapes;
mod smooth;
mod statistics;

pub use brain::TissueLevels;
pub use config::ImplantConfig;
pub use error::ImplantError;
pub use host::Host;
pub use implanter::Implanter;
pub use kind::LesionKind;
pub use measure::{LesionMeasurement, ProfileStep};
pub use paint::{Implanted, RealisedLesion};
pub use params::{Appearance, Cavity, LesionParams};
pub use placement::Placement;
pub use recipe::Recipe;
pub use shapes::{ShapeLibrary, ShapeSource};
pub use statistics::{LesionStatistics, MeasureConfig, MeasuredCase};
