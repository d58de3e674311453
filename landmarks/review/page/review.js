// The page: asks the server, shows one photograph, sends each change as soon as it is made.

import { FaceView, isCentre, isEdge, partOf } from "./face.js";

const find = (id) => document.getElementById(id);
const page = crypto.randomUUID();
const CELL = 108; // px from one small picture to the next
const REST = 60; // ms that the filmstrip must lie still before its pictures are asked for
const AHEAD = [1, 2, -1]; // photographs that are asked for before they are wanted
const KEPT = 5; // photographs that stay at hand
const NAMES = { 36: "right outer corner", 39: "right inner corner", 42: "left inner corner",
  45: "left outer corner", 48: "right mouth corner", 54: "left mouth corner" };

// `at` is the place in `order` that is wanted; `shown` the number of the photograph in view.
const state = { order: [], faces: [], mirror: [], at: 0, shown: null, face: null, editing: true };
const pictures = new Map();
const cells = new Map(); // of the filmstrip, by place: only those in view and a few beside
let queue = Promise.resolve(); // changes go one after the other
let unanswered = 0, measuring = false, waiting = null, resting = 0;

const view = new FaceView(find("face"), {
  chosen: sayPoint,
  dragging: (marks) => measure(marks),
  moved: (marks) => send({ action: "move", marks }),
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

async function read(number) {
  const answer = await fetch(`photo/${number}.jpg`);
  if (!answer.ok) throw new Error((await answer.json()).error);
  const image = new Image();
  image.src = URL.createObjectURL(await answer.blob());
  await image.decode();
  return { image, url: image.src, place: JSON.parse(answer.headers.get("X-Place")) };
}

function picture(number) {
  const made = pictures.get(number) ?? read(number);
  pictures.delete(number);
  pictures.set(number, made); // the last one asked for is the last to go
  made.catch(() => pictures.delete(number));
  if (pictures.size > KEPT) {
    const [oldest, gone] = pictures.entries().next().value;
    pictures.delete(oldest);
    gone.then((one) => URL.revokeObjectURL(one.url)).catch(() => {});
  }
  return made;
}

async function open(at) {
  if (!state.order.length) return;
  state.at = Math.min(Math.max(at, 0), state.order.length - 1);
  const wanted = state.order[state.at];
  try {
    await queue;
    const unreadable = (error) => ({ url: "", place: [0, 0, 100, 100], error: error.message });
    const [face, shown] = await Promise.all([ask(`face/${wanted}`), picture(wanted).catch(unreadable)]);
    if (wanted !== state.order[state.at]) return; // went on meanwhile
    state.shown = wanted;
    adopt(face, shown);
    say(shown.error ?? (face.marks[0] ? "" : `${face.reason || "There are no points."} Draw a box around the face.`));
  } catch (error) {
    if (wanted !== state.order[state.at]) return;
    state.at = Math.max(0, state.order.indexOf(state.shown)); // what is seen is what is changed
    say(error.message);
  }
  showStrip();
  prefetch(state.at);
}

async function prefetch(at) {
  for (const next of AHEAD.map((step) => state.order[at + step])) {
    if (at === state.at && next !== undefined) await picture(next).catch(() => {});
  }
}

function adopt(face, shown = null) {
  state.face = face;
  view.show(face, shown, state.mirror, { keepView: shown === null && view.hasPoints });
  find("name").textContent = face.patient ? `${face.patient} · ${face.name}` : face.name;
  find("undo").disabled = !face.undo || !state.editing;
  find("redo").disabled = !face.redo || !state.editing;
  showMeasured(face.measured, face.before);
  showProgress();
  sayPoint(view.chosen);
}

function send(change) {
  const target = state.shown;
  if (target === null) return queue;
  unanswered += 1;
  queue = queue.then(async () => {
    try {
      const face = await ask(`change/${target}`, change);
      Object.assign(state.faces[target], { corrected: face.corrected, judged: face.judged });
      if (target === state.shown) state.face = { ...face, before: state.face.before };
      say("");
    } catch (error) {
      say(error.message);
    }
    unanswered -= 1;
    if (target === state.shown && !unanswered) adopt(state.face); // later ones build upon each other
    showProgress();
    drawStrip();
  });
  return queue;
}

async function measure(marks) { // the newest while dragging, one at a time
  waiting = marks;
  if (measuring) return;
  measuring = true;
  while (waiting) {
    const now = waiting;
    waiting = null;
    try {
      showMeasured(await ask("measure", { marks: now }), state.face.before);
    } catch (error) {
      say(error.message);
    }
  }
  measuring = false;
}

function text(value) {
  if (value === null) return "–";
  const written = value.toFixed(Math.abs(value) >= 100 ? 0 : 2);
  return Number(written) === 0 ? "0.00" : written; // no -0.00
}

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
  find("progress").textContent = `${state.order.indexOf(state.shown) + 1} of ${state.faces.length} · ${seen} looked at · `
    + `${corrected} corrected${state.editing ? "" : " · read-only"}`;
}

function showStrip() { // with the current one in its middle
  const strip = find("strip");
  find("film").style.width = `${state.order.length * CELL}px`;
  strip.scrollLeft = (state.at + 0.5) * CELL - strip.clientWidth / 2;
  drawStrip();
}

function drawStrip() {
  const { scrollLeft, clientWidth } = find("strip");
  const from = Math.max(0, Math.floor(scrollLeft / CELL) - 3);
  const to = Math.min(state.order.length, Math.ceil((scrollLeft + clientWidth) / CELL) + 3);
  for (const [place, cell] of cells) {
    if ((place >= from && place < to) || cell === document.activeElement) continue;
    cell.remove();
    cells.delete(place);
  }
  let last = null;
  for (let place = from; place < to; place += 1) {
    if (!cells.has(place)) {
      const made = newCell(place);
      cells.set(place, made);
      if (last) last.after(made);
      else find("film").prepend(made);
    }
    last = cells.get(place);
    const face = state.faces[state.order[place]];
    const mark = face.judged === "unmeasurable" ? "not measurable" : face.corrected ? "corrected"
      : face.judged === "checked" ? "right" : face.status === "ok" ? "" : face.status.replace("_", " ");
    last.lastChild.textContent = mark || `${place + 1}`;
    last.setAttribute("aria-label", `${place + 1}, ${face.name} ${mark}`);
    if (place === state.at) last.setAttribute("aria-current", "true");
    else last.removeAttribute("aria-current");
  }
}

function newCell(place) {
  const button = document.createElement("button");
  button.type = "button";
  button.style.left = `${place * CELL}px`;
  const small = document.createElement("img");
  Object.assign(small, { src: `thumb/${state.order[place]}.jpg`, alt: "", width: 96, height: 80 });
  button.append(small, document.createElement("span"));
  button.addEventListener("click", () => {
    open(place);
    find("face").focus(); // the arrows are for its points
  });
  return button;
}

function sayPoint(mark) {
  const here = view.hasPoints && view.marks[mark];
  find("remove").disabled = !here || mark < 68 || !state.editing;
  if (!here) return void (find("point").textContent = "");
  const [part] = partOf(mark);
  const [x, y] = here;
  find("point").textContent = isEdge(mark) ? `Edge of the ${part}: radius ${view.radiusOf(mark - 2).toFixed(1)} px`
    : isCentre(mark) ? `Centre of the ${part}: ${x.toFixed(1)}, ${y.toFixed(1)} px`
    : `Point ${mark}, ${NAMES[mark] ?? part}: ${x.toFixed(1)}, ${y.toFixed(1)} px`;
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

function iris() {
  if (state.irises) view.iris();
  else say("No irises were looked for in these photographs: run extract with --scale iris.");
}

async function good() {
  if (!view.hasPoints) return say("There are no points to call right: draw a box first.");
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
  i: iris, delete: () => view.removeIris(), backspace: () => view.removeIris(),
  w: () => setWhole(!view.wholePart), c: () => view.copyFromOtherSide(),
  l: () => { view.lines = !view.lines; view.draw(); },
  f: () => view.zoomTo("face"), b: () => view.zoomTo("brows"), e: () => view.zoomTo("eyes"),
  o: () => view.zoomTo("nose"), m: () => view.zoomTo("mouth"),
};
const ARROWS = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };

document.addEventListener("keydown", (event) => {
  if (find("why").open || event.target.closest("select")) return;
  const key = event.key.startsWith("Arrow") || ["Tab", "Enter"].includes(event.key) ? event.key
    : event.key.toLowerCase();
  const onFace = event.target === find("face");
  if (event.ctrlKey || event.metaKey) {
    const action = key === "y" || (key === "z" && event.shiftKey) ? "redo" : key === "z" ? "undo" : "";
    if (!action) return;
    send({ action });
  } else if (ARROWS[key] && !event.target.closest("nav, aside")) {
    const step = event.shiftKey ? 5 : 0.5;
    view.nudge(...ARROWS[key].map((one) => one * step));
  } else if (key === "Tab" && onFace && view.hasPoints) {
    if (!view.chooseNext(event.shiftKey ? -1 : 1)) return; // out of the photograph, to the buttons
  } else if (key === "Enter" && (onFace || event.target === document.body)) good();
  else if (KEYS[key] && event.repeat && state.order[state.at] !== state.shown) return; // it is coming
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
find("iris").addEventListener("click", iris);
find("remove").addEventListener("click", () => view.removeIris());
find("strip").addEventListener("scroll", () => {
  clearTimeout(resting);
  resting = setTimeout(drawStrip, REST);
});
find("good").addEventListener("click", good);
find("bad").addEventListener("click", bad);
find("unseen").addEventListener("click", nextUnseen);
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
      for (const id of ["whole", "copy", "box", "iris", "good", "bad"]) find(id).disabled = !editing;
      say(editing ? "" : "Another page corrects these photographs; this one only shows them.");
      if (editing && state.face) open(state.at); // what the other page has changed
      else if (state.face) adopt(state.face);
    }
  } catch (error) {
    say(error.message);
  }
}

async function load(by) {
  try {
    Object.assign(state, await ask(`cohort?by=${by}`));
    find("irises").hidden = !state.irises;
    cells.clear();
    find("film").replaceChildren();
    await open(Math.max(0, state.order.indexOf(state.shown)));
  } catch (error) {
    say(error.message);
  }
}

await Promise.all([stillHere(), load("worst")]);
find("face").focus();
setInterval(stillHere, 2000);
