"""The clusterings that a variant has before and during training, from two kinds of files."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from matplotlib.ticker import EngFormatter

from trama.config.figure_params import FigureParams
from trama.data.parquet import read_table
from trama.errors import TramaError
from trama.reporting import estimates, statistics, words
from trama.reporting.statistics import Inputs

MOMENTS = ("before training", "first clustering", "last clustering")
"""Clusterings that are shown: of stage cluster, and the first and the last one of training."""

_steps = EngFormatter(sep="", places=0)


class Moment(NamedTuple):
    """A clustering: the rows of its trajectories or states, and the env steps at it."""

    rows: pa.Table
    env_steps: int

    @property
    def steps(self) -> str:
        """The env steps in short: 50k."""
        return str(_steps(self.env_steps))


Moments = Mapping[str, Moment]
"""The clusterings of a run by their name in `MOMENTS`, without those that it did not have."""

Measures = Mapping[str, Callable[[Moment], float]]
"""Measures of a clustering, by their name."""


class Clusterings:
    """The clusterings of variants, from the files of stage cluster and those of training.

    Args:
        inputs: files of that kind by stage: `before` of each representation and seed, `during` of
            each variant and seed.
        params: of the figure, with `representations`.
        kind: of the files.
    """

    def __init__(self, inputs: Inputs, params: FigureParams, kind: str):
        self._before = statistics.by_name_and_seed(inputs["before"])
        self._during = statistics.by_name_and_seed(inputs["during"])
        self._params, self._kind = params, kind

    def of_all(self) -> dict[str, dict[int, Moments]]:
        """The clusterings of each variant of the figure and seed; errors as `of`."""
        seeds = sorted(self._params.seeds)
        return {v: {seed: self.of(v, seed) for seed in seeds} for v in self._params.names}

    def of(self, variant: str, seed: int) -> Moments:
        """The clusterings of a run.

        Raises:
            TramaError: a file is missing or broken, or that of stage cluster holds no rows.
        """
        path = self._before[self._params.representations[variant]][seed]
        before = read_table(path, self._kind)
        if not len(before):
            raise TramaError(f"{path}: no rows; run the target `cluster` again")
        during = read_table(self._during[variant][seed], self._kind)
        steps = sorted(pc.unique(during["env_steps"]).to_pylist())
        found = {MOMENTS[0]: Moment(before, before["env_steps"][0].as_py())}
        # The only clustering of a training is its last one.
        of_training = {MOMENTS[1]: steps[:-1][:1], MOMENTS[2]: steps[-1:]}
        for name, at in of_training.items():
            for env_steps in at:
                rows = during.filter(pc.equal(during["env_steps"], env_steps))
                found[name] = Moment(rows, env_steps)
        return found


def numbers(
    found: Mapping[str, Mapping[int, Moments]],
    measures: Measures,
    params: FigureParams,
    more: Callable[[Sequence[Moment]], Sequence[str]] = lambda moments: [],
) -> list[str]:
    """Say what each variant's clusterings come to over the seeds that have them, for a caption.

    Args:
        found: of `Clusterings.of_all`.
        measures: of a clustering.
        params: of the figure.
        more: further words on the clusterings of all seeds.

    Returns:
        A paragraph per variant and moment.
    """
    paragraphs = []
    for variant, of_seeds in found.items():
        for name in MOMENTS:
            moments = [of_seed[name] for of_seed in of_seeds.values() if name in of_seed]
            parts = ["no such clustering"]
            if moments:
                parts = [*_means(moments, measures, params), *more(moments)]
                if len(moments) < len(of_seeds):
                    parts.append(f"of {words.counted(len(moments), 'seed')} that had it")
            paragraphs.append(f"``{variant}``, {name}, mean over seeds: {', '.join(parts)}.")
    return paragraphs


def _means(moments: Sequence[Moment], measures: Measures, params: FigureParams) -> Iterator[str]:
    seed = statistics.bootstrap_seed(params.study_seed)
    for measure, function in measures.items():
        values = np.array([function(moment) for moment in moments], np.float64)
        mean = estimates.estimate(values[:, None], estimates.mean, seed)
        yield f"{measure} {words.estimate(mean, values)}"
