"""Seconds from process start to the first env step of a training."""

import os
import tempfile
import time

from benchmarks.harness import THREADS, Effort, Figure, figure, fresh, repeatedly

TARGET_SECONDS = 4.0
_FIRST_STEP = """
import json, sys, time
sys.path.insert(0, "workflow")
from trama.runtime import configure_process
configure_process(int(sys.argv[2]))
from benchmarks.subjects import device, make_learner, smax
from trama.config.model import Train
import trama.stages.train
env = smax(32)
make_learner("qplex", env.spec, Train())
env.step(env.reset(0).available_actions.argmax(2))
print(json.dumps(time.time() - float(sys.argv[1])))
"""
_IMPORTS = """
import json, sys, time
import torch, jaxmarl
print(json.dumps(time.time() - float(sys.argv[1])))
"""
REFERENCE = "import torch, jaxmarl"


def measure(effort: Effort) -> list[Figure]:
    """32 environments and a QPLEX learner; cold: an empty compilation cache."""

    def first_step(cache: str) -> float:
        environment = os.environ | {"XDG_CACHE_HOME": cache}
        seconds: float = fresh(_FIRST_STEP, time.time(), THREADS, environment=environment)
        return seconds

    def imports() -> float:
        environment = os.environ | {"JAX_PLATFORMS": "cpu"}
        seconds: float = fresh(_IMPORTS, time.time(), environment=environment)
        return seconds

    with tempfile.TemporaryDirectory() as cache:
        cold = [first_step(cache)]
        warm, reference = repeatedly(lambda: first_step(cache), imports, effort.repeats)
    name = "process start to first env step"
    return [
        figure("startup", f"{name}, cold cache", "s", (cold, reference), reference=REFERENCE),
        figure(
            "startup",
            f"{name}, warm cache",
            "s",
            (warm, reference),
            reference=REFERENCE,
            target=TARGET_SECONDS,
        ),
    ]
