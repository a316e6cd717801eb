// A connection to a service with buckets: its address and region from a list or by hand, its bucket chosen or made.

import { assert, fs, given, open, path } from "./browser.mjs";

const { base, password, local, s3, bucket, made, azure, b2, gcs, swift } = given;
const { page, show, step, close } = await open(new URL(base).origin);
const click = (text) => page.getByRole("button", { name: text, exact: true }).click();
const heading = (text) => page.getByRole("heading", { name: text }).waitFor();
const list = (text) => page.getByRole("combobox", { name: text });
const input = (name) => page.locator(`input[name=${name}]`);
const value = (name) => input(name).inputValue();
const picker = page.getByRole("dialog");
/** Makes a bucket or container of this name in place. */
const make = async (kind, name) => {
  await page.getByRole("button", { name: `Choose…: ${kind}` }).click();
  await picker.getByLabel("New name").fill(name);
  await picker.getByRole("button", { name: "Make" }).click();
  await picker.waitFor({ state: "hidden" });
  assert.equal(await value(kind.toLowerCase()), name);
};
const begin = async (service) => {
  await page.goto(`${base}#/connect`);
  await page.getByRole("button", { name: service }).click();
};
const choose = () => page.getByRole("button", { name: "Choose…: Bucket" }).click();

await step("a provider with its regions, and an address that is suggested", async () => {
  await page.goto(base);
  await page.getByLabel("Password", { exact: true }).fill(password);
  await page.keyboard.press("Enter");
  await page.getByRole("link", { name: "Connect a cloud" }).click();
  await page.getByRole("button", { name: /Amazon S3/ }).click();
  await heading("Connect to Amazon S3");
  assert.equal(await value("endpoint"), "");
  await list("Provider").selectOption("Wasabi");
  assert.equal(await value("region"), "");
  await list("Region").selectOption({ label: "eu-central-1" });
  assert.equal(await value("region"), "eu-central-1");
  await list("Provider").selectOption("Amazon S3");
  assert.equal(await value("region"), "");
  await list("Region").selectOption({ label: "Amazon: Europe (Frankfurt) · eu-central-1" });
  assert.equal(await value("region"), "eu-central-1");
  await list("Address").selectOption({ label: "Amazon China (Beijing) · https://s3.cn-north-1.amazonaws.com.cn" });
  assert.equal(await value("endpoint"), "https://s3.cn-north-1.amazonaws.com.cn");
});

await step("others by hand", async () => {
  await list("Address").selectOption("another");
  const address = page.getByLabel("Address: another");
  await address.fill("ftp://nowhere");
  await choose();
  assert.ok(await address.evaluate((input) => !input.validity.valid));
  assert.equal(await picker.count(), 0);
  await address.fill(s3.endpoint);
  await list("Provider").selectOption("Another server");
  await list("Region").selectOption("us-east-1");
});

await step("what is missing is asked for before buckets are looked for", async () => {
  await choose();
  assert.equal(await page.evaluate(() => document.activeElement.name), "access-key");
  assert.equal(await picker.count(), 0);
});

await step("why no buckets are shown", async () => {
  await input("access-key").fill(s3.access_key);
  await input("secret-key").fill(s3.secret_key);
  await page.getByLabel("Address: another").fill("http://127.0.0.1:9/");
  await choose();
  await picker.getByRole("alert").getByText("127.0.0.1:9").waitFor();
  await show("bucket-refused");
  await picker.getByRole("button", { name: "Cancel" }).click();
  await picker.waitFor({ state: "hidden" });
  await page.getByLabel("Address: another").fill(s3.endpoint);
});

await step("a bucket is chosen", async () => {
  await choose();
  await picker.getByRole("button", { name: bucket, exact: true }).waitFor();
  await show("bucket");
  await picker.getByRole("button", { name: bucket, exact: true }).click();
  await picker.waitFor({ state: "hidden" });
  assert.equal(await value("bucket"), bucket);
  assert.equal(await page.evaluate(() => document.activeElement.textContent), "Choose…");
});

await step("a bucket is made", async () => {
  await choose();
  await picker.getByLabel("New name").fill("No");
  await picker.getByRole("button", { name: "Make" }).click();
  await picker.getByRole("alert").getByText("3 to 63 of the characters").waitFor();
  await picker.getByLabel("New name").fill(made);
  await page.keyboard.press("Enter");
  await picker.waitFor({ state: "hidden" });
  assert.equal(await value("bucket"), made);
});

await step("how files are stored there", async () => {
  await page.getByText("More settings").click();
  await page.getByLabel("Part size (MiB)").fill("4");
  await click("Connect");
  assert.ok(await page.getByLabel("Part size (MiB)").evaluate((input) => !input.validity.valid));
  await page.getByLabel("Part size (MiB)").fill("5");
  await page.getByLabel("Storage class").fill("STANDARD_IA");
  await page.getByLabel("Encryption by the service").selectOption("aws:kms");
  await page.getByLabel("KMS key").fill("notes-key");
  await show("bucket-advanced");
  await click("Connect");
  await heading("Amazon S3 and compatible is connected");
  const sizes = { "small.txt": 5, "large.bin": 16 << 20 };
  for (const [name, size] of Object.entries(sizes)) fs.writeFileSync(path.join(local, name), "x".repeat(size));
  await page.getByRole("link", { name: "Choose folders" }).click();
  await page.getByLabel("Folder on this NAS", { exact: true }).fill(local);
  await page.getByLabel("Folder in the cloud", { exact: true }).fill("/");
  await click("Show what will happen");
  await page.getByText("Sent to the cloud").waitFor();
  await click("Start");
  await page.getByText("Everything is in sync").waitFor();
});

await step("a container of Azure, and the wizard anew from its last page", async () => {
  await begin(/Azure Blob Storage/);
  await input("account").fill(azure.account);
  await input("account-key").fill(azure.key);
  await input("endpoint").fill(azure.endpoint);
  await page.getByRole("button", { name: "Choose…: Container" }).click();
  await picker.getByRole("button", { name: azure.container, exact: true }).click();
  await picker.waitFor({ state: "hidden" });
  assert.equal(await value("container"), azure.container);
  await click("Connect");
  await heading("Azure Blob Storage is connected");
  await page.goto(`${base}#/connect`);
  await heading("Which cloud?");
});

await step("a bucket of B2", async () => {
  await begin(/Backblaze B2/);
  await input("endpoint").fill(b2.endpoint);
  await input("key-id").fill(b2.id);
  await input("application-key").fill(b2.key);
  await make("Bucket", b2.made);
  await click("Connect");
  await heading("Backblaze B2 is connected");
});

await step("a bucket of Google, by a key that is tried out first", async () => {
  await begin(/Google Cloud Storage/);
  await page.locator("summary").click();
  await input("endpoint").fill(gcs.endpoint);
  const key = page.locator("textarea[name=service-account]");
  // Without a key a person signs in once all is entered.
  assert.equal(await page.getByRole("button", { name: "Test", exact: true }).count(), 0);
  await key.fill(JSON.stringify({ ...JSON.parse(gcs.key), private_key_id: "0" }));
  await input("bucket").fill(gcs.made);
  await click("Test");
  await page.getByRole("alert").getByText("The service doesn't let Mooring in").waitFor();
  await show("google-key-refused");
  await key.fill(gcs.key);
  await make("Bucket", gcs.made);
  await click("Test");
  await page.getByText("It works.").waitFor();
  await click("Connect");
  await heading("Google Cloud Storage is connected");
});

await step("a container of Swift", async () => {
  await begin(/OpenStack Swift/);
  await input("endpoint").fill(swift.endpoint);
  await input("user").fill(swift.user);
  await input("key").fill(swift.key);
  await make("Container", swift.made);
  await click("Connect");
  await heading("OpenStack Swift is connected");
});

await step("another bucket for a connection that is there, by its sealed key", async () => {
  await page.goto(`${base}#/connection/${encodeURIComponent("Amazon S3 and compatible")}`);
  await page.getByLabel("Address: another").waitFor();
  assert.equal(await page.getByLabel("Address: another").inputValue(), s3.endpoint);
  await choose();
  await picker.getByRole("button", { name: bucket, exact: true }).click();
  assert.equal(await value("bucket"), bucket);
  await click("Save");
  await page.getByText("Saved.").waitFor();
  await show("bucket-changed");
});

await close();
