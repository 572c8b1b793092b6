"""Put the results of an archive back, so that Snakemake counts their jobs as done."""

import os
import time
from pathlib import Path

from pydantic import ValidationError

from archive import Notes, chosen_archive, script, with_archive
from command import one_message
from records import Records, snakemake_runs
from trama.archive import Unpacked, sha256, unpacked
from trama.errors import TramaError


def main() -> None:
    """Restore archives/<study>.tar, or the file that --archive names."""
    chosen = with_archive(__doc__)
    with one_message():
        archive = chosen_archive(chosen)
        if snakemake_runs():
            raise TramaError(
                ".snakemake/locks: Snakemake runs here, or was killed. Wait for its end, or run "
                "`snakemake --unlock`, and restore again."
            )
        with unpacked(archive, Path()) as contents:
            try:
                notes = Notes.model_validate(contents.manifest.notes)
            except ValidationError as error:
                raise TramaError(
                    f"{archive}: its notes are not those of `make archive` or `make record` "
                    f"({error.errors()[0]['msg']}); make it anew"
                ) from error
            restored = _restore(archive, contents, notes)
    print(f"{archive}: {restored} files of study {contents.manifest.study} restored")
    changed = [rule for rule in notes.scripts if _changed(rule, notes)]
    if changed:
        print(f"The scripts of these rules are others here, so they run again: {changed}")


def _restore(archive: Path, contents: Unpacked, notes: Notes) -> int:
    """Move the files that are not there to their places, and return their number."""
    files = contents.manifest.files
    there = [name for name in files if Path(name).exists()]
    differ = [name for name in there if sha256(Path(name)) != files[name]]
    if differ:
        raise TramaError(
            f"{archive}: {len(differ)} of its files are here already with other content, such as "
            f"{differ[0]}. Nothing was restored. Move results/{contents.manifest.study} away first."
        )
    scripts = [script(rule) for rule in notes.scripts if script(rule).exists()]
    now = max([time.time(), *(path.stat().st_mtime + 1 for path in scripts)])
    # Records come first: a result without one would hide later changes of the configuration.
    records = Records()
    known = records.finished(there)
    records.write({name: r for name, r in notes.records.items() if name not in known})
    new = sorted(files.keys() - there)
    for name in new:
        rule = notes.records[name]["rule"] if name in notes.records else None
        # Older than a script that is another one here, so that Snakemake runs it again.
        stamp = script(rule).stat().st_mtime - 1 if rule and _changed(rule, notes) else now
        os.utime(contents.folder / name, (stamp, stamp))
        Path(name).parent.mkdir(parents=True, exist_ok=True)
        (contents.folder / name).replace(name)
    return len(new)


def _changed(rule: str, notes: Notes) -> bool:
    """Whether the script of a rule is here, and another one than where the archive was made."""
    path = script(rule)
    return path.exists() and sha256(path) != notes.scripts[rule]


if __name__ == "__main__":
    main()
