from __future__ import annotations

import pytest
import torch


@pytest.fixture
def threads():
    """Return a function that sets the number of torch threads for the duration of a test."""
    before = torch.get_num_threads()
    yield torch.set_num_threads
    torch.set_num_threads(before)
