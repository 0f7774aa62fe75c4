//! Implants into a phantom: what changes, what stays, and that it comes out the same again.
#![allow(clippy::unwrap_used, reason = "the helpers of tests are tests too")]

mod support;

use disyre_core::Key;
use disyre_core::ndarray::Array3;
use disyre_implant::{ImplantError, LesionKind, Recipe};
use disyre_volume::{Scan, VolumeError, write_scan};
use support::World;

#[test]
fn each_kind_darkens_tissue_and_leaves_the_rest_of_the_scan_as_it_was() {
    let world = World::new();
    let host = world.read_host();
    assert!(host.verdict().is_good(), "{}", host.verdict());
    let before = &host.scan().volume.data;
    for (index, kind) in LesionKind::ALL.into_iter().enumerate() {
        let (recipe, implanted) =
            Recipe::make(&world.implanter(index), &host, "case", Key::new(3).child(index)).unwrap();
        assert!(recipe.lesions.iter().all(|lesion| lesion.kind == kind));
        let labelled = implanted.label.iter().filter(|&&label| label == 1).count();
        let volume: f64 = recipe.realised.iter().map(|lesion| lesion.volume_ml).sum();
        assert!((labelled as f64 * 0.008 - volume).abs() < 1e-9, "{}", kind.name());
        assert!(
            labelled > 0 && far_from(&implanted.label, 8, before, &implanted.data),
            "{}",
            kind.name()
        );
        let change: f64 = recipe.realised[0].mean_log_change;
        assert!(change < -0.02, "{}: {change}", kind.name());
        for (&before, &after) in before.iter().zip(&implanted.data) {
            assert_eq!(before == 0.0, after == 0.0, "the outline of the brain");
        }
    }
}

/// A lesion that lies over a ventricle leaves it as it is: a label has at least 45 % of the way from fluid to grey matter
/// (half of the share of tissue), here 35 % for the noise and for the error of the estimated shading.
#[test]
fn ventricles_under_a_lesion_keep_their_fluid() {
    let world = World::over_a_ventricle();
    let host = world.read_host();
    let levels = host.levels();
    let flat = support::without_shading(&host.scan().volume.data);
    // An estimated shading, and so the host's levels, have a free factor: white matter is at the upper quarter.
    let mut inside: Vec<f32> = flat.iter().copied().filter(|&value| value > 0.0).collect();
    inside.sort_by(f32::total_cmp);
    let factor = f64::from(inside[inside.len() * 3 / 4]) / levels.white;
    let least = factor * (levels.fluid + 0.35 * (levels.grey - levels.fluid));
    for kind in [LesionKind::AcuteStroke, LesionKind::ChronicStroke] {
        let index = LesionKind::ALL.iter().position(|other| *other == kind).unwrap();
        let (_, implanted) =
            Recipe::make(&world.implanter(index), &host, "case", Key::new(8)).unwrap();
        let label = &implanted.label;
        let labelled = label.iter().zip(&flat).filter(|(label, _)| **label == 1);
        let lowest = labelled.map(|(_, flat)| *flat).fold(f32::INFINITY, f32::min);
        assert!(f64::from(lowest) >= least, "{}: {lowest} {least}", kind.name());
        // Fluid between voxels of the label, along x: the lesion does lie over it.
        let rows = label.rows().into_iter().zip(flat.rows());
        let between: usize = rows
            .map(|(label, flat)| {
                let first = label.iter().position(|&label| label == 1).unwrap_or(0);
                let last = label.iter().rposition(|&label| label == 1).unwrap_or(0);
                (first..last).filter(|&x| flat[x] > 0.0 && f64::from(flat[x]) < least).count()
            })
            .sum();
        assert!(between >= 100, "{}: {between}", kind.name());
    }
}

/// Whether two images agree outside of the box of a label, widened by some voxels.
fn far_from(label: &Array3<u8>, voxels: usize, a: &Array3<f32>, b: &Array3<f32>) -> bool {
    let region = disyre_volume::foreground_box(label.view()).unwrap();
    let inside = |at: [usize; 3]| {
        (0..3).all(|axis| {
            at[axis] + voxels >= region.start[axis] && at[axis] < region.end[axis] + voxels
        })
    };
    a.indexed_iter().all(|((z, y, x), value)| inside([z, y, x]) || *value == b[[z, y, x]])
}

#[test]
fn noise_inside_a_lesion_is_that_of_the_scan() {
    let world = World::new();
    let host = world.read_host();
    let (_, implanted) = Recipe::make(&world.implanter(2), &host, "case", Key::new(4)).unwrap();
    // Differences of neighbours along x, within the lesion, before and after.
    let roughness = |data: &Array3<f32>| {
        let mut squares: Vec<f32> = data
            .indexed_iter()
            .filter(|((z, y, x), _)| {
                *x > 0
                    && implanted.label[[*z, *y, *x]] == 1
                    && implanted.label[[*z, *y, *x - 1]] == 1
            })
            .map(|((z, y, x), value)| (value - data[[z, y, x - 1]]).abs())
            .collect();
        squares.sort_by(f32::total_cmp);
        squares[squares.len() / 2]
    };
    let (before, after) = (roughness(&host.scan().volume.data), roughness(&implanted.data));
    assert!((0.6..1.3).contains(&(after / before)), "{before} {after}");
}

#[test]
fn a_recipe_gives_the_same_file_again_for_any_number_of_threads() {
    let world = World::new();
    let make = |threads: usize| {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        pool.install(|| {
            let host = world.read_host();
            Recipe::make(&world.implanter(3), &host, "sub-01_implant-1", Key::new(6)).unwrap()
        })
    };
    let ((recipe, implanted), (again, _)) = (make(1), make(3));
    assert_eq!(recipe, again);
    let path = world.at("recipe.json");
    std::fs::write(&path, serde_json::to_string(&recipe).unwrap()).unwrap();
    let (host, replayed) =
        Recipe::load(&path).unwrap().replay(&[world.host()], &world.shapes()).unwrap();
    let files = ["first.nii.gz", "second.nii.gz"].map(|name| world.at(name));
    write_scan(&files[0], host.scan(), implanted.data.view()).unwrap();
    write_scan(&files[1], host.scan(), replayed.data.view()).unwrap();
    let [first, second] = files.map(|file| std::fs::read(file).unwrap());
    assert_eq!(first, second);
    let stored = Scan::read(world.at("first.nii.gz")).unwrap();
    assert!(stored.volume.data.iter().all(|value| value.fract() == 0.0), "still uint8");
    assert_eq!(replayed.label, implanted.label);
}

#[test]
fn what_is_not_as_it_was_is_named() {
    let world = World::new();
    let host = world.read_host();
    let (recipe, _) = Recipe::make(&world.implanter(0), &host, "case", Key::new(6)).unwrap();
    let elsewhere = world.at("elsewhere.nii.gz");
    std::fs::copy(world.host(), &elsewhere).unwrap();
    let missing = recipe.replay(&[elsewhere], &world.shapes());
    assert!(
        matches!(missing, Err(ImplantError::Volume(VolumeError::MissingFile { name, .. })) if name.contains("sub-01"))
    );
    let other = Recipe { voxels_sha256: "0".into(), ..recipe.clone() };
    let otherwise = other.replay(&[world.host()], &world.shapes());
    assert!(matches!(otherwise, Err(ImplantError::NotReplayed { name, .. }) if name == "case"));
    let file = &format!("{}.nii.gz", recipe.lesions[0].shape.mask.name);
    let other = if file.contains("large") { "acute/middle.nii.gz" } else { "acute/large.nii.gz" };
    std::fs::copy(world.at("shapes").join(other), world.at("shapes").join(file)).unwrap();
    let changed = recipe.replay(&[world.host()], &world.shapes());
    assert!(matches!(changed, Err(ImplantError::Volume(VolumeError::ChangedFile { .. }))));
}
