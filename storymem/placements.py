"""Where the weights are while a shot is made. None of them changes a pixel; each holds less on the device than the one before.

resident       everything stays on the device
offload        the VAE, and the one model that works now; the others wait in main memory
group-offload  the VAE, and two blocks of the model that works now; blocks are fetched while the one before computes
"""

from __future__ import annotations

from typing import Literal, get_args

Placement = Literal["resident", "offload", "group-offload"]
PLACEMENTS: tuple[Placement, ...] = get_args(Placement)
BLOCKS_AT_ONCE = 2  # of group-offload: the one that computes and the one that is fetched


def lower(placement: Placement) -> Placement | None:
    """The next placement that holds less on the device; None below the last.

    Example:
        >>> lower("resident"), lower("group-offload")
        ('offload', None)
    """
    place = PLACEMENTS.index(placement) + 1
    return PLACEMENTS[place] if place < len(PLACEMENTS) else None
