// The dashboard: asks the server for what its panels show, and draws it. Nothing here judges; the warehouse has.
"use strict";

// Its four megabytes keep the browser busy for seconds: it is asked for when the words stand, and before any chart.
let charts = null;
function loadCharts() {
  charts ??= new Promise((resolve, reject) => {
    const script = document.createElement("script");
    script.src = "plotly.js";
    script.onload = resolve;
    script.onerror = () => reject(new Error("The script of the charts did not come."));
    // After the words are painted.
    requestAnimationFrame(() => setTimeout(() => document.head.append(script)));
  });
  return charts;
}

const byId = (id) => document.getElementById(id);
// A table of all that may be missing would be thousands of lines.
const ROWS = 200;
const shown = { overview: null, symbol: null };
// Of answers that overtake each other, the one to what was asked last is shown.
let symbolTurn = 0;

const STATES = {
  m: ["missing", "--missing"],
  i: ["not valid", "--invalid"],
  F: ["a fallback's, provisional", "--fallback-provisional"],
  f: ["a fallback's", "--fallback"],
  P: ["the primary source's, provisional", "--primary-provisional"],
  p: ["the primary source's", "--primary"],
};
const LEVELS = Object.keys(STATES);
// Whether a bar that is not valid is provisional too makes no difference.
const stateOf = (letter) => (letter === "I" ? "i" : letter);
const level = (letter) => (letter === "-" ? null : LEVELS.indexOf(stateOf(letter)));

const number = (value, digits = 0) =>
  value === null || value === undefined
    ? ""
    : Number(value).toLocaleString("en-IN", { minimumFractionDigits: digits, maximumFractionDigits: digits });
const moment = (text) =>
  text === null
    ? ""
    : new Date(text).toLocaleString("en-GB", { timeZone: "Asia/Kolkata", dateStyle: "medium", timeStyle: "short" });
const colour = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();

function element(tag, text, attributes = {}) {
  const made = document.createElement(tag);
  if (text !== undefined) made.textContent = text;
  for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, value);
  return made;
}

// Columns are [heading, value of a row, kind]; a kind is "number", "text" (long) or nothing.
function tabulate(id, caption, columns, rows) {
  const place = byId(id);
  place.replaceChildren();
  if (!rows.length) {
    place.append(element("p", "None.", { class: "quiet" }));
    return;
  }
  const table = element("table", undefined, { "aria-label": caption });
  const head = element("tr");
  for (const [heading, , kind = ""] of columns) head.append(element("th", heading, { scope: "col", class: kind }));
  const body = element("tbody");
  for (const row of rows.slice(0, ROWS)) {
    const line = element("tr");
    for (const [, value, kind = ""] of columns) line.append(element("td", value(row) ?? "", { class: kind }));
    body.append(line);
  }
  const header = element("thead");
  header.append(head);
  table.append(header, body);
  // So that a keyboard can scroll it.
  place.tabIndex = 0;
  place.setAttribute("role", "region");
  place.setAttribute("aria-label", `${caption}: table`);
  place.append(table);
  if (rows.length > ROWS) place.append(element("p", `And ${number(rows.length - ROWS)} more.`, { class: "quiet" }));
}

function draw(id, told, traces, layout = {}) {
  const axis = { gridcolor: colour("--line"), linecolor: colour("--line"), zeroline: false, automargin: true };
  const { xaxis = {}, yaxis = {}, yaxis2, ...others } = layout;
  const place = byId(id);
  place.setAttribute("role", "img");
  place.setAttribute("aria-label", told);
  Plotly.react(
    place,
    traces,
    {
      margin: { l: 45, r: 10, t: 10, b: 40 },
      paper_bgcolor: "rgba(0,0,0,0)",
      plot_bgcolor: "rgba(0,0,0,0)",
      font: { color: colour("--ink"), size: 12 },
      hoverlabel: { bgcolor: colour("--paper"), font: { color: colour("--ink") } },
      legend: { orientation: "h", yanchor: "bottom", y: 1.02 },
      // Sessions, one beside the other: a day without one has no place.
      xaxis: { ...axis, type: "category", nticks: Math.max(2, Math.floor(place.clientWidth / 120)), tickangle: 0, ...xaxis },
      yaxis: { ...axis, ...yaxis },
      ...(yaxis2 ? { yaxis2: { ...axis, ...yaxis2 } } : {}),
      ...others,
    },
    { displayModeBar: false, responsive: true },
  );
}

function drawAlerts(alerts) {
  const list = byId("alerts");
  list.replaceChildren();
  if (!alerts.length) list.append(element("li", "Nothing: all is well.", { class: "INFO" }));
  for (const alert of alerts) {
    const item = element("li", undefined, { class: alert.severity });
    item.append(element("strong", alert.severity.toLowerCase()), ` ${alert.text}`);
    if (alert.remedy) item.append(element("code", alert.remedy));
    list.append(item);
  }
}

function drawFigures(view) {
  const list = byId("figures");
  list.replaceChildren();
  const figures = [
    ["Latest session", view.latest_trade_date ?? "none"],
    ["Its score, of 100", number(view.latest_quality_score, 2)],
    ["Its valid bars", `${number(view.latest_valid_record_count)} of ${number(view.instrument_count)}`],
    ["From a fallback source", number(view.latest_fallback_record_count)],
    ["Not final yet", number(view.latest_provisional_record_count)],
    ["All bars", number(view.record_count)],
    ["Score of all bars", number(view.quality_score, 2)],
  ];
  for (const [name, value] of figures) {
    const pair = element("div");
    pair.append(element("dt", name), element("dd", value));
    list.append(pair);
  }
}

function drawScores(scores) {
  draw(
    "scores",
    `Score of ${scores.length} sessions, the last ${scores.at(-1)?.quality_score ?? "none"}`,
    [
      {
        x: scores.map((row) => row.trade_date),
        y: scores.map((row) => row.quality_score),
        customdata: scores.map((row) => [row.missing_bar_count, row.invalid_bar_count]),
        hovertemplate: "%{x}: %{y}<br>%{customdata[0]} missing, %{customdata[1]} not valid<extra></extra>",
        line: { color: colour("--fallback") },
        mode: "lines",
        type: "scatter",
      },
    ],
    // Scores differ by tenths: from zero they would be one straight line.
    { yaxis: { title: { text: "score" } } },
  );
  tabulate(
    "scores-table",
    "Score by session",
    [
      ["Session", (row) => row.trade_date],
      ["Score", (row) => number(row.quality_score, 2), "number"],
      ["Expected", (row) => number(row.expected_bar_count), "number"],
      ["Missing", (row) => number(row.missing_bar_count), "number"],
      ["Not valid", (row) => number(row.invalid_bar_count), "number"],
      ["Provisional", (row) => number(row.provisional_bar_count), "number"],
    ],
    [...scores].reverse(),
  );
}

function drawSources(counts) {
  const names = [...new Set(counts.map((row) => row.source_id))].sort();
  const colours = { kite: "--primary", yahoo: "--fallback" };
  draw(
    "sources",
    `Valid bars by session and source: ${names.join(", ")}`,
    names.map((name) => {
      const rows = counts.filter((row) => row.source_id === name);
      return {
        name,
        type: "bar",
        x: rows.map((row) => row.trade_date),
        y: rows.map((row) => row.bar_count),
        marker: { color: colour(colours[name] ?? "--invalid") },
      };
    }),
    { barmode: "stack", xaxis: { categoryorder: "category ascending" }, yaxis: { title: { text: "bars" } } },
  );
  tabulate(
    "sources-table",
    "Valid bars by session and source",
    [
      ["Session", (row) => row.trade_date],
      ["Source", (row) => row.source_id],
      ["Bars", (row) => number(row.bar_count), "number"],
    ],
    [...counts].reverse(),
  );
}

function drawCoverage(symbols, coverage) {
  const sessions = coverage.map((row) => row.trade_date);
  const shades = LEVELS.map((letter) => colour(STATES[letter][1]));
  const scale = shades.flatMap((shade, at) => [[at / shades.length, shade], [(at + 1) / shades.length, shade]]);
  const gaps = [];
  for (const row of coverage) {
    [...row.states].forEach((letter, at) => {
      const state = stateOf(letter);
      if ("mi".includes(state)) gaps.push({ session: row.trade_date, symbol: symbols[at], state: STATES[state][0] });
    });
  }
  draw(
    "coverage",
    `Coverage of ${symbols.length} symbols over ${sessions.length} sessions; ${gaps.length} bars are missing or not valid`,
    [
      {
        type: "heatmap",
        x: sessions,
        y: symbols,
        z: symbols.map((_, at) => coverage.map((row) => level(row.states[at]))),
        text: symbols.map((_, at) =>
          coverage.map((row) => (row.states[at] === "-" ? "not listed" : STATES[stateOf(row.states[at])][0])),
        ),
        hovertemplate: "%{y}, %{x}: %{text}<extra></extra>",
        hoverongaps: false,
        colorscale: scale,
        zmin: -0.5,
        zmax: LEVELS.length - 0.5,
        showscale: false,
        xgap: innerWidth < 600 ? 0 : 1,
      },
    ],
    { margin: { l: 95, r: 10, t: 10, b: 40 }, yaxis: { type: "category", autorange: "reversed", nticks: 25 } },
  );
  const place = byId("coverage");
  if (!place.dataset.listens) {
    place.dataset.listens = "yes";
    place.on("plotly_click", ({ points }) => choose(points[0].y));
  }
  const legend = byId("legend");
  legend.replaceChildren();
  for (const [name, shade] of Object.values(STATES)) {
    const item = element("li");
    const swatch = element("span");
    swatch.style.background = colour(shade);
    item.append(swatch, name);
    legend.append(item);
  }
  tabulate(
    "coverage-table",
    "Bars that are missing or not valid",
    [["Session", (row) => row.session], ["Symbol", (row) => row.symbol], ["Bar", (row) => row.state]],
    gaps.reverse(),
  );
}

function drawLists(view) {
  tabulate(
    "weak-table",
    "The weakest bars of the latest session",
    [
      ["Session", (row) => row.trade_date],
      ["Symbol", (row) => row.symbol],
      ["Score", (row) => number(row.quality_score, 2), "number"],
      ["Source", (row) => row.source_id],
      ["Served", (row) => (row.is_valid ? "yes" : "no, not valid")],
      ["Failed checks", (row) => row.failed_checks.join(", "), "text"],
    ],
    view.weak_bars,
  );
  tabulate(
    "restatements-table",
    "Restatements",
    [
      ["Found (IST)", (row) => moment(row.detected_at)],
      ["Symbol", (row) => row.symbol],
      ["Source", (row) => row.source_id],
      ["Kind", (row) => row.kind.replace("_", " ")],
      ["New by old price", (row) => number(row.price_ratio, 4), "number"],
      ["Bars", (row) => number(row.bar_count), "number"],
      ["From", (row) => row.first_trade_date],
      ["To", (row) => row.last_trade_date],
    ],
    view.restatements,
  );
  tabulate(
    "disputes-table",
    "Disputes",
    [
      ["Session", (row) => row.trade_date],
      ["Symbol", (row) => row.symbol],
      ["Kind", (row) => row.kind],
      ["Kite", (row) => number(row.kite_close, 2), "number"],
      ["Yahoo", (row) => number(row.yahoo_close, 2), "number"],
      ["Third", (row) => number(row.third_close, 2), "number"],
      ["Verdict", (row) => row.verdict],
    ],
    view.disputes,
  );
  tabulate(
    "runs-table",
    "The last runs",
    [
      ["Started (IST)", (row) => moment(row.started_at)],
      ["Command", (row) => row.command],
      ["Ended with", (row) => ({ 0: "0, done", 1: "1, failed", 3: "3, incomplete" })[row.exit_status] ?? "nothing: killed, or on its way"],
      ["Seconds", (row) => number(row.elapsed_seconds, 1), "number"],
      ["Rows", (row) => number(row.landed_row_count), "number"],
      ["Requests", (row) => number(row.request_count), "number"],
      ["Failed", (row) => number(row.failed_request_count), "number"],
      ["MB billed", (row) => (row.bytes_billed === null ? "" : number(row.bytes_billed / 1e6)), "number"],
      ["Why", (row) => row.reason, "text"],
    ],
    view.runs,
  );
}

// What needs no chart: it is there before the script of the charts is.
function tellOverview(view) {
  const behind = view.sessions_behind;
  const here = view.latest_trade_date === null ? "Nothing is here yet" : `The session of ${view.latest_trade_date} is here`;
  const late = behind ? `, ${behind} behind ${view.due_trade_date}` : ", which is the last one due";
  const score = view.latest_quality_score === null ? "" : `, with a score of ${number(view.latest_quality_score, 2)}`;
  const provisional = view.latest_provisional_record_count
    ? ` ${number(view.latest_provisional_record_count)} of its bars are not final until the morning.`
    : "";
  const state = view.is_degraded ? " Something is wrong; see below." : " It can be trusted.";
  byId("headline").textContent = `${here}${view.latest_trade_date ? late : ""}${score}.${provisional}${state}`;
  byId("read-at").textContent = `Read ${moment(view.read_at)} IST.`;
  drawAlerts(view.alerts);
  drawFigures(view);
  drawLists(view);
  byId("symbols").replaceChildren(...view.symbols.map((symbol) => element("option", undefined, { value: symbol })));
}

function drawOverview(view) {
  drawScores(view.scores);
  drawSources(view.sources);
  drawCoverage(view.symbols, view.coverage);
}

const described = (action) =>
  action.kind === "dividend"
    ? `dividend of ${number(action.dividend_amount, 2)}`
    : `${number(action.share_ratio, 3)} shares for one`;

// What needs no chart, as of the overview.
function tellSymbol(view) {
  const told = [view.symbol, view.name, view.sector].filter(Boolean).join(", ");
  byId("symbol-headline").textContent =
    view.quality_score === null
      ? `${told}: no bar is here.`
      : `${told}: score ${number(view.quality_score, 2)} over ${number(view.expected_bar_count)} sessions, ` +
        `${number(view.missing_bar_count)} of them missing, ${number(view.invalid_bar_count)} not valid.`;
  const changes = new Map(
    view.bars.map((bar, at) => [bar, at && bar.close && view.bars[at - 1].close ? 100 * (bar.close / view.bars[at - 1].close - 1) : null]),
  );
  tabulate(
    "bars-table",
    `Bars of ${view.symbol}`,
    [
      ["Session", (bar) => bar.trade_date],
      ["Close", (bar) => number(bar.close, 2), "number"],
      ["Change, %", (bar) => number(changes.get(bar), 2), "number"],
      ["Volume", (bar) => number(bar.volume), "number"],
      ["Source", (bar) => bar.source_id + (bar.is_provisional ? ", provisional" : "")],
      ["Score", (bar) => number(bar.quality_score, 1), "number"],
      ["Failed checks", (bar) => bar.failed_checks.join(", "), "text"],
    ],
    [...view.bars].reverse(),
  );
  tabulate(
    "versions-table",
    `Versions of bars of ${view.symbol}`,
    [
      ["Session", (row) => row.trade_date],
      ["Source", (row) => row.source_id],
      ["Close", (row) => number(row.close, 2), "number"],
      ["Volume", (row) => number(row.volume), "number"],
      ["Known from (IST)", (row) => moment(row.known_from)],
      ["To", (row) => (row.known_to === null ? "now" : moment(row.known_to))],
      ["Final", (row) => (row.is_provisional ? "no" : "yes")],
    ],
    view.versions,
  );
  tabulate(
    "actions-table",
    `Corporate actions of ${view.symbol}`,
    [
      ["Ex-date", (row) => row.ex_date],
      ["Action", described],
      ["Told by", (row) => row.reported_by ?? `inferred from ${row.inferred_from}`],
    ],
    view.actions,
  );
}

function drawSymbol(view) {
  const dates = view.bars.map((bar) => bar.trade_date);
  const of = (name) => view.bars.map((bar) => bar[name]);
  const faulty = view.bars.filter((bar) => !bar.is_valid);
  const high = new Map(view.bars.map((bar) => [bar.trade_date, bar.high]));
  const actions = view.actions.filter((action) => high.has(action.ex_date));
  const up = colour("--primary");
  const down = colour("--down");
  draw(
    "candles",
    `Candles of ${view.symbol}, ${dates.length} sessions, the last close ${view.bars.at(-1)?.close ?? "none"}`,
    [
      {
        type: "candlestick",
        name: "price",
        x: dates,
        open: of("open"),
        high: of("high"),
        low: of("low"),
        close: of("close"),
        text: view.bars.map((bar) => `${bar.source_id}, score ${bar.quality_score}${bar.is_provisional ? ", provisional" : ""}`),
        increasing: { line: { color: up } },
        decreasing: { line: { color: down } },
      },
      { type: "scatter", mode: "lines", name: "adjusted close", visible: "legendonly", x: dates, y: of("adjusted_close"), line: { color: colour("--fallback") } },
      {
        type: "scatter",
        mode: "markers",
        name: "action",
        x: actions.map((action) => action.ex_date),
        y: actions.map((action) => high.get(action.ex_date)),
        text: actions.map(described),
        hovertemplate: "%{x}: %{text}<extra></extra>",
        marker: { symbol: "triangle-down", size: 11, color: colour("--fallback") },
      },
      {
        type: "scatter",
        mode: "markers",
        name: "not valid",
        x: faulty.map((bar) => bar.trade_date),
        y: faulty.map((bar) => bar.close),
        text: faulty.map((bar) => bar.failed_checks.join(", ")),
        hovertemplate: "%{x}: %{text}<extra></extra>",
        marker: { symbol: "x", size: 9, color: colour("--missing") },
      },
      { type: "bar", name: "volume", x: dates, y: of("volume"), yaxis: "y2", marker: { color: colour("--quiet") } },
    ],
    {
      xaxis: { rangeslider: { visible: false }, categoryorder: "category ascending", range: [-0.5, dates.length - 0.5] },
      yaxis: { domain: [0.27, 1], title: { text: "rupees" } },
      yaxis2: { domain: [0, 0.2], title: { text: "shares" } },
    },
  );
}

async function ask(path, isAnew = false) {
  const token = sessionStorage.getItem("token");
  const headers = token ? { Authorization: `Bearer ${token}` } : {};
  const answer = await fetch(path, { headers, cache: isAnew ? "reload" : "default" });
  if (answer.ok) return answer.json();
  const told = await answer.json().catch(() => ({ detail: answer.statusText }));
  const error = new Error(typeof told.detail === "string" ? told.detail : `The server answered ${answer.status}.`);
  error.status = answer.status;
  throw error;
}

const isOfLogin = (error) => error.status === 401 || error.status === 403;

function fail(error, place) {
  byId("login").hidden = !isOfLogin(error);
  if (isOfLogin(error)) {
    byId("panels").hidden = true;
    sessionStorage.removeItem("token");
    byId("token").focus();
  }
  const wasWrong = error.status === 401 ? "Who may look sends a token." : error.message;
  byId(isOfLogin(error) ? "headline" : place).textContent = wasWrong;
}

async function showOverview(isAnew = false) {
  try {
    const view = await ask("dashboard/overview", isAnew);
    shown.overview = view;
    byId("login").hidden = true;
    byId("panels").hidden = false;
    byId("leave").hidden = sessionStorage.getItem("token") === null;
    tellOverview(view);
    document.body.dataset.drawn = "headline";
    const chosen = byId("chosen");
    if (!chosen.value) chosen.value = decodeURIComponent(location.hash.slice(1)).toUpperCase() || view.symbols[0] || "";
    if (!view.symbols.includes(chosen.value)) chosen.value = view.symbols[0] || "";
    const chartsLoaded = loadCharts();
    // Asked for while the browser reads the script of the charts.
    const symbolShown = chosen.value ? showSymbol(isAnew) : null;
    await chartsLoaded;
    drawOverview(view);
    document.body.dataset.drawn = "overview";
    await symbolShown;
  } catch (error) {
    fail(error, "headline");
  }
}

async function showSymbol(isAnew = false) {
  const turn = ++symbolTurn;
  const symbol = byId("chosen").value.trim().toUpperCase();
  byId("chosen").value = symbol;
  if (!shown.overview.symbols.includes(symbol)) {
    byId("symbol-headline").textContent = `${symbol} is none of the instruments.`;
    return;
  }
  try {
    const view = await ask(`dashboard/symbols/${encodeURIComponent(symbol)}?days=${byId("days").value}`, isAnew);
    // Another one was chosen meanwhile.
    if (turn !== symbolTurn) return;
    shown.symbol = view;
    tellSymbol(view);
    await loadCharts();
    if (turn !== symbolTurn) return;
    // So that the address can be passed on.
    history.replaceState(null, "", `#${encodeURIComponent(symbol)}`);
    drawSymbol(view);
    document.body.dataset.drawn = "symbol";
  } catch (error) {
    if (turn === symbolTurn || isOfLogin(error)) fail(error, "symbol-headline");
  }
}

function choose(symbol) {
  byId("chosen").value = symbol;
  byId("symbol").scrollIntoView();
  showSymbol();
}

function setTheme(theme) {
  document.documentElement.dataset.theme = theme;
  byId("theme").textContent = theme === "dark" ? "Light" : "Dark";
  if (shown.overview) loadCharts().then(() => drawOverview(shown.overview));
  if (shown.symbol) loadCharts().then(() => drawSymbol(shown.symbol));
}

const prefersDark = matchMedia("(prefers-color-scheme: dark)");
setTheme(prefersDark.matches ? "dark" : "light");
prefersDark.addEventListener("change", (event) => setTheme(event.matches ? "dark" : "light"));
byId("theme").addEventListener("click", () => setTheme(document.documentElement.dataset.theme === "dark" ? "light" : "dark"));
byId("reload").addEventListener("click", () => showOverview(true));
byId("leave").addEventListener("click", () => {
  sessionStorage.removeItem("token");
  location.reload();
});
byId("login").addEventListener("submit", (event) => {
  event.preventDefault();
  sessionStorage.setItem("token", byId("token").value);
  byId("token").value = "";
  showOverview();
});
byId("choose").addEventListener("submit", (event) => {
  event.preventDefault();
  showSymbol();
});
byId("days").addEventListener("change", () => showSymbol());
showOverview();
