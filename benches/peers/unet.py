"""The restoration network in PyTorch, as a server that runs one iteration each time it is told to.

After warm-up it prints `ready`. To each line `go` it answers with the milliseconds that one iteration took; to `quit`
with `peak <MiB>`, its largest resident set, and ends. Several servers kept alive can so be timed in turn, under the
same load of the machine.

    printf 'go\\ngo\\nquit\\n' | python unet.py --network published --what forward --batch 1 --variant eager

With `--runs` it times so many iterations by itself, and prints the fastest: what one carries to a machine with a
GPU, beside our own check (docs/CUDA.md). There the network is compiled, and its launches are CUDA graphs.

    python unet.py --device cuda --variant bf16 --batch 96 --what train --runs 10
    python unet.py --device cuda --variant bf16 --batch 96 --what ensemble --runs 10
"""

import argparse
import contextlib
import math
import os
import sys
from dataclasses import dataclass

# glibc gives large blocks back to the kernel as soon as they are free, and a step then pays for every page again. Kept
# memory is the fairest partner.
MALLOC = {
    "MALLOC_TOP_PAD_": str(256 << 20),
    "MALLOC_MMAP_THRESHOLD_": "4000000000",
    "MALLOC_TRIM_THRESHOLD_": "40000000000",
}


def keep_freed_memory():
    """Starts this program anew with malloc tuned, unless it is: malloc reads its settings before `main`."""
    if not all(name in os.environ for name in MALLOC):
        os.execve(sys.executable, [sys.executable, *sys.argv], {**MALLOC, **os.environ})


if __name__ == "__main__":
    keep_freed_memory()

import torch
import torch.nn.functional as F
from torch import nn

from server import milliseconds, serve


@dataclass(frozen=True)
class Shape:
    """The shape of a network. Levels count from the finest."""

    channels: tuple
    attention_levels: tuple
    groups: int
    patch: int
    parameters: int
    resnets: int = 2
    head: int = 8
    sinusoid: int = 32
    embedding: int = 128


SHAPES = {
    "published": Shape((32, 64, 96, 128, 256, 256), (4,), groups=32, patch=128, parameters=26_296_929),
    "cpu-2mm": Shape((16, 32, 64, 64), (), groups=8, patch=64, parameters=1_586_337),
}


class Resnet(nn.Module):
    """conv(silu(norm(conv(silu(norm(x))) + embedding))) + x, with a 1x1 convolution of x where channels differ."""

    def __init__(self, shape, inputs, outputs):
        super().__init__()
        self.norm1 = nn.GroupNorm(shape.groups, inputs, eps=1e-5)
        self.conv1 = nn.Conv2d(inputs, outputs, 3, padding=1)
        self.time_emb_proj = nn.Linear(shape.embedding, outputs)
        self.norm2 = nn.GroupNorm(shape.groups, outputs, eps=1e-5)
        self.conv2 = nn.Conv2d(outputs, outputs, 3, padding=1)
        self.conv_shortcut = nn.Identity() if inputs == outputs else nn.Conv2d(inputs, outputs, 1)

    def forward(self, x, embedding):
        h = self.conv1(F.silu(self.norm1(x)))
        h = h + self.time_emb_proj(F.silu(embedding))[:, :, None, None]
        h = self.conv2(F.silu(self.norm2(h)))
        return self.conv_shortcut(x) + h


class Attention(nn.Module):
    """Self-attention over the pixels, with a residual connection."""

    def __init__(self, shape, channels):
        super().__init__()
        self.group_norm = nn.GroupNorm(shape.groups, channels, eps=1e-5)
        self.to_q, self.to_k, self.to_v = (nn.Linear(channels, channels) for _ in range(3))
        self.to_out = nn.ModuleList([nn.Linear(channels, channels)])
        self.head = shape.head

    def forward(self, x):
        pixels = self.group_norm(x).flatten(2).transpose(1, 2)  # (n, pixels, channels)
        split = [
            linear(pixels).unflatten(2, (-1, self.head)).transpose(1, 2)  # (n, heads, pixels, head)
            for linear in (self.to_q, self.to_k, self.to_v)
        ]
        mixed = F.scaled_dot_product_attention(*split).transpose(1, 2).flatten(2)
        return x + self.to_out[0](mixed).transpose(1, 2).unflatten(2, x.shape[2:])


class Resampler(nn.Module):
    """The convolution before (stride 2) or after (doubling) a change of size."""

    def __init__(self, channels, stride):
        super().__init__()
        self.conv = nn.Conv2d(channels, channels, 3, stride=stride, padding=1)
        self.doubles = stride == 1

    def forward(self, x):
        return self.conv(F.interpolate(x, scale_factor=2.0, mode="nearest") if self.doubles else x)


class Block(nn.Module):
    """Resnets, one for each pair (into, out of) of `channels`, with attention after each where `attends`."""

    def __init__(self, shape, channels, attends):
        super().__init__()
        self.resnets = nn.ModuleList(Resnet(shape, *pair) for pair in channels)
        self.attentions = nn.ModuleList(Attention(shape, pair[1]) for pair in channels if attends)

    def step(self, i, x, embedding):
        x = self.resnets[i](x, embedding)
        return self.attentions[i](x) if self.attentions else x


class Down(Block):
    """A level on the way down."""

    def __init__(self, shape, level, skips):
        inputs, outputs = shape.channels[max(level - 1, 0)], shape.channels[level]
        channels = [(inputs, outputs)] + [(outputs, outputs)] * (shape.resnets - 1)
        super().__init__(shape, channels, level in shape.attention_levels)
        resizes = level + 1 < len(shape.channels)
        self.downsamplers = nn.ModuleList([Resampler(outputs, 2)] if resizes else [])
        skips.extend([outputs] * (shape.resnets + resizes))

    def forward(self, x, embedding, skips):
        for i in range(len(self.resnets)):
            x = self.step(i, x, embedding)
            skips.append(x)
        for downsampler in self.downsamplers:
            x = downsampler(x)
            skips.append(x)
        return x


class Middle(Block):
    """Resnet, attention, resnet at the coarsest level."""

    def __init__(self, shape):
        channels = shape.channels[-1]
        super().__init__(shape, [(channels, channels)] * 2, attends=False)
        self.attentions.append(Attention(shape, channels))

    def forward(self, x, embedding):
        x = self.attentions[0](self.resnets[0](x, embedding))
        return self.resnets[1](x, embedding)


class Up(Block):
    """A level on the way up."""

    def __init__(self, shape, level, skips):
        outputs = shape.channels[level]
        below = shape.channels[min(level + 1, len(shape.channels) - 1)]
        inputs = [below] + [outputs] * shape.resnets
        channels = [(channels + skips.pop(), outputs) for channels in inputs]
        super().__init__(shape, channels, level in shape.attention_levels)
        self.upsamplers = nn.ModuleList([Resampler(outputs, 1)] if level > 0 else [])

    def forward(self, x, embedding, skips):
        for i in range(len(self.resnets)):
            x = self.step(i, torch.cat([x, skips.pop()], 1), embedding)
        for upsampler in self.upsamplers:
            x = upsampler(x)
        return x


class TimeEmbedding(nn.Module):
    """Sinusoid (cosines first), linear, SiLU, linear."""

    def __init__(self, shape):
        super().__init__()
        self.linear_1 = nn.Linear(shape.sinusoid, shape.embedding)
        self.linear_2 = nn.Linear(shape.embedding, shape.embedding)
        half = shape.sinusoid // 2
        frequencies = torch.exp(-math.log(10_000.0) * torch.arange(half) / half)
        self.register_buffer("frequencies", frequencies, persistent=False)

    def forward(self, t):
        angles = t[:, None].float() * self.frequencies
        return self.linear_2(F.silu(self.linear_1(torch.cat([angles.cos(), angles.sin()], 1))))


class UNet(nn.Module):
    """The UNet2DModel of the diffusers library; parameters have its names."""

    def __init__(self, shape):
        super().__init__()
        first, levels = shape.channels[0], range(len(shape.channels))
        skips = [first]
        self.time_embedding = TimeEmbedding(shape)
        self.conv_in = nn.Conv2d(1, first, 3, padding=1)
        self.down_blocks = nn.ModuleList(Down(shape, level, skips) for level in levels)
        self.mid_block = Middle(shape)
        self.up_blocks = nn.ModuleList(Up(shape, level, skips) for level in reversed(levels))
        self.conv_norm_out = nn.GroupNorm(shape.groups, first, eps=1e-5)
        self.conv_out = nn.Conv2d(first, 1, 3, padding=1)

    def forward(self, x, t):
        embedding = self.time_embedding(t)
        x = self.conv_in(x)
        skips = [x]
        for block in self.down_blocks:
            x = block(x, embedding, skips)
        x = self.mid_block(x, embedding)
        for block in self.up_blocks:
            x = block(x, embedding, skips)
        return self.conv_out(F.silu(self.conv_norm_out(x)))


class Workload:
    """A network, a batch, and one iteration of the work that is timed."""

    def __init__(self, network, batch, variant, device="cpu"):
        shape = SHAPES[network]
        self.device = device
        torch.manual_seed(0)
        layout = torch.contiguous_format if variant == "eager" else torch.channels_last
        self.model = UNet(shape).to(device=device, memory_format=layout)
        count = sum(parameter.numel() for parameter in self.model.parameters())
        assert count == shape.parameters, f"{network} has {count} parameters, not {shape.parameters}"
        clean, noise = torch.rand(2, batch, 1, shape.patch, shape.patch).to(device)
        self.clean = clean.contiguous(memory_format=layout)
        self.corrupted = (0.5 * (clean + noise)).contiguous(memory_format=layout)
        self.t = torch.randint(100, (batch,)).to(device)
        self.bf16 = variant == "bf16"
        self.optimizer = torch.optim.AdamW(
            self.model.parameters(), lr=1e-4, betas=(0.95, 0.999), weight_decay=1e-6, fused=True
        )
        if device == "cuda":
            self.model = torch.compile(self.model, mode="max-autotune")

    def restore(self):
        """The network's output in 32 bits."""
        if self.device == "cuda":
            # A graph's outputs of the pass before may be written over.
            torch.compiler.cudagraph_mark_step_begin()
        autocast = torch.autocast(self.device, dtype=torch.bfloat16) if self.bf16 else contextlib.nullcontext()
        with autocast:
            return self.model(self.corrupted, self.t).float()

    def forward(self):
        """One restoration of the batch."""
        with torch.inference_mode():
            self.restore()

    def ensemble(self):
        """Restorations of the batch at four severities, and the sums that score it."""
        with torch.inference_mode():
            residuals = restorations = 0.0
            for t in (99, 74, 49, 24):
                self.t.fill_(t)
                restored = self.restore()
                residuals = residuals + (self.corrupted - restored).abs()
                restorations = restorations + restored

    def train(self):
        """One step of training."""
        F.mse_loss(self.restore(), self.clean).backward()
        nn.utils.clip_grad_norm_(self.model.parameters(), 1.0)
        self.optimizer.step()
        self.optimizer.zero_grad(set_to_none=True)


def waited_for(iteration):
    """An iteration that ends when the device has done its work."""

    def iterate():
        iteration()
        if torch.cuda.is_available():
            torch.cuda.synchronize()

    return iterate


def warm_up(iteration, seconds):
    """Iterates at least once, and on until so much time has gone."""
    spent = milliseconds(iteration)
    while spent < 1e3 * seconds:
        spent += milliseconds(iteration)


def report(iteration, arguments):
    """Prints the fastest of some iterations."""
    fastest = min(milliseconds(iteration) for _ in range(arguments.runs))
    name = f"{arguments.what}, PyTorch {torch.__version__}, {arguments.variant} on {arguments.device}"
    print(f"{name}: batch {arguments.batch}, {fastest:.2f} ms, {1e3 * arguments.batch / fastest:.0f} patches/s")


def parse_arguments():
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--network", choices=SHAPES, default="published")
    parser.add_argument("--what", choices=["forward", "ensemble", "train"], default="forward")
    parser.add_argument("--batch", type=int, default=8, help="patches of an iteration")
    parser.add_argument("--variant", choices=["eager", "channels-last", "bf16"], default="eager")
    parser.add_argument("--device", choices=["cpu", "cuda"], default="cpu")
    parser.add_argument("--runs", type=int, default=0, help="iterations to time without a server")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--seconds", type=float, default=1.0, help="least time of the warm-up")
    return parser.parse_args()


def main():
    arguments = parse_arguments()
    torch.set_num_threads(arguments.threads)
    workload = Workload(arguments.network, arguments.batch, arguments.variant, arguments.device)
    iteration = waited_for(getattr(workload, arguments.what))
    warm_up(iteration, arguments.seconds)
    if arguments.runs > 0:
        report(iteration, arguments)
    else:
        serve(iteration)


if __name__ == "__main__":
    main()
