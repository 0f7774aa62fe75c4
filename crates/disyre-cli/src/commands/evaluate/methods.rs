//! The rows of the table: the maps, those to compare with, and the methods that learn nothing.

use std::collections::HashSet;
use std::path::PathBuf;

use disyre::{AtlasDetector, HashedFile};

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
/// [`CliError::NotCompared`], [`CliError::SharedMap`], and those of reading an atlas.
pub(super) fn list_methods(
    arguments: &Evaluate,
    names: &[String],
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
    methods.extend(learning_free(arguments, names, pairs)?);
    number_equal_names(&mut methods);
    Ok(methods)
}

fn learning_free(
    arguments: &Evaluate,
    names: &[String],
    pairs: &[MapPair],
) -> Result<[Method; 3], CliError> {
    let no_scans = without_scans(arguments, names, pairs);
    let row = |name: &str, description: &str, source| Method {
        name: name.to_owned(),
        description: format!(
            "{description} of the scan; percentiles 2 and 98 of the brain become 0 and 1"
        ),
        source,
        not_measured: no_scans.clone(),
    };
    let atlas = arguments.atlas.as_deref().map(AtlasDetector::load).transpose()?;
    let known = atlas.as_ref().map(|atlas| scans_of_atlas(atlas, names, pairs));
    Ok([
        row("intensity (hyper)", "brightness", Source::Brightness),
        row("intensity (hypo)", "darkness, the negative brightness,", Source::Darkness),
        atlas_row(atlas, &known.unwrap_or_default(), no_scans.clone()),
    ])
}

/// Why methods that need scans cannot be measured, with the cases that have none; `None`: every case has one.
fn without_scans(arguments: &Evaluate, names: &[String], pairs: &[MapPair]) -> Option<String> {
    let cases = names.iter().zip(pairs).filter(|(_, pair)| pair.scan.is_none());
    let missing: Vec<&str> = cases.map(|(name, _)| name.as_str()).collect();
    let advice = match (&arguments.pairs, &arguments.scans) {
        (Some(_), _) => "fill the column scan of --pairs",
        (None, Some(_)) => "add the scans to the folder of --scans, named like their maps",
        (None, None) => "give --scans",
    };
    match missing.len() {
        0 => None,
        all if all == pairs.len() => Some(format!("not measured: {advice}")),
        _ => Some(format!("not measured: {advice} (there is no scan of {})", missing.join(", "))),
    }
}

fn atlas_row(atlas: Option<AtlasDetector>, known: &[&str], no_scans: Option<String>) -> Method {
    let no_atlas = || "not measured: give --atlas (`disyre atlas --healthy DIR -o ATLAS` makes it)";
    let scans = atlas.as_ref().map(|atlas| format!("{} ", atlas.atlas().scans()));
    let mut description = format!(
        "distance from the mean of {}healthy scans in standard deviations, in the template",
        scans.unwrap_or_default()
    );
    if !known.is_empty() {
        let cases = known.join(", ");
        note!("warning: the atlas was made from scans that are measured: {cases}");
        description += &format!("; it was made from scans that are measured: {cases}");
    }
    Method {
        name: "atlas |z|".to_owned(),
        description,
        not_measured: atlas.is_none().then(|| no_atlas().to_owned()).or(no_scans),
        source: Source::Atlas(atlas.map(Box::new)),
    }
}

/// Cases whose scan is, byte for byte, one that the atlas was made from.
fn scans_of_atlas<'a>(
    atlas: &AtlasDetector,
    names: &'a [String],
    pairs: &[MapPair],
) -> Vec<&'a str> {
    let hashes: HashSet<&str> =
        atlas.scans().iter().map(|scan| scan.file.sha256.as_str()).collect();
    // A file that cannot be read fails when it is measured.
    let is_known = |scan: &PathBuf| {
        HashedFile::of(scan).is_ok_and(|file| hashes.contains(file.sha256.as_str()))
    };
    let cases = names.iter().zip(pairs);
    let known = cases.filter(|(_, pair)| pair.scan.as_ref().is_some_and(is_known));
    known.map(|(name, _)| name.as_str()).collect()
}

/// Two methods of one name would be one row for readers.
fn number_equal_names(methods: &mut [Method]) {
    for index in 1..methods.len() {
        let (before, rest) = methods.split_at_mut(index);
        let is_taken = |name: &str| before.iter().any(|method| method.name == name);
        let name = rest[0].name.clone();
        let mut number = 1;
        while is_taken(&rest[0].name) {
            number += 1;
            rest[0].name = format!("{name} ({number})");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equal_names_are_numbered() {
        let method = |name: &str| Method {
            name: name.to_owned(),
            description: String::new(),
            source: Source::Scores,
            not_measured: None,
        };
        let mut methods = ["a", "a", "b", "a"].map(method);
        number_equal_names(&mut methods);
        assert_eq!(methods.map(|method| method.name), ["a", "a (2)", "b", "a (3)"]);
    }
}
