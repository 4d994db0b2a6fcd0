// What the course's widgets have in common. Texts only ever become text nodes: nothing that a token says is run.

/** An element. Attributes by name; `text`, `class`, `on` ({event: handler}) and `style` (an object) are special. */
function element(tag, attributes = {}, ...children) {
  const svg = ["svg", "rect", "line", "path", "text", "g", "title"].includes(tag) && attributes.svg !== false;
  const node = svg
    ? document.createElementNS("http://www.w3.org/2000/svg", tag)
    : document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (value === null || value === undefined || value === false || name === "svg") continue;
    if (name === "text") node.textContent = value;
    else if (name === "on") for (const [event, handler] of Object.entries(value)) node.addEventListener(event, handler);
    else if (name === "style") Object.assign(node.style, value);
    else if (name === "class") node.setAttribute("class", value);
    else node.setAttribute(name, value === true ? "" : value);
  }
  node.append(...children.filter((child) => child !== null && child !== undefined));
  return node;
}

let questions = 0;
const KERNEL_GONE = "The kernel does not answer. It may be busy; if it was restarted or has died, run this cell again.";

/**
 * Ask the kernel; the promise holds {content, buffers}. After `patience` ms without an answer `status` says that the
 * kernel may be gone, and takes it back if it answers after all.
 */
function ask(model, name, content = {}, status = null, patience = 4000) {
  const number = `${Date.now()}-${++questions}`;
  return new Promise((resolve, reject) => {
    const late = setTimeout(() => {
      if (status) status.lost();
    }, patience);
    const heard = (message, buffers) => {
      if (!message || message.answer !== number) return;
      clearTimeout(late);
      model.off("msg:custom", heard);
      if (status) status.found();
      if (message.error) reject(new Error(message.error));
      else resolve({ content: message.content, buffers: buffers || [] });
    };
    const gone = () => {
      clearTimeout(late);
      model.off("msg:custom", heard);
      if (status) status.lost();
      reject(new Error(KERNEL_GONE));
    };
    model.on("msg:custom", heard);
    try {
      // Where the kernel was shut down, sending fails: at once or later.
      Promise.resolve(model.send({ ask: name, number, content })).catch(gone);
    } catch {
      gone();
    }
  });
}

/** A line that screen readers speak when it changes; it also says when the kernel does not answer. */
function statusLine() {
  const node = element("div", { class: "course-status", role: "status", "aria-live": "polite" });
  let lost = false;
  return {
    node,
    say(text, kind = "") {
      node.textContent = text;
      node.dataset.kind = kind;
    },
    lost() {
      lost = true;
      this.say(KERNEL_GONE, "error");
    },
    found() {
      if (lost) this.say("The kernel answers again.");
      lost = false;
    },
  };
}

// Cividis, from dark blue to yellow: the same order for every kind of colour vision, and in grey.
const CIVIDIS = [
  [0, 34, 78], [18, 53, 112], [59, 73, 108], [87, 93, 109], [112, 113, 115],
  [138, 134, 120], [165, 156, 116], [195, 179, 105], [225, 204, 85], [254, 232, 56],
];

/** The colour of a weight from 0 to 1, as [red, green, blue]. */
function colourOf(weight) {
  const place = Math.min(Math.max(weight, 0), 1) * (CIVIDIS.length - 1);
  const low = Math.min(Math.floor(place), CIVIDIS.length - 2);
  return CIVIDIS[low].map((from, channel) => Math.round(from + (place - low) * (CIVIDIS[low + 1][channel] - from)));
}

/** `text` on a ground of the weight's colour: black or white, whichever is read more easily. */
function inkOn(weight) {
  const [red, green, blue] = colourOf(weight);
  return 0.299 * red + 0.587 * green + 0.114 * blue > 118 ? "#000" : "#fff";
}

/** Numbers as the lessons write them: three digits after the point. */
const written = (value, digits = 3) => (Number.isFinite(value) ? value.toFixed(digits) : "–");
