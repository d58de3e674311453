"""A stack of networks computes, fold by fold, what `HTNet` computes, and the same gradients."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor

from common.errors import UserError
from htnet.configuration import PUBLISHED_28, HTNetConfig
from htnet.micro.stacked_layers import windows
from htnet.micro.stacked_network import StackedHTNet, check_stackable, cut_patches
from htnet.micro.stacked_weights import StackedWeights
from htnet.network import HTNet
from htnet.region_fusion import GradingNetwork, build_network

FOLDS, B = 3, 5


def config(**changes: object) -> HTNetConfig:
    settings = {
        "image_size": 28, "patch_size": 7, "num_classes": 3, "dim": 12, "heads": 3,
        "block_repeats": (1, 2, 1),
    }  # fmt: skip
    return HTNetConfig(**{**settings, **changes})


def plain_networks(settings: HTNetConfig) -> list[GradingNetwork]:
    """One network a fold, all weights random: those that begin at 0 or 1 too."""
    networks = []
    for fold in range(FOLDS):
        torch.manual_seed(fold)
        network = build_network(settings).double().eval()
        for value in network.parameters():
            value.data += 0.2 * torch.randn_like(value)
        networks.append(network)
    return networks


def images(settings: HTNetConfig) -> Tensor:
    torch.manual_seed(9)
    parts = (2,) if settings.input == "regions" else ()
    return torch.randn(FOLDS, B, *parts, 28, 28, 3, dtype=torch.float64)


def stack(networks: list[GradingNetwork], products: torch.dtype) -> StackedHTNet:
    states = [network.state_dict() for network in networks]
    return StackedHTNet(StackedWeights(networks[0].config, states, products=products))


@pytest.mark.parametrize("kind", ["face", "regions"])
def test_answers_and_gradients_are_those_of_htnet_fold_by_fold(kind: str) -> None:
    networks = plain_networks(config(input=kind))
    seen = images(networks[0].config)
    stacked = stack(networks, torch.float64)
    weight = torch.randn(FOLDS, B, 3, dtype=torch.float64)
    logits = stacked(cut_patches(seen, patch_size=7))
    (logits * weight).sum().backward()
    stacked.weights.collect()
    moved = StackedWeights(
        networks[0].config, [n.state_dict() for n in networks], products=torch.float64
    )
    moved.master.data.copy_(stacked.weights.master.grad)
    for fold, network in enumerate(networks):
        alone = network(seen[fold].movedim(-1, -3))
        torch.testing.assert_close(logits[fold], alone, rtol=1e-9, atol=1e-11)
        (alone * weight[fold]).sum().backward()
        gradients = moved.state(fold, kept=0.0)  # of queries and keys: nothing
        for name, value in network.named_parameters():
            expected = torch.zeros_like(value) if value.grad is None else value.grad
            torch.testing.assert_close(gradients[name], expected, rtol=1e-8, atol=1e-10)


@pytest.mark.parametrize("kind", ["face", "regions"])
def test_weights_come_out_as_they_went_in(kind: str) -> None:
    networks = plain_networks(config(input=kind))
    weights = stack(networks, torch.float64).weights
    for fold, network in enumerate(networks):
        state = weights.state(fold)
        assert set(state) == set(network.state_dict())
        for name, value in network.state_dict().items():
            torch.testing.assert_close(state[name], value, rtol=0, atol=0)


def test_one_fold_has_no_say_in_another() -> None:
    networks = plain_networks(config())
    seen = cut_patches(images(config()), patch_size=7)
    before = stack(networks, torch.float64)(seen)
    for value in networks[1].parameters():
        value.data += 1.0
    seen[1] = 0.0
    after = stack(networks, torch.float64)(seen)
    torch.testing.assert_close(before[[0, 2]], after[[0, 2]], rtol=0, atol=1e-12)
    assert (before[1] - after[1]).abs().max() > 0.1


def test_bf16_products_stay_near_and_leave_float32_weights() -> None:
    networks = plain_networks(config())
    seen = cut_patches(images(config()), patch_size=7)
    exact, rough = stack(networks, torch.float64)(seen), stack(networks, torch.bfloat16)
    logits = rough(seen)
    assert logits.dtype == rough.weights.master.dtype == torch.float32
    apart = (logits - exact).abs().max()
    assert 0 < apart < 0.05 * exact.abs().max()
    logits.square().sum().backward()
    rough.weights.collect()
    rough.weights.master.data.add_(1.0)
    rough.weights.refresh()
    assert float(rough.weights.value["head.bias"].detach().float().mean()) > 0.5


def test_clipping_is_per_fold_and_as_torch_does_it() -> None:
    networks = plain_networks(config(input="regions"))
    seen = images(networks[0].config)
    stacked = stack(networks, torch.float64)
    scale = torch.tensor([1e-4, 1.0, 100.0], dtype=torch.float64)[:, None, None]
    (stacked(cut_patches(seen, patch_size=7)) * scale).sum().backward()
    stacked.weights.collect(clip=1.0)
    norms = []
    for fold, network in enumerate(networks):
        (network(seen[fold].movedim(-1, -3)) * scale[fold]).sum().backward()
        before = torch.nn.utils.clip_grad_norm_(network.parameters(), 1.0)
        norms.append(float(before))
    moved = StackedWeights(
        networks[0].config, [n.state_dict() for n in networks], products=torch.float64
    )
    moved.master.data.copy_(stacked.weights.master.grad)
    assert norms[0] < 1 < norms[2]
    for fold, network in enumerate(networks):
        for name, value in network.named_parameters():
            if value.grad is not None:
                found = moved.state(fold, kept=0.0)[name]
                torch.testing.assert_close(found, value.grad, rtol=1e-8, atol=1e-11)


def test_windows_are_those_of_unfold() -> None:
    x = torch.randn(2, 3, 4, 4, 5, dtype=torch.float64, requires_grad=True)
    found = windows(x).view(2, 3, 16, 9, 5)
    unfolded = F.unfold(x.flatten(0, 1).permute(0, 3, 1, 2), 3, padding=1)
    expected = unfolded.view(2, 3, 5, 9, 16).permute(0, 1, 4, 3, 2)
    torch.testing.assert_close(found, expected)
    weight = torch.randn_like(found)
    (mine,) = torch.autograd.grad((found * weight).sum(), x, retain_graph=True)
    (theirs,) = torch.autograd.grad((expected * weight).sum(), x)
    torch.testing.assert_close(mine, theirs)


def test_patches_are_cut_as_htnet_cuts_them() -> None:
    maps = torch.randn(2, 28, 28, 3)
    network = HTNet.from_config(config())
    theirs = network._patches(maps.movedim(-1, 1)).flatten(1, 2)
    torch.testing.assert_close(cut_patches(maps, patch_size=7), theirs, rtol=0, atol=0)


def test_what_the_stack_does_not_compute_is_refused_by_name() -> None:
    check_stackable(PUBLISHED_28)
    with pytest.raises(UserError, match=r"2 x 2 tokens a block.*give patch_size 14"):
        check_stackable(config(image_size=56))
    with pytest.raises(UserError, match=r"network\.use_roi_module is True"):
        check_stackable(config(use_roi_module=True))
    with pytest.raises(UserError, match='pooling "mean"'):
        check_stackable(config(pooling="mirror"))
