// The laboratory's parts: a setting's sliders, and lines of tokens on the colour of their probability.

const CONTROLS = [
  { name: "temperature", label: "temperature T", low: 0.05, high: 3, step: 0.05 },
  { name: "top_k", label: "top-k", low: 0, high: 100, step: 1, off: 0 },
  { name: "top_p", label: "top-p", low: 0.01, high: 1, step: 0.01, off: 1 },
  { name: "min_p", label: "min-p", low: 0, high: 1, step: 0.01, off: 0 },
  { name: "repetition_penalty", label: "repetition penalty", low: 0.5, high: 2, step: 0.05, off: 1 },
];
const LABELS = Object.fromEntries(CONTROLS.map(({ name, label }) => [name, label.replace(" T", "")]));

/** A probability as a reader wants it: three digits, and never a false 0 %. */
function percent(share) {
  if (share === 0) return "0 %";
  const hundred = 100 * share;
  if (hundred < 0.001) return "< 0.001 %";
  return `${hundred >= 99.95 ? hundred.toFixed(0) : Number(hundred.toPrecision(3))} %`;
}

/** Whole numbers with commas: 50,257. */
const counted = (number) => number.toLocaleString("en");

/** A slider and a number field for each filter. `changed(setting)` for valid settings, `refused(message)` for others. */
function settingPanel(title, first, changed, refused) {
  const setting = { ...first };
  const rows = CONTROLS.map((control) => controlRow(control, setting, title, changed, refused));
  return {
    setting,
    node: element(
      "fieldset",
      { class: "lab-panel", "data-setting": title, "data-testid": `panel-${title}` },
      element("legend", { text: `Setting ${title}` }),
      ...rows,
    ),
  };
}

function controlRow({ name, label, low, high, step, off }, setting, title, changed, refused) {
  const written = () => setting[name] ?? off;
  const slider = element("input", {
    type: "range", min: low, max: high, step, "aria-label": `${label}, setting ${title}`,
    "data-testid": `${name}-${title}-slider`,
  });
  const field = element("input", {
    type: "number", step: "any", "aria-label": `${label}, setting ${title}, as a number`,
    "data-testid": `${name}-${title}-number`,
  });
  const state = element("span", { class: "lab-off" });

  function show() {
    const isOff = off !== undefined && written() === off;
    slider.value = String(written());
    slider.setAttribute("aria-valuetext", isOff ? "off" : String(written()));
    if (document.activeElement !== field || Number(field.value) !== written()) field.value = String(written());
    field.removeAttribute("aria-invalid");
    state.textContent = isOff ? "off" : "";
  }
  function take(text) {
    const number = text === "" ? off ?? NaN : Number(text);
    const value = number === off && name !== "repetition_penalty" ? null : number;
    const candidate = { ...setting, [name]: name === "top_k" && value !== null ? Math.round(value) : value };
    try {
      stagesOf(new Float32Array(2), [0], candidate); // each filter refuses its own bad values
    } catch (error) {
      field.setAttribute("aria-invalid", "true");
      refused(error.message);
      return;
    }
    Object.assign(setting, candidate);
    show();
    changed(setting);
  }
  slider.addEventListener("input", () => take(slider.value));
  field.addEventListener("change", () => take(field.value));
  show();
  return element("div", { class: "lab-control" }, element("span", { class: "lab-name", text: label }), slider, field, state);
}

/** The ground and the ink of a probability. */
const inked = (share) => ({ background: `rgb(${colourOf(share).join(" ")})`, color: inkOn(share) });

/**
 * Tokens in a line, each on the colour of its probability. One Tab stop; arrows go from token to token, and `say` is told
 * the one under the pointer or the focus. In a running text a space is seen by its ground.
 */
function tokenLine(label, tokens, say) {
  const nodes = tokens.map(({ text, share }, place) =>
    element("span", {
      class: "course-token lab-token", role: "option", "aria-selected": "false", tabindex: place ? "-1" : "0",
      "aria-label": `${text}, ${percent(share)}`, "data-share": String(share), style: inked(share),
      text: text.replaceAll("␣", " "), title: `${text} ${percent(share)}`,
      on: {
        focus: () => said(place),
        mouseenter: () => say(`${text}: ${percent(share)} by the model`),
      },
    }),
  );
  function said(place) {
    nodes.forEach((node, other) => {
      node.tabIndex = other === place ? 0 : -1;
      node.setAttribute("aria-selected", String(other === place));
    });
    say(`${tokens[place].text}: ${percent(tokens[place].share)} by the model`);
  }
  return element(
    "div",
    {
      class: "lab-line", role: "listbox", "aria-orientation": "horizontal", "aria-label": label,
      on: { keydown: (event) => moveFocus(event, nodes, ["ArrowLeft", "ArrowRight"]) },
    },
    ...nodes,
  );
}

/** The roving focus of a list: the two arrows, Home and End. Whether the key was one of them. */
function moveFocus(event, nodes, [back, forth]) {
  const place = nodes.indexOf(event.target);
  const wanted = { [back]: place - 1, [forth]: place + 1, Home: 0, End: nodes.length - 1 }[event.key];
  if (place < 0 || wanted === undefined) return false;
  event.preventDefault();
  nodes[Math.min(Math.max(wanted, 0), nodes.length - 1)].focus();
  return true;
}

/** A table whose first column heads the rows. Cells are texts. */
function textTable(caption, header, rows) {
  return element(
    "table",
    {},
    element("caption", { text: caption }),
    element("thead", {}, element("tr", {}, ...header.map((text) => element("th", { scope: "col", text })))),
    element(
      "tbody",
      {},
      ...rows.map(([first, ...rest]) =>
        element(
          "tr",
          {},
          element("th", { scope: "row", class: "course-token", text: first }),
          ...rest.map((text) => element("td", { text })),
        ),
      ),
    ),
  );
}
