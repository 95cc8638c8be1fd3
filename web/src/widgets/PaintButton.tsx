import { useUi } from "../state/ui";
import { IconButton } from "../ui/basics";
import { t } from "../words";

/** Over a picture: paint a mask on it. */
export function PaintButton({ node, title, url }: { node: string; title: string; url: string }) {
  return (
    <IconButton
      className="paint nodrag"
      icon="brush"
      label={t("Paint a mask over {title}", { title })}
      onClick={() => useUi.getState().set({ painting: { node, title, url } })}
    />
  );
}
