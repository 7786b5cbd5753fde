"""How a model is run: placements, types, attention, tiles, compiled blocks, and what happens when the device is full."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from test_method import SHORT, STORY, film, storymem

from stbench.errors import UserError
from stbench.methods import ShotRequest
from storymem import attention, running
from storymem.cost import Precision
from storymem.generator import Generator
from storymem.options import RUNTIME, MemoryOptions
from storymem.placing import Placer
from storymem.positions import TemporalRope
from storymem.profiles import resolve
from storymem.running import Running, first_that_fits
from storymem.settings import WAN
from storymem.sizes import WAN_A14B


class Recorder:
    """A model that remembers where it was sent."""

    def __init__(self) -> None:
        self.places: list[str] = []

    def to(self, device: Any) -> Recorder:
        self.places.append(str(device))
        return self


def test_resident_models_are_moved_once() -> None:
    placer, model = Placer(torch.device("meta"), "resident"), Recorder()
    placer.take(model)
    with placer.ready(model):
        pass
    placer.rest()
    assert model.places == ["meta"]


def test_with_offload_one_model_is_on_the_device_at_a_time_and_none_at_rest() -> None:
    placer, one, two = Placer(torch.device("meta"), "offload"), Recorder(), Recorder()
    placer.take(one)
    placer.take(two)
    for model in (one, two):
        with placer.ready(model):
            pass
    placer.rest()
    assert one.places[-3:] == ["meta", "cpu", "cpu"]
    assert two.places == ["cpu", "meta", "cpu"]
    placer.drop(one)
    with placer.ready(two):
        pass
    assert len(one.places) == 3


def test_a_full_device_lowers_the_placement_once() -> None:
    placer, model, attempts = Placer(torch.device("meta"), "resident"), Recorder(), []
    placer.take(model)

    def work() -> str:
        attempts.append(placer.placement)
        if placer.placement == "resident":
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB")
        return "done"

    assert placer.retrying(work) == ("done", "resident")
    assert attempts == ["resident", "offload"]
    assert placer.retrying(work) == ("done", None)
    assert model.places == ["meta", "cpu"]


def test_below_the_last_placement_the_error_comes_through() -> None:
    def full() -> None:
        raise torch.OutOfMemoryError("full")

    with pytest.raises(torch.OutOfMemoryError, match="full"):
        Placer(torch.device("cpu"), "group-offload").retrying(full)
    placer = Placer(torch.device("cpu"), "resident")
    with pytest.raises(torch.OutOfMemoryError, match="full"):
        placer.retrying(full)  # the second attempt fails as well: no third
    assert placer.placement == "offload"


def test_out_of_memory_in_a_shot_is_in_its_record_and_changes_no_pixel(tiny_model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    request = ShotRequest(story=STORY, shot=STORY.shots[0], seed=3)
    with storymem(tiny_model).open("cpu") as maker:
        expected = maker.shot(request)
    assert expected.notes["placement"] == "resident"
    assert "out_of_memory_with" not in expected.notes
    real, failures = Generator._take, ["now"]

    def once_full(self: Generator, take: Any) -> Any:
        if failures:
            failures.pop()
            raise torch.OutOfMemoryError("CUDA out of memory")
        return real(self, take)

    monkeypatch.setattr(Generator, "_take", once_full)
    with storymem(tiny_model).open("cpu") as maker:
        made = maker.shot(request)
    assert (made.notes["placement"], made.notes["out_of_memory_with"]) == ("offload", "resident")
    assert np.array_equal(made.frames, expected.frames)


def test_out_of_memory_before_the_first_shot_is_in_the_record_of_the_first(tiny_model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real, failures = Generator.prepare_texts, ["now"]

    def once_full(self: Generator, prompts: Any) -> None:
        if failures:
            failures.pop()
            raise torch.OutOfMemoryError("CUDA out of memory")
        real(self, prompts)

    monkeypatch.setattr(Generator, "prepare_texts", once_full)
    with storymem(tiny_model).open("cpu") as maker:
        maker.prepare([SHORT])
        first, second = (maker.shot(ShotRequest(story=SHORT, shot=shot, seed=3)).notes for shot in SHORT.shots)
    assert (first["placement"], first["out_of_memory_with"]) == ("offload", "resident")
    assert "out_of_memory_with" not in second


@pytest.mark.parametrize("placement", ["offload", "group-offload"])
def test_a_placement_changes_no_pixel_and_no_identity(tiny_model: Path, tmp_path: Path, placement: str) -> None:
    plain, placed = storymem(tiny_model), storymem(tiny_model, placement=placement)
    assert placed.identity() == plain.identity()
    expected, made = film(plain, tmp_path, SHORT), film(placed, tmp_path, SHORT)
    assert [shot.notes["placement"] for shot in made] == [placement] * 2
    for one, other in zip(expected, made, strict=True):
        assert np.array_equal(one.frames, other.frames)


def test_every_option_but_the_placement_is_part_of_the_identity(tiny_model: Path) -> None:
    assert [name for name, field in MemoryOptions.model_fields.items() if field.json_schema_extra == RUNTIME] == ["placement"]
    base = storymem(tiny_model).identity()
    for option in ({"attention": "cudnn"}, {"dtype": "bfloat16"}, {"dtype__vae": "bfloat16"}, {"vae__tiling": "true"}, {"compile": "true"}):
        assert storymem(tiny_model, **option).identity() != base


def test_the_first_placement_that_fits_is_chosen(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(running, "sizes_of", lambda model: WAN_A14B)
    wan = replace(resolve("world"), profile=WAN)
    wanted = Running(precision=Precision(), memory=WAN.memory_size)
    streamed = dict.fromkeys((8, 24, 32), "group-offload")
    cards_gb = {**streamed, **dict.fromkeys((48, 80, 94), "offload"), **dict.fromkeys((150, 192), "resident")}  # an H200 has 150
    assert {size: first_that_fits(wanted, wan, size * 10**9) for size in cards_gb} == cards_gb


def test_types_per_component_and_modulation_in_float32(tiny_model: Path) -> None:
    options = storymem(tiny_model, dtype="bfloat16", dtype__vae="float16").options
    assert options.dtype_text == "float32"  # as the profile says: its own type is what it was made with
    generator = Generator(resolve(str(tiny_model)), "cpu", options.running())
    expert = generator._load(False, adapter=True).high
    types = {name: value.dtype for name, value in expert.named_parameters()}
    assert types["blocks.0.attn1.to_q.base_layer.weight"] == types["blocks.0.attn1.to_q.lora_A.memory.weight"] == torch.bfloat16
    assert types["scale_shift_table"] == types["blocks.1.scale_shift_table"] == types["blocks.0.norm2.weight"] == torch.float32
    cosines, _ = TemporalRope(12, (1, 2, 2))(torch.empty(1, 16, 2, 2, 4, dtype=torch.bfloat16))
    assert cosines.dtype == torch.float32
    assert generator.latents.vae.dtype == torch.float16


def test_a_film_in_bfloat16_is_near_the_one_in_float32(tiny_model: Path, tmp_path: Path) -> None:
    exact, half = (film(storymem(tiny_model, dtype=dtype), tmp_path, SHORT)[1].frames for dtype in ("float32", "bfloat16"))
    assert 0 < np.abs(exact.astype(float) - half).mean() < 20


@pytest.mark.parametrize(
    ("packages", "capability", "dtype", "processes", "expected"),
    [
        (("flash_attn_interface", "flash_attn"), (9, 0), "bfloat16", 1, "_flash_3"),
        (("flash_attn_interface", "flash_attn"), (9, 0), "bfloat16", 2, "flash"),
        (("flash_attn_interface",), (8, 0), "bfloat16", 1, "_native_cudnn"),
        (("flash_attn",), (8, 6), "float16", 1, "flash"),
        (("flash_attn_interface",), (10, 0), "bfloat16", 1, "_native_cudnn"),
        ((), (9, 0), "bfloat16", 1, "_native_cudnn"),
        ((), (7, 5), "float16", 1, "native"),
        (("flash_attn_interface", "flash_attn"), (9, 0), "float32", 1, "native"),
    ],
)
def test_the_best_attention_that_is_there_is_chosen(
    monkeypatch: pytest.MonkeyPatch, packages: tuple[str, ...], capability: tuple[int, int], dtype: str, processes: int, expected: str
) -> None:
    monkeypatch.setattr(attention, "find_spec", lambda name: object() if name in packages else None)
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda device: capability)
    assert attention.choose_backend("auto", "cuda:0", dtype, processes=processes) == expected


def test_attention_by_name_computes_the_same_and_bad_names_are_refused(tiny_model: Path, tmp_path: Path) -> None:
    plain, mathematical = (film(storymem(tiny_model, attention=name), tmp_path, SHORT)[1] for name in ("native", "_native_math"))
    assert mathematical.notes["attention"] == "_native_math"
    assert np.abs(plain.frames.astype(int) - mathematical.frames).max() <= 1
    with pytest.raises(UserError, match="did you mean 'flash'"):
        storymem(tiny_model, attention="flsh")
    with (
        pytest.raises(UserError, match="attention 'flash' cannot be used"),
        storymem(tiny_model, attention="flash-attn-2").open("cpu") as maker,
    ):
        maker.shot(ShotRequest(story=STORY, shot=STORY.shots[0], seed=0))


def test_tiling_is_asked_of_the_vae(tiny_model: Path) -> None:
    with storymem(tiny_model, vae__tiling="true").open("cpu") as maker:
        vae = maker.generator.latents.vae
        assert vae.use_tiling
        whole = maker.shot(ShotRequest(story=STORY, shot=STORY.shots[0], seed=0)).frames
        vae.enable_tiling(tile_sample_min_height=16, tile_sample_min_width=16, tile_sample_stride_height=16, tile_sample_stride_width=8)
        tiles = maker.shot(ShotRequest(story=STORY, shot=STORY.shots[0], seed=0)).frames
    assert whole.shape == tiles.shape
    assert not np.array_equal(whole, tiles)


def test_compiled_blocks_are_asked_for_and_compute_the_same(tiny_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from diffusers import WanTransformer3DModel

    real, calls = WanTransformer3DModel.compile_repeated_blocks, []

    def without_a_compiler(self: Any, *args: Any, **kwargs: Any) -> None:
        calls.append(self)
        real(self, *args, **kwargs, backend="eager")

    monkeypatch.setattr(WanTransformer3DModel, "compile_repeated_blocks", without_a_compiler)
    expected, made = (film(storymem(tiny_model, compile=value), tmp_path, SHORT) for value in ("false", "true"))
    assert calls
    for one, other in zip(expected, made, strict=True):
        assert np.abs(one.frames.astype(int) - other.frames).max() <= 1


def test_all_prompts_are_encoded_at_once_and_the_text_encoder_is_freed(tiny_model: Path, tmp_path: Path) -> None:
    expected = film(storymem(tiny_model), tmp_path)
    with storymem(tiny_model).open("cpu") as maker:
        maker.prepare([STORY])
        assert maker.generator._text_encoder is None
        made = maker.shot(ShotRequest(story=replace(STORY, shots=STORY.shots[:1]), shot=STORY.shots[0], seed=7))
        assert maker.generator._text_encoder is None
        assert np.array_equal(made.frames, expected[0].frames)
        other = replace(STORY.shots[0], prompt="the fox")  # one that nobody announced
        maker.shot(ShotRequest(story=replace(STORY, shots=(other,)), shot=other, seed=7))
