// What is said of the shape under the pointer.
const tip = document.getElementById("tip");
document.addEventListener("pointermove", (event) => {
  const shape = event.target.closest("[data-tip]");
  tip.style.display = shape ? "block" : "none";
  if (!shape) return;
  tip.textContent = shape.dataset.tip;
  const left = Math.min(event.clientX + 14, innerWidth - tip.offsetWidth - 8);
  const top = Math.min(event.clientY + 14, innerHeight - tip.offsetHeight - 8);
  tip.style.left = Math.max(left, 0) + "px";
  tip.style.top = Math.max(top, 0) + "px";
});
