// The dashboard: asks the server for what its panels show, and draws it. Nothing here judges; the warehouse has.
"use strict";

// TradingView's lightweight-charts 5.2.0, byte for byte npm's dist/lightweight-charts.standalone.production.js. The browser
// refuses any other file.
const LIBRARY = {
  src: "lightweight-charts.js",
  integrity: "sha512-srpL8r4/zwKO/2l1pIml+XPZTi4tgDfTHThqRf2aZL1Y/gFUyDsJqXOsVn8E/9YBeAPUYPVpcj6Pe052NnaKYA==",
};
// It loads while the warehouse is asked.
const libraryLoaded = new Promise((resolve, reject) => {
  const script = Object.assign(document.createElement("script"), LIBRARY);
  script.onload = resolve;
  script.onerror = () => reject(new Error("The script that draws the charts could not be loaded."));
  document.head.append(script);
});
// Whoever waits for it reports the failure.
libraryLoaded.catch(() => {});

const byId = (id) => document.getElementById(id);
// A table of all that may be missing would be thousands of lines.
const ROWS = 200;
const shown = { overview: null, symbol: null };
// The charts on the page, by the id of their place, each with its series by name.
const drawn = {};
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
// Whether a bar that is not valid is provisional too makes no difference.
const stateOf = (letter) => (letter === "I" ? "i" : letter);

const number = (value, digits = 0) =>
  value === null || value === undefined
    ? ""
    : Number(value).toLocaleString("en-IN", { minimumFractionDigits: digits, maximumFractionDigits: digits });
const compact = new Intl.NumberFormat("en-IN", { notation: "compact", maximumFractionDigits: 1 });
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

// One line above a chart, about the session under the pointer, or else the last: [name, value, class] each.
function tellReading(id, parts) {
  const line = byId(`${id}-reading`);
  line.replaceChildren();
  for (const [name, value, kind = ""] of parts) {
    const part = element("span", name ? `${name} ` : undefined);
    part.append(element("b", value, { class: kind }));
    line.append(part);
  }
}

// `fill` adds the series to the chart and returns them by name; `read` returns the parts of the reading of a session.
function draw(id, told, sessions, fill, read) {
  const place = byId(id);
  drawn[id]?.chart.remove();
  place.setAttribute("role", "img");
  place.setAttribute("aria-label", told);
  const line = colour("--line");
  const crosshair = { color: colour("--quiet"), labelBackgroundColor: colour("--label") };
  const chart = LightweightCharts.createChart(place, {
    autoSize: true,
    layout: {
      background: { color: "transparent" },
      textColor: colour("--quiet"),
      fontFamily: getComputedStyle(document.body).fontFamily,
      // The footer has the attribution; the logo would need a style that the page's policy forbids.
      attributionLogo: false,
      panes: { separatorColor: line, enableResize: false },
    },
    grid: { vertLines: { visible: false }, horzLines: { color: line } },
    crosshair: { mode: LightweightCharts.CrosshairMode.Normal, vertLine: crosshair, horzLine: crosshair },
    rightPriceScale: { borderVisible: false },
    timeScale: {
      borderColor: line,
      fixLeftEdge: true,
      fixRightEdge: true,
      lockVisibleTimeRangeOnResize: true,
      // Sixteen years fit a phone.
      minBarSpacing: 0.01,
    },
    localization: { locale: "en-GB", dateFormat: "yyyy-MM-dd" },
    // The wheel and a finger that moves up or down scroll the page.
    handleScroll: { mouseWheel: false, vertTouchDrag: false },
    handleScale: { mouseWheel: false },
  });
  drawn[id] = { chart, series: fill(chart) };
  chart.timeScale().fitContent();
  const tell = (session) => tellReading(id, session ? [["", session], ...read(session)] : []);
  chart.subscribeCrosshairMove(({ time }) => tell(time ?? sessions.at(-1)));
  tell(sessions.at(-1));
}

// Columns stand on the axis.
const FROM_ZERO = { top: 0.1, bottom: 0 };
const priceFormat = (formatter, minMove) => ({ type: "custom", formatter, minMove });
// A session without a value keeps its place.
const pointsOf = (rows, name) =>
  rows.map((row) => (row[name] === null ? { time: row.trade_date } : { time: row.trade_date, value: row[name] }));

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
    ["The session of", view.assessed_trade_date ?? "none"],
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
  const bySession = new Map(scores.map((row) => [row.trade_date, row]));
  draw(
    "scores",
    `Score of ${scores.length} sessions, the last ${scores.at(-1)?.quality_score ?? "none"}`,
    [...bySession.keys()],
    (chart) => {
      const score = chart.addSeries(LightweightCharts.LineSeries, {
        color: colour("--fallback"),
        lineWidth: 2,
        priceLineVisible: false,
        priceFormat: priceFormat((value) => number(value, 1), 0.1),
      });
      score.setData(pointsOf(scores, "quality_score"));
      return { score };
    },
    (session) => {
      const row = bySession.get(session);
      return [
        ["score", number(row.quality_score, 2) || "none"],
        ["missing", number(row.missing_bar_count)],
        ["not valid", number(row.invalid_bar_count)],
      ];
    },
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
  const shades = { kite: "--primary", yahoo: "--fallback" };
  const shadeOf = (name) => shades[name] ?? "--invalid";
  const bySession = new Map();
  for (const row of counts) {
    if (!bySession.has(row.trade_date)) bySession.set(row.trade_date, {});
    bySession.get(row.trade_date)[row.source_id] = row.bar_count;
  }
  draw(
    "sources",
    `Valid bars by session and source: ${names.join(", ")}`,
    [...bySession.keys()],
    (chart) => {
      const series = {};
      // Each column reaches up to the sum of its source and those below it, and stands behind theirs: a stack.
      names.forEach((name, at) => {
        series[name] = chart.addSeries(LightweightCharts.HistogramSeries, {
          color: colour(shadeOf(name)),
          priceLineVisible: false,
          lastValueVisible: false,
          priceFormat: priceFormat((value) => number(value), 1),
        });
        series[name].setData(
          [...bySession].map(([time, of]) => ({
            time,
            value: names.slice(0, at + 1).reduce((sum, below) => sum + (of[below] ?? 0), 0),
          })),
        );
        series[name].setSeriesOrder(0);
        series[name].priceScale().applyOptions({ scaleMargins: FROM_ZERO });
      });
      return series;
    },
    (session) => names.map((name) => [name, number(bySession.get(session)[name] ?? 0), shadeOf(name).slice(2)]),
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

// A picture with one pixel for each bar, which the style sheet enlarges.
function paintCoverage(symbols, coverage) {
  const canvas = byId("coverage");
  canvas.width = coverage.length;
  canvas.height = symbols.length;
  const shades = Object.fromEntries(Object.entries(STATES).map(([letter, [, shade]]) => [letter, colour(shade)]));
  const pen = canvas.getContext("2d");
  coverage.forEach((row, x) => {
    [...row.states].forEach((letter, y) => {
      if (letter === "-") return;
      pen.fillStyle = shades[stateOf(letter)];
      pen.fillRect(x, y, 1, 1);
    });
  });
  const frame = canvas.parentElement;
  frame.style.setProperty("--sessions", coverage.length);
  // Labels where there is space for them, each at the middle of its row or column.
  const labelAxis = (id, texts, room) => {
    const step = Math.ceil(texts.length / Math.max(1, Math.floor(room)));
    const labels = texts.flatMap((text, at) => {
      if (at % step || (at && at + step / 2 > texts.length)) return [];
      const label = element("span", text);
      label.style.setProperty("--at", `${(100 * (at + 0.5)) / texts.length}%`);
      return [label];
    });
    byId(id).replaceChildren(...labels);
  };
  labelAxis("coverage-symbols", symbols, canvas.clientHeight / 20);
  labelAxis("coverage-sessions", coverage.map((row) => row.trade_date), canvas.clientWidth / 100);

  const barAt = (event) => {
    const box = canvas.getBoundingClientRect();
    const within = (part, count) => Math.min(count - 1, Math.max(0, Math.floor(part * count)));
    const row = coverage[within((event.clientX - box.left) / box.width, coverage.length)];
    const at = within((event.clientY - box.top) / box.height, symbols.length);
    return { session: row.trade_date, symbol: symbols[at], letter: row.states[at] };
  };
  const tell = (bar) =>
    tellReading("coverage", [
      ["", bar.session],
      ["", bar.symbol],
      ["", bar.letter === "-" ? "not listed" : STATES[stateOf(bar.letter)][0]],
    ]);
  const rest = () => tellReading("coverage", [["Point at a bar to read it; click to see its symbol.", ""]]);
  canvas.onpointermove = (event) => tell(barAt(event));
  canvas.onpointerleave = rest;
  canvas.onclick = (event) => choose(barAt(event).symbol);
  rest();
}

function drawCoverage(symbols, coverage) {
  const gaps = [];
  for (const row of coverage) {
    [...row.states].forEach((letter, at) => {
      const state = stateOf(letter);
      if ("mi".includes(state)) gaps.push({ session: row.trade_date, symbol: symbols[at], state: STATES[state][0] });
    });
  }
  byId("coverage").setAttribute(
    "aria-label",
    `Coverage of ${symbols.length} symbols over ${coverage.length} sessions; ${gaps.length} bars are missing or not valid`,
  );
  if (coverage.length) paintCoverage(symbols, coverage);
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
  // The figures are of the session that is due, also where it is not here.
  const isAssessed = view.assessed_trade_date === view.latest_trade_date;
  const hasScore = isAssessed && view.latest_quality_score !== null;
  const score = hasScore ? `, with a score of ${number(view.latest_quality_score, 2)}` : "";
  const provisional = isAssessed && view.latest_provisional_record_count
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
  const bars = new Map(view.bars.map((bar) => [bar.trade_date, bar]));
  const actions = new Map();
  for (const action of view.actions) {
    if (bars.has(action.ex_date)) actions.set(action.ex_date, [...(actions.get(action.ex_date) ?? []), described(action)]);
  }
  const up = colour("--primary");
  const down = colour("--down");
  const isWhole = (bar) => [bar.open, bar.high, bar.low, bar.close].every((price) => price !== null);
  draw(
    "candles",
    `Candles of ${view.symbol}, ${view.bars.length} sessions, the last close ${view.bars.at(-1)?.close ?? "none"}`,
    [...bars.keys()],
    (chart) => {
      const rupees = priceFormat((value) => number(value, 2), 0.01);
      const price = chart.addSeries(LightweightCharts.CandlestickSeries, {
        upColor: up,
        borderUpColor: up,
        wickUpColor: up,
        downColor: down,
        borderDownColor: down,
        wickDownColor: down,
        priceFormat: rupees,
      });
      price.setData(
        view.bars.map((bar) => {
          const { trade_date: time, open, high, low, close } = bar;
          return isWhole(bar) ? { time, open, high, low, close } : { time };
        }),
      );
      const adjusted = chart.addSeries(LightweightCharts.LineSeries, {
        color: colour("--fallback"),
        lineWidth: 1,
        priceLineVisible: false,
        priceFormat: rupees,
        visible: byId("adjusted").checked,
      });
      adjusted.setData(pointsOf(view.bars, "adjusted_close"));
      const volume = chart.addSeries(
        LightweightCharts.HistogramSeries,
        { priceLineVisible: false, lastValueVisible: false, priceFormat: priceFormat((value) => compact.format(value), 1) },
        1,
      );
      volume.setData(
        pointsOf(view.bars, "volume").map((point) => {
          const bar = bars.get(point.time);
          // Paler than the candles.
          return "value" in point ? { ...point, color: `${bar.close < bar.open ? down : up}99` } : point;
        }),
      );
      volume.priceScale().applyOptions({ scaleMargins: FROM_ZERO });
      chart.panes()[0].setStretchFactor(4);
      chart.panes()[1].setStretchFactor(1);
      const marks = view.bars.flatMap(({ trade_date: time, is_valid: isValid }) => [
        ...(actions.has(time) ? [{ time, position: "aboveBar", shape: "arrowDown", color: colour("--fallback") }] : []),
        ...(isValid ? [] : [{ time, position: "belowBar", shape: "circle", color: colour("--missing") }]),
      ]);
      return { price, adjusted, volume, marks: LightweightCharts.createSeriesMarkers(price, marks) };
    },
    (session) => {
      const bar = bars.get(session);
      const kind = bar.close < bar.open ? "down" : "primary";
      return [
        ...["open", "high", "low", "close"].map((name) => [name, number(bar[name], 2) || "none", kind]),
        ["volume", number(bar.volume) || "none"],
        ["", `${bar.source_id}, score ${number(bar.quality_score, 2)}${bar.is_provisional ? ", provisional" : ""}`],
        ...(actions.get(session) ?? []).map((action) => ["", action, "fallback"]),
        ...(bar.is_valid ? [] : [["not valid:", bar.failed_checks.join(", "), "missing"]]),
      ];
    },
  );
}

// The words are on the screen before the first chart is drawn.
const painted = () => new Promise((resolve) => requestAnimationFrame(() => setTimeout(resolve)));

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
    // Asked for while the charts of the overview are drawn.
    const symbolShown = chosen.value ? showSymbol(isAnew) : null;
    await libraryLoaded;
    await painted();
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
    // So that the address can be passed on.
    history.replaceState(null, "", `#${encodeURIComponent(symbol)}`);
    await libraryLoaded;
    if (!drawn.candles) await painted();
    if (turn !== symbolTurn) return;
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
  if (drawn.scores) drawOverview(shown.overview);
  if (drawn.candles) drawSymbol(shown.symbol);
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
byId("adjusted").addEventListener("change", (event) =>
  drawn.candles?.series.adjusted.applyOptions({ visible: event.target.checked }),
);
showOverview();
