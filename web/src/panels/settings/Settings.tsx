import { useEffect, useState } from "react";
import { api } from "../../protocol/http";
import type { DeviceMemory } from "../../protocol/types";
import { bytes } from "../../run/state";
import { languageChosen, prefer, setLanguage, type Theme, usePreferences } from "../../state/preferences";
import { useRun } from "../../state/run";
import { complain, useUi } from "../../state/ui";
import { toggleMinimap } from "../../canvas/Canvas";
import { type Language, LANGUAGES, t, type Text } from "../../words";
import { Folders, Kept } from "./Storage";

const THEMES: [Theme, Text][] = [
  ["dark", "Dark"],
  ["light", "Light"],
  ["system", "As the system has it"],
];

/** How this browser shows things, and on which machine the work is done. */
export function Settings() {
  const held = usePreferences();
  const minimap = useUi((state) => state.minimap);
  const tick = (label: Text, on: boolean, change: (on: boolean) => void, name?: string) => (
    <label className="setting" data-setting={name}>
      <input type="checkbox" checked={on} onChange={(event) => change(event.target.checked)} />
      <span>{t(label)}</span>
    </label>
  );
  return (
    <>
      <h3>{t("Look")}</h3>
      <label className="setting">
        <span>{t("Theme")}</span>
        <select value={held.theme} onChange={(event) => prefer({ theme: event.target.value as Theme })}>
          {THEMES.map(([value, label]) => (
            <option key={value} value={value}>
              {t(label)}
            </option>
          ))}
        </select>
      </label>
      <label className="setting">
        <span>{t("Language")}</span>
        <select
          value={languageChosen() ?? ""}
          onChange={(event) => setLanguage((event.target.value || null) as Language | null)}
        >
          <option value="">{t("As the browser has it")}</option>
          {Object.entries(LANGUAGES).map(([value, label]) => (
            <option key={value} value={value} lang={value}>
              {label}
            </option>
          ))}
        </select>
      </label>
      {tick("Show the map", minimap, toggleMinimap)}
      {tick("Nodes stand on a grid", held.snap, (snap) => prefer({ snap }))}
      <h3>{t("Run")}</h3>
      {tick("Show pictures while they are made", held.previews, (previews) => prefer({ previews }))}
      <label className="setting">
        <span>{t("Live: seconds of rest before a run")}</span>
        <input
          type="number"
          min={0.1}
          max={10}
          step={0.05}
          value={held.rest}
          onChange={(event) => {
            const rest = Number(event.target.value);
            if (rest >= 0.1 && rest <= 10) prefer({ rest });
          }}
        />
      </label>
      {tick("Mark the page’s title when a run ends unseen", held.mark, (mark) => prefer({ mark }))}
      {tick("A short tone when a run ends unseen", held.tone, (tone) => prefer({ tone }))}
      {typeof Notification === "undefined" ? null : tick("A notice of the browser’s when a run ends unseen", held.notify, (notify) => void setNotify(notify), "notify")}
      <Kept />
      <Folders />
      <Machine />
    </>
  );
}

/** The browser is asked for leave only when somebody wants its notices; without it they stay off. */
async function setNotify(wanted: boolean): Promise<void> {
  if (wanted && (await Notification.requestPermission()) !== "granted") return complain(t("The browser does not allow this page to notify: allow it in the page’s own settings."));
  prefer({ notify: wanted });
}

/** What the server says of itself, to be read and to be sent along with a report. */
function Machine() {
  const server = useRun((state) => state.server);
  const [devices, setDevices] = useState<DeviceMemory[]>([]);
  useEffect(() => {
    void api.memory().then((found) => setDevices(found.devices), () => undefined);
  }, []);
  if (!server) return null;
  const { device, dtype, threads } = server.numerics;
  const lines = [
    `Weft ${server.version}`,
    t("computes on {device} in {dtype}, {threads} threads", { device, dtype, threads }),
    ...devices.map((one) => `${one.device}: ${t("{used} of {limit} in use", { used: bytes(one.used), limit: bytes(one.limit) })}`),
  ];
  return (
    <>
      <h3>{t("Machine")}</h3>
      <pre className="report" aria-label={t("For a report")} tabIndex={0}>
        {[...lines, navigator.userAgent].join("\n")}
      </pre>
      {server.user ? <p className="note">{t("You are {user}.", { user: server.user })}</p> : null}
    </>
  );
}
