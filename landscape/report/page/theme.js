// Dark or light: as the system says, until the button says otherwise; paper is always light.

const dark = window.matchMedia("(prefers-color-scheme: dark)");
const redraws = [];
let printing = false;

const isDark = () => !printing && (document.documentElement.dataset.theme || (dark.matches ? "dark" : "light")) === "dark";
const tone = (pair) => pair[isDark() ? 1 : 0];

function colours() {
  const style = getComputedStyle(document.documentElement);
  const of = (name) => (printing ? { "--ink": "#222", "--grid": "#e4e4e4", "--card": "#fff", "--gap": "#d9d9d9" }[name] : style.getPropertyValue(name).trim());
  return { ink: of("--ink"), grid: of("--grid"), card: of("--card"), gap: of("--gap") };
}

const CONFIG = { displaylogo: false, displayModeBar: false, responsive: false, scrollZoom: false, doubleClick: "reset" };

// How wide a plot is; on paper (A4 or letter) the whole width, or half of it.
const widthOf = (box) => (printing ? (box.closest(".panels") ? 335 : 690) : box.clientWidth);

function baseLayout(width, height) {
  const { ink, card, grid } = colours();
  return {
    width,
    height,
    paper_bgcolor: card,
    plot_bgcolor: card,
    font: { family: "system-ui, sans-serif", size: 12, color: ink },
    margin: { l: 62, r: 14, t: 24, b: 44 },
    hoverlabel: { bgcolor: card, bordercolor: ink, font: { color: ink, size: 12 }, align: "left" },
    showlegend: false,
    dragmode: "zoom",
    _grid: grid,
  };
}

function axis(label, more) {
  const { ink, grid } = colours();
  return { title: { text: plain(label), font: { size: 12 }, standoff: 6 }, gridcolor: grid, zeroline: false, linecolor: ink, ticks: "outside", tickcolor: ink, automargin: true, ...more };
}

// A logarithmic axis over [low, high] with round numbers, written out.
function logAxis([low, high], most, percent) {
  if (!(low <= high)) return { type: "log" };
  let ticks = roundTicks(low / 1.3, high * 1.3, true);
  if (ticks.length > most) ticks = ticks.filter((tick) => /^1e/.test(tick.toExponential()));
  while (ticks.length > most) ticks = ticks.filter((_, k) => k % 2 === 0);
  const room = 0.06 * Math.max(Math.log10(high / low), 0.3);
  return { type: "log", tickvals: ticks, ticktext: ticks.map((tick) => (percent ? format(100 * tick) + "%" : format(tick))), range: [Math.log10(low) - room, Math.log10(high) + room] };
}

function redrawAll() {
  window.settled = (async () => {
    for (const redraw of redraws) await redraw();
  })();
}

function watchTheme() {
  const button = document.getElementById("theme");
  const name = () => (button.textContent = isDark() ? "light" : "dark");
  button.addEventListener("click", () => {
    document.documentElement.dataset.theme = isDark() ? "light" : "dark";
    name();
    redrawAll();
  });
  dark.addEventListener("change", () => (name(), redrawAll()));
  window.addEventListener("beforeprint", () => ((printing = true), redrawAll()));
  window.addEventListener("afterprint", () => ((printing = false), redrawAll()));
  let wait = 0;
  window.addEventListener("resize", () => (clearTimeout(wait), (wait = setTimeout(redrawAll, 200))));
  name();
}
