import { lazy, Suspense } from "react";
import { useUi } from "../state/ui";

const Painter = lazy(() => import("./painter/Painter").then((room) => ({ default: room.Painter })));
const Gallery = lazy(() => import("./gallery/Gallery").then((room) => ({ default: room.Gallery })));
const Templates = lazy(() => import("./templates/Templates").then((room) => ({ default: room.Templates })));
const Sheet = lazy(() => import("./sheet/Sheet").then((room) => ({ default: room.Sheet })));
const FieldMenu = lazy(() => import("./widget/FieldMenu").then((room) => ({ default: room.FieldMenu })));
const LargePrompt = lazy(() => import("./widget/LargePrompt").then((room) => ({ default: room.LargePrompt })));
const HelpDrawer = lazy(() => import("./help/NodeHelp").then((room) => ({ default: room.HelpDrawer })));
const Trail = lazy(() => import("./widget/Trail").then((room) => ({ default: room.Trail })));
const Find = lazy(() => import("./Find").then((room) => ({ default: room.Find })));
const Ask = lazy(() => import("./Ask").then((room) => ({ default: room.Ask })));

export const Steps = lazy(() => import("./Steps").then((room) => ({ default: room.Steps })));
export const History = lazy(() => import("./history/History").then((room) => ({ default: room.History })));
export const Settings = lazy(() => import("./settings/Settings").then((room) => ({ default: room.Settings })));
export const Models = lazy(() => import("./models/Models").then((room) => ({ default: room.Models })));
export const SweepPanel = lazy(() => import("./sweep/SweepPanel").then((room) => ({ default: room.SweepPanel })));
export const CullPanel = lazy(() => import("./sweep/CullPanel").then((room) => ({ default: room.CullPanel })));

/** What opens over the page, each fetched when it is first asked for. */
export function Rooms() {
  const painting = useUi((state) => state.painting);
  const sheet = useUi((state) => state.sheet);
  const gallery = useUi((state) => state.gallery);
  const templates = useUi((state) => state.templates);
  const menu = useUi((state) => state.fieldMenu);
  const prompting = useUi((state) => state.prompting);
  const helping = useUi((state) => state.helping);
  const trail = useUi((state) => state.trail);
  const finding = useUi((state) => state.finding);
  const asking = useUi((state) => state.asking);
  return (
    <Suspense>
      {gallery && !sheet ? <Gallery /> : null}
      {finding ? <Find /> : null}
      {asking ? <Ask key={asking.label} asking={asking} /> : null}
      {sheet ? <Sheet /> : null}
      {templates ? <Templates /> : null}
      {painting ? <Painter key={painting.url + (painting.begin ?? "")} painting={painting} /> : null}
      {menu ? <FieldMenu ask={menu} /> : null}
      {prompting ? <LargePrompt ask={prompting} /> : null}
      {helping ? <HelpDrawer type={helping} /> : null}
      {trail ? <Trail key={`${trail.node}.${trail.input}`} ask={trail} /> : null}
    </Suspense>
  );
}
