// The panel as the desktop of a NAS shows it: in a frame, below a path, by the web server and the bridge, to a user who
// isn't an administrator, and to one who is.

import { assert, eventually, fs, given, open, path } from "./browser.mjs";

const { base, own, hidden, dav, daemon } = given;
const { page, show, step, close } = await open(new URL(base).origin, { ignoreHTTPSErrors: true });
await page.context().addCookies([{ name: "id", value: "alice", url: base, secure: true }]);
const frame = page.frameLocator("iframe");
const told = (text) => frame.getByRole("alert").getByText(text).first().waitFor();

await step("in a frame of the desktop, below a path", async () => {
  await page.goto(`${base}desktop.html`);
  await frame.getByRole("heading", { name: "Keep folders on this NAS" }).waitFor();
  await page.evaluate(() => Object.assign(document.querySelector("iframe"), { width: "100%", height: "640" }));
  assert.equal(await frame.getByRole("link", { name: "Settings" }).count(), 0);
  await show("frame");
});

await step("a user connects", async () => {
  await frame.getByRole("link", { name: "Connect a cloud" }).click();
  await frame.getByRole("button", { name: /WebDAV/ }).click();
  await frame.getByLabel("Address", { exact: true }).fill(dav.url);
  await frame.locator("input[name=user]").fill(dav.user);
  await frame.locator("input[name=password]").fill("wrong");
  await frame.getByRole("button", { name: "Connect", exact: true }).click();
  await told("doesn't accept");
  await frame.locator("input[name=password]").fill(dav.password);
  await frame.getByRole("button", { name: "Connect", exact: true }).click();
  await frame.getByRole("heading", { name: "WebDAV is connected" }).waitFor();
});

await step("a user chooses from what they may look into", async () => {
  await frame.getByRole("link", { name: "Choose folders" }).click();
  const above = path.dirname(own);
  await frame.getByLabel("Folder on this NAS", { exact: true }).fill(above);
  await frame.getByRole("button", { name: "Choose…: Folder on this NAS" }).click();
  const picker = frame.getByRole("dialog");
  await picker.getByRole("button", { name: path.basename(own), exact: true }).waitFor();
  assert.equal(await picker.getByRole("button", { name: path.basename(hidden), exact: true }).count(), 0);
  await picker.getByRole("button", { name: path.basename(own), exact: true }).click();
  await picker.getByText(own, { exact: true }).waitFor();
  await picker.getByRole("button", { name: "Choose this folder" }).click();
  await frame.getByLabel("Folder on this NAS", { exact: true }).fill(hidden);
  await frame.getByRole("button", { name: "Show what will happen" }).click();
  await told("may not read and change it");
  await frame.getByLabel("Folder on this NAS", { exact: true }).fill(own);
  await frame.getByLabel(/^Folder in the cloud/).first().fill("/own");
  await frame.getByRole("button", { name: "Show what will happen" }).click();
  await frame.getByText("Sent to the cloud").waitFor();
  await frame.getByRole("button", { name: "Start" }).click();
  await frame.getByText("Everything is in sync").waitFor();
  await frame.locator("table").getByText("letter.txt").waitFor();
  await show("frame-in-sync");
});

await step("a name that can't be synced is another one then", async () => {
  await frame.getByText("Not in sync: 0 with problems, 1 left out by a rule").click();
  await frame.getByRole("button", { name: "Rename: 9:30.txt" }).click();
  assert.equal(await frame.getByRole("dialog").getByLabel("New name").inputValue(), "9_30.txt");
  await frame.getByRole("dialog").getByRole("button", { name: "Rename" }).click();
  await frame.locator("table").getByText("9_30.txt").first().waitFor();
});

await step("the desktop's file manager opens a shared folder", async () => {
  fs.symlinkSync("letter.txt", path.join(own, "link"));
  await frame.getByRole("button", { name: "Sync now: own" }).click();
  await frame.getByText("Not in sync: 0 with problems, 1 left out by a rule").waitFor();
  await page.evaluate(() => {
    window.SYNO = { SDS: { AppLaunch: (...given) => (window.launched = given) } };
  });
  // Here it is in no shared folder, so that its path is told.
  const button = frame.getByRole("button", { name: "Open folder: link" });
  if (!(await button.isVisible())) await frame.getByText(/^Not in sync/).click();
  await button.click();
  assert.equal(await frame.getByRole("dialog").getByLabel("Folder on this NAS").inputValue(), own);
  await page.keyboard.press("Escape");
  assert.equal(await page.evaluate(() => window.launched), undefined);
  // Were it on a volume, it would be.
  await page.route("**/v1/request", async (route) => {
    const answer = await route.fetch();
    await route.fulfill({ response: answer, body: (await answer.text()).replaceAll(own, "/volume1/photo/own") });
  });
  await frame.getByRole("button", { name: "Pause: own" }).click();
  await frame.getByText("/volume1/photo/own").waitFor();
  await button.click();
  await eventually("it is launched", () => page.evaluate(() => window.launched));
  assert.deepEqual(await page.evaluate(() => window.launched), [
    "SYNO.SDS.App.FileStation3.Instance", { opendir: "/photo/own" },
  ]);
  await page.unrouteAll({ behavior: "ignoreErrors" });
  await show("frame-items");
});

await step("what concerns everybody is for administrators", async () => {
  await page.evaluate(() => (document.querySelector("iframe").contentWindow.location.hash = "/settings"));
  await frame.getByRole("button", { name: "Resume: own" }).click();
  await frame.getByRole("button", { name: "Pause: own" }).waitFor();
  for (const name of ["Save", "Pause everything"]) assert.equal(await frame.getByRole("button", { name }).count(), 0, name);
  const kinds = await frame.locator("body").evaluate(async (_, requests) => {
    const headers = { "Content-Type": "application/json", "X-SYNO-TOKEN": "Good.token-1_" };
    const ask = (body) => fetch("api.cgi/v1/request", { method: "POST", headers, body: JSON.stringify(body) });
    return Promise.all(requests.map(async (each) => (await (await ask(each)).json()).error?.kind));
  }, [
    { request: "settings_set", key: "admin-mode", value: "on" }, { request: "pause", scope: "everything" },
    { request: "diagnostics", names: true }, { request: "export", password: null },
  ]);
  assert.deepEqual(kinds, Array(4).fill("denied"));
});

await step("admin mode", async () => {
  const context = await page.context().browser().newContext({ ignoreHTTPSErrors: true, locale: "en-GB" });
  await context.addCookies([{ name: "id", value: "admin", url: base, secure: true }]);
  const admin = await context.newPage();
  await admin.goto(`${base}index.html#SynoToken=Good.token-1_&lang=enu`);
  // What belongs to others isn't there.
  await admin.getByRole("heading", { name: "Keep folders on this NAS" }).waitFor();
  const turn = async (isOn) => {
    await admin.getByRole("link", { name: "Settings" }).click();
    await admin.getByLabel("Admin mode").setChecked(isOn);
    await admin.locator("form").filter({ has: admin.getByLabel("Admin mode") }).getByRole("button", { name: "Save" }).click();
    await admin.getByText("Saved.").waitFor();
  };
  const keep = admin.locator("form").filter({ has: admin.getByRole("heading", { name: "Keep all settings" }) });
  await admin.getByRole("link", { name: "Settings" }).click();
  await keep.getByRole("button", { name: "Save as a file" }).click();
  await keep.getByRole("alert").getByText("turn admin mode on first").waitFor();
  await turn(true);
  await admin.getByRole("link", { name: "Connections" }).click();
  await admin.getByText("Belongs to nobody").waitFor();
  await admin.getByRole("link", { name: "Overview" }).click();
  await admin.getByRole("button", { name: "Pause: own" }).click();
  await admin.getByRole("button", { name: "Resume: own" }).click();
  await admin.getByRole("button", { name: "Pause: own" }).waitFor();
  await turn(false);
  await admin.getByRole("link", { name: "Overview" }).click();
  await admin.getByRole("heading", { name: "Keep folders on this NAS" }).waitFor();
  await context.close();
});

await step("another site can't frame it", async () => {
  const other = await page.context().newPage();
  await other.goto(`data:text/html,<iframe src="${base}index.html"></iframe>`);
  await other.waitForTimeout(1_500);
  assert.equal(await other.frameLocator("iframe").locator("header").count(), 0);
  await other.close();
});

await step("a daemon that doesn't run", async () => {
  process.kill(daemon);
  await frame.getByText("Mooring isn't running").waitFor();
  await show("not-running");
});

await close();
