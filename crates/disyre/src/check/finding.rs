//! [`CheckFinding`]: one result of a check, in words.

use std::error::Error as StdError;
use std::fmt;

use disyre_core::causes;
use serde::Serialize;

use super::CheckConfig;

/// Weight of a finding.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum CheckLevel {
    /// Nothing to do.
    Pass,
    /// The scan is used as it is; somebody should look.
    Warn,
    /// Training and detection refuse the scan, or would lose or misuse it.
    Fail,
}

/// Subject of a finding.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum CheckTopic {
    /// The file can be read, and is a scan.
    File,
    /// Affine, orientation, voxel sizes, field of view.
    Geometry,
    /// Values of the voxels.
    Intensity,
    /// The brain mask.
    Mask,
    /// Scans that come twice.
    Duplicates,
    /// Files of the folder that are no scans, or are not read.
    Listing,
}

/// One result of a check.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct CheckFinding {
    /// Subject.
    pub topic: CheckTopic,
    /// Weight.
    pub level: CheckLevel,
    /// The problem in words; empty where there is none.
    pub problem: String,
    /// The fix in words; empty where nothing is to be done.
    pub fix: String,
}

impl fmt::Display for CheckLevel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Pass => "pass",
            Self::Warn => "warn",
            Self::Fail => "fail",
        })
    }
}

impl fmt::Display for CheckTopic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::File => "file",
            Self::Geometry => "geometry",
            Self::Intensity => "intensity",
            Self::Mask => "mask",
            Self::Duplicates => "duplicates",
            Self::Listing => "listing",
        })
    }
}

impl CheckTopic {
    /// Subjects that every scan is checked for.
    pub(super) fn of_scans(config: &CheckConfig) -> &'static [Self] {
        match (config.headers_only, &config.masks) {
            (true, None) => &[Self::File, Self::Geometry, Self::Duplicates],
            (true, Some(_)) => &[Self::File, Self::Geometry, Self::Mask, Self::Duplicates],
            (false, None) => &[Self::File, Self::Geometry, Self::Intensity, Self::Duplicates],
            (false, Some(_)) => {
                &[Self::File, Self::Geometry, Self::Intensity, Self::Mask, Self::Duplicates]
            }
        }
    }
}

impl CheckFinding {
    pub(super) fn pass(topic: CheckTopic) -> Self {
        Self { topic, level: CheckLevel::Pass, problem: String::new(), fix: String::new() }
    }

    pub(super) fn warn(topic: CheckTopic, problem: impl Into<String>, fix: &str) -> Self {
        Self { topic, level: CheckLevel::Warn, problem: problem.into(), fix: fix.to_owned() }
    }

    pub(super) fn fail(topic: CheckTopic, problem: impl Into<String>, fix: &str) -> Self {
        Self { level: CheckLevel::Fail, ..Self::warn(topic, problem, fix) }
    }

    /// A failure by an error, whose message says what to do after a semicolon; if it doesn't, `fix` does.
    pub(super) fn error(topic: CheckTopic, error: &dyn StdError, fix: &str) -> Self {
        let message = error.to_string();
        let (problem, said) = message.rsplit_once("; ").unwrap_or((message.as_str(), fix));
        let causes = causes(error).map(|cause| format!(" ({cause})"));
        Self::fail(topic, problem.to_owned() + &causes.collect::<String>(), said)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use disyre_volume::VolumeError;

    #[test]
    fn an_error_is_a_problem_and_its_fix() {
        let error = VolumeError::SeveralVolumes { path: "a.nii".into(), count: 3 };
        let finding = CheckFinding::error(CheckTopic::File, &error, "replace it");
        assert_eq!(finding.problem, "a.nii holds 3 volumes, expected one");
        assert!(finding.fix.starts_with("extract one of them"), "{}", finding.fix);
        let source = std::io::Error::other("gone");
        let error = VolumeError::Read { path: "a.nii".into(), source };
        let finding = CheckFinding::error(CheckTopic::File, &error, "replace it");
        assert_eq!(finding.problem, "cannot read a.nii (gone)");
        assert_eq!((finding.fix.as_str(), finding.level), ("replace it", CheckLevel::Fail));
    }
}
