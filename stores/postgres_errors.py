"""What psycopg's exceptions mean to a caller (domain/errors.py)."""

from collections.abc import Iterator
from contextlib import contextmanager

import psycopg
from psycopg import errors as pg
from psycopg_pool import PoolClosed, PoolTimeout

from domain.errors import Reason, StoreAway, Transient, Unrecoverable

_MAY_WORK = (
    pg.SerializationFailure,
    pg.DeadlockDetected,
    pg.LockNotAvailable,
    pg.QueryCanceled,  # statement_timeout
    pg.IdleInTransactionSessionTimeout,
)
_AWAY = (psycopg.OperationalError, psycopg.InterfaceError, PoolTimeout, PoolClosed, TimeoutError)


@contextmanager
def translated() -> Iterator[None]:
    """Raise Transient for a conflict or a slow statement, StoreAway when nobody answers.

    A value that no column holds (a NUL in a text, a number out of range) came from outside and can
    never work: Unrecoverable(invalid_event). Anything else (a wrong statement, a broken constraint)
    passes: it is a bug here or there.
    """
    try:
        yield
    except _MAY_WORK as error:
        raise Transient(f"postgres: {type(error).__name__}") from error
    except _AWAY as error:
        raise StoreAway(f"postgres: {type(error).__name__}") from error
    except psycopg.DataError as error:
        raise Unrecoverable(Reason.INVALID_EVENT, f"postgres: {error}") from error
    except psycopg.InternalError as error:
        if error.sqlstate is not None:
            raise  # the server says so
        # psycopg's own word for a connection that broke between a command and its answer
        raise StoreAway(f"postgres: {error}") from error
