"""What an extraction has finished so far, one line per photograph, so that a killed run resumes.

`OUT/journal.jsonl` is appended to as photographs finish. A line is used again only when the
photograph's content, the settings and the library versions are the same and its status was `ok`:
anything that failed is tried again.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from common.errors import UserError
from common.files import atomic_write
from landmarks.find.detector import FaceBox
from landmarks.find.finder import FaceLandmarks
from landmarks.find.iris import Iris, Irises
from landmarks.points import N_POINTS

JOURNAL_NAME = "journal.jsonl"


def fingerprint(settings: Mapping[str, Any]) -> str:
    """Return 16 hexadecimal digits that change when any setting changes."""
    text = json.dumps(settings, sort_keys=True, default=str)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


class Journal:
    """The finished photographs of one output folder.

    Parameters
    ----------
    folder
        The output folder; it is made if it is not there.
    settings
        Fingerprint of everything that a result depends on beside the photograph.

    Raises
    ------
    UserError
        When the folder or the journal cannot be written.
    """

    def __init__(self, folder: Path, *, settings: str) -> None:
        self.path = folder / JOURNAL_NAME
        self._settings = settings
        self._found = self._load()
        # Rewriting drops stale lines and a torn last one, and shows now whether OUT is writable.
        with atomic_write(self.path) as temporary, temporary.open("w", encoding="utf-8") as file:
            for image_id, landmarks in self._found.items():
                file.write(self._line(image_id, landmarks))
        self._file = self.path.open("a", encoding="utf-8")

    def known(self, image_id: str, *, sha256: str) -> FaceLandmarks | None:
        """Return the earlier result for this photograph if its content is still the same."""
        found = self._found.get(image_id)
        return found if found is not None and found.sha256 == sha256 else None

    def __contains__(self, image_id: str) -> bool:
        return image_id in self._found

    def add(self, image_id: str, landmarks: FaceLandmarks) -> None:
        """Keep one result; it survives a kill of this process from here on.

        Raises
        ------
        UserError
            When the disk is full or gone.
        """
        try:
            self._file.write(self._line(image_id, landmarks))
            self._file.flush()
        except OSError as error:
            raise UserError(
                f"Cannot write {self.path} ({error.strerror}): free some space and run the same "
                "command again; it goes on where it stopped."
            ) from error

    def close(self) -> None:
        """Close the file; the journal stays on disk for the next run."""
        with suppress(OSError):  # a full disk was reported by add()
            self._file.close()

    def _line(self, image_id: str, landmarks: FaceLandmarks) -> str:
        entry = {
            "settings": self._settings,
            "image_id": image_id,
            "sha256": landmarks.sha256,
            "n_faces": landmarks.n_faces,
            "box": asdict(landmarks.box) if landmarks.box else None,
            "status": landmarks.status,
            "reason": landmarks.reason,
            "points": landmarks.points.tolist() if landmarks.status == "ok" else None,
            "copies": landmarks.copies,
            "copies_failed": landmarks.copies_failed,
            # JSON has no NaN: without copies there is no spread.
            "spread": None if np.isnan(landmarks.spread).any() else landmarks.spread.tolist(),
            "irises": None if landmarks.irises is None else _as_json(landmarks.irises),
        }
        return json.dumps(entry, ensure_ascii=False) + "\n"

    def _load(self) -> dict[str, FaceLandmarks]:
        found: dict[str, FaceLandmarks] = {}
        if not self.path.is_file():
            return found
        for line in self.path.read_text(encoding="utf-8", errors="replace").split("\n"):
            try:
                entry = json.loads(line)
                if entry["settings"] != self._settings or entry["status"] != "ok":
                    continue
                points = np.array(entry["points"], dtype=np.float64).reshape(N_POINTS, 2)
                unknown = np.full((N_POINTS, 2), np.nan)
                spread = unknown if entry["spread"] is None else np.array(entry["spread"])
                found[entry["image_id"]] = FaceLandmarks(
                    status="ok",
                    n_faces=entry["n_faces"],
                    box=FaceBox(**entry["box"]),
                    points=points,
                    sha256=entry["sha256"],
                    copies=entry["copies"],
                    copies_failed=entry["copies_failed"],
                    spread=spread.reshape(N_POINTS, 2),
                    irises=None if entry["irises"] is None else _from_json(entry["irises"]),
                )
            except (ValueError, KeyError, TypeError):
                continue  # a torn or foreign line: the photograph is simply done again
        return found


def _as_json(irises: Irises) -> list[dict[str, Any]]:
    return [
        {name: None if value != value else value for name, value in asdict(iris).items()}
        for iris in (irises.right, irises.left)  # only NaN differs from itself
    ]


def _from_json(entry: list[dict[str, Any]]) -> Irises:
    def iris(saved: dict[str, Any]) -> Iris:
        numbers = {
            name: np.nan if saved[name] is None else float(saved[name])
            for name in ("x", "y", "radius", "strength")
        }
        return Iris(status=saved["status"], reason=saved["reason"], **numbers)

    right, left = entry
    return Irises(right=iris(right), left=iris(left))
