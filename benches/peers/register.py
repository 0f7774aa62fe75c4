"""SimpleITK's affine registration as a server that registers a scan each time it is told to; `unet.py` states the protocol.

    printf 'go\\nquit\\n' | python register.py --scan SCAN --threads 2

The work is ours: from voxels in memory to the affine from MNI152 at 2 mm to the scan, by Mattes' mutual information of 32
bins at 8, 4 and 2 mm, from moments. A fifth of the voxels is sampled, which at 2 mm is four times as many as we take.
"""

import argparse
import re
import sys
import time
from pathlib import Path

import SimpleITK as sitk

TEMPLATE = Path(__file__).parents[2] / "crates/disyre-register/template/mni152_2009c_t1_brain_2mm.nii.gz"


def register(template, scan):
    start = sitk.CenteredTransformInitializer(
        template, scan, sitk.AffineTransform(3), sitk.CenteredTransformInitializerFilter.MOMENTS
    )
    method = sitk.ImageRegistrationMethod()
    method.SetMetricAsMattesMutualInformation(32)
    method.SetMetricSamplingStrategy(method.RANDOM)
    method.SetMetricSamplingPercentage(0.2, 1)
    method.SetInterpolator(sitk.sitkLinear)
    method.SetOptimizerAsRegularStepGradientDescent(1.0, 1e-3, 200, 0.6)
    method.SetOptimizerScalesFromPhysicalShift()
    method.SetShrinkFactorsPerLevel([4, 2, 1])
    method.SetSmoothingSigmasPerLevel([2, 1, 0])
    method.SetInitialTransform(start, inPlace=True)
    return method.Execute(template, scan)


def peak_mib():
    """The largest resident set of this process so far."""
    with open("/proc/self/status") as status:
        return int(re.search(r"VmHWM:\s*(\d+) kB", status.read()).group(1)) / 1024


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--scan", required=True)
    parser.add_argument("--threads", type=int, default=2)
    arguments = parser.parse_args()
    sitk.ProcessObject.SetGlobalDefaultNumberOfThreads(arguments.threads)
    template = sitk.ReadImage(str(TEMPLATE), sitk.sitkFloat32)
    scan = sitk.ReadImage(arguments.scan, sitk.sitkFloat32)
    print("ready", flush=True)
    for line in sys.stdin:
        if line.strip() == "quit":
            print(f"peak {peak_mib():.0f}", flush=True)
            return
        start = time.perf_counter()
        register(template, scan)
        print(f"{1e3 * (time.perf_counter() - start):.3f}", flush=True)


if __name__ == "__main__":
    main()
