"use strict";
document.documentElement.classList.add("js");

// value 0 shows the first picture, the image mostly, 100 the second and so on; between them one fades into the next
function say(names, value) {
  const part = Math.floor(value / 100), share = value % 100;
  return share ? `${share} % from ${names[part]} to ${names[part + 1]}` : names[part];
}

function mark(slider, value) {
  slider.value = value;
  slider.setAttribute("aria-valuetext", say(slider.dataset.names.split("|"), Number(slider.value)));
  for (const tick of slider.parentElement.querySelectorAll("[data-to]"))
    tick.classList.toggle("now", Math.abs(tick.dataset.to - slider.value) < 50);
}

function show(slide, value) {
  const slider = slide.querySelector("input"), stage = slide.querySelector(".stage");
  mark(slider, value);
  stage.querySelectorAll("img").forEach((picture, place) => {
    if (place) picture.style.opacity = Math.min(Math.max(slider.value / 100 - place + 1, 0), 1);
  });
}

for (const slide of document.querySelectorAll(".slide")) {
  const slider = slide.querySelector("input"), stage = slide.querySelector(".stage");
  if (!slider) continue;  // of one picture
  const drag = (event) => {
    const box = stage.getBoundingClientRect();
    show(slide, slider.max * (event.clientX - box.left) / box.width);
  };
  slider.addEventListener("input", () => show(slide, slider.value));
  stage.addEventListener("pointerdown", (event) => { stage.setPointerCapture(event.pointerId); drag(event); });
  stage.addEventListener("pointermove", (event) => { if (event.buttons) drag(event); });
  for (const tick of slide.querySelectorAll("[data-to]")) tick.addEventListener("click", () => show(slide, tick.dataset.to));
  show(slide, 0);
}

for (const slider of document.querySelectorAll("[data-all]")) {
  const slides = [...slider.closest(".run").querySelectorAll(".slide")].filter((slide) => slide.querySelector("input"));
  const move = (value) => { mark(slider, value); for (const slide of slides) show(slide, slider.value); };
  slider.addEventListener("input", () => move(slider.value));
  for (const tick of slider.parentElement.querySelectorAll("[data-to]"))
    tick.addEventListener("click", () => move(tick.dataset.to));
  mark(slider, 0);
}

for (const button of document.querySelectorAll(".enlarge"))
  button.addEventListener("click", () => {
    button.setAttribute("aria-pressed", button.closest(".chart").classList.toggle("large"));
  });

// a link to a picture opens what it lies in
function reveal() {
  const target = location.hash && document.getElementById(location.hash.slice(1));
  const run = target && target.closest("details");
  if (run && !run.open) { run.open = true; target.scrollIntoView(); }
}
addEventListener("hashchange", reveal);
reveal();

for (const form of document.querySelectorAll("form.filter")) {
  const table = document.getElementById(form.dataset.table), body = table.tBodies[0], heads = [...table.tHead.rows[0].cells];
  const rows = [...body.rows].map((row, place) => ({
    row, place, cells: [...row.cells].map((cell) => cell.textContent),
  }));
  for (const one of rows) one.text = one.cells.join(" ").toLowerCase();

  const sort = (column, rising) => {
    const number = heads[column].classList.contains("number"), sign = rising ? 1 : -1;
    const order = (a, b) => {
      const [x, y] = [a.cells[column], b.cells[column]];
      const [none, nothing] = [x === "-" || x === "", y === "-" || y === ""];
      if (none || nothing) return none - nothing || a.place - b.place;  // what is not known stays last
      return sign * (number ? x - y : x.localeCompare(y, "en", { numeric: true })) || a.place - b.place;
    };
    body.append(...[...rows].sort(order).map((one) => one.row));
    heads.forEach((head, place) =>
      head.setAttribute("aria-sort", place !== column ? "none" : rising ? "ascending" : "descending"));
  };
  heads.forEach((head, column) => head.firstElementChild.addEventListener("click", () => {
    const now = head.getAttribute("aria-sort"), number = head.classList.contains("number");
    sort(column, now === "none" ? !number : now === "descending");
  }));

  const words = form.querySelector("[type=search]"), choices = [...form.querySelectorAll("select")];
  const count = form.querySelector("output");
  const filter = () => {
    const wanted = words.value.toLowerCase().split(/\s+/).filter(Boolean);
    let left = 0;
    for (const { row, text } of rows) {
      const kept = choices.every((choice) => !choice.value || row.dataset[choice.name] === choice.value)
        && wanted.every((word) => text.includes(word));
      row.hidden = !kept;
      left += kept;
    }
    count.textContent = `${left} of ${rows.length} lines`;
  };
  for (const field of [words, ...choices]) field.addEventListener("input", filter);
  form.addEventListener("submit", (event) => event.preventDefault());
  filter();  // a browser may have kept what was typed before
}
