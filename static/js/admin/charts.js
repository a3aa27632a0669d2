// Values under the pointer or at the arrow keys, and a part of the time chosen by dragging. A chart's numbers are read from
// the table behind it, so that this works for every chart and without a second copy of them.

const NEAR = 6; // pixels: a shorter drag is a click

/** The times and values of a chart's table. */
function readTable(figure) {
  const names = [...figure.querySelectorAll(".chart-table thead th")].slice(1).map((cell) => cell.textContent);
  const rows = [...figure.querySelectorAll(".chart-table tbody tr")].map((row) => ({
    at: Date.parse(row.querySelector("time").dateTime) / 1000,
    words: row.querySelector("time").textContent,
    values: [...row.querySelectorAll("td")].map((cell) => cell.textContent),
  }));
  return { names, rows };
}

function svgPart(name, classes) {
  const part = document.createElementNS("http://www.w3.org/2000/svg", name);
  part.setAttribute("class", classes);
  part.setAttribute("y1", "0");
  part.setAttribute("y2", "180");
  part.setAttribute("height", name === "rect" ? "180" : "0");
  return part;
}

/** One chart: what is at ``at`` (an index into its rows), and the time that is being chosen. */
class ChartReader {
  constructor(figure) {
    this.figure = figure;
    this.body = figure.querySelector(".chart-body");
    this.plot = figure.querySelector(".chart-plot");
    this.from = Number(this.body.dataset.from);
    this.to = Number(this.body.dataset.to);
    Object.assign(this, readTable(figure));
    this.at = this.rows.length - 1;
    this.anchor = null;
    this.cursor = svgPart("line", "chart-cursor");
    this.chosen = svgPart("rect", "chart-chosen");
    this.tip = document.createElement("div");
    this.tip.className = "chart-tip";
    this.tip.hidden = true;
    this.body.append(this.tip);
    this.listen();
  }

  /** The plot becomes a slider: a screen reader says the values at each step. */
  listen() {
    const plot = this.plot;
    plot.classList.add("chart-hover");
    plot.setAttribute("role", "slider");
    plot.setAttribute("tabindex", "0");
    plot.setAttribute("aria-valuemin", "0");
    plot.setAttribute("aria-valuemax", String(this.rows.length - 1));
    this.describe();
    plot.addEventListener("pointermove", (event) => this.move(event));
    plot.addEventListener("pointerleave", () => this.anchor === null && this.hide());
    plot.addEventListener("pointerdown", (event) => this.begin(event));
    plot.addEventListener("pointerup", (event) => this.end(event));
    plot.addEventListener("pointercancel", () => this.cancel());
    plot.addEventListener("keydown", (event) => this.key(event));
    plot.addEventListener("focus", () => plot.matches(":focus-visible") && this.show());
    plot.addEventListener("blur", () => this.cancel());
  }

  /** The time under a pointer, in seconds since 1970. */
  timeAt(event) {
    const box = this.plot.getBoundingClientRect();
    const part = Math.min(1, Math.max(0, (event.clientX - box.left) / box.width));
    return this.from + part * (this.to - this.from);
  }

  percent(seconds) {
    return Math.min(100, Math.max(0, (100 * (seconds - this.from)) / (this.to - this.from)));
  }

  move(event) {
    const time = this.timeAt(event);
    let best = 0;
    this.rows.forEach((row, index) => {
      if (Math.abs(row.at - time) < Math.abs(this.rows[best].at - time)) best = index;
    });
    this.at = best;
    this.show();
    if (this.anchor !== null) this.choose(this.anchor, time);
  }

  begin(event) {
    if (event.button !== 0 || !("zoom" in this.figure.dataset)) return;
    this.anchor = this.timeAt(event);
    this.pressed = event.clientX;
    this.plot.setPointerCapture(event.pointerId);
  }

  end(event) {
    const anchor = this.anchor;
    this.cancel();
    if (anchor !== null && Math.abs(event.clientX - this.pressed) > NEAR) zoom(anchor, this.timeAt(event));
  }

  cancel() {
    this.anchor = null;
    this.chosen.remove();
    this.hide();
  }

  key(event) {
    const steps = { ArrowLeft: -1, ArrowRight: 1, PageUp: -10, PageDown: 10, Home: -Infinity, End: Infinity };
    const canZoom = "zoom" in this.figure.dataset;
    if (event.key in steps) {
      if (event.shiftKey && canZoom) this.anchor ??= this.rows[this.at].at;
      if (!event.shiftKey) this.cancel();
      this.at = Math.min(this.rows.length - 1, Math.max(0, this.at + steps[event.key]));
      this.show();
      if (this.anchor !== null) this.choose(this.anchor, this.rows[this.at].at);
    } else if (event.key === "Enter" && this.anchor !== null && this.anchor !== this.rows[this.at].at) {
      zoom(this.anchor, this.rows[this.at].at);
    } else if (event.key === "Escape") {
      this.cancel();
    } else {
      return;
    }
    event.preventDefault();
  }

  /** Shade the time from one moment to another. */
  choose(one, other) {
    const [left, right] = [this.percent(Math.min(one, other)), this.percent(Math.max(one, other))];
    this.chosen.setAttribute("x", `${left}%`);
    this.chosen.setAttribute("width", `${right - left}%`);
    this.plot.append(this.chosen);
  }

  describe() {
    const row = this.rows[this.at];
    const values = row.values.map((value, index) => (this.names.length > 1 ? `${this.names[index]} ${value}` : value));
    this.plot.setAttribute("aria-valuenow", String(this.at));
    this.plot.setAttribute("aria-valuetext", `${row.words}: ${values.join(", ")}`);
  }

  show() {
    const row = this.rows[this.at];
    const x = this.percent(row.at);
    this.cursor.setAttribute("x1", `${x}%`);
    this.cursor.setAttribute("x2", `${x}%`);
    this.plot.append(this.cursor);
    const when = document.createElement("b");
    when.textContent = row.words;
    const lines = row.values.map((value, index) => {
      const line = document.createElement("div");
      for (const words of [this.names[index], value]) line.append(Object.assign(document.createElement("span"), { textContent: words }));
      return line;
    });
    this.tip.replaceChildren(when, ...lines);
    this.tip.hidden = false;
    const [plot, body] = [this.plot.getBoundingClientRect(), this.body.getBoundingClientRect()];
    const at = plot.left - body.left + (plot.width * x) / 100;
    const left = x > 50 ? at - this.tip.offsetWidth - 12 : at + 12;
    this.tip.style.left = `${Math.max(0, left)}px`;
    this.describe();
  }

  hide() {
    this.tip.hidden = true;
    this.cursor.remove();
  }
}

/** Show the same page for the time between two moments, in seconds since 1970. */
function zoom(one, other) {
  const [from, to] = [Math.floor(Math.min(one, other)), Math.ceil(Math.max(one, other))];
  const address = new URL(location.href);
  const words = (seconds) => new Date(seconds * 1000).toISOString().replace(".000Z", "Z");
  address.searchParams.delete("range");
  address.searchParams.set("from", words(from));
  address.searchParams.set("to", words(Math.max(to, from + 60)));
  location.assign(address);
}

/** Add hover and zoom to every chart in ``root``. */
export function readCharts(root) {
  for (const figure of root.querySelectorAll("[data-chart]")) {
    if (figure.querySelector(".chart-table tbody tr")) new ChartReader(figure);
  }
}

readCharts(document);
document.addEventListener("desk:refreshed", (event) => readCharts(event.target));
