"""Bank policy beyond the published answers (test_verify.py): what the paper variant promises."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from storymem.memory import select


@given(count=st.integers(0, 40), size=st.integers(0, 15), sink=st.integers(0, 15))
def test_the_paper_variant_never_exceeds_its_capacity_nor_repeats(count: int, size: int, sink: int) -> None:
    found = select(count, size=size, sink=sink)
    assert len(found) == min(count, size)
    assert found == sorted(set(found))
    assert found[: min(sink, size)] == list(range(min(sink, size, count)))


@given(count=st.integers(0, 40), size=st.integers(1, 15), data=st.data())
def test_both_variants_agree_where_the_window_is_not_empty(count: int, size: int, data: st.DataObject) -> None:
    sink = data.draw(st.integers(0, size - 1))
    assert select(count, size=size, sink=sink) == select(count, size=size, sink=sink, variant="release-2025-12")
