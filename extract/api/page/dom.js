// Words, numbers and tables.

export const byId = (id) => document.getElementById(id);

// A table of all that may be listed would be thousands of lines.
const ROWS = 300;

export const number = (value, digits = 0) =>
  value === null || value === undefined
    ? ""
    : Number(value).toLocaleString("en-IN", { minimumFractionDigits: digits, maximumFractionDigits: digits });

const DAY = { day: "numeric", month: "short", year: "numeric" };
const dayFormat = new Intl.DateTimeFormat("en-GB", { ...DAY, timeZone: "UTC" });
const momentFormat = new Intl.DateTimeFormat("en-GB", {
  ...DAY,
  hour: "2-digit",
  minute: "2-digit",
  timeZone: "Asia/Kolkata",
});
// A day of the exchange, and a time in India.
export const day = (text) => (text ? dayFormat.format(new Date(text)) : "");
export const moment = (text) => (text ? momentFormat.format(new Date(text)) : "");

const SOURCES = { nse: "NSE", kite: "Kite", yahoo: "Yahoo", alpha_vantage: "Alpha Vantage" };
export const source = (id) => SOURCES[id] ?? id;
export const plain = (name) => name.replaceAll("_", " ");
export const many = (count, one, more = `${one}s`) => `${number(count)} ${count === 1 ? one : more}`;

export function element(tag, text, attributes = {}) {
  const made = document.createElement(tag);
  if (text !== undefined) made.textContent = text;
  for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, value);
  return made;
}

export const symbolLink = (symbol) => element("a", symbol, { href: `/symbols/${encodeURIComponent(symbol)}` });

// Columns are [heading, value of a row (text or an element), kind]; a kind is "number", "text" (long) or nothing.
export function tabulate(id, caption, columns, rows, none = "None.") {
  const place = byId(id);
  place.replaceChildren();
  place.className = "";
  for (const name of ["tabindex", "role", "aria-label"]) place.removeAttribute(name);
  if (!rows.length) {
    place.append(element("p", none, { class: "quiet" }));
    return;
  }
  const table = element("table", undefined, { "aria-label": caption });
  const head = element("tr");
  for (const [heading, , kind = ""] of columns) head.append(element("th", heading, { scope: "col", class: kind }));
  const body = element("tbody");
  for (const row of rows.slice(0, ROWS)) {
    const line = element("tr");
    for (const [, value, kind = ""] of columns) {
      const cell = element("td", undefined, { class: kind });
      cell.append(value(row) ?? "");
      line.append(cell);
    }
    body.append(line);
  }
  const header = element("thead");
  header.append(head);
  table.append(header, body);
  // So that a keyboard can scroll it.
  place.className = "scroll";
  place.tabIndex = 0;
  place.setAttribute("role", "region");
  place.setAttribute("aria-label", `${caption}: table`);
  place.append(table);
  if (rows.length > ROWS) place.append(element("p", `And ${number(rows.length - ROWS)} more.`, { class: "quiet" }));
}

// A command, with a button that copies it.
export function command(text) {
  const line = element("span", undefined, { class: "command" });
  const button = element("button", "Copy", { type: "button", "aria-label": `Copy: ${text}` });
  button.addEventListener("click", async () => {
    await navigator.clipboard.writeText(text);
    button.textContent = "Copied";
    setTimeout(() => (button.textContent = "Copy"), 2000);
  });
  line.append(element("code", text));
  // Browsers let a page copy only over HTTPS, or from this machine.
  if (navigator.clipboard) line.append(button);
  return line;
}
