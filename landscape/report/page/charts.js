// Any chart of landscape/report/chart.py: panels over one axis, a list of switches, smoothing, export.

const SYMBOLS = ["circle", "triangle-down", "circle-open", "triangle-down-open"];

function smoothed(values, window) {
  if (window <= 1) return values;
  const sums = new Float64Array(values.length + 1);
  const counts = new Int32Array(values.length + 1);
  values.forEach((value, i) => {
    const known = Number.isFinite(value);
    sums[i + 1] = sums[i] + (known ? value : 0);
    counts[i + 1] = counts[i] + known;
  });
  return Float64Array.from(values, (_, i) => {
    const low = Math.max(i - Math.floor((window - 1) / 2), 0);
    const high = Math.min(i + Math.floor(window / 2) + 1, values.length);
    return (sums[high] - sums[low]) / (counts[high] - counts[low]);
  });
}

const rgba = (hex, alpha) => `rgba(${[1, 3, 5].map((at) => parseInt(hex.slice(at, at + 2), 16)).join(",")},${alpha})`;

// Of what is out of all bounds a plot has no place; what is read and exported has it still.
const placed = (values) => values.map((value) => (Math.abs(value) < 1e300 ? value : NaN));

class ChartView {
  constructor(box, chart, results) {
    Object.assign(this, { box, chart, results });
    this.plot = box.querySelector(".plot");
    this.smooth = chart.smooth;
    this.logs = chart.panels.map((panel) => panel.log);
    this.places = [...new Set(chart.series.map((one) => one.result))];
    this.picked = this.places[0];
    this.on = this.first();
    this.controls();
    tools(this.plot, chart.title, () => this.name(), () => this.rows());
  }

  name() {
    return this.chart.title + (this.chart.pick ? " " + this.results[this.picked].name : "");
  }

  own() {
    return this.chart.pick ? this.chart.series.filter((one) => one.result === this.picked) : this.chart.series;
  }

  groups() {
    return [...new Set(this.own().map((one) => one.group))];
  }

  // What is shown at first: of many groups every so manieth, and none that is marked as a second reading.
  first() {
    const groups = this.groups().filter((group) => !this.own().find((one) => one.group === group).second);
    const step = this.chart.pick ? 1 : Math.ceil(groups.length / 10);
    return new Set(groups.filter((_, k) => k % step === 0));
  }

  visible() {
    return this.own().filter((one) => this.on.has(one.group));
  }

  controls() {
    const bar = this.box.querySelector(".controls");
    if (this.chart.pick && this.places.length > 1) {
      const select = document.createElement("select");
      for (const place of this.places) select.append(new Option(this.results[place].name, place));
      select.addEventListener("change", () => {
        this.picked = Number(select.value);
        this.on = this.first();
        this.legend();
        this.draw();
      });
      bar.append(labelled("result", select));
    }
    this.chart.panels.forEach((panel, k) => {
      if (panel.linear) return;
      const flip = checkbox(`log ${panel.label.split(" (")[0]}`, this.logs[k], (on) => ((this.logs[k] = on), this.draw()));
      bar.append(flip);
    });
    if (this.smooth) {
      const slider = document.createElement("input");
      Object.assign(slider, { type: "range", min: 1, max: Math.max(50, this.smooth), value: this.smooth });
      const shown = document.createElement("output");
      const tell = () => (shown.textContent = this.smooth > 1 ? `mean of ${this.smooth} rows` : "each row");
      slider.addEventListener("input", () => ((this.smooth = Number(slider.value)), tell(), this.draw()));
      tell();
      bar.append(labelled("smoothing", slider, shown));
    }
    this.legendBox = document.createElement("div");
    this.legendBox.className = "legend";
    this.legendBox.setAttribute("role", "group");
    this.legendBox.setAttribute("aria-label", "what is shown");
    bar.after(this.legendBox);
    this.legend();
  }

  legend() {
    this.legendBox.replaceChildren();
    const groups = this.groups();
    for (const group of groups) {
      const first = this.own().find((one) => one.group === group);
      const entry = checkbox(group, this.on.has(group), (on) => (on ? this.on.add(group) : this.on.delete(group), this.draw()));
      entry.querySelector("input").after(swatch(first));
      this.legendBox.append(entry);
    }
    if (groups.length > 3) {
      const every = (label, act) => {
        const button = document.createElement("button");
        Object.assign(button, { type: "button", textContent: label });
        button.addEventListener("click", () => (act(), this.legend(), this.draw()));
        this.legendBox.append(button);
      };
      every("all", () => (this.on = new Set(this.groups())));
      every("none", () => this.on.clear());
    }
  }

  tell(one, i, y, smooth) {
    const many = this.places.length > 1;
    const values = (place) => format(numbers(place)[i]);
    const se = one.se === undefined ? "" : ` ± ${values(one.se)}`;
    const interval = one.low === undefined ? "" : `, 95 % ${values(one.low)} to ${values(one.high)}`;
    return [
      [many ? this.results[one.result].name : "", one.group, one.name].filter(Boolean).join(" · "),
      `${this.chart.x.label}: ${values(one.x)}`,
      `${this.chart.panels[one.panel].label}: ${values(one.y)}${se}${interval}`,
      smooth > 1 ? `mean of ${smooth} rows: ${format(y[i])}` : "",
      ...Object.entries(one.also).map(([name, place]) => `${name}: ${values(place)}`),
    ].filter(Boolean);
  }

  // What the window leaves of a series, and what it says of a point.
  smoothOf(one) {
    const raw = numbers(one.y);
    const smooth = one.marks === "lines" && raw.length > 40 ? this.smooth : 0;
    const y = placed(smoothed(raw, smooth));
    const least = this.chart.panels[one.panel].low ?? 0;
    const extent = this.extents[one.panel];
    for (const value of y) if (value > least && value < Infinity) (extent[0] = Math.min(extent[0], value)), (extent[1] = Math.max(extent[1], value));
    for (const value of placed(numbers(one.x))) if (value > 0) (this.across[0] = Math.min(this.across[0], value)), (this.across[1] = Math.max(this.across[1], value));
    return { y, tell: (i) => this.tell(one, i, y, smooth) };
  }

  traces() {
    this.tells = [];
    this.extents = this.chart.panels.map(() => [Infinity, -Infinity]); // of what is above 0
    this.across = [Infinity, -Infinity];
    this.active = this.chart.panels.map((_, k) => k).filter((k) => this.visible().some((one) => one.panel === k));
    // Lines of one look are one trace with gaps in it: hundreds of traces would take the library minutes.
    const bare = new Map();
    const traces = [];
    for (const one of this.visible()) {
      if (one.se !== undefined || one.low !== undefined || one.symbols) traces.push(...this.withErrors(one));
      else {
        const look = JSON.stringify([one.panel, one.group, one.name, one.dash, one.marks, one.width, one.tone]);
        bare.set(look, [...(bare.get(look) ?? []), one]);
      }
    }
    return [...traces, ...[...bare.values()].map((series) => this.joined(series))];
  }

  joined(series) {
    const x = [], y = [], from = [];
    for (const one of series) {
      const shown = this.smoothOf(one);
      from.push([x.length, shown.tell]);
      x.push(...placed(numbers(one.x)), null);
      y.push(...shown.y, null);
    }
    this.tells.push((place) => {
      const [start, tell] = from.findLast(([first]) => first <= place);
      return tell(place - start);
    });
    return { ...this.look(series[0]), x, y, connectgaps: false };
  }

  look(one) {
    const colour = tone(one.tone);
    return {
      yaxis: "y" + (this.active.indexOf(one.panel) + 1),
      type: "scatter",
      mode: { lines: "lines", markers: "markers", both: "lines+markers" }[one.marks],
      line: { color: colour, dash: one.dash, width: one.width },
      marker: { color: colour, size: 6, symbol: one.symbols ? one.symbols.map((k) => SYMBOLS[k]) : "circle", line: { width: 1 } },
      hoverinfo: "none",
    };
  }

  withErrors(one) {
    const { y, tell } = this.smoothOf(one);
    const colour = tone(one.tone), raw = numbers(one.y);
    const trace = { ...this.look(one), x: placed(numbers(one.x)), y };
    const se = one.se === undefined ? undefined : numbers(one.se);
    if (one.low !== undefined) {
      const array = Float64Array.from(raw, (value, i) => numbers(one.high)[i] - value);
      const arrayminus = Float64Array.from(raw, (value, i) => value - numbers(one.low)[i]);
      trace.error_y = { type: "data", symmetric: false, array, arrayminus, color: colour, thickness: 1, width: 2 };
    } else if (se && one.marks !== "lines") {
      trace.error_y = { type: "data", array: se, color: colour, thickness: 1, width: 2 };
    } else if (se) {
      const edge = { x: trace.x, yaxis: trace.yaxis, type: "scatter", mode: "lines", line: { width: 0 }, hoverinfo: "skip" };
      const log = this.logs[one.panel]; // where a band has no place below 0
      const low = Float64Array.from(raw, (value, i) => (log ? Math.max(value - se[i], 1e-3 * value) : value - se[i]));
      const high = Float64Array.from(raw, (value, i) => value + se[i]);
      this.tells.push(null, null, tell);
      return [{ ...edge, y: low }, { ...edge, y: high, fill: "tonexty", fillcolor: rgba(colour, 0.2) }, trace];
    }
    this.tells.push(tell);
    return [trace];
  }

  layout() {
    const { panels, x } = this.chart;
    const shown = this.active.length ? this.active : [0]; // a panel with nothing on it takes no room
    const total = shown.reduce((sum, k) => sum + panels[k].height, 0);
    const layout = baseLayout(widthOf(this.plot), 60 + 210 * total + 14 * shown.length);
    const room = 0.05 / Math.max(1, total / 2);
    let top = 1;
    shown.forEach((k, place) => {
      const panel = panels[k];
      const share = (panel.height / total) * (1 - room * (shown.length - 1));
      const more = { domain: [Math.max(0, top - share), top] };
      if (panel.percent) more.tickformat = ".3~%";
      if (this.logs[k]) Object.assign(more, logAxis(this.extents[k], panel.height < 0.9 ? 4 : 8, panel.percent));
      else if (panel.ticks) Object.assign(more, { tickvals: panel.ticks.map(([at]) => at), ticktext: panel.ticks.map(([, word]) => plain(word)) });
      else if (panel.height < 0.5) Object.assign(more, { nticks: 3, rangemode: "tozero" });
      layout["yaxis" + (place + 1)] = axis(panel.label, more);
      top -= share + room;
    });
    layout.xaxis = axis(x.label, { ...(x.log ? logAxis(this.across, 10) : {}), anchor: "y" + shown.length });
    layout.hovermode = "closest";
    return layout;
  }

  async draw() {
    await Plotly.react(this.plot, this.traces(), this.layout(), CONFIG);
    tip(this.plot, (point) => this.tells[point.curveNumber]?.(point.pointNumber));
  }

  rows() {
    const shown = this.visible();
    const also = [...new Set(shown.flatMap((one) => Object.keys(one.also)))];
    const head = ["result", "group", "what", this.chart.x.label, "panel", "value", "standard error", "low", "high", ...also];
    const at = (place, i) => (place === undefined ? "" : numbers(place)[i]);
    const rows = shown.flatMap((one) =>
      Array.from(numbers(one.x), (x, i) => [this.results[one.result].name, one.group, one.name, x, this.chart.panels[one.panel].label, numbers(one.y)[i], at(one.se, i), at(one.low, i), at(one.high, i), ...also.map((name) => at(one.also[name], i))]),
    );
    return [head, ...rows];
  }
}

function labelled(name, ...fields) {
  const label = document.createElement("label");
  label.append(name + " ", ...fields);
  return label;
}

function checkbox(name, checked, act) {
  const box = document.createElement("input");
  Object.assign(box, { type: "checkbox", checked });
  box.addEventListener("change", () => act(box.checked));
  const label = document.createElement("label");
  label.append(box, " " + name);
  return label;
}

function swatch(series) {
  const dashes = { solid: "", dash: "5 3", dot: "1.5 2.5", dashdot: "5 2 1.5 2" };
  const svg = document.createElementNS("http://www.w3.org/2000/svg", "svg");
  svg.setAttribute("viewBox", "0 0 26 8");
  svg.setAttribute("aria-hidden", "true");
  series.tone.forEach((colour, k) => {
    const line = document.createElementNS("http://www.w3.org/2000/svg", "line");
    for (const [key, value] of Object.entries({ x1: 1, x2: 25, y1: 4, y2: 4, stroke: colour, "stroke-width": 2.5, "stroke-dasharray": dashes[series.dash], class: k ? "on-dark" : "on-light" })) line.setAttribute(key, value);
    svg.append(line);
  });
  return svg;
}
