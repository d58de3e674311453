"""Files on disk: written whole or not at all, hashed, in natural order, kept for a next run."""

from __future__ import annotations

import errno
import hashlib
import json
import os
import re
import sys
import tempfile
import zipfile
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path, PurePosixPath
from typing import Annotated, Any

import numpy as np
from numpy.typing import NDArray

from common.errors import UserError

OutFile = Annotated[Path, "a file"]
"""Type of an option `out` that names a file; one of type `Path` names a folder. See `claimed`."""

PARQUET = ".parquet"

LOCK = ".lock"
"""Name of the file that keeps an output folder to one run while it lasts."""

CACHE_FOLDER = "cache"


def relative_path(path: Path, folder: Path) -> str:
    """Return `path` as seen from `folder`, with `/`; as it is where there is no way (Windows)."""
    try:
        return Path(os.path.relpath(path, folder)).as_posix()
    except ValueError:  # another drive
        return path.as_posix()


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

    A reader sees the old file or the new one, never half; when the block raises, the old one stays.
    UserError when the folder cannot be written or the disk is full.
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


def found_table(path: Path) -> Path:
    """Return a table's file: the one that is named, or the Parquet table in place of its CSV."""
    twin = path.with_suffix(PARQUET)
    return twin if path.suffix == ".csv" and not path.exists() and twin.is_file() else path


def remove_table(path: Path) -> None:
    """Remove the table of an earlier run, be it CSV or Parquet."""
    path.unlink(missing_ok=True)
    path.with_suffix(PARQUET).unlink(missing_ok=True)


@contextmanager
def claimed(out: Path, *, is_file: bool = False) -> Iterator[None]:
    """Keep an output folder, or file, to this process while the block runs; it is made if needed.

    The claim is a lock of the operating system: it ends with the process, however that ends. Where
    the file system knows no locks there is none. Folders made for it and left empty are removed.
    UserError when another process holds it, it is a file where a folder must be or the other way
    round, or it cannot be written.
    """
    if out.exists() and out.is_dir() == is_file:
        kinds = ("folder", "file") if is_file else ("file", "folder")
        raise UserError(
            f"{out} is a {kinds[0]} and must be a {kinds[1]}: give another name with --out."
        )
    folder, name = (out.parent, f".{out.name}{LOCK}") if is_file else (out, LOCK)
    new = [path for path in (folder, *folder.parents) if not path.exists()]
    try:
        lock = _locked(folder / name)
    except BlockingIOError as error:
        raise UserError(
            f"Another run is writing to {out}: wait until it has ended, or give another name "
            "with --out."
        ) from error
    except OSError as error:
        raise UserError(
            f"Cannot write to {out} ({error.strerror or error}): choose another name with --out."
        ) from error
    try:
        yield
    finally:
        _unlock(lock, folder / name)
        with suppress(OSError):
            for path in new:  # innermost first; the first that is not empty ends it
                path.rmdir()


def _locked(path: Path) -> int:
    """Open and lock a file; returns its descriptor. BlockingIOError when another process has it."""
    while True:
        path.parent.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o666)
        try:
            _lock(descriptor)
            if os.fstat(descriptor).st_ino == path.stat().st_ino:
                return descriptor
        except FileNotFoundError:  # whoever had it has ended, and removed it, in between
            pass
        except BaseException:
            os.close(descriptor)
            raise
        os.close(descriptor)


def _unlock(descriptor: int, path: Path) -> None:
    """Remove and close the lock file; in this order, or it could be the next run's by then."""
    try:
        path.unlink()
    except PermissionError:  # Windows removes no open file, but none that the next run has either
        os.close(descriptor)
        with suppress(OSError):
            path.unlink()
    except OSError:
        os.close(descriptor)
    else:
        os.close(descriptor)


def _lock(descriptor: int) -> None:
    """Lock an open file or raise BlockingIOError; without locks in the file system do nothing."""
    try:
        if sys.platform == "win32":
            import msvcrt

            msvcrt.locking(descriptor, msvcrt.LK_NBLCK, 1)
        else:
            import fcntl

            # Of this process alone: not passed on to workers, which may outlive a kill.
            fcntl.lockf(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        if error.errno in (errno.EACCES, errno.EAGAIN, errno.EDEADLK):
            raise BlockingIOError(error.errno, error.strerror) from error


def write_json(path: Path, content: Any) -> None:
    """Write `content` as indented JSON, whole or not at all; NaN is refused."""
    text = json.dumps(content, indent=2, ensure_ascii=False, allow_nan=False) + "\n"
    with atomic_write(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask


def patient_of(image_id: str, *, photos: Path) -> str:
    """Return the patient of a photograph without a manifest: the folder it lies in.

    Photographs that lie in the given folder itself belong to one patient of that folder's name; a
    single photograph to one of its own name.
    """
    folder = PurePosixPath(image_id).parent
    if str(folder) != ".":
        return str(folder)
    return photos.resolve().name if photos.is_dir() else photos.stem


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
