"""Large graphs stay light, and a plan disturbs nobody: counts, not milliseconds."""

import pytest

from tests.browser.conftest import TEMPLATE

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


PICTURES = 33  # of one model, each with prompts, canvas, sampler, decoder and save of its own: 199 nodes

# React tells tools of every commit. A card was drawn when its fiber is another one than before, and did work (flag 1).
DRAWN = """
(() => {
  const seen = new Map();
  window.drawn = [];
  const walk = (fiber, told) => {
    for (; fiber; fiber = fiber.sibling) {
      const path = fiber.memoizedProps?.data?.path;
      if (typeof path === 'string' && typeof fiber.type === 'function') {
        const key = path + ' ' + fiber.type.name;
        if (told && seen.get(key) !== fiber && fiber.flags & 1) told.add(path);
        seen.set(key, fiber);
      }
      walk(fiber.child, told);
    }
  };
  window.__REACT_DEVTOOLS_GLOBAL_HOOK__ = {
    renderers: new Map(), supportsFiber: true, inject: () => 1, onCommitFiberUnmount() {}, onPostCommitFiberRoot() {},
    onCommitFiberRoot: (_, root) => {
      const told = new Set();
      walk(root.current, told);
      if (told.size) window.drawn.push([...told].sort());
    },
  };
})();
"""


def pictures(count=PICTURES):
    """Real nodes: facts are compared, rules asked, every denoising step has a name."""
    nodes, places = {}, {}
    for index in range(count):
        for number, (name, node) in enumerate(TEMPLATE["nodes"].items()):
            if name == "load":
                nodes["load"] = node
                continue
            inputs = {
                key: {"from": source["from"].replace(".", f"_{index}.")}
                if isinstance(source, dict) and "from" in source and not source["from"].startswith("load.")
                else source
                for key, source in node["inputs"].items()
            }
            nodes[f"{name}_{index}"] = {**node, "inputs": inputs}
            places[f"{name}_{index}"] = {"x": number * 340, "y": index * 620}
    return {"nodes": nodes, "view": {"nodes": {**places, "load": {"x": -400, "y": 0}}}}


@pytest.fixture
def real(editor):
    """The editor with two hundred real nodes, and what is drawn in it counted from the start."""
    told = editor.browser.execute_cdp_cmd("Page.addScriptToEvaluateOnNewDocument", {"source": DRAWN})
    editor.open_document("Two hundred", pictures())
    editor.until(lambda: editor.forecast() not in ("", "planning…"), "the plan")
    editor.open(fresh=False)
    editor.until(lambda: editor.all("[data-node=prompt_0]"), "the graph")
    yield editor
    editor.browser.execute_cdp_cmd("Page.removeScriptToEvaluateOnNewDocument", told)


def replanned(editor, change):
    """Make a change, wait for its plan, and give the cards drawn until the plan came, and because of it."""
    editor.script("performance.clearMarks(); window.drawn = []")
    change()
    editor.until(lambda: editor.script("return performance.getEntriesByName('plan shown').length"), "the plan")
    editor.script("return new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)))")
    return [path for commit in editor.script("return window.drawn") for path in commit]


def test_a_plan_draws_no_card_anew_whose_state_it_does_not_change_and_leaves_the_typing_alone(real):
    from selenium.webdriver.common.action_chains import ActionChains

    size = len(real.document()["nodes"])
    assert size == 6 * PICTURES + 1
    shown = {card.get_attribute("data-node") for card in real.all("[data-node]")}
    assert len(shown) >= 8, "several pictures' nodes are in sight"
    ActionChains(real.browser).move_to_element(real.one("[data-node=prompt_0] [data-input=text]")).perform()
    field = real.one("[data-node=prompt_0] textarea")
    field.click()
    drawn = replanned(real, lambda: real.write("q"))
    assert {path for path in drawn if path.endswith("_0")} == set(drawn), "an edit of the first picture draws no other"
    # From the second letter on the plan says what it said before: then nothing but the field's own card is drawn.
    drawn = replanned(real, lambda: real.write("uick"))
    assert set(drawn) <= {"prompt_0"}
    assert real.script("return document.activeElement === arguments[0]", field), "the field is the very same element"
    at = real.script("return document.activeElement.selectionStart")
    assert field.get_attribute("value")[:at].endswith("quick"), "and the caret stands behind what was typed"
    real.until(lambda: real.will_run().count("sample_0") == 1, "the plan of the edit")


def test_the_plan_of_two_hundred_real_nodes_is_one_request_for_what_one_key_sets_in_motion(real):
    from selenium.webdriver.common.action_chains import ActionChains

    real.script(
        """
        window.plans = 0;
        const plain = window.fetch;
        window.fetch = (...args) => {
          if (String(args[0]).includes('/api/plan')) window.plans++;
          return plain(...args);
        };
        """
    )
    ActionChains(real.browser).move_to_element(real.one("[data-node=prompt_0] [data-input=text]")).perform()
    field = real.one("[data-node=prompt_0] textarea")
    field.click()
    replanned(real, lambda: real.write("x"))
    assert real.script("return window.plans") == 1
    spent = real.script(
        "return ['plan asked', 'plan there', 'plan shown'].map((n) => performance.getEntriesByName(n)[0].startTime)"
    )
    assert spent == sorted(spent)
    print(f"asked to there {spent[1] - spent[0]:.0f} ms, there to shown {spent[2] - spent[1]:.0f} ms")
