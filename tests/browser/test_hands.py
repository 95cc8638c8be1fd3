"""Text to image from an empty canvas: once with the keyboard alone, once with the mouse alone."""

import time

import pytest

pytestmark = [pytest.mark.browser, pytest.mark.timeout(240)]

WIRES = [
    "decode|latent",
    "decode|vae",
    "empty|model",
    "encode|encoder",
    "sample|latent",
    "sample|model",
    "sample|positive",
    "save|image",
]


RAN = ["decode", "empty", "encode", "sample", "save"]


def finished(editor):
    """It runs, and all of it, but for the empty prompt that another test may have encoded already."""
    editor.until(lambda: set(editor.will_run()) - {"encode_2"} == set(RAN), "the plan")
    editor.keys("control", "enter")
    editor.wait_for_the_end()
    assert [name for name in editor.ran() if name != "encode_2"] == RAN
    assert editor.complaints() == []


def test_text_to_image_is_built_with_the_keyboard_alone(editor):
    def socket(*moves):
        """From the node that has the focus to one of its sockets."""
        editor.press("enter", *moves)

    def begins(words):
        editor.until(lambda: editor.focused().startswith(words), f"the focus on {words}, not {editor.focused()}")

    editor.new_workflow()
    editor.press("space")
    editor.choose("load.model", "Load model")
    begins("Load model")

    socket("down")  # model, text_encoder
    begins("output text_encoder")
    editor.press("enter")
    editor.choose("A new node", "A new node that takes TextEncoder")
    editor.choose("text.encode", "Encode prompt")
    begins("Encode prompt")
    socket("down")
    begins("input text")
    editor.press("right")
    begins("text")
    editor.press("enter")
    editor.write("a red sphere")
    time.sleep(0.5)  # what it offers to complete is there by now; it goes first
    if editor.all("[role=listbox]"):
        editor.press("escape")
    editor.press("escape")
    begins("text")
    editor.press("escape")
    begins("Encode prompt")

    editor.press("left")
    begins("Load model")
    socket("enter")
    editor.choose("A new node", "A new node that takes Denoiser")
    editor.choose("latent.empty", "Empty latent")
    begins("Empty latent")
    socket()

    def type_into(name, text):
        for _ in range(12):
            if editor.focused().startswith((f"input {name}:", name)):
                break
            editor.press("down")
        if editor.focused().startswith("input"):
            editor.press("right")
        begins(name)
        editor.press("enter")
        editor.until(lambda: editor.focused().endswith(f" {name}"), "the field")
        editor.write(text)
        editor.press("enter")
        begins(name)

    type_into("width", "64")
    type_into("height", "64")
    editor.press("escape")
    begins("Empty latent")
    socket("right")
    begins("output latent")
    editor.press("enter")
    editor.choose("A new node", "A new node that takes Latent")
    editor.choose("denoise.sample", "Denoise")
    begins("Denoise")

    socket()  # model
    begins("input model")
    editor.press("enter")
    editor.choose("load", "Load model")
    begins("input model")
    editor.press("down")
    begins("input positive")
    editor.press("enter")
    editor.choose("", "Encode prompt")
    begins("input positive")
    type_into("steps", "2")
    type_into("cfg", "1")
    editor.press("escape", "enter", "right")
    begins("output latent")
    editor.press("enter")
    editor.choose("A new node", "A new node that takes Latent")
    editor.choose("vae.decode", "VAE decode")
    begins("VAE decode")
    socket("enter")
    editor.choose("", "Load model")
    begins("input vae")
    editor.press("right")
    begins("output image")
    editor.press("enter")
    editor.choose("A new node", "A new node that takes Image")
    editor.choose("image.save", "Save image")
    begins("Save image")
    editor.press(".")
    editor.until(lambda: editor.wires() == WIRES, "all wires")
    finished(editor)


def test_arrows_go_from_node_to_node_and_along_wires_and_delete_cuts(editor):
    def at(words):
        editor.until(lambda: editor.focused().startswith(words), f"the focus on {words}, not {editor.focused()}")

    editor.script("document.activeElement.blur()")
    editor.press("right")
    at("Load model")
    editor.press("right")
    at("Prompt, prompt")
    editor.press("down")
    at("Negative prompt, negative")
    editor.press("enter")
    at("input encoder")
    editor.press("left")  # along the wire
    at("output text_encoder")
    editor.press("escape")
    at("Load model")
    editor.script("document.querySelector('[data-id=save]').focus()")
    editor.press("enter")
    at("input image")
    editor.press("delete")
    editor.until(lambda: "save|image" not in editor.wires(), "the wire to go")
    at("input image")  # the focus stays where the work is
    before = editor.one("[data-id=save]").rect
    editor.press("escape")
    editor.keys("alt", "down")
    editor.until(lambda: editor.one("[data-id=save]").rect["y"] > before["y"], "the node to move")
    editor.keys("shift", "f10")
    editor.until(lambda: editor.all("[role=menu]"), "the menu")
    editor.press("end")
    assert editor.focused().startswith("Delete")
    editor.press("enter")
    editor.until(lambda: not editor.all("[data-node=save]"), "the node to go")


def test_text_to_image_is_built_with_the_mouse_alone(editor):
    from selenium.webdriver.common.action_chains import ActionChains

    def socket(node, name, side="right"):
        return editor.one(f"[data-node={node}] .react-flow__handle-{side}[data-handleid='{name}']")

    def pick(word):
        """The row of the palette that says this, pressed."""
        editor.until(lambda: editor.all("dialog [cmdk-item]"), "the palette")
        row = next(row for row in editor.all("dialog [cmdk-item]") if row.text.split("\n")[0] == word)
        editor.script("arguments[0].scrollIntoView({block: 'center'})", row)
        ActionChains(editor.browser).click(row).perform()
        editor.until(lambda: not editor.all("dialog"), "the palette to close")

    def drop(source, x, y, word):
        """A wire dropped on the empty canvas, and what takes it."""
        pane = editor.one(".react-flow__pane")
        chain = ActionChains(editor.browser, duration=40).click_and_hold(source).move_by_offset(12, 6)
        chain.move_to_element_with_offset(pane, x, y).release().perform()
        pick(word)

    def drag(source, target):
        chain = ActionChains(editor.browser, duration=40).click_and_hold(source).move_by_offset(12, 6)
        chain.move_to_element(target).release().perform()

    editor.one("[aria-label='New workflow']").click()
    editor.until(lambda: not editor.all("[data-node]"), "the empty graph")
    pane = editor.one(".react-flow__pane")
    at = ActionChains(editor.browser).move_to_element_with_offset(pane, -700, -200)
    at.double_click().perform()
    pick("Load model")
    drop(socket("model", "text_encoder"), -250, 150, "Encode prompt")
    drop(socket("model", "model"), -250, -250, "Empty latent")
    drop(socket("empty", "latent"), 60, -250, "Denoise")
    for node, name, by in [("empty", "width", -400), ("empty", "height", -400), ("sample", "steps", -108)]:
        field = editor.one(f"[data-node={node}] [data-input={name}]")
        ActionChains(editor.browser).move_to_element(field).perform()
        ActionChains(editor.browser, duration=40).click_and_hold(
            editor.one(f"[data-node={node}] [data-input={name}] input")
        ).move_by_offset(by // 2, 0).move_by_offset(by - by // 2, 0).release().perform()
    drag(socket("model", "model"), socket("sample", "model", "left"))
    drag(socket("encode", "conditioning"), socket("sample", "positive", "left"))
    drop(socket("model", "text_encoder"), -250, 340, "Encode prompt")
    drag(socket("encode_2", "conditioning"), socket("sample", "negative", "left"))
    drop(socket("sample", "latent"), 380, 200, "VAE decode")
    drag(socket("model", "vae"), socket("decode", "vae", "left"))
    drop(socket("decode", "image"), 560, -250, "Save image")
    editor.type_prompt("a blue cube, drawn by hand", "encode")
    wires = sorted([*WIRES, "encode_2|encoder", "sample|negative"])
    editor.one("[aria-label='Show the whole graph (.)']").click()
    editor.until(lambda: editor.wires() == wires, "all wires")
    finished(editor)
