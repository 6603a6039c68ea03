// Find a symbol by its letters, its company or an earlier symbol: the combobox of ARIA's authoring practices.
import { byId, element } from "./dom.js";

const MOST = 8;

// How well an instrument fits what is typed, less is better; null where it does not. `now` where an earlier symbol fits.
function fit(instrument, typed) {
  const symbol = instrument.symbol.toUpperCase();
  const words = (instrument.name ?? "").toUpperCase();
  if (symbol === typed) return [0];
  if (instrument.former_symbols.includes(typed)) return [1, typed];
  if (symbol.startsWith(typed)) return [2];
  if (words.startsWith(typed)) return [3];
  if (` ${words}`.includes(` ${typed}`)) return [4];
  const former = instrument.former_symbols.find((each) => each.startsWith(typed));
  if (former) return [5, former];
  return symbol.includes(typed) || words.includes(typed) ? [6] : null;
}

export function matches(instruments, text) {
  const typed = text.trim().toUpperCase();
  if (!typed) return [];
  return instruments
    .flatMap((instrument) => {
      const found = fit(instrument, typed);
      return found ? [{ instrument, rank: found[0], former: found[1] }] : [];
    })
    .sort((a, b) => a.rank - b.rank || a.instrument.symbol.localeCompare(b.instrument.symbol))
    .slice(0, MOST);
}

// `instruments` gives those that there are; `choose` is told the symbol.
export function startSearch(instruments, choose) {
  const input = byId("find");
  const list = byId("found");
  let at = -1;

  const options = () => [...list.querySelectorAll("[role=option]")];
  const close = () => {
    list.hidden = true;
    at = -1;
    input.setAttribute("aria-expanded", "false");
    input.removeAttribute("aria-activedescendant");
  };
  const mark = (to) => {
    at = to;
    options().forEach((option, index) => option.setAttribute("aria-selected", String(index === at)));
    const marked = options()[at];
    if (marked) input.setAttribute("aria-activedescendant", marked.id);
    else input.removeAttribute("aria-activedescendant");
    marked?.scrollIntoView({ block: "nearest" });
  };
  const take = (symbol) => {
    input.value = "";
    close();
    choose(symbol);
  };
  const open = () => {
    const found = matches(instruments(), input.value);
    list.replaceChildren(
      ...found.map(({ instrument, former }, index) => {
        const option = element("li", undefined, { role: "option", id: `found-${index}`, "aria-selected": "false" });
        option.dataset.symbol = instrument.symbol;
        option.append(element("b", instrument.symbol), ` ${instrument.name ?? ""}`);
        if (former) option.append(element("i", ` ${former} is ${instrument.symbol} now`));
        option.addEventListener("pointerdown", (event) => {
          // The field keeps the focus until it is done.
          event.preventDefault();
          take(instrument.symbol);
        });
        return option;
      }),
    );
    if (!found.length && input.value.trim()) {
      list.append(element("li", `No symbol or company has “${input.value.trim()}” in it.`, { role: "presentation" }));
    }
    list.hidden = !input.value.trim();
    input.setAttribute("aria-expanded", String(!list.hidden));
    mark(found.length ? 0 : -1);
  };

  input.addEventListener("input", open);
  input.addEventListener("focus", () => input.value && open());
  input.addEventListener("blur", close);
  input.addEventListener("keydown", (event) => {
    const count = options().length;
    if (event.key === "ArrowDown" || event.key === "ArrowUp") {
      event.preventDefault();
      if (list.hidden) open();
      else if (count) mark((at + (event.key === "ArrowDown" ? 1 : count - 1)) % count);
    } else if (event.key === "Enter" && options()[at]) {
      event.preventDefault();
      take(options()[at].dataset.symbol);
    } else if (event.key === "Escape") {
      input.value = "";
      close();
    }
  });
  document.addEventListener("keydown", (event) => {
    const isTyping = event.target.closest?.("input, select, textarea");
    if (event.key !== "/" || isTyping || event.ctrlKey || event.metaKey || event.altKey) return;
    event.preventDefault();
    input.focus();
  });
}
