"""One id a byte of UTF-8: 256 of them hold any text there is, and nothing is ever unknown."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from functools import cached_property
from typing import ClassVar, Self

import numpy as np
import numpy.typing as npt

from hornbook.errors import UsageError
from hornbook.text.units import Decoder, Ids, Units, Unknown, checked_ids, checked_unknown

ALL = tuple(f"<{byte:02X}>" if byte < 0x20 or byte > 0x7E else chr(byte) for byte in range(256))


@dataclass(frozen=True)
class Bytes(Units):
    """The 256 bytes. Any text comes back as it was; ids that are no UTF-8 decode to U+FFFD where they are none."""

    units: tuple[str, ...] = field(default=ALL)
    name: ClassVar[str] = "bytes"

    @classmethod
    def fit(cls, chunks: Iterable[str]) -> Self:
        """Return the tokenizer of all texts; the chunks are read, as for any other, and change nothing."""
        for _ in chunks:
            pass
        return cls()

    @cached_property
    def unit_bytes(self) -> npt.NDArray[np.int64]:
        """How many UTF-8 bytes each id stands for (V,): one."""
        return np.ones(256, np.int64)

    @cached_property
    def unit_characters(self) -> npt.NDArray[np.int64]:
        """How many characters each id stands for (V,): one where a character begins, none where it goes on."""
        return (np.arange(256) & 0xC0 != 0x80).astype(np.int64)

    def encode(self, text: str, unknown: Unknown = "error") -> Ids:
        """Return the UTF-8 bytes of a text (T,), uint8; nothing is unknown."""
        checked_unknown(unknown)
        return np.frombuffer(text.encode("utf-8", "surrogatepass"), np.uint8)

    def encode_chunks(self, chunks: Iterable[str], unknown: Unknown = "error") -> Iterator[Ids]:
        """Yield the bytes of a text that comes in pieces."""
        return (self.encode(chunk, unknown) for chunk in chunks)

    def decode(self, ids: npt.ArrayLike) -> str:
        """Return the text of bytes (T,); UsageError for a number that is none."""
        decoder = self.decoder()
        return decoder.feed(ids) + decoder.finish()

    def decoder(self) -> Decoder:
        """Return a decoder for bytes that come one after another."""
        return ByteDecoder()

    @classmethod
    def from_json(cls, data: object) -> Self:
        """Return the tokenizer that `to_json` gave; UsageError if the data is damaged."""
        if data != cls().to_json():
            raise UsageError('damaged vocabulary: the units of "bytes" are the 256 bytes, in order')
        return cls()


class ByteDecoder:
    """Bytes -> text, piece by piece: a character waits for its last byte."""

    def __init__(self) -> None:
        self._held = b""

    def feed(self, ids: npt.ArrayLike) -> str:
        """Return the text that these bytes complete."""
        data = self._held + checked_ids(ids, 256).astype(np.uint8).tobytes()
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
