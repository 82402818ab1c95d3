"""How long the fuzz tests look: quickly in every run, with the same inputs each time; for long with MDISSECT_FUZZ=long."""

import os

from hypothesis import HealthCheck, settings

settings.register_profile("quick", max_examples=60, deadline=None, derandomize=True)
settings.register_profile("long", max_examples=2000, deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile(os.environ.get("MDISSECT_FUZZ", "quick"))
