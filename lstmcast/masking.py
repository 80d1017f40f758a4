"""Masking: what is told, logged or stored never holds the password of a database."""

from __future__ import annotations

import re

_IN_ADDRESS = re.compile(r"(\b[a-z][a-z0-9+.-]*://[^\s:/@?#]*):[^\s@]+@", re.IGNORECASE)
_IN_OPTIONS = re.compile(r"([?&](?:ssl)?password=)[^\s&#]+", re.IGNORECASE)


def masked(text: str) -> str:
    """``text`` with the password of every URL in it replaced by ``***``."""
    return _IN_OPTIONS.sub(r"\1***", _IN_ADDRESS.sub(r"\1:***@", text)) if "://" in text else text
