"""One id an akshara: what a reader of Kannada, Hindi or Khmer calls a letter, all of its consonants with their vowel.

Unicode's clusters (`graphemes.py`) cut between the consonants of a conjunct in Kannada, Tamil and other scripts. Here a
cluster that ends in the sign which silences a vowel (InSC=Virama or Invisible_Stacker in the Unicode Character
Database) is joined with the consonant after it, in every script that has such a sign, with two exceptions:

- Tamil writes the sign (the pulli) as a dot, and reads the dotted letter as a letter: only க்ஷ, and ஸ்ரீ or ஶ்ரீ, are one.
- Sinhala joins only what a zero width joiner joins.

A zero width non-joiner after the sign keeps the consonants apart, as it does on paper; a joiner does not. What only
silences (InSC=Pure_Killer: Myanmar's asat, Thai's phinthu) joins nothing. A mark never stands apart from its letter.
Text without such signs is cut as by `graphemes.py`.
"""

from dataclasses import dataclass
from typing import ClassVar

import regex

from hornbook.text.graphemes import Graphemes

SILENCER = r"[[\p{InSC=Virama}\p{InSC=Invisible_Stacker}]--[\u0BCD\u0DCA]]"
CONSONANT = r"[[\p{InSC=Consonant}\p{InSC=Consonant_Placeholder}]&&\p{L}]"  # a dash can be a placeholder, too
JOINED = "|".join(
    (
        rf"(?<={SILENCER}\u200D?)(?={CONSONANT})",
        rf"(?<=\u0DCA\u200D)(?={CONSONANT})",  # Sinhala
        r"(?<=\u0B95\u0BCD)(?=\u0BB7)|(?<=[\u0BB6\u0BB8]\u0BCD)(?=\u0BB0\u0BC0)",  # Tamil
        r"(?<=[\p{L}\p{M}])(?=\p{M})",  # Myanmar's long vowel and others: marks that UAX #29 leaves alone
    )
)


@dataclass(frozen=True)
class Aksharas(Graphemes):
    """The aksharas of a text, each with its place in `units` for its id."""

    name: ClassVar[str] = "aksharas"
    unit: ClassVar[regex.Pattern[str]] = regex.compile(rf"(?V1)\X(?:(?:{JOINED})\X)*")
