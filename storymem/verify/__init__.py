"""Holds StoryMem against numbers that the published code computed, whatever their sizes, seeds, layers, frames and ranks.

Everything is read from the files; the arithmetic is the project's own (`positions`, `condition`, `denoise`, `lora`, `layouts`,
`latents`, `keyframes`, `memory`, `clip_frames`), so a change there that moves a number is a miss here. One module per kind of thing
that is checked; `stbench verify` and the tests both run `VERIFIER`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

from stbench.oracle import Check, OracleFolder, Setting, Unchecked, Verifier, broken

REQUIRED = (
    *("transformer_m2v.json", "transformer_m2v.safetensors", "transformer_m2v_lora.safetensors"),
    *("vae.json", "vae.safetensors", "condition.json", "condition.safetensors", "scheduler.json", "scheduler.safetensors"),
    *("generate.json", "generate_m2v.safetensors", "generate_paper.json", "generate_paper.safetensors", "generate_t2v.safetensors"),
    *("keyframes.json", "keyframes_pixels.json", "keyframes_pixels.safetensors", "memory_bank.json", "t5.json", "t5.safetensors"),
)


def checks(folder: OracleFolder, setting: Setting) -> Iterator[Check | Unchecked]:
    """Every check that the files of the folder allow."""
    from storymem.verify import conditions, networks, samplings, schedules, selection
    from storymem.verify.models import Models

    models = Models(folder, setting)
    parts: list[tuple[str, tuple[str, ...], Callable[[Models], Iterator[Check | Unchecked]]]] = [
        ("scheduler", ("scheduler.json", "scheduler.safetensors"), schedules.scheduler),
        ("keyframes", ("keyframes.json",), selection.keyframe_searches),
        ("keyframes_pixels", ("keyframes_pixels.json", "keyframes_pixels.safetensors"), selection.keyframe_pixels),
        ("memory_bank", ("memory_bank.json",), selection.memory_bank),
        ("vae", ("vae.json", "vae.safetensors"), networks.vae),
        ("t5", ("t5.json", "t5.safetensors"), networks.text_encoder),
        ("transformer", ("transformer_m2v.json", "transformer_m2v.safetensors"), networks.transformer),
        ("lora", ("transformer_m2v_lora.safetensors",), networks.transformer_with_lora),
        ("condition", ("condition.json", "condition.safetensors"), conditions.conditions),
        ("generate", ("generate.json", "generate_m2v.safetensors"), samplings.as_released),
        ("generate_paper", ("generate_paper.json", "generate_paper.safetensors"), samplings.as_in_the_paper),
        ("generate_t2v", ("generate_t2v.safetensors",), samplings.text_to_video),
    ]
    for name, files, part in parts:
        if not folder.has(*files):
            there = [file for file in files if folder.has(file)]
            if there:
                lacking = ", ".join(file for file in files if file not in there)
                yield Unchecked(name=name, reason=f"{', '.join(there)} without {lacking}, which is not in this folder")
            continue
        try:
            yield from part(models)
        except Exception as why:  # a broken file is the miss of its part, the others go on
            yield broken(name, why)
        models.forget()


def notes(setting: Setting) -> tuple[str, ...]:
    """How precise the comparison is with this device and dtype."""
    from storymem.verify.tolerances import explain

    return explain(setting)


def accept(setting: Setting) -> None:
    """UserError for an attention backend that nobody knows."""
    if setting.attention is not None:
        from storymem.attention import choose_backend

        choose_backend(setting.attention, "cpu")


VERIFIER = Verifier(
    name="storymem", about="the first public StoryMem code", files=REQUIRED, required=REQUIRED, checks=checks, notes=notes, accept=accept
)
