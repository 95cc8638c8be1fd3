import { ReactFlowProvider } from "@xyflow/react";
import { lazy, Suspense, useEffect } from "react";
import { addNode, setValue } from "../document/operations";
import { specOf } from "../document/specs";
import { api, ApiError } from "../protocol/http";
import type { Spot } from "../protocol/types";
import { Canvas } from "../canvas/Canvas";
import { withSpots } from "../canvas/layout";
import { Conflict } from "../panels/Conflict";
import { Form } from "../panels/form/Form";
import { Problems } from "../panels/problems/Problems";
import { Queue } from "../panels/queue/Queue";
import { Begin } from "../panels/workflows/Begin";
import { Workflows } from "../panels/workflows/Workflows";
import { Inspector } from "../panels/Inspector";
import { CullPanel, History, Models, Rooms, Settings, Steps, SweepPanel } from "../panels/Rooms";
import { RunBar } from "../panels/RunBar";
import { commandById, COMMANDS, keysOf, toggleTheme } from "../panels/commands";
import { copySelected, deleteSelected, pasteText } from "../panels/edit";
import { menuForSelection, openMenu } from "../panels/menus";
import { Selection } from "../panels/Selection";
import { failed } from "../state/actions";
import { specsNow, useCatalogue } from "../state/catalogue";
import { canvas } from "../state/canvas";
import { documentNow, documentOf, graphNow, isDirty, perform, scopeNow, tabNow, tabOf, useDocument } from "../state/document";
import { useRun } from "../state/run";
import { complain, say, type Panel, useUi } from "../state/ui";
import { IconButton } from "../ui/basics";
import { Icon, type IconName } from "../ui/icons";
import { Menu } from "../ui/Menu";
import { plural, t, type Text } from "../words";
import { useTitle } from "./title";

const Palette = lazy(() => import("../panels/Palette").then((room) => ({ default: room.Palette })));
const CommandPalette = lazy(() => import("../panels/CommandPalette").then((room) => ({ default: room.CommandPalette })));
const CheatSheet = lazy(() => import("../panels/CommandPalette").then((room) => ({ default: room.CheatSheet })));
const Connect = lazy(() => import("../panels/Connect").then((room) => ({ default: room.Connect })));
const Viewer = lazy(() => import("../panels/viewer/Viewer").then((room) => ({ default: room.Viewer })));

const PANELS: { id: Panel; icon: IconName; title: Text; body: () => React.ReactNode }[] = [
  { id: "workflows", icon: "folder", title: "Workflows", body: () => <Workflows /> },
  { id: "form", icon: "form", title: "Form", body: () => <Form /> },
  { id: "history", icon: "history", title: "History", body: () => <History /> },
  { id: "sweep", icon: "grid", title: "Sweep", body: () => <SweepPanel /> },
  { id: "cull", icon: "dice", title: "Look at many seeds", body: () => <CullPanel /> },
  { id: "queue", icon: "queue", title: "Queue", body: () => <Queue /> },
  { id: "models", icon: "models", title: "Models", body: () => <Models /> },
  { id: "steps", icon: "undo", title: "Edits", body: () => <Steps /> },
  { id: "settings", icon: "settings", title: "Settings", body: () => <Settings /> },
  { id: "problems", icon: "problems", title: "Problems", body: () => <Problems /> },
];

export function App() {
  useKeys();
  useClipboard();
  useTitle();
  const theme = useUi((state) => state.theme);
  const page = useUi((state) => state.page);
  const panel = useUi((state) => state.panel);
  const palette = useUi((state) => state.palette);
  const commands = useUi((state) => state.commands);
  const cheatSheet = useUi((state) => state.cheatSheet);
  const viewing = useUi((state) => state.viewing);
  const linking = useUi((state) => state.linking);
  const menu = useUi((state) => state.menu);
  const wiring = useUi((state) => state.wiring !== null);
  const title = useDocument((state) => documentOf(state).title);
  const empty = useDocument((state) => Object.keys(documentOf(state).nodes).length === 0);
  const loaded = useCatalogue((state) => state.loaded);
  const open = PANELS.find((item) => item.id === panel);
  useEffect(() => {
    document.documentElement.dataset.theme = theme;
  }, [theme]);
  return (
    <div className={`app ${wiring ? "wiring" : ""} ${page ? "page" : ""}`}>
      <TopBar />
      <Rail />
      {open ? (
        <aside className="panel" aria-label={t(open.title)}>
          <header>
            <h2>{t(open.title)}</h2>
            <IconButton icon="close" label={t("Close {name}", { name: t(open.title) })} onClick={() => useUi.getState().set({ panel: null })} />
          </header>
          <div className="body">
            <Suspense>{open.body()}</Suspense>
          </div>
        </aside>
      ) : null}
      <main>
        <ReactFlowProvider>
          <Canvas
            onDropFiles={(files, at, over) => void takeFiles(files, at, over)}
            onDropThing={(thing, at, over) => void import("../panels/carried").then((room) => room.takeThing(thing, at, over))}
            onMenu={openMenu}
            label={t("Graph: {title}", { title: title || t("Untitled") })}
          >
            <Selection />
          </Canvas>
        </ReactFlowProvider>
        {empty && loaded ? <Begin /> : null}
        <Conflict />
        {menu ? <Menu label={menu.label} at={menu.at} rows={menu.rows} onClose={closeMenu} /> : null}
      </main>
      <Inspector />
      <RunBar />
      <Suspense>
        {palette ? <Palette request={palette} /> : null}
        {commands ? <CommandPalette /> : null}
        {cheatSheet ? <CheatSheet /> : null}
        {linking ? <Connect linking={linking} /> : null}
        {viewing ? <Viewer viewing={viewing} /> : null}
      </Suspense>
      <Rooms />
      <Toasts />
      <p id="canvas-keys" hidden>
        {t("Arrow keys go from node to node, Enter goes to its sockets and values, Enter on a socket begins a wire, Escape goes back, Space adds a node.")}
      </p>
    </div>
  );
}

/** A new node stands about the middle: on a small screen half of it would lie beyond the edge. */
const addInTheMiddle = () => {
  const { x, y } = canvas().middle();
  useUi.getState().set({ palette: { at: { x: x - 116, y } } });
};

const closeMenu = () => useUi.getState().set({ menu: null });

function Rail() {
  const panel = useUi((state) => state.panel);
  const theme = useUi((state) => state.theme);
  const problems = useRun((state) => state.plan?.problems.length ?? 0);
  const waiting = useRun((state) => state.queue.filter((job) => job.state === "queued").length);
  return (
    <nav className="rail" aria-label={t("Panels")}>
      <IconButton icon="add" label={t("Add a node (Space)")} onClick={addInTheMiddle} />
      {PANELS.map((item) => (
        <IconButton
          key={item.id}
          icon={item.icon}
          label={t(item.title)}
          pressed={panel === item.id}
          badge={item.id === "problems" ? problems : item.id === "queue" ? waiting : undefined}
          onClick={() => useUi.getState().togglePanel(item.id)}
        />
      ))}
      <span className="space" />
      <IconButton className="desk" icon="layout" label={t("Lay the graph out (Shift+L)")} onClick={() => commandById("layout").run()} />
      <IconButton icon="fit" label={t("Show the whole graph (.)")} onClick={() => canvas().fit()} />
      <IconButton icon={theme === "dark" ? "sun" : "moon"} label={theme === "dark" ? t("Light") : t("Dark")} onClick={toggleTheme} />
      <IconButton icon="help" label={t("Keys (?)")} onClick={() => useUi.getState().set({ cheatSheet: true })} />
    </nav>
  );
}

function TopBar() {
  const tabs = useDocument((state) => state.tabs);
  const active = useDocument((state) => state.active);
  const tab = useDocument(tabOf);
  const documentTitle = tab.history.document.title;
  return (
    <header className="top">
      <h1 className="unseen">{t("Weft: {title}", { title: documentTitle || t("Untitled") })}</h1>
      <nav className="tabs" aria-label={t("Open workflows")}>
        {tabs.map((item) => {
          const name = item.history.document.title || item.name || t("Untitled");
          return (
            <span key={item.id} className={`tab ${item.id === active ? "active" : ""}`}>
              <button type="button" className="name" aria-current={item.id === active ? "page" : undefined} onClick={() => useDocument.getState().activate(item.id)}>
                {name}
                {isDirty(item) ? <span className="dirty" role="img" aria-label={t("unsaved changes")} /> : null}
              </button>
              {tabs.length > 1 || item.history.document.nodes ? (
                <button type="button" className="shut" aria-label={t("Close {name}", { name })} onClick={() => closeTab(item.id)}>
                  <Icon name="close" size={12} />
                </button>
              ) : null}
            </span>
          );
        })}
        <IconButton icon="add" label={t("New workflow")} onClick={() => commandById("new").run()} />
      </nav>
      {tab.trail.length ? (
        <nav className="crumbs" aria-label={t("Sub-graph")}>
          <button type="button" onClick={() => useDocument.getState().leave(0)}>
            {tab.history.document.title || t("Untitled")}
          </button>
          {tab.trail.map((level, depth) => (
            <button type="button" key={depth} onClick={() => useDocument.getState().leave(depth + 1)} aria-current={depth === tab.trail.length - 1}>
              › {level.scope}
            </button>
          ))}
        </nav>
      ) : null}
      <span className="space" />
      <IconButton icon="undo" label={t("Undo (Ctrl+Z)")} disabled={!tab.history.past.length} onClick={() => useDocument.getState().undo()} />
      <IconButton icon="redo" label={t("Redo (Ctrl+Shift+Z)")} disabled={!tab.history.future.length} onClick={() => useDocument.getState().redo()} />
      <IconButton icon="save" label={t("Save (Ctrl+S)")} onClick={() => commandById("save").run()} />
      <IconButton icon="search" label={t("All commands (Ctrl+K)")} onClick={() => useUi.getState().set({ commands: true })} />
    </header>
  );
}

function closeTab(id: string): void {
  const held = useDocument.getState();
  const tab = held.tabs.find((item) => item.id === id);
  held.close(id);
  if (!tab || !isDirty(tab)) return;
  say(t("Closed with unsaved changes."), {
    label: t("open again"),
    run: () => {
      const now = useDocument.getState();
      now.restore([...now.tabs, tab], tab.id);
    },
  });
}

function Toasts() {
  const toasts = useUi((state) => state.toasts);
  return (
    <div className="toasts" role="log" aria-live="polite" aria-label={t("Messages")}>
      {toasts.map((toast) => (
        <div key={toast.id} className={`toast ${toast.kind}`}>
          <span>{toast.text}</span>
          {toast.action ? (
            <button
              type="button"
              onClick={() => {
                toast.action?.run();
                useUi.getState().dismiss(toast.id);
              }}
            >
              {toast.action.label}
            </button>
          ) : null}
          <IconButton icon="close" label={t("Dismiss")} onClick={() => useUi.getState().dismiss(toast.id)} />
        </div>
      ))}
    </div>
  );
}

/** A picture dropped on a node that takes a file becomes its input, also one that carries a workflow. */
async function fillNode(node: string, file: File): Promise<boolean> {
  const json = graphNow().nodes[node];
  const input = json && specOf(json, documentNow(), specsNow())?.inputs.find((item) => item.widget?.kind === "file");
  if (!input) return false;
  try {
    const kept = await api.upload(file, file.name);
    perform(setValue(scopeNow(), node, input.name, kept.name));
  } catch (error) {
    failed(error);
  }
  return true;
}

/** A dropped or pasted file: a workflow (or a picture that carries one) opens, any other picture becomes an input. */
export async function takeFiles(files: File[], at: Spot, over?: string): Promise<void> {
  const [only] = files;
  if (over && only?.type.startsWith("image/") && files.length === 1 && (await fillNode(over, only))) return;
  for (const [index, file] of files.entries()) {
    try {
      const { workflow, told } = await api.open(file, file.name);
      useDocument.getState().open(withSpots(workflow, specsNow()), "");
      useUi.getState().set({ selected: [] });
      if (told) say(told.length ? plural(told.length, "Made from another program's graph: 1 thing to look at stands in a note.", "Made from another program's graph: {n} things to look at stand in a note.") : t("Made from another program's graph."));
      continue;
    } catch (error) {
      if (!(error instanceof ApiError) || !file.type.startsWith("image/")) {
        failed(error);
        continue;
      }
    }
    try {
      const kept = await api.upload(file, file.name);
      const spec = specsNow().byId.get("image.load");
      if (!spec) continue;
      const chosen = useUi.getState().selected.find((name) => graphNow().nodes[name]?.type === "image.load");
      if (chosen && files.length === 1) perform(setValue(scopeNow(), chosen, "name", kept.name));
      else {
        const added = addNode(documentNow(), scopeNow(), spec, { x: at.x + 24 * index, y: at.y + 24 * index });
        perform({ ...added, puts: [...added.puts, ...setValue(scopeNow(), added.name, "name", kept.name).puts] });
      }
    } catch (error) {
      failed(error);
    }
  }
}

const typing = (target: EventTarget | null): boolean =>
  target instanceof HTMLElement && (target.isContentEditable || /^(INPUT|TEXTAREA|SELECT)$/.test(target.tagName));

function useKeys(): void {
  useEffect(() => {
    const onKeyDown = (event: KeyboardEvent) => {
      const ui = useUi.getState();
      // A palette that is still on its way is a dialog already: what is typed now is meant for it.
      const dialog = document.querySelector("dialog[open]") !== null || !!ui.palette || !!ui.linking || ui.commands || ui.finding || !!ui.asking || !!ui.menu;
      const keys = keysOf(event);
      if ((event.key === "ContextMenu" || (event.key === "F10" && event.shiftKey)) && !dialog && !typing(event.target)) {
        event.preventDefault();
        menuForSelection();
        return;
      }
      if (keys === "Escape" && !dialog && !typing(event.target)) {
        if (ui.cutting) ui.set({ cutting: false });
        else if (ui.selected.length) ui.set({ selected: [] });
        else if (ui.panel) ui.set({ panel: null });
        else if (tabNow().trail.length) useDocument.getState().leave(tabNow().trail.length - 1);
        return;
      }
      const row = COMMANDS.find((item) => item.keys?.includes(keys));
      if (!row || (dialog && row.id !== "run")) return;
      if (typing(event.target) && !row.anywhere) return;
      const target = event.target as HTMLElement | null;
      // Where a control has the focus, Tab goes on to the next, and Space presses it.
      if ((keys === "Tab" || keys === "Space") && target && target !== document.body && !target.closest(".react-flow__pane") && !(keys === "Space" && target.matches(".canvas"))) return;
      event.preventDefault();
      row.run(keys);
    };
    window.addEventListener("keydown", onKeyDown);
    return () => window.removeEventListener("keydown", onKeyDown);
  }, []);
}

/** The browser's own copy and paste events: they work on plain http, too, where the clipboard's API is not there. */
function useClipboard(): void {
  useEffect(() => {
    let withWires = false;
    const onKey = (event: KeyboardEvent) => {
      withWires = event.shiftKey;
    };
    const take = (event: ClipboardEvent, cut: boolean) => {
      if (typing(event.target) || window.getSelection()?.toString()) return;
      const text = copySelected();
      if (!text) return;
      event.clipboardData?.setData("text/plain", text);
      event.preventDefault();
      if (cut) deleteSelected();
    };
    const onCopy = (event: ClipboardEvent) => take(event, false);
    const onCut = (event: ClipboardEvent) => take(event, true);
    const onPaste = (event: ClipboardEvent) => {
      if (typing(event.target) || document.querySelector("dialog[open]")) return;
      const files = [...(event.clipboardData?.files ?? [])];
      if (files.length) void takeFiles(files, canvas().pointer());
      else if (!pasteText(event.clipboardData?.getData("text/plain") ?? null, withWires)) complain(t("There is nothing to paste."));
      event.preventDefault();
    };
    window.addEventListener("keydown", onKey, true);
    document.addEventListener("copy", onCopy);
    document.addEventListener("cut", onCut);
    document.addEventListener("paste", onPaste);
    return () => {
      window.removeEventListener("keydown", onKey, true);
      document.removeEventListener("copy", onCopy);
      document.removeEventListener("cut", onCut);
      document.removeEventListener("paste", onPaste);
    };
  }, []);
}
