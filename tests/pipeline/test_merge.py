"""Shards of every command, merged: the bytes of one run, and a refusal for every fault."""

from __future__ import annotations

import json
import os
import re
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch

from classifiers.commands.fit import fit
from classifiers.commands.grade import grade
from classifiers.graders.model_store import GRADER_FILE
from common.errors import UserError
from common.files import sha256_of
from common.processes import Outcome
from common.provenance import RUN_FILE
from common.shards import SHARD_FILE, EmptyShardError, Shard
from common.tables import write_table
from datasets.simulated.cohort import simulate
from features.commands.extract import extract
from features.tables import FEATURES, read_features
from htnet.commands.predict import predict
from htnet.micro.commands.flow import flow
from htnet.network.htnet import HTNet
from htnet.network.weights import save_weights
from landmarks.find.finder import LandmarkFinder, do_photo
from pipeline.commands.merge import merge
from tests.htnet.micro.drawn_motion import clip_manifest, portrait_face, smiling, write_clip

OF = 3
KILLED_AFTER = 2  # photographs of the shard that is killed


@pytest.fixture(scope="module", autouse=True)
def in_process(finder: LandmarkFinder) -> Iterator[None]:
    """Work done here and now, without overlay once: starting workers would take longer."""
    known: dict[Path, object] = {}

    def plain_map(function: Any, items: Any, *, start: Any, **_: Any) -> Any:
        state = start()
        for row, item in enumerate(items):
            if function is not do_photo or item.overlay is not None:
                yield Outcome(row, value=function(state, item))
                continue
            if item.path not in known:
                known[item.path] = function(state, item)
            yield Outcome(row, value=known[item.path])

    with pytest.MonkeyPatch.context() as patch:
        for module in ("landmarks.find.extraction", "htnet.micro.clips.folder"):
            patch.setattr(f"{module}.supervised_map", plain_map)
        patch.setattr("landmarks.find.extraction.LandmarkFinder", lambda *_, **__: finder)
        patch.setattr("htnet.micro.clips.reader.LandmarkFinder", lambda *_: finder)
        yield


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A manifest of two patients, with a name that a spreadsheet would run, and no photograph."""
    folder = tmp_path_factory.mktemp("study")
    simulate(folder / "photos", patients=1, seed=1, width=240, height=320)
    (folder / "wall.jpg").write_bytes(b"no photograph")
    photos = sorted((folder / "photos").rglob("*_[1-8].jpg"))
    rows = [
        {
            "image_id": f"{'=' if number == 4 else ''}p{number}.jpg",
            "path": str(photo),
            "patient_id": f"00{1 + number // 4}",
            "hb_grade": 1 + number // 4,
            "note": "007" if number else "",
        }
        for number, photo in enumerate(photos)
    ]
    wall = {"image_id": "p10.jpg", "path": str(folder / "wall.jpg"), "patient_id": "003"}
    pd.DataFrame([*rows[::-1], wall]).to_csv(folder / "manifest.csv", index=False)
    return folder


def in_shards(run: Callable[..., object], out: Path, *, of: int = OF) -> None:
    for number in range(1, of + 1):
        try:
            run(out=out, shard=Shard(number, of))
        except EmptyShardError:
            continue


def files_of(folder: Path) -> dict[str, bytes]:
    """Every file by name, without what belongs to one run or its machine."""
    left_out = re.compile(r"^(shard-|journal|measurements/journal|cache/)")
    return {
        name: path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file() and not left_out.match(name := path.relative_to(folder).as_posix())
    }


def assert_same(merged: Path, one: Path) -> None:
    """Byte by byte; of run.json all but the times, and what had been measured before."""
    found, expected = files_of(merged), files_of(one)
    assert sorted(found) == sorted(expected)
    for name, content in expected.items():
        if Path(name).name != RUN_FILE:
            assert found[name] == content, name
            continue
        ours, theirs = json.loads(found[name]), json.loads(content)
        for record in (ours, theirs):
            record.pop("seconds")
            record["notes"].pop("resumed", None)
        assert json.dumps(ours) == json.dumps(theirs), name


@pytest.fixture(scope="module")
def measured(study: Path) -> Path:
    """One run, and shards of which the second was killed in the middle and run again."""

    def run(**options: Any) -> object:
        return extract(study / "manifest.csv", tta=0, overlays=True, jobs=1, **options)

    run(out=study / "one")
    with pytest.MonkeyPatch.context() as patch:
        import landmarks.find.extraction as extraction

        usual = extraction.supervised_map

        def killed(*arguments: Any, **options: Any) -> Any:
            for done, outcome in enumerate(usual(*arguments, **options)):
                if done == KILLED_AFTER:
                    raise SystemExit
                yield outcome

        patch.setattr(extraction, "supervised_map", killed)
        with pytest.raises(SystemExit):
            run(out=study / "many", shard=Shard(2, OF))
    assert not (study / "many" / "shard-2-of-3" / RUN_FILE).exists()
    in_shards(run, study / "many")
    record = json.loads((study / "many" / "shard-2-of-3" / RUN_FILE).read_text())
    assert record["notes"]["resumed"] == KILLED_AFTER
    merge((study / "many",))
    return study / "many"


@pytest.fixture
def shards(measured: Path, tmp_path: Path) -> Path:
    """A copy to be broken."""
    return Path(shutil.copytree(measured, tmp_path / "many"))


def test_merged_is_what_one_run_writes(
    measured: Path, study: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert_same(measured, study / "one")
    assert len(files_of(measured)) == 5 + 8  # tables and record, an overlay of each face
    result = merge(tuple(measured.glob("shard-*")), out=study / "elsewhere")
    assert (result.images, result.shards) == (9, OF)
    assert "3 shards joined: 9 images, each exactly once." in capsys.readouterr().out
    assert_same(study / "elsewhere", study / "one")


def test_corrections_beside_shards_and_beside_all_are_kept(shards: Path) -> None:
    head = "image_id,action,point,from_x,from_y,to_x,to_y,reason,rater,at,photo_sha256\n"
    row = "{},checked,,,,,,,ann,2026-01-0{}T00:00:00.000000+00:00,\n"
    written = {
        shards / "corrections.csv": [("p1.jpg", 2)],
        shards / "shard-1-of-3" / "corrections.csv": [("p2.jpg", 1), ("p3.jpg", 4)],
        shards / "shard-3-of-3" / "corrections.csv": [("p1.jpg", 2), ("p7.jpg", 3)],
    }
    for path, rows in written.items():
        path.write_text(head + "".join(row.format(*cells) for cells in rows))
    merge((shards,))
    kept = pd.read_csv(shards / "corrections.csv")["image_id"].tolist()
    assert kept == ["p2.jpg", "p1.jpg", "p7.jpg", "p3.jpg"]  # in the order of the moves, once each


def test_parquet_tables_are_joined_as_such(shards: Path) -> None:
    pytest.importorskip("pyarrow")
    expected = read_features(shards / "features.csv")
    for path in shards.glob("shard-*/features.csv"):
        write_table(read_features(path), path.with_suffix(".parquet"), schema=FEATURES)
        path.unlink(missing_ok=True)
    merge((shards,))
    assert not (shards / "features.csv").exists()
    pd.testing.assert_frame_equal(read_features(shards / "features.csv"), expected)


def changed(path: Path, change: Callable[[dict[str, Any]], object]) -> None:
    record = json.loads(path.read_text())
    change(record)
    path.write_text(json.dumps(record))


def first_image(shard: Path) -> str:
    return str(json.loads((shard / SHARD_FILE).read_text())["images"][0])


def without_image(shard: Path) -> None:
    table = (shard / "features.csv").read_text().splitlines(keepends=True)
    (shard / "features.csv").write_text("".join(table[:1] + table[2:]))


def with_image_of_another(shard: Path) -> None:
    line = (shard.parent / "shard-1-of-3" / "dists.csv").read_text().splitlines()[1]
    with (shard / "dists.csv").open("a") as file:
        file.write(f"{line}\n")


def with_image_twice(shard: Path) -> None:
    line = (shard / "dists.csv").read_text().splitlines()[1]
    with (shard / "dists.csv").open("a") as file:
        file.write(f"{line}\n")


def cut(shard: Path) -> None:
    content = (shard / "landmarks.csv").read_bytes()
    (shard / "landmarks.csv").write_bytes(content[:-9])


def of_another_source(shard: Path) -> None:
    changed(shard / SHARD_FILE, lambda record: record.update(sha256="0" * 64))
    os.utime(shard / SHARD_FILE, (0, 0))  # the others are newer


def of_another_count(shard: Path) -> None:
    other = shard.parent / "shard-04-of-10"
    shutil.copytree(shard, other)
    changed(other / SHARD_FILE, lambda record: record.update(shard="4/10"))


FAULTS: dict[str, tuple[Callable[[Path], object], list[str]]] = {
    "another seed": (
        lambda shard: changed(shard / RUN_FILE, lambda record: record.update(seed=7)),
        ["shard-2-of-3 was made with seed 7 and the others with none: make it again"],
    ),
    "another setting": (
        lambda shard: changed(
            shard / RUN_FILE, lambda record: record["settings"].update(faces="error")
        ),
        ["setting faces error and the others with largest"],
    ),
    "another version": (
        lambda shard: changed(
            shard / RUN_FILE, lambda record: record["versions"].update(numpy="1.0")
        ),
        ["shard-2-of-3 was made with numpy 1.0 and the others with"],
    ),
    "another model": (
        lambda shard: changed(
            shard / RUN_FILE, lambda record: record["files"]["predictor"].update(sha256="ab" * 32)
        ),
        ["predictor of SHA-256 abababababab… and the others"],
    ),
    "a missing image": (without_image, ["features.csv is not what shard 2/3 wrote (1 image miss"]),
    "an image of another shard": (with_image_of_another, ["is not of this shard and would occur"]),
    "a double image": (with_image_twice, ["must be different in every row"]),
    "a cut table": (cut, ["landmarks.csv is not what shard 2/3 wrote (its last line is cut"]),
    "a table that is gone": (
        lambda shard: (shard / "measures.csv").unlink(),
        ["measures.csv is not what shard 2/3 wrote (it is not there)"],
    ),
    "a missing shard": (shutil.rmtree, ["of 9 are missing, those of shard 2/3: `python"]),
    "a shard that was killed": (
        lambda shard: (shard / RUN_FILE).unlink(),
        ["of 9 are missing, those of shard 2/3: `python"],
    ),
    "a changed source": (
        of_another_source,
        ["The source has changed between the shards", "those again, what is measured stays"],
    ),
    "a damaged record": (
        lambda shard: (shard / SHARD_FILE).write_text("{"),
        ["shard.json is damaged"],
    ),
}
NO_COMMAND = ("a damaged record",)


@pytest.mark.parametrize("fault", FAULTS)
def test_a_fault_is_refused_in_one_sentence_with_the_command(
    shards: Path, study: Path, fault: str
) -> None:
    break_it, words = FAULTS[fault]
    before = files_of(shards)
    break_it(shards / "shard-2-of-3")
    with pytest.raises(UserError) as caught:
        merge((shards,))
    sentence = str(caught.value)
    assert "\n" not in sentence
    for part in words:
        assert part in sentence
    if fault not in NO_COMMAND:
        assert (
            f"python run_pipeline.py extract {study / 'manifest.csv'} --out {study / 'many'} "
            "--tta 0 --overlays --jobs 1 --shard 2/3`" in sentence
        )
    assert files_of(shards) == before  # what was merged before is as it was


def test_shards_of_two_dealings_or_given_twice_are_refused(shards: Path) -> None:
    shutil.copytree(shards / "shard-2-of-3", shards.parent / "again" / "shard-2-of-3")
    with pytest.raises(UserError, match=r"are both shard 2/3, so that its .* occur twice: give"):
        merge((shards, shards.parent / "again"), out=shards)
    of_another_count(shards / "shard-2-of-3")
    with pytest.raises(UserError, match=r"is shard 4/10, parts of .*merge .*/shard-\*-of-10`"):
        merge((shards,))
    with pytest.raises(UserError, match="holds no shards"):
        merge((shards.parent / "nowhere",))


def test_several_missing_shards_are_made_by_one_line(shards: Path) -> None:
    for number in (1, 3):
        shutil.rmtree(shards / f"shard-{number}-of-3")
    with pytest.raises(UserError, match=r"shards 1 and 3 of 3: `for i in 1 3; do python .*\$i/3"):
        merge((shards,))


def test_grades_are_merged_with_one_report(
    measured: Path, study: Path, figures_not_rendered: None
) -> None:
    fit(
        study / "one" / "features.csv", out=study / "fitted", level="photograph", n_folds=2,
        grader="majority", redact=True, jobs=1,
    )  # fmt: skip

    def run(**options: Any) -> object:
        return grade(study / "manifest.csv", model=study / "fitted", jobs=1, **options)

    run(out=study / "grade_one")
    in_shards(run, study / "grade_many", of=2)
    for path in (study / "grade_many").rglob("features.csv"):
        assert set(pd.read_csv(path)["patient_id"].value_counts()) <= {4, 1}  # whole patients
    merge((study / "grade_many",))
    assert_same(study / "grade_many", study / "grade_one")
    assert {"report.html", "grades.csv"} <= set(files_of(study / "grade_many"))
    with (study / "fitted" / "model" / GRADER_FILE).open("ab") as file:
        file.write(b"\0")
    with pytest.raises(UserError, match=f"is not what .* was graded with .{GRADER_FILE}.: put it"):
        merge((study / "grade_many",))


def test_answers_of_a_network_are_merged(study: Path) -> None:
    torch.manual_seed(0)
    network = HTNet(image_size=28, patch_size=7, num_classes=6, dim=12, heads=3)
    save_weights(network, study / "w.safetensors", notes={"classes": list("123456")})

    def run(**options: Any) -> object:
        weights = (study / "w.safetensors",)
        return predict(study / "manifest.csv", weights=weights, tta=0, jobs=1, threads=1, **options)

    run(out=study / "predict_one")
    in_shards(run, study / "predict_many", of=2)
    merge((study / "predict_many",))
    assert_same(study / "predict_many", study / "predict_one")
    answers = pd.read_csv(study / "predict_many" / "patient_grades.csv")
    assert answers["photographs"].tolist() == [4, 4]
    with pytest.raises(UserError, match="leave out --shard"):
        predict(camera=0, weights=(study / "w.safetensors",), out=study, shard=Shard(1, 2))


def test_flow_of_clips_is_merged(
    tmp_path: Path, portrait_path: Path, finder: LandmarkFinder
) -> None:
    face = portrait_face(portrait_path)
    points = finder.find(face).points
    names = ["clip10", "clip2", "lost"]
    for name, amount in zip(names[:2], (3.0, 2.0), strict=True):
        frames = smiling(face, points, amounts=np.array([0, 0.5, 1, 0.5]) * amount)
        write_clip(tmp_path / "clips" / name, frames)
    clip_manifest(tmp_path / "m.csv", names, apex=[10] * 3, offset=[11] * 3)

    def run(**options: Any) -> object:
        return flow(
            tmp_path / "m.csv", regions=True, region_size=16, pictures=False, jobs=1, **options
        )

    run(out=tmp_path / "one")
    in_shards(run, tmp_path / "many", of=2)
    merge((tmp_path / "many",))
    assert_same(tmp_path / "many", tmp_path / "one")
    assert {"maps.npz", "regions.npy", "regions.json"} <= set(files_of(tmp_path / "many"))
    assert sha256_of(tmp_path / "many" / "flow.csv") == sha256_of(tmp_path / "one" / "flow.csv")
