"""Where the editor is opened: two tabs at once, plain http under another name."""

import pytest

from tests.browser.conftest import NAME

pytestmark = [pytest.mark.browser, pytest.mark.timeout(240)]


def test_two_windows_share_their_tabs_and_see_the_same_jobs_and_each_has_its_own_in_front(editor):
    first = editor.browser.current_window_handle
    editor.type_prompt("typed in the first window")
    editor.until(lambda: "sample" in editor.will_run(), "the plan")
    editor.browser.switch_to.new_window("tab")
    second = editor.browser.current_window_handle
    try:
        editor.open(fresh=False)
        editor.until(lambda: editor.prompt() == "typed in the first window", "the shared tab")
        editor.new_workflow()
        editor.open_workflow("Text to image")
        editor.type_prompt("a tab of its own in the second window")
        editor.until(lambda: "sample" in editor.will_run(), "the plan")
        editor.browser.switch_to.window(first)
        assert editor.prompt() == "typed in the first window"
        editor.until(lambda: len(editor.all(".tabs .tab")) == 2, "the other's tab beside it")
        editor.forget_diary()
        editor.keys("control", "enter")
        editor.wait_for_the_end()
        editor.browser.switch_to.window(second)
        editor.wait_for_the_end()  # the other window was told, too
        assert editor.prompt() == "a tab of its own in the second window"
        editor.until(lambda: "sample" in editor.will_run(), "its own plan: nothing of it ran")
    finally:
        editor.browser.switch_to.window(second)
        editor.browser.close()
        editor.browser.switch_to.window(first)
    assert editor.prompt() == "typed in the first window"


def test_plain_http_under_another_name_has_no_secure_context_and_lacks_nothing(editor):
    held = editor.weft.url
    editor.weft.url = f"http://{NAME}:{editor.weft.port}"
    try:
        editor.open()
        assert editor.script("return [window.isSecureContext, navigator.clipboard === undefined]") == [False, True]
        editor.type_prompt("over plain http")
        editor.until(lambda: "sample" in editor.will_run(), "the plan")
        editor.keys("control", "enter")
        editor.wait_for_the_end()
        editor.until(lambda: editor.all("[data-node=save] img"), "the picture")
        # Copy and paste by the browser's own events, which need no permission and no https.
        editor.one("[data-node=prompt] .title").click()
        editor.keys("control", "c")
        editor.keys("control", "v")
        editor.until(lambda: editor.all("[data-node=prompt_2]"), "the pasted node")
        editor.script("document.activeElement.blur()")
        editor.keys("control", "z")
        editor.until(lambda: not editor.all("[data-node=prompt_2]"), "the undo")
        # Chromium remarks that it ignores the opener policy where there is no secure context; that is all.
        assert [said for said in editor.complaints() if "Cross-Origin-Opener-Policy" not in said] == []
    finally:
        editor.weft.url = held
