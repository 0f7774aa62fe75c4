// Opens the pages of a folder in headless Chromium: no error, no sideways scrolling, accessible, and the slices follow
// mouse and keys. Run by hand, see docs/PAGES.md:
//   npm install --no-save puppeteer-core axe-core
//   node tests/browser/pages.mjs MAPS_DIR [SCREENSHOTS_DIR]
// CHROMIUM names the browser, /usr/bin/chromium by default.
import assert from "node:assert/strict";
import { mkdirSync, readFileSync, readdirSync } from "node:fs";
import { createRequire } from "node:module";
import { join, resolve } from "node:path";
import { pathToFileURL } from "node:url";

const require = createRequire(join(process.cwd(), "package.json"));
const puppeteer = require("puppeteer-core");
const axe = readFileSync(require.resolve("axe-core/axe.min.js"), "utf8");
const [folder, shots] = process.argv.slice(2);
if (shots) mkdirSync(shots, { recursive: true });
const pages = readdirSync(folder).filter((name) => name.endsWith(".html")).sort();
const browser = await puppeteer.launch({ executablePath: process.env.CHROMIUM ?? "/usr/bin/chromium", args: ["--no-sandbox"] });

for (const name of pages) {
  const page = await browser.newPage();
  const problems = [];
  page.on("console", (message) => { if (["error", "warn"].includes(message.type())) problems.push(message.text()); });
  page.on("pageerror", (error) => problems.push(error.message));
  const own = pathToFileURL(resolve(folder, name)).href;
  page.on("request", (request) => { if (request.url() !== own && !request.url().startsWith("data:")) problems.push(request.url()); });
  const started = Date.now();
  await page.goto(own);
  const isScan = name.endsWith("_page.html");
  if (isScan) await page.waitForFunction(() => document.documentElement.dataset.ready === "true");
  const ready = Date.now() - started;
  for (const scheme of ["light", "dark"]) {
    await page.emulateMediaFeatures([{ name: "prefers-color-scheme", value: scheme }, { name: "prefers-reduced-motion", value: "reduce" }]);
    for (const width of [390, 820, 1440]) {
      await page.setViewport({ width, height: 900 });
      const over = await page.evaluate(() => document.documentElement.scrollWidth - document.documentElement.clientWidth);
      assert.ok(over <= 0, `${name} at ${width} px scrolls sideways by ${over} px`);
      if (shots) await page.screenshot({ path: join(shots, `${name}-${scheme}-${width}.png`), fullPage: true });
    }
    await page.evaluate(axe);
    const result = await page.evaluate(() => axe.run({ runOnly: ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa"] }));
    const found = result.violations.map((one) => `${one.id}: ${one.nodes.map((node) => `${node.html.slice(0, 150)} ${node.failureSummary}`).join(" | ")}`);
    assert.deepEqual(found, [], `${name}, ${scheme}`);
  }
  if (isScan) await checkSlices(page, name);
  else await checkTable(page, name);
  assert.deepEqual(problems, [], name);
  console.log(`${name}: ready after ${ready} ms, no problem`);
  await page.close();
}
await checkWithoutScript();
await browser.close();

function slices(page) {
  return page.evaluate(() => ["axial", "coronal", "sagittal"].map((name) => Number(document.getElementById(`slice-${name}`).value)));
}

// Moves every slice to another one than these.
async function moveAway(page, from) {
  for (const [index, plane] of ["axial", "coronal", "sagittal"].entries()) {
    await page.$eval(`#slice-${plane}`, (input, slice) => {
      input.value = String(slice > Number(input.max) / 2 ? 1 : Number(input.max));
      input.dispatchEvent(new Event("input", { bubbles: true }));
    }, from[index]);
  }
  await frame(page);
  const there = await slices(page);
  assert.ok(there.every((slice, index) => slice !== from[index]), `${there} are not away from ${from}`);
}

function frame(page) {
  return page.evaluate(() => new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done))));
}

function picture(page, name) {
  return page.evaluate((name) => document.querySelector(`[data-plane="${name}"] canvas`).toDataURL(), name);
}

async function checkSlices(page, name) {
  // Every finding, by mouse: the sliders show the slices of its row.
  const rows = await page.$$eval("#findings tbody tr", (rows) => rows.map((row) => row.cells[7].textContent.split(", ").map(Number)));
  for (const [index, expected] of rows.entries()) {
    await page.click("#reset");
    await moveAway(page, expected);
    const button = (await page.$$("#findings button.show"))[index];
    await button.evaluate((element) => element.scrollIntoView({ block: "center" }));
    await button.click();
    await frame(page);
    assert.deepEqual(await slices(page), expected, `${name}, finding ${index + 1}`);
    assert.equal(await button.evaluate((element) => element.getAttribute("aria-pressed")), "true");
  }
  // By keys alone: from the top of the page with Tab to each control.
  await page.evaluate(() => { document.activeElement.blur(); scrollTo(0, 0); });
  const reached = new Set();
  for (let step = 0; step < 400; step += 1) {
    await page.keyboard.press("Tab");
    const id = await page.evaluate(() => {
      const element = document.activeElement;
      if (element === document.body) return "";
      const style = getComputedStyle(element);
      if (element.matches(":focus-visible") && style.outlineStyle === "none") throw new Error(`no focus is visible on ${element.outerHTML.slice(0, 120)}`);
      return element.id || element.name || element.closest("[data-plane]")?.dataset.plane || element.className || element.tagName;
    });
    if (id === "") break;
    reached.add(id);
  }
  for (const id of ["axial", "coronal", "sagittal", "slice-axial", "slice-coronal", "slice-sagittal", "base", "level", "window", "overlay", "opacity", "hide", "cross", "reset"]) {
    assert.ok(reached.has(id), `Tab does not reach ${id} of ${name}: ${[...reached].join(" ")}`);
  }
  if (rows.length) assert.ok(reached.has("show"));
  // Keys on a plane: the cross moves to where it is pressed, the slice by page up and down.
  await page.focus('[data-plane="axial"] canvas');
  const keys = [["PageUp", [1, 0, 0]], ["PageDown", [-1, 0, 0]], ["ArrowLeft", [0, 0, 1]], ["ArrowRight", [0, 0, -1]], ["ArrowUp", [0, 1, 0]], ["ArrowDown", [0, -1, 0]]];
  for (const [key, change] of keys) {
    const before = await slices(page);
    await page.keyboard.press(key);
    await frame(page);
    assert.deepEqual(await slices(page), before.map((slice, index) => slice + change[index]), `${key} in ${name}`);
  }
  await page.focus("#slice-coronal");
  const before = await slices(page);
  await page.keyboard.press("ArrowRight");
  await frame(page);
  assert.equal((await slices(page))[1], before[1] + 1);
  // A click in the left half of the axial plane is on the patient's right, where x is great.
  const box = await (await page.$('[data-plane="axial"] canvas')).boundingBox();
  await page.mouse.click(box.x + 0.25 * box.width, box.y + 0.25 * box.height);
  await frame(page);
  const last = await page.$eval("#slice-sagittal", (input) => Number(input.max));
  assert.ok((await slices(page))[2] > last / 2, `left of the picture is not the patient's right in ${name}`);
  // Each control changes the picture.
  for (const [id, value] of [["level", "20"], ["window", "40"], ["opacity", "0"], ["opacity", "100"], ["hide", "0"], ["cross", ""]]) {
    const old = await picture(page, "axial");
    await page.$eval(`#${id}`, (input, value) => {
      if (input.type === "checkbox") input.click();
      else { input.value = value; input.dispatchEvent(new Event("input", { bubbles: true })); }
    }, value);
    await frame(page);
    assert.notEqual(await picture(page, "axial"), old, `${id} of ${name}`);
  }
  for (const choice of await page.$$('input[type="radio"]:not(:checked)')) {
    const old = await picture(page, "axial");
    await choice.click();
    await frame(page);
    assert.notEqual(await picture(page, "axial"), old, `${await choice.evaluate((input) => input.value)} of ${name}`);
  }
}

async function checkTable(page, name) {
  const cases = () => page.$$eval("#cases tbody tr", (rows) => rows.map((row) => [row.classList.contains("failed"), row.dataset.case]));
  const before = await cases();
  for (const header of await page.$$("#cases thead button")) {
    await header.focus();
    await page.keyboard.press("Enter");
    const after = await cases();
    const failed = after.map(([failed]) => failed);
    assert.deepEqual(failed, [...failed].sort().reverse(), `failures stay first in ${name}`);
    assert.deepEqual([...after].sort(), [...before].sort());
    assert.equal(await page.$$eval("#cases th[aria-sort]", (headers) => headers.length), 1);
    const sorted = await header.evaluate((button) => {
      const cell = button.closest("th");
      const rows = [...document.querySelectorAll("#cases tbody tr:not(.failed)")];
      return [cell.getAttribute("aria-sort"), cell.dataset.sort, rows.map((row) => row.cells[cell.cellIndex].dataset.key)];
    });
    ensureSorted(sorted, `${name}, column ${await header.evaluate((button) => button.textContent)}`);
  }
}

// Values of a column in the order of their rows; those that are missing come last.
function ensureSorted([order, kind, keys], where) {
  const given = keys.filter((key) => key !== "");
  assert.deepEqual(keys.slice(given.length).filter((key) => key !== ""), [], `missing values are not last: ${where}`);
  for (let index = 1; index < given.length; index += 1) {
    const [a, b] = [given[index - 1], given[index]];
    const difference = kind === "number" ? Number(a) - Number(b) : a.localeCompare(b, "en", { numeric: true });
    assert.ok(order === "ascending" ? difference <= 0 : difference >= 0, `${a} before ${b}, ${order}: ${where}`);
  }
}

async function checkWithoutScript() {
  const page = await browser.newPage();
  await page.setJavaScriptEnabled(false);
  for (const name of pages.filter((name) => name.endsWith("_page.html")).slice(0, 1)) {
    await page.goto(pathToFileURL(resolve(folder, name)).href);
    await page.setViewport({ width: 820, height: 900 });
    if (shots) await page.screenshot({ path: join(shots, `${name}-without-script.png`), fullPage: true });
    const visible = await page.$$eval("main img", (images) => images.filter((image) => image.getBoundingClientRect().width > 0).length);
    assert.ok(visible > 10, `${name} shows ${visible} pictures without a script`);
  }
  await page.close();
}
