"""JSON and YAML: whatever is wrong with a text is one error that says what, where and what to do."""

import pytest

from fraudline.core.documents import parse_json, parse_yaml
from fraudline.core.errors import ArtifactError, DataError, UsageError
from fraudline.core.files import read_json

DEEP = 100_000


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('{"a": 1,\n "b": }', "line 2, column 7: Expecting value"),
        ("", "line 1, column 1: Expecting value"),
        (b'{"a": "\xff"}', "can't decode byte 0xff in position 7"),
        ("[" * DEEP, "it is nested too deeply"),
        ("1" * 5_000, "Exceeds the limit"),
    ],
    ids=["a value is missing", "empty", "not UTF-8", "deep", "a long number"],
)
def test_what_is_no_json_is_one_error_with_the_place(text, said):
    with pytest.raises(ArtifactError) as error:
        parse_json(text, "model.json", wrong=ArtifactError, action="Build it again.")
    assert error.value.problem.startswith("model.json is not JSON: ")
    assert said in error.value.problem
    assert error.value.action == "Build it again."


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("a: 1\nb: [1", "line 2, column 6: expected ',' or ']'"),
        ("a: 1\nb: 2018-02-31", "line 2, column 4: this is no timestamp"),
        ("a:\n  - !!bool maybe", "line 2, column 5: this is no bool"),
        ("!!int ''", "line 1, column 1: this is no int"),
        ("!!timestamp soon", "line 1, column 1: this is no timestamp"),
        ("a: *b", "line 1, column 4: found undefined alias"),
        ("!!python/object:os.system {}", "line 1, column 1: could not determine a constructor"),
        ("a: \x00", "special characters are not allowed"),
        (b"a: \xff", "can't decode byte 0xff in position 3"),
        ("[" * DEEP, "it is nested too deeply"),
    ],
    ids=[
        "open list",
        "no date",
        "no bool",
        "no number",
        "no time",
        "no anchor",
        "an object",
        "a zero byte",
        "not UTF-8",
        "deep",
    ],
)
def test_what_is_no_yaml_is_one_error_with_the_place(text, said):
    with pytest.raises(UsageError, match=r"^params.yaml is not YAML: ") as error:
        parse_yaml(text, "params.yaml")
    assert said in error.value.problem
    assert error.value.action == "Correct the file."


@pytest.mark.parametrize("text", ["password: hunter2: x", "password: !!int hunter2", "password: [hunter2"])
def test_the_error_of_a_yaml_text_does_not_repeat_what_stands_there(text):
    with pytest.raises(UsageError) as error:
        parse_yaml(text, "params.yaml")
    assert "hunter2" not in str(error.value)


def test_a_good_text_is_its_value():
    assert parse_json(b'{"a": [1, null]}', "a") == {"a": [1, None]}
    assert parse_yaml(b"a: [1, ~, yes]", "a") == {"a": [1, None, True]}
    assert parse_yaml("", "a") is None


def test_a_json_file_that_was_cut_is_named_with_what_to_do(tmp_path):
    path = tmp_path / "metrics.json"
    path.write_text('{"ap": 0.7', encoding="utf-8")
    with pytest.raises(DataError, match=r"metrics.json is not JSON: line 1, column 11: .* Run evaluate again."):
        read_json(path, action="Run evaluate again.")
