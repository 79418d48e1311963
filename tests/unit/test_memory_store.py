"""The in-memory store passes the suite that the real ones pass."""

from __future__ import annotations

import pytest

from processor.stores.base import Store
from processor.stores.memory import MemoryStore
from processor.tables.base import View
from tests.conformance import VIEW_FIELDS, CompareAndSetConformance


class TestMemoryStore(CompareAndSetConformance):
    @pytest.fixture
    def view(self) -> View:
        return View(store="memory", name="things", fields=VIEW_FIELDS)

    @pytest.fixture
    def store(self, view: View) -> Store:
        store = MemoryStore()
        store.ensure(view)
        return store
