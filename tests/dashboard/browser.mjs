// SPDX-License-Identifier: Apache-2.0
// Debian's Chromium with one page, and what the page asked for and complained about.
import { chromium } from "playwright-core";

/// Gives {page, requests: addresses, problems: errors on the console, loads: [number], close()}. CHROMIUM names another
/// browser than /usr/bin/chromium.
export async function openBrowser() {
  const browser = await chromium.launch({
    executablePath: process.env.CHROMIUM ?? "/usr/bin/chromium",
    args: ["--headless", "--no-sandbox", "--disable-gpu", "--disable-background-networking", "--no-first-run"],
  });
  const page = await browser.newPage({ viewport: { width: 1440, height: 1000 }, colorScheme: "light" });
  const requests = [], problems = [];
  page.on("request", (request) => requests.push(request.url()));
  page.on("console", (message) => { if (message.type() === "error") problems.push(message.text()); });
  page.on("pageerror", (error) => problems.push(String(error)));
  return { page, requests, problems, close: () => browser.close() };
}

/// Those that are neither below `url` nor inside the page.
export const outside = (requests, url) => requests.filter((address) => !address.startsWith(url + "/") && !address.startsWith("data:"));
