// SPDX-License-Identifier: Apache-2.0
'use strict';

// The page shows what /events sends; it keeps only the history of the small curves.
const history = new Map(); // subscription id -> [P99 in µs]
const keep = 80;
const $ = (id) => document.getElementById(id);

// el makes an element. Text is always set as text: names come from other hosts.
function el(name, attrs = {}, ...children) {
  const svg = name.startsWith('svg:');
  const e = svg ? document.createElementNS('http://www.w3.org/2000/svg', name.slice(4)) : document.createElement(name);
  for (const [k, v] of Object.entries(attrs)) if (v !== undefined && v !== false) e.setAttribute(k, v);
  for (const c of children.flat()) if (c !== null && c !== undefined) e.append(c);
  return e;
}

const short = (host) => (host ? host.id.slice(0, 8) : '–');
const ms = (us) => (us ? (us >= 10000 ? (us / 1000).toFixed(1) : (us / 1000).toFixed(2)) + ' ms' : '–');
const percent = (x) => (x === 0 ? '0 %' : x < 0.0001 ? '< 0.01 %' : (100 * x).toFixed(2) + ' %');
function rate(bps) {
  if (!bps) return '–';
  for (const [f, unit] of [[1e9, 'Gbit/s'], [1e6, 'Mbit/s'], [1e3, 'kbit/s']]) if (bps >= f) return (bps / f).toFixed(bps < 10 * f ? 2 : 1) + ' ' + unit;
  return bps + ' bit/s';
}
const kinds = { admitted: 'good', member: 'good', 'at risk': 'warn', interrupted: 'warn', violated: 'bad', refused: 'bad' };
const pill = (state) => el('span', { class: 'pill ' + (kinds[state] || '') }, state);

function table(target, head, rows, empty) {
  if (rows.length === 0) {
    target.replaceChildren(el('p', { class: 'empty' }, empty));
    return;
  }
  // The scroll position of a wide table survives the update.
  let wrap = target.querySelector('.wrap');
  if (!wrap) target.replaceChildren((wrap = el('div', { class: 'wrap', tabindex: 0 })));
  wrap.replaceChildren(el('table', {},
    el('thead', {}, el('tr', {}, head.map((h) => el('th', { scope: 'col' }, h)))),
    el('tbody', {}, rows.map((r) => el('tr', {}, r)))));
}
const td = (...c) => el('td', {}, ...c);
const num = (...c) => el('td', { class: 'num' }, ...c);
const small = (s) => el('small', {}, s);

function asked(c) {
  const out = [];
  if (c.latency_us) out.push('≤ ' + ms(c.latency_us));
  if (c.min_rate_bps) out.push('≥ ' + rate(c.min_rate_bps));
  if (c.loss_ppm !== undefined) out.push('loss ≤ ' + percent(c.loss_ppm / 1e6));
  if (c.jitter_us) out.push('jitter ≤ ' + ms(c.jitter_us));
  if (c.degrade.length) out.push('or ' + c.degrade.join(', '));
  if (c.best_effort) out.push('best effort');
  return out.length ? out : ['anything'];
}

// spark draws the P99 of the last intervals, and the bound if there is one.
function spark(id, bound) {
  const v = history.get(id) || [];
  const svg = el('svg:svg', { class: 'spark', viewBox: '0 0 110 26', 'aria-hidden': 'true' });
  if (v.length < 2) return svg;
  const top = Math.max(...v, bound && bound < 4 * Math.max(...v) ? bound : 0) * 1.1 || 1;
  const y = (x) => (25 - (24 * x) / top).toFixed(1);
  if (bound && bound < top) svg.append(el('svg:line', { x1: 0, x2: 110, y1: y(bound), y2: y(bound) }));
  svg.append(el('svg:path', { d: v.map((x, i) => (i ? 'L' : 'M') + ((i * 110) / (keep - 1)).toFixed(1) + ' ' + y(x)).join('') }));
  return svg;
}

function contracts(subs) {
  const ids = new Set(subs.map((s) => s.id));
  for (const id of history.keys()) if (!ids.has(id)) history.delete(id);
  table($('contracts'), ['Stream', 'State', 'Asked', 'Predicted', 'P99', 'Jitter', 'Rate', 'Loss', 'Path'], subs.map((s) => {
    const m = s.measured || { packets: 0, lost: 0, p99_us: 0, rate_bps: 0, jitter_us: 0 };
    const d = s.delivery;
    return [
      td(s.name || s.stream.slice(0, 8), small('#' + s.id)),
      el('td', { class: s.reason ? 'why' : '' }, pill(s.state), s.degraded ? small('degraded by ' + s.degraded) : null, s.reason ? small(s.reason) : null),
      num(asked(s.contract).map((a, i) => (i ? [el('br'), a] : a)).flat()),
      num(ms(s.predicted_us)),
      num(ms(m.p99_us), spark(s.id, s.contract.latency_us)),
      num(ms(m.jitter_us)),
      num(rate(m.rate_bps)),
      num(percent(m.packets + m.lost ? m.lost / (m.packets + m.lost) : 0), small(d.lost + ' of ' + (d.packets + d.lost + d.filtered))),
      num(s.path.length ? s.path.map((h) => h.host.id.slice(0, 4)).join(' → ') : '–'),
    ];
  }), ['No subscription on this host. Try ', el('code', {}, 'overlayd subscribe NAME'), '.']);
  $('n-contracts').textContent = subs.length || '';
}

function streams(list, self) {
  table($('streams'), ['Name', 'Here', 'Publisher', 'Announced', 'Branches', 'SPAs', 'Packets'], list.map((s) => {
    const spas = new Set([...s.pipeline.map((p) => p.spa), ...s.children.map((c) => c.spa)].filter(Boolean));
    return [
      td(s.name || '–', small(s.id.slice(0, 16) + '…')),
      td(s.local ? 'publishes' : s.subscriptions.length ? 'subscribes' : 'forwards'),
      num(s.publisher && s.publisher.id === self.id ? 'this host' : short(s.publisher)),
      num(rate(s.rate_bps)),
      num(s.children.map((c) => c.host.id.slice(0, 4)).join(' ') || '–'),
      td([...spas].join(', ') || '–'),
      num(s.packets.toLocaleString('en')),
    ];
  }), ['No stream passes this host. Try ', el('code', {}, 'overlayd publish NAME'), '.']);
  $('n-streams').textContent = list.length || '';
}

function peers(t) {
  const zones = new Map();
  for (const z of t.zones) zones.set(z.owner.id, [...(zones.get(z.owner.id) || []), z.digits]);
  const links = [...t.links].sort((a, b) => a.cost_us - b.cost_us);
  table($('peers'), ['Host', 'Address', 'Ids', 'Cost', 'Loss', ''], links.map((l) => [
    num(short(l.to)), num(l.to.addr), num((zones.get(l.to.id) || ['–']).join(' ')), num(ms(l.cost_us)), num(percent(l.loss_ppm / 1e6)),
    td(l.suspect ? el('span', { class: 'pill bad' }, 'suspect') : null),
  ]), ['This host is alone. Others join with ', el('code', {}, 'overlayd run --join'), '.']);
  $('n-peers').textContent = links.length || '';
}

// place gives a zone a point: each digit moves along a direction of its own, so
// that ids that differ in one digit lie on a line. A digit that the zone leaves
// open counts as the middle: a zone lies amid its ids.
const directions = [[1, 0], [0, 1], [0.42, -0.36], [0.16, 0.15], [0.07, -0.06], [0.03, 0.028]];
function place(digits, k, n) {
  let x = 0, y = 0;
  for (let i = 0; i < Math.min(n, directions.length); i++) {
    const d = digits !== '*' && i < digits.length ? Number(digits[i]) : (k - 1) / 2;
    x += d * directions[i][0];
    y += d * directions[i][1];
  }
  return [x, y];
}
// step is by how much two zones differ in the one digit in which they do; 0 if
// they are no neighbours.
function step(a, b) {
  if (a === '*' || b === '*') return 0;
  let wrong = 0, by = 0;
  for (let i = 0; i < Math.min(a.length, b.length); i++) if (a[i] !== b[i]) { wrong++; by = Math.abs(a[i] - b[i]); }
  return wrong === 1 ? by : 0;
}
// curve is a line bent by a share of its length, and the point in its middle.
function curve([x1, y1], [x2, y2], bend) {
  const cx = (x1 + x2) / 2 + (y1 - y2) * bend, cy = (y1 + y2) / 2 + (x2 - x1) * bend;
  return { d: `M${x1} ${y1}Q${cx} ${cy} ${x2} ${y2}`, mid: [(x1 + x2) / 4 + cx / 2, (y1 + y2) / 4 + cy / 2] };
}

let drawn = '';
function cube(t, list) {
  const svg = $('cube');
  // Drawing anew would restart the moving lines: only when something changed.
  const key = JSON.stringify([t.zones, t.links, list.map((s) => [s.id, s.path.map((h) => h.host.id), s.children.map((c) => c.host.id)])]);
  if (key === drawn) return;
  drawn = key;
  const n = Math.max(1, ...t.zones.map((z) => (z.digits === '*' ? 0 : z.digits.length)));
  const nodes = t.zones.map((z) => ({ z, at: place(z.digits, t.radix, n) }));
  const xs = nodes.map((o) => o.at[0]), ys = nodes.map((o) => o.at[1]);
  const box = [Math.min(...xs), Math.min(...ys), Math.max(...xs), Math.max(...ys)];
  const W = 560, H = 460, pad = 46;
  const scale = Math.min((W - 2 * pad) / Math.max(box[2] - box[0], 0.001), (H - 2 * pad) / Math.max(box[3] - box[1], 0.001), 190);
  const cx = (box[0] + box[2]) / 2, cy = (box[1] + box[3]) / 2;
  for (const o of nodes) o.p = [W / 2 + (o.at[0] - cx) * scale, H / 2 + (o.at[1] - cy) * scale];
  const crowded = nodes.length > 40;
  const r = crowded ? 7 : nodes.length > 20 ? 13 : 18;
  const suspect = new Set(t.links.filter((l) => l.suspect).map((l) => l.to.id));
  const own = (o) => o.z.owner.id === t.self.id;
  const out = [];

  const nearest = new Map(); // host -> the shortest line to it, where its cost is written
  for (let i = 0; i < nodes.length; i++) for (let j = i + 1; j < nodes.length; j++) {
    const a = nodes[i], b = nodes[j];
    const by = step(a.z.digits, b.z.digits);
    if (!by || a.z.owner.id === b.z.owner.id) continue;
    const ours = own(a) || own(b);
    // From the last digit back to the first: a bow around those between.
    const c = curve(a.p, b.p, by > 1 ? 0.23 : 0);
    out.push(el('svg:path', { class: ours ? 'link' : 'edge', d: c.d }));
    if (!ours) continue;
    const other = own(a) ? b : a;
    const len = Math.hypot(a.p[0] - b.p[0], a.p[1] - b.p[1]);
    const best = nearest.get(other.z.owner.id);
    // Where there is a choice the cost is written on a line that has room for it.
    if (!best || (len > 120) > (best.len > 120) || (len > 120) === (best.len > 120) && len < best.len) {
      nearest.set(other.z.owner.id, { len, me: own(a) ? a : b, other, mid: c.mid });
    }
  }
  out.sort((a, b) => (a.getAttribute('class') < b.getAttribute('class') ? -1 : 1)); // ours on top

  // Streams: from the host above to this one, and from here to the branches.
  const point = (id) => (nearest.get(id) ? nearest.get(id).other : nodes.find((o) => o.z.owner.id === id));
  const mine = nodes.find(own);
  const arc = (from, to, k) => {
    if (from && to) out.push(el('svg:path', { class: 'flow', d: curve(from.p, to.p, -0.14 - 0.07 * k).d }));
  };
  list.slice(0, 6).forEach((s, k) => {
    const up = s.path.length > 1 ? s.path[s.path.length - 2].host.id : null;
    const me = (id) => (nearest.get(id) ? nearest.get(id).me : mine);
    if (up) arc(point(up), me(up), k);
    for (const c of s.children) arc(me(c.host.id), point(c.host.id), k);
  });

  for (const o of nodes) {
    const cls = 'zone' + (own(o) ? ' own' : suspect.has(o.z.owner.id) ? ' suspect' : '');
    const g = el('svg:g', {}, el('svg:title', {}, `ids ${o.z.digits}, epoch ${o.z.counter}\nowner ${o.z.owner.id}\n${o.z.owner.addr}`),
      el('svg:circle', { class: cls, cx: o.p[0], cy: o.p[1], r }));
    if (!crowded) {
      g.append(el('svg:text', { class: own(o) ? 'in' : '', x: o.p[0], y: o.p[1] + 4 }, o.z.digits));
      g.append(el('svg:text', { class: 'owner', x: o.p[0], y: o.p[1] + r + 13 }, o.z.owner.id.slice(0, 4)));
    }
    out.push(g);
  }
  const cost = new Map(t.links.map((l) => [l.to.id, l.cost_us]));
  if (!crowded) for (const [id, { mid }] of nearest) {
    if (!cost.has(id)) continue;
    out.push(el('svg:text', { class: 'cost', x: mid[0], y: mid[1] + 4 }, ms(cost.get(id))));
  }
  if (nodes.length === 0) out.push(el('svg:text', { x: W / 2, y: H / 2 }, 'not a member yet'));
  svg.setAttribute('viewBox', `0 0 ${W} ${H}`);
  svg.replaceChildren(...out);
}

function facts(s) {
  $('host').textContent = short(s.self) + ' · ' + s.self.addr;
  $('state').textContent = s.state;
  $('state').className = 'pill ' + (kinds[s.state] || '');
  const rows = [
    ['cube', `${s.radix}-ary ${s.region.digits}-cube`], ['hosts', '≈ ' + s.region.hosts], ['engine', s.engine.name],
    ['SPAs', s.engine.running + (s.engine.aborted ? `, ${s.engine.aborted} aborted` : '')],
  ];
  $('facts').replaceChildren(...rows.map(([k, v]) => el('div', k === 'engine' ? { title: s.engine.reason } : {}, el('dt', {}, k), el('dd', {}, v))));
  document.title = `${short(s.self)} – Sandstream`;
}

function show(d) {
  for (const s of d.contracts.subscriptions) {
    if (!s.measured || !s.measured.packets) continue;
    const v = history.get(s.id) || [];
    v.push(s.measured.p99_us);
    history.set(s.id, v.slice(-keep));
  }
  facts(d.status);
  cube(d.topology, d.streams.streams);
  contracts(d.contracts.subscriptions);
  streams(d.streams.streams, d.status.self);
  peers(d.topology);
  document.body.dataset.ready = 'yes';
}

const source = new EventSource('events');
source.onmessage = (e) => {
  $('notice').hidden = true;
  show(JSON.parse(e.data));
};
source.onerror = () => {
  $('notice').textContent = 'The daemon does not answer. What is shown may be old; trying again.';
  $('notice').hidden = false;
};
