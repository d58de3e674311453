"""The tables of `micro loso`: each answer, each subject, and the scores.

loso_results.csv   a row for each clip, model, rule and seed
loso_subjects.csv  a row for each subject, model and rule
loso_confusion.csv  a row for each annotated and answered class of each fold, model, rule and seed
loso_summary.csv   a row for each model and rule on all clips and on each dataset

The column `rule` is `honest`, or `published`: the epoch that was best on the held-out subject,
which is optimistic, and the column `optimistic` says so once more.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import get_args

import numpy as np
import pandas as pd
import pandera.pandas as pa

from common.bootstrap import Estimate
from common.tables import choice, number, text
from htnet.micro.loso.driver import ALL, LosoRun, ModelAnswers
from htnet.micro.loso.folds import LosoAnswers, Rule

RESULTS_FILE, SUBJECTS_FILE = "loso_results.csv", "loso_subjects.csv"
CONFUSION_FILE, SUMMARY_FILE = "loso_confusion.csv", "loso_summary.csv"
RULES: tuple[Rule, ...] = get_args(Rule)
BASELINE = "majority"
_INTERVALS = (
    "uf1", "uf1_low", "uf1_high", "uf1_sd", "uar", "uar_low", "uar_high", "uar_sd", "weighted_f1",
    "weighted_f1_low", "weighted_f1_high",
)  # fmt: skip

_MODEL = {"model": text(), "rule": choice(RULES), "optimistic": choice(("yes", "no"))}

SUBJECTS = pa.DataFrameSchema(
    {
        "subject": text(),
        "dataset": text(nullable=True),
        "n_clips": pa.Column(int),
        "n_classes": pa.Column(int),
        **_MODEL,
        "right": number(),
        "accuracy": number(),
    },
    name="subjects",
)
"""`loso_subjects.csv`. `n_classes` is how many classes the subject's clips have; `right` is the
number of clips that were answered rightly, mean over seeds. Scores of single subjects are not
given: a subject with one class has no UF1."""

CONFUSION = pa.DataFrameSchema(
    {
        "subject": text(),
        **_MODEL,
        "seed": pa.Column("int64"),
        "annotated": text(),
        "answered": text(),
        "n_clips": pa.Column("int64"),
    },
    name="confusion",
)
"""`loso_confusion.csv`: how many clips of a held-out subject have this class and got that answer;
pairs without clips have no row."""

SUMMARY = pa.DataFrameSchema(
    {
        **_MODEL,
        "dataset": text(),
        "n_clips": pa.Column(int),
        "n_subjects": pa.Column(int),
        "n_seeds": pa.Column(int),
        **{name: number() for name in _INTERVALS},
        "baseline_uf1": number(),
        "baseline_uar": number(),
    },
    name="loso summary",
)
"""`loso_summary.csv`. `dataset` is `all`, or one of several. Scores are means over seeds, `_low`
and `_high` their 95 % interval over resampled subjects, `_sd` the standard deviation over seeds
(empty for one). The baseline always answers the most frequent class."""


def results_schema(classes: Sequence[str]) -> pa.DataFrameSchema:
    """Return the schema of `loso_results.csv` for these classes."""
    share = pa.Check.in_range(0, 1, error="be a probability, 0 to 1")
    return pa.DataFrameSchema(
        {
            "image_id": text(),
            "dataset": text(nullable=True),
            "subject": text(),
            **_MODEL,
            "seed": pa.Column("int64"),
            "emotion": choice(tuple(classes)),
            "predicted": choice(tuple(classes)),
            **{f"p_{name}": pa.Column(float, share, coerce=True) for name in classes},
        },
        name="loso results",
    )


def results_table(run: LosoRun) -> pd.DataFrame:
    """Return every answer: models in the order asked, clips in the order given."""
    clips = run.clips
    names = np.array(clips.classes)
    parts = []
    for one in (answers for model in run.models for answers in model.by_seed):
        # Rounding errors of float32 networks must not leave 0 to 1.
        probabilities = np.clip(one.probabilities, 0.0, 1.0)
        content = {
            "image_id": clips.clip_id.tolist(),
            "dataset": clips.dataset.tolist(),
            "subject": clips.subject.tolist(),
            **_named(one),
            "seed": one.seed,
            "emotion": names[clips.label].tolist(),
            "predicted": names[one.predicted].tolist(),
            **{f"p_{name}": probabilities[:, i] for i, name in enumerate(names.tolist())},
        }
        parts.append(pd.DataFrame(content))
    return pd.concat(parts, ignore_index=True)


def subjects_table(run: LosoRun) -> pd.DataFrame:
    """Return how many clips of each subject each model answered rightly."""
    clips, fold = run.clips, run.clips.fold
    rows = []
    for model in run.models:
        right = np.mean([one == clips.label for one in model.predicted()], axis=0)
        for number_of, subject in enumerate(clips.subjects):
            own = fold == number_of
            rows.append(
                {
                    "subject": subject,
                    "dataset": str(clips.dataset[own][0]),
                    "n_clips": int(own.sum()),
                    "n_classes": len(np.unique(clips.label[own])),
                    **_named(model),
                    "right": float(right[own].sum()),
                    "accuracy": float(right[own].mean()),
                }
            )
    return pd.DataFrame(rows)


def confusion_table(run: LosoRun) -> pd.DataFrame:
    """Return the confusion counts of each fold, for every model, rule and seed."""
    results = results_table(run).rename(columns={"emotion": "annotated", "predicted": "answered"})
    by = [name for name in CONFUSION.columns if name != "n_clips"]
    return results.groupby(by, sort=False).size().rename("n_clips").reset_index()


def summary_table(run: LosoRun) -> pd.DataFrame:
    """Return the scores of each model and rule, on all clips and on each dataset."""
    floor = {one.dataset: one.scores for one in run.scored if one.answers.model == BASELINE}
    rows = []
    for one in run.scored:
        scores = one.scores
        below = floor.get(one.dataset)
        rows.append(
            {
                **_named(one.answers),
                "dataset": one.dataset,
                "n_clips": one.n_clips,
                "n_subjects": one.n_subjects,
                "n_seeds": len(one.answers.by_seed),
                **_columns("uf1", scores.uf1),
                "uf1_sd": scores.spread_uf1,
                **_columns("uar", scores.uar),
                "uar_sd": scores.spread_uar,
                **_columns("weighted_f1", scores.weighted_f1),
                "baseline_uf1": below.uf1.value if below else np.nan,
                "baseline_uar": below.uar.value if below else np.nan,
            }
        )
    frame = pd.DataFrame(rows)
    order = {name: place for place, name in enumerate((ALL, *run.datasets))}
    return frame.sort_values("dataset", key=lambda names: names.map(order), kind="stable")


def _columns(name: str, estimate: Estimate) -> dict[str, float]:
    """Return a score and its interval under the names of `SUMMARY`."""
    return {name: estimate.value, f"{name}_low": estimate.low, f"{name}_high": estimate.high}


def _named(one: LosoAnswers | ModelAnswers) -> dict[str, str]:
    """Return the columns that name a model and its rule."""
    optimistic = "yes" if one.rule == "published" else "no"
    return {"model": one.model, "rule": one.rule, "optimistic": optimistic}
