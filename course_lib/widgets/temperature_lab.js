// The temperature laboratory's page. The kernel gives the scores of the next token; all filtering is done here.

const NAMES = ["A", "B"];

export default {
  render({ model, el }) {
    const begin = model.get("settings");
    const status = statusLine();
    const say = (text) => status.say(text);
    let logits, before, ownBits, place; // of the present step
    let results = {}; // by the setting's name, what redraw() found
    const stale = new Set(); // the settings that changed since
    let comparing = Boolean(begin.settings.B);
    let promptRead = null;
    let frame = 0;

    // ---- The prompt, and the steps since.
    const prompt = element("textarea", {
      rows: "2", "aria-label": "Prompt", "data-testid": "prompt", spellcheck: "false",
      on: { keydown: promptKey },
    });
    const length = element("span", { class: "lab-note", "data-testid": "length" });
    const text = element("div", { class: "lab-text", "data-testid": "text" });
    const seed = numberField("seed", begin.seed, 0, "seed");
    const buttons = {
      read: button("Read the prompt", "read", () => send("prompt", { text: prompt.value }, "The prompt was read.")),
      A: button("Draw the next token with A", "draw-A", () => step({ setting: panels.A.setting })),
      B: button("… with B", "draw-B", () => step({ setting: panels.B.setting })),
      likeliest: button("Take the likeliest", "likeliest", () => step({ setting: panels.A.setting, greedy: true })),
      undo: button("Undo a step", "undo", () => send("undo", {}, "The last step was taken back.")),
      reset: button("Reset", "reset", () => send("reset", {}, "All steps were taken back.")),
    };

    // ---- The settings.
    const panels = {};
    for (const name of NAMES) {
      const first = begin.settings[name] || begin.settings.A;
      panels[name] = settingPanel(name, first, () => {
        if (status.node.dataset.kind === "error") status.say("");
        stale.add(name);
        later();
      }, (message) => status.say(message, "error"));
    }
    const compare = button("Compare two settings", "compare", () => {
      comparing = !comparing;
      showComparing();
      redraw();
    });
    const until = element(
      "select",
      { "aria-label": "Bars show the probabilities after", "data-testid": "until", on: { change: () => redrawAll() } },
      element("option", { value: "", text: "all filters" }),
      ...["repetition_penalty", "temperature", "top_k", "top_p", "min_p"].map((name) =>
        element("option", { value: name, text: `${LABELS[name]}` }),
      ),
    );

    // ---- The bars.
    const list = element("div", {
      class: "lab-bars", role: "listbox", "aria-label": "Likeliest next tokens; Enter takes one",
      "data-testid": "bars", on: { keydown: barKey, click: barClick },
    });
    const head = element("div", { class: "lab-row lab-head", "aria-hidden": "true" });
    const others = element("div", { class: "lab-note", "data-testid": "others" });
    const summary = element("div", { class: "lab-summary", "data-testid": "summary" });
    const rowsTable = details("The bars as a table", "bars-table", barsAsTable);
    const stepsTable = element("div", { class: "lab-steps", "data-testid": "steps" });
    let rows = [];

    // ---- The continuations.
    const count = numberField("samples", begin.samples, 1, "count", 8);
    const newTokens = numberField("tokens each", begin.new_tokens, 1, "new-tokens", 100);
    const samples = element("div", { class: "lab-samples", "data-testid": "samples" });
    const samplesTable = details("The continuations as a table", "samples-table", samplesAsTable);
    buttons.sample = button("Sample continuations", "sample", () => sample(false));
    buttons.greedy = button("The likeliest continuation", "greedy", () => sample(true));

    const root = element(
      "div",
      {
        class: "course-widget temperature-lab", role: "group", "aria-label": "Temperature laboratory",
        "data-testid": "temperature-lab", "data-lm-suppress-shortcuts": "true",
      },
      element("div", { class: "course-row lab-prompt" }, prompt, buttons.read, length),
      text,
      element(
        "div", { class: "course-row" },
        buttons.A, buttons.B, buttons.likeliest, buttons.undo, buttons.reset, seed.node,
      ),
      element("div", { class: "lab-panels" }, panels.A.node, panels.B.node),
      element("div", { class: "course-row" }, compare, element("label", {}, "bars after ", until)),
      status.node,
      element("h3", { text: "What may come next" }),
      summary,
      element("div", { class: "lab-chart" }, head, list, others),
      element("div", { class: "lab-tables" }, stepsTable, rowsTable.node),
      element("h3", { text: "How it goes on" }),
      element(
        "div", { class: "course-row" },
        buttons.sample, buttons.greedy, count.node, newTokens.node, legend(),
      ),
      samples,
      samplesTable.node,
    );
    el.append(root);

    // ---- Asking the kernel.
    let waiting = 0;
    async function send(name, content, done) {
      const number = ++waiting;
      const free = () => {
        if (number !== waiting) return;
        root.removeAttribute("aria-busy");
        for (const one of Object.values(buttons)) one.removeAttribute("aria-disabled");
        showPlace();
      };
      root.setAttribute("aria-busy", "true");
      for (const one of Object.values(buttons)) one.setAttribute("aria-disabled", "true"); // and keeps the focus
      const watcher = { lost: () => (status.lost(), free()), found: () => status.found() };
      try {
        const { content: answer } = await ask(model, name, content, watcher, name === "sample" ? 15000 : 4000);
        if (number === waiting) status.say(typeof done === "function" ? done(answer) : done);
        return true;
      } catch (error) {
        status.say(error.message, "error");
        return false;
      } finally {
        free();
      }
    }
    function step(content) {
      return send("step", { seed: seed.value(), ...content }, ({ text, share, token }) => {
        const end = token === place.end_token ? " It ends the text." : "";
        return `${text}: the model gave it ${percent(share)}.${end}`;
      });
    }
    function sample(greedy) {
      const settings = Object.fromEntries(shownNames().map((name) => [name, panels[name].setting]));
      const wanted = { settings, seed: seed.value(), count: count.value(), length: newTokens.value(), greedy };
      return send("sample", wanted, "New continuations are below.");
    }

    // ---- Keys and clicks.
    function promptKey(event) {
      if (event.key === "Enter" && !event.shiftKey) {
        event.preventDefault();
        buttons.read.click();
      } else if (event.key === "Escape") {
        prompt.value = place.prompt;
        say("The prompt is as it was read.");
      }
    }
    async function choose(row) {
      if (root.hasAttribute("aria-busy")) return say("The kernel is still at work; take the token when it has answered.");
      const number = rows.indexOf(row);
      const hadFocus = list.contains(document.activeElement);
      if ((await step({ token: Number(row.dataset.token) })) && hadFocus && rows[number]) rows[number].focus();
    }
    function barKey(event) {
      if (moveFocus(event, rows, ["ArrowUp", "ArrowDown"])) return;
      const row = event.target.closest("[role=option]");
      if (row && (event.key === "Enter" || event.key === " ")) {
        event.preventDefault();
        choose(row);
      } else if (event.key === "Escape") prompt.focus();
    }
    function barClick(event) {
      const row = event.target.closest("[role=option]");
      if (row) choose(row);
    }

    // ---- Showing.
    const shownNames = () => (comparing ? NAMES : ["A"]);

    function showComparing() {
      compare.setAttribute("aria-pressed", String(comparing));
      panels.B.node.hidden = buttons.B.hidden = !comparing;
      root.classList.toggle("lab-two", comparing);
    }
    function showPlace() {
      const steps = place.steps.length;
      if (!steps) for (const one of [buttons.undo, buttons.reset]) one.setAttribute("aria-disabled", "true");
      const total = place.prompt_length + steps;
      length.textContent = `${counted(total)} ${total === 1 ? "token" : "tokens"}` +
        (place.context ? ` of ${counted(place.context)}` : "");
    }
    function readPlace() {
      place = model.get("place");
      const bytes = model.get("logits");
      logits = new Float32Array(bytes.buffer.slice(bytes.byteOffset, bytes.byteOffset + bytes.byteLength));
      [before, ownBits] = [softmax(logits), entropyOf(logits)];
      if (place.prompt !== promptRead) prompt.value = promptRead = place.prompt; // what is being typed stays
      const cut = place.prompt_length > place.tail.length ? "… " : "";
      const tail = place.tail.map((token) => element("span", { class: "course-token lab-given", text: token }));
      text.replaceChildren(element("span", { class: "lab-note", text: `After the prompt ${cut}` }), ...tail);
      if (place.steps.length) text.append(tokenLine("Tokens since the prompt, with probabilities", place.steps, say));
      makeRows();
      showPlace();
      redrawAll();
    }
    function makeRows() {
      rows = place.candidates.map(({ token, text }, number) =>
        element(
          "div",
          {
            class: "lab-row", role: "option", "aria-selected": "false", tabindex: number ? "-1" : "0",
            "data-token": String(token), "data-testid": "row",
            on: { focus: ({ target }) => select(target) },
          },
          element("span", { class: "course-token lab-candidate", text, title: text }),
          element(
            "span", { class: "lab-track" },
            element("span", { class: "lab-after lab-A" }), element("span", { class: "lab-after lab-B" }),
            element("span", { class: "lab-before" }),
          ),
          element("span", { class: "lab-number", "data-testid": "before" }),
          element("span", { class: "lab-number", "data-testid": "after-A" }),
          element("span", { class: "lab-number lab-only-two", "data-testid": "after-B" }),
        ),
      );
      list.replaceChildren(...rows);
    }
    function select(chosen) {
      for (const row of rows) {
        row.tabIndex = row === chosen ? 0 : -1;
        row.setAttribute("aria-selected", String(row === chosen));
      }
    }

    /** What one setting makes of the scores, up to the chosen filter. */
    function filtered(setting) {
      const stages = stagesOf(logits, place.seen, setting);
      const shown = until.value ? stages.slice(0, stages.findIndex(([name]) => name === until.value) + 1) : stages;
      const last = shown.length ? shown.at(-1)[1] : logits;
      const shares = shown.length ? softmax(last) : before;
      const cutBy = place.candidates.map(
        ({ token }) => logits[token] > -Infinity && (shown.find(([, scores]) => scores[token] === -Infinity) || [null])[0],
      );
      const steps = [
        ["model", ownBits, stay(logits)],
        ...stages.map(([name, scores]) => [name, entropyOf(scores), stay(scores)]),
      ];
      return { shares, cutBy, steps };
    }
    function stay(scores) {
      let kept = 0;
      for (let token = 0; token < scores.length; token++) if (scores[token] > -Infinity) kept += 1;
      return kept;
    }

    function later() {
      if (!frame) frame = requestAnimationFrame(() => ((frame = 0), redraw()));
    }
    function redrawAll() {
      results = {};
      redraw();
    }
    function redraw() {
      const fresh = shownNames().map((name) => [
        name,
        stale.has(name) || !results[name] ? filtered(panels[name].setting) : results[name],
      ]);
      results = Object.fromEntries(fresh);
      stale.clear();
      const given = Object.values(results).flatMap(({ shares }) => place.candidates.map(({ token }) => shares[token]));
      const longest = Math.max(...given, ...place.candidates.map(({ token }) => before[token]));
      rows.forEach((row, number) => showRow(row, number, longest));
      showOthers(longest);
      showSteps();
      rowsTable.refresh();
      root.dataset.drawn = String(Number(root.dataset.drawn || 0) + 1);
    }
    function showRow(row, number, longest) {
      const { token, text } = place.candidates[number];
      const [, track, share, ...after] = row.children;
      const [barA, barB, outline] = track.children;
      outline.style.width = `${(100 * before[token]) / longest}%`;
      share.textContent = percent(before[token]);
      const spoken = [`${text}, model ${percent(before[token])}`];
      NAMES.forEach((name, place) => {
        const { shares, cutBy } = results[name] || { shares: before, cutBy: [] };
        const cut = cutBy[number];
        const bar = [barA, barB][place];
        bar.style.width = `${(100 * shares[token]) / longest}%`;
        after[place].textContent = cut ? `cut by ${LABELS[cut]}` : percent(shares[token]);
        after[place].classList.toggle("lab-cut", Boolean(cut));
        if (results[name]) spoken.push(`${name} ${after[place].textContent}`);
      });
      row.classList.toggle("lab-gone", Object.values(results).every(({ cutBy }) => cutBy[number]));
      row.setAttribute("aria-label", spoken.join(", "));
    }
    function rest(shares) {
      return Math.max(place.candidates.reduce((left, { token }) => left - shares[token], 1), 0);
    }
    function showOthers(longest) {
      const left = logits.length - place.candidates.length;
      const parts = Object.entries(results).map(([name, { shares }]) => `${name} ${percent(tidy(rest(shares)))}`);
      others.textContent =
        (left > 0 ? `The other ${counted(left)} tokens together: model ${percent(tidy(rest(before)))}, ${parts.join(", ")}. ` : "") +
        `A full bar is ${percent(longest)}.`;
      head.replaceChildren(
        element("span", { text: "token" }),
        element("span", { text: "outline: the model; filled: after the filters" }),
        element("span", { class: "lab-number", text: "model" }),
        element("span", { class: "lab-number", text: "A" }),
        element("span", { class: "lab-number lab-only-two", text: "B" }),
      );
    }
    const tidy = (share) => (share < 1e-6 ? 0 : share); // what float32 leaves of a sum of 1

    function showSteps() {
      const words = Object.entries(results).map(([name, { steps }]) => {
        const [, bits, kept] = steps.at(-1);
        return `${name} ${written(bits, 2)} bits, ${counted(kept)} of ${counted(logits.length)} tokens stay`;
      });
      summary.textContent = `Entropy: model ${written(ownBits, 2)} bits; ${words.join("; ")}.`;
      stepsTable.replaceChildren(
        ...Object.entries(results).map(([name, { steps }]) =>
          textTable(
            `What each filter of ${name} leaves`,
            ["after", "entropy, bits", "tokens that stay"],
            steps.map(([step, bits, kept]) => [LABELS[step] || "the model alone", written(bits, 2), counted(kept)]),
          ),
        ),
      );
    }
    function barsAsTable() {
      const shown = Object.entries(results);
      return textTable(
        "The likeliest next tokens",
        ["token", "model", ...shown.map(([name]) => name)],
        place.candidates.map(({ token, text }, number) => [
          text,
          percent(before[token]),
          ...shown.map(([, { shares, cutBy }]) =>
            cutBy[number] ? `cut by ${LABELS[cutBy[number]]}` : percent(shares[token])),
        ]),
      );
    }
    function showSamples() {
      const groups = model.get("written").map(({ name, setting, samples: drawn }) =>
        element(
          "section",
          { class: "lab-group", "aria-label": `Continuations with ${name}` },
          element("div", { class: "lab-note", text: `${name}: ${setting}` }),
          element(
            "ol", {},
            ...drawn.map(({ texts, shares, finished }, number) => {
              const tokens = texts.map((text, place) => ({ text, share: shares[place] }));
              return element(
                "li", { "data-testid": `sample-${name}` },
                tokenLine(`Continuation ${number + 1} with ${name}`, tokens, say),
                element("span", { class: "lab-note", text: finished ? " the text ends" : " …" }),
              );
            }),
          ),
        ),
      );
      samples.replaceChildren(...groups);
      samples.classList.toggle("lab-two", groups.length > 1);
      samplesTable.node.hidden = !groups.length;
      samplesTable.refresh();
    }
    function samplesAsTable() {
      const lines = model.get("written").flatMap(({ name, samples: drawn }) =>
        drawn.flatMap(({ texts, shares }, number) =>
          texts.map((text, place) => [`${name} ${number + 1}`, String(place + 1), text, percent(shares[place])]),
        ),
      );
      return textTable("Each token's probability by the model", ["continuation", "place", "token", "probability"], lines);
    }

    model.on("change:place", readPlace);
    model.on("change:written", showSamples);
    showComparing();
    readPlace();
    showSamples();
    return () => {
      cancelAnimationFrame(frame);
      model.off("change:place", readPlace);
      model.off("change:written", showSamples);
    };
  },
};

function button(text, testid, press) {
  const pressed = ({ currentTarget }) => currentTarget.getAttribute("aria-disabled") !== "true" && press();
  return element("button", { type: "button", text, "data-testid": testid, on: { click: pressed } });
}

function numberField(label, first, low, testid, high = null) {
  const field = element("input", {
    type: "number", min: low, max: high, step: "1", value: String(first), class: "lab-field", "data-testid": testid,
  });
  return {
    node: element("label", {}, `${label} `, field),
    value: () => (field.value === "" ? first : Number(field.value)),
  };
}

/** A table that is made when it is looked at, and kept up to date while it is open. */
function details(title, testid, make) {
  const body = element("div");
  const node = element("details", { "data-testid": testid }, element("summary", { text: title }), body);
  const refresh = () => {
    if (node.open) body.replaceChildren(make());
  };
  node.addEventListener("toggle", refresh);
  return { node, refresh };
}

function legend() {
  const stops = CIVIDIS.map((colour) => `rgb(${colour.join(" ")})`).join(", ");
  return element(
    "span",
    { class: "lab-note lab-legend" },
    "probability by the model: 0 % ",
    element("span", { class: "lab-scale", "aria-hidden": "true", style: { background: `linear-gradient(90deg, ${stops})` } }),
    " 100 %",
  );
}
