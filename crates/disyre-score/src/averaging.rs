//! How a measure of several cases is averaged: its name goes wherever the measure goes.

use std::fmt;

use serde::{Deserialize, Serialize};

/// Averaging of a measure over cases; no measure of several cases is named without it.
///
/// A mean over slices is a value of [`Exact`](crate::protocols::Exact) (`per_slice_`), for comparison with papers that
/// print it; no threshold is chosen by it, since it weighs a lesion by the number of slices that it crosses, which depends
/// on their thickness.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Averaging {
    /// Over the voxels of all cases together: large lesions outweigh small ones, and healthy cases count.
    Pooled,
    /// The mean of the values of the cases that have a lesion.
    PerVolume,
}

impl Averaging {
    /// Both.
    pub const ALL: [Self; 2] = [Self::Pooled, Self::PerVolume];

    /// Name in files and tables: `pooled` or `per_volume`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Pooled => "pooled",
            Self::PerVolume => "per_volume",
        }
    }
}

impl fmt::Display for Averaging {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_those_of_files() {
        for averaging in Averaging::ALL {
            let json = serde_json::to_string(&averaging).unwrap();
            assert_eq!(json, format!("\"{averaging}\""));
        }
    }
}
