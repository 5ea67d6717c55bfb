// Surfaces: contours, reliefs and cuts of one or two, on common levels, their cameras and their points linked.

const EVALUATED = 1, SKIPPED = 3, INTERPOLATED = 4, BANDS = 15;
const VIRIDIS = ["#440154", "#482475", "#414487", "#355f8d", "#2a788e", "#21918c", "#22a884", "#44bf70", "#7ad151", "#bddf26", "#fde725"];
const BEYOND = "#fbf7dc";
const METRICS = { loss: "loss (nats)", error_rate: "error rate", loss_se: "standard error of the loss (nats)", attack_gap: "attack gap (nats)" };

const mix = (a, b, share) => "#" + [1, 3, 5].map((at) => Math.round(parseInt(a.slice(at, at + 2), 16) * (1 - share) + parseInt(b.slice(at, at + 2), 16) * share).toString(16).padStart(2, "0")).join("");

function viridis(share) {
  const place = Math.min(Math.max(share, 0), 1) * (VIRIDIS.length - 1);
  const low = Math.min(Math.floor(place), VIRIDIS.length - 2);
  return mix(VIRIDIS[low], VIRIDIS[low + 1], place - low);
}

// A few round numbers within [low, high]: 1, 2, 5 of each decade, fewer where there are many decades.
function roundTicks(low, high, log) {
  const found = [];
  if (!log || high / low < 4) {
    const step = 10 ** Math.floor(Math.log10((high - low) / 2.5 || 1));
    const own = [1, 2, 5, 10].map((k) => k * step).find((size) => (high - low) / size <= 6);
    for (let k = Math.ceil(low / own); k <= Math.floor(high / own + 1e-9); k++) found.push(Number((k * own).toPrecision(6)));
    return found;
  }
  const digits = high / low > 3000 ? [1] : high / low > 100 ? [1, 3] : [1, 2, 5];
  for (let decade = Math.floor(Math.log10(low)); decade <= Math.ceil(Math.log10(high)); decade++)
    for (const digit of digits) {
      const value = Number(`${digit}e${decade}`);
      if (value >= low && value <= high) found.push(value);
    }
  return found;
}

class SurfacesView {
  constructor(box, surfaces, results, webgl) {
    Object.assign(this, { box, surfaces, results, webgl });
    this.$ = (name) => box.querySelector(`[data-part="${name}"]`);
    const first = Math.max(0, surfaces.findIndex((surface) => !surface.line));
    this.a = { place: first, rung: surfaces[first].first };
    this.b = { place: -1, rung: 0 };
    this.metric = "loss";
    this.log = true;
    this.cap = 1;
    this.point = this.middle(this.one);
    this.camera = { eye: { x: 1.25, y: -1.45, z: 0.95 } };
    this.controls();
    const name = (side) => () => `surface-${side}-${this.name(side)}`;
    for (const side of ["a", "b"]) {
      tools(this.$("contour-" + side), "surface " + side.toUpperCase(), name(side), () => this.rows(side));
      if (webgl) tools(this.$("relief-" + side), "relief " + side.toUpperCase(), () => name(side)() + "-relief", () => this.rows(side));
    }
    tools(this.$("difference"), "difference", () => "difference", () => this.differenceRows());
    for (const way of ["x", "y"]) tools(this.$("cut-" + way), "cut along " + way, () => "cut-along-" + way, () => this.cutRows(way));
  }

  get one() {
    return this.surfaces[this.a.place];
  }

  get other() {
    return this.surfaces[this.b.place];
  }

  of(side) {
    return side === "a" ? this.one : this.other;
  }

  rung(side) {
    return this[side].rung;
  }

  name(side) {
    const surface = this.of(side);
    return `${this.results[surface.result].name}, ε = ${surface.radii[this.rung(side)]}`;
  }

  middle(surface) {
    const nearest = (values) => values.reduce((best, value, k) => (Math.abs(value) < Math.abs(values[best]) ? k : best), 0);
    return { i: nearest(numbers(surface.x)), j: nearest(numbers(surface.y)) };
  }

  controls() {
    const names = this.surfaces.map((surface) => this.results[surface.result].name);
    const selectA = this.$("select-a"), selectB = this.$("select-b");
    names.forEach((name, k) => (selectA.append(new Option(name, k)), selectB.append(new Option(name, k))));
    selectA.value = this.a.place;
    selectB.prepend(new Option("none", -1));
    selectB.value = "-1";
    selectA.addEventListener("change", () => this.choose("a", Number(selectA.value)));
    selectB.addEventListener("change", () => this.choose("b", Number(selectB.value)));
    for (const side of ["a", "b"])
      this.$("eps-" + side).addEventListener("input", (event) => {
        this[side].rung = Number(event.target.value);
        const twin = side === "a" ? "b" : "a";
        if (this.$("linked").checked && this.of(twin)) this.follow(side, twin);
        this.draw();
      });
    const metric = this.$("metric");
    for (const [key, label] of Object.entries(METRICS)) metric.append(new Option(label, key));
    metric.addEventListener("change", () => ((this.metric = metric.value), (this.cap = 1), (this.$("cap").value = 100), this.draw()));
    this.$("reliefs").addEventListener("change", () => this.draw());
    this.$("log").addEventListener("change", (event) => ((this.log = event.target.checked), this.draw()));
    this.$("cap").addEventListener("input", (event) => ((this.cap = Number(event.target.value) / 100), this.draw()));
    for (const [way, key] of [["x", "i"], ["y", "j"]])
      this.$("at-" + way).addEventListener("input", (event) => ((this.point[key] = Number(event.target.value)), this.move()));
    for (const side of ["a", "b"]) {
      this.$("contour-" + side).addEventListener("keydown", (event) => this.step(event));
      this.$("relief-" + side).addEventListener("keydown", (event) => this.turn(event));
    }
    this.sliders();
  }

  // The radius of the other side that is nearest to this one's.
  follow(side, twin) {
    const wanted = numbers(this.of(side).eps)[this[side].rung];
    const ladder = numbers(this.of(twin).eps);
    this[twin].rung = ladder.reduce((best, eps, k) => (Math.abs(eps - wanted) < Math.abs(ladder[best] - wanted) ? k : best), 0);
  }

  choose(side, place) {
    this[side] = { place, rung: place < 0 ? 0 : this.surfaces[place].first };
    if (side === "a") {
      this.point = this.middle(this.one);
      if (this.other && this.$("linked").checked) this.follow("a", "b");
    } else if (this.other && this.$("linked").checked) this.follow("a", "b");
    this.sliders();
    this.draw();
  }

  sliders() {
    for (const side of ["a", "b"]) {
      const surface = this.of(side), slider = this.$("eps-" + side);
      slider.closest("label").hidden = !surface;
      if (surface) slider.max = surface.radii.length - 1;
    }
    this.$("at-x").max = numbers(this.one.x).length - 1;
    this.$("at-y").max = numbers(this.one.y).length - 1;
    this.$("at-y").closest("label").hidden = this.one.line;
  }

  // Values of a metric as rows; NaN where none is shown. A skipped point is known to lie beyond the cap, and no more.
  values(surface, rung, metric = this.metric) {
    const status = grid(surface.grids.status, rung);
    const loss = grid(surface.grids.loss, rung);
    return grid(surface.grids[metric], rung).map((row, j) =>
      Float64Array.from(row, (value, i) => ([EVALUATED, INTERPOLATED].includes(status[j][i]) && Number.isFinite(loss[j][i]) ? value : NaN)));
  }

  // Lowest and highest value of all radii on show, and the cap: one scale for both sides at every radius.
  scale() {
    const shown = [this.one, ...(this.other ? [this.other] : [])];
    const all = shown.flatMap((surface) => surface.radii.flatMap((_, rung) => this.values(surface, rung).flatMap((row) => [...row]))).filter(Number.isFinite);
    const log = this.log && all.some((value) => value > 0);
    const chosen = log ? all.filter((value) => value > 0) : all;
    let low = chosen.reduce((a, b) => Math.min(a, b), Infinity), high = chosen.reduce((a, b) => Math.max(a, b), -Infinity);
    if (!chosen.length) (low = 0.1), (high = 1);
    const rule = Math.max(...shown.map((surface) => surface.cap ?? 0));
    let top = this.metric === "loss" && rule > low ? Math.min(high, rule) : high;
    top = log ? low * (top / low) ** this.cap : low + (top - low) * this.cap;
    if (!(top > low)) (top = low + (Math.abs(low) || 1) * 1e-3), (low -= (Math.abs(low) || 1) * 1e-3);
    const skipped = shown.some((surface) => numbers(surface.grids.status).includes(SKIPPED));
    return { low, top, high, log, cut: high > top * (1 + 1e-9) || (skipped && this.metric === "loss") };
  }

  tell(surface, rung, i, j) {
    const at = (name) => grid(surface.grids[name], rung)[j][i];
    const code = at("status");
    const lines = [`x = ${format(numbers(surface.x)[i])}` + (surface.line ? "" : `, y = ${format(numbers(surface.y)[j])}`) + `, ε = ${surface.radii[rung]}`];
    lines.push(`loss ${format(at("loss"))} ± ${format(at("loss_se"))} nats`);
    lines.push(`error rate ${format(at("error_rate"))}`);
    lines.push(`attack gap ${format(at("attack_gap"))}${Number.isFinite(at("attack_gap")) ? ` ± ${format(at("attack_gap_se"))} nats` : ""}`);
    lines.push(CODES[code] ?? `status ${code}`);
    return lines;
  }

  contourTraces(surface, rung, scale, showscale) {
    const to = (value) => (scale.log ? Math.log10(value) : value);
    const [start, end] = [to(scale.low), to(scale.top)];
    const size = (end - start) / BANDS;
    const status = grid(surface.grids.status, rung);
    const z = this.values(surface, rung).map((row, j) =>
      Array.from(row, (value, i) => {
        if (status[j][i] === SKIPPED && this.metric === "loss") return end + 0.5 * size;
        if (!Number.isFinite(value)) return null;
        return value > scale.top * (1 + 1e-12) ? end + 0.5 * size : Math.max(to(Math.max(value, scale.log ? scale.low : value)), start);
      }));
    const stops = Array.from({ length: BANDS + 1 }, (_, k) => [k / (BANDS + 1), viridis((k - 0.5) / (BANDS - 1))]);
    const ticks = roundTicks(scale.low, scale.top, scale.log);
    const x = numbers(surface.x), y = numbers(surface.y);
    const label = METRICS[this.metric] + (scale.cut ? `, cap ${format(Number(scale.top.toPrecision(3)))}` : "");
    const main = {
      type: "contour", x, y, z, connectgaps: false, hoverinfo: "none", line: { width: 0.4, color: "rgba(255,255,255,0.55)", smoothing: 0 },
      contours: { start, end: end + 1e-9 * size, size, coloring: "fill" }, autocontour: false, zmin: start, zmax: end + size,
      colorscale: [...stops, [1, scale.cut ? BEYOND : viridis(1)]], showscale,
      colorbar: { thickness: 12, outlinewidth: 0, title: { text: label, side: "right", font: { size: 11 } }, tickvals: ticks.map(to), ticktext: ticks.map(format), tickfont: { size: 11 }, len: 1 },
    };
    const marks = [[], []], low = { value: Infinity };
    const loss = grid(surface.grids.loss, rung), interpolated = numbers(surface.grids.status).includes(INTERPOLATED);
    status.forEach((row, j) => row.forEach((code, i) => {
      if (z[j][i] === null) marks[0].push([x[i], y[j]]);
      if (code === EVALUATED && loss[j][i] < low.value) Object.assign(low, { value: loss[j][i], x: x[i], y: y[j] });
      if (code === EVALUATED && interpolated) marks[1].push([x[i], y[j]]);
    }));
    const scatter = (points, marker, more) => ({ type: "scatter", mode: "markers", x: points.map((p) => p[0]), y: points.map((p) => p[1]), marker, hoverinfo: "skip", ...more });
    const traces = [main];
    traces.push(scatter(marks[0], { symbol: "x-thin", size: 7, line: { color: colours().ink, width: 1.5 } }, { cliponaxis: false }));
    traces.push(scatter(marks[1], { size: 2.5, color: "#fff" }));
    if (surface.landmarks) {
      const { x: a, y: b, names, joined } = surface.landmarks;
      traces.push({ type: "scatter", mode: joined ? "lines+markers" : "markers+text", x: numbers(a), y: numbers(b), text: names.map(plain), textposition: "top right", textfont: { size: 11, color: "#fff" }, marker: { size: 5, symbol: joined ? "circle" : "diamond", color: "#fff", line: { color: "#222", width: 1 } }, line: { color: "#fff", width: 1.5 }, hoverinfo: "skip", cliponaxis: true });
    }
    const centre = numbers(surface.centre)[rung];
    if (low.value < centre && (low.x || low.y)) traces.push(scatter([[low.x, low.y]], { symbol: "circle-open", size: 10, color: "#fff", line: { width: 2, color: "#fff" } }));
    traces.push(scatter([[0, 0]], { symbol: "cross", size: 9, color: "#222", line: { color: "#fff", width: 1 } }));
    traces.push(scatter([[x[Math.min(this.point.i, x.length - 1)], y[Math.min(this.point.j, y.length - 1)]]], { symbol: "square-open", size: 12, color: "#ff4d6d", line: { width: 2.5 } }));
    return traces;
  }

  planeLayout(surface, box, square) {
    const width = widthOf(box);
    const layout = baseLayout(width, Math.min(430, Math.max(300, 0.82 * width)));
    const range = (values) => [Math.min(...values), Math.max(...values)];
    layout.plot_bgcolor = colours().gap;
    layout.xaxis = axis(surface.labels[0], { range: range(numbers(surface.x)), constrain: "domain", showgrid: false });
    layout.yaxis = axis(surface.labels[1], { range: range(numbers(surface.y)), constrain: "domain", showgrid: false, ...(square ? { scaleanchor: "x" } : {}) });
    return layout;
  }

  async contour(side, scale) {
    const surface = this.of(side), box = this.$("contour-" + side);
    const alone = !this.other || this.other.line;
    const layout = this.planeLayout(surface, box, surface.square);
    await Plotly.react(box, this.contourTraces(surface, this.rung(side), scale, side === "b" || alone), layout, CONFIG);
    if (box.dataset.linked) return;
    box.dataset.linked = "yes";
    tip(box, (point) => point.curveNumber === 0 && this.tell(this.of(side), this.rung(side), point.pointNumber[1], point.pointNumber[0]));
    box.on("plotly_click", ({ points: [point] }) => {
      if (point.curveNumber !== 0) return;
      [this.point.j, this.point.i] = point.pointNumber;
      this.move();
    });
  }

  async relief(side, scale) {
    const surface = this.of(side), rung = this.rung(side), box = this.$("relief-" + side);
    const to = (value) => (scale.log ? Math.log10(value) : value);
    const [low, top] = [to(scale.low), to(scale.top)];
    const status = grid(surface.grids.status, rung);
    const z = this.values(surface, rung).map((row, j) => Array.from(row, (value, i) => (status[j][i] === SKIPPED ? top : Number.isFinite(value) ? Math.min(Math.max(to(value), low), top) : null)));
    const text = z.map((row, j) => row.map((_, i) => this.tell(surface, rung, i, j).map(plain).join("<br>")));
    const stops = VIRIDIS.map((colour, k) => [(0.995 * k) / (VIRIDIS.length - 1), colour]);
    const trace = { type: "surface", x: numbers(surface.x), y: numbers(surface.y), z, cmin: low, cmax: top + (scale.cut ? 0 : (top - low) * 0.01), colorscale: [...stops, [1, scale.cut ? BEYOND : VIRIDIS.at(-1)]], showscale: false, text, hoverinfo: "text", lighting: { ambient: 0.75, diffuse: 0.6, specular: 0.05, roughness: 0.9 } };
    const width = widthOf(box);
    const layout = baseLayout(width, Math.min(420, Math.max(280, 0.8 * width)));
    const ticks = roundTicks(scale.low, scale.top, scale.log);
    const line = { gridcolor: colours().grid, color: colours().ink, backgroundcolor: colours().card, showbackground: false };
    Object.assign(layout, { margin: { l: 0, r: 0, t: 0, b: 0 }, uirevision: "kept" });
    layout.scene = {
      camera: this.camera, aspectmode: "manual", aspectratio: { x: 1, y: 1, z: 0.75 },
      xaxis: { ...line, title: { text: plain(surface.names[0]) } }, yaxis: { ...line, title: { text: plain(surface.names[1]) } },
      zaxis: { ...line, title: { text: this.metric === "loss" ? "loss" : METRICS[this.metric].split(" (")[0] }, range: [low, top], tickvals: ticks.map(to), ticktext: ticks.map(format) },
    };
    await Plotly.react(box, [trace], layout, CONFIG);
    if (box.dataset.linked) return;
    box.dataset.linked = "yes";
    const twin = side === "a" ? "b" : "a";
    box.on("plotly_relayout", (change) => {
      const camera = change["scene.camera"];
      if (camera) this.look(camera, this.of(twin) && !this.other.line ? [twin] : []);
    });
  }

  look(camera, sides) {
    this.camera = { eye: camera.eye, up: camera.up, center: camera.center };
    for (const side of sides) {
      const box = this.$("relief-" + side);
      const now = box._fullLayout?.scene?.camera?.eye;
      if (now && Math.hypot(now.x - camera.eye.x, now.y - camera.eye.y, now.z - camera.eye.z) > 1e-6) Plotly.relayout(box, { "scene.camera": this.camera });
    }
  }

  turn(event) {
    const steps = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, 1], ArrowDown: [0, -1] };
    const step = steps[event.key];
    if (!step || !this.webgl) return;
    event.preventDefault();
    const { x, y, z } = this.camera.eye;
    const angle = (step[0] * Math.PI) / 18, flat = Math.hypot(x, y), length = Math.hypot(flat, z);
    const height = Math.min(1.5, Math.max(-1.5, Math.atan2(z, flat) + (step[1] * Math.PI) / 24));
    const turned = Math.atan2(y, x) + angle;
    const eye = { x: length * Math.cos(height) * Math.cos(turned), y: length * Math.cos(height) * Math.sin(turned), z: length * Math.sin(height) };
    this.look({ ...this.camera, eye }, this.other && !this.other.line ? ["a", "b"] : ["a"]);
  }

  step(event) {
    const steps = { ArrowLeft: ["i", -1], ArrowRight: ["i", 1], ArrowUp: ["j", 1], ArrowDown: ["j", -1] };
    const step = steps[event.key];
    if (!step) return;
    event.preventDefault();
    const most = { i: numbers(this.one.x).length - 1, j: numbers(this.one.y).length - 1 };
    this.point[step[0]] = Math.min(Math.max(this.point[step[0]] + step[1], 0), most[step[0]]);
    this.move();
  }

  sameGrid() {
    const same = (a, b) => a.length === b.length && a.every((value, k) => value === b[k]);
    return this.other && same(numbers(this.one.x), numbers(this.other.x)) && same(numbers(this.one.y), numbers(this.other.y));
  }

  differenceValues() {
    const [a, b] = ["a", "b"].map((side) => this.values(this.of(side), this.rung(side)));
    return b.map((row, j) => Array.from(row, (value, i) => value - a[j][i]));
  }

  async difference() {
    const box = this.$("difference");
    const values = this.differenceValues();
    const reach = values.flat().filter(Number.isFinite).reduce((most, value) => Math.max(most, Math.abs(value)), 0) || 1;
    const z = values.map((row) => row.map((value) => (Number.isFinite(value) ? value : null)));
    const trace = { type: "contour", x: numbers(this.one.x), y: numbers(this.one.y), z, zmin: -reach, zmax: reach, contours: { start: -reach, end: reach, size: reach / 8, coloring: "fill" }, autocontour: false, connectgaps: false, line: { width: 0.4, smoothing: 0, color: "rgba(128,128,128,0.6)" }, colorscale: [[0, "#0a3a6b"], [0.25, "#5b9bd0"], [0.5, "#f7f7f7"], [0.75, "#e8915b"], [1, "#7f2704"]], hoverinfo: "none", colorbar: { thickness: 12, outlinewidth: 0, tickvals: roundTicks(-reach, reach, false), ticktext: roundTicks(-reach, reach, false).map(format), title: { text: `B − A, ${METRICS[this.metric]}`, side: "right", font: { size: 11 } } } };
    await Plotly.react(box, [trace], this.planeLayout(this.one, box, this.one.square), CONFIG);
    tip(box, ({ pointNumber: [j, i] }) => {
      const [a, b] = ["a", "b"].map((side) => this.values(this.of(side), this.rung(side))[j][i]);
      return [`x = ${format(numbers(this.one.x)[i])}, y = ${format(numbers(this.one.y)[j])}`, `B − A: ${format(b - a)}`, `A: ${format(a)}`, `B: ${format(b)}`];
    });
  }

  // A cut through the chosen point: a row (x) or a column (y) of the grid, at one radius.
  line(surface, rung, way, metric) {
    const values = this.values(surface, rung, metric);
    const i = Math.min(this.point.i, numbers(surface.x).length - 1), j = Math.min(this.point.j, numbers(surface.y).length - 1);
    return way === "x" ? values[j] : Float64Array.from(values, (row) => row[i]);
  }

  async cut(way, scale) {
    const box = this.$("cut-" + way), surface = this.one;
    const along = numbers(surface[way]), traces = [];
    const across = way === "x" ? numbers(surface.y)[this.point.j] : numbers(surface.x)[this.point.i];
    this.tells = this.tells ?? {};
    const tells = (this.tells[way] = []);
    surface.radii.forEach((radius, rung) => {
      const own = rung === this.a.rung, colour = tone(surface.tones[rung]);
      const y = this.line(surface, rung, way);
      if (own && this.metric === "loss") {
        const se = this.line(surface, rung, way, "loss_se"), gap = this.line(surface, rung, way, "attack_gap");
        const band = (values, alpha, low) => {
          traces.push({ x: along, y: low, mode: "lines", line: { width: 0 }, hoverinfo: "skip" });
          traces.push({ x: along, y: values, mode: "lines", line: { width: 0 }, fill: "tonexty", fillcolor: rgba(colour, alpha), hoverinfo: "skip" });
          tells.push(null, null);
        };
        band(y.map((value, k) => value + se[k]), 0.18, y.map((value, k) => Math.max(value - se[k], scale.log ? 1e-3 * value : -Infinity)));
        const audited = y.map((value, k) => (Number.isFinite(gap[k]) ? gap[k] : NaN));
        if (audited.some((value) => value > 0)) {
          traces.push({ x: along, y, mode: "markers", marker: { size: 0.1, color: colour }, error_y: { type: "data", symmetric: false, array: audited, arrayminus: audited.map(() => 0), color: colour, thickness: 2, width: 3 }, hoverinfo: "skip" });
          tells.push(null);
        }
        if (Math.abs(across) < 1e-12 || surface.line) this.quadratic(surface, rung, way, colour, traces, tells);
      }
      traces.push({ x: along, y, mode: "lines+markers", line: { color: colour, width: own ? 2.5 : 1, dash: "solid" }, marker: { size: own ? 4 : 2.5, color: colour }, hoverinfo: "none", opacity: own ? 1 : 0.65, name: radius });
      tells.push((k) => (way === "x" ? this.tell(surface, rung, k, this.point.j) : this.tell(surface, rung, this.point.i, k)));
    });
    if (this.other && !(this.other.line && way === "y")) {
      const y = this.line(this.other, this.b.rung, way);
      traces.push({ x: numbers(this.other[way]), y, mode: "lines+markers", line: { color: colours().ink, width: 2, dash: "dash" }, marker: { size: 4, symbol: "diamond-open", color: colours().ink }, hoverinfo: "none" });
      tells.push((k) => ["B", ...(way === "x" ? this.tell(this.other, this.b.rung, k, Math.min(this.point.j, numbers(this.other.y).length - 1)) : this.tell(this.other, this.b.rung, Math.min(this.point.i, numbers(this.other.x).length - 1), k))]);
    }
    const layout = baseLayout(widthOf(box), 300);
    layout.xaxis = axis(surface.labels[way === "x" ? 0 : 1]);
    const linear = { type: "linear", range: [Math.min(0, scale.low), scale.top + 0.05 * (scale.top - scale.low)] };
    layout.yaxis = axis(METRICS[this.metric], scale.log ? logAxis([scale.low, scale.top], 8) : linear);
    const here = numbers(surface[way])[way === "x" ? this.point.i : this.point.j];
    layout.shapes = [{ type: "line", xref: "x", yref: "paper", x0: here, x1: here, y0: 0, y1: 1, line: { color: "#ff4d6d", width: 1, dash: "dot" } }];
    layout.title = surface.line ? undefined : { text: `cut at ${way === "x" ? "y" : "x"} = ${format(across)}`, font: { size: 12 }, x: 0.5, y: 0.98 };
    await Plotly.react(box, traces, layout, CONFIG);
    tip(box, (point) => this.tells[way][point.curveNumber]?.(point.pointNumber));
  }

  // The quadratic of slope and curvature at the net, adversary held (results/quadratic.py).
  quadratic(surface, rung, way, colour, traces, tells) {
    const at = way === "x" ? 0 : 1;
    const slope = numbers(surface.slope)[2 * rung + at], curvature = numbers(surface.curvature)[4 * rung + 3 * at];
    const centre = numbers(surface.centre)[rung], along = numbers(surface[way]);
    if (![slope, curvature, centre].every(Number.isFinite)) return;
    const [low, high] = [Math.min(...along), Math.max(...along)];
    const x = Array.from({ length: 121 }, (_, k) => low + ((high - low) * k) / 120);
    traces.push({ x, y: x.map((t) => centre + slope * t + (curvature * t * t) / 2), mode: "lines", line: { color: colour, width: 1.2, dash: "dot" }, hoverinfo: "skip" });
    tells.push(null);
  }

  // Draw all, or what a moved point changes: once for all that was asked while a drawing was under way.
  draw() {
    return this.ask("all");
  }

  move() {
    return this.ask("point");
  }

  ask(what) {
    this.asked = this.asked === "all" ? "all" : what;
    this.settled = this.working ?? (this.working = this.work());
    return this.settled;
  }

  async work() {
    await null;
    while (this.asked) {
      const what = this.asked;
      this.asked = undefined;
      await (what === "all" ? this.drawAll() : this.drawPoint());
    }
    this.working = undefined;
  }

  async drawPoint() {
    const scale = this.scale();
    this.readings();
    if (!this.one.line) await this.contour("a", scale);
    if (this.other && !this.other.line) await this.contour("b", scale);
    await this.cut("x", scale);
    if (!this.one.line) await this.cut("y", scale);
  }

  readings() {
    for (const [way, key] of [["x", "i"], ["y", "j"]]) {
      this.$("at-" + way).value = this.point[key];
      this.$("told-" + way).textContent = format(numbers(this.one[way])[this.point[key]]);
    }
    for (const side of ["a", "b"]) {
      const surface = this.of(side), box = this.$("reading-" + side);
      if (!surface) continue;
      const i = Math.min(this.point.i, numbers(surface.x).length - 1), j = Math.min(this.point.j, numbers(surface.y).length - 1);
      box.textContent = `${side.toUpperCase()}: ` + this.tell(surface, this.rung(side), i, j).join("; ");
      this.$("eps-" + side).value = this.rung(side);
      this.$("told-eps-" + side).textContent = `ε = ${surface.radii[this.rung(side)]}`;
      this.$("note-" + side).textContent = `${side.toUpperCase()}. ${surface.note}`;
      this.$("title-" + side).textContent = `${side.toUpperCase()}: ${this.name(side)}`;
    }
  }

  warnings() {
    const lines = [];
    for (const side of ["a", "b"]) if (this.of(side)) for (const caution of this.results[this.of(side).result].cautions) lines.push(`${side.toUpperCase()}: ${caution}`);
    if (this.other && this.other !== this.one) {
      const [a, b] = [this.one.shared, this.other.shared];
      const differing = Object.keys(a).filter((name) => name in b && a[name] !== b[name]);
      if (differing.length) lines.push(`A and B differ in ${differing.join(", ")}`);
    }
    this.$("cautions").replaceChildren(...lines.map((line) => Object.assign(document.createElement("li"), { textContent: line })));
  }

  async drawAll() {
    const scale = this.scale();
    const both = Boolean(this.other);
    const show = (name, visible) => (this.$(name).hidden = !visible);
    const planes = { a: !this.one.line, b: both && !this.other.line };
    for (const side of ["a", "b"]) {
      show("panel-" + side, planes[side]);
      show("panel-relief-" + side, planes[side] && this.$("reliefs").checked);
    }
    this.$("reading-b").hidden = this.$("note-b").hidden = !both;
    const comparable = both && planes.a && planes.b && this.sameGrid();
    show("panel-difference", planes.a && planes.b);
    show("difference", comparable);
    show("no-difference", planes.a && planes.b && !comparable);
    show("panel-cut-y", planes.a);
    this.$("cap-told").textContent = format(Number(scale.top.toPrecision(3)));
    this.box.classList.toggle("two", planes.a && planes.b);
    this.warnings();
    this.readings();
    for (const side of ["a", "b"]) if (planes[side]) await this.contour(side, scale);
    if (comparable) await this.difference();
    await this.cut("x", scale);
    if (planes.a) await this.cut("y", scale);
    if (!this.$("reliefs").checked) return;
    if (this.webgl) {
      for (const side of ["a", "b"]) if (planes[side]) await this.relief(side, scale);
    } else this.standIn(planes);
  }

  // Without WebGL the pictures that were drawn with the page take the place of the reliefs.
  standIn(planes) {
    for (const side of ["a", "b"]) {
      const box = this.$("relief-" + side);
      const found = planes[side] && document.querySelector(`.static[data-surface="${this[side].place}"] img`);
      const said = Object.assign(document.createElement("p"), { className: "note", textContent: "No WebGL here: a picture drawn with the report stands in for the relief." });
      box.replaceChildren(...(found ? [Object.assign(new Image(), { src: found.src, alt: found.alt }), said] : [said]));
    }
  }

  rows(side) {
    const surface = this.of(side);
    const names = Object.keys(surface.grids);
    const x = numbers(surface.x), y = numbers(surface.y), eps = numbers(surface.eps);
    const rows = [["eps", "y", "x", ...names, "status_in_words"]];
    eps.forEach((radius, rung) => {
      const grids = names.map((name) => grid(surface.grids[name], rung));
      const status = grid(surface.grids.status, rung);
      y.forEach((b, j) => x.forEach((a, i) => rows.push([radius, b, a, ...grids.map((rows) => rows[j][i]), CODES[status[j][i]] ?? ""])));
    });
    return rows;
  }

  differenceRows() {
    const [a, b] = ["a", "b"].map((side) => this.values(this.of(side), this.rung(side)));
    const rows = [["y", "x", `A ${this.name("a")}`, `B ${this.name("b")}`, `B - A, ${METRICS[this.metric]}`]];
    numbers(this.one.y).forEach((y, j) => numbers(this.one.x).forEach((x, i) => rows.push([y, x, a[j][i], b[j][i], b[j][i] - a[j][i]])));
    return rows;
  }

  cutRows(way) {
    const surface = this.one;
    const lines = surface.radii.map((_, rung) => this.line(surface, rung, way));
    const rows = [[way, ...surface.radii.map((radius) => `${METRICS[this.metric]} at eps ${radius}`)]];
    numbers(surface[way]).forEach((value, k) => rows.push([value, ...lines.map((line) => line[k])]));
    return rows;
  }
}
