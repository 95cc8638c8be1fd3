import type { Problem, ServerState } from "../../protocol/types";

/** A problem as one tells it to somebody else: what, where, the next step, on which machine, and the trace. */
export function reportOf(problem: Problem, server: Pick<ServerState, "version" | "numerics"> | null): string {
  const { where } = problem;
  const place = [where?.path, where?.socket].filter(Boolean).join(".");
  const lines = [
    `${problem.code}: ${problem.message}`,
    place ? `at ${place}` : "",
    problem.mend ? `next step: ${problem.mend.text}` : "",
    server ? `Weft ${server.version}, ${server.numerics.device}, ${server.numerics.dtype}` : "",
    problem.report ? `\n${problem.report.trim()}` : "",
  ];
  return `${lines.filter(Boolean).join("\n")}\n`;
}
