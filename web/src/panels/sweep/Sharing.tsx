import { useMemo } from "react";
import type { Forecast } from "../../protocol/types";
import { batchNow } from "../../state/actions";
import { documentOf, useDocument } from "../../state/document";
import { remember, useUi } from "../../state/ui";
import { plural, t } from "../../words";
import { useForecast } from "./SweepPanel";

function flip(): void {
  const sharing = !useUi.getState().sharing;
  remember("weft.sharing", sharing ? "on" : "off");
  useUi.getState().set({ sharing });
}

/** "13 forwards instead of 96", and what cannot share with the reason; nothing before it was counted. */
export function sharingLine(forecast: Forecast | null): string {
  const sharing = forecast?.sharing;
  if (!sharing) return "";
  const alone = sharing.alone.map((one) => t("{node} runs alone: {why}", { node: one.node, why: one.why }));
  const saved = sharing.forwards < sharing.apart ? t("{n} forwards instead of {apart}; pictures may differ in the last bit", { n: sharing.forwards, apart: sharing.apart }) : "";
  return [saved || plural(sharing.forwards, "1 forward, nothing to share", "{n} forwards, nothing to share"), ...alone].join("; ");
}

/** Whether the items of what is started share forwards, and what that comes to. */
export function Sharing({ forecast }: { forecast: Forecast | null }) {
  const on = useUi((state) => state.sharing);
  return (
    <label className="sharing">
      <input type="checkbox" checked={on} onChange={flip} data-action="sharing" />
      <span>
        {t("share forwards")}
        <small data-sharing>{on ? sharingLine(forecast) || t("counting…") : t("several items go through the model at once: quicker, equal but for rounding")}</small>
      </span>
    </label>
  );
}

/** The same for a run of several pictures, as a chip in the run bar. */
export function SharingChip({ count }: { count: number }) {
  const on = useUi((state) => state.sharing);
  const document = useDocument(documentOf);
  const request = useMemo(() => (on && document ? JSON.stringify({ batch: batchNow(count) }) : ""), [on, count, document]);
  const { forecast } = useForecast(request, "items");
  const told = sharingLine(forecast);
  return (
    <>
      <button type="button" className="chip live" aria-pressed={on} onClick={flip} title={told || t("several items go through the model at once: quicker, equal but for rounding")} data-action="sharing">
        {t("share forwards")}
      </button>
      {told ? (
        <span className="forecast" data-sharing>
          {told}
        </span>
      ) : null}
    </>
  );
}
