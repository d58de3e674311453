"""The joint report on drawn faces: what it says, what it leaves out, and that nothing is hidden."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import cv2
import numpy as np
import pandas as pd
import pytest
import torch
import yaml

from classifiers.branches.fusion import stands_for_fusion
from classifiers.commands.compare import compare
from classifiers.commands.fuse import fuse
from classifiers.reports.patient_pictures import THUMBNAIL
from common.bootstrap import Estimate
from common.errors import UserError
from common.grading.folds import make_folds, write_folds
from common.grading.predictions import TWIN, write_predictions
from common.grading.scores import SCORES
from common.grading.target import TARGETS, Target, target_named
from common.words import unbroken
from features.commands.features import write_feature_tables
from htnet.commands.train import train
from landmarks.points import POINT_COLUMNS
from pipeline.commands.joint_report import joint_report
from pipeline.joint_report.first_section import (
    answer_in_words,
    methods_figure,
    network_in_words,
    paired_difference,
)
from pipeline.joint_report.maps import SIZE, network_view
from pipeline.joint_report.report import build_joint_report
from pipeline.joint_report.study import Ingredients, read_study
from tests.browser import LARGEST_BYTES, WIDTHS, open_page, static_problems
from tests.htnet.drawn_faces import RECIPE, drawn_face

if TYPE_CHECKING:
    from playwright.sync_api import Browser

pytestmark = pytest.mark.usefixtures("figures_not_rendered", "coarse_maps")
PATIENTS, TASKS = 24, ("rest", "full_eye_closure", "full_smile")
TARGET = target_named("six_grades")
NO_FACE, NOT_TAKEN = "Ann Other 3", "Ann Other 4"


@pytest.fixture(scope="module")
def given(tmp_path_factory: pytest.TempPathFactory) -> Ingredients:
    """Two dozen drawn patients, a good and a poor branch, both fused, and a tiny network.

    The network reads measured features beside the face.

    One photograph has no face, and one patient was never asked to smile.
    """
    torch.set_num_threads(1)
    folder = tmp_path_factory.mktemp("joint")
    rows, points = [], []
    for patient in range(PATIENTS):
        grade = patient % 6 + 1
        side = "none" if grade == 1 else ("right", "left")[patient // 6 % 2]
        for number, task in enumerate(TASKS):
            name = f"Ann Other {patient}"
            if name == NOT_TAKEN and task == "full_smile":
                continue
            pixels, where = drawn_face(grade, side=side, seed=10 * patient + number, size=120)
            path = folder / f"{name}_{task}.png"
            cv2.imwrite(str(path), pixels[..., ::-1])
            rows.append(
                {"image_id": path.name, "path": path.name, "patient_id": name, "task": task,
                 "side": side, "hb_grade": grade, "truth_file": "true_landmarks.csv"}
            )  # fmt: skip
            points.append(where.reshape(-1))
    manifest = pd.DataFrame(rows)
    landmarks = pd.DataFrame(points, columns=list(POINT_COLUMNS))
    landmarks.insert(0, "image_id", manifest["image_id"])
    landmarks.insert(1, "status", "ok")
    landmarks.insert(2, "reason", "")
    lost = manifest.index[manifest["image_id"] == f"{NO_FACE}_rest.png"]
    landmarks.loc[lost, ["status", "reason"]] = ["no_face", "no face was found"]
    landmarks.loc[lost, list(POINT_COLUMNS)] = np.nan
    manifest.to_csv(folder / "manifest.csv", index=False)
    landmarks.to_csv(folder / "landmarks.csv", index=False)
    features = write_feature_tables(landmarks, out=folder).features
    write_folds(make_folds(manifest, n_folds=4, seed=0), folder / "folds.csv")
    for name, sureness in (("geometric", 2.5), ("deep", 0.4)):
        write_answers(folder, name, sureness=sureness)
    tables = (folder / "geometric.csv", folder / "deep.csv")
    fuse(*tables, out=folder / "fused")
    recipe = {**RECIPE, "training": {**RECIPE["training"], "epochs": 1, "validation_folds": 3}}
    (folder / "recipe.yaml").write_text(yaml.safe_dump(recipe))
    train(
        folder / "manifest.csv", landmarks=folder / "landmarks.csv", out=folder / "networks",
        recipe=str(folder / "recipe.yaml"), fold_table=folder / "folds.csv", threads=1,
        features=features,
    )  # fmt: skip
    return Ingredients(
        tables=tables,
        fused=folder / "fused" / "predictions.csv",
        features=features,
        manifest=folder / "manifest.csv",
        networks=folder / "networks",
    )


def test_the_classical_twin_has_a_row_of_its_own(given: Ingredients, tmp_path: Path) -> None:
    deep = pd.read_csv(given.tables[1], dtype={"patient_id": str})
    path = tmp_path / "patient_predictions.csv"
    both = pd.concat([deep, deep.assign(model=TWIN)])
    write_predictions(both, path, target=TARGET, unit="patient")
    told = replace(given, tables=(given.tables[0], path), networks=None)
    study = read_study(told, target=TARGET, redact=True, seed=0)
    assert study.names == ("geometric", "deep", TWIN, "fused")
    titles = ["Measurements", "Image network", "Its classical twin", "Both together"]
    assert [study.title_of(name) for name in study.names] == titles
    labels = [text.get_text() for text in methods_figure(study).axes[0].get_yticklabels()]
    assert labels[:4] == titles


def write_answers(
    folder: Path, branch: str, *, sureness: float, target: Target = TARGET, out: Path | None = None
) -> Path:
    """Answers per patient that lie about the truth, the nearer the surer."""
    folds = pd.read_csv(folder / "folds.csv")
    manifest = pd.read_csv(folder / "manifest.csv")
    rows = manifest.merge(folds[["image_id", "repeat", "fold"]], on="image_id")
    rows = rows.drop_duplicates("patient_id").reset_index(drop=True)
    rng = np.random.default_rng(len(branch))
    rows = target.with_truth(rows[target.numbers(rows) > 0].reset_index(drop=True))
    about = target.numbers(rows) + rng.normal(0, 0.6 / sureness, len(rows))
    k = len(target.classes)
    chances = np.exp(-sureness * np.abs(np.arange(1, k + 1) - about[:, None]))
    chances /= chances.sum(axis=1, keepdims=True)
    table = rows[["patient_id", target.column, "repeat", "fold"]].assign(
        predicted=target.named(target.answers(chances)), model=branch, branch=branch
    )
    table[list(target.probability_columns)] = chances
    path = (out or folder) / f"{branch}.csv"
    write_predictions(table, path, target=target, unit="patient")
    return path


@pytest.fixture(scope="module")
def page(given: Ingredients, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("page")
    return joint_report(
        *given.tables, fused=given.fused, features=given.features, manifest=given.manifest,
        networks=given.networks, out=out,
    )  # fmt: skip


def test_the_first_page_names_the_three_ways_the_baselines_and_the_gain(page: Path) -> None:
    words = page.read_text(encoding="utf-8")
    first = words[: words.index("Side by side</h2>")]
    for said in ("24 simulated patients", "The patients are simulated", "does not diagnose",
                 "Measurements", "Image network", "Both together", "Always the commonest grade",
                 "Clinicians among themselves", "Does the network add anything?",
                 "both together minus measurements alone", "within one grade"):  # fmt: skip
        assert said in first, said
    assert first.count('class="value"') == 5
    assert first.count("<img") == 4  # photograph, points, map, and the figure
    for jargon in ("fold", "macro", "softmax", "logit", "embedding"):
        assert jargon not in re.sub(r"<[^>]*>", "", first.partition("<main>")[2]).lower(), jargon


@pytest.mark.parametrize("name", [name for name in TARGETS if name != "six_grades"])
def test_every_target_has_a_report(name: str, given: Ingredients, tmp_path: Path) -> None:
    target = TARGETS[name]
    tables = tuple(
        write_answers(given.manifest.parent, branch, sureness=1.5, target=target, out=tmp_path)
        for branch in ("geometric", "deep")
    )
    fuse(*tables, out=tmp_path / "fused", target=name, manifest=given.manifest)
    compare(*tables, out=tmp_path / "compared", target=name, manifest=given.manifest)
    other = replace(
        given, tables=tables, fused=tmp_path / "fused" / "predictions.csv", networks=None
    )
    words = build_joint_report(other, target=name).html()
    evaluation = read_study(other, target=target, redact=False, seed=0).patients.evaluation
    assert evaluation.headline.meaning in words
    assert unbroken(evaluation.recall_of("fused")) in words
    assert "Clinicians among themselves" not in words  # whose grades are another question's
    step = target.step
    assert (f"Within one {step}" in words) == target.ordered
    assert ("in grades" in words) == (step == "grade")


def test_the_report_and_fuse_name_the_same_model(given: Ingredients, tmp_path: Path) -> None:
    table = pd.read_csv(given.fused)
    more = table[table["model"] == "fused_mean"].assign(model="fused_weighted")
    pd.concat([table, more]).to_csv(tmp_path / "predictions.csv", index=False)
    other = replace(given, fused=tmp_path / "predictions.csv", networks=None)
    study = read_study(other, target=TARGET, redact=False, seed=0)
    assert study.branches[-1].model == "fused_weighted"
    assert stands_for_fusion(["fused_mean", "fused_product", "fused_weighted"]) == "fused_weighted"


def test_real_patients_are_not_called_simulated(given: Ingredients, tmp_path: Path) -> None:
    manifest = pd.read_csv(given.manifest).drop(columns="truth_file")
    manifest["path"] = [str(given.manifest.parent / name) for name in manifest["path"]]
    manifest.to_csv(tmp_path / "manifest.csv", index=False)
    report = build_joint_report(replace(given, manifest=tmp_path / "manifest.csv", networks=None))
    assert "simulated" not in report.html()
    assert any("no maps of the network" in sentence for sentence in report.warnings)


def test_every_patient_has_a_page_that_the_overview_leads_to(page: Path) -> None:
    words = page.read_text(encoding="utf-8")
    links = set(re.findall(r'href="#(patient-\d+)"', words))
    places = re.findall(r'id="(patient-\d+)"', words)
    assert len(places) == len(set(places)) == PATIENTS
    assert links == set(places)


def of_patient(words: str, number: int) -> str:
    """The part of the page that tells about one patient."""
    return words.split(f'id="patient-{number}"')[1].split("</details>")[0]


def test_a_page_shows_photographs_maps_measures_and_every_grade(page: Path) -> None:
    own = of_patient(page.read_text(encoding="utf-8"), 1)
    assert own.count("<img") == len(TASKS) + 2  # eye closure and smile have maps
    for said in ("Measurements", "Image network", "Both together", "Reference", "full smile",
                 "Palpebral fissure, px", "Smile angle, °", "Right", "Left"):  # fmt: skip
        assert said in own, said
    assert own.count("background: rgba") >= 3  # probabilities are shaded


def test_what_is_missing_is_said(page: Path) -> None:
    words = page.read_text(encoding="utf-8")
    assert "The photograph of rest could not be used (no face)." in of_patient(words, 4)
    assert "Not photographed: full smile." in of_patient(words, 5)
    assert "could not be used" not in of_patient(words, 1)
    assert "Not photographed" not in of_patient(words, 1)


def test_a_patient_without_one_branch_is_refused_or_said(
    given: Ingredients, tmp_path: Path
) -> None:
    table = pd.read_csv(given.tables[1])
    table[table["patient_id"] != "Ann Other 0"].to_csv(tmp_path / "deep.csv", index=False)
    lacking = replace(given, tables=(given.tables[0], tmp_path / "deep.csv"), networks=None)
    with pytest.raises(UserError, match="Ann Other 0"):
        build_joint_report(lacking)
    report = build_joint_report(replace(lacking, shared_only=True))
    assert any("1 of 24 patients have no answer" in sentence for sentence in report.warnings)
    own = of_patient(report.html(), 1)
    assert "Image network: no answer for this patient" in own
    assert "Both together" in own


def test_redacted_pages_name_and_show_nobody(
    given: Ingredients, page: Path, tmp_path: Path
) -> None:
    joint_report(
        *given.tables, fused=given.fused, features=given.features, manifest=given.manifest,
        networks=given.networks, out=tmp_path, redact=True,
    )  # fmt: skip
    words = (tmp_path / "report.html").read_text(encoding="utf-8")
    assert "Ann Other" in page.read_text(encoding="utf-8")
    assert "Ann Other" not in words
    assert ".png" not in words
    assert "Patient 24" in words
    # Skin is bright; drawn points stand on a dark ground, maps without heat on black.
    from tests.classifiers.test_patient_pages import pictures_in

    faces = [one for one in pictures_in(words) if max(one.shape[:2]) <= THUMBNAIL]
    assert len(faces) > PATIENTS
    drawn = [one for one in faces if one.shape[0] != SIZE]
    assert max(float(np.median(one)) for one in drawn) < 60
    shown = [
        one for one in pictures_in(page.read_text(encoding="utf-8"))
        if max(one.shape[:2]) <= THUMBNAIL and one.shape[0] != SIZE
    ]  # fmt: skip
    assert min(float(np.median(one)) for one in shown) > 60


def test_sixty_patients_fit_into_one_mail(page: Path) -> None:
    words = page.read_text(encoding="utf-8")
    one_page = max(len(of_patient(words, number)) for number in range(1, PATIENTS + 1))
    with_eight = one_page * (8 + 3) / (len(TASKS) + 2)
    pages = sum(len(of_patient(words, number)) for number in range(1, PATIENTS + 1))
    assert 60 * with_eight + (len(words) - pages) < LARGEST_BYTES


def test_the_page_asks_for_nothing_as_far_as_its_text_tells(page: Path) -> None:
    assert static_problems(page) == []


def test_the_page_is_whole_and_readable_in_a_browser(page: Path, browser: Browser) -> None:
    problems = [
        problem for width in WIDTHS for problem in open_page(browser, page, width=width).problems()
    ]
    assert not problems, "\n".join(problems)


@pytest.mark.parametrize(
    ("gain", "begins"),
    [
        (Estimate(0.05, 0.01, 0.09), "Yes"),
        (Estimate(-0.05, -0.09, -0.01), "No"),
        (Estimate(0.05, -0.01, 0.09), "Not shown"),
        (Estimate(-0.05, -0.09, 0.01), "Not shown"),
        (Estimate(0.0, 0.0, 0.0), "No: "),
    ],
)
def test_the_answer_follows_the_interval(gain: Estimate, begins: str) -> None:
    assert answer_in_words(gain, score=SCORES["accuracy"]).startswith(begins)
    fewer_errors = Estimate(-gain.value, -gain.high, -gain.low)
    assert answer_in_words(fewer_errors, score=SCORES["mae"]).startswith(begins)


def test_the_networks_sentence_follows_the_paired_test() -> None:
    """Intervals of the two scores may overlap where the same patients tell them apart."""
    worse = Estimate(0.3, 0.1, 0.5)
    assert "clearly worse" in network_in_words(worse, 0.01, score=SCORES["mae"])
    assert "clearly better" in network_in_words(worse, 0.01, score=SCORES["accuracy"])
    for p in (0.06, float("nan")):
        assert "cannot be told" in network_in_words(worse, p, score=SCORES["mae"])


def test_the_gain_is_the_difference_of_the_scores_whichever_way_it_is_asked(
    given: Ingredients,
) -> None:
    study = read_study(replace(given, networks=None), target=TARGET, redact=False, seed=0)
    scores = study.patients.evaluation.estimates
    gain, p = paired_difference(study.patients, "fused", "geometric", score="mae")
    back, _ = paired_difference(study.patients, "geometric", "fused", score="mae")
    assert gain.value == pytest.approx(
        scores["fused"]["mae"].value - scores["geometric"]["mae"].value
    )
    assert 0 < p <= 1
    assert (gain.value, gain.low, gain.high) == pytest.approx((-back.value, -back.high, -back.low))
    assert gain.low <= gain.value <= gain.high


def test_maps_are_of_the_photographs_asked_for(given: Ingredients) -> None:
    asked = ["Ann Other 1_full_smile.png", "Ann Other 8_rest.png", f"{NO_FACE}_rest.png"]
    landmarks = given.features.with_name("landmarks.csv")
    found = network_view(
        given.networks, given.manifest, landmarks, features=given.features, image_ids=asked
    ).pictures
    assert set(found) == set(asked[:2])
    for picture in found.values():
        assert picture.shape == (SIZE, SIZE, 3)
        assert picture.dtype == np.uint8
        assert picture.std() > 5


def test_a_network_that_learned_from_the_patient_is_not_asked(
    given: Ingredients, tmp_path: Path
) -> None:
    import shutil

    networks = tmp_path / "networks"
    shutil.copytree(given.networks, networks)
    folds = pd.read_csv(networks / "folds.csv")
    folds["fold"] = folds["fold"] % 4 + 1
    folds.to_csv(networks / "folds.csv", index=False)
    report = build_joint_report(replace(given, networks=networks))
    assert any("learned from patient" in sentence for sentence in report.warnings)
    redacted = build_joint_report(replace(given, networks=networks), redact=True)
    assert any("no maps of the network" in sentence for sentence in redacted.warnings)
    assert "Ann Other" not in redacted.html()  # nor in the words of the error
