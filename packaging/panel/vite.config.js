import { defineConfig } from "vite";

// One script and one style of fixed names: their addresses in index.html tell the version of the package.
export default defineConfig({
  logLevel: "warn",
  build: {
    target: "es2022",
    modulePreload: false,
    reportCompressedSize: false,
    rollupOptions: {
      input: "src/page.tsx",
      output: {
        entryFileNames: "page.js",
        assetFileNames: "page.[ext]",
        codeSplitting: false,
      },
    },
  },
});
