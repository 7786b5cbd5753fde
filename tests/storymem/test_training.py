"""The training code at toy length: resuming equals not having stopped; the sampler and the loss do what they say."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from stbench.world.data import random_truth
from storymem.denoise import Sampling
from storymem.generator import Generator, Take
from storymem.profiles import resolve
from storymem.training.__main__ import STEPS, Recipe, run
from storymem.training.base import WorldBase, build_tokenizer, draw_known, flow_loss
from storymem.training.card import reconstruction
from storymem.training.latent_data import LatentClips
from storymem.training.loop import LoopSettings, run_loop
from storymem.training.memory import COUNTS, MemorySampler, add_lora, distractor_share, draw_count, merge_on_the_fly, train_memory
from storymem.training.optim import Optimizers
from storymem.training.vae import build_vae, refine_decoder


def _clips(count: int = 24) -> LatentClips:
    rng, noise = np.random.default_rng(0), torch.Generator().manual_seed(0)
    shapes = [*[(count, 16, 5, 6, 10)] * 3, (count, 4, 16, 6, 10), (count, 5, 6, 10), (1, 16, 5, 6, 10)]
    return LatentClips([random_truth(rng) for _ in range(count)], *(torch.randn(s, generator=noise) for s in shapes))


def _train(out: Path, steps: int, stop: int | None = None) -> torch.Tensor:
    torch.manual_seed(0)
    model = nn.Linear(8, 8)
    optim = Optimizers(model, muon_lr=0.02, adam_lr=1e-2, steps=steps)

    def step(k: int, rng: np.random.Generator, noise: torch.Generator) -> tuple[torch.Tensor, dict[str, float]]:
        if k == stop:
            raise KeyboardInterrupt
        x = torch.randn(16, 8, generator=noise)
        return (model(x) - x.flip(1)).square().mean(), {"drawn": float(rng.random())}

    run_loop(model, optim, step, LoopSettings(out=out, steps=steps, log_every=1, save_every_s=0.0))
    return model.weight.detach().clone()


def test_a_stopped_training_continues_as_if_it_had_not_stopped(tmp_path: Path) -> None:
    whole = _train(tmp_path / "whole", 6)
    with pytest.raises(KeyboardInterrupt):
        _train(tmp_path / "stopped", 6, stop=3)
    torch.testing.assert_close(_train(tmp_path / "stopped", 6), whole, rtol=0, atol=0)
    rows = [json.loads(line) for line in (tmp_path / "stopped" / "log.jsonl").read_text().splitlines()]
    assert [r["step"] for r in rows] == [1, 2, 3, 4, 5, 6]


def test_training_learns() -> None:
    import tempfile

    with tempfile.TemporaryDirectory() as folder:
        _train(Path(folder), 60)
        rows = [json.loads(line) for line in (Path(folder) / "log.jsonl").read_text().splitlines()]
    assert rows[-1]["loss"] < 0.3 * rows[0]["loss"]


def test_memory_training_leaves_the_base_alone_and_moves_the_adapter(tmp_path: Path) -> None:
    model = WorldBase()
    before = {n: p.clone() for n, p in model.named_parameters()}
    train_memory(tmp_path, model, _clips(), steps=2, batch=2)
    after = dict(model.named_parameters())
    for name, value in before.items():
        kept = after.get(name)
        if kept is None:  # peft keeps the layer it wraps as `base_layer`
            stem, _, leaf = name.rpartition(".")
            kept = after[f"{stem}.base_layer.{leaf}"]
        torch.testing.assert_close(kept, value, rtol=0, atol=0)
    assert any(float(p.norm()) > 0 for n, p in after.items() if "lora_B" in n)


def test_weights_merged_on_the_fly_give_what_the_adapter_gives(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("storymem.training.precision.matmul_dtype", lambda: torch.float32)
    model, noise = WorldBase(), torch.Generator().manual_seed(0)
    add_lora(model, rank=4)
    for name, p in model.named_parameters():
        if "lora_B" in name:
            nn.init.normal_(p, generator=noise)
    shapes = [(1, 16, 7, 6, 10), (1, 20, 7, 6, 10), (1,), (1, 16, 64)]
    given = [torch.rand(shape, generator=noise) for shape in shapes]
    with torch.no_grad():
        wanted = model.velocity(*given)
        merge_on_the_fly(model)
        torch.testing.assert_close(model.velocity(*given), wanted, rtol=1e-4, atol=1e-4)


def test_memory_comes_from_the_same_character_or_is_a_distractor_of_another_species() -> None:
    clips = _clips(200)
    marked = clips._replace(memory=torch.arange(200.0)[:, None, None, None, None].expand(200, 4, 16, 6, 10))
    sampler, rng = MemorySampler(marked), np.random.default_rng(0)
    for target in range(30):
        truth = clips.truths[target]
        look = (truth.species, truth.colour, truth.accessory)
        alone = {int(v) for v in sampler.memory(rng, target, 3, 0.0)[0, :, 0, 0]}
        assert {(clips.truths[i].species, clips.truths[i].colour, clips.truths[i].accessory) for i in alone} == {look}
        mixed = [clips.truths[int(v)] for v in sampler.memory(rng, target, 6, 0.5)[0, :, 0, 0]]
        assert all((t.species, t.colour, t.accessory) == look or t.species != truth.species for t in mixed)


def test_the_curriculum_starts_with_one_frame_alone_and_ends_with_ten_among_others() -> None:
    rng = np.random.default_rng(0)
    assert {draw_count(0.1, rng) for _ in range(50)} == {1}
    assert distractor_share(0.1) == 0
    assert {draw_count(0.9, rng) for _ in range(300)} == set(COUNTS)
    assert distractor_share(0.9) == pytest.approx(0.6)


def test_a_mixed_batch_knows_nothing_the_first_frame_or_five() -> None:
    clips, index = _clips(), np.arange(24)
    known = draw_known(np.random.default_rng(0), clips, index)
    given = known[:, :4, :, 0, 0].sum(1)  # 4 where a latent frame is wholly known
    for row, i in zip(given.tolist(), index, strict=True):
        assert row in ([0, 0, 0, 0, 0], [4, 0, 0, 0, 0], [4, 4, 0, 0, 0])
        source = {0: torch.zeros_like(clips.video[i]), 4: clips.first[i], 8: clips.motion[i]}[int(sum(row))]
        torch.testing.assert_close(known[i, 4:], source, rtol=0, atol=0)
    assert len({int(sum(row)) for row in given.tolist()}) == 3


def test_the_refined_decoder_leaves_the_latents_alone(tmp_path: Path) -> None:
    vae, clips = build_vae(), _clips(4)
    before = {n: p.clone() for n, p in vae.named_parameters()}
    refine_decoder(vae, tmp_path, clips, steps=2, data=tmp_path, pixels=2)
    moved = {n.split(".")[0] for n, p in vae.named_parameters() if not torch.equal(p, before[n])}
    assert moved == {"decoder", "post_quant_conv"}


def test_loss_weighs_the_character() -> None:
    target, cover = torch.zeros(1, 16, 5, 6, 10), torch.zeros(1, 5, 6, 10)
    cover[:, :, :3] = 1
    wrong_character, wrong_place = target.clone(), target.clone()
    wrong_character[:, :, :, :3], wrong_place[:, :, :, 3:] = 1, 1
    assert float(flow_loss(wrong_character, target, cover, 2.0)) == pytest.approx(0.75)
    assert float(flow_loss(wrong_place, target, cover, 2.0)) == pytest.approx(0.25)


def test_tokenizer_knows_every_caption_and_marks_other_words() -> None:
    from stbench.world.data import caption

    tokenizer, rng = build_tokenizer(), np.random.default_rng(0)
    for _ in range(100):
        ids = tokenizer(caption(random_truth(rng), rng))["input_ids"]
        assert tokenizer.unk_token_id not in ids
        assert len(ids) <= 16
    assert tokenizer("An astronaut at night")["input_ids"].count(tokenizer.unk_token_id) == 2


def test_the_whole_recipe_makes_a_model_that_films(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("storymem.training.card.reconstruction", lambda model: reconstruction(model, count=1))
    out = tmp_path / "model"
    recipe = Recipe(work=tmp_path / "work", out=out, clips=16, seed=0, steps=1, rank=4, stride=5, compile=False)
    for stage in [*STEPS, "card"]:
        run(stage, recipe)
    assert "| memory | 1 |" in (out / "MODEL_CARD.md").read_text()
    assert {path.parent.name for path in out.rglob("*.safetensors")} == {"vae", "transformer", "text_encoder", "memory_lora"}
    generator = Generator(resolve(str(out)), "cpu")
    memory = generator.encode_image(np.zeros((48, 80, 3), np.uint8))
    sampling = Sampling(steps=1, shift=5.0, guidance=(1.0, 1.0))
    assert generator.take(Take(prompt="a cat", seed=0, sampling=sampling, memory=memory)).frames.shape == (17, 48, 80, 3)
