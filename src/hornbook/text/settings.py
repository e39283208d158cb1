"""What is asked of a text before it becomes ids: how it is read, what a unit is, what is held back to validate on."""

from collections import Counter
from dataclasses import dataclass
from typing import Any, cast, get_args

import regex

from hornbook.errors import UsageError, nearest
from hornbook.text.characters import Characters
from hornbook.text.reading import text_codec
from hornbook.text.split import By, check_split
from hornbook.text.tokenizer import named
from hornbook.text.units import Fitting, Rare

AUTO = "auto"
LETTER = regex.compile(r"\p{L}")
_JOINING = (  # scripts that have a sign which joins consonants (see `aksharas.py`)
    "Devanagari Bengali Gurmukhi Gujarati Oriya Tamil Telugu Kannada Malayalam Sinhala Myanmar Khmer Tai_Tham Balinese "
    "Sundanese Syloti_Nagri Saurashtra Javanese Meetei_Mayek Kharoshthi Brahmi Kaithi Chakma Sharada Khojki Grantha "
    "Tulu_Tigalari Newa Tirhuta Siddham Modi Takri Dogra Dives_Akuru Nandinagari Zanabazar_Square Soyombo Bhaiksuki "
    "Masaram_Gondi Gunjala_Gondi Kawi"
)
SCRIPTS = _JOINING.split()
_OF_SCRIPT = {script: regex.compile(rf"\p{{Script={script}}}") for script in SCRIPTS}


@dataclass(frozen=True)
class TextSettings:
    """How a text is made into ids."""

    tokenizer: str = "characters"
    """what a unit is: characters, graphemes, aksharas, bytes or bpe; auto: aksharas where the script has conjuncts"""
    vocab_size: int | None = None
    """how many units bpe makes"""
    min_count: int = 1
    """how often a unit has to come, not to be rare"""
    rare: str = "keep"
    """what rare units become: keep them; unknown, one unit for all of them, shown as U+FFFD; or their bytes"""
    normal: str = "none"
    """the normal form that text, and each prompt, is brought into: NFC, NFD or none"""
    encoding: str = "auto"
    """how the text is encoded, such as cp1252; auto is UTF-8, or what a byte order mark says"""
    field: str = "text"
    """where the text stands in the objects of a .jsonl file"""
    split: float = 0.9
    """the share that is trained on; the rest validates"""
    split_by: str = "position"
    """what validates: the end of the text (position), or lines or documents drawn by chance"""
    split_seed: int = 1
    """where that chance comes from"""

    def __post_init__(self) -> None:
        if self.tokenizer != AUTO:
            named(self.tokenizer)
        if self.normal not in (forms := ("none", "NFC", "NFD")):
            raise UsageError(f"text.normal is {self.normal!r}; {nearest(self.normal, forms)}")
        self.fitting  # noqa: B018  (raises for what can't be)
        check_split(self.split)
        if not 0 <= self.split_seed < 1 << 64:
            raise UsageError(f"text.split_seed is {self.split_seed}; it has to be from 0 to 2**64 - 1")
        if self.encoding != AUTO:
            text_codec(self.encoding)
        if self.split_by not in get_args(By):
            raise UsageError(f"text.split_by is {self.split_by!r}; {nearest(self.split_by, get_args(By))}")

    @property
    def fitting(self) -> Fitting:
        """What decides the vocabulary, besides the text."""
        normal = "" if self.normal == "none" else self.normal
        return Fitting(self.vocab_size, self.min_count, cast(Rare, self.rare), normal)

    @property
    def reading(self) -> dict[str, Any]:
        """What `reading.read_documents` is to know."""
        return {"encoding": None if self.encoding == AUTO else self.encoding, "field": self.field}


def script_with_conjuncts(text: str) -> str | None:
    """Return which script most letters of a text are of, if it is one of those with conjuncts."""
    letters = Counter[str]()
    for letter, n in Characters.counts([text]).items():
        if LETTER.match(letter):
            letters[next((script for script, of in _OF_SCRIPT.items() if of.match(letter)), "")] += n
    most = max(letters, key=letters.__getitem__, default="")
    return most.replace("_", " ") or None
