import os
import sys

import pytest

from fraudline.model.runtime import _native_stderr_kept, load_tensorflow


def test_native_lines_are_kept_back_and_standard_error_works_again(capfd):
    with _native_stderr_kept():
        os.write(2, b"noise")
    os.write(2, b"said")
    assert capfd.readouterr().err == "said"


def test_a_failed_import_shows_what_was_said(capfd):
    def broken():
        with _native_stderr_kept():
            os.write(2, b"libcudart is broken")
            raise ImportError

    with pytest.raises(ImportError):
        broken()
    assert "libcudart is broken" in capfd.readouterr().err


def test_a_tensorflow_that_is_there_is_not_imported_again(monkeypatch):
    stand_in = object()
    monkeypatch.setitem(sys.modules, "tensorflow", stand_in)
    load_tensorflow()
    assert sys.modules["tensorflow"] is stand_in
