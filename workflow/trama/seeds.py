"""Seeds: every random stream derives from the study's seed and the name of its purpose."""

import hashlib


def derive_seed(study_seed: int, *purpose: str | int) -> int:
    """Return a 63-bit seed that depends on the study's seed and on every part of `purpose`.

    Distinct purposes give independent streams, and adding a purpose changes no other stream.

    Args:
        study_seed: `study.seed` of the config.
        purpose: names and numbers, for example ``("train", "SurComb3", "qplex", 0, "replay")``.
    """
    text = repr((study_seed, *purpose)).encode()
    return int.from_bytes(hashlib.blake2b(text, digest_size=8).digest(), "big") >> 1
