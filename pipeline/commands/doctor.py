"""The command `doctor`: what is installed, under which terms, and whether it works."""

from __future__ import annotations

import importlib.util
import platform
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from common.errors import UserError
from common.files import sha256_of
from common.photos import read_photo
from common.provenance import package_versions
from common.workers import default_jobs
from features.definitions import measure
from landmarks.find.finder import LandmarkFinder
from landmarks.predictor import CNN_DETECTOR, PREDICTORS, ModelFile, find_predictor

_EYE_DISTANCE_PX = (50.0, 90.0)  # outer eye corners of the portrait, which is 512 px wide


@dataclass(frozen=True)
class Diagnosis:
    """What `doctor` found; `problems` is empty when all is well."""

    problems: tuple[str, ...]

    @property
    def exit_code(self) -> int:
        """0 when all is well, 4 otherwise."""
        return 4 if self.problems else 0


def doctor() -> Diagnosis:
    """Show versions, devices and model files with licences, and test them on a portrait."""
    console = Console(width=100)
    problems: list[str] = []
    versions = Table("package", "version", title="Versions", title_justify="left")
    for name, found in package_versions().items():
        versions.add_row(name, found)
    console.print(versions)
    console.print(f"Processors: {default_jobs()} · {platform.system()} {platform.machine()}")
    console.print(f"Device for the image branch: {_device()}\n")
    _show_models(console, problems)
    if not problems:
        _self_test(console, problems)
    for problem in problems:
        console.print(f"[red]Problem:[/red] {escape(problem)}", soft_wrap=True)
    if not problems:
        console.print("All is well.")
    console.print("Research software: it does not diagnose.")
    return Diagnosis(problems=tuple(problems))


def astronaut_portrait() -> Path:
    """Return the path of the public-domain NASA portrait that scikit-image carries.

    UserError when scikit-image or its picture is missing.
    """
    spec = importlib.util.find_spec("skimage")
    if spec is not None and spec.origin is not None:
        portrait = Path(spec.origin).parent / "data" / "astronaut.png"
        if portrait.is_file():
            return portrait
    raise UserError("The portrait of scikit-image is missing: run make demo to install it again.")


def _device() -> str:
    try:
        import torch
    except ImportError:
        return "PyTorch is not installed"
    if torch.cuda.is_available():
        return f"{torch.cuda.get_device_name()} (CUDA {torch.version.cuda})"
    if torch.backends.mps.is_available():
        return "Apple GPU (MPS)"
    return "CPU only; a GPU is not needed"


def _show_models(console: Console, problems: list[str]) -> None:
    console.print("Model files", style="italic")
    for model in (*PREDICTORS.values(), CNN_DETECTOR):
        console.print(f"[bold]{model.name}[/bold]: {model.purpose}")
        console.print(f"  file     {model.file_name}")
        console.print(f"  SHA-256  {_checksum(model, problems)}", soft_wrap=True)
        console.print(f"  licence  {model.licence}", soft_wrap=True)
    console.print()


def _checksum(model: ModelFile, problems: list[str]) -> str:
    try:
        path = model.path
    except UserError as error:
        problems.append(str(error))
        return "missing"
    if not path.is_file():
        if not model.packaged:
            return "not here; put it into models/ to use it by name"
        problems.append(f"{path} is missing: run make demo to install it again.")
        return "missing"
    found = sha256_of(path)
    if model.sha256 not in (None, found):
        problems.append(f"{path} is not the published file: install it again.")
        return f"{found} (WRONG)"
    return f"{found} ({'as published' if model.sha256 else 'your copy'})"


def _self_test(console: Console, problems: list[str]) -> None:
    """Measure the portrait; every figure that is printed was computed just now."""
    began = time.monotonic()
    photo = read_photo(astronaut_portrait())
    result = LandmarkFinder(find_predictor()).find(photo.pixels)
    if result.status != "ok" or result.box is None:
        problems.append(f"No face was found in the portrait ({result.reason}).")
        return
    measured = measure(result.points[None])
    eyes = float(np.linalg.norm(result.points[45] - result.points[36]))
    low, high = _EYE_DISTANCE_PX
    if not low < eyes < high or not measured.measurable.all():
        problems.append(f"The portrait was measured wrongly (eye distance {eyes:.0f} px).")
        return
    console.print(
        f"Self-test on the portrait: face found by {result.box.detector}, outer-eye distance "
        f"{eyes:.1f} px, tilt {result.tilt_deg:.1f}°, {measured.features.shape[1]} features, "
        f"{time.monotonic() - began:.1f} s.",
        soft_wrap=True,
    )
