use disyre_core::ndarray::ArrayViewMut3;

/// Sets a mask to 0 outside its largest connected part (voxels that share a face; the first among equals).
pub(crate) fn keep_largest_component(mut mask: ArrayViewMut3<'_, f32>) {
    let extents: [usize; 3] = mask.dim().into();
    // 0: outside the mask or not yet visited, else the number of the part.
    let mut open: Vec<bool> = mask.iter().map(|&value| value > 0.0).collect();
    let mut part = vec![0u32; open.len()];
    let mut queue = Vec::new();
    let mut largest = (0, 0); // (voxels, number)
    let mut number = 0;
    for seed in 0..open.len() {
        if !open[seed] {
            continue;
        }
        number += 1;
        open[seed] = false;
        queue.push(seed);
        let mut voxels = 0;
        while let Some(voxel) = queue.pop() {
            part[voxel] = number;
            voxels += 1;
            for_each_neighbour(voxel, extents, |neighbour| {
                if std::mem::take(&mut open[neighbour]) {
                    queue.push(neighbour);
                }
            });
        }
        if voxels > largest.0 {
            largest = (voxels, number);
        }
    }
    for (value, part) in mask.iter_mut().zip(part) {
        *value = if part == largest.1 { *value } else { 0.0 };
    }
}

fn for_each_neighbour(
    voxel: usize,
    [depth, height, width]: [usize; 3],
    mut visit: impl FnMut(usize),
) {
    let (x, y, z) = (voxel % width, voxel / width % height, voxel / (width * height));
    for (position, extent, stride) in
        [(x, width, 1), (y, height, width), (z, depth, width * height)]
    {
        if position > 0 {
            visit(voxel - stride);
        }
        if position + 1 < extent {
            visit(voxel + stride);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use disyre_core::ndarray::{Array3, array};

    #[test]
    fn only_the_larger_of_two_parts_stays() {
        let mut mask = array![[[1., 1., 0., 1.], [0., 0., 0., 1.], [1., 0., 1., 1.]]];
        keep_largest_component(mask.view_mut());
        assert_eq!(mask, array![[[0., 0., 0., 1.], [0., 0., 0., 1.], [0., 0., 1., 1.]]]);
    }

    #[test]
    fn parts_connect_across_slices() {
        let mut mask = Array3::zeros((3, 1, 3));
        mask[[0, 0, 0]] = 1.0;
        mask[[1, 0, 0]] = 1.0;
        mask[[2, 0, 2]] = 1.0;
        keep_largest_component(mask.view_mut());
        assert_eq!((mask.sum(), mask[[2, 0, 2]]), (2.0, 0.0));
    }

    #[test]
    fn an_empty_mask_stays_empty() {
        let mut mask = Array3::zeros((1, 2, 2));
        keep_largest_component(mask.view_mut());
        assert_eq!(mask.sum(), 0.0);
    }
}
