"""Accounts, tokens and profiles."""

from typing import Annotated, Literal

from fastapi import APIRouter, Request
from pydantic import AfterValidator, BaseModel, StringConstraints

from api.deps import Api, Deps, UserId, Viewer
from api.front.idempotency import same_id
from api.people import Account, Profile, account, is_live, profiles
from api.problems import (
    BAD_CREDENTIALS,
    UNAUTHENTICATED,
    USERNAME_TAKEN,
    Problem,
    invalid,
    not_found,
)
from api.wire import Bio, Body, DisplayName, encodable
from domain import ids
from domain.entities import User

public = APIRouter(tags=["accounts"])
router = APIRouter(tags=["accounts"])

Username = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$")]
Password = Annotated[str, StringConstraints(max_length=256), AfterValidator(encodable)]


class NewUser(Body):
    """A registration."""

    username: Username
    password: Annotated[Password, StringConstraints(min_length=8)]
    display_name: DisplayName | None = None
    bio: Bio = ""


class Credentials(Body):
    """A sign-in."""

    username: Annotated[str, StringConstraints(max_length=64)]
    password: Password


class Token(BaseModel):
    """An access token (RFC 6750); `expires_in` is seconds."""

    access_token: str
    token_type: Literal["bearer"] = "bearer"  # noqa: S105 - a scheme, no secret
    expires_in: int


class ProfileEdit(Body):
    """What of the own profile changes; what is absent or null stays."""

    display_name: DisplayName | None = None
    bio: Bio | None = None
    avatar_photo_id: str | None = None


@public.post("/users", status_code=201)
async def register(api: Api, request: Request, new: NewUser) -> Account:
    """Make an account."""
    await api.limits.spend(request.scope["state"], "registrations", request.state.ip)
    user = User(
        user_id=await same_id(api, request, "u_"),
        username=new.username,
        display_name=new.display_name or new.username,
        bio=new.bio,
        avatar_photo_id=None,
        created_at=api.now_ms(),
    )
    password_hash = await api.passwords.hash(new.password)
    if not await api.stores.users.add(user, password_hash):
        raise Problem(USERNAME_TAKEN, f"{new.username!r} is taken")
    return await account(api, user)


@public.post("/auth/token")
async def sign_in(api: Api, request: Request, credentials: Credentials) -> Token:
    """Exchange username and password for an access token."""
    await api.limits.check(request.scope["state"], "unauthenticated", request.state.ip)
    user, password_hash = await _by_name(api, credentials.username) or (None, None)
    right = await api.passwords.matches(credentials.password, password_hash)
    if user is None or not right:
        raise Problem(BAD_CREDENTIALS, headers={"WWW-Authenticate": "Bearer"})
    token = api.tokens.issue(user.user_id, api.stores.ids.next_id(), api.now_ms())
    return Token(access_token=token, expires_in=api.tokens.ttl_s)


@router.get("/users/by-name/{username}")
async def profile_by_name(api: Api, viewer: Viewer, username: str) -> Profile:
    """Somebody's profile, by name in any case."""
    found = await _by_name(api, username)
    if found is None:
        raise not_found("user")
    return (await profiles(api, viewer, [found[0]]))[0]


@router.get("/users/{user_id}")
async def profile(api: Api, viewer: Viewer, user_id: UserId) -> Profile:
    """Somebody's profile."""
    return (await profiles(api, viewer, [await _user(api, user_id)]))[0]


@router.patch("/users/me")
async def edit_profile(api: Api, viewer: Viewer, edit: ProfileEdit) -> Account:
    """Change the own profile; an avatar is an own published photo."""
    avatar = edit.avatar_photo_id
    if avatar is not None:
        photo = await api.stores.photos.get(avatar) if ids.is_id(avatar, "ph_") else None
        if photo is None or photo.user_id != viewer or not is_live(photo):
            raise invalid("avatar_photo_id", "not a published photo of yours")
    user = await api.stores.users.update(
        viewer, display_name=edit.display_name, bio=edit.bio, avatar_photo_id=avatar
    )
    if user is None:
        raise Problem(UNAUTHENTICATED, "the account is gone")
    await api.stores.post_cache.forget([viewer])
    return await account(api, user)


async def _user(deps: Deps, user_id: str) -> User:
    """Raises Problem (404) for nobody."""
    user = await deps.stores.users.get(user_id)
    if user is None:
        raise not_found("user")
    return user


async def _by_name(deps: Deps, username: str) -> tuple[User, str] | None:
    """Person and password hash; what can't be a username is nobody's."""
    if not (username.isascii() and username.isprintable()):
        return None
    return await deps.stores.users.by_name(username)
