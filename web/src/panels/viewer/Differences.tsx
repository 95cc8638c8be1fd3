import { useEffect, useState } from "react";
import { locate } from "../../document/operations";
import { api } from "../../protocol/http";
import type { Change, Json } from "../../protocol/types";
import { canvas } from "../../state/canvas";
import { documentNow, graphNow } from "../../state/document";
import { type Seen, useUi } from "../../state/ui";
import { plural, t } from "../../words";

const worded = (value: Json): string => (value === null || value === undefined ? "–" : typeof value === "string" ? `“${value}”` : JSON.stringify(value));

/** The node of the open graph that a change is about. */
const nodeOf = (what: string): string => locate(documentNow(), what.split(/[. ]/)[0] ?? "")[1];
const here = (what: string): boolean => !!graphNow().nodes[nodeOf(what)];

/** Leave what covers the graph, and show these nodes of it. */
function show(nodes: string[]): void {
  useUi.getState().set({ viewing: null, sheet: null, gallery: false, selected: nodes });
  canvas().fit(nodes);
}

/** In what the graphs of two results differ, in words; a row leads to its node in the open graph, a button to all of them. */
export function Differences({ a, b }: { a: Seen; b: Seen }) {
  const [held, setHeld] = useState<{ of: string; changes: Change[] } | null>(null);
  const of = a.job && b.job ? `${a.job} ${a.item ?? ""} ${b.job} ${b.item ?? ""}` : "";
  useEffect(() => {
    if (!a.job || !b.job) return;
    let gone = false;
    api.diff({ job: a.job, item: a.item }, { job: b.job, item: b.item }).then(
      ({ changes }) => !gone && setHeld({ of, changes }),
      () => undefined,
    );
    return () => {
      gone = true;
    };
  }, [a, b, of]);
  if (!of || held?.of !== of) return null;
  if (!held.changes.length) return <p className="same">{t("Their graphs are equal.")}</p>;
  const changed = [...new Set(held.changes.map((change) => change.what).filter(here).map(nodeOf))];
  return (
    <div className="differing">
      <table className="differences" aria-label={t("In what the graphs differ")}>
        <tbody>
          {held.changes.map((change) => (
            <tr key={change.what}>
              <th scope="row">
                {here(change.what) ? (
                  <button type="button" onClick={() => show([nodeOf(change.what)])} title={t("Show it in the graph")}>
                    {change.what}
                  </button>
                ) : (
                  change.what
                )}
              </th>
              <td>{worded(change.before)}</td>
              <td>→</td>
              <td>{worded(change.after)}</td>
            </tr>
          ))}
        </tbody>
      </table>
      {changed.length > 1 ? (
        <button type="button" className="all" onClick={() => show(changed)}>
          {plural(changed.length, "Show the node in the graph", "Show the {n} nodes in the graph")}
        </button>
      ) : null}
    </div>
  );
}
