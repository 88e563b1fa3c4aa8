"""The documents in docs/ say what the code says."""

from __future__ import annotations

import pytest

from coordinator.local.documents import DOCUMENTS
from coordinator.local.migrations import ROOT


@pytest.mark.parametrize("name", DOCUMENTS)
def test_a_generated_document_is_up_to_date(name: str) -> None:
    assert (ROOT / "docs" / name).read_text(encoding="utf-8") == DOCUMENTS[name](), "run `make docs`"
