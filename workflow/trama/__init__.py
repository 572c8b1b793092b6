"""TRAMA: trajectory-class-aware multi-agent reinforcement learning (ICLR 2025), as a library."""

__version__ = "0.1.0"
