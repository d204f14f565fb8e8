"""The proof: kinds of trial that try to break what `docs/guarantees.md` promises, and count how often they tried.

`python -m proof` runs them; a kind is a module of this package, listed in `kinds.py`.
"""
