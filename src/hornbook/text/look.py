"""What a text is, before a model sees it: its size and scripts, what is invisible or broken in it, and what leaks.

A text is looked at piece by piece, so that the memory used does not grow with it. Its code points are counted, and what
kind each different one is (a letter, a mark, something invisible) is asked once, and then looked up.
"""

import unicodedata
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt
import regex

from hornbook.errors import UsageError
from hornbook.text import settings
from hornbook.text.characters import CODE_POINTS, Characters
from hornbook.text.graphemes import Graphemes
from hornbook.text.leakage import Leak, leaked
from hornbook.text.tokenizer import TOKENIZERS, Tokenizer

SAMPLE = 2_000_000  # characters at the beginning that the tokenizers are compared on
VALIDATION = 1 << 24  # characters of the validation text that leaks are looked for in
PIECE = 1 << 16

ALIKE = "what looks alike has ids of its own: write a word in one script"
OTHER = r"[[\p{DI}\u2028\u2029]--[\p{M}\u00AD\u061C\u200B-\u200F\u202A-\u202E\u2066-\u2069\uFEFF\p{Cn}]]"
PLAIN = r"\p{Common}\p{Latin}\p{Greek}\p{Cyrillic}\p{Han}\p{Hiragana}\p{Katakana}\p{Hangul}"  # nothing joins in these
JOINING = rf"[\p{{M}}\p{{ExtPict}}\p{{EMod}}[[\p{{L}}\p{{N}}\p{{P}}]--[{PLAIN}]]]"
FLAWS = (  # what the owner of a text may want to know of; the characters, and what stands beside them; what to do
    ("zero width joiners out of place", rf"[\u200C\u200D] (?<!{JOINING}.)(?!{JOINING})", "nothing joins: delete them"),
    ("zero width spaces out of place", rf"\u200B (?<!{JOINING}.)(?!{JOINING})", "they cut words unseen: delete them"),
    ("zero width characters in place", rf"[\u200B-\u200D] (?:(?<={JOINING}.)|(?={JOINING}))", "leave them"),
    ("marks without a base", r"\p{M} (?<=[\p{Z}\p{Cc}\u200B\uFEFF--\xA0].)", "a letter was lost, or a space added"),
    ("Greek or Cyrillic beside Latin letters", r"[\p{Greek}\p{Cyrillic}] (?:(?<=\p{Latin}.)|(?=\p{Latin}))", ALIKE),
    ("byte order marks inside", r"\uFEFF", "left where files were joined: delete them"),
    ("control characters", r"[\p{Cc}--[\t\n\r]]", "meant for machines: delete them"),
    ("carriage returns", r"\r", "line ends of Windows or an old Mac: fine where all lines have them"),
    ("soft hyphens", r"\u00AD", "they cut words unseen: delete them"),
    ("bidirectional controls", r"[\u061C\u200E\u200F\u202A-\u202E\u2066-\u2069]", "they turn what is shown"),
    ("no-break spaces", r"[\u00A0\u2007\u202F]", "spaces with ids of their own: fine where they are meant"),
    ("lone surrogates", r"\p{Cs}", "half a character, of a broken conversion"),
    ("private use characters", r"\p{Co}", "only one font knows what they are"),
    ("noncharacters", r"\p{NChar}", "never text: a broken conversion"),
    ("unassigned code points", r"[\p{Cn}--\p{NChar}]", "broken, or newer than this program's Unicode"),
    ("replacement characters", r"\uFFFD", "what stood here was lost in a conversion: look for a better copy"),
    ("other invisible characters", OTHER, "they take ids, and nobody sees them"),
)
PATTERNS = {
    what: (regex.compile(f"(?V1){each.split(' ')[0]}"), regex.compile(f"(?V1s){each.replace(' ', '')}"), advice)
    for what, each, advice in FLAWS
}
MARKED = regex.compile(r"\p{M}").match
FORM = "words not in normal form NFC", "what looks alike may be different units: --set text.normal=NFC mends it"

SCRIPTS = (  # of today, and the best known of the past
    "Latin Greek Cyrillic Armenian Georgian Hebrew Arabic Han Hiragana Katakana Hangul Thai Lao Tibetan Ethiopic "
    f"{' '.join(settings.SCRIPTS)} Syriac Thaana Mongolian Bopomofo Yi Cherokee Canadian_Aboriginal Adlam Nko Vai "
    "Tifinagh Coptic Gothic Ogham Runic Tagalog Tai_Le New_Tai_Lue Buginese Batak Lepcha Limbu Ol_Chiki Braille Lisu "
    "Glagolitic Bamum Kayah_Li Rejang Cham Tai_Viet Deseret Osage Hanifi_Rohingya Miao Wancho Egyptian_Hieroglyphs"
).split()
OTHERS = {"digits": r"\p{N}", "spaces and line ends": r"[\p{Z}\t\n\r]", "punctuation and symbols": r"[\p{P}\p{S}]"}


def _misread(codec: str) -> tuple[str, str]:
    """Return a pattern for what UTF-8 becomes that is read as another encoding, and all that its upper half holds."""
    upper = "".join(bytes([i]).decode(codec, "ignore") or chr(i) for i in range(0x80, 0x100))
    on, two, three, four = map(regex.escape, (upper[:64], upper[66:96], upper[96:112], upper[112:117]))
    return rf"[{two}][{on}\x80-\x9F]|[{three}][{on}\x80-\x9F]{{2}}|[{four}][{on}\x80-\x9F]{{3}}", upper


MISREAD = {codec: _misread(codec) for codec in ("cp1252", "cp1251", "mac_roman")}
AGAIN = "convert it again from where it came, or repair it"
CLOSERS = set("\xa0‘’‚“”„«»‹›–—…·°®™ªº¹²³")  # may stand after an accented letter by right


@dataclass
class Finding:
    """Something that a text's owner may want to know: how often, where first (line 0: not known), and what to do."""

    what: str
    advice: str
    count: int = 0
    line: int = 0
    column: int = 0
    context: str = ""


@dataclass
class Row:
    """What a tokenizer makes of the sample. `torn` ids begin with a mark, or inside a character; `bits` are those a
    character that a unigram model needs; `rare` are some of the units that come `once` or `twice`."""

    tokenizer: str
    units: int
    ids: int
    once: int
    twice: int
    torn: int
    bits: float
    rare: list[str]
    words: list[list[str]]


@dataclass
class Look:
    """What is known of a text; lengths in characters. Letters count for their `scripts`, all else under `others`.

    `conjuncts` names the script, if it joins consonants, and `parameters` is how large a model the text can feed: 20
    tokens a parameter (Hoffmann et al. 2022), and each read four times (Muennighoff et al. 2023).
    """

    characters: int = 0
    bytes: int = 0
    lines: int = 0
    longest_line: int = 0
    different: int = 0
    scripts: dict[str, int] = field(default_factory=dict)
    others: dict[str, int] = field(default_factory=dict)
    normal: dict[str, bool] = field(default_factory=lambda: {"NFC": True, "NFD": True})
    findings: dict[str, Finding] = field(default_factory=dict)
    leak: Leak = field(default_factory=lambda: Leak(0.0, 0, 0))
    leaked: str = ""
    sample: int = 0
    tokenizers: list[Row] = field(default_factory=list)
    missing: list[str] = field(default_factory=list)
    conjuncts: str | None = None
    advised: str = "characters"
    parameters: int = 0


def look(chunks: Callable[[], Iterable[str]], split: float = 0.9, tell: Callable[[str], object] = len) -> Look:
    """Return what there is to know of a text, which is read three times; `tell` is told what is going on.

    The tokenizers are compared on the first SAMPLE characters. Leaks are looked for in what stands behind the share
    `split` of the text, at most VALIDATION characters of it.
    """
    tell("looking at each character")
    seen, sample = _Seen(), list[str]()
    it = seen.look
    for chunk in chunks():
        sample.append(chunk[: SAMPLE - it.sample])
        it.sample += len(sample[-1])
        seen.take(chunk)
    seen.finish()
    beginning = "".join(sample)[:200_000]
    it.conjuncts = settings.script_with_conjuncts(beginning)
    it.advised = "aksharas" if it.conjuncts else "characters"
    main = next((name.replace(" ", "_") for name in it.scripts), "")
    letter = rf"\p{{Script={main}}}" if main in SCRIPTS else r"\p{L}"
    found = Counter(regex.findall(rf"[{letter}\p{{M}}\u200C\u200D]{{3,48}}", beginning))
    words = sorted(found, key=lambda word: (len(word) > 12, found[word] < 2, -len(word), -found[word], word))[:3]
    for name, kind in TOKENIZERS.items():
        tell(f"comparing tokenizers: {name}")
        try:
            it.tokenizers.append(_row(kind, sample, words))
        except UsageError as error:  # there can be no such vocabulary for this text
            it.missing.append(f"{name}: {error}")
    units = next((row.ids for row in it.tokenizers if row.tokenizer == it.advised), it.sample)
    it.parameters = max(1, it.characters * units // max(1, it.sample) * 4 // 20)
    tell("looking for validation text in the training text")
    cut = int(split * it.characters)
    held = _points("".join(_part(chunks(), cut, min(it.characters, cut + VALIDATION))))
    it.leak = leaked(map(_points, _part(chunks(), 0, cut)), held)
    it.leaked = held[it.leak.start : it.leak.stop].tobytes().decode("utf-32-le", "surrogatepass")
    return it


class _Seen:
    """What was seen of a text so far."""

    def __init__(self) -> None:
        self.look = Look()
        self._counts = np.zeros(CODE_POINTS, np.int64)
        self._column, self._held, self._before = 0, "", "\n"
        self._misread: dict[str, Counter[str]] = {codec: Counter() for codec in MISREAD}
        self._first: dict[str, tuple[int, int, str]] = {}

    def take(self, chunk: str) -> None:
        """Look at a text up to its last space; or, where there is none near its end, up to its last letter."""
        self._held = text = self._held + chunk
        if len(text) < PIECE:
            return
        cut = max(text.rfind(" ", -4096), text.rfind("\n", -4096)) + 1
        cut = cut or len(text) - len(Graphemes.split(text[-256:])[-1])
        self._look(text[:cut])
        self._held = text[cut:]

    def finish(self) -> None:
        """Look at what was held back, and sum up."""
        if self._held:
            self._look(self._held)
        it, counts = self.look, self._counts
        it.characters, it.different = int(counts.sum()), int(np.count_nonzero(counts))
        it.bytes = sum(int(counts[start:].sum()) for start in (0, 0x80, 0x800, 0x10000))
        it.lines, it.longest_line = it.lines + (self._column > 0), max(it.longest_line, self._column)
        it.scripts, it.others = _shares(counts)
        it.findings |= {finding.what: finding for finding in self._broken()}

    def _look(self, text: str) -> None:
        points, it, whole = _points(text), self.look, self._before + text
        self._counts += (counts := np.bincount(points, minlength=CODE_POINTS))
        here = "".join(map(chr, np.flatnonzero(counts).tolist()))
        for what, (kind, flaw, advice) in PATTERNS.items():
            if kind.search(here) and (first := flaw.search(whole, 1)):
                self._note((what, advice), text, first.start() - 1, len(flaw.findall(whole, 1)))
        it.normal["NFD"] &= unicodedata.is_normalized("NFD", text)
        if not unicodedata.is_normalized("NFC", text):
            it.normal["NFC"] = False
            words = Counter(text.replace("\n", " ").split(" "))
            changed = [word for word in words if not unicodedata.is_normalized("NFC", word)]
            self._note(FORM, text, text.find(changed[0]), sum(words[word] for word in changed))
        for codec, (pattern, upper) in MISREAD.items():
            hits = (
                regex.findall(pattern, text) if set(here).intersection(upper[66:117]) else []
            )  # upper: of first bytes
            self._misread[codec].update(hits)
            if sure := [hit for hit in hits if not CLOSERS.issuperset(hit[1:])]:
                self._first.setdefault(codec, self._place(text.find(sure[0]), text, 36))
        if len(ends := np.flatnonzero(points == 10)):
            it.longest_line = max(it.longest_line, int(np.diff(ends, prepend=-1 - self._column).max()) - 1)
            it.lines, self._column = it.lines + len(ends), -1 - int(ends[-1])
        self._column, self._before = self._column + len(text), text[-1]

    def _note(self, what: tuple[str, ...], text: str, at: int, count: int) -> None:
        if what[0] not in self.look.findings:
            self.look.findings[what[0]] = Finding(what[0], what[1], 0, *self._place(at, text))
        self.look.findings[what[0]].count += count

    def _place(self, at: int, text: str, reach: int = 12) -> tuple[int, int, str]:
        """Return the line and column, both from 1, of a place in the piece at hand, and what stands around it."""
        line = text.count("\n", 0, at)
        behind = text[at + 1 : at + 1 + reach].partition("\n")[0]
        context = text[max(0, at - 12) : at].rpartition("\n")[2] + text[at] + behind
        return self.look.lines + line + 1, at - text.rfind("\n", 0, at) + (0 if line else self._column), context

    def _broken(self) -> Iterator[Finding]:
        """Yield what looks like a text that was converted wrongly."""
        n, points = self.look.characters, np.flatnonzero(self._counts)
        first, last = divmod(points, 256)
        pairs = (np.abs(first - 0x4F) < 0x30) & (np.abs(last - 0x4F) < 0x30)  # of ASCII
        for which, share, name in (
            (points == 0xC0, 0.02, "Kannada in the font encoding of Nudi or Baraha"),
            ((first > 0x20) & (last == 0), 0.3, "UTF-16 with its bytes swapped"),
            (pairs, 0.8, "ASCII that was read as UTF-16"),
        ):
            if n >= 20 and (count := int(self._counts[points[which]].sum())) > share * n:
                yield Finding(f"likely {name}", AGAIN, count)
                return
        told: dict[str, tuple[int, int]] = {}
        for codec, (_, upper) in MISREAD.items():
            high, hits = int(self._counts[_points(upper)].sum()), self._misread[codec]
            sure = sum(n for hit, n in hits.items() if not CLOSERS.issuperset(hit[1:]))  # not the é\xa0» of a quotation
            long = sum(len(hit) * n for hit, n in hits.items())
            if (
                sure > (0 if 2 * long > high else high / 1000 + 1)
                if codec == "cp1252"
                else 2 * long > high and sure > 4
            ):
                told[codec] = long, sure
        if told:
            codec = max(told, key=lambda codec: told[codec][0])
            line, column, context = self._first[codec]
            byte_of = {c: bytes([byte]) for byte, c in enumerate(MISREAD[codec][1], 0x80)}
            raw = (byte_of.get(c) or c.encode("latin-1" if c < "\u0100" else "utf-8", "replace") for c in context)
            context += f" → {b''.join(raw).decode('utf-8', 'replace')}"
            yield Finding(f"likely UTF-8 that was read as {codec}", AGAIN, told[codec][1], line, column, context)


def _shares(counts: npt.NDArray[np.int64]) -> tuple[dict[str, int], dict[str, int]]:
    """Return how many letters, with their marks, are of which script, the most first; and how many are what else."""
    text = "".join(map(chr, np.flatnonzero(counts).tolist()))
    letters = "".join(regex.findall(r"[\p{L}\p{M}]", text))

    def count(found: Iterable[str]) -> int:
        return int(counts[_points("".join(found))].sum())

    scripts = Counter({name: count(regex.findall(rf"\p{{Script={name}}}", letters)) for name in SCRIPTS})
    scripts["shared by scripts"] = count(regex.findall(r"[\p{Script=Inherited}\p{Script=Common}]", letters))
    scripts["other scripts"] = count(letters) - scripts.total()
    others = {name: count(regex.findall(pattern, text)) for name, pattern in OTHERS.items()}
    others["invisible"] = count(text) - scripts.total() - sum(others.values())
    return {name.replace("_", " "): n for name, n in (+scripts).most_common()}, others


def _row(kind: type[Tokenizer], sample: list[str], words: list[str]) -> Row:
    tokenizer, characters = kind.fit(sample), sum(map(len, sample))
    units, counts = tokenizer.units, np.zeros(tokenizer.vocab_size, np.int64)
    for ids in tokenizer.encode_chunks(sample):
        counts += np.bincount(ids, minlength=len(counts))
    n, p = int(counts.sum()), counts[counts > 0] / max(1, int(counts.sum()))
    torn = int(counts[[MARKED(unit) is not None for unit in units]].sum())
    if kind.name == "bytes":  # all but the first bytes of characters that are no marks
        torn = n - sum(n for c, n in Characters.counts(sample).items() if not MARKED(c))
    once, twice = (int(np.sum(counts == times)) for times in (1, 2))
    rare = [units[i] for i in np.flatnonzero((counts == 1) | (counts == 2))[:12]]
    bits = float(-(p * np.log2(p)).sum()) * n / max(1, characters)
    cut = [[units[i] for i in tokenizer.encode(word, "skip").tolist()] for word in words]
    return Row(kind.name, len(units), n, once, twice, torn, bits, rare, cut)


def _part(chunks: Iterable[str], start: int, stop: int) -> Iterator[str]:
    """Yield the characters from start to stop of a text that comes in pieces."""
    at = 0
    for chunk in chunks:
        yield chunk[max(0, start - at) : max(0, stop - at)]
        at += len(chunk)
        if at >= stop:
            return


def _points(text: str) -> npt.NDArray[np.uint32]:
    return np.frombuffer(text.encode("utf-32-le", "surrogatepass"), "<u4")
