"""Files on disk: written whole or not at all, hashed, and listed in the order people expect."""

from __future__ import annotations

import hashlib
import json
import os
import re
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from common.errors import UserError


def natural_key(text: str) -> tuple[tuple[int, int, str], ...]:
    """Sort key that puts `img2` before `img10`; the order of every per-image table.

    Digit runs compare as numbers, everything else as text without regard to case; the original
    text breaks ties, so the order is total.
    """
    parts = re.split(r"(\d+)", text)
    key = [(0, int(p), p) if p.isdecimal() else (1, 0, p.casefold()) for p in parts if p]
    return (*key, (2, 0, text))


def sha256_of(path: Path) -> str:
    """Return the SHA-256 of a file's content as 64 hexadecimal digits."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


@contextmanager
def atomic_write(path: Path) -> Iterator[Path]:
    """Give a temporary path in the target's folder and move it into place when the block ends.

    A reader sees the old file or the new one, never half of one. When the block raises, the
    temporary file is removed and the old file stays.

    Raises
    ------
    UserError
        When the folder cannot be written or the disk is full.
    """
    temporary: Path | None = None
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(dir=path.parent, prefix=".writing-", suffix=".tmp")
        os.close(handle)
        temporary = Path(name)
        # mkstemp makes files private; a table should have the rights of any other new file.
        temporary.chmod(0o666 & ~_umask())
        yield temporary
        temporary.replace(path)
    except OSError as error:
        raise UserError(
            f"Cannot write {path} ({error.strerror or error}): free some space or choose another "
            "folder with --out."
        ) from error
    finally:
        if temporary is not None:
            with suppress(OSError):
                temporary.unlink(missing_ok=True)


def write_json(path: Path, content: Any) -> None:
    """Write `content` as indented JSON, whole or not at all; NaN is refused."""
    text = json.dumps(content, indent=2, ensure_ascii=False, allow_nan=False) + "\n"
    with atomic_write(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask
