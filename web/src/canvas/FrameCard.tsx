import type { Node, NodeProps } from "@xyflow/react";
import { type CSSProperties, memo, type PointerEvent, useRef } from "react";
import { editFrame, editNote } from "../document/operations";
import type { Frame, Note } from "../protocol/types";
import { documentNow, perform, scopeNow, useDocument } from "../state/document";
import { useUi } from "../state/ui";
import { Markdown } from "../ui/markdown";
import { useTyped } from "../ui/typed";
import { t } from "../words";

export type FrameNode = Node<{ name: string; frame: Frame }, "frame">;
export type NoteNode = Node<{ name: string; note: Note }, "note">;

const LEAST = 64;
const done = () => {
  useUi.getState().set({ writing: null });
  useDocument.getState().settle();
};

/** The corner that changes the size; one undo step for one drag. */
function Corner({ w, h, resize }: { w: number; h: number; resize: (w: number, h: number) => void }) {
  const start = useRef<{ x: number; y: number; w: number; h: number; scale: number } | null>(null);
  const onPointerDown = (event: PointerEvent<HTMLSpanElement>) => {
    event.currentTarget.setPointerCapture(event.pointerId);
    const box = event.currentTarget.parentElement?.getBoundingClientRect();
    start.current = { x: event.clientX, y: event.clientY, w, h, scale: box ? box.width / w : 1 };
    event.stopPropagation();
  };
  const onPointerMove = (event: PointerEvent) => {
    const from = start.current;
    if (!from) return;
    const grid = (size: number) => Math.max(LEAST, Math.round(size / 8) * 8);
    resize(grid(from.w + (event.clientX - from.x) / from.scale), grid(from.h + (event.clientY - from.y) / from.scale));
  };
  const end = () => {
    if (start.current) useDocument.getState().settle();
    start.current = null;
  };
  return <span className="corner nodrag" aria-hidden="true" onPointerDown={onPointerDown} onPointerMove={onPointerMove} onPointerUp={end} onLostPointerCapture={end} />;
}

/** A frame around nodes: its title takes them all along. The ground inside belongs to the canvas. */
export const FrameCard = memo(function FrameCard({ id, data, selected }: NodeProps<FrameNode>) {
  const { frame, name } = data;
  const writing = useUi((state) => state.writing === id);
  const edit = (patch: Partial<Frame>) => void perform(editFrame(documentNow(), scopeNow(), name, patch));
  const [title, retitle] = useTyped(frame.title, (text) => edit({ title: text }));
  return (
    <section className={`frame ${selected ? "selected" : ""}`} style={{ width: frame.w, height: frame.h, "--hue": frame.hue ?? 215 } as CSSProperties} data-frame={name}>
      <header className="frame-head" onDoubleClick={() => useUi.getState().set({ writing: id })}>
        {writing ? (
          <input
            className="nodrag"
            autoFocus
            aria-label={t("Title of the frame")}
            value={title}
            onChange={(event) => retitle(event.target.value)}
            onBlur={done}
            onKeyDown={(event) => {
              if (event.key === "Enter" || event.key === "Escape") done();
            }}
          />
        ) : (
          <span className="frame-title">{frame.title || t("Frame")}</span>
        )}
      </header>
      <Corner w={frame.w} h={frame.h} resize={(w, h) => edit({ w, h })} />
    </section>
  );
});

/** A remark in markdown; a double-click writes it. */
export const NoteCard = memo(function NoteCard({ id, data, selected }: NodeProps<NoteNode>) {
  const { note, name } = data;
  const writing = useUi((state) => state.writing === id);
  const edit = (patch: Partial<Note>) => void perform(editNote(documentNow(), scopeNow(), name, patch));
  const [text, write] = useTyped(note.text, (changed) => edit({ text: changed }));
  return (
    <section
      className={`note-card ${selected ? "selected" : ""}`}
      style={{ width: note.w, height: note.h, "--hue": note.hue ?? 48 } as CSSProperties}
      data-note={name}
      aria-label={t("Note")}
      onDoubleClick={() => useUi.getState().set({ writing: id })}
    >
      {writing ? (
        <textarea
          className="nodrag nowheel"
          autoFocus
          aria-label={t("Text of the note, in markdown")}
          value={text}
          placeholder={t("Write in markdown…")}
          onChange={(event) => write(event.target.value)}
          onBlur={done}
          onKeyDown={(event) => {
            if (event.key === "Escape") done();
          }}
        />
      ) : note.text ? (
        <Markdown text={note.text} />
      ) : (
        <p className="empty-text">{t("An empty note: a double-click writes it.")}</p>
      )}
      <Corner w={note.w} h={note.h} resize={(w, h) => edit({ w, h })} />
    </section>
  );
});
