// A cloud of the kind that has keys and buckets: from a fresh install to the first synced file, and what goes wrong on the
// way and later.

import { assert, eventually, fs, given, net, open, path } from "./browser.mjs";

const { base, password, local, s3 } = given;
const { page, show, step, close } = await open(new URL(base).origin);
const click = (text) => page.getByRole("button", { name: text, exact: true }).click();
const heading = (text) => page.getByRole("heading", { name: text }).waitFor();
const place = (text) => page.getByRole("navigation").getByRole("link", { name: text }).click();
const told = (text) => page.getByRole("alert").getByText(text).first().waitFor();
const field = (key) => page.locator(`input[name=${key}]`);

/** What is between Mooring and the service: it can be cut and come back. */
const line = await new Promise((ready) => {
  const far = new URL(s3.endpoint);
  const open = new Set();
  const server = net.createServer((near) => {
    const there = net.connect(Number(far.port), far.hostname);
    for (const end of [near, there]) {
      open.add(end);
      end.on("error", () => {}).on("close", () => {
        open.delete(end);
        near.destroy();
        there.destroy();
      });
    }
    near.pipe(there).pipe(near);
  });
  server.listen(0, "127.0.0.1", () => {
    const { port } = server.address();
    ready({
      url: `http://127.0.0.1:${port}`,
      cut: () => {
        server.close();
        open.forEach((end) => end.destroy());
      },
      mend: () => new Promise((done) => server.listen(port, "127.0.0.1", done)),
    });
  });
});

await step("a key that isn't right, and a service that isn't there", async () => {
  await page.goto(base);
  await page.getByLabel("Password", { exact: true }).fill(password);
  await page.keyboard.press("Enter");
  await heading("Keep folders on this NAS");
  await page.getByRole("link", { name: "Connect a cloud" }).click();
  await page.getByRole("button", { name: /S3/ }).click();
  for (const [list, key, text] of [["Address", "endpoint", "http://127.0.0.1:9"], ["Region", "region", s3.region]]) {
    await page.getByRole("combobox", { name: list }).selectOption("another");
    await field(key).fill(text);
  }
  await field("bucket").fill(s3.bucket);
  await field("access-key").fill(s3.access);
  await field("secret-key").fill("wrong-secret");
  await click("Connect");
  await told("127.0.0.1");
  await show("unreachable");
  await field("endpoint").fill(line.url);
  await click("Connect");
  await told("key");
  await show("refused");
});

await step("the first file", async () => {
  fs.writeFileSync(path.join(local, "first.txt"), "first");
  await field("secret-key").fill(s3.secret);
  await click("Connect");
  await heading(/is connected$/);
  await page.getByRole("link", { name: "Choose folders" }).click();
  await page.getByLabel("Folder on this NAS", { exact: true }).fill(local);
  await click("Show what will happen");
  await page.getByText("Sent to the cloud").waitFor();
  await click("Start");
  await page.getByText("Everything is in sync").waitFor();
  await page.locator("table").getByText("first.txt").waitFor();
});

await step("a service that goes away and comes back", async () => {
  line.cut();
  fs.writeFileSync(path.join(local, "second.txt"), "second");
  await page.getByRole("button", { name: /^Sync now/ }).click();
  await page.getByText("Something waits to be synced").waitFor();
  await show("away");
  await line.mend();
  await page.getByRole("button", { name: /^Sync now/ }).click();
  await page.locator("table").getByText("second.txt").waitFor();
  await page.getByText("Everything is in sync").waitFor();
});

await step("a key that is taken back", async () => {
  await place("Connections");
  await page.getByRole("link", { name: /^Change/ }).click();
  await field("secret-key").fill("another-secret");
  await click("Save");
  await told("key");
  await click("Save all the same");
  await page.getByText("Saved.").first().waitFor();
  await place("Overview");
  fs.writeFileSync(path.join(local, "third.txt"), "third");
  await page.getByText("Waiting for you").first().waitFor();
  await page.getByRole("link", { name: "Change the connection" }).waitFor();
  await show("key-taken-back");
  await page.getByRole("link", { name: "Change the connection" }).click();
  await field("secret-key").fill(s3.secret);
  await click("Save");
  await page.locator("form").getByText("Saved.").first().waitFor();
  await place("Overview");
  await page.locator("table").getByText("third.txt").waitFor();
});

await step("the small view", async () => {
  await page.goto(`${base}?small`);
  await page.getByText("Everything is in sync").waitFor();
  await show("tray");
  await click("Pause everything");
  await page.getByText("Everything is paused").waitFor();
  await click("Resume everything");
  await page.getByText("Everything is in sync").waitFor();
  line.cut();
  fs.writeFileSync(path.join(local, "fourth.txt"), "fourth");
  await page.getByText("Something waits to be synced").waitFor();
  await show("tray-waiting");
  await line.mend();
  const link = page.getByRole("link", { name: "Mooring" });
  assert.equal(new URL(await link.getAttribute("href"), page.url()).href, `${base}index.html`);
});

await step("log level, and where the state lies", async () => {
  await page.goto(`${base}#/settings`);
  await page.getByLabel("Log level", { exact: true }).selectOption("debug");
  await page.getByLabel("Database location", { exact: true }).fill(given.volume);
  await click("Save");
  await page.getByText("Saved.").waitFor();
  assert.ok(fs.readdirSync(path.join(given.volume, "mooring-state/tasks")).length > 0);
  await page.reload();
  const kept = () => page.getByLabel("Database location", { exact: true }).inputValue().catch(() => "");
  await eventually("it is kept", async () => (await kept()) === given.volume);
  assert.equal(await page.getByLabel("Log level", { exact: true }).inputValue(), "debug");
  await page.getByLabel("Database location", { exact: true }).fill("/nowhere");
  await click("Save");
  await told("/nowhere");
});

const saved = async (button) => {
  const [download] = await Promise.all([page.waitForEvent("download"), button.click()]);
  return fs.readFileSync(await download.path(), "utf8");
};
const card = (text) => page.locator("form").filter({ has: page.getByRole("heading", { name: text, exact: true }) });

await step("settings that are kept and taken over", async () => {
  await page.reload();
  const keep = card("Keep all settings");
  await keep.getByLabel("Password for the secrets").fill("sealed with this");
  const text = await saved(keep.getByRole("button", { name: "Save as a file" }));
  assert.ok(text.includes(s3.bucket) && text.includes("argon2id") && !text.includes(s3.secret));
  const file = path.join(given.shots, "../settings.json");
  const document = JSON.parse(text);
  document.settings.transfers = 9;
  document.connections.push({ ...document.connections[0], name: "another" });
  fs.writeFileSync(file, JSON.stringify(document));
  const take = card("Take settings over");
  await take.getByLabel("File").setInputFiles(file);
  await take.getByLabel("Password for the secrets").fill("sealed with this");
  await take.getByRole("button", { name: "Show what will happen" }).click();
  // Somebody added a connection: what is sealed is no good any more.
  await told("it was changed since");
  await take.getByLabel("Password for the secrets").fill("");
  await take.getByRole("button", { name: "Show what will happen" }).click();
  const dialog = page.getByRole("dialog");
  await dialog.getByText("another").waitFor();
  await show("import");
  await dialog.getByRole("button", { name: "Save" }).click();
  await page.getByText("Saved.").waitFor();
  await show("settings");
  fs.rmSync(file);
  await place("Connections");
  await page.getByRole("link", { name: "Change: another" }).waitFor();
});

await step("what helps to find out what is wrong", async () => {
  await place("Settings");
  const found = card("Find out what is wrong");
  const whole = await saved(found.getByRole("button", { name: "Save as a file" }));
  assert.ok(whole.includes("first.txt") && whole.includes(s3.bucket) && !whole.includes(s3.secret) && !whole.includes(password));
  assert.ok(JSON.parse(whole).log.length > 0);
  await found.getByLabel(/^Without names/).check();
  const bare = await saved(found.getByRole("button", { name: "Save as a file" }));
  assert.ok(!bare.includes("first.txt") && !bare.includes(s3.bucket) && JSON.parse(bare).history.length > 0);
});

line.cut();
await close();
