"""Micro-attention and ROI module: meaning, identities, mirror tests, and the released form."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from htnet.network.facial_regions import (
    ChannelROIModule,
    FacialROIModule,
    ReleasedROIModule,
    anatomical_prior,
)
from htnet.network.htnet import HTNet
from htnet.network.losses import overlap, region_loss
from htnet.network.mirror_attention import (
    DiagonalMicroAttention,
    InBlocks,
    MirrorComparison,
    ReleasedMicroAttention,
    cross_mask,
    neighbourhood_mask,
)


def symmetric(x: Tensor) -> Tensor:
    return (x + x.flip(2)) / 2


def comparison(dim: int = 8) -> MirrorComparison:
    """With weights far from their start: the properties must hold for any."""
    torch.manual_seed(3)
    module = MirrorComparison(dim=dim)
    for parameter in module.parameters():
        nn.init.normal_(parameter)
    return module


def compared(x: Tensor) -> Tensor:
    """The map of features that hold nothing of a patch's inside: mirrored by flipping alone."""
    return comparison()(x, x.flip(2))


def test_a_symmetric_face_has_a_symmetric_map_at_rest() -> None:
    found = compared(symmetric(torch.randn(2, 6, 8, 8)))
    torch.testing.assert_close(found, comparison().lowest().expand(2, 6, 8))


def test_the_map_of_any_face_is_symmetric() -> None:
    found = comparison()(torch.randn(2, 6, 7, 8), torch.randn(2, 6, 7, 8))
    torch.testing.assert_close(found, found.flip(2))


@pytest.mark.parametrize("seed", range(5))
def test_damage_raises_the_map_there_and_at_the_mirror_place_only(seed: int) -> None:
    torch.manual_seed(seed)
    face = symmetric(torch.randn(1, 6, 8, 8))
    damaged = face.clone()
    damaged[0, 2, 6] += torch.randn(8)  # image-right: the patient's left
    change = (compared(damaged) - compared(face))[0]
    assert change[2, 6] > 0
    torch.testing.assert_close(change[2, 6], change[2, 1])
    change[2, [1, 6]] = 0
    assert change.abs().max() == 0


def test_damage_on_the_midline_moves_nothing() -> None:
    face = symmetric(torch.randn(1, 5, 7, 8))
    damaged = face.clone()
    damaged[0, :, 3] += 5.0
    assert torch.equal(compared(damaged), compared(face))


def test_the_comparison_is_a_convolution_of_face_and_mirror_image() -> None:
    module, x = comparison(), torch.randn(1, 4, 6, 8)
    kernel = torch.cat([module.compare.weight, -module.compare.weight], dim=1)[:, :, None, None]
    pair = torch.cat([x, x.flip(2)], dim=-1).permute(0, 3, 1, 2)
    scores = nn.functional.conv2d(pair, kernel).abs()
    weights = nn.functional.softplus(module.readout)[None, :, None, None]
    expected = torch.sigmoid((scores * weights).sum(1) + module.rest)
    torch.testing.assert_close(module(x, x.flip(2)), expected, atol=1e-5, rtol=1e-5)


def test_neighbourhood_attention_is_masked_attention() -> None:
    layer = DiagonalMicroAttention(dim=8, heads=2, grid=5)
    q, k, v = torch.randn(3, 2, 5, 5, 8)
    near = layer._near(q, k, v)
    layer.mask = neighbourhood_mask(5)
    torch.testing.assert_close(near, layer._masked(q, k, v), atol=1e-5, rtol=1e-5)


def test_masks_by_hand() -> None:
    near, cross = neighbourhood_mask(3), cross_mask(3)
    assert near.sum(1).tolist() == [4, 6, 4, 6, 9, 6, 4, 6, 4]
    assert cross[4].reshape(3, 3).int().tolist() == [[1, 0, 1], [0, 1, 0], [1, 0, 1]]
    assert cross[0].reshape(3, 3).int().tolist() == [[1, 0, 0], [0, 1, 0], [0, 0, 1]]


@pytest.mark.parametrize("diagonal", ["neighbourhood", "cross"])
def test_a_mirrored_map_gives_the_mirrored_output(diagonal: str) -> None:
    layer = DiagonalMicroAttention(dim=8, heads=2, grid=6, diagonal=diagonal).eval()
    x = torch.randn(2, 6, 6, 8)
    torch.testing.assert_close(layer(x.flip(2)), layer(x).flip(2), atol=1e-5, rtol=1e-5)


def test_alpha_weighs_the_map_and_is_learned_on_request() -> None:
    layer = DiagonalMicroAttention(dim=8, heads=2, grid=4)
    assert float(layer.asymmetry_weight) == 0.5
    assert not any(name == "asymmetry_weight" for name, _ in layer.named_parameters())
    learned = DiagonalMicroAttention(dim=8, heads=2, grid=4, learn_asymmetry_weight=True)
    learned(torch.randn(2, 4, 4, 8)).sum().backward()
    assert learned.asymmetry_weight.grad is not None
    none = DiagonalMicroAttention(dim=8, heads=2, grid=4, asymmetry_weight=0.0)
    none.load_state_dict({**layer.state_dict(), "asymmetry_weight": torch.tensor(0.0)})
    x = torch.randn(2, 4, 4, 8)  # a face and its mirror image
    out, asymmetry = layer.with_map(x)
    plain = none.to_out[0](none._near(*none.to_qkv(x).chunk(3, dim=-1)))
    weighted = layer.to_out[0](
        layer._near(*layer.to_qkv(x).chunk(3, dim=-1)) * (1 + 0.5 * asymmetry)[..., None]
    )
    torch.testing.assert_close(none(x), plain)
    torch.testing.assert_close(out, weighted)


def test_the_network_compares_across_the_whole_face_and_not_within_blocks() -> None:
    network = HTNet(
        image_size=32, patch_size=4, num_classes=2, dim=8, heads=2, num_hierarchies=2,
        block_repeats=(2, 1), use_micro_attention=True,
    ).eval()  # fmt: skip
    image = torch.zeros(1, 3, 32, 32)
    before = network.details(image).asymmetry_maps[0]
    image[:, :, 8:12, 28:32] = 2.0  # the outermost patch on the patient's left
    change = (network.details(image).asymmetry_maps[0] - before)[0]
    assert change[2, 7] > 0.01
    torch.testing.assert_close(change[2, 0], change[2, 7])


def test_prior_is_symmetric_and_falls_from_one_to_a_half() -> None:
    prior = anatomical_prior(9)[0, 0]
    assert prior[4, 4] == 1
    assert prior[0, 0] == 0.5
    for turned in (prior.flip(0), prior.flip(1), prior.T):
        torch.testing.assert_close(prior, turned)
    assert torch.equal(anatomical_prior(8)[0, 0], anatomical_prior(8)[0, 0].flip(1))


def test_regions_are_weighted_by_the_mask_and_the_features_kept_where_it_is_zero() -> None:
    module = FacialROIModule(dim=8, grid=6).eval()
    nn.init.constant_(module.background_suppressor[3].bias, -50.0)  # everything is background
    x = torch.randn(2, 8, 6, 6)
    found = module(x)
    torch.testing.assert_close(found.features, x)
    assert found.maps.max() < 1e-10


def test_second_form_cuts_at_the_threshold() -> None:
    module = ChannelROIModule(dim=8).eval()
    nn.init.zeros_(module.roi_detector[3].weight)
    for value, kept in ((0.05, 0.0), (0.07, 1.0)):  # five maps: 0.25 and 0.35 against 0.3
        nn.init.constant_(module.roi_detector[3].bias, float(np.log(value / (1 - value))))
        assert module(torch.randn(1, 8, 4, 4)).mask.unique().tolist() == [kept]


def test_region_maps_learn_their_regions() -> None:
    torch.manual_seed(0)
    module = FacialROIModule(dim=8, grid=8)
    regions = torch.zeros(4, 5, 32, 32)
    for index in range(5):
        regions[:, index, 4 * index : 4 * index + 8, 8:24] = 1.0
    place = torch.linspace(-1, 1, 8)
    x = torch.randn(4, 8, 8, 8) * 0.1
    x[:, 0], x[:, 1], x[:, 2] = place[:, None], place, place[:, None] ** 2
    optimizer = torch.optim.Adam(module.parameters(), lr=0.05)
    before = overlap(module(x).maps, regions).mean()
    for _ in range(60):
        optimizer.zero_grad()
        region_loss(module(x).maps, regions).backward()
        optimizer.step()
    after = overlap(module(x).maps, regions).mean()
    assert before < 0.45
    assert after > 0.85


def released(shared: Path, name: str) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
    kept = np.load(shared / "parity" / f"{name}.npz")
    arrays = {key: torch.from_numpy(kept[key]) for key in kept.files if key != "config"}
    state = {k.removeprefix("state/"): v for k, v in arrays.items() if k.startswith("state/")}
    return state, arrays


def test_micro_attention_as_released(shared: Path) -> None:
    state, arrays = released(shared, "micro_attention_as_released")
    module = ReleasedMicroAttention(dim=12, heads=3, grid=6).eval()
    module.load_state_dict(state)
    torch.testing.assert_close(module(arrays["input"]), arrays["output"], atol=1e-5, rtol=0)


def test_roi_module_as_released(shared: Path) -> None:
    state, arrays = released(shared, "roi_module_as_released")
    module = ReleasedROIModule(dim=16).eval()
    torch.testing.assert_close(module.facial_prior, state["facial_prior"])
    module.load_state_dict(state)
    found = module(arrays["input"])
    for value, name in ((found.features, "output0"), (found.maps, "output1"),
                        (found.mask, "output2")):  # fmt: skip
        torch.testing.assert_close(value, arrays[name], atol=1e-5, rtol=0)


def test_released_map_is_stretched_and_ours_is_not() -> None:
    """The defect that the released form keeps: its map is not symmetric about the midline."""
    torch.manual_seed(1)
    module = ReleasedMicroAttention(dim=8, heads=2, grid=6).eval()
    face = torch.randn(1, 8, 6, 6)
    found = module._map(face)
    assert not torch.allclose(found, found.flip(-1), atol=1e-3)


def test_released_modules_work_within_blocks() -> None:
    module = InBlocks(ReleasedMicroAttention(dim=4, heads=2, grid=2), blocks=2).eval()
    x = torch.randn(1, 4, 4, 4)
    changed = x.clone()
    changed[:, :2, :2] += 1
    apart = (module(x) - module(changed)).abs().sum(-1)[0]
    assert apart[:2, :2].min() > 0
    assert apart[2:].max() == 0
    assert apart[:, 2:].max() == 0
