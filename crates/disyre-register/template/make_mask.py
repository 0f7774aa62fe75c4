"""Makes the mask of the template: its non-zero voxels, holes filled.

    python make_mask.py      # needs nibabel and scipy
"""

import gzip
from pathlib import Path

import nibabel
import numpy as np
from scipy.ndimage import binary_fill_holes

here = Path(__file__).parent
brain = nibabel.load(here / "mni152_2009c_t1_brain_2mm.nii.gz")
mask = nibabel.Nifti1Image(binary_fill_holes(np.asarray(brain.dataobj) > 0).astype(np.uint8), brain.affine)
# No file name and time in the gzip header: equal bytes each time.
(here / "mni152_2009c_brain_mask_2mm.nii.gz").write_bytes(gzip.compress(mask.to_bytes(), 9, mtime=0))
