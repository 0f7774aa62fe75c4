//! [`ScanPage`]: the page of one scan, as plain data, and its HTML.

use askama::Template;
use disyre_core::Affine;
use serde::Serialize;

use crate::chart::IntensityChart;
use crate::planes::Plane;
use crate::policy::policy;
use crate::words::{Alarm, FindingRow, Marking, Words};
use crate::{Layer, LayerKind, PageGrid, PngImage, ReportError, rounded};

const STYLE: &str = include_str!("../assets/page.css");
const SCRIPT: &str = include_str!("../assets/viewer.js");

/// Findings that have pictures of their own, which need no script.
const PICTURED: usize = 3;

/// The page of one scan: maps, findings and facts.
///
/// ```
/// use disyre_core::ndarray::Array3;
/// use disyre_report::{ByteVolume, Layer, LayerKind, PageGrid, ScanPage};
///
/// let unit = [[1., 0., 0., 0.], [0., 1., 0., 0.], [0., 0., 1., 0.], [0., 0., 0., 1.]];
/// let grid = PageGrid { shape: [4, 3, 2], spacing_mm: [1.0; 3], world: unit, mni: None, file: unit };
/// let voxels = Array3::ones((2, 3, 4));
/// let volume = ByteVolume::new(voxels.view(), Array3::ones((2, 3, 4)).view(), (0.0, 1.0))?;
/// let scan = Layer { kind: LayerKind::Scan, unit: String::new(), volume };
/// let page = ScanPage::new("sub-<01>", grid, vec![scan]).render()?;
/// assert!(page.contains("sub-&#60;01&#62;") && !page.contains("http:"));
/// # Ok::<(), disyre_report::ReportError>(())
/// ```
#[derive(Debug, Clone)]
pub struct ScanPage {
    /// Name of the scan.
    pub name: String,
    /// File of the page of the cohort, beside this one.
    pub cohort: Option<String>,
    /// Grid of the maps.
    pub grid: PageGrid,
    /// Maps: a scan, and what there is beside it.
    pub layers: Vec<Layer>,
    /// Voxel `(x, y, z)` of the page that is shown first, where there is no finding.
    pub place: [usize; 3],
    /// Name and explanation of the score.
    pub score: [String; 2],
    /// The threshold and the alarm, where the score has thresholds.
    pub marking: Option<Marking>,
    /// Findings, the largest first.
    pub findings: Vec<FindingRow>,
    /// Doubts about the scan and the result, in words.
    pub doubts: Vec<String>,
    /// Subjects of the checks that were made, as "header and geometry"; said where there is no doubt.
    pub checked: String,
    /// Axial slices of the whole brain.
    pub overview: Option<PngImage>,
    /// Pictures of the preparation and of the severities.
    pub groups: Vec<PictureGroup>,
    /// Intensities inside the brain, before and after preparation.
    pub intensities: Option<[IntensityChart; 2]>,
    /// Facts in tables.
    pub facts: Vec<FactGroup>,
    /// All settings, as text.
    pub settings: String,
    /// Files beside the page, with what they hold.
    pub files: Vec<[String; 2]>,
}

/// Pictures that belong together.
#[derive(Debug, Clone)]
pub struct PictureGroup {
    /// Title.
    pub title: String,
    /// Its subject, and the way to read it.
    pub explanation: String,
    /// Pictures with their labels.
    pub pictures: Vec<LabelledPicture>,
}

/// A picture and its label.
#[derive(Debug, Clone)]
pub struct LabelledPicture {
    /// Label, which is also its text for who can't see it.
    pub label: String,
    /// Picture.
    pub picture: PngImage,
}

/// Facts under a title.
#[derive(Debug, Clone)]
pub struct FactGroup {
    /// Title.
    pub title: String,
    /// Name and value of each.
    pub rows: Vec<[String; 2]>,
}

impl FactGroup {
    /// A group without facts.
    pub fn new(title: &str) -> Self {
        Self { title: title.to_owned(), rows: Vec::new() }
    }

    /// The group with another fact.
    #[must_use]
    pub fn with(mut self, name: &str, value: impl Into<String>) -> Self {
        self.rows.push([name.to_owned(), value.into()]);
        self
    }
}

impl ScanPage {
    /// A page with maps alone.
    pub fn new(name: &str, grid: PageGrid, layers: Vec<Layer>) -> Self {
        let place = grid.shape.map(|voxels| voxels / 2);
        Self {
            name: name.to_owned(),
            cohort: None,
            grid,
            layers,
            place,
            score: [String::new(), String::new()],
            marking: None,
            findings: Vec::new(),
            doubts: Vec::new(),
            checked: String::new(),
            overview: None,
            groups: Vec::new(),
            intensities: None,
            facts: Vec::new(),
            settings: String::new(),
            files: Vec::new(),
        }
    }

    /// The page as HTML. Equal data give equal bytes.
    ///
    /// # Errors
    /// [`ReportError`]: a picture that can't be encoded, a template that can't be filled.
    pub fn render(&self) -> Result<String, ReportError> {
        let template = ScanTemplate {
            page: self,
            words: Words::of(self.marking.as_ref(), &self.findings),
            policy: policy(STYLE, SCRIPT),
            style: STYLE,
            script: SCRIPT,
            data: json(&ViewerData::of(self))?,
            sheets: self.sheets()?,
            figures: self.figures()?,
            planes: self.plane_views(),
            voxel: self.voxel_text(),
            version: env!("CARGO_PKG_VERSION"),
        };
        Ok(template.render()?)
    }

    /// The voxel that is shown first.
    fn start(&self) -> [usize; 3] {
        self.findings.first().map_or(self.place, |finding| finding.voxel)
    }

    fn plane_views(&self) -> [PlaneView; 3] {
        Plane::ALL.map(|plane| {
            let through = plane.axes()[2];
            PlaneView {
                id: plane.name().to_lowercase(),
                name: plane.name(),
                edges: plane.edges(),
                slices: self.grid.shape[through],
                first: self.start()[through] + 1,
            }
        })
    }

    /// Sides of a voxel in words.
    fn voxel_text(&self) -> String {
        let sides = self.grid.spacing_mm.map(rounded);
        format!("voxels of {} mm", sides.join(" × "))
    }

    fn alarm(&self) -> Option<&Alarm> {
        self.marking.as_ref().map(|marking| &marking.alarm)
    }

    /// Pictures of all slices of each layer, by its word.
    fn sheets(&self) -> Result<Vec<(&'static str, String)>, ReportError> {
        let sheet = |layer: &Layer| Ok((layer.kind.id(), layer.volume.sheet()?.data_uri()));
        self.layers.iter().map(sheet).collect()
    }

    /// Pictures of the first findings, or of the place that is shown first.
    fn figures(&self) -> Result<Vec<PlaceFigure>, ReportError> {
        let titled = |finding: &FindingRow| (finding.title(), finding.voxel);
        let mut places: Vec<_> = self.findings.iter().take(PICTURED).map(titled).collect();
        if places.is_empty() {
            places.push(("The highest score".to_owned(), self.place));
        }
        let kinds = [LayerKind::Scan, LayerKind::Restored, LayerKind::Residual, LayerKind::Score];
        let shown: Vec<&Layer> = kinds
            .iter()
            .filter_map(|&kind| self.layers.iter().find(|layer| layer.kind == kind))
            .collect();
        let figure = |(title, voxel): (String, [usize; 3])| {
            let row = |layer: &&Layer| {
                let picture = |plane: Plane| {
                    let picture = plane.picture(layer, &self.grid, voxel)?.data_uri();
                    let label =
                        format!("{}, {} plane", layer.kind.label(), plane.name().to_lowercase());
                    Ok((label, picture))
                };
                let planes =
                    Plane::ALL.into_iter().map(picture).collect::<Result<_, ReportError>>()?;
                Ok(FigureRow { label: layer.kind.label(), scale: scale(layer), planes })
            };
            let rows = shown.iter().map(row).collect::<Result<_, ReportError>>()?;
            Ok(PlaceFigure { title, rows })
        };
        places.into_iter().map(figure).collect()
    }

    /// Word of the overlay that is shown first: the score, by which findings are marked; empty where there is none.
    fn first_overlay(&self) -> &'static str {
        let there = self.layers.iter().any(|layer| layer.kind == LayerKind::Score);
        if there { LayerKind::Score.id() } else { "" }
    }
}

/// Ends of the colours of a layer, in words.
fn scale(layer: &Layer) -> String {
    let [low, high] = [layer.volume.low(), layer.volume.high()].map(|end| rounded(f64::from(end)));
    format!("{low} to {high} {}", layer.unit).trim_end().to_owned()
}

/// Pictures of a place that need no script.
#[derive(Debug)]
struct PlaceFigure {
    title: String,
    rows: Vec<FigureRow>,
}

#[derive(Debug)]
struct FigureRow {
    label: &'static str,
    scale: String,
    /// Text and address of each plane.
    planes: Vec<(String, String)>,
}

/// A value as JSON that can stand within a `<script>`.
fn json(value: &impl Serialize) -> Result<String, ReportError> {
    let text = serde_json::to_string(value)?;
    let escaped = [("<", "\\u003c"), (">", "\\u003e"), ("&", "\\u0026")];
    Ok(escaped.iter().fold(text, |text, (from, to)| text.replace(from, to)))
}

/// The template `scan.html` and what it shows.
#[derive(Debug, Template)]
#[template(path = "scan.html")]
struct ScanTemplate<'a> {
    page: &'a ScanPage,
    words: Words,
    policy: String,
    style: &'static str,
    script: &'static str,
    data: String,
    sheets: Vec<(&'static str, String)>,
    figures: Vec<PlaceFigure>,
    planes: [PlaneView; 3],
    voxel: String,
    version: &'static str,
}

/// A plane that the script draws.
#[derive(Debug)]
struct PlaneView {
    id: String,
    name: &'static str,
    edges: [&'static str; 4],
    slices: usize,
    /// Slice that is shown first, from 1.
    first: usize,
}

/// Data of the script `viewer.js`.
#[derive(Debug, Serialize)]
struct ViewerData<'a> {
    shape: [usize; 3],
    spacing: [f64; 3],
    world: &'a Affine,
    mni: Option<&'a Affine>,
    file: &'a Affine,
    start: [usize; 3],
    overlay: &'static str,
    /// Overlay values below this are hidden at first.
    hide: Option<f32>,
    layers: Vec<ViewerLayer<'a>>,
    findings: Vec<[usize; 3]>,
}

#[derive(Debug, Serialize)]
struct ViewerLayer<'a> {
    id: &'static str,
    label: &'static str,
    unit: &'a str,
    colours: Vec<u8>,
    signed: bool,
    low: f32,
    high: f32,
    columns: usize,
    sum: u64,
}

impl<'a> ViewerData<'a> {
    fn of(page: &'a ScanPage) -> Self {
        let layer = |layer: &'a Layer| {
            let colours = layer.kind.colours();
            ViewerLayer {
                id: layer.kind.id(),
                label: layer.kind.label(),
                unit: &layer.unit,
                colours: if layer.kind.is_overlay() {
                    colours.palette(255).concat()
                } else {
                    Vec::new()
                },
                signed: colours == crate::ColourMap::Signed,
                low: layer.volume.low(),
                high: layer.volume.high(),
                columns: layer.volume.columns(),
                sum: layer.volume.sum(),
            }
        };
        let PageGrid { shape, spacing_mm, world, mni, file } = &page.grid;
        Self {
            shape: *shape,
            spacing: *spacing_mm,
            world,
            mni: mni.as_ref(),
            file,
            start: page.start(),
            overlay: page.first_overlay(),
            hide: page.marking.as_ref().map(|marking| marking.threshold),
            layers: page.layers.iter().map(layer).collect(),
            findings: page.findings.iter().map(|finding| finding.voxel).collect(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ByteVolume;
    use disyre_core::ndarray::Array3;

    #[test]
    fn a_page_without_doubts_names_what_was_checked_and_nothing_else() {
        let unit = [0, 1, 2, 3].map(|row| [0, 1, 2, 3].map(|at| f64::from(u8::from(row == at))));
        let grid =
            PageGrid { shape: [4, 3, 2], spacing_mm: [1.0; 3], world: unit, mni: None, file: unit };
        let (voxels, inside) = (Array3::ones((2, 3, 4)), Array3::ones((2, 3, 4)));
        let volume = ByteVolume::new(voxels.view(), inside.view(), (0.0, 1.0)).unwrap();
        let scan = Layer { kind: LayerKind::Scan, unit: String::new(), volume };
        let page = ScanPage::new("a", grid, vec![scan]);
        assert!(page.render().unwrap().contains("No check is recorded."));
        let checked = ScanPage { checked: "header and geometry".to_owned(), ..page.clone() };
        assert!(checked.render().unwrap().contains("No warning about header and geometry."));
        let doubted = ScanPage { doubts: vec!["It moves.".to_owned()], ..checked };
        let html = doubted.render().unwrap();
        assert!(html.contains("<li>It moves.</li>") && !html.contains("No warning"));
    }
}
