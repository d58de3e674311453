// The page: asks the server, shows one photograph, sends each change as soon as it is made.

import { FaceView, partOf } from "./face.js";

const find = (id) => document.getElementById(id);
const page = crypto.randomUUID();
const AROUND = 30; // small pictures shown on either side of the current one
const NAMES = { 36: "right outer corner", 39: "right inner corner", 42: "left inner corner",
  45: "left outer corner", 48: "right mouth corner", 54: "left mouth corner" };

const state = { order: [], faces: [], mirror: [], at: 0, face: null, editing: true };
const pictures = new Map();
let queue = Promise.resolve(); // changes go one after the other
let measuring = false, waiting = null;

const view = new FaceView(find("face"), {
  chosen: sayPoint,
  dragging: (points) => measure(points),
  moved: (points) => send({ action: "move", points }),
  boxed: (box) => { setBox(false); send({ action: "box", box }); },
});

async function ask(path, body) {
  let answer;
  try {
    answer = await fetch(path, body && {
      method: "POST", body: JSON.stringify({ ...body, page }),
      headers: { "Content-Type": "application/json" },
    });
  } catch {
    throw new Error("The review program does not answer: start it again; every change sent is kept.");
  }
  const content = await answer.json();
  if (!answer.ok) throw new Error(content.error ?? "The review program refuses this.");
  return content;
}

async function picture(number) {
  if (!pictures.has(number)) {
    pictures.set(number, (async () => {
      const answer = await fetch(`photo/${number}.jpg`);
      if (!answer.ok) throw new Error((await answer.json()).error);
      const url = URL.createObjectURL(await answer.blob());
      return { url, place: JSON.parse(answer.headers.get("X-Place")) };
    })());
    if (pictures.size > 8) {
      const [oldest, made] = pictures.entries().next().value;
      pictures.delete(oldest);
      made.then((one) => URL.revokeObjectURL(one.url)).catch(() => {});
    }
  }
  return pictures.get(number);
}

async function open(at) {
  if (!state.order.length) return;
  state.at = Math.min(Math.max(at, 0), state.order.length - 1);
  const number = state.order[state.at];
  try {
    await queue;
    const [face, shown] = await Promise.all([ask(`face/${number}`), picture(number)]);
    if (number !== state.order[state.at]) return; // went on meanwhile
    adopt(face, shown);
    say(face.points ? "" : `No points: ${face.reason || face.status}. Draw a box around the face.`);
  } catch (error) {
    pictures.delete(number);
    say(error.message);
  }
  showStrip();
  const next = state.order[state.at + 1];
  if (next !== undefined) picture(next).catch(() => pictures.delete(next));
}

function adopt(face, shown = null) {
  face.before ??= state.face.before; // the model's points do not change
  state.face = face;
  Object.assign(state.faces[number()], { corrected: face.corrected, judged: face.judged });
  view.show(face, shown, state.mirror, { keepView: shown === null && view.points !== null });
  find("name").textContent = face.patient ? `${face.patient} · ${face.name}` : face.name;
  find("undo").disabled = !face.undo || !state.editing;
  find("redo").disabled = !face.redo || !state.editing;
  showMeasured(face.measured, face.before);
  showProgress();
  sayPoint(view.chosen);
}

const number = () => state.order[state.at];

function send(change) {
  const target = number();
  queue = queue.then(async () => {
    try {
      const face = await ask(`change/${target}`, change);
      if (target === number()) adopt(face);
      say("");
    } catch (error) {
      say(error.message);
      if (target === number() && state.face) view.show(state.face, null, state.mirror, { keepView: true });
    }
    showStrip();
  });
  return queue;
}

async function measure(points) { // the newest while dragging, one at a time
  waiting = points;
  if (measuring) return;
  measuring = true;
  while (waiting) {
    const now = waiting;
    waiting = null;
    try {
      showMeasured(await ask("measure", { points: now }), state.face.before);
    } catch (error) {
      say(error.message);
    }
  }
  measuring = false;
}

const text = (value) => (value === null ? "–" : Math.abs(value) >= 100 ? value.toFixed(0) : value.toFixed(2));

function fill(body, rows) {
  body.replaceChildren(...rows.map(({ head, cells, changed }) => {
    const row = document.createElement("tr");
    row.classList.toggle("changed", changed);
    const title = document.createElement("th");
    title.scope = "row";
    title.textContent = head;
    row.append(title, ...cells.map((one) => {
      const cell = document.createElement("td");
      cell.textContent = one;
      return cell;
    }));
    return row;
  }));
}

function showMeasured(now, before) {
  find("caption").textContent = `Clinical measures, ${now.unit}`;
  fill(find("measures"), now.measures.map((one, k) => ({
    head: one.title,
    cells: [one.right, one.left, one.difference, before.measures[k].difference].map(text),
    changed: text(one.difference) !== text(before.measures[k].difference),
  })));
  fill(find("features"), now.features.map((one, k) => ({
    head: `${one.name} ${one.title}`,
    cells: [one.value, before.features[k].value].map(text),
    changed: text(one.value) !== text(before.features[k].value),
  })));
}

function showProgress() {
  const corrected = state.faces.filter((one) => one.corrected).length;
  const seen = state.faces.filter((one) => one.corrected || one.judged).length;
  find("progress").textContent = `${state.at + 1} of ${state.faces.length} · ${seen} looked at · `
    + `${corrected} corrected${state.editing ? "" : " · read-only"}`;
}

function showStrip() {
  const from = Math.max(0, state.at - AROUND), to = Math.min(state.order.length, state.at + AROUND + 1);
  find("strip").replaceChildren(...state.order.slice(from, to).map((one, k) => {
    const face = state.faces[one];
    const button = document.createElement("button");
    button.type = "button";
    const mark = face.judged === "unmeasurable" ? "not measurable" : face.corrected ? "corrected"
      : face.judged === "checked" ? "right" : face.status === "ok" ? "" : face.status.replace("_", " ");
    const small = document.createElement("img");
    Object.assign(small, { src: `thumb/${one}.jpg`, alt: "", loading: "lazy", width: 96, height: 80 });
    const words = document.createElement("span");
    words.textContent = mark || `${from + k + 1}`;
    button.append(small, words);
    button.setAttribute("aria-label", `${face.name} ${mark}`);
    if (from + k === state.at) button.setAttribute("aria-current", "true");
    button.addEventListener("click", () => open(from + k));
    return button;
  }));
  const current = find("strip").querySelector("[aria-current]");
  if (current) find("strip").scrollLeft = current.offsetLeft - find("strip").clientWidth / 2 + 52;
}

function sayPoint(point) {
  if (!view.points) return void (find("point").textContent = "");
  const [part] = partOf(point);
  const [x, y] = view.points[point];
  find("point").textContent = `Point ${point}, ${NAMES[point] ?? part}: ${x.toFixed(1)}, ${y.toFixed(1)} px`;
}

function say(words) {
  find("message").textContent = words;
  find("message").hidden = !words;
}

function setBox(on) {
  view.drawsBox = on;
  find("box").setAttribute("aria-pressed", String(on));
  find("face").classList.toggle("box", on);
}

function setWhole(on) {
  view.wholePart = on;
  find("whole").setAttribute("aria-pressed", String(on));
}

function nextUnseen() {
  const rest = state.order.map((_, k) => (state.at + 1 + k) % state.order.length);
  const found = rest.find((k) => !state.faces[state.order[k]].judged && !state.faces[state.order[k]].corrected);
  if (found === undefined) say("Every photograph has been looked at.");
  else open(found);
}

async function good() {
  if (!state.face?.points) return say("There are no points to call right: draw a box first.");
  await send({ action: "checked" });
  if (state.at + 1 < state.order.length) open(state.at + 1);
  else say("This was the last photograph. Close the page, or end the program, to measure again.");
}

function bad() {
  if (state.face?.judged === "unmeasurable") return void send({ action: "measurable" });
  find("why").returnValue = "";
  find("why").showModal();
}

const KEYS = {
  n: () => open(state.at + 1), p: () => open(state.at - 1), u: nextUnseen,
  w: () => setWhole(!view.wholePart), c: () => view.copyFromOtherSide(),
  l: () => { view.lines = !view.lines; view.draw(); },
  f: () => view.zoomTo("face"), b: () => view.zoomTo("brows"), e: () => view.zoomTo("eyes"),
  o: () => view.zoomTo("nose"), m: () => view.zoomTo("mouth"),
};
const ARROWS = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };

document.addEventListener("keydown", (event) => {
  if (find("why").open || event.target.closest("select")) return;
  const key = event.key.length === 1 ? event.key.toLowerCase() : event.key;
  const onFace = event.target === find("face");
  if (event.ctrlKey || event.metaKey) {
    const action = key === "y" || (key === "z" && event.shiftKey) ? "redo" : key === "z" ? "undo" : "";
    if (!action) return;
    send({ action });
  } else if (ARROWS[key] && !event.target.closest("nav, aside")) {
    const step = event.shiftKey ? 5 : 0.5;
    view.nudge(...ARROWS[key].map((one) => one * step));
  } else if (key === "Tab" && onFace && view.points) {
    const next = view.chosen + (event.shiftKey ? -1 : 1);
    if (next < 0 || next > 67) return; // out of the photograph, to the buttons
    view.choose(next);
  } else if (key === "Enter" && (onFace || event.target === document.body)) good();
  else if (KEYS[key] && !event.altKey) KEYS[key]();
  else return;
  event.preventDefault();
});

for (const button of document.querySelectorAll("[data-zoom]"))
  button.addEventListener("click", () => view.zoomTo(button.dataset.zoom));
find("undo").addEventListener("click", () => send({ action: "undo" }));
find("redo").addEventListener("click", () => send({ action: "redo" }));
find("whole").addEventListener("click", () => setWhole(!view.wholePart));
find("copy").addEventListener("click", () => view.copyFromOtherSide());
find("box").addEventListener("click", () => setBox(!view.drawsBox));
find("good").addEventListener("click", good);
find("bad").addEventListener("click", bad);
find("why").addEventListener("close", () => {
  if (find("why").returnValue) send({ action: "unmeasurable", reason: find("why").returnValue });
});
find("help").addEventListener("click", () => {
  const shown = find("keys").hidden;
  find("keys").hidden = !shown;
  find("help").setAttribute("aria-expanded", String(shown));
});
find("order").addEventListener("change", () => load(find("order").value));
addEventListener("pagehide", () => {
  navigator.sendBeacon("here", JSON.stringify({ page, leaving: true }));
});

async function stillHere() {
  try {
    const { editing } = await ask("here", {});
    if (editing !== state.editing) {
      state.editing = view.editable = editing;
      document.body.classList.toggle("read-only", !editing);
      for (const id of ["whole", "copy", "box", "good", "bad"]) find(id).disabled = !editing;
      say(editing ? "" : "Another page corrects these photographs; this one only shows them.");
      if (editing && state.face) open(state.at);
      else showProgress();
    }
  } catch (error) {
    say(error.message);
  }
}

async function load(by) {
  try {
    const current = number();
    Object.assign(state, await ask(`cohort?by=${by}`));
    await open(Math.max(0, current === undefined ? 0 : state.order.indexOf(current)));
  } catch (error) {
    say(error.message);
  }
}

await stillHere();
await load("worst");
find("face").focus();
setInterval(stillHere, 2000);
