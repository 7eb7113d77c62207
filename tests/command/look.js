// Looks at the report as a reader sees it, and writes down what it finds.
const shown = (element) => element.getClientRects().length > 0;
const colour = (text) => (text.match(/[\d.]+/g) || []).map(Number);
const luminance = (rgb) => {
  const [r, g, b] = rgb.map((value) => {
    const part = value / 255;
    return part <= 0.04045 ? part / 12.92 : ((part + 0.055) / 1.055) ** 2.4;
  });
  return 0.2126 * r + 0.7152 * g + 0.0722 * b;
};
const contrast = (one, other) => {
  const [low, high] = [luminance(one), luminance(other)].sort((a, b) => a - b);
  return (high + 0.05) / (low + 0.05);
};
// The colour behind the middle of an element: that of the nearest thing that has one.
const behind = (element) => {
  element.scrollIntoView({ block: "nearest", inline: "nearest" });
  const box = element.getBoundingClientRect();
  for (const other of document.elementsFromPoint(box.x + box.width / 2, box.y + box.height / 2)) {
    if (other === element || other.tagName === "text") continue;
    const style = getComputedStyle(other);
    const fill = colour(other.tagName === "rect" ? style.fill : style.backgroundColor);
    if (fill.length >= 3 && (fill.length < 4 || fill[3] === 1)) return fill.slice(0, 3);
  }
  return null;
};
addEventListener("load", () => {
  for (const details of document.querySelectorAll("details")) details.open = true;
  const ownText = (element) => [...element.childNodes].some((node) => node.nodeType === 3 && node.data.trim() !== "");
  const texts = [...document.body.querySelectorAll("*")].filter(
    (element) => !["SCRIPT", "title", "desc"].includes(element.tagName) && shown(element) && ownText(element),
  );
  const faint = [];
  for (const element of texts) {
    const style = getComputedStyle(element);
    const own = colour(element.tagName === "text" ? style.fill : style.color).slice(0, 3);
    const ground = behind(element);
    if (!ground || contrast(own, ground) < 4.5) faint.push([element.textContent, own, ground]);
  }
  const unnamed = [...document.querySelectorAll("svg, table")]
    .filter((element) =>
      element.tagName === "TABLE" ? !element.caption : !element.querySelector("title")?.textContent || !element.querySelector("desc")?.textContent,
    )
    .map((element) => element.outerHTML.slice(0, 80));
  const marker = document.querySelector("[data-tip]");
  marker.dispatchEvent(new PointerEvent("pointermove", { bubbles: true, clientX: 5, clientY: 5 }));
  const found = document.createElement("pre");
  found.id = "found";
  found.textContent = JSON.stringify({
    isDark: luminance(colour(getComputedStyle(document.body).backgroundColor)) < 0.1,
    resources: performance.getEntriesByType("resource").filter((entry) => !entry.name.startsWith("data:")).length,
    tip: document.getElementById("tip").style.display,
    texts: texts.length,
    faint,
    unnamed,
  });
  document.body.append(found);
});
