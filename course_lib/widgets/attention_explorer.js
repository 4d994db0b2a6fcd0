// The attention explorer: an overview of all heads, one of them enlarged, and what is looked at from where.
// Its Python side is attention_explorer.py; how a map becomes bytes is told in packing.py.

const MAP_SIDE = 440; // pixels that a map aims at
const LARGEST_CELL = 30;
const NAMED_CELL = 12; // pixels from which on each row and column carries its token
const LINE_HEIGHT = 20; // pixels of a token beside the lines
const LINES_WIDTH = 220;
const STRONGEST = 5; // looks that the readout lists
const WHOLE_TABLE = 24; // tokens on a side up to which the table holds every weight
const LOW_OVERVIEW = 6; // layers
const KEPT_MAPS = 200;

const bytesOf = (view) => new Uint8Array(view.buffer, view.byteOffset, view.byteLength);
const mapSize = (rows, columns) => rows * (4 + columns);

/** A map from its bytes: the largest weight of each row, then the weights as shares of it. */
function readMap(bytes, start, rows, columns) {
  const largest = new Float32Array(bytes.slice(start, start + 4 * rows).buffer);
  const shares = bytes.slice(start + 4 * rows, start + mapSize(rows, columns));
  return { rows, columns, largest, shares };
}

function weightAt(map, row, column) {
  return (map.largest[row] * map.shares[row * map.columns + column]) / 255;
}

/** A weight with as many digits as its byte supports: it is off by at most a 510th of the row's largest. */
function weightText(map, row, column) {
  return weightAt(map, row, column).toFixed(map.largest[row] < 0.25 ? 3 : 2);
}

/** The `count` largest weights of a row over these columns (or of a column over these rows), largest first. */
function strongest(map, axis, place, others, count) {
  const found = [];
  for (const other of others) {
    const weight = axis === "row" ? weightAt(map, place, other) : weightAt(map, other, place);
    if (weight <= 0 || (found.length === count && weight <= found[count - 1].weight)) continue;
    let at = found.length;
    while (at > 0 && found[at - 1].weight < weight) at--;
    found.splice(at, 0, { place: other, weight });
    if (found.length > count) found.pop();
  }
  return found;
}

/** The pixels of one cell, so that the map fills its side: whole ones, unless the cells are tiny. */
function cellSize(rows, columns) {
  const exact = MAP_SIDE / Math.max(rows, columns);
  return exact < 4 ? Math.max(1, exact) : Math.min(LARGEST_CELL, Math.floor(exact));
}

/** Cividis in 1,024 steps as pixels; with `brighten` by the root of the weight, which tells small weights apart. */
function colourTable(brighten) {
  const table = new Uint8ClampedArray(4 * 1024);
  for (let step = 0; step < 1024; step++) {
    const weight = step / 1023;
    table.set([...colourOf(brighten ? Math.sqrt(weight) : weight), 255], 4 * step);
  }
  return new Uint32Array(table.buffer);
}

/** `pixels` cells, one pixel each, on a canvas of their size. */
function putPixels(canvas, pixels, rows, columns) {
  canvas.width = columns;
  canvas.height = rows;
  const image = new ImageData(new Uint8ClampedArray(pixels.buffer), columns, rows);
  canvas.getContext("2d").putImageData(image, 0, 0);
  return canvas;
}

/** A canvas of the given size in the page's pixels, sharp on dense screens, and its context in the page's units. */
function sizeCanvas(canvas, width, height) {
  const density = Math.max(1, Math.min(window.devicePixelRatio || 1, 16000 / Math.max(width, height)));
  canvas.width = Math.round(width * density);
  canvas.height = Math.round(height * density);
  Object.assign(canvas.style, { width: `${width}px`, height: `${height}px` });
  const context = canvas.getContext("2d");
  context.setTransform(density, 0, 0, density, 0, 0);
  return context;
}

function shortened(context, text, width) {
  if (context.measureText(text).width <= width) return text;
  const signs = [...text];
  while (signs.length && context.measureText(`${signs.join("")}…`).width > width) signs.pop();
  return `${signs.join("")}…`;
}

const EXPLANATIONS = [
  ["Entropy", "the number below each thumbnail, in bits: how widely a head looks, as the mean over its tokens. " +
    "0 means that each token looks at one token alone; the most possible is to look at all alike."],
  ["Average (avg)", "the mean of the layer's heads."],
  ["Rollout (roll)", "from which tokens of the text each place draws through all layers up to this one: the product of " +
    "0.5 × average + 0.5 × itself over the layers (Abnar & Zuidema 2020). It is defined where tokens look at themselves."],
  ["Thumbnails", "each cell is the largest weight of its block of tokens."],
  ["Numbers", "a weight comes as one byte, off by at most a 510th of its row's largest weight."],
  ["Special tokens", "marks such as [CLS], or the token that ends a text. Hiding them changes no other weight."],
];

function render({ model, el }) {
  const name = `attention-${Math.random().toString(36).slice(2)}`;
  const views = model.get("views");
  const status = statusLine();
  const state = {
    ...model.get("chosen"),
    mode: "map",
    special: true,
    brighten: false,
    map: null, // what is drawn; `mapName` tells which
    mapName: "",
    focus: null, // {row, column}, one of them may be null
    pinned: false,
  };
  const view = () => views[state.view];
  const keyOf = ({ view: number, layer, head }) => `${number}/${layer}/${head}`;
  state.brighten = view().keys.length > 64;

  // ---- the maps: sent along, or asked for ----------------------------------------------------------------------
  const kept = new Map();
  const sent = bytesOf(model.get("maps"));
  if (model.get("all_at_once")) {
    let start = 0;
    views.forEach((one, number) => {
      const [rows, columns] = [one.queries.length, one.keys.length];
      for (let layer = 0; layer < one.layers.length; layer++) {
        for (let head = 0; head < one.columns.length; head++) {
          kept.set(keyOf({ view: number, layer, head }), [start, rows, columns]);
          start += mapSize(rows, columns);
        }
      }
    });
  } else {
    kept.set(keyOf(state), readMap(sent, 0, view().queries.length, view().keys.length));
  }

  function atHand(place) {
    const found = kept.get(keyOf(place));
    return Array.isArray(found) ? readMap(sent, ...found) : found;
  }

  async function askFor(place) {
    const { view: number, layer, head } = place;
    const reply = await ask(model, "head", { view: number, layer, head }, status);
    const map = readMap(bytesOf(reply.buffers[0]), 0, views[number].queries.length, views[number].keys.length);
    if (kept.size >= KEPT_MAPS) kept.delete(kept.keys().next().value);
    kept.set(keyOf(place), map);
  }

  let asking = false;
  /** Shows the chosen map. One question at a time: arrows held down ask only for where they stop. */
  async function load() {
    const ready = atHand(state);
    if (ready) {
      state.map = ready;
      state.mapName = keyOf(state);
      drawAll();
      return;
    }
    drawTitle();
    if (asking) return;
    asking = true;
    const asked = { view: state.view, layer: state.layer, head: state.head };
    try {
      await askFor(asked);
    } catch (error) {
      status.say(error.message, "error");
      asking = false;
      return;
    }
    asking = false;
    if (alive) load();
  }

  // ---- the elements --------------------------------------------------------------------------------------------
  const tabs = element("div", { role: "tablist", "aria-label": "Which attention", class: "attention-tabs" });
  const overview = element("div", { class: "attention-overview" });
  const title = element("h3", { class: "attention-title", "data-testid": "attention-title" });
  const about = element("p", { class: "attention-about" });
  const mapButton = element("button", { type: "button", text: "Heat map", on: { click: () => setMode("map") } });
  const linesButton = element("button", { type: "button", text: "Lines", on: { click: () => setMode("lines") } });
  mapButton.dataset.testid = "attention-mode-map";
  linesButton.dataset.testid = "attention-mode-lines";
  const specialBox = checkbox("attention-special", (checked) => {
    state.special = checked;
    state.focus = null;
    state.pinned = false;
    drawThumbnails();
    drawAll();
  });
  const brightBox = checkbox("attention-brighten", (checked) => {
    state.brighten = checked;
    drawThumbnails();
    drawAll();
  });
  const specialLabel = element("label", {}, specialBox, " special tokens");
  const brightLabel = element("label", {}, brightBox, " brighten small weights");
  const legend = element("canvas", { class: "attention-legend", role: "img" });
  const note = element("p", { class: "attention-note", "data-testid": "attention-note" });
  const base = element("canvas", { class: "attention-base", "aria-hidden": "true" });
  const overlay = element("canvas", {
    class: "attention-overlay",
    role: "application",
    "aria-roledescription": "heat map",
    tabindex: "0",
    "data-testid": "attention-map",
    "aria-describedby": `${name}-keys`,
  });
  const mapBox = element("div", { class: "attention-map" }, base, overlay);
  const queryList = tokenList("row", "Tokens that look");
  const keyList = tokenList("column", "Tokens that are looked at");
  const linesCanvas = element("canvas", { "aria-hidden": "true", "data-testid": "attention-lines" });
  const linesBox = element("div", { class: "attention-lines" }, queryList.node, linesCanvas, keyList.node);
  const readout = element("div", { class: "attention-readout", "data-testid": "attention-readout" });
  const left = element("div", { class: "attention-left" }, overview);
  const drawing = element("div", { class: "attention-drawing" }, mapBox, linesBox);
  const table = element("div", { class: "attention-table" });
  const tableBox = element(
    "details",
    { "data-testid": "attention-table", on: { toggle: () => drawTable() } },
    element("summary", { text: "The map as a table" }),
    table,
  );
  const explained = element(
    "details",
    {},
    element("summary", { text: "What is shown here?" }),
    element("dl", {}, ...EXPLANATIONS.flatMap(([term, text]) => [
      element("dt", { text: term }),
      element("dd", { text }),
    ])),
  );
  const keyHelp = element("p", {
    id: `${name}-keys`,
    class: "attention-keys",
    text: "Keys: arrows move, Enter pins, Escape lets go. Pointer: hover, and click to pin.",
  });
  const enlarged = element(
    "div",
    { class: "attention-one" },
    title,
    about,
    element(
      "div",
      { class: "course-row" },
      element("div", { role: "group", "aria-label": "Drawn as", class: "attention-modes" }, mapButton, linesButton),
      specialLabel,
      brightLabel,
      legend,
    ),
    drawing,
    note,
    status.node,
    keyHelp,
  );
  const panel = element("div", { class: "attention-panel" }, left, enlarged);
  const root = element(
    "div",
    { class: "course-widget attention-explorer", role: "region", "aria-label": "Attention explorer" },
    tabs,
    panel,
    tableBox,
    explained,
  );
  root.dataset.testid = "attention-explorer";

  function checkbox(testid, changed) {
    const box = element("input", { type: "checkbox", "data-testid": testid });
    box.addEventListener("change", () => changed(box.checked));
    return box;
  }

  // ---- tabs: encoder, decoder, cross-attention -----------------------------------------------------------------
  function buildTabs() {
    tabs.hidden = views.length < 2;
    if (tabs.hidden) return;
    panel.setAttribute("role", "tabpanel");
    panel.id = `${name}-panel`;
    views.forEach((one, number) => {
      const tab = element("button", {
        type: "button",
        role: "tab",
        id: `${name}-tab-${number}`,
        "aria-controls": `${name}-panel`,
        "data-testid": `attention-tab-${number}`,
        text: one.name,
        on: { click: () => chooseView(number) },
      });
      tabs.append(tab);
    });
    tabs.addEventListener("keydown", (event) => {
      const step = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
      if (!step) return;
      event.preventDefault();
      chooseView((state.view + step + views.length) % views.length);
      tabs.children[state.view].focus();
    });
  }

  function markTabs() {
    [...tabs.children].forEach((tab, number) => {
      tab.setAttribute("aria-selected", String(number === state.view));
      tab.tabIndex = number === state.view ? 0 : -1;
      if (number === state.view) panel.setAttribute("aria-labelledby", tab.id);
    });
  }

  function chooseView(number) {
    if (number === state.view) return;
    Object.assign(state, { view: number, layer: 0, head: 0, focus: null, pinned: false });
    state.brighten = view().keys.length > 64;
    showView();
    tell();
  }

  // ---- the overview: a grid of thumbnails ----------------------------------------------------------------------
  let cells = []; // [layer][column]
  function buildOverview() {
    const one = view();
    const short = { average: "avg", rollout: "roll" };
    const header = element("div", { role: "row" }, element("span", { role: "columnheader", text: "layer" }));
    one.columns.forEach((column, place) => {
      const isHead = place < one.heads;
      header.append(element("span", {
        role: "columnheader",
        class: isHead ? null : "attention-measure",
        title: isHead ? `head ${column}` : column,
        "aria-label": isHead ? `head ${column}` : column,
        text: short[column] ?? column,
      }));
    });
    cells = one.layers.map((_, layer) => one.columns.map((_, head) => element(
      "div",
      {
        role: "gridcell",
        tabindex: "-1",
        class: head < one.heads ? "attention-cell" : "attention-cell attention-measure",
        "data-testid": `attention-cell-${layer}-${head}`,
        "aria-label": `${one.names[layer][head]}, entropy ${one.entropies[layer][head].toFixed(2)} bits`,
        on: { click: () => choose(layer, head, true) },
      },
      element("canvas", { "aria-hidden": "true" }),
      element("span", { "aria-hidden": "true", text: one.entropies[layer][head].toFixed(1) }),
    )));
    const rows = one.layers.map((layer, number) => element(
      "div",
      { role: "row" },
      element("span", { role: "rowheader", text: layer, title: layer }),
      ...cells[number],
    ));
    const grid = element("div", {
      role: "grid",
      "aria-label": `All heads of ${one.name}: layers by heads`,
      class: one.columns.length > 10 ? "attention-grid attention-narrow" : "attention-grid",
      "data-testid": "attention-grid",
      style: { gridTemplateColumns: `auto repeat(${one.columns.length}, max-content)` },
      on: { keydown: moveInGrid },
    }, header, ...rows);
    overview.replaceChildren(
      element("p", {
        class: "attention-caption",
        text: `${one.layers.length} layers × ${one.heads} heads. Below each: its entropy in bits.`,
      }),
      grid,
    );
  }

  function moveInGrid(event) {
    const [layers, columns] = [view().layers.length, view().columns.length];
    const to = {
      ArrowRight: [state.layer, state.head + 1],
      ArrowLeft: [state.layer, state.head - 1],
      ArrowDown: [state.layer + 1, state.head],
      ArrowUp: [state.layer - 1, state.head],
      Home: [state.layer, 0],
      End: [state.layer, columns - 1],
    }[event.key];
    if (event.key === "Enter" || event.key === " ") {
      event.preventDefault();
      (state.mode === "map" ? overlay : queryList.node.querySelector('[tabindex="0"]'))?.focus();
      return;
    }
    if (!to) return;
    event.preventDefault();
    if (to[0] < 0 || to[0] >= layers || to[1] < 0 || to[1] >= columns) return;
    choose(to[0], to[1], true);
  }

  function choose(layer, head, focus = false) {
    Object.assign(state, { layer, head });
    markCells(focus);
    load();
    tell();
  }

  function markCells(focus) {
    cells.forEach((row, layer) => row.forEach((cell, head) => {
      const chosen = layer === state.layer && head === state.head;
      const mark = String(chosen);
      if (cell.getAttribute("aria-selected") === mark) return;
      cell.setAttribute("aria-selected", mark);
      cell.tabIndex = chosen ? 0 : -1;
    }));
    if (focus) cells[state.layer][state.head].focus();
  }

  function drawThumbnails() {
    const one = view();
    const all = bytesOf(model.get("thumbnails"));
    const which = state.special || !one.can_hide ? 0 : 1;
    const [rows, columns] = one.thumbnail_sizes[which];
    const colours = tableOf(state.brighten);
    let at = one.thumbnail_offsets[which];
    cells.forEach((line) => line.forEach((cell) => {
      const pixels = new Uint32Array(rows * columns);
      for (let place = 0; place < pixels.length; place++, at++) {
        const future = one.causal && place % columns > Math.floor(place / columns);
        if (!future) pixels[place] = colours[Math.round((all[at] * 1023) / 255)];
      }
      putPixels(cell.firstChild, pixels, rows, columns);
    }));
  }

  // ---- one map -------------------------------------------------------------------------------------------------
  const tables = new Map();
  function tableOf(brighten) {
    if (!tables.has(brighten)) tables.set(brighten, colourTable(brighten));
    return tables.get(brighten);
  }

  const shown = (specials) => [...specials.keys()].filter((place) => state.special || !view().can_hide || !specials[place]);
  const shownRows = () => shown(view().special_queries);
  const shownColumns = () => shown(view().special_keys);
  const isFuture = (row, column) => view().causal && column > row;

  let layout = null;
  const small = document.createElement("canvas");
  function drawMap() {
    const one = view();
    const [rows, columns] = [shownRows(), shownColumns()];
    const cell = cellSize(rows.length, columns.length);
    const named = cell >= NAMED_CELL;
    const ink = getComputedStyle(root);
    const font = `${Math.min(13, Math.max(10, cell - 2))}px ui-monospace, monospace`;
    const measure = base.getContext("2d");
    measure.font = font;
    const widest = (tokens, places) => Math.max(...places.map((place) => measure.measureText(tokens[place]).width));
    const left = named ? Math.min(140, widest(one.queries, rows)) + 12 : 120;
    const top = named ? Math.min(140, widest(one.keys, columns)) + 12 : 24;
    const width = left + cell * columns.length + 8;
    const height = top + cell * rows.length + 8;
    layout = { rows, columns, cell, named, left, top, width, height, font, ink: ink.color };
    const context = sizeCanvas(base, width, height);
    sizeCanvas(overlay, width, height);
    const colours = tableOf(state.brighten);
    const pixels = new Uint32Array(rows.length * columns.length);
    const { largest, shares, columns: stride } = state.map;
    let at = 0;
    for (const row of rows) {
      const scale = (largest[row] * 1023) / 255;
      for (const column of columns) {
        if (!isFuture(row, column)) pixels[at] = colours[Math.min(1023, Math.round(scale * shares[row * stride + column]))];
        at++;
      }
    }
    putPixels(small, pixels, rows.length, columns.length);
    context.imageSmoothingEnabled = false;
    context.drawImage(small, left, top, cell * columns.length, cell * rows.length);
    context.strokeStyle = ink.getPropertyValue("border-top-color");
    context.strokeRect(left - 0.5, top - 0.5, cell * columns.length + 1, cell * rows.length + 1);
    if (named) {
      rows.forEach((row, place) => label(context, "row", place, one.queries[row]));
      columns.forEach((column, place) => label(context, "column", place, one.keys[column]));
    }
    overlay.setAttribute(
      "aria-label",
      `Heat map of ${title.textContent}: ${rows.length} tokens that look, ${columns.length} that are looked at. ` +
        "The table below has the numbers.",
    );
    drawFocus();
  }

  function label(context, axis, place, text) {
    const { cell, left, top, font, ink } = layout;
    context.save();
    context.font = font;
    context.fillStyle = ink;
    context.textBaseline = "middle";
    context.direction = "ltr";
    if (axis === "row") {
      context.textAlign = "right";
      context.fillText(shortened(context, text, left - 8), left - 6, top + cell * (place + 0.5));
    } else {
      context.translate(left + cell * (place + 0.5), top - 6);
      context.rotate(-Math.PI / 2);
      context.textAlign = "left";
      context.fillText(shortened(context, text, top - 8), 0, 0);
    }
    context.restore();
  }

  /** Everything but the row and the column in focus fades; in large maps, their tokens are written beside them. */
  function drawFocus() {
    const { rows, columns, cell, named, left, top, width, height, ink } = layout;
    const context = overlay.getContext("2d");
    context.clearRect(0, 0, width, height);
    const { row = null, column = null } = state.focus ?? {};
    const [down, across] = [rows.indexOf(row), columns.indexOf(column)];
    if (down < 0 && across < 0) return;
    const style = getComputedStyle(root);
    const [right, bottom] = [cell * columns.length, cell * rows.length];
    const bands = (place, end) => (place < 0 ? [[0, end]] : [[0, cell * place], [cell * (place + 1), end]]);
    context.globalAlpha = 0.55;
    context.fillStyle = style.backgroundColor;
    for (const [x, xEnd] of bands(across, right)) {
      for (const [y, yEnd] of bands(down, bottom)) context.fillRect(left + x, top + y, xEnd - x, yEnd - y);
    }
    context.globalAlpha = 1;
    context.strokeStyle = style.getPropertyValue("--mark");
    context.lineWidth = state.pinned ? 3 : 1.5;
    if (down >= 0) context.strokeRect(named ? 1 : left - 1, top + cell * down - 1, right + (named ? left : 1), cell + 2);
    if (across >= 0) context.strokeRect(left + cell * across - 1, named ? 1 : top - 1, cell + 2, bottom + (named ? top : 1));
    if (named) return;
    context.font = "12px ui-monospace, monospace";
    context.fillStyle = ink;
    context.direction = "ltr";
    context.textBaseline = "middle";
    if (down >= 0) {
      context.textAlign = "right";
      context.fillText(shortened(context, view().queries[row], left - 12), left - 8, top + cell * (down + 0.5));
    }
    if (across >= 0) {
      context.textAlign = across > columns.length / 2 ? "right" : "left";
      context.fillText(shortened(context, view().keys[column], 160), left + cell * (across + 0.5), top - 12);
    }
  }

  /** The row and the column below a point of the map; beside it, only one of them. */
  function placeAt(event) {
    const box = overlay.getBoundingClientRect();
    const across = Math.floor((event.clientX - box.left - layout.left) / layout.cell);
    const down = Math.floor((event.clientY - box.top - layout.top) / layout.cell);
    const row = layout.rows[down] ?? null;
    const column = layout.columns[across] ?? null;
    if (row !== null && across < 0) return { row, column: null };
    if (column !== null && down < 0) return { row: null, column };
    return row === null || column === null ? null : { row, column };
  }

  overlay.addEventListener("pointermove", (event) => state.pinned || look(placeAt(event)));
  overlay.addEventListener("pointerleave", () => state.pinned || look(null));
  overlay.addEventListener("click", (event) => {
    const place = placeAt(event);
    const same = state.pinned && place && place.row === state.focus.row && place.column === state.focus.column;
    if (!place || same) release();
    else pin(place);
  });
  overlay.addEventListener("keydown", (event) => {
    const { rows, columns } = layout;
    let down = Math.max(0, rows.indexOf(state.focus?.row));
    let across = Math.max(0, columns.indexOf(state.focus?.column));
    if (event.key === "Escape") return release();
    if (event.key === "Enter" || event.key === " ") {
      event.preventDefault();
      return state.pinned ? release(true) : pin(state.focus ?? { row: rows[down], column: columns[across] });
    }
    const move = { ArrowRight: [0, 1], ArrowLeft: [0, -1], ArrowDown: [1, 0], ArrowUp: [-1, 0] }[event.key];
    if (event.key === "Home") across = 0;
    else if (event.key === "End") across = columns.length - 1;
    else if (!move) return;
    event.preventDefault();
    if (move && state.focus) {
      down = Math.min(rows.length - 1, Math.max(0, down + move[0]));
      across = Math.min(columns.length - 1, Math.max(0, across + move[1]));
    }
    look({ row: rows[down], column: columns[across] });
    status.say(described());
  });

  // ---- lines between tokens ------------------------------------------------------------------------------------
  function tokenList(axis, labelText) {
    const node = element("div", { role: "listbox", "aria-label": labelText, class: `attention-tokens attention-${axis}s` });
    const placeOf = (target) => {
      const option = target.closest('[role="option"]');
      return option ? Number(option.dataset.place) : null;
    };
    const focusOn = (place) => (axis === "row" ? { row: place, column: null } : { row: null, column: place });
    node.addEventListener("pointerover", (event) => {
      const place = placeOf(event.target);
      if (place !== null && !state.pinned) look(focusOn(place));
    });
    node.addEventListener("pointerleave", () => state.pinned || look(null));
    node.addEventListener("click", (event) => {
      const place = placeOf(event.target);
      if (place === null) return;
      if (state.pinned && state.focus[axis] === place) release();
      else pin(focusOn(place));
    });
    node.addEventListener("focusin", (event) => {
      const place = placeOf(event.target);
      if (place !== null && !state.pinned) look(focusOn(place));
    });
    node.addEventListener("keydown", (event) => {
      const option = event.target.closest('[role="option"]');
      if (!option) return;
      const options = [...node.children];
      const place = Number(option.dataset.place);
      const at = options.indexOf(option);
      const other = axis === "row" ? keyList.node : queryList.node;
      if (event.key === "Escape") return release();
      if (event.key === "Enter" || event.key === " ") {
        event.preventDefault();
        return state.pinned && state.focus[axis] === place ? release(true) : pin(focusOn(place));
      }
      const to = {
        ArrowDown: options[at + 1],
        ArrowUp: options[at - 1],
        Home: options[0],
        End: options[options.length - 1],
        [axis === "row" ? "ArrowRight" : "ArrowLeft"]: other.children[Math.min(at, other.children.length - 1)],
      }[event.key];
      if (!to) return;
      event.preventDefault();
      for (const each of to.parentNode.children) each.tabIndex = each === to ? 0 : -1;
      to.focus();
      if (!state.pinned) status.say(described());
    });
    return {
      node,
      fill(tokens, places) {
        node.replaceChildren(...places.map((place, at) => element("div", {
          role: "option",
          "aria-selected": "false",
          tabindex: at === 0 ? "0" : "-1",
          "data-place": String(place),
          "data-testid": `attention-${axis}-${place}`,
          class: "course-token",
          text: tokens[place],
        })));
      },
      mark(chosen) {
        for (const option of node.querySelectorAll('[aria-selected="true"], .attention-looked')) {
          option.setAttribute("aria-selected", "false");
          option.classList.remove("attention-looked");
        }
        const option = chosen === null ? null : node.querySelector(`[data-place="${chosen}"]`);
        if (!option) return;
        option.classList.add("attention-looked");
        option.setAttribute("aria-selected", String(state.pinned));
      },
    };
  }

  let listed = "";
  function drawLines() {
    const [rows, columns] = [shownRows(), shownColumns()];
    const wanted = `${state.view} ${state.special}`;
    if (listed !== wanted) {
      queryList.fill(view().queries, rows);
      keyList.fill(view().keys, columns);
      listed = wanted;
    }
    const height = LINE_HEIGHT * Math.max(rows.length, columns.length);
    const context = sizeCanvas(linesCanvas, LINES_WIDTH, height);
    drawLinesOf(context, rows, columns);
  }

  /** Without focus each token's three strongest looks; with it, all looks of that token. */
  function drawLinesOf(context, rows, columns) {
    context.clearRect(0, 0, LINES_WIDTH, LINE_HEIGHT * Math.max(rows.length, columns.length));
    const { row = null, column = null } = state.focus ?? {};
    queryList.mark(row);
    keyList.mark(column);
    context.strokeStyle = getComputedStyle(root).getPropertyValue("--focus");
    const [down, across] = [new Map(), new Map()];
    rows.forEach((place, at) => down.set(place, at));
    columns.forEach((place, at) => across.set(place, at));
    const line = (from, to, weight) => {
      const strength = state.brighten ? Math.sqrt(weight) : weight;
      context.globalAlpha = 0.12 + 0.88 * strength;
      context.lineWidth = 0.5 + 4 * strength;
      context.beginPath();
      context.moveTo(2, LINE_HEIGHT * (down.get(from) + 0.5));
      context.lineTo(LINES_WIDTH - 2, LINE_HEIGHT * (across.get(to) + 0.5));
      context.stroke();
    };
    const enough = 0.005;
    if (row === null && column === null) {
      for (const from of rows) for (const to of strongest(state.map, "row", from, columns, 3)) line(from, to.place, to.weight);
      return;
    }
    if (row !== null) {
      for (const to of columns) if (weightAt(state.map, row, to) >= enough) line(row, to, weightAt(state.map, row, to));
    }
    if (column !== null) {
      for (const from of rows) {
        if (from !== row && weightAt(state.map, from, column) >= enough) line(from, column, weightAt(state.map, from, column));
      }
    }
  }

  // ---- what is in focus ----------------------------------------------------------------------------------------
  function look(place) {
    state.focus = place;
    if (!state.map) return;
    if (state.mode === "map") drawFocus();
    else drawLinesOf(linesCanvas.getContext("2d"), shownRows(), shownColumns());
    drawReadout();
  }

  function pin(place) {
    state.pinned = true;
    look(place);
    status.say(`Pinned: ${described()} Escape lets go.`);
  }

  /** `keep`: the keyboard's place stays where it is. */
  function release(keep = false) {
    const was = state.pinned;
    state.pinned = false;
    look(keep ? state.focus : null);
    if (was) status.say("Let go.");
  }

  /** The focus in a sentence, for readers who hear it. */
  function described() {
    const { row = null, column = null } = state.focus ?? {};
    const one = view();
    if (row !== null && column !== null) {
      const weight = isFuture(row, column) ? "nothing: it comes later" : weightText(state.map, row, column);
      return `${one.queries[row]} (${row + 1}) looks at ${one.keys[column]} (${column + 1}): ${weight}.`;
    }
    if (row !== null) {
      const best = strongest(state.map, "row", row, shownColumns(), 3);
      const looks = best.map((to) => `${one.keys[to.place]} ${weightText(state.map, row, to.place)}`).join(", ");
      return `${one.queries[row]} (${row + 1}) looks most at ${looks || "nothing that is shown"}.`;
    }
    if (column !== null) {
      const best = strongest(state.map, "column", column, shownRows(), 3);
      const looks = best.map((to) => `${one.queries[to.place]} ${weightText(state.map, to.place, column)}`).join(", ");
      return `${one.keys[column]} (${column + 1}) is looked at most by ${looks || "nothing that is shown"}.`;
    }
    return "";
  }

  function drawReadout() {
    const { row = null, column = null } = state.focus ?? {};
    const one = view();
    if (row === null && column === null) {
      readout.replaceChildren(element("p", { class: "attention-hint", text: "Point at a token or a cell to see its row and column." }));
      return;
    }
    const parts = [];
    if (row !== null && column !== null) {
      parts.push(element(
        "p",
        { class: "attention-cell-readout", "data-testid": "attention-weight" },
        element("bdi", { class: "course-token", text: one.queries[row] }),
        " → ",
        element("bdi", { class: "course-token", text: one.keys[column] }),
        " ",
        element("strong", { text: isFuture(row, column) ? "a later token" : weightText(state.map, row, column) }),
      ));
    }
    const tables = [];
    if (row !== null) tables.push(looksTable("row", row, one.queries[row], "looks at"));
    if (column !== null) tables.push(looksTable("column", column, one.keys[column], "is looked at by"));
    readout.replaceChildren(...parts, element("div", { class: "attention-looks" }, ...tables));
  }

  function looksTable(axis, place, token, verb) {
    const one = view();
    const tokens = axis === "row" ? one.keys : one.queries;
    const best = strongest(state.map, axis, place, axis === "row" ? shownColumns() : shownRows(), STRONGEST);
    const lines = best.filter((other) => other.weight >= 0.005 || other === best[0]).map((other) => {
      const [row, column] = axis === "row" ? [place, other.place] : [other.place, place];
      return element(
        "tr",
        {},
        element("th", { scope: "row" },
          element("bdi", { class: "course-token", text: tokens[other.place] }),
          element("span", { class: "attention-place", text: ` ${other.place + 1}` })),
        element("td", {}, element("div", { class: "attention-bar", style: { width: `${Math.round(80 * other.weight)}px` } })),
        element("td", { text: weightText(state.map, row, column) }),
      );
    });
    const caption = element("caption", {}, element("bdi", { class: "course-token", text: token }),
      element("span", { class: "attention-place", text: ` ${place + 1}` }), ` ${verb}`);
    return element("table", {}, caption, element("tbody", {}, ...lines));
  }

  // ---- title, legend, table ------------------------------------------------------------------------------------
  function drawTitle() {
    const one = view();
    const waiting = state.mapName !== keyOf(state);
    const words = one.names[state.layer][state.head];
    title.textContent = words[0].toUpperCase() + words.slice(1) + (waiting ? " …" : "");
    root.setAttribute("aria-busy", String(waiting));
    about.textContent = `Entropy ${one.entropies[state.layer][state.head].toFixed(2)} bits, of ${one.widest.toFixed(2)} if it ` +
      "looked at everything alike.";
  }

  function drawLegend() {
    const [width, height] = [190, 30];
    const context = sizeCanvas(legend, width, height);
    const [from, length] = [8, width - 24];
    for (let x = 0; x < length; x++) {
      context.fillStyle = `rgb(${colourOf(x / (length - 1)).join(",")})`;
      context.fillRect(from + x, 2, 1, 10);
    }
    context.fillStyle = getComputedStyle(root).color;
    context.font = "11px system-ui, sans-serif";
    context.textAlign = "center";
    for (const weight of state.brighten ? [0, 0.04, 0.25, 0.5, 1] : [0, 0.25, 0.5, 0.75, 1]) {
      const place = state.brighten ? Math.sqrt(weight) : weight;
      context.fillRect(from + place * (length - 1), 10, 1, 4);
      context.fillText(String(weight), from + place * (length - 1), 26);
    }
    const kind = state.brighten ? ", by the square root of the weight" : "";
    legend.setAttribute("aria-label", `Colours of the weights: dark blue is 0, yellow is 1${kind}.`);
  }

  function drawNote() {
    const one = view();
    const words = [
      state.mode === "map" ? "Rows look, columns are looked at." : "On the left the tokens that look; on the right those looked at.",
    ];
    if (one.causal) words.push("A token looks only at itself and back.");
    if (state.mode === "lines") words.push("Each token's three strongest looks; all of a token's when you point at it.");
    if (!state.special && one.can_hide) {
      words.push("Special tokens are hidden; the other weights stay as they are, so rows sum to less than 1. Entropies are of whole rows.");
    }
    note.textContent = [...words, one.note].join(" ").trim();
  }

  function drawTable() {
    if (!tableBox.open || !state.map) return;
    const one = view();
    const [rows, columns] = [shownRows(), shownColumns()];
    const whole = Math.max(rows.length, columns.length) <= WHOLE_TABLE;
    const head = (text) => element("th", { scope: "col" }, element("bdi", { class: "course-token", text }));
    const token = (row) => element("th", { scope: "row" }, element("bdi", { class: "course-token", text: one.queries[row] }),
      element("span", { class: "attention-place", text: ` ${row + 1}` }));
    const header = whole
      ? [element("th", { scope: "col", text: "looks" }), ...columns.map((column) => head(one.keys[column]))]
      : ["looks", "most at", "then", "then"].map((text) => element("th", { scope: "col", text }));
    const lines = rows.map((row) => {
      if (whole) {
        return element("tr", {}, token(row), ...columns.map((column) =>
          element("td", { text: isFuture(row, column) ? "" : weightText(state.map, row, column) })));
      }
      const best = strongest(state.map, "row", row, columns, 3);
      return element("tr", {}, token(row), ...[0, 1, 2].map((at) => element("td", {}, ...(best[at] ? [
        element("bdi", { class: "course-token", text: one.keys[best[at].place] }),
        ` ${weightText(state.map, row, best[at].place)}`,
      ] : []))));
    });
    const caption = `${one.name}, ${one.names[state.layer][state.head]}: ` + (whole ? "all weights" : "where each token looks most");
    table.replaceChildren(element("table", {}, element("caption", { text: caption }),
      element("thead", {}, element("tr", {}, ...header)), element("tbody", {}, ...lines)));
  }

  /** Below a low overview that stands beside the map there is room for the readout; else it follows the map. */
  function placeReadout() {
    const beside = enlarged.offsetLeft > left.offsetLeft;
    const home = beside && view().layers.length <= LOW_OVERVIEW ? left : drawing;
    if (readout.parentNode !== home) home.append(readout);
  }

  function setMode(mode) {
    state.mode = mode;
    drawAll();
  }

  function drawAll() {
    mapButton.setAttribute("aria-pressed", String(state.mode === "map"));
    linesButton.setAttribute("aria-pressed", String(state.mode === "lines"));
    specialBox.checked = state.special;
    brightBox.checked = state.brighten;
    specialLabel.hidden = !view().can_hide;
    mapBox.hidden = state.mode !== "map";
    linesBox.hidden = state.mode !== "lines";
    legend.hidden = state.mode !== "map";
    drawTitle();
    drawLegend();
    drawNote();
    if (!state.map) return;
    if (state.mode === "map") drawMap();
    else drawLines();
    drawReadout();
    drawTable();
    root.dataset.shown = state.mapName;
  }

  function showView() {
    // The old view's map does not fit the new one's tokens.
    state.map = null;
    markTabs();
    buildOverview();
    drawThumbnails();
    markCells(false);
    placeReadout();
    drawAll();
    load();
  }

  // ---- the kernel's side of the choice, the theme, and the end ---------------------------------------------------
  function tell() {
    model.set("chosen", { view: state.view, layer: state.layer, head: state.head });
    model.save_changes();
  }

  function heed() {
    const chosen = model.get("chosen");
    if (keyOf(chosen) === keyOf(state)) return;
    const another = chosen.view !== state.view;
    Object.assign(state, chosen, another ? { focus: null, pinned: false } : {});
    if (another) showView();
    else {
      markCells(false);
      load();
    }
  }

  let alive = true;
  const redraw = () => {
    if (state.map) drawAll();
  };
  const theme = new MutationObserver(redraw);
  theme.observe(document.body, { attributes: true, attributeFilter: ["data-jp-theme-light", "data-jp-theme-name", "class"] });
  const preference = window.matchMedia("(prefers-color-scheme: dark)");
  preference.addEventListener("change", redraw);
  model.on("change:chosen", heed);
  const width = new ResizeObserver(placeReadout);
  width.observe(panel);

  el.append(root);
  buildTabs();
  showView();
  return () => {
    alive = false;
    theme.disconnect();
    width.disconnect();
    preference.removeEventListener("change", redraw);
    model.off("change:chosen", heed);
  };
}

export default { render };
