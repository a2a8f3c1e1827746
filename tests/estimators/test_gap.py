"""What θ leaves open grows where there are no rows, under every posterior."""

from __future__ import annotations

import warnings

import numpy as np
import pytest

from trine import Regressor
from trine.rules import spread

WAYS = {
    "ensemble": {"posterior": "ensemble", "draws": 5},
    "dropout": {"posterior": "dropout", "dropout": 0.2},
    "swag": {"posterior": "swag"},
    "laplace": {"posterior": "laplace"},
    "kron": {"posterior": "laplace", "curvature": "kron", "draws": 16},
    "variational": {"posterior": "variational", "prior": "normal(0.2)"},
    "langevin": {"posterior": "langevin", "prior": "normal(0.2)", "sampling_steps": 400, "draws": 32},
}


@pytest.mark.parametrize("way", WAYS)
def test_the_spread_of_theta_is_larger_in_the_gap_than_among_the_rows(way: str) -> None:
    random = np.random.default_rng(0)
    x = np.concatenate([random.uniform(-2.0, -0.7, 60), random.uniform(0.9, 2.0, 60)])
    y = np.sin(3.0 * x) + 0.5 * x + 0.1 * random.standard_normal(120)
    training = {
        "epochs": {"swag": 300, "ensemble": 120, "langevin": 120}.get(way, 200),
        "step_size": 0.01,
        "patience": 0,
        "validation_fraction": 0.0,
    }
    network = {"numbers": "periodic", "hidden": (50,)}
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="The .* chains of posterior=langevin disagree")
        model = Regressor(**network, **training, **WAYS[way], random_state=0, threads=1).fit(x[:, None], y)

    def open_by_theta(low: float, high: float) -> float:
        _, epistemic = spread(model.predict_distribution(np.linspace(low, high, 41)[:, None]))
        return float(epistemic.median())

    rows = (open_by_theta(-2.0, -0.7) + open_by_theta(0.9, 2.0)) / 2
    # Variances. SWAG stays about one mode, and dropout's masks are of one network: their spread grows least.
    assert open_by_theta(-0.3, 0.5) > {"swag": 1.0, "dropout": 1.2}.get(way, 2.0) * rows
