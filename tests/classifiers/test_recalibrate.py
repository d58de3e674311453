"""A kept grader at another clinic: thresholds moved by few patients, who are known again after."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest

from classifiers.commands.fit import fit
from classifiers.commands.recalibrate import recalibrate
from classifiers.graders.familiarity import Familiar, wrong_among_accepted
from classifiers.graders.local_trial import AS_KEPT, RECALIBRATED
from classifiers.graders.model_store import load_model
from classifiers.graders.new_patients import SEEN, grade_tables
from classifiers.graders.recalibration import Recalibration, recalibrate_chances
from common.errors import UserError
from common.grading.target import median_class
from features.commands.features import features
from landmarks.points import POINT_COLUMNS

from .conftest import write_faces

pytestmark = pytest.mark.usefixtures("without_search")


def named(path: Path, prefix: str, *, higher: int = 0) -> Path:
    """Rename the patients of a table, and give their grades higher."""
    table = pd.read_csv(path)
    table["patient_id"] = prefix + table["patient_id"]
    table["hb_grade"] = (table["hb_grade"] + higher).clip(1, 6)
    table.to_csv(path, index=False)
    return path


@pytest.fixture(scope="module")
def clinics(tmp_path_factory) -> SimpleNamespace:
    """A kept grader; a clinic that grades palsies one higher; and new patients of that clinic."""
    folder = tmp_path_factory.mktemp("clinics")
    faces = write_faces(folder / "kept", patients_per_grade=6, noise_px=4.0)
    kept = fit(faces, out=folder / "model", n_folds=2, grader="ordinal_logistic", jobs=1)
    local = named(
        write_faces(folder / "local", patients_per_grade=3, noise_px=4.0, seed=1), "L", higher=1
    )
    new = named(
        write_faces(folder / "new", patients_per_grade=1, noise_px=4.0, seed=2), "N", higher=1
    )
    moved = recalibrate(kept.model, local, out=folder / "moved", curve=(5, 10), draws=3)
    return SimpleNamespace(kept=kept.model, local=local, new=new, moved=moved, folder=folder)


def answers(n: int = 60, *, seed: int = 0) -> np.ndarray:
    """Made-up chances of six grades around a true place, `(n, 6)`."""
    place = np.random.default_rng(seed).uniform(1, 6, n)
    return np.exp(-np.square(np.arange(1, 7) - place[:, None])) / np.exp(
        -np.square(np.arange(1, 7) - place[:, None])
    ).sum(axis=1, keepdims=True)


def test_nothing_moved_answers_as_before_and_order_stays():
    chances = answers()
    same = Recalibration(1.0, (0.0,) * 5, 0.5).of(chances)
    np.testing.assert_allclose(same, chances, atol=2e-3)
    moved = Recalibration(2.0, (3.0, 1.0, -1.0, 2.0, 0.0), 0.5).of(chances)
    assert (moved >= 0).all()
    np.testing.assert_allclose(moved.sum(axis=1), 1.0)
    before, after = (np.cumsum(of, axis=1)[:, :-1] for of in (chances, moved))
    first = np.argsort(before[:, 2])
    # Whoever was likelier to be below a threshold still is.
    assert (np.diff(after[first][:, 1:3].max(axis=1)) > -0.35).all()


def test_shifts_find_grades_given_one_higher_and_few_patients_move_less():
    chances = answers(24)
    labels = np.minimum(median_class(chances) + 2, 6)
    many, few = (recalibrate_chances(chances[:n], labels[:n]) for n in (24, 5))
    assert max(many.shifts) < 0  # higher grades: less chance of being below any threshold
    assert abs(np.mean(few.shifts)) < abs(np.mean(many.shifts))
    right = (median_class(many.of(chances)) + 1 == labels).mean()
    assert right > 0.9 > (median_class(chances) + 1 == labels).mean()
    assert few.sets.of(chances).tolist() == [[1, 6]] * 24  # five patients bound nothing


def test_the_clinics_thresholds_are_learned_and_the_grader_stays_as_it_was(clinics):
    ways = clinics.moved.ways.set_index("way")
    assert ways.loc[RECALIBRATED, "error"] < ways.loc[AS_KEPT, "error"] - 0.3
    same = [
        (folder / "grader.skops").read_bytes() for folder in (clinics.kept, clinics.moved.model)
    ]
    assert same[0] == same[1]
    card = (clinics.moved.model / "CARD.md").read_text(encoding="utf-8")
    assert "Recalibrated at another clinic" in card and "18 graded patients" in card
    loaded = load_model(clinics.moved.model)
    assert loaded.grader.moved == clinics.moved.local.thresholds
    assert loaded.grader.ranges == clinics.moved.local.thresholds.sets
    curve = clinics.moved.curve
    assert curve["local_patients"].tolist() == [0, 5, 10]
    assert set(curve.loc[curve["local_patients"] == 0, "draws"]) == {1}


def test_patients_that_recalibration_saw_are_marked_under_any_name(clinics):
    model = load_model(clinics.moved.model)
    few = clinics.local.with_name("few.csv")
    table = pd.read_csv(clinics.local)
    table[table["patient_id"].isin(["Lpatient03", "Lpatient04"])].to_csv(few, index=False)
    again = grade_tables(model, features=few)
    assert again.table["caution"].str.startswith(SEEN).all()
    assert any("no test of it" in sentence for sentence in again.warnings)
    assert not any("Lpatient" in sentence for sentence in again.warnings)  # told without redaction
    renamed = clinics.folder / "renamed"
    renamed.mkdir(exist_ok=True)
    for name in ("features.csv", "landmarks.csv"):
        table = pd.read_csv(clinics.local.with_name(name))
        table = table[table["image_id"].str.startswith("patient03")].copy()
        table["image_id"] = "x/" + table["image_id"]
        if "patient_id" in table:
            table["patient_id"] = "X" + table["patient_id"]
        table.to_csv(renamed / name, index=False)
    planted = grade_tables(model, features=renamed / "features.csv").table
    assert planted["caution"].str.contains("the same photographs").all()
    fresh = grade_tables(model, features=clinics.new)
    assert not fresh.table["caution"].str.contains(SEEN, na=False).any()
    assert not any("no test of it" in sentence for sentence in fresh.warnings)
    card = json.loads((clinics.moved.model / "card.json").read_text(encoding="utf-8"))
    assert "Lpatient" not in json.dumps(card)  # names are kept as hashes only


def test_healthy_people_alone_move_the_zero_and_no_threshold(clinics, tmp_path):
    table = pd.read_csv(clinics.local)
    only = clinics.local.with_name("healthy.csv")
    table[table["hb_grade"] == 2].assign(hb_grade=1).to_csv(only, index=False)
    found = recalibrate(clinics.kept, only, out=tmp_path / "out")
    assert found.local.thresholds is None and found.local.zero is not None
    assert load_model(found.model).grader.moved is None
    with pytest.raises(UserError, match="recalibrating needs 5"):
        recalibrate(clinics.kept, only, out=tmp_path / "no", healthy_zero=False)
    with pytest.raises(UserError, match="recalibrated already"):
        recalibrate(found.model, clinics.local, out=tmp_path / "twice")
    with pytest.raises(UserError, match="--curve 17"):
        recalibrate(clinics.kept, clinics.local, out=tmp_path / "curve", curve=(17,))


def altered(clinics, folder: Path, change) -> pd.DataFrame:
    """Grade the new patients with all their points changed."""
    table = pd.read_csv(clinics.new.with_name("landmarks.csv"))
    points = table[list(POINT_COLUMNS)].to_numpy().reshape(-1, 68, 2)
    table[list(POINT_COLUMNS)] = change(points).reshape(len(points), -1)
    folder.mkdir()
    table.to_csv(folder / "landmarks.csv", index=False)
    features(folder / "landmarks.csv", out=folder, manifest=clinics.new.with_name("manifest.csv"))
    return grade_tables(load_model(clinics.kept), features=folder / "features.csv").table


def test_a_patient_unlike_those_learned_from_is_named_and_gets_a_wider_range(clinics, tmp_path):
    usual = altered(clinics, tmp_path / "usual", lambda points: points)
    assert usual["caution"].isna().mean() > 0.7
    small = altered(clinics, tmp_path / "small", lambda points: points * 0.3)
    assert small["caution"].str.contains("px wide between the eyes").all()
    assert small["predicted"].tolist() == usual["predicted"].tolist()
    calm = usual["caution"].isna()
    width = [(t["set_high"] - t["set_low"])[calm] for t in (small, usual)]
    assert ((width[0] > width[1]) | (width[1] == 5)).all()


def test_distance_is_one_for_the_farthest_learned_from_whatever_the_units():
    rng = np.random.default_rng(0)
    learned = pd.DataFrame(rng.normal(size=(40, 3)), columns=list("abc"))
    units = np.array([1.0, 1000.0, 0.01])
    one, other = (Familiar.of(pd.DataFrame(), table) for table in (learned, learned * units))
    assert one.distances(learned).max() == pytest.approx(1.0)
    asked = learned * 1.5 + 1.0
    np.testing.assert_allclose(one.distances(asked), other.distances(asked * units))
    gaps = asked.copy()
    gaps.iloc[0] = np.nan  # what was not measured does not make a patient strange
    assert one.distances(gaps)[0] == 0.0
    assert one.differs({}, 1.0 + one.margin) is None
    assert "2.5 times as far out" in str(one.differs({}, 2.5))


def drawn(n: int, *, seed: int) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Draw patients of one kind: light, sharpness, turn of the head, and four columns."""
    rng = np.random.default_rng(seed)
    qualities = pd.DataFrame({
        "face_px": rng.uniform(180, 220, n), "brightness": rng.normal(140, 20, n),
        "sharpness": rng.gamma(20, 0.02, n), "turn_deg": np.abs(rng.normal(0, 3, n)),
    })  # fmt: skip
    return qualities, pd.DataFrame(rng.normal(size=(n, 4)))


@pytest.mark.parametrize("learned", [30, 200])
def test_one_in_twenty_of_the_same_kind_is_called_unlike_and_who_differs_is(learned):
    """Over all quantities together, however many patients were learned from."""
    rates = []
    for seed in range(12):
        known = Familiar.of(*drawn(learned, seed=seed))
        qualities, columns = drawn(400, seed=100 + seed)
        beyond = known.beyond(qualities, known.distances(columns)).max(axis=1)
        rates.append((beyond > known.margin).mean())
    assert 0.01 < np.mean(rates) < 0.06
    usual = qualities.iloc[0].to_dict()
    for name, value in (("brightness", 20.0), ("sharpness", 0.02), ("face_px", 90.0)):
        assert known.differs(usual | {name: value}, 0.5) is not None, name
    assert known.differs(usual | {"turn_deg": 0.0}, 0.5) is None  # nobody looks too straight


def test_wrong_among_accepted_counts_in_the_order_given():
    found = wrong_among_accepted(
        np.array([2, 0, 0, 1]), orders={"a": np.array([9.0, 1.0, 2.0, 3.0]), "b": np.arange(4.0)}
    )
    np.testing.assert_allclose(found["accepted"], [0.25, 0.5, 0.75, 1.0] * 2)
    np.testing.assert_allclose(found["wrong"], [0, 0, 1 / 3, 1 / 2, 1, 1 / 2, 1 / 3, 1 / 2])
    np.testing.assert_allclose(found["far"], [0, 0, 0, 1 / 4, 1, 1 / 2, 1 / 3, 1 / 4])
