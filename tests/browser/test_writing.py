"""Prompts and values are written with help: completed, weighed, counted, calculated, searched."""

import pytest
from selenium.webdriver.common.action_chains import ActionChains
from selenium.webdriver.common.actions.action_builder import ActionBuilder
from selenium.webdriver.common.keys import Keys

pytestmark = pytest.mark.browser


def held(editor, node, name):
    """A value in the document, once the autosave has it."""
    return editor.document()["nodes"].get(node, {"inputs": {}})["inputs"].get(name)


def until_held(editor, node, name, value):
    editor.until(lambda: held(editor, node, name) == value, f"{node}.{name} to be {value!r}")


def prompt_field(editor, node="prompt"):
    ActionChains(editor.browser).move_to_element(editor.one(f"[data-node={node}] [data-input=text]")).perform()
    field = editor.one(f"[data-node={node}] textarea")
    field.click()
    field.send_keys(Keys.CONTROL, "a")
    return field


def value_field(editor, node, name):
    ActionChains(editor.browser).move_to_element(editor.one(f"[data-node={node}] [data-input={name}]")).perform()
    return editor.one(f"[data-node={node}] [data-input={name}] input")


def offers(editor):
    return [row.text.splitlines()[0] for row in editor.all(".offers [role=option]")]


def control(editor, key):
    ActionChains(editor.browser).key_down(Keys.CONTROL).send_keys(key).key_up(Keys.CONTROL).perform()


def test_a_prompt_is_completed_with_wildcards_and_with_words_of_earlier_prompts(weft, editor):
    (weft.home / "wildcards").mkdir(exist_ok=True)
    (weft.home / "wildcards" / "weather.txt").write_text("rain\nsnow\n")
    editor.type_prompt("a very unusual teapot, rain")
    editor.until(lambda: editor.forecast().startswith(("6 of", "5 of", "4 of", "3 of")), "the plan of the new words")
    editor.keys("control", "enter")
    editor.wait_for_the_end()
    editor.open()  # what was asked for before the run is half a minute old at most: a new page asks anew

    field = prompt_field(editor)
    field.send_keys("in __wea")
    editor.until(lambda: offers(editor) == ["weather"], "the wildcard to be offered")
    assert field.get_attribute("aria-activedescendant"), "a sign of its own chooses the first at once"
    field.send_keys(Keys.ENTER)
    assert field.get_attribute("value") == "in __weather__"
    assert offers(editor) == []

    field.send_keys(", a very un")
    editor.until(lambda: "a very unusual teapot" in offers(editor), "the words of the prompt before")
    field.send_keys(Keys.ESCAPE)
    assert offers(editor) == [] and field.get_attribute("value") == "in __weather__, a very un"
    assert editor.focused() == "prompt text", "Escape closes the list alone"
    field.send_keys("u")
    editor.until(lambda: offers(editor), "the list again")
    field.send_keys(Keys.TAB)
    assert field.get_attribute("value") == "in __weather__, a very unusual teapot"
    until_held(editor, "prompt", "text", "in __weather__, a very unusual teapot")


def test_the_list_of_completions_goes_when_the_work_goes_on_elsewhere(editor):
    field = prompt_field(editor)

    def open_list():
        field.send_keys(Keys.CONTROL, "a")
        field.send_keys("BR")
        editor.until(lambda: "BREAK" in offers(editor), "BREAK to be offered")

    open_list()
    field.send_keys(Keys.ARROW_DOWN)
    control(editor, Keys.ENTER)
    editor.wait_for_the_end()
    assert offers(editor) == []
    assert field.get_attribute("value") == "BR", "the run takes no completion along"

    field.click()
    open_list()
    pane = editor.one(".react-flow__pane").rect
    ActionChains(editor.browser).scroll_by_amount(0, 120).perform()
    editor.until(lambda: not offers(editor), "the list to go with the view")

    prompt_field(editor)
    open_list()
    outside = ActionBuilder(editor.browser)
    outside.pointer_action.move_to_location(int(pane["x"] + 8), int(pane["y"] + pane["height"] - 8)).click()
    outside.perform()
    editor.until(lambda: not offers(editor), "the list to go at a press elsewhere")


def test_enter_begins_a_line_where_plain_words_are_offered(editor):
    field = prompt_field(editor)
    field.send_keys("BR")
    editor.until(lambda: "BREAK" in offers(editor), "BREAK to be offered")
    field.send_keys(Keys.ENTER)
    assert field.get_attribute("value") == "BR\n"
    field.send_keys(Keys.BACKSPACE)
    editor.until(lambda: offers(editor), "the list again")
    field.send_keys(Keys.ARROW_DOWN, Keys.ENTER)
    assert field.get_attribute("value") == "BREAK"


def test_a_row_of_weighings_is_one_step_to_undo_and_back_at_one_the_brackets_go(editor):
    field = prompt_field(editor)
    field.send_keys("a red cube")
    for _ in range(3):
        control(editor, Keys.ARROW_UP)
    assert field.get_attribute("value") == "a red (cube:1.3)"
    for _ in range(3):
        control(editor, Keys.ARROW_DOWN)
    assert field.get_attribute("value") == "a red cube"
    control(editor, Keys.ARROW_UP)
    control(editor, Keys.ARROW_UP)
    assert field.get_attribute("value") == "a red (cube:1.2)"
    editor.one(".top [aria-label^=Undo]").click()
    editor.until(lambda: editor.prompt() == "a red cube", "all of them taken back")


def test_tokens_are_counted_for_each_window(editor):
    field = prompt_field(editor)
    field.send_keys("red BREAK red red")
    editor.until(lambda: [e.text for e in editor.all("[data-node=prompt] .tokens")], "a count")
    editor.until(lambda: len(editor.one("[data-node=prompt] .tokens").text.split(" · ")) == 2, "two windows")
    first, second = editor.one("[data-node=prompt] .tokens").text.removesuffix(" / 75").split(" · ")
    assert int(second) == 2 * int(first)


def test_the_marks_stand_behind_their_words_line_by_line(editor):
    field = prompt_field(editor)
    field.send_keys("a (red:1.2) cube and more words than one line of the card holds, {left|right} (open")
    marks = editor.script("return [...document.querySelectorAll('[data-node=prompt] mark')].map((m) => m.className)")
    assert marks == ["is-weight", "is-number", "is-weight", "is-choice", "is-choice", "is-choice", "is-bad"]
    field_height, copy_height, widths = editor.script(
        "const f = document.querySelector('[data-node=prompt] textarea');"
        "const c = document.querySelector('[data-node=prompt] .copy');"
        "return [f.scrollHeight, c.offsetHeight, [f.clientWidth, c.offsetWidth]]"
    )
    assert widths[0] == widths[1]
    assert 0 <= copy_height - field_height <= 1 or field_height >= copy_height
    style = "return ['fontSize','fontFamily','lineHeight','paddingLeft','paddingTop','letterSpacing','wordSpacing']"
    style += ".map((name) => getComputedStyle(document.querySelector(arguments[0]))[name])"
    assert editor.script(style, "[data-node=prompt] .copy") == editor.script(style, "[data-node=prompt] textarea")


def test_a_prompt_has_a_large_view_that_f2_opens_and_escape_leaves(editor):
    field = prompt_field(editor)
    field.send_keys("first")
    field.send_keys(Keys.F2)
    large = editor.one("dialog.large-prompt textarea")
    editor.until(lambda: editor.browser.switch_to.active_element == large, "the focus in the large view")
    large.send_keys(" and more, BR")
    editor.until(lambda: "BREAK" in offers(editor), "completion in the dialog, too")
    large.send_keys(Keys.ESCAPE)
    assert editor.all("dialog.large-prompt"), "the list was closed, not the dialog"
    large.send_keys(Keys.ESCAPE)
    editor.until(lambda: not editor.all("dialog.large-prompt"), "the dialog to close")
    until_held(editor, "prompt", "text", "first and more, BR")


def test_the_caret_stays_where_one_types(editor):
    field = prompt_field(editor)
    field.send_keys("a red cube", Keys.HOME, Keys.ARROW_RIGHT, Keys.ARROW_RIGHT)
    for letter in "dark ":
        ActionChains(editor.browser).send_keys(letter).perform()
    until_held(editor, "prompt", "text", "a dark red cube")
    assert editor.script("return arguments[0].selectionStart", field) == len("a dark ")
    editor.script("document.activeElement.blur()")
    editor.press("n")
    editor.until(lambda: "markdown" in editor.focused(), "the note to be written")
    note = editor.browser.switch_to.active_element
    note.send_keys("ends", Keys.HOME)
    for letter in "it ":
        ActionChains(editor.browser).send_keys(letter).perform()
    assert note.get_attribute("value") == "it ends"


def test_a_lora_that_is_named_in_a_prompt_comes_as_its_nodes(studio):
    field = prompt_field(studio)
    field.send_keys("a red cube <lora:")
    studio.until(lambda: "starter/big" in offers(studio), "the LoRA that ships")
    field.send_keys(Keys.ENTER)
    studio.until(lambda: "lora.apply" in [n["type"] for n in studio.document()["nodes"].values()], "its nodes")
    nodes = studio.document()["nodes"]
    assert [n["inputs"]["lora"] for n in nodes.values() if n["type"] == "lora.load"] == ["starter/big"]
    assert nodes["prompt"]["inputs"]["text"] == "a red cube"
    studio.until(lambda: " of " in studio.forecast() and "problem" not in studio.forecast(), "a plan without problem")


def test_a_number_takes_sums_steps_and_the_wheel_and_refuses_what_the_node_does_not_take(editor):
    field = value_field(editor, "canvas", "width")
    field.click()
    field.send_keys(Keys.CONTROL, "a")
    field.send_keys("64*1.5", Keys.ENTER)
    until_held(editor, "canvas", "width", 96)
    field = value_field(editor, "canvas", "width")
    field.click()
    field.send_keys(Keys.ARROW_UP)
    until_held(editor, "canvas", "width", 104)
    field.send_keys(Keys.SHIFT, Keys.ARROW_UP)
    until_held(editor, "canvas", "width", 105)
    control(editor, Keys.ARROW_DOWN)
    until_held(editor, "canvas", "width", 25)
    wheel = "arguments[0].dispatchEvent(new WheelEvent('wheel', {deltaY: -100, bubbles: true, cancelable: true}))"
    editor.script(wheel, field)
    until_held(editor, "canvas", "width", 33)

    field.send_keys(Keys.CONTROL, "a")
    field.send_keys("1000000", Keys.ENTER)
    assert editor.one(".field-hint").text == "16 to 16384"
    assert field.get_attribute("aria-invalid") == "true"
    field.send_keys(Keys.ESCAPE)
    editor.until(lambda: not editor.all(".field-hint"), "the hint to go")
    assert held(editor, "canvas", "width") == 33
    editor.script(wheel, value_field(editor, "canvas", "width"))
    assert value_field(editor, "canvas", "width").get_attribute("value") == "33", "without the focus the wheel zooms"

    name = editor.one("[data-node=canvas] [data-input=width] .name")
    ActionChains(editor.browser).double_click(name).perform()
    editor.until(lambda: held(editor, "canvas", "width") in (None, 512), "the default after a double-click")


def test_a_drag_over_a_number_is_coarser_with_ctrl_and_finer_with_shift(editor):
    def number(name):
        return float(value_field(editor, "sample", name).get_attribute("value"))

    def drag(name, key, by):
        chain = ActionChains(editor.browser).move_to_element(value_field(editor, "sample", name))
        chain = chain.key_down(key) if key else chain
        chain.click_and_hold().move_by_offset(by // 2, 0).move_by_offset(by - by // 2, 0).release()
        (chain.key_up(key) if key else chain).perform()

    editor.set_number("sample", "steps", "50")
    drag("steps", None, 60)
    editor.until(lambda: number("steps") == 60, "ten steps of a drag")
    drag("steps", Keys.CONTROL, -24)
    editor.until(lambda: number("steps") == 20, "four steps, each ten times as far")
    editor.set_number("sample", "cfg", "7")
    drag("cfg", None, 24)
    whole = editor.until(lambda: number("cfg") != 7 and round(number("cfg") - 7, 3), "four steps")
    editor.set_number("sample", "cfg", "7")
    drag("cfg", Keys.SHIFT, 24)
    editor.until(lambda: round(number("cfg") - 7, 3) == round(whole / 10, 3), "four steps, each a tenth as far")
    assert not editor.all(".react-flow__selection, .react-flow__nodesselection"), "no box is drawn meanwhile"


def test_a_seed_is_exact_to_the_last_of_its_64_bits(editor):
    field = value_field(editor, "sample", "seed")
    field.click()
    field.send_keys(Keys.CONTROL, "a")
    field.send_keys("18446744073709551615", Keys.ENTER)
    until_held(editor, "sample", "seed", "18446744073709551615")
    field.send_keys(Keys.ARROW_DOWN)
    until_held(editor, "sample", "seed", "18446744073709551614")
    field.send_keys(Keys.CONTROL, "a")
    field.send_keys("18446744073709551616", Keys.ENTER)
    assert "2⁶⁴" in editor.one(".field-hint").text
    assert held(editor, "sample", "seed") == "18446744073709551614"


def test_width_and_height_change_places_and_take_a_common_size_in_one_step(studio):
    studio.set_number("canvas", "width", "96")
    until_held(studio, "canvas", "width", 96)
    value_field(studio, "canvas", "width")
    studio.one("[data-node=canvas] .sizes").click()
    rows = studio.until(lambda: studio.all("[role=menu] [role=menuitem]"), "the menu")
    assert rows[0].text.startswith("Swap")
    assert any(row.text.startswith("128 × 128") for row in rows), "what the starter was trained with"
    rows[0].click()
    studio.until(lambda: (held(studio, "canvas", "width"), held(studio, "canvas", "height")) == (128, 96), "the swap")
    studio.one(".top [aria-label^=Undo]").click()
    studio.until(lambda: (held(studio, "canvas", "width"), held(studio, "canvas", "height")) == (96, 128), "one undo")


def test_a_choice_of_many_is_searched_by_the_keyboard(editor):
    ActionChains(editor.browser).move_to_element(editor.one("[data-node=sample] [data-input=sampler]")).perform()
    button = editor.one("[data-node=sample] [data-input=sampler] .many")
    button.send_keys(Keys.ARROW_DOWN)
    editor.until(lambda: editor.all(".choice-popup input"), "the list")
    editor.until(lambda: editor.focused().startswith("Search"), "the focus in its field")
    editor.write("dpmpp_2m")
    editor.until(lambda: "dpmpp_2m" in editor.one(".choice-popup [data-selected=true]").text, "the first that is found")
    editor.press("enter")
    until_held(editor, "sample", "sampler", "dpmpp_2m")
    assert not editor.all(".choice-popup")
    assert editor.focused() == "sample sampler"


def test_a_model_of_another_family_than_the_wired_one_is_greyed_with_the_reason(weft, editor):
    import torch
    from safetensors.torch import save_file

    folder = weft.home / "models" / "loras"
    folder.mkdir(parents=True, exist_ok=True)
    key = "lora_unet_down_blocks_1_attentions_0_transformer_blocks_0_attn2_to_k"
    lora = {f"{key}.lora_down.weight": torch.zeros(4, 2048), f"{key}.lora_up.weight": torch.zeros(640, 4)}
    save_file(lora, folder / "for_xl.safetensors")
    work = {
        "nodes": {
            "load": {"type": "load.model", "inputs": {}},
            "lora": {"type": "lora.load", "inputs": {"lora": "for_xl.safetensors"}},
            "apply": {"type": "lora.apply", "inputs": {"lora": {"from": "lora"}, "model": {"from": "load.model"}}},
        }
    }
    editor.open_document("Two families", work)
    ActionChains(editor.browser).move_to_element(editor.one("[data-node=lora] [data-input=lora]")).perform()
    editor.one("[data-node=lora] [data-input=lora] .many").click()
    row = editor.until(lambda: editor.all(".choice-popup .misfit"), "the model that does not fit")[0]
    assert "the wired model is sd1" in row.text and "sdxl" in row.text


def test_the_palette_shows_chapters_then_what_was_used_with_its_help_beside_it(editor):
    editor.keys("control", "k")
    editor.choose("Add a node", "Add a node")
    heads = [e.text.lower() for e in editor.all("[cmdk-group-heading]")]
    assert heads[:2] == ["load", "text"]
    editor.press("arrow_right")
    editor.until(lambda: "text." in editor.one("[cmdk-item][data-selected=true]").text, "the next chapter")
    editor.write("KSampler")
    editor.until(lambda: editor.one(".palette .about h2").text == "Denoise", "the help of what is highlighted")
    about = editor.one(".palette .about").text
    assert "elsewhere called KSampler" in about and "Text to image" in about
    editor.press("enter")
    editor.until(lambda: not editor.all("dialog.palette"), "the palette to close")
    editor.keys("control", "k")
    editor.choose("Add a node", "Add a node")
    assert editor.all("[cmdk-group-heading]")[0].text.lower() == "used lately"
    assert "Denoise" in editor.all("[cmdk-item]")[0].text
    editor.press("escape")


def test_f1_tells_what_the_selected_node_is_for(editor):
    editor.one("[data-node=decode] .head").click()
    editor.keys("f1")
    drawer = editor.one(".help-drawer")
    assert "VAE decode" in drawer.text and "vae.decode" in drawer.text
    editor.until(lambda: "USED IN TEMPLATES" in drawer.text.upper(), "the templates that use it")
    editor.keys("f1")
    editor.until(lambda: not editor.all(".help-drawer"), "the same key to close it")


def test_the_editor_speaks_german_in_its_fields_too(editor):
    editor.script("localStorage.setItem('weft.language', 'de')")
    editor.open(fresh=False)
    editor.one("[data-node=sample] .head").click()
    editor.until(lambda: "nächster Lauf" in editor.one(".inspector").text, "the inspector in German")
    assert editor.all(".inspector [aria-label*='im Formular']")
    editor.script("localStorage.removeItem('weft.language')")
