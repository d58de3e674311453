"""A patient from all photographs of a visit together, of which any may be missing.

Each photograph comes as two rows of values, of the face and of its mirror image: what the first
says of the right half of the face, the second says of the left. Every movement is compared with
the same person at rest, and the photographs are pooled by attention, once for each half. What is
read from both halves alike, the grade, is the same for a mirrored patient; the side changes.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from htnet.network.heads import MirrorSideHead

ZONES = ("brow", "eye", "mouth")
_HIDDEN, _WIDTH, _LOOKS = 128, 64, 4
_MISSING = -1e4  # of a logit: no attention


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
    """Attention over the photographs of a patient, whose faces are summed up in `size` values.

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
