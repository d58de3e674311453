"""The folder of `micro flow` reads back as it was written, and refuses what does not fit."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from common.errors import UserError
from common.tables import write_table
from htnet.micro.clips.folder import flow_table
from htnet.micro.clips.maps import TOGETHER
from htnet.micro.clips.reader import ClipFacts
from htnet.micro.clips.store import (
    FLOW,
    FLOW_FILE,
    MAPS_FILE,
    REGION_NAMES_FILE,
    REGIONS_FILE,
    RegionStore,
    read_flow_folder,
    write_maps,
)

OK = ClipFacts(onset=3, apex=7, offset=11, apex_source="annotated", face_px=170.0, peak_px=1.5)
BROKEN = ClipFacts(status="no_face", reason="No face.", onset=3)


def rows(n: int) -> pd.DataFrame:
    return pd.DataFrame(
        {
            "image_id": [f"c{row}" for row in range(n)],
            "patient_id": ["007", *["008"] * (n - 1)],
            "dataset": ["casme2"] * n,
            "emotion": ["happiness"] * (n - 1) + [None],
            "emotion3": ["positive"] * (n - 1) + [None],
        }
    )


def write_folder(folder: Path, facts: list[ClipFacts], *, regions: bool = True) -> None:
    """Each clip's maps hold its row number in the manifest."""
    table = flow_table(rows(len(facts)), facts)
    ok = [row for row, fact in enumerate(facts) if fact.status == "ok"]
    folder.mkdir(exist_ok=True)
    if regions:
        store = RegionStore(
            folder, n_clips=len(facts), regions=TOGETHER, size=8, scaling="physical"
        )
        for row in reversed(ok):  # as workers may finish
            store.put(row, np.full((4, 3, 3, 8, 8), row, np.float16))
        store.close(ok, clip_id=[f"c{row}" for row in ok])
    maps = np.zeros((len(ok), 28, 28, 3), np.float32) + np.array(ok).reshape(-1, 1, 1, 1)
    centres = np.zeros((len(ok), 5, 2), np.float32)
    path = folder / MAPS_FILE
    apex = np.zeros((len(ok), 56, 56), np.uint8) + np.array(ok, np.uint8).reshape(-1, 1, 1)
    write_maps(path, maps=maps, centres=centres, apex=apex, rows=table.iloc[ok], scaling="physical")
    write_table(table, folder / FLOW_FILE, schema=FLOW)


@pytest.mark.parametrize(
    "facts", [[OK, OK, OK], [BROKEN, OK, OK], [OK, BROKEN, OK], [BROKEN, BROKEN]]
)
def test_rows_maps_and_regions_belong_together(tmp_path: Path, facts: list[ClipFacts]) -> None:
    write_folder(tmp_path, facts)
    folder = read_flow_folder(tmp_path)
    ok = [row for row, fact in enumerate(facts) if fact.status == "ok"]
    assert len(folder.table) == len(facts)
    assert folder.ok["image_id"].tolist() == [f"c{row}" for row in ok]
    assert [int(one[0, 0, 0]) for one in folder.maps] == ok
    assert [int(one[0, 0]) for one in folder.apex] == ok
    assert folder.regions is not None
    assert folder.regions.values.shape == (len(ok), 4, 3, 3, 8, 8)
    assert folder.regions.values.dtype == np.float16
    assert [int(one[0, 0, 0, 0, 0]) for one in folder.regions.values] == ok
    assert folder.regions.regions == TOGETHER
    assert not list(tmp_path.glob(".writing*"))


def test_regions_stay_on_disk_and_rows_are_found_by_clip(tmp_path: Path) -> None:
    write_folder(tmp_path, [OK, OK, OK])
    regions = read_flow_folder(tmp_path).regions
    assert regions is not None
    assert isinstance(regions.values, np.memmap)
    assert regions.rows_of(np.array(["c2", "c0"])).tolist() == [2, 0]
    assert (regions.size, len(regions)) == (8, 3)
    with pytest.raises(KeyError):
        regions.rows_of(np.array(["c9"]))


def test_names_keep_their_zeros_and_missing_emotions_are_empty(tmp_path: Path) -> None:
    write_folder(tmp_path, [OK, OK])
    with np.load(tmp_path / MAPS_FILE) as stored:
        assert stored["subject"].tolist() == ["casme2/007", "casme2/008"]
        assert stored["emotion"].tolist() == ["happiness", ""]


def test_without_regions_there_are_none(tmp_path: Path) -> None:
    write_folder(tmp_path, [OK], regions=False)
    assert read_flow_folder(tmp_path).regions is None


def test_a_damaged_or_foreign_file_is_named(tmp_path: Path) -> None:
    write_folder(tmp_path, [OK, OK])
    write_folder(tmp_path / "other", [OK, OK, BROKEN])
    names = tmp_path / REGION_NAMES_FILE
    changed = json.loads(names.read_text())
    names.write_text(json.dumps({**changed, "clips": ["c1", "c0"]}))
    with pytest.raises(UserError, match=r"regions\.npy does not hold the clips of flow\.csv"):
        read_flow_folder(tmp_path)
    names.write_text("{")
    with pytest.raises(UserError, match=r"regions\.npy is missing or damaged"):
        read_flow_folder(tmp_path)
    (tmp_path / REGIONS_FILE).unlink()
    (tmp_path / MAPS_FILE).write_bytes((tmp_path / MAPS_FILE).read_bytes()[:200])
    with pytest.raises(UserError, match=r"maps\.npz is missing or damaged"):
        read_flow_folder(tmp_path)
    (tmp_path / MAPS_FILE).unlink()
    with pytest.raises(UserError, match=r"maps\.npz is missing or damaged"):
        read_flow_folder(tmp_path)


def test_maps_of_other_clips_are_refused(tmp_path: Path) -> None:
    write_folder(tmp_path / "a", [OK, OK], regions=False)
    write_folder(tmp_path / "b", [OK], regions=False)
    (tmp_path / "b" / MAPS_FILE).replace(tmp_path / "a" / MAPS_FILE)
    with pytest.raises(UserError, match="does not hold the clips"):
        read_flow_folder(tmp_path / "a")


def test_a_disk_without_space_for_the_regions_is_told_before_the_work(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.posix_fallocate", full, raising=False)
    with pytest.raises(UserError, match=r"regions to .* \(No space left on device\): free some"):
        RegionStore(tmp_path, n_clips=2, regions=TOGETHER, size=8, scaling="physical")
    assert not list(tmp_path.iterdir())
