// SPDX-License-Identifier: Apache-2.0
// Looks at the dashboard in Debian's Chromium while a made-up run is being written, as many steps at a time as are asked.
//   npm ci && node --test dashboard_test.mjs
// FORGE_DASHBOARD_DEMO names the program (default ../../build/release/forge_dashboard_demo); SCREENSHOTS a folder for
// pictures (default: a temporary one). Set PLAYWRIGHT_SKIP_BROWSER_DOWNLOAD=1 for npm.
import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { mkdirSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { after, before, test } from "node:test";
import { fileURLToPath } from "node:url";
import { openBrowser, outside } from "./browser.mjs";

const here = dirname(fileURLToPath(import.meta.url));
const program = process.env.FORGE_DASHBOARD_DEMO ?? join(here, "../../build/release/forge_dashboard_demo");
const folder = mkdtempSync(join(tmpdir(), "forge-dashboard-"));
const pictures = process.env.SCREENSHOTS ?? join(folder, "screenshots");
const SEARCH_STEPS = 96;  // of the made-up run; then come 120 of training and 60 of compression
let browser, demo, url, page;

function startDemo(port = 0) {
  return new Promise((resolve, reject) => {
    const child = spawn(program, [folder, "stdin", String(port)], { stdio: ["pipe", "pipe", "inherit"] });
    child.stdin.on("error", () => {});  // it may be killed before it has read
    child.on("error", reject);
    child.on("exit", (code) => reject(new Error(`the demo ended with ${code}`)));
    child.stdout.once("data", (text) => resolve([child, String(text).trim()]));
  });
}
const advance = (steps) => demo.stdin.write(steps + "\n");
const exited = (child) => new Promise((resolve) => { child.removeAllListeners("exit"); child.once("exit", resolve); child.kill("SIGKILL"); });

before(async () => {
  mkdirSync(pictures, { recursive: true });
  [demo, url] = await startDemo();
  browser = await openBrowser();
  page = browser.page;
  await page.goto(url);
});
after(async () => {
  await browser?.close();
  if (demo) await exited(demo);
  rmSync(folder, { recursive: true, force: true });
});

const searchProgress = (steps) =>
  page.locator('.stage[data-name="evolve"] .progress-line', { hasText: `${steps}/${SEARCH_STEPS} candidates` }).waitFor();

test("a new metric and progress appear without a reload", async () => {
  let loads = 0;
  page.on("load", () => ++loads);
  await page.getByRole("status").filter({ hasText: "live" }).waitFor();
  advance(20);
  await searchProgress(20);
  const dots = await page.locator("#fitness .dot").count();
  advance(20);
  await searchProgress(40);
  await page.waitForFunction((seen) => document.querySelectorAll("#fitness .dot").length > seen, dots);
  await page.screenshot({ path: join(pictures, "1-evolving.png"), fullPage: true });
  assert.equal(loads, 0);
});

test("the card of a stage does not move while its numbers change", async () => {
  const place = () => page.locator(".stage, #h-fit, #h-ab, #h-size, #h-series").evaluateAll((all) => all.map((e) => e.getBoundingClientRect().top + scrollY));
  const before = await place();
  advance(20);
  await searchProgress(60);
  assert.deepEqual(await place(), before);
});

test("a domain of the search has one figure with its best, its mean and the models it started from", async () => {
  const figure = page.locator("#series figure").filter({ hasText: "evolve/best/math" });
  await figure.locator(".curve").nth(1).waitFor();
  assert.equal(await figure.locator(".curve").count(), 2);
  assert.equal(await figure.locator(".ref").count(), 1);
  assert.match(await figure.locator(".ref title").textContent(), /base 0\.450/);
  assert.equal(await page.locator("#series figure").filter({ hasText: "evolve/mean" }).count(), 0);
});

test("a series of the next stage appears", async () => {
  advance(SEARCH_STEPS - 60 + 40);
  await page.locator("#series figure").filter({ hasText: "train/loss" }).waitFor();
  await page.screenshot({ path: join(pictures, "2-reasoning.png"), fullPage: true });
});

test("the finished run shows the comparison and the sizes with their numbers", async () => {
  demo.stdin.end();
  await page.locator("#run-state", { hasText: "done" }).waitFor();
  await page.locator("#ab text", { hasText: "62.5 %" }).waitFor();
  await page.locator("#size text", { hasText: "412 kB" }).waitFor();
  assert.match(await page.locator("#ab-facts").textContent(), /Baked: thoughts \+21\.3 points, placebo -0\.4 points/);
  assert.match(await page.locator("#fitness-facts").textContent(), /gain 94\.8\u00a0% \(95 %: 86\.1\u00a0% to 102\.0\u00a0%\)/);
  assert.match(await page.locator("#files").textContent(), /model\.gguf/);
  await page.screenshot({ path: join(pictures, "3-done.png"), fullPage: true });
});

test("it can be used with the keyboard, in the dark, and on a narrow screen", async () => {
  await page.locator("#theme").focus();
  await page.keyboard.press("Enter");
  assert.equal(await page.evaluate(() => document.documentElement.dataset.theme), "dark");
  await page.screenshot({ path: join(pictures, "4-dark.png"), fullPage: true });
  await page.keyboard.press("Tab");
  assert.equal(await page.evaluate(() => document.activeElement.closest("nav") !== null), true);
  await page.setViewportSize({ width: 420, height: 900 });
  await page.waitForTimeout(200);
  assert.equal(await page.evaluate(() => document.documentElement.scrollWidth <= innerWidth), true, "scrolls sideways");
  await page.screenshot({ path: join(pictures, "5-narrow.png"), fullPage: true });
  await page.setViewportSize({ width: 1440, height: 1000 });
});

test("nothing external was requested and nothing was reported on the console", () => {
  assert.deepEqual(outside(browser.requests, url), []);
  assert.deepEqual(browser.problems, []);
});

test("it reconnects by itself when the server comes back, and shows the run of a killed process as interrupted", async () => {
  await exited(demo);
  await page.getByRole("status").filter({ hasText: "reconnecting" }).waitFor();
  [demo] = await startDemo(Number(new URL(url).port));
  await page.getByRole("status").filter({ hasText: "live" }).waitFor();
  await page.locator("#runs li").nth(1).waitFor();  // the second run joined the list
  await page.locator("#runs li a").first().click();
  await page.locator("#run-state", { hasText: "running" }).waitFor();
  await exited(demo);
  [demo] = await startDemo(Number(new URL(url).port));
  await page.locator("#run-state", { hasText: "interrupted" }).waitFor();
  await page.locator("#note", { hasText: "--resume" }).waitFor();
});

test("a page of another origin cannot read from it", async () => {
  const answer = await fetch(url + "/api/runs", { headers: { Origin: "http://evil.example" } });
  assert.equal(answer.status, 403);
});
