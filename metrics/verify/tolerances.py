"""How far a feature or a score may be from VBench's.

In float32: features 1e-5, scores 1e-6 (VBench computes cosines in float32), preprocessing 5e-6 (torch's bilinear kernel rounds the last
bit in one of two ways, by the number of threads). Off the CPU features and scores get five times that. In bfloat16 and float16 the
encoders run in that dtype; the limits are about three times what was measured on a CPU on the numbers in tests/oracle_metrics.
"""

from __future__ import annotations

from stbench.oracle import Setting

OFF_CPU = 5.0
_TABLE = {  # what: (float32, bfloat16, float16)
    "preprocess": (5e-6, 5e-6, 5e-6),
    "feature": (1e-5, 3e-2, 4e-3),
    "score": (1e-6, 1e-2, 2e-3),
    "arithmetic": (1e-6, 1e-6, 1e-6),  # from stored features: no encoder runs
}
_DTYPES = ("float32", "bfloat16", "float16")


def tolerance(what: str, setting: Setting) -> float:
    """The limit for "preprocess" (max_abs), "feature" (rel_l2), "score" or "arithmetic" (abs).

    Example:
        >>> tolerance("feature", Setting()), tolerance("score", Setting())
        (1e-05, 1e-06)
    """
    limit = _TABLE[what][_DTYPES.index(setting.dtype)]
    return limit if setting.device == "cpu" or what == "arithmetic" else OFF_CPU * limit


def explain(setting: Setting) -> tuple[str, ...]:
    """Notes for the report."""
    said = []
    if setting.dtype != "float32":
        limits = f"features {tolerance('feature', setting):g}, scores {tolerance('score', setting):g}"
        said.append(f"encoders in {setting.dtype}, tolerances {limits} (about three times what was measured on a CPU)")
    if setting.attention is not None:
        said.append("the attention backend is for StoryMem's transformers; encoders use torch's own")
    if setting.device != "cpu":
        said.append(f"tolerances of encoders are {OFF_CPU:g} times those of the CPU; TF32 is off while verifying")
    return tuple(said)
