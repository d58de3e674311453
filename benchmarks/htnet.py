"""Speed and memory of HTNet's forward pass beside two baselines, in one run.

    python -m benchmarks.htnet --threads 1 --repeats 5

The floor is the time of the network's own matrix products alone: every matrix product and
convolution of one forward pass, done again with operands of the same shapes and nothing between
them. The transcription is the published forward pass written out plainly: 1 x 1 convolutions,
einsum attention within blocks, the neighbourhood mask built in a loop. Beside them the forward pass
with matrix products in bf16 (`--precision bf16` of predict and evaluate), and how far its outputs
are from those in fp32.
"""

from __future__ import annotations

import argparse
import os
import platform
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode

from htnet.network.configuration import PUBLISHED_28, PUBLISHED_224, HTNetConfig
from htnet.network.htnet import HTNet, count_parameters
from htnet.network.levels import BlockAttention
from htnet.network.mirror_attention import InBlocks, ReleasedMicroAttention
from htnet.palsy.asking import arithmetic

FORMS = {
    "28 px, one token a block": PUBLISHED_28,
    "plain": PUBLISHED_224,
    "both modules": PUBLISHED_224.model_copy(
        update={"use_micro_attention": True, "use_roi_module": True}
    ),
    "both, as released": PUBLISHED_224.model_copy(
        update={"use_micro_attention": True, "use_roi_module": True, "compat": "as_released"}
    ),
}
_PRODUCTS = {"mm", "addmm", "bmm", "baddbmm", "convolution", "conv2d", "linear", "matmul"}
_ATTENTION = "scaled_dot_product"


class Products(TorchDispatchMode):
    """Note every matrix product of a forward pass: what it is called with, so it can be redone."""

    def __init__(self) -> None:
        super().__init__()
        self.calls: list[Callable[[], object]] = []

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        name = function.overloadpacket.__name__
        kwargs = kwargs or {}
        if name in _PRODUCTS:
            self.calls.append(lambda: function(*args, **kwargs))
        elif _ATTENTION in name:  # the two products of attention, without softmax
            q, k, v = (part.contiguous() for part in args[:3])
            weights = torch.rand(*q.shape[:-1], k.shape[-2])
            self.calls.append(lambda: torch.matmul(q, k.transpose(-2, -1)))
            self.calls.append(lambda: torch.matmul(weights, v))
        return function(*args, **kwargs)


def transcription(network: HTNet, image: Tensor) -> Tensor:
    """Compute the published forward pass, plainly, with the weights of our network."""
    config = network.config
    p, grid = config.patch_size, config.grid
    b = len(image)
    x = image.view(b, config.channels, grid, p, grid, p).permute(0, 3, 5, 1, 2, 4)
    x = x.reshape(b, p * p * config.channels, grid, grid)
    x = conv1(x, network.embed)
    if network.roi_module is not None:
        x = network.roi_module(x).features
    for level in network.levels:
        s = level.blocks
        n = x.shape[-1] // s
        c = x.shape[1]
        x = x.view(b, c, s, n, s, n).permute(0, 2, 4, 1, 3, 5).reshape(b * s * s, c, n, n)
        x = x + level.position
        for layer in level.layers:
            normal = norm(x, layer.attention_norm)
            if isinstance(layer.attention, BlockAttention):
                x = x + block_attention(normal, layer.attention)
            else:
                x = x + micro_attention(normal, layer.attention)
            feed = layer.feed_forward
            x = x + conv1(F.gelu(conv1(norm(x, feed[0]), feed[1])), feed[4])
        x = x.view(b, s, s, c, n, n).permute(0, 3, 1, 4, 2, 5).reshape(b, c, s * n, s * n)
        if level.aggregate is not None:
            x = norm(level.aggregate.conv(x), level.aggregate.norm)
            x = F.max_pool2d(x, 3, stride=2, padding=1)
    return network.head(norm(x, network.norm).mean(dim=(2, 3)))


def conv1(x: Tensor, layer: nn.Linear) -> Tensor:
    return F.conv2d(x, layer.weight[:, :, None, None], layer.bias)


def norm(x: Tensor, layer: nn.LayerNorm) -> Tensor:
    variance = torch.var(x, dim=1, unbiased=False, keepdim=True)
    mean = torch.mean(x, dim=1, keepdim=True)
    weight, bias = layer.weight[None, :, None, None], layer.bias[None, :, None, None]
    return (x - mean) / (variance + layer.eps).sqrt() * weight + bias


def block_attention(x: Tensor, layer: BlockAttention) -> Tensor:
    b, _, h, w = x.shape
    q, k, v = (
        part.reshape(b, layer.heads, layer.dim_head, h * w).transpose(2, 3)
        for part in conv1(x, layer.to_qkv).chunk(3, dim=1)
    )
    dots = torch.einsum("bhid,bhjd->bhij", q, k) * layer.dim_head**-0.5
    out = torch.einsum("bhij,bhjd->bhid", dots.softmax(dim=-1), v)
    return conv1(out.transpose(2, 3).reshape(b, -1, h, w), layer.to_out[0])


def micro_attention(x: Tensor, wrapped: InBlocks) -> Tensor:
    layer = wrapped.module
    assert isinstance(layer, ReleasedMicroAttention)
    b, _, h, w = x.shape
    q, k, v = (
        part(x).reshape(b, layer.heads, layer.dim_head, h * w).transpose(2, 3)
        for part in (layer.to_q, layer.to_k, layer.to_v)
    )
    dots = torch.einsum("bhid,bhjd->bhij", q, k) * layer.dim_head**-0.5
    mask = torch.zeros(h * w, h * w)
    for row in range(h):
        for column in range(w):
            for near_row in range(max(0, row - 1), min(h, row + 2)):
                for near_column in range(max(0, column - 1), min(w, column + 2)):
                    mask[row * w + column, near_row * w + near_column] = 1.0
    dots = dots * mask + (1 - mask) * -1e9
    out = torch.einsum("bhij,bhjd->bhid", dots.softmax(dim=-1), v)
    out = out.transpose(2, 3).reshape(b, -1, h, w)
    half = x[..., : w // 2], x[..., w // 2 :].flip(-1)
    score = torch.sigmoid(layer.asymmetry_score(torch.cat(half, dim=1)))
    score = F.interpolate(score, size=(h, w), mode="bilinear", align_corners=False)
    return layer.to_out(out * (1 + layer.asymmetry_weight * score))


def measure(config: HTNetConfig, *, repeats: int, batch: int) -> Iterator[str]:
    """Time one form against its baselines, in turns, so that a busy machine slows all alike."""
    torch.manual_seed(0)
    network = HTNet.from_config(config).eval()
    image = torch.randn(batch, 3, config.image_size, config.image_size)
    with torch.inference_mode():
        with Products() as products:
            exact = network(image)
        runs: dict[str, Callable[[], object]] = {
            "forward": lambda: network(image),
            "floor": lambda: [call() for call in products.calls],
        }
        comparable = not config.use_micro_attention or config.compat == "as_released"
        if comparable:
            runs["transcription"] = lambda: transcription(network, image)
            apart = (transcription(network, image) - exact).abs().max()
            scale = exact.abs().max()
            yield f"apart from the transcription: {float(apart / scale):.1e} of the largest output"
        with arithmetic("bf16"):
            apart = (network(image).float() - exact).abs().max() / exact.abs().max()
        yield f"bf16 apart from fp32: {float(apart):.1e} of the largest output"
        times: dict[str, list[float]] = {name: [] for name in runs}
        for round_ in range(repeats + 1):
            for name, run in runs.items():
                began = time.process_time()
                run()
                if round_:  # the first warms up
                    times[name].append(time.process_time() - began)
        with arithmetic("bf16"):  # weights are turned to bf16 once, by the first pass
            network(image)
            times["bf16"] = []
            for _ in range(repeats):
                began = time.process_time()
                network(image)
                times["bf16"].append(time.process_time() - began)
    best = {name: min(values) for name, values in times.items()}
    for name, values in times.items():
        yield (
            f"{name}: {best[name] / batch * 1000:.1f} ms an image "
            f"(median {statistics.median(values) / batch * 1000:.1f})"
        )
    yield f"forward / floor: {best['forward'] / best['floor']:.3f}"
    yield f"forward / bf16: {best['forward'] / best['bf16']:.2f}"
    if comparable:
        yield f"transcription / forward: {best['transcription'] / best['forward']:.2f}"


def memory(form: str) -> None:
    """Print the memory of one more image in a batch, in a process of its own."""
    network = HTNet.from_config(FORMS[form]).eval()
    peaks = []
    size = network.config.image_size
    with torch.inference_mode():
        network(torch.randn(1, 3, size, size))
        for batch in (1, 9):
            image = torch.randn(batch, 3, size, size)
            Path("/proc/self/clear_refs").write_text("5")  # Linux: forget the highest so far
            network(image)
            status = Path("/proc/self/status").read_text()
            line = next(line for line in status.splitlines() if line.startswith("VmHWM"))
            peaks.append(int(line.split()[1]) / 1024)
    weights = count_parameters(network) * 4 / 2**20
    print(f"memory: weights {weights:.0f} MiB, and {(peaks[1] - peaks[0]) / 8:.0f} MiB an image")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--batch", type=int, default=1)
    parser.add_argument("--memory", choices=list(FORMS), help=argparse.SUPPRESS)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    if options.memory:
        memory(options.memory)
        return
    print(
        f"torch {torch.__version__}, {platform.machine()}, {os.cpu_count()} processors, "
        f"{options.threads} thread(s), batch {options.batch}, processor time, best of "
        f"{options.repeats} rounds; GPU: not measured"
    )
    for name, config in FORMS.items():
        with torch.device("meta"):
            count = count_parameters(HTNet.from_config(config))
        print(
            f"\n{name}: {count:,} parameters, {config.image_size} px, {config.num_classes} classes"
        )
        for line in measure(config, repeats=options.repeats, batch=options.batch):
            print(f"  {line}", flush=True)
        command = [sys.executable, "-m", "benchmarks.htnet", "--memory", name, "--threads", "1"]
        print(
            "  "
            + subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()
        )


if __name__ == "__main__":
    main()
