"""What a process settles before torch and jax are imported."""

import subprocess
import sys
from pathlib import Path

import pytest
import torch

from trama.errors import TramaError
from trama.runtime import torch_device

WORKFLOW = str(Path(__file__).parents[2] / "workflow")


def _run(code: str) -> subprocess.CompletedProcess[str]:
    program = f"import sys; sys.path.insert(0, {WORKFLOW!r})\n{code}"
    return subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)


@pytest.mark.parametrize("library", ["torch", "jax"])
def test_too_late_after_an_import(library: str) -> None:
    # An empty module under that name is all that the check can see, and is quick to import.
    done = _run(
        f"import types; sys.modules[{library!r}] = types.ModuleType({library!r})\n"
        "from trama.runtime import configure_process\nconfigure_process(2)"
    )
    assert done.returncode == 1
    assert f"RuntimeError: configure_process must run before the import of {library}" in done.stderr


def test_threads_memory_and_log(tmp_path: Path) -> None:
    log = tmp_path / "new" / "run.log"
    done = _run(
        "import logging, os\n"
        "from trama.runtime import configure_process\n"
        f"configure_process(3, __import__('pathlib').Path({str(log)!r}))\n"
        "names = 'OMP_NUM_THREADS MKL_NUM_THREADS NUMEXPR_NUM_THREADS NPROC'\n"
        "print([os.environ[n] for n in names.split()])\n"
        "print(os.environ['OPENBLAS_NUM_THREADS'], os.environ['OMP_WAIT_POLICY'])\n"
        "print(os.environ['XLA_PYTHON_CLIENT_PREALLOCATE'])\n"
        "print(sorted({'torch', 'jax'} & sys.modules.keys()))\n"
        "logging.getLogger('trama').info('one line')\n"
        "logging.getLogger('trama').warning('look here')\n"
        "from trama.runtime import torch_device\n"
        "import torch; torch_device('cpu'); print(torch.get_num_threads())\n"
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines() == [str(["3"] * 4), "1 passive", "false", "[]", "3"]
    assert "WARNING: look here" in done.stderr and "one line" not in done.stderr
    lines = [line.split(" ", 2)[2] for line in log.read_text().splitlines()]
    assert lines == ["INFO one line", "WARNING look here", "INFO PyTorch computes on cpu"]


def test_device(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", str(torch.get_num_threads()))
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert torch_device("cpu") == torch_device("auto") == torch.device("cpu")
    with pytest.raises(TramaError, match=r"device: 'cuda'.*no GPU.*'auto' or 'cpu'"):
        torch_device("cuda")
    monkeypatch.setenv("SLURM_GPUS_ON_NODE", "1")
    caplog.clear()
    assert torch_device("cpu") == torch.device("cpu") and not caplog.records
    assert torch_device("auto") == torch.device("cpu")
    assert "SLURM gave this job a GPU, but PyTorch" in caplog.text
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    assert torch_device("cuda") == torch_device("auto") == torch.device("cuda")


@pytest.mark.parametrize("optimiser", ["Adam", "RMSprop"])
def test_optimisers_learn_the_same_without_the_compiler(optimiser: str) -> None:
    program = (
        "import torch\n{settle}"
        "weight = torch.nn.Parameter(torch.arange(6.0).reshape(2, 3))\n"
        f"optimiser = torch.optim.{optimiser}([weight], lr=0.1)\n"
        "for _ in range(3):\n"
        "    optimiser.zero_grad()\n"
        "    (weight**2).sum().backward()\n"
        "    optimiser.step()\n"
        "optimiser.load_state_dict(optimiser.state_dict())\n"
        "print(weight.tolist(), 'torch._dynamo' in sys.modules)\n"
    )
    settle = "from trama.runtime import torch_device; torch_device('cpu')\n"
    plain, spared = (_run(program.format(settle=text)).stdout for text in ("", settle))
    assert plain.endswith("True\n") and spared.endswith("False\n")
    assert plain.split("]]")[0] == spared.split("]]")[0]
