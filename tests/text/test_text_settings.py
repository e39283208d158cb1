"""What is asked of a text: names, values, and what the text itself decides."""

import sys

import pytest
import regex

from hornbook.errors import UsageError
from hornbook.text.settings import SCRIPTS, TextSettings, script_with_conjuncts


def test_the_scripts_with_conjuncts_are_those_that_have_a_sign_for_it():
    """InSC=Virama and Invisible_Stacker in the Unicode Character Database: all their scripts, and no more."""
    joining = regex.compile(r"[\p{InSC=Virama}\p{InSC=Invisible_Stacker}]")
    signs = joining.findall("".join(map(chr, range(sys.maxunicode + 1))))
    assert len(signs) >= 40
    of = {script: regex.compile(rf"\p{{Script_Extensions={script}}}") for script in SCRIPTS}
    having = {script for sign in signs for script, sort in of.items() if sort.match(sign)}
    assert having == set(SCRIPTS)
    assert all(any(sort.match(sign) for sort in of.values()) for sign in signs)


@pytest.mark.parametrize(
    ("text", "script"),
    [
        ("ಜ್ಞಾನವೇ ಶಕ್ತಿ, know", "Kannada"),
        ("knowledge is power: ಜ್ಞಾನ", None),
        ("हिन्दी", "Devanagari"),
        ("தமிழ்", "Tamil"),
        ("ខ្មែរ", "Khmer"),
        ("ᨲᩫ᩠ᩅᨾᩮᩬᩥᨦ", "Tai Tham"),
        ("ไทย 漢字 한국어 עברית", None),
        ("123 !?", None),
        ("", None),
        ("\ud800\u0ccd", None),
    ],
)
def test_the_script_of_most_letters_decides(text, script):
    assert script_with_conjuncts(text) == script


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        ({"tokenizer": "akshara"}, "no tokenizer is named 'akshara'; did you mean 'aksharas'?"),
        ({"split": 1.0}, "split is 1.0, and must lie between 0 and 1"),
        ({"split_by": "line"}, "text.split_by is 'line'; did you mean 'lines'?"),
        ({"normal": "NFKC"}, "NFKC"),
        ({"rare": "unknwon"}, "text.rare is 'unknwon'; did you mean 'unknown'?"),
        ({"normal": "nfc"}, "text.normal is 'nfc'; known: NFC, NFD, none."),
        ({"split_seed": -1}, "text.split_seed is -1; it has to be from 0 to 2**64 - 1"),
        ({"min_count": 5}, "say what becomes of them, text.rare=unknown"),
        ({"encoding": "cp1525"}, "cp1525"),
        ({"encoding": "rot13"}, "rot13"),
    ],
)
def test_what_can_not_be_asked_is_refused_before_a_text_is_read(settings, says):
    with pytest.raises(UsageError) as caught:
        TextSettings(**settings)
    assert says in str(caught.value)
    assert str(caught.value).isprintable()
