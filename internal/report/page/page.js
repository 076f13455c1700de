"use strict";
// Only the rows that can be seen are in the page: it opens as fast with 100,000
// zones as with ten.
const report = JSON.parse(document.getElementById("report").textContent);
const byId = (id) => document.getElementById(id);
const list = byId("list"), room = byId("room"), height = 30;
const text = report.zones.map((z) =>
  [z.id, named(z), z.outcome, z.from, z.to, z.requestId, ...z.hosts.map((h) => h.host)].join(" ").toLowerCase());
// What acts or cannot be seen is not shown: the JSON in the page has it.
const shown = (s) => String(s).replace(/[\p{C}\p{Zl}\p{Zp}\p{Default_Ignorable_Code_Point}]+/gu, " ");
let rows = [];

function named(z) {
  return z.account ? `${z.name || ""} (${z.account})` : z.name || "";
}

function choose() {
  const find = byId("find").value.trim().toLowerCase(), only = byId("only").value;
  rows = [];
  report.zones.forEach((z, i) => {
    if ((!only || z.outcome === only) && text[i].includes(find)) rows.push(z);
  });
  byId("shown").textContent = rows.length + " of " + report.zones.length;
  room.style.height = rows.length * height + "px";
  list.scrollTop = 0;
  draw();
}

function draw() {
  const first = Math.max(0, Math.floor(list.scrollTop / height) - 5);
  const last = Math.min(rows.length, first + Math.ceil(list.clientHeight / height) + 10);
  room.replaceChildren(...rows.slice(first, last).map((z, i) => line(z, first + i)));
}

function line(z, i) {
  const row = document.createElement("div");
  row.className = "row";
  row.style.top = i * height + "px";
  const cells = [z.id, named(z), z.wave, z.outcome, z.exposureMs ? z.exposureMs + " ms" : "", z.from || "", z.to || "", z.requestId || ""].map(shown);
  cells.forEach((c, n) => {
    const cell = document.createElement("span");
    if (n === 3) {
      const mark = document.createElement("span");
      mark.className = "mark " + z.outcome;
      cell.append(mark);
    }
    cell.append(c);
    cell.title = c;
    row.append(cell);
  });
  row.addEventListener("click", () => {
    byId("one").hidden = false;
    byId("one").textContent = JSON.stringify(z, null, 2).split("\n").map(shown).join("\n");
  });
  return row;
}

byId("find").addEventListener("input", choose);
byId("only").addEventListener("change", choose);
list.addEventListener("scroll", draw);
window.addEventListener("resize", draw);
byId("all").hidden = false;
choose();
