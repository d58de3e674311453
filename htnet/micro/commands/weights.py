"""The command `micro weights`: HTNet trained on all flow, for the palsy branch to begin with."""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path

from common.exit_codes import exit_code_for
from common.provenance import write_run_record
from htnet.commands.train import set_threads
from htnet.micro.classes import ClassSetName, class_set_named
from htnet.micro.clips.maps import InputName
from htnet.micro.clips.sources import read_clips
from htnet.micro.clips.store import FLOW_FILE
from htnet.micro.loso.networks import device_named
from htnet.micro.models.htnet import flow_model, keep_weights


@dataclass(frozen=True)
class MicroWeightsResult:
    """The file of weights, and how many clips were and could not be used."""

    weights: Path
    clips: int
    failed: int

    @property
    def exit_code(self) -> int:
        """0 all clips were used, 3 some have no flow."""
        return exit_code_for(ok=self.clips, failed=self.failed)


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
) -> MicroWeightsResult:
    """Train HTNet on the flow of all subjects and keep its weights for `htnet train --pretrained`.

    Nobody is held out: how often such a network is right in people it has not seen is what `micro
    loso` measures. Give `htnet train` a recipe with the same dim and heads. Research use only.

    Parameters
    ----------
    flow
        Folder that `micro flow` wrote, or a file of published maps (.npz).
    out
        Folder for `network.safetensors` and `run.json`.
    inputs
        What the network sees: the `whole` map, or the `mosaic` of eyes and mouth corners.
    classes
        Which emotions: `composite3`, `casme2-4`, `casme3-3`, `casme3-4` or `casme3-7`.
    recipe
        `small`, `paper`, or a YAML file with the same sections.
    change
        Settings of the recipe to replace, such as `training.epochs=10`; may be given repeatedly.
    seed
        Of weights, order and augmentation.
    threads
        Processor threads; as many as there are processors when not given.
    device
        `auto`, `cpu` or `cuda`.

    Raises
    ------
    UserError
        When there are no clips of these classes, or a setting is unknown.
    """
    set_threads(threads)
    began = time.monotonic()
    source = read_clips(flow, class_set=class_set_named(classes))
    clips = source.maps
    model = flow_model(recipe, inputs=inputs, changes=change)
    kept = keep_weights(model, clips, out, seed=seed, device=device_named(device))
    write_run_record(
        out,
        command="micro weights",
        settings={"classes": classes, **model.recipe.as_dict()},
        seed=seed,
        files={"clips": flow / FLOW_FILE if source.folder is not None else flow},
        counts={"clips": len(clips), "subjects": len(clips.subjects), "failed": source.n_failed},
        seconds={"all": time.monotonic() - began},
    )
    print(
        f"Kept {kept} of {len(clips)} clips of {len(clips.subjects)} subjects: begin with it by "
        "htnet train --pretrained."
    )
    return MicroWeightsResult(kept, clips=len(clips), failed=source.n_failed)
