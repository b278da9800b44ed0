"""A viewer's own click, shown to them before the stage has counted it. Pure."""

from domain.entities import Counts


def with_click(counts: Counts, click: bool | None, *, liked: bool) -> tuple[Counts, bool]:
    """Counts and `liked` as the viewer should see them.

    Args:
        counts: what is counted so far.
        click: what the viewer did last (True for a like), None when that is long ago.
        liked: whether the viewer is among those counted.
    """
    shown = liked if click is None else click
    likes = max(int(shown), counts.likes + shown - liked)  # counted a moment after it is listed
    return Counts(likes, counts.comments), shown
