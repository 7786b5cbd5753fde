"""Bad inputs made from good ones, from one seed: what fuzzing feeds to everything that reads a stranger's files."""

from __future__ import annotations

import json
import random
from typing import Any

ODD_TEXT = (
    *("", " ", "\x00", "../../x", "/etc/passwd", "..\\..\\x", "CON", "nul.json", "a" * 300, "\u202etxt.exe", "\ud800", "\x1b[31m"),
    *("<script>alert(1)</script>", "=cmd|' /C calc'!A0", "$(touch x)", "; rm -rf x", "%s%n", "{{7*7}}", "file:///etc/passwd", "01_02"),
)
ODD_VALUES = (*ODD_TEXT, None, True, 0, -1, 2**31, 2**63, 10**400, 1.5, -0.0, 1e308, [], {}, [[]], [0] * 1000, {"a": {"a": {"a": {}}}})
ODD_BYTES = (
    b"NaN",
    b"Infinity",
    b"1e999",
    b"[" * 3000,
    b'{"a":' * 3000,
    b"\xff\xfe",
    b"\x00",
    b"\xef\xbb\xbf",
    b"\xed\xa0\x80",
    b"9" * 5000,
)
ODD_BYTES += (b"\\ud800", b'"schema": 99', b"\n\n", b"&a [*a,*a]", b"!!python/object/apply:os.system [id]", b"- " * 2000)


class Mutator:
    """Makes bad inputs from good ones, from one seed."""

    def __init__(self, seed: int):
        self.rng = random.Random(seed)

    def bytes(self, data: bytes) -> bytes:
        """A few random changes of bytes, or of one JSON value."""
        if self.rng.random() < 0.5:
            changed = self._json(data)
            if changed is not None:
                return changed
        out = bytearray(data)
        for _ in range(self.rng.choice((1, 1, 1, 2, 4, 16))):
            self._change(out)
        return bytes(out[:2_000_000])

    def _change(self, out: bytearray) -> None:
        rng = self.rng
        at = rng.randrange(len(out) + 1)
        end = min(len(out), at + rng.choice((1, 2, 4, 8, 64)))
        how = rng.randrange(7)
        if how == 0 and at < len(out):
            out[at] ^= 1 << rng.randrange(8)
        elif how == 1:
            out[at:end] = rng.randbytes(end - at)
        elif how == 2:
            del out[at:end]
        elif how == 3:
            del out[at:]
        elif how == 4:
            out[at:at] = rng.choice(ODD_BYTES)
        elif how == 5:
            out[at:at] = out[at:end] * rng.choice((1, 2, 50))
        else:
            out[at:end] = rng.choice((b"\x00", b"\xff", b"\x7f")) * (end - at)

    def _json(self, data: bytes) -> bytes | None:
        """The same JSON (a line of it, if it has lines) with one value or key replaced, moved or removed."""
        lines = data.split(b"\n")
        number = self.rng.randrange(len(lines)) if len(lines) > 1 and lines[0].endswith(b"}") else None
        try:
            value = json.loads(data if number is None else lines[number])
        except (ValueError, RecursionError):
            return None
        value = self._replace(value)
        text = json.dumps(value).encode()
        if number is None:
            return text
        lines[number] = text
        return b"\n".join(lines)

    def _replace(self, value: Any) -> Any:
        rng = self.rng
        if isinstance(value, dict) and value and rng.random() < 0.9:
            key = rng.choice(list(value))
            how = rng.random()
            if how < 0.1:
                return {k: v for k, v in value.items() if k != key}
            if how < 0.2:
                return {**value, rng.choice(ODD_TEXT): value[key]}
            return {**value, key: self._replace(value[key])}
        if isinstance(value, list) and value and rng.random() < 0.8:
            at = rng.randrange(len(value))
            if rng.random() < 0.2:
                return value[:at] + value[at:] * 2
            return [*value[:at], self._replace(value[at]), *value[at + 1 :]]
        return rng.choice(ODD_VALUES)
