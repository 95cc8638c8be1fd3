"""On a phone: wires by taps, and buttons that a finger can hit."""

import pytest

pytestmark = [pytest.mark.browser, pytest.mark.timeout(240)]

FINGER = 44  # pixels


class Phone:
    """The editor on a small screen, under one finger."""

    def __init__(self, editor):
        self.editor = editor

    def command(self, name, **values):
        self.editor.browser.execute_cdp_cmd(name, values)

    def tap(self, css):
        """Wait until the thing keeps still on the screen, then touch its middle."""
        spots = [None]
        self.editor.script(
            "document.querySelector(arguments[0])?.closest('.rail > *, [cmdk-item]')?.scrollIntoView()", css
        )

        def still():
            found = self.editor.script(
                "const r = document.querySelector(arguments[0])?.getBoundingClientRect();"
                "return r ? [r.x + r.width / 2, r.y + r.height / 2] : null",
                css,
            )
            spots.append(found)
            return found and found == spots[-2]

        self.editor.until(still, f"{css} to be there")
        x, y = spots[-1]
        assert 0 <= x < 390 and 0 <= y < 844, f"{css} lies off the screen"
        self.command("Input.dispatchTouchEvent", type="touchStart", touchPoints=[{"x": x, "y": y}])
        self.command("Input.dispatchTouchEvent", type="touchEnd", touchPoints=[])

    def choose(self, words):
        """Tap the row of the list that is open."""

        def row():
            rows = self.editor.all("dialog [cmdk-item]")
            return [i for i, item in enumerate(rows) if item.text.startswith(words)]

        self.editor.until(row, words)
        value = self.editor.all("dialog [cmdk-item]")[row()[0]].get_attribute("data-value")
        self.tap(f'dialog [cmdk-item][data-value="{value}"]')
        self.editor.until(lambda: not self.editor.all(f'dialog [cmdk-item][data-value="{value}"]'), "the list to close")

    def fit(self):
        """What is chosen is let go, so that its sheet is out of the way, and the graph comes onto the screen."""
        self.command("Input.dispatchTouchEvent", type="touchStart", touchPoints=[{"x": 195, "y": 70}])
        self.command("Input.dispatchTouchEvent", type="touchEnd", touchPoints=[])
        self.editor.until(lambda: not self.editor.all(".inspector"), "nothing to be chosen")
        self.tap(".rail [aria-label='Show the whole graph (.)']")


@pytest.fixture
def phone(editor):
    made = Phone(editor)
    made.command("Emulation.setDeviceMetricsOverride", width=390, height=844, deviceScaleFactor=1, mobile=True)
    made.command("Emulation.setTouchEmulationEnabled", enabled=True)
    yield made
    made.command("Emulation.setTouchEmulationEnabled", enabled=False)
    made.command("Emulation.clearDeviceMetricsOverride")


def test_a_tap_on_a_socket_wires_it_to_a_node_that_is_there_or_to_a_new_one(phone, editor):
    editor.new_workflow()
    phone.tap(".rail [aria-label='Add a node (Space)']")
    phone.choose("Load model")
    phone.fit()
    phone.tap("[data-node=model] .socket.source[data-handleid=text_encoder]")
    phone.choose("A new node that takes TextEncoder")
    phone.choose("Encode prompt")
    editor.until(lambda: editor.wires() == ["encode|encoder"], "the wire to the new node")
    phone.fit()
    editor.keys("control", "z")
    editor.until(lambda: not editor.wires(), "the edit to be taken back")
    phone.tap(".rail [aria-label='Add a node (Space)']")
    phone.choose("VAE decode")
    phone.fit()
    phone.tap("[data-node=decode] .socket.target[data-handleid=vae]")
    phone.choose("Load model · vae")
    editor.until(lambda: editor.wires() == ["decode|vae"], "the wire from the node that was there")


def test_what_is_used_most_is_as_large_as_a_finger_and_the_run_bar_fits_the_screen(phone, editor):
    phone.tap("[data-action=run]")
    seen = editor.script(
        "return ['.run-button', '.rail > .icon-button', '.top > .icon-button'].flatMap((css) =>"
        "  [...document.querySelectorAll(css)].filter((e) => e.offsetParent)"
        "  .map((e) => [css, e.offsetWidth, e.offsetHeight]))"
    )
    assert len(seen) > 10
    assert [row for row in seen if row[1] < FINGER or row[2] < FINGER] == []
    wide = editor.script(
        "return [...document.querySelectorAll('.run-bar > *')].filter((e) => e.getClientRects().length)"
        ".map((e) => [e.className, e.getBoundingClientRect().right]).filter(([, right]) => right > innerWidth)"
    )
    editor.wait_for_the_end()
    assert wide == []
