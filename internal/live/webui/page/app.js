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
const kinds = {
  admitted: 'good', member: 'good', 'at risk': 'warn', interrupted: 'warn', lost: 'warn', violated: 'bad', refused: 'bad',
  'broken off': 'bad', evicted: 'bad', expired: 'bad',
};
const pill = (state) => el('span', { class: 'pill ' + (kinds[state] || '') }, state);

// table shows rows, each [key, cells]. A row stays the element that it is as long as its
// key is there, and a cell as long as it says the same: what is selected, focused or
// scrolled to stays.
function table(target, head, rows, empty) {
  if (rows.length === 0) {
    if (!target.querySelector('.empty')) target.replaceChildren(el('p', { class: 'empty' }, empty));
    return;
  }
  let wrap = target.querySelector('.wrap');
  if (!wrap) {
    wrap = el('div', { class: 'wrap', tabindex: 0, role: 'region', 'aria-labelledby': target.closest('section').getAttribute('aria-labelledby') },
      el('table', {}, el('thead', {}, el('tr', {}, head.map((h) => el('th', { scope: 'col' }, h)))), el('tbody', {})));
    target.replaceChildren(wrap);
  }
  const body = wrap.querySelector('tbody');
  const old = new Map([...body.rows].map((r) => [r.dataset.key, r]));
  rows.forEach(([key, cells], at) => {
    const row = old.get(String(key)) || el('tr', { 'data-key': key });
    old.delete(String(key));
    cells.forEach((c, i) => {
      if (head[i]) c.dataset.label = head[i];
      const was = row.cells[i];
      if (!was) row.append(c);
      else if (!was.isEqualNode(c)) was.replaceWith(c);
    });
    if (body.rows[at] !== row) body.insertBefore(row, body.rows[at] || null);
  });
  for (const r of old.values()) r.remove();
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
    return [s.id, [
      td(s.name || s.stream.slice(0, 8), small('#' + s.id)),
      el('td', { class: s.reason ? 'why' : '' }, pill(s.state), s.degraded ? small('degraded by ' + s.degraded) : null, s.reason ? small(s.reason) : null),
      num(asked(s.contract).map((a, i) => (i ? [el('br'), a] : a)).flat()),
      num(ms(s.predicted_us)),
      num(ms(m.p99_us), spark(s.id, s.contract.latency_us)),
      num(ms(m.jitter_us)),
      num(rate(m.rate_bps)),
      num(percent(m.packets + m.lost ? m.lost / (m.packets + m.lost) : 0), small(d.lost + ' of ' + (d.packets + d.lost + d.filtered)), d.overrun ? small(d.overrun + ' overrun') : null),
      num(s.path.length ? s.path.map((h) => h.host.id.slice(0, 4)).join(' → ') : '–'),
    ]];
  }), ['No subscription on this host. Try ', el('code', {}, 'overlayd subscribe NAME'), '.']);
  $('n-contracts').textContent = subs.length || '';
}

function streams(list, self) {
  table($('streams'), ['Name', 'Here', 'Publisher', 'Announced', 'Branches', 'SPAs', 'Packets'], list.map((s) => {
    const spas = new Set([...s.pipeline.map((p) => p.spa), ...s.children.map((c) => c.spa)].filter(Boolean));
    return [s.id, [
      td(s.name || '–', small(s.id.slice(0, 16) + '…')),
      td(s.local ? 'publishes' : s.subscriptions.length ? 'subscribes' : 'forwards'),
      num(s.publisher && s.publisher.id === self.id ? 'this host' : short(s.publisher)),
      num(rate(s.rate_bps)),
      num(s.children.map((c) => c.host.id.slice(0, 4)).join(' ') || '–'),
      td([...spas].join(', ') || '–'),
      num(s.packets.toLocaleString('en')),
    ]];
  }), ['No stream passes this host. Try ', el('code', {}, 'overlayd publish NAME'), '.']);
  $('n-streams').textContent = list.length || '';
}

function peers(t) {
  const zones = new Map();
  for (const z of t.zones) zones.set(z.owner.id, [...(zones.get(z.owner.id) || []), z.digits]);
  // By what does not change: a row stays where it is.
  const links = [...t.links].sort((a, b) => (a.to.id < b.to.id ? -1 : 1));
  table($('peers'), ['Host', 'Address', 'Ids', 'Cost', 'Loss', ''], links.map((l) => [l.to.id, [
    num(short(l.to)), num(l.to.addr), el('td', { class: 'num ids' }, (zones.get(l.to.id) || ['–']).join(' ')), num(ms(l.cost_us)), num(percent(l.loss_ppm / 1e6)),
    td(l.suspect ? el('span', { class: 'pill bad' }, 'suspect') : null),
  ]]), ['This host is alone. Others join with ', el('code', {}, 'overlayd run --join'), '.']);
  $('n-peers').textContent = links.length || '';
}

// place gives a zone a rectangle of the unit square: its digits cut it, in turn from left
// to right and from top to bottom. Zones have no id in common, so none overlap.
function place(digits, k) {
  let x = 0, y = 0, w = 1, h = 1;
  if (digits !== '*') [...digits].forEach((c, i) => {
    if (i % 2 === 0) { w /= k; x += Number(c) * w; } else { h /= k; y += Number(c) * h; }
  });
  return { x, y, w, h };
}
const prefix = (a, b) => a === '*' || b === '*' || a.startsWith(b) || b.startsWith(a);

let latest = null; // topology and streams, as last shown
let whole = null; // the whole overlay, as last walked over
let chosen = ''; // the digits of the zone that is told of
let cells = []; // what is drawn
let drawn = '';

// zonesShown are those that this host knows, and of the others as the walk found them.
function zonesShown(t) {
  const cost = new Map(t.links.map((l) => [l.to.id, l]));
  const known = t.zones.map((z) => ({
    z, kind: z.owner.id === t.self.id ? 'own' : (cost.get(z.owner.id) || {}).suspect ? 'suspect' : 'near', cost: (cost.get(z.owner.id) || {}).cost_us,
  }));
  const far = whole ? whole.map.filter((z) => !known.some((o) => prefix(o.z.digits, z.digits))).map((z) => ({ z, kind: z.owner.id === t.self.id ? 'own' : 'far' })) : [];
  return [...known, ...far];
}

// fits says whether a line of text does, in a font of 12 pixels.
const wide = (text) => text.length * 7.3 + 8;

function cube() {
  if (!latest) return;
  const { t, list } = latest;
  const svg = $('cube');
  const W = Math.round(svg.parentElement.clientWidth - 32), H = Math.round(Math.min(W * 0.82, 620));
  const all = zonesShown(t);
  // Drawing anew would restart the moving lines: only when something changed.
  const key = JSON.stringify([W, all, list.map((s) => [s.id, s.path.map((h) => h.host.id), s.children.map((c) => c.host.id)])]);
  if (key === drawn) return;
  drawn = key;
  cells = all.map((o) => {
    const u = place(o.z.digits, t.radix), gap = Math.min(3, 0.12 * Math.min(u.w * W, u.h * H));
    const c = { ...o, x: u.x * W + gap / 2, y: u.y * H + gap / 2, w: u.w * W - gap, h: u.h * H - gap };
    c.p = [c.x + c.w / 2, c.y + c.h / 2];
    return c;
  });
  const boxes = [], lines = [], words = [];
  for (const o of cells) {
    boxes.push(el('svg:rect', { class: 'zone ' + o.kind, x: o.x, y: o.y, width: o.w, height: o.h, rx: Math.min(6, o.w / 5), 'data-digits': o.z.digits },
      el('svg:title', {}, about(o))));
    const text = [[o.z.digits, 'ids'], [o.z.owner.id.slice(0, 4), 'owner'], o.cost ? [ms(o.cost), 'cost'] : null].filter(Boolean).filter(([s]) => wide(s) <= o.w);
    const rows = Math.min(text.length, Math.floor((o.h - 4) / 14));
    if (text.length === 0 || text[0][1] !== 'ids') continue;
    text.slice(0, rows).forEach(([s, cls], i) => words.push(el('svg:text', { class: cls + ' ' + o.kind, x: o.p[0], y: o.p[1] + 4 + 14 * (i - (rows - 1) / 2) }, s)));
  }
  // Streams: from the host above to this one, and from here to the branches.
  const self = cells.filter((o) => o.kind === 'own');
  const near = (a, of) => of.reduce((best, o) => (!best || Math.hypot(o.p[0] - a.p[0], o.p[1] - a.p[1]) < Math.hypot(best.p[0] - a.p[0], best.p[1] - a.p[1]) ? o : best), null);
  const arc = (id, up, k) => {
    const other = cells.find((o) => o.z.owner.id === id);
    const me = other && near(other, self);
    if (!me) return;
    const [a, b] = up ? [other, me] : [me, other], bend = 0.14 + 0.07 * k;
    const q = [(a.p[0] + b.p[0]) / 2 - (a.p[1] - b.p[1]) * bend, (a.p[1] + b.p[1]) / 2 - (b.p[0] - a.p[0]) * bend];
    lines.push(el('svg:path', { class: 'flow', d: `M${a.p}Q${q} ${b.p}` }));
  };
  list.slice(0, 6).forEach((s, k) => {
    if (s.path.length > 1) arc(s.path[s.path.length - 2].host.id, true, k);
    for (const c of s.children) arc(c.host.id, false, k);
  });
  if (cells.length === 0) words.push(el('svg:text', { x: W / 2, y: H / 2 }, 'not a member yet'));
  svg.setAttribute('viewBox', `0 0 ${W} ${H}`);
  svg.setAttribute('height', H);
  svg.replaceChildren(...boxes, ...lines, ...words);
  tell();
}

// tell marks the zone that is chosen, and says what there is to say of it.
function tell() {
  for (const r of $('cube').querySelectorAll('.chosen')) r.classList.remove('chosen');
  const o = cells.find((c) => c.z.digits === chosen);
  if (o) $('cube').querySelector(`rect[data-digits="${o.z.digits}"]`).classList.add('chosen');
  const hosts = new Set(cells.map((c) => c.z.owner.id)).size;
  $('detail').textContent = o ? about(o) : `${cells.length} zones of ${hosts} hosts${whole ? '' : ' that this one knows'}. Click one, or use the arrow keys.`;
}

function about(o) {
  const who = { own: 'this host', near: 'a neighbour', suspect: 'a neighbour, suspected dead', far: 'elsewhere in the overlay' }[o.kind];
  return `ids ${o.z.digits}, epoch ${o.z.counter}: ${who}, ${o.z.owner.id.slice(0, 8)} at ${o.z.owner.addr}${o.cost ? ', cost ' + ms(o.cost) : ''}`;
}

function choose(o) {
  if (!o) return;
  chosen = o.z.digits;
  tell();
}
$('cube').addEventListener('click', (e) => choose(cells.find((o) => o.z.digits === e.target.dataset.digits)));
$('cube').addEventListener('keydown', (e) => {
  const dir = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] }[e.key];
  const own = cells.find((o) => o.kind === 'own');
  const from = cells.find((o) => o.z.digits === chosen);
  if (e.key === 'Escape') { chosen = ''; tell(); return; }
  if (e.key !== 'Home' && !dir) return;
  e.preventDefault();
  if (!from || e.key === 'Home') { choose(own || cells[0]); return; }
  let best = null, least = Infinity;
  for (const o of cells) {
    const along = (o.p[0] - from.p[0]) * dir[0] + (o.p[1] - from.p[1]) * dir[1];
    const aside = Math.abs((o.p[0] - from.p[0]) * dir[1]) + Math.abs((o.p[1] - from.p[1]) * dir[0]);
    if (along > 1 && along + 2 * aside < least) { least = along + 2 * aside; best = o; }
  }
  choose(best);
});
addEventListener('resize', cube);

// The whole overlay is a walk over all hosts: only while it is asked for.
let walking = null;
async function walk() {
  const note = $('walk-note');
  try {
    const r = await fetch('overlay');
    if (!r.ok) throw new Error(await r.text());
    whole = await r.json();
    const hosts = new Set(whole.map.map((z) => z.owner.id)).size;
    note.textContent = `${whole.map.length} zones of ${hosts} hosts.` + (whole.incomplete ? ' Not all: ' + whole.incomplete + '.' : whole.next ? ' There are more.' : '');
    table($('directory'), ['Name', 'Publisher', 'Address', 'Announced'], whole.entries.map((e) => [e.id, [
      td(e.name), num(short(e.publisher)), num(e.publisher.addr), num(rate(e.rate_bps)),
    ]]), ['No host publishes a public stream.']);
    $('n-directory').textContent = whole.entries.length || '';
  } catch (e) {
    note.textContent = 'The walk did not succeed: ' + e.message;
  }
  cube();
}
$('walk').addEventListener('click', () => {
  const on = $('walk').getAttribute('aria-pressed') !== 'true';
  $('walk').setAttribute('aria-pressed', String(on));
  $('directory-section').hidden = !on;
  clearInterval(walking);
  if (on) {
    $('walk-note').textContent = 'Asking all hosts …';
    walk();
    walking = setInterval(walk, 60000);
  } else {
    whole = null;
    $('walk-note').textContent = '';
    cube();
  }
});

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
  latest = { t: d.topology, list: d.streams.streams };
  cube();
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
