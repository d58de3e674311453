"""Leave-one-subject-out: a planted leak is seen, learning by heart helps nobody, tables hold."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest
from sklearn.metrics import f1_score

from common.errors import UserError
from common.tables import read_table, write_table
from htnet.micro.clips.maps import FlowMaps
from htnet.micro.loso.driver import LosoRun, run_loso, scored_run
from htnet.micro.loso.folds import LosoAnswers, folds_of
from htnet.micro.loso.networks import CLASSICAL, recognisers_named
from htnet.micro.loso.report import loso_report
from htnet.micro.loso.results import (
    CONFUSION,
    CONFUSION_FILE,
    RESULTS_FILE,
    SUBJECTS,
    SUBJECTS_FILE,
    SUMMARY,
    SUMMARY_FILE,
    confusion_table,
    results_schema,
    results_table,
    subjects_table,
    summary_table,
)
from htnet.micro.models.baselines import Guessing, KernelRidge, Majority
from tests.htnet.micro.drawn_maps import drawn_maps


@dataclass(frozen=True)
class ByHeart:
    """Knows every training clip by its map; guesses the rest."""

    name: str = "by heart"

    def leave_one_subject_out(
        self, clips: FlowMaps, *, seeds: tuple[int, ...]
    ) -> list[LosoAnswers]:
        rng = np.random.default_rng(0)
        answers = rng.integers(0, len(clips.classes), len(clips))
        for held_out, training in folds_of(clips):
            known = {clips.maps[i].tobytes(): clips.label[i] for i in training}
            for i in held_out:
                answers[i] = known.get(clips.maps[i].tobytes(), answers[i])
        return [LosoAnswers(self.name, "honest", (0,), np.eye(len(clips.classes))[answers][None])]


@dataclass(frozen=True)
class Broken:
    """Answers of the wrong kind."""

    probabilities: np.ndarray
    name: str = "broken"

    def leave_one_subject_out(
        self, clips: FlowMaps, *, seeds: tuple[int, ...]
    ) -> list[LosoAnswers]:
        return [LosoAnswers(self.name, "honest", (0,), self.probabilities[None])]


@pytest.fixture(scope="module")
def run() -> LosoRun:
    clips = drawn_maps(subjects=16, per_subject=5)
    models, seconds = run_loso(
        clips, [Majority(), Guessing(epochs=40), KernelRidge()], seeds=(0, 1, 2), protocol="both"
    )
    return scored_run(clips, models, seconds=seconds)


def test_a_planted_leak_is_the_difference_between_the_rules(run: LosoRun) -> None:
    uf1 = {
        one.answers.rule: one.scores.uf1.value
        for one in run.on()
        if one.answers.model == "guessing"
    }
    assert uf1["honest"] == pytest.approx(1 / 3, abs=0.08)
    assert uf1["published"] > uf1["honest"] + 0.3


def test_rules_are_never_pooled_and_only_asked_ones_kept() -> None:
    clips = drawn_maps(subjects=4)
    for protocol, rules in (
        ("honest", ["honest", "honest"]),
        ("published", ["published", "honest"]),
        ("both", ["honest", "published", "honest"]),
    ):
        models, _ = run_loso(
            clips,
            [Guessing(epochs=3), KernelRidge()],
            seeds=(0, 1),
            protocol=protocol,  # type: ignore[arg-type]
        )
        # A model without epochs has honest answers only.
        assert [model.rule for model in models] == rules
        assert [model.seeds for model in models][-1] == (0,)


def test_clips_learned_by_heart_help_nobody_unless_a_subject_is_in_its_own_training() -> None:
    clips = drawn_maps(subjects=20, per_subject=6, signal=0.0)
    models, seconds = run_loso(clips, [ByHeart()], seeds=(0,))
    assert scored_run(clips, models, seconds=seconds).on()[0].scores.uar.value < 0.45
    # The leak: every subject under two names, so that the other half is in the training.
    twice = replace(
        clips,
        **{
            name: np.concatenate([getattr(clips, name)] * 2)
            for name in ("maps", "centres", "clip_id", "dataset", "label")
        },
        subject=np.concatenate([clips.subject, np.char.add(clips.subject, "again")]),
    )
    models, seconds = run_loso(twice, [ByHeart()], seeds=(0,))
    assert scored_run(twice, models, seconds=seconds).on()[0].scores.uar.value == 1.0


def test_answers_that_are_none_are_refused() -> None:
    clips = drawn_maps(subjects=3)
    n = len(clips)
    with pytest.raises(UserError, match="a fold may be missing"):
        run_loso(clips, [Broken(np.ones((n - 1, 3)) / 3)], seeds=(0,))
    with pytest.raises(UserError, match="do not sum to one"):
        run_loso(clips, [Broken(np.full((n, 3), np.nan))], seeds=(0,))
    with pytest.raises(UserError, match='Two models are called "majority"'):
        run_loso(clips, [Majority(), Majority()], seeds=(0,))


def test_tables_hold_every_answer_and_are_the_same_each_time(run: LosoRun, tmp_path: Path) -> None:
    results = results_table(run)
    assert len(results) == len(run.clips) * (1 + 3 + 3 + 1)
    for folder in ("one", "two"):
        schema = results_schema(run.clips.classes)
        write_table(results_table(run), tmp_path / folder / RESULTS_FILE, schema=schema)
        write_table(subjects_table(run), tmp_path / folder / SUBJECTS_FILE, schema=SUBJECTS)
        write_table(summary_table(run), tmp_path / folder / SUMMARY_FILE, schema=SUMMARY)
    for name in (RESULTS_FILE, SUBJECTS_FILE, SUMMARY_FILE):
        one, two = (tmp_path / folder / name for folder in ("one", "two"))
        assert one.read_bytes() == two.read_bytes()
    again = read_table(tmp_path / "one" / RESULTS_FILE, schema=results_schema(run.clips.classes))
    chances = again[[f"p_{name}" for name in run.clips.classes]].to_numpy()
    predicted = np.array(run.clips.classes)[np.argmax(chances, axis=1)]
    assert (predicted == again["predicted"]).all()


def test_optimistic_rows_say_so_in_every_table(run: LosoRun) -> None:
    for table in (results_table(run), subjects_table(run), summary_table(run)):
        assert set(table["rule"]) == {"honest", "published"}
        assert ((table["rule"] == "published") == (table["optimistic"] == "yes")).all()


def test_the_summary_adds_up(run: LosoRun) -> None:
    summary = summary_table(run)
    assert set(summary["dataset"]) == {"all", "set0", "set1"}
    everyone = summary[summary["dataset"] == "all"]
    assert (everyone["n_clips"] == 80).all()
    assert (everyone["n_subjects"] == 16).all()
    parts = summary[summary["dataset"] != "all"].groupby(["model", "rule"])["n_clips"].sum()
    assert (parts == 80).all()
    assert (summary["uf1_low"] <= summary["uf1"]).all()
    assert (summary["uf1"] <= summary["uf1_high"]).all()
    assert (summary["baseline_uar"] == 1 / 3).all()
    assert summary.loc[summary["n_seeds"] == 1, "uf1_sd"].isna().all()
    results = results_table(run)
    row = everyone[everyone["model"] == "kernel ridge"].iloc[0]
    own = results[results["model"] == "kernel ridge"]
    weighted = f1_score(own["emotion"], own["predicted"], average="weighted")
    assert row["weighted_f1"] == pytest.approx(weighted)
    assert row["weighted_f1_low"] <= weighted <= row["weighted_f1_high"]


def test_confusions_of_the_folds_add_up_to_every_answer(run: LosoRun, tmp_path: Path) -> None:
    write_table(confusion_table(run), tmp_path / CONFUSION_FILE, schema=CONFUSION)
    table = read_table(tmp_path / CONFUSION_FILE, schema=CONFUSION)
    results = results_table(run)
    assert table["n_clips"].sum() == len(results)
    some = {"subject": run.clips.subjects[3], "model": "kernel ridge"}
    own, counts = (
        frame[(frame[list(some)] == list(some.values())).all(axis=1)] for frame in (results, table)
    )
    right = counts.loc[counts["annotated"] == counts["answered"], "n_clips"].sum()
    assert right == (own["emotion"] == own["predicted"]).sum()


def test_a_subject_of_one_class_is_counted_and_not_scored(run: LosoRun) -> None:
    label = run.clips.label.copy()
    label[run.clips.fold == 3] = 1
    clips = replace(run.clips, label=label)
    models, seconds = run_loso(clips, [KernelRidge()], seeds=(0,))
    table = subjects_table(scored_run(clips, models, seconds=seconds))
    row = table[table["subject"] == clips.subjects[3]].iloc[0]
    assert (row["n_classes"], row["n_clips"]) == (1, 5)
    assert "uf1" not in table


def test_the_report_marks_what_is_optimistic_and_names_only_honest_models_best(
    run: LosoRun,
) -> None:
    report = loso_report(run, source="drawn", complaints=("One clip has no face.",))
    page = report.html()
    assert report.warnings[0] == "One clip has no face."
    assert "optimistic" in report.warnings[1]
    assert run.best_honest().answers.model == "kernel ridge"
    assert "the best honest model, kernel ridge" in report.summary
    assert "guessing (best epoch on the held-out subject: optimistic)" in page
    assert "Random answers, drawn anew" in page
    honest_only, seconds = run_loso(run.clips, [Majority(), KernelRidge()], seeds=(0,))
    plain = loso_report(scored_run(run.clips, honest_only, seconds=seconds), source="drawn").html()
    assert "optimistic" not in plain


def test_classical_models_run_beside_whatever_is_asked_for() -> None:
    asked = ("residual-apex", "htnet")
    names = [one.name for one in recognisers_named(asked)]
    assert names[len(CLASSICAL) :] == ["residual apex", "htnet-small whole"]
    assert {"majority", "kernel ridge", "svm", "logistic"} <= set(names)
    with pytest.raises(UserError, match=r'no model "kernel-rigde".*"kernel-ridge"'):
        recognisers_named(("kernel-rigde",))
    with pytest.raises(UserError, match="run micro flow with --regions"):
        recognisers_named(("roi-hybrid",))
