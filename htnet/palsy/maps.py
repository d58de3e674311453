"""What a network looked at: ROI maps, asymmetry maps, attention roll-out, integrated gradients.

All maps have the size of the aligned face and its places: patient-right is image-left.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F  # noqa: N812
from captum.attr import IntegratedGradients  # type: ignore[import-untyped]
from numpy.typing import NDArray
from torch import Tensor, nn

from common.errors import UserError
from htnet.network.configuration import ROI_REGIONS, SIDE_CLASSES
from htnet.network.htnet import GradingNetwork, HTNet, at_image_size, to_input
from htnet.network.levels import BlockAttention, Layer, Level
from htnet.network.losses import overlap, probabilities
from htnet.network.mirror_attention import DiagonalMicroAttention, MirrorComparison
from htnet.palsy.faces import Faces

_MAPS = ("asymmetry", "gradients", "rollout")
_STEPS = 8  # Gauss-Legendre, from the symmetric face to the face; 64 change a map by 1 to 2 %


@dataclass(frozen=True)
class Explanation:
    """Maps of one face.

    `asymmetry`: `(s, s)`, symmetric: 0 where the two sides are alike, towards 1 where they differ;
    None without micro-attention.
    `rollout`: `(s, s)`, sums to 1: how much each place reached the heads through the attention.
    `gradients`: `(s, s)`, >= 0: integrated gradients of the expected class, summed over colours and
    smoothed over a patch, from the symmetric face (mean of face and mirror image) to the face.
    """

    pixels: NDArray[np.uint8]  # `(s, s, 3)` RGB
    probabilities: NDArray[np.float64]  # `(k,)` of the classes
    side: NDArray[np.float64] | None  # `(3,)` by `SIDE_CLASSES`; None without a side head
    roi: NDArray[np.float64] | None  # `(regions, s, s)` 0..1; None without the ROI module
    asymmetry: NDArray[np.float64] | None
    rollout: NDArray[np.float64]
    gradients: NDArray[np.float64]

    def on_weak_side(self, heat: NDArray[np.float64]) -> NDArray[np.float64]:
        """Keep of a map what lies on the side that the network takes for the weak one.

        Both sides of a face differ from each other equally, so a comparison alone cannot say
        which is weak; the side head can. Each half is weighted by the probability of its side;
        without a side head the map stays as it is.
        """
        if self.side is None:
            return heat
        half = heat.shape[1] // 2
        weight = np.empty(heat.shape[1])
        weight[:half] = self.side[SIDE_CLASSES.index("right")]  # image-left
        weight[half:] = self.side[SIDE_CLASSES.index("left")]
        return heat * weight


def explain_faces(network: GradingNetwork, faces: Faces) -> list[Explanation]:
    """Explain each face; the faces input only.

    UserError when the network reads regions, whose mosaic has no place in the face.
    """
    if not isinstance(network, HTNet):
        raise UserError("Explanations need a network with the face input: train one with it.")
    network = network.eval()
    return [_explain(network, *faces.at(torch.arange(at, at + 1))) for at in range(len(faces))]


def asymmetry_maps(network: HTNet, image: Tensor, features: Tensor | None = None) -> Tensor | None:
    """Return the mean of all asymmetry maps at image size, `(b, s, s)`; None where none is made.

    Each micro-attention has learned at which value its map rests where both sides are alike. Here
    that is 0, and 1 stays 1, so that maps of several networks and of a symmetric face compare.
    """
    found = network.details(image, features).asymmetry_maps
    if not found:
        return None
    size = network.config.image_size
    rests = [m.lowest() for m in network.modules() if isinstance(m, MirrorComparison)]
    maps = [(one - rest) / (1 - rest) for one, rest in zip(found, rests, strict=True)]
    return torch.stack([at_image_size(one[:, None], size)[:, 0] for one in maps]).mean(dim=0)


def attention_rollout(network: HTNet, image: Tensor, features: Tensor | None = None) -> Tensor:
    """Follow the attention from the heads back to the patches: `(b, s, s)`, each summing to 1.

    At each layer half of what a token holds is its own and half comes through its attention
    weights, averaged over heads (Abnar and Zuidema 2020); an aggregated token passes equal parts
    to the four that it was made of. Heads that read the mirror image as well (mirror pooling)
    are followed through both, half each, and a place of the mirror image is its mirror place.
    """
    seen: dict[nn.Module, Tensor] = {}
    hooks = [
        module.register_forward_pre_hook(lambda module, given: seen.update({module: given[0]}))
        for module in network.modules()
        if isinstance(module, BlockAttention)
    ] + [
        layer.attention_norm.register_forward_hook(
            lambda module, given, out, of=layer.attention: seen.update({of: out})
        )
        for layer in network.modules()
        if isinstance(layer, Layer) and isinstance(layer.attention, DiagonalMicroAttention)
    ]
    try:
        network.details(image, features)
    finally:
        for hook in hooks:
            hook.remove()
    side = network.config.tokens
    both = network.config.compares_halves
    reach = torch.full((len(image) * (2 if both else 1), side, side), 1.0 / side**2)
    for level in reversed([module for module in network.modules() if isinstance(module, Level)]):
        if level.aggregate is not None:
            reach = reach.repeat_interleave(2, 1).repeat_interleave(2, 2) / 4
        for layer in reversed([module for module in level.modules() if isinstance(module, Layer)]):
            attention = layer.attention
            if isinstance(attention, BlockAttention | DiagonalMicroAttention):
                back = attention.passed_back(reach, seen[attention][: len(reach)])
                reach = (reach + back) / 2
    if both:
        face, mirrored = reach.chunk(2)
        reach = (face + mirrored.flip(-1)) / 2
    patch = network.config.patch_size
    return reach.repeat_interleave(patch, 1).repeat_interleave(patch, 2) / patch**2


def integrated_gradients(network: HTNet, image: Tensor, features: Tensor | None = None) -> Tensor:
    """Attribute the expected class to pixels, `(b, s, s)` >= 0 (Sundararajan et al. 2017).

    The way begins at the face's symmetric version, so that what is explained is its asymmetry.
    Measured features stay what they are on the whole way.
    """
    grades = torch.arange(1, network.config.num_classes + 1, dtype=torch.float32)

    def expected(given: Tensor, measured: Tensor | None) -> Tensor:
        found = network.details(given, measured)
        return probabilities(found.logits, head=network.config.head) @ grades

    symmetric = (image + image.flip(-1)) / 2
    method = IntegratedGradients(expected)
    found = method.attribute(
        image, baselines=symmetric, additional_forward_args=(features,), n_steps=_STEPS,
        internal_batch_size=8,
    )  # fmt: skip
    patch = network.config.patch_size | 1
    magnitude = found.detach().abs().sum(dim=1, keepdim=True)
    return F.avg_pool2d(magnitude, patch, stride=1, padding=patch // 2)[:, 0].float()


def _explain(network: HTNet, pixels: Tensor, features: Tensor | None) -> Explanation:
    image = to_input(pixels)
    with torch.no_grad():
        found = network.details(image, features)
        asymmetry = asymmetry_maps(network, image, features)
        rollout = attention_rollout(network, image, features)
    size = network.config.image_size
    roi = None if found.roi_maps is None else at_image_size(found.roi_maps, size)[0]
    side = None if found.side_logits is None else found.side_logits.softmax(dim=1)[0]
    return Explanation(
        pixels=np.ascontiguousarray(pixels[0].permute(1, 2, 0).numpy()),
        probabilities=_array(probabilities(found.logits, head=network.config.head)[0]),
        side=None if side is None else _array(side),
        roi=None if roi is None else _array(roi),
        asymmetry=None if asymmetry is None else _array(asymmetry[0]),
        rollout=_array(rollout[0]),
        gradients=_array(integrated_gradients(network, image, features)[0]),
    )


def where_it_lies(found: Explanation, faces: Faces, at: int, *, side: str) -> dict[str, float]:
    """Measure where maps lie: shares of heat on the palsy side's regions, beside their area.

    `*_regions` is the share of a map within the face's regions, `*_weak_regions` that within the
    regions of the palsy side after weighting each half by the side head's probability;
    `area_*` the share that an even map would have; `overlap_*` the soft overlap (Dice, 0 to 1) of
    each ROI map with its region.
    """
    places = region_places(faces.regions[at], size=faces.size)
    everywhere = np.any(list(places.values()), axis=0)
    row: dict[str, float] = {"area_regions": float(everywhere.mean())}
    weak = None
    if side in ("right", "left"):
        weak = np.any([one for key, one in places.items() if side in key], axis=0)
        row["area_weak_regions"] = float(weak.mean())
    for name in _MAPS:
        heat = getattr(found, name)
        if heat is None:
            continue
        above = heat - heat.min()
        row[f"{name}_regions"] = share_inside(above, everywhere)
        if weak is not None:
            row[f"{name}_weak_regions"] = share_inside(found.on_weak_side(above), weak)
    if found.roi is not None and len(found.roi) == len(ROI_REGIONS):
        maps = torch.from_numpy(found.roi)[None]
        dice = overlap(maps, faces.regions[at][None].to(maps) / 255)[0].tolist()
        row |= {f"overlap_{name}": one for name, one in zip(ROI_REGIONS, dice, strict=True)}
    return row


def share_inside(heat: NDArray[np.float64], inside: NDArray[np.bool_]) -> float:
    """Return the share of a map that lies inside, 0 to 1; NaN of a map without heat."""
    total = float(heat.sum())
    return float(heat[inside].sum()) / total if total > 0 else float("nan")


def region_names(count: int) -> tuple[str, ...]:
    """Return names of the ROI module's maps: `ROI_REGIONS`, or `map_1`, ... of another number.

    Maps of another number than five are never taught a region: each is what training made of it.
    """
    if count == len(ROI_REGIONS):
        return ROI_REGIONS
    return tuple(f"map_{at}" for at in range(1, count + 1))


def region_places(regions: Tensor, *, size: int) -> dict[str, NDArray[np.bool_]]:
    """Return the pixels of each of `ROI_REGIONS` and of both halves of the face, `(s, s)` bool.

    Forehead, nose and mouth are halved, `mouth_right` for instance; sides are the patient's.
    """
    maps = F.interpolate(regions[None].float() / 255, size=(size, size), mode="bilinear")[0]
    right = np.zeros((size, size), dtype=bool)
    right[:, : size // 2] = True
    places = {}
    for name, one in zip(ROI_REGIONS, maps.numpy() > 0.5, strict=True):
        if name.endswith("_eye"):
            places[name] = one
        else:
            places[f"{name}_right"], places[f"{name}_left"] = one & right, one & ~right
    return places


def _array(values: Tensor) -> NDArray[np.float64]:
    return values.detach().double().numpy()
