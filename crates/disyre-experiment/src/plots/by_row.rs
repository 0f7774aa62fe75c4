//! Rows one below the other: a dot for the mean over cases, its interval, and a ring for each seed.

use plotters::prelude::*;

use super::canvas::{Drawn, FAINT, GRID, TEXT, colour, picture, range, room, short, text, tick};
use crate::{MeasureResult, Results, RowResult};

pub(super) fn draw(measured: &MeasureResult, results: &Results, set: &str) -> Drawn {
    let rows: Vec<&RowResult> = measured.rows.iter().filter(|r| r.per_volume.is_some()).collect();
    if rows.is_empty() {
        return Ok(None);
    }
    let level = 100.0 * results.bootstrap.level;
    let seeds = if results.seeds.len() > 1 { ", rings: seeds" } else { "" };
    let heading = measured.measure.heading();
    let title =
        format!("{heading} per volume, {set}: mean over cases, {level:.0} % interval{seeds}");
    let height = 40 + 56 + 34 * rows.len() as u32;
    picture(height, &title, |area| Ok(chart(area, &rows, &results.reference, heading)?)).map(Some)
}

fn chart(
    area: &super::canvas::Area<'_>,
    rows: &[&RowResult],
    reference: &str,
    heading: &str,
) -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
    let x = range(rows.iter().flat_map(|row| extent(row)).collect::<Vec<_>>().into_iter());
    let last = rows.len() as i32 - 1;
    // From the top down.
    let labels: Vec<String> = rows.iter().rev().map(|row| short(&row.row)).collect();
    let mut chart = ChartBuilder::on(area)
        .margin(8)
        .margin_right(24)
        .x_label_area_size(44)
        .y_label_area_size(room(labels.iter().map(String::as_str)))
        .build_cartesian_2d(x.clone(), (0..last.max(0)).into_segmented())?;
    let name = |position: &SegmentValue<i32>| match position {
        SegmentValue::CenterOf(row) => labels.get(*row as usize).cloned().unwrap_or_default(),
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
        .y_labels(rows.len())
        .y_label_formatter(&name)
        .label_style(text(TEXT, &BLACK))
        .draw()?;
    for (index, row) in rows.iter().enumerate() {
        let y = SegmentValue::CenterOf(last - index as i32);
        let colour = if row.row == reference { BLACK } else { colour(0) };
        let Some(mean) = row.per_volume else { continue };
        let line = [(mean.low, y.clone()), (mean.high, y.clone())];
        chart.draw_series([PathElement::new(line, colour.stroke_width(2))])?;
        if row.seeds.len() > 1 {
            let seeds = row.seeds.iter().filter_map(|seed| seed.mean);
            chart.draw_series(
                seeds.map(|x| Circle::new((x, y.clone()), 7, colour.stroke_width(1))),
            )?;
        }
        chart.draw_series([Circle::new((mean.value, y), 4, colour.filled())])?;
    }
    Ok(())
}

/// All that a row shows along x.
fn extent(row: &RowResult) -> impl Iterator<Item = f64> {
    let interval = row.per_volume.into_iter().flat_map(|mean| [mean.low, mean.high]);
    interval.chain(row.seeds.iter().filter_map(|seed| seed.mean))
}
