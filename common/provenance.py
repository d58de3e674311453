"""`run.json`: what was run, on what, with which versions, so that a number can be traced."""

from __future__ import annotations

import platform
from collections.abc import Mapping
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from common.files import sha256_of, write_json

PACKAGES = (
    "dlib", "opencv-python-headless", "pillow", "numpy", "scipy", "pandas", "scikit-learn",
    "xgboost", "torch", "scikit-image", "matplotlib",
)  # fmt: skip
_ALSO_KNOWN_AS = {"dlib": "dlib-bin"}  # conda-forge's name, and that of the wheel


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


def write_run_json(
    path: Path,
    *,
    command: str,
    settings: Mapping[str, Any],
    seed: int | None = None,
    files: Mapping[str, Path] | None = None,
    counts: Mapping[str, int] | None = None,
    seconds: Mapping[str, float] | None = None,
    notes: Mapping[str, Any] | None = None,
) -> None:
    """Write the record of one run.

    Parameters
    ----------
    path
        Usually `OUT/run.json`.
    command
        Name of the command, `extract` for instance.
    settings
        Every option with the value that was used; paths and other objects are written as text.
    seed
        Seed of everything random, or None when nothing was.
    files
        Model files, manifests and tables that went in, by role; each is kept by file name and
        SHA-256, without its folder, which may hold a patient's or a user's name.
    counts, seconds, notes
        How many inputs ended in each status, how long each stage took, and whatever else the
        command wants remembered (units, device, definition).
    """
    write_json(
        path,
        {
            "command": command,
            "settings": {name: _plain(value) for name, value in settings.items()},
            "seed": seed,
            "versions": package_versions(),
            "platform": {"system": platform.system(), "machine": platform.machine()},
            "files": {
                role: {"name": file.name, "sha256": sha256_of(file)}
                for role, file in (files or {}).items()
            },
            "counts": dict(counts or {}),
            "seconds": {name: round(value, 3) for name, value in (seconds or {}).items()},
            "notes": {name: _plain(value) for name, value in (notes or {}).items()},
        },
    )


def _plain(value: Any) -> Any:
    if value is None or isinstance(value, bool | int | float | str):
        return value
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    return str(value)
