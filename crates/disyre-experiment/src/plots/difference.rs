//! Rows one below the other: the mean difference to the reference with its interval, and a ring for each case.

use plotters::prelude::*;

use super::canvas::{Area, Drawn, FAINT, Fault, colour, height, named_rows, picture, range, short};
use crate::{MeasureResult, Results, RowResult, score::Interval};

/// A row beside the reference.
struct Difference<'a> {
    row: &'a str,
    mean: Interval,
    cases: Vec<f64>,
}

pub(super) fn draw(measured: &MeasureResult, results: &Results, set: &str) -> Drawn {
    let Some(differences) = differences(measured, &results.reference) else { return Ok(None) };
    let (heading, level) = (measured.measure.heading(), 100.0 * results.bootstrap.level);
    let title = format!(
        "{heading}, {set}: minus {}; mean, {level:.0} % interval, rings: cases",
        short(&results.reference)
    );
    picture(height(differences.len(), 34), &title, |area| chart(area, &differences, heading))
        .map(Some)
}

/// The rows that are compared; `None` without any.
fn differences<'a>(measured: &'a MeasureResult, reference: &str) -> Option<Vec<Difference<'a>>> {
    let reference = measured.rows.iter().find(|row| row.row == reference)?;
    let of = |row: &'a RowResult| {
        let mean = row.against_reference.as_ref()?.paired.difference;
        let both = row.cases.iter().zip(&reference.cases);
        let cases = both.filter_map(|(a, b)| Some((*a)? - (*b)?)).collect();
        Some(Difference { row: &row.row, mean, cases })
    };
    let differences: Vec<Difference> = measured.rows.iter().filter_map(of).collect();
    (!differences.is_empty()).then_some(differences)
}

fn chart(area: &Area<'_>, rows: &[Difference<'_>], heading: &str) -> Result<(), Fault> {
    let ends = |row: &Difference<'_>| [row.mean.low, row.mean.high];
    let all = rows.iter().flat_map(|row| row.cases.iter().copied().chain(ends(row)));
    let x = range(all.chain([0.0]));
    let names: Vec<&str> = rows.iter().map(|row| row.row).collect();
    let x_name = format!("difference of {heading}");
    named_rows(area, &names, x, &x_name, |chart, height| {
        let zero = [SegmentValue::Exact(0), SegmentValue::Exact(rows.len() as i32)];
        chart.draw_series([PathElement::new(zero.map(|y| (0.0, y)), BLACK.stroke_width(1))])?;
        for (index, row) in rows.iter().enumerate() {
            let ring = |&x: &f64| Circle::new((x, height(index)), 3, FAINT.stroke_width(1));
            chart.draw_series(row.cases.iter().map(ring))?;
            let line = ends(row).map(|x| (x, height(index)));
            chart.draw_series([PathElement::new(line, colour(0).stroke_width(2))])?;
            chart.draw_series([Circle::new(
                (row.mean.value, height(index)),
                4,
                colour(0).filled(),
            )])?;
        }
        Ok(())
    })
}
