"""The networks and transforms that VBench's metrics need, against independent libraries with the same random weights."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from metrics.encoders import clip_tokens, clip_visual, dino_vit, vbench_transforms, viclip_net

torch.manual_seed(0)


def rel_l2(a: torch.Tensor, b: torch.Tensor) -> float:
    return float((a - b).norm() / b.norm())


def shaken(module: torch.nn.Module) -> torch.nn.Module:
    """All weights random, none zero or one by initialisation."""
    draw = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for name, value in module.named_parameters():
            value.copy_(0.05 * torch.randn(value.shape, generator=draw) + (1.0 if "ln_" in name or "norm" in name else 0.0))
    return module.eval().requires_grad_(False)


@settings(max_examples=15)
@given(height=st.integers(30, 330), width=st.integers(30, 330), as_float=st.booleans(), seed=st.integers(0, 99))
def test_transforms_are_torchvisions_bit_by_bit(height: int, width: int, as_float: bool, seed: int) -> None:
    from torchvision.transforms import CenterCrop, Compose, InterpolationMode, Lambda, Normalize, Resize

    scale = Lambda(lambda x: x.float().div(255.0))
    clip = Compose(
        [
            Resize(224, interpolation=InterpolationMode.BICUBIC, antialias=False),
            CenterCrop(224),
            scale,
            Normalize(vbench_transforms.CLIP_MEAN, vbench_transforms.CLIP_STD),
        ]
    )
    dino = Compose([Resize(224, antialias=False), scale, Normalize(vbench_transforms.IMAGENET_MEAN, vbench_transforms.IMAGENET_STD)])
    images = torch.randint(0, 256, (2, 3, height, width), generator=torch.Generator().manual_seed(seed), dtype=torch.uint8)
    images = images.float() if as_float else images
    assert torch.equal(vbench_transforms.clip_input(images), clip(images))
    assert torch.equal(vbench_transforms.dino_input(images), dino(images))


def test_dino_equals_transformers_vit() -> None:
    from transformers import ViTConfig, ViTModel

    config = ViTConfig(hidden_size=64, num_hidden_layers=3, num_attention_heads=4, intermediate_size=256, image_size=64, patch_size=16)
    config.layer_norm_eps = 1e-6
    theirs = shaken(ViTModel(config, add_pooling_layer=False))
    ours = dino_vit.DinoVit(dino_vit.DinoVitConfig(image=64, width=64, layers=3, heads=4)).eval()
    ours.load_state_dict(dino_vit.from_transformers(theirs.state_dict()), strict=True)
    images = torch.randn(2, 3, 64, 64)
    assert rel_l2(ours(images), theirs(images).last_hidden_state[:, 0]) < 1e-6


def test_dino_names_as_stored_on_the_hub() -> None:
    kinds = ("weight", "bias")
    stored = {
        f"encoder.layer.0.attention.attention.{part}.{kind}": torch.full((2, 2), float(at))
        for at, part in enumerate(("query", "key", "value"))
        for kind in kinds
    }
    stored |= {
        f"encoder.layer.0.{name}.{kind}": torch.zeros(1)
        for name in ("attention.output.dense", "intermediate.dense", "output.dense", "layernorm_before", "layernorm_after")
        for kind in kinds
    }
    stored |= {"embeddings.cls_token": torch.zeros(1), "layernorm.weight": torch.zeros(1), "pooler.dense.weight": torch.zeros(1)}
    found = dino_vit.from_transformers(stored)
    assert found["blocks.0.attn.qkv.weight"][:, 0].tolist() == [0, 0, 1, 1, 2, 2]
    one = dino_vit.DinoVit(dino_vit.DinoVitConfig(layers=1, width=16, heads=1)).state_dict()
    assert set(found) < set(one)


def test_dino_config_is_read_from_a_checkpoint() -> None:
    config = dino_vit.DinoVitConfig(image=96, patch=8, width=128, layers=2, heads=2)
    assert dino_vit.DinoVitConfig.of(dino_vit.DinoVit(config).state_dict()) == config


def test_dino_sees_frames_of_any_shape() -> None:
    net = shaken(dino_vit.DinoVit(dino_vit.DinoVitConfig(image=64, width=64, layers=1, heads=4)))
    assert net(torch.randn(1, 3, 64, 111)).shape == (1, 64)
    assert net.positions(64, 111).shape == (1, 1 + 4 * 6, 64)


def clip_model():
    from transformers import CLIPConfig, CLIPModel

    text = {"hidden_size": 64, "intermediate_size": 256, "num_hidden_layers": 2, "num_attention_heads": 1, "vocab_size": 49408}
    vision = {
        "hidden_size": 128,
        "intermediate_size": 512,
        "num_hidden_layers": 2,
        "num_attention_heads": 2,
        "image_size": 64,
        "patch_size": 16,
    }
    both = {"hidden_act": "quick_gelu"}
    config = CLIPConfig(
        text_config=text | both | {"max_position_embeddings": 32, "eos_token_id": 49407, "bos_token_id": 49406, "projection_dim": 48},
        vision_config=vision | both | {"projection_dim": 48},
        projection_dim=48,
    )
    return shaken(CLIPModel(config))


def openai_block(state: dict[str, torch.Tensor], tower: str, number: int) -> dict[str, torch.Tensor]:
    """A transformers CLIP layer under OpenAI's names."""
    old, new = f"{tower}.encoder.layers.{number}", f"transformer.resblocks.{number}"
    out = {}
    for kind in ("weight", "bias"):
        out[f"{new}.attn.in_proj_{kind}"] = torch.cat([state[f"{old}.self_attn.{part}_proj.{kind}"] for part in "qkv"])
        out[f"{new}.attn.out_proj.{kind}"] = state[f"{old}.self_attn.out_proj.{kind}"]
        for ours, theirs in (("ln_1", "layer_norm1"), ("ln_2", "layer_norm2"), ("mlp.c_fc", "mlp.fc1"), ("mlp.c_proj", "mlp.fc2")):
            out[f"{new}.{ours}.{kind}"] = state[f"{old}.{theirs}.{kind}"]
    return out


def openai_vision(state: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    v = "vision_model"
    out = {
        "class_embedding": state[f"{v}.embeddings.class_embedding"],
        "positional_embedding": state[f"{v}.embeddings.position_embedding.weight"],
        "conv1.weight": state[f"{v}.embeddings.patch_embedding.weight"],
        "proj": state["visual_projection.weight"].T.contiguous(),
    }
    for ours, theirs in (("ln_pre", "pre_layrnorm"), ("ln_post", "post_layernorm")):
        out |= {f"{ours}.{kind}": state[f"{v}.{theirs}.{kind}"] for kind in ("weight", "bias")}
    return out | openai_block(state, v, 0) | openai_block(state, v, 1)


def openai_text(state: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    t = "text_model"
    out = {
        "token_embedding.weight": state[f"{t}.embeddings.token_embedding.weight"],
        "positional_embedding": state[f"{t}.embeddings.position_embedding.weight"],
        "text_projection": state["text_projection.weight"].T.contiguous(),
    }
    out |= {f"ln_final.{kind}": state[f"{t}.final_layer_norm.{kind}"] for kind in ("weight", "bias")}
    return out | openai_block(state, t, 0) | openai_block(state, t, 1)


def test_clip_tower_equals_transformers_clip() -> None:
    theirs = clip_model()
    ours = clip_visual.build(openai_vision(theirs.state_dict()))
    images = torch.randn(2, 3, 64, 64)
    pooled = theirs.visual_projection(theirs.vision_model(images).pooler_output)
    assert rel_l2(ours(images), pooled) < 1e-6
    with pytest.raises(ValueError, match="64 pixels"):
        clip_visual.build(openai_vision(theirs.state_dict()), image=224)


def test_viclip_of_one_frame_and_its_text_equal_transformers_clip() -> None:
    """Without places in time ViCLIP's towers are CLIP's."""
    theirs = clip_model()
    vision, text = openai_vision(theirs.state_dict()), openai_text(theirs.state_dict())
    config = viclip_net.ViclipConfig(
        image=64, patch=16, width=128, layers=2, heads=2, frames=4, embedding=48, text_width=64, text_layers=2, text_heads=1
    )
    ours = viclip_net.Viclip(config).eval()
    vision["conv1.weight"] = vision["conv1.weight"][:, :, None]
    vision["temporal_positional_embedding"] = torch.zeros(1, 4, 128)
    ours.vision_encoder.load_state_dict(vision, strict=True)
    ours.text_encoder.load_state_dict(text, strict=True)
    images = torch.randn(2, 1, 3, 64, 64)
    ids = torch.tensor([clip_tokens.token_ids("a cat plays"), clip_tokens.token_ids("word " * 60)])
    with torch.no_grad():
        pooled = theirs.visual_projection(theirs.vision_model(images[:, 0]).pooler_output)
        assert rel_l2(ours.vision_encoder(images), pooled) < 1e-6
        pooled = theirs.text_projection(theirs.text_model(input_ids=ids).pooler_output)
        assert rel_l2(ours.text_encoder(ids), pooled) < 1e-6
        assert ours.vision_encoder(torch.randn(1, 4, 3, 64, 64)).shape == (1, 48)
        with pytest.raises(ValueError, match="expected 4 or 1"):
            ours.vision_encoder(torch.randn(1, 3, 3, 64, 64))


def test_viclip_config_is_read_from_shapes() -> None:
    with torch.device("meta"):
        net = viclip_net.Viclip(viclip_net.ViclipConfig(layers=3, text_layers=2, frames=16))
    assert viclip_net.ViclipConfig.of(viclip_net.shapes_of(net)) == net.config


def test_a_text_that_is_cut_ends_with_the_end_token() -> None:
    ids = clip_tokens.token_ids("word " * 60)
    assert (len(ids), ids[0], ids[-1]) == (32, clip_tokens.START, clip_tokens.END)
    assert clip_tokens.is_cut("word " * 60)
    assert not clip_tokens.is_cut("a cat")
    assert clip_tokens.token_ids("a <|endoftext|> b")[2] == clip_tokens.END
