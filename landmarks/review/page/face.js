// The photograph with its marks: drawing, zoom, and dragging. Knows nothing of the server.
// Marks are the points 0 to 67, the centres of the irises (68 right, 69 left), and of each the
// place of its edge straight to the right (70, 71); null where there is none.

const SVG = "http://www.w3.org/2000/svg";
const range = (from, to) => Array.from({ length: to - from }, (_, k) => from + k);
export const PARTS = {
  jaw: range(0, 17), "right brow": range(17, 22), "left brow": range(22, 27),
  bridge: range(27, 31), nostrils: range(31, 36),
  "right upper lid": [36, 37, 38, 39], "right lower lid": [36, 41, 40, 39],
  "left upper lid": [42, 43, 44, 45], "left lower lid": [42, 47, 46, 45],
  "upper lip": [48, 49, 50, 51, 52, 53, 54, 60, 61, 62, 63, 64],
  "lower lip": [48, 59, 58, 57, 56, 55, 54, 60, 67, 66, 65, 64],
  "right iris": [68, 70], "left iris": [69, 71],
};
const N_POINTS = 68, N_MARKS = 72, CENTRES = [68, 69];
export const isCentre = (mark) => CENTRES.includes(mark);
export const isEdge = (mark) => mark >= 70;
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
const SMALL = 20; // px of the screen: below this radius an iris is not taken for a lid's point
const IRIS_IN_EYE = 0.21; // radius of an iris that a person adds, in distances of the eye's corners

const copyOf = (marks) => marks.map((one) => one && [...one]);
const distance = (a, b) => Math.hypot(a[0] - b[0], a[1] - b[1]);
export const partOf = (point) => Object.entries(PARTS).find(([, all]) => all.includes(point));

const make = (name, attributes = {}, parent = null) => {
  const made = document.createElementNS(SVG, name);
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  parent?.append(made);
  return made;
};

export class FaceView {
  // `events`: moved(marks by number), chosen(mark), dragging(marks), boxed([l, t, r, b])
  constructor(svg, events) {
    this.svg = svg;
    this.events = events;
    this.marks = [];
    this.chosen = 0;
    this.dots = new Map();
    this.rims = this.edges = this.labels = [];
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

  get hasPoints() { return Boolean(this.marks[0]); }

  show(face, picture, mirror, { keepView = false } = {}) {
    this.marks = copyOf(face.marks);
    if (!this.marks[this.chosen]) this.chosen = 0;
    this.machine = face.machine;
    this.spread = face.spread;
    this.mirror = mirror;
    if (picture) this.picture = picture;
    this.draw();
    if (!keepView) this.zoomTo("face");
  }

  draw() {
    const { svg, picture } = this;
    svg.replaceChildren();
    const [x, y, width, height] = picture.place;
    if (picture.url) {
      make("image", { x, y, width, height, preserveAspectRatio: "none", href: picture.url }, svg);
    }
    this.dots = new Map();
    this.rims = this.edges = this.labels = [];
    if (this.hasPoints) {
      this.edges = this.lines ? LINES.map(() => make("polyline", { class: "edge" }, svg)) : [];
      this.labels = ["right", "left"].map((side) => {
        const label = make("text", { class: "side", "text-anchor": "middle" }, svg);
        label.textContent = `patient's ${side}`;
        return label;
      });
      this.rims = CENTRES.filter((one) => this.marks[one])
        .map((one) => [one, make("circle", { class: `rim ${this.sideOf(one)}` }, svg)]);
      this.marks.forEach((place, mark) => {
        if (!place) return;
        const group = make("g", { class: `point ${this.sideOf(mark)}`, "data-point": mark }, svg);
        if (this.spread?.[mark]) make("circle", { class: "halo", r: this.spread[mark] }, group);
        make("circle", { class: "target" }, group);
        make("circle", { class: "dot" }, group);
        this.dots.set(mark, group);
      });
    }
    this.box = make("rect", { class: "drawn", visibility: "hidden" }, svg);
    this.scaleMarks();
  }

  // Places everything where the points are now.
  placeMarks() {
    this.dots.forEach((group, mark) => {
      const [x, y] = this.marks[mark];
      for (const circle of group.children) {
        circle.setAttribute("cx", x);
        circle.setAttribute("cy", y);
      }
      const [a, b] = this.machine[mark] ?? [NaN, NaN];
      group.classList.toggle("moved", a !== x || b !== y);
      group.classList.toggle("chosen", mark === this.chosen);
    });
    for (const [centre, rim] of this.rims) {
      const [x, y] = this.marks[centre], radius = this.radiusOf(centre);
      Object.entries({ cx: x, cy: y, r: radius })
        .forEach(([key, value]) => rim.setAttribute(key, value));
      for (const mark of [centre, centre + 2]) {
        const small = radius < SMALL * this.px() && mark !== this.chosen;
        this.dots.get(mark).classList.toggle("small", small);
      }
    }
    this.edges.forEach((edge, k) => {
      edge.setAttribute("points", LINES[k].map((p) => this.marks[p].join(",")).join(" "));
    });
    this.placeLabels();
  }

  // At the ends of the jaw, or as near as can be seen: each in its half of what is shown.
  placeLabels() {
    const px = this.px();
    const { width, height } = this.svg.getBoundingClientRect();
    const middle = this.view[0] + this.view[2] / 2, top = this.view[1] + (this.view[3] - height * px) / 2;
    const within = (value, low, high) => Math.min(Math.max(value, low), high);
    this.labels.forEach((label, k) => {
      const [x, y] = this.marks[k ? 16 : 0];
      const way = x < this.marks[k ? 0 : 16][0] ? -1 : 1;
      const far = within(way * (x - middle), 60 * px, Math.max(60, width / 2 - 60) * px);
      label.setAttribute("x", middle + way * far);
      label.setAttribute("y", within(y - 60 * px, top + 20 * px, top + (height - 10) * px));
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
    this.dots.forEach((group, mark) => {
      group.lastChild.setAttribute("r", (mark < N_POINTS ? 1 : 0.75) * RADIUS * px);
    });
    for (const dot of this.svg.querySelectorAll(".target")) dot.setAttribute("r", REACH * px);
    for (const label of this.svg.querySelectorAll(".side")) label.setAttribute("font-size", 14 * px);
    if (this.hasPoints) this.placeMarks();
  }

  zoomTo(name) {
    const [x, y, width, height] = this.picture.place;
    if (!this.hasPoints) this.view = [x, y, width, height];
    else {
      const chosen = VIEWS[name].map((p) => this.marks[p]);
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

  sideOf(mark) {
    if (this.mirror[mark] === mark) return "middle";
    if (mark >= N_POINTS) return mark % 2 ? "left" : "right";
    return this.marks[mark][0] < this.marks[this.mirror[mark]][0] ? "right" : "left";
  }

  radiusOf(centre) { return distance(this.marks[centre], this.marks[centre + 2]); }

  choose(mark) {
    this.chosen = mark;
    if (this.hasPoints) this.placeMarks();
    this.events.chosen(mark);
  }

  // Goes to the next mark that there is, or the one before; false where there is none.
  chooseNext(step) {
    let next = this.chosen + step;
    while (next >= 0 && next < N_MARKS && !this.marks[next]) next += step;
    if (!this.marks[next]) return false;
    this.choose(next);
    return true;
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
      const mark = this.hasPoints ? this.nearest(at) : -1;
      if (mark >= 0) {
        this.choose(mark);
        const kind = this.editable ? "mark" : "none";
        this.hold = { kind, mark, from: at, before: copyOf(this.marks) };
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
    } else if (kind === "mark") {
      const { before, mark } = this.hold;
      if (isEdge(mark)) { // the rim goes with the pointer, wherever it was taken
        const centre = before[mark - 2];
        this.resize(before, mark, distance(before[mark], centre) + distance(at, centre) - distance(from, centre));
      } else this.shift(before, mark, [at[0] - from[0], at[1] - from[1]]);
      this.events.dragging(this.marks);
    }
  }

  up(event) {
    this.touches.delete(event.pointerId);
    const { hold } = this;
    if (!hold || (hold.kind === "pinch" && this.touches.size)) return;
    this.hold = null;
    if (hold.kind === "mark") this.finish(hold.before);
    if (hold.kind === "box" && hold.to) this.events.boxed([...hold.from, ...hold.to]);
  }

  cancel() { // a second finger came: the first moved nothing
    if (this.hold?.kind === "mark") {
      this.marks = this.hold.before;
      this.placeMarks();
    }
    this.hold = null;
  }

  pinch(id, at) {
    const other = [...this.touches].find(([key]) => key !== id)[1];
    const before = this.touches.get(id);
    const factor = distance(before, other) / Math.max(distance(at, other), 1e-6);
    this.zoomAt(other, Math.min(2, Math.max(0.5, factor)));
  }

  // Moves a point, and with `wholePart` its neighbours on the same part, less the further they are;
  // an iris moves whole.
  shift(before, mark, [dx, dy]) {
    const part = this.wholePart || isCentre(mark) ? partOf(mark)[1] : [mark];
    const place = part.indexOf(mark);
    this.marks = copyOf(before);
    part.forEach((other, k) => {
      const share = isCentre(mark) ? 1 : Math.exp(-(((k - place) / FALLOFF) ** 2) / 2);
      this.marks[other] = [before[other][0] + share * dx, before[other][1] + share * dy];
    });
    this.placeMarks();
  }

  resize(before, edge, radius) {
    const [x, y] = before[edge - 2];
    this.marks = copyOf(before);
    this.marks[edge] = [x + Math.max(1, radius), y];
    this.placeMarks();
  }

  nudge(dx, dy) {
    if (!this.hasPoints || !this.editable) return;
    const before = this.marks, edge = this.chosen;
    if (isEdge(edge)) this.resize(before, edge, this.radiusOf(edge - 2) + dx - dy);
    else this.shift(before, this.chosen, [dx, dy]);
    this.finish(before);
  }

  // Chooses the right iris, then the left; one that is missing is put between its lids.
  iris() {
    if (!this.hasPoints) return;
    const centre = this.chosen === CENTRES[0] ? CENTRES[1] : CENTRES[0];
    if (!this.marks[centre]) {
      if (!this.editable) return;
      const before = this.marks;
      const [outer, inner] = centre === CENTRES[0] ? [36, 39] : [42, 45];
      const [x, y] = [0, 1].map((k) => (before[outer][k] + before[inner][k]) / 2);
      this.marks = copyOf(before);
      this.marks[centre] = [x, y];
      this.marks[centre + 2] = [x + IRIS_IN_EYE * distance(before[outer], before[inner]), y];
      this.draw();
      this.finish(before);
    }
    this.choose(centre);
  }

  removeIris() {
    const part = partOf(this.chosen)?.[1];
    if (this.chosen < N_POINTS || !this.editable) return;
    const before = this.marks;
    this.marks = copyOf(before);
    for (const mark of part) this.marks[mark] = null;
    this.chosen = 0;
    this.draw();
    this.finish(before);
  }

  // Puts the mirror image of the other side's part where the part of the chosen point is.
  copyFromOtherSide() {
    if (!this.hasPoints || !this.editable) return;
    const [, part] = partOf(this.chosen);
    const mean = (all) => [0, 1].map((k) => all.reduce((sum, p) => sum + this.marks[p][k], 0) / all.length);
    const right = mean(range(36, 42)), left = mean(range(42, 48));
    const length = distance(left, right);
    const axis = [(left[0] - right[0]) / length, (left[1] - right[1]) / length];
    const middle = [(left[0] + right[0]) / 2, (left[1] + right[1]) / 2];
    const before = this.marks;
    const side = this.sideOf(this.chosen);
    this.marks = copyOf(before);
    for (const mark of part) {
      if (this.mirror[mark] === mark || this.sideOf(mark) !== side || !before[this.mirror[mark]]) continue;
      const [x, y] = before[this.mirror[mark]];
      const across = (x - middle[0]) * axis[0] + (y - middle[1]) * axis[1];
      this.marks[mark] = [x - 2 * across * axis[0], y - 2 * across * axis[1]];
      if (isEdge(mark)) { // comes after its centre, and keeps the radius
        const radius = distance(before[this.mirror[mark]], before[this.mirror[mark - 2]]);
        this.marks[mark] = [this.marks[mark - 2][0] + radius, this.marks[mark - 2][1]];
      }
    }
    this.placeMarks();
    this.finish(before);
  }

  finish(before) {
    const moved = {};
    this.marks.forEach((place, mark) => {
      if (String(place) !== String(before[mark])) moved[mark] = place;
    });
    if (Object.keys(moved).length) this.events.moved(moved);
  }

  nearest([x, y]) {
    const reach = REACH * this.px();
    const isSmall = (mark) => this.dots.get(mark)?.classList.contains("small");
    const far = this.marks.map((place, mark) =>
      (place && !isSmall(mark) ? distance(place, [x, y]) : Infinity));
    const best = far.indexOf(Math.min(...far));
    if (far[best] <= reach) return best;
    const rim = this.rims.find(([centre]) => !isSmall(centre)
      && Math.abs(distance(this.marks[centre], [x, y]) - this.radiusOf(centre)) <= reach / 2);
    return rim ? rim[0] + 2 : -1;
  }
}
