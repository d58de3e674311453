"""The MEGC 2019 composite: SMIC, CASME II and SAMM with three emotion classes in common.

442 clips of 68 subjects: SMIC 164, CASME II 145, SAMM 133; negative 250, positive 109,
surprise 83. The organisers' list names the clips; without it every clip with one of the three
classes is taken, which of CASME II are more than 145, for it is not published by which rule some
were left out. Source: See et al. 2019, FG, doi 10.1109/FG.2019.8756611.
"""

from __future__ import annotations

import csv
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pandas as pd

from common.errors import UserError
from common.words import counted
from datasets.dataset import Dataset, Reading, folders_below, say_list
from datasets.readers.clips import simple_name
from datasets.readers.micro_expressions import read_casme2, read_samm, read_smic
from datasets.vocabulary import simplify

N_CLIPS = {"casme2": 145, "samm": 133, "smic": 164}
CLASSES = ("negative", "positive", "surprise")
"""By the organisers' code, 0 to 2."""

_READERS: dict[str, Callable[[Path], Dataset]] = {
    "casme2": read_casme2,
    "samm": read_samm,
    "smic": read_smic,
}
_FOLDERS = {
    "casme2": ("casme2", "casmeii", "simcasme2"), "samm": ("samm",), "smic": ("smic", "smicallraw")
}  # fmt: skip


def read_megc2019(root: Path, *, table: Path | None = None) -> Dataset:
    """Read the composite of the three datasets.

    `root`: folder that holds those of CASME II, SAMM and SMIC, named so.
    `table`: the organisers' list without header: dataset, subject, clip, class (0 to 2).

    The rows are those of the three readers, with `source` for the dataset, and `patient_id` with
    the dataset before the subject, so that no two persons share one.
    """
    read = Reading("megc2019", root)
    official = None if table is None else _read_list(table)
    folders = folders_below(read.root, depth=2)[1:]
    parts = []
    for name, reader in _READERS.items():
        folder = next((one for one in folders if simplify(one.name) in _FOLDERS[name]), None)
        if folder is None:
            what = f"there is no folder {name}"
            read.error("missing_dataset", what, "put the dataset there; see prepare")
            continue
        dataset = reader(folder)
        prefix = read.id_of(folder)
        for one in dataset.problems:
            read.problems.append(replace(one, file=f"{prefix}/{one.file}".rstrip("/")))
        part = dataset.manifest.assign(source=name)
        part["image_id"] = prefix + "/" + part["image_id"]
        part["patient_id"] = name + "_" + part["patient_id"]
        parts.append(part[part["emotion3"].notna()])
    if not parts:
        raise UserError(
            f"{read.root.name} holds none of the folders casme2, samm and smic: put the three "
            "datasets into one folder."
        )
    manifest = pd.concat(parts, ignore_index=True)
    if table is None or official is None:
        for name, number in N_CLIPS.items():
            found = int((manifest["source"] == name).sum())
            if found != number:
                what = f"{counted(found, 'clip')} of {name} taken; the composite has {number}"
                advice = "give the organisers' list with --table to take exactly its clips"
                read.note("not_the_official_list", what, advice)
    else:
        manifest = _only_listed(manifest, official, read, file=table.name)
    return read.dataset(manifest)


def _read_list(path: Path) -> dict[tuple[str, str, str], tuple[int, str]]:
    """Return row and class by dataset, subject and clip."""
    if not path.is_file():
        raise UserError(f"{path} does not exist: give the organisers' list as CSV.")
    listed = {}
    with path.open(encoding="utf-8-sig", newline="") as file:
        for row, cells in enumerate(csv.reader(file), start=1):
            if not any(cells) or (row == 1 and not cells[-1].strip().isdecimal()):
                continue
            if len(cells) < 4 or cells[3].strip() not in ("0", "1", "2"):
                raise UserError(
                    f"{path.name}, row {row}: write dataset, subject, clip and a class from 0 to 2."
                )
            key = (simplify(cells[0]), simple_name(cells[1]), simple_name(cells[2]))
            listed[key] = (row, CLASSES[int(cells[3])])
    return listed


def _only_listed(
    manifest: pd.DataFrame,
    listed: dict[tuple[str, str, str], tuple[int, str]],
    read: Reading,
    *,
    file: str,
) -> pd.DataFrame:
    subjects = [patient.split("_", 1)[1] for patient in manifest["patient_id"]]
    rows = zip(manifest["source"], subjects, manifest["clip"], strict=True)
    keys = [(source, simple_name(subject), simple_name(clip)) for source, subject, clip in rows]
    absent = {row: "/".join(key) for key, (row, _) in listed.items() if key not in keys}
    if absent:
        what = f"{counted(len(absent), 'clip')} of the list not in the datasets: "
        at = {"file": file, "rows": tuple(absent)}
        advice = "look for them in the original downloads"
        read.error("missing_clip", what + say_list(absent.values()), advice, **at)
    kept = manifest[[key in listed for key in keys]].copy()
    classes = [listed[key][1] for key in keys if key in listed]
    differ = kept["clip"][kept["emotion3"].to_numpy() != classes]
    if len(differ):
        what = f"{counted(len(differ), 'clip')} of another class in the list: {say_list(differ)}"
        read.warning("class_disagrees", what, "the list's was taken", file=file)
    return kept.assign(emotion3=classes)
