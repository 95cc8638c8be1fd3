const PATHS = {
  add: "M8 3v10M3 8h10",
  nodes: "M2.5 4.5h4v3h-4zM9.5 8.5h4v3h-4zM6.5 6h1.5a1 1 0 0 1 1 1v2a1 1 0 0 0 .5 1",
  folder: "M2 12.5v-9h4l1.5 2H14v7z",
  models: "M8 2l5.5 3v6L8 14l-5.5-3V5zM2.5 5L8 8l5.5-3M8 8v6",
  history: "M3 8a5 5 0 1 0 1.6-3.7M3 2.5v2.6h2.6M8 5.5V8l2 1.2",
  queue: "M2.5 4h11M2.5 8h11M2.5 12h7",
  problems: "M8 2.5l6 10.5H2zM8 6.5v3M8 11.2v.3",
  form: "M2.5 3.5h11v3h-11zM2.5 9.5h11v3h-11zM4.5 5h2M4.5 11h4",
  help: "M6 6a2 2 0 1 1 2.6 1.9c-.5.2-.6.5-.6 1.1M8 11.3v.3M8 14A6 6 0 1 0 8 2a6 6 0 0 0 0 12",
  sun: "M8 11a3 3 0 1 0 0-6 3 3 0 0 0 0 6M8 1.5V3M8 13v1.5M1.5 8H3M13 8h1.5M3.4 3.4l1 1M11.6 11.6l1 1M3.4 12.6l1-1M11.6 4.4l1-1",
  moon: "M13 9.5A5.5 5.5 0 0 1 6.5 3a5.5 5.5 0 1 0 6.5 6.5",
  run: "M4.5 2.8v10.4L13 8z",
  stop: "M4 4h8v8H4z",
  pause: "M5 3.5v9M11 3.5v9",
  close: "M4 4l8 8M12 4l-8 8",
  up: "M8 13V3.5M4 7l4-4 4 4",
  down: "M4 6.5l4 4 4-4",
  search: "M7 12A5 5 0 1 0 7 2a5 5 0 0 0 0 10M11 11l3 3",
  dice: "M3 3h10v10H3zM5.7 5.7h.1M10.2 5.7h.1M8 8h.1M5.7 10.2h.1M10.2 10.2h.1",
  save: "M3 3h8l2 2v8H3zM5.5 3v3.5h4.5V3M5.5 13V9.5h5V13",
  expand: "M9.5 2.5h4v4M13.5 2.5L9 7M6.5 13.5h-4v-4M2.5 13.5L7 9",
  fit: "M2.5 6V2.5H6M10 2.5h3.5V6M13.5 10v3.5H10M6 13.5H2.5V10",
  layout: "M2 6.5h3.5v3H2zM10.5 2.5H14v3h-3.5zM10.5 10.5H14v3h-3.5zM5.5 8h2.5M10.5 4H8v8h2.5",
  undo: "M5.5 3L2.5 6l3 3M2.5 6h6.5a4 4 0 0 1 0 8H7",
  redo: "M10.5 3l3 3-3 3M13.5 6H7a4 4 0 0 0 0 8h2",
  check: "M3 8.5l3.2 3.2L13 4.8",
  upload: "M8 11V3M4.8 6L8 2.8 11.2 6M2.5 10.5v3h11v-3",
  download: "M8 2.5v8M4.8 7.5L8 10.7l3.2-3.2M2.5 10.5v3h11v-3",
  trash: "M3 4.5h10M6.5 4.5v-2h3v2M4.5 4.5l.5 9h6l.5-9",
  copy: "M5.5 5.5h8v8h-8zM10.5 5.5v-3h-8v8h3",
  eye: "M1.5 8S4 3.5 8 3.5 14.5 8 14.5 8 12 12.5 8 12.5 1.5 8 1.5 8M8 10a2 2 0 1 0 0-4 2 2 0 0 0 0 4",
  compare: "M8 2v12M3 4h3v8H3zM10 4h3v8h-3z",
  restore: "M3 3v4h4M3.5 7a5 5 0 1 1 .3 3.5",
  brush: "M13.5 2.5L7 9M7 9c-2.2-.6-3.6 1-3.4 4.2C6.4 13.6 8.3 12 8.3 10.2z",
  eraser: "M6 13.5h7.5M3 9.5l6-6.5 4 3.8-6 6.7H5.5z M6 6.3l4 3.8",
  lasso: "M8 10.5c-3.3 0-6-1.6-6-3.7s2.7-3.8 6-3.8 6 1.7 6 3.8-2.7 3.7-6 3.7M5 10c-1.2 1.5.8 2.2 0 4",
  rect: "M2.5 3.5h11v9h-11z",
  bucket: "M7.5 2.5l5 5-5.5 5.5-5-5zM3 7h8.5M13.5 10.5c.8 1.2 1 2.5 0 2.5s-.8-1.3 0-2.5",
  wand: "M3 13.5L10 6M11.5 2v2.5M11.5 7v1.5M8.5 4.5h2M13 4.5h1.5",
  invert: "M8 2.5a5.5 5.5 0 1 0 0 11zM8 2.5a5.5 5.5 0 0 1 0 11M8 4v8",
  full: "M2.5 3.5h11v9h-11zM2.5 8L7 3.5M2.5 12.5l9-9M7 12.5l6.5-6.5",
  star: "M8 2.2l1.8 3.7 4 .6-2.9 2.8.7 4L8 11.4l-3.6 1.9.7-4L2.2 6.5l4-.6z",
  grid: "M2.5 2.5h4.5v4.5h-4.5zM9 2.5h4.5v4.5H9zM2.5 9h4.5v4.5h-4.5zM9 9h4.5v4.5H9z",
  more: "M3.5 8h.1M8 8h.1M12.5 8h.1",
  open: "M9 3h4v4M13 3L7.5 8.5M6.5 3.5H3v9.5h9.5V9.5",
  memory: "M4.5 4.5h7v7h-7zM6.5 2.5v2M9.5 2.5v2M6.5 11.5v2M9.5 11.5v2M2.5 6.5h2M2.5 9.5h2M11.5 6.5h2M11.5 9.5h2",
  settings: "M2.5 4.5h6M11.5 4.5h2M2.5 11.5h2M7.5 11.5h6M10 6.2a1.7 1.7 0 1 0 0-3.4 1.7 1.7 0 0 0 0 3.4M6 13.2a1.7 1.7 0 1 0 0-3.4 1.7 1.7 0 0 0 0 3.4",
  alignLeft: "M2.5 2v12M5 4.5h8v2.5H5zM5 9h5v2.5H5z",
  alignCentre: "M8 2v12M3.5 4.5h9v2.5h-9zM5 9h6v2.5H5z",
  alignRight: "M13.5 2v12M3 4.5h8v2.5H3zM6 9h5v2.5H6z",
  alignTop: "M2 2.5h12M4.5 5h2.5v8H4.5zM9 5h2.5v5H9z",
  alignMiddle: "M2 8h12M4.5 3.5h2.5v9H4.5zM9 5h2.5v6H9z",
  alignBottom: "M2 13.5h12M4.5 3h2.5v8H4.5zM9 6h2.5v5H9z",
  spreadX: "M2.5 2.5v11M13.5 2.5v11M6.5 5h3v6h-3z",
  spreadY: "M2.5 2.5h11M2.5 13.5h11M5 6.5h6v3H5z",
  frame: "M2.5 3.5h11v9h-11zM2.5 6h11",
} as const;

export type IconName = keyof typeof PATHS;

/** Line icons of one weight; decoration only, the button around it carries the name. */
export function Icon({ name, size = 16 }: { name: IconName; size?: number }) {
  return (
    <svg className="icon" width={size} height={size} viewBox="0 0 16 16" aria-hidden="true">
      <path d={PATHS[name]} />
    </svg>
  );
}
