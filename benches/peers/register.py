"""SimpleITK's affine registration as a server that registers a scan each time it is told to; `unet.py` states the protocol.

    printf 'go\\nquit\\n' | python register.py --scan SCAN --threads 2

The work is ours: from voxels in memory to the affine from MNI152 at 2 mm to the scan, by Mattes' mutual information of 32
bins at 8, 4 and 2 mm, from moments. A fifth of the voxels is sampled, which at 2 mm is four times as many as we take.
"""

from pathlib import Path

import SimpleITK as sitk

from server import parser, serve

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


def main():
    arguments = parser(__doc__).parse_args()
    sitk.ProcessObject.SetGlobalDefaultNumberOfThreads(arguments.threads)
    template = sitk.ReadImage(str(TEMPLATE), sitk.sitkFloat32)
    scan = sitk.ReadImage(arguments.scan, sitk.sitkFloat32)
    serve(lambda: register(template, scan))


if __name__ == "__main__":
    main()
