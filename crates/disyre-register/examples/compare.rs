//! Registers scans to MNI152 and prints how far each map is from a reference affine, over the template's brain.
//!
//! ```sh
//! cargo run --release -p disyre-register --example compare -- [--turn SEED] [--config FILE.json] [--save FOLDER] SCAN AFFINE...
//! ```
//! An affine is a text file of four rows: world millimetres of the template → of the scan. `--turn` first turns every
//! scan's header by up to 30° about each axis and moves it by 20 mm. Distances are in millimetres, times in ms.

use std::error::Error;
use std::f64::consts::PI;
use std::path::Path;
use std::time::Instant;

use disyre_core::rand::RngExt;
use disyre_core::{Affine, Key};
use disyre_register::{RegisterConfig, Registration, Template};
use disyre_volume::Scan;
use disyre_volume::affine::{compose, transform};

fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments: Vec<String> = std::env::args().skip(1).collect();
    let mut option = |name: &str| {
        let at = arguments.iter().position(|argument| argument == name)?;
        arguments.drain(at..at + 2).nth(1)
    };
    let turn: Option<u64> = option("--turn").map(|seed| seed.parse()).transpose()?;
    let config: RegisterConfig = match option("--config") {
        Some(path) => serde_json::from_str(&std::fs::read_to_string(path)?)?,
        None => RegisterConfig::default(),
    };
    let save = option("--save");
    let registrar = config.build()?;
    let template = Template::mni152()?;
    println!("scan\tmedian\tp95\tgreatest\tmetric\tms\tverdict\ttissue\tdice");
    for (index, pair) in arguments.chunks_exact(2).enumerate() {
        let mut scan = Scan::read(&pair[0])?;
        let mut reference = affine(&std::fs::read_to_string(&pair[1])?)?;
        if let Some(seed) = turn {
            let moved = random_turn(Key::new(seed).child(index));
            scan.volume.grid.affine = compose(&moved, &scan.volume.grid.affine);
            reference = compose(&moved, &reference);
        }
        let start = Instant::now();
        let found = registrar.register(&template, &scan.volume, None)?;
        let milliseconds = start.elapsed().as_millis();
        let distances = distances(&template, &found.scan_from_template, &reference);
        let name = scan.name().as_str().to_owned();
        println!("{name}\t{}", row(&found, distances, milliseconds));
        if let Some(folder) = &save {
            let rows =
                found.scan_from_template.map(|row| row.map(|value| value.to_string()).join(" "));
            std::fs::write(Path::new(folder).join(format!("{name}.txt")), rows.join("\n"))?;
        }
    }
    Ok(())
}

/// One line of the table, without the scan's name.
fn row(found: &Registration, mut distances: Vec<f64>, milliseconds: u128) -> String {
    distances.sort_by(f64::total_cmp);
    let quantile = |share: f64| distances[((distances.len() - 1) as f64 * share) as usize];
    let [median, p95, most] = [0.5, 0.95, 1.0].map(quantile);
    let Registration { metric, quality, verdict, .. } = found;
    let dice = quality.dice.map_or("none".to_owned(), |dice| format!("{dice:.3}"));
    let tissue = quality.tissue_information;
    format!(
        "{median:.2}\t{p95:.2}\t{most:.2}\t{metric:.4}\t{milliseconds}\t{verdict}\t{tissue:.3}\t{dice}"
    )
}

/// Reads four rows of four numbers.
fn affine(text: &str) -> Result<Affine, Box<dyn Error>> {
    let numbers = text.split_whitespace().map(str::parse).collect::<Result<Vec<f64>, _>>()?;
    let rows: Vec<[f64; 4]> =
        numbers.chunks_exact(4).map(|row| [row[0], row[1], row[2], row[3]]).collect();
    Ok(rows.try_into().map_err(|_| "an affine has four rows of four numbers")?)
}

/// Rotations of up to 30° about x, y and z, one after the other, and a shift of 20 mm in a random direction.
fn random_turn(key: Key) -> Affine {
    let mut rng = key.rng();
    let mut turn = [[1., 0., 0., 0.], [0., 1., 0., 0.], [0., 0., 1., 0.], [0., 0., 0., 1.]];
    for axis in 0..3 {
        let angle = (2.0 * rng.random::<f64>() - 1.0) * PI / 6.0;
        let (a, b) = ((axis + 1) % 3, (axis + 2) % 3);
        let mut about = [[1., 0., 0., 0.], [0., 1., 0., 0.], [0., 0., 1., 0.], [0., 0., 0., 1.]];
        (about[a][a], about[b][b]) = (angle.cos(), angle.cos());
        (about[a][b], about[b][a]) = (-angle.sin(), angle.sin());
        turn = compose(&about, &turn);
    }
    let direction = [0; 3].map(|_| rng.random::<f64>() - 0.5);
    let length = direction.iter().map(|d| d * d).sum::<f64>().sqrt();
    for (row, direction) in turn.iter_mut().zip(direction) {
        row[3] += 20.0 * direction / length;
    }
    turn
}

/// Millimetres between the images of every second brain voxel of the template under two maps.
fn distances(template: &Template, a: &Affine, b: &Affine) -> Vec<f64> {
    let inside = template.mask.indexed_iter().filter(|(_, inside)| **inside != 0).step_by(2);
    let points = inside.map(|((z, y, x), _)| [x as f64, y as f64, z as f64]);
    points
        .map(|voxel| transform(&template.volume.grid.affine, voxel))
        .map(|point| (transform(a, point), transform(b, point)))
        .map(|(p, q)| (0..3).map(|d| (p[d] - q[d]).powi(2)).sum::<f64>().sqrt())
        .collect()
}
