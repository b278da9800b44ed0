"""People for tests: accounts with fresh ids and names."""

from domain.entities import User
from domain.ids import read
from domain.ports.accounts import Users
from tests.fresh import fresh_id, now_ms


def person(username: str | None = None) -> User:
    """A new profile that no store knows yet."""
    user_id = fresh_id("u_")
    return User(user_id, username or f"Name{read(user_id)}", "Display", "A bio.", None, now_ms())


async def add_people(users: Users, number: int) -> list[str]:
    """Ids of so many new accounts, ascending."""
    people = [person() for _ in range(number)]
    for each in people:
        assert await users.add(each, "hash")
    return [each.user_id for each in people]
