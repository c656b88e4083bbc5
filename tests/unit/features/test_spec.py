"""The specification names each feature, and its version is its content."""

import json

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from fraudline.core.errors import ArtifactError, UsageError
from fraudline.features.params import FeatureParams
from fraudline.features.spec import KERNEL_FEATURES, FeatureSpec, load_spec

SPEC = load_spec()


def test_the_packaged_specification_describes_every_feature_of_the_kernel():
    assert SPEC.names == KERNEL_FEATURES
    assert all(feature.meaning.endswith(".") and feature.unit and feature.window for feature in SPEC.features)


def test_the_version_survives_json():
    again = FeatureSpec.from_dict(json.loads(json.dumps(SPEC.to_dict())))
    assert again == SPEC
    assert again.version == SPEC.version
    assert len(SPEC.version) == 12


@given(st.sampled_from(sorted(SPEC.parameters.model_dump())))
def test_changing_any_number_changes_the_version(name):
    content = SPEC.to_dict()
    value = content["parameters"][name]
    content["parameters"][name] = value - 1 if isinstance(value, int) else value * 0.99
    del content["version"]
    assert FeatureSpec.from_dict(content).version != SPEC.version


def test_content_that_is_not_what_its_version_names_is_refused():
    with pytest.raises(ArtifactError, match=SPEC.version):
        FeatureSpec.from_dict({**SPEC.to_dict(), "base_currency": "USD"})


def test_a_feature_that_this_release_cannot_compute_is_refused_by_name():
    content = SPEC.to_dict()
    content["features"][0]["name"] = "astrology"
    with pytest.raises(ArtifactError, match="astrology"):
        FeatureSpec.from_dict(content)


def test_a_feature_named_twice_and_a_base_currency_without_rate_are_refused():
    content = SPEC.to_dict()
    with pytest.raises(ArtifactError, match="twice"):
        FeatureSpec.from_dict({**content, "features": content["features"][:1] * 2})
    with pytest.raises(ArtifactError, match="XXX"):
        FeatureSpec.from_dict({**content, "base_currency": "XXX"})


def test_features_are_left_out_by_name_and_a_wrong_name_is_told():
    small = SPEC.without(["night"])
    assert "night" not in small.names
    assert len(small.names) == len(small.columns) == len(SPEC.names) - 1
    assert small.version != SPEC.version
    with pytest.raises(UsageError, match="nihgt"):
        SPEC.without(["nihgt"])


def test_a_joint_goes_with_its_features_and_names_only_those_of_the_specification():
    assert {"card_habit", "merchant_streak", "travel"} <= {joint.name for joint in SPEC.joints}
    gone = set(SPEC.joints) - set(SPEC.without(["card_heat_7d"]).joints)
    assert {joint.name for joint in gone} == {"card_habit"}
    content = SPEC.to_dict()
    content["joints"][0]["features"] = ["amount_z", "astrology"]
    with pytest.raises(ArtifactError, match="astrology"):
        FeatureSpec.from_dict(content)


def test_what_a_release_adds_does_not_rename_a_specification_that_leaves_it_alone():
    content = SPEC.to_dict()
    del content["version"]
    new = ("merchant_fraud_", "merchant_streak_", "merchant_outbreak_")
    tails = {"amount_z", "card_heat_7d", "merchant_risk_1d", "merchant_risk_7d", "merchant_risk_30d"}
    first = [f for f in content["features"] if not f["name"].startswith(new)]
    oldest = {**content, "features": [{**f, "tail": "upper"} if f["name"] in tails else f for f in first]}
    del oldest["joints"]
    added = ("fraud_weight_slope", "fraud_weight_centre", "streak_memory_days", "streak_margin_days")
    for name in (*added, "outbreak_clean_limit", "profile_hours"):
        del oldest["parameters"][name]
    for feature in oldest["features"]:
        feature["meaning"] = feature["meaning"].replace("before the merchant table", "before today")
    assert FeatureSpec.from_dict(oldest).version == "f85654745abc"
    assert FeatureSpec.from_dict(FeatureSpec.from_dict(oldest).to_dict()).version == "f85654745abc"


def test_parameters_name_a_file_or_leave_out_features(tmp_path):
    content = SPEC.to_dict()
    del content["version"]
    path = tmp_path / "spec.yaml"
    path.write_text(yaml.safe_dump(content), encoding="utf-8")
    assert FeatureParams(spec=str(path)).resolve() == SPEC
    assert FeatureParams(without=("night",)).resolve() == SPEC.without(["night"])
    with pytest.raises(UsageError, match="nowhere"):
        FeatureParams(spec=str(tmp_path / "nowhere.yaml")).resolve()


def test_minor_units_follow_the_currency():
    assert SPEC.currencies["EUR"].factor == 0.01
    assert SPEC.currencies["JPY"].factor == SPEC.currencies["JPY"].rate
    assert SPEC.currencies["KWD"].factor == pytest.approx(0.003)
