"""micro loso, from the command line: files, messages, exit codes, refusals."""

from __future__ import annotations

import json
import subprocess
import sys
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd
import pytest
import torch
from matplotlib.figure import Figure

import run_pipeline
from common.command_line import run
from common.tables import read_table
from htnet.micro.commands.loso import REPORT_FILE, loso
from htnet.micro.loso.folds import Recogniser
from htnet.micro.loso.results import (
    RESULTS_FILE,
    SUBJECTS,
    SUBJECTS_FILE,
    SUMMARY,
    SUMMARY_FILE,
    results_schema,
)
from htnet.micro.models.baselines import KernelRidge, Majority
from tests.browser import WIDTHS, open_page, static_problems
from tests.htnet.micro.drawn_maps import CLASSES, drawn_maps, write_published
from tests.htnet.micro.test_micro_sources import flow_folder

pytestmark = pytest.mark.usefixtures("workers_here", "figures_not_rendered")

RENDERED = Figure.savefig

if TYPE_CHECKING:
    from playwright.sync_api import Browser


@pytest.fixture(scope="module")
def published(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A file of published maps of eight drawn subjects."""
    return write_published(tmp_path_factory.mktemp("maps") / "drawn.npz", drawn_maps())


def test_the_command_writes_report_tables_and_record(
    published: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    code = run(
        run_pipeline.app,
        ["micro", "loso", str(published), "--out", str(tmp_path), "--models",
         "kernel-ridge", "--protocol", "both", "--seeds", "2"],
    )  # fmt: skip
    said = capsys.readouterr().err
    assert code == 0
    results = read_table(tmp_path / RESULTS_FILE, schema=results_schema(CLASSES))
    # Four classical models, and guessing by both rules with two seeds.
    assert len(results) == 48 * (4 + 2 * 2)
    summary = read_table(tmp_path / SUMMARY_FILE, schema=SUMMARY)
    assert list(summary["dataset"].unique()) == ["all", "set0", "set1"]
    assert len(read_table(tmp_path / SUBJECTS_FILE, schema=SUBJECTS)) == 8 * (4 + 2)
    record = json.loads((tmp_path / "run.json").read_text(encoding="utf-8"))
    assert record["counts"] == {"clips": 48, "subjects": 8, "without_flow": 0}
    assert record["files"]["maps"]["name"] == "drawn.npz"
    assert set(record["seconds"]) > {"kernel ridge", "svm", "all"}
    assert "optimistic" in (tmp_path / REPORT_FILE).read_text(encoding="utf-8")
    lines = said.splitlines()
    assert lines[-2].endswith("guessing (best epoch on the held-out subject: optimistic)")
    assert not any("optimistic" in line for line in lines[:-2])


@pytest.fixture(scope="module")
def page(published: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The report of both rules, with its figures."""
    out = tmp_path_factory.mktemp("report")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Figure, "savefig", RENDERED)
        loso(published, out=out, models=("svm",), protocol="both", seeds=2)
    return out / REPORT_FILE


def test_the_report_is_whole(page: Path) -> None:
    assert static_problems(page) == []


def test_the_report_is_whole_and_readable_in_a_browser(page: Path, browser: Browser) -> None:
    problems = [
        problem for width in WIDTHS for problem in open_page(browser, page, width=width).problems()
    ]
    assert not problems, "\n".join(problems)


def test_honest_is_the_default_and_prints_nothing_else(published: Path, tmp_path: Path) -> None:
    loso(published, out=tmp_path, models=("svm",))
    summary = pd.read_csv(tmp_path / SUMMARY_FILE)
    assert set(summary["rule"]) == {"honest"}
    assert set(summary["optimistic"]) == {"no"}
    assert "optimistic" not in (tmp_path / REPORT_FILE).read_text(encoding="utf-8")


def test_the_same_command_writes_the_same_tables(published: Path, tmp_path: Path) -> None:
    for name in ("one", "two"):
        loso(published, out=tmp_path / name, models=("svm",))
    for name in (RESULTS_FILE, SUBJECTS_FILE, SUMMARY_FILE):
        one, two = ((tmp_path / folder / name).read_bytes() for folder in ("one", "two"))
        assert one == two


def test_clips_without_flow_are_said_and_change_the_exit_code(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    emotions = ["happiness", "disgust", "surprise", "fear", "others"] * 4
    folder = flow_folder(tmp_path / "flow", emotions, statuses=["ok"] * 19 + ["no_face"])
    code = run(
        run_pipeline.app,
        ["micro", "loso", str(folder), "--out", str(tmp_path / "out"), "--models", "svm"],
    )
    said = capsys.readouterr().err
    assert code == 3
    assert "1 clip has no flow and was left out (1 no_face): see flow.csv." in said
    assert "3 clips belong to none of negative, positive, surprise" in said
    assert "1 no_face" in (tmp_path / "out" / REPORT_FILE).read_text(encoding="utf-8")


def test_the_flow_of_a_manifest_is_computed_first(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[dict[str, object]] = []

    def flow(manifest: Path, *, out: Path, regions: bool, jobs: int) -> None:
        asked.append({"manifest": manifest, "regions": regions, "jobs": jobs})
        flow_folder(out, ["happiness", "disgust", "surprise", "fear"] * 3)

    monkeypatch.setattr("htnet.micro.commands.flow.flow", flow)
    manifest = tmp_path / "manifest.csv"
    manifest.write_text("image_id\n", encoding="utf-8")
    result = loso(manifest, out=tmp_path / "out", models=("svm",), jobs=1)
    assert asked == [{"manifest": manifest, "regions": False, "jobs": 1}]
    assert len(result.run.clips) == 12
    record = json.loads((tmp_path / "out" / "run.json").read_text(encoding="utf-8"))
    assert set(record["files"]) == {"manifest", "maps"}


def test_networks_keep_their_folds_in_the_output_folder_and_learn_the_options(
    published: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A run that was stopped goes on because every run is given the same folder."""
    given: list[dict[str, Any]] = []

    def record(names: tuple[str, ...], **options: Any) -> list[Recogniser]:
        given.append(options)
        return [Majority(), KernelRidge(name="htnet stand-in")]

    monkeypatch.setattr("htnet.micro.commands.loso.recognisers_named", record)
    for _ in range(2):
        result = loso(published, out=tmp_path, recipe="paper", inputs=("whole", "mosaic"))
    assert given[0] == given[1]
    assert given[0]["folder"] == tmp_path / "networks"
    assert (given[0]["recipe"], given[0]["inputs"]) == ("paper", ("whole", "mosaic"))
    assert [model.model for model in result.run.models][-1] == "htnet stand-in"


def test_a_finished_network_is_not_trained_again(
    published: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    torch.set_num_threads(1)
    change = ("training.epochs=2", "network.dim=24", "network.block_repeats=[1,1,1]")
    again = partial(
        loso, published, out=tmp_path, models=("htnet",), seeds=1, protocol="both", change=change,
        device="cpu", jobs=1,
    )  # fmt: skip
    rules = [model.rule for model in again().run.models if model.model == "htnet-small whole"]
    assert rules == ["honest", "published"]
    before = (tmp_path / RESULTS_FILE).read_bytes()

    def trained_twice(*_: object, **__: object) -> None:
        raise AssertionError("a finished fold was trained again")

    monkeypatch.setattr("htnet.micro.models.htnet.FlowModel.train", trained_twice)
    again()
    assert (tmp_path / RESULTS_FILE).read_bytes() == before


@pytest.mark.parametrize(
    ("more", "words"),
    [
        (["--models", "htnte"], 'Did you mean "htnet"?'),
        (["--models", "svm", "--seeds", "0"], "--seeds is 0: give 1 or more."),
        (["--models", "roi-graph"], "run micro flow with --regions"),
        (["--models", "svm", "--classes", "casme3-7"], "leave --classes at composite3"),
        (["--models", "svm", "--protocol", "best"], "protocol"),
    ],
)
def test_mistakes_end_in_one_sentence(
    published: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], more: list[str], words: str
) -> None:
    code = run(run_pipeline.app, ["micro", "loso", str(published), "--out", str(tmp_path), *more])
    assert code == 2
    assert words in " ".join(capsys.readouterr().err.split())
    assert not (tmp_path / REPORT_FILE).exists()


def test_every_sub_command_of_micro_is_there() -> None:
    known = run_pipeline.COMMANDS["micro"][0]
    assert {"flow", "spot", "loso", "fit", "predict"} <= set(known)
    for name in known:
        assert run_pipeline.app["micro"][name].assemble_argument_collection()


def test_help_loads_no_model(root: Path) -> None:
    code = (
        "import sys; sys.argv = ['run_pipeline.py', 'micro', '--help']; import run_pipeline; "
        "print('torch' in sys.modules, 'sklearn' in sys.modules)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=root, capture_output=True, text=True, check=True
    )
    assert done.stdout.split() == ["False", "False"]
