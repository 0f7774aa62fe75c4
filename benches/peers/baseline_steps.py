"""The steps between the data pack's script atlas_z.py and `disyre evaluate`, for the tables of docs/REPRODUCING.md.

usage: baseline_steps.py atlas BASELINE PREPARED [--raw] [--brain-scale]
       baseline_steps.py flair BASELINE OUT CASE ...
atlas: runs BASELINE/atlas_z.py with the registrations of the scans that the example `prepared_scans` wrote below PREPARED
(healthy/, cases/) in place of the pack's affines; --brain-scale scales by 0 and the percentile 98 of the brain.
flair: writes FLAIR, label and brain of cases to OUT in the template at 2 mm, smoothed by one voxel, with pairs.csv.
"""
import glob
import os
import pathlib
import runpy
import sys
import tempfile

import nibabel as nib
import numpy as np
from scipy import ndimage as ndi


def affine(path):
    return nib.load(path).affine


def write_affines(data, prepared, out):
    template = affine(f"{data}/templates/mni152_2009c_t1_brain_2mm.nii.gz")
    for folder, kind, end in [("healthy", "healthy", "_T1"), ("lesion", "cases", "_t1")]:
        os.makedirs(f"{out}/{folder}/mni_affines")
        for path in glob.glob(f"{prepared}/{kind}/*_prepared.nii.gz"):
            name = os.path.basename(path)[: -len(f"{end}_prepared.nii.gz")]
            matrix = affine(path) @ np.linalg.inv(template)
            np.savetxt(f"{out}/{folder}/mni_affines/{name}_native_from_mni.txt", matrix)


def atlas(baseline, prepared, *options):
    data = pathlib.Path(baseline).resolve().parent / "data"
    with tempfile.TemporaryDirectory() as folder:
        write_affines(data, prepared, f"{folder}/data")
        for part in ["templates", "healthy/t1", "lesion/dev"]:
            os.symlink(data / part, f"{folder}/data/{part}")
        os.mkdir(f"{folder}/baseline")
        for name in ["common.py", "atlas_z.py"]:
            text = open(f"{baseline}/{name}").read()
            if "--brain-scale" in options:
                text = text.replace("np.percentile(w[b],[2,98])", "0,np.percentile(w[b],98)")
            open(f"{folder}/baseline/{name}", "w").write(text)
        sys.path.insert(0, f"{folder}/baseline")
        sys.argv = ["atlas_z.py", *[option for option in options if option == "--raw"]]
        runpy.run_path(f"{folder}/baseline/atlas_z.py")


def flair(baseline, out, *cases):
    data = pathlib.Path(baseline).resolve().parent / "data"
    template = nib.load(data / "templates/mni152_2009c_t1_brain_2mm.nii.gz")
    os.makedirs(out, exist_ok=True)
    lines = ["score,label,mask,scan"]
    for case in cases:
        matrix = np.loadtxt(data / f"lesion/mni_affines/{case}_native_from_mni.txt")

        def read(kind):
            image = nib.load(data / f"lesion/dev/{case}/{case}_{kind}.nii.gz")
            to_native = np.linalg.inv(image.affine) @ matrix @ template.affine
            values = np.asarray(image.dataobj, dtype=np.float32)
            return ndi.affine_transform(values, to_native[:3, :3], to_native[:3, 3], template.shape, order=1)

        scan, label, brain = read("flair"), read("mask") >= 0.5, read("brain") >= 0.5
        low, high = np.percentile(scan[brain], [2, 98])
        smooth = ndi.gaussian_filter(np.where(brain, (scan - low) / (high - low), 0), 1)
        images = {"flair": smooth.astype(np.float32), "mask": label.astype(np.uint8), "brain": brain.astype(np.uint8)}
        for kind, values in images.items():
            nib.save(nib.Nifti1Image(values, template.affine), f"{out}/{case}_{kind}.nii.gz")
        lines.append(",".join(f"{case}_{kind}.nii.gz" for kind in ["flair", "mask", "brain", "flair"]))
    open(f"{out}/pairs.csv", "w").write("\n".join(lines) + "\n")


{"atlas": atlas, "flair": flair}[sys.argv[1]](*sys.argv[2:])
