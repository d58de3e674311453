"""The network: parity with the publication, parameter counts, sizes, identities."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from common.errors import UserError
from htnet.network.configuration import PUBLISHED_28, PUBLISHED_224, HTNetConfig
from htnet.network.heads import RegionFusion
from htnet.network.htnet import HTNet, HTNetEnhanced, RegionHTNet, count_parameters
from htnet.network.levels import BlockAttention
from htnet.network.weights import from_published, load_pretrained, load_weights, save_weights

SMALL = {
    "image_size": 32, "patch_size": 4, "num_classes": 3, "dim": 12, "heads": 3,
    "num_hierarchies": 3, "block_repeats": (1, 1, 2),
}  # fmt: skip


def as_published(network: HTNet) -> dict[str, Tensor]:
    """Names and shapes of the published code for our weights: the converter's way back."""
    state = {}
    for name, value in network.state_dict().items():
        parts = [part for part in name.split(".") if part != "module"]
        if parts[0] == "roi_module":
            new = name
        elif parts[0] == "embed":
            new = f"to_patch_embedding.1.{parts[1]}"
        elif parts[0] == "norm":
            new = f"mlp_head.0.{parts[1][0].replace('w', 'g')}"
        elif parts[0] == "head":
            new = f"mlp_head.2.{parts[1]}"
        elif parts[2] == "position":
            new, value = f"layers.{parts[1]}.0.pos_emb", value.flatten()
        elif parts[2] == "aggregate":
            place = "0" if parts[3] == "conv" else "1"
            last = parts[4] if place == "0" else {"weight": "g", "bias": "b"}[parts[4]]
            new = f"layers.{parts[1]}.1.{place}.{last}"
        else:
            start, rest = f"layers.{parts[1]}.0.layers.{parts[3]}", parts[4:]
            letter = {"weight": "g", "bias": "b"}[rest[-1]]
            if rest[0] == "attention_norm":
                new = f"{start}.0.norm.{letter}"
            elif rest[0] == "attention":
                new = f"{start}.0.fn.{'.'.join(rest[1:])}"
            elif rest[1] == "0":
                new = f"{start}.1.norm.{letter}"
            else:
                new = f"{start}.1.fn.net.{int(rest[1]) - 1}.{rest[2]}"
        is_matrix = value.ndim == 2 and parts[0] != "head"
        state[new] = value[:, :, None, None] if is_matrix else value
    return state


@pytest.mark.parametrize("name", ["htnet_small", "htnet_paper_geometry"])
def test_published_outputs_are_reproduced(name: str, shared: Path) -> None:
    kept = np.load(shared / "parity" / f"{name}.npz")
    config = HTNetConfig(**json.loads(str(kept["config"])))
    state = {
        key.removeprefix("state/"): torch.from_numpy(kept[key])
        for key in kept.files
        if key.startswith("state/")
    }
    network = HTNet.from_config(config).eval()
    network.load_state_dict(from_published(state, config))
    with torch.no_grad():
        found = network(torch.from_numpy(kept["input"]))
    torch.testing.assert_close(found, torch.from_numpy(kept["output"]), atol=1e-5, rtol=0)


def test_converter_goes_both_ways_without_the_shared_files() -> None:
    network = HTNet(**SMALL)
    published = as_published(network)
    assert "layers.0.0.layers.0.0.fn.to_qkv.weight" in published
    back = from_published(published, network.config)
    for name, value in network.state_dict().items():
        assert torch.equal(back[name], value), name


def test_parameter_counts_of_the_published_forms() -> None:
    with torch.device("meta"):
        counts = [count_parameters(HTNet.from_config(c)) for c in (PUBLISHED_28, PUBLISHED_224)]
    print(f"parameters: 28 px {counts[0]:,}; 224 px, six classes {counts[1]:,}")
    assert counts == [139_582_982, 139_586_246]


def test_as_released_without_modules_is_the_plain_network() -> None:
    with torch.device("meta"):
        released = HTNetEnhanced(
            **{**vars(PUBLISHED_224), "use_micro_attention": False, "use_roi_module": False,
               "compat": "as_released"}
        )  # fmt: skip
    assert count_parameters(released) == 139_586_246


def test_a_single_token_is_its_own_value() -> None:
    layer = BlockAttention(dim=12, heads=3, blocks=4, dropout=0.0)
    x = torch.randn(2, 4, 4, 12)
    q, k, v = layer._by_block(layer.to_qkv(x))
    full = nn.functional.scaled_dot_product_attention(q, k, v)
    out = full.view(2, 4, 4, 3, 1, 1, 4).permute(0, 1, 4, 2, 5, 3, 6).reshape(2, 4, 4, 12)
    torch.testing.assert_close(layer(x), layer.to_out(out))


def test_blocks_do_not_see_each_other() -> None:
    layer = BlockAttention(dim=8, heads=2, blocks=2, dropout=0.0)
    x = torch.randn(1, 8, 8, 8)
    changed = x.clone()
    changed[:, :4, :4] += 1.0
    apart = (layer(x) - layer(changed)).abs().sum(-1)[0]
    assert (apart[:4, :4] > 0).all()
    assert apart[4:].max() == 0
    assert apart[:, 4:].max() == 0


def test_attention_is_alike_for_alike_order() -> None:
    """Attention within a block does not know the order of its tokens."""
    layer = BlockAttention(dim=8, heads=2, blocks=1, dropout=0.0)
    x = torch.randn(1, 4, 4, 8)
    torch.testing.assert_close(layer(x).flip(2), layer(x.flip(2)), atol=1e-6, rtol=1e-5)


@pytest.mark.parametrize("pooling", ["mean", "places", "mirror"])
def test_faces_of_a_batch_do_not_see_each_other(pooling: str) -> None:
    """Mirror images go through the network with their faces; each face gets its own."""
    network = HTNetEnhanced(**SMALL, pooling=pooling, side_head=True).eval()
    images = torch.randn(3, 3, 32, 32)
    together, alone = network.details(images), network.details(images[1:2])
    for several, one in (
        (together.logits, alone.logits),
        (together.side_logits, alone.side_logits),
        (together.roi_maps, alone.roi_maps),
        *zip(together.asymmetry_maps, alone.asymmetry_maps, strict=True),
    ):
        assert len(several) == 3
        torch.testing.assert_close(several[1:2], one, atol=1e-5, rtol=1e-4)


def test_mirror_pooling_answers_a_mirrored_face_in_mirror_image() -> None:
    network = HTNetEnhanced(
        **{**SMALL, "pooling": "mirror", "side_head": True, "face_position": True}
    ).eval()
    image = torch.randn(2, 3, 32, 32)
    found, mirrored = network.details(image), network.details(image.flip(-1))
    torch.testing.assert_close(found.logits, mirrored.logits, atol=1e-5, rtol=1e-4)
    assert found.side_logits is not None
    assert mirrored.side_logits is not None
    swapped = mirrored.side_logits[:, [1, 0, 2]]
    torch.testing.assert_close(found.side_logits, swapped, atol=1e-5, rtol=1e-4)


def test_mirror_pooling_gives_every_symmetric_face_one_answer() -> None:
    network = HTNet(**{**SMALL, "pooling": "mirror"}).eval()
    image = torch.randn(3, 3, 32, 32)
    symmetric = image + image.flip(-1)
    answers = network(symmetric)
    torch.testing.assert_close(answers[0], answers[1])
    torch.testing.assert_close(answers[0], answers[2])
    assert not torch.allclose(network(image)[0], answers[0])


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        ({"image_size": 30}, "image_size 30 is not a multiple of patch_size 4"),
        ({"image_size": 40}, "into 4 equal blocks: give for instance image_size 32."),
        ({"image_size": 53}, "give for instance image_size 48."),
        ({"block_repeats": (1, 1)}, "block_repeats"),
        ({"heads": 13}, "dim 12 is less than heads 13"),
        ({"dropout": 1.0}, "dropout is 1.0"),
        ({"num_classes": 1}, "num_classes is 1"),
        ({"pooling": "max"}, 'pooling is "max"'),
        ({"dims": 3}, 'has no setting "dims". Did you mean "dim"?'),
    ],
)
def test_impossible_settings_are_refused_by_name(changed: dict[str, object], words: str) -> None:
    with pytest.raises(UserError, match=words.replace("?", r"\?").replace(".", r"\.")):
        HTNet(**{**SMALL, **changed})


def test_wrong_image_size_names_the_arguments() -> None:
    with pytest.raises(UserError, match=r"shape \(1, 3, 64, 64\), but image_size 32"):
        HTNet(**SMALL)(torch.zeros(1, 3, 64, 64))


def test_roi_maps_have_image_size() -> None:
    logits, maps = HTNetEnhanced(**SMALL).eval()(torch.zeros(2, 3, 32, 32), return_roi_maps=True)
    assert logits.shape == (2, 3)
    assert maps.shape == (2, 5, 32, 32)
    with pytest.raises(UserError, match="use_roi_module=True"):
        HTNet(**SMALL)(torch.zeros(1, 3, 32, 32), return_roi_maps=True)


def test_weights_keep_their_configuration(tmp_path: Path) -> None:
    network = HTNetEnhanced(**SMALL, head="corn").eval()
    save_weights(network, tmp_path / "w.safetensors", notes={"classes": ["a", "b", "c"]})
    again, notes = load_weights(tmp_path / "w.safetensors")
    image = torch.randn(1, 3, 32, 32)
    assert torch.equal(network(image), again(image))
    assert again.config == network.config
    assert notes["classes"] == ["a", "b", "c"]


def test_weights_of_the_first_version_are_refused_where_the_network_computes_otherwise(
    tmp_path: Path,
) -> None:
    for pooling, refused in (("mean", True), ("mirror", False)):
        network = HTNetEnhanced(**SMALL, pooling=pooling)
        path = tmp_path / f"{pooling}.safetensors"
        about = {"config": network.config.model_dump(), "notes": {}}
        save_file(network.state_dict(), path, metadata={"htnet": json.dumps(about)})
        load_pretrained(network, path)  # as a beginning they serve
        if refused:
            with pytest.raises(UserError, match=r"version 0\.1\.0, whose micro-attention"):
                load_weights(path)
        else:
            load_weights(path)


def test_pretrained_weights_fit_by_name_and_shape(tmp_path: Path) -> None:
    published = as_published(HTNet(**SMALL))
    torch.save(published, tmp_path / "micro.pth")
    network = HTNet(**{**SMALL, "num_classes": 6})
    head = network.head.weight.clone()
    loaded = load_pretrained(network, tmp_path / "micro.pth")
    weight = published["to_patch_embedding.1.weight"][:, :, 0, 0]
    assert torch.equal(network.embed.weight, weight)
    assert torch.equal(network.head.weight, head)
    assert loaded.left == dict.fromkeys(["head.weight", "head.bias"], "heads are learned anew")
    with pytest.raises(UserError, match="no layer has the same size, so its dim or heads"):
        load_pretrained(HTNet(**{**SMALL, "dim": 24}), tmp_path / "micro.pth")


def test_micro_expression_weights_begin_a_network_of_another_size(tmp_path: Path) -> None:
    """28 px and three classes, as the micro-expression track keeps them, into 56 px and six."""
    micro = HTNet(
        image_size=28, patch_size=7, num_classes=3, dim=12, heads=3, num_hierarchies=3,
        block_repeats=(1, 1, 1),
    )  # fmt: skip
    path = tmp_path / "network.safetensors"
    metadata = {"config": json.dumps(micro.config.model_dump())}
    save_file(micro.state_dict(), path, metadata=metadata)
    assert torch.equal(load_weights(path)[0].embed.weight, micro.embed.weight)
    settings = {
        **vars(micro.config), "image_size": 56, "num_classes": 6, "block_repeats": (1, 1, 2),
        "use_micro_attention": True, "side_head": True,
    }  # fmt: skip
    network = HTNet(**settings)
    before = {name: value.clone() for name, value in network.state_dict().items()}
    loaded = load_pretrained(network, path)
    for name, value in network.state_dict().items():
        expected = micro.state_dict()[name] if name in loaded.taken else before[name]
        assert torch.equal(value, expected), name
    assert set(loaded.taken) | set(loaded.left) == set(before)
    assert set(micro.state_dict()) - set(loaded.taken) == {
        "head.weight", "head.bias", *(f"levels.{level}.position" for level in range(3)),
    }  # fmt: skip
    assert loaded.left["levels.0.position"] == "another size"  # one token a block, now four
    assert loaded.left["levels.2.layers.1.attention.to_qkv.weight"] == "not in the file"
    assert loaded.left["side_head.bias"] == "heads are learned anew"
    first, *others = loaded.sentences(path)
    assert first == f"network.safetensors: {len(loaded.taken)} of {len(before)} tensors taken over."
    assert others[0].startswith("Not taken over, another size: levels.0.position, levels.1.pos")
    assert "head.weight" in others[-1]
    regions = RegionHTNet(**{**settings, "input": "regions"})
    load_pretrained(regions, path)
    for part in (regions.whole, regions.mosaic):  # both begin with the weights of the one
        assert torch.equal(part.embed.weight, micro.embed.weight)


def test_damaged_and_foreign_weights_are_said_in_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "bad.safetensors").write_bytes(b"no weights")
    with pytest.raises(UserError, match="cannot be read as weights"):
        load_weights(tmp_path / "bad.safetensors")
    torch.save(as_published(HTNet(**SMALL)), tmp_path / "micro.pth")
    with pytest.raises(UserError, match="without a configuration"):
        load_weights(tmp_path / "micro.pth")
    with pytest.raises(UserError, match="does not exist"):
        load_weights(tmp_path / "none.safetensors")


def test_region_fusion_has_the_published_size_and_works_for_any_classes() -> None:
    assert count_parameters(RegionFusion(num_outputs=3, parts=5)) == 15 * 3 + 3 + 6 * 3 + 3
    network = RegionHTNet(**{**SMALL, "num_classes": 6, "input": "regions"}).eval()
    assert network(torch.zeros(2, 2, 3, 32, 32)).shape == (2, 6)
    with pytest.raises(UserError, match="the mosaic, then the whole face"):
        network(torch.zeros(2, 3, 32, 32))
