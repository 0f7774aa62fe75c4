//! A healthy scan, shapes and a library for the tests: the MNI152 brain under a shading, with noise, and made-up lesions.

use std::fs;
use std::path::{Path, PathBuf};

use disyre_core::ndarray::Array3;
use disyre_core::{Grid, Key};
use disyre_implant::{Host, ImplantConfig, Implanter, LesionStatistics, ShapeLibrary};
use disyre_register::Template;
use disyre_volume::affine::transform;
use disyre_volume::write_labels;
use rand_distr::{Distribution, StandardNormal};
use tempfile::TempDir;

/// A folder with a healthy scan and a folder of shapes.
pub(crate) struct World {
    folder: TempDir,
}

impl World {
    pub(crate) fn new() -> Self {
        Self::with_shapes(&[
            ("acute/large.nii.gz", [32.0, -20.0, 28.0], [22.0, 16.0, 18.0]),
            ("acute/middle.nii.gz", [-30.0, 10.0, 30.0], [13.0, 9.0, 10.0]),
            ("acute/small.nii.gz", [26.0, -32.0, 30.0], [4.0, 5.0, 4.0]),
            ("chronic/large.nii.gz", [-36.0, -24.0, 26.0], [18.0, 14.0, 16.0]),
        ])
    }

    /// The same scan, with shapes that lie over the body of a lateral ventricle.
    #[allow(dead_code, reason = "one of two tests' files uses it")]
    pub(crate) fn over_a_ventricle() -> Self {
        let [centre, radii] = [[18.0, -12.0, 22.0], [22.0, 20.0, 16.0]];
        Self::with_shapes(&[
            ("acute/ventricle.nii.gz", centre, radii),
            ("chronic/ventricle.nii.gz", centre, radii),
        ])
    }

    /// The scan, and ellipsoids of these names, centres and radii in MNI millimetres.
    fn with_shapes(shapes: &[(&str, [f64; 3], [f64; 3])]) -> Self {
        let world = Self { folder: tempfile::tempdir().unwrap() };
        for folder in ["healthy", "shapes/acute", "shapes/chronic"] {
            fs::create_dir_all(world.at(folder)).unwrap();
        }
        write_brain(&world.host(), Key::new(5));
        for &(name, centre, radii) in shapes {
            write_ellipsoid(&world.at("shapes").join(name), centre, radii);
        }
        world
    }

    pub(crate) fn at(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// The healthy scan, uint8.
    pub(crate) fn host(&self) -> PathBuf {
        self.at("healthy/sub-01_T1w.nii.gz")
    }

    pub(crate) fn read_host(&self) -> Host {
        Host::read(&self.host(), &LesionStatistics::stored().unwrap().measure.n4).unwrap()
    }

    pub(crate) fn shapes(&self) -> ShapeLibrary {
        ShapeLibrary::read(&self.at("shapes")).unwrap()
    }

    /// An implanter of one kind of case, by its place in `LesionKind::ALL`.
    pub(crate) fn implanter(&self, kind: usize) -> Implanter {
        let mut config = ImplantConfig { second_stroke: 0.0, ..ImplantConfig::default() };
        config.weights = [0.0; 4];
        config.weights[kind] = 1.0;
        config.build(LesionStatistics::stored().unwrap(), self.shapes()).unwrap()
    }
}

/// The shading of the scan, by voxel (z, y, x).
fn shading([z, y, x]: [usize; 3]) -> f32 {
    1.0 + 0.002 * (y as f32 - 50.0) - 0.001 * (x as f32 + z as f32 - 80.0)
}

/// The scan without it.
#[allow(dead_code, reason = "one of two tests' files uses it")]
pub(crate) fn without_shading(scan: &Array3<f32>) -> Array3<f32> {
    let mut flat = scan.clone();
    flat.indexed_iter_mut().for_each(|((z, y, x), value)| *value /= shading([z, y, x]));
    flat
}

/// The template's brain with a shading and noise, in levels of 1 to 255.
fn write_brain(path: &Path, key: Key) {
    let template = Template::mni152().unwrap();
    let greatest = template.volume.data.iter().copied().fold(0.0, f32::max);
    let mut rng = key.rng();
    let mut scan = Array3::zeros(template.volume.data.raw_dim());
    for (((z, y, x), level), (&value, &inside)) in
        scan.indexed_iter_mut().zip(template.volume.data.iter().zip(&template.mask))
    {
        let noise: f32 = StandardNormal.sample(&mut rng);
        if inside != 0 {
            let value = 180.0 * shading([z, y, x]) * value / greatest + 2.5 * noise;
            *level = value.round().clamp(1.0, 255.0) as u8;
        }
    }
    write_labels(path, scan.view(), &template.volume.grid).unwrap();
}

fn write_ellipsoid(path: &Path, centre: [f64; 3], radii: [f64; 3]) {
    let mut grid = Grid::from_spacing([91, 109, 91], [2.0; 3]);
    for (axis, start) in [-90.0, -126.0, -72.0].into_iter().enumerate() {
        grid.affine[axis][3] = start;
    }
    let mask = Array3::from_shape_fn(grid.shape, |(z, y, x)| {
        let place = transform(&grid.affine, [x as f64, y as f64, z as f64]);
        let square: f64 = (0..3).map(|a| ((place[a] - centre[a]) / radii[a]).powi(2)).sum();
        u8::from(square <= 1.0)
    });
    write_labels(path, mask.view(), &grid).unwrap();
}
