//! Fonts, colours, marks and sizes that all plots share.

use std::error::Error as StdError;
use std::ops::Range;

use plotters::coord::Shift;
use plotters::coord::ranged1d::SegmentedCoord;
use plotters::coord::types::{RangedCoordf64, RangedCoordi32};
use plotters::prelude::*;
use plotters::style::text_anchor::{HPos, Pos, VPos};

/// A plot's SVG; `None` where there is nothing to plot.
pub(super) type Drawn = Result<Option<String>, Box<dyn StdError + Send + Sync>>;
/// Error within a plot.
pub(super) type Fault = Box<dyn StdError + Send + Sync>;
/// Where plots are drawn.
pub(super) type Area<'a> = DrawingArea<SVGBackend<'a>, Shift>;

/// A chart with names along y.
pub(super) type NamedRows<'a, 'b> =
    ChartContext<'a, SVGBackend<'b>, Cartesian2d<RangedCoordf64, SegmentedCoord<RangedCoordi32>>>;
/// Height along y of the n-th name from the top, of so many.
pub(super) type Height = SegmentValue<i32>;

/// Sizes in pixels.
pub(super) const WIDTH: u32 = 860;
pub(super) const TITLE: i32 = 16;
pub(super) const TEXT: i32 = 13;
/// Mean width of a letter of [`TEXT`]: backends of vectors cannot measure text.
const LETTER: f64 = 7.0;
/// Longest label in letters; longer ones end in an ellipsis.
const LONGEST_LABEL: usize = 44;

pub(super) const GRID: RGBColor = RGBColor(226, 226, 226);
pub(super) const FAINT: RGBColor = RGBColor(150, 150, 150);

/// Colours that people with any vision tell apart.
///
/// # Source
/// Okabe and Ito, "Color universal design" (2008), without yellow, which is too light on white.
const COLOURS: [RGBColor; 7] = [
    RGBColor(0, 114, 178),
    RGBColor(213, 94, 0),
    RGBColor(0, 158, 115),
    RGBColor(204, 121, 167),
    RGBColor(86, 180, 233),
    RGBColor(230, 159, 0),
    RGBColor(60, 60, 60),
];

/// Colour of the n-th row or line.
pub(super) fn colour(index: usize) -> RGBColor {
    COLOURS[index % COLOURS.len()]
}

/// Shape of the marks of a line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Shape {
    Dot,
    Triangle,
    Cross,
}

/// Shape of the n-th line: another one for every seven, so that those of one colour differ.
pub(super) fn shape(index: usize) -> Shape {
    [Shape::Dot, Shape::Triangle, Shape::Cross][index / COLOURS.len() % 3]
}

/// Draws onto a white picture and returns its SVG.
pub(super) fn picture(
    height: u32,
    title: &str,
    draw: impl FnOnce(&Area<'_>) -> Result<(), Fault>,
) -> Result<String, Fault> {
    let mut svg = String::new();
    {
        let root = SVGBackend::with_string(&mut svg, (WIDTH, height)).into_drawing_area();
        root.fill(&WHITE)?;
        let style = text(TITLE, &BLACK).pos(Pos::new(HPos::Left, VPos::Top));
        root.draw(&Text::new(title.to_owned(), (16, 14), style))?;
        let (_, below) = root.split_vertically(40);
        draw(&below)?;
        root.present()?;
    }
    Ok(svg)
}

/// Style of text of a size.
pub(super) fn text<'a>(size: i32, colour: &RGBColor) -> TextStyle<'a> {
    ("sans-serif", size).into_font().color(colour)
}

/// Style of text that stands right of a mark, at its height.
pub(super) fn beside<'a>() -> TextStyle<'a> {
    text(TEXT, &BLACK).pos(Pos::new(HPos::Left, VPos::Center))
}

/// A label that fits beside an axis.
pub(super) fn short(label: &str) -> String {
    if label.chars().count() <= LONGEST_LABEL {
        return label.to_owned();
    }
    label.chars().take(LONGEST_LABEL - 1).chain(['…']).collect()
}

/// Labels that fit beside an axis. Those that differ stay different: by their ends, or by a number before them.
pub(super) fn shorts(labels: &[&str]) -> Vec<String> {
    let cut: [fn(&str) -> String; 2] = [short, without_middle];
    for cut in cut {
        let all: Vec<String> = labels.iter().map(|label| cut(label)).collect();
        let differ = |(index, label): (usize, &String)| {
            (0..index).all(|other| all[other] != *label || labels[other] == labels[index])
        };
        if all.iter().enumerate().all(differ) {
            return all;
        }
    }
    let numbered = labels.iter().enumerate();
    numbered.map(|(index, label)| short(&format!("{}: {label}", index + 1))).collect()
}

/// Start and end of a label that is too long.
fn without_middle(label: &str) -> String {
    let letters: Vec<char> = label.chars().collect();
    if letters.len() <= LONGEST_LABEL {
        return label.to_owned();
    }
    let end = (LONGEST_LABEL - 1) / 2;
    let start = LONGEST_LABEL - 1 - end;
    letters[..start].iter().chain(&['…']).chain(&letters[letters.len() - end..]).collect()
}

/// Room that labels beside an axis need, in pixels.
fn room(labels: &[String]) -> u32 {
    let longest = labels.iter().map(|label| label.chars().count()).max().unwrap_or(0);
    (longest as f64 * LETTER) as u32 + 28
}

/// Range that holds all values with a margin; measures in [0, 1] do not leave it.
pub(super) fn range(values: impl Iterator<Item = f64>) -> Range<f64> {
    let wider = |(low, high): (f64, f64), value: f64| (low.min(value), high.max(value));
    let (low, high) = values.fold((f64::INFINITY, f64::NEG_INFINITY), wider);
    let margin = ((high - low) * 0.08).max(0.005 * high.abs()).max(1e-6);
    let inside = low >= 0.0 && high <= 1.0;
    let clamp = |value: f64| if inside { value.clamp(0.0, 1.0) } else { value };
    clamp(low - margin)..clamp(high + margin)
}

/// A number at a tick of a range: as many decimals as tell ticks apart.
pub(super) fn tick(range: &Range<f64>) -> impl Fn(&f64) -> String + use<> {
    let digits = (1.0 - (range.end - range.start).max(1e-9).log10()).ceil().clamp(0.0, 6.0);
    move |value| format!("{value:.*}", digits as usize)
}

/// Height of a chart with so many names that are so far apart.
pub(super) fn height(names: usize, apart: u32) -> u32 {
    40 + 56 + apart * names as u32
}

/// Draws axes with names along y, from the top down, and what `draw` adds: it gets the height of each name.
pub(super) fn named_rows<'b>(
    area: &Area<'b>,
    names: &[&str],
    x: Range<f64>,
    x_name: &str,
    draw: impl FnOnce(&mut NamedRows<'_, 'b>, &dyn Fn(usize) -> Height) -> Result<(), Fault>,
) -> Result<(), Fault> {
    let last = names.len().saturating_sub(1) as i32;
    let upwards: Vec<String> = shorts(names).into_iter().rev().collect();
    let mut chart = ChartBuilder::on(area)
        .margin(8)
        .margin_right(24)
        .x_label_area_size(44)
        .y_label_area_size(room(&upwards))
        // An axis of a single segment would stay without its name, so it has an empty one beside it.
        .build_cartesian_2d(x.clone(), (0..last.max(1)).into_segmented())?;
    let name = |height: &Height| match height {
        SegmentValue::CenterOf(row) => upwards.get(*row as usize).cloned().unwrap_or_default(),
        _ => String::new(),
    };
    chart
        .configure_mesh()
        .disable_y_mesh()
        .light_line_style(TRANSPARENT)
        .bold_line_style(GRID)
        .axis_style(FAINT)
        .x_desc(x_name)
        .x_label_formatter(&tick(&x))
        .y_labels(names.len().max(2))
        .y_label_formatter(&name)
        .label_style(text(TEXT, &BLACK))
        .draw()?;
    draw(&mut chart, &|row| SegmentValue::CenterOf(last - row as i32))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_hold_all_values_and_measures_stay_between_0_and_1() {
        assert_eq!(range([0.0, 1.0].into_iter()), 0.0..1.0);
        let wide = range([-1.0, 1.0].into_iter());
        assert!(wide.start < -1.0 && wide.end > 1.0);
        let single = range([0.5].into_iter());
        assert!(single.start < 0.5 && 0.5 < single.end);
    }

    #[test]
    fn ticks_have_the_decimals_that_tell_them_apart() {
        assert_eq!(tick(&(0.0..1.0))(&0.2), "0.2");
        assert_eq!(tick(&(0.0..0.2))(&0.05), "0.05");
        assert_eq!(tick(&(0.0..30.0))(&5.0), "5");
    }

    #[test]
    fn long_labels_end_in_an_ellipsis() {
        assert_eq!(short("a label"), "a label");
        let label = short(&"x".repeat(80));
        assert!(label.ends_with('…') && label.chars().count() == LONGEST_LABEL);
    }

    #[test]
    fn labels_that_are_cut_stay_different() {
        let (start, end) = ("x".repeat(60), "y".repeat(60));
        let by_end = shorts(&[&format!("{start}a"), &format!("{start}b")]);
        assert!(by_end[0].ends_with('a') && by_end[1].ends_with('b'), "{by_end:?}");
        let by_number = shorts(&[&format!("{start}a{end}"), &format!("{start}b{end}")]);
        assert!(by_number[0].starts_with("1: ") && by_number[1].starts_with("2: "));
        let longest = by_end.iter().chain(&by_number).map(|label| label.chars().count()).max();
        assert_eq!(longest, Some(LONGEST_LABEL));
    }

    #[test]
    fn a_single_name_is_drawn_too() {
        let svg = picture(200, "title & more", |area| {
            named_rows(area, &["only <one>"], 0.0..1.0, "x", |chart, height| {
                chart.draw_series([Circle::new((0.5, height(0)), 4, BLACK.filled())])?;
                Ok(())
            })
        })
        .unwrap();
        assert!(svg.contains("only &lt;one&gt;") && svg.contains("title &amp; more"), "{svg}");
        assert_eq!(svg.matches("<circle").count(), 1);
    }
}
