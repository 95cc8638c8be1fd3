import { setValue } from "../../document/operations";
import { specOf } from "../../document/specs";
import { isLink, literal } from "../../document/wires";
import { useCatalogue } from "../../state/catalogue";
import { documentNow, graphOf, perform, scopeNow, useDocument } from "../../state/document";
import { useUi } from "../../state/ui";
import { Dialog, IconButton } from "../../ui/basics";
import { PromptField } from "../../widgets/fields";
import { t } from "../../words";

/** A prompt with room: a view that can be made larger, over the page. */
export function LargePrompt({ ask }: { ask: { node: string; input: string } }) {
  const specs = useCatalogue((state) => state.specs);
  const json = useDocument((state) => graphOf(state).nodes[ask.node]);
  const input = json && specOf(json, documentNow(), specs)?.inputs.find((item) => item.name === ask.input);
  const close = () => {
    useDocument.getState().settle();
    useUi.getState().set({ prompting: null });
  };
  if (!json || !input || isLink(json.inputs[ask.input])) return null;
  const label = `${ask.node} ${input.name}`;
  return (
    <Dialog label={label} className="large-prompt" onClose={close}>
      <header>
        <h2>{json.title ?? `${ask.node} · ${input.name}`}</h2>
        <IconButton icon="close" label={t("Close")} onClick={close} />
      </header>
      <span className="control text">
        <PromptField
          node={ask.node}
          type={json.type}
          input={input}
          value={json.inputs[ask.input] === undefined ? input.default : literal(json.inputs[ask.input])}
          label={label}
          onChange={(to) => void perform(setValue(scopeNow(), ask.node, input.name, to))}
          onDone={() => useDocument.getState().settle()}
          large
        />
      </span>
      <p>{t("Ctrl+↑ and Ctrl+↓ weigh words, Ctrl+Space completes, Esc closes.")}</p>
    </Dialog>
  );
}
