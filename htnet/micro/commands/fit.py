"""The commands `micro fit` and `micro weights`: train on all subjects, keep what is learned."""

from __future__ import annotations

import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from common.errors import UserError, exit_code_for
from common.provenance import RUN_FILE, read_run_record, write_run_record
from common.settings import settings_from
from common.words import counted
from htnet.micro.clips.maps import InputName
from htnet.micro.clips.reader import FlowSettings
from htnet.micro.clips.sources import ClassSetName, ClipSource, class_set_named, read_clips
from htnet.micro.clips.store import FLOW_FILE
from htnet.micro.loso.networks import device_named
from htnet.micro.models.htnet import flow_model
from htnet.micro.models.kept import (
    ClipGrader,
    HTNetGrader,
    KeptGrader,
    KernelRidgeGrader,
    RoiGrader,
    save_grader,
)
from htnet.micro.models.recipes import RoiRecipe
from htnet.micro.models.training import RoiModel
from htnet.network.htnet import HTNet, set_threads
from htnet.network.weights import save_weights
from htnet.recipe import Recipe, read_recipe

NETWORK = "network.safetensors"
FitModel = Literal["kernel-ridge", "htnet", "temporal", "graph", "hybrid"]


@dataclass(frozen=True)
class MicroFitResult:
    """What was kept, or the file of weights, and how many clips were and could not be used."""

    kept: KeptGrader | Path
    clips: int
    failed: int

    @property
    def exit_code(self) -> int:
        """0 all clips were used, 3 some have no flow."""
        return exit_code_for(ok=self.clips, failed=self.failed)


def fit(
    flow: Path,
    *,
    out: Path,
    model: FitModel = "hybrid",
    classes: ClassSetName = "composite3",
    recipe: str | None = None,
    change: tuple[str, ...] = (),
    seed: int = 0,
    threads: int | None = None,
) -> MicroFitResult:
    """Train one micro-expression model on all subjects and keep it for `micro predict`.

    Nobody is held out: `micro loso` measures the accuracy in unseen subjects. A ROI model is an
    ensemble of five networks, each with other validation subjects for early stopping, so that
    every subject is used for training. Research use only.

    Parameters
    ----------
    flow
        Folder that `micro flow` wrote, with `--regions` for the ROI models.
    out
        Folder for `grader.json`, `weights.safetensors` and `run.json`. The weights of a kernel
        ridge model contain the flow maps of the training clips.
    model
        `hybrid`, `temporal`, `graph` (ROI models), or `htnet` and `kernel-ridge`, which read the
        map of the whole face.
    classes
        Emotion classes: `composite3`, `casme2-4`, `casme3-3`, `casme3-4` or `casme3-7`.
    recipe
        `roi-small` (default of the ROI models), `roi`, `small` (default of `htnet`), `paper`, or a
        YAML file with the same sections; kernel ridge needs none.
    change
        Settings of the recipe to replace, such as `training.epochs=10`; may be given repeatedly.
    seed
        Seed of initial weights, order of clips and choice of validation subjects.
    threads
        Processor threads. Default: the number of processors.
    """
    set_threads(threads)
    began = time.monotonic()
    source = read_clips(flow, class_set=class_set_named(classes))
    for sentence in source.complaints:
        print(sentence, file=sys.stderr)
    if source.folder is None:
        raise UserError(
            f"{flow} holds maps without frames: give a folder that micro flow wrote, so that new "
            "clips can be turned into the same maps."
        )
    method = flow_method(flow)
    clips = source.maps
    settings: Recipe | None = None
    how = {"method": method, "scaling": clips.scaling}
    needs = settings_from(FlowSettings, how, source=str(flow / RUN_FILE), section="settings")
    grader: ClipGrader
    if model == "kernel-ridge":
        grader = KernelRidgeGrader.fit(clips)
    elif model == "htnet":
        flow_network = flow_model(recipe or "small", changes=change)
        settings = flow_network.recipe
        grader = HTNetGrader.fit(clips, model=flow_network, seed=seed)
    else:
        settings = read_recipe(RoiRecipe, recipe or "roi-small", changes=change)
        windows = source.folder.regions
        if windows is None:
            raise UserError(f"{flow} holds no region windows: run micro flow again with --regions.")
        network = RoiModel(model, settings, windows)
        grader = RoiGrader.fit(network.clips(clips), model=network, seed=seed)
        sizes = {"regions": windows.regions, "region_size": windows.size}
        needs = needs.model_copy(update=sizes)
    notes = {
        "model": model,
        "recipe": settings.as_dict() if settings else None,
        "seed": seed,
        "clips": len(clips),
        "subjects": len(clips.subjects),
        "complaints": list(source.complaints),
    }
    kept = KeptGrader(grader, clips.classes, needs, notes)
    save_grader(kept, out)
    write_run_record(
        out,
        command="micro fit",
        settings={
            "model": model, "classes": classes, "change": change,
            "recipe": settings.name if settings else None,
        },
        seed=seed,
        files={"flow": flow / FLOW_FILE},
        counts=_counts(source),
        seconds={"all": time.monotonic() - began},
    )  # fmt: skip
    print(
        f"Kept {model} of {_described(source)} in {out}; how often it is right is measured by "
        "micro loso."
    )
    return MicroFitResult(kept, clips=len(clips), failed=source.n_failed)


def flow_method(flow: Path) -> str:
    """Return the method by which `micro flow` made a folder."""
    record = read_run_record(flow) or {}
    try:
        return str(record["settings"]["method"])
    except (KeyError, TypeError) as error:
        raise UserError(
            f"{flow / RUN_FILE} does not say by which method the flow was made: run micro flow "
            "again."
        ) from error


def weights(
    flow: Path,
    *,
    out: Path,
    inputs: InputName = "whole",
    classes: ClassSetName = "composite3",
    recipe: str = "small",
    change: tuple[str, ...] = (),
    seed: int = 0,
    threads: int | None = None,
    device: str = "auto",
) -> MicroFitResult:
    """Train HTNet on the flow of all subjects and keep its weights for `htnet train --pretrained`.

    Nobody is held out: `micro loso` measures the accuracy in unseen subjects. `htnet train` needs a
    recipe with the same dim and heads. Research use only.

    Parameters
    ----------
    flow
        Folder that `micro flow` wrote, or a file of published maps (.npz).
    out
        Folder for `network.safetensors` and `run.json`.
    inputs
        Input of the network: the `whole` map, or the `mosaic` of eyes and mouth corners.
    classes
        Emotion classes: `composite3`, `casme2-4`, `casme3-3`, `casme3-4` or `casme3-7`.
    recipe
        `small`, `paper`, or a YAML file with the same sections.
    change
        Settings of the recipe to replace, such as `training.epochs=10`; may be given repeatedly.
    seed
        Seed of initial weights and order of clips.
    threads
        Processor threads. Default: the number of processors.
    device
        `auto`, `cpu` or `cuda`.
    """
    set_threads(threads)
    began = time.monotonic()
    source = read_clips(flow, class_set=class_set_named(classes))
    model = flow_model(recipe, inputs=inputs, changes=change)
    grader = HTNetGrader.fit(source.maps, model=model, seed=seed, device=device_named(device))
    kept = out / NETWORK
    keep_network(grader, kept, classes=source.maps.classes)
    write_run_record(
        out,
        command="micro weights",
        settings={"classes": classes, **model.recipe.as_dict()},
        seed=seed,
        files={"clips": flow / FLOW_FILE if source.folder is not None else flow},
        counts=_counts(source),
        seconds={"all": time.monotonic() - began},
    )
    print(f"Kept {kept} of {_described(source)}: begin with it by htnet train --pretrained.")
    return MicroFitResult(kept, clips=len(source.maps), failed=source.n_failed)


def keep_network(grader: HTNetGrader, path: Path, *, classes: tuple[str, ...]) -> None:
    """Keep the weights alone, configuration inside, for `htnet train --pretrained`."""
    recipe, network = grader.model.recipe, grader.network.network
    assert isinstance(network, HTNet)
    notes = {
        "classes": list(classes),
        "recipe": recipe.name,
        "epoch": recipe.training.epochs,
        "channels": "u, v, strain",
    }
    save_weights(network, path, notes=notes)


def _counts(source: ClipSource) -> dict[str, int]:
    clips = source.maps
    return {"clips": len(clips), "subjects": len(clips.subjects), "failed": source.n_failed}


def _described(source: ClipSource) -> str:
    clips = source.maps
    return f"{counted(len(clips), 'clip')} of {counted(len(clips.subjects), 'subject')}"
