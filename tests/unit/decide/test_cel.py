"""A condition says the same of a whole column as Google's own runtime says of each row, and a wrong one is refused."""

import math

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fraudline.core.errors import UsageError
from fraudline.decide.cel import Environment

pytest.importorskip("cel_expr_python")

TYPES = {"amount": "double", "speed": "double", "category": "int", "country": "string", "merchant": "string",
         "present": "bool", "embargo": "list"}  # fmt: skip
EMBARGO = ["KP", "IR", ""]
ENVIRONMENT = Environment(TYPES)

NUMBERS = st.sampled_from(["amount", "speed", "0.0", "-1.5", "100.0", "(amount + speed)", "(amount / speed)",
                           "(speed * 2.0 - 1.0)", "-amount", "double(category)"])  # fmt: skip
TEXTS = st.sampled_from(["country", "merchant", "'KP'", "''", '"m-1"', "(present ? country : merchant)"])
LEAVES = st.one_of(
    st.builds("{} {} {}".format, NUMBERS, st.sampled_from(["<", "<=", ">", ">=", "==", "!="]), NUMBERS),
    st.builds("{} {} {}".format, TEXTS, st.sampled_from(["<", ">=", "==", "!="]), TEXTS),
    st.builds("{} in embargo".format, TEXTS),
    st.builds("{} in ['KP', 'm-1']".format, TEXTS),
    st.builds("{} in [0.0, 100.0]".format, NUMBERS),
    st.builds("{}.{}".format, TEXTS, st.sampled_from(["startsWith('m')", "endsWith('1')", "contains('-')",
                                                      "matches('^m-[0-9]+$')", "size() > 1"])),
    st.sampled_from(["present", "category in [5411, 7995]", "category > 6000", "true"]),
)  # fmt: skip
CONDITIONS = st.recursive(
    LEAVES,
    lambda inner: st.one_of(
        st.builds("!({})".format, inner),
        st.builds("({} && {})".format, inner, inner),
        st.builds("({} || {})".format, inner, inner),
        st.builds("({} ? {} : {})".format, inner, inner, inner),
    ),
    max_leaves=5,
)
ROWS = st.lists(
    st.fixed_dictionaries({
        "amount": st.sampled_from([0.0, -0.0, 100.0, 1e300, 0.1]) | st.floats(allow_nan=True, allow_infinity=True),
        "speed": st.sampled_from([0.0, 1.5, math.inf]) | st.floats(allow_nan=True),
        "category": st.integers(0, 9999),
        "country": st.sampled_from(["KP", "DE", ""]),
        "merchant": st.sampled_from(["m-1", "m-77", "é-1", "\U0001f600", ""]) | st.text(max_size=4),
        "present": st.booleans(),
    }),
    min_size=1, max_size=5,
)  # fmt: skip
KINDS = {"double": pa.float64(), "int": pa.int64(), "string": pa.string(), "bool": pa.bool_()}
ARROW = {name: KINDS[kind] for name, kind in TYPES.items() if kind != "list"}


@settings(max_examples=80)
@given(text=CONDITIONS, rows=ROWS)
def test_columns_say_what_the_compilers_own_runtime_says_of_each_row(text: str, rows: list[dict]) -> None:
    own = ENVIRONMENT._compiler.compile(text)
    wanted = [own.eval(data={**row, "embargo": EMBARGO}).value() for row in rows]
    columns = {name: pa.array([row[name] for row in rows], kind) for name, kind in ARROW.items()}
    found = ENVIRONMENT.compile(text).where({**columns, "embargo": frozenset(EMBARGO)}.__getitem__, len(rows))
    assert found.dtype == np.bool_
    assert found.tolist() == wanted


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("amont > 5.0", "line 1, column 1: undeclared reference to 'amont'"),
        ("amount > 5", "write 5.0, not 5"),
        ("present &&\n  country > 5.0", "line 2, column 11"),
        ("amount", "it gives DOUBLE"),
        ("amount > ", "Syntax error"),
        ("category + 1 > 2", "line 1, column 10: _+_ on these"),
        ("embargo.exists(x, x == country)", "no meaning for a transaction"),
        ("size(embargo) > 2", "not among what rules can do"),
        ("country in [merchant]", "a named list or constants"),
        ("country.matches('(')", "cannot be evaluated"),
        ("country.startsWith(merchant)", "not among what rules can do"),
    ],
)
def test_a_wrong_condition_is_refused_with_its_place(text: str, problem: str) -> None:
    with pytest.raises(UsageError) as caught:
        ENVIRONMENT.compile(text)
    assert problem in caught.value.problem
