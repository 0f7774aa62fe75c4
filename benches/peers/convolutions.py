"""Every convolution of the published network in PyTorch, which is cuDNN on a GPU, and what the device can do at most.

Each distinct convolution is timed in its three passes, forward, backward data and backward filter, in channels-last
memory; its rows have the names of `cargo run --release -p disyre-benches --bin layers`. The ceilings are a large matrix
product (cuBLAS on a GPU) and a copy within the device. Convolutions here only convolve: ours also normalise, activate
and join what they read, and add bias, embedding and residual to what they write.

    python convolutions.py --device cuda --batch 96
    python convolutions.py --device cpu --batch 1 --runs 2 --most 64
"""

import argparse
import time
from collections import Counter
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import nn

from unet import SHAPES, Resampler, UNet

PRECISIONS = {"f32": torch.float32, "bf16": torch.bfloat16}
# Backward passes of a convolution by its input and by its filter: which of input, weight and bias get a gradient.
PASSES = {"forward": None, "backward data": (True, False, False), "backward filter": (False, True, False)}
# Height and width of the matrices of a product, and numbers of a copy.
MATRIX = 8192
COPIED = 1 << 28


@dataclass(frozen=True)
class Layer:
    """A convolution: its kind, channels, and height and width of what it reads."""

    kind: str
    inputs: int
    outputs: int
    side: int

    @property
    def kernel(self):
        return 1 if self.kind == "Pointwise" else 3

    @property
    def stride(self):
        return 2 if self.kind == "Strided" else 1

    @property
    def result_side(self):
        """Height and width of the result."""
        return {"Strided": (self.side + 1) // 2, "Upsampled": 2 * self.side}.get(self.kind, self.side)

    def flops(self, batch):
        """Of one pass; a multiplication and an addition are two."""
        return 2 * batch * self.kernel**2 * self.inputs * self.outputs * self.result_side**2

    def name(self, batch):
        return f"{self.kind} {batch}×{self.side}²×{self.inputs}→{self.outputs}"


def kind_of(conv, doubles):
    """The kind of a module, as `layers` names it."""
    if conv.kernel_size == (1, 1):
        return "Pointwise"
    if conv.stride == (2, 2):
        return "Strided"
    return "Upsampled" if doubles else "Conv3x3"


def layers(shape):
    """The distinct convolutions of a network, and how often it has each, in the order of first appearance."""
    found = Counter()
    network = UNet(shape).to("meta")
    doubling = {module.conv for module in network.modules() if isinstance(module, Resampler) and module.doubles}

    def note(conv, arguments, _):
        kind = kind_of(conv, conv in doubling)
        side = arguments[0].shape[-1] // (2 if kind == "Upsampled" else 1)
        found[Layer(kind, conv.in_channels, conv.out_channels, side)] += 1

    for module in network.modules():
        if isinstance(module, nn.Conv2d):
            module.register_forward_hook(note)
    network(torch.empty(1, 1, shape.patch, shape.patch, device="meta"), torch.zeros(1, device="meta"))
    return found


class Timer:
    """Times work on a device: the fastest of some runs, in seconds."""

    def __init__(self, device, runs):
        self.device, self.runs = device, runs

    def synchronize(self):
        if self.device == "cuda":
            torch.cuda.synchronize()

    def fastest(self, work):
        """Without the first three runs, in which cuDNN chooses its kernels."""
        times = []
        for _ in range(3 + self.runs):
            self.synchronize()
            start = time.perf_counter()
            work()
            self.synchronize()
            times.append(time.perf_counter() - start)
        return min(times[3:])


def numbers(device, dtype, *shape):
    """Uniform in −1 to 1, in channels-last memory."""
    values = torch.empty(shape, device=device, dtype=dtype).uniform_(-1, 1)
    return values.contiguous(memory_format=torch.channels_last) if len(shape) == 4 else values


def passes(layer, batch, device, dtype):
    """The work of each pass by its name."""
    x = numbers(device, dtype, batch, layer.inputs, layer.side, layer.side)
    weight = numbers(device, dtype, layer.outputs, layer.inputs, layer.kernel, layer.kernel)
    gradient = numbers(device, dtype, batch, layer.outputs, layer.result_side, layer.result_side)
    padding, stride = layer.kernel // 2, layer.stride

    def read(x):
        return F.interpolate(x, scale_factor=2.0, mode="nearest") if layer.kind == "Upsampled" else x

    def backward(mask):
        wide = read(x)
        found = torch.ops.aten.convolution_backward(
            gradient, wide, weight, None, [stride] * 2, [padding] * 2, [1, 1], False, [0, 0], 1, mask
        )
        # The gradient by the doubled image, summed over the copies of each pixel.
        return 4 * F.avg_pool2d(found[0], 2) if mask[0] and wide is not x else found

    for name, mask in PASSES.items():
        if mask is None:
            yield name, lambda: F.conv2d(read(x), weight, stride=stride, padding=padding)
        else:
            yield name, lambda mask=mask: backward(mask)


def print_ceilings(timer, device, matrix, copied):
    """What the device does at most: products of matrices and copies."""
    print("| at most | per second |\n| --- | ---: |")
    for precision, dtype in PRECISIONS.items():
        a, b = (numbers(device, dtype, matrix, matrix) for _ in range(2))
        seconds = timer.fastest(lambda a=a, b=b: a @ b)
        print(f"| product of {matrix}² matrices in {precision} | {2e-12 * matrix**3 / seconds:.2f} TFLOP |")
    source = numbers(device, torch.float32, copied)
    target = torch.empty_like(source)
    seconds = timer.fastest(lambda: target.copy_(source))
    # Each number is read and written.
    print(f"| copy of {4 * copied >> 20} MiB | {8e-9 * copied / seconds:.1f} GB |")


def print_layers(timer, arguments):
    """A row for each pass of each convolution."""
    heads = [f"{precision}, GFLOP/s" for precision in PRECISIONS]
    print(f"\n| layer | pass | times | {' | '.join(heads)} |\n| --- | --- | ---: |{' ---: |' * len(heads)}")
    for layer, times in layers(SHAPES["published"]).items():
        if layer.side > arguments.most:
            continue
        rates = {name: [] for name in PASSES}
        for dtype in PRECISIONS.values():
            for name, work in passes(layer, arguments.batch, arguments.device, dtype):
                rates[name].append(1e-9 * layer.flops(arguments.batch) / timer.fastest(work))
        for name, found in rates.items():
            cells = " | ".join(f"{rate:.1f}" for rate in found)
            print(f"| {layer.name(arguments.batch)} | {name} | {times} | {cells} |", flush=True)


def parse_arguments():
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--device", choices=["cpu", "cuda"], default="cuda")
    parser.add_argument("--batch", type=int, default=96, help="images of a convolution")
    parser.add_argument("--runs", type=int, default=10, help="timed runs, of which the fastest counts")
    parser.add_argument("--most", type=int, default=1 << 30, help="leaves out layers of a larger height")
    parser.add_argument("--matrix", type=int, default=MATRIX, help="height of the matrices of a product")
    parser.add_argument("--copied", type=int, default=COPIED, help="numbers of a copy")
    return parser.parse_args()


def main():
    arguments = parse_arguments()
    torch.manual_seed(0)
    torch.backends.cudnn.benchmark = True
    # f32 means f32: no products in TF32.
    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = False
    timer = Timer(arguments.device, arguments.runs)
    print(f"PyTorch {torch.__version__} on {arguments.device}\n")
    with torch.inference_mode():
        print_ceilings(timer, arguments.device, arguments.matrix, arguments.copied)
        print_layers(timer, arguments)


if __name__ == "__main__":
    main()
