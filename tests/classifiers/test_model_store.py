"""A stored grader: the same answers in a new process, and nothing that was altered is ever read."""

from __future__ import annotations

import hashlib
import io
import json
import os
import pickle
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from classifiers.graders.cohort import Samples
from classifiers.graders.model_card import (
    FORMAT_VERSION,
    LICENCE,
    LIMITS,
    ModelCard,
    library_versions,
)
from classifiers.graders.model_store import (
    CARD_FILE,
    GRADER_FILE,
    SKOPS_PROTOCOL,
    SUMS_FILE,
    TEXT_FILE,
    load_model,
    save_model,
)
from classifiers.graders.nested import NestedGrader, fit_nested
from classifiers.graders.registry import GRADERS
from classifiers.graders.scaling import SCALERS
from common.errors import UserError
from common.grading.target import target_named
from features.registry import FEATURE_NAMES

from .conftest import made_cohort

COHORT = made_cohort(patients_per_grade=3, photographs=2)


SAMPLES = Samples(
    rows=COHORT.rows,
    features=COHORT.features,
    labels=COHORT.rows["hb_grade"].to_numpy(),
    patients=COHORT.rows["patient_id"].to_numpy(dtype=np.str_),
)


def fitted(name: str, *, scaler: str = "standard") -> NestedGrader:
    """Fit with one candidate, so that the tests do not wait for a search."""
    entry = replace(GRADERS[name], search={})
    return fit_nested(entry, SAMPLES, target=target_named("six_grades"), scalers=(scaler,))


def card(name: str = "svm") -> ModelCard:
    return ModelCard(
        grader=name,
        title=GRADERS[name].title,
        target="six_grades",
        classes=list("123456"),
        unit="photograph",
        scaler="standard",
        seed=0,
        definition="standard",
        columns=list(FEATURE_NAMES),
        inputs=list(FEATURE_NAMES),
        coverage=0.9,
        data={
            "question": "House-Brackmann grade",
            "photographs": 36,
            "patients": 18,
            "origin": "Made up for a test.",
            "classes": [{"class": "I", "patients": 3, "photographs": 6}],
            "left_out": [["no patient_id", 2]],
            "sha256": {"features": "0" * 64},
        },
        validation={
            "folds": "stratified, 5 folds.",
            "how": "Whole patients were held out.",
            "recall": {"patient": "I 2/3"},
            "scores": {
                "patient": {
                    "Accuracy": {"value": 0.5, "low": 0.4, "high": None, "majority_baseline": 0.2}
                }
            },
        },
        notes=[],
        limits=list(LIMITS),
        licence=list(LICENCE),
        versions=library_versions(),
        settings={"seed": 0},
    )


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("stored") / "model"
    save_model(folder, grader=fitted("svm"), card=card())
    return folder


@pytest.fixture(scope="module")
def stored(tmp_path_factory: pytest.TempPathFactory, without_search: None) -> Path:
    """Every grader of the registry by name, and what it answered before it was stored."""
    folder = tmp_path_factory.mktemp("every_grader")
    for name in GRADERS:
        grader = fitted(name)
        save_model(folder / name, grader=grader, card=card(name))
        np.save(folder / f"{name}.npy", grader.answers(SAMPLES))
    return folder


@pytest.fixture()
def copied(model: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(model, tmp_path / "model"))


EXECUTING = ("os.system", "os.exec", "os.posix_spawn", "subprocess.Popen", "pickle.find_class",
             "exec", "ctypes.dlopen", "shutil.rmtree")  # fmt: skip
_seen: list[str] | None = None


def _listen(event: str, arguments: object) -> None:
    if _seen is not None and event.startswith(EXECUTING):
        _seen.append(event)


sys.addaudithook(_listen)  # cannot be taken away again; it is idle unless a test records


@pytest.fixture()
def executed(model: Path) -> Iterator[list[str]]:
    """What Python's own audit saw being executed while the test ran."""
    global _seen
    load_model(model)  # brings in the libraries, whose modules are executed when first imported
    _seen = []
    yield _seen
    _seen = None


def seal(folder: Path) -> None:
    """Write hashes that fit, as somebody who means harm would."""
    lines = [
        f"{hashlib.sha256((folder / name).read_bytes()).hexdigest()}  {name}\n"
        for name in (CARD_FILE, TEXT_FILE, GRADER_FILE)
    ]
    (folder / SUMS_FILE).write_bytes("".join(lines).encode())


def rewrite_schema(folder: Path, change: Callable[[dict], None]) -> None:
    source = folder / GRADER_FILE
    with zipfile.ZipFile(io.BytesIO(source.read_bytes())) as old:
        members = {name: old.read(name) for name in old.namelist()}
    schema = json.loads(members["schema.json"])
    change(schema)
    members["schema.json"] = json.dumps(schema).encode()
    with zipfile.ZipFile(source, "w") as new:
        for name, content in members.items():
            new.writestr(name, content)


@pytest.mark.parametrize("name", list(GRADERS))
def test_every_grader_of_the_registry_can_be_stored_and_answers_the_same(name, stored):
    again = load_model(stored / name)
    assert again.card == card(name)
    assert again.warnings == ()
    np.testing.assert_array_equal(again.grader.answers(SAMPLES), np.load(stored / f"{name}.npy"))


@pytest.mark.parametrize("scaler", list(SCALERS))
def test_every_scaler_can_be_stored(scaler, tmp_path):
    grader = fitted("majority", scaler=scaler)
    save_model(tmp_path / "model", grader=grader, card=card())
    before = grader.grader.pipeline[:-1].transform(COHORT.features)
    after = load_model(tmp_path / "model").grader.grader.pipeline[:-1].transform(COHORT.features)
    np.testing.assert_array_equal(after, before)


def test_a_new_process_gives_identical_probabilities(stored, root):
    COHORT.features.to_csv(stored / "features.csv", index=False)
    program = """
import sys
from pathlib import Path
import numpy as np, pandas as pd
from classifiers.graders.cohort import Samples
from classifiers.graders.model_store import load_model
folder = Path(sys.argv[1])
features = pd.read_csv(folder / "features.csv")
patients = np.arange(len(features)).astype(str)
samples = Samples(features[["f0"]], features, np.ones(len(features), dtype=np.int64), patients)
for name in sys.argv[2:]:
    here = load_model(folder / name).grader.answers(samples)
    assert np.array_equal(here, np.load(folder / f"{name}.npy")), name
print("same")
"""
    run = subprocess.run(
        [sys.executable, "-W", "error", "-c", program, str(stored), *GRADERS],
        cwd=root, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert (run.stdout.strip(), run.returncode) == ("same", 0), run.stderr


def mutated(content: bytes, rng: np.random.Generator) -> bytes:
    """Flip a bit, cut off the end, put a byte in, take one out, or write zeros."""
    at = int(rng.integers(len(content)))
    kind = int(rng.integers(5))
    if kind == 0:
        flipped = bytes([content[at] ^ (1 << int(rng.integers(8)))])
        return content[:at] + flipped + content[at + 1 :]
    if kind == 1:
        return content[:at]
    if kind == 2:
        return content[:at] + bytes([int(rng.integers(256))]) + content[at:]
    if kind == 3:
        return content[:at] + content[at + 1 :]
    zeros = content[:at] + bytes(min(8, len(content) - at)) + content[at + 8 :]
    return zeros if zeros != content else content + b"\n"


def test_200_altered_models_are_refused_and_nothing_of_them_is_rebuilt(
    copied, executed, monkeypatch
):
    def never(*arguments: object, **options: object) -> None:
        pytest.fail("an altered file was handed to the library that rebuilds objects")

    monkeypatch.setattr("skops.io.loads", never)
    monkeypatch.setattr("classifiers.graders.model_card.ModelCard.from_json", never)
    monkeypatch.setattr("pickle.loads", never)
    files = [GRADER_FILE, CARD_FILE, TEXT_FILE, SUMS_FILE]
    for number in range(200):
        rng = np.random.default_rng([4, number])
        path = copied / files[number % len(files)]
        sound = path.read_bytes()
        altered = mutated(sound, rng)
        assert altered != sound
        path.write_bytes(altered)
        with pytest.raises(UserError, match="was altered") as refusal:
            load_model(copied)
        assert str(refusal.value).count(". ") == 0
        path.write_bytes(sound)
    assert executed == []
    monkeypatch.undo()
    load_model(copied)  # and the sound one is still accepted


def test_the_altered_file_is_named(copied):
    (copied / TEXT_FILE).write_text("Kappa 0.99")
    with pytest.raises(UserError, match=r"CARD\.md was altered"):
        load_model(copied)


class Bomb:
    """Makes a file when it is unpickled."""

    def __init__(self, target: Path) -> None:
        self.target = target

    def __reduce__(self) -> tuple[object, tuple[str]]:
        return os.system, (f"touch {self.target}",)


@pytest.mark.parametrize("sealed", [False, True])
def test_a_planted_pickle_never_runs(copied, executed, tmp_path, sealed):
    sign = tmp_path / "ran"
    (copied / GRADER_FILE).write_bytes(pickle.dumps(Bomb(sign)))
    if sealed:
        seal(copied)
    with pytest.raises(UserError, match="no file of a grader" if sealed else "was altered"):
        load_model(copied)
    assert not sign.exists()
    assert executed == []


def test_the_audit_would_have_seen_it(executed, tmp_path):
    pickle.loads(pickle.dumps(Bomb(tmp_path / "ran")))
    exec("pass")
    assert {"pickle.find_class", "os.system", "exec"} <= set(executed)
    assert (tmp_path / "ran").exists()


def test_a_pickle_beside_the_files_is_refused_too(copied, tmp_path):
    (copied / "grader.pkl").write_bytes(pickle.dumps(Bomb(tmp_path / "ran")))
    with pytest.raises(UserError, match=r'holds "grader\.pkl"'):
        load_model(copied)
    assert not (tmp_path / "ran").exists()


def test_a_pickle_inside_the_archive_is_never_unpickled(copied, executed, tmp_path):
    """An object array is a pickle inside an .npy file: numpy must refuse it."""
    sign = tmp_path / "ran"
    bomb = io.BytesIO()
    np.save(bomb, np.array([Bomb(sign)], dtype=object), allow_pickle=True)
    source = copied / GRADER_FILE
    with zipfile.ZipFile(io.BytesIO(source.read_bytes())) as old:
        members = {name: old.read(name) for name in old.namelist()}
    with zipfile.ZipFile(source, "w") as new:
        for name, content in members.items():
            new.writestr(name, bomb.getvalue() if name.endswith(".npy") else content)
    seal(copied)
    with pytest.raises(UserError, match="cannot be rebuilt"):
        load_model(copied)
    assert not sign.exists()
    assert "pickle.find_class" not in executed


@pytest.mark.parametrize(
    ("loader", "module", "name"),
    [
        ("FunctionNode", "posix", "system"),
        ("TypeNode", "subprocess", "Popen"),
        ("ObjectNode", "builtins", "eval"),
        ("ObjectNode", "common.grading.folds", "Split"),
        ("PartialNode", "functools", "partial"),
        ("MethodNode", "builtins", "str"),
        ("DictNode", "collections", "OrderedDict"),
        ("JsonNode", "os", "environ"),
    ],
)
def test_a_type_that_is_not_on_the_list_is_refused_unread(
    copied, executed, monkeypatch, loader, module, name
):
    def plant(schema: dict) -> None:
        schema["content"]["content"]["planted"] = {
            "__loader__": loader, "__module__": module, "__class__": name,
            "content": {}, "__id__": 1,
        }  # fmt: skip

    rewrite_schema(copied, plant)
    seal(copied)
    monkeypatch.setattr("skops.io.loads", lambda *_, **__: pytest.fail("it was rebuilt"))
    with pytest.raises(UserError, match=f'names the type "{module}.{name}"'):
        load_model(copied)
    assert executed == []


def test_older_versions_of_the_format_are_refused(copied):
    """skops rebuilds them with other code than the list was reviewed for."""
    assert json.loads(_schema(copied))["protocol"] == SKOPS_PROTOCOL
    rewrite_schema(copied, lambda schema: schema.update(protocol=0))
    seal(copied)
    with pytest.raises(UserError, match="version 0 of the skops format"):
        load_model(copied)


def _schema(folder: Path) -> bytes:
    with zipfile.ZipFile(folder / GRADER_FILE) as archive:
        return archive.read("schema.json")


def test_damage_with_hashes_that_fit_still_runs_nothing(copied, executed):
    """Without a signature damaged numbers can be read; code cannot."""
    sound = (copied / GRADER_FILE).read_bytes()
    for number in range(100):
        altered = mutated(sound, np.random.default_rng([5, number]))
        (copied / GRADER_FILE).write_bytes(altered)
        seal(copied)
        try:
            assert isinstance(load_model(copied).grader, NestedGrader)
        except UserError:
            continue
    assert executed == []


def test_another_format_version_is_refused_before_the_grader_is_looked_at(copied):
    content = json.loads((copied / CARD_FILE).read_text())
    content["format_version"] = FORMAT_VERSION + 1
    (copied / CARD_FILE).write_text(json.dumps(content))
    (copied / GRADER_FILE).write_bytes(b"from the future")
    seal(copied)
    with pytest.raises(UserError, match=f"format version {FORMAT_VERSION + 1}"):
        load_model(copied)


@pytest.mark.parametrize("gone", [GRADER_FILE, CARD_FILE, TEXT_FILE, SUMS_FILE])
def test_half_a_model_is_refused(copied, gone):
    (copied / gone).unlink()
    with pytest.raises(UserError, match=f"has no {gone}"):
        load_model(copied)


def test_what_is_no_model_is_refused(tmp_path):
    with pytest.raises(UserError, match="no folder of a model"):
        load_model(tmp_path / "nothing")
    with pytest.raises(UserError, match="no whole model"):
        load_model(tmp_path)


def test_files_that_systems_leave_behind_do_no_harm(copied):
    (copied / ".DS_Store").write_bytes(b"\0")
    (copied / "Thumbs.db").write_bytes(b"\0")
    load_model(copied)


def test_a_model_is_not_written_over_other_files(tmp_path):
    (tmp_path / "thesis.docx").write_text("years of work")
    with pytest.raises(UserError, match=r'holds "thesis\.docx"'):
        save_model(tmp_path, grader=fitted("majority"), card=card())


def test_a_model_replaces_an_earlier_one(copied):
    save_model(copied, grader=fitted("xgboost"), card=card("xgboost"))
    assert load_model(copied).card.grader == "xgboost"


def test_tables_that_do_not_fit_are_refused(model):
    made = card()
    source = Path("features.csv")
    columns = ["image_id", *FEATURE_NAMES]
    made.refuse_other_features(definition="standard", columns=columns, source=source)
    with pytest.raises(UserError, match="measured with the feature definition huo2022"):
        made.refuse_other_features(definition="huo2022", columns=columns, source=source)
    with pytest.raises(UserError, match='no column "f28"'):
        made.refuse_other_features(definition="standard", columns=columns[:-1], source=source)


def test_other_library_versions_are_said(tmp_path):
    made = replace(card(), versions={**library_versions(), "scikit-learn": "0.24.0"})
    save_model(tmp_path / "model", grader=fitted("majority"), card=made)
    (sentence,) = load_model(tmp_path / "model").warnings
    assert "scikit-learn 0.24.0" in sentence


def test_the_sums_are_those_of_sha256sum(model):
    for line in (model / SUMS_FILE).read_text().splitlines():
        digest, name = line.split("  ")
        assert hashlib.sha256((model / name).read_bytes()).hexdigest() == digest


def test_the_card_says_it_in_words(model):
    words = (model / TEXT_FILE).read_text()
    for part in ("does not diagnose", "36 photographs of 18 patients", "excludes commercial use",
                 "0.40 to –", "no patient_id", "0" * 64):  # fmt: skip
        assert part in words
