/** German for what goes on between the editor and the server: tabs, the queue, the settings. Keys are the English texts. */
export const wire = {
  // tabs that browsers share
  "“{name}” was closed in another window. It stays open here.": "„{name}“ wurde in einem anderen Fenster geschlossen. Hier bleibt es offen.",
  "This workflow was changed in another browser, too.": "Dieser Workflow wurde auch in einem anderen Browser geändert.",
  "Take theirs": "Deren Stand nehmen",
  "Keep mine as a new tab": "Meinen als neuen Tab behalten",
} as const;
