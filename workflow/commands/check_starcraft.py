"""Check StarCraft II on this machine: versions, maps, and the speed of one game."""

from command import chosen_config, one_message, parser
from trama.config.model import Config
from trama.errors import TramaError
from trama.runtime import configure_process


def main() -> None:
    """Print what is installed, and how a game with the settings of the configuration goes."""
    chosen = parser(__doc__ or "").parse_args()
    configure_process(1)
    with one_message():
        _check(chosen_config(chosen))


def _check(config: Config) -> None:
    from trama.stages.check_starcraft import lines, played

    playable = [
        name
        for name in (*config.study.problems, *config.problems)
        if isinstance(problem := config.problems[name], config.env.smacv2.plays)
        and config.env.smacv2.refuses(problem) is None
    ]
    if not playable:
        raise TramaError("config/config.yaml: backend smacv2 can play no problem that it defines.")
    first = playable[0]
    for line in lines(played(config.problems[first], config.env_for(first))):
        print(line)


if __name__ == "__main__":
    main()
