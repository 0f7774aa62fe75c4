"""SimpleITK's N4 as a server that corrects a scan each time it is told to; `unet.py` states the protocol.

    printf 'go\\nquit\\n' | python n4.py --scan SCAN --threads 2

The work is ours: from voxels and mask in memory to the corrected voxels, at SimpleITK's defaults and shrink factor 4.
"""

import SimpleITK as sitk

from server import parser, serve

SHRINK = [4, 4, 4]


def correct(image, mask):
    n4 = sitk.N4BiasFieldCorrectionImageFilter()
    n4.Execute(sitk.Shrink(image, SHRINK), sitk.Shrink(mask, SHRINK))
    return image / sitk.Exp(n4.GetLogBiasFieldAsImage(image))


def main():
    arguments = parser(__doc__).parse_args()
    sitk.ProcessObject.SetGlobalDefaultNumberOfThreads(arguments.threads)
    image = sitk.Cast(sitk.ReadImage(arguments.scan), sitk.sitkFloat32)
    mask = sitk.Cast(image > 0, sitk.sitkUInt8)
    serve(lambda: correct(image, mask))


if __name__ == "__main__":
    main()
