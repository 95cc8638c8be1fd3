/** What is dragged from a list onto the canvas, as the browser carries it. */

export type Carried = { kind: "picture"; blob: string; job: string; item?: number | null; label: string } | { kind: "model"; folder: string; name: string };

const TYPE = "application/x-weft";

export function carry(event: React.DragEvent, what: Carried): void {
  event.dataTransfer.setData(TYPE, JSON.stringify(what));
  event.dataTransfer.effectAllowed = "copy";
}

export function carried(transfer: DataTransfer): Carried | null {
  const text = transfer.getData(TYPE);
  return text ? (JSON.parse(text) as Carried) : null;
}
