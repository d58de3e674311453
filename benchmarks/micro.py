"""Speed of HTNet leave-one-subject-out: all folds as one stack, beside its floor and a plain loop.

    python -m benchmarks.micro                      # some steps of each, in turns
    python -m benchmarks.micro --whole              # and one whole run: every fold, every epoch

The floor is the time of the stack's own matrix products alone, forward and backward, with the very
tensors of a step. The plain loop trains `htnet.network.HTNet` fold after fold as anyone would. Maps
are random, in the number and shape of the MEGC 2019 composite (442 clips, 68 subjects): speed does
not hang on what they show.
"""

from __future__ import annotations

import argparse
import os
import platform
import statistics
import time
from collections.abc import Callable, Iterator
from dataclasses import replace

import numpy as np
import torch
from torch import nn
from torch.utils._python_dispatch import TorchDispatchMode

from htnet.micro.clips import FlowMaps
from htnet.micro.htnet_recogniser import HTNetRecogniser
from htnet.micro.recipe import MicroRecipe, read_micro_recipe, with_micro_changes
from htnet.micro.stacked_batches import Member, StackBatches
from htnet.micro.stacked_clips import ClipTable
from htnet.micro.stacked_folds import subject_members
from htnet.micro.stacked_network import StackedHTNet
from htnet.micro.stacked_training import PRECISIONS, stack_steps
from htnet.micro.stacked_weights import StackedWeights
from htnet.network import HTNet

CLIPS, SUBJECTS, PLAIN_FOLDS = 442, 68, 2
_PRODUCTS = ("bmm", "baddbmm")


def composite_like() -> FlowMaps:
    """Random maps of 442 clips, dealt to 68 subjects of very unequal size."""
    rng = np.random.default_rng(0)
    share = rng.pareto(1.5, SUBJECTS) + 0.5
    more = rng.choice(SUBJECTS, CLIPS - SUBJECTS, p=share / share.sum())
    fold = np.sort(np.concatenate([np.arange(SUBJECTS), more]))
    names = np.array([f"drawn/sub{number:02d}" for number in fold])
    return FlowMaps(
        maps=rng.normal(size=(CLIPS, 28, 28, 3)).astype(np.float32),
        centres=np.tile(
            np.array([[6, 8], [21, 8], [14, 14], [8, 21], [20, 21]], np.float32), (CLIPS, 1, 1)
        ),
        clip_id=np.array([f"{name}/{number}" for number, name in enumerate(names)]),
        dataset=np.full(CLIPS, "drawn"),
        subject=names,
        label=rng.integers(0, 3, CLIPS),
        classes=("negative", "positive", "surprise"),
        scaling="physical",
    )


class Products(TorchDispatchMode):
    """Note every matrix product of a step: what it is called with, so that it can be redone."""

    def __init__(self) -> None:
        super().__init__()
        self.calls: list[Callable[[], object]] = []
        self.flops = 0

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        kwargs = kwargs or {}
        if function.overloadpacket.__name__ in _PRODUCTS:
            self.calls.append(lambda: function(*args, **kwargs))
            left, right = args[-2:]
            self.flops += 2 * left.shape[0] * left.shape[1] * left.shape[2] * right.shape[2]
        return function(*args, **kwargs)


class StackedSteps:
    """Training steps of one group of folds, one after the other."""

    def __init__(self, clips: FlowMaps, recipe: MicroRecipe, members: list[Member]) -> None:
        table = ClipTable(clips, recipe, device=torch.device("cpu"))
        torch.manual_seed(0)
        state = HTNet.from_config(table.config).state_dict()
        products = PRECISIONS[recipe.training.precision]
        self.weights = StackedWeights(table.config, [state] * len(members), products=products)
        self.network = StackedHTNet(self.weights)
        self.batches = StackBatches(table, members, recipe)
        self.steps = stack_steps(subject_members(clips, seed=0), recipe.training)
        self.optimizer = torch.optim.AdamW([self.weights.master], lr=1e-3, fused=True)
        self.plan = self.batches.epoch(0, steps=self.steps)
        with Products() as products_mode:
            self.compute()
        self.products = products_mode

    def compute(self) -> None:
        self.batches.loss(self.network, self.plan, 0).backward()

    def step(self) -> None:
        self.compute()
        self.weights.collect()
        self.optimizer.step()
        self.weights.refresh()

    def floor(self) -> None:
        with torch.no_grad():
            for call in self.products.calls:
                call()


class PlainSteps:
    """Training steps of a few folds, each network by itself."""

    def __init__(self, clips: FlowMaps, recipe: MicroRecipe, members: list[Member]) -> None:
        config = recipe.config(num_classes=3)
        self.images = torch.from_numpy(clips.maps).movedim(-1, 1).contiguous()
        self.labels = torch.from_numpy(clips.label)
        self.rows = [torch.from_numpy(m.train[: recipe.training.batch_size]) for m in members]
        self.networks = [HTNet.from_config(config) for _ in members]
        self.optimizers = [torch.optim.AdamW(net.parameters()) for net in self.networks]

    def step(self) -> None:
        for network, optimizer, rows in zip(self.networks, self.optimizers, self.rows, strict=True):
            optimizer.zero_grad()
            loss = nn.functional.cross_entropy(network(self.images[rows]), self.labels[rows])
            loss.backward()
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


def measure(clips: FlowMaps, recipe: MicroRecipe, *, repeats: int) -> Iterator[str]:
    """Time a step of a group, its products, and plain steps; per fold, and for a whole run."""
    group = recipe.training.group
    members = subject_members(clips, seed=0)[:group]
    plain = PlainSteps(clips, recipe, members[:PLAIN_FOLDS])
    runs: dict[str, Callable[[], object]] = {"plain loop": plain.step}
    folds = {"plain loop": PLAIN_FOLDS}
    stacks = {}
    for precision in ("float32", "bf16"):
        changed = replace(recipe, training=replace(recipe.training, precision=precision))
        stack = stacks[precision] = StackedSteps(clips, changed, members)
        runs |= {f"stack {precision}": stack.step, f"floor {precision}": stack.floor}
        folds |= {f"stack {precision}": group, f"floor {precision}": group}
    times = in_turns(runs, repeats=repeats)
    steps = stacks["float32"].steps * recipe.training.epochs * SUBJECTS
    run = f"{SUBJECTS} folds x {recipe.training.epochs} epochs"
    best = {name: min(found) / folds[name] for name, found in times.items()}
    for name, found in times.items():
        yield (
            f"{name}: {1e3 * best[name]:.1f} ms a fold and step "
            f"(median {1e3 * statistics.median(found) / folds[name]:.1f}); "
            f"{best[name] * steps / 60:.1f} min for {run}"
        )
    for precision, stack in stacks.items():
        mine, floor = best[f"stack {precision}"], best[f"floor {precision}"]
        yield (
            f"{precision}: stack / floor {mine / floor:.2f}, plain loop / stack "
            f"{best['plain loop'] / mine:.2f}, products at "
            f"{stack.products.flops / group / floor / 1e9:.0f} GFLOP/s"
        )


def whole(clips: FlowMaps, recipe: MicroRecipe) -> str:
    """Time one seed of every fold, with answers after each epoch, as `micro loso` runs it."""
    began = time.perf_counter()
    HTNetRecogniser(recipe, device="cpu").leave_one_subject_out(clips, seeds=(0,))
    minutes = (time.perf_counter() - began) / 60
    return (
        f"whole run: {len(clips.subjects)} folds, {recipe.training.epochs} epochs, "
        f"{recipe.training.products('cpu')}: {minutes:.1f} min"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--recipe", default="small")
    parser.add_argument("--change", action="append", default=[])
    parser.add_argument("--threads", type=int, default=os.cpu_count())
    parser.add_argument("--repeats", type=int, default=10)
    parser.add_argument("--whole", action="store_true")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    recipe = with_micro_changes(read_micro_recipe(options.recipe), options.change)
    recipe = replace(recipe, training=replace(recipe.training, input="whole"))
    clips = composite_like()
    kind = "processor" if options.threads == 1 else "wall"
    print(
        f"torch {torch.__version__}, {platform.machine()}, {options.threads} thread(s), recipe "
        f"{recipe.name}, groups of {recipe.training.group}, {kind} time, best of {options.repeats} "
        f"rounds; load {os.getloadavg()[0]:.1f}; GPU: not measured"
    )
    for line in measure(clips, recipe, repeats=options.repeats):
        print(f"  {line}", flush=True)
    if options.whole:
        print(f"  {whole(clips, recipe)}")


if __name__ == "__main__":
    main()
