"""Everybody can use it: axe finds no violation on any panel in either theme; a second language; no motion."""

from pathlib import Path

import pytest

pytestmark = [pytest.mark.browser, pytest.mark.timeout(240)]
AXE = Path(__file__).parents[2] / "web" / "node_modules" / "axe-core" / "axe.min.js"


def violations(editor):
    return editor.browser.execute_async_script(
        """
        const done = arguments[0];
        axe.run(document, {resultTypes: ['violations']}).then((found) => done(found.violations.map((rule) =>
          `${rule.id}: ${rule.nodes.map((node) => node.html.slice(0, 160)).join(' | ')}`)));
        """
    )


@pytest.mark.parametrize("theme", ["dark", "light"])
def test_axe_finds_no_violation_on_any_panel(editor, theme):
    if not AXE.exists():
        pytest.skip("NO ACCESSIBILITY TESTS: run npm ci in web/ (axe-core is in its dev dependencies)")
    editor.script("localStorage.setItem('weft.theme', arguments[0])", theme)
    editor.open(fresh=False)
    editor.script(AXE.read_text("utf-8"))
    assert violations(editor) == []
    editor.one("[data-node=sample] .title").click()
    editor.one(".inspector")
    for button in editor.all(".rail [aria-pressed]"):
        button.click()
        name = button.get_attribute("aria-label")
        editor.one(f".panel[aria-label='{name}']")
        assert violations(editor) == [], name
    editor.script("document.activeElement.blur()")
    editor.press("escape", "escape")
    for keys, css in [
        (["space"], "dialog [cmdk-item]"),
        (["control", "k"], "dialog [cmdk-item]"),
        (["?"], "dialog.sheet"),
        (["shift", "f10"], "[role=menu]"),
    ]:
        editor.keys(*keys)
        editor.one(css)
        assert violations(editor) == [], css
        editor.press("escape")
        editor.until(lambda css=css: not editor.all(css), "it to close")
        editor.script("document.activeElement.blur()")


def test_the_editor_speaks_german_when_it_is_asked_to(editor):
    editor.keys("control", "k")
    editor.choose("Speak German", "Speak German")
    editor.until(lambda: editor.script("return document.documentElement.lang") == "de", "the other language")
    editor.until(lambda: editor.all("[data-node]"), "the same graph")
    assert editor.one(".run-button").text == "Ausführen"
    editor.until(lambda: editor.forecast() not in ("", "plant…"), "the plan")
    assert "Knoten" in editor.forecast() or editor.forecast() == "alles ist auf dem Stand"
    editor.keys("control", "k")
    editor.choose("Speak German", "Sprache: Deutsch oder Englisch")
    editor.until(lambda: editor.script("return document.documentElement.lang") == "en", "English again")


def test_with_nothing_chosen_the_editor_speaks_the_browsers_language_and_a_choice_outweighs_it(editor):
    from selenium.webdriver.support.ui import Select

    agent = editor.script("return navigator.userAgent")

    def asks_for(language):
        editor.browser.execute_cdp_cmd("Network.setUserAgentOverride", {"userAgent": agent, "acceptLanguage": language})
        editor.browser.refresh()
        editor.until(lambda: editor.all("[data-node]"), "the graph")

    def speaks(language):
        editor.until(lambda: editor.script("return document.documentElement.lang") == language, language)

    def choose(language):
        editor.until(lambda: editor.all("[data-node]"), "the graph")
        editor.keys("control", ",")
        Select(editor.one(".setting select:has(option[lang=de])")).select_by_value(language)

    try:
        asks_for("de-AT,de")
        speaks("de")
        assert editor.one(".run-button").text == "Ausführen"
        choose("en")
        speaks("en")
        editor.until(lambda: [b.text for b in editor.all(".run-button")] == ["Run"], "the choice")
        choose("")
        speaks("de")
    finally:
        asks_for("en-US,en")
    speaks("en")


def test_nothing_moves_for_those_who_ask_for_that(editor):
    editor.browser.execute_cdp_cmd(
        "Emulation.setEmulatedMedia", {"features": [{"name": "prefers-reduced-motion", "value": "reduce"}]}
    )
    try:
        moving = editor.script(
            """
            const moves = (style) =>
              style.animationName !== 'none' || style.transitionDuration.split(',').some((d) => parseFloat(d) > 0);
            return [...document.querySelectorAll('*')].filter((e) => moves(getComputedStyle(e))).length;
            """
        )
        assert moving == 0
    finally:
        editor.browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": []})
