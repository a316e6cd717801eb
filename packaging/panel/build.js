// Builds the script, the style and the texts of the panel: `node build.js DIR`. The names are fixed: their addresses tell
// the version of the package.

import { build } from "vite";
import { texts } from "./texts.js";

await build({
  configFile: false,
  logLevel: "warn",
  plugins: [texts()],
  build: {
    target: "es2022",
    outDir: process.argv[2] ?? "dist",
    emptyOutDir: false,
    modulePreload: false,
    reportCompressedSize: false,
    cssCodeSplit: false,
    rollupOptions: {
      input: { page: "src/page.tsx" },
      output: { entryFileNames: "[name].js", assetFileNames: "page.[ext]" },
    },
  },
});
