"use strict";
// One state: which unit, which block and head. Whatever is chosen, everything is drawn from the data again.
const data = JSON.parse(document.getElementById("data").textContent);
const T = data.ids.length, MANY = 48;
const state = { place: T - 1, block: data.blocks.findIndex(b => b.weights), head: 0 };
const $ = id => document.getElementById(id);
const number = (x, digits) => x.toFixed(digits).replace("-", "−");
const quoted = id => `‘\u2068${data.labels[id]}\u2069’`; // isolated: a unit of a script from right to left moves nothing else
const unitAt = place => `${quoted(data.ids[place])} (place ${place + 1})`;

// The lower triangles of attention weights come as bytes, row after row: up to 171 thousandths, above that hundredths.
const triangles = data.blocks.map(b => b.weights && b.weights.map(text => Uint8Array.from(atob(text), c => c.charCodeAt(0))));
const packed = (block, head, query, key) => triangles[block][head][query * (query + 1) / 2 + key];
const weight = (...where) => { const byte = packed(...where); return byte <= 171 ? byte / 1000 : (byte - 155) / 100; };
const written = (...where) => number(weight(...where), packed(...where) <= 171 ? 3 : 2);

function make(tag, text, properties = {}, element = document.createElement(tag)) {
  if (text !== undefined) element.textContent = text;
  for (const [key, value] of Object.entries(properties)) {
    if (key.startsWith("--")) element.style.setProperty(key, value);
    else element.setAttribute(key, value);
  }
  return element;
}

function unit(tag, id, properties = {}) {
  return make(tag, data.labels[id], { lang: data.lang, dir: "auto", ...properties });
}

function tableRow(head, cells, properties = {}) {
  const tr = make("tr", undefined, properties);
  const th = make("th", undefined, { scope: "row" });
  th.append(head);
  tr.append(th, ...cells);
  return tr;
}

function meter(share) {
  const td = make("td", undefined, { class: "meter", "aria-hidden": "true" });
  td.append(make("span", undefined, { class: "fill", "--w": share }));
  return td;
}

function drawEmbedding() {
  if (!data.embedding) return;
  const { columns, norms } = data.embedding;
  const top = Math.max(...columns.flatMap(column => column[state.place].map(Math.abs)), 1e-9);
  const cell = x => make("td", number(x, 3), { "--a": Math.abs(x) / top });
  $("sum").tBodies[0].replaceChildren(...columns[0][0].map((_, channel) =>
    tableRow(String(channel + 1), columns.map(column => cell(column[state.place][channel])))));
  $("sum").tFoot.replaceChildren(tableRow("norm", norms.map(column => make("td", number(column[state.place], 3)))));
}

function drawStream() {
  if (!data.stream.length) return;
  const longest = Math.max(...data.stream.map(line => line.norms[state.place]), 1e-9);
  $("stream").tBodies[0].replaceChildren(...data.stream.map(line => {
    const size = line.norms[state.place];
    return tableRow(line.name, [make("td", number(size, 2)), meter(size / longest)], line.added ? { class: "plus" } : {});
  }));
}

function drawNext() {
  const next = data.next[state.place], places = next.ids.map((_, i) => i);
  $("next").tBodies[0].replaceChildren(...places.map(i => {
    const head = unit("bdi", next.ids[i]);
    const cells = [make("td", next.ids[i]), make("td", number(next.logits[i], 2)), make("td", number(next.p[i], 4)), meter(next.p[i]),
      make("td", number(next.chances[i], 4))];
    return tableRow(head, cells);
  }));
  $("ten").textContent = number(next.ten, 4);
  $("rest").textContent = number(next.rest, 4);
  $("all").textContent = number(next.all, 6);
  const follower = data.followers[state.place];
  $("came").textContent = follower
    ? `In the text, ${quoted(follower[0])} came next: number ${follower[1]} in likelihood, with probability ${number(follower[2], 4)}.`
    : "This is the last unit: what comes next is drawn from these chances.";
}

function drawLooks() {
  if (state.block < 0) return;
  const { place, block, head } = state;
  const own = Array.from({ length: place + 1 }, (_, key) => weight(block, head, place, key));
  const top = Math.max(...own, .01);
  $("looks").replaceChildren(...own.map((w, key) => {
    const li = make("li", undefined, { "--h": w / top, "data-place": key });
    if (key === place) li.className = "here";
    li.append(unit("b", data.ids[key]), make("i", written(block, head, place, key)));
    return li;
  }));
  $("whose").textContent = `Block ${block + 1}, head ${head + 1}: where unit ${place + 1}, ${quoted(data.ids[place])}, looks`;
  const best = own.map((_, key) => key).sort((a, b) => own[b] - own[a] || a - b).slice(0, 3);
  $("most").textContent = "Most at " + best.map(key => `${unitAt(key)} ${written(block, head, place, key)}`).join(", ") + ".";
  $("looks").scrollTop = $("looks").scrollHeight; // the unit itself is the last one
  drawMap();
}

function drawWeightTables() {
  if (state.block < 0 || !$("tables").open) return;
  document.querySelectorAll("table[data-block]").forEach(table => {
    const block = Number(table.dataset.block);
    table.tBodies[0].replaceChildren(...Array.from({ length: state.place + 1 }, (_, key) => {
      const head = make("span", `${key + 1} `);
      head.append(unit("bdi", data.ids[key]));
      return tableRow(head, triangles[block].map((_, h) => make("td", written(block, h, state.place, key))));
    }));
  });
}

function shade(canvas, block, head) {
  canvas.width = canvas.height = T;
  const [r, g, b] = getComputedStyle(document.documentElement).getPropertyValue("--rgb").trim().split(" ").map(Number);
  const context = canvas.getContext("2d"), image = context.createImageData(T, T);
  for (let query = 0; query < T; query++) for (let key = 0; key <= query; key++) {
    image.data.set([r, g, b, Math.round(255 * Math.sqrt(weight(block, head, query, key)))], 4 * (query * T + key));
  }
  context.putImageData(image, 0, 0);
}

const svg = (tag, properties, text) => make(tag, text, properties, document.createElementNS("http://www.w3.org/2000/svg", tag));

const LABELS = T <= 32, EDGE = LABELS ? 1.8 : 0;
function drawMap() {
  const picture = $("picture"), canvas = $("heat"), side = T + EDGE;
  shade(canvas, state.block, state.head);
  Object.assign(canvas.style, { left: `${100 * EDGE / side}%`, top: `${100 * EDGE / side}%`, width: `${100 * T / side}%`, height: `${100 * T / side}%` });
  picture.setAttribute("viewBox", `${-EDGE} ${-EDGE} ${side} ${side}`);
  picture.setAttribute("aria-label", `Attention of block ${state.block + 1}, head ${state.head + 1}: rows look, columns are looked at. The same numbers stand in the tables below.`);
  picture.replaceChildren(svg("rect", { class: "frame", width: T, height: T }));
  const shortened = text => [...text].length > 4 ? "…" : text;
  if (LABELS) for (let i = 0; i < T; i++) {
    const size = { "font-size": .68, lang: data.lang };
    picture.append(svg("text", { ...size, x: -.3, y: i + .72, "text-anchor": "end" }, shortened(data.labels[data.ids[i]])));
    picture.append(svg("text", { ...size, x: i + .5, y: -.4, "text-anchor": "middle" }, shortened(data.labels[data.ids[i]])));
  }
  picture.append(svg("rect", { class: "row", x: 0, y: state.place, width: state.place + 1, height: 1 }));
}

function cellAt(event) {
  const box = $("heat").getBoundingClientRect();
  const key = Math.floor(T * (event.clientX - box.left) / box.width), query = Math.floor(T * (event.clientY - box.top) / box.height);
  return query >= 0 && query < T && key >= 0 && key <= query ? { query, key } : null;
}

function draw() {
  $("place").value = state.place + 1;
  $("which").textContent = `${state.place + 1} of ${T}: ${quoted(data.ids[state.place])}`;
  $("place").setAttribute("aria-valuetext", `unit ${state.place + 1} of ${T}: ${data.labels[data.ids[state.place]]}`);
  document.querySelectorAll(".shown").forEach(element => { element.textContent = `unit ${state.place + 1}, ${quoted(data.ids[state.place])}`; });
  drawEmbedding();
  drawStream();
  drawNext();
  drawLooks();
  drawWeightTables();
}

function choose(place) {
  state.place = Math.min(T - 1, Math.max(0, place));
  const radio = document.querySelector(`input[name=unit][value="${state.place}"]`);
  radio.checked = true;
  const chip = radio.parentElement, chips = $("chips");
  chips.scrollTop = chip.offsetTop - chips.offsetTop - chips.clientHeight / 2;
  draw();
}

function peek(place) { // show a unit while the pointer is over it, without choosing it
  const chosen = state.place;
  state.place = place;
  draw();
  state.place = chosen;
}

function thumbnails() {
  document.querySelectorAll(".thumb").forEach(label => {
    const [block, head] = label.querySelector("input").value.split(".").map(Number);
    shade(label.querySelector("canvas"), block, head);
  });
}

$("place").addEventListener("input", event => choose(event.target.valueAsNumber - 1));
document.querySelectorAll("input[name=unit]").forEach(radio => {
  radio.addEventListener("change", () => choose(Number(radio.value)));
  radio.addEventListener("pointerenter", event => event.pointerType === "mouse" && peek(Number(radio.value)));
  radio.addEventListener("pointerleave", event => event.pointerType === "mouse" && draw());
});
document.querySelectorAll("input[name=head]").forEach(radio => radio.addEventListener("change", () => {
  [state.block, state.head] = radio.value.split(".").map(Number);
  drawLooks();
}));
if (state.block >= 0) {
  $("looks").addEventListener("click", event => {
    const li = event.target.closest("li");
    if (li) choose(Number(li.dataset.place));
  });
  $("picture").addEventListener("pointermove", event => {
    const cell = cellAt(event);
    $("cell").textContent = cell
      ? `${unitAt(cell.query)} looks at ${unitAt(cell.key)}: ${written(state.block, state.head, cell.query, cell.key)}`
      : "";
  });
  $("picture").addEventListener("click", event => { const cell = cellAt(event); if (cell) choose(cell.query); });
  $("tables").addEventListener("toggle", drawWeightTables);
  thumbnails();
}
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => { if (state.block >= 0) { thumbnails(); drawMap(); } });
document.querySelectorAll("[data-script]").forEach(element => { element.hidden = false; });
draw();
