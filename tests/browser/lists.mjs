// A list of 100,000 rows: what is drawn and asked for at a time doesn't grow with it.

import { assert, given, open } from "./browser.mjs";

const { base, password, last } = given;
const { page, step, traffic, close } = await open(new URL(base).origin);
/** Elements of the page, whatever is in the lists. */
const MOST_ELEMENTS = 3_000;
/** Bytes of a request with its answer. */
const MOST_BYTES = 512 << 10;

const elements = () => page.evaluate(() => document.querySelectorAll("*").length);

/** Scrolls through a list as far as `isThere` says, and tells the most elements and how long frames took. */
async function through(isThere) {
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
  for (let turn = 0; !(await isThere()); turn++) {
    assert.ok(turn < 2_000, "the list has no end");
    await page.evaluate(() => scrollTo(0, document.documentElement.scrollHeight));
    await page.mouse.wheel(0, -600);
    await page.mouse.wheel(0, 900);
    most = Math.max(most, await elements());
  }
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

await step("what isn't in sync", async () => {
  await page.goto(base);
  await page.getByLabel("Password", { exact: true }).fill(password);
  await page.keyboard.press("Enter");
  await page.getByText(/^Not in sync: /).click();
  const end = page.locator("details li").getByText(last, { exact: true });
  await through(async () => (await end.count()) > 0);
});

await close();
