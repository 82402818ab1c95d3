"""The schedule of all trainings."""

import numpy as np
import pytest

from mdissect.train.base import Schedule


def test_the_rate_warms_up_and_falls_along_half_a_cosine():
    schedule = Schedule(peak=2.0, total_steps=110, warmup_steps=10, floor=0.1)
    rates = [schedule.rate(step) for step in range(111)]
    np.testing.assert_allclose(rates[:10], np.arange(1, 11) / 10 * 2)
    assert rates[10] == pytest.approx(2.0)
    assert rates[60] == pytest.approx((2.0 + 0.2) / 2)
    assert rates[110] == pytest.approx(0.2) == schedule.rate(10**6)
    assert np.diff(rates[10:]).max() < 0
    assert Schedule(peak=1.0, total_steps=5, warmup_steps=0).rate(0) == 1.0
