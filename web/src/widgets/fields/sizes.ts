/** Sizes that models were trained with, to choose from. */

export type Pair = [number, number];

/** Podell et al. 2023, appendix I: the buckets that are used most; landscape, then the same upright. */
const SDXL: Pair[] = [[1024, 1024], [1152, 896], [1216, 832], [1344, 768], [1536, 640]];
const SD1: Pair[] = [[512, 512], [640, 512], [768, 512], [912, 512]];
const SD2: Pair[] = [[768, 768], [896, 672], [1024, 680], [1024, 576]];
const RATIOS: Pair[] = [[1, 1], [4, 3], [3, 2], [16, 9]];

/** `family` as the model list has it ("Stable Diffusion XL", "SD 1.x", "sdxl"); `side` is what the model was trained with, where it says so. */
export function commonSizes(family: string, side = 0): Pair[] {
  const name = family.toLowerCase().replace(/[^a-z0-9]/g, "");
  const known = /sdxl|diffusionxl/.test(name) ? SDXL : /sd2|diffusion2/.test(name) ? SD2 : /sd1|diffusion1/.test(name) ? SD1 : null;
  const found = side && side !== known?.[0]?.[0] ? around(side) : (known ?? around(/sd3|flux|diffusion3/.test(name) ? 1024 : 512));
  return found.flatMap(([width, height]): Pair[] => (width === height ? [[width, height]] : [[width, height], [height, width]]));
}

/** The usual shapes with about as many pixels as a square of that side, in whole latent blocks. */
function around(side: number): Pair[] {
  const block = side >= 512 ? 64 : 8;
  return RATIOS.map(([a, b]) => {
    const fit = (part: number): number => Math.max(block, Math.round((side * Math.sqrt(part)) / block) * block);
    return [fit(a / b), fit(b / a)];
  });
}
