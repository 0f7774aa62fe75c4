//! A measure along a numeric axis: a line for each combination of the other axes, with intervals.

use std::ops::Range;

use plotters::coord::types::RangedCoordf64;
use plotters::prelude::*;
use toml::Value;

use super::canvas::{
    Area, Drawn, FAINT, Fault, GRID, Shape, TEXT, beside, colour, picture, range, shape, shorts,
    text, tick,
};
use crate::{MeasureResult, OverCases, Plan, Row};

/// A chart with numbers along both axes.
type Numbers<'a, 'b> =
    ChartContext<'a, SVGBackend<'b>, Cartesian2d<RangedCoordf64, RangedCoordf64>>;

/// A line: its name, and its points in ascending order.
struct Line {
    name: String,
    points: Vec<(f64, OverCases)>,
}

pub(super) fn draw(measured: &MeasureResult, plan: &Plan, axis: usize, set: &str) -> Drawn {
    let Some(lines) = lines(measured, plan, axis) else { return Ok(None) };
    let (heading, key) = (measured.measure.heading(), &plan.file.axes[axis].key);
    let title = format!("{heading} per volume, {set}, along {key}: mean over cases, interval");
    let legend = if lines.len() > 1 { 18 * lines.len() as u32 + 12 } else { 0 };
    picture(420 + legend, &title, |area| {
        let (above, below) = area.split_vertically(legend);
        name_lines(&above, &lines)?;
        chart(&below, &lines, heading, key)
    })
    .map(Some)
}

/// The lines along an axis, of its values that are numbers; `None` with fewer than two points on every line.
fn lines(measured: &MeasureResult, plan: &Plan, axis: usize) -> Option<Vec<Line>> {
    let others = |row: &Row| -> Vec<Value> {
        let values = row.values.iter().enumerate().filter(|(index, _)| *index != axis);
        values.map(|(_, value)| value.clone()).collect()
    };
    let mut lines: Vec<(Vec<Value>, Line)> = Vec::new();
    for row in &plan.rows {
        let Some(x) = row.values.get(axis).and_then(number) else { continue };
        let found = measured.rows.iter().find(|result| result.row == row.label);
        let Some(y) = found.and_then(|result| result.per_volume) else { continue };
        let others = others(row);
        match lines.iter_mut().find(|(of, _)| *of == others) {
            Some((_, line)) => line.points.push((x, y)),
            None => {
                let name = line_name(row, plan, axis);
                lines.push((others, Line { name, points: vec![(x, y)] }));
            }
        }
    }
    let mut lines: Vec<Line> = lines.into_iter().map(|(_, line)| line).collect();
    lines.iter_mut().for_each(|line| line.points.sort_by(|a, b| a.0.total_cmp(&b.0)));
    lines.iter().any(|line| line.points.len() > 1).then_some(lines)
}

/// The values of the other axes, by name.
fn line_name(row: &Row, plan: &Plan, axis: usize) -> String {
    let axes = plan.file.axes.iter().zip(&row.values).enumerate();
    let others = axes.filter(|(index, _)| *index != axis).map(|(_, (axis, value))| {
        let position = axis.values.iter().position(|other| other == value);
        let label = position.and_then(|position| axis.labels.get(position)).cloned();
        let name = axis.key.rsplit('.').next().unwrap_or_default();
        label.unwrap_or_else(|| format!("{name}={value}"))
    });
    others.collect::<Vec<_>>().join(", ")
}

/// A number, or the only one of a list.
fn number(value: &Value) -> Option<f64> {
    if let Some([value]) = value.as_array().map(Vec::as_slice) {
        return number(value);
    }
    value.as_float().or(value.as_integer().map(|value| value as f64))
}

fn name_lines(area: &Area<'_>, lines: &[Line]) -> Result<(), Fault> {
    let names: Vec<&str> = lines.iter().map(|line| line.name.as_str()).collect();
    for (index, name) in shorts(&names).into_iter().enumerate().filter(|_| lines.len() > 1) {
        let y = 10 + 18 * index as i32;
        area.draw(&PathElement::new([(16, y), (32, y)], colour(index).stroke_width(2)))?;
        let (at, style) = ((24, y), colour(index).filled());
        match shape(index) {
            Shape::Dot => area.draw(&Circle::new(at, 4, style))?,
            Shape::Triangle => area.draw(&TriangleMarker::new(at, 5, style))?,
            Shape::Cross => area.draw(&Cross::new(at, 4, colour(index).stroke_width(2)))?,
        }
        area.draw(&Text::new(name, (40, y), beside()))?;
    }
    Ok(())
}

fn chart(area: &Area<'_>, lines: &[Line], heading: &str, key: &str) -> Result<(), Fault> {
    let points = || lines.iter().flat_map(|line| &line.points);
    let x = range_of_axis(points().map(|(x, _)| *x));
    let y = range(points().flat_map(|(_, y)| y.ends()));
    let mut chart = ChartBuilder::on(area)
        .margin(8)
        .margin_right(24)
        .x_label_area_size(44)
        .y_label_area_size(72)
        .build_cartesian_2d(x.clone(), y.clone())?;
    chart
        .configure_mesh()
        .light_line_style(TRANSPARENT)
        .bold_line_style(GRID)
        .axis_style(FAINT)
        .x_desc(key)
        .y_desc(heading)
        .x_label_formatter(&|x| short_number(*x))
        .y_label_formatter(&tick(&y))
        .label_style(text(TEXT, &BLACK))
        .draw()?;
    for (index, line) in lines.iter().enumerate() {
        // Lines side by side, so that their intervals do not hide each other.
        let aside = 0.006 * (x.end - x.start) * (index as f64 - (lines.len() - 1) as f64 / 2.0);
        add(&mut chart, line, index, aside)?;
    }
    Ok(())
}

/// Adds a line with its dots and intervals, moved aside along x.
fn add(chart: &mut Numbers<'_, '_>, line: &Line, index: usize, aside: f64) -> Result<(), Fault> {
    let colour = colour(index);
    let at = |(x, y): &(f64, OverCases)| (x + aside, y.value);
    let bar = |(x, y): &(f64, OverCases)| {
        PathElement::new(y.ends().map(|y| (x + aside, y)), colour.stroke_width(1))
    };
    let path: Vec<(f64, f64)> = line.points.iter().map(at).collect();
    chart.draw_series([PathElement::new(path, colour.stroke_width(2))])?;
    chart.draw_series(line.points.iter().map(bar))?;
    let (points, style) = (line.points.iter().map(at), colour.filled());
    match shape(index) {
        Shape::Dot => chart.draw_series(points.map(|at| Circle::new(at, 4, style)))?,
        Shape::Triangle => chart.draw_series(points.map(|at| TriangleMarker::new(at, 5, style)))?,
        Shape::Cross => {
            chart.draw_series(points.map(|at| Cross::new(at, 4, colour.stroke_width(2))))?
        }
    };
    Ok(())
}

/// All values with a margin.
fn range_of_axis(values: impl Iterator<Item = f64>) -> Range<f64> {
    let (low, high) = values.fold((f64::INFINITY, f64::NEG_INFINITY), |(low, high), value| {
        (low.min(value), high.max(value))
    });
    let margin = ((high - low) * 0.06).max(1e-6);
    low - margin..high + margin
}

/// A number without decimals that say nothing.
fn short_number(value: f64) -> String {
    let text = format!("{value:.4}");
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}
