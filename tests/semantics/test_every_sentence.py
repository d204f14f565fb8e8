"""Holds the rule book and its tests together: a sentence of `docs/semantics.md` that no test quotes fails here.

A test quotes a sentence by having it in its docstring, word for word. Line breaks and Markdown do not count.
"""

import ast
import re
from pathlib import Path

import pytest

HERE = Path(__file__).parent
RULE_BOOK = HERE.parents[1] / "docs" / "semantics.md"


def sentences(markdown):
    """The sentences of prose and bullets, and the rows of tables, in order; headings and table heads are not rules."""
    found = []
    for block in blocks(markdown):
        if block.startswith("|"):
            found.append(plain(block))
        else:
            found += [plain(sentence) for sentence in re.split(r"(?<=\.)\s+(?=[A-Z`])", block)]
    return found


def blocks(markdown):
    """Paragraphs, bullets and table rows, each as one text."""
    block, result = [], []
    for line in [*markdown.splitlines(), ""]:
        starts_anew = line.startswith(("- ", "|", "#")) or not line.strip()
        if starts_anew and block:
            result.append(" ".join(block))
            block = []
        if line.strip() and not line.startswith("#"):
            block.append(line.strip().removeprefix("- "))
    rules = [at for at, text in enumerate(result) if set(text) <= set("|-: ")]
    return [text for at, text in enumerate(result) if at not in rules and at + 1 not in rules]


def plain(text):
    """The words alone, so that a quotation may be wrapped and marked up in its own way."""
    return " ".join(re.sub(r"[`*|]", " ", text).split()).lower()


def quotations():
    """The docstrings of all tests, by the name of the test."""
    result = {}
    for path in sorted(HERE.glob("test_*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.FunctionDef) and node.name.startswith("test_"):
                result[f"{path.name}::{node.name}"] = plain(ast.get_docstring(node) or "")
    return result


QUOTATIONS = quotations()


@pytest.mark.parametrize("sentence", sentences(RULE_BOOK.read_text(encoding="utf-8")))
def test_sentence_has_a_test(sentence):
    assert any(sentence in quotation for quotation in QUOTATIONS.values()), f"no test quotes: {sentence}"


def test_the_rule_book_is_read_whole():
    """A parser that lost sentences would let rules go untested."""
    book = "# T\n\nOne `a`. Two\nmore: x.\n\n| h |\n|---|\n| row | r |\n\n- *Bullet* one. A\n  second.\n- Last"
    assert sentences(book) == ["one a .", "two more: x.", "row r", "bullet one.", "a second.", "last"]


if __name__ == "__main__":
    for sentence in sentences(RULE_BOOK.read_text(encoding="utf-8")):
        tests = [test for test, quotation in QUOTATIONS.items() if sentence in quotation]
        print(f"- {sentence}\n    {', '.join(tests) or 'NO TEST'}")
