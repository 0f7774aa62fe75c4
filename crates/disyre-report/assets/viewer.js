"use strict";
(() => {
  const data = JSON.parse(document.getElementById("viewer-data").textContent);
  const byId = (id) => document.getElementById(id);
  const [nx, ny, nz] = data.shape;
  const layers = new Map(data.layers.map((layer) => [layer.id, layer]));
  const AXES = { axial: [0, 1, 2], coronal: [0, 2, 1], sagittal: [1, 2, 0] };
  const PIXELS_PER_MM = 3;
  const OUTLINE = "#7cfc8c";
  const state = { voxel: data.start.slice(), base: "scan", overlay: "" };
  const planes = [...document.querySelectorAll(".plane")].map((element) => makePlane(element));

  function makePlane(element) {
    const name = element.dataset.plane;
    const [across, down, through] = AXES[name];
    const canvas = element.querySelector("canvas");
    const size = [across, down].map((axis) => data.shape[axis]);
    const mm = [across, down].map((axis) => data.shape[axis] * data.spacing[axis]);
    [canvas.width, canvas.height] = mm.map((side) => Math.max(1, Math.round(side * PIXELS_PER_MM)));
    const scratch = document.createElement("canvas");
    [scratch.width, scratch.height] = size;
    const slider = element.querySelector("input");
    return { name, across, down, through, canvas, size, mm, scratch, slider, output: element.querySelector("output") };
  }

  // One picture holds all axial slices of a layer; the red of a pixel is the code of a voxel.
  async function decode(image) {
    const layer = layers.get(image.dataset.layer);
    await image.decode();
    const canvas = document.createElement("canvas");
    [canvas.width, canvas.height] = [image.naturalWidth, image.naturalHeight];
    const context = canvas.getContext("2d", { willReadFrequently: true });
    context.drawImage(image, 0, 0);
    const pixels = context.getImageData(0, 0, canvas.width, canvas.height).data;
    const codes = new Uint8Array(nx * ny * nz);
    let sum = 0;
    for (let z = 0, to = 0; z < nz; z += 1) {
      const [left, top] = [(z % layer.columns) * nx, Math.floor(z / layer.columns) * ny];
      for (let y = 0; y < ny; y += 1) {
        for (let x = 0; x < nx; x += 1, to += 1) {
          codes[to] = pixels[4 * ((top + y) * canvas.width + left + x)];
          sum += codes[to];
        }
      }
    }
    layer.codes = codes;
    return sum === layer.sum;
  }

  const valueOf = (layer, code) => layer.low + ((code - 1) / 254) * (layer.high - layer.low);
  const codeAt = (layer, [x, y, z]) => layer.codes[(z * ny + y) * nx + x];

  // All axes run against the pixels: right is left, the front and the top are up.
  function eachPixel(plane, visit) {
    const [width, height] = plane.size;
    const at = state.voxel.slice();
    for (let row = 0, pixel = 0; row < height; row += 1) {
      at[plane.down] = height - 1 - row;
      for (let column = 0; column < width; column += 1, pixel += 1) {
        at[plane.across] = width - 1 - column;
        visit(pixel, (at[2] * ny + at[1]) * nx + at[0]);
      }
    }
  }

  // Level and window are shares of the range of the scan, in percent.
  function greys(layer) {
    const scan = layers.get("scan");
    const [level, width] = [byId("level").value / 100, byId("window").value / 100];
    const table = new Uint8ClampedArray(256);
    for (let code = 1; code < 256; code += 1) {
      const share = (valueOf(layer, code) - scan.low) / (scan.high - scan.low);
      table[code] = 255 * ((share - level) / width + 0.5);
    }
    return table;
  }

  // Colour and opacity of each code of the overlay.
  function colours(layer) {
    const opacity = Math.round(2.55 * byId("opacity").value);
    const least = hidden(layer);
    const table = new Uint8ClampedArray(4 * 256);
    for (let code = 1; code < 256; code += 1) {
      const value = valueOf(layer, code);
      const shown = (layer.signed ? Math.abs(value) : value) >= least;
      for (let channel = 0; channel < 3; channel += 1) table[4 * code + channel] = layer.colours[3 * (code - 1) + channel];
      table[4 * code + 3] = shown ? opacity : 0;
    }
    return table;
  }

  const hidden = (layer) => (byId("hide").value / 100) * layer.high;

  function draw() {
    const base = layers.get(state.base);
    const overlay = layers.get(state.overlay);
    const [grey, colour] = [greys(base), overlay ? colours(overlay) : null];
    for (const plane of planes) drawPlane(plane, base, grey, overlay, colour);
    describe();
  }

  function drawPlane(plane, base, grey, overlay, colour) {
    const context = plane.canvas.getContext("2d");
    context.imageSmoothingEnabled = true;
    context.imageSmoothingQuality = "high";
    paint(plane, context, (pixels, pixel, voxel) => {
      const shade = grey[base.codes[voxel]];
      pixels[pixel] = pixels[pixel + 1] = pixels[pixel + 2] = shade;
      pixels[pixel + 3] = 255;
    });
    if (overlay) {
      paint(plane, context, (pixels, pixel, voxel) => {
        const code = 4 * overlay.codes[voxel];
        for (let channel = 0; channel < 4; channel += 1) pixels[pixel + channel] = colour[code + channel];
      });
    }
    if (byId("outline").checked && layers.has("findings")) drawOutline(plane, context);
    if (byId("cross").checked) drawCross(plane, context);
  }

  function paint(plane, context, fill) {
    const scratch = plane.scratch.getContext("2d");
    const picture = scratch.createImageData(...plane.size);
    eachPixel(plane, (pixel, voxel) => fill(picture.data, 4 * pixel, voxel));
    scratch.putImageData(picture, 0, 0);
    context.drawImage(plane.scratch, 0, 0, plane.canvas.width, plane.canvas.height);
  }

  // Lines between voxels inside and outside of the findings.
  function drawOutline(plane, context) {
    const [width, height] = plane.size;
    const inside = new Uint8Array(width * height);
    const { codes } = layers.get("findings");
    eachPixel(plane, (pixel, voxel) => { inside[pixel] = codes[voxel] > 1 ? 1 : 0; });
    const [dx, dy] = [plane.canvas.width / width, plane.canvas.height / height];
    const at = (x, y) => x >= 0 && y >= 0 && x < width && y < height && inside[y * width + x] === 1;
    context.beginPath();
    for (let y = 0; y <= height; y += 1) {
      for (let x = 0; x <= width; x += 1) {
        if (at(x, y) !== at(x, y - 1)) { context.moveTo(x * dx, y * dy); context.lineTo((x + 1) * dx, y * dy); }
        if (at(x, y) !== at(x - 1, y)) { context.moveTo(x * dx, y * dy); context.lineTo(x * dx, (y + 1) * dy); }
      }
    }
    context.strokeStyle = OUTLINE;
    context.lineWidth = 1.5;
    context.stroke();
  }

  function drawCross(plane, context) {
    const [width, height] = plane.size;
    const x = ((width - 1 - state.voxel[plane.across] + 0.5) / width) * plane.canvas.width;
    const y = ((height - 1 - state.voxel[plane.down] + 0.5) / height) * plane.canvas.height;
    const gap = 8 * PIXELS_PER_MM;
    context.beginPath();
    context.moveTo(0, y); context.lineTo(x - gap, y);
    context.moveTo(x + gap, y); context.lineTo(plane.canvas.width, y);
    context.moveTo(x, 0); context.lineTo(x, y - gap);
    context.moveTo(x, y + gap); context.lineTo(x, plane.canvas.height);
    context.strokeStyle = "rgba(255, 255, 255, 0.55)";
    context.lineWidth = 1.25;
    context.stroke();
  }

  const typographic = (text) => text.replace("-", "−");
  const whole = (value) => typographic(String(Math.round(value) || 0));
  function short(value) {
    const size = Math.abs(value);
    const text = value.toFixed(size >= 100 || size === 0 ? 0 : size >= 10 ? 1 : size >= 0.1 ? 2 : 4);
    return typographic(text.includes(".") ? text.replace(/\.?0+$/, "") : text);
  }
  const carry = (matrix, [x, y, z]) => [0, 1, 2].map((row) => matrix[row][0] * x + matrix[row][1] * y + matrix[row][2] * z + matrix[row][3]);

  function describe() {
    const mm = data.mni ? `MNI152 ${carry(data.mni, state.voxel).map(whole).join(", ")} mm` : `Scanner ${carry(data.world, state.voxel).map(whole).join(", ")} mm`;
    const file = carry(data.file, state.voxel).map((index) => Math.max(0, Math.round(index))).join(", ");
    const values = data.layers.filter((layer) => layer.id !== "findings").map((layer) => {
      const code = codeAt(layer, state.voxel);
      return `${layer.label} ${code === 0 ? "–" : short(valueOf(layer, code))}`;
    });
    byId("readout").textContent = `${mm} · voxel of the file ${file} · ${values.join(" · ")}`;
    for (const plane of planes) {
      const slice = state.voxel[plane.through] + 1;
      plane.slider.value = slice;
      const text = `${slice} of ${data.shape[plane.through]}`;
      plane.output.textContent = text;
      plane.slider.setAttribute("aria-valuetext", `${plane.name} slice ${text}`);
    }
    const scan = layers.get("scan");
    const inUnits = (id, offset) => offset + (byId(id).value / 100) * (scan.high - scan.low);
    setOutput("level", short(inUnits("level", scan.low)));
    setOutput("window", short(inUnits("window", 0)));
    setOutput("opacity", `${byId("opacity").value} %`);
    const overlay = layers.get(state.overlay);
    setOutput("hide", overlay ? short(hidden(overlay)) : "–");
    for (const id of ["opacity", "hide"]) byId(id).disabled = !overlay;
  }

  function setOutput(id, text) {
    byId(id).parentElement.querySelector("output").textContent = text;
  }

  function drawLegend() {
    const overlay = layers.get(state.overlay);
    document.querySelector(".legend").hidden = !overlay;
    if (!overlay) return;
    const unit = overlay.unit ? ` (${overlay.unit})` : "";
    byId("legend-name").textContent = overlay.label + unit;
    byId("legend-low").textContent = (overlay.signed ? "darker " : "") + short(overlay.low);
    byId("legend-middle").textContent = overlay.signed ? "0" : short((overlay.low + overlay.high) / 2);
    byId("legend-high").textContent = short(overlay.high) + (overlay.signed ? " brighter" : " or more");
    const context = byId("legend-bar").getContext("2d");
    for (let step = 0; step < 255; step += 1) {
      context.fillStyle = `rgb(${overlay.colours.slice(3 * step, 3 * step + 3).join(",")})`;
      context.fillRect(step, 0, 1, 10);
    }
  }

  let waiting = false;
  function redraw() {
    if (waiting) return;
    waiting = true;
    requestAnimationFrame(() => { waiting = false; draw(); });
  }

  function moveTo(voxel) {
    state.voxel = voxel.map((index, axis) => Math.min(data.shape[axis] - 1, Math.max(0, index)));
    redraw();
  }

  function moveBy(axis, steps) {
    const voxel = state.voxel.slice();
    voxel[axis] += steps;
    moveTo(voxel);
  }

  function addChoices(box, name, choices, chosen, choose) {
    for (const [id, label] of choices) {
      const element = document.createElement("label");
      const input = document.createElement("input");
      Object.assign(input, { type: "radio", name, value: id, checked: id === chosen });
      input.addEventListener("change", () => choose(id));
      element.append(input, ` ${label}`);
      box.append(element);
    }
  }

  function chooseOverlay(id) {
    state.overlay = id;
    const layer = layers.get(id);
    // Findings begin at their threshold; other maps at three tenths of their range.
    const marked = layer && data.hide !== null && id === "score";
    byId("hide").value = marked ? Math.min(100, Math.floor((100 * data.hide) / layer.high)) : 30;
    drawLegend();
    redraw();
  }

  const ids = ["level", "window", "opacity", "outline", "cross"];
  function reset() {
    for (const id of ids) { byId(id).value = byId(id).defaultValue; byId(id).checked = byId(id).defaultChecked; }
    state.base = "scan";
    document.querySelector('input[name="base"][value="scan"]').checked = true;
    document.querySelector(`input[name="overlay"][value="${data.overlay}"]`).checked = true;
    chooseOverlay(data.overlay);
    moveTo(data.start);
  }

  function showFinding(index) {
    for (const row of document.querySelectorAll("#findings tbody tr")) {
      const chosen = Number(row.dataset.finding) === index;
      row.classList.toggle("chosen", chosen);
      row.querySelector("button").setAttribute("aria-pressed", String(chosen));
    }
    moveTo(data.findings[index]);
    const still = matchMedia("(prefers-reduced-motion: reduce)").matches;
    byId("viewer").scrollIntoView({ behavior: still ? "auto" : "smooth", block: "start" });
  }

  function listen() {
    for (const plane of planes) {
      plane.slider.addEventListener("input", () => moveBy(plane.through, plane.slider.value - 1 - state.voxel[plane.through]));
      const point = (event) => {
        const box = plane.canvas.getBoundingClientRect();
        const voxel = state.voxel.slice();
        const at = (share, axis) => data.shape[axis] - 1 - Math.floor(share * data.shape[axis]);
        voxel[plane.across] = at((event.clientX - box.left) / box.width, plane.across);
        voxel[plane.down] = at((event.clientY - box.top) / box.height, plane.down);
        moveTo(voxel);
      };
      plane.canvas.addEventListener("pointerdown", (event) => { if (event.button === 0) point(event); });
      plane.canvas.addEventListener("pointermove", (event) => { if (event.buttons & 1) point(event); });
      plane.canvas.addEventListener("keydown", (event) => {
        const keys = {
          ArrowLeft: [plane.across, 1], ArrowRight: [plane.across, -1], ArrowUp: [plane.down, 1], ArrowDown: [plane.down, -1],
          PageUp: [plane.through, 1], PageDown: [plane.through, -1],
        };
        const move = keys[event.key];
        if (!move || event.altKey || event.ctrlKey || event.metaKey) return;
        event.preventDefault();
        moveBy(...move);
      });
    }
    for (const id of [...ids, "hide"]) byId(id).addEventListener("input", redraw);
    byId("reset").addEventListener("click", reset);
    for (const button of document.querySelectorAll("button.show")) {
      button.addEventListener("click", () => showFinding(Number(button.dataset.finding)));
    }
  }

  async function begin() {
    const unchanged = await Promise.all([...document.querySelectorAll("img.sheet")].map(decode));
    const viewer = byId("viewer");
    viewer.hidden = false;
    for (const plane of planes) viewer.style.setProperty(`--${plane.name}`, `${plane.mm[0]}fr`);
    const options = (ids) => ids.filter((id) => layers.has(id)).map((id) => [id, layers.get(id).label]);
    addChoices(byId("base-choices"), "base", options(["scan", "restored"]), "scan", (id) => { state.base = id; redraw(); });
    const overlays = options(["score", "signed", "residual", "uncertainty"]);
    addChoices(byId("overlay-choices"), "overlay", [...overlays, ["", "None"]], data.overlay, chooseOverlay);
    byId("outline").parentElement.hidden = !layers.has("findings");
    listen();
    reset();
    if (!unchanged.every(Boolean)) {
      const warning = byId("viewer-warning");
      warning.textContent = "This browser changes the pixels of pictures, perhaps to hinder tracking: the slices may be wrong. Open the page in another browser, or allow canvas access.";
      warning.hidden = false;
    }
    document.documentElement.dataset.ready = "true";
  }

  begin().catch((error) => {
    const viewer = byId("viewer");
    viewer.hidden = false;
    byId("viewer-warning").textContent = `The slices cannot be shown: ${error.message}`;
    byId("viewer-warning").hidden = false;
    throw error;
  });
})();
