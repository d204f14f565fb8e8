"""The table of doors: every operation at every door, each tried with a client that was not written here.

    PYTHONPATH=tests python -m doors        # the table; exit code 1 where a cell fails

`registry` says which cells there are, `operations` what is tried and expected, `clients` how each client says it. The
same cells are tests (`test_table.py`); the other tests of this folder hold the doors against each other and against
hostile clients.
"""
