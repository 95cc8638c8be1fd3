import { lazy, Suspense, useEffect, useRef, useState } from "react";
import { api, ApiError, fileUrl } from "../../protocol/http";
import { complain } from "../../state/ui";
import { IconButton } from "../../ui/basics";
import { t } from "../../words";
import { PaintButton } from "../PaintButton";
import type { FieldProps } from "./props";

const ChoicePopup = lazy(() => import("./ChoicePopup").then((room) => ({ default: room.ChoicePopup })));

const FEW = 8; // that a plain list shows at a glance
type Choice = string | number;

/** One of several: a plain list where they are few, else a list that can be searched, with what is known of each. */
export function ChoiceField(props: FieldProps) {
  const { node, input, value, onChange, onDone, label } = props;
  const fixed = typeof input.type === "object" ? input.type.choices : undefined;
  const held = value as Choice | undefined;
  const picture = input.widget?.kind === "file";
  const choose = (to: Choice) => {
    onChange(to);
    onDone();
  };
  const upload = async (file: File) => {
    try {
      choose((await api.upload(file, file.name)).name);
    } catch (error) {
      complain(error instanceof ApiError ? error.problems : String(error));
    }
  };
  return (
    <span className="choice nodrag">
      {fixed && fixed.length <= FEW ? <Few choices={fixed} held={held} label={label} onChoose={choose} /> : <Many {...props} fixed={fixed} onChoose={choose} />}
      {picture && typeof held === "string" && held ? <PaintButton node={node} title={held} url={fileUrl("input", held)} /> : null}
      {picture ? (
        <IconButton
          icon="upload"
          label={t("{field}: upload a picture", { field: label })}
          onClick={() => {
            const chooser = document.createElement("input");
            chooser.type = "file";
            chooser.accept = "image/png,image/jpeg,image/webp";
            chooser.onchange = () => {
              const file = chooser.files?.[0];
              if (file) void upload(file);
            };
            chooser.click();
          }}
        />
      ) : null}
    </span>
  );
}

/** What is held stands in the list also when it is no choice any more. */
const withHeld = (choices: Choice[], held: Choice | undefined): Choice[] =>
  held === undefined || choices.some((choice) => String(choice) === String(held)) ? choices : [held, ...choices];

function Few({ choices, held, label, onChoose }: { choices: Choice[]; held: Choice | undefined; label: string; onChoose: (to: Choice) => void }) {
  const all = withHeld(choices, held);
  return (
    <select
      aria-label={label}
      value={held === undefined ? "" : String(held)}
      onChange={(event) => onChoose(all.find((choice) => String(choice) === event.target.value) ?? event.target.value)}
    >
      {held === undefined ? <option value="">{t("choose…")}</option> : null}
      {all.map((choice) => (
        <option key={String(choice)} value={String(choice)}>
          {String(choice) || "–"}
        </option>
      ))}
    </select>
  );
}

function Many({ node, type, input, value, label, fixed, onChoose }: FieldProps & { fixed: Choice[] | undefined; onChoose: (to: Choice) => void }) {
  const [open, setOpen] = useState<HTMLElement | null>(null); // the button that it opened beside
  const [live, setLive] = useState<Choice[] | null>(null);
  const button = useRef<HTMLButtonElement>(null);
  const held = value as Choice | undefined;
  useEffect(() => {
    if (fixed || !open) return; // asked for anew each time it opens: a file may have come meanwhile
    let gone = false;
    api.choices(type, input.name).then(
      (found) => !gone && setLive(found.choices),
      () => !gone && setLive([]),
    );
    return () => {
      gone = true;
    };
  }, [fixed, type, input.name, open]);
  const close = () => {
    setOpen(null);
    button.current?.focus({ preventScroll: true });
  };
  return (
    <>
      <button
        ref={button}
        type="button"
        className="many"
        role="combobox"
        aria-label={label}
        aria-haspopup="dialog"
        aria-expanded={open !== null}
        onClick={(event) => setOpen(event.currentTarget)}
        onKeyDown={(event) => {
          if (event.key !== "ArrowDown" && event.key !== "ArrowUp") return;
          event.preventDefault();
          setOpen(event.currentTarget);
        }}
      >
        <span>{held === undefined ? t("choose…") : String(held) || "–"}</span>
        <span aria-hidden="true">▾</span>
      </button>
      {open ? (
        <Suspense>
          <ChoicePopup
            beside={open}
            label={label}
            node={node}
            input={input}
            choices={fixed ?? live}
            held={held}
            onChoose={(to) => {
              close();
              onChoose(to);
            }}
            onClose={close}
          />
        </Suspense>
      ) : null}
    </>
  );
}
