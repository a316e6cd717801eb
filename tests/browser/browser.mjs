// A browser with the panel in it, watched: whatever goes wrong in it, or comes from elsewhere, fails the test.

import assert from "node:assert/strict";
import fs from "node:fs";
import net from "node:net";
import path from "node:path";

/** What the test was given: see `tests/panel.rs`. */
export const given = JSON.parse(process.env.PANEL_TEST);

const { chromium } = await import(path.join(given.peers, "browser/node_modules/playwright-core/index.mjs"));
const axe = fs.readFileSync(path.join(given.peers, "browser/node_modules/axe-core/axe.min.js"), "utf8");

/** Longer than anything should take on a busy machine. */
const PATIENCE = 30_000;
const WIDE = { width: 1100, height: 760 }, PHONE = { width: 390, height: 780 };

// Chromium and its libraries are unpacked, not installed.
function environment() {
  const debian = path.join(given.peers, "debian");
  const libraries = [];
  const collect = (folder, depth) => {
    for (const entry of fs.readdirSync(folder, { withFileTypes: true })) {
      const inside = path.join(folder, entry.name);
      if (entry.isDirectory() && depth > 0) collect(inside, depth - 1);
      if (entry.name.includes(".so") && libraries.at(-1) !== folder && !libraries.includes(folder)) libraries.push(folder);
    }
  };
  const triplets = fs.readdirSync(path.join(debian, "usr/lib")).filter((name) => name.endsWith("-linux-gnu"));
  for (const name of triplets) collect(path.join(debian, "usr/lib", name), 1);
  const fonts = fs.existsSync("/etc/fonts/fonts.conf") ? {} : { FONTCONFIG_SYSROOT: debian };
  return { ...process.env, ...fonts, LD_LIBRARY_PATH: libraries.join(":") };
}

export async function open(origin, options = {}) {
  const browser = await chromium.launch({
    executablePath: path.join(given.peers, "debian/usr/lib/chromium/chromium"),
    env: environment(),
    // Nothing but the panel is loaded, and it may run as root.
    args: ["--no-sandbox"],
  });
  const context = await browser.newContext({ locale: "en-GB", viewport: WIDE, acceptDownloads: true, ...options });
  context.setDefaultTimeout(PATIENCE);
  // What the page takes for being seen or not.
  await context.addInitScript(() => {
    let state = "visible";
    Object.defineProperty(Document.prototype, "visibilityState", { get: () => state });
    window.setSeen = (isSeen) => {
      state = isSeen ? "visible" : "hidden";
      document.dispatchEvent(new Event("visibilitychange"));
    };
  });
  const page = await context.newPage();
  const wrong = [];
  const traffic = { requests: 0, bytes: 0, most: 0 };
  page.on("pageerror", (error) => wrong.push(`error: ${error.message}`));
  page.on("console", (message) => {
    // That a call is refused is part of some steps.
    const isRefusal = message.text().startsWith("Failed to load resource");
    if (message.type() === "error" && !isRefusal) wrong.push(`console: ${message.text()}`);
  });
  page.on("request", (request) => {
    if (!request.url().startsWith(origin) && !request.url().startsWith("blob:")) wrong.push(`another site: ${request.url()}`);
  });
  page.on("requestfinished", async (request) => {
    traffic.requests += 1;
    const sizes = await request.sizes().catch(() => null);
    if (sizes) {
      const bytes = sizes.requestHeadersSize + sizes.requestBodySize + sizes.responseHeadersSize + sizes.responseBodySize;
      traffic.bytes += bytes;
      traffic.most = Math.max(traffic.most, bytes);
    }
  });
  fs.mkdirSync(given.shots, { recursive: true });

  /** Whether who can't see well can use what is shown, or a part of it. */
  async function look(name) {
    for (const frame of page.frames()) await frame.evaluate(axe);
    const found = await page.evaluate(() => window.axe.run(document, { resultTypes: ["violations"] }));
    const grave = found.violations.filter((each) => ["serious", "critical"].includes(each.impact));
    const told = grave.map((each) => `${each.id}: ${each.nodes.map((node) => `${node.target} ${node.failureSummary}`).join("\n  ")}`);
    assert.deepEqual(told, [], `${name}: ${told.join("\n")}`);
  }

  return {
    page,
    traffic,
    /** Keeps pictures of a page in light, dark and narrow, and looks at each. */
    async show(name) {
      for (const [kind, colorScheme, size] of [["light", "light", WIDE], ["dark", "dark", WIDE], ["phone", "light", PHONE]]) {
        await page.emulateMedia({ colorScheme });
        await page.setViewportSize(size);
        await page.screenshot({ path: path.join(given.shots, `${name}-${kind}.png`), fullPage: true });
        const width = await page.evaluate(() => document.documentElement.scrollWidth - innerWidth);
        assert.ok(width <= 0, `${name} is ${width} pixels too wide (${kind})`);
        await look(`${name} ${kind}`);
      }
      await page.emulateMedia({ colorScheme: "light" });
      await page.setViewportSize(WIDE);
    },
    async step(name, work) {
      const begun = Date.now();
      try {
        await work();
      } catch (error) {
        await page.screenshot({ path: path.join(given.shots, "failed.png"), fullPage: true }).catch(() => {});
        const text = await page.locator("body").innerText().catch(() => "");
        console.error(`${name} failed\nshown: ${text.slice(0, 2000)}\nnoted: ${wrong.join("\n")}`);
        throw error;
      }
      assert.deepEqual(wrong, [], name);
      console.log(`${name}: ${Date.now() - begun} ms`);
    },
    async close() {
      await browser.close();
      assert.deepEqual(wrong, []);
    },
  };
}

export async function eventually(what, holds) {
  const end = Date.now() + PATIENCE;
  while (!(await holds())) {
    assert.ok(Date.now() < end, `${what} didn't come true`);
    await new Promise((resolve) => setTimeout(resolve, 200));
  }
}

export { assert, fs, net, path };
