"""What Argo CD says of an InferenceService: our own script, in the Lua 5.1 that Argo CD runs it in."""

from typing import Any

import yaml
from lupa.lua51 import LuaRuntime

from tests.support.kustomize import MANIFESTS

_KEY = "resource.customizations.health.serving.kserve.io_InferenceService"


def health(service: dict[str, Any]) -> tuple[str, str]:
    """Status and message; the script sees nothing but the object, and no library that reaches out."""
    (script,) = (yaml.safe_load((MANIFESTS / "argocd" / "health.yaml").read_text())["data"][_KEY],)
    lua = LuaRuntime(unpack_returned_tuples=True, register_eval=False, register_builtins=False)
    for library in ("io", "os", "package", "require", "dofile", "loadfile"):
        lua.globals()[library] = None
    lua.globals().obj = lua.table_from(service, recursive=True)
    found = lua.execute(script)
    return found.status, found.message
