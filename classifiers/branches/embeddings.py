"""`embeddings.npz`: what the network of each fold read of every photograph.

Written by `htnet train`, read by `classifiers.branches.early_fusion`. The numbers of two networks
have nothing in common, so all photographs of a fold are taken from that fold's own network.
"""

from __future__ import annotations

import zipfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from common.errors import UserError

NEEDED = ("image_id", "fold", "repeat", "embedding")
TESTED = "test"


@dataclass(frozen=True)
class Embeddings:
    """Embeddings of a cohort.

    Attributes
    ----------
    image_ids
        `(n,)`.
    repeats, folds
        `(F,)` of which network.
    values
        `(F, n, d)`.
    parts
        `(F, n)` what each photograph was to the network: `train`, `validation` or `test`; None
        when the file does not say.
    source
        The file, for error sentences.
    """

    image_ids: NDArray[np.str_]
    repeats: NDArray[np.int64]
    folds: NDArray[np.int64]
    values: NDArray[np.float64]
    parts: NDArray[np.str_] | None
    source: Path

    def of(
        self, image_ids: pd.Series, *, repeat: int, fold: int, tested: pd.Series
    ) -> NDArray[np.float64]:
        """Return what one fold's network read of some photographs, `(m, d)`.

        Parameters
        ----------
        image_ids
            Which photographs.
        tested
            Those that the fold tests; the network must not have learned from them.

        Raises
        ------
        UserError
            When the network or a photograph is missing, or a tested photograph was learned from.
        """
        network = np.flatnonzero((self.repeats == repeat) & (self.folds == fold))
        if not len(network):
            raise UserError(
                f"{self.source} has no network of fold {fold} of repeat {repeat}: train HTNet on "
                "the same folds.csv (--fold-table)."
            )
        index = pd.Index(self.image_ids)
        at = index.get_indexer(pd.Index(image_ids))
        if (at < 0).any():
            raise UserError(
                f'{self.source} has no embedding of "{image_ids.iloc[int(np.argmax(at < 0))]}": '
                "train HTNet on the same manifest."
            )
        if self.parts is not None:
            of_tested = index.get_indexer(pd.Index(tested))
            learned = self.parts[network[0], of_tested] != TESTED
            if learned.any():
                raise UserError(
                    f"{self.source}: the network of fold {fold} of repeat {repeat} learned from "
                    f'"{tested.iloc[int(np.argmax(learned))]}", which the fold tests: train HTNet '
                    "on the same folds.csv (--fold-table)."
                )
        found: NDArray[np.float64] = self.values[network[0], at]
        return found


def read_embeddings(path: Path) -> Embeddings:
    """Read `embeddings.npz`.

    Raises
    ------
    UserError
        When the file is missing, is none, or its arrays do not fit together.
    """
    try:
        with np.load(path, allow_pickle=False) as file:
            arrays = {name: file[name] for name in file.files}
    except (OSError, ValueError, zipfile.BadZipFile) as error:
        raise UserError(
            f"{path} cannot be read as embeddings ({error}): give the embeddings.npz that htnet "
            "train wrote."
        ) from error
    for name in NEEDED:
        if name not in arrays:
            raise UserError(f'{path} has no array "{name}": give the file that htnet train wrote.')
    values = np.asarray(arrays["embedding"], dtype=np.float64)
    image_ids, folds = arrays["image_id"].astype(np.str_), arrays["fold"].astype(np.int64)
    if values.ndim != 3 or values.shape[:2] != (len(folds), len(image_ids)):
        raise UserError(
            f"{path} holds embeddings of shape {values.shape} for {len(folds)} networks and "
            f"{len(image_ids)} photographs: give the file that htnet train wrote."
        )
    parts = arrays["part"].astype(np.str_) if "part" in arrays else None
    return Embeddings(image_ids, arrays["repeat"].astype(np.int64), folds, values, parts, path)
