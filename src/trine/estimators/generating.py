"""New rows like those that were seen: a generator against a critic."""

from __future__ import annotations

import dataclasses
from typing import Any, Self

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from trine.data import labels_of
from trine.errors import DataError
from trine.estimators._arguments import count, seed_of
from trine.estimators._estimator import estimators
from trine.estimators._generating import AT_ONCE, Generating, unwrapped, with_columns
from trine.estimators._scored.samples import evaluate_samples_of
from trine.estimators.classification import _tag_inputs
from trine.evaluation import Evaluation

LABEL = "label"
"""What the column of classes beside an array is called."""


@estimators.register("gan")
class GAN(Generating):
    """New rows like those of X, for X of any domains: a generator and a critic that learn from each other.

    The critic learns a divergence between made and true rows, the generator descends it.

    Args:
        divergence: what is learned: ``relativistic`` (default; R3GAN), ``js`` (non-saturating), ``minimax`` (as in 2014),
            ``wasserstein``, ``cramer``, ``hinge``, ``least_squares``, ``chi2``, ``kl``, ``reverse_kl`` or ``hellinger``.
        noise: numbers that a row is made from.
        penalty: γ, weight of ½ E‖∇ critic‖² on true and on made rows.
        penalty_every: steps from one look at it to the next.
        likelihood: of numbers and categories, weight of −log p(row given noise), a column, beside what the critic learns; 0 leaves
            it out.
        critic_steps: of the critic for each of the generator.
        pack: rows that the critic sees at once (PacGAN); 1 (default): each by itself.
        critic_augment: probability with which pictures are changed at random before the critic sees them.
        hidden: widths of the dense layers, of tables.
        channels: of the convolutional networks, of pictures.
        optimiser: ``adamw``, ``sgd`` or ``momentum``.
        step_size: (peak) step size of both players.
        schedule: ``constant``, ``robbins-monro``, ``cosine`` or ``onecycle``.
        ema: decay of the exponential moving average of the generator's weights; 0 for none.
        batch_size: rows of either side in a step.
        epochs: passes over the training rows.
        patience: epochs without a score of the samples that is better by more than its noise before stopping; 0 never stops early.
        validation_fraction: share of the rows that samples are compared with as training goes.
        random_state: None, an integer or a numpy random state.
        threads: torch threads; None chooses.
        budget: seconds that training may take; None for no bound.
        verbose: whether to show progress on standard error.

    A parameter that is None is derived; ``print(model.derivation_)`` tells what was derived, and why.

    Example:
        >>> from sklearn.datasets import load_iris
        >>> X = load_iris().data
        >>> model = GAN(epochs=2, random_state=0).fit(X)
        >>> model.sample(5).shape
        (5, 4)
    """

    kind = "gan"
    method = "gan"

    def __init__(
        self,
        divergence: str | None = None,
        *,
        noise: int | None = None,
        penalty: float | None = None,
        penalty_every: int | None = None,
        likelihood: float | None = None,
        critic_steps: int | None = None,
        pack: int | None = None,
        critic_augment: float | None = None,
        hidden: tuple[int, ...] | None = None,
        channels: int | None = None,
        optimiser: str | None = None,
        step_size: float | None = None,
        schedule: str | None = None,
        ema: float | None = None,
        batch_size: int | None = None,
        epochs: int | None = None,
        patience: int | None = None,
        validation_fraction: float = 0.1,
        random_state: int | np.random.RandomState | None = None,
        threads: int | None = None,
        budget: float | None = None,
        verbose: bool = False,
    ) -> None:
        self.divergence = divergence
        self.noise = noise
        self.penalty = penalty
        self.penalty_every = penalty_every
        self.likelihood = likelihood
        self.critic_steps = critic_steps
        self.pack = pack
        self.critic_augment = critic_augment
        self.hidden = hidden
        self.channels = channels
        self.optimiser = optimiser
        self.step_size = step_size
        self.schedule = schedule
        self.ema = ema
        self.batch_size = batch_size
        self.epochs = epochs
        self.patience = patience
        self.validation_fraction = validation_fraction
        self.random_state = random_state
        self.threads = threads
        self.budget = budget
        self.verbose = verbose

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        _tag_inputs(tags)
        tags.target_tags.required = False
        return tags

    def fit(self, X: Any, y: Any = None) -> Self:
        """Derive model, criterion and procedure from X and train.

        Args:
            X: (rows, columns) array, tensor, data frame or mapping of columns (numbers, text, missing values allowed), or (rows,
                height, width[, channels]) pixels; or a ``TensorDataset`` of one such tensor.
            y: (rows,) classes by which samples are judged once training is over; never learned from. May be left out.

        Raises:
            TrineError (a ValueError): what was wrong, where, and what to do.
        """
        self.from_arrays_ = True
        table, domains = self._check_inputs(unwrapped(X), reset=True)
        if y is None:
            return self._fit(self._plan([], domains), table)
        label = LABEL
        while label in table:
            label += "_"
        plan = self._plan([], {**domains, label: "ignore"})
        return self._fit(dataclasses.replace(plan, label=label), with_columns(table, {label: np.asarray(y)}))

    def sample(self, n: int = 1, *, seed: int | None = None) -> Any:
        """``n`` new rows in the form that X had: an array of pixels or of numbers, else a mapping from column to values.

        Args:
            n: how many. seed: of the noise; None: the estimator's own.
        """
        return self._as_given(self.drawn_columns(n, seed=seed))

    def drawn_columns(self, n: int, *, seed: int | None = None) -> dict[str, NDArray[Any]]:
        """What :meth:`sample` gives, always as a mapping from column to values."""
        from sklearn.utils.validation import check_is_fitted

        check_is_fitted(self)
        n = count("n", n, "at least 1 row is made")
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed_of(seed, self.plan_.seed))
            return self.columns_of(torch.randn(n, self._network.noise.width))

    def columns_of(self, noise: Tensor) -> dict[str, NDArray[Any]]:
        """What is made of (rows, noise) given noise: column → values."""
        network = self._network.eval()
        with torch.inference_mode():
            seen = [network.make(part) for part in torch.split(noise, AT_ONCE)]
            return self._in_units(torch.cat(seen))

    def evaluate(self, data: Any, network: Any = None) -> Evaluation:
        """How like the rows of ``data`` the samples are: see :mod:`trine.evaluation.samples`.

        Args:
            data: rows in any form that :meth:`fit` takes, or the path of a table or of a folder; or a pair (rows, classes).
            network: in whose features distances are taken as well, named after it: weights of Inception v3, whose distance is the
                FID (a state dict: ``.pth``, ``.pt``, ``.safetensors``), or whatever :class:`~trine.Transfer` takes for an encoder.
        """
        data, labels = unwrapped(data), None
        if isinstance(data, tuple) and len(data) == 2:
            data, labels = data[0], np.array([str(label) for label in np.asarray(data[1]).tolist()], dtype=object)
        store, table = self._encode(data)
        if labels is None:
            labels = labels_of(table, self.plan_.label)
        elif len(labels) != table.rows:
            raise DataError(f"There are {table.rows} rows and {len(labels)} classes; give them in pairs.")
        return evaluate_samples_of(self, store, labels, network)

    def evaluate_all(self, data: Any, network: Any = None) -> dict[str, Evaluation]:
        """``{"x": evaluation}``, as other estimators have one a target."""
        return {"x": self.evaluate(data, network)}
