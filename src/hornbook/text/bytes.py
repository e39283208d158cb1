"""One id a byte of UTF-8: 256 of them hold any text there is, and nothing is ever unknown."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from functools import cached_property
from typing import ClassVar, Self

import numpy as np

from hornbook.errors import UsageError
from hornbook.text.units import BYTES, ByteDecoder, Decoder, Fitting, Ids, StandIn, Units

ALL = tuple(chr(byte) if 0x20 <= byte <= 0x7E else name for byte, name in enumerate(BYTES))


@dataclass(frozen=True)
class Bytes(Units):
    """The 256 bytes. Any text comes back as it was; ids that are no UTF-8 decode to U+FFFD where they are none."""

    units: tuple[str, ...] = field(default=ALL)
    name: ClassVar[str] = "bytes"

    @classmethod
    def fit(cls, chunks: Iterable[str], fitting: Fitting = Fitting()) -> Self:  # noqa: B008  (frozen)
        """Return the tokenizer of all texts; the chunks are read, as for any other, and change nothing."""
        if fitting != Fitting(normal=fitting.normal):
            raise UsageError("bytes are 256, whatever the text: leave out --vocab-size, text.min_count and text.rare")
        for _ in chunks:
            pass
        return cls(normal=fitting.normal)

    def _encode(self, chunks: Iterable[str], stand_in: StandIn) -> Iterator[Ids]:
        return (np.frombuffer(chunk.encode("utf-8", "surrogatepass"), np.uint8) for chunk in chunks)

    def decoder(self) -> Decoder:
        """Return a decoder for bytes that come one after another."""
        return ByteDecoder(self._bytes_of)

    @cached_property
    def _bytes_of(self) -> list[bytes]:
        return [bytes([byte]) for byte in range(256)]

    @classmethod
    def from_json(cls, data: object) -> Self:
        """Return the tokenizer that `to_json` gave; UsageError if the data is damaged."""
        tokenizer = super().from_json(data)
        if tokenizer != cls(normal=tokenizer.normal):
            raise UsageError('damaged vocabulary: the units of "bytes" are the 256 bytes, in order')
        return tokenizer
