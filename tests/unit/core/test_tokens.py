"""A token stands for a card number and says nothing of it."""

from pathlib import Path

import pytest

from fraudline.core.errors import UsageError
from fraudline.core.keyfile import read_keys
from fraudline.core.tokens import Tokenizer
from tests.support.card_numbers import synthetic, written

KEY, OTHER = "0" * 64, "1" * 64


@pytest.fixture
def keys(tmp_path: Path) -> Path:
    path = tmp_path / "card.key"
    path.write_text(f"k2 {OTHER}\nk1 {KEY}\n")
    return path


def test_the_first_key_is_used_and_an_older_one_by_name(keys: Path) -> None:
    number = synthetic(1)[0]
    now, then = Tokenizer(read_keys(keys)).token(number), Tokenizer(read_keys(keys), "k1").token(number)
    assert now.startswith("k2_")
    assert then.startswith("k1_")
    assert now[3:] != then[3:]
    assert number not in now + then
    with pytest.raises(UsageError, match="no key 'k3'") as caught:
        Tokenizer(read_keys(keys), "k3")
    assert "k2, k1" in caught.value.action


def test_spaces_and_dashes_do_not_matter_and_numbers_do(keys: Path) -> None:
    tokenizer, numbers = Tokenizer(read_keys(keys)), synthetic(2_000)
    tokens = {tokenizer.token(written(number, i)) for i, number in enumerate(numbers)}
    assert tokens == {tokenizer.token(number) for number in numbers}
    assert len(tokens) == len(numbers)
    assert all(map(tokenizer.is_token, tokens))
    assert not tokenizer.is_token("k9_" + "0" * 32)


@pytest.mark.parametrize(
    "content", ["", "k1", f"k1 {KEY[:-2]}", f"k1 {KEY}\nk1 {OTHER}", "k1 secret" + "z" * 60, f"k_1 {KEY}"]
)
def test_a_file_that_holds_no_keys_is_refused_without_showing_it(content: str, tmp_path: Path) -> None:
    (tmp_path / "card.key").write_text(content)
    with pytest.raises(UsageError) as caught:
        read_keys(tmp_path / "card.key")
    assert KEY[:-2] not in str(caught.value)
    assert "secret" not in str(caught.value)
