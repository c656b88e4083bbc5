"""Wrong requests by name, what each answer must name, and what no answer may show.

A request is made from what is served: a value (sent as JSON), or a pair of bytes and headers.
"""

import contextlib
import json
import math
import urllib.parse
from typing import Any

import httpx
import numpy as np
import orjson

from tests.support.served import Served

V1 = "/v1/models/fraud:predict"
V2 = "/v2/models/fraud/infer"
JSON = {"content-type": "application/json"}
BYTES = {"content-type": "application/octet-stream"}
EVENT = {"ce-specversion": "1.0", "ce-id": "e1", "ce-source": "test", "ce-type": "fraudline.features.v1"}


def v2(served: Served, **changes: Any) -> dict[str, Any]:
    shape = list(served.features.shape)
    tensor = {"name": "features", "shape": shape, "datatype": "FP32", "data": served.features.ravel().tolist()}
    return {"inputs": [tensor | changes]}


def binary(head: Any, tensor: bytes) -> tuple[bytes, dict[str, str]]:
    content = orjson.dumps(head)
    return content + tensor, BYTES | {"inference-header-content-length": str(len(content))}


def binary_v2(served: Served, tensor: bytes | None = None, **changes: Any) -> tuple[bytes, dict[str, str]]:
    raw = served.features.tobytes() if tensor is None else tensor
    head = v2(served)
    del head["inputs"][0]["data"]
    head["inputs"][0] |= {"parameters": {"binary_data_size": len(raw)}} | changes
    return binary(head, raw)


NAN, INF = math.nan, math.inf


def without(row: dict[str, Any], name: str) -> dict[str, Any]:
    return {key: value for key, value in row.items() if key != name}


def event(**changes: Any) -> dict[str, Any]:
    return {"specversion": "1.0", "id": "e", "source": "s", "type": "t"} | changes


# what it is: (how the request is made, the field that the answer names)
BAD_V1: dict[str, tuple[Any, str]] = {
    "no body": (lambda s: (b"", JSON), "body"),
    "no JSON": (lambda s: (b"{", JSON), "body"),
    "no UTF-8": (lambda s: (b'{"instances": ["\xff"]}', JSON), "body"),
    "JSON with NaN": (lambda s: (b'{"instances": [[NaN]]}', JSON), "body"),
    "a list": (lambda s: [1, 2], "body"),
    "a string": (lambda s: "instances", "body"),
    "null": (lambda s: None, "body"),
    "a number": (lambda s: 3, "body"),
    "an empty object": (lambda s: {}, "instances"),
    "the V2 field": (lambda s: {"inputs": [[1.0]]}, "instances"),
    "instances is null": (lambda s: {"instances": None}, "instances"),
    "instances is an object": (lambda s: {"instances": s.objects[0]}, "instances"),
    "instances is a string": (lambda s: {"instances": "x"}, "instances"),
    "no rows": (lambda s: {"instances": []}, "instances"),
    "too many rows": (lambda s: {"instances": [[0]] * 4097}, "instances"),
    "a row is null": (lambda s: {"instances": [None]}, "instances[0]"),
    "a row is a number": (lambda s: {"instances": [1.0]}, "instances[0]"),
    "a row is a string": (lambda s: {"instances": [s.objects[0], "x"]}, "instances[1]"),
    "a row is too short": (lambda s: {"instances": [s.features[0].tolist()[:-1]]}, "instances[0]"),
    "a row is too long": (lambda s: {"instances": [[*s.features[0].tolist(), 0.0]]}, "instances[0]"),
    "a row is empty": (lambda s: {"instances": [{}]}, "instances[0]."),
    "a row of rows": (lambda s: {"instances": [[s.features[0].tolist()]]}, "instances[0]"),
    "a missing feature": (
        lambda s: {"instances": [s.objects[0], without(s.objects[0], s.names[7])]},
        "instances[1].<7>",
    ),
    "an unknown feature": (lambda s: {"instances": [s.objects[0] | {"colour": 1}]}, "instances[0].colour"),
    "a null feature": (lambda s: {"instances": [s.objects[0] | {s.names[2]: None}]}, "instances[0].<2>"),
    "a string feature": (lambda s: {"instances": [s.objects[0] | {s.names[2]: "1.0"}]}, "instances[0].<2>"),
    "a boolean feature": (lambda s: {"instances": [s.objects[0] | {s.names[2]: True}]}, "instances[0].<2>"),
    "a list feature": (lambda s: {"instances": [s.objects[0] | {s.names[2]: [1.0]}]}, "instances[0].<2>"),
    "beyond float32": (lambda s: {"instances": [s.objects[0] | {s.names[2]: 1e39}]}, "instances[0].<2>"),
    "a huge integer": (lambda s: {"instances": [s.objects[0] | {s.names[2]: 10**300}]}, "instances[0].<2>"),
    "a number id": (lambda s: {"instances": [s.objects[0] | {"transaction_id": 5}]}, "instances[0].transaction_id"),
    "a structured event without data": (lambda s: event(), "data"),
    "a structured event with a list as data": (lambda s: event(data=[1]), "body"),
    "a structured event with a broken feature": (lambda s: event(data=s.objects[0] | {"x": 1}), "instances[0].x"),
    "a structured event with text that is not JSON": (lambda s: event(data="hello"), "data"),
    "a structured event with broken base64": (lambda s: event(data_base64="!"), "data_base64"),
    "a structured event of another version": (lambda s: event(specversion="9", data={}), "specversion"),
    "a structured event without id": (
        lambda s: (orjson.dumps(event(data={}, id="")), {"content-type": "application/cloudevents+json"}),
        "id",
    ),
    "a structured event that is a list": (lambda s: (b"[]", {"content-type": "application/cloudevents+json"}), "body"),
    "a binary event without data": (lambda s: (b"", EVENT | JSON), "data"),
    "a binary event that is not JSON": (lambda s: (b"\x00\x01", EVENT | {"content-type": "text/plain"}), "data"),
    "a binary event with a contenttype and no JSON": (lambda s: (b"{", EVENT | {"ce-contenttype": "x"}), "data"),
    "a binary event of null": (lambda s: (b"null", EVENT | JSON), "body"),
    "a binary event of another version": (lambda s: (b"{}", EVENT | JSON | {"ce-specversion": "9.9"}), "specversion"),
}

BAD_V2: dict[str, tuple[Any, str]] = {
    "no body": (lambda s: (b"", JSON), "body"),
    "no JSON": (lambda s: (b"{[", JSON), "body"),
    "a list": (lambda s: [], "body"),
    "null": (lambda s: None, "body"),
    "a string": (lambda s: "x", "body"),
    "no inputs": (lambda s: {}, "inputs"),
    "inputs is null": (lambda s: {"inputs": None}, "inputs"),
    "inputs is empty": (lambda s: {"inputs": []}, "inputs"),
    "an input is a string": (lambda s: {"inputs": ["features"]}, "inputs"),
    "no name": (lambda s: {"inputs": [without(v2(s)["inputs"][0], "name")]}, "name"),
    "another name": (lambda s: v2(s, name="input_1"), "inputs"),
    "the same input twice": (lambda s: {"inputs": v2(s)["inputs"] * 2}, "inputs"),
    "no shape": (lambda s: {"inputs": [without(v2(s)["inputs"][0], "shape")]}, "shape"),
    "shape is a string": (lambda s: v2(s, shape="2x2"), "shape"),
    "shape of one dimension": (lambda s: v2(s, shape=[s.features.size]), "inputs.features.shape"),
    "shape of three dimensions": (lambda s: v2(s, shape=[1, *s.features.shape]), "inputs.features.shape"),
    "shape transposed": (lambda s: v2(s, shape=list(s.features.shape[::-1])), "inputs.features.shape"),
    "shape is negative": (lambda s: v2(s, shape=[-1, s.features.shape[1]]), "inputs.features.shape"),
    "shape is huge": (lambda s: v2(s, shape=[2**62, s.features.shape[1]]), "inputs.features"),
    "no rows": (lambda s: v2(s, shape=[0, s.features.shape[1]], data=[]), "inputs.features"),
    "no datatype": (lambda s: {"inputs": [without(v2(s)["inputs"][0], "datatype")]}, "datatype"),
    "datatype BYTES": (lambda s: v2(s, datatype="BYTES"), "inputs.features.datatype"),
    "datatype unknown": (lambda s: v2(s, datatype="FP31"), "inputs.features.datatype"),
    "datatype INT64": (lambda s: v2(s, datatype="INT64"), "inputs.features.datatype"),
    "datatype FP16": (lambda s: v2(s, datatype="FP16"), "features"),
    "no data": (lambda s: {"inputs": [without(v2(s)["inputs"][0], "data")]}, "data"),
    "data is a string": (lambda s: v2(s, data="abc"), "data"),
    "data is null": (lambda s: v2(s, data=None), "data"),
    "data is too short": (lambda s: v2(s, data=s.features.ravel().tolist()[:-1]), "inputs.features.data"),
    "data is too long": (lambda s: v2(s, data=[*s.features.ravel().tolist(), 0.0]), "inputs.features.data"),
    "data has a ragged row": (lambda s: v2(s, data=[*s.features.tolist()[:-1], [1.0]]), "inputs.features.data[15]"),
    "data mixes rows and numbers": (lambda s: v2(s, data=[s.features[0].tolist(), 1.0]), "inputs.features.data[1]"),
    "data has a string": (lambda s: v2(s, data=["a"] * s.features.size), "inputs.features.data[0]"),
    "data has a null": (lambda s: v2(s, data=[None] * s.features.size), "inputs.features.data[0]"),
    "data has a boolean": (lambda s: v2(s, data=[True] * s.features.size), "inputs.features.data[0]"),
    "data has NaN": (
        lambda s: (json.dumps(v2(s, data=[NAN] * s.features.size)).encode(), JSON),
        "inputs.features.data",
    ),
    "data has infinity": (
        lambda s: (json.dumps(v2(s, data=[-INF] * s.features.size)).encode(), JSON),
        "inputs.features.data",
    ),
    "data beyond float32": (lambda s: v2(s, data=[1e39] * s.features.size), "inputs.features.data"),
    "an unknown output": (lambda s: v2(s) | {"outputs": [{"name": "colour"}]}, "outputs.colour"),
    "an output without name": (lambda s: v2(s) | {"outputs": [{}]}, "outputs"),
    "parameters is a list": (lambda s: v2(s) | {"parameters": [1]}, "parameters"),
    "binary output is a string": (
        lambda s: v2(s) | {"parameters": {"binary_data_output": "yes"}},
        "parameters.binary_data_output",
    ),
    "id is a number": (lambda s: v2(s) | {"id": 5}, "id"),
    "binary: the header is missing": (lambda s: (binary_v2(s)[0], BYTES), "body"),
    "binary: sent as JSON": (lambda s: (binary_v2(s)[0], binary_v2(s)[1] | JSON), "body"),
    "binary: the header is no number": (
        lambda s: (binary_v2(s)[0], BYTES | {"inference-header-content-length": "many"}),
        "inference-header-content-length",
    ),
    "binary: the header is negative": (
        lambda s: (binary_v2(s)[0], BYTES | {"inference-header-content-length": "-5"}),
        "inference-header-content-length",
    ),
    "binary: the header is too large": (
        lambda s: (binary_v2(s)[0], BYTES | {"inference-header-content-length": "99999999"}),
        "inference-header-content-length",
    ),
    "binary: the header cuts the JSON": (
        lambda s: (binary_v2(s)[0], BYTES | {"inference-header-content-length": "7"}),
        "body",
    ),
    "binary: no body": (lambda s: (b"", BYTES), "body"),
    "binary: a list": (lambda s: binary([1], b""), "body"),
    "binary: no inputs": (lambda s: binary({}, b""), "inputs"),
    "binary: an input is a number": (lambda s: binary({"inputs": [1]}, b""), "inputs[0]"),
    "binary: no name": (lambda s: binary({"inputs": [{}]}, b""), "inputs[0].name"),
    "binary: no size": (lambda s: binary_v2(s, parameters={}), "inputs[0].data"),
    "binary: size too large": (lambda s: binary_v2(s, parameters={"binary_data_size": 10**8}), "binary_data_size"),
    "binary: size not of the type": (lambda s: binary_v2(s, parameters={"binary_data_size": 3}), "binary_data_size"),
    "binary: size is a string": (lambda s: binary_v2(s, parameters={"binary_data_size": "8"}), "binary_data_size"),
    "binary: size negative": (lambda s: binary_v2(s, parameters={"binary_data_size": -4}), "binary_data_size"),
    "binary: bytes left over": (lambda s: binary_v2(s, parameters={"binary_data_size": 4}), "body"),
    "binary: shape against size": (lambda s: binary_v2(s, tensor=b"\0" * 8), "inputs.features.data"),
    "binary: datatype BYTES": (lambda s: binary_v2(s, datatype="BYTES"), "inputs[0].datatype"),
    "binary: datatype INT32": (lambda s: binary_v2(s, datatype="INT32"), "inputs.features.datatype"),
    "binary: NaN": (
        lambda s: binary_v2(s, tensor=np.full_like(s.features, NAN).tobytes()),
        "inputs.features.data[0][0]",
    ),
    "binary: parameters is a list": (lambda s: binary_v2(s, parameters=[]), "inputs[0].parameters"),
}


STRUCTURED = {"content-type": "application/cloudevents+json"}


def row(served: Served, **changes: Any) -> dict[str, Any]:
    """A V1 body of one good row with changes; a change to ``...`` leaves the feature out."""
    whole = served.objects[0] | changes
    return {"instances": [{name: value for name, value in whole.items() if value is not ...}]}


def nested(depth: int, leaf: bytes = b"1") -> bytes:
    return b"[" * depth + leaf + b"]" * depth


def structured(**changes: Any) -> tuple[bytes, dict[str, str]]:
    """A structured event with changes; a change to ``...`` leaves the attribute out."""
    whole = event(data={}) | changes
    return orjson.dumps({name: value for name, value in whole.items() if value is not ...}), STRUCTURED


def ce(body: Any, **changes: str) -> tuple[bytes, dict[str, str]]:
    """A binary event with changed headers; a change to the empty string leaves the header out."""
    headers = EVENT | JSON | {f"ce-{name}": value for name, value in changes.items()}
    content = body if isinstance(body, bytes) else orjson.dumps(body)
    return content, {name: value for name, value in headers.items() if value != ""}


# values of one feature that are no 32-bit numbers, as JSON text
_NO_NUMBERS: dict[str, bytes] = {
    "NaN": b"NaN", "Infinity": b"Infinity", "-Infinity": b"-Infinity", "1e39": b"1e39", "-1e39": b"-1e39",
    "1e400": b"1e400", "a hexadecimal": b"0x10", "a leading plus": b"+1", "a leading zero": b"01", "a bare dot": b".5",
    "a trailing dot": b"5.", "two signs": b"--1", "null": b"null", "true": b"true", "false": b"false", "text": b'"12"',
    "empty text": b'""', "an empty list": b"[]", "an empty object": b"{}", "a list of one": b"[1.0]", "-0x1": b"-0x1",
    "a huge integer": b"9" * 400, "a date": b'"2025-01-01"', "a lone surrogate": b'"\\ud800"',
    "an underscore": b"1_000",
    "a thousands comma": b"1,000", "a comment": b"1/*x*/", "a NUL": b"1\x00", "nothing": b"", "a percentage": b"5%",
}  # fmt: skip


def _with_text(served: Served, text: bytes) -> tuple[bytes, dict[str, str]]:
    name = served.names[2]
    body = orjson.dumps(row(served, **{name: 12345.5}))
    return body.replace(b"12345.5", text), JSON


BAD_V1 |= {
    f"a feature that is {what}": (lambda s, text=text: _with_text(s, text), "") for what, text in _NO_NUMBERS.items()
}
BAD_V1 |= {
    "[-1, 3]": (lambda s: {"instances": [[-1, 3]]}, "instances[0]"),
    "10**6 rows": (lambda s: (b'{"instances":[' + b"[0]," * (10**6 - 1) + b"[0]]}", JSON), "body"),
    "4097 whole rows": (lambda s: {"instances": [s.features[0].tolist()] * 4097}, "instances"),
    "lists 1000 deep": (lambda s: (b'{"instances":' + nested(1_000) + b"}", JSON), "instances[0]"),
    "lists 100000 deep": (lambda s: (b'{"instances":' + nested(100_000) + b"}", JSON), "body"),
    "objects 100000 deep": (lambda s: (b'{"a":' * 100_000 + b"1" + b"}" * 100_000, JSON), "body"),
    "an unclosed list 100000 deep": (lambda s: (b"[" * 100_000, JSON), "body"),
    "a body of blanks": (lambda s: (b" " * 1_000, JSON), "body"),
    "a byte order mark": (lambda s: (b"\xef\xbb\xbf{}", JSON), "body"),
    "UTF-16": (lambda s: (json.dumps(row(s)).encode("utf-16"), JSON), "body"),
    "UTF-32": (lambda s: (json.dumps(row(s)).encode("utf-32"), JSON), "body"),
    "an overlong UTF-8": (lambda s: (b'{"instances": "\xc0\xaf"}', JSON), "body"),
    "two documents": (lambda s: (json.dumps(row(s)).encode() * 2, JSON), "body"),
    "a line of JSON and a tail": (lambda s: (json.dumps(row(s)).encode() + b"\n}", JSON), "body"),
    "a trailing comma": (lambda s: (b'{"instances": [[1,]]}', JSON), "body"),
    "single quotes": (lambda s: (b"{'instances': [[1]]}", JSON), "body"),
    "a key that is no text": (lambda s: (b"{1: 2}", JSON), "body"),
    "gzip that was not announced": (lambda s: (b"\x1f\x8b\x08\x00" + b"\x00" * 20, JSON), "body"),
    "a pickle": (lambda s: (b"\x80\x04cposix\nsystem\n.", JSON), "body"),
    "YAML": (lambda s: (b"instances: [[1]]", JSON), "body"),
    "a form": (lambda s: (b"instances=1&b=2", {"content-type": "application/x-www-form-urlencoded"}), "body"),
    "multipart": (lambda s: (b"--x\r\n\r\n1\r\n--x--", {"content-type": "multipart/form-data; boundary=x"}), "body"),
    "XML with an entity": (lambda s: (b'<!DOCTYPE a [<!ENTITY x SYSTEM "file:///etc/hosts">]>', JSON), "body"),
    "Arrow": (lambda s: (b"ARROW1\x00\x00", {"content-type": "application/vnd.apache.arrow.file"}), "body"),
    "instances is true": (lambda s: {"instances": True}, "instances"),
    "instances is a number": (lambda s: {"instances": 3.5}, "instances"),
    "Instances": (lambda s: {"Instances": [s.objects[0]]}, "instances"),
    "the same key twice, the last wrong": (
        lambda s: (b'{"instances": [[1]], "instances": 5}', JSON),
        "instances",
    ),
    "a row is true": (lambda s: {"instances": [True]}, "instances[0]"),
    "a good row, then a bad one": (lambda s: {"instances": [s.objects[0], {}]}, "instances[1]."),
    "rows of both kinds, one short": (lambda s: {"instances": [s.objects[0], [1.0]]}, "instances[1]"),
    "a feature in other letters": (lambda s: row(s, **{s.names[0]: ..., s.names[0].upper(): 1}), "instances[0]."),
    "a feature with a blank": (lambda s: row(s, **{f"{s.names[0]} ": 1}), "instances[0]."),
    "a feature named by nothing": (lambda s: row(s, **{"": 1}), "instances[0]."),
    "a feature of 10000 letters": (lambda s: row(s, **{"a" * 10_000: 1}), "instances[0].aaaa"),
    "a feature of __proto__": (lambda s: row(s, __proto__=1), "instances[0].__proto__"),
    "a feature of __class__": (lambda s: row(s, __class__={"__init__": 1}), "instances[0].__class__"),
    "a template as id": (lambda s: row(s, transaction_id=["{{7*7}}"]), "instances[0].transaction_id"),
    "a boolean id": (lambda s: row(s, transaction_id=True), "instances[0].transaction_id"),
    "an object as id": (lambda s: row(s, transaction_id={}), "instances[0].transaction_id"),
    "all features null": (lambda s: {"instances": [dict.fromkeys(s.names)]}, "instances[0]."),
    "all features text": (lambda s: {"instances": [dict.fromkeys(s.names, "x")]}, "instances[0]."),
    "columns, not rows": (lambda s: {"instances": {name: [1.0] for name in s.names}}, "instances"),
    # events: each part missing, in both forms
    **{
        f"a structured event without {name}": (lambda s, name=name: structured(**{name: ...}), name)
        for name in ("specversion", "type", "source", "id", "data")
    },
    **{
        f"a structured event whose {name} is {kind}": (
            lambda s, name=name, value=value: structured(**{name: value}),
            name,
        )
        for name in ("specversion", "type", "source", "id")
        for kind, value in {"null": None, "a number": 5, "empty": "", "a list": ["1.0"]}.items()
    },
    "a structured event of null data": (lambda s: structured(data=None), "body"),
    "a structured event of empty data": (lambda s: structured(data={}), "instances[0]."),
    "a structured event of a number": (lambda s: structured(data=7), "body"),
    "a structured event of text data": (lambda s: structured(data="{"), "data"),
    "a structured event of a short row": (lambda s: structured(data={"instances": [[1.0]]}), "instances[0]"),
    "a structured event of base64 and no JSON": (lambda s: structured(data=..., data_base64="AAAA"), "data_base64"),
    "a structured event of base64 as a number": (lambda s: structured(data=..., data_base64=5), "data_base64"),
    "a structured event of base64 beyond ASCII": (lambda s: structured(data=..., data_base64="é"), "data_base64"),
    "a structured event that is no JSON": (lambda s: (b"{", STRUCTURED), "body"),
    "a structured event that is null": (lambda s: (b"null", STRUCTURED), "body"),
    "a batch of events": (
        lambda s: (orjson.dumps([event(data={})]), {"content-type": "application/cloudevents-batch+json"}),
        "body",
    ),
    **{
        f"a binary event without {name}": (lambda s, name=name: ce(s.objects[0], **{name: ""}), name)
        for name in ("specversion", "id", "source", "type")
    },
    "a binary event of specversion 2": (lambda s: ce(s.objects[0], specversion="2.0"), "specversion"),
    "a binary event of a list": (lambda s: ce([1]), "body"),
    "a binary event of text": (lambda s: ce("x"), "body"),
    "a binary event of a number": (lambda s: ce(5), "body"),
    "a binary event of an empty object": (lambda s: ce({}), "instances[0]."),
    "a binary event of a row without a feature": (lambda s: ce(without(s.objects[0], s.names[1])), "instances[0].<1>"),
    "a binary event of an unknown feature": (lambda s: ce(s.objects[0] | {"x": 1}), "instances[0].x"),
    "a binary event with NaN": (lambda s: ce(b'{"a": NaN}'), "data"),
    "a binary event of nested lists": (lambda s: ce(nested(100_000)), "data"),
}

BAD_V2 |= {
    f"shape is {what}": (lambda s, value=value: v2(s, shape=value), "shape")
    for what, value in {
        "a number": 5, "empty": [], "null": None, "of text": ["1", "2"], "of null": [None, 3], "of floats": [1.5, 2],
        "of booleans": [True, 3], "of lists": [[1], [2]], "an object": {}, "of 100 dimensions": [1] * 100,
        "[-1, 3]": [-1, 3], "[-1, -1]": [-1, -1], "beyond 64 bits": [2**80, 3], "of zeros": [0, 0],
    }.items()
}  # fmt: skip
BAD_V2 |= {
    f"datatype is {what}": (lambda s, value=value: v2(s, datatype=value), "datatype")
    for what, value in {
        "BOOL": "BOOL", "UINT8": "UINT8", "BF16": "BF16", "lower case int": "int32", "empty": "", "a number": 5,
        "null": None, "an object": "O", "numpy's": "<f4", "10000 letters": "F" * 10_000,
    }.items()
}  # fmt: skip
BAD_V2 |= {
    "name is empty": (lambda s: v2(s, name=""), "inputs"),
    "name is a number": (lambda s: v2(s, name=5), "name"),
    "name is of 10000 letters": (lambda s: v2(s, name="a" * 10_000), "inputs"),
    "ten inputs": (lambda s: {"inputs": v2(s)["inputs"] * 10}, "inputs"),
    "inputs is an object": (lambda s: {"inputs": {"features": [1]}}, "inputs"),
    "inputs of null": (lambda s: {"inputs": [None]}, "inputs"),
    "inputs of lists": (lambda s: {"inputs": [[1.0]]}, "inputs"),
    "the V1 field": (lambda s: {"instances": s.objects[:1]}, "inputs"),
    "data is an object": (lambda s: v2(s, data={"a": 1}), "data"),
    "data is a number": (lambda s: v2(s, data=5), "data"),
    "data nested deep": (lambda s: (b'{"inputs":' + nested(100_000) + b"}", JSON), "body"),
    "data of objects": (lambda s: v2(s, data=[{}] * s.features.size), "inputs.features.data[0]"),
    "data three deep": (lambda s: v2(s, data=[s.features.tolist()]), "inputs.features.data[0]"),
    "data of 10**6 numbers": (
        lambda s: v2(s, shape=[10**6, s.features.shape[1]], data=[0.0] * 10**6),
        "body",
    ),
    "data of a huge integer": (lambda s: v2(s, data=[10**30 * 10**30] * s.features.size), "inputs.features.data[0]"),
    "outputs is an object": (lambda s: v2(s) | {"outputs": {}}, "outputs"),
    "outputs of text": (lambda s: v2(s) | {"outputs": ["score"]}, "outputs"),
    "outputs: a number as name": (lambda s: v2(s) | {"outputs": [{"name": 5}]}, "outputs"),
    "an output of 10000 letters": (lambda s: v2(s) | {"outputs": [{"name": "a" * 10_000}]}, "outputs.aaaa"),
    "parameters is text": (lambda s: v2(s) | {"parameters": "x"}, "parameters"),
    "id is half a surrogate pair": (lambda s: v2(s) | {"id": "\ud800"}, "body"),
    "an output is half a surrogate pair": (lambda s: v2(s) | {"outputs": [{"name": "\ud800"}]}, "body"),
    "a parameter is half a surrogate pair": (lambda s: v2(s) | {"parameters": {"\udc00": 1}}, "body"),
    "id is an object": (lambda s: v2(s) | {"id": {}}, "id"),
    "an event as V2": (lambda s: (orjson.dumps(event(data={})), STRUCTURED), "inputs"),
    "binary: half a number": (lambda s: binary_v2(s, tensor=b"\0" * 6), "binary_data_size"),
    "binary: infinity": (
        lambda s: binary_v2(s, tensor=np.full_like(s.features, INF).tobytes()),
        "inputs.features.data[0][0]",
    ),
    "binary: size true": (lambda s: binary_v2(s, parameters={"binary_data_size": True}), "binary_data_size"),
    "binary: size of 2**63": (lambda s: binary_v2(s, parameters={"binary_data_size": 2**63}), "binary_data_size"),
    "binary: size null": (lambda s: binary_v2(s, parameters={"binary_data_size": None}), "binary_data_size"),
    "binary: FP64 named, FP32 sent": (lambda s: binary_v2(s, datatype="FP64"), "inputs.features.data"),
    "binary: truncated": (
        lambda s: (binary_v2(s)[0][:-4], binary_v2(s)[1]),
        "binary_data_size",
    ),
    "binary: the header is a float": (
        lambda s: (binary_v2(s)[0], BYTES | {"inference-header-content-length": "1e3"}),
        "inference-header-content-length",
    ),
    "binary: the header is zero": (
        lambda s: (binary_v2(s)[0], BYTES | {"inference-header-content-length": "0"}),
        "inference-header-content-length",
    ),
    "binary: the header is of 5000 digits": (
        lambda s: (binary_v2(s)[0], BYTES | {"inference-header-content-length": "9" * 5_000}),
        "inference-header-content-length",
    ),
    "binary: JSON with NaN": (lambda s: (b'{"inputs": [NaN]}', BYTES), "inputs[0]"),
    "binary: outputs is text": (lambda s: binary({"inputs": [], "outputs": "x"}, b""), "outputs"),
    "binary: id is a list": (lambda s: binary({"inputs": [], "id": []}, b""), "id"),
    "binary: shape missing": (lambda s: binary({"inputs": [{"name": "features"}]}, b""), "inputs[0].shape"),
}


def grpc_request(served: Served, **changes: Any) -> Any:
    from kserve.protocol.grpc import grpc_predict_v2_pb2 as pb

    features = served.features[:2]
    tensor = {"name": "features", "shape": list(features.shape), "datatype": "FP32"} | changes.pop("tensor", {})
    raw = changes.pop("raw", [features.tobytes()])
    request = pb.ModelInferRequest(**{"model_name": "fraud", "inputs": [tensor], "raw_input_contents": raw, **changes})
    return request.SerializeToString()


_grpc = grpc_request
# what it is: (the bytes of a ModelInferRequest, what the details name)
BAD_GRPC: dict[str, tuple[Any, str]] = {
    "no bytes": (lambda s: b"", "Model"),
    "noise": (lambda s: b"\xff" * 40, "request"),
    "a text": (lambda s: b"hello", "request"),
    "JSON": (lambda s: b'{"inputs": []}', "request"),
    "truncated after one byte": (lambda s: _grpc(s)[:1], "request"),
    "truncated in the middle": (lambda s: _grpc(s)[: len(_grpc(s)) // 2], "request"),
    "truncated at the end": (lambda s: _grpc(s)[:-1], "request"),
    "a length beyond the end": (lambda s: b"\x0a\xff\xff\xff\x7f" + b"a" * 10, "request"),
    "a field of wire type 7": (lambda s: b"\x0f\x01", "request"),
    "no UTF-8 in a name": (lambda s: b"\x0a\x02\xff\xfe", "request"),
    "no inputs": (lambda s: _grpc(s, inputs=[], raw=[]), "inputs"),
    "two inputs": (
        lambda s: _grpc(s, inputs=[{"name": "features", "shape": [1, 1], "datatype": "FP32"}] * 2, raw=[b"0000"] * 2),
        "inputs",
    ),
    "another name": (lambda s: _grpc(s, tensor={"name": "x"}), "inputs"),
    "no name": (lambda s: _grpc(s, tensor={"name": ""}), "inputs"),
    "no datatype": (lambda s: _grpc(s, tensor={"datatype": ""}), ""),
    "datatype FP31": (lambda s: _grpc(s, tensor={"datatype": "FP31"}), ""),
    "datatype INT64": (lambda s: _grpc(s, tensor={"datatype": "INT64"}), "datatype"),
    "no shape": (lambda s: _grpc(s, tensor={"shape": []}), "shape"),
    "[-1, 3]": (lambda s: _grpc(s, tensor={"shape": [-1, 3]}), "shape"),
    "a shape of 2**62 rows": (lambda s: _grpc(s, tensor={"shape": [2**62, s.features.shape[1]]}), "inputs.features"),
    "a shape of no rows": (lambda s: _grpc(s, tensor={"shape": [0, s.features.shape[1]]}, raw=[b""]), "features"),
    "raw bytes too few": (lambda s: _grpc(s, raw=[b"\0" * 8]), "inputs.features"),
    "raw bytes not of the type": (lambda s: _grpc(s, raw=[b"\0" * 7]), "inputs.features"),
    "raw bytes twice": (lambda s: _grpc(s, raw=[s.features[:2].tobytes()] * 2), ""),
    "neither raw bytes nor contents": (lambda s: _grpc(s, raw=[]), "inputs.features"),
    "contents and raw bytes": (lambda s: _grpc(s, tensor={"contents": {"fp32_contents": [1.0]}}), ""),
    "contents of another type": (lambda s: _grpc(s, tensor={"contents": {"int_contents": [1]}}, raw=[]), "features"),
    "NaN": (lambda s: _grpc(s, raw=[np.full_like(s.features[:2], NAN).tobytes()]), "inputs.features.data[0][0]"),
    "infinity": (lambda s: _grpc(s, raw=[np.full_like(s.features[:2], INF).tobytes()]), "inputs.features.data[0][0]"),
    "an unknown output": (lambda s: _grpc(s, outputs=[{"name": "x"}]), "outputs.x"),
    "4097 rows": (
        lambda s: grpc_request(
            s,
            tensor={"shape": [4097, s.features.shape[1]]},
            raw=[np.zeros((4097, s.features.shape[1]), np.float32).tobytes()],
        ),
        "inputs.features",
    ),
}  # fmt: skip
GRPC_METHOD = "/inference.GRPCInferenceService/ModelInfer"


def send(served: Served, path: str, made: Any) -> httpx.Response:
    """Send a request of the tables."""
    if isinstance(made, tuple):
        body, headers = made
    else:
        body, headers = json.dumps(made).encode(), JSON
    return served.client.post(path, content=body, headers=headers)


INSIDE = (
    "traceback",
    "site-packages",
    ".py",
    "/home",
    "/root",
    "object at 0x",
    "exception",
    "pydantic",
    "kserve",
)
"""What a client learns nothing of."""


def leaks(text: str, *sent: object) -> list[str]:
    """Signs of the server's inside in an answer, but those that the client itself sent (a tensor it named ``.py``)."""
    told = " ".join(_spoken(part) for part in sent)
    return [sign for sign in INSIDE if sign in text.lower() and sign not in told]


def _spoken(part: object) -> str:
    """What was sent as an answer could say it again: as it is and, of JSON and addresses, without its escapes."""
    text = part.decode("utf-8", "replace") if isinstance(part, bytes) else str(part)
    with contextlib.suppress(ValueError, RecursionError):
        text += json.dumps(json.loads(text), ensure_ascii=False)
    return (text + urllib.parse.unquote(text)).lower()


def check_refusal(served: Served, answer: httpx.Response, field_name: str) -> None:
    """A 400 that names the field and shows nothing of the inside."""
    for i, name in enumerate(served.names):
        field_name = field_name.replace(f"<{i}>", name)
    assert answer.status_code == 400, f"{answer.status_code}: {answer.text}"
    assert field_name in answer.json()["error"], answer.text
    assert not leaks(answer.text), answer.text
