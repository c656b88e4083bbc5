"""The quality laboratory: every detector that a user would try, by one protocol, on the same rows.

``python -m benchmarks.quality`` runs what is missing and writes ``docs/reference/quality.md``.
"""
