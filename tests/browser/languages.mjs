// What went wrong is told in each language of the page, beside what the daemon says of it.

import { assert, fs, given, open, path } from "./browser.mjs";

const { base, password, texts, dav } = given;
const { page, show, step, close } = await open(new URL(base).origin);

/** A language's texts by section and key. */
function textsOf(language) {
  const found = {};
  let section = "";
  for (const line of fs.readFileSync(path.join(texts, `${language}.ini`), "utf8").split("\n")) {
    const [, head, key, text] = /^\[(.+)\]|^(\w+)="(.*)"/.exec(line) ?? [];
    if (head) section = head;
    else if (key) found[`${section}:${key}`] = text;
  }
  return found;
}

const alert = page.getByRole("alert").filter({ has: page.locator("p") });
const input = (name) => page.locator(`input[name=${name}]`);

await step("a password that isn't the one", async () => {
  await page.goto(`${base}?lang=ger`);
  await input("password").fill("something else");
  await page.keyboard.press("Enter");
  await alert.getByText(textsOf("ger")["error:login"], { exact: true }).waitFor();
  await alert.locator("[lang=en]").getByText("this isn't the password").waitFor();
  await input("password").fill(password);
  await page.keyboard.press("Enter");
  await page.getByRole("navigation").waitFor();
});

for (const language of fs.readdirSync(texts).map((name) => name.replace(".ini", ""))) {
  await step(`a service that can't be reached, and one that refuses: ${language}`, async () => {
    const text = textsOf(language);
    await page.goto(`${base}?lang=${language}#/`);
    await page.goto(`${base}#/connect`);
    await page.locator(".choice").filter({ hasText: "WebDAV" }).click();
    await input("url").fill("http://127.0.0.1:9/");
    await page.locator("form button[type=submit]").click();
    await alert.getByText(text["error:offline"], { exact: true }).waitFor();
    await alert.locator("[lang=en]").getByText("127.0.0.1:9").first().waitFor();
    const advice = text["remedy:offline"];
    assert.equal(advice === undefined, language === "enu");
    if (advice) await alert.getByText(advice, { exact: true }).waitFor();
    if (language === "jpn") await show("offline");
    await input("url").fill(dav.url);
    await input("user").fill(dav.user);
    await input("password").fill("wrong");
    await page.locator("form button[type=submit]").click();
    await alert.getByText(text["error:sign_in"], { exact: true }).waitFor();
  });
}

await close();
