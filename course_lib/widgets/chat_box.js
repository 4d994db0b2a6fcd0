// A plain chat: what was said, what was really sent, and what it cost. Texts become text nodes, never markup.

const KERNEL_PATIENCE = 4000; // ms until the kernel should have begun

/** One turn, with its prompt folded away. */
function chatTurn(turn, number, unit) {
  const time = turn.took.replace("≈", "");
  const cost = `Prompt ${turn.prompt_length} ${unit}, reply ${turn.reply_length} ${unit}, ${time}`;
  return element("div", { class: "turn", "data-testid": `chat-turn-${number}` },
    chatLine("You", turn.message), chatLine("Model", turn.reply),
    element("details", {},
      element("summary", { text: cost, "data-testid": `chat-cost-${number}` }),
      element("p", { class: "hint", text: "The prompt, exactly as the model got it:" }),
      element("pre", { class: "said", dir: "auto", tabindex: 0, text: turn.prompt, "data-testid": `chat-prompt-${number}` })));
}

function chatLine(who, text) {
  return element("div", { class: `line ${who.toLowerCase()}` },
    element("strong", { text: who }), element("div", { class: "said", dir: "auto", text }));
}

/** The costs of all turns. */
function chatTable(turns, unit) {
  const names = ["turn", `prompt (${unit})`, `reply (${unit})`, "time"];
  return element("table", { "data-testid": "chat-table" },
    element("caption", { text: "What each turn cost" }),
    element("thead", {}, element("tr", {}, ...names.map((text) => element("th", { scope: "col", text })))),
    element("tbody", {}, ...turns.map((turn, place) => element("tr", {},
      element("th", { scope: "row", text: place + 1 }),
      ...[turn.prompt_length, turn.reply_length, turn.took.replace("≈", "")].map((text) => element("td", { text }))))));
}

let chatBoxes = 0;

function render({ model, el }) {
  const status = statusLine();
  const name = `chat-box-field-${Date.now()}-${++chatBoxes}`;
  const log = element("div", { class: "log", role: "log", "aria-label": "What was said", tabindex: 0, "data-testid": "chat-log" });
  const field = element("textarea", { id: name, rows: 2, "data-testid": "chat-field", on: { keydown: onKey } });
  const sending = element("button", { type: "button", text: "Send", "data-testid": "chat-send", on: { click: () => say() } });
  const clearing = element("button", { type: "button", text: "Clear", "data-testid": "chat-clear", on: { click: () => clear() } });
  const twin = element("div");
  const title = element("h3");
  let busy = false, ended = false;
  const root = element("section", {
    class: "course-widget chat-box", "aria-label": "Chat", "data-testid": "chat-box", "data-lm-suppress-shortcuts": "true",
  }, title, log,
  element("label", { for: name, text: "Your message (Enter sends, Shift+Enter begins a new line)" }),
  element("div", { class: "course-row entry" }, field, sending, clearing), status.node,
  element("details", {}, element("summary", { text: "Costs as a table" }), twin));

  function draw() {
    const { title: text, unit, turns } = model.get("data");
    title.textContent = text;
    root.setAttribute("aria-label", text);
    log.replaceChildren(...turns.map((turn, place) => chatTurn(turn, place, unit)));
    if (!turns.length) log.append(element("p", { class: "hint", text: "Nothing was said yet." }));
    log.scrollTop = log.scrollHeight;
    twin.replaceChildren(chatTable(turns, unit));
  }

  function wait(yes) {
    busy = yes;
    sending.disabled = clearing.disabled = yes;
    log.setAttribute("aria-busy", String(yes));
  }

  /** Ask; the kernel has `KERNEL_PATIENCE` to begin, and then all the time that the reply takes. */
  async function call(question, content, heard = () => {}) {
    const late = setTimeout(() => status.lost(), KERNEL_PATIENCE);
    const listen = (message) => {
      if (message?.began) {
        clearTimeout(late);
        status.found();
      }
      heard(message);
    };
    model.on("msg:custom", listen);
    wait(true);
    try {
      await ask(model, question, content, status, 2 ** 31 - 1);
      return true;
    } catch (error) {
      status.say(error.message, "error");
      return false;
    } finally {
      clearTimeout(late);
      model.off("msg:custom", listen);
      if (!ended) {
        wait(false);
        draw();
      }
    }
  }

  async function say() {
    const message = field.value;
    if (busy) return;
    if (!message.trim()) {
      status.say("Type something first.");
      field.focus();
      return;
    }
    field.value = "";
    const answer = chatLine("Model", "");
    log.querySelector("p.hint")?.remove();
    log.append(chatLine("You", message), answer);
    log.scrollTop = log.scrollHeight;
    status.say("The model is answering …");
    const well = await call("say", { message }, ({ piece } = {}) => {
      if (typeof piece !== "string") return;
      answer.lastChild.append(piece);
      log.scrollTop = log.scrollHeight;
    });
    if (well) status.say("The answer is complete.");
    else field.value = message;
    field.focus();
  }

  async function clear() {
    if (await call("clear", {})) status.say("The chat is empty.");
    field.focus();
  }

  function onKey(event) {
    if (event.key !== "Enter" || event.isComposing) return;
    event.preventDefault();
    // JupyterLab keeps Shift+Enter for itself, so that the browser would not begin a line by itself.
    if (event.shiftKey) field.setRangeText("\n", field.selectionStart, field.selectionEnd, "end");
    else say();
  }

  const redraw = () => busy || draw();
  model.on("change:data", redraw);
  draw();
  el.append(root);
  return () => {
    ended = true;
    model.off("change:data", redraw);
  };
}

export default { render };
