/** German for what goes on between the editor and the server: tabs, the queue, the settings. Keys are the English texts. */
export const wire = {
  // tabs that browsers share
  "“{name}” was closed in another window. It stays open here.": "„{name}“ wurde in einem anderen Fenster geschlossen. Hier bleibt es offen.",
  "This workflow was changed in another browser, too.": "Dieser Workflow wurde auch in einem anderen Browser geändert.",
  "Take theirs": "Deren Stand nehmen",
  "Keep mine as a new tab": "Meinen als neuen Tab behalten",
  // the queue
  "Go on": "Weiter",
  Pause: "Anhalten",
  "Cancel what waits": "Wartende abbrechen",
  "The queue is paused: what runs goes on to its end, nothing new begins.": "Die Warteschlange steht: was läuft, läuft zu Ende, nichts Neues beginnt.",
  "Cancel {name}": "{name} abbrechen",
  "place {n}": "Platz {n}",
  "{name}: earlier (Alt+↑)": "{name}: früher (Alt+↑)",
  "{name}: later (Alt+↓)": "{name}: später (Alt+↓)",
  "Nothing waits.": "Nichts wartet.",
  "Drag a job to its place; Alt+Home puts it in front of all.": "Einen Auftrag an seinen Platz ziehen; Alt+Pos1 stellt ihn vor alle.",
  "{n} items": "{n} Teile",
} as const;
