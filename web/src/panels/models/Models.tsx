import "./models.css";
import { useEffect, useState } from "react";
import { api } from "../../protocol/http";
import type { DeviceMemory, ModelRow } from "../../protocol/types";
import { bytes } from "../../run/state";
import { failed } from "../../state/actions";
import { Empty } from "../../ui/basics";
import { t } from "../../words";

const HUES = new Map<string, number>();
const hueOf = (family: string): number => {
  const held = HUES.get(family) ?? (HUES.size * 67 + 210) % 360;
  HUES.set(family, held);
  return held;
};

/** What is on the shelf, by kind, with the family of each; and who holds the memory. */
export function Models() {
  const [kinds, setKinds] = useState<Record<string, ModelRow[]> | null>(null);
  const [memory, setMemory] = useState<DeviceMemory[]>([]);
  const [query, setQuery] = useState("");
  useEffect(() => {
    void api.models().then(setKinds, failed);
    void api.memory().then((found) => setMemory(found.devices), failed);
  }, []);
  const asked = query.toLowerCase().split(/\s+/).filter(Boolean);
  const fits = (kind: string, row: ModelRow) => {
    const words = [kind, row.name, row.family, row.what, row.fits, row.precision].join(" ").toLowerCase();
    return asked.every((word) => words.includes(word));
  };
  const rows = Object.entries(kinds ?? {})
    .map(([kind, models]): [string, ModelRow[]] => [kind, models.filter((row) => fits(kind, row))])
    .filter(([, models]) => models.length);
  return (
    <div className="models">
      <input type="search" className="filter" aria-label={t("Search models")} placeholder={t("a name, a family…")} value={query} onChange={(event) => setQuery(event.target.value)} />
      {rows.map(([kind, models]) => (
        <section key={kind}>
          <h3>{kind.replaceAll("_", " ")}</h3>
          <ul>
            {models.map((row) => (
              <li key={row.name}>
                <b title={row.name}>{row.name}</b>
                <span className="size">{bytes(row.bytes)}</span>
                <p>
                  {row.family ? (
                    <span className="family" style={{ "--hue": hueOf(row.family) } as React.CSSProperties}>
                      {row.family}
                    </span>
                  ) : null}
                  {row.precision ? <span>{row.precision}</span> : null}
                  {row.what ? <span>{row.what}</span> : null}
                  {row.fits ? <span>{t("for {family}", { family: row.fits })}</span> : null}
                </p>
                {row.problem ? <p className="wrong">{row.problem}</p> : null}
              </li>
            ))}
          </ul>
        </section>
      ))}
      {kinds && !rows.length ? (
        <Empty>{asked.length ? t("No model is called that.") : t("No models are here yet. Put them into the models folder of Weft’s home, by kind; `weft models get` fetches one.")}</Empty>
      ) : null}
      {memory.map((device) => (
        <Device key={device.device} device={device} />
      ))}
    </div>
  );
}

function Device({ device }: { device: DeviceMemory }) {
  const words = t("{used} of {limit} in use", { used: bytes(device.used), limit: bytes(device.limit) });
  const weights = device.residents.filter((row) => row.kind === "weights");
  const values = device.residents.filter((row) => row.kind !== "weights");
  return (
    <section className="memory">
      <h3>{t("Memory of {device}", { device: device.device })}</h3>
      <p>{words}</p>
      <div className="meter" role="img" aria-label={words}>
        <span style={{ width: `${Math.min(100, (device.used / Math.max(1, device.limit)) * 100)}%` }} />
      </div>
      <ul>
        {weights.map((row) => (
          <li key={row.name}>
            <b>{row.name.split(":")[0]}</b>
            <span className="size">
              {row.in_use ? `${t("in use")} · ` : ""}
              {bytes(row.bytes)}
            </span>
          </li>
        ))}
        {values.length ? (
          <li>
            <b>{t("{n} results kept", { n: values.length })}</b>
            <span className="size">{bytes(values.reduce((sum, row) => sum + row.bytes, 0))}</span>
          </li>
        ) : null}
      </ul>
    </section>
  );
}
