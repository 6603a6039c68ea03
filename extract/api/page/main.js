// The page: which address shows what, who is signed in, and the theme. Nothing here judges; the warehouse has.
import { ask, token } from "./ask.js";
import { drawn, libraryLoaded, painted } from "./charts.js";
import { byId, moment } from "./dom.js";
import { tellQuality, tellSymbols } from "./quality.js";
import { startSearch } from "./search.js";
import { addressOf, drawSymbol, leaveSymbol, showSymbol, shown as ofSymbol, startSymbol } from "./symbol.js";
import { drawToday, signOf, tellToday } from "./today.js";

const VIEWS = { today: "Today", symbols: "Symbols", symbol: "Symbol", quality: "Quality" };
const DOTS = { ok: "1a7f37", incomplete: "b7791f", wrong: "b42318" };
const STANDING = ["login", "no-token", "start"];

let overview = null;

// What an address shows: the id of a view, and the symbol.
function wanted() {
  const [, first, second] = location.pathname.split("/");
  if (first === "symbols" && second) return ["symbol", decodeURIComponent(second).toUpperCase()];
  return [first in VIEWS ? first : "today", null];
}

function tellWhere(view, symbol) {
  const where = overview ? `${overview.environment.project} · ${overview.environment.dataset}` : "";
  byId("environment").textContent = overview ? `${where} · version ${overview.environment.version}` : "";
  const name = symbol ?? VIEWS[view];
  document.title = [overview && `${signOf(overview.verdict.state)} ${name}`, where, "Trading data"].filter(Boolean).join(" · ");
  if (overview) {
    const dot = `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 16 16"><circle cx="8" cy="8" r="7" fill="#${DOTS[overview.verdict.state]}"/></svg>`;
    byId("icon").href = `data:image/svg+xml,${encodeURIComponent(dot)}`;
    byId("read-at").textContent = `Read ${moment(overview.read_at)} IST.`;
  }
  const tab = view === "symbol" ? "symbols" : view;
  for (const link of byId("tabs").querySelectorAll("a")) {
    const isHere = link.getAttribute("href") === (tab === "today" ? "/" : `/${tab}`);
    if (isHere) link.setAttribute("aria-current", "page");
    else link.removeAttribute("aria-current");
  }
}

function stand(id) {
  for (const name of [...STANDING, ...Object.keys(VIEWS)]) byId(name).hidden = name !== id;
  const isOpen = !STANDING.includes(id) || id === "start";
  for (const name of ["tabs", "search"]) byId(name).hidden = !isOpen || id === "start";
  byId("refresh").hidden = !isOpen;
  byId("leave").hidden = !isOpen || token.get() === null;
  byId("headline").hidden = true;
}

function say(text) {
  byId("headline").textContent = text;
  byId("headline").hidden = false;
}

function fail(error) {
  document.body.dataset.drawn = "refused";
  if (error.status === 401) {
    byId("refused").textContent = error.kind === "wrong-token" ? "That is not the right token. Look it up, and try again." : "";
    token.forget();
    stand("login");
    byId("token").focus();
  } else if (error.kind === "token-not-set") {
    stand("no-token");
  } else if (error.kind === "nothing-built") {
    stand("start");
  } else {
    say(error.message);
    byId("refresh").hidden = false;
  }
}

async function readOverview(isAnew) {
  if (overview && !isAnew) return;
  overview = await ask("/dashboard/overview", isAnew);
}

async function tellView(view) {
  if (view === "symbols") tellSymbols(overview);
  if (view === "quality") tellQuality(overview);
  if (view !== "today") return;
  tellToday(overview);
  document.body.dataset.drawn = "words";
  performance.mark("words");
  await libraryLoaded;
  await painted();
  if (wanted()[0] === "today") drawToday(overview);
  performance.mark("charts");
}

// Show what the address asks for.
async function show(isAnew = false) {
  const [view, symbol] = wanted();
  document.body.dataset.drawn = "";
  leaveSymbol();
  try {
    const read = readOverview(isAnew);
    if (view === "symbol") {
      // Both at once; where both fail, the overview says why.
      const symbolShown = showSymbol(symbol, new URLSearchParams(location.search), isAnew);
      symbolShown.catch(() => {});
      await read;
      stand("symbol");
      tellWhere(view, symbol);
      if (!(await symbolShown)) return;
      const { symbol: now } = ofSymbol.view;
      // As it was typed, in small letters.
      if (now !== symbol) history.replaceState(null, "", addressOf(now));
      tellWhere(view, now);
    } else {
      await read;
      if (wanted()[0] !== view) return;
      if (overview.latest_trade_date === null && view === "today") {
        stand("start");
      } else {
        stand(view);
        await tellView(view);
      }
      tellWhere(view, symbol);
    }
    document.body.dataset.drawn = view;
  } catch (error) {
    if (wanted()[1] !== symbol) return;
    if (error.kind === "renamed-symbol" || error.kind === "unknown-symbol") showUnknown(symbol, error);
    else fail(error);
  }
}

// Read anew; until it is shown, the button that was pressed says what is going on.
async function showBusy(button, words) {
  if (button.ariaBusy) return;
  const before = button.textContent;
  button.textContent = words;
  button.ariaBusy = "true";
  await show(true);
  button.textContent = before;
  button.ariaBusy = null;
}

// An earlier symbol leads to the one that it is now.
function showUnknown(symbol, error) {
  const now = overview.instruments.find((instrument) => instrument.former_symbols.includes(symbol));
  if (now) {
    go(addressOf(now.symbol, ...["from", "to"].map((name) => new URLSearchParams(location.search).get(name))), true);
    return;
  }
  stand("symbols");
  tellSymbols(overview);
  say(error.message);
  document.body.dataset.drawn = "symbols";
}

function go(address, isInstead = false) {
  const before = wanted().join();
  history[isInstead ? "replaceState" : "pushState"](null, "", address);
  if (wanted().join() !== before) {
    scrollTo(0, 0);
    byId("content").focus({ preventScroll: true });
  }
  show();
}

function setTheme(theme) {
  document.documentElement.dataset.theme = theme;
  byId("theme").textContent = theme === "dark" ? "Light" : "Dark";
  const [view] = wanted();
  if (drawn.scores && view === "today") drawToday(overview);
  if (drawn.candles && view === "symbol") drawSymbol();
}

const prefersDark = matchMedia("(prefers-color-scheme: dark)");
setTheme(localStorage.getItem("theme") ?? (prefersDark.matches ? "dark" : "light"));
prefersDark.addEventListener("change", (event) => setTheme(event.matches ? "dark" : "light"));
byId("theme").addEventListener("click", () => {
  const theme = document.documentElement.dataset.theme === "dark" ? "light" : "dark";
  localStorage.setItem("theme", theme);
  setTheme(theme);
});
byId("refresh").addEventListener("click", () => showBusy(byId("refresh"), "Reading ..."));
byId("leave").addEventListener("click", () => {
  token.forget();
  location.reload();
});
byId("login").addEventListener("submit", (event) => {
  event.preventDefault();
  token.keep(byId("token").value);
  byId("token").value = "";
  byId("refused").textContent = "";
  say("Reading the warehouse ...");
  showBusy(byId("sign-in"), "Signing in ...");
});
// Links within the page change the address and nothing else, unless another tab is wanted.
document.addEventListener("click", (event) => {
  const link = event.target.closest("a[href^='/']");
  if (!link || link.getAttribute("href") === "/docs" || event.button || event.ctrlKey || event.metaKey || event.shiftKey) return;
  event.preventDefault();
  go(link.getAttribute("href"));
});
addEventListener("popstate", () => show());
startSearch(() => overview?.instruments ?? [], (symbol) => go(addressOf(symbol)));
startSymbol(go);
show();
