"""stream-framework 1.4.0 (PyPI), measured by its own `Manager.fanout`.

Run by the Python of a virtual environment of its own: it wants redis-py 2 (it imports
`redis.client.BasePipeline`, gone since 3.0). Its module of the manager isn't Python any more since
3.7 (a parameter is called `async`): that one word is renamed while it is loaded, nothing else.

Reads requests from standard input, a JSON object a line: `{"fill": [ids], "size": n}` or
`{"post": id, "users": [ids]}`; answers each with `{"wall_s": …, "cpu_s": …}`, a post with the
`member` too by which its feeds hold it.
"""

import importlib.util
import json
import re
import sys
import time
import types
from typing import Any

PORT, DATABASE = int(sys.argv[1]), int(sys.argv[2])


def manager_module() -> types.ModuleType:
    """`stream_framework.feed_managers.base` with its parameter `async` renamed."""
    name = "stream_framework.feed_managers.base"
    spec = importlib.util.find_spec(name)
    if spec is None or spec.origin is None:
        raise SystemExit(f"{name} isn't installed")
    with open(spec.origin) as file:  # noqa: PTH123 - one read of a file
        source = re.sub(r"\basync\b", "async_", file.read())
    module = types.ModuleType(name)
    exec(compile(source, spec.origin, "exec"), module.__dict__)  # noqa: S102 - the peer's own module
    return module


def main() -> None:
    """Answer requests until the input ends."""
    from stream_framework import settings  # noqa: PLC0415 - set before anything reads it

    settings.STREAM_REDIS_CONFIG["default"].update(port=PORT, db=DATABASE)
    from stream_framework.activity import Activity  # noqa: PLC0415 - after the settings
    from stream_framework.feeds.redis import RedisFeed  # noqa: PLC0415 - after the settings
    from stream_framework.verbs.base import Add  # noqa: PLC0415 - after the settings

    base = manager_module()
    manager = base.Manager()

    def activity(post: int) -> Any:  # noqa: ANN401 - an untyped library
        return Activity(1, Add, post)

    for line in sys.stdin:
        request = json.loads(line)
        member = ""
        wall, cpu = time.perf_counter(), time.process_time()
        if "fill" in request:
            posts = [activity(1_000 + number) for number in range(request["size"])]
            RedisFeed.insert_activities(posts)
            for user in request["fill"]:
                RedisFeed(user).add_many(posts, trim=False)
        else:
            one = activity(request["post"])
            RedisFeed.insert_activity(one)
            users = request["users"]
            for start in range(0, len(users), manager.fanout_chunk_size):
                chunk = users[start : start + manager.fanout_chunk_size]
                manager.fanout(
                    chunk, RedisFeed, base.add_operation, {"activities": [one], "trim": True}
                )
            member = str(one.serialization_id)
        took = {"wall_s": time.perf_counter() - wall, "cpu_s": time.process_time() - cpu}
        sys.stdout.write(json.dumps(took | {"member": member}) + "\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main()
