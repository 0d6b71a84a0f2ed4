// Live charts of the queues: reads /api/v1/queues/events, keeps ten minutes, says when figures are old.
"use strict";

const KEEP = 300; // samples
const STALE_MS = 6000; // three samples are missing
const FIRST_RETRY_MS = 1000, LAST_RETRY_MS = 15000;

const byId = (id) => document.getElementById(id);
const samples = []; // {at, ready: [...], age: [...], finished: [...], wait: [...]}, in the order of `names`
let names = ["index", "artifact", "refresh", "ahead", "extract", "resolve"];
let newest = 0; // when the last figures arrived, by this machine's clock
let detail = ""; // why there are none
let source = null;
let retry = FIRST_RETRY_MS;

const count = (value) => value >= 100000 ? (value / 1000).toFixed(0) + "k" : String(value);
const rate = (value) => value === 0 ? "0" : value < 0.1 ? value.toFixed(3) : value < 10 ? value.toFixed(2) : value.toFixed(0);
function duration(seconds) {
  if (seconds === 0) return "0";
  if (seconds < 0.001) return "<1 ms";
  if (seconds < 1) return (seconds * 1000).toFixed(0) + " ms";
  if (seconds < 90) return seconds.toFixed(1) + " s";
  if (seconds < 5400) return (seconds / 60).toFixed(0) + " min";
  return (seconds / 3600).toFixed(1) + " h";
}

// --- charts ---------------------------------------------------------------------------------------

const CHARTS = [
  {id: "ready", show: count, whole: true},
  {id: "age", show: duration},
  {id: "finished", show: rate},
  {id: "wait", show: duration},
];

function colour(name) {
  return getComputedStyle(document.documentElement).getPropertyValue("--" + name).trim() || "#888";
}

function dataOf(chart) {
  return [samples.map((each) => each.at),
    ...names.map((_, place) => samples.map((each) => each.gap ? null : each[chart.id][place]))];
}

function sizeOf(box) {
  return {width: Math.max(200, box.clientWidth), height: window.innerWidth <= 700 ? 150 : 190};
}

function build(chart) {
  const box = byId("chart-" + chart.id);
  if (chart.plot) chart.plot.destroy();
  const axis = {stroke: colour("quiet"), grid: {stroke: colour("line"), width: 1}, ticks: {show: false}};
  chart.plot = new uPlot({
    ...sizeOf(box),
    padding: [10, 14, 8, 0], // below, too: before the first figures there is no time axis under the 0
    scales: {y: {range: (_, low, high) => [0, Math.max(high * 1.1, chart.whole ? 4 : 0.01)]}},
    axes: [
      {...axis, space: 80, size: 20, values: (_, ticks) => ticks.map((at) => new Date(at * 1000).toLocaleTimeString([],
        {hour: "2-digit", minute: "2-digit", second: "2-digit", hour12: false}))},
      {...axis, size: 58, incrs: chart.whole ? [1, 2, 5, 10, 20, 50, 100, 200, 500, 1000, 2000, 5000, 10000] : undefined,
        values: (_, ticks) => ticks.map((tick) => chart.show(tick))},
    ],
    series: [{}, ...names.map((name) => ({label: name, stroke: colour(name), width: 2, points: {show: false}}))],
    cursor: {y: false, sync: {key: "queues"}},
    legend: {show: false},
    hooks: {setCursor: [() => explain(chart)]},
  }, dataOf(chart), box);
  const legend = document.createElement("div");
  legend.className = "legend";
  chart.values = names.map((name) => {
    const item = document.createElement("span");
    const value = document.createElement("b");
    item.dataset.queue = name;
    item.append(name, " ", value);
    legend.append(item);
    return value;
  });
  box.replaceChildren(chart.plot.root, legend);
  explain(chart);
}

// The values under the pointer, or the newest ones.
function explain(chart) {
  const sample = samples[chart.plot?.cursor.idx ?? samples.length - 1];
  chart.values?.forEach((box, place) => {
    box.textContent = !sample || sample.gap ? "–" : chart.show(sample[chart.id][place]);
  });
}

function draw() {
  for (const chart of CHARTS) {
    chart.plot.setData(dataOf(chart));
    explain(chart);
  }
}

function add(sample) {
  const last = samples[samples.length - 1];
  if (last && sample.at <= last.at) return; // another gateway's figures, or the same again
  if (last && sample.at - last.at > STALE_MS / 1000) samples.push({at: last.at + 0.1, gap: true});
  samples.push(sample);
  if (samples.length > KEEP) samples.splice(0, samples.length - KEEP);
}

// --- figures --------------------------------------------------------------------------------------

function sampleOf(report) {
  const queues = names.map((name) => report.queues[name]);
  return {at: report.at, ready: queues.map((each) => each.ready),
    age: queues.map((each) => each.oldest_age_seconds),
    finished: queues.map((each) => each.last_minute.finished_per_second),
    wait: queues.map((each) => each.last_minute.wait_seconds)};
}

function cells(figures) {
  const minute = figures.last_minute;
  return [
    ["ready", count(figures.ready), figures.ready],
    ["running", count(figures.running), figures.running],
    ["deferred", count(figures.deferred), figures.deferred],
    ["dead", count(figures.dead), figures.dead, "bad"],
    ["oldest", duration(figures.oldest_age_seconds), figures.oldest_age_seconds],
    ["enqueued / s", rate(minute.enqueued_per_second), minute.enqueued_per_second],
    ["finished / s", rate(minute.finished_per_second), minute.finished_per_second],
    ["failed / s", rate(minute.failed_per_second), minute.failed_per_second, "bad"],
    ["wait", duration(minute.wait_seconds), minute.wait_seconds],
    ["run", duration(minute.run_seconds), minute.run_seconds],
  ];
}

function tabulate(report) {
  const rows = byId("rows");
  for (const name of names) {
    let row = rows.querySelector(`[data-queue="${CSS.escape(name)}"]`);
    const figures = cells(report.queues[name]);
    if (!row) {
      row = rows.insertRow();
      row.dataset.queue = name;
      const head = document.createElement("th");
      head.scope = "row";
      head.textContent = name;
      row.append(head, ...figures.map(([label]) => {
        const cell = document.createElement("td");
        cell.dataset.label = label;
        return cell;
      }));
    }
    row.classList.toggle("idle", figures.every(([, , value]) => value === 0));
    figures.forEach(([, text, value, alarm], place) => {
      const cell = row.cells[place + 1];
      cell.textContent = text;
      cell.className = value === 0 ? "zero" : alarm || "";
    });
  }
}

function total(report) {
  const all = report.total;
  byId("total-ready").textContent = count(all.ready);
  byId("total-running").textContent = count(all.running);
  byId("total-deferred").textContent = count(all.deferred);
  byId("total-dead").textContent = count(all.dead);
  byId("total-oldest").textContent = duration(all.oldest_age_seconds);
  byId("total-finished").textContent = rate(all.last_minute.finished_per_second);
  byId("dead").className = all.dead ? "some" : "";
  document.title = `${count(all.ready)} ready · Orchard`;
}

// --- the state of the connection ------------------------------------------------------------------

function state() {
  const age = Date.now() - newest;
  const old = newest === 0 || age > STALE_MS;
  const since = newest ? `, figures are ${Math.round(age / 1000)} s old` : "";
  const [name, text] = source === null ? ["lost", `connection lost${since}, trying again`]
    : detail ? ["stale", `${detail}${since}`]
    : newest === 0 ? ["waiting", "connecting"]
    : old ? ["stale", `nothing heard${since}`]
    : ["live", "live"];
  const box = byId("state");
  box.dataset.state = name;
  if (box.textContent !== text) box.textContent = text;
  document.querySelector("main").toggleAttribute("data-stale", old && newest !== 0);
}

function connect() {
  source = new EventSource("queues/events");
  source.addEventListener("history", (event) => {
    for (const each of JSON.parse(event.data)) add(each);
    retry = FIRST_RETRY_MS;
    draw();
  });
  source.addEventListener("figures", (event) => {
    const report = JSON.parse(event.data);
    const known = Object.keys(report.queues);
    if (known.join() !== names.join()) { // another version of Orchard
      names = known;
      samples.length = 0;
      byId("rows").textContent = "";
      CHARTS.forEach(build);
    }
    newest = Date.now();
    detail = "";
    add(sampleOf(report));
    tabulate(report);
    total(report);
    draw();
    state();
  });
  source.addEventListener("unavailable", (event) => {
    detail = JSON.parse(event.data).detail;
    state();
  });
  // The browser reconnects by itself only while it likes the answers: after a 503 it gives up. So this
  // does it always, with a growing pause.
  source.addEventListener("error", () => again(retry));
  source.addEventListener("draining", () => again(200)); // that gateway stops, another will answer
}

function again(pause) {
  if (source === null) return;
  source.close();
  source = null;
  state();
  retry = Math.min(LAST_RETRY_MS, retry * 2);
  setTimeout(connect, pause * (0.75 + Math.random() / 2));
}

// --- start ----------------------------------------------------------------------------------------

CHARTS.forEach(build);
new ResizeObserver(() => {
  for (const chart of CHARTS) {
    const size = sizeOf(byId("chart-" + chart.id));
    if (chart.plot.width !== size.width || chart.plot.height !== size.height) chart.plot.setSize(size);
  }
}).observe(document.body);
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => CHARTS.forEach(build));
setInterval(state, 1000);
connect();
