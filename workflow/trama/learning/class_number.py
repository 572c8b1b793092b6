"""Choose the number of trajectory classes from the data: criteria over candidate K.

No criterion sees a true task. All of them compare K from 2 on. On data without any classes they
choose 2, the fewest that there may be, but for the silhouette, which takes some K all the same.
Those that read the embeddings alone take a random sample where more would only cost time.

scikit-learn takes 1.5 s to import and is imported where it is used, as in `clustering`.
"""

import warnings
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from trama.config.model import Criterion
from trama.errors import TramaError
from trama.learning.clustering import count_different
from trama.seeds import derive_seed

if TYPE_CHECKING:
    from sklearn.cluster import KMeans

FEWEST_PER_CLASS = 4
"""Different embeddings per class that a criterion needs: it must be able to halve a class."""
SAMPLE = 2_000
"""Trajectories that criteria of the embeddings alone look at, at most."""
N_INIT = 5
"""k-means++ starts of each clustering, and starts of each mixture, that are compared."""
REFERENCES = 10
"""Data sets without structure that the gap statistic compares with."""
SPLITS = 5
"""Random halvings of `stability`."""
STRONG = 0.8
"""Prediction strength from which on a number of clusters is supported (Tibshirani & Walther)."""
FORETOLD = 0.9
"""Agreement above chance from which on the first state foretells the class."""
FOLDS = 5
"""Parts of the cross-validations of `value` and `foretold`."""
STEPS_PER_TRAJECTORY = 8
"""Steps of a trajectory that `value` predicts at, evenly spread: neighbours are nearly the same."""
RIDGE = 10.0
"""Penalty on coefficients of standardised features, in the worth of so many rows."""
MOST_COMPONENTS = 8
HELD_VARIANCE = 0.95
"""Mixtures are fitted to the principal components that hold this share, at most so many."""
LEAST_VARIANCE = 1e-3
"""Added to the variances of a mixture's components, as a share of the data's."""


@dataclass(frozen=True)
class Comparison:
    """What a criterion says about each candidate.

    Attributes:
        criterion: its name.
        n_classes: candidates K [C], ascending from 2.
        score: [C]; the higher, the more speaks for a K, but see the criterion's own rule.
        error: standard error [C] of the score; NaN for a criterion whose rule knows none.
        chosen: the K that the criterion chooses.
    """

    criterion: Criterion
    n_classes: np.ndarray
    score: np.ndarray
    error: np.ndarray
    chosen: int


@dataclass(frozen=True)
class Trajectories:
    """What `value` and `foretold` read of M trajectories beside their embeddings.

    Attributes:
        first: scaled state at the first step, [M, S].
        trajectory: that each of R steps is of, [R] indices below M.
        feature: of these steps, [R, F]: time and state.
        to_go: [R] undiscounted sum of the rewards from the step on.
    """

    first: np.ndarray
    trajectory: np.ndarray
    feature: np.ndarray
    to_go: np.ndarray


def spread_steps(length: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Steps at which `value` predicts: up to `STEPS_PER_TRAJECTORY` of each, evenly spread.

    Args:
        length: steps of each trajectory, [M].

    Returns:
        Trajectory and step of each, [R] both.
    """
    count = np.minimum(length, STEPS_PER_TRAJECTORY)
    trajectory = np.repeat(np.arange(len(length)), count)
    number = np.arange(len(trajectory)) - np.repeat(np.cumsum(count) - count, count)
    step = (2 * number + 1) * length[trajectory] // (2 * count[trajectory])
    return trajectory, step


def read_trajectories(
    first: np.ndarray,
    trajectory: np.ndarray,
    step: np.ndarray,
    state: np.ndarray,
    reward: np.ndarray,
    length: np.ndarray,
) -> Trajectories:
    """Put together what criteria read.

    Args:
        first: scaled first state of each trajectory, [M, S].
        trajectory, step: [R] of `spread_steps`.
        state: scaled states there, [R, S].
        reward: of all steps of all trajectories, one after the other.
        length: steps of each trajectory, [M].
    """
    end = np.cumsum(length)
    total = np.concatenate([[0.0], np.cumsum(reward, dtype=np.float64)])
    to_go = total[end[trajectory]] - total[(end - length)[trajectory] + step]
    feature = np.column_stack([step, step.astype(np.float64) ** 2, state])
    return Trajectories(first, trajectory, feature, to_go)


def compare_class_numbers(
    criterion: Criterion,
    embedding: np.ndarray,
    most: int,
    seed: int,
    trajectories: Callable[[], Trajectories],
) -> Comparison:
    """Ask a criterion for the number of classes of trajectory embeddings [M, d].

    Candidates are K = 2 to `most`, and no more than one for `FEWEST_PER_CLASS` different
    embeddings.

    Args:
        criterion: which.
        embedding: [M, d].
        most: largest candidate.
        seed: of all that is drawn; equal seeds give equal results.
        trajectories: gives more of the M trajectories; only `value` and `foretold` ask.

    Raises:
        TramaError: too few different embeddings for two classes.
    """
    from sklearn.exceptions import ConvergenceWarning

    different = count_different(embedding)
    most = min(most, different // FEWEST_PER_CLASS)
    if most < 2:
        raise TramaError(
            f"class_number: {different} different trajectory embeddings are too few to choose a "
            f"number of classes, which takes {2 * FEWEST_PER_CLASS}. Collect more episodes, or "
            "pretrain longer (a collapsed codebook gives equal embeddings)."
        )
    candidates = np.arange(2, most + 1)
    points = embedding.astype(np.float64)
    rng = np.random.default_rng(derive_seed(seed, "class number"))
    with warnings.catch_warnings():
        # Of clusters that stay empty: a criterion says itself how good that is.
        warnings.simplefilter("ignore", ConvergenceWarning)
        if criterion in _OF_TRAJECTORIES:
            return _OF_TRAJECTORIES[criterion](points, candidates, rng, trajectories())
        if len(points) > SAMPLE:
            points = points[rng.choice(len(points), SAMPLE, replace=False)]
        return _OF_EMBEDDINGS[criterion](points, candidates, rng)


def silhouette(points: np.ndarray, candidates: np.ndarray, rng: np.random.Generator) -> Comparison:
    """The K of the highest mean silhouette (Rousseeuw 1987), which TRAMA's paper chooses by.

    It knows no single cluster: on one it prefers whatever cut leaves the halves farthest apart.
    """
    from sklearn.metrics import pairwise_distances, silhouette_score

    distance = pairwise_distances(points)
    np.fill_diagonal(distance, 0.0)
    labels = [_kmeans(points, k, rng).labels_ for k in candidates]
    score = [silhouette_score(distance, each, metric="precomputed") for each in labels]
    return _best("silhouette", candidates, np.array(score))


def gap(points: np.ndarray, candidates: np.ndarray, rng: np.random.Generator) -> Comparison:
    """Gap statistic (Tibshirani, Walther & Hastie 2001): log W_K beside that of data without any.

    References are uniform in the box around the data along its principal axes (their choice b).
    Chosen is the smallest K with gap(K) >= gap(K + 1) - s(K + 1), the last one where there is none.
    """
    centred = points - points.mean(0)
    axes = np.linalg.svd(centred, full_matrices=False)[2]
    turned = centred @ axes.T
    low, high = turned.min(0), turned.max(0)

    def log_within(data: np.ndarray) -> np.ndarray:
        inertia = [_kmeans(data, k, rng).inertia_ for k in candidates]
        return np.log(np.maximum(inertia, 1e-300))

    reference = np.array(
        [log_within(rng.uniform(low, high, turned.shape)) for _ in range(REFERENCES)]
    )
    score = reference.mean(0) - log_within(turned)
    error = reference.std(0) * np.sqrt(1 + 1 / REFERENCES)
    enough = np.append(score[:-1] >= score[1:] - error[1:], True)
    return Comparison("gap", candidates, score, error, int(candidates[enough.argmax()]))


def bic(points: np.ndarray, candidates: np.ndarray, rng: np.random.Generator) -> Comparison:
    """The K of the best Bayesian information criterion of a Gaussian mixture (Fraley & Raftery)."""
    likelihood, penalty = _mixtures(points, candidates, rng)
    return _best("bic", candidates, likelihood - penalty)


def slope(points: np.ndarray, candidates: np.ndarray, rng: np.random.Generator) -> Comparison:
    """The K of the best Gaussian mixture whose penalty is taken from the data.

    Classes are no Gaussians: with each component more their shape is met better, and the likelihood
    goes on growing, more than BIC expects. So a component costs twice what the likelihood grows by
    at large K, where there is nothing else to find, and BIC's price at least: the slope heuristic
    (Birge & Massart 2007; for mixtures Baudry, Maugis & Michel 2012). The slope is that of the
    larger half of the candidates, which true numbers should not reach.
    """
    likelihood, penalty = _mixtures(points, candidates, rng)
    half = len(candidates) // 2
    growth = (likelihood[-1] - likelihood[-1 - half]) / max(half, 1)
    return _best("slope", candidates, likelihood - np.maximum(penalty, 2 * growth * candidates))


def _mixtures(
    points: np.ndarray, candidates: np.ndarray, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """Log likelihood of a mixture of each size, and BIC's penalty, [C] both and per trajectory.

    Components have full covariances, so that they may be as long as they like. They are fitted to
    the first principal components, and have at least a small variance in each direction: otherwise
    one that shrinks to equal embeddings would have a boundless likelihood.
    """
    from sklearn.mixture import GaussianMixture

    centred = points - points.mean(0)
    _, size, axes = np.linalg.svd(centred, full_matrices=False)
    held = np.cumsum(size**2) / (size**2).sum()
    n_axes = min(int(np.searchsorted(held, HELD_VARIANCE)) + 1, MOST_COMPONENTS)
    turned = centred @ axes[:n_axes].T
    turned /= turned[:, 0].std()
    likelihood, penalty = [], []
    for k in candidates:
        mixture = GaussianMixture(
            int(k), n_init=N_INIT, reg_covar=LEAST_VARIANCE, random_state=_state(rng)
        )
        likelihood.append(mixture.fit(turned).score(turned))
        penalty.append(mixture.bic(turned) / (2 * len(turned)) + likelihood[-1])
    return np.array(likelihood), np.array(penalty)


def _best(criterion: Criterion, candidates: np.ndarray, score: np.ndarray) -> Comparison:
    """The K of the highest score, which has no standard error."""
    unknown = np.full(len(score), np.nan)
    return Comparison(criterion, candidates, score, unknown, int(candidates[score.argmax()]))


def stability(points: np.ndarray, candidates: np.ndarray, rng: np.random.Generator) -> Comparison:
    """The largest K of a high prediction strength (Tibshirani & Walther 2005), 2 if none is.

    Both halves of the data are clustered. Of each cluster of one half, the strength is the share of
    its pairs that the centroids of the other half leave together; the worst cluster counts. Mean
    over `SPLITS` halvings; high is at least `STRONG` within one standard error.
    """
    strength = np.empty((SPLITS, len(candidates)))
    for row in strength:
        order = rng.permutation(len(points))
        first, second = np.array_split(order, 2)
        for column, k in enumerate(candidates):
            fitted = [_kmeans(points[half], k, rng) for half in (first, second)]
            row[column] = np.mean(
                [
                    _prediction_strength(fitted[1 - i].labels_, fitted[i].predict(points[half]), k)
                    for i, half in ((0, second), (1, first))
                ]
            )
    score = strength.mean(0)
    error = strength.std(0, ddof=1) / np.sqrt(SPLITS)
    strong = np.flatnonzero(score + error >= STRONG)
    chosen = candidates[strong[-1]] if len(strong) else candidates[0]
    return Comparison("stability", candidates, score, error, int(chosen))


def _prediction_strength(own: np.ndarray, other: np.ndarray, n_classes: int) -> float:
    """Of the worst cluster of `own` labels: share of its pairs that `other` labels leave together.

    A cluster without a pair has none.
    """
    together = np.zeros((n_classes, n_classes))
    np.add.at(together, (own, other), 1)
    size = together.sum(1)
    pairs = (together * (together - 1)).sum(1)
    return float((pairs / np.maximum(size * (size - 1), 1)).min())


def value(
    points: np.ndarray,
    candidates: np.ndarray,
    rng: np.random.Generator,
    trajectories: Trajectories,
) -> Comparison:
    """The smallest K that predicts returns as well as the best one does, within a standard error.

    The return-to-go of a step is predicted from time and state by a ridge regression of each class,
    and its squared error is measured on trajectories left out (the rule of one standard error:
    Breiman et al. 1984). The class is the one that the first state tells: that of the whole
    trajectory would give the outcome away. The score is 1 minus the error over the variance. The
    criterion is this project's own.
    """
    feature = _standardised(trajectories.feature)
    target = trajectories.to_go - trajectories.to_go.mean()
    target /= max(target.std(), 1e-12)
    fold = rng.permutation(len(points)) % FOLDS
    errors = []
    for k in candidates:
        told = _told_by_first_state(trajectories.first, _kmeans(points, k, rng).labels_, fold)
        errors.append(_held_out_errors(feature, target, trajectories.trajectory, fold, told))
    score = np.array([1 - each.mean() for each in errors])
    error = np.array([each.std(ddof=1) / np.sqrt(len(each)) for each in errors])
    best = score.argmax()
    enough = score >= score[best] - error[best]
    return Comparison("value", candidates, score, error, int(candidates[enough.argmax()]))


def foretold(
    points: np.ndarray,
    candidates: np.ndarray,
    rng: np.random.Generator,
    trajectories: Trajectories,
) -> Comparison:
    """The largest K whose classes the first state foretells, 2 if it foretells none.

    Agents must know the class while an episode runs. A task shows from the start; a class that is
    split by what happened later, by a victory or by better play, does not. The score is how far
    the class agrees, above chance (Cohen's kappa), with the one that a linear discriminant analysis
    of the first state tells on trajectories left out; enough is `FORETOLD` within one standard
    error. The criterion is this project's own.
    """
    fold = rng.permutation(len(points)) % FOLDS
    score, error = [], []
    for k in candidates:
        label = _kmeans(points, k, rng).labels_
        told = _told_by_first_state(trajectories.first, label, fold)
        right = float(np.mean(told == label))
        share, told_share = (np.bincount(each, minlength=k) / len(label) for each in (label, told))
        beyond_chance = 1 - float(share @ told_share)
        score.append(1 - (1 - right) / beyond_chance)
        error.append(np.sqrt(right * (1 - right) / len(label)) / beyond_chance)
    enough = np.flatnonzero(np.add(score, error) >= FORETOLD)
    chosen = candidates[enough[-1]] if len(enough) else candidates[0]
    return Comparison("foretold", candidates, np.array(score), np.array(error), int(chosen))


def _told_by_first_state(first: np.ndarray, label: np.ndarray, fold: np.ndarray) -> np.ndarray:
    """Most likely class [M] by a linear discriminant analysis that did not see the trajectory.

    Args:
        first: state at the first step, [M, S].
        label: class of each trajectory, [M].
        fold: part that each is left out with, [M].
    """
    feature = _standardised(first)
    told = np.empty_like(label)
    for f in range(FOLDS):
        seen, left_out = feature[fold != f], feature[fold == f]
        classes, number = np.unique(label[fold != f], return_inverse=True)
        count = np.bincount(number)
        mean = np.zeros((len(classes), feature.shape[1]))
        np.add.at(mean, number, seen)
        mean /= count[:, None]
        within = seen - mean[number]
        covariance = (within.T @ within + RIDGE * np.eye(len(mean.T))) / len(seen)
        weight = np.linalg.solve(covariance, mean.T)
        offset = np.log(count / len(seen)) - (mean * weight.T).sum(1) / 2
        told[fold == f] = classes[(left_out @ weight + offset).argmax(1)]
    return told


def _held_out_errors(
    feature: np.ndarray,
    target: np.ndarray,
    trajectory: np.ndarray,
    fold: np.ndarray,
    label: np.ndarray,
) -> np.ndarray:
    """Mean squared error [M] on each trajectory's rows of regressions that did not see it.

    Args:
        feature: standardised, [R, F].
        target: [R].
        trajectory: of each row, [R].
        fold: part that each trajectory [M] is left out with.
        label: its class [M].
    """
    feature = np.column_stack([np.ones(len(feature)), feature])
    penalty = RIDGE * np.eye(feature.shape[1])
    penalty[0, 0] = 1e-6  # the constant is free
    squared = np.empty(len(target))
    row_fold, row_label = fold[trajectory], label[trajectory]
    for k in np.unique(row_label):
        parts = [np.flatnonzero((row_label == k) & (row_fold == f)) for f in range(FOLDS)]
        gram = np.array([feature[rows].T @ feature[rows] for rows in parts])
        moment = np.array([feature[rows].T @ target[rows] for rows in parts])
        for f, rows in enumerate(parts):
            left = gram.sum(0) - gram[f] + penalty
            weight = np.linalg.solve(left, moment.sum(0) - moment[f])
            squared[rows] = (target[rows] - feature[rows] @ weight) ** 2
    total = np.bincount(trajectory, squared, minlength=len(fold))
    mean: np.ndarray = total / np.bincount(trajectory, minlength=len(fold))
    return mean


def _standardised(feature: np.ndarray) -> np.ndarray:
    """Features [R, F] with mean 0 and standard deviation 1; those that never move are 0."""
    centred: np.ndarray = feature.astype(np.float64) - feature.mean(0, dtype=np.float64)
    spread = centred.std(0)
    return centred / np.where(spread > 1e-6, spread, 1.0)


def _kmeans(points: np.ndarray, n_classes: int, rng: np.random.Generator) -> "KMeans":
    from sklearn.cluster import KMeans

    kmeans = KMeans(int(n_classes), n_init=N_INIT, random_state=_state(rng))
    return kmeans.fit(points)


def _state(rng: np.random.Generator) -> int:
    return int(rng.integers(2**31))


_OF_EMBEDDINGS = {
    "silhouette": silhouette,
    "gap": gap,
    "bic": bic,
    "slope": slope,
    "stability": stability,
}
_OF_TRAJECTORIES = {"value": value, "foretold": foretold}
