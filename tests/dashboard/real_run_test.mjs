// SPDX-License-Identifier: Apache-2.0
// Looks at the dashboard in Debian's Chromium during a real `forge run-pipeline`, from before its start to its end.
//   npm ci && node --test real_run_test.mjs      (90 s with trained starter models, else 4 minutes)
// FORGE names the program (default ../../build/release/forge); FORGE_MODELS_DIR a folder with starter-seed7, or where
// it shall be (default: a temporary one); SCREENSHOTS a folder for pictures (default: a temporary one).
import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { after, before, test } from "node:test";
import { fileURLToPath } from "node:url";
import { openBrowser, outside } from "./browser.mjs";

const here = dirname(fileURLToPath(import.meta.url));
const forge = process.env.FORGE ?? join(here, "../../build/release/forge");
const folder = mkdtempSync(join(tmpdir(), "forge-real-run-"));
const pictures = process.env.SCREENSHOTS ?? join(folder, "screenshots");
const models = process.env.FORGE_MODELS_DIR ?? join(folder, "models");
const output = join(folder, "output");
const SETTINGS = ["--seed", "7", "--models-dir", models, "--generations", "8", "--search-items", "800", "--selection-items", "40",
  "--test-items", "60", "--eval-samples", "200", "--thought-steps", "12", "--bake-steps", "60", "--compress-steps", "40",
  "--calibration-samples", "60"];
const LONGEST_MS = 300_000;  // that a stage takes on a busy machine
let dashboard, run, runEnded, browser, page, url;
let loads = 0;

function startDashboard() {
  return new Promise((resolve, reject) => {
    const child = spawn(forge, ["dashboard", "--port", "0", "--output-dir", output], { stdio: ["ignore", "pipe", "inherit"] });
    child.on("error", reject);
    child.on("exit", (code) => reject(new Error(`the dashboard ended with ${code}`)));
    child.stdout.once("data", (text) => resolve([child, /http:\S+/.exec(text)[0]]));
  });
}
function startRun() {
  run = spawn(forge, ["run-pipeline", "--output-dir", output, ...SETTINGS], { stdio: ["ignore", "ignore", "pipe"] });
  let messages = "";
  run.stderr.on("data", (text) => { messages += text; });
  runEnded = new Promise((resolve) => run.on("exit", (code) => resolve({ code, messages })));
}
/// Ends it as Ctrl-C does; its exit code.
function stop(child) {
  child.removeAllListeners("exit");
  return new Promise((resolve) => { child.once("exit", resolve); child.kill("SIGINT"); });
}
const stage = (name) => page.locator(`.stage[data-name="${name}"]`);
const running = (name) => page.locator(`.stage[data-name="${name}"][data-state="running"]`);
const textOf = (selector) => page.locator(selector).textContent();
/// Waits until the number of elements changes to more than `count` while the page stays as it is; the new number.
async function more(selector, count) {
  await page.waitForFunction(([css, seen]) => document.querySelectorAll(css).length > seen, [selector, count]);
  return page.locator(selector).count();
}
/// Waits until the text is another than `text`; the new text.
async function otherText(selector, text) {
  await page.waitForFunction(([css, seen]) => document.querySelector(css).textContent !== seen, [selector, text]);
  return textOf(selector);
}
const picture = (name) => page.screenshot({ path: join(pictures, name + ".png"), fullPage: true });

before(async () => {
  mkdirSync(pictures, { recursive: true });
  [dashboard, url] = await startDashboard();
  browser = await openBrowser();
  page = browser.page;
  page.setDefaultTimeout(LONGEST_MS);
  await page.goto(url);
  page.on("load", () => ++loads);
});
after(async () => {
  await browser?.close();
  for (const child of [run, dashboard]) if (child && child.exitCode === null) await stop(child);
  rmSync(folder, { recursive: true, force: true });
});

test("a run that starts after the page was opened appears by itself", async () => {
  await page.getByRole("status").filter({ hasText: "live" }).waitFor();
  assert.equal(await textOf("#run-name"), "No run yet");
  startRun();
  await page.locator("#run-name", { hasText: /^run-\d{8}-\d{6}$/ }).waitFor();
  await page.locator("#run-state", { hasText: "running" }).waitFor();
});

test("progress, log and fitness advance while the search runs", async () => {
  await running("evolve").waitFor();
  const lines = await page.locator("#log li").count();
  const progress = '.stage[data-name="evolve"] .progress-line';
  await page.locator(progress, { hasText: "candidates" }).waitFor();
  let text = "", facts = "", dots = 0;
  for (let i = 0; i < 3; ++i) {
    text = await otherText(progress, text);
    dots = await more("#fitness .dot", dots);
    assert.match(text, /^\d+\/\d+ candidates/);
    facts = await textOf("#fitness-facts");  // before the next line has seen that the search goes on
    assert.equal(await running("evolve").count(), 1, "the search had ended before progress was seen three times");
    if (i === 1) await picture("1-evolve");
  }
  await more("#log li", lines);
  assert.match(facts, /^Best so far: 0\.\d+ \(#\d+/);
});

test("training shows its progress and its loss", async () => {
  await running("reason").waitFor();
  const progress = '.stage[data-name="reason"] .progress-line';
  await otherText(progress, await otherText(progress, await textOf(progress)));
  await page.locator("#series figure", { hasText: "loss" }).first().waitFor();
  const titles = (seen) => [...document.querySelectorAll("#series figure h3")].map((title) => title.textContent).join() !== seen;
  await page.waitForFunction(titles, (await page.locator("#series figure h3").allTextContents()).join());
  await picture("2-reason");
  await stage("reason").locator(".chip", { hasText: "done" }).waitFor();
  await running("compress").waitFor();
  await picture("3-compress");
});

test("the finished run shows the numbers of report.json", async () => {
  const { code, messages } = await runEnded;
  assert.equal(code, 0, messages);
  await page.locator("#run-state", { hasText: "done" }).waitFor();
  for (const name of ["evolve", "reason", "compress"]) await stage(name).locator(".chip", { hasText: "done" }).waitFor();
  const [id] = readdirSync(output).filter((name) => name.startsWith("run-"));
  assert.equal(await textOf("#run-name"), id);
  const { evolve, reason, compress, artifacts } = JSON.parse(readFileSync(join(output, id, "report.json")));
  await page.locator("#size text", { hasText: "B" }).first().waitFor();  // the results come with the last update
  const percent = (value) => (value * 100).toFixed(1) + "\u00a0%";
  const includes = (text, part) => assert.ok(text.includes(part), `"${part}" is not in: ${text}`);

  const fitness = await textOf("#fitness-facts");
  includes(fitness, `champion ${evolve.champion_score.toFixed(3)}, best parent ${evolve.best_parent_score.toFixed(3)}, uniform average ${evolve.uniform_score.toFixed(3)};`);
  includes(fitness, `gain ${percent(evolve.gain_relative)} (95 %: ${percent(evolve.gain_ci[0])} to ${percent(evolve.gain_ci[1])})`);
  includes(fitness, `n ${evolve.n}`);
  assert.equal(await page.locator("#fitness .dot").count(), evolve.candidates);

  const arms = await page.locator("#ab text.ink").allTextContents();
  assert.deepEqual(arms, reason.arms.flatMap((arm) => [`${arm.name} ${arm.label}`, percent(arm.accuracy)]));
  includes(await textOf("#ab-facts"), `thoughts +${reason.thought_gain_points.toFixed(1)} points`);

  const sizes = await page.locator("#size text.ink").allTextContents();
  assert.deepEqual(sizes.filter((_, i) => i % 2 === 0), compress.files.map((file) => file.name));
  compress.files.forEach((file, i) => {
    const shown = /^([\d.]+) (k|M)B$/.exec(sizes[2 * i + 1]), unit = shown[2] === "k" ? 1e3 : 1e6;
    assert.ok(Math.abs(shown[1] * unit - file.bytes) <= 0.005 * file.bytes, `${sizes[2 * i + 1]} is not ${file.bytes}`);  // 3 digits
  });
  const facts = await textOf("#size-facts");
  includes(facts, `${compress.ratio.toFixed(2)} times smaller`);
  includes(facts, `${percent(compress.retention)} kept`);
  for (const artifact of artifacts) includes(await textOf("#files"), artifact.sha256.slice(0, 16));
  await picture("4-done");
});

test("the page was never loaded again, asked no other host and reported no error", () => {
  assert.equal(loads, 0);
  assert.deepEqual(outside(browser.requests, url), []);
  assert.ok(browser.requests.some((address) => address.startsWith(url + "/api/events?run=run-")));
  assert.deepEqual(browser.problems, []);
});

test("Ctrl-C ends the dashboard though the page is open", async () => {
  assert.equal(await stop(dashboard), 0);
});
