// SPDX-License-Identifier: Apache-2.0
// Looks at the chat page of `forge serve` in Debian's Chromium.
//   npm ci && node --test chat_test.mjs
// FORGE names the program (default ../../build/release/forge), FORGE_CHAT_MODEL a model with a chat template; SCREENSHOTS a
// folder for pictures (default: none are taken).
import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { dirname, join } from "node:path";
import { after, before, test } from "node:test";
import { fileURLToPath } from "node:url";
import { openBrowser, outside } from "./browser.mjs";

const here = dirname(fileURLToPath(import.meta.url));
const program = process.env.FORGE ?? join(here, "../../build/release/forge");
const model = process.env.FORGE_CHAT_MODEL ?? join(here, "../../../shared/data/models/smollm2-135m-instruct/SmolLM2-135M-Instruct.Q4_1.gguf");
const pictures = process.env.SCREENSHOTS;
let browser, server, url, page;

function startServer(port, ...more) {
  return new Promise((resolve, reject) => {
    const child = spawn(program, ["serve", model, "--port", String(port), "--json", ...more], { stdio: ["ignore", "pipe", "inherit"] });
    child.on("error", reject);
    child.on("exit", (code) => reject(new Error(`the server ended with ${code}`)));
    child.stdout.once("data", (text) => resolve([child, JSON.parse(text).url]));
  });
}
const ended = (child) => new Promise((resolve) => { child.removeAllListeners("exit"); child.once("exit", resolve); child.kill("SIGKILL"); });
const picture = async (name) => { if (pictures) await page.screenshot({ path: join(pictures, name + ".png"), fullPage: true }); };
async function send(text) {
  await page.getByLabel("Message", { exact: true }).fill(text);
  await page.keyboard.press("Enter");
}
async function set(label, value) {
  await page.locator("details").evaluate((element) => { element.open = true; });
  await page.getByLabel(label).fill(value);
}
const closeSettings = () => page.locator("details").evaluate((element) => { element.open = false; });
const answers = () => page.locator(".message.assistant p");

before(async () => {
  [server, url] = await startServer(0);
  browser = await openBrowser();
  page = browser.page;
  await page.goto(url);
});
after(async () => {
  await browser?.close();
  if (server) await ended(server);
});

test("it shows which model answers", async () => {
  await page.getByRole("heading", { level: 1 }).filter({ hasText: "SmolLM2" }).waitFor();
});

test("an answer grows while it is written, and the next question knows of it", async () => {
  await set("Temperature", "0");
  await set("Tokens at most", "40");
  await picture("chat-1-settings");
  await closeSettings();
  await page.evaluate(() => {
    window.states = new Set();
    window.stopShown = false;
    new MutationObserver(() => {
      window.states.add(document.querySelector(".message.assistant p")?.textContent);
      window.stopShown ||= !document.querySelector("#stop").hidden;
    }).observe(document.body, { childList: true, subtree: true, characterData: true, attributes: true, attributeFilter: ["hidden"] });
  });
  await send("My name is Alice. Say hello to me.");
  await page.waitForFunction(() => window.stopShown && !document.querySelector("#send").hidden);
  assert.ok(await page.evaluate(() => window.states.size) > 5);
  const first = await answers().first().textContent();
  assert.ok(first.length > 10, first);
  const asked = page.waitForRequest("**/v1/chat/completions");
  await send("What is my name?");
  const messages = (await asked).postDataJSON().messages;
  assert.deepEqual(messages.map((m) => m.role), ["user", "assistant", "user"]);
  assert.equal(messages[1].content, first);
  await page.locator("#send").waitFor();
  assert.ok((await answers().nth(1).textContent()).length > 0);
  await picture("chat-2-conversation");
});

test("it stops when it is told to, and the server does, too", async () => {
  await set("Tokens at most", "2000");
  await closeSettings();
  await send("Write a long story about a forge.");
  await answers().nth(2).filter({ hasText: /.{20}/ }).waitFor();
  await page.getByRole("button", { name: "Stop" }).click();
  await page.locator(".note", { hasText: "Stopped." }).waitFor();
  await page.locator("#send").waitFor();
  for (let i = 0; (await (await fetch(url + "/health")).json()).running > 0; ++i) {
    assert.ok(i < 100, "it still runs after 2 s");
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
});

test("what the server refuses is shown", async () => {
  await set("Temperature", "7");
  await send("Hello");
  await page.locator(".trouble", { hasText: "temperature is 7; it must be 0 to 2" }).waitFor();
  await picture("chat-3-refused");
  assert.equal(await page.getByLabel("Message", { exact: true }).inputValue(), "Hello");  // not lost
  await set("Temperature", "0");
  await closeSettings();
});

test("text of a model is never read as HTML", async () => {
  await set("Tokens at most", "20");
  await closeSettings();
  await send("<img src=x onerror=alert(1)> <b>bold</b>");
  await page.locator(".message.user").last().getByText("<b>bold</b>").waitFor();
  await page.locator("#send").waitFor();
  assert.equal(await page.locator("#messages b, #messages img").count(), 0);
});

test("it can be used with the keyboard and on a narrow screen", async () => {
  await page.locator("#send").waitFor();
  assert.equal(await page.evaluate(() => document.activeElement.id), "text");
  await page.getByLabel("Message", { exact: true }).fill("");
  await page.keyboard.type("one");
  await page.keyboard.press("Shift+Enter");
  assert.equal(await page.getByLabel("Message", { exact: true }).inputValue(), "one\n");
  await page.keyboard.press("Tab");
  assert.equal(await page.evaluate(() => document.activeElement.id), "send");
  await page.setViewportSize({ width: 400, height: 800 });
  assert.equal(await page.evaluate(() => document.documentElement.scrollWidth <= innerWidth), true, "scrolls sideways");
  await picture("chat-4-narrow");
  await page.emulateMedia({ colorScheme: "dark" });
  await picture("chat-5-dark");
  await page.setViewportSize({ width: 1440, height: 1000 });
});

test("nothing external was requested and the console is empty but for the refusal", () => {
  assert.deepEqual(outside(browser.requests, url), []);
  assert.deepEqual(browser.problems.filter((text) => !text.includes("400")), []);
});

test("a server that asks for a key gets it from the page", async () => {
  await ended(server);
  [server, url] = await startServer(0, "--api-key", "k");
  await page.goto(url);
  await page.locator(".trouble", { hasText: "asks for a key" }).waitFor();
  await set("API key", "k");
  await page.getByLabel("API key").press("Tab");
  await page.getByRole("heading", { level: 1 }).filter({ hasText: "SmolLM2" }).waitFor();
});

test("a server that went away is told", async () => {
  await ended(server);
  server = null;
  await send("Hello");
  await page.locator(".trouble", { hasText: "does not answer" }).waitFor();
});
