//! Cases one below the other: a dot for each row, joined, so that pairs on the same case are seen.

use plotters::prelude::*;

use super::canvas::{
    Area, Drawn, FAINT, Fault, beside, colour, height, named_rows, picture, range, shorts,
};
use crate::{MeasureResult, SetResult};

pub(super) fn draw(measured: &MeasureResult, set: &SetResult) -> Drawn {
    if !measured.rows.iter().any(|row| row.cases.iter().any(Option::is_some)) {
        return Ok(None);
    }
    let heading = measured.measure.heading();
    let title = format!("{heading}, {}: each case by row, mean over seeds", set.name);
    let legend = 18 * measured.rows.len() as u32 + 12;
    picture(legend + height(set.cases.len(), 24), &title, |area| {
        let (above, below) = area.split_vertically(legend);
        name_rows(&above, measured)?;
        chart(&below, measured, set, heading)
    })
    .map(Some)
}

/// Names of the rows beside their colours.
fn name_rows(area: &Area<'_>, measured: &MeasureResult) -> Result<(), Fault> {
    let names: Vec<&str> = measured.rows.iter().map(|row| row.row.as_str()).collect();
    for (index, name) in shorts(&names).into_iter().enumerate() {
        let y = 10 + 18 * index as i32;
        area.draw(&Circle::new((24, y), 4, colour(index).filled()))?;
        area.draw(&Text::new(name, (36, y), beside()))?;
    }
    Ok(())
}

fn chart(
    area: &Area<'_>,
    measured: &MeasureResult,
    set: &SetResult,
    heading: &str,
) -> Result<(), Fault> {
    let x = range(measured.rows.iter().flat_map(|row| row.cases.iter().flatten().copied()));
    let names: Vec<&str> = set.cases.iter().map(|case| case.name.as_str()).collect();
    named_rows(area, &names, x, heading, |chart, height| {
        for case in 0..set.cases.len() {
            let values = measured.rows.iter().enumerate();
            let dots = values.filter_map(|(row, result)| Some((row, result.cases[case]?)));
            let dots: Vec<(usize, f64)> = dots.collect();
            let low = dots.iter().map(|dot| dot.1).fold(f64::INFINITY, f64::min);
            let high = dots.iter().map(|dot| dot.1).fold(f64::NEG_INFINITY, f64::max);
            let line = [low, high].map(|x| (x, height(case)));
            let line = (low < high).then(|| PathElement::new(line, FAINT.stroke_width(1)));
            chart.draw_series(line)?;
            let dot = |&(row, x): &(usize, f64)| {
                Circle::new((x, height(case)), 4, colour(row).mix(0.8).filled())
            };
            chart.draw_series(dots.iter().map(dot))?;
        }
        Ok(())
    })
}
