//! Properties of memberships and labels for codebooks of any size.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use disyre_core::TissueModel;
use disyre_core::ndarray::Array2;
use disyre_tissue::Codebook;
use proptest::prelude::*;

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
    fn json_gives_the_codebook_back(centres in table(1..9, 2)) {
        let codebook = Codebook::from_centres(centres.mapv(|c| f64::from(c) / 3.0).view());
        prop_assume!(codebook.is_ok());
        let text = serde_json::to_string(&codebook.as_ref().unwrap()).unwrap();
        prop_assert_eq!(serde_json::from_str::<Codebook>(&text).unwrap(), codebook.unwrap());
    }
}
