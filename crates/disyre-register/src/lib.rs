//! Affine registration of brain scans to a template.
//!
//! Use this crate to find the map between a scan and MNI space. `disyre` uses it for turned scans, for positions in
//! tables and for what is known of healthy brains at each place.
//!
//! ```
//! # #[cfg(feature = "template")] {
//! use disyre_register::{Freedom, RegisterConfig, Template, Verdict};
//!
//! let template = Template::mni152()?;
//! let mut scan = template.volume.clone();
//! scan.grid.affine[2][3] -= 20.0; // 20 mm down
//! let registrar = RegisterConfig { freedom: Freedom::Rigid, ..RegisterConfig::default() }.build()?;
//! let registration = registrar.register(&template, &scan, None)?;
//! assert_eq!(registration.verdict, Verdict::Good);
//! assert!((registration.scan_from_template[2][3] + 20.0).abs() < 0.2);
//! # }
//! # Ok::<(), disyre_register::RegisterError>(())
//! ```
//!
//! Main types: [`RegisterConfig`], [`Registrar`], [`Registration`], [`Quality`], [`Verdict`], [`Template`].
//!
//! Feature `template` (default): the MNI152 brain at 2 mm is part of the program.
//!
//! It does not deform, strip skulls, or register a scan to another scan of the same person better than to a template.
//! It cannot tell left from right: brains are nearly symmetric, so a mirrored scan fits as well as the right one, and
//! no rotation mends it.
#![forbid(unsafe_code)]

mod config;
mod error;
mod image;
mod local_correlation;
mod matrix;
mod mattes;
mod maximise;
mod objective;
mod pose;
mod quality;
mod registrar;
mod registration;
mod samples;
mod stages;
mod start;
mod subject;
mod template;
mod verdict;

pub use config::{Level, Metric, RegisterConfig, Start};
pub use error::RegisterError;
pub use pose::Freedom;
pub use quality::Quality;
pub use registrar::Registrar;
pub use registration::Registration;
pub use template::Template;
pub use verdict::{Reason, Verdict};
