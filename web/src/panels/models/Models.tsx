import "./models.css";
import { useEffect, useState } from "react";
import { api } from "../../protocol/http";
import type { DeviceMemory, ModelNotes, ModelRow, Need, WorkflowRow } from "../../protocol/types";
import { bytes } from "../../run/state";
import { failed } from "../../state/actions";
import { canvas } from "../../state/canvas";
import { carry } from "../../state/carried";
import { say } from "../../state/ui";
import { Empty, IconButton } from "../../ui/basics";
import { copyText } from "../../ui/copy";
import { Icon } from "../../ui/icons";
import { plural, t } from "../../words";
import { takeModel } from "../carried";
import { openWorkflow } from "../workflows/open";

const HUES = new Map<string, number>();
const hueOf = (family: string): number => {
  const held = HUES.get(family) ?? (HUES.size * 67 + 210) % 360;
  HUES.set(family, held);
  return held;
};

const kindWords = (kind: string): string => kind.replaceAll("_", " ");
const copyCommand = (text: string) => void copyText(text).then((done) => done && say(t("The command is in the clipboard.")));

/** What is on the shelf, by kind and family; what is missing and how to get it; and who holds the memory. */
export function Models() {
  const [kinds, setKinds] = useState<Record<string, ModelRow[]> | null>(null);
  const [workflows, setWorkflows] = useState<WorkflowRow[]>([]);
  const [memory, setMemory] = useState<DeviceMemory[]>([]);
  const [query, setQuery] = useState("");
  const [kind, setKind] = useState("");
  const [family, setFamily] = useState("");
  const [open, setOpen] = useState("");
  useEffect(() => {
    void api.models().then(setKinds, failed);
    void api.workflows().then(setWorkflows, failed);
    void api.memory().then((found) => setMemory(found.devices), failed);
  }, []);
  const asked = query.toLowerCase().split(/\s+/).filter(Boolean);
  const fits = (folder: string, row: ModelRow) => {
    const words = [folder, row.name, row.family, row.what, row.fits, row.precision].join(" ").toLowerCase();
    return asked.every((word) => words.includes(word)) && (!family || row.family === family || row.fits === family);
  };
  const all = Object.entries(kinds ?? {});
  const rows = all
    .filter(([folder]) => !kind || folder === kind)
    .map(([folder, models]): [string, ModelRow[]] => [folder, models.filter((row) => fits(folder, row))])
    .filter(([, models]) => models.length);
  const families = [...new Set(all.flatMap(([, models]) => models.flatMap((row) => [row.family, row.fits])))].filter((name): name is string => !!name).sort();
  const narrowed = asked.length > 0 || !!kind || !!family;
  return (
    <div className="models">
      <input type="search" className="filter" aria-label={t("Search models")} placeholder={t("a name, a family…")} value={query} onChange={(event) => setQuery(event.target.value)} />
      <div className="narrow">
        <select aria-label={t("Folder")} value={kind} onChange={(event) => setKind(event.target.value)}>
          <option value="">{t("all folders")}</option>
          {all.map(([folder, models]) => (
            <option key={folder} value={folder}>
              {kindWords(folder)} ({models.length})
            </option>
          ))}
        </select>
        <select aria-label={t("Family")} value={family} onChange={(event) => setFamily(event.target.value)}>
          <option value="">{t("all families")}</option>
          {families.map((name) => (
            <option key={name}>{name}</option>
          ))}
        </select>
      </div>
      {rows.map(([folder, models]) => (
        <section key={folder}>
          <h3>{kindWords(folder)}</h3>
          <ul>
            {models.map((row) => {
              const id = `${folder} ${row.name}`;
              return <Model key={row.name} folder={folder} row={row} workflows={workflows} open={open === id} onOpen={() => setOpen(open === id ? "" : id)} />;
            })}
          </ul>
        </section>
      ))}
      {kinds && !rows.length ? (
        <Empty>{narrowed ? t("No model is called that.") : t("No models are here yet. Put them into the models folder of Weft’s home, by kind; `weft models get` fetches one.")}</Empty>
      ) : null}
      {narrowed ? null : <Missing workflows={workflows} />}
      {memory.map((device) => (
        <Device key={device.device} device={device} />
      ))}
    </div>
  );
}

const users = (workflows: WorkflowRow[], folder: string, name: string): WorkflowRow[] =>
  workflows.filter((row) => row.needs?.some((need) => need.name === name && need.kind === folder));

/** A model: dragged onto the canvas it makes its loader, onto a node that takes one it becomes its model. */
function Model({ folder, row, workflows, open, onOpen }: { folder: string; row: ModelRow; workflows: WorkflowRow[]; open: boolean; onOpen: () => void }) {
  return (
    <li className={open ? "open" : ""}>
      <button
        type="button"
        className="model"
        aria-expanded={open}
        draggable
        onClick={onOpen}
        onDragStart={(event) => carry(event, { kind: "model", folder, name: row.name })}
        title={t("Drag it onto the canvas, or onto a node that loads one")}
        data-model={row.name}
      >
        <span className="look">{row.picture ? <img src={row.picture} alt="" loading="lazy" draggable={false} /> : <Icon name="models" />}</span>
        <span className="what">
          <b>{row.name}</b>
          <span className="badges">
            {row.family ? (
              <span className="family" style={{ "--hue": hueOf(row.family) } as React.CSSProperties}>
                {row.family}
              </span>
            ) : null}
            {row.what ? <span>{row.what}</span> : null}
            {row.fits ? <span>{t("for {family}", { family: row.fits })}</span> : null}
            {row.precision ? <span>{row.precision}</span> : null}
          </span>
        </span>
        <span className="size">{bytes(row.bytes)}</span>
      </button>
      {row.problem ? <p className="wrong">{row.problem}</p> : null}
      {open ? <Details folder={folder} row={row} users={users(workflows, folder, row.name)} /> : null}
    </li>
  );
}

function Details({ folder, row, users: found }: { folder: string; row: ModelRow; users: WorkflowRow[] }) {
  const [notes, setNotes] = useState<ModelNotes | null>(null);
  useEffect(() => {
    let gone = false;
    api.model(folder, row.name).then(
      (said) => !gone && setNotes(said),
      () => undefined,
    );
    return () => {
      gone = true;
    };
  }, [folder, row.name]);
  return (
    <div className="details">
      {row.picture ? <img src={row.picture} alt={row.name} /> : null}
      {notes?.title && notes.title !== row.name ? <p className="title">{notes.title}</p> : null}
      {notes?.about ? <p>{notes.about}</p> : null}
      {notes?.author || notes?.licence || notes?.base ? <p className="quiet">{[notes.author, notes.base, notes.licence].filter(Boolean).join(" · ")}</p> : null}
      {notes?.words.length ? (
        <>
          <h4>{t("Words that call it up")}</h4>
          <p className="words">
            {notes.words.map((word) => (
              <button type="button" key={word} title={t("Copy the word")} onClick={() => void copyText(word).then((done) => done && say(t("“{word}” is in the clipboard.", { word })))}>
                {word}
              </button>
            ))}
          </p>
        </>
      ) : null}
      <button type="button" className="wide" onClick={() => takeModel(folder, row.name, canvas().middle())}>
        <Icon name="add" size={14} /> {t("Load it in the graph")}
      </button>
      {found.length ? (
        <>
          <h4>{plural(found.length, "Used by 1 workflow", "Used by {n} workflows")}</h4>
          <p className="words">
            {found.slice(0, 12).map((item) => (
              <button type="button" key={item.name} onClick={() => void openWorkflow(item.name)}>
                {item.title || item.name}
              </button>
            ))}
            {found.length > 12 ? <span>{t("and {n} more", { n: found.length - 12 })}</span> : null}
          </p>
        </>
      ) : null}
    </div>
  );
}

/** Models that workflows name and that are not here: each with the command that fetches it. */
function Missing({ workflows }: { workflows: WorkflowRow[] }) {
  const found = new Map<string, { need: Need; by: WorkflowRow[] }>();
  for (const row of workflows) {
    for (const need of row.needs ?? []) {
      if (need.there) continue;
      const key = `${need.kind} ${need.name}`;
      const held = found.get(key) ?? { need, by: [] };
      held.by.push(row);
      found.set(key, held);
    }
  }
  if (!found.size) return null;
  return (
    <section className="missing">
      <h3>{t("Not here, but named")}</h3>
      <ul>
        {[...found.values()].map(({ need, by }) => (
          <li key={`${need.kind} ${need.name}`}>
            <b>{need.name}</b>
            <p className="quiet">
              {kindWords(need.kind)} · {by.map((row) => row.title || row.name).join(", ")}
            </p>
            {need.mend ? (
              <p className="command">
                <code>{need.mend}</code>
                <IconButton icon="copy" label={t("Copy the command")} onClick={() => copyCommand(need.mend ?? "")} />
              </p>
            ) : null}
          </li>
        ))}
      </ul>
    </section>
  );
}

function Device({ device }: { device: DeviceMemory }) {
  const words = t("{used} of {limit} in use", { used: bytes(device.used), limit: bytes(device.limit) });
  const weights = device.residents.filter((row) => row.kind === "weights" || row.kind === "ahead");
  const values = device.residents.filter((row) => !weights.includes(row));
  return (
    <section className="memory">
      <h3>{t("Memory of {device}", { device: device.device })}</h3>
      <p>{words}</p>
      <div className="meter" role="img" aria-label={words}>
        <span style={{ width: `${Math.min(100, (device.used / Math.max(1, device.limit)) * 100)}%` }} />
      </div>
      <ul>
        {weights.map((row) => (
          <li key={row.name} className="line">
            <b>{row.name.split(":")[row.kind === "ahead" ? 1 : 0]}</b>
            <span className="size">
              {row.kind === "ahead" ? `${t("read ahead")} · ` : row.in_use ? `${t("in use")} · ` : ""}
              {bytes(row.bytes)}
            </span>
          </li>
        ))}
        {values.length ? (
          <li className="line">
            <b>{t("{n} results kept", { n: values.length })}</b>
            <span className="size">{bytes(values.reduce((sum, row) => sum + row.bytes, 0))}</span>
          </li>
        ) : null}
      </ul>
    </section>
  );
}
