import type { Problem } from "../../protocol/types";
import { applyMend } from "../../state/actions";
import { canvas } from "../../state/canvas";
import { useRun } from "../../state/run";
import { useUi } from "../../state/ui";
import { Empty } from "../../ui/basics";

export function Problems() {
  const plan = useRun((state) => state.plan);
  const ran = useRun((state) => state.run.problems);
  const rows = [...(plan?.problems ?? []), ...(plan?.lints ?? []), ...ran];
  const go = (problem: Problem) => {
    const top = problem.where?.path?.split(/[/[]/)[0];
    if (!top) return;
    useUi.getState().set({ selected: [top] });
    canvas().fit([top]);
  };
  return (
    <>
      <ul className="rows problems">
        {rows.map((problem, index) => (
          <li key={index} className={problem.severity === "lint" ? "lint" : "wrong"}>
            <button type="button" className="item" onClick={() => go(problem)}>
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
                <summary>report</summary>
                <pre>{problem.report}</pre>
              </details>
            ) : null}
          </li>
        ))}
      </ul>
      {rows.length ? null : <Empty>Nothing is wrong.</Empty>}
    </>
  );
}
