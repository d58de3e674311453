"""Train one network on some patients, choose its epoch on others, and keep it.

Everything random in an epoch follows from the seed and the epoch's number, so that a training
that was killed and resumed ends with the same weights as one that was not.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pandera.pandas as pa
import torch
from numpy.typing import NDArray

from common.errors import UserError
from common.files import natural_key, write_json
from common.tables import choice, text, write_table
from htnet.network.configuration import HTNetConfig
from htnet.network.htnet import GradingNetwork, HTNet, build_network
from htnet.network.weights import Loaded, load_pretrained, load_weights, save_weights
from htnet.palsy.faces import LabelledFaces
from htnet.palsy.frozen import learn_head
from htnet.palsy.recipe import Recipe, Training
from htnet.palsy.sureness import write_sureness

WEIGHTS, SETTINGS = "weights.safetensors", "settings.json"
TAKEN_OVER = "pretrained.json"
SHIPPED = Path(__file__).parent.parent / "models" / "faces.safetensors"
"""A trunk that was taught by simulated faces (`benchmarks.face_weights`); its card lies beside."""
PATIENTS = "patients.csv"
SEEN_PATIENTS = pa.DataFrameSchema(
    {"patient_id": text(), "part": choice(("train", "validation"))}, name="patients"
)
"""`patients.csv` of a training: whom it learned from, and who chose its epoch."""
PHOTOGRAPHS = "photographs.csv"
SEEN_PHOTOGRAPHS = pa.DataFrameSchema(
    {"image_id": text(unique=True), "patient_id": text(), "sha256": text()}, name="photographs"
)
"""`photographs.csv` of a training: the files that it saw, whatever they are called elsewhere."""


@dataclass(frozen=True)
class Trained:
    """A network with the weights of its best epoch, and how it came about.

    `best_epoch`, `scores`: that epoch, counted from 1, and the validation patients' score of each;
    0 and none of a frozen trunk. `pretrained`: what it took over from other weights.
    """

    network: GradingNetwork
    best_epoch: int
    scores: tuple[float, ...]
    pretrained: Loaded | None = None


def train_network(
    data: LabelledFaces,
    *,
    train: NDArray[np.intp],
    validation: NDArray[np.intp],
    recipe: Recipe,
    out: Path,
    seed: int = 0,
    pretrained: Path | None = None,
    notes: Mapping[str, object] | None = None,
    title: str | None = None,
) -> Trained:
    """Train on some rows; keep the epoch that answers the validation patients best.

    `train`, `validation`: row numbers; no patient may be in both.
    `out`: folder for weights, checkpoints and logs. A training found there goes on; of one that has
    ended the weights are read, and its checkpoints are gone.
    `seed`: of weights, order and augmentation.
    `pretrained`: weights to begin with, by name and shape; what was and was not taken over is kept
    in `pretrained.json`. A frozen trunk is that of `SHIPPED` when none are given.
    `notes`: whatever else should be kept with the weights.
    `title`: what the lines of progress call it; None shows no progress.

    UserError when patients are in both parts, a class has no training face, features are asked for
    and not there, a GPU was asked for and is not there, or `out` holds a training with other
    settings.
    """
    config = recipe.config(num_classes=data.num_classes)
    frozen = recipe.training.trunk == "frozen"
    if frozen and pretrained is None:
        pretrained = SHIPPED
    check_rows(data, train=train, validation=validation)
    _check_features(data, config)
    check_device(recipe.training)
    _keep_settings(out, data, recipe, seed=seed, pretrained=pretrained)
    if (out / WEIGHTS).exists():
        return _finished(out)
    if frozen:  # nobody is needed to choose an epoch
        train, validation = np.sort(np.concatenate([train, validation])), validation[:0]
    _keep_patients(out, data, train=train, validation=validation)
    torch.manual_seed(seed)
    network = build_network(config)
    loaded = None
    if pretrained is not None:
        loaded = load_pretrained(network, pretrained)
        _refuse_left_out(loaded, pretrained, frozen=frozen)
        write_json(out / TAKEN_OVER, loaded.as_json())
    if frozen:
        return _read_by_ridge(
            network, data, rows=train, recipe=recipe, out=out,
            notes={**(notes or {}), **_asked(data)}, loaded=loaded,
        )  # fmt: skip
    if network.feature_reader is not None and data.faces.features is not None:
        network.feature_reader.learn_scale(data.faces.features[torch.from_numpy(train)])
    # Lightning takes as long to import as a head to be learned, which has no need of it.
    from htnet.palsy.loop import train_levels

    best, scores = train_levels(
        network, data, train=train, validation=validation, recipe=recipe, out=out,
        weights=out / WEIGHTS, notes={**(notes or {}), **_asked(data)}, seed=seed, title=title,
    )  # fmt: skip
    return Trained(best, best_epoch=int(np.argmin(scores)) + 1, scores=scores, pretrained=loaded)


def _read_by_ridge(
    network: GradingNetwork,
    data: LabelledFaces,
    *,
    rows: NDArray[np.intp],
    recipe: Recipe,
    out: Path,
    notes: Mapping[str, object],
    loaded: Loaded | None,
) -> Trained:
    """Learn what reads the patients and nothing else."""
    assert isinstance(network, HTNet)
    write_sureness(learn_head(network.eval(), data, rows), out)
    save_weights(network, out / WEIGHTS, notes={**notes, "recipe": recipe.name})
    return Trained(network, best_epoch=0, scores=(), pretrained=loaded)


def _refuse_left_out(loaded: Loaded, path: Path, *, frozen: bool) -> None:
    """Refuse a trunk that is to stay as it was pretrained, and of which a part was not."""
    drawn = [name for name in loaded.left if name.split(".")[0] not in ("head", "feature_reader")]
    if frozen and drawn:
        raise UserError(
            f"{path.name} lacks {drawn[0]} of this network ({loaded.left[drawn[0]]}), whose trunk "
            "is to stay as it was pretrained: keep the recipe's network, or learn the trunk too "
            "(--change training.trunk=learned)."
        )


def _finished(out: Path) -> Trained:
    """Read a training that has ended: begun again it would learn on past its early stop."""
    network, notes = load_weights(out / WEIGHTS)
    scores = tuple(notes.get("scores", ()))
    return Trained(network, best_epoch=int(notes.get("epoch", 0)), scores=scores)


def check_rows(
    data: LabelledFaces,
    *,
    train: NDArray[np.intp],
    validation: NDArray[np.intp],
    name: str = "This training",
) -> None:
    """Refuse rows that a network cannot learn from; `name` begins the sentence."""
    both = sorted(set(data.patients[train]) & set(data.patients[validation]))
    if both:
        raise UserError(
            f'Patient "{both[0]}" is among the training and the validation patients: whole '
            "patients must be held out."
        )
    if not len(train) or not len(validation):
        raise UserError(f"{name} has no training or no validation faces: use fewer folds.")
    check_classes(data, train=train, name=name)


def check_classes(data: LabelledFaces, *, train: NDArray[np.intp], name: str) -> None:
    """Refuse training rows in which a class is missing."""
    missing = [
        label
        for number, label in enumerate(data.classes, start=1)
        if not (data.labels[train] == number).any()
    ]
    if missing:
        raise UserError(
            f"{name} has no training face of class {', '.join(missing)}: give more patients of it, "
            "more folds (--n-folds, --inner-folds), each of which then holds out fewer, or another "
            "--target."
        )


def _check_features(data: LabelledFaces, config: HTNetConfig) -> None:
    given = 0 if data.faces.features is None else data.faces.features.shape[1]
    if given != len(config.features):
        raise UserError(
            f"The recipe has the network read {len(config.features)} measured features, but "
            f"{given} were given: give their table (--features), or leave network.features out."
        )


def check_device(settings: Training) -> None:
    """Refuse a training that asks for a GPU where there is none, or for more than there are."""
    if settings.accelerator == "gpu" and not torch.cuda.is_available():
        raise UserError(
            "The recipe asks for a GPU (training.accelerator: gpu), but there is none here: use "
            "--change training.accelerator=cpu or the recipe small-cpu."
        )
    if settings.accelerator == "gpu" and torch.cuda.device_count() < settings.devices:
        raise UserError(
            f"The recipe asks for {settings.devices} GPUs, but there are "
            f"{torch.cuda.device_count()}: change training.devices."
        )


def _keep_settings(
    out: Path, data: LabelledFaces, recipe: Recipe, *, seed: int, pretrained: Path | None
) -> None:
    """Write the settings beside the checkpoints, or compare them with those that are there."""
    sections = recipe.as_dict()
    del sections["training"]["save_every"]  # changes nothing that is learned
    settings = {
        **sections,
        **_asked(data),
        "seed": seed,
        "pretrained": pretrained.name if pretrained else None,
        "faces": len(data.faces),
    }
    path = out / SETTINGS
    if not path.exists():
        write_json(path, settings)
        return
    before = json.loads(path.read_text(encoding="utf-8"))
    for name, value in settings.items():
        if before.get(name) != value:
            raise UserError(
                f"{out} holds a training with other settings ("
                f"{_first_difference(name, before.get(name), value)}): choose another --out, "
                "or delete that folder to begin anew."
            )


def _asked(data: LabelledFaces) -> dict[str, object]:
    """Return what the network is asked: its classes, or the target that is a number."""
    classes: dict[str, object] = {"classes": list(data.classes)}
    return classes if data.number is None else classes | {"target": data.number.plain()}


def _first_difference(name: str, before: Any, now: Any) -> str:
    """Name the first setting that differs, with both its values."""
    if isinstance(before, dict) and isinstance(now, dict):
        keys = [*now, *(key for key in before if key not in now)]
        key = next(key for key in keys if before.get(key) != now.get(key))
        return _first_difference(f"{name}.{key}", before.get(key), now.get(key))
    return f"{name}: {before} there, {now} now"


def _keep_patients(
    out: Path, data: LabelledFaces, *, train: NDArray[np.intp], validation: NDArray[np.intp]
) -> None:
    """Write whom the network learns from, so that nobody is tested on himself later."""
    parts = {"train": train, "validation": validation}
    rows = [
        {"patient_id": str(patient), "part": part}
        for part, where in parts.items()
        for patient in sorted(set(data.patients[where]), key=natural_key)
    ]
    write_table(pd.DataFrame(rows), out / PATIENTS, schema=SEEN_PATIENTS)
    if data.faces.sha256:
        seen = np.sort(np.concatenate([train, validation]))
        photographs = pd.DataFrame(
            {
                "image_id": np.array(data.faces.image_ids)[seen],
                "patient_id": data.patients[seen],
                "sha256": np.array(data.faces.sha256)[seen],
            }
        )
        write_table(photographs, out / PHOTOGRAPHS, schema=SEEN_PHOTOGRAPHS)
