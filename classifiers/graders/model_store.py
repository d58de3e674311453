"""A fitted grader on disk: a folder of plain files, none of which can run anything.

MODEL/
    grader.skops    arrays and plain values of the grader; trees of XGBoost in its own format
    card.json       what it is, for programs (`classifiers.graders.model_card`)
    CARD.md         the same for people
    SHA256SUMS      hashes of the three; `sha256sum -c SHA256SUMS` checks them too

There is no pickle. Before anything is rebuilt, the hashes must agree byte by byte, the folder must
hold nothing else, and every type that the file names must be on the list below. The hashes find
damage and edits; they are no signature: whoever can write the folder can write new hashes. What
protects then is the list of types, which holds nothing but estimators, arrays and plain values.
"""

from __future__ import annotations

import io
import json
import warnings
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from classifiers.graders.model_card import ModelCard
from classifiers.graders.nested import NestedGrader
from classifiers.graders.recalibration import LocalClinic
from common.errors import UserError
from common.files import atomic_write, sha256_of

GRADER_FILE, CARD_FILE, TEXT_FILE, SUMS_FILE = "grader.skops", "card.json", "CARD.md", "SHA256SUMS"
_FILES = (CARD_FILE, TEXT_FILE, GRADER_FILE)
_LEFT_BY_SYSTEMS = ("Thumbs.db", "desktop.ini")  # and whatever begins with a dot: never read
SKOPS_PROTOCOL = 2

TRUSTED: dict[str, frozenset[str]] = {
    "JsonNode": frozenset({"builtins.str"}),
    "ListNode": frozenset({"builtins.list"}),
    "TupleNode": frozenset({"builtins.tuple"}),
    "DictNode": frozenset({"builtins.dict"}),
    "TypeNode": frozenset({"builtins.str", "builtins.int"}),
    "NdArrayNode": frozenset({"numpy.ndarray", "numpy.float64", "numpy.float32", "numpy.int64"}),
    "DTypeNode": frozenset({"numpy.dtype"}),
    "RandomStateNode": frozenset({"numpy.random.mtrand.RandomState"}),
    "TreeNode": frozenset({"sklearn.tree._tree.Tree"}),
    "ObjectNode": frozenset(
        {
            "classifiers.graders.estimators.CalibratedSVC",
            "classifiers.graders.estimators.CommonestClass",
            "classifiers.graders.estimators.LogisticGrader",
            "classifiers.graders.estimators.MLPGrader",
            "classifiers.graders.estimators.XGBoostGrader",
            "classifiers.graders.nested.Candidate",
            "classifiers.graders.nested.NestedGrader",
            "classifiers.graders.ordinal.FrankHall",
            "classifiers.graders.ordinal.OrdinalLogistic",
            "classifiers.graders.patients.PatientColumns",
            "classifiers.graders.patients.PhotographColumns",
            "classifiers.graders.registry.FittedGrader",
            "classifiers.graders.regressors.GaussianProcess",
            "classifiers.graders.regressors.PatientAverage",
            "classifiers.graders.regressors.XGBoostRegressor",
            "classifiers.graders.scaling.BoxCoxScaler",
            "classifiers.graders.scaling.ConstantToZero",
            "classifiers.graders.scaling.RankScaler",
            "classifiers.graders.scaling.YeoJohnsonScaler",
            "classifiers.graders.severity.SignedSeverity",
            "common.grading.calibration.GradeSets",
            "common.grading.calibration.ScoreIntervals",
            "sklearn.compose._target.TransformedTargetRegressor",
            "sklearn.dummy.DummyClassifier",
            "sklearn.ensemble._forest.RandomForestClassifier",
            "sklearn.ensemble._forest.RandomForestRegressor",
            "sklearn.gaussian_process.kernels.ConstantKernel",
            "sklearn.gaussian_process.kernels.Product",
            "sklearn.gaussian_process.kernels.RBF",
            "sklearn.gaussian_process.kernels.Sum",
            "sklearn.gaussian_process.kernels.WhiteKernel",
            "sklearn.impute._base.SimpleImputer",
            "sklearn.linear_model._logistic.LogisticRegression",
            "sklearn.linear_model._ridge.Ridge",
            "sklearn.neural_network._multilayer_perceptron.MLPClassifier",
            "sklearn.neural_network._multilayer_perceptron.MLPRegressor",
            "sklearn.pipeline.Pipeline",
            "sklearn.preprocessing._data.MinMaxScaler",
            "sklearn.preprocessing._data.PowerTransformer",
            "sklearn.preprocessing._data.StandardScaler",
            "sklearn.preprocessing._label.LabelBinarizer",
            "sklearn.svm._classes.SVC",
            "sklearn.svm._classes.SVR",
            "sklearn.tree._classes.DecisionTreeClassifier",
            "sklearn.tree._classes.DecisionTreeRegressor",
        }
    ),
}
"""The only types that a model file may name, by skops' kind of node. Reviewed one by one: each is
rebuilt by setting attributes from arrays and plain values; none calls anything it is given.

Add a type when a new grader needs it, after reading its `__setstate__`. A test fits every grader of
the registry and says which type is missing.
"""


@dataclass(frozen=True)
class StoredModel:
    """A grader read from disk, which answers as on the day it was stored, and its card.

    `warnings` name libraries whose version differs from that of the day. `local` is what
    `recalibrate` learned: its thresholds are the grader's already, its zero is for the rows that it
    is given.
    """

    grader: NestedGrader
    card: ModelCard
    warnings: tuple[str, ...]
    local: LocalClinic | None = None


def save_model(folder: Path, *, grader: NestedGrader, card: ModelCard) -> None:
    """Write a model folder; files of an earlier model in it are replaced.

    Refused (`UserError`) when the folder holds something else or cannot be written, or the grader
    holds a type that is not on the list.
    """
    import skops.io

    content = skops.io.dumps(grader, compression=zipfile.ZIP_DEFLATED, compresslevel=6)
    _refuse_unknown_types(content, source=folder / GRADER_FILE)
    _write(folder, content, card=card)


def save_recalibrated(folder: Path, *, model: Path, card: ModelCard) -> None:
    """Write a model folder with the grader of another, byte for byte, and a card of its own."""
    _write(folder, (model / GRADER_FILE).read_bytes(), card=card)


def _write(folder: Path, content: bytes, *, card: ModelCard) -> None:
    if folder.exists() and (strangers := _strangers(folder)):
        raise UserError(
            f'{folder} holds "{strangers[0]}", which is no part of a model: give a new folder.'
        )
    files = {
        GRADER_FILE: content,
        CARD_FILE: card.json_text().encode("utf-8"),
        TEXT_FILE: card.markdown().encode("utf-8"),
    }
    # Without its sums a folder is refused, so a half-written one can never be taken for a model.
    (folder / SUMS_FILE).unlink(missing_ok=True)
    for name, written in files.items():
        with atomic_write(folder / name) as temporary:
            temporary.write_bytes(written)
    with atomic_write(folder / SUMS_FILE) as temporary:
        temporary.write_bytes(_sums(folder).encode("ascii"))


def model_folder(path: Path) -> Path:
    """Return the model's own folder, also for the folder that `fit` wrote it into."""
    inside = path / "model"
    return inside if not (path / SUMS_FILE).is_file() and inside.is_dir() else path


def load_model(folder: Path) -> StoredModel:
    """Read a model folder, checking everything before anything is rebuilt.

    Refused (`UserError`) when the folder is no model, a file was altered, the format is another
    one, or the file names a type that is not on the list.
    """
    _refuse_altered(folder)
    card = ModelCard.from_json((folder / CARD_FILE).read_bytes(), source=folder / CARD_FILE)
    content = (folder / GRADER_FILE).read_bytes()
    _refuse_unknown_types(content, source=folder / GRADER_FILE)
    grader = _rebuilt(content, source=folder / GRADER_FILE)
    local = card.local_clinic()
    if local is not None and local.thresholds is not None:
        grader = replace(grader, moved=local.thresholds, ranges=local.thresholds.sets)
    return StoredModel(grader, card, tuple(card.version_warnings()), local)


def _refuse_altered(folder: Path) -> None:
    """Compare the folder, byte by byte, with the hashes it was stored with."""
    if not folder.is_dir():
        raise UserError(f"{folder} is no folder of a model: give the folder that fit made.")
    for name in (*_FILES, SUMS_FILE):
        if not (folder / name).is_file():
            raise UserError(
                f"{folder} has no {name}, so it is no whole model: copy the folder again."
            )
    strangers = _strangers(folder)
    if strangers:
        raise UserError(
            f'{folder} holds "{strangers[0]}", which does not belong to the model: remove it, or '
            "copy the folder again from its source."
        )
    expected, stored = _sums(folder), (folder / SUMS_FILE).read_bytes()
    if stored == expected.encode("ascii"):
        return
    lines = stored.splitlines()
    altered = next(
        (
            name
            for name, line in zip(_FILES, expected.splitlines(), strict=True)
            if line.encode("ascii") not in lines
        ),
        SUMS_FILE,
    )
    raise UserError(
        f"{folder / altered} was altered after the model was stored (its SHA-256 differs): copy "
        "the model again from its source, or fit it anew."
    )


def _strangers(folder: Path) -> list[str]:
    """Return what lies in the folder and is no part of a model."""
    if not folder.is_dir():
        raise UserError(f"{folder} is a file: give a folder for the model.")
    known = {*_FILES, SUMS_FILE, *_LEFT_BY_SYSTEMS}
    names = sorted(entry.name for entry in folder.iterdir())
    return [name for name in names if name not in known and not name.startswith(".")]


def _sums(folder: Path) -> str:
    """Return the hashes as `sha256sum` writes them, one file on a line."""
    return "".join(f"{sha256_of(folder / name)}  {name}\n" for name in _FILES)


def _refuse_unknown_types(content: bytes, *, source: Path) -> None:
    """Read the file's list of types as plain JSON and refuse any that is not on ours."""
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            schema = json.loads(archive.read("schema.json"))
        protocol = schema["protocol"]
        named = set(_named_types(schema))
    except Exception as error:  # whatever a hostile archive provokes, it is no model
        raise UserError(
            f"{source} is no file of a grader ({type(error).__name__}): fit the model anew."
        ) from error
    if protocol != SKOPS_PROTOCOL:  # older ones are rebuilt by other code, which was not reviewed
        raise UserError(
            f"{source} is written in version {protocol} of the skops format, not {SKOPS_PROTOCOL}: "
            "fit the model anew."
        )
    for loader, type_name in sorted(named):
        if type_name not in TRUSTED.get(loader, frozenset()):
            raise UserError(
                f'{source} names the type "{type_name}" ({loader}), which is not on the list of '
                "types that a grader may hold: do not use this file."
            )


def _named_types(schema: Any) -> Iterator[tuple[str, str]]:
    """Yield kind of node and full name for everything in the schema that names a type."""
    waiting = [schema]
    while waiting:
        node = waiting.pop()
        if isinstance(node, dict):
            if "__loader__" in node:
                yield str(node["__loader__"]), f"{node.get('__module__')}.{node.get('__class__')}"
            waiting.extend(node.values())
        elif isinstance(node, list):
            waiting.extend(node)


def _rebuilt(content: bytes, *, source: Path) -> NestedGrader:
    import skops.io
    from sklearn.exceptions import InconsistentVersionWarning

    names = sorted(set().union(*TRUSTED.values()))
    try:
        with warnings.catch_warnings():  # the card says it in one sentence
            warnings.simplefilter("ignore", InconsistentVersionWarning)
            grader = skops.io.loads(content, trusted=names)
    except Exception as error:
        raise UserError(
            f"{source} cannot be rebuilt with these library versions ({type(error).__name__}: "
            f"{str(error).splitlines()[0] if str(error) else ''}): use the versions of its card, "
            "or fit it anew."
        ) from error
    if not isinstance(grader, NestedGrader):
        raise UserError(f"{source} holds no grader: fit the model anew.")
    return grader
