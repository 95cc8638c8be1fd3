"""A real server with a model of its own, and a real Chromium in front of it."""

import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from engine.client import Client
from tests.nodes.conftest import make_sd1

ROOT = Path(__file__).parent.parent.parent
TEMPLATE = json.loads((ROOT / "workflows" / "text_to_image.json").read_text())
TOKEN = "a-token-for-the-browser-tests"
NAME = "studio.test"  # leads to this machine, in the tests' browser alone
FLAGS = (
    "--headless=new --no-sandbox --disable-gpu --disable-quic --no-first-run --disable-background-networking "
    "--disable-component-update --disable-sync --disable-dev-shm-usage --window-size=1920,1080"
).split()


class Weft:
    """`weft serve` in a process and a home of its own."""

    def __init__(self, home: Path) -> None:
        self.home = home
        self.port = "auto"
        self.start()

    def start(self) -> None:
        env = {**os.environ, "WEFT_HOME": str(self.home), "WEFT_TOKEN": TOKEN, "OMP_NUM_THREADS": "1"}
        command = [
            sys.executable,
            "-m",
            "engine.cli",
            "serve",
            "--port",
            self.port,
            "--no-browser",
            "--allow-host",
            NAME,
        ]
        self.process = subprocess.Popen(command, cwd=ROOT, env=env, stdout=subprocess.PIPE, text=True)
        found = re.search(r"http://[\d.]+:(\d+)", self.process.stdout.readline())
        assert found, "the server printed no address"
        self.port = found[1]
        self.url = f"http://127.0.0.1:{self.port}"

    def stop(self) -> None:
        self.process.terminate()
        self.process.communicate(timeout=30)

    def kill(self) -> None:
        self.process.kill()
        self.process.communicate()


@pytest.fixture(scope="session")
def weft(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Weft]:
    home = tmp_path_factory.mktemp("weft")
    # The template's own model, tiny: what the editor shows is the same, and a run takes a second.
    make_sd1(home / "models" / "checkpoints" / TEMPLATE["nodes"]["load"]["inputs"]["model"])
    server = Weft(home)
    yield server
    server.stop()


@pytest.fixture(scope="session")
def starter_weft(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Weft]:
    """A server with the model that ships: where a test is about what pictures look like."""
    server = Weft(tmp_path_factory.mktemp("starter"))
    yield server
    server.stop()


def launch(profile: Path) -> Any:
    """A Chromium with nothing remembered; skips loudly where there is none."""
    chrome, driver = shutil.which("chromium") or shutil.which("google-chrome"), shutil.which("chromedriver")
    if not chrome or not driver:
        pytest.skip("NO BROWSER TESTS: install chromium and its driver (apt install chromium chromium-driver)")
    try:
        from selenium import webdriver
    except ImportError:
        pytest.skip("NO BROWSER TESTS: install selenium (it is in the dev extra)")

    options = webdriver.ChromeOptions()
    options.binary_location = chrome
    here = f"--host-resolver-rules=MAP {NAME} 127.0.0.1"
    for flag in (*FLAGS, here, f"--user-data-dir={profile}"):
        options.add_argument(flag)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    browser = webdriver.Chrome(options=options, service=webdriver.ChromeService(driver))
    browser.set_script_timeout(90)  # a busy machine: a test fails for what it sees, not for waiting
    return browser


@pytest.fixture(scope="session")
def chromium(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    browser = launch(tmp_path_factory.mktemp("chromium"))
    yield browser
    browser.quit()


class Editor:
    """The editor as a person has it: look, press, type. What it says of itself is read from the page."""

    def __init__(self, browser: Any, weft: Weft) -> None:
        self.browser = browser
        self.weft = weft

    def open(self, fresh: bool = True) -> None:
        if fresh:
            self.browser.get(f"{self.weft.url}/?token={TOKEN}")
            self.wipe()
            self.close_tabs()
        self.browser.get(f"{self.weft.url}/?token={TOKEN}")
        self.until(lambda: self.all("[data-node]"), "the workflow to appear")
        self.until(lambda: self.forecast() not in ("", "planning…"), "the first plan")
        self.script(
            "window.diary = [];"
            "const socket = new WebSocket(location.origin.replace('http', 'ws') + '/ws');"
            "socket.onmessage = (m) => typeof m.data === 'string' && window.diary.push(JSON.parse(m.data))"
        )
        self.until(lambda: self.script("return window.diary.length"), "the test's own line to the server")

    def wipe(self) -> None:
        """Nothing is remembered in this browser any more; the page is left."""
        # A page of the same origin without the editor: what the editor keeps when it goes is kept before this empties
        # it, and the answer is waited for. Emptied, not removed: a database that is opened while it is being removed
        # never answers, and one that is open somewhere is not removed.
        self.browser.get(f"{self.weft.url}/api/tabs")
        self.browser.execute_async_script(
            """
            const done = arguments[0];
            sessionStorage.clear(); localStorage.clear();
            const empty = () => {
              const request = indexedDB.open('weft', 1);
              request.onerror = () => done();
              request.onsuccess = () => {
                const work = request.result.transaction('sessions', 'readwrite');
                work.objectStore('sessions').clear();
                work.oncomplete = work.onerror = work.onabort = () => { request.result.close(); done(); };
              };
            };
            indexedDB.databases().then((all) => (all.some(({name}) => name === 'weft') ? empty() : done()));
            """
        )

    def close_tabs(self) -> None:
        """No tab is kept on the server any more."""
        with Client(f"http://127.0.0.1:{self.weft.port}", TOKEN) as client:
            for tab in client.tabs():
                client.close_tab(tab.name)

    def script(self, text: str, *args: Any) -> Any:
        return self.browser.execute_script(text, *args)

    def all(self, css: str) -> list[Any]:
        return self.browser.find_elements("css selector", css)

    def one(self, css: str) -> Any:
        return self.until(lambda: (self.all(css) or [None])[0], f"{css} to be there")

    def until(self, done: Callable[[], Any], what: str, seconds: float = 40) -> Any:
        from selenium.common.exceptions import StaleElementReferenceException

        end = time.monotonic() + seconds
        while time.monotonic() < end:
            try:
                found = done()
            except StaleElementReferenceException:
                found = None
            if found:
                return found
            time.sleep(0.05)
        seen = Path(tempfile.mkdtemp(prefix="weft-seen-")) / "page.png"
        self.browser.save_screenshot(str(seen))
        raise AssertionError(
            f"waited {seconds:.0f} s for {what}; the run bar says {self.forecast()!r}; what was seen is in {seen}"
        )

    def forecast(self) -> str:
        found = self.all("[data-forecast]")
        return found[0].text if found else ""

    def keys(self, *keys: str) -> None:
        from selenium.webdriver.common.action_chains import ActionChains
        from selenium.webdriver.common.keys import Keys

        held = [getattr(Keys, key.upper()) for key in keys[:-1]]
        last = getattr(Keys, keys[-1].upper()) if len(keys[-1]) > 1 else keys[-1]
        chain = ActionChains(self.browser)
        for key in held:
            chain.key_down(key)
        chain.send_keys(last)
        for key in held:
            chain.key_up(key)
        chain.perform()

    def press(self, *names: str) -> None:
        """Keys one after the other, to whatever has the focus."""
        from selenium.webdriver.common.action_chains import ActionChains
        from selenium.webdriver.common.keys import Keys

        for name in names:
            ActionChains(self.browser).send_keys(getattr(Keys, name.upper()) if len(name) > 1 else name).perform()

    def write(self, text: str) -> None:
        """Text to whatever has the focus."""
        from selenium.webdriver.common.action_chains import ActionChains

        ActionChains(self.browser).send_keys(text).perform()

    def focused(self) -> str:
        """The name of what has the focus, as it is read out."""
        return self.script(
            "const e = document.activeElement;"
            "return e === document.body ? 'nothing' : e.getAttribute('aria-label') ?? e.textContent"
        )

    def choose(self, query: str, first: str = "") -> None:
        """In the palette that is open: look for something and take the first that is found."""
        palette = self.one("dialog [cmdk-input]").get_attribute("aria-label")
        self.write(query)
        self.until(lambda: first in (self.all("[cmdk-item][data-selected=true]") or self.all("body"))[0].text, first)
        self.press("enter")

        def next_one() -> bool:
            fields = self.all("dialog [cmdk-input]")
            return not fields or fields[0].get_attribute("aria-label") != palette

        self.until(next_one, f"the palette to close after {query!r}")

    def wires(self) -> list[str]:
        """Every wire on the screen as `node|slot`, the end it leads to."""
        return sorted(e.get_attribute("data-id") for e in self.all(".react-flow__edge"))

    def new_workflow(self) -> None:
        self.keys("control", "k")
        self.choose("New workflow", "New workflow")
        self.until(lambda: not self.all("[data-node]"), "the empty graph")

    def document(self) -> dict[str, Any]:
        """The workflow that is open, as the last autosave has it."""
        return self.browser.execute_async_script(
            """
            const done = arguments[0];
            const read = () => {
              const request = indexedDB.open('weft', 1);
              request.onsuccess = () => {
                const all = request.result.transaction('sessions').objectStore('sessions').get('latest');
                all.onsuccess = () => {
                  request.result.close();
                  const held = all.result;
                  done(held ? held.tabs.find((tab) => tab.id === held.active).document : {nodes: {}});
                };
              };
            };
            // Before the first edit there is none, and who opened it would make an empty one.
            indexedDB.databases().then((all) => (all.some(({name}) => name === 'weft') ? read() : done({nodes: {}})));
            """
        )

    def open_document(self, name: str, document: dict[str, Any]) -> None:
        """A workflow of the user's, opened from the list."""
        folder = self.weft.home / "workflows"
        folder.mkdir(exist_ok=True)
        (folder / f"{name}.json").write_text(json.dumps({"weft": 1, "title": name, **document}))
        self.one("[aria-label='Workflows']").click()
        row = self.until(lambda: [r for r in self.all(".panel .item") if r.text.startswith(name)], "the row")[0]
        row.click()
        self.one("[aria-label='Close Workflows']").click()
        self.until(lambda: self.all(f"[role=application][aria-label='Graph: {name}']"), "the graph")

    def type_prompt(self, text: str, node: str = "prompt") -> None:
        from selenium.webdriver.common.action_chains import ActionChains
        from selenium.webdriver.common.keys import Keys

        if self.all(".offers"):
            self.press("escape")  # completions of what was typed before may lie over the field
        ActionChains(self.browser).move_to_element(self.one(f"[data-node={node}] [data-input=text]")).perform()
        field = self.one(f"[data-node={node}] textarea")
        field.click()
        field.send_keys(Keys.CONTROL, "a")
        field.send_keys(text)

    def open_workflow(self, title: str) -> None:
        self.one(".rail [aria-label='Workflows']").click()
        rows = self.until(lambda: [i for i in self.all(".panel .item") if i.text.startswith(title)], f"{title!r}")
        rows[0].click()
        self.one("[aria-label='Close Workflows']").click()
        self.until(lambda: self.forecast() not in ("", "planning…"), "its plan")

    def set_number(self, node: str, name: str, value: str) -> None:
        """Type a number into a widget on the canvas, as one does: point at it, press, type, Enter."""
        from selenium.webdriver.common.action_chains import ActionChains
        from selenium.webdriver.common.keys import Keys

        ActionChains(self.browser).move_to_element(self.one(f"[data-node={node}] [data-input={name}]")).perform()
        field = self.one(f"[data-node={node}] [data-input={name}] input")
        field.click()
        field.send_keys(Keys.CONTROL, "a")
        field.send_keys(value, Keys.ENTER)

    def prompt(self, node: str = "prompt") -> str:
        """The prompt on the canvas, whether it is text at rest or a field under the pointer."""
        return self.script(
            "const at = document.querySelector(`[data-node=${arguments[0]}] [data-input=text]`);"
            "return at ? (at.querySelector('textarea')?.value ?? at.textContent) : ''",
            node,
        )

    def marks(self) -> dict[str, str]:
        """What each node's mark says: run, cached, maybe, light, ..."""
        return self.script(
            "return Object.fromEntries([...document.querySelectorAll('[data-node]')]"
            ".map((card) => [card.dataset.node, card.querySelector('.mark').classList[1]]))"
        )

    def will_run(self) -> list[str]:
        return sorted(name for name, mark in self.marks().items() if mark == "run")

    def diary(self) -> list[dict[str, Any]]:
        return self.script("return window.diary")

    def ran(self) -> list[str]:
        return sorted(event["path"] for event in self.diary() if event["event"] == "step_started")

    def forget_diary(self) -> None:
        self.script("window.diary = []")

    def wait_for_the_end(self, state: str = "succeeded") -> None:
        def over() -> bool:
            return any(event["event"] == "job_finished" for event in self.diary())

        self.until(over, "the job to end", 90)
        ends = [event for event in self.diary() if event["event"] == "job_finished"]
        assert [event["state"] for event in ends] == [state], [event.get("problems") for event in ends]

    def complaints(self) -> list[str]:
        """What the browser's console has of errors."""
        return [entry["message"] for entry in self.browser.get_log("browser") if entry["level"] == "SEVERE"]


@pytest.fixture
def editor(chromium: Any, weft: Weft) -> Editor:
    made = Editor(chromium, weft)
    made.open()
    made.complaints()  # what was said before belongs to the test before
    return made


@pytest.fixture
def studio(chromium: Any, starter_weft: Weft) -> Editor:
    """The editor on the model that ships."""
    made = Editor(chromium, starter_weft)
    made.open()
    made.complaints()
    return made
