import { useState } from "react";
import { type Asking, useUi } from "../state/ui";
import { Dialog } from "../ui/basics";

/** One line of text, asked for over the page. */
export function Ask({ asking }: { asking: Asking }) {
  const [text, setText] = useState(asking.value);
  const close = () => useUi.getState().set({ asking: null });
  return (
    <Dialog label={asking.label} className="ask" onClose={close}>
      <form
        onSubmit={(event) => {
          event.preventDefault();
          close();
          asking.done(text);
        }}
      >
        <label>
          {asking.label}
          <input autoFocus value={text} onFocus={(event) => event.target.select()} onChange={(event) => setText(event.target.value)} />
        </label>
      </form>
    </Dialog>
  );
}
