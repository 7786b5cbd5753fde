"""Settings of all tests: no deadlines (a busy machine is not a bug), the same examples everywhere."""

from __future__ import annotations

from hypothesis import settings

settings.register_profile("stbench", deadline=None, derandomize=True, max_examples=50)
settings.load_profile("stbench")
