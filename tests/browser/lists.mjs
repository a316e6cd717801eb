// A list of 100,000 rows: what is drawn and asked for at a time doesn't grow with it.

import { assert, given, open } from "./browser.mjs";

const { base, password, last, oldest, moved } = given;
const { page, step, traffic, close } = await open(new URL(base).origin);
/** Elements of the page, whatever is in the lists. */
const MOST_ELEMENTS = 3_000;
/** Bytes of a request with its answer. */
const MOST_BYTES = 512 << 10;

const elements = () => page.evaluate(() => document.querySelectorAll("*").length);

/** Does something to a list, and tells the most elements that there were and how long frames took. */
async function watched(work) {
  Object.assign(traffic, { requests: 0, bytes: 0, most: 0 });
  let most = 0;
  await page.evaluate(() => {
    window.frames60 = [];
    let last = performance.now();
    const note = (now) => {
      window.frames60?.push(now - last);
      last = now;
      if (window.frames60) requestAnimationFrame(note);
    };
    requestAnimationFrame(note);
  });
  await work(async () => (most = Math.max(most, await elements())));
  const frames = await page.evaluate(() => {
    const times = window.frames60.sort((a, b) => a - b);
    window.frames60 = null;
    return { count: times.length, half: times[times.length >> 1], most95: times[Math.floor(times.length * 0.95)], worst: times.at(-1) };
  });
  const told = Object.entries(frames).map(([key, value]) => `${key} ${value.toFixed(0)}`).join(", ");
  console.log(`frames in ms: ${told}; elements: ${most}; requests: ${traffic.requests}, bytes: ${traffic.bytes}, largest: ${traffic.most}`);
  assert.ok(most <= MOST_ELEMENTS, `${most} elements`);
  assert.ok(traffic.most <= MOST_BYTES, `${traffic.most} bytes`);
}

/** Scrolls through a list as far as `isThere` says. */
const through = (isThere) =>
  watched(async (count) => {
    for (let turn = 0; !(await isThere()); turn++) {
      assert.ok(turn < 2_000, "the list has no end");
      await page.evaluate(() => scrollTo(0, document.documentElement.scrollHeight));
      await page.mouse.wheel(0, -600);
      await page.mouse.wheel(0, 900);
      await count();
    }
  });

await step("what isn't in sync", async () => {
  await page.goto(base);
  await page.getByLabel("Password", { exact: true }).fill(password);
  await page.keyboard.press("Enter");
  await page.getByText(/^Not in sync: /).click();
  const end = page.locator("details li").getByText(last, { exact: true });
  await through(async () => (await end.count()) > 0);
});

await step("the history", async () => {
  await page.getByRole("navigation").getByRole("link", { name: "History" }).click();
  await page.getByText(/^Lines: 100\+ of/).waitFor();
  const end = page.locator("table").getByText(oldest, { exact: true });
  await through(async () => (await end.count()) > 0);
});

await step("one line of the history, searched for", async () => {
  await watched(async (count) => {
    await page.getByLabel("Search", { exact: true }).fill(oldest.toUpperCase());
    await page.getByText(/^Lines: 1 of/).waitFor();
    await count();
  });
});

await step("a part of the history, of which there is too much to look at once", async () => {
  await page.getByLabel("Search", { exact: true }).fill("");
  await page.getByLabel("What", { exact: true }).selectOption("moved");
  await page.getByText(/^Lines: 100\+ of/).waitFor();
  const end = page.locator("table").getByText(moved, { exact: true });
  await through(async () => (await end.count()) > 0);
});

await close();
