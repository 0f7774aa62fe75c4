//! Trains the network of brain extraction on synthetic heads.
//!
//! ```sh
//! cargo run --release -p disyre-brain --example train_brain -- LABELS OUT [STEPS]
//! ```
//! LABELS is the folder of the SynthSeg training maps (`synthseg_2mm` below it is used if it is there). A run that was
//! stopped goes on where its last checkpoint was. With 0 steps it draws some training pairs into OUT/pairs.png.

use std::error::Error;
use std::path::Path;

use disyre_augment::HeadConfig;
use disyre_brain::{HeadPairs, SPACING_MM, model_config, read_head_maps, train_config};
use disyre_core::{Key, PairSource, ndarray::Array4};
use disyre_diffusion::{Device, TrainEvent, TrainRun, train};

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [labels, out, ..] = &arguments[..] else {
        return Err("usage: train_brain LABELS OUT [STEPS]".into());
    };
    let (labels, out) = (Path::new(labels), Path::new(out));
    let mut config = train_config();
    if let Some(steps) = arguments.get(2) {
        config.steps = steps.parse()?;
    }
    let maps = Some(labels.join("synthseg_2mm")).filter(|folder| folder.is_dir());
    let heads = read_head_maps(maps.as_deref().unwrap_or(labels), SPACING_MM)?;
    println!("{} label maps", heads.len());
    let key = Key::new(1).child("heads");
    let synthesiser = HeadConfig::default().build()?;
    let of = |name| HeadPairs::new(heads.clone(), synthesiser.clone(), key.child(name));
    let (pairs, validation) = (of("training"), of("validation"));
    std::fs::create_dir_all(out)?;
    if config.steps == 0 {
        return draw(&pairs, &out.join("pairs.png"));
    }
    let (model, device) = (model_config(), Device::cpu());
    let run = TrainRun {
        config: &config,
        model: &model,
        pairs: &pairs,
        validation: &validation,
        dir: out,
        initial: None,
        resume: true,
        stop: None,
        device,
    };
    train(&run, &mut show)?;
    Ok(())
}

fn show(event: TrainEvent) {
    match event {
        TrainEvent::Step { step, loss, seconds, .. } if step.is_multiple_of(25) => {
            println!("step {step}: loss {loss:.5}, {seconds:.2} s a step");
        }
        TrainEvent::Validation { step, errors } => println!("after step {step}: {errors:?}"),
        _ => {}
    }
}

/// Draws six rows of ten pairs: images above, masks below.
fn draw(pairs: &HeadPairs, path: &Path) -> Result<(), Box<dyn Error>> {
    const ROWS: usize = 6;
    const COLUMNS: usize = 10;
    let model = model_config();
    let [depth, height, width] = model.patch;
    let mut pixels = vec![0u8; ROWS * COLUMNS * 2 * height * width];
    for index in 0..ROWS * COLUMNS {
        let shape = (model.network.in_channels, depth, height, width);
        let [mut image, mut brain] = [(); 2].map(|()| Array4::zeros(shape));
        pairs.pair(index as u64, image.view_mut(), brain.view_mut())?;
        for (half, array) in [image, brain].iter().enumerate() {
            for ((channel, _, y, x), &value) in array.indexed_iter() {
                let row = ((index / COLUMNS) * 2 + half) * height + height - 1 - y;
                let column = index % COLUMNS * width + x;
                if channel == 1 {
                    pixels[row * COLUMNS * width + column] = (255.0 * value) as u8;
                }
            }
        }
    }
    let file = std::fs::File::create(path)?;
    let size = [COLUMNS * width, ROWS * 2 * height].map(|size| size as u32);
    let mut encoder = png::Encoder::new(file, size[0], size[1]);
    encoder.set_color(png::ColorType::Grayscale);
    encoder.write_header()?.write_image_data(&pixels)?;
    println!("{}", path.display());
    Ok(())
}
