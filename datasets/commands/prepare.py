"""The command `prepare`: from a dataset in its own layout to a manifest, and all that is wrong."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import pandas as pd
from rich import box
from rich.console import Console
from rich.table import Table

from common.errors import UserError
from common.files import OutFile, natural_key
from common.tables import GRADES, MANIFEST, relative_to_folder, write_table
from common.truth import SIMULATED, TRUTH_TABLE, looks_simulated
from common.words import counted, spoken
from datasets.check import check_manifest
from datasets.dataset import (
    SEVERITIES,
    SHARES,
    Problem,
    Severity,
    error,
    note,
    say_list,
    split_by_patient,
    write_problems,
)
from datasets.own_table import apply_grades, write_template
from datasets.registry import DatasetEntry, dataset_entry

DatasetName = Literal[
    "meei", "neuroface", "fnp", "ckplus", "three-class", "casme2", "samm", "smic", "casme3",
    "megc2019", "yfp", "folder",
]  # fmt: skip
LOG_WIDTH = 112  # columns when standard output is a file
PRINTED_OF_A_KIND = 20
_STYLES: dict[Severity, str] = {"error": "bold red", "warning": "yellow", "note": "dim"}


@dataclass(frozen=True)
class PrepareResult:
    """What `prepare` made: the manifest's content, and everything that is wrong, as printed.

    `out` is the manifest's file, None when nothing was found and none was written;
    `problems_table` the `*_problems.csv`, None without `--check`.
    """

    manifest: pd.DataFrame
    problems: tuple[Problem, ...]
    out: Path | None
    problems_table: Path | None

    @property
    def exit_code(self) -> int:
        """0 all was read, 3 something was lost, 4 nothing was found."""
        if self.manifest.empty:
            return 4
        return 3 if any(problem.severity == "error" for problem in self.problems) else 0


def prepare(
    dataset: DatasetName,
    root: Path,
    *,
    out: OutFile = Path("manifest.csv"),
    check: bool = False,
    images: bool = True,
    table: Path | None = None,
    template: Path | None = None,
    grades: Path | None = None,
    patient_pattern: str | None = None,
    zero_based_grades: bool = False,
    split: bool = False,
    shares: tuple[float, ...] = (),
    seed: int = 0,
) -> PrepareResult:
    """Read a dataset's own layout into a manifest.

    Nothing is copied: the manifest says where each photograph lies, who is on it, what they do,
    on which side the palsy is, and its grade where the dataset has one. What is missing is
    reported and never filled.

    Parameters
    ----------
    dataset
        The layout: `meei`, `neuroface`, `fnp` (folders grade_1 to grade_6), `ckplus`,
        `three-class`, `casme2`, `samm`, `smic`, `casme3`, `megc2019`, `yfp`, or `folder` (any
        folder, with `--table`).
    root
        The dataset's folder.
    out
        The manifest to write.
    check
        Also look into every photograph and into the manifest, and write every problem with its
        row number to `OUT` with `_problems.csv` in place of `.csv`.
    images
        With `--check`, open the photographs; `--no-images` leaves that out.
    table
        Spreadsheet (CSV or Excel) that comes with the photographs: of `folder`, image or patient,
        task, side and grade; of a micro-expression dataset, its coding sheet; of `megc2019`, the
        organisers' list.
    template
        With `folder`: write this .xlsx in place of a manifest, with a row for each photograph and
        lists to choose from, to be filled in and given back as `--table`.
    grades
        Spreadsheet of your own House-Brackmann, eFACE or Sunnybrook grades by patient (or image,
        visit, emotion); they take the place of the dataset's.
    patient_pattern
        Regular expression that finds the patient in a file name, such as
        `(?P<patient>P[0-9]+)`.
    zero_based_grades
        The dataset counts grades from 0 (normal) to 5; they are written as 1 to 6.
    split
        Add a column `split` (70 % train, 15 % val, 15 % test of the patients, grades spread
        evenly); `fnp` always has it.
    shares
        Other shares of train, val and test than 70 15 15; whole patients, so that they hold as
        nearly as the patients allow. Adds the column `split` too.
    seed
        Of the split.
    """
    entry = dataset_entry(dataset)
    if template is not None:
        return _write_template(entry, root, template, patient_pattern=patient_pattern)
    given = {
        "table": table,
        "grades": grades,
        "patient_pattern": patient_pattern,
        "zero_based_grades": zero_based_grades or None,
    }
    read = entry.read(root, **_options_of(entry, given, seed=seed))
    if grades is not None and "grades" not in entry.options:
        read = apply_grades(read, grades, zero_based_grades=zero_based_grades)
    manifest, problems = read.manifest, list(read.problems)
    if looks_simulated(read.root):
        what = f"{TRUTH_TABLE} lies with the photographs, as only a simulated cohort has it"
        if not (read.root / TRUTH_TABLE).is_file():
            what = f"the name {read.root.name} says that this is a simulated cohort"
        if "onset" in manifest:  # clips have no truth_file to tell it by
            manifest = manifest.assign(**{SIMULATED: "yes"})
        problems.append(note("simulated_cohort", what, "report every result on it as simulated"))
    problems += _one_class(manifest)
    if len(manifest) and (shares or (split and "split" not in manifest)):
        manifest, uneven = split_by_patient(manifest, shares=shares or SHARES, seed=seed)
        problems += uneven
    if manifest.empty:
        what = f"nothing of {entry.title} was found in {root}, so no manifest was written"
        needs = entry.needs[0].lower() + entry.needs[1:].rstrip(".")
        problems.insert(0, error("nothing_found", what, f"it needs {needs}"))
    elif check:
        found = check_manifest(manifest, images=images, tasks=entry.tasks, file=out.name)
        problems += _unsaid(found, problems)
    problems.sort(key=lambda problem: SEVERITIES.index(problem.severity))
    manifest = relative_to_folder(manifest, out.parent)
    if len(manifest):
        write_table(manifest, out, schema=MANIFEST)
    problems_table = out.with_name(f"{out.stem}_problems.csv") if check else None
    if problems_table is not None:
        write_problems(problems, problems_table)
    result = PrepareResult(
        manifest, tuple(problems), out if len(manifest) else None, problems_table
    )
    width = None if Console().is_terminal else LOG_WIDTH
    _print(result, entry, console=Console(highlight=False, markup=False, width=width))
    return result


def _write_template(
    entry: DatasetEntry, root: Path, template: Path, *, patient_pattern: str | None
) -> PrepareResult:
    if entry.name != "folder":
        raise UserError(f"--template is for folder: {entry.name} has a layout of its own.")
    found = entry.read(root, patient_pattern=patient_pattern)
    write_template(found.manifest, template)
    print(
        f"{counted(len(found.manifest), 'photograph')} listed in {template}: fill in task, side "
        f"and grade, then give it back with --table {template}."
    )
    return PrepareResult(found.manifest, found.problems, None, None)


def _options_of(entry: DatasetEntry, given: dict[str, Any], *, seed: int) -> dict[str, Any]:
    """Return the given options that the reader takes; refuse those that mean nothing to it."""
    given = {name: value for name, value in given.items() if value is not None}
    with_grades = ("grades", "zero_based_grades") if "grades" in given else ()
    for name in given:
        if name not in (*entry.options, *with_grades):
            option = "--" + name.replace("_", "-")
            raise UserError(
                f"{option} means nothing to {entry.name}: leave it out, or choose another dataset."
            )
    return {n: value for n, value in {**given, "seed": seed}.items() if n in entry.options}


def _one_class(manifest: pd.DataFrame) -> list[Problem]:
    """Say when all that is graded has one grade, or is of one class."""
    for column, name in (("hb_grade", "grade"), ("palsy_class", "class")):
        known = manifest.get(column, pd.Series(dtype="object")).dropna()
        if len(known) and known.nunique() > 1:
            return []
        if len(known):
            what = f"every patient with a {name} has the same, {known.iloc[0]}"
            advice = "only benchmark and fit need a second class"
            return [note("one_class", what, advice)]
    return []


def _unsaid(found: Sequence[Problem], said: Sequence[Problem]) -> list[Problem]:
    """Leave out what the reader has said of the same patient already."""
    known = {(problem.kind, problem.patient_id) for problem in said if problem.patient_id}
    return [problem for problem in found if (problem.kind, problem.patient_id) not in known]


def _print(result: PrepareResult, entry: DatasetEntry, *, console: Console) -> None:
    manifest = result.manifest
    what = "clip" if "onset" in manifest else "photograph"
    patients = manifest["patient_id"].nunique()
    console.print(f"{entry.title}: {counted(len(manifest), what)}, {counted(patients, 'patient')}")
    if len(manifest):
        for line in _summary(manifest, what=what):
            console.print("  " + line, soft_wrap=True)
        if manifest["hb_grade"].notna().any():
            console.print(_grade_table(manifest, what=what))
    _print_problems(result, console=console)
    count = Counter(problem.severity for problem in result.problems)
    said = ", ".join(counted(count[severity], severity) for severity in SEVERITIES)
    console.print(f"{said}." if result.problems else "No problems.")
    for path in (result.out, result.problems_table):
        if path is not None:
            console.print(f"Wrote {path}", soft_wrap=True)
    if result.manifest.empty:
        console.print(entry.obtain, soft_wrap=True)
    elif entry.cite:
        console.print(f"Cite: {entry.cite}", soft_wrap=True)


def _print_problems(result: PrepareResult, *, console: Console) -> None:
    """Print every problem, but of one kind no more than a person reads; the table has all."""
    at_most = 3 if result.manifest.empty else PRINTED_OF_A_KIND
    number = Counter((problem.severity, problem.kind) for problem in result.problems)
    printed: Counter[tuple[str, str]] = Counter()
    table = result.problems_table
    for problem in result.problems:
        kind = problem.severity, problem.kind
        printed[kind] += 1
        line = f"{problem.severity}: {problem.sentence()}"
        if printed[kind] == at_most + 1:
            rest = number[kind] - at_most
            where = f"see {table}" if table else "--check writes all of them to a table"
            line = f"{problem.severity}: {rest:,} more of the kind {problem.kind}; {where}."
        if printed[kind] <= at_most + 1:
            console.print(line, style=_STYLES[problem.severity], soft_wrap=True)


def _summary(manifest: pd.DataFrame, *, what: str) -> list[str]:
    """Lines of counts: per patient, tasks, sides, emotions, split, source of the grades."""
    per_patient = manifest["patient_id"].value_counts()
    low, high = int(per_patient.min()), int(per_patient.max())
    first = f"{what}s per patient: {low}" + (f" to {high}" if high > low else "")
    usual = int(per_patient.mode().iloc[0])
    unusual = sorted(per_patient[per_patient != usual].index, key=natural_key)
    if 0 < len(unusual) <= max(1, len(per_patient) // 5):  # worth naming
        told = [f"{patient} {per_patient[patient]}" for patient in unusual]
        first += f"; not {usual}: {say_list(told, at_most=8)}"
    lines = [first]
    for column in ("task", "side", "palsy_class", "emotion3", "split", "grade_source"):
        cells = manifest.get(column, pd.Series(dtype="object"))
        if (cells.notna() & cells.ne("unknown")).any():
            count = cells.value_counts(sort=False)
            told = [f"{value} {number}" for value, number in count.items()]
            lines.append(f"{spoken(column)}: {say_list(told, at_most=10)}")
    return lines


def _grade_table(manifest: pd.DataFrame, *, what: str) -> Table:
    table = Table(box=box.SIMPLE, title="House-Brackmann grade", title_justify="left")
    for heading in ("grade", f"{what}s", "patients"):
        table.add_column(heading, justify="right")
    grades = manifest["hb_grade"].astype("object").fillna("none")
    for grade in (*GRADES, "none"):
        patients = manifest.loc[grades == grade, "patient_id"]
        if grade != "none" or len(patients):
            table.add_row(str(grade), f"{len(patients):,}", f"{patients.nunique():,}")
    return table
