"""Windows of time: they cover every row once, in order, and begin small."""

from __future__ import annotations

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from church.telemetry_store.queries.windows import Piece, list_windows

PIECES = st.lists(
    st.builds(
        lambda first, length, rows: Piece("x", first, first + length, rows),
        st.integers(0, 10_000),
        st.integers(0, 5_000),
        st.integers(1, 2_000_000),
    ),
    max_size=8,
)


@given(PIECES, st.booleans(), st.integers(1, 1000))
def test_windows_cover_each_moment_of_the_pieces_once_in_order(
    pieces: list[Piece], newest_first: bool, first_rows: int
) -> None:
    windows = list(list_windows(pieces, (0, 2**62), first_rows, newest_first=newest_first))
    assert windows == sorted(windows, key=lambda window: window.begin, reverse=newest_first)
    in_order = windows[::-1] if newest_first else windows
    assert all(window.begin < window.end for window in windows)
    assert all(one.end == other.begin for one, other in pairwise(in_order))
    for piece in pieces:
        assert in_order[0].begin <= piece.first
        assert piece.last < in_order[-1].end
        holding = [window for window in windows if window.begin <= piece.last and window.end > piece.first]
        assert all(piece in window.pieces for window in holding)


def test_first_window_is_small_and_later_ones_grow() -> None:
    pieces = [Piece("a", 0, 999_999, 1_000_000), Piece("b", 1_000_000, 1_999_999, 1_000_000)]
    windows = list(list_windows(pieces, (0, 2**62), 1000, newest_first=True))
    assert [window.end - window.begin for window in windows[:3]] == [1000, 8000, 64_000]
    assert [piece.path for piece in windows[0].pieces] == ["b"]
    assert max(window.end - window.begin for window in windows) <= 1_000_000


def test_windows_keep_to_the_span() -> None:
    (window,) = list_windows([Piece("a", 0, 99, 100)], (10, 20), 1000, newest_first=True)
    assert (window.begin, window.end) == (10, 20)


def test_no_pieces_have_no_windows() -> None:
    assert list(list_windows([], (0, 2**62), 1000, newest_first=True)) == []
