"""What an extraction has finished so far, one line per photograph, so that a killed run resumes.

`OUT/journal.jsonl` is appended to as photographs are measured. A line is used again only when the
photograph's content, the settings and the library versions are the same: anything that failed has
no line and is tried again. Each line begins with what it is of, so that a run of 50,000 photographs
does not have to read all results before it starts.
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
    """The measured photographs of one output folder, which is made if it is not there.

    `settings`: fingerprint of everything that a result depends on beside the photograph. UserError
    when the folder or the journal cannot be written.
    """

    def __init__(self, folder: Path, *, settings: str) -> None:
        self.path = folder / JOURNAL_NAME
        self._settings = settings
        try:
            folder.mkdir(parents=True, exist_ok=True)
            self._file = self.path.open("a+b")
            self._lines = self._find_lines()
        except OSError as error:
            raise UserError(
                f"Cannot write {self.path} ({error.strerror}): free some space or choose another "
                "folder with --out."
            ) from error

    def __contains__(self, image_id: str) -> bool:
        return image_id in self._lines

    def sha256_of(self, image_id: str) -> str:
        """Return the SHA-256 that a photograph in the journal had when it was measured."""
        return self._lines[image_id][0]

    def read(self, image_id: str) -> FaceLandmarks:
        """Return the earlier result of a photograph whose content is known.

        UserError when somebody has changed its line.
        """
        sha256, place = self._lines[image_id]
        self._file.seek(place)
        try:
            saved = json.loads(self._file.readline())
            eyes = saved["irises"]
            saved |= {
                "box": FaceBox(**saved["box"]),
                "points": np.array(saved["points"]).reshape(N_POINTS, 2),
                "spread": np.array(saved["spread"]).reshape(N_POINTS, 2),
                "irises": Irises(Iris(**eyes["right"]), Iris(**eyes["left"])) if eyes else None,
            }
            return FaceLandmarks(status="ok", sha256=sha256, **saved)
        except (ValueError, KeyError, TypeError) as error:
            raise UserError(
                f"{self.path} has a damaged line for {image_id}: delete the file and run the same "
                "command again."
            ) from error

    def add(self, image_id: str, found: FaceLandmarks) -> None:
        """Keep the result of a photograph that is `ok`; it survives a kill from here on.

        UserError when the disk is full or gone.
        """
        result = asdict(found)
        head = {"settings": self._settings, "image_id": image_id, "sha256": result.pop("sha256")}
        del result["status"], result["reason"]
        line = f"{_as_json(head)}\t{_as_json(result)}\n"
        try:
            self._file.write(line.encode())
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

    def _find_lines(self) -> dict[str, tuple[str, int]]:
        """Content and place in the file of each result that may be used; a torn end is cut off."""
        lines: dict[str, tuple[str, int]] = {}
        end = 0
        self._file.seek(0)
        for line in self._file:
            if not line.endswith(b"\n"):
                break
            head, tab, _ = line.partition(b"\t")
            with suppress(ValueError, KeyError, TypeError):  # a foreign line is passed over
                known = json.loads(head)
                if tab and known["settings"] == self._settings:
                    lines[known["image_id"]] = known["sha256"], end + len(head) + 1
            end += len(line)
        self._file.truncate(end if lines else 0)  # other settings: nothing will be used again
        return lines


def _as_json(content: Mapping[str, Any]) -> str:
    return json.dumps(content, ensure_ascii=False, default=np.ndarray.tolist)
