"""Predicted peak memory of the 14B model by size and placement, as the table of docs/gpu.md: `python tests/bench/bench_placements.py`.

Nothing is loaded: the code of a shot runs on the meta device (`storymem.peaks`). GB are 10^9 bytes. A GPU needs about 8% and 1.5 GB
more than its column says (allocator, CUDA context), which is what `placement=auto` reckons with.
"""

from __future__ import annotations

from dataclasses import dataclass

from storymem.cost import Work
from storymem.peaks import peak
from storymem.placements import PLACEMENTS
from storymem.sizes import WAN_A14B

ROWS = ((480, 832, 0, False), (480, 832, 10, False), (480, 832, 10, True), (720, 1280, 10, False), (720, 1280, 10, True))


@dataclass(frozen=True, kw_only=True)
class Row:
    """One shot of 81 frames."""

    height: int
    width: int
    memory: int
    tiling: bool

    def line(self) -> str:
        """A row of the table, in GB."""
        work = Work(frames=81, height=self.height, width=self.width, memory=self.memory, known=1)
        peaks = [peak(WAN_A14B, work, placement, tiling=self.tiling) for placement in PLACEMENTS]
        device = " | ".join(f"{found.device_bytes / 1e9:.1f}" for found in peaks)
        host = f"{max(found.host_bytes for found in peaks) / 1e9:.0f}"
        return f"| {self.width}×{self.height} | {self.memory} | {'yes' if self.tiling else 'no'} | {device} | {host} |"


def table() -> list[str]:
    """All rows."""
    return [Row(height=height, width=width, memory=memory, tiling=tiling).line() for height, width, memory, tiling in ROWS]


if __name__ == "__main__":
    print("\n".join(table()))
