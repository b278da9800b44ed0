"""`python -m api`: the API on its port, loopback only."""

import sys

from api.app import create_app
from api.server import listen, run
from domain.secrets import Secrets
from domain.settings import Settings
from stores.connect import Stores


async def serve(settings: Settings) -> None:
    """Answer calls until SIGTERM."""
    secrets = Secrets.load(settings.run_dir)
    stores = Stores(settings, secrets)
    try:
        app = create_app(settings, secrets, stores)
        await listen(app, settings.port("api"), app.state.deps.streams.end)
    finally:
        await stores.close()


if __name__ == "__main__":
    sys.exit(run(serve))
