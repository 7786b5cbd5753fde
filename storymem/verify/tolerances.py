"""How far a number may be from the published one.

In float32 the limits are those that an independent route to the same numbers leaves room for (it reached a fifth of them). They allow
sums in another order and fused kernels, and nothing else: the classic mistakes (scale of the LoRA, positions, sigmas, order of
memory) are 100 to 10,000 times larger. Off the CPU they are widened by `OFF_CPU`.

In bfloat16 and float16 only transformers and the text encoder run in that dtype, as in a real run; modulation, rotary positions,
schedules, guidance and the VAE stay in float32. A forward pass then differs by about one rounding of the dtype per layer, and
sampling multiplies that. The limits for them are about three times what was measured on a CPU on the numbers in tests/oracle.
"""

from __future__ import annotations

from stbench.oracle import Setting

OFF_CPU = 5.0
_TABLE = {  # what: (float32, bfloat16, float16)
    "transformer": (2e-5, 2e-2, 3e-3),  # measured on a CPU: 5e-6, 7e-3, 1e-3
    "sampling": (2e-5, 5e-2, 5e-3),  # 4e-6, 1.5e-2, 1.8e-3
    "video": (3e-4, 5e-1, 6e-2),  # 5e-5, 1.8e-1, 2.1e-2; the worst pixel
    "text": (5e-6, 6e-2, 6e-3),  # 5e-7, 2e-2, 2e-3
    "vae": (5e-6, 5e-6, 5e-6),
    "condition": (5e-6, 5e-6, 5e-6),
    "pixels": (1e-5, 1e-5, 1e-5),
    "schedule": (1e-6, 1e-6, 1e-6),
}
_DTYPES = ("float32", "bfloat16", "float16")


def tolerance(what: str, setting: Setting) -> float:
    """The limit for one kind of number.

    Args:
        what: A key of the table: "transformer", "sampling", "video" (max_abs), "text", "vae", "condition", "pixels", "schedule".
        setting: Device and dtype.

    Example:
        >>> tolerance("vae", Setting()), tolerance("vae", Setting(device="cuda"))
        (5e-06, 2.5e-05)
    """
    limit = _TABLE[what][_DTYPES.index(setting.dtype)]
    return limit if setting.device == "cpu" or what == "schedule" else OFF_CPU * limit


def explain(setting: Setting) -> tuple[str, ...]:
    """Notes for the report."""
    said = []
    if setting.dtype != "float32":
        said.append(
            f"transformers and text encoder in {setting.dtype}, tolerances {tolerance('transformer', setting):g} per forward pass and"
            f" {tolerance('sampling', setting):g} per sampling (about three times what was measured on a CPU); everything else in float32"
        )
        said.append("verify float32 first: in lower precision a small mistake (a stride of 6 for 5 moves a sampling by 2e-2) can pass")
    if setting.device != "cpu":
        said.append(f"tolerances are {OFF_CPU:g} times those of the CPU; TF32 is off while verifying, a real run may use it")
    return tuple(said)
