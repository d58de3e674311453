"""The notebooks tell their stories with the project's functions, and every one of them runs.

They are kept without outputs, and hold no logic of their own: what they do is in the packages,
where it is tested. All share one simulated cohort, made once.
"""

from __future__ import annotations

import ast
import re
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from types import ModuleType

import matplotlib
import nbformat
import pytest
from IPython.core.interactiveshell import InteractiveShell
from IPython.utils.capture import capture_output
from nbformat import NotebookNode
from nbmake.nb_run import NotebookRun
from traitlets.config import Config

from pipeline.example_cohort import OUTPUT_VARIABLE, ExampleCohort, example_clips

FOLDER = Path(__file__).resolve().parent.parent / "notebooks"
STORIES = (
    "01_first_photograph",
    "02_test_time_augmentation",
    "03_datasets",
    "04_feature_distributions",
    "05_pca_tsne",
    "06_geometric_graders",
    "07_htnet",
    "08_compare_and_fuse",
    "09_micro_expressions",
    "10_several_raters",
)
IN_JUPYTER = STORIES[0]  # in a kernel of its own, as a reader runs it; the others in this process
LONGEST_CELL = 32  # lines; the cell of imports is the longest
SECONDS = 300
LOGIC = (
    ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef, ast.Lambda, ast.For, ast.While, ast.If,
    ast.Try, ast.With, ast.Assert,
)  # fmt: skip


@cache
def read(name: str) -> NotebookNode:
    return nbformat.read(FOLDER / f"{name}.ipynb", as_version=4)


def code(name: str) -> list[str]:
    """Source of the code cells without the lines that only IPython reads."""
    return [
        "\n".join(line for line in cell.source.splitlines() if not line.startswith("%"))
        for cell in read(name).cells
        if cell.cell_type == "code"
    ]


def logic_in(source: str) -> list[str]:
    return [type(node).__name__ for node in ast.walk(ast.parse(source)) if isinstance(node, LOGIC)]


def test_the_stories_are_all_there_and_no_other() -> None:
    assert tuple(sorted(path.stem for path in FOLDER.glob("*.ipynb"))) == STORIES


@pytest.mark.parametrize("name", STORIES)
def test_a_notebook_is_kept_without_outputs_and_for_any_machine(name: str) -> None:
    notebook = read(name)
    assert set(notebook.metadata) == {"kernelspec", "language_info"}
    assert notebook.metadata.kernelspec.name == "python3"  # the interpreter that runs, by name
    assert notebook.metadata.language_info == {"name": "python"}
    for cell in notebook.cells:
        assert not cell.metadata
        if cell.cell_type == "code":
            assert cell.outputs == []
            assert cell.execution_count is None


@pytest.mark.parametrize("name", STORIES)
def test_a_notebook_begins_in_plain_words(name: str) -> None:
    first = read(name).cells[0]
    assert first.cell_type == "markdown"
    assert re.match(r"# \w", first.source)
    assert "**Where the" in first.source
    assert "simulated" in first.source.lower()


@pytest.mark.parametrize("name", STORIES)
def test_a_notebook_holds_no_logic_of_its_own(name: str) -> None:
    for source in code(name):
        assert logic_in(source) == [], source
        assert len(source.splitlines()) <= LONGEST_CELL, source


@pytest.mark.parametrize("source", ["def f(): ...", "for x in y: print(x)", "f = lambda x: x"])
def test_logic_would_be_seen(source: str) -> None:
    assert logic_in(source)


@dataclass(frozen=True)
class Shown:
    """What a notebook shows: how many pictures, and what it printed."""

    pictures: int
    said: str


@pytest.fixture(scope="module")
def output(simulated_cohort: ExampleCohort) -> Path:
    """Where the notebooks find their patients and clips: smaller ones, which is quicker."""
    folder = simulated_cohort.folder.parent
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv(OUTPUT_VARIABLE, str(folder))
        patch.setattr("datasets.simulated.layouts._CLIPS_PER_SUBJECT", 3)
        example_clips()
    return folder


class Shell(InteractiveShell):
    """IPython without a terminal or a kernel."""

    def enable_gui(self, gui: str | None = None) -> None:
        """Leave windows alone: none is opened."""


@pytest.fixture(scope="module")
def shell(without_search: None, workers_here: None) -> Iterator[InteractiveShell]:
    """IPython in this process: what the notebooks import need not be imported for each anew."""
    config = Config({"HistoryManager": {"enabled": False}})
    yield Shell.instance(config=config, user_module=ModuleType("notebook"))
    Shell.clear_instance()
    matplotlib.use("Agg")


def run_in_jupyter(name: str, output: Path, monkeypatch: pytest.MonkeyPatch) -> Shown:
    """Run a notebook as its reader does."""
    # A kernel that somebody installed for another interpreter must not be taken for this one.
    monkeypatch.setenv("JUPYTER_DATA_DIR", str(output / "jupyter"))
    monkeypatch.setenv("IPYTHONDIR", str(output / "ipython"))  # nor somebody's start-up files
    result = NotebookRun(FOLDER / f"{name}.ipynb", SECONDS).execute()
    assert result.error is None, result.error and result.error.trace
    outputs = [one for cell in result.nb.cells for one in cell.get("outputs", ())]
    return Shown(
        sum("image/png" in one.get("data", {}) for one in outputs),
        "".join(one.text for one in outputs if one.output_type == "stream"),
    )


def run_here(name: str, shell: InteractiveShell) -> Shown:
    """Run the cells of a notebook one by one."""
    shell.reset()
    with shell.display_trap, capture_output() as captured:
        for cell in read(name).cells:
            if cell.cell_type == "code":
                shell.run_cell(cell.source).raise_error()
    outputs = [one.data for one in captured.outputs]
    return Shown(sum("image/png" in data for data in outputs), captured.stdout + captured.stderr)


@pytest.mark.parametrize("name", STORIES)
def test_a_notebook_runs_and_shows_pictures(
    name: str, output: Path, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest
) -> None:
    monkeypatch.setenv(OUTPUT_VARIABLE, str(output))
    if name == IN_JUPYTER:
        shown = run_in_jupyter(name, output, monkeypatch)
    else:
        monkeypatch.chdir(FOLDER)
        monkeypatch.setattr(sys, "path", list(sys.path))
        shown = run_here(name, request.getfixturevalue("shell"))
    assert shown.pictures >= 2
    assert "Warning:" not in re.sub(EXPECTED, "", shown.said), shown.said


EXPECTED = re.compile(
    r"^Warning: (Few patients|Per (?:patient|photograph), no grader|There are only).*$", re.M
)
