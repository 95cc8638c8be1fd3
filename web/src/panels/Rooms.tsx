import { lazy, Suspense } from "react";
import { useUi } from "../state/ui";

const Painter = lazy(() => import("./painter/Painter").then((room) => ({ default: room.Painter })));

/** What opens over the page, each fetched when it is first asked for. */
export function Rooms() {
  const painting = useUi((state) => state.painting);
  return <Suspense>{painting ? <Painter key={painting.url + (painting.begin ?? "")} painting={painting} /> : null}</Suspense>;
}
