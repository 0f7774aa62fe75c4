//! Cases one below the other: a dot for each row, joined, so that pairs on the same case are seen.

use plotters::prelude::*;

use super::canvas::{
    Drawn, FAINT, Fault, GRID, TEXT, colour, picture, range, room, short, text, tick,
};
use crate::{MeasureResult, results::SetResult};

pub(super) fn draw(measured: &MeasureResult, set: &SetResult) -> Drawn {
    if !measured.rows.iter().any(|row| row.cases.iter().any(Option::is_some)) {
        return Ok(None);
    }
    let heading = measured.measure.heading();
    let title = format!("{heading}, {}: each case by row, mean over seeds", set.name);
    let legend = 18 * measured.rows.len() as u32 + 12;
    let height = 40 + legend + 56 + 24 * set.cases.len() as u32;
    picture(height, &title, |area| {
        let (above, below) = area.split_vertically(legend);
        key(&above, measured)?;
        chart(&below, measured, set, heading)
    })
    .map(Some)
}

/// Names of the rows beside their colours.
fn key(area: &super::canvas::Area<'_>, measured: &MeasureResult) -> Result<(), Fault> {
    for (index, row) in measured.rows.iter().enumerate() {
        let y = 10 + 18 * index as i32;
        area.draw(&Circle::new((24, y), 4, colour(index).filled()))?;
        area.draw(&Text::new(short(&row.row), (36, y - 7), text(TEXT, &BLACK)))?;
    }
    Ok(())
}

fn chart(
    area: &super::canvas::Area<'_>,
    measured: &MeasureResult,
    set: &SetResult,
    heading: &str,
) -> Result<(), Fault> {
    let values = measured.rows.iter().flat_map(|row| row.cases.iter().flatten().copied());
    let x = range(values.collect::<Vec<_>>().into_iter());
    let last = set.cases.len() as i32 - 1;
    let labels: Vec<String> = set.cases.iter().rev().map(|case| short(&case.name)).collect();
    let mut chart = ChartBuilder::on(area)
        .margin(8)
        .margin_right(24)
        .x_label_area_size(44)
        .y_label_area_size(room(labels.iter().map(String::as_str)))
        .build_cartesian_2d(x.clone(), (0..last.max(0)).into_segmented())?;
    let name = |position: &SegmentValue<i32>| match position {
        SegmentValue::CenterOf(case) => labels.get(*case as usize).cloned().unwrap_or_default(),
        _ => String::new(),
    };
    chart
        .configure_mesh()
        .disable_y_mesh()
        .light_line_style(TRANSPARENT)
        .bold_line_style(GRID)
        .axis_style(FAINT)
        .x_desc(heading)
        .x_label_formatter(&tick(&x))
        .y_labels(set.cases.len())
        .y_label_formatter(&name)
        .label_style(text(TEXT, &BLACK))
        .draw()?;
    for case in 0..set.cases.len() {
        let y = SegmentValue::CenterOf(last - case as i32);
        let dots = measured.rows.iter().map(|row| row.cases.get(case).copied().flatten());
        let shown = || dots.clone().flatten();
        let ends =
            [shown().fold(f64::INFINITY, f64::min), shown().fold(f64::NEG_INFINITY, f64::max)];
        if ends[0] <= ends[1] {
            let line = ends.map(|x| (x, y.clone()));
            chart.draw_series([PathElement::new(line, FAINT.stroke_width(1))])?;
        }
        let dots = dots.enumerate().filter_map(|(row, value)| Some((row, value?)));
        let dot = |(row, x)| Circle::new((x, y.clone()), 4, colour(row).mix(0.8).filled());
        chart.draw_series(dots.map(dot))?;
    }
    Ok(())
}
