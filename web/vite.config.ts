import react from "@vitejs/plugin-react";
import { defineConfig } from "vitest/config";

// Unhashed names: dist is committed, and a change of one line must not rename every file.
// `npx vite` shows the sources while you write; the API is forwarded to a running `weft serve` (WEFT=its address).
const server = process.env.WEFT ?? "http://127.0.0.1:8118";

export default defineConfig({
  plugins: [react()],
  base: "./",
  test: { testTimeout: 120_000 }, // a machine that is shared is slow now and then
  server: { proxy: { "/api": server, "/ws": { target: server, ws: true } } },
  build: {
    outDir: "dist",
    target: "es2022",
    modulePreload: { polyfill: false },
    rollupOptions: {
      output: {
        entryFileNames: "assets/[name].js",
        chunkFileNames: "assets/[name].js",
        assetFileNames: "assets/[name][extname]",
      },
    },
  },
});
