"""Bench: what Weft costs, in CPU seconds, against the naive form or the bare library in the same run.

    python -m bench                 every row
    python -m bench plan starter    some groups
    python -m bench --json out.json the same as data
    python -m bench.gpu             pictures at full size, where a GPU is at hand

A row says what was measured, what it is measured against (a target of the project, or a floor taken in the same run)
and the ratio of the two. Nothing here is a test: machines differ, and a loaded one is slow. `docs/benchmarks.md` holds
the figures that were committed, with the machine and the day.
"""
