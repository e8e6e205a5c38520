// A click on a segment of the timeline moves the player; while it plays, the current segment is marked.
const player = () => document.querySelector("#vj-player video");
const segments = () => [...element.querySelectorAll("button[data-start]")];
const show = (segment) => {
  for (const other of segments()) other.classList.toggle("vj-now", other === segment);
  const words = element.querySelector(".vj-window");
  if (segment && words) words.textContent = segment.getAttribute("aria-label");
};
element.addEventListener("click", (event) => {
  const segment = event.target.closest("button[data-start]");
  const video = player();
  if (!segment || !video) return;
  video.currentTime = Number(segment.dataset.start);
  show(segment);
});
// Events of a video do not bubble, so they are caught in the capture phase.
document.addEventListener("timeupdate", (event) => {
  if (event.target !== player() || event.target.paused) return;
  const now = event.target.currentTime;
  const nearest = segments().filter((segment) => {
    const start = Number(segment.dataset.start), end = Number(segment.dataset.end);
    return now >= start && now < end;
  });
  if (nearest.length) show(nearest[Math.floor(nearest.length / 2)]);
}, true);
