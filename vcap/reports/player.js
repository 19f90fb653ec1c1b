"use strict";
const video = document.querySelector("video");
const line = document.querySelector(".line");
const head = document.querySelector(".head");
const parts = [...document.querySelectorAll("[data-start]")];
const [first, last] = [Number(line.dataset.first), Number(line.dataset.last)];

function show() {
  const now = video.currentTime;
  for (const part of parts) {
    part.classList.toggle("now", part.dataset.start <= now && now < part.dataset.end);
  }
  const place = Math.min(1, Math.max(0, (now - first) / (last - first)));
  head.setAttribute("transform", `translate(${place * line.viewBox.baseVal.width} 0)`);
}

function seek(event) {
  if (event.ctrlKey || event.metaKey || event.shiftKey || event.altKey) return;
  event.preventDefault();
  video.currentTime = Number(event.currentTarget.dataset.start);
}

for (const part of parts) part.addEventListener("click", seek);
for (const change of ["timeupdate", "seeking", "loadedmetadata"]) video.addEventListener(change, show);
video.addEventListener("error", () => { document.querySelector(".trouble").hidden = false; });
if (video.error) document.querySelector(".trouble").hidden = false;
show();
