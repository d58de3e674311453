"""What reads the last features: grade, weak side, patients, parts of a face, measured features."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from common.errors import UserError
from htnet.network.configuration import SIDE_CLASSES, HTNetConfig

ZONES = ("brow", "eye", "mouth")
_HIDDEN, _WIDTH, _LOOKS = 128, 64, 4
_MISSING = -1e4  # of a logit: no attention


def grade_head(config: HTNetConfig, size: int) -> nn.Module:
    """Return the head that turns `(b, size)` into the logits of the grade."""
    return (CoralHead if config.head == "coral" else nn.Linear)(size, config.num_outputs)


def side_head(config: HTNetConfig, size: int) -> nn.Module | None:
    """Return the head of the weak side, or None where none is asked for."""
    if not config.side_head:
        return None
    return (MirrorSideHead if config.pooling == "mirror" else SideHead)(size)


def feature_reader(config: HTNetConfig) -> FeatureReader | None:
    """Return what reads the measured features, or None for a network of images alone."""
    if not config.features:
        return None
    return FeatureReader(len(config.features), 1 if config.head == "coral" else config.num_outputs)


class SideHead(nn.Linear):
    """Logits of `SIDE_CLASSES` from `(b, c)`."""

    def __init__(self, size: int) -> None:
        super().__init__(size, len(SIDE_CLASSES))


class MirrorSideHead(nn.Module):
    """The side from what differs between a face and its mirror image: a mirrored face swaps it."""

    def __init__(self, size: int) -> None:
        super().__init__()
        self.right = nn.Linear(size, 1, bias=False)
        self.none = nn.Linear(size, 1)

    def forward(self, difference: Tensor) -> Tensor:
        """Map `(b, c)` to `(b, 3)`: right, left, none."""
        right = self.right(difference)
        return torch.cat([right, -right, self.none(difference.abs())], dim=1)


class CoralHead(nn.Module):
    """One score and k - 1 thresholds (Cao, Mirjalili, Raschka 2020): logits never cross."""

    def __init__(self, dim: int, thresholds: int) -> None:
        super().__init__()
        self.score = nn.Linear(dim, 1, bias=False)
        self.thresholds = nn.Parameter(torch.linspace(2.0, -2.0, thresholds))

    def forward(self, x: Tensor) -> Tensor:
        """Map `(b, c)` to logits `(b, k - 1)` of being worse than class j."""
        return self.score(x) + self.thresholds


class RegionFusion(nn.Module):
    """The published region-fusion head, for any number of classes and parts.

    The answers of the parts, k logits each, are brought to one, joined to that of the whole face,
    and both to the result: relu and dropout of one half before each step but the first, as
    published for three classes and five parts.
    """

    def __init__(self, *, num_outputs: int, parts: int = 5, dropout: float = 0.5) -> None:
        super().__init__()
        self.join_parts = nn.Linear(parts * num_outputs, num_outputs)
        self.join_whole = nn.Linear(2 * num_outputs, num_outputs)
        self.dropout = nn.Dropout(dropout)

    def forward(self, whole: Tensor, parts: Tensor) -> Tensor:
        """Fuse `(b, k)` of the whole face and `(b, parts, k)` to `(b, k)`."""
        joined = self.dropout(torch.relu(self.join_parts(parts.flatten(1))))
        both = torch.cat([whole, joined], dim=1)
        return self.join_whole(self.dropout(torch.relu(both)))


@dataclass
class PatientFound:
    """What photographs say of p patients.

    `read`: `(p, READ)`, which the head of the grade reads; a mirrored patient has the same.
    `zones`: `(p, 2, 3)`: weakness of `ZONES` on the right and on the left, 0 none to 1 no movement.
    `side`: `(p, 3)` logits in the order of `SIDE_CLASSES`.
    """

    read: Tensor
    zones: Tensor
    side: Tensor


class PatientPooling(nn.Module):
    """A patient from all photographs of a visit together, of which any may be missing.

    Each photograph comes as two rows of `size` values, of the face and of its mirror image: what
    the first says of the right half of the face, the second says of the left. Every movement is
    compared with the same person at rest, and the photographs are pooled by attention, once for
    each half. What is read from both halves alike, the grade, is the same for a mirrored patient;
    the side changes.

    `direction` `(READ,)` is along which a pretrained network graded; 0 without one.
    """

    READ = 2 * _WIDTH * _LOOKS
    direction: Tensor

    def __init__(self, size: int) -> None:
        super().__init__()
        self.token = nn.Sequential(
            nn.Linear(4 * size, _HIDDEN), nn.GELU(), nn.Dropout(0.1), nn.Linear(_HIDDEN, _WIDTH)
        )
        self.attention = nn.Linear(_WIDTH, _LOOKS)
        self.zones = nn.Linear(_WIDTH * _LOOKS, len(ZONES))
        self.side = MirrorSideHead(_WIDTH * _LOOKS)
        self.register_buffer("direction", torch.zeros(self.READ))

    def forward(self, faces: Tensor, *, rest: Tensor, present: Tensor) -> PatientFound:
        """Pool photographs.

        `faces`: `(p, m, 2, size)`: of each photograph the face, then its mirror image. `rest`,
        `present`: `(p, m)`: whether a photograph shows the face at rest, and whether there is one.
        Without a face at rest nothing counts as moved.
        """
        resting = (rest & present)[..., None, None].to(faces.dtype)
        count = resting.sum(dim=1, keepdim=True)
        at_rest = (faces * resting).sum(dim=1, keepdim=True) / count.clamp_min(1)
        moved = (faces - at_rest) * (count > 0)
        both = torch.cat([faces, moved], dim=-1)
        right, left = (
            self._pooled(torch.cat([both[:, :, half], both[:, :, 1 - half]], dim=-1), present)
            for half in (0, 1)
        )
        apart = right - left
        return PatientFound(
            read=torch.cat([right + left, apart.abs()], dim=1),
            zones=torch.stack([self.zones(right), self.zones(left)], dim=1),
            side=self.side(apart),
        )

    def _pooled(self, halves: Tensor, present: Tensor) -> Tensor:
        """Return `(p, looks * width)` of `(p, m, 4 size)`."""
        values = self.token(halves)
        looks = self.attention(values).masked_fill(~present[..., None], _MISSING).softmax(dim=1)
        return torch.einsum("pml,pmv->plv", looks, values).flatten(1)


class FeatureReader(nn.Module):
    """What measured features add to the logits of the grade.

    A linear head on image and features side by side is the sum of one on the image and one on
    the features; this is the latter. Each feature comes in standardised by the training
    photographs. A missing value (NaN) is replaced by their median and a second input says that
    it was missing; that input begins without any say and gets one only if the value was also
    missing for some training photograph. All weights begin at 0: at first the image speaks alone.
    CORAL's thresholds share one output, its score.
    """

    median: Tensor
    mean: Tensor
    deviation: Tensor

    def __init__(self, features: int, outputs: int) -> None:
        super().__init__()
        self.to_logits = nn.Linear(2 * features, outputs, bias=False)
        nn.init.zeros_(self.to_logits.weight)
        self.register_buffer("median", torch.zeros(features))
        self.register_buffer("mean", torch.zeros(features))
        self.register_buffer("deviation", torch.ones(features))

    def learn_scale(self, values: Tensor) -> None:
        """Take median, mean and deviation from the training photographs `(n, f)`.

        A feature that is missing or the same in all of them counts as 0.
        """
        known = values.isfinite()
        count = known.sum(dim=0)
        filled = torch.where(known, values, torch.zeros_like(values))
        mean = filled.sum(dim=0) / count.clamp_min(1)
        square = torch.where(known, (values - mean) ** 2, torch.zeros_like(values)).sum(dim=0)
        deviation = (square / count.clamp_min(1)).sqrt()
        median = torch.where(known, values, torch.full_like(values, torch.nan)).nanmedian(dim=0)
        self.mean.copy_(mean)
        self.median.copy_(torch.where(count > 0, median.values, mean))
        self.deviation.copy_(torch.where(deviation > 0, deviation, torch.ones_like(deviation)))

    def forward(self, values: Tensor) -> Tensor:
        """Map raw features `(b, f)`, NaN where missing, to logits `(b, outputs)`."""
        return self.to_logits(self.standard(values))

    def standard(self, values: Tensor) -> Tensor:
        """Return `(b, 2 f)`: the values standardised, then which of them were missing."""
        known = values.isfinite()
        standard = (torch.where(known, values, self.median) - self.mean) / self.deviation
        return torch.cat([standard, (~known).to(standard.dtype)], dim=1)


def with_features(logits: Tensor, features: Tensor | None, reader: FeatureReader | None) -> Tensor:
    """Add to the logits what the measured features say, if the network reads any."""
    if reader is None:
        return logits
    needed = len(reader.median)
    if features is None or features.shape != (len(logits), needed):
        given = "none" if features is None else f"the shape {tuple(features.shape)}"
        raise UserError(
            f"This network reads {needed} measured features beside each face, but got {given}: "
            "give the table of features that belongs to the photographs (--features)."
        )
    return logits + reader(features)
