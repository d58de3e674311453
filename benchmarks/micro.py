"""HTNet leave-one-subject-out: speed of a training step, and what the number of heads changes.

    python -m benchmarks.micro                              # some steps of each way, in turns
    python -m benchmarks.micro --heads 1 2 4 8 --maps FILE.npz   # answers by number of heads

Speed: the loop that trains fold after fold, beside four folds at once by `torch.func` (`vmap` over
stacked weights of the readable network), both in float32 and in bf16. Maps are random, in the
number and shape of the MEGC 2019 composite (442 clips, 68 subjects): speed does not hang on what
they show. Heads: honest UF1 and UAR, every other setting that of the recipe.
"""

from __future__ import annotations

import argparse
import os
import platform
import statistics
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from torch import nn
from torch.func import functional_call, stack_module_state, vmap

from common.words import counted
from htnet.micro.clips.maps import FlowMaps
from htnet.micro.clips.sources import class_set_named, read_clips
from htnet.micro.loso.driver import run_loso, scored_run
from htnet.micro.loso.networks import NetworkRecogniser
from htnet.micro.models.htnet import FlowModel, flow_model
from htnet.network.htnet import HTNet

CLIPS, SUBJECTS, TOGETHER = 442, 68, 4


def composite_like() -> FlowMaps:
    """Random maps of 442 clips, dealt to 68 subjects of very unequal size."""
    rng = np.random.default_rng(0)
    share = rng.pareto(1.5, SUBJECTS) + 0.5
    more = rng.choice(SUBJECTS, CLIPS - SUBJECTS, p=share / share.sum())
    fold = np.sort(np.concatenate([np.arange(SUBJECTS), more]))
    names = np.array([f"drawn/sub{number:02d}" for number in fold])
    return FlowMaps(
        maps=rng.normal(size=(CLIPS, 28, 28, 3)).astype(np.float32),
        centres=np.full((CLIPS, 5, 2), 14, np.float32),
        clip_id=np.array([f"{name}/{number}" for number, name in enumerate(names)]),
        dataset=np.full(CLIPS, "drawn"),
        subject=names,
        label=rng.integers(0, 3, CLIPS),
        classes=("negative", "positive", "surprise"),
        scaling="physical",
    )


class Steps:
    """Training steps of some networks: one after the other, or stacked and mapped over."""

    def __init__(self, clips: FlowMaps, model: FlowModel, *, bf16: bool, mapped: bool) -> None:
        size = model.recipe.training.batch_size
        self.images = torch.from_numpy(clips.maps).movedim(-1, 1)[:size].contiguous()
        self.labels = torch.from_numpy(clips.label)[:size]
        self.bf16, self.networks = bf16, [model.build(num_classes=3) for _ in range(TOGETHER)]
        self.stacked, _ = stack_module_state(self.networks) if mapped else ({}, {})
        groups = [self.stacked.values()] if mapped else [n.parameters() for n in self.networks]
        self.optimizers = [torch.optim.AdamW(group, fused=True) for group in groups]
        empty = HTNet.from_config(self.networks[0].config).to("meta")
        self.all_at_once = vmap(lambda weights, x: functional_call(empty, weights, (x,)), (0, None))

    def step(self) -> None:
        if self.stacked:
            self._update(self.optimizers[0], lambda: self.all_at_once(self.stacked, self.images))
            return
        for network, optimizer in zip(self.networks, self.optimizers, strict=True):
            self._update(optimizer, lambda network=network: network(self.images)[None])

    def _update(self, optimizer: torch.optim.Optimizer, answer: Callable[[], torch.Tensor]) -> None:
        optimizer.zero_grad()
        with torch.autocast("cpu", dtype=torch.bfloat16, enabled=self.bf16):
            logits = answer()
        losses = [nn.functional.cross_entropy(one.float(), self.labels) for one in logits]
        torch.stack(losses).sum().backward()
        optimizer.step()


def in_turns(runs: dict[str, Callable[[], object]], *, repeats: int) -> dict[str, list[float]]:
    """Time each in turns, so that a busy machine slows all alike; the first round warms up.

    Of one thread the processor time counts, which others on the machine hardly change; of several
    the wall time, since threads that wait for each other use processor time too.
    """
    clock = time.process_time if torch.get_num_threads() == 1 else time.perf_counter
    times: dict[str, list[float]] = {name: [] for name in runs}
    for round_ in range(repeats + 1):
        for name, run in runs.items():
            began = clock()
            run()
            if round_:
                times[name].append(clock() - began)
    return times


def speed(model: FlowModel, *, repeats: int) -> None:
    clips = composite_like()
    steps = {
        f"{way}, {'bf16' if bf16 else 'float32'}": Steps(clips, model, bf16=bf16, mapped=mapped)
        for way, mapped in (("loop", False), ("vmap", True))
        for bf16 in (False, True)
    }
    times = in_turns({name: one.step for name, one in steps.items()}, repeats=repeats)
    for name, found in times.items():
        best, middle = (1e3 * of(found) / TOGETHER for of in (min, statistics.median))
        print(f"  {name}: {best:.1f} ms a fold and step (median {middle:.1f})", flush=True)


def heads(options: argparse.Namespace) -> None:
    clips = read_clips(options.maps, class_set=class_set_named(options.classes)).maps
    for number in options.heads:
        changes = (*options.change, f"network.heads={number}")
        one = NetworkRecogniser(flow_model(options.recipe, changes=changes), jobs=options.jobs)
        models, seconds = run_loso(clips, [one], seeds=tuple(range(options.seeds)))
        scores = scored_run(clips, models, seconds=seconds).on()[0].scores
        print(
            f"  {counted(number, 'head')}: UF1 {scores.uf1} ± {scores.spread_uf1:.3f} over seeds, "
            f"UAR {scores.uar.value:.3f}",
            flush=True,
        )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--recipe", default="small")
    parser.add_argument("--change", action="append", default=[])
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--repeats", type=int, default=10)
    parser.add_argument("--heads", type=int, nargs="+", help="compare these numbers of heads")
    parser.add_argument("--maps", type=Path, help="published maps or a folder of micro flow")
    parser.add_argument("--classes", default="composite3")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--jobs", type=int, default=os.cpu_count())
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    print(
        f"torch {torch.__version__}, {platform.machine()}, {options.threads} thread(s), recipe "
        f"{options.recipe} {' '.join(options.change)}; load {os.getloadavg()[0]:.1f}"
    )
    if options.heads:
        heads(options)
    else:
        speed(flow_model(options.recipe, changes=tuple(options.change)), repeats=options.repeats)


if __name__ == "__main__":
    main()
