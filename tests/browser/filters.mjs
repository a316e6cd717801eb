// What a task leaves out: folders in a tree of both sides, files by extension, name and size.

import { assert, eventually, fs, given, open, path } from "./browser.mjs";

const { base, password, local, dav } = given;
const { page, show, step, close } = await open(new URL(base).origin);
const click = (text) => page.getByRole("button", { name: text, exact: true }).click();
const label = (text) => page.getByLabel(text, { exact: true });
const box = (text) => page.getByRole("checkbox", { name: text, exact: true });
const inside = (text) => page.getByRole("button", { name: text, exact: true });
const out = (text) => page.getByText(text, { exact: true });
const photo = path.join(local, "photo");
/** More folders than are told at once. */
const MANY = 1_100;
for (let number = 0; number < MANY; number++) fs.mkdirSync(path.join(photo, "albums", String(number).padStart(5, "0")), { recursive: true });
for (const folder of ["raw/2023", "raw/2024/dark", "trips"]) fs.mkdirSync(path.join(photo, folder), { recursive: true });
const files = {
  "raw/2023/a.raw": 10, "raw/2024/b.raw": 10, "raw/2024/dark/c.raw": 10, "trips/d.jpg": 10, "trips/e.iso": 10,
  "trips/draft-1.txt": 10, "trips/large.bin": (1 << 20) + 1, "trips/f.JPG": 10,
};
for (const [name, size] of Object.entries(files)) fs.writeFileSync(path.join(photo, name), "x".repeat(size));

await step("a task with the cloud's folders beside its own", async () => {
  await page.goto(base);
  await label("Password").fill(password);
  await page.keyboard.press("Enter");
  await page.getByRole("link", { name: "Connect a cloud" }).click();
  await page.getByRole("button", { name: /WebDAV/ }).click();
  await label("Address").fill(dav.url);
  await page.locator("input[name=user]").fill(dav.user);
  await page.locator("input[name=password]").fill(dav.password);
  await click("Connect");
  await page.getByRole("link", { name: "Choose folders" }).click();
  await label("Folder on this NAS").fill(photo);
  await label("Folder in the cloud").fill("/");
  await page.getByText("More settings").click();
  await out("All are synced.").waitFor();
  await click("Show the folders");
  for (const name of ["raw", "trips", "only in the cloud"]) assert.ok(await box(name).isChecked(), name);
});

await step("folders are looked into when they are opened", async () => {
  assert.equal(await box("2024").count(), 0);
  await inside("raw").click();
  await box("2024").waitFor();
  await inside("2024").focus();
  await page.keyboard.press("Enter");
  await box("dark").waitFor();
  await box("dark").focus();
  await page.keyboard.press("Space");
  await out("Left out: 1").waitFor();
  for (const name of ["2024", "raw"]) {
    assert.ok(await box(name).isChecked());
    assert.ok(await box(name).evaluate((box) => box.indeterminate), name);
  }
  await show("folder-tree");
});

await step("a folder that is left out takes what is in it along", async () => {
  await box("2024").uncheck();
  await page.getByRole("button", { name: "Take in again: raw/2024", exact: true }).waitFor();
  await out("Left out: 1").waitFor();
  assert.equal(await box("dark").count(), 0);
  assert.ok(await inside("2024").isDisabled());
  await box("raw").uncheck();
  await out("Left out: 1").waitFor();
  await page.getByRole("button", { name: "Take in again: raw", exact: true }).click();
  await out("All are synced.").waitFor();
  await box("2024").uncheck();
  await box("only in the cloud").uncheck();
  await label("A folder by its path in the task").fill("/not/yet/there/");
  await page.keyboard.press("Enter");
  await out("Left out: 3").waitFor();
});

await step("very many folders in one", async () => {
  await inside("albums").click();
  await page.getByText("There are more.").waitFor();
  await box("00999").uncheck();
  await out("Left out: 4").waitFor();
  await label("A folder by its path in the task").fill("albums/01099");
  await click("Leave out");
  await out("Left out: 5").waitFor();
  for (const name of ["albums/00999", "albums/01099"]) await page.getByRole("button", { name: `Take in again: ${name}` }).click();
  await box("albums").uncheck();
  await out("Left out: 4").waitFor();
});

await step("files by extension, name and size", async () => {
  await label("Leave out files by extension").fill(".iso, *.JPG bak");
  await label("Leave out files by name").fill("draft-?.*\n");
  await label("Leave out files larger than").fill("1");
  await click("Show what will happen");
  await page.getByText("Left out: 7").waitFor();
  await click("Start");
  await page.getByText("Everything is in sync").waitFor();
  await page.getByText("Not in sync: 0 with problems, 7 left out by a rule").click();
  for (const text of ["names like *.iso.", "limit of 1 MiB.", "The task leaves out this folder."]) await page.getByText(text).first().waitFor();
});

await step("what was entered is there again, and can be taken back", async () => {
  await page.getByRole("link", { name: "Change: photo" }).first().click();
  await page.getByText("More settings").click();
  assert.equal(await label("Leave out files by extension").inputValue(), "JPG bak iso");
  assert.equal(await label("Leave out files by name").inputValue(), "draft-?.*");
  assert.equal(await label("Leave out files larger than").inputValue(), "1");
  await out("Left out: 4").waitFor();
  await page.getByRole("button", { name: "Take in again: not/yet/there" }).click();
  await label("Leave out files by extension").fill("JPG bak");
  await label("Leave out files larger than").fill("0");
  await click("Save");
  await page.getByText("Saved.").waitFor();
  await show("filters");
  await page.getByRole("navigation").getByRole("link", { name: "Overview" }).click();
  await page.getByRole("button", { name: "Sync now: photo" }).click();
  await page.locator("table").getByText("large.bin").first().waitFor();
  await page.locator("table").getByText("e.iso").first().waitFor();
});

await step("a folder that can't be looked into says so", async () => {
  await page.getByRole("link", { name: "Change: photo" }).first().click();
  await page.getByText("More settings").click();
  await label("Folder on this NAS").fill("relative");
  await click("Show the folders");
  await page.getByRole("alert").getByText("it isn't absolute").waitFor();
  await box("only in the cloud").waitFor();
  await eventually("it stays left out", async () => !(await box("only in the cloud").isChecked()));
});

await close();
