"""The folder that `micro flow` writes, and its one reader.

flow.csv      a row for each clip of the manifest, whatever became of it (schema `FLOW`)
maps.npz      28-px maps of the clips that are `ok`, in the table's order, and the apex pictures
regions.npy   with --regions: `(n, 4, R, 3, S, S)` float16, opened memory-mapped
regions.json  names of its windows and regions, and its scaling
pictures/     what the flow looks like
run.json      settings, versions, counts, timings
"""

from __future__ import annotations

import itertools
import json
import os
import zipfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import pandera.pandas as pa
from numpy.typing import NDArray

from common.errors import UserError
from common.files import atomic_write, keep, write_json
from common.tables import choice, number, read_table, text
from htnet.micro.clips.maps import WINDOWS, RegionWindows

FLOW_FILE, MAPS_FILE = "flow.csv", "maps.npz"
REGIONS_FILE, REGION_NAMES_FILE = "regions.npy", "regions.json"

STATUSES = ("ok", "no_face", "several_faces", "unreadable", "missing_frames", "failed")


def frame_column() -> pa.Column:
    """Return a column of frame numbers, empty where one is not known."""
    return pa.Column("Int64", nullable=True, coerce=True)


FLOW = pa.DataFrameSchema(
    {
        "image_id": text(unique=True),
        "patient_id": text(),
        "dataset": text(nullable=True),
        "emotion": text(nullable=True),
        "emotion3": text(nullable=True),
        "status": choice(STATUSES),
        "reason": text(nullable=True),
        **{name: frame_column() for name in ("onset", "apex", "offset")},
        "apex_source": text(nullable=True),
        **{name: number() for name in ("face_px", "head_px", "peak_px", "peak_fraction")},
    },
    name="flow",
)
"""`flow.csv`. `image_id` and `patient_id` are the manifest's, `dataset` is the part of a composite.

`apex_source` is `annotated` or `spotted`. `face_px` is the side of the face square in px of the
frames (2.5 eye distances, about the width of the face). `head_px` is the motion of the head from
onset to apex at the nose, which was removed; `peak_px` the largest motion that was left (99th
percentile over eyes, brows and mouth), both in px of the frames, and `peak_fraction` that motion
divided by `face_px`. NaN unless `ok`.
"""


@dataclass(frozen=True)
class FlowFolder:
    """What `micro flow` has written: the table of all clips, and the maps of those that are `ok`.

    Maps, centres, apex pictures and region windows (None when they were not asked for) are in the
    table's order. `simulated` says whether a clip was drawn and shows no person.
    """

    table: pd.DataFrame
    maps: NDArray[np.float32]
    centres: NDArray[np.float32]
    scaling: str
    regions: RegionWindows | None
    apex: NDArray[np.uint8] | None = None
    simulated: bool = False

    @property
    def ok(self) -> pd.DataFrame:
        """The table's rows that have maps, numbered as they are."""
        return self.table[self.table["status"] == "ok"].reset_index(drop=True)


def read_flow_folder(path: Path) -> FlowFolder:
    """Read the folder that `micro flow` has written.

    UserError when a file is missing or damaged, or the maps are not those of the table.
    """
    table = read_table(path / FLOW_FILE, schema=FLOW)
    ok = table[table["status"] == "ok"].reset_index(drop=True)
    try:
        with (path / MAPS_FILE).open("rb") as file, np.load(file, allow_pickle=False) as stored:
            maps, centres = stored["maps"], stored["centres"]
            clip_id, scaling = stored["clip_id"], str(stored["scaling"])
            apex, simulated = stored.get("apex"), bool(stored.get("simulated", False))
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile) as error:
        raise _damaged(path / MAPS_FILE, error) from error
    if clip_id.tolist() != ok["image_id"].tolist() or len(maps) != len(ok):
        raise UserError(
            f"{path / MAPS_FILE} does not hold the clips of {FLOW_FILE}: run micro flow again."
        )
    return FlowFolder(table, maps, centres, scaling, _read_regions(path, ok), apex, simulated)


def join_flow_folders(parts: Sequence[Path], table: pd.DataFrame, *, out: Path) -> None:
    """Write the maps and regions of several folders as those of one, whose `flow.csv` is `table`.

    UserError when a file of a part is missing or damaged.
    """
    folders = [read_flow_folder(part) for part in parts]
    rows = table[table["status"] == "ok"]
    place = {image_id: at for at, image_id in enumerate(rows["image_id"])}
    places = [place[image_id] for one in folders for image_id in one.ok["image_id"]]
    order = np.argsort(np.array(places, dtype=np.intp))
    first = folders[0]
    write_maps(
        out / MAPS_FILE,
        maps=np.concatenate([one.maps for one in folders])[order],
        centres=np.concatenate([one.centres for one in folders])[order],
        apex=np.concatenate([one.apex for one in folders if one.apex is not None])[order],
        rows=rows,
        scaling=first.scaling,
        simulated=first.simulated,
    )
    if first.regions is None:
        return
    store = RegionStore(
        out,
        n_clips=max(len(rows), 1),  # a file without content cannot be mapped
        regions=first.regions.regions,
        size=first.regions.values.shape[-1],
        scaling=first.regions.scaling,
    )
    try:
        windows = (one.regions.values for one in folders if one.regions is not None)
        for at, values in zip(places, itertools.chain.from_iterable(windows), strict=True):
            store.put(at, values)
        store.close(range(len(rows)), clip_id=rows["image_id"].tolist())
    finally:
        store.discard()


def write_maps(
    path: Path,
    *,
    maps: NDArray[np.float32],
    centres: NDArray[np.float32],
    apex: NDArray[np.uint8],
    rows: pd.DataFrame,
    scaling: str,
    simulated: bool = False,
) -> None:
    """Write `maps.npz`: maps `(n, 28, 28, 3)`, centres `(n, 5, 2)`, apex pictures `(n, 56, 56)`.

    `rows` are the n rows of the flow table; names, subjects and emotions of the clips are kept
    with their maps.
    """
    keep(
        path,
        {
            "maps": maps,
            "centres": centres,
            "apex": apex,
            "clip_id": text_array(rows["image_id"]),
            "dataset": text_array(rows["dataset"]),
            "subject": subjects_of(rows),
            "emotion": text_array(rows["emotion"]),
            "emotion3": text_array(rows["emotion3"]),
            "scaling": np.array(scaling),
            "simulated": np.array(simulated),
        },
    )


class RegionStore:
    """Writes `regions.npy` clip by clip as clips finish, in any order; only one is held in memory.

    Rows are kept in a file of all clips while it is not known which of them fail; `close` leaves
    the rows that are asked for. UserError where the disk is too small.
    """

    def __init__(
        self, folder: Path, *, n_clips: int, regions: Sequence[str], size: int, scaling: str
    ) -> None:
        self._folder = folder
        self._names = {"windows": WINDOWS, "regions": tuple(regions), "scaling": scaling}
        self._shape = (n_clips, len(WINDOWS), len(regions), 3, size, size)
        self._all = folder / ".writing-regions.npy"
        try:
            self._values = np.lib.format.open_memmap(
                self._all, mode="w+", dtype=np.float16, shape=self._shape
            )
            # A mapped file gets its space when it is written to, and a full disk would then end
            # the process without a word.
            if hasattr(os, "posix_fallocate"):
                with self._all.open("r+b") as file:
                    os.posix_fallocate(file.fileno(), 0, self._all.stat().st_size)
        except OSError as error:
            self.discard()
            raise UserError(
                f"Cannot write the regions to {folder} ({error.strerror or error}): free some "
                "space, or choose another folder with --out."
            ) from error

    def put(self, row: int, values: NDArray[np.float16]) -> None:
        """Store the windows of the clip in this row of the manifest."""
        self._values[row] = values

    def close(self, rows: Sequence[int], *, clip_id: Sequence[str]) -> None:
        """Leave these rows, in this order, as `regions.npy`, with `regions.json` beside it."""
        (self._folder / REGION_NAMES_FILE).unlink(missing_ok=True)
        self._values.flush()
        if list(rows) != list(range(self._shape[0])):
            with atomic_write(self._folder / REGIONS_FILE) as temporary:
                shape = (len(rows), *self._shape[1:])
                if rows:
                    kept = np.lib.format.open_memmap(
                        temporary, mode="w+", dtype=np.float16, shape=shape
                    )
                    for place, row in enumerate(rows):
                        kept[place] = self._values[row]
                    kept.flush()
                else:  # a file without content cannot be mapped
                    with temporary.open("wb") as file:
                        np.save(file, np.empty(shape, np.float16))
            self.discard()
        else:
            self._all.replace(self._folder / REGIONS_FILE)
        names = {**self._names, "clips": list(clip_id)}
        write_json(self._folder / REGION_NAMES_FILE, names)

    def discard(self) -> None:
        """Remove what was written so far."""
        self._all.unlink(missing_ok=True)


def subjects_of(rows: pd.DataFrame) -> NDArray[np.str_]:
    """Return names that tell people apart over all datasets: `casme2/sub01`."""
    return text_array(rows["dataset"].fillna("").astype(str) + "/" + rows["patient_id"])


def text_array(column: pd.Series) -> NDArray[np.str_]:
    """Return a column as `(n,)` text, empty where it is missing."""
    return np.array(column.fillna("").astype(str).tolist(), dtype=np.str_)


def _read_regions(path: Path, ok: pd.DataFrame) -> RegionWindows | None:
    if not (path / REGIONS_FILE).is_file():
        return None
    try:
        names = json.loads((path / REGION_NAMES_FILE).read_text(encoding="utf-8"))
        # numpy cannot map an array without rows.
        values = np.load(path / REGIONS_FILE, mmap_mode="r" if len(ok) else None)
        regions, scaling = tuple(names["regions"]), str(names["scaling"])
        shape, clips = (len(ok), len(names["windows"]), len(regions)), names["clips"]
    except (OSError, ValueError, KeyError, EOFError) as error:
        raise _damaged(path / REGIONS_FILE, error) from error
    if values.shape[:3] != shape or clips != ok["image_id"].tolist():
        raise UserError(
            f"{path / REGIONS_FILE} does not hold the clips of {FLOW_FILE}: run micro flow again."
        )
    return RegionWindows(values, regions, text_array(ok["image_id"]), scaling)


def reason_of(error: Exception) -> str:
    """Return the first line of an error, or its kind where it says nothing."""
    return (str(error).strip().splitlines() or [type(error).__name__])[0]


def _damaged(path: Path, error: Exception) -> UserError:
    return UserError(f"{path} is missing or damaged ({reason_of(error)}): run micro flow again.")
