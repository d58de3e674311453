"""What was computed for a clip, kept in a file named after everything that it depends on.

The name is a hash of the content of the frames, their numbers, and the settings: a changed frame or
setting has another name, so that what is found is never stale.
"""

from __future__ import annotations

import hashlib
import json
import zipfile
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from common.files import atomic_write, sha256_of
from htnet.micro.clip_frames import ClipError
from htnet.micro.clip_task import ClipPlan, ClipTask

CACHE_FOLDER = "cache"


def cache_name(task: ClipTask, plan: ClipPlan, *, depends_on: Mapping[str, Any]) -> str:
    """Return the name of a clip's file in the cache.

    Parameters
    ----------
    task, plan
        The clip, and the frames that are read.
    depends_on
        Settings and versions that change the result.

    Raises
    ------
    ClipError
        When a frame cannot be opened.
    """
    try:
        contents = [(number, sha256_of(task.frames[number])) for number in plan.needed]
    except OSError as error:
        raise ClipError(
            "unreadable",
            f"A frame cannot be opened ({error.strerror or error}): check the clip's folder.",
        ) from error
    marks = (plan.onset, plan.apex, plan.offset)
    what = {**depends_on, "frames": contents, "marks": marks, "remark": plan.remark}
    return hashlib.sha256(json.dumps(what, sort_keys=True).encode()).hexdigest()[:32] + ".npz"


def keep(path: Path, arrays: Mapping[str, NDArray[Any]]) -> None:
    """Write arrays, whole or not at all."""
    with atomic_write(path) as temporary, temporary.open("wb") as file:
        np.savez(file, **arrays)  # type: ignore[arg-type]


def load_kept(path: Path) -> dict[str, NDArray[Any]] | None:
    """Return the arrays, or None when they are not there or the file is damaged."""
    try:
        with path.open("rb") as file, np.load(file, allow_pickle=False) as stored:
            return {name: stored[name] for name in stored}
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile):
        return None


def remove_others(folder: Path, names: Collection[str]) -> None:
    """Remove what a finished run did not use, so that the cache does not grow for ever."""
    for path in folder.glob("*.npz"):
        if path.name not in names:
            path.unlink(missing_ok=True)
