// One symbol: its candles, actions, versions and bars, over the days that the address names.
import { ask, download } from "./ask.js";
import { colour, draw, drawn, FROM_ZERO, libraryLoaded, painted, pointsOf, priceFormat } from "./charts.js";
import { byId, day, element, many, moment, number, plain, source, tabulate } from "./dom.js";

const compact = new Intl.NumberFormat("en-IN", { notation: "compact", maximumFractionDigits: 1 });
const PRESETS = [["3 months", 0.25], ["1 year", 1], ["5 years", 5], ["All", null]];
const FIRST_DAY = "2010-01-01";

export const shown = { view: null };
// Of answers that overtake each other, the one to what was asked last is shown.
let turn = 0;

function yearsAgo(years) {
  const then = new Date();
  then.setMonth(then.getMonth() - Math.round(12 * years));
  return then.toISOString().slice(0, 10);
}

export function addressOf(symbol, first, last) {
  const asked = new URLSearchParams();
  if (first) asked.set("from", first);
  if (last) asked.set("to", last);
  return `/symbols/${encodeURIComponent(symbol)}${asked.size ? `?${asked}` : ""}`;
}

// "2.5 shares for 1", "dividend of ₹12.00".
function described(action) {
  if (action.kind === "dividend") return action.dividend_amount === null ? "dividend" : `dividend of ₹${number(action.dividend_amount, 2)}`;
  const ratio = action.share_ratio ?? action.reported_ratio;
  if (ratio === null) return plain(action.kind);
  const shares = ratio >= 1 ? `${+ratio.toFixed(3)} shares for 1` : `1 share for ${+(1 / ratio).toFixed(3)}`;
  return `${plain(action.kind)}: ${shares}${action.share_ratio === null ? " (not applied)" : ""}`;
}

const reporters = (action) =>
  action.reported_by
    ? action.reported_by.split(",").map((id) => source(id.trim())).join(", ")
    : `inferred from ${source(action.inferred_from)}`;

// Which source served from when to when, the latest first.
function served(bars) {
  const spans = [];
  for (const bar of bars) {
    const last = spans.at(-1);
    if (last?.source_id === bar.source_id && last.is_provisional === bar.is_provisional) {
      last.to = bar.trade_date;
      last.count += 1;
    } else {
      const { source_id, is_provisional, trade_date: from } = bar;
      spans.push({ source_id, is_provisional, from, to: from, count: 1 });
    }
  }
  return spans.reverse();
}

const sourceOf = (row) => source(row.source_id) + (row.is_provisional ? " (provisional)" : "");

// What needs no chart.
function tell(view) {
  const former = view.former_symbols.length ? ` (formerly ${view.former_symbols.join(", ")})` : "";
  byId("symbol-title").replaceChildren(
    element("span", view.symbol, { class: "ticker" }),
    ` ${[view.name, view.sector].filter(Boolean).join(" · ")}${former}`,
  );
  byId("symbol-told").textContent =
    view.quality_score === null
      ? "No bar is here."
      : `Score ${number(view.quality_score, 2)} over ${many(view.expected_bar_count, "session")}: ` +
        `${number(view.missing_bar_count)} missing, ${number(view.invalid_bar_count)} not valid.`;
  byId("from").value = view.shown_from;
  byId("to").value = view.shown_to;
  const changes = new Map(
    view.bars.map((bar, at) => [bar, at && bar.close && view.bars[at - 1].close ? 100 * (bar.close / view.bars[at - 1].close - 1) : null]),
  );
  const price = (heading, name) => [heading, (bar) => number(bar[name], 2), "number"];
  tabulate(
    "bars-table",
    `Bars of ${view.symbol}`,
    [
      ["Session", (bar) => day(bar.trade_date)],
      ...[["Open", "open"], ["High", "high"], ["Low", "low"], ["Close", "close"]].map((pair) => price(...pair)),
      ["Change, %", (bar) => number(changes.get(bar), 2), "number"],
      ["Volume", (bar) => number(bar.volume), "number"],
      ["Source", sourceOf],
      ["Score", (bar) => number(bar.quality_score, 1), "number"],
      ["Failed checks", (bar) => bar.failed_checks.map(plain).join(", "), "text"],
    ],
    [...view.bars].reverse(),
    "No bar is here in these days.",
  );
  tabulate(
    "versions-table",
    `Revised bars of ${view.symbol}`,
    [
      ["Session", (row) => day(row.trade_date)],
      ["Source", (row) => source(row.source_id)],
      ["Close", (row) => number(row.close, 2), "number"],
      ["Volume", (row) => number(row.volume), "number"],
      ["Known from (IST)", (row) => moment(row.known_from)],
      ["Until", (row) => (row.known_to === null ? "now" : moment(row.known_to))],
      ["Final", (row) => (row.is_provisional ? "no" : "yes")],
    ],
    view.versions,
    "No bar was revised in these days.",
  );
  tabulate(
    "actions-table",
    `Corporate actions of ${view.symbol}`,
    [
      ["Ex-date", (row) => day(row.ex_date)],
      ["Action", described],
      ["Status", (row) => element("span", row.status, { class: `action ${row.status}` })],
      ["Source", reporters],
      ["Why", (row) => [row.status_reason, row.subject && `“${row.subject}”`].filter(Boolean).join(" "), "text"],
    ],
    view.actions,
    "No corporate action is known.",
  );
  tabulate(
    "served-table",
    `Who served ${view.symbol} when`,
    [
      ["Source", sourceOf],
      ["From", (row) => day(row.from)],
      ["To", (row) => day(row.to)],
      ["Bars", (row) => number(row.count), "number"],
    ],
    served(view.bars),
    "No bar is here in these days.",
  );
}

export function drawSymbol() {
  const { view } = shown;
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
        ["", day(session)],
        ...["open", "high", "low", "close"].map((name) => [name, number(bar[name], 2) || "none", kind]),
        ["volume", number(bar.volume) || "none"],
        ["", sourceOf(bar)],
        ["score", number(bar.quality_score, 2)],
        ...(actions.get(session) ?? []).map((action) => ["", action, "fallback"]),
        ...(bar.is_valid ? [] : [["not valid:", bar.failed_checks.map(plain).join(", "), "missing"]]),
      ];
    },
  );
}

// Show a symbol over the days that the address asks for. It returns whether it is still the one that is wanted.
export async function showSymbol(symbol, asked, isAnew = false) {
  const mine = ++turn;
  if (shown.view?.symbol !== symbol) {
    byId("symbol-title").textContent = symbol;
    byId("symbol-told").textContent = "Reading ...";
  }
  const days = new URLSearchParams([...asked].filter(([name, value]) => ["from", "to"].includes(name) && value));
  let view;
  try {
    view = await ask(`/dashboard/symbols/${encodeURIComponent(symbol)}?${days}`, isAnew);
  } catch (error) {
    // Of what is not wanted any more, nobody wants to hear.
    if (mine !== turn) return false;
    throw error;
  }
  if (mine !== turn) return false;
  shown.view = view;
  tell(view);
  await libraryLoaded;
  if (!drawn.candles) await painted();
  if (mine !== turn) return false;
  drawSymbol();
  return true;
}

// Another page is shown: what is on its way is not wanted.
export const leaveSymbol = () => ++turn;

// `go` shows an address.
export function startSymbol(go) {
  const show = (first, last) => go(addressOf(shown.view.symbol, first, last));
  byId("presets").append(
    ...PRESETS.map(([name, years]) => {
      const button = element("button", name, { type: "button" });
      button.addEventListener("click", () => show(years ? yearsAgo(years) : FIRST_DAY, ""));
      return button;
    }),
  );
  byId("range").addEventListener("submit", (event) => {
    event.preventDefault();
    show(byId("from").value, byId("to").value);
  });
  byId("adjusted").addEventListener("change", (event) =>
    drawn.candles?.series.adjusted.applyOptions({ visible: event.target.checked }),
  );
  byId("download").addEventListener("click", async () => {
    const { symbol, shown_from: first, shown_to: last } = shown.view;
    const asked = new URLSearchParams({ symbol, from: first, to: last, format: "csv" });
    try {
      await download(`/bars?${asked}`, `${symbol}_${first}_${last}.csv`);
    } catch (error) {
      byId("symbol-told").textContent = error.message;
    }
  });
}
