"""The rule book (`docs/semantics.md`) as tests: each sentence is quoted by at least one, and all paths must agree.

`oracle.py` and `arithmetic.py` say what a value is, without the product; `world.py` puts an engine next to them.
`pytest tests/semantics` runs all of it; `python tests/semantics/test_every_sentence.py` lists sentences with their
tests.
"""
