// Which bars are unusual, what is checked, where the sources disagree, and what they rewrote.
import { day, moment, number, plain, source, symbolLink, tabulate } from "./dom.js";

export function tellQuality(view) {
  const meanings = new Map(view.checks.map((check) => [check.check_id, check.description]));
  tabulate(
    "unusual-table",
    "Unusual bars of the latest session",
    [
      ["Symbol", (row) => symbolLink(row.symbol)],
      ["Session", (row) => day(row.trade_date)],
      ["Valid", (row) => (row.is_valid ? "yes" : "no")],
      ["Score", (row) => number(row.quality_score, 2), "number"],
      ["Source", (row) => source(row.source_id)],
      ["What does not hold", (row) => row.failed_checks.map((id) => meanings.get(id) ?? plain(id)).join(" "), "text"],
    ],
    view.unusual_bars,
    "No bar is unusual.",
  );
  tabulate(
    "checks-table",
    "Checks",
    [
      ["Check", (row) => plain(row.check_id)],
      ["Failed, latest session", (row) => number(row.latest_count), "number"],
      ["Failed, two months", (row) => number(row.recent_count), "number"],
      ["Makes a bar not valid", (row) => (row.severity === "error" ? "yes" : "no")],
      ["What holds for a sound bar", (row) => row.description, "text"],
    ],
    view.checks,
  );
  tabulate(
    "disputes-table",
    "Where the sources disagree",
    [
      ["Session", (row) => day(row.trade_date)],
      ["Symbol", (row) => symbolLink(row.symbol)],
      ["Kind", (row) => plain(row.kind)],
      ["Kite", (row) => number(row.kite_close, 2), "number"],
      ["Yahoo", (row) => number(row.yahoo_close, 2), "number"],
      ["Third opinion", (row) => number(row.third_close, 2), "number"],
      ["Verdict", (row) => plain(row.verdict)],
    ],
    view.disputes,
    "The sources agree in the last hundred sessions.",
  );
  tabulate(
    "restatements-table",
    "Rewritten history",
    [
      ["Found (IST)", (row) => moment(row.detected_at)],
      ["Symbol", (row) => symbolLink(row.symbol)],
      ["Source", (row) => source(row.source_id)],
      ["Kind", (row) => plain(row.kind)],
      ["New by old price", (row) => number(row.price_ratio, 4), "number"],
      ["Bars", (row) => number(row.bar_count), "number"],
      ["From", (row) => day(row.first_trade_date)],
      ["To", (row) => day(row.last_trade_date)],
    ],
    view.restatements,
    "No source has changed its past.",
  );
}

export function tellSymbols(view) {
  tabulate(
    "symbols-table",
    "Symbols",
    [
      ["Symbol", (row) => symbolLink(row.symbol)],
      ["Company", (row) => row.name],
      ["Sector", (row) => row.sector],
      ["Formerly", (row) => row.former_symbols.join(", ")],
    ],
    view.instruments,
  );
}
