// The page's beginning: the library unpacked, the arrays read, each view drawn when it is first seen.

let CODES = {};

function hasWebgl() {
  if (location.hash === "#no-webgl") return false; // to look at what others see
  try {
    return Boolean(document.createElement("canvas").getContext("webgl"));
  } catch {
    return false;
  }
}

async function loadPlotly() {
  const held = document.getElementById("plotly");
  const script = document.createElement("script");
  script.textContent = new TextDecoder().decode(await unpack(held.textContent, "gzip"));
  held.remove();
  document.head.append(script); // the policy of the page knows its hash
}

// Draw a view when it comes near the window, and again when told to.
function whenSeen(box, view) {
  let drawn = false;
  const draw = async () => {
    drawn = true;
    try {
      await view.draw();
    } catch (error) {
      const said = document.createElement("p");
      said.className = "bad";
      said.textContent = `This view could not be drawn (${error.message}); are the numbers those that landscape wrote?`;
      box.querySelectorAll(":scope > p.bad").forEach((old) => old.remove());
      box.append(said);
    }
    box.dataset.drawn = "yes";
  };
  redraws.push(() => (drawn || printing ? draw() : undefined));
  const seen = new IntersectionObserver(
    (entries) => {
      if (!entries.some((entry) => entry.isIntersecting)) return;
      seen.disconnect();
      draw();
    },
    { rootMargin: "400px" },
  );
  seen.observe(box);
}

async function start() {
  document.addEventListener("click", ({ target }) => {
    if (target.matches("button.copy")) copy(target);
    if (target.matches("a.to-red")) document.getElementById("flagged-only").click();
    if (target.matches("button.csv")) {
      const table = document.getElementById(target.dataset.table);
      save(table.id + ".csv", "text/csv", csv(tableRows(table)));
      say(table.id + ".csv saved");
    }
  });
  watchTheme();
  const only = document.getElementById("flagged-only");
  only?.addEventListener("change", () => document.getElementById("quality").classList.toggle("only-flagged", only.checked));
  if (!("DecompressionStream" in window)) return say("This browser is too old to draw: the tables and the pictures are all there is.");
  const data = JSON.parse(document.getElementById("data").textContent);
  CODES = data.codes;
  await readArrays(document.getElementById("arrays").textContent, data.arrays);
  await loadPlotly();
  document.documentElement.classList.add("live");
  const webgl = hasWebgl();
  document.documentElement.classList.toggle("no-webgl", !webgl);
  window.views = {};
  if (data.surfaces.length) {
    const box = document.getElementById("surface-view");
    whenSeen(box, (window.views.surfaces = new SurfacesView(box, data.surfaces, data.results, webgl)));
  }
  data.charts.forEach((chart, k) => {
    const box = document.getElementById("chart-" + k);
    whenSeen(box, (window.views["chart-" + k] = new ChartView(box, chart, data.results)));
  });
  document.documentElement.dataset.ready = "yes";
}

start();
