"""Holds the metrics against numbers that VBench's own code computed, whatever their videos, sizes, layers and lengths.

Everything is read from the files; preprocessing, encoders and arithmetic are the project's own (`metrics.encoders`, one file per
metric), so a change there that moves a number is a miss here. `stbench verify` and the tests both run `VERIFIER`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

from stbench.oracle import Check, OracleFolder, Setting, Unchecked, Verifier, broken

REQUIRED = (
    *("oracle.json", "features.safetensors", "preprocess.safetensors", "stub_weights.safetensors"),
    *("videos.safetensors", "viclip_l14_keys.json", "viclip_tiny_io.safetensors", "viclip_tiny_weights.safetensors"),
)
FILES = (*REQUIRED, "video*.mp4", "frame_*.png")


def checks(folder: OracleFolder, setting: Setting) -> Iterator[Check | Unchecked]:
    """Every check that the files of the folder allow."""
    from metrics.verify import features, inputs, scores, towers
    from metrics.verify.material import Material

    material = Material(folder, setting)
    parts: list[tuple[str, Callable[[Material], Iterator[Check | Unchecked]]]] = [
        ("sampling", inputs.sampling_checks),
        ("tokens", inputs.tokens),
        ("videos", inputs.videos),
        ("preprocess", inputs.preprocess),
        ("viclip", towers.viclip),
        ("viclip full size", towers.full_size),
        ("features", features.features),
        ("scores", scores.results),
        ("edge", scores.edges),
        ("oracle.json", inputs.other_facts),
    ]
    for name, part in parts:
        try:
            yield from part(material)
        except Exception as why:  # a broken file is the miss of its part, the others go on
            yield broken(name, why)


def notes(setting: Setting) -> tuple[str, ...]:
    """How precise the comparison is with this device and dtype."""
    from metrics.verify.tolerances import explain

    return explain(setting)


VERIFIER = Verifier(name="metrics", about="VBench's own code", files=FILES, required=REQUIRED, checks=checks, notes=notes)
