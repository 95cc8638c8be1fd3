/** In which chapter a workflow that ships is looked for, in the order they are read. */

import type { Text } from "../../words";

export const CHAPTERS: [Text, string[]][] = [
  ["To begin with", ["text_to_image", "image_to_image", "inpaint", "hires_fix", "seeds_grid", "textbook_dag"]],
  ["Change a picture", ["inpaint_crop_stitch", "inpaint_model", "outpaint", "recolour_by_mask", "differential", "colour_match", "folder_batch"]],
  ["Prompts", ["prompt_weights", "prompt_schedule", "prompt_blend", "area_composition", "prompt_combinations", "random_prompt", "prompt_map", "blend"]],
  ["Hold the layout", ["controlnet_edges", "union_controlnet", "preprocessors", "picture_as_prompt"]],
  ["LoRA and models", ["lora_slider", "lora_by_block_and_step", "flux_from_split_files"]],
  ["Larger, sharper", ["tiled_upscale", "upscale_second_pass", "upscale_model", "vae_round_trip"]],
  ["Sampling and guidance", ["stop_and_finish", "hand_over", "noise_levels", "perturbed_attention", "freeu", "morph_animation"]],
  ["Side by side", ["xy_plot", "cfg_comparison", "sampler_comparison", "strength_comparison"]],
];

const PREFIX = "template:";

/** The chapter of a workflow by its name; what is of no chapter stands at the end. */
export function chapterOf(name: string): Text {
  const plain = name.startsWith(PREFIX) ? name.slice(PREFIX.length) : "";
  return CHAPTERS.find(([, names]) => names.includes(plain))?.[0] ?? "More";
}

const ORDER = CHAPTERS.flatMap(([, names]) => names);

/** Those to begin with first. */
export function inOrder<Row extends { name: string }>(rows: Row[]): Row[] {
  const place = (row: Row) => {
    const at = ORDER.indexOf(row.name.slice(PREFIX.length));
    return at < 0 ? ORDER.length : at;
  };
  return [...rows].sort((a, b) => place(a) - place(b));
}
