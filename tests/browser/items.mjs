// Items that aren't in sync, and the buttons that solve it: another name, the folder, the task's settings.

import { assert, eventually, fs, given, open, path } from "./browser.mjs";

const { base, password, local, s3, bucket, dropbox } = given;
const { page, show, step, close } = await open(new URL(base).origin);
await page.context().grantPermissions(["clipboard-read", "clipboard-write"], { origin: new URL(base).origin });
const click = (text) => page.getByRole("button", { name: text, exact: true }).click();
const label = (text) => page.getByLabel(text, { exact: true });
const dialog = page.getByRole("dialog");
const told = (text) => page.getByRole("alert").getByText(text).first().waitFor();
const uploaded = (name) => page.getByRole("row").filter({ hasText: "uploaded" }).getByText(name, { exact: true }).waitFor();
const notes = path.join(local, "notes");
const inside = (...names) => path.join(notes, ...names);
fs.mkdirSync(inside("plans"), { recursive: true });
fs.writeFileSync(inside("plans", "part #1.txt"), "first");
fs.writeFileSync(inside("plans", "part _1.txt"), "older");
fs.mkdirSync(inside("10% off"));
fs.writeFileSync(inside("10% off", "in it.txt"), "in it");
fs.writeFileSync(inside("skip.iso"), "left out");
fs.symlinkSync("skip.iso", inside("link"));

await step("items that a rule leaves out", async () => {
  await page.goto(base);
  await label("Password").fill(password);
  await page.keyboard.press("Enter");
  await page.getByRole("link", { name: "Connect a cloud" }).click();
  await page.getByRole("button", { name: /Amazon S3/ }).click();
  await page.getByRole("combobox", { name: "Address" }).selectOption("another");
  await label("Address: another").fill(s3.endpoint);
  await page.locator("input[name=access-key]").fill(s3.access_key);
  await page.locator("input[name=secret-key]").fill(s3.secret_key);
  await page.locator("input[name=bucket]").fill(bucket);
  await click("Connect");
  await page.getByRole("link", { name: "Choose folders" }).click();
  await label("Folder on this NAS").fill(notes);
  await page.getByText("More settings").click();
  await label("Leave out files by extension").fill("iso");
  await click("Show what will happen");
  await click("Start");
  await page.getByText("Not in sync: 0 with problems, 4 left out by a rule").click();
  await page.getByRole("button", { name: "Rename: plans/part #1.txt" }).waitFor();
  await page.getByRole("button", { name: "Open folder: link" }).waitFor();
  assert.equal(await page.getByRole("button", { name: "Rename: link" }).count(), 0);
  assert.equal(await page.getByRole("button", { name: "Rename: skip.iso" }).count(), 0);
  await show("items");
});

await step("why, in the language of the page", async () => {
  await page.goto(`${base}?lang=ger`);
  await page.locator("details summary").click();
  await page.getByText("Das Zeichen # ist im Namen nicht erlaubt.").waitFor();
  await page.getByText("Die Aufgabe lässt Dateien mit Namen wie *.iso aus.").waitFor();
  await page.goto(base);
  await page.getByText(/^Not in sync/).click();
  await page.getByText("The character # isn't allowed in its name. Rename it without.").waitFor();
});

await step("a name that is taken takes nothing's place", async () => {
  await page.getByRole("button", { name: "Rename: plans/part #1.txt" }).click();
  assert.equal(await dialog.getByLabel("New name").inputValue(), "part _1.txt");
  assert.equal(await page.evaluate(() => document.activeElement.name), "name");
  await show("rename");
  await dialog.getByRole("button", { name: "Rename" }).click();
  await told("there is a part _1.txt already");
  assert.equal(fs.readFileSync(inside("plans", "part _1.txt"), "utf8"), "older");
  assert.equal(fs.readFileSync(inside("plans", "part #1.txt"), "utf8"), "first");
});

await step("nor is it a name that couldn't be synced either", async () => {
  await page.getByRole("button", { name: "Rename: plans/part #1.txt" }).click();
  await dialog.getByLabel("New name").fill("part ~1.txt");
  await page.keyboard.press("Enter");
  await told("the character ~ isn't allowed in its path");
  assert.ok(fs.existsSync(inside("plans", "part #1.txt")));
});

await step("a file is renamed where it is, and synced", async () => {
  await page.getByRole("button", { name: "Rename: plans/part #1.txt" }).click();
  await dialog.getByLabel("New name").fill("part 1.txt");
  await page.keyboard.press("Enter");
  await uploaded("plans/part 1.txt");
  assert.equal(fs.readFileSync(inside("plans", "part 1.txt"), "utf8"), "first");
  assert.ok(!fs.existsSync(inside("plans", "part #1.txt")));
});

await step("so is a folder with what is in it", async () => {
  await page.getByRole("button", { name: "Rename: 10% off" }).click();
  assert.equal(await dialog.getByLabel("New name").inputValue(), "10_ off");
  await dialog.getByRole("button", { name: "Rename" }).click();
  await uploaded("10_ off/in it.txt");
  await page.getByText("Not in sync: 0 with problems, 2 left out by a rule").waitFor();
});

await step("where it is", async () => {
  await page.getByRole("button", { name: "Open folder: link" }).click();
  assert.equal(await dialog.getByLabel("Folder on this NAS").inputValue(), notes);
  await show("open-folder");
  await dialog.getByRole("button", { name: "Copy" }).click();
  await eventually("it is copied", async () => (await page.evaluate(() => navigator.clipboard.readText())) === notes);
});

await step("what the task leaves out, the task takes in again", async () => {
  await page.locator("details").getByRole("link", { name: "Change: notes" }).click();
  await page.getByText("More settings").click();
  await label("Leave out files by extension").fill("");
  await click("Save");
  await page.getByText("Saved.").waitFor();
  await page.getByRole("navigation").getByRole("link", { name: "Overview" }).click();
  await page.getByRole("button", { name: "Sync now: notes" }).click();
  await uploaded("skip.iso");
});

await step("two names that the service takes for one", async () => {
  const twins = path.join(local, "twins");
  fs.mkdirSync(twins);
  fs.writeFileSync(path.join(twins, "Letter.txt"), "one");
  fs.writeFileSync(path.join(twins, "letter.txt"), "other");
  await page.goto(`${base}#/connect`);
  await page.getByRole("button", { name: /Dropbox/ }).click();
  await page.locator("input[name=client-id]").fill(dropbox.id);
  await page.getByText("More settings").click();
  await page.locator("input[name=endpoint]").fill(dropbox.endpoint);
  await click("Connect");
  const consent = await fetch(await page.getByRole("link", { name: "First open this page" }).getAttribute("href"));
  await page.getByRole("textbox", { name: /paste the code/ }).fill((await consent.text()).replace(/^"?code: |"$/g, ""));
  await click("Finish");
  await page.getByRole("link", { name: "Choose folders" }).click();
  await label("Folder on this NAS").fill(twins);
  await click("Show what will happen");
  await page.getByText("Sent to the cloud").waitFor();
  await click("Start");
  await page.getByText("Not in sync: 1 with problems, 0 left out by a rule").click();
  const button = page.getByRole("button", { name: /^Rename: [Ll]etter.txt$/ });
  await button.waitFor();
  await show("twins");
  await button.click();
  assert.match(await dialog.getByLabel("New name").inputValue(), /^[Ll]etter 2\.txt$/);
  await dialog.getByRole("button", { name: "Rename" }).click();
  await page.getByRole("row").filter({ hasText: "uploaded" }).getByText(/^[Ll]etter 2\.txt$/).waitFor();
  await page.getByText(/^Not in sync: 1/).waitFor({ state: "hidden" });
});

await close();
