"""The REST API under ``/api/v1``: one file per resource, holding its routes, its schemas and its use-case calls."""

from importlib import import_module
from pathlib import Path
from typing import Final

from flask_smorest import Blueprint

_MODULES = sorted(path.stem for path in Path(__file__).parent.glob("*.py") if path.stem != "__init__")

# Every module here with a ``blueprint`` is a resource; a new file is a new resource, there is no second list to keep.
RESOURCES: Final[tuple[Blueprint, ...]] = tuple(
    module.blueprint for name in _MODULES if hasattr(module := import_module(f"{__name__}.{name}"), "blueprint")
)
