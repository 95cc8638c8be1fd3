/** The German table. Its keys are the English texts: all that the editor says. */
export const de = {
  "{n} nodes": "{n} Knoten",
  "1 node": "1 Knoten",
} as const;
