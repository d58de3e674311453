"""What a stored grader is: made from the run that fitted it, for programs and for people.

Comes from `fit`, is kept beside the grader as `card.json` and `CARD.md`
(`classifiers.graders.model_store`) and decides which tables the grader may be given.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from jinja2 import Environment, StrictUndefined

from classifiers.graders.cohort import Cohort, Samples
from classifiers.graders.familiarity import Familiar, qualities_of
from classifiers.graders.nested import NestedGrader
from classifiers.graders.recalibration import Healthy, LocalClinic, enough_healthy
from classifiers.graders.registry import title_of
from classifiers.reports.side_readings import FEWEST_HEALTHY, Spread
from common.errors import UserError
from common.files import sha256_of
from common.grading.evaluation import Evaluation, NumericEvaluation, rounded
from common.grading.numeric_target import AnyTarget, NumericTarget, shown
from common.grading.target import target_named
from common.provenance import package_versions
from common.report import RESEARCH_USE
from common.truth import all_simulated
from common.words import counted
from features.registry import FEATURE_NAMES
from features.tables import landmark_run_of, refuse_other_definition

FORMAT_VERSION = 4
TEMPLATE = Path(__file__).with_name("card.md.jinja")
_DECIDING = ("scikit-learn", "xgboost", "numpy", "skops")  # versions that can change an answer

LICENCE = (
    "The grader's own code is under the project's licence (MIT); its numbers were learned from the "
    "data above, whose terms go on to hold for them.",
    "The photographs were measured with a landmark model. The one that comes with this project was "
    "trained on iBUG 300-W, which excludes commercial use.",
)
ALWAYS = {
    "classes": "It always answers one of its classes, also for a face that has none of them.",
    "numbers": "It always answers within its scale, and was asked for no scores beyond those that "
    "it learned from.",
}
_ORIGIN = {
    "yes": "The patients are simulated: the scores say nothing about real ones.",
    "unknown": "Whether the patients are real or simulated is not recorded.",
}
LIMITS = (
    RESEARCH_USE,
    "It answers for photographs like those it learned from: frontal, the movements and grades "
    "counted above, measured with the same feature definition and landmark model.",
    "The scores come from cross-validation on the same cohort; another clinic, camera or "
    "population was not tried.",
)

OTHER_POINTS = {
    False: "As far as its tables say, nobody corrected the points that it learned from. A landmark "
    "model draws faces more symmetric than they are, and corrected points show more of a palsy: "
    "its answers to photographs with corrected points were not tested.",
    True: "Some of the points that it learned from were corrected by hand. A landmark model draws "
    "faces more symmetric than they are: its answers to photographs that nobody corrected were not "
    "tested apart.",
}
"""By whether photographs with corrected points were among those that it learned from."""


@dataclass(frozen=True, kw_only=True)
class ModelCard:
    """Everything that is said about a stored grader; plain values only.

    `definition` is that of the tables it learned from, None when nobody recorded it. `columns` are
    those of `features.csv` that it needs, `inputs` those of its own rows (of patients by
    `classifiers.graders.patients`). `coverage` is what its sets or intervals state, None when it
    makes none. `data` holds counts, classes, hashes of the tables and whether the patients are
    simulated; `validation` folds and, by unit, scores and recalls; `notes` what was warned of.
    """

    grader: str
    title: str
    target: str
    classes: list[str]
    unit: str
    scaler: str
    seed: int
    definition: str | None
    columns: list[str]
    inputs: list[str]
    coverage: float | None
    data: dict[str, Any]
    validation: dict[str, Any]
    notes: list[str]
    limits: list[str]
    licence: list[str]
    versions: dict[str, str]
    settings: dict[str, Any]
    format_version: int = FORMAT_VERSION

    def json_text(self) -> str:
        """Return the content of `card.json`."""
        return json.dumps(asdict(self), indent=2, ensure_ascii=False, allow_nan=False) + "\n"

    @classmethod
    def from_json(cls, content: bytes, *, source: Path) -> ModelCard:
        """Read `card.json`; another format version is refused before anything else is looked at."""
        try:
            card = json.loads(content)
        except (ValueError, RecursionError) as error:
            raise UserError(f"{source} is no model card: copy the model again.") from error
        found = card.get("format_version") if isinstance(card, dict) else None
        if found != FORMAT_VERSION:
            raise UserError(
                f"{source} has format version {found} and this program reads {FORMAT_VERSION}: fit "
                "the model anew, or use the program version that made it."
            )
        names = {field.name for field in fields(cls)}
        if set(card) != names:
            odd = sorted(names ^ set(card))[0]
            raise UserError(f'{source}: "{odd}" is missing or unknown: copy the model again.')
        return cls(**card)

    def refuse_other_features(
        self, *, definition: str | None, columns: Sequence[str], source: Path
    ) -> None:
        """Refuse a table of another definition, or without a column that this grader needs.

        A definition that nobody recorded (None) is not refused.
        """
        refuse_other_definition(source, found=definition, learned=self.definition)
        missing = [name for name in self.columns if name not in set(columns)]
        if missing:
            more = f" and {len(missing) - 1} more" if len(missing) > 1 else ""
            raise UserError(
                f'{source} has no column "{missing[0]}"{more}, which the model needs: give the '
                "tables that extract writes."
            )

    @property
    def question(self) -> AnyTarget:
        """What it answers."""
        scale = self.data.get("scale")
        return target_named(self.target) if scale is None else NumericTarget.from_plain(scale)

    def local_clinic(self) -> LocalClinic | None:
        """Return what `recalibrate` learned at another clinic; None for a grader as fitted."""
        found = self.data.get("local")
        return None if found is None else LocalClinic.from_plain(found)

    def familiar(self) -> Familiar | None:
        """Return what the patients learned from were like; None for a grader kept before that."""
        found = self.data.get("familiar")
        return None if found is None else Familiar(**found)

    def healthy(self) -> Healthy | None:
        """Return middle and spread of the healthy people learned from; None when too few."""
        found = self.data.get("healthy")
        if found is None:
            return None
        middle, spread = (np.array(found[name], np.float64) for name in ("middle", "spread"))
        return Healthy(middle, spread, found["people"])

    def version_warnings(self) -> Iterator[str]:
        """Yield a sentence for each library that differs from the one it was made with."""
        now = library_versions()
        for name in _DECIDING:
            if self.versions.get(name) != now.get(name):
                yield (
                    f"The model was made with {name} {self.versions.get(name)} and this is "
                    f"{now.get(name)}: its answers may differ slightly from those of its card."
                )

    def markdown(self) -> str:
        """Return the content of `CARD.md`."""
        environment = Environment(
            trim_blocks=True, lstrip_blocks=True, undefined=StrictUndefined, autoescape=False
        )
        environment.filters |= {
            "cell": _cell, "counted": counted, "number": _number, "shortened": _shortened
        }  # fmt: skip
        template = environment.from_string(TEMPLATE.read_text(encoding="utf-8"))
        return template.render(card=self, research_use=RESEARCH_USE)


def card_of(
    fitted: NestedGrader,
    cohort: Cohort,
    samples: Samples,
    evaluations: list[Evaluation] | list[NumericEvaluation],
    *,
    target: AnyTarget,
    sides: Mapping[tuple[str, str], Spread],
    settings: dict[str, Any],
    said: str,
    notes: list[str],
) -> ModelCard:
    """Return the card of a fitted grader: what it learned from, how well it does, what it needs.

    `sides` says how uneven the healthy patients are, which `grade` needs; `settings` are the run's,
    `grader`, `level`, `folds` and `seed` among them; `said` is what the user says of the patients.
    """
    grader, folds = settings["grader"], settings["folds"]
    levels: list[Evaluation | NumericEvaluation] = [*evaluations][::-1]
    used = {str(name).rpartition(".")[2] for name in samples.features}
    return ModelCard(
        grader=grader,
        title=title_of(grader),
        target=target.name,
        classes=list(target.classes),
        unit=settings["level"],
        scaler=fitted.choice.scaler,
        seed=settings["seed"],
        definition=cohort.study.definition,
        columns=[name for name in FEATURE_NAMES if name in used],
        inputs=[str(name) for name in samples.features.columns],
        coverage=None if fitted.ranges is None else fitted.ranges.coverage,
        data={
            **_data(cohort, samples, sides=sides, target=target, said=said),
            "familiar": asdict(_familiar(fitted, cohort, samples)),
        },
        validation={
            "folds": f"{folds[0].upper()}{folds[1:]}.",
            "how": "Whole patients were held out; the kept grader learned from all of them.",
            "scores": {one.unit: _scores(one, grader=grader) for one in levels},
            "recall": {
                one.unit: one.recall_of(grader) for one in levels if isinstance(one, Evaluation)
            },
        },
        notes=list(dict.fromkeys([*notes, *fitted.grader.notes])),
        limits=[
            *LIMITS,
            ALWAYS["classes" if target.classes else "numbers"],
            OTHER_POINTS[cohort.source.corrected > 0],
        ],
        licence=list(LICENCE),
        versions=library_versions(),
        settings=settings,
    )


def _data(
    cohort: Cohort,
    rows: Samples,
    *,
    sides: Mapping[tuple[str, str], Spread],
    target: AnyTarget,
    said: str,
) -> dict[str, Any]:
    """Return what the card says of the data, and the healthy reference that `grade` needs."""
    samples, study = cohort.usable, cohort.study
    record = landmark_run_of(study.features) or {}
    measured, files = record.get("settings"), record.get("files")
    simulated = "yes" if all_simulated(cohort.photographs) else "unknown"
    return {
        "question": target.title,
        "photographs": len(samples.rows),
        "patients": len(set(samples.patients)),
        **cohort.source.counts(),
        "origin": " ".join(
            filter(None, (_ORIGIN[simulated], cohort.source.sentence(), said.strip()))
        ),
        "simulated": simulated,
        **_answers_learned(samples, target=target),
        "left_out": [list(row) for row in cohort.excluded().itertuples(index=False, name=None)],
        "sha256": {role: sha256_of(path) for role, path in study.files.items()}
        | {f"{role} of extract": str(file["sha256"]) for role, file in (files or {}).items()},
        "measured": measured if isinstance(measured, dict) else {},
        "typical": _typical(rows),
        "healthy": _healthy(rows),
        "healthy_sides": [
            [movement, part, spread.mean, spread.sd] for (movement, part), spread in sides.items()
        ],
    }


def _answers_learned(samples: Samples, *, target: AnyTarget) -> dict[str, Any]:
    """Return how many of each class it learned from; of a number its scale and its quarters."""
    names = target.spoken if not isinstance(target, NumericTarget) else ()
    chosen = [(name, samples.labels == number) for number, name in enumerate(names, start=1)]
    scale = {}
    if isinstance(target, NumericTarget) and samples.scores is not None:
        scale = {"scale": target.plain()}
        cuts = np.quantile(samples.scores, [0.0, 0.25, 0.5, 0.75, 1.0])
        quarter = np.searchsorted(cuts[1:-1], samples.scores, side="left")
        for at in range(4):
            own = samples.scores[quarter == at]
            if len(own):
                chosen.append((f"{shown(own.min())} to {shown(own.max())}", quarter == at))
    return scale | {
        "classes": [
            {
                "class": name,
                "patients": len(set(samples.patients[own])),
                "photographs": int(own.sum()),
            }
            for name, own in chosen
        ]
    }


def _typical(samples: Samples) -> dict[str, float | None]:
    """Return medians of healthy patients, or of all when there are fewer than three healthy."""
    healthy = samples.healthy
    enough = len(set(samples.patients[healthy])) >= FEWEST_HEALTHY
    medians = samples.features[healthy if enough else np.ones(len(healthy), dtype=bool)].median()
    return {str(name): None if np.isnan(value) else float(value) for name, value in medians.items()}


def _familiar(fitted: NestedGrader, cohort: Cohort, samples: Samples) -> Familiar:
    """Return what the patients learned from are like, in their photographs and in the columns."""
    rows, landmarks = cohort.usable.rows, cohort.study.landmarks
    qualities = pd.DataFrame()
    if landmarks is not None:
        at = pd.Index(landmarks["image_id"]).get_indexer(pd.Index(rows["image_id"]))
        known = landmarks.iloc[at[at >= 0]]
        qualities = qualities_of(known, patients=cohort.usable.patients[at >= 0])
    made = fitted.columns.make(samples)[fitted.choice.columns]
    return Familiar.of(qualities, made.groupby(samples.patients).mean())


def _healthy(samples: Samples) -> dict[str, Any] | None:
    """Return middle and spread of each column in healthy patients; None when they are too few."""
    healthy = samples.healthy
    if not enough_healthy(samples.patients[healthy]):
        return None
    found = Healthy.of(samples.features[healthy])
    plain = {
        name: [None if np.isnan(value) else float(value) for value in getattr(found, name)]
        for name in ("middle", "spread")
    }
    return {**plain, "people": len(set(samples.patients[healthy]))}


def _scores(
    evaluation: Evaluation | NumericEvaluation, *, grader: str
) -> dict[str, dict[str, float | None]]:
    return {
        score.title: {
            **evaluation.estimates[grader][score.name].as_json(),
            "majority_baseline": rounded(evaluation.baseline(score)),
        }
        for score in evaluation.scores
    }


def library_versions() -> dict[str, str]:
    """Return versions of Python and of every library that has a part in an answer."""
    return package_versions() | {"skops": version("skops")}


def _cell(value: object) -> str:
    return str(value).replace("|", "\\|")


def _number(value: float | None) -> str:
    return "–" if value is None else f"{value:.2f}"


def _shortened(names: Sequence[str]) -> str:
    shown = ", ".join(names[:3])
    return shown if len(names) <= 4 else f"{shown}, …, {names[-1]}"
