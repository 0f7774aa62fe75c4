"""Maps of one head on voxels that are turned in the scanner, against its map on straight voxels.

    python benches/peers/oblique.py turn FOLDER SCAN...      # writes FOLDER/N_straight.nii.gz, N_shift, N_turnx20, ...
    disyre detect -i FOLDER -o MAPS --whole-slices
    python benches/peers/oblique.py compare FOLDER MAPS

Scans are stripped, their background is 0. `turn` samples each linearly on a grid that is shifted by half a voxel (the
control: the same blur, nothing turned) or turned by some degrees about an axis of the world through the middle of the
scan. `compare` samples each map linearly on the straight grid and prints the correlation inside the brain. Needs nibabel,
NumPy and SciPy.
"""

import sys
from pathlib import Path

import nibabel as nib
import numpy as np
from nibabel.affines import from_matvec
from scipy.ndimage import affine_transform

TURNS = {"turnx8": (0, 8), "turnx20": (0, 20), "turny20": (1, 20), "turnz20": (2, 20)}
PAD = 32


def rotation(axis, degrees):
    cos, sin = np.cos(np.deg2rad(degrees)), np.sin(np.deg2rad(degrees))
    matrix, (i, j) = np.eye(3), [(1, 2), (0, 2), (0, 1)][axis]
    matrix[i, i] = matrix[j, j] = cos
    matrix[i, j], matrix[j, i] = -sin, sin
    return matrix


def sampled(data, matrix, shape):
    return affine_transform(data, matrix[:3, :3], matrix[:3, 3], shape, order=1)


def turned(data, affine, turn, shift):
    centre = affine[:3, :3] @ ((np.array(data.shape) - 1) / 2) + affine[:3, 3]
    shape = tuple(np.array(data.shape) + 2 * PAD)
    grid = from_matvec(turn, centre - turn @ centre + shift) @ affine @ from_matvec(np.eye(3), [-PAD] * 3)
    back = np.linalg.inv(affine) @ grid
    share = sampled((data > 0).astype(np.float32), back, shape)
    values = np.maximum(sampled(data, back, shape) / np.maximum(share, 1e-6), 1e-3)
    inside = np.argwhere(share >= 0.5)
    box = tuple(slice(max(a - 2, 0), b + 3) for a, b in zip(inside.min(0), inside.max(0)))
    return nib.Nifti1Image(np.where(share >= 0.5, values, 0).astype(np.float32), grid).slicer[box]


def turn(folder, scans):
    folder.mkdir(parents=True, exist_ok=True)
    for number, path in enumerate(scans):
        image = nib.load(path)
        data, affine = np.asanyarray(image.dataobj).astype(np.float32), image.affine
        save = lambda name, scan: nib.save(scan, folder / f"{number}_{name}.nii.gz")
        save("straight", nib.Nifti1Image(data, affine))
        half = np.sqrt((affine[:3, :3] ** 2).sum(0)).mean() / 2
        save("shift", turned(data, affine, np.eye(3), half))
        for name, (axis, degrees) in TURNS.items():
            save(name, turned(data, affine, rotation(axis, degrees), 0))


def compare(folder, maps):
    load = lambda path: nib.load(path)
    for name in ["shift", *TURNS]:
        row = []
        for scan in sorted(folder.glob("*_straight.nii.gz")):
            number = scan.name.split("_")[0]
            straight = load(maps / f"{number}_straight_desc-anomalyscore.nii.gz")
            other = load(maps / f"{number}_{name}_desc-anomalyscore.nii.gz")
            there = np.linalg.inv(other.affine) @ straight.affine
            known = (load(folder / f"{number}_{name}.nii.gz").get_fdata() > 0).astype(np.float32)
            inside = (load(scan).get_fdata() > 0) & (sampled(known, there, straight.shape) > 0.99)
            carried = sampled(other.get_fdata(), there, straight.shape)
            row.append(np.corrcoef(straight.get_fdata()[inside], carried[inside])[0, 1])
        print(f"{name:8}", " ".join(f"{value:.3f}" for value in row), f"mean {np.mean(row):.3f}")


if __name__ == "__main__":
    verb, folder, *rest = sys.argv[1:]
    turn(Path(folder), rest) if verb == "turn" else compare(Path(folder), Path(rest[0]))
