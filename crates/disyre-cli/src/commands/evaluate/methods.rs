//! The rows of the table: the maps, those to compare with, and the methods that learn nothing.

use std::path::{Path, PathBuf};

use disyre::AtlasDetector;

use super::{Evaluate, name_of};
use crate::error::CliError;
use crate::map_pairs::{MapPair, maps_to_compare};

/// A row: where its maps come from, and what it is called.
#[derive(Debug)]
pub(super) struct Method {
    pub(super) name: String,
    pub(super) description: String,
    pub(super) source: Source,
    /// Why the row cannot be measured.
    pub(super) not_measured: Option<String>,
}

/// Where the maps of a method come from.
#[derive(Debug)]
pub(super) enum Source {
    /// The maps that are measured: the column `score`.
    Scores,
    /// One file for each case.
    Files(Vec<PathBuf>),
    /// The scan's brightness.
    Brightness,
    /// The scan's darkness.
    Darkness,
    /// Distance from healthy scans; none where no atlas is given.
    Atlas(Option<Box<AtlasDetector>>),
}

/// All rows, in the order of the table.
///
/// # Errors
/// [`CliError::NotCompared`], and those of reading an atlas.
pub(super) fn list_methods(
    arguments: &Evaluate,
    pairs: &[MapPair],
) -> Result<Vec<Method>, CliError> {
    let given = arguments.pairs.as_ref().or(arguments.scores.as_ref());
    let name = arguments.name.clone().or_else(|| given.map(|path| name_of(path)));
    let place = given.map(|path| path.display().to_string()).unwrap_or_default();
    let scores = Method {
        name: name.unwrap_or_else(|| "maps".to_owned()),
        description: format!("the maps of {place}"),
        source: Source::Scores,
        not_measured: None,
    };
    let mut methods = vec![scores];
    for folder in &arguments.compare {
        methods.push(Method {
            name: name_of(folder),
            description: format!("the maps of {}", folder.display()),
            source: Source::Files(maps_to_compare(pairs, folder)?),
            not_measured: None,
        });
    }
    methods.extend(learning_free(arguments, pairs)?);
    number_equal_names(&mut methods);
    Ok(methods)
}

fn learning_free(arguments: &Evaluate, pairs: &[MapPair]) -> Result<[Method; 3], CliError> {
    let without = pairs.iter().filter(|pair| pair.scan.is_none()).count();
    let no_scans = (without > 0).then(|| {
        let all = pairs.len();
        format!("not measured: give --scans (the scans of {without} of {all} maps are not found)")
    });
    let row = |name: &str, description: &str, source| Method {
        name: name.to_owned(),
        description: format!(
            "{description} of the scan; percentiles 2 and 98 of the brain become 0 and 1"
        ),
        source,
        not_measured: no_scans.clone(),
    };
    Ok([
        row("intensity (hyper)", "brightness", Source::Brightness),
        row("intensity (hypo)", "darkness, the negative brightness,", Source::Darkness),
        atlas_row(arguments.atlas.as_deref(), no_scans.clone())?,
    ])
}

fn atlas_row(folder: Option<&Path>, no_scans: Option<String>) -> Result<Method, CliError> {
    let atlas = folder.map(AtlasDetector::load).transpose()?;
    let scans = atlas.as_ref().map(|atlas| format!("{} ", atlas.atlas().scans()));
    let no_atlas = || "not measured: give --atlas (`disyre atlas --healthy DIR -o ATLAS` makes it)";
    Ok(Method {
        name: "atlas |z|".to_owned(),
        description: format!(
            "distance from the mean of {}healthy scans in standard deviations, in the template",
            scans.unwrap_or_default()
        ),
        not_measured: atlas.is_none().then(|| no_atlas().to_owned()).or(no_scans),
        source: Source::Atlas(atlas.map(Box::new)),
    })
}

/// Two methods of one name would be one row for readers.
fn number_equal_names(methods: &mut [Method]) {
    for index in 1..methods.len() {
        let (before, rest) = methods.split_at_mut(index);
        let same = before.iter().filter(|method| method.name == rest[0].name).count();
        if same > 0 {
            rest[0].name += &format!(" ({})", same + 1);
        }
    }
}
