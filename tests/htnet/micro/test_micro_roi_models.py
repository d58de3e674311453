"""The ROI models: shapes, what they can and cannot tell apart, and readable importance."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from common.errors import UserError
from common.settings import settings_from
from htnet.micro.clips.maps import APART, TOGETHER
from htnet.micro.models.roi import (
    ROI_KINDS,
    RegionEncoder,
    RoiConfig,
    RoiGraph,
    RoiHybrid,
    build_roi,
)

SMALL = RoiConfig(
    model="hybrid",
    num_classes=3,
    regions=TOGETHER,
    size=16,
    channels=(4, 8, 8, 16),
    feed_forward=16,
    dropout=0.0,
)


def small(**changes: object) -> RoiConfig:
    return settings_from(
        RoiConfig, {**SMALL.model_dump(), **changes}, source="test", section="network"
    )


def clip_maps(config: RoiConfig = SMALL, *, count: int = 2, seed: int = 0) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(count, *config.window_shape, generator=generator)


@pytest.mark.parametrize("model", ROI_KINDS)
@pytest.mark.parametrize("regions", [TOGETHER, APART])
@pytest.mark.parametrize("shared", [False, True])
def test_every_model_answers_every_clip(model: str, regions: tuple[str, ...], shared: bool) -> None:
    config = small(model=model, regions=regions, shared_encoder=shared)
    torch.manual_seed(0)
    network = build_roi(config).eval()
    maps = clip_maps(config, count=3)
    answers = network(maps)
    assert answers.shape == (3, 3)
    # A clip's answer is its own: it does not hang on who else is in the batch.
    torch.testing.assert_close(answers[1:2], network(maps[1:2]))
    answers.sum().backward()
    unused = [name for name, value in network.named_parameters() if value.grad is None]
    assert not unused


def test_published_sizes_by_default() -> None:
    config = RoiConfig(model="temporal", num_classes=4, regions=TOGETHER)
    assert config.window_shape == (4, 3, 3, 224, 224)
    assert (config.channels, config.heads, config.token) == ((32, 64, 128, 256), 8, 768)
    encoder = RegionEncoder(config.channels)
    with torch.inference_mode():
        assert encoder(torch.zeros(2, 3, 224, 224)).shape == (2, 256)
        assert encoder.convolutions(torch.zeros(2, 3, 224, 224)).shape == (2, 256, 14, 14)


def test_order_of_windows_matters_to_the_temporal_model_and_not_to_the_graph() -> None:
    maps = clip_maps()
    for model, matters in (("temporal", True), ("graph", False), ("hybrid", True)):
        torch.manual_seed(0)
        network = build_roi(small(model=model)).eval()
        if matters:
            assert not torch.allclose(network(maps), network(maps.flip(1)), atol=1e-4)
        else:
            torch.testing.assert_close(network(maps), network(maps.flip(1)))


def test_a_weight_before_batch_normalisation_does_nothing() -> None:
    torch.manual_seed(0)
    encoder = RegionEncoder(SMALL.channels).train()
    maps = clip_maps(count=16)[:, 0, 0]
    torch.testing.assert_close(encoder(maps), encoder(5 * maps), atol=1e-3, rtol=1e-2)


def test_a_weight_on_an_embedding_changes_the_answer() -> None:
    torch.manual_seed(0)
    network = build_roi(SMALL).train()  # as in training, where batches are normalised
    assert isinstance(network, RoiHybrid)
    maps = clip_maps(count=16)
    before = network(maps)
    with torch.no_grad():
        network.region_logits[2] = 2.0
    assert (network(maps) - before).abs().max() > 0.05


@pytest.mark.parametrize("model", ["graph", "hybrid"])
def test_importance_is_a_share_by_name(model: str) -> None:
    torch.manual_seed(0)
    network = build_roi(small(model=model)).eval()
    assert isinstance(network, RoiGraph | RoiHybrid)
    importance = network.region_importance(clip_maps())
    assert tuple(importance) == TOGETHER
    assert sum(importance.values()) == pytest.approx(1, abs=1e-6)
    assert min(importance.values()) > 0


def test_regions_in_another_order_keep_their_importance() -> None:
    order = (2, 0, 1)
    torch.manual_seed(0)
    network = build_roi(small(model="graph")).eval()
    assert isinstance(network, RoiGraph)
    other = build_roi(small(model="graph", regions=tuple(TOGETHER[i] for i in order))).eval()
    assert isinstance(other, RoiGraph)
    state = network.state_dict()
    moved = dict(state)
    for here, there in enumerate(order):
        for name in state:
            if name.startswith(f"encoders.{there}."):
                moved[name.replace(f"encoders.{there}.", f"encoders.{here}.", 1)] = state[name]
    moved["graph.region"] = state["graph.region"][list(order)]
    other.load_state_dict(moved)
    maps = clip_maps()
    torch.testing.assert_close(other(maps[:, :, list(order)]), network(maps))
    expected = network.region_importance(maps)
    assert other.region_importance(maps[:, :, list(order)]) == pytest.approx(expected, abs=1e-6)
    assert max(expected.values()) - min(expected.values()) > 1e-4  # else any order would do


def test_hybrid_weights_are_what_importance_says() -> None:
    torch.manual_seed(0)
    network = build_roi(SMALL)
    assert isinstance(network, RoiHybrid)
    with torch.no_grad():
        network.region_logits.copy_(torch.tensor([0.1, 0.3, 0.6]).log())
    expected = {"eyes": 0.1, "eyebrows": 0.3, "mouth": 0.6}
    assert network.region_importance() == pytest.approx(expected)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"model": "temporel"}, 'Did you mean "temporal"'),
        ({"num_classes": 1}, "num_classes is 1"),
        ({"regions": ("mouth", "mouth")}, "regions"),
        ({"windows": 0}, "windows is 0"),
        ({"size": 15}, "size 15 is too small"),
        ({"heads": 7}, "no multiple of heads 7"),
        ({"dropout": 1.0}, "dropout is 1.0"),
        ({"channels": (0, 8)}, "channels"),
    ],
)
def test_impossible_sizes_are_refused_by_name(changes: dict[str, object], words: str) -> None:
    with pytest.raises(UserError, match=words):
        small(**changes)


def test_unknown_setting_is_refused_with_a_suggestion() -> None:
    settings = SMALL.model_dump()
    with pytest.raises(UserError, match=r'"head".*Did you mean "heads"'):
        settings_from(RoiConfig, {**settings, "head": 2}, source="some.yaml", section="network")
    del settings["regions"]
    with pytest.raises(UserError, match='setting "regions" of network is missing'):
        settings_from(RoiConfig, settings, source="some.yaml", section="network")


@pytest.mark.parametrize("model", ROI_KINDS)
def test_maps_of_another_size_are_refused(model: str) -> None:
    network = build_roi(small(model=model))
    with pytest.raises(UserError, match=r"\(2, 4, 3, 3, 20, 20\).*size 16"):
        network(torch.zeros(2, 4, 3, 3, 20, 20))
    with pytest.raises(UserError, match="regions 3"):
        network(torch.zeros(2, 5, 3, 16, 16))
