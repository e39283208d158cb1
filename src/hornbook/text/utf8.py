"""Bytes of UTF-8 -> text, as they come: a character waits for its last byte."""


class Utf8:
    """Bytes -> text, piece by piece: what is fed and what finish gives, joined, is the text of all bytes at once."""

    def __init__(self) -> None:
        self._held = b""

    def feed(self, data: bytes) -> str:
        """Return the text that these bytes complete."""
        data = self._held + data
        whole = len(data) - _begun(data)
        self._held = data[whole:]
        return _decode(data[:whole])

    def finish(self) -> str:
        """Return what was still waiting: U+FFFD for a character that was only begun."""
        held, self._held = self._held, b""
        return _decode(held)


def _begun(data: bytes) -> int:
    """Return how many bytes at the end may be the beginning of a character that has more."""
    for n in range(1, min(3, len(data)) + 1):
        if (first := data[-n]) >= 0xC0:
            size = 2 if 0xC2 <= first < 0xE0 else 3 if 0xE0 <= first < 0xF0 else 4 if 0xF0 <= first < 0xF5 else 1
            return n if n < size else 0
    return 0


def _decode(data: bytes) -> str:
    """Decode UTF-8, also what stands for half a surrogate pair; each piece that is neither becomes U+FFFD."""
    text: list[str] = []
    start = 0
    while True:
        try:
            return "".join([*text, data[start:].decode("utf-8", "surrogatepass")])
        except UnicodeDecodeError as error:
            text += [data[start : start + error.start].decode("utf-8", "surrogatepass"), "\N{REPLACEMENT CHARACTER}"]
            start += error.end
