// The charts, by TradingView's lightweight-charts 5.2.0, byte for byte npm's
// dist/lightweight-charts.standalone.production.js. The browser refuses any other file.
import { byId, element } from "./dom.js";

const LIBRARY = {
  src: "/lightweight-charts.js",
  integrity: "sha512-srpL8r4/zwKO/2l1pIml+XPZTi4tgDfTHThqRf2aZL1Y/gFUyDsJqXOsVn8E/9YBeAPUYPVpcj6Pe052NnaKYA==",
};
// It loads while the warehouse is asked.
export const libraryLoaded = new Promise((resolve, reject) => {
  const script = Object.assign(document.createElement("script"), LIBRARY);
  script.onload = resolve;
  script.onerror = () => reject(new Error("The script that draws the charts could not be loaded."));
  document.head.append(script);
});
// Whoever waits for it reports the failure.
libraryLoaded.catch(() => {});

// The charts on the page, by the id of their place, each with its series by name.
export const drawn = {};

export const colour = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();

// Columns stand on the axis.
export const FROM_ZERO = { top: 0.1, bottom: 0 };
export const priceFormat = (formatter, minMove) => ({ type: "custom", formatter, minMove });
// A session without a value keeps its place.
export const pointsOf = (rows, name) =>
  rows.map((row) => (row[name] === null ? { time: row.trade_date } : { time: row.trade_date, value: row[name] }));

// The words are on the screen before the first chart is drawn.
export const painted = () => new Promise((resolve) => requestAnimationFrame(() => setTimeout(resolve)));

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
export function draw(id, told, sessions, fill, read) {
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
    localization: { locale: "en-GB", dateFormat: "dd MMM yyyy" },
    // The wheel and a finger that moves up or down scroll the page.
    handleScroll: { mouseWheel: false, vertTouchDrag: false },
    handleScale: { mouseWheel: false },
  });
  drawn[id] = { chart, series: fill(chart) };
  chart.timeScale().fitContent();
  const tell = (session) => tellReading(id, session ? read(session) : []);
  chart.subscribeCrosshairMove(({ time }) => tell(time ?? sessions.at(-1)));
  tell(sessions.at(-1));
}
