"""Fixtures and rules of the whole suite: one thread, no network, real data marked."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
import torch
from hypothesis import settings

SHARED = Path(__file__).resolve().parents[1].parent / "shared" / "data"


def pytest_configure(config: pytest.Config) -> None:
    torch.set_num_threads(1)
    # No test is timed: the first example pays for imports, and machines are noisy.
    settings.register_profile("trine", deadline=None)
    settings.load_profile("trine")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    if SHARED.is_dir() or os.environ.get("TRINE_REQUIRE_DATA"):
        return
    skip = pytest.mark.skip(reason=f"the real data sets are not at {SHARED}")
    for item in items:
        if "data" in item.keywords:
            item.add_marker(skip)


@pytest.fixture(scope="session")
def shared() -> Path:
    """Folder of the real data sets; its absence fails the test where continuous integration requires it."""
    if not SHARED.is_dir():
        pytest.fail(f"the real data sets are required and not at {SHARED}")
    return SHARED


@pytest.fixture(autouse=True)
def _seeded() -> None:
    torch.manual_seed(0)
