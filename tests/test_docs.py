"""The reference pages follow the code: schemas, registry, docstrings, commands."""

from __future__ import annotations

import ast
import importlib
import re
from dataclasses import replace
from pathlib import Path

import pandera.pandas as pa
import pytest

import docs.columns
from common.errors import UserError
from common.grading.target import TARGETS
from docs.build import FOLDER, README, filled, pages
from docs.columns import TABLES, described, types_of
from docs.figures import FEATURE_FIGURES, FIGURES
from docs.sections import SECTIONS, commands, invariances, packages, tables
from features.registry import FEATURES
from run_pipeline import COMMANDS

ROOT = Path(__file__).parents[1]
PACKAGES = ("classifiers", "datasets", "features", "htnet", "landmarks", "pipeline")
SIX = TARGETS["six_grades"]


@pytest.mark.parametrize("page", pages(), ids=lambda page: page.name)
def test_a_page_is_what_the_build_makes(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    assert filled(text) == text, "run python -m docs.build"


def test_every_made_part_stands_on_some_page() -> None:
    text = "".join(page.read_text(encoding="utf-8") for page in pages())
    for name in SECTIONS:
        assert f"<!-- made by docs.build: {name} -->" in text, name


def test_what_stands_between_the_markers_is_made_anew_and_the_rest_is_kept() -> None:
    page = "# By hand\n<!-- made by docs.build: points -->\nold\n<!-- end of points -->\nkept\n"
    made = filled(page)
    assert "old" not in made
    assert "| jaw | 0 to 16 |" in made
    assert made.startswith("# By hand\n") and made.endswith("kept\n")
    assert filled(made) == made


def test_an_unknown_part_is_refused_by_name() -> None:
    with pytest.raises(UserError, match=r'"point".*Did you mean "points"'):
        filled("<!-- made by docs.build: point -->\n<!-- end of point -->")


@pytest.mark.parametrize("name", FIGURES)
def test_every_figure_is_there_and_shown(name: str) -> None:
    assert (FOLDER / name).stat().st_size > 5_000
    assert any(f"{name})" in page.read_text(encoding="utf-8") for page in pages())


def test_the_figures_show_every_feature_once() -> None:
    shown = [region for regions in FEATURE_FIGURES.values() for region in regions]
    assert len(shown) == len(set(shown))
    assert set(shown) == {entry.region for entry in FEATURES}


def test_every_command_is_in_the_table() -> None:
    table = commands()
    rows = [line.split("|")[1].strip() for line in table.splitlines()[2:]]
    assert rows == [
        f"`{name}`" if isinstance(target, str) else f"`{name} {'`, `'.join(target)}`"
        for name, (target, _) in COMMANDS.items()
    ]
    assert table in README.read_text(encoding="utf-8")


@pytest.mark.parametrize("table", TABLES, ids=lambda table: table.file)
def test_every_column_of_every_table_has_words(table) -> None:
    rows = dict(described(table))
    assert set(types_of(table)) == set(table.schema.columns)
    for columns, words in rows.items():
        assert words and words == words.strip(), columns
        assert all(part in table.schema.columns for part in columns.split(" … ")), columns


def test_a_column_without_words_and_words_without_a_column_are_seen(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    folds = next(table for table in TABLES if table.file == "folds.csv")
    monkeypatch.delitem(docs.columns.SHARED, "fold")
    with pytest.raises(KeyError, match="fold"):
        list(described(folds))
    with pytest.raises(KeyError, match="no column shoe"):
        described(replace(folds, words={**folds.words, "shoe": "size"}))


def test_a_range_stands_for_its_own_columns_only() -> None:
    landmarks = next(table for table in TABLES if table.file == "landmarks.csv")
    names = [name for name, _ in described(landmarks)]
    assert names[-2:] == ["x_0 … x_67", "y_0 … y_67"]
    assert "`x_0` … `x_67` | number" in tables()


def test_the_standard_definition_changes_with_nothing() -> None:
    cells = [line.split(" | ")[1] for line in invariances().splitlines()[2:]]
    assert cells == ["nothing changes"] * 4
    assert "changes `f3`" in invariances()  # the older ones do, so the test could fail


def test_every_module_is_in_the_plan_of_the_house(root: Path) -> None:
    plan = packages()
    for module in (
        "landmarks/find/finder.py",
        "htnet/micro/clips/frames.py",
        "common/grading/folds.py",
    ):
        name = str(Path(*Path(module).parts[1:]).with_suffix(""))
        assert f"| `{name}` | " in plan
    assert "|  |" not in plan  # no module without a sentence


_PLACE = re.compile(r"`([\w/]+/(?:[\w/]+\.(?:py|md))?|\w+\.py)`")
_NAMED = re.compile(r"((?:`[A-Za-z]\w+`(?:,| or| and) )*`[A-Za-z]\w+`) in `([\w/]+\.py)`")


def missing_places(text: str, root: Path) -> list[str]:
    """Files and folders that a text names and that are not there, and names not in their file."""
    missing = [place for place in _PLACE.findall(text) if not (root / place).exists()]
    for names, place in _NAMED.findall(text):
        if (root / place).is_file():
            tree = ast.parse((root / place).read_text(encoding="utf-8"))
            known = {name for node in tree.body for name in defined(node)}
            wanted = re.findall(r"`(\w+)`", names)
            missing += [f"{name} in {place}" for name in wanted if name not in known]
    return missing


def defined(node: ast.stmt) -> list[str]:
    """What a statement of a module gives a name to."""
    if isinstance(node, ast.ClassDef | ast.FunctionDef):
        return [node.name]
    goals = node.targets if isinstance(node, ast.Assign) else [getattr(node, "target", None)]
    return [goal.id for goal in goals if isinstance(goal, ast.Name)]


def test_the_map_of_the_house_names_places_that_exist(root: Path) -> None:
    """Someone new finds from this page alone where to add something."""
    by_hand = (FOLDER / "design.md").read_text(encoding="utf-8").split("<!-- made by")[0]
    assert missing_places(by_hand, root) == []
    assert len(_PLACE.findall(by_hand)) > 40 and len(_NAMED.findall(by_hand)) > 8
    for what in ("feature", "grader", "dataset", "section of a report", "loss"):
        row = next(line for line in by_hand.splitlines() if re.match(rf"\| an? {what}\b", line))
        assert _PLACE.search(row), what


def test_a_place_that_is_gone_would_be_seen(root: Path) -> None:
    text = "`FEATURES` or `NOISES` in `features/registry.py`, then `features/gone.py`, `gone/`"
    gone = ["features/gone.py", "gone/", "NOISES in features/registry.py"]
    assert missing_places(text, root) == gone


def written_tables() -> dict[str, set[str]]:
    """File name of every table that the product writes, and the schemas it is written with.

    Read from the calls of `write_table` in the code, so that no command has to run. A path that
    a caller or a loop chooses has no name here.
    """
    found: dict[str, set[str]] = {}
    for path in sorted(path for package in PACKAGES for path in (ROOT / package).rglob("*.py")):
        module = ".".join(path.relative_to(ROOT).with_suffix("").parts)
        for call in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if not isinstance(call, ast.Call) or getattr(call.func, "id", "") != "write_table":
                continue
            place, schemas = call.args[1], [k.value for k in call.keywords if k.arg == "schema"]
            if isinstance(place, ast.BinOp) and schemas:
                names = vars(importlib.import_module(module))
                right = place.right
                file = names.get(right.id) if isinstance(right, ast.Name) else right
                file = getattr(file, "value", file)
                if isinstance(file, str):
                    found.setdefault(file, set()).add(schema_name(schemas[0], names))
    return found


def schema_name(written: ast.expr, names: dict[str, object]) -> str:
    """Name and columns of a schema, or of what a function makes for a target."""
    if isinstance(written, ast.Call):
        function = names.get(written.func.id) or vars(docs.columns)[written.func.id]
        of_emotions = "htnet.micro" in function.__module__ or "micro" in str(names["__name__"])
        return shown(function(("negative", "positive", "surprise") if of_emotions else SIX))
    assert isinstance(written, ast.Name)
    schema = names.get(written.id)
    return written.id if schema is None else shown(schema)


def shown(schema: pa.DataFrameSchema) -> str:
    return f"{schema.name}: {', '.join(map(str, schema.columns))}"


def test_every_table_name_has_one_schema_and_the_reference_page_tells_it() -> None:
    written = written_tables()
    several = {file: schemas for file, schemas in written.items() if len(schemas) > 1}
    assert not several, several
    assert {"grades.csv", "photograph_grades.csv", "patient_grades.csv", "manifest.csv",
            "patients.csv", "profile.csv", "flow.csv"} <= set(written)  # fmt: skip
    documented = {table.file: shown(table.schema) for table in TABLES}
    assert len(documented) == len(TABLES)
    other = {
        file: (schemas, documented[file])
        for file, schemas in written.items()
        if file in documented and schemas != {documented[file]}
    }
    assert not other, other
