import { useState } from "react";
import { useUi, type Viewing } from "../state/ui";
import { Dialog, IconButton } from "../ui/basics";

/** A picture at full size; with a second one, a slider between the two. */
export function Viewer({ viewing }: { viewing: Viewing }) {
  const [split, setSplit] = useState(50);
  const close = () => useUi.getState().set({ viewing: null });
  const { pictures, at, against } = viewing;
  const picture = pictures[at];
  const other = against === undefined ? undefined : pictures[against];
  const step = (by: number) =>
    useUi.getState().set({ viewing: { ...viewing, at: (at + by + pictures.length) % pictures.length } });
  if (!picture) return null;
  return (
    <Dialog label={picture.label} className="viewer" onClose={close}>
      <header>
        <span>
          {picture.label}
          {other ? ` | ${other.label}` : pictures.length > 1 ? ` of ${pictures.length}` : ""}
        </span>
        <a href={picture.url} download={`${picture.label}.png`}>
          download
        </a>
        {!other && pictures.length > 1 ? (
          <>
            <button type="button" onClick={() => step(-1)}>
              ← before
            </button>
            <button type="button" onClick={() => step(1)}>
              next →
            </button>
            <button
              type="button"
              onClick={() => useUi.getState().set({ viewing: { ...viewing, against: (at + 1) % pictures.length } })}
            >
              compare with the next
            </button>
          </>
        ) : null}
        <IconButton icon="close" label="Close" onClick={close} />
      </header>
      <div className="stage">
        <img src={picture.url} alt={picture.label} />
        {other ? <img className="over" src={other.url} alt={other.label} style={{ clipPath: `inset(0 0 0 ${split}%)` }} /> : null}
      </div>
      {other ? (
        <input
          type="range"
          aria-label="Compare"
          min={0}
          max={100}
          value={split}
          onChange={(event) => setSplit(Number(event.target.value))}
        />
      ) : null}
    </Dialog>
  );
}
