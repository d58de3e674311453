"""`micro weights`: maps in, weights that the palsy branch takes over, and a record of the run."""

from __future__ import annotations

import json
from pathlib import Path

from htnet.micro.commands.fit import weights
from htnet.network.weights import load_weights
from tests.htnet.micro.drawn_maps import drawn_maps, write_published


def test_weights_of_published_maps_are_kept_with_what_made_them(tmp_path: Path) -> None:
    maps = write_published(tmp_path / "maps.npz", drawn_maps(subjects=4, per_subject=3))
    changes = ("network.dim=6", "network.heads=2", "training.epochs=1", "training.batch_size=8")
    result = weights(maps, out=tmp_path / "out", change=changes, inputs="mosaic", seed=3)
    assert result.exit_code == 0 and result.clips == 12
    network, notes = load_weights(result.kept)
    assert network.config.dim == 6
    assert notes["channels"] == "u, v, strain"
    about = json.loads((tmp_path / "out" / "run.json").read_text(encoding="utf-8"))
    assert about["settings"]["training"]["input"] == "mosaic"
    assert about["counts"] == {"clips": 12, "subjects": 4, "failed": 0}
