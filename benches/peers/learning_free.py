"""The methods of `disyre evaluate` that learn nothing, by NumPy, SciPy and scikit-learn: average precision in the brain.

usage: learning_free.py PAIRS [HEALTHY CASES]
PAIRS: the list that `disyre evaluate --pairs` gets, with mask and scan. HEALTHY, CASES: folders that the example
`prepared_scans` wrote from the healthy scans of an atlas and from the scans of PAIRS. Prints for each case the
prevalence, the AP of brightness and darkness and, with these folders, of atlas |z| on the grid of the scan and in the
template.
"""
import csv
import glob
import os
import sys

import nibabel as nib
import numpy as np
from scipy import ndimage as ndi
from sklearn.metrics import average_precision_score


def load(path):
    image = nib.load(path)
    return np.asarray(image.dataobj, dtype=np.float32), image.affine


def prepared(folder, name):
    scan, affine = load(f"{folder}/{name}_prepared.nii.gz")
    return scan, load(f"{folder}/{name}_brain.nii.gz")[0] > 0, affine


def fit_atlas(folder):
    """Mean, standard deviation with a floor of .05, and the voxels that most scans have."""
    total = squares = count = 0
    files = sorted(glob.glob(f"{folder}/*_prepared.nii.gz"))
    for path in files:
        scan, brain, _ = prepared(folder, os.path.basename(path)[: -len("_prepared.nii.gz")])
        smooth = ndi.gaussian_filter(scan.astype(np.float64), 0.7) * brain
        total, squares, count = total + smooth, squares + smooth**2, count + brain
    mean = total / np.maximum(count, 1)
    variance = np.maximum(squares / np.maximum(count, 1) - mean**2, 1e-6)
    return mean, np.sqrt(variance) + 0.05, count > len(files) / 2


def to_grid(values, affine, shape, target):
    """Linear interpolation on another grid, 0 outside."""
    matrix = np.linalg.inv(affine) @ target
    return ndi.affine_transform(values, matrix[:3, :3], matrix[:3, 3], shape, order=1)


def atlas_precisions(cases, name, healthy, grid, label, brain):
    """AP of |z| on the grid of the scan and on that of the template."""
    mean, deviation, common = healthy
    small, inside, affine = prepared(cases, name)
    z = (ndi.gaussian_filter(small.astype(np.float64), 0.7) - mean) / deviation
    z = ndi.gaussian_filter(abs(z), 1.0) * (inside & common)
    share = to_grid(inside.astype(np.float64), affine, label.shape, grid)
    on_scan = to_grid(z, affine, label.shape, grid) / np.where(share > 1e-3, share, np.inf)
    lesion, known = load(f"{cases}/{name}_label.nii.gz")[0] > 0, inside & common
    on_scan = average_precision_score(label[brain], on_scan[brain])
    return on_scan, average_precision_score(lesion[known], z[known])


def main(pairs, healthy=None, cases=None):
    healthy = healthy and fit_atlas(healthy)
    base = os.path.dirname(pairs)
    for line in csv.DictReader(open(pairs)):
        path = {key: os.path.join(base, value) for key, value in line.items()}
        name = os.path.basename(path["scan"])[: -len(".nii.gz")]
        scan, grid = load(path["scan"])
        label, brain = load(path["label"])[0] > 0, load(path["mask"])[0] > 0
        bright, dark = [average_precision_score(label[brain], sign * scan[brain]) for sign in (1, -1)]
        print(f"{name:18s} prevalence {label[brain].mean():.4f}  bright {bright:.4f}  dark {dark:.4f}", end="")
        if healthy:
            on_scan, template = atlas_precisions(cases, name, healthy, grid, label, brain)
            print(f"  |z| {on_scan:.4f}  |z| in the template {template:.4f}", end="")
        print(flush=True)


main(*sys.argv[1:])
