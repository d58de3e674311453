"""Whatever the README and the pages name is there: links, anchors, commands, files, options."""

from __future__ import annotations

import ast
import re
import shlex
from collections.abc import Iterator
from pathlib import Path

import pytest
from cyclopts import App, CycloptsError

from common.command_line import build_app
from docs.build import README, pages
from docs.columns import TABLES
from run_pipeline import COMMANDS

NOTEBOOKS = README.parent / "notebooks"
_BLOCK = re.compile(r"^```(\w*)\n(.*?)^```$", re.M | re.S)
_CONTINUED = re.compile(r"\\\n\s*")
_INLINE = re.compile(r"`([^`\n]+)`")
_LINK = re.compile(r"(?<!\\)\]\(([^)\s]+)\)")
_PIPELINE = re.compile(r"(?:^|\s)(?:\S*python )?run_pipeline\.py ")
_FILE = re.compile(
    r"[\w./-]*[\w-]\.(?:md|py|csv|html|jsonl?|ya?ml|txt|cff|png|jpg|npz|npy|safetensors|xlsx)"
)

# What users bring, and what commands write beside the tables; the rest must be in the checkout.
BROUGHT = {
    "cues.csv", "films.csv", "color.jpg",
    "grades.xlsx", "A.csv", "T.csv", "G.csv", "FEATURES.csv", "pat_info.xlsx", "my_photo.jpg",
    "CASME2-coding-20140508.xlsx", "SAMM_Micro_FACS_Codes_v2.xlsx", "img46.jpg", "006_05562.jpg",
    "355.jpg", "network.safetensors", "new.xlsx", "megc2019_flow.npz", "photo_2", "photo_10",
    "datasets.yaml", "SevereFlaccid2_6.jpg", "SevereFlaccid2_6b.jpg", "scales_again.csv",
}  # fmt: skip
WRITTEN = {
    "report.html", "run.json", "metrics.json", "comparison.csv", "disagreements.csv", "weights.csv",
    "maps.npz", "regions.npy", "regions.json", "region_importance.csv", "prediction.csv",
    "motion.png", "flow.png", "journal.jsonl", "fold_007.npz", "fold_confusions.csv",
    "weights.safetensors", "landmarks_truth.csv", "events_truth.csv", "scales_truth.csv",
    "confusion_per_patient.png", "predictions.npz", "landmark_errors.csv",
    "landmark_asymmetry.csv", "folds_truth.csv",
    "clips.csv", "new.csv", "inner_predictions.csv", "inner_patient_predictions.csv",
    "patient_predictions.csv", "pretrained.json", "shard.json", "grader.json", "places.csv",
    *(table.file for table in TABLES),
}  # fmt: skip
EARLIER = {  # scripts and files of others that the README tells apart from this project's
    "prepare_dataset.py", "train_facial_palsy.py", "train_enhanced_facial_palsy.py",
    "train_yfp_palsy_detection.py", "evaluate_facial_palsy.py", "demo_inference.py",
    "visualize_asymmetry_roi.py", "visualize_roi_and_asymmetry.py", "visualize_attention.py",
    "confusion_matrix.png", "evaluation_results.txt", "B.csv",
}  # fmt: skip


def texts() -> Iterator[tuple[str, str]]:
    """Return name and text of the README, the pages, and the words of the notebooks."""
    for page in pages():
        yield page.name, page.read_text(encoding="utf-8")


def blocks(text: str) -> list[str]:
    """Return blocks of commands, not those that show output."""
    return [body for kind, body in _BLOCK.findall(text) if kind != "output"]


def pieces_of_code(text: str) -> list[str]:
    """Return every line to be typed, continued ones whole, and every piece of code in the text."""
    lines = [line for block in blocks(text) for line in _CONTINUED.sub(" ", block).splitlines()]
    return lines + _INLINE.findall(_BLOCK.sub("", text))


def commands() -> list[tuple[str, str]]:
    """Return (page, command line) of everything that is to be typed after `run_pipeline.py`."""
    found = []
    for name, text in texts():
        for piece in pieces_of_code(text):
            if _PIPELINE.search(piece) and "COMMAND" not in piece:
                found.append((name, _PIPELINE.split(piece, maxsplit=1)[1].split("#")[0].strip()))
    return list(dict.fromkeys(found))


@pytest.fixture(scope="module")
def app() -> App:
    return build_app(COMMANDS, name="run_pipeline.py", summary="")


def test_there_are_commands_to_check() -> None:
    assert len(commands()) > 20


@pytest.mark.parametrize(("page", "line"), commands())
def test_a_command_line_is_understood(app: App, page: str, line: str) -> None:
    """By the real command line, which here only reads the words and runs nothing."""
    words = shlex.split(line)
    if "--format" in words:  # of every command, as --config is
        at = words.index("--format")
        del words[at : at + 2]
    if "..." in words or "…" in line:
        words = words[: next(i for i, word in enumerate(words) if word in ("...", "…"))]
        command, *_ = words
        assert command in COMMANDS
        return
    try:
        function, bound, left = app.parse_args(words, exit_on_error=False, print_error=False)
    except CycloptsError as error:
        pytest.fail(f"{page}: {line}: {error}")
    assert callable(function)
    assert left == {}
    # One model for each table, none of which was taken for a model.
    if words[0] in ("compare", "fuse", "joint-report"):
        assert len(bound.arguments["models"]) == len(bound.arguments["tables"]) >= 2, line


def test_the_readme_is_short_and_its_command_lines_fit_on_a_screen() -> None:
    text = README.read_text(encoding="utf-8")
    assert len(text.splitlines()) < 350
    lines = [line for block in blocks(text) for line in block.splitlines()]
    assert not [line for line in lines if len(line) > 120]


def options(app: App) -> dict[str, set[str]]:
    """Return the options of every command, and of sub-commands such as `htnet train`."""
    found: dict[str, set[str]] = {}
    for name in (name for name in app if not name.startswith("-")):
        below = options(app[name])
        found |= {f"{name} {sub}": names for sub, names in below.items()}
        if not below:
            arguments = app[name].assemble_argument_collection()
            found[name] = {option for argument in arguments for option in argument.names}
    return found


def test_a_command_named_in_a_text_has_the_options_that_it_is_named_with(app: App) -> None:
    known = options(app)
    unknown, seen = [], 0
    for page, text in texts():
        for piece in pieces_of_code(text):
            named = re.match(r"((?:htnet |micro )?[a-z-]+) ", piece)
            if named and named[1] in known:
                given = set(re.findall(r"--[a-z][a-z-]*", piece))
                seen += len(given)
                unknown += [f"{page}: {piece}: {option}" for option in given - known[named[1]]]
    assert not unknown, "\n".join(unknown)
    assert seen > 30


def test_redact_is_told_of_every_command_that_has_it(app: App) -> None:
    told = re.search(
        r"`--redact` of (.*?) makes a report", README.read_text(encoding="utf-8"), re.S
    )
    assert told
    having = {name for name, names in options(app).items() if "--redact" in names}
    assert set(_INLINE.findall(told[1])) == having


def test_a_wrong_option_would_be_seen(app: App) -> None:
    with pytest.raises(CycloptsError):
        app.parse_args(
            ["extract", "photos", "--out", "x", "--overlay-s"],
            exit_on_error=False, print_error=False,
        )  # fmt: skip


def modules_run() -> list[tuple[str, str]]:
    found = []
    for _, text in texts():
        for piece in pieces_of_code(text):
            match = re.search(r"python -m ((?:docs|benchmarks)\.\w+)(.*)", piece)
            if match:
                found.append((match[1], match[2]))
    return list(dict.fromkeys(found))


@pytest.mark.parametrize(("module", "rest"), modules_run())
def test_a_module_that_is_run_exists_with_its_options(root: Path, module: str, rest: str) -> None:
    path = root.joinpath(*module.split(".")).with_suffix(".py")
    if not path.is_file():  # a package
        path = path.with_suffix("") / "__main__.py"
    source = path.read_text(encoding="utf-8")
    ast.parse(source)
    for option in re.findall(r"--([a-z][\w-]*)", rest):
        assert option in source or option.replace("-", "_") in source, f"{module} has no --{option}"


@pytest.mark.parametrize("target", ["demo", "test", "lint", "bench"])
def test_make_targets_exist(root: Path, target: str) -> None:
    assert f"\n{target}:" in (root / "Makefile").read_text(encoding="utf-8")


def test_every_make_target_that_is_named_exists(root: Path) -> None:
    makefile = (root / "Makefile").read_text(encoding="utf-8")
    for name, text in texts():
        for piece in pieces_of_code(text):
            for target in re.findall(r"^make (\w+)", piece):
                assert f"\n{target}:" in makefile, f"{name}: make {target}"


def anchors(text: str) -> set[str]:
    """Return the anchors that a page's headings have on the usual code hosts."""
    headings = re.findall(r"^#+ (.+)$", _BLOCK.sub("", text), re.M)
    return {
        re.sub(r"[^\w\- ]", "", heading.lower().replace("`", "")).replace(" ", "-")
        for heading in headings
    }


@pytest.mark.parametrize("page", pages(), ids=lambda page: page.name)
def test_links_lead_somewhere(page: Path) -> None:
    for link in _LINK.findall(page.read_text(encoding="utf-8")):
        if "://" in link:
            continue
        path, _, anchor = link.partition("#")
        goal = (page.parent / path).resolve() if path else page
        assert goal.exists(), f"{page.name}: {link}"
        if anchor:
            assert anchor in anchors(goal.read_text(encoding="utf-8")), f"{page.name}: {link}"


def test_a_wrong_anchor_would_be_seen() -> None:
    assert anchors("# How honest are the grades?\n## `a` and B") == {
        "how-honest-are-the-grades",
        "a-and-b",
    }


def test_every_file_that_is_named_is_there_or_comes_out(root: Path) -> None:
    """It is in the checkout, brought by the user, or in a folder that a command writes."""
    outputs = {"demo_output", "tour", "models"}
    for _, line in commands():
        outputs |= set(re.findall(r"--out (\w+)", line))
    missing = []
    for name, text in texts():
        for piece in pieces_of_code(text):
            for file in _FILE.findall(piece):
                known = Path(file).name in BROUGHT | WRITTEN | EARLIER
                known |= file.split("/")[0] in outputs
                known |= any(
                    (folder / file).exists() for folder in (root, root / "docs", root / "datasets")
                )
                known |= (root / "notebooks" / file).exists() or "best_model.pth" in file
                if not known:
                    missing.append(f"{name}: {file}")
    assert not missing, "\n".join(sorted(set(missing)))


@pytest.mark.parametrize("notebook", sorted(NOTEBOOKS.glob("*.ipynb")), ids=lambda path: path.stem)
def test_notebooks_name_each_other_and_commands_rightly(app: App, notebook: Path) -> None:
    import nbformat

    words = "\n".join(
        cell.source
        for cell in nbformat.read(notebook, as_version=4).cells
        if cell.cell_type == "markdown"
    )
    for name in re.findall(r"`(0\d_\w+)`", words):
        assert (NOTEBOOKS / f"{name}.ipynb").exists(), name
    lines = [line for block in blocks(words) for line in block.splitlines() if line.strip()]
    for line in lines:
        test_a_command_line_is_understood(app, notebook.name, _PIPELINE.split(line, maxsplit=1)[1])


def test_the_citation_file_says_what_the_readme_says(root: Path) -> None:
    import yaml

    citation = yaml.safe_load((root / "CITATION.cff").read_text(encoding="utf-8"))
    assert {"cff-version", "title", "authors", "version", "message", "license"} <= set(citation)
    for reference in citation["references"]:
        assert {"type", "title", "authors", "year"} <= set(reference)
        first = reference["authors"][0]["family-names"]
        assert first in README.read_text(encoding="utf-8"), first
