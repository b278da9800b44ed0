"""What a viewer sees of their own click."""

import pytest

from domain.clicks import with_click
from domain.entities import Counts


@pytest.mark.parametrize(
    ("click", "liked", "likes", "shown"),
    [
        (None, False, 3, (3, False)),
        (None, True, 3, (3, True)),
        (True, True, 3, (3, True)),
        (False, False, 3, (3, False)),
        (True, False, 3, (4, True)),
        (False, True, 3, (2, False)),
        (False, True, 0, (0, False)),
        (True, True, 0, (1, True)),
    ],
)
def test_a_click_counts_only_where_it_contradicts_what_is_counted(
    click: bool | None, liked: bool, likes: int, shown: tuple[int, bool]
) -> None:
    assert with_click(Counts(likes, 7), click, liked=liked) == (Counts(shown[0], 7), shown[1])
