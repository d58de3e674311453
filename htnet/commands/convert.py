"""The command `htnet convert`: a network of old weights, which hold neither sizes nor classes."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from common.grading.target import TargetName, target_named
from common.provenance import write_run_record
from htnet.network.weights import network_of_published, save_weights
from htnet.palsy.recipe import Recipe
from htnet.palsy.training import WEIGHTS
from htnet.recipe import read_recipe


@dataclass(frozen=True)
class ConvertResult:
    """Where the network is now."""

    weights: Path
    exit_code: int = 0


def convert(
    weights: Path,
    *,
    recipe: str,
    target: TargetName,
    pixels: Literal["imagenet", "unit", "signed", "bytes"],
    out: Path,
) -> ConvertResult:
    """Make old weights (best_model.pth) a network that `evaluate`, `predict` and `explain` take.

    A .pth holds numbers alone. What it lacks is asked for here, once: sizes and modules, what is
    graded, and how pixels were scaled. Nothing in the file is run. Whom the network learned from,
    and how faces were found and cut for it, nobody can tell: check it by `htnet evaluate` on
    patients whom it does not know before you use it. Research use only.

    Parameters
    ----------
    weights
        State dictionary of the published HTNet or its adaptation to facial palsy (.pth), or a
        checkpoint that holds one.
    recipe
        `paper`, or a YAML file whose section `network:` has the sizes and modules that it was
        trained with (`compat: as_released` for modules of the first release).
    target
        What its classes are: `six_grades`, `healthy_palsy` or `three_classes`.
    pixels
        What it was shown: `imagenet` (ImageNet's mean and deviation), `unit` (0 to 1), `signed`
        (-1 to 1) or `bytes` (0 to 255).
    out
        Folder for `weights.safetensors` and `run.json`.

    Raises
    ------
    UserError
        When the file holds more than weights, or does not fit the recipe.
    """
    question = target_named(target)
    settings = read_recipe(Recipe, recipe)
    network = network_of_published(
        weights, settings.config(num_classes=len(question.classes)), pixels=pixels
    )
    made = {"converted_from": weights.name, "pixels": pixels, "recipe": settings.name}
    save_weights(network, out / WEIGHTS, notes={"classes": list(question.classes), **made})
    write_run_record(
        out,
        command="htnet convert",
        settings={"target": target, **made, "network": settings.as_dict()["network"]},
        files={"weights": weights},
    )
    print(
        f"{out / WEIGHTS}: a network of {network.config.num_classes} classes at "
        f"{network.config.image_size} px. Check it by htnet evaluate on patients new to it."
    )
    return ConvertResult(out / WEIGHTS)
