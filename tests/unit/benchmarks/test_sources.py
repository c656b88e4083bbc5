from pathlib import Path

from benchmarks.quality.sources import code_digest


def test_words_do_not_change_the_digest_and_statements_do(tmp_path: Path) -> None:
    path = tmp_path / "a.py"
    path.write_text('"""Old."""\ndef f(x):\n    """Old."""\n    return x + 1\n')
    before = code_digest(path)

    path.write_text('"""New."""\n\n\ndef f(x):\n    # why\n    return x + 1\n')
    assert code_digest(path) == code_digest(tmp_path) == before

    path.write_text("def f(x):\n    return x + 2\n")
    assert code_digest(path) != before
