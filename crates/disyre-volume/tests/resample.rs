//! Means and positions that resampling keeps.
#![allow(clippy::unwrap_used, reason = "the helpers of tests are tests too")]

use disyre_core::ndarray::{Array3, Axis};
use disyre_volume::{
    Grid, Interpolation, Resampler, Volume, VolumeError, VoxelBox, resample_mask, resample_to_grid,
    resample_to_spacing,
};
use proptest::prelude::*;

/// A volume whose value is a linear function of the world: `3 + R - 2 A + S / 2`.
fn ramp(grid: Grid) -> Volume {
    let data = Array3::from_shape_fn(grid.shape, |index| world_ramp(&grid, index));
    Volume::new(data, grid).unwrap()
}

fn world_ramp(grid: &Grid, (z, y, x): (usize, usize, usize)) -> f32 {
    let point = [x as f64, y as f64, z as f64, 1.0];
    let world = [0, 1, 2].map(|row| (0..4).map(|k| grid.affine[row][k] * point[k]).sum::<f64>());
    (3.0 + world[0] - 2.0 * world[1] + world[2] / 2.0) as f32
}

/// A grid along the world's axes, which it may run against; steps and start in array order.
fn straight(shape: [usize; 3], step: [f64; 3], start: [f64; 3]) -> Grid {
    let mut grid = Grid::from_spacing(shape, [1.0; 3]);
    for axis in 0..3 {
        grid.affine[2 - axis][2 - axis] = step[axis];
        grid.affine[2 - axis][3] = start[axis];
    }
    grid
}

/// The voxel of an index that may lie outside, where all is 0.
fn voxel(volume: &Volume, index: [i32; 3]) -> f32 {
    let index = index.map(|index| usize::try_from(index).unwrap_or(usize::MAX));
    volume.data.get(index).copied().unwrap_or(0.0)
}

/// Turned by `angle` about z; the corner voxel stays at the origin.
fn turned(grid: Grid, angle: f64) -> Grid {
    let (sin, cos) = angle.sin_cos();
    let [x, y, z, last] = grid.affine;
    let mix = |a: f64, b: f64| std::array::from_fn(|column| a * x[column] + b * y[column]);
    let affine = [mix(cos, -sin), mix(sin, cos), z, last];
    Grid { affine, ..grid }
}

#[test]
fn half_the_resolution_is_the_mean_of_eight() {
    let grid = turned(Grid::from_spacing([4, 6, 8], [1.0, 2.0, 0.5]), 0.3);
    let data =
        Array3::from_shape_fn(grid.shape, |(z, y, x)| ((z * 31 + y * 17 + x * 7) % 13) as f32);
    let volume = Volume::new(data, grid).unwrap();
    let coarse = resample_to_spacing(&volume, [2.0, 4.0, 1.0], Interpolation::Area).unwrap();
    assert_eq!(coarse.data.shape(), [2, 3, 4]);
    for (block, value) in volume.data.exact_chunks((2, 2, 2)).into_iter().zip(&coarse.data) {
        assert!((block.sum() / 8.0 - value).abs() < 1e-6);
    }
    for (spacing, wish) in coarse.grid.spacing_mm().iter().zip([2.0, 4.0, 1.0]) {
        assert!((spacing - wish).abs() < 1e-12);
    }
}

#[test]
fn the_same_grid_gives_the_same_voxels() {
    let volume = ramp(turned(Grid::from_spacing([3, 4, 5], [1.0, 2.0, 3.0]), 0.7));
    for interpolation in [Interpolation::Nearest, Interpolation::Linear, Interpolation::Area] {
        assert_eq!(resample_to_grid(&volume, &volume.grid, interpolation).unwrap(), volume);
    }
}

#[test]
fn an_extent_that_does_not_divide_is_covered_and_a_constant_stays_constant() {
    let grid = Grid::from_spacing([1, 5, 7], [1.0; 3]);
    let volume = Volume::new(Array3::from_elem(grid.shape, 2.5), grid).unwrap();
    // The last voxel along x is centred at 7 mm, beyond the face at 6.5 mm; the one along y at 4.5 mm, just on it.
    let linear = resample_to_spacing(&volume, [1.0, 2.0, 3.0], Interpolation::Linear).unwrap();
    for ((_, _, x), &value) in linear.data.indexed_iter() {
        assert_eq!(value, if x < 2 { 2.5 } else { 0.0 });
    }
    let area = resample_to_spacing(&volume, [1.0, 2.0, 3.0], Interpolation::Area).unwrap();
    assert_eq!(area.data.shape(), [1, 3, 3]);
    assert!(area.data.iter().all(|&value| (value - 2.5).abs() < 1e-6));
}

#[test]
fn a_flipped_and_permuted_grid_gives_the_same_voxels_elsewhere() {
    let volume = ramp(Grid::from_spacing([3, 4, 5], [1.0, 2.0, 3.0]));
    // x of the new grid is -y of the old one, y is z, z is x.
    let affine = [[0., 0., 3., 0.], [-2., 0., 0., 6.], [0., 1., 0., 0.], [0., 0., 0., 1.]];
    let grid = Grid { shape: [5, 3, 4], affine };
    for interpolation in [Interpolation::Nearest, Interpolation::Linear, Interpolation::Area] {
        let moved = resample_to_grid(&volume, &grid, interpolation).unwrap();
        for ((z, y, x), &value) in moved.data.indexed_iter() {
            assert_eq!(value, volume.data[[y, 3 - x, z]]);
        }
    }
}

#[test]
fn beyond_the_field_of_view_is_zero() {
    let grid = Grid::from_spacing([2, 2, 2], [1.0; 3]);
    let volume = Volume::new(Array3::ones(grid.shape), grid).unwrap();
    for angle in [0.0, 0.2] {
        let mut far = turned(grid, angle);
        far.affine[0][3] += 5.0;
        for interpolation in [Interpolation::Nearest, Interpolation::Linear, Interpolation::Area] {
            let moved = resample_to_grid(&volume, &far, interpolation).unwrap();
            assert!(moved.data.iter().all(|&value| value == 0.0));
        }
    }
}

#[test]
fn a_mask_is_one_where_half_a_voxel_is_covered() {
    let from = Grid::from_spacing([1, 1, 6], [1.0; 3]);
    let mut to = Grid::from_spacing([1, 1, 3], [1.0, 1.0, 2.0]);
    to.affine[0][3] = 0.5;
    let mask = Array3::from_shape_vec((1, 1, 6), vec![9u8, 0, 0, 0, 1, 1]).unwrap();
    let coarse = resample_mask(mask.view(), &from, &to).unwrap();
    assert_eq!(coarse.as_slice(), Some(&[1, 0, 1][..]));
}

#[test]
fn wishes_that_cannot_be_met_are_errors() {
    let volume = ramp(Grid::from_spacing([2, 2, 2], [1.0; 3]));
    for spacing in [[0.0, 1.0, 1.0], [1.0, -2.0, 1.0], [1.0, 1.0, f64::NAN]] {
        let error = resample_to_spacing(&volume, spacing, Interpolation::Linear).unwrap_err();
        assert!(matches!(error, VolumeError::Spacing { .. }));
    }
    let tiny = resample_to_spacing(&volume, [1e-9; 3], Interpolation::Linear).unwrap_err();
    assert!(matches!(tiny, VolumeError::GridTooLarge { .. }));
    let flat = Grid { shape: [2, 2, 2], affine: [[0.0; 4]; 4] };
    let error = resample_to_grid(&volume, &flat, Interpolation::Linear).unwrap_err();
    assert!(error.to_string().starts_with("the affine of the target grid has no inverse"));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn a_move_by_whole_voxels_copies_them(
        offset in prop::array::uniform3(-7i32..7),
        shape in prop::array::uniform3(1usize..7),
        flipped: [bool; 3],
    ) {
        let volume = ramp(Grid::from_spacing([3, 4, 5], [1.0; 3]));
        let step = flipped.map(|flipped| if flipped { -1 } else { 1 });
        let grid = straight(shape, step.map(f64::from), offset.map(f64::from));
        for interpolation in [Interpolation::Nearest, Interpolation::Linear, Interpolation::Area] {
            let moved = resample_to_grid(&volume, &grid, interpolation).unwrap();
            for ((z, y, x), &value) in moved.data.indexed_iter() {
                let index = [z, y, x].map(|index| index as i32);
                let source = [0, 1, 2].map(|axis| offset[axis] + step[axis] * index[axis]);
                prop_assert_eq!(value, voxel(&volume, source));
            }
        }
    }

    #[test]
    fn the_nearest_voxel_is_the_later_one_of_two_whichever_way_a_grid_runs(
        start in prop::array::uniform3(-4i32..12),
        step in prop::array::uniform3(prop::sample::select(&[-4, -3, -2, -1, 1, 2, 3, 4][..])),
    ) {
        // Halves of voxels, so that many places lie between two.
        let volume = ramp(Grid::from_spacing([3, 4, 5], [1.0; 3]));
        let half = |voxels: i32| f64::from(voxels) / 2.0;
        let grid = straight([4; 3], step.map(half), start.map(half));
        let sampled = resample_to_grid(&volume, &grid, Interpolation::Nearest).unwrap();
        for ((z, y, x), &value) in sampled.data.indexed_iter() {
            let index = [z, y, x].map(|index| index as i32);
            let nearest = [0, 1, 2]
                .map(|axis| (start[axis] + step[axis] * index[axis] + 1).div_euclid(2));
            prop_assert_eq!(value, voxel(&volume, nearest));
        }
    }

    #[test]
    fn a_mirrored_grid_gives_the_mirrored_volume(
        start in prop::array::uniform3(-2.0f64..2.0),
        step in prop::array::uniform3(0.4f64..2.5),
        axis in 0usize..3,
        area: bool,
    ) {
        let volume = ramp(Grid::from_spacing([3, 4, 5], [1.0; 3]));
        let interpolation = if area { Interpolation::Area } else { Interpolation::Linear };
        let mut grid = Grid::from_spacing([4; 3], step);
        for (row, start) in grid.affine.iter_mut().zip(start) {
            row[3] = start;
        }
        let mut mirrored = grid;
        mirrored.affine[2 - axis][3] += 3.0 * grid.affine[2 - axis][2 - axis];
        mirrored.affine[2 - axis][2 - axis] *= -1.0;
        let there = resample_to_grid(&volume, &grid, interpolation).unwrap();
        let mut here = resample_to_grid(&volume, &mirrored, interpolation).unwrap();
        here.data.invert_axis(Axis(axis));
        for (here, there) in here.data.iter().zip(&there.data) {
            prop_assert!((here - there).abs() < 1e-4, "{here} instead of {there}");
        }
    }

    #[test]
    fn a_ramp_keeps_its_values_wherever_it_is_sampled(
        // A grid that is hardly turned is taken as straight, and an area there is the mean of boxes of one value each.
        angle in prop_oneof![-0.6f64..-0.01, 0.01..0.6],
        spacing in prop::array::uniform3(0.7f64..2.5),
        area: bool,
    ) {
        let volume = ramp(Grid::from_spacing([12, 12, 12], [1.0; 3]));
        let mut grid = turned(Grid::from_spacing([3, 3, 3], spacing), angle);
        for row in 0..3 {
            grid.affine[row][3] = 4.0;
        }
        let interpolation = if area { Interpolation::Area } else { Interpolation::Linear };
        let sampled = resample_to_grid(&volume, &grid, interpolation).unwrap();
        for (index, &value) in sampled.data.indexed_iter() {
            let point = [0, 1, 2].map(|row| {
                let a = grid.affine[row];
                a[0] * index.2 as f64 + a[1] * index.1 as f64 + a[2] * index.0 as f64 + a[3]
            });
            // Where the new voxel's box leaves the old centres' hull, values are held, not extended.
            if point.iter().all(|&p| (2.0..=9.0).contains(&p)) {
                prop_assert!((value - world_ramp(&grid, index)).abs() < 1e-4);
            }
        }
    }

    #[test]
    fn down_and_up_again_lands_where_it_started(shape in prop::array::uniform3(4usize..9)) {
        let fine = ramp(Grid::from_spacing(shape.map(|n| 2 * n), [1.0, 1.5, 0.5]));
        let coarse = resample_to_spacing(&fine, [2.0, 3.0, 1.0], Interpolation::Area).unwrap();
        let back = resample_to_grid(&coarse, &fine.grid, Interpolation::Linear).unwrap();
        prop_assert_eq!(back.grid, fine.grid);
        for ((z, y, x), value) in back.data.indexed_iter() {
            let inner = [z, y, x].iter().zip(fine.grid.shape).all(|(&i, n)| i > 0 && i + 1 < n);
            prop_assert!(!inner || (value - fine.data[[z, y, x]]).abs() < 1e-4);
        }
    }

    #[test]
    fn both_ways_of_sampling_agree(angle in 1e-5f64..2e-5, factor in 0.6f64..3.0) {
        // An angle just too large for the way by axes.
        let straight = Grid::from_spacing([6, 200, 200], [1.0; 3]);
        let data = Array3::from_shape_fn(straight.shape, |(z, y, x)| ((z + y + x) % 5) as f32);
        let volume = Volume::new(data, straight).unwrap();
        let target = Grid::from_spacing([3, 150, 150], [factor, 1.0, 1.0]);
        let by_axes = resample_to_grid(&volume, &target, Interpolation::Linear).unwrap();
        let oblique = resample_to_grid(&volume, &turned(target, angle), Interpolation::Linear).unwrap();
        let difference = by_axes.data.iter().zip(&oblique.data).map(|(a, b)| (a - b).abs());
        prop_assert!(difference.fold(0.0, f32::max) < 0.04);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn a_box_of_the_output_is_that_of_the_whole(
        spacing in prop::array::uniform3(0.4f64..3.0),
        turned: bool,
        flipped: bool,
        whole_voxels: bool,
        interpolation in prop::sample::select(vec![Interpolation::Area, Interpolation::Linear, Interpolation::Nearest]),
        from in prop::array::uniform3(0usize..5),
        size in prop::array::uniform3(1usize..5),
    ) {
        let grid = Grid::from_spacing([9, 8, 7], [1.0, 1.5, 2.0]);
        let data = Array3::from_shape_fn(grid.shape, |(z, y, x)| ((z * 31 + y * 17 + x * 7) % 23) as f32 - 5.0);
        let volume = Volume::new(data, grid).unwrap();
        let mut target = Grid::from_spacing([11, 10, 9], if whole_voxels { [1.0, 1.5, 2.0] } else { spacing });
        target.affine[0][3] = -2.0;
        if turned {
            target.affine[1][0] = 0.3;
        }
        if flipped {
            target.affine[2][2] *= -1.0;
            target.affine[2][3] = 8.0;
        }
        let whole = resample_to_grid(&volume, &target, interpolation).unwrap();
        let end = [0, 1, 2].map(|axis: usize| (from[axis] + size[axis]).min(target.shape[axis]));
        let region = VoxelBox { start: from, end };
        let resampler = Resampler::new(&grid, &target, interpolation).unwrap();
        let input = resampler.input_box(region).view_of(volume.data.view());
        prop_assert_eq!(resampler.resample_box(input, region), region.view_of(whole.data.view()));
        // Outside the box of the output nothing depends on a box of the input.
        let mut inside = Volume::zeros(grid);
        let part = VoxelBox { start: [2, 3, 1], end: [4, 6, 3] };
        part.view_of_mut(inside.data.view_mut()).assign(&part.view_of(volume.data.view()));
        let mut result = resample_to_grid(&inside, &target, interpolation).unwrap().data;
        resampler.output_box(part).view_of_mut(result.view_mut()).fill(0.0);
        prop_assert!(result.iter().all(|&value| value == 0.0));
    }
}
