import { useUi } from "../state/ui";
import { IconButton } from "../ui/basics";

/** Over a picture: paint a mask on it. */
export function PaintButton({ node, title, url }: { node: string; title: string; url: string }) {
  return (
    <IconButton
      className="paint nodrag"
      icon="brush"
      label={`Paint a mask over ${title}`}
      onClick={() => useUi.getState().set({ painting: { node, title, url } })}
    />
  );
}
