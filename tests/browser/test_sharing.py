"""Tabs that browsers share: seen in both, kept over a restart and a wiped browser, and never overwritten unasked."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from engine.client import Client
from tests.browser.conftest import TOKEN, Editor, launch

pytestmark = [pytest.mark.browser, pytest.mark.timeout(240)]


@pytest.fixture
def other(editor: Editor, tmp_path: Path) -> Iterator[Editor]:
    """The editor in a browser that shares nothing with the first but the server."""
    browser = launch(tmp_path / "other")
    yield Editor(browser, editor.weft)
    browser.quit()


def kept(editor: Editor) -> list[str]:
    """The prompts of the tabs that the server has."""
    with Client(editor.weft.url, TOKEN) as client:
        bodies = [client.tab(tab.name).body for tab in client.tabs()]
    return sorted(body["document"]["nodes"]["prompt"]["inputs"]["text"] for body in bodies)


def says(editor: Editor, prompt: str) -> None:
    editor.until(lambda: editor.prompt() == prompt, f"the prompt {prompt!r}, not {editor.prompt()!r}")


def offline(editor: Editor, yes: bool) -> None:
    editor.browser.execute_cdp_cmd("Network.enable", {})
    limits = {"offline": yes, "latency": 0, "downloadThroughput": -1, "uploadThroughput": -1}
    editor.browser.execute_cdp_cmd("Network.emulateNetworkConditions", limits)


def titles(editor: Editor) -> list[str]:
    return [tab.text for tab in editor.all(".tabs .tab .name")]


def test_a_tab_that_was_only_looked_at_is_not_kept_and_an_edit_in_one_browser_is_seen_in_the_other(editor, other):
    assert kept(editor) == []
    editor.type_prompt("typed at the desk")
    editor.until(lambda: kept(editor) == ["typed at the desk"], "the tab on the server")
    other.open(fresh=False)
    says(other, "typed at the desk")
    assert len(titles(other)) == 1
    other.type_prompt("typed on the phone")
    says(editor, "typed on the phone")
    editor.script("document.activeElement.blur()")
    editor.keys("control", "z")
    says(editor, "typed at the desk")
    says(other, "typed at the desk")


def test_two_that_changed_the_same_tab_are_asked_and_neither_loses_anything(editor, other):
    editor.type_prompt("what both had")
    editor.until(lambda: kept(editor) == ["what both had"], "the tab on the server")
    other.open(fresh=False)
    says(other, "what both had")
    offline(editor, True)
    editor.type_prompt("mine, without a line")
    other.type_prompt("theirs, meanwhile")
    other.until(lambda: kept(other) == ["theirs, meanwhile"], "their edit on the server")
    offline(editor, False)
    asked = editor.one(".conflict")
    assert "changed in another browser" in asked.text
    assert editor.prompt() == "mine, without a line" and kept(editor) == ["theirs, meanwhile"]
    next(b for b in editor.all(".conflict button") if b.text == "Keep mine as a new tab").click()
    editor.until(lambda: kept(editor) == ["mine, without a line", "theirs, meanwhile"], "both on the server")
    says(editor, "mine, without a line")
    assert len(titles(editor)) == 2 and not editor.all(".conflict")
    says(other, "theirs, meanwhile")
    other.until(lambda: len(titles(other)) == 2, "the new tab in the other browser")


def test_who_takes_theirs_has_their_own_one_step_of_undo_away(editor, other):
    editor.type_prompt("what both had")
    editor.until(lambda: kept(editor) == ["what both had"], "the tab on the server")
    other.open(fresh=False)
    says(other, "what both had")
    offline(editor, True)
    editor.type_prompt("mine")
    other.type_prompt("theirs")
    other.until(lambda: kept(other) == ["theirs"], "their edit on the server")
    offline(editor, False)
    editor.one(".conflict")
    next(b for b in editor.all(".conflict button") if b.text == "Take theirs").click()
    says(editor, "theirs")
    editor.script("document.activeElement.blur()")
    editor.keys("control", "z")
    says(editor, "mine")
    editor.until(lambda: kept(editor) == ["mine"], "the one that was taken back, on the server")


def test_what_is_typed_while_the_server_is_away_reaches_it_when_it_is_back(editor, other):
    editor.type_prompt("before")
    editor.until(lambda: kept(editor) == ["before"], "the tab on the server")
    editor.weft.kill()
    try:
        editor.until(lambda: "reconnecting" in editor.one(".run-bar").text, "the editor to notice")
        editor.type_prompt("while it was away")
    finally:
        editor.weft.start()
    editor.until(lambda: kept(editor) == ["while it was away"], "the edit on the server")
    assert not editor.all(".conflict")
    other.open(fresh=False)
    says(other, "while it was away")


def test_a_browser_whose_storage_was_wiped_has_its_tabs_back(editor):
    editor.type_prompt("kept elsewhere, too")
    editor.until(lambda: kept(editor) == ["kept elsewhere, too"], "the tab on the server")
    editor.wipe()
    editor.open(fresh=False)
    says(editor, "kept elsewhere, too")
    assert len(titles(editor)) == 1
    editor.one(".tabs .shut").click()
    editor.until(lambda: kept(editor) == [], "the tab to be closed everywhere")
