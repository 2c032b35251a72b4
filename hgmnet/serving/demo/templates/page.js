/* The page's own script: sends images one by one to the program, and shows what it answers. */
"use strict";

const SVG = "http://www.w3.org/2000/svg";
const at = (id) => document.getElementById(id);
const state = { items: [], chosen: null, layer: "none", working: false, number: 0 };

/* Making elements; text is always text, never HTML. */

function element(tag, attributes = {}, ...children) {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, value);
  made.append(...children);
  return made;
}

function drawn(tag, attributes) {
  const made = document.createElementNS(SVG, tag);
  for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, value);
  return made;
}

/* The queue: one image at a time, in the order in which they came. */

function add(sources) {
  if (matchMedia("(max-width: 46rem)").matches) at("samples").open = false;
  const room = Number(document.body.dataset.maxImages) - state.items.length;
  for (const source of sources.slice(0, room)) {
    const item = { ...source, id: `image-${++state.number}`, status: "waiting", frame: 1 };
    state.items.push(item);
    at("list").append(row(item));
    refresh(item);
    if (!state.chosen) choose(item);
  }
  if (sources.length > room) say(`${sources.length - room} left out: at most ${document.body.dataset.maxImages} images`);
  tidy();
  work(sources.length > room);
}

async function work(quietly) {
  if (state.working) return;
  state.working = true;
  for (let item = next(); item; item = next()) {
    item.status = "busy";
    item.error = "";
    refresh(item);
    if (!quietly) say(`Predicting ${item.name}`);
    const frame = item.frame;
    try {
      item.answer = await item.ask(frame);
      item.status = "done";
      told(item.answer);
    } catch (error) {
      item.status = "failed";
      item.error = error.message;
    }
    if (item.frame !== frame) item.status = "waiting";
    if (state.items.includes(item)) refresh(item);
    if (!quietly) say(progress(item));
  }
  state.working = false;
}

const next = () => state.items.find((item) => item.status === "waiting");

function progress(item) {
  const left = state.items.filter((one) => one.status === "waiting").length;
  const ended = item.status === "done" ? item.answer.headline : "can't be read";
  return `${item.name}: ${ended}` + (left ? `; ${left} to go` : "");
}

const fromFile = (file) => ({ name: file.name || "pasted image", ask: (frame) => send(file, frame) });
const fromSample = (button) => ({
  name: button.dataset.name,
  thumb: button.querySelector("img").src,
  ask: () => post(`/samples/${button.dataset.sample}`),
});

async function send(file, frame) {
  const most = Number(document.body.dataset.maxBytes);
  if (file.size > most) throw new Error(`${file.name} has ${file.size} bytes; at most ${most} are read`);
  let body;
  try {
    body = await file.arrayBuffer();
  } catch {
    throw new Error(`${file.name} can't be read by the browser; choose a file, not a folder`);
  }
  if (!body.byteLength) throw new Error(`${file.name} is empty; expected an image`);
  return post(`/look?name=${encodeURIComponent(file.name || "pasted image")}&frame=${frame}`, body);
}

async function post(address, body) {
  let response;
  try {
    response = await fetch(address, { method: "POST", body });
  } catch {
    throw new Error("The program does not respond; is `hgmnet demo` still running?");
  }
  const answer = await response.json().catch(() => ({}));
  if (!response.ok) throw new Error(String(answer.detail || `The program failed: status ${response.status}`));
  return answer;
}

function told(answer) {
  if (at("model").textContent !== answer.model) at("model").textContent = answer.model;
}

/* The list of images: a listbox, where the choice follows the focus. */

function row(item) {
  const made = element("li", { role: "option", id: item.id, tabindex: -1, "aria-selected": false });
  made.append(element("div", { class: "thumb" }), element("b", {}, item.name), element("span"));
  made.addEventListener("click", () => choose(item, true));
  return made;
}

function refresh(item) {
  const made = at(item.id);
  const words = { waiting: "waiting", busy: "predicting …", failed: "can't be read" };
  made.className = item.status;
  made.setAttribute("aria-busy", item.status === "busy");
  made.title = item.name;
  const answer = item.error ? null : item.answer;
  made.querySelector("span").textContent = answer ? answer.decision + (answer.refer ? ", refer" : "") : words[item.status];
  const src = answer ? answer.picture : item.thumb;
  if (src && made.firstChild.tagName !== "IMG") made.firstChild.replaceWith(element("img", { class: "thumb", src, alt: "" }));
  if (item === state.chosen) show();
}

function choose(item, focus = false) {
  state.chosen = item;
  for (const made of at("list").children) {
    const chosen = item !== null && made.id === item.id;
    made.setAttribute("aria-selected", chosen);
    made.tabIndex = chosen ? 0 : -1;
    if (chosen) made.scrollIntoView({ block: "nearest", inline: "nearest" });
    if (chosen && focus) made.focus({ preventScroll: true });
  }
  show();
}

function remove(item) {
  const place = state.items.indexOf(item);
  state.items.splice(place, 1);
  at(item.id).remove();
  choose(state.items[Math.min(place, state.items.length - 1)] || null, true);
  if (!state.items.length) at("files").focus();
  say(`${item.name} removed`);
  tidy();
}

function tidy() {
  at("list").hidden = at("clear").hidden = !state.items.length;
}

function steer(event) {
  const place = state.items.indexOf(state.chosen);
  const last = state.items.length - 1;
  const steps = { ArrowDown: 1, ArrowRight: 1, ArrowUp: -1, ArrowLeft: -1, Home: -last, End: last };
  if (event.key in steps) choose(state.items[Math.max(0, Math.min(last, place + steps[event.key]))], true);
  else if (event.key === "Delete" && state.chosen) remove(state.chosen);
  else return;
  event.preventDefault();
}

/* The chosen image. */

function show() {
  const item = state.chosen;
  const answer = item && !item.error && item.answer;
  at("see-title").textContent = item ? item.name : "No image yet";
  at("empty").hidden = Boolean(item);
  at("remove").hidden = !item;
  at("wrong").hidden = !(item && item.error);
  at("wrong").textContent = (item && item.error) || "";
  at("picture").hidden = at("controls").hidden = !answer;
  at("cine").hidden = !(item && item.answer && item.answer.frames > 1);
  if (!at("cine").hidden) {
    at("frame").max = item.answer.frames;
    at("frame").value = item.frame;
    at("of").textContent = `${item.frame} of ${item.answer.frames}`;
  }
  document.querySelector(".say").hidden = !answer;
  if (!answer) return;
  at("truth-check").hidden = !answer.truth;
  offer(answer);
  paint(answer);
  tell(answer);
}

function paint(answer) {
  const { width, height } = answer;
  const svg = drawn("svg", { viewBox: `0 0 ${width} ${height}`, role: "img", "aria-label": answer.alt });
  svg.append(drawn("image", { width, height, href: answer.picture }));
  const layer = answer.layers.find((one) => one.key === state.layer);
  if (layer) {
    const over = drawn("image", { width, height, href: layer.src, preserveAspectRatio: "none", class: "layer", "data-key": layer.key });
    over.style.opacity = at("opacity").value / 100;
    svg.append(over);
  }
  if (answer.truth && at("truth").checked) svg.append(drawn("path", { class: "line truth", d: answer.truth }));
  if (answer.calipers && at("calipers").checked) svg.append(drawn("path", { class: "line calipers", d: answer.calipers }));
  if (answer.outline && at("outline").checked) svg.append(drawn("path", { class: "line found", d: answer.outline }));
  at("picture").replaceChildren(svg);
  at("percent").textContent = `${at("opacity").value} %`;
  at("note").textContent = layer ? `${layer.name}: ${layer.note}.` : "The image as it is.";
}

/* The maps on offer are the model's; they are made again only where another model has others. */
function offer(answer) {
  const keys = ["none", ...answer.layers.map((layer) => layer.key)];
  const there = [...at("layers").querySelectorAll("input")].map((input) => input.value);
  if (keys.join() === there.join()) return;
  if (!keys.includes(state.layer)) state.layer = "none";
  const names = ["Nothing", ...answer.layers.map((layer) => layer.name)];
  at("layers").replaceChildren(...keys.map((key, i) => choice(key, names[i])));
}

function choice(key, name) {
  const input = element("input", { type: "radio", name: "layer", id: `layer-${key}`, value: key });
  input.checked = key === state.layer;
  return element("span", { class: "choice" }, input, element("label", { for: input.id }, name));
}

function tell(answer) {
  at("headline").textContent = answer.headline;
  at("refer").hidden = !answer.refer;
  at("refer").textContent = answer.refer;
  at("notes").replaceChildren(...answer.notes.map((note) => element("li", {}, note)));
  at("bars").replaceChildren(...answer.bars.map(bar));
  at("facts").replaceChildren(...answer.facts.flatMap(([term, value]) => [element("dt", {}, term), element("dd", {}, value)]));
  const stem = stemOf(answer);
  link("mask", answer.mask, `${stem}_mask.png`);
  link("row", "data:application/json," + encodeURIComponent(JSON.stringify(answer.row, null, 2)), `${stem}.json`);
  at("by").textContent = `Predicted by ${answer.model}.`;
}

const stemOf = ({ name, frame, frames }) => name.replace(/\.[^.]*$/, "") + (frames > 1 ? `~f${frame}` : "");

/* The picture with what is laid over it, as it is seen. */
async function keep() {
  const svg = at("picture").firstChild;
  const { width, height } = state.chosen.answer;
  const canvas = element("canvas", { width, height });
  const pen = canvas.getContext("2d");
  for (const part of svg.children) {
    const style = getComputedStyle(part);
    if (part.tagName === "image") {
      const image = element("img", { src: part.getAttribute("href") });
      await image.decode();
      pen.globalAlpha = style.opacity;
      pen.drawImage(image, 0, 0, width, height);
      pen.globalAlpha = 1;
    } else {
      pen.strokeStyle = style.stroke;
      pen.lineWidth = (parseFloat(style.strokeWidth) * width) / svg.clientWidth;
      pen.stroke(new Path2D(part.getAttribute("d")));
    }
  }
  const saved = element("a", { href: canvas.toDataURL(), download: `${stemOf(state.chosen.answer)}_overlay.png` });
  saved.click();
}

function link(id, href, name) {
  at(id).href = href;
  at(id).download = name;
}

function bar({ name, value, mark, note }) {
  const full = element("b");
  full.style.width = `${100 * value}%`;
  const track = element("i", { "aria-hidden": true }, full);
  if (mark !== null) {
    const tick = element("u");
    tick.style.left = `${100 * mark}%`;
    track.append(tick);
  }
  const made = element("div", { class: name === "uncertainty" ? "bar unsure" : "bar" });
  made.append(element("span", {}, name), element("span", {}, value.toFixed(3)), track);
  if (note) made.append(element("small", {}, note));
  return made;
}

function say(words) {
  at("status").textContent = words;
}

/* What a person does. */

const repaint = () => state.chosen && state.chosen.answer && paint(state.chosen.answer);
for (const id of ["outline", "truth", "calipers", "opacity"]) at(id).addEventListener("input", repaint);
at("layers").addEventListener("change", (event) => {
  state.layer = event.target.value;
  repaint();
});
at("frame").addEventListener("input", () => {
  const item = state.chosen;
  item.frame = Number(at("frame").value);
  at("of").textContent = `${item.frame} of ${at("frame").max}`;
  if (item.status !== "busy") item.status = "waiting";
  work();
});
at("keep").addEventListener("click", keep);
at("list").addEventListener("keydown", steer);
at("remove").addEventListener("click", () => remove(state.chosen));
at("clear").addEventListener("click", () => {
  state.items = [];
  at("list").replaceChildren();
  choose(null);
  tidy();
  say("All images removed");
  at("files").focus();
});
at("files").addEventListener("change", (event) => {
  add([...event.target.files].map(fromFile));
  event.target.value = "";
});
for (const button of document.querySelectorAll("[data-sample]")) button.addEventListener("click", () => add([fromSample(button)]));

const carriesFiles = (event) => [...event.dataTransfer.types].includes("Files");
addEventListener("dragover", (event) => {
  if (!carriesFiles(event)) return;
  event.preventDefault();
  document.body.classList.add("dragging");
});
addEventListener("dragleave", (event) => {
  if (!event.relatedTarget) document.body.classList.remove("dragging");
});
addEventListener("drop", (event) => {
  document.body.classList.remove("dragging");
  if (!carriesFiles(event)) return;
  event.preventDefault();
  add([...event.dataTransfer.files].map(fromFile));
});
addEventListener("paste", (event) => {
  const files = [...event.clipboardData.files];
  if (files.length) add(files.map(fromFile));
});
