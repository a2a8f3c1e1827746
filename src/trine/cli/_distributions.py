"""Distributions as they are written on the command line: ``normal(20, 10)``, mixtures of them, files of samples."""

from __future__ import annotations

import ast
import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.distributions import (
    Bernoulli,
    Beta,
    Binomial,
    Categorical,
    Cauchy,
    Distribution,
    Exponential,
    Gamma,
    Geometric,
    Gumbel,
    HalfNormal,
    Independent,
    Laplace,
    LogNormal,
    MixtureSameFamily,
    MultivariateNormal,
    NegativeBinomial,
    Normal,
    Pareto,
    Poisson,
    StudentT,
    Uniform,
    Weibull,
)

from trine.divergences import Blend, Logistic
from trine.errors import ChoiceError, nearest
from trine.rules import OrderedCategorical

SUFFIXES = (".csv", ".tsv", ".npy", ".npz", ".parquet", ".jsonl")


@dataclasses.dataclass(frozen=True)
class _Family:
    """How a family is written and built.

    Attributes:
        names: of its parameters, in order.
        build: from tensors of float64 in that order.
    """

    names: tuple[str, ...]
    build: Callable[..., Distribution]


def _normal(loc: Tensor, scale: Tensor) -> Distribution:
    if not loc.dim() and not scale.dim():
        return Normal(loc, scale)
    if scale.dim() == 2:
        return MultivariateNormal(loc, scale)
    return Independent(Normal(*torch.broadcast_tensors(loc, scale)), 1)  # type: ignore[no-untyped-call]


FAMILIES: dict[str, _Family] = {
    "normal": _Family(("loc", "scale"), _normal),
    "laplace": _Family(("loc", "scale"), Laplace),
    "logistic": _Family(("loc", "scale"), Logistic),
    "student": _Family(("df", "loc", "scale"), StudentT),
    "cauchy": _Family(("loc", "scale"), Cauchy),
    "gumbel": _Family(("loc", "scale"), Gumbel),
    "uniform": _Family(("low", "high"), Uniform),
    "exponential": _Family(("rate",), Exponential),
    "gamma": _Family(("concentration", "rate"), Gamma),
    "lognormal": _Family(("loc", "scale"), LogNormal),
    "halfnormal": _Family(("scale",), HalfNormal),
    "weibull": _Family(("scale", "concentration"), Weibull),
    "pareto": _Family(("scale", "alpha"), Pareto),
    "beta": _Family(("concentration1", "concentration0"), Beta),
    "poisson": _Family(("rate",), Poisson),
    "negative_binomial": _Family(("total_count", "probs"), NegativeBinomial),
    "binomial": _Family(("total_count", "probs"), Binomial),
    "geometric": _Family(("probs",), Geometric),
    "bernoulli": _Family(("probs",), Bernoulli),
}
LISTED: dict[str, Callable[[Tensor], Distribution]] = {"categorical": Categorical, "ordered": OrderedCategorical}
"""Families whose arguments are the probabilities, one after the other."""


def parse(text: str, option: str) -> Distribution | Tensor:
    """The distribution that ``text`` writes, or the samples of the file that it names.

    ``normal(20, 10)``, ``gamma(concentration=2, rate=1)``, ``0.3*normal(0, 1) + 0.7*laplace(4, 1)``, of vectors
    ``normal([0, 1], [1, 2])`` (scales) and ``normal([0, 1], [[1, 0.3], [0.3, 1]])`` (covariance), ``ages.npy``,
    ``adult.csv:age``. Nothing is evaluated: the text is read as a tree, of which only these forms are known.

    Args:
        text: what the user wrote. option: where, for messages, e.g. ``--p``.

    Raises:
        ChoiceError: anything else; says where and what is expected.
    """
    path, _, column = text.partition(":")
    if path.endswith(SUFFIXES):
        return _samples(Path(path), column or None, option)
    try:
        tree = ast.parse(text.strip(), mode="eval").body
    except SyntaxError:
        raise ChoiceError(f"{option} {text!r} is no distribution; write e.g. {option} 'normal(20, 10)'.") from None
    return _Reader(text, option).mixture(tree)


class _Reader:
    def __init__(self, text: str, option: str) -> None:
        self.text = text
        self.option = option

    def mixture(self, tree: ast.expr) -> Distribution:
        terms = self._terms(tree)
        if len(terms) == 1:
            if terms[0][0] != 1.0:
                raise self._mistake(f"one distribution has the weight 1, not {terms[0][0]:g}")
            return terms[0][1]
        weights, parts = [weight for weight, _ in terms], [part for _, part in terms]
        total = sum(weights)
        if min(weights) <= 0 or not abs(total - 1) < 1e-6:
            raise self._mistake(f"the weights of a mixture are above 0 and add up to 1, not to {total:g}")
        kind = type(parts[0])
        if kind is Normal and all(type(part) is kind for part in parts):
            components = Normal(torch.stack([p.mean for p in parts]), torch.stack([p.stddev for p in parts]))
            return MixtureSameFamily(Categorical(torch.tensor(weights, dtype=torch.float64)), components)
        try:
            return Blend(weights, parts)
        except ChoiceError as error:
            raise self._mistake(str(error).rstrip(".")) from None

    def _terms(self, tree: ast.expr) -> list[tuple[float, Distribution]]:
        if isinstance(tree, ast.BinOp) and isinstance(tree.op, ast.Add):
            return [*self._terms(tree.left), *self._terms(tree.right)]
        if isinstance(tree, ast.BinOp) and isinstance(tree.op, ast.Mult):
            weight, part = (tree.left, tree.right) if isinstance(tree.right, ast.Call) else (tree.right, tree.left)
            return [(float(self._number(weight)), self._distribution(part))]
        return [(1.0, self._distribution(tree))]

    def _distribution(self, tree: ast.expr) -> Distribution:
        if isinstance(tree, ast.Name):
            raise self._mistake(f"{tree.id} has no parameters; write {self._example(tree.id)}")
        if not isinstance(tree, ast.Call) or not isinstance(tree.func, ast.Name):
            raise self._mistake("a distribution is written as name(numbers), e.g. normal(20, 10)")
        name = tree.func.id.lower()
        if name in LISTED:
            values = [self._number(each) for each in tree.args]
            return self._built(name, lambda: LISTED[name](self._shares(values, bool(tree.keywords))))
        if name not in FAMILIES:
            known = [*FAMILIES, *LISTED]
            raise self._mistake(f"there is no distribution {name!r}.{nearest(name, known)} Known: {', '.join(known)}")
        family = FAMILIES[name]
        given = dict(zip(family.names, (self._value(each) for each in tree.args), strict=False))
        for keyword in tree.keywords:
            if keyword.arg not in family.names or keyword.arg in given:
                raise self._mistake(f"{name} takes {', '.join(family.names)}")
            given[keyword.arg] = self._value(keyword.value)
        if len(tree.args) > len(family.names) or set(given) != set(family.names):
            raise self._mistake(f"{name} takes {', '.join(family.names)}, e.g. {self._example(name)}")
        return self._built(name, lambda: family.build(*(given[each] for each in family.names)))

    def _built(self, name: str, build: Callable[[], Distribution]) -> Distribution:
        # A compilation anywhere in the process switches torch's checks off for good.
        checked = Distribution._validate_args
        Distribution.set_default_validate_args(True)
        try:
            return build()
        except (ValueError, RuntimeError) as error:
            if isinstance(error, ChoiceError):
                raise
            # torch names the parameter in its first words: "Expected parameter scale (Tensor of shape ()) …".
            words = str(error).split()
            which = f"its {words[2]} is" if words[:2] == ["Expected", "parameter"] else "a parameter is"
            raise self._mistake(f"{name} is not defined there: {which} outside its range") from None
        finally:
            Distribution.set_default_validate_args(checked)

    def _shares(self, values: list[float], named: bool) -> Tensor:
        if named or len(values) < 2 or min(values) < 0 or abs(sum(values) - 1) > 1e-6:
            raise self._mistake("probabilities are two or more numbers from 0 to 1 that add up to 1")
        return torch.tensor(values, dtype=torch.float64)

    def _value(self, tree: ast.expr) -> Tensor:
        return torch.tensor(self._listed(tree), dtype=torch.float64)

    def _listed(self, tree: ast.expr) -> Any:
        if not isinstance(tree, ast.List | ast.Tuple):
            return self._number(tree)
        rows = [self._listed(each) for each in tree.elts]
        sizes = {len(row) if isinstance(row, list) else 0 for row in rows}
        if len(sizes) != 1:
            raise self._mistake("the rows of a matrix are lists of one length")
        return rows

    def _number(self, tree: ast.expr) -> float:
        if isinstance(tree, ast.UnaryOp) and isinstance(tree.op, ast.USub | ast.UAdd):
            value = self._number(tree.operand)
            return -value if isinstance(tree.op, ast.USub) else value
        if isinstance(tree, ast.BinOp) and isinstance(tree.op, ast.Div):
            below = self._number(tree.right)
            if below:
                return self._number(tree.left) / below
        if isinstance(tree, ast.Constant) and isinstance(tree.value, int | float) and not isinstance(tree.value, bool):
            return float(tree.value)
        raise self._mistake(f"{ast.unparse(tree)!r} is no number")

    def _example(self, name: str) -> str:
        if name in LISTED:
            return f"{name}(0.2, 0.3, 0.5)"
        names = FAMILIES[name].names if name in FAMILIES else ("loc", "scale")
        return f"{name if name in FAMILIES else 'normal'}({', '.join(f'{each}=…' for each in names)})"

    def _mistake(self, what: str) -> ChoiceError:
        return ChoiceError(f"{self.option} {self.text!r}: {what}.")


def _samples(path: Path, column: str | None, option: str) -> Tensor:
    """The numbers of a file: an array of ``.npy``, (n,) or (n, k), or a column of a table."""
    from trine.data import read

    if path.suffix == ".npy":
        try:
            values = np.load(path, allow_pickle=False)
        except (OSError, ValueError) as error:
            raise ChoiceError(f"{option} {path} cannot be read as an array of numbers: {error}.") from None
    else:
        table = read(str(path))
        names = list(table.names)
        if column is None and len(names) > 1:
            raise ChoiceError(f"{option} {path} has {len(names)} columns; name one: {option} {path}:{names[0]}.")
        read_column = table.column(column or names[0])
        if read_column.levels is not None or read_column.offsets is not None:
            raise ChoiceError(f"{option} {path}: the column {read_column.name!r} holds no numbers.")
        values = np.asarray(read_column.values)
    if values.dtype.kind not in "iufb":
        raise ChoiceError(f"{option} {path}{':' + column if column else ''} holds no numbers.")
    values = values.astype(np.float64)
    return torch.from_numpy(values[np.isfinite(values)] if values.ndim == 1 else values)
