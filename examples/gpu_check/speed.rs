//! How fast a device is, and how near to what it can do at most.

use std::path::Path;
use std::time::Instant;

use disyre::diffusion::{
    ColdRestorer, Device, DiffusionError, Engine, ModelConfig, Parameters, Precision, Work,
};
use disyre::phantom::PhantomConfig;
use disyre::{Detector, RunConfig};
use disyre_core::Key;

use super::{Bench, ENSEMBLE, Outcome, pairs};

/// Runs that are timed, after two in which a machine takes memory and records its operations.
const RUNS: usize = 10;

/// Operations and bytes that a device can do in a second at most; by operations for bf16 and f32.
struct Ceilings {
    operations: [f64; 2],
    bytes: f64,
}

/// Prints times of training, of ensembles and of a whole scan.
pub(crate) fn measure(device: Device, folder: &Path, batch: usize) -> Outcome<()> {
    let ceilings = ceilings(device).unwrap_or_else(|error| {
        println!("  not measured: {error}");
        None
    });
    if let Some(Ceilings { operations: [bf16, f32], bytes }) = ceilings {
        println!(
            "at most, measured: {:.0} TFLOP/s in bf16, {:.1} in f32, {:.0} GB/s",
            1e-12 * bf16,
            1e-12 * f32,
            1e-9 * bytes
        );
    }
    println!("speed, published network, patches of 128 x 128; GB/s counts every feature map once");
    println!("  {:30} batch        ms  patches/s  TFLOP/s    GB/s  of the most", "");
    for (index, (precision, bytes)) in
        [(Precision::Bf16, 2), (Precision::F32, 4)].into_iter().enumerate()
    {
        let bench = Bench { device, engine: Engine::Fused(precision), folder, batch };
        let most = ceilings.as_ref().map(|most| [most.operations[index], most.bytes]);
        let batch = Table { bytes, most }.fill(bench)?;
        // Without the library, say, the other measurements still count.
        told(beside_cudnn(device, precision, batch));
    }
    if let Device::Cuda(_) = device {
        told(score_a_scan(device, &RunConfig::reference(), [155, 240, 240]));
    }
    Ok(())
}

/// Prints what could not be measured.
fn told(measured: Outcome<()>) {
    measured.unwrap_or_else(|error| println!("  not measured: {error}"));
}

/// Rows of one precision.
struct Table {
    /// Of one number.
    bytes: u64,
    /// Operations and bytes of a second at most.
    most: Option<[f64; 2]>,
}

impl Table {
    /// Returns the batch that fitted.
    fn fill(&self, mut bench: Bench<'_>) -> Outcome<usize> {
        let model = ModelConfig { patch: [1, 128, 128], ..ModelConfig::default() };
        let work = model.network.work([128, 128])?;
        let pairs = pairs(model.patch)?;
        let steps = loop {
            match bench.learn(&model, &pairs, RUNS + 2) {
                Ok(steps) => break steps,
                Err(DiffusionError::Memory { fits, .. }) if fits > 0 => bench.batch = fits,
                Err(error) => return Err(error.into()),
            }
        };
        self.print("training step", fastest(steps[2..].iter().map(|s| s.seconds)), 3, bench, work);
        let (_, _, times) = bench.restore(&model, &pairs, RUNS + 2)?;
        let seconds = fastest(times[2..].iter().copied());
        self.print("ensemble of 4 severities", seconds, ENSEMBLE as u64, bench, work);
        Ok(bench.batch)
    }

    fn print(&self, what: &str, seconds: f64, passes: u64, bench: Bench<'_>, work: Work) {
        let Bench { engine, batch, .. } = bench;
        let rate = |per_pass: u64| (per_pass * passes * batch as u64) as f64 / seconds;
        let (operations, bytes) = (rate(work.operations), rate(self.bytes * work.numbers));
        let shares = self.most.map_or(String::new(), |[most_operations, most_bytes]| {
            let [a, b] = [operations / most_operations, bytes / most_bytes];
            format!("  {:.0} %, {:.0} %", 100.0 * a, 100.0 * b)
        });
        println!(
            "  {:30} {batch:5} {:9.2} {:10.0} {:8.1} {:7.0}{shares}",
            format!("{what}, {engine}"),
            1e3 * seconds,
            batch as f64 / seconds,
            1e-12 * operations,
            1e-9 * bytes,
        );
    }
}

fn fastest(seconds: impl Iterator<Item = f64>) -> f64 {
    seconds.fold(f64::INFINITY, f64::min)
}

/// None where there is no graphics processor.
#[cfg(feature = "cuda")]
fn ceilings(device: Device) -> Outcome<Option<Ceilings>> {
    use disyre_kernels::cuda::{Cuda, Driver};
    let Device::Cuda(number) = device else { return Ok(None) };
    let most = Cuda::new(Driver::new(number)?, Precision::Bf16).ceilings()?;
    Ok(Some(Ceilings { operations: [most.bf16, most.f32], bytes: most.bytes }))
}

#[cfg(not(feature = "cuda"))]
fn ceilings(_: Device) -> Outcome<Option<Ceilings>> {
    Ok(None)
}

/// Every convolution of the published network, ours beside cuDNN's, which has none that doubles first.
#[cfg(feature = "cudnn")]
fn beside_cudnn(device: Device, precision: Precision, batch: usize) -> Outcome<()> {
    use disyre::diffusion::{Extent, Kind, UNetConfig};
    use disyre_kernels::cuda::{Cuda, Driver};
    let Device::Cuda(number) = device else { return Ok(()) };
    let cuda = Cuda::new(Driver::new(number)?, precision);
    println!(
        "convolutions in {precision}, batch {batch}, beside cuDNN's; ratio: how many times as fast"
    );
    println!("  {:37} times  TFLOP/s  cuDNN's  ratio  differs by", "");
    let layers = UNetConfig::default().convolutions([128, 128])?;
    for ((layer, extent), times) in counted(layers) {
        if layer.kind == Kind::Doubling {
            continue;
        }
        let extent = Extent { count: batch, ..extent };
        let operations = Work::of(layer, extent).operations as f64;
        let shape = format!("{} to {} at {}", layer.inputs, layer.outputs, extent.height);
        for compared in cuda.beside_cudnn(layer, extent, RUNS)? {
            let compared = match compared {
                Ok(compared) => compared,
                Err(error) => {
                    println!("  {:?} {shape}: {error}", layer.kind);
                    continue;
                }
            };
            let name = format!("{:?} {shape}, {}", layer.kind, compared.pass);
            let [ours, cudnn] = [compared.ours, compared.cudnn].map(|s| 1e-12 * operations / s);
            let (ratio, differs) = (ours / cudnn, compared.difference);
            println!("  {name:37} {times:5} {ours:8.1} {cudnn:8.1} {ratio:6.2} {differs:11.1e}");
        }
    }
    Ok(())
}

/// Each item once, in the order of first appearance, and how often it is there.
#[cfg(any(feature = "cudnn", test))]
fn counted<T: PartialEq>(items: Vec<T>) -> Vec<(T, usize)> {
    let mut counted: Vec<(T, usize)> = Vec::new();
    for item in items {
        match counted.iter_mut().find(|(known, _)| *known == item) {
            Some((_, times)) => *times += 1,
            None => counted.push((item, 1)),
        }
    }
    counted
}

#[cfg(not(feature = "cudnn"))]
fn beside_cudnn(_: Device, _: Precision, _: usize) -> Outcome<()> {
    Ok(())
}

/// Scores a scan of so many voxels of 1 mm as `disyre detect` does, three times.
fn score_a_scan(device: Device, settings: &RunConfig, shape: [usize; 3]) -> Outcome<()> {
    let phantoms = PhantomConfig { shape, spacing_mm: 1.0, ..PhantomConfig::default() };
    let scan = phantoms.healthy(Key::new(3)).volume;
    let mut config = settings.clone();
    (config.detect.engine, config.detect.batch) = (Engine::Fused(Precision::Bf16), 96);
    let (network, patch) = (config.network.clone(), config.pairs.patch);
    let parameters = Parameters::seeded(&network, Key::new(1))?;
    let model = ModelConfig { network, patch, ..ModelConfig::default() };
    let restorer = ColdRestorer::with(model, &parameters, device, config.detect.engine)?;
    let detector = Detector::new(&config, &restorer)?;
    println!("a scan of {shape:?} voxels of 1 mm, {} severities", config.detect.severities.len());
    for what in ["at first", "again", "again"] {
        let start = Instant::now();
        config.prepare.prepare(&scan, None)?;
        let prepared = start.elapsed().as_secs_f64();
        let (start, mut windows) = (Instant::now(), 0);
        detector.detect(&scan, None, &mut |_, all| windows = all)?;
        let all = start.elapsed().as_secs_f64();
        println!(
            "  {what:8} {all:6.3} s, of which {prepared:.3} s before {windows} windows are scored"
        );
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn items_are_counted_in_the_order_of_their_first() {
        assert_eq!(counted(vec!['b', 'a', 'b']), [('b', 2), ('a', 1)]);
    }

    #[test]
    fn a_scan_is_scored_on_the_processor_too() {
        score_a_scan(Device::Cpu, &RunConfig::cpu_2mm(), [24, 64, 64])
            .expect("a phantom is scored");
    }
}
