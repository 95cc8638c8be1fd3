import { graphOf, useDocument } from "../state/document";
import { useUi } from "../state/ui";
import { IconButton } from "../ui/basics";
import type { IconName } from "../ui/icons";
import { plural, t } from "../words";
import { commandById } from "./commands";

const GROUPS: [IconName, string][][] = [
  [
    ["alignLeft", "align-left"],
    ["alignCentre", "align-centre"],
    ["alignRight", "align-right"],
    ["alignTop", "align-top"],
    ["alignMiddle", "align-middle"],
    ["alignBottom", "align-bottom"],
  ],
  [
    ["spreadX", "spread-x"],
    ["spreadY", "spread-y"],
    ["layout", "layout"],
  ],
  [
    ["frame", "frame"],
    ["nodes", "group"],
    ["copy", "duplicate"],
    ["trash", "delete"],
  ],
];

/** What can be done with several nodes at once, in reach of the hand. */
export function Selection() {
  const selected = useUi((state) => state.selected);
  const nodes = useDocument((state) => graphOf(state).nodes);
  const count = selected.filter((id) => nodes[id]).length;
  if (count < 2) return null;
  return (
    <div className="selection-bar" role="toolbar" aria-label={t("The selected nodes")}>
      <span className="count">{plural(count, "1 node", "{n} nodes")}</span>
      {GROUPS.map((group, index) => (
        <span className="group" key={index}>
          {group.map(([icon, id]) => {
            const row = commandById(id);
            return <IconButton key={id} icon={icon} label={row.keys ? `${t(row.title)} (${row.keys[0]})` : t(row.title)} onClick={row.run} />;
          })}
        </span>
      ))}
    </div>
  );
}
