"""Every dataset that can be prepared: its reader, and what `datasets.yaml` says of it."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import yaml

from common.errors import named
from common.movements import MOVEMENTS
from datasets.dataset import Dataset
from datasets.readers.ckplus import read_ckplus
from datasets.readers.folder import read_folder
from datasets.readers.meei import read_meei
from datasets.readers.megc2019 import read_megc2019
from datasets.readers.micro_expressions import read_casme2, read_casme3, read_samm, read_smic
from datasets.readers.neuroface import read_neuroface
from datasets.readers.sorted_photographs import read_fnp, read_three_class
from datasets.readers.youtube_palsy import read_yfp

_READERS: dict[str, Callable[..., Dataset]] = {
    "meei": read_meei,
    "neuroface": read_neuroface,
    "fnp": read_fnp,
    "ckplus": read_ckplus,
    "three-class": read_three_class,
    "casme2": read_casme2,
    "samm": read_samm,
    "smic": read_smic,
    "casme3": read_casme3,
    "megc2019": read_megc2019,
    "yfp": read_yfp,
    "folder": read_folder,
}
_TASKS: dict[str | None, tuple[str, ...] | None] = {
    "standard": MOVEMENTS, "inferred": None, None: (),
}  # fmt: skip


@dataclass(frozen=True)
class DatasetEntry:
    """One dataset: its name on the command line, `read(root, *, ...) -> Dataset`, and its words.

    `tasks` are those that every patient does; None infers them, empty expects none.
    """

    name: str
    read: Callable[..., Dataset]
    title: str
    needs: str
    obtain: str
    cite: str
    tasks: tuple[str, ...] | None

    @property
    def options(self) -> tuple[str, ...]:
        """The reader's own options."""
        return tuple(name for name in inspect.signature(self.read).parameters if name != "root")


_WORDS = Path(__file__).with_name("datasets.yaml")
DATASETS = {
    name: DatasetEntry(
        name, _READERS[name], words["title"], words["needs"], words["obtain"],
        words.get("cite", ""), _TASKS[words.get("tasks")],
    )
    for name, words in yaml.safe_load(_WORDS.read_text(encoding="utf-8")).items()
}  # fmt: skip


def dataset_entry(name: str) -> DatasetEntry:
    """Return the entry of a dataset; UserError when there is none of that name."""
    return named(name, DATASETS, what="dataset")
