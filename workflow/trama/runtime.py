"""What a process must settle before it imports torch or jax: threads, memory, logging."""

import gc
import logging
import os
import platform
import signal
import sys
from functools import cache
from pathlib import Path
from types import FrameType, TracebackType
from typing import TYPE_CHECKING, Self

if TYPE_CHECKING:
    import torch

logger = logging.getLogger("trama")

_THREAD_VARIABLES = (
    "OMP_NUM_THREADS",
    "MKL_NUM_THREADS",
    "NUMEXPR_NUM_THREADS",
    "NPROC",  # size of XLA's CPU thread pool
)


def configure_process(threads: int, log: Path | None = None) -> None:
    """Bind PyTorch and XLA of this process to `threads` threads and open the log.

    They share the rule's threads: they take turns, they never run at the same time. OpenBLAS, which
    NumPy, scikit-learn and the GRU's kernel call, has one thread for each caller.

    Args:
        threads: number of threads, at least 1.
        log: file that receives plain log lines; its folder is made. Warnings also go to stderr.

    Raises:
        RuntimeError: torch or jax was imported before, so the settings would not take effect.
    """
    early = sorted({"torch", "jax"} & sys.modules.keys())
    if early:
        raise RuntimeError(f"configure_process must run before the import of {', '.join(early)}")
    for name in _THREAD_VARIABLES:
        os.environ[name] = str(threads)
    # Each thread of the GRU's kernel calls OpenBLAS by itself. OpenMP's idle threads must not spin
    # beside them: with two threads on two cores the forward pass took 10 ms instead of 17.
    os.environ["OPENBLAS_NUM_THREADS"] = "1"
    os.environ["OMP_WAIT_POLICY"] = "passive"
    os.environ["XLA_PYTHON_CLIENT_PREALLOCATE"] = "false"
    # Imports and traces make objects by the million that stay: looking through them after every 700
    # new ones takes up to a seventh of the time to a first env step.
    gc.set_threshold(50_000, 20, 20)
    if log is not None:
        _open_log(log)


def _open_log(log: Path) -> None:
    log.parent.mkdir(parents=True, exist_ok=True)
    to_file = logging.FileHandler(log)  # a retry adds to what the killed job wrote
    to_file.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(message)s"))
    to_terminal = logging.StreamHandler()
    to_terminal.setLevel(logging.WARNING)
    to_terminal.setFormatter(logging.Formatter("%(levelname)s: %(message)s"))
    logger.setLevel(logging.INFO)
    logger.handlers[:] = [to_file, to_terminal]
    logger.propagate = False


class StopRequest:
    """Turns SIGTERM into a request, so that a loop can end where its state is whole.

    Attributes:
        requested: name of the signal that asked; empty so far.
    """

    requested = ""

    def __enter__(self) -> Self:
        self._before = signal.signal(signal.SIGTERM, self._note)
        return self

    def _note(self, number: int, frame: FrameType | None) -> None:
        self.requested = signal.Signals(number).name

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        signal.signal(signal.SIGTERM, self._before)


def torch_device(name: str) -> "torch.device":
    """Return the torch device for the config key `device` (auto, cpu or cuda).

    Raises:
        TramaError: cuda is asked for and there is none.
    """
    import torch

    from trama.errors import TramaError

    torch.set_num_threads(int(os.environ.get("OMP_NUM_THREADS", "1")))
    _spare_the_compiler()
    if name == "cuda" and not torch.cuda.is_available():
        raise TramaError(
            "config key device: 'cuda' was asked for, but PyTorch sees no GPU here. Set device to "
            "'auto' or 'cpu', or run on a node with a GPU; in a SLURM job, with "
            "resources.<stage>.gpu: 1."
        )
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "cpu"
        if name == "cpu" and "SLURM_GPUS_ON_NODE" in os.environ:
            logger.warning(
                "SLURM gave this job a GPU, but PyTorch %s sees none and computes on the CPU: "
                "install a build of PyTorch for the driver of %s, or set resources.<stage>.gpu: 0",
                *(torch.__version__, platform.node()),
            )
    logger.info("PyTorch computes on %s", name)
    # In episodes as in batches: cuDNN's recurrence would round to 10 bits, a single step would not.
    torch.backends.cudnn.allow_tf32 = False
    return torch.device(name)


@cache
def _spare_the_compiler() -> None:
    """Let PyTorch's optimisers work without `torch._dynamo`, which takes 1.5 s to import.

    They import it to hide themselves from the compiler, which nothing here uses; `__wrapped__` is
    what they hide.
    """
    from torch import no_grad
    from torch.optim import Adam, Optimizer, RMSprop

    for name in ("add_param_group", "zero_grad", "state_dict", "load_state_dict"):
        method = getattr(Optimizer, name)
        setattr(Optimizer, name, getattr(method, "__wrapped__", method))
    for optimiser in (Adam, RMSprop):
        step = optimiser.step
        optimiser.step = no_grad()(getattr(step, "__wrapped__", step))  # type: ignore[method-assign]
