//! Properties of memberships and labels for codebooks and mixtures of any size.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use disyre_core::ndarray::{Array2, Axis};
use disyre_core::{Key, TissueModel};
use disyre_tissue::{Codebook, KMeansConfig, MixtureConfig};
use proptest::prelude::*;

const ROWS: Axis = Axis(0);

fn table(rows: std::ops::Range<usize>, channels: usize) -> impl Strategy<Value = Array2<f32>> {
    prop::collection::vec(prop::collection::vec(0.0_f32..1.0, channels), rows)
        .prop_map(move |rows| Array2::from_shape_fn((rows.len(), channels), |(i, j)| rows[i][j]))
}

fn codebook_and_voxels() -> impl Strategy<Value = (Array2<f32>, Array2<f32>)> {
    (1usize..4).prop_flat_map(|channels| (table(1..9, channels), table(1..50, channels)))
}

proptest! {
    #[test]
    fn memberships_add_up_to_one_and_labels_are_nearest((centres, voxels) in codebook_and_voxels()) {
        let codebook = Codebook::from_centres(centres.mapv(f64::from).view());
        prop_assume!(codebook.is_ok()); // equal centres are refused
        let codebook = codebook.unwrap();
        let mut soft = Array2::zeros((voxels.nrows(), codebook.classes()));
        let mut hard = vec![0; voxels.nrows()];
        codebook.soft(voxels.view(), soft.view_mut()).unwrap();
        codebook.hard(voxels.view(), &mut hard).unwrap();
        for ((voxel, memberships), &label) in voxels.rows().into_iter().zip(soft.rows()).zip(&hard) {
            prop_assert!((memberships.sum() - 1.0).abs() < 1e-5);
            prop_assert!(memberships.iter().all(|&m| (0.0..=1.0).contains(&m)));
            let greatest = memberships.fold(0.0_f32, |a, &b| a.max(b));
            prop_assert!(memberships[usize::from(label)] >= greatest - 1e-6);
            let distances: Vec<f64> = codebook.centres().rows().into_iter()
                .map(|c| c.iter().zip(voxel).map(|(c, &v)| (c - f64::from(v)).powi(2)).sum())
                .collect();
            let least = distances.iter().copied().fold(f64::INFINITY, f64::min);
            prop_assert!(distances[usize::from(label)] <= least + 1e-15);
        }
    }

    #[test]
    fn the_class_of_a_voxel_is_how_many_borders_lie_below_it(
        (centres, voxels) in codebook_and_voxels(),
    ) {
        let codebook = Codebook::from_centres(centres.mapv(f64::from).view());
        prop_assume!(codebook.is_ok());
        let codebook = codebook.unwrap();
        prop_assume!(codebook.channels() == 1);
        let centres = codebook.centres().column(0).to_vec();
        let thresholds: Vec<f64> = centres.windows(2).map(|pair| 0.5 * (pair[0] + pair[1])).collect();
        // The thresholds themselves too, as far as intensities can lie on them.
        let on_them = thresholds.iter().map(|&threshold| threshold as f32);
        let voxels: Vec<f32> = voxels.iter().copied().chain(on_them).collect();
        let mut labels = vec![0; voxels.len()];
        let column = Array2::from_shape_vec((voxels.len(), 1), voxels.clone()).unwrap();
        codebook.hard(column.view(), &mut labels).unwrap();
        for (&voxel, &label) in voxels.iter().zip(&labels) {
            let below = thresholds.iter().filter(|&&threshold| threshold < f64::from(voxel)).count();
            prop_assert_eq!(below, usize::from(label));
        }
    }

    #[test]
    fn json_gives_the_codebook_back(centres in table(1..9, 2)) {
        let codebook = Codebook::from_centres(centres.mapv(|c| f64::from(c) / 3.0).view());
        prop_assume!(codebook.is_ok());
        let text = serde_json::to_string(&codebook.as_ref().unwrap()).unwrap();
        prop_assert_eq!(serde_json::from_str::<Codebook>(&text).unwrap(), codebook.unwrap());
    }

    #[test]
    fn no_restart_of_lloyds_iterations_is_better_than_the_exact_fit(
        samples in table(5..300, 1),
        starts in prop::collection::vec(table(4..5, 1), 8),
    ) {
        let config = KMeansConfig { classes: 4, max_iterations: 1000, ..KMeansConfig::default() };
        let exact = config.fit(samples.view(), Key::new(1));
        prop_assume!(exact.is_ok()); // too few distinct values
        let exact = exact.unwrap().inertia;
        for start in starts {
            let Ok(start) = Codebook::from_centres(start.mapv(f64::from).view()) else { continue };
            let restart = config.refine(samples.view(), &start).unwrap().inertia;
            prop_assert!(exact <= restart * (1.0 + 1e-12) + 1e-15, "{} above {}", exact, restart);
        }
    }

    #[test]
    fn memberships_of_a_mixture_add_up_to_one_and_it_survives_json(samples in table(12..60, 2)) {
        // Two channels of one codebook each; the seed must not need the `kmeans` crate.
        let start = Codebook::from_centres(samples.slice_axis(ROWS, (0..2).into()).mapv(f64::from).view());
        prop_assume!(start.is_ok());
        let fit = MixtureConfig { max_iterations: 20, ..MixtureConfig::default() }
            .refine(samples.view(), &start.unwrap())
            .unwrap();
        prop_assert!(fit.log_likelihood.is_finite());
        let mut soft = Array2::zeros((samples.nrows(), 2));
        fit.mixture.soft(samples.view(), soft.view_mut()).unwrap();
        for row in soft.rows() {
            prop_assert!((row.sum() - 1.0).abs() < 1e-5 && row.iter().all(|m| (0.0..=1.0).contains(m)));
        }
        let text = serde_json::to_string(&fit.mixture).unwrap();
        prop_assert_eq!(serde_json::from_str::<disyre_tissue::GaussianMixture>(&text).unwrap(), fit.mixture);
    }
}
