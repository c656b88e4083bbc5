import pytest

from fraudline.core.errors import UsageError
from fraudline.core.settings import Settings


class Example(Settings):
    rate: float
    name: str = "a"


def write(tmp_path, text):
    path = tmp_path / "params.yaml"
    path.write_text(text)
    return path


def test_settings_are_read_and_frozen(tmp_path):
    settings = Example.load(write(tmp_path, "rate: 0.5"))
    assert settings == Example(rate=0.5)
    with pytest.raises(ValueError, match="frozen"):
        settings.rate = 1.0


@pytest.mark.parametrize(
    ("text", "field"),
    [
        ("rate: many", "rate"),
        ("rte: 0.5", r"rte: there is no such setting \(perhaps rate\); rate: it is missing"),
        ("rate: 1\nnmae: x", "nmae"),
        ("- 1", "top level"),
    ],
)
def test_an_error_names_the_file_and_the_field(tmp_path, text, field):
    with pytest.raises(UsageError, match=field) as caught:
        Example.load(write(tmp_path, text))
    assert "params.yaml" in caught.value.problem
    assert caught.value.exit_code == 2


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"inner": {"hieght": 1}}, r"inner.hieght: there is no such setting \(perhaps height\)\."),
        ({"inner": {"rate": 1}}, r"inner.rate: there is no such setting\."),
        ({"many": [{"hieght": 1}]}, r"many.0.hieght: there is no such setting\."),
    ],
)
def test_a_setting_that_there_is_not_is_named_with_the_one_of_its_section_that_may_be_meant(values, said):
    class Inner(Settings):
        height: int = 0

    class Outer(Settings):
        rate: float = 1.0
        inner: Inner = Inner()
        many: tuple[Inner, ...] = ()

    with pytest.raises(UsageError, match=said):
        Outer.parse(values, "params.yaml")


def test_a_missing_file_and_broken_yaml_are_said(tmp_path):
    with pytest.raises(UsageError, match="cannot be read"):
        Example.load(tmp_path / "none.yaml")
    with pytest.raises(UsageError, match="is not YAML"):
        Example.load(write(tmp_path, "a: ["))


@pytest.mark.timeout(60)
def test_a_few_lines_whose_aliases_name_one_another_are_refused_at_once(tmp_path):
    bomb = "- &a0 [x, x, x, x, x, x, x, x, x, x]\n"
    bomb += "".join(f"- &a{i} [{', '.join([f'*a{i - 1}'] * 10)}]\n" for i in range(1, 12))
    text = "rate: 1\nname:\n" + bomb
    with pytest.raises(UsageError, match="name: Input should be a valid string") as caught:
        Example.load(write(tmp_path, text))
    assert len(str(caught.value)) < 1_000
