// The photograph with its points: drawing, zoom, and dragging. Knows nothing of the server.

const SVG = "http://www.w3.org/2000/svg";
const range = (from, to) => Array.from({ length: to - from }, (_, k) => from + k);
export const PARTS = {
  jaw: range(0, 17), "right brow": range(17, 22), "left brow": range(22, 27),
  bridge: range(27, 31), nostrils: range(31, 36),
  "right upper lid": [36, 37, 38, 39], "right lower lid": [36, 41, 40, 39],
  "left upper lid": [42, 43, 44, 45], "left lower lid": [42, 47, 46, 45],
  "upper lip": [48, 49, 50, 51, 52, 53, 54, 60, 61, 62, 63, 64],
  "lower lip": [48, 59, 58, 57, 56, 55, 54, 60, 67, 66, 65, 64],
};
const LINES = [
  range(0, 17), range(17, 22), range(22, 27), range(27, 31), range(31, 36),
  [...range(36, 42), 36], [...range(42, 48), 42], [...range(48, 60), 48], [...range(60, 68), 60],
];
const VIEWS = {
  face: range(0, 68), brows: range(17, 27), eyes: range(36, 48), nose: range(27, 36),
  mouth: range(48, 68),
};
const RADIUS = 4; // px of the screen
const REACH = 14; // px of the screen in which a finger takes hold of a point
const FALLOFF = 1.2; // neighbours along the part that go with a dragged point

export const partOf = (point) => Object.entries(PARTS).find(([, all]) => all.includes(point));

const make = (name, attributes = {}, parent = null) => {
  const made = document.createElementNS(SVG, name);
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  parent?.append(made);
  return made;
};

export class FaceView {
  // `events`: moved(points by number), chosen(point), dragging(points), boxed([l, t, r, b])
  constructor(svg, events) {
    this.svg = svg;
    this.events = events;
    this.points = null;
    this.chosen = 0;
    this.dots = [];
    this.lines = true;
    this.wholePart = false;
    this.drawsBox = false;
    this.editable = true;
    this.view = [0, 0, 100, 100];
    this.hold = null;
    this.touches = new Map();
    svg.addEventListener("pointerdown", (event) => this.down(event));
    svg.addEventListener("pointermove", (event) => this.move(event));
    svg.addEventListener("pointerup", (event) => this.up(event));
    svg.addEventListener("pointercancel", (event) => this.up(event));
    svg.addEventListener("wheel", (event) => {
      event.preventDefault();
      this.zoomAt(this.place(event), event.deltaY > 0 ? 1.15 : 1 / 1.15);
    }, { passive: false });
    new ResizeObserver(() => this.scaleMarks()).observe(svg);
  }

  show(face, picture, mirror, { keepView = false } = {}) {
    this.points = face.points?.map((one) => [...one]) ?? null;
    this.machine = face.machine;
    this.spread = face.spread;
    this.mirror = mirror;
    if (picture) this.picture = picture;
    if (!keepView) this.zoomTo("face");
    this.draw();
  }

  draw() {
    const { svg, picture } = this;
    svg.replaceChildren();
    const [x, y, width, height] = picture.place;
    const image = make("image", { x, y, width, height, preserveAspectRatio: "none" }, svg);
    image.setAttribute("href", picture.url);
    this.dots = [];
    if (this.points) {
      this.edges = this.lines ? LINES.map(() => make("polyline", { class: "edge" }, svg)) : [];
      this.labels = ["right", "left"].map((side) => {
        const label = make("text", { class: "side", "text-anchor": "middle" }, svg);
        label.textContent = `patient's ${side}`;
        return label;
      });
      this.points.forEach((_, point) => {
        const group = make("g", { class: `point ${this.sideOf(point)}`, "data-point": point }, svg);
        if (this.spread) make("circle", { class: "halo", r: this.spread[point] }, group);
        make("circle", { class: "target" }, group);
        make("circle", { class: "dot" }, group);
        this.dots.push(group);
      });
    }
    this.box = make("rect", { class: "drawn", visibility: "hidden" }, svg);
    this.scaleMarks();
  }

  // Places everything where the points are now.
  placeMarks() {
    this.dots.forEach((group, point) => {
      const [x, y] = this.points[point];
      for (const circle of group.children) {
        circle.setAttribute("cx", x);
        circle.setAttribute("cy", y);
      }
      const [a, b] = this.machine?.[point] ?? [NaN, NaN];
      group.classList.toggle("moved", a !== x || b !== y);
      group.classList.toggle("chosen", point === this.chosen);
    });
    this.edges?.forEach((edge, k) => {
      edge.setAttribute("points", LINES[k].map((p) => this.points[p].join(",")).join(" "));
    });
    this.labels?.forEach((label, k) => {
      const [x, y] = this.points[k ? 16 : 0];
      label.setAttribute("x", x);
      label.setAttribute("y", Math.max(y - 60 * this.px(), this.view[1] + 20 * this.px()));
    });
  }

  px() { // length of a px of the screen in the photograph
    const { width, height } = this.svg.getBoundingClientRect();
    return Math.max(this.view[2] / Math.max(width, 1), this.view[3] / Math.max(height, 1));
  }

  scaleMarks() {
    if (!this.picture) return;
    this.svg.setAttribute("viewBox", this.view.join(" "));
    const px = this.px();
    for (const dot of this.svg.querySelectorAll(".dot")) dot.setAttribute("r", RADIUS * px);
    for (const dot of this.svg.querySelectorAll(".target")) dot.setAttribute("r", REACH * px);
    for (const label of this.svg.querySelectorAll(".side")) label.setAttribute("font-size", 14 * px);
    if (this.points) this.placeMarks();
  }

  zoomTo(name) {
    const [x, y, width, height] = this.picture.place;
    if (!this.points) this.view = [x, y, width, height];
    else {
      const chosen = VIEWS[name].map((p) => this.points[p]);
      const xs = chosen.map((p) => p[0]), ys = chosen.map((p) => p[1]);
      const low = [Math.min(...xs), Math.min(...ys)], high = [Math.max(...xs), Math.max(...ys)];
      const margin = (name === "face" ? 0.25 : 0.4) * Math.max(high[0] - low[0], high[1] - low[1]);
      this.view = [
        low[0] - margin, low[1] - margin,
        high[0] - low[0] + 2 * margin, high[1] - low[1] + 2 * margin,
      ];
    }
    this.scaleMarks();
  }

  zoomAt([x, y], factor) {
    const [left, top, width, height] = this.view;
    this.view = [
      x - (x - left) * factor, y - (y - top) * factor, width * factor, height * factor,
    ];
    this.scaleMarks();
  }

  place(event) { // of a pointer, in px of the photograph
    const matrix = this.svg.getScreenCTM().inverse();
    const at = new DOMPoint(event.clientX, event.clientY).matrixTransform(matrix);
    return [at.x, at.y];
  }

  sideOf(point) {
    if (this.mirror[point] === point) return "middle";
    return this.points[point][0] < this.points[this.mirror[point]][0] ? "right" : "left";
  }

  choose(point) {
    this.chosen = (point + 68) % 68;
    if (this.points) this.placeMarks();
    this.events.chosen(this.chosen);
  }

  down(event) {
    this.svg.setPointerCapture(event.pointerId);
    const at = this.place(event);
    this.touches.set(event.pointerId, at);
    if (this.touches.size === 2) {
      this.cancel();
      this.hold = { kind: "pinch" };
    } else if (this.drawsBox) this.hold = { kind: "box", from: at };
    else {
      const point = this.points ? this.nearest(at) : -1;
      if (point >= 0) {
        this.choose(point);
        const kind = this.editable ? "point" : "none";
        this.hold = { kind, point, from: at, before: this.points.map((p) => [...p]) };
      } else this.hold = { kind: "pan", from: at };
    }
  }

  move(event) {
    if (!this.hold || !this.touches.has(event.pointerId)) return;
    const at = this.place(event);
    const { kind, from } = this.hold;
    if (kind === "pan") {
      this.view = [this.view[0] - at[0] + from[0], this.view[1] - at[1] + from[1],
        this.view[2], this.view[3]];
      this.scaleMarks();
    } else if (kind === "pinch") this.pinch(event.pointerId, at);
    else if (kind === "box") {
      this.hold.to = at;
      const low = [Math.min(from[0], at[0]), Math.min(from[1], at[1])];
      const size = [Math.abs(from[0] - at[0]), Math.abs(from[1] - at[1])];
      Object.entries({ x: low[0], y: low[1], width: size[0], height: size[1], visibility: "visible" })
        .forEach(([key, value]) => this.box.setAttribute(key, value));
    } else if (kind === "point") {
      this.shift(this.hold.before, this.hold.point, [at[0] - from[0], at[1] - from[1]]);
      this.events.dragging(this.points);
    }
  }

  up(event) {
    this.touches.delete(event.pointerId);
    const { hold } = this;
    if (!hold || (hold.kind === "pinch" && this.touches.size)) return;
    this.hold = null;
    if (hold.kind === "point") this.finish(hold.before);
    if (hold.kind === "box" && hold.to) this.events.boxed([...hold.from, ...hold.to]);
  }

  cancel() { // a second finger came: the first moved nothing
    if (this.hold?.kind === "point") {
      this.points = this.hold.before;
      this.placeMarks();
    }
    this.hold = null;
  }

  pinch(id, at) {
    const other = [...this.touches].find(([key]) => key !== id)[1];
    const before = this.touches.get(id);
    const length = (a, b) => Math.hypot(a[0] - b[0], a[1] - b[1]);
    const factor = length(before, other) / Math.max(length(at, other), 1e-6);
    this.zoomAt(other, Math.min(2, Math.max(0.5, factor)));
  }

  // Moves a point, and with `wholePart` its neighbours on the same part, less the further they are.
  shift(before, point, [dx, dy]) {
    const part = this.wholePart ? partOf(point)[1] : [point];
    const centre = part.indexOf(point);
    this.points = before.map((p) => [...p]);
    part.forEach((other, k) => {
      const share = Math.exp(-(((k - centre) / FALLOFF) ** 2) / 2);
      this.points[other] = [before[other][0] + share * dx, before[other][1] + share * dy];
    });
    this.placeMarks();
  }

  nudge(dx, dy) {
    if (!this.points || !this.editable) return;
    const before = this.points;
    this.shift(before, this.chosen, [dx, dy]);
    this.finish(before);
  }

  // Puts the mirror image of the other side's part where the part of the chosen point is.
  copyFromOtherSide() {
    if (!this.points || !this.editable) return;
    const [, part] = partOf(this.chosen);
    const mean = (all) => [0, 1].map((k) => all.reduce((sum, p) => sum + this.points[p][k], 0) / all.length);
    const right = mean(range(36, 42)), left = mean(range(42, 48));
    const length = Math.hypot(left[0] - right[0], left[1] - right[1]);
    const axis = [(left[0] - right[0]) / length, (left[1] - right[1]) / length];
    const middle = [(left[0] + right[0]) / 2, (left[1] + right[1]) / 2];
    const before = this.points;
    const side = this.sideOf(this.chosen);
    this.points = before.map((p) => [...p]);
    for (const point of part) {
      if (this.mirror[point] === point || this.sideOf(point) !== side) continue;
      const [x, y] = before[this.mirror[point]];
      const across = (x - middle[0]) * axis[0] + (y - middle[1]) * axis[1];
      this.points[point] = [x - 2 * across * axis[0], y - 2 * across * axis[1]];
    }
    this.placeMarks();
    this.finish(before);
  }

  finish(before) {
    const moved = {};
    this.points.forEach((p, k) => {
      if (p[0] !== before[k][0] || p[1] !== before[k][1]) moved[k] = p;
    });
    if (Object.keys(moved).length) this.events.moved(moved);
  }

  nearest([x, y]) {
    const far = this.points.map((p) => Math.hypot(p[0] - x, p[1] - y));
    const best = far.indexOf(Math.min(...far));
    return far[best] <= REACH * this.px() ? best : -1;
  }
}
