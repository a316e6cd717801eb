// Builds the scripts of the pages and the style: `node build.js DIR`. What the pages have in common is in `heart.js`.
// The names are fixed: their addresses tell the version of the package.

import { build } from "vite";

await build({
  configFile: false,
  logLevel: "warn",
  build: {
    target: "es2022",
    outDir: process.argv[2] ?? "dist",
    emptyOutDir: false,
    modulePreload: false,
    reportCompressedSize: false,
    cssCodeSplit: false,
    rollupOptions: {
      input: { page: "src/page.tsx", tray: "src/tray.tsx" },
      output: {
        entryFileNames: "[name].js",
        chunkFileNames: "heart.js",
        assetFileNames: "page.[ext]",
      },
    },
  },
});
