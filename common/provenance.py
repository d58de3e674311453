"""`run.json`: what was run, on what, with which versions, so that a number can be traced."""

from __future__ import annotations

import importlib.metadata
import json
import platform
from collections.abc import Mapping
from functools import cache
from importlib.metadata import PackageNotFoundError
from pathlib import Path
from typing import Any

from common.errors import UserError
from common.files import found_table, sha256_of, write_json

RUN_FILE = "run.json"
PACKAGES = (
    "dlib", "opencv-python-headless", "pillow", "numpy", "scipy", "pandas", "scikit-learn",
    "xgboost", "torch", "scikit-image", "matplotlib",
)  # fmt: skip
TALLIES = ("without_scale", "resumed", "from_cache")
"""Notes that count photographs or clips; those of shards are added up."""
version = cache(importlib.metadata.version)  # it looks through all that is installed
_ALSO_KNOWN_AS = {"dlib": "dlib-bin", "xgboost": "xgboost-cpu"}  # names of wheels


def package_versions() -> dict[str, str]:
    """Versions of Python and of the libraries that can change a number; absent ones say so."""
    found = {"python": platform.python_version()}
    for name in PACKAGES:
        found[name] = _version(name) or _version(_ALSO_KNOWN_AS.get(name, name)) or "not installed"
    return found


def _version(name: str) -> str | None:
    try:
        return version(name)
    except PackageNotFoundError:
        return None


def write_run_record(
    folder: Path,
    *,
    command: str,
    settings: Mapping[str, Any],
    seed: int | None = None,
    files: Mapping[str, Path | None] | None = None,
    counts: Mapping[str, int] | None = None,
    seconds: Mapping[str, float] | None = None,
    notes: Mapping[str, Any] | None = None,
) -> None:
    """Write the record of one run to `FOLDER/run.json`.

    `settings` are all options with the value that was used; `files` by role are kept with their
    SHA-256, without folders and what was not given (None); `counts`, `seconds` and `notes` by name.
    Paths and other objects are written as text.
    """
    write_json(
        folder / RUN_FILE,
        {
            "command": command,
            "settings": {name: plain(value) for name, value in settings.items()},
            "seed": seed,
            "versions": package_versions(),
            "platform": {"system": platform.system(), "machine": platform.machine()},
            "files": {
                role: {"name": found.name, "sha256": sha256_of(found)}
                for role, file in (files or {}).items()
                if file is not None and not (found := found_table(file)).is_dir()
            },
            "counts": dict(counts or {}),
            "seconds": {name: round(value, 3) for name, value in (seconds or {}).items()},
            "notes": {name: plain(value) for name, value in (notes or {}).items()},
        },
    )


def read_run_record(folder: Path) -> dict[str, Any] | None:
    """Return the content of a folder's `run.json`, None without one; UserError when damaged."""
    path = folder / RUN_FILE
    if not path.is_file():
        return None
    try:
        record = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise UserError(
            f"{path} cannot be read ({error}): run the command that made the table again."
        ) from error
    if not isinstance(record, dict):
        raise UserError(f"{path} is no record of a run: run the command that made it again.")
    return record


def recorded(folder: Path, part: str) -> dict[str, Any]:
    """Return a part of a folder's `run.json`, such as `files`; empty where there is none."""
    found = (read_run_record(folder) or {}).get(part)
    return found if isinstance(found, dict) else {}


def plain(value: Any) -> Any:
    """Return a value as JSON holds it: paths and other objects as text."""
    if value is None or isinstance(value, bool | int | float | str):
        return value
    if isinstance(value, Mapping):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [plain(item) for item in value]
    return str(value)
