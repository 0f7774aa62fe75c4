//! The table of real lesions, and implants measured as real lesions are.
#![allow(clippy::unwrap_used, reason = "the helpers of tests are tests too")]

mod support;

use std::fs;
use std::path::Path;

use disyre_core::Key;
use disyre_implant::{ImplantError, LesionStatistics, MeasureConfig, Recipe};
use disyre_volume::{nonzero_mask, write_mask, write_scan};
use support::World;

/// Implants measured as real lesions are give back what was drawn: medians as shares of the way to fluid within .07,
/// the tenth and ninetieth percentile within .1, the correlation length within 4.1 mm.
#[test]
fn implants_measure_as_the_rows_that_they_were_drawn_from() {
    let world = World::new();
    let host = world.read_host();
    let cases = world.at("cases");
    let mut drawn = Vec::new();
    fs::remove_file(world.at("shapes/acute/small.nii.gz")).unwrap();
    for (index, kind) in [0, 2, 2].into_iter().enumerate() {
        let name = format!("case{index}");
        let key = Key::new(20).child(index);
        let (recipe, implanted) = Recipe::make(&world.implanter(kind), &host, &name, key).unwrap();
        let folder = cases.join(&name);
        fs::create_dir_all(&folder).unwrap();
        let file = |end: &str| folder.join(format!("{name}_{end}.nii.gz"));
        write_scan(&file("t1"), host.scan(), implanted.data.view()).unwrap();
        write_mask(&file("mask"), host.scan(), implanted.label.view()).unwrap();
        let brain = nonzero_mask(host.scan().volume.data.view());
        write_mask(&file("brain"), host.scan(), brain.view()).unwrap();
        drawn.push(recipe);
    }
    let table = LesionStatistics::measure(&cases, &MeasureConfig::default()).unwrap();
    for recipe in &drawn {
        let largest = table.lesions.iter().filter(|lesion| lesion.case == recipe.case);
        let found = largest.max_by(|a, b| a.volume_ml.total_cmp(&b.volume_ml)).unwrap();
        let expected = &recipe.lesions[0].appearance.fluid_shares;
        let way = 1.0 - found.fluid_log_ratio.exp();
        for (quantile, tolerance) in [(2, 0.1), (10, 0.07), (18, 0.1)] {
            let share = (1.0 - found.quantiles[quantile].exp()) / way;
            assert!(
                (share - expected[quantile]).abs() < tolerance,
                "{}: {share} {}",
                recipe.case,
                expected[quantile]
            );
        }
        let correlation = recipe.lesions[0].appearance.correlation_mm;
        let found_mm = found.correlation_mm.unwrap();
        assert!((found_mm - correlation).abs() < 4.1, "{found_mm} {correlation}");
        assert!((0.6..1.6).contains(&found.noise_ratio), "{}", found.noise_ratio);
    }
}

#[test]
fn a_table_is_read_as_it_was_written() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("table.json");
    let stored = LesionStatistics::stored().unwrap();
    stored.save(&path).unwrap();
    assert_eq!(LesionStatistics::load(&path).unwrap(), stored);
    assert_eq!(fs::read_to_string(&path).unwrap(), include_str!("../statistics/t1.json"));
    fs::write(&path, "{}").unwrap();
    let error = LesionStatistics::load(&path).unwrap_err().to_string();
    assert!(error.contains("table.json is not a table of lesions"), "{error}");
    let none = LesionStatistics::measure(folder.path(), &MeasureConfig::default());
    assert!(matches!(none, Err(ImplantError::NoCases { .. })));
    let nowhere = LesionStatistics::measure(Path::new("nowhere"), &MeasureConfig::default());
    assert!(matches!(nowhere, Err(ImplantError::File { .. })));
}

#[test]
fn the_stored_table_tells_the_pathologies_apart() {
    let table = LesionStatistics::stored().unwrap();
    let share = |pathology: &str, least_ml: f64| {
        let rows = table.lesions.iter().filter(|row| row.pathology.contains(pathology));
        let rows: Vec<_> = rows.filter(|row| row.volume_ml >= least_ml).collect();
        let sum: f64 = rows.iter().map(|row| row.bright_share).sum();
        (rows.len(), sum / rows.len() as f64)
    };
    let (gliomas, bright_gliomas) = share("glioma", 5.0);
    let (sclerosis, bright_sclerosis) = share("MS", 0.0);
    assert!(gliomas >= 7 && sclerosis >= 20, "{gliomas} {sclerosis}");
    assert!(bright_gliomas < 0.5 && bright_sclerosis < 0.3);
    assert!(table.lesions.iter().all(|row| row.edge_mm.is_none_or(|edge| edge < 5.0)));
    assert!(table.lesions.iter().all(|row| row.quantiles.is_sorted() && row.quantiles.len() == 21));
}
