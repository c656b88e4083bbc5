"""Rules beside the model: what must never pass, what must never be stopped, and what somebody should look at.

    rules = RuleSet.load(Path("rules.yaml"), spec)
    matched = rules.match(columns)            # {row: [Rule, ...]}, evaluated for a whole batch at once
    settle("review", matched.get(0, ()))      # ("block", Rule(id="embargo", ...))

A rule file is YAML::

    lists:
      embargo: {values: [KP, IR]}
      trusted: {file: trusted-merchants.txt}         # one entry a line, # begins a comment
    rules:
      - id: embargo
        when: country in embargo
        verdict: block
        reason: the country is under embargo
      - {id: salary, when: 'merchant_id in trusted && amount < 5000.0', verdict: allow, reason: a known employer}

A condition is CEL (:mod:`fraudline.decide.cel`) over the fields in :data:`FIELDS`, the features of the specification
(velocities: ``card_count_1h``, ``card_amount_1d``), the score, and the file's lists. Precedence: a ``block`` rule, then
an ``allow`` rule, then the stricter of the model and the ``review`` rules. The version is a digest of file and lists.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, Literal, Self

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from pydantic import Field, model_validator

from fraudline.core.digest import digest_of, sha256_bytes
from fraudline.core.errors import UsageError
from fraudline.core.settings import Settings, content_of
from fraudline.decide.cel import Column, Condition, Environment, Type
from fraudline.decide.policy import ALLOW, BLOCK, DECISIONS, REVIEW
from fraudline.features.spec import FeatureSpec

FIELDS: Mapping[str, tuple[Type, str]] = {
    "amount": ("double", "amount in the base currency"),
    "currency": ("string", "ISO 4217 code"),
    "country": ("string", "ISO 3166 code; empty when the transaction has none"),
    "category": ("int", "merchant category code"),
    "channel": ("string", "pos, contactless, atm, ecommerce or recurring"),
    "card_present": ("bool", "whether the card was there"),
    "merchant_id": ("string", "the merchant"),
    "card_id": ("string", "the card"),
    "device_id": ("string", "the device; empty when the transaction has none"),
    "score": ("double", "the model's, high = anomalous"),
}
"""What a condition may name beside features and lists, with its type and meaning."""

_ALLOW, _REVIEW, _BLOCK = DECISIONS[ALLOW], DECISIONS[REVIEW], DECISIONS[BLOCK]
_VERSION_DIGITS = 12


class ListSource(Settings):
    """Members of a list: here, or in a text file beside the rule file, one a line."""

    values: tuple[str, ...] = ()
    file: str = ""


class Rule(Settings):
    """One rule.

    Attributes:
        id: names it on decisions and in metrics.
        when: the condition.
        verdict: what it wants.
        reason: in words; stands among the decision's reasons.
        block_card: whether a block by this rule also puts the card on the list of blocked cards.
    """

    id: str = Field(pattern=r"^[a-z0-9][a-z0-9_-]{0,63}$")
    when: str = Field(min_length=1, max_length=4_000)
    verdict: Literal["allow", "review", "block"]
    reason: str = Field(min_length=1, max_length=500)
    block_card: bool = True


class RuleFile(Settings):
    """What a rule file holds."""

    lists: dict[str, ListSource] = {}
    rules: tuple[Rule, ...] = Field(min_length=1)

    @model_validator(mode="after")
    def _unique(self) -> Self:
        twice = [name for name, count in Counter(rule.id for rule in self.rules).items() if count > 1]
        if twice:
            raise ValueError(f"the rule {twice[0]} stands there twice")
        return self


@dataclass(frozen=True)
class RuleSet:
    """Rules that are checked and ready.

    Attributes:
        rules: in the order of the file.
        version: twelve hex digits over the rule file and its lists.
        names: what the conditions read beside lists.
    """

    rules: tuple[Rule, ...]
    version: str
    names: frozenset[str]
    _conditions: tuple[Condition, ...]
    _lists: Mapping[str, frozenset[str]]

    @classmethod
    def load(cls, path: Path, spec: FeatureSpec) -> Self:
        """Read a rule file and check every condition.

        Args:
            path: the file.
            spec: whose features the conditions may name.

        Raises:
            UsageError: the file cannot be read or does not fit, or a condition is wrong: names the rule and the place.
        """
        content = content_of(path)  # once: the version is of what was checked, whatever is written there meanwhile
        file = RuleFile.parse_yaml(content, str(path))
        members, digests = {}, {path.name: sha256_bytes(content)}
        for name, source in file.lists.items():
            members[name], digests[f"list {name}"] = _members(path, name, source)
        types: dict[str, Type] = {name: "double" for name in spec.names}
        types |= {name: kind for name, (kind, _) in FIELDS.items()}
        for name in members:
            if name in types:
                raise UsageError(f"{path}: the list {name} has the name of a field.", "Give the list another name.")
            types[name] = "list"
        environment = Environment(types)
        for name in members:
            _check_name(environment, name, path)
        conditions = tuple(_compiled(environment, rule, path) for rule in file.rules)
        names = frozenset().union(*(condition.names for condition in conditions)) - set(members)
        return cls(file.rules, digest_of(digests)[:_VERSION_DIGITS], names, conditions, members)

    def match(self, columns: Callable[[str], Any], n: int) -> dict[int, list[Rule]]:
        """The rules that match each row, in the order of the file; rows that none matches are left out.

        Args:
            columns: a pyarrow array without nulls for each of ``names``; asked once a name.
            n: rows.
        """
        column: Column = cache(lambda name: self._lists[name] if name in self._lists else columns(name))
        found: dict[int, list[Rule]] = {}
        for rule, condition in zip(self.rules, self._conditions, strict=True):
            for row in np.flatnonzero(condition.where(column, n)).tolist():
                found.setdefault(row, []).append(rule)
        return found


def settle(by_model: str, matched: Iterable[Rule]) -> tuple[str, Rule | None]:
    """The decision of model and rules together, and the rule that made it where it is not the model's own.

    >>> settle("block", [Rule(id="payroll", when="true", verdict="allow", reason="a known employer")])[0]
    'allow'
    """
    first: dict[str, Rule] = {}
    for rule in matched:
        first.setdefault(rule.verdict, rule)
    for verdict in (_BLOCK, _ALLOW):
        if verdict in first:
            return verdict, first[verdict] if verdict != by_model else None
    if _REVIEW in first and by_model == _ALLOW:
        return _REVIEW, first[_REVIEW]
    return by_model, None


def columns_of(
    transactions: Sequence[Any], features: NDArray[np.float32], scores: NDArray[np.float32], spec: FeatureSpec
) -> Callable[[str], Any]:
    """Columns for :meth:`RuleSet.match` of n decoded transactions, made when they are asked for.

    Args:
        transactions: objects with the fields of :data:`fraudline.data.schema.TRANSACTIONS` as attributes.
        features: (n, d) float32 in the specification's order.
        scores: (n,) float32.
        spec: names the features, and has the currencies' rates.
    """

    def column(name: str) -> Any:
        if name == "score":
            return pa.array(scores.astype(np.float64))
        if name == "amount":
            return base_amounts([(each.amount_minor, each.currency) for each in transactions], spec)
        if name not in FIELDS:
            return pa.array(features[:, spec.names.index(name)].astype(np.float64))
        values = [getattr(each, name) for each in transactions]
        kind = FIELDS[name][0]
        if kind == "string":
            return pa.array([value or "" for value in values], pa.string())
        return pa.array(values, pa.int64() if kind == "int" else pa.bool_())

    return column


def base_amounts(amounts: Iterable[tuple[int, str]], spec: FeatureSpec) -> Any:
    """Amounts in minor units and their currencies as a pyarrow array in the base currency."""
    factor = {code: currency.factor for code, currency in spec.currencies.items()}
    return pa.array([minor * factor[code] for minor, code in amounts], pa.float64())


def _check_name(environment: Environment, name: str, path: Path) -> None:
    try:
        usable = environment.compile(f"'' in {name}").names == {name}
    except UsageError:
        usable = False
    if not usable:
        raise UsageError(f"{path}: no condition can name the list {name!r}.", "Use letters, digits and underscores.")


def _members(path: Path, name: str, source: ListSource) -> tuple[frozenset[str], str]:
    """The members of a list and a digest of them."""
    if not source.file:
        return frozenset(source.values), sha256_bytes("\n".join(source.values).encode())
    file = path.parent / source.file
    try:
        content = file.read_bytes()
        lines = (line.partition("#")[0].strip() for line in content.decode("utf-8-sig").splitlines())
    except (OSError, ValueError) as error:  # not there, not UTF-8, or no name of a file
        raise UsageError(
            f"{path}: the list {name} cannot be read: {error}.", f"Give {file} one entry a line."
        ) from error
    return frozenset(line for line in lines if line) | frozenset(source.values), sha256_bytes(content)


def _compiled(environment: Environment, rule: Rule, path: Path) -> Condition:
    try:
        return environment.compile(rule.when)
    except UsageError as error:
        raise UsageError(f"{path}: rule {rule.id}: {error.problem}.", error.action) from error
