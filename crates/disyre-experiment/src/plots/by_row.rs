//! Rows one below the other: a dot for the mean over cases, its interval, and a ring for each seed.

use plotters::prelude::*;

use super::canvas::{Area, Drawn, Fault, colour, height, named_rows, picture, range};
use crate::{MeasureResult, OverCases, Results, RowResult};

pub(super) fn draw(measured: &MeasureResult, results: &Results, set: &str) -> Drawn {
    let means = measured.rows.iter().filter_map(|row| Some((row, row.per_volume?)));
    let rows: Vec<(&RowResult, OverCases)> = means.collect();
    if rows.is_empty() {
        return Ok(None);
    }
    let (heading, level) = (measured.measure.heading(), 100.0 * results.bootstrap.level);
    let seeds = if results.seeds.len() > 1 { ", rings: seeds" } else { "" };
    let title =
        format!("{heading} per volume, {set}: mean over cases, {level:.0} % interval{seeds}");
    let draw = |area: &Area<'_>| chart(area, &rows, &results.reference, heading);
    picture(height(rows.len(), 34), &title, draw).map(Some)
}

fn chart(
    area: &Area<'_>,
    rows: &[(&RowResult, OverCases)],
    reference: &str,
    heading: &str,
) -> Result<(), Fault> {
    let x = range(rows.iter().flat_map(|(row, mean)| extent(row, mean)));
    let names: Vec<&str> = rows.iter().map(|(row, _)| row.row.as_str()).collect();
    named_rows(area, &names, x, heading, |chart, height| {
        for (index, (row, mean)) in rows.iter().enumerate() {
            let colour = if row.row == reference { BLACK } else { colour(0) };
            let line = mean.ends().map(|x| (x, height(index)));
            chart.draw_series([PathElement::new(line, colour.stroke_width(2))])?;
            let seeds =
                row.seeds.iter().filter(|_| row.seeds.len() > 1).filter_map(|seed| seed.mean);
            let ring = |x| Circle::new((x, height(index)), 7, colour.stroke_width(1));
            chart.draw_series(seeds.map(ring))?;
            chart.draw_series([Circle::new((mean.value, height(index)), 4, colour.filled())])?;
        }
        Ok(())
    })
}

/// All that a row shows along x.
fn extent(row: &RowResult, mean: &OverCases) -> impl Iterator<Item = f64> {
    mean.ends().into_iter().chain(row.seeds.iter().filter_map(|seed| seed.mean))
}
