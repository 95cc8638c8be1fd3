import { useCallback, useEffect, useState } from "react";
import { api } from "../../protocol/http";
import type { Folder, FreeRequest, MemoryShape } from "../../protocol/types";
import { bytes } from "../../run/state";
import { useRun } from "../../state/run";
import { complain, say } from "../../state/ui";
import { plural, t, type Text } from "../../words";

const PLACES: Record<string, Text> = {
  output: "Pictures",
  input: "Images to work on",
  workflows: "Workflows",
  models: "Models",
  nodes: "Own nodes",
  cache: "Values between runs",
};

/** Give memory back; what a run is using stays. The server tells every window, and each plans anew. */
export async function free(what: FreeRequest): Promise<void> {
  try {
    say(t("{size} given back", { size: bytes((await api.free(what)).bytes) }));
  } catch (error) {
    complain(error instanceof Error ? error.message : String(error));
  }
}

/** What is kept between runs, by where it is kept, each with a way to give it back. */
export function Kept() {
  const [held, setHeld] = useState<MemoryShape | null>(null);
  const owner = useRun((state) => state.server && !state.server.user);
  const ended = useRun((state) => state.run.state); // a run loads models and makes values
  const look = useCallback(() => void api.memory().then(setHeld, () => setHeld(null)), []);
  useEffect(look, [look, ended]);
  if (!held || !owner) return null;
  const all = held.devices.flatMap((device) => device.residents);
  const models = all.filter((one) => one.kind !== "value" && one.kind !== "ahead");
  const values = all.filter((one) => one.kind === "value");
  const size = (rows: { bytes: number }[]) => bytes(rows.reduce((sum, one) => sum + one.bytes, 0));
  const row = (text: string, button: Text, what: FreeRequest, some: boolean) => (
    <div className="setting" data-kept={Object.keys(what)[0]}>
      <span>{text}</span>
      <button disabled={!some} onClick={() => void free(what).then(look)}>
        {t(button)}
      </button>
    </div>
  );
  return (
    <>
      <h3>{t("Kept between runs")}</h3>
      {row(`${plural(models.length, "1 model in memory", "{n} models in memory")}, ${size(models)}`, "Unload", { models: true }, models.length > 0)}
      {row(`${plural(values.length, "1 value in memory", "{n} values in memory")}, ${size(values)}`, "Forget", { values: true }, values.length > 0)}
      {held.disk
        ? row(
            t("on disk {size} of {limit}", { size: bytes(held.disk.bytes), limit: bytes(held.disk.limit) }),
            "Clear",
            { disk: true },
            held.disk.values > 0,
          )
        : null}
    </>
  );
}

/** Where things lie on the server's disk. */
export function Folders() {
  const [folders, setFolders] = useState<Folder[]>([]);
  const owner = useRun((state) => state.server && !state.server.user);
  useEffect(() => {
    if (owner) void api.folders().then(setFolders, () => setFolders([]));
  }, [owner]);
  if (!folders.length) return null;
  return (
    <>
      <h3>{t("Folders")}</h3>
      <dl className="folders">
        {folders.map(({ what, path }) => (
          <div key={path}>
            <dt>{PLACES[what] ? t(PLACES[what]) : what}</dt>
            <dd>{path}</dd>
          </div>
        ))}
      </dl>
    </>
  );
}
