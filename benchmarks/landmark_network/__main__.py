"""The landmark network: how its weights were made, from renderings with known points.

    python -m benchmarks.landmark_network prepare MATERIAL WORK
    python -m benchmarks.landmark_network render WORK --shards 30 --jobs 2
    python -m benchmarks.landmark_network train WORK --steps 8000 --seed 1
    python -m benchmarks.landmark_network check WORK WORK/network.pt
    python -m benchmarks.landmark_network export WORK WORK/network.pt OUT.safetensors

MATERIAL is a folder of yours with the 3-D material of others (`docs/landmark_network.md` says from
where, and its licences); WORK takes what is made. No photograph of a face is read, nor a network
that has seen one. Nothing is chosen on real faces: people, skins and a scan that are never trained
on are kept for `check`. A command that was stopped goes on when it is given again.
"""

from __future__ import annotations

import sys
from pathlib import Path

import cv2
import torch
from cyclopts import App

from benchmarks.landmark_network.checking import figures
from benchmarks.landmark_network.export import export as export_weights
from benchmarks.landmark_network.material import FaceModel
from benchmarks.landmark_network.rendering import HELD_OUT, SCAN, Pictures, render_sets, shard
from benchmarks.landmark_network.scan import Front
from benchmarks.landmark_network.skins import Skins
from benchmarks.landmark_network.training import DEFAULT_SEED, Training
from benchmarks.landmark_network.training import train as train_network
from common.errors import UserError
from common.files import sha256_of

app = App(help=__doc__, help_format="plaintext")


@app.command
def prepare(material: Path, work: Path) -> None:
    """Read the material: the face model, the skins, and the scan (two minutes)."""
    Front.read(material).save(work / "scan_front.npz")
    model = FaceModel.read(material)
    model.save(work / "face.npz")
    Skins.read(material, model).save(work / "skins.npz")


@app.command
def render(work: Path, *, shards: int = 30, jobs: int = 2) -> None:
    """Render the held-out faces, and shards of 1,000 (0.1 s of a core each)."""
    render_sets(work, [HELD_OUT, SCAN, *map(shard, range(shards))], jobs=jobs)


@app.command
def train(work: Path, *, steps: int = 8_000, seed: int = DEFAULT_SEED) -> None:
    """Train WORK/network.pt; a step takes half a second of a core."""
    train_network(work, work / "network.pt", steps=steps, seed=seed)


@app.command
def check(work: Path, checkpoint: Path) -> None:
    """Print figures on held-out people and skins, and on the scan, which nothing was taught of."""
    training = Training.load(checkpoint)
    for title, one in (("Held-out people and skins", HELD_OUT), ("Scan", SCAN)):
        pictures = Pictures.load(one.file(work))
        print(f"{title}, {len(pictures.grey)} pictures, after {training.step} steps")
        print(figures(training.looks(), pictures).to_string())


@app.command
def export(work: Path, checkpoint: Path, out: Path) -> None:
    """Write the weights as they ship, and in them what they were made from."""
    training = Training.load(checkpoint)
    notes = {
        "command": "python -m benchmarks.landmark_network train WORK "
        f"--steps {training.step} --seed {training.seed}",
        "renderings": training.renderings or "not told by the checkpoint",
        "face_sha256": sha256_of(work / "face.npz"),
        "skins_sha256": sha256_of(work / "skins.npz"),
    }
    export_weights(training.means, out, notes=notes)


if __name__ == "__main__":
    cv2.setNumThreads(1)
    torch.set_num_threads(1)
    try:
        app()
    except UserError as error:
        sys.exit(str(error))
