import type { Problem } from "../../protocol/types";
import { applyMend } from "../../state/actions";
import { canvas } from "../../state/canvas";
import { useDocument } from "../../state/document";
import { useRun } from "../../state/run";
import { complain, say, useUi } from "../../state/ui";
import { Empty } from "../../ui/basics";
import { copyText } from "../../ui/copy";
import { t } from "../../words";
import { reportOf } from "./report";

const topOf = (problem: Problem): string => problem.where?.path?.split(/[/[]/)[0] ?? "";

function go(problem: Problem): void {
  const node = topOf(problem);
  if (!node) return;
  useDocument.getState().leave(0);
  useUi.getState().set({ selected: [node], gallery: false, sheet: null, ...(window.innerWidth <= 700 ? { panel: null } : {}) });
  requestAnimationFrame(() => canvas().fit([node]));
}

async function copyReport(problem: Problem): Promise<void> {
  const { server } = useRun.getState();
  if (await copyText(reportOf(problem, server))) say(t("The report is in the clipboard."));
  else complain(t("The browser did not let it into the clipboard."));
}

/** All that is wrong, and advice: where, what, and the next step as a button. What the last run met stands apart. */
export function Problems() {
  const plan = useRun((state) => state.plan);
  const ran = useRun((state) => state.run.problems);
  const wrong = plan?.problems ?? [];
  const advice = plan?.lints ?? [];
  // What the plan says already is not said twice.
  const known = new Set(wrong.map((problem) => `${problem.code} ${problem.where?.path ?? ""}`));
  const met = ran.filter((problem) => !known.has(`${problem.code} ${problem.where?.path ?? ""}`));
  return (
    <div className="problem-room">
      <Rows title={wrong.length ? t("In the way of a run") : ""} problems={wrong} />
      <Rows title={met.length ? t("What the last run met") : ""} problems={met} />
      <Rows title={advice.length ? t("Advice") : ""} problems={advice} />
      {wrong.length + met.length + advice.length ? null : <Empty>{t("Nothing is wrong.")}</Empty>}
    </div>
  );
}

function Rows({ title, problems }: { title: string; problems: Problem[] }) {
  if (!problems.length) return null;
  return (
    <>
      <h3>{title}</h3>
      <ul className="rows problems">
        {problems.map((problem, index) => (
          <li key={index} className={problem.severity === "lint" ? "lint" : "wrong"}>
            <button type="button" className="item" onClick={() => go(problem)} title={topOf(problem) ? t("Show it in the graph") : undefined}>
              <b>{[problem.where?.path, problem.where?.socket].filter(Boolean).join(".") || problem.code}</b>
              <span>{problem.message}</span>
            </button>
            {problem.mend ? (
              problem.mend.edits.length ? (
                <button type="button" className="mend" onClick={() => applyMend(problem)}>
                  {problem.mend.text}
                </button>
              ) : (
                <em>{problem.mend.text}</em>
              )
            ) : null}
            {problem.report ? (
              <details>
                <summary>{t("report")}</summary>
                <pre tabIndex={0}>{problem.report}</pre>
              </details>
            ) : null}
            {problem.severity === "lint" ? null : (
              <button type="button" className="copy" onClick={() => void copyReport(problem)}>
                {t("copy report")}
              </button>
            )}
          </li>
        ))}
      </ul>
    </>
  );
}
