// Numbers and names in words, and what leaves the page: CSV with every digit, PNG, the clipboard.

function format(value) {
  if (Number.isNaN(value)) return "not computed";
  if (!Number.isFinite(value)) return value > 0 ? "∞" : "−∞";
  return String(Number(value.toPrecision(6))).replace("-", "−");
}

// Plotly reads a little HTML in what it writes: names out of files are to be shown as they are.
const plain = (text) => String(text).replace(/&/g, "&amp;").replace(/</g, "&lt;").replace(/%\{/g, "% {");

function cell(value) {
  if (typeof value === "number") return Number.isFinite(value) ? String(value) : Number.isNaN(value) ? "nan" : value > 0 ? "inf" : "-inf";
  const text = String(value);
  // A leading =, +, - or @ would be a formula to a spreadsheet.
  const safe = /^[=+\-@\t\r]/.test(text) ? "'" + text : text;
  return /[",\n\r]/.test(safe) ? '"' + safe.replace(/"/g, '""') + '"' : safe;
}

const csv = (rows) => rows.map((row) => row.map(cell).join(",")).join("\n") + "\n";

function save(name, type, content) {
  const link = document.createElement("a");
  link.href = URL.createObjectURL(new Blob([content], { type }));
  link.download = name.replace(/[^\w.+-]+/g, "-");
  document.body.append(link);
  link.click();
  link.remove();
  setTimeout(() => URL.revokeObjectURL(link.href), 10000);
}

function say(text) {
  document.getElementById("said").textContent = text;
}

async function copy(button) {
  const text = button.dataset.copy;
  try {
    await navigator.clipboard.writeText(text);
  } catch {
    const field = document.createElement("textarea");
    field.value = text;
    document.body.append(field);
    field.select();
    document.execCommand("copy");
    field.remove();
    button.focus();
  }
  button.textContent = "copied";
  say("command copied");
  setTimeout(() => (button.textContent = "copy"), 2000);
}

async function savePicture(plot, name) {
  const { width, height } = plot.getBoundingClientRect();
  const url = await Plotly.toImage(plot, { format: "png", width: Math.round(width), height: Math.round(height), scale: 3 });
  const bytes = Uint8Array.from(atob(url.split(",")[1]), (letter) => letter.charCodeAt(0));
  save(name + ".png", "image/png", bytes);
  say(name + ".png saved");
}

// Buttons under a plot: a picture, and the numbers that it shows.
function tools(plot, what, name, rows) {
  const bar = document.createElement("p");
  bar.className = "tools";
  const button = (label, act) => {
    const one = document.createElement("button");
    one.type = "button";
    one.textContent = label;
    one.setAttribute("aria-label", label + " of " + what);
    one.addEventListener("click", act);
    bar.append(one);
  };
  button("PNG", () => savePicture(plot, name()));
  button("CSV", () => (save(name() + ".csv", "text/csv", csv(rows())), say(name() + ".csv saved")));
  plot.after(bar);
}

// What a point of a plot is, beside the pointer: `lines(point)` gives the lines of text.
function tip(plot, lines) {
  if (plot.dataset.tipped) return;
  plot.dataset.tipped = "yes";
  const box = document.getElementById("tip");
  plot.on("plotly_hover", ({ points, event }) => {
    const told = lines(points[0]);
    if (!told) return;
    box.textContent = told.join("\n");
    box.hidden = false;
    const { width, height } = box.getBoundingClientRect();
    box.style.left = Math.max(4, Math.min(event.clientX + 14, innerWidth - width - 8)) + "px";
    box.style.top = Math.max(4, event.clientY + height + 22 > innerHeight ? event.clientY - height - 12 : event.clientY + 14) + "px";
  });
  plot.on("plotly_unhover", () => (box.hidden = true));
}

function tableRows(table) {
  return [...table.rows].map((row) => [...row.cells].map((one) => (one.dataset.value ? Number(one.dataset.value) : one.textContent)));
}
