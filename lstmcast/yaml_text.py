"""YAML as people write it into settings: plain values only, and no text that unfolds into more than a person writes.

The library is imported where a text is read or written: most commands have none, and start sooner.
"""

from __future__ import annotations

from typing import Any

_MOST = 100_000  # nodes once every alias is followed


class NotYamlError(ValueError):
    """A text that is no YAML, or none that a person wrote."""


def load_yaml(text: str) -> Any:
    """The plain value of a YAML text. Raises ``NotYamlError`` for anything that is none, however odd."""
    import yaml

    try:
        if _size(text) > _MOST:
            raise NotYamlError("it unfolds into more than 100,000 values")
        return yaml.safe_load(text)
    except RecursionError as error:
        raise NotYamlError("it is nested too deeply") from error
    except (yaml.YAMLError, ValueError) as error:  # the latter: a date that is none, a number without end
        raise NotYamlError(str(error)) from error


def dump_yaml(value: Any) -> str:
    """A value as YAML on one line."""
    import yaml

    text: str = yaml.safe_dump(value, default_flow_style=True, allow_unicode=True, width=1_000_000)
    return text.removesuffix("\n...\n").strip()


def _size(text: str) -> int:
    """Number of nodes with every alias followed; of one that contains itself more than any text may have."""
    import yaml

    sizes: dict[str, int] = {}
    open_nodes: list[tuple[str | None, int]] = [(None, 0)]
    for event in yaml.parse(text):
        if isinstance(event, yaml.AliasEvent):
            itself = any(event.anchor == name for name, _ in open_nodes)
            grown = _MOST + 1 if itself else sizes.get(event.anchor or "", 1)
        elif isinstance(event, yaml.CollectionStartEvent):
            open_nodes.append((event.anchor, 1))
            continue
        elif isinstance(event, yaml.CollectionEndEvent):
            anchor, grown = open_nodes.pop()
            if anchor is not None:
                sizes[anchor] = grown
        elif isinstance(event, yaml.ScalarEvent):
            grown = 1
            if event.anchor is not None:
                sizes[event.anchor] = 1
        else:
            continue
        name, before = open_nodes[-1]
        open_nodes[-1] = (name, before + grown)
    return open_nodes[0][1]
