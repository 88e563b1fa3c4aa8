"""The application, for tests of what it is made of."""

from tests.api.conftest import api, app

__all__ = ["api", "app"]
