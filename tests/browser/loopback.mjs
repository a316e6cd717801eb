// The whole of what an owner does, at the daemon's own address.

import { assert, eventually, fs, given, open, path } from "./browser.mjs";

const { base, password, local, dav, drive, daemon } = given;
const { page, show, step, traffic, close } = await open(new URL(base).origin);
const click = (text) => page.getByRole("button", { name: text, exact: true }).click();
const heading = (text) => page.getByRole("heading", { name: text }).waitFor();
const place = (text) => page.getByRole("navigation").getByRole("link", { name: text }).click();
const told = (text) => page.getByRole("alert").getByText(text).first().waitFor();
const label = (text) => page.getByLabel(text, { exact: true });
const files = (count, folder) => {
  for (let number = 1; number <= count; number++) fs.writeFileSync(path.join(folder, `IMG_${number}.jpg`), `picture ${number}`.repeat(2000));
};
const photo = path.join(local, "photo");
fs.mkdirSync(photo);
files(12, photo);
fs.symlinkSync("IMG_1.jpg", path.join(photo, "link.jpg"));

await step("logging in", async () => {
  await page.goto(base);
  await label("Password").waitFor();
  await show("login");
  await label("Password").fill("something else");
  await click("Sign in");
  await told("password");
  await label("Password").fill(password);
  await page.keyboard.press("Enter");
  await heading("Keep folders on this NAS");
  await show("welcome");
});

await step("a connection, tried out before it is saved", async () => {
  await page.getByRole("link", { name: "Connect a cloud" }).click();
  await heading("Which cloud?");
  await show("services");
  await page.getByRole("button", { name: /WebDAV/ }).click();
  await heading("Connect to WebDAV");
  await click("Connect");
  assert.ok(await label("Address").evaluate((input) => !input.validity.valid && input === document.activeElement));
  await label("Address").fill("ftp://nowhere");
  await click("Connect");
  assert.ok(await label("Address").evaluate((input) => !input.validity.valid));
  await label("Address").fill("http://127.0.0.1:9/");
  await click("Test");
  await told("127.0.0.1");
  await label("Address").fill(dav.url);
  await page.locator("input[name=user]").fill(dav.user);
  await page.locator("input[name=password]").fill("wrong");
  await click("Connect");
  await told("doesn't accept");
  await show("refused");
  await page.locator("input[name=password]").fill(dav.password);
  await click("Test");
  await page.getByText("It works.").waitFor();
  await click("Connect");
  await heading("WebDAV is connected");
});

await step("a task: folders, direction, preview", async () => {
  await page.getByRole("link", { name: "Choose folders" }).click();
  await heading("Which folders belong together?");
  await page.getByRole("button", { name: "Choose…: Folder on this NAS" }).click();
  const picker = page.getByRole("dialog");
  for (const name of local.split("/").filter(Boolean)) await picker.getByRole("button", { name, exact: true }).click();
  await picker.getByText(local, { exact: true }).waitFor();
  await picker.getByLabel("New folder").fill("made here");
  await picker.getByRole("button", { name: "Make" }).click();
  await picker.getByText(`${local}/made here`, { exact: true }).waitFor();
  assert.ok(fs.statSync(path.join(local, "made here")).isDirectory());
  await picker.getByRole("button", { name: "Up" }).click();
  await picker.getByRole("button", { name: "photo", exact: true }).click();
  await picker.getByText(photo, { exact: true }).waitFor();
  await show("folders");
  await picker.getByRole("button", { name: "Choose this folder" }).click();
  assert.equal(await label("Name").inputValue(), "photo");

  await page.getByRole("button", { name: /Choose…: Folder in the cloud/ }).click();
  await picker.getByText("No folders in here").waitFor();
  await picker.getByLabel("New folder").fill("pictures");
  await page.keyboard.press("Enter");
  await picker.getByText("/pictures", { exact: true }).waitFor();
  await picker.getByRole("button", { name: "Choose this folder" }).click();
  await page.getByText("More settings").click();
  await label("Leave out files by name").fill("*.tmp");
  await show("task");
  await click("Show what will happen");
  await heading("What the first sync will do");
  await page.getByText("Sent to the cloud").waitFor();
  await page.getByText(/^Items: 12 · /).waitFor();
  await page.getByText("Left out: 1").waitFor();
  await show("preview");
  await click("Start");
  await page.getByText("Everything is in sync").waitFor();
});

await step("what isn't in sync, and why", async () => {
  await page.getByText("Not in sync: 0 with problems, 1 left out by a rule").click();
  await page.locator("details").getByText("it is a symbolic link").waitFor();
  await page.locator("table").getByText("IMG_7.jpg").waitFor();
  await show("overview");
});

await step("pausing and syncing", async () => {
  await page.getByRole("button", { name: "Pause: photo" }).click();
  await page.getByRole("button", { name: "Resume: photo" }).waitFor();
  await page.getByRole("button", { name: "Resume: photo" }).click();
  await page.getByRole("button", { name: "Pause: photo" }).waitFor();
  fs.writeFileSync(path.join(photo, "new.txt"), "new");
  await page.getByRole("button", { name: "Sync now: photo" }).click();
  await page.locator("table").getByText("new.txt").waitFor();
});

await step("much at once waits for a person's word", async () => {
  for (let number = 1; number <= 12; number++) fs.rmSync(path.join(photo, `IMG_${number}.jpg`));
  await page.getByRole("button", { name: "Sync now: photo" }).click();
  // A look at the folder meanwhile may have removed fewer than wait, which count all the same.
  await page.getByText(/\d+ of 13 files in the cloud would be removed/).waitFor();
  await show("waiting");
  await page.getByRole("button", { name: "Approve: photo" }).click();
  const dialog = page.getByRole("dialog");
  await dialog.getByText("What is there now will be lost, unless the service keeps it.").waitFor();
  await show("approve");
  assert.equal(await page.evaluate(() => document.activeElement.textContent), "Cancel");
  await page.keyboard.press("Escape");
  await dialog.waitFor({ state: "hidden" });
  await page.getByRole("button", { name: "Approve: photo" }).click();
  await dialog.getByRole("button", { name: "Approve" }).click();
  await page.getByText("Everything is in sync").waitFor();
});

await step("an open page that is idle, or isn't seen", async () => {
  await page.waitForTimeout(1_000);
  Object.assign(traffic, { requests: 0, bytes: 0 });
  await page.waitForTimeout(21_000);
  const { requests, bytes } = traffic;
  assert.ok(requests >= 1 && requests <= 3, `${requests} requests`);
  console.log(`idle: ${(requests / 21 * 60).toFixed(0)} requests and ${(bytes / 21 * 60).toFixed(0)} bytes a minute`);
  await page.evaluate(() => window.setSeen(false));
  Object.assign(traffic, { requests: 0, bytes: 0 });
  await page.waitForTimeout(12_000);
  assert.equal(traffic.requests, 0);
  await page.evaluate(() => window.setSeen(true));
  await eventually("it looks again", () => traffic.requests > 0);
});

await step("the history: searched, filtered and taken along", async () => {
  await place("History");
  await page.getByText(/^Lines: \d+ of \d+$/).waitFor();
  await show("history");
  await label("Search").fill("new.txt");
  await page.getByText("Lines: 1 of").waitFor();
  const [download] = await Promise.all([page.waitForEvent("download"), click("Save as a file")]);
  const text = fs.readFileSync(await download.path(), "utf8").split("\r\n");
  assert.equal(text[0], '\ufeff"time","task","action","path","bytes","detail"');
  assert.match(text[1], /^"\d{4}-.*","photo","uploaded","new.txt","3","/);
  await label("Search").fill("");
  await label("What").selectOption("removed in the cloud");
  await page.getByText("Lines: 12 of").waitFor();
});

await step("what was removed in the cloud is kept here, and put back", async () => {
  await place("Overview");
  fs.mkdirSync(path.join(photo, "trip"));
  for (const name of ["old.txt", "older.txt"]) fs.writeFileSync(path.join(photo, "trip", name), name);
  await page.getByRole("button", { name: "Sync now: photo" }).click();
  await page.locator("table").getByText("trip/older.txt").waitFor();
  const authorization = `Basic ${btoa(`${dav.user}:${dav.password}`)}`;
  const removed = await fetch(`${dav.url}pictures/trip/`, { method: "DELETE", headers: { authorization } });
  assert.ok(removed.ok);
  await page.getByRole("button", { name: "Sync now: photo" }).click();
  const kept = (count) => page.getByRole("link", { name: `Removed files kept: ${count}, ` });
  await kept(2).waitFor();
  await page.getByRole("link", { name: "Change: photo" }).click();
  await page.getByText("More settings").click();
  await label("Days to keep removed files").fill("0");
  await click("Save");
  const dialog = page.getByRole("dialog");
  await dialog.getByText("Removed files kept: 2, 16 B, in .mooring/1/removed").waitFor();
  await show("forget");
  await dialog.getByRole("button", { name: "Cancel" }).click();
  await place("Overview");
  await kept(2).click();
  await heading("Removed files of photo");
  await page.locator("main li a").first().click();
  await page.getByRole("link", { name: "trip" }).click();
  await page.getByRole("button", { name: "Put back: old.txt" }).waitFor();
  await show("removed");
  await page.getByRole("button", { name: "Put back: old.txt" }).click();
  await page.getByText("trip/old.txt is back where it was.").waitFor();
  assert.equal(fs.readFileSync(path.join(photo, "trip", "old.txt"), "utf8"), "old.txt");
  fs.writeFileSync(path.join(photo, "trip", "older.txt"), "another");
  await page.getByRole("button", { name: "Put back: older.txt" }).click();
  await told("something is there by this name");
  await place("Overview");
  await kept(1).waitFor();
  fs.rmSync(path.join(photo, "trip"), { recursive: true });
  await page.getByRole("button", { name: "Sync now: photo" }).click();
  await page.getByText("Everything is in sync").waitFor();
});

await step("changing a task", async () => {
  await place("Overview");
  await page.getByRole("link", { name: "Change: photo" }).click();
  await page.getByText("More settings").click();
  assert.equal(await label("Leave out files by extension").inputValue(), "tmp");
  fs.mkdirSync(path.join(photo, "drafts"));
  await click("Show the folders");
  await page.getByRole("checkbox", { name: "drafts" }).uncheck();
  await page.getByText("Left out: 1", { exact: true }).waitFor();
  const conflict = label("When both sides changed a file");
  await conflict.selectOption("The newer version keeps the name");
  await page.getByRole("radio", { name: /Only to the cloud/ }).check();
  await click("Save");
  await page.getByText("Saved.").waitFor();
  await show("change-task");
  await page.reload();
  await page.getByText("More settings").click();
  await page.getByRole("button", { name: "Take in again: drafts" }).waitFor();
  assert.ok(await page.getByRole("radio", { name: /Only to the cloud/ }).isChecked());
  await page.getByRole("radio", { name: /Both ways/ }).check();
  assert.equal(await conflict.inputValue(), "newer");
});

await step("the hours of a connection, by mouse and keyboard", async () => {
  await place("Connections");
  await show("connections");
  await page.getByRole("link", { name: "Change: WebDAV" }).click();
  await label("Only at certain hours").check();
  const cell = (at) => page.locator(`[data-at="${at}"]`);
  await cell("6 23").scrollIntoViewIfNeeded();
  const [from, to] = [await cell("5 0").boundingBox(), await cell("5 5").boundingBox()];
  await page.mouse.move(from.x + 4, from.y + 4);
  await page.mouse.down();
  await page.mouse.move(to.x + 4, to.y + 4, { steps: 24 });
  await page.mouse.up();
  await cell("6 0").focus();
  await page.keyboard.press("Space");
  for (let hour = 0; hour < 5; hour++) await page.keyboard.press("Shift+ArrowRight");
  await show("schedule");
  await click("Save: When it runs");
  await page.getByText("Saved.").waitFor();
  await page.reload();
  for (const at of ["5 0", "5 5", "6 0", "6 5"]) assert.equal(await cell(at).getAttribute("aria-selected"), "false", at);
  for (const at of ["5 6", "6 6", "4 0"]) assert.equal(await cell(at).getAttribute("aria-selected"), "true", at);
  await label("Only at certain hours").uncheck();
  await click("Save: When it runs");
  await page.getByText("Saved.").waitFor();
});

await step("changing a connection keeps its secret", async () => {
  await page.getByText("More settings").click();
  await page.locator("input[name=max-upload]").fill("2048");
  await click("Save");
  await page.locator("form").getByText("Saved.").waitFor();
  await page.locator("input[name=password]").fill("wrong");
  await click("Save");
  await told("doesn't accept");
  await show("change-connection");
  await page.getByText("Used by: photo").waitFor();
  assert.ok(await page.getByRole("button", { name: "Remove", exact: true }).isDisabled());
});

await step("what is sent now, how fast, and how long it will take", async () => {
  await page.reload();
  await page.getByText("More settings").click();
  await page.locator("input[name=max-upload]").fill("256");
  await page.locator("input[name=poll]").fill("90");
  await click("Save");
  await page.locator("form").getByText("Saved.").waitFor();
  await place("Overview");
  const long = path.join(photo, "long.bin");
  fs.writeFileSync(long, Buffer.alloc(4 << 20, "x"));
  await page.getByRole("button", { name: "Sync now: photo" }).click();
  await page.getByText(/^long.bin · /).waitFor();
  await page.locator(".facts").getByText(/ KiB\/s$/).waitFor();
  await page.locator(".facts").getByText(/^about .* left$/).waitFor();
  await page.getByRole("img", { name: /^Speed in the last minutes/ }).waitFor();
  await show("transferring");
  await page.getByText("Everything is in sync").waitFor();
  fs.rmSync(long);
  await page.getByRole("button", { name: "Sync now: photo" }).click();
  await page.locator("tr").filter({ hasText: "removed in the cloud" }).getByText("long.bin").waitFor();
});

await step("signing in, and again when the service takes it back", async () => {
  await page.goto(`${base}#/connect`);
  await page.getByRole("button", { name: /Google Drive/ }).click();
  await page.locator("input[name=client-id]").fill(drive.id);
  await page.locator("input[name=client-secret]").fill(drive.secret);
  await page.getByText("More settings").click();
  await page.locator("input[name=endpoint]").fill(drive.endpoint);
  await show("sign-in-app");
  await click("Connect");
  const bringBack = async () => {
    const link = page.getByRole("link", { name: "First open this page" });
    const answer = await fetch(await link.getAttribute("href"), { redirect: "manual" });
    await page.getByRole("textbox", { name: /paste the address/ }).fill(answer.headers.get("location"));
  };
  await page.getByRole("textbox", { name: /paste the address/ }).fill("http://127.0.0.1/?code=wrong&state=wrong");
  await click("Finish");
  await page.getByRole("alert").locator(".banner").waitFor();
  await bringBack();
  await show("sign-in");
  await click("Finish");
  await heading("Google Drive is connected");
  await page.getByRole("link", { name: "Choose folders" }).click();
  await label("Folder on this NAS").fill(path.join(local, "made here"));
  await page.getByRole("button", { name: /Choose…: Folder in the cloud/ }).click();
  await page.getByRole("dialog").getByRole("button", { name: drive.folder, exact: true }).click();
  await page.getByRole("dialog").getByText(`/${drive.folder}`, { exact: true }).waitFor();
  await page.getByRole("dialog").getByRole("button", { name: "Choose this folder" }).click();
  await click("Show what will happen");
  await page.getByText("Both sides are the same already.").waitFor();
  await click("Start");
  await page.getByText("Everything is in sync").waitFor();
  await fetch(`${drive.endpoint}/_control/revoke`, { method: "POST", body: "{}" });
  fs.writeFileSync(path.join(local, "made here", "later.txt"), "later");
  await page.getByRole("button", { name: "Sync now: made here" }).click();
  await page.getByRole("button", { name: "Sign in: Google Drive" }).waitFor();
  await show("signed-out");
  await page.getByRole("button", { name: "Sign in: Google Drive" }).click();
  await bringBack();
  await page.getByRole("dialog").getByRole("button", { name: "Finish" }).click();
  await page.locator("table").getByText("later.txt").waitFor();
});

await step("the settings of the program", async () => {
  await place("Settings");
  await label("Transfers at a time").fill("3");
  await show("settings");
  await click("Save");
  await page.getByText("Saved.").waitFor();
  await page.reload();
  await eventually("it is kept", async () => (await page.locator("input[name=transfers]").inputValue().catch(() => "")) === "3");
});

await step("removing says what is lost, and takes no file", async () => {
  await place("Overview");
  await page.getByRole("link", { name: "Change: photo" }).click();
  await click("Remove");
  await page.getByRole("dialog").getByText("All files stay, here and in the cloud.").waitFor();
  await page.getByRole("dialog").getByRole("button", { name: "Remove" }).click();
  await heading("Tasks");
  await page.getByRole("link", { name: "Change: photo" }).waitFor({ state: "hidden" });
  await page.goto(`${base}#/connection/WebDAV`);
  await click("Remove");
  await page.getByRole("dialog").getByText("The NAS forgets this connection").waitFor();
  await page.getByRole("dialog").getByRole("button", { name: "Remove" }).click();
  await page.getByRole("heading", { name: "Connections" }).waitFor();
  await page.getByRole("link", { name: "Change: WebDAV" }).waitFor({ state: "hidden" });
  assert.ok(fs.existsSync(path.join(photo, "new.txt")));
});

await step("the keyboard is enough", async () => {
  await place("Overview");
  await heading("Tasks");
  await page.locator(".brand").focus();
  const reached = new Set();
  for (let press = 0; press < 20; press++) {
    await page.keyboard.press("Tab");
    reached.add(await page.evaluate(() => document.activeElement.textContent));
  }
  for (const text of ["Connections", "Pause everything", "Choose folders", "Sync now"]) assert.ok(reached.has(text), text);
});

await step("a daemon that ends", async () => {
  process.kill(daemon);
  await page.getByText("The NAS gives no proper answer").waitFor();
  await show("no-answer");
});

await close();
