"""The page that `micro loso` writes: what each model can do, by which rule, and what to believe."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from common.bootstrap import Estimate
from common.report import Report, Section
from common.words import counted
from htnet.micro.loso.driver import ALL, LosoRun, ScoredModel, subject_bootstrap_difference
from htnet.micro.loso.folds import Rule
from htnet.micro.loso.results import BASELINE, confusion_figure, interval_figure, subjects_figure
from htnet.micro.models.baselines import Guessing

REFERENCE = "kernel ridge"
TITLES: dict[Rule, str] = {
    "honest": "Nothing chosen on the held-out subject",
    "published": "Best epoch on the held-out subject (optimistic)",
}
_QUIET = (BASELINE, Guessing().name)


def loso_report(run: LosoRun, *, source: str, complaints: Sequence[str] = ()) -> Report:
    """Return the report of a run.

    `source` is what the clips came from, a name without folder; `complaints` are sentences about
    clips that were left out.
    """
    best, floor = run.best_honest(), _floor(run)
    uf1, uar = (
        _with_interval(one).replace("\n", " (") + ")" for one in (best.scores.uf1, best.scores.uar)
    )
    report = Report(
        title="Micro-expressions, one subject left out at a time",
        summary=f"On {counted(len(run.clips), 'clip')} of "
        f"{counted(len(run.clips.subjects), 'subject')} the best honest model, "
        f"{best.answers.model}, reaches UF1 {uf1} and UAR {uar}; to answer always the most "
        f"frequent class gives UF1 {floor:.3f}.",
    )
    for sentence in complaints:
        report.warn(sentence)
    if any(model.rule == "published" for model in run.models):
        report.warn(
            "Figures marked optimistic keep, for each held-out subject, the epoch that scored best "
            "on that very subject. They say nothing of a new person and are shown for comparison "
            "with earlier publications only."
        )
    n_honest = sum(model.rule == "honest" for model in run.models)
    if n_honest > 3:
        report.warn(
            f"{n_honest} honest models are shown. The best of them was found by looking at these "
            "same clips, so that its figure leans a little high; a model named before looking does "
            "not have this doubt."
        )
    _models(report, run, floor)
    _rules(report, run)
    _datasets(report, run)
    _confusions(report, run)
    _subjects(report, run)
    _method(report, run, source)
    return report


def _models(report: Report, run: LosoRun, floor: float) -> None:
    section = report.section("Models")
    section.text(
        "UF1 is the mean over classes of F1 (the harmonic mean of the share of a class that was "
        "found and the share of such answers that was right), UAR the mean over classes of the "
        "share found; both count every class alike, however rare. In the weighted F1 each class "
        "counts as often as it occurs. All clips are pooled before "
        "scoring. Intervals are 95 % over resampled subjects: another group of as many people "
        "would give a score within them, most of the time. These clips tell two models apart "
        f"only where the interval of their difference, here to {REFERENCE}, leaves out 0."
    )
    for title, rows in _by_rule(run):
        _score_table(section, run, rows, caption=f"{title}.")
    leaks = any(model.rule == "published" for model in run.models)
    section.figure(
        interval_figure(run.on(), floor=floor),
        alt="UF1 of each model with its 95 % interval",
        caption="UF1 of each model."
        + (" Hollow marks below the line are optimistic." if leaks else ""),
    )


def _score_table(section: Section, run: LosoRun, rows: list[ScoredModel], *, caption: str) -> None:
    reference = next((one for one in run.on() if one.answers.model == REFERENCE), None)
    several = any(len(one.answers.seeds) > 1 for one in rows)
    table = []
    for one in rows:
        row = {
            "Model": one.answers.label,
            "UF1": _with_interval(one.scores.uf1),
            "UAR": _with_interval(one.scores.uar),
            "Weighted F1": _with_interval(one.scores.weighted_f1),
        }
        if several:
            row["Seeds"] = str(len(one.answers.seeds))
            row["Spread of UF1 over seeds"] = (
                f"± {one.scores.spread_uf1:.3f}" if np.isfinite(one.scores.spread_uf1) else "–"
            )
        # An optimistic figure is not compared with an honest one.
        if reference is not None and one.answers.rule == "honest":
            row[f"UF1 less that of {REFERENCE}"] = _difference(one, reference)
        table.append(row)
    section.table(table, caption=caption, quiet=_quiet(rows), digits=3)


def _by_rule(run: LosoRun) -> Iterator[tuple[str, list[ScoredModel]]]:
    """Yield the title and the models of each rule that was used, on all clips."""
    for rule, title in TITLES.items():
        rows = [one for one in run.on() if one.answers.rule == rule]
        if rows:
            yield title, rows


def _quiet(rows: list[ScoredModel]) -> list[bool]:
    return [one.answers.model in _QUIET for one in rows]


def _difference(one: ScoredModel, reference: ScoredModel) -> str:
    if one is reference:
        return "–"
    estimate = subject_bootstrap_difference(one.counts, reference.counts)
    return f"{estimate.value:+.3f}\n{estimate.low:+.3f} to {estimate.high:+.3f}".replace("-", "−")


def _rules(report: Report, run: LosoRun) -> None:
    """Say what choosing the epoch on the held-out subject is worth."""
    pairs = _both_rules(run)
    if not pairs:
        return
    section = report.section("What choosing on the held-out subject is worth")
    section.table(
        (
            {
                "Model": honest.answers.model,
                "UF1, honest": honest.scores.uf1.value,
                "UF1, best epoch on the subject (optimistic)": published.scores.uf1.value,
                "Leak": published.scores.uf1.value - honest.scores.uf1.value,
            }
            for honest, published in pairs
        ),
        caption="The same trainings, read by two rules.",
        quiet=_quiet([honest for honest, _ in pairs]),
        digits=3,
    )
    sizes = np.bincount(run.clips.fold)
    one_class = _one_class_subjects(run)
    section.text(
        "Earlier code trains one network per held-out subject, answers that subject after every "
        "epoch, and keeps the epoch with the best score. Subjects have few clips (half of them "
        f"have {np.median(sizes):.0f} or fewer), and {one_class} of {len(sizes)} have clips of one "
        "class only, so that "
        "among many epochs there is nearly always one that happens to answer them better than the "
        "network can. The choice is made once per subject, with the answers at hand, and what "
        "chance gives is added up over all subjects. No new person comes with answers: the figure "
        "cannot be reached in use."
    )
    guess = next((pair for pair in pairs if pair[0].answers.model == Guessing().name), None)
    if guess is not None:
        honest, published = guess
        section.text(
            f"How much that is can be measured without any network. Random answers, drawn anew at "
            f"each of {Guessing().epochs} epochs, have UF1 {honest.scores.uf1.value:.3f}; by the "
            f"optimistic rule the same random answers have UF1 {published.scores.uf1.value:.3f}."
        )


def _datasets(report: Report, run: LosoRun) -> None:
    if not run.datasets:
        return
    section = report.section("Each dataset")
    section.text(
        "Trained on all datasets together, scored on the clips of one. A class that does not occur "
        "in a dataset is left out of its UAR, and of its UF1 unless it was answered there."
    )
    parts = {name: run.on(name) for name in run.datasets}
    sizes = ", ".join(
        f"{name} {counted(scored[0].n_clips, 'clip')} of {counted(scored[0].n_subjects, 'subject')}"
        for name, scored in parts.items()
    )
    for title, rows in _by_rule(run):
        table = []
        for one in rows:
            row = {"Model": one.answers.label}
            for name, scored in parts.items():
                part = next(of for of in scored if of.answers is one.answers)
                row[f"{name} UF1"] = _with_interval(part.scores.uf1)
                row[f"{name} UAR"] = f"{part.scores.uar.value:.3f}"
            table.append(row)
        section.table(table, caption=f"{title} ({sizes}).", quiet=_quiet(rows))


def _confusions(report: Report, run: LosoRun) -> None:
    section = report.section("Which classes are taken for which")
    shown = [one for one in run.on() if one.answers.model not in _QUIET]
    section.figure(
        confusion_figure(shown, classes=run.clips.classes),
        alt="Confusion matrix of each model",
        caption="Number of clips, annotated class in rows; of several seeds the mean.",
    )


def _subjects(report: Report, run: LosoRun) -> None:
    best = run.best_honest().answers
    section = report.section("Each subject")
    section.text(
        f"{_one_class_subjects(run)} of {len(run.clips.subjects)} subjects have clips of one class "
        "only. UF1 and UAR of a single subject mean little; the picture shows every clip instead. "
        "The numbers are in loso_subjects.csv, every answer in loso_results.csv."
    )
    section.figure(
        subjects_figure(run, best),
        alt=f"Every clip of every subject, answered rightly or wrongly by {best.model}",
        caption=f"Every clip as answered by {best.model}, which had not seen its subject.",
    )


def _method(report: Report, run: LosoRun, source: str) -> None:
    section = report.section("How it was done")
    counts = np.bincount(run.clips.label, minlength=len(run.clips.classes))
    classes = ", ".join(f"{n} {name}" for name, n in zip(run.clips.classes, counts, strict=True))
    scaling = {
        "published": "stretched map by map to 0..255, so that the size of a motion is lost",
        "physical": "in fractions of the face size",
    }[run.clips.scaling]
    section.text(f"Clips: {source}; {classes}. Flow maps are {scaling}.")
    section.text(
        "For every subject, each model is trained on the clips of all other subjects and answers "
        "the subject's own. Settings are fixed beforehand, the epoch of a ROI model is "
        "chosen on subjects inside the training fold. The "
        "interval is that of 2000 resamples of whole subjects with the same draws for every model."
    )
    section.table(
        ({"Model": name, "Seconds": value} for name, value in run.seconds.items()),
        caption="Time of all folds and seeds.",
        digits=1,
    )


def _both_rules(run: LosoRun) -> list[tuple[ScoredModel, ScoredModel]]:
    published = {one.answers.model: one for one in run.on() if one.answers.rule == "published"}
    return [
        (one, published[one.answers.model])
        for one in run.on()
        if one.answers.rule == "honest" and one.answers.model in published
    ]


def _one_class_subjects(run: LosoRun) -> int:
    clips, fold = run.clips, run.clips.fold
    return sum(len(np.unique(clips.label[fold == s])) == 1 for s in range(len(clips.subjects)))


def _floor(run: LosoRun) -> float:
    values = [one.scores.uf1.value for one in run.on(ALL) if one.answers.model == BASELINE]
    return values[0] if values else float("nan")


def _with_interval(estimate: Estimate) -> str:
    return f"{estimate.value:.3f}\n{estimate.low:.3f} to {estimate.high:.3f}"
