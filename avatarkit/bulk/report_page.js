"use strict";
// Everything here is extra: without it the page is complete, but for the filter, the readouts and the copy buttons.

const videos = [...document.querySelectorAll("video, audio")];

// One plays at a time. What has no picture gets its first frame when it comes into view.
for (const video of videos)
  video.addEventListener("play", () => videos.forEach((other) => other !== video && other.pause()));
const near = new IntersectionObserver((entries) => {
  for (const entry of entries)
    if (entry.isIntersecting) {
      near.unobserve(entry.target);
      entry.target.preload = "metadata";
    }
}, { rootMargin: "200px" });
videos.forEach((video) => video.poster || near.observe(video));

// The filter: every word has to be found.
const field = document.querySelector("#filter");
if (field) {
  const cards = [...document.querySelectorAll(".gallery > li")];
  const shown = document.querySelector("#shown");
  const none = document.querySelector("#none");
  const apply = () => {
    const words = field.value.normalize("NFC").toLowerCase().split(/\s+/).filter(Boolean);
    let count = 0;
    for (const card of cards) {
      card.hidden = !words.every((word) => card.dataset.find.includes(word));
      count += card.hidden ? 0 : 1;
      if (card.hidden) card.querySelector("video, audio")?.pause();
    }
    shown.textContent = words.length ? `${count} of ${cards.length} shown` : "";
    none.hidden = count > 0;
  };
  field.closest(".tools").hidden = false;
  field.addEventListener("input", apply);
  field.addEventListener("keydown", (event) => {
    if (event.key === "Escape" && field.value) {
      event.preventDefault();
      field.value = "";
      apply();
    }
  });
  apply();
}

// Charts: what the pointer or the arrow keys are at, in words.
for (const figure of document.querySelectorAll("figure[data-rows]")) {
  const rows = figure.dataset.rows.split("|");
  const readout = figure.querySelector(".readout");
  const marks = [...figure.querySelectorAll(".mark")];
  let at = -1;
  const show = (next) => {
    at = Math.min(rows.length - 1, Math.max(0, next));
    readout.textContent = rows[at];
    const x = (at + 0.5) / rows.length * 1000;
    for (const mark of marks) {
      mark.setAttribute("x1", x);
      mark.setAttribute("x2", x);
      mark.setAttribute("visibility", "visible");
    }
  };
  const hide = () => {
    at = -1;
    readout.textContent = readout.dataset.idle;
    marks.forEach((mark) => mark.setAttribute("visibility", "hidden"));
  };
  readout.dataset.idle = "Point at the chart, or use the arrow keys, for figures.";
  figure.tabIndex = 0;
  hide();
  figure.addEventListener("pointermove", (event) => {
    const chart = event.target.closest(".chart");
    if (!chart) return;
    const box = chart.getBoundingClientRect();
    show(Math.floor((event.clientX - box.left) / box.width * rows.length));
  });
  figure.addEventListener("pointerleave", hide);
  figure.addEventListener("blur", hide);
  figure.addEventListener("keydown", (event) => {
    const step = { ArrowLeft: at - 1, ArrowRight: at + 1, Home: 0, End: rows.length - 1 }[event.key];
    if (step === undefined) return;
    event.preventDefault();
    show(step);
  });
}

// Copying commands.
for (const button of document.querySelectorAll("button.copy")) {
  button.hidden = false;
  button.addEventListener("click", async () => {
    const code = button.parentElement.querySelector("code");
    try {
      await navigator.clipboard.writeText(code.textContent);
      button.textContent = "Copied";
    } catch {
      getSelection().selectAllChildren(code);
      button.textContent = "Selected";
    }
    setTimeout(() => { button.textContent = "Copy"; }, 1500);
  });
}
