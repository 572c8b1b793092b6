"""The clusterings that a variant has before and during training, from two kinds of files."""

from typing import NamedTuple

import pyarrow as pa
import pyarrow.compute as pc
from matplotlib.ticker import EngFormatter

from trama.config.figure_params import FigureParams
from trama.data.parquet import read_table
from trama.errors import TramaError
from trama.reporting import statistics
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
        self._representations, self._kind = params.representations, kind

    def of(self, variant: str, seed: int) -> dict[str, Moment]:
        """The clusterings of a run, by the name in `MOMENTS`; without those it did not have.

        Raises:
            TramaError: a file is missing or broken, or that of stage cluster holds no rows.
        """
        path = self._before[self._representations[variant]][seed]
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
