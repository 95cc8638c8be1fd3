import { expect, test } from "vitest";
import manifest from "../../../nodes/nodes.json";
import { names } from "./search";

/** What people of other programs write, and the node they mean. */
const MEANT: Record<string, string[]> = {
  "denoise.sample": ["txt2img", "text to image", "KSampler", "KSampler (Advanced)", "Sampler", "generate", "denoise", "denoising strength"],
  "vae.encode": ["img2img", "image to image", "VAE Encode"],
  "vae.decode": ["VAE Decode"],
  "text.encode": ["prompt", "Positive", "positive prompt", "Negative", "Negative prompt", "CLIP", "CLIP Text Encode", "CLIP Text Encode (Prompt)", "clip skip", "textual inversion", "embedding"],
  "load.model": ["Checkpoint", "Load Checkpoint", "model"],
  "load.text_encoder": ["Load CLIP", "CLIP loader", "text encoder", "T5"],
  "load.denoiser": ["UNET", "Load Diffusion Model", "GGUF"],
  "load.vae": ["Load VAE"],
  "latent.empty": ["Empty Latent Image", "width", "batch size"],
  "latent.scale": ["Hires.fix", "hires fix", "highres fix"],
  "inpaint.encode": ["inpaint", "inpainting", "VAE Encode (for inpainting)"],
  "inpaint.crop": ["inpaint only masked"],
  "image.pad": ["outpaint", "outpainting", "Pad Image for Outpainting"],
  "image.resize": ["Upscale Image", "resize"],
  "image.crop": ["crop"],
  "image.load": ["Load Image"],
  "image.save": ["Save Image"],
  "image.preview": ["Preview Image"],
  "image.grid": ["XY plot", "XYZ plot", "X/Y/Z plot", "grid"],
  "image.parameters": ["PNG info"],
  "upscale.model": ["upscale"],
  "upscale.tiled": ["Ultimate SD Upscale", "SD upscale"],
  "load.upscaler": ["ESRGAN", "upscaler"],
  "lora.apply": ["LoRA"],
  "lora.load": ["Load LoRA"],
  "control.apply": ["ControlNet"],
  "ip_adapter.apply": ["IPAdapter", "IP-Adapter"],
  "preprocess.canny": ["canny"],
  "preprocess.depth": ["depth"],
  "schedule.make": ["scheduler"],
  "schedule.curve": ["karras"],
  "guidance.cfg": ["CFG", "CFG scale", "guidance"],
  "guidance.embedded": ["Flux guidance"],
  "mask.feather": ["mask blur"],
  "prompt.resolve": ["wildcard"],
  "values.seed": ["seed"],
};

test.each(Object.entries(MEANT).flatMap(([id, queries]) => queries.map((query) => ({ query, id }))))("“$query” finds $id first", ({ query, id }) => {
  const found = manifest.nodes.map((spec) => ({ id: spec.id, score: names(query, spec) })).sort((a, b) => b.score - a.score);
  expect(found[0]?.id).toBe(id);
});
