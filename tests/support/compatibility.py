"""Whether today's message can stand where last version's stood."""

from typing import Any

_BOUNDS = {"minimum": 1, "minLength": 1, "maximum": -1, "exclusiveMaximum": -1, "maxLength": -1}


def breaking_changes(old: dict[str, Any], new: dict[str, Any], *, written_by: str) -> list[str]:
    """What breaks a program that was made for the schema ``old``.

    Args:
        old: last version's JSON Schema, as ``fraudline.stream.interface.schemas`` gives it.
        new: today's.
        written_by: ``others`` for a message the worker reads (yesterday's producer must still be understood), or
            ``worker`` for one it writes (yesterday's reader must still find what it read).
    """
    found: list[str] = []
    _compare(old, new, old, new, "$", written_by == "others", found)
    return found


def _compare(old: Any, new: Any, old_root: Any, new_root: Any, path: str, accepts: bool, found: list[str]) -> None:
    old, new = _resolved(old, old_root), _resolved(new, new_root)
    before, after = old.get("properties", {}), new.get("properties", {})
    if accepts:
        found += [
            f"{path}.{name} is now required" for name in set(new.get("required", [])) - set(old.get("required", []))
        ]
        wider, narrower = new, old
    else:
        found += [f"{path}.{name} is gone" for name in set(before) - set(after)]
        found += [
            f"{path}.{name} may now be missing"
            for name in set(old.get("required", [])) - set(new.get("required", []))
            if name in after
        ]
        wider, narrower = old, new
    if not _kinds(narrower) <= _kinds(wider):
        found.append(f"{path} was {sorted(_kinds(old))}, is {sorted(_kinds(new))}")
    for name, sign in _BOUNDS.items():
        if name in wider and (name not in narrower or sign * wider[name] > sign * narrower[name]):
            found.append(f"{path}: {name} was {old.get(name)}, is {new.get(name)}")
    if "enum" in wider and not set(narrower.get("enum", ["anything"])) <= set(wider["enum"]):
        found.append(f"{path}: the values were {old.get('enum')}, are {new.get('enum')}")
    if wider.get("pattern", narrower.get("pattern")) != narrower.get("pattern"):
        found.append(f"{path}: the pattern was {old.get('pattern')}, is {new.get('pattern')}")
    for name in set(before) & set(after):
        _compare(before[name], after[name], old_root, new_root, f"{path}.{name}", accepts, found)
    if "items" in old and "items" in new:
        _compare(old["items"], new["items"], old_root, new_root, f"{path}[]", accepts, found)


def _resolved(schema: Any, root: Any) -> Any:
    while "$ref" in schema:
        schema = root["$defs"][schema["$ref"].rsplit("/", 1)[-1]]
    options = [option for option in schema.get("anyOf", []) if option.get("type") != "null"]
    if len(options) == 1:
        return {**_resolved(options[0], root), "nullable": True}
    return schema


def _kinds(schema: Any) -> set[str]:
    kinds = schema.get("type", [])
    found = {kinds} if isinstance(kinds, str) else set(kinds)
    return found | ({"null"} if schema.get("nullable") else set())
