/** The chapters of the textbook, each with a hue of its own. */

export const CHAPTERS = ["load", "text", "denoise", "schedule", "guidance", "noise", "latent", "vae", "inpaint", "image", "mask", "preprocess", "upscale", "control", "ip_adapter", "lora", "values", "numerics", "flow"];
export const hueOf = (category: string): number => {
  const at = CHAPTERS.indexOf(category);
  return at >= 0 ? (at * 360) / CHAPTERS.length + 215 : 250;
};
