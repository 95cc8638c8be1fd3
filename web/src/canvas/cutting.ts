/** Wires cut with a drag: what crosses the line is gone. */

import type { Spot } from "../protocol/types";

/** Do the segments a–b and c–d cross? */
export function crosses(a: Spot, b: Spot, c: Spot, d: Spot): boolean {
  const side = (p: Spot, q: Spot, r: Spot) => Math.sign((q.x - p.x) * (r.y - p.y) - (q.y - p.y) * (r.x - p.x));
  return side(a, b, c) !== side(a, b, d) && side(c, d, a) !== side(c, d, b);
}

/** The points of a drawn path on the screen, `count` steps along. */
function along(path: SVGPathElement, count = 28): Spot[] {
  const matrix = path.getScreenCTM();
  const length = path.getTotalLength();
  if (!matrix) return [];
  return Array.from({ length: count + 1 }, (_, i) => {
    const at = path.getPointAtLength((length * i) / count);
    return { x: at.x * matrix.a + matrix.e, y: at.y * matrix.d + matrix.f };
  });
}

/** Ids of the drawn wires that a line over the screen crosses. */
export function crossed(box: Element, line: Spot[]): string[] {
  return [...box.querySelectorAll<SVGPathElement>(".react-flow__edge .react-flow__edge-path")].flatMap((path) => {
    const id = path.closest<HTMLElement>(".react-flow__edge")?.dataset.id;
    const points = along(path);
    const hit = points.some((point, i) => {
      const before = points[i - 1];
      return before && line.some((end, k) => k > 0 && crosses(line[k - 1] as Spot, end, before, point));
    });
    return id && hit ? [id] : [];
  });
}

/** The wire that lies under one of these points of the screen, but for wires of this node. */
export function wireUnder(points: Spot[], not: string): { id: string; element: Element } | null {
  for (const { x, y } of points) {
    for (const element of document.elementsFromPoint(x, y)) {
      const edge = element.closest<HTMLElement>(".react-flow__edge");
      const id = edge?.dataset.id;
      if (edge && id && !id.startsWith(`${not}|`)) return { id, element: edge };
    }
  }
  return null;
}
