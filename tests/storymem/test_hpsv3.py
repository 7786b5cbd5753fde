"""HPSv3 at tiny size: the ratings of transformers' own forward pass, under the names of older and newer versions."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from test_method import SHORT, film, storymem

from stbench.errors import UserError
from storymem import hpsv3, hub
from storymem.hpsv3 import Hpsv3
from storymem.placing import Placer

SPECIAL = ("<|im_start|>", "<|im_end|>", "<|vision_start|>", "<|vision_end|>", "<|image_pad|>")
FRAMES = np.random.default_rng(0).integers(0, 256, (2, 48, 80, 3), dtype=np.uint8)


def config() -> dict[str, Any]:
    """Flat, as Qwen published it."""
    return {
        "architectures": ["Qwen2VLForConditionalGeneration"],
        "model_type": "qwen2_vl",
        "hidden_size": 32,
        "intermediate_size": 48,
        "num_hidden_layers": 2,
        "num_attention_heads": 2,
        "num_key_value_heads": 1,
        "vocab_size": 40,
        "image_token_id": 4,
        "rope_scaling": {"type": "mrope", "mrope_section": [2, 3, 3]},
        "vision_config": {"depth": 2, "embed_dim": 16, "hidden_size": 32, "num_heads": 2, "mlp_ratio": 2, "in_chans": 3},
    }


def write_tokenizer(folder: Path) -> None:
    from tokenizers import Tokenizer, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    words = [*SPECIAL, "[UNK]", "image", "rating", "prompt", "the"]
    made = Tokenizer(models.WordLevel({word: index for index, word in enumerate(words)}, unk_token="[UNK]"))
    made.pre_tokenizer = pre_tokenizers.Whitespace()
    fast = PreTrainedTokenizerFast(tokenizer_object=made, unk_token="[UNK]", additional_special_tokens=list(SPECIAL))
    fast.save_pretrained(folder)


@pytest.fixture(scope="module")
def model() -> Any:
    """transformers' own model with random weights, and the head beside it."""
    from transformers import Qwen2VLConfig, Qwen2VLForConditionalGeneration

    torch.manual_seed(0)
    own = {key: value for key, value in config().items() if key != "architectures"}
    whole = Qwen2VLForConditionalGeneration(Qwen2VLConfig(**own)).eval().to(torch.bfloat16)
    whole.rm_head = torch.nn.Sequential(
        torch.nn.Linear(32, 1024),
        torch.nn.ReLU(),
        torch.nn.Dropout(0.05),
        torch.nn.Linear(1024, 16),
        torch.nn.ReLU(),
        torch.nn.Linear(16, 2),
    ).eval()
    return whole


def older(name: str) -> str:
    return name.removeprefix("model.") if name.startswith("model.visual.") else name.replace("model.language_model.", "model.")


@pytest.fixture(params=["older names", "newer names"])
def weights(request: pytest.FixtureRequest, model: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Both repositories in a folder of downloads."""
    rename = older if request.param == "older names" else str
    (tmp_path / "HPSv3").mkdir()
    state = {rename(name): value.contiguous().clone() for name, value in model.state_dict().items()}
    save_file(state, tmp_path / "HPSv3" / "HPSv3.safetensors")
    words = tmp_path / "Qwen2-VL-7B-Instruct"
    write_tokenizer(words)
    (words / "config.json").write_text(json.dumps(config()))
    monkeypatch.setenv(hub.ENVIRONMENT, str(tmp_path))
    return tmp_path


def by_transformers(model: Any, frame: np.ndarray) -> float:
    """Through transformers' processing and merging, with positions that run on."""
    from PIL import Image
    from transformers import AutoTokenizer, Qwen2VLImageProcessor
    from transformers.models.qwen2_vl.image_processing_qwen2_vl import smart_resize

    tokenizer = AutoTokenizer.from_pretrained(hub.local(hub.QWEN2_VL))
    tokenizer.add_special_tokens({"additional_special_tokens": [*SPECIAL, "<|Reward|>"]})
    rows, columns = smart_resize(*frame.shape[:2], 28, min_pixels=hpsv3.PIXELS, max_pixels=hpsv3.PIXELS)
    picture = Image.fromarray(frame).resize((columns, rows), Image.Resampling.BICUBIC)
    batch = Qwen2VLImageProcessor()(images=[picture], return_tensors="pt")  # the size is one that it keeps
    chat = (
        "{% for m in messages %}{% if loop.first and m['role'] != 'system' %}<|im_start|>system\nYou are a helpful assistant.<|im_end|>\n"
        "{% endif %}<|im_start|>{{ m['role'] }}\n{% for c in m['content'] %}{% if c['type'] == 'image' %}<|vision_start|>"
        "<|image_pad|><|vision_end|>{% else %}{{ c['text'] }}{% endif %}{% endfor %}<|im_end|>\n{% endfor %}"
        "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
    )
    message = [{"role": "user", "content": [{"type": "image"}, {"type": "text", "text": hpsv3.question()}]}]
    text = tokenizer.apply_chat_template(message, chat_template=chat, tokenize=False, add_generation_prompt=True)
    tokens = int(batch["image_grid_thw"].prod()) // 4
    ids = torch.tensor([tokenizer(text.replace("<|image_pad|>", "<|image_pad|>" * tokens))["input_ids"]])
    with torch.no_grad():
        said = model.model(
            input_ids=ids,
            pixel_values=batch["pixel_values"],
            image_grid_thw=batch["image_grid_thw"],
            position_ids=torch.arange(ids.shape[1]).expand(3, 1, -1),
        )
        asked = ids[0] == tokenizer.convert_tokens_to_ids("<|Reward|>")
        return float(model.rm_head(said.last_hidden_state[0, asked].float())[0, 0])


def test_ratings_are_those_of_transformers(weights: Path, model: Any) -> None:
    found = Hpsv3.load("cpu").quality(FRAMES)
    assert found.dtype == np.float32
    assert found == pytest.approx([by_transformers(model, frame) for frame in FRAMES], abs=1e-3)
    assert abs(found[0] - found[1]) > 1e-3  # it looks at the picture


def test_blocks_fetched_one_by_one_rate_the_same(weights: Path) -> None:
    resident, streamed = Hpsv3.load("cpu"), Hpsv3.load("cpu")
    placer = Placer(torch.device("cpu"), "group-offload")
    placer.take(streamed.net)
    with placer.ready(streamed.net):
        assert streamed.quality(FRAMES[:1]) == resident.quality(FRAMES[:1])


@pytest.mark.parametrize("placement", ["resident", "offload", "group-offload"])
def test_a_film_asks_it_about_candidates_and_gives_the_device_back(
    weights: Path, tiny_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, placement: str
) -> None:
    visits: list[str] = []
    real = Placer.visit

    def watched(self: Placer, net: Any) -> Any:
        visits.append(type(net).__name__)
        return real(self, net)

    monkeypatch.setattr(Placer, "visit", watched)
    kept = {}
    for limit in ("-100", "100"):
        kept[limit] = film(storymem(tiny_model, quality="hpsv3", quality__threshold=limit, placement=placement), tmp_path, SHORT)
    assert visits == ["RewardNet"] * 4  # once per shot
    assert kept["-100"][0].keyframes
    assert not kept["100"][0].keyframes
    assert (kept["-100"][1].notes["mode"], kept["100"][1].notes["mode"]) == ("m2v", "t2v")


def test_a_visitor_leaves_the_device(weights: Path) -> None:
    class Recorder:
        places: list[str] = []

        def to(self, device: Any) -> None:
            self.places.append(str(device))

    for placement in ("resident", "offload"):
        placer, visitor, Recorder.places = Placer(torch.device("meta"), placement), Recorder(), []
        with placer.visit(visitor):
            assert visitor.places == ["meta"]
        assert visitor.places == ["meta", "cpu"]


def test_the_question_is_the_one_that_it_was_trained_on() -> None:
    text = hpsv3.question()
    assert text.startswith("\nYou are tasked with evaluating a generated image")
    assert "Please provide a rating from 0 to 10, with 0 being the worst and 10 being the best. \n\n**Visual Quality:**  \n" in text
    assert text.endswith("Textual prompt - \n\n\n\nPlease provide the overall ratings of this image: <|Reward|>\n\nEND\n")


def test_the_digest_changes_with_the_weights(weights: Path) -> None:
    before = Hpsv3.digest()
    path = weights / "HPSv3" / "HPSv3.safetensors"
    path.write_bytes(path.read_bytes() + b" ")
    assert Hpsv3.digest() != before


def test_weights_that_do_not_fit_are_named(weights: Path) -> None:
    from safetensors.torch import load_file

    path = weights / "HPSv3" / "HPSv3.safetensors"
    state = load_file(path)
    state.pop("rm_head.5.bias")
    save_file(state, path)
    with pytest.raises(UserError, match=r"1 weights missing: rm_head\.5\.bias"):
        Hpsv3.load("cpu")


def test_without_weights_the_message_has_licence_size_and_command(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path))
    monkeypatch.delenv(hub.ENVIRONMENT, raising=False)
    with pytest.raises(UserError, match=r"MIT; about 17 GB.*hf download MizzenAI/HPSv3 --include 'HPSv3.safetensors'"):
        hub.need(hub.HPSV3)
    (tmp_path / "HPSv3").mkdir()
    monkeypatch.setenv(hub.ENVIRONMENT, str(tmp_path))
    with pytest.raises(UserError, match=r"first HPSv3\.safetensors.*continues with: hf download MizzenAI/HPSv3 --include .*--local-dir"):
        hub.need(hub.HPSV3)
