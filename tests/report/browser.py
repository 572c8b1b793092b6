"""A headless Chromium that no network reaches, and what it asked for.

Debian's chromedriver drives it over HTTP (WebDriver), for which the standard library is enough.
"""

import base64
import json
import os
import re
import shlex
import shutil
import subprocess
import time
import urllib.request
from pathlib import Path
from types import TracebackType
from typing import Any, Self

PACKAGES = ("chromium", "chromium-driver")
PROGRAMS = ("chromium", "chromedriver")
FLAGS = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--disable-dev-shm-usage",  # containers keep it small
    "--host-resolver-rules=MAP * ~NOTFOUND",
    "--window-size=1400,800",
)
LOCAL = ("about", "blob", "chrome", "chrome-extension", "data", "file")
"""Schemes of what is within the page, on this machine, or part of the browser."""


class Unavailable(Exception):
    """Chromium cannot be run here; says why."""


def install() -> None:
    """Install Chromium and its driver from the distribution's packages, where they are missing.

    Raises:
        Unavailable: they are missing, and there is no apt-get, no root, or no such package.
    """
    if all(map(shutil.which, PROGRAMS)):
        return
    if shutil.which("apt-get") is None or os.geteuid() != 0:
        raise Unavailable(f"install {' and '.join(PROGRAMS)} first: only root with apt-get can")
    environment = os.environ | {"DEBIAN_FRONTEND": "noninteractive"}
    for command in (["update"], ["install", "-y", "--no-install-recommends", *PACKAGES]):
        result = subprocess.run(
            ["apt-get", *command], env=environment, capture_output=True, text=True, timeout=900
        )
        if result.returncode:
            raise Unavailable(f"apt-get {shlex.join(command)} failed: {result.stderr[-500:]}")


class Browser:
    """One window, open within a `with` block.

    Args:
        folder: an empty folder for the profile of the browser's user.
    """

    def __init__(self, folder: Path):
        self.folder = folder

    def __enter__(self) -> Self:
        self._driver = subprocess.Popen(
            ["chromedriver", "--port=0"],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        try:
            self._url = f"http://127.0.0.1:{self._port()}/session"
            options = {"args": [*FLAGS, f"--user-data-dir={self.folder}"]}
            capabilities = {
                "browserName": "chrome",
                "goog:chromeOptions": options,
                "goog:loggingPrefs": {"performance": "ALL", "browser": "ALL"},
            }
            session = self._ask("", {"capabilities": {"alwaysMatch": capabilities}})
            self._url += f"/{session['sessionId']}"
        except BaseException:
            self._driver.kill()
            self._driver.wait()
            raise
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        try:
            self._ask("", method="DELETE")
        finally:
            self._driver.terminate()
            self._driver.wait(timeout=30)

    def open(self, page: Path) -> None:
        """Load a page from a file, and wait until it is loaded; its requests are the first."""
        self.requests()
        self._ask("/url", {"url": page.resolve().as_uri()})

    def run(self, script: str, *arguments: Any) -> Any:
        """Run the body of a function of those arguments in the page, and return its result."""
        return self._ask("/execute/sync", {"script": script, "args": arguments})

    def wait_for(self, script: str, *arguments: Any, seconds: float = 20) -> Any:
        """Run a script until its result is true, and return that.

        Raises:
            TimeoutError: it was not in time.
        """
        deadline = time.monotonic() + seconds
        while not (result := self.run(script, *arguments)):
            if time.monotonic() > deadline:
                raise TimeoutError(f"not within {seconds:.0f} s: {script} {arguments}")
            time.sleep(0.1)
        return result

    def screenshot(self) -> bytes:
        """Return what the window shows, as PNG."""
        return base64.b64decode(self._ask("/screenshot"))

    def log(self, kind: str) -> list[dict[str, Any]]:
        """Return the entries of the log `browser` (of the page's console) or `performance`.

        Each comes once.
        """
        entries: list[dict[str, Any]] = self._ask("/se/log", {"type": kind})
        return entries

    def requests(self) -> list[str]:
        """Return the URLs that the pages asked for since the last call, of any scheme."""
        found = []
        for entry in self.log("performance"):
            event = json.loads(entry["message"])["message"]
            if event["method"] == "Network.requestWillBeSent":
                found.append(event["params"]["request"]["url"])
            elif event["method"] in ("Network.webSocketCreated", "Network.webTransportCreated"):
                found.append(event["params"]["url"])
        return found

    def _port(self) -> str:
        assert self._driver.stdout is not None
        printed = ""
        for line in self._driver.stdout:
            printed += line
            if found := re.search(r"started successfully on port (\d+)", line):
                return found[1]
        raise AssertionError(f"chromedriver did not start: {printed}")

    def _ask(self, path: str, body: dict[str, Any] | None = None, method: str | None = None) -> Any:
        request = urllib.request.Request(
            self._url + path,
            None if body is None else json.dumps(body).encode(),
            {"Content-Type": "application/json"},
            method=method,
        )
        # No proxy stands between this process and its driver.
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        try:
            with opener.open(request, timeout=120) as answer:
                return json.load(answer)["value"]
        except urllib.error.HTTPError as error:
            raise AssertionError(f"{path}: {error.read().decode()[:2000]}") from error
