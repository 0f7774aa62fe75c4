//! Plots of results as SVG, drawn by `plotters`: rows with intervals, differences to the
//! reference, cases by row, a measure along a numeric axis.

mod by_axis;
mod by_case;
mod by_row;
mod canvas;
mod difference;

use std::path::PathBuf;

use crate::plan::folder_name;
use crate::{ExperimentError, Plan, Results};

/// Greatest number of cases that a plot by case shows.
const GREATEST_CASES: usize = 60;

/// A plot.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Plot {
    /// Name of its file without folder and extension.
    pub name: String,
    /// What it shows, for those who do not see it.
    pub caption: String,
    /// Name of the test set.
    pub set: String,
    /// Its SVG.
    pub svg: String,
}

impl Plot {
    /// Path below the folder of the experiment.
    pub fn path(&self) -> String {
        format!("plots/{}.svg", self.name)
    }
}

/// All plots of the results so far.
///
/// # Errors
/// [`ExperimentError::Plot`].
pub(crate) fn draw(results: &Results, plan: &Plan) -> Result<Vec<Plot>, ExperimentError> {
    let mut plots = Vec::new();
    for set in &results.test_sets {
        for measured in set.measures.iter().filter(|measured| !measured.rows.is_empty()) {
            let measure = measured.measure;
            let name = |kind: &str| folder_name(&format!("{}_{measure}_{kind}", set.name));
            let mut add = |name: String, caption: String, drawn: canvas::Drawn| {
                let path = PathBuf::from(format!("{name}.svg"));
                let svg = drawn.map_err(|source| ExperimentError::Plot { path, source })?;
                plots.extend(svg.map(|svg| Plot { name, caption, set: set.name.clone(), svg }));
                Ok::<_, ExperimentError>(())
            };
            let heading = measure.heading();
            let caption = format!("{heading} per volume, {}: rows with intervals", set.name);
            add(name("rows"), caption, by_row::draw(measured, results, &set.name))?;
            let caption = format!("{heading}, {}: difference to the reference", set.name);
            add(name("differences"), caption, difference::draw(measured, results, &set.name))?;
            if set.cases.len() <= GREATEST_CASES {
                let caption = format!("{heading}, {}: each case by row", set.name);
                add(name("cases"), caption, by_case::draw(measured, set))?;
            }
            for (index, axis) in plan.file.axes.iter().enumerate() {
                let caption = format!("{heading} per volume, {}, along {}", set.name, axis.key);
                let drawn = by_axis::draw(measured, plan, index, &set.name);
                add(name(&axis.key), caption, drawn)?;
            }
        }
    }
    Ok(plots)
}
