"""Metrics in words."""

from __future__ import annotations

MEANING = {
    "accuracy": "share of rows whose most probable class is right",
    "balanced_accuracy": "the same, each class counting alike",
    "log_loss": "mean of −log of the probability given to the truth",
    "brier": "squared distance of the probabilities from the truth",
    "auc": "chance that a row of the class scores above one that is not",
    "macro_f1": "harmonic mean of precision and recall, averaged over classes",
    "calibration_error": "mean gap between confidence and share right",
    "ranked_probability_score": "squared distance of the cumulative probabilities from the truth",
    "top_3_accuracy": "share of rows whose class is among the three most probable",
    "top_5_accuracy": "share of rows whose class is among the five most probable",
    "exact_match": "share of rows that are right altogether",
    "micro_f1": "harmonic mean of precision and recall over all labels of all rows",
    "hamming_loss": "share of labels that are wrong",
    "macro_auc": "chance that a row with a label scores above one without, averaged over labels",
    "token_accuracy": "share of tokens that are right in their place",
    "edit_distance": "insertions, deletions and replacements, as a share of the longer text",
    "bits_per_character": "mean of −log2 of the probability of a character, given those before",
    "perplexity": "as uncertain about a token as among so many equally likely ones",
    "rmse": "root of the mean squared error",
    "mae": "mean absolute error",
    "r2": "share of the variance that is explained",
    "nll": "mean of −log of the density at the truth",
    "crps": "distance of the predicted distribution from the truth, in y's unit",
    "coverage_90": "share of rows inside the 90 % interval",
    "log_likelihood": "log p(x) by importance sampling, 5 draws of each row's code, from below; nats a row",
    "elbo": "evidence lower bound of log p(x), by the same draws; nats a row",
    "reconstruction": "log q(x | z) at each row's own code; nats a row, and no likelihood of x",
    "divergence": "KL(code ‖ prior), nats a row: what the code costs",
    "unexplained": "squared error of all numbers, in units of their variance",
    "wrong": "share of categories, and of the tokens of texts, that do not come back",
    "poisson_deviance": "twice the log-likelihood lost to a perfect Poisson rate",
    "precision": "share of samples that lie where true rows do",
    "recall": "share of true rows that lie where samples do",
    "density": "how many true rows’ neighbourhoods a sample lies in, against what is expected of a true row",
    "coverage": "share of true rows with a sample in their neighbourhood",
    "comes back": "share of the variance of what was given that the way there and back brings back",
    "diversity": "variance of one row’s translations under several noises, as a share of that of all rows’",
    "classes found": "classes that a classifier of true rows takes a sample for",
    "clusters found": "clusters of true rows that a sample falls into",
    "classes out of balance": "KL(shares of the classes among samples ‖ among true rows)",
    "clusters out of balance": "KL(shares of the clusters among samples ‖ among true rows)",
    "taken for its class": "share of samples that a classifier of true rows takes for the class that they were made for",
    "right style": "share of translations that a classifier of the two piles takes for rows of the one they are to be of",
    "content kept": "share of translations whose label a classifier of true rows sees in them",
    "absolute error": "mean absolute error of a pixel, from 0 to 1, of an answer",
    "apart": "how far two answers to one picture are apart, as a share of answers to two pictures; 0: always the same answer",
    "spread": "how far two answers to one picture are apart over an answer’s error; 1 where the truth could be one of them",
    "copies of training rows": "share of samples nearer to a training row than 99 % of held-out rows are",
}
DISTANCES = {
    "FD": "Fréchet’s distance between samples and true rows in the features of",
    "CFD": "the same given what each was made for (conditional Fréchet distance), in the features of",
    "KD": "kernel distance in the features of",
    "energy": "how far answers are from the true picture, less half of how far they are from each other, in the features of",
}
"""Distances that are named after the features that they are taken in."""
AGAINST = {
    "energy": "answers to another picture",
    "absolute error": "answers to another picture",
    "apart": "answers to two pictures",
    "spread": "the level to meet",
}
"""What the figures of pairs of pictures stand beside, where those of samples stand beside true rows."""
NAMES = {
    "auc": "AUC",
    "rmse": "RMSE",
    "mae": "MAE",
    "r2": "R²",
    "nll": "negative log-likelihood",
    "crps": "CRPS",
    "macro_f1": "macro F1",
    "micro_f1": "micro F1",
    "macro_auc": "mean AUC of the labels",
    "brier": "Brier score",
    "coverage_90": "coverage of 90 %",
    "poisson_deviance": "Poisson deviance",
    "log_likelihood": "log-likelihood",
    "elbo": "its lower bound (ELBO)",
    "reconstruction": "log-likelihood of the reconstruction",
    "unexplained": "unexplained variance",
    "wrong": "wrong categories or tokens",
}


def meaning(key: str) -> str:
    """What a metric says; nothing of one that is not known."""
    kind, _, space = key.partition("-")
    return f"{DISTANCES[kind]} {space}" if space and kind in DISTANCES else MEANING.get(key, "")


def ending(stopped: str | None, done: int | None, planned: int | None) -> str | None:
    """How a training ended: after so many of the epochs that were planned, and why; None where it is not known."""
    if stopped is None or done is None or planned is None:
        return None
    why = {"budget": "stopped by the budget after ", "patience": "stopped as nothing got better, after "}.get(
        stopped, ""
    )
    return f"{why}{done:,} of {planned:,}" if done < planned else f"{done:,}"


def against(key: str) -> str:
    """What a metric's value is compared with, where it is neither true rows nor the trivial prediction; else nothing."""
    kind, _, space = key.partition("-")
    return AGAINST.get(kind if space else key, "")


def name_of(key: str) -> str:
    """How a person writes a metric."""
    return NAMES.get(key, key.replace("_", " "))
