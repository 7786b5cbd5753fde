"""Features as directions: what every cosine begins with."""

from __future__ import annotations

import numpy as np

from metrics.base import NoValueError


def directions(feats_ND: np.ndarray) -> np.ndarray:
    """(N, D) features → float64 rows of length 1.

    Raises:
        NoValueError: A row is zero: it has no direction.

    Example:
        >>> directions(np.array([[3.0, 4.0]])).tolist()
        [[0.6, 0.8]]
    """
    x = np.asarray(feats_ND, np.float64)
    length = np.linalg.norm(x, axis=1, keepdims=True)
    if not (length > 0).all():
        raise NoValueError("a feature is zero: it has no direction")
    return np.asarray(x / length)
