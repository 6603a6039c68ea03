// Is the latest session here, and can it be trusted? What is missing, and what ran.
import { colour, draw, FROM_ZERO, pointsOf, priceFormat } from "./charts.js";
import { byId, command, day, element, many, moment, number, source, symbolLink, tabulate } from "./dom.js";

const WORDS = { ok: ["✓", "OK"], incomplete: ["!", "Incomplete"], wrong: ["✕", "Wrong"] };
// As many alerts as are read; the others are behind a click.
const FIRST_REASONS = 6;
const GAPS_SHOWN = { symbols: 60, sessions: 24 };

export const signOf = (state) => WORDS[state][0];

export const RUN_STATES = {
  0: "succeeded",
  1: "failed",
  2: "refused: a setting or an argument was wrong",
  3: "incomplete",
  130: "interrupted",
};
// The words of `GET /runs` and `trading-data diagnose`; null where nobody can tell which run holds the lease.
export function stateOfRun(run, atWork) {
  if (run.exit_status !== null) return RUN_STATES[run.exit_status] ?? "failed";
  if (atWork === null) return "unknown";
  return atWork.includes(run.run_id) ? "running" : "killed";
}

// A text in which each symbol is a link.
function linked(text, symbols) {
  const parts = text.split(/([A-Z0-9][A-Z0-9&-]+)/).map((part) => (symbols.has(part) ? symbolLink(part) : part));
  const line = element("span", undefined, { class: "text" });
  line.append(...parts);
  return line;
}

function reasonItem(reason, symbols) {
  const item = element("li", undefined, { class: reason.severity });
  const severity = reason.severity[0] + reason.severity.slice(1).toLowerCase();
  item.append(element("strong", severity), linked(reason.text, symbols));
  if (reason.remedy?.startsWith("trading-data ")) item.append(command(reason.remedy));
  else if (reason.remedy) item.append(element("span", reason.remedy, { class: "remedy" }));
  return item;
}

function tellVerdict(view) {
  const { state, headline, reasons } = view.verdict;
  const [sign, word] = WORDS[state];
  const symbols = new Set(view.instruments.map((instrument) => instrument.symbol));
  byId("verdict").dataset.state = state;
  byId("badge").replaceChildren(element("span", sign, { "aria-hidden": "true" }), ` ${word}`);
  byId("verdict-text").textContent = headline;
  const items = reasons.map((reason) => [reason, reasonItem(reason, symbols)]);
  const urgent = items.filter(([reason]) => reason.severity !== "INFO").slice(0, FIRST_REASONS);
  const others = items.filter((item) => !urgent.includes(item));
  byId("reasons").replaceChildren(...urgent.map(([, item]) => item));
  byId("reasons").hidden = !urgent.length;
  byId("no-alerts").hidden = urgent.length > 0;
  byId("notes").replaceChildren(...others.map(([, item]) => item));
  const more = byId("more-reasons");
  more.hidden = !others.length;
  const alerts = others.filter(([reason]) => reason.severity !== "INFO").length;
  const told = [alerts && many(alerts, "more alert"), others.length - alerts && many(others.length - alerts, "note")];
  more.querySelector("summary").textContent = told.filter(Boolean).join(", ");
}

// By how much a figure differs from the one of the session before.
function change(now, before, digits = 0) {
  if (now === null || before === null || before === undefined) return "";
  const by = now - before;
  if (Math.abs(by) < 0.5 * 10 ** -digits) return "as the session before";
  return `${by > 0 ? "+" : "−"}${number(Math.abs(by), digits)} against the session before`;
}

function tellFigures(view) {
  // The figures are of the session that is due, also where it is not here.
  const [before, now] = [view.scores.at(-2), view.scores.at(-1)];
  const behind = view.sessions_behind;
  const provisional = view.latest_provisional_record_count;
  const run = view.runs[0];
  const figures = [
    [
      "Latest session",
      view.latest_trade_date ? day(view.latest_trade_date) : "none",
      behind ? `${many(behind, "session")} behind ${day(view.due_trade_date)}` : "the last one due",
    ],
    [
      "Valid bars",
      `${number(view.latest_valid_record_count)} of ${number(now?.expected_bar_count ?? view.instrument_count)}`,
      change(view.latest_valid_record_count, before?.valid_bar_count),
    ],
    [
      "Score",
      view.latest_quality_score === null ? "none" : number(view.latest_quality_score, 2),
      change(view.latest_quality_score, before?.quality_score, 2),
      provisional ? `${many(provisional, "bar")} provisional until the morning` : "",
    ],
    run
      ? ["Last run", stateOfRun(run, view.at_work).split(":")[0], `${run.command ?? "run"}, ${moment(run.started_at)} IST`]
      : ["Last run", "none", ""],
  ];
  byId("figures").replaceChildren(
    ...figures.map(([name, value, ...notes]) => {
      const box = element("div");
      box.append(element("dt", name), element("dd", value));
      for (const note of notes.filter(Boolean)) box.append(element("dd", note, { class: "quiet" }));
      return box;
    }),
  );
}

const GAPS = { m: ["×", "missing"], i: ["!", "not valid"] };

// Only what is not there: the symbols with a gap, and the sessions of the gaps.
function tellGaps(view) {
  const sessions = view.coverage.map((row) => row.trade_date);
  const gaps = view.instruments
    .map(({ symbol, name }, at) => {
      const letters = view.coverage.map((row) => row.states[at].toLowerCase());
      return { symbol, name, letters, count: letters.filter((letter) => letter in GAPS).length };
    })
    .filter((row) => row.count)
    .sort((a, b) => b.count - a.count || a.symbol.localeCompare(b.symbol));
  const place = byId("gaps");
  place.replaceChildren();
  place.className = "";
  for (const name of ["tabindex", "role", "aria-label"]) place.removeAttribute(name);
  if (!sessions.length) {
    byId("gaps-told").textContent = "No session is expected yet.";
    return;
  }
  const since = `since ${day(sessions[0])}`;
  if (!gaps.length) {
    byId("gaps-told").textContent = `Every expected bar is here, ${since}.`;
    return;
  }
  const withGaps = sessions.flatMap((session, at) => (gaps.some((row) => row.letters[at] in GAPS) ? [at] : []));
  const columns = withGaps.slice(-GAPS_SHOWN.sessions).reverse();
  const bars = gaps.reduce((sum, row) => sum + row.count, 0);
  byId("gaps-told").textContent =
    `${many(bars, "bar")} of ${many(gaps.length, "symbol")} in ${many(withGaps.length, "session")}, ${since}: ` +
    "× missing, ! not valid. All others are here.";
  const table = element("table", undefined, { class: "gaps", "aria-label": "Bars that are missing or not valid" });
  const head = element("tr");
  head.append(element("th", "Symbol", { scope: "col" }));
  for (const at of columns) head.append(element("th", day(sessions[at]).slice(0, -5), { scope: "col" }));
  head.append(element("th", "Company", { scope: "col" }));
  const header = element("thead");
  header.append(head);
  const body = element("tbody");
  for (const row of gaps.slice(0, GAPS_SHOWN.symbols)) {
    const line = element("tr");
    const name = element("th", undefined, { scope: "row" });
    name.append(symbolLink(row.symbol));
    line.append(name);
    for (const at of columns) {
      const cell = element("td");
      const gap = GAPS[row.letters[at]];
      if (gap) {
        cell.className = gap[0] === "×" ? "missing" : "invalid";
        cell.append(element("span", gap[0], { "aria-hidden": "true" }), element("span", gap[1], { class: "unseen" }));
      }
      line.append(cell);
    }
    line.append(element("td", row.name ?? "", { class: "quiet" }));
    body.append(line);
  }
  table.append(header, body);
  place.className = "scroll";
  place.tabIndex = 0;
  place.setAttribute("role", "region");
  place.setAttribute("aria-label", "Bars that are missing or not valid: table");
  place.append(table);
  const more = gaps.length - GAPS_SHOWN.symbols;
  if (more > 0) place.append(element("p", `And ${many(more, "more symbol")}.`, { class: "quiet" }));
}

function tellRuns({ runs, at_work: atWork }) {
  tabulate(
    "runs-table",
    "Runs",
    [
      ["Started (IST)", (row) => moment(row.started_at)],
      ["Command", (row) => row.command],
      ["State", (row) => element("span", stateOfRun(row, atWork), { class: `run s${row.exit_status ?? ""}` })],
      ["Seconds", (row) => number(row.elapsed_seconds, 1), "number"],
      ["Rows", (row) => number(row.landed_row_count), "number"],
      ["Requests", (row) => number(row.request_count), "number"],
      ["Failed", (row) => number(row.failed_request_count), "number"],
      ["MB billed", (row) => (row.bytes_billed === null ? "" : number(row.bytes_billed / 1e6)), "number"],
      ["Why", (row) => row.reason, "text"],
    ],
    runs,
    "No run in the last 90 days.",
  );
}

export function tellToday(view) {
  tellVerdict(view);
  tellFigures(view);
  tellGaps(view);
  tellRuns(view);
  tabulate(
    "scores-table",
    "Score by session",
    [
      ["Session", (row) => day(row.trade_date)],
      ["Score", (row) => number(row.quality_score, 2), "number"],
      ["Expected", (row) => number(row.expected_bar_count), "number"],
      ["Missing", (row) => number(row.missing_bar_count), "number"],
      ["Not valid", (row) => number(row.invalid_bar_count), "number"],
      ["Provisional", (row) => number(row.provisional_bar_count), "number"],
    ],
    [...view.scores].reverse(),
  );
  tabulate(
    "sources-table",
    "Valid bars by session and source",
    [
      ["Session", (row) => day(row.trade_date)],
      ["Source", (row) => source(row.source_id)],
      ["Bars", (row) => number(row.bar_count), "number"],
    ],
    [...view.sources].reverse(),
  );
}

export function drawToday(view) {
  drawScores(view.scores);
  drawSources(view.sources);
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
        ["", day(session)],
        ["score", number(row.quality_score, 2) || "none"],
        ["missing", number(row.missing_bar_count)],
        ["not valid", number(row.invalid_bar_count)],
        ["provisional", number(row.provisional_bar_count)],
      ];
    },
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
    `Valid bars by session and source: ${names.map(source).join(", ")}`,
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
    (session) => [
      ["", day(session)],
      ...names.map((name) => [source(name), number(bySession.get(session)[name] ?? 0), shadeOf(name).slice(2)]),
    ],
  );
}
