"""Features of large tables a second time, in DuckDB's SQL: what `proof.tables` holds the product against.

`declared` says what is computed; `drawing` and `rows` draw it from a seed. `lines` brings rows to the form in which
they are asked. `running_sums` answers every question of a large table by differences, `joins` a part of them
literally; both give the same parts, which `finish` makes values of and `expected` compares. `shrinking` makes a wrong
answer small. Nothing here is taken from the product.
"""
