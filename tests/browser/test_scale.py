"""Large graphs stay light: counts, not milliseconds, but for the plan's."""

import pytest

pytestmark = [pytest.mark.browser, pytest.mark.timeout(240)]
MANY = 2000


def many(count, across=50):
    """A field of text nodes, each wired to the one before it in its row."""
    nodes = {}
    for i in range(count):
        value = {"from": f"text_{i - 1}.text"} if i % across else f"number {i}"
        nodes[f"text_{i}"] = {"type": "values.text", "version": 1, "inputs": {"value": value}}
    places = {f"text_{i}": {"x": i % across * 300, "y": i // across * 200} for i in range(count)}
    return {"nodes": nodes, "view": {"nodes": places}}


def counts(editor):
    return editor.script(
        "return [document.querySelectorAll('.react-flow__node').length, document.querySelectorAll('*').length]"
    )


@pytest.fixture
def large(editor):
    editor.open_document("Two thousand", many(MANY))
    editor.until(lambda: editor.all("[data-node^=text_]"), "the first nodes")
    return editor


def test_two_thousand_nodes_mount_few_of_them_at_any_zoom(large):
    assert 0 < counts(large)[0] < 60 and counts(large)[1] < 5000
    large.one("[aria-label='Show the whole graph (.)']").click()
    large.until(lambda: large.all(".far-layer"), "the view from far away")
    assert counts(large)[0] == 0 and counts(large)[1] < 1500
    drawn = large.script(
        """
        const layer = document.querySelector('.far-layer');
        const pixels = layer.getContext('2d').getImageData(0, 0, layer.width, layer.height).data;
        let seen = 0;
        for (let i = 3; i < pixels.length; i += 4) if (pixels[i] > 200) seen++;
        return seen / (pixels.length / 4);
        """
    )
    assert drawn > 0.1  # the boxes are there
    for _ in range(4):  # a zoom in between: still a picture, or few plain boxes
        large.script(
            "document.querySelector('.react-flow__pane').dispatchEvent(new WheelEvent('wheel',"
            " {deltaY: -120, bubbles: true, cancelable: true, clientX: 700, clientY: 450}))"
        )
        large.until(lambda: counts(large)[1] < 5000, "a light page")


def test_a_node_among_two_thousand_is_dragged_and_really_moves(large):
    from selenium.webdriver.common.action_chains import ActionChains

    head = large.one("[data-node=text_1] .head")
    before = head.rect
    ActionChains(large.browser, duration=40).click_and_hold(head).move_by_offset(4, 4).move_by_offset(
        60, 90
    ).release().perform()
    after = large.one("[data-node=text_1] .head").rect
    assert 30 < after["x"] - before["x"] < 100 and 60 < after["y"] - before["y"] < 130
    large.until(lambda: large.document()["view"]["nodes"]["text_1"]["y"] > 40, "the place in the document")


def test_every_socket_is_where_the_geometry_says(editor):
    """React Flow measures nothing: the wires' ends come from one function, and the browser must agree with it."""
    off = editor.script(
        """
        const moved = document.querySelector('.react-flow__viewport').style.transform;
        const zoom = Number(/scale\\(([\\d.]+)\\)/.exec(moved)[1]);
        return [...document.querySelectorAll('.react-flow__edge')].map((edge) => {
          const path = edge.querySelector('.react-flow__edge-path');
          const at = path.getPointAtLength(path.getTotalLength());
          const m = path.getScreenCTM();
          const [node, slot] = edge.dataset.id.split('|');
          const css = `[data-node="${node}"] .react-flow__handle-left[data-handleid="${slot}"]`;
          const box = document.querySelector(css).getBoundingClientRect();
          return Math.max(
            Math.abs(at.x * m.a + m.e - box.left) - box.width, Math.abs(at.y * m.d + m.f - (box.top + box.height / 2))
          ) / zoom;
        });
        """
    )
    assert len(off) == 10 and max(off) < 1.5


def test_the_plan_of_two_hundred_nodes_follows_an_edit_at_once_and_leaves_the_typing_alone(editor):
    editor.open_document("Two hundred", many(200, across=20))
    editor.until(lambda: editor.all("[data-node=text_0]"), "the graph")
    editor.until(lambda: editor.forecast() not in ("", "planning…"), "the plan")
    editor.script(
        """
        window.plans = [];
        const plain = window.fetch;
        window.fetch = async (...args) => {
          const begun = performance.now();
          const answer = await plain(...args);
          if (String(args[0]).includes('/api/plan')) window.plans.push(performance.now() - begun);
          return answer;
        };
        """
    )
    from selenium.webdriver.common.action_chains import ActionChains

    ActionChains(editor.browser).move_to_element(editor.one("[data-node=text_0] [data-input=value]")).perform()
    field = editor.one("[data-node=text_0] [data-input=value] :is(input, textarea)")
    field.click()
    for letter in "quick words":
        editor.write(letter)
    editor.until(lambda: editor.script("return window.plans.length"), "a plan")
    assert field.get_attribute("value").endswith("quick words")
    assert editor.script("return document.activeElement.value").endswith("quick words")
    # 50 ms of quiet and the server's answer; the bound leaves room for a busy machine.
    assert min(editor.script("return window.plans")) < 250
