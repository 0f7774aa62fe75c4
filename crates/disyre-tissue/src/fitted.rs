//! Fitted tissue classes of either kind, and their file.
use std::fs;
use std::io::Write;
use std::path::Path;

use disyre_core::ndarray::{ArrayView2, ArrayViewMut2};
use disyre_core::{ShapeError, TissueModel, write_whole};
use serde::{Deserialize, Serialize};

use crate::codebook::Codebook;
use crate::error::TissueError;
use crate::mixture::GaussianMixture;

/// Tissue classes fitted to a cohort, of either kind, as a file holds them.
///
/// As JSON they are the fields of the kind beside its name: `{"model": "k-means", "centres": …}` or
/// `{"model": "gaussian-mixture", "weights": …, "means": …, "covariances": …}`.
///
/// ```
/// use disyre_tissue::{Codebook, FittedTissues};
///
/// let folder = tempfile::tempdir()?;
/// let path = folder.path().join("tissue.json");
/// let tissues = FittedTissues::from(Codebook::published());
/// tissues.save(&path)?;
/// assert_eq!(FittedTissues::load(&path)?, tissues);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "model", rename_all = "kebab-case")]
pub enum FittedTissues {
    /// Nearest of K centres.
    KMeans(Codebook),
    /// Posteriors of K Gaussians.
    GaussianMixture(GaussianMixture),
}

impl FittedTissues {
    /// Centres or means of the classes, `(k, channels)`, ascending.
    pub fn centres(&self) -> ArrayView2<'_, f64> {
        match self {
            Self::KMeans(codebook) => codebook.centres(),
            Self::GaussianMixture(mixture) => mixture.means(),
        }
    }

    /// Reads tissue classes from JSON.
    ///
    /// # Errors
    /// [`TissueError::Read`] or [`TissueError::Malformed`], both naming the file.
    pub fn load(path: &Path) -> Result<Self, TissueError> {
        let text =
            fs::read(path).map_err(|source| TissueError::Read { path: path.to_owned(), source })?;
        Self::parse(&text, path)
    }

    /// Understands the contents of such a file; `path` is for messages.
    ///
    /// # Errors
    /// [`TissueError::Malformed`].
    pub fn parse(text: &[u8], path: &Path) -> Result<Self, TissueError> {
        let malformed = |source| TissueError::Malformed { path: path.to_owned(), source };
        serde_json::from_slice(text).map_err(malformed)
    }

    /// Writes the classes as JSON, all of them or nothing.
    ///
    /// # Errors
    /// [`TissueError::Write`] naming the file.
    pub fn save(&self, path: &Path) -> Result<(), TissueError> {
        let written = write_whole(path, |file| {
            serde_json::to_writer_pretty(&mut *file, self)?;
            file.write_all(b"\n")
        });
        written.map_err(|source| TissueError::Write { path: path.to_owned(), source })
    }
}

impl From<Codebook> for FittedTissues {
    fn from(codebook: Codebook) -> Self {
        Self::KMeans(codebook)
    }
}

impl From<GaussianMixture> for FittedTissues {
    fn from(mixture: GaussianMixture) -> Self {
        Self::GaussianMixture(mixture)
    }
}

impl TissueModel for FittedTissues {
    fn classes(&self) -> usize {
        self.centres().nrows()
    }

    fn soft(
        &self,
        intensities: ArrayView2<'_, f32>,
        memberships: ArrayViewMut2<'_, f32>,
    ) -> Result<(), ShapeError> {
        match self {
            Self::KMeans(codebook) => codebook.soft(intensities, memberships),
            Self::GaussianMixture(mixture) => mixture.soft(intensities, memberships),
        }
    }

    fn hard(&self, intensities: ArrayView2<'_, f32>, labels: &mut [u8]) -> Result<(), ShapeError> {
        match self {
            Self::KMeans(codebook) => codebook.hard(intensities, labels),
            Self::GaussianMixture(mixture) => mixture.hard(intensities, labels),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use disyre_core::ndarray::{Array3, array};

    fn mixture() -> GaussianMixture {
        let (means, third) =
            (array![[1.0 / 3.0], [2.0 / 3.0]], Array3::from_elem((2, 1, 1), 1.0 / 3.0));
        GaussianMixture::new(&[0.1, 0.9], means.view(), third.view()).unwrap()
    }

    #[test]
    fn saved_classes_of_either_kind_are_read_back_exactly() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("tissue.json");
        let centres = array![[1.0 / 3.0, 0.1], [2.0 / 3.0, 1e-300]];
        let codebook = Codebook::from_centres(centres.view()).unwrap();
        for tissues in [FittedTissues::from(codebook), mixture().into()] {
            tissues.save(&path).unwrap(); // the second time it replaces
            assert_eq!(FittedTissues::load(&path).unwrap(), tissues);
        }
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1);
    }

    #[test]
    fn a_file_that_holds_no_classes_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("tissue.json");
        assert!(matches!(FittedTissues::load(&path), Err(TissueError::Read { .. })));
        let bad = [
            "",
            "{",
            "[[0.1]]",
            r#"{"centres": [[0.1]]}"#,
            r#"{"model": "atlas", "centres": [[0.1]]}"#,
            r#"{"model": "k-means", "centres": [[0.1], [0.2, 0.3]]}"#,
            r#"{"model": "k-means", "centres": []}"#,
            r#"{"model": "k-means", "centres": [[0.1]], "center": 1}"#,
            r#"{"model": "gaussian-mixture", "weights": [1], "means": [[0.1]], "covariances": [[[0]]]}"#,
            r#"{"model": "gaussian-mixture", "weights": [1], "means": [[0.1]], "covariances": [[[1, 0]]]}"#,
            r#"{"model": "gaussian-mixture", "weights": [1], "means": [], "covariances": [[[1]]]}"#,
        ];
        for text in bad {
            std::fs::write(&path, text).unwrap();
            let error = FittedTissues::load(&path).unwrap_err();
            assert!(matches!(error, TissueError::Malformed { .. }), "{text}");
            assert!(error.to_string().contains("tissue.json"));
        }
        let error =
            FittedTissues::from(mixture()).save(&folder.path().join("no/folder")).unwrap_err();
        assert!(error.to_string().contains("folder"));
    }

    #[test]
    fn labels_are_those_of_the_kind_within() {
        let voxels = array![[0.1], [0.5], [0.9]];
        let label = |model: &dyn TissueModel| {
            let mut labels = [9; 3];
            model.hard(voxels.view(), &mut labels).unwrap();
            labels
        };
        assert_eq!(
            label(&FittedTissues::from(Codebook::published())),
            label(&Codebook::published())
        );
        assert_eq!(label(&FittedTissues::from(mixture())), label(&mixture()));
        assert_eq!(FittedTissues::from(mixture()).classes(), 2);
    }
}
