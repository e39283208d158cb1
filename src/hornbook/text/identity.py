"""What a text is known by."""

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass

from hornbook.text.split import Pieces


@dataclass(frozen=True)
class Identity:
    """What a text is known by: the sha256 (hex) of its UTF-8 bytes, and how many characters and bytes it has."""

    sha256: str
    characters: int
    bytes: int


class Meter:
    """Takes the identity of a text while its pieces pass through to whoever reads them."""

    def __init__(self) -> None:
        self._hash, self._starts = hashlib.sha256(), hashlib.sha256()
        self._characters = self._bytes = 0

    def watch(self, pieces: Pieces) -> Iterator[tuple[bool, str]]:
        """Yield the pieces as they come, measuring each."""
        for begins, piece in pieces:
            if begins:
                self._starts.update(b"%d " % self._characters)
            data = piece.encode("utf-8", "surrogatepass")
            self._hash.update(data)
            self._characters += len(piece)
            self._bytes += len(data)
            yield begins, piece

    @property
    def identity(self) -> Identity:
        """The identity of what has passed so far: of the whole text, once all pieces are through."""
        return Identity(self._hash.hexdigest(), self._characters, self._bytes)

    @property
    def documents(self) -> str:
        """A hash (hex) of where its documents begin."""
        return self._starts.hexdigest()
