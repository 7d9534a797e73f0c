"""Every page of a rendered book in a real browser: what it asks for, and whether it can be read.

python tests/browser.py _build/html
"""

import contextlib
import functools
import http.server
import os
import shutil
import sys
import threading
from pathlib import Path
from urllib.parse import urlsplit

ARGUMENTS = ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"]
ARGUMENTS += [
    "--disable-dev-shm-usage",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome")
WIDTHS = (1400, 390)
MISSING = f"no browser found ({', '.join(NAMES)}): install Chromium, for example `apt-get install chromium`"

SETTLED = """async () => {
    if (document.readyState !== 'complete' || document.querySelector('meta[http-equiv=refresh i]')) return false;
    await window.MathJax?.startup?.promise;
    return true;
}"""
LOOK = """() => ({
    wide: document.documentElement.scrollWidth - window.innerWidth,
    images: [...document.images].filter(i => i.complete && !i.naturalWidth).map(i => i.src),
    silent: [...document.querySelectorAll('.bd-article img')].filter(i => !i.alt).map(i => i.src.slice(-60)),
    math: document.querySelectorAll('.math').length,
    drawn: document.querySelectorAll('mjx-container svg').length,
    text: document.body.innerText,
})"""


def browser() -> str | None:
    """Path of a Chromium on this machine."""
    return next(filter(None, map(shutil.which, NAMES)), None)


class Quiet(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *arguments):
        pass


@contextlib.contextmanager
def served(folder: Path):
    """The folder on a port of this machine."""
    handler = functools.partial(Quiet, directory=str(folder))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        yield f"http://127.0.0.1:{server.server_address[1]}"
        server.shutdown()
        thread.join()


def problems(folder: str | Path) -> list[str]:
    """What is wrong with the pages of a book, one line each; each page over http and as a file, wide and narrow.

    A request that would leave the machine, something missing, an error on the console, an image that does not
    load or has no alternative text, a formula that is not drawn, a page that is wider than the window; on an
    executed page also a traceback or a NaN.
    """
    from playwright.sync_api import sync_playwright

    folder = Path(folder).resolve()
    names = sorted(str(path.relative_to(folder)) for path in folder.rglob("*.html") if "_static" not in path.parts)
    if not names:
        return [f"no pages in {folder}"]
    found: list[str] = []
    with served(folder) as url, sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=browser(), args=ARGUMENTS)
        for base, width in ((url, WIDTHS[0]), (folder.as_uri(), WIDTHS[1])):
            page = chromium.new_page(viewport={"width": width, "height": 900})
            page.set_default_timeout(120_000)
            here = f"{base.split(':')[0]}, {width} px"
            asked: list[str] = []
            page.on("request", lambda request, asked=asked: asked.append(request.url))
            said: list[str] = []
            page.on("requestfailed", lambda request, said=said: said.append(f"failed: {request.url}"))
            page.on("response", lambda r, said=said: said.append(f"{r.status}: {r.url}") if r.status >= 400 else None)
            page.on("pageerror", lambda error, said=said: said.append(f"error: {error}"))
            for name in names:
                print(f"{base}/{name}", file=sys.stderr, flush=True)  # where it hangs, this says at which page
                asked.clear()
                said.clear()
                page.goto(f"{base}/{name}", wait_until="load")
                # a page that only redirects is followed; Playwright's own "networkidle" may never come after one
                page.wait_for_function(SETTLED)
                page.wait_for_timeout(200)
                seen = page.evaluate(LOOK)
                found += [f"{name} ({here}): request leaves the machine: {u}" for u in asked if _leaves(u)]
                found += [f"{name} ({here}): {line}" for line in said if "favicon" not in line]
                found += [f"{name} ({here}): image does not load: {source}" for source in seen["images"]]
                found += [f"{name}: image without alternative text: {source}" for source in seen["silent"]]
                if seen["wide"] > 0:
                    found.append(f"{name} ({here}): {seen['wide']} px wider than the window")
                if seen["math"] > seen["drawn"]:
                    found.append(f"{name} ({here}): {seen['drawn']} of {seen['math']} formulas drawn")
                if name.startswith("notebooks/"):
                    found += [f"{name}: shows {bad!r}" for bad in ("Traceback (most", "NaN") if bad in seen["text"]]
            page.close()
        chromium.close()
    return sorted(set(found))


def _leaves(url: str) -> bool:
    parts = urlsplit(url)
    return parts.scheme not in ("file", "data", "blob", "about") and parts.hostname != "127.0.0.1"


if __name__ == "__main__":
    if not browser():
        sys.exit(MISSING)
    lines = [line for book in sys.argv[1:] for line in problems(book)]
    print(*lines or [f"{' '.join(sys.argv[1:])}: nothing to complain about"], sep=os.linesep)
    sys.exit(bool(lines))
