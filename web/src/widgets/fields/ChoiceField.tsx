import { useEffect, useRef, useState } from "react";
import { api, ApiError, fileUrl } from "../../protocol/http";
import { complain } from "../../state/ui";
import { IconButton } from "../../ui/basics";
import { PaintButton } from "../PaintButton";
import type { FieldProps } from "./props";

export function ChoiceField({ node, type, input, value, onChange, onDone, label }: FieldProps) {
  const fixed = typeof input.type === "object" ? input.type.choices : undefined;
  const [live, setLive] = useState<(string | number)[] | null>(null);
  const field = useRef<HTMLSelectElement>(null);
  useEffect(() => {
    if (fixed) return;
    let gone = false;
    api.choices(type, input.name).then(
      (found) => !gone && setLive(found.choices),
      () => !gone && setLive([]),
    );
    return () => {
      gone = true;
    };
  }, [fixed, type, input.name]);
  const choices = [...(fixed ?? live ?? [])];
  const held = value as string | number | undefined;
  if (held !== undefined && !choices.some((choice) => String(choice) === String(held))) choices.unshift(held);
  const upload = async (file: File) => {
    try {
      const kept = await api.upload(file, file.name);
      onChange(kept.name);
      onDone();
    } catch (error) {
      complain(error instanceof ApiError ? error.problems : String(error));
    }
  };
  const picture = input.widget?.kind === "file";
  return (
    <span className="choice nodrag">
      <select
        ref={field}
        aria-label={label}
        value={held === undefined ? "" : String(held)}
        onChange={(event) => {
          onChange(choices.find((choice) => String(choice) === event.target.value) ?? event.target.value);
          onDone();
        }}
      >
        {held === undefined ? <option value="">choose…</option> : null}
        {choices.map((choice) => (
          <option key={String(choice)} value={String(choice)}>
            {String(choice) || "–"}
          </option>
        ))}
      </select>
      {picture && typeof held === "string" && held ? <PaintButton node={node} title={held} url={fileUrl("input", held)} /> : null}
      {picture ? (
        <IconButton
          icon="upload"
          label={`${label}: upload a picture`}
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
