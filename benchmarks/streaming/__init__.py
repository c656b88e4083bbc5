"""Contestants and load of ``benchmarks.stream``. Those of other environments import nothing of fraudline."""
