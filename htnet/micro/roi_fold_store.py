"""Answers of finished folds on disk, so that a run that was stopped goes on.

settings.json            recipe, model, and a digest of the clips
seed_0/fold_007.json     answers to the eighth subject's clips by both rules
region_importance.csv    share of each region in each fold (graph, hybrid)
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
from numpy.typing import NDArray

from common.errors import UserError
from common.files import write_json
from common.tables import number, text, write_table
from htnet.micro.answers import Rule
from htnet.micro.roi_clips import RoiClips

SETTINGS, IMPORTANCE = "settings.json", "region_importance.csv"


@dataclass(frozen=True)
class FoldTask:
    """One training: a seed and the number of the subject that is held out."""

    seed: int
    number: int


@dataclass(frozen=True)
class FoldStore:
    """Answers of finished folds on disk."""

    folder: Path

    def path(self, task: FoldTask) -> Path:
        """Return where the answers of a training lie."""
        return self.folder / f"seed_{task.seed}" / f"fold_{task.number:03d}.json"

    def begin(self, settings: Mapping[str, Any]) -> None:
        """Keep the settings, or compare them with those that are there."""
        path = self.folder / SETTINGS
        plain = json.loads(json.dumps(settings))
        if not path.exists():
            write_json(path, plain)
            return
        before = json.loads(path.read_text(encoding="utf-8"))
        for name, value in plain.items():
            if before.get(name) != value:
                raise UserError(
                    f"{self.folder} holds answers of other settings ({name}): choose another "
                    "folder, or delete that one to begin anew."
                )

    def write_importance(self, data: RoiClips, tasks: list[FoldTask]) -> None:
        """Write the share of each region in each fold; nothing for a model that has none."""
        rows = []
        for task in tasks:
            kept = json.loads(self.path(task).read_text(encoding="utf-8"))
            rows.append(
                {"seed": task.seed, "subject": kept["subject"], **kept["region_importance"]}
            )
        if len(rows[0]) > 2:
            columns = {name: number() for name in data.regions}
            schema = pa.DataFrameSchema(
                {"seed": pa.Column(int), "subject": text(), **columns}, name="region importance"
            )
            write_table(pd.DataFrame(rows), self.folder / IMPORTANCE, schema=schema)

    def pooled(self, data: RoiClips, *, seed: int, rule: Rule) -> NDArray[np.float64]:
        """Return the answers to all clips, `(n, k)`, each from its own fold."""
        pooled = np.full((len(data), len(data.classes)), np.nan)
        for place, subject in enumerate(dict.fromkeys(data.subject.tolist())):
            path = self.path(FoldTask(seed, place))
            kept = json.loads(path.read_text(encoding="utf-8"))
            pooled[data.subject == subject] = kept[rule]["probabilities"]
        return pooled
