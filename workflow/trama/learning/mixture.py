"""The mixture of tasks of a training, where it shifts: a stress test of labels over time."""

from trama.config.model import MixtureShift
from trama.environments.base import Chances, VectorEnv, equal_chances


def shifted_mixtures(n_tasks: int, amount: float) -> tuple[Chances, Chances]:
    """Return the chances [n_tasks] of each task in the two mixtures that are played in turn.

    A mixture draws, with chance `amount`, from its own half of the tasks, and else from all of
    them, both times with equal chances. The halves are the first n // 2 tasks and the others: they
    share none, so that the total variation distance of the mixtures is `amount` for any n. Of an
    odd number the second half is larger by one, so that its tasks are played less often on the
    whole.

    Args:
        n_tasks: n, at least 2.
        amount: from 0 (both uniform) to 1 (no task in common).
    """
    first, second = equal_chances(n_tasks), equal_chances(n_tasks)
    middle = n_tasks // 2
    for chances, own in ((first, slice(middle)), (second, slice(middle, None))):
        chances *= 1 - amount
        chances[own] += amount / len(chances[own])
    return first, second


def shift_mixture(env: VectorEnv, settings: MixtureShift, env_steps: int) -> None:
    """Let the episodes that begin from now on be of the mixture that is due.

    Args:
        env: training environments.
        settings: without a shift nothing is done.
        env_steps: of the training, so far.
    """
    if settings.amount:
        mixtures = shifted_mixtures(len(env.spec.tasks), settings.amount)
        env.set_task_chances(mixtures[env_steps // settings.interval_env_steps % 2])
