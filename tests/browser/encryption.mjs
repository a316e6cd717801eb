// Encrypted tasks: begun with a password, opened again on another NAS by the key that was saved, and read as Cloud Sync
// left them. What doesn't open a folder is told before anything is moved.

import { assert, fs, given, open, path } from "./browser.mjs";

const { base, password, local, dav, cloud_sync } = given;
const { page, show, step, close } = await open(new URL(base).origin);
const click = (text) => page.getByRole("button", { name: text, exact: true }).click();
const label = (text) => page.getByLabel(text, { exact: true });
const told = (text) => page.getByRole("alert").getByText(text).first().waitFor();
const done = () => page.getByText("Everything is in sync").waitFor();
const input = (key) => page.locator(`[name="${key}"]`);
const folder = (name) => {
  const made = path.join(local, name);
  fs.mkdirSync(made);
  return made;
};

/** Makes a connection with this password for its encrypted tasks, or none. */
async function connect(name, encryption) {
  await page.goto(`${base}#/connect`);
  await page.getByRole("button", { name: /WebDAV/ }).click();
  await label("Name").fill(name);
  await input("url").fill(dav.url);
  await input("user").fill(dav.user);
  await input("password").fill(dav.password);
  await page.getByText("More settings").click();
  await input("encryption-password").fill(encryption);
}

/** Enters a task for folders that belong together, as far as seeing what will happen. */
async function enter(connection, here, there, encryption) {
  await page.goto(`${base}#/new/${connection}`);
  await label("Folder on this NAS").fill(here);
  await page.getByLabel(/^Folder in the cloud/).fill(there);
  await page.locator("summary").filter({ hasText: "More settings" }).click();
  await input("encryption").selectOption({ label: encryption });
}

const diary = folder("diary");
fs.writeFileSync(path.join(diary, "monday.txt"), "dear diary");
let key = "";

await step("a password that is too short", async () => {
  await page.goto(base);
  await label("Password").fill(password);
  await page.keyboard.press("Enter");
  await page.getByRole("heading", { name: "Keep folders on this NAS" }).waitFor();
  await connect("first", "short");
  await show("password");
  await click("Connect");
  await page.getByRole("heading", { name: "first is connected" }).waitFor();
  await enter("first", diary, "/vault", "contents and names");
  await show("task");
  await click("Show what will happen");
  await told("fewer than 8 characters");
});

await step("an encrypted task", async () => {
  await page.goto(`${base}#/connection/first`);
  await page.getByText("More settings").click();
  await input("encryption-password").fill("a long password");
  await click("Save");
  await page.locator("form").getByText("Saved.").waitFor();
  await enter("first", diary, "/vault", "contents and names");
  await click("Show what will happen");
  await page.getByText("Sent to the cloud").waitFor();
  await click("Start");
  await done();
});

await step("its key, to be kept in a safe place", async () => {
  await page.goto(`${base}#/connection/first`);
  await page.getByText("Keep it in a safe place that isn't this NAS.").waitFor();
  await show("key");
  const [download] = await Promise.all([page.waitForEvent("download"), click("Save as a file: first")]);
  key = fs.readFileSync(await download.path(), "utf8").trim();
  assert.ok(key.length >= 40);
});

await step("a running task can't be encrypted otherwise", async () => {
  await page.goto(`${base}#/task/diary`);
  await page.locator("summary").filter({ hasText: "More settings" }).click();
  await input("encryption").selectOption({ label: "off" });
  await click("Save");
  await told("encryption");
  await page.goto(`${base}#/`);
});

await step("a wrong password is found out before anything is moved", async () => {
  const restored = folder("restored");
  await connect("second", "another password");
  await click("Connect");
  await page.getByRole("heading", { name: "second is connected" }).waitFor();
  await enter("second", restored, "/vault", "contents and names");
  await click("Show what will happen");
  await told("the password isn't the right one");
  await show("wrong-password");
  assert.deepEqual(fs.readdirSync(restored), []);
});

await step("the key that was saved opens it", async () => {
  const restored = path.join(local, "restored");
  await page.goto(`${base}#/connection/second`);
  await page.getByText("More settings").click();
  await input("forget encryption-password").check();
  await input("encryption-key").fill(key);
  await click("Save");
  await page.locator("form").getByText("Saved.").waitFor();
  await enter("second", restored, "/vault", "contents and names");
  await click("Show what will happen");
  await page.getByText("Fetched to this NAS").waitFor();
  await click("Start");
  await done();
  assert.equal(fs.readFileSync(path.join(restored, "monday.txt"), "utf8"), "dear diary");
});

await step("a folder of Cloud Sync", async () => {
  const old = folder("old");
  await connect("third", "wrong horse");
  await click("Connect");
  await page.getByRole("heading", { name: "third is connected" }).waitFor();
  const encryption = "Cloud Sync's format, for its folders";
  await enter("third", old, cloud_sync.folder, encryption);
  await page.getByRole("radio", { name: /Only to this NAS/ }).check();
  await click("Show what will happen");
  await told("password isn't the one");
  await page.goto(`${base}#/connection/third`);
  await page.getByText("More settings").click();
  await input("encryption-password").fill(cloud_sync.password);
  await click("Save");
  await page.locator("form").getByText("Saved.").waitFor();
  await enter("third", old, cloud_sync.folder, encryption);
  await page.getByRole("radio", { name: /Only to this NAS/ }).check();
  await click("Show what will happen");
  await page.getByText("Fetched to this NAS").waitFor();
  await click("Start");
  await done();
  assert.equal(fs.readdirSync(old).filter((name) => !name.startsWith(".")).length, 3);
});

await close();
