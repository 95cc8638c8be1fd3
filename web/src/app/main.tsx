import "@xyflow/react/dist/style.css";
import "./style.css";
import { createRoot } from "react-dom/client";
import { withSpots } from "../canvas/layout";
import { openWorkflow } from "../panels/workflows/open";
import { connect, planSoon, watchDocument } from "../state/actions";
import { specsNow } from "../state/catalogue";
import { useDocument } from "../state/document";
import { watchInputs } from "../state/inputs";
import { dress } from "../state/preferences";
import { join, share } from "../state/sharing";
import { complain, recall, useUi } from "../state/ui";
import { languageNow, speak, wantedLanguage } from "../words";
import { App } from "./App";
import { recover, watch } from "./autosave";
import { t } from "../words";

const STARTER = "template:text_to_image";
const FIRST_WAIT = 1000;

async function start(wait = FIRST_WAIT): Promise<void> {
  try {
    await connect();
  } catch (error) {
    complain(t("the server does not answer ({why}); trying again", { why: error instanceof Error ? error.message : String(error) }));
    setTimeout(() => void start(Math.min(10_000, wait * 2)), wait);
    return;
  }
  watchInputs();
  const form = new URLSearchParams(location.search).get("form");
  if (form !== null) {
    await openWorkflow(form || STARTER);
    useUi.getState().set({ page: true, panel: "form" });
    watchDocument();
    planSoon();
    return;
  }
  const kept = await recover();
  if (kept) {
    const tabs = kept.tabs.map((tab) => {
      const document = withSpots(tab.history.document, specsNow());
      return { ...tab, history: { ...tab.history, document }, saved: tab.saved === tab.history.document ? document : tab.saved };
    });
    useDocument.getState().restore(tabs, kept.active);
  }
  const newest = await join(kept?.shares);
  if (!kept && newest) {
    // Nothing is remembered here, but the server has what was open elsewhere.
    const held = useDocument.getState();
    held.restore(held.tabs.filter((tab) => tab.id !== held.active), newest);
  } else if (!kept) await openWorkflow(STARTER);
  watchDocument();
  share();
  watch();
  planSoon();
  // Fetched when nothing else is: the first Space opens at once.
  setTimeout(() => void Promise.all([import("../panels/Palette"), import("../panels/CommandPalette"), import("../panels/Connect")]), 400);
}

/** The page, in the language that was chosen, else in the browser's. */
async function show(): Promise<void> {
  dress();
  await speak(wantedLanguage(recall("weft.language"), navigator.languages));
  document.documentElement.lang = languageNow();
  const root = document.getElementById("root");
  if (root) createRoot(root).render(<App />);
  await start();
}

void show();
