"""The tokenizers side by side on texts in several scripts: what `hornbook prepare TEXT --look` counts, as one table.

    python bench/scripts.py kannada.txt tinyshakespeare.txt

Beside the texts that are named: what Django says in Hindi, Arabic, Chinese and Thai (its catalogs, out of the package,
by pip, BSD-3-Clause), and Python's own json, email and asyncio. `--json FILE` also writes the figures.
"""

import argparse
import json
import sys
import zipfile
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path

from hornbook.text.kannada import ORIGINS, messages
from hornbook.text.look import look
from hornbook.text.packages import downloaded
from hornbook.text.reading import read_chunks

LANGUAGES = {"Hindi": "hi", "Arabic": "ar", "Chinese": "zh_Hans", "Thai": "th"}
CODE = ("json", "email", "asyncio")


def catalogs() -> dict[str, str]:
    """Return what Django says in each language, a message a line, each once."""
    package = next(origin.package for origin in ORIGINS if origin.package.name == "django")
    texts = {}
    with downloaded([package]) as folder, zipfile.ZipFile(package.file(folder)) as wheel:
        for name, code in LANGUAGES.items():
            files = sorted(file for file in wheel.namelist() if f"/locale/{code}/" in file and file.endswith(".po"))
            found = (message for file in files for message in messages(wheel.read(file)))
            texts[name] = "\n".join(dict.fromkeys(filter(None, found)))
    return texts


def code() -> str:
    """Return the source of some of Python's packages."""
    files = (file for name in CODE for file in sorted((Path(json.__file__).parents[1] / name).glob("*.py")))
    return "".join(file.read_text(encoding="utf-8") for file in files)


def main() -> None:
    """Print a row for each text and tokenizer."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("texts", nargs="*", type=Path)
    parser.add_argument("--json", type=Path)
    asked = parser.parse_args()
    texts = {path.stem: "".join(read_chunks([path])) for path in asked.texts}
    texts |= {**catalogs(), f"Python {sys.version_info.major}.{sys.version_info.minor}": code()}
    figures = {}
    print("| text | tokenizer | units | ids | characters an id | once | torn | bits a character |\n" + "|---" * 8 + "|")
    for name, text in texts.items():

        def chunks(text: str = text) -> Iterator[str]:
            return iter([text])

        rows = look(chunks).tokenizers
        figures[name] = [asdict(row) for row in rows]
        for row in rows:
            counts = f"{row.units:,} | {row.ids:,} | {len(text) / row.ids:.2f} | {row.once:,}"
            print(
                f"| {name} ({len(text):,}) | {row.tokenizer} | {counts} | {row.torn / row.ids:.1%} | {row.bits:.3f} |"
            )
    if asked.json:
        asked.json.write_text(json.dumps(figures, indent=2, ensure_ascii=False), encoding="utf-8")


if __name__ == "__main__":
    main()
