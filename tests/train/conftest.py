"""One thread for all training tests."""

import pytest
import torch


@pytest.fixture(scope="module", autouse=True)
def one_thread():
    """More threads only wait for each other over tensors so small."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)
