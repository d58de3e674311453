"""Finished work on disk: arrays in files named after everything that they depend on.

The name is a hash of contents and settings: a changed frame, clip or setting has another name, so
that what is found is never stale. What cannot be read counts as not done.
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

from common.files import atomic_write

CACHE_FOLDER = "cache"


def key_of(depends_on: Mapping[str, Any]) -> str:
    """Return 32 letters that stand for plain values."""
    text = json.dumps(depends_on, sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:32]


def keep(path: Path, arrays: Mapping[str, NDArray[Any]], *, small: bool = False) -> None:
    """Write arrays, whole or not at all; `small` takes longer and less room."""
    save = np.savez_compressed if small else np.savez
    with atomic_write(path) as temporary, temporary.open("wb") as file:
        save(file, **arrays)  # type: ignore[arg-type]


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
