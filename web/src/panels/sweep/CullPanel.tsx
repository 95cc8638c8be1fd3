import "./sweep.css";
import { useState } from "react";
import { specOf } from "../../document/specs";
import { literal } from "../../document/wires";
import type { ItemsRequest, JsonObject } from "../../protocol/types";
import { duration } from "../../run/state";
import { run } from "../../state/actions";
import { useCatalogue } from "../../state/catalogue";
import { documentOf, useDocument } from "../../state/document";
import { openSheet } from "../../state/sheets";
import { useUi } from "../../state/ui";
import { Empty } from "../../ui/basics";
import { Icon } from "../../ui/icons";
import { sweepable } from "../../document/inputs";
import { Sharing } from "./Sharing";
import { useForecast } from "./SweepPanel";
import { t } from "../../words";

/** Many seeds a few steps far, to choose from; only the chosen ones are carried to the end. */
export function CullPanel() {
  const document = useDocument(documentOf);
  const specs = useCatalogue((state) => state.specs);
  const selected = useUi((state) => state.selected);
  const able = Object.entries(document.nodes).filter(([, json]) => specOf(json, document, specs)?.inputs.some((input) => input.name === "stop_step"));
  const [asked, setAsked] = useState("");
  const [count, setCount] = useState(16);
  const [stop, setStop] = useState(6);
  const [policy, setPolicy] = useState<"increment" | "random">("increment");
  const node = able.find(([name]) => name === asked)?.[0] ?? able.find(([name]) => selected.includes(name))?.[0] ?? able[0]?.[0] ?? "";
  const json = document.nodes[node];
  const spec = json && specOf(json, document, specs);
  const seeds = sweepable(document, specs).filter((item) => item.input.widget?.kind === "seed");
  const seed = seeds.find((item) => item.to.startsWith(`${node}.`)) ?? seeds[0];
  const given = literal(json?.inputs.steps);
  const steps = typeof given === "number" ? given : Number(spec?.inputs.find((input) => input.name === "steps")?.default ?? 20);
  const far = Math.max(1, Math.min(stop, steps - 1));
  const clean: JsonObject = spec?.inputs.some((input) => input.name === "leftover_noise") ? { [`${node}.leftover_noise`]: false } : {};
  const request: ItemsRequest | null =
    node && seed && count > 0 ? { batch: { count, seed: seed.to, policy }, stop: { [node]: far }, set: clean } : null;
  const { forecast, problem } = useForecast(request ? JSON.stringify(request) : "", "items");
  if (!able.length) return <Empty>{t("No node of this graph can stop early. Add a “denoise” node, then look at many seeds here before finishing few.")}</Empty>;
  if (!seed) return <Empty>{t("No seed of this graph is typed in: take the wire out of the denoise node’s seed.")}</Empty>;
  const start = async () => {
    if (!request) return;
    const job = await run(request);
    if (job) await openSheet(job.id);
  };
  const number = (text: string, low: number, high: number) => Math.max(low, Math.min(high, Math.round(Number(text)) || low));
  return (
    <div className="sweep cull">
      <Empty>{t("Run many seeds a few steps far, choose the good ones on a sheet, and finish only those.")}</Empty>
      {able.length > 1 ? (
        <label className="field">
          <span>{t("node")}</span>
          <select value={node} onChange={(event) => setAsked(event.target.value)}>
            {able.map(([name]) => (
              <option key={name}>{name}</option>
            ))}
          </select>
        </label>
      ) : null}
      <div className="two">
        <label>
          {t("seeds")}
          <input type="number" min={1} max={1000} value={count} onChange={(event) => setCount(number(event.target.value, 1, 1000))} />
        </label>
        <label>
          {t("stop after step (of {steps})", { steps })}
          <input type="number" min={1} max={steps - 1} value={far} onChange={(event) => setStop(number(event.target.value, 1, steps - 1))} />
        </label>
      </div>
      <div className="modes" role="group" aria-label={t("Which seeds")}>
        <button type="button" aria-pressed={policy === "increment"} onClick={() => setPolicy("increment")}>
          {t("count up")}
        </button>
        <button type="button" aria-pressed={policy === "random"} onClick={() => setPolicy("random")}>
          {t("random")}
        </button>
      </div>
      <footer>
        <p className={problem ? "wrong" : "cost"} role="status" data-cost>
          {problem || (forecast ? `${t("{count} items, {todo} steps now", { count, todo: forecast.todo })}${forecast.seconds ? `, ≈ ${duration(forecast.seconds)}` : ""}; ${t("{more} more for each you finish", { more: steps - far })}` : t("counting…"))}
        </p>
        <Sharing forecast={forecast} />
        <button type="button" className="run-button" disabled={!request || !!problem} onClick={() => void start()} data-action="cull">
          <Icon name="run" /> {t("Look at {count} seeds", { count })}
        </button>
      </footer>
    </div>
  );
}
