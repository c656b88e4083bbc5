"""What ``rollout.yaml`` says is served, and what it cannot say."""

from pathlib import Path

import pytest
import yaml

from fraudline.core.errors import UsageError
from fraudline.ops.gitops import state
from fraudline.ops.gitops.state import Model, Rollout, parse, render

SERVICE = (Path(__file__).parents[4] / "kserve" / "inferenceservice.yaml").read_text()
STABLE, CANARY = (Model(digit * 64, f"s3://models/{digit * 64}") for digit in "ab")
DIGEST = "0f" * 32
ALIASES = "a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n" + "".join(
    f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 10)}]\n" for i in range(1, 12)
)


def test_what_was_written_is_read_again():
    for rollout in (Rollout(STABLE), Rollout(STABLE, CANARY, 25)):
        text = render(rollout, SERVICE)
        assert parse(text) == rollout
        assert render(parse(text), SERVICE, text) == text


@pytest.mark.parametrize("percent", [0, 100, -1, True, 10.0, "10", None])
def test_a_share_that_is_no_part_of_the_traffic_is_refused(percent):
    document = yaml.safe_load(render(Rollout(STABLE, CANARY, 25), SERVICE))
    document["spec"]["canary"][0]["trafficPercent"] = percent
    with pytest.raises(UsageError, match="trafficPercent is no whole number"):
        parse(yaml.safe_dump(document))


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("spec: {predictor: [", "not YAML: line 1, column 20"),
        ("spec: {predictor: {model: {args: []}}}", "names no digest"),
        ("[]", "list indices"),
        ("", "cannot be read"),
    ],
)
def test_a_file_that_is_none_is_refused_with_the_way_back(text, said):
    with pytest.raises(UsageError, match=said) as error:
        parse(text)
    assert "git checkout" in error.value.action


def proposed(name: str = "", uri: str = f"s3://models/{DIGEST}", percent: str = "10") -> str:
    predictor = f"{{{name and f'name: {name}, '}model: {{storageUri: {uri}, args: ['{state._FLAG}{DIGEST}']}}}}"
    return f"{ALIASES}spec: {{predictor: {predictor}, canary: [{{trafficPercent: {percent}, predictor: {predictor}}}]}}"


def test_a_proposal_with_such_aliases_beside_it_is_read() -> None:
    assert parse(proposed()).percent == 10


@pytest.mark.timeout(60)
@pytest.mark.parametrize("where", ["name", "uri", "percent"])
def test_aliases_that_name_one_another_are_no_value_and_are_not_written_out(where: str) -> None:
    with pytest.raises(UsageError, match="cannot be read") as refused:
        parse(proposed(**{where: "*a11"}))
    assert len(str(refused.value)) < 1_000
