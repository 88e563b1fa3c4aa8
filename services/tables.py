"""Every table, gathered in one metadata: what migrations, key rotation and the patient export walk over."""

from importlib import import_module
from pathlib import Path

from sqlalchemy import MetaData

from services.core.database import Base

PACKAGES = sorted(path.parent.name for path in Path(__file__).parent.glob("*/models.py"))

for package in PACKAGES:
    import_module(f"services.{package}.models")

metadata: MetaData = Base.metadata
