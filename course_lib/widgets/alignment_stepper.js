// One decoding step at a time: energies, softmax, weighted sum, word. All steps came with the widget.

const COMPONENT_WIDTH = 13, COMPONENT_HEIGHT = 30;

/** The largest absolute value of many rows of numbers, at least a little more than 0: the end of a common scale. */
const stepperLargest = (rows) => Math.max(1e-9, ...rows.flat().map((value) => Math.abs(value ?? 0)));

/** One scale for the vectors of all steps. */
const stepperScale = (data) => stepperLargest(data.steps.flatMap(
  (step) => [step.context, ...stepperParts(data.annotations, step.weights)]));

/** Each annotation times its weight: what one source word gives to the context. */
const stepperParts = (annotations, weights) => annotations.map((row, place) => row.map((value) => weights[place] * value));

/** A bar from `from` to `to`, both within 0..1 of its track. */
function stepperBar(from, to, kind = "") {
  const [low, high] = [Math.min(from, to), Math.max(from, to)];
  const fill = element("span", {
    class: `fill ${kind}`,
    style: { left: `${100 * low}%`, width: `${100 * Math.max(high - low, 0.004)}%` },
  });
  return element("span", { class: "track", "aria-hidden": "true" }, fill);
}

/** Some numbers of a vector as upright bars around a line at zero. */
function stepperVector(values, largest, strong) {
  const middle = COMPONENT_HEIGHT / 2, width = COMPONENT_WIDTH * values.length;
  const bars = values.map((value, place) => {
    const height = (Math.abs(value) / largest) * (middle - 1);
    return element("rect", {
      x: place * COMPONENT_WIDTH + 2, y: value >= 0 ? middle - height : middle,
      width: COMPONENT_WIDTH - 4, height: Math.max(height, 0.5), class: value >= 0 ? "above" : "below",
    });
  });
  const zero = element("line", { x1: 0, x2: width, y1: middle, y2: middle });
  return element("svg", {
    class: `vector ${strong ? "strong" : ""}`, "aria-hidden": "true", width, height: COMPONENT_HEIGHT,
    viewBox: `0 0 ${width} ${COMPONENT_HEIGHT}`,
  }, zero, ...bars);
}

const stepperHeader = (text, hint = null) =>
  element("th", { scope: "col" }, element("span", { text }), hint && element("span", { class: "hint", text: hint }));

/** The main table: a source word in each row, from its energy to its part of the context. */
function stepperComputation(data, step) {
  const energies = data.steps.flatMap(({ energies: row }) => row ?? []).map((value) => value ?? 0);
  const low = Math.min(0, ...energies), high = Math.max(0, ...energies, low + 1e-9);
  const at = (value) => (value - low) / (high - low);
  const parts = stepperParts(data.annotations, step.weights);
  const scale = stepperScale(data);
  const most = step.weights.indexOf(Math.max(...step.weights));
  const shown = data.features.length;
  const head = element("tr", {}, stepperHeader("source word"));
  if (step.energies) head.append(stepperHeader("energy e"));
  head.append(stepperHeader("weight α", step.energies ? "softmax of e" : null));
  if (shown) head.append(stepperHeader("weight × annotation", `${shown} of ${data.annotation_size} numbers`));
  const rows = data.source.map((word, place) => {
    const row = element("tr", { class: place === most ? "most" : "" },
      element("th", { scope: "row" }, element("span", { class: "course-token", dir: "auto", text: word })));
    if (step.energies) {
      const energy = step.energies[place];
      row.append(element("td", {},
        element("span", { class: "number", "data-testid": `alignment-energy-${place}`,
          text: energy === null ? "−∞" : written(energy, 2) }),
        energy === null ? null : stepperBar(at(0), at(energy), "energy")));
    }
    row.append(element("td", {},
      element("span", { class: "number", "data-testid": `alignment-weight-${place}`, text: written(step.weights[place]) }),
      stepperBar(0, step.weights[place])));
    if (shown) row.append(element("td", {}, stepperVector(parts[place], scale)));
    return row;
  });
  const columns = step.energies ? 2 : 1;
  const foot = shown ? element("tfoot", {}, element("tr", {},
    element("th", { scope: "row", colspan: columns + 1, text: "their sum: the context c" }),
    element("td", {}, stepperVector(step.context, scale, true)))) : null;
  return element("table", { class: "computation" },
    element("caption", { text: "From scores to context" }),
    element("thead", {}, head), element("tbody", {}, ...rows), foot);
}

/** The likeliest next words; the first is the chosen one. */
function stepperWords(step) {
  const rows = [[step.word, step.probability], ...step.others].map(([word, probability], place) =>
    element("tr", { class: place === 0 ? "most" : "" },
      element("th", { scope: "row" },
        element("span", { class: "course-token", dir: "auto", text: word,
          "data-testid": place === 0 ? "alignment-word" : null }),
        place === 0 ? element("span", { class: "hint", text: "chosen" }) : null),
      element("td", {}, element("span", { class: "number", text: written(probability) }), stepperBar(0, probability))));
  return element("table", { class: "words" }, element("caption", { text: "The next word" }),
    element("thead", {}, element("tr", {}, stepperHeader("word"), stepperHeader("probability"))),
    element("tbody", {}, ...rows));
}

/** The alignment so far: what is still to come is empty. */
function stepperMatrix(data, current, choose) {
  const head = element("tr", {}, element("td", {}), ...data.source.map((word) =>
    element("th", { scope: "col" }, element("span", { class: "course-token upright", dir: "auto", text: word }))));
  const rows = data.steps.map((step, number) => {
    const seen = number <= current;
    const cells = step.weights.map((weight, place) => element("td", {
      class: "weight",
      title: seen ? `${step.word} ← ${data.source[place]}: ${written(weight)}` : null,
      style: seen ? { background: `rgb(${colourOf(weight)})`, color: inkOn(weight) } : {},
      text: seen && weight >= 0.05 ? written(weight, 2).replace("0.", ".") : "",
    }));
    return element("tr", {
      class: `${number === current ? "current" : ""} ${seen ? "" : "later"}`,
      "aria-current": number === current ? "step" : null,
      "data-testid": `alignment-row-${number}`, on: { click: () => choose(number) },
    }, element("th", { scope: "row" }, seen
      ? element("span", { class: "course-token", dir: "auto", text: step.word })
      : element("span", { class: "hint", text: "later" })),
    ...cells);
  });
  return element("table", { class: "matrix" }, element("caption", { text: "The alignment so far" }),
    element("thead", {}, head), element("tbody", {}, ...rows));
}

/** The numbers of this step, to be read or copied. */
function stepperTwin(data, step, number) {
  const parts = stepperParts(data.annotations, step.weights);
  const names = ["source word", ...(step.energies ? ["energy"] : []), "weight", ...data.features.map((f) => `part ${f}`)];
  const rows = data.source.map((word, place) => [
    word, ...(step.energies ? [step.energies[place] === null ? "−∞" : written(step.energies[place])] : []),
    written(step.weights[place]), ...(parts[place] ?? []).map((value) => written(value)),
  ]);
  if (data.features.length) {
    rows.push(["sum", ...(step.energies ? [""] : []), written(step.weights.reduce((sum, weight) => sum + weight, 0)),
      ...step.context.map((value) => written(value))]);
  }
  return element("table", { "data-testid": "alignment-table" },
    element("caption", { text: `Step ${number + 1} of ${data.steps.length}, “${step.word}”`
      + (data.features.length ? "; part k: the weight times number k of the annotation" : "") }),
    element("thead", {}, element("tr", {}, ...names.map((text) => stepperHeader(text)))),
    element("tbody", {}, ...rows.map(([first, ...rest]) => element("tr", {},
      element("th", { scope: "row" }, element("span", { class: "course-token", dir: "auto", text: first })),
      ...rest.map((text) => element("td", { text }))))));
}

function render({ model, el }) {
  const status = statusLine();
  const previous = element("button", { type: "button", "data-testid": "alignment-previous", text: "◀ Previous",
    on: { click: () => go(current() - 1) } });
  const next = element("button", { type: "button", "data-testid": "alignment-next", text: "Next ▶",
    on: { click: () => go(current() + 1) } });
  const slider = element("input", { type: "range", min: 0, step: 1, "aria-label": "Decoding step",
    "data-testid": "alignment-slider", on: { input: () => go(Number(slider.value)) } });
  const place = element("span", { class: "place", "data-testid": "alignment-place" });
  const computation = element("div", { class: "part" });
  const words = element("div", { class: "part" });
  const matrix = element("div", { class: "part scrolled", tabindex: 0, role: "region", "aria-label": "The alignment so far" });
  const twin = element("div", { class: "scrolled", tabindex: 0, role: "region", "aria-label": "Numbers of this step" });
  const root = element("section", {
    class: "course-widget alignment-stepper", "aria-label": "Alignment stepper", "data-testid": "alignment-stepper",
    "data-lm-suppress-shortcuts": "true", on: { keydown: onKey },
  },
  element("div", { class: "course-row" }, previous, slider, next, place), status.node,
  element("div", { class: "parts" }, computation, element("div", { class: "part" }, words, matrix)),
  element("details", {}, element("summary", { text: "Numbers of this step as a table" }), twin));

  const current = () => model.get("step");
  const data = () => model.get("data");

  function go(step) {
    const last = data().steps.length - 1;
    model.set("step", Math.min(Math.max(step, 0), last));
    model.save_changes();
  }

  function onKey(event) {
    if (event.altKey || event.ctrlKey || event.metaKey || event.target === slider) return;
    const last = data().steps.length - 1;
    const targets = { ArrowLeft: current() - 1, ArrowRight: current() + 1, Home: 0, End: last };
    if (!(event.key in targets)) return;
    event.preventDefault();
    go(targets[event.key]);
  }

  function draw() {
    const number = current(), all = data(), step = all.steps[number];
    const most = step.weights.indexOf(Math.max(...step.weights));
    const last = number === all.steps.length - 1;
    // Not `disabled`: the focus would be lost, and with it the arrow keys.
    previous.setAttribute("aria-disabled", String(number === 0));
    next.setAttribute("aria-disabled", String(last));
    slider.max = all.steps.length - 1;
    slider.value = number;
    slider.setAttribute("aria-valuetext", `step ${number + 1} of ${all.steps.length}: ${step.word}`);
    place.textContent = `step ${number + 1} of ${all.steps.length}`;
    const cut = !all.finished && last ? " The translation was cut off here." : "";
    status.say(`Looks most at “${all.source[most]}” (${written(step.weights[most])}), `
      + `writes “${step.word}” (${written(step.probability)}).${cut}`);
    computation.replaceChildren(stepperComputation(all, step));
    words.replaceChildren(stepperWords(step));
    matrix.replaceChildren(stepperMatrix(all, number, go));
    twin.replaceChildren(stepperTwin(all, step, number));
  }

  model.on("change:step", draw);
  model.on("change:data", draw);
  draw();
  el.append(root);
  return () => {
    model.off("change:step", draw);
    model.off("change:data", draw);
  };
}

export default { render };
