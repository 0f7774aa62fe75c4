//! Plots of results as SVG, drawn by `plotters`: rows with intervals, differences to the
//! reference, cases by row, a measure along a numeric axis.

mod by_axis;
mod by_case;
mod by_row;
mod canvas;
mod difference;

use std::path::PathBuf;

use crate::plan::folder_name;
use crate::{ExperimentError, MeasureResult, Plan, Results, SetResult};

/// Greatest number of cases and of rows that a plot by case shows: there are seven colours.
const GREATEST_CASES: usize = 60;
const GREATEST_ROWS: usize = 7;

/// A plot.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Plot {
    /// Name of its file without folder and extension.
    pub name: String,
    /// Its contents in words, for those who do not see it.
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

/// All plots of the results so far, and the errors of those that could not be drawn.
pub(crate) fn draw(results: &Results, plan: &Plan) -> (Vec<Plot>, Vec<ExperimentError>) {
    let (mut plots, mut errors) = (Vec::new(), Vec::new());
    for set in &results.test_sets {
        for measured in set.measures.iter().filter(|measured| !measured.rows.is_empty()) {
            for (kind, about, drawn) in of_measure(measured, set, results, plan) {
                let measure = measured.measure;
                let name = folder_name(&format!("{}_{measure}_{kind}", set.name));
                let caption = format!("{}, {}: {about}", measure.heading(), set.name);
                let path = PathBuf::from(format!("plots/{name}.svg"));
                match drawn {
                    Ok(None) => (),
                    Ok(Some(svg)) => {
                        plots.push(Plot { name, caption, set: set.name.clone(), svg });
                    }
                    Err(source) => errors.push(ExperimentError::Plot { path, source }),
                }
            }
        }
    }
    (plots, errors)
}

/// The plots of a measure: the end of each name, what it is about, and its SVG.
fn of_measure(
    measured: &MeasureResult,
    set: &SetResult,
    results: &Results,
    plan: &Plan,
) -> Vec<(String, String, canvas::Drawn)> {
    let add = |kind: &str, about: &str, drawn| (kind.to_owned(), about.to_owned(), drawn);
    let mut all = vec![
        add("rows", "per volume, rows with intervals", by_row::draw(measured, results, &set.name)),
        add(
            "differences",
            "difference to the reference",
            difference::draw(measured, results, &set.name),
        ),
    ];
    if set.cases.len() <= GREATEST_CASES && measured.rows.len() <= GREATEST_ROWS {
        all.push(add("cases", "each case by row", by_case::draw(measured, set)));
    }
    all.extend(plan.file.axes.iter().enumerate().map(|(index, axis)| {
        let about = format!("per volume, along {}", axis.key);
        (axis.key.clone(), about, by_axis::draw(measured, plan, index, &set.name))
    }));
    all
}
