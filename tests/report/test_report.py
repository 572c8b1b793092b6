"""Snakemake's report of a finished study, made and opened without a network."""

import base64
import json
import re
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pyarrow.parquet as pq
import pytest

from clones import run_snakemake
from report.browser import LOCAL, Browser, Unavailable, install

# Nobody answers there: whatever asks for a network fails.
NO_NETWORK = dict.fromkeys(("http_proxy", "https_proxy", "all_proxy"), "http://127.0.0.1:9")

CLICK = """
const [selector, text] = arguments;
const found = [...document.querySelectorAll(selector)].filter(x => x.textContent.trim() === text);
if (found.length !== 1) throw new Error(`${found.length} times ${selector} with ${text}`);
found[0].click();
"""
TEXTS = "return [...document.querySelectorAll(arguments[0])].map(x => x.textContent.trim())"
# The last cell of a row has its two buttons: show, and tell more.
ROWS = "return document.querySelectorAll('nav tbody tr').length"
PRESS = """
const row = document.querySelectorAll('nav tbody tr')[arguments[0]];
const button = row.querySelectorAll('a')[arguments[1]];
if (button.download) return [button.href, button.download];
button.click();
return null;
"""
SHOWN = """
const shown = document.querySelector('#app img:not(nav img), #app iframe');
if (shown === null || !(shown.tagName === 'IFRAME' || shown.complete)) return null;
return [shown.tagName, shown.getAttribute('src'), shown.naturalWidth, shown.naturalHeight];
"""
TOP = """
const content = document.querySelector('#app .overflow-auto:not(nav)');
content.scrollTop = 0;
return content.firstElementChild.getBoundingClientRect().top;
"""
COLOURS = """
const canvas = document.querySelector(arguments[0]);
if (canvas === null) return 0;
const data = canvas.getContext('2d').getImageData(0, 0, canvas.width, canvas.height).data;
return new Set(new Uint32Array(data.buffer)).size;
"""

# Vega adds to its data what JSON cannot hold.
DATA = """
return {
    results, description: workflow_desc,
    rules: rulegraph_spec.data[0].values.map(node => node.rule),
    runtimes: runtimes_spec.data.values.map(job => [job.rule, job.runtime]),
    ends: timeline_spec.data.values.map(job => job.rule),
};
"""


class Entry(NamedTuple):
    """What a reader finds of one file.

    Attributes:
        element: IMG or IFRAME that shows it, A for a file to save.
        source: where that comes from.
        size: natural width and height of an image.
        top: where it starts within the window, in pixels.
        description: text beside it.
    """

    element: str
    source: str
    size: tuple[int, int]
    top: float
    description: str


class Visit(NamedTuple):
    """A report that was read from end to end.

    Attributes:
        page: its file.
        landing: text of its first page.
        rows: cells of the tables on the first page, by their first cells.
        top: where that page starts within the window, in pixels.
        entries: what it offers, by path.
        colours: number of colours in the rule graph and the pictures of the run times.
        data: what the page was made from.
        errors: what the page found wrong.
        requests: URLs that were asked for.
        foreign: the same when the page is made to ask for a URL in a network.
    """

    page: Path
    landing: str
    rows: dict[str, list[str]]
    top: float
    entries: dict[str, Entry]
    colours: list[int]
    data: dict[str, Any]
    errors: list[dict[str, Any]]
    requests: list[str]
    foreign: list[str]


@pytest.fixture(scope="module", params=["html", "zip"])
def page(
    request: pytest.FixtureRequest, finished_study: Path, tmp_path_factory: pytest.TempPathFactory
) -> Path:
    """The report of the study, as one file or unpacked from an archive, made without a network."""
    folder = tmp_path_factory.mktemp(request.param)
    made = folder / f"report.{request.param}"
    run = run_snakemake(
        finished_study, "--config", "preset=tiny", "--report", str(made), environment=NO_NETWORK
    )
    assert run.returncode == 0, run.stdout
    if made.suffix == ".html":
        return made
    with zipfile.ZipFile(made) as archive:
        archive.extractall(folder)
    return folder / "report/report.html"


@pytest.fixture(scope="module")
def visit(page: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Visit]:
    """The report, read by clicks; skips where there is no Chromium."""
    try:
        install()
    except Unavailable as reason:
        pytest.skip(str(reason))
    with Browser(tmp_path_factory.mktemp("profile")) as browser:
        browser.open(page)
        browser.wait_for(COLOURS, "#rulegraph canvas")
        landing = browser.run("return document.querySelector('#app').innerText")
        cells = browser.run(
            "return [...document.querySelectorAll('#app .prose tr')]"
            ".map(row => [...row.cells].map(cell => cell.innerText))"
        )
        colours = [browser.run(COLOURS, "#rulegraph canvas")]
        top = browser.run(TOP)
        browser.run(CLICK, "nav a", "Statistics")
        for picture in ("#runtimes canvas", "#timeline canvas"):
            browser.wait_for(COLOURS, picture)
            colours.append(browser.run(COLOURS, picture))
        entries = dict(_entries(browser))
        data = browser.run(DATA)
        errors = [entry for entry in browser.log("browser") if entry["level"] == "SEVERE"]
        requests = browser.requests()
        browser.run("fetch('http://localhost:9/asked').catch(() => null)")
        yield Visit(
            page,
            landing,
            {row[0]: row[1:] for row in cells},
            top,
            entries,
            colours,
            data,
            errors,
            requests,
            browser.requests(),
        )


def _entries(browser: Browser) -> Iterator[tuple[str, Entry]]:
    """Find every file that the report offers, by clicks alone."""
    menu = browser.run(TEXTS, "nav li")
    for category in menu[menu.index("Results") + 1 :]:
        _to(browser, category)
        if browser.run(ROWS):  # of the only subcategory
            yield from _listed(browser, [category])
            continue
        for subcategory in browser.run(TEXTS, "nav ul li a"):
            yield from _listed(browser, [category, subcategory])


def _listed(browser: Browser, path: list[str]) -> Iterator[tuple[str, Entry]]:
    """Find the files of a list, for both states of the switch that it may have."""
    _to(browser, *path)
    n_rows = browser.run(ROWS)
    for state in browser.run(TEXTS, "nav fieldset label") or [None]:
        for row in range(n_rows):
            _to(browser, *path)
            if state is not None:
                browser.run(CLICK, "nav fieldset label", state)
            saved = browser.run(PRESS, row, 0)
            if saved is None:
                element, source, *size = browser.wait_for(SHOWN)
            else:
                (element, source), size = ("A", saved[0]), [0, 0]
            top = browser.run(TOP)
            browser.run(PRESS, row, 1)
            name, description = browser.run(
                "return [app.state.resultPath, document.querySelector('nav .prose').innerText]"
            )
            yield name, Entry(element, source, (size[0], size[1]), top, description)


def _to(browser: Browser, *path: str) -> None:
    """Go to the start, and from there through categories."""
    browser.run("document.querySelector('nav nav a').click()")
    for name in path:
        browser.run(CLICK, "nav ul li a", name)


def _content(visit: Visit, name: str) -> bytes:
    """Bytes of a file within the report."""
    uri = visit.data["results"][name]["data_uri"]
    if uri.startswith("data:"):
        return base64.b64decode(uri.partition("base64,")[2])
    return (visit.page.parent / uri).read_bytes()


def _of(visit: Visit, suffix: str) -> dict[str, Entry]:
    found = {name: entry for name, entry in visit.entries.items() if name.endswith(suffix)}
    assert found
    return found


def _words(text: str) -> str:
    return " ".join(text.split())


def test_the_report_offers_every_result(visit: Visit, finished_study: Path) -> None:
    results = finished_study / "results/tiny"
    files = [*results.glob("figures/*"), *results.glob("tables/*"), *results.glob("provenance/*")]
    offered = {
        file.relative_to(finished_study).as_posix() for file in files if file.suffix != ".rst"
    }
    assert visit.entries.keys() == offered
    for name in offered:
        assert _content(visit, name) == (finished_study / name).read_bytes()


def test_each_figure_and_table_is_shown(visit: Visit) -> None:
    for name, entry in _of(visit, ".png").items():
        assert entry.element == "IMG", name
        assert min(entry.size) > 200, name
        assert entry.top >= 0, name
    for name, entry in (_of(visit, ".pdf") | _of(visit, ".html")).items():
        assert entry.element == "IFRAME", name
        assert entry.source == visit.data["results"][name]["data_uri"], name
    pictures = [{name[:-4] for name in _of(visit, suffix)} for suffix in (".png", ".pdf")]
    assert pictures[0] == pictures[1]


def test_each_description_is_the_caption_file(visit: Visit, finished_study: Path) -> None:
    for caption in finished_study.glob("results/tiny/*/*.caption.rst"):
        text = _words(caption.read_text().replace("``", ""))
        stem = caption.relative_to(finished_study).as_posix().removesuffix(".caption.rst")
        described = [name for name in visit.entries if name.startswith(f"{stem}.")]
        assert described
        for name in described:
            if not name.endswith(".sources.json"):
                assert _words(visit.entries[name].description).startswith(text), name
    for name, entry in visit.entries.items():
        assert entry.description, name
        assert "System Message" not in entry.description, name


def test_each_figure_and_table_has_its_provenance(visit: Visit) -> None:
    made = []
    for name in _of(visit, ".sources.json"):
        sources = json.loads(_content(visit, name))
        made += sources["made"]
        assert all(len(source["sha256"]) == 64 for source in sources["inputs"])
    others = {name for name in visit.entries if not name.endswith(".json")}
    assert others <= set(made)
    runs = [json.loads(_content(visit, name)) for name in visit.entries if "/provenance/" in name]
    assert {run["config"]["study"]["name"] for run in runs} == {"tiny"}


def test_the_first_page_has_the_findings(visit: Visit, finished_study: Path) -> None:
    assert visit.top >= 0
    findings = (finished_study / "results/tiny/tables/findings.rst").read_text()
    numbers = re.findall(r"\d+\.\d+", findings)
    assert numbers
    assert set(numbers) <= set(re.findall(r"\d+\.\d+", visit.landing))
    for variant in ("qmix", "qplex", "trama"):
        path = finished_study / f"results/tiny/SurComb3/evaluate/{variant}/seed_0/episodes.parquet"
        rows = pq.read_table(path).to_pandas()
        rows = rows[(rows["policy"] == "last") & (rows["task_set"] == "trained")]
        win_rates = rows.groupby("task")["won"].mean()
        assert len(win_rates) == 3  # too few for the IQM to leave any out
        assert visit.rows[variant][1] == f"{win_rates.mean():.2f}"
    assert "system-message" not in visit.data["description"]


def test_rule_graph_and_run_times_are_drawn(visit: Visit) -> None:
    assert min(visit.colours) > 2
    rules = set(visit.data["rules"])
    assert {"collect_problem", "train_with_representation", "table_results", "all"} <= rules
    assert {rule for rule, _ in visit.data["runtimes"]} == rules - {"all"}
    assert min(seconds for _, seconds in visit.data["runtimes"]) > 0
    assert set(visit.data["ends"]) == rules - {"all"}


def test_nothing_is_asked_of_a_network(visit: Visit) -> None:
    assert visit.errors == []
    assert visit.page.as_uri() in visit.requests
    assert [url[:200] for url in visit.requests if url.partition(":")[0] not in LOCAL] == []
    # The log would have it.
    assert "http://localhost:9/asked" in visit.foreign
