"""The picture of the topology in README.md, drawn from `streams/topology.py` (Mermaid).

`python -m ops.topology_picture` writes it between the markers; `make docs` does so.
"""

from pathlib import Path

from domain.settings import ROOT
from streams.topology import TOPOLOGY
from topics.catalog import EVENT_TOPICS, STAGE_TRACED

BEGIN = "<!-- topology:begin -->"
END = "<!-- topology:end -->"
README = ROOT / "README.md"


def render() -> str:
    """The picture as Markdown: stages are boxes, topics are the arrows' stops."""
    topics = [topic for topic in EVENT_TOPICS if topic is not STAGE_TRACED]
    stages = {stage.name: stage for stage in TOPOLOGY}
    lines = ["```mermaid", "flowchart LR"]
    lines += [f'  {_id(topic.name)}(["{topic.name}"])' for topic in topics]
    lines += [f"  {name}[{name}]" for name in stages]
    for topic in topics:
        lines += [f"  {_id(who)}>{who}] --> {_id(topic.name)}" for who in topic.made_outside]
    for stage in TOPOLOGY:
        lines += [f"  {_id(topic.name)} --> {stage.name}" for topic in stage.reads]
        lines += [f"  {stage.name} --> {_id(topic.name)}" for topic in stage.writes]
    for topic in topics:
        lines += [f"  {_id(topic.name)} --> {_id(who)}>{who}]" for who in topic.read_outside]
    return "\n".join([*lines, "```"])


def placed(text: str) -> str:
    """`text` with the picture between its markers. Raises ValueError without markers."""
    before, begin, rest = text.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not (begin and end):
        raise ValueError(f"no {BEGIN} … {END} to put the picture between")
    return f"{before}{BEGIN}\n{render()}\n{END}{after}"


def write(readme: Path = README) -> None:
    """Put the picture into the file."""
    readme.write_text(placed(readme.read_text()))


def _id(name: str) -> str:
    return "".join(letter if letter.isalnum() else "_" for letter in name)


if __name__ == "__main__":
    write()
